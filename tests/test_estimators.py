"""Every registered estimator, and Gumbel-Rao in particular."""

import functools
import importlib
import math
import pkgutil
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from operations import Operations
from seeded import seeded
from statistical import assert_frequencies, assert_mean, assert_same_mean, discrepancy
from torch._subclasses import FakeTensor, FakeTensorMode

import gumbelrao_edu
from gumbelrao_edu import (
    conditional_gumbel,
    estimators,
    exact,
    gumbel_max,
    gumbel_rao,
    gumbel_softmax,
    rloo,
    st_gumbel_softmax,
    straight_through,
    tempered_softmax,
    zgr,
)
from gumbelrao_edu._checks import check_generator, check_logits, check_one_hot, check_tau
from gumbelrao_edu.estimators.gumbel_rao import (
    averaged_vjp,
    conditional_softmax,
    exponentials,
)
from gumbelrao_edu.quadrature import check_tau_limit, conditional_vjp
from gumbelrao_edu.surrogate import replace_gradient

INF = math.inf
THETA = torch.tensor([0.5, -0.3, 1.2])
WEIGHTS = torch.tensor([1.0, 2.0, -1.0])
# Gumbel-Rao with K = ∞ is other code behind the same function: it is tested like one more name.
EXACT_GR = "gumbel_rao, K = ∞"
SAMPLERS = [name for name in estimators.names() if estimators.get(name).samples] + [EXACT_GR]
TEMPERED = [name for name in SAMPLERS if name != "zgr"]
UNBIASED = [name for name in estimators.names() if estimators.get(name).unbiased]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def sampler(name, generator=None, **changes):
    if name == EXACT_GR:
        name, changes = "gumbel_rao", {"k": INF, **changes}
    record = estimators.get(name)
    return functools.partial(record.function, **{**record.example, **changes}, generator=generator)


def gradients(estimator, f, num_samples=200_000, theta=THETA):
    """One gradient of f(sample) for each of independent samples."""
    logits = theta.expand(num_samples, -1).clone().requires_grad_()
    f(estimator(logits)).sum().backward()
    return logits.grad


def linear(d):
    return d @ WEIGHTS.to(d)


def quadratic(d):
    return (d @ WEIGHTS.to(d)) ** 2 + d[..., 0]


def transcendental(d):
    return (d * torch.tensor([0.3, -0.7, 1.1]).to(d)).cos().prod(-1) * (1 + d[..., 0]).log()


def exact_gradient(f, theta=THETA):
    """d E[f(D)] / dθ by enumeration."""
    logits = theta.double().requires_grad_()
    (logits.softmax(0) * f(torch.eye(len(theta), dtype=torch.float64))).sum().backward()
    return logits.grad


# --- the registry ---------------------------------------------------------------------------


def test_each_file_is_registered_under_its_name():
    files = [m.name for m in pkgutil.iter_modules(estimators.__path__) if m.name[0] != "_"]
    assert sorted(files) == estimators.names()
    for name in files:
        module = importlib.import_module(f"gumbelrao_edu.estimators.{name}")
        assert estimators.get(name).function is getattr(module, name)
        assert getattr(estimators, name) is module
        assert getattr(gumbelrao_edu, name) is getattr(module, name)


def test_records_are_complete():
    for name in estimators.names():
        record = estimators.get(name)
        assert record.name == name
        assert record.equation
        assert record.kind in {"relaxed", "straight-through", "score-function", "enumeration"}
        assert record.mean == "exact" or record.mean in estimators.names()
        for part in ("Args:", "Returns:", "Raises:", "Example:", "Source:"):
            assert part in record.function.__doc__


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"name: expected one of .*gumbel_rao.*, got 'nothing'"):
        estimators.get("nothing")


# --- what all samplers share ----------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 255.0, 1e4])
@pytest.mark.parametrize("tau", [0.01, 10.0])
def test_finite_in_every_dtype(name, dtype, scale, tau):
    theta = torch.tensor([1.0, -1.0, 0.3, -INF]) * scale
    logits = theta.to(dtype).expand(7, 5, 4).clone().requires_grad_()
    changes = {"tau": tau} if name in TEMPERED else {}
    sample = sampler(name, seeded(), **changes)(logits)
    assert sample.dtype == dtype
    assert sample.shape == logits.shape
    assert sample.isfinite().all()
    assert (sample[..., 3] == 0).all()
    sample.backward(torch.randn(7, 5, 4, generator=seeded(1)).to(dtype))
    assert logits.grad.dtype == dtype
    assert logits.grad.isfinite().all()
    assert (logits.grad[..., 3] == 0).all()
    # The logits can be shifted without a change of the loss, so the gradient sums to zero.
    size = logits.grad.double().abs().sum(-1)
    # Rounding: of 1/τ inside (ReinMax has a part at τ = 1 whatever τ), and in 16 bits of each entry
    # on its own at the end.
    steepness = max(1 / tau, 1.0) if name.startswith("reinmax") else 1 / tau
    inside = torch.finfo(dtype if dtype in DTYPES[2:] else torch.float32).eps * 8 * steepness
    sums = logits.grad.double().sum(-1).abs()
    assert (sums <= inside + 2 * torch.finfo(dtype).eps * size).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_straight_through_samples_are_exactly_one_hot_with_the_right_frequencies(name):
    sample = sampler(name, seeded())(THETA.expand(100_000, 3))
    if name != "gumbel_softmax":
        assert ((sample == 0) | (sample == 1)).all()
        assert (sample.sum(-1) == 1).all()
    winners = F.one_hot(sample.argmax(-1), 3).sum(0)
    assert_frequencies(winners, THETA.softmax(0))


@pytest.mark.parametrize("name", SAMPLERS)
def test_shapes_strides_and_empty_batches(name):
    for shape in [(3,), (0, 3), (2, 0, 3), (4, 1), (2, 3, 4, 5)]:
        logits = torch.zeros(shape, requires_grad=True)
        sampler(name)(logits).sum().backward()
        assert logits.grad.shape == shape
    turned = torch.randn(4, 3, generator=seeded()).T.requires_grad_()
    straight = turned.detach().contiguous().requires_grad_()
    g = torch.randn(3, 4, generator=seeded(1))
    for logits in (turned, straight):
        sampler(name, seeded(2))(logits).backward(g)
    assert torch.equal(turned.grad, straight.grad)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_generator_decides(name):
    state = torch.get_rng_state()

    def run(seed):
        return gradients(sampler(name, seeded(seed)), quadratic, 50)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    first = gradients(sampler(name), quadratic, 50)
    torch.manual_seed(5)
    assert torch.equal(first, gradients(sampler(name), quadratic, 50))


