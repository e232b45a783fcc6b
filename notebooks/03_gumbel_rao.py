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
# *the idea, the formula, its relatives*
#
# **After this notebook you can**
#
# - say what the straight-through Gumbel-Softmax does, and where its noise comes from,
# - derive the Gumbel-Rao estimator from it in one line, and compute it,
# - predict what the temperature τ and the number of samples K do to bias and variance,
# - write its backward pass yourself,
# - say what it has over REINFORCE and its other relatives, and what it has not,
# - use the estimator in your own training code.
#
# **You need** [1 · The Gumbel-max trick](01_gumbel_max.ipynb),
# [2 · Gumbels, given the choice](02_conditional_gumbels.ipynb), and backpropagation.
# **Time:** 95 minutes.
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
# those draws that lead to this $D$.) Here $f$ is the squared distance from a fixed target.

# %%
import torch

logits = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
target = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)


def f(d):
    return (d - target).square().sum(-1)


def show(name, numbers):
    print(f"{name:26}", "  ".join(f"{number:6.3f}" for number in numbers))


show("probabilities p", logits.softmax(-1))
show("f of each class", f(torch.eye(3)))

# %% [markdown]
# With three classes the gradient can be computed exactly: sum $p_i f_i$ and differentiate. In a network
# that makes a hundred choices among eight classes the sum has $8^{100}$ terms, and only sampling is left: an *estimator* draws a sample and computes from it a guess at the gradient. How far the guesses
# are off on average is its *bias*, how much they scatter about their own average its *variance*. We keep
# the exact gradient as the yardstick.

# %%
theta = logits.clone().requires_grad_()
(theta.softmax(-1) @ f(torch.eye(3, dtype=torch.float64))).backward()
exact = theta.grad
show("exact gradient", exact)

# %% [markdown]
# ## 2 · The straight-through Gumbel-Softmax
#
# Recall the Gumbel-max trick: add independent Gumbels $G$ to the logits, and the place of the largest sum
# is a draw $D$ from $p$. The softmax of the same sums is a smooth stand-in for it:
#
# $$D = \lim_{\tau \to 0} S_\tau, \qquad S_\tau = \mathrm{softmax}_\tau(\theta + G) \qquad (3)$$
#
# The *straight-through* estimator uses both. Forward, $f$ sees the true choice $D$. Backward, the
# gradient pretends that it had been $S_\tau$:
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

# %%
from gumbelrao_edu import st_gumbel_softmax

generator = torch.Generator().manual_seed(2)
for _ in range(3):
    theta = logits.clone().requires_grad_()
    d = st_gumbel_softmax(theta, tau=0.5, generator=generator)
    f(d).backward()
    show(f"drew class {1 + d.argmax()}, gradient", theta.grad)

# %% [markdown]
# They do not: the forward pass was the same, the noise was not, and the backward pass depends on it.
# Remember this; it is what Gumbel-Rao removes.
#
# One estimate says little, so we take 20,000, each in a row of its own.

# %%
num_samples = 20_000


def estimates(estimator):
    rows = logits.expand(num_samples, 3).clone().requires_grad_()
    f(estimator(rows)).sum().backward()
    return rows.grad


st_gs = estimates(lambda rows: st_gumbel_softmax(rows, tau=0.5, generator=generator))
show("exact gradient", exact)
show("ST-GS, mean", st_gs.mean(0))
show("ST-GS, std deviation", st_gs.std(0))


# %% [markdown]
# Two faults show. The mean is not the exact gradient: ST-GS is **biased**. And the standard deviation
# is several times the gradient itself: ST-GS is **noisy**. A smaller τ makes the first fault smaller
# and the second larger.
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

# %% tags=["exercise"]
def row_times_jacobian(s, g, tau):
    # s has the shape [k, n] and g [n]; return one product for each row of s, [k, n].
    ...


# %% tags=["check"]
from gumbelrao_edu.course.gumbel_rao import checks, figures

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

# %%
from gumbelrao_edu import conditional_gumbel, tempered_softmax

first = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
perturbed = conditional_gumbel(logits, first, k=4, generator=generator)
for row in perturbed:
    show("θ + G", row)
    show("    S at τ = 0.5", tempered_softmax(row, 0.5))

