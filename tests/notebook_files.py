"""Which files the notebooks of the course are, for the tests that look at them."""

import nbformat
from conftest import ROOT

from notebooks import SOLUTIONS, find, is_left_out, read_script

FOLDER = ROOT / "notebooks"
# The scripts: sources, the versions for learners, and the sources that have solutions to leave out.
SOURCES = find(FOLDER / SOLUTIONS, [])
LEARNERS = [FOLDER / source.name for source in SOURCES]
SOLVED = [source for source in SOURCES if any(map(is_left_out, read_script(source).cells))]
# Those that have an .ipynb beside them.
PAIRS = LEARNERS + SOLVED


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def read(script):
    """The .ipynb beside a script."""
    return nbformat.read(script.with_suffix(".ipynb"), as_version=4)
