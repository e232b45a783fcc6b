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
# # 1 · The Gumbel-max trick
#
# *a choice as noise and an argmax*
#
# **After this notebook you can**
#
# - draw a class by adding noise and taking the largest, and check that the draws are right,
# - say in three lines why it works, and how high the largest is,
# - turn the draw into a smooth one, and say what its temperature τ does to it and to its slope.
#
# **You need** softmax, a little PyTorch, and the words of probability: distribution, mean, standard
# deviation, independent. **Time:** 55 minutes.
#
# Numbers in parentheses, such as (3), are those of the equations in the
# [paper](https://arxiv.org/abs/2010.04838). Exercises have a cell to write in and a cell that checks what
# you wrote; a hint opens with a click. Some outputs are folded until you run their cell, so that you can
# guess first. The solutions are in [a notebook of their own](solutions/01_gumbel_max.ipynb).

# %% [markdown] tags=["links"]
# [Open in Binder](https://mybinder.org/v2/gh/gumbelrao-edu/gumbelrao_edu/main?urlpath=lab/tree/notebooks/01_gumbel_max.ipynb) ·
# [Open in Colab](https://colab.research.google.com/github/gumbelrao-edu/gumbelrao_edu/blob/main/notebooks/01_gumbel_max.ipynb)
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
# ## A choice stops the gradient
#
# Somewhere in a network a choice is made: which word comes next, which path a robot takes, which parts of a
# sentence belong together. The network has computed some numbers, the *logits* $\theta$. They stand for
# the probabilities $p = \mathrm{softmax}(\theta)$ of the classes. One class is drawn. We write the draw as
# a vector $D$ with a 1 at its place and 0 elsewhere, and call it *one-hot*.

# %%
import torch

from gumbelrao_edu.course import (
    claim,  # says so when a run differs from the text
    write,  # prints a name and its numbers
)

logits = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
p = logits.softmax(-1)
write("logits θ", logits)
write("probabilities p", p)

# %% [markdown]
# The rest of the network makes a *loss* $f(D)$ of the draw. Training is to make the loss small on average,
# so it needs the gradient of
#
# $$\mathbb{E}[f(D)] = \sum_i p_i \, f_i$$
#
# with respect to $\theta$, where $f_i$ is the loss of class $i$ and $\mathbb{E}$, the *expectation*, is the
# mean over all draws. With three classes we could write the sum down. A network that makes a hundred choices
# cannot: it draws. PyTorch draws $D$ for us, so let us ask it for the gradient.

# %%
theta = logits.clone().requires_grad_()
place = torch.multinomial(theta.softmax(-1), 1)
choice = torch.nn.functional.one_hot(place, 3).double()
loss = (choice * torch.tensor([1.0, 3.0, 2.0])).sum()  # each class has a loss
try:
    loss.backward()
except RuntimeError as error:
    print("no gradient:", error)

# %% [markdown]
# The draw has cut the connection: nothing that came before it gets a gradient. There are two reasons.
# `torch.multinomial` hides its randomness *inside*, so that its result is not a function of $\theta$. And
# a choice jumps from one class to the next, so that there is nothing to differentiate.
#
# This notebook removes the first reason, and makes a start with the second. The randomness goes outside:
# draw noise that knows nothing of $\theta$, add it to $\theta$, and take the largest. To write a draw as a
# function of the parameters and of noise that does not depend on them is called **reparameterization**.

# %% [markdown]
# ## 1 · A noise with a name
#
# The noise has to be the right one. A **Gumbel** variable $G$ is defined by its distribution function,
# the probability of being at most $x$:
#
# $$P(G \le x) = F(x) = \exp(-\exp(-x))$$
#
# Its derivative, $\exp(-x - \exp(-x))$, is the density. Here are 100,000 draws beside it. **Look for** the
# side on which the long tail is.

# %%
from gumbelrao_edu import sample_gumbel
from gumbelrao_edu.course.gumbel_max import checks, figures

generator = torch.Generator().manual_seed(2)
gumbels = sample_gumbel([100_000], generator=generator)
figures.density(gumbels)


