"""Random search over discrete VAEs, and Table 2: the protocol, and a kill that changes nothing."""

import importlib.util
import json
import math
import shutil
import signal
import warnings
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from seeded import seeded
from small_search import CELLS, refusing, reproduced, runs, small

from gumbelrao_edu import cli, estimators
from gumbelrao_edu.experiments import fig4, search, table2, table3
from gumbelrao_edu.experiments.experiment import Outcome, RunsFailedError, reproduce
from gumbelrao_edu.figures.rows import GR_10, row_of_label, rows
from gumbelrao_edu.training.errors import DamagedFileWarning
from gumbelrao_edu.training.files import load_state
from gumbelrao_edu.training.loop import Training
from gumbelrao_edu.training.run import Run, read_row, runs_of
from gumbelrao_edu.training.runs import run_all
from gumbelrao_edu.vae import importance_weighted_bound

TINY = small()

pytestmark = pytest.mark.usefixtures("few")


def test_profiles_are_those_of_the_paper_and_smaller_ones():
    paper, cpu = table2.EXPERIMENT.profiles["paper"], table2.EXPERIMENT.profiles["cpu"]
    assert len(search.configurations(paper)) == 20 * len(rows()) * 8
    for settings in (paper, cpu):
        assert (settings.steps, settings.full, settings.test_samples) == (50_000, True, 5000)
        assert settings.images is None
    assert [(row.label, n, b) for row, n, b in cpu.cells()] == [
        (label, 8, 20) for label in ("GS", "ST-GS", "GR-MC10", "GR-∞")
    ]
    by_draw = [(cell, draw) for draw in range(20) for cell in cpu.cells()]
    assert cpu.trainings() == by_draw  # a stopped search is a smaller one
    gpu = table2.EXPERIMENT.profiles["gpu"]
    assert replace(gpu, valid_samples=5000) == paper
    # The first draws of a larger search are those of a smaller one.
    few = [
        config["learning_rate"]
        for config in search.configurations(replace(paper, draws=6, cells=lambda: CELLS))
    ]
    assert few == [
        c["learning_rate"]
        for c in search.configurations(replace(paper, cells=lambda: CELLS))[: len(few)]
    ]
    for settings in table2.EXPERIMENT.profiles.values():
        texts = [json.dumps(config) for config in search.configurations(settings)]
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
    config = {**search.configurations(TINY)[1], "valid_samples": 2, "images": None}
    fractions = []
    (run,) = runs_of([config], tmp_path / "whole")
    run.tick = fractions.append
    whole = search.train(run)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1

    for stop in (0.5, 0.9):  # while it trains, and before the bounds are computed

        def stops(fraction, stop=stop):
            if fraction > stop:
                raise KeyboardInterrupt

        (stopped,) = runs_of([config], tmp_path / str(stop))
        stopped.tick = stops
        with pytest.raises(KeyboardInterrupt):
            search.train(stopped)
        assert stopped.checkpoint.exists()
        (again,) = runs_of([config], tmp_path / str(stop))
        assert search.train(again) == whole
        weights = [
            load_state(each.weights, about={"file": "weights", **config}) for each in (run, again)
        ]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_results_are_the_bounds_of_the_trained_model(tmp_path, few):
    run = runs(TINY, tmp_path)[0]
    result = search.train(run)
    model, _ = search.build(run.config)
    start = search.elbo(model, few.valid[:30])
    model.load_state_dict(load_state(run.weights, about={"file": "weights", **run.config}))
    assert result["valid_elbo"] == search.elbo(model, few.valid[:30]) != start
    bound = partial(importance_weighted_bound, model, generator=seeded(2021))
    valid = bound(few.valid[:30], num_samples=3).mean().item()
    assert result["valid_bound"] == pytest.approx(valid, rel=1e-5)
    # Of the test the same, with weights that are there, that were lost, and that were damaged.
    config = {**run.config, "test_samples": 4}
    tested = search.evaluate(Run(config, tmp_path / "test", before=run))
    bound.keywords["generator"].manual_seed(2021)
    bounds = bound(few.test[:30], num_samples=4)
    assert tested["test_bound"] == pytest.approx(bounds.mean().item(), rel=1e-5)
    assert tested["standard_error"] == pytest.approx(bounds.std().item() / 30**0.5, rel=1e-4)
    lost = runs(TINY, tmp_path / "lost")[0]
    assert search.evaluate(Run(config, tmp_path / "lost/test", before=lost)) == tested
    lost.weights.write_bytes(lost.weights.read_bytes()[:-1])
    with pytest.warns(DamagedFileWarning, match=r"is damaged .* It is now .*\.damaged"):
        assert search.evaluate(Run(config, tmp_path / "damaged/test", before=lost)) == tested


