"""What lies in `notebooks/results` is what the stored rows give, and the `cpu` profile asks for."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from gumbelrao_edu import cli
from gumbelrao_edu.experiments import search, trajectories
from gumbelrao_edu.training.loop import Training

STORED = Path(__file__).parents[1] / "notebooks" / "results"


def test_all_are_tested():
    assert sorted(path.name for path in STORED.iterdir()) == ["fig2", "table1", "table2"]


@pytest.mark.parametrize("name", ["table1", "table2", "fig2"])
def test_nothing_is_left_to_compute_and_the_tables_are_those_of_the_rows(
    name, tmp_path, monkeypatch, capsys
):
    def refuse(*arguments, **options):
        raise AssertionError("a row is missing")

    monkeypatch.setattr(Training, "run", refuse)
    monkeypatch.setattr(search, "_bounds", refuse)
    for module in (search, trajectories):
        monkeypatch.setattr(module, "fetch_binarized_mnist", lambda: None)
    shutil.copytree(STORED, tmp_path / "results")
    out = tmp_path / "results" / name
    tables = {path.relative_to(out) for path in out.rglob("*.csv")}
    before = {path: pd.read_csv(out / path) for path in tables}
    for path in tables:
        (out / path).unlink()

    arguments = ["reproduce", name, "--profile", "cpu", "--out", str(tmp_path / "results")]
    assert cli.main(arguments) == 0, capsys.readouterr()
    assert {path.relative_to(out) for path in out.rglob("*.csv")} == tables
    for path, table in before.items():
        pd.testing.assert_frame_equal(pd.read_csv(out / path), table, obj=str(path))
        if "status" in table:
            assert {*table.status} <= {"done", "diverged"}
