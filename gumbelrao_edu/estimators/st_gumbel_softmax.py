"""Straight-through Gumbel-Softmax (ST-GS): D forward, its own Gumbel-Softmax backward."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import Tau, check_generator, check_logits, check_tau
from ..gumbel import centred, perturb, temper
from ..surrogate import replace_gradient
from ._registry import register


@register(label="ST-GS", equation="(6)", kind="straight-through", example={"tau": 0.5})
def st_gumbel_softmax(
    logits: Tensor, *, tau: Tau, generator: torch.Generator | None = None
) -> Tensor:
    """Sample D; backpropagate through the Gumbel-Softmax of the same Gumbels.

        ∇STGS = ∂f(D)/∂D · d softmax_τ(θ + G)/dθ,    D = one_hot(argmax(θ + G))    (6)

    The estimator of `F.gumbel_softmax(logits, tau, hard=True)`, with a generator. There, `hard`
    decides what the loss sees: True gives D and this gradient (6), which belongs to the relaxed
    sample and not to D; False gives S_τ and its own gradient (4), which is `gumbel_softmax`.

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch` and may be learned.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, with the gradient of softmax_τ(θ + G), G held fixed.
        A second derivative is that of the surrogate, too: for linear f that of E[f(S_τ)].

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = st_gumbel_softmax(logits, tau=0.5)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()

    Source: Jang, Gu & Poole (2017).
    """
    check_logits(logits)
    tau = check_tau(tau, logits.shape[:-1])
    check_generator(generator, logits.device)
    one_hot, perturbed = perturb(centred(logits), generator)
    return replace_gradient(one_hot, temper(perturbed, tau)).to(logits.dtype)
