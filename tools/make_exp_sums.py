"""Make ``gumbelrao_edu/exp_sums.json``: short sums of exponentials for 1/x² and 1/x⁴.

Each record holds λ and ω with |x^q Σ_k ω_k e^{−λ_k x} − 1| <= error on [1, up_to]. With K terms
the best sum is known by equioscillation: there are 2K + 1 points x_m in [1, up_to] with

    x^q Σ_k ω_k e^{−λ_k x} − 1 = (−1)^m ε.

This is Remez's algorithm. The points start at the log-Chebyshev points; Newton's method finds the
2K + 1 unknowns (log λ, log ω, ε); the points move to the extrema of the error just found; and so
on. Newton's equations are ill-conditioned (about 1/ε²), hence the extended precision. K grows
until the wanted error is reached.

Run:  python tools/make_exp_sums.py [OUT]      (needs mpmath; about ten minutes)
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

UP_TO = (2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256, 512, 1024)
# (power q, wanted error): 1/x² for the three rules of quadrature.py, 1/x⁴ for second moments.
TARGETS = ((2, 1e-5), (2, 1e-9), (2, 1e-11), (4, 1e-9))
OUT = Path(__file__).parents[1] / "gumbelrao_edu" / "exp_sums.json"


class Sum(NamedTuple):
    """x^power Σ_k omega_k e^{−lam_k x} is within ``error`` (reached) of 1 on [1, up_to]."""

    power: int
    wanted: float
    up_to: int
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


def remez(power: int, up_to: float, wanted: float, start: Sequence[float]) -> list[float]:
    """The best sum with as many terms as ``start``, [log λ..., log ω...].

    The level ε of any alternation bounds the best error from below: the search stops when that is
    above ``wanted``.
    """
    terms = len(start) // 2
    angles = np.pi * np.arange(2 * terms + 1) / (2 * terms)
    points = np.exp(np.log(up_to) * (1 - np.cos(angles)) / 2)
    grid = np.geomspace(1.0, up_to, 20001)
    solution = list(start)
    for _ in range(8):
        with mp.workdps(50):
            *solution, level = newton(power, points.tolist(), solution)
        error = relative_error(power, grid, np.exp(solution[:terms]), np.exp(solution[terms:]))
        pieces = np.split(np.arange(grid.size), np.flatnonzero(np.diff(np.sign(error))) + 1)
        settled = np.abs(error).max() < 1.03 * abs(level)
        if settled or abs(level) > wanted or len(pieces) != 2 * terms + 1:
            break
        points = grid[[piece[np.abs(error[piece]).argmax()] for piece in pieces]]
    return solution


def first_guess(power: int, up_to: float, terms: int) -> list[float]:
    """The trapezoid rule in log λ for x^{−q} = ∫ λ^{q−1} e^{−λx} dλ / (q − 1)!."""
    log_lam = np.linspace(np.log(0.5 / up_to), np.log(2.0 + terms), terms)
    step = log_lam[1] - log_lam[0] if terms > 1 else 1.0
    log_omega = power * log_lam + np.log(step / math.factorial(power - 1))
    return [*log_lam, *(float(v) for v in log_omega)]


def stretched(previous: Sequence[float], terms: int) -> list[float]:
    """A start with one more term: the solution before, read at equally spaced places."""
    old = len(previous) // 2
    at = np.linspace(-0.5, old - 0.5, terms)
    guess: list[float] = []
    for part in (previous[:old], previous[old:]):
        slope_left, slope_right = part[1] - part[0], part[-1] - part[-2]
        ends = [part[0] - slope_left, *part, part[-1] + slope_right]
        guess += list(np.interp(at, np.arange(-1, old + 1), ends))
    return guess


def widened(power: int, known: Sequence[float], ratio: float) -> list[float]:
    """A start for an interval ``ratio`` times as long: the smallest λ falls by that ratio."""
    log_lam, log_omega = np.split(np.asarray(known), 2)
    share = (log_lam.max() - log_lam) / np.ptp(log_lam)
    return [
        *(log_lam - share * np.log(ratio)).tolist(),
        *(log_omega - power * share * np.log(ratio)).tolist(),
    ]


def shortest(power: int, up_to: int, error: float, start: Sequence[float] = ()) -> Sum:
    """The sum with the fewest terms that reaches ``error`` on [1, up_to].

    ``start``, made from the sum for a shorter interval, saves the search through smaller K.
    """
    known = list(start)
    grid = np.geomspace(1.0, up_to, 20001)
    for terms in range(max(2, len(start) // 2), 60):
        guesses = [first_guess(power, up_to, terms)]
        if known:
            guesses.insert(0, known if len(known) == 2 * terms else stretched(known, terms))
        for guess in guesses:
            try:
                known = remez(power, up_to, error, guess)
            except (ArithmeticError, ZeroDivisionError):
                continue
            lam, omega = np.exp(known[:terms]), np.exp(known[terms:])
            reached = float(np.abs(relative_error(power, grid, lam, omega)).max())
            if reached <= error:
                rounded = float(f"{reached:.2e}")
                return Sum(power, error, up_to, rounded, lam.tolist(), omega.tolist())
            break
    raise ArithmeticError(f"no sum found: power {power}, up_to {up_to}, error {error}")


def main() -> None:
    """Write all the sums; a file is replaced only when all are there."""
    parser = argparse.ArgumentParser(description="make the sums of exponentials anew")
    parser.add_argument("out", nargs="?", type=Path, default=OUT)
    out: Path = parser.parse_args().out
    records = []
    for power, error in TARGETS:
        start: list[float] = []
        for before, up_to in zip((1, *UP_TO), UP_TO, strict=False):
            if start:
                start = widened(power, start, up_to / before)
            found = shortest(power, up_to, error, start)
            records.append(found)
            start = np.log([*found.lam, *found.omega]).tolist()
            print(f"1/x^{power} to {error} on [1, {up_to}]: {len(found.lam)} terms", flush=True)
    partial = out.with_suffix(".partial")
    partial.write_text("[\n" + ",\n".join(json.dumps(r._asdict()) for r in records) + "\n]\n")
    os.replace(partial, out)


if __name__ == "__main__":
    main()