def test_a_bound_is_of_one_model(tmp_path, few, monkeypatch):
    """Bounds so far that another model left are set aside."""
    monkeypatch.setattr(search, "BOUND_CHUNK", 10)
    models = [search.build(runs(TINY, tmp_path)[0].config)[0] for _ in range(2)]
    with torch.no_grad():
        next(models[1].parameters()).mul_(2.0)

    def stop(fraction):
        raise KeyboardInterrupt

    def bounds(model, name, tick=lambda fraction: None):
        return search.bounds(model, few.test[:30], 4, tmp_path / name, about={}, tick=tick)

    whole = [bounds(model, f"whole{i}") for i, model in enumerate(models)]
    assert not torch.equal(*whole)
    for stopped in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            bounds(models[0], f"parts{stopped}", stop)
    assert torch.equal(bounds(models[0], "parts0"), whole[0])
    with pytest.warns(DamagedFileWarning, match="weights"):
        assert torch.equal(bounds(models[1], "parts1"), whole[1])


def with_a_buffer(build, config):
    """The model of another version of its class."""
    model, draws = build(config)
    model.register_buffer("running_more", torch.zeros(2))
    return model, draws


def test_files_of_a_model_that_lacked_a_buffer_are_set_aside(tmp_path, monkeypatch):
    """A checkpoint and weights of an older class hold no run up: it is trained anew."""
    build = search.build
    run = replace(runs(TINY, tmp_path)[0], form=search.RESULTS)
    whole = search.train(run)
    assert run.checkpoint.exists()
    monkeypatch.setattr(search, "build", partial(with_a_buffer, build))
    bounds = pytest.warns(DamagedFileWarning, match=r"valid\.\w+ was saved .* weights '\w+', not")
    older = pytest.warns(DamagedFileWarning, match=r"running_more missing, .* It is now checkpoint")
    with bounds, older:
        (row,) = run_all(search.train, [run], say=lambda line: None)
    assert row["status"] == "done"
    assert row["results"]["valid_bound"] == whole["valid_bound"]
    monkeypatch.setattr(search, "build", build)  # and the other way round
    config = {**run.config, "test_samples": 4}
    with pytest.warns(DamagedFileWarning, match=r"running_more of shape \(2,\), not missing"):
        search.evaluate(Run(config, tmp_path / "test", before=run))


def without_weights(tmp_path):
    """A search of which only the rows were kept; what it was asked for, and its table."""
    profile = small(cells=CELLS[:1], draws=1, steps=30)
    table = reproduced(table2.EXPERIMENT, profile, tmp_path)
    shutil.rmtree(tmp_path / "table2/models")
    shutil.rmtree(tmp_path / "table2/test")
    return profile, table


def test_a_model_that_is_trained_again_goes_on_after_a_stop(tmp_path, monkeypatch):
    profile, table = without_weights(tmp_path)
    made, step = [], Training._step

    def steps(training):
        step(training)
        made.append(training.step)
        if len(made) == 20:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Training, "_step", steps)
    with pytest.raises(KeyboardInterrupt):
        reproduced(table2.EXPERIMENT, profile, tmp_path)
    pd.testing.assert_frame_equal(reproduced(table2.EXPERIMENT, profile, tmp_path), table)
    assert made == [*range(1, 31)]
    assert not [*tmp_path.glob("table2/**/checkpoint*")]


def test_a_checkpoint_of_an_older_class_does_not_stop_a_second_training(tmp_path, monkeypatch):
    profile, table = without_weights(tmp_path)

    def stops(training, *report):
        if training.step == 7:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(search, "build", partial(with_a_buffer, search.build))
        patch.setattr(Training, "report", stops)
        with pytest.raises(KeyboardInterrupt):
            reproduced(table2.EXPERIMENT, profile, tmp_path)
    with pytest.warns(DamagedFileWarning, match="running_more"):
        again = reproduced(table2.EXPERIMENT, profile, tmp_path)
    pd.testing.assert_frame_equal(again, table)


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
    assert cells.failed.tolist() == [0, 0, 0]
    runs.loc[1, "status"] = "failed"  # a cell of which no run ended well is not left out
    cells = search.choose(runs).set_index("row")
    assert math.isnan(cells.valid["GR-MC10"])
    assert cells.loc["GR-MC10", ["draws", "diverged", "failed"]].tolist() == [2, 1, 1]
    outcome = Outcome(TINY, Path(), runs.to_dict("records"))
    object.__setattr__(outcome, "rows", [])  # only the table is looked at
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Outcome, "runs", runs)
        assert [i for i, _ in search.second(outcome)] == [2, 4]


