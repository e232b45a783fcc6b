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
# # 3 · The Gumbel-Rao estimator
#
# *the idea, the formula, a first training*
#
# **After this notebook you can**
#
# - say what the straight-through Gumbel-Softmax does, and where its noise comes from,
# - derive the Gumbel-Rao estimator from it in one line, and compute it,
# - predict what the temperature τ and the number of samples K do to bias and variance,
# - write its backward pass yourself (optional),
# - train with it, and change one line of your own code.
#
# **You need** [1 · The Gumbel-max trick](01_gumbel_max.ipynb),
# [2 · Gumbels, given the choice](02_conditional_gumbels.ipynb), and backpropagation.
# **Time:** 60 minutes without exercise 3 and the last figure of section 5, which are optional.
#
# Numbers in parentheses, such as (6), are those of the equations in the
# [paper](https://arxiv.org/abs/2010.04838). The solutions of the exercises are in
# [a notebook of their own](solutions/03_gumbel_rao.ipynb).

# %% [markdown] tags=["links"]
# [Open in Binder](https://mybinder.org/v2/gh/gumbelrao-edu/gumbelrao_edu/main?urlpath=lab/tree/notebooks/03_gumbel_rao.ipynb) ·
# [Open in Colab](https://colab.research.google.com/github/gumbelrao-edu/gumbelrao_edu/blob/main/notebooks/03_gumbel_rao.ipynb)
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
# ## 1 · One choice, one gradient
#
# We draw one of $n = 3$ classes. The draw is a *one-hot* vector $D$: a one where the chosen class is,
# else zeros. The logits $\theta$ set the probabilities, $p = \mathrm{softmax}(\theta)$. A function $f$
# says how bad the choice is, and we want the $\theta$ that makes it small on average:
#
# $$\min_\theta \; \mathbb{E}[f(D)] \qquad (1)$$
#
# ($\mathbb{E}$, the *expectation*, is the mean over all draws; $\mathbb{E}[\,\cdot \mid D]$ below is the mean over
# those draws that lead to this $D$.) Here $f$ is the squared distance from a fixed target, which is nearest to
# class 2.

# %%
import torch

from gumbelrao_edu.course import write
from gumbelrao_edu.course.gumbel_rao import checks, figures

logits = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
target = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64)


def f(d):
    return (d - target).square().sum(-1)


write("probabilities p", logits.softmax(-1))
write("f of each class", f(torch.eye(3)))

# %% [markdown]
# With three classes the gradient can be computed exactly: sum $p_i f_i$ and differentiate. In a network
# that makes a hundred choices among eight classes the sum has $8^{100}$ terms, a number of 91 digits, and only
# sampling is left: an *estimator* draws a sample and computes from it a guess at the gradient. How far the
# average of the guesses is from the gradient is its *bias*, how much they scatter about this average its
# *variance*. We keep the exact gradient as the yardstick. It is negative for class 2: a step *against* the gradient makes
# class 2 more probable.

# %%
theta = logits.clone().requires_grad_()
(theta.softmax(-1) @ f(torch.eye(3, dtype=torch.float64))).backward()
exact = theta.grad
write("exact gradient", exact)

# %% [markdown]
# ## 2 · The straight-through Gumbel-Softmax
#
# Recall the Gumbel-max trick: add independent Gumbels $G$ to the logits, and the place of the largest sum
# is a draw $D$ from $p$. The softmax of the same sums is a smooth stand-in for it:
#
# $$D = \lim_{\tau \to 0} S_\tau, \qquad S_\tau = \mathrm{softmax}_\tau(\theta + G) \qquad (3)$$
#
# The *straight-through* estimator uses both. Forward, $f$ sees the true choice $D$. Backward, the
# derivative of $f$ is taken at $D$, and goes on to θ through $S_\tau$, as if $D$ moved with θ as $S_\tau$ does:
#
# $$\nabla_{\mathrm{STGS}} = \frac{\partial f(D)}{\partial D} \;
# \frac{d\, \mathrm{softmax}_\tau(\theta + G)}{d\theta} \qquad (6)$$
#
# The first factor is what backpropagation brings to the choice, a row of $n$ numbers. ($f$ is evaluated at
# corners only, but it has to have a derivative there: a network that takes $D$ as its input has one.) The
# second is the *Jacobian* of the softmax, the matrix of its $n \times n$ derivatives.
#
# **Predict:** three calls draw three times. If two of them draw the same class, do they give the same
# gradient?

