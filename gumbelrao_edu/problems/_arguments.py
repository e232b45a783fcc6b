"""Argument checks of the problems: probabilities, rates and powers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .._checks import check_floating, check_number, holds

_ROUNDING = 1e-5  # of a sum of probabilities that were given with few digits


def check_finite(tensor: Any, name: str) -> None:
    """A floating tensor without NaN or infinity."""
    check_floating(tensor, name)
    if not holds(Tensor.isfinite, tensor):
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")


def check_probabilities(p: Any, rows: str) -> None:
    """A floating tensor `[rows, n]`, n >= 1, whose rows are probabilities; `rows` says of what."""
    check_finite(p, "p")
    if p.dim() != 2:
        raise ValueError(f"p: expected [{rows}, n], got {tuple(p.shape)}")
    if p.shape[-1] == 0:
        raise ValueError(f"p: expected [{rows}, n] with n >= 1, got {tuple(p.shape)}")
    rounding = max(_ROUNDING, p.shape[-1] * torch.finfo(p.dtype).eps)
    if not holds(lambda x: (x >= 0).all(-1) & ((x.sum(-1) - 1).abs() <= rounding), p):
        raise ValueError(
            "p: expected probabilities in each row, got a negative one or a sum other than 1"
        )


def check_positive(value: Any, name: str, *, infinite: bool = False) -> float:
    """A positive finite number, or math.inf where that is allowed."""
    number = math.inf if infinite and value == math.inf else check_number(value, name)
    if not number > 0:
        raise ValueError(f"{name}: expected a positive number, got {value}")
    return number
