import copy
import math

import pytest
import torch
from statistical import assert_frequencies, assert_same_mean
from torch.distributions import OneHotCategorical, kl_divergence

from gumbelrao_edu import GumbelRao, GumbelRaoCategorical, Schedule, gumbel_rao

THETA = torch.tensor([0.5, -0.3, 1.2])
TARGET = torch.tensor([0.2, 0.7, 0.1])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def loss(d):
    return (d - TARGET).square().sum(-1)


# --- schedules ------------------------------------------------------------------------------


def test_schedules_by_hand():
    assert [Schedule(0.7)(t) for t in (0, 1, 10**6)] == [0.7] * 3
    exponential = Schedule(1.0, 0.01, steps=10, shape="exponential")
    assert [exponential(t) for t in (0, 5, 10, 11)] == pytest.approx([1, 0.1, 0.01, 0.01])
    cosine = Schedule(1.0, 0.2, steps=10, shape="cosine")
    assert [cosine(t) for t in (0, 5, 10, 99)] == pytest.approx([1, 0.6, 0.2, 0.2])
    rising = Schedule(0.1, 1.0, steps=2, shape="exponential")
    assert rising(1) == pytest.approx(math.sqrt(0.1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"start": 0.0}, ValueError, "tau: .* got 0.0"),
        ({"start": 1.0, "end": 0.1}, ValueError, "end: .* constant schedule, got 0.1"),
        ({"start": 1.0, "shape": "linear"}, ValueError, "shape: .* got 'linear'"),
        ({"start": 1.0, "steps": 0}, ValueError, "steps: expected at least 1, got 0"),
        ({"start": 1.0, "steps": 1.5}, TypeError, "steps: .* float"),
    ],
)
def test_wrong_schedules_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Schedule(**arguments)
    with pytest.raises(ValueError, match="step: expected at least 0, got -1"):
        Schedule(1.0)(-1)


# --- the module -----------------------------------------------------------------------------


def test_the_module_is_the_function():
    layer = GumbelRao(tau=0.3, k=4)
    x, y = (THETA.expand(50, 3).clone().requires_grad_() for _ in range(2))
    loss(layer(x, generator=seeded())).sum().backward()
    loss(gumbel_rao(y, tau=0.3, k=4, generator=seeded())).sum().backward()
    assert torch.equal(x.grad, y.grad)


def test_the_module_moves_along_its_schedule_and_saves_where_it_is():
    layer = GumbelRao(tau=Schedule(1.0, 0.1, steps=10, shape="exponential"), k=2)
    for _ in range(5):
        layer.step()
    assert layer.tau == pytest.approx(10**-0.5)
    assert repr(layer) == "GumbelRao(tau=0.3162, k=2)"
    again = GumbelRao(tau=layer.schedule, k=2)
    again.load_state_dict(layer.state_dict())
    assert again.tau == layer.tau == copy.deepcopy(layer).tau


def test_evaluation_can_take_the_most_probable_class():
    layer = GumbelRao(hard_eval=True).eval()
    assert layer(THETA.expand(9, 3)).argmax(-1).tolist() == [2] * 9
    samples = GumbelRao().eval()(THETA.expand(50_000, 3), generator=seeded())
    assert_frequencies(samples.sum(0), THETA.softmax(0))


def test_a_network_learns_the_best_class_through_the_module():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), GumbelRao(tau=0.5, k=math.inf))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    x = torch.randn(64, 4, generator=seeded())
    before = loss(net(x)).mean().item()
    for _ in range(200):
        optimizer.zero_grad()
        loss(net(x)).mean().backward()
        optimizer.step()
    best = loss(torch.eye(3)).min().item()
    after = loss(net(x)).mean().item()
    assert after - best < 0.2 * (before - best)


