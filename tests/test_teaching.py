"""The lecturer's guide agrees with the notebooks: sections, minutes, exercises, commands."""

import importlib.util
import json
import re

import crossrefs
import nbformat
import pytest
from conftest import ROOT
from crossrefs import GUIDE, LINK, course, minutes, sections, with_table

COURSE = course()
TEXT = GUIDE.read_text("utf-8")
RECORD = {
    "kernels": 10,
    "threads": 1,
    "failed": 0,
    "median_seconds": 40.4,
    "last_seconds": 45.6,
    "largest_megabytes": 360,
    "together_megabytes": 3600,
    "load_before": 0.1,
    "cores": 2,
    "machine": "Linux x86_64",
    "python": "3.12.1",
    "date": "2026-11-26",
}


def part(heading):
    """What stands below a heading, up to the next one of its level or above."""
    level = len(heading.partition(" ")[0])
    after = TEXT.split(f"\n{heading}\n")[1]
    return re.split(rf"\n#{{1,{level}}} ", after)[0]


def rows(text):
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| ")
    ][1:]


def module_class():
    spec = importlib.util.spec_from_file_location("class_", ROOT / "benchmarks/class.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("heading", "length"), [("## 45 minutes", 45), ("## 90 minutes", 90), ("## Half a day", 210)]
)
def test_a_plan_is_as_long_as_it_says(heading, length):
    plan = rows(part(heading))
    assert len(plan) >= 9
    assert sum(int(row[0]) for row in plan) == length
    # Every line is a break or names a section, whose existence test_crossrefs.py sees.
    for number, _, link in [row[1].partition(" · ") for row in plan if row[1] != "Break"]:
        assert LINK.fullmatch(link), link
        assert LINK.fullmatch(link)[2].startswith(f"0{number}_"), link


def test_the_minutes_are_those_of_the_notebooks():
    wanted = with_table(TEXT, "minutes", minutes(COURSE))
    assert wanted == TEXT, "run python tools/crossrefs.py"


def test_every_notebook_has_its_page():
    for name, notebook in COURSE.items():
        title = next(iter(sections(notebook)))
        page = part(f"### {title}")
        assert "**Ask before the slider" in page, title
        assert "**Skip:**" in page, title
        # What it says of sections is of its own.
        assert {found[2] for found in LINK.finditer(page)} == {name}


def places_of_controls(name):
    """Section and subsection of each figure that moves: above its picture stands where it stood."""
    place, found = {}, []
    for cell in nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "markdown":
            for level, title in re.findall(r"^(#+) (?:\d+ · )?(.+)$", cell.source, re.MULTILINE):
                place = {"##": title} if level == "##" else {**place, level: title}
        shown = [each.get("data", {}).get("text/html", "") for each in cell.get("outputs", [])]
        if re.search(r"<figure[^>]*><p>", "".join(shown)):
            found.append({*place.values()})
    return found


def test_there_is_a_question_before_every_slider():
    controls = 0
    for name, notebook in COURSE.items():
        page = part(f"### {next(iter(sections(notebook)))}")
        asked = re.split(r"\n- \*\*", page)[1]
        assert asked.startswith("Ask before the slider"), name
        named = {" ".join(link[1].split()) for link in LINK.finditer(asked)}
        places = places_of_controls(name)
        assert [place for place in places if place.isdisjoint(named)] == [], name
        controls += len(places)
    assert controls > 20


def test_every_exercise_has_points():
    listed = [(row[0], LINK.fullmatch(row[1])[1]) for row in rows(part("## Exercises and points"))]
    there = [
        (str(int(name[:2])), title)
        for name, notebook in COURSE.items()
        for title in sections(notebook)
        if title.startswith("Exercise")
    ]
    assert listed == there, "write it into docs/teaching.md, 'Exercises and points'"
    assert all(1 <= int(row[2]) <= 10 for row in rows(part("## Exercises and points")))


def test_the_commands_of_the_guide_exist():
    made = set(re.findall(r"^    make (\w+)", TEXT, re.MULTILINE))
    assert made
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made <= set(targets)
    scripts = set(re.findall(r"`\.venv/bin/python ([\w/]+\.py)`", TEXT))
    assert scripts
    assert all((ROOT / script).exists() for script in scripts)


def test_a_table_has_its_place():
    page = "a\n<!-- one: by x -->\nold\n<!-- end of one -->\nb\n"
    new = with_table(page, "one", "| new |")
    assert new == "a\n<!-- one: by x -->\n\n| new |\n\n<!-- end of one -->\nb\n"
    assert with_table(new, "one", "| new |") == new
    with pytest.raises(ValueError, match="no place for the table 'two'"):
        with_table(page, "two", "")


def test_the_table_of_a_class_shows_the_newest_of_each():
    table = module_class().table
    late = {**RECORD, "last_seconds": 50.0, "date": "2026-11-27"}
    other = {**RECORD, "kernels": 1, "threads": 2, "failed": 1, "load_before": 3.0}
    lines = table([RECORD, other, late]).splitlines()
    assert lines[2:4] == [
        "| 10 | 1 | 40 s | 50 s | 0.36 GB | 3.6 GB | 0 |",
        "| 1 | 2 | 40 s | 46 s | 0.36 GB | 3.6 GB | 1 |",
    ]
    assert lines[5].startswith("Measured on Linux x86_64, 2 cores, Python 3.12.1 (2026-11-27).")
    assert "0.1 to 3.0" in lines[5]


def test_the_table_in_the_guide_is_the_one_measured():
    records = json.loads((ROOT / "benchmarks/results/class.json").read_text("utf-8"))
    assert crossrefs.with_table(TEXT, "class", module_class().table(records)) == TEXT
