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
# # 2 · Gumbels, given the choice
#
# *the noise that a choice does not see*
#
# **After this notebook you can**
#
# - say which part of the noise a choice depends on, and which part it does not,
# - draw the noise again *given* the choice, slowly and then fast, and derive the fast way,
# - do one such draw by hand,
# - compute the softmax of such noise in a form that cannot overflow.
#
# **You need** [1 · The Gumbel-max trick](01_gumbel_max.ipynb). **Time:** 60 minutes without
# section 5, which is optional.
#
# Numbers in parentheses, such as (9), are those of the equations in the
# [paper](https://arxiv.org/abs/2010.04838). The solutions of the exercises are in
# [a notebook of their own](solutions/02_conditional_gumbels.ipynb).

# %% [markdown] tags=["links"]
# [Open in Binder](https://mybinder.org/v2/gh/gumbelrao-edu/gumbelrao_edu/main?urlpath=lab/tree/notebooks/02_conditional_gumbels.ipynb) ·
# [Open in Colab](https://colab.research.google.com/github/gumbelrao-edu/gumbelrao_edu/blob/main/notebooks/02_conditional_gumbels.ipynb)
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
# ## 1 · Many noises, one choice
#
# Notebook 1 draws a class like this: add Gumbels $G$ to the logits, and let $D$ point to the largest sum. Do
# it eight times, and sort the draws by the class that wins.

# %%
import torch

from gumbelrao_edu import gumbel_max
from gumbelrao_edu.course import claim, write
from gumbelrao_edu.course.conditional_gumbels import checks, figures

logits = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
p = logits.softmax(-1)
generator = torch.Generator().manual_seed(21)

write("probabilities p", p)
one_hot, perturbed = gumbel_max(logits.expand(8, 3), generator=generator)
for row in one_hot.argmax(-1).argsort(stable=True):
    write(f"class {1 + one_hot[row].argmax()} wins: θ + G =", perturbed[row], 2)

# %% [markdown]
# Here are forty such draws as a picture, each a column of three points. **Look for** what the columns of one
# group have in common, and what differs.

# %%
figures.many_noises(logits)


# %% [markdown]
# In a group the heights differ, but $D$ is the same, and whatever a network computes from $D$ is the same,
# too. The differences are noise that has no effect. The course will *average over them*, and for this we need
# to draw more columns of one group: $\theta + G$ given $D$.
#
# ## 2 · The slow way
#
# One way is obviously right. Draw $\theta + G$ again and again, and keep the rows in which the right
# class wins. This is *rejection sampling*.
#
# **Predict:** class 3 has the probability 0.19. How many draws will it take to keep 1,000?

# %% tags=["hide-output"]
def by_rejection(logits, i, k):
    kept, drawn = [], 0
    while len(kept) < k:
        one_hot, perturbed = gumbel_max(logits, generator=generator)
        drawn += 1
        if one_hot[i] == 1:
            kept.append(perturbed)
    return torch.stack(kept), drawn


slow, drawn = by_rejection(logits, 2, 1000)
print("rejection sampling, class 3:")
print(f"{drawn} draws for 1,000; 1,000 / p = {1000 / p[2]:.0f}")
write("mean of θ + G", slow.mean(0), 2)

# %% [markdown]
# On average $1/p_i$ draws for each that is kept. For a class with a probability of one in a million that is a million.
# And a network with a hundred choices needs it a hundred times in each step.
#
# ## 3 · A race of clocks
#
# Recall that $G = -\log E$ with $E$ a waiting time, $P(E > t) = \exp(-t)$. Then
#
# $$\theta_j + G_j = -\log T_j, \qquad T_j = E_j / \exp \theta_j$$
#
# A larger $\theta_j + G_j$ means a *smaller* $T_j$. So think of $n$ alarm clocks, one for each class.
# Clock $j$ rings at the time $T_j$, with $P(T_j > t) = \exp(-t \exp\theta_j)$; $\exp\theta_j$ is called its
# *rate*, since a larger one makes it ring sooner. **The clock that rings first wins.** Three facts are all
# we need. Here are two:
#
# 1. *The first ring* comes at $\min_j T_j$. The probability that no clock has rung until $t$ is
#    $\prod_j \exp(-t \exp\theta_j) = \exp(-t Z)$ with $Z = \sum_j \exp\theta_j$. So the first ring is at $E' / Z$,
#    where $E'$ is an exponential variable, too. (Notebook 1 said it like this: the maximum is a Gumbel located
#    at $\log Z$.)
# 2. *Who rings first* does not depend on *when* (notebook 1 again).
#
# The third is about the clocks that have *not* won. The figure shows one race: a line for each clock, from its
# start to its ring. Up to the first ring (dotted) the lines are black: they all say the same, "nothing so far".
# What comes after it is the *rest* of a clock that has not won. Move the slider for other races. **Look for** the
# rest: does a clock that was silent for long ring soon?

