"""Variance, bias and MSE of the encoder's gradient while a discrete VAE trains (Figures 2, 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import estimators
from ..figures.rows import GR_10, GR_100, GR_1000, GR_INF, ST_GS, Row, row_of_label, rows
from ..training.loop import Training
from ..training.run import Run
from ..vae import DiscreteVAE, squared_bias, variance_split
from . import search
from .experiment import Config, Outcome

if TYPE_CHECKING:
    import pandas as pd

# All K have one mean (total expectation), so the bias is measured with the K of least variance.
_BIAS_OF = {row.label: GR_INF for row in (ST_GS, GR_10, GR_100, GR_1000, GR_INF)}
_BIAS = ("squared_bias", "squared_bias_error")
_MEASURED = ("monte_carlo", "minibatch", "squared_bias")
RESULTS = {
    "measured": [
        {"step": int, "row": str, "tau": (float, None)}
        | {name: (float, None) for part in _MEASURED for name in (part, f"{part}_error")}
    ]
}
_MEASURED_WITH = 5  # seed of what is drawn to measure


def all_but_reinforce() -> list[Row]:
    """Return the rows that are measured: REINFORCE's variance would hide the others."""
    return [row for row in rows() if row.estimator != "reinforce"]


@dataclass(frozen=True)
class Trajectories:
    """A profile: one training for each arity, and what is measured along it.

    The paper does not say which training it measures along. Here it is that of GR with K = ∞, at
    τ = 0.5, learning rate 0.001, momentum 0.9 and batch size 20.

    Attributes:
        arities: of the models.
        measure_at: training steps at which something is measured.
        taus: temperatures at which it is; the first one is shown over training (2a).
        rows: gives the estimators that are measured, when it is asked.
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
    rows: Callable[[], Sequence[Row]] = all_but_reinforce
    num_batches: int = 100
    bias_batches: int = 20
    bias_samples: int = 100
    reference_samples: int = 1000
    full: bool = True
    hidden: tuple[int, ...] = (512, 256)


def configurations(profile: Trajectories) -> list[Config]:
    """Return what `train` needs.

    Args:
        profile: the trajectories.
    """
    measured = {
        "measure_at": list(profile.measure_at),
        "taus": list(profile.taus),
        "rows": [row.label for row in profile.rows()],
        "num_batches": profile.num_batches,
        "bias_batches": profile.bias_batches,
        "bias_samples": profile.bias_samples,
        "reference_samples": profile.reference_samples,
    }
    training = {
        **GR_INF.config(),
        "tau": 0.5,
        "batch_size": 20,
        "learning_rate": 0.001,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "seed": 0,
        "full": profile.full,
        "hidden": list(profile.hidden),
    }
    return [{"arity": arity, **training, **measured} for arity in profile.arities]


def run_title(config: Config) -> str:
    """Return what varies from run to run, for the names of files.

    Args:
        config: of a training.
    """
    return f"n{config['arity']}_to{config['measure_at'][-1]}"


def measure(
    model: DiscreteVAE,
    images: Tensor,
    config: dict[str, Any],
    before: Sequence[dict[str, Any]] = (),
) -> Iterator[dict[str, Any]]:
    """Measure variance and bias of all estimators at the weights of a model, one by one.

    Args:
        model: is not changed.
        images: minibatches are drawn from them, the same for all estimators.
        config: see `configurations`.
        before: the first of them, which are there already.

    Yields:
        One dictionary for each other estimator and τ: `row`, `tau` (None for one that has none);
        `monte_carlo` and `minibatch`, the parts of the variance, `squared_bias` (None where no
        bias was asked for), each with its standard error under the same name and `_error`.
    """
    entries = list(before)
    for row, tau in _cells(config)[len(entries) :]:
        split = variance_split(
            model,
            images,
            _draws(row, tau, images),
            batch_size=config["batch_size"],
            num_batches=config["num_batches"],
            generator=torch.Generator(images.device).manual_seed(_MEASURED_WITH),
        )
        entry: dict[str, Any] = {"row": row.label, "tau": tau}
        for name, measured in split._asdict().items():
            entry |= {name: measured.value, f"{name}_error": measured.standard_error}
        of = _BIAS_OF.get(row.label, row)
        known = [e for e in entries if e["tau"] == tau and _BIAS_OF.get(e["row"]) == of]
        if known:
            entry |= {name: known[0][name] for name in _BIAS}
        else:
            bias = _bias(model, images, of, tau, config) if config["bias_batches"] else (None, None)
            entry |= dict(zip(_BIAS, bias, strict=True))
        entries.append(entry)
        yield entry


def _cells(config: Config) -> list[tuple[Row, float | None]]:
    """What is measured at each step: the estimators, at each τ if they have one."""
    rows = [row_of_label(label) for label in config["rows"]]
    return [(row, tau) for row in rows for tau in (config["taus"] if row.has_tau else (None,))]


def _draws(row: Row, tau: float | None, images: Tensor) -> Callable[[Tensor], Tensor]:
    generator = torch.Generator(images.device).manual_seed(_MEASURED_WITH)
    return estimators.sampler(row.estimator, generator=generator, **row.hyper_at(tau))


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


def train(run: Run) -> dict[str, Any]:
    """Train one model and measure on the way, as `run_all` asks for it.

    A stop loses what is being measured, and no more: what was measured before is in the checkpoint.

    Args:
        run: see `configurations`.

    Returns:
        `measured`, what `measure` returns, with the `step` in each entry.
    """
    config = run.config
    model, draws = search.build(config)
    training, steps = search.begin(config, model, draws), config["measure_at"]
    images = search.digits(config["full"]).train
    count = len(steps) * len(_cells(config))

    def report(training: Training) -> None:
        done = sum(len(entry.get("measured", ())) for entry in training.history)
        run.tick((training.step / steps[-1] + done / count) / 2)  # as long is measured as trained

    every = math.gcd(1000, *steps)
    for step in steps:
        training.run(step, every=every, callback=report, checkpoint=run.checkpoint)
        (entry,) = (entry for entry in training.history if entry["step"] == step)
        for one in measure(model, images, config, entry.setdefault("measured", [])):
            entry["measured"].append({"step": step, **one})
            training.save(run.checkpoint)
            report(training)
    return {
        "device": str(model.pixel_mean.device),
        "measured": [e for entry in training.history for e in entry.get("measured", [])],
    }


def table(outcome: Outcome) -> pd.DataFrame:
    """Return the numbers of a figure.

    Args:
        outcome: of the trainings.

    Returns:
        `arity`, `step`, and the columns of `measure`, with `mse`, the sum of `monte_carlo` and
        `squared_bias`. The gradient is that of the mean loss of 20 images, in nats; variances are
        traces of covariance matrices.
    """
    import pandas as pd

    entries = [
        {"arity": row["config"]["arity"], **entry}
        for row in outcome.rows
        if row["status"] == "done"
        for entry in row["results"]["measured"]
    ]
    numbers = pd.DataFrame(entries)
    return numbers.assign(mse=numbers.monte_carlo + numbers.squared_bias.astype(float))
