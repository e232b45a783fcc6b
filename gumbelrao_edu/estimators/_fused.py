"""Gumbel-Rao in three kernels for a GPU, written in Triton, which PyTorch for CUDA brings along.

`sample` draws D, `averaged` is the backward pass (10), `exact` that of K = ∞ (7). A program works
on a tile of rows, keeps it in registers and draws its noise itself; nothing is waited for, and
memory is that of the result. The noise is Philox's, a function of the seed, of row, class and draw:

    U(row, class, draw) from philox(seed; row, class, draw, stream)

so that a backward pass through a retained graph meets the same noise again. The seed is a tensor:
a captured graph draws a new one at each replay, and with it all noise anew. Rows of several models
have the seeds of their models, and the numbers that they have there (`Generators.seeds`).

They were run by Triton's interpreter on a CPU, and compiled for compute capability 9.0 without a
card (`make test-kernels`). On a card they have not been run yet: sizes of tiles and numbers of
warps are guesses, and `make gpu` measures what they give. GUMBELRAO_FUSED=0 in the environment
leaves everything to PyTorch's operations.
"""

from __future__ import annotations

import functools
import math
import os
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from .._checks import Tau
from ..gumbel import computing_dtype
from ..quadrature import FAST, FINE, MAX_CLASSES, Rule, _arity, _exp_sum, _nodes_of_e

try:
    import triton
    import triton.language as tl
except ImportError:  # as in PyTorch for the CPU
    triton = None
    jit = lambda kernel: kernel  # noqa: E731
else:
    # A parser has other rows at every merge: not to be compiled anew where 16 divides them.
    jit = triton.jit(do_not_specialize=["rows"])

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
_WANTED = os.environ.get("GUMBELRAO_FUSED", "1") != "0"

_MOST_CLASSES = 4096  # of a row that fits the registers of one program


def usable(logits: Tensor, k: float, noise: str) -> bool:
    """Whether the kernels serve: Triton is there, the tensor on a GPU, and a row fits."""
    where = "cpu" if INTERPRETED else "cuda"
    return (
        triton is not None
        and _WANTED
        and logits.device.type == where
        and noise != "sobol"
        and logits.shape[-1] <= (MAX_CLASSES if k == math.inf else _MOST_CLASSES)
        and (not eager() or _built(logits.device))
    )


def eager() -> bool:
    """Whether no compiler, no transform of `torch.func` and no mode looks on."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
    )


@functools.cache
def _built(device: torch.device) -> bool:
    """Whether Triton can build a kernel: it wants a C compiler, which small containers lack."""
    one = torch.zeros(1, 2, dtype=torch.float32, device=device)
    try:
        sample(one, torch.zeros((), dtype=torch.int64, device=device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        warnings.warn(
            f"gumbel_rao: Triton cannot build its kernels for {device} ({type(error).__name__}: "
            f"{error}). PyTorch's operations take their place, and are slower; with "
            f"GUMBELRAO_FUSED=0 in the environment they do so without a warning.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


# --- What the kernels share -----------------------------------------------------------------------


@jit
def _log1p(x, TERMS: tl.constexpr):
    """log(1 + x) for x > −1: near 0 the series 2 Σ t^(2m+1)/(2m+1), t = x/(2 + x)."""
    t = x / (2.0 + x)
    square = t * t
    series = square * 0.0 + 1.0 / (2 * TERMS + 1)
    for m in tl.static_range(TERMS):
        series = series * square + 1.0 / (2 * (TERMS - m) - 1)
    return tl.where(tl.abs(x) < 0.25, 2.0 * t * series, tl.log(1.0 + x))


@jit
def _one_minus_exp(x, TERMS: tl.constexpr):
    """1 − e^(−x) for x ≥ 0: near 0 the series x − x²/2! + x³/3! − …"""
    series = x * 0.0 + 1.0
    for m in tl.static_range(2 * TERMS):
        series = 1.0 - series * x * (1.0 / (2 * TERMS - m + 1))
    return tl.where(x < 0.5, x * series, 1.0 - tl.exp(-x))


@jit
def _exponentials(high, low, F: tl.constexpr, TERMS: tl.constexpr):
    """Exp(1) from 64 random bits, and its opposite: −log(1 − U) and −log U.

    The smaller one of U and 1 − U is held, so that neither is ever 0 or rounded to it.
    """
    large = high >= 2147483648
    half = tl.where(large, ~high, high).to(F) * 2.0**-32
    half += (tl.where(large, ~low, low).to(F) + 0.5) * 2.0**-64
    near, far = -_log1p(-half, TERMS), -tl.log(half)
    return tl.where(large, far, near), tl.where(large, near, far)


@jit
def _tile_of(logits, rows, n, F: tl.constexpr, R: tl.constexpr, N: tl.constexpr):
    """This program's rows and columns, which of its entries there are, where, and their θ."""
    row = tl.program_id(0) * R + tl.arange(0, R)[:, None]
    col = tl.arange(0, N)[None, :]
    inside = (row < rows) & (col < n)
    at = row.to(tl.int64) * n + col
    theta = tl.load(logits + at, mask=inside, other=-float("inf")).to(F)
    return row, col, inside, at, tl.where(row < rows, theta, 0.0)


