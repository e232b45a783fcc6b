"""The checks of notebook 05 accept the right answer, and name the mistake in typical wrong ones."""

import math

import numpy as np
import pytest
import torch
from answers import exercises, right, wrong
from seeded import seeded

from gumbelrao_edu.problems import QuadraticProgramme

# --- Exercise 1 -----------------------------------------------------------------------------------


def averages(p, c):
    return torch.outer(c, c) - torch.outer(p, c) - torch.outer(c, p) + torch.diag(p)


def wanted(p, c):
    return torch.outer(p - c, p - c)


def matrix(p, q, c):
    return wanted(p, c) * q / averages(p, c)


def with_averages(function):
    """Other averages than the right ones, with everything else right."""
    return lambda p, q, c: wanted(p, c) * q / function(p, c)


MATRIX = {
    "Q is missing": lambda p, q, c: wanted(p, c) / averages(p, c),
    "divide by the averages": lambda p, q, c: wanted(p, c) * q,
    "you multiply by the averages": lambda p, q, c: wanted(p, c) * q * averages(p, c),
    "above the fraction bar": lambda p, q, c: q / averages(p, c),
    "the averages alone": lambda p, q, c: averages(p, c),
    "has the average p_i": with_averages(lambda p, c: averages(p, c) - p.diag()),
    "c_i² is missing": with_averages(lambda p, c: averages(p, c) - (c**2).diag()),
    "the product of the averages": with_averages(wanted),
    "never drawn at once": with_averages(
        lambda p, c: torch.where(torch.eye(len(p)) == 1, averages(p, c), wanted(p, c))
    ),
    "covariance of D": with_averages(lambda p, c: p.diag() - torch.outer(p, p)),
    "p_i c_j twice": with_averages(lambda p, c: p.diag() + c[:, None] * c - 2 * p[:, None] * c),
    "c_i p_j twice": with_averages(lambda p, c: p.diag() + c[:, None] * c - 2 * c[:, None] * p),
    "take Q from the argument q": lambda p, q, c: (
        wanted(p, c)
        * (-2.0 * (torch.arange(len(p))[:, None] - torch.arange(len(p))).abs()).exp()
        / averages(p, c)
    ),
    "Q stands there once": lambda p, q, c: matrix(p, q * q, c),
    "p and c are the other way round": lambda p, q, c: matrix(c, q, p),
    "not c_i": with_averages(lambda p, c: averages(p, c) - p.diag() + c.diag()),
    "not p_i²": with_averages(lambda p, c: averages(p, c) - p.diag() + (p**2).diag()),
    "not 1.": with_averages(lambda p, c: averages(p, c) - p.diag() + torch.eye(len(p))),
    "on the diagonal alone. You add": with_averages(lambda p, c: averages(p, c) - p.diag() + p),
    "in the whole of a row": with_averages(lambda p, c: averages(p, c) - p.diag() + p[:, None]),
    "once, not twice": with_averages(lambda p, c: averages(p, c) + p.diag()),
    "it does not replace it": with_averages(lambda p, c: averages(p, c).diagonal_scatter(p)),
    "parentheses are missing": lambda p, q, c: (
        wanted(p, c) * q / (averages(p, c) - p.diag()) + p.diag()
    ),
    "upside down": lambda p, q, c: averages(p, c) / (wanted(p, c) * q),
    "above the diagonal are missing": lambda p, q, c: matrix(p, q, c).tril(),
    "below the diagonal are missing": lambda p, q, c: matrix(p, q, c).triu(),
    "leave its sign": with_averages(lambda p, c: averages(p, c).abs()),
    "are not 0": with_averages(lambda p, c: averages(p, c).diag().diag()),
    "in the first example only": with_averages(lambda p, c: averages(p, torch.full_like(c, 1 / 3))),
    "the square of the averages": with_averages(lambda p, c: averages(p, c) ** 2),
    "both factors have c subtracted": lambda p, q, c: torch.outer(p, p) * q / averages(p, c),
    "You multiply entry by entry": lambda p, q, c: (p - c) * (p - c) * q / averages(p, c),
    "a product of matrices": lambda p, q, c: wanted(p, c) @ q / averages(p, c),
    "c_i c_j is missing": with_averages(lambda p, c: averages(p, c) - torch.outer(c, c)),
    "with minus signs": with_averages(
        lambda p, c: torch.outer(c, c) + torch.outer(p, c) + torch.outer(c, p) + p.diag()
    ),
    "the shape is [3]": lambda p, q, c: (p - c) @ q / averages(p, c).sum(-1),
    "the diagonal alone": lambda p, q, c: matrix(p, q, c).diag().diag(),
    "0.5 times what it should be": lambda p, q, c: matrix(p, q, c) / 2,
    "the sign is wrong everywhere": lambda p, q, c: -matrix(p, q, c),
    "the shape is []": lambda p, q, c: matrix(p, q, c).sum(),
    "expected a tensor, got list": lambda p, q, c: matrix(p, q, c).tolist(),
}


