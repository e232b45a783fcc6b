"""Checks for the exercises of notebook 01."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..verdict import Wrong, call, check, expect, number, plain

_EULER = 0.5772156649015329  # the mean of a standard Gumbel


def _gumbels(rows: int, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
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
    for u in (torch.tensor([0.1, 0.5, 0.9]), torch.tensor([[0.01, 0.2], [0.7, 0.999]])):
        u = u.double()
        e = -u.log()
        mistakes = {
            "the minus in front of the outer logarithm is missing.": e.log(),
            "this is E = −log u, an exponential. A Gumbel is −log E: one more logarithm.": e,
            "this is log u. There are two logarithms, each with a minus before it.": -e,
            "this is F(u). You need its inverse: solve u = F(x) for x.": (-(-u).exp()).exp(),
            "a Gumbel, too, but of 1 − u: F⁻¹(u) has no 1 − u in it.": -(-(1 - u).log()).log(),
            "the logarithms are natural ones: torch.log.": -(-u.log10()).log10(),
            "the logarithms are natural: torch.log, not log2.": -(-u.log2()).log2(),
            "log(log u) is not a number: log u is negative, and needs a minus.": u.log().log(),
        }
        got = call(function, u=u)
        if isinstance(got, Tensor) and plain(got).isnan().all():
            raise Wrong("all is NaN. log u is negative: put a minus before it, then log again.")
        expect(got, -e.log(), {"u": u}, mistakes)


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
    for weights, m in (([0.3, 0.05, 0.05, 0.45, 0.15], 3), ([0.2, 0.5, 0.3], 2)):
        p = torch.tensor(weights, dtype=torch.float64)
        logits, n = p.log(), len(p)
        gumbels = _gumbels(m, n)
        index = (logits + gumbels).argmax(-1)
        columns = (logits + gumbels).argmax(0)
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
            "the noise is subtracted. Add it.": one_hot((logits - gumbels).argmax(-1), n),
            "each place is one too far: the classes count from 0.": one_hot((index + 1) % n, n),
            "each place is one too low: the classes count from 0.": one_hot((index - 1) % n, n),
            "this is a softmax of θ + G. The trick takes the argmax.": (logits + gumbels).softmax(
                -1
            ),
        }
        given = {"logits": logits, "gumbels": gumbels}
        expect(call(function, **given), one_hot(index, n).double(), given, mistakes)


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
    if math.isclose(value, log_z + _EULER, abs_tol=0.0051):  # 2.87 and 2.88 both round well
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
        math.log10(10) + _EULER: "log10 Z + 0.577. The logarithm is the natural one.",
    }
    for mistake, sentence in mistakes.items():
        if math.isclose(value, mistake, abs_tol=0.01):
            raise Wrong(f"{value:.4g} is {sentence}")
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
    for tau in (0.5, 2.0):
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
            "the softmax is divided by τ. Divide inside of it.": (x * tau).softmax(-1) / tau,
        }
        given: dict[str, Any] = {"logits": logits, "gumbels": gumbels, "tau": tau}
        expect(call(function, **given), x.softmax(-1), given, mistakes)
    for theta in ([30.0, 0.0], [30.0, 29.0]):
        _survives(function, torch.tensor(theta, dtype=torch.float32))


def _survives(function: Any, logits: Tensor) -> None:
    """exp(x / τ) overflows in single precision."""
    large = {"logits": logits, "gumbels": torch.tensor([[0.5, 1.4]], dtype=torch.float32)}
    right = ((large["logits"] + large["gumbels"]).double() / 0.1).softmax(-1)
    got = call(function, **large, tau=0.1)
    if isinstance(got, Tensor) and not plain(got).isfinite().all():
        raise Wrong(
            "at a small τ it is not a number: exp(305) is too large for float32. "
            "torch.softmax subtracts the largest entry first; use it in place of exp and sum."
        )
    mistakes = {
        "large numbers are cut off, and those beyond the limit count as equal. Subtract the "
        "largest entry before the exponentials instead.": torch.tensor([[0.5, 0.5]]),
    }
    expect(got, right, {**large, "tau": 0.1}, mistakes)
