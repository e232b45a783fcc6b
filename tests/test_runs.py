"""A grid of runs: the same rows whatever computes them, whatever stops them, and none twice."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import CONFIGS, STEPS, compute, files, fit, load_row, quiet

from gumbelrao_edu.training import claims, runs, workers
from gumbelrao_edu.training.errors import (
    BackendError,
    DamagedFileError,
    DamagedFileWarning,
    TakenOverError,
    TrainingDivergedError,
)
from gumbelrao_edu.training.run import Run, runs_of
from gumbelrao_edu.training.runs import run_all
from gumbelrao_edu.training.stacked import Together

STATUS = ["done", "done", "done", "diverged", "failed"]


def half_way(act: Any) -> Any:
    """`fit`, with something that happens when half of it is done and before that is saved."""

    def function(run: Run) -> dict[str, Any]:
        def acting(fraction: float) -> None:
            Run.tick(run, fraction)
            if fraction == 0.5:
                act(run)

        run.tick = acting
        return fit(run)

    return function


def die_once(run: Run) -> dict[str, Any]:
    """The first run to come half way takes its process with it."""

    def die(run: Run) -> None:
        with contextlib.suppress(FileExistsError):
            (run.out / "died").touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)

    return half_way(die)(run)


def interrupt(run: Run) -> dict[str, Any]:
    """One of two endless runs presses Ctrl-C when both have a checkpoint."""
    fit(run)
    while True:
        run.tick(0.5)
        checkpoints = [*run.folder.parent.glob("*/checkpoint.safetensors")]
        if run.config["seed"] == 1 and len(checkpoints) == 2:
            os.kill(os.getppid(), signal.SIGINT)
            signal.pause()


def same(table: pd.DataFrame, other: pd.DataFrame) -> None:
    columns = [name for name in other if name not in {"seconds", "date", "error"}]
    pd.testing.assert_frame_equal(table[columns], other[columns])


def counted(calls: list[dict[str, Any]]) -> Any:
    def function(run: Run) -> dict[str, Any]:
        calls.append(run.config)
        return fit(run)

    return function


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """All runs computed in this process."""
    out = tmp_path_factory.mktemp("reference")
    return out, compute(fit, CONFIGS, out)


def test_the_rows(reference: tuple[Path, pd.DataFrame]) -> None:
    out, table = reference
    assert table.columns.tolist() == [
        *("rate", "seed", "k", "weight", "infinite", "status", "error", "seconds"),
        *("date", "hardware", "system", "python", "torch", "gumbelrao_edu"),
    ]
    assert table.status.tolist() == STATUS
    assert table[["rate", "seed", "k"]].to_dict("records") == CONFIGS
    assert table.weight[:3].tolist() == pytest.approx([2, 2, 2], abs=0.1)
    assert table.weight[0] == table.weight[2] != table.weight[1]
    assert table.infinite[:3].tolist() == [True, True, False]
    assert table.weight[3:].isna().all()
    assert "training has diverged" in table.error[3]
    assert 1 < len(table.error[4].splitlines()) < 20
    assert table.error[4].endswith("ValueError: Invalid learning rate: -1.0")
    assert table.hardware.str.endswith("1 thread(s)").all()
    same(pd.read_csv(out / "runs.csv"), table)
    for config, status in zip(CONFIGS, STATUS, strict=True):
        row = load_row(config, out)
        assert (row["config"], row["status"]) == (config, status)
        if status == "done":
            assert [entry["step"] for entry in row["results"]["history"]] == [*range(10, 61, 10)]
    assert {path.name for path in out.iterdir()} == {"places", "runs", "runs.csv", "unfinished"}
    assert [path.name for path in (out / "unfinished").iterdir() if path.is_dir()] == [
        path.stem for path in (out / "runs").iterdir() if "rate-1.0" in path.name
    ]


def places(out: Path) -> set[int]:
    """The processes that computed the runs; each did with one thread."""
    found = list((out / "places").iterdir())
    assert {path.read_text() for path in found} == {"1"}
    return {int(path.name) for path in found}


def test_two_processes_give_the_same(reference: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    same(compute(fit, CONFIGS, tmp_path, jobs=2), reference[1])
    assert files(tmp_path) == files(reference[0])
    assert os.getpid() not in places(tmp_path)


def test_two_dask_workers_give_the_same(
    reference: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    import dask  # here, since the processes of the other tests import this file
    import distributed

    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )
    with cluster, dask.config.set({"scheduler-address": cluster.scheduler_address}):
        same(compute(fit, CONFIGS, tmp_path, backend="dask"), reference[1])
        workers = {worker.pid for worker in cluster.workers.values()}
    assert files(tmp_path) == files(reference[0])
    assert places(tmp_path) <= workers
    assert len(workers) == 2


def test_ray_gives_the_same(reference: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    importable = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, runtime_env=importable)
    try:
        same(compute(fit, CONFIGS, tmp_path, backend="ray"), reference[1])
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert files(tmp_path) == files(reference[0])
    assert os.getpid() not in places(tmp_path)


def test_in_this_process_with_one_thread_meanwhile(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        compute(fit, CONFIGS[:1], tmp_path)
        assert torch.get_num_threads() == 2
        # A worker sees to it as well: not every cluster tells its processes.
        runs._compute(fit, *runs_of(CONFIGS[1:2], tmp_path / "worker"))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert places(tmp_path) == places(tmp_path / "worker") == {os.getpid()}


@pytest.mark.skipif(os.name != "posix", reason="sends signals of POSIX")
def test_a_killed_command_goes_on(reference: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        import test_runs
        killed = test_runs.half_way(lambda run: os.kill(os.getpid(), signal.SIGKILL))
        test_runs.compute(killed, test_runs.CONFIGS[:2], Path(sys.argv[1]))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "runs").exists()
    (progress,) = tmp_path.glob("unfinished/*/progress.json")
    before = json.loads(progress.read_text())
    assert before["fraction"] == 0.5
    ticks = []

    def watched(run: Run) -> dict[str, Any]:
        run.tick = lambda fraction: (Run.tick(run, fraction), ticks.append(fraction))
        return fit(run)

    table = compute(watched, CONFIGS[:2], tmp_path)
    # What was half done goes on from the checkpoint before that.
    assert [round(STEPS * tick) for tick in ticks] == [30, 40, 50, 60, 10, 20, 30, 40, 50, 60]
    assert table.seconds[0] > before["seconds"]
    expected = files(reference[0])
    assert files(tmp_path) == {name: expected[name] for name in files(tmp_path)}
    assert len(files(tmp_path)) == 2
    assert not (tmp_path / "unfinished").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends signals of POSIX")
def test_a_worker_that_is_killed_loses_nothing(
    reference: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    lines: list[str] = []
    compute(die_once, CONFIGS[:3], tmp_path, jobs=2, say=lines.append)
    # With one worker joblib ends all: what another was just writing stays for the next command.
    for part in tmp_path.glob("runs/.*.part"):
        part.unlink()
    expected = files(reference[0])
    assert files(tmp_path) == {name: expected[name] for name in files(tmp_path)}
    assert len(files(tmp_path)) == 3
    (died,) = (line for line in lines if "a worker process died" in line)
    assert "TerminatedWorkerError" in died
    assert "under way: rate" in died


@pytest.mark.skipif(os.name != "posix", reason="sends signals of POSIX")
def test_a_run_that_always_kills_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails alone, after those beside it have got another try with it."""

    class LostError(Exception):
        pass

    tried: list[tuple[float, int]] = []

    def dying(function: Any, run: Run) -> Any:
        tried.append((run.config["rate"], run.config["seed"]))
        if run.config == CONFIGS[1]:
            run.note(0.2, 7.0)
            raise LostError
        return runs._compute(function, run)

    @contextlib.contextmanager
    def sequential(compute: Any, backend: str, jobs: int, number: int) -> Iterator[Any]:
        with joblib.parallel_config("sequential"):
            yield dying, (LostError,)

    monkeypatch.setattr(runs, "workers", sequential)
    table = compute(fit, CONFIGS[:3], tmp_path)
    assert table.status.tolist() == ["done", "failed", "done"]
    assert tried == [(0.1, 0), (0.1, 1), (0.1, 1), (0.1, 0), (0.1, 1)]
    assert table.error[1].startswith("a worker process died")
    assert table.seconds[1] == 7.0


