# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · The quadratic programme
#
# *the variance, drawn as a map*
#
# **After this notebook you can**
#
# - write a deterministic problem as a stochastic one, and say what becomes of its derivative,
# - read a map of the variance over all distributions of three classes (Figure 1 of the paper), and
#   predict what τ and K do to it,
# - hold the words of a paper against numbers of your own.
#
# **You need** [3 · The Gumbel-Rao estimator](../03_gumbel_rao.ipynb), and of
# [4 · Why it works](../04_why_it_works.ipynb) only (13), which is repeated. **Time:** 60 minutes without
# section 7, which is optional; the computer needs less than one minute of it.
#
# Numbers in parentheses, such as (13), are those of the equations in the
# [paper](https://arxiv.org/abs/2010.04838). The solutions of the exercises are in
# [a notebook of their own](../solutions/05_quadratic_programme.ipynb).

# %% [markdown] tags=["links"]
# [Open in Binder](https://mybinder.org/v2/gh/gumbelrao-edu/gumbelrao_edu/main?urlpath=lab/tree/notebooks/05_quadratic_programme.ipynb) ·
# [Open in Colab](https://colab.research.google.com/github/gumbelrao-edu/gumbelrao_edu/blob/main/notebooks/05_quadratic_programme.ipynb)
#
# *Coming from another notebook? Shut down its kernel first (in its tab, Kernel ▸ Shut Down Kernel):
# each takes up to 0.6 GB of memory.*

# %% tags=["install"]
# One thread is fastest here. On Colab and Kaggle, this cell installs the course.
import importlib.util
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
if importlib.util.find_spec("gumbelrao_edu") is None:
    print("Installing the course, about a minute …")
    # %pip install -q "gumbelrao_edu[course] @ git+https://github.com/gumbelrao-edu/gumbelrao_edu"

# %% [markdown] tags=["solution"]
# *This is the notebook with the solutions.* The one without them is
# [here](../05_quadratic_programme.ipynb).

# %% [markdown]
# ## 1 · A problem that we could solve by hand
#
# So far θ was one point. Now we look at *all* distributions $p$ of three classes. They form a triangle,
# the *simplex*: at a corner one class is certain, in the middle all are equally likely. The paper's
# section 5.2 asks for the $p$ that is best for a quadratic function,
#
# $$\min_p \; (p - c)^\top Q \, (p - c), \qquad Q_{ij} = e^{-2|i - j|}, \quad c_i = \tfrac13 .$$
#
# ($Q$ is *positive definite*: $v^\top Q\, v > 0$ for every $v \ne 0$.) In the figure dark is low.
#
# **Predict:** where is the minimum, and what is the value there?

# %% tags=["hide-output"]
import torch

from gumbelrao_edu.course.quadratic_programme import checks, figures
from gumbelrao_edu.figures import show
from gumbelrao_edu.problems import QuadraticProgramme

programme = QuadraticProgramme()
show(
    figures.contours(programme),
    alt="The value of the programme on the simplex: nearly round contours about the middle, where it "
    "is 0, and the largest values at the corners. Three dashed lines cut off the corners.",
)


# %% [markdown]
# It is 0, in the middle, at $p = c$. Nobody needs sampling here. That is the point: we know every answer, so
# we can watch the estimators at work. (This is Figure 1a. The dashed lines come in section 3.)