# %% tags=["hide-output"]
from gumbelrao_edu import st_gumbel_softmax

generator = torch.Generator().manual_seed(2)
for _ in range(3):
    theta = logits.clone().requires_grad_()
    d = st_gumbel_softmax(theta, tau=0.5, generator=generator)
    f(d).backward()
    write(f"drew class {1 + d.argmax()}, gradient", theta.grad)

# %% [markdown]
# They do not: the forward pass was the same, the noise was not, and the backward pass depends on it.
# Remember this; it is what Gumbel-Rao removes. (The picture of both backward passes is in
# [0 · Start here](00_start_here.ipynb).)
#
# One estimate says little, so we take 20,000, each in a row of its own.

# %%
num_samples = 20_000


def estimates(estimator):
    rows = logits.expand(num_samples, 3).clone().requires_grad_()
    f(estimator(rows)).sum().backward()
    return rows.grad


st_gs = estimates(lambda rows: st_gumbel_softmax(rows, tau=0.5, generator=generator))
write("exact gradient", exact)
write("ST-GS, mean", st_gs.mean(0))
write("ST-GS, std deviation", st_gs.std(0))


# %% [markdown]
# Two faults show. The mean is not the exact gradient, and chance does not explain it (a standard error is
# 0.004): ST-GS is **biased**. And the standard deviation is two to five times the gradient itself: ST-GS is
# **noisy**. For this loss a smaller τ makes the first fault smaller. The second grows, as section 5 shows; notebook 4
# says why it does so for other losses, too.
#
# ### Exercise 1 · A row times the Jacobian
#
# For $s = \mathrm{softmax}_\tau(x)$ the Jacobian is
#
# $$\frac{\partial s_a}{\partial x_b} = \frac{1}{\tau} \left(s_a \, 1\{a = b\} - s_a s_b\right)$$
#
# where $1\{a = b\}$ is 1 if $a = b$, else 0.
# Multiply it from the left by a row $g$ and you get $n$ numbers. Write them with $s$, $g$ and
# $\langle g, s \rangle = \sum_a g_a s_a$, without a matrix.
#
# <details><summary>Hint</summary>
#
# Entry $b$ of the product is $\sum_a g_a\, \partial s_a / \partial x_b$. The sum over the first part has one
# term, and $s_b$ can be taken out of the second.
#
# </details>

# %% tags=["exercise"]
def row_times_jacobian(s, g, tau):
    # s has the shape [k, n] and g [n]; return one product for each row of s, [k, n].
    ...


# %% tags=["check"]
checks.check_softmax_vjp(row_times_jacobian)

# %% [markdown]
# ## 3 · Many noises, one choice
#
# Many values of $\theta + G$ have their largest entry at the same place, and so lead to the same $D$.
# We can turn the order around, as in notebook 2: first draw $D$, then noise *given* $D$. With independent
# exponentials $E_j$, $Z = \sum_j \exp \theta_j$ and $D_i = 1$,
#
# $$\theta_j + G_j \mid D \;\sim\; \begin{cases} -\log E_j + \log Z & j = i \\
# -\log\left(E_j / \exp \theta_j + E_i / Z\right) & \text{otherwise} \end{cases} \qquad (9)$$
#
# **Predict:** we fix $D$ = class 1 and draw four times. What do the four have in common?

# %% tags=["hide-output"]
from gumbelrao_edu import conditional_gumbel, tempered_softmax

first = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
perturbed = conditional_gumbel(logits, first, k=4, generator=generator)
for row in perturbed:
    write("θ + G", row)
    write("    S at τ = 0.5", tempered_softmax(row, 0.5))

# %% [markdown]
# Class 1 wins every time, by more or by less. The loss $f(D)$ does not see by how much; only the
# backward pass does, through the Jacobian. The picture shows it for three other noises, and as the last one the mean
# over all the noise that leads to class 1. **Look for** what the three have in common, and in what they differ.

# %%
figures.jacobians(logits)