# %% [markdown]
# Class 1 wins every time, by more or by less. The loss $f(D)$ does not see by how much; only the
# backward pass does. So let us average the backward pass over all the noise that leads to this $D$:
#
# $$\nabla_{\mathrm{GR}} = \frac{\partial f(D)}{\partial D} \;
# \mathbb{E}\left[ \frac{d\, \mathrm{softmax}_\tau(\theta + G)}{d\theta} \;\middle|\; D \right]
# = \mathbb{E}[\nabla_{\mathrm{STGS}} \mid D] \qquad (7)$$
#
# This is the **Gumbel-Rao estimator** (GR). Two laws of probability tell all that happens to it:
#
# - *The mean stays* (the law of total expectation). $\mathbb{E}[\nabla_{\mathrm{GR}}] = \mathbb{E}[\mathbb{E}[\nabla_{\mathrm{STGS}} \mid D]]
#   = \mathbb{E}[\nabla_{\mathrm{STGS}}]$. GR has the bias of ST-GS, no more and no less.
# - *The variance falls* (the law of total variance). $\mathrm{var}[\nabla_{\mathrm{STGS}}] = \mathrm{var}[\nabla_{\mathrm{GR}}]
#   + \mathbb{E}[\mathrm{var}[\nabla_{\mathrm{STGS}} \mid D]]$, and the last term, the noise that the
#   loss never saw, is gone.
#
# To average an estimator given what matters is called *Rao-Blackwellization*: the Rao in the name.

# %% [markdown]
# ## 4 · K samples in place of the expectation
#
# We draw $\theta + G$ given $D$ not once but $K$ times, and average:
#
# $$\nabla_{\mathrm{GRMCK}} = \frac{\partial f(D)}{\partial D} \; \frac{1}{K} \sum_{k=1}^K
# \frac{d\, \mathrm{softmax}_\tau(\theta + G^k)}{d\theta}, \qquad \theta + G^k \sim \theta + G \mid D
# \qquad (10)$$
#
# $f$ is still evaluated once. The $K$ samples cost a few operations on $n$ numbers each, which beside a
# network is little.
#
# The expectation itself, $K = \infty$, can be computed as well, by numerical integration.
#
# **Predict:** what is GR with $K = 1$? What changes with $K = 10$, $100$ and $\infty$: the mean, the
# standard deviation, or both?

# %%
import math

from gumbelrao_edu import gumbel_rao

gr = {}
for k in [1, 10, 100, math.inf]:
    gr[k] = estimates(lambda rows, k=k: gumbel_rao(rows, tau=0.5, k=k, generator=generator))

show("ST-GS, std deviation", st_gs.std(0))
for k in gr:
    show(f"GR K = {k}, std deviation", gr[k].std(0))

# %% [markdown]
# $K = 1$ has the spread of ST-GS: one sample of the noise given a sample of $D$ is simply a sample of
# the noise. At this τ, 0.5, little is left to gain from $K = 10$ on, since one part of the variance is that of
# $D$ itself, which no $K$ removes. At a lower τ more is left, as section 5 shows.
#
# And the means? They come from different random draws, so they are never quite equal. Their *standard
# error* says how far apart chance may bring them; twice as far is not unusual.

# %%
show("ST-GS, mean", st_gs.mean(0))
for k in gr:
    show(f"GR K = {k}, mean", gr[k].mean(0))
    error = (gr[k].var(0) + st_gs.var(0)).div(num_samples).sqrt()
    distance = ((gr[k].mean(0) - st_gs.mean(0)) / error).abs().max()
    print(f"    at most {distance:.1f} standard errors from that of ST-GS")
    assert distance < 5


# %% [markdown]
# ### Exercise 2 · How much does K buy?
#
# Given $D$, the $K$ samples in (10) are independent, and the variance of a mean of $K$ independent numbers
# is that of one, divided by $K$. Use the law of total variance of section 3, once for ST-GS and once for
# GR with $K$ samples, to express $\mathrm{var}[\nabla_{\mathrm{GRMCK}}]$ by
# $\mathrm{var}[\nabla_{\mathrm{STGS}}]$ and $\mathrm{var}[\nabla_{\mathrm{GR}}]$. (The answer is Proposition 3 of
# the paper, for a single gradient.)

# %% tags=["exercise"]
def variance(k, st_gs, gr):
    # st_gs is var[∇STGS], gr is var[∇GR], both numbers; return var[∇GRMCK].
    ...


# %% tags=["check"]
checks.check_variance(variance)