# %%
figures.clocks(logits)

# %% [markdown]
# Eight races are too few to tell. So clock 1 is started a million times. For those that have
# not rung until $t_0 = 1$ we count the time from there.
#
# **Predict:** the mean of $T_1$ is $1/\exp(0.5) = 0.61$. What is the mean of the *rest* of the time, for the
# clocks that have already been silent for 1?

# %% tags=["hide-output"]
uniform = torch.rand(1_000_000, generator=generator, dtype=torch.float64)
times = -torch.log(uniform) / torch.exp(logits[0])
rest = times[times > 1] - 1
print(f"mean of T: {times.mean():.2f}")
print(f"{len(rest) / 1e6:.0%} were silent until 1; mean of the rest: {rest.mean():.2f}")


# %% [markdown]
# The mean has not changed. This is the third fact:
#
# 3. *Clocks forget.* If a clock has not rung until $t_0$, the rest of its time is distributed as if it had
#    just been started. With $\mid$ for "given that",
#    $P(T > t_0 + t \mid T > t_0) = \exp(-(t_0 + t)\exp\theta) / \exp(-t_0 \exp\theta) = \exp(-t \exp\theta)$.
#
# It speaks of one clock and a fixed time $t_0$. We shall use it for several clocks and the time
# of the first ring. That is allowed: the clocks are independent, so whatever time the winner's clock has
# shown, it is a fixed time for each of the others.

# %% [markdown]
# ### Exercise 1 · A truncated Gumbel
#
# A Gumbel located at $\theta$ is to stay *below a bound* $b$. On the clock, $\theta + G \le b$ means that it
# rings *after* $t_0 = \exp(-b)$. Use fact 3 to say when it rings, and turn the time into $\theta + G$ again.
#
# <details><summary>Hint</summary>
#
# Only two times are added: the time for which the clock is known to be silent, and a fresh waiting time
# $E / \exp\theta$, as if it had just been started.
#
# </details>

# %% tags=["exercise"]
def truncated_gumbel(theta, bound, e):
    # theta and bound are tensors that hold one number each; e holds m exponentials, [m].
    # Return m draws of θ + G, given that it is below the bound, [m].
    ...


# %% tags=["check"]
checks.check_truncated_gumbel(truncated_gumbel)


# %% [markdown]
# ## 4 · The fast way: equation (9)
#
# Now let class $i$ have won. Fact 1: its clock rang at $E'_i / Z$; by fact 2 it makes no difference that it
# is class $i$. Fact 3: every other clock was silent until then, and rings $E'_j / \exp\theta_j$ later. The
# primes say that these are *new* exponentials. Of the old ones, which made the race, nothing is known any more
# but who won; we shall not meet them again, and so leave the primes out, as the paper does. Take $-\log$ of the
# times, and you have equation (9) of the paper. For $D_i = 1$ (read $\sim$ as "is distributed as"):
#
# $$\theta_j + G_j \mid D \;\sim\; \begin{cases} -\log E_j + \log Z & j = i \\
# -\log\left(E_j / \exp \theta_j + E_i / Z\right) & \text{otherwise} \end{cases} \qquad (9)$$
#
# No draw is thrown away. The winner is a Gumbel at $\log Z$, and each other entry a Gumbel truncated at
# the winner: the one that you have just written, with $b = -\log(E_i/Z)$. Note that in the second line the
# *same* $E_i$ stands as in the first.
#
# ### One draw by hand
#
# Let the rates be $\exp\theta = (2, 1, 1)$, so $Z = 4$, and let class 1 have won. Three exponentials are drawn:
#
# | step | class 1, the winner | class 2 | class 3 |
# |---|---|---|---|
# | $E$ | 0.4 | 0.3 | 0.6 |
# | when it rings | $E_1/Z = 0.4/4 = 0.1$ | $0.3/1 + 0.1 = 0.4$ | $0.6/1 + 0.1 = 0.7$ |
# | $\theta + G = -\log$ of it | 2.303 | 0.916 | 0.357 |
#
# Class 1 is the largest, as it has to be. Do it once with numbers of your own before you go on.
#
# ### Exercise 2 · Equation (9) from its two cases
#
# Write (9) as a function of the exponentials: the entry of the winner by the first line, all others by the
# second. From here on `e` is a table with a row for each draw.
#
# <details><summary>Hint</summary>
#
# Go through the times: those of the losers first, for every $j$, then put the time of the winner in its
# place. `e[:, [i]]` is the column of the winner, and stays a column; `e[i]` would be a row.
#
# </details>

