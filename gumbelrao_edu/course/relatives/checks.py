"""Checks for the exercises of notebook 08."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..verdict import call, check, close, expect


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
    for numbers, n in (([2.5, 1.0, 3.0, 6.0, 4.5], 3), ([1.0, 4.0], 2)):
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
            "the sum is divided by n, the number of classes. Divide by S, that of the draws.": right
            * count
            / n,
            "the last draw is missing: the loop ends one too early.": weighted(
                torch.where(torch.arange(count) < count - 1, losses - others, 0.0)
            ),
            "the first draw is missing: count from 0.": weighted(
                torch.where(torch.arange(count) > 0, losses - others, 0.0)
            ),
            "you subtract one other loss. Subtract the mean of all others.": weighted(
                losses - losses.roll(1)
            ),
            "you subtract the first loss from each. Subtract the mean of the others.": weighted(
                losses - losses[0]
            ),
            "the sum of the others is divided by S + 1. There are S − 1 of them.": weighted(
                losses - (losses.sum() - losses) / (count + 1)
            ),
            "parentheses are missing: the loss minus (the sum of the others / (S − 1)).": weighted(
                (losses - losses.sum() - losses) / (count - 1)
            ),
            "parentheses are missing: the sum of the others, all of it, is divided by S − 1.": (
                weighted(losses - losses.sum() - losses / (count - 1))
            ),
            "the loss itself is missing: the weight is the loss minus the mean of the others.": (
                weighted(others)
            ),
            "the losses are not used: subtract the mean of the others from each, and weight the "
            "scores with that.": scores.mean(0),
        }
        given: dict[str, Any] = {"losses": losses, "scores": scores}
        expect(
            call(function, **given),
            right,
            given,
            mistakes,
            (
                "first write the parentheses, one number a draw: the loss minus the mean of the "
                "others. Then weight each row of scores with its number, and take mean(0)."
            ),
        )


def _jacobian_times(p: Tensor, g: Tensor) -> Tensor:
    return p * (g - p @ g)


@check("twice at the middle, minus half at p: Heun's method in one line.")
def check_reinmax(function: Any) -> None:
    """Check exercise 3 of notebook 08: ReinMax at τ = 1.

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
        m = (p + d) / 2
        middle, at_p = _jacobian_times(m, g), _jacobian_times(p, g)
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
                2 * g * m * (1 - m) - g * p * (1 - p) / 2
            ),
            "J(q) = diag q − q qᵀ: q qᵀ is missing.": (p + d) * g - p * g / 2,
            "m is ½ (p + D). Only p is halved: parentheses are missing.": (
                2 * _jacobian_times(p / 2 + d, g) - at_p / 2
            ),
            "m is ½ (p + D). Only D is halved: parentheses are missing.": (
                2 * _jacobian_times(p + d / 2, g) - at_p / 2
            ),
            "D is 1 at i and 0 elsewhere. You have ones in all places.": (
                2 * _jacobian_times((p + 1) / 2, g) - at_p / 2
            ),
            "m is the middle of p and D. You have the difference.": (
                2 * _jacobian_times(m - p, g) - at_p / 2
            ),
            "this is the mean of J(m) g and J(p) g. The factors are 2 and −½.": (middle + at_p) / 2,
            "this is ½ J(p) g, since J(D) g is 0. Write 2 J(m) g − ½ J(p) g.": at_p / 2,
            "J(m) g has ⟨m, g⟩ in it, J(p) g has ⟨p, g⟩. You have ⟨p, g⟩ in both.": (
                2 * m * (g - p @ g) - at_p / 2
            ),
            "J(m) g has ⟨m, g⟩ in it, J(p) g has ⟨p, g⟩. You have ⟨m, g⟩ in both.": (
                2 * middle - p * (g - m @ g) / 2
            ),
            "⟨q, g⟩ is the sum of q_a g_a. You subtract the sum of g.": (
                (2 * m - p / 2) * (g - g.sum())
            ),
            "⟨q, g⟩ is subtracted, not added.": 2 * m * (g + m @ g) - p * (g + p @ g) / 2,
            "q qᵀ is a matrix, torch.outer(q, q). For two vectors q @ q is one number.": (
                2 * (m.diag() - m @ m) @ g - (p.diag() - p @ p) @ g / 2
            ),
            "m is the middle of p and D for i − 1: classes are counted from 0.": (
                2 * _jacobian_times((p + d.roll(-1)) / 2, g) - at_p / 2
            ),
            "m is the middle of p and D for i + 1: classes are counted from 0.": (
                2 * _jacobian_times((p + d.roll(1)) / 2, g) - at_p / 2
            ),
        }
        given: dict[str, Any] = {"g": g, "p": p, "i": i}

        def otherwise(answer: Tensor) -> str:
            if not close(answer.sum(), torch.zeros_like(answer.sum())):
                return (
                    "its entries have to sum to 0, as those of every J(q) g = q ⊙ (g − ⟨q, g⟩) "
                    "do. Yours do not."
                )
            return "write J(q) g as a function of q, then 2 J(m) g − ½ J(p) g with m = ½ (p + D)."

        expect(call(function, **given), right, given, mistakes, otherwise)


