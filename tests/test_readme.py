"""What the README tells people to paste works, and what it lists is there."""

import re

import pytest
import readme

import gumbelrao_edu
from gumbelrao_edu import estimators

README = readme.README


def test_the_python_of_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
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


def test_the_names_of_the_readme_exist():
    text = README.read_text("utf-8")
    library = text[text.index("## The library") : text.index("## The paper's")]
    for name in re.findall(r"`([A-Za-z_]+)[`(]", library):
        if name not in {"generator", "tau", "k", "n"}:
            parts = [
                gumbelrao_edu,
                estimators,
                gumbelrao_edu.surrogate,
                gumbelrao_edu.GumbelRaoCategorical,
            ]
            assert any(hasattr(part, name) for part in parts), name
