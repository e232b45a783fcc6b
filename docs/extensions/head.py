"""The head of a page: what it says where its address is shared, and how it looks at first."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ABOUT = "A course and a library: gradients with less noise for networks that make discrete choices."
PICTURE = "_static/live.png"


def about(body: str) -> str:
    """What a notebook is about, by the line under its title; else what the site is.

    >>> about("<h1>1 · Gumbel-max</h1>\\n<p><em>how to <b>draw</b></em></p>"), about("<p></p>")[:8]
    ('How to draw', 'A course')
    """
    line = re.search(r"</h1>\s*<p><em>(.*?)</em></p>", body, re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]*>", "", line[1])) if line else ABOUT
    return text[:1].upper() + text[1:]


def card(title: str, description: str, image: str) -> str:
    """The tags that other sites read to show a page.

    >>> card("a & b", "c", "https://d/e.png").splitlines()[0]
    '<meta property="og:title" content="a &amp; b">'
    """
    tags = {"title": title, "description": description, "image": image, "type": "website"}
    return "\n".join(
        f'<meta property="og:{name}" content="{html.escape(text)}">' for name, text in tags.items()
    )


def _page(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    tags = context.get("metatags", "")
    said = re.search(r'<meta content="([^"]*)" name="description"', tags)
    description = html.unescape(said[1]) if said else about(context.get("body", ""))
    if not said:
        tags += f'\n<meta content="{html.escape(description)}" name="description" />'
    owner = app.config.html_theme_options["repository_url"].split("/")[-2]
    image = urljoin(f"https://{owner.lower()}.github.io{app.config.site_root}", PICTURE)
    title = html.unescape(re.sub(r"<[^>]*>", "", context.get("title", ""))) or app.config.html_title
    context["metatags"] = f"{tags}\n{card(title, description, image)}\n"


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Pages are light until a script chooses: else some parts would be, and some dark."""
    if error is None:
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text("utf-8")
            page.write_text(text.replace("<html ", '<html data-theme="light" ', 1), "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", _page)
    app.connect("build-finished", _finish)
    return {"version": "1", "parallel_read_safe": True}
