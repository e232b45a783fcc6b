"""Stochastic gradient descent on the quadratic programme."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from .. import estimators
from .._checks import check_count, check_kind
from ._arguments import check_positive, check_probabilities
from .quadratic import QuadraticProgramme


@torch.enable_grad()
def descend(
    programme: QuadraticProgramme,
    name: str,
    p: Tensor,
    *,
    whole: Tensor | bool,
    steps: int,
    learning_rate: float,
    clip: float = 1.0,
    generator: torch.Generator | None = None,
    **hyper: Any,
) -> Tensor:
    """Stochastic gradient descent on the logits, one draw a step, many runs side by side.

        θ ← θ − η ∇ min(1, clip / ‖∇‖)

    Near a singular line a gradient may have any length; without the clipping one step there throws
    p into a corner.

    Args:
        programme: the quadratic programme.
        name: of a registered estimator.
        p: where each run starts, `[runs, n]`; each row sums to 1.
        whole: for each run (`[runs]`, or one for all) whether the last term of (2) is kept; else
            A(p) is held fixed.
        steps: number of steps.
        learning_rate: η > 0.
        clip: longest gradient that is not shortened; math.inf shortens none.
        generator: source of randomness; the global one when None.
        **hyper: of the estimator; `tau` may be a tensor `[runs]`.

    Returns:
        p before the first step and after each, `[steps + 1, runs, n]`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range, or A is singular
            where a path comes along.

    Example:
        >>> programme, p = QuadraticProgramme(), torch.tensor([[0.1, 0.1, 0.8]])
        >>> path = descend(programme, "exact", p, whole=True, steps=100, learning_rate=1.0)
        >>> bool(programme.value(path[-1]) < 1e-3)
        True

    Source: stochastic gradient descent; Pascanu, Mikolov & Bengio (2013) for the clipping.
    """
    check_kind(programme, QuadraticProgramme, "programme")
    check_probabilities(p, "runs")
    steps = check_count(steps, "steps")
    learning_rate = check_positive(learning_rate, "learning_rate")
    clip = check_positive(clip, "clip", infinite=True)
    if not isinstance(whole, (bool, Tensor)):
        raise TypeError(f"whole: expected True, False or a tensor, got {type(whole).__name__}")
    keep = torch.as_tensor(whole, device=p.device)
    if keep.dtype != torch.bool or keep.shape not in ((), (1,), (len(p),)):
        raise ValueError(
            f"whole: expected one truth value or {len(p)}, one for each run, got {keep.dtype} of "
            f"shape {tuple(keep.shape)}"
        )
    keep = keep.expand(len(p))[:, None]
    theta, path = p.log(), [p]
    for _ in range(steps):
        theta = theta.detach().requires_grad_()
        now = theta.softmax(-1)
        f = functools.partial(programme.loss, p=torch.where(keep, now, now.detach()))
        losses = estimators.get(name).loss(f, theta, generator=generator, **hyper)
        gradient = torch.autograd.grad(losses.sum(), theta)[0]
        length = gradient.norm(dim=-1, keepdim=True)
        theta = theta.detach() - learning_rate * gradient * (clip / length).clamp(max=1.0)
        path.append(theta.softmax(-1))
    return torch.stack(path)
