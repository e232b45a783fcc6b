"""Diagnostics against enumeration, known distributions and each other."""

import functools
import math
import weakref

import pytest
import scipy.stats
import torch
from seeded import seeded

from gumbelrao_edu import conditional_gumbel, estimators, gumbel_max, gumbel_rao
from gumbelrao_edu.diagnostics import (
    Terms,
    exact_terms,
    gradient_samples,
    mse,
    nested_terms,
    summarise,
    variance,
)

# Every statistical test here: false-failure rate 1e-6 for the file, at most 100 comparisons.
THRESHOLD = scipy.stats.norm.isf(1e-6 / 100 / 2)
POWER = 3.1  # a discrepancy this far beyond the threshold is noticed with probability 0.999

LOGITS = torch.tensor([0.3, -0.6, 1.0, -1.5], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, -0.5, 2.0, 0.7], dtype=torch.float64)


def linear(d):
    return d @ WEIGHTS


def quadratic(d):
    return (d @ WEIGHTS) ** 2 + 3.0 * d[..., 1]


def other(d):
    return torch.exp(-(d**2) @ WEIGHTS) + torch.sin(2.0 * d[..., 0])


def z(value, expected, standard_error):
    return ((torch.as_tensor(value) - expected) / standard_error).abs().max().item()


# --- Exact terms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [linear, quadratic, other])
def test_the_exact_gradient_is_that_of_the_enumerated_expectation(f):
    theta = LOGITS.clone().requires_grad_()
    (theta.softmax(-1) * f(torch.eye(4, dtype=torch.float64))).sum().backward()
    torch.testing.assert_close(exact_terms(f, LOGITS, 0.5).exact, theta.grad)


@pytest.mark.paper("(13)")
@pytest.mark.parametrize("f", [linear, quadratic, other])
@pytest.mark.parametrize(("tau", "k"), [(0.4, 1), (0.4, 7), (1.0, 3), (0.4, math.inf)])
def test_the_law_agrees_with_sampling(f, tau, k):
    terms = exact_terms(f, LOGITS, tau)
    draws = gradient_samples(f, LOGITS, "gumbel_rao", 60_000, tau=tau, k=k, generator=seeded(3))
    seen = summarise(draws, terms.exact)
    # A K that is off by a factor of two, and the mean of another temperature, would be noticed ...
    if k != math.inf:
        wrong = variance(terms, 2 * k)
        assert z(wrong, variance(terms, k), seen.variance_se) > THRESHOLD + POWER
        assert z(seen.variance, wrong, seen.variance_se) > THRESHOLD
    elsewhere = exact_terms(f, LOGITS, 3.0).mean
    assert z(seen.mean, elsewhere, seen.mean_se) > THRESHOLD
    # ... and the right ones pass.
    assert z(seen.mean, terms.mean, seen.mean_se) < THRESHOLD
    assert z(seen.variance, variance(terms, k), seen.variance_se) < THRESHOLD
    assert z(seen.mse, mse(terms, k), seen.mse_se) < THRESHOLD


@pytest.mark.paper("(12)", "Proposition 3")
def test_a_minibatch_follows_the_law_too():
    terms = exact_terms(quadratic, LOGITS, 0.5)
    draws = gradient_samples(
        quadratic, LOGITS, "gumbel_rao", 80_000, tau=0.5, k=2, generator=seeded(4)
    )
    seen = summarise(draws.view(-1, 4, 4).mean(1))
    assert z(variance(terms, 2), variance(terms, 2, 4), seen.variance_se) > THRESHOLD + POWER
    assert z(seen.variance, variance(terms, 2, batch_size=4), seen.variance_se) < THRESHOLD


def test_a_batch_with_temperatures_and_masks():
    logits = torch.stack([LOGITS, LOGITS.flip(0), LOGITS]).reshape(3, 1, 4)
    logits[2, 0, 3] = -math.inf
    tau = torch.tensor([[0.3], [0.3], [2.0]], dtype=torch.float64)
    terms = exact_terms(quadratic, logits, tau)
    assert terms.inner.shape == terms.outer.shape == (3, 1)
    assert terms.mean.shape == terms.exact.shape == (3, 1, 4)
    for b in range(3):
        alone = exact_terms(quadratic, logits[b, 0], tau[b, 0].item())
        torch.testing.assert_close(terms.inner[b, 0], alone.inner)
        torch.testing.assert_close(terms.mean[b, 0], alone.mean)
    without = exact_terms(lambda d: quadratic(torch.nn.functional.pad(d, (0, 1))), LOGITS[:3], 2.0)
    torch.testing.assert_close(terms.outer[2, 0], without.outer)
    assert terms.mean[2, 0, 3] == 0.0
    assert terms.exact[2, 0, 3] == 0.0
    assert exact_terms(lambda d: d[..., 0] ** 2, logits.float(), 0.5).inner.dtype == torch.float32
    half = exact_terms(lambda d: 1000 * d[..., 1], torch.zeros(3).half(), 0.1)
    assert 1e5 < half.inner < 1e7  # beyond float16
    assert half.inner.dtype == torch.float32