# %% [markdown]
# The signs are the same, the sizes are not: when class 1 wins by far, the softmax is flat, and nearly
# nothing is passed back. The mean is the matrix that we want: it depends on $D$ alone. So let us average the
# backward pass over all the noise that leads to this $D$:
#
# $$\nabla_{\mathrm{GR}} = \frac{\partial f(D)}{\partial D} \;
# \mathbb{E}\left[ \frac{d\, \mathrm{softmax}_\tau(\theta + G)}{d\theta} \;\middle|\; D \right]
# = \mathbb{E}[\nabla_{\mathrm{STGS}} \mid D] \qquad (7)$$
#
# This is the **Gumbel-Rao estimator** (GR). Given $D$ the first factor is fixed, for $f$ has seen $D$ and nothing
# else. So it stands in front of the mean, and $f$ need not run again.
#
# Two laws of probability tell what happens to each entry of GR:
#
# - *The mean stays* (the law of total expectation). $\mathbb{E}[\nabla_{\mathrm{GR}}] = \mathbb{E}[\mathbb{E}[\nabla_{\mathrm{STGS}} \mid D]]
#   = \mathbb{E}[\nabla_{\mathrm{STGS}}]$. GR has the bias of ST-GS, no more and no less.
# - *The variance falls* (the law of total variance). $\mathrm{var}[\nabla_{\mathrm{STGS}}] = \mathrm{var}[\nabla_{\mathrm{GR}}]
#   + \mathbb{E}[\mathrm{var}[\nabla_{\mathrm{STGS}} \mid D]]$, and the last term, the noise that the
#   loss never saw, is gone.
#
# To replace an estimator by its mean given a part of the randomness, here given $D$, the part that $f$ sees, is called
# *Rao-Blackwellization*: the Rao in the name.

# %% [markdown]
# ## 4 · K samples in place of the expectation
#
# We draw $\theta + G$ given $D$ not once but $K$ times, and average:
#
# $$\nabla_{\mathrm{GRMCK}} = \frac{\partial f(D)}{\partial D} \; \frac{1}{K} \sum_{k=1}^K
# \frac{d\, \mathrm{softmax}_\tau(\theta + G^k)}{d\theta}, \qquad \theta + G^k \sim \theta + G \mid D
# \qquad (10)$$
#
# $f$ is still evaluated once. The $K$ samples cost a few operations on $n$ numbers each. Beside a large network that is
# little. In the large autoencoder of notebook 7 (80 choices among 8 classes, 20 images at a time, our layers of 512 and
# 256) a step took 1.4 times as long as with ST-GS for $K = 10$, and 2.9 times for 100, on one core of a CPU
# (`benchmarks/README.md`). Beside a smaller network they weigh more.
#
# The expectation itself, $K = \infty$, can be computed as well, by numerical integration.
#
# **Predict:** what is GR with $K = 1$? What changes with $K = 10$, $100$ and $\infty$: the mean, the
# standard deviation, or both?

# %% tags=["hide-output"]
import math

from gumbelrao_edu import gumbel_rao

gr = {}
for k in [1, 10, 100, math.inf]:
    gr[k] = estimates(lambda rows, k=k: gumbel_rao(rows, tau=0.5, k=k, generator=generator))

write("ST-GS, std deviation", st_gs.std(0))
for k in gr:
    write(f"GR K = {k}, std deviation", gr[k].std(0))

# %% [markdown]
# $K = 1$ has the spread of ST-GS: one sample of the noise given a sample of $D$ is simply a sample of
# the noise. At this τ, 0.5, little is left to gain from $K = 10$ on, since one part of the variance is that of
# $D$ itself, which no $K$ removes. At a lower τ more is left, as section 5 shows.
#
# And the means? They come from different random draws, so they are never quite equal. Their *standard
# error* says how far apart chance may bring them: up to two are usual.

# %%
write("ST-GS, mean", st_gs.mean(0))
for k in gr:
    write(f"GR K = {k}, mean", gr[k].mean(0))
    error = (gr[k].var(0) + st_gs.var(0)).div(num_samples).sqrt()
    distance = ((gr[k].mean(0) - st_gs.mean(0)) / error).abs().max()
    print(f"    at most {distance:.1f} standard errors from that of ST-GS")
    assert distance < 5

