"""Gumbel-Rao in compiled, exported, mapped and checkpointed code, on the CPU.

Compiled code has random numbers of its own, so that its draws are compared with the law: the
samples with softmax(θ), mean and second moment of the gradient with what enumeration over D and the
quadrature give. Each such comparison fails with probability 1e-6 though all is right.
"""

import copy
import functools
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from seeded import seeded
from statistical import assert_frequencies, assert_mean
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from gumbelrao_edu import estimators, gumbel_rao
from gumbelrao_edu.modules import GumbelRao, Schedule
from gumbelrao_edu.quadrature import conditional_vjp, second_moment

THETA = torch.tensor([0.5, -0.3, 1.2])
WEIGHTS = torch.tensor([1.0, 2.0, -1.0])
TAU = 0.5
ROWS = 100_000
SAMPLERS = [name for name in estimators.names() if estimators.get(name).samples]

pytestmark = [
    # The compiler itself does things that PyTorch warns of.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Held(torch.nn.Module):
    """An estimator whose logits are learned, and whose temperature is a tensor that is not."""

    def __init__(self, name):
        super().__init__()
        self.record, self.tau = estimators.get(name), torch.tensor(TAU)
        self.theta = torch.nn.Parameter(THETA.clone())

    def forward(self, x):
        held = {"tau": self.tau} if "tau" in self.record.example else {}
        return self.record.function(x + self.theta, **{**self.record.example, **held})


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_a_module_holds_can_be_exported(name):
    exported = torch.export.export(Held(name), (torch.zeros(2, 3),)).module()
    samples = exported(torch.zeros(2, 3))
    assert samples.detach().sum(-1) == pytest.approx(1.0)
    (samples * WEIGHTS).sum().backward()
    assert exported.theta.grad.norm() > 0


BACKENDS = [
    "aot_eager",
    pytest.param(
        "inductor",
        marks=pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
    ),
]


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch._dynamo.reset()


def losses(logits, k, noise="iid", tau=TAU, generator=None):
    """(f(D), D) for a quadratic f, of each row."""
    d = gumbel_rao(logits, tau=tau, k=k, noise=noise, generator=generator)
    return (d @ WEIGHTS) ** 2, d


def check_law(samples, grads, k):
    """The frequencies, and the mean and the second moment of the gradient."""
    p = THETA.double().softmax(-1)
    assert_frequencies(samples.sum(0), p)
    # g = ∂f/∂D = 2 ⟨w, D⟩ w for each D.
    g = 2 * WEIGHTS.double()[:, None] * WEIGHTS.double()
    rows = THETA.double().expand(3, 3)
    mean_given = conditional_vjp(g, rows, torch.arange(3), TAU)
    square_given = second_moment(g, rows, torch.arange(3), TAU)
    assert_mean(grads, p @ mean_given, notice=0.1)
    square = mean_given**2 + (square_given - mean_given**2) / k
    assert_mean(grads**2, p @ square, notice=0.3)


def gradient(f, logits):
    """(D, the gradient) of one call."""
    leaf = logits.clone().requires_grad_()
    value, d = f(leaf)
    value.sum().backward()
    return d.detach(), leaf.grad


@pytest.mark.parametrize("k", [3, math.inf])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_compiled_function_draws_anew_at_each_call(backend, k):
    f = torch.compile(lambda x: losses(x, k), backend=backend, fullgraph=True)
    torch.manual_seed(1)
    first, second = (gradient(f, THETA.expand(ROWS, 3)) for _ in range(2))
    for samples, grads in (first, second):
        check_law(samples, grads, k)
    assert 0.2 < (first[0] == second[0]).all(-1).double().mean() < 0.6  # Σ p² = 0.44
    if k == 3:  # also the noise given D is another one
        same = (first[0] == second[0]).all(-1)
        assert (first[1][same] != second[1][same]).any(-1).double().mean() > 0.9


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_mode_reduce_overhead():
    f = torch.compile(lambda x: losses(x, 3), fullgraph=True, mode="reduce-overhead")
    torch.manual_seed(2)
    for _ in range(2):
        check_law(*gradient(f, THETA.expand(ROWS, 3)), 3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_is_one_graph_of_any_batch(name):
    record = estimators.get(name)

    def f(x):
        return (record.function(x, **record.example) @ WEIGHTS) ** 2, x

    compiled = torch.compile(f, backend="aot_eager", fullgraph=True, dynamic=True)
    for batch in (3, 7):
        _, grad = gradient(compiled, THETA.expand(batch, 3))
        assert grad.abs().sum() > 0


@pytest.mark.parametrize("k", [3, math.inf])
def test_a_temperature_in_a_tensor_may_change_without_compiling_again(k):
    graphs = 0

    def backend(graph, inputs):
        nonlocal graphs
        graphs += 1
        return graph

    f = torch.compile(lambda x, tau: losses(x, k, tau=tau), backend=backend, fullgraph=True)
    torch.manual_seed(12)
    norms = set()
    for tau in torch.tensor([0.9, 0.5, 0.1]):
        _, grad = gradient(functools.partial(f, tau=tau), THETA[None])
        norms.add(float(grad.norm()))
    assert graphs == 1
    assert len(norms) == 3


def test_a_schedule_does_not_compile_again():
    """The compiler gives up after eight numbers; and the temperature is that of the step."""
    graphs = 0

    def backend(graph, inputs):
        nonlocal graphs
        graphs += 1
        return graph

    layer = GumbelRao(Schedule(1.0, 0.1, steps=10, shape="linear"))
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    torch.manual_seed(13)
    for step in range(12):
        x = THETA.expand(20, 3).clone().requires_grad_()
        d = compiled(x)
        (d @ WEIGHTS).sum().backward()
        want = conditional_vjp(WEIGHTS.expand(20, 3), x.detach(), d.argmax(-1), 1 - 0.09 * step)
        if step < 10:
            torch.testing.assert_close(x.grad, want, rtol=1e-3, atol=1e-6)
        layer.step()
    assert graphs == 1
    layer.load_state_dict({"steps_done": torch.tensor(5)})
    torch.testing.assert_close(layer._compiled_tau.item(), layer.tau)
    for schedule in (Schedule(0.8, 0.2, steps=9, shape="exponential"), 0.3):  # replaced
        layer.schedule = schedule
        x = THETA.expand(20, 3).clone().requires_grad_()
        d = compiled(x)
        (d @ WEIGHTS).sum().backward()
        want = conditional_vjp(WEIGHTS.expand(20, 3), x.detach(), d.argmax(-1), layer.tau)
        torch.testing.assert_close(x.grad, want, rtol=1e-3, atol=1e-6)


def test_a_schedule_may_end_at_the_limit():
    layer = GumbelRao(lambda step: 1.0 if step == 0 else 0.0)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.manual_seed(14)
    for tau in (1.0, 1e-3):
        x = THETA.expand(20, 3).clone().requires_grad_()
        d = compiled(x)
        (d @ WEIGHTS).sum().backward()
        want = conditional_vjp(WEIGHTS.expand(20, 3), x.detach(), d.argmax(-1), tau)
        torch.testing.assert_close(x.grad, want, rtol=1e-2, atol=1e-3)
        layer.step()


@pytest.mark.parametrize("noise", ["antithetic", "sobol"])
def test_other_noise_is_compiled_too(noise):
    f = torch.compile(lambda x, tau: losses(x, 1, noise, tau), backend="aot_eager", fullgraph=True)
    torch.manual_seed(3)
    check_law(*gradient(lambda x: f(x, torch.full((ROWS,), TAU)), THETA.expand(ROWS, 3)), 1)


def test_a_generator_breaks_the_graph_and_is_obeyed():
    generator = seeded()

    def f(x):
        return losses(x, 3, generator=generator)

    rows = THETA.expand(50, 3)
    with pytest.raises(RuntimeError, match=r"generator: expected None under torch.compile.full"):
        gradient(torch.compile(f, backend="aot_eager", fullgraph=True), rows)
    compiled = torch.compile(f, backend="aot_eager")
    got = gradient(compiled, rows)
    generator.manual_seed(0)
    want = gradient(compiled, rows)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


def test_grad_inside_of_a_compiled_function_is_refused_in_a_sentence():
    f = torch.func.vmap(torch.func.grad(lambda x: losses(x, 3)[0]), randomness="different")
    with pytest.raises(RuntimeError, match=r"grad and its relatives don't work inside a compiled"):
        torch.compile(f, backend="aot_eager", fullgraph=True)(THETA.expand(5, 3))
    torch.manual_seed(5)
    grads = torch.compile(f, backend="aot_eager")(THETA.expand(5, 3))
    assert len(grads.unique(dim=0)) == 5


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("randomness", ["same", "different"])
@pytest.mark.parametrize("k", [3, math.inf])
def test_randomness_of_vmap_is_that_of_the_backward_pass_too(k, randomness, compiled):
    f = torch.func.vmap(lambda x, tau: losses(x, k, tau=tau), randomness=randomness)
    if compiled:
        f = torch.compile(f, backend="aot_eager", fullgraph=True)
    torch.manual_seed(6)
    taus = torch.tensor([TAU, TAU, 5.0])
    samples, grads = gradient(lambda x: f(x, taus), THETA.expand(3, ROWS, 3))
    for one, grad in zip(samples[:2], grads[:2], strict=True):
        check_law(one, grad, k)
    same = randomness == "same"
    assert torch.equal(samples[0], samples[1]) == same
    assert torch.equal(grads[0], grads[1]) == same
    assert torch.equal(samples[0], samples[2]) == same
    assert not torch.equal(grads[0], grads[2])  # another temperature
    # Rows of one batch have noise of their own: for k = ∞ there is one gradient for each D.
    assert len(grads[0].unique(dim=0)) == 3 if k == math.inf else ROWS / 2


def test_vmap_wants_to_know_the_randomness():
    with pytest.raises(RuntimeError, match="use the 'same' or 'different' randomness"):
        torch.func.vmap(lambda x: losses(x, 3))(THETA.expand(2, 3))


def test_vmaps_in_one_another():
    def f(x):
        inner = torch.func.vmap(lambda x: losses(x, 3), randomness="same")
        return torch.func.vmap(inner, randomness="different")(x)

    torch.manual_seed(7)
    samples, grads = gradient(f, THETA.expand(2, 3, 50, 3))
    for each in (samples, grads):
        assert torch.equal(each[:, 0], each[:, 1])
        assert not torch.equal(each[0], each[1])


@pytest.mark.parametrize("noise", ["iid", "antithetic", "sobol"])
@pytest.mark.parametrize("k", [3, math.inf])
def test_jacobians_of_one_draw(k, noise):
    """Each row of the Jacobian belongs to the same noise, by whatever road it comes."""

    def sample(x):
        return gumbel_rao(x, tau=TAU, k=k, noise=noise, generator=seeded(8))

    theta = torch.stack([THETA, -THETA])
    plain = torch.autograd.functional.jacobian(sample, theta)
    torch.testing.assert_close(torch.func.jacrev(sample)(theta), plain)
    fast = torch.autograd.functional.jacobian(sample, theta, vectorize=True)
    torch.testing.assert_close(fast, plain)
    assert plain.abs().sum() > 0.1
    torch.testing.assert_close(plain, plain.permute(2, 3, 0, 1))  # of a softmax: symmetric


def test_a_layer_may_step_between_its_forward_and_its_backward_pass():
    """Nothing that the backward pass needs is overwritten."""
    layer = GumbelRao(Schedule(1.0, 0.1, steps=3, shape="linear"), k=2)
    compiled = torch.compile(layer, backend="aot_eager")
    for _ in range(2):
        leaf = THETA.clone().requires_grad_()
        sample = compiled(leaf)
        layer.step()
        (sample * torch.arange(float(THETA.shape[-1]))).sum().backward()
        assert leaf.grad.abs().sum() > 0


def test_what_has_no_derivative_says_so():
    def f(x):
        return losses(x, 3)[0].sum()

    rows = THETA.expand(2, 3)
    with pytest.raises(RuntimeError, match=r"gumbel_rao: .*; forward-mode .* is not supported"):
        torch.func.jvp(f, (rows,), (rows,))
    for name in ("reinmax", "gapped_straight_through", "decoupled_straight_through"):
        with pytest.raises(
            RuntimeError
        ):  # in torch's words: its compiler takes no function of ours
            torch.func.jvp(estimators.sampler(name), (rows,), (rows,))
    with pytest.raises(RuntimeError, match=r"gumbel_rao: .*; double backward is not supported"):
        torch.func.jacrev(torch.func.jacrev(f))(rows)


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("k", [3, math.inf])
def test_checkpointed_the_gradient_is_that_of_the_sample(k, use_reentrant):
    def f(x):
        return losses(x, k)

    rows = THETA.expand(50, 3)
    torch.manual_seed(9)
    want = gradient(f, rows)
    torch.manual_seed(9)
    got = gradient(lambda x: checkpoint(f, x, use_reentrant=use_reentrant), rows)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["gumbel_rao", "st_gumbel_softmax", "zgr"])
def test_random_numbers_that_a_checkpoint_keeps_stay_as_they_are(name, dtype):
    """A selective checkpoint may keep what torch.rand gave, and go on from there."""

    def policy(context, operator, *args, **kwargs):
        keep = operator == torch.ops.aten.rand.default
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE

    def f(x):
        changes = {"k": math.inf} if name == "gumbel_rao" else {}
        d = estimators.sampler(name, **changes)(x * 1)
        return (d * torch.arange(3.0, dtype=dtype)).sum(), d

    context = functools.partial(create_selective_checkpoint_contexts, policy)
    rows = THETA.to(dtype).expand(50, 3)
    torch.manual_seed(9)
    want = gradient(f, rows)
    torch.manual_seed(9)
    got = gradient(lambda x: checkpoint(f, x, use_reentrant=False, context_fn=context), rows)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


class Layer(torch.nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x):
        return losses(x, self.k)


@pytest.mark.parametrize("k", [3, math.inf])
def test_an_exported_program_has_the_gradient_and_any_batch(k):
    sizes = {"x": {0: torch.export.Dim("batch", min=2)}}
    program = torch.export.export(Layer(k), (torch.zeros(4, 3),), dynamic_shapes=sizes).module()
    torch.manual_seed(10)
    first, second = (gradient(program, THETA.expand(ROWS, 3)) for _ in range(2))
    check_law(*first, k)
    check_law(*second, k)
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("k", [10, math.inf])
@pytest.mark.parametrize("mode", ["real", "symbolic"])
def test_a_graph_of_a_step_draws_anew_and_has_the_gradient(k, mode):
    """As `make_fx` records it: the backward pass is one operation."""

    def step(logits):
        leaf = logits.detach().requires_grad_()
        loss, d = losses(leaf, k)
        return torch.autograd.grad(loss.sum(), leaf)[0], d

    logits = THETA.expand(ROWS, 3)
    graph = make_fx(step, tracing_mode=mode, _allow_non_fake_inputs=True)(logits)
    names = [str(node.target) for node in graph.graph.nodes]
    assert names.count("gumbelrao_edu.vjp.default") == 1
    assert "aten.rand.default" in names
    torch.manual_seed(21)
    grad, d = graph(logits)
    other, _ = graph(logits)
    assert not torch.equal(grad, other)
    assert_frequencies(d.sum(0), THETA.softmax(0))
    g = 2 * (d @ WEIGHTS).unsqueeze(1) * WEIGHTS
    want = conditional_vjp(g, logits, d.argmax(-1), TAU)
    if k == math.inf:
        torch.testing.assert_close(grad, want, rtol=1e-3, atol=1e-5)
    else:
        assert_mean(grad - want, torch.zeros(3), notice=0.03)


def test_copies_of_a_layer_work_side_by_side():
    """As in DataParallel: a copy for each device, each called in a thread of its own."""
    layer = GumbelRao(TAU, 3)
    rows = THETA.expand(ROWS, 3)

    def run(copied):
        return gradient(lambda x: ((((d := copied(x)) @ WEIGHTS) ** 2), d), rows)

    torch.manual_seed(11)
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(run, [copy.deepcopy(layer) for _ in range(2)]))
    for result in results:
        check_law(*result, 3)
    assert not torch.equal(results[0][0], results[1][0])


def test_a_baseline_that_a_module_holds_can_be_exported():
    """Also where it has no use, beside several samples."""

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.baseline = torch.tensor(0.5)

        def forward(self, losses, log_p):
            return estimators.score_loss(losses, log_p, baseline=self.baseline)

    for samples in (1, 3):
        losses, log_p = torch.rand(2, samples, 4, generator=seeded()).unbind()
        exported = torch.export.export(Loss(), (losses, log_p)).module()
        assert torch.equal(exported(losses, log_p), Loss()(losses, log_p))
