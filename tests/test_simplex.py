"""The figures of notebooks 01 and 02: sliders moved, traces computed a second time with NumPy."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from gumbelrao_edu import gumbel_max
from gumbelrao_edu.course.conditional_gumbels import figures as conditional
from gumbelrao_edu.course.gumbel_max import figures as simplex

LOGITS = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
P_VALUE = 1e-6

# --- Points of the Gumbel-Softmax -----------------------------------------------------------------


@pytest.fixture(scope="module")
def points():
    return simplex.samples(LOGITS, seed=3)


@pytest.fixture(scope="module")
def perturbed():
    generator = torch.Generator().manual_seed(3)
    return gumbel_max(LOGITS.expand(300, 3), generator=generator)[1].numpy()


def drawn(trace):
    return np.array([trace.a, trace.b, trace.c]).T


@pytest.mark.parametrize("tau", simplex.TAUS)
def test_the_points_are_softmaxes_of_the_same_noise(points, perturbed, tau):
    points.controls["tau"].value = tau
    weights = np.exp((perturbed - perturbed.max(-1, keepdims=True)) / tau)
    s = weights / weights.sum(-1, keepdims=True)
    winner = perturbed.argmax(-1)
    for i in range(3):
        assert np.allclose(drawn(points.figure.data[i]), s[winner == i], atol=1e-12)
    assert np.allclose(drawn(points.figure.data[3]), s.mean(0))
    close = round(100 * (s.max(-1) > 0.99).mean())
    assert points.caption.startswith(f"τ = {tau:g}: {close} % of the 300 points")
    mean = ", ".join(f"{x:.2f}" for x in s.mean(0))
    assert f"mean is ({mean}); p is (0.51, 0.31, 0.19)." in points.caption
    assert points.errors == []


def test_no_point_leaves_the_part_of_its_class(points):
    for tau in simplex.TAUS:
        points.controls["tau"].value = tau
        for i in range(3):
            assert (drawn(points.figure.data[i]).argmax(-1) == i).all()


def test_the_ring_is_p(points):
    weights = np.exp(LOGITS.numpy())
    assert np.allclose(drawn(points.figure.data[4])[0], weights / weights.sum())


def test_samples_are_of_three_classes():
    with pytest.raises(ValueError, match=r"logits: expected the shape \(3,\), got \(4,\)"):
        simplex.samples(torch.zeros(4))


# --- Rejection and equation (9) -------------------------------------------------------------------


@pytest.fixture(scope="module")
def two():
    return conditional.two_ways(k=2000, seed=0)


def cdf_of_winner(x):
    """A Gumbel at log Z = 0."""
    return np.exp(-np.exp(-x))


def cdf_of_loser(x, p):
    """P(T >= t) for T = E_1 + E_2/λ, λ = (1 − p)/2, the times of clocks with rates 1 and λ."""
    t, rate = np.exp(-x), (1 - p) / 2
    return (np.exp(-rate * t) - rate * np.exp(-t)) / (1 - rate)


def p_value(percent, cdf, k):
    """Pearson's goodness of fit of a histogram; bins are joined until each expects 5 draws."""
    edges = np.linspace(conditional.LOW, conditional.HIGH, conditional.BINS + 1)
    edges[0], edges[-1] = -np.inf, np.inf
    with np.errstate(over="ignore"):  # exp(inf)
        expected = k * np.diff(cdf(edges))
    group = np.minimum(np.cumsum(expected) // 10, k // 10 - 1)
    counts = np.round(np.array(percent) * k / 100)
    assert counts.sum() == k
    members = [group == g for g in np.unique(group)]
    counted = np.array([counts[m].sum() for m in members])
    wanted = np.array([expected[m].sum() for m in members])
    return stats.chisquare(counted, wanted * k / wanted.sum()).pvalue


@pytest.mark.parametrize("p", conditional.PS)
def test_both_ways_draw_the_right_law(two, p):
    """28 tests in all, each with a false-failure rate of 1e-6 / 28."""
    two.controls["p"].value = p
    limit = P_VALUE / (4 * len(conditional.PS))
    winner_slow, loser_slow, winner_fast, loser_fast = (trace.y for trace in two.figure.data)
    for percent in (winner_slow, winner_fast):
        assert p_value(percent, cdf_of_winner, 2000) > limit
    for percent in (loser_slow, loser_fast):
        assert p_value(percent, lambda x: cdf_of_loser(x, p), 2000) > limit
    # The test sees a winner that is shifted by 0.2, and a loser without its condition.
    assert p_value(winner_fast, lambda x: cdf_of_winner(x - 0.2), 2000) < limit
    if p < 0.5:
        free = np.log((1 - p) / 2)
        assert p_value(loser_fast, lambda x: cdf_of_winner(x - free), 2000) < limit
    assert two.errors == []


def test_the_caption_tells_the_numbers(two):
    two.controls["p"].value = 0.01
    assert two.caption.startswith("p = 0.01: rejection drew ")
    assert "(1/p = 100.0). Equation (9) drew 2000." in two.caption
    assert f"without the condition it is {np.log(0.495) + np.euler_gamma:.2f}." in two.caption


def test_traces_hold_lists_and_not_arrays(points, two):
    for panel in (points, two):
        assert "bdata" not in json.dumps(panel.figure.to_plotly_json()["data"])
