"""Checks for the exercises of notebook 06."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ...figures.style import label
from ...listops.model import merge
from ...training.loop import Training
from ..verdict import Wrong, call, check, expect, expect_of, gradient, number, numbers, pair


@check("the drawn proposal takes its place, and the gradient reaches D.")
def check_merge(function: Any) -> None:
    """Check exercise 1 of notebook 06: the nodes after a merge.

    Args:
        function: maps D `[m − 1]`, the proposals `[m − 1, d]` and the nodes `[m, d]` to the nodes
            that are left, `[m − 1, d]`, and lets a gradient through to D.

    Returns:
        A `Verdict`.

    Example:
        >>> def one_merge(choice, proposals, nodes):
        ...     i = choice.argmax()
        ...     return torch.cat([nodes[:i], proposals[i : i + 1], nodes[i + 2 :]])
        >>> check_merge(one_merge)  # doctest: +ELLIPSIS
        Not yet: the value is right, but nothing is left to differentiate: ...
    """
    generator = torch.Generator().manual_seed(0)
    for m, drawn in ((4, 1), (5, 0), (3, 1)):
        choice = torch.eye(m - 1, dtype=torch.float64)[drawn].requires_grad_()
        nodes = torch.arange(1.0, m + 1, dtype=torch.float64)[:, None] * torch.tensor([1.0, 10.0])
        # Not linear in the nodes, as a network's are not.
        proposals = 100 + nodes[:-1] * nodes[1:]
        given = {"choice": choice, "proposals": proposals, "nodes": nodes}
        after = choice.detach().cumsum(0)[:, None]  # Σ_{i≤j} D_i
        d = choice.detach()[:, None]
        left, right, new = nodes[:-1], nodes[1:], d * proposals
        mistakes = {
            "the two sums are swapped: node_j stays where the draw is to its right, i > j.": (
                (after - d) * left + new + (1 - after) * right
            ),
            "the first sum includes i = j: the part stands beside the node that it became.": (
                (1 - after + d) * left + new + (after - d) * right
            ),
            "the last sum includes i = j: the part stands beside the node that it became.": (
                (1 - after) * left + new + after * right
            ),
            "both sums include i = j. They run over i > j and i < j.": (
                (1 - after + d) * left + new + after * right
            ),
            "the nodes to the right of the draw do not move up: the last term has node_{j+1}.": (
                (1 - after) * left + new + (after - d) * left
            ),
            "the first term has node_j: what is left of the draw stays where it is.": (
                (1 - after) * right + new + (after - d) * right
            ),
            "each proposal counts. Multiply it by its D_j.": (
                (1 - after) * left + proposals + (after - d) * right
            ),
            "the new node is missing: D_j proposal_j.": (1 - after) * left + (after - d) * right,
            "the nodes to the right of the draw are missing.": (1 - after) * left + new,
            "the nodes to the left of the draw are missing.": new + (after - d) * right,
            "this is the proposal alone. The other nodes stay.": new,
            "the last term is added, not subtracted.": (
                (1 - after) * left + new - (after - d) * right
            ),
            "the drawn node is still two: one node has to go.": torch.cat(
                [(1 - after) * left + new + (after - d) * right, nodes[-1:]]
            ),
        }
        got = _told_what_to_do(function, given, _SECOND_AXIS)
        expect(got, merge(choice[None], proposals[None], nodes[None])[0], given, mistakes)
        # Weights that tell all entries apart.
        weights = torch.rand(m - 1, 2, dtype=torch.float64, generator=generator)
        cut = "D has to be a factor, as in the formula. To look up its place cuts the gradient."
        found = gradient(got, weights, choice, cut=cut)
        merged = merge(choice[None], proposals[None], nodes[None])[0]
        (wanted,) = torch.autograd.grad((merged * weights).sum(), choice)
        alone = (weights * proposals).sum(-1)
        by_hand = {
            "a gradient comes through D_j proposal_j alone. The sums have D in them, too.": alone,
            "a gradient comes through the proposal that was drawn alone. A factor of 0 has a "
            "derivative, too.": alone * choice.detach(),
        }
        # The entries of D sum to 1, so that a number added to all derivatives means nothing, and
        # no softmax lets it through.
        others = {sentence: each - each.mean() for sentence, each in by_hand.items()}
        which = "the value is right, its derivative in D is not (less its mean)"
        expect_of(which, found - found.mean(), wanted - wanted.mean(), given, others)


@check("and the 24 orders of five leaves sum to 1.")
def check_log_probability(function: Any) -> None:
    """Check exercise 2 of notebook 06: log q(T|x) of the draws of a parse.

    Args:
        function: maps two lists, of scores and of one-hot choices, `[rows, m − 1]` for each step,
            to the log-probability of all choices of a row together, `[rows]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def log_q(scores, choices):
        ...     pairs = zip(scores, choices)
        ...     return sum((theta.log_softmax(-1) * d).sum(-1) for theta, d in pairs)
        >>> check_log_probability(log_q)
        Right: and the 24 orders of five leaves sum to 1.
    """
    scores = [
        torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.5, 2.0]], dtype=torch.float64),
        torch.tensor([[0.3, -0.2], [1.0, 0.0]], dtype=torch.float64),
    ]
    choices = [one_hot(torch.tensor([0, 1]), 3).double(), one_hot(torch.tensor([1, 0]), 2).double()]
    given: dict[str, Any] = {"scores": scores, "choices": choices}
    steps = [(t.log_softmax(-1), d) for t, d in zip(scores, choices, strict=True)]
    each = [(log_p * d).sum(-1) for log_p, d in steps]
    total = each[0] + each[1]
    mistakes = {
        "this is the probability. Its logarithm is wanted.": total.exp(),
        "the sign is the other way round: the logarithm of a probability is not above 0.": -total,
        "the probabilities are added. The logarithms are to be added.": sum(p.exp() for p in each),
        "these are the scores of the draws. Turn each step's into probabilities: log_softmax.": sum(
            (t * d).sum(-1) for t, d in zip(scores, choices, strict=True)
        ),
        "the choices play no part: count at each step only what was drawn.": sum(
            log_p.sum(-1) for log_p, _ in steps
        ),
        "you take the most probable merge of each step, not the one that was drawn.": sum(
            log_p.amax(-1) for log_p, _ in steps
        ),
        "the softmax runs over the rows. It runs over the proposals: log_softmax(-1).": sum(
            (t.log_softmax(0) * d).sum(-1) for t, d in zip(scores, choices, strict=True)
        ),
        "this is the mean over the steps. The chances multiply, so the logarithms are added.": (
            total / 2
        ),
        "this is the first step alone.": each[0],
        "this is the last step alone.": each[1],
        "one number for each row is wanted; you have added up the rows.": total.sum(),
        "you have averaged over the rows; one number for each is wanted.": total.mean(),
        "this is a loss, averaged over the rows. One log-probability for each row is wanted, and "
        "it is not above 0.": -total.mean(),
        "the sign is the other way round, and you have added up the rows.": -total.sum(),
        "the rows are added up: sum over the last axis, sum(-1).": torch.stack(
            [(log_p * d).sum() for log_p, d in steps]
        ),
        "this is the logarithm of a sum of probabilities. In a chain they multiply.": (
            torch.stack(each).exp().sum(0).log()
        ),
        "the logarithms are multiplied. They are to be added.": each[0] * each[1],
        "softmax is taken twice: log_softmax takes the scores themselves.": sum(
            (t.softmax(-1).log_softmax(-1) * d).sum(-1)
            for t, d in zip(scores, choices, strict=True)
        ),
        "you take the mean over the proposals. All but one of them are 0: sum(-1).": sum(
            (log_p * d).mean(-1) for log_p, d in steps
        ),
        "this is minus an entropy: a mean over all that might have been drawn. Take what was "
        "drawn.": sum((log_p.exp() * log_p).sum(-1) for log_p, _ in steps),
        "these are the steps one by one. Add them up, one number for each row.": torch.stack(each),
        "these are the steps one by one, a column for each. Add up each row.": torch.stack(
            each, -1
        ),
        "the logarithms are natural ones: log, not log2.": total / math.log(2),
        "the logarithms are natural ones: log, not log10.": total / math.log(10),
    }
    got = _told_what_to_do(function, given, _ONE_BY_ONE)
    expect(got, total, given, _tensors(mistakes))

    # Each draw changes what is scored next.
    orders = torch.tensor(list(product(range(4), range(3), range(2))))
    generator = torch.Generator().manual_seed(1)
    tables = [torch.randn(*shape, generator=generator) for shape in ((4,), (4, 3), (4, 3, 2))]
    scored = [tables[0].expand(24, 4), tables[1][orders[:, 0]]]
    scored.append(tables[2][orders[:, 0], orders[:, 1]])
    drawn = [one_hot(order, n).float() for order, n in zip(orders.T, (4, 3, 2), strict=True)]
    got = _told_what_to_do(function, {"scores": scored, "choices": drawn}, _ONE_BY_ONE)
    wanted = torch.zeros(24)
    for theta, d in zip(scored, drawn, strict=True):
        wanted = wanted + (theta.log_softmax(-1) * d).sum(-1)
    try:
        expect(got, wanted, {}, {})
    except Wrong as wrong:
        summed = numbers(got.exp().sum()) if isinstance(got, Tensor) else "no number"
        raise Wrong(
            f"the probabilities of the 24 orders of five leaves sum to {summed}, and should sum to "
            f"1. Here are three steps with 4, 3 and 2 proposals: {str(wrong).splitlines()[0]}"
        ) from None


# What to do about an error of PyTorch, and what it says.
_ONE_BY_ONE = (
    "the steps have different numbers of proposals, so they fit into no common tensor. Go through "
    "them one by one, and sum over the proposals, sum(-1), before you add.",
    ("equal size", "Sizes of tensors must match", "must match the size of tensor"),
)
_SECOND_AXIS = (
    "a factor for each node needs a second axis to multiply vectors: choice[:, None].",
    ("must match the size of tensor",),
)


def _told_what_to_do(
    function: Any, given: Mapping[str, Any], advice: tuple[str, tuple[str, ...]]
) -> Any:
    try:
        return call(function, **given)
    except Wrong as wrong:
        sentence, signs = advice
        if any(sign in str(wrong) for sign in signs):
            raise Wrong(f"{sentence} {wrong}") from None
        raise


@check("K times the mean squared distance, with the error of a mean.")
def check_first_term(function: Any) -> None:
    """Check exercise 4 of notebook 06: K times the first term of (13), with its standard error.

    Args:
        function: maps estimates at K and those at K = ∞ for the same trees, `[n, d]` each, and K to
            two numbers: K times the mean of ‖row − exact‖², and the standard error of that mean.

    Returns:
        A `Verdict`.

    Example:
        >>> def first_term(rows, exact, k):
        ...     squares = k * (rows - exact).square().sum(-1)
        ...     return squares.mean(), squares.std() / len(squares) ** 0.5
        >>> check_first_term(first_term)
        Right: K times the mean squared distance, with the error of a mean.
    """
    # Five rows: with four, √n would be 2.
    found = [[1.0, 2.0], [0.0, -1.0], [3.0, 0.5], [0.5, 0.5], [0.1, 1.0]]
    averaged = [[0.5, 1.0], [0.2, 0.0], [1.0, 1.5], [0.0, 0.7], [0.4, 0.6]]
    rows, exact = (torch.tensor(x, dtype=torch.float64) for x in (found, averaged))
    for k in (10, 3):
        given: dict[str, Any] = {"rows": rows, "exact": exact, "k": k}
        value, error = pair(call(function, **given), "the mean and its standard error")
        apart = rows - exact
        squares, n = k * apart.square().sum(-1), len(rows)
        own = k * (rows - rows.mean(0)).square().sum(-1)
        expect_of(
            "the first number",
            value,
            squares.mean(),
            given,
            {
                "K is missing.": squares.mean() / k,
                "you divide by K. The first term is about 1/K, so multiply it by K.": (
                    squares.mean() / k**2
                ),
                "the distances are not squared.": k * apart.norm(dim=-1).mean(),
                "you average over the entries of a row, too. A squared distance is their sum.": (
                    k * apart.square().mean()
                ),
                "this is the sum over the rows. Take their mean.": squares.sum(),
                "this is the variance about the mean of the rows. Take the distance of each row "
                "from the exact one for the same trees.": own.mean(),
                "this is the variance of the rows. Take the distance of each row from the exact "
                "one for the same trees.": own.sum() / (n - 1),
                "the exact rows are not used: these are the squared lengths.": (
                    k * rows.square().sum(-1).mean()
                ),
                "each row has its own exact one: do not average over the exact ones first.": (
                    k * (rows - exact.mean(0)).square().sum(-1).mean()
                ),
                "you take the distance of the means. Square the distance of each row, then take "
                "the mean.": k * apart.mean(0).square().sum(),
                "you subtract the mean of the differences. Their squared lengths are wanted.": (
                    k * (apart - apart.mean(0)).square().sum(-1).mean()
                ),
                "this is the variance of the differences. Their mean squared length is wanted.": (
                    k * apart.var(0).sum()
                ),
                "K multiplies the squared distance, it is not squared with it.": k * squares.mean(),
                "you add up the rows. Add up the entries of each row: sum(-1).": (
                    k * apart.square().sum(0).mean()
                ),
                "you add up the entries first and square their sum. Square first, then add.": (
                    k * apart.sum(-1).square().mean()
                ),
                "the differences are not squared.": k * apart.sum(-1).mean(),
                "you take absolute values. A squared length is the sum of the squares.": (
                    k * apart.abs().sum(-1).mean()
                ),
                "this is a difference of two variances. Take the distance of each row from the "
                "exact one for the same trees.": k * (rows.var(0) - exact.var(0)).sum(),
                "this is a difference of squared lengths. Square the length of the difference.": (
                    k * (rows.square() - exact.square()).sum(-1).mean()
                ),
                "you have exchanged the two: the mean comes first.": squares.std() / math.sqrt(n),
            },
        )
        wanted = squares.std() / math.sqrt(n)
        expect_of(
            "the first number is right, the second",
            error,
            wanted,
            given,
            {
                "this is the standard deviation of one row. That of the mean of n is smaller by "
                "√n.": squares.std(),
                "divide by √n, not by n.": squares.std() / n,
                "this is the variance of the mean. Take its square root.": squares.var() / n,
                "K is missing here.": wanted / k,
                "the variance is divided by n, not by n − 1: leave out `unbiased=False`.": (
                    squares.std(unbiased=False) / math.sqrt(n)
                ),
                "this is the variance of the rows. Take √(variance / n).": squares.var(),
                "this is two standard errors.": 2 * wanted,
                "this is the first number again.": squares.mean(),
                "√n is for the n squared distances, not for their entries too.": (
                    squares.std() / math.sqrt(rows.numel())
                ),
                "n is the number of the rows, not of the entries of one.": (
                    squares.std() / math.sqrt(rows.shape[1])
                ),
                "divide by √n: `std` has the n − 1 in it already.": squares.std()
                / math.sqrt(n - 1),
                "K multiplies each number, and so their standard deviation: K, not √K.": (
                    wanted / math.sqrt(k)
                ),
                "K multiplies each number, and so their standard deviation: K, not K².": k * wanted,
                "this is their mean over √n. Take their standard deviation.": (
                    squares.mean() / math.sqrt(n)
                ),
            },
        )


@check("the mean difference of pairs, and t standard errors up and down.")
def check_paired_interval(function: Any) -> None:
    """Check exercise 5 of notebook 06: the interval of a paired difference.

    Args:
        function: maps two tensors of n accuracies, of the same seeds, and t to the two ends of the
            interval for the mean of `one − other`.

    Returns:
        A `Verdict`.

    Example:
        >>> def interval(one, other, t):
        ...     apart = one - other
        ...     reach = t * apart.std() / len(apart) ** 0.5
        ...     return apart.mean() - reach, apart.mean() + reach
        >>> check_paired_interval(interval)
        Right: the mean difference of pairs, and t standard errors up and down.
    """
    for one, other, t in (
        ([66.0, 67.5, 66.5], [65.0, 66.1, 66.0], 4.30),
        ([50.0, 55.0, 52.0, 49.0], [51.0, 53.0, 50.0, 50.5], 3.18),
    ):
        a, b = (torch.tensor(x, dtype=torch.float64) for x in (one, other))
        given: dict[str, Any] = {"one": a, "other": b, "t": t}
        low, high = pair(call(function, **given), "the lower and the upper end")
        apart, n = a - b, len(a)
        mean, error = apart.mean(), apart.std() / math.sqrt(n)
        if low > high:
            raise Wrong(f"the lower end comes first: you return {low:.4g} and {high:.4g}.")
        apart_alone = (a.var() / n + b.var() / n).sqrt()
        got = torch.tensor([low, high], dtype=torch.float64)

        def around(middle: Tensor, reach: Tensor | float) -> Tensor:
            return torch.stack([middle - reach, middle + reach])

        expect(
            got,
            around(mean, t * error),
            given,
            {
                "this is for `other − one`.": around(-mean, t * error),
                "these are the errors of two groups that have nothing in common. The pairs share a "
                "seed: take the differences first, then their standard deviation.": (
                    around(mean, t * apart_alone)
                ),
                "these are the errors of two groups, and without t.": around(mean, apart_alone),
                "divide the standard deviation by √n.": around(mean, t * apart.std()),
                "divide the standard deviation by √n, not by n.": around(mean, t * apart.std() / n),
                "divide the standard deviation by √n, not by √(n − 1), for n pairs.": (
                    around(mean, t * apart.std() / math.sqrt(n - 1))
                ),
                "t is missing.": around(mean, error),
                "you take 1.96 in place of t. With so few pairs t is larger.": (
                    around(mean, 1.96 * error)
                ),
                "you take 2 in place of t. With so few pairs t is larger.": around(mean, 2 * error),
                "the variance is divided by n, not by n − 1: leave out `unbiased=False`.": (
                    around(mean, t * apart.std(unbiased=False) / math.sqrt(n))
                ),
                "you take the variance. Take its square root, the standard deviation.": (
                    around(mean, t * apart.var() / math.sqrt(n))
                ),
                "this is one standard deviation down and up. Take t of them, over √n.": (
                    around(mean, apart.std())
                ),
                "t is for three pairs here. It is an argument, since it depends on n.": (
                    around(mean, 4.30 * error)
                ),
                "the signs of the differences are lost. Take no absolute values.": (
                    around(apart.abs().mean(), t * apart.abs().std() / math.sqrt(n))
                ),
                "the variance of a mean is variance / n. Take its square root.": (
                    around(mean, t * apart.var() / n)
                ),
                **{
                    f"this is the spread {of}. Take the standard deviation of the differences.": (
                        around(mean, t * spread / math.sqrt(n))
                    )
                    for of, spread in {
                        "of `one`": a.std(),
                        "of `other`": b.std(),
                        "of both, added": a.std() + b.std(),
                        "of both, subtracted": (a.std() - b.std()).abs(),
                        "of all accuracies together": torch.cat([a, b]).std(),
                    }.items()
                },
                "you return the mean and the width. The ends are mean − reach and mean + reach.": (
                    torch.stack([mean, 2 * t * error])
                ),
                "you return the mean and the reach. The ends are mean − reach and mean + reach.": (
                    torch.stack([mean, t * error])
                ),
                "the ends are at half of the distance: mean ± t standard errors.": (
                    around(mean, t * error / 2)
                ),
                "these are the smallest and the largest difference.": (
                    torch.stack([apart.amin(), apart.amax()])
                ),
                "this is the interval of `one` alone.": (
                    around(a.mean(), t * a.std() / math.sqrt(n))
                ),
            },
        )


_NAMES = ("ST-GS", "GR, K = 10", "GR, K = ∞")
_SENTENCES = {
    "A": "clipping helps ST-GS alone, and GR stays ahead",
    "B": "with clipping for all, the estimators end close together, and ST-GS does not fall",
    "C": "clipping makes GR worse than ST-GS",
}


@check("the large gap was one of stability. One seed does not say who of the three is best.")
def check_clip_all(answer: Any) -> None:
    """Check exercise 3 of notebook 06: all three estimators with clipping, and what it shows.

    Args:
        answer: a dictionary with a `Training` for each of the names of the race, ``"ST-GS"``,
            ``"GR, K = 10"`` and ``"GR, K = ∞"``, each clipped and with the entry "accuracy" in its
            history; and under "conclusion" the letter of the sentence that they support.

    Returns:
        A `Verdict`.

    Example:
        >>> check_clip_all({"conclusion": "A"})
        Not yet: there is no training for 'ST-GS'.
    """
    if answer is None or answer is ...:
        raise Wrong("no answer so far. Train the copies, and name the sentence.")
    if not isinstance(answer, Mapping):
        raise Wrong(f"expected a dictionary, got {type(answer).__name__}.")
    for name in _NAMES:
        _see_that_it_is_clipped(name, answer.get(name))
    step = min(answer[name].step for name in _NAMES)
    if step < 300:
        raise Wrong(
            f"the trainings have made {step} steps. Without clipping ST-GS fell later: train all "
            f"of them to step 300 at least, with live.run(until=300, callback=validate)."
        )
    last = {name: _accuracy(name, answer[name], step) for name in _NAMES}
    letter = answer.get("conclusion")
    if letter is None or letter is ...:
        raise Wrong(f"no conclusion so far. Write one of the letters {', '.join(_SENTENCES)}.")
    if not (isinstance(letter, str) and letter.strip().upper() in _SENTENCES):
        raise Wrong(f"expected one of the letters {', '.join(_SENTENCES)}, got {numbers(letter)}.")
    spread = max(last.values()) - min(last.values())
    right = "B" if spread < 5 else "A" if last["ST-GS"] == min(last.values()) else "C"
    if letter.strip().upper() != right:
        told = ", ".join(f"{name} {value:.1f} %" for name, value in last.items())
        raise Wrong(
            f"you say that {_SENTENCES[letter.strip().upper()]}. At step {step:,} the "
            f"accuracies with clipping are {told}: they differ by {spread:.1f} points. Is that "
            f"what the sentence says?"
        )


def _see_that_it_is_clipped(name: str, training: Any) -> None:
    """Raise `Wrong` if a training is another one than the exercise asks for."""
    if training is None:
        raise Wrong(f"there is no training for {name!r}.")
    if not isinstance(training, Training):
        raise Wrong(f"{name!r}: expected what `prepare` returns, got {type(training).__name__}.")
    clip = training.settings["clip"]
    if clip is None:
        raise Wrong(f"{name!r} is not clipped: prepare(…, clip=1.0).")
    if clip != 1.0:
        raise Wrong(f"{name!r} is clipped at {clip:g}; in the race it was 1.")
    options = _options(getattr(training.model, "estimator", None))
    tau, k = options.get("tau", 0.01), options.get("k", 1)
    if tau != 0.01:
        raise Wrong(f"{name!r} has the temperature {tau:g}; in the race it was 0.01.")
    if k != {"ST-GS": 1, "GR, K = 10": 10, "GR, K = ∞": math.inf}[name]:
        raise Wrong(f"{name!r} has K = {label(k)}.")


def _accuracy(name: str, training: Training, step: int) -> float:
    found = [
        row["accuracy"] for row in training.history if row["step"] == step and "accuracy" in row
    ]
    if not found:
        raise Wrong(
            f"{name!r} has noted no accuracy at step {step:,}. Train it with the callback: "
            f"live.run(until=300, callback=validate)."
        )
    return number(found[0])


def _options(estimator: Any) -> dict[str, Any]:
    """The keywords of partial functions inside of each other."""
    found: dict[str, Any] = {}
    while isinstance(estimator, functools.partial):
        found = {**estimator.keywords, **found}
        estimator = estimator.func
    return found


def _tensors(mistakes: Mapping[str, Any]) -> dict[str, Tensor]:
    return {sentence: torch.as_tensor(value) for sentence, value in mistakes.items()}
