"""What the stored results say of each claim of the paper: holds, does not hold, or undecided.

python -m gumbelrao_edu verdicts --out notebooks/results

reads what `reproduce` left there and writes `README.md` and `verdicts.csv` beside it. A claim is a
record of `CLAIMS`: the sentence, the statistic, and the rule that decides, which stands here before
anything is measured. A notebook shows its claims so:

    from gumbelrao_edu.experiments import verdicts

    table = verdicts.read("results/verdicts.csv")     # or its address
    HTML(verdicts.shown(table, "Table 1"))            # IPython.display; in notebook 06
    HTML(verdicts.shown(table, "Figure 2", "Figure 3", "Figure 4", "Table 2", "Table 3"))  # 07
"""

from __future__ import annotations

import functools
import html
import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..figures.rows import (
    GR_10,
    GR_10_CLIPPED,
    GR_100,
    GR_INF,
    GR_INF_CLIPPED,
    GS,
    REINFORCE,
    ST,
    ST_GS,
    ST_GS_CLIPPED,
    Row,
    row_of,
)
from ..training.files import write
from . import search, table1, table2, table3

if TYPE_CHECKING:
    import pandas as pd

HOLDS, FAILS, UNDECIDED, UNMEASURED = "holds", "does not hold", "undecided", "not measured here"

# A standard error of two seeds is hardly known.
LEAST = 3


@dataclass(frozen=True)
class Figure:
    """A measured number.

    Attributes:
        value: of the statistic.
        error: its standard error; NaN where there is none, 0 for what is computed exactly.
        count: what the standard error is over, so many of them.
        cells: what was measured.
    """

    value: float
    error: float
    count: int
    cells: str


@dataclass(frozen=True)
class Rule:
    """A claim holds if the figure, two standard errors up and down, is between these bounds.

    It does not hold if all of that is outside. In all other cases it is undecided, and so it is
    with an error over fewer than `LEAST`.

    Example:
        >>> rule = Rule(0.0)
        >>> rule.verdict(Figure(1.0, 0.4, 5, "")), rule.verdict(Figure(1.0, 0.6, 5, ""))
        ('holds', 'undecided')
        >>> rule.verdict(Figure(-1.0, 0.4, 5, "")), rule.verdict(Figure(1.0, 0.4, 2, ""))
        ('does not hold', 'undecided')
        >>> rule.verdict(None), str(rule)
        ('not measured here', 'above 0')
    """

    low: float
    high: float = math.inf

    def verdict(self, figure: Figure | None) -> str:
        """Return the verdict on a claim, from what was measured."""
        if figure is None:
            return UNMEASURED
        least, most = figure.value - 2 * figure.error, figure.value + 2 * figure.error
        if figure.count < LEAST or math.isnan(least):
            return UNDECIDED
        if self.low < least and most < self.high:
            return HOLDS
        return FAILS if most <= self.low or least >= self.high else UNDECIDED

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}"
        if math.isinf(self.low):
            return f"below {self.high:g}"
        return f"between {self.low:g} and {self.high:g}"


@dataclass(frozen=True)
class Claim:
    """What the paper says, and how it is decided whether that holds.

    Attributes:
        place: where it stands.
        sentence: the claim.
        statistic: what is measured, with its unit.
        rule: decides.
        paper: the same statistic from the numbers that the paper prints; NaN where it prints none.
        measure: makes the figure; None where the results for it are not there.
        decides: what would decide it, if it is not decided.
    """

    place: str
    sentence: str
    statistic: str
    rule: Rule
    measure: Callable[[Stored], Figure | None]
    decides: str
    paper: float = math.nan


