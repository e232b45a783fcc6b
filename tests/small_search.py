"""A search over tiny models on a few random images, for the tests of all that search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from seeded import seeded

from gumbelrao_edu.experiments import search
from gumbelrao_edu.experiments.experiment import Experiment, reproduce
from gumbelrao_edu.experiments.search import Cell, Search
from gumbelrao_edu.figures.rows import GR_INF, RLOO, ST_GS, ZGR
from gumbelrao_edu.training.run import Run, runs_of
from gumbelrao_edu.vae import Digits

CELLS = tuple((row, 4, 5) for row in (ST_GS, GR_INF, ZGR, RLOO))


def small(cells: Sequence[Cell] = CELLS, **options) -> Search:
    """A tiny profile."""
    tiny = {"draws": 2, "steps": 6, "full": False, "hidden": (5,)}
    tiny |= {"valid_samples": 3, "test_samples": 4, "images": 30}
    return Search(lambda: cells, **{**tiny, **options})


def runs(profile: Search, out: Path) -> list[Run]:
    return runs_of(search.configurations(profile), out, search.run_title)


def reproduced(experiment: Experiment, profile: Search, out: Path) -> pd.DataFrame:
    """The experiment's own table, from the files."""
    return reproduce(experiment, profile, out, say=lambda line: None)[experiment.name]


def never(run: Run) -> dict:
    raise AssertionError("computed again")


def refusing(experiment: Experiment) -> Experiment:
    """The experiment, when nothing may be left to compute."""
    second = experiment.train_second and never
    return replace(experiment, train=never, train_second=second)


@pytest.fixture
def few(monkeypatch):
    """A few random images in place of the digits."""
    images = torch.rand(300, 784, generator=seeded()) < 0.2
    data = Digits(*images.to(torch.uint8).split(100), "few")
    monkeypatch.setattr(search, "load_digits", lambda full: data)
    search.digits.cache_clear()
    yield data
    search.digits.cache_clear()
