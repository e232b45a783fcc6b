"""The loss of score functions, and what models draw with."""

import functools
import pickle

import pytest
import torch
from seeded import seeded
from statistical import assert_mean

from gumbelrao_edu import estimators, exact, gumbel_rao, reinforce, rloo
from gumbelrao_edu.estimators import Sampler, sampler, samples_of, score_loss

W = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
THETA = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_gradient_is_the_formula(size):
    losses = torch.randn(size, 3, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    log_p = torch.randn(size, 3, generator=seeded(2), dtype=torch.float64, requires_grad=True)
    value = score_loss(losses, log_p, baseline=0.7)
    torch.testing.assert_close(value, losses.mean(0))
    own, score = torch.autograd.grad(value.sum(), [losses, log_p])
    torch.testing.assert_close(own, torch.full_like(own, 1 / size))
    for s in range(size):
        others = [losses[t] for t in range(size) if t != s]
        baseline = torch.stack(others).mean(0) if others else 0.7
        torch.testing.assert_close(score[s], (losses[s] - baseline) / size)


def hessian(loss):
    theta = THETA.clone().requires_grad_()
    (g,) = torch.autograd.grad(loss(theta), theta, create_graph=True)
    return torch.stack([torch.autograd.grad(each, theta, retain_graph=True)[0] for each in g])


@pytest.mark.parametrize("f", [lambda d, t: d @ W, lambda d, t: (d * t).sum(-1).exp() * (d @ W)])
@pytest.mark.parametrize("name", ["reinforce", "rloo"])
def test_second_derivatives_are_those_of_the_expectation(name, f):
    """Forty means of Hessians against enumeration, f with and without θ in it."""
    want = hessian(lambda theta: exact(lambda d: f(d, theta), theta))

    def estimate(seed):
        def loss(theta):
            many = theta.expand(4000, 3)
            if name == "reinforce":
                return reinforce(lambda d: f(d, theta), many, generator=seeded(seed)).mean()
            return rloo(lambda d: f(d, theta), many, num_samples=3, generator=seeded(seed)).mean()

        return hessian(loss)

    draws = torch.stack([estimate(seed) for seed in range(40)])
    assert_mean(draws, want, notice=0.3 * float(want.abs().max()))


@pytest.mark.parametrize(("dtype", "most"), [(torch.float16, 0.007), (torch.bfloat16, 0.05)])
def test_the_score_sums_to_0_over_many_classes_in_half_precision(dtype, most):
    """D minus p does; with p from a rounded log p the sums are -0.014 and 1.58."""
    logits = torch.zeros(200, 1014, dtype=dtype, requires_grad=True)
    weights = torch.linspace(100, 102, 1014)
    reinforce(lambda d: d.float() @ weights, logits, generator=seeded(3)).sum().backward()
    assert abs(logits.grad.float().sum(1).mean()) < most


def test_many_samples_of_large_losses_do_not_overflow_in_float16():
    """The difference to the mean, times the number of samples, is beyond 65,504."""
    found = []
    for dtype in (torch.float16, torch.float32):
        logits = torch.zeros(3, dtype=dtype, requires_grad=True)
        w = torch.tensor([1000.0, 2000.0, 3000.0], dtype=dtype)
        rloo(lambda d, w=w: d @ w, logits, num_samples=100, generator=seeded(0)).backward()
        found.append(logits.grad.float())
    torch.testing.assert_close(*found, rtol=1e-3, atol=0.5)


@pytest.mark.parametrize("estimate", [exact, reinforce, functools.partial(rloo, num_samples=2)])
def test_whole_numbers_beyond_half_precision_are_losses(estimate):
    logits = torch.zeros(3, dtype=torch.float16, requires_grad=True)
    loss = estimate(lambda d: d.argmax(-1) + 70_000, logits)
    assert loss.dtype == torch.float32
    assert 70_000 <= loss <= 70_002
    loss.backward()
    assert logits.grad.isfinite().all()


def test_samplers_pickle():
    for name in estimators.names():
        if estimators.get(name).kind == "enumeration":
            continue
        draw = sampler(name, generator=seeded(3))
        again = pickle.loads(pickle.dumps(draw))
        assert isinstance(again, Sampler)
        assert again.num_samples == draw.num_samples == {"reinforce": 1, "rloo": 4}.get(name, 0)
        logits = torch.randn(5, 3, generator=seeded(4))
        assert torch.equal(again(logits), draw(logits))


def test_plain_callables_carry_their_own_gradient():
    assert samples_of(functools.partial(gumbel_rao, tau=0.5, k=10)) == 0
    assert samples_of(sampler("rloo", num_samples=7)) == 7


@pytest.mark.parametrize(
    ("losses", "log_p", "error", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2), ValueError, r"losses: expected .* \(2,\)"),
        (torch.zeros(2), torch.zeros(2, 3), ValueError, r"losses: expected .* \(2, 3\)"),
        (torch.zeros(()), torch.zeros(2), ValueError, r"losses: expected shape \[S, \*batch\]"),
        (torch.zeros(0), torch.zeros(0), ValueError, r"losses: expected shape \[S, \*batch\]"),
        (1.0, torch.zeros(2), TypeError, "losses: expected a tensor of losses, got float"),
        (1j * torch.ones(2), torch.zeros(2), TypeError, "losses: expected real losses"),
    ],
)
def test_bad_losses_are_named(losses, log_p, error, message):
    with pytest.raises(error, match=message):
        score_loss(losses, log_p)
