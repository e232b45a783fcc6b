"""The figures of notebook 08, its small problem, and the arithmetic of section 7."""

import itertools
import math
import time

import pytest
import torch
from seeded import seeded

from gumbelrao_edu import estimators
from gumbelrao_edu.course.relatives import figures
from gumbelrao_edu.figures import trace
from gumbelrao_edu.figures.rows import GR_INF, ST_GS, Row
from gumbelrao_edu.gumbel import exponential_of
from gumbelrao_edu.problems import polynomial
from gumbelrao_edu.quadrature import conditional_vjp

# --- Two slopes -----------------------------------------------------------------------------------


def test_one_slope_is_right_for_lines_and_two_for_parabolas():
    panel = figures.heun()
    right = {}
    for a in figures.POWERS:
        panel.controls["a"].value = a
        one, two = (trace(panel.figure, n).y[0] for n in ("one slope", "mean of two slopes"))
        f = trace(panel.figure, "f").y
        assert f[0] == 0.0
        assert f[20] == pytest.approx(0.5**a)
        right[a] = (one == 0, two == 0)
        assert abs(two) <= abs(one)
    assert [a for a, (one, _) in right.items() if one] == [1.0]
    assert [a for a, (_, two) in right.items() if two] == [1.0, 2.0]


# --- Bias and variance ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def panel():
    return figures.trade_off(num_samples=1000)


def logits_of(n):
    generator = seeded(n)
    return torch.randn(1, n, dtype=torch.float64, generator=generator)[0]


def truth(f, n):
    """Exact gradient, and bias² and variance of GR at each τ, from enumeration and quadrature."""
    theta, loss = logits_of(n), figures.LOSSES[f]
    corners = torch.eye(n, dtype=torch.float64).unsqueeze(1).requires_grad_()
    values = loss(corners)
    (g,) = torch.autograd.grad(values.sum(), corners)
    p, values = theta.softmax(-1), values.detach()
    return p, p * (values - p @ values), g.squeeze(1)


@pytest.mark.parametrize("n", figures.NS)
def test_rounding_is_no_bias(panel, n):
    """ST is exact for a linear loss at τ = 1; its bias² there is 1e-32 and has no error."""
    for tau, exact in ((1.0, True), (0.5, False)):
        for name in ("f", "n", "tau"):
            panel.controls[name].value = {"f": "linear", "n": n, "tau": tau}[name]
        assert trace(panel.figure, "ST").marker.symbol.endswith("-open") == exact


@pytest.mark.parametrize("tau", [0.2, 1.0])
@pytest.mark.parametrize("n", [3, 8])
@pytest.mark.parametrize("f", ["quadratic", "wave"])
def test_markers_are_bias_and_variance(panel, f, n, tau):
    p, exact, g = truth(f, n)
    given = conditional_vjp(g, logits_of(n).expand(n, n), torch.arange(n), tau)
    mean = p @ given
    bias2 = ((mean - exact).square().sum() / exact.square().sum()).item()
    variance = (p @ (given - mean).square().sum(-1) / exact.square().sum()).item() / figures.BUDGET
    for name in ("f", "n", "tau"):
        panel.controls[name].value = {"f": f, "n": n, "tau": tau}[name]
    marker = trace(panel.figure, "GR")
    assert marker.y[0] == pytest.approx(variance, rel=0.25)
    open_ = marker.marker.symbol.endswith("-open")
    assert open_ or marker.x[0] == pytest.approx(bias2, rel=0.5, abs=0.02)
    assert not open_ or bias2 < 0.1
    assert panel.errors == []


def test_every_registered_estimator_has_a_marker_and_is_ranked(panel):
    drawn = {name for name in estimators.names() if estimators.get(name).kind != "enumeration"}
    assert {Row(name).label for name in drawn} < {each.name for each in panel.figure.data}
    for name in drawn:
        assert len(trace(panel.figure, Row(name).label).x) == 1


def test_unbiased_ones_stand_at_the_edge_with_open_markers(panel):
    edge = {}
    for caption_of in itertools.product(figures.LOSSES, figures.NS):
        panel.controls["f"].value, panel.controls["n"].value = caption_of
        marker = trace(panel.figure, "RLOO")
        edge[caption_of] = marker.marker.symbol.endswith("-open")
        assert edge[caption_of] == (marker.x[0] == figures._FLOOR)
    # A 2.3 % chance each to be drawn with a bias of two standard errors; five of twelve have 1e-5.
    assert sum(edge.values()) >= len(edge) - 4


