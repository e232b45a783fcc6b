"""Seconds and peak memory of each notebook, of JupyterLab, and of the import, on one core.

    python benchmarks/notebooks.py              # all, one after the other, ten minutes
    python benchmarks/notebooks.py 03 04        # these; the others stay as they were measured
    python benchmarks/notebooks.py --sliders    # their sliders, too: JupyterLab in chromium

Everything that is started runs on the core that this process is put on (Linux), kernels on one
thread. Written are results/notebooks.json and, as tables, results/notebooks.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
sys.path[:0] = [str(ROOT / "tools")]

import lab as labs  # noqa: E402

import notebooks as tools  # noqa: E402
from gumbelrao_edu.training.files import write  # noqa: E402

# What a learner on Binder has: seconds and megabytes of a notebook, megabytes of JupyterLab with a
# kernel and a figure, seconds of the import beyond torch, milliseconds of a move of a slider.
BUDGETS = {"seconds": 60, "peak_mb": 600, "lab_mb": 1000, "import_s": 0.5, "slider_ms": 100}
MOVES = 20
REST = 250  # ms between an answer and the next move: status lines and toolbars change after it

# Expressions for the kernel. On Linux the largest memory counts from the start of Python; elsewhere
# ru_maxrss is all there is, in bytes on macOS.
PEAK = """str(
    [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if "VmHWM" in line][0]
    if __import__("os").path.exists("/proc/self/status")
    else __import__("resource").getrusage(__import__("resource").RUSAGE_SELF).ru_maxrss
)"""
IMPORT = """
import time, torch
start = time.perf_counter()
import gumbelrao_edu
print(time.perf_counter() - start)
"""
FIGURE = """
import plotly.graph_objects as go
from gumbelrao_edu.figures import layout, show
show(go.Figure(go.Scatter(y=[1, 2]), layout("x", "y")), "Two points.")
"""


def measure_notebook(source: Path) -> dict[str, float]:
    """Execute a notebook in a kernel of its own; seconds from its start, peak memory in MB."""
    notebook = tools.read_script(source)
    client = tools.Kernel(notebook, source.parent.parent)  # where learners run it
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty:
        variables = tools.environment(empty)
        with client.setup_kernel(env=variables):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
            seconds = time.perf_counter() - start
            peak = client.ask(PEAK)
    return {"seconds": round(seconds, 1), "peak_mb": round(peak / 1e6)}


def measure_import() -> float:
    """Seconds of `import gumbelrao_edu` when torch is there: the median of five processes."""
    command = [sys.executable, "-c", IMPORT]
    variables = tools.environment("")
    runs = [
        subprocess.run(command, env=variables, capture_output=True, check=True) for _ in "12345"
    ]
    return round(statistics.median(float(run.stdout) for run in runs), 2)


def measure_lab() -> int:
    """MB that JupyterLab's server takes with one kernel that has shown a figure."""
    import psutil  # comes with ipykernel
    from jupyter_client import BlockingKernelClient

    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder) / "course"
        course.mkdir()
        with labs.serving(Path(folder), course) as lab:
            request = urllib.request.Request(
                f"{lab.address}/api/kernels?token={labs.TOKEN}", b"{}", method="POST"
            )
            id = json.load(urllib.request.urlopen(request))["id"]
            client = BlockingKernelClient()
            client.load_connection_file(str(lab.runtime / f"kernel-{id}.json"))
            client.start_channels()
            client.wait_for_ready(timeout=120)
            reply = client.execute_interactive(FIGURE, timeout=300, output_hook=lambda _: None)
            if reply["content"]["status"] != "ok":
                raise RuntimeError(reply["content"]["evalue"])
            client.stop_channels()
            server = psutil.Process(lab.pid)
            processes = [server, *server.children(recursive=True)]
            taken = sum(process.memory_info().rss for process in processes)
    return round(taken / 1e6)


