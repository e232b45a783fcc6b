"""Checks for the exercises of notebook 04."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...gumbel import conditional_gumbel
from ..verdict import (
    Wrong,
    call,
    check,
    close,
    expect,
    expect_of,
    gradient,
    numbers,
    plain,
    random,
    shown,
)


@check("within the classes, between the classes: together all of the variance.")
def check_split_variance(function: Any) -> None:
    """Check exercise 1 of notebook 04: the law of total variance on a sample.

    Args:
        function: maps estimates `[m, n]` and the classes drawn `[m]` to E[var[· | D]] and
            var[E[· | D]], both summed over the n entries.

    Returns:
        A `Verdict`.

    Example:
        >>> check_split_variance(lambda gradients, classes: gradients.var(0, correction=0).sum())
        ... # doctest: +ELLIPSIS
        Not yet: return two numbers, the inner and the outer variance, got 7.551.
        For
            gradients = [[2, 0, -2], [0, 0, 0], ...]
            classes = [0, 2, 1, 0, 1, 0, 2]
    """
    small = torch.tensor(
        [[2, 0, -2], [0, 0, 0], [4, -3, -1], [0, 1, -1], [1, 1, -2], [4, -1, -3], [-2, 2, 0]],
        dtype=torch.float64,
    )
    generator = torch.Generator().manual_seed(0)
    large = torch.randn(12, 3, dtype=torch.float64, generator=generator) + 1.0
    for gradients, drawn in (
        (small, [0, 2, 1, 0, 1, 0, 2]),
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
        wanted, given, mistakes = _split(gradients, classes, given)

        def otherwise(answer: Tensor, wanted: Tensor = wanted) -> str:
            first, second = (close(a, w) for a, w in zip(answer, wanted, strict=True))
            if close(answer.sum(), wanted.sum()):
                return (
                    "the sum is right, the two parts are not: what varies within a class is inner."
                )
            if first:
                return (
                    "inner is right, outer is not: it is the mean squared distance of the means of "
                    "the classes from the mean of all, each class weighted by its share."
                )
            if second:
                return (
                    "outer is right, inner is not: it is the mean squared distance of the "
                    "estimates from the mean of their class."
                )
            return (
                "neither is right, and they do not add up to the variance of all. Begin with the "
                "mean of each class, a vector; both parts are mean squared distances from or of it."
            )

        expect(answer, wanted, given, mistakes, otherwise)


def _split(
    gradients: Tensor, classes: Tensor, given: dict[str, Any]
) -> tuple[Tensor, dict[str, Any], dict[str, Tensor]]:
    m, n = gradients.shape
    groups = [gradients[classes == i] for i in range(3)]
    share = torch.tensor([len(group) / m for group in groups], dtype=torch.float64)
    means = torch.stack([group.mean(0) for group in groups])
    squares = [(group - group.mean(0)).square().sum(0) for group in groups]  # by entry
    spreads = torch.stack([s.sum() / len(group) for s, group in zip(squares, groups, strict=True)])
    mean = gradients.mean(0)
    away = (means - mean).square()
    inner, outer = share @ spreads, share @ away.sum(-1)
    whole = inner + outer
    even = (means - means.mean(0)).square().sum(-1)
    less = [s.sum() / (len(group) - 1) for s, group in zip(squares, groups, strict=True)]
    inner_less = share @ torch.stack(less)
    lengths = torch.stack([(group - group.mean(0)).norm(dim=-1).mean() for group in groups])

    def pair(first: Tensor, second: Tensor) -> Tensor:
        return torch.stack([first, second])

    outer_less, even_less = outer * m / (m - 1), even.sum() / (len(even) - 1)
    whole_less = whole * m / (m - 1)
    across = [group.var(1, correction=0) for group in groups]  # over the entries
    correction = "`var` divides by one less than the number, unless you say correction=0"
    mistakes = {
        "the two are the other way round: the inner one is the spread within a class.": pair(
            outer, inner
        ),
        "both are averaged over the classes as if each were drawn as often as another. Weight "
        "each class by its share of the draws.": pair(spreads.mean(), even.mean()),
        "both are averaged over the classes with equal weights. Weight each class by its share of "
        "the draws.": pair(spreads.mean(), away.sum(-1).mean()),
        "both are added over the classes. Take means, weighted by the share of each class.": pair(
            spreads.sum(), away.sum(-1).sum()
        ),
        "the first has to be a variance: subtract from each estimate the mean of its class.": pair(
            gradients.square().sum(-1).mean(), outer
        ),
        "the first is the variance of the entries of one estimate. Take that over the draws of a "
        "class, axis 0.": pair(share @ torch.stack([each.mean() for each in across]), outer),
        "the first is the variance over the entries, added up. Take that over the draws of a "
        "class, axis 0, and sum over the entries.": pair(
            share @ torch.stack([each.sum() for each in across]), outer
        ),
        f"they add up to the variance of all with one less than the number below: {correction}.": (
            pair(inner_less, whole_less - inner_less)
        ),
        f"inner is right; the variance of all, of which you take the rest: {correction}.": pair(
            inner, whole_less - inner
        ),
        f"the two are the other way round; and {correction}.": pair(outer, inner_less),
        "the variances within the classes have to be weighted by the share of each class.": pair(
            spreads.mean(), outer
        ),
        "the means of the classes have to be weighted by the share of each class.": pair(
            inner, even.mean()
        ),
        "the second is about the mean of the three means. Take the mean over all draws, to which "
        "a class that is drawn often contributes more.": pair(inner, share @ even),
        "the second has to be a variance: subtract the mean over all draws.": pair(
            inner, share @ means.square().sum(-1)
        ),
        "these are standard deviations.": pair(inner.sqrt(), outer.sqrt()),
        "these are mean distances. Square the distances before you take the mean.": pair(
            share @ lengths, share @ away.sum(-1).sqrt()
        ),
        "the second is the whole variance. Take that of the means of the classes.": pair(
            inner, whole
        ),
        "the first is the whole variance. Subtract from each estimate the mean of its class.": pair(
            whole, outer
        ),
        "the variances are added over the classes; take the mean, weighted by their share.": pair(
            spreads.sum(), outer
        ),
        "the squared distances are added over the draws; divide by their number.": pair(
            inner, outer
        )
        * m,
        "sum over the entries of the gradient; you have their mean.": pair(inner, outer) / n,
        "these are vectors, one variance for each entry. Sum over the entries.": torch.stack(
            [torch.stack(squares).sum(0) / m, share @ away]
        ),
        "class 3 is missing: `range(classes.max())` ends one too early.": pair(
            share[:2] @ spreads[:2], share[:2] @ away[:2].sum(-1)
        ),
        f"the first: {correction}.": pair(inner_less, outer),
        f"the second: {correction}.": pair(inner, outer_less),
        f"both: {correction}.": pair(inner_less, outer_less),
        "both are divided by one less than the number of draws. Divide by the number.": pair(
            inner * m / (m - 1), outer_less
        ),
        f"the second: {correction}; and each class has to be weighted by its share.": pair(
            inner, even_less
        ),
        f"both: {correction}; and in the second each class has to be weighted by its share.": pair(
            inner_less, even_less
        ),
        f"both: {correction}; and each class has to be weighted by its share.": pair(
            torch.stack(less).mean(), even_less
        ),
    }
    return pair(inner, outer), given, mistakes


@check("that is K* / ε, rounded up. Half the excess costs twice the samples.")
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
        Right: that is K* / ε, rounded up. Half the excess costs twice the samples.
    """
    for inner, outer, excess in (
        (6.0, 0.5, 0.25),
        (8.3, 0.7, 0.1),
        (3.0, 5.0, 0.5),
        (0.0, 8.0, 0.5),
    ):
        k = inner / (excess * outer)
        wanted = max(1, math.ceil(k))
        mistakes = {
            "the number of samples is at least 1.": math.ceil(k),
            "K has to be a whole number: round up.": k,
            "that is one too few: round up, neither down nor to the nearest.": max(
                1, math.floor(k)
            ),
            "one too many: inner / (excess · outer) is a whole number here, which is enough (at "
            "most, ≤, not <). Round up with math.ceil, not with int(…) + 1.": math.floor(k) + 1,
            "that is K*, where both parts are equal. The noise given D may be `excess` times "
            "`outer`, so it takes more.": max(1, math.ceil(inner / outer)),
            "the noise given D is compared with 1; compare it with `outer`.": max(
                1, math.ceil(inner / excess)
            ),
            "the part that stays is in the comparison on both sides: what inner/K may be is "
            "excess · outer, not (1 + excess) · outer.": max(
                1, math.ceil(inner / ((1 + excess) * outer))
            ),
            "outer stays as it is: K divides the inner part only.": max(
                1, math.ceil((inner + outer) / ((1 + excess) * outer))
            ),
            "`excess` is a share of outer, not of the whole variance.": max(
                1, math.ceil(inner / (excess * (inner + outer)))
            ),
            "K divides a variance. The square root is for standard deviations.": max(
                1, math.ceil(math.sqrt(k))
            ),
            "`excess` is added to K*. It multiplies outer, so K* is divided by it.": max(
                1, math.ceil(inner / outer + excess)
            ),
            "you multiply by 1 + excess: the smaller it is, the more samples it takes.": max(
                1, math.ceil(inner / outer * (1 + excess))
            ),
            "inner and outer are the other way round, or you take min(1, …), at most 1, where it "
            "is max(1, …), at least 1.": max(1, math.ceil(outer / (excess * (inner or 1.0)))),
            "you multiply by `excess`: the smaller it is, the more samples it takes.": max(
                1, math.ceil(inner / outer * excess)
            ),
        }
        given: dict[str, Any] = {"inner": inner, "outer": outer, "excess": excess}
        got = call(function, **given)

        def otherwise(
            answer: Tensor,
            part: float = inner,
            rest: float = outer,
            bound: float = (1 + excess) * outer,
        ) -> str:
            k = answer.item()
            if k >= 1 and part / k + rest > bound:
                return (
                    f"too few: K = {k:g} leaves a variance of {part / k + rest:.4g}, and "
                    f"(1 + excess) · outer is {bound:.4g}."
                )
            return f"K = {k:g} is not the smallest: fewer samples are enough."

        expect(got, wanted, given, mistakes, otherwise)


