"""All that draws, trains or measures gives the same whatever torch's defaults are."""

import functools
import math

import pytest
import torch
from seeded import seeded

from gumbelrao_edu import (
    GumbelRao,
    GumbelRaoCategorical,
    Schedule,
    concrete_log_prob,
    diagnostics,
    estimators,
)
from gumbelrao_edu import quadrature as tables
from gumbelrao_edu.diagnostics import comparison
from gumbelrao_edu.experiments import search
from gumbelrao_edu.figures import ternary
from gumbelrao_edu.listops import data, generate
from gumbelrao_edu.problems import QuadraticProgramme, fields, mixture, polynomial, simplex_grid
from gumbelrao_edu.training.loop import Training
from gumbelrao_edu.vae import DiscreteVAE, gradient_variance, squared_bias

LOGITS = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
WEIGHTS = torch.tensor([1.0, 2.0, -1.0])


def layers():
    for tau, k in ((0.5, 3), (Schedule(1.0, 0.1, steps=3, shape="linear"), math.inf)):
        layer, x = GumbelRao(tau, k, generator=seeded()), LOGITS.clone().requires_grad_()
        sample = layer(x)
        yield sample.detach()
        yield torch.autograd.grad((sample * WEIGHTS).sum(), x)[0]
        yield from layer.state_dict().values()


def distributions():
    for given in ({"logits": LOGITS}, {"probs": LOGITS.softmax(-1)}):
        distribution = GumbelRaoCategorical(**given, k=2, generator=seeded())
        yield distribution.sample([4])
        yield distribution.rsample([3])
        yield distribution.log_prob(distribution.sample())
    yield concrete_log_prob(LOGITS.softmax(-1), LOGITS, tau=0.5)


def successors():
    for name in estimators.names():
        record = estimators.get(name)
        if record.samples:
            x = LOGITS.clone().requires_grad_()
            sample = record.function(x, generator=seeded(), **record.example)
            yield torch.autograd.grad((sample * WEIGHTS).sum(), x)[0]


def comparisons():
    joint, separate = lambda d: (d @ WEIGHTS).sum(-1) ** 2, lambda d: d @ WEIGHTS
    for f in (joint, separate, lambda d: separate(d).sum(-1)):
        for comparison.MAX_VALUES in (2**16, 2):
            found = diagnostics.compare(
                f, LOGITS, tau=0.5, num_samples=30, reference_samples=50, generator=seeded()
            )
            yield found.exact
            able = [result for result in found.results if not result.failed]
            yield [result.estimator for result in able]
            yield from (r.bias2.value for r in able)
            yield from (r.variance.standard_error for r in able)


def quadratures():
    """Their tables outlive a call."""
    for table in (tables._table, tables._binary_table):
        table.cache_clear()
    index = torch.tensor([0, 1], device="cpu")
    yield tables.conditional_vjp(LOGITS, LOGITS, index, 0.3)
    yield tables.conditional_vjp(LOGITS[:, :2], LOGITS[:, :2], index, 0.3)
    yield tables.second_moment(LOGITS, LOGITS, index, 0.3)
    yield diagnostics.exact_terms(lambda d: d[..., 0] ** 2, LOGITS, 0.3).inner


def problems():
    yield mixture.Mixture.draw(3, 2).vectors
    yield mixture.train(mixture.Mixture.draw(3, 2), 2, [0.5], steps=2, runs=1)
    yield polynomial.train("zgr", [2.0], evaluations=3, variables=2)[1]
    programme, grid = QuadraticProgramme(), simplex_grid(3)
    yield programme.value(grid)
    yield programme.singular_lines()
    yield fields.exact_fields(programme, grid, 0.5)["whole"].outer


def trainings(tmp_path):
    model = torch.nn.Linear(2, 1, device="cpu", dtype=torch.float32)
    for weights in model.parameters():
        torch.nn.init.constant_(weights, 0.3)
    x = torch.linspace(-1, 1, 20, device="cpu", dtype=torch.float32).view(10, 2)
    training = Training(
        model, lambda model, x: model(x).square().mean(), x, batch_size=4, learning_rate=0.1
    )
    training.run(until=3, checkpoint=tmp_path / "checkpoint")
    training.load(tmp_path / "checkpoint")
    training.run(until=6)
    yield from (weights.detach() for weights in model.parameters())
    sentences = data.Split(generate(8, generator=seeded()), "some")
    yield from data.filled(sentences[:8], 2)
    mean = torch.full((16,), 0.2, device="cpu", dtype=torch.float32)
    st = estimators.sampler("st_gumbel_softmax", generator=seeded())
    vae = DiscreteVAE(4, st, pixel_mean=mean, hidden=(3,), latent_bits=4, generator=seeded())
    batches = torch.linspace(0, 1, 96, device="cpu", dtype=torch.float32).view(2, 3, 16)
    yield from gradient_variance(vae, batches, st, num_samples=4)
    about, tick = {"of": "a test"}, lambda fraction: None
    yield search.bounds(vae, batches[0], 3, tmp_path / "bounds", about=about, tick=tick)
    (tmp_path / "bounds").unlink()
    yield from squared_bias(
        vae, batches, st, num_samples=2, reference_samples=2, generator=seeded()
    )


def maps():
    programme, grid = QuadraticProgramme(), simplex_grid(3)
    contours = ternary.ellipses(programme)
    yield from (contours.a, contours.b, contours.c)
    heat, _ = ternary.simplex_map(grid, programme.value(grid), name="value", title="value")
    yield from (heat.z, heat.zmin, heat.zmax)
    yield ternary.singular_lines(programme).a


RUNS = [
    layers,
    distributions,
    successors,
    comparisons,
    quadratures,
    problems,
    maps,
    trainings,
]


@pytest.mark.parametrize("run", RUNS)
def test_the_same_whatever_the_defaults(run, monkeypatch, tmp_path):
    if run is trainings:
        run = functools.partial(trainings, tmp_path)
    monkeypatch.setattr(comparison, "MAX_VALUES", comparison.MAX_VALUES)  # to be restored
    before = list(run())
    try:
        torch.set_default_dtype(torch.float64)
        wide = list(run())
        torch.set_default_dtype(torch.float32)
        torch.set_default_device("meta")
        other = list(run())
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    for after in (wide, other):
        assert len(after) == len(before) > 3
        for old, new in zip(before, after, strict=True):
            if isinstance(old, torch.Tensor):
                assert (new.dtype, new.device) == (old.dtype, old.device)
                assert torch.equal(old, new)
            else:
                assert old == new
