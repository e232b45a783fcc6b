"""Trainings whose temperature falls: schedules, resuming, the table."""

import dataclasses
import math

import pytest
import torch
from small_search import never

from gumbelrao_edu.experiments import annealing, search
from gumbelrao_edu.experiments.experiment import reproduce
from gumbelrao_edu.modules import GumbelRao
from gumbelrao_edu.training.run import read_row, runs_of

pytestmark = pytest.mark.usefixtures("few")

PROFILE = annealing.Annealing((0, 1), 6, False, (5,), valid_samples=3, images=30)


def runs(out):
    return runs_of(annealing.configurations(PROFILE), out, annealing.run_title)


def test_all_schedules_and_estimators_start_from_the_same_weights_and_data(tmp_path):
    found = runs(tmp_path)
    assert len(found) == 2 * 6 * 2
    weights = {}
    for run in found:
        model, _ = search.build(run.config)
        own = torch.cat([p.detach().flatten() for p in model.parameters()])
        same = weights.setdefault(run.config["seed"], own)
        assert torch.equal(own, same)
    assert not torch.equal(weights[0], weights[1])
    assert len({(run.config["learning_rate"], run.config["momentum"]) for run in found}) == 1


@pytest.mark.parametrize("shape", ["linear", "exponential", "cosine"])
def test_each_step_has_the_temperature_of_the_schedule(shape, tmp_path, monkeypatch):
    temperatures = []
    forward = GumbelRao.forward

    def noted(layer, logits, **options):
        temperatures.append((layer.tau, layer.k))
        return forward(layer, logits, **options)

    monkeypatch.setattr(GumbelRao, "forward", noted)
    for k in (1, math.inf):
        run = next(
            run
            for run in runs(tmp_path)
            if run.config["shape"] == shape and (run.config["k"] or 1) == k
        )
        annealing.train(run)
        x = [t / 6 for t in range(6)]
        expected = {
            "linear": [1 - 0.9 * t for t in x],
            "exponential": [10**-t for t in x],
            "cosine": [0.1 + 0.45 * (1 + math.cos(math.pi * t)) for t in x],
        }[shape]
        assert [tau for tau, _ in temperatures] == pytest.approx(expected)
        assert {k for _, k in temperatures} == {k}
        temperatures.clear()


def test_a_stopped_training_goes_on_at_its_temperature(tmp_path, monkeypatch):
    whole, stopped = runs(tmp_path / "whole")[-1], runs(tmp_path / "stopped")[-1]
    assert whole.config["shape"] == "cosine"
    expected = annealing.train(whole)

    class Stop(Exception):
        pass

    left = [4]
    loss = annealing.loss

    def stopping(model, images):
        left[0] -= 1
        if left[0] < 0:
            raise Stop
        return loss(model, images)

    monkeypatch.setattr(annealing, "loss", stopping)
    with pytest.raises(Stop):
        annealing.train(stopped)
    left[0] = 100
    assert annealing.train(stopped) == expected
    assert 0 < 100 - left[0] <= 6  # what was done was not all done again


def test_the_table_has_a_row_for_each_schedule_and_estimator(tmp_path):
    cells = reproduce(annealing.EXPERIMENT, PROFILE, tmp_path, say=lambda line: None)["annealing"]
    assert len(cells) == 12
    assert cells.seeds.unique().tolist() == [2]
    assert cells.diverged.unique().tolist() == [0]
    ended = [read_row(run.row) for run in runs(tmp_path / "annealing")]
    own = [
        -row["results"]["valid_bound"]
        for row in ended
        if row["config"]["shape"] == "linear" and row["config"]["k"] is None
    ]
    cell = cells[(cells.schedule == "linear, 1 to 0.1") & (cells.row == "ST-GS")].iloc[0]
    assert cell["mean"] == pytest.approx(sum(own) / 2, rel=1e-5)  # six digits are kept
    assert cell.standard_error == pytest.approx(abs(own[0] - own[1]) / 2, rel=1e-4)
    form = annealing.arranged(cells)
    assert form.columns.tolist() == ["ST-GS", "GR-∞"]
    assert (
        form.loc["linear, 1 to 0.1", "ST-GS"] == f"{cell['mean']:.1f} ± {cell.standard_error:.1f}"
    )
    again = dataclasses.replace(annealing.EXPERIMENT, train=never)
    assert reproduce(again, PROFILE, tmp_path, say=lambda line: None)["annealing"].equals(cells)
