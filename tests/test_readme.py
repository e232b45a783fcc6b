"""What the README tells people to paste works, and what it lists is there."""

import csv
import re

import pytest
import readme
from conftest import ROOT

import gumbelrao_edu
from gumbelrao_edu import estimators

README = readme.README
LIBRARY = ROOT / "docs" / "library.md"


@pytest.mark.parametrize("page", [README, LIBRARY], ids=lambda page: page.name)
def test_the_python_that_people_paste_runs(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        names = {}
        exec(block, names)
        names["sample"].sum().backward()
        assert names["logits"].grad.shape == names["logits"].shape


def test_the_table_of_the_readme_is_that_of_the_registry():
    text = README.read_text("utf-8")
    assert readme.wanted(text) == text
    rows = re.findall(r"^\| `(\w+)\(", text, re.MULTILINE)
    assert sorted(rows) == estimators.names()
    assert readme.wanted(text.replace("| (10) |", "| (11) |")) == text


def test_the_order_of_the_table_is_that_of_the_paper():
    rows = re.findall(r"^\| `(\w+)\(", readme.table(), re.MULTILINE)
    assert rows[:3] == ["exact", "reinforce", "rloo"]
    assert rows.index("gumbel_rao") == 7


def test_a_readme_without_the_marks_is_named():
    with pytest.raises(SystemExit, match=r"README.md lacks the line <!-- estimators"):
        readme.wanted("no table here")


def test_the_first_half_minute():
    """What it is, one number, how it looks, the changed line, and where to read: in this order."""
    before = README.read_text("utf-8").split("\n## ")[0]
    assert len(before.split()) < 250
    wanted = ["**8.0 times less variance**", "](docs/live.png)", "# was F.gumbel_softmax("]
    wanted += ["[**Read the course**](https://", "](https://mybinder.org/"]
    assert sorted(wanted, key=before.index) == wanted


def test_its_numbers_are_those_that_were_measured():
    with (ROOT / "notebooks/results/fig2/fig2.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["step"] == "50000" and row["tau"]]
    variance = {(row["row"], float(row["tau"])): float(row["monte_carlo"]) for row in rows}
    ratios = [variance["ST-GS", tau] / variance["GR-∞", tau] for tau in (0.1, 0.5)]
    text = " ".join(README.read_text("utf-8").split())
    assert f"**{ratios[0]:.1f} times less variance**" in text
    assert f"at τ = 0.5 it is {ratios[1]:.1f} times" in text


def test_the_names_of_the_library_exist():
    library = LIBRARY.read_text("utf-8").split("\n## The paper's")[0]
    for name in re.findall(r"`([A-Za-z_]+)[`(]", library):
        if name not in {"generator", "tau", "k", "n"}:
            parts = [
                gumbelrao_edu,
                estimators,
                gumbelrao_edu.surrogate,
                gumbelrao_edu.GumbelRaoCategorical,
            ]
            assert any(hasattr(part, name) for part in parts), name
