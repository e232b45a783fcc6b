"""Trainings side by side: live loss curves with a progress bar, and pictures of digits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import cycle

import ipywidgets
import plotly.express as px
import plotly.graph_objects as go
import torch
from torch import Tensor

from ..figures.panel import Panel, slider
from ..figures.positions import Positions
from ..figures.style import layout
from ..training.errors import TrainingDivergedError
from ..training.loop import Callback, Training

_SECONDS_BETWEEN_REDRAWS = 0.4
_SIDE = 28
_SYMBOLS = ("circle", "square", "diamond", "x")  # told apart by form as well as by colour


class LiveTraining(Panel):
    """Train several models side by side, turn by turn, and draw their curves while they train.

    Args:
        trainings: by the name to show.
        colors: of the curves, by the same names.
        value: which entry of each training's history is drawn.
        label: what that is, for the vertical axis.

    Attributes:
        seconds: of CPU time that each training has taken so far, its callbacks included.
        diverged: the names of the trainings that have diverged; the others go on without them.

    Example:
        >>> model = torch.nn.Linear(1, 1)
        >>> square = lambda model, x: ((model(x) - 2 * x) ** 2).mean()
        >>> training = Training(model, square, torch.ones(9, 1), batch_size=3, learning_rate=0.1)
        >>> live = LiveTraining({"SGD": training}, {"SGD": "#0072B2"}, label="squared error")
        >>> live.run(until=200)
        >>> live.caption
        'Step 200 of 200: squared error 0.00 (SGD).'
    """

    def __init__(
        self,
        trainings: Mapping[str, Training],
        colors: Mapping[str, str],
        *,
        value: str = "loss",
        label: str = "loss",
    ) -> None:
        self.trainings, self.value, self.label = trainings, value, label
        self.seconds = dict.fromkeys(trainings, 0.0)
        self.diverged: list[str] = []
        self._drawn_at = 0.0
        curves = [
            go.Scatter(
                name=name,
                mode="lines+markers",
                line={"color": colors[name]},
                marker={"symbol": symbol, "size": 8},
                x=[],
                y=[],
            )
            for name, symbol in zip(trainings, cycle(_SYMBOLS), strict=False)
        ]
        figure = go.Figure(curves, {**layout("training step", label), "showlegend": True})
        self._bar = ipywidgets.IntProgress(0, 0, 1, layout={"width": "100%"})
        names = " and ".join(trainings)
        super().__init__(figure, alt=f"The {label} of {names}, drawn while they train.")
        self.children = [self._bar, *self.children]

    def run(self, until: int, *, every: int = 100, callback: Callback | None = None) -> None:
        """Train all to step `until`, `every` steps in turn.

        What a training has done already is not done again: after an interrupt, or with a larger
        `until`, another call goes on.

        Args:
            until: number of the last step of each training.
            every: steps of one turn, after which the curves may be redrawn.
            callback: called with a training after each of its turns.
        """
        self._bar.max = until * len(self.trainings)
        try:
            while any(training.step < until for training in self._going().values()):
                start = min(training.step for training in self._going().values())
                for name, training in self._going().items():
                    begin = time.process_time()
                    target = min(until, (start // every + 1) * every)
                    try:
                        training.run(target, every=every, callback=callback)
                    except TrainingDivergedError:
                        self.diverged.append(name)
                    self.seconds[name] += time.process_time() - begin
                    self._bar.value = sum(each.step for each in self.trainings.values())
                if time.monotonic() - self._drawn_at > _SECONDS_BETWEEN_REDRAWS:
                    self._draw(until)
        finally:
            self._draw(until)

    def _going(self) -> dict[str, Training]:
        return {name: each for name, each in self.trainings.items() if name not in self.diverged}

    def frames(self) -> tuple[dict[str, Positions], Callable[..., str] | None]:
        """Return the steps of the run so far, and what draws the curves as they were at one."""
        steps = sorted({row["step"] for each in self.trainings.values() for row in each.history})
        if not steps:
            return {}, None
        options = [(f"{step:,}", step) for step in steps]
        control = Positions("player", "step", "of this recorded run", options, len(options) - 1)

        def draw(figure: go.Figure, *, step: int) -> str:
            return self._show(figure, step, step, steps[-1])

        return {"step": control}, draw

    def _draw(self, until: int) -> None:
        step = min(training.step for training in (self._going() or self.trainings).values())
        drawn = max(training.step for training in self.trainings.values())
        with self.update():
            self.say(self._show(self.figure, drawn, step, until) or self.caption)
        self._drawn_at = time.monotonic()

    def _show(self, figure: go.Figure, drawn: int, step: int, until: int) -> str:
        """Draw the curves as far as `drawn`, and say their ends; all have done `step`."""
        latest, ended = [], []
        for curve, (name, training) in zip(figure.data, self.trainings.items(), strict=True):
            rows = [row for row in training.history if row["step"] <= drawn]
            curve.x, curve.y = [row["step"] for row in rows], [row[self.value] for row in rows]
            latest += [f"{row[self.value]:.2f} ({name})" for row in rows[-1:]]
            if name in self.diverged and training.step < drawn:
                ended.append(f" {name} has diverged at step {training.step + 1:,}.")
        if not latest:
            return ""
        return f"Step {step:,} of {until:,}: {self.label} {', '.join(latest)}.{''.join(ended)}"


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
    figure = go.Figure(go.Image(source=picture(rows)), layout("", "", title=title))
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
        figure.data[0].source = pictures[step]
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
    picture = px.imshow(grey, binary_string=True, zmin=0, zmax=255)
    return str(picture.data[0].source)
