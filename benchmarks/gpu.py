"""All that wants a GPU, in one command: tests, times of layers, of training steps, of many as one.

    make gpu                                  # at most 8 minutes, without a network
    python benchmarks/gpu.py --out FOLDER
    python benchmarks/gpu.py --small --device cpu    # a rehearsal of seconds; its times say nothing

It needs PyTorch, NumPy, pandas, SciPy, joblib, tqdm, safetensors, pytest and hypothesis. FOLDER
gets `gpu.json` and `gpu.md`, written after each part: the machine, the tests marked `gpu`, tables,
what failed, and which goals were met. Contestants take turns within a round; a time is the median
over the rounds, of the whole call with Python and, measured by replays of a captured graph, of the
device alone.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gumbelrao_edu import (  # noqa: E402
    default_device,
    estimators,
    gumbel_rao,
    st_gumbel_softmax,
    straight_through,
    zgr,
)
from gumbelrao_edu.estimators import _fused  # noqa: E402
from gumbelrao_edu.experiments import table1  # noqa: E402
from gumbelrao_edu.listops import Split, TreeLSTM, generate  # noqa: E402
from gumbelrao_edu.listops.objective import stack_batches  # noqa: E402
from gumbelrao_edu.training.files import write  # noqa: E402
from gumbelrao_edu.training.loop import Training  # noqa: E402
from gumbelrao_edu.training.stacked import run_together, stack_tensors  # noqa: E402
from gumbelrao_edu.vae import DiscreteVAE  # noqa: E402

SECONDS = 450.0  # for everything
TEST_SECONDS = 200.0
TAU = 0.5
INF = math.inf
LAYERS = {
    "20×240×2": (20, 240, 2),
    "20×120×4": (20, 120, 4),
    "20×80×8": (20, 80, 8),
    "20×60×16": (20, 60, 16),
    "20×32×1000": (20, 32, 1000),
    "256×1024×16": (256, 1024, 16),
}
SMALL = {"2×3×4": (2, 3, 4), "2×1×16": (2, 1, 16)}
KS = [1, 10, 100, 1000, INF]
PLAIN = "F.gumbel_softmax"
FAULTS: dict[str, str] = {}  # what a contestant raised, by its name; the others go on

Estimator = Callable[[Tensor], Tensor]


def name_of(k: float) -> str:
    return f"K={'∞' if k == INF else k}"


def contestants() -> dict[str, Estimator]:
    table: dict[str, Estimator] = {PLAIN: functools.partial(F.gumbel_softmax, tau=TAU, hard=True)}
    for k in KS:
        table[name_of(k)] = functools.partial(gumbel_rao, tau=TAU, k=k)
    for k in (10, 100, INF):  # by PyTorch's operations, as where there is no Triton
        table[f"unfused {name_of(k)}"] = table[name_of(k)]
    table["ST-GS"] = functools.partial(st_gumbel_softmax, tau=TAU)
    table["ST"] = functools.partial(straight_through, tau=TAU)
    table["ZGR"] = zgr
    return table


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def call_ms(call: Callable[[], object], device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    call()
    wait(device)
    return (time.perf_counter() - start) * 1e3


def captured(call: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """`call` as a graph of the device, after it was warmed up on another stream."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph


def device_ms(call: Callable[[], object], replays: int = 10) -> float | None:
    """Of the device alone; None where `call` waits for it and can't be captured."""
    try:
        graph = captured(call)
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    graph.replay()
    start.record()
    for _ in range(replays):
        graph.replay()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / replays


def attempt(name: str, call: Callable[[], Any]) -> Any:
    """What a call returns; None where it fails, with the reason in `FAULTS`."""
    try:
        return call()
    except Exception as error:
        FAULTS[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"{name}: {FAULTS[name]}", file=sys.stderr, flush=True)
        return None


