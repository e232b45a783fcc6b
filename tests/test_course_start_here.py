"""The first figure of the course: its loss against enumeration, and what its two lines do."""

import itertools
import math

import pytest
import torch
from seeded import seeded

from gumbelrao_edu.course.start_here.figures import TAUS, forward_and_backward, race
from gumbelrao_edu.figures import trace
from gumbelrao_edu.problems.mixture import Mixture


def test_the_expected_loss_is_that_of_an_enumeration():
    mixture = Mixture.draw(3, 4, seed=3)
    logits = torch.randn(3, 4, generator=seeded(1))
    p, corners = logits.softmax(-1), torch.eye(4)
    expected = 0.0
    for choice in itertools.product(range(4), repeat=3):
        weight = math.prod(p[v, i].item() for v, i in enumerate(choice))
        expected += weight * mixture(corners[list(choice)]).item()
    assert mixture.mean(logits).item() == pytest.approx(expected, rel=1e-5)


def test_there_is_a_choice_without_loss():
    mixture = Mixture.draw(4, 2)
    losses = [mixture(torch.eye(2)[list(c)]) for c in itertools.product(range(2), repeat=4)]
    assert min(losses).item() == pytest.approx(0.0, abs=1e-9)


@pytest.fixture(scope="module")
def panel():
    return race()


def both(panel):
    return [trace(panel.figure, name) for name in ("ST-GS", "Gumbel-Rao")]


def test_one_line_falls_and_the_other_is_stuck(panel):
    assert (panel.controls["tau"].value, panel.controls["k"].value) == (0.05, math.inf)
    st_gs, gr = both(panel)
    assert gr.y[-1] < st_gs.y[-1] / 3
    half = len(st_gs.y) // 2
    assert st_gs.y[-1] > 0.8 * st_gs.y[half]  # for the second half of the steps, no gain
    assert gr.y[-1] < st_gs.y[0] / 8


def test_with_one_sample_the_lines_are_one(panel):
    panel.controls["k"].value = 1
    for tau in TAUS:
        panel.controls["tau"].value = tau
        st_gs, gr = both(panel)
        assert st_gs.y == gr.y


def test_both_ways_forward_are_one_and_the_ways_back_differ():
    figure = forward_and_backward().figure
    texts = [text.text for text in figure.layout.annotations]
    for box in ("logits θ", "θ + G", "choice D", "loss f(D)", "∂f / ∂D", "gradient<br>for θ"):
        assert texts.count(box) == 2
    assert sum(text.startswith("slope of softmax") for text in texts) == 1
    assert sum(text.startswith("slope at") for text in texts) == 3
    assert texts.count("mean") == 1
