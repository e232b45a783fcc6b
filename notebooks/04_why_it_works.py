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
# # 4 · Why it works
#
# *three propositions, proved and measured*
#
# **After this notebook you can**
#
# - prove the three propositions of the paper from one line, and check each with numbers,
# - say how many samples $K$ are worth their time before you train anything,
# - say what the derivative must not run through, and show what happens if it does,
# - if you read on: say what the estimator becomes as τ → 0 and as $K \to \infty$, and write it as a loss.
#
# **You need** [2 · Gumbels, given the choice](02_conditional_gumbels.ipynb) and
# [3 · The Gumbel-Rao estimator](03_gumbel_rao.ipynb). **Time:** 60 minutes for sections 1 to 5.
# Sections 6 to 9 are optional, another hour. A lecture may stop after section 4, with all three
# propositions proved.
#
# Numbers in parentheses, such as (13), are those of the equations in the
# [paper](https://arxiv.org/abs/2010.04838), and text beside a grey bar is the paper's, in places shortened. The
# solutions of the exercises are in [a notebook of their own](solutions/04_why_it_works.ipynb).

# %% [markdown] tags=["links"]
# [Open in Binder](https://mybinder.org/v2/gh/gumbelrao-edu/gumbelrao_edu/main?urlpath=lab/tree/notebooks/04_why_it_works.ipynb) ·
# [Open in Colab](https://colab.research.google.com/github/gumbelrao-edu/gumbelrao_edu/blob/main/notebooks/04_why_it_works.ipynb)
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
# ## 1 · Bias and variance without a single draw
#
# The problem is as in notebook 3, with another target: three classes, and the squared distance from it.

# %%
import math

import torch

from gumbelrao_edu.course import write
from gumbelrao_edu.course.why_it_works import checks, figures

logits = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
target = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)


def f(d):
    return (d - target).square().sum(-1)


# %% [markdown]
# A gradient is a vector, and we measure vectors by their squared length $\|v\|^2 = \sum_a v_a^2$. The
# *variance* of a random vector is its mean squared distance from its mean; this is the sum of the
# variances of its entries, the trace of the covariance matrix. The *mean squared error* (MSE) is the mean
# squared distance from the exact gradient $\nabla_\theta$.
#
# For one choice among three classes none of this needs sampling. $D$ has three values, over which we
# can sum. Given $D$, the mean over the noise is an integral, which a computer can do; section 9 says how.
# The function `exact_terms` returns what we need.
#
# The variance of ST-GS has two parts. The *inner* variance is the noise that is left when $D$ is known. The
# *outer* variance is the noise of $D$ itself. $K$ will divide the first and leave the second alone.
#
# **Predict:** which is the larger fault of a single estimate, its variance or its bias² (the squared distance
# of its mean from the exact gradient)?

# %% tags=["hide-output"]
from gumbelrao_edu.diagnostics import exact_terms

terms = exact_terms(f, logits, tau=0.5)
write("exact gradient", terms.exact, 4)
write("mean of ST-GS and of GR", terms.mean, 4)
write("bias²", [(terms.mean - terms.exact).square().sum()], 4)
write("inner: E[var[STGS | D]]", [terms.inner], 4)
write("outer: var[GR]", [terms.outer], 4)

# %% [markdown]
# The variance, by far. This notebook is about its two parts.

# %% [markdown]
# ## 2 · One line, and three propositions
#
# Let $X$ be a random vector that depends on $D$ and on more noise. Let $m = \mathbb{E}[X \mid D]$ be its
# mean when $D$ is known, and $c$ any fixed vector. Go from $X$ to $c$ by way of $m$:
#
# $$\|X - c\|^2 = \|X - m\|^2 + \|m - c\|^2 + 2 \langle X - m, \, m - c \rangle$$
#
# Look at the last term with $D$ known. Then $m - c$ is a fixed vector, and $X - m$ has the mean zero. So
# the last term has the mean zero, for each $D$ and hence altogether. (All these means exist: a softmax at
# temperature τ has no slope above 1/τ, so our vectors are bounded.) What is left is
#
# $$\mathbb{E}\|X - c\|^2 = \mathbb{E}\|X - m\|^2 + \mathbb{E}\|m - c\|^2. \qquad (\mathrm{P})$$
#
# This is Pythagoras' theorem: what the noise does when $D$ is known is at right angles to all that $D$
# decides. Everything follows from it.
#
# Try it with numbers. Let $D$ be 1 or 2, and let $X$ be one number, with these four equally likely values.
# Take $c = 4$:
#
# | class $D$ | value $X$ | its mean $m$ | all: $(X - c)^2$ | noise: $(X - m)^2$ | class: $(m - c)^2$ |
# |---|---|---|---|---|---|
# | 1 | 1 | 2 | 9 | 1 | 4 |
# | 1 | 3 | 2 | 1 | 1 | 4 |
# | 2 | 6 | 7 | 4 | 1 | 9 |
# | 2 | 8 | 7 | 16 | 1 | 9 |
# | | | mean: | 7.5 | 1 | 6.5 |
#
# In a single row $(X - c)^2$ is not the sum of the two other squares. In the mean it is: 7.5 = 1 + 6.5.

# %% [markdown]
# > **Proposition 1.**
# > $\;\mathbb{E}\|\nabla_{\mathrm{GR}} - \nabla_\theta\|^2 \le \mathbb{E}\|\nabla_{\mathrm{STGS}} - \nabla_\theta\|^2 \qquad (8)$
#
# *Proof.* Put $X = \nabla_{\mathrm{STGS}}$ and $c = \nabla_\theta$ in (P). By (7), $m$ is
# $\nabla_{\mathrm{GR}}$. So the right side of (8) is the left side plus
# $\mathbb{E}\|\nabla_{\mathrm{STGS}} - \nabla_{\mathrm{GR}}\|^2$, which is not negative. ∎
#
# We even know the difference: it is the inner variance, since $\nabla_{\mathrm{GR}}$ is the mean of
# $\nabla_{\mathrm{STGS}}$ when $D$ is known. And the *bias* is the same on both sides, since both have the same mean.

