"""Samples of the Gumbel-Softmax on the simplex of three classes."""

from __future__ import annotations

import plotly.graph_objects as go
import torch
from torch import Tensor

from ..._checks import check_logits
from ...figures.panel import Panel, slider
from ...figures.style import CENTRE, CLASSES, CLEAR, DOT, MARK, TRUTH, label, marker
from ...figures.ternary import triangle
from ...figures.traces import trace
from ...gumbel import gumbel_max, tempered_softmax

TAUS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_NAMES = tuple(f"D = class {i}" for i in (1, 2, 3))


def samples(logits: Tensor, *, num_samples: int = 300, seed: int = 0) -> Panel:
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
