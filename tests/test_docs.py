"""What the site is made of, without building it: the index of the paper, the reference, scripts."""

import ast
import doctest
import importlib
import importlib.util
import json
import re
import sys

import pytest
from conftest import ROOT
from plotly.offline import get_plotlyjs_version

sys.path.insert(0, str(ROOT / "docs" / "extensions"))
import house_docstrings
import icons
import not_found
import paper_index
import reference
import tables


@pytest.fixture(scope="module")
def index():
    return paper_index.index()


def test_every_equation_has_a_function_and_a_test(index):
    equations = {f"({n})" for n in range(1, 40)}
    assert equations <= index.keys()
    assert [entry for entry, found in index.items() if not found.functions] == []
    assert [entry for entry, found in index.items() if not found.tests] == []


def test_what_the_course_explains_has_a_section(index):
    explained = [f"({n})" for n in range(1, 14)] + [f"Proposition {n}" for n in (1, 2, 3)]
    assert [entry for entry in explained if not index[entry].sections] == []


def test_no_entry_is_dead(index):
    public = {*reference.public(), *reference.modules()}
    headings = {
        (source.stem, paper_index.slug(heading))
        for source in paper_index.tools.find(ROOT / "notebooks/solutions", [])
        for heading in re.findall(r"(?m)^# ## (.+)$", source.read_text("utf-8"))
    }
    for found in index.values():
        for place in found.functions:
            name = place.target
            assert {name, name.rpartition(".")[0]} & public, name
        for place in found.sections:
            file, _, anchor = place.target.removeprefix("notebooks/").partition(".ipynb")
            assert not anchor or (file, anchor.removeprefix("#")) in headings, place
        for place in found.tests:
            file, line = place.target.split("/tests/")[1].split("#L")
            text = (ROOT / "tests" / file).read_text("utf-8").splitlines()[int(line) - 1]
            assert text.startswith(f"def {place.text.split('::')[1]}(")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f(3) is a value", set()),
        ("by (13), as equation 9 has it", {"(13)", "(9)"}),
        ("(17)–(19)", {"(17)", "(18)", "(19)"}),
        ("(21, 23, 25) and (19, GR-MCK)", {"(21)", "(23)", "(25)", "(19)"}),
        ("Propositions 1 and 2, Figure 2b", {"Proposition 1", "Proposition 2", "Figure 2"}),
        ("a shape (2, 3), in 2021 (40)", set()),
    ],
)
def test_numbers_of_the_paper_are_read(text, expected):
    assert paper_index.numbers(text) == expected


def test_a_mark_with_a_mistake_is_refused(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    wrong = '@pytest.mark.paper("(99)")\ndef test_it():\n    pass\n'
    (tmp_path / "tests" / "test_wrong.py").write_text(wrong)
    with pytest.raises(ValueError, match="nothing in the paper"):
        paper_index.marked_tests(tmp_path)


def test_the_reference_has_every_public_name(tmp_path):
    reference.write(tmp_path)
    written = "\n".join(page.read_text("utf-8") for page in tmp_path.glob("*.md"))
    directives = set(re.findall(r"\.\. auto(?:class|function):: (\S+)", written))
    # Found in another way: in the source.
    defined = set()
    for file in (ROOT / "gumbelrao_edu").rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if any(part.startswith("_") for part in parts):
            continue
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                defined.add(".".join((*parts, node.name)))
    # And what comes from private modules, each in one place.
    defined |= {"gumbelrao_edu.estimators.sampler", "gumbelrao_edu.listops.DataError"}
    places = [directive.rpartition(".")[2] for directive in directives]
    for name in reference.modules():
        module = importlib.import_module(name)
        for each in getattr(module, "__all__", ()):
            if "._" in getattr(getattr(module, each), "__module__", ""):
                assert places.count(each) == 1, each
    assert len(defined) > 100
    assert defined - directives == set()


def test_a_docstring_becomes_markup():
    lines = [
        "One line, `[*batch, n]` and x*.",
        "",
        "    y = x * f_     (3)",
        "",
        "Args:",
        "    x: a `tensor`.",
        "",
        "Returns:",
        "    y: a number,",
        "        or two.",
        "    z: another.",
        "",
        "Example:",
        "    >>> print('*')",
        "    *",
        "",
        "Source: Someone (2021).",
    ]
    text = "\n".join(house_docstrings.converted(lines))
    assert "``[*batch, n]`` and x\\*." in text
    assert "::\n\n    y = x * f_     (3)" in text
    assert "    x: a ``tensor``." in text
    assert "Returned values:\n    y: a number,\n        or two.\n    z: another.\n" in text
    assert "    >>> print('*')\n    *\n" in text
    assert text.endswith("Source:\n    Someone (2021).")


def test_the_site_has_the_plotly_that_the_course_has():
    packages = json.loads((ROOT / "docs/package.json").read_text())["dependencies"]
    assert packages["plotly.js-cartesian-dist-min"] == get_plotlyjs_version()


def test_pins_of_the_site_agree_with_those_of_the_tests():
    def pins(file):
        lines = (ROOT / file).read_text().splitlines()
        return dict(re.findall(r"^(\S+?)==(\S+)", "\n".join(lines), re.MULTILINE))

    site, tests = pins("docs/requirements.txt"), pins("tests/requirements.txt")
    assert site["playwright"] == tests["playwright"]
    assert [name for name in site.keys() & tests.keys() if site[name] != tests[name]] == []


@pytest.mark.parametrize(
    "module", [house_docstrings, icons, not_found, paper_index, tables], ids=lambda m: m.__name__
)
def test_examples_in_the_extensions_hold(module):
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_too_many_states_name_the_biggest_control(build, monkeypatch):
    monkeypatch.setattr(build, "LIMIT", 100)
    controls = [{"name": "τ", "labels": ["0.1", "1"]}, {"name": "K", "labels": list("123456")}]
    texts = [f"{n * 0.7391:.12f}" for n in range(12)]
    record = {"controls": controls, "texts": texts, "captions": list(range(12))}
    with pytest.raises(SystemExit, match=r"its 12 states take .* Give 'K', .* fewer than 6"):
        build.write_states("x", record, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a $x\n+ y$ b", "a $x + y$ b"),
        ("`$x` $y\n  - z$", "`$x` $y - z$"),
        ("```\n$a\n+ b$\n```", "```\n$a\n+ b$\n```"),
        ("$$\na\n+ b\n$$", "$$\na\n+ b\n$$"),
        ("[1](../01_one.ipynb)", "[1](01_one.ipynb)"),
    ],
)
def test_text_of_a_notebook_is_made_fit_for_the_site(build, text, expected):
    assert build.for_the_site(text) == expected