# %% [markdown]
# > **Proposition 2.** For every $K \ge 1$
# > $\;\mathbb{E}\|\nabla_{\mathrm{GRMCK}} - \nabla_\theta\|^2 \le \mathbb{E}\|\nabla_{\mathrm{STGS}} - \nabla_\theta\|^2 \qquad (11)$
#
# *Proof.* When $D$ is known, $\nabla_{\mathrm{GRMCK}}$ is the mean of $K$ independent vectors, each of which
# is distributed as $\nabla_{\mathrm{STGS}}$ is for this $D$: to draw $D$, and then noise given $D$, *is* to
# draw noise.
# The mean of $K$ such vectors has the mean of one, $m = \nabla_{\mathrm{GR}}$, and $1/K$ of its variance. So
# (P), with $X = \nabla_{\mathrm{GRMCK}}$ and $c = \nabla_\theta$, says
#
# $$\mathbb{E}\|\nabla_{\mathrm{GRMCK}} - \nabla_\theta\|^2
# = \frac{\text{inner}}{K} + \mathbb{E}\|\nabla_{\mathrm{GR}} - \nabla_\theta\|^2.$$
#
# For $K = 1$ this is the right side of (11), and it cannot grow with $K$. ∎
#
# (The paper proves both by Jensen's inequality, (27) to (34): the squared length of a mean is at most the
# mean of the squared lengths. That proof does not ask the $K$ samples to be independent, so it also covers
# cleverly chosen ones.)
#
# **Predict:** we make up 300 problems with four classes, with random logits and a random target, and
# compute the MSE of ST-GS, of GR with $K = 10$ and of GR. By the last proof it falls, or stays, in this order in each
# of them. But how many times larger than that of GR is the MSE of ST-GS, at τ = 0.1 and at τ = 1?

# %% tags=["hide-output"]
from gumbelrao_edu.diagnostics import mse

generator = torch.Generator().manual_seed(4)
many = torch.randn(2, 300, 4, generator=generator, dtype=torch.float64)
targets = many[1].softmax(-1)
print("The order GR <= GR-MC10 <= ST-GS, and the MSE of ST-GS over that of GR:")
for tau in [0.1, 1.0]:
    some = exact_terms(lambda d: (d - targets).square().sum(-1), many[0], tau)
    st_gs, gr_10, gr = (mse(some, k) for k in [1, 10, float("inf")])
    order = (gr <= gr_10) & (gr_10 <= st_gs)
    ratio = st_gs / gr
    print(f"τ = {tau}: in {order.sum()} of 300 problems; {ratio.min():.1f} to {ratio.max():.1f}")

# %% [markdown]
# (That the order is right in all of them is no test: `mse` computes inner/$K$ + outer + bias², the formula of the
# proof. Section 3 measures.) *How much* is gained differs a great deal, with the problem and with τ. To this we turn
# now.

# %% [markdown]
# ## 3 · Where the variance comes from
#
# Put $c = \mathbb{E}[X]$ in (P). It becomes the *law of total variance*, which notebook 3 took for granted:
#
# $$\mathrm{var}[X] = \mathbb{E}[\mathrm{var}[X \mid D]] + \mathrm{var}[\mathbb{E}[X \mid D]]$$
#
# In words: the spread within the classes, plus the spread between the means of the classes. Here are
# 20,000 estimates of ST-GS, and the class that each of them drew. In the table, compare the means of the
# three classes, entry by entry.

# %%
from gumbelrao_edu import st_gumbel_softmax

generator = torch.Generator().manual_seed(3)
rows = logits.expand(20_000, 3).clone().requires_grad_()
d = st_gumbel_softmax(rows, tau=0.5, generator=generator)
f(d).sum().backward()
gradients, classes = rows.grad, d.argmax(-1)
write("the variance of all", [gradients.var(0).sum()], 4)
for i in range(3):
    group = gradients[classes == i]
    write(f"class {i + 1}: share, mean", [len(group) / 20_000, *group.mean(0)], 4)


# %% [markdown]
# Not even their signs agree: this is the outer part. The inner part does not show in this table.
#
# ### Exercise 1 · Split the variance
#
# Split the variance of a sample into the two parts of the law. There are three classes. Weight each by its
# share of the draws. Divide by numbers of draws, not by one less: `x.var(0)` divides by one less,
# `x.var(0, correction=0)` does not. Then the two parts add up exactly.
#
# <details><summary>Hint</summary>
#
# Replace each estimate by the mean of its class, and call the result $m$, as in (P). Which mean
# squared distance is the inner part, and which is the outer one?
#
# </details>

# %% tags=["exercise"]
def split_variance(gradients, classes):
    # gradients has the shape [draws, 3], classes [draws], with numbers 0, 1 and 2.
    # Return two numbers, inner and outer, each summed over the entries of the gradient.
    ...


# %% tags=["check"]
checks.check_split_variance(split_variance)

