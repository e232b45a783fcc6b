"""Build the notebooks: sync each pair, execute what changed, leave a light and stable file.

    python tools/notebooks.py            the notebooks whose text or modules changed
    python tools/notebooks.py --all      every notebook
    python tools/notebooks.py 03 07      these, if they changed

A notebook is executed on the CPU, on one thread and with the embedded digits, so that everyone gets
the same numbers. Its widgets are replaced by still pictures, which GitHub shows and which keep 5 MB
of plotly.js out of the file.

A notebook with exercises is written in `notebooks/solutions/`. The version for learners, one folder
up, is made from it: without the cells that are tagged `solution`.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import base64
import copy
import functools
import hashlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupytext.config import load_jupytext_config
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
TIMEOUT = 300  # seconds a cell may take
SOLUTIONS = "solutions"  # a folder
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}

# An expression for the kernel: the figures that are on show, by the id of their panel.
FIGURES = """__import__("json").dumps({
    id: panel.figure.to_json()
    for id, panel in __import__("gumbelrao_edu.figures.panel").figures.panel.SHOWN.items()
})"""
MODULES = """__import__("json").dumps(
    sorted(name for name in __import__("sys").modules if name.split(".")[0] == "gumbelrao_edu")
)"""


class Kernel(NotebookClient):
    """A notebook's kernel that also answers questions between the cells."""

    def __init__(self, notebook: NotebookNode, folder: Path, **options: Any) -> None:
        resources = {"metadata": {"path": str(folder)}}
        super().__init__(
            notebook,
            resources=resources,
            extra_arguments=["--log-level=CRITICAL"],
            coalesce_streams=True,
            record_timing=False,
            **{"timeout": TIMEOUT, **options},
        )

    def ask(self, expression: str) -> Any:
        """Return the value of an expression that makes a JSON string."""
        assert self.kc is not None, "the kernel is not running"
        message = self.kc.execute("", silent=True, user_expressions={"answer": expression})
        reply = self.wait_for_reply(message)
        assert reply is not None, "the kernel did not reply"
        answer = reply["content"]["user_expressions"]["answer"]
        if answer["status"] != "ok":
            raise RuntimeError(f"the kernel could not answer: {answer['ename']} {answer['evalue']}")
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))


def environment(data_dir: str) -> dict[str, str]:
    """What a kernel is started with wherever notebooks are executed without a reader."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "CUDA_VISIBLE_DEVICES": "",
        "GUMBELRAO_DATA_DIR": data_dir,  # an empty folder: the embedded digits are used
        "OMP_NUM_THREADS": "1",
    }


def cells(notebook: NotebookNode) -> list[list[Any]]:
    """What a pair has in common: type, tags and source of each cell."""
    return [[c.cell_type, c.metadata.get("tags", []), c.source] for c in notebook.cells]


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def digest_modules(names: list[str]) -> str:
    """The modules of the package that a notebook imported, and the package's data."""
    folders = [ROOT / name.replace(".", "/") for name in names]
    files = [f / "__init__.py" if f.is_dir() else f.with_suffix(".py") for f in folders]
    files += sorted((ROOT / "gumbelrao_edu").rglob("*.json"))
    # A module that was deleted since is a change too.
    return digest([file.read_text("utf-8") if file.exists() else None for file in files])


def sync(script: Path) -> NotebookNode:
    """Return the notebook as it should be, and carry edits of the .ipynb over to the .py.

    Raises:
        ValueError: both were edited since the last build.
    """
    stored = script.with_suffix(".ipynb")
    built = read_notebook(stored) if stored.exists() else None
    if built is not None:
        known = built.metadata.get("gumbelrao_edu", {}).get("cells")
        edited = digest(cells(built)) != known
        if not script.exists() or (edited and digest(cells(read_script(script))) == known):
            print(f"{script.name}: takes over the cells of {stored.name}")
            write_script(built, script)
        elif edited and cells(built) != cells(read_script(script)):
            raise ValueError(
                f"{stored.name} and {script.name} were both edited since the last build. Keep one: "
                f"`jupytext --to py:percent {stored}` keeps the .ipynb, deleting it keeps the .py."
            )
    notebook = read_script(script)
    if built is not None and cells(built) == cells(notebook):
        return built
    return notebook


def without_solutions(notebook: NotebookNode) -> NotebookNode:
    """The version for learners, which lies one folder higher."""
    learners = copy.deepcopy(notebook)
    learners.cells = [
        cell for cell in learners.cells if "solution" not in cell.metadata.get("tags", [])
    ]
    for cell in learners.cells:
        cell.source = cell.source.replace("](../", "](")
    return learners


def derive(script: Path, source: Path) -> NotebookNode:
    """Return a learners' notebook as it should be.

    Raises:
        ValueError: it was edited, in either of its files.
    """
    wanted = without_solutions(read_script(source))
    stored = script.with_suffix(".ipynb")
    if not stored.exists():
        return wanted
    built = read_notebook(stored)
    expected = (built.metadata.get("gumbelrao_edu", {}).get("cells"), digest(cells(wanted)))
    versions = {stored: built, **({script: read_script(script)} if script.exists() else {})}
    for path, version in versions.items():
        if digest(cells(version)) not in expected:
            raise ValueError(
                f"{path.name} was edited, but is made from {SOLUTIONS}/{source.name}. Carry the "
                f"edit over to that file, then delete {stored.name}."
            )
    return built if cells(built) == cells(wanted) else wanted


