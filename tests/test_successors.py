"""The estimators that came after the paper, against formulas, enumeration and quadrature."""

import math

import pytest
import torch
from seeded import seeded
from statistical import assert_frequencies, assert_mean, discrepancy

from gumbelrao_edu import (
    decoupled_straight_through,
    estimators,
    exact,
    gapped_straight_through,
    gumbel_max,
    reinmax_cv,
    st_gumbel_softmax,
)
from gumbelrao_edu.estimators.reinmax_rao import middle_logits
from gumbelrao_edu.quadrature import conditional_vjp

INF = math.inf
THETA = torch.tensor([0.5, -0.3, 1.2, -1.0], dtype=torch.float64)
P = THETA.softmax(0)
WEIGHTS = torch.tensor([1.0, 2.0, -1.0, 0.3], dtype=torch.float64)
SUCCESSORS = [
    "decoupled_straight_through",
    "gapped_straight_through",
    "reinmax",
    "reinmax_cv",
    "reinmax_rao",
]


def linear(d):
    return d @ WEIGHTS


def quadratic(d):
    return (d @ WEIGHTS) ** 2 + d[..., 0] * d[..., 2] + 0.5 * d[..., 1]


def transcendental(d):
    return (d * WEIGHTS).cos().prod(-1) * (1 + d[..., 0]).log() + (d @ WEIGHTS).exp()


def exponential(scale):
    """A loss whose terms of degree m in D are of the order scale^m."""
    return lambda d: (scale * d @ WEIGHTS).exp()


def upstream(f):
    """∂f(D)/∂D for each class, [n, n]."""
    corners = torch.eye(4, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(f(corners).sum(), corners)[0]


def exact_gradient(f):
    logits = THETA.clone().requires_grad_()
    return torch.autograd.grad(exact(f, logits), logits)[0]


def given_each_class(name, f, **hyper):
    """The gradient for each class that may be drawn, [n, n]; the estimator has to be fixed by D."""
    logits = THETA.expand(200, 4).clone().requires_grad_()
    sample = estimators.get(name).function(logits, generator=seeded(), **hyper)
    f(sample).sum().backward()
    rows = [logits.grad[sample.argmax(-1) == i] for i in range(4)]
    assert all(len(row) for row in rows)
    for row in rows:
        torch.testing.assert_close(row, row[:1].expand_as(row))
    return torch.stack([row[0] for row in rows])


def draws(name, f, num_samples=200_000, **hyper):
    logits = THETA.float().expand(num_samples, 4).clone().requires_grad_()
    record = estimators.get(name)
    sample = record.function(logits, generator=seeded(1), **{**record.example, **hyper})
    f(sample.double()).sum().backward()
    return logits.grad


def jacobian(p):
    return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)


def times(matrix, g):
    return (matrix @ g.unsqueeze(-1)).squeeze(-1)


def middle():
    """θ_D for each class."""
    return ((P + torch.eye(4, dtype=torch.float64)) / 2).log()


# --- ReinMax --------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.7])
def test_reinmax_is_its_formula(tau):
    """Below τ = 1, too, which public implementations refuse."""
    g = upstream(transcendental)
    m = ((THETA / tau).softmax(0) + torch.eye(4, dtype=torch.float64)) / 2
    want = 2 * times(jacobian(m), g) - times(jacobian(P), g) / 2
    torch.testing.assert_close(given_each_class("reinmax", transcendental, tau=tau), want)


def test_reinmax_is_exact_for_quadratic_losses_at_temperature_one():
    for f in (linear, quadratic):
        mean = P @ given_each_class("reinmax", f, tau=1.0)
        torch.testing.assert_close(mean, exact_gradient(f))
        away = P @ given_each_class("reinmax", f, tau=1.7)
        assert (away - exact_gradient(f)).norm() > 0.05 * exact_gradient(f).norm()
    mean = P @ given_each_class("reinmax", transcendental, tau=1.0)
    assert (mean - exact_gradient(transcendental)).norm() > 0.01


def test_reinmax_at_temperature_one_is_zgr():
    results = []
    for name, hyper in (("reinmax", {"tau": 1.0}), ("zgr", {})):
        logits = torch.randn(50, 4, dtype=torch.float64, generator=seeded()).requires_grad_()
        sample = estimators.get(name).function(logits, generator=seeded(2), **hyper)
        sample.backward(torch.randn(50, 4, dtype=torch.float64, generator=seeded(1)))
        results.append((sample.detach(), logits.grad))
    torch.testing.assert_close(*results)


