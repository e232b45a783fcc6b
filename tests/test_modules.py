import copy
import io
import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from scipy import integrate
from seeded import seeded
from statistical import assert_frequencies, assert_same_mean
from torch.distributions import OneHotCategorical, RelaxedOneHotCategorical, kl_divergence

from gumbelrao_edu import (
    GumbelRao,
    GumbelRaoCategorical,
    Schedule,
    concrete_log_prob,
    gumbel_rao,
    gumbel_softmax,
)

INF = math.inf

THETA = torch.tensor([0.5, -0.3, 1.2])
TARGET = torch.tensor([0.2, 0.7, 0.1])


@pytest.mark.parametrize("training", [True, False])
def test_a_contiguous_input_gives_a_contiguous_sample(training):
    layer = GumbelRao(0.5, 5, dim=1, hard_eval=True).train(training)
    x = torch.randn(2, 4, 3, 5, generator=seeded())
    assert layer(x).is_contiguous()
    assert layer(x).sum(1).allclose(torch.ones(2, 3, 5))
    assert not layer(x.transpose(2, 3)).is_contiguous()


@pytest.mark.parametrize("count", [-3, 2.5, "a"])
def test_a_wrong_count_of_steps_is_named_and_leaves_the_layer(count):
    layer = GumbelRao(Schedule(1.0, 0.1, steps=10, shape="linear"), 5)
    layer.steps_done = 4
    with pytest.raises((TypeError, ValueError), match="steps_done: expected"):
        layer.steps_done = count
    assert (layer.steps_done, layer.tau) == (4, pytest.approx(0.64))


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


def test_linear_schedules_and_floors_by_hand():
    linear = Schedule(1.0, 0.2, steps=4, shape="linear")
    assert [linear(t) for t in (0, 1, 2, 4, 5)] == pytest.approx([1, 0.8, 0.6, 0.2, 0.2])
    floored = Schedule(1.0, 0.01, steps=10, shape="exponential", floor=0.1)
    assert [floored(t) for t in (0, 4, 5, 6, 10, 99)] == pytest.approx(
        [1, 10**-0.8, 0.1, 0.1, 0.1, 0.1]
    )
    assert floored(99) == 0.1


@pytest.mark.parametrize("shape", ["linear", "exponential", "cosine"])
@pytest.mark.parametrize(
    ("start", "end"), [(0.71, 100.0), (100.0, 0.71), (0.1, 0.3), (1e-40, 1e30), (0.7, 0.7)]
)
def test_schedules_begin_and_end_exactly_and_stay_between(shape, start, end):
    for steps in (1, 3, 10, 49):
        schedule = Schedule(start, end, steps=steps, shape=shape)
        values = [schedule(t) for t in range(steps + 1)]
        assert (values[0], values[-1], schedule(steps + 7), schedule(INF)) == (start, end, end, end)
        assert schedule(10**400) == end  # more than a float can be
        assert min(start, end) <= min(values) <= max(values) <= max(start, end)
        rising = values if start <= end else values[::-1]
        assert sorted(rising) == rising


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"start": 0.0}, ValueError, "start: .* got 0.0"),
        ({"start": "1"}, TypeError, "start: expected a number, got str"),
        ({"start": torch.tensor(1.0)}, TypeError, "start: expected a number, got Tensor"),
        ({"start": 1.0, "end": math.nan, "shape": "linear"}, ValueError, "end: .* got nan"),
        ({"start": 1.0, "end": 0.1}, ValueError, "end: .* constant schedule, got 0.1"),
        ({"start": 1.0, "shape": "step"}, ValueError, "shape: .* got 'step'"),
        ({"start": 1.0, "steps": 0}, ValueError, "steps: expected at least 1, got 0"),
        ({"start": 1.0, "steps": 1.5}, TypeError, "steps: .* float"),
        ({"start": 1.0, "floor": 2.0}, ValueError, "floor: .* 1.0, got 2.0"),
        ({"start": 1.0, "floor": -0.1}, ValueError, "floor: .* got -0.1"),
        ({"start": 1.0, "floor": None}, TypeError, "floor: .* got NoneType"),
    ],
)
def test_wrong_schedules_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Schedule(**arguments)


