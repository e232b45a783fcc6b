"""Numbers on the command line, as argparse wants them: what was got, and what is expected."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def one_number(
    kind: Callable[[str], Number], expected: str, valid: Callable[[Number], bool] = lambda _: True
) -> Callable[[str], Number]:
    """Return a parser of a number.

    Args:
        kind: makes it from the text; a `ValueError` says that it cannot.
        expected: what it has to be, for the error.
        valid: whether it is that.

    Example:
        >>> parse = one_number(int, "a whole number, at least 1", lambda n: n >= 1)
        >>> parse("12")
        12
        >>> parse("0")
        Traceback (most recent call last):
        argparse.ArgumentTypeError: expected a whole number, at least 1, got '0'
    """

    def parse(text: str) -> Number:
        try:
            if valid(value := kind(text)):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")

    return parse


def several_numbers(kind: Callable[[str], Number], expected: str) -> Callable[[str], list[Number]]:
    """Return a parser of numbers with commas between.

    Args:
        kind: makes one from its text; a `ValueError` says that it cannot.
        expected: what they have to be, for the error.

    Example:
        >>> several_numbers(float, "numbers")("0.1,1")
        [0.1, 1.0]
    """

    def parse(text: str) -> list[Number]:
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"expected {expected} with commas between, got {text!r}"
            ) from None

    return parse