# %% [markdown]
# The mean is Euler's constant, 0.577…, and the standard deviation is $\pi / \sqrt 6$ = 1.28….
#
# ### Exercise 1 · Make Gumbels
#
# A computer draws numbers $U$ that are uniform between 0 and 1. Put through $F^{-1}$ they become
# Gumbels, because $P(F^{-1}(U) \le x) = P(U \le F(x)) = F(x)$: uniform means that $P(U \le a) = a$. Solve
# $u = \exp(-\exp(-x))$ for $x$, and write the result as a function.
#
# <details><summary>Hint</summary>
#
# Undo the two functions one after the other, the outer one first. $u = \exp(-y)$ gives $y = -\log u$; here
# $y = \exp(-x)$.
#
# </details>

# %% tags=["exercise"]
def gumbel_from_uniform(u):
    # u is a tensor of numbers between 0 and 1; return a tensor of the same shape.
    ...


# %% tags=["check"]
checks.check_gumbel_from_uniform(gumbel_from_uniform)

# %% [markdown]
# The inner logarithm makes a variable that has a name of its own. $E = -\log U$ is an **exponential
# variable**, $P(E > t) = \exp(-t)$: the time that one waits for something that may come at any moment with
# the same probability. A Gumbel is $G = -\log E$. In the next notebook these waiting times make an awkward
# problem easy.

# %% [markdown]
# ## 2 · The trick
#
# > **Gumbel-max trick.** Add independent Gumbels $G_1, \dots, G_n$ to the logits. The place of the
# > largest sum is a draw from $\mathrm{softmax}(\theta)$.
#
# The function `gumbel_max` returns $D$ and the sums $\theta + G$. We give it the logits four times, as four
# rows, and get four draws. **Look for** the largest number of each row.

# %%
from gumbelrao_edu import gumbel_max

one_hot, perturbed = gumbel_max(logits.expand(4, 3), generator=generator)
for row in range(4):
    write("θ + G", perturbed[row])
    write("    D", one_hot[row])


# %% [markdown]
# ### Exercise 2 · Do it yourself
#
# Write the trick as a function of the logits and of noise that is given. Each row of the noise makes one
# draw.
#
# <details><summary>Hint</summary>
#
# PyTorch adds a vector to every row of a matrix. `x.argmax(-1)` gives the place of the largest entry of each
# row, and `torch.nn.functional.one_hot(places, n)` makes a one-hot row of each place.
#
# </details>

# %% tags=["exercise"]
def one_hot_sample(logits, gumbels):
    # logits has the shape [n], gumbels [m, n]; return m one-hot rows, [m, n].
    ...


# %% tags=["check"]
checks.check_one_hot_sample(one_hot_sample)

# %% [markdown]
# Now draw often, and count.
#
# **Predict:** of 100,000 draws, how many will be class 3? How far from that may the count be before you
# stop believing in the trick: 10, 100 or 1,000?

# %% tags=["hide-output"]
num_samples = 100_000
one_hot, perturbed = gumbel_max(logits.expand(num_samples, 3), generator=generator)
counts = one_hot.sum(0)
write("probabilities p", p)
write("frequencies", counts / num_samples)
print(f"class 3: expected {num_samples * p[2]:.0f}, counted {counts[2]:.0f}")

# %% [markdown]
# How close is close enough? If everything were drawn again, the count of class $i$ would scatter around
# $m p_i$, where $m$ is the number of draws, with the standard deviation
#
# $$\sqrt{m \, p_i \, (1 - p_i)}$$
#
# The standard deviation with which a count or a mean would scatter is called its **standard error**. That of a mean
# of $m$ draws is the standard deviation of one draw, divided by $\sqrt m$. Up to two standard errors are usual;
# five are not chance. (Here one is 123 for class 3. So to miss by 100 is nothing, and
# 1,000, eight of them, would be the end of the trick.)

# %%
standard_error = (num_samples * p * (1 - p)).sqrt()
write("standard errors", standard_error, 0)
write("counted minus expected", counts - num_samples * p, 0)
write("in standard errors", (counts - num_samples * p) / standard_error, 1)

# %% [markdown]
# Would another noise do? Take *normal* noise in place of Gumbels, with the same standard deviation of 1.28,
# and count which class is the largest in a million draws.
#
# **Predict:** will your eye notice a difference in the frequencies? Will the standard errors?

