"""More slips that learners make in notebooks 01 and 02: each is told what it is."""

import math

import pytest
import torch
from answers import exercises, wrong
from torch.nn.functional import one_hot

from gumbelrao_edu import conditional_gumbel, gumbel_max, sample_gumbel

GAMMA = 0.5772156649015329
DRAWS = "your function draws: called twice"
SHAPES = "Two shapes do not fit"


GUMBEL = [
    ("this is −log(1 − u), an exponential", lambda u: -torch.log(1 - u)),
    ("you multiply the two", lambda u: torch.log(u) ** 2),
    ("To undo two exponentials", lambda u: torch.exp(-torch.exp(u))),
    ("this is the density", lambda u: torch.exp(-u - torch.exp(-u))),
    ("not one divided by it", lambda u: 1 / torch.exp(-torch.exp(-u))),
    ("this is 1/E", lambda u: -1 / torch.log(u)),
    ("minus of the outer logarithm has become", lambda u: 1 / torch.log(-torch.log(u))),
    ("one of the logarithms has the base 10", lambda u: -torch.log10(-torch.log(u))),
    ("it gives [0.1009, 0.5012, 0.9], and should give u", lambda u: gumbel(u).round(decimals=2)),
    ("it gives [0.1009, 0.5", lambda u: -torch.log(-torch.log(u + 1e-3) + 1e-3)),
    (DRAWS, lambda u: sample_gumbel(u.shape)),
    ("Use those of torch", lambda u: -math.log(-math.log(u))),
]


def gumbel(u):
    return -torch.log(-torch.log(u))


def row(places, t):
    return one_hot(places, len(t))


ONE_HOT = [
    ("this is θ + G. The place", lambda t, g: t + g),
    ("and not θ + G itself", lambda t, g: row((t + g).argmax(-1), t) * (t + g)),
    ("you multiply θ by the noise", lambda t, g: row((t * g).argmax(-1), t)),
    ("you add the noise to exp θ", lambda t, g: row((t.exp() + g).argmax(-1), t)),
    ("largest absolute value", lambda t, g: row((t + g).abs().argmax(-1), t)),
    ("this is the second largest", lambda t, g: row((t + g).argsort(-1)[:, -2], t)),
    ("largest of the whole table", lambda t, g: t + g == (t + g).max()),
    ("the largest of each column", lambda t, g: t + g == (t + g).amax(0)),
    ("places in order of size", lambda t, g: (t + g).argsort(-1)),
    ("multiply the probabilities", lambda t, g: row((t.softmax(-1) * g).argmax(-1), t)),
    ("first row of the noise", lambda t, g: row((t + g[0]).argmax(-1), t).expand_as(g)),
    ("Give it their number", lambda t, g: one_hot((t + g).argmax(-1))),
    ("you add the rows up", lambda t, g: row((t + g).argmax(-1), t).sum(0)),
    ("average over the rows", lambda t, g: row((t + g).argmax(-1), t).double().mean(0)),
    ("row 0 is the first", lambda t, g: row((t - g.abs().log()).argmax(-1), t)),
    ("beyond the number of classes", lambda t, g: one_hot((t + g).argmax(0), 2)),
    ("beyond the number of classes", lambda t, g: one_hot((t + g).argmax(-1), len(g))),
    (DRAWS, lambda t, g: row(torch.multinomial(t.softmax(-1), len(g), replacement=True), t)),
    (DRAWS, lambda t, g: gumbel_max(t.expand(len(g), -1))[0]),
    ("expected a tensor, got tuple", lambda t, g: gumbel_max(t.expand(len(g), -1))),
]


MEANS = [
    ("The 0.577 is added", math.log(10) * GAMMA),
    ("the standard deviation", math.log(10) + 1.28),
    ("first entry alone", math.log(2) + GAMMA),
    ("second entry alone", math.log(3) + GAMMA),
    ("average of the three means", math.log(30) / 3 + GAMMA),
    ("Z is the sum, not the mean", math.log(10 / 3) + GAMMA),
    ("These numbers are exp θ already", 5.747),
    ("These numbers are exp θ already", 5.17),
    ("the largest exp θ", 5),
    ("taken from θ₃ = 5", 5 + GAMMA),
    ("is close, but it is not", 2.9),
    ("is close, but it is not", 2.8),
    ("log2 Z + 0.577", math.log2(10) + GAMMA),
    ("log2 Z. Take", math.log2(10)),
    ("log10 Z. Take", 1.0),
    ("weighted by p", 1.85),
    ("the sum of the three means", math.log(30) + 3 * GAMMA),
    ("with a minus", -2.88),
]


def soft(x):
    return x.softmax(-1)


