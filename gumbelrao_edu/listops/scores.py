"""How well a model classifies, and how near its trees are to the gold ones."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .._checks import check_count, check_kind
from .data import Batch, Split
from .model import Estimator, Parse, TreeLSTM, greedy
from .trees import Span, depth_of_tree, f1

# As many sentences as fit a cache; on a GPU a whole split, for each operation has to be launched.
_CHUNK, _CHUNK_OF_GPU = 512, 8192


class Scores(NamedTuple):
    """Means over the sentences of a split.

    Attributes:
        accuracy: share of the right labels.
        f1: unlabelled F1 of the trees against the gold ones, see `trees.f1`.
        depth: depth of the trees, see `trees.average_depth`.
    """

    accuracy: float
    f1: float
    depth: float


class Seen(NamedTuple):
    """What a model made of some sentences at one step of its training.

    Attributes:
        spans: the trees, one for each sentence.
        labels: the values that it took the sentences for.
    """

    spans: Sequence[frozenset[Span]]
    labels: Sequence[int]


@torch.no_grad()
def score(
    model: TreeLSTM, split: Split, *, estimator: Estimator = greedy, chunk: int | None = None
) -> Scores:
    """Classify and parse all sentences of a split.

    Args:
        model: what is judged.
        split: sentences, with their labels and gold trees.
        estimator: draws the trees; by default each step takes the most probable merge.
        chunk: sentences at a time; it bounds the memory and makes no difference to the result. By
            default 512, and 8192 on a GPU.

    Returns:
        Means, from 0 to 1, and the depth in nodes.

    Raises:
        TypeError, ValueError: when the split is empty, or `chunk` has the wrong type or range.

    Example:
        >>> from gumbelrao_edu.listops import Example
        >>> split = Split([Example((7,), 7), Example((10, 3, 5, 14), 3)], "two")
        >>> score(TreeLSTM(greedy, dim=4), split).depth in (1.0, 1.125)
        True
    """
    right, agreements, depths = 0, [], []
    for index, batch, parse, correct in _parsed(model, split, estimator, chunk):
        right += correct
        lengths = batch.lengths.tolist()
        for i, length, spans in zip(index.tolist(), lengths, parse.spans(lengths), strict=True):
            agreements.append(f1(spans, split.examples[i].spans))
            depths.append(depth_of_tree(spans, length))
    return Scores(right / len(split), statistics.fmean(agreements), statistics.fmean(depths))


@torch.no_grad()
def accuracy(
    model: TreeLSTM, split: Split, *, estimator: Estimator = greedy, chunk: int | None = None
) -> float:
    """Return what `score` does as the accuracy, without a look at the trees.

    Args:
        model, split, estimator, chunk: as for `score`.

    Returns:
        From 0 to 1.

    Raises:
        TypeError, ValueError: as `score`.

    Example:
        >>> from gumbelrao_edu.listops import Example
        >>> accuracy(TreeLSTM(greedy, dim=4), Split([Example((7,), 7)], "one")) in (0.0, 1.0)
        True
    """
    return sum(found[-1] for found in _parsed(model, split, estimator, chunk)) / len(split)


def _parsed(
    model: TreeLSTM, split: Split, estimator: Estimator, chunk: int | None
) -> Iterator[tuple[Tensor, Batch, Parse, int]]:
    """Of each chunk: which sentences, their batch, their trees, and how many are right."""
    check_kind(model, TreeLSTM, "model")
    check_kind(split, Split, "split")
    if chunk is None:
        chunk = _CHUNK if model.query.device.type == "cpu" else _CHUNK_OF_GPU
    chunk = check_count(chunk, "chunk")
    if len(split) == 0:
        raise ValueError(f"split: expected sentences, got none in {split.name}")
    # Like lengths together: there are then fewer, larger steps.
    order = split.everything.lengths.argsort()
    for index in torch.split(order, chunk):
        batch = on(split[index], model.query.device)
        parse = model.parse(batch, estimator=estimator)
        right = int((model.classify(parse.root).argmax(-1) == batch.labels).sum())
        yield index, batch, parse, right


def on(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; the lengths stay, since they steer the loop of the parser."""
    tokens, labels = (x.to(device, non_blocking=True) for x in (batch.tokens, batch.labels))
    return Batch(tokens, batch.lengths, labels)