# %% [markdown]
# ### Exercise 3 · The backward pass, by hand
#
# Appendix A of the paper builds GR by changing backpropagation. In PyTorch this is a class with two
# functions. `forward` computes the result and keeps in `ctx` what the way back will need. `backward` gets
# $g = \partial f(D)/\partial D$ and returns one gradient for each argument of `forward`, or None where
# none is needed.
#
# Here $D$ and the exponentials $E$, one row for each of the $K$ samples, are given. `forward` is written
# already; replace the None in `backward` by (10). You have both parts: from notebook 2 the softmax given $D$,
#
# $$r_j = \left(1 + \frac{E_j}{E_i\, p_j}\right)^{-1/\tau}, \qquad r_i = 1, \qquad
# s = \frac{r}{\sum_j r_j},$$
#
# and from exercise 1 the product of $g$ and the Jacobian at $s$.

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
# > through the dependence on $\theta$ in (9). It must not be. You have held $\theta + G^k$ fixed, as the
# > paper's own pseudo-code does. Only then is $K = 1$ the ST-GS and the mean of (10) that of (7).
# > Notebook 4 measures the difference.

# %% [markdown]
# ## 5 · Two knobs
#
# The figure shows 2,000 estimates of the first entry of the gradient, for both estimators. The black
# line is where all of them should be. The dashed line is their common mean, so the distance between the
# two lines is the bias. The last position of K, ∞, is the expectation (7) itself, computed without
# sampling.
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
# The sliders can be moved from code, too. This reads off the captions at the two ends.

# %%
for tau in [2.0, 0.1]:
    for k in [1, 100]:
        panel.controls["tau"].value = tau
        panel.controls["k"].value = k
        print(panel.caption, "\n")

# %% [markdown]
# <details><summary><b>Answers</b></summary>
#
# 1. None moves with K: neither the truth nor the mean of the estimators depends on it. The dashed line
#    moves with τ, towards the exact gradient as τ falls.
# 2. Towards zero, like 1/τ, and with them the mean: a flat softmax has no gradient. Little variance is worth
#    nothing if all that is left is bias.
# 3. At small τ. There the bias is small, the variance of ST-GS is large, and nearly all of it is noise
#    that the loss never saw. At τ = 0.1 and K = 100 more than half of the standard deviation is gone.
#    That is how GR is used: it makes low temperatures affordable.
#
# As K grows the blue bars gather in heaps, one for each class, and with K = ∞ in a bar for each class: given
# $D$, GR is a fixed number. (Those of class 2 and class 3 are nearly the same number here, so that you see
# two bars.) Whatever spread remains is the spread between the classes.
#
# </details>
#
# This was one entry of three. The entries of each estimate sum to zero, so that we can draw the whole
# gradient as an arrow in a plane; up is class 1. Here are 60 estimates of each estimator.
#
# **Predict:** how does the picture at the left look at τ = 0.1? How many different arrows are left at the
# right, with K = ∞?

# %%
panel = figures.arrows(f, logits)
panel

# %%
panel.controls["tau"].value = 0.1
for k in [1, math.inf]:
    panel.controls["k"].value = k
    print(panel.caption, "\n")

# %% [markdown]
# At a low temperature ST-GS is mostly close to nothing, and now and then far too much. GR with K = ∞ has three arrows,
# one for each class, and their average, weighted by $p$, is the thick one. No single arrow is like the
# exact gradient, with either estimator: only averages are.
#
# So, which temperature? The *mean squared error* (MSE) counts both faults: it is bias² plus variance,
# summed over the entries. In the next figure the curves are computed and the points are measured, and
# each estimate is the mean of $B = 64$ draws, as in a minibatch.
#
# **Predict:** the two stars are the best τ of ST-GS and of GR. To which side does that of GR move when $K$
# grows?

# %%
panel = figures.mse_over_tau(f, logits)
panel

# %%
for k in [1, 10, math.inf]:
    panel.controls["k"].value = k
    print(panel.caption, "\n")

# %% [markdown]
# To the left: with less variance to fear, one can afford a lower temperature, and so less bias. Notebook 4
# comes back to this figure.

# %% [markdown]
# ## 6 · The relatives
#
# ST-GS and GR are two of a family.
#
# - **GS** (4), the Gumbel-Softmax: $f$ sees $S_\tau$ itself, forward and backward. It needs an $f$ that
#   can be evaluated between the classes.
# - **ST** (5): like ST-GS, but the backward pass differentiates $\mathrm{softmax}_\tau(\theta)$, without
#   noise.
# - **ZGR**: what GR tends to as τ → 0, a closed form. Notebook 4 derives it.
# - **REINFORCE** (2): $f(D) \, \nabla_\theta \log p(D)$. It needs no derivative of $f$.
# - **RLOO**: the mean of REINFORCE over four draws, where from each $f(D)$ the mean of the other three is
#   subtracted. It costs four evaluations of $f$.
#
# **Predict:** which of them are unbiased here? And is GR the best of all?

