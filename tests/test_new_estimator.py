"""A new estimator is one file and an import; it then stands wherever all estimators stand."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from gumbelrao_edu.estimators import _registry

NEW = '''
"""An estimator that nobody has published."""

from ..surrogate import replace_gradient
from ._registry import register
from .st_gumbel_softmax import st_gumbel_softmax


@register(label="New", equation="Nobody (2030)", kind="straight-through", example={"tau": 0.5})
def newest(logits, *, tau, strength=1.0, generator=None):
    """Sample D; backpropagate with strength."""
    sample = st_gumbel_softmax(logits, tau=tau, generator=generator)
    return replace_gradient(sample.detach(), strength * sample)
'''

# Asked of the package with the new file.
QUESTIONS = """
import json, sys
import torch
from gumbelrao_edu import estimators
from gumbelrao_edu.experiments import EXPERIMENTS
from gumbelrao_edu.figures.rows import rows
import readme, table2_cell

styles = {row.label: [row.color, row.symbol, row.dash] for row in rows()}
logits = torch.zeros(5, 3, requires_grad=True)
sample = estimators.sampler("newest", tau=0.5)(logits)
sample.square().sum().backward()
table2 = EXPERIMENTS["table2"].profiles["paper"]
print(json.dumps({
    "names": estimators.names(),
    "styles": styles,
    "readme": readme.table(),
    "runs": sorted({run["estimator"] for run in EXPERIMENTS["table2"].configurations(table2)}),
    "gradient": list(logits.grad.shape),
}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package with one more file and one more line."""
    folder = tmp_path_factory.mktemp("new")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "gumbelrao_edu", folder / "gumbelrao_edu", ignore=ignore)
    estimators = folder / "gumbelrao_edu/estimators"
    (estimators / "newest.py").write_text(NEW, encoding="utf-8")
    with (estimators / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("from . import newest\n")
    return folder


def python(package, *arguments):
    places = [package, ROOT / "tools", ROOT / "benchmarks"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=package, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8")


def test_it_stands_in_the_tables_figures_and_lists(package):
    found = json.loads(python(package, "-c", QUESTIONS))
    assert "newest" in found["names"]
    about = "Sample D; backpropagate with strength | Nobody (2030) | its own"
    assert f"| `newest(logits, tau=…)` | {about} |" in found["readme"].splitlines()
    assert "newest" in found["runs"]
    assert found["gradient"] == [5, 3]
    color, symbol, _ = found["styles"].pop("New")
    others = found["styles"].values()
    assert color not in {style[0] for style in others}
    assert symbol not in {style[1] for style in others}


def test_it_is_offered_where_a_row_is_chosen(package):
    usage = python(package, ROOT / "benchmarks/table2_cell.py", "--help")
    assert re.search(r"[{,]\s*New\s*[,}]", usage)


def test_a_kind_that_there_is_not_and_a_name_that_is_taken_are_refused():
    claims = {"label": "Mine", "equation": "none", "example": {}}
    before = dict(_registry._records)
    with pytest.raises(ValueError, match=r"kind: expected one of .* got 'straightthrough'"):
        _registry.register(**claims, kind="straightthrough")

    def gumbel_rao(logits):
        return logits

    with pytest.raises(ValueError, match=r"a new name, got 'gumbel_rao', which gumbelrao_edu.est"):
        _registry.register(**claims, kind="straight-through")(gumbel_rao)
    assert _registry._records == before
