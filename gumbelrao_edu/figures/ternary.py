"""Figures on the simplex of three classes: points, maps of values, the quadratic programme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import plotly.graph_objects as go
import torch
from torch import Tensor

from .._checks import check_real
from ..problems import QuadraticProgramme
from .style import (
    BAR,
    CONTOUR_ON_MAP,
    HAIR,
    MARK,
    MINIMUM,
    PAPER,
    SCALE,
    SINGULAR,
    THIN,
    TITLE_SIZE,
    Styled,
    layout,
    line,
    marker,
)

_T = TypeVar("_T")

RATIO = "log<sub>10</sub> ratio"


def triangle(*, height: int = 480) -> dict[str, object]:
    """Return the course's layout for points on the simplex of three classes.

    Args:
        height: in pixels.

    Returns:
        A dictionary for ``go.Figure(layout=...)``; the corners are the classes.

    Example:
        >>> triangle()["ternary"]["aaxis"]["title"]["text"]
        'class 1'
    """
    flat = layout("", "", height=height)
    del flat["xaxis"], flat["yaxis"]
    axes = {
        f"{name}axis": {
            "title": {"text": f"class {i + 1}"},
            "tickvals": [0.25, 0.5, 0.75],
        }
        for i, name in enumerate("abc")
    }
    return {
        **flat,
        "ternary": {"sum": 1, **axes},
        "legend": {"orientation": "v", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top"},
    }


def simplex_map(
    p: Tensor,
    values: Tensor,
    *,
    name: str,
    title: str,
    number: int = 1,
    bar: dict[str, float] | None = None,
) -> list[go.Heatmap | go.Scatter]:
    """Return a map of values over the simplex, to lie under a triangle once `align` has placed it.

    Each point is a brick in a wall. Thousands of markers would take the browser far longer.

    Args:
        p: points of a `simplex_grid`, `[points, 3]`.
        values: one at each point, `[points]`.
        name: of the trace.
        title: of the bar of colours.
        number: which triangle of the figure it lies under, from 1.
        bar: where the bar of colours is; at the right edge when left out.

    Returns:
        The map, named `name`, and what hides the steps of the wall, named ``outside``.

    Raises:
        TypeError, ValueError: if a tensor has the wrong type, or a shape other than these.

    Example:
        >>> from gumbelrao_edu.problems import simplex_grid
        >>> wall, outside = simplex_map(simplex_grid(2), torch.arange(3.0), name="f", title="f")
        >>> wall.z
        ([1.0, 1.0, 0.0, 0.0], [None, 2.0, 2.0, None])
    """
    check_real(p, "p")
    if p.dim() != 2 or p.shape[-1] != 3 or not len(p) or len(p) != math.comb(_rows(len(p)) + 1, 2):
        raise ValueError(
            f"p: expected points of a simplex_grid, [rows (rows + 1) / 2, 3], got {tuple(p.shape)}"
        )
    check_real(values, "values")
    if values.shape != p.shape[:1]:
        raise ValueError(
            f"values: expected one at each of {len(p)} points, got {tuple(values.shape)}"
        )
    low, high = colour_range(values)
    rows, top = _rows(len(p)), math.sqrt(3) / 2
    axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    texts = [f"p = ({a:.3f}, {b:.3f}, {c:.3f})" for a, b, c in p.tolist()]
    place = {"len": 0.75, "x": 1.0} if bar is None else {"len": 0.36, "yanchor": "top", **bar}
    heat = go.Heatmap(
        name=name,
        z=bricks(values.tolist()),
        x0=0.25 / rows,
        dx=0.5 / rows,
        y0=0.5 * top / rows,
        dy=top / rows,
        zmin=low,
        zmax=high,
        colorscale=SCALE,
        colorbar={"title": {"text": title}, "thickness": BAR, **place},
        text=bricks(texts),
        hovertemplate="%{text}<br>%{z:.3f}<extra></extra>",
        hoverongaps=False,
        **axes,
    )
    outside = go.Scatter(  # hides the steps of the wall
        name="outside",
        x=[0, 0.5, 0, 0, None, 1, 0.5, 1, 1],
        y=[0, top, top, 0, None, 0, top, top, 0],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=PAPER,
        hoverinfo="skip",
        showlegend=False,
        **axes,
    )
    return [heat, outside]


def bricks(values: Sequence[_T]) -> list[list[_T | None]]:
    """Return rows of half bricks from the bottom up, from values in the order of `simplex_grid`.

    Example:
        >>> bricks(["a", "b", "c"])
        [['b', 'b', 'a', 'a'], [None, 'c', 'c', None]]
    """
    rows = _rows(len(values))
    wall: list[list[_T | None]] = [[None] * (2 * rows) for _ in range(rows)]
    each = iter(values)
    for i in range(rows):
        for left in range(2 * rows - 2 - i, i - 1, -2):  # class 3 is on the right
            wall[i][left] = wall[i][left + 1] = next(each)
    return wall


def _rows(points: int) -> int:
    """The `rows` of a `simplex_grid` with rows (rows + 1) / 2 points."""
    return (math.isqrt(8 * points + 1) - 1) // 2


def align(figure: go.Figure) -> go.Figure:
    """Put the axes of each map where its triangle is, and return the figure.

    Example:
        >>> figure = align(go.Figure(layout=triangle()))
        >>> figure.layout.xaxis.range
        (0, 1)
    """
    for number, ternary in enumerate(figure.select_ternaries(), 1):
        shared = {"constrain": "domain", "visible": False, "fixedrange": True}
        x = {**shared, "domain": ternary.domain.x or [0, 1], "range": [0, 1]}
        y = {**shared, "domain": ternary.domain.y or [0, 1], "range": [0, math.sqrt(3) / 2]}
        x["anchor"], y["anchor"], y["scaleanchor"] = f"y{number}", f"x{number}", f"x{number}"
        figure.update_layout({f"xaxis{number}": x, f"yaxis{number}": y})
        ternary.bgcolor = "rgba(0, 0, 0, 0)"
        for axis in (ternary.aaxis, ternary.baxis, ternary.caxis):
            axis.showgrid = False
    return figure


def colour_range(values: Tensor) -> tuple[float, float]:
    """Return the ends of the scale of colours for some values.

    A few points near the singular lines would else take all of the colours.

    Example:
        >>> colour_range(torch.arange(101.0))
        (0.0, 97.0)
    """
    values = values.double()  # whole numbers have no quantiles
    low, high = values.quantile(values.new_tensor([0.0, 0.97])).tolist()
    return low, high


def ellipses(programme: QuadraticProgramme, look: Styled = CONTOUR_ON_MAP) -> go.Scatterternary:
    """Return contours of the programme: (p − c)ᵀ Q (p − c) = level within the plane Σ p = 1.

    Example:
        >>> ellipses(QuadraticProgramme()).name
        'contours'
    """
    levels = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    plane = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]], dtype=torch.float64, device="cpu")
    plane = (plane / plane.norm(dim=-1, keepdim=True)).T  # orthonormal, [3, 2]
    cholesky = torch.linalg.cholesky(plane.T @ programme.q.double() @ plane)
    angle = torch.linspace(0.0, 2.0 * math.pi, 361, dtype=torch.float64, device="cpu")
    circle = torch.stack([angle.cos(), angle.sin()])
    unit = (plane @ torch.linalg.solve_triangular(cholesky.T, circle, upper=True)).T
    coordinates: dict[str, list[float | None]] = {"a": [], "b": [], "c": []}
    for level in levels:
        p = programme.c.double() + math.sqrt(level) * unit
        inside = (p >= 0.0).all(-1).tolist()
        for axis, column in zip("abc", p.T.tolist(), strict=True):
            coordinates[axis] += [x if ok else None for x, ok in zip(column, inside, strict=True)]
            coordinates[axis].append(None)  # lifts the pen
    return go.Scatterternary(
        name="contours",
        **coordinates,
        mode="lines",
        line=line(look, HAIR),
        hoverinfo="skip",
        showlegend=False,
    )


def singular_lines(programme: QuadraticProgramme) -> go.Scatterternary:
    """Return the lines on which A(p) is singular.

    Example:
        >>> singular_lines(QuadraticProgramme()).name
        'singular lines'
    """
    coordinates: dict[str, list[float | None]] = {"a": [], "b": [], "c": []}
    for ends in programme.singular_lines():
        for axis, column in zip("abc", ends.T.tolist(), strict=True):
            coordinates[axis] += [*column, None]
    return go.Scatterternary(
        name="singular lines",
        **coordinates,
        mode="lines",
        line=line(SINGULAR, THIN),
        hoverinfo="skip",
    )


def minimum(programme: QuadraticProgramme) -> go.Scatterternary:
    """Return a cross at c, where the programme is 0.

    Example:
        >>> minimum(QuadraticProgramme()).name
        'minimum'
    """
    return go.Scatterternary(
        name="minimum",
        **{axis: [x] for axis, x in zip("abc", programme.c.tolist(), strict=True)},
        mode="markers",
        marker=marker(MINIMUM, MARK),
        hoverinfo="skip",
    )


def arrange(figure: go.Figure, height: int) -> go.Figure:
    """Give a figure of several triangles the course's layout, align its maps, and return it.

    Args:
        figure: from `make_subplots`, with a title over each triangle.
        height: in pixels.

    Example:
        >>> from plotly.subplots import make_subplots
        >>> figure = make_subplots(1, 1, specs=[[{"type": "ternary"}]], subplot_titles=["here"])
        >>> arrange(figure, 300).layout.annotations[0].x
        0.0
    """
    style = triangle(height=height)
    axes = style.pop("ternary")
    margin = {"l": 50, "r": 60, "t": 60, "b": 50}
    figure.update_layout({**style, "showlegend": False, "margin": margin})
    figure.update_ternaries(axes)
    for i, axis in enumerate("abc"):  # "class 1" has no room here
        figure.update_ternaries({f"{axis}axis_title_text": f"p<sub>{i + 1}</sub>"})
    for note, ternary in zip(figure.layout.annotations, figure.select_ternaries(), strict=True):
        note.update(x=ternary.domain.x[0], xanchor="left", yshift=12, font_size=TITLE_SIZE)
    return align(figure)
