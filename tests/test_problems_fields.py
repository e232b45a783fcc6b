"""Variances over the simplex: how they fall with K, what the whole derivative changes, draws."""

import itertools
import math

import pytest
import torch

from gumbelrao_edu.problems import (
    QuadraticProgramme,
    exact_fields,
    gap,
    monte_carlo,
    simplex_grid,
)


@pytest.mark.parametrize("derivative", ["fixed", "whole"])
def test_variance_falls_with_k_as_in_13(derivative):
    terms = exact_fields(QuadraticProgramme(), simplex_grid(12), 0.2)[derivative]
    assert gap(terms, 1).abs().max() == 0
    gaps = [gap(terms, k) for k in (1, 2, 10, 1000, math.inf)]
    for fewer, more in itertools.pairwise(gaps):
        assert (more > fewer).all()
    ratio = (terms.inner + terms.outer) / (terms.inner / 10 + terms.outer)
    torch.testing.assert_close(gaps[2], ratio.log10())


def test_mean_of_the_whole_derivative_is_off_by_the_bias_of_the_first_term():
    programme, p = QuadraticProgramme(), simplex_grid(12)
    for tau in (0.05, 1.0):
        fields = exact_fields(programme, p, tau)
        bias = [terms.mean - terms.exact for terms in fields.values()]
        torch.testing.assert_close(bias[0], bias[1], rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(fields["fixed"].exact, programme.gradient(p.log(), fixed=True))
        torch.testing.assert_close(fields["whole"].exact, programme.gradient(p.log()))


def test_one_draw_has_no_variance():
    generator = torch.Generator()
    with pytest.raises(ValueError, match="num_samples: expected at least 2, got 1"):
        monte_carlo(
            QuadraticProgramme(), simplex_grid(3), 0.5, k=2, num_samples=1, generator=generator
        )