@dataclass(frozen=True)
class Stored:
    """The results in a folder, as `reproduce` writes them.

    Attributes:
        folder: of all experiments.
    """

    folder: Path

    def table(self, name: str) -> pd.DataFrame | None:
        """Return a table by the path of its file without the ending; None if it is not there."""
        import pandas as pd

        path = self.folder / f"{name}.csv"
        return pd.read_csv(path) if path.exists() else None

    @cached_property
    def _vaes(self) -> pd.DataFrame:
        """The trainings of all searches, once each."""
        import pandas as pd

        tables = [self.table(f"{name}/runs") for name in search.SHARED_BY]
        there = [table for table in tables if table is not None]
        if not there:
            return pd.DataFrame(columns=[*_DRAW, "row", "arity", "batch_size", "seed", "bound"])
        runs = pd.concat(there)
        runs = runs[runs.status == "done"]
        runs = runs.assign(
            row=[row_of(run).label for run in runs.to_dict("records")],
            bound=-runs.valid_bound,
            tau=runs.tau.fillna(0.0),
        )
        return runs.drop_duplicates(["row", "arity", "batch_size", *_DRAW, "seed"])

    def accuracies(
        self, row: Row, tau: float, *, length: int = 10, name: str = "table1"
    ) -> pd.DataFrame:
        """Return the trainings of a cell of Table 1 with the learning rate that is chosen.

        Returns:
            By seed: `valid`, and `test` on the published set, if it was there, in percent;
            whether the training `diverged` at some step.
        """
        import pandas as pd

        runs = self.table(f"{name}/runs")
        if runs is None:
            return pd.DataFrame(columns=["valid", "test", "diverged"], dtype=float)
        runs = table1.labelled(runs)
        cell = runs[(runs.length == length) & (runs.tau == tau) & (runs["row"] == row.label)]
        best = (table1.at_best_rate(cell) if len(cell) else cell).set_index("seed")
        published = best.published_accuracy.astype(float)
        test = published if published.notna().any() else best.test_accuracy
        diverged = best.diverged_at.notna()
        return pd.DataFrame({"valid": best.valid_accuracy, "test": test, "diverged": diverged})

    def bounds(self, row: Row, arity: int, batch_size: int) -> pd.Series:
        """Return the bounds of the negative log-likelihood on the validation set, in nats.

        Returns:
            By the hyper-parameters (see `_DRAW`) and the seed.
        """
        runs = self._vaes
        here = (runs["row"] == row.label) & (runs.arity == arity) & (runs.batch_size == batch_size)
        bounds: pd.Series = runs[here].set_index([*_DRAW, "seed"]).bound
        return bounds.sort_index()


_DRAW = ["learning_rate", "momentum", "weight_decay", "tau"]


def over_seeds(values: pd.Series, cells: str) -> Figure | None:
    """Return the mean of one number a seed, with its standard error.

    Args:
        values: by seed; what is missing is left out.
        cells: what was measured; the seeds are added.
    """
    return _over("seed", values, cells)


def over_draws(values: pd.Series, cells: str) -> Figure | None:
    """Return the same for one number a draw of the hyper-parameters."""
    return _over("draw", values, cells)


def _over(what: str, values: pd.Series, cells: str) -> Figure | None:
    values = values.dropna().astype(float)
    if not len(values):
        return None
    names = ", ".join(str(int(name)) for name in values.index)
    said = f"{cells}; {what}{'s' * (len(values) > 1)} {names}"
    return Figure(values.mean(), values.sem() if len(values) > 1 else math.nan, len(values), said)


# Table 1

_LOW, _MIDDLE, _HIGH = table1.PAPER_TAUS


def gain_on_trees(
    row: Row, base: Row, tau: float, name: str = "table1"
) -> Callable[[Stored], Figure | None]:
    """Accuracy of one row minus that of another one, paired by seed."""

    def measure(stored: Stored) -> Figure | None:
        ours, theirs = (stored.accuracies(each, tau, name=name) for each in (row, base))
        ended = ", ".join(
            f"{int(cell.diverged.sum())} of {each.label}"
            for each, cell in ((row, ours), (base, theirs))
        )
        return over_seeds(ours.test - theirs.test, f"L ≤ 10, τ = {tau:g}; diverged: {ended}")

    return measure


def shrinking_gain(stored: Stored) -> Figure | None:
    """The gain at the lowest temperature minus that at the highest, paired by seed."""
    low, high = (
        stored.accuracies(GR_10, tau).test - stored.accuracies(ST_GS, tau).test
        for tau in (_LOW, _HIGH)
    )
    return over_seeds(low - high, f"L ≤ 10, τ = {_LOW:g} and {_HIGH:g}")


def overall_gain(stored: Stored) -> Figure | None:
    """The best cell of GR minus the best of ST-GS, both chosen on the validation set."""

    def best(*rows: Row) -> tuple[str, pd.Series] | None:
        cells = {
            f"{row.label} at τ = {tau:g}": stored.accuracies(row, tau)
            for row in rows
            for tau in table1.PAPER_TAUS
        }
        cells = {name: cell for name, cell in cells.items() if len(cell)}
        if not cells:
            return None
        name = max(cells, key=lambda name: cells[name].valid.mean())
        return name, cells[name].test

    ours, base = best(GR_10, GR_100, GR_INF), best(ST_GS)
    if ours is None or base is None:
        return None
    return over_seeds(ours[1] - base[1], f"L ≤ 10, {ours[0]}, {base[0]}")


