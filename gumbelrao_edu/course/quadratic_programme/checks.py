"""Checks for the exercises of notebook 05."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...problems import QuadraticProgramme
from ..verdict import Wrong, call, check, close, expect, expect_of, gradient, numbers, random


@check("and with it E[f(D)] is the value of the programme.")
def check_quadratic_matrix(function: Any) -> None:
    """Check exercise 1 of notebook 05: the matrix A(p) of section 5.2.

    Args:
        function: maps p `[n]`, Q `[n, n]` and c `[n]` to A, `[n, n]`,
            A_ij = (p_i − c_i)(p_j − c_j) Q_ij / E[(D_i − c_i)(D_j − c_j)].

    Returns:
        A `Verdict`.

    Example:
        >>> def matrix(p, q, c):
        ...     d = torch.eye(len(p)) - c
        ...     return torch.outer(p - c, p - c) * q / (d.T @ (p[:, None] * d))
        >>> check_quadratic_matrix(matrix)
        Right: and with it E[f(D)] is the value of the programme.
    """
    uneven = torch.tensor(
        [[1.0, 0.5, -0.2, 0.0], [0.5, 2.0, 0.3, 0.1], [-0.2, 0.3, 1.5, 0.4], [0.0, 0.1, 0.4, 0.8]],
        dtype=torch.float64,
    )
    centre = torch.tensor([0.1, 0.2, 0.4, 0.3], dtype=torch.float64)
    for entries, programme in (
        ([0.5, 0.3, 0.2], QuadraticProgramme()),
        ([0.4, 0.3, 0.2, 0.1], QuadraticProgramme(uneven, centre)),
    ):
        p, q, c = torch.tensor(entries, dtype=torch.float64), programme.q, programme.c
        given = {"p": p, "q": q, "c": c}
        got = call(function, **given)
        wanted, given, mistakes = _matrix(p, q, c, given)

        def otherwise(answer: Tensor, p: Tensor = p, c: Tensor = c, wanted: Tensor = wanted) -> str:
            on = torch.eye(len(p), dtype=torch.bool)
            if close(answer[on], wanted[on]):
                return "the diagonal is right, the entries i ≠ j are not."
            if close(answer[~on], wanted[~on]):
                return "the entries i ≠ j are right, the diagonal is not."
            if not close(answer, answer.T):
                return (
                    "A is symmetric: above and below the fraction bar (i, j) and (j, i) are the "
                    "same. Yours is not."
                )
            d = torch.eye(len(p), dtype=torch.float64) - c
            mean = p @ (d @ answer * d).sum(-1)
            value = (wanted * (d.T @ (p[:, None] * d))).sum()
            return (
                f"E[f(D)] would be {numbers(mean)}, and the value of the programme is "
                f"{numbers(value)}: the numbers are not the expected ones."
            )

        expect(got, wanted, given, mistakes, otherwise)


def _matrix(
    p: Tensor, q: Tensor, c: Tensor, given: dict[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    d = torch.outer(p - c, p - c)
    off = torch.outer(c, c) - torch.outer(p, c) - torch.outer(c, p)
    averages = off + p.diag()
    wanted = d * q / averages
    ones = torch.ones_like(p)
    mistakes = {
        "p and c are the other way round: D has the probabilities p, and c is subtracted.": (
            d * q / (torch.outer(p, p) - torch.outer(c, p) - torch.outer(p, c) + c.diag())
        ),
        "on the diagonal D_i² = D_i has the average p_i, not c_i.": d * q / (off + c.diag()),
        "on the diagonal D_i² = D_i has the average p_i, not p_i².": (
            d * q / (off + p.square().diag())
        ),
        "on the diagonal D_i² = D_i has the average p_i, not 1.": d * q / (off + ones.diag()),
        "p_i is added on the diagonal alone. You add it in a whole row or column.": (
            d * q / (off + p)
        ),
        "p_i is added on the diagonal alone. You add it in the whole of a row.": (
            d * q / (off + p[:, None])
        ),
        "on the diagonal p_i is added once, not twice.": d * q / (off + 2 * p.diag()),
        "on the diagonal p_i is added to c_i² − 2 p_i c_i; it does not replace it.": (
            d * q / off.diagonal_scatter(p)
        ),
        "parentheses are missing: divide by all of the averages, with p_i on the diagonal.": (
            d * q / off + p.diag()
        ),
        "the fraction is upside down.": averages / (d * q),
        "c is 1/3 in the first example only. Use the argument c.": (
            d * q / (1 / 9 - (p[:, None] + p) / 3 + p.diag())
        ),
        "c is 1/3 in the first example only. Use the argument c, above the bar, too.": (
            torch.outer(p - 1 / 3, p - 1 / 3) * q / (1 / 9 - (p[:, None] + p) / 3 + p.diag())
        ),
        "the entries above the diagonal are missing.": (d * q / averages).tril(),
        "the entries below the diagonal are missing.": (d * q / averages).triu(),
        "an average of products for i ≠ j may be negative: leave its sign.": d * q / averages.abs(),
        "the averages for i ≠ j are not 0: c_i c_j − p_i c_j − c_i p_j.": (
            d * q / averages.diag().diag()
        ),
        "you take the square of the averages; they stand there once.": d * q / averages.square(),
        "above the fraction bar both factors have c subtracted: (p_i − c_i)(p_j − c_j).": (
            torch.outer(p, p) * q / averages
        ),
        "above the fraction bar stands a product for each pair, torch.outer(p − c, p − c). You "
        "multiply entry by entry.": (p - c).square() * q / averages,
        "Q is multiplied entry by entry, with *. You have a product of matrices.": d @ q / averages,
        "take Q from the argument q; it is another one here.": (
            d
            * torch.exp(-2.0 * (torch.arange(len(p)) - torch.arange(len(p))[:, None]).abs())
            / averages
        ),
        "Q stands there once.": d * q * q / averages,
        "c_i c_j is missing in the averages.": d * q / (averages - torch.outer(c, c)),
        "the averages have −p_i c_j − c_i p_j, with minus signs.": (
            d * q / (torch.outer(c, c) + torch.outer(p, c) + torch.outer(c, p) + p.diag())
        ),
        "Q is missing.": d / averages,
        "divide by the averages E[(D_i − c_i)(D_j − c_j)].": d * q,
        "you multiply by the averages. Divide.": d * q * averages,
        "what is wanted, (p_i − c_i)(p_j − c_j), is missing above the fraction bar.": q / averages,
        "these are the averages alone; A has them below the fraction bar.": averages,
        "on the diagonal D_i² = D_i has the average p_i, which is missing.": d * q / off,
        "on the diagonal c_i² is missing.": d * q / (averages - c.square().diag()),
        "you take the product of the averages, which leaves Q. What is wanted is the average of "
        "the product.": q,
        "two classes are never drawn at once: for i ≠ j D_i D_j has the average 0, not p_i p_j.": (
            torch.where(torch.eye(len(p)) == 1, wanted, q)
        ),
        "you divide by the covariance of D, which is about p. The products are about c.": (
            d * q / (p.diag() - torch.outer(p, p))
        ),
        "the averages are symmetric: c_i c_j − p_i c_j − c_i p_j. You have p_i c_j twice.": (
            d * q / (averages + torch.outer(c, p) - torch.outer(p, c))
        ),
        "the averages are symmetric: c_i c_j − p_i c_j − c_i p_j. You have c_i p_j twice.": (
            d * q / (averages - torch.outer(c, p) + torch.outer(p, c))
        ),
        "you have the diagonal alone; the entries i ≠ j count, too.": wanted.diag().diag(),
    }
    return wanted, given, mistakes


@check("the value of the programme, and the first term of its derivative.")
def check_fixed_loss(function: Any) -> None:
    """Check exercise 2 of notebook 05: E[f(D)] of which only the first term is differentiated.

    Args:
        function: maps logits `[3]` to E[f(D)], one number, with A held fixed in its derivative.

    Returns:
        A `Verdict`.

    Example:
        >>> programme = QuadraticProgramme()
        >>> check_fixed_loss(lambda logits: programme.value(logits.softmax(-1)))
        ... # doctest: +ELLIPSIS
        Not yet: the value is right, its derivative is not: it is the whole one: A moves, too. ...
    """
    programme, corners = QuadraticProgramme(), torch.eye(3, dtype=torch.float64)
    for entries in ([0.5, 0.3, 0.2], [0.1, 0.8, 0.1]):
        p = torch.tensor(entries, dtype=torch.float64)
        theta = p.log() + 1.0
        logits = theta.clone().requires_grad_()
        given: dict[str, Any] = {"logits": logits}
        got = call(function, **given)
        if random(function, got, given):
            raise Wrong(
                "your function draws: called twice with the same logits, it gives two results. "
                "E[f(D)] is a sum over the three classes."
            )
        losses = programme.loss(corners, p)
        expect(
            got,
            p @ losses,
            given,
            {
                "these are the three losses. Add them up, each weighted by its p_i.": losses,
                "the three terms p_i f(e_i) are still to be added up.": p * losses,
                "the losses are added up without their weights p_i.": losses.sum(),
                "you average the losses as if each class had the probability 1/3.": losses.mean(),
                "the losses are weighted by θ. Take p = softmax(θ).": theta @ losses,
                "A(p) needs probabilities, p = softmax(θ). You give it the logits.": (
                    p @ programme.loss(corners, theta)
                ),
                "logits are no probabilities, neither as weights nor in A(p): p = softmax(θ).": (
                    theta @ programme.loss(corners, theta)
                ),
                "softmax(θ) is p already. You take the softmax once more.": (
                    p.softmax(-1) @ programme.loss(corners, p.softmax(-1))
                ),
                "the weights are p = softmax(θ), not its logarithm.": p.log() @ losses,
                "this is f at the average of D. Wanted is the average of f: Σ p_i f(e_i).": (
                    programme.loss(p, p)
                ),
                "this is the largest of the three losses. Average them.": losses.max(),
                "this is f of the most probable class. Average over the classes.": losses[
                    p.argmax()
                ],
                "the sum of the p_i f(e_i) is the average; do not divide by their number.": (
                    (p * losses).mean()
                ),
                "exp(θ) are no probabilities yet: divide by their sum, as softmax does.": (
                    theta.exp() @ losses
                ),
                "exp(θ) are no probabilities, neither as weights nor in A(p): p = softmax(θ).": (
                    theta.exp() @ programme.loss(corners, theta.exp())
                ),
                "class 3 is missing: the sum ends one too early.": p[:2] @ losses[:2],
                "the losses are weighted by p_i log p_i. Its derivative is the first term, its "
                "value is not E[f(D)]. Weight them by p_i.": (p * losses) @ p.log(),
                "this is twice the average.": 2 * (p @ losses),
            },
            (
                "this is not E[f(D)]. Take p = softmax(θ), and add up p_i f(e_i) with the three "
                "losses programme.loss(corners, p)."
            ),
        )
        cut = "detach the p in A(p), not the p_i that weight the losses."
        derivative = gradient(got, 1.0, logits, cut=cut)
        wanted, whole = programme.gradient(logits, fixed=True), programme.gradient(logits)
        mistakes = {
            "it is the whole one: A moves, too. Give the loss p.detach().": whole,
            "it is the second term alone. Detach the p in A(p), not the weights p_i.": (
                whole - wanted
            ),
            "it is 0: whatever contains θ cancels.": torch.zeros_like(wanted),
            "its sign is wrong.": -wanted,
        }
        which = "the value is right, its derivative is not"
        expect_of(which, derivative, wanted, given, mistakes)


@check("0 for K = 1, and never negative: this is all that the sliders compute.")
def check_log_ratio(function: Any) -> None:
    """Check exercise 3 of notebook 05: what Figures 1b to 1d show, from the two terms of (13).

    Args:
        function: maps inner `[m]`, outer `[m]` and K, which may be infinite, to
            log10(inner + outer) − log10(inner/K + outer), `[m]`.

    Returns:
        A `Verdict`.

    Example:
        >>> def log_ratio(inner, outer, k):
        ...     return torch.log10((inner + outer) / (inner / k + outer))
        >>> check_log_ratio(log_ratio)
        Right: 0 for K = 1, and never negative: this is all that the sliders compute.
    """
    inner = torch.tensor([9.0, 0.4, 0.02], dtype=torch.float64)
    outer = torch.tensor([1.0, 0.1, 0.3], dtype=torch.float64)
    for k in (10, 1000, 1, math.inf):
        st_gs, gr = inner + outer, inner / k + outer
        mistakes = {
            "the wrong way round: ST-GS, with the larger variance, comes first.": (
                gr.log10() - st_gs.log10()
            ),
            "this is the ratio; take its logarithm to the base 10.": st_gs / gr,
            "this is the difference of the variances. Take that of their logarithms.": st_gs - gr,
            "this is the natural logarithm. Take log10.": (st_gs / gr).log(),
            "this is for standard deviations, half of what is wanted.": (st_gs / gr).log10() / 2,
            "only the inner variance is divided by K. The outer one is the same for all K.": (
                torch.full_like(inner, math.log10(k))
            ),
            "you divide the outer variance by K. It is the inner one that is averaged.": (
                st_gs / (inner + outer / k)
            ).log10(),
            "ST-GS is GR with K = 1: it has the outer variance, too.": (inner / gr).log10(),
            "this is K = ∞: inner / K is missing in GR. (With // it is rounded down to 0.)": (
                st_gs / outer
            ).log10(),
            "K divides the inner variance. You multiply.": (st_gs / (inner * k + outer)).log10(),
            "K divides the inner variance, its square root does not.": (
                (st_gs / (inner / math.sqrt(k) + outer)).log10()
            ),
            "this is the gain as a share: (ST-GS − GR) / GR. Take the difference of logarithms.": (
                (st_gs - gr) / gr
            ),
            "the two logarithms are subtracted, not divided.": st_gs.log10() / gr.log10(),
            "the two logarithms are subtracted, not added.": st_gs.log10() + gr.log10(),
            "this is the logarithm to the base 2. Take log10.": (st_gs / gr).log2(),
            "the logarithm of a difference is another number than the difference of logarithms.": (
                (st_gs - gr).log10()
            ),
            "the logarithm of a sum is another number than the sum of the logarithms.": (
                inner.log10() + outer.log10() - (inner / k).log10() - outer.log10()
            ),
            "K stands there, not K − 1.": (st_gs / (inner / (k - 1) + outer)).log10()
            if k > 1
            else math.nan,
            "ST-GS is GR with K = 1: its inner variance is not multiplied by K. That of GR is "
            "divided by K.": ((inner * k + outer) / st_gs).log10(),
            "ST-GS is GR with K = 1: nothing of its variance is divided by K.": (
                (st_gs / k) / gr
            ).log10(),
            "K stands there, not K + 1.": (st_gs / (inner / (k + 1) + outer)).log10(),
            "this is inner / outer, K*. Take var[ST-GS] / var[GR].": (inner / outer).log10(),
            "parentheses are missing: subtract the logarithm of (inner / k + outer).": (
                st_gs.log10() - inner / k + outer
            ),
            "this is log(1 + ratio). Take log10 of the ratio itself.": (st_gs / gr).log1p(),
            "GR has the outer variance, too.": (st_gs / (inner / k)).log10(),
            "this is log10 of the variance of GR. Subtract it from that of ST-GS.": gr.log10(),
            "this is log10 of the variance of ST-GS. Subtract that of GR.": st_gs.log10(),
        }
        given: dict[str, Any] = {"inner": inner, "outer": outer, "k": k}
        expect(
            call(function, **given),
            (st_gs / gr).log10(),
            given,
            mistakes,
            (
                "write var[ST-GS] = inner + outer and var[GR] = inner / k + outer first, then "
                "subtract their logarithms to the base 10."
            ),
        )
