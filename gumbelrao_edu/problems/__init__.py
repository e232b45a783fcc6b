"""Test functions whose expectation and gradient are known exactly."""

from .quadratic import QuadraticProgramme, simplex_grid

__all__ = ["QuadraticProgramme", "simplex_grid"]
