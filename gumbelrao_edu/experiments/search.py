"""The paper's search over hyper-parameters of discrete VAEs, which several experiments share."""

from __future__ import annotations

import functools
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .. import estimators
from ..device import default_device
from ..diagnostics import measured
from ..figures.rows import Row, labels_of, row_of
from ..gumbel import sample_one_hot
from ..training.errors import DamagedFileError, OtherSettingsError, TrainingDivergedError
from ..training.files import checksum, copy, load_state, save_state, set_aside
from ..training.loop import Training, check_weights, exploded
from ..training.run import Run, load_quietly
from ..training.stacked import Together, run_together
from ..vae import Digits, DiscreteVAE, importance_weighted_bound, load_digits
from ..vae.data import fetch_binarized_mnist
from .experiment import Config, Experiment, Outcome, Tables

if TYPE_CHECKING:
    import pandas as pd

Cell = tuple[Row, int, int]  # a row, an arity, a batch size

# Experiments that have runs in common.
SHARED_BY = ("table2", "table3", "fig4", "seeds", "successors")
BOUND_CHUNK = 200  # images of a bound that is stopped and goes on

# The forms of what `train` and `test` return.
RESULTS = {
    "valid_bound": float,
    "valid_elbo": float,
    "history": [{"step": int, "loss": float, "valid_elbo": float}],
}
TEST_RESULTS = {"test_bound": float, "standard_error": float}

_REPORTS = 50  # over a training
_WATCHED = 2000  # validation images that a training is watched by
_SAME_DRAWS = 2021  # seed of what models are compared by
_TAUS = (0.1, 1.0)  # between which the paper draws τ
# ReinMax is advised with τ ≥ 1: an interval of the same width.
_TAUS_OF = {"reinmax": (1.0, 1.9)}


@dataclass(frozen=True)
class Search:
    """A profile of a search.

    Attributes:
        cells: gives the cells, when it is asked: an estimator that is registered later is found.
        draws: hyper-parameters tried in each cell; the same ones in all cells.
        steps: of each training.
        full: train on the full set of digits, or on the 5,000 that come with the course.
        hidden: widths of the encoder's hidden layers.
        valid_samples, test_samples: M of the importance-weighted bound, on the validation set for
            all models, and on the test set for the one that is chosen; without the latter if 0.
        images: how many of each of these sets are used; None for all.
        only: numbers of draws; no others are tried.
    """

    cells: Callable[[], Sequence[Cell]]
    draws: int = 20
    steps: int = 50_000
    full: bool = True
    hidden: tuple[int, ...] = (512, 256)
    valid_samples: int = 5000
    test_samples: int = 5000
    images: int | None = None
    only: tuple[int, ...] | None = None

    def trainings(self) -> list[tuple[Cell, int]]:
        """Return what is tried, cells and numbers of draws, so that a part is a smaller search."""
        cells = self.cells()
        return [(cell, draw) for draw in self.only or range(self.draws) for cell in cells]


def profiles(cells: Callable[[str], Sequence[Cell]]) -> dict[str, Search]:
    """Return the profiles of a search: its cells, and what is the same for all searches.

    Args:
        cells: gives those of a profile, by its name; "gpu" has those of "paper".
    """
    small = {"draws": 1, "full": False}
    common: dict[str, dict[str, Any]] = {
        "smoke": {
            **small,
            "steps": 10,
            "hidden": (16,),
            "valid_samples": 2,
            "test_samples": 3,
            "images": 20,
        },
        "lecture": {
            **small,
            "steps": 1000,
            "hidden": (200,),
            "valid_samples": 10,
            "test_samples": 100,
            "images": 200,
        },
        # Cut: 14 of 20 draws; M, to 100, on the validation set; most cells.
        "cpu": {"draws": 6, "valid_samples": 100},
        "paper": {},
        # Cut: M, to 1000, on the validation set; with 5000 it takes longer than the trainings.
        "gpu": {"valid_samples": 1000},
    }
    of = {name: functools.partial(cells, name) for name in common}
    of["gpu"] = of["paper"]
    return {name: Search(of[name], **options) for name, options in common.items()}


