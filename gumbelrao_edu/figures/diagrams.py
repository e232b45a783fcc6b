"""Pictures of ideas: boxes with texts, and arrows between them, as a plotly figure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from .style import FORWARD, LETTER, LINE, PAD, PAPER, ROW, Styled, arrow, frame, layout, line

_WIDTH = 700  # of the figure where its width is not known; it decides how steep arrows are
_MARGIN = 10
_LEAST = 640  # where there is less room, the whole picture gets smaller


@dataclass(frozen=True)
class Box:
    """A text at a place, with a frame around it.

    Args:
        text: as plotly takes it: ``<br>`` breaks a line, ``<b>``, ``<sub>`` and ``<sup>`` hold.
        x, y: of its middle, in any unit.
        look: of the frame; None leaves it out.
    """

    text: str
    x: float
    y: float
    look: Styled | None = FORWARD

    @property
    def half(self) -> tuple[float, float]:
        """Half of its width and of its height in pixels, about."""
        lines = [re.sub("<[^>]+>", "", row) for row in self.text.split("<br>")]
        return LETTER * max(map(len, lines)) / 2 + PAD, ROW * len(lines) / 2 + PAD


@dataclass(frozen=True)
class Arrow:
    """An arrow from one box to another.

    Args:
        start, end: names of the boxes.
        text: what stands at its middle, or above it if it is level.
        look: its colour and dash.
    """

    start: str
    end: str
    text: str = ""
    look: Styled = FORWARD


def diagram(boxes: Mapping[str, Box], arrows: Sequence[Arrow], *, height: int = 300) -> go.Figure:
    """Return a figure with boxes and arrows between them.

    Args:
        boxes: by the names that the arrows use.
        arrows: they end at the edges of the boxes.
        height: in pixels.

    Returns:
        A figure for `show` or a `Panel`, whose caption is the alternative text.

    Raises:
        ValueError: if an arrow names a box that is not there; if there is no box, or no room for
            the largest.

    Example:
        >>> boxes = {"x": Box("logits θ", 0, 0), "d": Box("choice D", 1, 0)}
        >>> figure = diagram(boxes, [Arrow("x", "d", "argmax")], height=100)
        >>> [text.text for text in figure.layout.annotations]
        ['argmax', 'logits θ', 'choice D']
    """
    for each in arrows:
        if missing := {each.start, each.end} - boxes.keys():
            raise ValueError(f"arrows: expected names of {[*boxes]}, got {sorted(missing)}")
    if not boxes:
        raise ValueError("boxes: expected at least one, got none")
    xs, ys = [box.x for box in boxes.values()], [box.y for box in boxes.values()]
    # Room for half a box at every edge.
    wide, high = (max(box.half[i] for box in boxes.values()) for i in (0, 1))
    ends = [{boxes[each.start].y, boxes[each.end].y} for each in arrows if each.text]
    top = _MARGIN + (ROW if {max(ys)} in ends else 0)  # for a text above a box
    inner = (_WIDTH - 2 * _MARGIN, height - top - _MARGIN)
    if inner[0] <= 2 * wide:
        raise ValueError(f"boxes: expected less than {inner[0]} pixels, got one of {2 * wide:.0f}")
    if inner[1] <= 2 * high:
        least = 2 * high + height - inner[1]
        raise ValueError(f"height: expected more than {least:.0f} for these boxes, got {height}")
    x_range, x_scale = _axis(xs, inner[0], wide)
    y_range, y_scale = _axis(ys, inner[1], high)

    def drawn(each: Arrow) -> go.Scatter:
        start, end = boxes[each.start], boxes[each.end]
        dx, dy = x_scale * (end.x - start.x), y_scale * (end.y - start.y)
        gap = _to_the_edge(dx, dy, *end.half)
        return go.Scatter(
            x=[start.x, end.x],
            y=[start.y, end.y],
            mode="lines+markers",
            line=line(each.look),  # its end is under the box
            marker={**arrow(LINE), "color": each.look.color, "standoff": [0, gap]},
            hoverinfo="skip",
        )

    def said(each: Arrow) -> dict[str, Any]:
        start, end = boxes[each.start], boxes[each.end]
        middle = {"x": (start.x + end.x) / 2, "y": (start.y + end.y) / 2}
        # Beside a level arrow it stands above the boxes, between which there is little room.
        level = start.y == end.y
        shift = max(start.half[1], end.half[1]) + ROW / 2 if level else 0
        return {"text": each.text, **middle, "yshift": shift, "bgcolor": PAPER}

    texts = [said(each) for each in arrows if each.text]
    texts += [
        {"text": box.text, "x": box.x, "y": box.y, **(frame(box.look) if box.look else {})}
        for box in boxes.values()
    ]
    hidden = {"visible": False, "fixedrange": True}
    figure = go.Figure([drawn(each) for each in arrows], layout("", "", height=height))
    figure.update_layout(
        annotations=[{**text, "showarrow": False} for text in texts],
        xaxis={**hidden, "range": x_range},
        yaxis={**hidden, "range": y_range},
        margin={"l": _MARGIN, "r": _MARGIN, "t": top, "b": _MARGIN},
        showlegend=False,
        meta={"least": _LEAST},
    )
    return figure


def _axis(at: Sequence[float], pixels: float, room: float) -> tuple[list[float], float]:
    """The range of an axis that leaves room at its ends, and its pixels for a unit."""
    low, high = min(at), max(at)
    if low == high:
        return [low - 1, high + 1], pixels / 2
    scale = (pixels - 2 * room) / (high - low)
    return [low - room / scale, high + room / scale], scale


def _to_the_edge(dx: float, dy: float, half_width: float, half_height: float) -> float:
    """How far the edge of a box is from its middle, in the direction (dx, dy)."""
    length = math.hypot(dx, dy)
    across = half_width * length / abs(dx) if dx else math.inf
    up = half_height * length / abs(dy) if dy else math.inf
    return min(across, up)
