"""What only a CUDA device can show; `make gpu` runs these tests. Skipped without a device.

Statistical comparisons fail with probability 1e-6 each though all is right.
"""

import functools
import math
from pathlib import Path

import pytest
import torch
from seeded import seeded
from statistical import assert_frequencies, assert_mean

from gumbelrao_edu import gumbel_rao, st_gumbel_softmax
from gumbelrao_edu.estimators import _fused
from gumbelrao_edu.quadrature import conditional_vjp, second_moment
from gumbelrao_edu.training.errors import TrainingDivergedError
from gumbelrao_edu.training.loop import Training

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]

THETA = torch.tensor([0.5, -0.3, 1.2])
G = torch.tensor([1.0, 2.0, -1.0])
TAU = 0.5
INF = math.inf


def rows(many):
    return THETA.cuda().expand(many, 3).clone().requires_grad_()


def check_law(samples, grads, k):
    p, every = THETA.double().softmax(-1), torch.arange(3)
    given = (G.double().expand(3, 3), THETA.double().expand(3, 3), every, TAU)
    mean, square = conditional_vjp(*given), second_moment(*given)
    assert_frequencies(samples.sum(0).cpu(), p)
    assert_mean(grads.cpu(), p @ mean, notice=0.05)
    assert_mean(grads.cpu() ** 2, p @ (mean**2 + (square - mean**2) / k), notice=0.05)


def test_the_kernels_are_used():
    assert _fused.usable(rows(2), 3, "iid")


@pytest.mark.parametrize("k", [1, 7, INF])
def test_law(k):
    leaf = rows(200_000)
    sample = gumbel_rao(leaf, tau=TAU, k=k)
    sample.backward(G.cuda().expand_as(leaf))
    check_law(sample.detach(), leaf.grad, k)


@pytest.mark.parametrize("k", [3, INF])
def test_each_replay_of_a_captured_graph_draws_anew(k):
    """A hundred replays of 2000 rows: the sample and the noise given it are new each time."""
    leaf = rows(2000)
    grad = G.cuda().expand_as(leaf).contiguous()

    def step():
        sample = gumbel_rao(leaf, tau=TAU, k=k)
        return sample.detach(), torch.autograd.grad(sample, leaf, grad)[0]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = step()
    draws = []
    for _ in range(100):
        graph.replay()
        draws.append([each.clone() for each in out])
    samples, grads = (torch.stack(each) for each in zip(*draws, strict=True))
    check_law(samples.flatten(0, 1), grads.flatten(0, 1), k)
    assert len(samples.unique(dim=0)) == len(grads.unique(dim=0)) == 100


@pytest.mark.parametrize("k", [3, math.inf])
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled(mode, k):
    _fused._constants.cache_clear()  # as in a new process
    f = torch.compile(lambda x: gumbel_rao(x, tau=TAU, k=k), mode=mode, fullgraph=True)
    for _ in range(4):
        leaf = rows(100_000)
        sample = f(leaf)
        sample.backward(G.cuda().expand_as(leaf))
        check_law(sample.detach().clone(), leaf.grad.clone(), k)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 3, 8, 16, 100, 1000, 1024])
def test_exact(n, dtype):
    taus = torch.tensor([0.05, 0.3, 0.5, 1.0, 1.7, 10.0], dtype=dtype).repeat_interleave(20)
    generator = seeded(n)
    theta = (4 * torch.randn(len(taus), n, generator=generator)).to(dtype)
    g = torch.randn(len(taus), n, generator=generator).to(dtype)
    index = torch.randint(n, (len(taus),), generator=generator)
    one_hot = torch.nn.functional.one_hot(index, n).to(dtype)
    got = _fused.exact(*(x.cuda() for x in (g, theta, one_hot)), taus.cuda()).cpu().double()
    want = conditional_vjp(g.double(), theta.double(), index, taus.double())
    error = (got - want).norm(dim=-1) / want.norm(dim=-1)
    assert error.max() < (1e-4 if dtype == torch.float32 else 1e-8)


@pytest.mark.parametrize("k", [10, INF])
def test_nothing_waits_for_the_device(k):
    leaf, tau = rows(100), torch.full((100,), TAU, device="cuda")
    grad = torch.ones_like(leaf)
    gumbel_rao(leaf, tau=tau, k=k).backward(grad)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for estimator in (
            functools.partial(gumbel_rao, tau=tau, k=k),
            functools.partial(gumbel_rao, tau=TAU, k=k),
            functools.partial(st_gumbel_softmax, tau=TAU),
        ):
            estimator(leaf).backward(grad)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("k", [100, INF])
def test_memory_is_at_most_twice_the_logits(k):
    leaf = torch.zeros(20, 80, 8 * 64, device="cuda", requires_grad=True)
    grad = torch.ones_like(leaf)
    for _ in range(2):
        leaf.grad = None
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        sample = gumbel_rao(leaf, tau=TAU, k=k)
        sample.backward(grad)
    # Beside the sample and the gradient, which are the result.
    extra = torch.cuda.max_memory_allocated() - before - 2 * leaf.nbytes
    assert extra <= 2 * leaf.nbytes + 2**16


def test_a_training_that_diverges_keeps_the_weights_before():
    torch.manual_seed(0)
    examples = torch.randn(64, 3).cuda()

    def trained(bad_step):
        count = 0

        def loss(model, x):
            nonlocal count
            count += 1
            return model(x).square().mean() * (math.nan if count == bad_step else 1)

        model = torch.nn.Linear(3, 1).cuda()
        torch.nn.init.constant_(model.weight, 0.5)
        torch.nn.init.zeros_(model.bias)
        return Training(model, loss, examples, batch_size=8, learning_rate=0.1, momentum=0.9)

    good, bad = trained(-1), trained(14)
    good.run(13, every=10)
    with pytest.raises(TrainingDivergedError, match="the loss is nan at step 14"):
        bad.run(40, every=10)
    assert bad.step == 13
    for a, b in zip(good.model.parameters(), bad.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.notebooks
@pytest.mark.parametrize(
    "source",
    sorted((Path(__file__).resolve().parent.parent / "notebooks/solutions").glob("[0-9]*.py")),
    ids=lambda path: path.stem[:2],
)
def test_notebooks_run_top_to_bottom(source):
    """Where the course is installed; live trainings use the GPU, asserts and checks hold."""
    nbclient = pytest.importorskip("nbclient")
    jupytext = pytest.importorskip("jupytext")
    notebook = jupytext.read(source)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(source.parent)}}
    ).execute()