# %% [markdown]
# ### One draw by hand
#
# One sample of (10) can be done by hand. Notebook 2 has drawn noise for the rates $\exp \theta = (2, 1, 1)$, given
# that class 1 has won. At τ = 1 its weights were $r = (1, \frac14, \frac17)$, so $S_\tau = (28, 7, 4)/39$. Let
# backpropagation bring $g = (0, 5, 1)$, and use exercise 1:
#
# | vector | class 1, drawn | class 2 | class 3 | sum |
# |---|---|---|---|---|
# | $S_\tau$ | 28/39 | 7/39 | 4/39 | 1 |
# | $g$ | 0 | 5 | 1 | |
# | $g \odot S_\tau$, entry by entry | 0 | 35/39 | 4/39 | $\langle g, S_\tau \rangle = 1$ |
# | $S_\tau \odot (g - 1) / \tau$ | −28/39 = −0.718 | 28/39 = 0.718 | 0 | 0 |
#
# The last line is one estimate of the gradient; (10) is the mean of $K$ such lines. A step against it raises
# $\theta_1$ and lowers $\theta_2$; $\theta_3$ stays, since $g_3$ is just the mean $\langle g, S_\tau \rangle$. PyTorch
# finds the same, from the times at which the clocks rang, 0.1, 0.4 and 0.7:

# %%
sums = (-torch.tensor([0.1, 0.4, 0.7]).log()).requires_grad_()  # θ + G
(tempered_softmax(sums, 1.0) @ torch.tensor([0.0, 5.0, 1.0])).backward()
write("one estimate", sums.grad)
assert torch.allclose(sums.grad, torch.tensor([-28.0, 28.0, 0.0]) / 39, atol=1e-6)


# %% [markdown]
# ### Exercise 2 · How much does K buy?
#
# Given $D$, the $K$ samples in (10) are independent, and the variance of a mean of $K$ independent numbers
# is that of one, divided by $K$. Use the law of total variance of section 3, once for ST-GS and once for
# GR with $K$ samples, to express $\mathrm{var}[\nabla_{\mathrm{GRMCK}}]$ by
# $\mathrm{var}[\nabla_{\mathrm{STGS}}]$ and $\mathrm{var}[\nabla_{\mathrm{GR}}]$. (The answer is Proposition 3 of
# the paper, for a single gradient.)
#
# <details><summary>Hint</summary>
#
# Write $a = \mathrm{var}[\nabla_{\mathrm{GR}}]$ and $b = \mathbb{E}[\mathrm{var}[\nabla_{\mathrm{STGS}} \mid D]]$.
# The law says $\mathrm{var}[\nabla_{\mathrm{STGS}}] = a + b$. Which of the two does the mean of $K$ samples divide?
#
# </details>

# %% tags=["exercise"]
def variance(k, var_st_gs, var_gr):
    # var_st_gs is var[∇STGS], var_gr is var[∇GR], both numbers; return var[∇GRMCK].
    ...


# %% tags=["check"]
checks.check_variance(variance)


# %% [markdown]
# ### Exercise 3 · The backward pass, by hand
#
# *Optional, 15 minutes, with the two cells on the erratum.* Appendix A of the paper builds GR by changing
# backpropagation. In PyTorch this is a class with two functions. `forward` computes the result and keeps in
# `ctx` what the way back will need. `backward` gets $g = \partial f(D)/\partial D$ and returns one gradient for
# each argument of `forward`, or None where none is needed.
#
# Here $D$ and the exponentials $E$, one row for each of the $K$ samples, are given. `forward` is written
# already; replace the None in `backward` by (10). You have both parts: from notebook 2 the softmax given $D$,
#
# $$r_j = \left(1 + \frac{E_j}{E_i\, p_j}\right)^{-1/\tau}, \qquad r_i = 1, \qquad
# s = \frac{r}{\sum_j r_j},$$
#
# and from exercise 1 the product of $g$ and the Jacobian at $s$. (If you left exercise 1 out, take its function from
# the solutions.)
#
# <details><summary>Hint</summary>
#
# $i$ is `one_hot.argmax()`, $E_i$ is the column `e[:, [i]]`. Compute $r$ for all $j$, then set column $i$ to 1.
# `row_times_jacobian` gives $K$ rows; what (10) asks for is their mean.
#
# </details>

