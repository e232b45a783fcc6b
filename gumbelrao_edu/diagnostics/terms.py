"""Proposition 3: the two terms of the variance of Gumbel-Rao, exact or by nested sampling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .._checks import (
    Tau,
    check_count,
    check_draws,
    check_function,
    check_k,
    check_logits,
    check_tau,
)
from ..gumbel import computing_dtype
from ..quadrature import conditional_vjp, second_moment
from .moments import Moments
from .samples import Loss, enumerated_gradient, losses_and_gradients


@dataclass(frozen=True)
class Terms:
    """The two terms of Proposition 3, and what the bias needs.

    Attributes:
        inner: E[var[∇STGS | D]], the part that K reduces.
        outer: var[∇GR], the part that stays.
        mean: E[∇GR] = E[∇STGS].
        exact: the exact gradient; None where it is not known.
        inner_se, outer_se: standard errors; 0 for terms that were computed, not sampled.
    """

    inner: Tensor
    outer: Tensor
    mean: Tensor
    exact: Tensor | None = None
    inner_se: float = 0.0
    outer_se: float = 0.0


def exact_terms(f: Loss, logits: Tensor, tau: Tau) -> Terms:
    """Both terms of Proposition 3 for single categorical variables, without sampling.

        inner = Σ_i p_i tr var[∇STGS | D = i]
        outer = Σ_i p_i ‖∇GR(i) − E ∇GR‖²                                  (7, 13)

    Args:
        f: maps samples `[*batch, n]` to losses `[*batch]`, each loss a function of its own variable
            alone; differentiable.
        logits: θ, `[*batch, n]`, for up to 1024 classes.
        tau: τ between 1e-20 and 100, a number or a tensor that broadcasts to `batch`.

    Returns:
        `Terms` with `inner` and `outer` `[*batch]`, `mean` and `exact` `[*batch, n]`, in the dtype
        of `logits`, at least float32; computed in float64, with errors of about 1e-7 E‖∇STGS‖².

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> terms = exact_terms(lambda d: (d**2).sum(-1), torch.tensor([0.0, 1.0]), tau=0.5)
        >>> bool(variance(terms, k=10) < variance(terms, k=1))
        True

    Source: Proposition 3.
    """
    check_function(f)
    check_logits(logits)
    tau = check_tau(tau, logits.shape[:-1])
    n, batch = logits.shape[-1], logits.shape[:-1]
    classes = torch.arange(n, device=logits.device).view(n, *[1] * len(batch)).expand(n, *batch)
    losses, grad = losses_and_gradients(f, F.one_hot(classes, n).to(logits.dtype))
    grad = grad.double()
    theta = logits.detach().double().expand(n, *logits.shape)
    p = theta[0].softmax(-1)
    given = p.movedim(-1, 0)  # p_i for D = i, along the first axis like `grad`

    def average(x: Tensor) -> Tensor:
        weights = given.view(given.shape + (1,) * (x.dim() - given.dim()))
        return torch.where(weights > 0.0, weights * x, 0.0).sum(0)

    v = conditional_vjp(grad, theta, classes, tau)
    mean = average(v)
    inner = average((second_moment(grad, theta, classes, tau) - v.square()).sum(-1))
    outer = average((v - mean).square().sum(-1))
    exact = enumerated_gradient(p, losses.detach().double().movedim(0, -1))
    dtype = computing_dtype(logits.dtype)
    inner, outer, mean, exact = (x.to(dtype) for x in (inner, outer, mean, exact))
    return Terms(inner, outer, mean, exact)


def nested_terms(draw: Callable[[], Tensor], num_samples: int) -> Terms:
    """Both terms of Proposition 3 by nested sampling, for networks; unbiased.

        inner = E[s²_D],    outer = var[mean given D] − inner / k

    where s²_D is the sample variance of k gradients that share one D.

    Args:
        draw: draws a new D (and data, if they are random too) and returns `[k, *shape]`, k >= 2
            ST-GS gradients that differ in the Gumbels given D alone.
        num_samples: number of calls of `draw`, at least 2.

    Returns:
        `Terms` with scalar `inner` and `outer` and their standard errors; that of `outer` is NaN
        for two calls. `outer` may come out negative when it is small against its standard error.

    Raises:
        TypeError: if `draw` is no function, or returns no tensor of real numbers.
        ValueError: fewer than two calls, or fewer than two gradients from a call, or one that is
            not finite.

    Example:
        >>> terms = nested_terms(lambda: torch.randn(()) + torch.randn(4, 1), num_samples=500)
        >>> bool(abs(terms.inner - 1.0) < 6 * terms.inner_se)
        True

    Source: Proposition 3.
    """
    check_function(draw, "draw")
    num_samples = check_count(num_samples, "num_samples", least=2)
    means, inner, left, outer = (Moments() for _ in range(4))
    shape: torch.Size | None = None
    for _ in range(num_samples):
        draws = check_draws(draw(), "draw")
        if len(draws) < 2:
            raise ValueError(f"draw: expected [k, *shape] with k >= 2, got {tuple(draws.shape)}")
        shape = draws.shape[1:] if shape is None else shape
        if draws.shape[1:] != shape:
            raise ValueError(
                f"draw: expected gradients of one shape, got {tuple(shape)}, then "
                f"{tuple(draws.shape[1:])}"
            )
        if not draws.isfinite().all():
            raise ValueError("draw: expected finite numbers, got NaN or infinity")
        mean, noise = draws.mean(0), draws.var(0).sum()
        share = noise / draws.shape[0]  # of the noise given D, what is still in the mean over k
        if means.count:
            # The steps by which Welford's sum of squares grows; their scatter is its error.
            growth = (mean - means.mean).square().sum() * (means.count / (means.count + 1))
            outer.update((growth - share)[None])
        means.update(mean[None])
        inner.update(noise[None])
        left.update(share[None])
    return Terms(
        inner=inner.mean,
        outer=means.variance.sum() - left.mean,
        mean=means.mean,
        inner_se=inner.standard_error.item(),
        outer_se=outer.standard_error.item(),
    )


def variance(terms: Terms, k: int | float, batch_size: int = 1) -> Tensor:
    """Variance of the mean (12) of B Gumbel-Rao estimates with K inner samples (Proposition 3).

        var = E[var[∇STGS | D]] / (B K) + var[∇GR] / B                     (13)

    Args:
        terms: from `exact_terms` or `nested_terms`.
        k: K, the number of inner samples, or `math.inf`.
        batch_size: B, the number of independent estimates that are averaged.

    Returns:
        Trace of the covariance matrix, of the shape of `terms.inner`.

    Raises:
        TypeError, ValueError: if a number has the wrong type or range.

    Example:
        >>> variance(Terms(torch.tensor(8.0), torch.tensor(1.0), torch.zeros(2)), k=4, batch_size=2)
        tensor(1.5000)

    Source: Proposition 3.
    """
    _check_terms(terms)
    k = check_k(k)
    batch_size = check_count(batch_size, "batch_size")
    return (terms.inner / k + terms.outer) / batch_size


def mse(terms: Terms, k: int | float, batch_size: int = 1) -> Tensor:
    """Mean squared error against the exact gradient: variance (13) plus squared bias.

    Args:
        terms: from `exact_terms`; its exact gradient is needed.
        k, batch_size: as for `variance`.

    Returns:
        Of the shape of `terms.inner`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range, or the exact gradient is
            not known.

    Example:
        >>> terms = exact_terms(lambda d: (d**2)[..., 0], torch.zeros(2), tau=1.0)
        >>> bool(mse(terms, k=10) >= variance(terms, k=10))
        True

    Source: definition; Proposition 3 for the variance.
    """
    _check_terms(terms)
    if terms.exact is None:
        raise ValueError("terms: expected the exact gradient to be known, got None")
    return variance(terms, k, batch_size) + (terms.mean - terms.exact).square().sum(-1)


def _check_terms(terms: Terms) -> None:
    if not isinstance(terms, Terms):
        raise TypeError(f"terms: expected Terms, got {type(terms).__name__}")
