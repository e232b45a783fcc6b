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
# **You need** [3 · The Gumbel-Rao estimator](03_gumbel_rao.ipynb), and of
# [4 · Why it works](04_why_it_works.ipynb) only (13), which is repeated. **Time:** 60 minutes, of which
# the computer needs less than one.
#
# Numbers in parentheses, such as (13), are those of the equations in the
# [paper](https://arxiv.org/abs/2010.04838). The solutions of the exercises are in
# [a notebook of their own](solutions/05_quadratic_programme.ipynb).

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

# %%
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
# The products $(D_i - c_i)(D_j - c_j)$ have known averages: $p_i - 2 p_i c_i + c_i^2$ if $i = j$, else
# $c_i c_j - p_i c_j - c_i p_j$, since two different classes are never drawn at once. Divide by them, and
# multiply by what is wanted:
#
# $$f(D) = (D - c)^\top A(p)\, (D - c), \qquad A_{ij}(p) =
# \frac{(p_i - c_i)(p_j - c_j)\, Q_{ij}}{\mathbb{E}[(D_i - c_i)(D_j - c_j)]}$$
#
# ### Exercise 1 · The matrix A(p)

# %% tags=["exercise"]
def matrix(p, q, c):
    # p and c have the shape [n], q is Q, [n, n]. Return A(p), [n, n].
    ...


# %% tags=["check"]
checks.check_quadratic_matrix(matrix)

# %% [markdown]
# The library's version is `programme.matrix(p)`, and `programme.loss(d, p)` is $f(D)$. Write $e_i$ for the
# one-hot vector of class $i$, a corner of the triangle.
#
# **Predict:** at 1,000 random $p$, how far is $\mathbb{E}[f(D)] = \sum_i p_i f(e_i)$ from the value?

# %%
corners = torch.eye(3, dtype=torch.float64)
torch.manual_seed(0)
p = torch.distributions.Dirichlet(torch.ones(3, dtype=torch.float64)).sample((1000,))
losses = programme.loss(corners, p[:, None])  # [1000, 3]: f of each class
error = ((p * losses).sum(-1) - programme.value(p)).abs()
print(f"largest difference of E[f(D)] and the value: {error.max():.0e}")

# %% [markdown]
# By rounding errors only.
#
# ## 3 · Where the dice break
#
# For $i \ne j$ the denominator is $(1 - 3 (p_i + p_j)) / 9$, which is zero where $p_i + p_j = 1/3$. Then
# the third probability is $p_k = 2/3$: these are the dashed lines. We let $p_3$ grow, and cross one of them.
#
# **Predict:** what happens to $f$ of each class on the way, and what to the average?

# %%
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
# $p = \mathrm{softmax}(\theta)$. So REINFORCE has a second term, which notebook 3 did not need:
#
# $$\nabla_{\mathrm{REINF}} = f(D, \theta)\, \frac{\partial \log p_\theta(D)}{\partial \theta}
# + \frac{\partial f(D, \theta)}{\partial \theta} \qquad (2)$$
#
# The estimators of this course are about the first term. The second is taken at the $D$ that was drawn, and
# simply added to each of them. Section 2 of the paper sets it aside ("we assume henceforth that $f(D,
# \theta) = f(D)$").
#
# **Predict:** at $p = (0.5, 0.3, 0.2)$ gradient descent should take from $\theta_1$ and give to
# $\theta_3$, to bring $p$ to the middle. Does the first term do this by itself?

# %%
logits = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
average = logits.exp() @ programme.direct_gradient(corners, logits)
for name, gradient in [
    ("first term: A held fixed", programme.gradient(logits, fixed=True)),
    ("second term, on average", average),
    ("the whole derivative", programme.gradient(logits)),
]:
    print(f"{name:25}", "  ".join(f"{x:7.4f}" for x in gradient))


