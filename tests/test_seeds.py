"""Table 2 with other seeds: the runs, what they share with Table 2, and the differences."""

from dataclasses import replace

import pytest
from small_search import reproduced, small

from gumbelrao_edu._download import DataError
from gumbelrao_edu.experiments import fig4, search, seeds, table2
from gumbelrao_edu.experiments.experiment import reproduce
from gumbelrao_edu.figures.rows import GR_10, GR_INF, ST_GS, ZGR
from gumbelrao_edu.training.run import read_row

pytestmark = pytest.mark.usefixtures("few")


def test_runs_are_those_of_table_2_and_more(tmp_path):
    cells = [(row, 8, 20) for row in (ST_GS, GR_10, GR_INF)]
    whole = small(cells, draws=2)
    reproduced(table2.EXPERIMENT, whole, tmp_path)
    profile = seeds.Seeds(lambda: whole, (6, 7), tuple((cell, 1) for cell in cells))
    configs = seeds.configurations(seeds.chosen(profile, tmp_path))
    assert [config["seed"] for config in configs] == [1] * 3 + [6] * 3 + [7] * 3
    titles = [seeds.run_title(config) for config in configs]
    assert titles[0] == search.run_title(configs[0]) == "ST-GS_n8_B20_draw1"
    assert titles[-1] == "GR-inf_n8_B20_draw1_seed7"

    lines = []
    tables = reproduce(seeds.EXPERIMENT, profile, tmp_path, say=lines.append)
    assert lines[0].startswith("3 of 9 runs are in")  # from Table 2
    bounds = tables["seeds"].set_index("row")
    differences = tables["differences"].set_index("row")
    assert differences.index.tolist() == ["GR-MC10", "GR-∞"]
    for row in differences.index:
        ahead = bounds.loc["ST-GS", ["1", "6", "7"]] - bounds.loc[row, ["1", "6", "7"]]
        assert differences.loc[row, "seeds"] == 3
        assert differences["mean"][row] == pytest.approx(ahead.mean(), abs=2e-3)
        assert differences.smallest[row] == pytest.approx(ahead.min(), abs=2e-3)
        error = ahead.astype(float).std() / 3**0.5
        assert differences.standard_error[row] == pytest.approx(error, abs=2e-3)


def test_the_best_draws_of_each_cell_are_those_of_the_searches(tmp_path):
    cells = [(ST_GS, 8, 20), (GR_INF, 8, 20), (ZGR, 4, 10)]
    whole = small(cells, draws=3)
    profile = seeds.Seeds(lambda: whole, (6, 7), best=2)
    with pytest.raises(DataError, match="no search of this profile"):
        reproduce(seeds.EXPERIMENT, profile, tmp_path, say=lambda line: None)
    reproduced(table2.EXPERIMENT, small(cells[:1], draws=2), tmp_path)
    with pytest.raises(DataError, match="ST-GS_n8_B20_draw2 is not in"):
        reproduce(seeds.EXPERIMENT, profile, tmp_path, say=lambda line: None)
    reproduced(table2.EXPERIMENT, small(cells[:2], draws=3), tmp_path)
    assert {cell for cell, _ in seeds.chosen(profile, tmp_path).draws} == {*cells[:2]}
    reproduced(fig4.EXPERIMENT, small(cells[2:], draws=3), tmp_path)
    bounds = {estimator: [] for estimator in ("st_gumbel_softmax", "gumbel_rao", "zgr")}
    for path in tmp_path.glob("*/runs/*"):
        config, results = (read_row(path)[name] for name in ("config", "results"))
        bounds[config["estimator"]].append((results["valid_bound"], config["seed"]))
    best = [[draw for _, draw in sorted(bounds[row.estimator])[:0:-1]] for row, _, _ in cells]
    assert seeds.chosen(profile, tmp_path).draws == tuple(
        (cell, draw) for cell, draws in zip(cells, best, strict=True) for draw in draws
    )

    lines = []
    tables = reproduce(seeds.EXPERIMENT, profile, tmp_path, say=lines.append)
    assert lines[0].startswith("6 of 18 runs are in")
    found = tables["seeds"].set_index("row")
    assert found.index.value_counts().to_dict() == {"ST-GS": 2, "GR-∞": 2, "ZGR": 2}
    assert (found.loc["ZGR", "arity"] == 4).all()
    assert found[["6", "7"]].notna().all(axis=None)
    differences = tables["differences"]  # of the draws that are among the best of both
    assert differences["row"].tolist() == ["GR-∞"] * len({*best[0]} & {*best[1]})
    assert (differences.seeds == 3).all()


def test_the_best_of_the_profile_s_own_draws_gets_more_seeds(tmp_path):
    cells = [(ST_GS, 8, 20), (GR_INF, 8, 20)]
    draws = tuple((cell, draw) for draw in (2, 0) for cell in cells)
    profile = seeds.Seeds(lambda: small(cells, draws=3), (6,), draws, best=1)
    lines = []
    tables = reproduce(seeds.EXPERIMENT, profile, tmp_path, say=lines.append)
    counts = [line.split(" runs")[0] for line in lines if " runs are in" in line]
    assert counts == ["0 of 4", "4 of 6"]
    bounds = tables["seeds"].set_index(["row", "learning_rate"])
    for cell in cells:
        own = bounds.loc[cell[0].label]
        once = own[["0", "2"]].sum(axis=1)  # each draw has one of them
        again = own["6"].notna()
        assert again.sum() == 1
        assert once[again].item() == once.min()
    lines.clear()
    again = reproduce(seeds.EXPERIMENT, profile, tmp_path, say=lines.append)
    assert lines[0].startswith("6 of 6")
    assert again["seeds"].equals(tables["seeds"])
    # Trainings that are named are made beside them, and none of them twice.
    best = seeds.chosen(profile, tmp_path).again
    assert len(best) == 2
    named = tuple((cell, draw, seed) for cell, draw in draws for seed in (6, 9))
    found = seeds.chosen(replace(profile, again=named), tmp_path)
    assert found.again[:2] == best
    assert sorted(found.again, key=named.index) == list(named)
    assert len(seeds.configurations(found)) == len(draws) + len(named)


def test_a_damaged_row_of_a_search_is_passed_over(tmp_path):
    """The next folder is asked, and what nobody has is trained again."""
    cell = (ST_GS, 8, 20)
    whole = small([cell], draws=1)
    (config,) = search.configurations(whole)
    for record in (table2.EXPERIMENT, fig4.EXPERIMENT):
        reproduced(record, whole, tmp_path)
    row = seeds._stored(config, tmp_path)
    for name in ("table2", "fig4"):
        for path in (tmp_path / name / "runs").glob("*.json"):
            path.write_text("{")
        assert seeds._stored(config, tmp_path) == (row if name == "table2" else None)
    profile = seeds.Seeds(lambda: whole, (6,), ((cell, 0),), best=1)
    tables = reproduce(seeds.EXPERIMENT, profile, tmp_path, say=lambda line: None)
    bound = tables["seeds"]["0"].item()
    assert bound == pytest.approx(-row["results"]["valid_bound"], rel=1e-5)
    assert tables["seeds"]["6"].notna().all()


def test_on_a_gpu_the_cells_are_those_of_tables_2_and_3():
    profile = seeds.EXPERIMENT.profiles["gpu"]
    parts = [each.EXPERIMENT.profiles["gpu"] for each in (table2, fig4)]
    assert {*profile.search().cells()} == {*parts[0].cells(), *parts[1].cells()}
    # So that the rows of each are found.
    assert replace(parts[0], cells=None) == replace(parts[1], cells=None)
