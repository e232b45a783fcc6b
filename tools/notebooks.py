"""Build the notebooks from their sources: execute what changed, leave light and stable files.

    python tools/notebooks.py            the notebooks whose text or modules changed
    python tools/notebooks.py --all      execute every notebook
    python tools/notebooks.py --jobs 2   two notebooks at a time
    python tools/notebooks.py 03 07      these, if they changed

The source of every notebook is `notebooks/solutions/NN_topic.py`. Made from it are the learners'
version, `notebooks/NN_topic.py` and .ipynb, without the cells that are tagged `solution`, and, if
there are such cells, `solutions/NN_topic.ipynb`. In the source, the cells tagged `links`, `install`
and `map` are written by this tool.

A notebook is executed on the CPU, on one thread and with the embedded digits, so that everyone gets
the same numbers; where only text changed, its outputs are kept. Widgets are replaced by still
pictures, which GitHub shows and which keep 5 MB of plotly.js out of the file.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import base64
import copy
import functools
import hashlib
import html
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jupytext
import nbformat
from jupytext.config import load_jupytext_config
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from pins import binder_link, colab_link, repository

ROOT = Path(__file__).resolve().parent.parent
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
TIMEOUT = 600  # seconds a cell may take
SOLUTIONS = "solutions"  # the folder of the sources
HIDE = "hide-output"  # of a cell whose stored output would give away the answer to a question
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

# An expression for the kernel: the figures that are on show, by the id of their panel.
FIGURES = """__import__("json").dumps({
    id: panel.figure.to_json()
    for id, panel in __import__("gumbelrao_edu.figures").figures.shown().items()
})"""
MODULES = """__import__("json").dumps(
    sorted(name for name in __import__("sys").modules if name.split(".")[0] == "gumbelrao_edu")
)"""

# In the cell with the links. Binder gives a learner one or two gigabytes.
SHUT_DOWN = """\
*Coming from another notebook? Shut down its kernel first (in its tab, Kernel ▸ Shut Down Kernel):
each takes up to 0.6 GB of memory.*"""

INSTALL = """\
# One thread is fastest here. On Colab and Kaggle, this cell installs the course.
import importlib.util
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
if importlib.util.find_spec("gumbelrao_edu") is None:
    print("Installing the course, about a minute …")
    %pip install -q "gumbelrao_edu[course] @ git+https://github.com/{repository}"
