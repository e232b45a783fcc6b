"""Argument checks: what was got, and what is expected.

Shapes, types and Python numbers are always checked. The *values* of a tensor are checked where
reading them costs nothing, that is on the CPU and outside of tracing: on a GPU one look at a value
waits for all work in the queue.

Numbers may be of any kind that Python knows as such, NumPy's included; the checks of numbers return
them as Python's own, with which the rest computes.
"""

from __future__ import annotations

import math
import numbers
import operator
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

from ._generators import Generators

Tau = float | Tensor
Checked = TypeVar("Checked")

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_LARGEST = sys.float_info.max
_INT64 = 2**63
MIN_TAU, MAX_TAU = 1e-40, 1e30  # outside, τ or differences of logits divided by it leave float32

_TAUS = f"at least {MIN_TAU:g} and at most {MAX_TAU:g}"


def check_logits(logits: Any, name: str = "logits") -> None:
    """A floating tensor `[*batch, n]`; every row has a class that can occur; no NaN, no +inf."""
    check_floating(logits, name)
    if logits.dim() == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"{name}: expected shape [*batch, n] with n >= 1, got {tuple(logits.shape)}"
        )
    # A NaN, +inf or a row of nothing but -inf shows in the row's maximum.
    if not holds(lambda x: x.amax(-1).isfinite(), logits):
        raise ValueError(
            f"{name}: expected numbers below +inf and in each row one above -inf "
            f"(-inf marks a class that never occurs), got NaN, +inf or a row of -inf"
        )


def check_tau(
    tau: Any,
    batch: torch.Size,
    *,
    name: str = "tau",
    allow_zero: bool = False,
    learnable: bool = True,
) -> Tau:
    """A positive finite number, or a tensor of them that broadcasts to `batch`.

    `allow_zero`: a number may be 0.
    """
    if isinstance(tau, Tensor):
        check_floating(tau, name)
        if not _broadcasts_to(tau.shape, batch):
            raise ValueError(
                f"{name}: expected a shape that broadcasts to the batch {tuple(batch)} "
                f"of the logits, got {tuple(tau.shape)}"
            )
        if not holds(lambda t: (t > 0) & t.isfinite(), tau):
            raise ValueError(f"{name}: expected positive finite numbers, got {shown(tau)}")
        if not holds(lambda t: (t >= MIN_TAU) & (t <= MAX_TAU), tau):
            raise ValueError(f"{name}: expected {_TAUS}, got {shown(tau)}")
        if tau.requires_grad and not learnable:
            raise ValueError(
                f"{name}: expected a tensor without gradient, got one that requires it"
            )
        return tau
    number = _python_number(tau, name, "a number or a tensor")
    # A comparison and no `isfinite`: the compiler may hold τ for a symbol.
    if not (number <= _LARGEST and (number > 0 or (allow_zero and number == 0))):
        wanted = "non-negative" if allow_zero else "positive"
        raise ValueError(f"{name}: expected a {wanted} finite number, got {tau}")
    if 0 < number < MIN_TAU or number > MAX_TAU:
        raise ValueError(f"{name}: expected {_TAUS}, got {tau}")
    return number


def check_temperature(value: Any, name: str = "tau") -> float:
    """One positive finite number; a tensor without axes is one, too."""
    return float(check_tau(value, torch.Size(), name=name))


def shown(value: Any) -> str:
    """A number, or a tensor; of more than eight entries the smallest and the largest."""
    if not isinstance(value, Tensor):
        return str(value)
    if value.numel() <= 8:
        return str(value.tolist())
    return f"{tuple(value.shape)} of {value.min():g} to {value.max():g}"


