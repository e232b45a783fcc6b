"""The figures of notebook 04, and `mse_over_tau` of 03, against a second computation.

That computation is not the package's: given D = i, softmax_τ(θ + G) depends on two ratios of
exponentials, u = E_j/E_i and v = E_k/E_i, with the density 2/(1 + u + v)³. The trapezoidal rule in
(log u, log v) gives the moments.
"""

import functools
import json
import math

import numpy as np
import pytest
import torch

from gumbelrao_edu import conditional_gumbel, gumbel_max, gumbel_rao, tempered_softmax
from gumbelrao_edu.course.gumbel_rao.figures import MEASURED_TAUS, mse_over_tau
from gumbelrao_edu.course.why_it_works import figures
from gumbelrao_edu.course.why_it_works.figures import BATCHES, KS, TAUS
from gumbelrao_edu.figures import trace
from gumbelrao_edu.surrogate import replace_gradient

LOGITS = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
TARGET = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
P = LOGITS.softmax(0).numpy()
G = 2 * (np.eye(3) - TARGET.numpy())  # ∂f/∂D for each class drawn
# |z| > 6.2 has a probability of 6e-10, below 1e-6 for all points of all tests together. With means
# of 64 the standard errors are themselves estimates, from 200 of them.
Z = 6.2


def f(d):
    return (d - TARGET).square().sum(-1)


@functools.cache
def moments(tau):
    """E[∇ | D = i] and E[∇² | D = i], both [class drawn, n]."""
    log = np.arange(-36, 36, 0.2)
    u, v = np.exp(log)[:, None], np.exp(log)[None, :]
    density = 0.04 * 2 * u * v / (1 + u + v) ** 3
    first, second = np.zeros((3, 3)), np.zeros((3, 3))
    for i in range(3):
        j, k = (a for a in range(3) if a != i)
        r = np.ones((3, len(log), len(log)))
        r[j], r[k] = (1 + u / P[j]) ** (-1 / tau), (1 + v / P[k]) ** (-1 / tau)
        s = r / r.sum(0)
        gradient = s * (G[i][:, None, None] - np.tensordot(G[i], s, 1)) / tau
        first[i] = (density * gradient).sum((1, 2))
        second[i] = (density * gradient**2).sum((1, 2))
    return first, second


def terms(tau):
    """inner, outer and squared bias."""
    first, second = moments(tau)
    mean = P @ first
    losses = f(torch.eye(3, dtype=torch.float64)).numpy()
    exact = P * (losses - P @ losses)
    inner = P @ (second - first**2).sum(1)
    return inner, P @ ((first - mean) ** 2).sum(1), ((mean - exact) ** 2).sum()


def variance(tau, k, b):
    inner, outer, _ = terms(tau)
    return (inner / k + outer) / b


def mse(tau, k, b):
    return variance(tau, k, b) + terms(tau)[2]


def named(figure, *names):
    return [trace(figure, name) for name in names]


def close(got, expected):
    assert np.array(got) == pytest.approx(np.array(expected), rel=1e-5, abs=1e-9)


def away(measured, errors, expected):
    """By how many standard errors the farthest point is away; the bars are two of them long."""
    distance = np.array(measured) - np.array(expected)
    return np.abs(distance / (np.array(errors) / 2)).max()


# --- MSE over τ -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def curves():
    return mse_over_tau(f, LOGITS)


@pytest.mark.parametrize("b", BATCHES)
@pytest.mark.parametrize("k", KS)
def test_mse_follows_k_and_b(curves, k, b):
    curves.controls["k"].value, curves.controls["b"].value = k, b
    bias, spread, gr, st_gs, limit, points, lowest, best, nothing = named(
        curves.figure,
        "bias², of both",
        "variance of GR",
        "MSE of GR",
        "MSE of ST-GS",
        "MSE, K = ∞",
        "GR, measured",
        "lowest of ST-GS",
        "lowest of GR",
        "no gradient at all",
    )
    taus = gr.x
    close(bias.y, [terms(tau)[2] for tau in taus])
    close(spread.y, [variance(tau, k, b) for tau in taus])
    close(gr.y, [mse(tau, k, b) for tau in taus])
    close(st_gs.y, [mse(tau, 1, b) for tau in taus])
    close(limit.y, [mse(tau, math.inf, b) for tau in taus])
    assert (points.x, curves.errors) == (MEASURED_TAUS, [])
    assert away(points.y, points.error_y.array, [mse(tau, k, b) for tau in MEASURED_TAUS]) < Z
    close([*lowest.y, *best.y], [min(st_gs.y), min(gr.y)])
    assert best.x[0] <= lowest.x[0]
    assert (lowest.marker.color, best.marker.color) == (st_gs.line.color, gr.line.color)
    # A large τ leaves no gradient: the bias is then the gradient.
    assert bias.y[-1] < nothing.y[0] == nothing.y[-1] < 2 * bias.y[-1]
    assert f"No gradient at all has the MSE {nothing.y[0]:.2g}" in curves.caption
    assert f"{min(gr.y):.2g}" in curves.caption