def test_a_schedule_is_told_by_its_shape_and_a_layer_by_its_schedule():
    with pytest.raises(ValueError, match=r"got 0.1; the shapes \['linear', 'exponential'"):
        Schedule(1.0, 0.1, steps=10)
    layer = GumbelRao(0.5, 3)
    with pytest.raises(AttributeError, match=r"tau: .* set `schedule` to a number"):
        layer.tau = 0.1
    layer.schedule = 0.1
    assert layer.tau == 0.1


def test_wrong_steps_are_named():
    for step in (-1, math.nan):
        with pytest.raises(ValueError, match=f"step: expected at least 0, got {step}"):
            Schedule(1.0)(step)
    for step in ("1", None, True):
        with pytest.raises(TypeError, match="step: expected a number, got"):
            Schedule(1.0)(step)
    assert Schedule(1.0, 0.5, steps=2, shape="linear")(np.int64(1)) == 0.75


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
    assert repr(layer) == "GumbelRao(tau=0.3162 at step 5, k=2)"
    again = GumbelRao(tau=layer.schedule, k=2)
    again.load_state_dict(layer.state_dict())
    assert again.tau == layer.tau == copy.deepcopy(layer).tau


def test_the_temperature_may_be_any_function_of_the_step():
    layer = GumbelRao(tau=lambda step: max(0.5, 0.9**step), k=3)
    for _ in range(3):
        layer.step()
    assert layer.tau == pytest.approx(0.729)
    x, y = (THETA.expand(50, 3).clone().requires_grad_() for _ in range(2))
    loss(layer(x, generator=seeded())).sum().backward()
    loss(gumbel_rao(y, tau=layer.tau, k=3, generator=seeded())).sum().backward()
    assert torch.equal(x.grad, y.grad)
    late = GumbelRao(tau=lambda step: 1.0 if step == 0 else -1.0, k=3)
    with pytest.raises(ValueError, match=r"tau: .* got -1.0"):
        late.step()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tau": torch.nn.Parameter(torch.tensor(0.5))}, TypeError, "tau: .* got Parameter: no gr"),
        ({"tau": torch.tensor(0.5)}, TypeError, "tau: .* got Tensor: no gradient"),
        ({"tau": lambda step: torch.tensor(0.5)}, TypeError, "tau: .* returns numbers, got tensor"),
        ({"tau": lambda step: -0.5}, ValueError, "tau: .* got -0.5"),
        ({"tau": None}, TypeError, "tau: .* got NoneType"),
        ({"tau": "0.5"}, TypeError, "tau: .* a Schedule or a function of the step, got str$"),
        ({"tau": 200.0}, ValueError, "tau: expected from 1e-20 to 100 with K = ∞, got 200"),
        ({"tau": 0.0, "k": 3}, ValueError, "tau: expected a positive finite number, got 0.0"),
        (
            {"tau": Schedule(1.0, 200.0, steps=5, shape="linear")},
            ValueError,
            "tau: expected from 1e-20 to 100 with K = ∞, got 200",
        ),
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        ({"k": 2.5}, TypeError, "k: expected a whole number, got float"),
        ({"noise": "normal"}, ValueError, "noise: expected one of .* got 'normal'"),
        ({"dim": 1.0}, TypeError, "dim: expected a whole number, got float 1.0"),
        ({"hard_eval": "no"}, TypeError, "hard_eval: expected True or False, got 'no'"),
        ({"generator": 3}, TypeError, "generator: .* got int"),
    ],
)
def test_what_the_layer_cannot_do_is_refused_when_it_is_made(arguments, error, message):
    with pytest.raises(error, match=message):
        GumbelRao(**arguments)


