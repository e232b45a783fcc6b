"""Plots in a grid, with a curve for each estimator: what Figures 2 and 3 share."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures.page import embedded
from ..figures.rows import row_of_label
from ..figures.style import TEMPLATE, error_bars
from ..figures.traces import curve
from .search import arity_name


def body(figure: go.Figure, said: str, table: pd.DataFrame) -> str:
    """Return the body of a page: the figure, what it shows, and its numbers.

    Args:
        figure: is drawn.
        said: plain text.
        table: of the numbers.
    """
    caption = f"<figcaption>{html.escape(said)}</figcaption>"
    numbers = table.to_html(index=False, float_format="{:.4g}".format)
    return "\n".join(["<figure>", embedded(figure), caption, "</figure>", numbers])


def plots(
    rows: int, columns: int, titles: Sequence[str], *, spacing: float, **options: Any
) -> go.Figure:
    """Return an empty grid.

    Args:
        rows, columns: of the grid.
        titles: of the plots, from the first on; those that are left out have none.
        spacing: between the columns.
        **options: of `make_subplots`.
    """
    titles = [*titles, *[""] * (rows * columns - len(titles))]
    figure = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=spacing, **options
    )
    figure.update_layout(
        template=TEMPLATE,
        height=380 * rows,
        margin={"t": 120},
        legend={"y": 1 + 0.16 / rows},  # above the titles
    )
    return figure


def add(
    figure: go.Figure,
    at: tuple[int, int],
    cells: pd.DataFrame,
    x: str,
    y: str,
    error: str | None = None,
) -> None:
    """Add a curve for each estimator, and for each arity if there are several.

    Args:
        figure: from `plots`.
        at: row and column of the plot, from 1.
        cells: the numbers, with the columns `row`, `arity`, `x` and `y`.
        x, y: names of columns.
        error: that of standard errors, which are drawn twice as long.
    """
    named = {trace.name for trace in figure.data}
    several = cells.arity.nunique() > 1
    for (arity, label), rows in cells[cells[y].notna()].groupby(["arity", "row"], sort=False):
        row = row_of_label(str(label))
        name = f"{label}, {arity_name(arity)}" if several else str(label)
        figure.add_trace(
            curve(
                name,
                row,
                rows[x].tolist(),
                rows[y].tolist(),
                mode="lines+markers",
                legendgroup=name,
                showlegend=name not in named,
                error_y=error_bars(rows[error].tolist()) if error else None,
            ),
            row=at[0],
            col=at[1],
        )
