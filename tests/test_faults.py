"""Faults at seeded moments: killed, stopped or damaged commands end in the same results.

A command is a forked process that computes the runs of `small_runs`. What comes out in the end is
compared bit for bit with what an undisturbed command gives. `make test-faults` tries more moments.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import CONFIGS, compute, files, fit

from gumbelrao_edu.training.errors import TakenOverError
from gumbelrao_edu.training.run import Run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SEED = 2021
TRIES = int(os.environ.get("FAULTS", "6"))  # of each kind
RUNS = CONFIGS[:2]
OVERTAKEN = 3  # exit status of a command that was overtaken


def at_moment(number: int, act: Callable[[], object]) -> None:
    """Do something at the beginning of the n-th write, fsync or rename of this process."""
    left = number

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                act()
            return function(*arguments, **options)

        return call

    for owner, name in ((os, "fsync"), (os, "replace"), (os, "unlink"), (Path, "write_text")):
        setattr(owner, name, watched(getattr(owner, name)))


def command(out: Path, before: Callable[[], object] = lambda: None) -> int:
    """Start a command in a process of its own, which may be disturbed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytest's own threads are of no use to the child
        process = os.fork()
    if process:
        return process
    status = 1
    with contextlib.suppress(BaseException):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        warnings.simplefilter("ignore")
        before()
        try:
            compute(fit, RUNS, out)
            status = 0
        except TakenOverError:
            status = OVERTAKEN
    os._exit(status)