@check("the samples come from (9), and the derivative does not run through it.")
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
        if random(function, got, given):
            raise Wrong(
                "two calls with the same arguments differ: you draw noise of your own. The noise "
                "is given, as perturbed − θ."
            )

        fixed = perturbed.detach()
        value = (fixed / tau).softmax(-1).mean(0)
        noise = fixed - theta.detach()
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
                "θ is missing: this is the softmax of the noise alone.": (
                    (noise / tau).softmax(-1).mean(0)
                ),
                "the softmax goes along the last axis, over the classes.": (
                    (fixed / tau).softmax(0).mean(0)
                ),
                "take the mean over the samples, mean(0), not over the classes.": (
                    (fixed / tau).softmax(-1).mean(-1)
                ),
                "take the mean over the samples alone, mean(0).": (fixed / tau).softmax(-1).mean(),
                "the sum over the samples; take the mean.": (fixed / tau).softmax(-1).sum(0),
                "divide by the temperature, do not multiply.": (fixed * tau).softmax(-1).mean(0),
                "only the noise is divided by the temperature. Divide θ + G.": (
                    (theta.detach() + noise / tau).softmax(-1).mean(0)
                ),
                "only θ is divided by the temperature. Divide θ + G.": (
                    (theta.detach() / tau + noise).softmax(-1).mean(0)
                ),
                "that is the logarithm of the softmax.": (fixed / tau).log_softmax(-1).mean(0),
                "that is D. Return the mean of the softmaxes.": one_hot,
                "that is the first sample alone. Take the mean over all.": (
                    (fixed[0] / tau).softmax(-1)
                ),
                "you divide by the temperature twice.": (fixed / tau**2).softmax(-1).mean(0),
                "θ is subtracted, not added: the softmax is taken of θ + G.": (
                    ((noise - theta.detach()) / tau).softmax(-1).mean(0)
                ),
                "the sign of G is wrong: it is perturbed − θ.": (
                    ((theta.detach() - noise) / tau).softmax(-1).mean(0)
                ),
            },
            (
                "the value is not that of the mean of the softmaxes of `perturbed`. Make it that "
                "first, then see to the gradient."
            ),
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
            "it runs through G and not through θ. It has to be the other way round: detach G, not "
            "θ.": through - wanted,
            "it is 0. θ comes in with a plus and with a minus, and cancels. Detach all of the "
            "noise, perturbed − θ.": torch.zeros_like(wanted),
            "the temperature is missing in it.": wanted * tau,
            "it is that of the softmax without noise.": torch.autograd.grad(
                ((theta / tau).softmax(-1) * g).sum(), theta
            )[0],
            "no softmax is differentiated, θ is added to it: the derivative of θ itself is g.": g,
        }
        expect_of(
            "the value is right, its gradient is not",
            derivative,
            wanted,
            {**given, "g": g},
            mistakes,
            "it is not that of the mean of softmax(θ + G) with G held fixed, the noise "
            "perturbed − θ.",
        )


