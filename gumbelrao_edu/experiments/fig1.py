"""Figure 1: the variance of ST-GS and GR over the simplex, computed exactly and sampled."""

from __future__ import annotations

import functools
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
from torch import Tensor

from .. import estimators
from ..device import default_device
from ..diagnostics import Terms, exact_terms, variance
from ..problems import QuadraticProgramme, simplex_grid
from ..quadrature import conditional_vjp
from ..training.files import provenance, write

# Without and with the last term of (2).
DERIVATIVES = {"fixed": "A held fixed", "whole": "whole derivative"}
_ROWS = 2**14  # draws made at a time
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


def exact_fields(programme: QuadraticProgramme, p: Tensor, tau: float) -> dict[str, Terms]:
    """Both terms of Proposition 3 at each point of the simplex, without sampling.

    The direct term ∂f(D, θ)/∂θ of the whole derivative is fixed by D: it changes var[∇GR] and
    leaves E[var[∇STGS | D]] as it is.

    Args:
        programme: the quadratic programme.
        p: points, `[points, n]`, off the singular lines.
        tau: τ.

    Returns:
        Terms `[points]` for each of `DERIVATIVES`.

    Example:
        >>> terms = exact_fields(QuadraticProgramme(), simplex_grid(3), tau=0.5)
        >>> gap(terms["fixed"], k=1000).min() > 0.2
        tensor(True)
    """
    logits, n = p.log(), p.shape[-1]
    fixed = exact_terms(lambda d: programme.loss(d, p), logits, tau)
    one_hot = torch.eye(n, dtype=p.dtype)[:, None].expand(n, *p.shape)
    classes = one_hot.argmax(-1)
    upstream = 2.0 * torch.einsum("...i,...ij->...j", one_hot - programme.c, programme.matrix(p))
    gr = conditional_vjp(upstream, logits.expand_as(one_hot), classes, tau)
    gr = gr + programme.direct_gradient(one_hot, logits)
    weights = p.T[..., None]
    mean = (weights * gr).sum(0)
    outer = (weights * (gr - mean).square()).sum((0, -1))
    whole = Terms(fixed.inner, outer, mean, programme.gradient(logits))
    return {"fixed": fixed, "whole": whole}


def gap(terms: Terms, k: float) -> Tensor:
    """log10 var[∇STGS] − log10 var[∇GRMCK], what Figures 1b to 1d show.

    Args:
        terms: from `exact_fields`.
        k: K, or `math.inf`.

    Example:
        >>> gap(Terms(torch.tensor(9.0), torch.tensor(1.0), torch.zeros(3)), k=math.inf)
        tensor(1.)
    """
    return variance(terms, 1).log10() - variance(terms, k).log10()


def monte_carlo(
    programme: QuadraticProgramme,
    p: Tensor,
    tau: float,
    *,
    k: int,
    num_samples: int,
    generator: torch.Generator,
) -> dict[str, dict[str, Tensor]]:
    """Variances from draws, as the paper has them, with standard errors.

    Args:
        programme, p, tau: as for `exact_fields`.
        k: K of GR.
        num_samples: independent draws of each estimator at each point.
        generator: source of randomness.

    Returns:
        For each of `DERIVATIVES` the columns `st_gs_mc`, `st_gs_se`, `gr_mc`, `gr_se`, `[points]`.

    Example:
        >>> seeded = torch.Generator().manual_seed(0)
        >>> columns = monte_carlo(
        ...     QuadraticProgramme(), simplex_grid(3), 0.5, k=10, num_samples=50, generator=seeded
        ... )
        >>> sorted(columns["fixed"])
        ['gr_mc', 'gr_se', 'st_gs_mc', 'st_gs_se']
    """
    parts: dict[str, dict[str, list[Tensor]]] = {name: {} for name in DERIVATIVES}
    hypers: dict[str, tuple[str, dict[str, Any]]] = {
        "st_gs": ("st_gumbel_softmax", {"tau": tau}),
        "gr": ("gumbel_rao", {"tau": tau, "k": k}),
    }
    for points in torch.split(p, max(1, _ROWS // num_samples)):
        for label, (name, hyper) in hypers.items():
            # Single precision is ample here and twice as fast.
            theta = points.log().float().expand(num_samples, *points.shape)
            theta = theta.to(generator.device).clone().requires_grad_()
            d = estimators.get(name).function(theta, generator=generator, **hyper)
            losses = programme.loss(d, theta.detach().softmax(-1))
            fixed = torch.autograd.grad(losses.sum(), theta)[0]
            whole = fixed + programme.direct_gradient(d, theta)
            for derivative, gradients in (("fixed", fixed), ("whole", whole)):
                for suffix, value in zip(("mc", "se"), _trace(gradients), strict=True):
                    parts[derivative].setdefault(f"{label}_{suffix}", []).append(value)
    return {
        derivative: {column: torch.cat(values) for column, values in columns.items()}
        for derivative, columns in parts.items()
    }


def _trace(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Trace of the covariance matrix of draws [num_samples, points, n], and its standard error."""
    draws = gradients.cpu().double()
    spread = (draws - draws.mean(0)).square().sum(-1)
    count = len(draws)
    return spread.sum(0) / (count - 1), spread.std(0) / math.sqrt(count)


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


def descend(
    programme: QuadraticProgramme,
    name: str,
    p: Tensor,
    *,
    whole: Tensor | bool,
    steps: int,
    learning_rate: float,
    clip: float = 1.0,
    generator: torch.Generator | None = None,
    **hyper: Any,
) -> Tensor:
    """Stochastic gradient descent on the logits, one draw a step, many runs side by side.

        θ ← θ − η ∇ min(1, clip / ‖∇‖)

    Near a singular line a gradient may have any length; without the clipping one step there throws
    p into a corner.

    Args:
        programme: the quadratic programme.
        name: of a registered estimator.
        p: where each run starts, `[runs, n]`.
        whole: for each run (`[runs]`, or one for all) whether the last term of (2) is kept; else
            A(p) is held fixed.
        steps: number of steps.
        learning_rate: η.
        clip: longest gradient that is not shortened.
        generator: source of randomness; the global one when None.
        **hyper: of the estimator; `tau` may be a tensor `[runs]`.

    Returns:
        p before the first step and after each, `[steps + 1, runs, n]`.

    Example:
        >>> programme, p = QuadraticProgramme(), torch.tensor([[0.1, 0.1, 0.8]])
        >>> path = descend(programme, "exact", p, whole=True, steps=100, learning_rate=1.0)
        >>> bool(programme.value(path[-1]) < 1e-3)
        True
    """
    keep = torch.as_tensor(whole).expand(len(p))[:, None]
    theta, path = p.log(), [p]
    for _ in range(steps):
        theta = theta.detach().requires_grad_()
        now = theta.softmax(-1)
        f = functools.partial(programme.loss, p=torch.where(keep, now, now.detach()))
        losses = estimators.get(name).loss(f, theta, generator=generator, **hyper)
        gradient = torch.autograd.grad(losses.sum(), theta)[0]
        length = gradient.norm(dim=-1, keepdim=True)
        theta = theta.detach() - learning_rate * gradient * (clip / length).clamp(max=1.0)
        path.append(theta.softmax(-1))
    return torch.stack(path)


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
