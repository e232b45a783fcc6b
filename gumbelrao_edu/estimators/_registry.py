"""The registry: one record an estimator, read by tests, notebooks and benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])

KINDS = ("relaxed", "straight-through", "score-function", "enumeration")


@dataclass(frozen=True)
class Record:
    """What is known of an estimator.

    Attributes:
        name: the name of its function.
        label: what tables and figures call it.
        function: the function itself.
        equation: where the paper defines it.
        kind: "relaxed" (f sees a point inside the simplex), "straight-through" (f sees D, the
            gradient is that of a surrogate), "score-function" (a loss to differentiate, f need
            not be differentiable) or "enumeration" (no randomness).
        mean: the name of the estimator whose mean it has; its own name if it stands alone,
            "exact" if it is unbiased.
        example: hyper-parameters to try it with.
    """

    name: str
    label: str
    function: Callable[..., Any]
    equation: str
    kind: str
    mean: str
    example: Mapping[str, Any] = field(hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "example", MappingProxyType(dict(self.example)))

    def __reduce__(self) -> tuple[type[Record], tuple[Any, ...]]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["example"] = dict(self.example)  # a proxy can be neither copied nor pickled
        return Record, tuple(values.values())

    @property
    def unbiased(self) -> bool:
        """Whether its mean is the exact gradient, whatever f."""
        return self.mean == "exact"

    @property
    def samples(self) -> bool:
        """Whether its function takes logits and returns a sample, for f to be applied to."""
        return self.kind in ("relaxed", "straight-through")

    def loss(
        self,
        f: Callable[[Tensor], Tensor],
        logits: Tensor,
        *,
        generator: torch.Generator | None = None,
        **hyper: Any,
    ) -> Tensor:
        """A loss to differentiate, in the same way for every kind of estimator.

        Args:
            f: maps samples `[..., *batch, n]` to losses, see `reinforce`.
            logits: θ, `[*batch, n]`.
            generator: source of randomness; the global one when None.
            **hyper: in place of those of `example`.

        Returns:
            Losses whose gradient in `logits` is the estimate.

        Example:
            >>> f = lambda d: d @ torch.tensor([1.0, 2.0, 3.0])
            >>> logits = torch.zeros(4, 3, requires_grad=True)
            >>> for name in names():
            ...     get(name).loss(f, logits).mean().backward()
        """
        hyper = {**self.example, **hyper}
        if self.samples:
            return f(self.function(logits, generator=generator, **hyper))
        if self.kind == "score-function":
            hyper["generator"] = generator
        loss: Tensor = self.function(f, logits, **hyper)
        return loss


_records: dict[str, Record] = {}


def register(
    *, label: str, equation: str, kind: str, mean: str | None = None, example: Mapping[str, Any]
) -> Callable[[F], F]:
    """Enter the decorated function into the registry, under its own name.

    Args:
        label, equation, kind, mean, example: see `Record`; without `mean` it stands alone.

    Raises:
        ValueError: if the kind is none of those, or another function has the name.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}")

    def enter(function: F) -> F:
        name = function.__name__
        if name in _records and _records[name].function.__module__ != function.__module__:
            raise ValueError(
                f"register: expected a new name, got {name!r}, which "
                f"{_records[name].function.__module__} has"
            )
        _records[name] = Record(name, label, function, equation, kind, mean or name, example)
        return function

    return enter


def names() -> list[str]:
    """The names of all estimators, sorted.

    Example:
        >>> "gumbel_rao" in names()
        True
    """
    return sorted(_records)


def get(name: str) -> Record:
    """The record of an estimator.

    Raises:
        TypeError: when the name is no text.
        ValueError: when there is none of that name.

    Example:
        >>> get("gumbel_rao").equation
        '(10)'
    """
    if not isinstance(name, str):
        raise TypeError(f"name: expected a text, got {type(name).__name__}")
    if name not in _records:
        raise ValueError(f"name: expected one of {', '.join(names())}, got {name!r}")
    return _records[name]
