"""The loss of score-function estimators: one formula for functions and for models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._checks import (
    check_floating,
    check_number,
    check_real,
    holds,
    seen_true,
)
from ..gumbel import computing_dtype


def score_loss(losses: Tensor, log_p: Tensor, *, baseline: float | Tensor = 0.0) -> Tensor:
    """Average the losses of S samples, with the gradient of REINFORCE (S = 1) or RLOO (S > 1).

        (1/S) Σ_s [ (f(D^s, θ) − b_s) · d log p_θ(D^s)/dθ + ∂f(D^s, θ)/∂θ ]

        b_s = b                               S = 1: REINFORCE                     (2, 15)
        b_s = (1/(S−1)) Σ_{t≠s} f(D^t)        S > 1: RLOO

    Written as f + (f − b)·(p_θ(D)/p_θ(D)* − 1), where * stops the gradient. The bracket is exactly
    0, so that no product of a loss and a log p can overflow. Higher derivatives are right, too:
    their means are the derivatives of E[f(D, θ)].

    Args:
        losses: f(D^s, θ), `[S, *batch]`, real numbers of any dtype.
        log_p: log p_θ(D^s), `[S, *batch]`, differentiable in θ.
        baseline: b, which must not depend on D: a number, or a tensor of the shape of the losses of
            a sample, or of its trailing part; no gradient reaches it. With S > 1 it cancels.

    Returns:
        The mean of the losses over the samples, `[*batch]`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or shape.

    Example:
        >>> logits = torch.zeros(2, requires_grad=True)
        >>> log_p = logits.log_softmax(-1)  # of D¹ = (1, 0) and D² = (0, 1)
        >>> score_loss(torch.tensor([1.0, 3.0]), log_p).backward()
        >>> logits.grad
        tensor([-1.,  1.])

    Source: Williams (1992); Kool, van Hoof & Welling (2019); Foerster et al. (2018), DiCE, for the
    higher derivatives.
    """
    check_floating(log_p, "log_p")
    check_losses(losses, log_p.shape, "losses")
    if losses.dim() == 0 or losses.shape != log_p.shape or len(losses) == 0:
        raise ValueError(
            f"losses: expected shape [S, *batch], that of log_p {tuple(log_p.shape)}, "
            f"got {tuple(losses.shape)}"
        )
    baseline = check_baseline(baseline, losses.shape[1:])
    dtype = mean_dtype(losses, log_p)
    losses = losses.to(computing_dtype(dtype))
    if len(losses) > 1:
        advantage = leave_one_out(losses)
    else:
        advantage = losses - (baseline.detach() if isinstance(baseline, Tensor) else baseline)
    ratio = (log_p - log_p.detach()).exp()  # 1, with the gradient of log p
    finite = advantage.detach().isfinite()
    if seen_true(finite):
        return (losses + advantage * (ratio - 1)).mean(0).to(dtype)
    # A loss that is infinite stays so: ∞ · 0 would be no number.
    score = advantage.masked_fill(~finite, 0.0) * (ratio - 1)
    return torch.where(finite, losses + score, losses * ratio).mean(0).to(dtype)


def mean_dtype(losses: Tensor, logits: Tensor) -> torch.dtype:
    """The dtype of a mean of losses: that of both together, at least float32 for whole numbers."""
    dtype = logits.dtype if losses.is_floating_point() else computing_dtype(logits.dtype)
    return torch.promote_types(losses.dtype, dtype)


def check_baseline(baseline: Any, shape: torch.Size) -> float | Tensor:
    """A finite number, or a tensor of them for losses of this shape."""
    if not isinstance(baseline, Tensor):
        return check_number(baseline, "baseline")
    trailing = shape[len(shape) - baseline.dim() :] if baseline.dim() else torch.Size()
    if baseline.shape != trailing or baseline.is_complex() or baseline.dtype == torch.bool:
        # One number a loss: [5, 1] beside [5] would broadcast to [5, 5] without a word.
        raise ValueError(
            f"baseline: expected real numbers of the shape {tuple(shape)} of the losses, or of its "
            f"trailing part, got {tuple(baseline.shape)} of {baseline.dtype}"
        )
    if not holds(Tensor.isfinite, baseline):
        raise ValueError("baseline: expected finite numbers, got NaN or infinity")
    return baseline


def leave_one_out(losses: Tensor) -> Tensor:
    """Each f(D^s) minus the mean of the others.

    It is S/(S−1) times f(D^s) minus the mean of all.

    Args:
        losses: `[S, *batch]`, S ≥ 2.
    """
    return (losses - losses.mean(0)) * (len(losses) / (len(losses) - 1))


def log_probability(logits: Tensor, index: Tensor, axes: int) -> Tensor:
    """log p_θ(D), summed over all axes but the first `axes` of the batch; in float32 or wider.

    In half precision the gradient, D minus the rounded p, would not sum to 0 over the classes.

    Args:
        logits: θ, `[*batch, n]`.
        index: the classes that were drawn, `[*batch]`, or several for each variable, `[S, *batch]`.
        axes: how many axes of the batch the losses have.
    """
    wide = logits.to(computing_dtype(logits.dtype))
    log_p = wide.log_softmax(-1).expand(*index.shape, -1).gather(-1, index.unsqueeze(-1))
    return log_p.flatten(axes).sum(-1)


def check_losses(losses: Any, batch: torch.Size, name: str = "f") -> None:
    """Real losses that have the leading axes of the batch."""
    check_real(losses, name, "losses")
    if losses.shape != batch[: losses.dim()]:
        raise ValueError(
            f"{name}: expected losses of the shape {tuple(batch)} of the batch, or of its leading "
            f"part, got {tuple(losses.shape)}"
        )
