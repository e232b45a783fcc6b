"""A limit of time stops a command in order; what two machines have computed is merged."""

import contextvars
import json
import math
import os
import shutil
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from small_runs import compute, long_fit
from small_search import CELLS, reproduced, small

from gumbelrao_edu import cli
from gumbelrao_edu.experiments import EXPERIMENTS, table2
from gumbelrao_edu.training import claims
from gumbelrao_edu.training.errors import (
    DamagedFileWarning,
    LimitReachedError,
    TakenOverError,
)
from gumbelrao_edu.training.limit import interrupt_all, time_limit
from gumbelrao_edu.training.merge import merge
from gumbelrao_edu.training.run import Run, read_row


def test_a_limit_wakes_what_waits_and_is_gone_afterwards():
    before = signal.getsignal(signal.SIGINT)
    start = time.monotonic()
    with pytest.raises(LimitReachedError, match=r"the limit of 0\.2 s is reached"), time_limit(0.2):
        time.sleep(30)
    assert time.monotonic() - start < 10
    with time_limit(60), time_limit(None):
        pass
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt), time_limit(60):  # a stop by hand stays one
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (math.nan, ValueError),
        (1e300, ValueError),
        ("10", TypeError),
    ],
)
def test_a_limit_is_checked(wrong, error):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(error, match="seconds: expected a"), time_limit(wrong):
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_a_limit_that_is_over_at_once_is_one():
    with pytest.raises(LimitReachedError), time_limit(1e-9):
        time.sleep(30)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("together", [False, True])
def test_a_search_stops_at_its_limit_and_goes_on(tmp_path, monkeypatch, capsys, together):
    profile = small(cells=CELLS[:1], draws=2, steps=60)
    kept = reproduced(table2.EXPERIMENT, profile, tmp_path / "whole")
    record = replace(table2.EXPERIMENT, profiles={**table2.EXPERIMENT.profiles, "smoke": profile})
    monkeypatch.setitem(EXPERIMENTS, "table2", record)
    compute = cli.reproduce
    monkeypatch.setattr(
        cli, "reproduce", lambda *args, **options: compute(*args, together=together, **options)
    )
    tick, slow = Run.tick, [True]

    def ticks(run, fraction):
        tick(run, fraction)
        if slow and fraction > 0.3:
            slow.clear()
            time.sleep(3.0)  # the limit comes during this report

    monkeypatch.setattr(Run, "tick", ticks)
    command = ["reproduce", "table2", "--profile", "smoke", "--out", str(tmp_path / "parts")]
    assert cli.main([*command, "--limit", "2.5"]) == 124
    said = capsys.readouterr().err
    assert "the limit of 2.5 s is reached; stopped with 0 of 2 runs ended, 2 are left" in said
    assert [*(tmp_path / "parts").rglob("checkpoint.safetensors")]
    assert cli.main([*command, "--limit", "600"]) == 0
    table = pd.read_csv(tmp_path / "parts/table2/table2.csv")
    pd.testing.assert_frame_equal(table, kept, rtol=1e-4)


@contextmanager
def limited(reached):
    """A limit of time that comes a second after something is seen."""
    ended = threading.Event()

    def watch():
        while not ended.wait(0.05):
            if reached() and not ended.wait(1.0):
                interrupt_all()
                return

    thread = threading.Thread(target=watch, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest-xdist ignores it
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name != "posix", reason="sends signals of POSIX")
def test_a_process_that_waits_does_not_end_the_others(tmp_path):
    """At the end of a grid there are more processes than runs; a step may take seconds."""
    configs = [{"seed": 0, "pause": 0.0, "end": 1}, {"seed": 1, "pause": 2.0}]
    begun = time.monotonic()
    with (
        limited(lambda: [*tmp_path.glob("runs/*.json")] and [*tmp_path.glob("begun/1")]),
        pytest.raises(KeyboardInterrupt, match="stopped with 1 of 2 runs"),
    ):
        compute(long_fit, configs, tmp_path, jobs=2)
    assert len([*tmp_path.glob("unfinished/*/checkpoint.safetensors")]) == 1
    (noted,) = tmp_path.glob("unfinished/*/progress.json")
    assert json.loads(noted.read_text())["stopped"]
    assert time.monotonic() - begun < 100


