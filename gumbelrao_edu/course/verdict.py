"""How a check answers: call the learner's function, compare, and name the mistake."""

from __future__ import annotations

import functools
import math
import numbers as kinds
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

_SHOWN = 20  # entries of a list
_UNKNOWN = "the numbers are not the expected ones."

# To errors of PyTorch that say little to those who meet them first.
_ADVICE = {
    "must match the size of tensor": "Two shapes do not fit. x[:, None] makes a column of a "
    "list of numbers, x[:, [i]] is a column of a matrix, and x.sum(-1, keepdim=True) keeps the "
    "axis that it sums over.",
    "only one element tensors can be converted": "The functions of `math` take one number. Use "
    "those of torch.",
    "smaller than num_classes": "A place is beyond the number of classes. Take the argmax over "
    "the classes, argmax(-1), and give one_hot their number.",
    "division by zero": "Python's numbers can't be divided by 0. If this one was in a tensor, "
    "leave out .item(): there 1 / 0 is inf, and inf to a negative power 0.",
    "'NoneType' object has no attribute": "Something that you call returns nothing: an exercise "
    "that you have left out?",
    "returned an invalid gradient": "The gradient of the logits has their shape, [n].",
}

# What to say of numbers of the right shape that no known mistake gives: a sentence, or what makes
# one of the numbers.
Otherwise = str | Callable[[Tensor], str]

# What a wrong answer would look like, by the sentence that says what is wrong with it.
Mistakes = Mapping[str, Tensor | float]


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
                with torch.device("cpu"):  # whatever the learner's default is
                    function(answer)
            except Wrong as wrong:
                return Verdict(False, f"Not yet: {wrong}")
            except Exception as error:  # of something that no exercise expects
                return Verdict(False, f"Not yet: your answer cannot be checked: {told(error)}")
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
    except (Exception, SystemExit) as error:
        raise Wrong(f"{name} raised {advised(error)}\nfor{shown(arguments)}") from error
    if result is None or result is ...:
        raise Wrong(f"{name} returned nothing. Write its body, and end each branch with `return`.")
    return result


def random(function: Any, got: Any, given: Mapping[str, Any]) -> bool:
    """Whether the learner's function draws: called once more it gives other numbers than `got`."""
    again = call(function, **given)
    both = isinstance(got, Tensor) and isinstance(again, Tensor)
    return both and not torch.equal(plain(got).nan_to_num(), plain(again).nan_to_num())


def try_out(
    function: Any,
    expected: Tensor,
    given: Mapping[str, Any],
    mistakes: Mistakes,
    otherwise: Otherwise = _UNKNOWN,
) -> None:
    """Call the learner's function and `expect` its numbers; tell one that draws by itself.

    Args:
        function: the learner's.
        expected: what it should return.
        given: its arguments, in order.
        mistakes: see `expect`.
        otherwise: see `Otherwise`.
    """
    got = call(function, **given)
    try:
        expect(got, expected, given, mistakes, otherwise)
    except Wrong:
        if random(function, got, given):
            raise Wrong(
                "your function draws: called twice with the same numbers, it gives two results. "
                "Use what is given, and nothing random beside it."
            ) from None
        raise


def advised(error: BaseException) -> str:
    """What is told of an error, and what may help."""
    said = told(error)
    return said + "".join(f"\n{advice}" for text, advice in _ADVICE.items() if text in said)


def told(error: BaseException) -> str:
    """The kind of an error and its text, if that can be had."""
    try:
        return shortened(f"{type(error).__name__}: {error}", 500)
    except Exception:  # a class of the learner's
        return type(error).__name__


def expect(
    got: Any,
    expected: Tensor | float,
    given: Mapping[str, Any],
    mistakes: Mistakes,
    otherwise: Otherwise = _UNKNOWN,
) -> None:
    """Raise `Wrong` unless the numbers agree; say what is wrong as closely as is known.

    One number may be of any kind: a tensor, Python's or NumPy's. If nothing else can be said of
    numbers of the right shape, `otherwise` says which part of the exercise they do not fulfil.
    """
    expected = torch.as_tensor(expected, dtype=torch.float64)

    def wrong(sentence: str) -> Wrong:
        return Wrong(
            f"{sentence}\nFor{shown(given)}\nyou return\n    {numbers(got)}\n"
            f"expected is\n    {numbers(expected)}"
        )

    value = got
    if expected.dim() == 0 and not isinstance(got, Tensor):
        try:
            value = torch.tensor(number(got), dtype=torch.float64)
        except Wrong as error:
            raise wrong(str(error)) from None
    try:
        value = plain(value)
    except Wrong as error:
        raise wrong(str(error)) from None
    if close(value, expected):
        return
    for sentence, number_or_tensor in mistakes.items():
        mistake = torch.as_tensor(number_or_tensor)
        known = close(value, mistake) and mistake.isfinite().any()
        if known and not close(mistake, expected):
            raise wrong(sentence)
    if _rounded(got, given) and torch.allclose(value, expected, rtol=1e-2, atol=1e-2):
        raise wrong(
            f"you compute in {str(got.dtype).removeprefix('torch.')}, in which digits are lost. "
            "Keep the dtype of what is given, float64."
        )
    sentence = _in_general(value, expected)
    if sentence == _UNKNOWN:
        sentence = otherwise if isinstance(otherwise, str) else otherwise(value)
    raise wrong(sentence)


