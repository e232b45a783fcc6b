"""Surrogates: the value of one thing, the gradient of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ._checks import (
    Tau,
    check_floating,
    check_function,
    check_logits,
    check_real,
    check_same_device,
    without_gradient,
)

Parameter = TypeVar("Parameter", bound=Tau)


def replace_gradient(value: Tensor, surrogate: Tensor) -> Tensor:
    """`value` in the forward pass, the gradient of `surrogate` in the backward pass.

    Every straight-through estimator is this with another surrogate:

        ∂f(D)/∂D · d surrogate/dθ                                          (5, 6)

    It is `value + (surrogate - surrogate.detach())`: the bracket is exactly 0. Without the brackets
    the value is rounded, so that a one-hot vector may contain 0.99999994.

    Args:
        value: what is returned; no gradient reaches it.
        surrogate: finite, of the same shape and dtype; it receives the gradient unchanged.

    Returns:
        A tensor equal to `value`.

    Raises:
        TypeError: when an argument is no floating-point tensor or the dtypes differ.
        ValueError: when the shapes or the devices differ.

    Example:
        >>> x = torch.tensor(0.3, requires_grad=True)
        >>> y = replace_gradient(x.round(), x**2)
        >>> y.backward()
        >>> y.item(), x.grad.item()
        (0.0, 0.6000000238418579)

    Source: Bengio, Léonard & Courville (2013) for the idea.
    """
    check_floating(value, "value")
    check_floating(surrogate, "surrogate")
    if value.dtype != surrogate.dtype:
        raise TypeError(f"surrogate: expected the dtype {value.dtype}, got {surrogate.dtype}")
    if value.shape != surrogate.shape:
        raise ValueError(
            f"surrogate: expected the shape {tuple(value.shape)} of value, "
            f"got {tuple(surrogate.shape)}"
        )
    check_same_device(surrogate, "surrogate", value, "where value is")
    return value.detach() + (surrogate - surrogate.detach())


def first_order(theta: Parameter, name: str) -> Parameter:
    """θ, or a learned τ, of which a gradient can be taken and no second derivative.

    For estimators whose gradient is no gradient of a function: what autograd would give for its
    derivative is not that of its mean.
    """
    if not isinstance(theta, Tensor):
        return theta
    same: Parameter = _FirstOrder.apply(theta, name)  # type: ignore[no-untyped-call]
    return same


class _FirstOrder(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(theta: Tensor, name: str) -> Tensor:
        return theta.view_as(theta)  # of a copy no change in place would be noticed

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.name = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (theta,) = ctx.saved_tensors
        grad: Tensor = _Refused.apply(*grads, theta, ctx.name)  # type: ignore[no-untyped-call]
        return grad, None


class _Refused(torch.autograd.Function):
    """A gradient, as a function of θ without a derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, theta: Tensor, name: str) -> Tensor:
        return grad.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.name = inputs[2]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        raise RuntimeError(no_second_derivative(ctx.name))


def gradients_of(losses: Tensor, samples: list[Tensor]) -> tuple[Tensor | None, ...]:
    """∂ Σ losses / ∂ samples; None for one that does not enter."""
    try:
        return torch.autograd.grad(losses.sum(), samples, allow_unused=True)
    except RuntimeError as error:
        raise ValueError(
            f"f: expected losses that can be differentiated, got {type(error).__name__}: {error}"
        ) from error


def sample_gradients(losses: Any, samples: list[Tensor]) -> list[Tensor]:
    """∂ Σ losses / ∂ samples of f; zero for one that does not enter, while another one does."""
    check_real(losses, "f", "losses")
    gradients: Sequence[Tensor | None] = [None]
    if losses.requires_grad:
        gradients = gradients_of(losses, samples)
    if all(gradient is None for gradient in gradients):
        raise ValueError(
            f"f: expected losses that are differentiable in the samples{without_gradient()}"
        )
    return [
        torch.zeros_like(sample) if gradient is None else gradient
        for gradient, sample in zip(gradients, samples, strict=True)
    ]


def _leaf(sample: Tensor) -> Tensor:
    """A sample by which a loss is differentiated at once."""
    if torch._C._are_functorch_transforms_active():
        raise RuntimeError(
            "f: a surrogate differentiates it with torch.autograd, which torch.func does not allow "
            "inside of its transforms; the estimators, such as gumbel_rao, can be transformed"
        )
    return sample.detach().requires_grad_()


def no_second_derivative(name: str) -> str:
    """What is said when the gradient of an estimator is differentiated."""
    return (
        f"{name}: the gradient is an estimate and has no derivative of its own; "
        f"double backward is not supported"
    )


