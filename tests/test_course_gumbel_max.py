"""The figures of notebook 01: sliders moved, traces computed a second time with NumPy."""

import json

import numpy as np
import pytest
import torch
from scipy import stats
from seeded import seeded

from gumbelrao_edu import gumbel_max, sample_gumbel
from gumbelrao_edu.course.gumbel_max import figures
from gumbelrao_edu.figures import trace

LOGITS = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def points():
    return figures.samples(LOGITS, seed=3)


@pytest.fixture(scope="module")
def perturbed():
    generator = seeded(3)
    return gumbel_max(LOGITS.expand(200, 3), generator=generator)[1].numpy()


def drawn(panel, name):
    points = trace(panel.figure, name)
    return np.array([points.a, points.b, points.c]).T


@pytest.mark.parametrize("tau", figures.TAUS)
def test_the_points_are_softmaxes_of_the_same_noise(points, perturbed, tau):
    points.controls["tau"].value = tau
    weights = np.exp((perturbed - perturbed.max(-1, keepdims=True)) / tau)
    s = weights / weights.sum(-1, keepdims=True)
    winner = perturbed.argmax(-1)
    for i in range(3):
        assert np.allclose(drawn(points, f"D = class {i + 1}"), s[winner == i], atol=1e-12)
    assert np.allclose(drawn(points, "mean of the points"), s.mean(0))
    close = round(100 * (s.max(-1) > 0.99).mean())
    assert points.caption.startswith(f"τ = {tau:g}: {close} % of the 200 points")
    mean = ", ".join(f"{x:.2f}" for x in s.mean(0))
    assert f"mean is ({mean}); p is (0.51, 0.31, 0.19)." in points.caption
    assert points.errors == []


def test_no_point_leaves_the_part_of_its_class(points):
    for tau in figures.TAUS:
        points.controls["tau"].value = tau
        for i in range(3):
            assert (drawn(points, f"D = class {i + 1}").argmax(-1) == i).all()


def test_the_ring_is_p(points):
    weights = np.exp(LOGITS.numpy())
    assert np.allclose(drawn(points, "p")[0], weights / weights.sum())


def test_samples_are_of_three_classes():
    with pytest.raises(ValueError, match=r"logits: expected the shape \(3,\), got \(4,\)"):
        figures.samples(torch.zeros(4))


def test_traces_hold_lists_and_not_arrays(points):
    """Colab's widgets leave arrays blank."""
    assert "bdata" not in json.dumps(points.figure.to_plotly_json()["data"])


# --- The figures without sliders ------------------------------------------------------------------


def test_the_density_is_that_of_a_gumbel():
    gumbels = sample_gumbel([5000], generator=seeded(1))
    panel = figures.density(gumbels)
    law, drawn = trace(panel.figure, "density"), trace(panel.figure, "draws")
    assert np.allclose(law.y, stats.gumbel_r.pdf(law.x), atol=1e-6)
    width = drawn.x[1] - drawn.x[0]
    edges = np.append(np.array(drawn.x) - width / 2, drawn.x[-1] + width / 2)
    counts, _ = np.histogram(gumbels, edges)
    assert np.allclose(drawn.y, counts / 5000 / width, atol=1.1 / 5000 / width)  # ties at an edge
    assert f"Of 5,000 draws the mean is {gumbels.mean():.2f}" in panel.caption


def test_the_maxima_are_sorted_by_their_winner():
    sums = gumbel_max(LOGITS.expand(3000, 3), generator=seeded(1))[1].numpy()
    log_z = float(np.log(np.exp(LOGITS.numpy()).sum()))
    panel = figures.maxima(torch.tensor(sums), log_z)
    law = trace(panel.figure, "a Gumbel at log Z")
    assert np.allclose(law.y, stats.gumbel_r.pdf(law.x, loc=log_z), atol=1e-6)
    winner, means = sums.argmax(1), []
    for i in range(3):
        won = sums[winner == i].max(1)
        outline = trace(panel.figure, f"class {i + 1} won ({len(won):,} draws)")
        width = outline.x[1] - outline.x[0]
        inside = ((won >= figures.LOW) & (won <= figures.HIGH)).mean()
        assert sum(outline.y) * width == pytest.approx(inside)
        means.append(f"{won.mean():.2f}")
    assert ", ".join(means) in panel.caption
    assert f"log Z + 0.577 is {log_z + np.euler_gamma:.2f}" in panel.caption


def test_the_slopes_are_derivatives_and_the_step_is_at_the_jump():
    perturbed = torch.tensor([0.3, 1.1, -0.4], dtype=torch.float64)
    panel = figures.slopes(LOGITS, perturbed)
    jump = 1.0 + 1.1 - 0.3  # θ₁ with which the first sum is as large as the second
    assert f"from θ₁ = {jump:.2f} on" in panel.caption
    step = trace(panel.figure, "D (argmax)")
    assert step.x == pytest.approx([jump - 4, jump, jump, jump + 4])
    assert [*step.y] == [0, 0, 1, 1]
    for tau in figures.SLOPE_TAUS:
        name = f"τ = {tau:g}"
        above, below = (trace(panel.figure, name, xaxis=axis) for axis in ("x", "x2"))
        rivals = np.exp(np.array([1.1, -0.4]) / tau).sum()
        own = np.exp((np.array(above.x) - 0.7) / tau)
        assert np.allclose(above.y, own / (own + rivals))
        slope = np.gradient(above.y, above.x)
        assert np.allclose(below.y[1:-1], slope[1:-1], atol=0.02**2 / (40 * tau**3))
        assert max(below.y) <= 1 / (4 * tau) + 1e-12
