"""What the README tells people to paste works, and what it lists is there."""

import re
from pathlib import Path

import gumbelrao_edu
from gumbelrao_edu import estimators

README = Path(__file__).parents[1] / "README.md"


def test_the_python_of_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        names = {}
        exec(block, names)
        names["sample"].sum().backward()
        assert names["logits"].grad.shape == names["logits"].shape


def test_the_table_of_the_readme_lists_the_registry():
    rows = re.findall(r"^\| `(\w+)\(", README.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == estimators.names()


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