def share_of_ten(stored: Stored) -> Figure | None:
    """What K = 10 gains at the lowest temperature, as a share of what K = ∞ gains."""
    ten, all_of_them, base = (stored.accuracies(row, _LOW).test for row in (GR_10, GR_INF, ST_GS))
    return over_seeds((ten - base) / (all_of_them - base), f"L ≤ 10, τ = {_LOW:g}")


# Figure 1: formulas without chance, so that nothing has to be stored


def smallest_gap(stored: Stored) -> Figure | None:
    """The smallest gap over the simplex and all temperatures."""
    gaps = _gaps()
    return Figure(
        min(float(gap.min()) for gap in gaps.values()),
        0.0,
        sum(len(gap) for gap in gaps.values()),
        f"{_at_taus(gaps)}, a grid on the simplex, without sampling",
    )


def rising_gap(stored: Stored) -> Figure | None:
    """How much the mean gap grows from one temperature to the next lower one, at the least."""
    gaps = _gaps()
    means = [float(gaps[tau].mean()) for tau in sorted(gaps, reverse=True)]
    rises = [lower - higher for higher, lower in itertools.pairwise(means)]
    points = sum(len(gap) for gap in gaps.values())
    said = f"{_at_taus(gaps)}, a grid on the simplex, without sampling"
    return Figure(min(rises), 0.0, points, said)


@functools.cache
def _gaps() -> dict[float, pd.Series]:
    from ..problems import QuadraticProgramme, exact_fields, gap, simplex_grid
    from .fig1 import PROFILES

    profile = PROFILES["cpu"]
    p = simplex_grid(profile.rows)
    fields = {tau: exact_fields(QuadraticProgramme(), p, tau)["fixed"] for tau in profile.taus}
    return {tau: gap(terms, profile.k) for tau, terms in fields.items()}


def _at_taus(taus: Iterable[float]) -> str:
    return "τ = " + ", ".join(f"{tau:g}" for tau in sorted(taus))


# Figures 2 and 3


def variance_ratio(stored: Stored) -> Figure | None:
    """Variance of ST-GS over that of GR-MC10 given the minibatch: the least over the training."""
    return _least_over_training(
        stored, lambda st, gr: _ratio(*st["monte_carlo"], *gr["monte_carlo"])
    )


def saving(stored: Stored) -> Figure | None:
    """The variance that GR-MC10 saves over that of the minibatch: the least over the training."""

    def over_minibatch(
        st: dict[str, tuple[float, float]], gr: dict[str, tuple[float, float]]
    ) -> tuple[float, float]:
        (a, da), (b, db) = st["monte_carlo"], gr["monte_carlo"]
        return _ratio(a - b, math.hypot(da, db), *gr["minibatch"])

    return _least_over_training(stored, over_minibatch)


def _least_over_training(stored: Stored, of: Callable[..., tuple[float, float]]) -> Figure | None:
    table = stored.table("fig2/fig2")
    if table is None:
        return None
    tau = table.tau.iloc[0]  # that of the training
    both = [
        table[(table["row"] == row.label) & (table.tau == tau)].set_index("step")
        for row in (ST_GS, GR_10)
    ]
    values = []
    for step in both[0].index.intersection(both[1].index):
        parts = [
            {name: (cell.loc[step, name], cell.loc[step, f"{name}_error"]) for name in _PARTS}
            for cell in both
        ]
        values.append(of(*parts))
    if not values:
        return None
    value, error = min(values)
    arities = ", ".join(f"{arity}-ary" for arity in sorted({*table.arity}))
    steps = ", ".join(f"{step:,}" for step in both[0].index)
    said = f"{arities}, τ = {tau:g}, steps {steps} of one training; error over minibatches"
    return Figure(value, error, _minibatches(stored), said)


_PARTS = ("monte_carlo", "minibatch", "squared_bias")


def _minibatches(stored: Stored) -> int:
    runs = stored.table("fig2/runs")
    return 0 if runs is None else int(runs.num_batches.min())


