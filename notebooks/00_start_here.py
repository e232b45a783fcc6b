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
# # 0 · Start here
#
# *how this course works, and whether it works here*
#
# **After this notebook you can** run a cell, move a slider, and know that your installation works.
#
# **You need** an idea of how a network is trained: loss, gradient, step size. **Time:** 15 minutes.

# %% [markdown] tags=["links"]
# [Open in Binder](https://mybinder.org/v2/gh/gumbelrao-edu/gumbelrao_edu/main?urlpath=lab/tree/notebooks/00_start_here.ipynb) ·
# [Open in Colab](https://colab.research.google.com/github/gumbelrao-edu/gumbelrao_edu/blob/main/notebooks/00_start_here.ipynb)

# %% tags=["install"]
# One thread is fastest here. On Colab and Kaggle, this cell installs the course.
import importlib.util
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
if importlib.util.find_spec("gumbelrao_edu") is None:
    print("Installing the course, about a minute …")
    # %pip install -q "gumbelrao_edu[course] @ git+https://github.com/gumbelrao-edu/gumbelrao_edu"

# %% [markdown]
# ## One line of code
#
# Here is what the course is about. A small model makes twenty choices, each among eight, and is to learn
# which ones make its loss small. It is trained in two ways: *ST-GS* is the usual one, *Gumbel-Rao* is the one
# of this course. Start, step size and seed of the random numbers are the same; one line of code differs. Run
# the cell above (click on it and press **Shift + Enter**; on Colab and Kaggle it installs the course), then the
# one below, and compare the two curves.

# %% tags=["nbval-ignore-output"]
from gumbelrao_edu.course.start_here.figures import race

race()

# %% [markdown]
# **Look for** where the two lines part. Then move the sliders: τ, a
# *temperature*, says how noisy both trainings are, and $K$ how much of this noise the second one takes out.
# At $K = 1$ the two are the same. At τ = 1 less of the noise can be taken out, and eight runs are too few to show
# what that gains: which line ends lower there may be chance.
#
# What τ and $K$ are, and why this works, is what the notebooks explain.
#
# ## What this course is about
#
# Some neural networks make *choices* on the way from input to output: which of eight codes stands
# for this picture, which two words of a sentence belong together. A choice is not differentiable,
# so its gradient has to be *estimated*, from random samples, and such estimates are noisy.
#
# A popular estimator, the **straight-through Gumbel-Softmax** (ST-GS), is noisier than it has to be.
# In 2021 Paulus, Maddison and Krause showed how to take out a part of the noise without evaluating
# the network once more, with the **Gumbel-Rao** estimator (GR) of their paper
# [*Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator*](https://arxiv.org/abs/2010.04838).
# In your own code it is a change of one line. This course shows where it comes from, why it works,
# and what it gains when a network is trained.
#
# Here is the whole idea as a picture. Black is the way forward, from the logits $\theta$, the numbers that the
# network has computed for the classes, to the loss. Colour is the way back, on which the gradient comes. You need
# not understand it yet; the notebooks go through it box by box. **Look for** the one place where the two
# differ.

# %%
from gumbelrao_edu.course.start_here.figures import forward_and_backward

forward_and_backward()

# %% [markdown]
# Forward there is no difference. Backward, at the place of the choice, ST-GS uses the noise $G$ that happened
# to be drawn. Gumbel-Rao averages over many noises that would have made the *same* choice. The network need
# not run again for them.

# %% [markdown] tags=["map"]
# ## The map
#
# | No. | Notebook | What it is about | Minutes |
# |---|---|---|---|
# | 0 | **Start here** | how this course works, and whether it works here | 15 |
# | 1 | [The Gumbel-max trick](01_gumbel_max.ipynb) | a choice as noise and an argmax | 55 |
# | 2 | [Gumbels, given the choice](02_conditional_gumbels.ipynb) | the noise that a choice does not see | 60 |
# | 3 | [The Gumbel-Rao estimator](03_gumbel_rao.ipynb) | the idea, the formula, a first training | 60 |
# | 4 | [Why it works](04_why_it_works.ipynb) | three propositions, proved and measured | 60 |
# | 5 | [The quadratic programme](05_quadratic_programme.ipynb) | the variance, drawn as a map | 60 |
# | 6 | [Learning to parse](06_listops.ipynb) | choices in a chain: trees that nobody shows | 60 |
# | 7 | [A discrete autoencoder](07_discrete_vae.ipynb) | training on real digits: three estimators race | 60 |
# | 8 | [Relatives, old and new](08_relatives.ipynb) | other estimators, and when to use what | 60 |

