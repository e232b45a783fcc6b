"""ReinMax-CV: ReinMax, and a difference of two Gumbel estimators added to it."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import Tau, check_generator, check_logits, check_number
from ..gumbel import centred, perturb, temper
from ..surrogate import first_order, replace_gradient
from ._registry import register
from .gumbel_rao import Noise, averaged_given, check_gumbel_rao
from .reinmax import jacobian
from .reinmax_rao import middle_logits


@register(
    label="ReinMax-CV",
    equation="Wang & Bui (2026)",
    kind="straight-through",
    example={"tau": 0.5, "k": 10},
)
def reinmax_cv(
    logits: Tensor,
    *,
    tau: Tau,
    k: int | float,
    eta: float = 1.0,
    noise: Noise = "iid",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample D; backpropagate as ReinMax does, plus GR minus ST-GS at the middle of D and p.

        v = 2 J(m) g − ½ J(p) g + η [ (1/K) Σ_k gᵀ d softmax_τ(θ_D + G^k)/dθ_D
                                      − gᵀ d softmax_τ(θ_D + G)/dθ_D ]
        m = ½ (p + D),  θ_D = log m,    θ_D + G^k ~ θ_D + G | D,    G ~ Gumbel,  p = softmax(θ)

    The bracket would have the mean 0 if D were drawn from m. It is drawn from p, so that the mean
    is not that of ReinMax: as τ → 0 it is 1 − η/4 times the exact gradient, for linear f.

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: temperature τ > 0 of the bracket, a number or a tensor that broadcasts to `batch`, with
            K = ∞ between 1e-20 and 100. It is not learned: a tensor that requires a gradient is
            refused. ReinMax itself is taken at temperature 1.
        k: K, the number of draws given D, or, for up to 1024 classes, `math.inf`.
        eta: η, how much of the bracket is added; 0 gives `reinmax` at τ = 1.
        noise: how the K draws belong together, see `gumbel_rao`.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, with the gradient above.
        Double backward and forward-mode differentiation are refused.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = reinmax_cv(logits, tau=0.5, k=100)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()

    Source: Wang & Bui (2026), Beyond ReinMax: low-variance gradient estimators for discrete latent
    variables.
    """
    check_logits(logits)
    tau, k = check_gumbel_rao(tau, k, noise, logits.shape, allow_zero=False)
    eta = check_number(eta, "eta")
    check_generator(generator, logits.device)
    theta = first_order(centred(logits), "reinmax_cv")
    p = theta.detach().softmax(-1)
    one_hot, _ = perturb(theta.detach(), generator)
    middle = middle_logits(theta, one_hot)
    rao = averaged_given(middle, one_hot, tau, k, noise, generator)
    _, perturbed = perturb(middle, generator)
    plain = 2 * jacobian((p + one_hot) / 2, theta) - jacobian(p, theta) / 2
    return replace_gradient(one_hot, plain + eta * (rao - temper(perturbed, tau))).to(logits.dtype)