@jit
def _less_own(grad, at, inside, chosen, F: tl.constexpr):
    """g less its value at the class that was drawn, on which nothing depends."""
    g = tl.load(grad + at, mask=inside, other=0.0).to(F)
    return tl.where(inside, g - tl.sum(tl.where(chosen, g, 0.0), 1)[:, None], 0.0)


@jit
def _noise_of(seeds, row, rows, MANY: tl.constexpr):
    """The seed of each row and the row's number under it: the same seed for all, or MANY."""
    if MANY:
        at = row.to(tl.int64) * 2
        key = tl.load(seeds + at, mask=row < rows, other=0)
        number = tl.load(seeds + at + 1, mask=row < rows, other=0).to(tl.int32)
    else:
        key, number = tl.load(seeds), row
    return key, number


# --- The sample -----------------------------------------------------------------------------------


@jit
def _sample(
    logits,
    seeds,
    out,
    rows,
    n,
    MANY: tl.constexpr,
    F: tl.constexpr,
    R: tl.constexpr,
    N: tl.constexpr,
    TERMS: tl.constexpr,
):
    row, col, inside, at, theta = _tile_of(logits, rows, n, F, R, N)
    theta -= tl.max(theta, 1)[:, None]
    key, number = _noise_of(seeds, row, rows, MANY)
    zero = row * 0 + col * 0
    a, b, _, _ = tl.philox(key, number + zero, col + zero, zero, zero)
    e, _ = _exponentials(a, b, F, TERMS)
    winner = tl.argmax(theta - tl.log(e), 1)[:, None]
    one_hot = tl.where(col == winner, 1.0, zero.to(tl.float32))
    tl.store(out + at, one_hot.to(out.dtype.element_ty), mask=inside)


def sample(logits: Tensor, seed: Tensor) -> Tensor:
    """D by the Gumbel-max trick, one-hot, in the dtype of the logits.

    Args:
        logits: θ, `[*batch, n]`.
        seed: int64, on the device of the logits: one, or `Generators.seeds`.
    """
    theta = logits.detach().contiguous()
    out = torch.empty_like(theta)
    if out.numel():
        rows, n, tile = _tile(theta, 512)
        _launch(_sample, rows, tile, theta, seed, out, rows, n, MANY=seed.dim() > 0)
    return out


# --- Finite K -------------------------------------------------------------------------------------


@jit
def _add(total, e, weight, g, inverse_p, rest, chosen, tau, TERMS: tl.constexpr):
    """One draw's s ⊙ (g − ⟨g, s⟩), s = softmax_τ(θ + G) by `conditional_softmax`."""
    own = tl.sum(tl.where(chosen, e, 0.0), 1)[:, None]
    r = tl.exp(-(_log1p(e / own * inverse_p, TERMS) + rest) / tau)
    r = tl.where(chosen, 1.0, r)
    s = r / tl.sum(r, 1)[:, None]
    return total + weight * s * (g - tl.sum(g * s, 1)[:, None])


