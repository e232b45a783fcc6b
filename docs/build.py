"""Build the site into build/site: the notebooks executed, their figures live without a kernel.

    python docs/build.py             what changed
    python docs/build.py --all       every notebook is executed again
    python docs/build.py --only 03   for a quick look: these notebooks alone

Needs node with npm (formulas and plotly.js) and chromium (still pictures). A notebook is executed
as `tools/notebooks.py` does it, and kept in build/site-notebooks until its code or modules change.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import html
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(DOCS / "extensions")]

import crossrefs  # noqa: E402
import nbformat  # noqa: E402
import paper_index  # noqa: E402
import reference  # noqa: E402
import start_page  # noqa: E402
from nbformat import NotebookNode  # noqa: E402

import notebooks as tools  # noqa: E402

BUILD = ROOT / "build"
KEPT = BUILD / "site-notebooks"  # executed notebooks
SOURCE = BUILD / "site-source"  # what Sphinx reads
SITE = BUILD / "site"
NODE = BUILD / "site-node"
FIGURES = ROOT / "gumbelrao_edu" / "figures"
LIMIT = 1_000_000  # bytes of a panel's states, and of a page's own data, compressed

DRAWING = threading.Lock()  # kaleido answers one thread at a time

LEFT_OUT = "mystnb.unknown_mime_type,misc.highlighting_failure,myst.xref_missing"

# An expression for the kernel: the records of these panels, and their figures as they are now.
RECORDS = """__import__("json").dumps({{
    id: [__import__("gumbelrao_edu.figures.record").figures.record.record(panel),
         panel.figure.to_json(), panel.caption, panel.draw is None]
    for id, panel in __import__("gumbelrao_edu.figures").figures.shown().items()
    if id in {ids!r}
}})"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="execute even what did not change")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of notebooks' names")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time")
    arguments = parser.parse_args()
    started = time.monotonic()
    modules = node_modules()
    shutil.rmtree(SOURCE, ignore_errors=True)
    (SOURCE / "_static" / "states").mkdir(parents=True)
    sources = tools.find(ROOT / "notebooks" / tools.SOLUTIONS, arguments.only)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda source: page(source, force=arguments.all), sources))
    start_page.write(SOURCE, sources, panel_html, write_states)
    notebooks = crossrefs.course()
    for file in DOCS.glob("*.md"):
        text = crossrefs.for_site(file.read_text("utf-8"), notebooks)
        (SOURCE / file.name).write_text(text, "utf-8")
    paper_index.write(SOURCE / "paper.md")
    reference.write(SOURCE / "reference")
    static(modules)
    shutil.copy(DOCS / "conf.py", SOURCE)
    sphinx(modules, whole=not arguments.only)
    size = sum(file.stat().st_size for file in SITE.rglob("*") if file.is_file())
    seconds = time.monotonic() - started
    print(f"{SITE}: {size / 1e6:.1f} MB in {seconds:.0f} s. Serve it, or open its index.html.")
    return 0


def node_modules() -> Path:
    """Install what package-lock.json names, if that is not there."""
    lock = (DOCS / "package-lock.json").read_text("utf-8")
    record = NODE / "installed"
    if not record.exists() or record.read_text("utf-8") != lock:
        if shutil.which("npm") is None:
            sys.exit("The site needs node with npm (nodejs.org, or apt install npm).")
        NODE.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(DOCS / name, NODE)
        quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(["npm", "ci", *quiet], cwd=NODE, check=True)
        record.write_text(lock, "utf-8")
    return NODE / "node_modules"


# --- Notebooks ------------------------------------------------------------------------------------


def page(source: Path, *, force: bool) -> None:
    """Write the page of a notebook, its solutions folded in."""
    name = source.stem
    notebook = tools.read_script(source)
    kept = KEPT / f"{name}.json"
    stored = json.loads(kept.read_text("utf-8")) if kept.exists() else None
    if force or stored is None or stored["of"] != fingerprint(notebook, stored["imports"]):
        print(f"{name}: executing …", flush=True)
        start = time.monotonic()
        stored = execute(notebook, source.parent.parent, name)
        stored["of"] = fingerprint(notebook, stored["imports"])
        KEPT.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(stored), "utf-8")
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    coded = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, outputs in zip(coded, stored["outputs"], strict=True):
        cell.outputs = [nbformat.from_dict(output) for output in outputs]
    total = 0
    for id, (record, picture, caption) in stored["panels"].items():
        total += write_states(f"{name}-{id}", record, picture)
        replace(notebook, id, panel_html(f"{name}-{id}", record, caption))
    if total > LIMIT:
        sys.exit(f"{name}: {total:,} bytes of figures, compressed; the limit is {LIMIT:,}")
    print(f"{name}: {total / 1000:.0f} kB of figures", flush=True)
    folder = SOURCE / "notebooks"
    folder.mkdir(exist_ok=True)
    nbformat.write(for_readers(notebook), folder / f"{name}.ipynb")