# %% [markdown]
# Now the third proposition. Average $B$ independent estimates, each with its own $D$ and $K$ samples (12):
#
# > **Proposition 3.**
# > $\;\displaystyle \mathrm{var}\Big[\frac1B \sum_{b=1}^B \nabla^b_{\mathrm{GRMCK}}\Big] = \frac{\mathbb{E}[\mathrm{var}[\nabla_{\mathrm{STGS}} \mid D]]}{BK} + \frac{\mathrm{var}[\nabla_{\mathrm{GR}}]}{B} \qquad (13)$
#
# *Proof.* The variance of a mean of $B$ independent vectors of the same distribution is $1/B$ of that of
# one. For one, use the law of total variance with $X = \nabla_{\mathrm{GRMCK}}$. Given $D$ it is the mean of
# $K$ independent copies of $\nabla_{\mathrm{STGS}}$, so $\mathrm{var}[X \mid D] =
# \mathrm{var}[\nabla_{\mathrm{STGS}} \mid D] / K$, and $\mathbb{E}[X \mid D] = \nabla_{\mathrm{GR}}$. ∎
#
# The next figure is a map of (13): dark is much variance, and from one white line to the next it halves. Both axes are
# logarithmic, so equal steps double $K$, or $B$.
# The circles are measured, and have the colour of what was measured. A circle that agrees with the formula
# has the colour of the map around it. The dashed line is at $K^*$, where both terms of (13) are equal.
#
# **Predict:** to halve the variance, you can double $B$. Where on the map would doubling $K$ do as well?
# Where does it do nothing? So which way do the white lines run at the left, and at the right?

# %% tags=["hide-output"]
panel = figures.surface(f, logits)
panel

# %% tags=["hide-output"]
panel.captions(tau=[0.05, 1.0])

# %% [markdown]
# At the left, where the inner part is the larger one, the lines fall. At the edge it is nearly the product
# $BK$ that counts, and twice the samples do nearly the work of twice the batch. At the right they are level: only $B$ counts. No circle
# stands out. (The farthest of fifteen is often two standard errors away. At τ = 0.1 it is three, the largest of all
# 75 circles of the slider: seldom, but not strange.) Between left and right is the dashed line:
#
# $$\frac{\text{inner}}{K^*} = \text{outer}, \qquad K^* = \frac{\text{inner}}{\text{outer}}$$
#
# At τ = 0.5 and τ = 1 the dashed line is missing. There $K^*$ is below 1, and $K$ has less to do.

# %% [markdown]
# ## 4 · How many samples are enough?
#
# One row of the map, $B = 1$, as curves. The blue one is the sum of the two others.
#
# **Predict:** at τ = 0.1 you go from $K = 1$ to $K = 10$, and then from 10 to 100. Which share of the variance
# at $K = 1$ does the first step take away? Which share of it the second one, with ten times the samples? Write both
# down, then move τ to 0.1 and read the sentence under the figure.

# %%
panel = figures.diminishing(f, logits)
panel

# %% tags=["hide-output"]
panel.captions(tau=[0.1])


# %% [markdown]
# The second step takes 8 % of the variance at $K = 1$, a third of what was left. At $K = 10$, beyond $K^*$, the inner part is the smaller one, and the outer
# part stays.
#
# ### Exercise 2 · Enough is enough
#
# $K$ samples leave a variance of inner/$K$ + outer, and no $K$ gets below outer. What is the smallest
# whole number $K$ whose variance is at most $(1 + \varepsilon)$ times outer?
#
# <details><summary>Hint</summary>
#
# Subtract outer on both sides of "variance ≤ (1 + ε) · outer", and solve for $K$. Then round up; `math.ceil`
# does this. What if inner is 0?
#
# </details>

# %% tags=["exercise"]
def enough_samples(inner, outer, excess):
    # Return the smallest whole number K >= 1; `excess` is ε.
    ...


# %% tags=["check"]
checks.check_enough_samples(enough_samples)

# %% [markdown]
# $K^*$ depends on τ, and by a simple law.
#
# **Predict:** halve τ. What happens to the inner variance, and what to the outer one?

# %% tags=["hide-output"]
taus = torch.tensor([0.2, 0.1, 0.05, 0.02, 0.01], dtype=torch.float64)
cold = exact_terms(f, logits.expand(5, 3), taus)
print("   τ    inner    outer   inner · τ    K*")
for i, tau in enumerate(taus):
    inner, outer = cold.inner[i], cold.outer[i]
    print(f"{tau:4}   {inner:6.3f}   {outer:6.3f}   {inner * tau:6.3f}   {inner / outer:6.1f}")

# %% [markdown]
# The outer variance settles. The inner one more than doubles at first, and at a low τ grows like 1/τ: inner · τ
# settles, too. So $K^*$ also grows like 1/τ. To see why, look at the Jacobian of
# softmax, whose entries are $(s_a 1\{a = b\} - s_a s_b)/\tau$. Here are the Jacobians for four noises that lead to
# the same $D$, and at the end their mean over all such noises. Look for the noise whose Jacobian is not nearly zero.
# Then move τ to 1, and look at the others.

# %%
figures.jacobians(logits)

# %% [markdown]
# At τ = 0.1 the Jacobian is nearly nothing for most noises: the winner is far ahead, and a small change of θ does
# not matter. If two classes are close, it is large. "Close" means a few τ, so this happens with a
# probability that shrinks like τ. The entries are then of the size 1/τ. So the mean, of which GR is made, hardly
# depends on τ. The mean *square* grows like $\tau \cdot 1/\tau^2 = 1/\tau$. At τ = 1 most Jacobians have entries
# that can be seen, and none is large.
#
# ST-GS at a low temperature is a lottery: nearly always nothing, seldom a large prize. GR pays out the
# mean. **Rule of thumb:** at half the temperature, take twice the $K$.

