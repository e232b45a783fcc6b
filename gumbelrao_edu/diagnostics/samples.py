"""Draws of a gradient, and their mean, bias, variance and MSE."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import estimators
from .._checks import check_count, check_draws, check_function, check_logits, check_real
from ..surrogate import sample_gradients
from .moments import Moments, variance_error

Loss = Callable[[Tensor], Tensor]


def enumerated_gradient(p: Tensor, losses: Tensor) -> Tensor:
    """The exact gradient of E[f(D)] with respect to θ.

        p_a (f_a − Σ_b p_b f_b)

    Args:
        p: softmax(θ), `[*batch, n]`.
        losses: f at each class, `[*batch, n]`; anything for a class that never occurs.

    Returns:
        `[*batch, n]`.

    Example:
        >>> enumerated_gradient(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([1.0, -1.0, torch.nan]))
        tensor([ 0.5000, -0.5000,  0.0000])

    Source: definition.
    """
    losses = losses.masked_fill(p == 0, 0.0)
    return p * (losses - (p * losses).sum(-1, keepdim=True))


def losses_and_gradients(f: Loss, one_hot: Tensor) -> tuple[Tensor, Tensor]:
    """f at given samples, `[*batch]`, and ∂f/∂D there, `[*batch, n]`; f may overwrite them."""
    leaf = one_hot.requires_grad_()
    with torch.enable_grad():
        losses = f(leaf.clone())
        check_real(losses, "f", "losses")
        if losses.shape != leaf.shape[:-1]:
            raise ValueError(
                f"f: expected losses of shape {tuple(leaf.shape[:-1])}, got {tuple(losses.shape)}"
            )
        (gradients,) = sample_gradients(losses, [leaf])
    return losses.detach(), gradients


def gradient_samples(
    f: Loss,
    logits: Tensor,
    estimator: str | Callable[..., Tensor],
    num_samples: int,
    /,
    *,
    generator: torch.Generator | None = None,
    **hyper: Any,
) -> Tensor:
    """Independent draws of a gradient estimate.

        ∇^1, …, ∇^num_samples of E[f(D)] with respect to θ

    Args:
        f: maps samples `[*batch, n]` to losses `[*batch]`, whatever the batch; differentiable.
        logits: θ, `[*batch, n]`.
        estimator: the name of a registered estimator, or a callable that maps logits to samples,
            like `functools.partial(gumbel_rao, tau=0.5, k=10)`.
        num_samples: number of draws; all are made at once.
        generator: source of randomness, passed on to the estimator; the global one when None.
        **hyper: hyper-parameters, passed on to the estimator, in place of those of its record's
            example; `rloo` has its own `num_samples`, and so the four arguments above have no name.

    Returns:
        `[num_samples, *batch, n]`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> f = lambda d: d @ torch.tensor([1.0, 2.0, 3.0])
        >>> gradient_samples(f, torch.zeros(4, 3), "gumbel_rao", 100, tau=0.5, k=10).shape
        torch.Size([100, 4, 3])

    Source: definition.
    """
    check_function(f)
    check_logits(logits)
    if not (isinstance(estimator, str) or callable(estimator)):
        raise TypeError(f"estimator: expected a name or a function, got {type(estimator).__name__}")
    num_samples = check_count(num_samples, "num_samples")
    theta = logits.detach().expand(num_samples, *logits.shape).clone().requires_grad_()
    with torch.enable_grad():
        if isinstance(estimator, str):
            losses = estimators.get(estimator).loss(f, theta, generator=generator, **hyper)
        else:
            if generator is not None:
                hyper["generator"] = generator
            losses = f(estimator(theta, **hyper))
        check_real(losses, "f", "losses")
        if losses.shape[:1] != (num_samples,):
            # Their sum would not be that of the draws: a mean over them divides each gradient.
            raise ValueError(
                f"f: expected losses [{num_samples}, *batch], got {tuple(losses.shape)}"
            )
        return sample_gradients(losses, [theta])[0]


@dataclass(frozen=True)
class Summary:
    """What draws of a gradient say; each `_se` is the standard error of the figure before it.

    Attributes:
        num_samples: number of draws.
        mean, mean_se: mean of the draws, of the shape of a draw.
        bias, bias_se: mean less the exact gradient; None when that was not given.
        variance, variance_se: trace of the covariance matrix; the error of two draws is NaN, see
            `moments.variance_error`.
        mse, mse_se: E‖∇ − ∇exact‖²; None when the exact gradient was not given.
    """

    num_samples: int
    mean: Tensor
    mean_se: Tensor
    bias: Tensor | None
    bias_se: Tensor | None
    variance: float
    variance_se: float
    mse: float | None
    mse_se: float | None


def summarise(gradients: Tensor | Iterable[Tensor], exact: Tensor | None = None) -> Summary:
    """Mean, bias, variance and MSE of gradient draws, each with its standard error.

        tr cov = E‖∇ − E∇‖²,    MSE = E‖∇ − ∇exact‖² = tr cov + ‖bias‖²

    One pass: given an iterable of chunks, only one chunk is in memory at a time.

    Args:
        gradients: draws `[num_samples, *shape]`, or an iterable of such chunks.
        exact: the exact gradient, `[*shape]`.

    Returns:
        A `Summary`, computed in float64.

    Raises:
        TypeError: what is no tensor of real numbers.
        ValueError: fewer than two draws, an infinite or undefined number, or shapes that differ.

    Example:
        >>> f = lambda d: d @ torch.tensor([1.0, 2.0, 3.0])
        >>> chunks = (gradient_samples(f, torch.zeros(3), "reinforce", 50) for _ in range(10))
        >>> summarise(chunks).num_samples
        500

    Source: definition; Welford (1962); Chan, Golub & LeVeque (1979) for merging chunks.
    """
    if not isinstance(gradients, Iterable):
        raise TypeError(
            f"gradients: expected a tensor or several of them, got {type(gradients).__name__}"
        )
    chunks = [gradients] if isinstance(gradients, Tensor) else gradients
    vector, spread, error = Moments(), Moments(), Moments()
    if exact is not None:
        check_real(exact, "exact")
        if not exact.isfinite().all():
            raise ValueError("exact: expected finite numbers, got NaN or infinity")
    target = None if exact is None else exact.detach().double().flatten()
    shape: torch.Size | None = None
    for chunk in chunks:
        draws = check_draws(chunk, "gradients")
        shape = chunk.shape[1:] if shape is None else shape
        if chunk.shape[1:] != shape or (exact is not None and exact.shape != shape):
            raise ValueError(
                f"gradients: expected draws of one shape, that of `exact`, got {tuple(shape)}, "
                f"{tuple(chunk.shape[1:])}{'' if exact is None else f', {tuple(exact.shape)}'}"
            )
        draws = draws.flatten(1) if shape else draws.unsqueeze(1)
        # Squared distances from the mean so far: their scatter is the error of the variance.
        centre = vector.mean if vector.count else draws.mean(0)
        spread.update((draws - centre).square().sum(1))
        vector.update(draws)
        if target is not None:
            error.update((draws - target).square().sum(1))
    if shape is None or vector.count < 2:
        raise ValueError(f"gradients: expected at least 2 draws, got {vector.count}")
    if not vector.mean.isfinite().all():
        raise ValueError("gradients: expected finite numbers")
    mean, mean_se = vector.mean.view(shape), vector.standard_error.view(shape)
    known = exact is not None
    return Summary(
        num_samples=vector.count,
        mean=mean,
        mean_se=mean_se,
        bias=mean - exact.detach().double() if exact is not None else None,
        bias_se=mean_se if known else None,
        variance=vector.variance.sum().item(),
        variance_se=variance_error(spread).item(),
        mse=error.mean.item() if known else None,
        mse_se=error.standard_error.item() if known else None,
    )
