"""Each check accepts the right answer, and names the mistake in typical wrong ones."""

import math

import numpy as np
import pytest
import torch
from answers import exercises, raises, right, stub, wrong
from conftest import ROOT
from seeded import seeded
from torch.nn.functional import one_hot

from gumbelrao_edu.course.verdict import call, check, expect, number

GAMMA = 0.5772156649015329


CHECKS = {
    "check_gumbel_from_uniform": stub,
    "check_one_hot_sample": stub,
    "check_mean_of_max": None,
    "check_relaxed_sample": stub,
    "check_truncated_gumbel": stub,
    "check_conditional_gumbel": stub,
    "check_conditional_softmax": stub,
    "check_softmax_vjp": stub,
    "check_variance": stub,
    "check_split_variance": stub,
    "check_enough_samples": stub,
    "check_relaxed_mean": stub,
    "check_bump": stub,
    "check_limit": stub,
    "check_quadratic_matrix": stub,
    "check_fixed_loss": stub,
    "check_log_ratio": stub,
    "check_merge": stub,
    "check_log_probability": stub,
    "check_first_term": stub,
    "check_paired_interval": stub,
    "check_kl_to_uniform": stub,
    "check_importance_weighted_bound": stub,
    "check_predicted_variance": stub,
    "check_best_temperature": stub,
    "check_rloo": stub,
    "check_reinmax": stub,
    "check_equal_cost": stub,
    "check_exponential": stub,
}


@pytest.mark.parametrize(("name", "answer"), CHECKS.items(), ids=CHECKS)
def test_an_exercise_that_was_not_begun_is_not_yet_solved(name, answer):
    said = "stub returned nothing" if callable(answer) else "no answer so far"
    wrong(getattr(exercises, name)(answer), said)


def test_every_check_is_tested():
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    names = list(vars(exercises))
    assert names
    assert [name for name in names if f"{name}(" not in tests] == []


@pytest.mark.parametrize("name", [name for name, answer in CHECKS.items() if answer is stub])
def test_an_error_of_the_learner_is_told_and_does_not_stop_the_notebook(name):
    wrong(getattr(exercises, name)(raises), "raises raised ArithmeticError: on purpose")
    wrong(getattr(exercises, name)(3), "expected a function, got 3")


# --- 01 -------------------------------------------------------------------------------------------

GUMBEL = {
    "minus in front of the outer": lambda u: (-u.log()).log(),
    "one more logarithm": lambda u: -u.log(),
    "two logarithms": lambda u: u.log(),
    "NaN": lambda u: -u.log().log(),
    "its inverse": lambda u: torch.exp(-torch.exp(-u)),
    "no 1 − u": lambda u: -(-(1 - u).log()).log(),
    "natural": lambda u: -(-u.log10()).log10(),
    "every number is +1 off": lambda u: 1 - (-u.log()).log(),
    "expected a tensor, got list": lambda u: (-(-u.log()).log()).tolist(),
    "the shape is []": lambda u: -(-u.log()).log().sum(),
    "it gives [0.001, 0.999], and should give u": lambda u: -(-u.clamp(1e-3, 1 - 1e-3).log()).log(),
}


@pytest.mark.parametrize(("says", "answer"), GUMBEL.items(), ids=GUMBEL)
def test_gumbel_from_uniform(says, answer):
    wrong(exercises.check_gumbel_from_uniform(answer), says)


def test_gumbel_from_uniform_shows_the_numbers():
    verdict = exercises.check_gumbel_from_uniform(lambda u: (-u.log()).log())
    wrong(verdict, "u = [0.1, 0.5, 0.9]", "[0.834, -0.3665, -2.25]", "[-0.834, 0.3665, 2.25]")
    right(exercises.check_gumbel_from_uniform(lambda u: -torch.log(-torch.log(u))))


ONE_HOT = {
    "numbers of the classes": lambda t, g: (t + g).argmax(-1),
    "Its place is wanted": lambda t, g: (t + g).amax(-1),
    "largest logit": lambda t, g: one_hot(t.argmax(-1), len(t)).expand_as(g),
    "add the logits": lambda t, g: one_hot(g.argmax(-1), len(t)),
    "belongs to the logits": lambda t, g: one_hot((t.softmax(-1) + g).argmax(-1), len(t)),
    "you take the smallest": lambda t, g: one_hot((-t - g).argmax(-1), len(t)),
    "softmax of θ + G": lambda t, g: (t + g).softmax(-1),
    "raised": lambda t, g: one_hot((t.unsqueeze(-1) + g).argmax(-1), len(t)),
    "the shape is [6]": lambda t, g: one_hot((t + g)[0].argmax(-1), len(t)),
}


@pytest.mark.parametrize(("says", "answer"), ONE_HOT.items(), ids=ONE_HOT)
def test_one_hot_sample(says, answer):
    wrong(exercises.check_one_hot_sample(answer), says)


@pytest.mark.parametrize(
    ("says", "place"),
    [
        ("one too far", lambda t, g: ((t + g).argmax(-1) + 1) % len(t)),
        ("one too low", lambda t, g: ((t + g).argmax(-1) - 1) % len(t)),
        ("take the smallest", lambda t, g: (t + g).argmin(-1)),
        ("over the draws", lambda t, g: (t + g).argmax(0)),
        ("noise is subtracted", lambda t, g: (t - g).argmax(-1)),
    ],
)
def test_one_hot_sample_of_another_place(says, place):
    wrong(exercises.check_one_hot_sample(lambda t, g: one_hot(place(t, g), len(t))), says)


def test_one_hot_sample_in_several_ways():
    right(exercises.check_one_hot_sample(lambda t, g: one_hot((t + g).argmax(-1), len(t))))
    right(exercises.check_one_hot_sample(lambda t, g: t + g == (t + g).amax(-1, keepdim=True)))


MEANS = {
    "2.303 is log Z": math.log(10),
    "10 is Z": 10,
    "largest logit": math.log(5),
    "third entry alone": math.log(5) + GAMMA,
    "sum of the logits": math.log(30),
    "lies above its location": math.log(10) - GAMMA,
    "natural one": 1 + GAMMA,
    "located at 0": GAMMA,
    "7 is not the mean": 7.0,
    "expected one number": "2.88",
}


@pytest.mark.parametrize(("says", "answer"), MEANS.items(), ids=MEANS)
def test_mean_of_max(says, answer):
    if answer == "2.88":
        answer = torch.zeros(2)
    wrong(exercises.check_mean_of_max(answer), says)


@pytest.mark.parametrize("answer", [2.87, 2.89, 2.895])
def test_mean_of_max_takes_two_digits(answer):
    wrong(exercises.check_mean_of_max(answer), "is not the mean")


@pytest.mark.parametrize("answer", [2.88, "2.88", torch.tensor(2.8798), math.log(10) + GAMMA])
def test_mean_of_max_takes_any_number(answer):
    right(exercises.check_mean_of_max(answer))


