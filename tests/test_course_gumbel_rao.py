"""The figures of notebook 03, but `mse_over_tau`: what the traces show is computed again."""

import json
import math

import numpy as np
import pytest
import torch
from seeded import seeded

from gumbelrao_edu import st_gumbel_softmax
from gumbelrao_edu.course.gumbel_rao import figures
from gumbelrao_edu.diagnostics import Draws
from gumbelrao_edu.figures import trace

LOGITS = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
TARGET = torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64)


def f(d):
    return (d - TARGET).square().sum(-1)


# --- The histogram of gradient estimates ----------------------------------------------------------


@pytest.fixture(scope="module")
def panel():
    return figures.histogram(f, LOGITS)


@pytest.fixture(scope="module")
def draws():
    return Draws(f, LOGITS, generator=seeded())


def by_equation_9(draws, tau):
    """The estimates [k, draws, n] again: Gumbels by (9), softmax, its whole Jacobian, gᵀJ."""
    theta, index = LOGITS.numpy(), draws.index.numpy()
    noise = np.moveaxis(draws.noise.numpy(), 0, -1)  # [k, draws, n]
    z = np.exp(theta).sum()
    largest = np.take_along_axis(noise, np.broadcast_to(index[:, None], (*noise.shape[:2], 1)), 2)
    perturbed = -np.log(noise / np.exp(theta) + largest / z)
    chosen = np.arange(3) == index[:, None]
    perturbed = np.where(chosen, -np.log(largest) + np.log(z), perturbed)
    s = np.exp(perturbed / tau)
    s /= s.sum(-1, keepdims=True)
    jacobian = (s[..., :, None] * np.eye(3) - s[..., :, None] * s[..., None, :]) / tau
    g = 2 * (np.eye(3)[index] - TARGET.numpy())
    return np.einsum("da,kdab->kdb", g, jacobian)


def percent(values, edges):
    return 100 * np.histogram(values, edges)[0] / len(values)


@pytest.mark.parametrize("tau", figures.TAUS)
def test_histogram_follows_tau_and_k(panel, draws, tau):
    expected = by_equation_9(draws, tau)[..., 0]
    panel.controls["tau"].value = tau
    for k in figures.KS[:-1]:
        panel.controls["k"].value = k
        st_gs, gr = (trace(panel.figure, name) for name in ("ST-GS", "GR"))
        half = st_gs.width / 2
        edges = np.append(np.array(st_gs.x) - half, st_gs.x[-1] + half)
        # A value on the edge of a bin may fall to either side.
        one = 100 / len(draws.index)
        assert np.abs(np.array(st_gs.y) - percent(expected[0], edges)).max() <= one + 1e-9
        assert np.abs(np.array(gr.y) - percent(expected[:k].mean(0), edges)).max() <= one + 1e-9
        both = {"ST-GS": (st_gs, expected[0]), "GR": (gr, expected[:k].mean(0))}
        for name, (drawn, estimates) in both.items():
            out = 100 * ((estimates < edges[0]) | (estimates > edges[-1])).mean()
            assert sum(drawn.y) == pytest.approx(100 - out, abs=0.1)
            assert f"{out:.1f} % of {name}" in panel.caption
        assert (edges[0], edges[-1]) == pytest.approx(panel.figure.layout.xaxis.range)
        ratio = expected[:k].mean(0).std() / expected[0].std()
        assert f"which is {ratio:.2f} times" in panel.caption
    assert panel.errors == []


def test_the_axis_stays_and_holds_most_of_the_draws(panel):
    before = panel.figure.layout.xaxis.range
    for tau in figures.TAUS:
        panel.controls["tau"].value, panel.controls["k"].value = tau, 1
        assert panel.figure.layout.xaxis.range == before
        assert sum(trace(panel.figure, "ST-GS").y) > 89.9


def test_infinite_k_leaves_one_value_for_each_class(panel, draws):
    panel.controls["tau"].value, panel.controls["k"].value = 0.2, math.inf
    heights = [y for y in trace(panel.figure, "GR").y if y > 0]
    counts = 100 * torch.bincount(draws.index) / len(draws.index)
    assert sorted(heights) == pytest.approx(sorted(counts.tolist()))
    assert "K = ∞" in panel.caption