# %% tags=["hide-output"]
million = 1_000_000
normal = 1.28 * torch.randn(million, 3, generator=generator, dtype=torch.float64)
wrong = torch.bincount((logits + normal).argmax(-1), minlength=3).double()
write("probabilities p", p)
write("frequencies", wrong / million)
write("in standard errors", (wrong - million * p) / (million * p * (1 - p)).sqrt(), 1)
claim("normal noise misses by less than 0.01", (wrong / million - p).abs().max() < 0.01)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The frequencies differ from the probabilities by less than 0.01, which is easily overlooked. In standard
# errors the difference is far beyond chance: normal noise draws from another distribution. With Gumbels the
# frequencies are those of the softmax, for any logits. The next section shows why.
#
# </details>

# %% [markdown]
# ## 3 · Why it works
#
# Write $Z = \sum_j \exp \theta_j$, so that $p_i = \exp(\theta_i) / Z$.
#
# **How high is the largest?** It is at most $x$ when all are. $\theta_j + G_j \le x$ means
# $G_j \le x - \theta_j$, and the $G_j$ are independent, so the probabilities multiply:
#
# $$\begin{aligned} P(\max_j (\theta_j + G_j) \le x) &= \prod_j \exp(-\exp(\theta_j - x)) \\
# &= \exp\Big(-\sum_j \exp(\theta_j) \exp(-x)\Big) = \exp(-\exp(\log Z - x)) \end{aligned}$$
#
# That is $F(x - \log Z)$. A Gumbel that is shifted by $a$, $a + G$, is said to be *located at* $a$; so each
# $\theta_j + G_j$ is located at $\theta_j$, and *the maximum of Gumbels is a Gumbel, located at* $\log Z$.
#
# **Who is it?** Class $i$ wins at the height $x$ if its own sum is there and the others are below:
#
# $$\begin{aligned}
# &\underbrace{\exp(\theta_i - x) \exp(-\exp(\theta_i - x))}_{\text{density of } \theta_i + G_i}
# \; \prod_{j \ne i} \exp(-\exp(\theta_j - x)) \\
# &\quad = \; \frac{\exp \theta_i}{Z} \; \cdot \;
# \underbrace{\exp(\log Z - x) \exp(-\exp(\log Z - x))}_{\text{density of the maximum}} \end{aligned}$$
#
# Over all heights $x$ the density integrates to 1. What is left is $p_i$, which proves the trick. And that it
# is a *product* says more: **who wins, and how high, are independent.**
#
# **Predict:** class 3 wins seldom. When it does, is the winning sum on average lower than that of
# class 1, equal, or higher?

# %% tags=["hide-output"]
log_z = logits.exp().sum().log().item()
print(f"log Z + 0.577 = {log_z + 0.5772:.3f}")
for i in range(3):
    won = perturbed.amax(-1)[one_hot[:, i] == 1]
    error = won.std() / len(won) ** 0.5
    print(f"class {i + 1} won {len(won):6} times: {won.mean():.3f} ± {2 * error:.3f}")
    claim(f"class {i + 1} is within the ±", abs(won.mean() - log_z - 0.5772) < 2 * error)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Equal, within the ± of two standard errors. A class that starts low needs a lucky draw to win, and we look
# only at those draws.
#
# </details>
#
# The whole distribution is the same, too, and not only its mean. **Look for** an outline that leaves the
# curve.

# %%
figures.maxima(perturbed, log_z)

# %% [markdown]
# None does, apart from the steps that few draws leave. How high the winner is says nothing about who it was.
#
# ### Exercise 3 · How high?
#
# Three classes have $\exp \theta = (2, 3, 5)$. What is the mean of the largest of the three
# $\theta_j + G_j$? Compute it without sampling, to two digits after the point.
#
# <details><summary>Hint</summary>
#
# Where is the maximum located, and how far above its location is the mean of a Gumbel?
#
# </details>

# %% tags=["exercise"]
mean_of_max = None  # Write a number in place of None.

# %% tags=["check"]
checks.check_mean_of_max(mean_of_max)

# %% [markdown]
# ## 4 · A soft choice
#
# The noise is outside now, and $D$ is a function of $\theta$. Can it be differentiated? Move the logits
# a little, and hold the noise fixed:

