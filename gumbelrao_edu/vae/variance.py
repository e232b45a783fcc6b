"""Variance and bias of the gradient of the inference network (Figures 2a, 2b and 3).

Always the gradient g of the encoder's weights, of the mean loss of a minibatch b, as in training.
Squares of means are never estimated by squares: products of independent estimates have no bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn

from .._checks import (
    check_count,
    check_function,
    check_generator,
    check_kind,
    check_real,
    check_several,
    without_gradient,
)
from ..diagnostics import Measured, measured
from ..estimators import sampler, samples_of
from .model import DiscreteVAE, Estimator

_CHUNK = 100  # codes of each image that are alive at a time


class VarianceSplit(NamedTuple):
    """The two parts of the variance of a gradient; their sum is tr Cov[g]."""

    monte_carlo: Measured
    minibatch: Measured


def gradient_variance(
    model: DiscreteVAE,
    batches: Tensor,
    estimator: Estimator,
    *,
    num_samples: int,
) -> Measured:
    """Measure the variance of the gradient of the encoder's weights given the minibatch.

        tr Cov[g | minibatch] = E[‖g − g′‖²] / 2,    g, g′ independent gradients of the loss

    averaged over the minibatches. Half the squared distance of a pair has this mean without bias;
    the spread over independent pairs gives the standard error, and two gradients are all that is
    ever held. Gradients are those of the mean loss of a minibatch, as in training.

    Args:
        model: is not changed.
        batches: minibatches of images `[num_batches, batch, pixels]`, the same for every
            estimator that is to be compared.
        estimator: draws the samples; give it its own generator to repeat the measurement.
        num_samples: gradients for each minibatch, an even number, at least 4.

    Returns:
        The average over the minibatches of the trace of the covariance, and its standard error for
        these minibatches.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> from functools import partial
        >>> from gumbelrao_edu import st_gumbel_softmax
        >>> st_gs = partial(st_gumbel_softmax, tau=0.5)
        >>> model = DiscreteVAE(2, st_gs, pixel_mean=torch.full([784], 0.13))
        >>> gradient_variance(model, torch.zeros(1, 20, 784), st_gs, num_samples=4).value > 0
        True

    Source: Paulus, Maddison & Krause (2021), Figures 2a and 3 and appendix D.2.
    """
    check_kind(model, DiscreteVAE, "model")
    check_function(estimator, "estimator")
    num_samples = check_count(num_samples, "num_samples")
    if num_samples < 4 or num_samples % 2:
        raise ValueError(f"num_samples: expected an even number from 4 on, got {num_samples}")
    _check_batches(batches)
    gradient = partial(_gradient, model, estimator=estimator)
    halves = [
        [
            _squared_norm(model, gradient(batch) - gradient(batch)) / 2
            for _ in range(num_samples // 2)
        ]
        for batch in batches
    ]
    return measured(torch.tensor(halves, dtype=torch.float64, device="cpu").T)


def variance_split(
    model: DiscreteVAE,
    images: Tensor,
    estimator: Estimator,
    *,
    batch_size: int,
    num_batches: int,
    generator: torch.Generator | None = None,
) -> VarianceSplit:
    """Split the variance of the gradient into that of the code and that of the minibatch.

        tr Cov[g] = E_b tr Cov[g | b]  +  tr Cov_b(E[g | b])       (law of total variance)
                      Monte Carlo             minibatch

    Two minibatches b, b′ with two gradients each, g₁, g₂ and h₁, h₂, give both without bias:

        Monte Carlo = (‖g₁ − g₂‖² + ‖h₁ − h₂‖²) / 4,    minibatch = ⟨g₁ − h₁, g₂ − h₂⟩ / 2

    since g₁ − h₁ and g₂ − h₂ share the minibatches, and nothing else. The paper takes 5,000
    minibatches of 20 images and 100 passes for each; the pairs measure the same quantities without
    bias, at any number. GR and ST-GS have one mean, so one minibatch part.

    Args:
        model: is not changed.
        images: `[N, pixels]`. Each minibatch is drawn from them without replacement and
            independently of the others.
        estimator: draws the samples; give it its own generator to repeat the measurement.
        batch_size: images in a minibatch, at most N.
        num_batches: minibatches, an even number, at least 4. Twice as many gradients are taken.
        generator: draws the minibatches; the global one when None.

    Returns:
        Both parts, with standard errors over the pairs of minibatches. The minibatch part may come
        out negative when it is small against its standard error.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> from functools import partial
        >>> from gumbelrao_edu import st_gumbel_softmax
        >>> st_gs = partial(st_gumbel_softmax, tau=0.5)
        >>> model = DiscreteVAE(2, st_gs, pixel_mean=torch.full([784], 0.13), hidden=(8,))
        >>> images = torch.rand(50, 784).round()
        >>> split = variance_split(model, images, st_gs, batch_size=20, num_batches=4)
        >>> split.monte_carlo.value > 0
        True

    Source: Paulus, Maddison & Krause (2021), Figure 3 and appendices D.2 and E.
    """
    check_kind(model, DiscreteVAE, "model")
    check_function(estimator, "estimator")
    batch_size = check_count(batch_size, "batch_size")
    num_batches = check_count(num_batches, "num_batches")
    if num_batches < 4 or num_batches % 2:
        raise ValueError(f"num_batches: expected an even number from 4 on, got {num_batches}")
    check_real(images, "images", "pixels")
    check_generator(generator, images.device)
    if images.dim() != 2:
        raise ValueError(f"images: expected [N, pixels], got {tuple(images.shape)}")
    if batch_size > len(images):
        raise ValueError(f"batch_size: expected at most the {len(images)} images, got {batch_size}")

    def two_gradients() -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(images), generator=generator, device=images.device)
        batch = images[order[:batch_size]]
        first, second = (_gradient(model, batch, estimator) for _ in range(2))
        return first, second

    monte_carlo, minibatch = [], []
    for _ in range(num_batches // 2):
        (g1, g2), (h1, h2) = two_gradients(), two_gradients()
        monte_carlo.append((_squared_norm(model, g1 - g2) + _squared_norm(model, h1 - h2)) / 4)
        minibatch.append(_inner(model, g1 - h1, g2 - h2) / 2)
    return VarianceSplit(measured(monte_carlo), measured(minibatch))


@overload
def squared_bias(
    model: DiscreteVAE,
    batches: Tensor,
    estimator: Estimator,
    *,
    num_samples: int,
    reference_samples: int,
    generator: torch.Generator | None = None,
) -> Measured: ...


@overload
def squared_bias(
    model: DiscreteVAE,
    batches: Tensor,
    estimator: Sequence[Estimator],
    *,
    num_samples: int,
    reference_samples: int,
    generator: torch.Generator | None = None,
) -> list[Measured]: ...


def squared_bias(
    model: DiscreteVAE,
    batches: Tensor,
    estimator: Estimator | Sequence[Estimator],
    *,
    num_samples: int,
    reference_samples: int,
    generator: torch.Generator | None = None,
) -> Measured | list[Measured]:
    """Measure the squared bias of the gradient given the minibatch, itself without bias.

        E_b ‖E[g | b] − ∇_b‖²  =  E ⟨ĝ₁ − t₁, ĝ₂ − t₂⟩

    ∇_b is the true gradient, ĝᵢ a mean of gradients of the estimator and tᵢ one of RLOO, which is
    unbiased; all four are independent. The plain ‖ĝ − t‖² is too large by the variances of both.
    With the variance on the same minibatches it makes the mean squared error of Figure 2b:

        MSE = gradient_variance(…).value + squared_bias(…).value

    GR is a conditional mean of ST-GS, so both have the same bias for every K. `gumbel_rao` with
    ``k=math.inf`` has the least variance of them, and is the cheapest to measure the bias with.

    Args:
        model: is not changed.
        batches: minibatches of images `[num_batches, batch, pixels]`, at least 2, the same for
            every estimator that is to be compared.
        estimator: draws the samples; give it its own generator to repeat the measurement. Of
            several all are compared with the same tᵢ, which cost the most.
        num_samples: gradients of the estimator in each ĝᵢ.
        reference_samples: codes of each image in each tᵢ, at least 2. The paper uses REINFORCE;
            RLOO has the same mean and usually far less variance.
        generator: draws the codes of RLOO; the global one when None. With another seed than the
            estimator's: ĝ₂ must not repeat draws of t₁.

    Returns:
        The mean over the minibatches, and its standard error as an estimate for all minibatches
        that these were drawn from. It may come out negative when the bias is small against it. Of
        several estimators a list.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> import math
        >>> from functools import partial
        >>> from gumbelrao_edu import gumbel_rao
        >>> gr = partial(gumbel_rao, tau=0.5, k=math.inf)
        >>> model = DiscreteVAE(2, gr, pixel_mean=torch.full([784], 0.13), hidden=(8,))
        >>> batches = torch.rand(3, 5, 784).round()
        >>> bias = squared_bias(model, batches, gr, num_samples=10, reference_samples=20)
        >>> bias.standard_error > 0
        True

    Source: Paulus, Maddison & Krause (2021), Figure 2b and appendix D.2; Kool, van Hoof & Welling
    (2019) for RLOO.
    """
    check_kind(model, DiscreteVAE, "model")
    num_samples = check_count(num_samples, "num_samples")
    reference_samples = check_count(reference_samples, "reference_samples", least=2)
    _check_batches(batches)
    if len(batches) < 2:
        raise ValueError(f"batches: expected at least 2 minibatches, got {len(batches)}")
    several = isinstance(estimator, Sequence) and not callable(estimator)
    draws = check_several(estimator if several else [estimator], "estimator", _draw, "estimator")

    def rloo(samples: int) -> Estimator:
        return sampler("rloo", generator=generator, num_samples=samples)

    def copied(batch: Tensor, draw: Estimator, copies: int) -> Tensor:
        """Copies of a minibatch stand for independent gradients in one backward pass."""
        return _gradient(model, batch.repeat(copies, 1), draw)

    def errors(batch: Tensor) -> list[Tensor]:
        """ĝ − t of each estimator."""
        estimates = [
            _mean(
                partial(copied, batch, draw),
                num_samples,
                at_a_time=max(1, _CHUNK // max(1, samples_of(draw))),
            )
            for draw in draws
        ]
        truth = _mean(
            lambda samples: _gradient(model, batch, rloo(samples)),
            reference_samples,
            at_a_time=_CHUNK,
        )
        return [estimate - truth for estimate in estimates]

    products = [
        [_inner(model, g, h) for g, h in zip(errors(batch), errors(batch), strict=True)]
        for batch in batches
    ]
    found = [measured(values) for values in zip(*products, strict=True)]
    return found if several else found[0]


def _draw(estimator: Any, name: str) -> Any:
    check_function(estimator, name)
    return estimator


@torch.enable_grad()
def _gradient(model: DiscreteVAE, batch: Tensor, estimator: Estimator) -> Tensor:
    """The gradient of the encoder's weights of the mean loss, as one vector."""
    loss = -model.elbo(batch, estimator=estimator).mean()
    if not loss.requires_grad:
        raise ValueError(
            f"estimator: expected a gradient in the encoder's weights, got none{without_gradient()}"
        )
    return nn.utils.parameters_to_vector(torch.autograd.grad(loss, [*model.encoder.parameters()]))


def _inner(model: DiscreteVAE, g: Tensor, h: Tensor) -> float:
    """⟨g, h⟩; the sums of the single layers' weights are added in double precision."""
    sizes = [weights.numel() for weights in model.encoder.parameters()]
    parts = zip(g.split_with_sizes(sizes), h.split_with_sizes(sizes), strict=True)
    return sum(((a * b).sum().item() for a, b in parts), start=0.0)


def _squared_norm(model: DiscreteVAE, g: Tensor) -> float:
    return _inner(model, g, g)


def _mean(gradient: Callable[[int], Tensor], count: int, *, at_a_time: int) -> Tensor:
    """The mean of `count` gradients, where `gradient(n)` is the mean of n of them."""
    chunks = math.ceil(count / at_a_time)
    sizes = [(count + i) // chunks for i in range(chunks)]  # as equal as whole numbers can be
    return sum((n / count * gradient(n) for n in sizes), start=torch.zeros((), device="cpu"))


def _check_batches(batches: Tensor) -> None:
    check_real(batches, "batches", "pixels")
    if batches.dim() != 3 or 0 in batches.shape:
        raise ValueError(
            f"batches: expected [num_batches, batch, pixels], got {tuple(batches.shape)}"
        )
