"""Table 1: accuracy on ListOps with parse trees drawn by each estimator."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..device import default_device
from ..estimators import sampler
from ..figures.rows import (
    CLIPPED,
    GR_10,
    GR_100,
    GR_1000,
    GR_INF,
    ST_GS,
    ZGR,
    Row,
    label_rank,
    labels_of,
    row_of,
)
from ..listops import (
    Batch,
    ListOps,
    Split,
    TreeLSTM,
    accuracy,
    load_listops,
    load_published_test,
    losses,
    score,
)
from ..listops.data import FILLER, fetch_listops
from ..listops.objective import stack_batches
from ..training.errors import TrainingDivergedError
from ..training.loop import Training
from ..training.run import Run
from ..training.stacked import Together, run_together
from .experiment import Config, Experiment, Outcome, Tables

if TYPE_CHECKING:
    import pandas as pd


WEIGHT_DECAY = 1e-4  # appendix D.1
_FILLED = 10  # up to this length, batches of other seeds are filled up to be computed together

# The paper names no clipping of gradients; without it, what does not diverge is a result of the
# estimator. (The public code of the model's authors clips at a norm of 5.)
ROWS = (ST_GS, GR_10, GR_100, GR_1000, GR_INF, ZGR, *CLIPPED)
_PLAIN = (ST_GS, GR_10, GR_INF)

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


_SCORES = ("valid_accuracy", "test_accuracy", "test_f1", "test_depth")
RESULTS = {
    "best_epoch": float,
    "diverged_at": (int, None),
    **dict.fromkeys(_SCORES, float),
    "published_accuracy": (float, None),
}


@dataclass(frozen=True)
class Grid:
    """A profile: every combination of seeds, learning rates, lengths, rows and temperatures.

    Attributes:
        seeds: of initial weights, order of the data and draws; all rows share them.
        learning_rates, taus, rows: as named; a row without τ is trained once.
        lengths: L, the largest number of tokens, which is the batch size, too.
        epochs: passes over the training set.
        train: how much of the training set is used; None for all.
        dim: size of the model.
        published: whether the published set is needed, or the generated one wanted.
        validations: in an epoch; a training that breaks off has only those before it.
        more: further grids, of trainings that are not a product with those of this one.
    """

    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    taus: tuple[float, ...]
    rows: Sequence[Row]
    lengths: tuple[int, ...] = (10,)
    epochs: int = 10
    train: int | None = None
    dim: int = 128
    published: bool = False
    validations: int = 1
    more: tuple[Grid, ...] = ()


def configurations(grid: Grid) -> list[Config]:
    """Return what `train` needs: rows of the paper's protocol first, seed by seed.

    Args:
        grid: the profile; its further grids come last.
    """
    configs = [
        {
            "estimator": row.estimator,
            "k": row.hyper.get("k"),
            "tau": tau,
            "clip": row.clip,
            "length": length,
            "learning_rate": rate,
            "seed": seed,
            "epochs": grid.epochs,
            "train": grid.train,
            "dim": grid.dim,
            "published": grid.published,
            "validations": grid.validations,
        }
        for seed in grid.seeds
        for rate in grid.learning_rates
        for length in grid.lengths
        for row in grid.rows
        for tau in (grid.taus if row.has_tau else (None,))
    ]
    first = sorted(configs, key=lambda config: config["clip"] is not None)
    return first + [config for more in grid.more for config in configurations(more)]


def run_title(config: Config) -> str:
    """Return what varies from run to run, for the names of files.

    Args:
        config: of a training.
    """
    tau = "" if config["tau"] is None else f"_tau{config['tau']:g}"
    where = f"L{config['length']}{tau}_lr{config['learning_rate']:g}"
    return f"{row_of(config).file_label}_{where}_seed{config['seed']}"


PROFILES = {
    "smoke": Grid((0,), (0.5,), (1.0,), (ST_GS, GR_10, GR_INF, ZGR), epochs=1, train=100, dim=8),
    "lecture": Grid((0,), (0.1,), (0.01,), _PLAIN, epochs=1, train=12_000, dim=64),
    # Cut: all learning rates but three. At the temperature between the others they are the best one
    # at these and the smallest one of the paper.
    "cpu": Grid(
        (0, 1, 2),
        (0.05, 0.1, 0.2),
        (0.01, 1.0),
        _PLAIN,
        more=(Grid((0, 1, 2), (0.05, 0.1), (0.1,), _PLAIN),),
    ),
    "paper": Grid(
        tuple(range(5)),
        tuple(round(0.1 * i, 1) for i in range(1, 11)),
        PAPER_TAUS,
        ROWS,
        lengths=(10, 25, 50),
        published=True,
        validations=10,
    ),
}
# Cut: the longer sentences. The 150 trainings of a row are computed together.
PROFILES["gpu"] = replace(PROFILES["paper"], lengths=(10,))


@functools.lru_cache(maxsize=1)
def sentences(published: bool, length: int, size: int | None) -> tuple[ListOps, Split | None]:
    """Return the sets of a run, and the published test sentences that are not trained on.

    Args:
        published: the published set, or the generated one.
        length: L, the largest number of tokens.
        size: how much of the training set is used; None for all.
    """
    data = load_listops(full=published).up_to(length)
    train = Split(data.train.examples[:size], data.train.name)
    data = ListOps(train, data.valid, data.test, data.name)
    if published or (other := load_published_test()) is None:
        return data, None
    seen = {example.tokens for example in (*data.train.examples, *data.valid.examples)}
    unseen = [e for e in other.up_to(length).examples if e.tokens not in seen]
    return data, Split(unseen, other.name)


def loss(model: TreeLSTM, batch: Batch) -> Tensor:
    """Return the mean of `losses` over the sentences that have a label, for `Training`."""
    return losses(model, batch).sum() / (batch.labels != FILLER).sum()


class _Trial:
    """A training of the grid: what it begins with, what is noted of it, and its results."""

    def __init__(self, run: Run) -> None:
        self.run, config = run, run.config
        self.data, self.unseen = sentences(config["published"], config["length"], config["train"])
        self.device, seed = default_device(), config["seed"]
        draws = torch.Generator(self.device).manual_seed(seed)
        row = row_of(config)
        self.model = TreeLSTM(
            sampler(row.estimator, generator=draws, **row.hyper_at(config["tau"])),
            dim=config["dim"],
            generator=torch.Generator().manual_seed(seed),
        ).to(self.device)
        self.training = Training(
            self.model,
            loss,
            self.data.train,
            batch_size=config["length"],
            learning_rate=config["learning_rate"],
            weight_decay=WEIGHT_DECAY,
            clip=config["clip"],
            seed=seed,
            generators=[draws],
            about=config,
        )
        self.epoch = len(self.data.train) // config["length"]
        self.last = self.epoch * config["epochs"]
        moments = range(1, config["epochs"] * config["validations"] + 1)
        self.validations = [math.ceil(self.epoch * i / config["validations"]) for i in moments]
        self.diverged_at: int | None = None
        self.before: dict[str, Any] = {"step": 0, "epoch": 0.0, **self.validation(), **self.tests()}

    def validation(self) -> dict[str, float]:
        return {"valid_accuracy": 100 * accuracy(self.model, self.data.valid)}

    def tests(self) -> dict[str, float | None]:
        test = score(self.model, self.data.test)
        unseen = 100 * accuracy(self.model, self.unseen) if self.unseen else None
        return {
            "test_accuracy": 100 * test.accuracy,
            "published_accuracy": unseen,
            "test_f1": test.f1,
            "test_depth": test.depth,
        }

    def report(self, training: Training) -> None:
        entry, earlier = training.history[-1], [self.before, *training.history[:-1]]
        entry |= {"epoch": training.step / self.epoch, **self.validation()}
        # Of the others no test result is asked for: three quarters of the time would go to them.
        best = entry["valid_accuracy"] > max(other["valid_accuracy"] for other in earlier)
        if best or training.step % self.epoch == 0:
            entry |= self.tests()
        self.run.tick(training.step / self.last)

    def results(self) -> dict[str, Any]:
        """See `train`; what was best before it diverged is one, chosen on the validation set."""
        # The last entry has a loss and no more if the weights exploded in its step.
        noted = [entry for entry in self.training.history if "valid_accuracy" in entry]
        history = [self.before, *noted]
        whole = [entry for entry in history if entry["step"] % self.epoch == 0]
        best = max(history, key=lambda entry: entry["valid_accuracy"])  # the first of equal ones
        names = ("valid_accuracy", "test_accuracy", "published_accuracy", "test_f1", "test_depth")
        return {
            "device": str(self.device),
            "diverged_at": self.diverged_at,
            "best_epoch": best["epoch"],
            **{name: best[name] for name in names},
            **{f"last_{name}": whole[-1][name] for name in names},
            "history": history,
        }


def train(run: Run) -> dict[str, Any]:
    """Train one model, as `run_all` asks for it.

    Args:
        run: see `configurations`.

    Returns:
        Accuracies in percent: on the validation set, best over the validations (0 is before
        training), and at that moment on the test set and on the unseen part of the published test
        set where it is there and another one; the same after the last whole epoch; F1 and depth of
        the trees; `best_epoch`, when the best was, in epochs; `diverged_at`, the step that ended
        the training before its time; the history of the validations.
    """
    one = _Trial(run)
    try:
        one.training.run(
            one.last, every=one.validations, callback=one.report, checkpoint=run.checkpoint
        )
    except TrainingDivergedError:
        one.diverged_at = one.training.step + 1
    return one.results()


def alike(config: Config) -> Config:
    """Return what trainings have in common that `train_together` takes: a row of the table.

    With longer sentences than a few tokens, those with one seed.

    Args:
        config: of a training.
    """
    varied = {"learning_rate", "tau", "seed"}
    if config["length"] > _FILLED:
        varied.remove("seed")  # whose minibatches are the same, so that nothing is filled up
    return {name: value for name, value in config.items() if name not in varied}


def train_together(runs: Sequence[Run]) -> list[Callable[[Run], dict[str, Any]]]:
    """Train models that are `alike` in one program, see `run_together`.

    Args:
        runs: see `configurations`.

    Returns:
        For each run a function that gives the results of `train`.
    """
    trials = [_Trial(run) for run in runs]
    errors = run_together(
        [one.training for one in trials],
        trials[0].last,
        every=trials[0].validations,
        callbacks=[one.report for one in trials],
        checkpoints=[run.checkpoint for run in runs],
        stack=stack_batches,
    )
    for one, error in zip(trials, errors, strict=True):
        if error is not None:
            one.diverged_at = one.training.step + 1

    def results(one: _Trial) -> Callable[[Run], dict[str, Any]]:
        return lambda run: one.results()

    return [results(one) for one in trials]


def labelled(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the trainings that ended, with the label of their `row`, and a τ of 0 for none.

    Args:
        runs: a table of trainings, see `table_of`.
    """
    done = runs[runs.status == "done"]
    return done.assign(
        tau=done.tau.fillna(0.0).astype(float),
        row=labels_of(done),
    )


