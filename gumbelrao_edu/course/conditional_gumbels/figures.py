"""θ + G given D: rejection sampling beside equation (9)."""

from __future__ import annotations

import math
from functools import lru_cache

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.panel import Panel, slider
from ...figures.style import CLASSES, FAINT, label, layout
from ...figures.traces import bars, curve, trace
from ...gumbel import conditional_gumbel, rejection

PS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
# Where the bins lie; what falls outside is counted in the last one.
LOW, HIGH, BINS = -8.0, 8.0, 64
_NAMES = ("class 1, the winner", "class 2")
EULER = 0.5772156649015329  # the mean of a standard Gumbel


def two_ways(*, k: int = 2000, seed: int = 0) -> Panel:
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

    @lru_cache
    def draws(p: float) -> tuple[Tensor, int, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        logits = torch.tensor([p, (1 - p) / 2, (1 - p) / 2], dtype=torch.float64).log()
        kept, drawn = rejection(logits, 0, k, generator=generator)
        return kept, drawn, conditional_gumbel(logits, first, k, generator=generator)

    def percent(values: Tensor) -> list[float]:
        counts = torch.histc(values.clamp(LOW, HIGH), BINS, LOW, HIGH)
        return (100 * counts / len(values)).tolist()

    def update(figure: go.Figure, *, p: float) -> str:
        kept, drawn, direct = draws(p)
        for i, name in enumerate(_NAMES):
            trace(figure, f"{name}: rejection").y = percent(kept[:, i])
            trace(figure, f"{name}: (9)").y = percent(direct[:, i])
        return (
            f"p = {label(p)}: rejection drew {drawn} times to keep {k}, which is "
            f"{drawn / k:.1f} for each (1/p = {1 / p:.1f}). Equation (9) drew {k}. "
            f"Mean of the winner: {kept[:, 0].mean():.2f} by rejection, "
            f"{direct[:, 0].mean():.2f} by (9). Mean of class 2: {kept[:, 1].mean():.2f} and "
            f"{direct[:, 1].mean():.2f}; without the condition it is "
            f"{math.log((1 - p) / 2) + EULER:.2f}."
        )

    histograms = [
        bars(f"{name}: rejection", look, opacity=FAINT, x=middles, width=middles[1] - middles[0])
        for name, look in zip(_NAMES, CLASSES, strict=False)
    ]
    lines = [
        curve(f"{name}: (9)", look, middles, line_shape="hvh")
        for name, look in zip(_NAMES, CLASSES, strict=False)
    ]
    axes = layout("θ + G, given that class 1 won", "% of the draws", height=420)
    figure = go.Figure([*histograms, *lines], {**axes, "barmode": "overlay"})
    return Panel(
        figure, update, p=slider("p", PS, 0.5, tooltip="probability of class 1, which has won")
    )
