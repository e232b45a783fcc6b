"""Time of a training step of the Tree-LSTM, beside a padded one, and where it goes.

    python benchmarks/listops.py                 # about two minutes

L ≤ 10, B = 10, dim 128, one thread, SGD with all of `Training`'s checks. In the padded model every
sentence has the length of the longest one of its batch, and finished ones are masked.
"""

from __future__ import annotations

import math

import torch
from _steps import report
from torch import Tensor

from gumbelrao_edu.estimators import sampler
from gumbelrao_edu.experiments.table1 import WEIGHT_DECAY, loss
from gumbelrao_edu.listops import Batch, Split, TreeLSTM, generate
from gumbelrao_edu.listops.model import merge
from gumbelrao_edu.training.loop import Training

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
            theta = self.logits(proposals)
            there = torch.arange(theta.shape[1]) < (batch.lengths - 1 - done).unsqueeze(-1)
            active = there.any(-1, keepdim=True)
            # A finished sentence keeps its only node; its draw is of a row without meaning.
            choice = self.estimator(theta.masked_fill(~there & active, -math.inf))
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


def main() -> None:
    data = Split(
        generate(4000, max_length=10, generator=torch.Generator().manual_seed(0)), "benchmark"
    )
    runs = {name: training(TreeLSTM, *each, data) for name, each in ESTIMATORS.items()}
    runs["padded, ST-GS"] = training(Padded, *ESTIMATORS["ST-GS"], data)
    report(runs, "ST-GS", description=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