def fingerprint(notebook: NotebookNode, imports: list[str]) -> str:
    """Of all that the outputs of a notebook depend on; what records and draws its figures, too."""
    means = [(FIGURES / "record.py").read_text("utf-8"), inspect.getsource(tools.picture)]
    return tools.digest(tools.code(notebook), tools.digest_modules(imports), means)


def execute(notebook: NotebookNode, folder: Path, name: str) -> dict[str, Any]:
    """Execute the cells; figures become marks, and their records are returned beside."""
    panels: dict[str, list[Any]] = {}
    live: dict[str, str] = {}  # by the id of the widget: those that later cells change
    client = tools.Kernel(notebook, folder)
    with tempfile.TemporaryDirectory() as empty, client.setup_kernel(env=tools.environment(empty)):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                id = str(len(panels) + 1)
                if tools.PLOTLY in data:
                    raise ValueError(f"{name}: a figure without `show`, which gives it a caption")
                if tools.WIDGET not in data:
                    continue
                model = data[tools.WIDGET]["model_id"]
                answer = client.ask(RECORDS.format(ids=[model]))
                if model not in answer:
                    raise ValueError(f"{name}: a widget that is not a panel")
                *panels[id], changes = answer[model]
                if changes:
                    live[model] = id
                data.clear()
                data["text/html"] = f"<!-- panel {id} -->"
                output.metadata = {}
        for model, (record, figure, caption, _) in client.ask(
            RECORDS.format(ids=list(live))
        ).items():
            panels[live[model]] = [record, figure, caption]
        imports = client.ask(tools.MODULES)
    with DRAWING:
        for panel in panels.values():
            panel[1] = base64.b64encode(tools.picture(json.loads(panel[1]))).decode()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return {"outputs": outputs, "panels": panels, "imports": imports}


def replace(notebook: NotebookNode, id: str, markup: str) -> None:
    """Put a figure where its mark is."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("data", {}).get("text/html") == f"<!-- panel {id} -->":
                output.data["text/html"] = markup


def for_readers(notebook: NotebookNode) -> NotebookNode:
    """Fold the solutions, and leave out what only someone with a kernel needs."""
    crossrefs.link_terms(notebook, crossrefs.read_glossary(crossrefs.GLOSSARY.read_text("utf-8")))
    markdown = nbformat.v4.new_markdown_cell
    cells: list[NotebookNode] = []
    folded = False
    for cell in notebook.cells:
        tags = tools.tags(cell)
        if "install" in tags or "*This is the notebook with the solutions" in cell.source:
            continue
        solution = "solution" in tags
        if solution != folded:
            opening = '<details class="solution"><summary>Solution</summary>'
            cells.append(markdown(opening if solution else "</details>"))
            folded = solution
        if cell.cell_type == "markdown":
            cell.source = for_the_site(cell.source)
        cell.metadata = {"tags": [tools.HIDE]} if tools.HIDE in tags else {}  # MyST-NB folds it
        cells.append(cell)
    cells.insert(1, markdown(HERE))
    notebook.cells = cells
    notebook.metadata = {"kernelspec": tools.KERNELSPEC, "language_info": {"name": "python"}}
    notebook.metadata["mystnb"] = {"execution_mode": "off"}
    notebook.metadata["file_format"] = "mystnb"
    return notebook


HERE = (
    "*On this page the figures move, and the code does not run: for that, open the notebook by one "
    "of the links below.*"
)

# Code, formulas on lines of their own, and formulas in a line.
FORMULA = re.compile(r"```.*?```|`+[^`]*`+|\$\$.*?\$\$|(\$[^$]+?\$)", re.DOTALL)


def for_the_site(text: str) -> str:
    """Links that hold on the site, and formulas that MyST finds: a line might begin with a plus."""
    text = FORMULA.sub(lambda m: re.sub(r"\s+", " ", m[1]) if m[1] else m[0], text)
    text = re.sub(
        r"The\s+solutions(\s+of\s+the(\s+\w+)?\s+exercises)?\s+are\s+in\s+"
        r"\[a\s+notebook\s+of\s+their\s+own\]\([^)]*\)\.",
        "The solutions are folded in under the exercises.",
        text,
    )
    # What is for those with a kernel.
    text = re.sub(r"\*Coming\s+from\s+another\s+notebook\?[^*]*\*\n*", "", text)
    text = re.sub(
        r"Run\s+the\s+cell\s+above\s+\([^)]*\),\s+then\s+the\s+one\s+below,\s+and\s+c", "C", text
    )
    text = text.replace("](../", "](").replace("](solutions/", "](")
    if re.search(r"notebook\s+of\s+their\s+own", text):
        raise ValueError(f"the solutions are on the page itself, but it says: {text}")
    return text


# --- Figures --------------------------------------------------------------------------------------


def write_states(id: str, record: dict[str, Any], picture: str) -> int:
    """Write the states of a panel and its picture; return the bytes of the states, compressed."""
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    script = f"gumbelraoStates({json.dumps(id)},{text});\n"
    size = len(gzip.compress(script.encode()))
    if size > LIMIT:
        biggest = max(record["controls"], key=lambda control: len(control["labels"]))
        sys.exit(
            f"{id}: its {len(record['captions']):,} states take {size:,} bytes, compressed, the "
            f"limit is {LIMIT:,}. Give {biggest['name']!r}, its biggest control, fewer than "
            f"{len(biggest['labels'])} positions."
        )
    folder = SOURCE / "_static" / "states"
    (folder / f"{id}.js").write_text(script, "utf-8")
    (folder / f"{id}.webp").write_bytes(base64.b64decode(picture))
    return size


def panel_html(id: str, record: dict[str, Any], caption: str, up: str = "../") -> str:
    """The still picture of a panel, which the page's script makes live."""
    text = html.escape(caption)
    height = record["figure"]["layout"]["height"]
    room = height + 60 + 34 * len(record["controls"])
    maps = {"heatmap", "contour"}
    kind = " gumbelrao-map" if any(t["type"] in maps for t in record["figure"]["data"]) else ""
    needs = (
        '<noscript><p class="needs-script">Its controls need JavaScript.</p></noscript>'
        if record["controls"]
        else ""
    )
    image = (
        f'<img class="{kind.strip()}" src="{up}_static/states/{id}.webp" alt="{text}" width="700" '
        f'height="{height}">'
    )
    if record["figure"]["layout"].get("meta", {}).get("least"):  # a diagram: small type is no use
        image = f'<div class="sideways">{image}</div>'
    return (
        f'<figure class="gumbelrao-still" data-states="{id}" style="min-height: {room}px">'
        f"{image}<figcaption>{text}</figcaption>{needs}</figure>"
    )


