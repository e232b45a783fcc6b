"""Gradient estimators for categorical variables, one file each, and their registry.

Each file holds the function of its name: `estimators.gumbel_rao` is the file,
`gumbelrao_edu.gumbel_rao` and `estimators.get("gumbel_rao").function` are the function.
"""

from . import (
    decoupled_straight_through,
    exact,
    gapped_straight_through,
    gumbel_rao,
    gumbel_softmax,
    reinforce,
    reinmax,
    reinmax_cv,
    reinmax_rao,
    rloo,
    st_gumbel_softmax,
    straight_through,
    zgr,
)
from ._registry import Record, get, names
from ._sampler import Sampler, joined, sampler, samples_of
from ._score import score_loss
from .reinforce import RunningMean

__all__ = [
    "Record",
    "RunningMean",
    "Sampler",
    "decoupled_straight_through",
    "exact",
    "gapped_straight_through",
    "get",
    "gumbel_rao",
    "gumbel_softmax",
    "joined",
    "names",
    "reinforce",
    "reinmax",
    "reinmax_cv",
    "reinmax_rao",
    "rloo",
    "sampler",
    "samples_of",
    "score_loss",
    "st_gumbel_softmax",
    "straight_through",
    "zgr",
]