def _ratio(a: float, da: float, b: float, db: float) -> tuple[float, float]:
    """a / b with its standard error, to first order."""
    return a / b, abs(a / b) * math.hypot(da / a, db / b)


def _mse(stored: Stored, row: Row, averaged: int) -> dict[float, tuple[float, float]]:
    """The MSE of a mean of gradients given the minibatch, at the last step, by τ."""
    table = stored.table("fig2/fig2")
    if table is None:
        return {}
    last = (table.step == table.step.max()) & (table.arity == 8)
    cell = table[(table["row"] == row.label) & last]
    return {
        c.tau: (
            c.monte_carlo / averaged + c.squared_bias,
            math.hypot(c.monte_carlo_error / averaged, c.squared_bias_error),
        )
        for c in cell.itertuples()
        if not math.isnan(c.squared_bias)
    }


def lower_mse(stored: Stored) -> Figure | None:
    """The lowest MSE of ST-GS over the lowest of GR-MC100, each at its best τ."""
    st, gr = (_mse(stored, row, 1) for row in (ST_GS, GR_100))
    if not st or not gr:
        return None
    value, error = _ratio(*min(st.values()), *min(gr.values()))
    return Figure(value, error, _minibatches(stored), _said_of_mse(gr, 1))


def lower_temperature(averaged: int) -> Callable[[Stored], Figure | None]:
    """The MSE of GR-MC100 at its best τ below the best of ST-GS, over that at the best of ST-GS."""

    def measure(stored: Stored) -> Figure | None:
        st, gr = (_mse(stored, row, averaged) for row in (ST_GS, GR_100))
        if not st or not gr:
            return None
        best = min(st, key=lambda tau: st[tau])
        below = [tau for tau in gr if tau < best]
        if best not in gr or not below:
            return None
        lower = min(below, key=lambda tau: gr[tau])
        value, error = _ratio(*gr[lower], *gr[best])
        said = f"{_said_of_mse(gr, averaged)}; τ = {lower:g} over τ = {best:g}"
        return Figure(value, error, _minibatches(stored), said)

    return measure


def _said_of_mse(mse: dict[float, tuple[float, float]], averaged: int) -> str:
    what = "one gradient" if averaged == 1 else f"the mean of {averaged} gradients"
    return f"8-ary, {_at_taus(mse)}, {what}, last step of one training; error over minibatches"


def steps_ratio(stored: Stored) -> Figure | None:
    """Steps of ST-GS over those of GR-∞, the mean over the thresholds that both reach."""
    steps = stored.table("fig2/steps")
    if steps is None:
        return None
    both = steps[(steps.arity == 8) & (steps.batch_size == 20)].pivot_table(
        index=["draw", "threshold"], columns="row", values="steps"
    )
    if not {ST_GS.label, GR_INF.label} <= {*both.columns}:
        return None
    ratios = (both[ST_GS.label] / both[GR_INF.label]).dropna()
    by_draw = ratios.groupby(level="draw").mean()
    return over_draws(by_draw, "8-ary, B = 20, one training each")


# Tables 2 and 3


class Best(NamedTuple):
    """A draw of the hyper-parameters, and the bounds of its trainings in nats."""

    label: str
    tau: float
    seeds: float
    mean: float
    sem: float


def best(stored: Stored, rows: Sequence[Row], arity: int, batch_size: int) -> Best | None:
    """Return the best draw of the best row, as the mean over its seeds on the validation set.

    Draws with fewer seeds than another one of the row has are not chosen: one lucky training is no
    reason.
    """
    found = []
    for row in rows:
        by_draw = stored.bounds(row, arity, batch_size).groupby(level=_DRAW)
        draws = by_draw.agg(["count", "mean", "sem"]).rename(columns={"count": "seeds"})
        most = draws[draws.seeds == draws.seeds.max()]
        found += [Best(row.label, *draw) for draw in most.reset_index()[[*Best._fields[1:]]].values]
    return min(found, key=lambda draw: draw.mean, default=None)


def gain_on_digits(
    row: Row, *others: Row, arity: int = 8, batch_size: int = 20
) -> Callable[[Stored], Figure | None]:
    """How far a row is ahead of the best of some others in nats, each at its best draw."""

    def measure(stored: Stored) -> Figure | None:
        ours, theirs = (best(stored, rows, arity, batch_size) for rows in ([row], others))
        if ours is None or theirs is None:
            return None
        where = ", ".join(
            f"{each.label} at τ = {each.tau:g} (seeds: {each.seeds:g})" for each in (theirs, ours)
        )
        return Figure(
            theirs.mean - ours.mean,
            math.hypot(theirs.sem, ours.sem),
            int(min(theirs.seeds, ours.seeds)),
            f"{search.arity_name(arity)}, B = {batch_size}; {where}",
        )

    return measure


