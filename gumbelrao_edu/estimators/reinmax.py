"""ReinMax: a straight-through estimator of second order, by Heun's method."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import Tau, check_generator, check_logits, check_tau
from ..gumbel import centred, perturb, temper
from ..surrogate import first_order, replace_gradient
from ._registry import register


@register(
    label="ReinMax",
    equation="Liu et al. (2023)",
    kind="straight-through",
    example={"tau": 1.0},
)
def reinmax(logits: Tensor, *, tau: Tau, generator: torch.Generator | None = None) -> Tensor:
    """Sample D; backpropagate through the middle of D and the probabilities.

        v = 2 J(m) g − ½ J(p) g,    m = ½ (softmax_τ(θ) + D),  p = softmax(θ),  g = ∂f(D)/∂D

    where J(p) = diag(p) − p pᵀ is the Jacobian of the softmax. Straight-through replaces the
    difference f(D) − f(D') by a first-order expansion, ReinMax by the mean of those at both ends
    (Heun's method). At τ = 1 it is therefore exact for quadratic f, and the same as `zgr`, sample
    for sample. D is drawn from softmax(θ); the temperature acts in the backward pass only.

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch`. It is not learned:
            a tensor that requires a gradient is refused. Its authors advise τ ≥ 1; the formula
            holds below, too.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, with the gradient above.
        Double backward and forward-mode differentiation are refused.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = reinmax(logits, tau=1.0)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()

    Source: Liu, Dong, Liu, Yu & Gao (2023), Bridging discrete and backpropagation.
    """
    check_logits(logits)
    tau = check_tau(tau, logits.shape[:-1], learnable=False)
    check_generator(generator, logits.device)
    theta = first_order(centred(logits), "reinmax")
    one_hot, _ = perturb(theta.detach(), generator)
    middle = (temper(theta.detach(), tau) + one_hot) / 2
    surrogate = 2 * jacobian(middle, theta) - jacobian(theta.detach().softmax(-1), theta) / 2
    return replace_gradient(one_hot, surrogate).to(logits.dtype)


def jacobian(p: Tensor, theta: Tensor) -> Tensor:
    """J(p) θ with p held fixed. J is symmetric, so that its gradient is J(p) times what comes in.

    A class that never occurs has p = 0 and θ = −∞: any finite number stands for that.
    """
    finite = theta.masked_fill(theta == -torch.inf, 0.0)
    return p * (finite - (p * finite).sum(-1, keepdim=True))