@pytest.mark.paper("Table 2")
def test_the_table_has_the_form_of_the_paper():
    cells = pd.DataFrame(
        [
            ("GR-MC10", 8, 20, 97.56, 97.4),
            ("ZGR", 8, 20, 98.0, math.nan),
            ("GR-MC10", 2, 200, 100.0, 97.4),
        ],
        columns=["row", "arity", "batch_size", "test", "paper"],
    )
    table = table2.paper_form(cells)
    assert table.index.tolist() == ["GR-MC10", "ZGR"]
    assert table.columns.tolist() == ["binary, B = 200", "8-ary, B = 20"]
    assert table.loc["GR-MC10"].tolist() == ["100.0 (paper: 97.4)", "97.6 (paper: 97.4)"]
    assert table.loc["ZGR"].tolist() == ["", "98.0"]
    assert {*table2.PAPER} < {row.label for row in rows()}


def test_command_searches_tests_and_writes_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(table2.EXPERIMENT.profiles, "smoke", TINY)
    command = ["reproduce", "table2", "--profile", "smoke", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    out = tmp_path / "table2"
    table = pd.read_csv(out / "runs.csv")
    assert table.status.tolist() == ["done"] * 8
    assert {"torch", "hardware", "date", "seed", "device", "seconds"} <= {*table.columns}
    assert len([*(out / "models").iterdir()]) == 8
    cells = pd.read_csv(out / "table2.csv")
    assert cells["row"].tolist() == [row.label for row, _, _ in CELLS]
    for cell in cells.itertuples():
        tried = table[table.estimator == row_of_label(cell.row).estimator]
        assert -cell.valid == pytest.approx(tried.valid_bound.max(), rel=1e-5)
    tests = pd.read_csv(out / "test/runs.csv")
    assert (-tests.test_bound).tolist() == pytest.approx(cells.test.tolist(), rel=1e-5)
    assert "4-ary, B = 5" in (out / "table2.html").read_text()
    for run in runs(TINY, out):
        assert run.name.startswith(search.run_title(run.config))
        history = read_row(run.row)["results"]["history"]
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
    cells = reproduced(table2.EXPERIMENT, small([(GR_10, 4, 5)]), tmp_path)
    assert cells.diverged.tolist() == [1]
    assert cells.learning_rate.tolist() == [1e-3]
    assert math.isfinite(cells.test.iloc[0])


def test_commands_say_what_is_wrong_in_a_line(tmp_path, monkeypatch, capsys):
    command = ["reproduce", "table2", "--profile", "smoke", "--out", str(tmp_path)]
    with pytest.raises(SystemExit):
        cli.main([*command, "--jobs", "0"])
    assert "--jobs: expected a whole number from 1 to 1000, got '0'" in capsys.readouterr().err
    monkeypatch.setitem(table2.EXPERIMENT.profiles, "smoke", TINY)
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
        settings = small(CELLS[:1], draws=3, steps=1000)
        seconds = script.expected_seconds(settings)
    assert seconds == pytest.approx({"trainings": 3 * 1000 / 200, "validation": 3, "test": 1})

    options = ["GR-MC10", "--profile", "smoke", "--run", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["table2_cell.py", *options])
    script.main()
    said = capsys.readouterr().out
    assert "one run at a time" in said
    assert "GR-MC10" in said.splitlines()[-1]
    # `reproduce table2` finds the run.
    names = {run.name for run in runs(table2.EXPERIMENT.profiles["smoke"], tmp_path)}
    (row,) = (tmp_path / "table2" / "runs").glob("*.json")
    assert row.stem in names


def files_of(out):
    """What a search leaves, without what differs from time to time."""
    found = {}
    for path in sorted(out.rglob("*.json")):
        row = json.loads(path.read_text())
        found[path.relative_to(out)] = {k: row[k] for k in ("config", "status", "results")}
    return found


def near(one, other):
    """Equal, and numbers to rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(near, one, other))
    if isinstance(one, float):
        return one == pytest.approx(other, rel=1e-4)
    return one == other


def test_a_search_in_one_program_gives_the_same_files(tmp_path, monkeypatch):
    profile = small(draws=3)
    groups, lines = [], []

    def watched(runs):
        groups.append([search.run_title(run.config) for run in runs])
        return search.train_together(runs)

    together = replace(search.TOGETHER, train=watched)
    monkeypatch.setattr(search, "hyperparameters", tame(search.hyperparameters, diverges=2))
    record = replace(table2.EXPERIMENT, together=together)
    tables = [
        reproduce(record, profile, tmp_path / name, together=name == "together", say=lines.append)
        for name in ("apart", "together")
    ]
    assert not any("one by one" in line for line in lines)
    assert [len(group) for group in groups] == [3] * len(CELLS)
    assert groups[0] == [f"ST-GS_n4_B5_draw{i}" for i in range(3)]
    apart, stacked = (files_of(tmp_path / name) for name in ("apart", "together"))
    assert {row["status"] for row in apart.values()} == {"done", "diverged"}
    assert near(stacked, apart)
    pd.testing.assert_frame_equal(tables[0]["table2"], tables[1]["table2"], rtol=1e-4)
    names = [
        sorted(
            path.relative_to(tmp_path / name).as_posix()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        )
        for name in ("apart", "together")
    ]
    assert names[0] == names[1]


def tame(drawn, diverges):
    """Small learning rates, and one draw whose training explodes."""

    def hyperparameters(draw, record):
        found = {**drawn(draw, record), "momentum": 0.5}
        if draw == diverges:
            return {**found, "learning_rate": 1e9, "weight_decay": 0.1}
        return {**found, "learning_rate": 1e-3}

    return hyperparameters


def test_a_search_in_one_program_goes_on_after_a_stop(tmp_path, monkeypatch):
    profile = small(cells=CELLS[:2], draws=3, steps=60)
    record = table2.EXPERIMENT
    whole = reproduce(record, profile, tmp_path / "whole", together=True, say=lambda line: None)
    tick, ticks = Run.tick, []

    def stops(run, fraction):
        tick(run, fraction)
        ticks.append(fraction)
        if len(ticks) == 50:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Run, "tick", stops)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        reproduce(record, profile, tmp_path / "parts", together=True, say=lambda line: None)
    checkpoints = [*(tmp_path / "parts").rglob("checkpoint.safetensors")]
    assert len(checkpoints) == 3
    lines = []
    parts = reproduce(record, profile, tmp_path / "parts", together=True, say=lines.append)
    assert near(files_of(tmp_path / "parts"), files_of(tmp_path / "whole"))
    pd.testing.assert_frame_equal(parts["table2"], whole["table2"], rtol=1e-4)


def test_runs_that_cannot_be_computed_together_are_computed_one_by_one(tmp_path):
    def fails(runs):
        raise NotImplementedError("no rule")

    lines = []
    record = replace(table2.EXPERIMENT, together=replace(search.TOGETHER, train=fails))
    profile = small(cells=CELLS[:1])
    reproduce(record, profile, tmp_path, together=True, say=lines.append)
    assert any("one by one" in line and "no rule" in line for line in lines)
    assert {row["status"] for row in files_of(tmp_path).values()} == {"done"}


@pytest.mark.parametrize("backend", ["joblib", "dask"])
def test_on_a_gpu_runs_are_computed_together_unless_a_cluster_is_asked_for(
    tmp_path, monkeypatch, backend
):
    class AskedError(Exception):
        pass

    def run_all(function, runs, *, together, **options):
        raise AskedError(together is not None)

    monkeypatch.setattr("gumbelrao_edu.training.runs.run_all", run_all)
    monkeypatch.setattr("gumbelrao_edu.device.default_device", lambda: torch.device("cuda"))
    with pytest.raises(AskedError, match=str(backend == "joblib")):
        reproduce(table2.EXPERIMENT, small(CELLS[:1]), tmp_path, backend=backend)


def test_a_failure_of_the_second_round_is_explained_where_it_stands(tmp_path):
    def fails(run):
        raise RuntimeError("no room")

    record = replace(table2.EXPERIMENT, train_second=fails)
    with pytest.raises(RunsFailedError, match="1 runs failed") as raised:
        reproduce(record, small(CELLS[:1]), tmp_path, say=lambda line: None)
    path = tmp_path / "table2" / "test" / "runs.csv"
    assert f"for the reason see {path};" in str(raised.value)
    assert "no room" in path.read_text()


def damaged(path):
    path.write_text("{")


def failed(path):
    row = json.loads(path.read_text()) | {"status": "failed", "error": "no memory"}
    del row["checksum"]  # it was that of the other row
    path.write_text(json.dumps(row))


@pytest.mark.parametrize("spoil", [damaged, failed])
def test_only_whole_rows_of_other_experiments_are_taken(tmp_path, spoil):
    profile = small(CELLS[:1], draws=1)
    for record in (table2.EXPERIMENT, table3.EXPERIMENT):
        reproduced(record, profile, tmp_path)
    rows = [next((tmp_path / name / "runs").glob("*.json")) for name in ("table2", "table3")]
    whole = rows[1].read_bytes()
    spoil(rows[0])  # of two folders beside it the first one
    spoilt = rows[0].read_bytes()
    reproduced(refusing(fig4.EXPERIMENT), profile, tmp_path)
    assert (tmp_path / "fig4" / "runs" / rows[0].name).read_bytes() == whole
    assert rows[0].read_bytes() == spoilt
    told = pytest.warns(DamagedFileWarning, match=rf"{rows[0].name} is damaged.*It is now")
    with told if spoil is damaged else nullcontext():
        reproduced(refusing(table2.EXPERIMENT), profile, tmp_path)  # and the folder's own
    assert rows[0].read_bytes() == whole
    assert rows[0].with_name(f"{rows[0].name}.damaged").exists() == (spoil is damaged)
    spoil(rows[0])
    spoil(rows[1])
    spoil(tmp_path / "fig4" / "runs" / rows[0].name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFileWarning)
        with pytest.raises(ArithmeticError, match="no run ended well"):  # there is nothing to take
            reproduced(refusing(table2.EXPERIMENT), profile, tmp_path)


@pytest.mark.usefixtures("few")
def test_weights_of_another_training_are_not_taken(tmp_path):
    """Another machine may have come to other results of the same run."""
    profile = small(CELLS[:1], draws=1)
    reproduced(table3.EXPERIMENT, profile, tmp_path)
    (row,) = (tmp_path / "table3/runs").glob("*.json")
    weights = tmp_path / "table3/models" / f"{row.stem}.safetensors"
    assert weights.exists()
    other = json.loads(row.read_text())
    other["results"]["valid_bound"] -= 0.7
    del other["checksum"]
    there = tmp_path / "table2/runs" / row.name
    there.parent.mkdir(parents=True)
    there.write_text(json.dumps(other))
    with pytest.warns(UserWarning, match="the test is that of another model"):
        reproduced(table2.EXPERIMENT, profile, tmp_path)
    reproduced(refusing(fig4.EXPERIMENT), profile, tmp_path)  # with its own row it is taken


def test_what_is_drawn_is_what_a_training_gets(few, monkeypatch):
    """Each setting by itself, against the configuration: a training would run with any."""
    split = torch.arange(3.0)[:, None] < torch.tensor([1.0, 2.0, 3.0])  # of different means
    data = replace(few, train=(few.train * split[0, 0]).to(torch.uint8), test=1 - few.test)
    monkeypatch.setattr(search, "load_digits", lambda full: data)
    search.digits.cache_clear()
    made = []

    class Spy(search.Training):
        def __init__(self, model, loss, examples, **settings):
            made.append((model, examples, settings))
            super().__init__(model, loss, examples, **settings)

    monkeypatch.setattr(search, "Training", Spy)
    two = [run.config for run in runs(small(CELLS[:1]), Path())]
    assert len(two) == 2
    for config in two:
        model, draws = search.build(config)
        initial = draws.get_state()
        search.begin(config, model, draws)
        _, examples, settings = made[-1]
        assert examples is data.train
        for name in ("batch_size", "learning_rate", "momentum", "weight_decay", "seed"):
            assert settings[name] == config[name]
        assert settings["generators"] == [draws]
        assert draws.initial_seed() == config["seed"]
        assert torch.equal(initial, seeded(config["seed"]).get_state())
        assert model.estimator.hyper["tau"] == config["tau"]
        torch.testing.assert_close(model.pixel_mean, data.train.float().mean(0))
        assert model.encoder[0].out_features == 5
    for name in ("learning_rate", "momentum", "seed", "tau"):
        assert two[0][name] != two[1][name]
    search.digits.cache_clear()


def test_each_chunk_of_a_bound_has_draws_of_its_own(tmp_path, few, monkeypatch):
    """Of the same image in two chunks the bounds differ."""
    model, _ = search.build(runs(small(CELLS[:1]), tmp_path)[0].config)
    monkeypatch.setattr(search, "BOUND_CHUNK", 10)
    images = few.valid[:1].expand(20, -1)
    found = search.bounds(
        model, images, 3, tmp_path / "bounds", about={"of": "a test"}, tick=lambda fraction: None
    )
    assert len(found.unique()) == 20