# %% [markdown]
# Descent subtracts the gradient. The first term is small, and for $\theta_3$ it even has the wrong sign:
# with $A$ held fixed one does not minimise the programme. We shall see it happen in section 8. For a
# study of the *variance* either may be chosen, and the choice matters. The figures offer both.
#
# ### Exercise 2 · Hold A fixed
#
# A program does not write equation (2) down; it calls `backward`. Which term it gets depends on a
# `detach` in the right place: `x.detach()` has the numbers of `x`, and is not differentiated. Write
# $\mathbb{E}[f(D)] = \sum_i p_i f(e_i)$ such that its derivative is the first term alone, on average.
# `programme`, and `corners` with the three $e_i$, are at hand.

# %% tags=["exercise"]
def expected_loss(logits):
    # Return E[f(D)], one number that depends on the logits.
    ...


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
# that ST-GS has ten times the variance. The paper estimates it by sampling. We need no samples: by the law
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

# %% tags=["exercise"]
def log_ratio(inner, outer, k):
    # inner and outer have the shape [m], one entry for each point; k may be infinite.
    # Return log10 var[ST-GS] − log10 var[GR-MCK], [m].
    ...


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
#    line, $f$ and the first term grow like 1/ε, the second like 1/ε². What is left of the ratio there?

# %%
panel = figures.variances()
panel

# %%
for derivative in ["fixed", "whole"]:
    panel.controls["derivative"].value = derivative
    for tau in [1.0, 0.5, 0.1]:
        panel.controls["tau"].value = tau
        print(panel.caption, "\n")

# %%
panel.controls["derivative"].value = "fixed"
for k in [1, 10, 1000, float("inf")]:
    panel.controls["k"].value = k
    print(panel.caption, "\n")

# %% [markdown]
# <details><summary><b>Answers</b></summary>
#
# 1. It is 0 everywhere: GR with $K = 1$ is ST-GS.
# 2. At small τ: with $A$ held fixed the median of the ratio is $10^{0.11}$ at τ = 1 and $10^{0.84}$, about
#    seven, at τ = 0.1. $K = 10$ brings three quarters of this exponent, and K = ∞ hardly more than 1000.
# 3. No. Near a line one entry of $A$ outweighs the rest and multiplies both gradients, so that it cancels
#    from the ratio. The map goes on across the lines, and at τ = 0.5 and 0.1 its largest value is beside one.
# 4. Nothing: on the lines the ratio tends to 1, its logarithm to 0. The second term outgrows the first, and
#    it is fixed by $D$: it is no noise of the Gumbels, so that GR cannot remove it.
#
# </details>

# %% [markdown]
# ## 6 · The paper's words, and our numbers
#
# The paper says of its figure, in section 5.2: "The improvement is universal. The pattern is not always
# intuitive (oval bull's eyes) … our estimator on this example appears more effective closer to the
# corners and edges … At lower temperatures, the difference between the two estimators becomes
# particularly acute." We take the claims one by one: the smallest value, and the median in four regions.
# Compare the columns with each other, and the rows from τ = 1 down to τ = 0.1.

# %%
from gumbelrao_edu.problems import exact_fields, gap, simplex_grid

p = simplex_grid(60)
line = (p.amax(-1) - 2 / 3).abs()  # distance from the nearest dashed line
regions = {
    "corners": p.amax(-1) > 0.9,
    "edges": (p.amin(-1) < 0.05) & (p.amax(-1) < 0.6),
    "lines": line < 0.02,
    "middle": p.amin(-1) > 0.2,
}
print(f"{'':32}smallest", *(f"{name:>9}" for name in regions))

# %%
for derivative in ["fixed", "whole"]:
    for tau in [1.0, 0.5, 0.1]:
        values = gap(exact_fields(programme, p, tau)[derivative], k=1000)
        medians = [values[region].median() for region in regions.values()]
        numbers = "".join(f"{x:10.3f}" for x in [values.min(), *medians])
        print(f"{derivative:6} derivative, τ = {tau:3g}, log10", numbers)