# --- the order of the bias ------------------------------------------------------------------


def bias(name, scale, **hyper):
    f = exponential(scale)
    g = upstream(f)
    if name == "reinmax_rao":
        table = rao(g, **hyper)
    elif name == "reinmax_cv":
        table = cv(g, **hyper)
    elif name == "st_gumbel_softmax":
        table = conditional_vjp(g, THETA.expand(4, 4), torch.arange(4), hyper["tau"])
    else:
        table = given_each_class(name, f, **hyper)
    return (P @ table - exact_gradient(f)).norm()


@pytest.mark.parametrize(
    ("name", "hyper", "order"),
    [
        ("reinmax", {"tau": 1.0}, 3),
        ("zgr", {}, 3),
        ("straight_through", {"tau": 1.0}, 2),
        ("reinmax", {"tau": 1.5}, 1),
        ("gapped_straight_through", {"tau": 1.0}, 1),
        ("st_gumbel_softmax", {"tau": 0.5}, 1),
        ("reinmax_rao", {"tau": 0.5}, 1),
        ("reinmax_cv", {"tau": 0.5}, 1),
    ],
)
def test_the_bias_is_of_its_order(name, hyper, order):
    """Half the scale of the loss: the bias falls by 2^order, where 2 is exact to first order."""
    ratio = bias(name, 0.02, **hyper) / bias(name, 0.01, **hyper)
    assert abs(math.log2(ratio) - order) < 0.1


# --- gapped straight-through ----------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.3, 1.0])
@pytest.mark.parametrize("gap", [0.0, 1.0, 2.5])
def test_gapped_straight_through_is_its_formula(tau, gap):
    d, g = torch.eye(4, dtype=torch.float64), upstream(transcendental)
    m1 = (THETA.max() - THETA) * d
    m2 = (THETA - THETA.max() + gap).relu() * (1 - d)
    moved = THETA + m1 - m2
    lead = moved.diagonal() - moved.masked_fill(d == 1, -INF).amax(-1)
    assert (lead >= gap - 1e-12).all()
    want = times(jacobian((moved / tau).softmax(-1)), g) / tau
    got = given_each_class("gapped_straight_through", transcendental, tau=tau, gap=gap)
    torch.testing.assert_close(got, want)


def test_the_gap_is_one_by_default_and_checked():
    one = given_each_class("gapped_straight_through", quadratic, tau=0.5, gap=1.0)
    assert torch.equal(given_each_class("gapped_straight_through", quadratic, tau=0.5), one)
    with pytest.raises(ValueError, match=r"gap: expected at least 0, got -1.0"):
        gapped_straight_through(THETA, tau=1.0, gap=-1.0)
    with pytest.raises(TypeError, match="gap: expected a number, got str"):
        gapped_straight_through(THETA, tau=1.0, gap="1")
    with pytest.raises(ValueError, match="gap: expected a finite number, got nan"):
        gapped_straight_through(THETA, tau=1.0, gap=math.nan)


# --- decoupled straight-through -------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.2, 1.0, 3.0])
def test_decoupled_at_equal_temperatures_is_st_gumbel_softmax_of_tempered_logits(tau):
    results = []
    for name in ("decoupled", "st"):
        logits = torch.randn(500, 4, dtype=torch.float64, generator=seeded()).requires_grad_()
        if name == "st":
            sample = st_gumbel_softmax(logits / tau, tau=1.0, generator=seeded(2))
        else:
            sample = decoupled_straight_through(
                logits, tau=tau, tau_forward=tau, generator=seeded(2)
            )
        sample.backward(torch.randn(500, 4, dtype=torch.float64, generator=seeded(1)))
        results.append((sample.detach(), logits.grad))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_forward_temperature_may_have_more_digits_than_the_logits(dtype):
    logits = THETA.to(dtype).requires_grad_()
    more = torch.tensor(2.0, dtype=torch.float64)
    sample = decoupled_straight_through(logits, tau=0.7, tau_forward=more, generator=seeded())
    same = decoupled_straight_through(logits, tau=0.7, tau_forward=2.0, generator=seeded())
    assert sample.dtype == dtype
    assert torch.equal(sample, same)
    (sample * THETA.to(dtype)).sum().backward()
    assert logits.grad.norm() > 0


