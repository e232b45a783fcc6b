"""Random search over the hyper-parameters of discrete VAEs (section 5.4, appendix D.2)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .. import estimators
from ..device import default_device
from ..gumbel import gumbel_max
from ..training.files import replacing, write
from ..training.loop import Training
from ..training.runs import run_all, run_id
from ..vae import Digits, DiscreteVAE, importance_weighted_bound, load_digits
from ..vae.data import fetch_binarized_mnist

Tick = Callable[[float], None]

_REPORTS = 50  # over a training
_WATCHED = 2000  # validation images that a training is watched by
_CHUNK = 200  # images of a bound that is stopped and goes on
_SAME_DRAWS = 2021  # seed of what models are compared by
_SEARCHES = ("table2", "table3", "fig4")  # folders of searches that have runs in common


@dataclass(frozen=True)
class Row:
    """An estimator of the registry, with its K or its S where it has one.

    Attributes:
        label: as tables print it.
        estimator: the name in the registry.
        k: inner samples of `gumbel_rao`.
        num_samples: S of a score-function estimator, 0 for the others.
    """

    label: str
    estimator: str
    k: float | None = None
    num_samples: int = 0


GS = Row("GS", "gumbel_softmax")
REINFORCE = Row("REINFORCE", "reinforce", num_samples=1)
ST = Row("ST", "straight_through")
ST_GS = Row("ST-GS", "st_gumbel_softmax")
GR_10, GR_100, GR_1000 = (Row(f"GR-MC{k}", "gumbel_rao", k) for k in (10, 100, 1000))
GR_INF = Row("GR-∞", "gumbel_rao", math.inf)
ZGR = Row("ZGR", "zgr")
RLOO = Row("RLOO", "rloo", num_samples=4)
ROWS = (GS, REINFORCE, RLOO, ST, ST_GS, GR_10, GR_100, GR_1000, GR_INF, ZGR)


@dataclass(frozen=True)
class Settings:
    """The runs of a profile.

    Attributes:
        cells: each a row, an arity and a batch size.
        draws: hyper-parameters tried in each cell; the same ones in all cells.
        steps: of each training.
        full: train on the full set of digits, or on the 5,000 that come with the course.
        hidden: widths of the encoder's hidden layers.
        valid_samples, test_samples: M of the importance-weighted bound, on the validation set for
            all models, and on the test set for the one that is chosen.
        images: how many of each of these sets are used; None for all.
    """

    cells: tuple[tuple[Row, int, int], ...]
    draws: int = 20
    steps: int = 50_000
    full: bool = True
    hidden: tuple[int, ...] = (512, 256)
    valid_samples: int = 5000
    test_samples: int = 5000
    images: int | None = None

    def configs(self) -> list[dict[str, Any]]:
        """What `train` is called with, draw by draw, so that a stopped search is a smaller one."""
        return [
            {
                "estimator": row.estimator,
                "k": row.k,
                "num_samples": row.num_samples,
                "arity": arity,
                "batch_size": batch_size,
                **hyperparameters(draw, estimators.get(row.estimator)),
                "seed": draw,
                "steps": self.steps,
                "full": self.full,
                "hidden": list(self.hidden),
                "valid_samples": self.valid_samples,
                "images": self.images,
            }
            for draw in range(self.draws)
            for row, arity, batch_size in self.cells
        ]


def hyperparameters(draw: int, record: estimators.Record) -> dict[str, float | None]:
    """Draw a learning rate, momentum, weight decay and τ as appendix D.2 says.

    Args:
        draw: number of the draw. All estimators get the same ones, so that none has better luck.
        record: of the estimator; τ is None for one that has none.

    Example:
        >>> hyperparameters(3, estimators.get("zgr"))["tau"] is None
        True
    """
    random = np.random.default_rng([_SAME_DRAWS, draw])
    drawn: dict[str, float | None] = {
        "learning_rate": round(1e-4 * int(random.integers(5, 51)), 4),
        "momentum": round(random.uniform(), 3),
        "weight_decay": [0.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6][random.integers(7)],
        "tau": round(random.uniform(0.1, 1.0), 3),
    }
    return drawn if "tau" in record.example else {**drawn, "tau": None}


@functools.lru_cache(maxsize=1)
def _data(full: bool) -> Digits:
    return load_digits(full=full)


def build(config: dict[str, Any]) -> tuple[DiscreteVAE, torch.Generator]:
    """Return the model of a run before its training, and what its estimator draws from."""
    device = default_device()
    draws = torch.Generator(device).manual_seed(config["seed"])
    hyper = {name: config[name] for name in estimators.get(config["estimator"]).example}
    model = DiscreteVAE(
        config["arity"],
        estimators.sampler(config["estimator"], generator=draws, **hyper),
        pixel_mean=_data(config["full"]).train.float().mean(0),
        hidden=config["hidden"],
        generator=torch.Generator().manual_seed(config["seed"]),
    )
    return model.to(device), draws


def objective(model: DiscreteVAE, images: Tensor) -> Tensor:
    """Return the mean of −ELBO over a minibatch, for `Training`."""
    return -model.elbo(images.to(model.pixel_mean)).mean()


def begin(config: dict[str, Any], model: DiscreteVAE, draws: torch.Generator) -> Training:
    """Return the training of what `build` made, before its first step."""
    return Training(
        model,
        objective,
        _data(config["full"]).train,
        batch_size=config["batch_size"],
        learning_rate=config["learning_rate"],
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
        seed=config["seed"],
        generators=[draws],
    )


def train(config: dict[str, Any], checkpoint: Path, tick: Tick, *, models: Path) -> dict[str, Any]:
    """Train one model, as `run_all` asks for it, and keep its weights.

    Args:
        config: see `Settings.configs`.
        checkpoint: file to resume from and to save to.
        tick: called with the fraction done.
        models: folder of the weights.

    Returns:
        `valid_bound`, the importance-weighted bound on the validation set, in nats (higher is
        better), by which models are chosen; `valid_elbo` with one sample on a part of it, with
        a code that is drawn whatever the training relaxes; the history of the latter.
    """
    model, draws = build(config)
    training, steps = begin(config, model, draws), config["steps"]
    valid = _data(config["full"]).valid[: config["images"]]

    def report(training: Training) -> None:
        training.history[-1]["valid_elbo"] = _elbo(model, valid[:_WATCHED])
        tick(0.9 * training.step / steps)

    training.run(steps, every=max(1, steps // _REPORTS), callback=report, checkpoint=checkpoint)
    bounds = _bounds(
        model,
        valid,
        config["valid_samples"],
        checkpoint.with_name("valid.pt"),
        lambda fraction: tick(0.9 + 0.1 * fraction),
    )
    with replacing(models / f"{run_id(config)}.pt", "wb") as file:
        torch.save(model.state_dict(), file)
    return {
        "device": str(model.pixel_mean.device),
        "valid_bound": bounds.mean().item(),
        "valid_elbo": training.history[-1]["valid_elbo"],
        "history": training.history,
    }


def test(config: dict[str, Any], checkpoint: Path, tick: Tick, *, models: Path) -> dict[str, Any]:
    """Compute the bound of a trained model on the test set, as `run_all` asks for it.

    Args:
        config: that of the training, and `test_samples`.
        checkpoint: file of the bounds so far.
        tick: called with the fraction done.
        models: folder of the weights; if they are not there, the model is trained again.

    Returns:
        `test_bound`, the mean over the images in nats, and its `standard_error`.
    """
    trained = {name: value for name, value in config.items() if name != "test_samples"}
    weights = models / f"{run_id(trained)}.pt"
    if not weights.exists():  # only the rows were kept
        train(trained, checkpoint.with_name("training.pt"), lambda fraction: None, models=models)
    model, _ = build(trained)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    images = _data(config["full"]).test[: config["images"]]
    bounds = _bounds(model, images, config["test_samples"], checkpoint, tick)
    return {
        "device": str(model.pixel_mean.device),
        "test_bound": bounds.mean().item(),
        "standard_error": (bounds.std() / math.sqrt(len(bounds))).item(),
    }


@torch.no_grad()
def _elbo(model: DiscreteVAE, images: Tensor) -> float:
    """The mean single-sample bound, each time with the same draws."""
    device = model.pixel_mean.device
    draws = torch.Generator(device).manual_seed(_SAME_DRAWS)

    def draw(logits: Tensor) -> Tensor:
        return gumbel_max(logits, generator=draws)[0]

    parts = [model.elbo(part.to(device), estimator=draw) for part in torch.split(images, 1000)]
    return torch.cat(parts).mean().item()


def _bounds(
    model: DiscreteVAE, images: Tensor, num_samples: int, checkpoint: Path, tick: Tick
) -> Tensor:
    """The importance-weighted bound of each image; what was stopped goes on from the file."""
    device = model.pixel_mean.device
    bounds = torch.load(checkpoint) if checkpoint.exists() else torch.empty(0)
    while len(bounds) < len(images):
        draws = torch.Generator(device).manual_seed(_SAME_DRAWS + len(bounds))
        part = images[len(bounds) : len(bounds) + _CHUNK].to(device)
        new = importance_weighted_bound(
            model, part, num_samples=num_samples, chunk=10, generator=draws
        )
        bounds = torch.cat([bounds, new.cpu()])
        with replacing(checkpoint, "wb") as file:
            torch.save(bounds, file)
        tick(len(bounds) / len(images))
    return bounds


def run(
    settings: Settings,
    out: Path,
    *,
    jobs: int = 1,
    backend: str = "joblib",
    report: Callable[[str], object] = print,
) -> pd.DataFrame:
    """Search all cells: train what is missing, choose, and test what was chosen.

    Args:
        settings: the cells.
        out: folder of the files: `runs.csv` and `runs/` of the trainings (see `run_all`), the same
            of the tests in `test/`, and the weights in `models/`. What Table 2, Table 3 and
            Figure 4 have in common is copied from their folders beside, not computed again.
        jobs, backend, report: as for `run_all`.

    Returns:
        One row for each cell: `row`, `arity`, `batch_size`; the hyper-parameters chosen;
        `draws`, how many were tried, and how many `diverged`; `valid` and `test`, the bounds of
        the negative log-likelihood in nats (lower is better), and the `standard_error` of the
        latter over the images.

    Raises:
        ArithmeticError: when no run of a cell ended well; the rows are written.
        DataError: when the full set is asked for and cannot be had.
    """
    if settings.full:
        fetch_binarized_mnist()  # say so before a worker does
    models = out / "models"
    parallel: dict[str, Any] = {"jobs": jobs, "backend": backend, "report": report}
    configs = settings.configs()
    _adopt(out, (f"runs/{run_id(config)}.json" for config in configs))
    runs = run_all(functools.partial(train, models=models.resolve()), configs, out, **parallel)
    chosen = choose(runs)
    tests = [{**configs[i], "test_samples": settings.test_samples} for i in chosen.index]
    _adopt(out, (f"models/{run_id(configs[i])}.pt" for i in chosen.index))
    _adopt(out, (f"test/runs/{run_id(config)}.json" for config in tests))
    tested = run_all(
        functools.partial(test, models=models.resolve()), tests, out / "test", **parallel
    )
    return chosen.assign(
        test=-tested.test_bound.to_numpy(), standard_error=tested.standard_error.to_numpy()
    )


def _adopt(out: Path, files: Iterable[str]) -> None:
    """Copy files that are missing from the folders of the other searches."""
    for file in files:
        found = [path for name in _SEARCHES if (path := out.parent / name / file).exists()]
        if found and not (out / file).exists():
            with replacing(out / file, "wb") as copy:
                copy.write(found[0].read_bytes())


def choose(runs: pd.DataFrame) -> pd.DataFrame:
    """Choose the run of each cell with the best bound on the validation set.

    Args:
        runs: rows as `run_all` returns them.

    Returns:
        Cells as `run` describes, without the test; the index says which run.
    """
    cells = {}
    runs = runs.assign(k=runs.k.fillna(0.0).astype(float))
    keys = ["estimator", "k", "num_samples", "arity", "batch_size"]
    for which, cell in runs.groupby(keys, sort=False):
        done = cell[cell.status == "done"]
        if done.empty:
            raise ArithmeticError(f"no run of {which} ended well; runs.csv says why")
        best = done.loc[done.valid_bound.astype(float).idxmax()]
        cells[best.name] = {
            "row": label_of(*which[:3]),
            **best[[*keys[3:], "learning_rate", "momentum", "weight_decay", "tau"]],
            "draws": len(cell),
            "diverged": int((cell.status == "diverged").sum()),
            "valid": -best.valid_bound,
        }
    return pd.DataFrame.from_dict(cells, orient="index")


def label_of(estimator: str, k: float | None, num_samples: int) -> str:
    """Return what tables call an estimator.

    Args:
        estimator, k, num_samples: of a configuration; for k None or 0 where it has none.

    Example:
        >>> label_of("gumbel_rao", 10, 0)
        'GR-MC10'
    """
    wanted = (estimator, float(k or 0), num_samples)
    rows = {(row.estimator, float(row.k or 0), row.num_samples): row.label for row in ROWS}
    return rows[wanted]


def arity_name(arity: int) -> str:
    """Return what tables call models whose variables have so many classes.

    Args:
        arity: number of classes.

    Example:
        >>> arity_name(2), arity_name(8)
        ('binary', '8-ary')
    """
    return "binary" if arity == 2 else f"{arity}-ary"


def beside(ours: float, paper: float) -> str:
    """Return a bound as tables show it, the paper's beside it where the paper has one.

    Args:
        ours, paper: in nats; the latter may be nan.

    Example:
        >>> beside(97.56, 97.4), beside(98.0, math.nan)
        ('97.6 (paper: 97.4)', '98.0')
    """
    return f"{ours:.1f}" + ("" if math.isnan(paper) else f" (paper: {paper:.1f})")


def write_table(
    path: Path, cells: pd.DataFrame, table: pd.DataFrame, report: Callable[[str], object]
) -> None:
    """Write the cells of a search and the table that is made of them.

    Args:
        path: of the files, without the ending: `.csv` for the cells, `.html` for the table.
        cells: numbers.
        table: texts.
        report: called with the table.
    """
    write(
        path.with_suffix(".csv"),
        cells.to_csv(index=False, float_format="%.6g", lineterminator="\n"),
    )
    write(path.with_suffix(".html"), table.to_html())
    report(table.to_string())