RELAXED = {
    "only the logits are divided": lambda t, g, tau: (t / tau + g).softmax(-1),
    "only the noise is divided": lambda t, g, tau: (t + g / tau).softmax(-1),
    "Divide by it": lambda t, g, tau: ((t + g) * tau).softmax(-1),
    "τ has no effect": lambda t, g, tau: (t + g).softmax(-1),
    "no noise": lambda t, g, tau: (t / tau).softmax(-1).expand_as(g),
    "over the draws": lambda t, g, tau: ((t + g) / tau).softmax(0),
    "are cut off": lambda t, g, tau: (
        ((t + g) / tau).clamp(max=80).exp()
        / ((t + g) / tau).clamp(max=80).exp().sum(-1, keepdim=True)
    ),
    "not divided by their sum": lambda t, g, tau: ((t + g) / tau).exp(),
    "over all rows": lambda t, g, tau: ((t + g) / tau).exp() / ((t + g) / tau).exp().sum(),
    "its logarithm": lambda t, g, tau: ((t + g) / tau).log_softmax(-1),
    "Divide inside": lambda t, g, tau: (t + g).softmax(-1) / tau,
    "too large for float32": lambda t, g, tau: (
        ((t + g) / tau).exp() / ((t + g) / tau).exp().sum(-1, keepdim=True)
    ),
    "sum to [0.5, 0.5]": lambda t, g, tau: (
        ((t + g) / tau).softmax(-1).square().sqrt() * torch.tensor([[0.5], [0.5]])[: len(g)]
    ),
}


@pytest.mark.parametrize(("says", "answer"), RELAXED.items(), ids=RELAXED)
def test_relaxed_sample(says, answer):
    if says.startswith("sum to"):
        says = "0.5 times what it should be"
    wrong(exercises.check_relaxed_sample(answer), says)


def test_relaxed_sample_that_survives():
    right(exercises.check_relaxed_sample(lambda t, g, tau: ((t + g) / tau).softmax(-1)))


# --- 02 -------------------------------------------------------------------------------------------

TRUNCATED = {
    "which can pass the bound": lambda t, b, e: t - e.log(),
    "a lump": lambda t, b, e: torch.minimum(t - e.log(), b),
    "with a minus": lambda t, b, e: -(e / t.exp() + b.exp()).log(),
    "minus in front": lambda t, b, e: (e / t.exp() + (-b).exp()).log(),
    "you multiply": lambda t, b, e: -(e * t.exp() + (-b).exp()).log(),
    "θ is missing": lambda t, b, e: -(e + (-b).exp()).log(),
    "divided by θ": lambda t, b, e: -(e / t + (-b).exp()).log(),
    "time at which it rings": lambda t, b, e: e / t.exp() + (-b).exp(),
    "the shape is [2]": lambda t, b, e: -(e / t.exp() + (-b).exp()).log()[:2],
}


@pytest.mark.parametrize(("says", "answer"), TRUNCATED.items(), ids=TRUNCATED)
def test_truncated_gumbel(says, answer):
    wrong(exercises.check_truncated_gumbel(answer), says)


def test_truncated_gumbel_in_two_ways():
    def by_logaddexp(theta, bound, e):
        return -torch.logaddexp(e.log() - theta, -bound)

    right(exercises.check_truncated_gumbel(by_logaddexp))


def merge(logits, i, winner, others):
    return torch.where(torch.arange(len(logits)) == i, winner, others)


def z(t):
    return t.exp().sum()


def equation_9(t, i, e):
    first = e[:, [i]] / z(t)
    return -merge(t, i, first, e / t.exp() + first).log()


CONDITIONAL = {
    "without any condition": lambda t, i, e: t - e.log(),
    "lacks + log Z": lambda t, i, e: merge(t, i, -e.log(), equation_9(t, i, e)),
    "belongs at log Z": lambda t, i, e: merge(t, i, t - e.log(), equation_9(t, i, e)),
    "wrong sign": lambda t, i, e: merge(t, i, -e.log() - z(t).log(), equation_9(t, i, e)),
    "delayed by itself": lambda t, i, e: -(e / t.exp() + e[:, [i]] / z(t)).log(),
    "can pass the winner": lambda t, i, e: merge(t, i, -(e / z(t)).log(), t - e.log()),
    "wait for E_i / exp θ_i": lambda t, i, e: merge(
        t, i, -(e / z(t)).log(), -(e / t.exp() + e[:, [i]] / t[i].exp()).log()
    ),
    "E_j / Z in place of": lambda t, i, e: merge(
        t, i, -(e / z(t)).log(), -(e / t.exp() + e / z(t)).log()
    ),
    "E_j · exp θ_j": lambda t, i, e: merge(
        t, i, -(e / z(t)).log(), -(e * t.exp() + e[:, [i]] / z(t)).log()
    ),
    "lack the division": lambda t, i, e: merge(
        t, i, -(e / z(t)).log(), -(e + e[:, [i]] / z(t)).log()
    ),
    "this is G.": lambda t, i, e: equation_9(t, i, e) - t,
    "2θ + G": lambda t, i, e: equation_9(t, i, e) + t,
    "the times": lambda t, i, e: (-equation_9(t, i, e)).exp(),
    "this is (9) for class 2": lambda t, i, e: equation_9(t, (i + 1) % len(t), e),
    "not the largest in every row": lambda t, i, e: equation_9(t, (i + 1) % len(t), e) / 2,
    "the shape is [3]": lambda t, i, e: equation_9(t, i, e)[:, i],
}


@pytest.mark.parametrize(("says", "answer"), CONDITIONAL.items(), ids=CONDITIONAL)
def test_conditional_gumbel(says, answer):
    wrong(exercises.check_conditional_gumbel(answer), says)


def test_conditional_gumbel_right():
    right(exercises.check_conditional_gumbel(equation_9))


def weights(p, i, e, tau):
    r = (1 + e / (e[:, [i]] * p)) ** (-1 / tau)
    r[:, i] = 1
    return r


def normalised(r):
    return r / r.sum(-1, keepdim=True)


def powers(base):
    """A wrong base for j ≠ i, with everything else right."""

    def answer(p, i, e, tau):
        r = base(p, i, e, tau)
        r[:, i] = 1
        return normalised(r)

    return answer


def through_equation_9(p, i, e, tau):
    x = equation_9(p.log(), i, e) / tau
    return x.exp() / x.exp().sum(-1, keepdim=True)


SOFTMAX = {
    "Divide each row by its sum": weights,
    "formula for j ≠ i there, too.": lambda p, i, e, tau: normalised(
        (1 + e / (e[:, [i]] * p)) ** (-1 / tau)
    ),
    "too, and the rows": lambda p, i, e, tau: (1 + e / (e[:, [i]] * p)) ** (-1 / tau),
    "With +1/τ": powers(lambda p, i, e, tau: (1 + e / (e[:, [i]] * p)) ** (1 / tau)),
    "you have −τ": powers(lambda p, i, e, tau: (1 + e / (e[:, [i]] * p)) ** -tau),
    "temperature is missing": powers(lambda p, i, e, tau: 1 / (1 + e / (e[:, [i]] * p))),
    "1 + in the base": powers(lambda p, i, e, tau: (e / (e[:, [i]] * p)) ** (-1 / tau)),
    "changed places": powers(lambda p, i, e, tau: (1 + e[:, [i]] / (e * p)) ** (-1 / tau)),
    "divide by p_i": powers(lambda p, i, e, tau: (1 + e / (e[:, [i]] * p[i])) ** (-1 / tau)),
    "multiply by p_j": powers(lambda p, i, e, tau: (1 + e * p / e[:, [i]]) ** (-1 / tau)),
    "over all rows": lambda p, i, e, tau: weights(p, i, e, tau) / weights(p, i, e, tau).sum(),
    "over the draws": lambda p, i, e, tau: weights(p, i, e, tau) / weights(p, i, e, tau).sum(0),
    "do not go through": through_equation_9,
    "no p is too small": lambda p, i, e, tau: normalised(weights(p.clamp(min=1e-6), i, e, tau)),
}


