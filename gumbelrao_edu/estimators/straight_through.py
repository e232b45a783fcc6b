"""Straight-through: backpropagate through the probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import Tau, check_generator, check_logits, check_tau
from ..gumbel import centred, perturb, temper
from ..surrogate import replace_gradient
from ._registry import register


@register(label="ST", equation="(5)", kind="straight-through", example={"tau": 1.0})
def straight_through(
    logits: Tensor, *, tau: Tau, generator: torch.Generator | None = None
) -> Tensor:
    """Sample D; backpropagate through the tempered probabilities (slope-annealed ST).

        ∇ST = ∂f(D)/∂D · d softmax_τ(θ)/dθ                                 (5)

    D is drawn from softmax(θ); the temperature acts in the backward pass only. Biased in general,
    unbiased for linear f at τ = 1.

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch` and may be learned.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, with the gradient of softmax_τ(θ).
        A second derivative is that of the surrogate, too: right for linear f at τ = 1.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = straight_through(logits, tau=1.0)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        >>> logits.grad
        tensor([-0.3333,  0.0000,  0.3333])

    Source: Bengio, Léonard & Courville (2013); Chung, Ahn & Bengio (2017).
    """
    check_logits(logits)
    tau = check_tau(tau, logits.shape[:-1])
    check_generator(generator, logits.device)
    one_hot, _ = perturb(centred(logits.detach()), generator)
    return replace_gradient(one_hot.to(logits.dtype), temper(logits, tau))