def lower_best_temperature(stored: Stored) -> Figure | None:
    """τ of the best draw of ST-GS minus that of GR-∞, over arities and batch sizes."""
    lower = {}
    for arity, batch_size in table2.PAPER_COLUMNS:
        st, gr = (best(stored, [row], arity, batch_size) for row in (ST_GS, GR_INF))
        if st is not None and gr is not None:
            lower[f"{search.arity_name(arity)}, B = {batch_size}"] = st.tau - gr.tau
    if not lower:
        return None
    values = list(lower.values())
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return Figure(statistics.fmean(values), error, len(values), "; ".join(lower))


def smaller_batches(stored: Stored) -> Figure | None:
    """The gain of GR-∞ at the smallest batch size minus that at the largest one."""
    small, large = (
        gain_on_digits(GR_INF, ST_GS, batch_size=batch_size)(stored) for batch_size in (5, 200)
    )
    if small is None or large is None:
        return None
    error = math.hypot(small.error, large.error)
    count = min(small.count, large.count)
    return Figure(small.value - large.value, error, count, f"{small.cells}; {large.cells}")


def unmeasured(stored: Stored) -> None:
    """Nothing is stored that says anything of it."""


def _paper1(row: str, tau: int, length: int = 10) -> float:
    return table1.PAPER[row, length][tau]


def _best1(*rows: str) -> float:
    return max(max(table1.PAPER[row, 10]) for row in rows)


def _paper2(row: str, base: str, arity: int, batch_size: int) -> float:
    return table2.PRINTED[base, arity, batch_size] - table2.PRINTED[row, arity, batch_size]


def _paper3(arity: int, batch_size: int) -> float:
    keys = [(row, arity, batch_size, "test") for row in ("ST-GS", "GR-MC1000")]
    return table3.PRINTED[keys[0]] - table3.PRINTED[keys[1]]


_TAUS = table2.PAPER_TAUS
_MORE_SEEDS = "three seeds of each of these cells, and more where the error stays large"
_GPU = "the profile `paper` of"

