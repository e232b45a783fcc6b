"""Gapped straight-through (GST): a logit gap between D and the other classes, without Gumbels."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import Tau, check_generator, check_logits, check_number, check_tau
from ..gumbel import centred, perturb, temper
from ..surrogate import first_order, replace_gradient
from ._registry import register


@register(
    label="GST",
    equation="Fan et al. (2022)",
    kind="straight-through",
    example={"tau": 0.5},
)
def gapped_straight_through(
    logits: Tensor, *, tau: Tau, gap: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Sample D; backpropagate through a softmax whose logits are moved until D leads by the gap.

        v = ∂f(D)/∂D · d softmax_τ(θ + m₁ − m₂)/dθ
        m₁ = (max θ − θ) D,    m₂ = (θ − max θ + gap)₊ (1 − D)

    with m₁ and m₂ held fixed: class D gets the largest logit, the others at most that less the
    gap. ST-GS has this from Gumbels given D; here D is the only randomness, so that the variance
    given D is 0. The bias is its own.

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch` and may be learned.
        gap: by how much the logit of D exceeds all others, at least 0.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, with the gradient above.
        Double backward and forward-mode differentiation are refused.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = gapped_straight_through(logits, tau=0.5)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()

    Source: Fan, Chi, Rudnicky & Ramadge (2022), Training discrete deep generative models via gapped
    straight-through estimator.
    """
    check_logits(logits)
    tau = check_tau(tau, logits.shape[:-1])
    gap = check_number(gap, "gap")
    if gap < 0:
        raise ValueError(f"gap: expected at least 0, got {gap}")
    check_generator(generator, logits.device)
    theta = first_order(centred(logits), "gapped_straight_through")  # max θ = 0
    tau = first_order(tau, "gapped_straight_through")
    fixed = theta.detach()
    one_hot, _ = perturb(fixed, generator)
    shift = torch.where(one_hot == 1, -fixed, -(fixed + gap).clamp(min=0.0))
    return replace_gradient(one_hot, temper(theta + shift, tau)).to(logits.dtype)
