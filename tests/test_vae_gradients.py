"""Variance and bias of the encoder's gradient, against enumeration on a tiny model."""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from seeded import seeded
from statistical import assert_mean, assert_same_mean, discrepancy
from tiny_vae import IMAGES, enumerate_codes, tiny
from torch import Tensor, nn

from gumbelrao_edu import estimators, gumbel_rao, st_gumbel_softmax
from gumbelrao_edu.diagnostics import Measured
from gumbelrao_edu.quadrature import conditional_vjp
from gumbelrao_edu.vae import (
    DiscreteVAE,
    gradient_variance,
    squared_bias,
    variance_split,
)

TAU = 1.0
FOUR = torch.cat([IMAGES, torch.tensor([[0, 0, 0, 1, 0]], dtype=torch.uint8)])
PAIRS = [*itertools.combinations(range(4), 2)]  # all minibatches of 2 of the 4 images
BATCHES = torch.stack([FOUR[list(pair)] for pair in PAIRS])

# The estimators, and their numbers of score-function samples.
SCORE = {"reinforce": 1, "rloo": 2, "gr_inf": 0, "st_gs": 0}


def draws_of(name: str, seed: int):
    if SCORE[name]:
        hyper = {"num_samples": SCORE[name]} if name == "rloo" else {}
        return estimators.sampler(name, generator=seeded(seed), **hyper)
    if name == "gr_inf":
        return partial(gumbel_rao, tau=TAU, k=math.inf, generator=seeded(seed))
    return partial(st_gumbel_softmax, tau=TAU, generator=seeded(seed))


def vector(objective: Tensor, model: DiscreteVAE) -> Tensor:
    """The gradient of the encoder's weights; those of the loss have the other sign."""
    weights = [*model.encoder.parameters()]
    return -nn.utils.parameters_to_vector(torch.autograd.grad(objective, weights))


def codes(model: DiscreteVAE) -> Tensor:
    classes = torch.cartesian_prod(*[torch.arange(model.arity)] * model.num_variables)
    return F.one_hot(classes, model.arity).float()


def given_code(model: DiscreteVAE, x: Tensor, code: Tensor) -> Tensor:
    """The gradient of GR with K = ∞ for this D: formula (7), then the encoder and the KL."""
    logits = model.encode(x)
    sample = code.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model.log_likelihood(x, sample), sample)
    v = conditional_vjp(grad, logits.detach(), code.argmax(-1), TAU)
    return vector((logits * v).sum() - model.kl(logits).sum(), model)


def given_samples(model: DiscreteVAE, x: Tensor, samples: Tensor) -> Tensor:
    """The score-function gradient for these D^1 … D^S, `[S, V, n]`."""
    estimator = Scripted(len(samples), lambda _: samples.unsqueeze(1))
    return vector(model.elbo(x, estimator=estimator).sum(), model)


class Scripted(NamedTuple):
    """A score-function estimator whose samples are given."""

    num_samples: int
    draw: Callable[[Tensor], Tensor]

    def __call__(self, logits: Tensor) -> Tensor:
        return self.draw(logits)


class Moments(NamedTuple):
    mean: Tensor  # E[g | image], `[images, weights]`
    variance: Tensor  # tr Cov[g | image], `[images]`

    @property
    def monte_carlo(self) -> float:
        """For minibatches of 2 images whose codes are independent."""
        return float(self.variance.mean()) / 2

    @property
    def of_batches(self) -> Tensor:
        """E[g | b] of all minibatches of 2, `[6, weights]`."""
        return torch.stack([self.mean[list(pair)].mean(0) for pair in PAIRS])

    @property
    def minibatch(self) -> float:
        return float(self.of_batches.var(0, correction=0).sum())