@pytest.mark.skipif(os.name != "posix", reason="sends signals of POSIX")
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_computed_until_a_limit_is_saved(tmp_path, jobs):
    """In other processes, too, and long before the first report; and its seconds are counted."""
    configs = [{"seed": seed, "seen": 20} for seed in range(jobs)]

    with (
        limited(lambda: len([*tmp_path.glob("begun/*")]) == jobs),
        pytest.raises(KeyboardInterrupt, match=rf"stopped with 0 of {jobs} runs"),
    ):
        compute(long_fit, configs, tmp_path, jobs=jobs)
    saved = [*tmp_path.glob("unfinished/*/checkpoint.safetensors")]
    assert len(saved) == jobs
    (tmp_path / "end").touch()
    table = compute(long_fit, configs, tmp_path)
    assert table.status.tolist() == ["done"] * jobs
    assert (table.steps > 20).all()
    assert (table.seconds > 0.002 * table.steps).all()


@pytest.mark.parametrize("wrong", ["0", "-1", "soon", "inf"])
def test_a_limit_is_a_positive_number(wrong, capsys):
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "fig1", f"--limit={wrong}"])
    assert "--limit: expected a" in capsys.readouterr().err


@pytest.mark.usefixtures("few")
def test_rows_of_two_machines_make_one_table(tmp_path, capsys):
    one, other, whole = (tmp_path / name for name in ("one", "other", "whole"))
    for out, cells in ((one, CELLS[:2]), (other, CELLS[1:]), (whole, CELLS)):
        reproduced(table2.EXPERIMENT, small(cells), out)
    rows = sorted((other / "table2/runs").glob("*.json"))
    failed = json.loads(rows[0].read_text()) | {"status": "failed", "error": "no memory"}
    del failed["checksum"]  # it was that of the other row
    (one / "table2/runs" / rows[0].name).write_text(json.dumps(failed))  # here it failed
    theirs = sorted(
        {path.name for path in rows} - {*(p.name for p in (one / "table2/runs").iterdir())}
    )
    lost = other / "table2/runs" / theirs[0]  # there it failed, and here it was not begun
    whole_row = lost.read_text()
    lost.write_text(json.dumps(failed | {"config": json.loads(whole_row)["config"]}))
    ended = [p for p in other.glob("*/**/runs/*.json") if read_row(p)["status"] == "done"]
    assert sum(merge(other, tmp_path / "third", EXPERIMENTS).values()) == len(ended)
    assert not (tmp_path / "third/table2/runs" / lost.name).exists()
    lost.write_text(whole_row)
    kept = {path: path.read_bytes() for path in (one / "table2/runs").iterdir()}
    assert cli.main(["merge", str(other), "--out", str(one)]) == 0
    lines = capsys.readouterr().out
    assert lines.startswith("table2: ")
    assert all(path.read_bytes() == kept[path] for path in kept if path.name != rows[0].name)
    assert json.loads((one / "table2/runs" / rows[0].name).read_text())["status"] == "done"
    merged = reproduced(table2.EXPERIMENT, small(), one)
    expected = reproduced(table2.EXPERIMENT, small(), whole)
    pd.testing.assert_frame_equal(merged, expected)
    assert sum(merge(other, one, EXPERIMENTS).values()) == 0


