"""Formulas as HTML, made at build time by KaTeX: a page needs no script to show them."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

HERE = Path(__file__).resolve().parent.parent


@functools.cache
def _node() -> subprocess.Popen[str]:
    command = ["node", str(HERE / "katex.mjs"), os.environ["GUMBELRAO_NODE_MODULES"]]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )


@functools.cache
def formula(tex: str, display: bool) -> str:
    """Return the HTML of a formula, with its MathML for screen readers."""
    node = _node()
    assert node.stdin is not None
    assert node.stdout is not None
    print(json.dumps({"tex": tex, "display": display}), file=node.stdin, flush=True)
    answer = json.loads(node.stdout.readline())
    if "error" in answer:
        raise ExtensionError(f"{tex}: {answer['error']}")
    return str(answer["html"])


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(formula(node.astext(), False))
    raise nodes.SkipNode


def _display(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula">{formula(node.astext(), True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("katex", (_inline, None), (_display, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