def test_ctrl_c_in_this_process(reference: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    pressed = half_way(lambda run: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="0 of 2 runs ended, 2 are left; the same command"):
        compute(pressed, CONFIGS[:2], tmp_path)
    assert len([*tmp_path.glob("unfinished/*/checkpoint.safetensors")]) == 1
    compute(fit, CONFIGS[:2], tmp_path)
    expected = files(reference[0])
    assert files(tmp_path) == {name: expected[name] for name in files(tmp_path)}


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name != "posix", reason="sends signals of POSIX")
@pytest.mark.timeout(120)
def test_ctrl_c_ends_all_processes(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest-xdist ignores it
    try:
        with pytest.raises(KeyboardInterrupt, match="stopped with 0 of 2 runs ended"):
            compute(interrupt, CONFIGS[:2], tmp_path, jobs=2)
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while any(map(alive, places(tmp_path))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len([*tmp_path.glob("unfinished/*/checkpoint.safetensors")]) == 2
    table = compute(fit, CONFIGS[:2], tmp_path)
    assert table.status.tolist() == ["done", "done"]


def test_only_what_is_missing_is_computed(tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []
    lines: list[str] = []
    first = compute(counted(calls), CONFIGS[1:], tmp_path)
    assert calls == CONFIGS[1:]
    calls.clear()
    second = compute(counted(calls), CONFIGS[1:], tmp_path, say=lines.append)
    assert calls == CONFIGS[-1:]  # the one that failed
    assert lines[0] == f"3 of 4 runs are in {tmp_path / 'runs'}"
    assert lines[-1] == "1 of 4 runs failed; the same command tries them again"
    same(second, first)
    assert second.date[:3].tolist() == first.date[:3].tolist()
    assert second.seconds[:3].tolist() == first.seconds[:3].tolist()
    calls.clear()
    other_order = [dict(reversed(config.items())) for config in CONFIGS[:3]]
    third = compute(counted(calls), other_order, tmp_path)
    assert calls == CONFIGS[:1]
    assert third.columns[:3].tolist() == ["k", "seed", "rate"]
    assert third.seed.tolist() == [0, 1, 0]
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 3


def test_the_table_grows_with_each_run(tmp_path: Path) -> None:
    lengths = []

    def function(run: Run) -> dict[str, Any]:
        path = tmp_path / "runs.csv"
        lengths.append(len(pd.read_csv(path)) if path.exists() else 0)
        return {}

    compute(function, [{"x": x} for x in range(3)], tmp_path)
    assert lengths == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b'{"config": {"ra', b"[]", b"\xff", "other", "digit"])
def test_a_damaged_row_is_computed_anew(
    reference: tuple[Path, pd.DataFrame], tmp_path: Path, content: bytes | str
) -> None:
    compute(fit, CONFIGS[:2], tmp_path)
    one, other = sorted((tmp_path / "runs").iterdir())
    if content == "digit":  # of a result
        text = one.read_text()
        changed = re.sub('(?<="weight": [01][.])[0-9]', lambda d: str(9 - int(d[0])), text)
        assert changed != text
        content = changed.encode()
    one.write_bytes(other.read_bytes() if content == "other" else content)
    lines: list[str] = []
    with pytest.warns(DamagedFileWarning, match=rf"{one.name} is .*now {one.name}.damaged\."):
        compute(fit, CONFIGS[:2], tmp_path, say=lines.append)
    assert lines[0].startswith("1 of 2 runs are in")
    (tmp_path / "runs" / f"{one.name}.damaged").unlink()
    assert files(tmp_path)[one.name] == files(reference[0])[one.name]
    other.write_text("{")
    with pytest.raises(DamagedFileError, match="damaged"):
        [load_row(config, tmp_path) for config in CONFIGS[:2]]


def test_a_row_without_a_checksum_is_taken(tmp_path: Path) -> None:
    """Older versions wrote such rows."""
    compute(fit, CONFIGS[:1], tmp_path)
    row = load_row(CONFIGS[0], tmp_path)
    (path,) = (tmp_path / "runs").iterdir()
    content = json.loads(path.read_text())
    del content["checksum"]
    path.write_text(json.dumps(content))
    assert load_row(CONFIGS[0], tmp_path) == row


def damaging(run: Run) -> dict[str, Any]:
    """Its checkpoint is damaged when it comes to it."""
    run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    run.checkpoint.write_bytes(b"nonsense")
    return fit(run)


@pytest.mark.parametrize("wrong", ["a folder as checkpoint", "a file as folder"])
def test_what_is_in_the_way_of_a_run_is_set_aside(tmp_path: Path, wrong: str) -> None:
    compute(fit, CONFIGS[:1], tmp_path / "whole")
    (name,) = [path.stem for path in (tmp_path / "whole/runs").iterdir()]
    place = tmp_path / "out/unfinished" / name
    if wrong == "a file as folder":
        place.parent.mkdir(parents=True)
        place.touch()
    else:
        (place / "checkpoint.safetensors").mkdir(parents=True)
    with pytest.warns(DamagedFileWarning, match="is no f"):
        compute(fit, CONFIGS[:1], tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("jobs", [1, 2])
def test_damages_that_a_worker_finds_are_told_by_the_command(tmp_path: Path, jobs: int) -> None:
    with pytest.warns(DamagedFileWarning) as told:
        table = compute(damaging, CONFIGS[:2], tmp_path, jobs=jobs)
    assert table.status.tolist() == ["done", "done"]
    assert len(told) == 2
    for warning in told:
        assert re.fullmatch(
            r".*checkpoint.safetensors is damaged or of another kind .* "
            r"It is now checkpoint.safetensors.damaged.",
            str(warning.message),
        )


def test_numbers_that_json_does_not_have(tmp_path: Path) -> None:
    def function(run: Run) -> dict[str, Any]:
        assert run.config == {"k": math.inf, "nested": {"low": [-math.inf]}}
        return {"loss": math.inf, "history": [{"loss": -math.inf}, {"loss": math.nan}]}

    config = {"k": math.inf, "nested": {"low": [-math.inf]}}
    for _ in range(2):
        table = compute(function, [config], tmp_path)
        assert table.status.tolist() == ["done"]
        assert table[["k", "loss"]].iloc[0].tolist() == [math.inf, math.inf]
    row = load_row(config, tmp_path)
    assert row["config"] == config
    assert row["results"]["history"][0] == {"loss": -math.inf}
    assert math.isnan(row["results"]["history"][1]["loss"])
    ((_, stored),) = files(tmp_path).items()
    assert stored["config"] == {"k": "inf", "nested": {"low": ["-inf"]}}
    assert stored["results"]["history"][1] == {"loss": "nan"}


def test_names_of_the_files(tmp_path: Path) -> None:
    """Readable, safe on every system, and different for different configurations."""
    config = {"tau": 0.1, "estimator": "../gumbel rao\n", "long": "x" * 300}

    def title(config: dict[str, Any]) -> str:
        return f"{config['estimator']}_τ{config['tau']}_{config['long']}"

    runs = runs_of([config, {**config, "long": "x" * 301}], tmp_path, title)
    run_all(lambda run: {}, runs, say=quiet)
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(names) == 2
    for name in names:
        assert name.startswith("..gumbelrao_0.1_xxx")
        assert len(name) < 80


@pytest.mark.parametrize(
    ("configs", "error", "message"),
    [
        ([{"x": 1}, {"x": 2}, {"x": 1}], ValueError, r"different ones, but run-\w+ occurs 2 times"),
        ([{"x": 1, "y": 2}, {"y": 2, "x": 1}], ValueError, "expected different ones"),
        ([{"x": 1}, [1]], TypeError, r"configs\[1\]: expected a dictionary, got list"),
        ([{"x": [torch.ones(1)]}], TypeError, r"configs\[0\]\['x'\]\[0\]: .* got Tensor"),
        ([{1: 2}], TypeError, r"configs\[0\]: expected keys that are texts, got 1"),
        ([{"x": "inf"}], ValueError, r"configs\[0\]\['x'\]: the text 'inf' stands for a number"),
        ([{"seconds": 1}], ValueError, r"configs\[0\]: \['seconds'\] are other columns"),
    ],
)
def test_bad_configurations(
    tmp_path: Path, configs: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compute(fit, configs, tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda *_: None, "TypeError: results: expected a dictionary, got NoneType"),
        (lambda *_: {"a": torch.ones(1)}, "results['a']: expected a number, a text"),
        (lambda *_: {"x": 1}, "ValueError: results: ['x'] are other columns of the table"),
        (lambda *_: {"device": "abacus"}, "RuntimeError: "),
        (lambda run: run.tick(2), "fraction: expected a number between 0 and 1"),
    ],
)
def test_bad_results_are_failures(tmp_path: Path, function: Any, message: str) -> None:
    table = compute(function, [{"x": 1}], tmp_path)
    assert table.status.tolist() == ["failed"]
    assert message in table.error[0]


def test_no_runs(tmp_path: Path) -> None:
    table = compute(fit, [], tmp_path, backend="dask")
    assert len(table) == 0
    assert "status" in table


def test_the_older_of_two_commands_ends(tmp_path: Path) -> None:
    def newer(run: Run) -> None:
        contextvars.Context().run(compute, fit, CONFIGS[1:2], tmp_path)

    with pytest.raises(TakenOverError, match="another command works in"):
        compute(half_way(newer), CONFIGS[:1], tmp_path)
    assert load_row(CONFIGS[0], tmp_path) is None
    assert load_row(CONFIGS[1], tmp_path)["status"] == "done"


def test_of_two_that_begin_at_once_one_holds_and_keeps_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loser sees no older claim, and comes to removing after the holder has begun to write."""
    place, part = claims.unfinished(tmp_path), tmp_path / ".one.part"
    names = claims._names
    calls: list[Path] = []

    def at_once(folder: Path) -> list[str]:
        found = names(folder)
        calls.append(folder)
        if len(calls) == 1:  # the other one's claim is made right after this look
            place.mkdir(exist_ok=True)
            (place / f"command-{holder}").touch()
            part.touch()
        return found

    monkeypatch.setattr(claims, "_names", at_once)
    holder = "zz"  # above all numbers: it holds
    with claims.claim(tmp_path):
        assert part.exists()
        with pytest.raises(TakenOverError):
            claims.check()
    calls.clear()
    (place / "command-zz").unlink()
    holder = " "
    with claims.claim(tmp_path):
        assert not part.exists()
        claims.check()


def test_a_claim_in_a_folder_that_an_ending_command_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch, gone = Path.touch, []

    def removed_first(path: Path, **options: Any) -> None:
        if not gone:
            path.parent.rmdir()
            gone.append(path)
        touch(path, **options)

    monkeypatch.setattr(Path, "touch", removed_first)
    with claims.claim(tmp_path):
        claims.check()
    assert gone


def too_large(run: Run) -> dict[str, Any]:
    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def test_a_limit_of_the_size_of_files_ends_the_command(tmp_path: Path) -> None:
    """As a full disk does: every other run would fail of it, too."""
    with pytest.raises(OSError, match="File too large"):
        compute(too_large, CONFIGS[:2], tmp_path)
    assert load_row(CONFIGS[0], tmp_path) is None


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("write", [2, 5, 8, 9])  # checkpoints, the row, the table
def test_an_overtaken_command_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: int
) -> None:
    """Stopped in the middle of a write, and continued when a newer command has done it all."""
    real, count = getattr(os, name), 0

    def stopped(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == write:
            contextvars.Context().run(compute, fit, CONFIGS[:1], tmp_path)
            found.update({path: path.read_bytes() for path in tmp_path.rglob("*.*")})
        real(*arguments)

    found: dict[Path, bytes] = {}
    monkeypatch.setattr(os, name, stopped)
    with pytest.raises(TakenOverError, match="another command works in"):
        compute(lambda run: {**fit(run), "late": 1}, CONFIGS[:1], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == found
    assert load_row(CONFIGS[0], tmp_path)["status"] == "done"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["places", "runs", "runs.csv"]


def test_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compute(fit, CONFIGS[:2], tmp_path)
    shown, lines = capsys.readouterr().err, []
    assert "100 % |" in shown
    assert "2 of 2 runs" in shown
    assert shown.rstrip().endswith("left")
    compute(fit, CONFIGS[:3], tmp_path, say=lines.append)
    assert " 67 % |" in capsys.readouterr().err


def test_a_backend_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(**options: Any) -> None:
        compute(fit, CONFIGS[:1], tmp_path, **options)

    with pytest.raises(ValueError, match="backend: expected one of joblib, dask, ray, got 'spark'"):
        run(backend="spark")
    with pytest.raises(ValueError, match="jobs: expected at least 1, got 0"):
        run(jobs=0)
    with pytest.raises(BackendError, match="set DASK_SCHEDULER_ADDRESS"):
        run(backend="dask")
    import dask

    for address in ("foo", "http://127.0.0.1:1"):
        with (
            dask.config.set({"scheduler-address": address}),
            pytest.raises(BackendError, match=r"no dask cluster answers; .*address"),
        ):
            run(backend="dask")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendError, match="backend: it needs ray; pip install ray"):
        run(backend="ray")


def test_results_may_be_numpy_numbers(tmp_path):
    def function(run):
        return {"mean": np.float32(0.5), "count": np.int64(3), "list": [np.float64("inf")]}

    config = {"x": np.int64(2)}
    table = compute(function, [config], tmp_path)
    assert table[["x", "mean", "count", "status"]].values.tolist() == [[2, 0.5, 3, "done"]]
    again = compute(lambda *_: 1 / 0, [{"x": 2}], tmp_path)
    assert again.status.tolist() == ["done"]  # the same run, which is not computed again
    assert load_row(config, tmp_path)["results"]["list"] == [float("inf")]


def test_shared_memory_of_killed_commands_is_removed(tmp_path: Path) -> None:
    """That of processes that live, and other files, stay."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    for process in (ended.pid, os.getpid()):
        (tmp_path / f"joblib_memmapping_folder_{process}_ab").mkdir()
        (tmp_path / f"joblib_memmapping_folder_{process}_ab" / "array").write_bytes(b"x")
        (tmp_path / f"sem.loky-{process}-ab").write_bytes(b"x")
    (tmp_path / f"other-{ended.pid}-ab").write_bytes(b"x")
    workers._remove_shared_memory_of_the_dead(tmp_path)
    mine = {f"joblib_memmapping_folder_{os.getpid()}_ab", f"sem.loky-{os.getpid()}-ab"}
    assert {path.name for path in tmp_path.iterdir()} == mine | {f"other-{ended.pid}-ab"}


def test_what_does_not_fit_into_memory_together_is_halved(tmp_path: Path) -> None:
    groups, lines = [], []

    def train(runs: Any) -> Any:
        groups.append([run.config["x"] for run in runs])
        if len(runs) > 2:
            raise torch.OutOfMemoryError("of CUDA")
        return [lambda run: {"square": run.config["x"] ** 2}] * len(runs)

    def alone(run: Run) -> dict[str, Any]:
        raise AssertionError("nobody asked for that")

    rows = run_all(
        alone,
        runs_of([{"x": x} for x in range(5)], tmp_path),
        together=Together(lambda config: {}, train),
        say=lines.append,
    )
    assert [row["results"]["square"] for row in rows] == [0, 1, 4, 9, 16]
    assert groups == [[0, 1, 2, 3, 4], [0, 1], [2, 3, 4], [2], [3, 4]]
    assert "5 together do not fit into the memory of the GPU" in lines


def test_seconds_of_what_diverges_together_are_those_that_it_took(tmp_path: Path) -> None:
    """Before its first checkpoint, too."""

    def diverges(run: Run) -> dict[str, Any]:
        raise TrainingDivergedError("at step 7")

    def train(runs: Any) -> Any:
        time.sleep(0.4)
        return [diverges] * len(runs)

    rows = run_all(
        diverges,
        runs_of([{"x": 0}, {"x": 1}], tmp_path),
        together=Together(lambda config: {}, train),
        say=quiet,
    )
    assert [row["status"] for row in rows] == ["diverged"] * 2
    assert all(row["seconds"] >= 0.2 for row in rows)
