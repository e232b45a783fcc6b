"""A grid of training runs: side by side, resumed after a kill, and nothing computed twice."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import hashlib
import importlib
import json
import math
import numbers
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence, Sized
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from .._checks import check_count
from ..device import default_device
from . import MAX_JOBS, claims
from .errors import (
    BackendError,
    DamagedFileError,
    DamagedFileWarning,
    OtherSettingsError,
    TakenOverError,
    TrainingDivergedError,
)
from .files import noting_damages, provenance, set_aside, write

if TYPE_CHECKING:
    from .stacked import Together

Function = Callable[["Run"], dict[str, Any]]
Computed = tuple[str, dict[str, Any], list[str]]  # a run's name, its row, damages to tell of

BACKENDS = ("joblib", "dask", "ray")
_FLOATS = {"inf", "-inf", "nan"}  # strict JSON has no numbers for them
_STATUS = ("done", "diverged", "failed")
_OUTCOMES = ("status", "error", "seconds")
_PROVENANCE = ("date", "hardware", "system", "python", "torch", "gumbelrao_edu")
_TAKEN = {*_OUTCOMES, *_PROVENANCE}
_TRACEBACK_LINES = 12
_LONGEST = 64  # characters of a name, so that the path of a row fits everywhere
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_PATIENCE = 60.0  # seconds that a cluster may be without a worker


@dataclass
class Run:
    """One configuration, its name and its files; a training is given one.

    Attributes:
        config: plain values by name: numbers, texts, truth values, None, and lists and dictionaries
            of them.
        out: the folder of the grid.
        title: the readable part of the name: what varies from run to run.
        before: the run whose result this one starts from, if there is one.
        form: of the results, see `check_form`.

    Example:
        >>> run = Run({"tau": 0.5, "seed": 3}, Path("results"), "tau0.5_seed3")
        >>> run.name, run.row.name
        ('tau0.5_seed3-5df04192', 'tau0.5_seed3-5df04192.json')
    """

    config: dict[str, Any]
    out: Path
    title: str = "run"
    before: Run | None = None
    form: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _claims: dict[Path, str] | None = field(default=None, repr=False)
    _start: float = field(default=0.0, repr=False)
    _beside: int = field(default=1, repr=False)  # runs of one program, which share its seconds

    @cached_property
    def name(self) -> str:
        """Of the files: the title, and a hash of the configuration, whatever its keys' order."""
        text = json.dumps(_to_json(self.config, "config"), sort_keys=True)
        title = re.sub(r"[^\w.=+-]", "", self.title, flags=re.ASCII)
        return f"{title[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def row(self) -> Path:
        """The file of what came out."""
        return self.out / "runs" / f"{self.name}.json"

    @property
    def weights(self) -> Path:
        """Where a training may leave its weights for later."""
        return self.out / "models" / f"{self.name}.safetensors"

    @property
    def folder(self) -> Path:
        """Of what is needed to go on after a stop; it is removed when the run has ended."""
        return claims.unfinished(self.out) / self.name

    @property
    def checkpoint(self) -> Path:
        """For `Training.run`."""
        return self.folder / "checkpoint.safetensors"

    @property
    def _progress(self) -> Path:
        return self.folder / "progress.json"

    def tick(self, fraction: float) -> None:
        """Say how much is done; to be called now and then.

        Args:
            fraction: from 0 to 1.

        Raises:
            ValueError: if the fraction is out of range.
            TakenOverError: if another command works in the folder now.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction: expected a number between 0 and 1, got {fraction}")
        if self._claims is not None:
            claims.check()
            self.note(fraction, self._seconds())

    def _seconds(self) -> float:
        return (time.monotonic() - self._start) / self._beside

    def note(self, fraction: float, seconds: float) -> None:
        command = (self._claims or {}).get(self.out)
        progress = {"fraction": fraction, "seconds": seconds, "command": command}
        with contextlib.suppress(OSError):  # it only feeds the bar
            _overwrite(self._progress, json.dumps(progress))

    def progress(self) -> dict[str, Any]:
        """What the last tick noted: the fraction done, the seconds, and which command it was."""
        noted = {"fraction": 0.0, "seconds": 0.0, "command": None}
        try:
            read = json.loads(self._progress.read_text(encoding="utf-8"))
            found = {name: float(read[name]) for name in ("fraction", "seconds")}
            if 0 <= found["fraction"] <= 1 and 0 <= found["seconds"] < math.inf:
                noted = {**found, "command": read.get("command")}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # not there, just being written, or damaged: it only feeds the bar
        return noted

    def load(self) -> dict[str, Any] | None:
        """The row of a run that has ended, with the results that the table leaves out.

        Returns:
            What `run_all` describes, or None if there is no such file.

        Raises:
            DamagedFileError: if the file is damaged or of another configuration.
        """
        if not self.row.is_file():
            return None
        row = read_row(self.row)
        if _to_json(row["config"], "config") != _to_json(self.config, "config"):
            raise DamagedFileError(f"{self.row} is of another configuration")
        if row["status"] == "done":
            try:
                check_form(row["results"], self.form)
            except (ArithmeticError, TypeError) as error:
                raise DamagedFileError(f"{self.row} is damaged: {error}") from error
        return row

    def end(
        self, status: str, error: str | None, results: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        """Write the row, unless another command has taken over or has done the run already."""
        claims.check()
        with contextlib.suppress(DamagedFileError):
            known = self.load()
            if status == "failed" and known is not None and known["status"] != "failed":
                return known
        device = torch.device(results.get("device", default_device()))
        row = {
            "config": _to_json(self.config, "config"),
            "status": status,
            "error": error,
            "results": _to_json(results, "results"),
            "seconds": round(seconds, 3),
            "provenance": provenance(device),
        }
        kept = {**row, "checksum": _checksum(row)}
        write(self.row, json.dumps(kept, indent=1, allow_nan=False) + "\n")
        if status != "failed":  # which goes on from its checkpoint
            shutil.rmtree(self.folder, ignore_errors=True)
        return {**row, "config": self.config, "results": results}


def load_quietly(run: Run) -> dict[str, Any] | None:
    """Return the row of a run that has ended, or None: a damaged one is as good as none.

    Args:
        run: any.
    """
    try:
        return run.load()
    except DamagedFileError:
        return None


def read_row(path: Path) -> dict[str, Any]:
    """Read the row of a run that has ended, and check its form.

    Args:
        path: of the file.

    Returns:
        What `run_all` describes.

    Raises:
        DamagedFileError: if it is not such a row.
    """

    def constant(text: str) -> Any:
        raise ValueError(f"{text} is not JSON")

    try:
        row = json.loads(path.read_text(encoding="utf-8"), parse_constant=constant)
        what = _wrong(row)
        # Rows of older versions have none.
        if not what and row.pop("checksum", expected := _checksum(row)) != expected:
            what = "its content and its checksum do not belong together"
        parts = {name: _from_json(row[name]) for name in ("config", "results")} if not what else {}
    except (ValueError, RecursionError) as error:
        what = f"{type(error).__name__}: {str(error)[:200]}"
    if what:
        raise DamagedFileError(f"{path} is damaged: {what}")
    return {**row, **parts}


def _checksum(row: Mapping[str, Any]) -> str:
    """Of all that a row holds, but for a checksum: a changed digit is noticed when it is read."""
    held = {name: value for name, value in row.items() if name != "checksum"}
    text = json.dumps(held, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _wrong(row: Any) -> str:
    """What is wrong with the form of a row; empty if nothing is."""
    forms: dict[str, tuple[Any, ...]] = {
        "config": (dict,),
        "status": (str,),
        "error": (str, type(None)),
        "results": (dict,),
        "seconds": (int, float),
        "provenance": (dict,),
    }
    if not isinstance(row, dict):
        return f"expected a dictionary, got {type(row).__name__}"
    for name, kinds in forms.items():
        if name not in row:
            return f"there is no {name!r}"
        if not isinstance(row[name], kinds) or isinstance(row[name], bool):
            return f"{name}: got {type(row[name]).__name__}"
    if row["status"] not in _STATUS:
        return f"status: expected one of {', '.join(_STATUS)}, got {row['status']!r}"
    if not 0 <= row["seconds"] < math.inf:
        return f"seconds: got {row['seconds']}"
    if not all(isinstance(row["provenance"].get(name), str) for name in _PROVENANCE):
        return f"provenance: expected texts for {', '.join(_PROVENANCE)}"
    return ""


def check_form(value: Any, form: Any, name: str = "results") -> None:
    """Check that results are complete, and that their numbers are finite.

    Args:
        value: the results of a run that is done.
        form: `float` for a finite number, `int` or `str`; `(form, None)` for that or None; a list
            of one form; a dictionary of those that are needed, whose lists have one length.
        name: of the value, for the error.

    Raises:
        TypeError: if something is missing or of another form.
        TrainingDivergedError: if a number is not finite.

    Example:
        >>> check_form({"bound": -98.6, "steps": [1, 2], "more": "?"}, {"bound": float})
        >>> check_form({"bound": None}, {"bound": float})
        Traceback (most recent call last):
        TypeError: results['bound']: expected a number, got NoneType
    """
    if isinstance(form, tuple):
        if value is None:
            return
        form = form[0]
    if isinstance(form, dict):
        if not isinstance(value, Mapping):
            raise TypeError(f"{name}: expected a dictionary, got {type(value).__name__}")
        if missing := [key for key in form if key not in value]:
            raise TypeError(f"{name}: there is no {missing[0]!r}")
        for key, part in form.items():
            check_form(value[key], part, f"{name}[{key!r}]")
        if len({len(value[key]) for key, part in form.items() if isinstance(part, list)}) > 1:
            raise TypeError(f"{name}: expected lists of one length")
    elif isinstance(form, list):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{name}: expected a list, got {type(value).__name__}")
        for i, item in enumerate(value):
            check_form(item, form[0], f"{name}[{i}]")
    else:
        kinds = {float: numbers.Real, int: numbers.Integral}
        if isinstance(value, bool) or not isinstance(value, kinds.get(form, form)):
            what = {float: "a number", int: "a whole number", str: "a text"}[form]
            raise TypeError(f"{name}: expected {what}, got {type(value).__name__}")
        if form is float and not math.isfinite(value):
            raise TrainingDivergedError(f"{name} is {value}")


def runs_of(
    configs: Sequence[Mapping[str, Any]],
    out: Path,
    title: Callable[[dict[str, Any]], str] = lambda config: "run",
    form: Mapping[str, Any] | None = None,
) -> list[Run]:
    """Return a run for each configuration.

    Args:
        configs: no two of them equal.
        out: folder of the files.
        title: gives the readable part of a run's name, from its configuration.
        form: of the results, see `check_form`; None for any.

    Raises:
        TypeError, ValueError: if a configuration has the wrong type or two are equal.

    Example:
        >>> runs = runs_of([{"x": 1}, {"x": 2}], Path("results"), lambda config: f"x{config['x']}")
        >>> [run.name for run in runs]
        ['x1-613fe5aa', 'x2-24f57260']
    """
    runs = []
    for i, config in enumerate(configs):
        name = f"configs[{i}]"
        if not isinstance(config, Mapping):
            raise TypeError(f"{name}: expected a dictionary, got {type(config).__name__}")
        _to_json(config, name)
        if taken := sorted(_TAKEN & config.keys()):
            raise ValueError(f"{name}: {taken} are other columns of the table")
        own = copy.deepcopy(dict(config))
        runs.append(Run(own, out.resolve(), title(own), form=form or {}))
    for name, count in Counter(run.name for run in runs).items():
        if count > 1:
            raise ValueError(f"configs: expected different ones, but {name} occurs {count} times")
    return runs


def run_all(
    function: Function,
    runs: Sequence[Run],
    *,
    jobs: int = 1,
    backend: str = "joblib",
    together: Together | None = None,
    say: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Compute all runs of a grid, each in one thread; those that have ended are only read.

    A run that has ended is a file of its own, `out/runs/NAME.json`, with the keys "config",
    "status", "error", "results", "seconds" and "provenance". The status is

    - "done";
    - "diverged", after a `TrainingDivergedError`: a result like any other, not computed again;
    - "failed", after any other exception, with the end of its traceback, or when its worker
      process died. The other runs go on; the next call tries it again, from its checkpoint.

    `out/runs.csv` is the table of the runs that have ended, written anew after each. What a run
    needs to go on is in `out/unfinished/NAME` until it is done or has diverged. After Ctrl-C or a
    kill the same call goes on. Of two calls that work in the same folder the older one ends, and
    writes nothing any more.

    Args:
        function: called with a `Run`: its `config` says what to compute, its `checkpoint` is for
            `Training.run`, and its `tick` is to be called now and then with the fraction done.
            Other processes have to be able to import it. It returns the results, by name: numbers,
            texts, None, and lists and dictionaries of them, which are left out of the table. The
            result "device", if there is one, names what it ran on.
        runs: from `runs_of`, all of one folder; a cluster has to share it.
        jobs: processes on this machine, at most one for each run and each core (two on a single
            one); with 1 the runs are computed in this process. A cluster does as many at a time as
            it has threads or CPUs.
        backend: "joblib" for this machine, "dask" or "ray" for a cluster that runs already: that
            of `DASK_SCHEDULER_ADDRESS` (with one thread a worker), or of `RAY_ADDRESS`.
        together: if given, runs that are alike are computed in one program, in this process.
        say: called with a line about what was done.

    Returns:
        The rows, in the order of `runs`; `table_of` makes a table of them. Seconds are those of all
        parts of a run that was interrupted, minus what was lost since the last tick.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range.
        BackendError: when a cluster is not named or does not answer, or its package is missing.
        TakenOverError: when a newer call works in the same folder.
        KeyboardInterrupt: when interrupted.

    Example:
        >>> import tempfile
        >>> def square(run):
        ...     return {"square": run.config["x"] ** 2}
        >>> with tempfile.TemporaryDirectory() as out:
        ...     runs = runs_of([{"x": 2}, {"x": 3}], Path(out))
        ...     rows = run_all(square, runs, say=lambda line: 0)
        >>> table_of(rows)[["x", "square", "status"]].values.tolist()
        [[2, 4, 'done'], [3, 9, 'done']]
    """
    jobs = check_count(jobs, "jobs")
    if jobs > MAX_JOBS:
        raise ValueError(f"jobs: expected at most {MAX_JOBS}, got {jobs}")
    if backend not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    if not runs:
        return []
    out = runs[0].out
    if any(run.out != out for run in runs):
        raise ValueError("runs: expected runs of one folder")

    with claims.claim(out), _termination_as_exit():
        return _run_all(function, runs, out, jobs, backend, together, say)