def test_the_layer_takes_what_the_function_takes():
    for arguments in ({"tau": 200.0, "k": 3}, {"tau": 0, "k": INF}, {"tau": 1, "k": 1}):
        layer = GumbelRao(**arguments, noise="antithetic")
        x, y = (THETA.expand(50, 3).clone().requires_grad_() for _ in range(2))
        loss(layer(x, generator=seeded())).sum().backward()
        loss(gumbel_rao(y, **arguments, noise="antithetic", generator=seeded())).sum().backward()
        assert torch.equal(x.grad, y.grad)


def test_a_layer_made_or_copied_in_inference_mode_steps_on():
    with torch.inference_mode():
        made = GumbelRao(Schedule(1.0, 0.1, steps=10, shape="linear"), k=2)
        copied = copy.deepcopy(made)
    for layer in (made, copied):
        layer.step()
        assert layer.tau == pytest.approx(0.91)
        assert layer._compiled_tau.item() == pytest.approx(0.91)


def test_a_schedule_may_be_replaced_and_is_checked_then_too():
    layer = GumbelRao(Schedule(1.0, 0.1, steps=10, shape="linear"), k=3)
    layer.step()
    layer.schedule = lambda step: 0.5 + 0.25 * step
    assert layer.tau == 0.75
    for wrong in (torch.nn.Parameter(torch.tensor(0.5)), "0.5"):
        with pytest.raises(TypeError, match=r"tau: expected a number, a Schedule .* got"):
            layer.schedule = wrong
    with pytest.raises(ValueError, match=r"tau: .* got -0\.5"):
        layer.schedule = lambda step: -0.5
    assert layer.tau == 0.75
    layer.schedule = 0.3
    assert layer.tau == 0.3
    assert "steps_done" not in layer.state_dict()


def test_a_schedule_that_turns_to_tensors_is_refused_at_that_step():
    layer = GumbelRao(lambda step: 0.5 if step == 0 else torch.tensor(0.5), k=3)
    with pytest.raises(TypeError, match=r"tau: expected a function that returns numbers, got tens"):
        layer.step()
    assert layer.steps_done == 0


@pytest.mark.parametrize(
    "count",
    [
        *map(torch.tensor, (3.7, [3, 4], -2, math.nan, INF)),
        torch.tensor(3, device="meta"),
        "x",
        [3, 4],
        None,
    ],
    ids=str,
)
def test_a_count_that_is_none_is_not_loaded(count):
    layer = GumbelRao(Schedule(1.0, 0.1, steps=10, shape="linear"), 3)
    layer.steps_done = 4
    with pytest.raises(RuntimeError, match="steps_done: expected one whole number from 0, got"):
        layer.load_state_dict({"steps_done": count})
    assert layer.steps_done == 4


def test_what_is_set_later_is_checked_too():
    layer = GumbelRao(0.5, 3)
    with pytest.raises(TypeError, match="hard_eval: expected True or False, got 'no'"):
        layer.hard_eval = "no"
    with pytest.raises(TypeError, match=r"dim: expected a whole number, got float 1\.5"):
        layer.dim = 1.5
    layer.dim, layer.hard_eval = 1, True
    assert layer.eval()(torch.zeros(2, 5, 4))[:, 0].sum() == 8


def test_a_divergence_is_between_as_many_classes():
    three, one = (GumbelRaoCategorical(logits=torch.zeros(n)) for n in (3, 1))
    with pytest.raises(ValueError, match="q: expected 3 classes, as p has, got 1"):
        kl_divergence(three, one)


@pytest.mark.parametrize("hard_eval", [False, True])
def test_the_classes_may_lie_along_any_axis(hard_eval):
    logits = torch.randn(2, 3, 4, 5, generator=seeded())
    for dim in (0, 1, 2, -1):
        layer = GumbelRao(0.5, 3, dim=dim, hard_eval=hard_eval).train(not hard_eval)
        last = GumbelRao(0.5, 3, hard_eval=hard_eval).train(not hard_eval)
        x, y = (logits.clone().requires_grad_() for _ in range(2))
        sample = layer(x, generator=seeded(1))
        assert sample.shape == x.shape
        assert (sample.sum(dim) == 1).all()
        want = last(y.movedim(dim, -1), generator=seeded(1)).movedim(-1, dim)
        assert torch.equal(sample, want)
        if not hard_eval:
            weights = torch.randn(logits.shape, generator=seeded(2))
            (sample * weights).sum().backward()
            (want * weights).sum().backward()
            assert torch.equal(x.grad, y.grad)
    with pytest.raises(ValueError, match=r"logits: expected an axis 4 .* got shape \(2, 3, 4, 5\)"):
        GumbelRao(dim=4)(logits)
    with pytest.raises(ValueError, match=r"logits: expected an axis -1 .* got shape \(\)"):
        GumbelRao()(torch.tensor(1.0))


