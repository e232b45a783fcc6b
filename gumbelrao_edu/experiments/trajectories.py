"""Variance, bias and MSE of the encoder's gradient while a discrete VAE trains (Figures 2, 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from .. import estimators
from ..training.files import write
from ..training.loop import Training
from ..training.runs import load_row, run_all
from ..vae import DiscreteVAE, squared_bias, variance_split
from ..vae.data import fetch_binarized_mnist
from . import search
from .search import GR_10, GR_100, GR_1000, GR_INF, GS, RLOO, ST, ST_GS, ZGR, Row

ROWS = (GS, ST, ST_GS, GR_10, GR_100, GR_1000, GR_INF, ZGR, RLOO)
# By Proposition 1 all K have one mean, so the bias is measured with the K of least variance.
_BIAS_OF = {ST_GS: GR_INF, GR_10: GR_INF, GR_100: GR_INF, GR_1000: GR_INF}
_MEASURED_WITH = 5  # seed of what is drawn to measure


@dataclass(frozen=True)
class Settings:
    """The trajectories of a profile; one training for each arity.

    The paper does not say which training it measures along. Here it is that of GR with K = ∞, at
    τ = 0.5, learning rate 0.001, momentum 0.9 and batch size 20.

    Attributes:
        arities: of the models.
        rows: estimators that are measured.
        measure_at: training steps at which they are.
        taus: temperatures at which they are; the first one is shown over training (2a).
        num_batches: minibatches of a measured variance, with two gradients each.
        bias_batches: minibatches of a measured bias; 0 for none.
        bias_samples: gradients of the estimator in each of its two means.
        reference_samples: codes of each image in the two true gradients.
        full: train on the full set of digits, or on the 5,000 that come with the course.
        hidden: widths of the encoder's hidden layers.
    """

    arities: tuple[int, ...]
    measure_at: tuple[int, ...]
    taus: tuple[float, ...] = (0.5, 0.1, 0.25, 1.0)
    rows: tuple[Row, ...] = ROWS
    num_batches: int = 100
    bias_batches: int = 20
    bias_samples: int = 100
    reference_samples: int = 1000
    full: bool = True
    hidden: tuple[int, ...] = (512, 256)

    def configs(self) -> list[dict[str, Any]]:
        """What `measure_along` is called with."""
        measured = {
            "measure_at": list(self.measure_at),
            "taus": list(self.taus),
            "rows": [row.label for row in self.rows],
            "num_batches": self.num_batches,
            "bias_batches": self.bias_batches,
            "bias_samples": self.bias_samples,
            "reference_samples": self.reference_samples,
        }
        training = {
            **{k: v for k, v in asdict(GR_INF).items() if k != "label"},
            "tau": 0.5,
            "batch_size": 20,
            "learning_rate": 0.001,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "seed": 0,
            "full": self.full,
            "hidden": list(self.hidden),
        }
        return [{"arity": arity, **training, **measured} for arity in self.arities]


def measure(model: DiscreteVAE, images: Tensor, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure variance and bias of all estimators at the weights of a model.

    Args:
        model: is not changed.
        images: minibatches are drawn from them, the same for all estimators.
        config: see `Settings.configs`.

    Returns:
        One dictionary for each estimator and τ: `row`, `tau` (None for one that has none);
        `monte_carlo` and `minibatch`, the parts of the variance, `squared_bias` (None where no
        bias was asked for), each with its standard error under the same name and `_error`.
    """
    rows = {row.label: row for row in search.ROWS}
    biases: dict[tuple[Row, float | None], Any] = {}
    table = []
    for label in config["rows"]:
        row = rows[label]
        has_tau = "tau" in estimators.get(row.estimator).example
        for tau in config["taus"] if has_tau else (None,):
            split = variance_split(
                model,
                images,
                _draws(row, tau, images),
                batch_size=config["batch_size"],
                num_batches=config["num_batches"],
                generator=torch.Generator(images.device).manual_seed(_MEASURED_WITH),
            )
            entry = {"row": label, "tau": tau}
            for name, measured in split._asdict().items():
                entry |= {name: measured.value, f"{name}_error": measured.standard_error}
            key = (_BIAS_OF.get(row, row), tau)
            if config["bias_batches"] and key not in biases:
                biases[key] = _bias(model, images, *key, config)
            bias = biases.get(key)
            entry["squared_bias"] = bias.value if bias else None
            entry["squared_bias_error"] = bias.standard_error if bias else None
            table.append(entry)
    return table


