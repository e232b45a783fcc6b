"""What all figures of the course share: style, rows, panels with sliders, pages.

The figures themselves stand with what they show: in `gumbelrao_edu.experiments` those of the paper,
in `gumbelrao_edu.course` those of the notebooks.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .rows import COLORS
from .style import PALETTE, layout

if TYPE_CHECKING:
    from .diagrams import Arrow, Box, diagram
    from .panel import Panel, show, shown, slider
    from .traces import bars, curve, matrix, points, trace

__all__ = [
    "COLORS",
    "PALETTE",
    "Arrow",
    "Box",
    "Panel",
    "bars",
    "curve",
    "diagram",
    "layout",
    "matrix",
    "points",
    "show",
    "shown",
    "slider",
    "trace",
]

_MODULES = {
    **dict.fromkeys(("bars", "curve", "matrix", "points", "trace"), ".traces"),
    **dict.fromkeys(("Arrow", "Box", "diagram"), ".diagrams"),
}


def __getattr__(name: str) -> Any:
    # What needs ipywidgets and plotly is imported when it is asked for: the command line does
    # without them.
    if name in __all__:
        return getattr(importlib.import_module(_MODULES.get(name, ".panel"), __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
