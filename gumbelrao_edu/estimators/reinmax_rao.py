"""ReinMax-Rao: ReinMax with Gumbel-Rao in place of straight-through."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .._checks import Tau, check_generator, check_logits
from ..gumbel import centred, perturb
from ..surrogate import first_order, replace_gradient
from ._registry import register
from .gumbel_rao import Noise, averaged_given, check_gumbel_rao
from .reinmax import jacobian


@register(
    label="ReinMax-Rao",
    equation="Wang & Bui (2026)",
    kind="straight-through",
    example={"tau": 0.5, "k": 10},
)
def reinmax_rao(
    logits: Tensor,
    *,
    tau: Tau,
    k: int | float,
    noise: Noise = "iid",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample D; backpropagate as ReinMax does, with Gumbel-Rao at the middle of D and p.

        v = 2 (1/K) Σ_k gᵀ d softmax_τ(θ_D + G^k)/dθ_D − ½ J(p) g
        θ_D = log ½ (p + D),    θ_D + G^k ~ θ_D + G | D,    p = softmax(θ),  g = ∂f(D)/∂D

    `reinmax` has J(½ (p + D)) g where Gumbel-Rao (10) stands here. K = ∞ is exact, by quadrature.
    θ_D makes D the winner with probability ½ (1 + p_i), more often than it is drawn, and so less
    gradient passes than in `reinmax`: as τ → 0 the mean is half the exact gradient, for linear f.

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch`, with K = ∞ between
            1e-20 and 100. It is not learned: a tensor that requires a gradient is refused.
        k: K, the number of draws given D, or, for up to 1024 classes, `math.inf`.
        noise: how the K draws belong together, see `gumbel_rao`.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, with the gradient above.
        Double backward and forward-mode differentiation are refused.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = reinmax_rao(logits, tau=0.5, k=100)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()

    Source: Wang & Bui (2026), Beyond ReinMax: low-variance gradient estimators for discrete latent
    variables.
    """
    check_logits(logits)
    tau, k = check_gumbel_rao(tau, k, noise, logits.shape, allow_zero=False)
    check_generator(generator, logits.device)
    theta = first_order(centred(logits), "reinmax_rao")
    p = theta.detach().softmax(-1)
    one_hot, _ = perturb(theta.detach(), generator)
    rao = averaged_given(middle_logits(theta, one_hot), one_hot, tau, k, noise, generator)
    return replace_gradient(one_hot, 2 * rao - jacobian(p, theta) / 2).to(logits.dtype)


def middle_logits(theta: Tensor, one_hot: Tensor) -> Tensor:
    """θ_D = log ½ (p + D), with the gradient of θ."""
    finite = theta.masked_fill(theta == -torch.inf, 0.0)
    log_p = theta.detach().log_softmax(-1)  # finite where p is rounded to 0
    return log_p.logaddexp(one_hot.log()) - math.log(2) + (finite - finite.detach())