def layer(shape: tuple[int, ...], device: torch.device, rounds: int, until: float) -> pd.DataFrame:
    """Whole call, device alone and memory of each contestant; fewer rounds when time runs out."""
    logits = torch.randn(shape, device=device, requires_grad=True)
    grad = torch.randn(shape, device=device)

    def once(name: str, estimator: Estimator) -> None:
        _fused._WANTED = not name.startswith("unfused")
        try:
            torch.autograd.grad(estimator(logits), logits, grad)
        finally:
            _fused._WANTED = True

    calls = {name: functools.partial(once, name, each) for name, each in contestants().items()}
    calls["torch.rand"] = functools.partial(torch.rand, shape, device=device)
    where = "×".join(map(str, shape))
    slow: dict[str, float] = {}
    for name, call in [*calls.items()]:
        first = attempt(f"{where} {name}", functools.partial(call_ms, call, device))  # compiles
        if first is None:
            del calls[name]
        else:
            slow[name] = first
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(rounds):
        for name, call in calls.items():
            times[name].append(call_ms(call, device))
        if round_ >= 2 and time.monotonic() > until:
            break
    rows = []
    for name, call in calls.items():
        row: dict[str, Any] = {"estimator": name, "ms": statistics.median(times[name])}
        row["first ms"] = slow[name]
        if device.type == "cuda":
            row["device ms"] = None if name.startswith("unfused") else device_ms(call)
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            torch.cuda.synchronize()
            row["peak MiB"] = (torch.cuda.max_memory_allocated() - before) / 2**20
        rows.append(row)
    table = pd.DataFrame(rows)
    plain = table["ms"][table["estimator"] == PLAIN]
    table["times F.gumbel_softmax"] = table["ms"] / (plain.iloc[0] if len(plain) else math.nan)
    return table


@functools.cache
def images(device: torch.device) -> Tensor:
    return (torch.rand(1000, 784, generator=torch.Generator().manual_seed(1)) < 0.3).to(device)


def loss(model: DiscreteVAE, batch: Tensor) -> Tensor:
    return -model.elbo(batch.float()).mean()


def training(
    name: str, device: torch.device, hidden: tuple[int, ...], seed: int = 0, **hyper: Any
) -> Training:
    draws = torch.Generator(device).manual_seed(seed)
    model = DiscreteVAE(
        8,
        estimators.sampler(name, generator=draws, **hyper),
        pixel_mean=images(device).float().mean(0).cpu(),
        hidden=hidden,
        generator=torch.Generator().manual_seed(seed),
    ).to(device)
    settings = {"batch_size": 20, "learning_rate": 1e-3, "momentum": 0.9, "weight_decay": 1e-6}
    return Training(model, loss, images(device), **settings, seed=seed, generators=[draws])


@functools.cache
def sentences() -> Split:
    return Split(generate(2000, max_length=10, generator=torch.Generator().manual_seed(2)), "drawn")


def parser(name: str, device: torch.device, dim: int, seed: int, **hyper: Any) -> Training:
    draws = torch.Generator(device).manual_seed(seed)
    draw = estimators.sampler(name, generator=draws, **hyper)
    model = TreeLSTM(draw, dim=dim, generator=torch.Generator().manual_seed(seed)).to(device)
    settings = {"batch_size": 10, "learning_rate": 0.1, "weight_decay": table1.WEIGHT_DECAY}
    return Training(model, table1.loss, sentences(), **settings, seed=seed, generators=[draws])


def trained(whole: bool) -> dict[str, dict[str, Any]]:
    return {
        "ST-GS": {"name": "st_gumbel_softmax", "tau": TAU},
        "GR-MC10": {"name": "gumbel_rao", "tau": TAU, "k": 10},
        "GR-MC1000": {"name": "gumbel_rao", "tau": TAU, "k": 1000 if whole else 20},
        "GR-∞": {"name": "gumbel_rao", "tau": TAU, "k": INF},
    }


def steps(device: torch.device, hidden: tuple[int, ...], rounds: int, until: float) -> pd.DataFrame:
    """A step of the 8-ary VAE by `Training`, B = 20, and one captured as a graph."""
    hyper = trained(rounds > 1)
    runs = {label: training(device=device, hidden=hidden, **each) for label, each in hyper.items()}
    count = 40 if rounds > 1 else 2
    times: dict[str, list[float]] = {label: [] for label in runs}
    for round_ in range(rounds + 1):
        for label, run in [*runs.items()]:
            call = functools.partial(run.run, run.step + count, every=count)
            ms = attempt(f"a step with {label}", functools.partial(call_ms, call, device))
            if ms is None:
                del runs[label]
            else:
                times[label].append(ms / count)
        if round_ >= 2 and time.monotonic() > until:
            break
    medians = {label: statistics.median(times[label][1:]) for label in runs}
    table = pd.DataFrame({"estimator": [*medians], "ms a step": [*medians.values()]})
    table["times ST-GS"] = table["ms a step"] / medians.get("ST-GS", math.nan)
    if device.type == "cuda":
        captured = (functools.partial(captured_step_ms, device, hidden, **hyper[n]) for n in runs)
        table["captured ms"] = [
            attempt(f"a captured step with {label}", call)
            for label, call in zip(runs, captured, strict=True)
        ]
    return table


