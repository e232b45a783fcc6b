"""The interactive figures of the course, and what they share.

Import a demonstration from its own module, for example
``from gumbelrao_edu.widgets.estimates import estimates``.
"""

from gumbelrao_edu.widgets._base import COLORS, PALETTE, Panel, layout, show, slider

__all__ = ["COLORS", "PALETTE", "Panel", "layout", "show", "slider"]
