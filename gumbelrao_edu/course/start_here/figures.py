"""The first figures of the course: ST-GS and Gumbel-Rao in a race, and what they do."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from ...figures.diagrams import Arrow, Box, diagram
from ...figures.panel import Panel, slider
from ...figures.rows import GR_INF, ST_GS
from ...figures.style import HINT, Look, label, layout
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
            f"Means of {runs} runs: the loss starts at {gr[0]:.0f}. After {steps} steps at "
            f"τ = {label(tau)} it is {st_gs[-1]:.1f} with ST-GS and {gr[-1]:.1f} with Gumbel-Rao, "
            f"K = {label(k)}. Start and step size are the same, and at the same weights so is the "
            f"mean of the gradient."
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


def forward_and_backward() -> Panel:
    """Return the picture of a choice in a network: what ST-GS and GR do forward and backward.

    Returns:
        A panel without controls.

    Example:
        >>> forward_and_backward().caption.startswith("Forward (black)")
        True
    """
    once, often = Look(ST_GS.color), Look(GR_INF.color)
    boxes: dict[str, Box] = {}
    arrows: list[Arrow] = []
    for name, row, look in (("ST-GS", 3.0, once), ("Gumbel-Rao", 0.0, often)):
        boxes |= {
            f"{name} title": Box(f"<b>{name}</b>", 0, row + 0.75, None),
            f"{name} logits": Box("logits θ", 0, row),
            f"{name} sums": Box("θ + G", 1, row),
            f"{name} choice": Box("choice D", 2, row),
            f"{name} loss": Box("loss f(D)", 3, row),
            f"{name} upstream": Box("∂f / ∂D", 3, row - 1, look),
            f"{name} gradient": Box("gradient<br>for θ", 0, row - 1, look),
        }
        arrows += [
            Arrow(f"{name} logits", f"{name} sums", "noise"),
            Arrow(f"{name} sums", f"{name} choice", "argmax"),
            Arrow(f"{name} choice", f"{name} loss", "network"),
            Arrow(f"{name} loss", f"{name} upstream", look=look),
        ]
    boxes["slope"] = Box("slope of softmax<sub>τ</sub><br>at θ + G", 1, 2, once)
    arrows += [
        Arrow("ST-GS upstream", "slope", look=once),
        Arrow("slope", "ST-GS gradient", look=once),
        Arrow("ST-GS sums", "slope", "the same noise", HINT),
    ]
    boxes["mean"] = Box("mean", 0.75, -1, often)
    arrows += [
        Arrow("mean", "Gumbel-Rao gradient", look=often),
        Arrow("Gumbel-Rao choice", "slope 1", "new noise, given D", HINT),
    ]
    for place, k in enumerate(("1", "2", "K")):
        boxes[f"slope {k}"] = Box(f"slope at θ + G<sup>{k}</sup>", 2, -0.85 - 0.45 * place, often)
        arrows += [
            Arrow("Gumbel-Rao upstream", f"slope {k}", look=often),
            Arrow(f"slope {k}", "mean", look=often),
        ]
    return Panel(
        diagram(boxes, arrows, height=520),
        alt="Forward (black) both do the same: they add noise to the logits, choose the largest, "
        "and the network makes a loss of the choice. Backward (colours) argmax has no slope. "
        "ST-GS takes the slope of a softmax in its place, once, at the noise that was drawn. "
        "Gumbel-Rao draws K noises that lead to the same choice, and takes the mean of their "
        "slopes. The network runs once in both.",
    )
