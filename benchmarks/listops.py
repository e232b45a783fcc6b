"""Time of a training step of the Tree-LSTM, beside a padded one, and where it goes.

    python benchmarks/listops.py                 # about two minutes

L ≤ 10, B = 10, dim 128, one thread, SGD with all of `Training`'s checks. All variants take turns
within a round, so that a noisy machine disturbs them alike; a time is the median over the rounds of
the CPU time of the process. In the padded model every sentence has the length of the longest one of
its batch, and finished ones are masked.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time

import pandas as pd
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from gumbelrao_edu.estimators import sampler
from gumbelrao_edu.experiments.table1 import WEIGHT_DECAY, loss
from gumbelrao_edu.experiments.training import Training
from gumbelrao_edu.listops import Batch, Split, TreeLSTM, generate
from gumbelrao_edu.listops.model import merge

STEPS = 40  # a round
ESTIMATORS = {
    "ST-GS": ("st_gumbel_softmax", {"tau": 1.0}),
    "GR-MC10": ("gumbel_rao", {"tau": 1.0, "k": 10}),
    "GR-MC100": ("gumbel_rao", {"tau": 1.0, "k": 100}),
    "GR-∞": ("gumbel_rao", {"tau": 1.0, "k": math.inf}),
    "ZGR": ("zgr", {}),
}


class Padded(TreeLSTM):
    """All sentences as long as the longest; what is beyond the end is never chosen."""

    def forward(self, batch: Batch, *, estimator: object = None) -> Tensor:
        rows = torch.nn.utils.rnn.pad_sequence(
            list(batch.tokens.split(batch.lengths.tolist())), batch_first=True
        )
        nodes = self.leaf(self.embedding(rows))
        for done in range(rows.shape[1] - 1):
            proposals = self.propose(nodes)
            scores = self.score(proposals)
            there = torch.arange(scores.shape[1]) < (batch.lengths - 1 - done).unsqueeze(-1)
            active = there.any(-1, keepdim=True)
            # A finished sentence keeps its only node; its draw is of a row without meaning.
            choice = self.estimator(scores.masked_fill(~there & active, -math.inf))
            merged = merge(choice, proposals, nodes)
            nodes = torch.where(active.unsqueeze(-1), merged, nodes[:, :-1])
        return self.classify(nodes[:, 0, : self.dim])


def training(model: type[TreeLSTM], name: str, hyper: dict[str, float], data: Split) -> Training:
    draws = torch.Generator().manual_seed(0)
    return Training(
        model(sampler(name, generator=draws, **hyper), generator=torch.Generator().manual_seed(0)),
        loss,
        data,
        batch_size=10,
        learning_rate=0.1,
        weight_decay=WEIGHT_DECAY,
        generators=[draws],
    )


def milliseconds(run: Training) -> float:
    start = time.process_time()
    run.run(run.step + STEPS, every=STEPS)
    return (time.process_time() - start) / STEPS * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    data = Split(
        generate(4000, max_length=10, generator=torch.Generator().manual_seed(0)), "benchmark"
    )
    runs = {name: training(TreeLSTM, *each, data) for name, each in ESTIMATORS.items()}
    runs["padded, ST-GS"] = training(Padded, *ESTIMATORS["ST-GS"], data)
    times: dict[str, list[float]] = {}
    for round_ in range(rounds + 1):
        for name, each in runs.items():
            times.setdefault(name, []).append(milliseconds(each))
        if round_ == 0:
            times.clear()  # warming up
    medians = {name: statistics.median(values) for name, values in times.items()}
    table = pd.DataFrame({"ms a step": medians})
    table["times ST-GS"] = table["ms a step"] / medians["ST-GS"]
    print(f"{platform.machine()}, torch {torch.__version__}, median of {rounds} rounds\n")
    print(table.round(2).to_string())

    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        milliseconds(runs["ST-GS"])
    shares = pd.Series({e.key: e.self_cpu_time_total for e in recorded.key_averages()})
    products = shares.filter(regex=r"^aten::(mm|addmm|mv|bmm|dot)$").sum()
    print("\nWhere the time of a step with ST-GS goes, by the profiler:")
    print(f"matrix products {products / shares.sum():.0%}; the ten largest:")
    print((shares.nlargest(10) / shares.sum()).map("{:.1%}".format).to_string())


if __name__ == "__main__":
    main()
