"""The discrete VAE and its bounds, against enumeration of all codes of a tiny model."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from seeded import seeded
from statistical import assert_mean, discrepancy
from tiny_vae import IMAGES, ST_GS, enumerate_codes, tiny
from torch import Tensor

from gumbelrao_edu import estimators, gumbel_rao, st_gumbel_softmax
from gumbelrao_edu.estimators._score import log_probability
from gumbelrao_edu.vae import (
    DiscreteVAE,
    gradient_variance,
    importance_weighted_bound,
    load_digits_5k,
)


@torch.no_grad()
def exact_bounds(model: DiscreteVAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """The ELBO and log p(x), `[batch]`."""
    log_q, log_p = enumerate_codes(model, x)
    log_joint = log_p - model.num_variables * math.log(model.arity)
    return (log_q.exp() * (log_joint - log_q)).sum(0), log_joint.logsumexp(0)


@pytest.mark.parametrize(("arity", "variables"), [(2, 240), (4, 120), (8, 80), (16, 60)])
def test_shapes(arity: int, variables: int) -> None:
    model = DiscreteVAE(arity, ST_GS, pixel_mean=torch.full([784], 0.13))
    x = torch.zeros(3, 784)
    logits = model.encode(x)
    assert logits.shape == (3, variables, arity)
    assert model.decoder[0].in_features == 240
    assert model.decode(ST_GS(logits)).shape == (3, 784)
    assert model.elbo(x).shape == model(x).shape == (3,)
    assert model.reconstruct(x).shape == (3, 784)
    corners = model.corners
    assert corners.shape == (arity, math.log2(arity))
    assert (corners.abs() == 1).all()
    assert len(corners.unique(dim=0)) == arity


def test_start() -> None:
    mean = torch.linspace(0, 1, 784)
    state = torch.get_rng_state()
    first, second = (DiscreteVAE(8, ST_GS, pixel_mean=mean, generator=seeded(1)) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert any(
        not torch.equal(one, other)
        for one, other in zip(
            first.parameters(),
            DiscreteVAE(8, ST_GS, pixel_mean=mean, generator=seeded(2)).parameters(),
            strict=True,
        )
    )
    # Without a word from the code, the mean image of the training set is painted.
    painted = first.decoder[-1].bias.sigmoid()
    torch.testing.assert_close(painted, mean.clamp(0.001, 0.999))


def test_elbo_is_exact_on_average() -> None:
    model = tiny()
    exact, _ = exact_bounds(model, IMAGES)
    estimator = partial(st_gumbel_softmax, tau=0.5, generator=seeded(3))
    with torch.no_grad():
        draws = model.elbo(IMAGES.repeat(40_000, 1), estimator=estimator).view(-1, len(IMAGES))
    assert_mean(draws, exact, notice=0.1)
    without_kl = draws + model.kl(model.encode(IMAGES)).detach()
    assert discrepancy(without_kl, exact, notice=0.1) > 1


def test_what_is_reconstructed_is_the_most_probable_code() -> None:
    model = tiny()
    log_q, _ = enumerate_codes(model, IMAGES)
    choices = [torch.arange(model.arity)] * model.num_variables
    classes = torch.cartesian_prod(*choices).view(-1, model.num_variables)
    best = F.one_hot(classes[log_q.argmax(0)], model.arity).float()
    torch.testing.assert_close(model.reconstruct(IMAGES), model.decode(best).sigmoid())


def test_the_layers_are_those_that_are_said() -> None:
    mean = torch.tensor([0.1, 0.9, 0.5, 0.3, 0.2])
    model = DiscreteVAE(
        8, ST_GS, pixel_mean=mean, hidden=(7, 3), latent_bits=6, generator=seeded(1)
    )
    encoder, decoder = (
        [layer for layer in net if isinstance(layer, torch.nn.Linear)]
        for net in (model.encoder, model.decoder)
    )
    assert [layer.weight.shape for layer in encoder] == [(7, 5), (3, 7), (16, 3)]
    assert [layer.weight.shape for layer in decoder] == [(3, 6), (7, 3), (5, 7)]
    for layer in (*encoder, *decoder):  # uniform up to the bound of Glorot & Bengio
        bound = math.sqrt(6 / sum(layer.weight.shape))
        assert 0.6 * bound < layer.weight.abs().max() <= bound
    centred = model.encoder(IMAGES.float() - mean)
    torch.testing.assert_close(model.encode(IMAGES).flatten(1), centred)
    assert model.corners[5].tolist() == [1, -1, 1]  # 5 is 101 in binary, the last digit first
    assert model.corners[1].tolist() == [1, -1, -1]


def test_kl_is_exact() -> None:
    model = tiny()
    log_q, _ = enumerate_codes(model, IMAGES)
    exact = (log_q.exp() * (log_q + math.log(len(log_q)))).sum(0)
    torch.testing.assert_close(model.kl(model.encode(IMAGES)), exact)
    assert exact.min() > 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kl_is_exact_under_autocast(dtype: torch.dtype) -> None:
    """240 bits: entropies near 166 nats, where bfloat16 has whole numbers only."""
    logits = torch.zeros(2, 240, 2)
    logits[1, :, 0] = 0.25
    model = DiscreteVAE(2, ST_GS, pixel_mean=torch.full((16,), 0.5), hidden=(8,))
    with torch.autocast("cpu", dtype):
        kl = model.kl(logits.to(dtype))
    p = torch.tensor(0.25).sigmoid()
    each = p * (2 * p).log() + (1 - p) * (2 - 2 * p).log()
    torch.testing.assert_close(kl, torch.stack([torch.tensor(0.0), 240 * each]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("arity", [2, 4, 16])
@pytest.mark.parametrize("num_samples", [1, 5])
def test_the_bound_weighs_its_samples_right(arity: int, num_samples: int) -> None:
    """E[exp L_M] = p(x) for every M, exactly: 40,000 independent bounds against enumeration."""
    model = tiny(arity)
    elbo, log_p = exact_bounds(model, IMAGES)
    copies = IMAGES.repeat(40_000, 1)
    bound = importance_weighted_bound(
        model, copies, num_samples=num_samples, generator=seeded(arity)
    ).view(-1, len(IMAGES))
    assert_mean((bound - log_p).exp(), torch.ones(len(IMAGES)), notice=0.1)
    if num_samples == 1:
        assert_mean(bound, elbo, notice=0.1)


def test_the_formula_without_the_weights_is_noticed() -> None:
    """What section 5.4 prints: the mean of p(x, D) under q, without 1/q."""
    model = tiny()
    _, log_p = exact_bounds(model, IMAGES)
    copies = IMAGES.repeat(40_000, 1)
    with torch.no_grad():
        sample = st_gumbel_softmax(model.encode(copies), tau=0.5, generator=seeded(4))
        log_joint = model.log_likelihood(copies, sample) - math.log(16)
    ratio = (log_joint.view(-1, len(IMAGES)) - log_p).exp()
    assert discrepancy(ratio, torch.ones(len(IMAGES)), notice=0.1) > 1


def test_the_bound_rises_with_m_to_the_likelihood() -> None:
    model = tiny()
    elbo, log_p = exact_bounds(model, IMAGES)
    copies = IMAGES.repeat(2000, 1)
    bounds = [
        importance_weighted_bound(model, copies, num_samples=m, generator=seeded(m))
        .view(-1, len(IMAGES))
        .mean(0)
        for m in (1, 4, 16, 64)
    ]
    for lower, higher in zip(bounds, [*bounds[1:], log_p + 1e-3], strict=True):
        assert (higher > lower).all()
    assert ((log_p - bounds[-1]) < 0.1 * (log_p - elbo)).all()
    many = importance_weighted_bound(model, IMAGES, num_samples=20_000, generator=seeded(5))
    torch.testing.assert_close(many, log_p, atol=0.05, rtol=0)


@pytest.mark.parametrize("chunk", [1, 7, 50, 51, 1000])
def test_the_chunk_does_not_matter(chunk: int) -> None:
    model = tiny().double()
    whole, chunked = (
        importance_weighted_bound(model, IMAGES, num_samples=51, chunk=c, generator=seeded(6))
        for c in (51, chunk)
    )
    torch.testing.assert_close(chunked, whole, rtol=1e-12, atol=0)


def test_impossible_classes_are_never_drawn() -> None:
    model = tiny()
    with torch.no_grad():
        model.encoder[-1].bias[torch.tensor([0, 3, 4])] = -torch.inf
    bound = importance_weighted_bound(model, IMAGES, num_samples=1000, generator=seeded(7))
    assert bound.isfinite().all()


@pytest.mark.parametrize(("name", "num_samples"), [("reinforce", 1), ("rloo", 2), ("rloo", 4)])
def test_score_function_gradients_are_unbiased(name: str, num_samples: int) -> None:
    """40 means over many copies of an image against the gradient of the exact ELBO."""
    model, x = tiny(), IMAGES[:1]
    weights = [model.encoder[-1].bias, model.decoder[0].bias]
    log_q, log_p = enumerate_codes(model, x)
    exact = torch.autograd.grad((log_q.exp() * (log_p - log_q)).sum(), weights)
    hyper = {"num_samples": num_samples} if name == "rloo" else {}
    score = estimators.sampler(name, generator=seeded(12), **hyper)

    def means(estimator) -> list[Tensor]:
        copies = x.repeat(8000, 1)
        draws = [
            torch.autograd.grad(
                model.elbo(copies, estimator=estimator).mean(), weights, allow_unused=True
            )
            for _ in range(40)
        ]
        return [torch.stack(each) for each in zip(*draws, strict=True)]

    notices = [0.2 * float(each.abs().max()) for each in exact]
    got = means(score)
    for mean, want, notice in zip(got, exact, notices, strict=True):
        assert_mean(mean, want, notice=notice)
    # Power: without the score the encoder follows the KL alone.
    assert discrepancy(means(partial(score))[0], exact[0], notice=notices[0]) > 1


def test_score_function_elbo_has_the_same_value() -> None:
    model = tiny()
    value = model.elbo(IMAGES, estimator=estimators.sampler("reinforce", generator=seeded(13)))
    draw = partial(estimators.sampler("reinforce", generator=seeded(13)))  # a plain callable
    torch.testing.assert_close(value, model.elbo(IMAGES, estimator=draw))


def test_what_is_not_finite_and_what_is_empty_leave_the_baseline_of_reinforce() -> None:
    model = tiny(estimator=estimators.sampler("reinforce", generator=seeded(14)))
    model._baseline(torch.tensor([-3.0, -5.0]))
    once = model.running_mean.clone()
    torch.testing.assert_close(once, 0.01 * torch.tensor([-4.0, 1.0]))
    for values in ([], [math.nan], [math.inf, -math.inf]):
        model._baseline(torch.tensor(values))
        assert torch.equal(model.running_mean, once)
    model._baseline(torch.tensor([math.nan, -6.0]))
    assert model.running_mean[0].item() == pytest.approx(0.99 * -0.04 - 0.06)
    model.elbo(IMAGES[:0])
    assert model.elbo(IMAGES).isfinite().all()


def test_a_class_that_never_occurs_adds_nothing_to_the_kl() -> None:
    model = tiny()
    logits = torch.zeros(1, model.num_variables, 4)
    logits[..., 1] = -math.inf
    logits.requires_grad_()
    kl = model.kl(logits)
    assert kl.item() == pytest.approx(model.num_variables * math.log(4 / 3), rel=1e-6)
    kl.sum().backward()
    assert logits.grad.abs().max() < 1e-6  # uniform over the others: the least of all


def test_a_compiled_model_is_a_model() -> None:
    model = tiny()
    bounds = [
        importance_weighted_bound(each, IMAGES, num_samples=3, generator=seeded(6))
        for each in (model, torch.compile(model, backend="eager"))
    ]
    assert torch.equal(*bounds)


def test_the_baseline_of_reinforce_is_the_mean_of_the_past() -> None:
    model = tiny(estimator=estimators.sampler("reinforce", generator=seeded(14)))
    twin, past = estimators.sampler("reinforce", generator=seeded(14)), estimators.RunningMean()
    weights = [*model.encoder.parameters()]
    for _ in range(4):
        logits = model.encode(IMAGES)
        sample = twin(logits)
        values = model.log_likelihood(IMAGES, sample)
        log_q = log_probability(logits, sample.argmax(-1), 1)
        score = (values.detach() - past.value) * log_q
        want = torch.autograd.grad((score - model.kl(logits)).mean(), weights)
        got = torch.autograd.grad(model.elbo(IMAGES).mean(), weights)
        torch.testing.assert_close(got, want)
        past.update(values)
        torch.testing.assert_close(
            model.running_mean, torch.tensor([past.mean, past.weight]), rtol=1e-5, atol=1e-6
        )
    assert past.value < -1  # so that a step without it would have had another gradient


def test_only_steps_of_its_own_change_the_running_mean() -> None:
    model = tiny(estimator=estimators.sampler("reinforce", generator=seeded(15)))
    other = estimators.sampler("reinforce", generator=seeded(15))
    model.elbo(IMAGES, estimator=other)
    with torch.no_grad():
        model.elbo(IMAGES)
    assert model.running_mean.tolist() == [0.0, 0.0]
    model.elbo(IMAGES)
    assert model.running_mean[1] > 0
    assert "running_mean" in model.state_dict()  # a training goes on with it
    assert "running_mean" not in tiny(estimator=estimators.sampler("rloo")).state_dict()


# At this learning rate score-function estimators are too noisy; that they are unbiased is tested
# above.
@pytest.mark.parametrize("name", [n for n in estimators.names() if estimators.get(n).samples])
def test_trains_with_every_estimator(name: str) -> None:
    train, valid, _ = load_digits_5k()
    noise = seeded(8)
    estimator = estimators.sampler(name, generator=noise)
    pixel_mean = train.float().mean(0)
    model = DiscreteVAE(8, estimator, pixel_mean=pixel_mean, hidden=(50,), generator=noise)
    sgd = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    before = model.elbo(valid).mean().item()
    for batch in train[:3000].split(20):
        sgd.zero_grad()
        (-model.elbo(batch).mean()).backward()
        sgd.step()
    assert model.elbo(valid).mean().item() > before + 15  # nats
    assert model.kl(model.encode(valid)).mean() > 3  # the code is used


def test_input_types() -> None:
    model = tiny()
    assert torch.equal(model.encode(IMAGES), model.encode(IMAGES.float()))
    assert tiny().double().elbo(IMAGES).dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"arity": 3}, ValueError, "arity: expected a power of 2"),
        ({"arity": 1}, ValueError, "arity: expected a power of 2"),
        ({"arity": 2.0}, TypeError, "arity: expected a whole number"),
        ({"arity": 32, "latent_bits": 12}, ValueError, "latent_bits: expected a multiple of 5"),
        ({"estimator": "gumbel_rao"}, TypeError, "estimator: expected a function, got str"),
        ({"pixel_mean": torch.tensor([2.0])}, ValueError, r"pixel_mean: expected \[pixels\]"),
        ({"pixel_mean": torch.zeros(2, 2)}, ValueError, r"pixel_mean: .* got shape \(2, 2\)"),
    ],
)
def test_bad_models(change: dict, error: type[Exception], message: str) -> None:
    arguments = {"arity": 8, "estimator": ST_GS, "pixel_mean": torch.zeros(4), **change}
    with pytest.raises(error, match=message):
        DiscreteVAE(**arguments)


def test_bad_counts() -> None:
    model = tiny()
    with pytest.raises(ValueError, match="num_samples: expected at least 1"):
        importance_weighted_bound(model, IMAGES, num_samples=0)
    with pytest.raises(ValueError, match="chunk: expected at least 1"):
        importance_weighted_bound(model, IMAGES, num_samples=1, chunk=0)
    with pytest.raises(ValueError, match="num_samples: expected an even number"):
        gradient_variance(model, IMAGES.unsqueeze(0), ST_GS, num_samples=5)
    with pytest.raises(ValueError, match="batches: expected"):
        gradient_variance(model, IMAGES, ST_GS, num_samples=4)


def encoder_gradients(model: DiscreteVAE, batch: Tensor, estimator, count: int) -> Tensor:
    weights = list(model.encoder.parameters())
    return torch.stack(
        [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(
                        model.elbo(batch, estimator=estimator).mean(), weights
                    )
                ]
            )
            for _ in range(count)
        ]
    )


def test_gradient_variance_is_the_trace_of_the_covariance() -> None:
    """Against the covariance of other draws, within 5.5 standard errors of both."""
    model = tiny()
    batches = torch.stack([IMAGES, 1 - IMAGES])
    st_gs = partial(st_gumbel_softmax, tau=0.7, generator=seeded(9))
    measured = gradient_variance(model, batches, st_gs, num_samples=400)
    traces = [encoder_gradients(model, b, st_gs, 400).var(0).sum().item() for b in batches]
    accepted = 5.5 * 2**0.5 * measured.standard_error
    assert measured.value == pytest.approx(sum(traces) / 2, abs=accepted)
    assert accepted < measured.value / 2  # would notice a factor of 2
    assert all(weight.grad is None for weight in model.parameters())


def test_the_standard_error_is_honest() -> None:
    """40 measurements scatter as the error says; a chi-square with 39 degrees of freedom leaves
    [0.35, 2.25] with probability 1e-6, the limits here are wider for heavy tails."""
    model = tiny()
    st_gs = partial(st_gumbel_softmax, tau=0.7, generator=seeded(10))
    runs = [gradient_variance(model, IMAGES.unsqueeze(0), st_gs, num_samples=20) for _ in range(40)]
    traces = torch.tensor([run.value for run in runs])
    errors = torch.tensor([run.standard_error for run in runs])
    assert 0.3 < (traces.var() / errors.square().mean()).item() < 2.5


def test_gradient_variance_of_estimators() -> None:
    """That of GR is lower, by more than 5 standard errors; without noise it is zero."""
    model = tiny()
    batches = IMAGES.unsqueeze(0)
    st_gs, gr = (
        gradient_variance(model, batches, partial(estimator, generator=seeded(11)), num_samples=400)
        for estimator in (
            partial(st_gumbel_softmax, tau=0.2),
            partial(gumbel_rao, tau=0.2, k=50),
        )
    )
    error = math.hypot(st_gs.standard_error, gr.standard_error)
    assert st_gs.value - gr.value > 5 * error
    fixed = partial(st_gumbel_softmax, tau=0.5)

    def same_noise(logits: Tensor) -> Tensor:
        return fixed(logits, generator=seeded(0))

    assert gradient_variance(model, batches, same_noise, num_samples=4) == (0.0, 0.0)
    untouched = copy.deepcopy(model.state_dict())
    gradient_variance(model, batches, fixed, num_samples=4)
    for name, value in model.state_dict().items():
        assert torch.equal(value, untouched[name])
