"""Figure 1: the variance of ST-GS and GR over the simplex, computed exactly and sampled."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy import stats

from ..device import default_device
from ..diagnostics import variance
from ..problems import (
    DERIVATIVES,
    QuadraticProgramme,
    exact_fields,
    gap,
    monte_carlo,
    simplex_grid,
)
from ..training.files import provenance, write

_FALSE_ALARM = 1e-6


@dataclass(frozen=True)
class Settings:
    """What the numbers depend on.

    Attributes:
        rows: of the grid, a multiple of 3, see `simplex_grid`.
        num_samples: draws of each estimator at each point.
        taus: temperatures; the text of the paper names none.
        k: K, as in the paper.
        seed: of the draws.
    """

    rows: int
    num_samples: int
    taus: tuple[float, ...] = (1.0, 0.5, 0.1)
    k: int = 1000
    seed: int = 0


PROFILES = {
    "smoke": Settings(rows=12, num_samples=100),
    "lecture": Settings(rows=48, num_samples=100),
    "cpu": Settings(rows=48, num_samples=1000),
    "paper": Settings(rows=96, num_samples=4000),
}


def compare(settings: Settings, tau: float, *, device: torch.device | None = None) -> pd.DataFrame:
    """The exact variances at one temperature beside the sampled ones.

    Args:
        settings: grid, K, number of draws and seed.
        tau: τ.
        device: for the draws; `default_device()` when None.

    Returns:
        One row for each point and derivative: `tau`, `derivative`, `p1` to `p3`; the exact
        variances `st_gs` and `gr` with K samples, and `gap`; the same from draws, with standard
        errors: `st_gs_mc`, `st_gs_se`, `gr_mc`, `gr_se`, `gap_mc`, `gap_se`.

    Example:
        >>> table = compare(Settings(rows=3, num_samples=50, k=10), tau=0.5)
        >>> len(table), bool((table.gap > 0).all())
        (12, True)
    """
    programme, p = QuadraticProgramme(), simplex_grid(settings.rows)
    # Each temperature has draws of its own, whether or not the others are computed.
    seed = int.from_bytes(hashlib.sha256(f"{settings.seed} {tau}".encode()).digest()[:6], "big")
    generator = torch.Generator(device or default_device()).manual_seed(seed)
    sampled = monte_carlo(
        programme, p, tau, k=settings.k, num_samples=settings.num_samples, generator=generator
    )
    tables = []
    for derivative, terms in exact_fields(programme, p, tau).items():
        columns = {
            **{f"p{i + 1}": p[:, i] for i in range(3)},
            "st_gs": variance(terms, 1),
            "gr": variance(terms, settings.k),
            "gap": gap(terms, settings.k),
            **sampled[derivative],
        }
        table = pd.DataFrame({name: column.numpy() for name, column in columns.items()})
        table.insert(0, "tau", tau)
        table.insert(1, "derivative", derivative)
        tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    table["gap_mc"] = (table.st_gs_mc / table.gr_mc).map(math.log10)
    relative = (table.st_gs_se / table.st_gs_mc) ** 2 + (table.gr_se / table.gr_mc) ** 2
    table["gap_se"] = relative**0.5 / math.log(10.0)
    return table


@dataclass(frozen=True)
class Agreement:
    """How well sampled and exact variances agree, for one temperature, derivative and estimator.

    Attributes:
        ratio, ratio_se: mean over the points of sampled / exact variance, with standard error;
            the sample variance is unbiased, so that 1 is expected whatever the law of the draws.
        within: share of the points whose sampled variance is within 2 standard errors.
        agrees: whether `ratio` is within what chance explains but once in a million runs, and most
            of the points are within two standard errors.
    """

    tau: float
    derivative: str
    estimator: str
    ratio: float
    ratio_se: float
    within: float
    agrees: bool

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DOES NOT AGREE"
        return (
            f"τ = {self.tau:g}, {DERIVATIVES[self.derivative]}, "
            f"{'ST-GS' if self.estimator == 'st_gs' else 'GR'}: sampled / exact variance "
            f"{self.ratio:.4f} ± {self.ratio_se:.4f}, {100 * self.within:.0f} % of the points "
            f"within 2 standard errors: {verdict}"
        )


def agreement(table: pd.DataFrame) -> list[Agreement]:
    """Compare the sampled variances of `compare` with the exact ones.

    Args:
        table: from `compare`, one or several of them.

    Example:
        >>> table = compare(Settings(rows=12, num_samples=100, k=10), tau=0.5)
        >>> all(each.agrees for each in agreement(table))
        True
    """
    groups = list(table.groupby(["tau", "derivative"], sort=False))
    found = []
    for (tau, derivative), rows in groups:
        for name in ("st_gs", "gr"):
            ratios = rows[f"{name}_mc"] / rows[name]
            error = float(ratios.std() / math.sqrt(len(ratios)))
            limit = float(stats.t.isf(_FALSE_ALARM / (4 * len(groups)), len(ratios) - 1))
            within = (rows[f"{name}_mc"] - rows[name]).abs() <= 2 * rows[f"{name}_se"]
            found.append(
                Agreement(
                    float(tau),
                    str(derivative),
                    name,
                    float(ratios.mean()),
                    error,
                    float(within.mean()),
                    bool(abs(ratios.mean() - 1.0) <= limit * error and within.mean() > 0.5),
                )
            )
    return found


def run(
    settings: Settings,
    out: Path,
    *,
    device: torch.device | None = None,
    report: Callable[[str], object] = print,
) -> pd.DataFrame:
    """Compute all temperatures and write `fig1.csv`, the numbers, and `fig1.json`, their origin.

    Both are written after each temperature. A run that was stopped goes on with the next one, and
    a finished one is only read, if settings and numbers are those of the files.

    Args:
        settings: see `PROFILES`.
        out: folder of the files.
        device: for the draws; `default_device()` when None.
        report: called with a line about what was done.

    Returns:
        The table, as `compare` gives it.

    Raises:
        ArithmeticError: sampled and exact variances do not agree; the files are written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as out:
        ...     table = run(Settings(12, 50, taus=(0.5,), k=10), Path(out), report=lambda line: 0)
        ...     sorted(path.name for path in Path(out).iterdir())
        ['fig1.csv', 'fig1.json']
    """
    device = device or default_device()
    table = _finished(settings, out)
    for tau in settings.taus:
        if not table.empty and (table.tau == tau).any():
            report(f"τ = {tau:g}: taken from {out / 'fig1.csv'}")
            continue
        fresh = compare(settings, tau, device=device)
        table = fresh if table.empty else pd.concat([table, fresh], ignore_index=True)
        text = table.to_csv(index=False, float_format="%.7g", lineterminator="\n")
        table = pd.read_csv(io.StringIO(text))  # the same numbers as after a resumed run
        origin = {
            "settings": asdict(settings),
            **provenance(device),
            "csv_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "agreement": [asdict(each) for each in agreement(table)],
        }
        write(out / "fig1.csv", text)
        write(out / "fig1.json", json.dumps(origin, indent=1) + "\n")
        report(f"τ = {tau:g}: {len(fresh) // len(DERIVATIVES)} points computed")
    verdicts = agreement(table)
    for verdict in verdicts:
        report(str(verdict))
    if not all(verdict.agrees for verdict in verdicts):
        raise ArithmeticError("the sampled variances do not agree with the exact ones, see above")
    return table


def _finished(settings: Settings, out: Path) -> pd.DataFrame:
    """What an earlier run with the same settings has left; empty when nothing, or damaged."""
    try:
        origin: Mapping[str, Any] = json.loads((out / "fig1.json").read_text("utf-8"))
        text = (out / "fig1.csv").read_text("utf-8")
    except (OSError, ValueError):
        return pd.DataFrame()
    wanted = json.loads(json.dumps(asdict(settings)))  # tuples are lists in JSON
    same = origin.get("settings") == wanted
    whole = origin.get("csv_sha256") == hashlib.sha256(text.encode()).hexdigest()
    return pd.read_csv(io.StringIO(text)) if same and whole else pd.DataFrame()
