"""The successors in the search of Table 2: their draws, their runs, the numbers beside them."""

import pandas as pd
import pytest
from small_search import reproduced, small

from gumbelrao_edu import estimators
from gumbelrao_edu.experiments import search, successors, table2
from gumbelrao_edu.experiments.experiment import reproduce
from gumbelrao_edu.figures.rows import GR_10, ST_GS, Row

pytestmark = pytest.mark.usefixtures("few")


def test_reinmax_gets_the_same_uniform_number_above_one():
    others = pd.DataFrame(
        search.hyperparameters(i, estimators.get("st_gumbel_softmax")) for i in range(200)
    )
    reinmax = pd.DataFrame(search.hyperparameters(i, estimators.get("reinmax")) for i in range(200))
    assert (reinmax.tau - others.tau - 0.9).abs().max() < 1e-9
    assert reinmax.tau.between(1, 1.9).all()
    pd.testing.assert_frame_equal(reinmax.drop(columns="tau"), others.drop(columns="tau"))
    for name in ("reinmax_rao", "reinmax_cv"):  # their τ is that of a Gumbel-Softmax
        assert search.hyperparameters(7, estimators.get(name))["tau"] == others.tau[7]


def test_every_successor_is_tried_where_table_2_is():
    for name, profile in successors.EXPERIMENT.profiles.items():
        configs = search.configurations(profile)
        assert {config["batch_size"] for config in configs} == {20}
        if name != "lecture":
            assert {config["arity"] for config in configs} == {8, 16}
            registered = {n for n in estimators.names() if "(20" in estimators.get(n).equation}
            advice = "name it in SUCCESSORS of experiments/successors.py, and count it here"
            assert registered <= {config["estimator"] for config in configs}, advice
            assert len(registered) == 5, advice
    cpu = successors.EXPERIMENT.profiles["cpu"]
    assert {config["seed"] for config in search.configurations(cpu)} == {3}
    # Those that Table 2 has are its runs.
    theirs = search.configurations(table2.EXPERIMENT.profiles["cpu"])
    assert sum(config in theirs for config in search.configurations(cpu)) == 3


def test_the_papers_numbers_stand_beside_ours_and_are_marked(tmp_path):
    cells = [(row, n, 5) for row in (ST_GS, Row("reinmax"), GR_10) for n in (2, 4)]
    shown = []
    tables = reproduce(successors.EXPERIMENT, small(cells), tmp_path, say=shown.append)
    printed = tables["published"].set_index("row")
    assert printed.loc["ReinMax"].tolist() == [127.27, 102.26, 100.86]
    assert "Printed by Wang & Bui (2026)" in "\n".join(shown)
    page = (tmp_path / "successors" / "successors.html").read_text("utf-8")
    ours, theirs = page.split("Printed by Wang")
    assert "127.27" not in ours
    assert "127.27" in theirs
    assert "one diverged" in theirs
    table = successors.arranged(tables["successors"])
    assert table.index.tolist() == ["ST-GS", "GR-MC10", "ReinMax"]
    assert [*table.columns.levels[0]] == ["4-ary", "binary"]
    assert ("4-ary", "test") in table.columns


def test_a_search_may_do_without_the_test_set(tmp_path):
    cells = [(ST_GS, 4, 5), (GR_10, 4, 5)]
    table = reproduced(successors.EXPERIMENT, small(cells, only=(1,), test_samples=0), tmp_path)
    assert table.draws.tolist() == [1, 1]
    assert table.valid.notna().all()
    assert table.test.isna().all()
    assert not (tmp_path / "successors" / "test").exists()
    assert ("4-ary", "test") not in successors.arranged(table).columns
