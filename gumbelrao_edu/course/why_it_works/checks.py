"""Checks for the exercises of notebook 04."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...gumbel import conditional_gumbel
from ..verdict import Wrong, call, check, expect, gradient, numbers, plain, shown


@check("within the classes, between the classes: together all of the variance.")
def check_split_variance(function: Any) -> None:
    """Check exercise 1 of notebook 04: the law of total variance on a sample.

    Args:
        function: maps estimates `[m, n]` and the classes drawn `[m]` to E[var[· | D]] and
            var[E[· | D]], both summed over the n entries.

    Returns:
        A `Verdict`.

    Example:
        >>> check_split_variance(lambda gradients, classes: gradients.var(0).sum())
        Not yet: return two numbers, the inner and the outer variance, got 5.667.
        For
            gradients = [[2, 0], [0, 0], [4, 3], [0, 1]]
            classes = [0, 0, 1, 0]
    """
    small = torch.tensor([[2.0, 0.0], [0.0, 0.0], [4.0, 3.0], [0.0, 1.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    large = torch.randn(12, 3, dtype=torch.float64, generator=generator) + 1.0
    for gradients, drawn in (
        (small, [0, 0, 1, 0]),
        (large, [2, 0, 1, 1, 0, 2, 1, 1, 1, 0, 1, 1]),
    ):
        classes = torch.tensor(drawn)
        given: dict[str, Any] = {"gradients": gradients, "classes": classes}
        got = call(function, **given)
        try:
            inner, outer = got
            answer = torch.stack([plain(torch.as_tensor(each)) for each in (inner, outer)])
        except (TypeError, ValueError, RuntimeError, Wrong):
            raise Wrong(
                f"return two numbers, the inner and the outer variance, got {numbers(got)}."
                f"\nFor{shown(given)}"
            ) from None
        expect(answer, *_split(gradients, classes, given))


def _split(
    gradients: Tensor, classes: Tensor, given: dict[str, Any]
) -> tuple[Tensor, dict[str, Any], dict[str, Tensor]]:
    groups = [gradients[classes == i] for i in range(int(classes.max()) + 1)]
    share = torch.tensor([len(group) / len(gradients) for group in groups], dtype=torch.float64)
    means = torch.stack([group.mean(0) for group in groups])
    spreads = torch.stack([(group - group.mean(0)).square().mean(0).sum() for group in groups])
    mean = gradients.mean(0)
    outer = share @ (means - mean).square().sum(-1)
    even = (means - means.mean(0)).square().sum(-1).mean()

    def pair(first: Tensor, second: Tensor) -> Tensor:
        return torch.stack([first, second])

    inner = share @ spreads
    mistakes = {
        "the two are the other way round: the inner one is the spread within a class.": pair(
            outer, inner
        ),
        "both are averaged over the classes as if each were drawn as often as another. Weight "
        "each class by its share of the draws.": pair(spreads.mean(), even),
        "the variances within the classes have to be weighted by the share of each class.": pair(
            spreads.mean(), outer
        ),
        "the means of the classes have to be weighted by the share of each class.": pair(
            inner, even
        ),
        "the second has to be a variance: subtract the mean over all draws.": pair(
            inner, share @ means.square().sum(-1)
        ),
        "these are standard deviations.": pair(inner.sqrt(), outer.sqrt()),
        "the second is the whole variance. Take that of the means of the classes.": pair(
            inner, (gradients - mean).square().mean(0).sum()
        ),
        "the variances are added over the classes; take the mean, weighted by their share.": pair(
            spreads.sum(), outer
        ),
        "sum over the entries of the gradient; you have their mean.": pair(inner, outer)
        / gradients.shape[1],
    }
    return pair(inner, outer), given, mistakes


@check("beyond K = inner / outer you pay for noise that is not the larger part any more.")
def check_enough_samples(function: Any) -> None:
    """Check exercise 2 of notebook 04: the smallest K that comes close to K = ∞.

    Args:
        function: maps inner, outer and excess to the smallest K >= 1 with
            inner/K + outer <= (1 + excess) outer.

    Returns:
        A `Verdict`.

    Example:
        >>> import math
        >>> check_enough_samples(lambda inner, outer, e: max(1, math.ceil(inner / (e * outer))))
        Right: beyond K = inner / outer you pay for noise that is not the larger part any more.
    """
    for inner, outer, excess in (
        (9.0, 2.0, 0.25),
        (8.3, 0.7, 0.1),
        (3.0, 5.0, 0.5),
        (0.0, 8.0, 0.5),
    ):
        k = inner / (excess * outer)
        wanted = max(1, math.ceil(k))
        mistakes = {
            "the number of samples is at least 1.": math.ceil(k),
            "K has to be a whole number: round up.": k,
            "that is one too few: round up, not down.": max(1, math.floor(k)),
            "rounding to the nearest number may give too few: round up.": max(1, round(k)),
            "that is K*, where both parts are equal. The noise given D may be `excess` times "
            "`outer`, so it takes more.": max(1, math.ceil(inner / outer)),
            "the noise given D is compared with 1; compare it with `outer`.": max(
                1, math.ceil(inner / excess)
            ),
            "the part that stays is in the comparison on both sides: what inner/K may be is "
            "excess · outer, not (1 + excess) · outer.": max(
                1, math.ceil(inner / ((1 + excess) * outer))
            ),
            "inner and outer are the other way round.": max(
                1, math.ceil(outer / (excess * (inner or 1.0)))
            ),
            "you multiply by `excess`: the smaller it is, the more samples it takes.": max(
                1, math.ceil(inner / outer * excess)
            ),
        }
        given: dict[str, Any] = {"inner": inner, "outer": outer, "excess": excess}
        got = call(function, **given)
        expect(got, wanted, given, mistakes)


@check("the value of (9), the derivative of a softmax at a fixed point.")
def check_relaxed_mean(function: Any) -> None:
    """Check exercise 3 of notebook 04: the derivative of (10) must not run through (9).

    Args:
        function: maps logits `[n]`, perturbed `[K, n]`, made of them by (9), and τ to the mean of
            softmax_τ(θ + G^k), `[n]`, whose gradient is that of (10).

    Returns:
        A `Verdict`.

    Example:
        >>> check_relaxed_mean(lambda logits, perturbed, tau: (perturbed / tau).softmax(-1).mean(0))
        ... # doctest: +ELLIPSIS
        Not yet: the value is right, its gradient is not: it runs through equation (9). ...
    """
    for entries, i, k, tau in (([0.5, 0.0, -0.5], 0, 4, 1.0), ([0.0, 1.0, 0.3, -1.0], 2, 3, 0.5)):
        theta = torch.tensor(entries, dtype=torch.float64).requires_grad_()
        one_hot = torch.zeros_like(theta.detach())
        one_hot[i] = 1.0
        generator = torch.Generator().manual_seed(k)
        perturbed = conditional_gumbel(theta, one_hot, k, generator=generator)
        given: dict[str, Any] = {"logits": theta, "perturbed": perturbed, "tau": tau}
        got = call(function, **given)

        fixed = perturbed.detach()
        value = (fixed / tau).softmax(-1).mean(0)
        both = ((theta + fixed) / tau).softmax(-1).mean(0).detach()
        expect(
            got,
            value,
            given,
            {
                "θ is added twice: `perturbed` is θ + G already, and G is perturbed − θ.": both,
                "the softmax is taken of the mean. Take the mean of the softmaxes.": (
                    fixed.mean(0) / tau
                ).softmax(-1),
                "the temperature is missing.": fixed.softmax(-1).mean(0),
                "that is the softmax without noise.": (theta.detach() / tau).softmax(-1),
                "one row for each of the K samples; take their mean.": (fixed / tau).softmax(-1),
            },
        )
        g = torch.arange(1.0, len(entries) + 1, dtype=torch.float64).square()
        derivative = gradient(got, g, theta, cut="detach the noise perturbed − θ, not θ itself.")
        right = ((theta + (perturbed - theta).detach()) / tau).softmax(-1).mean(0)
        literal = (perturbed / tau).softmax(-1).mean(0)
        wanted, through = (
            torch.autograd.grad((mean * g).sum(), theta, retain_graph=True)[0]
            for mean in (right, literal)
        )
        mistakes = {
            "it runs through equation (9). Hold G = perturbed − θ fixed: detach it.": through,
            "it runs through θ twice, as θ and through equation (9).": wanted + through,
        }
        try:
            expect(derivative, wanted, {**given, "g": g}, mistakes)
        except Wrong as wrong:
            raise Wrong(f"the value is right, its gradient is not: {wrong}") from None


@check("half a bump at each tie: GR at τ = 0, without any softmax.")
def check_limit(function: Any) -> None:
    """Check exercise 4 of notebook 04: the limit of GR as τ → 0.

    Args:
        function: maps g `[n]`, p `[n]` and the number i of the class drawn to v `[n]`,
            v_j = p_j (g_j − g_i) / 2 for j ≠ i and v_i = (g_i − ⟨p, g⟩) / 2.

    Returns:
        A `Verdict`.

    Example:
        >>> check_limit(lambda g, p, i: 0.5 * p * (g - g[i]))
        Not yet: the entry of the class that was drawn is missing: a gradient sums to 0.
        For
            g = [3, 1, 0]
            p = [0.5, 0.3, 0.2]
            i = 0
        you return
            [0, -0.3, -0.3]
        expected is
            [0.6, -0.3, -0.3]
    """
    for entries, weights, i in (
        ([3.0, 1.0, 0.0], [0.5, 0.3, 0.2], 0),
        ([1.0, -2.0, 0.5, 4.0], [0.1, 0.4, 0.3, 0.2], 2),
    ):
        g = torch.tensor(entries, dtype=torch.float64)
        p = torch.tensor(weights, dtype=torch.float64)
        mean = p @ g
        chosen = torch.arange(len(p)) == i
        others = p * (g - g[i]) / 2
        wanted = torch.where(chosen, (g[i] - mean) / 2, others)
        mistakes = {
            "the factor ½ is missing: only one side of the bump counts, that where i wins.": 2
            * wanted,
            "the entry of the class that was drawn is missing: a gradient sums to 0.": others,
            "the sign of the entries j ≠ i is wrong: v_j = ½ p_j (g_j − g_i).": torch.where(
                chosen, wanted, -others
            ),
            "this is straight-through at τ = 1, p ⊙ (g − ⟨p, g⟩): GR tends to the mean of it and "
            "of another.": p * (g - mean),
            "this is half of straight-through at τ = 1; the other half is missing.": p
            * (g - mean)
            / 2,
            "this is (g_i − ⟨p, g⟩) times the derivative of log p_i, and half of it is half of "
            "the answer.": (g[i] - mean) * (chosen.double() - p),
            "the factor p_j is missing for j ≠ i: a tie with an improbable class is rare.": (
                torch.where(chosen, wanted, (g - g[i]) / 2)
            ),
            "v_i sums over the other classes, each with its own p_j: Σ_j p_j (g_i − g_j) / 2.": (
                torch.where(chosen, p[i] * (g[i] - mean) / 2, others)
            ),
        }
        given: dict[str, Any] = {"g": g, "p": p, "i": i}
        expect(call(function, **given), wanted, given, mistakes)