CLAIMS = (
    Claim(
        "Table 1",
        f"At τ = {_LOW:g} GR-MC10 reaches a higher accuracy than ST-GS "
        f"({_paper1('GR-MC10', 0)} against {_paper1('ST-GS', 0)} %).",
        "GR-MC10 minus ST-GS, points of accuracy on the published test set",
        Rule(0.0),
        gain_on_trees(GR_10, ST_GS, _LOW),
        _MORE_SEEDS,
        _paper1("GR-MC10", 0) - _paper1("ST-GS", 0),
    ),
    Claim(
        "Table 1",
        "The gain shrinks as τ grows.",
        f"gain of GR-MC10 over ST-GS at τ = {_LOW:g} minus that at τ = {_HIGH:g}, points",
        Rule(0.0),
        shrinking_gain,
        f"{_MORE_SEEDS}; τ = {_MIDDLE:g} as well",
        (_paper1("GR-MC10", 0) - _paper1("ST-GS", 0))
        - (_paper1("GR-MC10", 2) - _paper1("ST-GS", 2)),
    ),
    Claim(
        "Table 1",
        "Over all temperatures the best GR is about a point ahead of the best ST-GS.",
        "best cell of GR minus best cell of ST-GS, chosen on the validation set, points",
        Rule(0.0, 2 * round(_best1("GR-MC10", "GR-MC100", "GR-MC1000") - _best1("ST-GS"), 1)),
        overall_gain,
        f"{_MORE_SEEDS}; smaller learning rates, since the smallest tried was the best",
        _best1("GR-MC10", "GR-MC100", "GR-MC1000") - _best1("ST-GS"),
    ),
    Claim(
        "Table 1",
        "At a low temperature more samples improve the accuracy.",
        f"GR-∞ minus GR-MC10 at τ = {_LOW:g}, points (in the paper GR-MC1000)",
        Rule(0.0),
        gain_on_trees(GR_INF, GR_10, _LOW),
        _MORE_SEEDS,
        _paper1("GR-MC1000", 0) - _paper1("GR-MC10", 0),
    ),
    Claim(
        "Table 1",
        "K = 10 gives most of the gain.",
        f"gain of GR-MC10 over that of GR-∞ at τ = {_LOW:g} (in the paper GR-MC1000)",
        Rule(0.5),
        share_of_ten,
        _MORE_SEEDS,
        (_paper1("GR-MC10", 0) - _paper1("ST-GS", 0))
        / (_paper1("GR-MC1000", 0) - _paper1("ST-GS", 0)),
    ),
    Claim(
        "Table 1",
        "The same is seen with longer expressions, L ≤ 25 and 50.",
        f"GR-MC10 minus ST-GS at τ = {_LOW:g} and L ≤ 25, points",
        Rule(0.0),
        unmeasured,
        f"{_GPU} `table1`",
        _paper1("GR-MC10", 0, 25) - _paper1("ST-GS", 0, 25),
    ),
    *(
        Claim(
            "Table 1",
            f"Not in the paper: {row.label} is ahead at τ = {_LOW:g} also where the gradients of "
            "both are clipped, so that the gain is more than stability.",
            f"{row.label} minus ST-GS, both clipped at {clipped.clip:g}, points",
            Rule(0.0),
            gain_on_trees(clipped, ST_GS_CLIPPED, _LOW, "clipping"),
            f"{_GPU} `clipping`",
        )
        for row, clipped in ((GR_10, GR_10_CLIPPED), (GR_INF, GR_INF_CLIPPED))
    ),
    Claim(
        "Figure 1",
        "GR lowers the variance over the whole simplex.",
        "log10 of the variance of ST-GS over that of GR-MC1000, the least of all points",
        Rule(0.0),
        smallest_gap,
        "",
    ),
    Claim(
        "Figure 1",
        "It lowers it most at low temperatures.",
        "mean of that over the simplex: what the next lower τ adds, at the least",
        Rule(0.0),
        rising_gap,
        "",
    ),
    Claim(
        "Figure 2",
        "(2a) GR has the lower variance over the whole training.",
        "variance of ST-GS over that of GR-MC10 given the minibatch, the least of all steps",
        Rule(1.0),
        variance_ratio,
        "several trainings, of every estimator",
    ),
    Claim(
        "Figure 2",
        "(2b) GR has the lower mean squared error.",
        "lowest MSE of ST-GS over the lowest of GR-MC100, one gradient, each at its best τ",
        Rule(1.0),
        lower_mse,
        "more minibatches",
    ),
    *(
        Claim(
            "Figure 2",
            f"(2b) It has its lowest error at a lower temperature than ST-GS: {what}.",
            "MSE of GR-MC100 at its best τ below that of ST-GS, over its MSE at that of ST-GS",
            Rule(-math.inf, 1.0),
            lower_temperature(averaged),
            "more minibatches, and more temperatures",
        )
        for averaged, what in ((1, "one gradient"), (100, "the mean of 100 gradients"))
    ),
    Claim(
        "Figure 2",
        "(2c) GR reaches thresholds of the objective in fewer steps.",
        "steps of ST-GS over those of GR-∞, mean of the thresholds that both reach",
        Rule(1.0),
        steps_ratio,
        "more draws, with several seeds each, and reports more often than every 1,000 steps",
    ),
    Claim(
        "Figure 3",
        "At 8-ary the variance that GR saves compares favourably with that of the minibatch.",
        "variance that GR-MC10 saves over that of the minibatch, the least of all steps",
        Rule(1.0),
        saving,
        "several trainings",
    ),
    Claim(
        "Figure 3",
        "So it does at every arity.",
        "the same at 2, 4 and 16 classes",
        Rule(1.0),
        unmeasured,
        f"{_GPU} `fig3`",
    ),
    Claim(
        "Table 2",
        "At 8-ary and B = 20 GR is ahead of ST-GS.",
        "ST-GS minus GR-∞, each at its best draw, nats on the validation set "
        "(in the paper GR-MC1000, on the test set)",
        Rule(0.0),
        gain_on_digits(GR_INF, ST_GS),
        _MORE_SEEDS,
        _paper2("GR-MC1000", "ST-GS", 8, 20),
    ),
    *(
        Claim(
            "Table 2",
            f"So it is at {search.arity_name(arity)}.",
            "the same",
            Rule(0.0),
            gain_on_digits(GR_INF, ST_GS, arity=arity),
            f"{_GPU} `table2`",
            _paper2("GR-MC1000", "ST-GS", arity, 20),
        )
        for arity in (2, 4, 16)
    ),
    Claim(
        "Table 2",
        "At B = 200 little is left of the gain.",
        "the same at 8-ary and B = 200; little is less than a nat either way",
        Rule(-1.0, 1.0),
        gain_on_digits(GR_INF, ST_GS, batch_size=200),
        f"{_GPU} `table2`",
        _paper2("GR-MC1000", "ST-GS", 8, 200),
    ),
    Claim(
        "Table 2",
        "At small arities, 8-ary the largest of them, the relaxation GS is ahead of all "
        "straight-through estimators.",
        "best straight-through row minus GS at 8-ary and B = 20, nats",
        Rule(0.0),
        gain_on_digits(GS, ST_GS, GR_10, GR_100, GR_INF),
        _MORE_SEEDS,
        min(
            table2.PRINTED[row, 8, 20]
            for row in ("ST", "ST-GS", "GR-MC10", "GR-MC100", "GR-MC1000")
        )
        - table2.PRINTED["GS", 8, 20],
    ),
    Claim(
        "Table 2",
        "At 16-ary GR is as good as GS or better.",
        "GS minus GR-∞ at 16-ary and B = 20, nats; as good is less than half a nat behind",
        Rule(-0.5),
        gain_on_digits(GR_INF, GS, arity=16),
        f"{_GPU} `table2`",
        _paper2("GR-MC1000", "GS", 16, 20),
    ),
    *(
        Claim(
            "Table 2",
            f"{row.label} is far behind, by more than 5 nats.",
            f"{row.label} minus ST-GS at 8-ary and B = 20, nats",
            Rule(5.0),
            gain_on_digits(ST_GS, row),
            f"{_GPU} `table2`",
            _paper2("ST-GS", row.label, 8, 20),
        )
        for row in (ST, REINFORCE)
    ),
    Claim(
        "Table 2",
        "From K = 100 on more samples hardly improve the bound.",
        "GR-MC100 minus GR-∞ at 8-ary and B = 20, nats (in the paper GR-MC1000); hardly is less "
        "than half a nat either way",
        Rule(-0.5, 0.5),
        gain_on_digits(GR_INF, GR_100),
        f"{_GPU} `table2`",
        _paper2("GR-MC1000", "GR-MC100", 8, 20),
    ),
    Claim(
        "Table 2",
        "The best models with GR have a lower temperature than those with ST-GS "
        f"({_TAUS['GR-MC1000']:g} against {_TAUS['ST-GS']:g} on average).",
        "τ of the best draw of ST-GS minus that of GR-∞, mean of the cells",
        Rule(0.0),
        lower_best_temperature,
        f"{_GPU} `table2`",
        _TAUS["ST-GS"] - _TAUS["GR-MC1000"],
    ),
    Claim(
        "Figure 4",
        "More samples improve the bound.",
        "GR-MC10 minus GR-∞ at 8-ary and B = 20, nats (in the paper GR-MC1000)",
        Rule(0.0),
        gain_on_digits(GR_INF, GR_10),
        _MORE_SEEDS,
        _paper2("GR-MC1000", "GR-MC10", 8, 20),
    ),
    Claim(
        "Table 3",
        "The gain is larger at smaller batches.",
        "ST-GS minus GR-∞ at B = 5, less the same at B = 200, 8-ary, nats (in the paper GR-MC1000)",
        Rule(0.0),
        smaller_batches,
        f"{_GPU} `table3`",
        _paper3(8, 5) - _paper3(8, 200),
    ),
)


