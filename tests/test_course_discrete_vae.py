"""The figures of notebook 07: one variable of a code, and the variance over training."""

import math

import pytest
import torch
import torch.nn.functional as F
from seeded import seeded

from gumbelrao_edu import straight_through
from gumbelrao_edu.course.discrete_vae.figures import (
    digits,
    digits_over_training,
    mse_of_means,
    one_variable,
    variance_over_training,
)
from gumbelrao_edu.diagnostics import Measured
from gumbelrao_edu.figures import trace
from gumbelrao_edu.vae import DiscreteVAE


@pytest.fixture(scope="module")
def model():
    return DiscreteVAE(
        4,
        straight_through,
        pixel_mean=torch.full([784], 0.2),
        hidden=(5,),
        latent_bits=6,
        generator=seeded(),
    )


IMAGES = (torch.rand(3, 784, generator=seeded(1)) < 0.2).to(torch.uint8)


@pytest.mark.parametrize(("variable", "value"), [(1, 0), (3, 3), (2, 1)])
def test_one_variable_is_set_in_all_codes(model, variable, value):
    panel = one_variable(model, IMAGES)
    panel.controls["class"].value = value
    panel.controls["variable"].value = variable
    with torch.no_grad():
        codes = model.encode(IMAGES).argmax(-1)
        own = model.decode(F.one_hot(codes, 4).float()).sigmoid()
        before = int((codes[:, variable - 1] == value).sum())
        codes[:, variable - 1] = value
        painted = model.decode(F.one_hot(codes, 4).float()).sigmoid()
    change = (painted - own).abs()
    rows = {"own code": own, "one set": painted, "difference": change / change.max()}
    assert trace(panel.figure, "digits").source == trace(digits(rows), "digits").source
    assert f"Variable {variable} is set to class {value}" in panel.caption
    assert f"(it was in {before} of 3)" in panel.caption
    digit, row, column = (int(i) for i in (change == change.max()).view(3, 28, 28).nonzero()[0])
    assert f"{change.max():.2f} at most, in digit {digit + 1} at row {row + 1}" in panel.caption
    assert f"column {column + 1}." in panel.caption


MEASURED = {
    1: [Measured(8.0, 0.5), Measured(90.0, 5.0)],
    10: [Measured(2.8, 0.1), Measured(17.0, 1.0)],
    math.inf: [Measured(2.0, 0.1), Measured(10.0, 1.0)],
}


@pytest.mark.parametrize("k", [1, 3, 10, math.inf])
def test_variance_is_predicted_from_one_and_infinity(k):
    panel = variance_over_training([100, 500], MEASURED)
    panel.controls["k"].value = k
    one, limit, predicted, points = (
        trace(panel.figure, name) for name in ("ST-GS", "K = ∞", "predicted", "measured")
    )
    assert (one.y, limit.y) == ((8.0, 90.0), (2.0, 10.0))
    assert predicted.y == pytest.approx([2 + 6 / k, 10 + 80 / k])
    assert list(points.y) == [v.value for v in MEASURED.get(k, [])]
    assert list(points.error_y.array) == [2 * v.standard_error for v in MEASURED.get(k, [])]
    assert f"{8 / (2 + 6 / k):.1f} times lower than that of ST-GS at step 100" in panel.caption
    assert f"{90 / (10 + 80 / k):.1f} times at step 500" in panel.caption
    away = {1: "0%", 10: "8%", math.inf: "0%"}  # 2.8 against 2.6, and 17 against 18
    assert panel.caption.endswith(f"at most {away[k]} away." if k in away else "at step 500.")


def test_both_ends_are_needed():
    with pytest.raises(
        ValueError, match=r"measured: expected K = 1 and K = inf among .* \[1, 10\]"
    ):
        variance_over_training([1], {1: MEASURED[1][:1], 10: MEASURED[10][:1]})


@pytest.mark.parametrize(
    ("m", "best"),
    [
        (1, "τ = 1 for ST-GS (107), at τ = 1 for GR, K = ∞ (67)"),
        (10, "τ = 0.5 for ST-GS (16), at τ = 0.1 for GR, K = ∞ (10)"),
        (100, "τ = 0.5 for ST-GS (2.5), at τ = 0.1 for GR, K = ∞ (1)"),
    ],
)
def test_mse_is_bias_and_a_part_of_the_variance(m, best):
    values = {1: [900.0, 150.0, 100.0], math.inf: [100.0, 98.0, 60.0]}
    variances = {k: [Measured(v, 1.0) for v in each] for k, each in values.items()}
    biases = [Measured(0.0, 0.5), Measured(1.0, 0.5), Measured(7.0, 1.0)]
    panel = mse_of_means([0.1, 0.5, 1.0], variances, biases)
    panel.controls["m"].value = m
    st_gs, gr, bias = (trace(panel.figure, name) for name in ("ST-GS", "GR, K = ∞", "bias²"))
    for curve, k in ((st_gs, 1), (gr, math.inf)):
        expected = [b.value + v / m for b, v in zip(biases, values[k], strict=True)]
        assert curve.y == pytest.approx(expected)
    assert (bias.y, bias.error_y.array) == ((0.0, 1.0, 7.0), (1.0, 1.0, 2.0))
    start = "One gradient" if m == 1 else f"Mean of {m:,} gradients"
    assert panel.caption == f"{start}. The MSE is lowest at {best}.".replace("107", "1.1e+02")


def test_samples_are_painted_from_codes_of_the_prior(model):
    """Against enumeration of all 64 codes: the mean over many samples is the mean over codes."""
    codes = torch.cartesian_prod(*[torch.arange(4)] * 3)
    with torch.no_grad():
        images = model.decode(F.one_hot(codes, 4).float()).sigmoid()
    samples = model.sample(100_000, generator=seeded(2))
    error = images.std(0) / 100_000**0.5
    # 784 comparisons at a false-failure rate of 1e-6 together: 6.2 standard errors.
    assert ((samples.mean(0) - images.mean(0)).abs() < 6.2 * error + 1e-6).all()
    # A prior that is a little off would be noticed: the first class of each variable at 0.3.
    p = torch.tensor([0.3, *[0.7 / 3] * 3])[codes].prod(-1, keepdim=True)
    assert (((p * images).sum(0) - images.mean(0)).abs() > 2 * 6.2 * error).any()
    assert torch.equal(samples[:5], model.sample(100_000, generator=seeded(2))[:5])
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        model.sample(0)


def test_pictures_of_digits():
    panel = digits_over_training(
        {0: {"row": torch.zeros(2, 784)}, 5: {"row": torch.ones(2, 784)}}, "Step {}.".format
    )
    white, black = [], []
    for step, sources in ((5, black), (0, white), (5, black)):
        panel.controls["step"].value = step
        sources.append(trace(panel.figure, "digits").source)
        assert panel.caption == f"Step {step}."
    assert not panel.errors
    assert black[0] == black[1] != white[0]
    figure = digits({"a": torch.rand(10, 784), "b": torch.rand(10, 784)})
    assert len(figure.to_json()) < 60_000
    assert figure.layout.height == 174
