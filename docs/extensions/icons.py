"""The icons that the pages have, in place of the theme's script with all of Font Awesome.

The theme loads that script, 1.5 MB, on each page to draw a dozen icons. What a site brings itself
takes the place of a theme's file; this one is written when all pages are there, and has the icons
that they name.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent.parent
SCRIPT = "_static/scripts/fontawesome.js"  # the theme's

# The kind of an icon, and then its name; what else stands there says how large it is.
ICON = re.compile(
    r"""<(?:i|span)\s[^>]*?class=["'][^"']*?\b(?:fas|fab|fa-solid|fa-brands)\s+fa-([a-z0-9-]+)"""
)


def names(html: str) -> set[str]:
    """Return the icons that a page names.

    >>> sorted(names('<i class="theme-switch fa-solid fa-sun fa-lg"></i><span class="fab fa-x"/>'))
    ['sun', 'x']
    """
    return set(ICON.findall(html))


def script(wanted: set[str], modules: str) -> str:
    """Return the script that draws these icons.

    Raises:
        RuntimeError: if Font Awesome does not have one of them.
    """
    command = ["node", str(HERE / "icons.mjs"), modules, *sorted(wanted)]
    drawings = json.loads(subprocess.check_output(command, text=True, encoding="utf-8"))
    if lacking := wanted - drawings.keys():
        raise RuntimeError(f"Font Awesome has no icon {', '.join(sorted(lacking))}")
    licence, _, code = (HERE / "icons.js").read_text("utf-8").partition("\n")
    known = json.dumps(drawings, separators=(",", ":"))
    return f"{licence}\n(() => {{\nconst icons = {known};\n{code}}})();\n"


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    if not (site / SCRIPT).exists():
        raise RuntimeError(f"the theme has no {SCRIPT} any more: see {Path(__file__).name}")
    wanted: set[str] = set()
    for page in site.rglob("*.html"):
        wanted |= names(page.read_text("utf-8"))
    modules = os.environ["GUMBELRAO_NODE_MODULES"]
    (site / SCRIPT).write_text(script(wanted, modules), "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", _finish)
    return {"version": "1", "parallel_read_safe": True}
