"""Trainings side by side, with their curves."""

from __future__ import annotations

import pytest
import torch
from small_training import assert_same, interrupted_at, new

from gumbelrao_edu.course.live import LiveTraining
from gumbelrao_edu.figures import trace
from gumbelrao_edu.figures.rows import GR_10, ST_GS
from gumbelrao_edu.training.loop import Training

LOOKS = {"a": ST_GS, "b": GR_10}


def test_live_curves() -> None:
    trainings = {"a": new(), "b": new(seed=1)}
    live = LiveTraining(trainings, LOOKS)
    turns = []
    live.run(45, every=10, callback=lambda training: turns.append(training.step))
    assert turns == [10, 10, 20, 20, 30, 30, 40, 40, 45, 45]
    for name, training in trainings.items():
        curve = trace(live.figure, name)
        assert list(curve.x) == [10, 20, 30, 40, 45]
        assert list(curve.y) == [row["loss"] for row in training.history]
    progress = live.children[0]
    assert progress.value == progress.max == 90
    last = [training.history[-1]["loss"] for training in trainings.values()]
    assert live.caption == f"Step 45 of 45: loss {last[0]:.2f} (a), {last[1]:.2f} (b)."
    alone = new()
    alone.run(40, every=10)
    alone.run(45, every=10)
    assert_same(alone, trainings["a"])


def test_live_curves_go_on_after_an_interrupt() -> None:
    trainings = {"a": new(), "b": new(interrupted_at(13))}
    live = LiveTraining(trainings, LOOKS)
    with pytest.raises(KeyboardInterrupt):
        live.run(40, every=10)
    assert [training.step for training in trainings.values()] == [20, 13]
    assert [list(trace(live.figure, name).x) for name in ("a", "b")] == [[10, 20], [10]]
    live.need(13)
    with pytest.raises(RuntimeError, match="stopped at step 13, and from here on step 20 is"):
        live.need(20)
    live.run(40, every=10)
    live.need(20)
    whole = new()
    whole.run(40, every=10)
    assert [list(trace(live.figure, name).x) for name in ("a", "b")] == [[10, 20, 30, 40]] * 2
    assert_same(whole, trainings["b"])


def test_live_curves_are_drawn_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveTraining({"a": new()}, LOOKS)
    draws = []
    monkeypatch.setattr(live, "_draw", lambda until: draws.append(until))
    monkeypatch.setattr("gumbelrao_edu.course.live.time.monotonic", lambda: 0.1)
    live.run(50, every=1)
    assert len(draws) == 1  # the last one: the clock stands still


def test_the_others_go_on_when_one_diverges():
    def new(learning_rate):
        model = torch.nn.Linear(1, 1)
        with torch.no_grad():
            model.weight.fill_(1.0)
            model.bias.zero_()
        return Training(
            model,
            lambda model, x: model(x).square().mean(),
            torch.ones(9, 1),
            batch_size=3,
            learning_rate=learning_rate,
        )

    trainings = {"slow": new(0.01), "wild": new(1e9)}
    live = LiveTraining(trainings, {"slow": ST_GS, "wild": GR_10})
    live.run(until=30, every=10)
    assert live.children[0].value == live.children[0].max == 60  # nothing is left to do
    live.run(until=40, every=10)
    assert live.children[0].value == live.children[0].max == 80
    assert (live.diverged, trainings["slow"].step) == (["wild"], 40)
    at = trainings["wild"].step + 1
    assert at < 10
    assert live.caption.startswith("Step 40 of 40: loss ")
    assert live.caption.endswith(f"(slow). wild has diverged at step {at}.")
    everything = LiveTraining({"wild": trainings["wild"]}, {"wild": GR_10})
    everything.run(until=50)
    assert everything.diverged == ["wild"]
