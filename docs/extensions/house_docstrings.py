"""Docstrings are written as plain text; this turns them into what Sphinx reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SECTION = re.compile(
    r"(Args|Returns|Returned values|Raises|Example|Examples|Attributes|Yields|Source|Note):$"
)
# Beyond these, a star, a bar or an underscore at the end of a word would start markup.
MARKUP = re.compile(r"(?<!\\)([*|]|_(?=\W|$))")


def marked(text: str) -> str:
    """Escape what is no markup; what stands between backticks becomes code.

    >>> marked("logits `[*batch, n]`, times x*")
    'logits ``[*batch, n]``, times x\\\\*'
    """
    parts = re.split(r"(``.*?``|`[^`]*`)", text, flags=re.DOTALL)
    for number, part in enumerate(parts):
        if number % 2:
            parts[number] = f"``{part.strip('`')}``"
        else:
            parts[number] = MARKUP.sub(r"\\\1", part)
    return "".join(parts)


def named(lines: list[str]) -> list[str]:
    """Rename the section of what a function returns, where its values have names.

    Napoleon takes what stands before the first colon of `Returns:` for a type.

    >>> named(["Returns:", "    x: first,", "        and so on.", "    y: second."])
    ['Returned values:', '    x: first,', '        and so on.', '    y: second.']
    >>> named(["Returns:", "    The second and the first.", "    x: no name."])[0]
    'Returns:'
    """
    return [
        "Returned values:" if line == "Returns:" and re.match(r" +\w+: ", following) else line
        for line, following in zip(lines, [*lines, ""][1:], strict=True)
    ]


def converted(lines: list[str]) -> list[str]:
    """Return the lines of a docstring as reStructuredText with Google's sections."""
    lines = named(lines)
    blocks: list[tuple[bool, list[str]]] = []  # whether it is code, lines
    in_section = False
    previous = ""
    for line in lines:
        source = re.match(r"Source: (.*)", line)
        if source:
            line, rest = "Source:", f"    {source[1]}"
        indented = line.startswith(" ")
        if line and not indented:
            in_section = bool(SECTION.match(line))
        code = blocks[-1][0] if blocks else False
        if line.lstrip().startswith(">>>"):
            code = True
        elif not line.strip():
            code = False
        elif indented and not in_section:
            code = True
            if not previous.strip() and not (blocks and blocks[-1][0]):
                blocks.append((True, ["::", ""]))
        elif not (code and indented):
            code = False
        if in_section and code and not line.strip():
            code = False
        if not blocks or blocks[-1][0] != code:
            blocks.append((code, []))
        blocks[-1][1].append(line)
        if source:
            in_section = True
            blocks[-1][1].append(rest)
        previous = line
    result: list[str] = []
    for code, block in blocks:
        text = "\n".join(block)
        result += (text if code else marked(text)).split("\n")
    return result


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = converted(lines)


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    # Fields of a named tuple: their class says what they are.
    return True if str(obj.__doc__).startswith("Alias for field number") else None


def _returned(self: Any, preprocess_types: bool = False) -> list[tuple[str, str, list[str]]]:
    # Napoleon would take what stands before the first colon for a type.
    lines = self._dedent(self._consume_to_next_section())
    return [("", "", lines)] if lines else []


def setup(app: Sphinx) -> dict[str, Any]:
    from sphinx.ext.napoleon.docstring import GoogleDocstring

    GoogleDocstring._consume_returns_section = _returned  # type: ignore[method-assign]
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"version": "1", "parallel_read_safe": True}