def parallel(f: Callable[[Tensor], Tensor], one_hot: Tensor, relaxed: Tensor) -> Tensor:
    """The surrogate objective of straight-through estimators for independent variables (14).

        Σ_j (∂f(D^1, …, D^m)/∂D^j)* · s^j                                  (17, 18, 19)

    where * stops the gradient. Its gradient is the estimate for s^j = softmax_τ(θ^j) (17, ST),
    s^j = softmax_τ(θ^j + G^j) (18, ST-GS) or the mean of K such samples given D^j (19, GR-MCK).
    Gumbel-Softmax needs no surrogate: f(S_τ) itself is differentiated (16).

    Args:
        f: maps samples `[*batch, n]` to losses of any shape; they are summed.
        one_hot: D, `[*batch, n]`: the m variables are axes of the batch.
        relaxed: s, `[*batch, n]`, differentiable in the logits. For (19) keep θ + G^k − θ fixed:
            `tempered_softmax(logits + (conditional - logits).detach(), tau).mean(0)`, with finite
            logits.

    Returns:
        The objective, a single number to differentiate. Its value has no meaning.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or device.
        RuntimeError: inside of a transform of `torch.func`.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> weights = torch.tensor([1.0, 2.0, 3.0])
        >>> parallel(lambda d: d @ weights, torch.eye(3)[0], logits.softmax(-1)).backward()
        >>> [round(g, 3) + 0.0 for g in logits.grad.tolist()]
        [-0.333, 0.0, 0.333]

    Source: Paulus, Maddison & Krause (2021), appendix B.1; Schulman et al. (2015).
    """
    check_floating(one_hot, "one_hot")
    check_floating(relaxed, "relaxed")
    if relaxed.shape != one_hot.shape:
        raise ValueError(
            f"relaxed: expected the shape {tuple(one_hot.shape)} of one_hot, "
            f"got {tuple(relaxed.shape)}"
        )
    check_same_device(relaxed, "relaxed", one_hot, "where one_hot is")
    check_function(f)
    with torch.enable_grad():
        leaf = _leaf(one_hot)
        (gradient,) = sample_gradients(f(leaf.clone()), [leaf])  # f may overwrite what it is given
    return (gradient * relaxed).sum()


def sequential(
    f: Callable[[list[Tensor]], Tensor],
    h: Callable[[Tensor], Tensor],
    logits: Tensor,
    one_hots: Sequence[Tensor],
    relax: Callable[[Tensor, int], Tensor],
) -> Tensor:
    """The surrogate objective of straight-through estimators for a chain θ^j = h(D^{j−1}) (20).

        L_m = (∂f/∂D^m)* · s(θ^m)                                          (21, 23, 25)
        L_j = ((dL_{j+1}/dD^j)* + (∂f/∂D^j)*) · s(θ^j)                     (22, 24, 26)

    dL_{j+1}/dD^j runs through θ^{j+1} = h(D^j), and * stops the gradient. s is softmax_τ(θ) for ST,
    softmax_τ(θ + G) for ST-GS, the mean of K samples given D for GR-MCK.

    Args:
        f: maps the list [D^1, …, D^m] to losses of any shape; they are summed.
        h: maps D^{j−1} to θ^j, both `[*batch, n]`; it may have parameters of its own.
        logits: θ^1, `[*batch, n]`.
        one_hots: the samples D^1, …, D^m that were drawn along the chain.
        relax: maps (θ^j, j), j = 0, …, m − 1, to s(θ^j), differentiable in θ^j.

    Returns:
        Σ_j L_j, a single number to differentiate: its gradient in θ^1 is that of L_1, and the
        other terms carry those in the parameters of h.

    Raises:
        TypeError, ValueError: if a sample, or what a function returns, is of the wrong type or
            shape or lies on another device than the logits, or there is no sample.
        RuntimeError: inside of a transform of `torch.func`.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> drawn = [torch.eye(3)[0], torch.eye(3)[2]]
        >>> f = lambda d: (d[0] * d[1].flip(-1)).sum()
        >>> objective = sequential(f, lambda d: 2 * d, logits, drawn, lambda x, j: x.softmax(-1))
        >>> objective.backward()

    Source: Paulus, Maddison & Krause (2021), appendix B.2; Schulman et al. (2015).
    """
    for function, name in ((f, "f"), (h, "h"), (relax, "relax")):
        check_function(function, name)
    check_logits(logits)
    if not isinstance(one_hots, Sequence):
        raise TypeError(f"one_hots: expected several samples, got {type(one_hots).__name__}")
    if len(one_hots) == 0:
        raise ValueError("one_hots: expected at least one sample, got none")
    for one_hot in one_hots:
        check_floating(one_hot, "one_hots")
        check_same_device(one_hot, "one_hots", logits)
    with torch.enable_grad():
        leaves = [_leaf(d) for d in one_hots]
        direct = sample_gradients(f([leaf.clone() for leaf in leaves]), leaves)
        objective = torch.zeros((), dtype=logits.dtype, device=logits.device)
        downstream = torch.zeros_like(leaves[-1])
        for j in reversed(range(len(leaves))):
            theta = logits if j == 0 else h(leaves[j - 1].clone())
            check_floating(theta, "h")
            relaxed = relax(theta, j)
            check_floating(relaxed, "relax")
            if relaxed.shape != leaves[j].shape:
                raise ValueError(
                    f"relax: expected the shape {tuple(leaves[j].shape)} of one_hots[{j}], "
                    f"got {tuple(relaxed.shape)}"
                )
            check_same_device(relaxed, "relax", logits)
            layer = ((downstream + direct[j]).detach() * relaxed).sum()
            objective = objective + layer
            if j > 0:
                downstream = torch.zeros_like(leaves[j - 1])
                if layer.requires_grad:  # else θ^j does not depend on D^{j−1}
                    (downstream,) = torch.autograd.grad(
                        layer, [leaves[j - 1]], retain_graph=True, materialize_grads=True
                    )
    return objective if torch.is_grad_enabled() else objective.detach()
