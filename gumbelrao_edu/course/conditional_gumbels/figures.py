"""The noise that a choice does not see, the race of the clocks, rejection beside equation (9)."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.panel import Panel, slider
from ...figures.style import (
    CLASSES,
    DOT,
    FAINT,
    FORWARD,
    HINT,
    LINE,
    MARK,
    THIN,
    hollow,
    label,
    layout,
    line,
    marker,
)
from ...figures.traces import bars, curve, points, trace
from ...gumbel import conditional_gumbel, gumbel_max, rejection

PS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
# Where the bins lie; what falls outside is counted in the last one.
LOW, HIGH, BINS = -8.0, 8.0, 64
_CLOCKS = ("1", "2", "3")
_NAMES = ("class 1, the winner", "class 2")
EULER = np.euler_gamma  # the mean of a standard Gumbel


def many_noises(logits: Tensor, *, num_samples: int = 40, seed: int = 1) -> Panel:
    """Return draws of θ + G side by side, sorted by the class that wins.

    Args:
        logits: θ, `[3]`.
        num_samples: number of draws.
        seed: of the draws.

    Example:
        >>> many_noises(torch.zeros(3)).caption.startswith("40 draws of θ + G")
        True
    """
    generator = torch.Generator().manual_seed(seed)
    _, perturbed = gumbel_max(logits.expand(num_samples, 3), generator=generator)
    highest, winner = perturbed.max(-1)
    order = winner.argsort(stable=True)
    places = list(range(1, num_samples + 1))
    entries = [
        points(f"class {i + 1}", look, places, perturbed[order, i].tolist(), size=DOT)
        for i, look in enumerate(CLASSES)
    ]
    ring = points("the largest", hollow(FORWARD), places, highest[order].tolist(), size=MARK)
    counts = torch.bincount(winner, minlength=3).tolist()
    axes = layout("draws of θ + G, sorted by the winner", "θ + G", height=400)
    figure = go.Figure([*entries, ring], {**axes, "showlegend": True})
    top = perturbed.max().item() + 0.8
    first = 0.5
    for i, count in enumerate(counts):
        figure.add_annotation(text=f"class {i + 1}", x=first + count / 2, y=top, showarrow=False)
        first += count
        if i < 2:
            figure.add_vline(first, line=line(HINT, THIN))
    said = ", ".join(f"{count} of class {i + 1}" for i, count in enumerate(counts))
    return Panel(
        figure,
        alt=f"{num_samples} draws of θ + G: {said}. Within a group the heights differ from draw to "
        f"draw, but the largest entry, with a ring, is always that of the same class: many values "
        f"of the noise make one choice D.",
    )


def clocks(logits: Tensor, *, races: int = 8, seed: int = 4) -> Panel:
    """Return when the clocks T_j = E_j / exp(θ_j) ring, with a slider for the race.

    Args:
        logits: θ, `[3]`.
        races: how many there are to look at.
        seed: of the exponentials.

    Returns:
        A panel with the control ``race``.

    Example:
        >>> panel = clocks(torch.zeros(3))
        >>> panel.controls["race"].value = 2
        >>> panel.caption.startswith("Race 2: ")
        True
    """
    generator = torch.Generator().manual_seed(seed)
    e = -torch.rand(races, 3, generator=generator, dtype=torch.float64).log()
    times = e / logits.detach().double().exp()

    def update(figure: go.Figure, *, race: int) -> str:
        rings = times[race - 1].tolist()
        first = min(rings)
        for name, ring in zip(_CLOCKS, rings, strict=True):
            trace(figure, f"clock {name}, until the first ring").x = [0, first]
            trace(figure, f"clock {name}, its rest").x = [first, ring]
            trace(figure, f"clock {name} rings").x = [ring]
        trace(figure, "first ring").x = [first, first]
        winner = rings.index(first) + 1
        sums = ", ".join(f"{-math.log(ring):.2f}" for ring in rings)
        return (
            f"Race {race}: the clocks ring at {', '.join(f'{ring:.2f}' for ring in rings)}. "
            f"Clock {winner} is the first, at {first:.2f}: D is class {winner}. "
            f"θ + G = −log T is {sums}."
        )

    looks = list(zip(_CLOCKS, CLASSES, strict=True))
    shape = {"mode": "lines", "hoverinfo": "skip"}
    until = [
        go.Scatter(
            name=f"clock {n}, until the first ring", y=[n, n], line=line(FORWARD, LINE), **shape
        )
        for n, _ in looks
    ]
    rest = [
        go.Scatter(name=f"clock {n}, its rest", y=[n, n], line=line(c, LINE), **shape)
        for n, c in looks
    ]
    rings = [
        go.Scatter(name=f"clock {n} rings", y=[n], mode="markers", marker=marker(c, MARK))
        for n, c in looks
    ]
    wall = go.Scatter(name="first ring", y=[_CLOCKS[0], _CLOCKS[-1]], line=line(HINT), **shape)
    axes = layout("time", "clock", height=300)
    figure = go.Figure([wall, *until, *rest, *rings], {**axes, "showlegend": False})
    figure.update_xaxes(range=[0, 1.05 * times.max().item()])
    figure.update_yaxes(type="category", categoryarray=_CLOCKS[::-1], categoryorder="array")
    tooltip = "another draw of the three exponentials"
    return Panel(figure, update, race=slider("race", range(1, races + 1), 1, tooltip=tooltip))


def two_ways(*, k: int = 10_000, seed: int = 1) -> Panel:
    """Return histograms of θ + G given D, by rejection and by (9), with a slider for p of class 1.

    There are three classes; class 1 has won; the other two are equally probable.

    Args:
        k: draws of either kind.
        seed: of the draws.

    Returns:
        A panel with the control ``p``.

    Example:
        >>> panel = two_ways(k=100)
        >>> panel.controls["p"].value = 0.01
        >>> panel.caption.startswith("p = 0.01: ")
        True
    """
    edges = torch.linspace(LOW, HIGH, BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    first = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)

    def draws(p: float) -> tuple[Tensor, int, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        logits = torch.tensor([p, (1 - p) / 2, (1 - p) / 2], dtype=torch.float64).log()
        kept, drawn = rejection(logits, 0, k, generator=generator)
        return kept, drawn, conditional_gumbel(logits, first, k, generator=generator)

    drawn_at = {p: draws(p) for p in PS}  # beforehand, so that the slider answers at once

    def percent(values: Tensor) -> list[float]:
        counts = torch.histc(values.clamp(LOW, HIGH), BINS, LOW, HIGH)
        return (100 * counts / len(values)).tolist()

    def update(figure: go.Figure, *, p: float) -> str:
        kept, drawn, direct = drawn_at[p]
        said = []
        for i, name in enumerate(_NAMES):
            for way, values in (("rejection", kept[:, i]), ("(9)", direct[:, i])):
                trace(figure, f"{name}: {way}").y = percent(values)
                mean, error = values.mean().item(), 2 * values.std().item() / math.sqrt(k)
                trace(figure, f"{name}: mean by {way}").x = [mean]
                said.append(f"{mean:.2f} ± {error:.2f}")
        return (
            f"p = {label(p)}: rejection drew {drawn} times to keep {k}, which is "
            f"{drawn / k:.1f} for each (1/p = {1 / p:.1f}). Equation (9) drew {k}. "
            f"Mean of the winner: {said[0]} by rejection, {said[1]} by (9). Mean of class 2: "
            f"{said[2]} and {said[3]}; without the condition it is "
            f"{math.log((1 - p) / 2) + EULER:.2f}. (± is two standard errors.)"
        )

    looks = list(zip(_NAMES, CLASSES, strict=False))
    histograms = [
        bars(f"{name}: rejection", look, opacity=FAINT, x=middles, width=middles[1] - middles[0])
        for name, look in looks
    ]
    lines = [curve(f"{name}: (9)", look, middles, line_shape="hvh") for name, look in looks]
    means = [
        points(f"{name}: mean by {way}", form, y=[height], showlegend=False)
        for name, look in looks
        for way, form, height in (("rejection", hollow(look), -0.6), ("(9)", look, -1.4))
    ]
    axes = layout("θ + G, given that class 1 won", "% of the draws", height=440)
    figure = go.Figure([*histograms, *lines, *means], {**axes, "barmode": "overlay"})
    # No % below 0, where the means are. The axis stays where it is while the slider moves.
    figure.update_yaxes(tickvals=list(range(0, 15, 2)), range=[-2, 14])
    return Panel(
        figure, update, p=slider("p", PS, 0.5, tooltip="probability of class 1, which has won")
    )
