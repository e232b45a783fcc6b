"""The pages for teachers name sections that exist; terms are linked where they are first used."""

import copy
import re

import nbformat
import pytest
from conftest import ROOT
from crossrefs import (
    GLOSSARY,
    LINK,
    Term,
    course,
    for_site,
    link_terms,
    read_glossary,
    sections,
    slug,
)

COURSE = course()
PAGES = sorted((ROOT / "docs").glob("*.md"))
GUMBEL = Term(("Gumbel variable", "Gumbel"), "A random number.")
TRICK = Term(("Gumbel-max trick",), "Add, and take the largest.")
GS = Term(("Gumbel-Softmax", "GS"), "A soft choice.")


def notebook(*texts, tags=()):
    cells = [nbformat.v4.new_markdown_cell(text, metadata={"tags": list(tags)}) for text in texts]
    return nbformat.v4.new_notebook(cells=cells)


def linked(text, *terms):
    book = notebook(text)
    link_terms(book, terms or (GUMBEL, TRICK, GS))
    return book.cells[0].source


def test_sections_have_titles_and_places():
    book = notebook(
        "# 1 · One\n\ntext", "## 1 · A *b*\n\n# no, code follows", "### Exercise 2 · C?"
    )
    assert sections(book) == {
        "1 · One": "",
        "A *b*": "1--a-b",
        "no, code follows": "no-code-follows",
        "Exercise 2 · C?": "exercise-2--c",
    }
    with pytest.raises(ValueError, match="two sections are called 'A'"):
        sections(notebook("# 1 · One", "## 1 · A", "## 2 · A"))


@pytest.mark.parametrize(
    ("heading", "place"),
    [
        ("What is left as τ → 0", "what-is-left-as-τ--0"),
        ("4 · The way: equation (9)", "4--the-way-equation-9"),
    ],
)
def test_places_are_named_as_github_does(heading, place):
    assert slug(heading) == place


def test_a_link_gets_its_place():
    books = {"01_one": notebook("# 1 · One", "## 1 · A b")}
    page = "see [1 · One](../notebooks/01_one.ipynb), [A\nb](../notebooks/01_one.ipynb)"
    assert for_site(page, books) == (
        "see [1 · One](notebooks/01_one.ipynb), [A b](notebooks/01_one.ipynb#1--a-b)"
    )
    with pytest.raises(ValueError, match="01_one has no section 'B'"):
        for_site("[B](../notebooks/01_one.ipynb)", books)
    with pytest.raises(ValueError, match="there is no notebook 02_two"):
        for_site("[A b](../notebooks/02_two.ipynb)", books)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_section_that_a_page_names_exists(page):
    text = page.read_text("utf-8")
    made = for_site(text, COURSE)
    assert "../notebooks/" not in made
    assert made.count("](notebooks/") >= len(LINK.findall(text))


def test_every_term_says_where_it_is_introduced():
    terms = read_glossary(GLOSSARY.read_text("utf-8"))
    assert len(terms) > 40
    assert [term.names[0].lower() for term in terms] == sorted(
        term.names[0].lower() for term in terms
    )
    for term in terms:
        text, arrow, place = term.text.partition("\n→ ")
        assert text.strip().endswith("."), term.names
        assert arrow, term.names
        number, _, link = place.partition(" · ")
        assert LINK.fullmatch(link), term.names
        assert LINK.fullmatch(link)[2].startswith(f"0{number}_"), term.names
        assert 1 <= len(re.findall(r"\.(?=\s|$)", text)) <= 3, term.names


def test_the_form_of_the_glossary():
    page = "# Glossary\n\n:::{glossary}\na\nb\n  One\n  two.\n\nc\n  Three.\n:::\n"
    assert read_glossary(page) == [Term(("a", "b"), "One\ntwo."), Term(("c",), "Three.")]
    with pytest.raises(ValueError, match="more than once in the glossary: c"):
        read_glossary(page.replace("\nb\n", "\nc\n"))
    with pytest.raises(ValueError, match="expected a block"):
        read_glossary("# Glossary")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A Gumbel, a Gumbel.", "A {term}`Gumbel <Gumbel variable>`, a Gumbel."),
        ("Add Gumbels.", "Add {term}`Gumbels <Gumbel variable>`."),
        ("*the Gumbel-max\ntrick*", "*the {term}`Gumbel-max trick <Gumbel-max trick>`*"),
        ("Gumbel-free, GSM, gs, no-GS", "Gumbel-free, GSM, gs, no-GS"),
        (
            "`GS` and $GS$ and [GS](a) and GS",
            "`GS` and $GS$ and [GS](a) and {term}`GS <Gumbel-Softmax>`",
        ),
        ("$$\nGS\n$$ GS", "$$\nGS\n$$ {term}`GS <Gumbel-Softmax>`"),
        ("# GS\n\nGS", "# GS\n\n{term}`GS <Gumbel-Softmax>`"),
        ("# 1 · One\n\n*on\nGS*\n\nGS", "# 1 · One\n\n*on\nGS*\n\n{term}`GS <Gumbel-Softmax>`"),
        ("<b>GS</b>\nGS\n\nGS", "<b>GS</b>\nGS\n\n{term}`GS <Gumbel-Softmax>`"),
        ("```\nGS\n```\nGS", "```\nGS\n```\n{term}`GS <Gumbel-Softmax>`"),
    ],
)
def test_the_first_use_in_the_text_is_linked(text, expected):
    assert linked(text) == expected


def test_a_capital_letter_may_begin_a_term():
    assert linked("Bias", Term(("bias",), "")) == "{term}`Bias <bias>`"


def test_once_in_a_notebook_and_not_in_what_a_tool_writes():
    book = notebook("GS", "GS and Gumbel-Softmax")
    assert link_terms(book, [GS]) == ["Gumbel-Softmax"]
    assert [cell.source for cell in book.cells][1] == "GS and Gumbel-Softmax"
    made = notebook("GS", tags=["map"])
    assert link_terms(made, [GS]) == []


def test_each_notebook_of_the_course_uses_terms():
    terms = read_glossary(GLOSSARY.read_text("utf-8"))
    used = {}
    for name, source in COURSE.items():
        book = copy.deepcopy(source)
        used[name] = link_terms(book, terms)
        assert len(used[name]) == len(set(used[name])) >= 4, name
        # Nothing but the links has changed.
        for old, new in zip(source.cells, book.cells, strict=True):
            back = re.sub(r"\{term\}`([^`<]+) <[^`>]+>`", r"\1", new.source)
            assert back.split() == old.source.split()
    # The terms that an introduction is named for are linked there.
    assert "Gumbel-max trick" in used["01_gumbel_max"]
    assert {"Rao-Blackwellization", "straight-through Gumbel-Softmax"} <= set(used["03_gumbel_rao"])
    assert {"ELBO", "nat", "KL divergence"} <= set(used["07_discrete_vae"])