def experiment(
    name: str,
    title: str,
    searches: Mapping[str, Search],
    tables: Callable[[Outcome], Tables],
    *,
    page: Callable[[Tables], str],
    text: Callable[[Tables], str] | None = None,
) -> Experiment:
    """Return the record of an experiment that is a search; its runs are shared with the others'.

    Args:
        name, title: see `Experiment`.
        searches: the profiles.
        tables, page, text: see `Experiment`.
    """
    record = Experiment(
        name=name,
        title=title,
        profiles=searches,
        configurations=configurations,
        run_title=run_title,
        train=train,
        results=RESULTS,
        tables=tables,
        page=page,
        prepare=prepare,
        second=second,
        train_second=evaluate,
        results_second=TEST_RESULTS,
        shares=SHARED_BY,
        together=TOGETHER,
    )
    return record if text is None else replace(record, text=text)


def configurations(search: Search) -> list[Config]:
    """Return what `train` needs, draw by draw, so that a stopped search is a smaller one.

    Args:
        search: the profile.
    """
    return [configuration(search, cell, draw, seed=draw) for cell, draw in search.trainings()]


def configuration(search: Search, cell: Cell, draw: int, *, seed: int) -> Config:
    """Return the configuration of one training.

    Args:
        search: the profile.
        cell: row, arity and batch size.
        draw: number of the hyper-parameters.
        seed: of the weights, the order of the data and the draws of the estimator.
    """
    row, arity, batch_size = cell
    return {
        **row.config(),
        "arity": arity,
        "batch_size": batch_size,
        **hyperparameters(draw, estimators.get(row.estimator)),
        "seed": seed,
        "steps": search.steps,
        "full": search.full,
        "hidden": list(search.hidden),
        "valid_samples": search.valid_samples,
        "images": search.images,
    }


def hyperparameters(draw: int, record: estimators.Record) -> dict[str, float | None]:
    """Draw a learning rate, momentum, weight decay and τ as appendix D.2 says.

    Args:
        draw: number of the draw. All estimators get the same ones, so that none has better luck;
            ReinMax, which wants τ ≥ 1, gets the same uniform number on [1, 1.9] in place of
            [0.1, 1].
        record: of the estimator; τ is None for one that has none.

    Example:
        >>> hyperparameters(3, estimators.get("zgr"))["tau"] is None
        True
    """
    random = np.random.default_rng([_SAME_DRAWS, draw])
    taus = _TAUS_OF.get(record.name, _TAUS)
    drawn: dict[str, float | None] = {
        "learning_rate": round(1e-4 * int(random.integers(5, 51)), 4),
        "momentum": round(random.uniform(), 3),
        "weight_decay": [0.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6][random.integers(7)],
        "tau": round(random.uniform(*taus), 3),
    }
    return drawn if "tau" in record.example else {**drawn, "tau": None}


def run_title(config: Config) -> str:
    """Return what varies from run to run, for the names of files.

    Args:
        config: of a training.

    Example:
        >>> run_title({"estimator": "gumbel_rao", "k": 10, "arity": 8, "batch_size": 20, "seed": 3})
        'GR-MC10_n8_B20_draw3'
    """
    where = f"n{config['arity']}_B{config['batch_size']}"
    return f"{row_of(config).file_label}_{where}_draw{config['seed']}"


def prepare(profile: Any) -> None:
    """Download the full set where it is asked for, and say so before a worker does."""
    if profile.full:
        fetch_binarized_mnist()


@functools.lru_cache(maxsize=1)
def digits(full: bool) -> Digits:
    """The digits of a run, read once in a process.

    Those to train on are on the GPU if there is one, so that a step copies indices only.
    """
    data = load_digits(full=full)
    return replace(data, train=data.train.to(default_device()))


def build(config: Config) -> tuple[DiscreteVAE, torch.Generator]:
    """Return the model of a run before its training, and what its estimator draws from."""
    device = default_device()
    draws = torch.Generator(device).manual_seed(config["seed"])
    row = row_of(config)
    model = DiscreteVAE(
        config["arity"],
        estimators.sampler(row.estimator, generator=draws, **row.hyper_at(config["tau"])),
        pixel_mean=digits(config["full"]).train.cpu().float().mean(0),
        hidden=config["hidden"],
        generator=torch.Generator().manual_seed(config["seed"]),
    )
    return model.to(device), draws