def check_real(tensor: Any, name: str, of: str = "numbers") -> None:
    """A dense tensor of real numbers of any dtype; `of` says what they are."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor of {of}, got {type(tensor).__name__}")
    if tensor.is_complex():
        raise TypeError(f"{name}: expected real {of}, got {tensor.dtype}")
    if not is_dense(tensor):
        raise TypeError(f"{name}: expected a dense tensor of {of}, got {layout_of(tensor)}")


def check_kind(value: Any, kind: type, name: str) -> None:
    """An object of a class; a compiled module stands for its own."""
    value = getattr(value, "_orig_mod", value)
    if not isinstance(value, kind):
        a = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{name}: expected {a} {kind.__name__}, got {type(value).__name__}")


def check_function(f: Any, name: str = "f") -> None:
    """Something that can be called."""
    if not callable(f):
        raise TypeError(f"{name}: expected a function, got {type(f).__name__}")


def check_draws(draws: Any, name: str = "draws") -> Tensor:
    """Real numbers of any dtype, `[m, *shape]`, which are returned in float64."""
    check_real(draws, name)
    if draws.dim() == 0:
        raise ValueError(f"{name}: expected the shape [m, *shape], got a single number")
    double: Tensor = draws.detach().double()
    return double


def check_shape(shape: Any) -> tuple[int, ...]:
    """Whole numbers that are not negative."""
    try:
        size = tuple(operator.index(length) for length in shape)
    except TypeError:
        raise TypeError(f"shape: expected a sequence of whole numbers, got {shape!r}") from None
    if min(size, default=0) < 0:
        raise ValueError(f"shape: expected no negative number, got {size}")
    return size


def check_whole(value: Any, name: str) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, (int, numbers.Integral)):
        raise TypeError(f"{name}: expected a whole number, got {type(value).__name__} {value!r}")
    return value if type(value) is int else int(value)


def check_count(value: Any, name: str, least: int = 1) -> int:
    """A whole number, at least 1 or `least`."""
    number = check_whole(value, name)
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")
    return number


def check_seed(seed: Any) -> int:
    """A whole number that torch takes for a seed."""
    number = check_whole(seed, "seed")
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"seed: expected a number from −2^63 to 2^64 − 1, got {number}")
    return number


def check_number(value: Any, name: str) -> float:
    """A finite number."""
    number = _python_number(value, name, "a number")
    if not -_LARGEST <= number <= _LARGEST:  # no `isfinite`, see `check_tau`
        raise ValueError(f"{name}: expected a finite number, got {value}")
    return number


def check_several(
    values: Any, name: str, check: Callable[[Any, str], Checked], of: str = "number"
) -> list[Checked]:
    """At least one value, each of which `check` takes with the name; `of` says what they are."""
    if (
        not isinstance(values, Iterable)
        or isinstance(values, (str, bytes, bytearray))
        or getattr(values, "ndim", 1) == 0  # an array without an axis
    ):
        raise TypeError(f"{name}: expected several {of}s, got {values!r}")
    if not (checked := [check(value, name) for value in values]):
        raise ValueError(f"{name}: expected at least one {of}, got none")
    return checked


def check_k(value: Any, name: str = "k") -> int | float:
    """The number of draws given D: a whole number, at least 1, or math.inf."""
    if isinstance(value, (float, numbers.Real)) and value == math.inf:
        return math.inf
    try:
        return check_count(value, name)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error} (math.inf is allowed, too)") from None


def check_device(device: Any) -> torch.device:
    """A device, or what names one."""
    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device: expected one that torch knows, got {device!r}") from None


def check_one_hot(one_hot: Any, logits: Tensor) -> None:
    """One-hot rows of the same shape as `logits`."""
    if not isinstance(one_hot, Tensor):
        raise TypeError(f"one_hot: expected a tensor, got {type(one_hot).__name__}")
    if not is_dense(one_hot) or one_hot.is_complex():
        raise TypeError(
            f"one_hot: expected a dense tensor of real numbers, got {layout_of(one_hot)} of "
            f"{one_hot.dtype}"
        )
    if one_hot.shape != logits.shape:
        raise ValueError(
            f"one_hot: expected the shape {tuple(logits.shape)} of the logits, "
            f"got {tuple(one_hot.shape)}"
        )
    check_same_device(one_hot, "one_hot", logits)
    if not holds(lambda d: ((d == 0) | (d == 1)).all(-1) & (d.sum(-1) == 1), one_hot):
        raise ValueError("one_hot: expected a single 1 and otherwise 0 in each row")
    if not holds(lambda x, d: x.masked_fill(d == 0, 0.0).isfinite(), logits, one_hot):
        raise ValueError("one_hot: got a class of logit -inf, which never occurs")


def check_same_device(
    tensor: Tensor, name: str, other: Tensor, where: str = "where the logits are"
) -> None:
    """A tensor that is used together with another one."""
    if tensor.device != other.device:
        raise ValueError(
            f"{name}: expected a tensor on {other.device}, {where}, got one on {tensor.device}"
        )


def check_generator(generator: Any, device: torch.device | None = None) -> None:
    """None, or a `torch.Generator`, on the device where it is to draw, if that is known."""
    if generator is None:
        return
    if not isinstance(generator, (torch.Generator, Generators)):
        raise TypeError(
            f"generator: expected a torch.Generator or None, got {type(generator).__name__}"
        )
    device = generator.device if device is None else device
    cards = {generator.device.index, device.index} - {None}  # a CPU has no number
    if generator.device.type != device.type or len(cards) > 1:
        raise ValueError(
            f"generator: expected one on {device}, where numbers are drawn, got one on "
            f"{generator.device}"
        )
    if torch.compiler.is_dynamo_compiling():
        torch._dynamo.graph_break(
            "generator: expected None under torch.compile(fullgraph=True), which takes no "
            "generators, got one"
        )


def check_floating(tensor: Any, name: str) -> None:
    """A dense tensor of floating-point numbers of 16 to 64 bits."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.dtype not in FLOATING:
        raise TypeError(
            f"{name}: expected a floating-point tensor of 16 to 64 bits, got {tensor.dtype}"
        )
    if not is_dense(tensor):
        raise TypeError(f"{name}: expected a dense tensor, got {layout_of(tensor)}")


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor is neither sparse nor nested."""
    return tensor.layout == torch.strided and not tensor.is_nested


def layout_of(tensor: Tensor) -> str:
    """What a tensor is, for an error."""
    return "a nested one" if tensor.is_nested else str(tensor.layout)


def without_gradient() -> str:
    """The end of an error about a missing gradient, where nothing has one."""
    return "; nothing is in torch.inference_mode" if torch.is_inference_mode_enabled() else ""


def _python_number(value: Any, name: str, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, numbers.Real)):
        raise TypeError(f"{name}: expected {expected}, got {type(value).__name__}")
    if type(value) is float or (type(value) is int and -_INT64 <= value < _INT64):
        return value  # torch takes no larger int
    try:
        return float(value)
    except OverflowError:  # of a fraction
        return math.inf


def _broadcasts_to(shape: torch.Size, target: torch.Size) -> bool:
    return len(shape) <= len(target) and all(
        have in (1, want) for have, want in zip(reversed(shape), reversed(target), strict=False)
    )


def holds(condition: Callable[..., Tensor], *tensors: Tensor) -> bool:
    """Whether all of `condition(*tensors)` is true, whose tensors come without a gradient.

    True as well where the values of the first tensor are not to be read. There nothing is computed:
    on a GPU each operation would take a launch, and `torch.export` refuses one without a use.
    """
    if not _readable(tensors[0]):
        return True
    return _all(condition(*(tensor.detach() for tensor in tensors)), unread=True)


def seen_true(condition: Tensor) -> bool:
    """Whether all of `condition` is true; not so where its values are not to be read."""
    return _readable(condition) and _all(condition, unread=False)


def _readable(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def _all(condition: Tensor, *, unread: bool) -> bool:
    try:
        return bool(condition.all())
    except RuntimeError:  # inside vmap a value has no single truth
        return unread
