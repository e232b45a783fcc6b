"""The figures of notebook 02, computed a second time with NumPy."""

import json
import re

import numpy as np
import pytest
import torch
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


def test_the_marks_are_the_means_and_the_sentence_has_two_standard_errors(two):
    """Of the histograms' draws: the bins give the mean up to half a bin."""
    two.controls["p"].value = 0.2
    edges = np.linspace(figures.LOW, figures.HIGH, figures.BINS + 1)
    middles, half = (edges[1:] + edges[:-1]) / 2, (edges[1] - edges[0]) / 2
    for name in ("class 1, the winner", "class 2"):
        for way in ("rejection", "(9)"):
            share = np.array(trace(two.figure, f"{name}: {way}").y) / 100
            mark = trace(two.figure, f"{name}: mean by {way}")
            mean = share @ middles
            assert mark.x[0] == pytest.approx(mean, abs=half)
            std = np.sqrt(share @ (middles - mean) ** 2)
            error = re.search(rf"{mark.x[0]:.2f} ± ([\d.]+)", two.caption)[1]
            assert float(error) == pytest.approx(2 * std / np.sqrt(2000), rel=0.05, abs=0.005)


def test_the_axis_of_the_histograms_stays_and_shows_all(two):
    ranges = set()
    for p in figures.PS:
        two.controls["p"].value = p
        ranges.add(two.figure.layout.yaxis.range)
        low, high = two.figure.layout.yaxis.range
        assert all(low < y < high for drawn in two.figure.data for y in drawn.y)
    assert len(ranges) == 1


LOGITS = torch.tensor([0.5, 0.0, -0.5])


def test_many_noises_are_sorted_by_the_class_that_wins():
    figure = figures.many_noises(LOGITS, num_samples=30)
    heights = np.array([trace(figure.figure, f"class {i}").y for i in (1, 2, 3)])
    winners = heights.argmax(0)
    assert (np.diff(winners) >= 0).all()
    assert np.allclose(trace(figure.figure, "the largest").y, heights.max(0))
    counts = np.bincount(winners, minlength=3)
    said = ", ".join(f"{count} of class {i + 1}" for i, count in enumerate(counts))
    assert figure.caption.startswith(f"30 draws of θ + G: {said}.")
    walls = [shape.x0 for shape in figure.figure.layout.shapes]
    assert walls == [0.5 + counts[0], 0.5 + counts[0] + counts[1]]


@pytest.mark.parametrize("race", range(1, 9))
def test_the_first_clock_wins(race):
    panel = figures.clocks(LOGITS)
    panel.controls["race"].value = race
    rings = [trace(panel.figure, f"clock {j} rings").x[0] for j in (1, 2, 3)]
    winner = int(np.argmin(rings)) + 1
    assert (
        f"Clock {winner} is the first, at {min(rings):.2f}: D is class {winner}." in panel.caption
    )
    for j, ring in enumerate(rings, 1):
        assert trace(panel.figure, f"clock {j}, its rest").x == (min(rings), ring)
        assert f"{-np.log(ring):.2f}" in panel.caption
    assert trace(panel.figure, "first ring").x == (min(rings), min(rings))


def test_the_clocks_ring_at_their_rates():
    """A mean of 4,000 races, to five standard errors; times that are swapped fail."""
    panel = figures.clocks(LOGITS, races=4000)
    rings = np.array(
        [
            [trace(panel.figure, f"clock {j} rings").x[0] for j in (1, 2, 3)]
            for _ in each_race(panel)
        ]
    )
    expected = np.exp(-LOGITS.numpy())
    error = 5 * expected / np.sqrt(len(rings))
    assert (np.abs(rings.mean(0) - expected) < error).all()
    assert (np.abs(rings.mean(0) - expected[::-1]) > error).any()


def each_race(panel):
    for race in range(1, 4001):
        panel.draw(panel.figure, race=race)
        yield race
