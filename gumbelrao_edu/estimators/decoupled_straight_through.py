"""Decoupled straight-through Gumbel-Softmax: one temperature forward, another backward."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import Tau, check_generator, check_logits, check_tau
from ..gumbel import centred, divided, one_hot_of_largest, perturb
from ..surrogate import first_order, replace_gradient
from ._registry import register


@register(
    label="Decoupled ST-GS",
    equation="Shah et al. (2024)",
    kind="straight-through",
    example={"tau": 0.5},
)
def decoupled_straight_through(
    logits: Tensor,
    *,
    tau: Tau,
    tau_forward: Tau = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample D at one temperature; backpropagate through the Gumbel-Softmax at another.

        D = one_hot(argmax(θ/τ_f + G)),    v = ∂f(D)/∂D · d softmax(θ/τ_b + G)/dθ

    The temperatures divide the logits and not the noise: τ_f sets how much is explored,
    D ~ softmax(θ/τ_f), and τ_b how the gradient is spread over the classes. With τ_f = τ_b it is
    ST-GS at temperature 1 for the logits θ/τ. Unless τ_f = 1 the loss that is minimised is another,
    E[f(D)] with D ~ softmax(θ/τ_f).

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: backward temperature τ_b > 0, a number or a tensor that broadcasts to `batch` and may
            be learned.
        tau_forward: forward temperature τ_f > 0, likewise, but not learned: a tensor that
            requires a gradient is refused.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, with the gradient of softmax(θ/τ_b + G), G held fixed.
        Double backward and forward-mode differentiation are refused.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = decoupled_straight_through(logits, tau=1.3, tau_forward=0.7)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()

    Source: Shah, Yan, Mozer & Liu (2024), Improving discrete optimisation via decoupled
    straight-through Gumbel-Softmax (arXiv 2410.13331, version 1).
    """
    check_logits(logits)
    tau = check_tau(tau, logits.shape[:-1])
    tau_forward = check_tau(tau_forward, logits.shape[:-1], name="tau_forward", learnable=False)
    check_generator(generator, logits.device)
    theta = first_order(centred(logits), "decoupled_straight_through")
    tau = first_order(tau, "decoupled_straight_through")
    _, noise = perturb(torch.zeros_like(theta), generator)
    one_hot = one_hot_of_largest(divided(theta.detach(), tau_forward) + noise)
    relaxed = (divided(theta, tau) + noise).softmax(-1)
    return replace_gradient(one_hot, relaxed).to(logits.dtype)