# %% tags=["exercise"]
def given_winner(logits, i, e):
    # logits has the shape [n], i is the index of the winner (0 for class 1), and e holds
    # exponentials, [k, n].
    # Return k draws of θ + G given that class i won, [k, n].
    ...


# %% tags=["check"]
checks.check_conditional_gumbel(given_winner)

# %% [markdown]
# The library's version is `conditional_gumbel`, which draws the exponentials itself. Does it draw the same as
# rejection? We compare the means of the three entries: their differences, in standard errors.

# %%
from gumbelrao_edu import conditional_gumbel


def compare(name, first, second):
    error = ((first.var(0) + second.var(0)) / len(first)).sqrt()
    apart = (first.mean(0) - second.mean(0)) / error
    write(name, apart, 1)
    return apart.abs().max()


third = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
fast = conditional_gumbel(logits, third, k=1000, generator=generator)
claim("rejection and (9) agree", compare("rejection and (9)", slow, fast) < 2)
free = gumbel_max(logits.expand(1000, 3), generator=generator)[1]
compare("without the condition", free, fast)

# %% [markdown]
# Rejection and (9) agree within two standard errors. (In other runs one of the three entries may be a little farther
# off: in about one run of eight.) The second line is there to see a difference when there
# is one: noise without the condition that class 3 has won.
#
# The figure puts both side by side. There are three classes, and class 1 has won. The bars are 10,000 draws by
# rejection, the lines 10,000 by equation (9). The marks below are their means, hollow for rejection, filled for (9).
# Their standard errors are smaller than a mark; the sentence under the figure tells them. (Class 3 is as probable as
# class 2, and left out.)
#
# **Predict before you move the slider** for the probability $p$ of class 1 from 0.9 down to 0.01:
#
# 1. The logits are $\log p$, $\log \frac{1-p}{2}$ and once more $\log \frac{1-p}{2}$, so $Z = 1$. Where does the winner's histogram go?
# 2. Class 2 has to stay below the winner. Does this push it down more when $p$ is large, or when $p$ is
#    small? (The sentence under the figure tells its mean with the condition and without.)
# 3. What becomes of the number of draws?

# %%
panel = figures.two_ways()
panel

# %% tags=["hide-output"]
panel.captions(p=[0.9, 0.01])

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. Nowhere. The winner is a Gumbel at $\log Z = 0$, whatever its probability: the first ring comes when it
#    comes, and who it was makes no difference.
# 2. When it is small. At $p = 0.9$ class 2 has a logit of $\log 0.05$: it is low anyway, and the condition
#    costs it little. At $p = 0.01$ its logit is $\log 0.495$; it would nearly always be above class 1, and
#    the condition holds it below.
# 3. Rejection draws $1/p$ times for each that it keeps, equation (9) once.
#
# </details>

# %% [markdown]
# ## 5 · Back to where we came from
#
# *Optional, 6 minutes.* Draw the class first, $D \sim p$, and then $\theta + G$ given $D$ by (9). Forget $D$.
# What noise remains?
#
# **Predict:** given $D$ the entries are far from independent: the others stay below the winner. Are they
# uncorrelated again after $D$ is forgotten?

# %% tags=["hide-output"]
classes = torch.multinomial(p, 100_000, replacement=True, generator=generator)
drawn_first = torch.nn.functional.one_hot(classes, 3).double()
rows = logits.expand(100_000, 3)
again = conditional_gumbel(rows, drawn_first, k=1, generator=generator)[0]
given = conditional_gumbel(logits, third, k=100_000, generator=generator)
write("G: mean (a Gumbel: 0.577)", (again - logits).mean(0))
write("G: std (a Gumbel: 1.283)", (again - logits).std(0))
print("correlation of entries 1 and 3")
print(f"    given that class 3 won: {torch.corrcoef(given.T)[0, 2]:.2f}")
print(f"    after D is forgotten: {torch.corrcoef(again.T)[0, 2].abs():.2f}")


