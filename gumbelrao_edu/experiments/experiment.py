"""The record of an experiment, and the one way in which all of them are computed and written.

reproduce table2 --profile cpu
  configurations(profile)     what to compute, one dictionary a run
  train(run)                  one run, in a process of its own, to its row
  second(profile, …)          where there is one: what is computed with the best of these
  tables(outcome)             numbers, from the rows
  text, page                  what is printed and what is looked at
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..training.claims import claim
from ..training.files import copy, write
from ..training.merge import adopt
from ..training.run import Run, has_ended, load_or_set_aside, load_quietly, runs_of, table_of
from ..training.stacked import Together

if TYPE_CHECKING:  # the command line lists the experiments without pandas
    import pandas as pd

Config = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
Tables = dict[str, "pd.DataFrame"]

PROFILES = ("smoke", "lecture", "cpu", "paper", "gpu")


class RunsFailedError(RuntimeError):
    """Some runs failed; what could be made without them is written."""


@dataclass(frozen=True)
class Outcome:
    """What the runs of an experiment have left, for its tables.

    Attributes:
        profile: the entry of `Experiment.profiles`.
        folder: of the experiment; those of the others lie beside it.
        rows: of the runs, in the order of the configurations, as `run_all` describes them.
        second: of the second round, where there is one.
    """

    profile: Any
    folder: Path
    rows: Rows
    second: Rows = ()

    @property
    def runs(self) -> pd.DataFrame:
        """The rows as a table, without results that are lists."""
        return table_of(self.rows)


@dataclass(frozen=True)
class Experiment:
    """A figure or a table of the paper, as data and functions.

    Attributes:
        name: in the command line, and of the folder.
        title: of the page.
        profiles: for names of `PROFILES` what the other functions are called with; "gpu" is there
            where runs are computed together.
        configurations: gives the configurations of the runs, from a profile.
        run_title: the readable part of a run's name, from its configuration.
        train: computes one run, see `run_all`; other processes import it.
        results: the form of what `train` returns, see `check_form`.
        tables: makes the numbers from the outcome, by the names of their files. The first is the
            experiment's own; it is called again in an unfinished experiment with fewer rows.
        page: makes the body of the page from the tables, as HTML.
        text: makes what is printed from the tables.
        check: raises `ArithmeticError` if the tables contradict what has to hold; they are written.
        chosen: from the profile and the folder of all experiments, the profile that the other
            functions are called with: it may depend on rows, of another experiment or its own.
            After the runs it is asked again, and goes on with what it says then.
        prepare: called with the profile before a worker starts; fetches data.
        second: from the outcome of the first round, the runs of a second one, in the order of its
            rows; each as its first run and what its configuration has besides.
        train_second, results_second: as for the first round; `run.before` is the first run.
        shares: experiments whose runs, where they are the same, are taken from their folders.
        together: where runs can be computed in one program, how.
    """

    name: str
    title: str
    profiles: Mapping[str, Any]
    configurations: Callable[[Any], list[Config]]
    run_title: Callable[[Config], str]
    train: Callable[[Run], dict[str, Any]]
    results: Mapping[str, Any]
    tables: Callable[[Outcome], Tables]
    page: Callable[[Tables], str]
    text: Callable[[Tables], str] = field(
        default=lambda tables: "\n\n".join(table.to_string() for table in tables.values())
    )
    check: Callable[[Tables], object] = field(default=lambda tables: None)
    chosen: Callable[[Any, Path], Any] = field(default=lambda profile, out: profile)
    prepare: Callable[[Any], object] = field(default=lambda profile: None)
    second: Callable[[Outcome], list[tuple[int, Config]]] | None = None
    train_second: Callable[[Run], dict[str, Any]] | None = None
    results_second: Mapping[str, Any] = field(default_factory=dict)
    shares: tuple[str, ...] = ()
    together: Together | None = None


def reproduce(
    experiment: Experiment,
    profile: Any,
    out: str | os.PathLike[str],
    *,
    jobs: int = 1,
    backend: str = "joblib",
    together: bool | None = None,
    say: Callable[[str], object] = print,
) -> Tables:
    """Compute what is missing of an experiment, and write its tables and its page.

    Args:
        experiment: the record.
        profile: the name of one of its profiles, or such a profile itself.
        out: folder of all experiments. In it `NAME/` gets `NAME.csv`, `NAME.html`, further tables,
            `runs.csv` and `runs/` of the runs (see `run_all`), the same of a second round in
            `test/`, and the weights that it needs in `models/`.
        jobs, backend, say: as for `run_all`.
        together: compute runs in one program that can be; by default on a GPU. The rows are the
            same, to rounding.

    Returns:
        The tables, as they are in the files.

    Raises:
        ValueError: when the experiment has no profile of this name.
        TypeError: when the profile is one of another kind.
        ArithmeticError: when no run ended well, or the numbers contradict what has to hold.
        RunsFailedError: when some runs failed; all that the others give is written.
        DataError: when the full data is asked for and cannot be had, or the rows of another
            experiment that this one begins with are not there.
        BackendError, TakenOverError, KeyboardInterrupt: as `run_all` does.
    """
    if isinstance(profile, str):
        if profile not in experiment.profiles:
            known = ", ".join(experiment.profiles)
            raise ValueError(f"profile: {experiment.name} has {known}, got {profile!r}")
        profile = experiment.profiles[profile]
    kind = type(next(iter(experiment.profiles.values())))
    if not isinstance(profile, kind):
        got = type(profile).__name__
        raise TypeError(f"profile: expected a name or a {kind.__name__}, got {got}")
    out = Path(out)
    chosen = experiment.chosen(profile, out)
    experiment.prepare(chosen)
    with claim((out / experiment.name).resolve()):
        while True:
            tables = _reproduce(experiment, chosen, out, jobs, backend, together, say)
            if (after := experiment.chosen(profile, out)) == chosen:
                return tables
            chosen = after


def _reproduce(
    experiment: Experiment,
    profile: Any,
    out: Path,
    jobs: int,
    backend: str,
    together: bool | None,
    say: Callable[[str], object],
) -> Tables:
    import pandas as pd

    from ..device import default_device
    from ..figures.page import page
    from ..training.runs import run_all

    folder = out / experiment.name
    options: dict[str, Any] = {"jobs": jobs, "backend": backend, "say": say}
    runs = runs_of(
        experiment.configurations(profile), folder, experiment.run_title, experiment.results
    )
    beside = [out / name for name in experiment.shares if name != experiment.name]
    _adopt_rows(runs, folder, beside)
    if together is None:
        together = backend == "joblib" and default_device().type == "cuda"
    rows = run_all(
        experiment.train, runs, together=experiment.together if together else None, **options
    )
    if not any(row["status"] == "done" for row in rows):
        raise ArithmeticError(f"no run ended well; {folder / 'runs.csv'} says why")
    outcome = Outcome(profile, folder, rows)
    if experiment.second is not None and experiment.train_second is not None:
        chosen = experiment.second(outcome)
        tests = [
            Run(
                {**runs[i].config, **more},
                (folder / "test").resolve(),
                runs[i].title,
                before=runs[i],
                form=experiment.results_second,
            )
            for i, more in chosen
        ]
        for run in (run.before for run in tests if run.before):
            there = (replace(run, out=other.resolve()) for other in beside)
            found = [each for each in there if each.weights.is_file() and _same_row(each, run)]
            if found and not run.weights.exists():
                copy(found[0].weights, run.weights)
        _adopt_rows(tests, folder, beside)
        outcome = Outcome(profile, folder, rows, run_all(experiment.train_second, tests, **options))
    tables = {}
    for name, table in experiment.tables(outcome).items():
        text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write(folder / f"{name}.csv", text)
        tables[name] = pd.read_csv(io.StringIO(text))  # the numbers as they are in the file
    body = experiment.page(tables)
    write(folder / f"{experiment.name}.html", page(experiment.title, body))
    say(experiment.text(tables))
    files = ", ".join(f"{name}.csv" for name in (*tables, "runs"))
    say(f"written to {folder}: {files}, {experiment.name}.html")
    experiment.check(tables)
    rounds = {"runs.csv": outcome.rows, "test/runs.csv": outcome.second}
    failed = {
        str(folder / name): count
        for name, rows in rounds.items()
        if (count := sum(row["status"] == "failed" for row in rows))
    }
    if failed:
        raise RunsFailedError(
            f"{sum(failed.values())} runs failed, and the tables lack them; for the reason see "
            f"{' and '.join(failed)}; the same command tries them again"
        )
    return tables


def _same_row(one: Run, other: Run) -> bool:
    """Whether both have ended with the same results: then the weights of one are the other's."""
    rows = [load_quietly(run) for run in (one, other)]
    return rows[0] is not None and rows[1] is not None and rows[0]["results"] == rows[1]["results"]


def _adopt_rows(runs: Sequence[Run], folder: Path, beside: Sequence[Path]) -> None:
    """Copy rows that are missing, damaged or failed here from where the same runs have ended."""
    for run in runs:
        if has_ended(load_or_set_aside(run)):
            continue
        place, before = run.out.relative_to(folder.resolve()), run.before
        there = (
            replace(run, out=other / place)
            for other in beside
            # What is computed with a first run belongs to its results.
            if before is None or _same_row(replace(before, out=other.resolve()), before)
        )
        if found := next((run for run in there if has_ended(load_quietly(run))), None):
            adopt(found.row, run.row)
