"""A grid of training runs: side by side, resumed after a kill, and nothing computed twice."""

from __future__ import annotations

import copy
import hashlib
import importlib
import json
import math
import re
import shutil
import sys
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from .._checks import check_count
from ..device import default_device
from .errors import BackendError, TakenOverError
from .files import provenance, write
from .loop import TrainingDivergedError

Tick = Callable[[float], None]
Function = Callable[[dict[str, Any], Path, Tick], dict[str, Any]]

BACKENDS = ("joblib", "dask", "ray")
_FLOATS = {"inf", "-inf", "nan"}  # strict JSON has no numbers for them
_OUTCOMES = ("status", "error", "seconds")
_PROVENANCE = ("date", "hardware", "system", "python", "torch", "gumbelrao_edu")
_TAKEN = {*_OUTCOMES, *_PROVENANCE}
_KEYS = {"config", "results", "provenance", *_OUTCOMES}
_TRACEBACK_LINES = 12


def run_all(
    function: Function,
    configs: Sequence[Mapping[str, Any]],
    out: Path,
    *,
    jobs: int = 1,
    backend: str = "joblib",
    report: Callable[[str], object] = print,
) -> pd.DataFrame:
    """Compute one run for each configuration, each in one thread; finished ones are only read.

    A run that has ended is a file of its own, `out/runs/ID.json`, with the keys "config",
    "status", "error", "results", "seconds" and "provenance"; `load_row` reads it. The status is

    - "done";
    - "diverged", after a `TrainingDivergedError`: a result like any other, not computed again;
    - "failed", after any other exception, with the end of its traceback, or when its worker
      process died. The other runs go on; the next call tries it again, from its checkpoint.

    `out/runs.csv` is the table of the runs that have ended, written anew after each. What a run
    needs to go on, its checkpoint, is in `out/unfinished/ID` until it is done or has diverged.
    After Ctrl-C or a kill the same call goes on. Of two calls that work in the same folder the
    older one ends.

    Args:
        function: called with a copy of the configuration, the path of a checkpoint for
            `Training.run`, and a function to call now and then with the fraction done, 0 to 1.
            Other processes have to be able to import it. It returns the results, by name: numbers,
            texts, None, and lists and dictionaries of them, which are left out of the table. The
            result "device", if there is one, names what it ran on.
        configs: dictionaries of the same kinds of values, no two of them equal.
        out: folder of the files; a cluster has to share it.
        jobs: processes on this machine; with 1 the runs are computed in this one. A cluster does
            as many runs at a time as it has threads or CPUs.
        backend: "joblib" for this machine, "dask" or "ray" for a cluster that runs already: that
            of `DASK_SCHEDULER_ADDRESS` (with one thread a worker), or of `RAY_ADDRESS`.
        report: called with a line about what was done.

    Returns:
        The table, in the order of `configs`: configuration, results, status, error, seconds, and
        versions, hardware and date. Seconds are those of all parts of a run that was interrupted,
        less what was lost since the last tick.

    Raises:
        TypeError, ValueError: for arguments that do not fit.
        BackendError: when a cluster is not named or does not answer, or its package is missing.
        TakenOverError: when a newer call works in the same folder.
        KeyboardInterrupt: when interrupted.

    Example:
        >>> import tempfile
        >>> def square(config, checkpoint, tick):
        ...     return {"square": config["x"] ** 2}
        >>> with tempfile.TemporaryDirectory() as out:
        ...     table = run_all(square, [{"x": 2}, {"x": 3}], Path(out), report=lambda line: 0)
        >>> table[["x", "square", "status"]].values.tolist()
        [[2, 4, 'done'], [3, 9, 'done']]
    """
    check_count(jobs, "jobs")
    if backend not in BACKENDS:
        raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    runs = [_run(config, f"configs[{i}]", out) for i, config in enumerate(configs)]
    for name, count in Counter(run.id for run in runs).items():
        if count > 1:
            raise ValueError(f"configs: expected different ones, got {name} {count} times")

    rows: dict[str, dict[str, Any]] = {}
    for run in runs:
        try:
            row = run.load()
        except ValueError as damage:
            report(f"{damage}; computed anew")
            run.row.unlink()
        else:
            if row is not None and row["status"] != "failed":
                rows[run.id] = row
    report(f"{len(rows)} of {len(runs)} runs are in {out / 'runs'}")

    def say(line: str) -> None:
        with tqdm.external_write_mode():
            report(line)

    left = [run for run in runs if run.id not in rows]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            _bar(out, runs, rows),
            closing(_ended(function, left, out, jobs, backend, say)) as ended,
        ):
            for run, row in ended:
                rows[run.id] = row
                _write_table(out, runs, rows)
                error = f": {row['error'].splitlines()[-1]}" if row["error"] else ""
                say(f"{run.id}: {row['status']}{error}")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped with {len(rows)} of {len(runs)} runs ended; the same command goes on"
        ) from None
    finally:
        torch.set_num_threads(threads)
    if failed := sum(row["status"] == "failed" for row in rows.values()):
        report(f"{failed} of {len(runs)} runs failed; the same command tries them again")
    return _write_table(out, runs, rows)