# %% tags=["exercise"]
class GRMCK(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, one_hot, e, tau):
        ctx.save_for_backward(logits, one_hot, e)  # shapes [n], [n] and [K, n]
        ctx.tau = tau
        return one_hot.clone()

    @staticmethod
    def backward(ctx, g):
        logits, one_hot, e = ctx.saved_tensors
        grad_logits = None  # Write (10) here.
        return grad_logits, None, None, None


# %% tags=["check"]
checks.check_backward(GRMCK)

# %% [markdown]
# > **An erratum.** Under (10) the paper says that the derivative is taken through $G^k$ as well, that is,
# > through the dependence on $\theta$ in (9). It must not be. $G^k$ is held fixed, as in the paper's own
# > pseudo-code. Only then is $K = 1$ the same as ST-GS, and only then do (10) and (7)
# > have the same mean.
#
# How large is the difference? The next cells do it both ways at τ = 1 and $K = 1$. `gumbel_rao` holds $G^k$ fixed.

# %%
from gumbelrao_edu import gumbel_max
from gumbelrao_edu.surrogate import replace_gradient


def through_9(rows):
    d = gumbel_max(rows.detach(), generator=generator)[0]
    perturbed = conditional_gumbel(rows, d, k=1, generator=generator)[0]  # (9), which depends on θ
    return replace_gradient(d, tempered_softmax(perturbed, 1.0))  # forward d, backward the softmax


# %%
ways = {
    "held fixed": lambda rows: gumbel_rao(rows, tau=1.0, k=1, generator=generator),
    "through G^k": through_9,
    "ST-GS": lambda rows: st_gumbel_softmax(rows, tau=1.0, generator=generator),
}
for name, way in ways.items():
    gradients = estimates(way)
    write(f"{name}, mean", gradients.mean(0))
    write("    standard errors", gradients.std(0) / num_samples**0.5)

# %% [markdown]
# Held fixed, the mean is that of ST-GS within the errors. Through $G^k$ it is another one: a good part of the
# gradient cancels. [4 · Why it works](04_why_it_works.ipynb) says why.

# %% [markdown]
# ## 5 · Two knobs
#
# The figure shows 2,000 estimates of the first entry of the gradient, for both estimators. The black
# line is where all of them should be. The dashed line is their common mean, so the distance between the
# two lines is the bias. The axis stays where it is; the sentence below counts what lies outside. The last
# position of K, ∞, is the expectation (7) itself, computed without sampling.
#
# **Predict before you move a slider:**
#
# 1. Which of the lines moves with K? Which moves with τ?
# 2. To which value do the standard deviations tend when τ is large?
# 3. At which end of τ is GR worth most?

# %%
panel = figures.histogram(f, logits)
panel

# %% [markdown]
# The next cell reads off what the sentence says at other positions.

# %% tags=["hide-output"]
for caption in panel.captions(tau=[10.0, 0.1], k=[1, 100]):
    print(caption, "\n")

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. None moves with K: neither the truth nor the mean of the estimators depends on it. The dashed line
#    moves with τ. At a large τ it is near 0. As τ falls it crosses the black line, goes too far, and comes back
#    towards it below τ = 0.5. (That is one entry of the gradient.)
# 2. Towards zero, like 1/τ, and with them the mean: a flat softmax has no gradient. At τ = 10 all is in two
#    bars beside 0. Little variance is worth nothing if all that is left is bias.
# 3. At small τ. There the bias is small, the variance of ST-GS is large, and most of it is noise that the
#    loss never saw. At τ = 0.1 and K = 100 more than half of the standard deviation is gone.
#    That is how GR is used: it makes low temperatures affordable.
#
# As K grows the blue bars gather in heaps, one for each class, and with K = ∞ in a bar for each class: given
# $D$, GR is a fixed number. (From τ = 2 on, classes 2 and 3 share a bar.) Whatever spread remains is the spread
# between the classes.
#
# </details>
#
# This was one entry of three. The entries of each estimate sum to zero, so that we can draw the whole
# gradient as an arrow in a plane, in which each class has its direction. Here are 60 estimates of each
# estimator.
#
# **Predict:** how does the picture of ST-GS look at τ = 0.1? How many different arrows are left in that
# of Gumbel-Rao, with K = ∞? Then move both sliders.

# %%
panel = figures.arrows(f, logits)
panel

# %% tags=["hide-output"]
for caption in panel.captions(tau=[0.1], k=[1, math.inf]):
    print(caption, "\n")