def test_the_points_would_notice_another_k(curves):
    curves.controls["k"].value, curves.controls["b"].value = 10, 1
    points = trace(curves.figure, "GR, measured")
    for k in (3, 30):
        assert (
            away(points.y, points.error_y.array, [mse(tau, k, 1) for tau in MEASURED_TAUS]) > 2 * Z
        )


# --- Proposition 3 --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def surface():
    return figures.surface(f, LOGITS)


@pytest.mark.parametrize("tau", TAUS)
def test_surface_follows_tau(surface, tau):
    surface.controls["tau"].value = tau
    field, line, points = named(surface.figure, "variance", "K*", "measured")
    expected = [[math.log10(variance(tau, k, b)) for k in field.x] for b in field.y]
    close(field.z, expected)
    assert field.zmin - 1e-6 <= np.min(expected) <= np.max(expected) <= field.zmax + 1e-6
    turn = terms(tau)[0] / terms(tau)[1]
    close(line.x, [turn, turn] if turn >= 1 else [])
    assert sorted(zip(points.x, points.y, strict=True)) == [
        (k, b) for k in KS[:-1] for b in BATCHES
    ]
    measured = 10 ** np.array(points.marker.color)
    formula = np.array([variance(tau, k, b) for k, b in zip(points.x, points.y, strict=True)])
    # With 200 to 12,800 means of B estimates; the ratio is that of a variance with heavy tails.
    assert np.abs(measured / formula - 1).max() < 0.5
    assert f"K* = {turn:.2g}" in surface.caption or f"K* = {turn:.1f}" in surface.caption
    farthest = float(surface.caption.split("formula is ")[1].split(" ")[0])
    assert farthest < Z
    assert surface.errors == []


@pytest.fixture(scope="module")
def row():
    return figures.diminishing(f, LOGITS)


@pytest.mark.parametrize("tau", TAUS)
def test_both_terms_follow_tau(row, tau):
    row.controls["tau"].value = tau
    inner, outer, _ = terms(tau)
    given_d, of_d, both, points, turn = named(
        row.figure, "inner / K", "outer", "variance (13)", "measured", "K*"
    )
    close(given_d.y, [inner / k for k in given_d.x])
    close(of_d.y, [outer] * len(of_d.x))
    close(both.y, [variance(tau, k, 1) for k in both.x])
    assert points.x == KS[:-1]
    assert away(points.y, points.error_y.array, [variance(tau, k, 1) for k in points.x]) < Z
    close([*turn.x, *turn.y], [inner / outer, outer] if inner >= outer else [])
    assert f"{variance(tau, 10, 1):.2f}" in row.caption
    crossing = "the lines cross at K*" if inner >= outer else "even at K = 1 (K*"
    assert f"{crossing} = {inner / outer:.2g}" in row.caption
    assert row.errors == []


# --- The derivative -------------------------------------------------------------------------------


def through_9(logits, *, tau, k, generator=None):
    one_hot, _ = gumbel_max(logits.detach(), generator=generator)
    perturbed = conditional_gumbel(logits, one_hot, k, generator=generator)
    return replace_gradient(one_hot, tempered_softmax(perturbed, tau).mean(0))


def test_convergence_find_the_bias_that_does_not_vanish():
    panel = figures.convergence(f, LOGITS, {"fixed": gumbel_rao, "through": through_9})
    for tau in (0.1, 0.2, 0.5, 1.0, 2.0):
        for k in (1, 10):
            panel.controls["tau"].value, panel.controls["k"].value = tau, k
            target = (P @ moments(tau)[0])[0]
            band, mean = named(panel.figure, "fixed, three standard errors", "fixed")
            wrong_band, wrong_mean = named(
                panel.figure, "through, three standard errors", "through"
            )
            line = trace(panel.figure, "mean of ST-GS")
            close(line.y, [target, target])
            last = len(mean.x)  # of the upper edge, which runs backwards
            error = (band.y[last] - mean.y[-1]) / 3
            wrong_error = (wrong_band.y[last] - wrong_mean.y[-1]) / 3
            assert abs(mean.y[-1] - target) < Z * error
            assert abs(wrong_mean.y[-1] - target) > 10 * Z * wrong_error
            assert f"mean of ST-GS is {target:.3f}" in panel.caption
    assert panel.errors == []


