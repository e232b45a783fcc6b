"""Sliders are moved through their traits; what the traces show is computed a second time."""

import json
import math

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from plotly.offline import get_plotlyjs_version

from gumbelrao_edu import st_gumbel_softmax
from gumbelrao_edu.course.gumbel_rao import figures as estimates
from gumbelrao_edu.figures import Panel, layout, show, slider
from gumbelrao_edu.figures.panel import PLOTLY, SHOWN, WIDGET

COLAB = int(ipywidgets.__version__.split(".")[0]) < 8
LOGITS = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64)
TARGET = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)


def f(d):
    return (d - TARGET).square().sum(-1)


# --- The histogram of gradient estimates ----------------------------------------------------------


@pytest.fixture(scope="module")
def panel():
    return estimates.histogram(f, LOGITS)


@pytest.fixture(scope="module")
def draws():
    return estimates.Draws(f, LOGITS, generator=torch.Generator().manual_seed(0))


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


@pytest.mark.parametrize("tau", estimates.TAUS)
def test_histogram_follows_tau_and_k(panel, draws, tau):
    expected = by_equation_9(draws, tau)[..., 0]
    panel.controls["tau"].value = tau
    for k in estimates.KS[:-1]:
        panel.controls["k"].value = k
        st_gs, gr = panel.figure.data[:2]
        half = st_gs.width / 2
        edges = np.append(np.array(st_gs.x) - half, st_gs.x[-1] + half)
        # A value on the edge of a bin may fall to either side.
        one = 100 / len(draws.index)
        assert np.abs(np.array(st_gs.y) - percent(expected[0], edges)).max() <= one + 1e-9
        assert np.abs(np.array(gr.y) - percent(expected[:k].mean(0), edges)).max() <= one + 1e-9
        assert sum(st_gs.y) == pytest.approx(100)
        ratio = expected[:k].mean(0).std() / expected[0].std()
        assert f"which is {ratio:.2f} times" in panel.caption
    assert panel.errors == []


def test_infinite_k_leaves_one_value_for_each_class(panel, draws):
    panel.controls["tau"].value, panel.controls["k"].value = 0.2, math.inf
    heights = [y for y in panel.figure.data[1].y if y > 0]
    counts = 100 * torch.bincount(draws.index) / len(draws.index)
    assert sorted(heights) == pytest.approx(sorted(counts.tolist()))
    assert "K = ∞" in panel.caption


def test_lines_are_the_exact_gradient_and_the_mean(panel):
    theta = LOGITS.clone().requires_grad_()
    (theta.softmax(0) @ f(torch.eye(3))).backward()
    generator = torch.Generator().manual_seed(1)
    for tau in (0.1, 0.5, 2.0):
        panel.controls["tau"].value = tau
        exact, mean = panel.figure.data[2:]
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
    return estimates.arrows(f, LOGITS)


@pytest.fixture(scope="module")
def few():
    return estimates.Draws(f, LOGITS, num_samples=60, generator=torch.Generator().manual_seed(0))


def tips(trace):
    """Where the lines of a trace end, [lines, 2]; each begins at the origin."""
    assert set(trace.x[::3]) | set(trace.y[::3]) == {0.0}
    assert set(trace.x[2::3]) | set(trace.y[2::3]) == {None}
    return np.array([trace.x[1::3], trace.y[1::3]]).T


def on_the_plane(vectors):
    """Class 1 is at the top and the others follow at -120° each, as (θ1, θ2, θ3) sum to zero."""
    angles = np.deg2rad([90, 210, 330])
    corners = np.stack([np.cos(angles), np.sin(angles)], 1)  # at the distance 1
    return vectors @ corners * math.sqrt(2 / 3)


@pytest.mark.parametrize("tau", estimates.TAUS)
def test_arrows_follow_tau_and_k(arrows, few, tau):
    expected = by_equation_9(few, tau)
    arrows.controls["tau"].value = tau
    for k in estimates.KS[:-1]:
        arrows.controls["k"].value = k
        gr = expected[:k].mean(0)
        for lines, vectors in ((1, expected[0]), (6, gr)):
            at = on_the_plane(vectors)
            assert np.allclose(tips(arrows.figure.data[lines]), at, atol=1e-9)
            discs = arrows.figure.data[lines + 1]
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
    flat = np.array(estimates._from_origin(torch.tensor(vectors)), dtype=float).T[1::3]
    assert np.allclose(flat @ flat.T, vectors @ vectors.T)