@pytest.mark.parametrize("name", TEMPERED)
def test_a_temperature_for_each_row(name):
    # Equal temperatures as a tensor give what the number gives, unequal ones what they should.
    logits = torch.randn(2, 1000, 3, generator=seeded())

    def run(tau, rows=slice(None)):
        leaf = logits.clone().requires_grad_()
        quadratic(sampler(name, seeded(1), tau=tau)(leaf)).sum().backward()
        return leaf.grad[rows]

    torch.testing.assert_close(run(torch.tensor(0.5)), run(0.5))
    mixed = run(torch.tensor([[0.3], [2.0]]))
    torch.testing.assert_close(mixed[0], run(0.3, 0))
    torch.testing.assert_close(mixed[1], run(2.0, 1))


@pytest.mark.parametrize("name", TEMPERED)
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tau": -1.0}, ValueError, "tau: .* got -1.0"),
        ({"tau": INF}, ValueError, "tau: .* got inf"),
        ({"tau": None}, TypeError, "tau: .* got NoneType"),
        ({"tau": torch.ones(5)}, ValueError, r"tau: .* got \(5,\)"),
    ],
)
def test_wrong_temperatures_are_named(name, changes, error, message):
    with pytest.raises(error, match=message):
        sampler(name, **changes)(THETA)


@pytest.mark.parametrize("name", SAMPLERS)
def test_wrong_logits_are_named(name):
    with pytest.raises(TypeError, match="logits: expected a tensor, got list"):
        sampler(name)([0.0, 1.0])
    with pytest.raises(ValueError, match=r"logits: .* got NaN"):
        sampler(name)(torch.tensor([0.0, math.nan]))


# --- means against enumeration --------------------------------------------------------------


def joint(d):
    """A loss of two variables that is not a sum: [..., 2, n] -> [...]."""
    return ((d[..., 0, :] @ WEIGHTS.to(d)) * (d[..., 1, :] @ WEIGHTS.to(d) + 0.5)).exp()


def loss_gradients(name, f, theta, num_samples=200_000, **hyper):
    logits = theta.expand(num_samples, *theta.shape).clone().requires_grad_()
    estimators.get(name).loss(f, logits, generator=seeded(), **hyper).sum().backward()
    return logits.grad