@functools.cache
def moments(name: str) -> Moments:
    """Of "reinforce", "rloo" (S = 2) and "gr_inf", by a sum over all codes."""
    model = tiny()
    means, variances = [], []
    for x in FOUR.split(1):
        q = enumerate_codes(model, x)[0].detach().exp().squeeze(1)
        if name == "gr_inf":
            g = torch.stack([given_code(model, x, code.unsqueeze(0)) for code in codes(model)])
        else:
            size = SCORE[name]
            many = itertools.product(codes(model), repeat=size)
            g = torch.stack([given_samples(model, x, torch.stack(each)) for each in many])
            q = functools.reduce(torch.kron, [q] * size)
        q, g = q.double(), g.double()
        means.append(q @ g)
        variances.append(q @ (g - means[-1]).square().sum(1))
    return Moments(torch.stack(means), torch.stack(variances))


def squared_biases() -> Tensor:
    """Of ST-GS and of GR at any K, for each minibatch, `[6]`."""
    difference = moments("gr_inf").of_batches - moments("rloo").of_batches
    return difference.square().sum(1)


def one_gradient(model: DiscreteVAE, batch: Tensor, estimator) -> Tensor:
    return vector(model.elbo(batch, estimator=estimator).mean(), model)


def test_the_enumerations_agree() -> None:
    """Both score-function means are the gradient of the exact ELBO; GR's is that of ST-GS."""
    model = tiny()
    for i, x in enumerate(FOUR.split(1)):
        log_q, log_p = enumerate_codes(model, x)
        exact = vector((log_q.exp() * (log_p - log_q)).sum(), model).double()
        for name in ("reinforce", "rloo"):
            torch.testing.assert_close(moments(name).mean[i], exact, rtol=1e-4, atol=1e-5)
    x, want = FOUR[:1], moments("gr_inf").mean[0]
    st_gs = draws_of("st_gs", 0)
    copies = x.repeat(2000, 1)
    draws = torch.stack([one_gradient(model, copies, st_gs) for _ in range(40)])
    notice = 0.1 * float(want.abs().max())
    assert_mean(draws, want, notice=notice)
    assert discrepancy(draws, moments("rloo").mean[0], notice=notice) > 1


@pytest.mark.parametrize("name", ["reinforce", "rloo"])
def test_gradient_variance_of_score_functions(name: str) -> None:
    """With all 6 minibatches its mean is the Monte Carlo part exactly."""
    model, draw = tiny(), draws_of(name, 1)
    traces = torch.tensor(
        [gradient_variance(model, BATCHES, draw, num_samples=4).value for _ in range(150)]
    )
    exact = torch.tensor(moments(name).monte_carlo)
    assert_mean(traces, exact, notice=0.3 * exact)
    # Power: twice as many score samples would halve what the score adds.
    assert discrepancy(traces, exact / 2, notice=0.3 * exact) > 1


@functools.cache
def splits(name: str) -> Tensor:
    """250 independent measurements from 8 minibatches: `[250, (value, error), (MC, minibatch)]`."""
    model, draw, order = tiny(), draws_of(name, 2), seeded(3)
    measured = [
        variance_split(
            model,
            FOUR,
            draw,
            batch_size=2,
            num_batches=8,
            generator=order,
        )
        for _ in range(250)
    ]
    return torch.tensor(measured, dtype=torch.float64).mT


@functools.cache
def totals(name: str) -> Tensor:
    """‖g − h‖² / 2 of gradients of independent minibatches, `[1200]`: the mean is tr Cov[g].

    It is also what the minibatch part becomes when the same gradient is used twice.
    """
    model, draw, order = tiny(), draws_of(name, 4), seeded(5)

    def gradient() -> Tensor:
        chosen = torch.randint(len(PAIRS), (), generator=order)
        return one_gradient(model, BATCHES[chosen], draw)

    return torch.stack([(gradient() - gradient()).square().sum() / 2 for _ in range(1200)])


