"""The panel: what its controls, figure and caption do; what of a figure reaches the browser."""

import functools
import gc
import json
import math
import weakref

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
from IPython.core.formatters import DisplayFormatter
from plotly.offline import get_plotlyjs_version

from gumbelrao_edu.figures import Panel, layout, show, shown, slider, trace
from gumbelrao_edu.figures.panel import WIDGET

COLAB = int(ipywidgets.__version__.split(".")[0]) < 8


def counting(figure, *, x):
    if x == 3:
        raise ArithmeticError("three is < too much")
    trace(figure, "line").y = [x]
    return f"The line is at {x}."


@pytest.fixture
def small():
    control = slider("x", [1, 2, 3], 1, tooltip="the height")
    return Panel(go.Figure(go.Scatter(name="line", x=[0]), layout("a", "b")), counting, x=control)


def test_panel_draws_at_once_and_at_every_move(small):
    assert (trace(small.figure, "line").y, small.caption) == ((1,), "The line is at 1.")
    small.controls["x"].index = 1
    assert (trace(small.figure, "line").y, small.caption) == ((2,), "The line is at 2.")
    assert json.loads(small.plot._moved) == {"0": {"y": [2]}}


def test_an_error_is_shown_kept_and_raised(small):
    with pytest.raises(ArithmeticError):
        small.controls["x"].value = 3
    assert "ArithmeticError: three is < too much" in small.plot.error
    assert "counting" in small.errors[0]
    small.controls["x"].value = 2
    assert small.plot.error == ""
    assert len(small.errors) == 1


def test_panel_is_displayed_with_what_stands_for_it_elsewhere(small):
    small.controls["x"].index = 1
    bundle, metadata = DisplayFormatter().format(small)
    assert bundle["text/plain"] == "The line is at 2."
    assert "x: <b>2</b>" in bundle["text/html"]
    assert "The line is at 2.</figcaption>" in bundle["text/html"]
    assert bundle[WIDGET]["model_id"] == small.model_id
    assert metadata == {"gumbelrao_edu": {"panel": small.model_id}}
    assert shown()[small.model_id] is small


@pytest.mark.skipif(COLAB, reason="ipywidgets 7 sends nothing without a kernel")
def test_a_move_is_one_message_with_what_has_changed(small, monkeypatch):
    sent = []
    monkeypatch.setattr(small.plot, "send_state", lambda keys: sent.append(set(keys)))
    small.controls["x"].value = 2
    assert sent == [{"_moved", "caption", "_still"}]
    assert small.plot._moved == '{"0": {"y": [2]}}'


def as_shown(panel):
    """What the browser makes of the two JSON texts."""
    figure, moved = json.loads(panel.plot._figure), json.loads(panel.plot._moved)
    for key, properties in moved.items():
        (figure["layout"] if key == "layout" else figure["data"][int(key)]).update(properties)
    return figure


def test_changes_of_every_kind_are_shown():
    lines = [go.Scatter(name="a", x=[0, 1], y=[2, 3]), go.Scatter(name="b", x=[4, 5])]
    figure = go.Figure([*lines, go.Bar(name="c", y=[6])])
    panel = Panel(figure.update_layout(layout("a", "b")), alt="Three traces.")
    with panel.update():
        trace(panel.figure, "a").y = [7, 8]
        trace(panel.figure, "b").x = [9, 10]
        trace(panel.figure, "b").marker.color = ["red", "blue"]
        panel.figure.layout.xaxis.range = [0, 20]
        panel.figure.layout.shapes = [{"type": "line"}]
        panel.figure.layout.shapes[0].x1 = 3
        panel.figure.update_traces(opacity=0.5, selector={"type": "bar"})
        with panel.figure.batch_update():
            trace(panel.figure, "c").y = [11]
            panel.figure.layout.yaxis.title.text = "c"
    assert as_shown(panel) == json.loads(panel.figure.to_json())
    assert as_shown(panel)["data"][0]["y"] == [7, 8]
    assert set(json.loads(panel.plot._moved)["1"]) == {"x", "marker"}


def test_figures_share_one_plotly_js(small):
    library = small.plot._library
    assert library is Panel(go.Figure(), alt="Nothing yet.").plot._library
    assert f"plotly.js v{get_plotlyjs_version()}" in library.source[:200]
    assert small.plot.get_state(["_library"])["_library"] == f"IPY_MODEL_{library.model_id}"


def test_panel_without_draw_is_changed_from_outside():
    line = go.Scatter(name="line", x=[0, 1])
    panel = Panel(go.Figure(line, layout("a", "b")), alt="Nothing yet.")
    with panel.update():
        trace(panel.figure, "line").y = [1, 2]
    panel.say("Two points.")
    assert as_shown(panel)["data"][0]["y"] == [1, 2]
    assert panel.caption == "Two points."