RELAXED = [
    ("to the power 1/τ", lambda t, g, tau: soft(t + g) ** (1 / tau)),
    ("added to the probabilities", lambda t, g, tau: soft((soft(t) + g) / tau)),
    ("added to exp θ", lambda t, g, tau: soft((t.exp() + g) / tau)),
    ("the noise is subtracted", lambda t, g, tau: soft((t - g) / tau)),
    ("the sign of θ + G", lambda t, g, tau: soft(-(t + g) / tau)),
    ("the logits are missing", lambda t, g, tau: soft(g / tau)),
    ("exp of the noise", lambda t, g, tau: soft((t + g.exp()) / tau)),
    ("this is the one-hot D", lambda t, g, tau: row((t + g).argmax(-1), t)),
    ("this is a sigmoid", lambda t, g, tau: ((t + g) / tau).sigmoid()),
    ("by the root of τ", lambda t, g, tau: soft((t + g) / tau**0.5)),
    ("divided by τ twice", lambda t, g, tau: soft((t + g) / tau**2)),
    ("the largest is subtracted, but", lambda t, g, tau: ((t + g - top(t + g)) / tau).exp()),
    ("the exponentials are missing", lambda t, g, tau: (t + g) / (t + g).sum(-1, keepdim=True)),
    ("you take the softmax twice", lambda t, g, tau: soft(soft((t + g) / tau))),
    ("first row of the noise", lambda t, g, tau: soft((t + g[0]) / tau).expand_as(g)),
    ("a NaN was replaced", lambda t, g, tau: quotient((t + g) / tau).nan_to_num()),
    ("Cut nothing off", lambda t, g, tau: soft((t + g) / max(tau, 0.2))),
    ("largest entry of each row is", lambda t, g, tau: soft((t + 1.1 * g) / tau)),
    (SHAPES, lambda t, g, tau: ((t + g) / tau).exp() / ((t + g) / tau).exp().sum(-1)),
    (DRAWS, lambda t, g, tau: torch.nn.functional.gumbel_softmax(t.expand_as(g), tau=tau)),
    ("too large for float32", lambda t, g, tau: quotient(((t + g) / tau).double())),
    ("or all of a row are too small", lambda t, g, tau: quotient((t + g - (t + g).max()) / tau)),
]


def top(x):
    return x.amax(-1, keepdim=True)


def quotient(x):
    return x.exp() / x.exp().sum(-1, keepdim=True)


def below(t, b, e):
    return -(e / t.exp() + (-b).exp()).log()


TRUNCATED = [
    ("the bound is added to θ + G", lambda t, b, e: b + t - e.log()),
    ("You multiply it by exp(−b)", lambda t, b, e: b - (1 + e / t.exp()).log()),
    ("exp(−b) is divided by exp θ, too", lambda t, b, e: -(((-b).exp() + e) / t.exp()).log()),
    ("exp(−b) is subtracted", lambda t, b, e: -(e / t.exp() - (-b).exp()).log()),
    ("the waiting time E / exp θ is missing", lambda t, b, e: b + 0 * e),
    ("this is G below the bound", lambda t, b, e: -(e + (t - b).exp()).log()),
    ("θ is added once more", lambda t, b, e: t + below(t, b, e)),
    ("b is subtracted", lambda t, b, e: below(t, b, e) - b),
    ("The time that belongs to it", lambda t, b, e: -(e / t.exp() + b).log()),
    ("not Gumbels", lambda t, b, e: -((-t - e).exp() + (-b).exp()).log()),
    ("take no logarithm of it", lambda t, b, e: -(-e.log() / t.exp() + (-b).exp()).log()),
    ("the natural one", lambda t, b, e: below(t, b, e) / math.log(10)),
    ("torch.log, not log2", lambda t, b, e: below(t, b, e) / math.log(2)),
    ("−b is no time", lambda t, b, e: -(e / t.exp() - b).log()),
    ("multiplied by exp θ", lambda t, b, e: -(e / t.exp() + (t - b).exp()).log()),
    ("are thrown away", lambda t, b, e: (t - e.log())[t - e.log() < b]),
    ("this is the mean", lambda t, b, e: below(t, b, e).mean()),
    ("torch.stack or torch.tensor", lambda t, b, e: [*below(t, b, e)]),
    ("stands for the times", lambda t, b, e: -(e / t.exp() + 2 * (-b).exp()).log()),
    ("Use those of torch", lambda t, b, e: -math.log(math.exp(-b) + e / math.exp(t))),
    (DRAWS, lambda t, b, e: below(t, b, torch.rand_like(e))),
]


def merged(t, i, winner, others):
    return -torch.where(torch.arange(len(t)) == i, winner, others).log()


def nine(t, i, e, z=None, ei=None):
    """Equation (9) with another Z or E_i."""
    ring = (e[:, [i]] if ei is None else ei) / (t.exp().sum() if z is None else z)
    return merged(t, i, ring, e / t.exp() + ring)


