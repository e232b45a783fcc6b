"""What the stored results say in numbers: the statistics that the paper's claims are judged by."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import json
import math
import statistics
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..figures.rows import GR_10, GR_100, GR_INF, ST_GS, Row, labels_of
from ..training.errors import DamagedFileError
from ..training.run import has_ended, read_rows, table_of
from . import search, table1, table2

if TYPE_CHECKING:
    import pandas as pd

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
        freedom: degrees of freedom of the standard error.
        at_edge: whether what was tried ends there, so that it decides nothing.
    """

    value: float
    error: float
    count: int
    cells: str
    freedom: float = math.inf
    at_edge: bool = False


@dataclass(frozen=True)
class Stored:
    """The results in a folder, as `reproduce` writes them.

    Trainings are compared only with those of the same protocol, and only on all of the data: those
    of a profile that takes a part of them, such as `smoke`, say nothing of the paper.

    Attributes:
        folder: of all experiments.
        passed_over: how many protocols are left out; 0 leaves the longest one. There is always one
            left.
    """

    folder: Path
    passed_over: int = 0
    _read: dict[str, pd.DataFrame | None] = field(default_factory=dict, repr=False, compare=False)

    def table(self, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
        """Return a table by the path of its file without the ending; None if it is not there.

        Args:
            name: of the path.
            columns: that it has to have; all but those of `_TEXTS` hold numbers.

        Raises:
            DamagedFileError: if it is not such a table.
        """
        path = self.folder / f"{name}.csv"
        if not path.exists():
            return None
        try:
            return _table(path.read_text(encoding="utf-8"), columns)
        except (ValueError, csv.Error) as error:
            raise _damaged(f"{path} is damaged: {error}", path.parent.name) from error

    def of_figure(self, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
        """Return a table of Figure 2 or 3; None, too, if it was measured on a part of the digits.

        Args:
            name, columns: as for `table`.

        Raises:
            DamagedFileError: as there, or if the tables are not those of the runs in `runs.csv`,
                which is written while another profile is computed, and they are only at its end.
        """
        of = name.partition("/")[0]
        runs = self.table(f"{of}/runs", ["arity", "full", "measure_at", "status"])
        if runs is None:
            return self.table(name, columns)
        measured = self.table(f"{of}/{of}", ["arity", "step"])
        if measured is not None:
            done = runs[runs.status == "done"]
            try:
                steps = done.assign(step=done.measure_at.map(json.loads)).explode("step")
            except (TypeError, ValueError) as error:
                raise _damaged(f"{self.folder / of / 'runs.csv'} is damaged: {error}", of) from None
            got, wanted = ({*zip(t.arity, t.step, strict=True)} for t in (measured, steps))
            if got != wanted:
                raise _damaged(f"{self.folder / of / of}.csv is not of the runs in runs.csv", of)
        return self.table(name, columns) if runs.full.all() else None

    def trainings(self, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
        """Return the runs of an experiment that did not fail, with the label of their `row`.

        They are read from their own files, which tell if one is damaged; `runs.csv` is only of the
        profile that was computed last, and is read where these are not there.

        Args:
            name: of the experiment.
            columns: as for `table`.
        """
        if name not in self._read:
            self._read[name] = self._trainings(name, columns)
        return self._read[name]

    def _trainings(self, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
        columns = ["estimator", "k", "status", *columns]
        path = self.folder / name / "runs"
        if files := sorted(path.glob("*.json")):
            try:
                rows = [row for row in read_rows(files).values() if has_ended(row)]
            except DamagedFileError as error:
                raise _damaged(error, name) from error
            try:
                found = table_of(rows)
                if not any(row["status"] == "done" for row in rows):  # they lack what was measured
                    found = found.reindex(columns=[*dict.fromkeys([*found, *columns])])
                runs = _table(found.to_csv(index=False), columns) if rows else None
            except ValueError as error:
                raise DamagedFileError(f"{path} has runs of another experiment: {error}") from error
        else:
            path, runs = path.with_suffix(".csv"), self.table(f"{name}/runs", columns)
        if runs is None:
            return None
        runs = runs[runs.status.isin(["done", "diverged"])]
        try:
            labels = labels_of(runs)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFileError(f"{path} has a run of an unknown kind: {error}") from error
        return runs.assign(row=labels, tau=runs.tau.fillna(0.0))

    def by_protocol(self) -> list[Stored]:
        """Return the same with the longest protocol, the second longest, and so on."""
        most = max([1, *(len(set(runs.protocol)) for runs in self._with_protocols())])
        return [replace(self, passed_over=count) for count in range(most)]

    def _with_protocols(self) -> list[pd.DataFrame]:
        grids = (self._grid(name) for name in _GRIDS)
        return [self._searches, *(grid for grid in grids if grid is not None)]

    def _of_one_protocol(self, runs: pd.DataFrame) -> pd.DataFrame:
        protocols = sorted(set(runs.protocol), reverse=True)
        if not protocols:
            return runs
        chosen = protocols[min(self.passed_over, len(protocols) - 1)]
        return runs[[protocol == chosen for protocol in runs.protocol]]

    @cached_property
    def _searches(self) -> pd.DataFrame:
        """The trainings of all searches, once each; the bound of one that diverged is ∞."""
        import pandas as pd

        cell = ["arity", "batch_size", *_DRAW, "seed"]
        columns = ["num_samples", "images", *cell, *_PROTOCOL_OF_SEARCHES, "valid_bound"]
        tables = [self.trainings(name, columns) for name in search.SHARED_BY]
        there = [table for table in tables if table is not None]
        if not there:
            return pd.DataFrame(columns=[*cell, "row", "bound", "protocol"])
        runs = _on_all_data(pd.concat(there), "images", _PROTOCOL_OF_SEARCHES)
        bound = (-runs.valid_bound).where(runs.status == "done", math.inf)
        return runs.assign(bound=bound).drop_duplicates(["row", "protocol", *cell])

    @cached_property
    def _judged(self) -> pd.DataFrame:
        """Those of the protocol that is not passed over."""
        return self._of_one_protocol(self._searches)

    @cached_property
    def _have_published(self) -> bool:
        """Whether some training of a grid was tested on the published set."""
        grids = (self._grid(name) for name in _GRIDS)
        return any(_published(grid).notna().any() for grid in grids if grid is not None)

    def _grid(self, name: str) -> pd.DataFrame | None:
        """The trainings of Table 1, or of another experiment of its kind."""
        scores = [f"{of}_accuracy" for of in ("valid", "test", "published")]
        columns = ["tau", "clip", "length", "learning_rate", "seed", "published", "diverged_at"]
        columns += scores
        runs = self.trainings(name, ["train", *columns, *_PROTOCOL_OF_GRIDS])
        if runs is None:
            return None
        return _on_all_data(runs[runs.status == "done"], "train", _PROTOCOL_OF_GRIDS)

    def accuracies(
        self,
        row: Row,
        tau: float,
        *,
        length: int = 10,
        name: str = "table1",
        least_rate: float = 0.0,
    ) -> pd.DataFrame:
        """Return the trainings of a cell of Table 1 with the learning rate that is chosen.

        Args:
            row: of the table.
            tau: its temperature.
            length: the largest number of tokens.
            name: of the experiment.
            least_rate: the learning rate is chosen from this one on.

        Returns:
            By seed: `valid`, and `test` on the published set, in percent, missing for a training
            that had it not; if none had it, here or in any other cell, on the generated one.
            Whether the training `diverged` at some step; its `epochs`.
        """
        import pandas as pd

        runs = self._grid(name)
        if runs is None:
            return pd.DataFrame(columns=["valid", "test", "diverged", "epochs"], dtype=float)
        runs = self._of_one_protocol(runs)
        cell = runs[(runs.length == length) & (runs.tau == tau) & (runs["row"] == row.label)]
        cell = cell[cell.learning_rate >= least_rate]
        best = (table1.at_best_rate(cell) if len(cell) else cell).set_index("seed").sort_index()
        # Both cells of a comparison have the same set, whichever of them lacks some.
        test = _published(best) if self._have_published else best.test_accuracy
        return pd.DataFrame(
            {
                "valid": best.valid_accuracy,
                "test": test,
                "diverged": best.diverged_at.notna(),
                "epochs": best.epochs,
            }
        )

    def bounds(self, row: Row, arity: int, batch_size: int) -> pd.Series:
        """Return the bounds of the negative log-likelihood on the validation set, in nats.

        Returns:
            By the hyper-parameters (see `_DRAW`) and the seed.
        """
        runs = self._judged
        here = (runs["row"] == row.label) & (runs.arity == arity) & (runs.batch_size == batch_size)
        bounds: pd.Series = runs[here].set_index([*_DRAW, "seed"]).bound
        return bounds.sort_index()

    def samples_of_bounds(self) -> int:
        """Return M of these bounds."""
        return int(self._judged.valid_samples.max())


_GRIDS = ("table1", "clipping")

_DRAW = ["learning_rate", "momentum", "weight_decay", "tau"]

_TEXTS = {"estimator", "hidden", "measure_at", "row", "status"}

# What trainings of one protocol have in common, by what tells first which is the longer one.
_PROTOCOL_OF_SEARCHES = ["steps", "full", "valid_samples", "hidden"]
_PROTOCOL_OF_GRIDS = ["epochs", "dim", "validations"]


def _published(runs: pd.DataFrame) -> pd.Series:
    """Accuracies on the published test set, which trainings on the published examples have, too."""
    on_own: pd.Series = runs.test_accuracy.where(runs.published.astype(bool))
    return on_own.fillna(runs.published_accuracy.astype(float))


def _damaged(what: object, name: str) -> DamagedFileError:
    return DamagedFileError(
        f"{what}; `git checkout` brings back what was committed, `reproduce {name}` with the "
        "profile of these runs makes it anew, and a file of something else is to be moved away"
    )


def _table(text: str, columns: Sequence[str]) -> pd.DataFrame:
    """The table of a text, or a `ValueError` that says what is wrong with it."""
    import pandas as pd

    lines = list(csv.reader(io.StringIO(text), strict=True))
    if not text.endswith("\n") or len({len(line) for line in lines}) > 1:
        raise ValueError("it is empty, or a line is cut off")
    table = pd.read_csv(io.StringIO(text))
    for name in columns:
        if name not in table:
            raise ValueError(f"there is no column {name!r}")
        if name not in _TEXTS and not pd.api.types.is_numeric_dtype(table[name]) and len(table):
            raise ValueError(f"{name}: expected numbers")
    return table


def _on_all_data(runs: pd.DataFrame, part: str, protocol: list[str]) -> pd.DataFrame:
    """The trainings that were not on a `part` of the data, each with its protocol."""
    runs = runs[runs[part].isna()]
    return runs.assign(protocol=[*runs[protocol].itertuples(index=False, name=None)])


def over_seeds(values: pd.Series, cells: str, what: str = "seed") -> Figure | None:
    """Return the mean of one number a seed, with its standard error.

    Args:
        values: by seed; what is missing is left out.
        cells: what was measured; the seeds are added.
        what: they are called in place of seeds.
    """
    values = values.dropna().astype(float)
    if not len(values):
        return None
    names = ", ".join(str(int(name)) for name in values.index)
    said = f"{cells}; {what}{'s' * (len(values) > 1)} {names}"
    count = len(values)
    return Figure(values.mean(), values.sem() if count > 1 else math.nan, count, said, count - 1)


def _together(*parts: tuple[float, float]) -> tuple[float, float]:
    """The error of a sum and its degrees of freedom, after Welch and Satterthwaite.

    Args:
        *parts: the same of the summands, which are independent.
    """
    squares = sum(error**2 for error, _ in parts)
    if not squares > 0:
        return math.sqrt(squares), math.inf
    return math.sqrt(squares), squares**2 / sum(e**4 / freedom for e, freedom in parts if freedom)


# Table 1

_LOW = min(table1.PAPER_TAUS)


def gain_on_trees(
    row: Row,
    base: Row,
    tau: float,
    name: str = "table1",
    base_name: str | None = None,
    length: int = 10,
    least_rate: float = 0.0,
) -> Callable[[Stored], Figure | None]:
    """Accuracy of one row of an experiment minus that of one of another, paired by seed."""

    def measure(stored: Stored) -> Figure | None:
        cell = functools.partial(stored.accuracies, tau=tau, length=length, least_rate=least_rate)
        ours, theirs = cell(row, name=name), cell(base, name=base_name or name)
        ended = ", ".join(
            f"{int(cell.diverged.sum())} of {each.label}"
            for each, cell in ((row, ours), (base, theirs))
        )
        epochs = ", ".join(f"{count:g}" for count in sorted({*ours.epochs, *theirs.epochs}))
        said = f"L ≤ {length}, τ = {tau:g}, {epochs} epochs; diverged: {ended}"
        return over_seeds(ours.test - theirs.test, said)

    return measure


def shrinking_gain(low: float, high: float) -> Callable[[Stored], Figure | None]:
    """The gain of GR-MC10 at one temperature minus that at a higher one, paired by seed."""

    def measure(stored: Stored) -> Figure | None:
        gains = [
            stored.accuracies(GR_10, tau).test - stored.accuracies(ST_GS, tau).test
            for tau in (low, high)
        ]
        return over_seeds(gains[0] - gains[1], f"L ≤ 10, τ = {low:g} and {high:g}")

    return measure


def overall_gain(stored: Stored) -> Figure | None:
    """The best cell of GR minus the best of ST-GS, both chosen on the validation set."""
    taus = [tau for tau in table1.PAPER_TAUS if len(stored.accuracies(ST_GS, tau))]

    def best(*rows: Row) -> tuple[str, pd.Series] | None:
        cells = {
            f"{row.label} at τ = {tau:g}": stored.accuracies(row, tau)
            for row in rows
            for tau in taus
        }
        cells = {name: cell for name, cell in cells.items() if len(cell)}
        if not cells:
            return None
        name = max(cells, key=lambda name: cells[name].valid.mean())
        return name, cells[name].test

    ours, base = best(GR_10, GR_100, GR_INF), best(ST_GS)
    if ours is None or base is None:
        return None
    said = f"L ≤ 10, of {_at_taus(taus)}: {ours[0]}, {base[0]}"
    return over_seeds(ours[1] - base[1], said)


def share_of_ten(stored: Stored) -> Figure | None:
    """What K = 10 gains at the lowest temperature, as a share of what K = ∞ gains."""
    ten, all_of_them, base = (stored.accuracies(row, _LOW).test for row in (GR_10, GR_INF, ST_GS))
    both = (all_of_them + ten - base).dropna().index  # seeds that all three have
    part, whole = (ten - base)[both], (all_of_them - base)[both]
    if not whole.mean() > 0:  # of no gain there is no share
        return None
    share = part.mean() / whole.mean()
    # To first order the error of a quotient of means is that of the mean of what is left over.
    figure = over_seeds((part - share * whole) / whole.mean(), f"L ≤ 10, τ = {_LOW:g}")
    return None if figure is None else replace(figure, value=share)


# Figure 1: formulas without chance, so that nothing has to be stored


def smallest_gap(stored: Stored) -> Figure | None:
    """The smallest gap over the simplex and all temperatures."""
    return _exact(min(float(gap.min()) for gap in _gaps().values()))


def rising_gap(stored: Stored) -> Figure | None:
    """How much the mean gap grows from one temperature to the next lower one, at the least."""
    gaps = _gaps()
    means = [float(gaps[tau].mean()) for tau in sorted(gaps, reverse=True)]
    rises = [lower - higher for higher, lower in itertools.pairwise(means)]
    return _exact(min(rises))


def _exact(value: float) -> Figure:
    gaps = _gaps()
    said = f"{_at_taus(gaps)}, a grid on the simplex, A held fixed, without sampling"
    return Figure(value, 0.0, sum(map(len, gaps.values())), said)


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
        stored, "fig2", (8,), lambda st, gr: _ratio(*st["monte_carlo"], *gr["monte_carlo"])
    )


def saving(name: str, *arities: int) -> Callable[[Stored], Figure | None]:
    """The variance that GR-MC10 saves over that of the minibatch: the least over the training.

    Args:
        name: of the experiment.
        *arities: the least of these, if all are there.
    """

    def over_minibatch(
        st: dict[str, tuple[float, float]], gr: dict[str, tuple[float, float]]
    ) -> tuple[float, float]:
        (a, da), (b, db) = st["monte_carlo"], gr["monte_carlo"]
        return _ratio(a - b, math.hypot(da, db), *gr["minibatch"])

    return lambda stored: _least_over_training(stored, name, arities, over_minibatch)


def _least_over_training(
    stored: Stored, name: str, arities: Sequence[int], of: Callable[..., tuple[float, float]]
) -> Figure | None:
    errors = [f"{part}_error" for part in _PARTS]
    table = stored.of_figure(f"{name}/{name}", ["arity", "step", "row", "tau", *_PARTS, *errors])
    if table is None or table.empty:
        return None
    tau = table.tau.iloc[0]  # that of the training
    cells = table[(table.tau == tau) & table.arity.isin(arities)].set_index(["arity", "step"])
    st, gr = (cells[cells["row"] == row.label] for row in (ST_GS, GR_10))
    both = st.index.intersection(gr.index)
    if {*both.get_level_values("arity")} != {*arities}:
        return None
    found = []
    for at in both:
        parts = [
            {part: (cell.loc[at, part], cell.loc[at, f"{part}_error"]) for part in _PARTS}
            for cell in (st, gr)
        ]
        found.append((of(*parts), at))
    (value, error), (arity, _) = min(found)
    names = ", ".join(map(search.arity_name, arities))
    steps = ", ".join(f"{step:,}" for step in both.unique("step"))
    each, least = (
        (" each", f"; least at {search.arity_name(arity)}") if len(arities) > 1 else ("", "")
    )
    said = f"{names}, τ = {tau:g}, steps {steps} of one training{each}"
    figure = _over_minibatches(value, error, stored, said, name)
    return replace(figure, cells=figure.cells + least)


_PARTS = ("monte_carlo", "minibatch")


def _over_minibatches(
    value: float, error: float, stored: Stored, cells: str, name: str = "fig2", bias: bool = False
) -> Figure:
    """A figure whose error is over pairs of minibatches; over fewer minibatches, with a `bias`."""
    runs = stored.table(f"{name}/runs", ["num_batches", "bias_batches"])
    pairs, few = (0, 0) if runs is None else (runs.num_batches.min() // 2, runs.bias_batches.min())
    count = int(min(pairs, few) if bias else pairs)
    said = f"; error over {pairs} pairs of minibatches" + f", that of the bias over {few}" * bias
    return Figure(value, error, count, cells + said, max(count - 1, 1))


def _ratio(a: float, da: float, b: float, db: float) -> tuple[float, float]:
    """a / b with its standard error, to first order."""
    return a / b, abs(a / b) * math.hypot(da / a, db / b)


def _mse(stored: Stored, row: Row, averaged: int) -> dict[float, tuple[float, float]]:
    """The MSE of a mean of gradients given the minibatch, at the last step, by τ."""
    parts = ("monte_carlo", "squared_bias")
    errors = [f"{part}_error" for part in parts]
    table = stored.of_figure("fig2/fig2", ["arity", "step", "row", "tau", *parts, *errors])
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
    """The MSE of ST-GS over that of GR-MC100 at the same τ: the least up to τ = 1.

    There the paper's searches end. As τ grows further, both estimators become the same one.
    """
    every = (_mse(stored, row, 1) for row in (ST_GS, GR_100))
    st, gr = ({tau: mse[tau] for tau in mse if tau <= 1} for mse in every)
    ratios = {_ratio(*st[tau], *gr[tau]): tau for tau in st.keys() & gr.keys()}
    if not ratios:
        return None
    said = f"{_said_of_mse(gr, 1)}; least at τ = {ratios[min(ratios)]:g}"
    return _over_minibatches(*min(ratios), stored, said, bias=True)


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
        edge = best == max(st)  # ST-GS may be better still at a higher temperature, and so may GR
        said = f"{_said_of_mse(gr, averaged)}; τ = {lower:g} over τ = {best:g}"
        said += ", the largest that was measured" * edge
        figure = _over_minibatches(value, error, stored, said, bias=True)
        return replace(figure, at_edge=edge)

    return measure


def _said_of_mse(mse: dict[float, tuple[float, float]], averaged: int) -> str:
    what = "one gradient" if averaged == 1 else f"the mean of {averaged} gradients"
    return f"8-ary, {_at_taus(mse)}, {what}, last step of one training"


def steps_ratio(stored: Stored) -> Figure | None:
    """The logarithm of the steps of ST-GS over those of GR-∞, mean of the thresholds of both."""
    steps = stored.of_figure(
        "fig2/steps", ["row", "arity", "batch_size", "draw", "threshold", "steps"]
    )
    if steps is None or steps.empty:
        return None
    both = steps[(steps.arity == 8) & (steps.batch_size == 20)].pivot_table(
        index=["draw", "threshold"], columns="row", values="steps"
    )
    if not {ST_GS.label, GR_INF.label} <= {*both.columns}:
        return None
    # Of ratios themselves the mean is above 1 even if either is as often ahead by as much.
    ratios = (both[ST_GS.label] / both[GR_INF.label]).dropna().map(math.log)
    by_draw = ratios.groupby(level="draw").mean()
    return over_seeds(by_draw, "8-ary, B = 20, one training each", "draw")


# Tables 2 and 3

_SEARCHED = 5  # draws from which on the best one tells something of its temperature


_Draw = tuple[float, float, float]  # all but τ, which not each row has


class Best(NamedTuple):
    """A draw of the hyper-parameters, and the bounds of its trainings in nats."""

    label: str
    draws: int  # of which it is the best
    learning_rate: float
    momentum: float
    weight_decay: float
    tau: float
    seeds: float
    mean: float
    sem: float

    @property
    def drawn(self) -> _Draw:
        """What tells it from the other draws."""
        return self.learning_rate, self.momentum, self.weight_decay

    @property
    def over(self) -> int:
        """How many seeds the error is over; 0 for the only draw tried, which is no best one."""
        return int(self.seeds) if self.draws > 1 else 0


def best(
    stored: Stored,
    rows: Sequence[Row],
    arity: int,
    batch_size: int,
    among: Collection[_Draw],
) -> Best | None:
    """Return the best draw of the best row, by the mean over its seeds on the validation set.

    Where some draws of a row have `LEAST` seeds, those with fewer are not chosen: one lucky
    training is no reason.

    Args:
        stored: the results.
        rows: that are searched.
        arity, batch_size: of the cell.
        among: draws that are looked at.
    """
    found = []
    for row in rows:
        bounds = stored.bounds(row, arity, batch_size)
        bounds = bounds[[key[:3] in among for key in bounds.index]]
        by_draw = bounds.groupby(level=_DRAW)
        draws = by_draw.agg(["count", "mean", "sem"]).rename(columns={"count": "seeds"})
        known = draws[draws.seeds >= min(LEAST, draws.seeds.max())]
        ended = known[known["mean"] < math.inf].reset_index()[[*Best._fields[2:]]]
        found += [Best(row.label, len(draws), *draw) for draw in ended.values]
    return min(found, key=lambda draw: draw.mean, default=None)


def _best_of_each(
    stored: Stored,
    sides: Sequence[Sequence[Row]],
    arity: int,
    batch_size: int,
    without: Collection[_Draw] = (),
) -> list[Best | None]:
    """The best draw of each side, of those that each has in any of its rows.

    The best of more draws would be better by their number alone.
    """
    drawn = [
        {key[:3] for row in rows for key in stored.bounds(row, arity, batch_size).index}
        for rows in sides
    ]
    among = set.intersection(*drawn).difference(without)
    return [best(stored, rows, arity, batch_size, among) for rows in sides]


def gain_on_digits(
    row: Row, *others: Row, arity: int = 8, batch_size: int = 20
) -> Callable[[Stored], Figure | None]:
    """How far a row is ahead of the best of some others in nats, each at its best shared draw."""

    def measure(stored: Stored) -> Figure | None:
        each_best = functools.partial(_best_of_each, stored, ([row], others), arity, batch_size)
        ours, theirs = each_best()
        if ours is None or theirs is None:
            return None
        where = ", ".join(
            f"{each.label} {f'at τ = {each.tau:g} ' if each.tau else ''}"
            f"(draws: {each.draws}, seeds: {each.seeds:g})"
            for each in (theirs, ours)
        )
        cell = f"{search.arity_name(arity)}, B = {batch_size}, M = {stored.samples_of_bounds()}"
        said = f"{cell}; {where}"
        rest = each_best({ours.drawn})
        if rest[0] is not None and rest[1] is not None:
            left = round(rest[1].mean - rest[0].mean, 1) + 0.0  # no minus before a zero
            said += f"; without that draw of {ours.label}: {left:.1f}"
        error, freedom = _together(*((each.sem, each.seeds - 1) for each in (theirs, ours)))
        count = min(theirs.over, ours.over)
        return Figure(theirs.mean - ours.mean, error, count, said, freedom)

    return measure


def lower_best_temperature(stored: Stored) -> Figure | None:
    """τ of the best draw of ST-GS minus that of GR-∞, over arities and batch sizes.

    Cells with fewer than `_SEARCHED` draws are left out: two rows that choose from the same two
    temperatures agree too easily.
    """
    lower = {}
    for arity, batch_size in table2.PAPER_COLUMNS:
        st, gr = _best_of_each(stored, ([ST_GS], [GR_INF]), arity, batch_size)
        if st is not None and gr is not None and min(st.draws, gr.draws) >= _SEARCHED:
            lower[f"{search.arity_name(arity)}, B = {batch_size}"] = st.tau - gr.tau
    if not lower:
        return None
    # The draws of all cells are the same, so that their best ones are no independent sample.
    said = f"{'; '.join(lower)}; without an error: all cells have the same draws"
    return Figure(statistics.fmean(lower.values()), math.nan, len(lower), said)


def smaller_batches(stored: Stored) -> Figure | None:
    """The gain of GR-∞ at the smallest batch size minus that at the largest one."""
    small, large = (
        gain_on_digits(GR_INF, ST_GS, batch_size=batch_size)(stored) for batch_size in (5, 200)
    )
    if small is None or large is None:
        return None
    error, freedom = _together((small.error, small.freedom), (large.error, large.freedom))
    count, cells = min(small.count, large.count), f"{small.cells}; {large.cells}"
    return Figure(small.value - large.value, error, count, cells, freedom)
