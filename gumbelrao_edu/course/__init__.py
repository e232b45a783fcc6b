"""Checks for the exercises of the notebooks: each says what is wrong, not only that it is.

A check takes the learner's function or number, tries it on several inputs, and answers with a
`Verdict`, which a notebook shows. It never raises: an exercise that is not solved does not stop
the notebook.
"""

from .conditional_gumbels.checks import (
    check_conditional_gumbel,
    check_conditional_softmax,
    check_truncated_gumbel,
)
from .gumbel_max.checks import (
    check_gumbel_from_uniform,
    check_mean_of_max,
    check_one_hot_sample,
    check_relaxed_sample,
)
from .gumbel_rao.checks import check_backward, check_softmax_vjp, check_variance
from .quadratic_programme.checks import check_fixed_loss, check_log_ratio, check_quadratic_matrix
from .verdict import Verdict
from .why_it_works.checks import (
    check_enough_samples,
    check_limit,
    check_relaxed_mean,
    check_split_variance,
)

__all__ = [
    "Verdict",
    "check_backward",
    "check_conditional_gumbel",
    "check_conditional_softmax",
    "check_enough_samples",
    "check_fixed_loss",
    "check_gumbel_from_uniform",
    "check_limit",
    "check_log_ratio",
    "check_mean_of_max",
    "check_one_hot_sample",
    "check_quadratic_matrix",
    "check_relaxed_mean",
    "check_relaxed_sample",
    "check_softmax_vjp",
    "check_split_variance",
    "check_truncated_gumbel",
    "check_variance",
]