@pytest.mark.parametrize(("says", "answer"), SOFTMAX.items(), ids=SOFTMAX)
def test_conditional_softmax(says, answer):
    wrong(exercises.check_conditional_softmax(answer), says)


def test_conditional_softmax_right():
    right(exercises.check_conditional_softmax(lambda *args: normalised(weights(*args))))


# --- 03 -------------------------------------------------------------------------------------------


def inner(g, s):
    return (g * s).sum(-1, keepdim=True)


def vjp(s, g, tau):
    return s * (g - inner(g, s)) / tau


VJP = {
    "1/τ is missing": lambda s, g, tau: tau * vjp(s, g, tau),
    "multiply by τ": lambda s, g, tau: tau**2 * vjp(s, g, tau),
    "has to be subtracted": lambda s, g, tau: s * g / tau,
    "is added": lambda s, g, tau: s * (g + inner(g, s)) / tau,
    "the factor s": lambda s, g, tau: (g - inner(g, s)) / tau,
    "s belongs before both": lambda s, g, tau: (s * g - inner(g, s)) / tau,
    "s and 1/τ belong before both": lambda s, g, tau: (
        s * g - inner(g, s) / tau if tau < 1 else vjp(s, g, tau)
    ),
    "divided by τ; both are": lambda s, g, tau: s * (g - inner(g, s) / tau),
    "divided by τ: both are": lambda s, g, tau: s * (g / tau - inner(g, s)),
    "only the diagonal": lambda s, g, tau: g * s * (1 - s) / tau,
    "not over everything": lambda s, g, tau: s * (g - (g * s).sum()) / tau,
    "sum over the rows": lambda s, g, tau: s * (g - (g * s).sum(0)) / tau,
    "you have a mean": lambda s, g, tau: s * (g - (g * s).mean(-1, keepdim=True)) / tau,
    "by τ twice": lambda s, g, tau: vjp(s, g, tau) / tau,
    "stands there twice": lambda s, g, tau: s * vjp(s, g, tau),
    "a softmax already": lambda s, g, tau: vjp((s / tau).softmax(-1), g, tau),
    "you have s times s": lambda s, g, tau: s * (g - inner(s, s)) / tau,
    "you have the sum of g": lambda s, g, tau: s * (g - g.sum()) / tau,
    "keep its axis": lambda s, g, tau: s * (g - (g * s).sum(-1)) / tau,
    "sign is wrong everywhere": lambda s, g, tau: -vjp(s, g, tau),
    "you have the mean of g": lambda s, g, tau: s * (g - g.mean()) / tau,
    "g and s have changed places": lambda s, g, tau: g * (s - inner(g, s)) / tau,
    "you have s.": lambda s, g, tau: s * (g - s) / tau,
    "leaves g_b, and not 1": lambda s, g, tau: s * (1 - inner(g, s)) / tau,
    "g is missing.": lambda s, g, tau: s * (1 - s) / tau,
    "the rows of the Jacobian sum to 0": lambda s, g, tau: 0 * s,
    "s_b g_b is missing.": lambda s, g, tau: s * inner(g, s) / tau,
    "the other has a minus": lambda s, g, tau: -s * inner(g, s) / tau,
    "that of the first row for all": lambda s, g, tau: s * (g - inner(g, s)[0]) / tau,
    "this is the first row for all": lambda s, g, tau: vjp(s, g, tau)[:1].expand_as(s),
    "mean over the rows": lambda s, g, tau: vjp(s, g, tau).mean(0),
    "this is ⟨g, s⟩ alone": lambda s, g, tau: s @ g,
    "the root of τ": lambda s, g, tau: vjp(s, g, tau**0.5),
    "⟨g, s⟩ is [-0.65, 0.35] for the rows": lambda s, g, tau: s * (g - (g * s).norm()) / tau,
}


@pytest.mark.parametrize(("says", "answer"), VJP.items(), ids=VJP)
def test_softmax_vjp(says, answer):
    if says == "1/τ is missing":  # at τ = 1 it makes no difference: the second case finds it
        wrong(exercises.check_softmax_vjp(answer), "tau = 0.25")
    wrong(exercises.check_softmax_vjp(answer), says)


def test_softmax_vjp_by_the_whole_jacobian():
    def jacobian(s, g, tau):
        return ((torch.diag_embed(s) - s.unsqueeze(-1) * s.unsqueeze(-2)) @ g) / tau

    right(exercises.check_softmax_vjp(jacobian))


def custom(backward, forward=lambda one_hot: one_hot.clone()):
    """A class as the learner writes it, with another backward pass."""

    class GRMCK(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, one_hot, e, tau):
            ctx.save_for_backward(logits, one_hot, e)
            ctx.tau = tau
            return forward(one_hot)

        @staticmethod
        def backward(ctx, g):
            return backward(g, *ctx.saved_tensors, ctx.tau)

    return GRMCK


def of_samples(samples):
    """The mean of the products with the Jacobian at what `samples` returns."""

    def backward(g, logits, one_hot, e, tau):
        x = samples(logits, int(one_hot.argmax()), e)
        return vjp((x / tau).softmax(-1), g, tau).mean(0), None, None, None

    return custom(backward)


def changed(change):
    """The right products, and what is made of them."""

    def backward(g, logits, one_hot, e, tau):
        s = (equation_9(logits, int(one_hot.argmax()), e) / tau).softmax(-1)
        return change(s, g, tau), None, None, None

    return custom(backward)


def of_weights(*, winner=True, sign=-1):
    """As in the solution, from the weights r of notebook 02."""

    def backward(g, logits, one_hot, e, tau):
        i = int(one_hot.argmax())
        r = (1 + e / (e[:, [i]] * logits.softmax(-1))) ** (sign / tau)
        if winner:
            r[:, i] = 1
        return vjp(r / r.sum(-1, keepdim=True), g, tau).mean(0), None, None, None

    return custom(backward)


def of_r(change, *, winner=True):
    """The products at what is made of the weights r."""

    def backward(g, logits, one_hot, e, tau):
        i = int(one_hot.argmax())
        r = (1 + e / (e[:, [i]] * logits.softmax(-1))) ** (-1 / tau)
        if winner:
            r[:, i] = 1
        return vjp(change(r, i), g, tau).mean(0), None, None, None

    return custom(backward)


def row_of_ones(r, i):
    r[i] = 1
    return r


def of_base(base, power=lambda tau: -1 / tau):
    """The weights r from another base or power, with everything else right."""

    def backward(g, logits, one_hot, e, tau):
        i = int(one_hot.argmax())
        r = base(logits.softmax(-1), logits, i, e) ** power(tau)
        r[:, i] = 1
        return vjp(r / r.sum(-1, keepdim=True), g, tau).mean(0), None, None, None

    return custom(backward)


def through(g, logits, one_hot, e, tau):
    with torch.enable_grad():
        theta = logits.detach().requires_grad_()
        s = (equation_9(theta, int(one_hot.argmax()), e) / tau).softmax(-1)
        (s.mean(0) * g).sum().backward()
    return theta.grad, None, None, None


