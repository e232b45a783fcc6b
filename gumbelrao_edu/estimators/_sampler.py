"""What a model draws its choices with, for any estimator of the registry."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..gumbel import gumbel_max
from ._registry import get


def sampler(
    name: str, *, generator: torch.Generator | None = None, **hyper: Any
) -> Callable[[Tensor], Tensor]:
    """Return a function from logits to a sample, for a model that names no estimator.

    Args:
        name: in the registry. For an estimator that maps logits to a sample it is that function;
            with a score-function estimator D is drawn without a gradient, and the loss has to
            bring it, as `listops.losses` and `vae.DiscreteVAE.elbo` do with `num_samples`.
        generator: source of randomness; the global one when None.
        **hyper: in place of those of the record's example.

    Raises:
        ValueError: when there is no such estimator, or it draws nothing (`exact`: the outcomes of
            a model are far too many to sum over).

    Example:
        >>> draw = sampler("gumbel_rao", tau=0.1, k=10)
        >>> draw(torch.zeros(5, 3)).sum(-1)
        tensor([1., 1., 1., 1., 1.])
    """
    record = get(name)
    if record.samples:
        return functools.partial(
            record.function, generator=generator, **{**record.example, **hyper}
        )
    if record.kind != "score-function":
        raise ValueError(f"name: expected an estimator that draws samples, got {name!r}")
    return lambda logits: gumbel_max(logits.detach(), generator=generator)[0]
