"""Pictures of ideas: arrows end where their boxes begin, and nothing is cut off."""

import math
import re

import pytest

from gumbelrao_edu.figures import Arrow, Box, diagram


def boxes():
    return {
        "a": Box("a", 0, 0),
        "b": Box("a long text<br>of two lines", 3, 0),
        "c": Box("c<sub>τ</sub>", 3, 2),
    }


def test_an_arrow_ends_at_the_edge_of_its_box():
    figure = diagram(boxes(), [Arrow("a", "b"), Arrow("b", "c"), Arrow("a", "c")])
    across, up, aslant = (trace.marker.standoff[1] for trace in figure.data)
    wide, high = boxes()["b"].half
    assert across == pytest.approx(wide)
    assert up == pytest.approx(boxes()["c"].half[1])
    assert high > boxes()["c"].half[1]
    # From the middle to the edge is at most half a diagonal, and at least half a side.
    assert min(boxes()["c"].half) <= aslant <= math.hypot(*boxes()["c"].half)


def test_marks_are_no_letters():
    assert Box("<b>a</b><sub>τ</sub>", 0, 0).half == Box("aτ", 0, 0).half


def test_all_boxes_are_inside():
    figure = diagram(boxes(), [], height=300)
    for axis, pixels, half in ((figure.layout.xaxis, 680, 0), (figure.layout.yaxis, 280, 1)):
        low, high = axis.range
        for box in boxes().values():
            middle = (box.x, box.y)[half]
            at = (middle - low) / (high - low) * pixels
            assert box.half[half] - 1e-6 <= at <= pixels - box.half[half] + 1e-6


def test_the_boxes_lie_above_the_arrows():
    figure = diagram(boxes(), [Arrow("a", "b", "to")])
    texts = figure.layout.annotations
    assert [text.text for text in texts] == ["to", *(box.text for box in boxes().values())]
    assert all(text.bgcolor for text in texts)


def test_what_has_no_room_is_refused():
    tall = {"a": Box("<br>".join("12345"), 0, 0), "b": Box("x", 0, 1)}
    with pytest.raises(ValueError, match=r"height: expected more than (\d+) .* got 100") as told:
        diagram(tall, [], height=100)
    least = int(re.search(r"\d+", str(told.value))[0])
    diagram(tall, [], height=least + 1)
    with pytest.raises(ValueError, match=rf"height: expected more than {least}"):
        diagram(tall, [], height=least)
    with pytest.raises(ValueError, match=r"boxes: expected less than 680 pixels, got one of \d+"):
        diagram({"a": Box("x" * 200, 0, 0), "b": Box("x", 1, 0)}, [])
    with pytest.raises(ValueError, match="boxes: expected at least one, got none"):
        diagram({}, [])


def test_an_arrow_to_nowhere_is_refused():
    with pytest.raises(ValueError, match=r"arrows: expected names of .'a', 'b', 'c'., got .'d'."):
        diagram(boxes(), [Arrow("a", "d")])
