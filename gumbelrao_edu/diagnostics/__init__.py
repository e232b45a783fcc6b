"""Gradient estimators under the microscope: mean, bias, variance, MSE, and Proposition 3.

Two ways lead to the same numbers. `summarise` looks at draws of a gradient, any gradient, and gives
each figure with its standard error. `exact_terms` needs no draws: for one categorical variable it
enumerates D and integrates over the Gumbels by quadrature, and `variance` then gives the variance
for every K and B. Where enumeration is out of reach, `nested_terms` estimates the same two terms.
`Draws` and `Measurements` hold fixed draws for one variable, to see what a setting changes.
`compare` puts every estimator side by side on one loss.
"""

from .comparison import Comparison, Result, compare
from .draws import Draws, Measurements, distance_from_zgr
from .moments import Measured, Moments, covariance_trace, measured, running_means
from .samples import Loss, Summary, gradient_samples, summarise
from .terms import Terms, exact_terms, mse, nested_terms, variance

__all__ = [
    "Comparison",
    "Draws",
    "Loss",
    "Measured",
    "Measurements",
    "Moments",
    "Result",
    "Summary",
    "Terms",
    "compare",
    "covariance_trace",
    "distance_from_zgr",
    "exact_terms",
    "gradient_samples",
    "measured",
    "mse",
    "nested_terms",
    "running_means",
    "summarise",
    "variance",
]
