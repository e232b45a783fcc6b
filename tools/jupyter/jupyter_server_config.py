"""How JupyterLab serves the course, on Binder too: JUPYTER_CONFIG_PATH names this folder."""

import os
from typing import Any

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821  (Jupyter's)

# Kernels inherit it: on one core or beside other kernels, more threads wait for each other. The
# first cell of each notebook says the same where another program starts the kernel.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a learner does not need is not listed; links and paths still open it. Each notebook is there
# once, and its solutions are one click away from its text.
c.ContentsManager.hide_globs = [
    *("__pycache__", "*.pyc", "*.pyo", ".DS_Store", "*~", "*.egg-info", "build"),
    *("[0-9][0-9]_*.py", "solutions", "jupytext.toml"),
    *("benchmarks", "binder", "docs", "gumbelrao_edu", "tests", "tools"),
    *("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile"),
    *("pyproject.toml", "requirements.txt"),
]


def keep_metadata(model: dict[str, Any], **_: Any) -> None:
    """JupyterLab notes things in what it only opens; git would see a changed notebook.

    They are the version of Python, and `collapsed`, the old name of `jupyter.outputs_hidden`.
    """
    notebook = model["content"] if model["type"] == "notebook" else {"metadata": {}}
    if "gumbelrao_edu" in notebook["metadata"]:
        notebook["metadata"]["language_info"] = {"name": "python"}
        for cell in notebook["cells"]:
            cell["metadata"].pop("collapsed", None)


c.ContentsManager.pre_save_hook = keep_metadata