@pytest.mark.usefixtures("few")
def test_a_test_is_merged_only_beside_the_training_that_was_tested(tmp_path):
    """Else the table would show the validation of one model and the test of another."""
    for name in ("here", "other"):
        reproduced(table2.EXPERIMENT, small(CELLS[:1], draws=1), tmp_path / name)
    (path,) = (tmp_path / "other/table2/runs").glob("*.json")
    row = json.loads(path.read_text())
    del row["checksum"]
    row["results"]["valid_bound"] -= 1.0
    path.write_text(json.dumps(row))
    (test,) = (tmp_path / "here/table2/test/runs").glob("*.json")
    theirs = (tmp_path / "other/table2/test/runs" / test.name).read_text()
    test.unlink()
    with pytest.warns(UserWarning, match="stays, though"):
        merge(tmp_path / "other", tmp_path / "here", EXPERIMENTS)
    assert not test.exists()
    with claims.claim((tmp_path / "here/table2").resolve()):  # nothing is new, nobody is stopped
        with pytest.warns(UserWarning, match="stays, though"):
            contextvars.Context().run(merge, tmp_path / "other", tmp_path / "here", EXPERIMENTS)
        claims.check()
    path.unlink()  # who has not that training takes both
    path.write_text((tmp_path / "here/table2/runs" / path.name).read_text())
    merge(tmp_path / "other", tmp_path / "here", EXPERIMENTS)
    assert test.read_text() == theirs


@pytest.mark.usefixtures("few")
def test_a_copy_of_a_row_is_not_merged(tmp_path):
    reproduced(table2.EXPERIMENT, small(CELLS[:1]), tmp_path / "other")
    rows = sorted((tmp_path / "other/table2/runs").glob("*.json"))
    for name in ("copy.json", f"Copy of {rows[0].name}"):
        shutil.copy(rows[0], rows[0].with_name(name))
    with (
        pytest.warns(UserWarning, match=r"copy.json is left out: it has not the name of its run"),
        pytest.warns(UserWarning, match=rf"Copy of {rows[0].name} is left out"),
    ):
        merge(tmp_path / "other", tmp_path / "here", EXPERIMENTS)
    here = {path.name for path in (tmp_path / "here/table2/runs").iterdir()}
    assert here == {path.name for path in rows}


@pytest.mark.usefixtures("few")
def test_a_row_that_ends_here_meanwhile_stays(tmp_path, monkeypatch):
    for name, cells in (("here", CELLS[:1]), ("other", CELLS[:2])):
        reproduced(table2.EXPERIMENT, small(cells), tmp_path / name)
    other = sorted((tmp_path / "other/table2/runs").glob("*.json"))
    here = [tmp_path / "here/table2/runs" / path.name for path in other]
    ended = next(path for path in here if not path.exists())
    claim = claims.claim

    def meanwhile(folder):
        row = json.loads((tmp_path / "other/table2/runs" / ended.name).read_text())
        del row["checksum"]
        row["results"]["valid_bound"] -= 1.0
        ended.write_text(json.dumps(row))
        return claim(folder)

    monkeypatch.setattr(claims, "claim", meanwhile)
    with pytest.warns(UserWarning, match="stays, though"):
        merge(tmp_path / "other", tmp_path / "here", EXPERIMENTS)
    theirs = read_row(tmp_path / "other/table2/runs" / ended.name)["results"]["valid_bound"]
    assert read_row(ended)["results"]["valid_bound"] == theirs - 1.0


@pytest.mark.usefixtures("few")
def test_who_computes_in_a_folder_is_ended_only_by_rows_that_are_added(tmp_path):
    for name, cells in (("here", CELLS[:1]), ("other", CELLS[:1]), ("more", CELLS[:2])):
        reproduced(table2.EXPERIMENT, small(cells), tmp_path / name)
    for path in (tmp_path / "other/table2/runs").glob("*.json"):  # in another order of the names
        row = json.loads(path.read_text())
        path.write_text(json.dumps({**row, "results": dict(reversed(row["results"].items()))}))
    with claims.claim((tmp_path / "here/table2").resolve()):
        assert sum(merge(tmp_path / "other", tmp_path / "here", EXPERIMENTS).values()) == 0
        claims.check()
        contextvars.Context().run(merge, tmp_path / "more", tmp_path / "here", EXPERIMENTS)
        with pytest.raises(TakenOverError):
            claims.check()


