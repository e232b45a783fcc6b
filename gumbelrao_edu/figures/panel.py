"""The panel: controls, one live figure, and a caption that says in words what it shows."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets
import plotly.graph_objects as go
from IPython.display import display

from .._checks import check_several
from .controls import Slider
from .plot import Figure, Plot
from .positions import Positions, positions_of
from .style import label

_COLUMNS = 90  # of a line of text
WIDGET = "application/vnd.jupyter.widget-view+json"

# By the id of the widget. Only ipywidgets keeps a panel alive, until it is closed.
_OPEN: weakref.WeakValueDictionary[str, Panel] = weakref.WeakValueDictionary()

if "google.colab" in sys.modules:  # Colab hides widgets of others until it is asked.
    importlib.import_module("google.colab.output").enable_custom_widget_manager()


def show(figure: go.Figure, alt: str) -> None:
    """Display a figure that does not change, with its alternative text as a visible caption.

    Args:
        figure: a plotly figure; axis labels and ``layout.height`` set, see `layout`.
        alt: one or two sentences that say what the figure shows.

    Example:
        >>> from gumbelrao_edu.figures import layout
        >>> show(go.Figure(layout=layout("x", "y")), "No data yet.")  # doctest: +ELLIPSIS
        Panel(...)
    """
    display(Panel(figure, alt=alt))  # type: ignore[no-untyped-call]


def shown() -> dict[str, Panel]:
    """Return the panels that were displayed and are not closed, by the id of their widget.

    Example:
        >>> panel = Panel(go.Figure(), alt="Nothing yet.")
        >>> panel in shown().values()
        False
    """
    return {id: panel for id, panel in _OPEN.items() if panel.displayed}


def slider(name: str, values: Sequence[float], value: float, *, tooltip: str) -> Slider:
    """Return a slider over the given values; it moves with the arrow keys.

    Args:
        name: what stands beside it.
        values: the positions, in order; ``math.inf`` reads ∞.
        value: where it starts, one of ``values``.
        tooltip: one sentence on what it changes.

    Raises:
        ValueError: for no values, or a ``value`` that is none of them.

    Example:
        >>> slider("K", [1, 10, float("inf")], 10, tooltip="inner samples").label
        '10'
    """
    options = [(label(v), v) for v in values]
    return Slider(options, value, description=name, tooltip=tooltip)


class Captions(list[str]):
    """Texts that a notebook shows with an empty line between them."""

    def __repr__(self) -> str:
        return "\n\n".join(self)


class Panel(ipywidgets.VBox):  # type: ignore[misc]
    """Controls, one live figure, and a caption that says in words what the figure shows.

    Whenever a control moves, ``draw(figure, **values)`` changes the figure in place and returns
    the caption. The caption is also the alternative text of the figure, and what is compared when
    a notebook is tested. An error in ``draw`` is shown in the panel, kept in ``errors`` and raised.

    Args:
        figure: the figure at its start, with all of its traces; the panel has a copy of its own.
        draw: changes ``figure`` and returns the caption; left out, the panel is changed from
            outside: ``with panel.update(): trace(panel.figure, "line").y = [...]`` and
            ``panel.say(...)``.
        alt: the first caption where there is no ``draw``.
        **controls: widgets with a ``value``; their names are the arguments of ``draw``.

    Example:
        >>> from gumbelrao_edu.figures import layout, trace
        >>> def draw(figure, *, power):
        ...     trace(figure, "x to a power").y = [x**power for x in range(4)]
        ...     return f"x to the power {power}, from 0 to {3**power}."
        >>> line = go.Scatter(name="x to a power", x=[0, 1, 2, 3])
        >>> figure = go.Figure(line, layout("x", "y"))
        >>> panel = Panel(figure, draw, power=slider("power", [1, 2], 1, tooltip="of x"))
        >>> panel.controls["power"].value = 2
        >>> trace(panel.figure, "x to a power").y, panel.caption
        ((0, 1, 4, 9), 'x to the power 2, from 0 to 9.')
    """

    def __init__(
        self,
        figure: go.Figure,
        draw: Callable[..., str] | None = None,
        *,
        alt: str = "",
        **controls: ipywidgets.Widget,
    ) -> None:
        super().__init__()
        self.displayed = False
        self.figure = Figure(figure)
        self.draw = draw
        self.controls = controls
        self.errors: list[str] = []
        self.plot = Plot(self.figure, self.model_id)
        self.add_class("gumbelrao-panel")
        self.children = [*controls.values(), self.plot]
        self.say(alt)
        for control in controls.values():
            control.observe(self._redraw, names="value")
        self._redraw()
        _OPEN[self.model_id] = self

    def close(self) -> None:
        """Remove the panel from the notebook, and with it what no other panel uses."""
        if self.comm is None:
            return
        _OPEN.pop(self.model_id, None)
        used = {child for panel in _OPEN.values() for child in panel.children}
        for child in self.children:
            if child in self.controls.values():
                child.unobserve(self._redraw, names="value")
            if child not in used:
                child.close()
        super().close()

    @property
    def caption(self) -> str:
        return str(self.plot.caption)

    def say(self, caption: str) -> None:
        """Set the caption, which is plain text."""
        values = {each.description: _written(each) for each in self.controls.values()}
        sliders = (each for each in self.controls.values() if isinstance(each, Slider))
        self.plot.say(caption, values, [each.index for each in sliders])

    def captions(self, **values: Sequence[Any]) -> Captions:
        """Return the captions at some positions of the controls, which are put back afterwards.

        Args:
            **values: by the name of a control, where it shall stand; of several, all combinations.

        Returns:
            Texts whose lines break between words. The first begins with a line that tells nothing:
            JupyterLab shows the first line of an output that is folded.

        Raises:
            TypeError, ValueError: for a name that no control has, a value that is none of its
                positions, or no values.

        Example:
            >>> def draw(figure, *, k):
            ...     return f"K is {k}."
            >>> panel = Panel(go.Figure(), draw, k=slider("K", [1, 2, 5], 1, tooltip="samples"))
            >>> panel.captions(k=[2, 5])
            The sentence under the figure:
            K is 2.
            <BLANKLINE>
            K is 5.
            >>> panel.caption
            'K is 1.'
        """
        if unknown := values.keys() - self.controls.keys():
            raise ValueError(f"values: expected names of {[*self.controls]}, got {sorted(unknown)}")
        places = [check_several(of, name, _as_it_is, "position") for name, of in values.items()]
        before = {name: self.controls[name].value for name in values}
        said = Captions()
        try:
            for combination in itertools.product(*places):
                for name, value in zip(values, combination, strict=True):
                    self.controls[name].value = value
                said.append(textwrap.fill(self.caption, _COLUMNS))
        finally:
            for name, value in before.items():
                self.controls[name].value = value
        said[0] = f"The sentence under the figure:\n{said[0]}"
        return said

    @contextmanager
    def update(self) -> Iterator[None]:
        """Draw the figure after the changes that are made inside, and show errors."""
        with self.plot.hold_sync():  # one message
            try:
                yield
                self.plot.draw()
                self.plot.error = ""
            except Exception as error:
                self.errors.append(traceback.format_exc())
                self.plot.error = f"This figure is not up to date: {type(error).__name__}: {error}"
                raise

    def frames(self) -> tuple[dict[str, Positions], Callable[..., str] | None]:
        """Return what a page without a kernel shows: positions of controls, and what draws them."""
        positions = {name: positions_of(control) for name, control in self.controls.items()}
        return positions if self.draw is not None else {}, self.draw

    def _redraw(self, change: object = None) -> None:
        if self.draw is not None:
            with self.update():
                values = {name: control.value for name, control in self.controls.items()}
                self.say(self.draw(self.figure, **values))

    # ipywidgets 7 displays through this method; None makes IPython use the bundle there too.
    _ipython_display_ = None

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the widget, and beside it what is shown where there is none.

        JupyterLab saves its picture in place of the widget, see `notebook.js`.
        """
        self.displayed = True
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        data = {WIDGET: view, "text/html": self.plot.still, "text/plain": self.caption}
        return data, {"gumbelrao_edu": {"panel": self.model_id}}


def _as_it_is(value: Any, name: str) -> Any:
    """A position is checked by its control."""
    return value


def _written(control: Any) -> str:
    """What a control stands at."""
    return control.label if isinstance(control, Slider) else str(control.value)
