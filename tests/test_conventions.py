"""What all notebooks have: hints, questions with answers, what to read, answers not given away."""

import ast
import itertools
import re

import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from notebook_files import SOURCES, read

from notebooks import HIDE, for_learners, read_script, tags

# The notebooks that keep the conventions of CONTRIBUTING, "Notebooks"; at the end, all.
KEEP = ("00", "01", "02", "03", "04", "05", "06", "07", "08")
KEPT = [source for source in SOURCES if source.stem.startswith(KEEP)]

FOLDED = re.compile(r"<details><summary>([^<$]+)</summary>\n\n(.+?)\n\n</details>", re.DOTALL)
MOVES = re.compile(r"\.controls\[.+\]\.(value|index)\s*=(?!=)")
PRINTS = re.compile(r"def \w+\(name, numbers\b")

each = pytest.mark.parametrize("source", KEPT, ids=lambda source: source.stem)


def cells_of(source):
    """As learners read it, with the stored outputs."""
    stored = for_learners(read_script(source)).cells
    built = list(read(source.parents[1] / source.name).cells)
    assert [cell.source for cell in built] == [cell.source for cell in stored], "run make notebooks"
    return built


def badly_folded(cells):
    """Markdown cells with a `details` in another form: some viewers show formulas in it raw."""
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return [
        text
        for text in texts
        if len(FOLDED.findall(text)) != text.count("<details")
        or text.count("<details") != text.count("</details>")
    ]


def without_hint(cells):
    """Exercises whose text does not end with one hint."""
    missing = []
    for number, cell in enumerate(cells):
        if "exercise" in tags(cell):
            text = next(c for c in cells[number::-1] if c.cell_type == "markdown").source
            hints = [name for name, _ in FOLDED.findall(text) if name == "Hint"]
            if hints != ["Hint"] or not text.endswith("</details>") or "### Exercise" not in text:
                missing.append(text)
    return missing


def section(cells, heading):
    (text,) = [cell.source for cell in cells if cell.source.startswith(f"## {heading}\n")]
    return text


def questions(cells):
    """Of "Check yourself": the numbers of the questions, each with an answer that is folded."""
    text = section(cells, "Check yourself")
    asked = re.findall(r"^\*\*(\d)\.\*\* [^<]+\?\n\n<details><summary>Answer<", text, re.MULTILINE)
    assert len(asked) == text.count("<details")
    return [int(number) for number in asked]


def given_away(cells):
    """Code cells whose stored output stands unfolded under the question that it answers.

    A figure may, if the reader has to do something with it first.
    """
    return [
        cell.source
        for before, cell in itertools.pairwise(cells)
        if before.cell_type == "markdown"
        and re.search(r"\*\*(Predict|Guess)", before.source)
        and cell.cell_type == "code"
        and not {HIDE, "exercise"}.intersection(tags(cell))
        and not (drawn(cell) and re.search(r"\b([Mm]ove|type)\b", before.source))
    ]


def drawn(cell):
    return any("<img" in output.get("data", {}).get("text/html", "") for output in cell.outputs)


def blocks(cells, skipped=()):
    """For each cell the section that may be left out and that it stands in; None for the others.

    Args:
        cells: of a notebook.
        skipped: titles of sections that a lecturer may skip, together with all that say *Optional*.
    """
    found, heading, block, depth = [], 0, None, 0
    for cell in cells:
        if cell.cell_type == "markdown":
            for match in re.finditer(r"^(##+) (?:\S+ · )?(.+)$|^\*Optional", cell.source, re.M):
                if match[1]:
                    heading = len(match[1])
                    if heading <= depth:
                        block, depth = None, 0
                if block is None and (match[2] is None or match[2] in skipped):
                    block, depth = cell.source, heading
        found.append("skipped" if block and skipped else block)
    return found


