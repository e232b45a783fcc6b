"""Estimators at the edges of what they accept: values, errors and what the errors say."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
import torch
from seeded import seeded

from gumbelrao_edu import (
    GumbelRaoCategorical,
    Schedule,
    conditional_gumbel,
    estimators,
    gumbel_max,
    gumbel_rao,
    straight_through,
    tempered_softmax,
)
from gumbelrao_edu.diagnostics import compare
from gumbelrao_edu.distributions import concrete_log_prob
from gumbelrao_edu.estimators import sampler, score_loss
from gumbelrao_edu.gumbel import rejection
from gumbelrao_edu.quadrature import conditional_vjp
from gumbelrao_edu.surrogate import parallel, replace_gradient, sequential

THREE = torch.zeros(3)
LEARNABLE = [
    "gumbel_softmax",
    "st_gumbel_softmax",
    "straight_through",
    "decoupled_straight_through",
    "gapped_straight_through",
]


@pytest.mark.parametrize("name", LEARNABLE)
def test_a_class_that_never_occurs_leaves_the_gradient_of_tau_a_number(name):
    tau = torch.tensor(0.5, requires_grad=True)
    draw = sampler(name, tau=tau, generator=seeded(0))
    sample = draw(torch.tensor([0.1, 0.5, -torch.inf]))
    (sample @ torch.tensor([1.0, 2.0, 4.0])).backward()
    assert tau.grad.isfinite()
    assert tau.grad != 0


def test_the_gradient_of_tau_is_that_without_the_class_that_never_occurs():
    def gradient(logits, weights):
        tau = torch.tensor(0.5, requires_grad=True)
        (tempered_softmax(logits, tau) @ weights).backward()
        return tau.grad

    logits, weights = torch.tensor([0.1, 0.5, -torch.inf]), torch.tensor([1.0, 2.0, 4.0])
    torch.testing.assert_close(gradient(logits, weights), gradient(logits[:2], weights[:2]))


@pytest.mark.parametrize("n", [2, 3])
def test_the_lowest_tau_of_exact_gradients_is_their_limit(n):
    logits, g = torch.tensor([0.0, -30.0, -35.0])[:n], torch.tensor([1.0, 2.0, 4.0])[:n]
    lowest = conditional_vjp(g, logits, torch.tensor(0), 1e-20)
    p = logits.softmax(-1)
    want = p * (g - g[0]) / 2  # v_j = ½ p_j (g_j − g_i)
    want[0] = -want.sum()
    torch.testing.assert_close(lowest, want, rtol=1e-4, atol=0.0)
    for tau in (1e-30, torch.tensor(1e-30)):
        with pytest.raises(ValueError, match="tau: expected from 1e-20 to 100 with K = ∞, got "):
            gumbel_rao(logits, tau=tau, k=math.inf)


@pytest.mark.parametrize(
    ("baseline", "error", "says"),
    [
        (torch.zeros(5, 1), ValueError, r"shape \(5,\) of the losses.* got \(5, 1\)"),
        (torch.full((5,), math.nan), ValueError, "finite numbers, got NaN"),
        (torch.tensor(math.inf), ValueError, "finite numbers, got NaN"),
        (math.nan, ValueError, "expected a finite number, got nan"),
        ("a", TypeError, "expected a number, got str"),
    ],
)
@pytest.mark.parametrize("num_samples", [1, 2])
def test_score_loss_checks_its_baseline(baseline, error, says, num_samples):
    losses = torch.arange(5.0).expand(num_samples, 5)
    log_p = torch.zeros(num_samples, 5, requires_grad=True)
    with pytest.raises(error, match=f"baseline: .*{says}"):
        score_loss(losses, log_p, baseline=baseline)
    with pytest.raises(TypeError, match="log_p: expected a floating-point tensor"):
        score_loss(losses, torch.zeros(num_samples, 5, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_lowest_finite_logit_beside_a_class_that_never_occurs(dtype):
    logits = torch.tensor([torch.finfo(dtype).min, -torch.inf], dtype=dtype)
    one_hot, perturbed = gumbel_max(logits, generator=seeded(0))
    again = conditional_gumbel(logits, one_hot, 3, generator=seeded(1))
    assert one_hot.tolist() == [1.0, 0.0]
    for value in (perturbed, *again):
        assert not value.isnan().any()
        assert value[0] > value[1] or value[0] == -torch.inf


def test_probabilities_and_logits_have_the_same_log_prob():
    for probs in ([0.5, 0.5, 0.0], [1e-12, 0.5, 0.5]):
        by_probs = GumbelRaoCategorical(probs=torch.tensor(probs))
        by_logits = GumbelRaoCategorical(logits=torch.tensor(probs).log())
        for value in torch.eye(3):
            torch.testing.assert_close(by_probs.log_prob(value), by_logits.log_prob(value))
    assert (
        GumbelRaoCategorical(probs=torch.tensor([0.5, 0.5, 0.0])).log_prob(
            torch.tensor([0.0, 0.0, 1.0])
        )
        == -math.inf
    )


def test_a_density_is_one_of_points_on_the_simplex():
    with pytest.raises(ValueError, match="sample: expected entries that sum to 1"):
        concrete_log_prob(torch.tensor([1.0, 1.0]), torch.zeros(2), tau=1.0)


@pytest.mark.parametrize(
    "name",
    [
        "reinmax",
        "reinmax_rao",
        "reinmax_cv",
        "decoupled_straight_through",
        "gapped_straight_through",
        "gumbel_rao",
    ],
)
def test_a_refused_second_derivative_names_its_estimator(name):
    logits = torch.zeros(3, requires_grad=True)
    loss = (sampler(name)(logits) * torch.tensor([1.0, 2.0, 3.0])).sum()
    (first,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match=f"^{name}: "):
        torch.autograd.grad(first[0], logits)


def test_exact_gradients_of_shapes_without_numbers():
    logits = torch.zeros(2, 3, device="meta", requires_grad=True)
    gumbel_rao(logits, tau=0.5, k=math.inf).sum().backward()
    assert logits.grad.shape == (2, 3)


def test_rejection_refuses_what_would_not_end():
    with pytest.raises(ValueError, match="index: expected a class for which k / p_i is at most"):
        rejection(torch.tensor([0.0, -60.0]), 1, 1)


def test_a_message_does_not_list_all_temperatures():
    with pytest.raises(ValueError, match="tau: expected positive finite numbers") as error:
        gumbel_rao(torch.zeros(100_000, 3), tau=torch.full((100_000,), -1.0), k=1)
    assert len(str(error.value)) < 200
    assert "(100000,) of -1 to -1" in str(error.value)


@pytest.mark.parametrize("name", ["reinforce", "rloo", "exact"])
def test_what_is_no_function_is_named(name):
    record = estimators.get(name)
    with pytest.raises(TypeError, match="f: expected a function, got NoneType"):
        record.function(None, torch.zeros(3), **record.example)


def test_parallel_needs_no_gradient_mode():
    def value():
        return parallel(lambda d: (d @ torch.tensor([1.0, 2.0])).square(), torch.eye(2), s)

    s = torch.tensor([[0.3, 0.7], [0.6, 0.4]])
    with torch.no_grad():
        quiet = value()
    torch.testing.assert_close(quiet, value())
    with pytest.raises(TypeError, match="f: expected a function, got int"):
        parallel(5, torch.eye(2), s)


def test_a_name_is_a_text():
    with pytest.raises(TypeError, match="name: expected a text, got list"):
        estimators.get([])


def test_no_gradient_reaches_the_sample_that_the_gumbels_are_drawn_given():
    theta = torch.tensor([0.5, -0.3, 1.2], requires_grad=True)
    sample = straight_through(theta, tau=1.0, generator=seeded(0))
    grads = [
        torch.autograd.grad(
            conditional_gumbel(theta, d, 4, generator=seeded(1))[:, 0].sum(), theta
        )[0]
        for d in (sample, sample.detach())
    ]
    assert torch.equal(*grads)


def test_what_a_record_says_is_not_changed_by_accident():
    with pytest.raises(TypeError, match="does not support item assignment"):
        estimators.get("gumbel_rao").example["k"] = 3


def test_records_are_copied_and_pickled():
    records = [estimators.get(name) for name in estimators.names()]
    records += [dataclasses.replace(each, name="mine", example={"tau": 0.1}) for each in records]
    for record in records:
        for other in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
            assert other == record
            assert hash(other) == hash(record)
            with pytest.raises(TypeError, match="does not support item assignment"):
                other.example["k"] = 3


def test_a_large_whole_number_is_one():
    for large in (2**64, 2**70):  # torch takes no such int
        assert torch.equal(tempered_softmax(THREE, large), tempered_softmax(THREE, float(large)))


def test_a_name_in_an_array_and_bytes_for_numbers_are_refused():
    two = np.array(["iid", "iid"])
    with pytest.raises(ValueError, match="noise: expected one of"):
        gumbel_rao(THREE, tau=0.5, k=3, noise=two)
    with pytest.raises(ValueError, match="shape: expected one of"):
        Schedule(0.5, shape=two)
    with pytest.raises(TypeError, match="tau: expected several numbers, got b'a'"):
        compare(lambda d: d.sum(-1), THREE, tau=b"a")


def test_tensors_that_lie_elsewhere_are_named():
    index = torch.tensor(0)
    with pytest.raises(ValueError, match=r"grad: expected a tensor on cpu, .* got one on meta"):
        conditional_vjp(THREE.to("meta"), THREE, index, 0.5)
    with pytest.raises(ValueError, match=r"index: expected a tensor on cpu, .* got one on meta"):
        conditional_vjp(THREE, THREE, index.to("meta"), 0.5)
    here, there = torch.eye(3)[0], torch.eye(3, device="meta")[0]
    with pytest.raises(ValueError, match=r"surrogate: .* on cpu, where value is, got one on meta"):
        replace_gradient(here, there)
    with pytest.raises(ValueError, match=r"relaxed: .* on cpu, where one_hot is, got one on meta"):
        parallel(torch.sum, here, there)
    for samples, relax, name in (
        ([there], lambda theta, j: theta, "one_hots"),
        ([here], lambda theta, j: there, "relax"),
    ):
        with pytest.raises(ValueError, match=f"{name}: .* on cpu, where the logits are, got one"):
            sequential(lambda d: d[0].sum(), lambda d: d, THREE, samples, relax)


def test_temperatures_that_do_not_fit_each_other_are_named():
    taus = {"tau": torch.ones(2), "tau_forward": torch.ones(3)}
    with pytest.raises(ValueError, match="hyper: expected tensors that broadcast"):
        sampler("decoupled_straight_through", **taus)
