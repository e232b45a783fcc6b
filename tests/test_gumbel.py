import math

import pytest
import torch
from scipy import stats
from seeded import seeded
from statistical import FALSE_FAILURE_RATE, assert_frequencies, assert_mean, discrepancy

from gumbelrao_edu import conditional_gumbel, gumbel_max, sample_gumbel, tempered_softmax
from gumbelrao_edu.gumbel import rejection

INF = math.inf
THETA = torch.tensor([0.5, -0.3, 1.2, -2.0])


def agree(first, second=None, cdf=None):
    """Whether Kolmogorov and Smirnov find no difference, at the declared rate."""
    test = stats.kstest(first, cdf if second is None else second)
    return test.pvalue > FALSE_FAILURE_RATE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gumbels_follow_their_law(dtype):
    draws = sample_gumbel([50_000], dtype=dtype, generator=seeded()).numpy()
    assert agree(draws, cdf=stats.gumbel_r.cdf)
    assert not agree(draws + 0.05, cdf=stats.gumbel_r.cdf)  # the power of the test
    assert not agree(-draws, cdf=stats.gumbel_r.cdf)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gumbels_are_finite_and_of_the_wanted_dtype(dtype):
    draws = sample_gumbel([3_000_000], dtype=dtype, generator=seeded())
    assert draws.dtype == dtype
    assert draws.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_uniforms_give_the_gumbels_of_the_tail(monkeypatch, dtype):
    """The smallest uniform numbers are drawn again; each stands for the middle of its cell."""
    first = torch.tensor([0.0, 2**-20, 2**-18, 2**-10, 0.0, 1 - 2**-24])  # multiples of 2⁻²⁴
    again = torch.tensor([0.0, 0.75, 2**-24])
    given = iter([first, again])
    monkeypatch.setattr(torch, "rand", lambda size, **_: next(given).clone().reshape(size))
    draws = sample_gumbel([6], dtype=dtype)
    u = [2**-43, 2**-18 * (0.75 + 2**-25), 2**-18 + 2**-25, 2**-10 + 2**-25, 2**-18 * 1.5 * 2**-24]
    wanted = [-math.log(-math.log1p(-each)) for each in u]
    torch.testing.assert_close(draws[:5], torch.tensor(wanted, dtype=dtype))
    assert -3.0 < draws[5] < -2.8


def test_extreme_uniforms_of_53_bits(monkeypatch):
    """In float64; in float32 where no value can be looked at."""
    some = torch.tensor([0.0, 1e-14, 1e-11, 1e-8, 1 - 2**-53], dtype=torch.float64)
    wanted = torch.tensor([-math.log(u + 2**-54) for u in (0.0, 1e-14, 1e-11, 1e-8)])
    monkeypatch.setattr(torch, "rand", lambda _, dtype, **__: some.to(dtype).clone())
    draws = sample_gumbel([5], dtype=torch.float64)
    torch.testing.assert_close(draws[:4].float(), wanted)
    assert -3.7 < draws[4] < -2.8
    monkeypatch.setattr("gumbelrao_edu.gumbel._some_below", lambda *_: None)
    draws = sample_gumbel([5])
    torch.testing.assert_close(draws[:4], wanted)
    assert -3.0 < draws[4] < -2.8