def z(t):
    return t.exp().sum()


def ring(t, i, e):
    return -(e[:, [i]] / z(t)).log().expand_as(e)


def delayed(t, i, e):
    return -(e / t.exp() + e[:, [i]] / z(t)).log()


def cut_off(t, i, e):
    return torch.minimum(t - e.log(), ring(t, i, e))


def of_lines(first, second):
    """θ + G by one function for the winner and by another for the rest."""
    return lambda t, i, e: torch.where(torch.arange(len(t)) == i, first(t, i, e), second(t, i, e))


def with_others(others):
    """The right winner, and other times for the rest."""

    def answer(t, i, e):
        ring = e[:, [i]] / t.exp().sum()
        return merged(t, i, ring, others(t, i, e, ring))

    return answer


def column_by_column(t, i, e, columns):
    x = torch.zeros_like(e)
    x[:, columns] = nine(t, i, e)[:, columns]
    return x


def sets_a_row(t, i, e):
    times = e / t.exp() + e[:, [i]] / t.exp().sum()
    times[i] = e[i] / t.exp().sum()
    return -times.log()


CONDITIONAL = [
    ("E_i stands in the bracket", with_others(lambda t, i, e, ring: (e + e[:, [i]]) / t.exp())),
    ("E_i / Z is divided by exp θ_j", with_others(lambda t, i, e, ring: (e + ring) / t.exp())),
    ("lack the division of E_i by Z", with_others(lambda t, i, e, ring: e / t.exp() + e[:, [i]])),
    ("divided by p_j", with_others(lambda t, i, e, ring: e / soft(t) + ring)),
    ("divided by θ_j", with_others(lambda t, i, e, ring: e / t + ring)),
    ("subtracted from the times", with_others(lambda t, i, e, ring: e / t.exp() - ring)),
    ("draw number i. The", with_others(lambda t, i, e, ring: e / t.exp() + e[i] / t.exp().sum())),
    ("in both lines", lambda t, i, e: nine(t, i, e, ei=e[i])),
    ("and stands for E_i", lambda t, i, e: nine(t, i, e, ei=e[i, i])),
    ("sets a row", sets_a_row),
    (SHAPES, lambda t, i, e: nine(t, i, e, ei=e[:, i])),
    ("you sum the logits", lambda t, i, e: nine(t, i, e, z=t.sum())),
    ("you have log Z", lambda t, i, e: nine(t, i, e, z=t.logsumexp(-1))),
    ("you have their mean", lambda t, i, e: nine(t, i, e, z=t.exp().mean())),
    ("E_i is not divided by Z", lambda t, i, e: nine(t, i, e, z=1)),
    ("the smallest E of each row", lambda t, i, e: nine(t, i, e, ei=e.amin(-1, keepdim=True))),
    ("all is shifted by log Z", lambda t, i, e: nine(t.log_softmax(-1), i, e)),
    ("this is (9) for class 0", lambda t, i, e: nine(t, i - 1, e)),
    ("θ is added to the others", lambda t, i, e: nine(t, i, e) + t * (torch.arange(len(t)) != i)),
    ("the sign is wrong everywhere", lambda t, i, e: -nine(t, i, e)),
    ("in both lines. The winner", lambda t, i, e: nine(t, i, e, z=t[i].exp())),
    ("the winner's, too", lambda t, i, e: nine(t, i, e, z=z(t) - t[i].exp())),
    ("not the sum of the log", of_lines(nine, lambda t, i, e: t - e.log() + ring(t, i, e))),
    ("time is 0", of_lines(lambda t, i, e: math.inf + e, nine)),
    ("mean over the draws", lambda t, i, e: nine(t, i, e).mean(0)),
    ("the first draw alone", lambda t, i, e: nine(t, i, e)[0]),
    ("the rows [0]", lambda t, i, e: torch.cat([t.expand(1, -1), nine(t, i, e)[1:]])),
    ("the columns [0]", lambda t, i, e: column_by_column(t, i, e, range(1, len(t)))),
    ("the columns [3]", lambda t, i, e: column_by_column(t, i, e, range(len(t) - 1))),
    ("log Z is multiplied", of_lines(lambda t, i, e: -e.log() * z(t).log(), nine)),
    ("others are times", of_lines(nine, lambda t, i, e: (-nine(t, i, e)).exp())),
    ("winner is a time", of_lines(lambda t, i, e: (-nine(t, i, e)).exp(), nine)),
    ("are cut off at the winner", of_lines(nine, cut_off)),
    ("have changed places", of_lines(delayed, ring)),
    ("look at the second line", of_lines(nine, lambda t, i, e: nine(t, i, e) + 1)),
    ("look at the first line", of_lines(lambda t, i, e: nine(t, i, e) + 1, nine)),
    ("neither line of (9)", lambda t, i, e: nine(t, i, e).sinh()),
    (DRAWS, lambda t, i, e: conditional_gumbel(t, row(torch.tensor(i), t).to(t.dtype), len(e))),
]


