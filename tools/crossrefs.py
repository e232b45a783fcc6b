"""Links between the pages of docs/ and the notebooks: sections by their titles, terms by their use.

A page of docs/ names a notebook or one of its sections in the text of a link:

    [The trick](../notebooks/01_gumbel_max.ipynb)

and `for_site` adds the place in the notebook. `link_terms` makes the first use of each term of the
glossary in a notebook a link to it. Neither changes a source: what builds the site calls them.

    python tools/crossrefs.py    writes the minutes of the notebooks into docs/teaching.md
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from notebooks import SOLUTIONS, find, read_script, tags, title

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
GUIDE = ROOT / "docs" / "teaching.md"

HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(\.\./notebooks/([\w/]+)\.ipynb\)")

# What is no running text.
NOT_TEXT = re.compile(
    "|".join(
        [
            r"\A# [^\n]*\n\n\*[^*]*\*",  # a notebook's title, and what it is about
            r"^#{1,6} [^\n]*$",  # headings
            r"```.*?```|`+[^`]*`+",  # code
            r"\$\$.*?\$\$|\$[^$\n]*(?:\n[^$\n]+)*?\$",  # formulas
            r"\[[^\]]*\]\([^)]*\)",  # links
            r"^<.*?(?:\n\s*\n|\Z)",  # HTML, up to an empty line
        ]
    ),
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Term:
    """An entry of the glossary.

    Attributes:
        names: what it is called; the first one is the one to link to.
        text: what it means, as Markdown.
    """

    names: tuple[str, ...]
    text: str


def sections(notebook: NotebookNode) -> dict[str, str]:
    """Return the place of each section of a notebook, by its title.

    The notebook's own title keeps its number, as in "1 · The Gumbel-max trick", and has an empty
    place; the others lose theirs.

    Raises:
        ValueError: if two sections have the same title.
    """
    found: dict[str, str] = {}
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for heading in HEADING.findall(cell.source):
            title = re.sub(r"^\d+ · ", "", heading) if found else heading
            if title in found:
                raise ValueError(f"two sections are called {title!r}")
            found[title] = slug(heading) if found else ""
    return found


def slug(heading: str) -> str:
    """Return the name that GitHub and MyST give to the place of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace(" ", "-"))


def course() -> dict[str, NotebookNode]:
    """Return the sources of all notebooks, by the name of the file."""
    return {path.stem: read_script(path) for path in find(ROOT / "notebooks" / SOLUTIONS, [])}


def for_site(text: str, notebooks: Mapping[str, NotebookNode]) -> str:
    """Return a page of docs/ as it is on the site, where the notebooks lie one folder down.

    Args:
        text: the page.
        notebooks: by the name of the file.

    Raises:
        ValueError: if a link leads to a notebook or a section that is not there.
    """
    places = {name: sections(notebook) for name, notebook in notebooks.items()}

    def replace(match: re.Match[str]) -> str:
        title, name = " ".join(match[1].split()), match[2]
        if name not in places:
            raise ValueError(f"{match[0]}: there is no notebook {name}")
        if title not in places[name]:
            raise ValueError(f"{match[0]}: {name} has no section {title!r}")
        place = places[name][title]
        return f"[{title}](notebooks/{name}.ipynb{'#' if place else ''}{place})"

    return LINK.sub(replace, text)


def read_glossary(text: str) -> list[Term]:
    """Return the entries of a page with a MyST glossary.

    Raises:
        ValueError: if it has none, or a name stands twice.
    """
    block = re.search(r"^:::\{glossary\}\n(.*?)^:::$", text, re.DOTALL | re.MULTILINE)
    if block is None:
        raise ValueError("expected a block that begins with :::{glossary} and ends with :::")
    terms = []
    for entry in re.split(r"\n\s*\n", block[1].strip("\n")):
        lines = entry.split("\n")
        names = tuple(line for line in lines if not line.startswith(" "))
        terms.append(Term(names, "\n".join(line.strip() for line in lines[len(names) :])))
    every = [name for term in terms for name in term.names]
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice:
        raise ValueError(f"more than once in the glossary: {', '.join(twice)}")
    return terms


def link_terms(notebook: NotebookNode, terms: Iterable[Term]) -> list[str]:
    """Make the first use of each term in a notebook's text a link to the glossary, in place.

    A name is found with a small or a capital letter in front and with an s at the end. Headings,
    formulas, code, links and the cells that a tool writes stay as they are.

    Args:
        notebook: with Markdown as MyST reads it.
        terms: of the glossary.

    Returns:
        The first name of each term that was linked.
    """
    meant = {name.lower(): term.names[0] for term in terms for name in term.names}
    longest_first = sorted(meant, key=len, reverse=True)
    names = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in longest_first)
    use = re.compile(rf"(?<![\w-])({names})s?(?![\w-])", re.IGNORECASE)
    exact = {name for term in terms for name in term.names}
    linked: list[str] = []

    def link(match: re.Match[str]) -> str:
        written = " ".join(match[1].split())
        name = meant[written.lower()]
        # GS is a term, gs is not; Bias is the term bias.
        if name in linked or exact.isdisjoint({written, written[0].lower() + written[1:]}):
            return match[0]
        linked.append(name)
        return f"{{term}}`{' '.join(match[0].split())} <{name}>`"

    for cell in notebook.cells:
        if cell.cell_type == "markdown" and not {"links", "map"}.intersection(tags(cell)):
            cell.source = in_text(cell.source, use, link)
    return linked


def in_text(source: str, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str]) -> str:
    """Replace what a pattern finds in the running text of Markdown."""
    parts, end = [], 0
    for other in NOT_TEXT.finditer(source):
        parts += [pattern.sub(replace, source[end : other.start()]), other[0]]
        end = other.end()
    return "".join([*parts, pattern.sub(replace, source[end:])])


def minutes(notebooks: Mapping[str, NotebookNode]) -> str:
    """Return the table of the notebooks and the minutes that each says it takes."""
    rows = ["| Notebook | Minutes alone |", "|---|---|"]
    for name, notebook in notebooks.items():
        told = title(notebook)
        link = f"[{told.number} · {told.name}](../notebooks/{name}.ipynb)"
        rows.append(f"| {link} | {told.minutes} |")
    return "\n".join(rows)


def with_table(text: str, name: str, table: str) -> str:
    """Return a page with a table between its two comments.

    Raises:
        ValueError: if the page does not have them.
    """
    place = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"the page has no place for the table {name!r}")
    return place.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", text)


def main() -> None:
    text = GUIDE.read_text("utf-8")
    GUIDE.write_text(with_table(text, "minutes", minutes(course())), "utf-8")


if __name__ == "__main__":
    main()
