"""Discrete variational auto-encoders on MNIST (section 5.4)."""

from .._download import DataError
from .data import Digits, load_binarized_mnist, load_digits, load_digits_5k
from .model import DiscreteVAE, importance_weighted_bound
from .variance import (
    VarianceSplit,
    gradient_variance,
    squared_bias,
    variance_split,
)

__all__ = [
    "DataError",
    "Digits",
    "DiscreteVAE",
    "VarianceSplit",
    "gradient_variance",
    "importance_weighted_bound",
    "load_binarized_mnist",
    "load_digits",
    "load_digits_5k",
    "squared_bias",
    "variance_split",
]
