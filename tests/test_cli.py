"""The command line: plain sentences for wrong arguments, and outputs that end nothing."""

import errno
import io
import math
import os
import re
import subprocess
import sys
from contextlib import nullcontext

import plotly.graph_objects as go
import pytest
import torch
from seeded import seeded

from gumbelrao_edu import __version__, cli, cli_compare
from gumbelrao_edu.figures.page import embedded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table1", "--jobs", "abc"], "--jobs: expected a whole number from 1 to 1000, got 'abc'"),
        (
            ["table1", "--jobs", "3000000000"],
            "--jobs: expected a whole number from 1 to 1000, got '3000000000'",
        ),
        (["table1", "--out", __file__], r"--out: expected a folder, but .* is a file"),
        (["table9"], "invalid choice: 'table9'"),
        (["table1", "--profile", "big"], "invalid choice: 'big'"),
        (["fig1", "--profile", "gpu"], "--profile: fig1 has smoke, lecture, cpu, paper, got 'gpu'"),
        (["table1", "--backend", "spark"], "invalid choice: 'spark'"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert "_count" not in said


def test_every_option_arrives(monkeypatch, tmp_path):
    """Each with another value than its default."""
    calls = []
    monkeypatch.setattr(cli, "reproduce", lambda *a, **options: calls.append((a, options)))
    monkeypatch.setattr(cli, "time_limit", lambda limit: calls.append(limit) or nullcontext())
    out = tmp_path / "there"
    options = f"--profile lecture --out {out} --jobs 3 --backend dask --limit 7"
    assert cli.main(["reproduce", "table1", *options.split()]) == 0
    limit, (arguments, named) = calls
    assert limit == 7
    assert arguments == (cli.EXPERIMENTS["table1"], "lecture", out)
    assert named == {"jobs": 3, "backend": "dask"}


def test_every_option_of_a_comparison_arrives(monkeypatch, tmp_path, capsys):
    calls = []

    def compare(f, logits, **options):
        calls.append((f, logits, options))
        raise ValueError("enough")

    monkeypatch.setattr(cli_compare, "compare", compare)
    options = "--n 5 --variables 2 --scale 3 --tau 0.2,0.3 --k 4 --estimators zgr --samples 77"
    command = ["compare", "--f", "math:exp", *options.split(), "--seed", "9"]
    assert cli.main([*command, "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "compare: enough\n"
    f, logits, named = calls[0]
    generator = seeded(9)
    assert f is math.exp
    assert torch.equal(logits, 3 * torch.randn(2, 5, generator=generator))
    assert torch.equal(named.pop("generator").get_state(), generator.get_state())
    assert named == {"tau": [0.2, 0.3], "k": [4], "estimators": ["zgr"], "num_samples": 77}


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"gumbelrao_edu {__version__}\n"


def test_a_folder_below_a_file(tmp_path, capsys):
    (tmp_path / "file").touch()
    out = str(tmp_path / "file" / "results")
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", "fig1", "--profile", "smoke", "--out", out])
    assert ended.value.code == 2
    assert f"--out: expected a folder, but {tmp_path / 'file'} is a file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["reproduce fig1", "merge other", "compare --f math:exp"])
def test_a_file_in_place_of_the_folder_that_is_taken_if_none_is_named(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").touch()
    (tmp_path / "other/table2").mkdir(parents=True)
    with pytest.raises(SystemExit) as ended:
        cli.main(command.split())
    assert ended.value.code == 2
    assert "--out: expected a folder, but results is a file" in capsys.readouterr().err


def interrupted(said):
    def stop(*arguments, **options):
        raise KeyboardInterrupt(said)

    return stop


def test_a_command_says_that_it_goes_on_only_where_it_does(tmp_path, monkeypatch, capsys):
    in_the_way = tmp_path / "fig1" / "fig1.csv"
    in_the_way.mkdir(parents=True)
    command = ["reproduce", "fig1", "--profile", "smoke", "--out", str(tmp_path)]
    assert cli.main(command) == 1
    assert capsys.readouterr().err.endswith(f"Is a directory: {in_the_way}.\n")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "part", None, str(in_the_way))

    monkeypatch.setattr(cli, "reproduce", full)
    assert cli.main(command) == 1
    assert capsys.readouterr().err == (
        f"No space left on device: {in_the_way}. The same command goes on from here.\n"
    )
    monkeypatch.undo()

    def write(*arguments):  # it has no name of a file, only a number
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", write)
    assert cli.main([*command[:-1], str(tmp_path / "new")]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"No space left on device: {tmp_path / 'new'}{os.sep}")
    assert ".part" not in said
    for said, shown in (
        ("", "Stopped. The same command goes on from here.\n"),
        ("stopped with 1 of 2 runs ended; the same command goes on", None),
    ):
        monkeypatch.setattr(cli, "reproduce", interrupted(said))
        assert cli.main(command) == 130
        assert capsys.readouterr().err == (shown or f"S{said[1:]}.\n")
    monkeypatch.setattr(cli.cli_compare, "compare", full)  # which begins anew
    options = ["--f", "torch:sum", "--out", str(tmp_path)]
    assert cli.main(["compare", *options]) == 1
    assert capsys.readouterr().err == f"No space left on device: {in_the_way}.\n"


def broken_pipe():
    read, write = os.pipe()
    os.close(read)
    return open(write, "w", encoding="utf-8")


def full():
    return open("/dev/full", "w", encoding="utf-8")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


NO_DEVICE = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


@pytest.mark.parametrize(
    "make", [broken_pipe, closed, pytest.param(full, marks=NO_DEVICE), lambda: None]
)
def test_nobody_listens(make):
    stream = make()
    listener = cli._Listener(stream)
    for _ in range(3):
        print("τ" * 10_000, file=listener, flush=True)
    assert not listener.isatty()
    if stream is not None:
        stream.close()  # what is left in its buffer is written without an error


@pytest.mark.parametrize(("encoding", "tau"), [("ascii", rb"\u03c4"), ("cp1252", rb"\u03c4")])
def test_letters_that_cannot_be_written(encoding, tau):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print("τ", file=cli._Listener(stream))
    assert stream.buffer.getvalue().strip() == tau


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
def test_a_command_without_any_output(tmp_path):
    """All three of its files are closed, and a file that it opens is not taken for them."""
    command = [sys.executable, "-m", "gumbelrao_edu", "reproduce", "fig1", "--profile", "smoke"]
    line = '"$@" <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *command, "--out", str(tmp_path), "--jobs", "2"], check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "fig1" / "fig1.html").read_text(encoding="utf-8").endswith("</html>\n")


def test_the_same_figure_is_the_same_text():
    def drawn(y):
        return embedded(go.Figure(go.Scatter(y=y)), first=False)

    assert drawn([0, 1]) == drawn([0, 1])
    names = [set(re.findall(r"figure-\w+", drawn(y))) for y in ([0, 1], [0, 2])]
    assert [len(found) for found in names] == [1, 1]
    assert names[0] != names[1]


@pytest.mark.parametrize("out", ["", " ", "x" * 5000], ids=["none", "blank", "long"])
def test_names_that_are_no_folder(out, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", "fig1", "--profile", "smoke", "--out", out])
    assert ended.value.code == 2
    assert "error: argument --out: expected a folder" in capsys.readouterr().err


def test_a_link_to_itself_is_no_folder(tmp_path, capsys):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", "fig1", "--profile", "smoke", "--out", str(tmp_path / "a/results")])
    assert ended.value.code == 2
    assert "error: argument --out: expected a folder: " in capsys.readouterr().err
