"""Table 1: runs that resume exactly, the choice of the learning rate, the table, the command."""

import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from seeded import seeded

from gumbelrao_edu import cli
from gumbelrao_edu.experiments import clipping, table1
from gumbelrao_edu.experiments.experiment import reproduce
from gumbelrao_edu.experiments.table1 import Grid
from gumbelrao_edu.figures.rows import CLIPPED, GR_10, GR_INF, ST_GS, ST_GS_CLIPPED, ZGR
from gumbelrao_edu.listops import ListOps, Split, generate
from gumbelrao_edu.listops.scores import Scores
from gumbelrao_edu.training.run import Run, read_row, runs_of

TINY = Grid((0, 1), (0.5,), (0.1,), (ST_GS, GR_INF, ZGR), epochs=2, train=60, dim=8)


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path_factory):
    """A small set in place of the 80,000 examples; and no published test set."""
    examples = generate(400, max_length=10, generator=seeded())
    parts = (Split(examples[i::4], "few") for i in (0, 1, 2))
    data = ListOps(*parts, "few")
    monkeypatch.setattr(table1, "load_listops", lambda full: data)
    monkeypatch.setattr(table1, "load_published_test", lambda: Split(examples[:200], "others"))
    table1.sentences.cache_clear()
    yield data
    table1.sentences.cache_clear()


def test_profiles_are_those_of_the_paper_and_smaller_ones():
    paper, cpu = table1.PROFILES["paper"], table1.PROFILES["cpu"]
    assert len(table1.configurations(paper)) == 5 * 10 * 3 * (8 * 3 + 1)  # ZGR has no τ
    assert {config["epochs"] for config in table1.configurations(paper)} == {10}
    assert all(config["published"] for config in table1.configurations(paper))
    assert (len(cpu.seeds), len(cpu.learning_rates), cpu.epochs, cpu.train) == (3, 3, 10, None)
    # A stopped grid has whole seeds, and first what the paper did.
    seeds = [config["seed"] for config in table1.configurations(cpu)]
    assert seeds == [seed for count in (18, 6) for seed in (0, 1, 2) for _ in range(count)]
    # The other grid is the temperature between, with two learning rates.
    between = table1.configurations(cpu)[54:]
    assert [config["learning_rate"] for config in between] == ([0.05] * 3 + [0.1] * 3) * 3
    assert {(config["tau"], config["validations"]) for config in between} == {(0.1, 1)}
    clips = [config["clip"] for config in table1.configurations(paper)]
    assert clips == [None] * (len(clips) - 3 * 450) + [1.0] * 3 * 450
    for settings in table1.PROFILES.values():
        texts = [json.dumps(config) for config in table1.configurations(settings)]
        assert len(set(texts)) == len(texts)


def test_training_reports_each_epoch_and_the_best(few, tmp_path):
    config = table1.configurations(TINY)[0]
    fractions = []
    run = Run(config, tmp_path)
    run.tick = fractions.append
    results = table1.train(run)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert [entry["epoch"] for entry in results["history"]] == [0, 1, 2]
    assert results["diverged_at"] is None
    best = max(results["history"], key=lambda entry: entry["valid_accuracy"])
    for name in ("valid_accuracy", "test_accuracy", "published_accuracy", "test_f1"):
        assert results[name] == best[name]
        assert results[f"last_{name}"] == results["history"][-1][name]
    # Of the other set's 200 sentences those are left out that were trained on or chosen by.
    _, unseen = table1.sentences(False, 10, 60)
    used = {e.tokens for e in (*few.train.examples[:60], *few.valid.examples)}
    left = {e.tokens for e in unseen.examples}
    assert not used & left
    assert {e.tokens for e in few.test.examples} & left


def test_validations_within_an_epoch_change_no_training(tmp_path):
    config = table1.configurations(TINY)[0]
    once = table1.train(Run(config, tmp_path))
    often = table1.train(Run({**config, "validations": 4}, tmp_path))
    assert [entry["step"] for entry in often["history"]] == [0, 2, 3, 5, 6, 8, 9, 11, 12]
    at_ends = [entry for entry in often["history"] if entry["epoch"] in (0, 1, 2)]
    for one, other in zip(once["history"], at_ends, strict=True):
        assert {**one, "loss": 0} == {**other, "loss": 0}  # a mean since the last validation
    best = max(often["history"], key=lambda entry: entry["valid_accuracy"])
    assert (often["best_epoch"], often["test_f1"]) == (best["epoch"], best["test_f1"])
    assert often["last_test_f1"] == once["last_test_f1"]


