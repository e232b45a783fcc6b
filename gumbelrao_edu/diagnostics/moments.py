"""Means of independent draws, and their standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from .._checks import check_count, check_draws, check_several


class Measured(NamedTuple):
    """A number that was measured without bias, and its standard error.

    Example:
        >>> print(Measured(1.2345, 0.026))
        1.23 ± 0.03
    """

    value: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ± {self.standard_error:.1g}"


class Moments:
    """Mean, variance and standard error of a stream of draws, of which none is kept.

        x̄ = Σ x / m,    s² = Σ (x − x̄)² / (m − 1),    standard error of x̄ = √(s² / m)

    Attributes:
        count: m, the number of draws so far.
        mean: x̄, `[*shape]`.

    Example:
        >>> moments = Moments()
        >>> for chunk in torch.tensor([1.0, 2.0, 3.0, 6.0]).double().split(3):
        ...     moments.update(chunk)
        >>> moments.mean.item(), round(moments.standard_error.item(), 4)
        (3.0, 1.0801)

    Source: definition; Welford (1962); Chan, Golub & LeVeque (1979) for merging chunks.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64, device="cpu")
        self.squares = torch.zeros((), dtype=torch.float64, device="cpu")

    def update(self, chunk: Tensor) -> None:
        """Take in more draws.

        Args:
            chunk: real numbers, `[m, *shape]`; m may be 0.

        Raises:
            TypeError, ValueError: if they have the wrong type, or another shape than those before.

        Example:
            >>> moments = Moments()
            >>> moments.update(torch.tensor([1.0, 3.0]).double())
            >>> moments.mean.item()
            2.0
        """
        chunk = check_draws(chunk, "chunk")
        count = chunk.shape[0]
        if count == 0:
            return
        if self.count and chunk.shape[1:] != self.mean.shape:
            raise ValueError(
                f"chunk: expected draws of the shape {tuple(self.mean.shape)}, as before, got "
                f"{tuple(chunk.shape[1:])}"
            )
        mean = chunk.mean(0)
        total = self.count + count
        shift = mean - self.mean.to(mean.device)
        self.squares = (
            self.squares.to(mean.device)
            + (chunk - mean).square().sum(0)
            + shift.square() * (self.count * count / total)
        )
        self.mean = mean - shift * (self.count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """s², `[*shape]`."""
        return self.squares / (self.count - 1)

    @property
    def standard_error(self) -> Tensor:
        """Of the mean, `[*shape]`."""
        return (self.variance / self.count).sqrt()


def measured(draws: Tensor | Sequence[float]) -> Measured:
    """The mean of independent draws with its standard error; of several kinds, the mean of means.

        x̄ = (1/S) Σ_s x̄_s,    standard error = √(Σ_s s_s² / m) / S

    Args:
        draws: `[m]`, or `[m, *kinds]` for S kinds with m draws each; m >= 2.

    Returns:
        A number and its standard error, computed in float64.

    Raises:
        TypeError: if they are no real numbers.
        ValueError: if there are fewer than two draws, no kind, or numbers that are not finite.

    Example:
        >>> measured([1.0, 3.0])
        Measured(value=2.0, standard_error=1.0)

    Source: definition.
    """
    if not isinstance(draws, Tensor):
        try:
            draws = torch.tensor(draws, dtype=torch.float64, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"draws: expected a tensor or numbers, got {draws!r}") from None
    moments = _moments(check_draws(draws))
    if moments.mean.numel() == 0:
        raise ValueError(f"draws: expected at least one kind, got the shape {tuple(draws.shape)}")
    if not moments.mean.isfinite().all():
        raise ValueError("draws: expected finite numbers, got NaN or infinity")
    error = moments.standard_error.norm() / moments.mean.numel()
    return Measured(moments.mean.mean().item(), error.item())


def covariance_trace(draws: Tensor) -> tuple[Tensor, Tensor]:
    """Traces of covariance matrices, each from draws of its own, with their standard errors.

        tr cov = Σ_m ‖x_m − x̄‖² / (M − 1)

    Args:
        draws: vectors `[M, *batch, n]`, M >= 2.

    Returns:
        The traces and their standard errors, both `[*batch]` in float64; the errors of two draws
        are NaN, see `variance_error`.

    Raises:
        TypeError: if they are no tensor of real numbers.
        ValueError: if there are fewer than two draws, or numbers in place of vectors.

    Example:
        >>> covariance_trace(torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]]))
        (tensor(4., dtype=torch.float64), tensor(2., dtype=torch.float64))

    Source: definition.
    """
    draws = check_draws(draws)
    if draws.dim() == 1:
        raise ValueError(f"draws: expected vectors [M, *batch, n], got {tuple(draws.shape)}")
    spread = _moments((draws - draws.mean(0)).square().sum(-1))
    return spread.mean * (spread.count / (spread.count - 1)), variance_error(spread)


def variance_error(spread: Moments) -> Tensor:
    """The standard error of a variance, from the squared distances of the draws from their mean.

        M/(M − 1) times that of the mean of the M squared distances

    Args:
        spread: of the squared distances.

    Returns:
        Of the shape of a squared distance. NaN for two draws: both are equally far from their mean
        wherever they lie, so that their distances say nothing about the error.

    Example:
        >>> spread = Moments()
        >>> spread.update(torch.tensor([4.0, 0.0, 4.0]).double())
        >>> variance_error(spread)
        tensor(2., dtype=torch.float64)

    Source: definition.
    """
    scale = spread.count / (spread.count - 1) if spread.count > 2 else math.nan
    return spread.standard_error * scale


def running_means(draws: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The means of the first draws, for each of several numbers of them, with standard errors.

    Args:
        draws: `[m, *shape]`.
        counts: how many draws, growing, from 2 to m.

    Returns:
        The means and their standard errors, both `[len(counts), *shape]` in float64.

    Raises:
        TypeError: if the draws are no tensor of real numbers, or the counts no whole numbers.
        ValueError: if there are no counts, or they do not grow, or are not between 2 and m.

    Example:
        >>> means, errors = running_means(torch.tensor([1.0, 3.0, 5.0]), [2, 3])
        >>> means.tolist()
        [2.0, 3.0]

    Source: definition.
    """
    draws = check_draws(draws)
    counts = check_several(counts, "counts", check_count)
    steps = [0, 1, *counts, len(draws) + 1]
    if not all(fewer < more for fewer, more in pairwise(steps)):
        raise ValueError(f"counts: expected growing numbers from 2 to {len(draws)}, got {counts}")
    moments, means, errors = Moments(), [], []
    for start, stop in pairwise([0, *counts]):
        moments.update(draws[start:stop])
        means.append(moments.mean)
        errors.append(moments.standard_error)
    return torch.stack(means), torch.stack(errors)


def _moments(draws: Tensor) -> Moments:
    if len(draws) < 2:
        raise ValueError(f"draws: expected at least 2, got the shape {tuple(draws.shape)}")
    moments = Moments()
    moments.update(draws)
    return moments
