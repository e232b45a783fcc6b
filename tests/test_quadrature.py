"""The exact conditional expectation against oracles that share nothing with it.

Adaptive integration (n = 2), a two-dimensional rule (n = 3), a slow rule with the λ integral in
full (any n), simulation, and the limit τ → 0.
"""

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from seeded import seeded

from gumbelrao_edu import quadrature
from gumbelrao_edu.quadrature import conditional_vjp, error_estimate, second_moment

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import make_exp_sums

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}


# --- Oracles --------------------------------------------------------------------------------------


def moments_2(p_j, tau):
    """E[s_i s_j] and E[(s_i s_j)²] for n = 2 by adaptive integration over u = log(E_j / E_i)."""

    def integrand(u, order):
        r = math.exp(-float(np.logaddexp(0.0, u - math.log(p_j))) / tau)
        return (r / (1 + r) ** 2) ** order * scipy.stats.logistic.pdf(u)

    return [
        sum(
            scipy.integrate.quad(integrand, a, b, (order,), epsabs=0, epsrel=1e-11, limit=500)[0]
            for a, b in itertools.pairwise((-90, -30, -10, 0, 10, 60))
        )
        for order in (1, 2)
    ]


def grid_3(g, p, i, tau):
    """First and second moments for n = 3; t_j = E_j / E_i have the density 2 / (1 + t + t')³."""
    u = np.arange(-90.0, 45.0, 0.2)
    others = [j for j in range(3) if j != i]
    log_t = np.meshgrid(u, u, indexing="ij")
    density = 2 * np.exp(sum(log_t) - 3 * np.logaddexp(0.0, np.logaddexp(*log_t))) * 0.2**2
    r = [np.ones_like(density)] * 3
    for j, log_tj in zip(others, log_t, strict=True):
        r[j] = np.exp(-np.logaddexp(0.0, log_tj - np.log(p[j])) / tau)
    s = np.stack(r) / sum(r)
    single = s * np.stack([sum(s[b] * (g[a] - g[b]) for b in range(3)) for a in range(3)]) / tau
    return (single * density).sum((1, 2)), (single**2 * density).sum((1, 2))


def double_exponential(step=0.04):
    """Nodes and weights of ∫₀^∞ e^{−E} dE with E = exp(t − e^{−t})."""
    t = np.arange(-3.6, 4.0, step)
    e = np.exp(t - np.exp(-t))
    return e, step * e * (1 + np.exp(-t)) * np.exp(-e)


def slow(g, p, i, tau, power=2):
    """Any n: 1/x² = ∫ λ e^{−λx} dλ in full (1/x⁴: λ³/6), every E_j integrated on its own.

    Classes of equal p share one integral, so that n = 1000 is within reach.
    """
    values, inverse = np.unique(np.asarray(p), return_inverse=True)
    e, w_e = double_exponential(0.08)
    e_j, w_j = double_exponential()
    log_lam = np.arange(-18.0, 5.5, 0.25)
    lam = np.exp(log_lam)
    weight = 0.25 * lam**power / math.factorial(power - 1) * np.exp(-lam)
    r = np.exp(-np.log1p(e_j / (e[:, None, None] * values[:, None])) / tau)  # [e, value, node]
    # [e, λ, value]
    phi, psi, psi2 = (
        np.stack([(w_j * r**d * np.exp(-x * r)).sum(-1) for x in lam], 1) for d in range(3)
    )
    log_phi = np.log(phi)[..., inverse]
    rho, rho2 = (psi / phi)[..., inverse], (psi2 / phi)[..., inverse]
    rho[..., i], rho2[..., i], log_phi[..., i] = 1.0, 1.0, 0.0
    weights = w_e[:, None] * weight * np.exp(log_phi.sum(-1))
    r_sum, q_sum = rho.sum(-1, keepdims=True), (rho * g).sum(-1, keepdims=True)
    if power == 2:
        return (weights[..., None] * rho * (g * r_sum - q_sum)).sum((0, 1)) / tau
    spread = np.stack([((ga - g) ** 2 * (rho2 - rho**2)).sum(-1) for ga in g], -1)
    inner = spread + (g * r_sum - q_sum) ** 2
    return (weights[..., None] * rho2 * inner).sum((0, 1)) / tau**2