def test_the_tail_has_its_law(monkeypatch):
    """P(G > x) = 1 − exp(−exp(−x)), also where the first uniform number is 0."""
    above = {12.0: 0, 13.0: 0, 16.0: 0, 17.4: 0}  # drawn again beyond 12.48
    generator, total = seeded(8), 0
    for _ in range(4):
        draws = sample_gumbel([10**7], generator=generator)
        total += len(draws)
        for x in above:
            above[x] += int((draws > x).sum())
    for x, found in above.items():
        law = stats.binom(total, -math.expm1(-math.exp(-x)))
        assert law.cdf(found) > FALSE_FAILURE_RATE / 8, (x, found)
        assert law.sf(found - 1) > FALSE_FAILURE_RATE / 8, (x, found)
    # The same code with more to draw again shows whether the two parts fit together.
    monkeypatch.setattr("gumbelrao_edu.gumbel._SMALL", 2.0**-6)
    draws = sample_gumbel([10**6], generator=seeded(9)).numpy()
    assert agree(draws, cdf=stats.gumbel_r.cdf)
    tail = draws[draws > 4.2]
    assert agree(tail, cdf=lambda x: 1 - stats.gumbel_r.sf(x) / stats.gumbel_r.sf(4.2))
    assert not agree(tail + 0.1, cdf=lambda x: 1 - stats.gumbel_r.sf(x) / stats.gumbel_r.sf(4.2))


def test_gumbels_inside_vmap_and_of_nothing():
    draw = torch.func.vmap(lambda x: x + sample_gumbel([2000]), randomness="different")
    draws = draw(torch.zeros(10, 1))
    assert draws.shape == (10, 2000)
    assert agree(draws.flatten().numpy(), cdf=stats.gumbel_r.cdf)
    assert sample_gumbel([0, 3]).shape == (0, 3)


OFFSETS = [0.0, 1e4, 2.0**23, 2.0**26, -(2.0**26)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("offset", OFFSETS)
def test_the_only_largest_entry_is_that_of_the_sample(dtype, offset):
    """Also where rounding to the dtype, or a large common offset, makes others as large."""
    most = torch.finfo(dtype).max / 2
    logits = torch.zeros(2000, 50, dtype=dtype) + max(-most, min(most, offset))
    one_hot, perturbed = gumbel_max(logits, generator=seeded(4))
    draws = conditional_gumbel(logits[:200], one_hot[:200], k=20, generator=seeded(5))
    for x, d in ((perturbed, one_hot), (draws, one_hot[:200].expand_as(draws))):
        assert x.dtype == dtype
        others = x.masked_fill(d == 1, -INF).amax(-1)
        assert (x.masked_fill(d == 0, -INF).amax(-1) > others).all()
        assert x.isfinite().all()


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_common_offset_changes_no_draw(offset):
    """Logits that float32 holds exactly with and without the offset."""
    logits = torch.tensor([[0.0, 64.0, 64.0, 56.0, -INF]]).expand(500, 5)
    assert torch.equal((logits + offset) - offset, logits)
    plain, _ = gumbel_max(logits, generator=seeded(6))
    far, perturbed = gumbel_max(logits + offset, generator=seeded(6))
    assert torch.equal(plain, far)
    assert (perturbed[:, 4] == -INF).all()
    assert 100 < far[:, 1].sum() < 400  # not the first of those that rounding makes equal


def test_the_perturbed_logits_are_differentiable_where_they_were_rounded_as_well():
    logits = torch.zeros(100, 50, dtype=torch.bfloat16, requires_grad=True)
    _, perturbed = gumbel_max(logits, generator=seeded(7))
    perturbed.sum().backward()
    assert torch.equal(logits.grad, torch.ones_like(logits))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([-1],), ValueError, r"shape: expected no negative number, got \(-1,\)"),
        (([2.0],), TypeError, r"shape: expected a sequence of whole numbers, got \[2.0\]"),
        ((3,), TypeError, "shape: expected a sequence of whole numbers, got 3"),
    ],
)
def test_bad_shapes_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        sample_gumbel(*arguments)
    with pytest.raises(TypeError, match="dtype: expected a floating-point type"):
        sample_gumbel([2], dtype=torch.int64)
    assert sample_gumbel(()).shape == ()