def _draws(row: Row, tau: float | None, images: Tensor) -> Callable[[Tensor], Tensor]:
    known = {"tau": tau, "k": row.k, "num_samples": row.num_samples}
    hyper = {name: known[name] for name in estimators.get(row.estimator).example}
    generator = torch.Generator(images.device).manual_seed(_MEASURED_WITH)
    return estimators.sampler(row.estimator, generator=generator, **hyper)


def _bias(
    model: DiscreteVAE, images: Tensor, row: Row, tau: float | None, config: dict[str, Any]
) -> Any:
    size, count = config["batch_size"], config["bias_batches"]
    # Another seed than the estimator's: its draws and those of the true gradient are independent.
    generator = torch.Generator(images.device).manual_seed(_MEASURED_WITH + 1)
    order = torch.randperm(len(images), generator=generator, device=images.device)
    return squared_bias(
        model,
        images[order[: size * count]].view(count, size, -1),
        _draws(row, tau, images),
        num_samples=config["bias_samples"],
        reference_samples=config["reference_samples"],
        generator=generator,
    )


def measure_along(
    config: dict[str, Any], checkpoint: Path, tick: Callable[[float], None]
) -> dict[str, Any]:
    """Train one model and measure on the way, as `run_all` asks for it.

    Args:
        config: see `Settings.configs`.
        checkpoint: file to resume from and to save to.
        tick: called with the fraction done.

    Returns:
        `measured`, what `measure` returns, with the `step` in each entry.
    """
    model, draws = search.build(config)
    training, steps = search.begin(config, model, draws), config["measure_at"]
    images = search._data(config["full"]).train.to(model.pixel_mean.device)

    def report(training: Training) -> None:
        if training.step in steps:
            entries = measure(model, images, config)
            training.history[-1]["measured"] = [{"step": training.step, **e} for e in entries]
        tick(training.step / steps[-1])

    training.run(steps[-1], every=math.gcd(1000, *steps), callback=report, checkpoint=checkpoint)
    return {
        "device": str(model.pixel_mean.device),
        "measured": [e for entry in training.history for e in entry.get("measured", [])],
    }


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
        settings: the trajectories.
        out: folder of the files: `runs.csv` and `runs/` (see `run_all`), and a table that is named
            like the folder, `fig2.csv` or `fig3.csv`.
        jobs, backend, report: as for `run_all`.

    Returns:
        What is in the file: `arity`, `step`, and the columns of `measure`, with `mse`, the sum of
        `monte_carlo` and `squared_bias`. The gradient is that of the mean loss of 20 images, in
        nats; variances are traces of covariance matrices.

    Raises:
        ArithmeticError: when no training ended well; the rows are written.
        DataError: when the full set is asked for and cannot be had.
    """
    if settings.full:
        fetch_binarized_mnist()  # say so before a worker does
    configs = settings.configs()
    runs = run_all(measure_along, configs, out, jobs=jobs, backend=backend, report=report)
    done = [config for config, ok in zip(configs, runs.status == "done", strict=True) if ok]
    if not done:
        raise ArithmeticError(f"no run ended well; {out / 'runs.csv'} says why")
    entries = []
    for config in done:
        row = load_row(config, out)
        assert row is not None
        entries += [{"arity": config["arity"], **entry} for entry in row["results"]["measured"]]
    table = pd.DataFrame(entries)
    table["mse"] = table.monte_carlo + table.squared_bias.astype(float)
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write(out / f"{out.name}.csv", text)
    report(table.to_string())
    return table