def rounded(*arrays):
    """Numbers that float32 holds exactly, so that all precisions are asked the same question."""
    return [torch.as_tensor(np.float32(a), dtype=torch.float64) for a in arrays]


def distance(value, reference):
    value, reference = (torch.as_tensor(x).double() for x in (value, reference))
    return ((value - reference).norm(dim=-1) / reference.norm(dim=-1)).max().item()


def assert_right(g, logits, i, tau, reference):
    for dtype, tolerance in TOLERANCE.items():
        got = conditional_vjp(g.to(dtype), logits.to(dtype), torch.tensor(i), tau)
        assert got.dtype == dtype
        assert distance(got, reference) <= tolerance


def random_problem(n, count, seed, scale=3.0):
    rng = np.random.default_rng(seed)
    g, logits = rounded(rng.normal(size=(count, n)), scale * rng.normal(size=(count, n)))
    return g, logits, torch.as_tensor(rng.integers(n, size=count))


# --- Against the oracles --------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.01, 0.05, 0.3, 0.5, 0.97, 1.0, 1.3, 2.0, 10.0])
def test_binary_against_adaptive_integration(tau):
    for difference in (-60.0, -12.5, -3.0, -0.8, 0.0, 0.01, 1.7, 6.0, 60.0):
        (logits,) = rounded([difference, 0.0])  # class 1 is drawn
        g = torch.tensor([1.5, -0.25], dtype=torch.float64)
        p_j = logits.softmax(-1)[0].item()
        first, second = moments_2(p_j, tau)
        reference = 1.75 / tau * first * np.array([1.0, -1.0])
        assert_right(g, logits, 1, tau, reference)
        got = second_moment(g, logits, torch.tensor(1), tau)
        assert distance(got, [(1.75 / tau) ** 2 * second] * 2) <= 1e-7


@pytest.mark.parametrize("tau", [0.01, 0.1, 0.6, 1.0, 2.5, 10.0])
@pytest.mark.parametrize("logits", [(0.0, 0.3, -0.5), (8.0, -7.0, 1.0), (30.0, 29.0, -30.0)])
def test_three_classes_against_a_two_dimensional_rule(tau, logits):
    g, logits = rounded([0.7, -1.1, 0.4], logits)
    for i in range(3):
        first, second = grid_3(g.numpy(), logits.softmax(-1).numpy(), i, tau)
        assert_right(g, logits, i, tau, first)
        assert distance(second_moment(g, logits, torch.tensor(i), tau), second) <= 1e-7