def _run_all(
    function: Function,
    runs: Sequence[Run],
    out: Path,
    jobs: int,
    backend: str,
    together: Together | None,
    say: Callable[[str], object],
) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for run in runs:
        try:
            row = run.load()
        except DamagedFileError as damage:
            set_aside(run.row, damage)
        else:
            if row is not None and row["status"] != "failed":
                rows[run.name] = row
                shutil.rmtree(run.folder, ignore_errors=True)  # a kill may have left it
    say(f"{len(rows)} of {len(runs)} runs are in {out / 'runs'}")

    def say_above(line: str) -> None:
        with tqdm.external_write_mode():
            say(line)

    left = [run for run in runs if run.name not in rows]
    jobs = min(jobs, max(2, joblib.cpu_count()), max(1, len(left)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            _bar(out, runs, rows),
            closing(
                _ended_together(function, together, left, say_above)
                if together
                else _ended(function, left, out, jobs, backend, say_above)
            ) as ended,
        ):
            for run, row in ended:
                rows[run.name] = row
                _write_table(out, runs, rows)
                error = f": {row['error'].splitlines()[-1]}" if row["error"] else ""
                say_above(f"{run.name}: {row['status']}{error}")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped with {len(rows)} of {len(runs)} runs ended, {len(runs) - len(rows)} are "
            f"left; the same command goes on"
        ) from None
    finally:
        torch.set_num_threads(threads)
    if failed := sum(row["status"] == "failed" for row in rows.values()):
        say(f"{failed} of {len(runs)} runs failed; the same command tries them again")
    _write_table(out, runs, rows)
    return [rows[run.name] for run in runs]