def test_the_layer_has_a_generator_of_its_own_which_is_copied_with_it():
    state = torch.get_rng_state()
    layer = GumbelRao(0.5, 3, generator=seeded(4))
    layer(THETA)  # somewhere in its sequence
    stored = io.BytesIO()
    torch.save(layer, stored)
    stored.seek(0)
    copies = [
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(stored, weights_only=False),
    ]
    want = layer(THETA.expand(100, 3))
    for other in copies:
        assert torch.equal(other(THETA.expand(100, 3)), want)
    assert not torch.equal(layer(THETA.expand(100, 3)), want)
    assert torch.equal(torch.get_rng_state(), state)
    at_the_call = layer(THETA.expand(100, 3), generator=seeded(7))
    assert torch.equal(
        at_the_call, gumbel_rao(THETA.expand(100, 3), tau=1, k=1, generator=seeded(7))
    )


def test_weights_of_a_model_without_the_layer_can_be_loaded():
    """A constant temperature has nothing to restore; what an older layer saved is read."""
    old = torch.nn.Sequential(torch.nn.Linear(2, 3)).state_dict()
    for tau in (0.5, 1):
        net = torch.nn.Sequential(torch.nn.Linear(2, 3), GumbelRao(tau=tau))
        assert list(net.state_dict()) == ["0.weight", "0.bias"]
        net.load_state_dict(old)
        net.load_state_dict({**old, "1.steps_done": torch.tensor(7)})
        assert net[1].steps_done == 7
        GumbelRao().load_state_dict({"steps_done": torch.tensor(3)})


def test_the_count_of_steps_is_restored_where_the_temperature_depends_on_it():
    schedule = Schedule(1.0, 0.1, steps=10, shape="linear")
    net, other = (
        torch.nn.Sequential(torch.nn.Linear(2, 3), GumbelRao(tau=schedule)) for _ in range(2)
    )
    for _ in range(4):
        net[1].step()
    other.load_state_dict(net.state_dict())
    assert (other[1].steps_done, other[1].tau) == (4, net[1].tau)
    without = {name: value for name, value in net.state_dict().items() if "steps" not in name}
    with pytest.raises(RuntimeError, match=r"Missing key.*1.steps_done"):
        other.load_state_dict(without)
    other.load_state_dict(without, strict=False)
    torch.set_default_device("meta")
    try:
        assert net.state_dict()["1.steps_done"].item() == 4
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("tau", [0.5, Schedule(1.0, 0.1, steps=10, shape="linear")])
def test_an_ensemble_runs_under_vmap(tau):
    from torch.func import functional_call, stack_module_state, vmap

    torch.manual_seed(0)
    nets = [torch.nn.Sequential(torch.nn.Linear(2, 3), GumbelRao(tau=tau, k=3)) for _ in range(4)]
    parameters, buffers = stack_module_state(nets)
    x = torch.ones(60_000, 2)

    def run(parameters, buffers):
        return functional_call(nets[0], (parameters, buffers), (x,))

    out = vmap(run, randomness="different")(parameters, buffers).detach()
    for net, sample in zip(nets, out, strict=True):
        assert_frequencies(sample.sum(0), net[0](x[0]).softmax(-1).detach())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("hard_eval", [False, True])
