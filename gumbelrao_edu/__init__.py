"""gumbelrao_edu: a course and a small library on the Gumbel-Rao gradient estimator.

The names imported here are the library; the notebooks explain them one after the other.
"""

from . import estimators, surrogate
from .device import default_device
from .estimators import gumbel_rao, gumbel_softmax, st_gumbel_softmax, straight_through
from .gumbel import conditional_gumbel, gumbel_max, sample_gumbel, tempered_softmax

__version__ = "0.1.0"

__all__ = [
    "conditional_gumbel",
    "default_device",
    "estimators",
    "gumbel_max",
    "gumbel_rao",
    "gumbel_softmax",
    "sample_gumbel",
    "st_gumbel_softmax",
    "straight_through",
    "surrogate",
    "tempered_softmax",
]
