"""All states of a panel, computed beforehand: with them a page needs no kernel."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import plotly.graph_objects as go
from plotly.utils import PlotlyJSONEncoder

from .panel import Panel
from .plot import Figure

_LARGE = 400  # numbers of a grid
_LEVELS = 2000  # of a scale of colours, more than there are
_DIGITS = 4  # of a number that is drawn: its place is right to a part of a pixel


def record(panel: Panel) -> dict[str, Any]:
    """Return the figure of a panel and what moves in it, for all positions of its controls.

    Args:
        panel: stays as it is; `Panel.frames` says what is drawn.

    Returns:
        A dictionary that JSON can hold. ``figure`` is the figure at first, ``controls`` the
        positions of the controls. The states follow each other as the positions of the last control
        do, then those of the one before: ``captions`` holds the index of each state's caption in
        ``texts``. ``moved`` has an entry for each property that moves: the index of its ``trace``
        or "layout", its ``name``, and the index of each state's value in ``values``. With ``step``
        and ``columns``, a value is a grid of this width: whole steps from one number to the next.

    Example:
        >>> from gumbelrao_edu.figures import layout, slider, trace
        >>> def draw(figure, *, power):
        ...     trace(figure, "line").y = [x**power for x in range(4)]
        ...     return f"x to the power {power}"
        >>> figure = go.Figure(go.Scatter(name="line", x=[0, 1, 2, 3]), layout("x", "y"))
        >>> panel = Panel(figure, draw, power=slider("power", [1, 2], 1, tooltip="of x"))
        >>> recorded = record(panel)
        >>> recorded["moved"]
        [{'trace': 0, 'name': 'y', 'values': [[0, 1, 2, 3], [0, 1, 4, 9]], 'states': [0, 1]}]
        >>> recorded["texts"], recorded["captions"]
        (['x to the power 1', 'x to the power 2'], [0, 1])
    """
    positions, draw = panel.frames()
    figure = Figure(go.Figure(panel.figure))
    first = _plain(panel.figure.to_plotly_json())
    captions, states = [], []
    for chosen in product(*(each.options for each in positions.values())):
        values = {name: value for name, (_, value) in zip(positions, chosen, strict=True)}
        captions.append(draw(figure, **values) if draw else panel.caption)
        states.append(_plain(figure.moved_properties()) if draw else {})
    # A property that is set for the first time in a later state is what it was before that.
    names = {(key, name) for state in states for key, part in state.items() for name in part}
    moved = []
    for key, name in sorted(names):
        whole = first["layout"] if key == "layout" else first["data"][int(key)]
        colours = _colours([whole | state.get(key, {}) for state in states])
        was = whole.pop(name, None)
        series = [state.get(key, {}).get(name, was) for state in states]
        pool, indices = _pool(series)
        part = "layout" if key == "layout" else int(key)
        entry = {"trace": part, "name": name, "values": pool, "states": indices}
        moved.append(entry | _steps(pool, colours))
    texts, at = _pool(captions)
    controls = [
        {
            "kind": each.kind,
            "name": each.name,
            "tooltip": each.tooltip,
            "labels": [text for text, _ in each.options],
            "index": each.start,
        }
        for each in positions.values()
    ]
    return {"figure": first, "controls": controls, "texts": texts, "captions": at, "moved": moved}


def _colours(states: list[dict[str, Any]]) -> float:
    """The narrowest scale of colours of a trace: farther out all numbers look the same.

    >>> _colours([{"zmin": 0, "zmax": 4}, {"zmin": 1, "zmax": 2}, {}])
    1
    """
    given = [s for s in states if s.get("zmin") is not None and s.get("zmax") is not None]
    widths = (state["zmax"] - state["zmin"] for state in given)
    return min((width for width in widths if width > 0), default=math.inf)


def _steps(values: list[Any], colours: float = math.inf) -> dict[str, Any]:
    """Large grids as whole multiples of ``step``, each less the one before: a third of the bytes.

    All rows are of one width, which the page needs to cut them apart. A step is small beside both
    the spread of the numbers and the width of the scale of `colours`.

    >>> _steps([[[0.5, 0.6, None, 0.4] * 200]])["values"][0][:5]
    [5000, 1000, None, -2000, 1000]
    """
    numbers = [x for x in _flat(values) if isinstance(x, int | float)]
    grids = all(isinstance(value, list) for value in values)
    rows = [row for grid in values for row in grid] if grids else []
    widths = {len(row) if isinstance(row, list) else 0 for row in rows}  # 0: no row
    if any(_nested(x) for row in rows if isinstance(row, list) for x in row):
        return {}
    if (
        len(widths) != 1
        or 0 in widths
        or len(numbers) < _LARGE
        or not all(map(math.isfinite, numbers))
    ):
        return {}
    spread = min(max(numbers) - min(numbers), colours) or 1.0
    step = 10.0 ** math.floor(math.log10(spread / _LEVELS))
    steps = []
    for grid in values:
        last, differences = 0, []
        for x in _flat(grid):
            whole = None if x is None else round(x / step)
            differences.append(None if whole is None else whole - last)
            last = last if whole is None else whole
        steps.append(differences)
    return {"values": steps, "step": step, "columns": widths.pop()}


def _pool(series: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The different values of a series, and the index of each among them."""
    known: dict[str, int] = {}
    at = [known.setdefault(json.dumps(value), len(known)) for value in series]
    return [json.loads(text) for text in known], at


def _plain(part: Any) -> Any:
    """What JSON makes of a part of a figure, its numbers rounded to what a screen shows."""
    return _rounded(json.loads(json.dumps(part, cls=PlotlyJSONEncoder)))


def _rounded(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _rounded(value) for name, value in part.items()}
    if not isinstance(part, list):
        return part
    numbers = [x for x in _flat(part) if isinstance(x, float) and math.isfinite(x)]
    if not numbers:
        return [_rounded(each) for each in part] if any(map(_nested, part)) else part
    largest, spread = max(map(abs, numbers)), max(numbers) - min(numbers)
    # Numbers that lie close together need more digits.
    more = int(math.log10(largest / spread)) if spread and largest else 0
    return _each(part, lambda x: float(f"{x:.{_DIGITS + more}g}"))


def _nested(part: Any) -> bool:
    return isinstance(part, dict | list)


def _flat(part: Any) -> list[Any]:
    return [x for each in part for x in _flat(each)] if isinstance(part, list) else [part]


def _each(part: Any, function: Callable[[float], float]) -> Any:
    if isinstance(part, list):
        return [_each(each, function) for each in part]
    if isinstance(part, dict):
        return _rounded(part)
    if not isinstance(part, float):
        return part
    rounded = function(part)
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
