"""Pins and launch links come from one source, and drift is noticed."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pins
import pytest
from conftest import ROOT

import gumbelrao_edu


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files that tools/pins.py keeps, and of the tool."""
    for name in ("README.md", "CONTRIBUTING.md", "CITATION.cff", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    for name in ("binder", "notebooks", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def run_tool(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(copy / "tools/pins.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} no longer holds {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_nothing_has_drifted() -> None:
    assert pins.problems(ROOT) == []


def test_binder_gets_every_pin_and_a_torch_without_cuda() -> None:
    made = pins.binder_requirements("torch==2.13.0  # big\n\n# a comment\nnumpy==2.4.6\n")
    assert made.splitlines()[1:] == [
        "--extra-index-url https://download.pytorch.org/whl/cpu",
        "torch==2.13.0+cpu",
        "numpy==2.4.6",
    ]


def test_a_changed_version_is_noticed_and_written(copy: Path) -> None:
    replace(copy / "requirements.txt", "tqdm==", "tqdm==0.")
    checked = run_tool(copy, "--check")
    assert checked.returncode == 1
    assert checked.stderr.splitlines() == [
        "binder/requirements.txt is not what its source says: run python tools/pins.py"
    ]
    assert run_tool(copy).stdout == "wrote binder/requirements.txt\n"
    assert run_tool(copy, "--check").returncode == 0
    assert run_tool(copy).stdout == ""


def test_every_link_follows_the_address(copy: Path) -> None:
    old = pins.repository(copy)
    replace(
        copy / "pyproject.toml", f"https://github.com/{old}", "https://github.com/some-one/else"
    )
    assert run_tool(copy, "--check").returncode == 1
    assert run_tool(copy).returncode == 0
    for path in [copy / "README.md", copy / "CITATION.cff", *pins.notebook_files(copy)]:
        text = path.read_text(encoding="utf-8")
        assert "some-one/else" in text, path.name
        assert old not in text, path.name


@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
@pytest.mark.parametrize("host", ["mybinder.org", "colab.research.google.com"])
def test_a_missing_link_is_noticed(copy: Path, suffix: str, host: str) -> None:
    replace(copy / f"notebooks/00_start_here{suffix}", host, "example.org")
    (problem,) = pins.problems(copy)
    assert problem.startswith(f"notebooks/00_start_here{suffix} lacks the link https://{host}/")


def test_solutions_link_to_the_version_for_learners(copy: Path) -> None:
    notebook = copy / "notebooks/solutions/01_gumbel_max.ipynb"
    replace(notebook, "notebooks/01_gumbel_max", "notebooks/solutions/01_gumbel_max")
    assert [problem.split(" lacks the link ")[0] for problem in pins.problems(copy)] == [
        "notebooks/solutions/01_gumbel_max.ipynb"
    ] * 2


def test_a_link_to_another_notebook_is_noticed(copy: Path) -> None:
    text = (copy / "notebooks/00_start_here.py").read_text(encoding="utf-8")
    (copy / "notebooks/99_new.py").write_text(text, encoding="utf-8")
    assert len(pins.problems(copy)) == 2


@pytest.mark.parametrize("file", ["requirements.txt", "tests/requirements.txt"])
def test_the_tests_run_with_the_pinned_versions(file: str) -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    wanted = dict(line.split("==") for line in lines if line)
    assert len(wanted) >= 10
    installed = {name: importlib.metadata.version(name).partition("+")[0] for name in wanted}
    assert installed == wanted


def test_the_citation_names_the_version() -> None:
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited
    assert cited[1] == gumbelrao_edu.__version__
