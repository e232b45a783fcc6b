"""Each notebook lies there twice, as .ipynb and as .py, and both say the same."""

import re
import shutil

import nbformat
import pytest
from conftest import ROOT

from notebooks import build, cells, digest, find, read_script, sync, write_script

SCRIPTS = find(ROOT / "notebooks", []) + find(ROOT / "notebooks/solutions", [])
each_pair = pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: f"{s.parent.name}/{s.stem}")


def read(path):
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def test_there_are_notebooks():
    assert [script.stem for script in SCRIPTS][:1] == ["00_start_here"]


@each_pair
def test_pair_has_the_same_cells(script):
    assert cells(read(script)) == cells(read_script(script))


@each_pair
def test_script_is_written_as_jupytext_writes_it(script, tmp_path):
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    again = tmp_path / script.name
    write_script(read(script), again)
    assert again.read_text() == script.read_text()


@each_pair
def test_header_names_no_version_of_jupytext(script):
    assert "jupytext_version:" not in script.read_text()
    assert "text_representation" not in read(script).metadata.jupytext


@each_pair
def test_relative_links_lead_somewhere(script):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", script.read_text())
    assert [link for link in links if not (script.parent / link).exists()] == []


@each_pair
def test_first_code_cell_installs_the_course_where_it_is_missing(script):
    def install(path):
        return next(cell.source for cell in read(path).cells if cell.cell_type == "code")

    assert 'find_spec("gumbelrao_edu") is None' in install(script)
    assert re.search(r"^ +%pip install", install(script), re.MULTILINE)
    assert install(script) == install(SCRIPTS[0])


@each_pair
def test_code_cells_are_short(script):
    sources = [cell.source for cell in read(script).cells if cell.cell_type == "code"]
    assert [s for s in sources if len([line for line in s.splitlines() if line.strip()]) > 15] == []


@pytest.fixture
def pair(tmp_path):
    """A copy of a pair, as it is after a build."""
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    for suffix in (".py", ".ipynb"):
        shutil.copy(SCRIPTS[0].with_suffix(suffix), tmp_path)
    script = tmp_path / SCRIPTS[0].name
    notebook = read(script)
    notebook.metadata.gumbelrao_edu = {"cells": digest(cells(notebook))}
    nbformat.write(notebook, script.with_suffix(".ipynb"))
    return script


def edit_notebook(script, change):
    notebook = read(script)
    change(notebook)
    nbformat.write(notebook, script.with_suffix(".ipynb"))


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb.cells[0].update(source=nb.cells[0].source + "!"),
        lambda nb: nb.cells.reverse(),
        lambda nb: nb.cells.pop(),
        lambda nb: nb.cells[1].metadata.update(tags=["other"]),
        lambda nb: nb.cells.__setitem__(0, nbformat.v4.new_code_cell(nb.cells[0].source)),
    ],
    ids=["source", "order", "number", "tags", "type"],
)
def test_a_difference_between_the_two_is_seen(pair, change):
    edit_notebook(pair, change)
    assert cells(read(pair)) != cells(read_script(pair))


def test_an_edited_notebook_changes_the_script(pair):
    edit_notebook(pair, lambda nb: nb.cells[2].update(source="A new title"))
    notebook = sync(pair)
    assert notebook.cells[2].source == "A new title"
    assert cells(read_script(pair)) == cells(notebook)


def test_an_edited_script_changes_the_notebook(pair):
    pair.write_text(pair.read_text() + "\n# %%\n1 + 1\n")
    assert sync(pair).cells[-1].source == "1 + 1"


def test_edits_of_both_are_refused_and_kept(pair):
    edit_notebook(pair, lambda nb: nb.cells[2].update(source="A new title"))
    pair.write_text(pair.read_text() + "\n# %%\n1 + 1\n")
    before = pair.read_bytes(), pair.with_suffix(".ipynb").read_bytes()
    with pytest.raises(ValueError, match="both edited"):
        sync(pair)
    assert (pair.read_bytes(), pair.with_suffix(".ipynb").read_bytes()) == before


def test_an_edit_during_the_build_is_kept(pair, monkeypatch, capsys):
    edited = pair.read_text() + "\n# %%\n1 + 1\n"
    monkeypatch.setattr("notebooks.execute", lambda notebook, folder: pair.write_text(edited))
    build(pair, force=True)
    assert pair.read_text() == edited
    assert "edited meanwhile" in capsys.readouterr().out


def test_a_missing_script_is_written_from_the_notebook(pair):
    text = pair.read_text()
    pair.unlink()
    sync(pair)
    assert pair.read_text() == text
