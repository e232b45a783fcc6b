"""The page for addresses that lead nowhere: its own addresses begin at the root of the site.

GitHub Pages answers with 404.html at whatever depth the wrong address is, so that none of its links
may depend on where it stands.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PAGE = "404"

# Relative addresses: neither a host, nor a place on the page itself.
ADDRESS = re.compile(r'(<[^>]*?\s(?:href|src|action|data-content_root)=")(?![a-z]+:|[/#])([^"]*")')


def root(repository: str) -> str:
    """Where GitHub Pages puts the site of a repository, without the host.

    >>> root("owner/name"), root("owner/Owner.github.io")
    ('/name/', '/')
    """
    owner, name = repository.rstrip("/").split("/")[-2:]
    return "/" if name.lower() == f"{owner.lower()}.github.io" else f"/{name}/"


def absolute(html: str, base: str) -> str:
    """Make relative addresses begin at the root of the site.

    >>> absolute('<a href="a/b.html#c"></a><a href="#d"></a><img src="e.svg">', "/name/")
    '<a href="/name/a/b.html#c"></a><a href="#d"></a><img src="/name/e.svg">'
    """
    return ADDRESS.sub(lambda found: found[1] + urljoin(base, found[2]), html)


def _finish(app: Sphinx, error: Exception | None) -> None:
    page = Path(app.outdir) / f"{PAGE}.html"
    if error is None and page.exists():
        page.write_text(absolute(page.read_text("utf-8"), app.config.site_root), "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("site_root", "/", "html", (str,))
    app.connect("build-finished", _finish)
    return {"version": "1", "parallel_read_safe": True}