@pytest.mark.paper("Figure 3")
# RLOO is noisy: its minibatch part is a seventh of the other.
@pytest.mark.parametrize(("name", "notice"), [("gr_inf", 0.4), ("st_gs", 0.4), ("rloo", 3.0)])
def test_the_split_is_that_of_enumeration(name: str, notice: float) -> None:
    """The minibatch part of ST-GS is that of GR (Proposition 1)."""
    monte_carlo, minibatch = splits(name)[:, 0].unbind(1)
    exact = moments("gr_inf" if name == "st_gs" else name)
    want = torch.tensor(exact.minibatch)
    assert_mean(minibatch, want, notice=notice * exact.minibatch)
    if name == "st_gs":
        assert monte_carlo.mean() > 1.2 * exact.monte_carlo
    else:
        want = torch.tensor(exact.monte_carlo)
        assert_mean(monte_carlo, want, notice=0.3 * exact.monte_carlo)


@pytest.mark.parametrize(("name", "notice"), [("st_gs", 0.5), ("rloo", 3.0)])
def test_the_parts_make_the_total_variance(name: str, notice: float) -> None:
    total = splits(name)[:, 0].sum(1)
    assert_same_mean(total, totals(name), notice=0.5 * float(total.mean()))
    # Power: with one gradient twice, the test of the minibatch part above fails.
    exact = moments("gr_inf" if name == "st_gs" else name).minibatch
    assert discrepancy(totals(name), torch.tensor(exact), notice=notice * exact) > 1


@pytest.mark.parametrize("name", ["gr_inf", "rloo"])
def test_the_standard_errors_of_the_split(name: str) -> None:
    """(value − exact)² has the mean of the squared standard error."""
    exact = torch.tensor([moments(name).monte_carlo, moments(name).minibatch])
    value, error = splits(name).unbind(1)
    assert_calibrated(value, error, exact)


def assert_calibrated(value: Tensor, error: Tensor, exact: Tensor) -> None:
    """Would notice errors that are too small by √2.5, and is shown to notice halved ones."""
    size = error.square().mean(0)
    excess = ((value - exact).square() - error.square()) / size
    assert_mean(excess, torch.zeros_like(exact), notice=1.5)
    wrong = ((value - exact).square() - error.square() / 4) / (size / 4)
    assert discrepancy(wrong, torch.zeros_like(exact), notice=6.0) > 1


SOME = [0, 1]  # minibatches


def naive(name: str, num_samples: int, reference_samples: int) -> Tensor:
    """‖ĝ − t‖², which has a bias of its own, `[150]`."""
    model, draw = tiny(), draws_of(name, 6)
    rloo = estimators.sampler("rloo", generator=seeded(7), num_samples=reference_samples)

    def value(batch: Tensor) -> Tensor:
        estimate = one_gradient(model, batch.repeat(num_samples, 1), draw)
        return (estimate - one_gradient(model, batch, rloo)).square().sum()

    return torch.stack([sum(value(BATCHES[i]) for i in SOME) / len(SOME) for _ in range(150)])


@pytest.mark.paper("Figure 2")
@pytest.mark.parametrize(
    ("name", "num_samples", "reference_samples"),
    [("st_gs", 4, 20), ("gr_inf", 2, 20), ("rloo", 60, 20)],
)
def test_squared_bias(name: str, num_samples: int, reference_samples: int) -> None:
    """Against enumeration: that of ST-GS and of GR is the same, that of RLOO is 0."""
    model, draw, generator = tiny(), draws_of(name, 8), seeded(9)
    values = torch.tensor(
        [
            squared_bias(
                model,
                BATCHES[SOME],
                draw,
                num_samples=num_samples,
                reference_samples=reference_samples,
                generator=generator,
            ).value
            for _ in range(150)
        ],
        dtype=torch.float64,
    )
    of_st_gs = squared_biases()[SOME].mean()
    exact = torch.zeros_like(of_st_gs) if name == "rloo" else of_st_gs
    notice = 0.75 * float(of_st_gs)
    assert_mean(values, exact, notice=notice)
    # Power: neither the naive formula nor the bias of the others would pass.
    assert discrepancy(naive(name, num_samples, reference_samples), exact, notice=notice) > 1
    assert discrepancy(values, of_st_gs - exact, notice=notice) > 1


