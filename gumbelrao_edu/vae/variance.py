"""How much the gradient of the inference network varies from one sample of the code to the next."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._checks import check_count
from .model import DiscreteVAE, Estimator


class GradientVariance(NamedTuple):
    """A measured trace of a covariance matrix, and its standard error."""

    trace: float
    standard_error: float


def gradient_variance(
    model: DiscreteVAE, batches: Tensor, estimator: Estimator, *, num_samples: int
) -> GradientVariance:
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
        trace: the average over the minibatches of the trace of the covariance.
        standard_error: of the trace, for these minibatches.

    Raises:
        TypeError, ValueError: for arguments of another kind, shape or range.

    Example:
        >>> from functools import partial
        >>> from gumbelrao_edu import st_gumbel_softmax
        >>> st_gs = partial(st_gumbel_softmax, tau=0.5)
        >>> model = DiscreteVAE(2, st_gs, pixel_mean=torch.full([784], 0.13))
        >>> gradient_variance(model, torch.zeros(1, 20, 784), st_gs, num_samples=4).trace > 0
        True

    Source: Paulus, Maddison & Krause (2021), Figures 2a and 3 and appendix D.2.
    """
    check_count(num_samples, "num_samples")
    if num_samples < 4 or num_samples % 2:
        raise ValueError(f"num_samples: expected an even number from 4 on, got {num_samples}")
    if batches.dim() != 3:
        raise ValueError(
            f"batches: expected [num_batches, batch, pixels], got {tuple(batches.shape)}"
        )
    halves = torch.tensor(
        [
            [_squared_distance(model, batch, estimator) / 2 for _ in range(num_samples // 2)]
            for batch in batches
        ],
        dtype=torch.float64,
    )
    variance_of_mean = halves.var(1) / halves.shape[1]
    return GradientVariance(
        trace=halves.mean().item(),
        standard_error=variance_of_mean.sum().sqrt().item() / len(batches),
    )


def _squared_distance(model: DiscreteVAE, batch: Tensor, estimator: Estimator) -> float:
    weights = list(model.encoder.parameters())
    first, second = (
        torch.autograd.grad(model.elbo(batch, estimator=estimator).mean(), weights)
        for _ in range(2)
    )
    distance = sum(((a - b) ** 2).sum().item() for a, b in zip(first, second, strict=True))
    return float(distance)