# %% [markdown]
# ## 2 · The same problem with dice
#
# We draw a one-hot $D$ with probabilities $p$ and want a loss $f(D)$ whose average is the value above.
# The products $(D_i - c_i)(D_j - c_j) = D_i D_j - D_i c_j - c_i D_j + c_i c_j$ have known averages. $D_i$ has the
# average $p_i$, and so has $D_i^2 = D_i$. For $i \ne j$ the product $D_i D_j$ is 0, since two classes are never drawn
# at once. So the average is $p_i - 2 p_i c_i + c_i^2$ if $i = j$, else $c_i c_j - p_i c_j - c_i p_j$. Divide each
# product by its average, and multiply it by what is wanted:
#
# $$f(D) = (D - c)^\top A(p)\, (D - c), \qquad A_{ij}(p) =
# \frac{(p_i - c_i)(p_j - c_j)\, Q_{ij}}{\mathbb{E}[(D_i - c_i)(D_j - c_j)]}$$
#
# With numbers, at $p = (0.5, 0.3, 0.2)$: $D_1$ is 1 half of the time, and
# $\mathbb{E}[(D_1 - c_1)^2] = 0.5 \cdot (\frac23)^2 + 0.5 \cdot (\frac13)^2 = 0.2778$. What is wanted is
# $(0.5 - \frac13)^2 \cdot 1 = 0.0278$. So $A_{11} = 0.0278 / 0.2778 = 0.1$.
#
# ### Exercise 1 · The matrix A(p)
#
# Write $A(p)$ as a function, for any number of classes. The averages below the fraction bar stand above: one
# formula for $i = j$, another one for $i \ne j$.
#
# <details><summary>Hint</summary>
#
# `torch.outer(a, b)` is the matrix of all products $a_i b_j$. First write
# $c_i c_j - p_i c_j - c_i p_j$ in every entry. What is still missing on the diagonal? `torch.diag(v)` has $v$ there.
#
# </details>

# %% tags=["exercise"]
def matrix(p, q, c):
    # p and c have the shape [n], q is Q, [n, n]. Return A(p), [n, n].
    ...


# %% [markdown] tags=["solution"]
# The averages for $i \ne j$ stand in every entry; on the diagonal $p_i$ is added, since $D_i^2 = D_i$.

# %% tags=["solution"]
def matrix(p, q, c):
    averages = torch.outer(c, c) - torch.outer(p, c) - torch.outer(c, p) + torch.diag(p)
    return torch.outer(p - c, p - c) * q / averages


# %% tags=["check"]
checks.check_quadratic_matrix(matrix)

# %% [markdown]
# The library's version is `programme.matrix(p)`, and `programme.loss(d, p)` is $f(D)$. Write $e_i$ for the
# one-hot vector of class $i$, a corner of the triangle.
#
# **Predict:** at 1,000 random $p$, how far is $\mathbb{E}[f(D)] = \sum_i p_i f(e_i)$ from the value?

# %% tags=["hide-output"]
corners = torch.eye(3, dtype=torch.float64)
torch.manual_seed(0)
p = torch.distributions.Dirichlet(torch.ones(3, dtype=torch.float64)).sample((1000,))
losses = programme.loss(corners, p[:, None])  # [1000, 3]: f of each class
error = ((p * losses).sum(-1) - programme.value(p)).abs()
print("largest difference of E[f(D)] and the value:")
print(f"{error.max():.0e}")

# %% [markdown]
# By rounding errors only.
#
# ## 3 · Where the dice break
#
# For $i \ne j$ the denominator is $(1 - 3 (p_i + p_j)) / 9$, which is zero where $p_i + p_j = 1/3$. Then
# the third probability is $p_k = 2/3$: these are the dashed lines. We let $p_3$ grow, and cross one of them.
#
# **Predict:** what happens to $f$ of each class on the way, and what to the average?

# %% tags=["hide-output"]
print("  p₃     f(class 1)  f(class 2)  f(class 3)    average")
for third in [0.6, 0.65, 0.666, 0.667, 0.68, 0.75]:
    p = torch.tensor([0.6 - 0.6 * third, 0.4 - 0.4 * third, third], dtype=torch.float64)
    losses = programme.loss(corners, p)
    print(f"{third:5.3f}", "".join(f"{x:12.2f}" for x in losses), f"{p @ losses:12.4f}")

# %% [markdown]
# The losses run off to infinity, upwards on one side of the line and downwards on the other, class 3 against
# the two others. Yet their average stays smooth: the infinities cancel. On the line itself there is no loss
# to speak of, and the library says so rather than return a number.

# %%
try:
    programme.loss(corners, torch.tensor([0.2, 2 / 15, 2 / 3], dtype=torch.float64))
except ValueError as error:
    print(error)

