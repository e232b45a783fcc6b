"""Sampling: the Gumbel-max trick and Gumbels given the argmax (equations 3 and 9)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._checks import (
    FLOATING,
    Tau,
    check_count,
    check_device,
    check_generator,
    check_logits,
    check_one_hot,
    check_shape,
    check_tau,
    check_whole,
)
from ._generators import Generators

_REJECTED = 20_000  # draws that `rejection` makes at a time
_MOST_DRAWN = 1e9  # and in all, on average: minutes
_SMALL = 2.0**-18  # exponentials below it are drawn again on a finer grid


def sample_gumbel(
    shape: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw independent standard Gumbels.

        G = −log E,  E ~ Exp(1);    P(G ≤ x) = exp(−exp(−x))

    Args:
        shape: the shape of the result.
        dtype: floating type of the result; float16 and bfloat16 are drawn in float32.
        device: where the result lies; by default where the generator is, and without one the CPU.
        generator: source of randomness; the global one when None.

    Returns:
        Finite Gumbels of the given shape, up to 29.8; in float64 and on a GPU up to 37.4.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range.

    Example:
        >>> sample_gumbel([2, 3], generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])

    Source: Maddison, Tarlow & Minka (2014), A* sampling.
    """
    size = check_shape(shape)
    if dtype not in FLOATING:
        raise TypeError(f"dtype: expected a floating-point type of 16 to 64 bits, got {dtype}")
    if device is None:
        device = generator.device if isinstance(generator, torch.Generator) else "cpu"
    where = check_device(device)
    check_generator(generator, where)
    draws = sample_exponential(size, computing_dtype(dtype), where, generator)
    return draws.log_().neg_().to(dtype)


def tempered_softmax(logits: Tensor, tau: Tau) -> Tensor:
    """The softmax at a temperature.

        softmax_τ(x)_i = exp(x_i/τ) / Σ_j exp(x_j/τ)

    Args:
        logits: `[*batch, n]`; −inf gives a probability of 0.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch`.

    Returns:
        Probabilities `[*batch, n]`, differentiable in `logits` and in a tensor `tau`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> tempered_softmax(torch.tensor([0.0, 1.0]), 0.5)
        tensor([0.1192, 0.8808])
    """
    check_logits(logits)
    tau = check_tau(tau, logits.shape[:-1])
    return temper(logits, tau)


def temper(logits: Tensor, tau: Tau) -> Tensor:
    """`tempered_softmax` of arguments that were checked."""
    return divided(centred(logits), tau).softmax(-1).to(logits.dtype)


def divided(theta: Tensor, tau: Tau) -> Tensor:
    """θ/τ for θ from 0 down; −inf where its exponential is 0, so that it has no part in gradients.

    In that of τ it would be 0 · ∞, no number, where θ is −inf, and where θ/τ² overflows.
    """
    if not isinstance(tau, Tensor):
        return theta / tau
    tau = tau.to(theta.device)
    never = theta.detach() / per_class(tau.detach(), theta) < 2 * math.log(
        torch.finfo(theta.dtype).tiny
    )
    quotient = theta.masked_fill(never, 0.0) / per_class(tau, theta)
    return quotient.masked_fill(never, -torch.inf).to(theta.dtype)


