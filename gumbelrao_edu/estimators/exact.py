"""The exact expectation, by enumeration."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .._checks import check_function, check_logits
from ..gumbel import computing_dtype, one_hot_of_largest
from ._registry import register
from ._score import check_losses, mean_dtype

_LIMIT = 2**20
_NUMBERS = 2**29  # in all these values: 2 GiB in single precision


@register(label="exact", equation="(1)", kind="enumeration", mean="exact", example={})
def exact(f: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """The expected loss, whose gradient is the one that all others estimate.

        E[f(D, θ)] = Σ_d p_θ(d) f(d, θ)                                    (1, 14)

    The sum runs over the n^m values of the m variables under one loss, so for small n and m only.

    Args:
        f: maps samples `[values, *batch, n]` to losses of shape `[values, *batch]`, or of the
            leading part of that; the variables under one loss are enumerated jointly. It is called
            once with a single value to learn the shape, and once with all.
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.

    Returns:
        E[f(D)], of the shape of the losses without `values`, differentiable in `logits`.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: for arguments of another shape, and when there are more than 2^20 values, or in
            all of them more than 2^29 numbers.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> exact(lambda d: d @ torch.tensor([1.0, 2.0, 3.0]), logits).backward()
        >>> [round(g, 3) + 0.0 for g in logits.grad.tolist()]
        [-0.333, 0.0, 0.333]

    Source: definition.
    """
    check_function(f)
    check_logits(logits)
    *batch, n = logits.shape
    with torch.no_grad():
        losses = f(one_hot_of_largest(logits).unsqueeze(0))
    check_losses(losses, torch.Size([1, *batch]))
    if losses.dim() == 0:
        raise ValueError("f: expected a loss for each value, got a single number")
    joint = torch.Size(batch[losses.dim() - 1 :])
    if joint.numel() == 0:
        raise ValueError(
            f"logits: expected at least one variable under each loss, got the batch {(*batch,)}"
        )
    if joint.numel() * math.log(n) > math.log(_LIMIT):
        raise ValueError(
            f"logits: expected at most 2^20 values to enumerate, "
            f"got {n}^{joint.numel()} for the {joint.numel()} variables under one loss"
        )
    numbers = n ** joint.numel() * logits.numel()
    if numbers > _NUMBERS:
        raise ValueError(
            f"logits: expected at most 2^29 numbers in all values to enumerate, got {numbers:,} "
            f"in {n}^{joint.numel()} values of shape {(*batch, n)}"
        )
    classes = torch.arange(n, device=logits.device)
    index = torch.cartesian_prod(*[classes] * max(1, joint.numel())).reshape(-1, *joint)
    values = F.one_hot(index, n).to(logits.dtype)
    lead = batch[: losses.dim() - 1]
    values = values.reshape(len(values), *[1] * len(lead), *joint, n)
    values = values.expand(len(values), *batch, n)
    # −inf · 0 is not a number: a class that never occurs is given any finite logit, and p = 0.
    log_p = logits.to(computing_dtype(logits.dtype)).log_softmax(-1)
    never = log_p == -torch.inf
    p_each = (log_p.masked_fill(never, 0.0) * values).sum(-1).exp()
    p_each = p_each.masked_fill((never & (values == 1)).any(-1), 0.0)
    p = p_each.flatten(losses.dim()).prod(-1) if joint else p_each
    losses = f(values.contiguous())  # which may overwrite what it is given
    check_losses(losses, values.shape[:-1])
    # What never occurs may have an infinite loss: 0 · ∞ is not a number either.
    mean = (p * losses.masked_fill(p.detach() == 0, 0)).sum(0)
    return mean.to(mean_dtype(losses, logits))