# %% [markdown]
# ## 4 · Two derivatives
#
# $\theta$ enters $\mathbb{E}[f(D)]$ twice: it decides what is drawn, and it stands in $A(p)$, with
# $p = \mathrm{softmax}(\theta)$. Equation (2) of the paper shows both. It is an estimator of its own, *REINFORCE*: the
# loss of the class drawn, times the gradient of the log-probability of that class. It is unbiased and needs no
# derivative of $f$ with respect to $D$. (Notebook 8 has more on it.) If $f$ depends on θ itself, it has a second term:
#
# $$\nabla_{\mathrm{REINF}} = f(D, \theta)\, \frac{\partial \log p_\theta(D)}{\partial \theta}
# + \frac{\partial f(D, \theta)}{\partial \theta} \qquad (2)$$
#
# ST-GS and GR are other estimators of the first term. The second is taken at the $D$ that was drawn, and
# simply added to each of them. Section 2 of the paper sets it aside ("we assume henceforth that $f(D,
# \theta) = f(D)$").
#
# **Predict:** at $p = (0.5, 0.3, 0.2)$ gradient descent should take from $\theta_1$ and give to
# $\theta_3$, to bring $p$ to the middle. Does the first term do this by itself?

# %% tags=["hide-output"]
from gumbelrao_edu.course import write

logits = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
average = logits.exp() @ programme.direct_gradient(corners, logits)
for name, gradient in [
    ("the whole derivative", programme.gradient(logits)),
    ("first term: A held fixed", programme.gradient(logits, fixed=True)),
    ("second term, on average", average),
]:
    write(name, gradient, 4)


# %% [markdown]
# Descent subtracts the gradient. The first term is small, and for $\theta_3$ it even has the wrong sign:
# with $A$ held fixed one does not minimise the programme. We shall see it happen in section 8. For a
# study of the *variance* either may be chosen, and the choice matters. The figures offer both.
#
# ### Exercise 2 · Hold A fixed
#
# A program does not write equation (2) down; it calls `backward`. Which term it gets depends on a
# `detach` in the right place: `x.detach()` has the numbers of `x`, and is not differentiated. Write
# $\mathbb{E}[f(D)] = \sum_i p_i f(e_i)$ such that its derivative is the average of the first term alone.
# `programme.loss(corners, p)` returns the three losses $f(e_i)$, with $p$ in $A(p)$.
#
# <details><summary>Hint</summary>
#
# $p = \mathrm{softmax}(\theta)$ stands in the sum twice: as weight, and in $A(p)$. The first term of (2)
# differentiates what is drawn, that is, the weights. So which of the two is to be held fixed?
#
# </details>

# %% tags=["exercise"]
def expected_loss(logits):
    # Return E[f(D)], one number that depends on the logits.
    ...


# %% [markdown] tags=["solution"]
# The weights $p_i$ are differentiated, the $p$ in $A(p)$ is not.

# %% tags=["solution"]
def expected_loss(logits):
    p = logits.softmax(-1)
    return p @ programme.loss(corners, p.detach())


# %% tags=["check"]
checks.check_fixed_loss(expected_loss)


# %% [markdown]
# ## 5 · The variance at every p
#
# Figures 1b to 1d of the paper compare ST-GS with GR at $K = 1000$. At each $p$ they show
#
# $$\log_{10} \mathrm{var}[\nabla_{\mathrm{STGS}}] - \log_{10} \mathrm{var}[\nabla_{\mathrm{GRMCK}}],$$
#
# where var is the trace of the covariance matrix, the sum of the variances of the entries. A value of 1 says
# that ST-GS has ten times the variance. The paper does not say how it got these variances. We need no samples: by the law
# of total variance, for one draw of $D$ ($B = 1$),
#
# $$\mathrm{var}[\nabla_{\mathrm{GRMCK}}] = \frac{\mathbb{E}[\mathrm{var}[\nabla_{\mathrm{STGS}} \mid D]]}{K}
# + \mathrm{var}[\nabla_{\mathrm{GR}}] \qquad (13)$$
#
# and both terms can be computed exactly, by enumerating the three classes and integrating over the
# Gumbels numerically. Two numbers at each point then give every $K$, so that the sliders answer at once.
#
# ### Exercise 3 · A point of the map
#
# From the inner variance $\mathbb{E}[\mathrm{var}[\nabla_{\mathrm{STGS}} \mid D]]$ and the outer one,
# $\mathrm{var}[\nabla_{\mathrm{GR}}]$, compute what the map shows. Recall that ST-GS is GR with $K = 1$.
#
# <details><summary>Hint</summary>
#
# Write (13) twice, with $K = 1$ and with $K$, and subtract the logarithms (`torch.log10`).
#
# </details>