def test_lines_are_the_exact_gradient_and_the_mean(panel):
    theta = LOGITS.clone().requires_grad_()
    (theta.softmax(0) @ f(torch.eye(3))).backward()
    generator = seeded(1)
    for tau in (0.1, 0.5, 2.0):
        panel.controls["tau"].value = tau
        exact, mean = (trace(panel.figure, name) for name in ("exact gradient", "mean of both"))
        assert exact.x == pytest.approx([theta.grad[0].item()] * 2)
        rows = LOGITS.expand(100_000, 3).clone().requires_grad_()
        f(st_gumbel_softmax(rows, tau=tau, generator=generator)).sum().backward()
        sample = rows.grad[:, 0]
        error = (sample.std() / math.sqrt(len(sample))).item()
        # |z| > 5.1 has a probability of 1e-6 / 3. It would notice the exact gradient at τ >= 0.5.
        assert abs(mean.x[0] - sample.mean().item()) < 5.1 * error
        assert tau < 0.5 or abs(mean.x[0] - exact.x[0]) > 10.2 * error


def test_traces_hold_lists_and_not_arrays(panel, arrows):
    """Colab's widgets leave arrays blank."""
    for shown in (panel, arrows):
        sent = json.dumps(shown.figure.to_plotly_json()["data"])
        assert "bdata" not in sent


# --- The arrows -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def arrows():
    return figures.arrows(f, LOGITS)


@pytest.fixture(scope="module")
def few():
    return Draws(f, LOGITS, num_samples=60, generator=seeded())


def tips(panel, name, **properties):
    """Where the lines of a trace end, [lines, 2]; each begins at the origin."""
    lines = trace(panel.figure, name, **properties)
    assert set(lines.x[::3]) | set(lines.y[::3]) == {0.0}
    assert set(lines.x[2::3]) | set(lines.y[2::3]) == {None}
    return np.array([lines.x[1::3], lines.y[1::3]]).T


def on_the_plane(vectors):
    """Class 1 is at the top and the others follow at -120° each, as (θ1, θ2, θ3) sum to zero."""
    angles = np.deg2rad([90, 210, 330])
    corners = np.stack([np.cos(angles), np.sin(angles)], 1)  # at the distance 1
    return vectors @ corners * math.sqrt(2 / 3)


@pytest.mark.parametrize("tau", figures.TAUS)
def test_arrows_follow_tau_and_k(arrows, few, tau):
    expected = by_equation_9(few, tau)
    arrows.controls["tau"].value = tau
    for k in figures.KS[:-1]:
        arrows.controls["k"].value = k
        gr = expected[:k].mean(0)
        for name, vectors in (("ST-GS", expected[0]), ("GR", gr)):
            at = on_the_plane(vectors)
            assert np.allclose(tips(arrows, name, mode="lines"), at, atol=1e-9)
            discs = trace(arrows.figure, name, mode="markers")
            assert np.allclose(np.array([discs.x, discs.y]).T, at, atol=1e-9)
        said = []
        for name, vectors in (("ST-GS", expected[0]), ("GR", gr)):
            length = math.sqrt((vectors**2).sum(-1).mean())
            reach = arrows.figure.layout.xaxis.range[1]
            outside = (np.abs(on_the_plane(vectors)) > reach).any(-1).sum()
            said.append(f"{length:.2f} for {name} ({outside} end outside of the picture)")
        assert arrows.caption.endswith(f"is {said[0]} and {said[1]}.")
    assert arrows.errors == []


def test_the_plane_keeps_lengths_and_angles():
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    vectors -= vectors.mean(-1, keepdims=True)
    flat = np.array(figures._from_origin(torch.tensor(vectors)), dtype=float).T[1::3]
    assert np.allclose(flat @ flat.T, vectors @ vectors.T)