def test_variance_by_formula():
    terms = Terms(torch.tensor(6.0), torch.tensor(1.0), torch.zeros(2), torch.ones(2))
    assert variance(terms, 1) == 7.0
    assert variance(terms, 3, batch_size=2) == 1.5
    assert variance(terms, math.inf, batch_size=4) == 0.25
    assert mse(terms, 1) == 9.0
    ks = [variance(exact_terms(other, LOGITS, 0.5), k) for k in (1, 2, 10, 1000, math.inf)]
    assert ks == sorted(ks, reverse=True)


# --- Nested sampling ------------------------------------------------------------------------------


def conditional_draws(f, tau, k, seed):
    """ST-GS gradients that share D, from pieces of the library that quadrature does not use."""
    source = seeded(seed)

    def draw():
        one_hot, _ = gumbel_max(LOGITS, generator=source)
        one_hot.requires_grad_()
        (g,) = torch.autograd.grad(f(one_hot), one_hot)
        s = (conditional_gumbel(LOGITS, one_hot.detach(), k, generator=source) / tau).softmax(-1)
        return s * (g - (s * g).sum(-1, keepdim=True)) / tau

    return draw


def test_nested_sampling_finds_the_exact_terms():
    terms = exact_terms(quadratic, LOGITS, 0.5)
    seen = nested_terms(conditional_draws(quadratic, 0.5, k=2, seed=5), num_samples=3000)
    assert z(seen.inner, terms.inner, seen.inner_se) < THRESHOLD
    assert z(seen.outer, terms.outer, seen.outer_se) < THRESHOLD
    # The negative control: the variance of the means over k, uncorrected, is another number.
    naive = seen.outer + seen.inner / 2
    assert z(naive, terms.outer, seen.outer_se) > THRESHOLD + POWER


def test_nested_sampling_is_unbiased_and_its_errors_are_honest():
    """D of covariance 0.09 I, gradients given D of covariance 4 I, in five dimensions."""
    source = seeded(6)

    def draw():
        d = 0.3 * torch.randn(5, generator=source, dtype=torch.float64)
        return d + 2.0 * torch.randn(3, 5, generator=source, dtype=torch.float64)

    results = [nested_terms(draw, 20) for _ in range(200)]
    for term, truth in (("inner", 20.0), ("outer", 0.45)):
        values = torch.stack([getattr(r, term) for r in results])
        errors = torch.tensor([getattr(r, term + "_se") for r in results])
        assert z(values.mean(), truth, values.std() / len(values) ** 0.5) < THRESHOLD
        # The spread of 200 results has a relative error of about 1/√400 = 5 %.
        assert values.std() == pytest.approx(errors.square().mean().sqrt().item(), rel=0.3)


# --- Summaries ------------------------------------------------------------------------------------


def test_a_summary_of_four_numbers_by_hand():
    draws = torch.tensor([[1.0, 0.0], [3.0, 0.0], [1.0, 2.0], [3.0, 2.0]])
    seen = summarise(draws, exact=torch.tensor([2.0, 0.0]))
    assert seen.num_samples == 4
    assert seen.mean.tolist() == [2.0, 1.0]
    assert seen.bias.tolist() == [0.0, 1.0]
    assert seen.variance == pytest.approx(8 / 3)
    assert seen.mean_se.tolist() == pytest.approx([(1 / 3) ** 0.5] * 2)
    assert seen.mse == pytest.approx(3.0)
    assert seen.mse_se == pytest.approx((16 / 3 / 4) ** 0.5)


def test_standard_errors_cover_as_they_should():
    """Correlated draws of a skewed law: over 400 summaries each figure errs by one `_se`."""
    source = seeded(7)
    mix = torch.tensor([[1.0, 0.5], [0.0, 2.0]], dtype=torch.float64)
    truth = {"variance": mix.square().sum().item(), "mse": mix.square().sum().item() + 1.0}
    scores = {name: [] for name in truth}
    for _ in range(400):
        e = torch.empty(2000, 2, dtype=torch.float64).exponential_(generator=source) - 1.0
        seen = summarise((e @ mix.T).split(300), exact=torch.tensor([1.0, 0.0]))
        for name, value in truth.items():
            scores[name].append((getattr(seen, name) - value) / getattr(seen, name + "_se"))
    for values in scores.values():
        # χ² with 400 degrees of freedom, widened for the kurtosis of an exponential's square.
        rms = torch.tensor(values).square().mean().sqrt().item()
        assert 0.8 < rms < 1.25


