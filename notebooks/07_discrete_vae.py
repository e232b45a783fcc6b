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
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# [Open in Binder](https://mybinder.org/v2/gh/gumbelrao-edu/gumbelrao_edu/main?urlpath=lab/tree/notebooks/07_discrete_vae.ipynb) ·
# [Open in Colab](https://colab.research.google.com/github/gumbelrao-edu/gumbelrao_edu/blob/main/notebooks/07_discrete_vae.ipynb)

# %% tags=["install"]
# On Colab and Kaggle this installs the course; elsewhere it finds it installed and does nothing.
import importlib.util

if importlib.util.find_spec("gumbelrao_edu") is None:
    print("Installing the course, about a minute …")
    # %pip install -q "gumbelrao_edu[course] @ git+https://github.com/gumbelrao-edu/gumbelrao_edu"

# %% [markdown]
# # 7 · A discrete autoencoder
#
# **After this notebook you can** train a variational autoencoder whose code is made of choices, say
# what its loss consists of, and measure how much noise the gradient estimator adds to its training.
#
# **You need** [3 · The Gumbel-Rao estimator](03_gumbel_rao.ipynb), and an idea of what stochastic
# gradient descent does. **Time:** 20 minutes, of which the computer needs less than one.

# %% [markdown]
# ## The digits
#
# The data are photographs of handwritten digits from MNIST, 28 × 28 pixels, each pixel black or white.
# 5,000 of them come with the course. If you have downloaded the full set
# (`python -m gumbelrao_edu data`), it is used instead. The cell says which one you have.

# %%
from gumbelrao_edu.vae import load_digits

data = load_digits()
train, valid, test = data
print(data.description)

# %% [markdown]
# Here are ten digits from the validation set. The models will not be trained on them.

# %%
from gumbelrao_edu.widgets import show
from gumbelrao_edu.widgets.training import digits

originals = valid[:10]
show(digits({"original": originals}), alt="Ten handwritten digits in a row, black on white.")

# %% [markdown]
# ## The model
#
# An autoencoder squeezes a picture into a short code and paints the picture again from the code. In
# this one the code is **discrete**: 80 variables, each of which takes one of 8 classes.
#
# - The **encoder** $q(D|x)$ looks at the picture $x$ and gives 8 logits for each of the 80 variables.
# - The code $D$ is **drawn** from these: 80 one-hot vectors.
# - The **decoder** $p(x|D)$ gives each pixel a probability of being black.
#
# A class enters the decoder as three numbers, its corner of the cube $\{-1, 1\}^3$.

# %%
from functools import partial

import torch

from gumbelrao_edu import gumbel_max, gumbel_rao, st_gumbel_softmax
from gumbelrao_edu.vae import DiscreteVAE

st_gs = partial(st_gumbel_softmax, tau=0.1)
pixel_mean = train.float().mean(0)
model = DiscreteVAE(8, st_gs, pixel_mean=pixel_mean, hidden=(200,))
print(f"{model.num_variables} variables with {model.arity} classes; the corners of the classes:")
print(model.corners)

# %% [markdown]
# ### What is minimised
#
# $$\text{loss}(x) = -\log p(x|D) + \mathrm{KL}\big(q(D|x)\,\|\,\text{uniform}\big), \qquad D \sim q(D|x)$$
#
# The first term asks for a good painting. The second asks for a code that could have come from
# anywhere: it is the price, in nats, of what the code says about the picture. The negative of the loss
# is, on average, a lower bound of $\log p(x)$ (the ELBO).
#
# The gradient for the encoder has to get through the draw of $D$. That is where an estimator comes in.

# %%
def loss(model, images):
    return -model.elbo(images).mean()


# %% [markdown]
# ## Two estimators, one race
#
# Two copies of the model start from the same weights and see the same digits in the same order. They
# differ in the estimator only: **ST-GS**, and **GR** with $K = 10$. Both at $\tau = 0.1$.
#
# A low temperature makes the gradient less biased, but for ST-GS a lot noisier.

# %%
from gumbelrao_edu.experiments.training import Training


def prepare(estimator):
    noise = torch.Generator().manual_seed(1)
    estimator = partial(estimator, generator=noise)
    weights = torch.Generator().manual_seed(2)
    model = DiscreteVAE(8, estimator, pixel_mean=pixel_mean, hidden=(200,), generator=weights)
    sgd = {"batch_size": 20, "learning_rate": 0.002, "momentum": 0.9, "seed": 3}
    return Training(model, loss, train, **sgd, generators=[noise])


gr = partial(gumbel_rao, tau=0.1, k=10)
trainings = {"ST-GS": prepare(st_gs), "GR": prepare(gr)}

# %% [markdown]
# After every 100 steps we note the loss on the validation set, always with the same random numbers,
# and how the model paints the ten digits.

# %%
@torch.no_grad()
def validate(training):
    def draw(logits):
        return gumbel_max(logits, generator=torch.Generator().manual_seed(4))[0]

    model, now = training.model, training.history[-1]
    now["validation loss"] = -model.elbo(valid[:500], estimator=draw).mean().item()
    now["painted"] = model.reconstruct(originals)


# %% [markdown]
# **Look for** which curve is lower, and how straight each one is. You may stop the training with the
# stop button (■) above; run the cell again and it goes on from there.

# %% tags=["nbval-ignore-output"]
from gumbelrao_edu.widgets import COLORS
from gumbelrao_edu.widgets.training import LiveTraining

colors = {"ST-GS": COLORS["st_gumbel_softmax"], "GR": COLORS["gumbel_rao"]}
live = LiveTraining(trainings, colors, value="validation loss", label="validation loss")
display(live)
live.run(until=2500, callback=validate)

# %% tags=["nbval-ignore-output"]
losses = {name: [row["validation loss"] for row in t.history] for name, t in trainings.items()}
for name, values in losses.items():
    print(f"{name:5}  after 100 steps {values[0]:.1f}, at the end {values[-1]:.1f} nats")
    assert values[-1] < values[0], f"{name} did not learn"
gain = losses["ST-GS"][-1] - losses["GR"][-1]
print(f"GR ends {gain:.1f} nats lower.")
assert gain > 3

# %%
