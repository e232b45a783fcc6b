"""The empty corner of a table is no heading, and a screen reader would announce one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def corners(html: str) -> str:
    """Make cells of the headings that say nothing.

    >>> corners('<tr><th class="head"><p></p></th><th></th><th>x</th></tr>')
    '<tr><td></td><td></td><th>x</th></tr>'
    """
    return re.sub(r"<th\b[^>]*>\s*(<p>\s*</p>)?\s*</th>", "<td></td>", html)


def _page(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    if "body" in context:
        context["body"] = corners(context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", _page)
    return {"version": "1", "parallel_read_safe": True}
