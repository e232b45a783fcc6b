"""Figure 4: bounds of discrete VAEs over the batch size, and over K."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..training.files import write
from . import search, table2, table3
from .search import GR_10, GR_100, GR_1000, GR_INF, ROWS, ST_GS, Row, Settings

BATCH_SIZE = 20  # of the second row
KS = {row.label: row.k or 1.0 for row in (ST_GS, GR_10, GR_100, GR_1000, GR_INF)}


def _settings(profile: str, *more: Row) -> Settings:
    """Table 3, and the rows that only the second row of the figure has."""
    settings = table3.PROFILES[profile]
    arities = dict.fromkeys(arity for _, arity, _ in settings.cells)
    cells = tuple((row, arity, BATCH_SIZE) for row in more for arity in arities)
    return replace(settings, cells=settings.cells + cells)


PROFILES = {
    "smoke": _settings("smoke", GR_10, GR_100),
    "lecture": _settings("lecture", GR_10),
    # Table 3 and 6 trainings more, which are also in Table 2: an estimated 2 hours on two cores.
    # Cut as in Table 3, and K = 100 and 1000, which the paper's Table 2 has within 0.9 nats of
    # K = 10 for 8-ary variables.
    "cpu": _settings("cpu", GR_10),
    "paper": _settings("paper", GR_10, GR_100),
}


def arrange(cells: pd.DataFrame) -> pd.DataFrame:
    """Arrange the cells of `search.run` as the figure shows them, and look the paper's up.

    Args:
        cells: with the columns `row`, `arity`, `batch_size`, `test` and `standard_error`.

    Returns:
        The columns of `run`. A cell may be in both parts.

    Example:
        >>> names = ["row", "arity", "batch_size", "test", "standard_error"]
        >>> cells = pd.DataFrame([["ST-GS", 8, 20, 98.6, 0.2]], columns=names)
        >>> arrange(cells)[["part", "k", "test", "paper"]].values.tolist()
        [['batch_size', 1.0, 98.6, 98.0], ['k', 1.0, 98.6, 98.0]]
    """
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
        order=table["row"].map({row.label: i for i, row in enumerate(ROWS)}),
    )
    columns = ["part", "arity", "batch_size", "row", "k", "test", "standard_error", "paper"]
    return table.sort_values(["part", "arity", "order", "batch_size"], ignore_index=True)[columns]


def run(
    settings: Settings,
    out: Path,
    *,
    jobs: int = 1,
    backend: str = "joblib",
    report: Callable[[str], object] = print,
) -> pd.DataFrame:
    """Search what is missing and write the numbers of the figure.

    Args:
        settings: see `PROFILES`.
        out: folder of the files: those of `search.run`, and `fig4.csv`.
        jobs, backend, report: as for `run_all`.

    Returns:
        What is in the file. `part` is "batch_size" for the first row of the figure and "k" for the
        second, at batch size 20; `arity`, `batch_size`, `row`; `k`, 1 for ST-GS and missing for
        ZGR; `test`, the bound of the negative log-likelihood in nats (lower is better), and its
        `standard_error` over the images; `paper`, the number of Table 3 in the first row and of
        Table 2 in the second, where there is one.

    Raises:
        ArithmeticError: when no run of a cell ended well; the rows are written.
        DataError: when the full set is asked for and cannot be had.
    """
    cells = search.run(settings, out, jobs=jobs, backend=backend, report=report)
    text = arrange(cells).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write(out / "fig4.csv", text)
    return pd.read_csv(io.StringIO(text))  # the numbers as they are in the file
