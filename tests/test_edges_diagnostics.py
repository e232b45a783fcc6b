"""Diagnostics, problems and ListOps at the edges of what they accept: values, and what errors say.

The one test of draws against a law has the false-failure rate of `statistical`.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from operations import Operations
from seeded import seeded
from statistical import assert_mean

from gumbelrao_edu.diagnostics import (
    Draws,
    Measured,
    Measurements,
    Result,
    Terms,
    compare,
    comparison,
    covariance_trace,
    distance_from_zgr,
    exact_terms,
    gradient_samples,
    measured,
    mse,
    nested_terms,
    running_means,
    summarise,
    variance,
)
from gumbelrao_edu.estimators import sampler
from gumbelrao_edu.figures.ternary import simplex_map
from gumbelrao_edu.listops import (
    Batch,
    Example,
    Split,
    TreeLSTM,
    evaluate,
    format_line,
    greedy,
    spans_of,
    trees,
)
from gumbelrao_edu.listops import losses as listops_losses
from gumbelrao_edu.listops import score as listops_score
from gumbelrao_edu.problems import (
    QuadraticProgramme,
    descend,
    exact_fields,
    monte_carlo,
    polynomial,
    simplex_grid,
)
from gumbelrao_edu.problems.mixture import Mixture, train

WEIGHTS = torch.tensor([1.0, 2.0, 3.0])
THETA = torch.tensor([0.5, 0.0, -0.5])


def square(d):
    return (d @ WEIGHTS.to(d)).sum(-1) ** 2


def linear(d):
    return d @ WEIGHTS


# --- The recommendation ---------------------------------------------------------------------------


def result(name, bias2, variance=0.0, error=0.0):
    nothing = Measured(0.0, 0.0)
    return Result(name, {}, Measured(bias2, error), Measured(variance, 0.0), nothing, nothing, 1)


def test_a_squared_bias_measured_below_0_beats_nothing():
    """Nothing has an MSE below 0: 6.5e-13 is lower than −0.002 ± 0.003 with a variance."""
    exact, noisy = result("exact", 6.5e-13), result("noisy", -0.002, 10.0, 0.003)
    found = comparison.Comparison((noisy, exact), torch.tensor([4.0]), "", 3, (100, 10_000))
    assert found.recommendation.endswith(
        "100: exact(); 10,000: exact() (within the errors: noisy())."
    )
    # What was measured stays as it was, without bias.
    assert noisy.mse(10_000).value == pytest.approx(-0.001)


def test_with_many_evaluations_the_exact_gradient_is_recommended():
    found = compare(
        square,
        torch.zeros(2, 3),
        estimators=["exact", "zgr", "reinmax", "rloo"],
        tau=1.0,
        batch_sizes=[10, 1000, 10_000],
        generator=seeded(),
    )
    assert min(r.bias2.value for r in found.results) < 0  # the case in question
    assert [found._best(m).split(" ")[0] for m in found.batch_sizes] == ["exact()"] * 3
    exact = found.results[0]
    assert (exact.variance, exact.evaluations) == (Measured(0.0, 0.0), 10)


@pytest.mark.parametrize(
    ("m", "error", "message"),
    [
        (0, ValueError, "m: expected at least 1, got 0"),
        (-1, ValueError, "m: expected at least 1, got -1"),
        (math.nan, ValueError, "m: expected a finite number, got nan"),
        ("1", TypeError, "m: expected a number, got str"),
    ],
)
def test_a_mean_is_one_of_at_least_one(m, error, message):
    with pytest.raises(error, match=message):
        result("one", 1.0, 2.0).mse(m)
    assert result("one", 1.0, 2.0).mse(math.inf) == Measured(1.0, 0.0)


# --- Errors of variances --------------------------------------------------------------------------


def test_two_draws_say_nothing_about_the_error_of_their_variance():
    two = torch.randn(2, 5, generator=seeded(), dtype=torch.float64)
    want = two.var(0).sum()
    trace, error = covariance_trace(two)
    torch.testing.assert_close(trace, want)
    assert error.isnan()
    for draws in (two, two.split(1)):
        seen = summarise(draws)
        assert seen.variance == pytest.approx(want.item())
        assert math.isnan(seen.variance_se)
    (found,) = compare(square, torch.zeros(2, 3), estimators="zgr", num_samples=2).results
    assert math.isnan(found.variance.standard_error)


def test_all_errors_of_variances_are_those_of_three_draws_by_hand():
    """Squared distances 4, 0, 4 from the mean: s² = 16/3, and 3/2 · √(s²/3) = 2."""
    draws = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]])
    assert [x.item() for x in covariance_trace(draws)] == pytest.approx([4.0, 2.0])
    seen = summarise(draws)
    assert (seen.variance, seen.variance_se) == pytest.approx((4.0, 2.0))


def test_errors_of_variances_of_few_draws():
    """Of M normal numbers E se² = 2 (M − 2)/(M − 1)², where var s² = 2/(M − 1).

    The squared distances from the mean have the variance 2 (1 − 1/M)² and pairwise the covariance
    2/M², so that their scatter is 2 (1 − 2/M) on average. Without M/(M − 1) se² is 5 % less.
    """
    m = 40
    draws = torch.randn(m, 20_000, 1, generator=seeded(), dtype=torch.float64)
    _, errors = covariance_trace(draws)
    want = torch.tensor(2 * (m - 2) / (m - 1) ** 2, dtype=torch.float64)
    assert_mean(errors.square(), want, notice=0.04 * want.item())


# --- The Gram matrix ------------------------------------------------------------------------------


def by_covariance(parts, target):
    """What `_squared_bias` says, with covariance matrices."""
    b = parts[0].mean(0) - target
    v = sum(torch.cov(x.T) / len(x) for x in parts)
    least = 2 * (v @ v).trace().item()
    value = (b @ b - v.trace()).item()
    return value, math.sqrt(max(4 * (b @ v @ b).item() - least, least))


@pytest.mark.parametrize(("draws", "d"), [(20, 7), (7, 20), (10, 10)])
@pytest.mark.parametrize("sampled", [False, True])
def test_squared_bias_with_either_gram_matrix(monkeypatch, draws, d, sampled):
    x = torch.randn(draws, d, generator=seeded(), dtype=torch.float64) + 0.3
    if sampled:
        parts = [x, torch.randn(5, d, generator=seeded(1), dtype=torch.float64)]
        target = parts[1].mean(0)
    else:
        parts, target = [x], torch.zeros(d, dtype=torch.float64)
    want = by_covariance(parts, target)
    for rows in (3, 1024):  # in parts and in one
        monkeypatch.setattr(comparison, "ROWS", rows)
        found = comparison._squared_bias(x, target, parts[1] if sampled else None)
        assert found == pytest.approx(want, rel=1e-12)


def test_memory_of_a_comparison_does_not_grow_with_the_square_of_the_size():
    """Nothing larger than the draws is made; with d = 20,000 a covariance matrix takes 3.2 GB."""
    x = torch.randn(30, 20_000, generator=seeded(), dtype=torch.float64)
    with Operations() as seen:
        comparison._squared_bias(x, torch.zeros(20_000, dtype=torch.float64), None)
    assert max(seen.sizes) == x.numel()


# --- Random numbers and dtypes --------------------------------------------------------------------


def test_what_is_computed_without_sampling_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    distance_from_zgr(lambda d: square(d[..., None, :]), THETA, [0.1])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_sees_the_dtype_of_the_logits(dtype):
    weights = torch.tensor([1.0, 2.0, 4.0], dtype=dtype)

    def f(d):
        return (d @ weights).square()

    theta = THETA.to(dtype)
    draws = Draws(f, theta, num_samples=5, k_max=2)
    assert draws.exact.dtype == draws.gradients.dtype == draws.estimates(0.5).dtype == torch.float64
    torch.testing.assert_close(draws.exact, exact_terms(f, theta, 0.5).exact.double())
    seen = Measurements(f, theta, [0.5], [1], num_samples=10)(0.5, 1, 1)
    assert math.isfinite(seen.variance)
    got = distance_from_zgr(f, theta, [0.1])
    want = distance_from_zgr(lambda d: (d @ weights.double()).square(), THETA.double(), [0.1])
    torch.testing.assert_close(got, want, rtol=1e-5, atol=0)


# --- What errors say: diagnostics -----------------------------------------------------------------

TERMS = Terms(torch.tensor(8.0), torch.tensor(1.0), torch.zeros(2))
NAN = torch.tensor([[1.0, math.nan], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradient_samples(None, THETA, "zgr", 3), TypeError, "f: expected a function"),
        (lambda: Draws(None, THETA), TypeError, "f: expected a function, got NoneType"),
        (lambda: Measurements(None, THETA, [1.0], [1]), TypeError, "f: expected a function"),
        (lambda: distance_from_zgr(None, THETA, [1.0]), TypeError, "f: expected a function"),
        (lambda: distance_from_zgr(linear, None, [1.0]), TypeError, "logits: expected a tensor"),
        (lambda: exact_terms(None, THETA, 1.0), TypeError, "f: expected a function"),
        (
            lambda: gradient_samples(linear, THETA, 5, 3),
            TypeError,
            "estimator: expected a name or a function, got int",
        ),
        (lambda: nested_terms(3, 5), TypeError, "draw: expected a function, got int"),
        (lambda: nested_terms(lambda: NAN, 5), ValueError, "draw: expected finite numbers"),
        (lambda: running_means(torch.ones(3), []), ValueError, "counts: .* at least one number"),
        (lambda: running_means(torch.ones(3), [2.0]), TypeError, "counts: .* whole number"),
        (lambda: running_means(torch.ones(3), 2), TypeError, "counts: expected several numbers"),
        (lambda: running_means(torch.ones(3), "2"), TypeError, "counts: expected several numbers"),
        (
            lambda: running_means(torch.ones(3), torch.tensor(2)),
            TypeError,
            "counts: expected several numbers",
        ),
        (lambda: Measurements(linear, THETA, [1.0], None), TypeError, "ks: expected several"),
        (lambda: Measurements(linear, THETA, [1.0], []), ValueError, "ks: expected at least one"),
        (lambda: Draws(linear, THETA, generator=5), TypeError, "generator: .* got int"),
        (lambda: summarise(None), TypeError, "gradients: expected a tensor or several"),
        (lambda: variance(None, 1), TypeError, "terms: expected Terms, got NoneType"),
        (lambda: mse(None, 1), TypeError, "terms: expected Terms, got NoneType"),
        (
            lambda: summarise(torch.ones(3, 2), torch.tensor([1.0, math.nan])),
            ValueError,
            "exact: expected finite numbers, got NaN or infinity",
        ),
        (
            lambda: summarise(torch.ones(3, 2), torch.tensor([1.0, 1j])),
            TypeError,
            "exact: expected real numbers, got torch.complex64",
        ),
        (lambda: measured([1.0, math.nan]), ValueError, "draws: expected finite numbers"),
        (lambda: measured(torch.zeros(2, 0)), ValueError, "draws: expected at least one kind"),
        (lambda: measured(None), TypeError, "draws: expected a tensor or numbers, got None"),
        (lambda: measured("ab"), TypeError, "draws: expected a tensor or numbers, got 'ab'"),
        (
            lambda: compare(square, torch.zeros(2, 3), estimators=[["zgr"]]),
            TypeError,
            r"estimators: expected names, got \['zgr'\]",
        ),
        (
            lambda: compare(square, torch.zeros(2, 3), estimators=None),
            TypeError,
            "estimators: expected several names, got None",
        ),
    ],
)
def test_diagnostics_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_names_may_come_in_an_array():
    names = np.array(["zgr", "reinforce"])
    found = compare(square, torch.zeros(2, 3), estimators=names, num_samples=10)
    assert [r.estimator for r in found.results] == ["zgr", "reinforce"]


# --- What errors say: problems --------------------------------------------------------------------

PROGRAMME = QuadraticProgramme()
START = torch.tensor([[0.2, 0.1, 0.7]])
NEGATIVE = torch.tensor([[0.2, -0.1, 0.9]])
INFINITE = torch.tensor([[1.0, -math.inf], [-math.inf, 1.0]])


def walk(p=START, **changes):
    return descend(
        PROGRAMME, "exact", p, **{"whole": True, "steps": 2, "learning_rate": 0.1, **changes}
    )


def trained(**changes):
    return train(Mixture.draw(3, 2), 1, [0.5], **{"steps": 2, "runs": 2, **changes})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: QuadraticProgramme(INFINITE), ValueError, "q: expected finite numbers"),
        (
            lambda: QuadraticProgramme(c=torch.tensor([-math.inf, 0.5, 0.5])),
            ValueError,
            "c: expected finite numbers",
        ),
        (lambda: QuadraticProgramme(torch.zeros(0, 0)), ValueError, "q: expected a symmetric"),
        (
            lambda: PROGRAMME.loss(torch.eye(2), START[0]),
            ValueError,
            "d: expected 3 classes, got 2",
        ),
        (
            lambda: PROGRAMME.loss(torch.eye(3), START.expand(2, 3)),
            ValueError,
            r"d: expected a shape that broadcasts against that of p, \(2, 3\), got \(3, 3\)",
        ),
        (
            lambda: PROGRAMME.direct_gradient(torch.eye(3), torch.zeros(2, 3)),
            ValueError,
            r"d: .* that of logits, \(2, 3\), got \(3, 3\)",
        ),
        (lambda: walk(clip=-1.0), ValueError, "clip: expected a positive number, got -1.0"),
        (lambda: walk(clip=0.0), ValueError, "clip: expected a positive number, got 0.0"),
        (lambda: walk(learning_rate=math.nan), ValueError, "learning_rate: .* got nan"),
        (lambda: walk(learning_rate=-0.1), ValueError, "learning_rate: .* positive .* got -0.1"),
        (lambda: walk(NEGATIVE), ValueError, "p: expected probabilities in each row"),
        (lambda: walk(2 * START), ValueError, "p: expected probabilities in each row"),
        (lambda: walk(1.001 * START), ValueError, "p: .* a sum other than 1"),
        (
            lambda: descend(None, "zgr", START, whole=True, steps=1, learning_rate=0.1),
            TypeError,
            "programme: expected a QuadraticProgramme, got NoneType",
        ),
        (lambda: exact_fields(3, START, 0.5), TypeError, "programme: expected .* got int"),
        (lambda: train(3, 1, [0.5]), TypeError, "mixture: expected a Mixture, got int"),
        (
            lambda: polynomial.train("exact", [2.0]),
            ValueError,
            "name: .* draws samples, got .exact",
        ),
        (lambda: polynomial.train("zgr", [300.0]), ValueError, "powers: .* 0 in float32, got .300"),
        (
            lambda: polynomial.train("rloo", [2.0], num_samples="4"),
            TypeError,
            "num_samples: expected a whole number, got str",
        ),
        (
            lambda: walk(whole=torch.tensor([True, False, True])),
            ValueError,
            r"whole: expected one truth value or 1, .* got torch.bool of shape \(3,\)",
        ),
        (lambda: walk(whole=torch.tensor(1.0)), ValueError, "whole: .* got torch.float32"),
        (lambda: walk(whole="yes"), TypeError, "whole: .* got str"),
        (lambda: exact_fields(PROGRAMME, NEGATIVE, 0.5), ValueError, "p: expected probabilities"),
        (
            lambda: monte_carlo(PROGRAMME, NEGATIVE, 0.5, k=1, num_samples=2, generator=seeded()),
            ValueError,
            "p: expected probabilities",
        ),
        (
            lambda: exact_fields(PROGRAMME, START[0], 0.5),
            ValueError,
            r"p: expected \[points, n\], got \(3,\)",
        ),
        (
            lambda: monte_carlo(PROGRAMME, START[None], 0.5, k=1, num_samples=2),
            ValueError,
            r"p: expected \[points, n\], got \(1, 1, 3\)",
        ),
        (lambda: walk(START[0]), ValueError, r"p: expected \[runs, n\], got \(3,\)"),
        (lambda: wall(START[[0] * 4], torch.arange(4.0)), ValueError, r"p: .* got \(4, 3\)"),
        (lambda: wall(START[[0] * 3], torch.arange(2.0)), ValueError, r"values: .* 3 .* \(2,\)"),
        (lambda: trained(runs=0), ValueError, "runs: expected at least 1, got 0"),
        (lambda: trained(steps=-1), ValueError, "steps: expected at least 1, got -1"),
        (lambda: trained(learning_rate=math.nan), ValueError, "learning_rate: .* got nan"),
        (lambda: Mixture.draw(0), ValueError, "choices: expected at least 1, got 0"),
        (
            lambda: polynomial.train("zgr", [2.0], variables=0),
            ValueError,
            "variables: expected at least 1, got 0",
        ),
        (lambda: polynomial.train("zgr", []), ValueError, "powers: expected at least one"),
        (lambda: polynomial.train("zgr", [-1.0]), ValueError, "powers: .* positive .* got -1.0"),
        (lambda: polynomial.train("zgr", 2.0), TypeError, "powers: expected several numbers"),
        (lambda: polynomial.train("zgr", [2.0], runs=0), ValueError, "runs: expected at least 1"),
    ],
)
def test_problems_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: walk(),
        lambda: monte_carlo(PROGRAMME, START, 0.5, k=1, num_samples=2, generator=seeded())["fixed"][
            "gr_mc"
        ],
        lambda: trained(),
        lambda: polynomial.train("zgr", [2.0], evaluations=3, variables=2)[1],
    ],
)
def test_problems_are_the_same_where_gradients_are_off(call):
    with torch.no_grad():
        off = call()
    assert torch.equal(off, call())


def test_without_clipping_a_step_is_that_of_the_gradient():
    path = walk(steps=1, clip=math.inf)
    theta = START.log()
    want = (theta - 0.1 * PROGRAMME.gradient(theta)).softmax(-1)
    torch.testing.assert_close(path[1], want)


@pytest.mark.parametrize("c", [[0.0, 0.5, 0.5], [-0.2, 0.6, 0.6]])
def test_c_may_lie_on_an_edge_or_outside(c):
    """The expectation is the value there, too, off the singular lines."""
    programme = QuadraticProgramme(c=torch.tensor(c, dtype=torch.float64))
    p = torch.tensor([0.3, 0.45, 0.25], dtype=torch.float64)
    losses = programme.loss(torch.eye(3, dtype=torch.float64), p)
    torch.testing.assert_close(p @ losses, programme.value(p))


def test_points_of_a_grid_are_probabilities_in_every_dtype():
    for dtype in (torch.float64, torch.float32):
        assert exact_fields(PROGRAMME, simplex_grid(3).to(dtype), 0.5)["fixed"].inner.shape == (6,)


# --- What errors say: ListOps ---------------------------------------------------------------------


def wall(p, values):
    return simplex_map(p, values, name="f", title="f")


def test_a_map_takes_whole_numbers():
    heat, _ = wall(simplex_grid(2), torch.arange(3))
    assert (heat.zmin, heat.zmax) == pytest.approx((0.0, 1.94))
    assert heat.z == ([1, 1, 0, 0], [None, 2, 2, None])


def batch_of(label):
    return Batch(torch.tensor([7]), torch.tensor([1]), torch.tensor([label]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: evaluate([7.5]), TypeError, r"tokens: expected whole numbers, got \[7.5\]"),
        (lambda: evaluate(7), TypeError, "tokens: expected whole numbers, got 7"),
        (lambda: Example((7.0,), 7), TypeError, "tokens: expected whole numbers"),
        (lambda: Example((7,), 42), ValueError, "label: expected 0 to 9, got 42"),
        (lambda: Example((7,), 7.0), TypeError, "label: expected a whole number, got float 7.0"),
        (lambda: spans_of([-1, 0], 3), ValueError, r"merges: .* 0 to 1, got -1 \(merge 1\)"),
        (lambda: spans_of([0, 1], 3), ValueError, r"merges: .* 0 to 0, got 1 \(merge 2\)"),
        (lambda: spans_of([0, 0, 0], 3), ValueError, "merges: expected at most 2, got 3"),
        (lambda: spans_of([0.0], 2), TypeError, r"merges: expected whole numbers, got \[0.0\]"),
        (lambda: spans_of(None, 2), TypeError, "merges: expected whole numbers, got None"),
        (lambda: spans_of([], 0), ValueError, "length: expected at least 1, got 0"),
        (lambda: trees.average_depth({(0, 9)}, 3), ValueError, "spans: .* over 3 tokens"),
        (lambda: trees.average_depth("x", 2), TypeError, "spans: expected a set of pairs, got str"),
        (lambda: trees.average_depth({3}, 2), TypeError, "spans: expected pairs .* got 3"),
        (lambda: format_line(None), TypeError, "example: expected an Example, got NoneType"),
        (lambda: trees.average_depth(set(), 0), ValueError, "length: expected at least 1"),
        (lambda: trees.mean_f1([], []), ValueError, "predicted, gold: .* got 0 and 0"),
        (lambda: trees.mean_f1([set()], []), ValueError, "predicted, gold: .* got 1 and 0"),
        (lambda: trees.left_branching(0), ValueError, "length: expected at least 1, got 0"),
        (
            lambda: listops_score(
                TreeLSTM(greedy, dim=4), Split([Example((7,), 7)], "one"), chunk=0
            ),
            ValueError,
            "chunk: expected at least 1, got 0",
        ),
        (
            lambda: listops_losses(TreeLSTM(sampler("rloo"), dim=4), batch_of(10)),
            ValueError,
            "labels: expected 0 to 9, or -100 for no loss, got 10",
        ),
        (
            lambda: listops_losses(
                TreeLSTM(greedy, dim=4), batch_of(3)._replace(labels=torch.tensor([3]).int())
            ),
            TypeError,
            "batch: expected labels in a tensor of int64, got torch.int32",
        ),
    ],
)
def test_listops_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_fewer_merges_give_the_nodes_so_far():
    merges = [1, 2, 0, 0]
    sets = [spans_of(merges[:step], 5) for step in range(5)]
    assert [len(spans) for spans in sets] == [0, 1, 2, 3, 4]
    assert all(fewer < more for fewer, more in itertools.pairwise(sets))
    trees.check_tree(sets[-1], 5)


def test_a_filler_has_no_loss():
    model = TreeLSTM(sampler("rloo"), dim=4, generator=seeded())
    assert listops_losses(model, batch_of(-100)).tolist() == [0.0]


def test_whole_numbers_of_any_kind_are_tokens():
    for tokens in (np.array([13, 6, 5, 14]), torch.tensor([13, 6, 5, 14])):
        value = evaluate(tokens)
        assert (value, type(value)) == (1, int)


@pytest.mark.parametrize("tau", [1e-30, 200.0])
def test_what_does_not_reach_the_temperature_says_so(tau):
    found = compare(
        lambda d: d @ torch.tensor([1.0, 2.0]),
        torch.zeros(2),
        estimators="all",
        tau=tau,
        num_samples=20,
        generator=seeded(),
    )
    failed = {result.call for result in found.results if result.failed}
    assert failed == {result.call for result in found.results if "k=inf" in result.call}
    assert f"gumbel_rao(tau={tau}, k=inf)" in failed
    assert f"gumbel_rao(tau={tau}, k=inf)" in str(found)
    assert "1e-20 to 100" in str(found)


def test_probabilities_that_were_rounded_are_taken():
    for dtype, p in ((torch.float64, [0.333333, 0.333333, 0.333334]), (torch.bfloat16, [0.3] * 3)):
        p = torch.tensor(p, dtype=dtype)
        p = p / p.sum()
        assert descend(
            PROGRAMME, "zgr", p[None], whole=False, steps=1, learning_rate=0.1, generator=seeded()
        ).shape == (2, 1, 3)


def test_without_a_generator_the_global_one_is_used():
    torch.manual_seed(3)
    first = monte_carlo(PROGRAMME, START, 0.5, k=2, num_samples=5)
    torch.manual_seed(3)
    again = monte_carlo(PROGRAMME, START, 0.5, k=2, num_samples=5)
    assert torch.equal(first["fixed"]["gr_mc"], again["fixed"]["gr_mc"])


@pytest.mark.parametrize(
    "look",
    [
        lambda f: exact_terms(f, torch.zeros(3), 0.5),
        lambda f: Draws(f, torch.zeros(3), num_samples=2, k_max=2),
        lambda f: gradient_samples(f, torch.zeros(3), "zgr", 5),
    ],
)
def test_losses_that_depend_on_weights_alone_are_refused(look):
    weights = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="f: expected losses that are differentiable"):
        look(lambda d: (d.detach() * weights).sum(-1))


def test_draws_of_another_shape_are_refused():
    draws = iter([torch.zeros(4, 3), torch.zeros(4, 1)])
    with pytest.raises(ValueError, match=r"draw: .* one shape, got \(3,\), then \(1,\)"):
        nested_terms(lambda: next(draws), 2)


def test_temperatures_of_any_kind_of_number():
    draws = Draws(lambda d: d[..., 0], torch.zeros(2), num_samples=3, k_max=2)
    assert torch.equal(draws.estimates(Fraction(1, 2)), draws.estimates(0.5))
    measurements = Measurements(lambda d: d[..., 0], torch.zeros(2), [0.5], [1], num_samples=4)
    with pytest.raises(TypeError, match="tau: expected a number or a tensor, got list"):
        measurements([0.5], 1, 2)
    with pytest.raises(ValueError, match=r"tau, k: expected one of .* got \(0.25, 1\)"):
        measurements(0.25, 1, 2)


def test_settings_that_are_the_same_are_measured_once():
    found = compare(
        lambda d: d[..., 0],
        torch.zeros(2),
        estimators="gumbel_rao",
        tau=[0.5, 0.5],
        k=[3, 3],
        num_samples=20,
    )
    assert [result.call for result in found.results] == ["gumbel_rao(tau=0.5, k=3)"]


def test_a_loss_without_gradient_inside_the_simplex_is_a_row_that_failed():
    def f(d):
        corner = (d.amax(-1) == 1).all()
        return d[..., 0] if corner else d.detach()[..., 0]

    found = compare(f, torch.zeros(2), tau=0.5, estimators=["gumbel_softmax", "zgr"])
    assert [bool(result.failed) for result in found.results] == [True, False]


@torch.inference_mode()
def test_a_missing_gradient_is_explained_in_inference_mode():
    with pytest.raises(ValueError, match=r"f: .*; nothing is in torch\.inference_mode"):
        compare(lambda d: d[..., 0], torch.zeros(2))