@pytest.mark.parametrize("k", [5, INF])
@pytest.mark.parametrize(
    "tau", [0.5, Schedule(1.0, 0.1, steps=10, shape="cosine"), lambda step: 0.5]
)
def test_the_layer_can_be_exported(training, hard_eval, k, tau):
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), GumbelRao(tau, k, hard_eval=hard_eval))
    net.train(training)
    x = torch.randn(50_000, 2, generator=seeded())
    exported = torch.export.export(net, (x,)).module()
    with torch.no_grad():
        first, second = exported(torch.ones_like(x)), exported(torch.ones_like(x))
    p = net[0](torch.ones(2)).softmax(-1).detach()
    if hard_eval and not training:
        assert (first.argmax(-1) == p.argmax()).all()
    else:
        assert_frequencies(first.sum(0), p)
        assert not torch.equal(first, second)  # the draws are not part of the program


def test_the_most_probable_class_of_impossible_logits_is_refused():
    layer = GumbelRao(hard_eval=True).eval()
    for row in ([0.0, math.nan, 1.0], [-INF] * 3, [0.0, INF, 1.0]):
        with pytest.raises(ValueError, match=r"logits: .* got NaN, .inf or a row of -inf"):
            layer(torch.tensor([row, [0.0, 1.0, 2.0]]))
    with pytest.raises(TypeError, match="logits: expected a floating-point tensor"):
        layer(torch.tensor([1, 2]))
    assert layer(torch.tensor([-INF, 0.0, -1.0])).tolist() == [0.0, 1.0, 0.0]


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


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tau": -1}, ValueError, "tau: .* got -1"),
        ({"tau": 200.0}, ValueError, "tau: expected from 1e-20 to 100 with K = ∞, got 200"),
        ({"tau": torch.tensor(0.5, requires_grad=True)}, ValueError, "tau: .* requires it"),
        ({"tau": torch.ones(2)}, ValueError, r"tau: .* got \(2,\)"),
        ({"tau": "1"}, TypeError, "tau: .* got str"),
        ({"tau": 0, "k": 3}, ValueError, "tau: expected a positive .* got 0"),
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        ({"noise": "normal"}, ValueError, "noise: .* got 'normal'"),
        ({"generator": "cpu"}, TypeError, "generator: .* got str"),
        ({"logits": torch.zeros(2000)}, ValueError, "k: .* more than 1024 classes"),
        ({"logits": torch.tensor([0.0, math.nan])}, ValueError, "logits: .* got NaN"),
        ({"logits": torch.full((3,), -INF)}, ValueError, "logits: .* a row of -inf"),
        ({"logits": [0.0, 1.0]}, TypeError, "logits: expected a tensor, got list"),
        ({"logits": None}, ValueError, "probs, logits: expected one of them, got both or none"),
        ({"probs": torch.ones(3)}, ValueError, "probs, logits: expected one of them, got both"),
    ],
)
@pytest.mark.parametrize("validate_args", [None, False])
def test_what_the_distribution_cannot_do_is_refused_when_it_is_made(
    arguments, error, message, validate_args
):
    with pytest.raises(error, match=message):
        GumbelRaoCategorical(**{"logits": THETA, **arguments}, validate_args=validate_args)


def test_weights_whose_sum_is_above_the_largest_half_are_taken():
    categorical = GumbelRaoCategorical(probs=torch.full((2000,), 40.0, dtype=torch.float16), k=3)
    assert torch.allclose(categorical.probs.float(), torch.tensor(1 / 2000), rtol=5e-3)
    assert categorical.rsample().sum() == 1


@pytest.mark.parametrize("validate_args", [None, False])
def test_impossible_probabilities_are_named(validate_args):
    for row in ([0.0, 0.0], [0.5, -0.5], [math.nan, 1.0], [INF, 1.0]):
        with pytest.raises(ValueError, match="probs: expected numbers from 0"):
            GumbelRaoCategorical(torch.tensor([row, [0.5, 0.5]]), validate_args=validate_args)
    with pytest.raises(TypeError, match="probs: expected a floating-point tensor"):
        GumbelRaoCategorical(torch.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"probs: expected shape .* got \(\)"):
        GumbelRaoCategorical(torch.tensor(1.0))


