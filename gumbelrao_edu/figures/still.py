"""What stands for a panel where there is no kernel: its picture, values and caption as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape as _safe

_CAPTION = '<figcaption style="line-height: 1.4">'


def still(caption: str, values: Mapping[str, str] | None = None) -> str:
    """Return a figure that does not move, as HTML; a picture is put before its caption.

    Args:
        caption: plain text.
        values: what each control stands at, by its name.

    Example:
        >>> still("A line.", {"K": "10"})
        '<figure style="margin: 0"><p>K: <b>10</b></p><figcaption style="line-height: 1.4">A line.\
</figcaption></figure>'
    """
    pairs = [f"{_safe(name)}: <b>{_safe(text)}</b>" for name, text in (values or {}).items()]
    said = f"<p>{', '.join(pairs)}</p>" if pairs else ""
    return f'<figure style="margin: 0">{said}{_CAPTION}{_safe(caption)}</figcaption></figure>'
