"""The traces of figures in the course's style, and how to find one again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from .style import CLEAR, INK, LINE, POINT, SIGNS, Styled, error_bars, line, marker


def trace(figure: go.Figure, name: str, **properties: Any) -> Any:
    """Return the trace of a figure that has this name.

    Args:
        figure: whose traces are looked through.
        name: as the legend has it.
        **properties: tell apart traces of the same name, as in ``xaxis="x2"`` or ``mode="lines"``.

    Raises:
        ValueError: if there is no such trace, or more than one.

    Example:
        >>> figure = go.Figure([go.Scatter(name="one"), go.Scatter(name="two", y=[3])])
        >>> trace(figure, "two").y
        (3,)
    """
    wanted = {"name": name, **properties}
    found = list(figure.select_traces(wanted))
    if len(found) != 1:
        names = [each.name for each in figure.data]
        raise ValueError(f"name: expected one trace with {wanted}, got {len(found)} of {names}")
    return found[0]


def curve(
    name: str,
    look: Styled,
    x: Sequence[Any] = (),
    y: Sequence[Any] = (),
    *,
    width: float = LINE,
    **options: Any,
) -> go.Scatter:
    """Return a line.

    Args:
        name: for the legend, and for `trace`.
        look: its colour and dash.
        x, y: its points; may be given later.
        width: in pixels.
        **options: more properties of plotly's `Scatter`; with ``mode="lines+markers"`` it has
            markers, too.

    Example:
        >>> from gumbelrao_edu.figures.rows import ST_GS
        >>> curve("ST-GS", ST_GS, [1, 2], [3, 4]).line.color
        '#C85000'
    """
    mode = options.pop("mode", "lines")
    if "markers" in mode:
        options = {"marker": marker(look), **options}
    data = {"x": list(x), "y": list(y)}
    return go.Scatter(name=name, mode=mode, line=line(look, width), **data, **options)


def points(
    name: str,
    look: Styled,
    x: Sequence[Any] = (),
    y: Sequence[float] = (),
    errors: Sequence[float] | None = None,
    *,
    size: float = POINT,
    **options: Any,
) -> go.Scatter:
    """Return points.

    Args:
        name: for the legend, and for `trace`.
        look: their colour and symbol.
        x, y: where they are; may be given later.
        errors: standard errors of y; error bars are two of them long, up and down.
        size: of a marker, in pixels.
        **options: more properties of plotly's `Scatter`.

    Example:
        >>> from gumbelrao_edu.figures.style import MEASURED
        >>> points("measured", MEASURED, [1], [3], [0.5]).error_y.array
        (1.0,)
    """
    if errors is not None:
        options["error_y"] = error_bars(errors)
    style = {"mode": "markers", "marker": marker(look, size)}
    return go.Scatter(name=name, x=list(x), y=list(y), **{**style, **options})


def bars(name: str, look: Styled, *, opacity: float = CLEAR, **options: Any) -> go.Bar:
    """Return the bars of a histogram.

    Args:
        name: for the legend, and for `trace`.
        look: their colour.
        opacity: less than 1 where histograms overlap.
        **options: more properties of plotly's `Bar`.

    Example:
        >>> from gumbelrao_edu.figures.rows import ST_GS
        >>> bars("ST-GS", ST_GS, x=[0, 1], y=[40, 60]).marker.color
        '#C85000'
    """
    colors = {"color": look.color, "line": {"width": 0}}
    return go.Bar(name=name, marker=colors, opacity=opacity, **options)


def matrix(name: str, template: str, **options: Any) -> go.Heatmap:
    """Return a matrix of signed numbers as a map, with each number in its cell.

    The numbers have the colour of all texts: plotly would write some in white, on cells that are
    too light for it.

    Args:
        name: for `trace`.
        template: plotly's, of what stands in a cell.
        **options: more properties of plotly's `Heatmap`; `zmin` and `zmax` differ in sign only.

    Example:
        >>> matrix("slopes", "%{z:.1f}", z=[[1, -1], [-1, 1]], zmin=-1, zmax=1).textfont.color
        '#222222'
    """
    colors = {"colorscale": SIGNS, "showscale": False, "textfont": {"color": INK}}
    return go.Heatmap(name=name, texttemplate=template, **{**colors, **options})
