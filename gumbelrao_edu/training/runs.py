"""A grid of training runs: side by side, resumed after a kill, and nothing computed twice."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import joblib
import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from .._checks import check_count
from . import BACKENDS, MAX_JOBS, claims
from .errors import (
    DamagedFileWarning,
    TakenOverError,
    TrainingDivergedError,
)
from .files import noting_damages, set_aside, write
from .run import Run, has_ended, load_or_set_aside, load_quietly, table_of, text_of
from .stacked import Together
from .workers import workers

Function = Callable[[Run], dict[str, Any]]
Computed = tuple[str, dict[str, Any], list[str]]  # a run's name, its row, damages to tell of

_TRACEBACK_LINES = 12
_TO_SAVE = 10.0  # seconds for the end of a step and a checkpoint
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


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
        parts of a run that was interrupted; of a part that was killed, those up to its last tick.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range.
        BackendError: when a cluster is not named or does not answer, or its package is missing.
        TakenOverError: when a newer call works in the same folder.
        KeyboardInterrupt: when interrupted.

    Example:
        >>> import tempfile
        >>> from gumbelrao_edu.training.run import runs_of
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
        row = load_or_set_aside(run)
        if has_ended(row):
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
    with workers(_compute, backend, jobs, len(runs)) as (compute, lost):
        while left:
            group = [run for run in left.values() if deaths[run.name] < 2] or [*left.values()][:1]
            held = claims.held()
            tasks = (
                delayed(compute)(function, dataclasses.replace(run, _claims=held)) for run in group
            )
            pool = Parallel(batch_size=1, pre_dispatch="n_jobs", return_as="generator_unordered")
            elsewhere = left if backend == "joblib" and jobs > 1 else {}
            try:
                with _until_saved(elsewhere, held[out]), closing(pool(tasks)) as rows:
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
                if has_ended(row):  # unheard
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
        groups.setdefault(text_of(together.alike(run.config)), []).append(run)
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
        except KeyboardInterrupt:
            _note_stop(begun)
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
    with claims.holding(run._claims or {}), noting_damages() as damages, _deaf_when_idle():
        return run.name, _row(function, run), damages


@contextmanager
def _deaf_when_idle() -> Iterator[None]:
    """An interrupt ends what another process computes, and not that process when it only waits.

    Else joblib kills the other ones, whatever they have to save.
    """
    elsewhere = multiprocessing.current_process().name != "MainProcess"
    if not elsewhere or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _begun(run: Run) -> Run:
    """The run with its clock started, which goes on from where it stopped."""
    if run.folder.exists() and not run.folder.is_dir():
        set_aside(run.folder, f"{run.folder} is no folder")
    if run.checkpoint.is_dir():
        set_aside(run.checkpoint, f"{run.checkpoint} is no file")
    done, seconds = 0.0, 0.0
    before = run.progress()
    if run.checkpoint.exists() or before["stopped"]:  # its model may be trained again elsewhere
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
        results = run.compute(function)
        run.check(results)
    except TakenOverError:
        raise
    except KeyboardInterrupt:
        _note_stop([run])
        raise
    except TrainingDivergedError as divergence:
        status, error, results = "diverged", str(divergence), {}
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno in _NO_ROOM:
            raise  # as it would for every other run
        lines = traceback.format_exc().splitlines()[-_TRACEBACK_LINES:]
        status, error, results = "failed", "\n".join(lines), {}
    return run.end(status, error, results, run._seconds())


def _note_stop(runs: Sequence[Run]) -> None:
    """Note that runs are interrupted, and their time: they have saved what they have done."""
    with contextlib.suppress(TakenOverError):  # then it is another command's to note
        claims.check()
        for run in runs:
            run.note(run.progress()["fraction"], run._seconds(), stopped=True)


@contextmanager
def _until_saved(left: Mapping[str, Run], command: str) -> Iterator[None]:
    """Let an interrupt come when runs that other processes compute have saved what they have done.

    On POSIX it reaches these processes, too, and what they compute ends its step; then joblib kills
    them. A second interrupt comes at once, and so does the first after `_TO_SAVE` seconds.
    """
    before = signal.getsignal(signal.SIGINT)
    aside = os.name != "posix" or threading.current_thread() is not threading.main_thread()
    if not left or aside or before is not signal.default_int_handler:
        yield
        return

    def wait(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        begun = time.monotonic()
        while time.monotonic() - begun < _TO_SAVE and multiprocessing.active_children():
            noted = [run.progress() for run in left.values()]
            if all(one["stopped"] for one in noted if one["command"] == command):
                break
            time.sleep(0.05)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
