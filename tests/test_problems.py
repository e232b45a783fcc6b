"""The quadratic programme on the simplex: its identities, its derivatives, where it is singular."""

import math

import pytest
import torch
from seeded import seeded

from gumbelrao_edu import exact
from gumbelrao_edu.problems import QuadraticProgramme, simplex_grid

CORNERS = torch.eye(3, dtype=torch.float64)


def other():
    """Another programme: four classes, c not uniform."""
    square = torch.randn(4, 4, dtype=torch.float64, generator=seeded(5))
    c = torch.tensor([0.15, 0.4, 0.25, 0.2], dtype=torch.float64)
    return QuadraticProgramme(square @ square.T, c)


PROGRAMMES = [QuadraticProgramme(), other()]
each = pytest.mark.parametrize("programme", PROGRAMMES, ids=["default", "other"])


def points(n, count=300, seed=0):
    """Uniform on the simplex, in float64."""
    generator = seeded(seed)
    e = -torch.rand(count, n, dtype=torch.float64, generator=generator).log()
    return e / e.sum(-1, keepdim=True)


def test_defaults_are_those_of_the_paper():
    programme = QuadraticProgramme()
    for i in range(3):
        assert programme.c[i].item() == pytest.approx(1 / 3)
        for j in range(3):
            assert programme.q[i, j].item() == pytest.approx(math.exp(-2 * abs(i - j)))


def test_matrix_is_that_of_the_paper():
    """Entry by entry from the formulas of section 5.2."""
    programme, p = other(), points(4, 1)[0].tolist()
    matrix, q, c = programme.matrix(torch.tensor(p, dtype=torch.float64)), programme.q, programme.c
    for i in range(4):
        for j in range(4):
            if i == j:
                below = p[i] - 2 * p[i] * c[i] + c[i] ** 2
            else:
                below = c[i] * c[j] - p[i] * c[j] - c[i] * p[j]
            wanted = (p[i] - c[i]) * (p[j] - c[j]) / below * q[i, j]
            assert matrix[i, j].item() == pytest.approx(wanted.item(), rel=1e-10)


@each
def test_expectation_is_the_value(programme):
    n = len(programme.c)
    p = points(n)
    losses = programme.loss(torch.eye(n, dtype=torch.float64), p[:, None])
    torch.testing.assert_close((p * losses).sum(-1), programme.value(p), rtol=1e-9, atol=1e-12)


@each
def test_gradients_are_those_of_autograd(programme):
    n = len(programme.c)
    one_hot = torch.eye(n, dtype=torch.float64)
    theta = points(n).log().requires_grad_()
    p = theta.softmax(-1)
    (whole,) = torch.autograd.grad(programme.value(p).sum(), theta, retain_graph=True)
    held = (p * programme.loss(one_hot, p.detach()[:, None])).sum()
    (fixed,) = torch.autograd.grad(held, theta)
    torch.testing.assert_close(programme.gradient(theta), whole)
    torch.testing.assert_close(programme.gradient(theta, fixed=True), fixed)
    assert (whole - fixed).abs().max() > 0.1


@each
def test_the_two_terms_make_up_the_whole(programme):
    n = len(programme.c)
    logits = points(n).log()
    one_hot = torch.eye(n, dtype=torch.float64)[:, None].expand(n, *logits.shape)
    direct = programme.direct_gradient(one_hot, logits)
    average = (logits.exp().T[..., None] * direct).sum(0)
    whole = programme.gradient(logits, fixed=True) + average
    torch.testing.assert_close(whole, programme.gradient(logits), rtol=1e-7, atol=1e-9)


def test_exact_estimator_agrees_for_both_derivatives():
    programme = QuadraticProgramme()
    theta = points(3, 20).log().requires_grad_()
    for fixed in (True, False):
        p = theta.softmax(-1)
        p = p.detach() if fixed else p
        loss = exact(lambda d, p=p: programme.loss(d, p), theta)
        (gradient,) = torch.autograd.grad(loss.sum(), theta)
        torch.testing.assert_close(
            gradient, programme.gradient(theta, fixed=fixed), rtol=1e-8, atol=1e-10
        )


