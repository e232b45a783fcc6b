"""A training that takes milliseconds, for the tests of what trains."""

from __future__ import annotations

import signal
from functools import partial

import torch
from seeded import seeded
from torch import Tensor, nn

from gumbelrao_edu import gumbel_rao
from gumbelrao_edu.training.loop import Training
from gumbelrao_edu.vae import DiscreteVAE

IMAGES = (torch.rand(50, 12, generator=seeded()) < 0.4).to(torch.uint8)


def negative_elbo(model: DiscreteVAE, images: Tensor) -> Tensor:
    return -model.elbo(images).mean()


def new(loss=negative_elbo, **settings) -> Training:
    noise = seeded(1)
    model = DiscreteVAE(
        2,
        partial(gumbel_rao, tau=0.5, k=3, generator=noise),
        pixel_mean=IMAGES.float().mean(0),
        hidden=(5,),
        latent_bits=4,
        generator=seeded(2),
    )
    arguments = {"batch_size": 8, "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
    return Training(model, loss, IMAGES, **{**arguments, **settings}, generators=[noise])


def assert_same(one: Training, other: Training) -> None:
    """Bit for bit: weights, momentum, history, and what will be drawn next."""
    assert (one.step, one.history) == (other.step, other.history)
    for (name, a), b in zip(
        one.model.state_dict().items(), other.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    one.run(one.step + 7, every=5)
    other.run(other.step + 7, every=5)
    assert one.history == other.history


def interrupted_at(step: int, times: int = 1):
    """A loss during which the stop button is pressed."""
    count = 0

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        nonlocal count
        count += 1
        if count == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return negative_elbo(model, images)

    return loss
