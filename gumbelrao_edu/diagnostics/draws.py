"""Draws of Gumbel-Rao for one variable that serve every τ, K and B."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .._checks import (
    check_count,
    check_function,
    check_generator,
    check_k,
    check_logits,
    check_seed,
    check_several,
    check_temperature,
)
from ..estimators.gumbel_rao import conditional_softmax
from ..gumbel import sample_exponential
from ..quadrature import conditional_vjp
from .samples import Loss, Summary, enumerated_gradient, losses_and_gradients, summarise

_CHUNK = 1024  # draws of D at a time


def temperatures(taus: Iterable[float]) -> list[float]:
    """Several temperatures as Python's numbers."""
    return check_several(taus, "taus", check_temperature, "temperature")


class Draws:
    """Fixed draws of D and of the noise given D, from which every τ and K is computed.

    The same draws serve all settings (common random numbers): what changes with a setting is its
    effect, not luck.

    Args:
        f: maps one-hot samples `[*batch, n]` to losses `[*batch]`.
        logits: θ, `[n]`.
        num_samples: draws of D.
        k_max: draws of the noise for each D.
        generator: source of randomness; the global one when None.

    Attributes:
        p: softmax(θ), `[n]`.
        index: the drawn classes, `[num_samples]`.
        gradients: of f in its argument at each corner, `[class drawn, n]`; 0 for a class that
            never occurs.
        exact: the exact gradient p_a (f_a − E[f(D)]), `[n]`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> draws = Draws(lambda x: x[..., 0], torch.zeros(2), num_samples=5, k_max=3)
        >>> draws.exact
        tensor([ 0.2500, -0.2500], dtype=torch.float64)
        >>> draws.estimates(tau=0.5).shape
        torch.Size([2, 3, 5])

    Source: equations (6), (7) and (10).
    """

    def __init__(
        self,
        f: Loss,
        logits: Tensor,
        *,
        num_samples: int = 2000,
        k_max: int = 100,
        generator: torch.Generator | None = None,
    ) -> None:
        check_function(f)
        check_logits(logits)
        check_generator(generator, logits.device)
        if logits.dim() != 1:
            raise ValueError(f"logits: expected [n], got {tuple(logits.shape)}")
        num_samples = check_count(num_samples, "num_samples")
        k_max = check_count(k_max, "k_max")
        self.theta = logits.detach().double()
        self.p = self.theta.softmax(0)
        n = len(self.theta)
        corners = torch.eye(n, dtype=logits.dtype, device=logits.device)
        losses, gradients = losses_and_gradients(f, corners)
        # What never occurs may have an infinite loss: 0 · ∞ is not a number.
        never = self.p == 0
        self.gradients = gradients.double().masked_fill(never.unsqueeze(1), 0.0)
        self.exact = enumerated_gradient(self.p, losses.double())
        self.index = torch.multinomial(self.p, num_samples, replacement=True, generator=generator)
        shape = (n, k_max, num_samples)
        self.noise = sample_exponential(shape, torch.float64, self.theta.device, generator)

    def estimates(self, tau: float, part: slice = slice(None)) -> Tensor:
        """(1/τ) s ⊙ (g − ⟨g, s⟩) at each s = softmax_τ(θ + G^k)

        Args:
            tau: τ.
            part: which of the draws of D, to take less memory.

        Returns:
            `[n, k_max, num_samples]`; the first of the k_max are estimates of ST-GS (6), the means
            of the first K of GR-MCK (10).

        Raises:
            TypeError, ValueError: if `tau` has the wrong type or range.

        Example:
            >>> draws = Draws(lambda x: x[..., 0], torch.zeros(2), num_samples=5, k_max=3)
            >>> draws.estimates(0.5).sum(0).abs().max() < 1e-12  # the entries of each sum to 0
            tensor(True)
        """
        tau = check_temperature(tau)
        index = self.index[part]
        theta = self.theta.unsqueeze(1).expand(-1, len(index))
        s = conditional_softmax(theta, index.unsqueeze(0), tau, self.noise[..., part].clone())
        g = self.gradients[index].T.unsqueeze(1)
        return s * (g - (g * s).sum(0)) / tau

    def limits(self, tau: float) -> Tensor:
        """The estimates of GR (7), to which those of GR-MCK tend.

        Args:
            tau: τ between 1e-20 and 100; for up to 1024 classes.

        Returns:
            `[class drawn, n]`; ``limits(tau)[draws.index]`` are those of the draws.

        Raises:
            TypeError, ValueError: if `tau` has the wrong type or range.

        Example:
            >>> draws = Draws(lambda x: x[..., 0], torch.zeros(2), num_samples=5, k_max=3)
            >>> draws.limits(0.5).shape
            torch.Size([2, 2])
        """
        classes = torch.arange(len(self.p), device=self.p.device)
        return conditional_vjp(self.gradients, self.theta.expand(len(self.p), -1), classes, tau)