# %%
from gumbelrao_edu.diagnostics import gradient_samples, summarise


def measure(name, estimator, **hyper):
    seeded = torch.Generator().manual_seed(6)
    gradients = gradient_samples(f, logits, estimator, 100_000, generator=seeded, **hyper)
    s = summarise(gradients, exact)
    bias, std = s.bias.norm(), s.variance**0.5
    evaluations = 4 if estimator == "rloo" else 1
    rmse_64 = (bias**2 + s.variance * evaluations / 64) ** 0.5
    print(f"{name:10} {evaluations:12} {bias:6.2f} {std:6.2f} {rmse_64:10.2f}")


# %%
print("           evaluations   bias    std   RMSE, 64")
measure("GS", "gumbel_softmax", tau=0.5)
measure("ST", "straight_through", tau=0.5)
measure("ST-GS", "st_gumbel_softmax", tau=0.5)
measure("GR K = 10", "gumbel_rao", tau=0.5, k=10)
measure("GR K = ∞", "gumbel_rao", tau=0.5, k=math.inf)
measure("ZGR", "zgr")
measure("REINFORCE", "reinforce")
measure("RLOO", "rloo")

# %% [markdown]
# The first column says how many evaluations of $f$ an estimate takes. The bias is the length of a vector, std
# the square root of the summed variances. The last column compares at equal cost: it is the root of the MSE
# of a mean over as many estimates as 64 evaluations of $f$ give, 64 of each but 16 of RLOO. REINFORCE and
# RLOO are unbiased for every $f$; ZGR is so here, where $f$ is quadratic. And
# no, GR is not the best. It is better than ST-GS, as it must be, but REINFORCE does about as well, and RLOO
# is far ahead.
#
# But this was *one* choice. Let there be 30 of them, and let $f$ be summed over all.
#
# **Predict:** we look at the gradient for the first choice only. For which estimators does its std grow?

# %%
mean_loss = (logits.softmax(-1) @ f(torch.eye(3, dtype=torch.float64))).item()
for name in ["gumbel_rao", "reinforce", "reinforce minus the mean loss", "rloo"]:
    for choices in [1, 30]:
        baseline = {"baseline": choices * mean_loss} if "minus" in name else {}
        gradients = gradient_samples(
            lambda d: f(d).sum(-1),
            logits.expand(choices, 3),
            name.split()[0],  # GR with τ = 0.5, K = 10
            5_000,
            generator=generator,
            **baseline,
        )
        std = gradients[:, 0].var(0).sum().sqrt()
        print(f"{name:30} {choices:2} choices: std {std:5.2f}")

# %% [markdown]
# REINFORCE multiplies the gradient of each choice with the sum of all 30 losses. Most of that is the mean of
# the sum, which says nothing about this choice. With the mean subtracted, as RLOO does from its four draws,
# the noise of the other 29 choices is left, and grows with their number, too. For GR nothing has changed
# but the draws: $\partial f / \partial D$ tells each choice its own share. This is why one puts up with a bias.

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
# both lines, each on the 20,000 rows, and compares the standard deviations of the whole gradient.

# %%
import torch.nn.functional as F

torch.manual_seed(0)  # F.gumbel_softmax has no generator of its own
before = estimates(lambda rows: F.gumbel_softmax(rows, tau=0.25, hard=True))
after = estimates(lambda rows: gumbel_rao(rows, tau=0.25, k=100))
for name, gradients in [("F.gumbel_softmax", before), ("gumbel_rao", after)]:
    print(f"{name:18} standard deviation {gradients.var(0).sum().sqrt():.1f}")

# %% [markdown]
# ## What to take along
#
# - ST-GS (6) runs $f$ on a true choice and differentiates a softmax of the same noise. It is biased, and
#   less so at small τ, where it is noisy.
# - Part of this noise never reached $f$. GR (7) averages it away: the same mean, less variance. With $K$
#   samples it is (10), and $K = 1$ is ST-GS.
# - $K$ buys variance only, with diminishing returns, and costs no evaluation of $f$. τ trades bias for
#   variance, and with GR small τ costs less.
# - REINFORCE and RLOO have no bias and need no derivative of $f$, but their noise grows with the number
#   of choices.
#
# **Next:** is the mean really the same, and how much variance falls away? The paper has three propositions
# on it, and each has a proof of a few lines: [4 · Why it works](04_why_it_works.ipynb). If you would
# rather see a network learn first, go to [7 · A discrete autoencoder](07_discrete_vae.ipynb), where
# hundreds of such choices are trained at once.
