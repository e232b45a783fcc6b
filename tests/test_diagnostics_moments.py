"""Means of draws and their standard errors, against numpy and torch."""

import math

import numpy as np
import pytest
import torch
from seeded import seeded

from gumbelrao_edu.diagnostics import Moments, covariance_trace, measured, running_means


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed)).double()


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [7, 0, 43], [49, 1]])
def test_a_stream_has_the_moments_of_the_whole(sizes):
    draws, moments = normal(50, 3) + 1e6, Moments()
    for chunk in draws.split(sizes):
        moments.update(chunk)
    torch.testing.assert_close(moments.mean, draws.mean(0))
    torch.testing.assert_close(moments.variance, draws.var(0), rtol=1e-7, atol=0)
    torch.testing.assert_close(moments.standard_error, draws.std(0) / 50**0.5, rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    ("chunk", "error", "message"),
    [
        (torch.ones(2, 1), ValueError, r"chunk: expected draws of the shape \(3,\), .* got \(1,\)"),
        (torch.ones(()), ValueError, "chunk: expected the shape"),
        ([1.0, 2.0], TypeError, "chunk: expected a tensor"),
    ],
)
def test_what_is_no_chunk_of_the_same_stream(chunk, error, message):
    moments = Moments()
    moments.update(normal(4, 3))
    with pytest.raises(error, match=message):
        moments.update(chunk)
    assert moments.count == 4


def test_measured_is_the_mean_with_its_error():
    values = normal(30).tolist()
    got = measured(values)
    assert got.value == pytest.approx(np.mean(values))
    assert got.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(30))
    # Kinds with a spread of their own: the errors of their means add up, their distances do not.
    kinds = normal(30, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0]) + torch.tensor([0.0, 1e3, 0.0, 0.0])
    got = measured(kinds)
    assert got.value == pytest.approx(kinds.mean().item())
    assert got.standard_error == pytest.approx((kinds.var(0).sum() / 30).sqrt().item() / 4)


def test_trace_is_that_of_the_covariance_matrix():
    draws = torch.randn(50, 4, 3, generator=seeded())
    trace, error = covariance_trace(draws)
    for i in range(4):
        assert trace[i].item() == pytest.approx(torch.cov(draws[:, i].T).trace().item(), rel=1e-5)
    # The variance of a sum of three squared normals is 6: standard error sqrt(6 / 50).
    assert error.mean().item() == pytest.approx(math.sqrt(6 / 50), rel=0.3)


def test_running_means_are_those_of_the_first_draws():
    draws, counts = normal(100, 2), [2, 3, 50, 100]
    means, errors = running_means(draws, counts)
    for mean, error, m in zip(means, errors, counts, strict=True):
        torch.testing.assert_close(mean, draws[:m].mean(0))
        torch.testing.assert_close(error, draws[:m].std(0) / m**0.5)


@pytest.mark.parametrize("counts", [[1, 2], [3, 3], [5, 4], [2, 101]])
def test_counts_grow_within_the_draws(counts):
    with pytest.raises(ValueError, match="counts: expected growing numbers from 2 to 100, got"):
        running_means(normal(100), counts)


def test_one_draw_has_no_error():
    for function in (measured, covariance_trace):
        with pytest.raises(ValueError, match="draws: expected at least 2, got the shape"):
            function(normal(1, 3))
