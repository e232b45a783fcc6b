"""The figure of notebook 01: a slider moved, traces computed a second time with NumPy."""

import json

import numpy as np
import pytest
import torch

from gumbelrao_edu import gumbel_max
from gumbelrao_edu.course.gumbel_max import figures
from gumbelrao_edu.figures import trace

LOGITS = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def points():
    return figures.samples(LOGITS, seed=3)


@pytest.fixture(scope="module")
def perturbed():
    generator = torch.Generator().manual_seed(3)
    return gumbel_max(LOGITS.expand(300, 3), generator=generator)[1].numpy()


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
    assert points.caption.startswith(f"τ = {tau:g}: {close} % of the 300 points")
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
