"""Test functions whose expectation and gradient are known exactly, and what estimators do there."""

from .descent import descend
from .fields import DERIVATIVES, exact_fields, gap, monte_carlo
from .quadratic import QuadraticProgramme, simplex_grid

__all__ = [
    "DERIVATIVES",
    "QuadraticProgramme",
    "descend",
    "exact_fields",
    "gap",
    "monte_carlo",
    "simplex_grid",
]