BACKWARD = {
    "gives no gradient for the logits": custom(lambda *args: (None, None, None, None)),
    "your class raised RuntimeError": custom(lambda *args: None),
    "has to return D itself": custom(
        lambda g, *args: (g, None, None, None), lambda one_hot: one_hot * 0.9
    ),
    "Take their mean": changed(lambda s, g, tau: vjp(s, g, tau).sum(0)),
    "1/τ is missing": changed(lambda s, g, tau: tau * vjp(s, g, tau).mean(0)),
    "which has the shape of the logits": changed(vjp),
    "g is not used": changed(lambda s, g, tau: vjp(s, torch.ones_like(g), tau).mean(0)),
    "r_i = 1 is missing": of_weights(winner=False),
    "a minus is missing": of_weights(sign=1),
    "the first of the K": changed(lambda s, g, tau: vjp(s, g, tau)[0]),
    "then average": changed(lambda s, g, tau: vjp(s.mean(0), g, tau)),
    "runs through equation (9)": custom(through),
    "straight-through": of_samples(lambda t, i, e: t.expand_as(e)),
    "not the one given D": of_samples(lambda t, i, e: t - e.log()),
    "holds θ + G already": of_samples(lambda t, i, e: equation_9(t, i, e) + t),
    "passed on as it is": custom(lambda g, *args: (g, None, None, None)),
    "sign is wrong everywhere": changed(lambda s, g, tau: -vjp(s, g, tau).mean(0)),
    "the last of the K": changed(lambda s, g, tau: vjp(s, g, tau)[-1]),
    "exp θ alone": of_base(lambda p, t, i, e: 1 + e / (e[:, [i]] * t.exp())),
    "You have the logits": of_base(lambda p, t, i, e: 1 + e / (e[:, [i]] * t)),
    "You have p_i for all": of_base(lambda p, t, i, e: 1 + e / (e[:, [i]] * p[i])),
    "You have −τ": of_base(lambda p, t, i, e: 1 + e / (e[:, [i]] * p), lambda tau: -tau),
    "E_i is missing": of_base(lambda p, t, i, e: 1 + e / p),
    "You take row i": of_base(lambda p, t, i, e: 1 + e / (e[min(i, len(e) - 1)] * p)),
    "E_i and E_j changed places": of_base(lambda p, t, i, e: 1 + e[:, [i]] / (e * p)),
    "1 + is missing": of_base(lambda p, t, i, e: e / (e[:, [i]] * p)),
    "not its logarithm": of_base(lambda p, t, i, e: 1 + e / (e[:, [i]] * p.log())),
    "multiply by p_j": of_base(lambda p, t, i, e: 1 + e / e[:, [i]] * p),
    "p_j is missing": of_base(lambda p, t, i, e: 1 + e / e[:, [i]]),
    "has to be divided by its sum": of_r(lambda r, i: r),
    "takes a softmax of r": of_r(lambda r, i: r.softmax(-1)),
    "each row of r": of_r(lambda r, i: r / r.sum(0)),
    "r_i is 1, and not 0": of_r(lambda r, i: normalised(r * (torch.arange(len(r.T)) != i))),
    "r[i] = 1 sets a row": of_r(lambda r, i: normalised(row_of_ones(r, i)), winner=False),
    "Put brackets": of_base(  # τ is 0.5
        lambda p, t, i, e: 0.5 * (1 + e / (e[:, [i]] * p)), lambda tau: -1
    ),
    "⟨g, s⟩ is missing": changed(lambda s, g, tau: (s * g / tau).mean(0)),
    "the factor s in front": changed(lambda s, g, tau: ((g - inner(g, s)) / tau).mean(0)),
    "this is the mean of s": changed(lambda s, g, tau: s.mean(0)),
    "this is s times g": changed(lambda s, g, tau: s.mean(0) * g),
    "only the diagonal": changed(lambda s, g, tau: (g * s * (1 - s) / tau).mean(0)),
    "and not D": changed(lambda s, g, tau: vjp(s, (g == 1).double(), tau).mean(0)),
    "Divide by K": changed(lambda s, g, tau: vjp(s, g, tau).sum(0) / len(g)),
    "you multiply by τ": changed(lambda s, g, tau: tau**2 * vjp(s, g, tau).mean(0)),
    "you divide by τ twice": changed(lambda s, g, tau: vjp(s, g, tau).mean(0) / tau),
    "taken at D": changed(lambda s, g, tau: vjp((g == 1).double(), g, tau)),
    "for the first draw r is": changed(lambda s, g, tau: vjp(s, g, tau).median(0).values),
    "your backward pass draws": changed(
        lambda s, g, tau: vjp(s, g * torch.rand_like(g), tau).mean(0)
    ),
    "Two shapes do not fit": of_base(lambda p, t, i, e: 1 + e / (e[:, i] * p)),
    "their shape, [n]": changed(lambda s, g, tau: vjp(s, g, tau).mean(-1)),
    "expected your class": stub,
}


@pytest.mark.parametrize(("says", "answer"), BACKWARD.items(), ids=BACKWARD)
def test_backward(says, answer):
    wrong(exercises.check_backward(answer), says)


def test_backward_right():
    right(exercises.check_backward(of_samples(equation_9)))
    right(exercises.check_backward(of_weights()))


def test_backward_agrees_with_the_library():
    """The check's own reference is the estimator, up to the luck of the draw."""
    from gumbelrao_edu.course.gumbel_rao.checks import _backward
    from gumbelrao_edu.quadrature import conditional_vjp

    logits = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
    g = torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64)
    generator = seeded()
    k = 100_000
    e = torch.rand(k, 3, dtype=torch.float64, generator=generator).log().neg()
    expected, *_ = _backward(logits, 0, e, 0.5, g, {})
    exact = conditional_vjp(g.expand(1, 3), logits.expand(1, 3), torch.tensor([0]), 0.5)[0]
    s = (equation_9(logits, 0, e) / 0.5).softmax(-1)
    error = vjp(s, g, 0.5).std(0) / math.sqrt(k)
    # |z| > 5.1 has a probability of 1e-6 / 3; an error of 3 % of the gradient would be noticed.
    assert (error * 8.2 < 0.03 * exact.abs().max()).all()
    assert ((expected - exact).abs() < 5.1 * error).all()


VARIANCE = {
    "everything is divided": lambda k, st_gs, gr: st_gs / k,
    "what it has more than GR": lambda k, st_gs, gr: gr + st_gs / k,
    "K + 1 in place": lambda k, st_gs, gr: gr + (st_gs - gr) / (k + 1),
    "K − 1 in place": lambda k, st_gs, gr: gr + (st_gs - gr) / max(k - 1, 0.5),
    "K = ∞": lambda k, st_gs, gr: gr,
    "1/√K": lambda k, st_gs, gr: gr + (st_gs - gr) / math.sqrt(k),
    "K has an effect": lambda k, st_gs, gr: st_gs,
    "var[∇GR] is missing": lambda k, st_gs, gr: (st_gs - gr) / k,
    "standard deviation": lambda k, st_gs, gr: math.sqrt(gr + (st_gs - gr) / k),
    "You multiply by it": lambda k, st_gs, gr: gr + (st_gs - gr) * k,
    "the parts changed places": lambda k, st_gs, gr: st_gs - gr + gr / k,
    "both are added": lambda k, st_gs, gr: (st_gs + gr) / k,
    "a part of var[∇GR]": lambda k, st_gs, gr: st_gs - gr / k,
    "not 1/K²": lambda k, st_gs, gr: gr + (st_gs - gr) / k**2,
    "not subtracted": lambda k, st_gs, gr: gr - (st_gs - gr) / k,
    "2 K in place": lambda k, st_gs, gr: gr + (st_gs - gr) / (2 * k),
    "between them it is not": lambda k, st_gs, gr: gr + (st_gs - gr) * 0.5 ** (k - 1),
    "// throws away": lambda k, st_gs, gr: gr + (st_gs - gr) // k,
    "brackets are missing": lambda k, st_gs, gr: gr + st_gs - gr / k,
    "you divide var[∇GR].": lambda k, st_gs, gr: st_gs + gr / k,
    "no squares": lambda k, st_gs, gr: gr**2 + (st_gs**2 - gr**2) / k,
    "their quotient": lambda k, st_gs, gr: gr + st_gs / gr / k,
    "this is the noise, b": lambda k, st_gs, gr: st_gs - gr,
    "the two variances are added": lambda k, st_gs, gr: st_gs + gr,
    "to be added, not subtracted": lambda k, st_gs, gr: (st_gs - gr) / k - gr,
    "by K once more": lambda k, st_gs, gr: gr * (1 + 1 / k),
    "Yours gives 13 and 2": lambda k, st_gs, gr: (st_gs + gr) / k + gr,
}