@check("low and wide at a large τ, high and narrow at a small one.")
def check_bump(function: Any) -> None:
    """Check exercise 4 of notebook 04: s_i s_j / τ of two classes.

    Args:
        function: maps x `[m]`, by how much the sum of class i is ahead of that of class j, and τ
            to s_i s_j / τ, `[m]`.

    Returns:
        A `Verdict`.

    Example:
        >>> check_bump(lambda x, tau: (x / tau).sigmoid() * (-x / tau).sigmoid())
        Not yet: divide by τ: the Jacobian of softmax_τ has this factor.
        For
            x = [-0.5, 0, 0.2, 3]
            tau = 0.2
        you return
            [0.0701, 0.25, 0.1966, 3.059e-07]
        expected is
            [0.3505, 1.25, 0.9831, 1.53e-06]
    """
    for entries, tau in (([-0.5, 0.0, 0.2, 3.0], 0.2), ([-2.0, 0.5, 1.0, 4.0], 0.5)):
        x = torch.tensor(entries, dtype=torch.float64)
        given: dict[str, Any] = {"x": x, "tau": tau}
        s = (x / tau).sigmoid()
        other = (-x / tau).sigmoid()
        bump = s * other
        mistakes = {
            "divide by τ: the Jacobian of softmax_τ has this factor.": bump,
            "this is s_i. The bump is s_i s_j / τ, with s_j = 1 − s_i.": s,
            "this is s_j. The bump is s_i s_j / τ, with s_i = 1 − s_j.": other,
            "this is s_i / τ. Multiply it with s_j = 1 − s_i.": s / tau,
            "this is s_i² / τ. The two factors are s_i and s_j = 1 − s_i.": s * s / tau,
            "this is s_j² / τ. The two factors are s_i and s_j = 1 − s_i.": other * other / tau,
            "this is s_i − s_j. Multiply them.": s - other,
            "the temperature is missing in s: s_i = 1 / (1 + exp(−x/τ)).": (
                x.sigmoid() * (-x).sigmoid() / tau
            ),
            "the temperature is missing, in s and as the factor 1/τ.": x.sigmoid() * (-x).sigmoid(),
            "parentheses are missing: you divide s by τ before you subtract: s · (1 − s) / τ.": (
                s * (1 - s / tau)
            ),
            "this is s_j / τ. Multiply it with s_i = 1 − s_j.": other / tau,
            "you take the softmax of the m numbers in x. They are m cases of two classes each: "
            "s_i = torch.sigmoid(x / tau).": (x / tau).softmax(-1)
            * (1 - (x / tau).softmax(-1))
            / tau,
            "s is taken of x · τ. Divide x by τ.": (x * tau).sigmoid() * (-x * tau).sigmoid() / tau,
            "you multiply by τ. Divide by it.": bump * tau,
            "1/τ stands there once, not twice: s_i and s_j share it.": bump / tau**2,
            "this is the slope of the bump. The bump itself is the slope of s_i.": (
                bump * (other - s) / tau**2
            ),
            "only half of it is meant to be left in the next step. Return all of it.": (
                torch.where(x > 0, bump / tau, 0.0)
            ),
            "the sign is wrong: the bump is positive.": -bump / tau,
        }

        def otherwise(answer: Tensor, x: Tensor = x, tau: float = tau) -> str:
            if (
                close(answer[x == 0], torch.full_like(answer[x == 0], 0.25 / tau))
                and (x == 0).any()
            ):
                return "at x = 0 it is right, beside it it is not: s_i = 1 / (1 + exp(−x/τ))."
            return (
                "it is not s_i s_j / τ. Write s = torch.sigmoid(x / tau) first; then s_j = 1 − s."
            )

        expect(call(function, **given), bump / tau, given, mistakes, otherwise)


