"""Table 1: accuracy on ListOps with parse trees drawn by each estimator."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ..device import default_device
from ..estimators import sampler
from ..listops import (
    Batch,
    ListOps,
    Split,
    TreeLSTM,
    load_listops,
    load_published_test,
    losses,
    score,
)
from ..listops.data import fetch_listops
from ..training.files import write
from ..training.errors import TrainingDivergedError
from ..training.loop import Training
from ..training.runs import run_all

WEIGHT_DECAY = 1e-4  # appendix D.1


@dataclass(frozen=True)
class Row:
    """A row of the table: an estimator of the registry, and its K where it has one.

    The paper names no clipping of gradients; without it, what does not diverge is a result of the
    estimator. (The public code of the model's authors clips at a norm of 5.)
    """

    label: str
    estimator: str
    k: float | None = None
    clip: float | None = None


ST_GS = Row("ST-GS", "st_gumbel_softmax")
GR_10, GR_100, GR_1000 = (Row(f"GR-MC{k}", "gumbel_rao", k) for k in (10, 100, 1000))
GR_INF = Row("GR-∞", "gumbel_rao", math.inf)
ZGR = Row("ZGR", "zgr")
ST_GS_CLIPPED = Row("ST-GS, clipped at 1", "st_gumbel_softmax", clip=1.0)
ROWS = (ST_GS, GR_10, GR_100, GR_1000, GR_INF, ZGR, ST_GS_CLIPPED)

# Test accuracy in percent as Table 1 of the paper prints it, by largest length and temperature.
PAPER = {
    ("ST-GS", 10): (38.8, 59.3, 65.8),
    ("ST-GS", 25): (41.2, 57.1, 60.2),
    ("ST-GS", 50): (46.8, 56.8, 59.6),
    ("GR-MC10", 10): (66.4, 66.9, 66.7),
    ("GR-MC10", 25): (60.7, 60.8, 60.9),
    ("GR-MC10", 50): (58.7, 59.1, 59.6),
    ("GR-MC100", 10): (65.6, 66.3, 65.9),
    ("GR-MC100", 25): (60.0, 61.3, 61.2),
    ("GR-MC100", 50): (59.6, 59.1, 59.6),
    ("GR-MC1000", 10): (66.5, 67.1, 67.0),
    ("GR-MC1000", 25): (60.2, 60.9, 61.2),
    ("GR-MC1000", 50): (60.0, 59.8, 59.9),
}
PAPER_TAUS = (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Settings:
    """The runs of a profile: every combination of the first five.

    Attributes:
        seeds: of initial weights, order of the data and draws; all rows share them.
        learning_rates, taus, rows: as named; ZGR has no τ.
        lengths: L, the largest number of tokens, which is the batch size, too.
        epochs: passes over the training set.
        train: how much of the training set is used; None for all.
        dim: size of the model.
        published: whether the published set is needed, or the generated one wanted.
    """

    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    taus: tuple[float, ...]
    rows: tuple[Row, ...]
    lengths: tuple[int, ...] = (10,)
    epochs: int = 10
    train: int | None = None
    dim: int = 128
    published: bool = False

    def configs(self) -> list[dict[str, Any]]:
        """What `train` is called with: rows of the paper's protocol first, seed by seed."""
        configs = [
            {
                "estimator": row.estimator,
                "k": row.k,
                "tau": tau,
                "clip": row.clip,
                "length": length,
                "learning_rate": rate,
                "seed": seed,
                "epochs": self.epochs,
                "train": self.train,
                "dim": self.dim,
                "published": self.published,
            }
            for seed in self.seeds
            for rate in self.learning_rates
            for length in self.lengths
            for row in self.rows
            for tau in (self.taus if row is not ZGR else (None,))
        ]
        return sorted(configs, key=lambda config: config["clip"] is not None)


PROFILES = {
    "smoke": Settings(
        (0,), (0.5,), (1.0,), (ST_GS, GR_10, GR_INF, ZGR), epochs=1, train=100, dim=8
    ),
    "lecture": Settings(
        (0,), (0.1,), (0.01,), (ST_GS, GR_10, GR_INF), epochs=1, train=12_000, dim=64
    ),
    "cpu": Settings((0, 1, 2), (0.1, 0.2), (0.01, 1.0), (ST_GS, GR_10, GR_INF)),
    "paper": Settings(
        tuple(range(5)),
        tuple(round(0.1 * i, 1) for i in range(1, 11)),
        PAPER_TAUS,
        ROWS,
        lengths=(10, 25, 50),
        published=True,
    ),
}


@functools.lru_cache(maxsize=1)
def _data(published: bool, length: int, size: int | None) -> tuple[ListOps, Split | None]:
    """The sets of a run, and the sentences of the published test set that are not trained on."""
    data = load_listops(full=published).up_to(length)
    train = Split(data.train.examples[:size], data.train.name)
    data = ListOps(train, data.valid, data.test, data.name)
    if published or (other := load_published_test()) is None:
        return data, None
    seen = {example.tokens for example in (*data.train.examples, *data.valid.examples)}
    unseen = [e for e in other.up_to(length).examples if e.tokens not in seen]
    return data, Split(unseen, other.name)


def loss(model: TreeLSTM, batch: Batch) -> Tensor:
    """Return the mean of `losses`, for `Training`."""
    return losses(model, batch).mean()


def train(
    config: dict[str, Any], checkpoint: Path, tick: Callable[[float], None]
) -> dict[str, Any]:
    """Train one model, as `run_all` asks for it.

    Args:
        config: see `Settings.configs`.
        checkpoint: file to resume from and to save to.
        tick: called with the fraction done.

    Returns:
        Accuracies in percent: on the validation set, best over the epochs (0 is before training),
        and after that epoch on the test set and on the unseen part of the published test set where
        it is there and another one; the same after the last whole epoch; F1 and depth of the trees;
        `diverged_at`, the step that ended the training before its time; the history of the epochs.
    """
    data, unseen = _data(config["published"], config["length"], config["train"])
    device, seed = default_device(), config["seed"]
    draws = torch.Generator(device).manual_seed(seed)
    hyper = {name: config[name] for name in ("tau", "k") if config[name] is not None}
    model = TreeLSTM(
        sampler(config["estimator"], generator=draws, **hyper),
        dim=config["dim"],
        generator=torch.Generator().manual_seed(seed),
    ).to(device)
    training = Training(
        model,
        loss,
        data.train,
        batch_size=config["length"],
        learning_rate=config["learning_rate"],
        weight_decay=WEIGHT_DECAY,
        clip=config["clip"],
        seed=seed,
        generators=[draws],
    )
    epoch = len(data.train) // config["length"]
    last = epoch * config["epochs"]

    def scores() -> dict[str, float | None]:
        valid, test = score(model, data.valid), score(model, data.test)
        return {
            "valid_accuracy": 100 * valid.accuracy,
            "test_accuracy": 100 * test.accuracy,
            "published_accuracy": 100 * score(model, unseen).accuracy if unseen else None,
            "test_f1": test.f1,
            "test_depth": test.depth,
        }

    def report(training: Training) -> None:
        if training.step % epoch == 0:
            training.history[-1] |= {"epoch": training.step // epoch, **scores()}
        tick(training.step / last)

    # A report at the end of each epoch, and some on the way: progress and checkpoints.
    every = next(n for n in range(max(1, epoch // 10), epoch + 1) if epoch % n == 0)
    epochs: list[dict[str, Any]] = [{"step": 0, "epoch": 0, **scores()}]
    diverged_at = None
    try:
        training.run(last, every=every, callback=report, checkpoint=checkpoint)
    except TrainingDivergedError:
        # What was best before it is a result: the epoch is chosen on the validation set anyhow.
        diverged_at = training.step + 1
    epochs += [entry for entry in training.history if "epoch" in entry]
    best = max(epochs, key=lambda entry: entry["valid_accuracy"])  # the first of equal ones
    names = ("valid_accuracy", "test_accuracy", "published_accuracy", "test_f1", "test_depth")
    return {
        "device": str(device),
        "diverged_at": diverged_at,
        "best_epoch": best["epoch"],
        **{name: best[name] for name in names},
        **{f"last_{name}": epochs[-1][name] for name in names},
        "history": epochs,
    }


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Choose the learning rate of each cell on the validation set, and average over the seeds.

    Args:
        runs: rows as `run_all` returns them.

    Returns:
        One row for each cell: `length`, `tau` (0 for ZGR), `row`; `learning_rate`, the one with the
        best mean validation accuracy among those with the most seeds; `seeds`, how many there are,
        and how many of these `diverged` at some step; test accuracy in percent, its standard error
        over the seeds and the number that the paper prints for this cell: `accuracy`,
        `standard_error`, `paper`; `published_accuracy` on the published test set; `f1`, `depth`.
    """
    cells = []
    done = runs[runs.status == "done"]
    done = done.assign(
        **{name: done[name].fillna(0.0).astype(float) for name in ("tau", "k", "clip")}
    )
    for (length, tau, estimator, k, clip), cell in done.groupby(
        ["length", "tau", "estimator", "k", "clip"], sort=False
    ):
        rates = cell.groupby("learning_rate").valid_accuracy.agg(["count", "mean"])
        rate = max(rates.index, key=lambda rate: tuple(rates.loc[rate]))
        best = cell[cell.learning_rate == rate]
        label = next(
            row.label
            for row in ROWS
            if (row.estimator, row.k or 0.0, row.clip or 0.0) == (estimator, k, clip)
        )
        printed = dict(zip(PAPER_TAUS, PAPER.get((label, int(length)), ()), strict=False))
        cells.append(
            {
                "length": length,
                "tau": tau,
                "row": label,
                "learning_rate": rate,
                "seeds": len(best),
                "diverged": int(best.diverged_at.notna().sum()),
                "accuracy": best.test_accuracy.mean(),
                "standard_error": best.test_accuracy.sem(),
                "paper": printed.get(tau, math.nan),
                "published_accuracy": best.published_accuracy.astype(float).mean(),
                "f1": best.test_f1.mean(),
                "depth": best.test_depth.mean(),
            }
        )
    return pd.DataFrame(cells)


def layout(cells: pd.DataFrame) -> pd.DataFrame:
    """Arrange `summarise`'s cells as Table 1: a row an estimator, a column for each L and τ.

    A cell reads "ours ± its standard error (the paper's)".
    """

    def written(cell: pd.Series) -> str:
        error = "" if math.isnan(cell.standard_error) else f" ± {cell.standard_error:.1f}"
        paper = "" if math.isnan(cell.paper) else f" (paper: {cell.paper:.1f})"
        return f"{cell.accuracy:.1f}{error}{paper}"

    texts = cells.assign(
        cell=cells.apply(written, axis=1),
        column=[
            f"L ≤ {c.length:g}, " + (f"τ = {c.tau:g}" if c.tau else "τ → 0")
            for c in cells.itertuples()
        ],
    )
    table = texts.pivot(index="row", columns="column", values="cell").fillna("")
    rows = [row.label for row in ROWS if row.label in table.index]
    columns = texts.sort_values(["length", "tau"]).column.unique()
    return table.loc[rows, columns].rename_axis(index="estimator", columns=None)


def run(
    settings: Settings,
    out: Path,
    *,
    jobs: int = 1,
    backend: str = "joblib",
    report: Callable[[str], object] = print,
) -> pd.DataFrame:
    """Train what is missing and write the table.

    Args:
        settings: see `PROFILES`.
        out: folder of the files: `runs.csv` and `runs/` (see `run_all`), `table1.csv` with the
            cells and `table1.html` in the form of the paper.
        jobs, backend, report: as for `run_all`.

    Returns:
        The cells, see `summarise`.

    Raises:
        ArithmeticError: when no run ended well; the rows are written.
        DataError: when the published set is asked for and cannot be had.
    """
    if settings.published:
        fetch_listops()  # say so before a worker does
    runs = run_all(train, settings.configs(), out, jobs=jobs, backend=backend, report=report)
    if not (runs.status == "done").any():
        raise ArithmeticError(f"no run ended well; {out / 'runs.csv'} says why")
    cells = summarise(runs)
    write(out / "table1.csv", cells.to_csv(index=False, float_format="%.5g", lineterminator="\n"))
    write(out / "table1.html", layout(cells).to_html())
    report(layout(cells).to_string())
    return cells