def test_convergence_are_means_of_the_first_draws():
    """Estimators with a known gradient: row r has the slope τ + k r²."""

    def known(logits, *, tau, k, generator=None):
        rows = torch.arange(len(logits), dtype=logits.dtype)
        return logits * (tau + k * rows**2)[:, None]

    two = {"one": known, "other": lambda logits, **rest: -known(logits, **rest)}
    panel = figures.convergence(lambda d: d[..., 1], LOGITS, two, num_samples=500, component=1)
    for k in (1, 10):
        panel.controls["k"].value = k
        slopes = 1.0 + k * np.arange(500.0) ** 2
        band, mean, other = named(panel.figure, "one, three standard errors", "one", "other")
        assert (mean.x[0], mean.x[-1]) == (10, 500)
        expected = np.array([slopes[:m].mean() for m in mean.x])
        error = np.array([slopes[:m].std(ddof=1) / math.sqrt(m) for m in mean.x])
        close(mean.y, expected)
        close(other.y, -expected)
        close(band.y, [*(expected - 3 * error), *(expected + 3 * error)[::-1]])
        assert band.x == (*mean.x, *mean.x[::-1])


def test_convergence_compare_two():
    with pytest.raises(ValueError, match="estimators: expected two, got 1"):
        figures.convergence(f, LOGITS, {"one": gumbel_rao})


# --- Jacobians given D ----------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0])
def test_jacobians_given_the_choice(tau):
    panel = figures.jacobians(LOGITS)
    panel.controls["tau"].value = tau
    *each, mean = [np.array(heat.z) for heat in panel.figure.data]
    assert len(each) == 4
    log = np.arange(-36, 36, 0.2)
    u, v = np.exp(log)[:, None], np.exp(log)[None, :]
    density = 0.04 * 2 * u * v / (1 + u + v) ** 3
    r = np.ones((3, len(log), len(log)))
    r[1], r[2] = (1 + u / P[1]) ** (-1 / tau), (1 + v / P[2]) ** (-1 / tau)
    s = r / r.sum(0)
    wanted = [
        [(density * s[a] * ((a == b) - s[b])).sum() / tau for b in range(3)] for a in range(3)
    ]
    close(mean, wanted)
    for matrix in each:  # rows and columns of a Jacobian of softmax sum to 0
        close(matrix.sum(0), [0.0] * 3)
        close(matrix, matrix.T)
    largest = max(matrix.max() for matrix in each)
    assert f"the largest number in them is {largest:.1f}." in panel.caption
    assert panel.figure.data[0].zmax == pytest.approx(np.abs([*each, mean]).max())
    assert "bdata" not in json.dumps(panel.figure.to_plotly_json()["data"])


# --- τ → 0 ----------------------------------------------------------------------------------------


def test_distance_to_the_limit():
    figure, alt = figures.to_zero(f, LOGITS)
    points, line = named(figure, "GR from its limit", "a line of slope 1")
    # v_j = ½ p_j (g_j − g_i), and v_i makes the sum 0.
    limit = P * (G - np.diag(G)[:, None]) / 2
    limit[np.diag_indices(3)] = -limit.sum(1)
    expected = [
        math.sqrt(P @ ((moments(tau)[0] - limit) ** 2).sum(1) / (P @ (limit**2).sum(1)))
        for tau in points.x
    ]
    close(points.y, expected)
    small = np.array(points.x) < 0.101
    slope = np.polyfit(np.log(points.x)[small], np.log(expected)[small], 1)[0]
    assert slope == pytest.approx(1.0, abs=0.05)
    assert f"its slope is {slope:.2f}" in alt
    close(np.array(line.y) / np.array(line.x), [expected[0] / 0.01] * len(line.x))


@pytest.mark.parametrize("tau", [1.0, 0.5, 0.2, 0.1, 0.05])
def test_the_mean_of_the_bump(tau):
    """x = log(1 + u/p) with the density 1/(1 + u)² of u."""
    p = 0.3
    panel = figures.tie(p)
    panel.controls["tau"].value = tau
    bump, half, black = named(panel.figure, "bump", "the half that remains", "how likely x is")

    def height(x):
        fall = np.exp(-np.abs(x) / tau)
        return fall / (1 + fall) ** 2 / tau

    close(bump.y, height(np.array(bump.x)))
    assert (half.x[0], half.y[0]) == (0.0, pytest.approx(1 / (4 * tau)))
    after = np.array(black.x) >= 0
    u = p * np.expm1(np.array(black.x)[after])
    close(np.array(black.y)[after], (u + p) / (1 + u) ** 2)
    assert not np.array(black.y)[~after].any()
    log = np.arange(-40, 40, 0.01)
    u = np.exp(log)
    mean = (0.01 * u * height(np.log1p(u / p)) / (1 + u) ** 2).sum()
    assert f"has the area 0.500. Weighted by how likely each x is, the area is {mean:.3f}." in (
        panel.caption
    )


def test_a_probability_is_between_0_and_1():
    with pytest.raises(ValueError, match=r"p: expected a number between 0 and 1, got 1\.0"):
        figures.tie(1.0)


def test_traces_hold_lists_and_not_arrays(curves, surface, row):
    """Colab's widgets leave arrays blank."""
    for panel in (curves, surface, row):
        assert "bdata" not in json.dumps(panel.figure.to_plotly_json())