# %% [markdown]
# - **Universal?** Yes, as Proposition 2 says it must be: no value is below 0. With $A$ held fixed GR gains
#   everywhere, by a factor of at least $10^{0.07}$ at τ = 1. With the whole derivative the gain is next to
#   nothing beside the lines, and at τ = 1 in the middle: there the second term outweighs the first, and it
#   does not depend on the Gumbels.
# - **Acute at low temperatures?** Yes: every column grows as τ falls, where it does not stay at 0.
# - **More effective near the corners?** Yes, in all six rows. **Near the edges?** Against the middle only
#   a little at τ = 1, and at τ = 0.1 not at all.
# - **Oval bull's eyes?** On the map with $A$ held fixed we see none, only bright lines and corners. With the
#   whole derivative there are three, one about each line: a dark oval in a bright ring. So it may be that the
#   paper's figure was made with the whole derivative. Its text does not say, nor which temperatures.

# %% [markdown]
# ## 7 · As the paper did it
#
# Without (13) one draws: at each $p$ 100 gradients of ST-GS, and 100 of GR with $K = 1000$, which are 350
# million exponentials. The sample variance of each has a *standard error*: what it would scatter by if all
# were drawn again. In the table `gap` is the exact value of the map, `gap_mc` the sampled one, and `gap_se`
# its standard error; then both maps are drawn side by side.
#
# **Predict:** do 100 draws show the map? At how many points of 100 will they miss by two standard errors?

# %%
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
# All four means are. The command `python -m gumbelrao_edu reproduce fig1 --profile cpu` does this with 1,000
# draws at three temperatures, and writes figure and numbers to files.

# %% [markdown]
# ## 8 · Downhill
#
# Now we minimise the programme. Each run starts near a corner and takes 100 steps of stochastic gradient
# descent on θ, with one draw a step. The triangle shows one run of each estimator, the curves are
# medians of 25 runs.
#
# Every way from a corner to the minimum crosses a dashed line, where one gradient may be arbitrarily
# long. So each gradient is shortened to the length 1 if it is longer (*clipping*).
#
# **Predict:**
#
# 1. With the whole derivative, who arrives? Does τ matter?
# 2. With $A$ held fixed, does anybody arrive? Remember the tables of sections 3 and 4.

# %%
walks = figures.paths()
walks

# %%
for derivative in ["whole", "fixed"]:
    walks.controls["derivative"].value = derivative
    for tau in [1.0, 0.1]:
        walks.controls["tau"].value = tau
        print(walks.caption, "\n")

# %% [markdown]
# And without clipping? The next cell makes 200 runs with the whole derivative at τ = 0.2 and counts those
# that end above 0.5, that is, further up than where they started.

# %%
from gumbelrao_edu.problems import descend

start = torch.tensor([0.04, 0.04, 0.92], dtype=torch.float64).expand(200, 3)
hypers = {"reinforce": {}, "st_gumbel_softmax": {"tau": 0.2}, "gumbel_rao": {"tau": 0.2, "k": 100}}
for name, hyper in hypers.items():
    lost = {}
    for clip in [1.0, float("inf")]:
        generator = torch.Generator().manual_seed(0)
        options = {**hyper, "clip": clip, "generator": generator}
        path = descend(programme, name, start, whole=True, steps=100, learning_rate=0.3, **options)
        lost[clip] = (programme.value(path[-1]) > 0.5).sum()
    print(f"{name:18} lost: {lost[1.0]} of 200, without clipping {lost[float('inf')]} of 200")

# %% [markdown]
# <details><summary><b>Answers</b></summary>
#
# 1. All of them, and nearly side by side; only GS at τ = 1, which descends another function, is a
#    thousand times further up. Near the minimum the first term vanishes faster than the second, and the
#    second is common to all. Less variance shows elsewhere: without clipping REINFORCE loses about half
#    of its runs at the line, ST-GS a third, GR a seventh.
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
# - GR never has more variance than ST-GS. It gains most at small τ and near the corners, and little
#   where another source of noise outweighs the Gumbels.
# - When a loss depends on θ by itself, its own term belongs to the derivative. Without it one may descend
#   to somewhere else, however small the variance.
#
# **Next:** does less variance in one choice make a network learn better? In
# [6 · Learning to parse](06_listops.ipynb) such choices follow each other in a chain; in
# [7 · A discrete autoencoder](07_discrete_vae.ipynb) dozens are made side by side.
