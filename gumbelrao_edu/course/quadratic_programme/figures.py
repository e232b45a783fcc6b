"""Figure 1: the quadratic programme on the simplex, variances over it, paths to its minimum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from ...figures.controls import Choice
from ...figures.panel import Panel, slider
from ...figures.rows import EXACT, GR_100, GS, REINFORCE, ST, ST_GS
from ...figures.style import (
    CONTOUR,
    DECADES,
    INNER,
    OUTER,
    SINGULAR,
    STRONG,
    label,
    layout,
    line,
)
from ...figures.ternary import (
    RATIO,
    align,
    arrange,
    bricks,
    colour_range,
    ellipses,
    minimum,
    simplex_map,
    singular_lines,
    triangle,
)
from ...figures.traces import curve, trace
from ...problems import (
    DERIVATIVES,
    QuadraticProgramme,
    descend,
    exact_fields,
    gap,
    simplex_grid,
)

TAUS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
KS = (1, 2, 5, 10, 20, 50, 100, 1000, math.inf)
PATH_TAUS = (0.1, 0.2, 0.5, 1.0)
CUT_TAUS = (0.1, 0.5, 1.0)
_ROWS = {
    "exact gradient": EXACT,
    "REINFORCE": REINFORCE,
    "GS": GS,
    "ST": ST,
    "ST-GS": ST_GS,
    "GR, K = 100": GR_100,
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
    figure.add_traces(simplex_map(p, values, name="value", title="value"))
    figure.add_traces([ellipses(programme), singular_lines(programme), minimum(programme)])
    return align(figure)


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
        >>> trace(panel.figure, "log10 ratio").z[-1][11]  # near the upper corner
        0.0
    """
    programme, p = QuadraticProgramme(), simplex_grid(rows)
    fields = {tau: exact_fields(programme, p, tau) for tau in TAUS}

    def update(figure: go.Figure, *, tau: float, k: float, derivative: str) -> str:
        terms = fields[tau][derivative]
        values = gap(terms, k)
        heat = trace(figure, "log10 ratio")
        heat.z = bricks(values.tolist())
        # The scale is that of K = ∞, so that a move of K shows. A few points that stand out far
        # would else take all of the colours.
        heat.zmin, heat.zmax = colour_range(gap(terms, math.inf))
        low, middle, high = values.quantile(torch.tensor([0.0, 0.5, 1.0]).to(values)).tolist()
        at = ", ".join(f"{x:.2f}" for x in p[values.argmax()].tolist())
        where = f"largest at p = ({at}) on this grid" if k != 1 else "GR with K = 1 is ST-GS"
        return (
            f"τ = {label(tau)}, K = {label(k)}, {DERIVATIVES[derivative]}. "
            f"The variance of ST-GS is 10 to the power x times that of GR; at {len(p):,} points of "
            f"the simplex x goes from {low:.2f} to {high:.2f}, the median is {middle:.2f}; {where}."
        )

    heat = simplex_map(p, torch.zeros(len(p)), name="log10 ratio", title=RATIO)
    figure = go.Figure(layout={**triangle(height=height), "showlegend": True})
    figure.add_traces([*heat, singular_lines(programme)])
    return Panel(
        align(figure),
        update,
        tau=slider("τ", TAUS, 0.5, tooltip="temperature of the softmax in the backward pass"),
        k=slider("K", KS, 1000, tooltip="samples of the Gumbels given D"),
        derivative=_derivative(),
    )


def cut(*, points: int = 161) -> Panel:
    """Return both terms of (13) along the line from the middle of the simplex to corner 3.

    Where the outer variance dips, GR gives nearly the same vector for every class, and the map of
    `variances` is bright.

    Args:
        points: along the line, half of them on each side of the singular line p_3 = 2/3.

    Returns:
        A panel with the controls ``tau`` and ``derivative``.

    Example:
        >>> panel = cut(points=20)
        >>> panel.controls["derivative"].value = "fixed"
        >>> panel.caption.startswith("τ = 0.5, A held fixed. ")
        True
    """
    programme = QuadraticProgramme()
    half = points // 2
    ends = (0.36, 2 / 3 - 0.002), (2 / 3 + 0.002, 0.98)
    sides = [torch.linspace(*each, half, dtype=torch.float64) for each in ends]
    third = torch.cat(sides)
    p = torch.stack([(1 - third) / 2, (1 - third) / 2, third], -1)
    fields = {tau: exact_fields(programme, p, tau) for tau in CUT_TAUS}
    at = [*sides[0].tolist(), None, *sides[1].tolist()]  # None lifts the pen

    def lifted(values: torch.Tensor) -> list[float | None]:
        return [*values[:half].tolist(), None, *values[half:].tolist()]

    def update(figure: go.Figure, *, tau: float, derivative: str) -> str:
        terms = fields[tau][derivative]
        trace(figure, "inner").y = lifted(terms.inner)
        trace(figure, "outer").y = lifted(terms.outer)
        ratio = 1 + terms.inner / terms.outer  # that of K = ∞
        said = []
        for side, name in ((slice(half), "left"), (slice(half, None), "right")):
            best = ratio[side].argmax()
            said.append(
                f"{name} of the line p₃ = 2/3 it is largest at p₃ = {third[side][best]:.2f}, "
                f"{ratio[side][best]:.3g}"
            )
        return (
            f"τ = {label(tau)}, {DERIVATIVES[derivative]}. The variance of ST-GS is inner + outer, "
            f"that of GR is outer. Their ratio at these {len(third)} points: {'; '.join(said)}."
        )

    traces = [
        curve("inner", INNER, at),
        curve("outer", OUTER, at),
        curve("p₃ = 2/3", SINGULAR, [2 / 3, 2 / 3], [1e-6, 1e6], hoverinfo="skip"),
    ]
    axes = layout("p₃, with p₁ = p₂", "variance", height=360)
    figure = go.Figure(traces, axes)
    figure.update_yaxes({**DECADES, "range": [-6, 4]})
    return Panel(
        figure,
        update,
        tau=slider("τ", CUT_TAUS, 0.5, tooltip="temperature of the softmax in the backward pass"),
        derivative=_derivative("whole"),
    )


