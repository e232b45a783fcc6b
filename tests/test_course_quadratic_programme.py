"""Figure 1 as figures: sliders moved through their traits, traces against a second computation."""

import json
import math
import statistics
import time

import numpy as np
import pandas as pd
import pytest
import torch

from gumbelrao_edu.course.quadratic_programme import figures
from gumbelrao_edu.experiments._fig1_page import body, figure_1
from gumbelrao_edu.experiments.fig1 import Sampling, compare
from gumbelrao_edu.figures import trace
from gumbelrao_edu.figures.controls import Slider
from gumbelrao_edu.problems import QuadraticProgramme, simplex_grid

ROWS = 6
PROGRAMME = QuadraticProgramme()


@pytest.fixture(scope="module")
def variances():
    return figures.variances(rows=ROWS)


@pytest.fixture(scope="module")
def paths():
    return figures.paths(steps=12, runs=3)


@pytest.fixture(scope="module")
def table():
    settings = Sampling(rows=ROWS, num_samples=30, k=10)
    device = torch.device("cpu")
    return pd.concat([compare(settings, tau, device=device) for tau in settings.taus])


def shown(heat):
    """The values of a map in the order of the grid; both halves of a brick have the same."""
    wall, rows = heat.z, len(heat.z)
    values, seen = [], 0
    for i in range(rows):
        for j in range(rows - i):
            left = 2 * (rows - 1 - i - j) + i
            assert wall[i][left] == wall[i][left + 1]
            values.append(wall[i][left])
            seen += 2
    assert seen == sum(x is not None for row in wall for x in row)
    return np.array(values)


# --- The map of the variances ---------------------------------------------------------------------


def loss(d, p):
    """f(D) and its gradient in D, from the formulas of section 5.2 in numpy."""
    c, q = 1 / 3, np.exp(-2 * np.abs(np.subtract.outer(range(3), range(3))))
    below = c * c - c * (p[:, None] + p) + np.diag(p)
    a = np.outer(p - c, p - c) / below * q
    return (d - c) @ a @ (d - c), 2 * a @ (d - c)


def softmax(theta):
    e = np.exp(theta - theta.max())
    return e / e.sum()


def variance_terms(p, tau):
    """E[var[∇STGS | D]] and var[∇GR] for both derivatives, by integrating over E_j/E_i directly.

    With t_j = E_j/E_i for the two classes j that were not drawn, the density of (t_1, t_2) is
    2 / (1 + t_1 + t_2)³, and s depends on them only.
    """
    log_t = np.arange(-26.0, 26.0, 0.15)
    t = np.exp(log_t)
    density = 2 * np.outer(t, t) / (1 + t[:, None] + t) ** 3 * 0.15**2
    inner, fixed, whole = 0.0, [], []
    for i in range(3):
        one_hot = np.eye(3)[i]
        g = loss(one_hot, p)[1]
        others = [j for j in range(3) if j != i]
        r = np.ones((3, len(t), len(t)))
        r[others[0]] = ((1 + t / p[others[0]]) ** (-1 / tau))[:, None]
        r[others[1]] = (1 + t / p[others[1]]) ** (-1 / tau)
        s = r / r.sum(0)
        x = s * (g[:, None, None] - np.einsum("a,ars->rs", g, s)) / tau
        mean, square = (x * density).sum((1, 2)), (x**2 * density).sum((1, 2))
        inner += p[i] * (square - mean**2).sum()
        h = 1e-5
        theta = np.log(p)
        direct = [
            (loss(one_hot, softmax(theta + h * e))[0] - loss(one_hot, softmax(theta - h * e))[0])
            / (2 * h)
            for e in np.eye(3)
        ]
        fixed.append(mean)
        whole.append(mean + direct)
    return inner, *(
        sum(p[i] * np.sum((v[i] - p @ np.array(v)) ** 2) for i in range(3)) for v in (fixed, whole)
    )


