"""The exact conditional expectation of eq. (7), K = ∞, at a cost linear in the arity n.

Given that class i was drawn, the tempered softmax depends on the noise of eq. (9) only through

    r_i = 1,   r_j = (1 + E_j / (E_i p_j))^(−1/τ),   s = r / Σ_b r_b,     E ~ Exp(1), p = softmax(θ)

and the gradient wanted is v_a = (1/τ) E[s_a Σ_b s_b (g_a − g_b) | D = i]. Three steps lead to it.

1. Condition on e = E_i: the r_j are then independent. The integral over e is a sum over nodes.
2. With x = Σ_b r_b in [1, n] write 1/x² ≈ Σ_k ω_k e^{−λ_k x}. The exponential is a product over
   classes, hence

       E[s_a s_b | e] = Σ_k ω_k e^{−λ_k} Φ ρ_a ρ_b   for a ≠ b,      Φ = Π_{j≠i} φ_j,
       φ_j = E[e^{−λ r_j}],   ρ_j = E[r_j e^{−λ r_j}] / φ_j,   ρ_i = 1.

3. With R = Σ_b ρ_b and Q = Σ_b g_b ρ_b the terms b = a cancel, and nothing of order n² is left:

       v_a = (1/τ) Σ_m W_m ρ_a (g_a R − Q),      W_m = w_e ω_k e^{−λ_k} Φ,  m = (e, k).

log φ_j and ρ_j are functions of log p_j alone (one for every m), smooth ones when divided by p_j^κ,
κ = min(1, 1/τ). They are tabulated once per temperature; a class interpolates between a few rows of
the table. A sum over classes is therefore a sum over table rows, with weights that `_deposit`
collects: a matrix product of the size of the table, whatever n is.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._checks import (
    Tau,
    check_floating,
    check_logits,
    check_real,
    check_same_device,
    check_tau,
    holds,
    shown,
)


class Rule(NamedTuple):
    """How finely things are discretised; `sum_error` names the sums of exponentials to use."""

    sum_error: float  # of x² Σ ω e^{−λx}
    e_grid: tuple[float, float, float, float]  # u0, u1, h, b of `_nodes_of_e`
    z_step: float
    z_left: float
    taps: int  # rows of the table between which a class interpolates
    row_step: float  # rows at log p = −row_scale (e^{row_step · m} − 1), m = 0, 1, ...
    row_scale: float


FAST = Rule(1e-5, (-3.12, 2.2, 0.55, 0.7), 0.5, 8.0, 4, 0.065, 5.0)  # float32, 1e-4
FINE = Rule(1e-9, (-4.04, 3.1, 0.3, 0.7), 0.25, 14.0, 8, 0.04, 5.0)  # float64, 1e-8
FINEST = Rule(1e-11, (-5.0, 3.8, 0.22, 0.7), 0.18, 20.0, 12, 0.05, 5.0)  # to judge FINE by

MAX_CLASSES = 1024
MIN_TABLE_TAU, MAX_TABLE_TAU = 1e-20, 100.0  # below, moments of the size of τ leave float32
MAX_WORKSPACE = 2**20  # numbers in the largest intermediate tensors of one chunk of rows
_TABLES = 64  # that are kept, one for each temperature: 1 MB of float32


class Table(NamedTuple):
    """What a class of probability p contributes, for one temperature.

    `fields` are functions of log p on the grid of rows, each divided by p^power.
    """

    fields: tuple[Tensor, ...]  # each [rows, m]
    powers: tuple[float, ...]  # κ of each field
    weights: Tensor  # [m]: w_e ω_k e^{−λ_k}
    lagrange: Tensor  # [taps, taps]: powers of the position -> weights of the rows


# --- Constants ------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _exp_sums() -> list[dict[str, object]]:
    return json.loads(Path(__file__).with_name("exp_sums.json").read_text())  # type: ignore[no-any-return]


def _exp_sum(power: int, wanted: float, n: int) -> tuple[Tensor, Tensor]:
    """Step 2: λ and ω with x^power Σ ω e^{−λx} = 1 to `wanted` on [1, n]."""
    for record in _exp_sums():
        if (record["power"], record["wanted"]) == (power, wanted) and record["up_to"] >= n:  # type: ignore[operator]
            return (
                torch.tensor(record["lam"], dtype=torch.float64, device="cpu"),
                torch.tensor(record["omega"], dtype=torch.float64, device="cpu"),
            )
    raise ValueError(f"logits: expected at most {MAX_CLASSES} classes, got {n}")


def _nodes_of_e(rule: Rule) -> tuple[Tensor, Tensor]:
    """Step 1: nodes y = log e and weights for ∫ e^{−e} de.

    Trapezoidal rule in u, y = u − e^{−bu}. For large n and τ the integrand falls off slowly as
    e → 0; the map strides there.
    """
    first, last, step, b = rule.e_grid
    count = math.ceil((last - first) / step) + 1
    u = first + step * torch.arange(count, dtype=torch.float64, device="cpu")
    y = u - torch.exp(-b * u)
    return y, step * (1.0 + b * torch.exp(-b * u)) * torch.exp(y - y.exp())


# --- Tables ---------------------------------------------------------------------------------------


def _rows(tau: float, order: int, rule: Rule) -> Tensor:
    """The grid of log p: even near 0, stretched below, where the fields are sums of powers of p.

    It ends where one power is left (a class below is given that law) or p^κ is nothing.
    """
    kappa = min(1.0, 1.0 / tau)
    next_power = min(kappa, *(abs(1.0 - d / tau) for d in range(1, order + 1)))
    depth = 8.0 + min(20.0 / max(next_power, 1e-9), 100.0 / kappa, 1000.0)
    above = rule.taps // 2 - 1  # rows above log p = 0, so that interpolation there is centred
    count = above + math.ceil(math.log1p(depth / rule.row_scale) / rule.row_step) + 1
    at = torch.arange(-above, count - above, dtype=torch.float64, device="cpu")
    return -rule.row_scale * torch.expm1(rule.row_step * at)


def _grid_of_z(
    tau: float, rule: Rule, log_alpha: Tensor, top: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes z = log(E_j / α), trapezoidal weights, and log r = −softplus(z) / τ there.

    `top` is the largest log E_j that is of any weight.
    """
    first, last = min(math.log(tau), 0.0) - rule.z_left, top - log_alpha.min().item()
    # For large z the integrand is r e^z = e^{(1 − 1/τ) z}: what is below e^{−42} of it is left out.
    if tau < 1.0:
        cut = 42.0 / (1.0 / tau - 1.0)
        last = min(last, cut + math.log(-math.expm1(-cut)))
    elif tau > 1.0:
        first = max(first, -42.0 / (1.0 - 1.0 / tau) - log_alpha.max().item())
    count = math.ceil((last - first) / rule.z_step) + 1
    z = first + rule.z_step * torch.arange(count, dtype=torch.float64, device="cpu")
    weights = torch.full_like(z, rule.z_step)
    weights[0] /= -math.expm1(-rule.z_step)  # what lies left of the grid: a geometric series
    return z, weights, -torch.nn.functional.softplus(z) / tau


