import pytest
import torch

from gumbelrao_edu.surrogate import replace_gradient


def test_the_value_is_exact_and_the_gradient_that_of_the_surrogate():
    x = torch.linspace(-3, 3, 1001, requires_grad=True)
    value = (x > 0).float()
    replaced = replace_gradient(value, x.sigmoid())
    assert torch.equal(replaced, value)
    weights = torch.linspace(1, 2, 1001)
    (replaced * weights).sum().backward()
    expected = weights * x.sigmoid() * (1 - x.sigmoid())
    torch.testing.assert_close(x.grad, expected.detach())


def test_the_common_idiom_rounds_where_this_does_not():
    soft = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    value = torch.ones_like(soft)
    assert not torch.equal(value + soft - soft, value)
    assert torch.equal(replace_gradient(value, soft), value)


def test_no_gradient_reaches_the_value():
    value = torch.ones(2, requires_grad=True)
    surrogate = torch.ones(2, requires_grad=True)
    replace_gradient(value, surrogate).sum().backward()
    assert value.grad is None
    assert torch.equal(surrogate.grad, torch.ones(2))


def test_double_backward_and_functional_transforms():
    def f(x):
        return replace_gradient(x.round(), x**3)

    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: replace_gradient(x**3, x**3), x)
    torch.testing.assert_close(torch.func.grad(f)(x), 3 * x**2)
    xs = torch.linspace(0, 1, 5)
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(f))(xs), 3 * xs**2)


@pytest.mark.parametrize(
    ("value", "surrogate", "error", "message"),
    [
        (1.0, torch.ones(1), TypeError, "value: expected a tensor, got float"),
        (torch.ones(1), 1.0, TypeError, "surrogate: expected a tensor, got float"),
        (torch.ones(2), torch.ones(3), ValueError, r"surrogate: .* \(2,\) .* \(3,\)"),
        (torch.ones(2), torch.ones(2).double(), TypeError, "surrogate: .*float32, .*float64"),
    ],
)
def test_wrong_arguments_are_named(value, surrogate, error, message):
    with pytest.raises(error, match=message):
        replace_gradient(value, surrogate)