# %% [markdown]
# <details><summary>Answer</summary>
#
# They are. Mean and standard deviation are those of a Gumbel again, up to the luck of 100,000 draws (a standard
# error of the mean is 0.004), and the correlation has gone. Given $D$ the correlation was there because the
# *same* $E_i$ moves all entries.
#
# So what remains is the noise of the beginning, independent Gumbels located at $\theta$. It has to be, for
# $P(G) = \sum_D P(D)\, P(G \mid D)$. This is the reason why the next notebook may draw in this order.
#
# </details>

# %% [markdown]
# ## 6 · A softmax that cannot overflow
#
# What will be needed is not $\theta + G$ itself but $S_\tau = \mathrm{softmax}_\tau(\theta + G)$ (3). Written down
# as it stands it is fragile. Here are large logits, such as a network has when it is sure of itself, and
# the formula (9) read literally, in the usual single precision:

# %%
def literally(logits, i, e, tau):
    perturbed = -torch.log(e / logits.exp() + e[i] / logits.exp().sum())
    perturbed[i] = -e[i].log() + logits.exp().sum().log()
    weights = torch.exp(perturbed / tau)
    return weights / weights.sum()


e = torch.tensor([0.5, 1.0, 2.0])
sure = torch.tensor([1.0, 0.0, -1.0])
write("logits up to 1, τ = 0.5", literally(sure, 0, e, 0.5))
write("up to 100, τ = 0.5", literally(100 * sure, 0, e, 0.5))
write("up to 1, τ = 0.01", literally(sure, 0, e, 0.01))
write("up to 12, half precision", literally((12 * sure).half(), 0, e.half(), 0.5))

# %% [markdown]
# `nan`, not a number, in three of four. $\exp(100)$ is too large for single precision, $\exp(12)$ for half
# precision (16 bits a number), and $\exp(x / 0.01)$ for any $x$ above 0.89. One NaN in a gradient destroys a
# network for good.
#
# The clocks show the way out. A softmax does not care for a common factor, so divide by the winner. With
# $\exp((\theta_j + G_j)/\tau) = T_j^{-1/\tau}$, $T_i = E_i / Z$ and $\exp(\theta_j) / Z = p_j$:
#
# $$r_j = \left(\frac{T_j}{T_i}\right)^{-1/\tau}
# = \left(\frac{E_j/\exp\theta_j + E_i/Z}{E_i / Z}\right)^{-1/\tau}
# = \left(1 + \frac{E_j}{E_i\, p_j}\right)^{-1/\tau}, \qquad r_i = 1$$
#
# and $S_\tau = r / \sum_j r_j$.
#
# $\log Z$ has gone, and so has $p_i$: an improbable winner is nothing special. The base is at least 1 and
# the power negative, so every $r_j$ lies between 0 and 1, and the sum between 1 and $n$. If $p_j$ is so
# small that it is rounded to 0, the base is infinite and $r_j = 0$, as it should be. *No overflow does harm.*
#
# (The paper does not have this form; it follows from (9) by the line above.)
#
# The draw by hand goes on. There $p = (\frac12, \frac14, \frac14)$, $E = (0.4, 0.3, 0.6)$ and class 1 has won:
#
# | step | class 1, the winner | class 2 | class 3 | sum |
# |---|---|---|---|---|
# | $1 + E_j/(E_1 p_j)$ | | $1 + 0.3/(0.4 \cdot 0.25) = 4$ | $1 + 0.6/(0.4 \cdot 0.25) = 7$ | |
# | τ = 1: $r$ | 1 | 1/4 | 1/7 | 1.3929 |
# | $S_1 = r / \text{sum}$ | 0.718 | 0.179 | 0.103 | 1 |
# | τ = 0.5: $r$ | 1 | 1/16 | 1/49 | 1.0829 |
# | $S_{0.5}$ | 0.923 | 0.058 | 0.019 | 1 |
#
# The ratios of the times were 0.4/0.1 = 4 and 0.7/0.1 = 7: the same. The cell goes the long way, through (9)
# and the softmax, and finds the same numbers.

# %%
from gumbelrao_edu import tempered_softmax

times = torch.tensor([0.1, 0.4, 0.7])
write("θ + G", -times.log())
for tau in [1.0, 0.5]:
    write(f"S at τ = {tau}", tempered_softmax(-times.log(), tau))


