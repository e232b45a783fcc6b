"""Writes the README's table of estimators from their registry.

python tools/readme.py            rewrites the table
python tools/readme.py --check    fails if it has drifted
"""

import argparse
import inspect
import re
import sys
from pathlib import Path

from gumbelrao_edu import estimators
from gumbelrao_edu.estimators import Record

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- estimators: written by tools/readme.py -->\n", "<!-- end of estimators -->"


def call(record: Record) -> str:
    """How it is called, with the arguments that have no default.

    Example:
        >>> call(estimators.get("gumbel_rao"))
        'gumbel_rao(logits, tau=…, k=…)'
    """
    needed = [
        f"{name}=…" if parameter.kind is parameter.KEYWORD_ONLY else name
        for name, parameter in inspect.signature(record.function).parameters.items()
        if parameter.default is parameter.empty
    ]
    return f"{record.name}({', '.join(needed)})"


def mean(record: Record) -> str:
    if record.kind == "enumeration":
        return "exact, without variance"
    if record.mean == record.name:
        return "its own"
    return "exact" if record.unbiased else f"that of `{record.mean}`"


def place(record: Record) -> tuple[int, str]:
    """By equation, then by year: both are the first number in parentheses."""
    number = re.search(r"\((\d+)\)", record.equation)
    return int(number[1]) if number else sys.maxsize, record.name


def table() -> str:
    """Returns a row in Markdown for every estimator."""
    lines = ["| function | what it does | from | its mean |", "|---|---|---|---|"]
    for record in sorted(map(estimators.get, estimators.names()), key=place):
        about = (record.function.__doc__ or "").partition("\n")[0].removesuffix(".")
        cells = (f"`{call(record)}`", about, record.equation, mean(record))
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def wanted(text: str) -> str:
    """Returns the README with the table as it should be."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"README.md lacks the line {BEGIN.strip()} or {END}")
    return before + begin + table() + end + after


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    text = README.read_text(encoding="utf-8")
    if text == wanted(text):
        return
    if check:
        sys.exit("The table of estimators in README.md has drifted: run python tools/readme.py")
    README.write_text(wanted(text), encoding="utf-8")
    print("wrote README.md")


if __name__ == "__main__":
    main()
