"""Table 2 with other seeds: the runs, what they share with Table 2, and the differences."""

import pytest
from small_search import reproduced, small

from gumbelrao_edu.experiments import search, seeds, table2
from gumbelrao_edu.experiments.experiment import reproduce
from gumbelrao_edu.figures.rows import GR_10, GR_INF, ST_GS

pytestmark = pytest.mark.usefixtures("few")


def test_runs_are_those_of_table_2_and_more(tmp_path):
    cells = [(row, 8, 20) for row in (ST_GS, GR_10, GR_INF)]
    whole = small(cells, draws=2)
    reproduced(table2.EXPERIMENT, whole, tmp_path)
    profile = seeds.Seeds(lambda: whole, draws=(1,), more=(6, 7))
    configs = seeds.configurations(profile)
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
