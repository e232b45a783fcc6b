"""Sliders and choices, which screen readers can name and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets


class _Value(traitlets.TraitType[Any, Any]):
    """One of the values of a slider's options."""

    def validate(self, slider: Slider, value: Any) -> Any:
        for _, known in slider.options:
            if known == value:
                return known
        values = [known for _, known in slider.options]
        raise ValueError(f"{slider.description}: expected one of {values}, got {value!r}")


class Slider(anywidget.AnyWidget):
    """A slider over given positions: the browser's own, with its keys and its roles.

    That of ipywidgets has no accessible name, and is read as the number of the position. Moves made
    while the last one is being answered are not lost, but only the newest of them is sent.

    Args:
        options: the positions in order, each as what is written and the value.
        value: where it starts, one of the values.
        description: what is written beside it, its accessible name.
        tooltip: one sentence on what it changes.

    Attributes:
        value: the value of the current position; can be set.
        index: the number of the current position; can be set.
        label: what is written for it.

    Raises:
        ValueError: for no options, or a value or an index without a position.

    Example:
        >>> control = Slider([("low", 0.1), ("high", 2.0)], 2.0, description="τ", tooltip="Heat.")
        >>> control.index = 0
        >>> control.value, control.label
        (0.1, 'low')
    """

    description = traitlets.Unicode().tag(sync=True)
    tooltip = traitlets.Unicode().tag(sync=True)
    # The browser gets texts and a number: JSON has no infinity.
    _labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    # Without an echo to whoever moved it, which is a message less to wait for.
    index = traitlets.Int().tag(sync=True, echo_update=False)
    value = _Value()

    _esm = Path(__file__).with_name("slider.js").read_text("utf-8")
    _css = Path(__file__).with_name("figures.css").read_text("utf-8")

    def __init__(
        self, options: Sequence[tuple[str, Any]], value: Any, *, description: str, tooltip: str
    ) -> None:
        if not options:
            raise ValueError("options: expected at least one position, got none")
        self.options = tuple(options)
        super().__init__(
            description=description,
            value=value,
            tooltip=tooltip,
            _labels=[text for text, _ in self.options],
        )

    @property
    def label(self) -> str:
        return self.options[self.index][0]

    @traitlets.validate("index")
    def _is_a_position(self, proposal: dict[str, Any]) -> int:
        index: int = proposal["value"]
        if not 0 <= index < len(self.options):
            raise ValueError(
                f"{self.description}: expected an index from 0 to {len(self.options) - 1}, "
                f"got {index}"
            )
        return index

    @traitlets.observe("value")
    def _follow_value(self, change: dict[str, Any]) -> None:
        self.index = [value for _, value in self.options].index(change["new"])

    @traitlets.observe("index")
    def _follow_index(self, change: dict[str, Any]) -> None:
        self.value = self.options[change["new"]][1]


class Choice(Slider):
    """A list to choose from, for positions whose texts are long; as a slider in all else.

    Example:
        >>> options = [("with draws", True), ("without", False)]
        >>> control = Choice(options, True, description="derivative", tooltip="Which one.")
        >>> control.value = False
        >>> control.label
        'without'
    """

    _esm = Path(__file__).with_name("choice.js").read_text("utf-8")
