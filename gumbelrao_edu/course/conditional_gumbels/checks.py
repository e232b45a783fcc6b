"""Checks for the exercises of notebook 02."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from ..verdict import Wrong, call, check, close, expect, numbers, plain, try_out


def _exponentials(k: int, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(k)
    return torch.rand(k, n, dtype=torch.float64, generator=generator).log().neg()


@check("it never passes the bound, and has the shape of a Gumbel below it.")
def check_truncated_gumbel(function: Any) -> None:
    """Check exercise 1 of notebook 02: a Gumbel located at θ, given that it is below a bound.

    Args:
        function: maps θ, a bound and exponentials `[m]` to −log(E/exp(θ) + exp(−bound)), `[m]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def truncated(theta, bound, e):
        ...     return -(e / theta.exp() + (-bound).exp()).log()
        >>> check_truncated_gumbel(truncated)
        Right: it never passes the bound, and has the shape of a Gumbel below it.
    """
    e = torch.tensor([0.05, 0.7, 2.0], dtype=torch.float64)
    for values in ((0.5, 1.2), (-1.0, 0.3), (2.0, -0.5)):
        theta, bound = torch.tensor(values, dtype=torch.float64)
        t, start = e / theta.exp(), (-bound).exp()
        right = -(t + start).log()
        mistakes = {
            "this is θ + G, which can pass the bound. Let the clock start at exp(−bound).": (
                -t.log()
            ),
            "this cuts off what passes the bound: a lump of draws lies exactly there.": (
                (-t.log()).clamp(max=bound)
            ),
            "the clock starts at exp(−bound), with a minus.": -(t + bound.exp()).log(),
            "the minus in front of the logarithm is missing.": (t + start).log(),
            "the time on the clock is E / exp θ; you multiply.": -(e * theta.exp() + start).log(),
            "θ is missing: the clock runs at the rate exp θ.": -(e + start).log(),
            "E is divided by θ; the rate of the clock is exp θ.": -(e / theta + start).log(),
            "this is the time at which it rings. x = −log of it.": t + start,
            "the bound is added to θ + G. In time it is exp(−b), added before the logarithm.": (
                bound - t.log()
            ),
            "the bound is moved by the noise; in time it is exp(−b), added before the log.": (
                bound - t
            ),
            "the time from exp(−b) to the ring is E / exp θ. You multiply it by exp(−b).": (
                bound - (1 + t).log()
            ),
            "exp(−b) is divided by exp θ, too. Only E is.": -((start + e) / theta.exp()).log(),
            "exp(−b) is subtracted. The clock rings after it: add.": -(t - start).log(),
            "this is the bound itself: the waiting time E / exp θ is missing.": bound.expand(3),
            "θ is subtracted: this is G below the bound b − θ. Wanted is θ + G.": right - theta,
            "θ is added once more: −log of the time is θ + G already.": right + theta,
            "b is subtracted: the time counts from the start, so that exp(−b) is added to it.": (
                right - bound
            ),
            "the bound is a number for θ + G. The time that belongs to it is exp(−b).": (
                -(t + bound).log()
            ),
            "e holds exponentials E, not Gumbels. The time is E / exp θ.": -(
                (-theta - e).exp() + start
            ).log(),
            "e holds exponentials already: take no logarithm of it.": -(
                -e.log() / theta.exp() + start
            ).log(),
            "the logarithm is the natural one: torch.log.": -(t + start).log10(),
            "the logarithm is natural: torch.log, not log2.": -(t + start).log2(),
            "−b is no time: exp(−b) is.": -(t - bound).log(),
            "exp(−b) is multiplied by exp θ. Only E is divided by it.": (
                -(t + start * theta.exp()).log()
            ),
            "the draws above the bound are thrown away. Each of the m exponentials makes a draw.": (
                (-t.log())[-t.log() <= bound]
            ),
            "this is the mean. Each of the m exponentials makes a draw.": right.mean(),
        }
        given = {"theta": theta, "bound": bound, "e": e}
        try_out(function, right, given, mistakes, functools.partial(_as_times, t + start))


def _as_times(right: Tensor, got: Tensor) -> str:
    return (
        f"what you return stands for the times {numbers((-got).exp())}, exp of minus it; "
        f"exp(−b) + E / exp θ is {numbers(right)}."
    )


@check("equation (9), number by number from the same noise.")
def check_conditional_gumbel(function: Any) -> None:
    """Check exercise 2 of notebook 02: θ + G given that class i won, equation (9).

    Args:
        function: maps logits `[n]`, the class i and exponentials `[k, n]` to θ + G, `[k, n]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def conditional(logits, i, e):
        ...     times = e / logits.exp() + e[:, [i]] / logits.exp().sum()
        ...     times[:, i] = e[:, i] / logits.exp().sum()
        ...     return -times.log()
        >>> check_conditional_gumbel(conditional)
        Right: equation (9), number by number from the same noise.
    """
    for values, i, k in (([1.0, -1.0, 0.2, 0.4], 1, 3), ([0.5, 0.1, -0.5], 0, 2)):
        logits = torch.tensor(values, dtype=torch.float64)
        rates, z = logits.exp(), logits.exp().sum()
        e = _exponentials(k, len(logits))
        chosen = torch.arange(len(logits)) == i
        first = e[:, [i]] / z

        def merge(winner: Tensor, others: Tensor, chosen: Tensor = chosen) -> Tensor:
            return -torch.where(chosen, winner, others).log()

        right = merge(first, e / rates + first)
        mistakes = {
            "this is θ + G without any condition: another class can win.": -(e / rates).log(),
            "the winner has − log E, and lacks + log Z.": merge(e[:, [i]], e / rates + first),
            "the winner is located at θ: it belongs at log Z, where the maximum is.": merge(
                e / rates, e / rates + first
            ),
            "you have log Z with the wrong sign in the winner.": merge(
                e[:, [i]] * z, e / rates + first
            ),
            "the winner has been delayed by itself: for j = i there is only E_i / Z.": -(
                e / rates + first
            ).log(),
            "the others lack E_i / Z, and can pass the winner.": merge(first, e / rates),
            "the others wait for E_i / exp θ_i. The winner rings at E_i / Z.": merge(
                first, e / rates + e[:, [i]] / rates[i]
            ),
            "the others have E_j / Z in place of E_i / Z.": merge(first, e / rates + e / z),
            "the others have E_j · exp θ_j. Divide.": merge(first, e * rates + first),
            "the others have E_j, and lack the division by exp θ_j.": merge(first, e + first),
            "this is G. Wanted is θ + G: nothing has to be subtracted.": right - logits,
            "this is 2θ + G: equation (9) gives θ + G already.": right + logits,
            "you return the times at which the clocks ring. Take −log of them.": (-right).exp(),
        }
        # More of them, by what stands in a place where it does not belong.
        wrong_z = {
            "Z is the sum of the exp θ; you sum the logits.": logits.sum(),
            "Z is the sum of the exp θ; you have log Z.": z.log(),
            "Z is the sum of the exp θ; you have their mean.": rates.mean(),
            "E_i is not divided by Z.": torch.ones(()),
        }
        for sentence, other in wrong_z.items():
            ring = e[:, [i]] / other
            mistakes[sentence] = merge(ring, e / rates + ring)
        n = len(logits)
        for place in ((i - 1) % n, (i + 1) % n):
            ring = e[:, [place]] / z
            of_another = torch.where(torch.arange(n) == place, ring, e / rates + ring)
            sentence = (
                f"this is (9) for class {place}. Classes count from 0: i is the index itself."
            )
            mistakes[sentence] = -of_another.log()
        swapped = torch.where(chosen, -(e / rates + first).log(), -first.log())
        mistakes |= {
            "the others lack the division of E_i by Z.": merge(first, e / rates + e[:, [i]]),
            "E_i / Z is divided by exp θ_j, too. Only E_j is.": merge(first, (e + first) / rates),
            "E_i stands in the bracket with E_j, and lacks its own division by Z.": merge(
                first, (e + e[:, [i]]) / rates
            ),
            "the others are divided by p_j. The rate of clock j is exp θ_j.": merge(
                first, e / logits.softmax(-1) + first
            ),
            "the others are divided by θ_j. The rate of clock j is exp θ_j.": merge(
                first, e / logits + first
            ),
            "you use p_j where exp θ_j belongs: all is shifted by log Z.": right - z.log(),
            "θ is added to the others once more: −log of the time is θ + G already.": torch.where(
                chosen, right, right + logits
            ),
            "the others are times. Take −log of them, too.": torch.where(
                chosen, right, e / rates + first
            ),
            "the winner is a time. Take −log of it, too.": torch.where(chosen, first, right),
            "the others are cut off at the winner. They start from its ring: add E_i / Z.": (
                torch.where(chosen, right, torch.minimum(-(e / rates).log(), -first.log()))
            ),
            "E_i / Z is subtracted from the times of the others. They ring later: add it.": merge(
                first, e / rates - first
            ),
            "the two lines of (9) have changed places.": swapped,
            "the smallest E of each row stands in place of E_i.": merge(
                e.amin(-1, keepdim=True) / z, e / rates + e.amin(-1, keepdim=True) / z
            ),
            "E_i is divided by exp θ_i, in both lines. The winner rings at E_i / Z.": merge(
                e[:, [i]] / rates[i], e / rates + e[:, [i]] / rates[i]
            ),
            "Z is the sum over all classes, the winner's, too.": merge(
                e[:, [i]] / (z - rates[i]), e / rates + e[:, [i]] / (z - rates[i])
            ),
            "the others: the logarithm of a sum is not the sum of the logarithms.": torch.where(
                chosen, right, -(e / rates).log() - first.log()
            ),
            "the winner's time is 0. It is E_i / Z.": merge(first * 0, e / rates + first),
            "this is the mean over the draws. Each row is one.": right.mean(0),
            "this is the first draw alone. Each row of e makes one.": right[0],
            "log Z is multiplied in the winner. Add it.": torch.where(
                chosen, -e.log() * z.log(), right
            ),
            "the sign is wrong everywhere: −log of the times, not log.": -right,
        }
        if i < k:
            row = e[i] / z
            in_row = (e / rates + first).index_put((torch.tensor(i),), row)
            columns = "The column of the winner is e[:, [i]]."
            mistakes |= {
                f"e[i] is a row, draw number i. {columns}": -(
                    torch.where(chosen, first, e / rates + row)
                ).log(),
                f"e[i] is a row, draw number i, in both lines. {columns}": -(
                    torch.where(chosen, row, e / rates + row)
                ).log(),
                f"e[i] is a row, draw number i, and stands for E_i. {columns}": -(
                    torch.where(chosen, e[i, i] / z, e / rates + e[i, i] / z)
                ).log(),
                "x[i] = … sets a row. The column of the winner is x[:, i].": -in_row.log(),
            }
        given: dict[str, Any] = {"logits": logits, "i": i, "e": e}
        try_out(function, right, given, mistakes, functools.partial(_which_line, right, i))


def _which_line(right: Tensor, i: int, got: Tensor) -> str:
    others = torch.arange(right.shape[-1]) != i
    bad = [k for k in range(len(got)) if not close(got[k], right[k])]
    if len(bad) < len(got):
        return f"only the rows {bad} are wrong: is each row of e treated alike?"
    if close(got[:, i], right[:, i]):
        wrong = [j for j in range(got.shape[-1]) if not close(got[:, j], right[:, j])]
        if len(wrong) < others.sum():
            return f"only the columns {wrong} are wrong: does the loop run over all classes?"
        return f"the winner, column {i}, is right; the others are not: look at the second line."
    if close(got[:, others], right[:, others]):
        return f"the others are right; the winner, column {i}, is not: look at the first line."
    if (got.argmax(-1) != i).any():
        return f"class i = {i} is not the largest in every row, and it has won."
    return "the winner is the largest, but neither line of (9) gives the right numbers."


@check("and no overflow does harm.")
def check_conditional_softmax(function: Any) -> None:
    """Check exercise 3 of notebook 02: softmax_τ(θ + G) given D, from the weights r.

    Args:
        function: maps p `[n]`, the class i, exponentials `[k, n]` and τ to S_τ `[k, n]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def weights(p, i, e, tau):
        ...     r = (1 + e / (e[:, [i]] * p)) ** (-1 / tau)
        ...     r[:, i] = 1
        ...     return r / r.sum(-1, keepdim=True)
        >>> check_conditional_softmax(weights)
        Right: and no overflow does harm.
    """

    def softmax(r: Tensor, i: int, winner: float | None = 1.0) -> Tensor:
        r = r.clone()
        if winner is not None:
            r[:, i] = winner
        return r / r.sum(-1, keepdim=True)

    rare = [1 - 1e-9, 1e-9]  # whoever cuts p off at a small number is far off here
    for values, i, tau in (
        ([0.1, 0.2, 0.3, 0.4], 1, 0.5),
        ([0.5, 0.3, 0.2], 0, 2.0),
        (rare, 0, 2.0),
    ):
        p = torch.tensor(values, dtype=torch.float64)
        e = _exponentials(3 if len(p) == 4 else 2, len(p))
        x = e / (e[:, [i]] * p)
        r = (1 + x) ** (-1 / tau)
        unnormalised = r.clone()
        unnormalised[:, i] = 1
        mistakes = {
            "these are the weights r. Divide each row by its sum.": unnormalised,
            "r_i is 1; you use the formula for j ≠ i there, too.": softmax(r, i, None),
            "r_i is 1; you use the formula for j ≠ i there, too, and the rows are not divided by "
            "their sum.": r,
            "the power is −1/τ. With +1/τ the losers weigh most.": softmax(1 / r, i),
            "the power is −1/τ; you have −τ.": softmax((1 + x) ** -tau, i),
            "the power is −1/τ; the temperature is missing.": softmax(1 / (1 + x), i),
            "the 1 + in the base is missing.": softmax(x ** (-1 / tau), i),
            "E_i and E_j have changed places.": softmax((1 + e[:, [i]] / (e * p)) ** (-1 / tau), i),
            "you divide by p_i. It is the p_j of each loser; p_i does not appear.": softmax(
                (1 + e / (e[:, [i]] * p[i])) ** (-1 / tau), i
            ),
            "you multiply by p_j. Divide.": softmax((1 + e * p / e[:, [i]]) ** (-1 / tau), i),
            "the sum runs over all rows. Each row sums to 1.": unnormalised / unnormalised.sum(),
            "the sum runs over the draws. Each row sums to 1.": unnormalised / unnormalised.sum(0),
        }
        row = (1 + e / (e[i] * p)) ** (-1 / tau)
        one_row = r.clone()
        one_row[i] = 1
        mistakes |= {
            "** -1/tau is read as (… ** -1) / tau. Put brackets: ** (-1/tau).": softmax(
                1 / (1 + x) / tau, i
            ),
            "** -1/tau is read as (… ** -1) / tau, and r_i is not set to 1.": softmax(
                1 / (1 + x) / tau, i, None
            ),
            "this is a softmax of r. Divide r by its sum: it is made of exponentials already.": (
                unnormalised.softmax(-1)
            ),
            "e[i] is a row, draw number i. The column of the winner is e[:, [i]].": softmax(row, i),
            "r[i] = 1 sets a row. The column of the winner is r[:, i].": (
                one_row / one_row.sum(-1, keepdim=True)
            ),
            "r_i is 1, and not 0: the winner has the largest weight.": softmax(r, i, 0.0),
            "p is cut off at a small number. Leave it as it is: no p is too small.": (
                softmax((1 + e / (e[:, [i]] * p.clamp(min=1e-6))) ** (-1 / tau), i)
            ),
            "p_j is missing.": softmax((1 + e / e[:, [i]]) ** (-1 / tau), i),
            "p is a probability already: no logarithm of it.": softmax(
                (1 + e / (e[:, [i]] * p.log())) ** (-1 / tau), i
            ),
            "p is a probability already: no softmax of it.": softmax(
                (1 + e / (e[:, [i]] * p.softmax(-1))) ** (-1 / tau), i
            ),
            "the 1 + belongs into the base, before the power.": softmax(1 + x ** (-1 / tau), i),
            "the power is −1/τ; you have +τ.": softmax((1 + x) ** tau, i),
            "the power is −1/τ; you have −1/τ².": softmax((1 + x) ** (-1 / tau**2), i),
            "the base is 1 + …; you have 1 − ….": softmax((1 - x) ** (-1 / tau), i),
            "the base is raised to the power −1/τ; you take exp of it.": softmax(
                (-(1 + x) / tau).exp(), i
            ),
            "p_j is divided by p_i. p_i does not appear.": softmax((1 + x * p[i]) ** (-1 / tau), i),
            "this is the logarithm of S_τ.": softmax(r, i).log(),
            "r_i is set to 1 before the rows are divided by their sum, not after.": torch.where(
                torch.arange(len(p)) == i, 1.0, softmax(r, i, None)
            ),
            "the sum runs over all classes, the winner's, too.": (
                unnormalised / (unnormalised.sum(-1, keepdim=True) - 1)
            ),
            "the weights are divided by their sum, not by their mean.": (
                unnormalised / unnormalised.mean(-1, keepdim=True)
            ),
            "this is the mean over the draws. Each row is one.": softmax(r, i).mean(0),
            "this is D. S_τ is softer: the weights r, divided by their sum.": (
                (torch.arange(len(p)) == i).double().expand_as(e)
            ),
        }
        for place in ((i - 1) % len(p), (i + 1) % len(p)):
            of_another = (1 + e / (e[:, [place]] * p)) ** (-1 / tau)
            mistakes[f"class {place} is taken for i. Classes count from 0: i is the index."] = (
                softmax(of_another, place)
            )
        given: dict[str, Any] = {"p": p, "i": i, "e": e, "tau": tau}
        otherwise = functools.partial(_ratios, unnormalised, i)
        try_out(function, softmax(r, i), given, mistakes, otherwise)
    hard = torch.tensor([100.0, 0.0, -100.0], dtype=torch.float32).softmax(-1)
    e = torch.tensor([[0.1, 1.0, 2.0], [1.5, 0.3, 0.05]], dtype=torch.float32)
    for i in (0, 2):
        got = call(function, p=hard, i=i, e=e, tau=0.01)
        if isinstance(got, Tensor) and not plain(got).isfinite().all():
            raise Wrong(
                f"with p = (1, 4e-44, 0), i = {i} and τ = 0.01 in float32 there is a NaN. Start "
                f"from 1 + E_j / (E_i p_j): do not go through exp θ or θ + G."
            )
        right = softmax((1 + e / (e[:, [i]] * hard)) ** -100.0, i)
        expect(got, right.double(), {"p": hard, "i": i, "e": e, "tau": 0.01}, {})


def _ratios(r: Tensor, i: int, got: Tensor) -> str:
    found = got / got[:, [i]]
    return (
        f"divided by the winner's, the first row is {numbers(found[0])}; these are the weights r, "
        f"and should be {numbers(r[0])}."
    )
