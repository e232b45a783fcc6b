"""Surrogates: the value of one thing, the gradient of another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def replace_gradient(value: Tensor, surrogate: Tensor) -> Tensor:
    """`value` in the forward pass, the gradient of `surrogate` in the backward pass.

    Every straight-through estimator is this with another surrogate:

        ∂f(D)/∂D · d surrogate/dθ                                          (5, 6)

    The idiom `value + surrogate - surrogate.detach()` has the same gradient but rounds the value,
    so that a one-hot vector may contain 0.99999994; this returns `value` bit for bit.

    Args:
        value: what is returned; no gradient reaches it.
        surrogate: of the same shape and dtype; it receives the gradient unchanged.

    Returns:
        A tensor equal to `value`.

    Raises:
        TypeError: when an argument is not a tensor or the dtypes differ.
        ValueError: when the shapes differ.

    Example:
        >>> x = torch.tensor(0.3, requires_grad=True)
        >>> y = replace_gradient(x.round(), x**2)
        >>> y.backward()
        >>> y.item(), x.grad.item()
        (0.0, 0.6000000238418579)

    Source: Bengio, Léonard & Courville (2013) for the idea.
    """
    for name, tensor in (("value", value), ("surrogate", surrogate)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if value.dtype != surrogate.dtype:
        raise TypeError(f"surrogate: expected the dtype {value.dtype}, got {surrogate.dtype}")
    if value.shape != surrogate.shape:
        raise ValueError(
            f"surrogate: expected the shape {tuple(value.shape)} of value, "
            f"got {tuple(surrogate.shape)}"
        )
    replaced: Tensor = _ReplaceGradient.apply(value, surrogate)  # type: ignore[no-untyped-call]
    return replaced


class _ReplaceGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, surrogate: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0]