@pytest.mark.paper("(1)")
@pytest.mark.parametrize("f", [linear, quadratic, transcendental])
def test_exact_is_enumeration(f):
    logits = THETA.double().requires_grad_()
    value = exact(f, logits)
    corners = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(value, (THETA.double().softmax(0) * f(corners)).sum())
    (gradient,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(gradient, exact_gradient(f))


def test_exact_enumerates_variables_under_one_loss_jointly():
    theta = torch.randn(4, 2, 3, dtype=torch.float64, generator=seeded())
    value = exact(joint, theta)
    p, corners = theta.softmax(-1), torch.eye(3, dtype=torch.float64)
    expected = sum(
        p[:, 0, a] * p[:, 1, b] * joint(torch.stack([corners[a], corners[b]]))
        for a in range(3)
        for b in range(3)
    )
    torch.testing.assert_close(value, expected)


def test_exact_skips_masked_classes_and_refuses_too_many_values():
    logits = torch.tensor([0.3, -INF, 1.0], requires_grad=True)
    exact(quadratic, logits).backward()
    kept = torch.tensor([0.3, 1.0], dtype=torch.float64, requires_grad=True)
    values = quadratic(torch.eye(3, dtype=torch.float64))[[0, 2]]
    (kept.softmax(0) * values).sum().backward()
    torch.testing.assert_close(logits.grad[[0, 2]], kept.grad.float())
    assert logits.grad[1] == 0
    with pytest.raises(ValueError, match=r"logits: .* got 2\^40 for the 40 variables"):
        exact(lambda d: d.sum((-1, -2)), torch.zeros(40, 2))


@pytest.mark.paper("(2)")
@pytest.mark.parametrize("name", UNBIASED)
@pytest.mark.parametrize("f", [linear, quadratic, transcendental])
def test_unbiased_estimators_are(name, f):
    num_samples = 2 if name == "exact" else 200_000
    assert_mean(loss_gradients(name, f, THETA, num_samples), exact_gradient(f), notice=0.12)


@pytest.mark.paper("(14)", "(15)")
@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased_estimators_are_for_variables_under_one_loss(name):
    theta = torch.stack([THETA, -THETA]) / 2
    logits = theta.double().requires_grad_()
    (want,) = torch.autograd.grad(exact(joint, logits), logits)
    num_samples = 2 if name == "exact" else 400_000
    assert_mean(loss_gradients(name, joint, theta, num_samples), want, notice=0.5)


@pytest.mark.paper("(2)")
def test_unbiased_estimators_differentiate_the_dependence_of_f_on_the_logits():
    # f(D, θ) = ⟨D, θ⟩: the second term of (2) matters.
    for name in UNBIASED:
        logits = THETA.expand(200_000, 3).clone().requires_grad_()
        loss = estimators.get(name).loss(
            lambda d, x=logits: (d * x).sum(-1), logits, generator=seeded()
        )
        loss.sum().backward()
        p = THETA.double().softmax(0)
        want = p * (THETA - (p * THETA).sum()) + p
        assert_mean(logits.grad, want, notice=0.02)


def test_a_baseline_keeps_the_mean_and_reduces_the_variance():
    def far(d):
        return quadratic(d) + 10

    plain = loss_gradients("reinforce", far, THETA)
    baseline = estimators.RunningMean()
    baseline.update(far(torch.eye(3)))
    held = baseline.value
    with_baseline = loss_gradients("reinforce", far, THETA, baseline=baseline)
    assert_mean(with_baseline, exact_gradient(far), notice=0.12)
    assert with_baseline.var(0).sum() < plain.var(0).sum() / 5
    assert baseline.value != held  # it was updated, after its use
    leave_one_out = loss_gradients("rloo", far, THETA, num_samples=4)
    assert leave_one_out.var(0).sum() < plain.var(0).sum() / 20


def test_a_baseline_may_be_a_number_for_each_loss():
    """What a network predicts from the input, here of losses whose level differs row by row."""
    levels = torch.tensor([0.0, 50.0]).repeat(100_000)

    def f(d):
        return quadratic(d) + levels

    predicted = torch.nn.Parameter(levels + 1.0)
    with_baseline = loss_gradients("reinforce", f, THETA, baseline=predicted)
    assert_mean(with_baseline, exact_gradient(quadratic), notice=0.12)
    one_for_all = loss_gradients("reinforce", f, THETA, baseline=25.0)
    assert with_baseline.var(0).sum() < one_for_all.var(0).sum() / 50
    assert predicted.grad is None
    scalar = loss_gradients("reinforce", f, THETA, baseline=torch.tensor(25.0))
    assert torch.equal(scalar, one_for_all)


@pytest.mark.parametrize(
    ("baseline", "error", "message"),
    [
        (torch.zeros(5, 1), ValueError, r"baseline: .* \(5,\) of the losses.* got \(5, 1\)"),
        (torch.zeros(1, 5), ValueError, r"baseline: .* got \(1, 5\)"),
        (torch.zeros(3), ValueError, r"baseline: .* got \(3,\)"),
        (torch.zeros(5, dtype=torch.complex64), ValueError, "baseline: .*complex64"),
        ("mean", TypeError, "baseline: expected a number, got str"),
        (math.nan, ValueError, "baseline: expected a finite number, got nan"),
    ],
)
def test_wrong_baselines_are_named(baseline, error, message):
    with pytest.raises(error, match=message):
        estimators.get("reinforce").function(linear, torch.zeros(5, 3), baseline=baseline)


def test_the_running_mean_is_corrected_for_its_start():
    baseline = estimators.RunningMean(decay=0.9)
    assert baseline.value == 0.0
    for loss, want in [(2.0, 2.0), (4.0, (0.9 * 2 + 4) / 1.9)]:
        baseline.update(torch.tensor([loss]))
        assert baseline.value == pytest.approx(want)
    with pytest.raises(ValueError, match=r"decay: expected a number in \[0, 1\), got 1"):
        estimators.RunningMean(decay=1)


@pytest.mark.parametrize("f", [linear, quadratic])
def test_zgr_is_unbiased_up_to_degree_two(f):
    assert_mean(loss_gradients("zgr", f, THETA), exact_gradient(f), notice=0.1)


def test_zgr_is_biased_beyond():
    got = loss_gradients("zgr", transcendental, THETA)
    assert discrepancy(got, exact_gradient(transcendental), notice=0.02) > 1


def test_zgr_has_its_closed_form():
    logits = torch.randn(50, 4, dtype=torch.float64, generator=seeded()).requires_grad_()
    g = torch.randn(50, 4, dtype=torch.float64, generator=seeded(1))
    sample = zgr(logits, generator=seeded(2))
    sample.backward(g)
    p = logits.detach().softmax(-1)
    mean = (p * g).sum(-1, keepdim=True)
    chosen = (sample * g).sum(-1, keepdim=True)
    want = (p * (g - mean) + (chosen - mean) * (sample.detach() - p)) / 2
    torch.testing.assert_close(logits.grad, want.detach())


@pytest.mark.parametrize("name", ["reinforce", "rloo"])
def test_half_precision_holds_where_loss_times_log_probability_does_not(name):
    """log p of 240 binary variables is −166; times a loss of 1,000 it is beyond float16."""
    logits = torch.zeros(3, 240, 2, dtype=torch.float16, requires_grad=True)
    generator = seeded()
    f = lambda d: 1000 + d[..., 0].sum(-1)  # noqa: E731
    losses = estimators.get(name).loss(f, logits, generator=generator)
    assert losses.dtype == torch.float16
    assert (losses - 1120).abs().max() < 60
    assert torch.autograd.grad(losses.sum(), logits)[0].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_enumeration_of_many_variables_is_exact_in_half_precision(dtype):
    """A product of sixteen probabilities is near the smallest number of float16."""
    theta = torch.randn(16, 2, generator=seeded(3)).to(dtype)

    def gradient(x):
        leaf = x.clone().requires_grad_()
        value = exact(lambda d: (d[..., 1].sum(-1) - 7).square().float(), leaf)
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        return torch.autograd.grad(value, leaf)[0].double()

    got, want = gradient(theta), exact_gradient_of_a_sum(theta.double())
    # One part in 2¹¹ and in 2⁸ are the last digits of the gradient itself.
    assert (got - want).norm() / want.norm() < 2 * torch.finfo(dtype).eps


def exact_gradient_of_a_sum(theta):
    """Of E[(Σ D − 7)²] = Σ p(1 − p) + (Σ p − 7)² for independent coins."""
    theta = theta.clone().requires_grad_()
    p = theta.softmax(-1)[:, 1]
    value = (p * (1 - p)).sum() + (p.sum() - 7).square()
    return torch.autograd.grad(value, theta)[0]


@pytest.mark.parametrize("name", ["reinforce", "rloo", "exact"])
def test_losses_of_a_wrong_shape_are_named(name):
    loss = estimators.get(name).loss
    with pytest.raises(ValueError, match=r"f: expected losses of the shape"):
        loss(lambda d: d, torch.zeros(5, 3))
    with pytest.raises(TypeError, match="f: expected a tensor of losses, got float"):
        loss(lambda d: 1.0, torch.zeros(5, 3))


def test_rloo_needs_two_samples():
    with pytest.raises(ValueError, match="num_samples: expected at least 2, got 1"):
        rloo(linear, THETA, num_samples=1)


@pytest.mark.paper("(5)")
@pytest.mark.parametrize("f", [linear, quadratic, transcendental])
def test_straight_through_has_the_mean_that_enumeration_gives(f):
    corners = torch.eye(3, requires_grad=True)
    (at_corners,) = torch.autograd.grad(f(corners).sum(), corners)
    p, s = THETA.softmax(0), tempered_softmax(THETA, 0.7)
    vjps = s * (at_corners - (at_corners * s).sum(-1, keepdim=True)) / 0.7
    got = gradients(functools.partial(straight_through, tau=0.7, generator=seeded()), f)
    assert_mean(got, p @ vjps, notice=0.1)


def test_straight_through_is_unbiased_for_linear_f_only():
    estimator = functools.partial(straight_through, tau=1.0, generator=seeded())
    assert_mean(gradients(estimator, linear), exact_gradient(linear), notice=1e-3)
    biased = gradients(estimator, quadratic)
    assert discrepancy(biased, exact_gradient(quadratic), notice=0.1) > 1


@pytest.mark.paper("(4)")
def test_gumbel_softmax_is_the_gradient_of_the_relaxed_loss():
    # d/dθ E[f(S_τ)] by differences of the mean with the same Gumbels.
    tau, step, draws = 0.8, 1e-2, 400_000
    got = gradients(functools.partial(gumbel_softmax, tau=tau, generator=seeded()), quadratic)
    differences = torch.stack(
        [
            quadratic(
                gumbel_softmax((THETA + h).double().expand(draws, -1), tau=tau, generator=seeded(1))
            )
            - quadratic(
                gumbel_softmax((THETA - h).double().expand(draws, -1), tau=tau, generator=seeded(1))
            )
            for h in step * torch.eye(3)
        ],
        -1,
    ) / (2 * step)
    assert_same_mean(got, differences, notice=0.05)


@pytest.mark.paper("(6)")
def test_st_gumbel_softmax_has_the_law_of_torchs_own():
    ours = gradients(functools.partial(st_gumbel_softmax, tau=0.5, generator=seeded()), quadratic)
    torch.manual_seed(0)
    theirs = gradients(functools.partial(F.gumbel_softmax, tau=0.5, hard=True), quadratic)
    assert_same_mean(ours, theirs, notice=0.05)
    assert_same_mean(ours**2, theirs**2, notice=0.5)


# --- Gumbel-Rao -----------------------------------------------------------------------------


def literal_gumbel_rao(logits, *, tau, k, generator=None):
    """The sentence under (10) taken at its word: the derivative also runs through (9)."""
    one_hot, _ = gumbel_max(logits.detach(), generator=generator)
    perturbed = conditional_gumbel(logits, one_hot, k, generator=generator)
    return replace_gradient(one_hot, tempered_softmax(perturbed, tau).mean(0))


def autograd_gumbel_rao(logits, *, tau, k, generator=None):
    """(10) by autograd: θ + G^k is a constant plus θ. A [k, *batch, n] tensor is alive."""
    one_hot, _ = gumbel_max(logits.detach(), generator=generator)
    noise = conditional_gumbel(logits.detach(), one_hot, k, generator=generator) - logits.detach()
    return replace_gradient(one_hot, tempered_softmax(logits + noise, tau).mean(0))


def shifted_gumbel_rao(logits, *, tau, k, generator=None):
    """A common mistake: equation (9) already returns θ + G, and θ is added once more."""
    one_hot, _ = gumbel_max(logits.detach(), generator=generator)
    perturbed = conditional_gumbel(logits.detach(), one_hot, k, generator=generator)
    return replace_gradient(one_hot, tempered_softmax(logits + perturbed, tau).mean(0))


@pytest.mark.paper("(10)")
@pytest.mark.parametrize("f", [linear, quadratic, transcendental])
@pytest.mark.parametrize("tau", [0.3, 1.0])
@pytest.mark.parametrize("k", [1, 7])
def test_gumbel_rao_has_the_mean_of_st_gumbel_softmax(f, tau, k):
    rao = gradients(functools.partial(gumbel_rao, tau=tau, k=k, generator=seeded(1)), f)
    st = gradients(functools.partial(st_gumbel_softmax, tau=tau, generator=seeded(2)), f)
    assert_same_mean(rao, st, notice=0.12)


@pytest.mark.parametrize("wrong", [literal_gumbel_rao, shifted_gumbel_rao])
def test_the_known_mistakes_have_another_mean(wrong):
    st = gradients(functools.partial(st_gumbel_softmax, tau=1.0, generator=seeded(2)), quadratic)
    got = gradients(functools.partial(wrong, tau=1.0, k=1, generator=seeded(1)), quadratic)
    assert discrepancy(got, st.mean(0), notice=0.12) > 1


@pytest.mark.paper("(10)")
def test_with_one_inner_draw_gumbel_rao_is_st_gumbel_softmax():
    # Not only the mean: second moments and a product of components.
    def moments(estimator):
        g = gradients(estimator, quadratic)
        return torch.stack([g[:, 0] ** 2, g[:, 1] ** 2, g[:, 0] * g[:, 1]], -1)

    rao = moments(functools.partial(gumbel_rao, tau=0.5, k=1, generator=seeded(1)))
    st = moments(functools.partial(st_gumbel_softmax, tau=0.5, generator=seeded(2)))
    two = moments(functools.partial(gumbel_rao, tau=0.5, k=2, generator=seeded(3)))
    assert_same_mean(rao, st, notice=0.25)
    assert discrepancy(two, st.mean(0), notice=0.25) > 1


@pytest.mark.paper("(7)", "Proposition 1")
@pytest.mark.parametrize("f", [linear, quadratic, transcendental])
@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0])
def test_enumeration_and_quadrature_give_the_mean_for_every_k(f, tau):
    """Σ_i p_i E[∇STGS | D = i], without sampling, against draws with K = 1, 4 and ∞."""
    corners = torch.eye(3, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(f(corners).sum(), corners)
    vjps = conditional_vjp(g, THETA.double().expand(3, 3), torch.arange(3), tau)
    want = THETA.double().softmax(0) @ vjps
    for k, seed in [(1, 1), (4, 2), (INF, 3)]:
        got = gradients(functools.partial(gumbel_rao, tau=tau, k=k, generator=seeded(seed)), f)
        assert_mean(got, want, notice=0.3)
        assert discrepancy(got, 1.5 * want + 0.15, notice=0.3) > 1


def test_the_limits_of_k_and_tau():
    def run(estimator, **hyper):
        logits = torch.randn(500, 4, generator=seeded(), dtype=torch.float64).requires_grad_()
        g = torch.randn(500, 4, generator=seeded(1), dtype=torch.float64)
        estimator(logits, generator=seeded(2), **hyper).backward(g)
        return logits.grad

    limit = run(gumbel_rao, tau=0.5, k=INF)
    distance = [(run(gumbel_rao, tau=0.5, k=k) - limit).norm() for k in (10, 1000)]
    assert 7 < distance[0] / distance[1] < 14  # like 1/√K
    zero = run(zgr)
    assert torch.equal(run(gumbel_rao, tau=0, k=INF), zero)
    distance = [(run(gumbel_rao, tau=tau, k=INF) - zero).norm() for tau in (0.02, 0.002)]
    assert 8 < distance[0] / distance[1] < 12  # like τ


@pytest.mark.parametrize(("noise", "bound"), [("iid", 1.2), ("antithetic", 0.5), ("sobol", 0.4)])
def test_dependent_noise_keeps_the_mean_and_lowers_the_variance_given_d(noise, bound):
    theta, one_hot = THETA.expand(100_000, 3), torch.eye(3)[2].expand(100_000, 3)

    def draws(noise, k, seed):
        return averaged_vjp(WEIGHTS.expand(100_000, 3), theta, one_hot, 0.7, k, seeded(seed), noise)

    for k in (1, 5, 8):  # an odd number leaves a draw without its opposite
        got = draws(noise, k, 1)
        want = conditional_vjp(WEIGHTS.double(), THETA.double(), torch.tensor(2), 0.7)
        assert_mean(got, want, notice=0.01)
        assert discrepancy(got, want * 1.1, notice=0.01) > 1
    assert got.var(0).sum() < bound * draws("iid", 8, 2).var(0).sum()


@pytest.mark.parametrize("noise", ["antithetic", "sobol"])
def test_dependent_noise_is_finite_over_many_draws_and_rows(noise):
    theta = torch.randn(2, 3000, generator=seeded())
    index = torch.zeros(1, 3000, dtype=torch.int64)
    total = 0
    for e in exponentials(theta, 3001, noise, seeded()):
        total += e.shape[1]
        assert ((e > 0) & e.isfinite()).all()
        s = conditional_softmax(theta, index, 0.1, e)
        assert ((s >= 0) & (s <= 1)).all()
    assert total == 3001


def test_unknown_noise_is_named():
    with pytest.raises(ValueError, match=r"noise: expected one of \('iid', .*, got 'normal'"):
        gumbel_rao(THETA, tau=0.5, k=3, noise="normal")


def test_k_infinity_is_refused_beyond_its_range():
    with pytest.raises(ValueError, match="k: expected a finite number for more than 1024 classes"):
        gumbel_rao(torch.zeros(2000), tau=0.5, k=INF)
    for tau in (101.0, torch.tensor(101.0)):
        with pytest.raises(ValueError, match="tau: expected from 1e-20 to 100 with K = ∞, got"):
            gumbel_rao(THETA, tau=tau, k=INF)
    with pytest.raises(ValueError, match="tau: expected a positive finite number, got 0"):
        gumbel_rao(THETA, tau=0, k=3)


@pytest.mark.paper("Proposition 3")
@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0])
def test_the_variance_follows_proposition_3(tau):
    """var[GR-MCK] = E var[STGS | D] / K + var[GR]: K = 1 and 2 predict K = 8."""

    def variance(k, seed):
        g = gradients(
            functools.partial(gumbel_rao, tau=tau, k=k, generator=seeded(seed)), quadratic, 400_000
        )
        squares = ((g - g.mean(0)) ** 2).sum(-1).double()
        return squares.mean(), squares.var() / len(squares)

    (one, e1), (two, e2), (eight, e8) = variance(1, 1), variance(2, 2), variance(8, 3)
    inner = 2 * (one - two)
    predicted = one - inner * 7 / 8
    error = (e8 + (6 / 8) ** 2 * e1 + (14 / 8) ** 2 * e2).sqrt()
    assert 9 * error < 0.5 * inner  # a K that did nothing for the variance would be noticed
    assert abs(eight - predicted) < 5 * error
    assert eight < one


