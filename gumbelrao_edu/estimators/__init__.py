"""Gradient estimators for categorical variables, one file each, and their registry."""

from ._registry import Record, get, names
from .gumbel_rao import gumbel_rao
from .gumbel_softmax import gumbel_softmax
from .st_gumbel_softmax import st_gumbel_softmax
from .straight_through import straight_through

__all__ = [
    "Record",
    "get",
    "gumbel_rao",
    "gumbel_softmax",
    "names",
    "st_gumbel_softmax",
    "straight_through",
]