@pytest.mark.usefixtures("few")
def test_nothing_is_merged_of_a_damaged_folder(tmp_path, capsys):
    reproduced(table2.EXPERIMENT, small(CELLS[:1]), tmp_path / "other")
    rows = sorted((tmp_path / "other/table2/runs").glob("*.json"))
    rows[-1].write_text("{")
    assert cli.main(["merge", str(tmp_path / "other"), "--out", str(tmp_path / "here")]) == 1
    said = capsys.readouterr().err
    assert f"{rows[-1]} is damaged: " in said
    assert "nothing was added: compute that run anew there, or move the file away" in said
    assert not (tmp_path / "here").exists()
    shutil.rmtree(tmp_path / "other/table2/test")
    shutil.rmtree(tmp_path / "other/table2/runs")
    assert cli.main(["merge", str(tmp_path / "other"), "--out", str(tmp_path / "here")]) == 0
    assert "there are no runs" in capsys.readouterr().out


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("lost", ["missing", "damaged", "failed"])
def test_weights_that_are_not_of_a_merged_training_go(tmp_path, lost):
    """Else what is then tested here would be another model than the one of the row."""
    for name in ("here", "other"):
        reproduced(table2.EXPERIMENT, small(CELLS[:1], draws=1), tmp_path / name)
    (row,) = (tmp_path / "here/table2/runs").glob("*.json")
    (weights,) = (tmp_path / "here/table2/models").iterdir()
    (test,) = (tmp_path / "here/table2/test/runs").glob("*.json")
    tested = read_row(test)["results"]
    (tmp_path / "other/table2/test/runs" / test.name).unlink()
    merge(tmp_path / "other", tmp_path / "here", EXPERIMENTS)
    assert weights.exists()  # of the training that has ended here
    if lost == "missing":
        row.unlink()
    elif lost == "damaged":
        row.write_text("{")
    else:
        failed = json.loads(row.read_text()) | {"status": "failed", "error": "no memory"}
        del failed["checksum"]
        row.write_text(json.dumps(failed))
    stale = json.loads(test.read_text())
    del stale["checksum"]
    stale["results"]["test_bound"] -= 1.0
    test.write_text(json.dumps(stale))
    state = load_file(weights)
    save_file({name: value + 1 for name, value in state.items()}, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFileWarning)
        assert merge(tmp_path / "other", tmp_path / "here", EXPERIMENTS) == {"table2": 1}
    assert not weights.exists()
    assert not test.exists()
    reproduced(table2.EXPERIMENT, small(CELLS[:1], draws=1), tmp_path / "here")
    assert read_row(test)["results"] == pytest.approx(tested)


@pytest.mark.usefixtures("few")
def test_only_folders_of_experiments_are_merged(tmp_path, capsys):
    """Of the folder above, the rows would be added to experiments that are none."""
    other, here = tmp_path / "machine/results", tmp_path / "here"
    reproduced(table2.EXPERIMENT, small(CELLS[:1]), other)
    with pytest.raises(SystemExit):
        cli.main(["merge", str(other.parent), "--out", str(here)])
    said = capsys.readouterr().err
    assert f"folder: expected a folder with results, but in {other.parent} are none of" in said
    shutil.copytree(other / "table2", other / "table2 (old)")
    assert cli.main(["merge", str(other), "--out", str(here)]) == 0
    assert [path.name for path in here.iterdir()] == ["table2"]


@pytest.mark.usefixtures("few")
def test_other_results_of_the_same_run_are_told_of(tmp_path, capsys):
    for name in ("here", "other"):
        reproduced(table2.EXPERIMENT, small(CELLS[:1]), tmp_path / name)
    (path, *_), kept = (
        sorted((tmp_path / name / "table2/runs").glob("*.json")) for name in ("other", "here")
    )
    contents = [row.read_bytes() for row in kept]
    row = json.loads(path.read_text())
    del row["checksum"]
    row["results"]["valid_bound"] -= 1.0
    path.write_text(json.dumps(row))
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as the command has it
        assert cli.main(["merge", str(tmp_path / "other"), "--out", str(tmp_path / "here")]) == 0
    said = capsys.readouterr().err
    assert said == f"{kept[0]} stays, though {path} has other results of this run\n"
    assert [row.read_bytes() for row in kept] == contents
