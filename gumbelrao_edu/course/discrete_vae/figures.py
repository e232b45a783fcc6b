"""What the code of a discrete VAE says, and how noisy its gradient is while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import plotly.express as px
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor

from ...diagnostics import Measured
from ...figures.diagrams import Arrow, Box, diagram
from ...figures.panel import Panel, slider
from ...figures.rows import GR, GR_INF, ST_GS, Row
from ...figures.style import (
    BACKWARD,
    BIAS,
    DOT,
    HAIR,
    MEASURED,
    error_bars,
    label,
    layout,
    log_axis,
)
from ...figures.traces import curve, points, trace
from ...vae import DiscreteVAE

_SIDE = 28  # pixels of a digit
_TICKS = [digit * 10.0**power for power in range(-3, 7) for digit in (1, 3)]


def digits(rows: Mapping[str, Tensor], *, title: str = "") -> go.Figure:
    """Return a picture of digits, one row for each name.

    Args:
        rows: images `[columns, 784]` with values from 0 to 1, by the name of the row.
        title: of the figure.

    Example:
        >>> figure = digits({"black": torch.zeros(3, 784), "white": torch.ones(3, 784)})
        >>> figure.layout.yaxis.ticktext
        ('black', 'white')
    """
    figure = go.Figure(go.Image(name="digits", source=picture(rows)), layout("", "", title=title))
    columns = max(len(images) for images in rows.values())
    figure.update_layout(
        height=62 * len(rows) + 50,
        xaxis={"visible": False, "range": [-0.5, _SIDE * columns - 0.5]},
        yaxis={
            "tickvals": [_SIDE * (row + 0.5) for row in range(len(rows))],
            "ticktext": list(rows),
            "range": [_SIDE * len(rows) - 0.5, -0.5],
            "showgrid": False,
        },
        margin={"l": 80, "r": 10, "t": 40 if title else 10, "b": 10},
    )
    return figure


def digits_over_training(
    frames: Mapping[int, Mapping[str, Tensor]], caption: Callable[[int], str]
) -> Panel:
    """Return a picture of digits with a slider for the training step.

    Args:
        frames: for each step the rows of `digits`, all of the same shape.
        caption: says in words what is seen at a step.

    Returns:
        A panel with the control ``step``; it starts at the last one.

    Example:
        >>> frames = {step: {"row": torch.full([2, 784], step / 9)} for step in (0, 9)}
        >>> panel = digits_over_training(frames, "Step {}.".format)
        >>> panel.controls["step"].value = 0
        >>> panel.caption
        'Step 0.'
    """
    pictures = {step: picture(rows) for step, rows in frames.items()}

    def draw(figure: go.Figure, *, step: int) -> str:
        trace(figure, "digits").source = pictures[step]
        return caption(step)

    steps = list(frames)
    control = slider("step", steps, steps[-1], tooltip="training step of the reconstructions")
    return Panel(digits(frames[steps[-1]]), draw, step=control)


def picture(rows: Mapping[str, Tensor]) -> str:
    """A PNG of all rows, dark strokes on white, as a data URI: a few kilobytes of JSON."""
    images = torch.stack([row.detach().cpu().float() for row in rows.values()])
    height, width, _ = images.shape
    grid = images.view(height, width, _SIDE, _SIDE).transpose(1, 2).flatten(2).flatten(0, 1)
    grey = (255 * (1 - grid)).round().to(torch.uint8).numpy()
    (drawn,) = px.imshow(grey, binary_string=True, zmin=0, zmax=255).data
    return str(drawn.source)


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
        trace(figure, "digits").source = picture(pictures)
        before = int((codes[:, variable] == value).sum())
        most = int(change.amax(1).argmax())
        row, column = divmod(int(change[most].argmax()), _SIDE)
        return (
            f"Variable {variable + 1} is set to class {value} in all codes (it was in {before} of "
            f"{len(codes)}). The probabilities of the pixels change by {change.mean():.3f} on "
            f"average and by {change.max():.2f} at most, in digit {most + 1} at row {row + 1}, "
            f"column {column + 1}."
        )

    count = model.num_variables
    variable = slider("variable", range(1, count + 1), 1, tooltip="which variable is set")
    # Pictures are large: a page without a kernel has some of them.
    variable.examples = range(1, count + 1, -(-count // 4))
    return Panel(
        digits(rows(0, 0)[0]),
        draw,
        variable=variable,
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
        >>> trace(panel.figure, "predicted").y
        (4.0,)
    """
    if not {1, math.inf} <= measured.keys():
        raise ValueError(f"measured: expected K = 1 and K = inf among the keys, got {[*measured]}")
    values = {k: [v.value for v in each] for k, each in measured.items()}

    figure = go.Figure(
        [
            curve("ST-GS", ST_GS, steps, values[1], mode="lines+markers"),
            curve("K = ∞", GR_INF, steps, values[math.inf], width=HAIR),
            curve("predicted", GR, steps, values[1]),
            points("measured", GR, steps, values[1], []),
        ],
        layout("training step", "variance of the gradient"),
    )
    figure.update_yaxes(log_axis(_TICKS))

    def draw(figure: go.Figure, *, k: float) -> str:
        one, limit = values[1], values[math.inf]
        predicted = [b + (a - b) / k for a, b in zip(one, limit, strict=True)]
        known = measured.get(k, [])
        trace(figure, "predicted").y = predicted
        trace(figure, "measured").update(
            x=list(steps)[: len(known)],
            y=[v.value for v in known],
            error_y=error_bars([v.standard_error for v in known]),
        )
        ratios = [a / p for a, p in zip(one, predicted, strict=True)]
        said = (
            f"K = {label(k)}: by Proposition 3 the variance is {ratios[0]:.1f} times lower than "
            f"that of ST-GS at step {steps[0]:,} and {ratios[-1]:.1f} times at step {steps[-1]:,}."
        )
        if not known:
            return said
        off = max(abs(v.value / p - 1) for v, p in zip(known, predicted, strict=True))
        return said + f" What was measured is at most {off:.0%} away."

    ks = sorted({1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0, math.inf, *measured})
    return Panel(figure, draw, k=slider("K", ks, 10.0, tooltip="inner samples of Gumbel-Rao"))