def test_what_was_best_within_an_epoch_outlasts_the_end_of_a_training(tmp_path, monkeypatch):
    """A training that breaks off in its first epoch has what was validated before."""
    grown = iter((10.0, 30.0, 20.0))

    def accuracy(model, split):
        return next(grown) / 100 if split is data.valid else 0.5

    config = {**table1.configurations(TINY)[0], "validations": 3}
    data, _ = table1.sentences(False, 10, 60)
    step = table1.Training._step

    def breaks_off(training):
        if training.step == 5:
            raise training._diverged("the loss is nan")
        step(training)

    monkeypatch.setattr(table1, "accuracy", accuracy)
    monkeypatch.setattr(table1, "score", lambda model, split: Scores(0.5, 0.5, 3.0))
    monkeypatch.setattr(table1.Training, "_step", breaks_off)
    results = table1.train(Run(config, tmp_path))
    assert results["diverged_at"] == 6
    assert (results["best_epoch"], results["valid_accuracy"]) == (1 / 3, 30.0)
    assert "test_accuracy" not in results["history"][2]
    assert results["last_valid_accuracy"] == 10.0


def test_clipped_trainings_come_seed_by_seed_and_their_table_holds_both(tmp_path):
    cpu = clipping.configurations(clipping.EXPERIMENT.profiles["cpu"])
    clips = [config["clip"] for config in cpu]
    seeds = [config["seed"] for config in cpu]
    assert seeds == sorted(seeds)
    assert clips == ([1.0] * 6 + [None] * 2) * len({*seeds})
    profile = replace(TINY, rows=(ST_GS, *CLIPPED[:1]), seeds=(0,))
    tables = reproduce(clipping.EXPERIMENT, profile, tmp_path, say=lambda line: None)
    assert tables["clipping"]["row"].tolist() == [ST_GS_CLIPPED.label, ST_GS.label]


def test_a_run_that_was_stopped_ends_the_same(tmp_path):
    config = {**table1.configurations(TINY)[0], "estimator": "gumbel_rao", "k": 10}
    whole = table1.train(Run(config, tmp_path / "a"))

    def stops(fraction):
        if fraction > 0.6:
            raise KeyboardInterrupt

    stopped = Run(config, tmp_path / "b")
    stopped.tick = stops
    with pytest.raises(KeyboardInterrupt):
        table1.train(stopped)
    assert stopped.checkpoint.exists()
    assert table1.train(Run(config, tmp_path / "b")) == whole