@pytest.mark.parametrize("tau", [0.05, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("n", [4, 7])
def test_more_classes_against_a_slow_rule(tau, n):
    g, logits, index = random_problem(n, 1, seed=n)
    p, i = logits[0].softmax(-1).numpy(), index.item()
    assert_right(g[0], logits[0], i, tau, slow(g[0].numpy(), p, i, tau))
    got = second_moment(g[0], logits[0], index[0], tau)
    assert distance(got, slow(g[0].numpy(), p, i, tau, power=4)) <= 1e-7


@pytest.mark.parametrize("tau", [0.1, 0.8, 3.0, 10.0])
@pytest.mark.parametrize("levels", [(0.0, 0.0), (0.0, 4.0), (-5.0, 5.0)])
def test_many_classes_against_a_slow_rule(tau, levels):
    n = 1000
    logits = torch.tensor(levels, dtype=torch.float64).repeat(n // 2)
    (g,) = rounded(np.random.default_rng(0).normal(size=n))
    for i in (0, 1):
        p = np.exp(np.round(logits.log_softmax(-1).numpy(), 12))
        assert_right(g, logits, i, tau, slow(g.numpy(), p, i, tau))


def simulate(g, logits, i, tau, draws, seed):
    """Draws of s_a Σ_b s_b (g_a − g_b) / τ given D = i: softmax of Gumbels conditioned by (9)."""
    generator = seeded(seed)
    uniform = torch.rand(draws, len(g), generator=generator, dtype=torch.float64)
    e = -torch.log1p(-uniform)
    shared = e[:, i : i + 1] / logits.exp().sum()
    perturbed = -torch.log(e / logits.exp() + shared)
    perturbed[:, i] = -torch.log(shared[:, 0])
    s = (perturbed / tau).softmax(-1)
    return s * (g - (s * g).sum(-1, keepdim=True)) / tau


# False-failure rate of this test: 1e-6, shared by 2 moments × 4 temperatures × 5 classes.
THRESHOLD = scipy.stats.norm.isf(1e-6 / 40 / 2)


@pytest.mark.paper("(7)")
@pytest.mark.parametrize("tau", [0.2, 0.7, 1.0, 4.0])
def test_against_simulation(tau):
    g, logits, index = (x[0] for x in random_problem(5, 1, seed=11, scale=1.0))
    single = simulate(g, logits, index.item(), tau, draws=200_000, seed=12)
    for sample, exact, wrong in (
        (
            single,
            conditional_vjp(g, logits, index, tau),
            conditional_vjp(g, logits, index, 1.3 * tau),
        ),
        (
            single**2,
            second_moment(g, logits, index, tau),
            second_moment(g, logits, index, 1.3 * tau),
        ),
    ):
        error = sample.std(0) / math.sqrt(len(sample))
        # It would notice a temperature that is 30 % off, with probability above 0.999 ...
        assert ((wrong - exact).abs() / error).max() > THRESHOLD + 3.1
        # ... so that rule fails, and the right one passes.
        assert ((sample.mean(0) - wrong).abs() / error).max() > THRESHOLD
        assert ((sample.mean(0) - exact).abs() / error).max() < THRESHOLD


def zgr(g, logits, index):
    """The limit τ → 0 in closed form (Shekhovtsov, 2023)."""
    p, drawn = logits.softmax(-1), torch.nn.functional.one_hot(index, logits.shape[-1])
    mean = (p * g).sum(-1, keepdim=True)
    return 0.5 * (p * (g - mean) + ((drawn * g).sum(-1, keepdim=True) - mean) * (drawn - p))


@pytest.mark.parametrize("n", [2, 3, 16, 300])
def test_distance_to_the_limit_falls_linearly(n):
    g, logits, index = random_problem(n, 10, seed=n, scale=1.0)
    limit = zgr(g, logits, index)
    far, near, nearer = (
        (conditional_vjp(g, logits, index, tau) - limit).norm() / limit.norm()
        for tau in (4e-3, 2e-3, 1e-3)
    )
    assert far < 0.02
    assert far / near == pytest.approx(2.0, rel=0.05)
    assert near / nearer == pytest.approx(2.0, rel=0.03)


# --- Properties -----------------------------------------------------------------------------------

BOX = list(
    itertools.product((0.01, 0.3, 0.99, 1.0, 1.02, 3.0, 10.0), (2, 3, 17, 200, 1000), (0.5, 30.0))
)


@pytest.mark.parametrize(("tau", "n", "scale"), BOX)
def test_the_whole_box(tau, n, scale):
    """Both rules keep their word; v sums to zero; whether a class is likely makes no difference."""
    rng = np.random.default_rng(n)
    g, logits = rounded(rng.normal(size=(6, n)), scale * rng.uniform(-1, 1, size=(6, n)))
    index = logits.argmax(-1)
    index[::2] = logits.argmin(-1)[::2]
    fine = conditional_vjp(g, logits, index, tau)
    fast = conditional_vjp(g.float(), logits.float(), index, tau)
    assert distance(fast, fine) <= 1e-4
    for value, bound in ((fine, 1e-10), (fast, 1e-3)):
        assert value.isfinite().all()
        assert (value.sum(-1).abs() <= bound * value.norm(dim=-1)).all()
    assert (error_estimate(g, logits, index, tau) <= 1e-8).all()


@pytest.mark.parametrize("n", [2, 6, 40])
def test_the_error_estimate_is_honest(n):
    """For float32 the truth is known to 1e-10; the estimate must not be below half the error."""
    for tau in (0.02, 0.4, 1.0, 1.5, 7.0):
        g, logits, index = random_problem(n, 50, seed=n)
        exact = quadrature._evaluate(g, logits, index, tau, 1, quadrature.FINEST, None)
        value = conditional_vjp(g.float(), logits.float(), index, tau).double()
        error = (value - exact).norm(dim=-1) / exact.norm(dim=-1)
        estimate = error_estimate(g.float(), logits.float(), index, tau)
        assert (estimate >= 0.5 * error).all()
        assert (estimate <= 2.0 * error + 1e-8).all()


def test_the_error_estimate_notices_a_bad_rule(monkeypatch):
    g, logits, index = random_problem(4, 20, seed=0)
    coarse = quadrature.FAST._replace(row_step=0.3)
    monkeypatch.setattr(quadrature, "FAST", coarse)
    assert error_estimate(g.float(), logits.float(), index, 0.5).max() > 1e-3


def test_equal_g_gives_exactly_zero():
    for n in (1, 2, 5, 100):
        _, logits, index = random_problem(n, 4, seed=n)
        for dtype in TOLERANCE:
            g = torch.full((4, n), 0.3, dtype=dtype)
            assert (conditional_vjp(g, logits.to(dtype), index, 0.7) == 0.0).all()
            assert (second_moment(g, logits.to(dtype), index, 0.7) == 0.0).all()


@pytest.mark.parametrize("n", [3, 9])
@pytest.mark.parametrize("function", [conditional_vjp, second_moment])
def test_masked_classes_do_not_exist(n, function):
    g, logits, index = random_problem(n, 8, seed=n)
    index %= n - 1
    logits[:, -1] = -math.inf
    with_mask = function(g, logits, index, 0.6)
    without = function(g[:, :-1], logits[:, :-1], index, 0.6)
    assert (with_mask[:, -1] == 0.0).all()
    torch.testing.assert_close(with_mask[:, :-1], without, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_permutation_and_shift(n):
    g, logits, index = random_problem(n, 8, seed=n)
    order = torch.randperm(n, generator=seeded())
    value = conditional_vjp(g, logits, index, 0.4)
    permuted = conditional_vjp(g[:, order], logits[:, order], order.argsort()[index], 0.4)
    torch.testing.assert_close(permuted, value[:, order], rtol=1e-10, atol=1e-13)
    shifted = conditional_vjp(g + 5.0, logits - 7.0, index, 0.4)
    torch.testing.assert_close(shifted, value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("tau", [1e-6, 1e-3, 0.5, 1.0, 10.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_extreme_logits(tau, dtype):
    """p underflows; classes that can never occur contribute nothing, the others stay right."""
    logits = torch.tensor([[1e4, 1e4, -1e4], [1e4, -1e4, 0.0]], dtype=dtype)
    g = torch.tensor([[1.0, -1.0, 2.0], [1.0, -1.0, 2.0]], dtype=dtype)
    value = conditional_vjp(g, logits, torch.tensor([0, 0]), tau)
    assert value.dtype == dtype
    two = conditional_vjp(g[:1, :2], logits[:1, :2], torch.tensor([0]), tau)
    torch.testing.assert_close(
        value[0, :2], two[0], rtol=1e-2 if dtype.itemsize == 2 else 2e-4, atol=0
    )
    assert value[0, 2] == 0.0
    assert (value[1] == 0.0).all()


@pytest.mark.parametrize(("tau", "log_p"), [(1.1, -90.0), (4.0, -300.0), (10.0, -800.0)])
def test_beyond_the_box_small_probabilities_keep_their_power_law(tau, log_p):
    """For τ > 1 the least probable class still counts as p^{1/τ}."""
    logits = torch.tensor([0.0, log_p], dtype=torch.float64)
    g = torch.tensor([0.0, 1.0], dtype=torch.float64)
    u = np.arange(log_p - 60.0, 60.0, 0.02)
    r = np.exp(-np.logaddexp(0.0, u - log_p) / tau)
    moment = 0.02 * (r / (1 + r) ** 2 * scipy.stats.logistic.pdf(u)).sum()
    got = conditional_vjp(g, logits, torch.tensor(0), tau)
    assert distance(got, moment / tau * np.array([-1.0, 1.0])) <= 1e-8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    g, logits, index = random_problem(6, 5, seed=1)
    g, logits = g.to(dtype), logits.to(dtype)
    single = conditional_vjp(g.float(), logits.float(), index, 0.5)
    torch.testing.assert_close(conditional_vjp(g, logits, index, 0.5), single.to(dtype))


def test_a_temperature_per_row():
    g, logits, index = random_problem(5, 6, seed=2)
    tau = torch.tensor([0.1, 1.0, 0.1, 2.0, 1.0, 0.1], dtype=torch.float64)
    for function in (conditional_vjp, second_moment):
        together = function(g, logits, index, tau)
        alone = [function(g[r], logits[r], index[r], tau[r].item()) for r in range(6)]
        torch.testing.assert_close(together, torch.stack(alone), rtol=1e-12, atol=1e-14)
    spread = conditional_vjp(g.view(2, 3, 5), logits.view(2, 3, 5), index.view(2, 3), tau[:2, None])
    expected = conditional_vjp(g, logits, index, tau[:2].repeat_interleave(3))
    torch.testing.assert_close(spread.view(6, 5), expected)


def test_shapes_and_layout():
    g, logits, index = random_problem(7, 12, seed=3)
    value = conditional_vjp(g, logits, index, 0.5)
    shaped = conditional_vjp(g.view(3, 4, 7), logits.view(3, 4, 7), index.view(3, 4), 0.5)
    assert torch.equal(shaped.view(12, 7), value)
    one = conditional_vjp(g[0], logits[0], index[0], 0.5)
    torch.testing.assert_close(one, value[0], rtol=1e-12, atol=1e-15)
    strided = [x.T.contiguous().T for x in (g, logits)]
    assert not strided[0].is_contiguous()
    torch.testing.assert_close(conditional_vjp(*strided, index, 0.5), value, rtol=1e-12, atol=1e-15)
    empty = conditional_vjp(g[:0], logits[:0], index[:0], 0.5)
    assert empty.shape == (0, 7)
    inside_grad = conditional_vjp(g.requires_grad_(), logits.requires_grad_(), index, 0.5)
    assert not inside_grad.requires_grad


@pytest.mark.parametrize("n", [2, 9, 600])
def test_chunks_do_not_show(n, monkeypatch):
    g, logits, index = random_problem(n, 40, seed=4)
    whole = conditional_vjp(g, logits, index, 0.5)
    monkeypatch.setattr(quadrature, "MAX_WORKSPACE", 6000)
    torch.testing.assert_close(
        conditional_vjp(g, logits, index, 0.5), whole, rtol=1e-12, atol=1e-14
    )


def test_what_is_kept_is_bounded():
    """Tables of common settings take a few MB together; of the largest, 150 MB."""
    for rule, dtype, n, tau, most in (
        (quadrature.FAST, torch.float32, 8, 0.5, 3e6),
        (quadrature.FINE, torch.float64, quadrature.MAX_CLASSES, quadrature.MAX_TABLE_TAU, 160e6),
    ):
        for table in (quadrature._table, quadrature._binary_table):
            sizes = (n,) if table is quadrature._table else ()
            made = table(tau, *sizes, 1, rule, dtype, torch.device("cpu"))
            numbers = sum(field.numel() for field in made.fields)
            assert table.cache_info().maxsize * numbers * dtype.itemsize < most


def test_the_caches_are_bounded():
    for cache in (quadrature._table, quadrature._binary_table):
        assert cache.cache_info().maxsize <= 64


def test_autocast_does_not_reach_inside():
    g, logits, index = random_problem(6, 5, seed=5)
    outside = conditional_vjp(g.float(), logits.float(), index, 0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(conditional_vjp(g.float(), logits.float(), index, 0.5), outside)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_coarse_matrix_products_do_not_reach_inside(precision):
    g, logits, index = random_problem(6, 5, seed=5)
    exact = conditional_vjp(g, logits, index, 0.5)
    torch.set_float32_matmul_precision(precision)
    try:
        value = conditional_vjp(g.float(), logits.float(), index, 0.5)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert value.dtype == torch.float32
    assert distance(value, exact) <= 1e-4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tau": 0.0}, ValueError, "tau: expected a positive"),
        ({"tau": "hot"}, TypeError, "tau: expected a number"),
        ({"tau": 101.0}, ValueError, "tau: expected from 1e-20 to 100 with K = ∞"),
        ({"tau": torch.ones(3)}, ValueError, "tau: expected a shape"),
        ({"grad": torch.zeros(2, 4)}, ValueError, r"grad: expected shape \(2, 3\)"),
        ({"grad": torch.zeros(2, 3, dtype=torch.int64)}, TypeError, "grad: expected a floating"),
        ({"grad": [1.0]}, TypeError, "grad: expected a tensor"),
        ({"logits": torch.zeros(2, 3, dtype=torch.int64)}, TypeError, "logits: expected"),
        ({"index": torch.zeros(3, dtype=torch.int64)}, ValueError, r"index: expected shape \(2,\)"),
        ({"index": torch.zeros(2)}, TypeError, "index: expected int64"),
        ({"index": torch.tensor([0, 3])}, ValueError, "index: expected classes from 0 to 2"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {
        "grad": torch.zeros(2, 3),
        "logits": torch.zeros(2, 3),
        "index": torch.zeros(2, dtype=torch.int64),
        "tau": 0.5,
    }
    for function in (conditional_vjp, second_moment, error_estimate):
        with pytest.raises(error, match=message):
            function(**(arguments | change))


def test_too_many_classes():
    with pytest.raises(ValueError, match="expected at most 1024 classes, got 2000"):
        conditional_vjp(torch.zeros(2000), torch.zeros(2000), torch.tensor(0), 0.5)


# --- The sums of exponentials ---------------------------------------------------------------------


def test_every_stored_sum_keeps_its_error():
    for record in quadrature._exp_sums():
        x = np.geomspace(1.0, record["up_to"], 30001)
        error = make_exp_sums.relative_error(record["power"], x, record["lam"], record["omega"])
        assert np.abs(error).max() <= 1.01 * record["error"] + 1e-14
        assert record["error"] <= record["wanted"]


def test_there_is_a_sum_for_every_arity():
    for power, wanted in ((2, 1e-5), (2, 1e-9), (2, 1e-11), (4, 1e-9)):
        reach = [
            r["up_to"]
            for r in quadrature._exp_sums()
            if (r["power"], r["wanted"]) == (power, wanted)
        ]
        assert reach == sorted(reach)
        assert reach[-1] >= quadrature.MAX_CLASSES


def test_the_sums_can_be_made_anew():
    made, _ = make_exp_sums.shortest(2, 4, 1e-5)
    stored = next(
        r for r in quadrature._exp_sums() if (r["power"], r["wanted"], r["up_to"]) == (2, 1e-5, 4)
    )
    # Both are within 3 % of the smallest error; so near the optimum λ and ω move by much less.
    assert made.error == pytest.approx(stored["error"], rel=0.03)
    assert made.lam == pytest.approx(stored["lam"], rel=1e-3)
    assert made.omega == pytest.approx(stored["omega"], rel=1e-3)