@jit
def _add_word(
    total,
    high,
    low,
    draw,
    k,
    g,
    inverse_p,
    rest,
    chosen,
    tau,
    F: tl.constexpr,
    PAIRS: tl.constexpr,
    TERMS: tl.constexpr,
):
    """The draw that 64 random bits make, and with PAIRS its opposite; those past K count 0."""
    e, opposite = _exponentials(high, low, F, TERMS)
    total = _add(total, e, (draw < k).to(F), g, inverse_p, rest, chosen, tau, TERMS)
    if PAIRS:
        weight = (draw + 1 < k).to(F)
        total = _add(total, opposite, weight, g, inverse_p, rest, chosen, tau, TERMS)
    return total


@jit
def _averaged(
    grad,
    logits,
    one_hot,
    seeds,
    taus,
    each_tau,
    out,
    k,
    rows,
    n,
    MANY: tl.constexpr,
    WORDS: tl.constexpr,
    PAIRS: tl.constexpr,
    F: tl.constexpr,
    R: tl.constexpr,
    N: tl.constexpr,
    TERMS: tl.constexpr,
):
    row, col, inside, at, theta = _tile_of(logits, rows, n, F, R, N)
    theta -= tl.max(theta, 1)[:, None]
    p = tl.exp(theta)
    whole = tl.sum(p, 1)[:, None]
    inverse_p = whole / tl.maximum(p, 8.75651076269652e-27 * whole)  # at most e^60
    rest = tl.maximum(tl.log(whole) - theta - 60.0, 0.0)  # see `conditional_softmax`
    chosen = tl.load(one_hot + at, mask=inside, other=0.0) == 1.0
    chosen = chosen | ((row >= rows) & (col == 0))
    g = _less_own(grad, at, inside, chosen, F)
    tau = tl.load(taus + row * each_tau, mask=row < rows, other=1.0)
    key, number = _noise_of(seeds, row, rows, MANY)
    zero = row * 0 + col * 0
    total = g * 0.0
    step: tl.constexpr = 2 if PAIRS else 1
    # float64 takes all 64 bits for a draw, float32 half of them: of four words two draws, or four.
    group: tl.constexpr = step * WORDS
    for draw in range(0, k, group):
        a, b, c, d = tl.philox(key, number + zero, col + zero, zero + draw, zero + 1)
        if WORDS == 2:
            total = _add_word(
                total, a, b, draw, k, g, inverse_p, rest, chosen, tau, F, PAIRS, TERMS
            )
            after = draw + step
            total = _add_word(
                total, c, d, after, k, g, inverse_p, rest, chosen, tau, F, PAIRS, TERMS
            )
        else:
            low = (a & 0) | 2147483648  # the middle of what the other 32 bits could be
            total = _add_word(
                total, a, low, draw, k, g, inverse_p, rest, chosen, tau, F, PAIRS, TERMS
            )
            after = draw + step
            total = _add_word(
                total, b, low, after, k, g, inverse_p, rest, chosen, tau, F, PAIRS, TERMS
            )
            after += step
            total = _add_word(
                total, c, low, after, k, g, inverse_p, rest, chosen, tau, F, PAIRS, TERMS
            )
            after += step
            total = _add_word(
                total, d, low, after, k, g, inverse_p, rest, chosen, tau, F, PAIRS, TERMS
            )
    tl.store(out + at, (total / (k * tau)).to(out.dtype.element_ty), mask=inside)


def averaged(
    grad: Tensor, logits: Tensor, one_hot: Tensor, seed: Tensor, tau: Tau, k: int, noise: str
) -> Tensor:
    """gᵀ times the averaged Jacobian of (10), as `averaged_vjp`.

    Args:
        grad, logits, one_hot: g, θ and D, `[*batch, n]`.
        seed: int64, on the device of the logits: one, or `Generators.seeds`.
        tau: a number, or a tensor that broadcasts to `batch`.
        k: K.
        noise: "iid" or "antithetic".
    """
    g, theta, d = grad.contiguous(), logits.contiguous(), one_hot.contiguous()
    out = torch.empty_like(theta)
    if out.numel():
        rows, n, tile = _tile(theta, 256)
        arguments = (g, theta, d, seed, *_taus(tau, theta), out, k, rows, n)
        words, pairs = (2 if theta.dtype == torch.float64 else 4), noise == "antithetic"
        many = seed.dim() > 0
        _launch(_averaged, rows, tile, *arguments, MANY=many, WORDS=words, PAIRS=pairs)
    return out


# --- K = ∞ ----------------------------------------------------------------------------------------


