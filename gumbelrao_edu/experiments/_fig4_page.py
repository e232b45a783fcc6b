"""Figure 4: bounds of discrete VAEs over the batch size, and over K."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..figures.page import embedded, page
from ..figures.panel import label
from ..figures.rows import COLORS
from ..figures.style import layout
from .fig4 import BATCH_SIZE, KS
from .search import ROWS, arity_name

# GR has one colour, whatever its K; markers and lines differ.
_COLORS = {row.label: COLORS[row.estimator] for row in ROWS}
_DASHES = {"GR-MC1000": "dash"}
_SYMBOLS = {
    "ST-GS": "circle",
    "GR-MC10": "triangle-down",
    "GR-MC100": "triangle-up",
    "GR-MC1000": "square",
    "GR-∞": "diamond",
    "ZGR": "x",
}
_BOUND = "test bound on −log p(x), nats"


def figure_4(table: pd.DataFrame, *, height: int = 760) -> go.Figure:
    """Return Figure 4: the first row over the batch size, the second over K, a column an arity.

    Full markers are our bounds on the test set, with bars of two standard errors over the images;
    open markers are the numbers that the paper prints.

    Args:
        table: from `experiments.fig4.run`.
        height: in pixels.

    Example:
        >>> names = ["part", "arity", "batch_size", "row", "k", "test", "standard_error", "paper"]
        >>> row = ["batch_size", 8, 20, "ST-GS", 1, 98.6, 0.2, 98.0]
        >>> [trace.name for trace in figure_4(pd.DataFrame([row], columns=names)).data]
        ['ST-GS', 'ST-GS, paper']
    """
    arities = sorted({*table.arity})
    figure = make_subplots(
        2,
        len(arities),
        shared_yaxes="rows",
        subplot_titles=[arity_name(arity) for arity in arities] + [""] * len(arities),
        horizontal_spacing=0.02,
        vertical_spacing=0.15,
    )
    figure.update_layout(template=layout("", "")["template"], height=height, margin={"t": 130})
    figure.update_layout(legend={"y": 1.08})  # above the titles
    named: set[str] = set()
    for (part, arity), cells in table.groupby(["part", "arity"], sort=False):
        at = {"row": 1 if part == "batch_size" else 2, "col": arities.index(arity) + 1}
        if part == "k":
            line = {"color": COLORS["gumbel_rao"], "width": 2}
            x, y = [*map(label, cells.k)], cells.test.tolist()
            figure.add_trace(
                go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False),
                **at,
            )
        for row, rows in cells.groupby("row", sort=False):
            x = [*map(label, rows.k)] if part == "k" else rows.batch_size.tolist()
            for trace in _traces(str(row), x, rows):
                trace.showlegend = trace.name not in named
                named.add(trace.name)
                figure.add_trace(trace, **at)
    batch_sizes = sorted({*table.batch_size})
    figure.update_xaxes(
        row=1,
        type="log",
        tickvals=batch_sizes,
        ticktext=[label(b) if b not in (15, 25) else "" for b in batch_sizes],  # they are close
        title_text="batch size",
    )
    figure.update_xaxes(
        row=2,
        type="category",
        categoryarray=[*map(label, KS.values())],
        title_text=f"K at batch size {BATCH_SIZE} (1: ST-GS)",
    )
    figure.update_yaxes(col=1, title_text=_BOUND)
    return figure


def figure_4_page(table: pd.DataFrame) -> str:
    """Return a page with Figure 4, which needs no network.

    Args:
        table: from `experiments.fig4.run`.

    Example:
        >>> names = ["part", "arity", "batch_size", "row", "k", "test", "standard_error", "paper"]
        >>> row = ["batch_size", 8, 20, "ST-GS", 1, 98.6, 0.2, 98.0]
        >>> "8-ary, ST-GS: 98.6 at 20" in figure_4_page(pd.DataFrame([row], columns=names))
        True
    """
    parts = []
    for start, part, keys, x in (
        ("First row, over the batch size", "batch_size", ["arity", "row"], "batch_size"),
        (f"Second row, over K at batch size {BATCH_SIZE}", "k", ["arity"], "k"),
    ):
        curves = []
        for key, rows in table[table.part == part].groupby(keys, sort=False):
            bounds = [f"{row['test']:.1f} at {label(row[x])}" for row in rows.to_dict("records")]
            curves.append(
                f"<li>{', '.join([arity_name(key[0]), *key[1:]])}: {', '.join(bounds)}</li>"
            )
        parts.append(f"<p>{start}:</p>\n<ul>\n" + "\n".join(curves) + "\n</ul>")
    what = (
        "<p>Bounds of the negative log-likelihood on the test set in nats, lower is better. The "
        "bars are two standard errors over the images, which all models share. Open markers: the "
        "paper's numbers.</p>"
    )
    caption = ["<figcaption>", what, *parts, "</figcaption>"]
    return page("Figure 4", "<figure>", embedded(figure_4(table)), *caption, "</figure>")


def _traces(row: str, x: list[Any], rows: pd.DataFrame) -> list[go.Scatter]:
    """Our bounds of one row of the tables in one plot, and what the paper prints of them."""
    color, symbol, rank = _COLORS[row], _SYMBOLS[row], list(_SYMBOLS).index(row) + 1
    ours = go.Scatter(
        name=row,
        legendgroup=row,
        legendrank=rank,
        x=x,
        y=rows.test.tolist(),
        error_y={"array": (2 * rows.standard_error).tolist(), "thickness": 1, "width": 3},
        mode="lines+markers",
        line={"color": color, "width": 2, "dash": _DASHES.get(row)},
        marker={"symbol": symbol, "size": 9},
    )
    printed = rows.paper.notna().tolist()
    theirs = go.Scatter(
        name=f"{row}, paper",
        legendgroup=row,
        legendrank=rank,
        x=[value for value, has in zip(x, printed, strict=True) if has],
        y=rows.paper.dropna().tolist(),
        mode="markers",
        marker={"symbol": f"{symbol}-open", "size": 11, "color": color, "line": {"width": 2}},
    )
    return [ours, theirs] if any(printed) else [ours]
