"""Make ``gumbelrao_edu/exp_sums.json``: short sums of exponentials for 1/x² and 1/x⁴.

Each record holds λ and ω with |x^q Σ_k ω_k e^{−λ_k x} − 1| <= error on [1, up_to]. With K terms
the best sum is known by equioscillation: there are 2K + 1 points x_m in [1, up_to] with

    x^q Σ_k ω_k e^{−λ_k x} − 1 = (−1)^m ε.

This is Remez's algorithm. The points start at the log-Chebyshev points; Newton's method finds the
2K + 1 unknowns (log λ, log ω, ε); the points move to the extrema of the error just found; and so
on. Newton's equations are ill-conditioned (about 1/ε²), hence the extended precision. K grows
until the wanted error is reached.

Run:  python tools/make_exp_sums.py [OUT]      (needs mpmath; about a minute)
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Each interval starts from the solution for the one before: a ratio of 1.2 keeps Newton's method
# on its way. Powers of two are kept.
UP_TO = tuple(2.0 ** (quarter / 4) for quarter in range(4, 41))
# (power q, wanted error): 1/x² for the three rules of quadrature.py, 1/x⁴ for second moments.
TARGETS = ((2, 1e-5), (2, 1e-9), (2, 1e-11), (4, 1e-9))
OUT = Path(__file__).parents[1] / "gumbelrao_edu" / "exp_sums.json"


class Sum(NamedTuple):
    """x^power Σ_k omega_k e^{−lam_k x} is within ``error`` (reached) of 1 on [1, up_to]."""

    power: int
    wanted: float
    up_to: float
    error: float
    lam: list[float]
    omega: list[float]


def relative_error(power: int, x: npt.ArrayLike, lam: npt.ArrayLike, omega: npt.ArrayLike) -> Array:
    """x^q Σ ω e^{−λx} − 1."""
    x = np.asarray(x)
    return np.asarray(x**power * (np.exp(-np.multiply.outer(x, lam)) @ np.asarray(omega)) - 1.0)


def solve(system: npt.NDArray[np.object_]) -> list[mp.mpf]:
    """x of A x = b from [A | b], by elimination in fixed point, much faster than in mpmath."""
    bits = 400
    work = np.vectorize(lambda v: int(mp.ldexp(v, bits)), otypes=[object])(system)
    size = len(work)
    for column in range(size):
        pivot = column + int(np.abs(work[column:, column]).argmax())
        work[[column, pivot]] = work[[pivot, column]]
        factor = (work[:, column] << bits) // work[column, column]
        factor[column] = 0
        work[:, column:] -= np.multiply.outer(factor, work[column, column:]) >> bits
    return [mp.mpf(int(row[-1])) / int(row[i]) for i, row in enumerate(work)]


def newton(power: int, points: Sequence[float], start: Sequence[float]) -> list[float]:
    """Solve the alternation at ``points`` from ``start`` = [log λ..., log ω...].

    Returns:
        [log λ..., log ω..., ε].

    Raises:
        ArithmeticError: Newton's method did not converge from this start.
    """
    terms = len(start) // 2
    unknown = mp.matrix([*start, 0])
    for _ in range(30):
        system = np.zeros((2 * terms + 1, 2 * terms + 2), dtype=object)  # [Jacobian | residual]
        for m, x in enumerate(points):
            total = mp.mpf(0)
            for k in range(terms):
                lam = mp.exp(unknown[k])
                term = x**power * mp.exp(unknown[terms + k] - lam * x)
                system[m, k] = -lam * x * term
                system[m, terms + k] = term
                total += term
            system[m, 2 * terms] = mp.mpf(-((-1) ** m))
            system[m, 2 * terms + 1] = total - 1 - (-1) ** m * unknown[2 * terms]
        step = mp.matrix(solve(system))
        longest = max(abs(s) for s in step[: 2 * terms])
        # Far from the solution a full step overshoots; half a unit of log λ is safe.
        unknown -= step * min(1, mp.mpf("0.5") / longest)
        if longest < 1e-10:  # convergence is quadratic: what is left is below 1e-16
            return [float(v) for v in unknown]
    raise ArithmeticError(f"no convergence with {terms} terms")


class Fit(NamedTuple):
    """A sum with K terms, and where its error alternates: log x = place · log up_to."""

    log_lam: Array  # [K]
    log_omega: Array  # [K]
    places: Array  # [2K + 1], from 0 to 1


def remez(power: int, up_to: float, wanted: float, start: Fit) -> tuple[Fit, float]:
    """The best sum with as many terms as ``start``, and its error.

    The level ε of any alternation bounds the best error from below: the search stops when that is
    above ``wanted``.
    """
    fit, terms = start, len(start.log_lam)
    grid = np.geomspace(1.0, up_to, 20001)
    worst = math.inf
    for _ in range(8):
        points = up_to**fit.places
        with mp.workdps(50):
            solution = newton(power, points.tolist(), [*fit.log_lam, *fit.log_omega])
        level = abs(solution[-1])
        log_lam, log_omega = np.array(solution[:terms]), np.array(solution[terms:-1])
        error = relative_error(power, grid, np.exp(log_lam), np.exp(log_omega))
        worst = float(np.abs(error).max())
        fit = Fit(log_lam, log_omega, fit.places)
        pieces = np.split(np.arange(grid.size), np.flatnonzero(np.diff(np.sign(error))) + 1)
        if worst < 1.03 * level or level > wanted or len(pieces) != 2 * terms + 1:
            break
        extrema = np.array([piece[np.abs(error[piece]).argmax()] for piece in pieces])
        fit = fit._replace(places=extrema / (grid.size - 1))
    return fit, worst


def first_guess(power: int, up_to: float, terms: int) -> Fit:
    """The trapezoid rule in log λ for x^{−q} = ∫ λ^{q−1} e^{−λx} dλ / (q − 1)!."""
    log_lam = np.linspace(np.log(0.5 / up_to), np.log(2.0 + terms), terms)
    log_omega = power * log_lam + np.log((log_lam[1] - log_lam[0]) / math.factorial(power - 1))
    places = (1 - np.cos(np.pi * np.arange(2 * terms + 1) / (2 * terms))) / 2  # log-Chebyshev
    return Fit(log_lam, log_omega, places)


def one_more(fit: Fit) -> Fit:
    """A start with one more term: the fit read at more, equally spaced, places of its indices."""

    def read(values: Array, at: Array) -> Array:
        ends = [2 * values[0] - values[1], *values, 2 * values[-1] - values[-2]]
        return np.asarray(np.interp(at, np.arange(-1, len(values) + 1), ends))

    terms = len(fit.log_lam)
    at = np.linspace(-0.5, terms - 0.5, terms + 1)
    places = read(fit.places, np.linspace(0, 2 * terms, 2 * terms + 3))
    return Fit(read(fit.log_lam, at), read(fit.log_omega, at), places)


def widened(power: int, fit: Fit, ratio: float) -> Fit:
    """A start for an interval ``ratio`` times as long: the smallest λ falls by that ratio."""
    share = (fit.log_lam.max() - fit.log_lam) / np.ptp(fit.log_lam)
    shift = share * np.log(ratio)
    return Fit(fit.log_lam - shift, fit.log_omega - power * shift, fit.places)


def shortest(power: int, up_to: float, error: float, start: Fit | None = None) -> tuple[Sum, Fit]:
    """The sum with the fewest terms that reaches ``error`` on [1, up_to].

    ``start``, made from the sum for a shorter interval, saves the search through smaller K.
    """
    fit = start or first_guess(power, up_to, 2)
    while len(fit.log_lam) < 60:
        for guess in (fit, first_guess(power, up_to, len(fit.log_lam))):
            try:
                fit, reached = remez(power, up_to, error, guess)
            except ArithmeticError:
                continue
            if reached <= error:
                lam, omega = np.exp(fit.log_lam).tolist(), np.exp(fit.log_omega).tolist()
                return Sum(power, error, up_to, float(f"{reached:.2e}"), lam, omega), fit
            break
        fit = one_more(fit)
    raise ArithmeticError(f"no sum found: power {power}, up_to {up_to}, error {error}")


def main() -> None:
    """Write all the sums; a file is replaced only when all are there."""
    parser = argparse.ArgumentParser(description="make the sums of exponentials anew")
    parser.add_argument("out", nargs="?", type=Path, default=OUT)
    out: Path = parser.parse_args().out
    records = []
    for power, error in TARGETS:
        fit: Fit | None = None
        for before, up_to in zip((1.0, *UP_TO), UP_TO, strict=False):
            start = None if fit is None else widened(power, fit, up_to / before)
            found, fit = shortest(power, up_to, error, start)
            if math.log2(up_to).is_integer():
                records.append(found)
            print(f"1/x^{power} to {error} on [1, {up_to:g}]: {len(found.lam)} terms", flush=True)
    partial = out.with_suffix(".partial")
    partial.write_text("[\n" + ",\n".join(json.dumps(r._asdict()) for r in records) + "\n]\n")
    os.replace(partial, out)


if __name__ == "__main__":
    main()
