"""What lies in `notebooks/results` is what the stored rows give, and the `cpu` profile asks for."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from small_search import refusing

from gumbelrao_edu import cli
from gumbelrao_edu.experiments import EXPERIMENTS

STORED = Path(__file__).parents[1] / "notebooks" / "results"
NAMES = ["table1", "table2", "fig2", "fig3", "seeds", "clipping", "annealing", "successors"]


def test_all_are_tested():
    folders = [path.name for path in STORED.iterdir() if path.is_dir()]
    assert sorted(folders) == sorted(NAMES), "name each stored experiment in NAMES"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_to_compute_and_the_tables_are_those_of_the_rows(
    name, tmp_path, monkeypatch, capsys
):
    nothing_left = replace(refusing(EXPERIMENTS[name]), prepare=lambda profile: None)
    monkeypatch.setitem(EXPERIMENTS, name, nothing_left)
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
        of = f"{path} (left: from the rows in runs/, right: stored)"
        pd.testing.assert_frame_equal(pd.read_csv(out / path), table, obj=of)
        if "status" in table:
            assert {*table.status} <= {"done", "diverged"}


def test_names_of_the_files_say_what_varies():
    names = [path.name for path in STORED.rglob("runs/*.json")]
    assert "GR-MC10_n8_B20_draw3-70a914c0.json" in names
    # The tests of four trainings have their titles, three runs stand in three experiments and
    # thirteen in two, and six trainings of Table 1 are there once more beside the clipped ones,
    # validated more often.
    assert len({name.rpartition("-")[0] for name in names}) == len(names) - 4 - 2 * 3 - 13 - 6
    assert max(map(len, names)) < 80
