"""Checks for the exercises of notebook 08."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..verdict import call, check, expect


@check("each loss against the mean of the others.")
def check_rloo(function: Any) -> None:
    """Check exercise 1 of notebook 08: the leave-one-out estimate.

    Args:
        function: maps losses `[S]` and scores ∇ log p(D^s) `[S, n]` to the estimate `[n]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def rloo(losses, scores):
        ...     others = (losses.sum() - losses) / (len(losses) - 1)
        ...     return ((losses - others).unsqueeze(-1) * scores).mean(0)
        >>> check_rloo(rloo)
        Right: each loss against the mean of the others.
    """
    for numbers, n in (([3.0, 1.0, 2.5, 6.0], 3), ([1.0, 4.0], 2)):
        losses = torch.tensor(numbers, dtype=torch.float64)
        count = len(losses)
        p = torch.arange(1.0, n + 1, dtype=torch.float64)
        p = p / p.sum()
        scores = torch.eye(n, dtype=torch.float64)[torch.arange(count) % n] - p
        others = (losses.sum() - losses) / (count - 1)

        def weighted(w: Tensor, scores: Tensor = scores) -> Tensor:
            return (w.unsqueeze(-1) * scores).mean(0)

        right = weighted(losses - others)
        mistakes = {
            "this is REINFORCE: the mean of the other losses is not subtracted.": weighted(losses),
            "the mean that you subtract contains the loss itself. Leave it out: divide the sum of "
            "the others by S − 1.": weighted(losses - losses.mean()),
            "the sum of the others is divided by S. There are S − 1 of them.": weighted(
                losses - (losses.sum() - losses) / count
            ),
            "the others are added up. Subtract their mean, not their sum.": weighted(
                losses - (losses.sum() - losses)
            ),
            "you subtract the sum of all losses from each.": weighted(losses - losses.sum()),
            "the S terms are added. Take their mean.": right * count,
            "the S terms are divided by S − 1: that is for the others in the baseline. The mean "
            "over the draws divides by S.": right * count / (count - 1),
            "the baseline is added. Subtract it.": weighted(losses + others),
            "the sign is wrong: loss minus baseline, not baseline minus loss.": -right,
            "the scores are not weighted each with its own loss: you multiply their mean.": (
                (losses - others).mean() * scores.mean(0)
            ),
            "the mean over the draws is missing: one row for each draw is left.": (
                (losses - others).unsqueeze(-1) * scores
            ),
            "the losses are not used: subtract the mean of the others from each, and weight the "
            "scores with that.": scores.mean(0),
        }
        given: dict[str, Any] = {"losses": losses, "scores": scores}
        expect(call(function, **given), right, given, mistakes)


def _jacobian_times(p: Tensor, g: Tensor) -> Tensor:
    return p * (g - p @ g)


@check("twice at the middle, minus half at p: Heun's method in one line.")
def check_reinmax(function: Any) -> None:
    """Check exercise 2 of notebook 08: ReinMax at τ = 1.

    Args:
        function: maps g `[n]`, p `[n]` and i to 2 J(m) g − ½ J(p) g, m = ½ (p + D), `[n]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def reinmax(g, p, i):
        ...     d = torch.eye(len(p), dtype=p.dtype)[i]
        ...     jacobian = lambda q: torch.diag(q) - torch.outer(q, q)
        ...     return 2 * jacobian((p + d) / 2) @ g - jacobian(p) @ g / 2
        >>> check_reinmax(reinmax)
        Right: twice at the middle, minus half at p: Heun's method in one line.
    """
    for numbers, upstream, i in (
        ([0.2, 0.5, 0.3], [1.0, -2.0, 0.5], 0),
        ([0.1, 0.2, 0.3, 0.4], [0.0, 3.0, -1.0, 2.0], 2),
    ):
        p = torch.tensor(numbers, dtype=torch.float64)
        g = torch.tensor(upstream, dtype=torch.float64)
        d = torch.eye(len(p), dtype=torch.float64)[i]
        middle, at_p = _jacobian_times((p + d) / 2, g), _jacobian_times(p, g)
        right = 2 * middle - at_p / 2
        mistakes = {
            "the second term is missing: subtract ½ J(p) g.": 2 * middle,
            "the first term is missing: add 2 J(m) g. (With D in place of m it is 0, too.)": -at_p
            / 2,
            "the second term is added. Subtract it.": 2 * middle + at_p / 2,
            "the factor ½ of the second term is missing.": 2 * middle - at_p,
            "the factor 2 of the first term is missing.": middle - at_p / 2,
            "both factors are missing: 2 J(m) g − ½ J(p) g.": middle - at_p,
            "the two factors changed places.": middle / 2 - 2 * at_p,
            "m and p changed places.": 2 * at_p - middle / 2,
            "m is ½ (p + D), the middle. You have p + D.": (
                2 * ((p + d) * g - (p + d) * ((p + d) @ g)) - at_p / 2
            ),
            "m is ½ (p + D). D is missing.": 2 * _jacobian_times(p / 2, g) - at_p / 2,
            "this is straight-through: J(p) g.": at_p,
            "J(q) = diag q − q qᵀ: only the diagonal q (1 − q) is used.": (
                2 * g * ((p + d) / 2) * (1 - (p + d) / 2) - g * p * (1 - p) / 2
            ),
            "J(q) = diag q − q qᵀ: q qᵀ is missing.": (p + d) * g - p * g / 2,
            "m is the middle of p and D for i + 1: classes are counted from 0.": (
                2 * _jacobian_times((p + d.roll(-1)) / 2, g) - at_p / 2
            ),
        }
        given: dict[str, Any] = {"g": g, "p": p, "i": i}
        expect(call(function, **given), right, given, mistakes)


@check("bias stays, variance is shared out over what you can pay for.")
def check_equal_cost(function: Any) -> None:
    """Check exercise 3 of notebook 08: the root mean squared error for a number of evaluations.

    Args:
        function: maps ‖bias‖, the variance of one estimate, its cost in evaluations of f, and the
            number of evaluations to √(‖bias‖² + variance · cost / evaluations).

    Returns:
        A `Verdict`.

    Example:
        >>> check_equal_cost(lambda bias, var, cost, evals: (bias**2 + var * cost / evals) ** 0.5)
        Right: bias stays, variance is shared out over what you can pay for.
    """
    for bias, var, cost, evals in ((0.5, 8.0, 4, 64), (0.3, 2.0, 2, 100), (0.5, 8.0, 1, 64)):
        square = bias**2 + var * cost / evals
        mistakes = {
            "the cost is not used: 64 evaluations buy 64 / cost estimates.": (bias**2 + var / evals)
            ** 0.5,
            "an estimate that costs more is had less often: multiply by the cost, not divide.": (
                bias**2 + var / (evals * cost)
            )
            ** 0.5,
            "this is the mean squared error. Take its root.": square,
            "the bias is divided, too. Averaging leaves it as it is.": (
                (bias**2 + var) * cost / evals
            )
            ** 0.5,
            "the bias is not squared.": (bias + var * cost / evals) ** 0.5,
            "the variance is squared. It is a square already.": (bias**2 + var**2 * cost / evals)
            ** 0.5,
            "root and sum changed places: square the bias, add the variance, then take the root.": (
                bias + (var * cost / evals) ** 0.5
            ),
            "the bias is missing.": (var * cost / evals) ** 0.5,
            "the variance is missing.": bias,
            "the variance is not divided by the number of estimates.": (bias**2 + var) ** 0.5,
            "variance falls like 1 / estimates, not like their root.": (
                bias**2 + var * (cost / evals) ** 0.5
            )
            ** 0.5,
            "the bias is subtracted. Both faults add up.": abs(var * cost / evals - bias**2) ** 0.5,
        }
        given: dict[str, Any] = {"bias": bias, "variance": var, "cost": cost, "evaluations": evals}
        expect(call(function, **given), square**0.5, given, mistakes)


@check("equal factors in equal times.")
def check_exponential(function: Any) -> None:
    """Check exercise 4 of notebook 08: an exponential schedule of the temperature.

    Args:
        function: maps step t, steps T, start a and end b to a (b/a)^min(t/T, 1).

    Returns:
        A `Verdict`.

    Example:
        >>> check_exponential(lambda t, steps, a, b: a * (b / a) ** min(t / steps, 1))
        Right: equal factors in equal times.
    """
    for t, steps, a, b in ((50, 200, 2.0, 0.125), (100, 200, 2.0, 0.125), (300, 200, 2.0, 0.125)):
        x = t / steps
        capped = min(x, 1.0)
        mistakes = {
            "after the last step the temperature has to stay at the end: take min(t/T, 1).": (
                a * (b / a) ** x
            ),
            "this falls in a straight line. Each step has to multiply by the same factor.": (
                (1 - capped) * a + capped * b
            ),
            "start and end changed places.": b * (a / b) ** capped,
            "this is e^(−t/T) times the start. It does not reach the end at T.": (
                a * torch.tensor(-x).exp().item()
            ),
            "this is e^(−t/T) times the start, held after T. It does not reach the end.": (
                a * torch.tensor(-capped).exp().item()
            ),
            "the start is missing: multiply by a.": (b / a) ** capped,
            "b is a temperature, not a factor: the factor over the whole training is b/a.": (
                a * b**capped
            ),
            "the factor is b/a, not a/b: the temperature has to fall.": a * (a / b) ** capped,
            "the factor is b/a over T steps together. You multiply by it in each.": (
                a * (b / a) ** t
            ),
            "T − 1 in place of T.": a * (b / a) ** min(t / (steps - 1), 1.0),
            "this is the start: the step is not used.": a,
            "this is the end: the step is not used.": b if t < steps else float("inf"),
        }
        given: dict[str, Any] = {"t": t, "steps": steps, "a": a, "b": b}
        expect(call(function, **given), a * (b / a) ** capped, given, mistakes)