def ended(process: int) -> int:
    """Exit status; negative after a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed")
    compute(fit, RUNS, out)
    return files(out)


def contents(out: Path) -> dict[Path, bytes]:
    """All files but those of the test itself, and what only feeds the bar."""
    return {
        path: path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.parent.name != "places" and path.name != "progress.json"
    }


def check(out: Path, undisturbed: dict[str, Any]) -> None:
    """All is there, bit for bit, and nothing is left over."""
    for damaged in (out / "runs").glob("*.damaged"):
        damaged.unlink()
    assert files(out) == undisturbed
    left = {path.name for path in out.iterdir()} - {"places", "runs", "runs.csv"}
    assert not left
    assert not [part for part in out.rglob(".*.part") if part.parent.name != "places"]
    assert len((out / "runs.csv").read_text().splitlines()) == 1 + len(RUNS)


def test_kills_in_writes(tmp_path, undisturbed, record_property):
    """Each command is killed at a later or earlier moment; one goes on where the last one was."""
    random_ = random.Random(SEED)
    kills = collections.Counter()
    for attempt in range(TRIES):
        out = tmp_path / str(attempt)
        for _ in range(20):
            moment = random_.randrange(1, 40)
            status = ended(command(out, lambda moment=moment: at_moment(moment, kill)))
            kills[status] += 1
            if status == 0:
                break
        else:
            assert ended(command(out)) == 0
        check(out, undisturbed)
    assert {*kills} == {0, -signal.SIGKILL}
    record_property("measured", f"{kills[-signal.SIGKILL]} kills in writes: {TRIES} identical")


def test_kills_at_any_time(tmp_path, undisturbed, record_property):
    random_ = random.Random(SEED)
    kills = 0
    for attempt in range(TRIES):
        out = tmp_path / str(attempt)

        def alarm() -> None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process at once
            signal.setitimer(signal.ITIMER_REAL, random_.uniform(0.01, 0.6))

        for _ in range(3):
            random_.random()
            kills += ended(command(out, alarm)) == -signal.SIGALRM
        assert ended(command(out)) == 0
        check(out, undisturbed)
    assert kills > 0
    record_property("measured", f"{kills} kills at random times: {TRIES} identical")


def test_an_older_command_goes_on_late(tmp_path, undisturbed, record_property):
    """It is stopped in a write, overtaken by one that ends or is killed, and continued."""
    random_ = random.Random(SEED)
    overtaken = 0
    for attempt in range(TRIES):
        out, moment = tmp_path / str(attempt), random_.randrange(1, 40)
        older = command(out, lambda moment=moment: at_moment(moment, stop))
        _, status = os.waitpid(older, os.WUNTRACED)
        if not os.WIFSTOPPED(status):  # it had ended before
            check(out, undisturbed)
            continue
        killed = attempt % 2 == 1
        later = random_.randrange(8, 30)
        before = (lambda later=later: at_moment(later, kill)) if killed else lambda: None
        ended(command(out, before))
        found = contents(out)
        os.kill(older, signal.SIGCONT)
        status = ended(older)
        if status == OVERTAKEN:
            overtaken += 1
            # Not even a file that it was just writing.
            assert contents(out) == found
        assert ended(command(out)) == 0
        check(out, undisturbed)
    assert overtaken > 0
    record_property("measured", f"{overtaken} commands overtaken in a write: {TRIES} identical")


def flipped(content: bytes, random_: random.Random) -> bytes:
    place = random_.randrange(len(content))
    bit = bytes([content[place] ^ 1 << random_.randrange(8)])
    return content[:place] + bit + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda content, random_: b"",
    "cut": lambda content, random_: content[: random_.randrange(len(content))],
    "noise": lambda content, random_: random_.randbytes(200),
    "nested": lambda content, random_: b"[" * 100_000,
    "list": lambda content, random_: b"[1, 2]",
}


def other_digit(content: bytes, random_: random.Random) -> bytes:
    """A number, or the checksum, is another one."""
    place = random_.choice([i for i, letter in enumerate(content) if chr(letter) in "12345678"])
    return content[:place] + bytes([content[place] + 1]) + content[place + 1 :]


ROW_DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "status": lambda row: row.update(status="foo"),
    "results": lambda row: row.update(results=[1]),
    "provenance": lambda row: row.update(provenance=None),
    "seconds": lambda row: row.update(seconds=float("nan")),
    "other": lambda row: row["config"].update(rate=0.2),
    "failed": lambda row: row.update(status="failed"),
}


def test_damaged_files(tmp_path, undisturbed, record_property):
    """Whatever is damaged between two commands is computed again, and links are not followed."""
    random_ = random.Random(SEED)
    damaged = collections.Counter()
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    for attempt in range(2 * TRIES):
        out, moment = tmp_path / str(attempt), random_.randrange(16, 40)
        ended(command(out, lambda moment=moment: at_moment(moment, kill)))
        paths = sorted(path for path in out.rglob("*.*") if path.parent.name != "places")
        path = random_.choice([path for path in paths if path.is_file()])
        content = path.read_bytes()
        kinds = [*DAMAGES, "link"]
        if path.suffix == ".safetensors":
            kinds += ["flipped"] * 4
        if path.parent.name == "runs" and path.suffix == ".json":
            kinds += [*ROW_DAMAGES, "digit"]
        kind = random_.choice(kinds)
        if kind == "link":
            path.unlink()
            path.symlink_to(outside)
        elif kind in ("flipped", "digit"):
            change = flipped if kind == "flipped" else other_digit
            path.write_bytes(change(content, random_))
        elif kind in ROW_DAMAGES:
            row = json.loads(content)
            ROW_DAMAGES[kind](row)
            path.write_text(json.dumps(row))
        else:
            path.write_bytes(DAMAGES[kind](content or b"x", random_))
        damaged[path.suffix] += 1
        assert ended(command(out)) == 0, (path, kind)
        check(out, undisturbed)
        assert outside.read_text() == "not ours"
    assert len(damaged) > 1
    record_property("measured", f"files damaged: {dict(damaged)}, all {2 * TRIES} identical")


def test_the_disturbed_runs_are_resumed_not_begun_anew(tmp_path):
    """Else all of this would show nothing: after a kill there is a checkpoint to go on from."""
    assert ended(command(tmp_path, lambda: at_moment(12, kill))) == -signal.SIGKILL
    (checkpoint,) = tmp_path.rglob("checkpoint.safetensors")
    assert Run(RUNS[0], tmp_path, checkpoint.parent.name.rpartition("-")[0]).progress()["fraction"]
