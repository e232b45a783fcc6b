"""The loss of a classifier that draws trees, with the gradient of any registered estimator."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .._checks import check_kind, holds
from ..estimators import samples_of, score_loss
from .data import FILLER, Batch, Split, check_batch, filled
from .model import TreeLSTM
from .scores import on


def losses(model: TreeLSTM, batch: Batch) -> Tensor:
    """Cross-entropy of each sentence with a tree drawn for it, minus the paper's objective.

        L(T) = −log p_φ(y|T, x),   T ~ q_θ(T|x)                                     (section 5.3)

    With a score-function estimator it is the mean over S trees, with the gradient of
    `estimators.score_loss`. A tree is one outcome here, of probability
    q(T|x) = Π_steps q(D_step | what was merged before).

    Args:
        model: the classifier; its estimator draws the trees.
        batch: sentences; moved to the model's device.

    Returns:
        `[B]`; with S > 1 means over the trees. 0 for a sentence whose label is `data.FILLER`.

    Raises:
        TypeError, ValueError: if the batch has the wrong types or shapes; if a label is none of the
            model's classes; if the estimator's samples have the wrong shape.

    Example:
        >>> import torch
        >>> from gumbelrao_edu.estimators import sampler
        >>> model = TreeLSTM(sampler("rloo"), dim=8)
        >>> tokens, lengths = torch.tensor([11, 3, 7, 14, 5]), torch.tensor([4, 1])
        >>> batch = Batch(tokens, lengths, labels=torch.tensor([7, 5]))
        >>> losses(model, batch).mean().backward()

    Source: Choi, Yoo & Lee (2018); Kool, van Hoof & Welling (2019) for RLOO.
    """
    check_kind(model, TreeLSTM, "model")
    check_batch(batch)
    classes = model.output.out_features

    def known(label: Tensor) -> Tensor:
        return (label >= 0) & (label < classes) | (label == FILLER)

    if not holds(known, batch.labels):
        raise ValueError(
            f"labels: expected 0 to {classes - 1}, or {FILLER} for no loss, got "
            f"{batch.labels[~known(batch.labels)][0]}"
        )
    num_samples = samples_of(model.estimator)
    s = max(1, num_samples)
    many = Batch(batch.tokens.repeat(s), batch.lengths.repeat(s), batch.labels.repeat(s))
    many = on(many, model.query.device)
    parse = model.parse(many)
    drawn = F.cross_entropy(model.classify(parse.root), many.labels, reduction="none").view(s, -1)
    if not num_samples:
        return drawn[0]
    return score_loss(drawn, parse.log_probability().view(s, -1))


def stack_batches(split: Split, index: Tensor, model: TreeLSTM) -> tuple[Batch, Batch, Tensor]:
    """Return minibatches as one, filled up with sentences without a loss, for `run_together`.

    Args:
        split: sentences.
        index: which of them each model gets, `[models, B]`.
        model: the first one.

    Returns:
        The batch on the model's device; the axis of the models in each part of it; and which rows
        of the logits in `losses` are not of fillers, `[models, S B]`.

    Example:
        >>> import torch
        >>> from gumbelrao_edu.estimators import sampler
        >>> from gumbelrao_edu.listops import Example
        >>> split = Split([Example((7,), 7), Example((5,), 5)], "two")
        >>> index = torch.tensor([[0, 1], [1, 0]])
        >>> both, _, rows = stack_batches(split, index, TreeLSTM(sampler("rloo"), dim=8))
        >>> both.tokens.shape, rows.shape
        (torch.Size([2, 2]), torch.Size([2, 8]))
    """
    whole, s = filled(split[index.flatten()], len(index)), max(1, samples_of(model.estimator))
    order = whole.lengths.repeat(s).argsort(descending=True, stable=True)  # as in `Parse`
    rows = (whole.labels != FILLER).repeat(1, s)[:, order]
    axes = Batch(tokens=0, lengths=None, labels=0)  # type: ignore[arg-type]
    return on(whole, model.query.device), axes, rows