# %% [markdown]
# ## 5 · What the derivative must not run through
#
# About (10) the paper says:
#
# > Note that the total derivative $d\,\mathrm{softmax}_\tau(\theta + G^k)/d\theta$ is taken through both
# > $\theta$ and $G^k$.
#
# The samples come from equation (9), which contains θ. Automatic differentiation would run through it, and the
# sentence asks for that. Compare two derivatives, averaged over the noise:
#
# - *held fixed*, as (7) has it: $\;\mathbb{E}\big[\frac{d}{d\theta}\, \mathrm{softmax}_\tau(\theta + G)
#   \mid D\big]$, the derivative is inside;
# - *through (9)*: $\;\frac{d}{d\theta}\, \mathbb{E}\big[\mathrm{softmax}_\tau(\theta + G) \mid D\big]$, the
#   derivative is outside.
#
# Here is the second one. `replace_gradient(value, surrogate)` returns the first and has the gradient of the
# second.

# %%
from gumbelrao_edu import conditional_gumbel, gumbel_max, gumbel_rao, surrogate, tempered_softmax


def through_9(logits, *, tau, k, generator=None):
    one_hot, _ = gumbel_max(logits.detach(), generator=generator)
    perturbed = conditional_gumbel(logits, one_hot, k, generator=generator)  # θ is in it
    return surrogate.replace_gradient(one_hot, tempered_softmax(perturbed, tau).mean(0))


# %% [markdown]
# The figure shows the mean of more and more estimates of the first entry of the gradient, blue with the noise
# held fixed, orange through (9). Around each is a band of three standard errors. The black line is the mean of
# ST-GS, where GR must end.
#
# **Predict:** does the orange line end at the black one? If it does not, what would help: more draws, a larger
# $K$, or a smaller τ?

# %% tags=["hide-output"]
two = {"held fixed": gumbel_rao, "through (9)": through_9}
panel = figures.convergence(f, logits, two)
panel

# %% tags=["hide-output"]
panel.captions(tau=[1.0, 0.1], k=[1, 10])


# %% [markdown]
# <details><summary>Answers</summary>
#
# It does not, and none of the three helps. More draws narrow the band. A larger $K$ does so a little at τ = 1, and
# halves it at τ = 0.1. The line stays where it is: averaging removes noise, not bias. (At τ = 1 even the sign is wrong.) A smaller τ makes the
# distance larger. As τ → 0 the softmax given $D$ becomes $D$ itself, which is fixed, and the derivative of its mean is
# *zero*: a network would learn nothing. The orange band is narrow, but about a wrong value.
#
# </details>
#
# So the sentence of the paper is an **erratum**. Why does it make a difference? Derivative and mean could change
# places if the distribution of $G$ given $D$ did not depend on θ. But it does. Raise $\theta_1$: class 1 now
# also wins with noises with which it used to lose, and with these it wins by little. So, *given that class 1
# wins*, its mean softmax grows less than the single softmaxes do on average: the newcomers pull the mean down.
#
# ### Exercise 3 · Hold the noise fixed
#
# Mend `through_9`. You get the logits and the samples `perturbed`, $\theta + G^k$, that (9) made of them. Return the
# mean of the $K$ softmaxes, such that its *value* is unchanged and its *gradient* is that of (10): θ moves,
# $G^k$ does not. (`x.detach()` has the numbers of `x`, and is not differentiated.)
#
# <details><summary>Hint</summary>
#
# `perturbed` is $\theta + G$, both in one tensor. First make a tensor that is $G$ alone and is not
# differentiated. Then add $\theta$ to it again.
#
# </details>

# %% tags=["exercise"]
def relaxed_mean(logits, perturbed, tau):
    # logits has the shape [n], perturbed [K, n]; return [n], to be differentiated in the logits.
    ...


# %% tags=["check"]
checks.check_relaxed_mean(relaxed_mean)


# %% [markdown]
# This is the end of the main part: go on to *What to take along*, or choose among four optional sections: what
# is left as τ → 0, which temperature is best, an estimator as a loss, and how $K = \infty$ is computed.

# %% [markdown]
# ## 6 · What is left as τ → 0
#
# *Optional, 20 minutes.* At τ = 0 the softmax is an argmax, and ST-GS has no gradient left. GR has one as τ → 0: in the lottery the chance
# of a prize falls, the prize grows, and the mean stays. We find it in three steps.
#
# **Step 1: only a close runner-up counts.** Let class $i$ be the one that was drawn, and
# $g = \partial f(D)/\partial D$. A noise matters only if some class $j$ comes within a few τ of the winner. Then the
# Jacobian has entries like 1/τ. One class comes as close with a probability like τ, and adds something like
# $\tau \cdot 1/\tau = 1$ to the mean. Two do so at once with a probability like τ², and add something like τ, which can
# be left out as τ → 0.
# So all others are far behind, and $s_i + s_j = 1$ up to next to nothing. Exercise 1 of notebook 3 had the product of $g$ and the
# Jacobian, $s_j (g_j - \langle g, s \rangle)/\tau$ for $\theta_j$. Here $\langle g, s \rangle = s_i g_i + s_j g_j$, so
# it is
#
# $$\frac{s_i s_j}{\tau}\,(g_j - g_i) \;\text{ for } \theta_j, \text{ and its opposite for } \theta_i.$$
#
# **Step 2: a bump.** Let $x = (\theta_i + G_i) - (\theta_j + G_j)$ say by how much $i$ is ahead. For two
# classes the softmax is $s_i = 1/(1 + e^{-x/\tau})$, and $s_j = 1 - s_i$.
#
# ### Exercise 4 · The bump
#
# Write $s_i s_j / \tau$ as a function of $x$.
#
# <details><summary>Hint</summary>
#
# $1/(1 + e^{-y})$ is the function `torch.sigmoid(y)`. What is $y$ here, and what is $1 - s_i$?
#
# </details>

# %% tags=["exercise"]
def bump(x, tau):
    # x has the shape [m]; return s_i s_j / τ, [m].
    ...


# %% tags=["check"]
checks.check_bump(bump)

