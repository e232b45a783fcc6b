"""Small trainings, for the tests of grids of runs and for those that break them."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from gumbelrao_edu.training.files import write
from gumbelrao_edu.training.loop import Training
from gumbelrao_edu.training.run import Run, runs_of, table_of
from gumbelrao_edu.training.runs import run_all

STEPS = 60
CONFIGS = [
    {"rate": 0.1, "seed": 0, "k": math.inf},
    {"rate": 0.1, "seed": 1, "k": math.inf},
    {"rate": 0.1, "seed": 0, "k": 5},
    {"rate": 1e9, "seed": 0, "k": 5},
    {"rate": -1.0, "seed": 0, "k": 5},
]


def square(model: nn.Module, x: Tensor) -> Tensor:
    return (model(x) - 2 * x).square().mean()


def fit(run: Run) -> dict[str, Any]:
    """A line through the origin; where it ran is noted beside the results, not in them."""
    config = run.config
    place = run.out / "places" / str(os.getpid())
    write(place, str(torch.get_num_threads()))
    model = nn.Linear(1, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    x = torch.linspace(-1, 1, 50).unsqueeze(-1)
    training = Training(
        model, square, x, batch_size=5, learning_rate=config["rate"], seed=config["seed"]
    )
    training.run(
        STEPS,
        every=10,
        checkpoint=run.checkpoint,
        callback=lambda training: run.tick(training.step / STEPS),
    )
    return {
        "weight": model.weight.item(),
        "infinite": math.isinf(config["k"]),
        "history": training.history,
    }


def long_fit(run: Run) -> dict[str, Any]:
    """A training that reports once, at its end, which it reaches when a file `end` is there.

    At the step `seen` a file in `begun` says that it is at work.
    """

    def slow(model: nn.Module, x: Tensor) -> Tensor:
        if training.step == run.config.get("seen", 0):
            write(run.out / "begun" / str(run.config["seed"]), "")
        time.sleep(run.config.get("pause", 0.002))
        return square(model, x)

    x = torch.linspace(-1, 1, 50).unsqueeze(-1)
    training = Training(
        nn.Linear(1, 1), slow, x, batch_size=5, learning_rate=0.1, seed=run.config["seed"]
    )
    end = run.config.get("end", 50_000)
    if (run.out / "end").exists():
        training.load(run.checkpoint)
        end = training.step + 1
    training.run(end, every=end, checkpoint=run.checkpoint)
    return {"steps": training.step}


def title(config: dict[str, Any]) -> str:
    return "_".join(f"{name}{config[name]}" for name in CONFIGS[0] if name in config) or "run"


def compute(function: Any, configs: Any, out: Path, **options: Any) -> pd.DataFrame:
    """The table of a grid."""
    return table_of(run_all(function, runs_of(configs, out, title), **{"say": quiet, **options}))


def load_row(config: Any, out: Path) -> dict[str, Any] | None:
    return runs_of([config], out, title)[0].load()


def quiet(line: str) -> None:
    pass


def files(out: Path) -> dict[str, dict[str, Any]]:
    """The rows as they are in the files, without what differs from run to run."""
    rows = {}
    for path in (out / "runs").iterdir():
        row = json.loads(path.read_text(), parse_constant=pytest.fail)  # strict JSON
        assert row.pop("seconds") >= 0
        assert len(row.pop("checksum")) == 16
        row["provenance"].pop("date")
        # The last line is the error; those above it say where it was raised.
        row["error"] = row["error"] and row["error"].splitlines()[-1]
        rows[path.name] = row
    return rows
