"""ZGR: what Gumbel-Rao tends to as τ → 0 with K = ∞, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import check_generator, check_logits
from ..gumbel import centred, perturb
from ..surrogate import replace_gradient
from ._registry import register


@register(label="ZGR", equation="limit of (7) as τ → 0", kind="straight-through", example={})
def zgr(logits: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Sample D; backpropagate half through p, half through log p(D).

        v = ½ [ gᵀ dp/dθ + ⟨g, D − p⟩ d log p(D)/dθ ],    p = softmax(θ), g = ∂f(D)/∂D

    the mean of straight-through at τ = 1 (5) and of DARN's estimator. Gumbel-Rao at K = ∞ (7) tends
    to it linearly in τ. Unbiased for quadratic f; no temperature to choose.

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, with the gradient above.
        A second derivative is that of the surrogate, too: right for linear f.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or shape.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = zgr(logits)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()

    Source: Shekhovtsov (2023), Cold analysis of Rao-Blackwellized straight-through Gumbel-Softmax
    gradient estimator; Gregor et al. (2014) for DARN.
    """
    check_logits(logits)
    check_generator(generator, logits.device)
    theta = centred(logits)
    one_hot, _ = perturb(theta.detach(), generator)
    p = theta.softmax(-1)
    log_p = theta.log_softmax(-1).gather(-1, one_hot.argmax(-1, keepdim=True))
    ratio = (log_p - log_p.detach()).exp()  # 1, with the derivatives of p(D)/p(D)*
    return replace_gradient(one_hot, (p + (one_hot - p).detach() * ratio) / 2).to(logits.dtype)