def gumbel_max(
    logits: Tensor, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Sample a categorical variable by the Gumbel-max trick.

        D = one_hot(argmax_i (θ_i + G_i)),    P(D_i = 1) = softmax(θ)_i        (limit of eq. 3)

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        generator: source of randomness; the global one when None.

    Returns:
        one_hot: D, `[*batch, n]`, without gradient.
        perturbed: θ + G, `[*batch, n]`, differentiable in `logits` (with G held fixed). Its largest
            entry is that of D, and no other is as large, also where rounding makes them equal.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> one_hot, perturbed = gumbel_max(torch.zeros(4, 3), generator=generator)
        >>> bool((one_hot.argmax(-1) == perturbed.argmax(-1)).all())
        True

    Source: Maddison, Tarlow & Minka (2014), A* sampling.
    """
    check_logits(logits)
    check_generator(generator, logits.device)
    one_hot, perturbed = perturb(centred(logits), generator)
    shift = logits.detach().amax(-1, keepdim=True)
    return one_hot.to(logits.dtype), _rounded(perturbed + shift, one_hot, logits.dtype)


def sample_one_hot(logits: Tensor, generator: torch.Generator | Generators | None) -> Tensor:
    """D of `gumbel_max` alone, for which fewer operations are needed."""
    check_logits(logits)
    check_generator(generator, logits.device)
    return perturb(centred(logits.detach()), generator)[0].to(logits.dtype)


def perturb(theta: Tensor, generator: torch.Generator | Generators | None) -> tuple[Tensor, Tensor]:
    """D and θ + G for θ from `centred`, in its dtype."""
    log_e = sample_exponential(theta.shape, theta.dtype, theta.device, generator).log_()
    perturbed = theta - log_e  # G = −log E
    return one_hot_of_largest(perturbed), perturbed


def one_hot_of_largest(scores: Tensor) -> Tensor:
    """one_hot(argmax), without gradient; of equal scores the first."""
    scores = scores.detach()
    return torch.zeros_like(scores).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)


def _rounded(perturbed: Tensor, one_hot: Tensor, dtype: torch.dtype) -> Tensor:
    """θ + G in the dtype of the caller, where rounding must not make another entry the largest."""
    limits = torch.finfo(dtype)
    if dtype != perturbed.dtype:
        perturbed = perturbed.clamp(max=limits.max).to(dtype)
    index = one_hot.argmax(-1, keepdim=True).expand(*perturbed.shape[:-1], 1)
    value = perturbed.detach()
    top = value.gather(-1, index)
    below = top - (top.abs() * limits.eps).clamp(min=limits.tiny)
    # Of the others over `below`, which may be −inf, as they may: −inf − (−inf) is no number.
    excess = torch.where(value > below, below - value, 0.0).scatter(-1, index, 0.0)
    return perturbed + excess


def conditional_gumbel(
    logits: Tensor, one_hot: Tensor, k: int, *, generator: torch.Generator | None = None
) -> Tensor:
    """Draw the perturbed logits θ + G again, given which class won.

    With E_j ~ Exp(1), Z = Σ_j exp(θ_j) and D_i = 1:

        θ_j + G_j | D  =  −log(E_j) + log Z                     j = i
                          −log(E_j / exp(θ_j) + E_i / Z)        otherwise           (9)

    Args:
        logits: θ, `[*batch, n]`.
        one_hot: D, `[*batch, n]`; no gradient reaches it.
        k: number of draws.
        generator: source of randomness; the global one when None.

    Returns:
        θ + G, `[k, *batch, n]`, whose only largest entry is that of `one_hot`. Differentiable in
        `logits` *through equation (9)*: that is not the derivative of the Gumbel-Rao estimator,
        which holds G fixed, `logits + (perturbed - logits).detach()` for finite logits.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> logits, one_hot = torch.zeros(3), torch.tensor([0.0, 1.0, 0.0])
        >>> conditional_gumbel(logits, one_hot, k=5).argmax(-1)
        tensor([1, 1, 1, 1, 1])

    Source: Maddison, Tarlow & Minka (2014); Tucker et al. (2017), REBAR.
    """
    check_logits(logits)
    check_one_hot(one_hot, logits)
    k = check_count(k, "k")
    check_generator(generator, logits.device)
    theta = centred(logits)
    one_hot = one_hot.detach().to(theta.dtype)
    chosen = one_hot == 1
    log_e = sample_exponential((k, *logits.shape), theta.dtype, logits.device, generator).log_()
    log_z = theta.logsumexp(-1, keepdim=True)
    largest = log_z - (log_e * one_hot).sum(-1, keepdim=True)
    # −log(e^a + e^b) by logaddexp: nothing overflows, however improbable the class. A class that
    # never occurs is put in afterwards, so that no gradient is made from inf − inf.
    never = theta == -torch.inf
    others = -torch.logaddexp(log_e - theta.masked_fill(never, 0.0), -largest)
    others = others.masked_fill(never, -torch.inf)
    perturbed = torch.where(chosen, largest, others) + logits.detach().amax(-1, keepdim=True)
    return _rounded(perturbed, one_hot, logits.dtype)


def rejection(
    logits: Tensor, index: int, k: int, *, generator: torch.Generator | None = None
) -> tuple[Tensor, int]:
    """Draw θ + G again and again, and keep what has its largest entry in the right place.

    The law is that of `conditional_gumbel` (9), which draws each at once.

    Args:
        logits: θ, `[n]`.
        index: i, the class that has to win; k / p_i is at most 10⁹.
        k: how many are kept.
        generator: source of randomness; the global one when None.

    Returns:
        kept: θ + G, `[k, n]`.
        drawn: how many were drawn for it; k / p_i on average.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> kept, drawn = rejection(torch.zeros(2), 0, 5)
        >>> kept.argmax(-1), drawn >= 5
        (tensor([0, 0, 0, 0, 0]), True)
    """
    check_logits(logits)
    k = check_count(k, "k")
    check_generator(generator, logits.device)
    index = check_whole(index, "index")
    if logits.dim() != 1:
        raise ValueError(f"logits: expected [n], got {tuple(logits.shape)}")
    if not 0 <= index < len(logits) or logits[int(index)] == -torch.inf:
        raise ValueError(f"index: expected a class that occurs, got {index} of {logits.tolist()}")
    p = float(logits.detach().double().softmax(-1)[int(index)])
    if k > _MOST_DRAWN * p:
        raise ValueError(
            f"index: expected a class for which k / p_i is at most {_MOST_DRAWN:g}, "
            f"got p_i = {p:.2g} for k = {k}"
        )
    kept, drawn, missing = [], 0, k
    while missing:
        one_hot, perturbed = gumbel_max(logits.expand(_REJECTED, -1), generator=generator)
        hits = (one_hot[:, index] == 1).nonzero().squeeze(1)[:missing]
        missing -= len(hits)
        # The last batch is paid for up to the last hit that was needed.
        drawn += _REJECTED if missing else int(hits[-1]) + 1
        kept.append(perturbed[hits])
    return torch.cat(kept), drawn


def sample_exponential(
    shape: Sequence[int],
    dtype: torch.dtype,
    device: torch.device,
    generator: torch.Generator | Generators | None,
) -> Tensor:
    """E ~ Exp(1), positive and finite, in float32 or float64.

    In float32 U is a multiple of 2⁻²⁴: no Gumbel would exceed 17.4, and of many classes that are
    each less probable than 2⁻²⁴ none would ever be drawn. On a CPU the few E below 2⁻¹⁸ are
    therefore drawn again, on a finer grid. Where one can't look at them (in vmap and in a compiled
    function) or the look costs time (on a GPU), U is drawn in float64, if there is such a thing
    (not on Apple's GPUs). (`Tensor.exponential_` is several times slower on a CPU.)
    """

    size = tuple(shape)
    if isinstance(generator, Generators) and device.type == "cpu":
        return generator.draw(
            lambda each, rows: sample_exponential((rows, *size[1:]), dtype, device, each)
        )

    def uniform(size: tuple[int, ...], wide: torch.dtype) -> Tensor:
        if isinstance(generator, Generators):
            return generator.draw(
                lambda each, rows: torch.rand(
                    (rows, *size[1:]), dtype=wide, device=device, generator=each
                )
            )
        if generator is None:  # this way torch.export may leave the size open
            return torch.rand(size, dtype=wide, device=device)
        return torch.rand(size, dtype=wide, device=device, generator=generator)

    # Copies, since selective activation checkpointing may keep what was drawn, and draw no more.
    if device.type == "cpu" and dtype == torch.float32 and not torch.compiler.is_compiling():
        draws = exponential_of(uniform(size, dtype).clone(), grid=2.0**-24)
        some_small = _some_below(draws, _SMALL)
        if some_small:
            small = draws < _SMALL
            again = uniform((int(small.sum()),), dtype) * _SMALL
            draws.masked_scatter_(small, exponential_of(again, grid=2.0**-24 * _SMALL))
        if some_small is not None:
            return draws
    wide = dtype if device.type == "mps" else torch.float64
    return exponential_of(uniform(size, wide).to(dtype, copy=True), grid=torch.finfo(wide).eps / 2)


def exponential_of(uniform: Tensor, *, grid: float) -> Tensor:
    """E = −log(1 − U) from U uniform in [0, 1), which is overwritten.

    Args:
        uniform: U.
        grid: what U was drawn as a multiple of. Each value stands for an interval of this length,
            of which the middle is taken. So E is never 0, log E is finite, and the law is right.
            −log(ε/4) stands for E where U was rounded to 1.
    """
    largest = -math.log(torch.finfo(uniform.dtype).eps / 4)
    return uniform.add_(grid / 2).neg_().log1p_().neg_().clamp_max_(largest)


def _some_below(draws: Tensor, bound: float) -> bool | None:
    """Whether one is smaller; None where that can't be asked, as inside vmap."""
    if draws.numel() == 0:
        return False
    try:
        return float(draws.min()) < bound
    except RuntimeError:
        return None


def computing_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32 or wider: in float16 a uniform variable is often exactly 0."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def centred(logits: Tensor) -> Tensor:
    """The logits in the computing dtype, minus their largest.

    Softmax and argmax see differences only. Beside a logit of 10⁴ a Gumbel would lose its digits.
    """
    wide = logits.to(computing_dtype(logits.dtype))
    return wide - wide.detach().amax(-1, keepdim=True)


def per_class(tau: Tau, logits: Tensor) -> Tau:
    """τ with an axis for the classes, where the logits are, ready to divide `[*batch, n]`."""
    return tau.to(logits.device).unsqueeze(-1) if isinstance(tau, Tensor) else tau