# %% tags=["exercise"]
def log_ratio(inner, outer, k):
    # inner and outer have the shape [m], one entry for each point; k may be infinite.
    # Return log10 var[ST-GS] − log10 var[GR-MCK], [m].
    ...


# %% tags=["solution"]
def log_ratio(inner, outer, k):
    return torch.log10(inner + outer) - torch.log10(inner / k + outer)


# %% tags=["check"]
checks.check_log_ratio(log_ratio)

# %% [markdown]
# In the next figure yellow is where GR gains most. The colours are scaled anew for each τ and derivative.
#
# **Predict before you move a slider:**
#
# 1. What does the map look like for K = 1?
# 2. At which τ is GR worth most? Is K = ∞ much better than K = 1000?
# 3. On the dashed lines both variances are infinite. Their ratio, too?
# 4. Choose the whole derivative. Its second term is the same in ST-GS and GR. At a small distance ε from a
#    line, $f$ and the first term grow like 1/ε. The second contains the derivative of $A(p)$, and grows like 1/ε².
#    What is left of the ratio there?

# %%
panel = figures.variances()
panel

# %% tags=["hide-output"]
panel.captions(derivative=["fixed", "whole"], tau=[1.0, 0.5, 0.1])

# %% tags=["hide-output"]
panel.captions(derivative=["fixed"], tau=[0.1], k=[1, 10, 1000, float("inf")])

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. It is 0 everywhere: GR with $K = 1$ is ST-GS.
# 2. At small τ: with $A$ held fixed the median of the ratio is $10^{0.11}$ at τ = 1 and $10^{0.84}$, about
#    seven, at τ = 0.1. There $K = 10$ brings three quarters of the exponent, and K = ∞ hardly more than 1000.
# 3. No. Near a line one pair of entries, $A_{ij} = A_{ji}$, outweighs the rest and multiplies both gradients,
#    so that it cancels from the ratio. On the line the ratio tends to the same number from both sides. At τ = 0.5 and 0.1 the map
#    is brightest a little beside the line, on the side of the corner; the next figure says why.
# 4. Nothing: on the lines the ratio tends to 1, its logarithm to 0. The second term outgrows the first, and
#    it is fixed by $D$: it is no noise of the Gumbels, so that GR cannot remove it.
#
# </details>

# %% [markdown]
# ### Why some places are bright
#
# With $K = \infty$ the ratio is (inner + outer)/outer. So the map is bright where the *outer* variance is small. For
# three classes GR has three values, one for each class that may be drawn, and the outer variance says how far
# they are apart. It vanishes where GR returns the same vector whichever class is drawn.
#
# The figure walks from the middle of the triangle to corner 3, across the line at $p_3 = 2/3$, with the whole
# derivative. Look for the places where the outer variance drops far below the inner one. Then hold $A$ fixed:
# on which side of the line is the outer variance smaller than the inner one?

# %%
figures.cut()

# %% [markdown]
# With the whole derivative the outer variance nearly vanishes at two places, one on each side of the line. On
# the map, all such places together form the bright ring about the line. The next cell prints the three values
# of GR, on the side of the corner: near the line, at the bright place, and farther away.

# %%
from gumbelrao_edu.quadrature import conditional_vjp


def gr_of_each_class(third, whole):
    p = torch.tensor([(1 - third) / 2, (1 - third) / 2, third], dtype=torch.float64)
    g = 2 * (corners - 1 / 3) @ programme.matrix(p)  # ∂f(D)/∂D for each class drawn
    gr = conditional_vjp(g, p.log().expand(3, 3), torch.arange(3), tau=0.5)
    return gr + programme.direct_gradient(corners, p.log()) if whole else gr


for third in [0.68, 0.741, 0.80]:
    for i, vector in enumerate(gr_of_each_class(third, whole=True)):
        write(f"p₃ = {third}: class {i + 1} drawn", vector)