# %% [markdown]
# **Predict:** at half the temperature the bump is half as wide and twice as high. What is its area? And how much
# of the area lies at $x > 0$?
#
# <details><summary>Answer</summary>
#
# The bump is the derivative of $s_i$ with respect to $x$. So its area is what $s_i$ gains from
# $x = -\infty$ to $\infty$, from 0 to 1: the area is 1, at every τ. At $x = 0$ $s_i$ is one half, so the area at
# $x > 0$ is one half, too.
#
# </details>
#
# Class $i$ has won, so $x > 0$, and **half the bump** remains.
#
# **Step 3: how likely is a tie?** The weight $r_j = (1 + E_j/(E_i p_j))^{-1/\tau}$ of notebook 2 is the term of
# class $j$ in the softmax, divided by that of the winner, and so it is $e^{-x/\tau}$. Hence
# $x = \log(1 + u/p_j)$ with $u = E_j/E_i$. Close to a tie $u$ is small, and $x \approx u/p_j$. The ratio $u$ of two
# independent exponentials has the density 1 at $u = 0$. So $x$ has the density $p_j$ at $x = 0$.
#
# <details><summary>Why the ratio has the density 1 at 0</summary>
#
# For a given $E_i$, the probability that $E_j > u E_i$ is $e^{-u E_i}$. Its mean over $E_i$ is
# $\int_0^\infty e^{-ue}\, e^{-e}\, de = 1/(1 + u)$. So $P(E_j / E_i \le u) = 1 - 1/(1 + u)$, and the
# derivative of this, the density, is $1/(1 + u)^2$. At $u = 0$ it is 1.
#
# </details>
#
# The figure shows the bump, and in black how likely each $x$ is, for $p_j = 0.3$. With two
# classes GR is $g_j - g_i$ times the mean of the bump; with more it becomes this as τ → 0 (step 1). The mean is
# the area under the shaded half, where each $x$ is weighted by the black curve. Move the slider
# to smaller τ, and look at the stretch of $x$ where the bump is: how much does the black curve still change there?

# %%
panel = figures.tie(0.3)
panel

# %% tags=["hide-output"]
panel.captions(tau=[0.5, 0.05])


# %% [markdown]
# At a small τ the black curve is nearly constant over the bump. It can be taken out of the mean, which is
# then half the bump, times $p_j$.
#
# ### Exercise 5 · No noise, no temperature
#
# Put the three steps together: write the limit of GR as a function. There is no softmax in it and no loop
# over samples.
#
# <details><summary>Hint</summary>
#
# For $\theta_j$ multiply the difference from step 1, the half from step 2 and the density from step 3.
# $\theta_i$ gets the opposite of all these together, since the entries of a gradient of softmax sum to zero.
#
# </details>

# %% tags=["exercise"]
def limit(g, p, i):
    # g and p have the shape [n], i is the index of the class that was drawn; return v, [n].
    ...


# %% tags=["check"]
checks.check_limit(limit)

# %% [markdown]
# <details><summary>The limit as a formula</summary>
#
# $$v_j = \tfrac12\, p_j\, (g_j - g_i) \quad \text{for } j \ne i, \qquad
# v_i = -\sum_{j \ne i} v_j$$
#
# </details>
#
# Shekhovtsov (2023) found this limit, and called it **ZGR**, with a Z for zero. How fast does GR come to it? Here is the
# distance of the two for the same $D$, relative to the length of the limit (both as root mean squares over $D$), on
# logarithmic axes. Points along a line of slope 1 say that it is proportional to τ.

# %%
from gumbelrao_edu.figures import show

show(*figures.to_zero(f, logits))

# %% [markdown]
# Linearly: at a tenth of the temperature, a tenth of the distance. At τ = 0.01, a temperature that the
# paper uses, GR with $K = ∞$ is half a percent away from a closed form, which
# `gumbel_rao(logits, tau=0, k=math.inf)` computes.
#
# **Predict:** for our quadratic $f$ the bias of GR vanishes as τ → 0. Does it for another $f$? We try an
# exponential, and print the bias as a share of the exact gradient.

# %% tags=["hide-output"]
weights = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
losses = {"quadratic": f, "exponential": lambda d: (d @ weights).exp()}
taus = torch.tensor([1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01], dtype=torch.float64)
print("bias at τ   ", "  ".join(f"{tau:5.2g}  " for tau in taus))
for name, loss in losses.items():
    cold = exact_terms(loss, logits.expand(7, 3), taus)
    bias = (cold.mean - cold.exact).norm(dim=-1) / cold.exact.norm(dim=-1)
    print(f"{name:12}", "  ".join(f"{100 * b:5.1f} %" for b in bias))

# %% [markdown]
# For the quadratic $f$ the bias vanishes, linearly too. For the other it is three times as large at a low τ as
# at τ = 1, and settles at a little more than half of the gradient: for this $f$ a lower temperature is no cure.
# A straight-through estimator knows the gradient of $f$ at the corner $D$, not the values of $f$ at the other
# corners. The step from one corner to another is guessed from the slopes at both. One half from each is
# exact for every parabola, and in general for nothing else.

# %% [markdown]
# ## 7 · Which temperature?
#
# *Optional, 10 minutes.* The next figure is the optional one of notebook 3, section 5, with the target of this
# notebook, so that its numbers differ. It shows the MSE over τ, with a star at its lowest point. Now we look at both sliders, $K$ and $B$, the
# number of independent estimates that are averaged. The points are the MSE of GR, measured with 12,800 draws at
# each of five temperatures, with bars of two standard errors. The stars are the best temperatures of ST-GS and of GR.
#
# **Predict before you move a slider:**
#
# 1. Which curves move with $K$, which with $B$, and which with neither?
# 2. At $B = 64$ the star of GR goes to the left when $K$ grows. What do the stars do when $B$ grows?
# 3. May the MSE curves of ST-GS and GR cross? Where do they come together?