@pytest.mark.parametrize(("says", "answer"), VARIANCE.items(), ids=VARIANCE)
def test_variance(says, answer):
    wrong(exercises.check_variance(answer), says)


def test_variance_right():
    right(exercises.check_variance(lambda k, st_gs, gr: gr + (st_gs - gr) / k))


# --- 04 -------------------------------------------------------------------------------------------


def parts(gradients, classes):
    """Share, mean and spread of each class, and the mean of all."""
    groups = [gradients[classes == i] for i in classes.unique()]
    share = torch.tensor([len(group) / len(gradients) for group in groups]).double()
    means = torch.stack([group.mean(0) for group in groups])
    spreads = torch.stack([group.var(0, correction=0).sum() for group in groups])
    return share, means, spreads, gradients.mean(0)


def split(gradients, classes):
    share, means, spreads, mean = parts(gradients, classes)
    return share @ spreads, share @ (means - mean).square().sum(-1)


def split_with(inner, outer):
    """The right answer, but for one of its numbers."""

    def answer(gradients, classes):
        share, means, spreads, mean = parts(gradients, classes)
        numbers = split(gradients, classes)
        return tuple(
            number if change is None else change(share, means, spreads, mean)
            for number, change in zip(numbers, (inner, outer), strict=True)
        )

    return answer


def m_of(gradients, classes):
    m = gradients.clone()
    for i in classes.unique():
        m[classes == i] = gradients[classes == i].mean(0)
    return m


def by_one_less(gradients, classes):
    """With the default of `var` in both parts."""
    groups = [gradients[classes == i] for i in range(3)]
    inner = sum(len(group) / len(gradients) * group.var(0).sum() for group in groups)
    return inner, torch.stack([group.mean(0) for group in groups]).var(0).sum()


def one_class_short(gradients, classes):
    inner = outer = 0.0
    for i in range(classes.max()):
        group = gradients[classes == i]
        share = len(group) / len(gradients)
        inner += share * group.var(0, correction=0).sum()
        outer += share * (group.mean(0) - gradients.mean(0)).square().sum()
    return inner, outer


SPLIT = {
    "the other way round": lambda g, c: split(g, c)[::-1],
    "weighted by the share of each class": split_with(lambda s, m, v, a: v.mean(), None),
    "the means of the classes have to be weighted": split_with(
        None, lambda s, m, v, a: (m - m.mean(0)).square().sum(-1).mean()
    ),
    "Weight each class": split_with(
        lambda s, m, v, a: v.mean(), lambda s, m, v, a: (m - m.mean(0)).square().sum(-1).mean()
    ),
    "subtract the mean over all draws": split_with(None, lambda s, m, v, a: s @ m.square().sum(-1)),
    "standard deviations": lambda g, c: [part.sqrt() for part in split(g, c)],
    "the whole variance": lambda g, c: (split(g, c)[0], sum(split(g, c))),
    "added over the classes": split_with(lambda s, m, v, a: v.sum(), None),
    "you have their mean": lambda g, c: [part / g.shape[1] for part in split(g, c)],
    "the second is about the mean of the three means": split_with(
        None, lambda s, m, v, a: s @ (m - m.mean(0)).square().sum(-1)
    ),
    "the first: `var` divides by one less": lambda g, c: (by_one_less(g, c)[0], split(g, c)[1]),
    "the second: `var` divides by one less than the number, unless you say correction=0.": (
        lambda g, c: (split(g, c)[0], m_of(g, c).var(0).sum())
    ),
    "both: `var` divides by one less than the number, unless you say correction=0.": (
        lambda g, c: (by_one_less(g, c)[0], m_of(g, c).var(0).sum())
    ),
    "correction=0; and each class has to be": split_with(None, lambda s, m, v, a: m.var(0).sum()),
    "correction=0; and in the second each class": by_one_less,
    "both: `var` divides by one less than the number, unless you say correction=0; and each": (
        lambda g, c: (
            torch.stack([g[c == i].var(0).sum() for i in range(3)]).mean(),
            by_one_less(g, c)[1],
        )
    ),
    "both are divided by one less": lambda g, c: [
        part * len(g) / (len(g) - 1) for part in split(g, c)
    ],
    "the first is the whole variance": lambda g, c: (sum(split(g, c)), split(g, c)[1]),
    "these are mean distances": lambda g, c: (
        (g - m_of(g, c)).norm(dim=-1).mean(),
        (m_of(g, c) - g.mean(0)).norm(dim=-1).mean(),
    ),
    "added over the draws": lambda g, c: [part * len(g) for part in split(g, c)],
    "these are vectors": lambda g, c: (
        (g - m_of(g, c)).square().mean(0),
        (m_of(g, c) - g.mean(0)).square().mean(0),
    ),
    "`range(classes.max())` ends one too early": lambda g, c: one_class_short(g, c),
    "with equal weights": split_with(
        lambda s, m, v, a: v.mean(), lambda s, m, v, a: (m - a).square().sum(-1).mean()
    ),
    "both are added over the classes": split_with(
        lambda s, m, v, a: v.sum(), lambda s, m, v, a: (m - a).square().sum()
    ),
    "subtract from each estimate": lambda g, c: (g.square().sum(-1).mean(), split(g, c)[1]),
    "variance of the entries of one": lambda g, c: (
        g.var(1, correction=0).mean(),
        split(g, c)[1],
    ),
    "variance over the entries, added": lambda g, c: (
        sum(len(g[c == i]) / len(g) * g[c == i].var(1, correction=0).sum() for i in range(3)),
        split(g, c)[1],
    ),
    "they add up to the variance of all with one less": lambda g, c: (
        by_one_less(g, c)[0],
        g.var(0).sum() - by_one_less(g, c)[0],
    ),
    "of which you take the rest": lambda g, c: (
        split(g, c)[0],
        g.var(0).sum() - split(g, c)[0],
    ),
    "the other way round; and `var`": lambda g, c: (split(g, c)[1], by_one_less(g, c)[0]),
    "the sum is right": lambda g, c: (split(g, c)[0] + 1, split(g, c)[1] - 1),
    "inner is right, outer is not": split_with(None, lambda s, m, v, a: 3 * (s @ m).sum()),
    "outer is right, inner is not": split_with(lambda s, m, v, a: s.square() @ v, None),
    "neither is right": split_with(lambda s, m, v, a: v[0], lambda s, m, v, a: a.square().sum()),
    "return two numbers": lambda g, c: sum(split(g, c)),
    "return two numbers, the inner and the outer variance, got (1, 2, 3)": lambda g, c: (1, 2, 3),
}


@pytest.mark.parametrize(("says", "answer"), SPLIT.items(), ids=SPLIT)
def test_split_variance(says, answer):
    wrong(exercises.check_split_variance(answer), says)


