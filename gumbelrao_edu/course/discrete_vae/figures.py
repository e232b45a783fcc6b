"""What the code of a discrete VAE says, and how noisy its gradient is while it trains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor

from ...diagnostics import Measured
from ...figures.panel import Panel, slider
from ...figures.rows import COLORS
from ...figures.style import label, layout
from ...vae import DiscreteVAE
from ..live import digits, picture


@torch.no_grad()
def one_variable(model: DiscreteVAE, images: Tensor) -> Panel:
    """Return pictures of digits with sliders that set one variable of all their codes.

    Args:
        model: paints them.
        images: `[columns, 784]`, each encoded to its most probable code.

    Returns:
        A panel with the controls ``variable`` and ``class``.

    Example:
        >>> model = DiscreteVAE(4, torch.softmax, pixel_mean=torch.full([784], 0.1), hidden=(5,))
        >>> panel = one_variable(model, torch.zeros(3, 784))
        >>> panel.controls["class"].value = 2
        >>> panel.caption[:50]
        'Variable 1 is set to class 2 in all codes (it was '
    """
    codes = model.encode(images).argmax(-1)

    def paint(codes: Tensor) -> Tensor:
        with torch.no_grad():
            return model.decode(F.one_hot(codes, model.arity).to(model.corners)).sigmoid()

    own = paint(codes)

    def rows(variable: int, value: int) -> tuple[dict[str, Tensor], Tensor]:
        changed = codes.clone()
        changed[:, variable] = value
        painted = paint(changed)
        change = (painted - own).abs()
        # The last row is drawn so that the largest change is black.
        shown = change / change.max().clamp_min(1e-9)
        return {"own code": own, "one set": painted, "difference": shown}, change

    def draw(figure: go.Figure, **values: int) -> str:
        variable, value = values["variable"] - 1, values["class"]
        pictures, change = rows(variable, value)
        figure.data[0].source = picture(pictures)
        before = int((codes[:, variable] == value).sum())
        most = int(change.amax(1).argmax())
        row, column = divmod(int(change[most].argmax()), 28)
        return (
            f"Variable {variable + 1} is set to class {value} in all codes (it was in {before} of "
            f"{len(codes)}). The probabilities of the pixels change by {change.mean():.3f} on "
            f"average and by {change.max():.2f} at most, in digit {most + 1} at row {row + 1}, "
            f"column {column + 1}."
        )

    return Panel(
        digits(rows(0, 0)[0]),
        draw,
        variable=slider(
            "variable", range(1, model.num_variables + 1), 1, tooltip="which variable is set"
        ),
        **{"class": slider("class", range(model.arity), 0, tooltip="what it is set to")},
    )


def variance_over_training(
    steps: Sequence[int], measured: Mapping[float, Sequence[Measured]]
) -> Panel:
    """Return the variance of the gradient over training, with a slider for K.

    The curve for K is what Proposition 3 makes of the measurements at K = 1 and K = ∞,

        V_K = V_∞ + (V_1 − V_∞) / K                                                           (13)

    Args:
        steps: of the training, where it was measured.
        measured: for each K, with 1 and ∞ among them, the variances at these steps.

    Returns:
        A panel with the control ``k``; where K itself was measured, points stand beside the curve.

    Raises:
        ValueError: when K = 1 or K = ∞ is missing.

    Example:
        >>> one, two = Measured(8.0, 0.5), Measured(2.0, 0.1)
        >>> panel = variance_over_training([100], {1: [one], 10: [two], math.inf: [two]})
        >>> panel.controls["k"].value = 3
        >>> panel.figure.data[2].y
        (4.0,)
    """
    if not {1, math.inf} <= measured.keys():
        raise ValueError(f"measured: expected K = 1 and K = inf among the keys, got {[*measured]}")
    traces = {k: [v.value for v in values] for k, values in measured.items()}

    def curve(name: str, k: float, **options: object) -> go.Scatter:
        return go.Scatter(x=list(steps), y=traces[k], name=name, **options)

    thin = {"color": COLORS["gumbel_rao"], "dash": "dot", "width": 1}
    points = {"color": COLORS["gumbel_rao"], "symbol": "square", "size": 9}
    figure = go.Figure(
        [
            curve("ST-GS", 1, line={"color": COLORS["st_gumbel_softmax"]}, mode="lines+markers"),
            curve("K = ∞", math.inf, line=thin, mode="lines"),
            curve("predicted", 1, line={"color": COLORS["gumbel_rao"]}, mode="lines"),
            curve("measured", 1, marker=points, mode="markers", error_y={"array": []}),
        ],
        layout("training step", "variance of the gradient"),
    )
    figure.update_yaxes(type="log")

    def draw(figure: go.Figure, *, k: float) -> str:
        one, limit = traces[1], traces[math.inf]
        predicted = [b + (a - b) / k for a, b in zip(one, limit, strict=True)]
        points = measured.get(k, [])
        figure.data[2].y = predicted
        figure.data[3].y = [v.value for v in points]
        figure.data[3].x = list(steps)[: len(points)]
        figure.data[3].error_y.array = [2 * v.standard_error for v in points]
        ratios = [a / p for a, p in zip(one, predicted, strict=True)]
        said = (
            f"K = {label(k)}: by Proposition 3 the variance is {ratios[0]:.1f} times lower than "
            f"that of ST-GS at step {steps[0]:,} and {ratios[-1]:.1f} times at step {steps[-1]:,}."
        )
        if not points:
            return said
        off = max(abs(v.value / p - 1) for v, p in zip(points, predicted, strict=True))
        return said + f" What was measured is at most {off:.0%} away."

    ks = sorted({1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0, math.inf, *measured})
    return Panel(figure, draw, k=slider("K", ks, 10.0, tooltip="inner samples of Gumbel-Rao"))


def mse_over_tau(
    taus: Sequence[float],
    variances: Mapping[float, Sequence[Measured]],
    biases: Sequence[Measured],
) -> Panel:
    """Return the MSE of the gradient over τ, with a slider for how many gradients are averaged.

        MSE of the mean of m gradients = bias² + variance / m

    Args:
        taus: in order.
        variances: for each K, measured at these τ; K = 1 is ST-GS.
        biases: the squared bias at these τ, which is the same for every K (Proposition 1).

    Returns:
        A panel with the control ``m``.

    Example:
        >>> variances = {1: [Measured(90.0, 1.0), Measured(10.0, 1.0)]}
        >>> panel = mse_over_tau([0.1, 1.0], variances, [Measured(0.0, 0.1), Measured(5.0, 1.0)])
        >>> panel.figure.data[0].y
        (90.0, 15.0)
        >>> panel.controls["m"].value = 100
        >>> panel.caption
        'Mean of 100 gradients. The MSE is lowest at τ = 0.1 for ST-GS (0.9).'
    """
    names = {k: "ST-GS" if k == 1 else f"GR, K = {label(k)}" for k in variances}
    styles = [("circle", "solid"), ("square", "solid"), ("diamond", "dash")]
    figure = go.Figure(
        [
            go.Scatter(
                name=names[k],
                x=list(taus),
                y=[v.value for v in values],
                mode="lines+markers",
                line={
                    "color": COLORS["st_gumbel_softmax" if k == 1 else "gumbel_rao"],
                    "dash": dash,
                },
                marker={"symbol": symbol, "size": 9},
            )
            for (k, values), (symbol, dash) in zip(variances.items(), styles, strict=False)
        ]
        + [
            go.Scatter(
                name="bias²",
                x=list(taus),
                y=[b.value for b in biases],
                error_y={"array": [2 * b.standard_error for b in biases]},
                mode="markers",
                marker={"symbol": "x", "size": 10, "color": COLORS["exact"]},
            )
        ],
        layout("τ", "MSE of the mean gradient"),
    )
    figure.update_yaxes(type="log")

    def draw(figure: go.Figure, *, m: int) -> str:
        best = []
        for curve, (k, values) in zip(figure.data[:-1], variances.items(), strict=True):
            mse = [b.value + v.value / m for b, v in zip(biases, values, strict=True)]
            curve.y = mse
            lowest = min(range(len(mse)), key=mse.__getitem__)
            best.append(f"τ = {taus[lowest]:g} for {names[k]} ({mse[lowest]:.2g})")
        start = "One gradient" if m == 1 else f"Mean of {m:,} gradients"
        return f"{start}. The MSE is lowest at {', at '.join(best)}."

    tooltip = "gradients that are averaged"
    return Panel(figure, draw, m=slider("m", [1, 3, 10, 30, 100], 1, tooltip=tooltip))
