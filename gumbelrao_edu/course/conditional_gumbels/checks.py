"""Checks for the exercises of notebook 02."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..verdict import Wrong, call, check, expect, plain


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
    for numbers in ((0.5, 1.2), (-1.0, 0.3), (2.0, -0.5)):
        theta, bound = torch.tensor(numbers, dtype=torch.float64)
        t, start = e / theta.exp(), (-bound).exp()
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
            "the bound is moved by the noise; in time it is exp(−bound), added before the log.": (
                bound - t
            ),
        }
        given = {"theta": theta, "bound": bound, "e": e}
        got = call(function, **given)
        expect(got, -(t + start).log(), given, mistakes)


@check("equation (9), from the same noise to the last digit.")
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
        Right: equation (9), from the same noise to the last digit.
    """
    for numbers, i, k in (([0.5, 0.0, -0.5], 0, 3), ([1.0, -1.0, 0.2, 0.0], 1, 2)):
        logits = torch.tensor(numbers, dtype=torch.float64)
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
        given: dict[str, Any] = {"logits": logits, "i": i, "e": e}
        got = call(function, **given)
        try:
            expect(got, right, given, mistakes)
        except Wrong as wrong:
            same = isinstance(got, Tensor) and got.shape == right.shape
            if same and str(wrong).startswith("the numbers") and (plain(got).argmax(-1) != i).any():
                raise Wrong(f"class i = {i} is not the largest in every row: {wrong}") from None
            raise


@check("and nothing overflows, in whatever precision.")
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
        Right: and nothing overflows, in whatever precision.
    """

    def softmax(r: Tensor, i: int, winner: float | None = 1.0) -> Tensor:
        r = r.clone()
        if winner is not None:
            r[:, i] = winner
        return r / r.sum(-1, keepdim=True)

    for numbers, i, tau in (([0.5, 0.3, 0.2], 0, 0.5), ([0.1, 0.2, 0.3, 0.4], 2, 2.0)):
        p = torch.tensor(numbers, dtype=torch.float64)
        e = _exponentials(2, len(p))
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
        given: dict[str, Any] = {"p": p, "i": i, "e": e, "tau": tau}
        expect(call(function, **given), softmax(r, i), given, mistakes)
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