# %% [markdown]
# Near the line the third entry is positive in the vectors of classes 1 and 2, negative in that of class 3, and all
# are long: this is what runs off to infinity. Farther away all three are short, and that of class 3 has the largest
# third entry. In between they have to meet, and at $p_3 = 0.741$ they nearly do. The choice hardly
# matters there, so nearly all of the variance is noise of the Gumbels, which GR removes.
#
# And why is the strip with $A$ held fixed on one side only? The part of the gradient that grows like 1/ε changes
# its sign at the line. The rest does not. So on one side they have the same sign, and on the other side
# opposite ones. Here is the vector of class 1 at the same distance on both sides. Half the difference is the part
# that changes its sign, and half the sum is the rest. Then come the two variances on each side, and the largest distance of two of the three vectors.

# %%
from gumbelrao_edu.problems import exact_fields

sides = [2 / 3 - 0.015, 2 / 3 + 0.015]
middle, corner = (gr_of_each_class(third, whole=False)[0] for third in sides)
write("towards the middle", middle)
write("towards the corner", corner)
write("changes its sign", (corner - middle) / 2)
write("the rest", (corner + middle) / 2)
both = torch.tensor([[(1 - third) / 2, (1 - third) / 2, third] for third in sides])
beside = exact_fields(programme, both.double(), tau=0.5)["fixed"]
write("inner: middle, corner", beside.inner)
write("outer: middle, corner", beside.outer)
apart = [torch.pdist(gr_of_each_class(third, whole=False)).max() for third in sides]
write("largest distance of two vectors", torch.stack(apart))
assert apart[0] > 1.5 * apart[1]

# %% [markdown]
# Towards the middle the two parts of this vector add up, and towards the corner they cancel to a good deal. For
# class 2 it is the same, and for class 3 the other way round. All the same, towards the corner the vectors of the
# three classes are closer to each other. So the outer variance is only half as large there, though the inner one is
# larger.

# %% [markdown]
# ## 6 · The paper's words, and our numbers
#
# The paper says of its figure, in section 5.2: "The improvement is universal. The pattern is not always
# intuitive (oval bull's eyes) … our estimator on this example appears more effective closer to the
# corners and edges … At lower temperatures, the difference between the two estimators becomes
# particularly acute." We take the claims one by one: the smallest value, and the median in four regions.
# Compare the columns with each other, and the rows from τ = 1 down to τ = 0.1.

# %%
from gumbelrao_edu.problems import gap, simplex_grid

p = simplex_grid(60)
line = (p.amax(-1) - 2 / 3).abs()  # distance from the nearest dashed line
regions = {
    "corners": p.amax(-1) > 0.9,
    "edges": (p.amin(-1) < 0.05) & (p.amax(-1) < 0.6),
    "lines": line < 0.02,
    "middle": p.amin(-1) > 0.2,
}

# %%
print(" " * 34 + "".join(f"{name:>10}" for name in ["smallest", *regions]))
for derivative in ["fixed", "whole"]:
    for tau in [1.0, 0.5, 0.1]:
        values = gap(exact_fields(programme, p, tau)[derivative], k=1000)
        medians = [values[region].median() for region in regions.values()]
        numbers = "".join(f"{x:10.3f}" for x in [values.min(), *medians])
        print(f"{derivative:6} derivative, τ = {tau:3g}, log10", numbers)

# %% [markdown]
# - **Universal?** Yes: no value is below 0. By (13) it has to be so, since $K$ divides one of two terms, and neither
#   is negative. With $A$ held fixed GR gains
#   everywhere, by a factor of at least $10^{0.07}$ at τ = 1. With the whole derivative the gain is next to
#   nothing on the lines, and at τ = 1 in the middle: there the second term outweighs the first, and it
#   does not depend on the Gumbels.
# - **Acute at low temperatures?** Yes: every column grows as τ falls, where it does not stay at 0.
# - **More effective near the corners?** Than in the middle, yes, in all six rows. The largest values, however,
#   lie near the lines, where section 5 found them, except with $A$ held fixed at τ = 1. (The column *lines* does
#   not show it: with $A$ fixed only one side of such a strip is bright, and with the whole derivative the bright
#   ring lies beside the strip.) **Near the edges?** More than in the middle at τ = 1, and at τ = 0.5 with $A$ held
#   fixed, but only a little; at τ = 0.1 not at all.
# - **Oval bull's eyes?** On the map with $A$ held fixed we see none, only bright strips and corners. With the
#   whole derivative there are three, one about each line: a dark oval in a bright ring. So it may be that the
#   paper's figure was made with the whole derivative. Its text does not say, nor which temperatures.

