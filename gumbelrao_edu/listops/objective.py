"""The loss of a classifier that draws trees, with the gradient of any registered estimator."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..estimators.reinforce import with_score
from ..estimators.rloo import leave_one_out
from .data import Batch
from .model import TreeLSTM
from .scores import on


def losses(model: TreeLSTM, batch: Batch, *, num_samples: int = 0) -> Tensor:
    """Cross-entropy of each sentence with a tree drawn for it, minus the paper's objective.

        L(T) = −log p_φ(y|T, x),   T ~ q_θ(T|x)                                     (section 5.3)

    With `num_samples` the gradient is that of a score-function estimator, since the draws of
    `reinforce` and `rloo` carry none. A tree is one outcome here, of probability
    q(T|x) = Π_steps q(D_step | what was merged before):

        ∇ = L(T) ∇log q(T|x) + ∇L(T)                                             one tree: REINFORCE
        (1/S) Σ_s (L(T^s) − mean of the others) ∇log q(T^s|x) + ∇L(T^s)            S trees: RLOO

    Args:
        model: the classifier; its estimator draws the trees.
        batch: sentences; moved to the model's device.
        num_samples: S; 0 for estimators whose sample carries the gradient.

    Returns:
        `[B]`; with S > 1 means over the trees.

    Raises:
        ValueError: when `num_samples` is negative.

    Example:
        >>> import torch
        >>> from gumbelrao_edu.estimators import sampler
        >>> model = TreeLSTM(sampler("rloo"), dim=8)
        >>> tokens, lengths = torch.tensor([11, 3, 7, 14, 5]), torch.tensor([4, 1])
        >>> batch = Batch(tokens, lengths, labels=torch.tensor([7, 5]))
        >>> losses(model, batch, num_samples=4).mean().backward()

    Source: Choi, Yoo & Lee (2018); Kool, van Hoof & Welling (2019) for RLOO.
    """
    if num_samples < 0:
        raise ValueError(f"num_samples: expected 0 or more, got {num_samples}")
    s = max(1, num_samples)
    many = Batch(batch.tokens.repeat(s), batch.lengths.repeat(s), batch.labels.repeat(s))
    many = on(many, model.query.device)
    parse = model.parse(many)
    drawn = F.cross_entropy(model.classify(parse.root), many.labels, reduction="none").view(s, -1)
    if not num_samples:
        return drawn[0]
    advantage = drawn if s == 1 else leave_one_out(drawn)
    return with_score(drawn, advantage, parse.log_probability().view(s, -1)).mean(0)