@pytest.mark.paper("(9)")
@pytest.mark.parametrize("tau", [0.01, 0.5, 10.0])
@pytest.mark.parametrize("n", [2, 3, 17])
def test_the_weights_agree_with_equation_9(n, tau):
    """softmax_τ of equation (9), written out in float64, from the same exponentials."""
    theta = torch.randn(6, n, generator=seeded(), dtype=torch.float64) * 3
    index = torch.randint(n, (6,), generator=seeded(1))
    noise = -torch.rand(n, 5, 6, generator=seeded(2), dtype=torch.float64).log()
    got = conditional_softmax(theta.T, index[None], tau, noise.clone())
    for row in range(6):
        i, e, t = index[row], noise[:, :, row], theta[row][:, None]
        z = t.exp().sum()
        perturbed = -(e / t.exp() + e[i] / z).log()
        perturbed[i] = -e[i].log() + z.log()
        assert (perturbed.argmax(0) == i).all()
        torch.testing.assert_close(got[:, :, row], (perturbed / tau).softmax(0))


@pytest.mark.paper("(10)")
@pytest.mark.parametrize("k", [1, 5, 3000])
def test_the_streamed_gradient_is_that_of_autograd(k):
    """The custom backward against autograd through the mean softmax, same exponentials."""
    theta = torch.randn(200, 5, generator=seeded(), dtype=torch.float64)
    one_hot, _ = gumbel_max(theta, generator=seeded(1))
    g = torch.randn(200, 5, generator=seeded(2), dtype=torch.float64)
    streamed = averaged_vjp(g, theta, one_hot, 0.5, k, seeded(3))

    # The same exponentials in the same chunks.
    chunk, generator, parts = max(1, 2**18 // 1000), seeded(3), []
    for done in range(0, k, chunk):
        u = torch.rand(5, min(chunk, k - done), 200, dtype=torch.float64, generator=generator)
        parts.append(-(1 - u).log())
    e = torch.cat(parts, 1).permute(1, 2, 0)
    log_z = theta.logsumexp(-1, keepdim=True)
    largest = log_z - (e * one_hot).sum(-1, keepdim=True).log()
    others = -torch.logaddexp(e.log() - theta, -largest)
    perturbed = torch.where(one_hot == 1, largest, others)
    logits = theta.clone().requires_grad_()
    soft = ((logits + (perturbed - theta)) / 0.5).softmax(-1).mean(0)
    (expected,) = torch.autograd.grad(soft, logits, g)
    torch.testing.assert_close(streamed, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_weight_is_so_small_that_a_product_would_be_slow(dtype):
    """A weight is 0 or has a square that is a normal number; a NaN stays one."""
    theta = torch.tensor([[1.0, 0.0, -math.inf], [0.0, math.nan, 1.0]], dtype=dtype).T
    index = torch.tensor([[0, 0]])
    noise = -torch.rand(3, 4000, 2, generator=seeded(), dtype=dtype).clamp_min(1e-6).log()
    weights = conditional_softmax(theta, index, 0.01, noise.clone())
    s, least = weights[..., 0], math.sqrt(torch.finfo(dtype).tiny)
    assert ((s == 0) | (s >= least)).all()
    assert (s[2] == 0).all()
    assert weights[1:, :, 1].isnan().all()

    e, p = noise[..., 0].double(), theta[:, 0].double().softmax(0)
    r = (1 + e[1] / (e[0] * p[1])) ** -100
    assert (r < least).any()  # there is what is to be cut
    torch.testing.assert_close(s[1].double(), r / (1 + r), rtol=1e-3, atol=3 * least)


def test_float32_is_close_to_float64():
    theta = torch.randn(100, 7, generator=seeded()) * 5
    one_hot, _ = gumbel_max(theta, generator=seeded(1))
    noise = -torch.rand(7, 50, 100, generator=seeded(3)).clamp_min(1e-6).log()
    index = one_hot.argmax(-1)[None]
    single = conditional_softmax(theta.T, index, 0.1, noise.clone())
    double = conditional_softmax(theta.T.double(), index, 0.1, noise.double())
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)


def test_a_retained_graph_gives_the_same_gradient_twice():
    logits = THETA.clone().requires_grad_()
    loss = quadratic(gumbel_rao(logits, tau=0.5, k=3))
    first = torch.autograd.grad(loss, logits, retain_graph=True)[0]
    torch.rand(10)  # whatever else is drawn in between
    assert torch.equal(first, torch.autograd.grad(loss, logits)[0])


def test_forward_and_backward_noise_are_independent():
    """Given D the seed of the backward pass says nothing about D: the law is that of (7)."""
    got = gradients(functools.partial(gumbel_rao, tau=0.5, k=1, generator=seeded(1)), linear)
    one_hot, _ = gumbel_max(THETA.expand(200_000, 3), generator=seeded(5))
    again = averaged_vjp(
        WEIGHTS.expand(200_000, 3), THETA.expand(200_000, 3), one_hot, 0.5, 1, seeded(6)
    )
    assert_same_mean(got, again, notice=0.02)


def test_improbable_winners_are_handled():
    """D_i = 1 although p_i is about 1e-40: the formula never divides by p_i."""
    theta = torch.tensor([[0.0, -90.0, 1.0]])
    one_hot = torch.tensor([[0.0, 1.0, 0.0]])
    vjp = averaged_vjp(WEIGHTS[None], theta, one_hot, 0.5, 100, seeded())
    assert vjp.isfinite().all()
    assert vjp.abs().sum() > 0.1


def test_memory_does_not_grow_with_k():
    """No [K, *batch, n] tensor: the largest tensor made is the same for K = 10³ and 10⁴."""
    largest = {}
    theta = torch.zeros(100, 10)
    one_hot, _ = gumbel_max(theta, generator=seeded())
    for k in (1000, 10_000):
        with Operations() as seen:
            averaged_vjp(torch.ones(100, 10), theta, one_hot, 0.5, k, seeded())
        largest[k] = max(seen.sizes)
    assert largest[10_000] == largest[1000] <= 2**18


def test_double_backward_is_refused_clearly():
    logits = THETA.clone().requires_grad_()
    loss = quadratic(gumbel_rao(logits, tau=0.5, k=3))
    (first,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match=r"gumbel_rao: .* double backward is not supported"):
        first.sum().backward()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"k": 0}, ValueError, "k: expected at least 1, got 0 .math.inf is allowed"),
        ({"k": 2.5}, TypeError, "k: expected a whole number, got float"),
        ({"k": True}, TypeError, "k: expected a whole number, got bool"),
        ({"tau": torch.tensor(0.5, requires_grad=True)}, ValueError, "tau: .* requires it"),
        ({"generator": "cpu"}, TypeError, "generator: .* got str"),
    ],
)
def test_wrong_arguments_of_gumbel_rao_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        gumbel_rao(THETA, **{"tau": 0.5, "k": 3, **changes})