@pytest.mark.parametrize("tau", [1e-40, 1e-30, 1e-20, 1e-19, 1e-3])
def test_the_gradient_in_a_low_temperature_is_that_of_the_limit(tau):
    """0 where all but one probability is 0; θ/τ² is beyond float32 there."""
    learned = torch.tensor(tau, requires_grad=True)
    theta = torch.tensor([0.0, -1.0, -3.0], requires_grad=True)
    p = tempered_softmax(theta, learned)
    assert p.tolist() == [1.0, 0.0, 0.0]
    grads = torch.autograd.grad(p[0], (theta, learned))
    assert [grad.tolist() for grad in grads] == [[0.0, 0.0, 0.0], 0.0]


@pytest.mark.paper("(3)")
def test_tempered_softmax_by_hand_and_in_the_limits():
    logits = torch.tensor([math.log(1.0), math.log(2.0), -INF])
    torch.testing.assert_close(tempered_softmax(logits, 0.5), torch.tensor([0.2, 0.8, 0.0]))
    torch.testing.assert_close(tempered_softmax(logits, 0.001), torch.tensor([0.0, 1.0, 0.0]))
    big = torch.tensor([1e4, -1e4, 1e4], dtype=torch.float16)
    torch.testing.assert_close(
        tempered_softmax(big, 0.01), torch.tensor([0.5, 0.0, 0.5], dtype=torch.float16)
    )


def test_a_temperature_for_each_row():
    tau = torch.tensor([0.1, 1.0])
    rows = tempered_softmax(torch.stack([THETA, THETA]), tau)
    for row, t in zip(rows, tau.tolist(), strict=True):
        torch.testing.assert_close(row, tempered_softmax(THETA, t))


@pytest.mark.paper("(3)")
def test_classes_have_their_probabilities():
    one_hot, perturbed = gumbel_max(THETA.expand(200_000, 4), generator=seeded())
    assert_frequencies(one_hot.sum(0), THETA.softmax(0))
    with pytest.raises(AssertionError):
        assert_frequencies(one_hot.sum(0), (1.1 * THETA).softmax(0))
    assert (one_hot.argmax(-1) == perturbed.argmax(-1)).all()


def test_the_largest_perturbed_logit_is_a_gumbel_at_log_z():
    _, perturbed = gumbel_max(THETA.expand(50_000, 4), generator=seeded())
    assert agree(perturbed.amax(-1).numpy(), cdf=stats.gumbel_r(float(THETA.logsumexp(0))).cdf)


def test_masked_classes_never_occur():
    logits = torch.tensor([0.0, -INF, 1.0])
    one_hot, perturbed = gumbel_max(logits.expand(10_000, 3), generator=seeded())
    assert one_hot[:, 1].sum() == 0
    assert (perturbed[:, 1] == -INF).all()


@pytest.mark.paper("(9)")
@pytest.mark.parametrize("winner", range(4))
def test_conditional_gumbels_agree_with_rejection_sampling(winner):
    one_hot, perturbed = gumbel_max(THETA.expand(400_000, 4), generator=seeded(1))
    rejection = perturbed[one_hot[:, winner] == 1][:10_000]
    given = torch.eye(4)[winner]
    direct = conditional_gumbel(THETA, given, len(rejection), generator=seeded(2))
    assert (direct.argmax(-1) == winner).all()
    for j in range(4):
        assert agree(direct[:, j].numpy(), rejection[:, j].numpy())
        assert not agree(direct[:, j].numpy() + 0.15, rejection[:, j].numpy())


def test_differences_of_conditional_gumbels_agree_with_rejection_sampling():
    # The marginals could be right and the dependence wrong; the softmax sees differences.
    one_hot, perturbed = gumbel_max(THETA.expand(200_000, 4), generator=seeded(1))
    rejection = perturbed[one_hot[:, 0] == 1][:10_000]
    direct = conditional_gumbel(THETA, torch.eye(4)[0], len(rejection), generator=seeded(2))
    for j in range(1, 4):
        difference = (direct[:, 0] - direct[:, j]).numpy()
        assert agree(difference, (rejection[:, 0] - rejection[:, j]).numpy())
    independent = (direct[:, 0] - direct[:, 2].roll(1)).numpy()  # class 2 is the strongest rival
    assert not agree(independent, (rejection[:, 0] - rejection[:, 2]).numpy())