def test_chunks_give_the_same_as_the_whole():
    draws = torch.randn(1000, 2, 3, generator=seeded(8), dtype=torch.float64) + 1e6
    exact = torch.zeros(2, 3)
    whole, parts = summarise(draws, exact), summarise(iter(draws.split(130)), exact)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-14, atol=0)
    assert parts.variance == pytest.approx(whole.variance, rel=1e-9)
    assert parts.mse == pytest.approx(whole.mse, rel=1e-12)
    # The textbook formula E x² − (E x)² would lose six digits here; compare with two passes.
    two_passes = (draws - draws.mean(0)).square().sum() / 999
    assert whole.variance == pytest.approx(two_passes.item(), rel=1e-9)


def test_memory_does_not_grow_with_the_number_of_draws():
    alive = []

    def chunks():
        for seed in range(20):
            chunk = torch.randn(50, 1000, generator=seeded(seed))
            alive.append(weakref.ref(chunk))
            # This one, and the one before, which the caller's loop variable holds until the next.
            assert sum(reference() is not None for reference in alive) <= 2
            yield chunk
            del chunk

    assert summarise(chunks()).num_samples == 1000


# --- Samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", estimators.names())
def test_every_registered_estimator_can_be_sampled(name):
    logits = LOGITS.expand(3, 4).clone()
    record = estimators.get(name)
    if record.kind == "enumeration":
        return
    first, again = (
        gradient_samples(quadratic, logits, name, 5, generator=seeded(9)) for _ in range(2)
    )
    assert first.shape == (5, 3, 4)
    assert torch.equal(first, again)
    assert first.isfinite().all()
    assert not first.requires_grad
    assert not logits.requires_grad
    if record.unbiased:
        draws = gradient_samples(quadratic, LOGITS, name, 40_000, generator=seeded(10))
        seen = summarise(draws, exact_terms(quadratic, LOGITS, 1.0).exact)
        assert z(seen.bias, 0.0, seen.bias_se) < THRESHOLD


def test_an_estimator_may_have_a_number_of_samples_of_its_own():
    draws = gradient_samples(linear, LOGITS, "rloo", 6, num_samples=8, generator=seeded(1))
    assert draws.shape == (6, *LOGITS.shape)
    few = gradient_samples(linear, LOGITS, "rloo", 4000, num_samples=2, generator=seeded(1))
    many = gradient_samples(linear, LOGITS, "rloo", 4000, num_samples=8, generator=seeded(1))
    assert many.var(0).sum() < few.var(0).sum() / 3


def test_a_callable_is_the_same_as_its_name():
    estimator = functools.partial(gumbel_rao, tau=0.5, k=4)
    one = gradient_samples(linear, LOGITS, estimator, 6, generator=seeded(1))
    two = gradient_samples(linear, LOGITS, "gumbel_rao", 6, generator=seeded(1), tau=0.5, k=4)
    assert torch.equal(one, two)


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: gradient_samples(linear, LOGITS, "nobody", 3),
            ValueError,
            "name: expected one of",
        ),
        (lambda: gradient_samples(linear, LOGITS, "reinforce", 0), ValueError, "num_samples: "),
        (lambda: gradient_samples(linear, LOGITS, "reinforce", 2.5), TypeError, "num_samples: "),
        (lambda: summarise(torch.zeros(1, 3)), ValueError, "gradients: expected at least 2"),
        (lambda: summarise([]), ValueError, "gradients: expected at least 2 draws, got 0"),
        (lambda: summarise([torch.zeros(2, 3), torch.zeros(2, 4)]), ValueError, "of one shape"),
        (lambda: summarise(torch.zeros(2, 3), torch.zeros(4)), ValueError, "of one shape"),
        (lambda: summarise(torch.full((2, 3), math.nan)), ValueError, "expected finite numbers"),
        (lambda: exact_terms(lambda d: d, LOGITS, 0.5), ValueError, "f: expected losses of shape"),
        (lambda: exact_terms(linear, LOGITS, 0.0), ValueError, "tau: expected a positive"),
        (lambda: nested_terms(lambda: torch.zeros(1, 3), 5), ValueError, "draw: expected"),
        (lambda: nested_terms(lambda: torch.zeros(2, 3), 1), ValueError, "num_samples: "),
        (lambda: variance(Terms(*[torch.zeros(1)] * 3), 0), ValueError, "k: "),
        (lambda: variance(Terms(*[torch.zeros(1)] * 3), 1, 0), ValueError, "batch_size: "),
        (lambda: mse(Terms(*[torch.zeros(1)] * 3), 1), ValueError, "terms: expected the exact"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