def load_row(config: Mapping[str, Any], out: Path) -> dict[str, Any] | None:
    """The row of a run that has ended, with the results that the table leaves out.

    Args:
        config: its configuration.
        out: the folder given to `run_all`.

    Returns:
        What `run_all` describes, or None when there is no such file.

    Raises:
        ValueError: when the file is damaged or of another configuration.

    Example:
        >>> load_row({"k": math.inf}, Path("nowhere")) is None
        True
    """
    return _run(config, "config", out).load()


def run_id(config: Mapping[str, Any]) -> str:
    """The name of a run in its files, readable and the same whatever the order of the keys.

    Args:
        config: its configuration.

    Example:
        >>> run_id({"k": 10, "tau": 0.5}) == run_id({"tau": 0.5, "k": 10})
        True
    """
    return _run(config, "config", Path()).id


@dataclass(frozen=True)
class _Run:
    """One configuration and its files."""

    config: dict[str, Any]
    out: Path

    @cached_property
    def id(self) -> str:
        """Readable, the same whatever the order of the keys, and safe as the name of a file."""
        text = json.dumps(_to_json(self.config, "config"), sort_keys=True)
        readable = re.sub(r"[^\w.=,+-]", "", text.replace('": ', "="), flags=re.ASCII)
        return f"{readable[:100]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def row(self) -> Path:
        return self.out / "runs" / f"{self.id}.json"

    @property
    def checkpoint(self) -> Path:
        return _unfinished(self.out) / self.id / "checkpoint.pt"

    @property
    def _progress(self) -> Path:
        return _unfinished(self.out) / self.id / "progress.json"

    def load(self) -> dict[str, Any] | None:
        try:
            row = json.loads(self.row.read_text(encoding="utf-8"))
            right = row["config"] == _to_json(self.config, "config") and row.keys() >= _KEYS
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            right = False
        if not right:
            raise ValueError(f"{self.row} is damaged or of another configuration")
        return {**row, **{name: _from_json(row[name]) for name in ("config", "results")}}

    def progress(self) -> dict[str, Any]:
        """What the last tick noted: the fraction done, the seconds, and which command it was."""
        try:
            return dict(json.loads(self._progress.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # not there, or just being written
            return {"fraction": 0.0, "seconds": 0.0, "command": None}

    def note(self, **progress: Any) -> None:
        _overwrite(self._progress, json.dumps(progress))

    def end(
        self, status: str, error: str | None, results: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        """Write the row; a run that has failed keeps its checkpoint."""
        device = torch.device(results.get("device", default_device()))
        row = {
            "config": _to_json(self.config, "config"),
            "status": status,
            "error": error,
            "results": _to_json(results, "results"),
            "seconds": round(seconds, 3),
            "provenance": provenance(device),
        }
        write(self.row, json.dumps(row, indent=1, allow_nan=False) + "\n")
        if status != "failed":
            shutil.rmtree(self.checkpoint.parent, ignore_errors=True)
        return {**row, "config": self.config, "results": results}


def _run(config: Mapping[str, Any], name: str, out: Path) -> _Run:
    if not isinstance(config, Mapping):
        raise TypeError(f"{name}: expected a dictionary, got {type(config).__name__}")
    _to_json(config, name)
    if taken := sorted(_TAKEN & config.keys()):
        raise ValueError(f"{name}: {taken} are other columns of the table")
    return _Run(copy.deepcopy(dict(config)), out.resolve())


def _ended(
    function: Function,
    runs: Sequence[_Run],
    out: Path,
    jobs: int,
    backend: str,
    say: Callable[[str], object],
) -> Generator[tuple[_Run, dict[str, Any]], None, None]:
    """Compute runs, and give each with its row when it has ended.

    With a process that dies, its pool dies, and nothing says which run it was. So the runs that
    were under way get another try, and then each one that was so twice has a pool of its own.
    """
    if not runs:
        return
    left = {run.id: run for run in runs}
    deaths: Counter[str] = Counter()
    with _workers(backend, jobs, len(runs)) as (compute, lost):
        while left:
            group = [run for run in left.values() if deaths[run.id] < 2] or [*left.values()][:1]
            with _command(out) as command:
                tasks = (delayed(compute)(function, run, command) for run in group)
                pool = Parallel(
                    batch_size=1, pre_dispatch="n_jobs", return_as="generator_unordered"
                )
                try:
                    with closing(pool(tasks)) as rows:
                        for name, row in rows:
                            yield left.pop(name), row
                    continue
                except lost as error:
                    died = f"a worker process died, short of memory? ({type(error).__name__})"
            group = [run for run in group if run.id in left]  # the others have been heard of
            suspects = [run for run in group if run.progress()["command"] == command] or group
            say(f"{died}; under way: {', '.join(run.id for run in suspects)}")
            deaths.update(run.id for run in suspects)
            for run in group:
                row = run.load()
                if row is not None and row["status"] != "failed":  # it ended, unheard
                    yield left.pop(run.id), row
                elif deaths[run.id] > 2:
                    seconds = run.progress()["seconds"]
                    yield left.pop(run.id), run.end("failed", died, {}, seconds)


def _compute(function: Function, run: _Run, command: str) -> tuple[str, dict[str, Any]]:
    """What a worker does: one run, whatever becomes of it, to its row."""
    torch.set_num_threads(1)
    done, seconds = 0.0, 0.0
    if run.checkpoint.exists():
        before = run.progress()
        done, seconds = before["fraction"], before["seconds"]
    start = time.monotonic() - seconds

    def tick(fraction: float) -> None:
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction: expected a number between 0 and 1, got {fraction}")
        if _current(run.out) not in (command, None):
            raise TakenOverError(f"another command works in {run.out}; this one ends")
        run.note(fraction=fraction, seconds=time.monotonic() - start, command=command)

    tick(done)
    status, error, results = "done", None, {}
    try:
        results = function(copy.deepcopy(run.config), run.checkpoint, tick)
        _check_results(results, run.config)
    except TakenOverError:
        raise
    except TrainingDivergedError as divergence:
        status, error, results = "diverged", str(divergence), {}
    except Exception:
        lines = traceback.format_exc().splitlines()[-_TRACEBACK_LINES:]
        status, error, results = "failed", "\n".join(lines), {}
    return run.id, run.end(status, error, results, time.monotonic() - start)


def _check_results(results: Any, config: Mapping[str, Any]) -> None:
    if not isinstance(results, dict):
        raise TypeError(f"results: expected a dictionary, got {type(results).__name__}")
    _to_json(results, "results")
    if taken := sorted(results.keys() & (_TAKEN | config.keys())):
        raise ValueError(f"results: {taken} are other columns of the table")
    torch.device(results.get("device", "cpu"))


@contextmanager
def _workers(
    backend: str, jobs: int, runs: int
) -> Iterator[tuple[Callable[..., tuple[str, dict[str, Any]]], tuple[type[Exception], ...]]]:
    """Set joblib up; gives what computes a run, and the errors that say that a process died.

    On a cluster joblib's threads wait for the cluster's own tasks, and the cluster tries a task
    again whose process has died. (joblib's backend for dask waits for ever for a task that dask
    has given up; that for Ray gives nothing back before the last run has ended.)
    """
    if backend == "joblib":
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
        except OSError as error:
            raise BackendError(f"backend: no dask cluster answers; {error}") from error
        with client, parallel_config("threading", n_jobs=runs):

            def compute(*arguments: Any) -> Any:
                return client.submit(_compute, *arguments, pure=False).result()

            yield compute, (distributed.KilledWorker,)
    else:
        (ray,) = _packages("ray")
        task = ray.remote(_compute)
        with _ray_cluster(ray), parallel_config("threading", n_jobs=runs):
            crashes = ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError
            yield lambda *arguments: ray.get(task.remote(*arguments)), crashes


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


def _packages(*names: str) -> list[Any]:
    try:
        return [importlib.import_module(name) for name in names]
    except ModuleNotFoundError as error:
        raise BackendError(
            f"backend: it needs {' and '.join(names)}; pip install {' '.join(names)}"
        ) from error


def _unfinished(out: Path) -> Path:
    return out / "unfinished"


def _current(out: Path) -> str | None:
    """Which command works in the folder; None when no file says so."""
    try:
        return (_unfinished(out) / "command").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _overwrite(path: Path, text: str) -> None:
    """Write a file that others look at all the time; on Windows it could not be replaced then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@contextmanager
def _command(out: Path) -> Iterator[str]:
    """Name a new command. Workers of an older one, or of this one at its end, stop at a tick."""
    path, command = _unfinished(out) / "command", uuid.uuid4().hex
    _overwrite(path, command)
    try:
        yield command
    finally:
        if _current(out) == command:
            _overwrite(path, "none")
            if [*path.parent.iterdir()] == [path]:
                shutil.rmtree(path.parent)


@contextmanager
def _bar(out: Path, runs: Sequence[_Run], rows: Mapping[str, object]) -> Iterator[None]:
    """Show how much of all runs is done, and the time left at the mean speed so far."""

    def done() -> float:
        # Of thousands of runs few have begun: only their files are looked at.
        begun = {path.name for path in _unfinished(out).glob("*")}
        going = [run for run in runs if run.id in begun and run.id not in rows]
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


def _write_table(
    out: Path, runs: Sequence[_Run], rows: Mapping[str, dict[str, Any]]
) -> pd.DataFrame:
    ended = [(run, rows[run.id]) for run in runs if run.id in rows]
    records = []
    for run, row in ended:
        scalars = {
            name: value
            for name, value in row["results"].items()
            if not isinstance(value, (list, tuple, dict))
        }
        records.append((run.config, scalars, row))
    columns = [
        *(name for config, _, _ in records for name in config),
        *(name for _, results, _ in records for name in results),
        *_OUTCOMES,
        *_PROVENANCE,
    ]
    table = pd.DataFrame(
        [{**row, **row["provenance"], **results, **config} for config, results, row in records],
        columns=list(dict.fromkeys(columns)),
    )
    write(out / "runs.csv", table.to_csv(index=False, lineterminator="\n"))
    return table


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
