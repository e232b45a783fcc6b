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
    from .panel import Panel, show, shown, slider
    from .traces import bars, curve, points, trace

__all__ = [
    "COLORS",
    "PALETTE",
    "Panel",
    "bars",
    "curve",
    "layout",
    "points",
    "show",
    "shown",
    "slider",
    "trace",
]


def __getattr__(name: str) -> Any:
    # What needs ipywidgets and plotly is imported when it is asked for: the command line does
    # without them.
    if name in __all__:
        module = ".traces" if name in ("bars", "curve", "points", "trace") else ".panel"
        return getattr(importlib.import_module(module, __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