# %%
from gumbelrao_edu.course.gumbel_rao.figures import mse_over_tau

panel = mse_over_tau(f, logits)
panel

# %% tags=["hide-output"]
panel.captions(b=[1, 64], k=[1, 100])

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. The bias² moves with neither: averaging does not change a mean. Nor does the dotted line, no gradient at all. The
#    MSE and the variance of GR move with both, the MSE of ST-GS and that of $K = \infty$ with $B$ only.
# 2. Both go to the left. Where variance is the larger part of the MSE, one has to buy it off with a high
#    temperature, and bias. Whoever has less variance, from averaging or from $K$, can afford a lower one. ($K$ takes
#    away only what is not the noise of $D$.)
#    *That is the use of GR:* at $B = 64$ its lowest point lies further left than that of ST-GS, at less bias.
#    At $B = 1$ both stars stand at the right end of the figure: the noise of $D$, which no $K$ removes, is so
#    large that the highest τ is the best one shown. (The vector 0, no estimate at all, has a smaller MSE than any
#    of them there: $\|\nabla_\theta\|^2$.)
# 3. No: by (11) that of GR is nowhere above. They come together at the right end. There the softmax is
#    nearly flat, whatever the noise, and there is nothing to average away.
#
# </details>

# %% [markdown]
# ## 8 · An estimator as a loss
#
# *Optional, 20 minutes.* The estimators replace a gradient in the backward pass. Appendix B of the paper
# writes each as a **surrogate loss** instead, whose gradient is the estimate. For independent variables
# $D^1, \dots, D^m$, with a star on what is held fixed (the noise is held fixed, too):
#
# $$L = \sum_{j=1}^m \Big(\frac{\partial f(D^1, \dots, D^m)}{\partial D^j}\Big)^{*} \cdot s^j, \qquad
# s^j = \begin{cases} \mathrm{softmax}_\tau(\theta^j) & \text{ST} \qquad (17) \\
# \mathrm{softmax}_\tau(\theta^j + G^j) & \text{ST-GS} \qquad (18) \\
# \frac1K \sum_k \mathrm{softmax}_\tau(\theta^j + G^{jk}) & \text{GR-MCK} \qquad (19) \end{cases}$$
#
# (ST is like ST-GS, but differentiates a softmax without noise.) The value of $L$ means nothing. Its gradient
# is (5), (6) or (10), by the chain rule. Let us see that for (17) and (18), with
# $f(D^1, D^2) = (D^1)^\top M D^2$ and the same noise on both sides. The function `parallel` builds $L$ from $f$, $D$ and $s$.

# %%
theta = torch.tensor([[0.5, 0.0, -0.5], [0.0, 1.0, -1.0]], dtype=torch.float64)
table = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [2.0, 1.0, 0.0]], dtype=torch.float64)


def product(d):  # D¹ᵀ M D², [..., 2, n] -> [...]
    return ((d[..., 0, :] @ table) * d[..., 1, :]).sum(-1)


def seeded():
    return torch.Generator().manual_seed(11)


def gradient(loss, leaf):
    return torch.autograd.grad(loss, leaf)[0]


# %%
from gumbelrao_edu import straight_through

leaf = theta.clone().requires_grad_()
one_hot, perturbed = gumbel_max(leaf, generator=seeded())
pairs = {
    "ST": (straight_through, tempered_softmax(leaf, 0.5)),
    "ST-GS": (st_gumbel_softmax, tempered_softmax(perturbed, 0.5)),
}
for name, (estimator, relaxed) in pairs.items():
    backward = gradient(product(estimator(leaf, tau=0.5, generator=seeded())), leaf)
    loss = surrogate.parallel(product, one_hot, relaxed)
    same = (backward - gradient(loss, leaf)).abs().max() < 1e-10
    write(f"{name}, first row", backward[0], 4)
    print("    both ways the same:", same.item())

# %% [markdown]
# Both ways agree. For (19) we take $K = \infty$ on one side, and 100,000 vectors given the same $D$ on the
# other. They can agree up to the noise of these vectors only, a few thousandths.

# %%
import math

backward = gradient(product(gumbel_rao(leaf, tau=0.5, k=math.inf, generator=seeded())), leaf)
noise = conditional_gumbel(theta, one_hot, 100_000, generator=seeded()) - theta
loss = surrogate.parallel(product, one_hot, tempered_softmax(leaf + noise, 0.5).mean(0))
distance = (backward - gradient(loss, leaf)).abs().max()
write("GR, first row", backward[0], 4)
print("    both ways closer than 0.01:", (distance < 0.01).item())


# %% [markdown]
# So they do. In a *chain* each choice sets the logits of the next, $\theta^j = h(D^{j-1})$: the words of
# a sentence, the steps of a plan. The gradient of $D^j$ then has two parts: $f$ sees $D^j$ itself, and $D^j$
# changes what comes later. The losses are built from the end:
#
# $$L_m = \Big(\frac{\partial f}{\partial D^m}\Big)^{*} \cdot s(\theta^m), \qquad
# L_j = \Big(\frac{dL_{j+1}}{dD^j} + \frac{\partial f}{\partial D^j}\Big)^{*} \cdot s(\theta^j)
# \qquad (21 \text{ to } 26)$$
#
# where $dL_{j+1}/dD^j$ runs through $\theta^{j+1} = h(D^j)$, and $s$ is that of (17), (18) or (19). The gradient of
# $L_1$ is the estimate for $\theta^1$. First the
# custom backward pass (exercise 3 of notebook 3), which needs no thought: automatic differentiation finds
# both parts.

# %%
def h(d):
    return 2 * d @ table - 1


def f_chain(choices):
    return product(torch.stack(choices))