@pytest.mark.parametrize("tau", figures.TAUS)
def test_map_follows_every_control(variances, tau):
    terms = np.array([variance_terms(p, tau) for p in simplex_grid(ROWS).numpy()])
    variances.controls["tau"].value = tau
    for derivative, column in (("fixed", 1), ("whole", 2)):
        variances.controls["derivative"].value = derivative
        for k in figures.KS:
            variances.controls["k"].value = k
            inner, outer = terms[:, 0], terms[:, column]
            wanted = np.log10((inner + outer) / (inner / k + outer))
            assert shown(trace(variances.figure, "log10 ratio")) == pytest.approx(wanted, abs=2e-5)
            low, high = f"from {wanted.min():.2f}", f"to {wanted.max():.2f}"
            assert low.replace("-0.00", "0.00") in variances.caption
            assert high in variances.caption
            assert ("A held fixed" in variances.caption) == (derivative == "fixed")
    assert variances.errors == []


def test_colours_keep_their_scale_when_k_moves(variances):
    variances.controls["tau"].value, variances.controls["derivative"].value = 0.5, "fixed"
    scales = set()
    for k in figures.KS:
        variances.controls["k"].value = k
        heat = trace(variances.figure, "log10 ratio")
        scales.add((heat.zmin, heat.zmax))
    assert len(scales) == 1
    (low, high), values = scales.pop(), shown(heat)
    assert low == pytest.approx(values.min())
    assert np.mean(values > high) <= 0.05  # at K = ∞ few share the last colour


def test_each_brick_covers_its_point(variances):
    """Where the triangle has the point p, the wall has the brick that names it."""
    heat = trace(variances.figure, "log10 ratio")
    for a, b, c in simplex_grid(ROWS).tolist():
        x, y = c + a / 2, a * math.sqrt(3) / 2
        column = (x - heat.x0) / heat.dx + 0.5  # in half bricks, from the left edge of the first
        row = (y - heat.y0) / heat.dy + 0.5
        text = f"p = ({a:.3f}, {b:.3f}, {c:.3f})"
        assert heat.text[int(row)][int(column - 0.5)] == heat.text[int(row)][int(column + 0.5)]
        assert heat.text[int(row)][int(column - 0.5)] == text


def test_maps_lie_under_their_triangles(table):
    figure = figure_1(table)
    for number in range(1, 5):
        triangle = figure.layout["ternary" if number == 1 else f"ternary{number}"]
        x, y = (figure.layout[f"{axis}axis{'' if number == 1 else number}"] for axis in "xy")
        assert (x.domain, y.domain) == (triangle.domain.x, triangle.domain.y)
        assert (x.range, y.range) == ((0, 1), (0, math.sqrt(3) / 2))
        assert y.scaleanchor == ("x" if number == 1 else f"x{number}")
        assert x.constrain == y.constrain == "domain"


def test_default_map_has_a_thousand_points_and_answers_at_once():
    panel = figures.variances()
    assert len(shown(trace(panel.figure, "log10 ratio"))) >= 1000
    times = []
    for move in range(20):
        begin = time.process_time()  # of this process: what others do does not count
        panel.controls["tau"].value = figures.TAUS[move % 2]
        panel.controls["k"].value = figures.KS[move % 3]
        times.append((time.process_time() - begin) / 2)
    assert statistics.median(times) < 0.1


# --- Why some places are bright -------------------------------------------------------------------


