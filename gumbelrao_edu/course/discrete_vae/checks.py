"""Checks for the exercises of notebook 07."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..verdict import Wrong, call, check, expect, expect_of, number, numbers, pair


@check("what the code says, in nats: 0 for a uniform one, V log n for one that is certain.")
def check_kl_to_uniform(function: Any) -> None:
    """Check exercise 1 of notebook 07: KL(q ‖ uniform) of V independent variables.

    Args:
        function: maps logits `[V, n]` to one number, Σ_v Σ_i q_vi (log q_vi + log n).

    Returns:
        A `Verdict`.

    Example:
        >>> def kl(logits):
        ...     log_q = logits.log_softmax(-1)
        ...     return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum()
        >>> check_kl_to_uniform(kl)
        Right: what the code says, in nats: 0 for a uniform one, V log n for one that is certain.
    """
    uneven = [[1.0, 0.0, -1.0, 0.5], [0.0, 3.0, 0.0, 0.2], [0.4, 0.1, 0.0, -0.3]]
    certain = [[0.0, 300.0, 0.0], [250.0, 0.0, 0.0]]
    for entries in (uneven, certain):
        logits = torch.tensor(entries)
        log_q = logits.log_softmax(-1)
        q, (v, n) = log_q.exp(), logits.shape
        each = (q * log_q).sum(-1) + math.log(n)
        log_columns = logits.log_softmax(0)
        log_all = logits - logits.logsumexp((0, 1))
        entropy = -(q * log_q).sum()
        mistakes = {
            "the sign is the other way round: KL is never negative.": -each.sum(),
            "this is the entropy of q. KL is V log n minus it.": entropy,
            "log n is missing: this is minus the entropy.": -entropy,
            "log n counts once for each of the V variables.": math.log(n) - entropy,
            "it is log n, the number of classes, not log V.": v * math.log(v) - entropy,
            "this is the mean over the variables. Their KLs are added.": each.mean(),
            "these are the V variables one by one. Add them up.": each,
            "this is the KL the other way round, from uniform to q. The mean is under q.": (
                (-math.log(n) - log_q).sum() / n
            ),
            "these are bits. Take the natural logarithm.": each.sum() / math.log(2),
            "the softmax runs over the variables. It runs over the n classes: dim=-1.": (
                (log_columns.exp() * (log_columns + math.log(n))).sum()
            ),
            "the factor q is missing: the mean of log q + log n is under q.": (
                log_q + math.log(n)
            ).sum(),
            "n times too much: log n is added to each class, and multiplied by no q.": (
                n * v * math.log(n) - entropy
            ),
            "1/n is subtracted. Its logarithm belongs there.": (q * (log_q - 1 / n)).sum(),
            "n is added. Its logarithm belongs there.": (q * (log_q + n)).sum(),
            "log n is subtracted. − log (1/n) is + log n.": -entropy - v * math.log(n),
            "the logits are not log q. Take log_softmax.": (q * (logits + math.log(n))).sum(),
            "the softmax runs over all logits at once. It runs over the n classes: dim=-1.": (
                (log_all.exp() * (log_all + math.log(n))).sum()
            ),
            "n is the number of classes, logits.shape[-1]; it is not always 8.": (
                v * math.log(8) - entropy
            ),
            "n is the number of classes, logits.shape[-1], not of all logits.": (
                v * math.log(v * n) - entropy
            ),
            "log n is in bits, log q in nats. Take the natural logarithm.": (
                v * math.log2(n) - entropy
            ),
            "this is the mean over all entries. They are added up.": each.mean() / n,
            "you add up the variables. Add up the classes, too.": (q * (log_q + math.log(n))).sum(
                0
            ),
        }
        given = {"logits": logits}
        got = call(function, **given)
        if isinstance(got, Tensor) and got.dim() < 2 and bool(got.isnan().any()):
            raise Wrong(
                f"the result is NaN: a probability is so small that it is rounded to 0, and "
                f"0 · log 0 is not a number. Take `log_softmax`.\n"
                f"For\n    logits = {numbers(logits)}"
            )
        expect(got, each.sum(), given, mistakes)


_ROUNDED = (
    "exp of a number like {:.0f} is rounded to 0, and then there is nothing to take the logarithm "
    "of. Stay with logarithms: torch.logsumexp."
)


@check("a sum of weights, all of which are too small for a computer to hold.")
def check_importance_weighted_bound(function: Any) -> None:
    """Check exercise 4 of notebook 07: log (1/M) Σ_j p(x, D_j) / q(D_j|x), by log-sum-exp.

    Args:
        function: maps log p(x, D_j) and log q(D_j|x), `[M]` each, to one number.

    Returns:
        A `Verdict`.

    Example:
        >>> def bound(log_joint, log_q):
        ...     return (log_joint - log_q).logsumexp(0) - math.log(len(log_q))
        >>> check_importance_weighted_bound(bound)
        Right: a sum of weights, all of which are too small for a computer to hold.
    """
    cases = (
        ([-2.0, -1.5, -3.0], [-1.0, -0.7, -1.2]),
        ([-312.0, -305.5, -318.0, -307.0], [-121.0, -118.0, -125.0, -116.5]),
        ([-3120.0, -3055.5, -3056.0], [-1210.0, -1180.0, -1180.5]),  # double precision is no help
    )
    for joint, draws in cases:
        log_joint, log_q = torch.tensor(joint), torch.tensor(draws)
        log_w, m = log_joint - log_q, len(draws)
        bound = log_w.logsumexp(0) - math.log(m)
        mistakes = {
            "− log M is missing: this is the logarithm of the sum, not of the mean.": (
                log_w.logsumexp(0)
            ),
            "log M is added. A mean is the sum divided by M: subtract it.": (
                log_w.logsumexp(0) + math.log(m)
            ),
            "this is the mean of the logarithms, the ELBO with M draws. What is wanted is the "
            "logarithm of the mean.": log_w.mean(),
            "the weight 1 / q(D|x) is missing.": log_joint.logsumexp(0) - math.log(m),
            "the fraction is upside down: p(x, D) is above, q below.": (
                (-log_w).logsumexp(0) - math.log(m)
            ),
            "q multiplies. It stands below the fraction bar: subtract its logarithm.": (
                (log_joint + log_q).logsumexp(0) - math.log(m)
            ),
            "this is a quotient of two means. What is wanted is the mean of the quotients.": (
                log_joint.logsumexp(0) - log_q.logsumexp(0)
            ),
            "this is a quotient of two means, less log M, which cancels. Take the mean of the "
            "quotients.": log_joint.logsumexp(0) - log_q.logsumexp(0) - math.log(m),
            "this is the largest weight alone. The others count, too.": log_w.amax(),
            "this is the largest weight alone, less log M.": log_w.amax() - math.log(m),
            "these are the single log-weights. Take the logarithm of their mean.": log_w,
            "the logarithm is missing: this is the mean weight.": log_w.exp().mean(),
            "you divide by M after the logarithm. Subtract log M there.": log_w.logsumexp(0) / m,
            "this is a loss. What is wanted is the bound itself, which is negative here.": -bound,
            "these are bits. Take the natural logarithm.": bound / math.log(2),
            "log M is in bits. Take the natural logarithm.": log_w.logsumexp(0) - math.log2(m),
            "M is subtracted. Subtract its logarithm.": log_w.logsumexp(0) - m,
            "this is the sum of the logarithms. What is wanted is the logarithm of the mean.": (
                log_w.sum()
            ),
            "the logarithms are added, less log M. Add before you take the logarithm: logsumexp.": (
                log_w.sum() - math.log(m)
            ),
            "this is the mean of the logarithms, less log M. Take the logarithm of the mean.": (
                log_w.mean() - math.log(m)
            ),
            "1/M stands inside of the exponentials. Subtract log M outside.": (
                (log_w / m).logsumexp(0)
            ),
            "these are quotients of logarithms. The logarithm of a quotient is a difference.": (
                (log_joint / log_q).logsumexp(0) - math.log(m)
            ),
            "`log_q` is a logarithm already: subtract it as it is.": (
                (log_joint - log_q.exp()).logsumexp(0) - math.log(m)
            ),
            "each p(x, D_j) has a q of its own: subtract before you add up.": (
                log_joint.logsumexp(0) - log_q.mean() - math.log(m)
            ),
            "the fraction is turned round twice: this is the harmonic mean.": (
                math.log(m) - (-log_w).logsumexp(0)
            ),
        }
        given = {"log_joint": log_joint, "log_q": log_q}
        try:
            got = call(function, **given)
        except Wrong as wrong:
            if "ValueError: math domain" in str(wrong) or "expected a positive" in str(wrong):
                raise Wrong(f"{_ROUNDED.format(log_w.max())} {wrong}") from None
            raise
        flat = torch.as_tensor(got) if isinstance(got, (Tensor, float)) else torch.zeros(())
        if flat.dim() == 0 and not flat.is_complex() and not bool(flat.isfinite()):
            raise Wrong(
                f"the result is {numbers(flat)}: {_ROUNDED.format(log_w.max())}\n"
                f"For\n    log_joint = {numbers(log_joint)}\n"
                f"    log_q = {numbers(log_q)}"
            )
        expect(got, bound, given, mistakes)


@check("two measurements tell every other, and how far off the prediction may be.")
def check_predicted_variance(function: Any) -> None:
    """Check exercise 2 of notebook 07: V_K from V_1 and V_∞ by (13), with its standard error.

    Args:
        function: maps V_1, its standard error, V_∞, its standard error, and K to two numbers:
            V_∞ + (V_1 − V_∞)/K, and the standard error that follows from the two.

    Returns:
        A `Verdict`.

    Example:
        >>> def predicted(v1, error1, limit, limit_error, k):
        ...     return limit + (v1 - limit) / k, math.hypot(error1 / k, limit_error * (1 - 1 / k))
        >>> check_predicted_variance(predicted)
        Right: two measurements tell every other, and how far off the prediction may be.
    """
    for v1, e1, limit, e, k in ((95.0, 6.0, 10.0, 2.0, 10), (8.0, 0.5, 2.0, 0.1, 4)):
        given = {"v1": v1, "error1": e1, "limit": limit, "limit_error": e, "k": k}
        value, error = pair(call(function, **given), "the variance and its standard error")
        wanted = limit + (v1 - limit) / k
        expect_of(
            "the variance",
            value,
            wanted,
            given,
            {
                "this is V_1 / K. The part V_∞ is left for every K.": v1 / k,
                "V_∞ is missing: (13) has two terms.": (v1 - limit) / k,
                "V_1 is not the first term alone: it includes V_∞. Divide V_1 − V_∞ by K.": (
                    limit + v1 / k
                ),
                "this is V_∞: K is missing.": limit,
                "this is V_1: K is missing.": v1,
                "K divides nothing here: V_∞ + (V_1 − V_∞) is V_1.": v1 - limit,
                "you divide the other term: K takes nothing of V_∞.": v1 - limit + limit / k,
                "you have exchanged V_1 and V_∞.": v1 + (limit - v1) / k,
                "you divide by √K, which is for standard deviations.": (
                    limit + (v1 - limit) / math.sqrt(k)
                ),
                "you divide by K − 1. K = 1 has to give V_1.": limit + (v1 - limit) / (k - 1),
                "you divide by K + 1. K = 1 has to give V_1.": limit + (v1 - limit) / (k + 1),
                "you multiply by K. More draws make the variance smaller.": (
                    limit + (v1 - limit) * k
                ),
                "you divide both terms: K takes nothing of V_∞.": (v1 + limit) / k,
                "the difference is added, not subtracted.": limit - (v1 - limit) / k,
                "`//` cuts to an integer. Divide by `/`.": limit + (v1 - limit) // k,
                "this is the factor a. The variance is a V_1 + b V_∞.": 1 / k,
                "you have exchanged the two: the variance comes first.": (
                    math.hypot(e1 / k, e * (1 - 1 / k))
                ),
            },
        )
        share = 1 - 1 / k
        expect_of(
            "the variance is right, its standard error",
            error,
            math.hypot(e1 / k, e * share),
            given,
            {
                "V_∞ stands in both terms: its factor is 1 − 1/K, not 1.": math.hypot(e1 / k, e),
                "V_∞ stands in both terms. Collect them first: V_1 / K + (1 − 1/K) V_∞.": (
                    math.sqrt((e1 / k) ** 2 + (e / k) ** 2 + e**2)
                ),
                "errors that have nothing to do with each other add as squares: √(a² + b²).": e1 / k
                + e * share,
                "this is the square of the error. Take its root.": (e1 / k) ** 2 + (e * share) ** 2,
                "the factors are squared with the errors: (error / K)².": (
                    math.sqrt(e1**2 / k + e**2 * share)
                ),
                "both errors are multiplied by their factors, 1/K and 1 − 1/K.": (
                    math.hypot(e1, e)
                ),
                "the factor of V_∞ is 1 − 1/K, not 1/K.": math.hypot(e1 / k, e / k),
                "the factor of V_∞ is 1 − 1/K, not 1 + 1/K.": math.hypot(e1 / k, e * (1 + 1 / k)),
                "the error of V_1 has its factor, too: 1/K.": math.hypot(e1, e * share),
                "you have exchanged the errors of V_1 and V_∞.": math.hypot(e / k, e1 * share),
                "these are the variances with their factors. Take their errors.": (
                    math.hypot(v1 / k, limit * share)
                ),
                "errors are not subtracted. Their squares are added: √(a² + b²).": (
                    e1 / k - e * share
                ),
                "the error of V_∞ is missing.": e1 / k,
                "the error of V_1 is missing.": e * share,
                "this is twice the standard error.": 2 * math.hypot(e1 / k, e * share),
                "the sign is lost in a square: the error of V_∞ is added, not subtracted.": (
                    math.sqrt(abs((e1 / k) ** 2 - (e * share) ** 2))
                ),
            },
        )


@check("averaging divides the variance, and leaves the bias.")
def check_best_temperature(function: Any) -> None:
    """Check exercise 3 of notebook 07: the best τ for a mean of m gradients, and its MSE.

    Args:
        function: maps τ, bias² and variance, `[t]` each, and m to two numbers: the τ for which
            bias² + variance / m is smallest, and that smallest value.

    Returns:
        A `Verdict`.

    Example:
        >>> def best(taus, squared_bias, variance, m):
        ...     mse = squared_bias + variance / m
        ...     return taus[mse.argmin()], mse.min()
        >>> check_best_temperature(best)
        Right: averaging divides the variance, and leaves the bias.
    """
    taus = torch.tensor([0.1, 0.25, 0.5, 1.0], dtype=torch.float64)
    bias = torch.tensor([0.9, 0.2, 4.0, 16.0], dtype=torch.float64)
    variance = torch.tensor([3500.0, 1300.0, 620.0, 240.0], dtype=torch.float64)
    for m in (100, 1, 1000):
        given: dict[str, Any] = {
            "taus": taus, "squared_bias": bias, "variance": variance, "m": m,
        }  # fmt: skip
        tau, value = pair(call(function, **given), "the best τ and its MSE")
        mse = bias + variance / m
        wrong = {
            "the bias is not averaged out: divide the variance alone by m.": (bias + variance) / m,
            "m is missing.": bias + variance,
            "this is the variance / m alone. Add bias².": variance / m,
            "this is the bias² alone. Add variance / m.": bias,
            "`squared_bias` is squared already.": bias.square() + variance / m,
            "bias² is added, not the bias: take no root.": bias.sqrt() + variance / m,
            "the variance of a mean of m falls like 1/m, not like 1/√m.": (
                bias + variance / math.sqrt(m)
            ),
            "the variance of a mean of m falls like 1/m, not like 1/m².": bias + variance / m**2,
            "the variance of a mean of m is smaller. Divide by m.": bias + variance * m,
            "you divide the bias² and not the variance.": bias / m + variance,
            "the variance is added, not subtracted.": bias - variance / m,
            "`variance` is a square already.": bias + variance.square() / m,
            "this is m times the MSE.": m * bias + variance,
            "the variance of a mean of m is variance / m, not / (m − 1).": (
                bias + variance / max(m - 1, 1)
            ),
        }
        expect_of(
            "the MSE",
            value,
            mse.min(),
            given,
            {
                "this is the largest MSE. The smallest is wanted.": mse.max(),
                "this is the mean over all τ. Take the smallest.": mse.mean(),
                "take no root: MSE is wanted, not its square root.": mse.min().sqrt(),
                "you have exchanged the two: the τ comes first.": taus[int(mse.argmin())],
                **{sentence: each.min() for sentence, each in wrong.items()},
            },
        )
        place = int(mse.argmin())
        expect_of(
            "the MSE is right, the τ",
            tau,
            taus[place],
            given,
            {
                "this is the place in the list, counted from 0. Look up τ there: taus[place].": (
                    float(place)
                ),
                "this is the place in the list, counted from 1.": float(place + 1),
                "this is the τ of the largest MSE.": taus[int(mse.argmax())],
                "this is the τ of the smallest bias².": taus[int(bias.argmin())],
                "this is the τ of the smallest variance.": taus[int(variance.argmin())],
            },
        )


# Of the draws of `results/fig2/steps.csv`: momentum, and ST-GS's steps to 140 nats.
_DRAW, _MOMENTUM, _STEPS = 5, 0.918, 23_000
_NOBODY = (0, 6, 7, 8, 12)  # draws with which nobody reaches 140 nats


@check("momentum 0.918: without this draw ST-GS takes about as long as GR.")
def check_draw_behind_140(answer: Any) -> None:
    """Check exercise 5 of notebook 07: with which draw ST-GS is so late at 140 nats.

    Args:
        answer: the number of the draw, as the table counts them.

    Returns:
        A `Verdict`.

    Example:
        >>> check_draw_behind_140(0)
        Not yet: draw 0 reached 140 nats with no estimator, so it is in none of the means.
    """
    value = number(answer)
    if value == _DRAW:
        return
    if value in _NOBODY:
        raise Wrong(
            f"draw {value:g} reached 140 nats with no estimator, so it is in none of the means."
        )
    if value in range(20):
        raise Wrong(
            f"in draw {value:g} ST-GS took at most 2,000 steps more than GR. Take the difference "
            f"in each row of the table."
        )
    mistakes = {
        _MOMENTUM: "that is its momentum. The number of the draw is asked for.",
        _STEPS: "that is how long ST-GS took there. The number of the draw is asked for.",
        17_000: "that is by how much ST-GS was later there. The number of the draw is asked for.",
        12_600: "that is the mean of ST-GS. Which draw makes it so much larger than that of GR?",
        140: "that is the threshold. The number of the draw is asked for.",
    }
    for mistake, sentence in mistakes.items():
        if math.isclose(value, mistake):
            raise Wrong(sentence)
    raise Wrong(f"{value:g} is no draw: they are numbered from 0 to 19.")
