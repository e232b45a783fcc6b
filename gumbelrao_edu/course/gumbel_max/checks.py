"""Checks for the exercises of notebook 01."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..verdict import Wrong, call, check, expect, number, numbers, plain, try_out

_EULER = np.euler_gamma  # the mean of a standard Gumbel
_LOG_OF_EXP = math.log(math.exp(2) + math.exp(3) + math.exp(5))


def _gumbels(rows: int, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return -torch.rand(rows, n, dtype=torch.float64, generator=generator).log().neg().log()


@check("uniform numbers become Gumbels.")
def check_gumbel_from_uniform(function: Any) -> None:
    """Check exercise 1 of notebook 01: the inverse of F(x) = exp(−exp(−x)).

    Args:
        function: maps u in (0, 1), of any shape, to F⁻¹(u).

    Returns:
        A `Verdict`.

    Example:
        >>> check_gumbel_from_uniform(lambda u: -(-u.log()).log())
        Right: uniform numbers become Gumbels.
    """
    for values in ([0.1, 0.5, 0.9], [[0.01, 0.2], [0.7, 0.999]], [1e-6, 1 - 1e-6]):
        u = torch.tensor(values, dtype=torch.float64)
        e = -u.log()
        mistakes = {
            "the minus in front of the outer logarithm is missing.": e.log(),
            "this is E = −log u, an exponential. A Gumbel is −log E: one more logarithm.": e,
            "this is log u. There are two logarithms, each with a minus before it.": -e,
            "this is F(u). You need its inverse: solve u = F(x) for x.": (-(-u).exp()).exp(),
            "a Gumbel, too, but of 1 − u: F⁻¹(u) has no 1 − u in it.": -(-(1 - u).log()).log(),
            "this is −log(1 − u), an exponential. Two logarithms are needed, and u itself.": (
                -(1 - u).log()
            ),
            "the logarithms are natural ones: torch.log.": -(-u.log10()).log10(),
            "the logarithms are natural: torch.log, not log2.": -(-u.log2()).log2(),
            "one of the logarithms has the base 10; both are natural: torch.log.": -e.log10(),
            "log(log u) is not a number: log u is negative, and needs a minus.": u.log().log(),
            "the inner logarithm comes first and the outer one is taken of it; you multiply "
            "the two.": e * e,
            "this is exp(−exp u). To undo two exponentials take two logarithms.": (
                (-u.exp()).exp()
            ),
            "this is the density at u. You need the inverse of F.": (-u - (-u).exp()).exp(),
            "the inverse of a function is not one divided by it: solve u = F(x) for x.": (
                (-u).exp().exp()
            ),
            "this is 1/E. Leave out the last exponential.": 1 / e,
            "the minus of the outer logarithm has become 1 / …": 1 / e.log(),
        }
        got = call(function, u=u)
        if isinstance(got, Tensor) and plain(got).isnan().all():
            raise Wrong("all is NaN. log u is negative: put a minus before it, then log again.")
        try_out(function, -e.log(), {"u": u}, mistakes, _back)


def _back(x: Tensor) -> str:
    return (
        f"put what you return into F(x) = exp(−exp(−x)): it gives {numbers((-(-x).exp()).exp())}, "
        f"and should give u."
    )


@check("the place of the largest θ + G is the choice.")
def check_one_hot_sample(function: Any) -> None:
    """Check exercise 2 of notebook 01: the Gumbel-max trick.

    Args:
        function: maps logits `[n]` and Gumbels `[m, n]` to one-hot rows `[m, n]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def sample(logits, gumbels):
        ...     return torch.nn.functional.one_hot((logits + gumbels).argmax(-1), len(logits))
        >>> check_one_hot_sample(sample)
        Right: the place of the largest θ + G is the choice.
    """
    # Fewer draws than classes: the argmax over the wrong axis has a one-hot, too.
    # The last has so many draws that no other rule makes the same choices.
    for theta, m in (
        ([1.2, -0.5, 0.8, -1.5, 0.1, 1.6], 5),
        ([-2.5, -1.6, -2.1], 2),
        ([0.5, 1.0, -1.0, 0.0], 100),
    ):
        logits, n = torch.tensor(theta, dtype=torch.float64), len(theta)
        p = logits.softmax(-1)
        gumbels = _gumbels(m, n)  # with these every known mistake draws other classes
        sums = logits + gumbels
        index, columns = sums.argmax(-1), sums.argmax(0)
        right = one_hot(index, n).double()
        mistakes = {
            "these are the numbers of the classes. Make a one-hot row of each: F.one_hot.": index,
            "this is the largest value. Its place is wanted: argmax.": (logits + gumbels).amax(-1),
            "you take the largest logit. Without the noise it is always the same class.": one_hot(
                logits.argmax(-1), n
            ).expand(m, n),
            "you take the largest Gumbel: add the logits before.": one_hot(gumbels.argmax(-1), n),
            "you add the noise to the probabilities. It belongs to the logits.": one_hot(
                (p + gumbels).argmax(-1), n
            ),
            "you take the smallest: argmin in place of argmax, or a sign is wrong.": one_hot(
                (logits + gumbels).argmin(-1), n
            ),
            "the argmax runs over the draws. It belongs over the classes: argmax(-1).": one_hot(
                columns, max(m, n)
            ),
            "this is θ + G. The place of the largest number of each row is wanted, as a one-hot "
            "row.": sums,
            "a one belongs in each place, and not θ + G itself.": right * sums,
            "you multiply θ by the noise. Add it.": one_hot((logits * gumbels).argmax(-1), n),
            "you multiply the probabilities by the noise. Add it to the logits.": one_hot(
                (p * gumbels).argmax(-1), n
            ),
            "you use the first row of the noise for all draws. Each has its own.": one_hot(
                (logits + gumbels[0]).argmax(-1), n
            ).expand(m, n),
            "one_hot counts the classes up to the largest that was drawn. Give it their number, "
            "len(logits).": one_hot(index),
            "you add the rows up. Each is a draw of its own.": right.sum(0),
            "you average over the rows. Each is a draw of its own.": right.mean(0),
            "you add the noise to exp θ. It belongs to the logits.": one_hot(
                (logits.exp() + gumbels).argmax(-1), n
            ),
            "you look for the largest absolute value. The sign counts.": one_hot(
                sums.abs().argmax(-1), n
            ),
            "this is the second largest. Take the largest.": one_hot(sums.argsort(-1)[:, -2], n),
            "this is the largest of the whole table. Each row has one: argmax(-1).": (
                sums == sums.max()
            ),
            "these are the largest of each column. Each row is a draw: argmax(-1).": (
                sums == sums.amax(0)
            ),
            "these are the places in order of size. Only the largest is wanted.": sums.argsort(-1),
            "the noise is subtracted. Add it.": one_hot((logits - gumbels).argmax(-1), n),
            "each place is one too far: the classes count from 0.": one_hot((index + 1) % n, n),
            "each place is one too low: the classes count from 0.": one_hot((index - 1) % n, n),
            "this is a softmax of θ + G. The trick takes the argmax.": (logits + gumbels).softmax(
                -1
            ),
        }
        given = {"logits": logits, "gumbels": gumbels}
        try_out(function, right, given, mistakes, functools.partial(_first_row, sums))


def _first_row(sums: Tensor, got: Tensor) -> str:
    index = sums.argmax(-1)
    row = int((got != one_hot(index, sums.shape[-1])).any(-1).nonzero()[0])
    return (
        f"row {row} is the first with another class: there θ + G is {numbers(sums[row])}, and the "
        f"largest stands at the place {index[row]}, counted from 0."
    )


@check("log Z + 0.577: a Gumbel located at log Z has its mean a little above.")
def check_mean_of_max(answer: Any) -> None:
    """Check exercise 3 of notebook 01: the mean of max(θ + G) for exp(θ) = (2, 3, 5).

    Args:
        answer: the learner's number; two digits after the point are enough.

    Returns:
        A `Verdict`.

    Example:
        >>> check_mean_of_max(2.3)
        Not yet: 2.3 is log Z, where the Gumbel is located; its mean is 0.577 above.
    """
    value = number(answer)
    log_z = math.log(10)
    if math.isclose(value, log_z + _EULER, abs_tol=0.0051):  # 2.88, and 2.30 + 0.577
        return
    mistakes = {
        log_z: "log Z, where the Gumbel is located; its mean is 0.577 above.",
        _EULER: "the mean of a Gumbel located at 0. This one is located at log Z.",
        10.0: "Z. Take its logarithm, and add the mean of a standard Gumbel.",
        10.0 + _EULER: "Z + 0.577. The location is log Z.",
        math.log(5): "the largest logit. Noise on three numbers makes the maximum larger.",
        math.log(5) + _EULER: "the mean of the third entry alone; the maximum is larger.",
        math.log(30): "the sum of the logits. Z is the sum of their exponentials.",
        math.log(30) + _EULER: "the sum of the logits + 0.577. Z = Σ exp θ.",
        log_z - _EULER: "log Z − 0.577: the mean of a Gumbel lies above its location.",
        3 * _EULER: "the sum of three means. The mean of the largest is above each of them.",
        log_z * _EULER: "log Z · 0.577. The 0.577 is added.",
        log_z + math.pi / math.sqrt(6): "log Z + 1.28, the standard deviation. The mean of a "
        "Gumbel is 0.577.",
        math.log(2) + _EULER: "the mean of the first entry alone; the maximum is larger.",
        math.log(3) + _EULER: "the mean of the second entry alone; the maximum is larger.",
        math.log(30) / 3 + _EULER: "the average of the three means; the maximum is larger.",
        math.log(10 / 3) + _EULER: "log of the mean + 0.577. Z is the sum, not the mean.",
        math.log(10 / 3): "log of the mean. Z is the sum, and the mean of a Gumbel is 0.577 more.",
        _LOG_OF_EXP + _EULER: "taken from θ = (2, 3, 5). These numbers are exp θ already.",
        _LOG_OF_EXP: "taken from θ = (2, 3, 5). These numbers are exp θ already.",
        5.0: "the largest exp θ. Take logarithms: the maximum is located at log Z.",
        5.0 + _EULER: "taken from θ₃ = 5. The numbers are exp θ, and the maximum is at log Z.",
        math.log10(10) + _EULER: "log10 Z + 0.577. The logarithm is the natural one.",
        math.log10(10): "log10 Z. Take the natural logarithm, and add the mean of a Gumbel.",
        math.log2(10) + _EULER: "log2 Z + 0.577. The logarithm is the natural one.",
        math.log2(10): "log2 Z. Take the natural logarithm, and add the mean of a Gumbel.",
        sum(x * math.log(x) for x in (2, 3, 5)) / 10 + _EULER: "the three means, weighted by p. "
        "The largest of the three is above it.",
        math.log(30) + 3 * _EULER: "the sum of the three means. The largest is one of them.",
        -log_z - _EULER: "the mean with a minus.",
    }
    for mistake, sentence in mistakes.items():
        if math.isclose(value, mistake, abs_tol=0.01):
            raise Wrong(f"{value:.4g} is {sentence}")
    if math.isclose(value, log_z + _EULER, abs_tol=0.1):
        raise Wrong(
            f"{value:.4g} is close, but it is not the mean to two digits after the point: use "
            f"log 10 = 2.3026 and 0.5772, and round at the end."
        )
    raise Wrong(
        f"{value:.4g} is not the mean. First find Z = Σ exp θ, then the location of the maximum, "
        f"then its mean."
    )


@check("a softmax of the same noise, at every temperature.")
def check_relaxed_sample(function: Any) -> None:
    """Check exercise 4 of notebook 01: S_τ = softmax_τ(θ + G), without overflow.

    Args:
        function: maps logits `[n]`, Gumbels `[m, n]` and τ to S_τ `[m, n]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def relaxed(logits, gumbels, tau):
        ...     return ((logits + gumbels) / tau).softmax(-1)
        >>> check_relaxed_sample(relaxed)
        Right: a softmax of the same noise, at every temperature.
    """
    logits = torch.tensor([0.3, -0.4, 0.0], dtype=torch.float64)
    gumbels = _gumbels(2, 3)
    for tau in (2.0, 0.5):
        x = (logits + gumbels) / tau
        mistakes = {
            "only the logits are divided by τ. The noise is, too.": (
                logits / tau + gumbels
            ).softmax(-1),
            "only the noise is divided by τ. The logits are, too.": (
                logits + gumbels / tau
            ).softmax(-1),
            "θ + G is multiplied by τ. Divide by it.": (x * tau * tau).softmax(-1),
            "τ has no effect here. Divide θ + G by it.": (logits + gumbels).softmax(-1),
            "there is no noise in it.": (logits / tau).softmax(-1).expand_as(x),
            "the softmax runs over the draws. It belongs over the classes: softmax(-1).": (
                x.softmax(0)
            ),
            "the exponentials are not divided by their sum.": x.exp(),
            "the exponentials are divided by the sum over all rows, not over each.": (
                x.exp() / x.exp().sum()
            ),
            "this is its logarithm.": x.log_softmax(-1),
            "the largest is subtracted, but the exponentials are not divided by their sum.": (
                (x - x.amax(-1, keepdim=True)).exp()
            ),
            "the exponentials are missing: you divide θ + G by its sum.": x / x.sum(-1, True),
            "you take the softmax twice.": x.softmax(-1).softmax(-1),
            "you use the first row of the noise for all draws. Each has its own.": (
                x[:1].softmax(-1).expand_as(x)
            ),
            "the softmax is divided by τ. Divide inside of it.": (x * tau).softmax(-1) / tau,
            "θ + G is divided by τ twice. Once is right.": (x / tau).softmax(-1),
            "θ + G is divided by the root of τ. Divide by τ.": (x * math.sqrt(tau)).softmax(-1),
            "the noise is subtracted. Add it.": ((logits - gumbels) / tau).softmax(-1),
            "the sign of θ + G is wrong: the largest sum should get the largest entry.": (
                (-x).softmax(-1)
            ),
            "the logits are missing: softmax of (θ + G) / τ.": (gumbels / tau).softmax(-1),
            "the noise is added to the probabilities. Add it to the logits.": (
                (logits.softmax(-1) + gumbels) / tau
            ).softmax(-1),
            "the noise is added to exp θ. Add it to the logits.": (
                (logits.exp() + gumbels) / tau
            ).softmax(-1),
            "you take exp of the noise. Add the noise itself.": (
                (logits + gumbels.exp()) / tau
            ).softmax(-1),
            "this is the one-hot D. S_τ is the softmax in its place.": one_hot(x.argmax(-1), 3),
            "the softmax to the power 1/τ has to be divided by its sum once more.": (
                (x * tau).softmax(-1) ** (1 / tau)
            ),
            "this is a sigmoid of each entry. The softmax divides by the sum of the row.": (
                x.sigmoid()
            ),
        }
        given: dict[str, Any] = {"logits": logits, "gumbels": gumbels, "tau": tau}
        try_out(function, x.softmax(-1), given, mistakes, _hottest)
    for theta in ([30.0, 0.0], [30.0, 29.0]):
        _survives(function, torch.tensor(theta, dtype=torch.float32))


def _hottest(s: Tensor) -> str:
    return (
        f"the largest entry of each row is {numbers(s.amax(-1))}. Divide θ + G by τ first, then "
        f"take exponentials, then divide by the sum of the row."
    )


_CUT = "Cut nothing off, and replace nothing: neither τ, nor a number, nor a NaN."


def _survives(function: Any, logits: Tensor) -> None:
    """exp(x / τ) overflows; with the largest of all rows subtracted, a whole row underflows."""
    gumbels = torch.tensor([[0.5, 1.4], [2.9, 0.1]], dtype=torch.float32)
    for tau in (0.1, 0.01):
        given: dict[str, Any] = {"logits": logits, "gumbels": gumbels, "tau": tau}
        right = ((logits + gumbels).double() / tau).softmax(-1)
        got = call(function, **given)
        if isinstance(got, Tensor) and not plain(got).isfinite().all():
            raise Wrong(
                f"at τ = {tau} it is not a number: exp({30.5 / tau:.0f}) is too large for float32, "
                f"or all of a row are too small. torch.softmax subtracts the largest entry of each "
                f"row first; use it in place of exp and sum."
            )
        mistakes = {
            "all is 0: a NaN was replaced. Subtract the largest entry before the exponentials "
            "instead.": torch.zeros_like(right),
            "large numbers are cut off, and those beyond the limit count as equal. Subtract the "
            "largest entry before the exponentials instead.": (
                ((logits + gumbels) / tau).clamp(max=80).softmax(-1)
            ),
        }
        expect(got, right, given, mistakes, "at a larger τ it was right. " + _CUT)