def test_infinite_k_leaves_three_arrows_whose_mean_is_the_thick_one(arrows):
    for tau in (0.1, 0.5, 2.0):
        arrows.controls["tau"].value, arrows.controls["k"].value = tau, math.inf
        left = np.unique(tips(arrows, "GR", mode="lines").round(12), axis=0)
        assert len(left) == 3
        first, *others = left[np.argsort(-left[:, 1])]  # class 1 is at the top
        order = [first, *sorted(others, key=lambda v: v[0])]  # class 2 at the left
        mean = LOGITS.softmax(0).numpy() @ np.array(order)
        for axis in ("x", "x2"):
            assert np.allclose(tips(arrows, "mean of both", xaxis=axis)[0], mean)
        assert np.abs(left).max() < arrows.figure.layout.xaxis.range[1]


def test_the_black_arrows_are_the_exact_gradient(arrows):
    theta = LOGITS.clone().requires_grad_()
    (theta.softmax(0) @ f(torch.eye(3))).backward()
    for axis in ("x", "x2"):
        drawn = tips(arrows, "exact gradient", xaxis=axis)[0]
        assert np.allclose(drawn, on_the_plane(theta.grad.numpy()))
    assert f"has the length {theta.grad.norm():.2f}, " in arrows.caption


def test_both_sides_have_one_scale(arrows):
    axes = [arrows.figure.layout[name] for name in ("xaxis", "yaxis", "xaxis2", "yaxis2")]
    assert len({tuple(axis.range) for axis in axes}) == 1
    assert (axes[1].scaleanchor, axes[3].scaleanchor) == ("x", "x2")


def test_each_class_has_its_direction(arrows):
    """The arrow of a large θ_c points to the name of class c, on both sides."""
    corners = on_the_plane(np.eye(3) - 1 / 3)
    for c in range(3):
        names = [a for a in arrows.figure.layout.annotations if a.text == f"class {c + 1}"]
        assert [name.xref for name in names] == ["x", "x2"]
        for name in names:
            at = np.array([name.x, name.y])
            assert np.allclose(at / np.linalg.norm(at), corners[c] / np.linalg.norm(corners[c]))
            assert np.abs(at).max() < arrows.figure.layout.xaxis.range[1]


def test_arrows_need_three_classes():
    with pytest.raises(ValueError, match=r"logits: expected the shape \(3,\), got \(4,\)"):
        figures.arrows(lambda d: d[..., 0], torch.zeros(4))


# --- The Jacobians, and the trainings -------------------------------------------------------------


def test_the_mean_of_many_jacobians_is_the_one_shown():
    few, many = figures.jacobians(LOGITS), figures.jacobians(LOGITS, draws=3, seed=1)
    shown = np.array(trace(few.figure, "mean over all noise").z)
    assert np.array_equal(shown, trace(many.figure, "mean over all noise").z)
    assert not np.array_equal(*(trace(p.figure, "noise 1").z for p in (few, many)))
    generator = seeded(3)
    noise = torch.empty(400_000, 3, dtype=torch.float64).exponential_(generator=generator)
    theta = LOGITS - noise.log()
    s = ((theta[theta.argmax(-1) == 0]) / 0.5).softmax(-1)  # by rejection
    jacobians = (torch.diag_embed(s) - s.unsqueeze(-1) * s.unsqueeze(-2)) / 0.5
    error = jacobians.std(0) / len(s) ** 0.5
    # |z| > 5.5 in one of 9 entries has a probability below 1e-6.
    assert ((jacobians.mean(0) - torch.tensor(shown)).abs() < 5.5 * error).all()
    for i in range(3):
        one = np.array(trace(few.figure, f"noise {i + 1}").z)
        assert np.allclose(one.sum(0), 0)
        assert np.allclose(one, one.T)


def test_trainings_show_what_they_are_given():
    losses = {(n, t): [9.0, t, len(n)] for n in ("ST-GS", "GR") for t in (0.1, 2.0)}
    panel = figures.trainings(losses)
    for tau in (2.0, 0.1):
        panel.controls["tau"].value = tau
        for name in ("ST-GS", "GR"):
            assert list(trace(panel.figure, name).y) == losses[name, tau]
    assert panel.caption == "τ = 0.1. Start: 9.0. After 2 steps: 5.0 with ST-GS, 2.0 with GR."
