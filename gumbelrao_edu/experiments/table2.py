"""Table 2: bounds on MNIST of discrete VAEs trained with each estimator."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ..figures.rows import GR_10, GR_INF, GS, ST_GS, label_rank, rows
from . import search
from .experiment import Outcome, Tables

if TYPE_CHECKING:
    import pandas as pd

# Bounds of the test negative log-likelihood in nats as Table 2 of the paper prints them, at batch
# size 20 and 200 for each arity.
PAPER_COLUMNS = tuple((arity, batch) for arity in (2, 4, 8, 16) for batch in (20, 200))
PAPER = {
    "GS": (98.2, 96.4, 95.7, 93.8, 95.5, 92.3, 96.8, 94.3),
    "REINFORCE": (202.6, 121.4, 173.7, 122.2, 203.9, 124.9, 169.4, 129.5),
    "ST": (105.5, 103.1, 106.2, 104.5, 107.2, 105.1, 108.2, 104.5),
    "ST-GS": (100.7, 97.1, 99.1, 93.7, 98.0, 92.8, 98.8, 92.6),
    "GR-MC10": (100.7, 97.4, 97.8, 93.8, 97.4, 93.1, 97.9, 92.4),
    "GR-MC100": (100.6, 96.8, 97.5, 94.0, 96.8, 92.2, 97.3, 92.4),
    "GR-MC1000": (100.5, 97.0, 97.6, 93.5, 96.5, 92.5, 96.8, 92.2),
}
STRAIGHT_THROUGH = ("ST", "ST-GS", "GR-MC10", "GR-MC100", "GR-MC1000")
# Mean temperature of the best models, as section 5.4 has it.
PAPER_TAUS = {"ST-GS": 0.65, "GR-MC1000": 0.35}
PRINTED = {
    (row, *column): number
    for row, numbers in PAPER.items()
    for column, number in zip(PAPER_COLUMNS, numbers, strict=True)
}


def cells_of_profile(name: str) -> list[search.Cell]:
    """Return the cells of a profile.

    Args:
        name: of the profile.
    """
    if name == "paper":
        return [(row, *column) for row in rows() for column in PAPER_COLUMNS]
    return [(row, 8, 20) for row in (rows() if name == "smoke" else (GS, ST_GS, GR_10, GR_INF))]


def tables(outcome: Outcome) -> Tables:
    """Return the cells, see `search.cells_of`, with the number that the `paper` prints for each.

    Args:
        outcome: of the searches.
    """
    cells = search.cells_of(outcome)
    paper = [PRINTED.get((c.row, c.arity, c.batch_size), math.nan) for c in cells.itertuples()]
    return {"table2": cells.assign(paper=paper)}


def paper_form(cells: pd.DataFrame) -> pd.DataFrame:
    """Arrange the cells as Table 2: a row an estimator, a column each n and B.

    A cell reads "97.6 (paper: 97.4)".

    Args:
        cells: from `tables`.
    """
    texts = cells.assign(
        cell=[*map(search.beside, cells.test, cells.paper)],
        column=[
            f"{search.arity_name(cell.arity)}, B = {cell.batch_size}" for cell in cells.itertuples()
        ],
    )
    table = texts.pivot(index="row", columns="column", values="cell").fillna("")
    columns = texts.sort_values(["arity", "batch_size"]).column.unique()
    ordered = table.loc[sorted(table.index, key=label_rank), columns]
    return ordered.rename_axis(index="estimator", columns=None)


_PROFILES = search.profiles(cells_of_profile)

EXPERIMENT = search.experiment(
    "table2",
    "Table 2",
    # The cpu profile takes five hours on two cores. It has all draws of the paper, and four rows.
    {**_PROFILES, "cpu": replace(_PROFILES["cpu"], draws=20)},
    tables,
    page=lambda tables: paper_form(tables["table2"]).to_html(),
    text=lambda tables: paper_form(tables["table2"]).to_string(),
)
