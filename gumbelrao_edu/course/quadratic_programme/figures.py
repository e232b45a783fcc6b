"""Figure 1: the quadratic programme on the simplex, variances over it, paths to its minimum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import ipywidgets
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ...experiments.fig1 import DERIVATIVES, descend, exact_fields, gap
from ...figures.page import embedded, page
from ...figures.panel import Panel, label, slider
from ...figures.rows import COLORS
from ...figures.style import PALETTE, layout
from ...problems import QuadraticProgramme, simplex_grid
from ..gumbel_max.figures import triangle

_T = TypeVar("_T")

TAUS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
KS = (1, 2, 5, 10, 20, 50, 100, 1000, math.inf)
PATH_TAUS = (0.1, 0.2, 0.5, 1.0)
_RATIO = "log<sub>10</sub> ratio"
_SCALE = "Cividis"  # the same to all eyes; yellow is the warm end
_NAMES: dict[str, tuple[str, dict[str, int]]] = {
    "exact": ("exact gradient", {}),
    "reinforce": ("REINFORCE", {}),
    "gumbel_softmax": ("GS", {}),
    "straight_through": ("ST", {}),
    "st_gumbel_softmax": ("ST-GS", {}),
    "gumbel_rao": ("GR, K = 100", {"k": 100}),
}


def contours(programme: QuadraticProgramme, *, rows: int = 60, height: int = 460) -> go.Figure:
    """Return Figure 1a: the programme over the simplex, its contours, and the singular lines.

    Args:
        programme: with n = 3 and c on the simplex.
        rows: of the grid of coloured points.
        height: in pixels.

    Example:
        >>> figure = contours(QuadraticProgramme())
        >>> [trace.name for trace in figure.data]
        ['value', 'outside', 'contours', 'singular lines', 'minimum']
    """
    figure = go.Figure(layout={**triangle(height=height), "showlegend": True})
    p = simplex_grid(rows)
    values = programme.value(p)
    figure.add_traces(_heat(p, values, name="value", title="value"))
    figure.add_traces([_ellipses(programme), _singular(programme), _minimum(programme)])
    return _align(figure)


def variances(*, rows: int = 60, height: int = 500) -> Panel:
    """Return Figures 1b to 1d with sliders: log10 of the variance of ST-GS over that of GR-MCK.

    All temperatures are computed beforehand, exactly; Proposition 3 then gives every K.

    Args:
        rows: of the grid, a multiple of 3.
        height: in pixels.

    Returns:
        A panel with the controls ``tau``, ``k`` and ``derivative``.

    Example:
        >>> panel = variances(rows=12)
        >>> panel.controls["k"].value = 1  # GR is ST-GS
        >>> panel.figure.data[0].z[-1][11]  # near the upper corner
        0.0
    """
    programme, p = QuadraticProgramme(), simplex_grid(rows)
    fields = {tau: exact_fields(programme, p, tau) for tau in TAUS}

    def update(figure: go.Figure, *, tau: float, k: float, derivative: str) -> str:
        terms = fields[tau][derivative]
        values = gap(terms, k)
        heat = figure.data[0]
        heat.z = _bricks(values.tolist())
        # The scale is that of K = ∞, so that a move of K shows. A few points that stand out far
        # would else take all of the colours.
        heat.zmin, heat.zmax = _range(gap(terms, math.inf))
        low, middle, high = values.quantile(torch.tensor([0.0, 0.5, 1.0]).to(values)).tolist()
        at = ", ".join(f"{x:.2f}" for x in p[values.argmax()].tolist())
        where = f"largest at p = ({at})" if k != 1 else "GR with K = 1 is ST-GS"
        return (
            f"τ = {label(tau)}, K = {label(k)}, {DERIVATIVES[derivative]}. "
            f"The variance of ST-GS is 10^x times that of GR; over the simplex x goes from "
            f"{low:.2f} to {high:.2f}, the median of {len(p):,} points is {middle:.2f}; {where}."
        )

    heat = _heat(p, torch.zeros(len(p)), name="log10 ratio", title=_RATIO)
    figure = go.Figure(layout={**triangle(height=height), "showlegend": True})
    figure.add_traces([*heat, _singular(programme)])
    return Panel(
        _align(figure),
        update,
        tau=slider("τ", TAUS, 0.5, tooltip="temperature of the softmax in the backward pass"),
        k=slider("K", KS, 1000, tooltip="samples of the Gumbels given D"),
        derivative=_derivative(),
    )


def sampled(table: pd.DataFrame, *, height: int = 370) -> go.Figure:
    """Return the exact difference of the variances beside the sampled one.

    Args:
        table: rows of `experiments.fig1.compare` with one temperature and one derivative.
        height: in pixels.

    Example:
        >>> from gumbelrao_edu.experiments.fig1 import Settings, compare
        >>> table = compare(Settings(rows=6, num_samples=50, k=10), tau=0.5)
        >>> len(sampled(table[table.derivative == "fixed"]).data)
        6
    """
    return _row(
        [("exact", table, "gap"), ("sampled", table, "gap_mc")],
        height=height,
        scale=_range(torch.tensor(table.gap.to_numpy())),
    )


def figure_1(table: pd.DataFrame, derivative: str = "fixed", *, height: int = 860) -> go.Figure:
    """Return the four panels of Figure 1, exactly computed.

    Args:
        table: from `experiments.fig1.run`, with three temperatures.
        derivative: "fixed" or "whole".
        height: in pixels.

    Example:
        >>> from gumbelrao_edu.experiments.fig1 import Settings, compare
        >>> tables = [compare(Settings(rows=6, num_samples=9, k=9), tau=t) for t in (1.0, 0.5, 0.1)]
        >>> figure = figure_1(pd.concat(tables))
        >>> [note.text[:3] for note in figure.layout.annotations]
        ['(a)', '(b)', '(c)', '(d)']
    """
    programme = QuadraticProgramme()
    table = table[table.derivative == derivative]
    taus = list(dict.fromkeys(table.tau))
    titles = ["(a) contours"]
    titles += [f"({'bcd'[i]}) τ = {tau:g}" for i, tau in enumerate(taus)]
    figure = make_subplots(
        2, 2, specs=[[{"type": "ternary"}] * 2] * 2, subplot_titles=titles, vertical_spacing=0.16
    )
    for i in range(4):
        rows = table[table.tau == taus[max(0, i - 1)]]
        p = torch.tensor(rows[["p1", "p2", "p3"]].to_numpy())
        values = programme.value(p) if i == 0 else torch.tensor(rows.gap.to_numpy())
        place = {"x": 0.43 + 0.55 * (i % 2), "y": 0.99 - 0.58 * (i // 2)}
        heat = _heat(p, values, name=titles[i], title="", number=i + 1, bar=place)
        lines = [_ellipses(programme), _minimum(programme)] if i == 0 else []
        figure.add_traces(heat)
        for trace in [*lines, _singular(programme)]:
            figure.add_trace(trace, i // 2 + 1, i % 2 + 1)
    return _finish(figure, height, [0.0, 0.55] * 2)


def figure_1_page(table: pd.DataFrame) -> str:
    """Return a page with Figure 1 for both derivatives, which needs no network.

    Args:
        table: from `experiments.fig1.run`.

    Example:
        >>> from gumbelrao_edu.experiments.fig1 import Settings, compare
        >>> tables = [compare(Settings(rows=6, num_samples=9, k=9), tau=t) for t in (1.0, 0.5, 0.1)]
        >>> figure_1_page(pd.concat(tables)).count("<h2>")
        2
    """
    parts: list[str] = []
    for derivative, title in DERIVATIVES.items():
        rows = table[table.derivative == derivative]
        figure = embedded(figure_1(table, derivative), first=not parts)
        ranges = ", ".join(
            f"{low:.2f} to {high:.2f} at τ = {tau:g}"
            for tau, low, high in rows.groupby("tau", sort=False)
            .gap.agg(["min", "max"])
            .itertuples()
        )
        text = (
            f"Contours of the quadratic programme, and log10 of the variance of ST-GS over that of "
            f"GR with the K of the run, computed exactly: {ranges}. Dashed: where the loss is "
            f"singular. A few largest values share the last colour."
        )
        parts.append(f"<h2>{title}</h2>\n{figure}\n<p>{text}</p>")
    return page("Figure 1", *parts)


def paths(
    *,
    steps: int = 100,
    runs: int = 25,
    learning_rate: float = 0.3,
    seed: int = 0,
    height: int = 480,
) -> Panel:
    """Return paths of stochastic gradient descent from a corner to the minimum, by estimator.

    All runs are made beforehand, those of all settings side by side. The gradients are clipped to
    length 1, see `experiments.fig1.descend`.

    Args:
        steps: of each run.
        runs: of each setting and estimator; the triangle shows the first.
        learning_rate: of each step.
        seed: of the draws.
        height: in pixels.

    Returns:
        A panel with the controls ``corner``, ``tau`` and ``derivative``.

    Example:
        >>> panel = paths(steps=5, runs=2)
        >>> panel.controls["corner"].value = 2
        >>> panel.caption.startswith("From corner 2")
        True
    """
    programme = QuadraticProgramme()
    starts = 0.04 + 0.88 * torch.eye(3, dtype=torch.float64)
    settings = [(c, t, d) for c in (1, 2, 3) for t in PATH_TAUS for d in DERIVATIVES]
    number = {setting: i for i, setting in enumerate(settings)}
    corner = torch.tensor([c - 1 for c, _, _ in settings]).repeat_interleave(runs)
    tau = torch.tensor([t for _, t, _ in settings], dtype=torch.float64).repeat_interleave(runs)
    whole = torch.tensor([d == "whole" for _, _, d in settings]).repeat_interleave(runs)
    walks, values = {}, {}
    for i, (name, (_, hyper)) in enumerate(_NAMES.items()):
        tempered: dict[str, Any] = {} if name in ("exact", "reinforce") else {"tau": tau, **hyper}
        walk = descend(
            programme,
            name,
            starts[corner],
            whole=whole,
            steps=steps,
            learning_rate=learning_rate,
            generator=torch.Generator().manual_seed(seed + i),
            **tempered,
        ).view(steps + 1, len(settings), runs, 3)  # [steps + 1, settings, runs, 3]
        walks[name] = walk[:, :, 0]
        values[name] = programme.value(walk).median(-1).values  # [steps + 1, settings]

    def update(figure: go.Figure, *, corner: int, tau: float, derivative: str) -> str:
        at = number[corner, tau, derivative]
        ends = []
        for i, (name, (title, _)) in enumerate(_NAMES.items()):
            line, curve = figure.data[2 * i : 2 * i + 2]
            line.a, line.b, line.c = walks[name][:, at].T.tolist()
            first, *_, last = curve.y = values[name][:, at].tolist()
            ends.append(f"{title} {last:.2g}")
        return (
            f"From corner {corner} at τ = {label(tau)}, "
            f"{DERIVATIVES[derivative]}: "
            f"value after {steps} steps (it began at {first:.2g}), median of {runs} runs: "
            f"{', '.join(ends)}."
        )

    figure = make_subplots(
        1, 2, specs=[[{"type": "ternary"}, {"type": "xy"}]], column_widths=[0.6, 0.4]
    )
    for name, (title, _) in _NAMES.items():
        style: dict[str, Any] = {"color": COLORS[name], "width": 2}
        group = {"name": title, "legendgroup": name}
        figure.add_trace(go.Scatterternary(mode="lines", line=style, opacity=0.8, **group), 1, 1)
        curve = go.Scatter(x=list(range(steps + 1)), line=style, showlegend=False, **group)
        figure.add_trace(curve, 1, 2)
    for trace in (_ellipses(programme, "#999999"), _singular(programme), _minimum(programme)):
        figure.add_trace(trace, 1, 1)
    axes = layout("step", "value, median of the runs", height=height)
    figure.update_layout({**axes, "ternary": triangle()["ternary"], "showlegend": True})
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.12, "yanchor": "top"}
    )
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    return Panel(
        figure,
        update,
        corner=slider("corner", (1, 2, 3), 3, tooltip="where the paths start"),
        tau=slider("τ", PATH_TAUS, 0.2, tooltip="temperature of the softmax in the backward pass"),
        derivative=_derivative("whole"),
    )


# --- Parts of figures -----------------------------------------------------------------------------


def _heat(
    p: Tensor,
    values: Tensor,
    *,
    name: str,
    title: str,
    number: int = 1,
    bar: dict[str, float] | None = None,
) -> list[go.Heatmap | go.Scatter]:
    """A map of values at the points of a `simplex_grid`, to lie under the triangle of this number.

    Each point is a brick in a wall. Thousands of markers would take the browser far longer.
    """
    low, high = _range(values)
    rows, top = _rows(len(p)), math.sqrt(3) / 2
    axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    texts = [f"p = ({a:.3f}, {b:.3f}, {c:.3f})" for a, b, c in p.tolist()]
    place = {"len": 0.75, "x": 1.0} if bar is None else {"len": 0.36, "yanchor": "top", **bar}
    heat = go.Heatmap(
        name=name,
        z=_bricks(values.tolist()),
        x0=0.25 / rows,
        dx=0.5 / rows,
        y0=0.5 * top / rows,
        dy=top / rows,
        zmin=low,
        zmax=high,
        colorscale=_SCALE,
        colorbar={"title": {"text": title}, "thickness": 12, **place},
        text=_bricks(texts),
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
        fillcolor="white",
        hoverinfo="skip",
        showlegend=False,
        **axes,
    )
    return [heat, outside]


def _bricks(values: Sequence[_T]) -> list[list[_T | None]]:
    """Rows of half bricks from the bottom up, from values in the order of `simplex_grid`."""
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


def _align(figure: go.Figure) -> go.Figure:
    """Put the axes of each map where its triangle is."""
    for number, ternary in enumerate(figure.select_ternaries(), 1):
        shared = {"domain": None, "constrain": "domain", "visible": False, "fixedrange": True}
        x = {**shared, "domain": ternary.domain.x or [0, 1], "range": [0, 1]}
        y = {**shared, "domain": ternary.domain.y or [0, 1], "range": [0, math.sqrt(3) / 2]}
        x["anchor"], y["anchor"], y["scaleanchor"] = f"y{number}", f"x{number}", f"x{number}"
        figure.update_layout({f"xaxis{number}": x, f"yaxis{number}": y})
        ternary.bgcolor = "rgba(0, 0, 0, 0)"
        for axis in (ternary.aaxis, ternary.baxis, ternary.caxis):
            axis.showgrid = False
    return figure


def _range(values: Tensor) -> tuple[float, float]:
    """Of the colours: a few points near the singular lines would else take all of them."""
    low, high = values.quantile(torch.tensor([0.0, 0.97]).to(values)).tolist()
    return low, high


def _points(p: Tensor) -> dict[str, list[float]]:
    return dict(zip("abc", p.T.tolist(), strict=True))


def _ellipses(programme: QuadraticProgramme, color: str = "white") -> go.Scatterternary:
    """Contours of the programme: (p − c)ᵀ Q (p − c) = level within the plane Σ p = 1."""
    levels = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    plane = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]], dtype=torch.float64)
    plane = (plane / plane.norm(dim=-1, keepdim=True)).T  # orthonormal, [3, 2]
    cholesky = torch.linalg.cholesky(plane.T @ programme.q.double() @ plane)
    angle = torch.linspace(0.0, 2.0 * math.pi, 361, dtype=torch.float64)
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
        line={"color": color, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )


def _singular(programme: QuadraticProgramme) -> go.Scatterternary:
    coordinates: dict[str, list[float | None]] = {"a": [], "b": [], "c": []}
    for ends in programme.singular_lines():
        for axis, column in zip("abc", ends.T.tolist(), strict=True):
            coordinates[axis] += [*column, None]
    return go.Scatterternary(
        name="singular lines",
        **coordinates,
        mode="lines",
        line={"color": PALETTE["vermilion"], "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )


def _minimum(programme: QuadraticProgramme) -> go.Scatterternary:
    return go.Scatterternary(
        name="minimum",
        **_points(programme.c[None]),
        mode="markers",
        marker={"symbol": "x-thin", "size": 11, "line": {"width": 2.5, "color": PALETTE["orange"]}},
        hoverinfo="skip",
    )


def _derivative(start: str = "fixed") -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(
        options=[(title, name) for name, title in DERIVATIVES.items()],
        value=start,
        description="gradient",
    )


def _row(
    panels: Sequence[tuple[str, pd.DataFrame, str]], *, height: int, scale: tuple[float, float]
) -> go.Figure:
    """Fields side by side under one scale of colours."""
    titles = [title for title, _, _ in panels]
    figure = make_subplots(
        1, len(panels), specs=[[{"type": "ternary"}] * len(panels)], subplot_titles=titles
    )
    for column, (title, table, field) in enumerate(panels):
        p = torch.tensor(table[["p1", "p2", "p3"]].to_numpy())
        values = torch.tensor(table[field].to_numpy())
        heat, outside = _heat(p, values, name=title, title=_RATIO, number=column + 1)
        heat.zmin, heat.zmax = scale
        heat.showscale = column == len(panels) - 1
        figure.add_traces([heat, outside])
        figure.add_trace(_singular(QuadraticProgramme()), 1, column + 1)
    return _finish(figure, height, [i / len(panels) for i in range(len(panels))])


def _finish(figure: go.Figure, height: int, left: Sequence[float]) -> go.Figure:
    """The course's layout for several triangles; `left` is where the title of each begins."""
    style = triangle(height=height)
    axes = style.pop("ternary")
    margin = {"l": 50, "r": 60, "t": 60, "b": 50}
    figure.update_layout({**style, "showlegend": False, "margin": margin})
    figure.update_ternaries(axes)
    for i, axis in enumerate("abc"):  # "class 1" has no room here
        figure.update_ternaries({f"{axis}axis_title_text": f"p<sub>{i + 1}</sub>"})
    for note, x in zip(figure.layout.annotations, left, strict=True):
        note.update(x=x, xanchor="left", yshift=12)
    return _align(figure)