def at_best_rate(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the trainings of a cell with its learning rate: the best mean validation accuracy.

    Args:
        cell: trainings that differ in learning rate and seed. Rates with fewer seeds than another
            one has are not chosen.
    """
    rates = cell.groupby("learning_rate").valid_accuracy.agg(["count", "mean"])
    return cell[cell.learning_rate == max(rates.index, key=lambda rate: tuple(rates.loc[rate]))]


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Choose the learning rate of each cell on the validation set, and average over the seeds.

    Args:
        runs: a table of trainings, see `table_of`.

    Returns:
        One row for each cell: `length`, `tau` (0 for ZGR), `row`; `learning_rate`, the one with the
        best mean validation accuracy among those with the most seeds; `seeds`, how many there are,
        and how many of these `diverged` at some step; test accuracy in percent, its standard error
        over the seeds and the number that the paper prints for this cell: `accuracy`,
        `standard_error`, `paper`; the same on the published test set, if the runs had another one:
        `published_accuracy`, `published_error`; `f1`, `depth`.
    """
    import pandas as pd

    cells = []
    rows = labelled(runs).groupby(["length", "row"], sort=False)
    for length, label, tau, cell in (
        (*which, tau, cell) for which, row in rows for tau, cell in row.groupby("tau")
    ):
        best = at_best_rate(cell)
        printed = dict(zip(PAPER_TAUS, PAPER.get((label, int(length)), ()), strict=False))
        cells.append(
            {
                "length": length,
                "tau": tau,
                "row": label,
                "learning_rate": best.learning_rate.iloc[0],
                "seeds": len(best),
                "diverged": int(best.diverged_at.notna().sum()),
                "accuracy": best.test_accuracy.mean(),
                "standard_error": best.test_accuracy.sem(),
                "paper": printed.get(tau, math.nan),
                # Of all seeds, or of none.
                "published_accuracy": best.published_accuracy.astype(float).mean(skipna=False),
                "published_error": best.published_accuracy.astype(float).sem(skipna=False),
                "f1": best.test_f1.mean(),
                "depth": best.test_depth.mean(),
            }
        )
    return pd.DataFrame(cells)


def by_epoch(outcome: Outcome) -> pd.DataFrame:
    """Return the accuracy on the validation set of each training, as it went on.

    Args:
        outcome: of the trainings.

    Returns:
        `length`, `tau` (empty for ZGR), `row`, `learning_rate`, `seed`, and of each validation the
        `epoch`, 0 before training, and `valid_accuracy` in percent. What diverged ends earlier.
    """
    import pandas as pd

    names = ("length", "tau", "learning_rate", "seed")
    return pd.DataFrame(
        {
            "row": row_of(row["config"]).label,
            **{name: row["config"][name] for name in names},
            "epoch": entry["epoch"],
            "valid_accuracy": entry["valid_accuracy"],
        }
        for row in outcome.rows
        if row["status"] == "done"
        for entry in row["results"]["history"]
    )


def comparable(cell: Any) -> tuple[float, float]:
    """Return what to hold against the number of the paper, and its standard error.

    The paper's is the accuracy on the published test set. So is `accuracy` where the published set
    was trained on; else it is `published_accuracy`, if that test set was there.

    Args:
        cell: a row of what `summarise` returns.
    """
    if math.isnan(cell.published_accuracy):
        return cell.accuracy, cell.standard_error
    return cell.published_accuracy, cell.published_error


def paper_form(cells: pd.DataFrame) -> pd.DataFrame:
    """Arrange `summarise`'s cells as Table 1: a row an estimator, a column for each L and τ.

    A cell reads "41.0 ± 1.0 (paper: 38.8)", with the standard error over the seeds.

    Args:
        cells: from `summarise`.
    """

    def written(cell: pd.Series) -> str:
        value, deviation = comparable(cell)
        error = "" if math.isnan(deviation) else f" ± {deviation:.1f}"
        paper = "" if math.isnan(cell.paper) else f" (paper: {cell.paper:.1f})"
        return f"{value:.1f}{error}{paper}"

    texts = cells.assign(
        cell=cells.apply(written, axis=1),
        column=[
            f"L ≤ {c.length:g}, " + (f"τ = {c.tau:g}" if c.tau else "τ → 0")
            for c in cells.itertuples()
        ],
    )
    table = texts.pivot(index="row", columns="column", values="cell").fillna("")
    columns = texts.sort_values(["length", "tau"]).column.unique()
    return table.loc[sorted(table.index, key=label_rank), columns].rename_axis(
        index="estimator", columns=None
    )


def prepare(grid: Grid) -> None:
    """Download the published set where it is asked for, and say so before a worker does."""
    if grid.published:
        fetch_listops()


def tables(outcome: Outcome) -> Tables:
    """Return the cells, see `summarise`, and the way to them, see `by_epoch`.

    Args:
        outcome: of the trainings.
    """
    return {"table1": summarise(outcome.runs), "epochs": by_epoch(outcome)}


EXPERIMENT = Experiment(
    name="table1",
    title="Table 1",
    profiles=PROFILES,
    configurations=configurations,
    run_title=run_title,
    train=train,
    results=RESULTS,
    tables=tables,
    page=lambda tables: paper_form(tables["table1"]).to_html(),
    text=lambda tables: paper_form(tables["table1"]).to_string(),
    prepare=prepare,
    together=Together(alike, train_together),
)
