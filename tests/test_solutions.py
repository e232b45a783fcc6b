"""A notebook with exercises has one source; its two versions agree, and their checks say so."""

import re
import shutil

import nbformat
import pytest
from conftest import ROOT

from notebooks import (
    SOLUTIONS,
    cells,
    derive,
    digest,
    find,
    read_script,
    without_solutions,
    write_script,
)

FOLDER = ROOT / "notebooks"
SOURCES = find(FOLDER / SOLUTIONS, [])
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def learners(source):
    return FOLDER / source.name


def read(script):
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def verdicts(script):
    return [
        "".join(output.data["text/plain"] for output in cell.outputs)
        for cell in tagged(read(script), "check")
    ]


def test_there_are_notebooks_with_exercises():
    names = [source.name for source in SOURCES]
    assert {"01_gumbel_max.py", "02_conditional_gumbels.py", "03_gumbel_rao.py"} <= {*names}


@each_source
def test_learners_version_is_the_source_without_solutions(source):
    wanted = cells(without_solutions(read_script(source)))
    assert cells(read_script(learners(source))) == wanted
    assert cells(read(learners(source))) == wanted


@each_source
def test_only_solutions_and_links_were_changed(source):
    """The same as above, without the function that makes the version for learners."""
    notebook = read_script(source)
    kept = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", [])]
    texts = [cell.source.replace("../", "") for cell in read_script(learners(source)).cells]
    assert [cell.source.replace("../", "") for cell in kept] == texts
    assert len(kept) < len(notebook.cells)
    assert tagged(read(learners(source)), "solution") == []


@each_source
def test_an_exercise_has_a_place_to_write_a_solution_and_a_check(source):
    order = "".join(
        tag[0]
        for cell in read_script(source).cells
        for tag in ("exercise", "solution", "check")
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])
    )
    assert re.fullmatch("(es+cs*){2,4}", order)


@each_source
def test_every_check_of_the_solutions_says_right(source):
    assert verdicts(source)
    assert [text for text in verdicts(source) if not text.startswith("Right: ")] == []


@each_source
def test_every_check_of_the_learners_version_says_not_yet(source):
    assert len(verdicts(learners(source))) == len(verdicts(source))
    assert [v for v in verdicts(learners(source)) if not v.startswith("Not yet: ")] == []


@each_source
def test_the_solutions_can_be_found(source):
    assert f"]({SOLUTIONS}/{source.stem}.ipynb)" in learners(source).read_text("utf-8")


# --- An edit in the wrong file --------------------------------------------------------------------


@pytest.fixture
def course(tmp_path):
    """A copy of one notebook in both versions, as they are after a build; the learners' script."""
    source = SOURCES[0]
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    (tmp_path / SOLUTIONS).mkdir()
    shutil.copy(source, tmp_path / SOLUTIONS)
    for suffix in (".py", ".ipynb"):
        shutil.copy(learners(source).with_suffix(suffix), tmp_path)
    script = tmp_path / source.name
    notebook = read(script)
    notebook.metadata.gumbelrao_edu = {"cells": digest(cells(notebook))}
    nbformat.write(notebook, script.with_suffix(".ipynb"))
    return script


def source_of(script):
    return script.parent / SOLUTIONS / script.name


def test_an_edit_of_the_source_arrives(course):
    source = source_of(course)
    source.write_text(source.read_text("utf-8") + "\n# %%\n1 + 1\n", "utf-8")
    assert derive(course, source).cells[-1].source == "1 + 1"


@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_an_edit_of_the_learners_version_is_refused_and_kept(course, suffix):
    notebook = read(course)
    notebook.cells[2].source = "A new title"
    if suffix == ".py":
        write_script(notebook, course)
    else:
        nbformat.write(notebook, course.with_suffix(".ipynb"))
    edited = course.with_suffix(suffix)
    before = edited.read_bytes()
    with pytest.raises(ValueError, match=f"{edited.name} was edited, but is made from solutions/"):
        derive(course, source_of(course))
    assert edited.read_bytes() == before


def test_links_of_the_source_lead_one_folder_up():
    cell = nbformat.v4.new_markdown_cell("[a](../a.ipynb), [b](../solutions/b.ipynb), ../c, [d](d)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    made = without_solutions(notebook)
    assert made.cells[0].source == "[a](a.ipynb), [b](solutions/b.ipynb), ../c, [d](d)"
    assert notebook.cells[0].source == cell.source
