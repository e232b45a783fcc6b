"""The checks of notebook 06 accept the right answer, and name the mistake in typical wrong ones."""

import math
from functools import partial

import pytest
import torch
from answers import exercises, right, wrong

from gumbelrao_edu import gumbel_rao, st_gumbel_softmax
from gumbelrao_edu.listops import Split, TreeLSTM, losses, read
from gumbelrao_edu.training.loop import Training

# --- Exercise 1: the merge ------------------------------------------------------------------------


def sums(choice):
    """Σ_{i>j} D_i and Σ_{i<j} D_i, as columns."""
    upto = choice.cumsum(0)
    return (1 - upto)[:, None], (upto - choice)[:, None]


def merged(choice, proposals, nodes):
    stays, moves = sums(choice)
    return stays * nodes[:-1] + choice[:, None] * proposals + moves * nodes[1:]


def with_terms(function):
    """Terms of `function(stays, d, moves, proposals, nodes)`, added."""

    def answer(choice, proposals, nodes):
        stays, moves = sums(choice)
        return function(stays, choice[:, None], moves, proposals, nodes)

    return answer


def looked_up(choice, proposals, nodes):
    i = choice.argmax()
    return torch.cat([nodes[:i], proposals[i : i + 1], nodes[i + 2 :]])


def drawn_alone(choice, proposals, nodes):
    stays, moves = sums(choice.detach())
    d = choice[:, None]
    return stays * nodes[:-1] + d * proposals + moves * nodes[1:]


def one_factor(choice, proposals, nodes):
    stays, moves = sums(choice.detach())
    d = choice[:, None] * choice.detach()[:, None]
    return stays * nodes[:-1] + d * proposals + moves * nodes[1:]


MERGE = {
    "two sums are swapped": with_terms(lambda s, d, m, p, x: m * x[:-1] + d * p + s * x[1:]),
    "the first sum includes": with_terms(
        lambda s, d, m, p, x: (s + d) * x[:-1] + d * p + m * x[1:]
    ),
    "the last sum includes": with_terms(lambda s, d, m, p, x: s * x[:-1] + d * p + (m + d) * x[1:]),
    "both sums include": with_terms(
        lambda s, d, m, p, x: (s + d) * x[:-1] + d * p + (m + d) * x[1:]
    ),
    "do not move up": with_terms(lambda s, d, m, p, x: s * x[:-1] + d * p + m * x[:-1]),
    "the first term has node_j": with_terms(lambda s, d, m, p, x: s * x[1:] + d * p + m * x[1:]),
    "Multiply it by its D_j": with_terms(lambda s, d, m, p, x: s * x[:-1] + p + m * x[1:]),
    "the new node is missing": with_terms(lambda s, d, m, p, x: s * x[:-1] + m * x[1:]),
    "right of the draw are missing": with_terms(lambda s, d, m, p, x: s * x[:-1] + d * p),
    "left of the draw are missing": with_terms(lambda s, d, m, p, x: d * p + m * x[1:]),
    "the proposal alone": with_terms(lambda s, d, m, p, x: d * p),
    "added, not subtracted": with_terms(lambda s, d, m, p, x: s * x[:-1] + d * p - m * x[1:]),
    "one node has to go": lambda c, p, x: torch.cat([merged(c, p, x), x[-1:]]),
    "nothing is left to differentiate": looked_up,
    "D_j proposal_j alone": drawn_alone,
    "that was drawn alone": one_factor,
    "the shape is [2]": lambda c, p, x: merged(c, p, x).sum(0),
    "needs a second axis": lambda c, p, x: c * p,
    "raised RuntimeError": lambda c, p, x: torch.stack([]),
}


@pytest.mark.parametrize(("says", "answer"), MERGE.items(), ids=MERGE)
def test_merge(says, answer):
    wrong(exercises.check_merge(answer), says)


def by_a_loop(choice, proposals, nodes):
    rows = []
    for j in range(len(choice)):
        stays = sum(choice[i] for i in range(j + 1, len(choice)))
        moves = sum(choice[i] for i in range(j))
        rows.append(stays * nodes[j] + choice[j] * proposals[j] + moves * nodes[j + 1])
    return torch.stack(rows)


