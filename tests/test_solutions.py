"""What a notebook with exercises leaves to the learner, and that its checks answer rightly."""

import re

import nbformat
import pytest
from notebook_files import FOLDER, SOLVED, read

from notebooks import SOLUTIONS, for_learners, read_script, tags

each_source = pytest.mark.parametrize("source", SOLVED, ids=lambda source: source.stem)


def learners(source):
    return FOLDER / source.name


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in tags(cell)]


def verdicts(script):
    return [
        "".join(output.data["text/plain"] for output in cell.outputs)
        for cell in tagged(read(script), "check")
    ]


def test_there_are_notebooks_with_exercises():
    names = [source.name for source in SOLVED]
    assert {"01_gumbel_max.py", "02_conditional_gumbels.py", "03_gumbel_rao.py"} <= {*names}


@each_source
def test_only_solutions_and_links_were_changed(source):
    """Without the function that makes the version for learners."""
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
        if cell.cell_type == "code" and tag in tags(cell)
    )
    assert re.fullmatch("(es+cs*){2,5}", order)


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


def test_links_of_the_source_lead_one_folder_up():
    cell = nbformat.v4.new_markdown_cell("[a](../a.ipynb), [b](../solutions/b.ipynb), ../c, [d](d)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    made = for_learners(notebook)
    assert made.cells[0].source == "[a](a.ipynb), [b](solutions/b.ipynb), ../c, [d](d)"
    assert notebook.cells[0].source == cell.source