@check("bias stays, variance is shared out over what you can pay for.")
def check_equal_cost(function: Any) -> None:
    """Check exercise 2 of notebook 08: the root mean squared error for a number of evaluations.

    Args:
        function: maps ‖bias‖, the variance of one estimate, its cost in evaluations of f, and the
            number of evaluations to √(‖bias‖² + variance · cost / evaluations).

    Returns:
        A `Verdict`.

    Example:
        >>> check_equal_cost(lambda bias, var, cost, evals: (bias**2 + var * cost / evals) ** 0.5)
        Right: bias stays, variance is shared out over what you can pay for.
    """
    for bias, var, cost, evals in (
        (0.9, 8.0, 4, 64),
        (0.3, 2.0, 2, 100),
        (0.5, 8.0, 1, 64),
        (0.7, 5.0, 3, 64),
    ):
        square = bias**2 + var * cost / evals
        mistakes = {
            "the cost is not used: `evaluations` buy evaluations / cost estimates.": (
                bias**2 + var / evals
            )
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
            "parts of an estimate count, too: do not round evaluations / cost.": (
                bias**2 + var / (evals // cost) if evals % cost else math.nan
            )
            ** 0.5,
            "the variance is missing.": bias,
            "the variance is not divided by the number of estimates.": (bias**2 + var) ** 0.5,
            "variance falls like 1 / estimates, not like their root.": (
                bias**2 + var * (cost / evals) ** 0.5
            )
            ** 0.5,
            "the bias is subtracted. Both faults add up.": abs(var * cost / evals - bias**2) ** 0.5,
            "the variance is divided by cost / evaluations. Divide by evaluations / cost.": (
                bias**2 + var * evals / cost
            )
            ** 0.5,
            "the variance is not divided by the number of estimates, but multiplied.": (
                bias**2 + var * cost * evals
            )
            ** 0.5,
            "the bias is divided, and the variance is not. It is the other way round.": (
                bias**2 * cost / evals + var
            )
            ** 0.5,
            "the cost multiplies the bias, too. Averaging leaves the bias as it is.": (
                bias**2 * cost + var * cost / evals
            )
            ** 0.5,
            "the bias is divided by the number of estimates. Averaging leaves it as it is.": (
                (bias * cost / evals) ** 2 + var * cost / evals
            )
            ** 0.5,
            "the variance of an average is var / m. You square that.": (
                bias**2 + (var * cost / evals) ** 2
            )
            ** 0.5,
            "the variance is a square already. You take its root before you divide.": (
                bias**2 + var**0.5 * cost / evals
            )
            ** 0.5,
            "parentheses are missing: the root is of the whole sum.": (
                bias**2 + var * cost / evals**0.5
            ),
            "you divide by one less than the number of estimates.": (
                (bias**2 + var / (evals / cost - 1)) ** 0.5
            ),
            "this is the square of the mean squared error. Take its root.": square**2,
            "use the argument `evaluations`, not 64.": (bias**2 + var * cost / 64) ** 0.5,
        }
        given: dict[str, Any] = {"bias": bias, "variance": var, "cost": cost, "evaluations": evals}
        expect(
            call(function, **given),
            square**0.5,
            given,
            mistakes,
            (
                "the mean squared error is bias² + variance / m, with m = evaluations / cost "
                "estimates. Return its root."
            ),
        )


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
    falls, rises = (2.0, 0.125), (0.5, 2.0)
    for t, steps, (a, b) in (
        (60, 200, falls),
        (100, 200, falls),
        (300, 200, falls),
        (60, 200, rises),
        (300, 200, rises),
    ):
        x = t / steps
        capped = min(x, 1.0)
        over = t > steps
        mistakes = {
            "after step T the temperature has to stay at b. Yours is a again.": (
                a if over else math.nan
            ),
            "after step T the temperature has to stay at b. Yours is 0.": 0.0 if over else math.nan,
            "after the last step the temperature has to stay at the end: take min(t/T, 1).": (
                a * (b / a) ** x
            ),
            "this falls in a straight line. Each step has to multiply by the same factor.": (
                (1 - capped) * a + capped * b
            ),
            "start and end changed places.": b * (a / b) ** capped,
            "this is e^(−t/T) times the start. It does not reach the end at T.": (a * math.exp(-x)),
            "this is e^(−t/T) times the start, held after T. It does not reach the end.": (
                a * math.exp(-capped)
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
            "this is the start: the step is not used. (t // T rounds down to 0.)": a,
            "max(b, …) is right where the temperature falls. Here it rises: take min(t/T, 1).": (
                max(b, a * (b / a) ** x) if b > a else math.nan
            ),
            "this is the end: the step is not used, or min and max, or t and T, changed places.": (
                b if t < steps else math.nan
            ),
            "this is one step late: at step 0 it is a, after t steps t factors stand there.": (
                a * (b / a) ** (max(min(t, steps) - 1, 0) / steps)
            ),
            "this is one step early: at step 0 it is a, after t steps t factors stand there.": (
                a * (b / a) ** min((t + 1) / steps, 1.0)
            ),
            "parentheses are missing: a · b / a is b. The start multiplies the power of b/a.": (
                (a * b / a) ** capped
            ),
            "this falls towards b like e^(−t/T). Each step has to multiply by the same factor.": (
                b + (a - b) * math.exp(-capped)
            ),
            "this is the cosine. Each step has to multiply by the same factor.": (
                b + (a - b) * (1 + math.cos(math.pi * capped)) / 2
            ),
            "this is the factor of one step. After t steps there are t of them, times a.": (
                (b / a) ** (1 / steps)
            ),
            "this is the temperature of step 1: t is not used.": a * (b / a) ** (1 / steps),
            "the factor is b/a, not 1 − b/a.": a * (1 - b / a) ** capped,
        }
        given: dict[str, Any] = {"t": t, "steps": steps, "a": a, "b": b}
        expect(
            call(function, **given),
            a * (b / a) ** capped,
            given,
            mistakes,
            (
                "it has to be a at step 0, b at step T and after it, and in between each step "
                "multiplies by the same factor: a (b/a)^(t/T)."
            ),
        )
