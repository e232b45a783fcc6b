"""The generators of several models whose samples are drawn in one call, see `training.stacked`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Generators:
    """In place of one generator, for logits `[rows, n]`: each draws for its own rows, as if alone.

    Attributes:
        each: one for each model.
        counts: how many rows are its own; they stand one model after the other.
    """

    each: Sequence[torch.Generator]
    counts: Sequence[int]

    @property
    def device(self) -> torch.device:
        return self.each[0].device

    def own(self) -> Iterator[tuple[torch.Generator, int]]:
        """Those that have rows, and how many: without any, nothing may be drawn."""
        return ((each, count) for each, count in zip(self.each, self.counts, strict=True) if count)

    def draw(self, function: Callable[[torch.Generator, int], Tensor]) -> Tensor:
        """What `function` draws for each, `[its rows, …]`, one after the other."""
        return torch.cat([function(each, count) for each, count in self.own()])

    def seeds(self, function: Callable[[torch.Generator], Tensor]) -> Tensor:
        """The seed that `function` draws of each, for each of its rows, and the row's number.

        Returns:
            int64, `[rows, 2]`. The first row of each model has the number 0.
        """
        seeds = torch.stack([function(each) for each, _ in self.own()])
        counts = torch.tensor([count for _, count in self.own()], device="cpu")
        model = torch.arange(len(counts), device="cpu").repeat_interleave(counts)
        number = torch.arange(len(model), device="cpu") - (counts.cumsum(0) - counts)[model]
        model, number = torch.stack([model, number]).to(seeds.device, non_blocking=True)
        return torch.stack([seeds[model], number], 1)