def test_infinite_k_leaves_three_arrows_whose_mean_is_the_thick_one(arrows):
    for tau in (0.1, 0.5, 2.0):
        arrows.controls["tau"].value, arrows.controls["k"].value = tau, math.inf
        left = np.unique(tips(arrows.figure.data[6]).round(12), axis=0)
        assert len(left) == 3
        first, *others = left[np.argsort(-left[:, 1])]  # class 1 is at the top
        order = [first, *sorted(others, key=lambda v: v[0])]  # class 2 at the left
        mean = LOGITS.softmax(0).numpy() @ np.array(order)
        assert np.allclose(tips(arrows.figure.data[3])[0], mean)
        assert np.allclose(tips(arrows.figure.data[8])[0], mean)
        assert np.abs(left).max() < arrows.figure.layout.xaxis.range[1]


def test_the_black_arrows_are_the_exact_gradient(arrows):
    theta = LOGITS.clone().requires_grad_()
    (theta.softmax(0) @ f(torch.eye(3))).backward()
    for trace in (arrows.figure.data[4], arrows.figure.data[9]):
        assert trace.name == "exact gradient"
        assert np.allclose(tips(trace)[0], on_the_plane(theta.grad.numpy()))
    assert f"has the length {theta.grad.norm():.2f}, " in arrows.caption


def test_both_sides_have_one_scale(arrows):
    axes = [arrows.figure.layout[name] for name in ("xaxis", "yaxis", "xaxis2", "yaxis2")]
    assert len({tuple(axis.range) for axis in axes}) == 1
    assert (axes[1].scaleanchor, axes[3].scaleanchor) == ("x", "x2")


def test_arrows_need_three_classes():
    with pytest.raises(ValueError, match=r"logits: expected the shape \(3,\), got \(4,\)"):
        estimates.arrows(lambda d: d[..., 0], torch.zeros(4))


# --- The panel ------------------------------------------------------------------------------------


def counting(figure, *, x):
    if x == 3:
        raise ArithmeticError("three is < too much")
    figure.data[0].y = [x]
    return f"The line is at {x}."


@pytest.fixture
def small():
    control = slider("x", [1, 2, 3], 1, tooltip="the height")
    return Panel(go.Figure(go.Scatter(x=[0]), layout("a", "b")), counting, x=control)


def test_panel_draws_at_once_and_at_every_move(small):
    assert (small.figure.data[0].y, small.caption) == ((1,), "The line is at 1.")
    small.controls["x"].index = 1
    assert (small.figure.data[0].y, small.caption) == ((2,), "The line is at 2.")
    assert json.loads(small.plot._moved) == {"0": {"y": [2]}}


def test_an_error_is_shown_kept_and_raised(small):
    with pytest.raises(ArithmeticError):
        small.controls["x"].value = 3
    assert "ArithmeticError: three is < too much" in small.plot.error
    assert "counting" in small.errors[0]
    small.controls["x"].value = 2
    assert small.plot.error == ""
    assert len(small.errors) == 1


def test_panel_is_displayed_with_its_caption(small):
    bundle, _ = DisplayFormatter().format(small)
    assert bundle["text/plain"] == "The line is at 1."
    assert bundle[WIDGET]["model_id"] == small.model_id
    assert SHOWN[small.model_id] is small


@pytest.mark.skipif(COLAB, reason="ipywidgets 7 sends nothing without a kernel")
def test_a_move_is_one_message_with_what_has_changed(small, monkeypatch):
    sent = []
    monkeypatch.setattr(small.plot, "send_state", lambda keys: sent.append(set(keys)))
    small.controls["x"].value = 2
    assert sent == [{"_moved", "caption"}]
    assert small.plot._moved == '{"0": {"y": [2]}}'


def as_shown(panel):
    """What the browser makes of the two JSON texts."""
    figure, moved = json.loads(panel.plot._figure), json.loads(panel.plot._moved)
    for key, properties in moved.items():
        (figure["layout"] if key == "layout" else figure["data"][int(key)]).update(properties)
    return figure