@pytest.mark.parametrize("name", sorted({*estimators.names()} - {"exact"}))
def test_every_estimator_checks_logits_and_generator(name):
    loss = estimators.get(name).loss
    with pytest.raises(TypeError, match=r"generator: .* got str"):
        loss(linear, THETA, generator="cpu")
    with pytest.raises(ValueError, match=r"logits: .* got NaN"):
        loss(linear, THETA * math.nan)


def test_on_a_gpu_nothing_is_asked_that_nobody_reads():
    """Each operation of a check would be a launch there; "meta" stands for a GPU."""

    def checked(device):
        logits, tau = torch.zeros(4, 3, device=device), torch.ones(4, device=device)
        one_hot = torch.eye(3, device=device)[torch.tensor([0, 1, 2, 0], device=device)]
        with Operations() as asked:
            check_logits(logits)
            check_tau(tau, logits.shape[:-1])
            check_tau_limit(tau)
            check_one_hot(one_hot, logits)
        return {name for name in asked.names if "detach" not in name}

    assert not checked("meta")
    assert checked("cpu")


def test_a_generator_of_another_gpu_is_refused():
    class Second(torch.Generator):
        device = torch.device("cuda:1")

    with pytest.raises(ValueError, match=r"generator: expected one on cuda:0, .* one on cuda:1"):
        check_generator(Second(), torch.device("cuda:0"))
    for name in ("cuda:1", "cuda"):
        check_generator(Second(), torch.device(name))
    check_generator(seeded(), torch.device("cpu"))


