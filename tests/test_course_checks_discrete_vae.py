"""The checks of notebook 07 accept the right answer, and name the mistake in typical wrong ones."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from answers import exercises, right, wrong
from conftest import ROOT

# --- Exercise 1: KL to uniform --------------------------------------------------------------------


def kl(logits, dim=-1):
    log_q = logits.log_softmax(dim)
    return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum()


def entropy(logits):
    log_q = logits.log_softmax(-1)
    return -(log_q.exp() * log_q).sum()


def by_softmax(logits):
    q = logits.softmax(-1)
    return (q * (q.log() + math.log(logits.shape[-1]))).sum()


def log_n(logits):
    return math.log(logits.shape[1])


KL = {
    "the sign is the other way round": lambda t: -kl(t),
    "the entropy of q": entropy,
    "minus the entropy": lambda t: -entropy(t),
    "once for each of the V variables": lambda t: log_n(t) - entropy(t),
    "not log V": lambda t: len(t) * math.log(len(t)) - entropy(t),
    "the mean over the variables": lambda t: kl(t) / len(t),
    "one by one": lambda t: torch.stack([kl(row[None]) for row in t]),
    "the other way round, from uniform": lambda t: (
        (-log_n(t) - t.log_softmax(-1)).sum() / t.shape[1]
    ),
    "these are bits": lambda t: kl(t) / math.log(2),
    "runs over the variables": lambda t: kl(t, 0),
    "the factor q is missing": lambda t: (t.log_softmax(-1) + log_n(t)).sum(),
    "n times too much": lambda t: t.numel() * log_n(t) - entropy(t),
    "1/n is subtracted": lambda t: (t.softmax(-1) * (t.log_softmax(-1) - 1 / t.shape[1])).sum(),
    "n is added. Its logarithm": lambda t: t.numel() - entropy(t),
    "log n is subtracted": lambda t: -len(t) * log_n(t) - entropy(t),
    "the logits are not log q": lambda t: (t.softmax(-1) * (t + log_n(t))).sum(),
    "over all logits at once": lambda t: (
        t.flatten().softmax(-1) * (t.flatten().log_softmax(-1) + log_n(t))
    ).sum(),
    "not always 8": lambda t: len(t) * math.log(8) - entropy(t),
    "not of all logits": lambda t: len(t) * math.log(t.numel()) - entropy(t),
    "log n is in bits": lambda t: len(t) * math.log2(t.shape[1]) - entropy(t),
    "over all entries": lambda t: kl(t) / t.numel(),
    "Add up the classes, too": lambda t: (t.softmax(-1) * (t.log_softmax(-1) + log_n(t))).sum(0),
    "the result is NaN": by_softmax,
    "the shape is [3, 4]": lambda t: t.softmax(-1),
}


@pytest.mark.parametrize(("says", "answer"), KL.items(), ids=KL)
def test_kl_to_uniform(says, answer):
    wrong(exercises.check_kl_to_uniform(answer), says)


def test_kl_to_uniform_right():
    right(exercises.check_kl_to_uniform(kl))
    right(exercises.check_kl_to_uniform(lambda t: len(t) * log_n(t) - entropy(t)))
    right(exercises.check_kl_to_uniform(lambda t: kl(t).item()))

    def by_torch(logits):
        q = torch.distributions.Categorical(logits=logits)
        uniform = torch.distributions.Categorical(logits=torch.zeros_like(logits))
        return torch.distributions.kl_divergence(q, uniform).sum()

    right(exercises.check_kl_to_uniform(by_torch))


# --- Exercise 4: the importance-weighted bound ----------------------------------------------------


def bound(joint, q):
    return (joint - q).logsumexp(0) - math.log(len(q))


BOUND = {
    "− log M is missing": lambda p, q: (p - q).logsumexp(0),
    "log M is added": lambda p, q: (p - q).logsumexp(0) + math.log(len(q)),
    "the mean of the logarithms": lambda p, q: (p - q).mean(),
    "1 / q(D|x) is missing": lambda p, q: bound(p, torch.zeros_like(q)),
    "upside down": lambda p, q: bound(q, p),
    "q multiplies": lambda p, q: bound(p, -q),
    "a quotient of two means": lambda p, q: p.logsumexp(0) - q.logsumexp(0),
    "the largest weight alone. The": lambda p, q: (p - q).max(),
    "the largest weight alone, less": lambda p, q: (p - q).max() - math.log(len(q)),
    "the single log-weights": lambda p, q: p - q,
    "the logarithm is missing": lambda p, q: (p - q).exp().mean(),
    "divide by M after the logarithm": lambda p, q: (p - q).logsumexp(0) / len(q),
    "this is a loss": lambda p, q: -bound(p, q),
    "these are bits": lambda p, q: bound(p, q) / math.log(2),
    "log M is in bits": lambda p, q: (p - q).logsumexp(0) - math.log2(len(q)),
    "M is subtracted. Subtract its": lambda p, q: (p - q).logsumexp(0) - len(q),
    "the sum of the logarithms": lambda p, q: (p - q).sum(),
    "the logarithms are added, less": lambda p, q: (p - q).sum() - math.log(len(q)),
    "the mean of the logarithms, less": lambda p, q: (p - q).mean() - math.log(len(q)),
    "1/M stands inside": lambda p, q: ((p - q) / len(q)).logsumexp(0),
    "quotients of logarithms": lambda p, q: bound(p / q, torch.zeros_like(q)),
    "a logarithm already": lambda p, q: bound(p, q.exp()),
    "a q of its own": lambda p, q: bound(p, q.mean().expand_as(q)),
    "the harmonic mean": lambda p, q: -bound(q, p),
    "-188 is rounded to 0, and then": lambda p, q: math.log((p - q).exp().mean()),
    "is rounded to 0": lambda p, q: (p - q).exp().mean().log(),
    "exp of a number like -188": lambda p, q: (p.exp() / q.exp()).mean().log(),
    "exp of a number like -1876": lambda p, q: (p - q).double().exp().mean().log(),
    "less log M, which cancels": lambda p, q: p.logsumexp(0) - q.logsumexp(0) - math.log(len(q)),
}


@pytest.mark.parametrize(("says", "answer"), BOUND.items(), ids=BOUND)
def test_importance_weighted_bound(says, answer):
    wrong(exercises.check_importance_weighted_bound(answer), says)


def by_the_largest(log_joint, log_q):
    w = log_joint - log_q
    return w.max() + (w - w.max()).exp().mean().log()


@pytest.mark.parametrize("answer", [bound, by_the_largest, lambda p, q: bound(p, q).item()])
def test_importance_weighted_bound_right(answer):
    right(exercises.check_importance_weighted_bound(answer))


# --- Exercise 2: V_K from V_1 and V_∞ -------------------------------------------------------------


def predicted(v1, e1, limit, e, k):
    return limit + (v1 - limit) / k, math.hypot(e1 / k, e * (1 - 1 / k))


def with_variance(function):
    return lambda v1, e1, limit, e, k: (function(v1, limit, k), 0.0)


def with_error(function):
    return lambda v1, e1, limit, e, k: (limit + (v1 - limit) / k, function(e1, e, k))


PREDICTED = {
    "is left for every K": with_variance(lambda v, w, k: v / k),
    "(13) has two terms": with_variance(lambda v, w, k: (v - w) / k),
    "Divide V_1 − V_∞ by K": with_variance(lambda v, w, k: w + v / k),
    "this is V_∞": with_variance(lambda v, w, k: w),
    "this is V_1: K is missing": with_variance(lambda v, w, k: v),
    "K divides nothing here": with_variance(lambda v, w, k: v - w),
    "K takes nothing of V_∞": with_variance(lambda v, w, k: v - w + w / k),
    "exchanged V_1 and V_∞": with_variance(lambda v, w, k: v + (w - v) / k),
    "√K": with_variance(lambda v, w, k: w + (v - w) / math.sqrt(k)),
    "K − 1": with_variance(lambda v, w, k: w + (v - w) / (k - 1)),
    "K + 1": with_variance(lambda v, w, k: w + (v - w) / (k + 1)),
    "you multiply by K": with_variance(lambda v, w, k: w + (v - w) * k),
    "you divide both terms": with_variance(lambda v, w, k: (v + w) / k),
    "the difference is added": with_variance(lambda v, w, k: w - (v - w) / k),
    "cuts to an integer": with_variance(lambda v, w, k: w + (v - w) // k),
    "the factor a": lambda v1, e1, limit, e, k: (1 / k, 1 - 1 / k),
    "the variance comes first": lambda *given: predicted(*given)[::-1],
    "is 1 − 1/K, not 1/K": with_error(lambda a, b, k: math.hypot(a / k, b / k)),
    "not 1 + 1/K": with_error(lambda a, b, k: math.hypot(a / k, b * (1 + 1 / k))),
    "has its factor, too": with_error(lambda a, b, k: math.hypot(a, b * (1 - 1 / k))),
    "exchanged the errors": with_error(lambda a, b, k: math.hypot(b / k, a * (1 - 1 / k))),
    "Take their errors": lambda v1, e1, limit, e, k: predicted(v1, v1, limit, limit, k),
    "errors are not subtracted": with_error(lambda a, b, k: a / k - b * (1 - 1 / k)),
    "its factor is 1 − 1/K, not 1": with_error(lambda a, b, k: math.hypot(a / k, b)),
    "Collect them first": with_error(lambda a, b, k: math.sqrt((a**2 + b**2) / k**2 + b**2)),
    "add as squares: √": with_error(lambda a, b, k: b + (a - b) / k),
    "Take its root": with_error(lambda a, b, k: (a / k) ** 2 + (b * (1 - 1 / k)) ** 2),
    "are squared with the errors": with_error(
        lambda a, b, k: math.sqrt(a**2 / k + b**2 * (1 - 1 / k))
    ),
    "multiplied by their factors": with_error(lambda a, b, k: math.hypot(a, b)),
    "the error of V_∞ is missing": with_error(lambda a, b, k: a / k),
    "the error of V_1 is missing": with_error(lambda a, b, k: b * (1 - 1 / k)),
    "twice the standard error": with_error(lambda a, b, k: 2 * predicted(0, a, 0, b, k)[1]),
    "the sign is lost": with_error(
        lambda a, b, k: math.sqrt(abs((a / k) ** 2 - (b * (1 - 1 / k)) ** 2))
    ),
    "expected two numbers": lambda *given: predicted(*given)[0],
}


@pytest.mark.parametrize(("says", "answer"), PREDICTED.items(), ids=PREDICTED)
def test_predicted_variance(says, answer):
    wrong(exercises.check_predicted_variance(answer), says)


def test_predicted_variance_right():
    right(exercises.check_predicted_variance(predicted))

    def collected(v1, e1, limit, e, k):
        a = 1 / k
        return np.array([a * v1 + (1 - a) * limit, np.sqrt((a * e1) ** 2 + ((1 - a) * e) ** 2)])

    right(exercises.check_predicted_variance(lambda *given: torch.tensor(collected(*given))))
    right(exercises.check_predicted_variance(lambda *given: tuple(collected(*given))))
    right(exercises.check_predicted_variance(collected))


# --- Exercise 3: the best temperature -------------------------------------------------------------


def best(taus, bias, variance, m):
    return at_smallest(taus, bias + variance / m)


def at_smallest(taus, mse):
    return taus[mse.argmin()], mse.min()


def of_mse(function):
    return lambda taus, bias, variance, m: at_smallest(taus, function(bias, variance, m))


def with_tau(function):
    return lambda taus, b, v, m: (function(taus, b, v, m), (b + v / m).min())


TEMPERATURE = {
    "the bias is not averaged out": of_mse(lambda b, v, m: (b + v) / m),
    "m is missing": of_mse(lambda b, v, m: b + v),
    "the variance / m alone": of_mse(lambda b, v, m: v / m),
    "this is the bias² alone": of_mse(lambda b, v, m: b),
    "is squared already": of_mse(lambda b, v, m: b.square() + v / m),
    "take no root": of_mse(lambda b, v, m: b.sqrt() + v / m),
    "not like 1/√m": of_mse(lambda b, v, m: b + v / math.sqrt(m)),
    "not like 1/m²": of_mse(lambda b, v, m: b + v / m**2),
    "Divide by m": of_mse(lambda b, v, m: b + v * m),
    "divide the bias² and not": of_mse(lambda b, v, m: b / m + v),
    "added, not subtracted": of_mse(lambda b, v, m: b - v / m),
    "is a square already": of_mse(lambda b, v, m: b + v.square() / m),
    "m times the MSE": of_mse(lambda b, v, m: m * b + v),
    "not / (m − 1)": of_mse(lambda b, v, m: b + v / max(m - 1, 1)),
    "the τ comes first": lambda *given: best(*given)[::-1],
    "the largest MSE. The smallest": lambda t, b, v, m: (t[0], (b + v / m).max()),
    "the mean over all τ": lambda t, b, v, m: (t[0], (b + v / m).mean()),
    "not its square root": lambda t, b, v, m: (t[0], (b + v / m).min().sqrt()),
    "counted from 0": with_tau(lambda t, b, v, m: (b + v / m).argmin()),
    "counted from 1": with_tau(lambda t, b, v, m: (b + v / m).argmin() + 1),
    "τ of the largest MSE": with_tau(lambda t, b, v, m: t[(b + v / m).argmax()]),
    "τ of the smallest bias²": with_tau(lambda t, b, v, m: t[b.argmin()]),
    "τ of the smallest variance": with_tau(lambda t, b, v, m: t[v.argmin()]),
    "expected two numbers": lambda t, b, v, m: best(t, b, v, m)[0],
    "got [": lambda t, b, v, m: (t[0], b + v / m),
}


@pytest.mark.parametrize(("says", "answer"), TEMPERATURE.items(), ids=TEMPERATURE)
def test_best_temperature(says, answer):
    wrong(exercises.check_best_temperature(answer), says)


def test_best_temperature_right():
    right(exercises.check_best_temperature(best))

    def by_a_loop(taus, bias, variance, m):
        mse, tau = min((b + v / m, tau) for tau, b, v in zip(taus, bias, variance, strict=True))
        return [tau.item(), mse.item()]

    right(exercises.check_best_temperature(by_a_loop))


# --- Exercise 5: the draw behind 140 nats ---------------------------------------------------------

STEPS = pd.read_csv(ROOT / "notebooks/results/fig2/steps.csv")
AT_140 = STEPS[STEPS.threshold == 140].pivot(index="draw", columns="row", values="steps")


def test_the_draw_is_that_of_the_stored_rows():
    later = AT_140["ST-GS"] - AT_140[["GR-MC10", "GR-∞"]].max(axis=1)
    right(exercises.check_draw_behind_140(later.idxmax()))
    others = later.drop(later.idxmax()).dropna()
    assert len(others) == 14
    assert others.max() <= 2000
    for draw in others.index:
        wrong(exercises.check_draw_behind_140(draw), "at most 2,000 steps more")
    nobody = AT_140[AT_140.isna().all(axis=1)].index
    assert len(nobody) == 5
    for draw in nobody:
        wrong(exercises.check_draw_behind_140(draw), "in none of the means")
    wrong(exercises.check_draw_behind_140(AT_140["ST-GS"][later.idxmax()]), "how long ST-GS took")
    wrong(exercises.check_draw_behind_140(later.max()), "by how much ST-GS was later")
    wrong(exercises.check_draw_behind_140(AT_140["ST-GS"].mean()), "the mean of ST-GS")


def test_the_momentum_is_that_of_the_stored_runs():
    runs = pd.read_csv(ROOT / "notebooks/results/table2/runs.csv")
    (momentum,) = runs[runs.seed == 5].momentum.unique()
    wrong(exercises.check_draw_behind_140(momentum), "that is its momentum")


OTHERS = {"the threshold": 140, "is no draw:": 20}


@pytest.mark.parametrize(("says", "answer"), {**OTHERS, "no answer": None}.items())
def test_draw_behind_140(says, answer):
    wrong(exercises.check_draw_behind_140(answer), says)
