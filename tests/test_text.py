"""The text of the notebooks: formulas that every viewer draws."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import pytest

SOURCES = sorted((Path(__file__).parents[1] / "notebooks" / "solutions").glob("*.py"))


def broken(markdown: str) -> list[str]:
    """Lines of quotes or tables in which a formula is begun and not ended, and what is left over.

    JupyterLab takes formulas out of the text before it reads it as Markdown. A formula over two
    lines of a quote then has a ">" in it.
    """
    code = re.sub(r"```.*?```|`[^`\n]*`", "", markdown, flags=re.S)
    lines = []
    for line in code.splitlines():
        begun = len(re.findall(r"(?<!\\)\$", line.replace("$$", ""))) % 2 or line.count("$$") % 2
        if begun and re.match(r"\s*[>|]", line):
            lines.append(line)
    outside = re.sub(r"\$\$.*?\$\$|(?<!\\)\$.*?(?<!\\)\$", "", code, flags=re.S)
    lines += [line for line in outside.splitlines() if re.search(r"\$|\\[a-zA-Z]{2,}", line)]
    return lines


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_formulas_are_whole(source: Path) -> None:
    cells = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "markdown"]
    assert cells
    assert [line for cell in cells for line in broken(cell)] == []


@pytest.mark.parametrize(
    "markdown",
    [
        "> **Proposition.** $a \\le\n> b$",
        "> $$a\n> + b$$",
        "a \\frac{1}{2} b",
        "price: 5$",
    ],
)
def test_broken_ones_are_noticed(markdown: str) -> None:
    assert broken(markdown)
    assert not broken("> $a \\le b$ and $$c$$\n\n$d\n+ e$ `x$y` \n1. $f$")