def divided(r, i, winner=1.0):
    r = r.clone()
    if winner is not None:
        r[:, i] = winner
    return r / r.sum(-1, keepdim=True)


def power(base, exponent=lambda tau: -1 / tau, winner=1.0):
    return lambda p, i, e, tau: divided(base(p, i, e) ** exponent(tau), i, winner)


def base(p, i, e):
    return 1 + e / (e[:, [i]] * p)


def with_one(r, i):
    r[:, i] = 1
    return r


def total(r):
    return r.sum(-1, keepdim=True)


def row_of_ones(p, i, e, tau):
    r = base(p, i, e) ** (-1 / tau)
    r[i] = 1
    return r / r.sum(-1, keepdim=True)


def weights(p, i, e, tau):
    r = base(p, i, e) ** (-1 / tau)
    r[:, i] = 1
    return r


SOFTMAX = [
    ("Put brackets", lambda p, i, e, tau: divided(base(p, i, e) ** -1 / tau, i)),
    ("and r_i is not set", lambda p, i, e, tau: divided(base(p, i, e) ** -1 / tau, i, None)),
    ("this is a softmax of r", lambda *given: soft(weights(*given))),
    ("e[i] is a row", power(lambda p, i, e: 1 + e / (e[i] * p))),
    ("r[i] = 1 sets a row", row_of_ones),
    ("r_i is 1, and not 0", power(base, winner=0.0)),
    ("p_j is missing", power(lambda p, i, e: 1 + e / e[:, [i]])),
    ("no logarithm of it", power(lambda p, i, e: 1 + e / (e[:, [i]] * p.log()))),
    ("no softmax of it", power(lambda p, i, e: base(soft(p), i, e))),
    ("before the power", lambda p, i, e, tau: divided(1 + (base(p, i, e) - 1) ** (-1 / tau), i)),
    ("you have +τ", power(base, lambda tau: tau)),
    ("you have −1/τ²", power(base, lambda tau: -1 / tau**2)),
    ("you have 1 − …", power(lambda p, i, e: 2 - base(p, i, e))),
    ("you take exp of it", lambda p, i, e, tau: divided((-base(p, i, e) / tau).exp(), i)),
    ("p_j is divided by p_i", power(lambda p, i, e: 1 + e * p[i] / (e[:, [i]] * p))),
    ("this is the logarithm of S_τ", lambda p, i, e, tau: divided(weights(p, i, e, tau), i).log()),
    ("not after", lambda p, i, e, tau: with_one(divided(base(p, i, e) ** (-1 / tau), i, None), i)),
    ("the winner's, too", lambda *given: weights(*given) / (total(weights(*given)) - 1)),
    ("not by their mean", lambda *given: weights(*given) / weights(*given).mean(-1, keepdim=True)),
    ("mean over the draws", lambda p, i, e, tau: divided(weights(p, i, e, tau), i).mean(0)),
    ("class 0 is taken", lambda p, i, e, tau: divided(weights(p, i - 1, e, tau), i - 1)),
    ("class 2 is taken", lambda p, i, e, tau: divided(weights(p, i + 1, e, tau), i + 1)),
    ("this is D", lambda p, i, e, tau: row(torch.full((len(e),), i), p)),
    ("you multiply by p_j", power(lambda p, i, e: 1 + e / e[:, [i]] * p)),
    ("divided by the winner's, the first row is", power(lambda p, i, e: 1.5 * base(p, i, e))),
    (SHAPES, power(lambda p, i, e: 1 + e / (e[:, i] * p))),
    (SHAPES, lambda p, i, e, tau: weights(p, i, e, tau) / weights(p, i, e, tau).sum(-1)),
    (DRAWS, lambda p, i, e, tau: divided(weights(p, i, torch.rand_like(e), tau), i)),
]


SLIPS = {
    "check_gumbel_from_uniform": GUMBEL,
    "check_one_hot_sample": ONE_HOT,
    "check_mean_of_max": MEANS,
    "check_relaxed_sample": RELAXED,
    "check_truncated_gumbel": TRUNCATED,
    "check_conditional_gumbel": CONDITIONAL,
    "check_conditional_softmax": SOFTMAX,
}


@pytest.mark.parametrize(
    ("name", "says", "answer"),
    [(name, *slip) for name, slips in SLIPS.items() for slip in slips],
    ids=[f"{name}, {says}" for name, slips in SLIPS.items() for says, _ in slips],
)
def test_a_slip_is_told(name, says, answer):
    wrong(getattr(exercises, name)(answer), says)