def _class_moments(
    log_alpha: Tensor, lam: Tensor, tau: float, order: int, rule: Rule
) -> tuple[Tensor, ...]:
    """log φ, ρ and, for order 2, ρ2 = E[r² e^{−λr}]/φ and ρ2 − ρ², each [*, λ]."""
    z, step, log_r = _grid_of_z(tau, rule, log_alpha, top=3.8)
    u = log_alpha[..., None] + z
    density = step * torch.exp(u - u.exp())  # of log E_j
    r = log_r.exp()[:, None]
    damped = torch.exp(-lam * r)
    one_minus_phi = density @ -torch.expm1(-lam * r)
    phi = torch.maximum(1.0 - one_minus_phi, density @ damped)
    log_phi = torch.where(one_minus_phi < 0.5, torch.log1p(-one_minus_phi), phi.log())
    rho = density @ (r * damped) / phi
    if order == 1:
        return log_phi, rho
    rho2 = density @ (r * r * damped) / phi
    return log_phi, rho, rho2, rho2 - rho**2


def _lagrange(taps: int) -> Tensor:
    """[taps, taps]: (1, ξ, ξ², …) @ this = the weights of rows 0 … taps−1, ξ from their middle."""
    powers = torch.arange(taps, dtype=torch.float64, device="cpu")
    at = powers - (taps - 1) / 2
    inverse: Tensor = torch.linalg.inv(at[:, None] ** powers)
    return inverse