@pytest.mark.parametrize("tau_forward", [0.4, 1.0, 2.0])
def test_the_forward_temperature_is_that_of_the_draws(tau_forward):
    """argmax((θ + G)/τ_f) would not depend on it."""
    sample = decoupled_straight_through(
        THETA.expand(100_000, 4), tau=0.7, tau_forward=tau_forward, generator=seeded()
    )
    assert_frequencies(sample.sum(0), (THETA / tau_forward).softmax(0))


def test_the_backward_temperature_is_that_of_the_gradient():
    _, noise = gumbel_max(torch.zeros(500, 4).double(), generator=seeded())
    logits = THETA.expand(500, 4).clone().requires_grad_()
    g = torch.randn(500, 4, dtype=torch.float64, generator=seeded(1))
    sample = decoupled_straight_through(logits, tau=0.7, tau_forward=2.0, generator=seeded())
    sample.backward(g)
    assert torch.equal(sample.argmax(-1), (THETA / 2 + noise).argmax(-1))
    want = times(jacobian((THETA / 0.7 + noise).softmax(-1)), g) / 0.7
    torch.testing.assert_close(logits.grad, want)


def test_a_wrong_forward_temperature_is_named():
    with pytest.raises(ValueError, match=r"tau_forward: expected a positive .* got 0"):
        decoupled_straight_through(THETA, tau=1.0, tau_forward=0)
    with pytest.raises(TypeError, match=r"tau_forward: expected a number .* got NoneType"):
        decoupled_straight_through(THETA, tau=1.0, tau_forward=None)


# --- ReinMax-Rao and ReinMax-CV -------------------------------------------------------------


def rao(g, tau):
    """The gradient of ReinMax-Rao with K = ∞ for each class."""
    return 2 * conditional_vjp(g, middle(), torch.arange(4), tau) - times(jacobian(P), g) / 2


def cv(g, tau, eta=1.0):
    """The mean of ReinMax-CV given each class."""
    d, theta = torch.eye(4, dtype=torch.float64), middle()
    m = (P + d) / 2
    plain = 2 * times(jacobian(m), g) - times(jacobian(P), g) / 2
    averaged = conditional_vjp(g, theta, torch.arange(4), tau)
    # ST-GS at θ_D: over the winner of θ_D + G, which is j with probability m_j.
    each = torch.stack([conditional_vjp(g, theta, torch.full((4,), j), tau) for j in range(4)], 1)
    return plain + eta * (averaged - (m.unsqueeze(-1) * each).sum(1))