# %% [markdown]
# At a low temperature ST-GS is mostly close to nothing, and now and then far too much. GR with K = ∞ has three
# arrows, one for each class, and their average, weighted by $p$, is the thick one. No single arrow is like the
# exact gradient, with either estimator: only averages are.
#
# *Optional, 8 minutes.* So, which temperature? The *mean squared error* (MSE) counts both faults: it is bias²
# plus variance, summed over the entries. In the next figure each estimate is the mean of $B = 64$ draws, as in a
# minibatch. The curves are computed. The points are the MSE of GR, measured, with bars of two standard errors. A star
# marks the lowest point of the curve of its colour. At $K = 1$ both estimators are one.
#
# **Predict:** to which side does the star of GR go when $K$ grows? Then move the slider of $K$.

# %%
panel = figures.mse_over_tau(f, logits, start=1)
panel

# %% tags=["hide-output"]
for caption in panel.captions(b=[64], k=[1, 10, math.inf]):
    print(caption, "\n")

# %% [markdown]
# To the left, but only from 1 to 0.79: with less variance to fear, one can afford a lower temperature, and so less
# bias. For this loss the lowest MSE hardly changes. What changes is the price of a low temperature: at τ = 0.05
# ST-GS has 16 times the MSE of $K = \infty$. Notebook 4 comes back to this figure, with a loss for which the star
# moves further.
#
# **A trap.** Move $B$ to 1. The best τ is now at the right end, and its MSE is three quarters of the dotted
# line. The dotted line is what returning zero gives. A single estimate of this small gradient is so noisy that the
# best answer is to return much too little: the mean at τ = 5 is a quarter as long as the gradient. The MSE is a good judge
# of the average of many estimates, and a bad one of a single one.

# %%
for caption in panel.captions(b=[1], k=[1, math.inf]):
    print(caption, "\n")

# %% [markdown]
# ## 6 · A first training
#
# What is all this worth when something is learned? Here is the problem of
# [0 · Start here](00_start_here.ipynb) from the inside: twenty choices among eight vectors each, whose sum
# has to come near to a target. The training is plain gradient descent, eight times from the same start. The
# function returns the expected losses. (The random draws are not those of notebook 0, so that the numbers differ.)

# %%
from gumbelrao_edu.problems.mixture import Mixture

problem = Mixture.draw(choices=20, classes=8)


def train(tau, k, steps=200):
    theta = torch.zeros(8, 20, 8, requires_grad=True)  # eight runs; all classes equally probable
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps + 1):
        losses.append(problem.mean(theta.detach()))  # E[f(D)], known here without sampling
        d = gumbel_rao(theta, tau=tau, k=k, generator=generator)  # K = 1 is ST-GS
        (gradient,) = torch.autograd.grad(problem(d).sum(), theta)
        with torch.no_grad():
            theta -= 0.3 * gradient
    return torch.stack(losses)  # [steps + 1, runs]


# %% [markdown]
# The first cell prints where the eight runs end on average. The second draws the mean of their curves, with a
# slider for τ.
#
# **Predict:** at which of the two temperatures, 0.05 and 1, do ST-GS and GR differ more?

# %% tags=["hide-output"]
runs = {
    (name, tau): train(tau, k)
    for tau in [0.05, 1.0]
    for name, k in [("ST-GS", 1), ("GR", math.inf)]
}
for (name, tau), curves in runs.items():
    end = curves[-1]
    print(f"τ = {tau}: {name:5} ends at {end.mean():4.1f} ± {2 * end.std() / 8**0.5:.1f}")

# %% tags=["hide-output"]
figures.trainings({key: curves.mean(1).tolist() for key, curves in runs.items()})

# %% [markdown]
# (± is two standard errors of the mean of eight runs.) At τ = 1 the difference may be chance: there the noise that GR takes out is small. At τ = 0.05
# ST-GS gets stuck at a high loss, while GR goes on. Nothing else was changed: at the same weights the mean of the
# gradient is the same, the variance is not. (τ = 1 serves both better here. What GR changes is the price of a low temperature.)