@pytest.mark.parametrize("name", SAMPLERS)
def test_functional_transforms(name):
    """vmap of grad is the gradient of each row: same law, so the same mean."""

    def one(theta):
        return quadratic(sampler(name)(theta))

    torch.manual_seed(0)
    rows = THETA.expand(50_000, 3)
    mapped = torch.func.vmap(torch.func.grad(one), randomness="different")(rows)
    assert_same_mean(mapped, gradients(sampler(name, seeded()), quadratic), notice=0.3)
    assert len(mapped.unique(dim=0)) > 2 or name == "straight_through"  # noise of its own


def test_vmap_over_temperatures():
    taus = torch.tensor([0.2, 1.0, 5.0]).repeat_interleave(20_000)

    def one(tau):
        return torch.func.grad(lambda x: quadratic(gumbel_rao(x, tau=tau, k=2)))(THETA)

    torch.manual_seed(0)
    mapped = torch.func.vmap(one, randomness="different")(taus)
    for part, tau in zip(mapped.split(20_000), (0.2, 1.0, 5.0), strict=True):
        alone = gradients(
            functools.partial(gumbel_rao, tau=tau, k=2, generator=seeded()), quadratic
        )
        assert_same_mean(part, alone, notice=0.3)


# The compiler itself does two things that PyTorch warns of.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_torch_compile(name):
    """The compiled loss has the same law (the random numbers may be others)."""

    def loss(logits):
        return quadratic(sampler(name)(logits)).sum()

    torch._dynamo.reset()  # else it counts the other estimators as versions of this function
    torch.manual_seed(0)
    logits = THETA.expand(100_000, 3).clone().requires_grad_()
    torch.compile(loss, backend="aot_eager", fullgraph=True)(logits).backward()
    assert_same_mean(logits.grad, gradients(sampler(name, seeded()), quadratic), notice=0.2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_autocast_leaves_the_gradient_in_float32(name):
    logits = torch.randn(20, 3, generator=seeded()).requires_grad_()
    reference = logits.detach().clone().requires_grad_()
    g = torch.randn(20, 3, generator=seeded(1))
    with torch.autocast("cpu", torch.bfloat16):
        sampler(name, seeded(2))(logits).backward(g)
    sampler(name, seeded(2))(reference).backward(g)
    assert torch.equal(logits.grad, reference.grad)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", SAMPLERS)
def test_on_a_gpu(name):
    generator = torch.Generator("cuda").manual_seed(0)
    got = gradients(sampler(name, generator), quadratic, theta=THETA.cuda()).cpu()
    want = gradients(sampler(name, seeded()), quadratic)
    assert_same_mean(got, want, notice=0.15)


# --- What else must hold of all of them -----------------------------------------------------------

ALL = estimators.names()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("offset", [2.0**23, 2.0**26])
def test_a_common_offset_of_the_logits_changes_nothing(name, offset):
    """Logits that float32 holds exactly with and without the offset."""

    def run(logits):
        leaf = logits.clone().requires_grad_()
        losses = estimators.get(name).loss(lambda d: d @ w, leaf, generator=seeded(3))
        losses.sum().backward()
        return losses.detach(), leaf.grad

    theta, w = torch.tensor([[0.0, 64.0, 64.0, 56.0]]).expand(200, 4), torch.arange(4.0)
    for got, want in zip(run(theta + offset), run(theta), strict=True):
        torch.testing.assert_close(got, want)
        assert want.abs().sum() > 1


@pytest.mark.parametrize("name", TEMPERED)
def test_a_temperature_may_lie_on_the_cpu_whatever_the_device(name):
    """As with F.gumbel_softmax; "meta" stands for a GPU."""
    if name == EXACT_GR:
        pytest.skip("its tables look at τ, which 'meta' tensors have none of")
    logits = torch.zeros(4, 3, device="meta", requires_grad=True)
    for tau in (torch.tensor(0.5), torch.full((4,), 0.5)):
        assert sampler(name, tau=tau)(logits).shape == (4, 3)


@pytest.mark.parametrize("name", TEMPERED)
@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_temperature_in_another_precision_changes_no_dtype(name, shape):
    def run(tau, dtype):
        logits = torch.stack([THETA, -THETA]).to(dtype).requires_grad_()
        sample = sampler(name, seeded(4), tau=tau)(logits)
        return torch.autograd.grad((sample * WEIGHTS.to(dtype)).sum(), logits)[0]

    for dtype in (torch.float16, torch.float32, torch.float64):
        got, want = run(torch.full(shape, 0.5, dtype=torch.float64), dtype), run(0.5, dtype)
        assert got.dtype == dtype
        torch.testing.assert_close(got, want, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("gumbel_rao", "tau"),
        ("reinmax", "tau"),
        ("reinmax_rao", "tau"),
        ("reinmax_cv", "tau"),
        ("decoupled_straight_through", "tau_forward"),
    ],
)
def test_a_temperature_that_no_gradient_reaches_is_not_taken_for_a_learnable_one(name, argument):
    tau = torch.tensor(0.5, requires_grad=True)
    with pytest.raises(ValueError, match=f"{argument}: expected a tensor without gradient"):
        sampler(name, **{argument: tau})(THETA)


