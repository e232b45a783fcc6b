"""Properties of every estimator over random shapes, dtypes, logits and temperatures."""

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from seeded import seeded

from gumbelrao_edu import (
    GumbelRao,
    GumbelRaoCategorical,
    Schedule,
    conditional_gumbel,
    diagnostics,
    estimators,
    gumbel_max,
    gumbel_rao,
    reinforce,
    tempered_softmax,
)
from gumbelrao_edu.estimators.gumbel_rao import averaged_vjp
from gumbelrao_edu.quadrature import conditional_vjp, second_moment

SAMPLERS = [name for name in estimators.names() if estimators.get(name).samples]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TAUS = st.floats(0.01, 10.0)
SIZES = st.sampled_from([1e-3, 1.0, 30.0, 1e4])
SHAPES = st.lists(st.integers(0, 4), max_size=3).flatmap(
    lambda batch: st.integers(1, 9).map(lambda n: (*batch, n))
)
fast = settings(max_examples=40, deadline=None, derandomize=True)


def random_logits(shape, dtype, size, seed, mask=False):
    logits = size * (2 * torch.rand(shape, generator=seeded(seed), dtype=torch.float64) - 1)
    if mask and shape[-1] > 1:
        logits = logits.masked_fill(torch.arange(shape[-1]) == seed % shape[-1], -math.inf)
    return logits.to(dtype)


def draw(name, logits, tau, seed=1):
    record = estimators.get(name)
    hyper = {**record.example, **({"tau": tau} if "tau" in record.example else {})}
    return record.function(logits, generator=seeded(seed), **hyper)


@pytest.mark.parametrize("name", SAMPLERS)
@given(
    shape=SHAPES,
    dtype=st.sampled_from(DTYPES),
    size=SIZES,
    tau=TAUS,
    seed=st.integers(0, 99),
    mask=st.booleans(),
)
@fast
def test_samples_and_gradients_are_finite_and_sum_to_what_they_should(
    name, shape, dtype, size, tau, seed, mask
):
    logits = random_logits(shape, dtype, size, seed, mask).requires_grad_()
    sample = draw(name, logits, tau)
    assert (sample.shape, sample.dtype) == (logits.shape, dtype)
    assert sample.isfinite().all()
    eps = torch.finfo(dtype).eps
    assert ((sample.double().sum(-1) - 1).abs() <= shape[-1] * eps).all()
    assert (sample[logits == -math.inf] == 0).all()
    sample.backward(torch.randn(shape, generator=seeded(seed)).to(dtype))
    assert logits.grad.isfinite().all()
    assert (logits.grad[logits == -math.inf] == 0).all()
    inside = torch.finfo(dtype if dtype in DTYPES[2:] else torch.float32).eps
    size_of_grad = logits.grad.double().abs().sum(-1)
    steepness = max(1 / tau, 1.0) if name.startswith("reinmax") else 1 / tau
    rounding = shape[-1] * (8 * inside * steepness + 2 * eps * size_of_grad)
    assert (logits.grad.double().sum(-1).abs() <= rounding).all()