def mse_of_means(
    taus: Sequence[float],
    variances: Mapping[float, Sequence[Measured]],
    biases: Sequence[Measured],
) -> Panel:
    """Return the MSE of the gradient over τ, with a slider for how many gradients are averaged.

        MSE of the mean of m gradients = bias² + variance / m

    Args:
        taus: in order.
        variances: for each K, measured at these τ; K = 1 is ST-GS.
        biases: the squared bias at these τ; all K have one mean, and so one bias.

    Returns:
        A panel with the control ``m``, which starts at 100.

    Example:
        >>> variances = {1: [Measured(90.0, 1.0), Measured(10.0, 1.0)]}
        >>> panel = mse_of_means([0.1, 1.0], variances, [Measured(0.0, 0.1), Measured(5.0, 1.0)])
        >>> panel.caption
        'Mean of 100 gradients. The MSE is lowest at τ = 0.1 for ST-GS (0.9).'
        >>> panel.controls["m"].value = 1
        >>> trace(panel.figure, "ST-GS").y
        (90.0, 15.0)
    """
    names = {k: "ST-GS" if k == 1 else f"GR, K = {label(k)}" for k in variances}
    bias = [b.value for b in biases], [b.standard_error for b in biases]
    figure = go.Figure(
        [
            *(
                curve(
                    names[k],
                    ST_GS if k == 1 else Row("gumbel_rao", {"k": k}),
                    taus,
                    [v.value for v in values],
                    mode="lines+markers",
                )
                for k, values in variances.items()
            ),
            points("bias²", BIAS, taus, *bias),
        ],
        layout("τ", "MSE of the mean gradient"),
    )
    figure.update_yaxes(log_axis(_TICKS))

    def draw(figure: go.Figure, *, m: int) -> str:
        best = []
        for k, values in variances.items():
            mse = [b.value + v.value / m for b, v in zip(biases, values, strict=True)]
            trace(figure, names[k]).y = mse
            lowest = min(range(len(mse)), key=mse.__getitem__)
            best.append(f"τ = {taus[lowest]:g} for {names[k]} ({mse[lowest]:.2g})")
        start = "One gradient" if m == 1 else f"Mean of {m:,} gradients"
        return f"{start}. The MSE is lowest at {', at '.join(best)}."

    tooltip = "gradients that are averaged"
    return Panel(figure, draw, m=slider("m", [1, 3, 10, 30, 50, 100], 100, tooltip=tooltip))