first = logits.clone().requires_grad_()
generator = seeded()
d1 = st_gumbel_softmax(first, tau=0.5, generator=generator)
d2 = st_gumbel_softmax(h(d1), tau=0.5, generator=generator)
backward = gradient(f_chain([d1, d2]), first)

# %% [markdown]
# Then the losses, from the same noise. The function `sequential` builds (21) to (26) and asks for $s$ as a
# function of the logits and of the position in the chain. It returns the sum of all $L_j$. In those after $L_1$ the
# first choice is held fixed, so the gradient of the sum in $\theta^1$ is that of $L_1$.

# %%
generator = seeded()
one_hot_1, perturbed_1 = gumbel_max(logits, generator=generator)
one_hot_2, perturbed_2 = gumbel_max(h(one_hot_1), generator=generator)
gumbels = [perturbed_1 - logits, perturbed_2 - h(one_hot_1)]


def relax(theta_j, j):
    return tempered_softmax(theta_j + gumbels[j], 0.5)


loss = surrogate.sequential(f_chain, h, first, [one_hot_1, one_hot_2], relax)
same = (backward - gradient(loss, first)).abs().max() < 1e-10
write("ST-GS in a chain", backward, 4)
print("    both ways the same:", same.item())

# %% [markdown]
# They agree again. Use the custom backward pass in your code. The losses are for proofs, for frameworks
# without custom gradients, and for finding out which of two implementations is wrong.

# %% [markdown]
# ## 9 · K = ∞
#
# *Optional, 15 minutes.* We have used GR with $K = ∞$ all along. How is its expectation computed?
#
# 1. Given that $i$ won, the softmax is $s = r / \sum_c r_c$ with the weights
#    $r_j = (1 + E_j/(E_i p_j))^{-1/\tau}$ of notebook 2; once $E_i$ is fixed, they are independent.
# 2. We need the means of $s_a s_b = r_a r_b / (\sum_c r_c)^2$. Only the square ties the classes together.
#    With well chosen numbers $\omega_l, \lambda_l$ a short sum $\sum_l \omega_l \exp(-\lambda_l \sum_c r_c)$
#    replaces $1/(\sum_c r_c)^2$: exponentials of sums, whose means are *products* over the classes.
# 3. What remains are integrals over one variable, which are tabulated once for each τ, so that a gradient
#    costs a few products with the table, and time grows like $n$, not like $n^2$ or $K$.
#
# <details><summary>Why a sum of exponentials, in step 2</summary>
#
# Integrate by parts, for any $x > 0$:
#
# $$\int_0^\infty \lambda\, e^{-\lambda x}\, d\lambda
# = \Big[-\frac{\lambda}{x}\, e^{-\lambda x}\Big]_0^\infty + \frac1x \int_0^\infty e^{-\lambda x}\, d\lambda
# = 0 + \frac{1}{x^2}.$$
#
# So $1/x^2$ *is* an integral of exponentials. An integral is nearly a sum over well-chosen points
# $\lambda_l$, with weights $\omega_l$ that contain the factor $\lambda$. Put $x = \sum_c r_c$. Then
# $e^{-\lambda x} = \prod_c e^{-\lambda r_c}$, and the mean of a product of independent factors is the product of
# their means.
#
# </details>
#
# Numerical integration is called *quadrature*. It is not exact, but we know by how much: a finer rule tells.
# `conditional_vjp` gives (7) for $g$ and the class drawn; look at what it says of its error.

# %%
from gumbelrao_edu.quadrature import conditional_vjp, error_estimate

g, drawn = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), torch.tensor(0)
exact = conditional_vjp(g, logits, drawn, tau=0.5)
write("K = ∞", exact, 4)
error = error_estimate(g, logits, drawn, tau=0.5)
print("its relative error is below 1e-8:", (error < 1e-8).item())

# %% [markdown]
# **Predict:** the mean of $K$ samples tends to the same vector. By which factor does it come closer when $K$
# grows tenfold?

# %% tags=["hide-output"]
generator = torch.Generator().manual_seed(11)
samples = conditional_gumbel(logits, torch.eye(3)[0].double(), 100_000, generator=generator)
s = tempered_softmax(samples, 0.5)
products = s * (g - (s @ g)[:, None]) / 0.5
for k in [1, 10, 100, 1_000]:
    means = products.reshape(-1, k, 3).mean(1)  # many means of k samples
    away = (means - exact).square().sum(-1).mean().sqrt() / exact.norm()
    print(f"K = {k:5,}: on average {100 * away:5.1f} % away")

# %% [markdown]
# By $\sqrt{10}$: for one more digit, one pays a hundred times the samples.

