"""The figure of notebook 02: both ways of drawing follow the law, computed with NumPy."""

import json

import numpy as np
import pytest
from scipy import stats

from gumbelrao_edu.course.conditional_gumbels import figures
from gumbelrao_edu.figures import trace

P_VALUE = 1e-6


@pytest.fixture(scope="module")
def two():
    return figures.two_ways(k=2000, seed=0)


def cdf_of_winner(x):
    """A Gumbel at log Z = 0."""
    return np.exp(-np.exp(-x))


def cdf_of_loser(x, p):
    """P(T >= t) for T = E_1 + E_2/λ, λ = (1 − p)/2, the times of clocks with rates 1 and λ."""
    t, rate = np.exp(-x), (1 - p) / 2
    return (np.exp(-rate * t) - rate * np.exp(-t)) / (1 - rate)


def p_value(percent, cdf, k):
    """Pearson's goodness of fit of a histogram; bins are joined until each expects 5 draws."""
    edges = np.linspace(figures.LOW, figures.HIGH, figures.BINS + 1)
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


@pytest.mark.parametrize("p", figures.PS)
def test_both_ways_draw_the_right_law(two, p):
    """28 tests in all, each with a false-failure rate of 1e-6 / 28."""
    two.controls["p"].value = p
    limit = P_VALUE / (4 * len(figures.PS))
    winner_slow, loser_slow, winner_fast, loser_fast = (
        trace(two.figure, f"{name}: {way}").y
        for way in ("rejection", "(9)")
        for name in ("class 1, the winner", "class 2")
    )
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


def test_traces_hold_lists_and_not_arrays(two):
    """Colab's widgets leave arrays blank."""
    assert "bdata" not in json.dumps(two.figure.to_plotly_json()["data"])