def gains_of_draws(
    lengths: Sequence[float], taus: Sequence[float], gains: Sequence[float]
) -> go.Figure:
    """Return a map of the draws of a search, with the gain of each.

    Args:
        lengths: of the steps of each draw, learning rate / (1 − momentum).
        taus: temperatures.
        gains: in nats; the area of a point grows with its own, which the pointer shows. One of a
            loss is hollow.

    Example:
        >>> figure = gains_of_draws([0.004, 0.007], [0.8, 0.3], [-0.54, 3.1])
        >>> figure.data[0].text
        ('−0.5', '3.1')
        >>> figure.data[0].marker.symbol
        ('circle-open', 'circle')
    """
    text = [f"{round(gain, 1) + 0.0:.1f}".replace("-", "−") for gain in gains]  # no −0.0
    draws = points("draw", MEASURED, lengths, list(taus), text=text)
    draws.marker.size = [DOT + 4 * math.sqrt(abs(gain)) for gain in gains]
    draws.marker.symbol = ["circle" if gain >= 0 else "circle-open" for gain in gains]
    axes = layout("learning rate / (1 − momentum)", "τ", height=460)
    figure = go.Figure(draws, axes)
    ends = (0.8 * min(lengths), 1.5 * max(lengths))
    figure.update_xaxes(log_axis((0.001, 0.003, 0.01, 0.03, 0.1, 0.3), ends))
    figure.update_yaxes(range=[0, 1.05 * max(taus)])
    return figure


def best_of_draws(numbers: Sequence[int], bounds: Mapping[Row, Sequence[float]]) -> go.Figure:
    """Return the bound of the best of several draws, for each estimator.

    Args:
        numbers: of draws.
        bounds: that of the best of so many, in nats.

    Example:
        >>> figure = best_of_draws([1, 2], {ST_GS: [105, 104], GR_INF: [104, 102]})
        >>> [line.name for line in figure.data]
        ['ST-GS', 'GR-∞']
    """
    lines = [curve(row.label, row, numbers, best) for row, best in bounds.items()]
    return go.Figure(lines, layout("draws that are tried", "the best bound, in nats"))


def autoencoder() -> Panel:
    """Return the picture of a discrete VAE: what it computes, and where an estimator comes in.

    Returns:
        A panel without controls.

    Example:
        >>> autoencoder().caption.startswith("Forward (black)")
        True
    """
    boxes = {
        "x": Box("picture x<br>784 pixels", 0, 2),
        "logits": Box("logits θ<br>80 × 8", 1, 2),
        "code": Box("code D<br>80 one-hot", 2, 2),
        "pixels": Box("784<br>probabilities", 3, 2),
        "kl": Box("KL(q ‖ uniform)", 1, 0),
        "likelihood": Box("−log p(x|D)", 3, 0),
        "loss": Box("loss", 2, 0),
        "estimator": Box("estimator", 1.5, 1, BACKWARD),
    }
    arrows = [
        Arrow("x", "logits", "encoder"),
        Arrow("logits", "code", "draw"),
        Arrow("code", "pixels", "decoder"),
        Arrow("logits", "kl"),
        Arrow("pixels", "likelihood"),
        Arrow("kl", "loss"),
        Arrow("likelihood", "loss"),
        Arrow("code", "estimator", look=BACKWARD),
        Arrow("estimator", "logits", look=BACKWARD),
    ]
    return Panel(
        diagram(boxes, arrows, height=300),
        alt="Forward (black): the encoder turns a picture into 80 times 8 logits, the code is "
        "drawn from them, and the decoder turns it into a probability for each pixel. The loss has "
        "two parts, one from the logits and one from the pixels. Backward (blue): from the code to "
        "the logits, past the draw, the gradient needs an estimator.",
    )