def test_a_move_is_answered_in_time(panel):
    times = []
    for tau in figures.TAUS * 3:
        start = time.process_time()
        panel.controls["tau"].value = tau
        times.append(time.process_time() - start)
    assert sorted(times)[len(times) // 2] < 0.1


# --- The polynomial problem -----------------------------------------------------------------------


def test_the_mean_of_the_polynomial_is_that_of_an_enumeration():
    theta = torch.randn(2, 1, 3, 2, generator=seeded())
    powers = torch.tensor([1.5, 3.0])
    expected = torch.zeros(2, 1)
    for choice in itertools.product(range(2), repeat=3):
        d = torch.eye(2)[list(choice)].expand(2, 1, 3, 2)
        weight = (theta.softmax(-1) * d).sum(-1).prod(-1)
        expected += weight * polynomial.loss(d, powers)
    torch.testing.assert_close(polynomial.mean(theta, powers), expected)


def test_reinmax_is_exact_for_the_parabola_and_one_slope_gets_stuck():
    theta = torch.zeros(1, 1, 1, 2, dtype=torch.float64, requires_grad=True)
    power = torch.tensor([2.0], dtype=torch.float64)
    (exact,) = torch.autograd.grad(polynomial.mean(theta, power).sum(), theta)
    rows = torch.zeros(1, 4000, 1, 2, dtype=torch.float64, requires_grad=True)
    means = {}
    for name, hyper in (("reinmax", {"tau": 1.0}), ("straight_through", {"tau": 1.0})):
        record = estimators.get(name)
        losses = record.loss(
            lambda d: polynomial.loss(d, power),
            rows,
            generator=seeded(1),
            **hyper,
        )
        (gradient,) = torch.autograd.grad(losses.sum(), rows)
        # Two outcomes with probability ½ each: their mean is the expectation.
        outcomes = gradient.reshape(-1, 2).unique(dim=0)
        means[name] = outcomes.mean(0)
    torch.testing.assert_close(means["reinmax"], exact.reshape(2))
    # ST: ½ · ½ times the sum of the slopes, 2 (0.55 − 0.45), where the difference is 0.1.
    assert means["straight_through"][1].item() == pytest.approx(0.25 * 0.1)


def test_a_training_pays_for_what_it_evaluates():
    one, left = polynomial.train("reinmax", [2.0], evaluations=12, variables=4)
    four, _ = polynomial.train("rloo", [2.0], evaluations=12, variables=4, num_samples=4)
    assert one == list(range(13))
    assert four == [0, 4, 8, 12]
    assert left.shape == (13, 1, 4)
    panel = figures.polynomial({"reinmax": (one, left)}, [2.0])
    assert list(trace(panel.figure, "ReinMax").y) == pytest.approx(left[:, 0].mean(-1).tolist())


def test_annealing_shows_means_and_errors():
    ends = {
        name: {"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([5.0, 5.0])} for name in ("x", "y")
    }
    panel = figures.annealing(ends, {"x": ST_GS, "y": GR_INF})
    shown = trace(panel.figure, "x")
    assert (shown.x, shown.y) == (("a", "b"), (2.0, 5.0))
    assert shown.error_y.array == pytest.approx([2.0, 0.0])  # two standard errors


# --- Section 7: why a public form may fail where ours does not ------------------------------------


def as_it_stands(theta, i, e, tiny):
    """Equation (9) with a small number inside its logarithms, as code often has it."""
    z = theta.exp().sum()
    others = -(e / theta.exp() + e[:, [i]] / z + tiny).log()
    winner = -(e[:, [i]] + tiny).log() + (z + tiny).log()
    return torch.where(torch.arange(len(theta)) == i, winner, others)


THETA = torch.tensor([1.0, 0.5, 0.0, -1.0])
G = torch.tensor([1.0, -2.0, 0.5, 1.0])


def of_form(theta, tiny, tau=0.5):
    e = torch.rand(4000, 4, generator=seeded(3)).log().neg()
    s = (as_it_stands(theta, 0, e, tiny) / tau).softmax(-1)
    return (s * (G - (s * G).sum(-1, keepdim=True)) / tau).mean(0)


def error(v):
    exact = conditional_vjp(G.double(), THETA.double(), torch.tensor(0), 0.5)
    return ((v.double() - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("shift", [-1e4, -110.0, -80.0, 0.0, 40.0, 60.0, 100.0, 1e4])
def test_the_library_is_exact_at_any_size_of_the_logits(shift):
    theta = THETA + shift
    exact = conditional_vjp(G, theta, torch.tensor(0), 0.5)
    # At 1e4 the logits themselves have errors of 5e-4.
    assert error(exact) < max(1e-4, 1e-6 * abs(shift))
    rows = theta.expand(20_000, 4).clone().requires_grad_()
    generator = seeded()
    function = estimators.get("gumbel_rao").function
    (function(rows, tau=0.5, k=100, generator=generator) * G).sum().backward()
    assert rows.grad.isfinite().all()


def test_negative_control_the_public_forms_fail():
    """A small number inside the logarithm, and exponentials of the logits, at large logits."""
    for tiny in (0.0, 1e-20):
        for shift in (0.0, 20.0, 40.0):
            assert error(of_form(THETA + shift, tiny)) < 0.1
    for shift in (60.0, 80.0):  # above −log 1e-20 = 46
        assert error(of_form(THETA + shift, 0.0)) < 0.1
        assert not error(of_form(THETA + shift, 1e-20)) < 0.5
    for shift in (100.0, -110.0):  # exp overflows at 88.7, and is 0 at −104
        assert math.isnan(error(of_form(THETA + shift, 0.0)))
        assert not error(of_form(THETA + shift, 1e-20)) < 0.5


def test_negative_control_a_uniform_number_of_zero_ends_a_public_form():
    """torch.rand gives exactly 0 once in 2^24 numbers; −log of it is infinite, and (9) is ∞/∞."""
    u = torch.tensor([[0.0, 0.3, 0.5, 0.2]])
    assert as_it_stands(THETA, 0, u.log().neg(), 0.0).softmax(-1).isnan().any()
    e = exponential_of(u.clone(), grid=torch.finfo(u.dtype).eps / 2)
    assert e.isfinite().all()
    assert as_it_stands(THETA, 0, e, 0.0).softmax(-1).isfinite().all()
    # It does occur: a training that draws as many in each step ends at this one.
    generator = seeded(3)
    zeros = [bool((torch.rand(10, 20, 12, 16, generator=generator) == 0).any()) for _ in range(40)]
    assert zeros == [False] * 39 + [True]
