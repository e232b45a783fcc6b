"""Gumbel-Softmax: relax the sample itself."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import Tau, check_generator, check_logits, check_tau
from ..gumbel import centred, perturb, temper
from ._registry import register


@register(label="GS", equation="(4)", kind="relaxed", example={"tau": 0.5})
def gumbel_softmax(logits: Tensor, *, tau: Tau, generator: torch.Generator | None = None) -> Tensor:
    """Sample a Gumbel-Softmax (concrete) variable.

        S_τ = softmax_τ(θ + G)                                             (3)
        ∇GS = ∂f(S_τ)/∂S_τ · d softmax_τ(θ + G)/dθ                         (4)

    Unbiased for the gradient of the relaxed loss E[f(S_τ)], biased for that of E[f(D)]; f must be
    defined inside the simplex. S_τ tends to the one-hot D as τ → 0, while the variance grows.

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch` and may be learned.
        generator: source of randomness; the global one when None.

    Returns:
        S_τ, `[*batch, n]`, inside the simplex, differentiable in `logits` and in a tensor `tau`,
        with G held fixed.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = gumbel_softmax(logits, tau=0.5)
        >>> (sample**2).sum().backward()

    Source: Jang, Gu & Poole (2017); Maddison, Mnih & Teh (2017).
    """
    check_logits(logits)
    tau = check_tau(tau, logits.shape[:-1])
    check_generator(generator, logits.device)
    _, perturbed = perturb(centred(logits), generator)
    return temper(perturbed, tau).to(logits.dtype)