@pytest.mark.parametrize("tau", figures.CUT_TAUS)
def test_cut_follows_every_control(tau):
    panel = figures.cut(points=8)
    panel.controls["tau"].value = tau
    for derivative, column in (("fixed", 1), ("whole", 2)):
        panel.controls["derivative"].value = derivative
        inner, outer = (trace(panel.figure, name) for name in ("inner", "outer"))
        assert inner.x == outer.x
        third = np.array([x for x in inner.x if x is not None])
        assert np.sum(third < 2 / 3) == np.sum(third > 2 / 3) == 4
        lines = [np.array([(1 - x) / 2, (1 - x) / 2, x]) for x in third]
        terms = np.array([variance_terms(p, tau) for p in lines])
        for line, wanted in ((inner, terms[:, 0]), (outer, terms[:, column])):
            drawn = [y for y in line.y if y is not None]
            assert drawn == pytest.approx(wanted, rel=1e-3)
            assert line.y[4] is None  # nothing is drawn across the singular line
        ratio = 1 + terms[:, 0] / terms[:, column]
        for side, name in ((slice(4), "left"), (slice(4, None), "right")):
            best = ratio[side].argmax()
            assert f"{name} of the line p₃ = 2/3 it is largest at p₃ = {third[side][best]:.2f}" in (
                panel.caption
            )
    assert panel.errors == []


def test_gr_of_three_classes_meets_beside_the_line():
    """With the whole derivative the outer variance has a hole on both sides."""
    panel = figures.cut()
    outer = trace(panel.figure, "outer")
    third = np.array([np.nan if x is None else x for x in outer.x])
    values = np.array([np.nan if y is None else y for y in outer.y])
    for low, high in ((0.5, 0.6), (0.72, 0.76)):
        inside = (third > low) & (third < high)
        edges = min(values[inside][0], values[inside][-1])
        assert np.nanmin(values[inside]) < edges / 4


# --- The paths ------------------------------------------------------------------------------------


def exact_path(start, derivative, steps):
    """Clipped gradient descent with gradients by central differences."""
    theta, path, h = np.log(start), [start], 1e-6
    for _ in range(steps):
        p = softmax(theta)

        def average(logits, p=p):
            weights = softmax(logits)
            at = p if derivative == "fixed" else weights
            return sum(weights[i] * loss(np.eye(3)[i], at)[0] for i in range(3))

        gradient = np.array(
            [(average(theta + h * e) - average(theta - h * e)) / (2 * h) for e in np.eye(3)]
        )
        theta = theta - 0.3 * gradient * min(1, 1 / np.linalg.norm(gradient))
        path.append(softmax(theta))
    return np.array(path)


NAMES = ["exact gradient", "REINFORCE", "GS", "ST", "ST-GS", "GR, K = 100"]


def both(panel, name):
    """The path of an estimator, and the values along it."""
    kinds = ("scatterternary", "scatter")
    return [trace(panel.figure, name, type=kind) for kind in kinds]


def test_paths_follow_every_control(paths):
    for corner in (1, 2, 3):
        paths.controls["corner"].value = corner
        for derivative in ("fixed", "whole"):
            paths.controls["derivative"].value = derivative
            start = np.where(np.arange(3) == corner - 1, 0.92, 0.04)
            wanted = exact_path(start, derivative, 12)
            noisy = set()
            for tau in figures.PATH_TAUS:
                paths.controls["tau"].value = tau
                line, curve = both(paths, "exact gradient")
                assert np.stack([line.a, line.b, line.c], -1) == pytest.approx(wanted, abs=1e-6)
                values = PROGRAMME.value(torch.tensor(wanted)).tolist()
                assert curve.y == pytest.approx(values, abs=1e-6)
                for name in NAMES[1:]:
                    line, curve = both(paths, name)
                    assert (line.a[0], line.b[0], line.c[0]) == pytest.approx(tuple(start))
                    assert len(line.a) == len(curve.y) == 13
                    assert f"{name} {curve.y[-1]:.2g}" in paths.caption
                noisy.add(both(paths, "ST-GS")[0].a)
                assert paths.caption.startswith(f"From corner {corner} at τ = {tau:g}, ")
            assert len(noisy) == len(figures.PATH_TAUS)
    assert paths.errors == []


