"""What all figures of the course share: style, rows, panels with sliders, pages.

The figures themselves stand with what they show: in `gumbelrao_edu.experiments` those of the paper,
in `gumbelrao_edu.course` those of the notebooks.
"""

from .panel import Panel, show, slider
from .rows import COLORS
from .style import PALETTE, layout

__all__ = ["COLORS", "PALETTE", "Panel", "layout", "show", "slider"]