@pytest.mark.parametrize("name", TEMPERED)
def test_temperatures_that_float32_cannot_divide_by_are_refused(name):
    wide = (torch.tensor(tau, dtype=torch.float64) for tau in (1e-46, 1e300))
    for tau in (1e-41, 1e-46, 1e31, 1e300, *wide):
        with pytest.raises(
            ValueError, match=r"tau: expected at least 1e-40 and at most 1e\+30, got"
        ):
            sampler(name, tau=tau)(THETA)
    least = THETA.clone().requires_grad_()
    sampler(name, tau=1e-20 if name.endswith("∞") else 1e-40)(least).sum().backward()
    assert least.grad.isfinite().all()


@pytest.mark.parametrize("name", TEMPERED)
def test_a_change_in_place_of_the_temperature_is_noticed(name):
    """Or has no effect: the backward pass is that of what the forward pass saw."""

    def gradient(change):
        tau, logits = torch.tensor([0.5]), torch.zeros(1, 3, requires_grad=True)
        losses = sampler(name, seeded(2), tau=tau)(logits) @ WEIGHTS
        if change:
            tau.fill_(9.0)
        return torch.autograd.grad(losses.sum(), logits)[0]

    if name == "reinmax":  # τ has done its work in the forward pass
        assert torch.equal(gradient(change=True), gradient(change=False))
        return
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradient(change=True)


@pytest.mark.parametrize("name", ["reinforce", "rloo"])
def test_a_loss_may_overwrite_the_samples_it_is_given(name):
    def f(d):
        value = d @ WEIGHTS
        d.zero_()
        return value

    def gradient(f):
        logits = THETA.expand(50, 3).clone().requires_grad_()
        estimators.get(name).loss(f, logits, generator=seeded(5)).sum().backward()
        return logits.grad

    assert torch.equal(gradient(f), gradient(lambda d: d @ WEIGHTS))


@pytest.mark.parametrize("name", SAMPLERS)
def test_vectorized_jacobians(name):
    def sample(logits):
        return sampler(name, seeded(8))(logits)

    theta = torch.stack([THETA, -THETA])
    plain = torch.autograd.functional.jacobian(sample, theta)
    fast = torch.autograd.functional.jacobian(sample, theta, vectorize=True)
    torch.testing.assert_close(fast, plain)
    assert plain.abs().sum() > 0.1


def test_a_vectorized_jacobian_that_is_to_be_differentiated_is_refused():
    """Its derivative would lack that of the Jacobian of the softmax, without a word."""

    def square(theta):
        return (gumbel_rao(theta, tau=0.5, k=5, generator=seeded(9)) @ HARD.float()).square()

    with pytest.raises(RuntimeError, match=r"gumbel_rao: .* double backward is not supported"):
        torch.autograd.functional.jacobian(
            lambda theta: square(theta).reshape(1), THETA, vectorize=True, create_graph=True
        )


@pytest.mark.parametrize("name", ["gapped_straight_through", "decoupled_straight_through"])
def test_second_derivatives_in_a_learned_temperature_are_refused(name):
    hyper = {"tau_forward": 0.7} if name == "decoupled_straight_through" else {}
    theta = THETA.clone().requires_grad_()
    tau = torch.tensor(0.5, requires_grad=True)
    function = estimators.get(name).function
    loss = (function(theta, tau=tau, generator=seeded(), **hyper) @ HARD.float()).square()
    (g,) = torch.autograd.grad(loss, tau, create_graph=True)
    assert g != 0
    for leaf in (tau, theta):
        with pytest.raises(RuntimeError, match=f"{name}: .* double backward is not supported"):
            torch.autograd.grad(g, leaf, retain_graph=True)