def read_notebook(stored: Path) -> NotebookNode:
    return nbformat.read(stored, as_version=4)  # type: ignore[no-untyped-call, no-any-return]


def read_script(script: Path) -> NotebookNode:
    config = load_jupytext_config(str(script))
    return jupytext.read(script, fmt="py:percent", config=config)  # type: ignore[no-any-return]


def write_script(notebook: NotebookNode, script: Path) -> None:
    config = load_jupytext_config(str(script))
    write_atomically(script, jupytext.writes(notebook, fmt="py:percent", config=config))


def is_current(notebook: NotebookNode) -> bool:
    """Whether a stored notebook was executed with these cells and these modules."""
    known = notebook.metadata.get("gumbelrao_edu", {})
    return bool(
        known.get("cells") == digest(cells(notebook))
        and known.get("modules") == digest_modules(known.get("imports", []))
    )


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Execute all cells; outputs get still pictures as they are right after their cell."""
    notebook.metadata.kernelspec = KERNELSPEC
    client = Kernel(notebook, folder)
    with tempfile.TemporaryDirectory() as empty, client.setup_kernel(env=environment(empty)):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
            outputs = cell.get("outputs", [])
            shown = any(WIDGET in output.get("data", {}) for output in outputs)
            figures = client.ask(FIGURES) if shown else {}
            for output in outputs:
                still(output, figures)
        imports = client.ask(MODULES)
    notebook.metadata.gumbelrao_edu = {
        "cells": digest(cells(notebook)),
        "imports": imports,
        "modules": digest_modules(imports),
    }


def still(output: NotebookNode, figures: dict[str, str]) -> None:
    """Replace a live figure by a PNG with its alternative text, in place."""
    data = output.get("data", {})
    figure = None
    if WIDGET in data:
        figure = figures.get(data.pop(WIDGET)["model_id"])
        if "text/plain" not in data:
            raise ValueError("a widget without a text: show a figure with `show` or in a `Panel`")
    elif PLOTLY in data:
        figure = json.dumps(data.pop(PLOTLY))
    if figure is not None:
        data["image/png"] = base64.b64encode(picture(json.loads(figure))).decode()
        output.metadata = {"image/png": {"alt": data["text/plain"]}}


def picture(figure: dict[str, Any]) -> bytes:
    from PIL import Image  # only pictures need it

    size = {"width": 700, "height": figure["layout"]["height"]}
    png = renderer().calc_fig_sync(figure, opts={"format": "png", **size})
    # 256 colours do for a figure, in a third of the bytes.
    small, image = io.BytesIO(), Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()


@functools.cache
def renderer() -> Any:
    """kaleido with one browser for all pictures."""
    import kaleido  # type: ignore[import-untyped]  # only pictures need it

    kaleido.start_sync_server(n=1)
    atexit.register(kaleido.stop_sync_server)
    return kaleido


def tidy(notebook: NotebookNode) -> None:
    """Drop what changes from run to run, and give the cells ids that follow from their text."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.get("jupytext", {}).pop("text_representation", None)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if key in cell.metadata}
        name = digest(cell.cell_type, cell.source)[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"


def text_of(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)


def build(script: Path, *, force: bool) -> None:
    """Bring one pair up to date, and say what was done."""
    source = script.parent / SOLUTIONS / script.name
    notebook = derive(script, source) if source.exists() else sync(script)
    stored = script.with_suffix(".ipynb")
    name = f"{stored.parent.name}/{stored.name}"
    if not force and is_current(notebook):
        print(f"{name}: nothing changed")
        return
    start, before = time.monotonic(), text_of(script)
    print(f"{name}: executing …", flush=True)
    execute(notebook, script.parent)
    tidy(notebook)
    text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    write_atomically(stored, text + "\n")
    if text_of(script) == before:
        write_script(notebook, script)  # as jupytext writes it, whatever the hand that wrote it
    else:
        print(f"{script.name} was edited meanwhile and is kept: build again.")
    size, seconds = stored.stat().st_size // 1000, time.monotonic() - start
    print(f"{name}: {size} kB in {seconds:.0f} s")


def find(folder: Path, names: list[str]) -> list[Path]:
    """The scripts of the notebooks in a folder, whether or not both of a pair exist."""
    scripts = {path.with_suffix(".py") for path in folder.glob("[0-9][0-9]_*.*")}
    return sorted(s for s in scripts if not names or any(s.name.startswith(n) for n in names))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 03")
    parser.add_argument("--all", action="store_true", help="execute even what did not change")
    parser.add_argument("--folder", type=Path, default=ROOT / "notebooks")
    arguments = parser.parse_args()
    solutions = find(arguments.folder / SOLUTIONS, arguments.names)
    learners = {arguments.folder / script.name for script in solutions}
    scripts = solutions + sorted(learners | {*find(arguments.folder, arguments.names)})
    if not scripts:
        print(f"No notebook {' '.join(arguments.names)} in {arguments.folder}.", file=sys.stderr)
        return 1
    failed = False
    for script in scripts:
        try:
            build(script, force=arguments.all)
        except (CellExecutionError, CellTimeoutError, RuntimeError, ValueError) as error:
            failed = True
            print(f"{script.parent.name}/{script.stem}: left as it was.\n{error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