def table_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table of the rows of runs: configuration, results, status, error, seconds, origin.

    Args:
        rows: from `run_all` or `read_row`. Results that are lists or dictionaries are left out.
    """
    records = []
    for row in rows:
        scalars = {
            name: value
            for name, value in row["results"].items()
            if not isinstance(value, (list, tuple, dict))
        }
        records.append((row["config"], scalars, row))
    columns = [
        *(name for config, _, _ in records for name in config),
        *(name for _, results, _ in records for name in results),
        *_OUTCOMES,
        *_PROVENANCE,
    ]
    return pd.DataFrame(
        [{**row, **row["provenance"], **results, **config} for config, results, row in records],
        columns=list(dict.fromkeys(columns)),
    )


def _write_table(out: Path, runs: Sequence[Run], rows: Mapping[str, dict[str, Any]]) -> None:
    table = table_of([rows[run.name] for run in runs if run.name in rows])
    write(out / "runs.csv", table.to_csv(index=False, lineterminator="\n"))


@contextmanager
def _termination_as_exit() -> Iterator[None]:
    """SIGTERM ends this process in order, and with it the processes that compute for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ended(
    function: Function,
    runs: Sequence[Run],
    out: Path,
    jobs: int,
    backend: str,
    say: Callable[[str], object],
) -> Generator[tuple[Run, dict[str, Any]], None, None]:
    """Compute runs, and give each with its row when it has ended.

    With a process that dies, its pool dies, and nothing says which run it was. So the runs that
    were under way get another try, and then each one that was so twice has a pool of its own.
    """
    if not runs:
        return
    left = {run.name: run for run in runs}
    deaths: Counter[str] = Counter()
    with _workers(backend, jobs, len(runs)) as (compute, lost):
        while left:
            group = [run for run in left.values() if deaths[run.name] < 2] or [*left.values()][:1]
            held = claims.held()
            tasks = (
                delayed(compute)(function, dataclasses.replace(run, _claims=held)) for run in group
            )
            pool = Parallel(batch_size=1, pre_dispatch="n_jobs", return_as="generator_unordered")
            try:
                with closing(pool(tasks)) as rows:
                    for name, row, damages in rows:
                        for damage in damages:
                            warnings.warn(damage, DamagedFileWarning, stacklevel=2)
                        yield left.pop(name), row
                continue
            except lost as error:
                died = f"a worker process died, short of memory? ({type(error).__name__})"
            claims.renew(out)  # what is still computed elsewhere stops
            group = [run for run in group if run.name in left]  # the others have been heard of
            suspects = [run for run in group if run.progress()["command"] == held[out]] or group
            say(f"{died}; under way: {', '.join(run.name for run in suspects)}")
            deaths.update(run.name for run in suspects)
            for run in group:
                row = load_quietly(run)
                if row is not None and row["status"] != "failed":  # it ended, unheard
                    yield left.pop(run.name), row
                elif deaths[run.name] > 2:
                    seconds = run.progress()["seconds"]
                    yield left.pop(run.name), run.end("failed", died, {}, seconds)


