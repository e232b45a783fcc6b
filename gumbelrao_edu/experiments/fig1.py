"""Figure 1: the variance of ST-GS and GR over the simplex, computed exactly and sampled."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..device import default_device
from ..diagnostics import measured, variance
from ..problems import (
    DERIVATIVES,
    QuadraticProgramme,
    exact_fields,
    gap,
    monte_carlo,
    simplex_grid,
)
from ..training.run import Run
from .experiment import Config, Experiment, Outcome, Tables

if TYPE_CHECKING:
    import pandas as pd

_FALSE_ALARM = 1e-6
_NUMBERS = ("tau", "p1", "p2", "p3", "st_gs", "gr", "gap")
_SAMPLED = ("st_gs_mc", "st_gs_se", "gr_mc", "gr_se", "gap_mc", "gap_se")
RESULTS = {"points": {"derivative": [str]} | {name: [float] for name in _NUMBERS + _SAMPLED}}


@dataclass(frozen=True)
class Sampling:
    """A profile: what the numbers depend on.

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
    "smoke": Sampling(rows=12, num_samples=100),
    "lecture": Sampling(rows=48, num_samples=100),
    "cpu": Sampling(rows=48, num_samples=1000),
    "paper": Sampling(rows=96, num_samples=4000),
}


def configurations(sampling: Sampling) -> list[Config]:
    """Return a configuration for each temperature.

    Args:
        sampling: the profile.
    """
    return [{**asdict(sampling), "taus": [tau]} for tau in sampling.taus]


def compute(run: Run) -> dict[str, Any]:
    """Compute one temperature, as `run_all` asks for it.

    Args:
        run: see `configurations`.

    Returns:
        `points`, the columns of what `compare` returns.
    """
    sampling = Sampling(**{**run.config, "taus": tuple(run.config["taus"])})
    device = default_device()
    (tau,) = sampling.taus
    return {
        "device": str(device),
        "points": compare(sampling, tau, device=device).to_dict("list"),
    }


def compare(sampling: Sampling, tau: float, *, device: torch.device | None = None) -> pd.DataFrame:
    """The exact variances at one temperature beside the sampled ones.

    Args:
        sampling: grid, K, number of draws and seed.
        tau: τ.
        device: for the draws; `default_device()` when None.

    Returns:
        One row for each point and derivative: `tau`, `derivative`, `p1` to `p3`; the exact
        variances `st_gs` and `gr` with K samples, and `gap`; the same from draws, with standard
        errors: `st_gs_mc`, `st_gs_se`, `gr_mc`, `gr_se`, `gap_mc`, `gap_se`.

    Example:
        >>> table = compare(Sampling(rows=3, num_samples=50, k=10), tau=0.5)
        >>> len(table), bool((table.gap > 0).all())
        (12, True)
    """
    import pandas as pd

    programme, p = QuadraticProgramme(), simplex_grid(sampling.rows)
    # Each temperature has draws of its own, whether or not the others are computed.
    seed = int.from_bytes(hashlib.sha256(f"{sampling.seed} {tau}".encode()).digest()[:6], "big")
    generator = torch.Generator(device or default_device()).manual_seed(seed)
    sampled = monte_carlo(
        programme, p, tau, k=sampling.k, num_samples=sampling.num_samples, generator=generator
    )
    tables = []
    for derivative, terms in exact_fields(programme, p, tau).items():
        columns = {
            **{f"p{i + 1}": p[:, i] for i in range(3)},
            "st_gs": variance(terms, 1),
            "gr": variance(terms, sampling.k),
            "gap": gap(terms, sampling.k),
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
        >>> table = compare(Sampling(rows=12, num_samples=100, k=10), tau=0.5)
        >>> all(each.agrees for each in agreement(table))
        True
    """
    from scipy import stats

    groups = list(table.groupby(["tau", "derivative"], sort=False))
    found = []
    for (tau, derivative), rows in groups:
        for name in ("st_gs", "gr"):
            ratios = rows[f"{name}_mc"] / rows[name]
            ratio, error = measured(ratios.tolist())
            limit = float(stats.t.isf(_FALSE_ALARM / (4 * len(groups)), len(ratios) - 1))
            within = (rows[f"{name}_mc"] - rows[name]).abs() <= 2 * rows[f"{name}_se"]
            found.append(
                Agreement(
                    float(tau),
                    str(derivative),
                    name,
                    ratio,
                    error,
                    float(within.mean()),
                    bool(abs(ratio - 1.0) <= limit * error and within.mean() > 0.5),
                )
            )
    return found


def tables(outcome: Outcome) -> Tables:
    """Return the points of all temperatures, and how well sampled and exact variances agree.

    Args:
        outcome: of the temperatures.
    """
    import pandas as pd

    done = [row["results"]["points"] for row in outcome.rows if row["status"] == "done"]
    points = pd.concat(map(pd.DataFrame, done), ignore_index=True)
    return {"fig1": points, "agreement": pd.DataFrame(map(asdict, agreement(points)))}


def text(tables: Tables) -> str:
    """Return what the command prints.

    Args:
        tables: from `tables`.
    """
    rows = tables["agreement"].to_dict("records")
    return "\n".join(str(Agreement(**row)) for row in rows)


def page(tables: Tables) -> str:
    """Return the body of the page.

    Args:
        tables: from `tables`.
    """
    from ._fig1_page import body

    return body(tables["fig1"])


def check(tables: Tables) -> None:
    """Raise `ArithmeticError` if sampled and exact variances do not agree.

    Args:
        tables: from `tables`.
    """
    if not tables["agreement"].agrees.all():
        raise ArithmeticError("the sampled variances do not agree with the exact ones, see above")


EXPERIMENT = Experiment(
    name="fig1",
    title="Figure 1",
    profiles=PROFILES,
    configurations=configurations,
    run_title=lambda config: f"tau{config['taus'][0]:g}",
    train=compute,
    results=RESULTS,
    tables=tables,
    page=page,
    text=text,
    check=check,
)