"""


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
        "GUMBELRAO_STRICT": "1",  # what the text claims of a run has to hold
    }


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def cells(notebook: NotebookNode) -> list[list[Any]]:
    """What the two files of a notebook have in common: type, tags and source of each cell."""
    return [[cell.cell_type, tags(cell), cell.source] for cell in notebook.cells]


def code(notebook: NotebookNode) -> list[list[Any]]:
    """What its outputs depend on. The installation does nothing where notebooks are built."""
    return [
        [tags(cell), "" if "install" in tags(cell) else cell.source]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def outputs(notebook: NotebookNode) -> list[Any]:
    """The outputs of the cells of code, which an edit by hand would change."""
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def digest_results(names: list[str]) -> str:
    """The stored results that a notebook reads."""
    files = [ROOT / "notebooks/results" / name for name in names]
    return digest([file.read_text("utf-8") if file.exists() else None for file in files])


def results_of(notebook: NotebookNode) -> list[str]:
    """Which they are: what its code hands to `stored`."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return sorted({*re.findall(r'stored\("([^"]+)"\)', text)})


def digest_modules(names: list[str]) -> str:
    """The modules of the package that a notebook imported, and the package's data."""
    folders = [ROOT / name.replace(".", "/") for name in names]
    files = [f / "__init__.py" if f.is_dir() else f.with_suffix(".py") for f in folders]
    files += sorted((ROOT / "gumbelrao_edu").rglob("*.json"))
    # A module that was deleted since is a change too.
    return digest([file.read_text("utf-8") if file.exists() else None for file in files])


class Title(NamedTuple):
    """What the first cell of a notebook says of it, and the map repeats."""

    number: str
    name: str
    about: str
    minutes: str


def title(notebook: NotebookNode) -> Title:
    """Read the first cell.

    Raises:
        ValueError: if a part is missing.
    """
    text = notebook.cells[0].source
    head = re.match(r"# (\d+) · (.+)\n\n\*([^*\n]+)\*\n", text)
    time = re.search(r"\*\*Time:\*\*\s(\d+)\sminutes", text)
    if head is None or time is None:
        raise ValueError(
            "the first cell has to begin with '# 3 · Title', an empty line and "
            "'*what it is about*', and to say '**Time:** 60 minutes'"
        )
    return Title(head[1], head[2], head[3], time[1])


def links(name: str) -> str:
    """The cell with the launch links, which lead to the version for learners."""
    repo = repository(ROOT)
    binder, colab = binder_link(repo, name), colab_link(repo, name)
    cell = f"[Open in Binder]({binder}) ·\n[Open in Colab]({colab})"
    return cell if name.startswith("00") else f"{cell}\n\n{SHUT_DOWN}"


def course_map(own: Path) -> str:
    """The table of all notebooks, for the cell tagged `map` of one of them."""
    rows = [
        "## The map",
        "",
        "| No. | Notebook | What it is about | Minutes |",
        "|---|---|---|---|",
    ]
    for source in find(own.parent, []):
        notebook = title(read_script(source))
        name = f"[{notebook.name}](../{source.stem}.ipynb)"
        name = f"**{notebook.name}**" if source == own else name
        rows.append(f"| {notebook.number} | {name} | {notebook.about} | {notebook.minutes} |")
    return "\n".join(rows)


def complete(notebook: NotebookNode, source: Path) -> None:
    """Write what all notebooks have in common, and the map, in place.

    Raises:
        ValueError: if the notebook does not begin with its title, the links and the installation.
    """
    notebook.metadata.kernelspec = KERNELSPEC
    title(notebook)
    if [tags(cell) for cell in notebook.cells[1:3]] != [["links"], ["install"]]:
        raise ValueError("the second cell has to be tagged `links`, the third `install`")
    written = {
        "links": lambda: links(source.stem),
        "install": lambda: INSTALL.format(repository=repository(ROOT)).rstrip(),
        "map": lambda: course_map(source),
    }
    for cell in notebook.cells:
        for tag in tags(cell):
            if tag in written:
                cell.source = written[tag]()


def sync(source: Path) -> NotebookNode:
    """Return a source as it should be; edits of an .ipynb beside it are carried over to the .py.

    Raises:
        ValueError: both were edited since the last build, or it has not the form of a notebook.
    """
    stored = source.with_suffix(".ipynb")
    if stored.exists():
        beside = read_notebook(stored)
        known = beside.metadata.get("gumbelrao_edu", {}).get("cells")
        edited = digest(cells(beside)) != known
        if not source.exists() or (edited and digest(cells(read_script(source))) == known):
            print(f"{source.name}: takes over the cells of {stored.name}")
            write_script(beside, source)
        elif edited and cells(beside) != cells(read_script(source)):
            raise ValueError(
                f"{stored.name} and {source.name} were both edited since the last build. Keep one: "
                f"`jupytext --to py:percent {stored}` keeps the .ipynb, deleting it keeps the .py."
            )
    notebook = read_script(source)
    complete(notebook, source)
    write_script(notebook, source)  # as Jupytext writes it, whatever the hand that wrote it
    return read_script(source)


def is_left_out(cell: NotebookNode) -> bool:
    return "solution" in tags(cell)


def for_learners(source: NotebookNode) -> NotebookNode:
    """The version for learners, which lies one folder higher."""
    learners = copy.deepcopy(source)
    learners.cells = [cell for cell in learners.cells if not is_left_out(cell)]
    for cell in learners.cells:
        cell.source = cell.source.replace("](../", "](")
    return learners


def is_committed(path: Path) -> bool:
    """Whether git holds a file as it is."""
    command = ["git", "show", f"HEAD:./{path.name}"]
    shown = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
    return shown.returncode == 0 and shown.stdout == path.read_bytes()


def refuse_edits(script: Path, wanted: NotebookNode) -> None:
    """See that a learners' version is as it was built, or as it is to be; or that git holds it.

    Raises:
        ValueError: it was edited, in either of its files, and would be lost.
    """
    stored = script.with_suffix(".ipynb")
    if not stored.exists():
        return
    built = read_notebook(stored)
    expected = (built.metadata.get("gumbelrao_edu", {}).get("cells"), digest(cells(wanted)))
    versions = {stored: built, **({script: read_script(script)} if script.exists() else {})}
    for path, version in versions.items():
        if digest(cells(version)) in expected:
            continue
        if is_committed(path):
            print(f"{path.name}: not what its source gives; written anew, git holds the old one")
        else:
            raise ValueError(
                f"{path.name} was edited, but is made from {SOLUTIONS}/{script.name}. Carry the "
                f"edit over to that file, then delete {stored.name}."
            )


def read_notebook(stored: Path) -> NotebookNode:
    return nbformat.read(stored, as_version=4)  # type: ignore[no-untyped-call, no-any-return]


def read_script(script: Path) -> NotebookNode:
    config = load_jupytext_config(str(script))
    return jupytext.read(script, fmt="py:percent", config=config)  # type: ignore[no-any-return]


def write_script(notebook: NotebookNode, script: Path) -> None:
    config = load_jupytext_config(str(script))
    write_atomically(script, jupytext.writes(notebook, fmt="py:percent", config=config))


def is_current(built: NotebookNode, wanted: NotebookNode) -> bool:
    """Whether a stored notebook was executed with this code and these modules, and then left."""
    known = built.metadata.get("gumbelrao_edu", {})
    return bool(
        code(built) == code(wanted)
        and known.get("code") == digest(code(wanted))
        and known.get("modules") == digest_modules(known.get("imports", []))
        and known.get("results") == digest_results(results_of(wanted))
        and known.get("outputs") == digest(outputs(built))
    )


def take_outputs(notebook: NotebookNode, built: NotebookNode) -> None:
    """Give a notebook the outputs of one that has the same code, in place."""
    notebook.metadata.gumbelrao_edu = built.metadata.gumbelrao_edu
    pairs = zip(
        (cell for cell in notebook.cells if cell.cell_type == "code"),
        (cell for cell in built.cells if cell.cell_type == "code"),
        strict=True,
    )
    for cell, old in pairs:
        cell.outputs, cell.execution_count = old.outputs, old.execution_count


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Execute all cells; outputs get still pictures as they are right after their cell."""
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
        "code": digest(code(notebook)),
        "imports": imports,
        "modules": digest_modules(imports),
        "results": digest_results(results_of(notebook)),
    }


def still(output: NotebookNode, figures: dict[str, str]) -> None:
    """Put a picture in the place of a live figure, with its alternative text."""
    data = output.get("data", {})
    if WIDGET not in data:
        return
    figure = figures.get(data.pop(WIDGET)["model_id"])
    if "text/plain" not in data:
        raise ValueError("a widget without a text: show a figure with `show` or in a `Panel`")
    if figure is not None:
        webp = base64.b64encode(picture(json.loads(figure))).decode()
        alt = html.escape(data["text/plain"])
        image = f'<img src="data:image/webp;base64,{webp}" alt="{alt}" width="700">'
        data["text/html"] = data["text/html"].replace("<figcaption", f"{image}<figcaption", 1)
        output.metadata = {}


def picture(figure: dict[str, Any]) -> bytes:
    """Draw a figure, as WebP."""
    from PIL import Image  # only pictures need it

    size = {"width": 700, "height": figure["layout"]["height"]}
    png = renderer().calc_fig_sync(figure, opts={"format": "png", **size})
    # 48 colours do for a figure, in about a third of the bytes; WebP takes fewer than PNG.
    small, image = io.BytesIO(), Image.open(io.BytesIO(png)).convert("RGB")
    few = image.quantize(48, kmeans=1).convert("RGB")
    few.save(small, "WEBP", lossless=True, quality=100, method=6)
    return small.getvalue()


@functools.cache
def renderer() -> Any:
    """kaleido with one browser for all pictures.

    Raises:
        RuntimeError: there is no such browser; kaleido itself would wait for one for ever.
    """
    import kaleido  # type: ignore[import-untyped]  # only pictures need it

    require_browser()
    kaleido.start_sync_server(n=1)
    atexit.register(kaleido.stop_sync_server)
    return kaleido


def require_browser() -> None:
    from choreographer.browsers import chromium

    if chromium.Chromium.find_browser(skip_local=False) is None:
        raise RuntimeError(
            "Pictures are drawn by chromium or Google Chrome, and neither was found. On Debian and "
            "Ubuntu: sudo apt install chromium, then run the same command again."
        )


def tidy(notebook: NotebookNode) -> None:
    """Drop what changes from run to run, and give the cells ids that follow from their text."""
    notebook.metadata.gumbelrao_edu["cells"] = digest(cells(notebook))
    notebook.metadata.gumbelrao_edu["outputs"] = digest(outputs(notebook))
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.get("jupytext", {}).pop("text_representation", None)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if key in cell.metadata}
        if HIDE in tags(cell):  # JupyterLab shows the output when the cell is run
            cell.metadata["jupyter"] = {"outputs_hidden": True}
        name = digest(cell.cell_type, cell.source)[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"


def text_of(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def write_atomically(path: Path, text: str) -> None:
    if text_of(path) == text:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)


def build(stored: Path, wanted: NotebookNode, *, force: bool) -> None:
    """Bring one .ipynb up to date, and say what was done."""
    name = f"{stored.parent.name}/{stored.name}"
    built = read_notebook(stored) if stored.exists() else None
    start = time.monotonic()
    if built is not None and is_current(built, wanted) and not force:
        take_outputs(wanted, built)
        said = "nothing changed" if cells(built) == cells(wanted) else "new text, same outputs"
    else:
        if built is not None and "data:image/webp" in str(outputs(built)):
            require_browser()  # now, and not after the minutes that the cells take
        print(f"{name}: executing …", flush=True)
        execute(wanted, stored.parent)
        said = f"executed in {time.monotonic() - start:.0f} s"
    tidy(wanted)
    text = nbformat.writes(wanted) + "\n"  # type: ignore[no-untyped-call]
    write_atomically(stored, text)
    print(f"{name}: {said}, {len(text.encode()) // 1000} kB", flush=True)


def build_all_of(source: Path, *, force: bool) -> None:
    """Build everything that is made from one source."""
    notebook = sync(source)
    learners = for_learners(notebook)
    script = source.parent.parent / source.name
    refuse_edits(script, learners)
    beside = source.with_suffix(".ipynb")
    if any(map(is_left_out, notebook.cells)):
        build(beside, notebook, force=force)
    elif beside.exists():
        beside.unlink()
        print(f"{SOLUTIONS}/{beside.name}: removed, as nothing is left out of this notebook")
    build(script.with_suffix(".ipynb"), learners, force=force)
    write_script(learners, script)
    for text in (source, script):
        made = text.with_suffix(".ipynb")
        # Jupytext takes a script that is older for an outdated one, and opens neither of the pair.
        if made.exists() and made.stat().st_mtime > text.stat().st_mtime:
            os.utime(text)


def find(folder: Path, names: list[str]) -> list[Path]:
    """The scripts of the notebooks in a folder, whether or not both of a pair exist."""
    scripts = {path.with_suffix(".py") for path in folder.glob("[0-9][0-9]_*.*")}
    return sorted(s for s in scripts if not names or any(s.name.startswith(n) for n in names))


def build_here(source: Path, *, force: bool) -> bool:
    """Build one source in this process; say what went wrong, and return whether nothing did."""
    try:
        build_all_of(source, force=force)
    except Exception as error:
        expected = isinstance(error, (CellExecutionError, RuntimeError, TimeoutError, ValueError))
        said = str(error) if expected else traceback.format_exc()
        print(f"{source.stem}: left as it was.\n{said}", file=sys.stderr, flush=True)
        return False
    return True


def build_apart(source: Path, *, force: bool) -> bool:
    """The same in a process of its own."""
    folder = ["--folder", str(source.parent.parent)]
    command = [sys.executable, __file__, source.stem, *folder, *["--all"] * force]
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 03")
    parser.add_argument("--all", action="store_true", help="execute even what did not change")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time")
    parser.add_argument("--folder", type=Path, default=ROOT / "notebooks")
    arguments = parser.parse_args()
    folder = arguments.folder / SOLUTIONS
    sources = find(folder, arguments.names)
    if not sources:
        print(f"No notebook {' '.join(arguments.names)} in {folder}.", file=sys.stderr)
        return 1
    strays = {script.name for script in find(arguments.folder, [])}
    strays -= {source.name for source in find(folder, [])}
    for name in sorted(strays):
        print(f"{name} has no source: move it to {folder}.", file=sys.stderr)
    if arguments.jobs > 1 and len(sources) > 1:
        with ThreadPoolExecutor(arguments.jobs) as pool:
            built = list(pool.map(lambda s: build_apart(s, force=arguments.all), sources))
    else:
        built = [build_here(source, force=arguments.all) for source in sources]
    return int(bool(strays) or not all(built))


if __name__ == "__main__":
    sys.exit(main())