def loss(model: DiscreteVAE, images: Tensor) -> Tensor:
    """Return the mean of −ELBO over a minibatch, for `Training`."""
    return -model.elbo(images.to(model.pixel_mean, non_blocking=True)).mean()


def begin(
    config: Config,
    model: DiscreteVAE,
    draws: torch.Generator,
    loss: Callable[[DiscreteVAE, Tensor], Tensor] = loss,
) -> Training:
    """Return the training of what `build` made, before its first step."""
    return Training(
        model,
        loss,
        digits(config["full"]).train,
        batch_size=config["batch_size"],
        learning_rate=config["learning_rate"],
        momentum=config["momentum"],
        weight_decay=config["weight_decay"],
        seed=config["seed"],
        generators=[draws],
        about=config,
    )


def train(run: Run) -> dict[str, Any]:
    """Train one model, as `run_all` asks for it, and keep its weights in `run.weights`.

    Args:
        run: see `configuration`.

    Returns:
        `valid_bound`, the importance-weighted bound on the validation set, in nats (higher is
        better), by which models are chosen; `valid_elbo` with one sample on a part of it, with
        a code that is drawn whatever the training relaxes; the history of the latter.

    Raises:
        TrainingDivergedError: when the training or a bound is not finite.
    """
    model, draws = build(run.config)
    return train_model(run, model, begin(run.config, model, draws))


def train_model(run: Run, model: DiscreteVAE, training: Training) -> dict[str, Any]:
    """Do what `train` says with a training that has begun.

    Args:
        run: its configuration has `steps`, `full`, `images` and `valid_samples`.
        model: in the training.
        training: from `begin`.
    """
    training.run(
        run.config["steps"],
        every=_every(run.config),
        callback=_reporter(run, model),
        checkpoint=run.checkpoint,
    )
    return _ended(run, model, training)


def alike(config: Config) -> Config:
    """Return what trainings have in common that `train_together` takes: all but what is searched.

    Args:
        config: of a training.
    """
    return {
        name: value
        for name, value in config.items()
        if name not in ("learning_rate", "momentum", "weight_decay", "tau", "seed")
    }


def train_together(runs: Sequence[Run]) -> list[Callable[[Run], dict[str, Any]]]:
    """Train models that are `alike` in one program, see `run_together`.

    Args:
        runs: see `configuration`.

    Returns:
        For each run a function that does what is left of `train`.
    """
    config = runs[0].config
    built = [build(run.config) for run in runs]
    trainings = [begin(run.config, *each) for run, each in zip(runs, built, strict=True)]
    errors = run_together(
        trainings,
        config["steps"],
        every=_every(config),
        callbacks=[_reporter(run, model) for run, (model, _) in zip(runs, built, strict=True)],
        checkpoints=[run.checkpoint for run in runs],
    )

    def rest(
        model: DiscreteVAE, training: Training, error: TrainingDivergedError | None, run: Run
    ) -> dict[str, Any]:
        if error is not None:
            raise error
        return _ended(run, model, training)

    return [
        functools.partial(rest, model, training, error)
        for (model, _), training, error in zip(built, trainings, errors, strict=True)
    ]


TOGETHER = Together(alike, train_together)