@pytest.mark.parametrize("way", ["probs", "logits", "expanded", "layer"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_classes_of_probability_zero_are_never_drawn(way, dtype):
    """torch makes finite logits of such probabilities: in float16 such a class has one in 1,000."""
    p = torch.tensor([0.2, 0.0, 0.8, 0.0], dtype=dtype)
    logits = p.log()
    if way == "layer":
        samples = GumbelRao(0.5, 2)(logits.expand(100_000, 4), generator=seeded())[None]
    else:
        given = {"logits": logits} if way == "logits" else {"probs": p}
        distribution = GumbelRaoCategorical(**given, k=2, generator=seeded())
        shape = [100_000]
        if way == "expanded":
            distribution, shape = distribution.expand(shape), []
        samples = torch.stack([distribution.sample(shape), distribution.rsample(shape)])
    counts = samples.double().sum((0, 1))
    assert (counts[[1, 3]] == 0).all()
    assert_frequencies(counts[[0, 2]], torch.tensor([0.2, 0.8]))


def test_the_gradient_of_probabilities_is_finite_where_one_is_zero():
    probs = torch.tensor([0.2, 0.0, 0.8], requires_grad=True)
    (GumbelRaoCategorical(probs, k=5).rsample([100]) * THETA).sum().backward()
    assert probs.grad.isfinite().all()
    assert probs.grad.abs().sum() > 0


def test_the_distribution_has_noise_and_a_generator():
    x, y = (THETA.expand(50, 3).clone().requires_grad_() for _ in range(2))
    distribution = GumbelRaoCategorical(
        logits=x, tau=0.4, k=3, noise="antithetic", generator=seeded(5)
    )
    wide = copy.deepcopy(GumbelRaoCategorical(logits=THETA, k=3, generator=seeded(5))).expand([50])
    assert wide.generator is not None
    sample = distribution.rsample()
    loss(sample).sum().backward()
    want = gumbel_rao(y, tau=0.4, k=3, noise="antithetic", generator=seeded(5))
    loss(want).sum().backward()
    assert torch.equal(sample, want)
    torch.testing.assert_close(x.grad, y.grad)
    drawn, state = wide.sample(), torch.get_rng_state()
    assert torch.equal(drawn, sample.detach())  # the same seed
    assert not torch.equal(wide.sample(), drawn)
    assert torch.equal(torch.get_rng_state(), state)


def test_temperature_zero_is_the_limit():
    samples = GumbelRaoCategorical(logits=THETA, tau=0).rsample([100])
    assert (samples.sum(-1) == 1).all()


# --- the density of relaxed samples ---------------------------------------------------------


@pytest.mark.parametrize("tau", [0.6, 1.0, 2.5])
def test_the_density_integrates_to_one(tau):
    theta = torch.tensor([0.4, -0.3, 0.9], dtype=torch.float64)

    def density(*x):
        point = torch.tensor([*x, 1 - sum(x)], dtype=torch.float64)
        return concrete_log_prob(point, theta[-len(point) :], tau=tau).exp().item()

    total, _ = integrate.quad(density, 0, 1, epsabs=1e-8)
    assert total == pytest.approx(1, abs=1e-6)
    # In two dimensions on the triangle, x = u, y = (1 − u) v, by Gauss-Legendre after a map that
    # flattens the edges.
    nodes, weights = np.polynomial.legendre.leggauss(200)
    t, w = torch.tensor((nodes + 1) / 2), torch.tensor(weights / 2)
    flat, slope = t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3), 140 * t**3 * (1 - t) ** 3
    u, v = torch.meshgrid(flat, flat, indexing="ij")
    area = (w * slope)[:, None] * (w * slope) * (1 - u)
    points = torch.stack([u, (1 - u) * v, (1 - u) * (1 - v)], -1)
    value = (concrete_log_prob(points, theta, tau=tau).exp() * area).sum()
    assert value.item() == pytest.approx(1, abs=1e-3)


def test_the_density_is_that_of_the_samples():
    """Probabilities of intervals of x₁ by integration, and their frequencies."""
    theta = torch.tensor([0.4, -0.3], dtype=torch.float64)

    def density(x):
        point = torch.tensor([x, 1 - x], dtype=torch.float64)
        return concrete_log_prob(point, theta, tau=0.7).exp().item()

    edges = np.linspace(0, 1, 9)
    p = [integrate.quad(density, *ends)[0] for ends in itertools.pairwise(edges)]
    x = gumbel_softmax(theta.expand(100_000, 2), tau=0.7, generator=seeded())[:, 0]
    assert_frequencies(torch.tensor(np.histogram(x, edges)[0]), torch.tensor(p))


def test_the_density_agrees_with_torchs_own():
    theta = torch.randn(5, 4, dtype=torch.float64, generator=seeded())
    x = gumbel_softmax(theta, tau=0.8, generator=seeded(1))
    tau = torch.tensor(0.8, dtype=torch.float64)
    want = RelaxedOneHotCategorical(tau, logits=theta).log_prob(x)
    torch.testing.assert_close(concrete_log_prob(x, theta, tau=tau), want)
    each = torch.tensor([0.3, 0.8, 1.0, 2.0, 5.0], dtype=torch.float64)
    rows = [concrete_log_prob(x[i], theta[i], tau=each[i].item()) for i in range(5)]
    torch.testing.assert_close(concrete_log_prob(x, theta, tau=each), torch.stack(rows))
    assert concrete_log_prob(x.half(), theta.half(), tau=0.8).dtype == torch.float16
    for leaf in (theta, x, tau):
        leaf.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b, c: concrete_log_prob(b, a, tau=c), (theta, x.detach().requires_grad_(), tau)
    )