def test_changes_of_every_kind_are_shown():
    figure = go.Figure([go.Scatter(x=[0, 1], y=[2, 3]), go.Scatter(x=[4, 5]), go.Bar(y=[6])])
    panel = Panel(figure.update_layout(layout("a", "b")), alt="Three traces.")
    with panel.update():
        panel.figure.data[0].y = [7, 8]
        panel.figure.data[1].x = [9, 10]
        panel.figure.data[1].marker.color = ["red", "blue"]
        panel.figure.layout.xaxis.range = [0, 20]
        panel.figure.layout.shapes = [{"type": "line"}]
        panel.figure.layout.shapes[0].x1 = 3
        panel.figure.update_traces(opacity=0.5, selector={"type": "bar"})
        with panel.figure.batch_update():
            panel.figure.data[2].y = [11]
            panel.figure.layout.yaxis.title.text = "c"
    assert as_shown(panel) == json.loads(panel.figure.to_json())
    assert as_shown(panel)["data"][0] == {"type": "scatter", "x": [0, 1], "y": [7, 8]}
    assert set(json.loads(panel.plot._moved)["1"]) == {"x", "marker"}


def test_figures_share_one_plotly_js(small, panel):
    library = small.plot._library
    assert library is panel.plot._library
    assert f"plotly.js v{get_plotlyjs_version()}" in library.source[:200]
    assert small.plot.get_state(["_library"])["_library"] == f"IPY_MODEL_{library.model_id}"


def test_panel_without_draw_is_changed_from_outside():
    panel = Panel(go.Figure(go.Scatter(x=[0, 1]), layout("a", "b")), alt="Nothing yet.")
    with panel.update():
        panel.figure.data[0].y = [1, 2]
    panel.say("Two points.")
    assert as_shown(panel)["data"][0]["y"] == [1, 2]
    assert panel.caption == "Two points."


def test_slider_sends_texts_and_a_number():
    control = slider("K", [1, 10, math.inf], 10, tooltip="inner samples")
    sent = control.get_state(["description", "tooltip", "_labels", "index"])
    assert sent == {
        "description": "K",
        "tooltip": "inner samples",
        "_labels": ["1", "10", "∞"],
        "index": 1,
    }
    assert (control.value, control.label) == (10, "10")


def test_slider_moves_from_both_sides_and_says_so_once():
    control = slider("K", [1, 10, math.inf], 10, tooltip="inner samples")
    seen = []
    control.observe(lambda change: seen.append((change["new"], control.index)), names="value")
    control.value = math.inf
    control.index = 0
    control.set_state({"index": 1})  # what a message of the browser does
    assert seen == [(math.inf, 2), (1, 0), (10, 1)]


@pytest.mark.parametrize("value", [3, None, "10"])
def test_slider_refuses_a_value_without_a_position(value):
    message = rf"K: expected one of \[1, 10, inf\], got {value!r}"
    with pytest.raises(ValueError, match=message):
        slider("K", [1, 10, math.inf], value, tooltip="inner samples")
    control = slider("K", [1, 10, math.inf], 10, tooltip="inner samples")
    with pytest.raises(ValueError, match=message):
        control.value = value
    assert (control.value, control.index) == (10, 1)


@pytest.mark.parametrize("index", [-1, 3])
def test_slider_refuses_an_index_without_a_position(index):
    control = slider("K", [1, 10, math.inf], 10, tooltip="inner samples")
    with pytest.raises(ValueError, match=f"K: expected an index from 0 to 2, got {index}"):
        control.index = index
    assert (control.value, control.index) == (10, 1)


def test_slider_needs_positions():
    with pytest.raises(ValueError, match="options: expected at least one position, got none"):
        slider("K", [], 10, tooltip="inner samples")


def test_show_sends_the_figure_and_its_alternative_text(capsys):
    show(go.Figure(go.Scatter(y=[1, 2]), layout("step", "loss")), "Two points, <rising>.")
    printed = capsys.readouterr().out  # outside of IPython `display` prints
    assert PLOTLY in printed
    assert "&lt;rising&gt;" in printed
    assert "<script" not in printed


def test_layout_labels_the_axes_and_sets_the_height():
    figure = go.Figure(layout=layout("step", "loss", title="Training", height=300))
    assert figure.layout.xaxis.title.text == "step"
    assert figure.layout.yaxis.title.text == "loss"
    assert (figure.layout.title.text, figure.layout.height) == ("Training", 300)