def static(modules: Path) -> None:
    """Put scripts, styles and fonts beside the pages, so that no page asks another host."""
    folder = SOURCE / "_static"
    plotly = modules / "plotly.js-cartesian-dist-min" / "plotly-cartesian.min.js"
    shutil.copy(plotly, folder / "plotly.min.js")
    katex = modules / "katex" / "dist"
    (folder / "fonts").mkdir()
    for font in katex.glob("fonts/*.woff2"):
        shutil.copy(font, folder / "fonts")
    css = (katex / "katex.min.css").read_text("utf-8")
    # The other formats of the fonts are for browsers of the past.
    css = re.sub(r',url\([^)]*\.(woff|ttf)\) format\("[a-z]*"\)', "", css)
    (folder / "katex.min.css").write_text(css, "utf-8")
    shutil.copy(FIGURES / "figures.css", folder)
    shutil.copy(DOCS / "site.css", folder)
    for name in ("favicon.svg", "live.png"):
        shutil.copy(DOCS / name, folder)
    (folder / "live.js").write_text(live_script(), "utf-8")


def live_script() -> str:
    """The scripts that draw in JupyterLab and the site's own, as one that is no module."""
    parts = []
    for names in (["slider"], ["choice"], ["phone", "plot"]):
        source = "".join((FIGURES / f"{each}.js").read_text("utf-8") for each in names)
        name = names[-1]
        body, export, rest = source.partition("export default { render };")
        if not export or rest.strip():
            raise ValueError(f"{name}.js: expected `export default {{ render }};` at its end")
        parts.append(f"{name}: (() => {{\n{body}return {{ render }};\n}})()")
    front = "const front = {\n" + ",\n".join(parts) + "\n};\n"
    return "(() => {\n" + front + (DOCS / "site.js").read_text("utf-8") + "})();\n"


def sphinx(modules: Path, *, whole: bool) -> None:
    """Make the pages. A warning is an error, except of what leads to pages that were left out."""
    environment = {
        **os.environ,
        "GUMBELRAO_DOCS": str(DOCS),
        "GUMBELRAO_NODE_MODULES": str(modules),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-d", str(BUILD / "site-trees")]
    command += ["-W", "--keep-going"] if whole else ["-D", f"suppress_warnings={LEFT_OUT}"]
    command += [str(SOURCE), str(SITE)]
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        sys.exit("Sphinx found faults; the lines above name them.")
    (SITE / ".nojekyll").touch()


if __name__ == "__main__":
    sys.exit(main())
