import pytest
import torch
from seeded import seeded

from gumbelrao_edu import (
    gumbel_rao,
    gumbel_softmax,
    st_gumbel_softmax,
    straight_through,
    surrogate,
    tempered_softmax,
)
from gumbelrao_edu.estimators.gumbel_rao import _classes_first, conditional_softmax, exponentials
from gumbelrao_edu.surrogate import parallel, replace_gradient, sequential


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
    soft = torch.rand(10_000, generator=seeded())
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


# --- Appendix B: the surrogate objectives give the gradients of the custom backward passes ----

TAU, K, M, N = 0.6, 7, 4, 3


def joint(d):
    """Of m variables, not a sum over them: [..., m, n] -> [...]."""
    weights = torch.linspace(-1, 1, M * N, dtype=torch.float64).reshape(M, N)
    return (d * weights).sum((-1, -2)).exp() * d[..., 0].prod(-1).add(1).log1p()


def same_softmaxes(logits, one_hot, generator):
    """The K softmax samples that gumbel_rao's backward pass draws, as a function of the logits.

    In float64, with θ + G^k held at a constant distance from θ.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    rows = _classes_first(logits.detach() - logits.detach().amax(-1, keepdim=True))
    index = _classes_first(one_hot.detach()).argmax(0, keepdim=True)
    (noise,) = exponentials(rows, K, "iid", seeded(seed))
    s = conditional_softmax(rows, index, TAU, noise).permute(1, 2, 0)
    s = s.reshape(K, *logits.shape)
    # softmax_τ(x) = s at x = τ log s: a constant that stands for θ + G^k up to a shift.
    return ((TAU * s.log() + logits - logits.detach()) / TAU).softmax(-1)


def relaxations(name, generator):
    """s(θ) of appendix B after the draw of D, with the noise that the estimator of `name` uses."""

    def relax(logits):
        if name == "straight_through":
            one_hot, _ = surrogate_draw(logits, generator)
            return one_hot, tempered_softmax(logits, TAU)
        one_hot, perturbed = surrogate_draw(logits, generator)
        if name == "st_gumbel_softmax":
            return one_hot, tempered_softmax(perturbed, TAU)
        return one_hot, same_softmaxes(logits, one_hot, generator).mean(0)

    return relax


def surrogate_draw(logits, generator):
    u = torch.rand(*logits.shape, dtype=torch.float64, generator=generator)
    perturbed = logits - (-(1 - u).log()).log()
    one_hot = torch.zeros_like(perturbed).scatter(-1, perturbed.argmax(-1, keepdim=True), 1.0)
    return one_hot, perturbed


ESTIMATORS = {
    "straight_through": lambda x, g: straight_through(x, tau=TAU, generator=g),
    "st_gumbel_softmax": lambda x, g: st_gumbel_softmax(x, tau=TAU, generator=g),
    "gumbel_rao": lambda x, g: gumbel_rao(x, tau=TAU, k=K, generator=g),
}


@pytest.mark.paper("(14)", "(17)", "(18)", "(19)")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_parallel_objective_has_the_gradient_of_the_estimator(name):
    theta = torch.randn(20, M, N, dtype=torch.float64, generator=seeded())
    direct = theta.clone().requires_grad_()
    joint(ESTIMATORS[name](direct, seeded(1))).sum().backward()

    logits = theta.clone().requires_grad_()
    one_hot, relaxed = relaxations(name, seeded(1))(logits)
    surrogate.parallel(joint, one_hot, relaxed).backward()
    torch.testing.assert_close(logits.grad, direct.grad, rtol=1e-10, atol=1e-10)
    assert direct.grad.abs().max() > 0.01


def h(d):
    """θ^{j+1} = h(D^j), not linear."""
    mixing = torch.tensor([[1.0, -0.5, 0.2], [0.3, 0.8, -1.0], [-0.7, 0.1, 0.4]])
    return (d @ mixing.double()).sin() * 2 + d


def chain_loss(ds):
    return joint(torch.stack(list(ds), -2))


@pytest.mark.paper("(20)", "(21)", "(22)", "(23)", "(24)", "(25)", "(26)")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_sequential_objective_has_the_gradient_of_the_chained_estimators(name):
    theta = torch.randn(20, N, dtype=torch.float64, generator=seeded())
    direct = theta.clone().requires_grad_()
    generator, x, ds = seeded(1), direct, []
    for _ in range(M):
        ds.append(ESTIMATORS[name](x, generator))
        x = h(ds[-1])
    chain_loss(ds).sum().backward()

    # First draw along the chain, then form the objective with the softmaxes of these draws.
    logits = theta.clone().requires_grad_()
    relax, x, drawn, softmaxes = relaxations(name, seeded(1)), theta, [], []
    for _ in range(M):
        fixed = x.detach()
        one_hot, relaxed = relax(fixed)
        drawn.append(one_hot)
        softmaxes.append(relaxed.detach())
        x = h(one_hot)
    if name == "gumbel_rao":  # the mean of softmaxes is no softmax: keep all K of them
        generator, x, kept = seeded(1), theta, []
        for _ in range(M):
            one_hot, _ = surrogate_draw(x, generator)
            kept.append(same_softmaxes(x, one_hot, generator))
            x = h(one_hot)
        softmaxes = kept

    def at(theta_j, j):
        moved = softmaxes[j].log() + (theta_j - theta_j.detach()) / TAU
        if name == "straight_through":
            return tempered_softmax(theta_j, TAU)
        return moved.softmax(-1).mean(0) if name == "gumbel_rao" else moved.softmax(-1)

    surrogate.sequential(chain_loss, h, logits, drawn, at).backward()
    torch.testing.assert_close(logits.grad, direct.grad, rtol=1e-10, atol=1e-10)
    assert direct.grad.abs().max() > 0.01


def test_the_sequential_objective_reaches_the_parameters_of_h():
    weight = torch.eye(N, dtype=torch.float64).mul(1.5).requires_grad_()
    theta = torch.randn(20, N, dtype=torch.float64, generator=seeded())

    def step(d):
        return d @ weight

    generator, x, ds = seeded(1), theta, []
    for _ in range(M):
        ds.append(straight_through(x, tau=TAU, generator=generator))
        x = step(ds[-1])
    (want,) = torch.autograd.grad(chain_loss(ds).sum(), weight)
    drawn = [d.detach() for d in ds]
    objective = surrogate.sequential(
        chain_loss, step, theta, drawn, lambda x, j: tempered_softmax(x, TAU)
    )
    (got,) = torch.autograd.grad(objective, weight)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.paper("(16)")
def test_the_relaxed_objective_needs_no_surrogate():
    # (16): differentiate f(S) itself.
    theta = torch.randn(5, M, N, dtype=torch.float64, generator=seeded()).requires_grad_()
    sample = gumbel_softmax(theta, tau=TAU, generator=seeded(1))
    (direct,) = torch.autograd.grad(joint(sample).sum(), theta, retain_graph=True)
    (through,) = torch.autograd.grad(surrogate.parallel(joint, sample, sample), theta)
    torch.testing.assert_close(through, direct)


def test_a_chain_of_independent_variables_has_the_gradients_of_parallel():
    theta = torch.randn(N, dtype=torch.float64, generator=seeded()).requires_grad_()
    fixed = torch.linspace(-1, 1, N, dtype=torch.float64).requires_grad_()
    drawn = list(torch.eye(N, dtype=torch.float64)[:3])
    weights = torch.randn(3, N, dtype=torch.float64, generator=seeded(1))
    f = lambda d: (torch.stack([*d]) * weights).sum().square()  # noqa: E731
    for independent in (lambda d: fixed, lambda d: fixed.detach()):
        objective = surrogate.sequential(
            f, independent, theta, drawn, lambda x, j: tempered_softmax(x, TAU)
        )
        (got,) = torch.autograd.grad(objective, theta)
        relaxed = torch.stack([tempered_softmax(x, TAU) for x in (theta, fixed, fixed)])
        (want,) = torch.autograd.grad(surrogate.parallel(f, torch.stack(drawn), relaxed), theta)
        torch.testing.assert_close(got, want)


def test_objectives_are_made_without_a_graph_where_none_is_wanted():
    d, weights = torch.eye(3), torch.arange(3.0)
    with torch.no_grad():
        chain = surrogate.sequential(
            lambda d: d[0] * d[1] @ weights, lambda d: 2 * d, weights, [d[0], d[1]], lambda x, j: x
        )
        side_by_side = surrogate.parallel(lambda d: d @ weights, d, d)
    assert not chain.requires_grad
    assert not side_by_side.requires_grad


def test_losses_have_to_depend_on_the_samples():
    weights, d = torch.ones(3, requires_grad=True), torch.eye(3)[0]
    for f in (lambda d: d.detach() @ weights, lambda d: (d.detach() * 2).sum()):
        with pytest.raises(ValueError, match=r"f: .* differentiable in the samples"):
            surrogate.parallel(f, d, d)
        with pytest.raises(ValueError, match=r"f: .* differentiable in the samples"):
            surrogate.sequential(lambda d, f=f: f(d[0]), h, torch.zeros(3), [d], lambda x, j: x)
    with (
        torch.inference_mode(),
        pytest.raises(ValueError, match=r"in the samples; nothing is in torch\.inference_mode"),
    ):
        surrogate.parallel(torch.sum, d, d)


def test_losses_and_layers_may_overwrite_their_samples():
    relax = lambda theta, j: theta.softmax(-1)  # noqa: E731
    samples = [torch.eye(3)[0], torch.eye(3)[2]]
    weights = torch.tensor([1.0, 2.0, 4.0])
    grads = []
    for change in (lambda d: d.mul_(2), lambda d: d * 2):
        logits = torch.zeros(3, requires_grad=True)
        objective = sequential(
            lambda d, change=change: (change(d[0]).exp() * change(d[1]) * weights).sum(),
            change,
            logits,
            samples,
            relax,
        )
        objective = objective + parallel(
            lambda d, change=change: change(d) ** 2 @ weights, samples[0], logits.softmax(-1)
        )
        objective.backward()
        grads.append(logits.grad)
    assert grads[0].abs().max() > 0.1
    assert torch.equal(*grads)
    assert torch.equal(samples[0], torch.eye(3)[0])


def test_objectives_say_that_they_cannot_be_transformed():
    weights, d = torch.ones(3), torch.eye(3)[0]
    objectives = (
        lambda x: surrogate.parallel(lambda d: d @ weights, d, x),
        lambda x: surrogate.sequential(lambda d: d[0] @ weights, h, x, [d], lambda x, j: x),
    )
    for objective in objectives:
        for transform in (torch.func.grad, torch.func.jacrev):
            with pytest.raises(RuntimeError, match=r"f: a surrogate .* torch\.func does not allow"):
                transform(objective)(weights)


def test_objectives_refuse_wrong_arguments():
    with pytest.raises(ValueError, match=r"relaxed: expected the shape \(3,\) .* got \(2,\)"):
        surrogate.parallel(torch.sum, torch.eye(3)[0], torch.zeros(2))
    with pytest.raises(ValueError, match="one_hots: expected at least one sample, got none"):
        surrogate.sequential(torch.sum, h, torch.zeros(3), [], lambda x, j: x)
    good = {
        "f": torch.sum,
        "h": h,
        "logits": torch.zeros(3),
        "one_hots": [torch.eye(3)[0]],
        "relax": lambda x, j: x,
    }
    for name, wrong in (("f", 3), ("h", 3), ("logits", [0.0]), ("one_hots", 5), ("relax", None)):
        with pytest.raises(TypeError, match=f"{name}: expected"):
            surrogate.sequential(**{**good, name: wrong})
