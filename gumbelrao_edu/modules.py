"""Gumbel-Rao as a module, with a schedule for the temperature."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ._checks import (
    Tau,
    check_count,
    check_generator,
    check_logits,
    check_number,
    check_tau,
    check_whole,
)
from .estimators.gumbel_rao import Noise, check_gumbel_rao, gumbel_rao
from .gumbel import one_hot_of_largest

Shape = Literal["constant", "linear", "exponential", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """A temperature for each training step.

        constant       τ(t) = a
        linear         τ(t) = (1 − x) a + x b
        exponential    τ(t) = a^(1 − x) b^x
        cosine         τ(t) = b + (a − b) (1 + cos πx) / 2,        x = min(t/T, 1)

    and at least the floor. Apart from the floor the first value is exactly a, from step T on it is
    exactly b, and all lie between the two.

    Args:
        start: a, the temperature of step 0.
        end: b, that of step T and after it; `start` by default.
        steps: T, over how many steps it changes; none for a constant temperature.
        shape: "constant", "linear", "exponential" or "cosine".
        floor: a temperature that it does not fall below.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range.

    Example:
        >>> tau = Schedule(1.0, 0.1, steps=100, shape="exponential", floor=0.2)
        >>> [round(tau(t), 3) for t in (0, 50, 100, 1000)]
        [1.0, 0.316, 0.2, 0.2]

    Source: Jang, Gu & Poole (2017) anneal exponentially, down to a floor; Paulus, Maddison & Krause
    (2021), section 6, expect further gains from annealing.
    """

    start: float
    end: float | None = None
    steps: int | None = None
    shape: Shape = "constant"
    floor: float = 0.0

    def __post_init__(self) -> None:
        for name, tau in (("start", self.start), ("end", self.end)):
            if name == "start" or tau is not None:
                check_tau(tau := check_number(tau, name), torch.Size(), name=name)
                object.__setattr__(self, name, tau)
        if self.steps is not None:
            object.__setattr__(self, "steps", check_count(self.steps, "steps"))
        if not isinstance(self.shape, str) or self.shape not in get_args(Shape):
            raise ValueError(f"shape: expected one of {get_args(Shape)}, got {self.shape!r}")
        if self.shape == "constant" and self.last != self.start:
            others = [shape for shape in get_args(Shape) if shape != "constant"]
            raise ValueError(
                f"end: expected none for a constant schedule, got {self.end}; the shapes {others} "
                f"have one"
            )
        if self.shape != "constant" and self.steps is None:
            raise ValueError(f"steps: expected a number for a {self.shape} schedule, got none")
        object.__setattr__(self, "floor", check_number(self.floor, "floor"))
        if not 0 <= self.floor <= max(self.start, self.last):
            raise ValueError(
                f"floor: expected a number from 0 to the largest temperature "
                f"{max(self.start, self.last)}, got {self.floor}"
            )

    @property
    def last(self) -> float:
        """The last temperature, before the floor is applied."""
        return self.start if self.end is None else self.end

    def __call__(self, step: int) -> float:
        """The temperature of a step."""
        if isinstance(step, bool) or not isinstance(step, numbers.Real):
            raise TypeError(f"step: expected a number, got {type(step).__name__}")
        if not step >= 0:
            raise ValueError(f"step: expected at least 0, got {step}")
        steps = self.steps or 1
        a, b, x = self.start, self.last, 1.0 if step >= steps else float(step) / steps
        if self.shape == "linear":
            tau = (1 - x) * a + x * b
        elif self.shape == "cosine":
            c = math.cos(math.pi * x)
            tau = (1 + c) / 2 * a + (1 - c) / 2 * b
        else:
            tau = a ** (1 - x) * b**x
        # Rounding could lead past an end by a digit.
        return float(max(self.floor, min(a, b), min(tau, max(a, b))))


class GumbelRao(nn.Module):
    """`gumbel_rao` with its hyper-parameters, for use as a layer.

    In training it samples; in evaluation it does, too, unless `hard_eval`, which takes the most
    probable class. Call `step()` after each update of the optimizer to move along the schedule;
    the count of steps is saved in the state dict where the temperature depends on it. (It is no
    buffer: `torch.func.functional_call` takes the parameters and buffers, not this.)

    A schedule does not make `torch.compile` compile anew, if `step()` is called outside of what is
    compiled: within, each count of steps is a program of its own. With K = ∞ the tables are made
    for each new temperature, which takes longer than a step of a small model; 30 draws are as fast
    then.

    Args:
        tau: temperature, a number, a `Schedule`, or any function of the step alone. It is not
            learned: the estimator has no gradient in τ, and a tensor is refused.
        k: K, the number of draws given D, or `math.inf`, with up to 1024 classes and τ ≤ 100.
        dim: the axis of the classes, 1 for `[batch, classes, height, width]`. (The functions take
            classes last.)
        noise: how the K draws belong together, see `gumbel_rao`.
        hard_eval: take the argmax in evaluation mode; no gradient reaches the logits then.
        generator: source of randomness; the global one when None. It is copied and pickled with
            the layer, and not part of the state dict. Leave it out under activation checkpointing.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range.

    Example:
        >>> layer = GumbelRao(tau=Schedule(1.0, 0.1, steps=1000, shape="cosine"), k=10)
        >>> sample = layer(torch.zeros(4, 3, requires_grad=True))
        >>> layer.step()
        >>> layer
        GumbelRao(tau=1 at step 1, k=10)

    Source: Paulus, Maddison & Krause (2021), equation (10).
    """

    def __init__(
        self,
        tau: float | Callable[[int], float] = 0.5,
        k: int | float = math.inf,
        *,
        dim: int = -1,
        noise: Noise = "iid",
        hard_eval: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_generator(generator)
        self.k: int | float = k
        self.dim = dim
        self.noise: Noise = noise
        self.hard_eval = hard_eval
        self.generator = generator
        self._steps_done = 0
        self.schedule = tau

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "dim":
            value = check_whole(value, "dim")
        if name == "hard_eval" and not isinstance(value, bool):
            raise TypeError(f"hard_eval: expected True or False, got {value!r}")
        if name == "schedule":  # nn.Module would keep a parameter for itself
            object.__setattr__(self, name, value)
        elif name == "tau":
            raise AttributeError(
                "tau: it is what the schedule gives; set `schedule` to a number, a Schedule or a "
                "function of the step"
            )
        else:
            super().__setattr__(name, value)

    @property
    def schedule(self) -> float | Callable[[int], float]:
        """What gives the temperature of a step, or the temperature; it may be replaced."""
        return self._schedule

    @schedule.setter
    def schedule(self, tau: float | Callable[[int], float]) -> None:
        if not (callable(tau) or isinstance(tau, numbers.Real)) or isinstance(tau, bool):
            raise TypeError(
                f"tau: expected a number, a Schedule or a function of the step, got "
                f"{type(tau).__name__}"
                + (": no gradient reaches it, it is not learned" * isinstance(tau, Tensor))
            )
        temperatures: list[Any] = [tau]
        if isinstance(tau, Schedule):
            temperatures = [max(tau.floor, end) for end in (tau.start, tau.last)]
        elif callable(tau):
            temperatures = [tau(self.steps_done)]
        for temperature in temperatures:
            number = self._checked(temperature)
        self._schedule = tau if callable(tau) else float(number)
        self.steps_done = self.steps_done  # for compiled code

    @property
    def tau(self) -> float:
        """The temperature now."""
        return self.schedule(self.steps_done) if callable(self.schedule) else self.schedule

    @property
    def steps_done(self) -> int:
        """How often `step` was called."""
        return self._steps_done

    @steps_done.setter
    def steps_done(self, count: int) -> None:
        count = check_count(count, "steps_done", least=0)
        if callable(self.schedule):
            tau = self._checked(self.schedule(count))
            # Compiled code reads a tensor anew at each call, and is compiled again for each number.
            # Of a tensor it can't see that it is 0, which stands for the limit.
            with torch.inference_mode(False):
                cell = torch.tensor(tau, dtype=torch.float64, device="cpu")
            self._compiled_tau: Tau = cell if tau > 0 else 0.0
        self._steps_done = count

    def _checked(self, temperature: Any) -> Tau:
        """A temperature that goes with `k` and `noise`."""
        if isinstance(temperature, Tensor):
            raise TypeError(f"tau: expected a function that returns numbers, got {temperature!r}")
        tau, self.k = check_gumbel_rao(temperature, self.k, self.noise)
        return tau

    def step(self) -> None:
        """One step along the schedule."""
        self.steps_done += 1

    def forward(self, logits: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """D, for logits of the same shape with the classes along `dim`.

        Args:
            logits: θ, `[*batch, n]` for dim = −1.
            generator: in place of the layer's own.

        Raises:
            TypeError, ValueError: if an argument has the wrong type, shape or range.
        """
        if not isinstance(logits, Tensor):
            raise TypeError(f"logits: expected a tensor, got {type(logits).__name__}")
        if not -logits.dim() <= self.dim < logits.dim():
            raise ValueError(
                f"logits: expected an axis {self.dim} for the classes, "
                f"got shape {tuple(logits.shape)}"
            )
        theta = logits.movedim(self.dim, -1)
        if self.hard_eval and not self.training:
            check_logits(theta)
            sample = one_hot_of_largest(theta)
        else:
            annealed = callable(self.schedule) and torch.compiler.is_compiling()
            sample = gumbel_rao(
                theta,
                tau=self._compiled_tau if annealed else self.tau,
                k=self.k,
                noise=self.noise,
                generator=self.generator if generator is None else generator,
            )
        sample = sample.movedim(-1, self.dim)
        return sample.contiguous() if logits.is_contiguous() else sample

    def extra_repr(self) -> str:
        text = f"tau={self.tau:.4g}, k={self.k}"
        if callable(self.schedule):
            text = f"tau={self.tau:.4g} at step {self.steps_done}, k={self.k}"
        if self.hard_eval:
            text += ", hard_eval=True"
        if self.dim != -1:
            text += f", dim={self.dim}"
        return text if self.noise == "iid" else f"{text}, noise={self.noise!r}"

    # The count is a Python number: a look at a buffer would wait for a GPU, and has no single value
    # where models are stacked. In the state dict it is a tensor, as all that stands there.

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if callable(self.schedule):
            destination[prefix + "steps_done"] = torch.tensor(self.steps_done, device="cpu")

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = prefix + "steps_done"
        rest = {name: value for name, value in state_dict.items() if name != key}
        super()._load_from_state_dict(
            rest, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        if key in state_dict:
            count = state_dict[key]
            try:
                number = float(count)
            except (TypeError, ValueError, RuntimeError):  # a text, several numbers, a meta tensor
                number = -1.0
            if number.is_integer() and number >= 0:
                self.steps_done = int(number)
            else:
                error_msgs.append(f"{key}: expected one whole number from 0, got {count}")
        elif callable(self.schedule):
            missing_keys.append(key)  # a constant temperature has nothing to restore