def plain(got: Any) -> Tensor:
    """Return the numbers of a tensor of any kind as float64 on the CPU; raise `Wrong` if none.

    An array of NumPy's is as good.
    """
    if isinstance(got, np.ndarray) and got.dtype.kind in "biuf":
        got = torch.from_numpy(got.astype(np.float64))
    if isinstance(got, list):
        raise Wrong("expected a tensor, got list. torch.stack or torch.tensor makes one of it.")
    if isinstance(got, tuple):
        raise Wrong("expected a tensor, got tuple. Return one thing.")
    if not isinstance(got, Tensor):
        raise Wrong(f"expected a tensor, got {type(got).__name__}.")
    if got.is_complex():
        raise Wrong(f"expected real numbers, got complex ones ({got.dtype}).")
    return got.detach().to_dense().double().cpu()


def gradient(got: Any, weights: Tensor | float, theta: Tensor, *, cut: str) -> Tensor:
    """Return the derivative in θ of Σ weights · got, of which the value is right.

    Args:
        got: what the learner's function returned.
        weights: upstream gradient.
        theta: what was given to the function.
        cut: what to say when nothing is left to differentiate.
    """
    if not isinstance(got, Tensor):
        raise Wrong(
            f"the value is right, but no derivative goes through {type(got).__name__}. "
            "Compute it with torch alone."
        )
    if not got.requires_grad:
        raise Wrong(f"the value is right, but nothing is left to differentiate: {cut}")
    try:
        loss = (got * weights).sum()
        (found,) = torch.autograd.grad(loss, theta, retain_graph=True, allow_unused=True)
    except Exception as error:
        raise Wrong(f"the value is right, but its backward pass raised {told(error)}") from error
    if found is None:
        raise Wrong("the value is right, but it does not depend on the logits.")
    return found


def number(answer: Any) -> float:
    """Return the number that the learner gave, of whatever kind."""
    if answer is None or answer is ...:
        raise Wrong("no answer so far. Write a number in place of None.")
    try:
        if isinstance(answer, Tensor):
            answer = answer.detach()  # torch warns of a number with a gradient
        # float() would cut the imaginary part off NumPy's numbers.
        if not isinstance(answer, kinds.Complex) or isinstance(answer, kinds.Real):
            return float(answer)
    except (TypeError, ValueError, RuntimeError):
        pass
    except OverflowError:
        return math.inf
    raise Wrong(f"expected one number, got {numbers(answer)}.")


def pair(got: Any, what: str) -> tuple[float, float]:
    """Return two numbers that the learner's function gave, as a tuple, a list or a tensor."""
    if isinstance(got, (Tensor, np.ndarray)) and got.ndim == 1:
        got = [*got]
    if not isinstance(got, (tuple, list)):
        raise Wrong(f"expected two numbers, {what}, got {numbers(got)}.")
    if len(got) != 2:
        raise Wrong(f"expected two numbers, {what}, got {len(got)}.")
    return number(got[0]), number(got[1])


def expect_of(
    which: str,
    got: Any,
    expected: Tensor | float,
    given: Mapping[str, Any],
    mistakes: Mistakes,
    otherwise: Otherwise = _UNKNOWN,
) -> None:
    """Do as `expect` does, for one of several numbers: `which` precedes what is wrong."""
    try:
        expect(got, expected, given, mistakes, otherwise)
    except Wrong as wrong:
        raise Wrong(f"{which}: {wrong}") from None


def close(got: Tensor, expected: Tensor) -> bool:
    """Equal to about single precision; shapes, and what is not a number, too."""
    if got.shape != expected.shape:
        return False
    return torch.allclose(got.double(), expected.double(), rtol=1e-4, atol=1e-6, equal_nan=True)


def shown(arguments: Mapping[str, Any]) -> str:
    return "".join(f"\n    {name} = {numbers(value)}" for name, value in arguments.items())


def numbers(value: Any) -> str:
    """A tensor as nested lists of numbers with four digits, anything else in Python's words."""
    if isinstance(value, Tensor):
        try:
            return numbers(value.detach().to_dense().tolist())
        except Exception:  # one without numbers
            return f"a {value.layout} tensor of shape {list(value.shape)} on {value.device}"
    if isinstance(value, list):
        more = ", …" if len(value) > _SHOWN else ""
        return "[" + ", ".join(map(numbers, value[:_SHOWN])) + more + "]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return shortened(repr(value), 200)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]} …"


def _rounded(got: Any, given: Mapping[str, Any]) -> bool:
    """Whether numbers were given as float64 and came back as something shorter."""
    dtypes = {value.dtype for value in given.values() if isinstance(value, Tensor)}
    short = isinstance(got, Tensor) and got.is_floating_point() and got.dtype != torch.float64
    return short and torch.float64 in dtypes


def _in_general(got: Tensor, expected: Tensor) -> str:
    """What can be said of a wrong tensor without knowing the exercise."""
    if got.shape != expected.shape:
        return f"the shape is {list(got.shape)}, expected is {list(expected.shape)}."
    if got.isnan().any():
        return (
            "there is a NaN: somewhere a logarithm or a root of a negative number was taken, or "
            "inf − inf, inf / inf or 0 / 0 was computed."
        )
    if got.isinf().any() and not expected.isinf().any():
        return "there is an infinite number."
    if close(got, -expected):
        return "the sign is wrong everywhere."
    if not got.any():
        return "all is 0."
    difference = got - expected
    if expected.numel() > 1 and close(difference, difference.flatten()[0].expand_as(difference)):
        return (
            f"every number is {difference.flatten()[0]:+.4g} off: a term is missing, or too many."
        )
    factor = (got / expected).flatten()
    if len(factor) > 1 and factor.isfinite().all() and close(factor, factor[0].expand_as(factor)):
        return (
            f"every number is {factor[0]:.4g} times what it should be: a factor is missing, or too "
            f"many."
        )
    sums = got.sum(-1)
    ones = torch.ones_like(sums)
    if got.dim() and close(expected.sum(-1), ones) and not close(sums, ones):
        return f"the entries of a row sum to {numbers(sums)}, and should sum to 1."
    return _UNKNOWN
