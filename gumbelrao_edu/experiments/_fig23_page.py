"""Figures 2 and 3: variance and MSE of the gradient of discrete VAEs, and how fast they train."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures.page import embedded, page
from ..figures.rows import COLORS
from ..figures.style import layout
from .search import ROWS, arity_name

_COLORS = {row.label: COLORS[row.estimator] for row in ROWS}
# GR has one colour, whatever its K; forms and lines differ.
_FORMS = {
    "GS": ("star", "solid"),
    "ST": ("cross", "solid"),
    "ST-GS": ("circle", "solid"),
    "GR-MC10": ("triangle-down", "solid"),
    "GR-MC100": ("triangle-up", "dot"),
    "GR-MC1000": ("square", "dash"),
    "GR-∞": ("diamond", "longdash"),
    "ZGR": ("x", "solid"),
    "RLOO": ("pentagon", "solid"),
}


def figure_2(table: pd.DataFrame, thresholds: pd.DataFrame | None = None) -> go.Figure:
    """Return Figure 2: variance over training, MSE over τ, and steps to thresholds.

    Args:
        table: from `experiments.fig2.run`. Its first τ is shown over training, its last step over
            τ; an estimator without τ is a point at 0.
        thresholds: from `experiments.fig2.crossings`; left out, the third part is, too.

    Example:
        >>> row = {"arity": 8, "step": 100, "row": "ST-GS", "tau": 0.5, "monte_carlo": 9.0}
        >>> row |= {"monte_carlo_error": 1.0, "minibatch": 4.0, "minibatch_error": 1.0, "mse": 10.0}
        >>> [trace.y for trace in figure_2(pd.DataFrame([row])).data]
        [(9.0,), (10.0,)]
    """
    titles = ["variance of the draws", "mean squared error", "speed of training"]
    figure = _plots(1, titles[: 2 if thresholds is None else 3], spacing=0.1)
    at_first = table[(table.tau == table.tau.iloc[0]) | table.tau.isna()]
    _add(figure, (1, 1), at_first, "step", "monte_carlo", "monte_carlo_error")
    at_last = table[table.step == table.step.max()].fillna({"tau": 0.0}).sort_values("tau")
    _add(figure, (1, 2), at_last, "tau", "mse")
    figure.update_xaxes(row=1, col=1, type="log", title_text="training step")
    figure.update_yaxes(row=1, type="log")
    figure.update_yaxes(col=1, title_text=f"trace of covariance, τ = {table.tau.iloc[0]:g}")
    figure.update_xaxes(
        row=1, col=2, title_text=f"τ (0: no τ), at step {table.step.max():,}", rangemode="tozero"
    )
    figure.update_yaxes(col=2, title_text="MSE given the minibatch")
    if thresholds is not None:
        reached = thresholds[thresholds.reached > 0]
        _add(figure, (1, 3), reached, "threshold", "steps", "standard_error")
        figure.update_xaxes(
            row=1, col=3, autorange="reversed", title_text="validation loss to reach, nats"
        )
        figure.update_yaxes(row=1, col=3, type="linear", title_text="training steps")
    return figure


def figure_3(table: pd.DataFrame) -> go.Figure:
    """Return Figure 3: variance of the draws and of the minibatch over training, for each arity.

    Args:
        table: from `experiments.fig3.run`.

    Example:
        >>> row = {"arity": 8, "step": 100, "row": "ST-GS", "tau": 0.5, "monte_carlo": 9.0}
        >>> row |= {"monte_carlo_error": 1.0, "minibatch": 4.0, "minibatch_error": 1.0}
        >>> [trace.y for trace in figure_3(pd.DataFrame([row])).data]
        [(9.0,), (4.0,)]
    """
    arities = sorted({*table.arity})
    titles = [*map(arity_name, arities)]
    figure = _plots(2, titles, spacing=0.03, shared_yaxes="rows")
    for column, arity in enumerate(arities, 1):
        cells = table[table.arity == arity]
        for row, part in enumerate(("monte_carlo", "minibatch"), 1):
            _add(figure, (row, column), cells, "step", part, f"{part}_error")
    figure.update_xaxes(type="log", title_text="training step")
    figure.update_yaxes(type="log")
    figure.update_yaxes(row=1, col=1, title_text="variance of the draws")
    figure.update_yaxes(row=2, col=1, title_text="variance of the minibatch")
    return figure


def figure_2_page(table: pd.DataFrame, thresholds: pd.DataFrame | None = None) -> str:
    """Return a page with Figure 2, which needs no network; arguments as for `figure_2`."""
    said = (
        "Left: variance of the encoder's gradient given the minibatch, over training. Middle: its "
        "mean squared error over τ, at the last step. Bars are two standard errors."
    )
    if thresholds is not None:
        said += " Right: mean number of steps of those runs that reach a loss at all."
    return _page("Figure 2", figure_2(table, thresholds), said, table)


def figure_3_page(table: pd.DataFrame) -> str:
    """Return a page with Figure 3, which needs no network; `table` as for `figure_3`."""
    said = (
        "First row: variance of the encoder's gradient given the minibatch, from the draws. Second "
        "row: variance from one minibatch to the next. Bars are two standard errors."
    )
    return _page("Figure 3", figure_3(table), said, table)


def _page(title: str, figure: go.Figure, said: str, table: pd.DataFrame) -> str:
    caption = f"<figcaption>{html.escape(said)}</figcaption>"
    numbers = table.to_html(index=False, float_format="{:.4g}".format)
    return page(title, "<figure>", embedded(figure), caption, "</figure>", numbers)


def _plots(rows: int, titles: Sequence[str], *, spacing: float, **options: Any) -> go.Figure:
    titles = [*titles, *[""] * (len(titles) * (rows - 1))]
    columns = len(titles) // rows
    figure = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=spacing, **options
    )
    figure.update_layout(
        template=layout("", "")["template"],
        height=380 * rows,
        margin={"t": 120},
        legend={"y": 1 + 0.16 / rows},  # above the titles
    )
    return figure


def _add(
    figure: go.Figure,
    at: tuple[int, int],
    cells: pd.DataFrame,
    x: str,
    y: str,
    error: str | None = None,
) -> None:
    """Add a curve for each estimator."""
    named = {trace.name for trace in figure.data}
    for name, rows in cells[cells[y].notna()].groupby("row", sort=False):
        symbol, dash = _FORMS[str(name)]
        figure.add_trace(
            go.Scatter(
                name=name,
                legendgroup=name,
                showlegend=name not in named,
                x=rows[x].tolist(),
                y=rows[y].tolist(),
                error_y={"array": (2 * rows[error]).tolist()} if error else None,
                mode="lines+markers",
                line={"color": _COLORS[str(name)], "dash": dash},
                marker={"symbol": symbol, "size": 9},
            ),
            row=at[0],
            col=at[1],
        )