FIRST_ORDER = (
    "decoupled_straight_through",
    "gapped_straight_through",
    "reinmax",
    "reinmax_cv",
    "reinmax_rao",
)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # by jvp
@pytest.mark.parametrize("name", FIRST_ORDER)
def test_second_derivatives_and_forward_mode_are_refused_inside_transforms(name):
    """There a tensor does not say that it requires a gradient."""
    record = estimators.get(name)

    def each(theta, tau):
        hyper = {**record.example, "tau": tau}
        return (record.function(theta, **hyper) @ HARD.float()).square()

    def total(theta, tau):
        rows = theta.expand(4, 3)
        return torch.func.vmap(lambda row: each(row, tau), randomness="different")(rows).sum()

    tau = torch.tensor(1.3)  # all of them take it
    learned = name in ("decoupled_straight_through", "gapped_straight_through")
    for by in (0, 1) if learned else (0,):
        first = torch.func.grad(total, argnums=by)
        assert first(THETA, tau).abs().sum() > 0
        with pytest.raises(RuntimeError, match=rf"{name}: .* double backward is not supported"):
            torch.func.grad(lambda x, y: first(x, y).sum(), argnums=by)(THETA, tau)  # noqa: B023
    with pytest.raises(NotImplementedError):
        torch.func.jvp(lambda theta: each(theta, 1.3), (THETA,), (torch.ones(3),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tau", [0.5, 10.0, 1000.0])
def test_a_class_whose_probability_is_rounded_to_0_has_its_softmax(dtype, tau):
    """By (9), r = (1 + e^x)^(−1/τ) with x = log E_j − log E_i − log p_j, in logarithms."""
    theta = torch.tensor([0.0, 1.0, -59.0, -61.0, -90.0, -120.0, -800.0, -math.inf], dtype=dtype)
    e = torch.empty(8, 50, 1, dtype=dtype).exponential_(generator=seeded())
    x = e.double().log() - e[1].double().log() - theta.double().log_softmax(0)[:, None, None]
    r = (-F.softplus(x, threshold=700.0) / tau).exp()
    r[1] = 1.0
    got = conditional_softmax(theta.unsqueeze(1), torch.tensor([[1]]), tau, e.clone())
    want = (r / r.sum(0)).to(dtype)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-18)
    assert (got[7] == 0).all()
    assert (got[:6] > 0).all() or tau < 1


HARD = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize("name", ALL)
def test_second_derivatives_are_right_for_a_linear_loss_or_refused(name):
    """The Hessian of E[f(D)], or for relaxed samples of E[f(S_τ)], which is that of ST-GS, too."""
    theta = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)

    def hessian(loss):
        leaf = theta.clone().requires_grad_()
        (g,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
        return torch.stack([torch.autograd.grad(each, leaf, retain_graph=True)[0] for each in g])

    def draw(seed, name=name):
        def loss(leaf):
            many = leaf.expand(2000, 3)
            record = estimators.get(name)
            return record.loss(lambda d: d @ HARD, many, generator=seeded(seed)).mean()

        return hessian(loss)

    refused = {"gumbel_rao", "reinmax", "reinmax_rao", "reinmax_cv"}
    if name in refused | {"gapped_straight_through", "decoupled_straight_through"}:
        with pytest.raises(RuntimeError, match="double backward is not supported"):
            draw(0)
        return
    draws = torch.stack([draw(seed) for seed in range(40)])
    if name in ("gumbel_softmax", "st_gumbel_softmax"):
        relaxed = torch.stack([draw(seed, "gumbel_softmax") for seed in range(50, 90)])
        assert_same_mean(draws, relaxed, notice=0.1)
        return
    # An estimator that fails here refuses them, as those above do with `first_order`.
    assert_mean(draws, hessian(lambda leaf: exact(lambda d: d @ HARD, leaf)), notice=0.1)


@pytest.mark.parametrize("name", ["reinforce", "rloo", "exact"])
@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64]
)
def test_the_dtype_of_the_losses_does_not_cut_the_gradient(name, dtype):
    def gradient(f):
        logits = THETA.expand(50, 3).clone().requires_grad_()
        losses = estimators.get(name).loss(f, logits, generator=seeded(5))
        assert losses.is_floating_point()
        losses.sum().backward()
        return logits.grad

    got = gradient(lambda d: (d[..., 1] + 2 * d[..., 2]).to(dtype))
    large = 1.0 if dtype == torch.bool else 2.0
    torch.testing.assert_close(got, gradient(lambda d: d[..., 1] + large * d[..., 2]))
    assert got.abs().sum() > 1
    with pytest.raises(TypeError, match="f: expected real losses, got"):
        gradient(lambda d: d[..., 1] + 1j)


@pytest.mark.parametrize("name", ["reinforce", "rloo"])
def test_an_infinite_loss_is_infinite_and_no_nan(name):
    logits = torch.zeros(100, 3, requires_grad=True)
    f = lambda d: torch.where(d[..., 0] == 1, INF, d[..., 1])  # noqa: E731
    losses = estimators.get(name).loss(f, logits, generator=seeded(6))
    assert not losses.isnan().any()
    assert 10 < losses.isinf().sum() < 100
    losses[losses.isfinite()].sum().backward()
    assert logits.grad[losses.isfinite()].isfinite().all()


def test_classes_that_never_occur_may_have_an_infinite_loss():
    cost = torch.tensor([1.0, 2.0, INF])
    logits = torch.tensor([[0.0, 0.0, -INF]]).expand(50, 3).clone().requires_grad_()
    for name in UNBIASED:
        f = lambda d: cost[d.argmax(-1)]  # noqa: E731
        losses = estimators.get(name).loss(f, logits, generator=seeded(7))
        (g,) = torch.autograd.grad(losses.mean(), logits)
        assert losses.isfinite().all()
        assert g.isfinite().all()
        assert (g[:, 2] == 0).all()
    torch.testing.assert_close(exact(lambda d: cost[d.argmax(-1)], logits), torch.full((50,), 1.5))


@pytest.mark.parametrize("name", ["exact", "reinforce", "rloo"])
def test_losses_that_are_sparse_are_named(name):
    with pytest.raises(TypeError, match=r"^f: expected a dense tensor of losses, got torch.sparse"):
        estimators.get(name).loss(lambda d: d[..., 0].to_sparse(), torch.zeros(2, 3))


@pytest.mark.parametrize("where", ["meta", "fake"])
@pytest.mark.parametrize("name", estimators.names())
def test_shapes_are_found_without_numbers(name, where):
    """On the device "meta", where models are planned, and as compilers do it."""
    with (fake := FakeTensorMode()) if where == "fake" else torch.device("meta"):
        logits = torch.zeros(4, 3, requires_grad=True)
        loss = estimators.get(name).loss(lambda d: d.square().sum(-1), logits)
    # The backward pass of torch.where wants the mode, that of samplers does without.
    with fake if where == "fake" and not estimators.get(name).samples else nullcontext():
        loss.sum().backward()
    assert loss.shape == (4,)
    assert logits.grad.shape == (4, 3)
    assert isinstance(logits.grad, FakeTensor) if where == "fake" else logits.grad.is_meta


def test_exact_inside_vmap_and_with_a_loss_that_overwrites_its_input():
    weights, many = torch.tensor([1.0, 2.0, 4.0]), torch.randn(5, 2, 3, generator=seeded())
    f = lambda d: (d @ weights) ** 2  # noqa: E731
    gradient = torch.func.grad(lambda x: exact(f, x).sum())
    together = torch.func.vmap(gradient)(many)
    torch.testing.assert_close(together, torch.stack([gradient(x) for x in many]))
    overwriting = exact(lambda d: (d.mul_(weights).sum(-1)) ** 2, many[0])
    torch.testing.assert_close(overwriting, exact(f, many[0]))


@pytest.mark.parametrize("name", estimators.names())
@pytest.mark.parametrize("kind", ["sparse", "float8"])
def test_logits_of_no_use_are_named(name, kind):
    logits = torch.zeros(2, 3)
    logits = logits.to_sparse() if kind == "sparse" else logits.to(torch.float8_e4m3fn)
    with pytest.raises(TypeError, match=r"^logits: expected a (dense|floating-point) tensor"):
        estimators.get(name).loss(lambda d: d[..., 0], logits)
