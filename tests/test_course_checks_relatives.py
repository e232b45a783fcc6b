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


def rloo_of(losses, scores, kept):
    others = (losses.sum() - losses) / (len(losses) - 1)
    return ((losses - others)[:, None] * scores)[kept].sum(0) / len(losses)


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
    "the sum is divided by n": lambda f, s: rloo(f, s) * len(f) / s.shape[1],
    "the last draw is missing": lambda f, s: rloo_of(f, s, slice(0, -1)),
    "the first draw is missing": lambda f, s: rloo_of(f, s, slice(1, None)),
    "you subtract one other loss": weighted(lambda f: f - f.roll(1)),
    "the first loss from each": weighted(lambda f: f - f[0]),
    "divided by S + 1": weighted(lambda f: f - (f.sum() - f) / (len(f) + 1)),
    "the loss minus (the sum": weighted(lambda f: (f - f.sum() - f) / (len(f) - 1)),
    "the others, all of it": weighted(lambda f: f - f.sum() - f / (len(f) - 1)),
    "the loss itself is missing": weighted(lambda f: (f.sum() - f) / (len(f) - 1)),
    "first write the parentheses": weighted(lambda f: f - f.max()),
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

    def with_numpy(losses, scores):
        return rloo(losses, scores).numpy()

    for answer in (rloo, with_a_loop, from_the_covariance, with_numpy):
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
    "for i − 1": reinmax(m=lambda p, d: (p + d.roll(-1)) / 2),
    "for i + 1": reinmax(m=lambda p, d: (p + d.roll(1)) / 2),
    "Only p is halved": reinmax(m=lambda p, d: p / 2 + d),
    "Only D is halved": reinmax(m=lambda p, d: p + d / 2),
    "ones in all places": reinmax(m=lambda p, d: (p + 1) / 2),
    "You have the difference": reinmax(m=lambda p, d: (d - p) / 2),
    "the mean of J(m) g": reinmax(0.5, 0.5),
    "J(D) g is 0": reinmax(0.0, 0.5),
    "You have ⟨p, g⟩ in both": lambda g, p, i: (p + one_hot(p, i)) * (g - p @ g) - times(p, g) / 2,
    "You have ⟨m, g⟩ in both": lambda g, p, i: (
        (p / 2 + one_hot(p, i)) * (g - (p + one_hot(p, i)) @ g / 2)
    ),
    "You subtract the sum of g": lambda g, p, i: (p / 2 + one_hot(p, i)) * (g - g.sum()),
    "subtracted, not added": of_jacobians(lambda q: torch.diag(q) + torch.outer(q, q)),
    "q @ q is one number": of_jacobians(lambda q: torch.diag(q) - q @ q),
    "have to sum to 0": lambda g, p, i: g,
    "write J(q) g as a function": reinmax(3.0, -1.0),
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
    "Both faults add up": lambda b, v, c, n: math.sqrt(abs(b**2 - v * c / n)),
    "divided by cost / evaluations": lambda b, v, c, n: math.sqrt(b**2 + v * n / c),
    "but multiplied": lambda b, v, c, n: math.sqrt(b**2 + v * n * c),
    "and the variance is not": lambda b, v, c, n: math.sqrt(b**2 * c / n + v),
    "the cost multiplies the bias": lambda b, v, c, n: math.sqrt(b**2 * c + v * c / n),
    "the bias is divided by the number": lambda b, v, c, n: math.hypot(
        b * c / n, math.sqrt(v * c / n)
    ),
    "You square that": lambda b, v, c, n: math.hypot(b, v * c / n),
    "You take its root before": lambda b, v, c, n: math.sqrt(b**2 + math.sqrt(v) * c / n),
    "the root is of the whole sum": lambda b, v, c, n: b**2 + v * c / n**0.5,
    "one less than the number of estimates": lambda b, v, c, n: math.sqrt(b**2 + v / (n / c - 1)),
    "the square of the mean squared error": lambda b, v, c, n: (b**2 + v * c / n) ** 2,
    "not 64": lambda b, v, c, n: math.sqrt(b**2 + v * c / 64),
    "with m = evaluations / cost": lambda b, v, c, n: 2 * b + v,
    "do not round": lambda b, v, c, n: math.sqrt(b**2 + v / (n // c)),
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
    "Yours is a again": lambda t, n, a, b: a * (b / a) ** (t / n) if t <= n else a,
    "Yours is 0": lambda t, n, a, b: a * (b / a) ** (t / n) if t <= n else 0.0,
    "one step late": lambda t, n, a, b: a * (b / a) ** min((t - 1) / n, 1),
    "one step early": lambda t, n, a, b: a * (b / a) ** min((t + 1) / n, 1),
    "a · b / a is b": lambda t, n, a, b: (a * b / a) ** min(t / n, 1),
    "falls towards b like": lambda t, n, a, b: b + (a - b) * math.exp(-min(t / n, 1)),
    "this is the cosine": lambda t, n, a, b: (
        b + (a - b) * (1 + math.cos(math.pi * min(t / n, 1))) / 2
    ),
    "the factor of one step": lambda t, n, a, b: (b / a) ** (1 / n),
    "the temperature of step 1": lambda t, n, a, b: a * (b / a) ** (1 / n),
    "not 1 − b/a": lambda t, n, a, b: a * (1 - b / a) ** min(t / n, 1),
    "it has to be a at step 0": lambda t, n, a, b: 1.0,
    "raised": lambda t, n, a, b: a * torch.exp(t / n),
    "Here it rises": lambda t, n, a, b: max(b, a * (b / a) ** (t / n)),
    "take min(t/T, 1)": lambda t, n, a, b: (
        a * (b / a) ** (t / n) if b > a else max(b, a * (b / a) ** (t / n))
    ),
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


def test_exponential_that_returns_in_one_branch_only():
    def exponential(t, steps, a, b):
        if t < steps:
            return a * (b / a) ** (t / steps)

    said = "exponential returned nothing. Write its body, and end each branch with `return`"
    wrong(exercises.check_exponential(exponential), said)