def _every(config: Config) -> int:
    return max(1, int(config["steps"]) // _REPORTS)


def _reporter(run: Run, model: DiscreteVAE) -> Callable[[Training], None]:
    """What reports on a training."""
    config = run.config
    valid = digits(config["full"]).valid[: config["images"]]

    def report(training: Training) -> None:
        training.history[-1]["valid_elbo"] = elbo(model, valid[:_WATCHED])
        run.tick(0.9 * training.step / config["steps"])

    return report


def _ended(run: Run, model: DiscreteVAE, training: Training) -> dict[str, Any]:
    """The results of a training that is at its last step; see `train`."""
    config = run.config
    bound = bounds(
        model,
        digits(config["full"]).valid[: config["images"]],
        config["valid_samples"],
        run.folder / "valid.safetensors",
        about=config,
        tick=lambda fraction: run.tick(0.9 + 0.1 * fraction),
    )
    save_state(run.weights, model.state_dict(), about={"file": "weights", **config})
    return {
        "device": str(model.pixel_mean.device),
        "valid_bound": bound.mean().item(),
        "valid_elbo": training.history[-1]["valid_elbo"],
        "history": training.history,
    }


def evaluate(run: Run) -> dict[str, Any]:
    """Compute the bound of a trained model on the test set, as `run_all` asks for it.

    Args:
        run: its configuration has `test_samples`; `run.before` is the training. If its weights are
            not there, the model is trained again.

    Returns:
        `test_bound`, the mean over the images in nats, and its `standard_error`.
    """
    assert run.before is not None
    config = run.before.config
    model = trained(run.before, run.out)
    images = digits(config["full"]).test[: config["images"]]
    bound = bounds(
        model,
        images,
        run.config["test_samples"],
        run.checkpoint,
        about=run.config,
        tick=run.tick,
    )
    over_images = measured(bound)
    return {
        "device": str(model.pixel_mean.device),
        "test_bound": over_images.value,
        "standard_error": over_images.standard_error,
    }


def trained(run: Run, spare: Path) -> DiscreteVAE:
    """Return the trained model of a run; without its weights it is trained again.

    Args:
        run: a training of a search.
        spare: folder in which it is trained again. In that of the run `run_all` removes what a run
            that has ended left behind, a checkpoint included.
    """
    model, _ = build(run.config)
    row, again = load_quietly(run), replace(run, out=spare)
    for _ in range(2):
        try:
            about = {"file": "weights", **run.config}
            state = load_state(run.weights, about=about)
            check_weights(model, state, run.weights)
            model.load_state_dict(state)
            return model
        except FileNotFoundError:  # only the rows were kept
            pass
        except (DamagedFileError, OtherSettingsError) as damage:
            set_aside(run.weights, damage)
        results = again.compute(train)
        copy(again.weights, run.weights)
        again.weights.unlink()
        shutil.rmtree(again.folder, ignore_errors=True)
        if row is not None and row["status"] == "done":
            _compare_bounds(run, row["results"]["valid_bound"], results["valid_bound"])
    raise DamagedFileError(f"{run.weights} is damaged again, right after it was written")


def _compare_bounds(run: Run, stored: float, again: float) -> None:
    """A repeated training may be of another device, with other draws: then it is another model."""
    if not math.isclose(stored, again, rel_tol=1e-5):
        warnings.warn(
            f"{run.name} was trained again, for its weights are not there, and its bound on the "
            f"validation set is {again:.3f}, not {stored:.3f}: the test is that of another model",
            stacklevel=2,
        )


@torch.no_grad()
def elbo(model: DiscreteVAE, images: Tensor) -> float:
    """Return the mean single-sample bound, each time with the same draws.

    Args:
        model: is not changed.
        images: `[N, pixels]`.

    Raises:
        TrainingDivergedError: when it is not finite.
    """
    device = model.pixel_mean.device
    draws = torch.Generator(device).manual_seed(_SAME_DRAWS)
    draw = functools.partial(sample_one_hot, generator=draws)
    with _exploded("the validation loss", model):
        parts = [model.elbo(part.to(device), estimator=draw) for part in torch.split(images, 1000)]
        value = torch.cat(parts).mean().item()
        if not math.isfinite(value):
            raise ArithmeticError(f"it is {value}")
    return value


def bounds(
    model: DiscreteVAE,
    images: Tensor,
    num_samples: int,
    path: Path,
    *,
    about: Config,
    tick: Callable[[float], object],
) -> Tensor:
    """Return the importance-weighted bound of each image; what was stopped goes on.

    Args:
        model: is not changed.
        images: `[N, pixels]`.
        num_samples: M.
        path: of the file with the bounds so far.
        about: the configuration that the file has to be of; the weights it notes itself.
        tick: called with the fraction done.

    Raises:
        TrainingDivergedError: when a bound is not finite.
    """
    device = model.pixel_mean.device
    chunk = 10 if device.type == "cpu" else 100  # as many as fit a cache, or fill a GPU
    known = torch.empty(0, dtype=torch.float32, device="cpu")
    # A model that was trained again elsewhere is another one.
    weights = checksum("", {name: value.cpu() for name, value in model.state_dict().items()})
    about = {"file": "bounds", "weights": weights, **about}
    try:
        known = load_state(path, about=about)["bounds"]
    except FileNotFoundError:
        pass
    except (DamagedFileError, OtherSettingsError) as damage:
        set_aside(path, damage)
    while len(known) < len(images):
        draws = torch.Generator(device).manual_seed(_SAME_DRAWS + len(known))
        part = images[len(known) : len(known) + BOUND_CHUNK].to(device)
        with _exploded("a bound", model):
            new = importance_weighted_bound(
                model, part, num_samples=num_samples, chunk=chunk, generator=draws
            )
            if not bool(new.isfinite().all()):
                raise ArithmeticError("it is not a finite number")
        known = torch.cat([known, new.cpu()])
        save_state(path, {"bounds": known}, about=about)
        tick(len(known) / len(images))
    return known


@contextmanager
def _exploded(what: str, model: DiscreteVAE) -> Iterator[None]:
    """Report as `TrainingDivergedError` what exploded weights break."""
    try:
        yield
    except (ArithmeticError, ValueError) as error:  # argument checks refuse logits that are NaN
        if isinstance(error, ValueError) and not exploded(model):
            raise
        raise TrainingDivergedError(
            f"{what} of the trained model cannot be computed: {error}"
        ) from error


def choose(runs: pd.DataFrame) -> pd.DataFrame:
    """Choose the run of each cell with the best bound on the validation set.

    Args:
        runs: a table of trainings, see `table_of`.

    Returns:
        One row for each cell: `row`, `arity`, `batch_size`; the hyper-parameters chosen; `draws`,
        how many were tried, how many `diverged` and `failed`; `valid`, the bound of the negative
        log-likelihood in nats (lower is better). The index says which run it is. A cell of which no
        run ended well has only the numbers of these, and one of its runs as its index.
    """
    import pandas as pd

    runs = runs.assign(row=labels_of(runs))
    if "valid_bound" not in runs:
        runs = runs.assign(valid_bound=math.nan)
    cells: dict[Any, dict[str, Any]] = {}
    for _, cell in runs.groupby(["row", "arity", "batch_size"], sort=False):
        done = cell[cell.status == "done"]
        best = cell.iloc[0] if done.empty else done.loc[done.valid_bound.astype(float).idxmax()]
        chosen = ["learning_rate", "momentum", "weight_decay", "tau"]
        cells[best.name] = {
            **best[["row", "arity", "batch_size"]],
            **(best[chosen] if len(done) else dict.fromkeys(chosen, math.nan)),
            "draws": len(cell),
            "diverged": int((cell.status == "diverged").sum()),
            "failed": int((cell.status == "failed").sum()),
            "valid": -best.valid_bound if len(done) else math.nan,
        }
    return pd.DataFrame.from_dict(cells, orient="index")


def second(outcome: Outcome) -> list[tuple[int, Config]]:
    """Return the runs that are chosen, for the bound on the test set.

    Args:
        outcome: of the trainings.
    """
    if outcome.profile.test_samples == 0:
        return []
    chosen = choose(outcome.runs)
    more = {"test_samples": outcome.profile.test_samples}
    return [(int(i), more) for i in chosen.index[chosen.valid.notna()]]


def cells_of(outcome: Outcome) -> pd.DataFrame:
    """Return what `choose` does, with `test` and its `standard_error` over the images.

    Args:
        outcome: of both rounds.
    """
    chosen = choose(outcome.runs)
    tested = [row["results"] for row in outcome.second]
    chosen_of = chosen.index[chosen.valid.notna()] if tested else []
    found = dict(zip(chosen_of, tested, strict=True))
    missing = {"test_bound": math.nan, "standard_error": math.nan}
    results = [{**missing, **found.get(i, {})} for i in chosen.index]
    return chosen.assign(
        test=[-result["test_bound"] for result in results],
        standard_error=[result["standard_error"] for result in results],
    )


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
        ours: in nats; nan where no training ended well, or the bound of the chosen one failed.
        paper: in nats, or nan.

    Example:
        >>> beside(97.56, 97.4), beside(98.0, math.nan), beside(math.nan, 97.4)
        ('97.6 (paper: 97.4)', '98.0', 'no bound (paper: 97.4)')
    """
    number = "no bound" if math.isnan(ours) else f"{ours:.1f}"
    return number + ("" if math.isnan(paper) else f" (paper: {paper:.1f})")