# %%
noise = perturbed[0] - logits
drawn = one_hot[0].argmax()
other = 0 if drawn != 0 else 1  # another class, whose logit we raise
jump = (perturbed[0, drawn] - perturbed[0, other]).item()
for step in [0.0, 0.001, 0.5, jump - 0.001, jump + 0.001]:
    moved = logits.clone()
    moved[other] += step
    winner = (moved + noise).argmax() + 1
    print(f"logit {other + 1} raised by {step:.3f}: drawn class {winner}")
assert (moved + noise).argmax() == other != drawn

# %% [markdown]
# Nothing happens, until at one point the class jumps. The derivative is zero wherever it exists, and
# gradient descent learns nothing from it. This is the second reason. The way out is to replace the argmax by
# a smooth function that is close to it: the softmax at a *temperature* $\tau$ that you met in notebook 0,
# $\mathrm{softmax}_\tau(x) = \mathrm{softmax}(x/\tau)$.
#
# $$D = \lim_{\tau \to 0} S_\tau, \qquad S_\tau = \mathrm{softmax}_\tau(\theta + G) \qquad (3)$$
#
# $S_\tau$ is called a *Gumbel-Softmax* or *concrete* variable. The same noise makes $D$ and $S_\tau$:

# %%
from gumbelrao_edu import tempered_softmax

write("θ + G", perturbed[0])
for tau in [10.0, 1.0, 0.3, 0.1]:
    write(f"S at τ = {tau}", tempered_softmax(perturbed[0], tau))
write("D", one_hot[0])

# %% [markdown]
# Now there is a slope. The next figure takes the same draw, holds its noise fixed again, and moves $\theta_1$ in
# place of $\theta_2$. Above, the entry of class 1; below, its slope, which is what gradient descent would use.
#
# **Look for** two things: how far from the jump a slope is left at each temperature, and how high it gets.

# %%
figures.slopes(logits, perturbed[0])

# %% [markdown]
# Cold: close to the true choice, but the slope is a spike at the jump and nearly nothing elsewhere. Hot: a
# slope everywhere, but of a curve that is far from the choice.
#
# Two classes are enough to do it by hand. With the distance $d = (\theta_1 + G_1) - (\theta_2 + G_2)$ the entry
# of class 1 is $s = 1 / (1 + \exp(-d/\tau))$, and its slope is $s (1 - s) / \tau$:
#
# | distance $d$ | temperature $\tau$ | ratio $d/\tau$ | entry $s$ | slope |
# |---|---|---|---|---|
# | 0 | 0.1 | 0 | 0.5 | 0.5 · 0.5 / 0.1 = 2.5 |
# | 0.5 | 0.1 | 5 | 0.9933 | 0.9933 · 0.00669 / 0.1 = 0.066 |
# | 0.5 | 1 | 0.5 | 0.6225 | 0.6225 · 0.3775 / 1 = 0.235 |
#
# The next cell lets PyTorch differentiate, and finds the same slopes.

# %%
for d, tau in [(0.0, 0.1), (0.5, 0.1), (0.5, 1.0)]:
    sums = torch.tensor([d, 0.0], requires_grad=True)
    s = tempered_softmax(sums, tau)
    s[0].backward()
    write(f"d = {d}, τ = {tau}: s, slope", [s[0].item(), sums.grad[0].item()])

# %% [markdown]
# Three numbers that are not negative and sum to 1 are a point of a triangle, the *simplex*. A one-hot
# vector is a corner; (⅓, ⅓, ⅓) is the centre; the number that belongs to
# a corner says how high the point lies above the opposite side: 0 on that side, 1 in the corner. The next
# figure draws $S_\tau$ for 200 draws of the noise. The noise stays
# the same when you move the slider: you see the *same* 200 points move.
#
# **Predict before you move it:**
#
# 1. Where are the points at τ = 10, and where at τ = 0.05?
# 2. The colour says which class $D$ is. Does a point ever cross over to another colour's corner?
# 3. The cross is the mean of the points, the ring is $p$. At which end of the slider are they close?

# %%
panel = figures.samples(logits)
panel

# %% [markdown]
# The next cell reads off the sentence under the figure at both ends of the slider.

# %% tags=["hide-output"]
panel.captions(tau=[10.0, 0.05])


# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. Near the centre at large τ; most of them at a corner at small τ.
# 2. Never. Dividing by τ does not change which entry is the largest, so $S_\tau$ always has its largest
#    entry where $D$ has its one.
# 3. At small τ. There $S_\tau$ is nearly $D$, whose mean is $p$ (up to the luck of 200 draws). At large τ the
#    mean is the centre, whatever $p$ is. So at τ > 0 the mean of the soft choice is not $p$,
#    unless all classes are equally probable.
#
# </details>
#
# So τ is a compromise. Small: nearly a true choice, but a point near a corner hardly moves when θ does,
# until it suddenly does. Large: smooth, but far from what is drawn. The rest of the course is about this
# compromise, and about how to get a better one.

# %% [markdown]
# ### Exercise 4 · A softmax that survives
#
# Write $S_\tau$ as a function. It has to work at small τ, too, where $\exp(x/\tau)$ is larger than any
# number that a computer knows.
#
# <details><summary>Hint</summary>
#
# Take what PyTorch has: its softmax subtracts the largest entry before it takes exponentials. Divide by τ
# before, and say over which axis.
#
# </details>

# %% tags=["exercise"]
def relaxed_sample(logits, gumbels, tau):
    # logits has the shape [n], gumbels [m, n]; return [m, n], each row a point of the simplex.
    ...


# %% tags=["check"]
checks.check_relaxed_sample(relaxed_sample)

# %% [markdown]
# ## What to take along
#
# - A Gumbel is $-\log E$, and $E$ is a waiting time. Add Gumbels to the logits, take the largest: a draw
#   from the softmax.
# - The largest sum is a Gumbel located at $\log Z$. Who wins and how high are independent.
# - The softmax of the same sums, $S_\tau$ (3), is a smooth stand-in for $D$. It tends to $D$ as τ → 0. At
#   τ > 0 its mean is not $p$ (except for equal $p_i$), and at a small τ its slope is a spike.

# %% [markdown]
# ## Check yourself
#
# **1.** Why does `loss.backward()` stop at a draw of `torch.multinomial`?
#
# <details><summary>Answer</summary>
#
# For two reasons. The randomness is inside, so that the draw is not a function of $\theta$ and given noise. And
# a choice jumps: where it has a derivative at all, it is zero.
#
# </details>
#
# **2.** The logits are $(0, 0)$. With which probability is $G_1 > G_2 + 1$?
#
# <details><summary>Answer</summary>
#
# Class 1 wins with the logits $(0, 1)$: $1 / (1 + e) = 0.27$.
#
# </details>
#
# **3.** All logits are raised by 5. What happens to the draws, to $S_\tau$, and to the largest sum?
#
# <details><summary>Answer</summary>
#
# Draws and $S_\tau$ stay, as a softmax does not see a common shift. The largest sum goes up by 5, with
# $\log Z$.
#
# </details>
#
# **4.** You know the logits, and hear that class 3, an improbable one, has won. Does this change how high you
# expect the winning sum to be?
#
# <details><summary>Answer</summary>
#
# No. Who wins and how high are independent: the sum of any winner is a Gumbel located at $\log Z$.
#
# </details>
#
# **5.** At which τ is the mean of $S_\tau$ closest to $p$? Why not always use that one?
#
# <details><summary>Answer</summary>
#
# As τ → 0. But there the slope is nearly zero for most noise and very large for some. A larger τ gives a useful
# slope for most noise, of a soft choice that is farther from the true one.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [Maddison, Tarlow and Minka (2014), A\* Sampling](https://arxiv.org/abs/1411.0030): the trick for a continuum of
#   classes. It draws the largest first and then what is below it, as notebook 2 will.
# - [Jang, Gu and Poole (2017)](https://arxiv.org/abs/1611.01144) and
#   [Maddison, Mnih and Teh (2017)](https://arxiv.org/abs/1611.00712): the two papers that introduced $S_\tau$.
# - [Huijben, Kool, Paulus and van Sloun (2022)](https://arxiv.org/abs/2110.01515): a review of the trick and of
#   what it is used for.
#
# **Next:** many values of the noise make the *same* choice. What do they look like, and how can one draw
# them? [2 · Gumbels, given the choice](02_conditional_gumbels.ipynb).
