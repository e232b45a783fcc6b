"""Figure 2: variance over training, MSE over τ, and iterations to thresholds of the objective."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..figures.rows import (
    GR_10,
    GR_100,
    GR_INF,
    GS,
    RLOO,
    ST,
    ST_GS,
    ZGR,
    label_rank,
    row_of,
)
from ..figures.style import DECADES
from ..training.errors import DamagedFileError
from ..training.run import check_form, read_row, text_of
from . import search, trajectories
from .experiment import Experiment, Outcome, Tables
from .trajectories import Trajectories

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

THRESHOLDS = (150.0, 140.0, 130.0, 125.0, 120.0, 115.0)  # nats, of the single-sample objective


def steps_to_thresholds(
    folder: Path,
    thresholds: tuple[float, ...] = THRESHOLDS,
    *,
    full: bool = True,
    hidden: Sequence[int] = (512, 256),
) -> pd.DataFrame:
    """Count the steps that each training of a search takes to thresholds of the objective.

    Args:
        folder: of the experiment `table2`.
        thresholds: of the single-sample loss on the validation set, in nats.
        full, hidden: which trainings are counted: those on the full set of digits, or those on the
            5,000; of models with these widths.

    Returns:
        `row`, `arity`, `batch_size`, `draw`, `threshold`, and `steps`, to the next report of the
        training; missing where the threshold was not reached. Runs that failed are left out; so
        are, with a warning, rows that are damaged or not of such a search.
    """
    import pandas as pd

    found, counted = [], set()
    for path in sorted((folder / "runs").glob("*.json")):
        try:
            run = read_row(path)
            if run["status"] == "failed":
                continue
            config, history = run["config"], run["results"].get("history", [])
            if run["status"] == "done":
                check_form(run["results"], search.RESULTS)
            cell = {"row": row_of(config).label, "draw": config["seed"]}
            cell |= {name: config[name] for name in ("arity", "batch_size")}
            # Profiles may have trainings in common, with other bounds of the trained model.
            training = text_of({**config, "valid_samples": None, "images": None})
            other = (config["full"], config["hidden"]) != (full, list(hidden))
        except (DamagedFileError, ArithmeticError, ValueError, TypeError, KeyError) as error:
            warnings.warn(f"{path} is left out: {type(error).__name__}: {error}", stacklevel=2)
            continue
        if other or training in counted:
            continue
        counted.add(training)
        for threshold in thresholds:
            steps = [entry["step"] for entry in history if -entry["valid_elbo"] <= threshold]
            found.append({**cell, "threshold": threshold, "steps": steps[0] if steps else math.nan})
    found.sort(key=lambda entry: (label_rank(str(entry["row"])), entry["draw"]))
    columns = ["row", "arity", "batch_size", "draw", "threshold", "steps"]
    return pd.DataFrame(found, columns=columns)


def crossings(steps: pd.DataFrame) -> pd.DataFrame:
    """Average the steps to each threshold, as in appendix D.2: over those runs that reach it.

    In each cell, of arity and batch size, only draws that all of its rows tried are counted.

    Args:
        steps: from `steps_to_thresholds`.

    Returns:
        `row`, `arity`, `batch_size`, `threshold`, `runs` and how many `reached` it; the mean number
        of `steps`, and its `standard_error` over the runs.
    """
    cell = ["arity", "batch_size"]
    tried = steps.groupby([*cell, "draw"])["row"].transform("nunique")
    by_all = tried == steps.groupby(cell)["row"].transform("nunique")
    groups = steps[by_all].groupby(["row", *cell, "threshold"], sort=False).steps
    return groups.agg(
        runs="size", reached="count", steps="mean", standard_error="sem"
    ).reset_index()


def tables(outcome: Outcome) -> Tables:
    """Return the numbers of the figure: `fig2`, and of the trainings of Table 2 `thresholds`
    and `steps`, without rows if there are none with these models.

    Args:
        outcome: of the trajectories.
    """
    profile, folder = outcome.profile, outcome.folder.parent / "table2"
    steps = steps_to_thresholds(folder, full=profile.full, hidden=profile.hidden)
    return {"fig2": trajectories.table(outcome), "thresholds": crossings(steps), "steps": steps}


def figure_2(table: pd.DataFrame, thresholds: pd.DataFrame | None = None) -> go.Figure:
    """Return Figure 2: variance over training, MSE over τ, and steps to thresholds.

    Args:
        table: from `trajectories.table`. Its first τ is shown over training, its last step over
            τ; an estimator without τ is a point at 0.
        thresholds: from `crossings`; left out, the third part is, too.

    Example:
        >>> import pandas as pd
        >>> row = {"arity": 8, "step": 100, "row": "ST-GS", "tau": 0.5, "monte_carlo": 9.0}
        >>> row |= {"monte_carlo_error": 1.0, "minibatch": 4.0, "minibatch_error": 1.0, "mse": 10.0}
        >>> [trace.y for trace in figure_2(pd.DataFrame([row])).data]
        [(9.0,), (10.0,)]
    """
    from ._curves import add, plots

    titles = ["variance of the draws", "mean squared error", "speed of training"]
    titles = titles[: 2 if thresholds is None else 3]
    figure = plots(len(titles), 1, titles, spacing=0.1, vertical_spacing=0.36 / len(titles))
    figure.update_layout(height=300 * len(titles))
    at_first = table[(table.tau == table.tau.iloc[0]) | table.tau.isna()]
    add(figure, (1, 1), at_first, "step", "monte_carlo", "monte_carlo_error")
    at_last = table[table.step == table.step.max()].fillna({"tau": 0.0}).sort_values("tau")
    add(figure, (2, 1), at_last, "tau", "mse")
    figure.update_xaxes(DECADES, row=1, title_text="training step")
    figure.update_yaxes(row=1, title_text=f"trace of covariance, τ = {table.tau.iloc[0]:g}")
    figure.update_xaxes(
        row=2, title_text=f"τ (0: no τ), at step {table.step.max():,}", rangemode="tozero"
    )
    figure.update_yaxes(DECADES, title_text="MSE given the minibatch", row=2)
    figure.update_yaxes(DECADES, row=1)
    if thresholds is not None:
        reached = thresholds[(thresholds.reached > 0) & thresholds.arity.isin(table.arity)]
        reached = reached[reached.batch_size == 20]  # that of the trajectories
        add(figure, (3, 1), reached, "threshold", "steps", "standard_error")
        figure.update_xaxes(
            row=3, autorange="reversed", title_text="validation loss to reach, nats"
        )
        figure.update_yaxes(row=3, title_text="training steps")
    return figure


def page(tables: Tables) -> str:
    """Return the body of the page.

    Args:
        tables: from `tables`.
    """
    from ._curves import body

    thresholds = tables["thresholds"] if len(tables["thresholds"]) else None
    said = (
        "Top: variance of the encoder's gradient given the minibatch, over training. Middle: its "
        "mean squared error over τ, at the last step. Bars are two standard errors."
    )
    if thresholds is not None:
        said += (
            " Bottom: mean number of steps of those runs that reach a loss at all, of the draws "
            "that all estimators tried."
        )
    return body(figure_2(tables["fig2"], thresholds), said, tables["fig2"])


def text(tables: Tables) -> str:
    """Return what the command prints.

    Args:
        tables: from `tables`.
    """
    parts = [tables["fig2"].to_string()]
    if len(tables["thresholds"]):
        parts.append(tables["thresholds"].to_string())
    else:
        parts.append("Iterations to thresholds need the runs of `reproduce table2`.")
    return "\n\n".join(parts)


PROFILES = {
    "smoke": Trajectories(
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
    "lecture": Trajectories(
        (8,),
        (100, 1000),
        (0.5, 0.1),
        rows=lambda: [ST_GS, GR_10, GR_INF],
        num_batches=20,
        bias_batches=4,
        bias_samples=20,
        reference_samples=200,
        full=False,
        hidden=(200,),
    ),
    # An hour of one core. Cut: K = 1000, and the number of minibatches; what is measured has
    # no bias at any number.
    "cpu": Trajectories(
        (8,),
        (100, 1000, 10_000, 50_000),
        (0.5, 0.1, 0.25, 1.0, 2.0, 4.0, 8.0, 16.0),
        rows=lambda: [GS, ST, ST_GS, GR_10, GR_100, GR_INF, ZGR, RLOO],
        bias_batches=8,
    ),
    "paper": Trajectories((8,), (100, 1000, 5000, 10_000, 20_000, 50_000), num_batches=5000),
}

EXPERIMENT = Experiment(
    name="fig2",
    title="Figure 2",
    profiles=PROFILES,
    configurations=trajectories.configurations,
    run_title=trajectories.run_title,
    train=trajectories.train,
    results=trajectories.RESULTS,
    tables=tables,
    page=page,
    text=text,
    prepare=search.prepare,
)