def by_matrices(choice, proposals, nodes):
    ones = torch.ones(len(choice), len(choice), dtype=choice.dtype)
    stays, moves = ones.triu(1) @ choice, ones.tril(-1) @ choice
    return (
        stays[:, None] * nodes[:-1] + choice[:, None] * proposals + moves.unsqueeze(1) * nodes[1:]
    )


@pytest.mark.parametrize("answer", [merged, by_a_loop, by_matrices])
def test_merge_right(answer):
    right(exercises.check_merge(answer))


def test_an_array_of_numpy_has_no_derivative():
    answer = exercises.check_merge(lambda *given: merged(*given).detach().numpy())
    wrong(answer, "no derivative goes through ndarray. Compute it with torch alone")


# --- Exercise 2: log q(T|x) -----------------------------------------------------------------------


def of_steps(step, end=lambda total: total):
    return lambda scores, choices: end(
        sum(step(theta, d) for theta, d in zip(scores, choices, strict=True))
    )


def log_p(theta, d):
    return (theta.log_softmax(-1) * d).sum(-1)


log_q = of_steps(log_p)

LOG_Q = {
    "this is the probability": of_steps(log_p, torch.exp),
    "the sign is the other way round": of_steps(log_p, torch.neg),
    "the probabilities are added": of_steps(lambda t, d: (t.softmax(-1) * d).sum(-1)),
    "these are the scores": of_steps(lambda t, d: (t * d).sum(-1)),
    "the choices play no part": of_steps(lambda t, d: t.log_softmax(-1).sum(-1)),
    "the most probable merge": of_steps(lambda t, d: t.log_softmax(-1).amax(-1)),
    "runs over the rows": of_steps(lambda t, d: (t.log_softmax(0) * d).sum(-1)),
    "the mean over the steps": lambda s, c: log_q(s, c) / len(s),
    "the first step alone": lambda s, c: log_p(s[0], c[0]),
    "the last step alone": lambda s, c: log_p(s[-1], c[-1]),
    "you have added up the rows": lambda s, c: log_q(s, c).sum(),
    "averaged over the rows": lambda s, c: log_q(s, c).mean(),
    "this is a loss, averaged": of_steps(log_p, lambda total: -total.mean()),
    "the sign is the other way round, and you have added": of_steps(log_p, lambda t: -t.sum()),
    "sum over the last axis": lambda s, c: torch.stack(
        [log_p(t, d).sum() for t, d in zip(s, c, strict=True)]
    ),
    "a sum of probabilities": of_steps(lambda t, d: log_p(t, d).exp(), torch.log),
    "the logarithms are multiplied": lambda s, c: math.prod(map(log_p, s, c)),
    "softmax is taken twice": of_steps(lambda t, d: log_p(t.softmax(-1), d)),
    "the mean over the proposals": of_steps(lambda t, d: (t.log_softmax(-1) * d).mean(-1)),
    "minus an entropy": of_steps(lambda t, d: (t.log_softmax(-1) * t.softmax(-1)).sum(-1)),
    "the steps one by one. Add": lambda s, c: torch.stack([*map(log_p, s, c)]),
    "a column for each": lambda s, c: torch.stack([*map(log_p, s, c)], -1),
    "sum(-1), before you add": of_steps(lambda t, d: (t.log_softmax(-1) * d).sum(0)),
    "not log2": lambda s, c: log_q(s, c) / math.log(2),
    "not log10": lambda s, c: log_q(s, c) / math.log(10),
    "Go through them one by one": lambda s, c: (
        torch.stack(s).log_softmax(-1) * torch.stack(c)
    ).sum((0, 2)),
    "one by one. also": lambda s, c: torch.cat(s).log_softmax(-1).sum(-1),
    "24 orders of five leaves sum to": lambda s, c: log_p(s[0], c[0]) + log_p(s[1], c[1]),
}


@pytest.mark.parametrize(("says", "answer"), LOG_Q.items(), ids=LOG_Q)
def test_log_probability(says, answer):
    wrong(exercises.check_log_probability(answer), says.removesuffix(". also"))


def by_indices(scores, choices):
    total = torch.zeros(len(scores[0]))
    for theta, d in zip(scores, choices, strict=True):
        p = theta.softmax(-1).gather(-1, d.argmax(-1, keepdim=True))[:, 0]
        total = total + p.log()
    return total