def verdicts(folder: Path) -> pd.DataFrame:
    """Return the table of all claims.

    Args:
        folder: of the results, as `reproduce` writes them.

    Returns:
        `place`, `claim`, `statistic`, `rule`, `cells`, what was `measured` (with its standard
        error), the same from the numbers that the `paper` prints, the `verdict`, and what
        `would_decide` it where it is open.
    """
    import pandas as pd

    stored, rows = Stored(folder), []
    for claim in CLAIMS:
        figure = claim.measure(stored)
        verdict = claim.rule.verdict(figure)
        rows.append(
            {
                "place": claim.place,
                "claim": claim.sentence,
                "statistic": claim.statistic,
                "rule": str(claim.rule),
                "cells": "" if figure is None else figure.cells,
                "measured": "" if figure is None else _number(figure.value, figure.error),
                "paper": "" if math.isnan(claim.paper) else f"{claim.paper:.3g}",
                "verdict": verdict,
                "would_decide": claim.decides if verdict in (UNDECIDED, UNMEASURED) else "",
            }
        )
    return pd.DataFrame(rows)


def _number(value: float, error: float) -> str:
    """A number with its standard error, to the digits that mean something.

    Example:
        >>> _number(44.751, 3.08), _number(0.8912, 0.0183), _number(-0.3, math.nan)
        ('44.8 ± 3.1', '0.891 ± 0.018', '-0.30')
    """
    size = error if error > 0 else abs(value)
    digits = min(4, max(0, 1 - math.floor(math.log10(size)))) if size > 0 else 0
    text = f"{value:.{digits}f}"
    return f"{text} ± {error:.{digits}f}" if error > 0 else text