# --- What `draw` may change -----------------------------------------------------------------------


def set_layout(figure):
    """A whole new layout, without the title and the shapes of the old one."""
    figure.layout = {"height": 99, "xaxis": {"title": {"text": "c"}}}


def change_inside(figure):
    trace(figure, "map").z[1][0] = 7.0


def overwrite(figure):
    trace(figure, "line").update({"marker": {"size": 3}}, overwrite=True)
    figure.update_layout({"title": {"text": "t"}}, overwrite=True)


def unset(figure):
    trace(figure, "line").y = None
    figure.layout.title = None


CHANGES = [
    set_layout,
    change_inside,
    overwrite,
    unset,
    lambda figure: figure.add_hline(1),
    lambda figure: figure.add_annotation(text="here"),
    lambda figure: figure.plotly_restyle({"y": [[5, 6]]}, 0),
    lambda figure: figure.plotly_update({"opacity": 0.5}, {"width": 300}, [0, 1]),
    lambda figure: figure.update(data=[{"y": [8, 9]}], layout={"height": 100}),
    lambda figure: figure.for_each_trace(lambda each: each.update(visible=False)),
    lambda figure: figure.update_xaxes(type="log"),
]


def two_traces():
    title = layout("a", "b", title="old") | {"shapes": [{"type": "line"}]}
    line = go.Scatter(name="line", y=[1, 2], marker={"color": "red"})
    return go.Figure([line, go.Heatmap(name="map", z=[[1.0, 2.0], [3.0, 4.0]])], title)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_draw_changes_is_shown(change):
    panel = Panel(two_traces(), alt="Two traces.")
    before = as_shown(panel)
    with panel.update():
        change(panel.figure)
    seen, wanted = as_shown(panel), json.loads(panel.figure.to_json())
    assert seen != before
    # What is no longer there is sent as nothing.
    for part, whole in zip(
        [seen["layout"], *seen["data"]], [wanted["layout"], *wanted["data"]], strict=True
    ):
        assert {k: v for k, v in part.items() if v or k in whole} == whole


def test_a_change_inside_of_an_array_or_of_a_table_is_shown():
    bars = go.Bar(name="bars", y=np.array([1.0, 2.0]), error_y={"array": np.array([0.1, 0.2])})
    table = go.Table(name="table", cells={"values": [["a", "b"], ["c", "d"]]})
    panel = Panel(go.Figure([bars, table], layout("a", "b")), alt="Two bars and a table.")
    assert json.loads(panel.plot._moved) == {}
    with panel.update():
        trace(panel.figure, "bars").y[0] = 7.0
        trace(panel.figure, "table").cells.values[0][1] = "changed"
    moved = json.loads(panel.plot._moved)
    assert moved["0"] == {"y": [7.0, 2.0]}
    assert moved["1"]["cells"]["values"] == [["a", "changed"], ["c", "d"]]


def test_a_panel_that_fails_at_its_start_is_closed_without_a_word():
    def draw(figure, *, x):
        raise ArithmeticError("at once")

    control = slider("x", [1, 2], 1, tooltip="the height")
    panel = Panel.__new__(Panel)
    with pytest.raises(ArithmeticError, match="at once"):
        panel.__init__(go.Figure(), draw, x=control)
    panel.close()
    assert panel not in shown().values()


TRACE = {"type": "scatter", "y": [1]}
REFUSED = {
    "add_trace": (lambda figure: figure.add_trace(TRACE), "a trace was added. A panel has"),
    "add_scatter": (lambda figure: figure.add_scatter(y=[1]), "a trace was added. A panel has"),
    "update": (lambda figure: figure.update(data=[TRACE], overwrite=True), "traces were removed"),
    "remove": (lambda figure: setattr(figure, "data", figure.data[:1]), "traces were removed"),
    "move": (lambda figure: setattr(figure, "data", figure.data[::-1]), "traces were removed"),
    "none": (lambda figure: setattr(figure, "data", None), "traces were removed"),
    "frames": (lambda figure: setattr(figure, "frames", [{"data": [TRACE]}]), "frames: a panel"),
}


@pytest.mark.parametrize(("change", "said"), REFUSED.values(), ids=REFUSED)
def test_what_the_browser_is_not_sent_is_refused(change, said):
    def draw(figure, *, x):
        if x == 2:
            change(figure)
        trace(figure, "line").y = [x, x]
        return f"At {x}."

    panel = Panel(two_traces(), draw, x=slider("x", [1, 2, 3], 1, tooltip="the height"))
    with pytest.raises(ValueError, match=said):
        panel.controls["x"].value = 2
    assert said in panel.plot.error
    assert (len(panel.figure.data), len(panel.figure.frames)) == (2, 0)
    panel.controls["x"].value = 3  # goes on
    assert panel.plot.error == ""
    assert as_shown(panel)["data"][0]["y"] == [3, 3]


