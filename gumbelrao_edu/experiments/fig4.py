"""Figure 4: bounds of discrete VAEs over the batch size, and over K."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..figures.page import embedded
from ..figures.rows import (
    GR,
    GR_10,
    GR_100,
    GR_1000,
    GR_INF,
    ST_GS,
    label_rank,
    row_of_label,
)
from ..figures.style import MARK, error_bars, hollow, label
from . import search, table2, table3
from .experiment import Outcome, Tables

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

BATCH_SIZE = 20  # of the second row
KS = {row.label: row.hyper.get("k", 1.0) for row in (ST_GS, GR_10, GR_100, GR_1000, GR_INF)}
_BOUND = "test bound on −log p(x), nats"


def cells_of_profile(name: str) -> list[search.Cell]:
    """Return the cells of Table 3, and those that only the second row of the figure has.

    Args:
        name: of the profile.
    """
    cells = table3.cells_of_profile(name)
    more = (GR_10, GR_100) if name in ("smoke", "paper") else (GR_10,)
    arities = dict.fromkeys(arity for _, arity, _ in cells)
    return [*cells, *((row, arity, BATCH_SIZE) for row in more for arity in arities)]


def arrange(cells: pd.DataFrame) -> pd.DataFrame:
    """Arrange the cells of `search.run` as the figure shows them, and look the paper's up.

    Args:
        cells: with the columns `row`, `arity`, `batch_size`, `test` and `standard_error`.

    Returns:
        `part` is "batch_size" for the first row of the figure and "k" for the second, at batch size
        20; a cell may be in both. `arity`, `batch_size`, `row`; `k`, 1 for ST-GS and missing for
        ZGR; `test`, the bound of the negative log-likelihood in nats (lower is better), and its
        `standard_error` over the images; `paper`, the number of Table 3 in the first row and of
        Table 2 in the second, where there is one.

    Example:
        >>> import pandas as pd
        >>> names = ["row", "arity", "batch_size", "test", "standard_error"]
        >>> cells = pd.DataFrame([["ST-GS", 8, 20, 98.6, 0.2]], columns=names)
        >>> arrange(cells)[["part", "k", "test", "paper"]].values.tolist()
        [['batch_size', 1.0, 98.6, 98.0], ['k', 1.0, 98.6, 98.0]]
    """
    import pandas as pd

    over_batch_sizes = cells["row"].isin([row.label for row in table3.ROWS])
    over_k = cells["row"].isin(KS.keys()) & (cells.batch_size == BATCH_SIZE)
    # Table 3 prints the numbers of the first row, Table 2 those of the second.
    printed = {("k", *key): number for key, number in table2.PRINTED.items()}
    for (name, arity, batch_size, part), number in table3.PRINTED.items():
        if part == "test":
            printed["batch_size", name, arity, batch_size] = number
    table = pd.concat(
        [cells[over_batch_sizes].assign(part="batch_size"), cells[over_k].assign(part="k")]
    )
    table = table.assign(
        k=table["row"].map(KS),
        paper=[
            printed.get((c.part, c.row, c.arity, c.batch_size), math.nan)
            for c in table.itertuples()
        ],
        order=table["row"].map(label_rank),
    )
    columns = ["part", "arity", "batch_size", "row", "k", "test", "standard_error", "paper"]
    return table.sort_values(["part", "arity", "order", "batch_size"], ignore_index=True)[columns]


def tables(outcome: Outcome) -> Tables:
    """Return the numbers of the figure, see `arrange`.

    Args:
        outcome: of the searches.
    """
    return {"fig4": arrange(search.cells_of(outcome))}


def figure_4(table: pd.DataFrame) -> go.Figure:
    """Return Figure 4: the first row over the batch size, the second over K, a column an arity.

    Full markers are our bounds on the test set, with bars of two standard errors over the images;
    open markers are the numbers that the paper prints.

    Args:
        table: from `arrange`.

    Example:
        >>> import pandas as pd
        >>> names = ["part", "arity", "batch_size", "row", "k", "test", "standard_error", "paper"]
        >>> row = ["batch_size", 8, 20, "ST-GS", 1, 98.6, 0.2, 98.0]
        >>> [trace.name for trace in figure_4(pd.DataFrame([row], columns=names)).data]
        ['ST-GS', 'ST-GS, paper']
    """
    from ..figures.traces import curve
    from ._curves import plots

    arities = sorted({*table.arity})
    titles = [search.arity_name(arity) for arity in arities]
    figure = plots(
        2, len(arities), titles, spacing=0.02, shared_yaxes="rows", vertical_spacing=0.15
    )
    figure.update_layout(height=760, margin={"t": 130})
    named: set[str] = set()
    for (part, arity), cells in table.groupby(["part", "arity"], sort=False):
        at = {"row": 1 if part == "batch_size" else 2, "col": arities.index(arity) + 1}
        if part == "k":
            x, y = [*map(label, cells.k)], cells.test.tolist()
            joined = curve("over K", GR, x, y, hoverinfo="skip", showlegend=False)
            figure.add_trace(joined, **at)
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


def page(table: pd.DataFrame) -> str:
    """Return the body of the page of Figure 4.

    Args:
        table: from `arrange`.

    Example:
        >>> import pandas as pd
        >>> names = ["part", "arity", "batch_size", "row", "k", "test", "standard_error", "paper"]
        >>> row = ["batch_size", 8, 20, "ST-GS", 1, 98.6, 0.2, 98.0]
        >>> "8-ary, ST-GS: 98.6 at 20" in page(pd.DataFrame([row], columns=names))
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
                f"<li>{', '.join([search.arity_name(key[0]), *key[1:]])}: {', '.join(bounds)}</li>"
            )
        parts.append(f"<p>{start}:</p>\n<ul>\n" + "\n".join(curves) + "\n</ul>")
    what = (
        "<p>Bounds of the negative log-likelihood on the test set in nats, lower is better. The "
        "bars are two standard errors over the images, which all models share. Open markers: the "
        "paper's numbers.</p>"
    )
    caption = ["<figcaption>", what, *parts, "</figcaption>"]
    return "\n".join(["<figure>", embedded(figure_4(table)), *caption, "</figure>"])


def _traces(name: str, x: list[Any], rows: pd.DataFrame) -> list[go.Scatter]:
    """Our bounds of one row of the tables in one plot, and what the paper prints of them."""
    from ..figures.traces import curve, points

    row, rank = row_of_label(name), label_rank(name) + 1
    ours = curve(
        name,
        row,
        x,
        rows.test.tolist(),
        mode="lines+markers",
        legendgroup=name,
        legendrank=rank,
        error_y=error_bars(rows.standard_error.tolist()),
    )
    known = rows.paper.notna().tolist()
    theirs = points(
        f"{name}, paper",
        hollow(row),
        [value for value, has in zip(x, known, strict=True) if has],
        rows.paper.dropna().tolist(),
        size=MARK,
        legendgroup=name,
        legendrank=rank,
    )
    return [ours, theirs] if any(known) else [ours]


EXPERIMENT = search.experiment(
    "fig4",
    "Figure 4",
    # The cpu profile: Table 3 and 6 trainings more, which are also in Table 2: an estimated 2 hours
    # on two cores. Cut as in Table 3, and K = 100 and 1000, which the paper's Table 2 has within
    # 0.9 nats of K = 10 for 8-ary variables.
    search.profiles(cells_of_profile),
    tables,
    page=lambda tables: page(tables["fig4"]),
)