def read(path: str) -> pd.DataFrame:
    """Read what `write_verdicts` wrote.

    Args:
        path: of `verdicts.csv`, or its address.
    """
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False)


def shown(table: pd.DataFrame, *places: str) -> str:
    """Return the claims of some places as an HTML table that wraps on narrow screens.

    Args:
        table: from `verdicts` or `read`.
        places: such as "Table 1"; all if there are none.
    """
    cells = table[table.place.isin(places)] if places else table
    style = 'style="text-align: left; vertical-align: top; white-space: normal"'
    lines = [f"<tr>{''.join(f'<th {style}>{name}</th>' for name in _HEAD)}</tr>"]
    for row in cells.to_dict("records"):
        parts = "".join(f"<td {style}>{part}</td>" for part in _parts(row, html.escape))
        lines.append(f"<tr>{parts}</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


_HEAD = ("the paper says", "measured here", "verdict")


def _parts(row: dict[str, str], escape: Callable[[str], str]) -> list[str]:
    """The three cells of a claim, with line breaks."""
    text = {name: escape(value) for name, value in row.items()}
    measured = [f"{text['statistic']}; holds if {text['rule']}"]
    if text["measured"]:
        measured = [f"<b>{text['measured']}</b>", *measured, text["cells"]]
    if text["paper"]:
        measured.append(f"paper: {text['paper']}")
    verdict = [f"<b>{text['verdict']}</b>"]
    if text["would_decide"]:
        verdict.append(f"would decide it: {text['would_decide']}")
    return [f"{text['place']}: {text['claim']}", "<br>".join(measured), "<br>".join(verdict)]


def readme(table: pd.DataFrame) -> str:
    """Return the text of `README.md`.

    Args:
        table: from `verdicts`.
    """
    counts = table.verdict.value_counts()
    said = ", ".join(f"{counts[name]} {name}" for name in _ORDER if name in counts)
    lines = [
        "# Results, and what they say of the paper's claims",
        "",
        "Each folder holds an experiment: a file for each run in `runs`, and the tables made from",
        "them. This page is made from them, too:",
        "",
        "    python -m gumbelrao_edu verdicts --out notebooks/results",
        "",
        f"{len(table)} claims: {said}. The statistics and the rules stand in",
        "`gumbelrao_edu/experiments/verdicts.py`. A claim *holds* if the figure is within the",
        "bounds of its rule by two standard errors (±), it *does not hold* if it is outside by as",
        f"much, and it is *undecided* otherwise, or with an error over fewer than {LEAST} seeds or",
        "draws. A draw is one of the hyper-parameters of a search. The models of Table 1 were",
        "trained on sentences drawn anew, and the layers of the autoencoders, which the paper does",
        "not give, are those of this project.",
        "",
        f"| {' | '.join(_HEAD)} |",
        "| --- | --- | --- |",
    ]
    plain = [_parts(row, lambda text: text.replace("|", "\\|")) for row in table.to_dict("records")]
    return "\n".join([*lines, *(f"| {' | '.join(parts)} |" for parts in plain)]) + "\n"


_ORDER = (HOLDS, FAILS, UNDECIDED, UNMEASURED)


def write_verdicts(folder: Path) -> pd.DataFrame:
    """Write `README.md` and `verdicts.csv` beside the results.

    Args:
        folder: of all experiments.

    Returns:
        The table.
    """
    table = verdicts(folder)
    write(folder / "verdicts.csv", table.to_csv(index=False, lineterminator="\n"))
    write(folder / "README.md", readme(table))
    return table