def sampled(table: pd.DataFrame, *, height: int = 370) -> go.Figure:
    """Return the exact difference of the variances beside the sampled one.

    Args:
        table: rows of `experiments.fig1.compare` with one temperature and one derivative.
        height: in pixels.

    Example:
        >>> from gumbelrao_edu.experiments.fig1 import Sampling, compare
        >>> table = compare(Sampling(rows=6, num_samples=50, k=10), tau=0.5)
        >>> len(sampled(table[table.derivative == "fixed"]).data)
        6
    """
    return _row(
        [("exact", table, "gap"), ("sampled", table, "gap_mc")],
        height=height,
        scale=colour_range(torch.tensor(table.gap.to_numpy())),
    )


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
    length 1, see `problems.descend`.

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
    for i, (name, row) in enumerate(_ROWS.items()):
        tempered: dict[str, Any] = {"tau": tau} if row.has_tau else {}
        walk = descend(
            programme,
            row.estimator,
            starts[corner],
            whole=whole,
            steps=steps,
            learning_rate=learning_rate,
            generator=torch.Generator().manual_seed(seed + i),
            **tempered,
            **row.hyper,
        ).view(steps + 1, len(settings), runs, 3)  # [steps + 1, settings, runs, 3]
        walks[name] = walk[:, :, 0]
        values[name] = programme.value(walk).median(-1).values  # [steps + 1, settings]

    def update(figure: go.Figure, *, corner: int, tau: float, derivative: str) -> str:
        at = number[corner, tau, derivative]
        ends = []
        for name in _ROWS:
            path = trace(figure, name, type="scatterternary")
            path.a, path.b, path.c = walks[name][:, at].T.tolist()
            first, *_, last = trace(figure, name, type="scatter").y = values[name][:, at].tolist()
            ends.append(f"{name} {last:.2g}")
        return (
            f"From corner {corner} at τ = {label(tau)}, "
            f"{DERIVATIVES[derivative]}: "
            f"value after {steps} steps (it began at {first:.2g}), median of {runs} runs: "
            f"{', '.join(ends)}."
        )

    figure = make_subplots(
        1,
        2,
        specs=[[{"type": "ternary"}, {"type": "xy"}]],
        column_widths=[0.6, 0.4],
        horizontal_spacing=0.26,
    )
    for name, row in _ROWS.items():
        path = go.Scatterternary(name=name, legendgroup=name, mode="lines", line=line(row))
        figure.add_trace(path.update(opacity=STRONG), 1, 1)
        values_along = curve(name, row, range(steps + 1), legendgroup=name, showlegend=False)
        figure.add_trace(values_along, 1, 2)
    for each in (ellipses(programme, CONTOUR), singular_lines(programme), minimum(programme)):
        figure.add_trace(each, 1, 1)
    axes = layout("step", "value, median of the runs", height=height)
    figure.update_layout({**axes, "ternary": triangle()["ternary"], "showlegend": True})
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.12, "yanchor": "top"}
    )
    figure.update_yaxes(DECADES)
    return Panel(
        figure,
        update,
        corner=slider("corner", (1, 2, 3), 3, tooltip="where the paths start"),
        tau=slider("τ", PATH_TAUS, 0.2, tooltip="temperature of the softmax in the backward pass"),
        derivative=_derivative("whole"),
    )


# --- Parts of figures -----------------------------------------------------------------------------


def _derivative(start: str = "fixed") -> Choice:
    options = [(title, name) for name, title in DERIVATIVES.items()]
    return Choice(options, start, description="gradient", tooltip="what θ moves")


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
        heat, outside = simplex_map(p, values, name=title, title=RATIO, number=column + 1)
        heat.zmin, heat.zmax = scale
        heat.showscale = column == len(panels) - 1
        figure.add_traces([heat, outside])
        figure.add_trace(singular_lines(QuadraticProgramme()), 1, column + 1)
    return arrange(figure, height)
