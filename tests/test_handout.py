"""The folder that a class starts from without a network, in small: a fake course, fake wheels."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import handout
import pytest
from handout import SYSTEMS, HandoutError

LINUX, WINDOWS = SYSTEMS["linux"], SYSTEMS["windows"]
PYTHON = handout.this_python()
PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "gumbelrao_edu"
version = "1.0"
dependencies = ["tiny>=1"]

[tool.setuptools]
packages = ["gumbelrao_edu"]
"""


def wheel(folder: Path, name: str, *requires: str, version: str = "1.0") -> None:
    info = f"{name}-{version}.dist-info"
    headers = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    headers += "".join(f"Requires-Dist: {line}\n" for line in requires)
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"NAME = {name!r}\n")
        archive.writestr(f"{info}/METADATA", headers)
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of one cell that needs one package, and a folder in place of the package index."""
    root, index = tmp_path / "project", tmp_path / "index"
    for folder in (root / "gumbelrao_edu", root / "notebooks/results", index):
        folder.mkdir(parents=True)
    (root / "gumbelrao_edu/__init__.py").write_text("import tiny\n")
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "requirements.txt").write_text("# what is needed\ntiny==1.0  # small\n")
    first = {
        "cell_type": "code",
        "source": ["if False:\n", "    print()\n", "    %pip install tiny"],
    }
    second = {"cell_type": "code", "source": ["import gumbelrao_edu"]}
    third = {"cell_type": "code", "source": "print(gumbelrao_edu.tiny.NAME, 'is well')"}
    cells = [first, second, {"cell_type": "markdown", "source": ["text"]}, third]
    (root / "notebooks/00_start_here.ipynb").write_text(json.dumps({"cells": cells}))
    (root / "notebooks/00_start_here.py").write_text("")
    (root / "notebooks/results/numbers.csv").write_text("1\n")
    wheel(index, "tiny", 'helper; sys_platform != "win32"', 'winhelper; sys_platform == "win32"')
    wheel(index, "helper")
    wheel(index, "winhelper")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.delenv("GUMBELRAO_DATA_DIR", raising=False)
    return root


def names(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as zipped:
        return {name.partition("/")[2] for name in zipped.namelist() if not name.endswith("/")}


@pytest.mark.skipif(os.name == "nt", reason="the folder made here is for Linux")
def test_a_folder_installs_and_runs_without_a_network(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = handout.make(project, tmp_path / "out", LINUX, PYTHON)
    assert archive.name == f"gumbelrao-course-linux-{PYTHON}.zip"
    assert names(archive) == {
        "README.txt",
        "notebooks/00_start_here.ipynb",
        "notebooks/results/numbers.csv",
        "requirements.txt",
        "start.py",
        "wheels/gumbelrao_edu-1.0-py3-none-any.whl",
        "wheels/helper-1.0-py3-none-any.whl",
        "wheels/tiny-1.0-py3-none-any.whl",
    }
    with zipfile.ZipFile(archive) as zipped:
        (name,) = (name for name in zipped.namelist() if name.endswith("README.txt"))
        assert len(zipped.read(name).decode().splitlines()) == 3
    handout.try_out(archive)
    said = capfd.readouterr().out
    assert "tiny is well" in said
    assert "It works" in said
    assert "Data: what is installed with the course" in said


def test_the_markers_are_those_of_the_other_system(project: Path, tmp_path: Path) -> None:
    archive = handout.make(project, tmp_path / "out", WINDOWS, "3.12")
    wheels = {name for name in names(archive) if name.startswith("wheels/")}
    assert "wheels/winhelper-1.0-py3-none-any.whl" in wheels
    assert "wheels/helper-1.0-py3-none-any.whl" not in wheels


def test_a_folder_with_a_broken_course_is_refused(project: Path, tmp_path: Path) -> None:
    """The control of the first test: what does not run is not handed out in silence."""
    (project / "gumbelrao_edu/__init__.py").write_text("import numpyy\n")
    archive = handout.make(project, tmp_path / "out", LINUX, PYTHON)
    with pytest.raises(HandoutError, match="The folder does not work"):
        handout.try_out(archive)


def test_the_start_script_names_the_python_that_it_needs(project: Path, tmp_path: Path) -> None:
    archive = handout.make(project, tmp_path / "out", LINUX, "3.99")
    start = archive.parent / archive.name.removesuffix(".zip") / "start.py"
    done = subprocess.run([sys.executable, start], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"This is Python {PYTHON}; the folder is for Python 3.99.")


def test_what_lacks_a_wheel_is_found(tmp_path: Path) -> None:
    wheel(tmp_path, "a", "b>=2", 'c; extra == "more"', 'd; sys_platform == "win32"')
    wheel(tmp_path, "b", version="1.0")
    missing = handout.missing
    assert missing(tmp_path, ["a==1.0"], LINUX, "3.12") == ["b>=2"]
    assert missing(tmp_path, ["A[more]"], LINUX, "3.12") == ["b>=2", 'c; extra == "more"']
    assert missing(tmp_path, ["b", "a"], WINDOWS, "3.12") == [
        "b>=2",
        'd; sys_platform == "win32"',
    ]
    wheel(tmp_path, "b", 'e; python_version < "3.12"', version="2.0")
    (tmp_path / "b-1.0-py3-none-any.whl").unlink()
    assert missing(tmp_path, ["a"], LINUX, "3.12") == []
    assert missing(tmp_path, ["a"], LINUX, "3.11") == ['e; python_version < "3.12"']


def test_on_linux_it_is_the_torch_without_cuda(project: Path, tmp_path: Path) -> None:
    (project / "requirements.txt").write_text("torch==2.13.0  # big\ntiny==1.0\n")
    assert handout.pins(project / "requirements.txt", LINUX) == ["torch==2.13.0+cpu", "tiny==1.0"]
    assert handout.pins(project / "requirements.txt", WINDOWS) == ["torch==2.13.0", "tiny==1.0"]
    with pytest.raises(HandoutError, match=r"torch without CUDA .* could not be reached"):
        handout.make(project, tmp_path / "out", LINUX, PYTHON)


def test_what_pip_cannot_fetch_is_said(project: Path, tmp_path: Path) -> None:
    (project / "requirements.txt").write_text("tiny==9\n")
    with pytest.raises(HandoutError, match="No matching distribution found for tiny==9"):
        handout.make(project, tmp_path / "out", LINUX, PYTHON)


def test_full_data_come_along(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gumbelrao_edu import _download
    from gumbelrao_edu.vae import data

    folder = tmp_path / "data"
    folder.mkdir()
    contents = {name: name.encode() for name in data.SHA256}
    known = {name: _download.hashlib.sha256(text).hexdigest() for name, text in contents.items()}
    monkeypatch.setattr(data, "SHA256", known)
    for name, text in contents.items():
        (folder / name).write_bytes(text)
    monkeypatch.setenv("GUMBELRAO_DATA_DIR", str(folder))
    archive = handout.make(project, tmp_path / "out", LINUX, PYTHON)
    assert {name for name in names(archive) if name.startswith("data/")} == {
        f"data/{name}" for name in contents
    }
    # One that is wrong leaves the whole set out.
    (folder / min(contents)).write_bytes(b"another")
    archive = handout.make(project, tmp_path / "again", LINUX, PYTHON)
    assert not any(name.startswith("data/") for name in names(archive))