@check("half a bump at each tie: GR at τ = 0, without any softmax.")
def check_limit(function: Any) -> None:
    """Check exercise 5 of notebook 04: the limit of GR as τ → 0.

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
            p = [0.4, 0.35, 0.25]
            i = 0
        you return
            [0, -0.35, -0.375]
        expected is
            [0.725, -0.35, -0.375]
    """
    for entries, weights, i in (
        ([3.0, 1.0, 0.0], [0.4, 0.35, 0.25], 0),
        ([1.0, -2.0, 0.5, 4.0], [0.1, 0.4, 0.3, 0.2], 2),
    ):
        g = torch.tensor(entries, dtype=torch.float64)
        p = torch.tensor(weights, dtype=torch.float64)
        mean = p @ g
        chosen = torch.arange(len(p)) == i
        others = p * (g - g[i]) / 2
        wanted = _limit(g, p, i)
        mistakes = {
            "the factor ½ is missing: only one side of the bump counts, that where i wins.": 2
            * wanted,
            "the entry of the class that was drawn is missing: a gradient sums to 0.": others,
            "the sign of the entry of the class that was drawn is wrong: a gradient sums to 0.": (
                torch.where(chosen, -wanted, wanted)
            ),
            "the sign is wrong everywhere: for j ≠ i it is g_j − g_i, not g_i − g_j.": -wanted,
            "for j ≠ i take the p_j of the other class, not p_i.": torch.where(
                chosen, p[i] * (len(g) * g[i] - g.sum()) / 2, p[i] * (g - g[i]) / 2
            ),
            "p_i p_j is the density of a tie. Given that i wins, divide by p_i.": p[i] * wanted,
            "for j ≠ i the probability is p_j; no p_i is left to divide by.": wanted / p[i],
            "g_i is missing: the loss changes by g_j − g_i when j takes over.": torch.where(
                chosen, -(p * g).sum() / 2 + p[i] * g[i] / 2, p * g / 2
            ),
            "the entries of the other classes are missing: ½ p_j (g_j − g_i).": (
                torch.where(chosen, wanted, 0.0)
            ),
            "these are g_j − g_i; each has to be multiplied by ½ p_j.": g - g[i],
            "i counts from 0, as indices do.": _limit(g, p, i - 1),
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
            "the factor p_j is missing: a tie with an improbable class is rare.": _limit(
                g, torch.ones_like(p), i
            ),
            "the density of x at a tie is p_j, not 1 − p_j.": _limit(g, 1 - p, i),
            "take the probabilities p_j, not their logarithms.": _limit(g, p.log(), i),
            "multiply by p_j, do not divide: a tie with an improbable class is rare.": _limit(
                g, 1 / p, i
            ),
            "the last class is missing: the loop ends one too early.": _limit(
                g, torch.where(torch.arange(len(p)) == len(p) - 1, 0.0, p), i
            ),
            "v_i sums over the other classes, each with its own p_j: Σ_j p_j (g_i − g_j) / 2.": (
                torch.where(chosen, p[i] * (g[i] - mean) / 2, others)
            ),
        }
        given: dict[str, Any] = {"g": g, "p": p, "i": i}

        def otherwise(answer: Tensor, wanted: Tensor = wanted, chosen: Tensor = chosen) -> str:
            if close(answer[~chosen], wanted[~chosen]):
                return (
                    "the entries j ≠ i are right, that of the class that was drawn is not: it "
                    "makes the sum 0."
                )
            if close(answer[chosen], wanted[chosen]):
                return "v_i is right, the entries j ≠ i are not: v_j = ½ p_j (g_j − g_i)."
            if abs(answer.sum()) < 1e-6:
                return (
                    "the sum is 0, as it has to be. The entries j ≠ i are not right: multiply the "
                    "difference g_j − g_i, half a bump and the density p_j."
                )
            return (
                "the entries j ≠ i are g_j − g_i times half a bump times the density p_j, and v_i "
                "makes the sum 0."
            )

        expect(call(function, **given), wanted, given, mistakes, otherwise)


def _limit(g: Tensor, p: Tensor, i: int) -> Tensor:
    v = p * (g - g[i]) / 2
    v[i] = -v.sum()
    return v
