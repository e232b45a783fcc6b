"""Gradient estimates of ST-GS and GR for one categorical variable, beside its exact gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ..._checks import check_logits
from ...diagnostics import Draws, Loss, Measurements, exact_terms, mse, variance
from ...figures.panel import Panel, slider
from ...figures.rows import EXACT, GR, GR_INF, ST_GS
from ...figures.style import (
    BEST,
    BIAS,
    BOLD,
    CLEAR,
    DOT,
    HAIR,
    MEAN,
    MEASURED,
    PAPER,
    RAY,
    RING,
    STRONG,
    THIN,
    VARIANCE,
    Look,
    arrow,
    error_bars,
    label,
    layout,
    log_axis,
)
from ...figures.traces import bars, curve, matrix, points, trace
from ...gumbel import conditional_gumbel, tempered_softmax
from ...quadrature import conditional_vjp

TAUS = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0)
KS = (1, 2, 5, 10, 20, 50, 100, math.inf)
_SIDES = (("ST-GS", ST_GS, "x"), ("GR", GR, "x2"))  # of the arrows: name, row, horizontal axis

# Of `mse_over_tau`.
MEASURED_TAUS = (0.1, 0.2, 0.5, 1.0, 2.0)  # where there are draws beside the curves
MEASURED_KS = (1, 3, 10, 30, 100, math.inf)
BATCHES = (1, 8, 64)
_CURVE = torch.logspace(math.log10(0.05), math.log10(5.0), 21, dtype=torch.float64)

_BINS = 61  # of the histogram
_INSIDE = 0.9  # of the estimates of ST-GS at every τ, at least, are inside of the histogram
# Lengths and angles in the plane Σ_a v_a = 0, in which all gradients lie; class 1 is at the top.
_PLANE = torch.tensor([[0.0, 2.0], [-1.0, -1.0], [1.0, -1.0]], dtype=torch.float64)
_PLANE = _PLANE / _PLANE.norm(dim=0)


def histogram(f: Loss, logits: Tensor, *, component: int = 0, seed: int = 0) -> Panel:
    """Return histograms of the estimates of one partial derivative, with sliders for τ and K.

    The horizontal axis stays as it is; the caption counts what falls outside of it.

    Args:
        f: maps one-hot samples `[*batch, n]` to losses `[*batch]`; differentiable at the corners.
        logits: θ, `[n]`.
        component: which entry of the gradient is shown.
        seed: of the draws.

    Returns:
        A panel with the controls ``tau`` and ``k``.

    Example:
        >>> panel = histogram(lambda x: x[..., 0] ** 2, torch.zeros(3))
        >>> panel.controls["k"].value = 1  # GR is ST-GS
        >>> trace(panel.figure, "GR").y == trace(panel.figure, "ST-GS").y
        True
    """
    draws = Draws(f, logits, generator=torch.Generator().manual_seed(seed))
    exact = draws.exact[component].item()

    limits = {tau: draws.limits(tau)[:, component] for tau in TAUS}
    sums = {tau: draws.estimates(tau)[component].cumsum(0) for tau in TAUS}  # over K
    cut = (1 - _INSIDE) / 2
    low = min(sums[tau][0].quantile(cut).item() for tau in TAUS)
    high = max(sums[tau][0].quantile(1 - cut).item() for tau in TAUS)
    width = (high - low) / _BINS
    middles = [low + (bin + 0.5) * width for bin in range(_BINS)]

    def update(figure: go.Figure, *, tau: float, k: float) -> str:
        mean = (draws.p @ limits[tau]).item()
        st_gs = sums[tau][0]
        gr = limits[tau][draws.index] if math.isinf(k) else sums[tau][int(k) - 1] / k
        outside, top = [], 0.0
        for name, values in (("ST-GS", st_gs), ("GR", gr)):
            counts = torch.histc(values, _BINS, low, high)
            percent = 100 * counts / len(values)
            trace(figure, name).y = percent.tolist()
            top = max(top, percent.max().item())
            out = ((values < low) | (values > high)).double().mean().item()
            outside.append(f"{100 * out:.1f} % of {name}")
        for name, value in (("exact gradient", exact), ("mean of both", mean)):
            trace(figure, name).update(x=[value, value], y=[0, top])
        return (
            f"τ = {label(tau)}, K = {label(k)}. Exact gradient {exact:.3f}, mean {mean:.3f}: "
            f"both estimators have a bias of {mean - exact:+.3f}. "
            f"Standard deviation of ST-GS {st_gs.std():.3f}, of GR {gr.std():.3f}, "
            f"which is {gr.std() / st_gs.std():.2f} times that of ST-GS. "
            f"Outside of the picture: {' and '.join(outside)}."
        )

    histograms = [
        bars("ST-GS", ST_GS, x=middles, width=width),
        bars("GR", GR, x=middles, width=width),
    ]
    lines = [curve("exact gradient", EXACT), curve("mean of both", MEAN)]
    axes = layout(f"estimate of the gradient for θ<sub>{component + 1}</sub>", "% of the draws")
    figure = go.Figure([*histograms, *lines], {**axes, "barmode": "overlay"})
    figure.update_xaxes(range=[low, high])
    return Panel(
        figure,
        update,
        tau=slider("τ", TAUS, 0.5, tooltip="temperature of the softmax in the backward pass"),
        k=slider("K", KS, 10, tooltip="samples of the Gumbels given D, for each D"),
    )


def arrows(f: Loss, logits: Tensor, *, num_samples: int = 60, seed: int = 0) -> Panel:
    """Return estimates of the whole gradient as arrows, ST-GS beside GR, with sliders for τ and K.

    The entries of each estimate sum to zero, so for three classes it is a vector in a plane. The
    scale is fixed by GR with K = ∞, so that the exact gradient can be seen; longer arrows run out
    of the picture, and the caption counts them.

    Args:
        f: maps one-hot samples `[*batch, 3]` to losses `[*batch]`; differentiable at the corners.
        logits: θ, `[3]`.
        num_samples: number of estimates.
        seed: of the draws.

    Returns:
        A panel with the controls ``tau`` and ``k``.

    Raises:
        TypeError, ValueError: if the logits have the wrong type or shape.

    Example:
        >>> panel = arrows(lambda x: x[..., 0] ** 2, torch.zeros(3))
        >>> panel.controls["k"].value = 1  # GR is ST-GS
        >>> st_gs, gr = (trace(panel.figure, name, mode="lines") for name in ("ST-GS", "GR"))
        >>> st_gs.y == gr.y
        True
    """
    check_logits(logits)
    if logits.shape != (3,):
        raise ValueError(f"logits: expected the shape (3,), got {tuple(logits.shape)}")
    generator = torch.Generator().manual_seed(seed)
    draws = Draws(f, logits, num_samples=num_samples, generator=generator)
    limits = {tau: draws.limits(tau) for tau in TAUS}
    reach = 1.3 * max(v.norm(dim=-1).max().item() for v in (*limits.values(), draws.exact))

    def update(figure: go.Figure, *, tau: float, k: float) -> str:
        samples = draws.estimates(tau).movedim(0, -1)  # [k, draws, 3]
        st_gs = samples[0]
        gr = limits[tau][draws.index] if math.isinf(k) else samples[: int(k)].mean(0)
        mean = draws.p @ limits[tau]
        said = []
        for (name, _, axis), estimates in zip(_SIDES, (st_gs, gr), strict=True):
            for shown, vectors in (
                (trace(figure, name, mode="lines"), estimates),
                (trace(figure, "mean of both", xaxis=axis), mean[None]),
                (trace(figure, "exact gradient", xaxis=axis), draws.exact[None]),
            ):
                shown.x, shown.y = _from_origin(vectors)
            tips = trace(figure, name, mode="markers")
            tips.x, tips.y = (estimates @ _PLANE).T.tolist()
            length = estimates.square().sum(-1).mean().sqrt().item()
            outside = int(((estimates @ _PLANE).abs() > reach).any(-1).sum())
            said.append(f"{length:.2f} for {name} ({outside} end outside of the picture)")
        return (
            f"τ = {label(tau)}, K = {label(k)}. The exact gradient has the length "
            f"{draws.exact.norm():.2f}, the mean of both estimators {mean.norm():.2f}. "
            f"The root mean square length of the {num_samples} estimates is {' and '.join(said)}."
        )

    across, up = _from_origin(torch.eye(3, dtype=torch.float64) * reach)  # towards the classes
    figure = go.Figure(layout=layout("", "", height=400))
    for i, (name, row, _) in enumerate(_SIDES):
        number = "2" if i else ""
        rays = curve("the classes", RAY, across, up, width=HAIR)
        rays.update(showlegend=False, hoverinfo="skip")
        lines = curve(name, row, width=HAIR, legendgroup=name)
        tips = points(name, row, size=DOT, legendgroup=name, showlegend=False)
        tips.marker.update(symbol=MEASURED.symbol, opacity=CLEAR)
        thick = [
            curve(said, look, width=width, mode="lines+markers", showlegend=not i).update(
                line_dash=EXACT.dash, marker=arrow(width)
            )
            for said, look, width in (
                ("mean of both", MEAN, 2 * BOLD),
                ("exact gradient", EXACT, THIN),  # thin, for it may lie on the mean
            )
        ]
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        figure.add_traces([each.update(axes) for each in (rays, lines, tips, *thick)])
        figure.layout[f"xaxis{number}"] = {
            "title": {"text": "left to class 2, right to class 3"},
            "anchor": f"y{number}",
            "domain": [0.51 * i, 0.49 + 0.51 * i],
            "range": [-reach, reach],
            "zeroline": False,
        }
        figure.layout[f"yaxis{number}"] = {
            "title": {"text": "" if i else "to class 1"},
            "range": [-reach, reach],
            "scaleanchor": f"x{number}",
            "constrain": "domain",
            "anchor": f"x{number}",
            "showticklabels": not i,
            "zeroline": False,
        }
        for c, place in enumerate(0.9 * reach * _PLANE):  # over the lines, and inside
            x, y = place.tolist()
            text = {"text": f"class {c + 1}", "x": x, "y": y, "bgcolor": PAPER}
            figure.add_annotation(text | {"xref": f"x{number}", "yref": f"y{number}"})
    figure.update_annotations(showarrow=False, opacity=STRONG)
    return Panel(
        figure,
        update,
        tau=slider("τ", TAUS, 0.5, tooltip="temperature of the softmax in the backward pass"),
        k=slider("K", KS, 10, tooltip="samples of the Gumbels given D, for each D"),
    )


def mse_over_tau(f: Loss, logits: Tensor, *, start: int = 10, seed: int = 0) -> Panel:
    """Return MSE, variance and squared bias over τ, with sliders for K and B.

    The curves are exact (`exact_terms`, no draws); the points are measured; a star is the lowest
    point of the curve of its colour.

    Args:
        f: maps one-hot samples `[*batch, n]` to losses `[*batch]`; differentiable at the corners.
        logits: θ, `[n]`.
        start: K at first.
        seed: of the draws behind the points.

    Returns:
        A panel with the controls ``k`` and ``b``.

    Example:
        >>> panel = mse_over_tau(lambda d: d[..., 0] ** 2, torch.zeros(3))
        >>> panel.controls["k"].value = 1  # GR with K = 1 is ST-GS
        >>> trace(panel.figure, "MSE of GR").y == trace(panel.figure, "MSE of ST-GS").y
        True
    """
    terms = exact_terms(f, logits.detach().double().expand(len(_CURVE), -1), _CURVE)
    measured = Measurements(f, logits, MEASURED_TAUS, MEASURED_KS, seed=seed)

    def update(figure: go.Figure, *, k: float, b: int) -> str:
        st_gs, gr = mse(terms, 1, b), mse(terms, k, b)
        trace(figure, "variance of GR").y = variance(terms, k, b).tolist()
        trace(figure, "MSE of GR").y = gr.tolist()
        trace(figure, "MSE of ST-GS").y = st_gs.tolist()
        trace(figure, "MSE, K = ∞").y = mse(terms, math.inf, b).tolist()
        drawn = [measured(tau, k, b) for tau in MEASURED_TAUS]
        errors = [each.mse_se or 0.0 for each in drawn]
        trace(figure, "GR, measured").update(
            y=[each.mse for each in drawn], error_y=error_bars(errors)
        )
        best = [int(values.argmin()) for values in (st_gs, gr)]
        lowest = [st_gs[best[0]].item(), gr[best[1]].item()]
        for name, i, value in zip(("ST-GS", "GR"), best, lowest, strict=True):
            trace(figure, f"lowest of {name}").update(x=[_CURVE[i].item()], y=[value])
        return (
            f"K = {label(k)}, B = {b}. No gradient at all has the MSE {nothing:.2g}. "
            f"The MSE of ST-GS is lowest at τ = {_CURVE[best[0]]:.2g}, "
            f"where it is {lowest[0]:.2g}; that of GR at τ = {_CURVE[best[1]]:.2g}, where it is "
            f"{lowest[1]:.2g}. At τ = 0.05 the MSE of ST-GS is {st_gs[0] / gr[0]:.1f} times that "
            f"of GR."
        )

    taus = _CURVE.tolist()
    assert terms.exact is not None
    bias = (terms.mean - terms.exact).square().sum(-1)
    nothing = terms.exact[0].square().sum().item()
    traces = [
        curve("no gradient at all", RAY, taus, [nothing] * len(taus)),
        curve("bias², of both", BIAS, taus, bias.tolist()),
        curve("variance of GR", VARIANCE, taus),
        curve("MSE of GR", GR, taus, width=BOLD),
        curve("MSE of ST-GS", ST_GS, taus),
        curve("MSE, K = ∞", GR_INF, taus),
        points("GR, measured", MEASURED, MEASURED_TAUS, size=DOT, showlegend=False),
        *(
            points(f"lowest of {name}", Look(row.color, BEST.symbol), size=RING, showlegend=False)
            for name, row in (("ST-GS", ST_GS), ("GR", GR))
        ),
    ]
    axes = layout("temperature τ", "squared error", height=420)
    axes["xaxis"] |= log_axis([0.05, 0.1, 0.2, 0.5, 1, 2, 5], [0.045, 5.5])
    axes["yaxis"] |= log_axis([0.0001, 0.001, 0.01, 0.1, 1, 10], [5e-5, 20])
    return Panel(
        go.Figure(traces, axes),
        update,
        k=slider("K", MEASURED_KS, start, tooltip="samples of the Gumbels given D, for each D"),
        b=slider("B", BATCHES, 64, tooltip="independent estimates that are averaged"),
    )


def jacobians(logits: Tensor, *, tau: float = 0.5, draws: int = 3, seed: int = 0) -> Panel:
    """Return Jacobians of the softmax at draws of the noise given D = 1, and their mean.

    Args:
        logits: θ, `[n]`.
        tau: τ.
        draws: how many.
        seed: of the draws.

    Returns:
        A panel without controls.

    Example:
        >>> jacobians(torch.zeros(3)).caption[:40]
        'The class is 1 in all four. The slopes o'
    """
    n = len(logits)
    first = torch.eye(n, dtype=torch.float64)[0]
    generator = torch.Generator().manual_seed(seed)
    perturbed = conditional_gumbel(logits.double(), first, draws, generator=generator)
    s = tempered_softmax(perturbed, tau)
    one = (torch.diag_embed(s) - s.unsqueeze(-1) * s.unsqueeze(-2)) / tau
    theta, index = logits.double().expand(n, n), torch.zeros(n, dtype=torch.long)
    mean = conditional_vjp(torch.eye(n, dtype=torch.float64), theta, index, tau)
    matrices = [*one, mean]
    top = max(each.abs().max().item() for each in matrices)
    titles = [*(f"noise {i + 1}" for i in range(draws)), "mean over all noise"]
    figure = make_subplots(1, draws + 1, subplot_titles=titles, shared_yaxes=True)
    classes = [f"θ<sub>{i + 1}</sub>" for i in range(n)]
    for column, (title, each) in enumerate(zip(titles, matrices, strict=True), 1):
        heat = matrix(
            title,
            "%{text}",
            z=each.tolist(),
            x=classes,
            y=[f"S<sub>{i + 1}</sub>" for i in range(n)],
            text=[[f"{value:.2f}" for value in row] for row in each.tolist()],
            zmin=-top,
            zmax=top,
        )
        figure.add_trace(heat, 1, column)
    figure.update_layout(layout("", "", height=260))
    figure.update_xaxes(title="slope in")
    figure.update_yaxes(autorange="reversed")
    figure.update_yaxes(title="slope of", col=1)
    sizes = ", ".join(f"{each.abs().max():.2f}" for each in one)
    return Panel(
        figure,
        alt=f"The class is 1 in all {('two', 'three', 'four', 'five')[draws - 1]}. The slopes of "
        f"the softmax at τ = {label(tau)} differ: the largest is {sizes} at the "
        f"{draws} noises, and {mean.abs().max():.2f} in the mean over all noise that leads to "
        f"class 1. ST-GS takes one of the first, GR the last.",
    )


def trainings(losses: Mapping[tuple[str, float], Sequence[float]]) -> Panel:
    """Return the curves of trainings with ST-GS and GR, with a slider for τ.

    Args:
        losses: by "ST-GS" or "GR" and τ, the expected loss before each step.

    Returns:
        A panel with the control ``tau``.

    Example:
        >>> panel = trainings({(name, 0.5): [2.0, 1.0] for name in ("ST-GS", "GR")})
        >>> panel.caption
        'τ = 0.5. Start: 2.0. After 1 steps: 1.0 with ST-GS, 1.0 with GR.'
    """
    taus = sorted({tau for _, tau in losses})
    steps = len(next(iter(losses.values()))) - 1

    def draw(figure: go.Figure, *, tau: float) -> str:
        for name in ("ST-GS", "GR"):
            trace(figure, name).y = list(losses[name, tau])
        st_gs, gr = losses["ST-GS", tau], losses["GR", tau]
        return (
            f"τ = {label(tau)}. Start: {gr[0]:.1f}. After {steps} steps: {st_gs[-1]:.1f} with "
            f"ST-GS, {gr[-1]:.1f} with GR."
        )

    lines = [curve(name, row, range(steps + 1)) for name, row in (("ST-GS", ST_GS), ("GR", GR_INF))]
    axes = layout("training step", "expected loss", height=340)
    figure = go.Figure(lines, {**axes, "showlegend": True})
    figure.update_yaxes(range=[0, 1.1 * max(max(values) for values in losses.values())])
    tau = slider("τ", taus, taus[0], tooltip="temperature of the softmax in the backward pass")
    return Panel(figure, draw, tau=tau)


def _from_origin(vectors: Tensor) -> tuple[list[float | None], list[float | None]]:
    """One line from the origin to each vector, with gaps between the lines."""
    x: list[float | None] = []
    y: list[float | None] = []
    for across, up in (vectors @ _PLANE).tolist():
        x += [0.0, across, None]
        y += [0.0, up, None]
    return x, y