def test_conditional_gumbels_over_all_winners_are_plain_gumbels():
    one_hot, _ = gumbel_max(THETA.expand(40_000, 4), generator=seeded(1))
    noise = conditional_gumbel(THETA.expand(40_000, 4), one_hot, 1, generator=seeded(2))[0] - THETA
    for j in range(4):
        assert agree(noise[:, j].numpy(), cdf=stats.gumbel_r.cdf)


def test_conditional_gumbels_carry_the_pathwise_derivative_of_equation_9():
    # Central differences with the noise held fixed.
    theta, given = THETA.double(), torch.eye(4, dtype=torch.float64)[1]

    def draw(logits):
        return conditional_gumbel(logits, given, 3, generator=seeded())

    jacobian = torch.autograd.functional.jacobian(draw, theta)
    step = 1e-6 * torch.eye(4, dtype=torch.float64)
    numeric = torch.stack([(draw(theta + h) - draw(theta - h)) / 2e-6 for h in step], -1)
    torch.testing.assert_close(jacobian, numeric, rtol=1e-6, atol=1e-8)


def test_masked_classes_have_no_pathwise_derivative():
    logits = torch.tensor([0.0, -INF, 1.0], requires_grad=True)
    draws = conditional_gumbel(logits, torch.tensor([1.0, 0.0, 0.0]), 5, generator=seeded())
    assert (draws[:, 1] == -INF).all()
    draws[:, [0, 2]].sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_dtype_and_large_logits(dtype, scale):
    logits = (torch.tensor([1.0, -1.0, 0.0]) * scale).to(dtype).expand(5, 2, 3)
    one_hot, perturbed = gumbel_max(logits, generator=seeded())
    again = conditional_gumbel(logits, one_hot, 4, generator=seeded())
    for tensor in (one_hot, perturbed, again):
        assert tensor.dtype == dtype
        assert tensor.isfinite().all()
    assert again.shape == (4, 5, 2, 3)


def test_empty_batches_one_class_and_strides():
    one_hot, perturbed = gumbel_max(torch.zeros(0, 3))
    assert one_hot.shape == perturbed.shape == (0, 3)
    assert conditional_gumbel(torch.zeros(0, 3), one_hot, 2).shape == (2, 0, 3)
    assert gumbel_max(torch.zeros(4, 1))[0].tolist() == [[1.0]] * 4
    turned = THETA.expand(6, 4).clone().T.contiguous().T
    expected = gumbel_max(turned.contiguous(), generator=seeded())
    for got, want in zip(gumbel_max(turned, generator=seeded()), expected, strict=True):
        assert torch.equal(got, want)


