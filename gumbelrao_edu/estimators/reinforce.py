"""REINFORCE: the score function, unbiased for any f."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._checks import check_function, check_generator, check_logits, check_number, check_real
from ..gumbel import centred, perturb
from ._registry import register
from ._score import check_losses, log_probability, mean_dtype, score_loss


@dataclass
class RunningMean:
    """A baseline: the exponentially weighted mean of past losses, corrected for its start.

        m ← γ m + (1 − γ) f̄,    value = m / (1 − γ^t)

    The caller owns it and passes the same object at each step. It holds Python's numbers: an update
    waits for a GPU, and breaks a compiled graph.

    Args:
        decay: γ in [0, 1).

    Attributes:
        mean: m.
        weight: 1 − γ^t.

    Raises:
        TypeError, ValueError: if the decay has the wrong type or range.

    Example:
        >>> baseline = RunningMean(decay=0.9)
        >>> baseline.update(torch.tensor([1.0, 3.0]))
        >>> baseline.value
        2.0
    """

    decay: float = 0.99
    mean: float = field(default=0.0, init=False)
    weight: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.decay = check_number(self.decay, "decay")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay: expected a number in [0, 1), got {self.decay}")

    @property
    def value(self) -> float:
        """The mean of the losses so far; 0 before the first."""
        return self.mean / self.weight if self.weight else 0.0

    def update(self, losses: Tensor) -> None:
        """Take in the losses of one step; what is infinite or not a number is left out."""
        check_real(losses, "losses")
        values = losses.detach().double()
        values = values[values.isfinite()]
        if len(values) == 0:
            return
        self.mean = self.decay * self.mean + (1 - self.decay) * float(values.mean())
        self.weight = self.decay * self.weight + (1 - self.decay)


@register(label="REINFORCE", equation="(2)", kind="score-function", mean="exact", example={})
def reinforce(
    f: Callable[[Tensor], Tensor],
    logits: Tensor,
    *,
    baseline: RunningMean | Tensor | float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample D and return a loss whose gradient is the score-function estimate.

        ∇REINF = (f(D) − b) · d log p_θ(D)/dθ + ∂f(D, θ)/∂θ                (2, 15)

    Unbiased for every f, differentiable in D or not, with a high variance. A baseline b that does
    not depend on D leaves the mean as it is.

    Args:
        f: maps samples `[*batch, n]` to losses whose shape is `batch` or its leading part. The
            variables under one loss share it: log p_θ(D) is summed over them (15).
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        baseline: b, a number; a tensor of the shape of the losses (or of a trailing part), say what
            a network predicts from the input: it must not depend on D, no gradient reaches it, and
            a loss of its own trains it; or a `RunningMean`, which is used first and updated after.
        generator: source of randomness; the global one when None.

    Returns:
        f(D), of the shape that f gives, with the gradient above.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or shape.

    Example:
        >>> logits = torch.zeros(4, 3, requires_grad=True)
        >>> losses = reinforce(lambda d: d @ torch.tensor([1.0, 2.0, 3.0]), logits)
        >>> losses.mean().backward()

    Source: Glynn (1990); Williams (1992).
    """
    check_function(f)
    check_logits(logits)
    check_generator(generator, logits.device)
    one_hot, _ = perturb(centred(logits.detach()), generator)
    index = one_hot.argmax(-1)  # before f, which may overwrite what it is given
    losses = f(one_hot.to(logits.dtype))
    check_losses(losses, logits.shape[:-1])
    b = 0.0 if baseline is None else baseline
    if isinstance(b, RunningMean):
        past, b = b, b.value
        past.update(losses)
    log_p = log_probability(logits, index, losses.dim())
    loss = score_loss(losses.unsqueeze(0), log_p.unsqueeze(0), baseline=b)
    return loss.to(mean_dtype(losses, logits))
