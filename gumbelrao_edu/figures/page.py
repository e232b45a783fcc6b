"""A page with figures, which needs no network."""

from __future__ import annotations

import hashlib
import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go


def page(title: str, *parts: str) -> str:
    """Return a page.

    Args:
        title: plain text.
        parts: HTML, see `embedded`.

    Example:
        >>> page("Figure 1", "<p>None yet.</p>").splitlines()[-2:]
        ['<p>None yet.</p>', '</html>']
    """
    title = html.escape(title)
    head = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>'
    style = "<style>body {font-family: sans-serif; max-width: 1200px; margin: 2em auto}</style>"
    return "\n".join([head, style, f"<h1>{title}</h1>", *parts, "</html>\n"])


def embedded(figure: go.Figure, *, first: bool = True) -> str:
    """Return the HTML of a figure.

    Args:
        figure: is drawn.
        first: the first figure of a page brings plotly.js, 5 MB.

    Returns:
        The same text for the same figure. It names its element by what is drawn, so that the
        figures of a page have to differ.

    Example:
        >>> import plotly.graph_objects as go
        >>> len(embedded(go.Figure(), first=False)) < 10_000 < len(embedded(go.Figure()))
        True
    """
    name = f"figure-{hashlib.sha256(figure.to_json().encode()).hexdigest()[:16]}"
    options = {"full_html": False, "include_plotlyjs": first, "config": {"displaylogo": False}}
    drawn: str = figure.to_html(div_id=name, **options)
    return drawn
