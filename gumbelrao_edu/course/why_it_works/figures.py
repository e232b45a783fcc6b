"""Bias, variance and MSE of GR over τ, K and B: what Proposition 3 says, and draws on top of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ...diagnostics import (
    Loss,
    Measurements,
    Terms,
    distance_from_zgr,
    exact_terms,
    gradient_samples,
    running_means,
    variance,
)
from ...figures.panel import Panel, slider
from ...figures.rows import EXACT, GR
from ...figures.style import (
    ANOTHER,
    BOLD,
    CONTOUR_ON_MAP,
    FAINT,
    GUIDE,
    HAIR,
    INNER,
    MARK,
    MEASURED,
    OUTER,
    RING,
    SCALE,
    THIN,
    TURN,
    Styled,
    error_bars,
    label,
    layout,
    line,
    log_axis,
)
from ...figures.traces import curve, matrix, points, trace
from ...gumbel import conditional_gumbel, tempered_softmax
from ...quadrature import conditional_vjp

TAUS = (0.05, 0.1, 0.2, 0.5, 1.0)  # of the sliders
KS = (1, 3, 10, 30, 100, math.inf)
BATCHES = (1, 8, 64)


def surface(f: Loss, logits: Tensor, *, seed: int = 0) -> Panel:
    """Return the variance (13) over K and B as a map, with measured points and a slider for τ.

    Points have the colour of what was measured: one that agrees with the formula is a ring only.

    Args:
        f, logits, seed: as for `gumbel_rao.figures.mse_over_tau`.

    Returns:
        A panel with the control ``tau``.

    Example:
        >>> panel = surface(lambda d: d[..., 0] ** 2, torch.zeros(3))
        >>> panel.controls["tau"].value = 0.05
        >>> panel.caption.startswith("τ = 0.05. ")
        True
    """
    terms = dict(zip(TAUS, _each(_terms(f, logits, torch.tensor(TAUS))), strict=True))
    measured = Measurements(f, logits, TAUS, KS[:-1], seed=seed)
    ks, batches = _steps(41, 100), _steps(21, 64)
    settings = [(k, b) for b in BATCHES for k in KS[:-1]]

    def update(figure: go.Figure, *, tau: float) -> str:
        inner, outer = terms[tau].inner.item(), terms[tau].outer.item()
        turn = inner / outer
        heights = [[math.log10((inner / k + outer) / b) for k in ks] for b in batches]
        trace(figure, "variance").z = heights
        x, y = ([turn] * 2, [1, 64]) if turn >= 1 else ([], [])
        trace(figure, "K*").update(x=x, y=y)
        drawn = [measured(tau, k, b) for k, b in settings]
        formula = [variance(terms[tau], k, b).item() for k, b in settings]
        rings = trace(figure, "measured")
        rings.marker.color = [math.log10(each.variance) for each in drawn]
        rings.text = [
            f"K = {k}, B = {b}: measured {each.variance:.3g} ± {each.variance_se:.2g}, "
            f"by the formula {value:.3g}"
            for (k, b), each, value in zip(settings, drawn, formula, strict=True)
        ]
        away = [
            abs(each.variance - value) / each.variance_se
            for each, value in zip(drawn, formula, strict=True)
        ]
        where = (
            f"K* = {turn:.1f}: left of the dashed line the inner variance is the larger part, "
            f"right of it the outer one"
            if turn >= 1
            else f"K* = {turn:.2f}: the outer variance is the larger part even at K = 1"
        )
        return (
            f"τ = {label(tau)}. {where}. Of {len(away)} measured points the one farthest from the "
            f"formula is {max(away):.1f} standard errors away from it."
        )

    extremes = [
        math.log10(variance(terms[tau], k, b).item())
        for tau in TAUS
        for k, b in ((1, 1), (100, 64))
    ]
    low, high = min(extremes), max(extremes)
    colours = {"colorscale": SCALE, "reversescale": True}
    line_around = {"width": THIN, "color": MEASURED.color}
    traces = [
        go.Contour(
            name="variance",
            x=ks,
            y=batches,
            zmin=low,
            zmax=high,
            contours={"coloring": "fill", "start": -4, "end": 2, "size": math.log10(2)},
            line=line(CONTOUR_ON_MAP, HAIR),
            colorbar={"title": {"text": "variance"}, **_powers(low, high)},
            hoverinfo="skip",
            **colours,
        ),
        curve("K*", TURN),
        points(
            "measured",
            MEASURED,
            [k for k, _ in settings],
            [b for _, b in settings],
            size=RING,
            hoverinfo="text",
        ).update(marker={"cmin": low, "cmax": high, "line": line_around, **colours}),
    ]
    axes = layout("K, samples given D", "B, independent estimates", height=400)
    axes["xaxis"] |= log_axis([1, 3, 10, 30, 100], [0.85, 118])
    axes["yaxis"] |= log_axis([1, 2, 4, 8, 16, 32, 64], [0.8, 80])
    return Panel(
        go.Figure(traces, axes),
        update,
        tau=slider("τ", TAUS, 0.1, tooltip="temperature of the softmax in the backward pass"),
    )


def diminishing(f: Loss, logits: Tensor, *, seed: int = 0) -> Panel:
    """Return the two terms of (13) over K at B = 1, with measured points and a slider for τ.

    Args:
        f, logits, seed: as for `gumbel_rao.figures.mse_over_tau`.

    Returns:
        A panel with the control ``tau``.

    Example:
        >>> panel = diminishing(lambda d: d[..., 0] ** 2, torch.zeros(3))
        >>> names = ("inner / K", "outer", "variance (13)")
        >>> inner, outer, both = (trace(panel.figure, name).y[0] for name in names)
        >>> round(inner + outer - both, 9)
        0.0
    """
    terms = dict(zip(TAUS, _each(_terms(f, logits, torch.tensor(TAUS))), strict=True))
    measured = Measurements(f, logits, TAUS, KS[:-1], seed=seed)
    ks = _steps(41, 100)

    def update(figure: go.Figure, *, tau: float) -> str:
        inner, outer = terms[tau].inner.item(), terms[tau].outer.item()
        turn = inner / outer
        trace(figure, "inner / K").y = [inner / k for k in ks]
        trace(figure, "outer").y = [outer for _ in ks]
        trace(figure, "variance (13)").y = [inner / k + outer for k in ks]
        drawn = [measured(tau, k, 1) for k in KS[:-1]]
        errors = error_bars([each.variance_se for each in drawn])
        trace(figure, "measured").update(y=[each.variance for each in drawn], error_y=errors)
        x, y = ([turn], [outer]) if turn >= 1 else ([], [])
        trace(figure, "K*").update(x=x, y=y)
        first, tenth, last = (variance(terms[tau], k).item() for k in (1, 10, 100))
        crossing = (
            f"the lines cross at K* = {turn:.2g}"
            if turn >= 1
            else f"outer is the larger one even at K = 1 (K* = {turn:.2g})"
        )
        return (
            f"τ = {label(tau)}. Inner variance {inner:.2g}, outer {outer:.2g}: {crossing}. "
            f"Variance at K = 1, 10, 100 and ∞: {first:.2f}, {tenth:.2f}, {last:.2f}, "
            f"{outer:.2f}. Nine more samples take away "
            f"{100 * (1 - tenth / first):.0f} % of the variance at K = 1, ninety more another "
            f"{100 * (tenth - last) / first:.0f} % of it."
        )

    traces = [
        curve("inner / K", INNER, ks),
        curve("outer", OUTER, ks),
        curve("variance (13)", GR, ks, width=BOLD),
        points("measured", MEASURED, KS[:-1]),
        points("K*", TURN, size=MARK),
    ]
    axes = layout("K, samples given D", "variance", height=340)
    axes["xaxis"] |= log_axis([1, 3, 10, 30, 100], [0.85, 118])
    axes["yaxis"] |= log_axis([0.01, 0.1, 1, 10], [0.004, 15])
    return Panel(
        go.Figure(traces, axes),
        update,
        tau=slider("τ", TAUS, 1.0, tooltip="temperature of the softmax in the backward pass"),
    )


def jacobians(logits: Tensor, *, drawn: int = 0, count: int = 4, seed: int = 7) -> Panel:
    """Return some Jacobians of ST-GS for the same D, beside their mean, of which GR is made.

    Args:
        logits: θ, `[n]`.
        drawn: the class of D.
        count: how many noises are drawn given D; the same ones at each τ.
        seed: of the draws.

    Returns:
        A panel with the control ``tau``.

    Example:
        >>> panel = jacobians(torch.zeros(3))
        >>> len(panel.figure.data)
        5
        >>> panel.controls["tau"].value = 1.0
        >>> panel.caption.startswith("τ = 1. Class 1 was drawn. ")
        True
    """
    theta = logits.detach().double()
    n = len(theta)
    unit = torch.eye(n, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    sums = conditional_gumbel(theta, unit[drawn], 10_000, generator=generator)
    names = [*(f"noise {k}" for k in range(1, count + 1)), "mean of all"]
    figure = make_subplots(1, count + 1, subplot_titles=names, horizontal_spacing=0.02)
    for column, name in enumerate(names, 1):
        figure.add_trace(matrix(name, "%{z:.1f}", hoverinfo="skip"), 1, column)

    def update(figure: go.Figure, *, tau: float) -> str:
        s = tempered_softmax(sums, tau)
        every = (torch.diag_embed(s) - s[:, :, None] * s[:, None, :]) / tau
        each = every[:count]
        index = torch.full((n,), drawn)
        mean = conditional_vjp(unit, theta.expand(n, n), index, tau)  # a row for each unit vector
        top = max(each.abs().max().item(), mean.abs().max().item())
        for name, jacobian in zip(names, [*each, mean], strict=True):
            trace(figure, name).update(z=jacobian.tolist(), zmin=-top, zmax=top)
        quiet = (every.abs().amax((1, 2)) < 0.1).double().mean()
        return (
            f"τ = {label(tau)}. Class {drawn + 1} was drawn. The Jacobians of {count} noises that "
            f"lead to it: the largest number in them is {each.max():.1f}. Of {len(every):,} such "
            f"noises {100 * quiet:.0f} % have no number that reaches 0.1. The last picture is the "
            f"mean over all such noises, where the largest is {mean.max():.1f}."
        )

    classes = [str(i + 1) for i in range(n)]
    plain = layout("", "", height=200)
    figure.update_layout({key: plain[key] for key in ("template", "height")})
    figure.update_traces(x=classes, y=classes)
    figure.update_xaxes(type="category", title_text="θ of class", title_standoff=2)
    figure.update_yaxes(type="category", autorange="reversed", showticklabels=False)
    figure.update_yaxes(title_text="s of class", showticklabels=True, col=1)
    return Panel(
        figure,
        update,
        tau=slider("τ", (0.1, 0.5, 1.0), 0.1, tooltip="temperature of the softmax"),
    )


def tie(p: float) -> Panel:
    """Return the bump s_i s_j / τ, and how likely each distance is of the winner from class j.

    By equation (9) the winner i is ahead of j by x = log(1 + E_j / (E_i p_j)), which has the
    density p_j e^x / (1 + p_j (e^x − 1))².

    Args:
        p: the probability p_j of class j.

    Returns:
        A panel with the control ``tau``.

    Raises:
        ValueError: unless 0 < p < 1.

    Example:
        >>> panel = tie(0.3)
        >>> panel.controls["tau"].value = 0.05
        >>> panel.caption.split(". ")[-1]
        'Half of p is 0.150.'
    """
    if not 0.0 < p < 1.0:
        raise ValueError(f"p: expected a number between 0 and 1, got {p}")
    x = torch.arange(-200, 401, dtype=torch.float64) / 100
    ahead = x >= 0.0
    grown = x.exp()
    density = torch.where(ahead, p * grown / (1.0 + p * (grown - 1.0)).square(), 0.0)
    fine = torch.linspace(0.0, 40.0, 400_001, dtype=torch.float64)
    weight = p * fine.exp() / (1.0 + p * (fine.exp() - 1.0)).square()

    def bump(x: Tensor, tau: float) -> Tensor:
        return (x / tau).sigmoid() * (-x / tau).sigmoid() / tau

    def update(figure: go.Figure, *, tau: float) -> str:
        height = bump(x, tau)
        trace(figure, "bump").y = height.tolist()
        trace(figure, "the half that remains").y = height[ahead].tolist()
        half = torch.trapezoid(bump(fine, tau), fine)
        mean = torch.trapezoid(bump(fine, tau) * weight, fine)
        return (
            f"τ = {label(tau)}. The bump is {height.max():.3g} high, and its right half has the "
            f"area {half:.3f}. Weighted by how likely each x is, the area is {mean:.3f}. "
            f"Half of p is {p / 2:.3f}."
        )

    traces = [
        curve("bump", GR, x.tolist()),
        curve("the half that remains", GR, x[ahead].tolist(), width=0).update(
            fill="tozeroy", opacity=FAINT, hoverinfo="skip"
        ),
        curve("how likely x is", EXACT, x.tolist(), density.tolist()),
    ]
    axes = layout("x, lead of the winner over class j", "bump, density", height=340)
    return Panel(
        go.Figure(traces, axes),
        update,
        tau=slider("τ", (1.0, 0.5, 0.2, 0.1, 0.05), 0.5, tooltip="temperature of the softmax"),
    )


def convergence(
    f: Loss,
    logits: Tensor,
    estimators: Mapping[str, Callable[..., Tensor]],
    *,
    num_samples: int = 10_000,
    component: int = 0,
    seed: int = 0,
) -> Panel:
    """Return the means of more and more draws, with their error bands and sliders for τ and K.

    The black line is the mean of ST-GS, computed: where an estimator with its mean has to end.

    Args:
        f: maps one-hot samples `[*batch, n]` to losses `[*batch]`.
        logits: θ, `[n]`.
        estimators: two of them by the name they have in the figure, each called as
            ``estimator(logits, tau=tau, k=k, generator=generator)``.
        num_samples: number of draws.
        component: which entry of the gradient is shown.
        seed: of the draws.

    Returns:
        A panel with the controls ``tau`` and ``k``.

    Raises:
        ValueError: for another number of estimators.

    Example:
        >>> from gumbelrao_edu import gumbel_rao
        >>> two = {"one": gumbel_rao, "another": gumbel_rao}
        >>> panel = convergence(lambda d: d[..., 0] ** 2, torch.zeros(3), two, num_samples=100)
        >>> panel.controls["k"].value = 10
    """
    if len(estimators) != 2:
        raise ValueError(f"estimators: expected two, got {len(estimators)}")
    taus, ks = (0.1, 0.2, 0.5, 1.0, 2.0), (1, 10)
    generator = torch.Generator().manual_seed(seed)
    rows = logits.detach().double()
    targets = dict(zip(taus, _terms(f, rows, torch.tensor(taus)).mean[:, component], strict=True))
    counts = sorted({round(10 ** (1 + (math.log10(num_samples) - 1) * i / 40)) for i in range(41)})
    curves = {
        (name, tau, k): running_means(
            gradient_samples(f, rows, estimator, num_samples, tau=tau, k=k, generator=generator)[
                :, component
            ],
            counts,
        )
        for name, estimator in estimators.items()
        for tau in taus
        for k in ks
    }

    def update(figure: go.Figure, *, tau: float, k: int) -> str:
        target = targets[tau].item()
        ends = {"x": [counts[0], counts[-1]], "y": [target, target]}
        trace(figure, "mean of ST-GS").update(ends)
        said = []
        for name in estimators:
            mean, error = curves[name, tau, k]
            trace(figure, f"{name}, three standard errors").y = [
                *(mean - 3 * error).tolist(),
                *(mean + 3 * error).flip(0).tolist(),
            ]
            trace(figure, name).y = mean.tolist()
            away = abs(mean[-1].item() - target) / error[-1].item()
            said.append(
                f"{name}: {mean[-1]:.3f} ± {error[-1]:.3f}, {away:.1f} standard errors away"
            )
        return (
            f"τ = {label(tau)}, K = {k}. The mean of ST-GS is {target:.3f}. "
            f"After {num_samples:,} draws (± is one standard error) {'; '.join(said)}."
        )

    traces = []
    looks: tuple[Styled, ...] = (GR, ANOTHER)
    for name, look in zip(estimators, looks, strict=True):
        band = curve(f"{name}, three standard errors", look, [*counts, *reversed(counts)], width=0)
        band.update(fill="toself", opacity=FAINT, hoverinfo="skip", showlegend=False)
        traces += [band, curve(name, look, counts)]
    traces.append(curve("mean of ST-GS", EXACT))
    axes = layout(
        "number of draws", f"mean of the estimates for θ<sub>{component + 1}</sub>", height=340
    )
    axes["xaxis"] |= log_axis([10, 100, 1000, 10_000, 100_000], [9, 1.2 * num_samples])
    return Panel(
        go.Figure(traces, axes),
        update,
        tau=slider("τ", taus, 1.0, tooltip="temperature of the softmax in the backward pass"),
        k=slider("K", ks, 1, tooltip="samples of the Gumbels given D, for each D"),
    )


def to_zero(f: Loss, logits: Tensor) -> tuple[go.Figure, str]:
    """Return how far GR is from its limit as τ → 0, as a figure and a sentence for `show`.

    See `diagnostics.distance_from_zgr`.

    Args:
        f, logits: as for `gumbel_rao.figures.mse_over_tau`.

    Returns:
        The figure, and what it shows: the distance at its ends, and its slope below τ = 0.1.

    Example:
        >>> figure, alt = to_zero(lambda d: d[..., 0] ** 2, torch.zeros(3))
        >>> distance = trace(figure, "GR from its limit").y
        >>> distance[0] < 0.1 * distance[-1]
        True

    Source: Shekhovtsov (2023), Cold analysis of Rao-Blackwellized straight-through Gumbel-Softmax
    gradient estimator.
    """
    taus = torch.logspace(-2, 0, 13, dtype=torch.float64)
    distance = distance_from_zgr(f, logits, taus.tolist())
    small = taus < 0.101
    x, y = taus[small].log(), distance[small].log()
    slope = ((x - x.mean()) @ (y - y.mean()) / (x - x.mean()).square().sum()).item()
    linear = distance[0] * taus / taus[0]
    axes = layout("temperature τ", "relative distance", height=300)
    axes["xaxis"] |= log_axis([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    axes["yaxis"] |= log_axis([0.01, 0.1, 1])
    traces = [
        points("GR from its limit", GR, taus.tolist(), distance.tolist()),
        curve("a line of slope 1", GUIDE, taus.tolist(), linear.tolist()),
    ]
    alt = (
        f"The distance of GR from its limit falls from {100 * distance[-1]:.0f} % at τ = 1 to "
        f"{100 * distance[0]:.1f} % at τ = 0.01. Up to τ = 0.1 its slope is {slope:.2f}: it falls "
        f"linearly."
    )
    return go.Figure(traces, axes), alt


def _terms(f: Loss, logits: Tensor, taus: Tensor) -> Terms:
    return exact_terms(f, logits.detach().double().expand(len(taus), -1), taus.double())


def _each(terms: Terms) -> list[Terms]:
    """The terms of a batch, one by one."""
    return [Terms(*row) for row in zip(terms.inner, terms.outer, terms.mean, strict=True)]


def _steps(number: int, last: float) -> list[float]:
    """1 to `last`, evenly on a logarithmic axis."""
    return [last ** (i / (number - 1)) for i in range(number)]


def _powers(low: float, high: float) -> dict[str, list[Any]]:
    powers = list(range(math.ceil(low), math.floor(high) + 1))
    return {"tickvals": powers, "ticktext": [f"{10.0**power:g}" for power in powers]}