# %% [markdown]
# ### Exercise 3 · The weights
#
# Write $S_\tau$ given that class $i$ has won as a function of $p$ and the exponentials, through the weights $r$.
#
# <details><summary>Hint</summary>
#
# First $r$ for every $j$ by the formula, in one line; then set the column of the winner to 1; then divide each
# row by its sum. Keep $E_i$ a column, as in exercise 2.
#
# </details>

# %% tags=["exercise"]
def softmax_given_winner(p, i, e, tau):
    # p has the shape [n], i is the index of the winner (0 for class 1), and e holds exponentials,
    # [k, n].
    # Return softmax_τ(θ + G) for k draws given that class i won, [k, n], from the weights r.
    ...


# %% tags=["check"]
checks.check_conditional_softmax(softmax_given_winner)

# %% [markdown]
# Here are the four cases again, with the library's version of the weights. In the first, which did not fail, both
# ways have to agree.

# %%
from gumbelrao_edu.estimators.gumbel_rao import conditional_softmax


def by_weights(logits, i, e, tau):
    # The library takes a block [classes, draws, rows]; here there is one draw and one row.
    noise = e[:, None, None].clone()
    return conditional_softmax(logits[:, None], torch.tensor([[i]]), tau, noise)[:, 0, 0]


write("logits up to 1, τ = 0.5", by_weights(sure, 0, e, 0.5))
write("up to 100, τ = 0.5", by_weights(100 * sure, 0, e, 0.5))
write("up to 1, τ = 0.01", by_weights(sure, 0, e, 0.01))
write("up to 12, half precision", by_weights((12 * sure).half(), 0, e.half(), 0.5))

# %% [markdown]
# ## What to take along
#
# - Many values of $\theta + G$ lead to the same $D$. The differences between them have no effect on
#   the loss.
# - Read $\theta + G$ as $-\log$ of the time at which a clock rings. The first ring comes at $E_i/Z$, and clocks
#   forget: that is equation (9), and it draws the noise given $D$ without throwing anything away.
# - First $D$, then the noise given $D$: the same as the noise alone.
# - The softmax given $D$ needs only the weights $r_j = (1 + E_j/(E_i p_j))^{-1/\tau}$, in which no overflow does harm.

# %% [markdown]
# ## Check yourself
#
# **1.** Two draws of $\theta + G$ have the same winner. Does the rest of the network notice a difference?
#
# <details><summary>Answer</summary>
#
# No. It sees $D$ only, which is the same. (The backward pass of notebook 3 will see a difference.)
#
# </details>
#
# **2.** A class has $p_i = 0.001$, and you need ten draws of the noise given that it wins. How many draws does
# rejection take on average, and how many does (9) take?
#
# <details><summary>Answer</summary>
#
# Rejection 10,000, and (9) ten.
#
# </details>
#
# **3.** The winner's clock rang at 0.2. A loser has the rate 2. When does its clock ring on average?
#
# <details><summary>Answer</summary>
#
# At 0.2 + 1/2 = 0.7. It forgets that it was silent for 0.2, and then waits for 1/2 on average.
#
# </details>
#
# **4.** Why must the same $E_i$ stand in both lines of (9)?
#
# <details><summary>Answer</summary>
#
# The losers start to wait at the very time at which the winner rings. With another one in the second line, a loser
# could ring before the winner.
#
# </details>
#
# **5.** In the weights $r_j$ neither $Z$ nor $p_i$ appears. What does this mean for a winner that is very
# improbable?
#
# <details><summary>Answer</summary>
#
# Nothing special happens: $p_i$ is not in the formula, so that nothing is divided by it. How high it wins does not
# depend on how probable it was. By how much it wins does: the rates of the other clocks add up to
# $Z (1 - p_i)$, so that the second ring comes sooner after an improbable winner than after a probable one.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [Maddison and Tarlow (2017), Gumbel Machinery](https://cmaddis.github.io/gumbel-machinery): the clocks, truncated
#   Gumbels, and how to draw the largest first and then the others (the *top-down construction*), in a blog post.
# - [Kool, van Hoof and Welling (2019)](https://arxiv.org/abs/1903.06059): conditional Gumbels used to draw several
#   sentences without repetition.
# - [Paulus, Maddison and Krause (2021)](https://arxiv.org/abs/2010.04838), section 3: equation (9), and
#   what it is for.
#
# **Next:** what is all of this good for? The gradient of a choice can be averaged over the noise that has no
# effect: [3 · The Gumbel-Rao estimator](03_gumbel_rao.ipynb).