def test_seeds_are_shared_by_the_estimators():
    """The same initial weights and the same order of the data, whatever the estimator."""
    seen = []

    class Stop(Exception):
        pass

    class Spy(table1.Training):
        def run(self, *arguments, **options):
            order = torch.randperm(100, generator=self._generators[0])
            seen.append((self.model.query.detach().clone(), order, self.settings))
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table1, "Training", Spy)
        for config in table1.configurations(TINY):
            with pytest.raises(Stop):
                table1.train(Run(config, Path()))
    by_seed = {0: seen[: len(seen) // 2], 1: seen[len(seen) // 2 :]}
    for runs in by_seed.values():
        assert all(torch.equal(runs[0][i], other[i]) for other in runs for i in (0, 1))
    assert not torch.equal(by_seed[0][0][0], by_seed[1][0][0])
    assert not torch.equal(by_seed[0][0][1], by_seed[1][0][1])
    settings = seen[0][2]
    assert (settings["batch_size"], settings["weight_decay"]) == (10, 1e-4)
    assert settings["clip"] is None


def test_what_the_grid_says_is_what_a_training_gets(few):
    rows = (ST_GS, replace(ST_GS, clip=1.0))
    grid = replace(TINY, seeds=(3,), taus=(0.2, 0.7), rows=rows)
    made = []

    class Spy(table1.Training):
        def __init__(self, model, loss, examples, **settings):
            made.append((model, examples, settings))
            super().__init__(model, loss, examples, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table1, "Training", Spy)
        for config in table1.configurations(grid):
            trial = table1._Trial(Run({**config, "dim": 12}, Path()))
            model, examples, settings = made[-1]
            assert examples is trial.data.train
            assert settings["clip"] == config["clip"]
            assert settings["learning_rate"] == config["learning_rate"]
            assert settings["seed"] == 3
            assert settings["generators"][0].initial_seed() == 3
            assert model.estimator.hyper["tau"] == config["tau"]
            assert len(model.query) == 12
    seen = {(settings["clip"], model.estimator.hyper["tau"]) for model, _, settings in made}
    assert seen == {(None, 0.2), (None, 0.7), (1.0, 0.2), (1.0, 0.7)}


def test_the_test_is_on_the_test_set(few):
    trial = table1._Trial(Run(table1.configurations(TINY)[0], Path()))
    on_test, on_valid = (table1.score(trial.model, part) for part in (few.test, few.valid))
    found = trial.tests()
    assert found["test_accuracy"] == 100 * on_test.accuracy
    assert found["test_f1"] == on_test.f1 != on_valid.f1


def test_a_run_that_diverges_counts_up_to_its_best_epoch(tmp_path, few):
    config = {**table1.configurations(TINY)[0], "learning_rate": 1e9}
    results = table1.train(Run(config, tmp_path))
    assert 1 < results["diverged_at"] <= 6
    assert [entry["epoch"] for entry in results["history"]] == [0]
    assert results["best_epoch"] == 0
    assert results["test_accuracy"] == results["history"][0]["test_accuracy"]


def some_runs(*rows):
    columns = "estimator k clip tau learning_rate seed diverged_at valid_accuracy test_accuracy"
    table = pd.DataFrame(rows, columns=columns.split()).astype({"diverged_at": "Int64"})
    return table.assign(
        length=10, status="done", published_accuracy=None, test_f1=0.5, test_depth=3.0
    )


def test_learning_rate_is_chosen_on_the_validation_set():
    gr = ("gumbel_rao", 10, None, 0.1)
    runs = some_runs(
        (*gr, 0.3, 0, None, 50.0, 90.0),
        (*gr, 0.3, 1, None, 54.0, 90.0),
        (*gr, 0.6, 0, None, 60.0, 40.0),
        (*gr, 0.6, 1, 7, 62.0, 44.0),
        (*gr, 0.9, 0, None, 99.0, 99.0),
        (*gr, 0.9, 1, None, 99.0, 99.0),
    )
    runs.loc[5, "status"] = "failed"  # a rate with fewer seeds is not chosen
    cells = table1.summarise(runs)
    assert len(cells) == 1
    cell = cells.iloc[0]
    assert (cell.learning_rate, cell.seeds, cell.diverged) == (0.6, 2, 1)
    assert (cell.accuracy, cell.standard_error) == (42.0, 2.0)
    assert cell.paper == 66.9


@pytest.mark.paper("Table 1")
def test_table_has_the_form_of_the_paper():
    st = "st_gumbel_softmax"
    cells = table1.summarise(
        some_runs(
            ("zgr", None, None, None, 0.3, 0, None, 50.0, 61.0),
            ("gumbel_rao", math.inf, None, 0.01, 0.3, 0, None, 50.0, 62.0),
            (st, None, None, 0.01, 0.3, 0, None, 50.0, 40.0),
            (st, None, None, 0.01, 0.3, 1, None, 50.0, 42.0),
            (st, None, 1.0, 0.01, 0.3, 1, None, 50.0, 60.0),
        )
    )
    table = table1.paper_form(cells)
    assert table.index.tolist() == ["ST-GS", "GR-∞", "ZGR", "ST-GS, clipped at 1"]
    assert table.columns.tolist() == ["L ≤ 10, τ → 0", "L ≤ 10, τ = 0.01"]
    assert table.loc["ST-GS"].tolist() == ["", "41.0 ± 1.0 (paper: 38.8)"]
    assert table.loc["GR-∞"].tolist() == ["", "62.0"]
    assert table.loc["ZGR"].tolist() == ["61.0", ""]
    assert table.loc["ST-GS, clipped at 1"].tolist() == ["", "60.0"]


def test_all_rows_of_the_paper_are_there():
    labels = {row.label for row in table1.ROWS}
    assert {label for label, _ in table1.PAPER} == labels - {
        "GR-∞",
        "ZGR",
        *(row.label for row in CLIPPED),
    }
    assert len(table1.PAPER) == 4 * 3


def test_command_writes_rows_and_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(table1.PROFILES, "smoke", TINY)
    command = ["reproduce", "table1", "--profile", "smoke", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    out = tmp_path / "table1"
    runs = pd.read_csv(out / "runs.csv")
    assert runs.status.tolist() == ["done"] * 6
    assert {"torch", "hardware", "date", "seed", "device", "seconds"} <= {*runs.columns}
    cells = pd.read_csv(out / "table1.csv")
    assert cells["row"].tolist() == ["ST-GS", "GR-∞", "ZGR"]
    assert (cells.seeds == 2).all()
    for run in runs_of(table1.configurations(TINY), out, table1.run_title):
        assert len(read_row(run.row)["results"]["history"]) == 3
    page = (out / "table1.html").read_text()
    assert "τ → 0" in page
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert cli.main(command) == 0  # and now there is nothing left to do
    assert "6 of 6 runs are in" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()} == before


def test_command_says_when_nothing_ended_well(tmp_path, monkeypatch, capsys):
    settings = Grid((0,), (-1.0,), (0.1,), (GR_10,), epochs=1, train=60, dim=8)
    monkeypatch.setitem(table1.PROFILES, "smoke", settings)
    command = ["reproduce", "table1", "--profile", "smoke", "--out", str(tmp_path)]
    assert cli.main(command) == 1
    assert "no run ended well" in capsys.readouterr().err
    (run,) = runs_of(table1.configurations(settings), tmp_path / "table1", table1.run_title)
    row = read_row(run.row)
    assert row["status"] == "failed"
    assert "learning rate: -1.0" in row["error"]


def left_by(out):
    """What the trainings left, without what differs from time to time."""
    return {
        path.name: {k: row[k] for k in ("config", "status", "results")}
        for path in sorted(out.rglob("*.json"))
        if (row := read_row(path))
    }


def near(one, other):
    """Equal, and numbers to rounding."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(near, one, other))
    return one == (pytest.approx(other, rel=1e-4) if isinstance(one, float) else other)


def test_a_table_in_one_program_gives_the_same_files(tmp_path):
    rows = (ST_GS, GR_INF, ZGR, *CLIPPED[:1])
    profile = replace(TINY, taus=(0.1, 1.0), learning_rates=(0.5, 1e9), rows=rows, validations=2)
    groups, lines = [], []

    def watched(runs):
        groups.append(len(runs))
        return table1.train_together(runs)

    record = replace(table1.EXPERIMENT, together=replace(table1.EXPERIMENT.together, train=watched))
    tables = [
        reproduce(record, profile, tmp_path / name, together=name == "together", say=lines.append)
        for name in ("apart", "together")
    ]
    assert not any("one by one" in line for line in lines)
    assert groups == [8, 8, 4, 8]  # a row each, of all seeds, rates and temperatures
    apart, stacked = (left_by(tmp_path / name) for name in ("apart", "together"))
    assert {row["status"] for row in apart.values()} == {"done"}
    diverged = [row["results"]["diverged_at"] is not None for row in apart.values()]
    assert any(diverged)
    assert not all(diverged)
    assert near(stacked, apart)
    pd.testing.assert_frame_equal(tables[0]["table1"], tables[1]["table1"], rtol=1e-4)
    files = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*"))
        for name in ("apart", "together")
    ]
    assert files[0] == files[1]


def test_a_table_in_one_program_goes_on_after_a_stop(tmp_path, monkeypatch):
    profile = replace(TINY, learning_rates=(0.5, 1e9))
    whole = reproduce(
        table1.EXPERIMENT, profile, tmp_path / "whole", together=True, say=lambda line: None
    )
    tick, fractions = Run.tick, []

    def stops(run, fraction):
        tick(run, fraction)
        fractions.append(fraction)
        if fractions.count(0.5) == 2:
            fractions.append(0.5)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Run, "tick", stops)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        reproduce(
            table1.EXPERIMENT, profile, tmp_path / "parts", together=True, say=lambda line: None
        )
    assert [*(tmp_path / "parts").rglob("checkpoint.safetensors")]
    parts = reproduce(
        table1.EXPERIMENT, profile, tmp_path / "parts", together=True, say=lambda line: None
    )
    assert near(left_by(tmp_path / "parts"), left_by(tmp_path / "whole"))
    pd.testing.assert_frame_equal(parts["table1"], whole["table1"], rtol=1e-4)


def test_long_sentences_are_computed_together_seed_by_seed():
    short, long = (
        replace(TINY, rows=(ST_GS,), learning_rates=(0.1, 0.2), lengths=(length,))
        for length in (10, 25)
    )
    alike = [
        len({str(table1.alike(config)) for config in table1.configurations(grid)})
        for grid in (short, long)
    ]
    assert alike == [1, 2]
    gpu = table1.configurations(table1.PROFILES["gpu"])
    assert gpu == [
        config
        for config in table1.configurations(table1.PROFILES["paper"])
        if config["length"] == 10
    ]


@pytest.mark.parametrize("together", [False, True])
def test_weights_that_explode_in_the_last_step_before_a_validation_are_a_result(tmp_path, together):
    """On a CPU the validation is the first that sees them."""
    profile = replace(TINY, rows=(ST_GS,), learning_rates=(1e30,), validations=6)
    reproduce(table1.EXPERIMENT, profile, tmp_path, together=together, say=lambda line: None)
    rows = [*left_by(tmp_path).values()]
    assert [row["status"] for row in rows] == ["done", "done"]
    for row in rows:
        assert row["results"]["diverged_at"] is not None
        assert all("valid_accuracy" in entry for entry in row["results"]["history"])
