"""RLOO: REINFORCE with the mean of the other samples as a baseline."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .._checks import check_count, check_function, check_generator, check_logits
from ..gumbel import centred, perturb
from ._registry import register
from ._score import check_losses, log_probability, mean_dtype, score_loss


@register(
    label="RLOO",
    equation="(2), leave-one-out",
    kind="score-function",
    mean="exact",
    example={"num_samples": 4},
)
def rloo(
    f: Callable[[Tensor], Tensor],
    logits: Tensor,
    *,
    num_samples: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample D^1 … D^S and return a loss whose gradient is the leave-one-out estimate.

        (1/S) Σ_s [ (f(D^s) − (1/(S−1)) Σ_{t≠s} f(D^t)) · d log p_θ(D^s)/dθ + ∂f(D^s, θ)/∂θ ]

    Unbiased for every f, and the strong reference among unbiased estimators. Unlike Gumbel-Rao
    it evaluates f S times.

    Args:
        f: maps samples `[num_samples, *batch, n]` to losses of shape `[num_samples, *batch]`, or
            of the leading part of that; the variables under one loss share it.
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        num_samples: S ≥ 2.
        generator: source of randomness; the global one when None.

    Returns:
        The mean of f over the samples, `[*batch]` or its leading part, with the gradient above.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits = torch.zeros(4, 3, requires_grad=True)
        >>> f = lambda d: d @ torch.tensor([1.0, 2.0, 3.0])
        >>> rloo(f, logits, num_samples=8).mean().backward()

    Source: Kool, van Hoof & Welling (2019), Buy 4 REINFORCE samples, get a baseline for free.
    """
    check_function(f)
    check_logits(logits)
    check_generator(generator, logits.device)
    num_samples = check_count(num_samples, "num_samples", least=2)
    theta = centred(logits.detach()).expand(num_samples, *logits.shape)
    one_hot, _ = perturb(theta, generator)
    index = one_hot.argmax(-1)  # before f, which may overwrite what it is given
    losses = f(one_hot.to(logits.dtype))
    check_losses(losses, theta.shape[:-1])
    if losses.dim() == 0:
        raise ValueError("f: expected a loss for each sample, got a single number")
    loss = score_loss(losses, log_probability(logits, index, losses.dim()))
    return loss.to(mean_dtype(losses, logits))
