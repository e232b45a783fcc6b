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

HUB = "https://github.com"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project's files, as a repository of its own."""
    for path in pins.texts(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
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


def test_one_command_changes_the_address_everywhere_and_again(copy: Path) -> None:
    """Owner and name both change, twice; nothing keeps an older one, nothing else is touched."""
    files = pins.texts(copy)
    address = pins.repository(copy)
    for new in map("/".join, [("Some-One", "else.where"), ("a-third", "gumbel")]):
        holders = {path for path, text in pins.texts(copy).items() if f"/{address}" in text}
        assert len(holders) > 20
        done = run_tool(copy, "--address", f"{HUB}/{new}")
        assert done.returncode == 0, done.stderr
        assert pins.repository(copy) == new
        after = pins.texts(copy)
        assert [path for path, text in after.items() if address in text] == []
        assert {path for path, text in after.items() if f"/{new}" in text} == holders
        assert run_tool(copy, "--check").returncode == 0
        address = new
    readme = (copy / "README.md").read_text(encoding="utf-8")
    assert f"git clone {HUB}/{address} && cd gumbel\n" in readme
    # And back: every byte is as it was.
    assert run_tool(copy, "--address", f"{HUB}/{pins.repository(ROOT)}").returncode == 0
    assert pins.texts(copy) == files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see {hub}/o/n.", "see {hub}/new/name."),
        ("git+{hub}/o/n.git@main", "git+{hub}/new/name.git@main"),
        ("{hub}/o/n-more, o/n", "{hub}/o/n-more, o/n"),
        ("{raw}/o/n/main", "{raw}/new/name/main"),
        ("https://mybinder.org/v2/gh{empty}/o/n", "https://mybinder.org/v2/gh{empty}/new/name"),
        ("https://o{pages}/n/index.html", "https://new{pages}/name/index.html"),
        ("https://o{pages}/other", "https://o{pages}/other"),
        ("git clone {hub}/o/n.git\ncd n", "git clone {hub}/new/name.git\ncd name"),
        ("A/gh/o/n/github/o/n", "A/gh/o/n/github/o/n"),
    ],
)
def test_what_is_an_address(text: str, expected: str) -> None:
    # In pieces: a whole link in this file would be one that the tool looks at.
    hosts = {"hub": HUB, "raw": "https://raw.githubusercontent.com", "pages": ".github.io"}
    given, wanted = (part.format(empty="", **hosts) for part in (text, expected))
    assert pins.moved(given, "o/n", "new/name") == wanted


def test_an_address_in_another_form_is_named(copy: Path) -> None:
    (copy / "notes.md").write_text(f"the repository {pins.repository(copy)}\n", encoding="utf-8")
    done = run_tool(copy, "--address", f"{HUB}/new/name")
    assert done.returncode == 1
    old = pins.repository(ROOT)
    assert done.stderr == f"notes.md still names {old}: change it by hand\n"


@pytest.mark.parametrize("address", ["new/name", "https://example.org/a/b", f"{HUB}/a"])
def test_what_is_no_address_changes_nothing(copy: Path, address: str) -> None:
    before = pins.texts(copy)
    done = run_tool(copy, "--address", address)
    assert done.returncode == 1
    assert "expected https://github.com/OWNER/NAME, got " in done.stderr
    assert pins.texts(copy) == before


@pytest.mark.parametrize(
    "host", ["github.com", "mybinder.org/v2/gh", "colab.research.google.com/github"]
)
def test_a_link_that_was_left_behind_is_noticed(copy: Path, host: str) -> None:
    (copy / "notes.md").write_text(f"https://{host}/old-owner/old-name\n", encoding="utf-8")
    (problem,) = pins.problems(copy)
    assert problem.startswith("notes.md links to old-owner/old-name, which is not the project's")


def test_a_missing_link_in_the_readme_is_noticed(copy: Path) -> None:
    replace(copy / "README.md", "mybinder.org/v2", "example.org")
    (problem,) = pins.problems(copy)
    assert problem.startswith("README.md lacks the link https://mybinder.org/v2/gh/")


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