def measure_sliders(source: Path) -> dict[str, float]:
    """ms from a key to the drawn figure, in chromium: the median for each slider."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, labs.chromium() as browser:
        course = Path(folder) / "course"
        course.mkdir()
        name = f"{source.stem}.ipynb"
        notebook = tools.read_script(source)
        notebook.metadata.kernelspec = tools.KERNELSPEC
        (course / name).write_text(tools.nbformat.writes(notebook), "utf-8")  # type: ignore[no-untyped-call]
        (course / "results").symlink_to(ROOT / "notebooks" / "results")
        with labs.serving(Path(folder), course) as lab:
            page = browser.new_page(viewport={"width": 1200, "height": 1400})
            page.set_default_timeout(600_000)
            page.goto(lab.page(name))
            labs.idle(page)
            if page.evaluate(labs.RUN_ALL) is not True:
                raise RuntimeError(f"{name}: not all cells ran")
            sliders = page.locator(".gumbelrao-slider")
            for index in range(sliders.count()):
                slider = sliders.nth(index)
                slider.scroll_into_view_if_needed()
                panel = slider.locator("xpath=ancestor::*[contains(@class, 'gumbelrao-panel')][1]")
                handle = slider.locator("input")
                position, last = handle.evaluate("each => [each.valueAsNumber, Number(each.max)]")
                keys = (
                    ["ArrowRight", "ArrowLeft"] if position < last else ["ArrowLeft", "ArrowRight"]
                )
                page.wait_for_timeout(1500)  # until pictures are made
                panel.evaluate(labs.PROBE)
                handle.focus()
                for move in range(MOVES):
                    page.wait_for_timeout(REST)
                    page.keyboard.press(keys[move % 2])
                    page.evaluate(f"probe.answers({move + 1})")
                drawn = page.evaluate("probe.drawn")
                written = slider.locator("span").text_content()
                found[f"{index + 1}: {written}"] = round(statistics.median(drawn))
            page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    return found


def tables(record: dict[str, Any]) -> str:
    """The record as Markdown; what is over its budget is bold."""

    def cell(name: str, value: float | None) -> str:
        if value is None:
            return "–"
        return f"**{value:g}**" if value > BUDGETS[name] else f"{value:g}"

    lines = [
        f"One core of {record['machine']}, {record['versions']}; written by "
        "`python benchmarks/notebooks.py`. Bold is over its budget.",
        "",
        f"| notebook | seconds (at most {BUDGETS['seconds']}) | peak MB (at most "
        f"{BUDGETS['peak_mb']}) | slowest slider, ms (at most {BUDGETS['slider_ms']}) | measured |",
        "|---|---|---|---|---|",
    ]
    for name, row in sorted(record["notebooks"].items()):
        slowest = max(row.get("sliders", {}).values(), default=None)
        numbers = [cell("seconds", row["seconds"]), cell("peak_mb", row["peak_mb"])]
        numbers.append(cell("slider_ms", slowest))
        lines.append(f"| {name} | {' | '.join(numbers)} | {row['date']} |")
    lines += [
        "",
        f"JupyterLab with one kernel and a figure: {cell('lab_mb', record['lab_mb'])} MB.",
    ]
    lines += [f"Import beyond torch: {cell('import_s', record['import_s'])} s.", ""]
    return "\n".join(lines)


def over_budget(record: dict[str, Any]) -> list[str]:
    """What takes more than its budget, but for seconds, which the machine decides."""
    found = [
        f"{name}: {row['peak_mb']} MB"
        for name, row in record["notebooks"].items()
        if row["peak_mb"] > BUDGETS["peak_mb"]
    ]
    if record["lab_mb"] > BUDGETS["lab_mb"]:
        found.append(f"JupyterLab: {record['lab_mb']} MB")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of notebooks' names, such as 03")
    parser.add_argument("--sliders", action="store_true", help="measure the sliders in chromium")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # what is started inherits it
    stored = arguments.out / "notebooks.json"
    record = json.loads(stored.read_text("utf-8")) if stored.exists() else {"notebooks": {}}
    import torch

    record["machine"] = f"{platform.system()} {platform.machine()}"
    record["versions"] = f"Python {platform.python_version()}, torch {torch.__version__}"
    record["import_s"] = measure_import()
    record["lab_mb"] = measure_lab()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for source in tools.find(ROOT / "notebooks" / tools.SOLUTIONS, arguments.names):
        row: dict[str, Any] = {
            **record["notebooks"].get(source.stem, {}),
            **measure_notebook(source),
        }
        if arguments.sliders:
            row["sliders"] = measure_sliders(source)
        row["date"] = datetime.date.today().isoformat()
        record["notebooks"][source.stem] = row
        print(f"{source.stem}: {row['seconds']} s, {row['peak_mb']} MB", flush=True)
        write(stored, json.dumps(record, indent=1, sort_keys=True) + "\n")
        write(arguments.out / "notebooks.md", tables(record))
    for line in over_budget(record):
        print(f"Over its budget: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
