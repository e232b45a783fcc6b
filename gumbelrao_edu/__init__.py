"""gumbelrao_edu: a course and a small library on the Gumbel-Rao gradient estimator.

The names imported here are the library; the notebooks explain them one after the other.
"""

from . import diagnostics, estimators, quadrature, surrogate
from .device import default_device
from .distributions import GumbelRaoCategorical, concrete_log_prob
from .estimators.decoupled_straight_through import decoupled_straight_through
from .estimators.exact import exact
from .estimators.gapped_straight_through import gapped_straight_through
from .estimators.gumbel_rao import gumbel_rao
from .estimators.gumbel_softmax import gumbel_softmax
from .estimators.reinforce import reinforce
from .estimators.reinmax import reinmax
from .estimators.reinmax_cv import reinmax_cv
from .estimators.reinmax_rao import reinmax_rao
from .estimators.rloo import rloo
from .estimators.st_gumbel_softmax import st_gumbel_softmax
from .estimators.straight_through import straight_through
from .estimators.zgr import zgr
from .gumbel import conditional_gumbel, gumbel_max, sample_gumbel, tempered_softmax
from .modules import GumbelRao, Schedule

__version__ = "0.1.0"

__all__ = [
    "GumbelRao",
    "GumbelRaoCategorical",
    "Schedule",
    "concrete_log_prob",
    "conditional_gumbel",
    "decoupled_straight_through",
    "default_device",
    "diagnostics",
    "estimators",
    "exact",
    "gapped_straight_through",
    "gumbel_max",
    "gumbel_rao",
    "gumbel_softmax",
    "quadrature",
    "reinforce",
    "reinmax",
    "reinmax_cv",
    "reinmax_rao",
    "rloo",
    "sample_gumbel",
    "st_gumbel_softmax",
    "straight_through",
    "surrogate",
    "tempered_softmax",
    "zgr",
]
