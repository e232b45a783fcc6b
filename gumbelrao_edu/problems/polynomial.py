"""A sum of powers over binary choices, on which estimators of first order get stuck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import estimators
from .._checks import check_count, check_seed, check_several
from ._arguments import check_positive

CENTRE = 0.45  # c; 0 is a little nearer to it than 1


def loss(d: Tensor, powers: Tensor) -> Tensor:
    """Return f(D) = (1/L) Σ_v |x_v − c|^a for several a, with x_v = 0 or 1 as D_v says.

    Args:
        d: `[*, powers, runs, L, 2]`, one-hot or relaxed.
        powers: a, `[powers]`.

    Returns:
        `[*, powers, runs]`.

    Example:
        >>> zero = torch.tensor([1.0, 0.0]).expand(1, 1, 3, 2)
        >>> loss(zero, torch.tensor([2.0])).item() == torch.tensor(0.45).square().item()
        True
    """
    return (d[..., 1] - CENTRE).abs().pow(powers[:, None, None]).mean(-1)


def mean(theta: Tensor, powers: Tensor) -> Tensor:
    """Return E f(D) for D ~ softmax(θ), of the shape of `loss`.

    Args:
        theta: θ, `[powers, runs, L, 2]`.
        powers: a, `[powers]`.

    Example:
        >>> mean(torch.zeros(1, 1, 3, 2), torch.tensor([1.0]))
        tensor([[0.5000]])
    """
    power, one = powers[:, None, None], theta.softmax(-1)[..., 1]
    return (one * (1 - CENTRE) ** power + (1 - one) * CENTRE**power).mean(-1)


@torch.enable_grad()
def train(
    name: str,
    powers: Sequence[float],
    *,
    evaluations: int = 1000,
    variables: int = 128,
    runs: int = 4,
    learning_rate: float = 0.02,
    seed: int = 0,
    **hyper: Any,
) -> tuple[list[int], Tensor]:
    """Train with an estimator by Adam, from equal probabilities.

    Args:
        name: of an estimator that draws samples, in the registry.
        powers: a > 0 of the problems, which are trained side by side; at most about 100, since
            losses are computed in float32.
        evaluations: of f; an estimator that needs several for a step takes fewer steps.
        variables: L.
        runs: for each a.
        learning_rate: of Adam.
        seed: of the draws.
        **hyper: of the estimator, in place of those of its example.

    Returns:
        The number of evaluations before each step and after the last one, and how much of the way
        to the best loss is left then, (E f − c^a) / (E f at the start − c^a),
        `[steps + 1, powers, runs]`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range.

    Example:
        >>> evaluations, left = train("zgr", [2.0], evaluations=20, variables=4)
        >>> len(evaluations), left.shape, left[0, 0, 0].item()
        (21, torch.Size([21, 1, 4]), 1.0)
    """
    record = estimators.get(name)
    if record.kind == "enumeration":  # which evaluates f for each of the 2^L values
        raise ValueError(f"name: expected an estimator that draws samples, got {name!r}")
    powers = check_several(powers, "powers", check_positive)
    evaluations, runs = check_count(evaluations, "evaluations"), check_count(runs, "runs")
    variables = check_count(variables, "variables")
    learning_rate = check_positive(learning_rate, "learning_rate")
    a = torch.tensor(powers, dtype=torch.float32, device="cpu")
    cost = check_count({**record.example, **hyper}.get("num_samples", 1), "num_samples")
    theta = a.new_zeros(len(a), runs, variables, 2).requires_grad_()
    adam = torch.optim.Adam([theta], lr=learning_rate)
    generator = torch.Generator("cpu").manual_seed(check_seed(seed))
    best = (CENTRE**a)[:, None]
    steps = evaluations // cost
    left = [mean(theta.detach(), a) - best]
    if not (left[0] > 0).all():
        raise ValueError(f"powers: expected some whose losses are not 0 in float32, got {powers}")
    for _ in range(steps):
        losses = record.loss(lambda d: loss(d, a), theta, generator=generator, **hyper)
        adam.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
        left.append(mean(theta.detach(), a) - best)
    return [cost * step for step in range(steps + 1)], torch.stack(left) / left[0]
