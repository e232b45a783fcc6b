"""The recorded states of a panel are what the panel shows, in whatever order it gets there."""

import itertools
import json
import math

import ipywidgets
import plotly.graph_objects as go
import pytest
import torch

from gumbelrao_edu.course.listops import figures as listops
from gumbelrao_edu.course.live import LiveTraining
from gumbelrao_edu.course.quadratic_programme import figures as programme
from gumbelrao_edu.figures import Panel, layout, slider, trace
from gumbelrao_edu.figures.positions import positions_of
from gumbelrao_edu.figures.record import record
from gumbelrao_edu.figures.rows import ST_GS
from gumbelrao_edu.training.loop import Training


def value_of(moved, state):
    """A property as the page puts it together."""
    value = moved["values"][moved["states"][state]]
    if "step" not in moved:
        return value
    last, numbers = 0, []
    for difference in value:
        last += difference or 0
        numbers.append(None if difference is None else last * moved["step"])
    width = moved["columns"]
    return [numbers[i : i + width] for i in range(0, len(numbers), width)]


def flat(value):
    if isinstance(value, list | tuple):
        return [x for each in value for x in flat(each)]
    return [value]


def agree(got, expected, step):
    got, expected = flat(got), flat(json.loads(json.dumps(expected)))
    assert len(got) == len(expected)
    numbers = [x for x in expected if isinstance(x, int | float)]
    spread = max(numbers) - min(numbers) if numbers else 0
    for a, b in zip(got, expected, strict=True):
        if isinstance(b, int | float):
            # A two-thousandth of the figure is less than half a pixel.
            assert a == pytest.approx(b, rel=5e-4, abs=max(spread / 2000, step) + 1e-12)
        else:
            assert a == b


@pytest.mark.parametrize("make", [lambda: programme.variances(rows=24), programme.paths])
def test_a_recorded_state_is_what_the_panel_shows(make):
    panel = make()
    recorded = json.loads(json.dumps(record(panel)))
    positions = [range(len(control["labels"])) for control in recorded["controls"]]
    states = list(itertools.product(*positions))
    assert len(states) == len(recorded["captions"]) > 20
    # Backwards, and every seventh: another order than that of the recording.
    for number in reversed(range(0, len(states), 7)):
        for control, index in zip(panel.controls.values(), states[number], strict=True):
            control.index = index
        assert recorded["texts"][recorded["captions"][number]] == panel.caption
        for moved in recorded["moved"]:
            part = panel.figure.data[moved["trace"]]
            agree(value_of(moved, number), part[moved["name"]], 0.6 * moved.get("step", 0))


def test_recording_leaves_the_panel_alone():
    panel = programme.paths(steps=5, runs=2)
    before = json.loads(panel.figure.to_json()), panel.caption
    record(panel)
    assert (json.loads(panel.figure.to_json()), panel.caption) == before


def test_a_property_set_for_the_first_time_later_is_what_it_was_before():
    def draw(figure, *, n):
        if n == 2:
            trace(figure, "line").y = [5, 6]
        return f"{n}"

    figure = go.Figure(go.Scatter(name="line", y=[1, 2]), layout("x", "y"))
    panel = Panel(figure, draw, n=slider("n", [1, 2], 1, tooltip="which"))
    (moved,) = record(panel)["moved"]
    assert [value_of(moved, state) for state in (0, 1)] == [[1, 2], [5, 6]]


def heat_of(grids, **scale):
    """What is recorded of a map that shows one grid after the other."""

    def draw(figure, *, n):
        trace(figure, "map").z = grids[n]
        return f"{n}"

    figure = go.Figure(go.Heatmap(name="map", **scale))
    (moved,) = record(Panel(figure, draw, n=slider("n", range(len(grids)), 0, tooltip="")))["moved"]
    return moved


def test_grids_of_several_widths_keep_their_rows():
    grids = [
        [[float(i * width + j) for j in range(width)] for i in range(900 // width)]
        for width in (30, 45)
    ]
    moved = heat_of(grids)
    assert "step" in heat_of([grids[0], grids[0][::-1]])
    assert [value_of(moved, state) for state in (0, 1)] == grids


def test_a_number_beyond_the_scale_of_colours_takes_no_steps_from_the_others():
    grid = [[1 + j / 60 for j in range(30)] for _ in range(30)]
    grid[0][0] = 1e6
    moved = heat_of([grid, grid[::-1]], zmin=0, zmax=3)
    assert moved["step"] <= 3 / 2000
    assert flat(value_of(moved, 0)) == pytest.approx(flat(grid), abs=0.01, rel=1e-6)


def test_numbers_that_are_close_together_keep_what_tells_them_apart():
    figure = go.Figure(go.Scatter(y=[1000.0001, 1000.0002, 1000.0004]))
    low, middle, high = record(Panel(figure, alt="close"))["figure"]["data"][0]["y"]
    assert (high - low) / (middle - low) == pytest.approx(3, rel=1e-2)


def test_infinite_and_missing_numbers_are_left_out():
    figure = go.Figure(go.Scatter(y=[1.0, math.nan, math.inf, 2.0]))
    assert record(Panel(figure, alt="gaps"))["figure"]["data"][0]["y"] == [1, None, None, 2]


def test_a_text_box_is_recorded_with_its_examples():
    recorded = record(listops.expressions())
    (control,) = recorded["controls"]
    assert control["kind"] == "choice"
    assert control["labels"][control["index"]] == "[MAX 2 9 [MIN 4 7 ] 0 ]"
    assert "= 9. It has" in recorded["texts"][0]
    assert recorded["texts"][-1].startswith("No tree: ")  # what a mistake looks like


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["ab", "cd"], (("ab", "ab"), ("cd", "cd"))),
        (["one", "two"], (("one", "one"), ("two", "two"))),
        ([("one", 1), ("two", 2)], (("one", 1), ("two", 2))),
        ([["one", 1], ["two", 2]], (("one", 1), ("two", 2))),
        ({"one": 1, "two": 2}, (("one", 1), ("two", 2))),
    ],
)
def test_a_choice_of_ipywidgets_is_labelled_by_its_options(options, expected):
    dropdown = ipywidgets.Dropdown(options=options)
    dropdown.index = 1
    positions = positions_of(dropdown)
    assert (positions.options, positions.start) == (expected, 1)


def test_a_control_without_positions_is_refused():
    box = ipywidgets.IntSlider(1, 0, 3, description="n")
    panel = Panel(go.Figure(layout=layout("x", "y")), lambda figure, *, n: str(n), n=box)
    with pytest.raises(TypeError, match="examples"):
        record(panel)


def test_a_training_is_recorded_step_by_step():
    model = torch.nn.Linear(1, 1)
    training = Training(
        model, lambda m, x: (m(x) - x).square().mean(), torch.ones(9, 1), batch_size=3,
        learning_rate=0.1,
    )  # fmt: skip
    live = LiveTraining({"SGD": training}, {"SGD": ST_GS})
    live.run(until=40, every=10)
    recorded = record(live)
    (control,) = recorded["controls"]
    assert (control["kind"], control["labels"]) == ("player", ["10", "20", "30", "40"])
    assert recorded["texts"][-1] == live.caption
    assert recorded["texts"][1].startswith("Step 20 of 40: ")
    x = next(moved for moved in recorded["moved"] if moved["name"] == "x")
    assert [value_of(x, state) for state in (0, 3)] == [[10], [10, 20, 30, 40]]
