"""How Sphinx makes the site; `build.py` calls it with the executed notebooks."""

import os
import sys
import tomllib
from pathlib import Path

DOCS = Path(os.environ["GUMBELRAO_DOCS"])
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS / "extensions"), str(ROOT)]

import not_found  # noqa: E402

meta = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
repository = meta["urls"]["Repository"]

project = "Gumbel-Rao"
author = "the authors of gumbelrao_edu"
copyright = "the authors; MIT licence"
html_title = "Gumbel-Rao, a course"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "house_docstrings",  # before napoleon, which reads what it writes
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "formulas",
    "head",
    "icons",
    "not_found",
    "tables",
]
exclude_patterns = ["_build"]
site_root = not_found.root(repository.removeprefix("https://github.com/"))

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4
html_math_renderer = "katex"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes_style"), ("Returned values", "params_style")]
default_role = "literal"

html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["katex.min.css", "figures.css", "site.css"]
html_js_files = [("live.js", {"defer": "defer"})]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_last_updated_fmt = None
html_theme_options = {
    "repository_url": repository,
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_sidenotes": False,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "show_prev_next": True,
}
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure"]