@pytest.mark.parametrize("answer", [log_q, by_indices])
def test_log_probability_right(answer):
    right(exercises.check_log_probability(answer))


# --- Exercise 4: K times the first term of (13) ---------------------------------------------------


def squares(rows, exact):
    return (rows - exact).square().sum(-1)


def first_term(rows, exact, k):
    scaled = k * squares(rows, exact)
    return scaled.mean(), scaled.std() / math.sqrt(len(rows))


def with_value(function):
    return lambda rows, exact, k: (function(rows, exact, k), 0.0)


def with_error(function):
    return lambda rows, exact, k: (first_term(rows, exact, k)[0], function(rows, exact, k))


FIRST_TERM = {
    "the first number: K is missing": with_value(lambda r, e, k: squares(r, e).mean()),
    "you divide by K": with_value(lambda r, e, k: squares(r, e).mean() / k),
    "distances are not squared": with_value(lambda r, e, k: k * (r - e).norm(dim=1).mean()),
    "average over the entries": with_value(lambda r, e, k: k * (r - e).square().mean()),
    "the sum over the rows": with_value(lambda r, e, k: k * squares(r, e).sum()),
    "the variance about the mean": with_value(lambda r, e, k: k * squares(r, r.mean(0)).mean()),
    "the variance of the rows": with_value(lambda r, e, k: k * r.var(0).sum()),
    "exact rows are not used": with_value(lambda r, e, k: k * squares(r, 0).mean()),
    "do not average over the exact": with_value(lambda r, e, k: k * squares(r, e.mean(0)).mean()),
    "distance of the means": with_value(lambda r, e, k: k * squares(r.mean(0), e.mean(0))),
    "you subtract the mean of the differences": with_value(
        lambda r, e, k: k * (r - e).var(0, unbiased=False).sum()
    ),
    "the variance of the differences": with_value(lambda r, e, k: k * (r - e).var(0).sum()),
    "not squared with it": with_value(lambda r, e, k: squares(k * r, k * e).mean()),
    "you add up the rows. Add": with_value(lambda r, e, k: k * (r - e).square().sum(0).mean()),
    "Square first, then add": with_value(lambda r, e, k: k * (r - e).sum(-1).square().mean()),
    "the differences are not squared": with_value(lambda r, e, k: k * (r - e).sum(-1).mean()),
    "absolute values": with_value(lambda r, e, k: k * (r - e).abs().sum(-1).mean()),
    "a difference of two variances": with_value(lambda r, e, k: k * (r.var(0) - e.var(0)).sum()),
    "a difference of squared lengths": with_value(
        lambda r, e, k: k * (squares(r, 0) - squares(e, 0)).mean()
    ),
    "the mean comes first": lambda r, e, k: first_term(r, e, k)[::-1],
    "not of the entries of one": with_error(
        lambda r, e, k: k * squares(r, e).std() / math.sqrt(r.shape[1])
    ),
    "has the n − 1 in it already": with_error(
        lambda r, e, k: k * squares(r, e).std() / math.sqrt(len(r) - 1)
    ),
    "K, not √K": with_error(lambda r, e, k: first_term(r, e, k)[1] / math.sqrt(k)),
    "K, not K²": with_error(lambda r, e, k: first_term(r, e, k)[1] * k),
    "their mean over √n": with_error(lambda r, e, k: k * squares(r, e).mean() / math.sqrt(len(r))),
    "the standard deviation of one row": with_error(lambda r, e, k: k * squares(r, e).std()),
    "not by n": with_error(lambda r, e, k: k * squares(r, e).std() / len(r)),
    "variance of the mean": with_error(lambda r, e, k: (k * squares(r, e)).var() / len(r)),
    "the second: K is missing here": with_error(
        lambda r, e, k: squares(r, e).std() / math.sqrt(len(r))
    ),
    "unbiased=False": with_error(
        lambda r, e, k: k * squares(r, e).std(unbiased=False) / math.sqrt(len(r))
    ),
    "this is the variance of the rows. Take √": with_error(
        lambda r, e, k: (k * squares(r, e)).var()
    ),
    "two standard errors": with_error(lambda r, e, k: 2 * first_term(r, e, k)[1]),
    "the first number again": with_error(lambda r, e, k: first_term(r, e, k)[0]),
    "not for their entries": with_error(
        lambda r, e, k: k * squares(r, e).std() / math.sqrt(r.numel())
    ),
    "expected two numbers, the mean": lambda r, e, k: first_term(r, e, k)[0],
    "got 3": lambda r, e, k: (*first_term(r, e, k), 0),
}


