"""The relatives of Gumbel-Rao: what they expand, their bias and variance, and two trainings."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from ... import estimators
from ...diagnostics import Result, compare
from ...figures.controls import Choice
from ...figures.panel import Panel, slider
from ...figures.rows import Row
from ...figures.style import (
    BOLD,
    CLASSES,
    GUIDE,
    HAIR,
    MARK,
    MEASURED,
    RAY,
    label,
    layout,
    log_axis,
)
from ...figures.traces import curve, points, trace

POWERS = (1.0, 1.5, 2.0, 3.0, 4.0)
TAUS = (0.1, 0.2, 0.5, 1.0, 2.0)
NS = (2, 3, 8, 16)
BUDGET = 64  # evaluations of f that are averaged

_FLOOR = 1e-4  # of what is shown, in units of the exact gradient's square
_CEILING = 1e4
_ROUNDING = 1e-12  # a bias² below it, in these units, is none


def heun() -> Panel:
    """Return x^a between two classes, and what one slope and two slopes make of the difference.

    Returns:
        A panel with the control ``a``.

    Example:
        >>> print(heun().captions(a=[2.0])[0])
        The sentence under the figure:
        f(x) is x to the power 2. From class 0 to class 1 it rises by 1.00. From class 1, one
        slope says 2.00, the mean of both 1.00.
    """
    x = torch.linspace(0, 1, 41)

    def draw(figure: go.Figure, *, a: float) -> str:
        trace(figure, "f").y = (x**a).tolist()
        ends = [0.0 if a > 1 else 1.0, a]
        middle = sum(ends) / 2
        for name, slope in (("one slope", a), ("mean of two slopes", middle)):
            trace(figure, name).y = [1 - slope, 1.0]
        return (
            f"f(x) is x to the power {label(a)}. From class 0 to class 1 it rises by 1.00. From "
            f"class 1, one slope says {a:.2f}, the mean of both {middle:.2f}."
        )

    figure = go.Figure(
        [
            curve("f", MEASURED, x.tolist(), width=BOLD),
            curve("one slope", CLASSES[1], [0, 1]),
            curve("mean of two slopes", CLASSES[0], [0, 1]),
        ],
        {**layout("from class 0 to class 1", "f", height=320), "showlegend": True},
    )
    figure.update_yaxes(range=[-3.2, 1.2])
    return Panel(figure, draw, a=slider("a", POWERS, 3.0, tooltip="power in the loss"))


# --- Bias and variance ----------------------------------------------------------------------------


def linear(d: Tensor) -> Tensor:
    """1 + ⟨w, D⟩ with weights from −1 to 1.

    Args:
        d: `[*, 1, n]`.

    Example:
        >>> linear(torch.eye(3).unsqueeze(1)).tolist()
        [0.0, 1.0, 2.0]
    """
    return 1 + (d @ torch.linspace(-1, 1, d.shape[-1], dtype=d.dtype)).squeeze(-1)


def quadratic(d: Tensor) -> Tensor:
    """(⟨w, D⟩ − ½)², with the same weights.

    Args:
        d: `[*, 1, n]`.

    Example:
        >>> quadratic(torch.eye(3).unsqueeze(1)).tolist()
        [2.25, 0.25, 0.25]
    """
    return (linear(d) - 1.5).square()


def wave(d: Tensor) -> Tensor:
    """1 + sin 4⟨w, D⟩, far from quadratic.

    Args:
        d: `[*, 1, n]`.

    Example:
        >>> wave(torch.eye(3).unsqueeze(1))[1].item()
        1.0
    """
    return 1 + (4 * (linear(d) - 1)).sin()


LOSSES = {"linear": linear, "quadratic": quadratic, "wave": wave}


@functools.cache
def measurements(loss: str, n: int, num_samples: int = 2000) -> tuple[tuple[Result, ...], float]:
    """Return what `compare` measures of all estimators on one variable, and ‖∇exact‖².

    Args:
        loss: one of `LOSSES`.
        n: classes.
        num_samples: gradients drawn for each.

    Example:
        >>> results, size = measurements("linear", 2, 100)
        >>> {result.estimator for result in results} == {*estimators.names()}
        True
    """
    generator = torch.Generator().manual_seed(n)
    logits = torch.randn(1, n, dtype=torch.float64, generator=generator)
    found = compare(
        LOSSES[loss], logits, tau=TAUS, k=math.inf, num_samples=num_samples, generator=generator
    )
    return found.results, found.squared_norm


def trade_off(num_samples: int = 2000) -> Panel:
    """Return bias² against variance of every registered estimator, with controls for τ, n and f.

    Both are in units of ‖∇exact‖², so that no gradient at all is at bias² = 1. Variance is that of
    the mean over `BUDGET` evaluations of f. A bias that is not twice its standard error is drawn at
    the left edge, with an open marker.

    Args:
        num_samples: gradients drawn for each point.

    Returns:
        A panel with the controls ``f``, ``n`` and ``tau``.

    Example:
        >>> panel = trade_off(100)
        >>> len(panel.captions(f=["linear", "wave"], n=[2], tau=[1.0]))
        2
    """
    names = [name for name in estimators.names() if estimators.get(name).kind != "enumeration"]
    for loss in LOSSES:
        for n in NS:
            measurements(loss, n, num_samples)

    def draw(figure: go.Figure, *, f: str, n: int, tau: float) -> str:
        results, size = measurements(f, n, num_samples)
        errors: dict[str, float] = {}
        for result in results:
            if result.estimator not in names or result.hyper.get("tau", tau) != tau:
                continue
            bias, noise = result.bias2.value / size, result.variance.value / size
            noise *= result.evaluations / BUDGET
            clear = result.bias2.value > max(2 * result.bias2.standard_error, _ROUNDING * size)
            row = Row(result.estimator)
            shown = trace(figure, row.label)
            shown.x = [min(max(bias, _FLOOR), _CEILING) if clear else _FLOOR]
            shown.y = [min(max(noise, _FLOOR), _CEILING)]
            shown.marker.symbol = row.symbol if clear else f"{row.symbol}-open"
            errors[row.label] = max(bias, 0.0) + noise
        best, second, *_ = sorted(errors, key=lambda name: errors[name])
        return (
            f"f is {f}, n = {n}, τ = {label(tau)}. With {BUDGET} evaluations of f, {best} has the "
            f"lowest mean squared error ({errors[best]:.2g}), then comes {second} "
            f"({errors[second]:.2g}); no gradient at all has 1."
        )

    along = [_FLOOR * (_CEILING / _FLOOR) ** (i / 80) for i in range(81)]
    figure = go.Figure(
        [
            *(points(Row(name).label, Row(name), size=MARK) for name in names),
            curve("as bad as no gradient", RAY, [1.0, 1.0], [_FLOOR, 1.0], width=HAIR),
            curve("bias² = variance", GUIDE, along, along, width=HAIR),
        ],
        {
            **layout("bias² / ‖∇‖²", f"variance of {BUDGET} evaluations / ‖∇‖²", height=480),
            "showlegend": True,
        },
    )
    ticks = [1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100]
    figure.update_layout(
        xaxis=log_axis(ticks, [0.7 * _FLOOR, 20]),
        yaxis=log_axis(ticks, [0.7 * _FLOOR, 200]),
    )
    return Panel(
        figure,
        draw,
        f=Choice(
            [(name, name) for name in LOSSES],
            "quadratic",
            description="f",
            tooltip="the loss: linear, quadratic, or far from both",
        ),
        n=slider("n", NS, 3, tooltip="number of classes"),
        tau=slider("τ", TAUS, 0.5, tooltip="temperature of the estimators that have one"),
    )


# --- Trainings ------------------------------------------------------------------------------------


def polynomial(
    curves: Mapping[str, tuple[Sequence[int], Tensor]], powers: Sequence[float]
) -> Panel:
    """Return how much of the way is left over the evaluations of f, with a slider for the power.

    Args:
        curves: by the name of the estimator, what `problems.polynomial.train` returns.
        powers: a of the problems.

    Returns:
        A panel with the control ``a``.

    Example:
        >>> panel = polynomial({"zgr": ([0, 1], torch.tensor([[[1.0]], [[0.5]]]))}, [2.0])
        >>> panel.caption
        'a = 2. Left of the way after 1 evaluations of f: 0.50 with ZGR.'
    """
    labels = {name: Row(name).label for name in curves}

    def draw(figure: go.Figure, *, a: float) -> str:
        ends = {}
        for name, (_, left) in curves.items():
            mean = left[:, list(powers).index(a)].mean(-1)
            trace(figure, labels[name]).y = mean.tolist()
            ends[labels[name]] = mean[-1].item()
        told = ", ".join(f"{ends[n]:.2f} with {n}" for n in sorted(ends, key=lambda n: ends[n]))
        last = max(steps[-1] for steps, _ in curves.values())
        return f"a = {label(a)}. Left of the way after {last} evaluations of f: {told}."

    figure = go.Figure(
        [curve(labels[name], Row(name), steps) for name, (steps, _) in curves.items()],
        {
            **layout("evaluations of f", "left of the way to the best loss", height=440),
            "showlegend": True,
        },
    )
    figure.update_yaxes(range=[0, 1.1])
    tooltip = "power in the loss"
    return Panel(figure, draw, a=slider("a", powers, powers[len(powers) // 2], tooltip=tooltip))


def annealing(
    ends: Mapping[str, Mapping[str, Tensor]],
    rows: Mapping[str, Row],
    what: str = "expected loss",
    *,
    from_zero: bool = True,
) -> Panel:
    """Return the losses that trainings end with, for each schedule and estimator.

    Args:
        ends: by the estimator and the schedule, the final losses of the runs `[runs]`.
        rows: the look of each estimator.
        what: the loss, for its axis.
        from_zero: the axis begins at 0.

    Returns:
        A panel without controls.

    Example:
        >>> from gumbelrao_edu.figures.rows import ST_GS
        >>> annealing({"ST-GS": {"τ = 1": torch.tensor([1.0, 3.0])}}, {"ST-GS": ST_GS}).caption
        'Mean of the expected loss at the end, ± standard error. ST-GS: τ = 1 2.0 ± 1.0.'
    """
    traces, told = [], []
    for name, by_schedule in ends.items():
        means = [each.mean().item() for each in by_schedule.values()]
        errors = [(each.std() / len(each) ** 0.5).item() for each in by_schedule.values()]
        traces.append(points(name, rows[name], [*by_schedule], means, errors, size=MARK))
        numbers = zip(by_schedule, means, errors, strict=True)
        said = ", ".join(f"{schedule} {m:.1f} ± {e:.1f}" for schedule, m, e in numbers)
        told.append(f"{name}: {said}")
    axes = layout("temperature over the training", f"{what} at the end", height=380)
    figure = go.Figure(traces, {**axes, "showlegend": True})
    if from_zero:
        figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(automargin=True, tickangle=-90, title_standoff=8)
    return Panel(figure, alt=f"Mean of the {what} at the end, ± standard error. {'. '.join(told)}.")
