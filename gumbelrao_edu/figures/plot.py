"""A live plotly figure with its caption, made to answer fast."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import plotly.graph_objects as go
import traitlets
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder


class Figure(go.Figure):  # type: ignore[misc]
    """A figure that knows which of its properties were set after it was made.

    plotly calls these three methods whenever a property is set; those of go.Figure do nothing.

    Example:
        >>> figure = Figure(go.Scatter(x=[1, 2], y=[3, 4]))
        >>> figure.data[0].y = [5, 6]
        >>> figure.moved()
        '{"0": {"y": [5, 6]}}'
    """

    def __init__(self, figure: go.Figure) -> None:
        self._names: defaultdict[int | str, set[str]] = defaultdict(set)
        super().__init__(figure)

    def moved(self) -> str:
        """Return those properties as they are now, by the index of their trace, as JSON."""
        return json.dumps(self.moved_properties(), cls=PlotlyJSONEncoder)

    def moved_properties(self) -> dict[int | str, dict[str, Any]]:
        """Return those properties as they are now, by the index of their trace or "layout"."""
        parts = {key: self.layout if key == "layout" else self.data[key] for key in self._names}
        return {
            key: {name: part[name] for name in sorted(self._names[key])}
            for key, part in parts.items()
        }

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


def _outermost(path: str) -> str:
    """error_y, of error_y.array"""
    return path.split(".")[0].split("[")[0]


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

    Attributes:
        caption: plain text, which screen readers speak when it changes.
        error: plain text, which they speak at once.

    Example:
        >>> figure = Figure(go.Scatter(y=[1, 2]))
        >>> plot = Plot(figure)
        >>> figure.data[0].y = [3, 4]
        >>> plot.draw()
    """

    caption = traitlets.Unicode().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)
    _library = traitlets.Instance(_PlotlyJs).tag(sync=True, **ipywidgets.widget_serialization)
    _figure = traitlets.Unicode().tag(sync=True)  # JSON, as it was at first
    _moved = traitlets.Unicode("{}").tag(sync=True)  # JSON, what has changed since

    _esm = Path(__file__).with_name("plot.js")
    _css = Path(__file__).with_name("figures.css")

    def __init__(self, figure: Figure) -> None:
        self._source = figure
        super().__init__(_library=_plotly_js(), _figure=figure.to_json())

    def draw(self) -> None:
        """Show the figure as it is now."""
        self._moved = self._source.moved()
