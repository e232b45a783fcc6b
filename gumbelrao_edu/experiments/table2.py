"""Table 2: bounds on MNIST of discrete VAEs trained with each estimator."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from . import search
from .search import GR_10, GR_INF, GS, ROWS, ST_GS, Settings

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
PRINTED = {
    (row, *column): number
    for row, numbers in PAPER.items()
    for column, number in zip(PAPER_COLUMNS, numbers, strict=True)
}

_SMALL = tuple((row, 8, 20) for row in (GS, ST_GS, GR_10, GR_INF))

PROFILES = {
    "smoke": Settings(
        tuple((row, 8, 20) for row in ROWS),
        draws=1,
        steps=10,
        full=False,
        hidden=(16,),
        valid_samples=2,
        test_samples=3,
        images=20,
    ),
    "lecture": Settings(
        _SMALL,
        draws=1,
        steps=1000,
        full=False,
        hidden=(200,),
        valid_samples=10,
        test_samples=100,
        images=200,
    ),
    # Two hours on two cores, two thirds of them for the trainings, the rest for the four tests.
    # Cut: 14 of 20 draws; M, to 100, on the validation set; all cells but these four.
    "cpu": Settings(_SMALL, draws=6, valid_samples=100),
    "paper": Settings(tuple((row, *column) for row in ROWS for column in PAPER_COLUMNS)),
}


def layout(cells: pd.DataFrame) -> pd.DataFrame:
    """Arrange the cells of `search.run` as Table 2: a row an estimator, a column each n and B.

    A cell reads "ours (the paper's)".
    """
    texts = cells.assign(
        cell=[*map(search.beside, cells.test, cells.paper)],
        column=[
            f"{search.arity_name(cell.arity)}, B = {cell.batch_size}" for cell in cells.itertuples()
        ],
    )
    table = texts.pivot(index="row", columns="column", values="cell").fillna("")
    rows = [row.label for row in ROWS if row.label in table.index]
    columns = texts.sort_values(["arity", "batch_size"]).column.unique()
    return table.loc[rows, columns].rename_axis(index="estimator", columns=None)


def run(
    settings: Settings,
    out: Path,
    *,
    jobs: int = 1,
    backend: str = "joblib",
    report: Callable[[str], object] = print,
) -> pd.DataFrame:
    """Search what is missing and write the table.

    Args:
        settings: see `PROFILES`.
        out: folder of the files: those of `search.run`, `table2.csv` with the cells and
            `table2.html` in the form of the paper.
        jobs, backend, report: as for `run_all`.

    Returns:
        The cells, see `search.run`, with the number that the `paper` prints for each.

    Raises:
        ArithmeticError: when no run of a cell ended well; the rows are written.
        DataError: when the full set is asked for and cannot be had.
    """
    cells = search.run(settings, out, jobs=jobs, backend=backend, report=report)
    cells = cells.assign(
        paper=[PRINTED.get((c.row, c.arity, c.batch_size), math.nan) for c in cells.itertuples()]
    )
    search.write_table(out / "table2", cells, layout(cells), report)
    return cells
