"""Trainings side by side: live loss curves with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import ipywidgets
import plotly.graph_objects as go

from ..figures.panel import Panel
from ..figures.positions import Positions
from ..figures.style import Styled, layout
from ..figures.traces import curve, trace
from ..training.errors import TrainingDivergedError
from ..training.loop import Callback, Training

_SECONDS_BETWEEN_REDRAWS = 0.4


class LiveTraining(Panel):
    """Train several models side by side, turn by turn, and draw their curves while they train.

    Args:
        trainings: by the name to show.
        looks: of the curves, by the same names: rows of `figures.rows`, or others' `style.Look`.
        value: which entry of each training's history is drawn.
        label: what that is, for the vertical axis.

    Attributes:
        seconds: of CPU time that each training has taken so far, its callbacks included.
        diverged: the names of the trainings that have diverged; the others go on without them.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1)
        >>> square = lambda model, x: ((model(x) - 2 * x) ** 2).mean()
        >>> training = Training(model, square, torch.ones(9, 1), batch_size=3, learning_rate=0.1)
        >>> from gumbelrao_edu.figures.style import OURS
        >>> live = LiveTraining({"SGD": training}, {"SGD": OURS}, label="squared error")
        >>> live.run(until=200)
        >>> live.caption
        'Step 200 of 200: squared error 0.00 (SGD).'
    """

    def __init__(
        self,
        trainings: Mapping[str, Training],
        looks: Mapping[str, Styled],
        *,
        value: str = "loss",
        label: str = "loss",
    ) -> None:
        self.trainings, self.value, self.label = trainings, value, label
        self.seconds = dict.fromkeys(trainings, 0.0)
        self.diverged: list[str] = []
        self._drawn_at = 0.0
        curves = [curve(name, looks[name], mode="lines+markers") for name in trainings]
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
                    ended = dict.fromkeys(self.diverged, until)  # nothing is left to do there
                    done = {name: each.step for name, each in self.trainings.items()} | ended
                    self._bar.value = sum(done.values())
                if time.monotonic() - self._drawn_at > _SECONDS_BETWEEN_REDRAWS:
                    self._draw(until)
        finally:
            self._draw(until)

    def need(self, step: int) -> None:
        """Refuse to go on before all trainings that have not diverged are at a step.

        Raises:
            RuntimeError: if one was stopped before.
        """
        if (least := min((each.step for each in self._going().values()), default=step)) < step:
            raise RuntimeError(
                f"The training was stopped at step {least:,}, and from here on step {step:,} is "
                "needed. Run its cell again: it goes on from there."
            )

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
        for name, training in self.trainings.items():
            rows = [row for row in training.history if row["step"] <= drawn]
            x, y = [row["step"] for row in rows], [row[self.value] for row in rows]
            trace(figure, name).update(x=x, y=y)
            latest += [f"{row[self.value]:.2f} ({name})" for row in rows[-1:]]
            if name in self.diverged and training.step < drawn:
                ended.append(f" {name} has diverged at step {training.step + 1:,}.")
        if not latest:
            return ""
        return f"Step {step:,} of {until:,}: {self.label} {', '.join(latest)}.{''.join(ended)}"
