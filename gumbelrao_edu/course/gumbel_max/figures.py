"""Gumbels and their maxima, a choice and its smooth stand-in, samples on the simplex."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from ..._checks import check_logits
from ...figures.panel import Panel, slider
from ...figures.style import (
    BOLD,
    CENTRE,
    CLASSES,
    CLEAR,
    DENSITY,
    DOT,
    DRAWN,
    FORWARD,
    MARK,
    TEMPERATURES,
    TRUTH,
    label,
    layout,
    marker,
)
from ...figures.ternary import triangle
from ...figures.traces import bars, curve, trace
from ...gumbel import gumbel_max, tempered_softmax

TAUS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
EULER = np.euler_gamma  # the mean of a standard Gumbel
LOW, HIGH, BINS = -3.0, 8.0, 55  # of histograms; what falls outside is not drawn
SLOPE_TAUS = (0.1, 0.5, 2.0)
_NAMES = tuple(f"D = class {i}" for i in (1, 2, 3))


def density(gumbels: Tensor) -> Panel:
    """Return the histogram of Gumbels and their density exp(−x − exp(−x)).

    Args:
        gumbels: draws, `[m]`.

    Example:
        >>> density(torch.zeros(3)).caption.startswith("Most Gumbels")
        True
    """
    x, drawn = _histogram(gumbels)
    alt = (
        f"Most Gumbels are near 0. The density rises steeply on the left and falls slowly on the "
        f"right, where a long tail is. Of {len(gumbels):,} draws the mean is "
        f"{gumbels.mean():.2f} and the standard deviation {gumbels.std():.2f}."
    )
    figure = go.Figure(
        [
            bars("draws", DRAWN, x=x, y=drawn),
            curve("density", DENSITY, x, _density(torch.tensor(x))),
        ],
        {**layout("x", "density", height=300), "showlegend": True},
    )
    return Panel(figure, alt=alt)


def maxima(perturbed: Tensor, log_z: float) -> Panel:
    """Return how high the largest θ + G is, for each class that won, over the density at log Z.

    Args:
        perturbed: draws of θ + G, `[m, 3]`.
        log_z: of the logits.

    Example:
        >>> maxima(torch.eye(3), 0.0).caption.startswith("The mean of the winning sums")
        True
    """
    highest, winner = perturbed.max(-1)
    outlines, means = [], []
    for i, look in enumerate(CLASSES):
        won = highest[winner == i]
        x, drawn = _histogram(won)
        name = f"class {i + 1} won ({len(won):,} draws)"
        outlines.append(curve(name, look, x, drawn, line_shape="hvh"))
        means.append(f"{won.mean():.2f}")
    x = torch.linspace(LOW, HIGH, 200).tolist()
    law = curve("a Gumbel at log Z", DENSITY, x, _density(torch.tensor(x) - log_z), width=BOLD)
    figure = go.Figure(
        [law.update(opacity=CLEAR), *outlines],
        {**layout("the largest θ + G", "density", height=360), "showlegend": True},
    )
    return Panel(
        figure,
        alt=f"The mean of the winning sums is {', '.join(means)} when class 1, 2, 3 has won; "
        f"log Z + 0.577 is {log_z + EULER:.2f}. The broad curve is the density of a Gumbel at "
        f"log Z. The outline of a class that wins seldom has few draws and is ragged.",
    )


def slopes(logits: Tensor, perturbed: Tensor) -> Panel:
    """Return S_τ of class 1 and its derivative while θ₁ moves and the noise is held fixed.

    Args:
        logits: θ, `[n]`.
        perturbed: one draw of θ + G, `[n]`.

    Example:
        >>> slopes(torch.zeros(3), torch.tensor([0.0, 1.0, 0.5])).caption[:28]
        'Class 1 is drawn from θ₁ = 1'
    """
    noise, rival = perturbed[0] - logits[0], perturbed[1:].max()
    jump = (rival - noise).item()
    theta = torch.linspace(jump - 4, jump + 4, 401, dtype=torch.float64)
    moved = perturbed.double().expand(len(theta), -1).clone()
    moved[:, 0] = theta + noise
    x = theta.tolist()
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.1)
    step = curve("D (argmax)", FORWARD, [x[0], jump, jump, x[-1]], [0.0, 0.0, 1.0, 1.0])
    figure.add_trace(step, 1, 1)
    for tau, look in zip(SLOPE_TAUS, TEMPERATURES, strict=True):
        s = tempered_softmax(moved, tau)[:, 0]
        name = f"τ = {label(tau)}"
        figure.add_trace(curve(name, look, x, s.tolist(), legendgroup=name), 1, 1)
        slope = (s * (1 - s) / tau).tolist()
        below = curve(name, look, x, slope, legendgroup=name, showlegend=False)
        figure.add_trace(below, 2, 1)
    figure.update_layout({**layout("", "entry of class 1", height=460), "showlegend": True})
    figure.update_xaxes(title_text="θ₁, with the noise held fixed", row=2, col=1)
    figure.update_yaxes(title_text="slope in θ₁", row=2, col=1)
    highest = ", ".join(f"{1 / (4 * tau):.3g}" for tau in SLOPE_TAUS)
    return Panel(
        figure,
        alt=f"Class 1 is drawn from θ₁ = {jump:.2f} on: there D jumps from 0 to 1. The smaller τ "
        f"is, the closer S follows this step, and the more its slope below is a spike at the "
        f"jump, with next to nothing beside it. The largest slope is at most 1/(4τ): {highest} "
        f"for τ = {', '.join(map(label, SLOPE_TAUS))}.",
    )


def samples(logits: Tensor, *, num_samples: int = 200, seed: int = 0) -> Panel:
    """Return the points S_τ = softmax_τ(θ + G) (3) on a triangle, with a slider for τ.

    The noise is drawn once: a move of τ moves the same points. Each has the colour of the class D
    that the Gumbel-max trick draws with the same noise.

    Args:
        logits: θ, `[3]`.
        num_samples: number of points.
        seed: of the noise.

    Returns:
        A panel with the control ``tau``.

    Raises:
        TypeError, ValueError: if the logits have the wrong type or shape.

    Example:
        >>> panel = samples(torch.zeros(3))
        >>> panel.controls["tau"].value = 0.05
        >>> panel.caption.startswith("τ = 0.05: ")
        True
    """
    check_logits(logits)
    if logits.shape != (3,):
        raise ValueError(f"logits: expected the shape (3,), got {tuple(logits.shape)}")
    generator = torch.Generator().manual_seed(seed)
    rows = logits.detach().double().expand(num_samples, 3)
    one_hot, perturbed = gumbel_max(rows, generator=generator)
    drawn = one_hot.argmax(-1)
    p = rows[0].softmax(0)

    def update(figure: go.Figure, *, tau: float) -> str:
        s = tempered_softmax(perturbed, tau)
        for i, name in enumerate(_NAMES):
            points = trace(figure, name)
            points.a, points.b, points.c = s[drawn == i].T.tolist()
        mean = s.mean(0).tolist()
        centre = trace(figure, "mean of the points")
        centre.a, centre.b, centre.c = ([x] for x in mean)
        close = (s.amax(-1) > 0.99).double().mean().item()
        return (
            f"τ = {label(tau)}: {100 * close:.0f} % of the {num_samples} points have an entry "
            f"above 0.99, that is, they lie at a corner. Their mean is {_numbers(mean)}; "
            f"p is {_numbers(p.tolist())}."
        )

    points = [
        go.Scatterternary(
            name=name,
            mode="markers",
            cliponaxis=False,  # a point at a corner is drawn whole
            marker=marker(look, DOT, opacity=CLEAR),
        )
        for name, look in zip(_NAMES, CLASSES, strict=True)
    ]
    marks = [
        go.Scatterternary(
            name=name,
            a=[p[0].item()],
            b=[p[1].item()],
            c=[p[2].item()],
            mode="markers",
            marker=marker(look, MARK),
        )
        for name, look in (("mean of the points", CENTRE), ("p", TRUTH))
    ]
    return Panel(
        go.Figure([*points, *marks], triangle(height=480)),
        update,
        tau=slider("τ", TAUS, 1.0, tooltip="temperature of the softmax"),
    )


def _numbers(values: list[float]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in values) + ")"


def _density(x: Tensor) -> list[float]:
    values: list[float] = torch.exp(-x - torch.exp(-x)).tolist()
    return values


def _histogram(draws: Tensor) -> tuple[list[float], list[float]]:
    """The middles of the bins, and the density of the draws in them."""
    width = (HIGH - LOW) / BINS
    middles = torch.linspace(LOW + width / 2, HIGH - width / 2, BINS)
    counts = torch.histc(draws.double(), BINS, LOW, HIGH)
    return middles.tolist(), (counts / (len(draws) * width)).tolist()