@pytest.mark.parametrize("name", SAMPLERS)
@given(size=st.sampled_from([1.0, 30.0]), tau=TAUS, seed=st.integers(0, 99), shift=SIZES)
@fast
def test_a_shift_of_the_logits_changes_nothing(name, size, tau, seed, shift):
    """Rounding of the shifted logits aside, which a shift by a power of two keeps exact."""
    shift = 2.0 ** round(math.log2(shift))
    theta = random_logits((20, 5), torch.float64, size, seed)
    theta = (theta * 2**20).round() / 2**20  # few enough digits that θ + shift is exact
    results = []
    for logits in (theta.clone(), theta + shift):
        logits.requires_grad_()
        sample = draw(name, logits, tau)
        sample.backward(torch.linspace(-1, 1, 100, dtype=torch.float64).reshape(20, 5))
        results.append((sample.detach(), logits.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-7, atol=1e-9)


@given(n=st.integers(2, 9), size=SIZES, tau=TAUS, seed=st.integers(0, 99))
@fast
def test_the_exact_estimator_is_equivariant_under_a_permutation_of_the_classes(n, size, tau, seed):
    theta = random_logits((6, n), torch.float64, min(size, 30.0), seed)
    g = torch.randn(6, n, generator=seeded(seed), dtype=torch.float64)
    order = torch.randperm(n, generator=seeded(seed))
    index = torch.randint(n, (6,), generator=seeded(seed))
    place = order.argsort()[index]  # where the class has gone
    v = conditional_vjp(g, theta, index, tau)
    moved = conditional_vjp(g[:, order], theta[:, order], place, tau)
    torch.testing.assert_close(moved, v[:, order], rtol=1e-7, atol=1e-12)


@given(k=st.integers(1, 50), size=SIZES, tau=TAUS, seed=st.integers(0, 99))
@fast
def test_gumbel_rao_is_linear_in_the_upstream_gradient(k, size, tau, seed):
    theta = random_logits((8, 4), torch.float64, size, seed)
    one_hot, _ = gumbel_max(theta, generator=seeded(seed))
    a, b = torch.randn(2, 8, 4, generator=seeded(seed), dtype=torch.float64)

    def vjp(g):
        return averaged_vjp(g, theta, one_hot, tau, k, seeded(2))

    torch.testing.assert_close(vjp(2 * a - b), 2 * vjp(a) - vjp(b), rtol=1e-7, atol=1e-9 / tau)
    assert (vjp(torch.ones_like(a)) == 0).all()


@pytest.mark.paper("Proposition 1", "Proposition 2")
@given(
    n=st.integers(2, 6), size=st.sampled_from([0.3, 1.0, 3.0]), tau=TAUS, seed=st.integers(0, 99)
)
@fast
def test_propositions_1_and_2_hold_for_random_problems(n, size, tau, seed):
    """MSE[GR] ≤ MSE[GR-MCK] ≤ MSE[STGS] by enumeration and quadrature, with no sampling."""
    theta = random_logits((n,), torch.float64, size, seed)
    values, g = torch.randn(2, n, n, generator=seeded(seed), dtype=torch.float64)
    p, f = theta.softmax(0), values[0]
    truth = p * (f - p @ f)
    rows, classes = theta.expand(n, n), torch.arange(n)
    given_d = conditional_vjp(g, rows, classes, tau)  # E[∇STGS | D = i], row by row
    squares = second_moment(g, rows, classes, tau)
    inner = p @ (squares - given_d**2).sum(-1)  # E var[∇STGS | D]
    mse_gr = p @ ((given_d - truth) ** 2).sum(-1)
    mse_st = p @ ((squares - 2 * given_d * truth) + truth**2).sum(-1)
    assert inner > 0
    torch.testing.assert_close(mse_st, mse_gr + inner, rtol=1e-6, atol=1e-12)
    last = mse_st
    for k in (2, 10, 1000):
        mse = mse_gr + inner / k
        assert mse_gr < mse < last
        last = mse


NUMBERS = {
    "NumPy's integer": (np.int64(3), np.float64(0.5)),
    "NumPy's small ones": (np.uint8(3), np.float16(0.5)),
    "a fraction": (3, Fraction(1, 2)),
}


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
def test_any_kind_of_number_is_taken(numbers):
    """The same results, bit for bit, as with Python's own."""
    whole, real = numbers
    logits = torch.tensor([[0.3, -1.0, 0.5, 0.1]])

    def results(k, number):
        generator = seeded()
        f = lambda d: (d @ torch.tensor([1.0, 2.0, 3.0, 5.0])) ** 2  # noqa: E731
        for name in estimators.names():
            kinds = {"k": k, "num_samples": k, "tau": number, "gap": number, "tau_forward": number}
            record = estimators.get(name)
            hyper = {key: kinds.get(key, value) for key, value in record.example.items()}
            theta = logits.clone().requires_grad_()
            loss = record.loss(f, theta, generator=generator, **hyper)
            yield from (loss, *torch.autograd.grad(loss.sum(), theta))
        sample = GumbelRao(tau=number, k=k, dim=np.int64(-1), generator=generator)(logits)
        yield from (sample, tempered_softmax(logits, number))
        yield conditional_gumbel(logits, sample, k, generator=generator)
        yield reinforce(f, logits, baseline=number, generator=generator)
        yield GumbelRaoCategorical(logits=logits, tau=number, k=k, generator=generator).rsample()
        schedule = Schedule(1, number, steps=k, shape="cosine")
        yield torch.tensor([schedule(step) for step in range(5)])
        terms = diagnostics.exact_terms(f, logits[0], number)
        yield from (diagnostics.variance(terms, k, k), terms.inner)

    for mine, plain in zip(results(whole, real), results(3, 0.5), strict=True):
        assert mine.dtype == plain.dtype
        assert torch.equal(mine, plain)
    for k in (np.float64("inf"), np.float32("inf")):
        assert type(GumbelRao(tau=real, k=k).k) is float
    assert type(GumbelRao(tau=real, k=whole).k) is int


@pytest.mark.parametrize("wrong", [True, np.True_, "3", 3 + 0j, None, torch.tensor([3]), 3.5])
def test_what_is_no_whole_number_is_named(wrong):
    with pytest.raises((TypeError, ValueError), match=r"^k: expected a whole number, got"):
        gumbel_rao(torch.zeros(3), tau=0.5, k=wrong)
    if wrong != 3.5 and not isinstance(wrong, torch.Tensor):
        with pytest.raises(TypeError, match=r"^tau: expected a number or a tensor, got"):
            gumbel_rao(torch.zeros(3), tau=wrong, k=3)
    with pytest.raises(ValueError, match=r"^tau: expected a positive finite number"):
        gumbel_rao(torch.zeros(3), tau=10**400, k=3)
    with pytest.raises(ValueError, match=r"^tau: expected a positive finite number"):
        gumbel_rao(torch.zeros(3), tau=Fraction(10**400), k=3)
    for number in (10**400, Fraction(10**400)):
        with pytest.raises(ValueError, match=r"^baseline: expected a finite number"):
            reinforce(torch.sum, torch.zeros(3), baseline=number)