@functools.lru_cache(maxsize=_TABLES)
def _table(
    tau: float, n: int, order: int, rule: Rule, dtype: torch.dtype, device: torch.device
) -> Table:
    """`_class_moments` on the grid of rows, for arities up to n."""
    lam, omega = _exp_sum(2 * order, rule.sum_error, n)
    y, w = _nodes_of_e(rule)
    log_p = _rows(tau, order, rule)
    log_alpha = log_p[:, None] + y  # the moments depend on p and e through α = e p only
    blocks = [_class_moments(part, lam, tau, order, rule) for part in torch.split(log_alpha, 16)]
    powers = (min(1.0, 1.0 / tau),) * 2 + (min(1.0, 2.0 / tau),) * 2
    fields = [
        torch.cat(parts).flatten(1) * torch.exp(-power * log_p)[:, None]
        for parts, power in zip(zip(*blocks, strict=True), powers, strict=False)
    ]
    return Table(
        tuple(field.to(device, dtype) for field in fields),
        powers[: len(fields)],
        (w[:, None] * omega * torch.exp(-lam)).flatten().to(device, dtype),
        _lagrange(rule.taps).to(device, dtype),
    )


@functools.lru_cache(maxsize=_TABLES)
def _binary_table(
    tau: float, order: int, rule: Rule, dtype: torch.dtype, device: torch.device
) -> Table:
    """n = 2: E[(s_i s_j)^order] as a function of log p_j; s_i s_j = r/(1+r)².

    E_j / E_i has the density 1/(1+t)², so that log(E_j / E_i) is logistic.
    """
    log_p = _rows(tau, order, rule)
    z, step, log_r = _grid_of_z(tau, rule, log_p, top=43.8)
    t = log_p[:, None] + z
    density = step * torch.exp(-t.abs() - 2.0 * torch.log1p(torch.exp(-t.abs())))
    power = min(1.0, order / tau)
    moment = density @ torch.exp(order * (log_r - 2.0 * torch.log1p(log_r.exp())))
    field = (moment * torch.exp(-power * log_p))[:, None].to(device, dtype)
    return Table((field,), (power,), field.new_ones(1), _lagrange(rule.taps).to(device, dtype))


# --- Reading a table ------------------------------------------------------------------------------


class Stencil(NamedTuple):
    """Which table rows a class reads, with what weights.

    The taps come first in memory: what is done for each of them runs over long vectors, several
    times faster than over four numbers.
    """

    first: Tensor  # of the rows, [N, n]
    weights: Tensor  # [taps, N, n]
    log_p: Tensor  # [N, n]

    def times_power(self, kappa: float) -> Tensor:
        """Weights times p^κ."""
        return self.weights * torch.exp(kappa * self.log_p)

    def rows(self, count: int = 0) -> Tensor:
        """[taps, N, n]; with a count the places of the rows in a flattened tensor [N, count]."""
        taps = torch.arange(len(self.weights), device=self.first.device)
        before = count * torch.arange(len(self.first), device=self.first.device)
        return self.first + before[:, None] + taps[:, None, None]