def test_a_trace_is_found_by_its_name():
    figure = two_traces().add_trace(go.Scatter(name="line", mode="markers"))
    assert trace(figure, "map") is figure.data[1]
    assert trace(figure, "line", mode="markers") is figure.data[2]
    with pytest.raises(ValueError, match=r"expected one trace with {'name': 'line'}, got 2 of"):
        trace(figure, "line")
    with pytest.raises(ValueError, match=r"expected one trace with {'name': 'dot'}, got 0 of"):
        trace(figure, "dot")


# --- Closed panels --------------------------------------------------------------------------------


def displayed(control, draw=counting):
    panel = Panel(go.Figure(go.Scatter(name="line", x=[0]), layout("a", "b")), draw, x=control)
    DisplayFormatter().format(panel)
    return panel


@pytest.mark.skipif(COLAB, reason="ipywidgets 7 keeps nothing without a kernel")
def test_closed_panels_are_forgotten():
    def held(figure, *, x, big):
        return counting(figure, x=x)

    gone = []
    for _ in range(20):
        big = go.Figure()  # stands for what a `draw` keeps
        panel = displayed(slider("x", [1, 2], 1, tooltip="t"), functools.partial(held, big=big))
        gone += [weakref.ref(each) for each in (panel, panel.plot, panel.figure, big)]
        panel.close()
        panel.close()  # has no effect
        assert panel not in shown().values()
    del panel, big
    gc.collect()
    assert [ref for ref in gone if ref() is not None] == []


@pytest.mark.skipif(COLAB, reason="ipywidgets 7 keeps nothing without a kernel")
def test_a_panel_that_only_the_browser_has_still_answers():
    panel = displayed(slider("x", [1, 2], 1, tooltip="t"))
    id, control_id = panel.model_id, panel.controls["x"].model_id
    del panel
    gc.collect()
    control = ipywidgets.widgets.widget._instances[control_id]
    control.set_state({"index": 1})  # what a message of the browser does
    assert shown()[id].caption == "The line is at 2."
    shown()[id].close()


@pytest.mark.skipif(COLAB, reason="ipywidgets 7 keeps nothing without a kernel")
def test_a_control_of_two_panels_outlives_the_first():
    control = slider("x", [1, 2], 1, tooltip="t")
    first, second = displayed(control), displayed(control)
    first.close()
    control.value = 2
    assert (first.caption, second.caption) == ("The line is at 1.", "The line is at 2.")
    second.close()
    assert control.comm is None


# --- Slider, figures that do not move, layout -----------------------------------------------------


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


def test_show_displays_a_panel_without_controls(monkeypatch):
    displayed = []
    monkeypatch.setattr("gumbelrao_edu.figures.panel.display", displayed.append)
    show(go.Figure(go.Scatter(y=[1, 2]), layout("step", "loss")), "Two points, <rising>.")
    bundle, _ = DisplayFormatter().format(displayed[0])
    assert bundle["text/plain"] == "Two points, <rising>."
    assert "&lt;rising&gt;" in bundle["text/html"]
    assert shown()[displayed[0].model_id].figure.data[0].y == (1, 2)


def test_layout_labels_the_axes_and_sets_the_height():
    figure = go.Figure(layout=layout("step", "loss", title="Training", height=300))
    assert figure.layout.xaxis.title.text == "step"
    assert figure.layout.yaxis.title.text == "loss"
    assert (figure.layout.title.text, figure.layout.height) == ("Training", 300)


def test_captions_are_read_off_and_the_sliders_put_back(small):
    small.controls["x"].value = 2
    said = small.captions(x=[1, 2])
    assert said == ["The sentence under the figure:\nThe line is at 1.", "The line is at 2."]
    assert repr(said) == "\n\n".join(said)
    assert small.controls["x"].value == 2
    with pytest.raises(ArithmeticError, match="too much"):
        small.captions(x=[1, 3])
    assert small.controls["x"].value == 2
    with pytest.raises(ValueError, match=r"names of \['x'\], got \['y'\]"):
        small.captions(y=[1])
    with pytest.raises(ValueError, match="x: expected at least one position, got none"):
        small.captions(x=[])
    with pytest.raises(TypeError, match="x: expected several positions, got 1"):
        small.captions(x=1)


def test_a_long_caption_breaks_between_words():
    panel = Panel(
        go.Figure(),
        lambda figure, *, x: "several words " * 20,
        x=slider("x", [1, 2], 1, tooltip="no effect"),
    )
    (said,) = panel.captions(x=[1])
    lines = said.splitlines()[1:]
    assert len(lines) > 2
    assert all(len(line) <= 90 and line.split()[0] in ("several", "words") for line in lines)