def _ended_together(
    function: Function, together: Together, runs: Sequence[Run], say: Callable[[str], object]
) -> Generator[tuple[Run, dict[str, Any]], None, None]:
    """Compute runs in this process, those that are alike at the same time."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        known = json.dumps(_to_json(together.alike(run.config), "config"), sort_keys=True)
        groups.setdefault(known, []).append(run)
    waiting = [*groups.values()]
    while waiting:
        group = waiting.pop(0)
        held = claims.held()
        begun = [
            _begun(dataclasses.replace(run, _claims=held, _beside=len(group))) for run in group
        ]
        try:
            functions = together.train(begun)
        except TakenOverError:
            raise
        except torch.OutOfMemoryError:
            say(f"{len(group)} together do not fit into the memory of the GPU")
            if len(group) > 1:
                half = len(group) // 2
                waiting[:0] = group[:half], group[half:]
                continue
            functions = [function]
        except Exception as problem:
            if isinstance(problem, OSError) and problem.errno in _NO_ROOM:
                raise
            say(f"one by one, for together they fail: {type(problem).__name__}: {problem}")
            functions = [function] * len(begun)
        spent = [run._seconds() for run in begun]
        for run, begun_run, rest, seconds in zip(group, begun, functions, spent, strict=True):
            yield run, _row(rest, begun_run, seconds)


def _compute(function: Function, run: Run) -> Computed:
    """What a worker does: one run, whatever becomes of it, to its row."""
    with claims.holding(run._claims or {}), noting_damages() as damages:
        return run.name, _row(function, run), damages


def _begun(run: Run) -> Run:
    """The run with its clock started, which goes on from where it stopped."""
    if run.folder.exists() and not run.folder.is_dir():
        set_aside(run.folder, f"{run.folder} is no folder")
    if run.checkpoint.is_dir():
        set_aside(run.checkpoint, f"{run.checkpoint} is no file")
    done, seconds = 0.0, 0.0
    if run.checkpoint.exists():
        before = run.progress()
        done, seconds = before["fraction"], before["seconds"]
    run = dataclasses.replace(run, _start=time.monotonic() - seconds * run._beside)
    run.tick(done)
    return run


def _row(function: Function, run: Run, spent: float = 0.0) -> dict[str, Any]:
    """The row of a run that was computed for some seconds before, where no checkpoint knows."""
    torch.set_num_threads(1)
    before = time.monotonic() - spent
    run = _begun(dataclasses.replace(run, _beside=1))
    run = dataclasses.replace(run, _start=min(run._start, before))
    status, error, results = "done", None, {}
    try:
        try:
            results = function(dataclasses.replace(run, config=copy.deepcopy(run.config)))
        except OtherSettingsError as other:  # its name says whose checkpoint it should be
            set_aside(run.checkpoint, other.__cause__ or other)
            results = function(dataclasses.replace(run, config=copy.deepcopy(run.config)))
        _check_results(results, run)
    except TakenOverError:
        raise
    except TrainingDivergedError as divergence:
        status, error, results = "diverged", str(divergence), {}
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno in _NO_ROOM:
            raise  # as it would for every other run
        lines = traceback.format_exc().splitlines()[-_TRACEBACK_LINES:]
        status, error, results = "failed", "\n".join(lines), {}
    return run.end(status, error, results, run._seconds())


def _check_results(results: Any, run: Run) -> None:
    if not isinstance(results, dict):
        raise TypeError(f"results: expected a dictionary, got {type(results).__name__}")
    _to_json(results, "results")
    if taken := sorted(results.keys() & (_TAKEN | run.config.keys())):
        raise ValueError(f"results: {taken} are other columns of the table")
    check_form(results, run.form)
    torch.device(results.get("device", "cpu"))


@contextmanager
def _workers(
    backend: str, jobs: int, runs: int
) -> Iterator[tuple[Callable[..., Computed], tuple[type[Exception], ...]]]:
    """Set joblib up; gives what computes a run, and the errors that say that a process died.

    On a cluster joblib's threads wait for the cluster's own tasks, and the cluster tries a task
    again whose process has died. (joblib's backend for dask waits for ever for a task that dask
    has given up; that for Ray gives nothing back before the last run has ended.)
    """
    if backend == "joblib":
        _remove_shared_memory_of_the_dead()
        with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
            yield _compute, (TerminatedWorkerError,)
    elif backend == "dask":
        dask, distributed = _packages("dask", "distributed")
        if dask.config.get("scheduler-address", None) is None:
            raise BackendError(
                "backend: no dask cluster is named; set DASK_SCHEDULER_ADDRESS=tcp://HOST:8786"
            )
        try:
            client = distributed.Client()
        except (OSError, ValueError) as error:  # nobody is there, or it is no address
            raise BackendError(f"backend: no dask cluster answers; {error}") from error
        with client, parallel_config("threading", n_jobs=runs):

            def compute(*arguments: Any) -> Any:
                future = client.submit(_compute, *arguments, pure=False)
                try:
                    return _wait(
                        future.result,
                        distributed.TimeoutError,
                        lambda: client.scheduler_info()["workers"],
                    )
                except CancelledError as error:
                    raise BackendError(
                        "backend: the dask scheduler was lost; what is done is kept, the same "
                        "command goes on"
                    ) from error

            yield compute, (distributed.KilledWorker,)
    else:
        (ray,) = _packages("ray")
        task = ray.remote(_compute)
        with _ray_cluster(ray), parallel_config("threading", n_jobs=runs):
            crashes = ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError

            def compute(*arguments: Any) -> Any:
                future = task.remote(*arguments)
                return _wait(
                    lambda timeout: ray.get(future, timeout=timeout),
                    ray.exceptions.GetTimeoutError,
                    lambda: [node for node in ray.nodes() if node["Alive"]],
                )

            yield compute, crashes


def _wait(
    result: Callable[[float], Any], pending: type[Exception], workers: Callable[[], Sized]
) -> Any:
    """The result of a cluster's task, unless the cluster has been without a worker for long."""
    alive = time.monotonic()
    while True:
        try:
            return result(2.0)
        except pending:
            with contextlib.suppress(Exception):  # a scheduler that does not answer has none
                if len(workers()):
                    alive = time.monotonic()
            if time.monotonic() - alive > _PATIENCE:
                raise BackendError(
                    f"backend: the cluster has had no worker for {_PATIENCE:g} seconds; what is "
                    f"done is kept, the same command goes on"
                ) from None