def test_first_and_last_class_may_be_swapped():
    """Q is the same when read backwards; it is not when the first two classes are swapped."""
    programme, p = QuadraticProgramme(), points(3)
    torch.testing.assert_close(programme.value(p.flip(-1)), programme.value(p))
    torch.testing.assert_close(
        programme.loss(CORNERS.flip(-1), p.flip(-1)[:, None]), programme.loss(CORNERS, p[:, None])
    )
    swapped = programme.value(p[:, [1, 0, 2]])
    assert (swapped - programme.value(p)).abs().max() > 0.01


def test_value_is_least_at_c():
    programme, p = QuadraticProgramme(), points(3)
    assert programme.value(programme.c) == 0
    assert (programme.value(p) > 0).all()
    assert programme.gradient(programme.c.log()).abs().max() < 1e-15


# --- where it is singular -------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 2])
def test_singular_lines_are_refused(k):
    programme = QuadraticProgramme()
    ends = programme.singular_lines()[k]
    assert ends[:, k].tolist() == pytest.approx([2 / 3, 2 / 3])
    for share in torch.linspace(0, 1, 11, dtype=torch.float64):
        p = torch.lerp(ends[0], ends[1], share)
        for dtype in (torch.float64, torch.float32):
            with pytest.raises(ValueError, match=r"p: A\(p\) is singular"):
                programme.loss(CORNERS.to(dtype), p.to(dtype))


def test_one_singular_point_among_many_is_named():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.25, 0.25, 0.5], [2 / 3, 0.2, 2 / 15]])
    with pytest.raises(ValueError, match=r"singular at \[0\.66"):
        QuadraticProgramme().matrix(p)


def test_losses_grow_like_one_over_the_distance_and_the_average_does_not():
    programme = QuadraticProgramme()
    largest = []
    for distance in (1e-3, 1e-5, 1e-7):
        for side in (-1, 1):
            third = 2 / 3 + side * distance
            p = torch.tensor([0.6 * (1 - third), 0.4 * (1 - third), third], dtype=torch.float64)
            losses = programme.loss(CORNERS, p)
            assert losses.isfinite().all()
            # Below the line the loss of class 3 is the least, above it the greatest.
            assert losses.argmax() == (2 if side > 0 else losses[:2].argmax())
            assert (p @ losses - programme.value(p)).abs() < 1e-8
        largest.append(losses.abs().max().item())
    assert largest[1] / largest[0] == pytest.approx(100, rel=0.05)
    assert largest[2] / largest[1] == pytest.approx(100, rel=0.05)


def test_lines_follow_c():
    c = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    programme = QuadraticProgramme(c=c)
    for ends in programme.singular_lines():
        middle = ends.mean(0)
        with pytest.raises(ValueError, match="singular"):
            programme.matrix(middle)
        assert programme.matrix(0.9 * middle + 0.1 * c).isfinite().all()


# --- the grid, and arguments ----------------------------------------------------------------------


@pytest.mark.parametrize("rows", [3, 12, 48, 60, 96])
def test_grid_lies_inside_and_avoids_what_is_singular(rows):
    p = simplex_grid(rows)
    assert len(p) == rows * (rows + 1) // 2 == len(torch.unique(p, dim=0))
    assert (p > 0).all()
    torch.testing.assert_close(p.sum(-1), torch.ones(len(p), dtype=torch.float64))
    torch.testing.assert_close(p.mean(0), torch.full((3,), 1 / 3, dtype=torch.float64))
    for value in (1 / 3, 2 / 3):
        assert (p - value).abs().min() > 0.3 / rows
    assert QuadraticProgramme().matrix(p).isfinite().all()


def test_grid_of_other_rows_meets_the_lines():
    assert (simplex_grid(50) - 2 / 3).abs().min() < 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuadraticProgramme(torch.ones(2, 3)), "q: expected a symmetric matrix"),
        (lambda: QuadraticProgramme(torch.tensor([[1.0, 2.0], [0.0, 1.0]])), "q: expected a sym"),
        (lambda: QuadraticProgramme(c=torch.ones(4)), "c: expected shape"),
        (lambda: QuadraticProgramme().matrix(torch.tensor([0.5, 0.5])), "p: expected 3 classes"),
        (lambda: other().singular_lines(), "c: expected three numbers"),
        (lambda: simplex_grid(0), "rows: expected at least 1"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_types_are_checked():
    with pytest.raises(TypeError, match="q: expected a tensor"):
        QuadraticProgramme([[1.0]])
    with pytest.raises(TypeError, match="rows: expected a whole number"):
        simplex_grid(3.0)