# %% [markdown]
# ## 7 · In your own code
#
# You may have used PyTorch's ST-GS:
#
# ```python
# sample = F.gumbel_softmax(logits, tau=0.5, hard=True)
# ```
#
# Gumbel-Rao is a change of this line, and of nothing else:
#
# ```python
# sample = gumbel_rao(logits, tau=0.5, k=100)
# ```
#
# Both return a one-hot sample that carries the gradient, and $f$ is evaluated once. The next cell runs
# both, with τ = 0.25 and each on the 20,000 rows, and compares the standard deviations of the whole gradient, the
# root of the sum of the variances of its entries.

# %%
import torch.nn.functional as F

torch.manual_seed(0)  # F.gumbel_softmax has no generator of its own
before = estimates(lambda rows: F.gumbel_softmax(rows, tau=0.25, hard=True))
after = estimates(lambda rows: gumbel_rao(rows, tau=0.25, k=100))
for name, gradients in [("F.gumbel_softmax", before), ("gumbel_rao", after)]:
    print(f"{name:18} standard deviation {gradients.var(0).sum().sqrt():.1f}")

# %% [markdown]
# About half of the standard deviation is gone.

# %% [markdown]
# ## What to take along
#
# - ST-GS (6) runs $f$ on a true choice and differentiates a softmax of the same noise. It is biased, and
#   for the loss of this notebook less so at small τ (for others the bias may stay; see notebook 4). At small τ
#   it is noisy.
# - Part of this noise never reached $f$. GR (7) averages it away: the same mean, less variance. With $K$
#   samples it is (10), and $K = 1$ is ST-GS.
# - $K$ buys variance only, with diminishing returns, and costs no evaluation of $f$. τ trades bias for
#   variance, and with GR small τ costs less.
# - In a training this shows at low temperatures: ST-GS gets stuck where GR goes on.

# %% [markdown]
# ## Check yourself
#
# **1.** What does the forward pass of GR do that ST-GS does not?
#
# <details><summary>Answer</summary>
#
# Nothing. Both run $f$ on one true choice; they differ in the backward pass alone.
#
# </details>
#
# **2.** Two draws give the same class. Do ST-GS and GR with $K = \infty$ then give the same gradient twice?
#
# <details><summary>Answer</summary>
#
# GR does, since it depends on $D$ alone. ST-GS does not: its noise differs.
#
# </details>
#
# **3.** You raise $K$ from 10 to 1,000 and the bias does not change. Is something wrong?
#
# <details><summary>Answer</summary>
#
# No. $K$ averages over noise given $D$, which leaves the mean as it is. The bias is that of ST-GS; τ changes it.
#
# </details>
#
# **4.** $\mathrm{var}[\nabla_{\mathrm{STGS}}] = 9$ and $\mathrm{var}[\nabla_{\mathrm{GR}}] = 1$. Which $K$ gives 2?
#
# <details><summary>Answer</summary>
#
# $1 + 8/K = 2$ gives $K = 8$.
#
# </details>
#
# **5.** (On the trap of section 5, optional.) Why is the τ with the lowest MSE of a single estimate a bad choice?
#
# <details><summary>Answer</summary>
#
# For one noisy estimate the MSE is lowest where the mean is far too short, here a quarter as long as the gradient. An
# optimiser averages over many steps, and there this bias counts.
#
# </details>
#
# **6.** (On exercise 3, optional.) Through what must the derivative not run?
#
# <details><summary>Answer</summary>
#
# Through the dependence of $G^k$ on $\theta$ in (9). $G^k$ is held fixed.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - The paper, sections 2 and 3, and its appendix A with the pseudo-code:
#   [Paulus, Maddison & Krause (2021)](https://arxiv.org/abs/2010.04838).
# - Where ST-GS comes from: [Jang, Gu & Poole (2017)](https://arxiv.org/abs/1611.01144) and
#   [Maddison, Mnih & Teh (2017)](https://arxiv.org/abs/1611.00712).
# - All kinds of gradient estimators in one survey:
#   [Mohamed, Rosca, Figurnov & Mnih (2020)](https://arxiv.org/abs/1906.10652).
#
# **Next:** is the mean really the same, and how much variance falls away? The paper has three propositions
# on it, and each has a proof of a few lines: [4 · Why it works](04_why_it_works.ipynb). If you would
# rather see a network learn first, go to [7 · A discrete autoencoder](07_discrete_vae.ipynb), where
# eighty such choices are made for each image. What else there is beside GR, and when to use what, is in
# [8 · Relatives, old and new](08_relatives.ipynb).
