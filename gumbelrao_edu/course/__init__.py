"""The figures and the checks of the notebooks, one folder for each notebook.

A check takes the learner's function or number, tries it on several inputs, and answers with a
`Verdict`, which a notebook shows. It says what is wrong, not only that it is. It never raises: an
exercise that is not solved does not stop the notebook.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# In the environment where notebooks are built and tested: there what a text claims has to hold.
STRICT = "GUMBELRAO_STRICT"


def claim(sentence: str, holds: object) -> None:
    """Say where a run differs from what the text tells of it.

    Whoever changes a cell gets another run, and goes on with it. Nobody changed a cell where
    notebooks are built and tested.

    Args:
        sentence: what the text says.
        holds: whether it is so in this run.

    Raises:
        AssertionError: where it is not and the environment has `STRICT`.

    Example:
        >>> claim("2 is even", 2 % 2 == 0)
        >>> claim("3 is even", 3 % 2 == 0)
        Not as in the text: 3 is even.
    """
    if holds:
        return
    if os.environ.get(STRICT):
        raise AssertionError(f"not as in the text: {sentence}")
    print(f"Not as in the text: {sentence}.")


def write(name: str, numbers: Iterable[float], digits: int = 3) -> None:
    """Print a name and numbers in one line; those of several calls stand in columns.

    Args:
        name: what the numbers are.
        numbers: a tensor `[n]`, or any numbers.
        digits: after the point.

    Example:
        >>> write("probabilities p", [0.25, 0.75])
        probabilities p              0.250   0.750
    """
    print(f"{name:26}", " ".join(f"{number:{digits + 4}.{digits}f}" for number in numbers))


def stored(name: str) -> str:
    """Return where a stored result is: beside the notebook, or else its address.

    On Colab a notebook is opened without the files beside it.

    Args:
        name: of the file in `notebooks/results`.

    Example:
        >>> stored("table1/runs.csv").endswith("results/table1/runs.csv")
        True
    """
    for folder in ("results", "../results"):  # from the notebooks' folder, and from the solutions'
        if (path := Path(folder, name)).exists():
            return str(path)
    return f"https://github.com/gumbelrao-edu/gumbelrao_edu/raw/main/notebooks/results/{name}"