@jit
def _exact(
    grad,
    logits,
    one_hot,
    taus,
    each_tau,
    out,
    lam_,
    omega_,
    nodes,
    node_weights,
    count_nodes,
    rows,
    n,
    z_step,
    z_left,
    z_outside,
    L: tl.constexpr,
    F: tl.constexpr,
    R: tl.constexpr,
    N: tl.constexpr,
    TERMS: tl.constexpr,
):
    """Steps 1 to 3 of `quadrature`, with the moments of each class computed in place of tables.

    r = (1 + e^z)^(−1/τ) at the nodes z = log(E_j/α) is the same for all classes of a row, and so
    are the powers e^(−λr): a class costs two exponentials a node.
    """
    row, _, inside, at, theta = _tile_of(logits, rows, n, F, R, N)
    theta -= tl.max(theta, 1)[:, None]
    log_p = theta - tl.log(tl.sum(tl.exp(theta), 1))[:, None]
    chosen = inside & (tl.load(one_hot + at, mask=inside, other=0.0) == 1.0)
    g = _less_own(grad, at, inside, chosen, F)
    tau = tl.load(taus + row * each_tau, mask=row < rows, other=1.0)
    # Below this depth a class has the law of the last one above it, as in `quadrature._rows`.
    kappa = tl.minimum(1.0 / tau, 1.0)
    next_power = tl.maximum(tl.minimum(kappa, tl.abs(1.0 - 1.0 / tau)), 1e-9)
    depth = 8.0 + tl.minimum(tl.minimum(20.0 / next_power, 100.0 / kappa), 1000.0)
    clamped = tl.maximum(log_p, -depth)
    scale = tl.exp(kappa * (log_p - clamped))
    other = inside & (log_p > -float("inf")) & (chosen == 0)
    scale = tl.where(other, scale, 0.0)
    lowest = tl.min(tl.where(other, clamped, 0.0), 1)[:, None]
    highest = tl.max(tl.where(other, clamped, -depth), 1)[:, None]
    # Where the integrand is below e^(−42) of its size, see `quadrature._grid_of_z`.
    cut = tl.where(tau < 1.0, 42.0 / tl.maximum(1.0 / tau - 1.0, 1e-30), 1e30)
    cut_z = tl.where(cut < 1e3, cut + tl.log(_one_minus_exp(cut, TERMS)), 1e30)
    back = tl.where(tau > 1.0, 42.0 / tl.maximum(1.0 - 1.0 / tau, 1e-30), 1e30)
    lam = tl.load(lam_ + tl.arange(0, L))[None, :]
    omega = tl.load(omega_ + tl.arange(0, L))[None, :]
    v = g * 0.0
    for node in range(count_nodes):
        y = tl.load(nodes + node)
        log_alpha = clamped + y
        first = tl.maximum(tl.minimum(tl.log(tau), 0.0) - z_left, -back - highest - y)
        last = tl.minimum(3.8 - lowest - y, cut_z)
        count = tl.maximum(tl.ceil((last - first) / z_step), 0.0) + 1.0
        lost = v[:, :, None] * 0.0 + lam[:, None, :] * 0.0
        kept = lost
        rho = lost
        for step in range(tl.max(tl.max(count, 1), 0).to(tl.int32)):
            z = first + z_step * step
            # What lies left of the grid is a geometric series.
            weight = tl.where(step < count, z_step, 0.0) + tl.where(step == 0, z_outside, 0.0)
            softplus = tl.maximum(z, 0.0) + _log1p(tl.exp(-tl.abs(z)), TERMS)
            r = tl.exp(-softplus / tau)
            u = log_alpha + z
            density = (weight * tl.exp(u - tl.exp(u)))[:, :, None]
            x = lam * r
            damped = tl.exp(-x)
            lost += density * _one_minus_exp(x, TERMS)[:, None, :]
            kept += density * damped[:, None, :]
            rho += density * (r * damped)[:, None, :]
        phi = tl.maximum(1.0 - lost, kept)
        log_phi = tl.where(lost < 0.5, _log1p(-tl.minimum(lost, 0.5), TERMS), tl.log(phi))
        log_phi *= scale[:, :, None]
        rho *= scale[:, :, None] / phi
        rho = tl.where(chosen[:, :, None], 1.0, rho)
        w = tl.load(node_weights + node) * omega * tl.exp(tl.sum(log_phi, 1))
        r_sum = tl.sum(rho, 1)[:, None, :]
        q = tl.sum(g[:, :, None] * rho, 1)[:, None, :]
        v += tl.sum(w[:, None, :] * rho * (g[:, :, None] * r_sum - q), 2)
    tl.store(out + at, (v / tau).to(out.dtype.element_ty), mask=inside)


