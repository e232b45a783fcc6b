"""Gradient estimators for categorical variables, one file each, and their registry."""

from ._registry import Record, get, names
from ._sampler import sampler
from .exact import exact
from .gumbel_rao import gumbel_rao
from .gumbel_softmax import gumbel_softmax
from .reinforce import RunningMean, reinforce
from .rloo import rloo
from .st_gumbel_softmax import st_gumbel_softmax
from .straight_through import straight_through
from .zgr import zgr

__all__ = [
    "Record",
    "RunningMean",
    "exact",
    "get",
    "gumbel_rao",
    "gumbel_softmax",
    "names",
    "reinforce",
    "rloo",
    "sampler",
    "st_gumbel_softmax",
    "straight_through",
    "zgr",
]
