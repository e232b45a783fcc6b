"""The checks of notebook 08 accept the right answer, and name the mistake in typical wrong ones."""

import math

import pytest
import torch
from answers import exercises, right, wrong


def rloo(losses, scores):
    others = (losses.sum() - losses) / (len(losses) - 1)
    return ((losses - others)[:, None] * scores).mean(0)


def weighted(weights):
    return lambda f, s: (weights(f)[:, None] * s).mean(0)


RLOO = {
    "this is REINFORCE": weighted(lambda f: f),
    "contains the loss itself": weighted(lambda f: f - f.mean()),
    "divided by S. There are S − 1": weighted(lambda f: f - (f.sum() - f) / len(f)),
    "not their sum": weighted(lambda f: f - (f.sum() - f)),
    "the sum of all losses": weighted(lambda f: f - f.sum()),
    "terms are added": lambda f, s: rloo(f, s) * len(f),
    "divided by S − 1: that is for the others": lambda f, s: rloo(f, s) * len(f) / (len(f) - 1),
    "the baseline is added": weighted(lambda f: f + (f.sum() - f) / (len(f) - 1)),
    "the sign is wrong": lambda f, s: -rloo(f, s),
    "one row for each draw is left": lambda f, s: (f - (f.sum() - f) / (len(f) - 1))[:, None] * s,
    "the losses are not used": lambda f, s: s.mean(0),
    "raised RuntimeError": lambda f, s: ((f - f.mean()) * s).mean(0),
}


@pytest.mark.parametrize(("says", "answer"), RLOO.items(), ids=RLOO)
def test_rloo(says, answer):
    wrong(exercises.check_rloo(answer), says)


def test_rloo_in_two_ways():
    def with_a_loop(losses, scores):
        total = torch.zeros_like(scores[0])
        for s in range(len(losses)):
            others = torch.cat([losses[:s], losses[s + 1 :]]).mean()
            total += (losses[s] - others) * scores[s]
        return total / len(losses)

    def from_the_covariance(f, s):
        return ((f - f.mean())[:, None] * s).sum(0) / (len(f) - 1)

    for answer in (rloo, with_a_loop, from_the_covariance):
        right(exercises.check_rloo(answer))


def times(q, g):
    return q * (g - q @ g)


def one_hot(p, i):
    return torch.eye(len(p), dtype=p.dtype)[i]


def reinmax(first=2.0, second=-0.5, m=lambda p, d: (p + d) / 2):
    return lambda g, p, i: first * times(m(p, one_hot(p, i)), g) + second * times(p, g)


def of_jacobians(jacobian):
    def answer(g, p, i):
        m = (p + one_hot(p, i)) / 2
        return 2 * jacobian(m) @ g - jacobian(p) @ g / 2

    return answer


REINMAX = {
    "the second term is missing": reinmax(second=0.0),
    "the first term is missing": reinmax(first=0.0),
    "the second term is added": reinmax(second=0.5),
    "factor ½ of the second": reinmax(second=-1.0),
    "factor 2 of the first": reinmax(first=1.0),
    "both factors": reinmax(1.0, -1.0),
    "factors changed places": reinmax(0.5, -2.0),
    "m and p changed places": lambda g, p, i: (
        2 * times(p, g) - times((p + one_hot(p, i)) / 2, g) / 2
    ),
    "You have p + D": reinmax(m=lambda p, d: p + d),
    "D is missing": reinmax(m=lambda p, d: p / 2),
    "With D in place of m": reinmax(m=lambda p, d: d),
    "this is straight-through": lambda g, p, i: times(p, g),
    "only the diagonal": of_jacobians(lambda q: torch.diag(q * (1 - q))),
    "q qᵀ is missing": of_jacobians(torch.diag),
    "counted from 0": reinmax(m=lambda p, d: (p + d.roll(-1)) / 2),
    "the sign is wrong everywhere": reinmax(-2.0, 0.5),
}


@pytest.mark.parametrize(("says", "answer"), REINMAX.items(), ids=REINMAX)
def test_reinmax(says, answer):
    wrong(exercises.check_reinmax(answer), says)


def test_reinmax_in_two_ways():
    right(exercises.check_reinmax(reinmax()))
    right(exercises.check_reinmax(of_jacobians(lambda q: torch.diag(q) - torch.outer(q, q))))


COST = {
    "the cost is not used": lambda b, v, c, n: math.sqrt(b**2 + v / n),
    "multiply by the cost": lambda b, v, c, n: math.sqrt(b**2 + v / (n * c)),
    "Take its root": lambda b, v, c, n: b**2 + v * c / n,
    "the bias is divided": lambda b, v, c, n: math.sqrt((b**2 + v) * c / n),
    "the bias is not squared": lambda b, v, c, n: math.sqrt(b + v * c / n),
    "It is a square already": lambda b, v, c, n: math.sqrt(b**2 + v**2 * c / n),
    "root and sum changed places": lambda b, v, c, n: b + math.sqrt(v * c / n),
    "the bias is missing": lambda b, v, c, n: math.sqrt(v * c / n),
    "the variance is missing": lambda b, v, c, n: b,
    "not divided by the number": lambda b, v, c, n: math.sqrt(b**2 + v),
    "not like their root": lambda b, v, c, n: math.sqrt(b**2 + v * math.sqrt(c / n)),
}


@pytest.mark.parametrize(("says", "answer"), COST.items(), ids=COST)
def test_equal_cost(says, answer):
    wrong(exercises.check_equal_cost(answer), says)


def test_equal_cost_right():
    right(exercises.check_equal_cost(lambda b, v, c, n: math.hypot(b, math.sqrt(v / (n / c)))))


EXPONENTIAL = {
    "has to stay at the end": lambda t, n, a, b: a * (b / a) ** (t / n),
    "in a straight line": lambda t, n, a, b: a + (b - a) * min(t / n, 1),
    "start and end changed places": lambda t, n, a, b: b * (a / b) ** min(t / n, 1),
    "times the start. It does not reach": lambda t, n, a, b: a * math.exp(-t / n),
    "the start is missing": lambda t, n, a, b: (b / a) ** min(t / n, 1),
    "not a factor": lambda t, n, a, b: a * b ** min(t / n, 1),
    "not a/b": lambda t, n, a, b: a * (a / b) ** min(t / n, 1),
    "in each": lambda t, n, a, b: a * (b / a) ** t,
    "T − 1": lambda t, n, a, b: a * (b / a) ** min(t / (n - 1), 1),
    "this is the start": lambda t, n, a, b: a,
    "this is the end": lambda t, n, a, b: b,
    "raised": lambda t, n, a, b: a * torch.exp(t / n),
}


@pytest.mark.parametrize(("says", "answer"), EXPONENTIAL.items(), ids=EXPONENTIAL)
def test_exponential(says, answer):
    wrong(exercises.check_exponential(answer), says)


def test_exponential_in_two_ways():
    right(
        exercises.check_exponential(
            lambda t, n, a, b: a ** (1 - min(t / n, 1)) * b ** min(t / n, 1)
        )
    )
    right(
        exercises.check_exponential(
            lambda t, n, a, b: math.exp(math.log(a) + min(t, n) / n * math.log(b / a))
        )
    )
