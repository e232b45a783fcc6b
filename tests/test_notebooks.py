"""The stored notebooks are light and complete, and running them gives what they store (nbval)."""

import html
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import ipywidgets
import nbformat
import pytest
from conftest import ROOT
from notebook_files import LEARNERS, PAIRS, name_of

from notebooks import HIDE, PLOTLY, WIDGET, environment, tags

CELL_SECONDS = 240
# Colab's widgets print other texts and numbers: there the notebooks are run, but not compared, and
# those with solutions have the same widgets.
COLAB = int(ipywidgets.__version__.split(".")[0]) < 8
NOTEBOOKS = [script.with_suffix(".ipynb") for script in (LEARNERS if COLAB else PAIRS)]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)


def nbval(path, tmp_path, *, seconds=CELL_SECONDS):
    """Run a notebook's cells and its sliders; return the failures, and everything printed."""
    report = tmp_path / "report.xml"
    variables = environment(str(tmp_path / "no data here"))
    variables["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "nbval_rules"]
    command += ["--nbval-lax" if COLAB else "--nbval", "--nbval-current-env"]
    command += [f"--nbval-cell-timeout={seconds}", f"--junitxml={report}", "--color=no"]
    command += ["-p", "no:cacheprovider", str(path)]
    run = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert report.exists(), run.stdout + run.stderr
    cases = ET.parse(report).findall(".//testcase")
    # A cell after a time-out is an expected failure for nbval, and reported as skipped.
    failed = {
        case.get("name")
        for case in cases
        if any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
    }
    code_cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert len(cases) == len(code_cells) + 1, run.stdout + run.stderr  # one more for the sliders
    assert (run.returncode == 0) == (not failed), run.stdout + run.stderr
    return failed, re.sub(r"\x1b\[[\d;]*m", "", run.stdout)


@pytest.mark.notebooks
@pytest.mark.timeout(900)
@each_notebook
def test_notebook_gives_what_it_stores(path, tmp_path):
    """What a learner's version and its solutions have in common is so run twice; 00 has none."""
    failed, printed = nbval(path, tmp_path)
    number = path.stem[:2]
    advice = f'if the new result is right: make notebooks ARGS="--all {number}"'
    assert not failed, f"{printed}\n{advice}"


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


@each_notebook
def test_every_code_cell_was_run_in_order(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@each_notebook
def test_stored_notebook_is_light(path):
    notebook = nbformat.read(path, as_version=4)
    assert path.stat().st_size < 300_000
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        hidden = {"jupyter": {"outputs_hidden": True}} if HIDE in tags(cell) else {}
        assert {key: cell.metadata[key] for key in cell.metadata if key != "tags"} == hidden


@each_notebook
def test_stored_outputs_are_still_and_free_of_errors(path):
    assert [o for o in outputs(path) if o.output_type == "error"] == []
    kinds = {kind for output in outputs(path) for kind in output.get("data", {})}
    assert not kinds & {WIDGET, PLOTLY}


@each_notebook
def test_pictures_have_an_alternative_text(path):
    pictures = [o.data for o in outputs(path) if "<img" in o.get("data", {}).get("text/html", "")]
    assert pictures
    assert not any("image/png" in o.get("data", {}) for o in outputs(path))
    for data in pictures:
        alt = re.search(
            r'<img src="data:image/webp;base64,[^"]+" alt="([^"]{20,})"', data["text/html"]
        )
        assert alt, data["text/plain"]
        assert html.unescape(alt[1]) == data["text/plain"]
        assert f"{html.escape(data['text/plain'])}</figcaption>" in data["text/html"]


# A check that cannot fail is none: each of these breaks a copy, and has to be noticed.


@pytest.fixture
def copy(tmp_path):
    """Write a changed copy of the first notebook, and return its path."""

    def write(change):
        notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
        change([cell for cell in notebook.cells if cell.cell_type == "code"])
        path = tmp_path / "copy.ipynb"
        nbformat.write(notebook, path)
        return path

    return write


SLIDER = 3  # the cell of notebook 00 with the slider that is written there


@pytest.mark.notebooks
def test_a_changed_number_and_an_error_in_a_callback_fail(copy, tmp_path):
    """The error comes at one position of the slider only, and not at the first."""

    def change(cells):
        text, before = cells[SLIDER].outputs[0].data["text/plain"], "    trace(figure,"
        assert "0.51" in text
        assert before in cells[SLIDER].source
        cells[SLIDER].outputs[0].data["text/plain"] = text.replace("0.51", "0.52")
        source = cells[SLIDER].source
        cells[SLIDER].source = source.replace(before, "    assert tau != 2\n" + before)

    failed, printed = nbval(copy(change), tmp_path)
    assert failed == ({"sliders"} if COLAB else {f"Cell {SLIDER}", "sliders"}), printed
    assert COLAB or "0.52" in printed
    assert "assert tau != 2" in printed


@pytest.mark.notebooks
def test_a_slider_without_effect_fails(copy, tmp_path):
    def change(cells):
        source = cells[SLIDER].source
        cells[SLIDER].source = source.replace("[1.0, 0.5, 0.0]), tau", "[1.0, 0.5, 0.0]), 1.0")

    failed, printed = nbval(copy(change), tmp_path)
    assert failed == {"sliders"}, printed
    assert "does not change the figure" in printed


@pytest.mark.notebooks
def test_a_cell_over_its_time_fails(copy, tmp_path):
    def change(cells):
        cells[0].source = "import time; time.sleep(600)"
        for cell in cells[1:]:
            cell.source, cell.outputs = "", []

    failed, printed = nbval(copy(change), tmp_path, seconds=2)
    assert "Cell 0" in failed, printed
    assert "Timeout of 2 seconds" in printed
