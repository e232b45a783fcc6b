"""Gradient estimates of ST-GS and GR for one categorical variable, beside its exact gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import plotly.graph_objects as go
import torch
from torch import Tensor

from ..._checks import check_logits
from ...diagnostics import Draws
from ...figures.panel import Panel, slider
from ...figures.rows import COLORS
from ...figures.style import PALETTE, label, layout

TAUS = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
KS = (1, 2, 5, 10, 20, 50, 100, math.inf)
_BINS = 60
# Lengths and angles in the plane Σ_a v_a = 0, in which all gradients lie; class 1 is at the top.
_PLANE = torch.tensor([[0.0, 2.0], [-1.0, -1.0], [1.0, -1.0]], dtype=torch.float64)
_PLANE = _PLANE / _PLANE.norm(dim=0)


def histogram(
    f: Callable[[Tensor], Tensor], logits: Tensor, *, component: int = 0, seed: int = 0
) -> Panel:
    """Return histograms of the estimates of one partial derivative, with sliders for τ and K.

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
        >>> panel.figure.data[0].y == panel.figure.data[1].y
        True
    """
    draws = Draws(f, logits, generator=torch.Generator().manual_seed(seed))
    exact = draws.exact[component].item()

    limits = {tau: draws.limits(tau)[:, component] for tau in TAUS}
    sums = {tau: draws.estimates(tau)[component].cumsum(0) for tau in TAUS}  # over K

    def update(figure: go.Figure, *, tau: float, k: float) -> str:
        mean = (draws.p @ limits[tau]).item()
        st_gs = sums[tau][0]
        gr = limits[tau][draws.index] if math.isinf(k) else sums[tau][int(k) - 1] / k
        low, high = st_gs.min().item(), st_gs.max().item()
        width = (high - low) / _BINS
        middles = [low + (bin + 0.5) * width for bin in range(_BINS)]
        top = 0.0
        for trace, values in zip(figure.data[:2], (st_gs, gr), strict=True):
            counts = torch.histc(values, _BINS, low, high)
            percent = (100 * counts / len(values)).tolist()
            trace.x, trace.y, trace.width = middles, percent, width
            top = max(top, *percent)
        figure.data[2].x, figure.data[2].y = [exact, exact], [0, top]
        figure.data[3].x, figure.data[3].y = [mean, mean], [0, top]
        return (
            f"τ = {label(tau)}, K = {label(k)}. Exact gradient {exact:.3f}, mean {mean:.3f}: "
            f"both estimators have a bias of {mean - exact:+.3f}. "
            f"Standard deviation of ST-GS {st_gs.std():.3f}, of GR {gr.std():.3f}, "
            f"which is {gr.std() / st_gs.std():.2f} times that of ST-GS."
        )

    bars = [
        go.Bar(name=name, marker={"color": color, "line": {"width": 0}}, opacity=0.6)
        for name, color in (
            ("ST-GS", COLORS["st_gumbel_softmax"]),
            ("GR", COLORS["gumbel_rao"]),
        )
    ]
    lines = [
        go.Scatter(name=name, mode="lines", line={"color": color, "width": 3, "dash": dash})
        for name, color, dash in (
            ("exact gradient", COLORS["exact"], "solid"),
            ("mean of both", PALETTE["purple"], "dash"),
        )
    ]
    axes = layout(f"estimate of the gradient for θ<sub>{component + 1}</sub>", "% of the draws")
    figure = go.Figure([*bars, *lines], {**axes, "barmode": "overlay"})
    return Panel(
        figure,
        update,
        tau=slider("τ", TAUS, 0.5, tooltip="temperature of the softmax in the backward pass"),
        k=slider("K", KS, 10, tooltip="samples of the Gumbels given D, for each D"),
    )


def arrows(
    f: Callable[[Tensor], Tensor], logits: Tensor, *, num_samples: int = 60, seed: int = 0
) -> Panel:
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
        TypeError, ValueError: for logits of another kind or shape.

    Example:
        >>> panel = arrows(lambda x: x[..., 0] ** 2, torch.zeros(3))
        >>> panel.controls["k"].value = 1  # GR is ST-GS
        >>> panel.figure.data[1].y == panel.figure.data[6].y
        True
    """
    check_logits(logits)
    if logits.shape != (3,):
        raise ValueError(f"logits: expected the shape (3,), got {tuple(logits.shape)}")
    generator = torch.Generator().manual_seed(seed)
    draws = Draws(f, logits, num_samples=num_samples, generator=generator)
    limits = {tau: draws.limits(tau) for tau in TAUS}
    reach = 1.15 * max(v.norm(dim=-1).max().item() for v in (*limits.values(), draws.exact))

    def update(figure: go.Figure, *, tau: float, k: float) -> str:
        samples = draws.estimates(tau).movedim(0, -1)  # [k, draws, 3]
        st_gs = samples[0]
        gr = limits[tau][draws.index] if math.isinf(k) else samples[: int(k)].mean(0)
        mean = draws.p @ limits[tau]
        said = []
        for i, (name, estimates) in enumerate((("ST-GS", st_gs), ("GR", gr))):
            _, lines, tips, *thick = figure.data[5 * i : 5 * i + 5]
            shown = (estimates, mean[None], draws.exact[None])
            for trace, vectors in zip((lines, *thick), shown, strict=True):
                trace.x, trace.y = _from_origin(vectors)
            tips.x, tips.y = (estimates @ _PLANE).T.tolist()
            length = estimates.square().sum(-1).mean().sqrt().item()
            outside = int(((estimates @ _PLANE).abs() > reach).any(-1).sum())
            said.append(f"{length:.2f} for {name} ({outside} end outside of the picture)")
        return (
            f"τ = {label(tau)}, K = {label(k)}. The exact gradient has the length "
            f"{draws.exact.norm():.2f}, the mean of both estimators {mean.norm():.2f}. "
            f"The root mean square length of the {num_samples} estimates is {' and '.join(said)}."
        )

    across, up = _from_origin(torch.eye(3, dtype=torch.float64) * reach)  # towards the corners
    figure = go.Figure(layout=layout("", "", height=400))
    for i, (name, color) in enumerate(
        (("ST-GS", COLORS["st_gumbel_softmax"]), ("GR", COLORS["gumbel_rao"]))
    ):
        number = "2" if i else ""
        rays = go.Scatter(
            x=across,
            y=up,
            mode="lines+text",
            text=["", "class 1", "", "", "class 2", "", "", "class 3", ""],
            line={"color": "#999999", "width": 1, "dash": "dot"},
            showlegend=False,
            hoverinfo="skip",
        )
        lines = go.Scatter(
            name=name, legendgroup=name, mode="lines", line={"color": color, "width": 1}
        )
        tips = go.Scatter(
            name=name,
            legendgroup=name,
            mode="markers",
            marker={"color": color, "size": 6, "opacity": 0.5, "line": {"width": 0}},
            showlegend=False,
        )
        thick = [
            go.Scatter(
                name=name,
                mode="lines+markers",
                line={"color": color, "width": width},
                marker={
                    "symbol": "arrow",
                    "size": [0, 5 + 2 * width],
                    "angleref": "previous",
                    "opacity": 1,
                    "line": {"width": 0},
                },
                showlegend=not i,
            )
            for name, color, width in (
                ("mean of both", PALETTE["purple"], 5),
                ("exact gradient", COLORS["exact"], 2),  # thin, for it may lie on the mean
            )
        ]
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        figure.add_traces([trace.update(axes) for trace in (rays, lines, tips, *thick)])
        figure.layout[f"xaxis{number}"] = {
            "title": {"text": "(∇<sub>3</sub> − ∇<sub>2</sub>) / √2"},
            "domain": [0.51 * i, 0.49 + 0.51 * i],
            "range": [-reach, reach],
            "zeroline": False,
        }
        figure.layout[f"yaxis{number}"] = {
            "title": {"text": "" if i else "(2∇<sub>1</sub> − ∇<sub>2</sub> − ∇<sub>3</sub>) / √6"},
            "range": [-reach, reach],
            "scaleanchor": f"x{number}",
            "constrain": "domain",
            "anchor": f"x{number}",
            "showticklabels": not i,
            "zeroline": False,
        }
    return Panel(
        figure,
        update,
        tau=slider("τ", TAUS, 0.5, tooltip="temperature of the softmax in the backward pass"),
        k=slider("K", KS, 10, tooltip="samples of the Gumbels given D, for each D"),
    )


def _from_origin(vectors: Tensor) -> tuple[list[float | None], list[float | None]]:
    """One line from the origin to each vector, with gaps between the lines."""
    x: list[float | None] = []
    y: list[float | None] = []
    for across, up in (vectors @ _PLANE).tolist():
        x += [0.0, across, None]
        y += [0.0, up, None]
    return x, y
