"""The benchmark of the notebooks measures what it says, and its stored record keeps the budgets."""

import importlib.util
import json

import pytest
from conftest import ROOT

from notebooks import find

PATH = ROOT / "benchmarks" / "notebooks.py"
TINY = """# %%
import time
time.sleep(0.5)
taken = bytearray(size)
del taken
"""


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_of_notebooks", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_peak_memory_is_that_of_the_kernel_at_its_largest(benchmark, tmp_path):
    """100 MB that were freed again count, and the time of a cell; what pytest takes does not."""
    rows = []
    for megabytes in (0, 100):
        source = tmp_path / "tiny.py"
        source.write_text(TINY.replace("size", f"{megabytes} * 10**6"), "utf-8")
        rows.append(benchmark.measure_notebook(source))
    assert 98 <= rows[1]["peak_mb"] - rows[0]["peak_mb"] <= 130
    assert rows[0]["peak_mb"] < 120  # torch alone takes more
    assert all(0.5 < row["seconds"] < 60 for row in rows)


def test_import_takes_some_time(benchmark):
    assert 0 < benchmark.measure_import() < 20


def record(**row):
    row = {"seconds": 1.0, "peak_mb": 1, "date": "2026-11-26", **row}
    return {
        "machine": "Linux",
        "versions": "Python",
        "import_s": 0.1,
        "lab_mb": 300,
        "notebooks": {"00_one": row},
    }


def test_what_is_over_its_budget_stands_out(benchmark):
    assert benchmark.over_budget(record()) == []
    assert benchmark.over_budget(record(peak_mb=601)) == ["00_one: 601 MB"]
    assert benchmark.over_budget({**record(), "lab_mb": 1001}) == ["JupyterLab: 1001 MB"]
    table = benchmark.tables(record(peak_mb=601, sliders={"1: K": 30, "2: τ": 70}))
    assert "| 00_one | 1 | **601** | 70 | 2026-11-26 |" in table
    assert "| 00_one | 1 | 1 | – | 2026-11-26 |" in benchmark.tables(record())


def test_the_stored_record_is_of_all_notebooks_and_keeps_the_budgets(benchmark):
    stored = json.loads((benchmark.RESULTS / "notebooks.json").read_text("utf-8"))
    names = [source.stem for source in find(ROOT / "notebooks" / "solutions", [])]
    assert sorted(stored["notebooks"]) == names
    assert benchmark.over_budget(stored) == []
    assert (benchmark.RESULTS / "notebooks.md").read_text("utf-8") == benchmark.tables(stored)
