"""Gumbel-Rao as a module, with a schedule for the temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ._checks import check_count, check_k, check_tau
from .estimators.gumbel_rao import gumbel_rao

Shape = Literal["constant", "exponential", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """A temperature for each training step.

        constant       τ(t) = a
        exponential    τ(t) = a (b/a)^x
        cosine         τ(t) = b + (a − b) (1 + cos πx) / 2,        x = min(t/T, 1)

    Args:
        start: a, the temperature of step 0.
        end: b, that of step T and after it; `start` by default.
        steps: T, over how many steps it changes.
        shape: "constant", "exponential" or "cosine".

    Raises:
        TypeError, ValueError: for arguments of another kind or range.

    Example:
        >>> tau = Schedule(1.0, 0.1, steps=100, shape="exponential")
        >>> [round(tau(t), 3) for t in (0, 50, 100, 1000)]
        [1.0, 0.316, 0.1, 0.1]

    Source: Jang, Gu & Poole (2017) anneal exponentially; Paulus, Maddison & Krause (2021), section
    6, expect further gains from annealing.
    """

    start: float
    end: float | None = None
    steps: int = 1
    shape: Shape = "constant"

    def __post_init__(self) -> None:
        for tau in (self.start, self.last):
            check_tau(tau, torch.Size())
        check_count(self.steps, "steps")
        if self.shape not in get_args(Shape):
            raise ValueError(f"shape: expected one of {get_args(Shape)}, got {self.shape!r}")
        if self.shape == "constant" and self.last != self.start:
            raise ValueError(f"end: expected none for a constant schedule, got {self.end}")

    @property
    def last(self) -> float:
        """The temperature in the end."""
        return self.start if self.end is None else self.end

    def __call__(self, step: int) -> float:
        """The temperature of a step."""
        if step < 0:
            raise ValueError(f"step: expected at least 0, got {step}")
        x = min(step / self.steps, 1.0)
        if self.shape == "cosine":
            return self.last + (self.start - self.last) * (1 + math.cos(math.pi * x)) / 2
        return float(self.start * (self.last / self.start) ** x)


class GumbelRao(nn.Module):
    """`gumbel_rao` with its hyper-parameters, for use as a layer.

    In training it samples; in evaluation it does, too, unless `hard_eval`, which takes the most
    probable class. Call `step()` after each update of the optimizer to move along the schedule;
    the count is saved in the state dict.

    Args:
        tau: temperature, a number or a `Schedule`.
        k: K, the number of draws given D, or `math.inf`.
        hard_eval: take the argmax in evaluation mode.

    Raises:
        TypeError, ValueError: for arguments of another kind or range.

    Example:
        >>> layer = GumbelRao(tau=Schedule(1.0, 0.1, steps=1000, shape="cosine"), k=10)
        >>> sample = layer(torch.zeros(4, 3, requires_grad=True))
        >>> layer.step()
        >>> layer
        GumbelRao(tau=1, k=10)

    Source: Paulus, Maddison & Krause (2021), equation (10).
    """

    steps_done: Tensor

    def __init__(
        self, tau: float | Schedule = 0.5, k: int | float = math.inf, *, hard_eval: bool = False
    ) -> None:
        super().__init__()
        check_k(k)
        self.schedule = tau if isinstance(tau, Schedule) else Schedule(tau)
        self.k = k
        self.hard_eval = hard_eval
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))

    @property
    def tau(self) -> float:
        """The temperature now."""
        return self.schedule(int(self.steps_done))

    def step(self) -> None:
        """One step along the schedule."""
        self.steps_done += 1

    def forward(self, logits: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """D, `[*batch, n]`, for logits `[*batch, n]`."""
        if self.hard_eval and not self.training:
            return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        return gumbel_rao(logits, tau=self.tau, k=self.k, generator=generator)

    def extra_repr(self) -> str:
        return f"tau={self.tau:.4g}, k={self.k}"