@pytest.mark.parametrize(("says", "answer"), MATRIX.items(), ids=MATRIX)
def test_quadratic_matrix(says, answer):
    wrong(exercises.check_quadratic_matrix(answer), says, "expected is")


def test_quadratic_matrix_of_an_unknown_mistake_tells_the_expectation():
    verdict = exercises.check_quadratic_matrix(lambda p, q, c: matrix(p, q, c).square())
    wrong(verdict, "E[f(D)] would be", "the value of the programme is 0.04", "not the expected")
    one, i = torch.ones(3, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    for change, says in (
        (one - i, "the diagonal is right, the entries"),
        (i, "are right, the diagonal is not"),
        (one.triu(), "A is symmetric"),
    ):

        def answer(p, q, c, change=change):
            return matrix(p, q, c) + change if len(p) == 3 else matrix(p, q, c)

        wrong(exercises.check_quadratic_matrix(answer), says)


def test_quadratic_matrix_for_three_classes_and_equal_c_only():
    def special(p, q, c):
        return matrix(p, q, torch.full_like(c, 1 / 3))

    wrong(
        exercises.check_quadratic_matrix(special), "Use the argument c", "c = [0.1, 0.2, 0.4, 0.3]"
    )


def test_quadratic_matrix_in_several_ways():
    def by_enumeration(p, q, c):
        d = torch.eye(len(p), dtype=p.dtype) - c
        return wanted(p, c) * q / torch.einsum("k,ki,kj->ij", p, d, d)

    right(exercises.check_quadratic_matrix(matrix))
    right(exercises.check_quadratic_matrix(by_enumeration))
    right(exercises.check_quadratic_matrix(lambda p, q, c: QuadraticProgramme(q, c).matrix(p)))


# --- Exercise 2 -----------------------------------------------------------------------------------

programme, corners = QuadraticProgramme(), torch.eye(3, dtype=torch.float64)


def expected(logits, weights=lambda p: p, inner=lambda p: p.detach()):
    p = logits.softmax(-1)
    return weights(p) @ programme.loss(corners, inner(p))


FIXED = {
    "A moves, too": lambda t: expected(t, inner=lambda p: p),
    "is the whole one": lambda t: programme.value(t.softmax(-1)),
    "the second term alone": lambda t: expected(t, torch.Tensor.detach, lambda p: p),
    "nothing is left to differentiate": lambda t: expected(t.detach()),
    "it does not depend on the logits": lambda t: (
        expected(t).detach() + 0 * torch.ones((), requires_grad=True)
    ),
    "its derivative is not: every number is 2 times": lambda t: (
        2 * expected(t) - expected(t).detach()
    ),
    "Add them up, each weighted": lambda t: programme.loss(corners, t.softmax(-1)),
    "still to be added up": lambda t: t.softmax(-1) * programme.loss(corners, t.softmax(-1)),
    "without their weights": lambda t: programme.loss(corners, t.softmax(-1)).sum(),
    "the probability 1/3": lambda t: programme.loss(corners, t.softmax(-1)).mean(),
    "You give it the logits": lambda t: t.softmax(-1) @ programme.loss(corners, t),
    "neither as weights": lambda t: t @ programme.loss(corners, t.detach()),
    "the softmax once more": lambda t: expected(t.softmax(-1)),
    "not its logarithm": lambda t: t.log_softmax(-1) @ programme.loss(corners, t.softmax(-1)),
    "f at the average": lambda t: programme.loss(t.softmax(-1), t.softmax(-1).detach()),
    "the largest": lambda t: programme.loss(corners, t.softmax(-1)).max(),
    "exp(θ) are no probabilities yet": lambda t: (
        t.exp() @ programme.loss(corners, t.softmax(-1).detach())
    ),
    "neither as weights nor in A(p)": lambda t: t.exp() @ programme.loss(corners, t.exp().detach()),
    "class 3 is missing": lambda t: (
        t.softmax(-1)[:2] @ programme.loss(corners, t.softmax(-1).detach())[:2]
    ),
    "weighted by p_i log p_i": lambda t: (
        (t.softmax(-1) * programme.loss(corners, t.softmax(-1))).detach() @ t.log_softmax(-1)
    ),
    "twice the average": lambda t: 2 * expected(t),
    "this is not E[f(D)]": lambda t: expected(t, inner=lambda p: (p + 0.01).detach()),
    "do not divide": lambda t: expected(t) / 3,
    "whatever contains θ cancels": lambda t: expected(t.detach()) + t.sum() - t.sum(),
    "its sign is wrong": lambda t: 2 * expected(t).detach() - expected(t),
    "is not: it is 0": lambda t: t.softmax(-1) @ programme.loss(t.softmax(-1).detach(), corners),
    "weighted by θ": lambda t: t @ programme.loss(corners, t.softmax(-1)),
    "no derivative goes through float": lambda t: expected(t).item(),
}


@pytest.mark.parametrize(("says", "answer"), FIXED.items(), ids=FIXED)
def test_fixed_loss(says, answer):
    wrong(exercises.check_fixed_loss(answer), says)


def test_fixed_loss_shows_the_numbers():
    verdict = exercises.check_fixed_loss(lambda logits: programme.value(logits.softmax(-1)))
    wrong(verdict, "logits = [0.3069, -0.204, -0.6094]", "you return", "expected is")


def test_fixed_loss_is_no_sample():
    generator = seeded()

    def sampled(logits):
        drawn = torch.multinomial(logits.softmax(-1), 50, replacement=True, generator=generator)
        return programme.loss(corners, logits.softmax(-1).detach())[drawn].mean()

    wrong(exercises.check_fixed_loss(sampled), "your function draws")


def test_fixed_loss_right():
    right(exercises.check_fixed_loss(expected))


# --- Exercise 3 -----------------------------------------------------------------------------------


def ratio(inner, outer, k):
    return (inner + outer) / (inner / k + outer)


RATIO = {
    "the wrong way round": lambda i, o, k: -ratio(i, o, k).log10(),
    "this is the ratio": ratio,
    "difference of the variances": lambda i, o, k: i - i / k,
    "natural logarithm": lambda i, o, k: ratio(i, o, k).log(),
    "standard deviations": lambda i, o, k: ratio(i, o, k).sqrt().log10(),
    "the same for all K": lambda i, o, k: ((i + o) / ((i + o) / k)).log10(),
    "you divide the outer": lambda i, o, k: ratio(o, i, k).log10(),
    "ST-GS is GR with K = 1": lambda i, o, k: (i / (i / k + o)).log10(),
    "this is K = ∞": lambda i, o, k: ((i + o) / o).log10(),
    "GR has the outer variance": lambda i, o, k: ((i + o) / (i / k)).log10(),
    "variance of GR. Subtract it": lambda i, o, k: (i / k + o).log10(),
    "variance of ST-GS. Subtract that": lambda i, o, k: (i + o).log10(),
    "not K + 1": lambda i, o, k: ((i + o) / (i / (k + 1) + o)).log10(),
    "not K − 1": lambda i, o, k: ((i + o) / (i / (k - 1) + o)).log10(),
    "is not multiplied by K": lambda i, o, k: ((i * k + o) / (i + o)).log10(),
    "nothing of its variance": lambda i, o, k: (ratio(i, o, k) / k).log10(),
    "rounded down to 0": lambda i, o, k: ((i + o) / (i // k + o)).log10(),
    "this is inner / outer": lambda i, o, k: (i / o).log10(),
    "parentheses are missing": lambda i, o, k: (i + o).log10() - i / k + o,
    "subtract their logarithms": lambda i, o, k: (i + o).log() - (i / k + o).log10(),
    "You multiply": lambda i, o, k: ((i + o) / (i * k + o)).log10(),
    "its square root does not": lambda i, o, k: ((i + o) / (i / k**0.5 + o)).log10(),
    "the gain as a share": lambda i, o, k: (i - i / k) / (i / k + o),
    "subtracted, not divided": lambda i, o, k: (i + o).log10() / (i / k + o).log10(),
    "subtracted, not added": lambda i, o, k: (i + o).log10() + (i / k + o).log10(),
    "the base 2": lambda i, o, k: ratio(i, o, k).log2(),
    "the logarithm of a difference": lambda i, o, k: (i - i / k).log10(),
    "log(1 + ratio)": lambda i, o, k: ratio(i, o, k).log1p(),
    "raised OverflowError": lambda i, o, k: ratio(i, o, int(k)).log10(),
    "the shape is []": lambda i, o, k: ratio(i, o, k).log10().mean(),
}


@pytest.mark.parametrize(("says", "answer"), RATIO.items(), ids=RATIO)
def test_log_ratio(says, answer):
    wrong(exercises.check_log_ratio(answer), says, "inner = [9, 0.4, 0.02]")


def test_log_ratio_right():
    right(exercises.check_log_ratio(lambda i, o, k: ratio(i, o, k).log10()))
    right(exercises.check_log_ratio(lambda i, o, k: ratio(i, o, k).log() / math.log(10)))
    right(exercises.check_log_ratio(lambda i, o, k: np.log10(ratio(i.numpy(), o.numpy(), k))))
