"""Where a control can stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .controls import Choice, Slider


class Positions(NamedTuple):
    """A control, as a page without a kernel shows it.

    Attributes:
        kind: "slider", "choice", or "player", a slider with a button that moves it.
        name: what stands beside it.
        tooltip: one sentence on what it changes.
        options: the positions in order, each as what is written and the value.
        start: the number of the one where it stands.
    """

    kind: str
    name: str
    tooltip: str
    options: Sequence[tuple[str, Any]]
    start: int


def positions_of(control: Any) -> Positions:
    """Return the positions of a control with a `value`.

    Args:
        control: a slider or a choice of this package, or another widget; with an attribute
            ``examples``, a page without a kernel offers these values.

    Raises:
        TypeError: if the widget is neither of these.

    Example:
        >>> from gumbelrao_edu.figures import slider
        >>> positions_of(slider("K", [1, 10], 10, tooltip="samples")).options
        (('1', 1), ('10', 10))
    """
    examples = getattr(control, "examples", None)
    if examples is None and not hasattr(control, "index"):
        raise TypeError(
            f"control: expected a slider, a choice, or a widget with examples, got {control!r}"
        )
    given = examples or control.options
    options = tuple(given.items() if isinstance(given, Mapping) else given)
    # As ipywidgets has it: pairs only where all are pairs.
    if examples or not all(isinstance(each, tuple | list) and len(each) == 2 for each in options):
        options = tuple((str(value), value) for value in options)
    else:
        options = tuple((str(text), value) for text, value in options)
    values = [value for _, value in options]
    slides = isinstance(control, Slider) and not isinstance(control, Choice)
    kind = "slider" if slides else "choice"
    start = values.index(control.value) if control.value in values else 0
    tooltip = str(control.tooltip or "")
    return Positions(kind, str(control.description), tooltip, options, start)