@pytest.mark.parametrize(("says", "answer"), FIRST_TERM.items(), ids=FIRST_TERM)
def test_first_term(says, answer):
    wrong(exercises.check_first_term(answer), says)


def test_first_term_right():
    right(exercises.check_first_term(first_term))
    right(exercises.check_first_term(lambda r, e, k: torch.stack(first_term(r, e, k))))
    right(exercises.check_first_term(lambda r, e, k: [x.item() for x in first_term(r, e, k)]))


# --- Exercise 5: a paired difference --------------------------------------------------------------


def interval(one, other, t):
    return around(one, other, t * (one - other).std() / math.sqrt(len(one)))


def around(one, other, reach):
    middle = (one - other).mean()
    return middle - reach, middle + reach


def two_groups(one, other):
    return (one.var() / len(one) + other.var() / len(other)).sqrt()


PAIRED = {
    "other − one": lambda a, b, t: interval(b, a, t),
    "nothing in common": lambda a, b, t: around(a, b, t * two_groups(a, b)),
    "and without t": lambda a, b, t: around(a, b, two_groups(a, b)),
    "deviation by √n.": lambda a, b, t: around(a, b, t * (a - b).std()),
    "not by n": lambda a, b, t: around(a, b, t * (a - b).std() / len(a)),
    "not by √(n − 1)": lambda a, b, t: around(a, b, t * (a - b).std() / math.sqrt(len(a) - 1)),
    "t is missing": lambda a, b, t: interval(a, b, 1),
    "1.96 in place of t": lambda a, b, t: interval(a, b, 1.96),
    "2 in place of t": lambda a, b, t: interval(a, b, 2),
    "unbiased=False": lambda a, b, t: around(
        a, b, t * (a - b).std(unbiased=False) / math.sqrt(len(a))
    ),
    "you take the variance": lambda a, b, t: around(a, b, t * (a - b).var() / math.sqrt(len(a))),
    "one standard deviation down and up": lambda a, b, t: around(a, b, (a - b).std()),
    "It is an argument": lambda a, b, t: interval(a, b, 4.30),
    "Take no absolute values": lambda a, b, t: interval((a - b).abs(), torch.zeros_like(b), t),
    "variance / n": lambda a, b, t: around(a, b, t * (a - b).var() / len(a)),
    "for n pairs": lambda a, b, t: around(a, b, t * (a - b).std() / math.sqrt(3)),
    "the spread of `one`": lambda a, b, t: around(a, b, t * a.std() / math.sqrt(len(a))),
    "the spread of `other`": lambda a, b, t: around(a, b, t * b.std() / math.sqrt(len(a))),
    "the spread of both, added": lambda a, b, t: around(
        a, b, t * (a.std() + b.std()) / math.sqrt(len(a))
    ),
    "the spread of both, subtracted": lambda a, b, t: around(
        a, b, t * (a.std() - b.std()).abs() / math.sqrt(len(a))
    ),
    "of all accuracies together": lambda a, b, t: around(
        a, b, t * torch.cat([a, b]).std() / math.sqrt(len(a))
    ),
    "the mean and the width": lambda a, b, t: (
        (a - b).mean(),
        2 * t * (a - b).std() / math.sqrt(len(a)),
    ),
    "the mean and the reach": lambda a, b, t: (
        (a - b).mean(),
        t * (a - b).std() / math.sqrt(len(a)),
    ),
    "half of the distance": lambda a, b, t: interval(a, b, t / 2),
    "smallest and the largest": lambda a, b, t: ((a - b).min(), (a - b).max()),
    "the interval of `one`": lambda a, b, t: interval(a, torch.zeros_like(b), t),
    "the lower end comes first": lambda a, b, t: interval(a, b, -t),
    "expected two numbers": lambda a, b, t: (a - b).mean(),
}


@pytest.mark.parametrize(("says", "answer"), PAIRED.items(), ids=PAIRED)
def test_paired_interval(says, answer):
    wrong(exercises.check_paired_interval(answer), says)


