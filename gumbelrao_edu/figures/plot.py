"""A live plotly figure with its caption, made to answer fast."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from . import still

_FIXED = (
    "A panel has the same traces all the time: give it all of them at its start, and in `draw` "
    "change their data, which may be empty, or their `visible`."
)


class Figure(go.Figure):  # type: ignore[misc]
    """A figure that knows which of its properties were set after it was made.

    plotly calls the methods `_send_…` whenever a property is set; those of go.Figure do nothing.
    Its traces stay the same ones, since the browser is sent their properties only.

    Raises:
        ValueError: if a trace is added, removed or moved, or frames are set.

    Example:
        >>> from gumbelrao_edu.figures import trace
        >>> figure = Figure(go.Figure(go.Scatter(name="line", x=[1, 2], y=[3, 4])))
        >>> trace(figure, "line").y = [5, 6]
        >>> figure.moved()
        '{"0": {"y": [5, 6]}}'
    """

    def __init__(self, figure: go.Figure) -> None:
        self._names: defaultdict[int | str, set[str]] = defaultdict(set)
        super().__init__(figure)
        # Of a change inside of an array or a list of lists plotly says nothing: these are compared.
        self._nested = {
            (key, name): json.dumps(value, cls=PlotlyJSONEncoder)
            for key, part in self._parts().items()
            for name, value in part.to_plotly_json().items()
            if name != "template" and _changes_unheard(value)
        }

    def _parts(self) -> dict[int | str, Any]:
        return {**dict(enumerate(self.data)), "layout": self.layout}

    def moved(self) -> str:
        """Return those properties as they are now, by the index of their trace, as JSON."""
        return json.dumps(self.moved_properties(), cls=PlotlyJSONEncoder)

    def moved_properties(self) -> dict[int | str, dict[str, Any]]:
        """Return those properties as they are now, by the index of their trace or "layout"."""
        parts = self._parts()
        for (key, name), before in self._nested.items():
            known = name in self._names[key]
            if not known and json.dumps(parts[key][name], cls=PlotlyJSONEncoder) != before:
                self._names[key].add(name)
        return {
            key: {name: parts[key][name] for name in sorted(names)}
            for key, names in self._names.items()
            if names
        }

    def add_traces(self, data: Any, *args: Any, **options: Any) -> Any:
        raise ValueError(f"data: a trace was added. {_FIXED}")

    @property
    def data(self) -> Any:
        return super().data

    @data.setter
    def data(self, traces: Sequence[Any] | None) -> None:
        if [*map(id, traces or ())] != [*map(id, self.data)]:
            raise ValueError(f"data: traces were removed, replaced or moved. {_FIXED}")

    @property
    def layout(self) -> Any:
        return super().layout

    @layout.setter
    def layout(self, layout: Any) -> None:
        self._names["layout"] |= set(self.layout.to_plotly_json())  # what is no longer there
        go.Figure.layout.fset(self, layout)

    @property
    def frames(self) -> Any:
        return super().frames

    @frames.setter
    def frames(self, frames: Any) -> None:
        raise ValueError("frames: a panel shows none; change the figure when a control moves")

    def _send_restyle_msg(
        self, style: Iterable[str], trace_indexes: Any = None, source_view_id: Any = None
    ) -> None:
        for index in self._normalize_trace_indexes(trace_indexes):
            self._names[index] |= {_outermost(path) for path in style}

    def _send_relayout_msg(self, layout: Iterable[str], source_view_id: Any = None) -> None:
        self._names["layout"] |= {_outermost(path) for path in layout}

    def _send_update_msg(
        self,
        restyle_data: Iterable[str],
        relayout_data: Iterable[str],
        trace_indexes: Any = None,
        source_view_id: Any = None,
    ) -> None:
        self._send_restyle_msg(restyle_data, trace_indexes)
        self._send_relayout_msg(relayout_data)


def _changes_unheard(value: Any) -> bool:
    """Whether something is inside that can be changed without plotly's being told."""
    if isinstance(value, dict):
        return any(map(_changes_unheard, value.values()))
    if isinstance(value, list):
        return any(isinstance(each, list) for each in value)
    return isinstance(value, np.ndarray)


def _outermost(path: str) -> str:
    """error_y, of error_y.array"""
    return path.split(".")[0].split("[")[0]


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


class _PlotlyJs(ipywidgets.Widget):  # type: ignore[misc]
    """plotly.js, of which the browser needs one copy however many figures there are."""

    source = traitlets.Unicode().tag(sync=True)


@functools.cache
def _plotly_js() -> _PlotlyJs:
    return _PlotlyJs(source=get_plotlyjs())


class Plot(anywidget.AnyWidget):
    """A figure on show, with its caption and an error message under it.

    plotly's FigureWidget does more: it reports to the kernel what it has drawn. The next move has
    to wait for that, and each figure loads a plotly.js of its own.

    Args:
        figure: what is shown, after `draw` with its changes.
        panel: the id of the widget that it is a part of.

    Attributes:
        caption: plain text, which screen readers speak when it changes.
        error: plain text, which they speak at once.

    Example:
        >>> from gumbelrao_edu.figures import trace
        >>> figure = Figure(go.Figure(go.Scatter(name="line", y=[1, 2])))
        >>> plot = Plot(figure)
        >>> trace(figure, "line").y = [3, 4]
        >>> plot.draw()
    """

    caption = traitlets.Unicode().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)
    _library = traitlets.Instance(_PlotlyJs).tag(sync=True, **ipywidgets.widget_serialization)
    _figure = traitlets.Unicode().tag(sync=True)  # JSON, as it was at first
    _moved = traitlets.Unicode("{}").tag(sync=True)  # JSON, what has changed since
    _panel = traitlets.Unicode().tag(sync=True)  # the id of the widget that is displayed
    # What a saved notebook shows, and where the sliders stood when the figure was drawn.
    _still: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)

    # The text: anywidget would watch a file, and keep every widget alive for it.
    _esm = _text("phone.js") + _text("plot.js").replace(
        "export default { render };", _text("notebook.js")
    )
    _css = _text("figures.css")

    def __init__(self, figure: Figure, panel: str = "") -> None:
        self._source = figure
        super().__init__(_library=_plotly_js(), _figure=figure.to_json(), _panel=panel)

    def draw(self) -> None:
        """Show the figure as it is now."""
        self._moved = self._source.moved()

    def say(self, caption: str, values: Mapping[str, str], positions: Sequence[int]) -> None:
        """Set the caption.

        Args:
            caption: plain text.
            values: what each control stands at, by its name.
            positions: the numbers of the positions of the sliders.
        """
        self.caption = caption
        self._still = {"html": still.still(caption, values), "positions": list(positions)}

    @property
    def still(self) -> str:
        """What is shown where the figure cannot be drawn, as HTML."""
        return str(self._still["html"])