def names(code):
    """The names that a cell binds anywhere, and those that it looks up."""
    bound, used = set(), set()
    for node in ast.walk(ast.parse(re.sub(r"^( *)[%!].*", r"\1pass", code, flags=re.MULTILINE))):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return bound, used


def missing(cells, skipped=()):
    """Names that a cell takes from a section that the reader may have left out."""
    there, in_block, lost = set(), {}, []
    for cell, block in zip(cells, blocks(cells, skipped), strict=True):
        if cell.cell_type != "code":
            continue
        bound, used = names(cell.source)
        elsewhere = set().union(*(of for name, of in in_block.items() if name != block))
        lost += sorted((used & elsewhere) - there - in_block.get(block, set()) - bound)
        (there if block is None else in_block.setdefault(block, set())).update(bound)
    return lost


def taken(cells):
    """Names that a cell takes from an exercise or its check, which the reader may have left out."""
    there, exercise, left_out, lost = set(), set(), set(), []
    for cell in cells:
        if cell.cell_type != "code" or "solution" in tags(cell):
            continue
        bound, used = names(cell.source)
        own = exercise if "check" in tags(cell) else set()
        lost += sorted((used & left_out) - there - own - bound)
        if "exercise" in tags(cell):
            exercise = bound
        if {"exercise", "check"} & {*tags(cell)}:
            left_out |= bound
        else:
            there |= bound
    return lost


def skipped_by_lecturers(stem):
    """Titles of the sections of a notebook that docs/teaching.md says may be skipped."""
    guide = (ROOT / "docs" / "teaching.md").read_text("utf-8")
    paragraphs = re.findall(r"\*\*Skip:\*\*(.+?)(?=\n- |\n\n)", guide, re.DOTALL)
    links = re.findall(r"\[([^\]]+)\]\(\.\./notebooks/(\w+)\.ipynb\)", "\n".join(paragraphs))
    return {title for title, notebook in links if notebook == stem}


@each
def test_what_is_folded_is_drawn_by_every_viewer(source):
    assert badly_folded(cells_of(source)) == []


@each
def test_every_exercise_has_a_hint(source):
    assert without_hint(cells_of(source)) == []


@each
def test_the_end_asks_questions_and_says_where_to_read_on(source):
    cells = cells_of(source)
    assert questions(cells) in ([1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6])
    lines = re.findall(r"^- .+", section(cells, "Where to read on"), re.MULTILINE)
    assert len(lines) == 3
    assert section(cells, "Where to read on").count("](https://") >= 3


@each
def test_answers_are_not_given_away(source):
    assert given_away(cells_of(source)) == []


@each
def test_sliders_stay_where_the_reader_put_them(source):
    code = [cell.source for cell in cells_of(source) if cell.cell_type == "code"]
    assert [text for text in code if MOVES.search(text)] == []


@each
def test_numbers_are_printed_by_one_function(source):
    code = [cell.source for cell in cells_of(source) if cell.cell_type == "code"]
    assert [text for text in code if PRINTS.search(text)] == []


@each
def test_a_section_that_is_left_out_is_not_needed_later(source):
    cells = read_script(source).cells
    assert missing(cells) == []
    assert missing(cells, skipped_by_lecturers(source.stem)) == []


@each
def test_an_exercise_that_is_left_out_stops_nothing(source):
    """As notebook 0 promises."""
    assert taken(read_script(source).cells) == []


# --- Each of them can fail ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<details><summary>Hint</summary>\n$x$\n</details>",
        "<details><summary>Hint</summary>\n\n$x$\n</details>",
        "<details><summary>Is $x$ 1?</summary>\n\nYes.\n\n</details>",
        "<details><summary>Hint</summary>\n\nNo end.",
    ],
)
def test_a_bad_fold_is_noticed(text):
    assert badly_folded([new_markdown_cell(text)])