# %% [markdown]
# ## 7 · With samples
#
# *Optional, 8 minutes.* Without (13) one draws: at each $p$ 100 gradients of ST-GS, and 100 of GR with $K = 1000$, which are 350
# million exponentials. The sample variance of each has a *standard error*: what it would scatter by if all
# were drawn again. In the table `gap` is the exact value of the map, `gap_mc` the sampled one, and `gap_se`
# its standard error; then both maps are drawn side by side.
#
# **Predict:** do 100 draws show the map? At how many points of 100 will they miss by two standard errors?

# %% tags=["hide-output"]
from gumbelrao_edu.experiments.fig1 import Sampling, agreement, compare

sampling = Sampling(rows=48, num_samples=100)
table = compare(sampling, tau=0.5, device=torch.device("cpu"))
fixed = table[table.derivative == "fixed"]
columns = ["p1", "p2", "p3", "gap", "gap_mc", "gap_se"]
print(fixed[columns].iloc[::200].to_string(index=False, float_format="%.3f"))

# %%
difference = (fixed.gap_mc - fixed.gap).abs() / fixed.gap_se
show(
    figures.sampled(fixed),
    alt="The difference of the log-variances at τ = 0.5 with A held fixed, exact and sampled. The sampled "
    f"map is grainy; {100 * (difference < 2).mean():.0f} % of its points are within two standard errors.",
)

# %% [markdown]
# At about five, as for a normal distribution. The grain is the error of sampling, the pattern is the same.
# All 1,176 points together tell more than each: a sample variance is right on average, so the mean over the
# points of sampled / exact is 1, up to its standard error.

# %%
for comparison in agreement(table):
    print(comparison, "\n")

# %% [markdown]
# All four means are 1 within two standard errors. But each variance alone is within two standard errors at 92
# or 93 % of the points, not at 95 %. The rule of two standard errors holds for a normal distribution with a
# known standard error. Here the standard error comes from the same 100 draws. If the rare long gradients happen
# to be missing, the variance comes out too small, *and so does its standard error*: the point misses, with a
# value that is too small. More draws help. The next cell counts the misses for ST-GS with $A$ held fixed, on a
# coarser grid.

# %%
for draws in [100, 1000]:
    coarse = compare(Sampling(rows=24, num_samples=draws, k=10), 0.5, device=torch.device("cpu"))
    coarse = coarse[coarse.derivative == "fixed"]
    away = (coarse.st_gs_mc - coarse.st_gs) / coarse.st_gs_se
    small, large = 100 * (away < -2).mean(), 100 * (away > 2).mean()
    print(f"{draws:5} draws: too small at {small:.0f} %, too large at {large:.0f} % of the points")

# %% [markdown]
# The command `python -m gumbelrao_edu reproduce fig1 --profile cpu` does all this with 1,000 draws at three
# temperatures, and writes figure and numbers to files.

# %% [markdown]
# ## 8 · Downhill
#
# Now we minimise the programme. Each run starts near a corner and takes 100 steps of stochastic gradient
# descent on θ, with one draw a step. The triangle shows one run of each estimator, the curves are
# medians of 25 runs. Beside REINFORCE, ST-GS and GR there are two relatives. *GS*, the Gumbel-Softmax, puts the
# soft sample itself into $f$. *ST* is like ST-GS, but differentiates a softmax without noise.
#
# Every way from a corner to the minimum crosses a dashed line, where one gradient may be arbitrarily
# long. So each gradient is shortened to the length 1 if it is longer (*clipping*).
#
# **Predict:**
#
# 1. With the whole derivative, who arrives? Does τ matter?
# 2. With $A$ held fixed, does anybody arrive? Remember the tables of sections 3 and 4.

# %% tags=["hide-output"]
walks = figures.paths()
walks

# %% tags=["hide-output"]
walks.captions(derivative=["whole", "fixed"], tau=[1.0, 0.1])

# %% [markdown]
# And without clipping? The next cell makes 200 runs with the whole derivative at τ = 0.2 and counts those
# that end above 0.5, that is, further up than where they started.
#
# **Predict:** which of REINFORCE, ST-GS and GR loses most of its runs?

# %% tags=["hide-output"]
from gumbelrao_edu.problems import descend