def captured_step_ms(device: torch.device, hidden: tuple[int, ...], **hyper: Any) -> float | None:
    """Forward, backward and SGD as one graph, replayed; the loss stays on the device."""
    run = training(device=device, hidden=hidden, **hyper)
    model, optimizer = run.model, run.optimizer
    model.estimator = functools.partial(  # the global generator, which a graph knows
        estimators.get(hyper.pop("name")).function, **hyper
    )
    batch = run.examples[run.next_indices()]

    def step() -> None:
        optimizer.zero_grad()
        run.loss(model, batch).backward()
        optimizer.step()

    return device_ms(step, replays=100)


def together(device: torch.device, whole: bool, until: float) -> pd.DataFrame:
    """A step of many trainings as one: a search of 8-ary VAEs, and a row of Table 1."""
    hidden, dim, many = ((512, 256), 128, (20, 150)) if whole else ((16,), 8, (3, 3))
    rows = []
    for label, hyper in trained(whole).items():
        for what, count in zip(("autoencoders", "parsers"), many, strict=True):
            vae = what == "autoencoders"
            runs = [
                training(device=device, hidden=hidden, seed=seed, **hyper)
                if vae
                else parser(device=device, dim=dim, seed=seed, **hyper)
                for seed in range(count)
            ]
            stack = stack_tensors if vae else stack_batches
            ms = attempt(
                f"{count} {what} as one, {label}",
                functools.partial(together_ms, runs, stack, device, more=20 if whole else 1),
            )
            rows.append({"trainings": what, "count": count, "estimator": label, "ms": ms})
        if time.monotonic() > until:
            break
    return pd.DataFrame(rows)