def test_a_missing_hint_is_noticed():
    exercise = new_code_cell("...", metadata={"tags": ["exercise"]})
    hint = "<details><summary>Hint</summary>\n\nThink.\n\n</details>"
    assert without_hint([new_markdown_cell("### Exercise 1 · Think"), exercise])
    assert without_hint([new_markdown_cell(f"### Exercise 1 · Think\n\n{hint}\n\nMore."), exercise])
    assert not without_hint([new_markdown_cell(f"### Exercise 1 · Think\n\n{hint}"), exercise])


def test_a_question_without_an_answer_is_noticed():
    answer = "<details><summary>Answer</summary>\n\nYes.\n\n</details>"
    good = f"## Check yourself\n\n**1.** Is $a = b$?\n\n{answer}\n\n**2.** Why?\n\n{answer}"
    assert questions([new_markdown_cell(good)]) == [1, 2]
    for bad in (good.replace("Why?", "Why."), good.replace(answer, "", 1), good + "\n\n" + answer):
        with pytest.raises(AssertionError):
            assert questions([new_markdown_cell(bad)]) == [1, 2]


def test_an_answer_that_is_given_away_is_noticed():
    asked, code = new_markdown_cell("**Predict:** how many?"), new_code_cell("print(3)")
    assert given_away([asked, code]) == ["print(3)"]
    assert not given_away([asked, new_code_cell("print(3)", metadata={"tags": [HIDE]})])
    assert not given_away([new_markdown_cell("Look."), code])
    figure = new_code_cell("figure", outputs=[new_output("display_data", {"text/html": "<img>"})])
    assert given_away([asked, figure]) == ["figure"]
    assert not given_away([new_markdown_cell("**Predict:** where? Move the slider."), figure])
    assert MOVES.search('panel.controls["tau"].value = 0.1')
    assert not MOVES.search('if panel.controls["tau"].value == 0.1:\n    pass'.replace("==", "<"))
    assert PRINTS.search("def show(name, numbers):")


def test_a_name_of_a_section_that_is_left_out_is_noticed():
    def cells(*extra):
        return [
            new_code_cell("import torch"),
            new_markdown_cell("## 2 · More\n\n*Optional, 5 minutes.* Text."),
            new_code_cell("import math\n\n\ndef f(x):\n    return torch.tensor(x)"),
            new_markdown_cell("### Exercise"),
            new_code_cell("f(math.pi)"),
            new_markdown_cell("Text.\n\n## 3 · The rest"),
            *extra,
        ]

    assert missing(cells(new_code_cell("x = torch.ones(2)"))) == []
    assert missing(cells(new_code_cell("f(math.pi)"))) == ["f", "math"]
    assert missing(cells(new_code_cell("import math\n\nmath.pi"))) == []
    another = new_markdown_cell("## 4 · Still more\n\n*Optional, 5 minutes.*")
    assert missing(cells(another, new_code_cell("f(1)"))) == ["f"]
    skipped = [new_code_cell("y = 1"), new_markdown_cell("## 4 · Last"), new_code_cell("y")]
    assert missing(cells(*skipped)) == []
    assert missing(cells(*skipped), {"The rest"}) == ["y"]


def test_a_name_of_an_exercise_that_is_left_out_is_noticed():
    def tagged(tag, code):
        return new_code_cell(code, metadata={"tags": [tag]})

    first = [new_code_cell("import torch"), tagged("exercise", "def f(x): ...")]
    solved = tagged("solution", "def f(x):\n    return math.ceil(x)")
    checked = tagged("check", "from course import checks\n\nchecks.check_f(f)")
    cells = [*first, solved, checked]
    assert taken(cells) == []
    assert taken([*cells, new_code_cell("torch.ones(1)")]) == []
    assert taken([*cells, new_code_cell("f(1)")]) == ["f"]
    another = [tagged("exercise", "y = None"), tagged("check", "checks.check_y(y)")]
    assert taken([*cells, *another]) == ["checks"]
    assert taken([new_code_cell("from course import checks"), *cells, *another]) == []
