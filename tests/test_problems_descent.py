"""Gradient descent on the quadratic programme: steps, derivatives, clipping."""

import math

import pytest
import torch
from seeded import seeded

from gumbelrao_edu.problems import QuadraticProgramme, descend

START = torch.tensor([[0.04, 0.06, 0.9], [0.8, 0.1, 0.1]], dtype=torch.float64)


def centred_steps(path):
    """The steps of θ, from those of log p: gradients sum to 0."""
    steps = path.log().diff(dim=0)
    return steps - steps.mean(-1, keepdim=True)


@pytest.mark.parametrize("whole", [True, False])
def test_exact_descent_follows_the_gradient(whole):
    programme = QuadraticProgramme()
    path = descend(programme, "exact", START, whole=whole, steps=30, learning_rate=0.1)
    assert path.shape == (31, 2, 3)
    torch.testing.assert_close(path[0], START)
    gradients = programme.gradient(path[:-1].log(), fixed=not whole)
    torch.testing.assert_close(centred_steps(path), -0.1 * gradients, rtol=1e-6, atol=1e-9)


def test_runs_may_differ_in_derivative_and_temperature():
    programme = QuadraticProgramme()
    options = {"steps": 20, "learning_rate": 0.1}
    both = descend(programme, "exact", START, whole=torch.tensor([True, False]), **options)
    for i, whole in enumerate([True, False]):
        alone = descend(programme, "exact", START[[i]], whole=whole, **options)
        torch.testing.assert_close(both[:, [i]], alone)
    # At a high temperature all that is left of ST-GS with A fixed is a small step.
    tau = torch.tensor([0.1, 1000.0], dtype=torch.float64)
    same = START[[0, 0]]
    generator = seeded()
    path = descend(
        programme, "st_gumbel_softmax", same, whole=False, generator=generator, tau=tau, **options
    )
    lengths = centred_steps(path).norm(dim=-1).sum(0)
    assert lengths[1] < 1e-2 * lengths[0]


@pytest.mark.parametrize("name", ["reinforce", "gumbel_softmax", "straight_through", "gumbel_rao"])
def test_whole_derivative_arrives_and_no_step_is_longer_than_clipped(name):
    programme, start = QuadraticProgramme(), START.repeat(20, 1)
    hyper = {} if name == "reinforce" else {"tau": 0.3}
    hyper |= {"k": 20} if name == "gumbel_rao" else {}
    options = {"whole": True, "steps": 200, "learning_rate": 0.3, **hyper}
    generator = seeded(3)
    path = descend(programme, name, start, generator=generator, **options)
    assert centred_steps(path).norm(dim=-1).max() <= 0.3 + 1e-9
    assert programme.value(path[-1]).median() < 1e-3
    free = descend(programme, name, start, generator=generator, clip=math.inf, **options)
    assert free.min() < 1e-6 < path.min()  # one long step, and p is at the edge


def test_fixed_matrix_does_not_minimise():
    programme = QuadraticProgramme()
    path = descend(programme, "exact", START, whole=False, steps=400, learning_rate=0.3)
    assert (programme.value(path[-1]) > 0.03).all()


def test_points_and_steps_are_checked():
    programme = QuadraticProgramme()
    with pytest.raises(ValueError, match=r"p: expected \[runs, n\], got \(3,\)"):
        descend(programme, "exact", START[0], whole=True, steps=1, learning_rate=0.1)
    with pytest.raises(TypeError, match="steps: expected a whole number"):
        descend(programme, "exact", START, whole=True, steps=1.5, learning_rate=0.1)