def _stencil(log_p: Tensor, table: Table, rule: Rule) -> Stencil:
    """Lagrange interpolation on the grid of `_rows`; below its end the last row holds."""
    count, taps = table.fields[0].shape[0], rule.taps
    at = torch.log1p(log_p / -rule.row_scale) / rule.row_step + (taps // 2 - 1)
    at = at.clamp(max=count - 1.0)
    base = (at.floor() - (taps // 2 - 1)).clamp(0, count - taps)
    position = at - base - (taps - 1) / 2
    *lower, weights = table.lagrange[..., None, None]  # polynomials in it, by Horner's rule
    for coefficients in reversed(lower):
        weights = torch.addcmul(coefficients, weights, position)
    return Stencil(base.long(), weights, log_p)


def _deposit(places: Tensor, weights: Tensor, count: int) -> Tensor:
    """Σ_j over classes, as weights of the table's rows: [N, count]."""
    total = weights.new_zeros(weights.shape[1] * count)
    return total.scatter_add_(0, places.flatten(), weights.flatten()).view(-1, count)


def _collect(places: Tensor, weights: Tensor, per_row: Tensor) -> Tensor:
    """The value for each class from values for the table's rows: [N, count] -> [N, n]."""
    picked = per_row.flatten().index_select(0, places.flatten()).view_as(weights)
    return (picked * weights).sum(0)


def _first(g: Tensor, log_p: Tensor, index: Tensor, tau: float, order: int, rule: Rule) -> Tensor:
    """Step 3: v for rows [N, n] of one temperature; g is centred at g_i, log p_i set to −∞."""
    table = _table(tau, _arity(g.shape[-1]), order, rule, g.dtype, g.device)
    log_phi, rho = table.fields
    stencil = _stencil(log_p, table, rule)
    weights = stencil.times_power(table.powers[0])
    places = stencil.rows(len(rho))
    plain = _deposit(places, weights, len(rho))
    times_g = _deposit(places, weights * g, len(rho))
    w = table.weights * torch.exp(plain @ log_phi)
    r_sum = 1.0 + plain @ rho  # ρ_i = 1
    w_q = w * (times_g @ rho)  # g_i = 0
    times_r, plain_q = (per_row @ rho.T for per_row in (w * r_sum, w_q))
    v = g * _collect(places, weights, times_r) - _collect(places, weights, plain_q)
    own = -w_q.sum(-1, keepdim=True)
    return v.scatter_(-1, index, own).div_(tau)


def _second(g: Tensor, log_p: Tensor, index: Tensor, tau: float, order: int, rule: Rule) -> Tensor:
    """Steps 1 to 3 with 1/x⁴ in place of 1/x² for E[(s_a Σ_b s_b (g_a − g_b))²] / τ².

    Given e and k the r_b are independent; with ρ2 = E[r² e^{−λr}]/φ and its excess over ρ²,

        Σ_m W_m ρ2_a [Σ_b (g_a − g_b)² (ρ2_b − ρ_b²) + (g_a R − Q)²],

    expanded in powers of g_a.
    """
    table = _table(tau, _arity(g.shape[-1]), order, rule, g.dtype, g.device)
    log_phi, rho, rho2, excess = table.fields
    stencil = _stencil(log_p, table, rule)
    weights = stencil.times_power(table.powers[0])
    squares = stencil.times_power(table.powers[2])
    places = stencil.rows(len(rho))
    plain = _deposit(places, weights, len(rho))
    w = table.weights * torch.exp(plain @ log_phi)
    r_sum = 1.0 + plain @ rho
    q_sum = _deposit(places, weights * g, len(rho)) @ rho
    # The coefficients of g_a², −2 g_a and 1.
    c2, c1, c0 = (
        w * (_deposit(places, squares * g**d, len(rho)) @ excess + product)
        for d, product in enumerate((r_sum**2, r_sum * q_sum, q_sum**2))
    )
    moment = g**2 * _collect(places, squares, c2 @ rho2.T)
    moment -= 2.0 * g * _collect(places, squares, c1 @ rho2.T)
    moment += _collect(places, squares, c0 @ rho2.T)
    own = c0.sum(-1, keepdim=True)
    return moment.scatter_(-1, index, own) / tau**2


def _binary_closed_form(log_p: Tensor) -> Tensor:
    """E[s_i s_j] for n = 2 and τ = 1 (the paper's footnote 2) from log p_j, in float64.

    Here s_i s_j = r/(1+r)² with r = p/(p + t), t = E_j/E_i of density 1/(1+t)². So with c = 2p

        E[s_i s_j] = ∫₀^∞ p (p + t) / ((c + t)² (1 + t)²) dt.

    p (p + t) = p (c + t) − p² leaves two integrals by partial fractions, with d = 1 − c:

        ∫ dt / ((c + t) (1 + t)²)  = −log c / d² − 1/d
        ∫ dt / ((c + t)² (1 + t)²) = (1/c + 1 + 2 log c / d) / d²

    and together −c (2 log c + d (3 − c)) / (4 d³). The pole at d = 0 is apparent:
    log c = −Σ_m d^m / m turns it into (c/2) Σ_{m≥0} d^m / (m + 3), used near p = 1/2.
    """
    log_c = log_p.double() + math.log(2.0)
    c, d = log_c.exp(), -torch.expm1(log_c)
    far = d.abs() > 0.02
    safe = torch.where(far, d, 1.0)
    closed = -c * (2.0 * log_c + d * (3.0 - c)) / (4.0 * safe**3)
    closed = torch.where(c > 0.0, closed, 0.0)
    series = torch.zeros_like(c)
    for m in reversed(range(9)):
        series = series * d + 1.0 / (m + 3)
    return torch.where(far, closed, 0.5 * c * series).to(log_p.dtype)


def _binary(g: Tensor, log_p: Tensor, index: Tensor, tau: float, order: int, rule: Rule) -> Tensor:
    """n = 2: v_i = −v_j = (g_i − g_j)/τ E[s_i s_j], and the square for order 2."""
    log_p = log_p.gather(-1, 1 - index)  # of the other class
    rule = rule._replace(row_step=rule.row_step / 2)  # a table of one column may well be long
    if order == 1 and tau == 1.0:
        moment = _binary_closed_form(log_p)
    else:
        table = _binary_table(tau, order, rule, g.dtype, g.device)
        stencil = _stencil(log_p, table, rule)
        weights = stencil.times_power(table.powers[0])
        moment = (table.fields[0][:, 0][stencil.rows()] * weights).sum(0)
    if order == 1:
        return (g - g.flip(-1)) / tau * moment
    return ((g - g.flip(-1)) / tau) ** 2 * moment


# --- The public functions -------------------------------------------------------------------------


def conditional_vjp(grad: Tensor, logits: Tensor, index: Tensor, tau: Tau) -> Tensor:
    """The exact Gumbel-Rao gradient (K = ∞) for given D and upstream gradient.

        v_a = gᵀ E[∂softmax_τ(θ + G)/∂θ_a | D = i] = (1/τ) E[s_a Σ_b s_b (g_a − g_b) | D = i]    (7)

    with the relative error ‖v − v_exact‖/‖v_exact‖ at most 1e-4 in float32 and 1e-8 in float64 for
    τ in [0.01, 10], 2 to 1000 classes and logits in [−30, 30], however improbable class i.

    Args:
        grad: g = ∂f(D)/∂D, `[*batch, n]`.
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        index: the class i that was drawn, `[*batch]`, int64.
        tau: temperature τ > 0, a float or a tensor that broadcasts against `[*batch]`.

    Returns:
        v, `[*batch, n]`, in the dtype of `logits` (half precision is computed in float32). Its sum
        over classes is 0 up to rounding. No gradient flows through it.

    Raises:
        TypeError: an argument is not a tensor of the right kind.
        ValueError: shapes do not match, τ is not in [1e-20, 100], or there are more than 1024
            classes.

    Example:
        >>> theta, g = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> conditional_vjp(g, theta, torch.tensor(2), tau=0.5)
        tensor([ 0.0679, -0.0093, -0.0586])

    Source: Paulus, Maddison & Krause (2021), section 3.3, which leaves K = ∞ open.
    """
    _check(grad, logits, index, tau)
    return exact_vjp(grad, logits, index, tau)


def exact_vjp(grad: Tensor, logits: Tensor, index: Tensor, tau: Tau) -> Tensor:
    """`conditional_vjp` of arguments that were checked."""
    return _evaluate(grad, logits, index, tau, 1, FAST if _single(logits) else FINE, None)


def second_moment(grad: Tensor, logits: Tensor, index: Tensor, tau: Tau) -> Tensor:
    """Second moments of one straight-through Gumbel-Softmax gradient given D, without sampling.

        E[(s_a Σ_b s_b (g_a − g_b) / τ)² | D = i],    s = softmax_τ(θ + G)

    Less the square of `conditional_vjp` it is var[∇STGS | D], the part of the variance that
    Gumbel-Rao removes (Proposition 3). Always computed in float64, with a relative error of the
    whole vector of at most 1e-7 for the arguments named there.

    Args:
        grad: g, `[*batch, n]`.
        logits: θ, `[*batch, n]`.
        index: i, `[*batch]`, int64.
        tau: τ > 0, a float or a tensor that broadcasts against `[*batch]`.

    Returns:
        `[*batch, n]`, in the dtype of `logits`.

    Raises:
        TypeError, ValueError: as `conditional_vjp`.

    Example:
        >>> theta, g = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> second_moment(g, theta, torch.tensor(2), tau=0.5)
        tensor([0.0182, 0.0006, 0.0140])
    """
    _check(grad, logits, index, tau)
    return _evaluate(grad, logits, index, tau, 2, FINE, torch.float64)


def error_estimate(grad: Tensor, logits: Tensor, index: Tensor, tau: Tau) -> Tensor:
    """Relative error of `conditional_vjp`, estimated by a finer rule.

        ‖v − v_finer‖ / ‖v_finer‖ for each row; 0 where v_finer is 0

    Args:
        grad, logits, index, tau: as for `conditional_vjp`.

    Returns:
        `[*batch]`, float64.

    Raises:
        TypeError, ValueError: as `conditional_vjp`.

    Example:
        >>> theta, g = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> bool(error_estimate(g, theta, torch.tensor(2), tau=0.5) < 1e-4)
        True
    """
    value = conditional_vjp(grad, logits, index, tau).double()
    rule = FINE if _single(logits) else FINEST
    finer = _evaluate(grad.double(), logits.double(), index, tau, 1, rule, None)
    size = finer.norm(dim=-1)
    return torch.where(size > 0.0, (value - finer).norm(dim=-1) / size, 0.0)


def _single(logits: Tensor) -> bool:
    return logits.dtype != torch.float64


def _arity(n: int) -> int:
    """The smallest power of two that is at least n: neighbouring arities share a table."""
    return 1 << (n - 1).bit_length()


def _parts(tau: Tau, batch: torch.Size, size: int) -> Iterator[tuple[float, slice | Tensor]]:
    """(temperature, which rows of the flattened batch), at most `size` rows a time."""
    if isinstance(tau, Tensor) and tau.numel() > 1:
        temperatures, group = torch.unique(tau.expand(batch).flatten(), return_inverse=True)
        for number, temperature in enumerate(temperatures.tolist()):
            for rows in (group == number).nonzero()[:, 0].split(size):
                yield temperature, rows
    else:
        for start in range(0, batch.numel(), size):
            yield float(tau), slice(start, start + size)


def check_tau_limit(tau: Tau) -> None:
    """τ is in the range of the tables, or 0 where that stands for the limit."""

    def inside(t: Any) -> Any:
        return (t <= MAX_TABLE_TAU) & ((t >= MIN_TABLE_TAU) | (t == 0))

    if not (holds(inside, tau) if isinstance(tau, Tensor) else inside(tau)):
        wanted = f"from {MIN_TABLE_TAU:g} to {MAX_TABLE_TAU:g} with K = ∞"
        raise ValueError(f"tau: expected {wanted}, got {shown(tau)}")


def _check(grad: Tensor, logits: Tensor, index: Tensor, tau: Tau) -> None:
    """Each argument, and that `grad` and `index` belong to `logits`."""
    check_logits(logits)
    check_tau(tau, logits.shape[:-1])
    check_floating(grad, "grad")
    check_real(index, "index")
    for name, tensor, shape in (
        ("grad", grad, logits.shape),
        ("index", index, logits.shape[:-1]),
    ):
        if tensor.shape != shape:
            raise ValueError(f"{name}: expected shape {tuple(shape)}, got {tuple(tensor.shape)}")
        check_same_device(tensor, name, logits)
    if index.dtype != torch.int64:
        raise TypeError(f"index: expected int64, got {index.dtype}")
    if not holds(lambda i: (i >= 0) & (i < logits.shape[-1]), index):
        raise ValueError(f"index: expected classes from 0 to {logits.shape[-1] - 1}")
    if logits.shape[-1] > MAX_CLASSES:
        raise ValueError(f"logits: expected at most {MAX_CLASSES} classes, got {logits.shape[-1]}")
    check_tau_limit(tau)


def _exact_products() -> bool:
    """Whether float32 matrix products are in float32, not in TF32 or bfloat16 inside."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # it was set by a newer interface, and this one refuses to look
        return False


@torch.no_grad()
def _evaluate(
    grad: Tensor,
    logits: Tensor,
    index: Tensor,
    tau: Tau,
    order: int,
    rule: Rule,
    dtype: torch.dtype | None,
) -> Tensor:
    """Group rows of equal τ, and work through each group in chunks of bounded size."""
    dtype = dtype or torch.promote_types(logits.dtype, torch.float32)
    if not _exact_products():
        dtype = torch.float64
    n = logits.shape[-1]
    flat_logits = logits.reshape(-1, n).to(dtype)
    flat_grad = grad.reshape(-1, n).to(dtype)
    flat_index = index.reshape(-1, 1)
    out = torch.zeros_like(flat_logits)
    if n == 1 or out.numel() == 0:
        return out.view(logits.shape).to(logits.dtype)
    chunk = max(1, MAX_WORKSPACE // (rule.taps * n + 512))
    formula = _binary if n == 2 else _first if order == 1 else _second
    with torch.autocast(logits.device.type, enabled=False):
        for temperature, part in _parts(tau, logits.shape[:-1], chunk):
            g, i = flat_grad[part], flat_index[part]
            # Class i has terms of its own; with p_i = 0 it has none in the sums over the others.
            # A softmax over the first axis is several times faster for few classes.
            log_p = flat_logits[part].T.contiguous().log_softmax(0).T.contiguous()
            log_p.scatter_(-1, i, -torch.inf)
            out[part] = formula(g - g.gather(-1, i), log_p, i, temperature, order, rule)
    return out.view(logits.shape).to(logits.dtype)