def test_paired_interval_right():
    right(exercises.check_paired_interval(interval))
    right(exercises.check_paired_interval(lambda a, b, t: torch.stack(interval(a, b, t))))


# --- Exercise 3: clip all -------------------------------------------------------------------------

EXAMPLES = Split([read("[MIN 3 5 ]"), read("[MAX 3 5 ]")], "two")
ESTIMATORS = {
    "ST-GS": partial(st_gumbel_softmax, tau=0.01),
    "GR, K = 10": partial(gumbel_rao, tau=0.01, k=10),
    "GR, K = ∞": partial(gumbel_rao, tau=0.01, k=math.inf),
}


def training(estimator, accuracy, *, step=300, clip=1.0):
    """One that has trained so far: nothing that a check looks at needs the steps themselves."""
    noise = torch.Generator()
    model = TreeLSTM(partial(estimator, generator=noise), dim=2)
    made = Training(
        model,
        lambda m, b: losses(m, b).mean(),
        EXAMPLES,
        batch_size=2,
        learning_rate=0.5,
        clip=clip,
    )
    made.step = step
    made.history = [{"step": at, "accuracy": accuracy} for at in range(100, step + 1, 100)]
    return made


def clipped(accuracies=(47.5, 48.6, 49.2), *, conclusion="B", **changes):
    pairs = zip(ESTIMATORS.items(), accuracies, strict=True)
    made = {name: training(estimator, accuracy) for (name, estimator), accuracy in pairs}
    return {**made, "conclusion": conclusion, **changes}


def test_clip_all_right():
    right(exercises.check_clip_all(clipped()))
    right(exercises.check_clip_all(clipped(conclusion="b")))
    # The one of the race has gone on further; it is compared where the others are.
    longer = training(ESTIMATORS["ST-GS"], 47.5, step=700)
    longer.history[-1]["accuracy"] = 10.0
    right(exercises.check_clip_all(clipped(**{"ST-GS": longer})))


def test_the_sentence_has_to_fit_the_numbers():
    wrong(exercises.check_clip_all(clipped(conclusion="A")), "GR stays ahead", "1.7 points")
    wrong(exercises.check_clip_all(clipped(conclusion="C")), "worse than ST-GS", "ST-GS 47.5 %")
    other = (20.0, 45.0, 47.0)
    wrong(exercises.check_clip_all(clipped(other)), "27.0 points")
    right(exercises.check_clip_all(clipped(other, conclusion="A")))
    right(exercises.check_clip_all(clipped((47.0, 45.0, 20.0), conclusion="C")))


def other_gr(name="GR, K = 10", **options):
    return {name: training(partial(gumbel_rao, **{"tau": 0.01, "k": 10, **options}), 48.0)}


CLIP_ALL = {
    "no answer so far": None,
    "expected a dictionary, got str": "B",
    "there is no training for 'GR, K = 10'": {"ST-GS": training(ESTIMATORS["ST-GS"], 47.0)},
    "expected what `prepare` returns, got float": clipped(**{"GR, K = ∞": 49.2}),
    "is not clipped": clipped(**{"ST-GS": training(ESTIMATORS["ST-GS"], 15.0, clip=None)}),
    "is clipped at 5": clipped(**{"ST-GS": training(ESTIMATORS["ST-GS"], 15.0, clip=5.0)}),
    "has the temperature 1": clipped(**other_gr(tau=1.0)),
    "has K = 100": clipped(**other_gr(k=100)),
    "'GR, K = ∞' has K = 10": clipped(**other_gr("GR, K = ∞")),
    "'ST-GS' has K = ∞": clipped(**other_gr("ST-GS", k=math.inf)),
    "have made 200 steps": clipped(**{"ST-GS": training(ESTIMATORS["ST-GS"], 47.0, step=200)}),
    "no conclusion so far": clipped(conclusion=None),
    "one of the letters A, B, C, got 'D'": clipped(conclusion="D"),
    "got 2": clipped(conclusion=2),
}


@pytest.mark.parametrize(("says", "answer"), CLIP_ALL.items(), ids=CLIP_ALL)
def test_clip_all(says, answer):
    wrong(exercises.check_clip_all(answer), says)


def test_clip_all_without_the_callback():
    answer = clipped()
    answer["GR, K = 10"].history = [{"step": 300}]
    wrong(exercises.check_clip_all(answer), "has noted no accuracy at step 300")