print("Lost, of 200 runs, with clipping and without:")
start = torch.tensor([0.04, 0.04, 0.92], dtype=torch.float64).expand(200, 3)
hypers = {"reinforce": {}, "st_gumbel_softmax": {"tau": 0.2}, "gumbel_rao": {"tau": 0.2, "k": 100}}
for name, hyper in hypers.items():
    lost = {}
    for clip in [1.0, float("inf")]:
        generator = torch.Generator().manual_seed(0)
        options = {**hyper, "clip": clip, "generator": generator}
        path = descend(programme, name, start, whole=True, steps=100, learning_rate=0.3, **options)
        lost[clip] = (programme.value(path[-1]) > 0.5).sum()
    print(f"{name:18} {lost[1.0]:4} {lost[float('inf')]:4}")

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. All of them. GS descends another function, and the larger τ is, the further up it ends: some fifteen times
#    as high as the exact gradient at τ = 0.2, fifty times at τ = 0.5, and eight hundred times at τ = 1. The others
#    end close together, within a factor of about five: near the minimum the first term vanishes faster than the
#    second, and the second is common to all. At τ = 0.1 ST-GS is the highest of them, as high as GS: there its noise
#    shows. It shows more without clipping: REINFORCE loses about half of its runs at the line, ST-GS a third, GR a
#    seventh.
# 2. Nobody. The first term is small: the exact gradient has come from 0.49 to 0.43 only. And the line holds
#    fast: just below $p_3 = 2/3$ the loss of class 3 is far *below* the others, so the first term pushes
#    $p_3$ up; just above it is far above them, and $p_3$ is pushed down. Only a long step leaves the line.
#    The biased estimators at τ = 1 come closest, with values of 0.04 to 0.1.
#
# </details>

# %% [markdown]
# ## What to take along
#
# - The variance of GR-MCK at any $K$ follows from two numbers (13). For one categorical variable both can
#   be computed without sampling; a hundred draws at each of a thousand points say the same.
# - GR never has more variance than ST-GS. It gains more at small τ, and more near the corners than in the
#   middle. It gains most where GR hardly depends on the class drawn, and little where another source of noise
#   outweighs the Gumbels.
# - When a loss depends on θ by itself, its own term belongs to the derivative. Without it one may descend
#   to somewhere else, however small the variance.

# %% [markdown]
# ## Check yourself
#
# **1.** At some $p$ the map shows 2 for $K = \infty$. How many times larger than the outer variance is the inner
# one?
#
# <details><summary>Answer</summary>
#
# (inner + outer)/outer is $10^2 = 100$, so inner is 99 times outer.
#
# </details>
#
# **2.** The loss of each class runs off to infinity at a dashed line. Why does the average stay finite?
#
# <details><summary>Answer</summary>
#
# The infinite parts have opposite signs, and weighted by $p_i$ they cancel: $A(p)$ was made such that the average is
# the value of the programme, at every $p$.
#
# </details>
#
# **3.** What is lost if you write `programme.loss(d, p.detach())` in a training?
#
# <details><summary>Answer</summary>
#
# The second term of (2), the dependence of the loss itself on θ. The descent then follows another direction, and in
# section 8 nobody arrives.
#
# </details>
#
# **4.** With the whole derivative the map is dark on the lines, and with $A$ held fixed it is not. Why?
#
# <details><summary>Answer</summary>
#
# The second term is fixed by $D$ and grows like 1/ε², the first only like 1/ε. So nearly all variance is that of
# $D$, the outer part, which GR cannot remove.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - The figure that this notebook takes apart: section 5.2 of
#   [Paulus, Maddison and Krause (2021)](https://arxiv.org/abs/2010.04838).
# - Many estimators compared on simple problems with known gradients: [Mohamed and others
#   (2020)](https://arxiv.org/abs/1906.10652), Monte Carlo gradient estimation in machine learning.
# - Gradients whose loss depends on the parameters, too: [Schulman and others
#   (2015)](https://arxiv.org/abs/1506.05254).
#
# **Next:** does less variance in one choice make a network learn better? In
# [6 · Learning to parse](../06_listops.ipynb) such choices follow each other in a chain; in
# [7 · A discrete autoencoder](../07_discrete_vae.ipynb) dozens are made side by side.
