"""The map of the folders in CONTRIBUTING is that of the project, and links lead somewhere."""

import re

import pins
import pytest
from conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PAGES = sorted(
    page for place in ("", "docs", "benchmarks", "binder") for page in (ROOT / place).glob("*.md")
)
FILE = re.compile(r"`((?:benchmarks|binder|docs|gumbelrao_edu|notebooks|tests|tools)/[\w/.-]+)`")
MADE = {ROOT / "docs" / name for name in ("index.md", "reference/index.md")}  # by the site's build


def mapped():
    """The folders of the map, by their paths."""
    lines = TEXT.split("## The folders")[1].split("\n## ")[0].splitlines()
    found, parent = set(), ""
    for line in lines:
        names = re.match(r"( {4,6})((?:[\w.]+/ {0,2})+)", line)
        if names:
            inside = parent if len(names[1]) == 6 else ""
            for name in names[2].split():
                found.add(inside + name.rstrip("/"))
            parent = parent if inside else names[2].split()[0]
    return found


def test_the_map_names_every_folder_and_no_other():
    files = [path.relative_to(ROOT).parts[:-1] for path in pins.files(ROOT)]
    folders = {parts[0] for parts in files if parts}
    inner = {"gumbelrao_edu", "notebooks", "tools"}
    folders |= {"/".join(parts[:2]) for parts in files if len(parts) > 1 and parts[0] in inner}
    assert mapped() == folders, (
        "the map in CONTRIBUTING.md, 'The folders', is not that of the folders: change it, or "
        "remove what is not of the project"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_names_of_files_lead_somewhere(page):
    text = page.read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    there = [page.parent / link for link in links]
    assert [file for file in there if file not in MADE and not file.exists()] == []
    placeholder = re.compile("NAME|NN_topic|/topic/")
    names = [name for name in FILE.findall(text) if not placeholder.search(name)]
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_files_to_touch_are_named():
    assert len(FILE.findall(TEXT)) > 8


def test_no_module_of_tests_takes_from_another():
    """What several share stands in a module that holds no tests."""
    modules = sorted((ROOT / "tests").rglob("test_*.py"))
    assert modules
    taken = re.compile(r"^(?:from|import) (test_\w+)", re.MULTILINE)
    assert [m.name for m in modules if taken.search(m.read_text("utf-8"))] == []
