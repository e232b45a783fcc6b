"""Figure 2: variance over training, MSE over τ, and iterations to thresholds of the objective."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..training.files import write
from . import search, trajectories
from .search import GR_10, GR_1000, GR_INF, ST_GS, label_of
from .trajectories import ROWS, Settings

THRESHOLDS = (150.0, 140.0, 130.0, 125.0, 120.0, 115.0)  # nats, of the single-sample objective

PROFILES = {
    "smoke": Settings(
        (8,),
        (2, 4),
        (0.5,),
        num_batches=4,
        bias_batches=2,
        bias_samples=2,
        reference_samples=4,
        full=False,
        hidden=(16,),
    ),
    "lecture": Settings(
        (8,),
        (100, 1000),
        (0.5, 0.1),
        rows=(ST_GS, GR_10, GR_INF),
        num_batches=20,
        bias_batches=4,
        bias_samples=20,
        reference_samples=200,
        full=False,
        hidden=(200,),
    ),
    # Half an hour of one core. Cut: K = 1000, and the number of minibatches; what is measured has
    # no bias at any number.
    "cpu": Settings(
        (8,),
        (100, 1000, 10_000, 50_000),
        rows=tuple(row for row in ROWS if row != GR_1000),
        bias_batches=8,
    ),
    "paper": Settings((8,), (100, 1000, 5000, 10_000, 20_000, 50_000), num_batches=5000),
}


def crossings(rows: Path, thresholds: tuple[float, ...] = THRESHOLDS) -> pd.DataFrame:
    """Count the steps that the trainings of a search take to thresholds of the objective.

    As in appendix D.2: the mean over those runs that reach the threshold at all.

    Args:
        rows: folder of the rows of `reproduce table2`, see `run_all`.
        thresholds: of the single-sample loss on the validation set, in nats.

    Returns:
        `row`, `arity`, `batch_size`, `threshold`, `runs` and how many `reached` it; the mean number
        of `steps`, to the next report of the training, and its `standard_error` over the runs.
    """
    found = []
    for path in sorted(rows.glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        config, history = run["config"], run["results"].get("history", [])
        for threshold in thresholds:
            steps = [entry["step"] for entry in history if -entry["valid_elbo"] <= threshold]
            found.append(
                {
                    "row": label_of(config["estimator"], config["k"], config["num_samples"]),
                    "arity": config["arity"],
                    "batch_size": config["batch_size"],
                    "threshold": threshold,
                    "steps": steps[0] if steps else math.nan,
                }
            )
    order = [row.label for row in search.ROWS]
    found.sort(key=lambda entry: order.index(entry["row"]))
    names = ["row", "arity", "batch_size", "threshold"]
    table = pd.DataFrame(found, columns=[*names, "steps"]).groupby(names, sort=False).steps
    return table.agg(runs="size", reached="count", steps="mean", standard_error="sem").reset_index()


def run(
    settings: Settings,
    out: Path,
    *,
    jobs: int = 1,
    backend: str = "joblib",
    report: Callable[[str], object] = print,
) -> pd.DataFrame:
    """Train and measure what is missing, and write the numbers of the figure.

    Args:
        settings: see `PROFILES`.
        out: folder of the files: those of `trajectories.run`, and `thresholds.csv` with what
            `crossings` finds in the folder `table2` beside, if that is there.
        jobs, backend, report: as for `run_all`.

    Returns:
        See `trajectories.run`.

    Raises:
        ArithmeticError: when no training ended well; the rows are written.
        DataError: when the full set is asked for and cannot be had.
    """
    table = trajectories.run(settings, out, jobs=jobs, backend=backend, report=report)
    rows = out.parent / "table2" / "runs"
    if rows.exists():
        reached = crossings(rows)
        text = reached.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write(out / "thresholds.csv", text)
        report(reached.to_string())
    else:
        report(f"iterations to thresholds: {rows} is not there; `reproduce table2` makes it")
    return table