def test_the_generator_decides_and_the_global_state_stays():
    state = torch.get_rng_state()
    first = gumbel_max(THETA, generator=seeded(3))[1]
    assert torch.equal(first, gumbel_max(THETA, generator=seeded(3))[1])
    assert not torch.equal(first, gumbel_max(THETA, generator=seeded(4))[1])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gumbel_max([1.0, 2.0]), TypeError, "logits: expected a tensor, got list"),
        (lambda: gumbel_max(torch.tensor([1, 2])), TypeError, "logits: .*torch.int64"),
        (lambda: gumbel_max(torch.tensor(1.0)), ValueError, r"logits: expected shape .* got \(\)"),
        (lambda: gumbel_max(torch.zeros(3, 0)), ValueError, "logits: expected shape"),
        (lambda: gumbel_max(torch.tensor([0.0, math.nan])), ValueError, "logits: .* got NaN"),
        (lambda: gumbel_max(torch.tensor([0.0, INF])), ValueError, "logits: .* got NaN"),
        (lambda: gumbel_max(torch.tensor([-INF, -INF])), ValueError, "logits: .* row of -inf"),
        (lambda: gumbel_max(THETA, generator=3), TypeError, "generator: .* got int"),
        (lambda: tempered_softmax(THETA, 0.0), ValueError, "tau: .* got 0.0"),
        (lambda: tempered_softmax(THETA, math.nan), ValueError, "tau: .* got nan"),
        (lambda: tempered_softmax(THETA, "1"), TypeError, "tau: .* got str"),
        (lambda: tempered_softmax(THETA, True), TypeError, "tau: .* got bool"),
        (lambda: tempered_softmax(THETA, torch.ones(2)), ValueError, r"tau: .* got \(2,\)"),
        (lambda: tempered_softmax(THETA, torch.tensor(-1.0)), ValueError, "tau: .* got -1.0"),
        (lambda: conditional_gumbel(THETA, THETA, 1), ValueError, "one_hot: expected a single 1"),
        (lambda: conditional_gumbel(THETA, THETA[:3], 1), ValueError, r"one_hot: .* \(4,\)"),
        (lambda: conditional_gumbel(THETA, torch.eye(4)[0], 0), ValueError, "k: .* got 0"),
        (lambda: conditional_gumbel(THETA, torch.eye(4)[0], 2.0), TypeError, "k: .* float"),
        (
            lambda: conditional_gumbel(torch.tensor([0.0, -INF]), torch.eye(2)[1], 1),
            ValueError,
            "one_hot: got a class of logit -inf",
        ),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_statistical_tests_notice():
    draws = torch.randn(10_000, 2, generator=seeded(), dtype=torch.float64)
    assert_mean(draws, torch.zeros(2), notice=0.1)
    assert discrepancy(draws + 0.1, torch.zeros(2), notice=0.1) > 1
    with pytest.raises(AssertionError, match="too few draws"):
        assert_mean(draws, torch.zeros(2), notice=0.01)


@pytest.mark.parametrize("p", [0.9, 0.1, 0.01])
def test_rejection_draws_as_often_as_it_should(p):
    logits = torch.tensor([p, (1 - p) / 2, (1 - p) / 2], dtype=torch.float64).log()
    generator = seeded(1)
    kept, drawn = rejection(logits, 0, 2000, generator=generator)
    assert kept.shape == (2000, 3)
    assert (kept.argmax(-1) == 0).all()
    # The failures before the 2000th success are negative binomial.
    law = stats.nbinom(2000, p)
    assert law.ppf(FALSE_FAILURE_RATE / 6) <= drawn - 2000 <= law.isf(FALSE_FAILURE_RATE / 6)
    assert (
        law.isf(FALSE_FAILURE_RATE / 6) < law.mean() + 0.4 * 2000 / p
    )  # so 1.4 / p would be noticed


@pytest.mark.parametrize("index", [-1, 3, 1])
def test_rejection_needs_a_class_that_occurs(index):
    logits = torch.tensor([0.0, -math.inf, 0.0])
    with pytest.raises(ValueError, match="index: expected a class that occurs, got"):
        rejection(logits, index, 5)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64])
def test_a_choice_may_have_any_dtype(dtype):
    logits = torch.tensor([[0.3, -1.0, 2.0], [0.1, 0.2, -INF]])
    one_hot = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    plain = conditional_gumbel(logits, one_hot, 4, generator=seeded())
    assert torch.equal(conditional_gumbel(logits, one_hot.to(dtype), 4, generator=seeded()), plain)


def test_a_device_or_a_type_of_no_use_is_named():
    with pytest.raises(ValueError, match=r"^device: expected one that torch knows, got 'nowhere'"):
        sample_gumbel([2], device="nowhere")
    with pytest.raises(TypeError, match=r"^dtype: expected a floating-point type of 16 to 64 bits"):
        sample_gumbel([2], dtype=torch.float8_e4m3fn)
