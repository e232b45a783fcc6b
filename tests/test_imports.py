"""Imports point down: each module uses what stands on its own floor or below."""

import ast
import subprocess
import sys
from pathlib import Path

import gumbelrao_edu

PACKAGE = Path(gumbelrao_edu.__file__).parent

# From the ground up. Modules of one floor may use each other.
FLOORS = (
    {"_checks", "_download", "_generators", "device", "gumbel", "quadrature", "surrogate"},
    {"estimators"},
    {"distributions", "modules"},
    {"diagnostics"},
    {"problems", "listops", "vae"},
    {"figures"},
    {"training"},
    {"experiments"},
    {"course"},
    {"cli", "cli_compare", "cli_numbers", "__init__", "__main__"},
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}

# The package as a whole, in a figure or a check, stands for its public names.
PUBLIC = FLOOR["modules"]


def part(path):
    """The module or folder of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def used(path):
    """The parts of the package that a file imports, wherever the statement stands in it."""
    package = path.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            # Of `from .. import estimators` the name is the module.
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == PACKAGE.name:
                yield node.lineno, rest[0] if rest else ""


def wrong(path):
    """Imports from a higher floor, as `file:line: part`."""
    floor = FLOOR[part(path)]
    for line, name in used(path):
        known = FLOOR.get(name, PUBLIC)  # `from gumbelrao_edu import gumbel_rao`
        if known > floor:
            yield f"{path.relative_to(PACKAGE)}:{line}: {name}"


def test_every_module_has_a_floor():
    names = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    names -= {"__pycache__", "py.typed", "exp_sums.json"}
    assert names == set(FLOOR)


def test_imports_point_down():
    files = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in FLOOR]
    assert len(files) > 60
    assert [each for path in files for each in wrong(path)] == []


def test_an_import_that_points_up_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "gumbelrao_edu")
    file = PACKAGE / "vae" / "model.py"
    file.parent.mkdir(parents=True)
    for up in (
        "from ..experiments import fig1",
        "from .. import figures",
        "import gumbelrao_edu.training.loop",
        "def f():\n    from gumbelrao_edu.course.live import LiveTraining",
    ):
        file.write_text(f"from ..gumbel import gumbel_max\nfrom . import data\n{up}\n")
        assert len([*wrong(file)]) == 1, up


def test_the_package_imports_no_compiler_and_no_tables():
    """What is heavy is imported when it is first used."""
    code = "import sys, torch, gumbelrao_edu; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(told.stdout.split())
    assert "gumbelrao_edu.estimators.gumbel_rao" in imported
    heavy = {
        "pandas",
        "scipy",
        "sympy",
        "plotly",
        "ipywidgets",
        "joblib",
        "triton",
        "torch._dynamo",
    }
    assert not imported & heavy
