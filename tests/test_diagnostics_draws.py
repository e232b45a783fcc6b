"""Fixed draws that serve every setting; tests of the figures hold them to formulas, too."""

import math

import pytest
import torch

from gumbelrao_edu.diagnostics import Draws, Measurements, distance_from_zgr, exact_terms


def square(d):
    return (d - torch.tensor([0.6, 0.3, 0.1], dtype=d.dtype)).square().sum(-1)


def test_measured_draws_are_grouped_by_b():
    measured = Measurements(square, torch.zeros(3), [0.5], [1, 10], num_samples=640, seed=3)
    single, grouped = measured(0.5, 10, 1), measured(0.5, 10, 64)
    assert (single.num_samples, grouped.num_samples) == (640, 10)
    assert torch.allclose(single.mean, grouped.mean)
    assert grouped.variance < single.variance / 10


def test_a_temperature_may_be_a_tensor():
    measured = Measurements(square, torch.zeros(3), [0.5], [10], num_samples=64)
    assert measured(torch.tensor(0.5), 10, 1) is measured(0.5, 10, 1)


def test_a_loss_may_overwrite_its_corners():
    logits, weights = torch.tensor([0.3, -0.2, 0.1]), torch.arange(3.0)

    def overwrites(d):
        d -= 0.5
        return (d**2 * weights).sum(-1)

    def keeps(d):
        return ((d - 0.5) ** 2 * weights).sum(-1)

    one, other = (exact_terms(f, logits, 0.5) for f in (overwrites, keeps))
    assert torch.equal(one.mean, other.mean)
    one, other = (
        Measurements(f, logits, [0.5], [1, math.inf], num_samples=64) for f in (overwrites, keeps)
    )
    for k in (1, math.inf):
        assert torch.equal(one(0.5, k, 1).mean, other(0.5, k, 1).mean)
    far = [distance_from_zgr(f, logits, [0.1]) for f in (overwrites, keeps)]
    assert torch.equal(*far)


def test_only_what_is_asked_for_is_computed():
    """Finite K have no largest τ and no largest n, as K = ∞ has."""
    first = lambda d: d[..., 0].square()  # noqa: E731
    for logits, tau in ((torch.zeros(3), 200.0), (torch.zeros(1500), 0.5)):
        measured = Measurements(first, logits, [tau], [1], num_samples=4)
        assert measured(tau, 1, 1).num_samples == 4
        with pytest.raises(ValueError, match="tau, k: expected one of"):
            measured(tau, math.inf, 1)
        with pytest.raises(ValueError, match=r"tau: .* with K = ∞|logits: expected at most 1024"):
            Measurements(first, logits, [tau], [1, math.inf], num_samples=4)


def test_settings_without_draws_are_refused():
    measured = Measurements(square, torch.zeros(3), [0.5], [1, 10], num_samples=64)
    with pytest.raises(ValueError, match="tau, k: expected one of"):
        measured(0.5, 3, 1)
    for batch_size in (3, 64):
        with pytest.raises(ValueError, match="batch_size: expected a number that divides 64"):
            measured(0.5, 1, batch_size)
    with pytest.raises(ValueError, match=r"logits: expected \[n\], got \(2, 3\)"):
        Draws(square, torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"f: expected losses of shape \(3,\), got \(3, 3\)"):
        Draws(lambda d: d, torch.zeros(3))


def test_distance_from_the_limit_falls_linearly():
    near = distance_from_zgr(square, torch.tensor([0.5, 0.0, -0.5]), [0.01, 0.02])
    assert (near[1] / near[0]).item() == pytest.approx(2, rel=0.05)