@contextmanager
def _ray_cluster(ray: Any) -> Iterator[None]:
    """The cluster that this process is connected to, or is connected to meanwhile."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address="auto")
    except ConnectionError as error:
        raise BackendError(f"backend: {error}; RAY_ADDRESS=HOST:6379 names a cluster") from error
    try:
        yield
    finally:
        ray.shutdown()


def _remove_shared_memory_of_the_dead(folder: Path = Path("/dev/shm")) -> None:
    """Remove what joblib left in shared memory when all processes of a command were killed."""
    for path in folder.glob("*") if hasattr(os, "getuid") else ():
        named = re.fullmatch(r"(?:sem\.loky-|joblib_memmapping_folder_)(\d+)[-_].*", path.name)
        with contextlib.suppress(OSError):
            if named and path.stat().st_uid == os.getuid() and not _lives(int(named[1])):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _packages(*names: str) -> list[Any]:
    try:
        return [importlib.import_module(name) for name in names]
    except ModuleNotFoundError as error:
        raise BackendError(
            f"backend: it needs {' and '.join(names)}; pip install {' '.join(names)}"
        ) from error


def _overwrite(path: Path, text: str) -> None:
    """Write a file that others look at all the time; on Windows it could not be replaced then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():  # what it points to is not ours
        path.unlink()
    path.write_text(text, encoding="utf-8")


