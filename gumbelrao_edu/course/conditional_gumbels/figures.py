"""θ + G given D: rejection sampling beside equation (9)."""

from __future__ import annotations

import math
from functools import lru_cache

import plotly.graph_objects as go
import torch
from torch import Tensor

from ...figures.panel import Panel, slider
from ...figures.style import PALETTE, label, layout
from ...gumbel import conditional_gumbel, gumbel_max

PS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
# Where the bins lie; what falls outside is counted in the last one.
LOW, HIGH, BINS = -8.0, 8.0, 64
_BATCH = 20_000
EULER = 0.5772156649015329  # the mean of a standard Gumbel


def rejection(
    logits: Tensor, index: int, k: int, *, generator: torch.Generator | None = None
) -> tuple[Tensor, int]:
    """Draw θ + G again and again, and keep what has its largest entry in the right place.

    Args:
        logits: θ, `[n]`.
        index: the class that has to win.
        k: how many are kept.
        generator: source of randomness; the global one when None.

    Returns:
        kept: θ + G, `[k, n]`.
        drawn: how many were drawn for it; k / p_i on average.

    Example:
        >>> kept, drawn = rejection(torch.zeros(2), 0, 5)
        >>> kept.argmax(-1), drawn >= 5
        (tensor([0, 0, 0, 0, 0]), True)
    """
    kept, drawn, missing = [], 0, k
    while missing:
        one_hot, perturbed = gumbel_max(logits.expand(_BATCH, -1), generator=generator)
        hits = (one_hot[:, index] == 1).nonzero().squeeze(1)[:missing]
        missing -= len(hits)
        # The last batch is paid for up to the last hit that was needed.
        drawn += _BATCH if missing else int(hits[-1]) + 1
        kept.append(perturbed[hits])
    return torch.cat(kept), drawn


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
        for trace, values in zip(
            figure.data, (kept[:, 0], kept[:, 1], direct[:, 0], direct[:, 1]), strict=True
        ):
            trace.y = percent(values)
        return (
            f"p = {label(p)}: rejection drew {drawn} times to keep {k}, which is "
            f"{drawn / k:.1f} for each (1/p = {1 / p:.1f}). Equation (9) drew {k}. "
            f"Mean of the winner: {kept[:, 0].mean():.2f} by rejection, "
            f"{direct[:, 0].mean():.2f} by (9). Mean of class 2: {kept[:, 1].mean():.2f} and "
            f"{direct[:, 1].mean():.2f}; without the condition it is "
            f"{math.log((1 - p) / 2) + EULER:.2f}."
        )

    names = (("class 1, the winner", PALETTE["blue"]), ("class 2", PALETTE["vermilion"]))
    bars = [
        go.Bar(
            name=f"{name}: rejection",
            x=middles,
            width=middles[1] - middles[0],
            marker={"color": color, "line": {"width": 0}},
            opacity=0.35,
        )
        for name, color in names
    ]
    lines = [
        go.Scatter(
            name=f"{name}: (9)",
            x=middles,
            mode="lines",
            line={"color": color, "width": 2.5, "shape": "hvh", "dash": dash},
        )
        for (name, color), dash in zip(names, ("solid", "dot"), strict=True)
    ]
    axes = layout("θ + G, given that class 1 won", "% of the draws", height=420)
    figure = go.Figure([*bars, *lines], {**axes, "barmode": "overlay"})
    return Panel(
        figure, update, p=slider("p", PS, 0.5, tooltip="probability of class 1, which has won")
    )