def test_a_divergence_from_what_is_rare_is_finite_where_its_probability_rounds_to_0():
    """By hand: p = (σ(0), …) and log q = (0, −110) up to rounding; torch's own says infinity."""
    logits = torch.tensor([0.0, 1.0], requires_grad=True)
    rare = OneHotCategorical(logits=torch.tensor([0.0, -110.0]))
    assert rare.probs[1] == 0
    kl = kl_divergence(GumbelRaoCategorical(logits=logits), rare)
    p = logits.detach().double().softmax(-1)
    want = (p * (p.log() - torch.tensor([0.0, -110.0]).double())).sum()
    assert kl.item() == pytest.approx(want.item(), rel=1e-6)
    (grad,) = torch.autograd.grad(kl, logits)
    terms = p.log() - torch.tensor([0.0, -110.0]).double()
    torch.testing.assert_close(grad.double(), p * (terms - want), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_divergence_from_what_never_occurs_is_infinite(dtype):
    p = GumbelRaoCategorical(logits=torch.tensor([0.0, 1.0], dtype=dtype))
    for never in ({"probs": [1.0, 0.0]}, {"logits": [0.0, -INF]}):
        q = OneHotCategorical(**{name: torch.tensor(x, dtype=dtype) for name, x in never.items()})
        assert kl_divergence(p, q) == INF


def test_classes_that_never_occur_have_no_part_in_the_divergence():
    """Nor in its gradient, where torch's own has NaN; the divergence is p log(p / q) by hand."""
    q = OneHotCategorical(probs=torch.tensor([[0.2, 0.3, 0.5]]))
    logits = torch.tensor([[0.5, -0.2, -INF], [0.1, 0.2, 0.3]], requires_grad=True)
    probs = torch.tensor([[0.25, 0.75, 0.0], [0.1, 0.2, 0.7]], requires_grad=True)
    for given in ({"logits": logits}, {"probs": probs}):
        (leaf,) = given.values()
        p = GumbelRaoCategorical(**given)
        kl = kl_divergence(p, q)
        expected = [
            sum(a * math.log(a / b) for a, b in zip(row, q.probs[0].tolist(), strict=True) if a)
            for row in p.probs.tolist()
        ]
        torch.testing.assert_close(kl, torch.tensor(expected))
        (grad,) = torch.autograd.grad(kl.sum(), leaf)
        assert grad.isfinite().all()
        assert grad[0, 2] == 0
        # Where all classes occur it is torch's, gradient included.
        parent = OneHotCategorical(**{name: x[1:] for name, x in given.items()})
        want = kl_divergence(parent, q)
        torch.testing.assert_close(kl[1:], want)
        torch.testing.assert_close(grad[1:], torch.autograd.grad(want.sum(), leaf)[0][1:])
    never = OneHotCategorical(probs=torch.tensor([1.0, 0.0, 0.0]))
    assert kl_divergence(GumbelRaoCategorical(logits=logits), never).tolist() == [INF, INF]
    assert kl_divergence(GumbelRaoCategorical(probs=never.probs), never) < 1e-6


def test_a_temperature_may_lie_on_the_cpu():
    """As with torch's own function; "meta" stands for a GPU."""
    x, tau = torch.zeros(4, 3, device="meta"), torch.tensor(0.5)
    assert concrete_log_prob(x, x, tau=tau).shape == (4,)


@pytest.mark.parametrize("offset", [2.0**22, 2.0**30])
def test_a_common_offset_of_the_logits_changes_no_density(offset):
    """Logits that float32 holds exactly with and without the offset."""
    theta = torch.tensor([[0.0, 1.0, -2.0], [0.0, 0.0, -INF]]) * (offset / 2**20)
    x, one_hot = torch.tensor([[0.2, 0.3, 0.5], [0.4, 0.6, 0.0]]), torch.eye(3)[:2]
    got, want = (GumbelRaoCategorical(logits=logits) for logits in (theta + offset, theta))
    assert torch.equal(got.log_prob(one_hot), want.log_prob(one_hot))
    assert torch.equal(got.entropy(), want.entropy())
    torch.testing.assert_close(want.entropy()[1], torch.tensor(2.0).log())
    assert torch.equal(got.probs, want.probs)
    assert torch.equal(
        concrete_log_prob(x, theta + offset, tau=0.5), concrete_log_prob(x, theta, tau=0.5)
    )


def test_the_density_leaves_out_classes_that_never_occur():
    theta, x = torch.tensor([0.4, -INF, -0.3]), torch.tensor([0.25, 0.0, 0.75])
    keep = torch.tensor([0, 2])
    leaf = theta.clone().requires_grad_()
    value = concrete_log_prob(x, leaf, tau=0.7)
    torch.testing.assert_close(value, concrete_log_prob(x[keep], theta[keep], tau=0.7))
    value.backward()
    assert leaf.grad.isfinite().all()
    outside = torch.tensor([0.25, 0.25, 0.5])
    assert concrete_log_prob(outside, theta, tau=0.7) == -INF
    assert concrete_log_prob(torch.ones(1), torch.zeros(1), tau=0.7) == 0
    assert concrete_log_prob(torch.ones(0, 3) / 3, theta[keep[:1]].expand(3), tau=1.0).shape == (0,)


@pytest.mark.parametrize(
    ("sample", "tau", "error", "message"),
    [
        ([0.5, 0.5, 0.0], 1.0, TypeError, "sample: expected a tensor, got list"),
        (torch.tensor([1, 0, 0]), 1.0, TypeError, "sample: expected a floating-point tensor"),
        (torch.tensor([1.0, 0.0, 0.0]), 1.0, ValueError, "sample: expected entries above 0"),
        (torch.tensor([0.5, math.nan, 0.5]), 1.0, ValueError, "sample: expected entries above 0"),
        (torch.ones(4) / 4, 1.0, ValueError, r"sample: expected shape .* got \(4,\)"),
        (torch.tensor(1.0), 1.0, ValueError, r"sample: expected shape .* got \(\)"),
        (torch.ones(3) / 3, 0.0, ValueError, "tau: .* got 0.0"),
        (torch.ones(2, 3) / 3, torch.ones(5), ValueError, r"tau: .* got \(5,\)"),
    ],
)
def test_wrong_arguments_of_the_density_are_named(sample, tau, error, message):
    with pytest.raises(error, match=message):
        concrete_log_prob(sample, THETA, tau=tau)


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