def test_curve_is_the_median_of_the_runs():
    """With one run the curve is the value along the path shown."""
    panel = figures.paths(steps=8, runs=1)
    for name in NAMES:
        line, curve = both(panel, name)
        p = torch.tensor([line.a, line.b, line.c], dtype=torch.float64).T
        assert curve.y == pytest.approx(PROGRAMME.value(p).tolist())


# --- Figures that do not move ---------------------------------------------------------------------


def test_contours_lie_on_their_levels():
    figure = figures.contours(PROGRAMME)
    heat, lines, singular, minimum = (
        trace(figure, name) for name in ("value", "contours", "singular lines", "minimum")
    )
    assert shown(heat) == pytest.approx(PROGRAMME.value(simplex_grid(60)).numpy())
    drawn = [x for x in zip(lines.a, lines.b, lines.c, strict=True) if x[0] is not None]
    levels = PROGRAMME.value(torch.tensor(drawn, dtype=torch.float64))
    assert set(levels.mul(1e6).round().int().tolist()) == {
        10_000, 50_000, 100_000, 200_000, 300_000, 400_000, 500_000,
    }  # fmt: skip
    assert np.min(drawn) >= 0
    ends = [x for x in zip(singular.a, singular.b, singular.c, strict=True) if x[0] is not None]
    assert len(ends) == 6
    assert np.max(ends, axis=1) == pytest.approx([2 / 3] * 6)
    assert (minimum.a[0], minimum.b[0], minimum.c[0]) == pytest.approx((1 / 3,) * 3)


@pytest.mark.parametrize("derivative", ["fixed", "whole"])
def test_figure_1_shows_the_table(table, derivative):
    figure = figure_1(table, derivative)
    heats = [*figure.select_traces({"type": "heatmap"})]
    rows = table[table.derivative == derivative]
    assert [note.text[4:] for note in figure.layout.annotations] == [
        "contours", "τ = 1", "τ = 0.5", "τ = 0.1",
    ]  # fmt: skip
    for heat, tau in zip(heats[1:], (1.0, 0.5, 0.1), strict=True):
        assert shown(heat) == pytest.approx(rows[rows.tau == tau].gap.to_numpy())
    assert [heat.xaxis for heat in heats] == ["x", "x2", "x3", "x4"]


def test_sampled_map_stands_beside_the_exact_one_in_the_same_colours(table):
    rows = table[(table.tau == 0.5) & (table.derivative == "fixed")]
    figure = figures.sampled(rows)
    exact, sampled = (trace(figure, name) for name in ("exact", "sampled"))
    assert shown(exact) == pytest.approx(rows.gap.to_numpy())
    assert shown(sampled) == pytest.approx(rows.gap_mc.to_numpy())
    assert (exact.zmin, exact.zmax) == (sampled.zmin, sampled.zmax)


def test_page_describes_what_it_shows(table):
    page = body(table)
    rows = table[(table.derivative == "whole") & (table.tau == 0.1)]
    assert f"{rows.gap.min():.2f} to {rows.gap.max():.2f} at τ = 0.1" in page
    assert page.count("Plotly.newPlot(") >= 2


def test_figures_hold_lists_have_a_height_and_labelled_controls(variances, paths, table):
    still = [figures.contours(PROGRAMME), figure_1(table)]
    for figure in [variances.figure, paths.figure, *still]:
        assert "bdata" not in json.dumps(figure.to_plotly_json()["data"])
        assert figure.layout.height >= 300
        assert figure.layout.ternary.aaxis.title.text
    for panel in (variances, paths):
        for control in panel.controls.values():
            assert isinstance(control, Slider)
            assert control.description


def test_nothing_is_not_a_number(variances, paths):
    assert np.isfinite(shown(trace(variances.figure, "log10 ratio"))).all()
    for panel in (variances, paths):
        for each in panel.figure.data:
            if each.type == "heatmap":
                continue
            lists = (each.a, each.b, each.c) if each.type == "scatterternary" else (each.y,)
            assert all(math.isfinite(x) for values in lists for x in values if x is not None)