@contextmanager
def _bar(out: Path, runs: Sequence[Run], rows: Mapping[str, object]) -> Iterator[None]:
    """Show how much of all runs is done, and the time left at the mean speed so far."""

    def done() -> float:
        # Of thousands of runs few have begun: only their files are looked at.
        begun = {path.name for path in claims.unfinished(out).glob("*")}
        going = [run for run in runs if run.name in begun and run.name not in rows]
        return len(rows) + math.fsum(run.progress()["fraction"] for run in going)

    with tqdm(
        total=len(runs),
        initial=done(),
        smoothing=0,
        miniters=0,
        mininterval=0.5 if sys.stderr.isatty() else 60.0,
        bar_format="{percentage:3.0f} % |{bar}| {desc}{elapsed}, {remaining} left",
    ) as bar:

        def look() -> None:
            bar.set_description(f"{len(rows)} of {len(runs)} runs", refresh=False)
            bar.update(max(0.0, done() - bar.n))

        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            look()


def _to_json(value: Any, name: str) -> Any:
    """A value as strict JSON has it; it has no inf and nan, so these are the texts "inf", "nan"."""
    if isinstance(value, np.generic):  # NumPy's numbers, which a training may well return
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        if value in _FLOATS:
            raise ValueError(f"{name}: the text {value!r} stands for a number; give the number")
        return value
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"{name}: expected keys that are texts, got {wrong[0]!r}")
        return {key: _to_json(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item, f"{name}[{i}]") for i, item in enumerate(value)]
    raise TypeError(
        f"{name}: expected a number, a text, a truth value, None, or a list or dictionary of them, "
        f"got {type(value).__name__}"
    )


def _from_json(value: Any) -> Any:
    if isinstance(value, str):
        return float(value) if value in _FLOATS else value
    if isinstance(value, dict):
        return {key: _from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value
