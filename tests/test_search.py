"""Random search over discrete VAEs, and Table 2: the protocol, and a kill that changes nothing."""

import importlib.util
import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from gumbelrao_edu import cli, estimators
from gumbelrao_edu.experiments import search, table2
from gumbelrao_edu.experiments.search import GR_10, GR_INF, RLOO, ST_GS, ZGR, Settings
from gumbelrao_edu.training.runs import load_row, run_id
from gumbelrao_edu.vae import Digits, importance_weighted_bound

CELLS = tuple((row, 4, 5) for row in (ST_GS, GR_INF, ZGR, RLOO))
TINY = Settings(
    CELLS, draws=2, steps=6, full=False, hidden=(5,), valid_samples=3, test_samples=4, images=30
)


def quiet(_):
    pass


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A few random images in place of the digits."""
    images = torch.rand(300, 784, generator=torch.Generator().manual_seed(0)) < 0.2
    data = Digits(*images.to(torch.uint8).split(100), "few")
    monkeypatch.setattr(search, "load_digits", lambda full: data)
    search._data.cache_clear()
    yield data
    search._data.cache_clear()


def test_profiles_are_those_of_the_paper_and_smaller_ones():
    paper, cpu = table2.PROFILES["paper"], table2.PROFILES["cpu"]
    assert len(paper.configs()) == 20 * 10 * 8
    for settings in (paper, cpu):
        assert (settings.steps, settings.full, settings.test_samples) == (50_000, True, 5000)
        assert settings.images is None
    assert [(row.label, n, b) for row, n, b in cpu.cells] == [
        (label, 8, 20) for label in ("GS", "ST-GS", "GR-MC10", "GR-∞")
    ]
    assert cpu.draws == 6
    # The first draws of a larger search are those of a smaller one.
    few = [config["learning_rate"] for config in replace(paper, draws=6, cells=CELLS).configs()]
    assert few == [c["learning_rate"] for c in replace(paper, cells=CELLS).configs()[: len(few)]]
    for settings in table2.PROFILES.values():
        texts = [json.dumps(config) for config in settings.configs()]
        assert len(set(texts)) == len(texts)


def test_hyperparameters_are_drawn_as_the_paper_says():
    drawn = pd.DataFrame(
        search.hyperparameters(i, estimators.get("st_gumbel_softmax")) for i in range(2000)
    )
    steps = (drawn.learning_rate * 1e4).round(6)
    assert sorted(steps.unique()) == list(range(5, 51))
    assert {*drawn.weight_decay} == {0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6}
    assert drawn.momentum.between(0, 1).all()
    assert drawn.tau.between(0.1, 1).all()
    for name, low, high in (("momentum", 0, 1), ("tau", 0.1, 1)):  # 2,000 draws: 6 standard errors
        error = (high - low) / math.sqrt(12 * 2000)
        assert drawn[name].mean() == pytest.approx((low + high) / 2, abs=6 * error)
    # All estimators get the same ones.
    other = search.hyperparameters(7, estimators.get("zgr"))
    assert other == {**drawn.iloc[7].to_dict(), "tau": None}


def test_a_run_that_was_stopped_ends_the_same(tmp_path):
    config = {**TINY.configs()[1], "valid_samples": 2, "images": None}
    fractions = []
    whole = search.train(config, tmp_path / "a/c.pt", fractions.append, models=tmp_path / "a")
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1

    for stop in (0.5, 0.9):  # while it trains, and before the bounds are computed

        def stops(fraction, stop=stop):
            if fraction > stop:
                raise KeyboardInterrupt

        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            search.train(config, folder / "c.pt", stops, models=folder)
        assert (folder / "c.pt").exists()
        again = search.train(config, folder / "c.pt", quiet, models=folder)
        assert again == whole
        weights = [torch.load(place / f"{run_id(config)}.pt") for place in (tmp_path / "a", folder)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_results_are_the_bounds_of_the_trained_model(tmp_path, few):
    config = TINY.configs()[0]
    trained = search.train(config, tmp_path / "run/c.pt", quiet, models=tmp_path)
    model, _ = search.build(config)
    start = search._elbo(model, few.valid[:30])
    model.load_state_dict(torch.load(tmp_path / f"{run_id(config)}.pt"))
    assert trained["valid_elbo"] == search._elbo(model, few.valid[:30]) != start
    bound = partial(importance_weighted_bound, model, generator=torch.Generator().manual_seed(2021))
    valid = bound(few.valid[:30], num_samples=3).mean().item()
    assert trained["valid_bound"] == pytest.approx(valid, rel=1e-5)
    # Of the test the same, with weights that are there and with weights that were lost.
    config = {**config, "test_samples": 4}
    tested = search.test(config, tmp_path / "test/c.pt", quiet, models=tmp_path)
    bound.keywords["generator"].manual_seed(2021)
    bounds = bound(few.test[:30], num_samples=4)
    assert tested["test_bound"] == pytest.approx(bounds.mean().item(), rel=1e-5)
    assert tested["standard_error"] == pytest.approx(bounds.std().item() / 30**0.5, rel=1e-4)
    assert search.test(config, tmp_path / "anew/c.pt", quiet, models=tmp_path / "lost") == tested


def some_runs(*rows):
    columns = "estimator k learning_rate valid_bound status"
    table = pd.DataFrame(rows, columns=columns.split())
    return table.assign(
        num_samples=0, arity=8, batch_size=20, momentum=0.5, weight_decay=0.0, tau=0.5
    )


def test_the_best_on_the_validation_set_is_chosen():
    runs = some_runs(
        ("st_gumbel_softmax", None, 0.1, -103.0, "done"),
        ("gumbel_rao", 10, 0.2, -105.0, "done"),
        ("st_gumbel_softmax", None, 0.3, -101.0, "done"),
        ("gumbel_rao", 10, 0.4, None, "diverged"),
        ("gumbel_rao", math.inf, 0.5, -102.0, "done"),
    )
    cells = search.choose(runs)
    assert cells["row"].to_dict() == {2: "ST-GS", 1: "GR-MC10", 4: "GR-∞"}
    assert cells.valid.tolist() == [101.0, 105.0, 102.0]
    assert cells.draws.tolist() == [2, 2, 1]
    assert cells.diverged.tolist() == [0, 1, 0]
    runs.loc[1, "status"] = "failed"
    with pytest.raises(ArithmeticError, match=r"no run of .*gumbel_rao.* ended well"):
        search.choose(runs)


def test_the_table_has_the_form_of_the_paper():
    cells = pd.DataFrame(
        [
            ("GR-MC10", 8, 20, 97.56, 97.4),
            ("ZGR", 8, 20, 98.0, math.nan),
            ("GR-MC10", 2, 200, 100.0, 97.4),
        ],
        columns=["row", "arity", "batch_size", "test", "paper"],
    )
    table = table2.layout(cells)
    assert table.index.tolist() == ["GR-MC10", "ZGR"]
    assert table.columns.tolist() == ["binary, B = 200", "8-ary, B = 20"]
    assert table.loc["GR-MC10"].tolist() == ["100.0 (paper: 97.4)", "97.6 (paper: 97.4)"]
    assert table.loc["ZGR"].tolist() == ["", "98.0"]
    assert {*table2.PAPER} < {row.label for row in search.ROWS}


def test_command_searches_tests_and_writes_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(table2.PROFILES, "smoke", TINY)
    command = ["reproduce", "table2", "--profile", "smoke", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    out = tmp_path / "table2"
    runs = pd.read_csv(out / "runs.csv")
    assert runs.status.tolist() == ["done"] * 8
    assert {"torch", "hardware", "date", "seed", "device", "seconds"} <= {*runs.columns}
    assert len([*(out / "models").iterdir()]) == 8
    cells = pd.read_csv(out / "table2.csv")
    assert cells["row"].tolist() == [row.label for row, _, _ in CELLS]
    for cell in cells.itertuples():
        tried = runs[runs.estimator == {row.label: row.estimator for row in search.ROWS}[cell.row]]
        assert -cell.valid == pytest.approx(tried.valid_bound.max(), rel=1e-5)
    tests = pd.read_csv(out / "test/runs.csv")
    assert (-tests.test_bound).tolist() == pytest.approx(cells.test.tolist(), rel=1e-5)
    assert "4-ary, B = 5" in (out / "table2.html").read_text()
    for config in TINY.configs():
        history = load_row(config, out)["results"]["history"]
        assert [entry["step"] for entry in history] == [1, 2, 3, 4, 5, 6]
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert cli.main(command) == 0  # and now there is nothing left to do
    said = capsys.readouterr().out
    assert "8 of 8 runs are in" in said
    assert "4 of 4 runs are in" in said
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()} == before


def test_a_run_that_diverges_is_recorded_alone(tmp_path, monkeypatch):
    def hyperparameters(draw, record):
        rate = [1e38, 1e-3][draw]
        return {"learning_rate": rate, "momentum": 0.0, "weight_decay": 0.0, "tau": 0.5}

    monkeypatch.setattr(search, "hyperparameters", hyperparameters)
    settings = replace(TINY, cells=((GR_10, 4, 5),))
    cells = search.run(settings, tmp_path, report=quiet)
    assert cells.diverged.tolist() == [1]
    assert cells.learning_rate.tolist() == [1e-3]
    assert math.isfinite(cells.test.iloc[0])


def test_commands_say_what_is_wrong_in_a_line(tmp_path, monkeypatch, capsys):
    command = ["reproduce", "table2", "--profile", "smoke", "--out", str(tmp_path)]
    with pytest.raises(SystemExit):
        cli.main([*command, "--jobs", "0"])
    assert "--jobs: expected at least 1, got 0" in capsys.readouterr().err
    monkeypatch.setitem(table2.PROFILES, "smoke", TINY)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert cli.main([*command, "--backend", "ray"]) == 1
    assert "pip install ray" in capsys.readouterr().err


def test_script_of_one_cell_says_how_long_and_computes_it(tmp_path, monkeypatch, capsys):
    path = Path(__file__).parents[1] / "benchmarks" / "table2_cell.py"
    spec = importlib.util.spec_from_file_location("table2_cell", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with monkeypatch.context() as patch:
        # 200 steps in a second, and the bounds of the 30 images of `TINY` in another one.
        patch.setattr(script, "_seconds", lambda *arguments, **options: 1.0)
        settings = replace(TINY, cells=TINY.cells[:1], draws=3, steps=1000)
        seconds = script.expected_seconds(settings)
    assert seconds == pytest.approx({"trainings": 3 * 1000 / 200, "validation": 3, "test": 1})

    options = ["GR-MC10", "--profile", "smoke", "--run", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["table2_cell.py", *options])
    script.main()
    said = capsys.readouterr().out
    assert "one run at a time" in said
    assert "GR-MC10" in said.splitlines()[-1]
    # `reproduce table2` finds the run.
    ids = {run_id(config) for config in table2.PROFILES["smoke"].configs()}
    (row,) = (tmp_path / "table2" / "runs").glob("*.json")
    assert row.stem in ids
