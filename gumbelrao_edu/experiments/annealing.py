"""Discrete VAEs whose temperature falls while they are trained, beside constant temperatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..figures.rows import GR_INF, ST_GS, label_rank, labels_of, row_of
from ..modules import GumbelRao, Schedule
from ..training.run import Run
from ..vae import DiscreteVAE
from . import search
from .experiment import Config, Experiment, Outcome, Tables

if TYPE_CHECKING:
    import pandas as pd

ROWS = (ST_GS, GR_INF)
SCHEDULES = (
    *(Schedule(tau) for tau in (1.0, 0.3, 0.1)),
    *(Schedule(1.0, 0.1, steps=1, shape=shape) for shape in ("linear", "exponential", "cosine")),
)


@dataclass(frozen=True)
class Annealing:
    """A profile: trainings of one model, with 8-ary variables, batch size 20.

    Attributes:
        seeds: each is one of the weights, the order of the data and the draws; the same for all.
        steps: of each training; a schedule that falls does so over all of them.
        full: train on the full set of digits, or on the 5,000 that come with the course.
        hidden: widths of the encoder's hidden layers.
        valid_samples: M of the importance-weighted bound on the validation set.
        images: how many of this set are used; None for all.
        schedules: of the temperature; their `steps` are replaced by those of the training.
    """

    seeds: tuple[int, ...]
    steps: int
    full: bool = True
    hidden: tuple[int, ...] = (512, 256)
    valid_samples: int = 100
    images: int | None = None
    schedules: Sequence[Schedule] = SCHEDULES


def configurations(profile: Annealing) -> list[Config]:
    """Return what `train` needs, seed by seed, so that a stopped profile has whole seeds.

    The learning rate, the momentum and the weight decay are those of draw 3 of Table 2's search,
    the best of them for GR.

    Args:
        profile: the trainings.
    """
    return [
        {
            **row.config(),
            "arity": 8,
            "batch_size": 20,
            "learning_rate": 0.0039,
            "momentum": 0.465,
            "weight_decay": 1e-5,
            "tau": schedule.start,
            "end": schedule.last,
            "shape": schedule.shape,
            "seed": seed,
            "steps": profile.steps,
            "full": profile.full,
            "hidden": list(profile.hidden),
            "valid_samples": profile.valid_samples,
            "images": profile.images,
        }
        for seed in profile.seeds
        for schedule in profile.schedules
        for row in ROWS
    ]


def schedule_title(config: Config) -> str:
    """Return the schedule as tables and figures print it.

    Args:
        config: of a training.

    Example:
        >>> schedule_title({"shape": "cosine", "tau": 1.0, "end": 0.1})
        'cosine, 1 to 0.1'
    """
    if config["shape"] == "constant":
        return f"τ = {config['tau']:g}"
    return f"{config['shape']}, {config['tau']:g} to {config['end']:g}"


def run_title(config: Config) -> str:
    """Return what varies from run to run, for the names of files.

    Args:
        config: of a training.

    Example:
        >>> schedule = {"shape": "cosine", "tau": 1.0, "end": 0.1}
        >>> run_title({"estimator": "gumbel_rao", "k": 10, **schedule, "seed": 0})
        'GR-MC10_cosine1to0.1_seed0'
    """
    schedule = f"{config['shape']}{config['tau']:g}"
    if config["shape"] != "constant":
        schedule += f"to{config['end']:g}"
    return f"{row_of(config).file_label}_{schedule}_seed{config['seed']}"


def train(run: Run) -> dict[str, Any]:
    """Train one model, as `search.train` does, with a temperature for each step.

    Args:
        run: see `configurations`.

    Returns:
        As `search.train`.

    Raises:
        TrainingDivergedError: when the training or a bound is not finite.
    """
    config = run.config
    model, draws = search.build(config)
    schedule = Schedule(config["tau"], config["end"], steps=config["steps"], shape=config["shape"])
    # ST-GS is GR with K = 1. The layer is a part of the model: its step is saved with the weights.
    model.estimator = GumbelRao(schedule, row_of(config).hyper.get("k", 1), generator=draws)
    return search.train_model(run, model, search.begin(config, model, draws, loss))


def loss(model: DiscreteVAE, images: Tensor) -> Tensor:
    """Return the mean of −ELBO over a minibatch, and take the layer to its next temperature."""
    value = search.loss(model, images)
    assert isinstance(model.estimator, GumbelRao)
    model.estimator.step()
    return value


def labelled(runs: pd.DataFrame) -> pd.DataFrame:
    """Add to a table of trainings the `schedule`, the `row` and the `bound` that it ended with.

    Args:
        runs: see `table_of`.
    """
    return runs.assign(
        schedule=[schedule_title(config) for config in runs.to_dict("records")],
        row=labels_of(runs),
        bound=-runs.valid_bound,
    )


def tables(outcome: Outcome) -> Tables:
    """Return the bounds, schedule by schedule.

    Args:
        outcome: of the trainings.

    Returns:
        `annealing`: for each `schedule` and `row` the `mean` bound of the negative log-likelihood
        on the validation set, in nats, its `standard_error` over the `seeds`, and how many
        trainings `diverged`.
    """
    runs = labelled(outcome.runs)
    runs["diverged"] = runs.status == "diverged"
    cells = runs.groupby(["schedule", "row"], sort=False).agg(
        seeds=("bound", "count"),
        mean=("bound", "mean"),
        standard_error=("bound", "sem"),
        diverged=("diverged", "sum"),
    )
    return {"annealing": cells.reset_index()}


def arranged(cells: pd.DataFrame) -> pd.DataFrame:
    """Arrange the cells: a row a schedule, a column an estimator, each "99.1 ± 0.3".

    Args:
        cells: from `tables`.
    """

    def text(mean: float, error: float) -> str:
        return f"{mean:.1f}" + ("" if math.isnan(error) else f" ± {error:.1f}")

    texts = [text(cell.mean, cell.standard_error) for cell in cells.itertuples()]
    table = cells.assign(text=texts).pivot(index="schedule", columns="row", values="text")
    return table.loc[cells.schedule.unique(), sorted(table.columns, key=label_rank)]


# Each row with its own best ones would be a search of its own.
_CHOSEN = (
    "Learning rate, momentum and weight decay are those of draw 3 of Table 2, the best one for GR; "
    "they may favour it."
)

EXPERIMENT = Experiment(
    name="annealing",
    title="A temperature that falls",
    profiles={
        "smoke": Annealing((0,), 10, False, (16,), valid_samples=2, images=20),
        "lecture": Annealing((0,), 300, False, (200,), valid_samples=10, images=200),
        # An hour of one core. Cut: nine tenths of the steps and of the images, two seeds.
        "cpu": Annealing((0, 1, 2), 5000, images=1000),
        "paper": Annealing(tuple(range(5)), 50_000),
    },
    configurations=configurations,
    run_title=run_title,
    train=train,
    results=search.RESULTS,
    tables=tables,
    page=lambda tables: f"{arranged(tables['annealing']).to_html()}\n<p>{_CHOSEN}</p>",
    text=lambda tables: f"{arranged(tables['annealing']).to_string()}\n{_CHOSEN}",
    prepare=search.prepare,
)
