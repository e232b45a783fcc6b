"""Bias, variance and MSE of GR over τ, K and B: what Proposition 3 says, and draws on top of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...diagnostics import (
    Loss,
    Measurements,
    Terms,
    distance_from_zgr,
    exact_terms,
    gradient_samples,
    mse,
    running_means,
    variance,
)
from ...figures.panel import Panel, slider
from ...figures.rows import COLORS
from ...figures.style import PALETTE, label, layout

TAUS = (0.05, 0.1, 0.2, 0.5, 1.0)  # of the sliders
MEASURED = (0.1, 0.2, 0.5, 1.0, 2.0)  # where there are draws beside the curves over τ
KS = (1, 3, 10, 30, 100, math.inf)
BATCHES = (1, 8, 64)
_CURVE = torch.logspace(math.log10(0.05), math.log10(5.0), 21, dtype=torch.float64)


def mse_over_tau(f: Loss, logits: Tensor, *, seed: int = 0) -> Panel:
    """Return MSE, variance and squared bias over τ, with sliders for K and B.

    The curves are exact (`exact_terms`, no draws); the points are measured.

    Args:
        f: maps one-hot samples `[*batch, n]` to losses `[*batch]`; differentiable at the corners.
        logits: θ, `[n]`.
        seed: of the draws behind the points.

    Returns:
        A panel with the controls ``k`` and ``b``.

    Example:
        >>> panel = mse_over_tau(lambda d: d[..., 0] ** 2, torch.zeros(3))
        >>> panel.controls["k"].value = 1  # GR with K = 1 is ST-GS
        >>> panel.figure.data[2].y == panel.figure.data[3].y
        True
    """
    terms = _terms(f, logits, _CURVE)
    measured = Measurements(f, logits, MEASURED, KS, seed=seed)

    def update(figure: go.Figure, *, k: float, b: int) -> str:
        st_gs, gr = mse(terms, 1, b), mse(terms, k, b)
        figure.data[1].y = variance(terms, k, b).tolist()
        figure.data[2].y, figure.data[3].y = gr.tolist(), st_gs.tolist()
        figure.data[4].y = mse(terms, math.inf, b).tolist()
        points = [measured(tau, k, b) for tau in MEASURED]
        figure.data[5].y = [point.mse for point in points]
        figure.data[5].error_y.array = [2 * (point.mse_se or 0.0) for point in points]
        best = [int(curve.argmin()) for curve in (st_gs, gr)]
        figure.data[6].x = [_CURVE[i].item() for i in best]
        figure.data[6].y = [st_gs[best[0]].item(), gr[best[1]].item()]
        ends = [curve[best[i]].item() for i, curve in enumerate((st_gs, gr))]
        return (
            f"K = {label(k)}, B = {b}. The MSE of ST-GS is lowest at τ = {_CURVE[best[0]]:.2g}, "
            f"where it is {ends[0]:.2g}; that of GR at τ = {_CURVE[best[1]]:.2g}, where it is "
            f"{ends[1]:.2g}. At τ = 0.05 the MSE of ST-GS is {st_gs[0] / gr[0]:.1f} times that "
            f"of GR."
        )

    taus = _CURVE.tolist()
    assert terms.exact is not None
    bias = (terms.mean - terms.exact).square().sum(-1)
    blue, lines = COLORS["gumbel_rao"], "lines"
    traces = [
        go.Scatter(x=taus, y=bias.tolist(), name="bias², of both", mode=lines, line=_pen("black")),
        go.Scatter(x=taus, name="variance of GR", mode=lines, line=_pen("sky", dash="dash")),
        go.Scatter(x=taus, name="MSE of GR", mode=lines, line={"color": blue, "width": 4}),
        go.Scatter(x=taus, name="MSE of ST-GS", mode=lines, line=_pen("vermilion")),
        go.Scatter(x=taus, name="MSE, K = ∞", mode=lines, line=_pen("green", dash="dot")),
        _points("GR, measured", list(MEASURED)),
        go.Scatter(
            name="lowest MSE",
            mode="markers",
            marker={"symbol": "star", "size": 14, "color": PALETTE["orange"], "line": {"width": 1}},
        ),
    ]
    axes = layout("temperature τ", "squared error", height=420)
    axes["xaxis"] |= _log([0.05, 0.1, 0.2, 0.5, 1, 2, 5])
    axes["yaxis"] |= _log([0.0001, 0.001, 0.01, 0.1, 1, 10], [1e-4, 20])
    return Panel(
        go.Figure(traces, axes),
        update,
        k=slider("K", KS, 10, tooltip="samples of the Gumbels given D, for each D"),
        b=slider("B", BATCHES, 64, tooltip="independent estimates that are averaged"),
    )


def surface(f: Loss, logits: Tensor, *, seed: int = 0) -> Panel:
    """Return the variance (13) over K and B as a map, with measured points and a slider for τ.

    Points have the colour of what was measured: one that agrees with the formula is a ring only.

    Args:
        f, logits, seed: as for `mse_over_tau`.

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
        figure.data[0].z = [[math.log10((inner / k + outer) / b) for k in ks] for b in batches]
        figure.data[1].x, figure.data[1].y = ([turn] * 2, [1, 64]) if turn >= 1 else ([], [])
        points = [measured(tau, k, b) for k, b in settings]
        formula = [variance(terms[tau], k, b).item() for k, b in settings]
        figure.data[2].marker.color = [math.log10(point.variance) for point in points]
        figure.data[2].text = [
            f"K = {k}, B = {b}: measured {point.variance:.3g} ± {point.variance_se:.2g}, "
            f"by the formula {value:.3g}"
            for (k, b), point, value in zip(settings, points, formula, strict=True)
        ]
        away = [
            abs(point.variance - value) / point.variance_se
            for point, value in zip(points, formula, strict=True)
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
    colours = {"colorscale": "Cividis", "reversescale": True}
    traces = [
        go.Contour(
            x=ks,
            y=batches,
            zmin=low,
            zmax=high,
            contours={"coloring": "fill", "start": -4, "end": 2, "size": math.log10(2)},
            line={"color": "white", "width": 1},
            colorbar={"title": {"text": "variance"}, **_powers(low, high)},
            hoverinfo="skip",
            **colours,
        ),
        go.Scatter(mode="lines", line=_pen("vermilion", dash="dash"), name="K*"),
        go.Scatter(
            x=[k for k, _ in settings],
            y=[b for _, b in settings],
            mode="markers",
            hoverinfo="text",
            name="measured",
            marker={
                "size": 16,
                "cmin": low,
                "cmax": high,
                "line": {"width": 1.5, "color": "black"},
                **colours,
            },
        ),
    ]
    axes = layout("K, samples given D", "B, independent estimates", height=400)
    axes["xaxis"] |= _log([1, 3, 10, 30, 100], [0.85, 118])
    axes["yaxis"] |= _log([1, 2, 4, 8, 16, 32, 64], [0.8, 80])
    return Panel(
        go.Figure(traces, axes),
        update,
        tau=slider("τ", TAUS, 0.1, tooltip="temperature of the softmax in the backward pass"),
    )


def diminishing(f: Loss, logits: Tensor, *, seed: int = 0) -> Panel:
    """Return the two terms of (13) over K at B = 1, with measured points and a slider for τ.

    Args:
        f, logits, seed: as for `mse_over_tau`.

    Returns:
        A panel with the control ``tau``.

    Example:
        >>> panel = diminishing(lambda d: d[..., 0] ** 2, torch.zeros(3))
        >>> inner, outer, both = (trace.y[0] for trace in panel.figure.data[:3])
        >>> round(inner + outer - both, 9)
        0.0
    """
    terms = dict(zip(TAUS, _each(_terms(f, logits, torch.tensor(TAUS))), strict=True))
    measured = Measurements(f, logits, TAUS, KS[:-1], seed=seed)
    ks = _steps(41, 100)

    def update(figure: go.Figure, *, tau: float) -> str:
        inner, outer = terms[tau].inner.item(), terms[tau].outer.item()
        turn = inner / outer
        figure.data[0].y = [inner / k for k in ks]
        figure.data[1].y = [outer for _ in ks]
        figure.data[2].y = [inner / k + outer for k in ks]
        points = [measured(tau, k, 1) for k in KS[:-1]]
        figure.data[3].y = [point.variance for point in points]
        figure.data[3].error_y.array = [2 * point.variance_se for point in points]
        figure.data[4].x, figure.data[4].y = ([turn], [outer]) if turn >= 1 else ([], [])
        first, tenth, last = (variance(terms[tau], k).item() for k in (1, 10, 100))
        return (
            f"τ = {label(tau)}. Inner variance {inner:.2g}, outer {outer:.2g}: the lines cross at "
            f"K* = {turn:.2g}. Variance at K = 1, 10, 100 and ∞: {first:.2f}, {tenth:.2f}, "
            f"{last:.2f}, {outer:.2f}. The first nine samples more take away "
            f"{100 * (1 - tenth / first):.0f} % of the variance, the next ninety "
            f"{100 * (tenth - last) / first:.0f} %."
        )

    blue = {"color": COLORS["gumbel_rao"], "width": 4}
    traces = [
        go.Scatter(x=ks, name="inner / K", mode="lines", line=_pen("orange")),
        go.Scatter(x=ks, name="outer", mode="lines", line=_pen("green", dash="dash")),
        go.Scatter(x=ks, name="variance (13)", mode="lines", line=blue),
        _points("measured", list(KS[:-1])),
        go.Scatter(
            name="K*",
            mode="markers",
            marker={"symbol": "diamond", "size": 12, "color": PALETTE["vermilion"]},
        ),
    ]
    axes = layout("K, samples given D", "variance", height=340)
    axes["xaxis"] |= _log([1, 3, 10, 30, 100], [0.85, 118])
    axes["yaxis"] |= _log([0.01, 0.1, 1, 10], [0.004, 15])
    return Panel(
        go.Figure(traces, axes),
        update,
        tau=slider("τ", TAUS, 0.1, tooltip="temperature of the softmax in the backward pass"),
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
        figure.data[4].x, figure.data[4].y = [counts[0], counts[-1]], [target, target]
        said = []
        for i, name in enumerate(estimators):
            mean, error = curves[name, tau, k]
            figure.data[2 * i].y = [
                *(mean - 3 * error).tolist(),
                *(mean + 3 * error).flip(0).tolist(),
            ]
            figure.data[2 * i + 1].y = mean.tolist()
            away = abs(mean[-1].item() - target) / error[-1].item()
            said.append(
                f"{name}: {mean[-1]:.3f} ± {error[-1]:.3f}, {away:.1f} standard errors away"
            )
        return (
            f"τ = {label(tau)}, K = {k}. The mean of ST-GS is {target:.3f}. "
            f"After {num_samples:,} draws {'; '.join(said)}."
        )

    traces = []
    for name, color in zip(estimators, (COLORS["gumbel_rao"], PALETTE["orange"]), strict=True):
        band = {"color": color, "width": 0}
        traces += [
            go.Scatter(
                x=[*counts, *reversed(counts)],
                fill="toself",
                mode="lines",
                line=band,
                opacity=0.3,
                hoverinfo="skip",
                showlegend=False,
            ),
            go.Scatter(x=counts, name=name, mode="lines", line={"color": color, "width": 3}),
        ]
    traces.append(go.Scatter(name="mean of ST-GS", mode="lines", line=_pen("black")))
    axes = layout(
        "number of draws", f"mean of the estimates for θ<sub>{component + 1}</sub>", height=340
    )
    axes["xaxis"] |= _log([10, 100, 1000, 10_000, 100_000], [9, 1.2 * num_samples])
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
        f, logits: as for `mse_over_tau`.

    Returns:
        The figure, and what it shows: the distance at its ends, and its slope below τ = 0.1.

    Example:
        >>> figure, alt = to_zero(lambda d: d[..., 0] ** 2, torch.zeros(3))
        >>> figure.data[0].y[0] < 0.1 * figure.data[0].y[-1]
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
    axes["xaxis"] |= _log([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
    axes["yaxis"] |= _log([0.01, 0.1, 1])
    traces = [
        go.Scatter(
            x=taus.tolist(),
            y=distance.tolist(),
            name="GR from its limit",
            mode="markers",
            marker={"color": COLORS["gumbel_rao"], "size": 9},
        ),
        go.Scatter(
            x=taus.tolist(),
            y=linear.tolist(),
            name="a line of slope 1",
            mode="lines",
            line=_pen("orange", dash="dash"),
        ),
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


def _pen(color: str, dash: str = "solid") -> dict[str, Any]:
    return {"color": PALETTE[color], "width": 2.5, "dash": dash}


def _log(ticks: list[float], ends: Sequence[float] = ()) -> dict[str, Any]:
    """A logarithmic axis."""
    axis: dict[str, Any] = {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{t:,g}" for t in ticks],
    }
    return {**axis, "range": [math.log10(end) for end in ends]} if ends else axis


def _powers(low: float, high: float) -> dict[str, list[Any]]:
    powers = list(range(math.ceil(low), math.floor(high) + 1))
    return {"tickvals": powers, "ticktext": [f"{10.0**power:g}" for power in powers]}


def _points(name: str, x: list[float]) -> go.Scatter:
    """Measured points; their error bars are two standard errors long, up and down."""
    return go.Scatter(
        x=x,
        name=name,
        mode="markers",
        marker={"color": "black", "size": 8},
        error_y={"type": "data", "array": [0.0 for _ in x], "thickness": 1.5},
    )