def test_split_variance_may_loop_over_the_three_classes():
    """As the cell above the exercise does."""

    def loop(gradients, classes):
        inner, outer = 0.0, 0.0
        for i in range(3):
            group = gradients[classes == i]
            share = len(group) / len(gradients)
            inner += share * group.var(0, correction=0).sum()
            outer += share * (group.mean(0) - gradients.mean(0)).square().sum()
        return inner, outer

    right(exercises.check_split_variance(loop))


def test_split_variance_right():
    right(exercises.check_split_variance(split))
    right(exercises.check_split_variance(lambda g, c: torch.stack(split(g, c))))


ENOUGH = {
    "samples is at least 1": lambda inner, outer, e: math.ceil(inner / (e * outer)),
    "whole number": lambda inner, outer, e: max(1, inner / (e * outer)),
    "one too few": lambda inner, outer, e: max(1, int(inner / (e * outer))),
    "that is K*": lambda inner, outer, e: max(1, math.ceil(inner / outer)),
    "compare it with `outer`": lambda inner, outer, e: max(1, math.ceil(inner / e)),
    "not (1 + excess)": lambda inner, outer, e: max(1, math.ceil(inner / outer / (1 + e))),
    "inner and outer are the other way": lambda inner, outer, e: max(
        1, math.ceil(outer / (e * inner))
    ),
    "you multiply by `excess`": lambda inner, outer, e: max(1, math.ceil(e * inner / outer)),
    "not with int(…) + 1": lambda inner, outer, e: int(inner / (e * outer)) + 1,
    "one too many": lambda inner, outer, e: next(
        k for k in range(1, 1000) if inner / k < e * outer
    ),
    "raised ZeroDivisionError": lambda inner, outer, e: next(
        k for k in range(1000) if inner / k <= e * outer
    ),
    "too few: K = 47 leaves a variance of": lambda inner, outer, e: max(
        1, math.ceil(inner / (e * outer)) - 1
    ),
    "K = 58 is not the smallest": lambda inner, outer, e: max(
        1, math.ceil(inner / (e * outer)) + 10
    ),
    "outer stays as it is": lambda inner, outer, e: max(
        1, math.ceil((inner + outer) / ((1 + e) * outer))
    ),
    "a share of outer, not of the whole": lambda inner, outer, e: max(
        1, math.ceil(inner / (e * (inner + outer)))
    ),
    "square root": lambda inner, outer, e: max(1, math.ceil((inner / (e * outer)) ** 0.5)),
    "at least 1": lambda inner, outer, e: min(1, math.ceil(inner / (e * outer))),
    "`excess` is added to K*": lambda inner, outer, e: max(1, math.ceil(inner / outer + e)),
    "multiply by 1 + excess": lambda inner, outer, e: max(1, math.ceil(inner / outer * (1 + e))),
    "nor to the nearest": lambda inner, outer, e: max(1, round(inner / (e * outer))),
    "round up, neither down": lambda inner, outer, e: max(1, inner // (e * outer)),
    "returned nothing": lambda inner, outer, e: None,
}


@pytest.mark.parametrize(("says", "answer"), ENOUGH.items(), ids=ENOUGH)
def test_enough_samples(says, answer):
    wrong(exercises.check_enough_samples(answer), says)


def test_enough_samples_right():
    def search(inner, outer, excess):
        return next(k for k in range(1, 1000) if inner / k + outer <= (1 + excess) * outer)

    right(exercises.check_enough_samples(search))


def noise_of(t, x):
    return (x - t).detach()


RELAXED_MEAN = {
    "it runs through equation (9)": lambda t, x, tau: (x / tau).softmax(-1).mean(0),
    "nothing is left to differentiate": lambda t, x, tau: (x.detach() / tau).softmax(-1).mean(0),
    "θ is added twice": lambda t, x, tau: ((t + x.detach()) / tau).softmax(-1).mean(0),
    "taken of the mean": lambda t, x, tau: ((t + (x - t).detach()) / tau).mean(0).softmax(-1),
    "temperature is missing": lambda t, x, tau: (t + (x - t).detach()).softmax(-1).mean(0),
    "without noise": lambda t, x, tau: (t / tau).softmax(-1),
    "one row for each": lambda t, x, tau: ((t + (x - t).detach()) / tau).softmax(-1),
    "through θ twice": lambda t, x, tau: ((x + t - t.detach()) / tau).softmax(-1).mean(0),
    "does not depend on the logits": lambda t, x, tau: (
        (x.detach().requires_grad_() / tau).softmax(-1).mean(0)
    ),
    "it is 0. θ comes in with a plus": lambda t, x, tau: (
        ((x.detach() + t - t) / tau).softmax(-1).mean(0)
    ),
    "Detach all of the noise": lambda t, x, tau: ((t + (x.detach() - t)) / tau).softmax(-1).mean(0),
    "detach G, not θ": lambda t, x, tau: ((t.detach() + (x - t)) / tau).softmax(-1).mean(0),
    "detach the noise perturbed − θ, not θ itself": lambda t, x, tau: (
        ((t.detach() + noise_of(t, x)) / tau).softmax(-1).mean(0)
    ),
    "θ is missing": lambda t, x, tau: (noise_of(t, x) / tau).softmax(-1).mean(0),
    "along the last axis": lambda t, x, tau: ((t + noise_of(t, x)) / tau).softmax(0).mean(0),
    "mean(0), not over the classes": lambda t, x, tau: (x / tau).softmax(-1).mean(-1),
    "mean over the samples alone": lambda t, x, tau: (x / tau).softmax(-1).mean(),
    "the sum over the samples": lambda t, x, tau: (x / tau).softmax(-1).sum(0),
    "do not multiply": lambda t, x, tau: ((t + noise_of(t, x)) * tau).softmax(-1).mean(0),
    "only the noise is divided": lambda t, x, tau: (t + noise_of(t, x) / tau).softmax(-1).mean(0),
    "only θ is divided": lambda t, x, tau: (t / tau + noise_of(t, x)).softmax(-1).mean(0),
    "logarithm of the softmax": lambda t, x, tau: (x / tau).log_softmax(-1).mean(0),
    "that is D": lambda t, x, tau: one_hot(x.argmax(-1), len(t)).double().mean(0),
    "the first sample alone": lambda t, x, tau: ((t + noise_of(t, x)) / tau).softmax(-1)[0],
    "the temperature twice": lambda t, x, tau: ((t + noise_of(t, x)) / tau**2).softmax(-1).mean(0),
    "θ is subtracted": lambda t, x, tau: ((noise_of(t, x) - t) / tau).softmax(-1).mean(0),
    "the sign of G is wrong": lambda t, x, tau: ((t - noise_of(t, x)) / tau).softmax(-1).mean(0),
    "that of the softmax without noise": lambda t, x, tau: (
        (x / tau).softmax(-1).mean(0).detach()
        + (t / tau).softmax(-1)
        - (t / tau).softmax(-1).detach()
    ),
    "no softmax is differentiated": lambda t, x, tau: (
        (x / tau).softmax(-1).mean(0).detach() + t - t.detach()
    ),
    "Make it that first": lambda t, x, tau: (x / tau).softmax(-1).mean(0).roll(1),
    "with G held fixed, the noise": lambda t, x, tau: (
        (x / tau).softmax(-1).mean(0).detach() + t.cumsum(0) - t.cumsum(0).detach()
    ),
    "you draw noise of your own": lambda t, x, tau: (
        (t - torch.empty_like(t).exponential_().log()) / tau
    ).softmax(-1),
}


@pytest.mark.parametrize(("says", "answer"), RELAXED_MEAN.items(), ids=RELAXED_MEAN)
def test_relaxed_mean(says, answer):
    wrong(exercises.check_relaxed_mean(answer), says)


def test_relaxed_mean_right():
    def held(logits, perturbed, tau):
        return ((logits + (perturbed - logits).detach()) / tau).softmax(-1).mean(0)

    right(exercises.check_relaxed_mean(held))
    right(exercises.check_relaxed_mean(lambda t, x, tau: held(t, x.detach(), tau)))


def bump(x, tau):
    return (x / tau).sigmoid() * (-x / tau).sigmoid() / tau


BUMP = {
    "divide by τ": lambda x, tau: tau * bump(x, tau),
    "this is s_i. The bump": lambda x, tau: (x / tau).sigmoid(),
    "this is s_j. The bump": lambda x, tau: (-x / tau).sigmoid(),
    "this is s_i / τ": lambda x, tau: (x / tau).sigmoid() / tau,
    "this is s_i² / τ": lambda x, tau: (x / tau).sigmoid() ** 2 / tau,
    "this is s_j² / τ": lambda x, tau: (-x / tau).sigmoid() ** 2 / tau,
    "this is s_i − s_j": lambda x, tau: (x / tau).sigmoid() - (-x / tau).sigmoid(),
    "the temperature is missing in s": lambda x, tau: bump(x, 1) / tau,
    "s is taken of x · τ": lambda x, tau: bump(x, 1 / tau) / tau**2,
    "in s and as the factor": lambda x, tau: bump(x, 1),
    "before you subtract": lambda x, tau: (x / tau).sigmoid() * (1 - (x / tau).sigmoid() / tau),
    "this is s_j / τ": lambda x, tau: (-x / tau).sigmoid() / tau,
    "you take the softmax of": lambda x, tau: (
        (x / tau).softmax(-1) * (1 - (x / tau).softmax(-1)) / tau
    ),
    "you multiply by τ": lambda x, tau: bump(x, tau) * tau**2,
    "once, not twice": lambda x, tau: bump(x, tau) / tau,
    "the slope of the bump": lambda x, tau: (
        bump(x, tau) * ((-x / tau).sigmoid() - (x / tau).sigmoid()) / tau
    ),
    "Return all of it": lambda x, tau: bump(x, tau) * (x > 0),
    "at x = 0 it is right": lambda x, tau: (-(x**2)).exp() / (4 * tau),
    "Write s = torch.sigmoid": lambda x, tau: (-(x**2)).exp() / tau,
    "the bump is positive": lambda x, tau: -bump(x, tau),
    "0.5 times what it should be": lambda x, tau: bump(x, tau) / 2,
    "the shape is []": lambda x, tau: bump(x, tau).sum(),
    "expected a tensor, got list": lambda x, tau: bump(x, tau).tolist(),
}


@pytest.mark.parametrize(("says", "answer"), BUMP.items(), ids=BUMP)
def test_bump(says, answer):
    wrong(exercises.check_bump(answer), says)


def test_bump_right():
    right(exercises.check_bump(lambda x, tau: bump(x, tau).numpy()))
    right(exercises.check_bump(lambda x, tau: bump(x, tau).float()))
    right(exercises.check_bump(bump))
    right(exercises.check_bump(lambda x, tau: (-x / tau).exp() / (1 + (-x / tau).exp()) ** 2 / tau))


def zgr(g, p, i):
    v = p * (g - g[i]) / 2
    v[i] = -v.sum()
    return v


def with_entry(i, value, v):
    return torch.where(torch.arange(len(v)) == i, value, v)


def with_sum(i, v):
    """The entry i makes the sum zero, whatever stood there."""
    v = v.clone()
    v[i] = 0.0
    v[i] = -v.sum()
    return v


LIMIT = {
    "½ is missing": lambda g, p, i: 2 * zgr(g, p, i),
    "class that was drawn is missing": lambda g, p, i: p * (g - g[i]) / 2,
    "the sign of the entries j ≠ i": lambda g, p, i: with_entry(i, zgr(g, p, i)[i], -zgr(g, p, i)),
    "this is straight-through": lambda g, p, i: p * (g - p @ g),
    "half of straight-through": lambda g, p, i: p * (g - p @ g) / 2,
    "derivative of log p_i": lambda g, p, i: (g[i] - p @ g) * with_entry(i, 1 - p[i], -p),
    "p_j is missing": lambda g, p, i: with_entry(i, zgr(g, p, i)[i], (g - g[i]) / 2),
    "each with its own p_j": lambda g, p, i: with_entry(i, p[i] * zgr(g, p, i)[i], zgr(g, p, i)),
    "g_j − g_i, not g_i − g_j": lambda g, p, i: -zgr(g, p, i),
    "the sign of the entry of the class": lambda g, p, i: with_entry(
        i, -zgr(g, p, i)[i], zgr(g, p, i)
    ),
    "not p_i": lambda g, p, i: with_sum(i, p[i] * (g - g[i]) / 2),
    "Given that i wins, divide by p_i": lambda g, p, i: with_sum(i, p[i] * p * (g - g[i]) / 2),
    "no p_i is left": lambda g, p, i: with_sum(i, p / p[i] * (g - g[i]) / 2),
    "g_i is missing": lambda g, p, i: with_sum(i, p * g / 2),
    "the entries of the other classes are missing": lambda g, p, i: with_entry(
        i, zgr(g, p, i)[i], torch.zeros_like(g)
    ),
    "are right, that of the class that was drawn is not": lambda g, p, i: with_entry(
        i, g[i], zgr(g, p, i)
    ),
    "v_i is right": lambda g, p, i: with_entry(i, zgr(g, p, i)[i], g.cumsum(0)),
    "the sum is 0, as it has to be": lambda g, p, i: with_sum(i, (1 - p) * (g - g[i])),
    "times half a bump times the density": lambda g, p, i: g + 1,
    "is rare.": lambda g, p, i: with_sum(i, (g - g[i]) / 2),
    "not 1 − p_j": lambda g, p, i: with_sum(i, (1 - p) * (g - g[i]) / 2),
    "not their logarithms": lambda g, p, i: with_sum(i, p.log() * (g - g[i]) / 2),
    "do not divide": lambda g, p, i: with_sum(i, (g - g[i]) / p / 2),
    "the last class is missing": lambda g, p, i: with_sum(
        i, with_entry(len(p) - 1, 0.0, p) * (g - g[i]) / 2
    ),
    "multiplied by ½ p_j": lambda g, p, i: g - g[i],
    "i counts from 0": lambda g, p, i: zgr(g, p, i - 1),
    "0.5 times what it should be": lambda g, p, i: zgr(g, p, i) / 2,
    "the shape is []": lambda g, p, i: zgr(g, p, i)[i],
    "raised IndexError": lambda g, p, i: g[len(g)],
}


@pytest.mark.parametrize(("says", "answer"), LIMIT.items(), ids=LIMIT)
def test_limit(says, answer):
    wrong(exercises.check_limit(answer), says)


def test_limit_right():
    right(exercises.check_limit(zgr))


# --- How a check answers --------------------------------------------------------------------------


def test_a_learner_cannot_change_the_inputs():
    def in_place(u):
        return u.log_().neg_().log_().neg_()

    right(exercises.check_gumbel_from_uniform(in_place))


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (torch.tensor([math.nan, 0.5]), "NaN"),
        (torch.tensor([math.inf, 0.5]), "infinite"),
        (torch.zeros(2), "all is 0"),
        ([0.6, 0.4], "torch.tensor makes one of it"),
        (torch.ones(2).max(-1), "got tuple. Return one thing"),
        (torch.tensor([0.25, 0.25]), "sum to 0.5"),
        (torch.tensor([0.3, 0.7]), "not the expected ones"),
        (torch.tensor([[0.6, 0.4]]), "the shape is [1, 2], expected is [2]"),
    ],
)
def test_what_is_said_of_an_unknown_mistake(got, says):
    @check("well done.")
    def compare(answer):
        expect(call(answer, x=1.0), torch.tensor([0.6, 0.4]), {"x": 1.0}, {})

    wrong(compare(lambda x: got), says, "x = 1", "expected is")
    right(compare(lambda x: torch.tensor([0.6, 0.4])))