def test_a_layer_used_twice_in_one_graph_under_data_parallelism(tmp_path):
    """Two forward passes before one backward pass, on one process."""
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    rendezvous = f"file://{tmp_path}/rendezvous"
    distributed.init_process_group("gloo", init_method=rendezvous, rank=0, world_size=1)
    try:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(4, 3), GumbelRao(tau=0.5, k=5))
        parallel = DistributedDataParallel(net)
        x = torch.randn(2, 8, 4, generator=seeded())
        torch.manual_seed(1)
        (loss(parallel(x[0])) + loss(parallel(x[1]))).mean().backward()
        got = net[0].weight.grad.clone()
        net.zero_grad()
        torch.manual_seed(1)
        (loss(net(x[0])) + loss(net(x[1]))).mean().backward()
        assert torch.equal(got, net[0].weight.grad)
        assert got.abs().sum() > 0
    finally:
        distributed.destroy_process_group()


# --- the distribution -----------------------------------------------------------------------


def test_the_distribution_samples_and_scores_as_its_parent():
    ours, parent = GumbelRaoCategorical(logits=THETA), OneHotCategorical(logits=THETA)
    torch.manual_seed(0)
    draws = ours.rsample([50_000])
    assert_frequencies(draws.sum(0), THETA.softmax(0))
    torch.testing.assert_close(ours.log_prob(draws), parent.log_prob(draws))
    torch.testing.assert_close(ours.entropy(), parent.entropy())
    uniform = OneHotCategorical(logits=torch.zeros(3))
    torch.testing.assert_close(kl_divergence(ours, uniform), kl_divergence(parent, uniform))


def test_rsample_has_the_gradient_of_gumbel_rao():
    torch.manual_seed(0)
    x, y = (THETA.expand(50_000, 3).clone().requires_grad_() for _ in range(2))
    loss(GumbelRaoCategorical(logits=x, tau=0.4, k=3).rsample()).sum().backward()
    loss(gumbel_rao(y, tau=0.4, k=3, generator=seeded())).sum().backward()
    assert_same_mean(x.grad, y.grad, notice=0.05)
    assert_same_mean(x.grad**2, y.grad**2, notice=0.05)


def test_probabilities_expansion_and_shapes():
    probs = torch.tensor([[0.2, 0.8], [0.5, 0.5]], requires_grad=True)
    distribution = GumbelRaoCategorical(probs, tau=torch.tensor([0.3, 1.0]), k=2)
    assert distribution.rsample([4, 5]).shape == (4, 5, 2, 2)
    wide = distribution.expand([3, 2])
    assert isinstance(wide, GumbelRaoCategorical)
    assert (wide.k, wide.rsample().shape) == (2, (3, 2, 2))
    loss_ = wide.rsample().select(-1, 0).sum()
    loss_.backward()
    assert probs.grad.isfinite().all()
    assert not distribution.sample().requires_grad


def test_wrong_arguments_of_the_distribution_are_named():
    with pytest.raises(ValueError, match=r"tau: .* got -1"):
        GumbelRaoCategorical(logits=THETA, tau=-1)
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        GumbelRaoCategorical(logits=THETA, k=0)


def test_a_pyro_model_trains_with_it():
    pyro = pytest.importorskip("pyro")
    import pyro.distributions as dist
    from pyro.infer import SVI, Trace_ELBO

    class PyroGumbelRao(GumbelRaoCategorical, dist.torch_distribution.TorchDistributionMixin):
        pass

    pyro.set_rng_seed(0)
    pyro.clear_param_store()
    means = torch.tensor([-2.0, 0.0, 3.0])
    data = torch.tensor(2.9)

    def model():
        z = pyro.sample("z", dist.OneHotCategorical(logits=torch.zeros(3)))
        pyro.sample("x", dist.Normal(z @ means, 1.0), obs=data)

    def guide():
        logits = pyro.param("logits", torch.zeros(3))
        pyro.sample("z", PyroGumbelRao(logits=logits, tau=0.5, k=math.inf))

    svi = SVI(model, guide, pyro.optim.SGD({"lr": 0.05}), Trace_ELBO(num_particles=4))
    for _ in range(300):
        svi.step()
    got = pyro.param("logits").detach().softmax(0)
    posterior = (-0.5 * (means - data) ** 2).softmax(0)
    assert got.argmax() == posterior.argmax() == 2
    assert got[2] > 0.9
