"""The first figure of the course: the same training with ST-GS and with Gumbel-Rao."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from ...figures.panel import Panel, slider
from ...figures.rows import GR_INF, ST_GS
from ...figures.style import label, layout
from ...figures.traces import curve, trace
from ...problems.mixture import Mixture, train

TAUS = (0.05, 0.1, 0.2, 0.5, 1.0)
KS = (1, 3, 10, math.inf)


def race(*, steps: int = 200, runs: int = 8) -> Panel:
    """Return the same training with ST-GS and with Gumbel-Rao, with sliders for τ and K.

    Start, learning rate and seed are the same. All are trained beforehand, in a few seconds.

    Args:
        steps: of each training.
        runs: over which the curves are the mean.

    Returns:
        A panel with the controls ``tau`` and ``k``.

    Example:
        >>> panel = race(steps=3, runs=2)
        >>> panel.controls["k"].value = 1  # GR is ST-GS
        >>> trace(panel.figure, "ST-GS").y == trace(panel.figure, "Gumbel-Rao").y
        True
    """
    mixture = Mixture.draw()
    losses = {k: train(mixture, k, TAUS, steps=steps, runs=runs) for k in KS}

    def draw(figure: go.Figure, *, tau: float, k: float) -> str:
        st_gs, gr = (losses[each][:, TAUS.index(tau)].tolist() for each in (1, k))
        trace(figure, "ST-GS").y, trace(figure, "Gumbel-Rao").y = st_gs, gr
        return (
            f"The loss starts at {gr[0]:.0f}. After {steps} steps at τ = {label(tau)} it is "
            f"{st_gs[-1]:.1f} with ST-GS and {gr[-1]:.1f} with Gumbel-Rao, K = {label(k)}: "
            f"the same start, steps and mean gradient (means of {runs} runs)."
        )

    steps_done = range(steps + 1)
    figure = go.Figure(
        [curve("ST-GS", ST_GS, steps_done), curve("Gumbel-Rao", GR_INF, steps_done)],
        {**layout("training step", "expected loss", height=340), "showlegend": True},
    )
    figure.update_yaxes(range=[0, 1.05 * losses[1].max().item()])
    return Panel(
        figure,
        draw,
        tau=slider("τ", TAUS, 0.05, tooltip="temperature of the softmax in the backward pass"),
        k=slider("K", KS, math.inf, tooltip="inner samples of Gumbel-Rao; 1 is ST-GS"),
    )
