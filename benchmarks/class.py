"""A class at once: N kernels run notebook 03 together; seconds and memory over N.

    python benchmarks/class.py                    all of PLAN, ten minutes on a machine at rest
    python benchmarks/class.py --kernels 1 2 4
    python benchmarks/class.py --add --kernels 5  beside what was measured before
    python benchmarks/class.py --kernels 10 --threads 0   as many threads a kernel as cores
    python benchmarks/class.py --table            only write the table into docs/teaching.md

Each kernel does what "Run All Cells" does, all of them start in the same moment, and none knows of
the others: as on a hub when the lecturer says "now". results/class.json has one record for each
run, and the table in the guide is written from it.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from crossrefs import GUIDE, with_table  # noqa: E402

from gumbelrao_edu.training.files import write  # noqa: E402
from notebooks import environment, read_script  # noqa: E402

NOTEBOOK = ROOT / "notebooks" / "03_gumbel_rao.py"
RESULTS = ROOT / "benchmarks" / "results" / "class.json"
EVERY = 0.5  # seconds between two looks at the memory
PLAN = [(1, 1), (10, 1), (20, 1), (1, 0), (10, 0)]  # kernels, and threads of each; 0: all cores


async def learner(folder: Path, variables: dict[str, str], kernels: list[psutil.Process]) -> float:
    """Run the notebook in a kernel of its own; return the seconds it took."""
    client = NotebookClient(
        read_script(NOTEBOOK),
        timeout=3600,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=CRITICAL"],
    )
    start = time.monotonic()
    async with client.async_setup_kernel(env=variables):
        kernels.append(psutil.Process(client.km.provisioner.pid))  # type: ignore[union-attr]
        for index, cell in enumerate(client.nb.cells):
            await client.async_execute_cell(cell, index)
    return time.monotonic() - start


def memory(kernels: list[psutil.Process]) -> tuple[int, int]:
    """Return the bytes of the largest kernel, and those of all together.

    A page that several share, such as PyTorch's code, counts whole for the largest, which is what a
    limit for each learner has to admit, and once for all together.
    """
    largest, together = 0, 0
    for kernel in kernels:
        try:
            used = kernel.memory_full_info()
        except psutil.Error:  # it has ended
            continue
        largest = max(largest, used.rss)
        together += getattr(used, "pss", used.uss)
    return largest, together


async def run(n: int, threads: int) -> dict[str, Any]:
    """Start N kernels, and return the record."""
    load = os.getloadavg()[0]
    kernels: list[psutil.Process] = []
    largest, together = 0, 0
    with tempfile.TemporaryDirectory() as empty:
        variables = environment(empty)
        # Said, not left out: the notebook's first cell would set it to 1.
        variables["OMP_NUM_THREADS"] = str(threads or psutil.cpu_count())
        start = time.monotonic()
        folder = NOTEBOOK.parent
        tasks = [asyncio.create_task(learner(folder, variables, kernels)) for _ in range(n)]
        while not all(task.done() for task in tasks):
            began = time.monotonic()
            now = await asyncio.to_thread(memory, kernels)
            largest, together = max(largest, now[0]), max(together, now[1])
            # Looking at twenty kernels takes time from them: a twentieth at most.
            await asyncio.sleep(max(EVERY, 20 * (time.monotonic() - began)))
        wall = time.monotonic() - start
    seconds = [task.result() for task in tasks if task.exception() is None]
    return {
        "kernels": n,
        "threads": int(variables["OMP_NUM_THREADS"]),
        "failed": n - len(seconds),
        "median_seconds": round(statistics.median(seconds), 1) if seconds else None,
        "last_seconds": round(wall, 1),
        "largest_megabytes": round(largest / 1e6),
        "together_megabytes": round(together / 1e6),
        "load_before": round(load, 1),
        "cores": psutil.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} s"


def table(records: list[dict[str, Any]]) -> str:
    """Return the Markdown table of the newest record for each number of kernels and threads."""
    newest = {(record["threads"], record["kernels"]): record for record in records}
    lines = [
        "| Kernels at once | Threads each | Median | The last | Largest | All together | Failed |",
        "|---|---|---|---|---|---|---|",
    ]
    for _, record in sorted(newest.items()):
        lines.append(
            f"| {record['kernels']} | {record['threads']} | {_seconds(record['median_seconds'])} "
            f"| {_seconds(record['last_seconds'])} | {record['largest_megabytes'] / 1000:.2f} GB "
            f"| {record['together_megabytes'] / 1000:.1f} GB | {record['failed']} |"
        )
    machines = {(r["machine"], r["cores"], r["python"]) for r in newest.values()}
    loads = [record["load_before"] for record in newest.values()]
    named = "; ".join(f"{m}, {c} cores, Python {p}" for m, c, p in sorted(machines))
    dates = sorted({record["date"] for record in newest.values()})
    lines += [
        "",
        f"Measured on {named} ({dates[-1]}). The load of the machine before each run was "
        f"{min(loads):.1f} to {max(loads):.1f}; with other programs at work, times are too long.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kernels", type=int, nargs="+", help="how many at once")
    parser.add_argument("--threads", type=int, default=1, help="0: as many as there are cores")
    parser.add_argument("--add", action="store_true", help="keep what was measured before")
    parser.add_argument("--table", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    kept = (arguments.add or arguments.table) and RESULTS.exists()
    records = json.loads(RESULTS.read_text("utf-8")) if kept else []
    plan = [(n, arguments.threads) for n in arguments.kernels] if arguments.kernels else PLAN
    for n, threads in [] if arguments.table else plan:
        records.append(asyncio.run(run(n, threads)))
        print(json.dumps(records[-1]), flush=True)
        write(RESULTS, json.dumps(records, indent=1) + "\n")
    GUIDE.write_text(with_table(GUIDE.read_text("utf-8"), "class", table(records)), "utf-8")


if __name__ == "__main__":
    main()