# %% [markdown]
# ## How to use a notebook
#
# A notebook is a column of cells. Click on one and press **Shift + Enter**: it runs, and the next one
# is selected. Run the cells from top to bottom; the menu *Run → Run All Cells* does all of them. Change
# anything you like: *Kernel → Restart* brings you back to a clean start, and a fresh copy of the file
# brings back the text.
#
# Where a text says **Predict**, answer before you run the cell: on paper, in a word or two. Outputs that would
# give the answer away are folded until you run their cell, and answers open with a click.
#
# Most notebooks have *exercises*: a cell in which you write a few lines, and under it a cell that checks
# them. A hint is folded into the text. The check answers at once, and says what is wrong if something is. An
# exercise that you leave out stops nothing. Each of these notebooks has a link to its solutions.
#
# ### A first slider
#
# Run the next cell. It draws the *softmax at temperature τ*, which turns numbers, here 1, 0.5 and 0, into
# probabilities:
#
# $$\mathrm{softmax}_\tau(x)_i = \frac{\exp(x_i/\tau)}{\sum_j \exp(x_j/\tau)}$$
#
# **Before you move the slider, guess:** which way do the bars go when τ gets small?
#
# Drag the slider, or click on it and use the **arrow keys**. The sentence under the figure says what
# the figure shows, and changes with it.

# %%
import plotly.graph_objects as go
import torch

from gumbelrao_edu import tempered_softmax
from gumbelrao_edu.figures import Panel, layout, slider, trace


def draw(figure, *, tau):
    bars = tempered_softmax(torch.tensor([1.0, 0.5, 0.0]), tau)
    trace(figure, "softmax").y = bars.tolist()
    return f"At τ = {tau:g} the probabilities are " + ", ".join(f"{p:.2f}" for p in bars) + "."


axes = layout("class", "probability", height=300) | {"yaxis.range": [0, 1]}
temperature = slider("τ", [0.1, 0.2, 0.5, 1, 2, 5, 10], 1, tooltip="temperature of the softmax")
Panel(go.Figure(go.Bar(name="softmax", x=["one", "two", "three"]), axes), draw, tau=temperature)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Small τ: nearly all of the probability goes to the largest number. Large τ: the three become equal.
#
# </details>
#
# You will meet this τ again.
#
# ## Does everything work here?
#
# The next cell checks your installation: it draws samples, computes a gradient, and stops with an
# error if something is wrong. It ends with *All is well.*

# %% tags=["nbval-ignore-output"]
import platform
from importlib.metadata import version

import gumbelrao_edu

logits = torch.zeros(1000, 3, requires_grad=True)
sample = gumbelrao_edu.gumbel_rao(logits, tau=0.5, k=10)
sample.square().sum().backward()
assert (sample.sort().values == torch.tensor([0, 0, 1])).all(), "the samples are not one-hot"
assert 0 < logits.grad.abs().sum() < float("inf"), "the gradient is zero or not a number"
print("Python", platform.python_version(), "on", gumbelrao_edu.default_device())
for package in ["torch", "ipywidgets", "plotly", "anywidget"]:
    print(package, version(package))
print("All is well.")

# %% [markdown]
# If it stopped with an error, restart the kernel and run the notebook again from the top. If the slider
# above is missing, reload the page in your browser.

# %% [markdown]
# ## Check yourself
#
# **1.** What was the same in the two trainings of the first figure, and what differed?
#
# <details><summary>Answer</summary>
#
# Start, step size, number of steps and the seed of the random numbers were the same, and the caption says that
# at the same weights the mean of the gradient is, too. One line of code differed: how the gradient of a choice is estimated.
#
# </details>
#
# **2.** Move the sliders of that figure until the two lines are one. Where is $K$? Does τ matter?
#
# <details><summary>Answer</summary>
#
# At 1, whatever τ is. One noise for the way back is what ST-GS uses.
#
# </details>
#
# **3.** How often does Gumbel-Rao with $K = 10$ run the network for one gradient?
#
# <details><summary>Answer</summary>
#
# Once, like ST-GS. Only the slope at the choice is averaged over ten noises.
#
# </details>
#
# **4.** What does a softmax of (1, 0.5, 0) tend to as τ → 0?
#
# <details><summary>Answer</summary>
#
# To (1, 0, 0): all of the probability goes to the largest number.
#
# </details>

# %% [markdown]
# ## Where to read on
#
# - [Paulus, Maddison and Krause (2021)](https://arxiv.org/abs/2010.04838): the paper of this course. After notebook
#   3 its first four pages are easy to read.
# - [Jang, Gu and Poole (2017)](https://arxiv.org/abs/1611.01144): the Gumbel-Softmax, with the straight-through
#   version that is improved here.
# - [Mohamed, Rosca, Figurnov and Mnih (2020)](https://arxiv.org/abs/1906.10652): a survey of gradients of
#   expectations, of which this is one case.
#
# **Next:** [1 · The Gumbel-max trick](01_gumbel_max.ipynb).