def test_the_standard_error_of_the_squared_bias() -> None:
    """For minibatches drawn at random; they are what differs most."""
    model, draw, generator = tiny(), draws_of("st_gs", 10), seeded(11)
    measured = torch.tensor(
        [
            squared_bias(
                model,
                BATCHES[torch.randint(len(PAIRS), (3,), generator=generator)],
                draw,
                num_samples=20,
                reference_samples=50,
                generator=generator,
            )
            for _ in range(150)
        ],
        dtype=torch.float64,
    )
    value, error = measured.unbind(1)
    assert_calibrated(value, error, squared_biases().mean())


@pytest.mark.parametrize("samples", [0, 1, 7, 150])
def test_memory_is_bounded(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 100 codes of each image at a time, and as many gradients in all as asked for."""
    model, elbo = tiny(), DiscreteVAE.elbo
    of_estimator, of_reference = [], []
    one_hot = draws_of("reinforce", 12)
    draw = Scripted(samples, one_hot) if samples else draws_of("st_gs", 12)

    def record(x: Tensor, *, estimator) -> Tensor:
        if estimator is draw:
            of_estimator.append(len(x) // 2)
        else:
            assert len(x) == 2
            of_reference.append(estimator.num_samples)
        return elbo(model, x, estimator=estimator)

    monkeypatch.setattr(model, "elbo", record)
    count = 3 if samples == 150 else 101
    squared_bias(
        model,
        BATCHES[:2],
        draw,
        num_samples=count,
        reference_samples=203,
    )
    assert sum(of_estimator) == 4 * count
    assert max(of_estimator) == {0: 51, 1: 51, 7: 13, 150: 1}[samples]
    assert of_reference == [67, 68, 68] * 4


def test_several_estimators_have_one_reference() -> None:
    """Each gets the number that it gets alone, with the same generator of the reference."""
    model, counts = tiny(), {"num_samples": 3, "reference_samples": 5}

    def bias(*names: str, several: bool) -> Any:
        draws = [draws_of(name, 31) for name in names]
        estimator = draws if several else draws[0]
        return squared_bias(model, BATCHES[:2], estimator, **counts, generator=seeded(32))

    both = bias("st_gs", "gr_inf", several=True)
    assert both == [bias(name, several=False) for name in ("st_gs", "gr_inf")]
    assert bias("st_gs", several=True) == both[:1]
    with pytest.raises(ValueError, match="estimator: expected at least one estimator, got none"):
        bias(several=True)
    with pytest.raises(TypeError, match="estimator: expected a function, got int"):
        squared_bias(model, BATCHES[:2], 3, **counts)


def test_chunks_weigh_as_much_as_they_hold() -> None:
    """101 gradients are 50 of one code and 51 of another; the seed repeats the draws of RLOO."""
    model = tiny()
    first, second = (F.one_hot(torch.tensor([c, c]), 4).float() for c in (0, 3))

    def measure(script: list[Tensor], count: int) -> Measured:
        codes_to_use = iter(script * 4)
        return squared_bias(
            model,
            BATCHES[:2],
            Scripted(1, lambda logits: next(codes_to_use).expand_as(logits)),
            num_samples=count,
            reference_samples=2,
            generator=seeded(13),
        )

    def expected() -> float:
        rloo, values = draws_of("rloo", 13), []
        for batch in BATCHES[:2]:
            g, h = (
                one_gradient(model, batch, Scripted(1, lambda x, c=code: c.expand_as(x)))
                for code in (first, second)
            )
            errors = [(50 * g + 51 * h) / 101 - one_gradient(model, batch, rloo) for _ in range(2)]
            values.append(errors[0] @ errors[1])
        return float(sum(values) / 2)

    assert measure([first, second], 101).value == pytest.approx(expected(), rel=1e-4)
    assert measure([second, first], 101).value != pytest.approx(expected(), rel=1e-4)


@torch.inference_mode()
def test_a_missing_gradient_is_explained_in_inference_mode() -> None:
    for measure in (gradient_variance, partial(squared_bias, reference_samples=4)):
        with pytest.raises(ValueError, match=r"estimator: .* nothing is in torch\.inference_mode"):
            measure(tiny(), BATCHES[:2], draws_of("st_gs", 0), num_samples=4)


@pytest.mark.parametrize(
    "measure",
    [
        partial(gradient_variance, num_samples=4),
        partial(squared_bias, num_samples=3, reference_samples=3),
        lambda model, batches, estimator: variance_split(
            model, batches[0], estimator, batch_size=1, num_batches=4
        ),
    ],
)
def test_none_does_not_stand_for_the_estimator_of_the_model(measure: Callable[..., Any]) -> None:
    """With REINFORCE its running mean would be changed."""
    with pytest.raises(TypeError, match="estimator: expected a function, got NoneType"):
        measure(tiny(), BATCHES[:2], None)


def all_three(model: DiscreteVAE, seed: int) -> tuple:
    draw, generator = draws_of("st_gs", seed), seeded(seed)
    return (
        gradient_variance(model, BATCHES[:2], draw, num_samples=4),
        variance_split(model, FOUR, draw, batch_size=2, num_batches=4, generator=generator),
        squared_bias(
            model, BATCHES[:2], draw, num_samples=3, reference_samples=3, generator=generator
        ),
    )


def test_generators_repeat_a_measurement_and_the_model_is_not_changed() -> None:
    model = tiny()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first = all_three(model, 14)
    assert first == all_three(model, 14)
    assert all(one != other for one, other in zip(first, all_three(model, 15), strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert all(weight.grad is None for weight in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_minibatches_are_drawn_without_replacement() -> None:
    """All images in each minibatch leave no minibatch variance; no noise, no Monte Carlo part."""
    model = tiny()

    def mean(logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    split = variance_split(model, FOUR, mean, batch_size=4, num_batches=4)
    for part in split:
        assert part == pytest.approx((0.0, 0.0), abs=1e-10)
    split = variance_split(model, FOUR, mean, batch_size=3, num_batches=40, generator=seeded(16))
    assert split.monte_carlo == (0.0, 0.0)
    assert split.minibatch.value > 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size: expected at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size: expected a whole number"),
        ({"batch_size": 5}, ValueError, "batch_size: expected at most the 4 images, got 5"),
        ({"num_batches": 2}, ValueError, "num_batches: expected an even number from 4 on, got 2"),
        ({"num_batches": 5}, ValueError, "num_batches: expected an even number from 4 on, got 5"),
        ({"num_batches": None}, TypeError, "num_batches: expected a whole number"),
        ({"images": BATCHES}, ValueError, r"images: expected \[N, pixels\], got \(6, 2, 5\)"),
    ],
)
def test_bad_splits(change: dict, error: type[Exception], message: str) -> None:
    arguments = {"images": FOUR, "batch_size": 2, "num_batches": 4, **change}
    with pytest.raises(error, match=message):
        variance_split(tiny(), estimator=draws_of("st_gs", 0), **arguments)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_samples": 0}, ValueError, "num_samples: expected at least 1, got 0"),
        ({"reference_samples": 1}, ValueError, "reference_samples: expected at least 2, got 1"),
        ({"reference_samples": "9"}, TypeError, "reference_samples: expected a whole number"),
        ({"batches": FOUR}, ValueError, r"batches: expected \[num_batches, batch, pixels\]"),
        ({"batches": BATCHES[:1]}, ValueError, "batches: expected at least 2 minibatches, got 1"),
    ],
)
def test_bad_measurements_of_bias(change: dict, error: type[Exception], message: str) -> None:
    arguments = {"batches": BATCHES, "num_samples": 2, "reference_samples": 2, **change}
    with pytest.raises(error, match=message):
        squared_bias(tiny(), estimator=draws_of("st_gs", 0), **arguments)
