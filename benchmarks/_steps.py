"""Times of training steps side by side, and where the time of one goes."""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Mapping

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from gumbelrao_edu.training.loop import Training

STEPS = 40  # a round


def report(runs: Mapping[str, Training], reference: str, *, description: str) -> None:
    """Print the time of a step of each training, and the profile of one of them.

    All take turns within a round, so that a noisy machine disturbs them alike; a time is the median
    over the rounds of the CPU time of the process, on one thread.

    Args:
        runs: by the name to print.
        reference: the one that the others are multiples of, and that is profiled.
        description: of the command.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {}
    for round_ in range(rounds + 1):
        for name, each in runs.items():
            times.setdefault(name, []).append(milliseconds(each))
        if round_ == 0:
            times.clear()  # warming up
    medians = {name: statistics.median(values) for name, values in times.items()}
    table = pd.DataFrame({"ms a step": medians})
    table[f"times {reference}"] = table["ms a step"] / medians[reference]
    print(f"{platform.machine()}, torch {torch.__version__}, median of {rounds} rounds\n")
    print(table.round(2).to_string())

    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        milliseconds(runs[reference])
    shares = pd.Series({e.key: e.self_cpu_time_total for e in recorded.key_averages()})
    products = shares.filter(regex=r"^aten::(mm|addmm|mv|bmm|dot)$").sum()
    updates = shares.filter(regex=r"Optimizer|_fused_sgd").sum()
    print(f"\nWhere the time of a step of {reference} goes, by the profiler:")
    print(f"matrix products {products / shares.sum():.0%}, ", end="")
    print(f"the optimizer {updates / shares.sum():.0%}; the ten largest:")
    print((shares.nlargest(10) / shares.sum()).map("{:.1%}".format).to_string())


def milliseconds(run: Training) -> float:
    start = time.process_time()
    run.run(run.step + STEPS, every=STEPS)
    return (time.process_time() - start) / STEPS * 1e3