# %% [markdown]
# In one case the integral can be done by hand. The paper mentions it in footnote 2: two classes and τ = 1.
# The difference of two Gumbels is a *logistic* variable, that is, $\log\frac{U}{1 - U}$ with a uniform $U$.
# Add $\theta_i - \theta_j = \log(p_i/p_j)$ and take the softmax:
#
# $$s_i = \frac{p_i U}{p_i U + p_j (1 - U)}, \quad P(s_i \le t) = \frac{p_j t}{p_j t + p_i (1 - t)}, \quad
# \text{density} \; \frac{p_i p_j}{(p_j t + p_i (1 - t))^2}.$$
#
# Class $i$ won, which means $s_i > \frac12$ and has the probability $p_i$. Hence, with $c = 2 p_j$,
#
# $$\mathbb{E}[s_i s_j \mid D_i = 1] = p_j \int_{1/2}^1 \frac{t\,(1 - t)}{(p_j t + p_i (1 - t))^2}\, dt
# = -\,c\; \frac{2 \log c + (1 - c)(3 - c)}{4\,(1 - c)^3},$$
#
# and the gradient of GR is $v_i = -v_j = (g_i - g_j)\, \mathbb{E}[s_i s_j \mid D_i = 1]$. For $p_j = \frac12$
# the formula says 0/0; there $s_i$ is uniform between ½ and 1, and the mean is ⅙.
#
# <details><summary>The integral, step by step</summary>
#
# Take what is squared in the denominator as the new variable, $w = p_j t + p_i (1 - t)$. Since $p_i + p_j = 1$ and
# $p_j - p_i = c - 1$,
#
# $$t = \frac{w - p_i}{c - 1}, \qquad 1 - t = \frac{p_j - w}{c - 1}, \qquad dt = \frac{dw}{c - 1},$$
#
# and $t$ from ½ to 1 is $w$ from ½ to $p_j = c/2$. The product above the fraction bar is
# $(w - p_i)(p_j - w) = -w^2 + w - p_i p_j$. Divided by $w^2$, term by term (this is the partial fraction), and
# integrated:
#
# $$\int_{1/2}^{c/2} \Big(-1 + \frac1w - \frac{p_i p_j}{w^2}\Big)\, dw
# = \frac{1 - c}{2} + \log c + p_i p_j \Big(\frac2c - 2\Big).$$
#
# With $p_i p_j = \frac c4 (2 - c)$ the last term is $\frac12 (2 - c)(1 - c)$, and all together
# $\log c + \frac12 (1 - c)(3 - c)$. In front stands $p_j / (c - 1)^3 = -\frac c2 / (1 - c)^3$.
#
# </details>
#
# Compare three ways to the same number: the formula; the integral, by SciPy; and our quadrature. (At τ = 1
# it uses the formula, so we ask it at τ = 1.000001, where it does not.)

# %%
import math

from scipy.integrate import quad


def integrand(t, q):
    return q * t * (1 - t) / (q * t + (1 - q) * (1 - t)) ** 2


print(" p_j    formula    integral   quadrature")
ones = torch.tensor([1.0, 0.0], dtype=torch.float64)  # g_i − g_j = 1
for q in [0.1, 0.3, 0.7, 0.9]:
    c = 2 * q
    formula = -c * (2 * math.log(c) + (1 - c) * (3 - c)) / (4 * (1 - c) ** 3)
    integral, _ = quad(integrand, 0.5, 1, args=(q,))
    two = torch.tensor([1 - q, q], dtype=torch.float64).log()
    v = conditional_vjp(ones, two, torch.tensor(0), tau=1.000001)
    print(f"{q:4}   {formula:.6f}   {integral:.6f}   {v[0]:.6f}")

# %% [markdown]
# The same to six digits.

# %% [markdown]
# ## What to take along
#
# - One line, (P), proves it all. Averaging over the noise given $D$ removes the inner variance and nothing
#   else; the bias stays, and the MSE is lower at every τ.
# - The variance is inner/$(BK)$ + outer/$B$ (13). Beyond $K^* = $ inner/outer, more samples take at most half
#   of what is left, and ever less; $K^*$ grows like 1/τ, and $B$ can do all that $K$ can.
# - The noise is held fixed when (10) is differentiated. Through (9) the mean is another one than that of
#   ST-GS, whatever $K$ is, and at small τ there is no gradient left.
# - As τ → 0, GR tends to ZGR: half a bump at each tie (section 6). Its bias vanishes for quadratic $f$, not for all.
# - As $K \to \infty$, GR becomes an integral, done by quadrature (section 9). As a loss it is (19), in a chain
#   (25, 26) (section 8).

# %% [markdown]
# ## Check yourself
#
# **1.** ST-GS has an inner variance of 6 and an outer one of 2. What is the variance of GR with $K = 3$?
#
# <details><summary>Answer</summary>
#
# 6/3 + 2 = 4. No $K$ gets below 2.
#
# </details>
#
# **2.** Where does the proof of Proposition 1 use that $\nabla_{\mathrm{GR}}$ is the mean of
# $\nabla_{\mathrm{STGS}}$ given $D$?
#
# <details><summary>Answer</summary>
#
# In $m = \nabla_{\mathrm{GR}}$. With another vector in the place of $m$ the mixed term of (P) need not vanish, and
# nothing would follow.
#
# </details>
#
# **3.** You may double $B$ or double $K$, and $K$ is far beyond $K^*$. What does each do to the variance?
#
# <details><summary>Answer</summary>
#
# Doubling $B$ halves it, as always. Doubling $K$ halves only inner/$K$, which is the small part by now.
#
# </details>
#
# **4.** You halve τ and keep $K$. What happens to the inner variance, and how do you make up for it?
#
# <details><summary>Answer</summary>
#
# At a low temperature it doubles, about. With twice the $K$, inner/$K$ stays.
#
# </details>
#
# **5.** Somebody differentiates the mean of the $K$ softmaxes, and $G^k$ comes from (9) with θ in it. At a
# low temperature the variance is tiny. Is this good?
#
# <details><summary>Answer</summary>
#
# No. The gradient itself is gone: the mean softmax given $D$ is nearly $D$, which does not move. A small
# variance about a wrong value is worth nothing.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - The paper's own proofs: appendix C of
#   [Paulus, Maddison and Krause (2021)](https://arxiv.org/abs/2010.04838).
# - ZGR, and what τ → 0 does to bias and variance: [Shekhovtsov
#   (2023)](https://proceedings.mlr.press/v202/shekhovtsov23a.html).
# - Many ways to write an estimator as a loss: [Schulman and others
#   (2015)](https://arxiv.org/abs/1506.05254), on stochastic computation graphs.
#
# **Next:** here θ was one point. [5 · The quadratic programme](05_quadratic_programme.ipynb) draws a map: how
# much GR gains, everywhere on the simplex.
