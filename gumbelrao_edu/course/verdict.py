"""How a check answers: call the learner's function, compare, and name the mistake."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# What a wrong answer would look like, by the sentence that says what is wrong with it.
Mistakes = Mapping[str, Tensor]


@dataclass(frozen=True, repr=False)
class Verdict:
    """The answer of a check, shown as its text.

    Args:
        right: whether the exercise is solved.
        text: begins with "Right: " or "Not yet: ".

    Example:
        >>> Verdict(True, "Right: well done.")
        Right: well done.
    """

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.text


class Wrong(Exception):
    """Raised inside of a check; its text follows "Not yet: "."""


def check(praise: str) -> Callable[[Callable[[Any], None]], Callable[[Any], Verdict]]:
    """Make a check of a function that raises `Wrong`; `praise` follows "Right: "."""

    def decorate(function: Callable[[Any], None]) -> Callable[[Any], Verdict]:
        @functools.wraps(function)
        def run(answer: Any) -> Verdict:
            try:
                function(answer)
            except Wrong as wrong:
                return Verdict(False, f"Not yet: {wrong}")
            return Verdict(True, f"Right: {praise}")

        return run

    return decorate


def call(function: Any, **arguments: Any) -> Any:
    """Call the learner's function with copies of the arguments, in their order."""
    if not callable(function):
        raise Wrong(f"expected a function, got {function!r}.")
    name = getattr(function, "__name__", "your function")
    copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments.values()]
    try:
        result = function(*copies)
    except Exception as error:
        raise Wrong(
            f"{name} raised {type(error).__name__}: {error}\nfor{shown(arguments)}"
        ) from error
    if result is None or result is ...:
        raise Wrong(f"{name} returned nothing. Write its body, and end it with `return`.")
    return result


def expect(got: Any, expected: Tensor, given: Mapping[str, Any], mistakes: Mistakes) -> None:
    """Raise `Wrong` unless two tensors agree; say what is wrong as closely as is known."""
    context = f"\nFor{shown(given)}\nyou return\n    {numbers(got)}\nexpected is\n    "
    context += numbers(expected)
    if not isinstance(got, Tensor):
        raise Wrong(f"expected a tensor, got {type(got).__name__}.{context}")
    value = got.detach().double().cpu()
    if close(value, expected):
        return
    for sentence, mistake in mistakes.items():
        if close(value, mistake) and not close(mistake, expected):
            raise Wrong(sentence + context)
    raise Wrong(_in_general(value, expected.double()) + context)


def number(answer: Any) -> float:
    """Return the number that the learner wrote in place of None."""
    if answer is None or answer is ...:
        raise Wrong("no answer so far. Write a number in place of None.")
    try:
        return float(answer)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(f"expected one number, got {answer!r}.") from None


def close(got: Tensor, expected: Tensor) -> bool:
    """Equal to about single precision; shapes too."""
    if got.shape != expected.shape:
        return False
    return torch.allclose(got.double(), expected.double(), rtol=1e-4, atol=1e-6)


def shown(arguments: Mapping[str, Any]) -> str:
    return "".join(f"\n    {name} = {numbers(value)}" for name, value in arguments.items())


def numbers(value: Any) -> str:
    """A tensor as nested lists of numbers with four digits."""
    if isinstance(value, Tensor):
        return numbers(value.detach().tolist())
    if isinstance(value, list):
        return "[" + ", ".join(map(numbers, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def _in_general(got: Tensor, expected: Tensor) -> str:
    """What can be said of a wrong tensor without knowing the exercise."""
    if got.shape != expected.shape:
        return f"the shape is {list(got.shape)}, expected is {list(expected.shape)}."
    if got.isnan().any():
        return "there is a NaN: somewhere inf − inf, inf / inf or 0 / 0 was computed."
    if got.isinf().any() and not expected.isinf().any():
        return "there is an infinite number."
    if close(got, -expected):
        return "the sign is wrong everywhere."
    difference = got - expected
    if expected.numel() > 1 and close(difference, difference.flatten()[0].expand_as(difference)):
        return f"every number is {difference.flatten()[0]:+.4g} off: a term is missing."
    factor = (got / expected).flatten()
    if len(factor) > 1 and factor.isfinite().all() and close(factor, factor[0].expand_as(factor)):
        return f"every number is {factor[0]:.4g} times what it should be: a factor is missing."
    sums = got.sum(-1)
    if close(expected.sum(-1), torch.ones_like(sums)) and not close(sums, torch.ones_like(sums)):
        return f"the entries of a row sum to {numbers(sums)}, and should sum to 1."
    return "the numbers are not the expected ones."