class Measurements:
    """Estimates of GR-MCK from fixed draws, to hold against formulas.

    Every τ has draws of its own. For one τ the first K of the noises given D serve every K, and
    the estimates are averaged in groups of B.

    Args:
        f: maps one-hot samples `[*batch, n]` to losses `[*batch]`.
        logits: θ, `[n]`.
        taus: the temperatures.
        ks: each K, or, for up to 1024 classes and τ between 1e-20 and 100, `math.inf`.
        num_samples: draws of D for each; a multiple of every B that is asked for.
        seed: of the draws.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> f = lambda d: d[..., 0] ** 2
        >>> measurements = Measurements(f, torch.zeros(3), [0.5], [1, 10], num_samples=50)
        >>> measurements(0.5, 10, 5).num_samples
        10

    Source: equations (7), (10) and (12).
    """

    def __init__(
        self,
        f: Loss,
        logits: Tensor,
        taus: Sequence[float],
        ks: Sequence[float],
        *,
        num_samples: int = 12_800,
        seed: int = 0,
    ) -> None:
        check_function(f)
        check_logits(logits)
        taus = temperatures(taus)
        ks = check_several(ks, "ks", check_k)
        num_samples = check_count(num_samples, "num_samples")
        drawn = [int(k) for k in ks if not math.isinf(k)]
        generator = torch.Generator(logits.device).manual_seed(check_seed(seed))
        self._estimates: dict[tuple[float, float], Tensor] = {}  # each [num_samples, n]
        for tau in taus:
            k_max = max(drawn, default=1)
            draws = Draws(f, logits, num_samples=num_samples, k_max=k_max, generator=generator)
            parts = [slice(i, i + _CHUNK) for i in range(0, num_samples, _CHUNK)]
            last = [k - 1 for k in drawn]
            sums = torch.cat([draws.estimates(tau, p).cumsum(1)[:, last] for p in parts], -1)
            for k, of_k in zip(drawn, sums.unbind(1), strict=True):
                self._estimates[tau, k] = (of_k / k).T
            if math.inf in ks:
                self._estimates[tau, math.inf] = draws.limits(tau)[draws.index]
        self._exact = draws.exact
        self._summaries: dict[tuple[float, float, int], Summary] = {}

    def __call__(self, tau: float, k: float, batch_size: int) -> Summary:
        """Summarise the means of B estimates.

        Args:
            tau, k: settings of those given at the start.
            batch_size: B; divides `num_samples` at least twice.

        Returns:
            A `Summary`: mean, bias, variance and MSE with their standard errors.

        Raises:
            TypeError, ValueError: if there are no draws for these settings.

        Example:
            >>> f = lambda d: d[..., 0] ** 2
            >>> measurements = Measurements(f, torch.zeros(3), [0.5], [1], num_samples=50)
            >>> measurements(0.5, 1, 5).mse > 0
            True
        """
        tau, k = check_temperature(tau), check_k(k)
        known = [*self._estimates]
        if (tau, k) not in known:
            raise ValueError(f"tau, k: expected one of {known}, got {(tau, k)}")
        count = len(self._estimates[tau, k])
        batch_size = check_count(batch_size, "batch_size")
        if count % batch_size or count // batch_size < 2:
            raise ValueError(
                f"batch_size: expected a number that divides {count} at least twice, "
                f"got {batch_size}"
            )
        setting = (tau, k, batch_size)
        if setting not in self._summaries:
            estimates = self._estimates[tau, k]
            groups = estimates.reshape(-1, batch_size, estimates.shape[-1])
            self._summaries[setting] = summarise(groups.mean(1), self._exact)
        return self._summaries[setting]


def distance_from_zgr(f: Loss, logits: Tensor, taus: Sequence[float]) -> Tensor:
    """How far Gumbel-Rao is from its limit as τ → 0, relative to the size of that limit.

        √(E‖∇GR − ∇ZGR‖² / E‖∇ZGR‖²),    ∇ZGR = ½ [p ⊙ (g − ⟨p, g⟩) + (g_i − ⟨p, g⟩)(D − p)]

    Args:
        f: maps one-hot samples `[*batch, n]` to losses `[*batch]`; differentiable at the corners.
        logits: θ, `[n]`, for up to 1024 classes.
        taus: m temperatures between 1e-20 and 100.

    Returns:
        `[m]`, float64; by enumeration and quadrature, without sampling.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> near, far = distance_from_zgr(lambda d: d[..., 0] ** 2, torch.zeros(3), [0.01, 1.0])
        >>> bool(near < 0.1 * far)
        True

    Source: Shekhovtsov (2023), Cold analysis of Rao-Blackwellized straight-through Gumbel-Softmax
    gradient estimator.
    """
    check_logits(logits)
    taus = temperatures(taus)
    # A generator of its own: what is drawn is not used, and the global one stays as it is.
    generator = torch.Generator(logits.device)
    draws = Draws(f, logits, num_samples=1, k_max=1, generator=generator)
    g, p = draws.gradients, draws.p
    mean = (g @ p)[:, None]
    straight_through = p * (g - mean)
    darn = (g.diagonal()[:, None] - mean) * (torch.eye(len(p), dtype=p.dtype, device=p.device) - p)
    zgr = (straight_through + darn) / 2
    gr = torch.stack([draws.limits(tau) for tau in taus])
    size = p @ zgr.square().sum(-1)
    if not size > 0:
        raise ValueError("f: expected a loss whose limit is not 0, got one without a gradient")
    return ((gr - zgr).square().sum(-1) @ p / size).sqrt()