def exact(grad: Tensor, logits: Tensor, one_hot: Tensor, tau: Tau) -> Tensor:
    """gᵀ times the Jacobian of (7), as `quadrature.exact_vjp`, to the same accuracy.

    Args:
        grad, logits, one_hot: g, θ and D, `[*batch, n]`.
        tau: a number, or a tensor that broadcasts to `batch`; its values are not looked at.
    """
    g, theta, d = grad.contiguous(), logits.contiguous(), one_hot.contiguous()
    out = torch.empty_like(theta)
    if theta.shape[-1] == 1:
        return out.zero_()
    if out.numel():
        rule, (lam, *rest) = _rule_of(theta)
        rows, n, tile = _tile(theta, 32, depth=len(lam))
        h = rule.z_step
        outside = h / -math.expm1(-h) - h
        arguments = (g, theta, d, *_taus(tau, theta), out, lam, *rest, len(rest[-1]), rows, n)
        _launch(_exact, rows, tile, *arguments, h, rule.z_left, outside, L=len(lam))
    return out


def prepare_exact(logits: Tensor) -> None:
    """Make what `exact` keeps from call to call, before a graph is captured that needs it.

    Memory that is taken while one is captured belongs to the graph.
    """
    with _disable_current_modes():  # a compiler asks
        _rule_of(logits)


def _rule_of(theta: Tensor) -> tuple[Rule, tuple[Tensor, ...]]:
    rule = FINE if theta.dtype == torch.float64 else FAST
    dtype = computing_dtype(theta.dtype)
    return rule, _constants(_arity(theta.shape[-1]), rule, dtype, theta.device)


@functools.lru_cache(maxsize=32)
def _constants(n: int, rule: Rule, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """λ and ω e^(−λ), filled up to a power of two, and the nodes y = log e with their weights."""
    lam, omega = _exp_sum(2, rule.sum_error, n)
    missing = _arity(len(lam)) - len(lam)
    filled = (torch.nn.functional.pad(x, (0, missing)) for x in (lam, omega * torch.exp(-lam)))
    return tuple(x.to(device, dtype) for x in (*filled, *_nodes_of_e(rule)))


# --- Launching ------------------------------------------------------------------------------------


def _taus(tau: Tau, theta: Tensor) -> tuple[Tensor, int]:
    """τ in memory, and the step from one row's to the next: 0 where all have the same."""
    dtype = computing_dtype(theta.dtype)
    if not isinstance(tau, Tensor):
        return torch.full((1,), tau, dtype=dtype, device=theta.device), 0
    tau = tau.to(theta.device, dtype)
    if tau.numel() == 1:
        return tau, 0
    return tau.expand(theta.shape[:-1]).contiguous(), 1


def _tile(theta: Tensor, size: int, depth: int = 1) -> tuple[int, int, tuple[int, int, int]]:
    """Rows and classes of `[*batch, n]`, and of a program; `depth` numbers for each of its entries.

    The interpreter takes as long for a large tile as for a small one.
    """
    n = theta.shape[-1]
    rows, width = theta.numel() // n, _arity(n)
    height = max(1, (2**18 // depth if INTERPRETED else size) // width)
    warps = max(1, min(16, height * width * depth // 256))
    return rows, n, (min(height, _arity(rows)), width, warps)


def _launch(
    kernel: Any, rows: int, tile: tuple[int, int, int], *arguments: Any, **more: Any
) -> None:
    height, width, warps = tile
    wide = arguments[0].dtype == torch.float64
    with torch.cuda.device_of(arguments[0]):  # Triton launches on the current GPU
        kernel[(-(-rows // height),)](
            *arguments,
            F=tl.float64 if wide else tl.float32,
            R=height,
            N=width,
            TERMS=10 if wide else 5,
            num_warps=warps,
            **more,
        )