def together_ms(runs: list[Training], stack: Any, device: torch.device, more: int) -> float:
    """Of two lengths, so that what comes before and after the steps does not count."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i}.safetensors") for i in range(len(runs))]
        callbacks = [lambda run: None] * len(runs)
        times = []
        for last in (3, 3 + more, 3 + 3 * more):
            call = functools.partial(
                run_together,
                runs,
                last,
                every=last,
                callbacks=callbacks,
                checkpoints=files,
                stack=stack,
            )
            times.append(call_ms(call, device))
    return (times[2] - times[1]) / more


def test_report(seconds: float) -> dict[str, Any]:
    """Run the tests marked `gpu` in a process of their own."""
    names = ("gpu", "estimators", "listops_model", "stacked")
    files = [f"tests/test_{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-m", "gpu and not notebooks"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        run = subprocess.run(
            [*command, "-p", "no:cacheprovider", *files],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode() if isinstance(late.stdout, bytes) else str(late.stdout or "")
        return {"status": None, "summary": f"not done in {seconds:.0f} s", "output": output[-8000:]}
    lines = run.stdout.strip().splitlines()
    summary = lines[-1] if lines else run.stderr[-200:]
    failed = [line for line in lines if re.match("FAILED|ERROR", line)]
    output = "" if run.returncode == 0 else run.stdout[-12000:] + run.stderr[-2000:]
    return {"status": run.returncode, "summary": summary, "failed": failed, "output": output}


def machine(device: torch.device) -> dict[str, str]:
    about = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": getattr(_fused.triton, "__version__", "none"),
        "cuda": str(torch.version.cuda),
        "card": platform.machine(),
        "driver": "none",
    }
    if device.type == "cuda":
        about["card"] = torch.cuda.get_device_name(device)
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
            about["driver"] = said.stdout.splitlines()[0]
        except (OSError, subprocess.SubprocessError, IndexError):
            about["driver"] = "unknown"
    return about


def goals(
    layers: dict[str, pd.DataFrame], steps: pd.DataFrame, together: pd.DataFrame
) -> pd.DataFrame:
    """What was wished for, beside what was measured."""
    rows = []

    def goal(what: str, most: float, measured: float | None) -> None:
        met = None if measured is None or math.isnan(measured) else bool(measured <= most)
        rows.append({"goal": what, "at most": most, "measured": measured, "met": met})

    for label, table in layers.items():
        at = table.set_index("estimator")
        times = at["times F.gumbel_softmax"]
        if label == "256×1024×16":
            ms = at["ms"].reindex([*at.index, "torch.rand", *map(name_of, (1, 10, 100, 1000, INF))])
            ms = ms[~ms.index.duplicated()]  # NaN for what failed
            for k in (1, 10, 100, 1000):
                share = ms[name_of(k)] / ms["torch.rand"] / k
                goal(f"{label} K={k}, times torch.rand of as many", 2.0, share)
            goal(f"{label} K=∞, times K=100 · 0.3", 1.0, ms["K=∞"] / ms["K=100"] / 0.3)
        else:
            wide = label == "20×32×1000"
            wanted = (
                {10: 1.2, INF: 3.0} if wide else {1: 1.0, 10: 1.0, 100: 1.0, 1000: 1.5, INF: 1.5}
            )
            for k, most in wanted.items():
                goal(f"{label} {name_of(k)}", most, times.get(name_of(k)))
        for name in ("ST-GS", "ST", "ZGR"):
            goal(f"{label} {name}", 1.0, times.get(name))
    if len(steps):
        step = steps.set_index("estimator")
        for name in ("GR-MC1000", "GR-∞"):
            goal(f"a step with {name}, times ST-GS", 1.1, step["times ST-GS"].get(name))
        if "captured ms" in step:
            goal("a captured step of ST-GS, ms", 1.0, step["captured ms"].get("ST-GS"))
    # A search of 20 × 50,000 steps in a minute; 150 parsers, ten epochs of 2,847 steps, in 15.
    most = {"autoencoders": 1.2, "parsers": 30.0}
    for row in together.itertuples():
        what = f"a step of {row.count} {row.trainings} as one, {row.estimator}, ms"
        goal(what, most[row.trainings], row.ms)
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "–" if math.isnan(value) else f"{value:.3g}"
        return "–" if value is None else str(value)

    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|---" * len(table.columns) + "|"]
    for row in table.itertuples(index=False):
        lines.append("| " + " | ".join(map(cell, row)) + " |")
    return "\n".join(lines)


def write_both(
    out: Path,
    about: dict[str, str],
    seconds: int,
    tests: dict[str, Any],
    layers: dict[str, pd.DataFrame],
    steps: pd.DataFrame,
    many: pd.DataFrame,
) -> None:
    """Write `gpu.json` and `gpu.md` of what is there."""
    wished = goals(layers, steps, many)

    def plain(table: pd.DataFrame) -> Any:
        return json.loads(table.to_json(orient="records"))

    record = {
        "machine": about,
        "seconds": seconds,
        "tests": tests,
        "faults": FAULTS,
        "layers": {label: plain(each) for label, each in layers.items()},
        "steps": plain(steps),
        "together": plain(many),
        "goals": plain(wished),
    }
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, ensure_ascii=False, indent=1) + "\n"
    write(out / "gpu.json", text)
    parts = [
        "# On a GPU",
        "Written by `make gpu` in "
        f"{seconds} s: " + ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        f"Tests marked `gpu`: {tests['summary']}.",
        *(f"**{name}** failed: {fault}" for name, fault in FAULTS.items()),
        "## Goals",
        markdown(wished),
        "## Layers: forward and backward pass",
        *(f"{label}\n\n{markdown(each)}" for label, each in layers.items()),
        "## A training step of the 8-ary VAE, B = 20",
        markdown(steps),
        "## A step of many trainings in one program",
        markdown(many),
    ]
    write(out / "gpu.md", "\n\n".join(parts) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=torch.device, default=default_device())
    parser.add_argument("--small", action="store_true", help="tiny layers, one round, no tests")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for everything")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    arguments = parser.parse_args()
    device, begun = arguments.device, time.monotonic()
    if device.type != "cuda" and not arguments.small:
        print("There is no CUDA device here; --small --device cpu rehearses.", file=sys.stderr)
        return 1
    rounds = 1 if arguments.small else arguments.rounds
    shapes = SMALL if arguments.small else LAYERS
    about = machine(device)
    print(about, flush=True)
    tests: dict[str, Any] = {"status": 0, "summary": "not run", "output": ""}
    if not arguments.small:
        tests = test_report(min(TEST_SECONDS, arguments.seconds / 2))
        print(tests["summary"], tests["output"], flush=True)
    left = begun + 0.9 * arguments.seconds - time.monotonic()
    share = left / (len(shapes) + 2)  # of the time that is left, for each layer, steps, and many
    layers: dict[str, pd.DataFrame] = {}
    table, many = pd.DataFrame(), pd.DataFrame()

    def note(what: str, part: pd.DataFrame) -> None:
        print(what, part.to_string(index=False), sep="\n", flush=True)
        seconds = round(time.monotonic() - begun)
        write_both(arguments.out, about, seconds, tests, layers, table, many)

    for label, shape in shapes.items():
        layers[label] = layer(shape, device, rounds, time.monotonic() + share / 2)
        note(label, layers[label])
    hidden = (16,) if arguments.small else (512, 256)
    table = steps(device, hidden, min(rounds, 7), time.monotonic() + share)
    note("a step", table)
    many = together(device, not arguments.small, time.monotonic() + share)
    note("many as one", many)
    print(f"wrote {arguments.out / 'gpu.json'} and gpu.md", flush=True)
    return 0 if tests["status"] == 0 and not FAULTS else 1


if __name__ == "__main__":
    sys.exit(main())