def test_the_middle_of_a_class_whose_probability_is_rounded_to_0():
    theta = torch.tensor([0.0, -120.0, -math.inf, -2.0])
    likely = torch.tensor([1.0, 0.0, 0.0, 0.0])
    log_p = theta.double().log_softmax(0)
    want = log_p - math.log(2)
    want[0] = (log_p[0].exp() + 1).log() - math.log(2)
    torch.testing.assert_close(middle_logits(theta, likely).double(), want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tau", [0.2, 1.0])
def test_reinmax_rao_is_its_formula_at_k_infinity(tau):
    got = given_each_class("reinmax_rao", transcendental, tau=tau, k=INF)
    torch.testing.assert_close(got, rao(upstream(transcendental), tau), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("f", [linear, quadratic, transcendental])
@pytest.mark.parametrize("k", [1, 5])
def test_reinmax_rao_has_the_mean_of_k_infinity(f, k):
    want = P @ rao(upstream(f), 0.5)
    assert_mean(draws("reinmax_rao", f, tau=0.5, k=k), want, notice=0.15)


def test_more_inner_draws_lower_the_variance_of_reinmax_rao():
    one, ten, limit = (
        draws("reinmax_rao", quadratic, tau=0.3, k=k).var(0).sum() for k in (1, 10, INF)
    )
    torch.testing.assert_close(ten, limit + (one - limit) / 10, rtol=0.03, atol=0.0)
    assert limit < 0.8 * one


@pytest.mark.parametrize("f", [linear, quadratic, transcendental])
@pytest.mark.parametrize(("k", "eta"), [(3, 1.0), (INF, 0.5), (INF, -1.0)])
def test_reinmax_cv_has_the_mean_of_its_formula(f, k, eta):
    got = draws("reinmax_cv", f, tau=0.5, k=k, eta=eta)
    assert_mean(got, P @ cv(upstream(f), 0.5, eta), notice=0.15)


def test_the_bracket_of_reinmax_cv_has_not_the_mean_zero():
    """So that it would be unbiased for quadratic losses, as ReinMax: it is not."""
    got = draws("reinmax_cv", quadratic, tau=0.5, k=INF)
    assert discrepancy(got, exact_gradient(quadratic), notice=0.15) > 1


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_small_temperatures_lose_a_part_of_the_gradient(eta):
    g, want = upstream(linear), exact_gradient(linear)
    distance = []
    for tau in (0.02, 0.002):
        half = P @ rao(g, tau) - want / 2
        rest = P @ cv(g, tau, eta) - (1 - eta / 4) * want
        distance.append(torch.stack([half.norm(), rest.norm()]) / want.norm())
    assert (distance[1] < 5e-3).all()
    ratio = distance[0] / distance[1]  # linear in τ
    assert ((ratio > 7) & (ratio < 14)).all()


def test_reinmax_cv_without_its_bracket_is_reinmax():
    alone = given_each_class("reinmax", transcendental, tau=1.0)
    torch.testing.assert_close(
        given_each_class("reinmax_cv", transcendental, tau=0.5, k=3, eta=0.0), alone
    )
    with pytest.raises(TypeError, match="eta: expected a number, got NoneType"):
        reinmax_cv(THETA, tau=0.5, k=3, eta=None)


@pytest.mark.parametrize("name", ["reinmax_rao", "reinmax_cv"])
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        ({"k": INF, "tau": 0}, ValueError, "tau: expected a positive finite number, got 0"),
        (
            {"k": INF, "tau": 101.0},
            ValueError,
            "tau: expected from 1e-20 to 100 with K = ∞, got 101",
        ),
        ({"noise": "normal"}, ValueError, r"noise: expected one of .* got 'normal'"),
        ({"tau": torch.tensor(0.5, requires_grad=True)}, ValueError, "tau: .* requires it"),
    ],
)
def test_wrong_arguments_of_the_rao_blackwellized_are_named(name, changes, error, message):
    function = estimators.get(name).function
    with pytest.raises(error, match=message):
        function(THETA, **{"tau": 0.5, "k": 3, **changes})
    with pytest.raises(ValueError, match="k: expected a finite number for more than 1024"):
        function(torch.zeros(2000), tau=0.5, k=INF)


# --- masks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUCCESSORS)
def test_a_mask_of_ones_is_no_mask(name):
    """Public models set padded logits to 1 in place of −∞: a masked class is then drawn."""
    record = estimators.get(name)
    theta = torch.tensor([0.5, -INF, 1.2]).expand(5000, 3)
    padded = theta.masked_fill(theta == -INF, 1.0)
    assert record.function(theta, generator=seeded(), **record.example)[:, 1].sum() == 0
    assert record.function(padded, generator=seeded(), **record.example)[:, 1].sum() > 1000


@pytest.mark.parametrize("name", SUCCESSORS)
def test_a_masked_class_leaves_the_gradient_of_the_others(name):
    """As if it were not there: with the noise averaged out or none, the gradient is the same."""
    record = estimators.get(name)
    hyper = {**record.example, **({"k": INF} if "k" in record.example else {})}
    if name == "reinmax_cv":
        hyper["eta"] = 0.0
    kept = torch.tensor([True, False, True])
    g = torch.tensor([0.3, 7.0, -1.0], dtype=torch.float64)

    def mean(theta, g):
        logits = theta.expand(20_000, -1).clone().requires_grad_()
        sample = record.function(logits, generator=seeded(), **hyper)
        (sample * g).sum().backward()
        return logits.grad, sample

    masked, d = mean(torch.tensor([0.5, -INF, 1.2], dtype=torch.float64), g)
    alone, e = mean(torch.tensor([0.5, 1.2], dtype=torch.float64), g[kept])
    if name == "decoupled_straight_through":
        assert_mean(masked[:, kept], alone.mean(0), notice=0.05)
        return
    for i in (0, 1):
        first = masked[d[:, kept][:, i] == 1][0, kept]
        torch.testing.assert_close(first, alone[e[:, i] == 1][0], rtol=1e-6, atol=1e-8)
