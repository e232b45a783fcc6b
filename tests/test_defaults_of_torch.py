"""Layer, distribution, successors and comparison give the same whatever torch's defaults are."""

import math

import pytest
import torch

from gumbelrao_edu import (
    GumbelRao,
    GumbelRaoCategorical,
    Schedule,
    concrete_log_prob,
    diagnostics,
    estimators,
)
from gumbelrao_edu.diagnostics import comparison

LOGITS = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
WEIGHTS = torch.tensor([1.0, 2.0, -1.0])


def seeded():
    return torch.Generator("cpu").manual_seed(0)


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
            yield from (r.bias2.value for r in found.results)
            yield from (r.variance.standard_error for r in found.results)


@pytest.mark.parametrize("run", [layers, distributions, successors, comparisons])
def test_the_same_whatever_the_defaults(run, monkeypatch):
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