def test_one_number_is_no_row_that_should_sum_to_1():
    @check("one.")
    def compare(answer):
        expect(call(answer, x=1.0), 1.0, {"x": 1.0}, {})

    wrong(compare(lambda x: 1.2), "not the expected ones")


@pytest.mark.parametrize("answer", [None, ..., "two", [1, 2]])
def test_what_is_no_number_is_told(answer):
    @check("a number.")
    def a_number(answer):
        number(answer)

    wrong(a_number(answer))
    right(a_number(2))


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("on purpose")

    __repr__ = __str__


def fails_without_a_text(*args):
    raise Unprintable


def leaves(*args):
    raise SystemExit(3)


class Backward(torch.autograd.Function):
    """The right value, and a backward pass that fails."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        raise ArithmeticError("on purpose")


STRANGE = {
    "sparse": lambda *a: torch.eye(3).to_sparse(),
    "compressed": lambda *a: torch.eye(3).to_sparse_csr(),
    "complex": lambda *a: torch.ones(3) * 1j,
    "one complex number": lambda *a: 1j,
    "meta": lambda *a: torch.zeros(3, device="meta"),
    "nested": lambda *a: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "bool": lambda *a: torch.zeros(3, dtype=torch.bool),
    "float8": lambda *a: torch.zeros(3, dtype=torch.float8_e5m2),
    "int of 400 digits": lambda *a: 10**400,
    "NumPy array": lambda *a: np.zeros(3),
    "NumPy number": lambda *a: np.float32(1.5),
    "NumPy complex number": lambda *a: np.complex64(1.5),
    "NumPy objects": lambda *a: np.array([None, "a"]),
    "dictionary": lambda *a: {"a": 1},
    "generator": lambda *a: iter([1, 2]),
    "empty tuple": lambda *a: (),
    "class": lambda *a: Unprintable,
    "unprintable": lambda *a: Unprintable(),
    "parameter": lambda *a: torch.nn.Parameter(torch.zeros(3)),
    "module": lambda *a: torch.nn.Linear(1, 1),
    "its own backward pass": lambda *a: Backward.apply(torch.zeros(3, requires_grad=True)),
    "many numbers": lambda *a: torch.zeros(100_000),
    "error without a text": fails_without_a_text,
    "exit": leaves,
}
NAMES = list(vars(exercises))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", STRANGE)
def test_checks_never_raise(name, what):
    verdict = getattr(exercises, name)(STRANGE[what])
    assert verdict.text.startswith("Not yet: ")
    assert len(verdict.text) < 3000
    if CHECKS.get(name, stub) is None and not what.startswith(("error", "exit")):
        wrong(getattr(exercises, name)(STRANGE[what]()))


def test_what_python_says_of_a_common_mistake_is_explained():
    def from_exercise_1(g, p, i):
        return None.mean(0)

    wrong(exercises.check_limit(from_exercise_1), "an exercise that you have left out?")
    wrong(exercises.check_limit(lambda g, p, i: 1 / 0.0), "leave out .item()")


def test_an_array_of_numpy_is_as_good_as_a_tensor():
    right(exercises.check_gumbel_from_uniform(lambda u: -np.log(-np.log(u.numpy()))))
    wrong(exercises.check_gumbel_from_uniform(lambda u: -np.log(u.numpy())), "this is E")
    right(exercises.check_softmax_vjp(lambda *given: vjp(*given).numpy()))


@pytest.mark.parametrize("kind", [int, float, np.int64, np.float32, np.array, torch.tensor])
def test_numbers_are_compared_as_numbers(kind):
    def enough(inner, outer, excess):
        return kind(max(1, math.ceil(inner / (excess * outer))))

    right(exercises.check_enough_samples(enough))
    right(exercises.check_variance(lambda k, st_gs, gr: np.float64(gr + (st_gs - gr) / k)))
    right(exercises.check_mean_of_max(np.float32(2.88)))


def test_an_imaginary_part_is_not_thrown_away():
    wrong(exercises.check_gumbel_from_uniform(lambda u: -(-u.log()).log() + 5j), "complex")
    short = exercises.check_gumbel_from_uniform(lambda u: -(-u.float().log()).log())
    wrong(short, "in float32, in which digits are lost")
    other = exercises.check_gumbel_from_uniform(lambda u: (-(-u.log()).log()).float() + 1)
    assert "float32" not in other.text
    wrong(exercises.check_mean_of_max(2.88 + 5j), "expected one number")
    wrong(exercises.check_mean_of_max(np.complex128(2.88 + 5j)), "expected one number")
    wrong(exercises.check_mean_of_max(torch.tensor(2.88 + 5j)), "expected one number")
    complex_number = lambda inner, outer, e: complex(max(1, math.ceil(inner / (e * outer))), 5)  # noqa: E731
    wrong(exercises.check_enough_samples(complex_number), "expected one number")


def test_a_right_answer_may_be_sparse():
    def sample(logits, gumbels):
        return one_hot((logits + gumbels).argmax(-1), len(logits)).to_sparse()

    right(exercises.check_one_hot_sample(sample))
    right(exercises.check_gumbel_from_uniform(lambda u: (-(-u.log()).log()).to_sparse()))


def test_a_backward_pass_of_the_learner_s_own():
    def relaxed(logits, perturbed, tau):
        fixed = logits + (perturbed - logits).detach()
        return Backward.apply((fixed / tau).softmax(-1).mean(0))

    wrong(exercises.check_relaxed_mean(relaxed), "backward pass raised ArithmeticError")

    class Overwrites(torch.autograd.Function):
        """It writes into all that it is given."""

        @staticmethod
        def forward(ctx, logits, one_hot, e, tau):
            e.zero_()
            return one_hot.mul_(2) / 2

        @staticmethod
        def backward(ctx, grad):
            return grad.zero_(), None, None, None

    wrong(exercises.check_backward(Overwrites), "e = [[0.7", "you return\n    [0, 0, 0]")


def test_checks_do_not_depend_on_global_defaults():
    device, dtype = torch.get_default_device(), torch.get_default_dtype()
    try:
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float64)
        relaxed = lambda t, g, tau: ((t + g) / tau).softmax(-1)  # noqa: E731
        right(exercises.check_relaxed_sample(relaxed))
        overflows = lambda t, g, tau: ((t + g) / tau).exp() / ((t + g) / tau).exp().sum(-1, True)  # noqa: E731
        wrong(exercises.check_relaxed_sample(overflows), "too large for float32")
        right(exercises.check_quadratic_matrix(matrix))
    finally:
        torch.set_default_device(device)
        torch.set_default_dtype(dtype)


def matrix(p, q, c):
    d = torch.eye(len(p)) - c
    return torch.outer(p - c, p - c) * q / (d.T @ (p[:, None] * d))
