"""`diagnostics.compare` against formulas, its errors and its command."""

import csv
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeded import seeded
from torch import nn

from gumbelrao_edu import diagnostics, estimators, exact
from gumbelrao_edu.cli import main
from gumbelrao_edu.diagnostics import Comparison, Measured, Result, comparison
from gumbelrao_edu.figures.comparison import bias_against_variance, comparison_page

INF = math.inf
THETA = torch.tensor([[0.5, -0.3, 1.2], [0.1, 0.9, -0.8]], dtype=torch.float64)
WEIGHTS = torch.tensor([[1.0, 2.0, -1.0], [0.3, -0.5, 0.8]], dtype=torch.float64)


def joint(d):
    return ((d * WEIGHTS.to(d)).sum((-1, -2)) / 2).exp()


def additive(d):
    return ((d * WEIGHTS.to(d)).sum(-1)).cos().sum(-1)


def separate(d):
    return ((d * WEIGHTS.to(d)).sum(-1)).cos()


def alone(d):
    return ((d * WEIGHTS[0].to(d)).sum(-1)).exp()


def enumerated(f, theta=THETA):
    """d E[f(D)] / dθ, written out."""
    leaf = theta.clone().requires_grad_()
    p, total = leaf.softmax(-1), 0
    for a in range(3):
        for b in range(3):
            d = torch.nn.functional.one_hot(torch.tensor([a, b]), 3).double()
            total = total + p[0, a] * p[1, b] * f(d)
    return torch.autograd.grad(total, leaf)[0]


def within(measured, truth, errors=5):
    """5 standard errors: for a normal mean 6e-7 a comparison."""
    return abs(measured.value - truth) <= errors * measured.standard_error + 1e-12


# --- the exact gradient ---------------------------------------------------------------------


def test_the_exact_gradient_is_enumerated():
    found = diagnostics.compare(joint, THETA, estimators="zgr", num_samples=10)
    assert found.reference == "enumeration of 9 values"
    torch.testing.assert_close(found.exact, enumerated(joint))
    for f in (additive, separate):
        got = diagnostics.compare(f, THETA, estimators="zgr", num_samples=10)
        torch.testing.assert_close(got.exact, enumerated(additive))
    assert got.reference == "enumeration of 3 values for each of 2 losses"


def test_a_sum_over_the_variables_is_enumerated_variable_by_variable(monkeypatch):
    monkeypatch.setattr(comparison, "MAX_VALUES", 8)
    theta = THETA.clone()
    theta[0, 1] = -INF
    for f, logits in ((additive, THETA), (additive, theta), (lambda d: 1e3 + additive(d), THETA)):
        found = diagnostics.compare(f, logits, estimators="zgr", num_samples=10)
        assert "variable by variable" in found.reference
        leaf = logits.clone().requires_grad_()
        exact = estimators.get("exact").function(f, leaf)
        torch.testing.assert_close(found.exact, torch.autograd.grad(exact, leaf)[0])


def test_what_variables_do_together_where_they_mostly_are_is_no_sum():
    """All forty at class 0 is never met by chance, and nearly a quarter of what is drawn."""
    logits = torch.zeros(40, 3)
    logits[:, 0] = 4.0
    success = lambda d: d[..., 0].prod(-1)  # noqa: E731
    beside = lambda d: (d @ torch.tensor([1.0, 2.0, 3.0])).sum(-1) - 5 * success(d)  # noqa: E731
    p = logits.softmax(-1)
    one = p[0, 0] ** 40 * (torch.tensor([1.0, 0.0, 0.0]) - p[0])  # of E[Π D] = p⁴⁰, by hand
    costs = torch.tensor([1.0, 2.0, 3.0])
    sums = p[0] * (costs - p[0] @ costs)
    for f, want in ((success, one), (beside, sums - 5 * one)):
        found = diagnostics.compare(
            f, logits, estimators="reinforce", num_samples=50, generator=seeded(), tau=0.5
        )
        assert "RLOO" in found.reference
        miss = (found.exact.reshape(40, 3) - want).norm() / (40**0.5 * want.norm())
        assert miss < 0.2
    linear = diagnostics.compare(
        lambda d: d[..., 0].sum(-1), logits, estimators="reinforce", num_samples=4, tau=0.5
    )
    assert "variable by variable (f is a sum over them in 2,000 random tests)" in linear.reference


def test_losses_without_a_derivative_are_compared_where_none_is_needed():
    """Also those that leave PyTorch for NumPy, where a tensor that requires a gradient may not."""
    powers = torch.tensor([1.0, 4.0]).numpy()
    f = lambda d: torch.from_numpy((d.flatten(1).numpy() @ powers.repeat(3)) ** 2)  # noqa: E731
    found = diagnostics.compare(
        f, torch.zeros(2, 3), estimators=["reinforce", "rloo"], num_samples=4000, generator=seeded()
    )
    for result in found.results:
        assert abs(result.bias2.value) < 4 * result.bias2.standard_error + 1e-6
    with pytest.raises(ValueError, match=r"f: expected losses .*requires grad"):
        diagnostics.compare(f, torch.zeros(2, 3), estimators="zgr", num_samples=4)


def test_what_does_not_fit_the_memory_is_named(monkeypatch):
    """The numbers in all values are counted, not the values alone."""
    with pytest.raises(ValueError, match=r"logits: expected at most 2\^29 numbers .* 50000\^1 val"):
        exact(lambda d: d[..., 0], torch.zeros(50_000))
    cost = lambda d: (d @ torch.arange(10.0)).sum(-1)  # noqa: E731
    for most, reference in (
        (2000, "enumeration of 100 values"),
        (1999, "variable by variable"),
        (799, "RLOO"),
    ):
        monkeypatch.setattr(comparison, "MAX_HELD", most)
        monkeypatch.setattr(comparison, "TESTS", 20)  # pairs, of which each has 20 numbers
        found = diagnostics.compare(
            cost, torch.zeros(2, 10), estimators="rloo", num_samples=4, reference_samples=39
        )
        assert reference in found.reference
    with pytest.raises(
        ValueError, match=r"logits, reference_samples: expected at most 799 numbers .* 40 of 20"
    ):
        diagnostics.compare(
            cost, torch.zeros(2, 10), estimators="rloo", num_samples=4, reference_samples=40
        )


def test_beside_a_large_constant_nothing_is_known_to_be_a_sum(monkeypatch):
    """Rounding would hide what the variables do together."""
    monkeypatch.setattr(comparison, "MAX_VALUES", 8)
    cases = (joint, 0.0, True), (joint, 1e5, True), (additive, 0.0, False), (additive, 1e7, True)
    for f, offset, sampled in cases:
        found = diagnostics.compare(
            lambda d, f=f, offset=offset: offset + f(d).float(),
            THETA.float(),
            estimators="zgr",
            num_samples=10,
            reference_samples=10,
        )
        assert ("RLOO" in found.reference) == sampled, (f, offset)


def test_where_nothing_can_be_enumerated_rloo_stands_for_it_and_its_error_counts(monkeypatch):
    monkeypatch.setattr(comparison, "MAX_VALUES", 8)
    run = {"estimators": ["rloo", "exact"], "num_samples": 2000, "generator": seeded()}
    few = diagnostics.compare(joint, THETA, reference_samples=100, **run)
    assert few.reference.startswith(
        "the mean of 100 gradients of RLOO with 16 samples each, for 3^2"
    )
    assert [(r.estimator, r.failed) for r in few.results] == [
        ("rloo", ""),
        ("exact", "3^2 values are too many to enumerate"),
    ]
    many = diagnostics.compare(joint, THETA, reference_samples=50_000, **run)
    error = (many.exact - enumerated(joint)).norm()
    assert error < 0.05 * enumerated(joint).norm()
    assert few.results[0].bias2.standard_error > 3 * many.results[0].bias2.standard_error
    for found in (few, many):  # RLOO has no bias
        assert within(found.results[0].bias2, 0.0)


# --- the numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.3, 1.0])
def test_bias_and_variance_are_those_of_proposition_3(tau):
    found = diagnostics.compare(
        alone, THETA[0], tau=tau, k=[1, 10, INF], estimators="gumbel_rao", num_samples=20_000,
        generator=seeded(),
    )  # fmt: skip
    terms = diagnostics.exact_terms(alone, THETA[0], tau)
    bias2 = (terms.mean - terms.exact).square().sum().item()
    torch.testing.assert_close(found.exact, terms.exact)
    for result, k in zip(found.results, (1, 10, INF), strict=True):
        assert within(result.variance, diagnostics.variance(terms, k).item())
        assert within(result.bias2, bias2)
        for m in (1, 100):
            assert within(result.mse(m), diagnostics.mse(terms, k, m).item())
        assert result.variance.standard_error < 0.05 * result.variance.value
    assert bias2 > 5 * found.results[-1].bias2.standard_error


def test_the_standard_errors_are_right():
    """Over 300 comparisons the deviations, in standard errors, have mean 0 and variance 1."""
    terms = diagnostics.exact_terms(alone, THETA[0], 0.5)
    truth = {
        "bias2": (terms.mean - terms.exact).square().sum().item(),
        "variance": diagnostics.variance(terms, 1).item(),
    }
    scores = {name: [] for name in truth}
    values = {name: [] for name in truth}
    for seed in range(300):
        (result,) = diagnostics.compare(
            alone, THETA[0], tau=0.5, estimators="st_gumbel_softmax", num_samples=400,
            generator=seeded(seed),
        ).results  # fmt: skip
        for name, true in truth.items():
            value, error = getattr(result, name)
            values[name].append(value)
            scores[name].append((value - true) / error)
    for name, true in truth.items():
        mean, error = diagnostics.measured(values[name])
        assert abs(mean - true) < 5 * error  # without bias
        assert 0.8 < torch.tensor(scores[name]).std() < 1.3


def test_the_exact_estimator_has_neither_bias_nor_variance():
    found = diagnostics.compare(joint, THETA, estimators=["exact", "zgr"], num_samples=50)
    exact, zgr = found.results
    assert max(abs(exact.bias2.value), exact.variance.value) < 1e-20
    assert exact.cosine.value == pytest.approx(1.0)
    assert -1 <= zgr.cosine.value < 1


def test_the_cosine_is_that_of_one_gradient():
    found = diagnostics.compare(
        lambda d: d[..., 0], torch.zeros(2, dtype=torch.float64), estimators=["zgr", "reinforce"],
        num_samples=4000, generator=seeded(),
    )  # fmt: skip
    zgr, reinforce = found.results  # in two classes a gradient is ± the exact one, or 0
    assert zgr.cosine.value == pytest.approx(1.0)
    assert within(reinforce.cosine, 0.5)  # right where D_1 = 1, and 0 elsewhere


def test_evaluations_of_f_are_counted():
    found = diagnostics.compare(joint, THETA, tau=0.5, num_samples=40)
    counts = {result.call: result.evaluations for result in found.results}
    assert counts.pop("rloo(num_samples=4)") == 4
    assert 9 <= counts.pop("exact()") <= 10  # and one more look at the shape
    assert set(counts.values()) == {1}
    assert {r.estimator for r in found.results} == set(estimators.names())
    assert all(r.seconds.value > 0 for r in found.results)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masked_classes_and_dtypes(dtype):
    theta = THETA.to(dtype).clone()
    theta[0, 1] = -INF
    found = diagnostics.compare(joint, theta, tau=0.5, num_samples=200, generator=seeded())
    assert not any(r.failed for r in found.results)
    assert found.exact[0, 1] == 0
    want = enumerated(joint, theta.double()).nan_to_num()
    torch.testing.assert_close(found.exact, want, rtol=1e-5, atol=1e-6)


def test_the_generator_decides():
    state = torch.get_rng_state()
    runs = [
        diagnostics.compare(joint, THETA, tau=0.5, num_samples=50, generator=seeded(s)).table()
        for s in (1, 1, 2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    numbers = [[row["bias2"] for row in run] for run in runs]
    assert numbers[0] == numbers[1] != numbers[2]


# --- the recommendation ---------------------------------------------------------------------


def result(name, bias2, variance, evaluations=1, error=0.0, failed=""):
    number = [Measured(value, error) for value in (bias2, variance)]
    zero = Measured(0.0, 0.0)
    return Result(name, {}, *number, zero, zero, evaluations, failed)


def recommended(*results, batch_sizes=(1, 10, 100, 1000), norm=4.0):
    return Comparison(results, torch.tensor([norm]), "", 2, batch_sizes).recommendation


def test_the_recommendation_follows_from_the_numbers():
    biased, unbiased = result("biased", 0.05, 1.0), result("unbiased", 0.0, 4.0, 4)
    # With 10 evaluations 0.05 + 0.1 against 4/2.5, with 1000 0.051 against 0.016.
    assert recommended(biased, unbiased) == (
        "Lowest MSE by the number of evaluations of f: 1 to 100: biased(); 1,000: unbiased()."
    )
    assert recommended(unbiased) == (
        "Lowest MSE by the number of evaluations of f: 1: none; 10 to 1,000: unbiased()."
    )
    assert "broken" not in recommended(biased, result("broken", 0.0, 0.0, failed="NaN"))


def test_no_gradient_at_all_is_one_to_beat():
    """An estimator that returns nearly 0 has a low MSE, and nothing to recommend it."""
    zero, noisy = result("zero", 0.99, 0.0), result("noisy", 0.0, 20.0)
    noisy = replace(noisy, cosine=Measured(0.2, 0.01))
    assert recommended(zero, noisy, norm=1.0, batch_sizes=(1, 10, 100)) == (
        "Lowest MSE by the number of evaluations of f: 1 to 10: none below half of ‖∇exact‖², "
        "the highest cosine has noisy(), 0.2; 100: noisy()."
    )


def test_what_cannot_be_told_apart_is_said():
    one, two = result("one", 0.1, 1.0, error=0.1), result("two", 0.12, 1.0, error=0.1)
    assert recommended(one, two, batch_sizes=(1,)).endswith("1: one() (within the errors: two()).")
    others = [result(f"other{i}", 0.1, 1.0, error=0.1) for i in range(3)]
    assert recommended(one, *others, batch_sizes=(1,)).endswith("(within the errors: 3 others).")


# --- losses that will not do ----------------------------------------------------------------


def cut(d):
    return joint(d).detach()


def mixing(d):
    return joint(d) - joint(d).mean()


def random(d):
    return joint(d) + torch.rand(len(d))


def crossed(d):
    return separate(d) * separate(d).flip(-1)


def overwriting(d):
    return d.exp().sum((-1, -2)).exp().add_(1).sqrt_()


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (
            lambda d: d,
            ValueError,
            r"f: expected losses of shape \(8,\) for samples of shape \(8, 2",
        ),
        (lambda d: joint(d).mean(), ValueError, r"f: expected losses of shape \(8,\).* got \(\)"),
        (lambda d: joint(d)[:, None], ValueError, r"f: expected .* got \(8, 1\)"),
        (lambda d: 1.0, TypeError, "f: expected a tensor of losses, got float"),
        (lambda d: joint(d) * 1j, TypeError, "f: expected real losses, got torch.complex128"),
        (lambda d: joint(d) * math.nan, ValueError, "f: expected finite losses"),
        (lambda d: (d[..., 0, 0] * 0).sqrt() + joint(d), ValueError, "f: expected a finite gradi"),
        (cut, ValueError, "f: expected losses with a gradient in the sample, got torch.float64"),
        (lambda d: joint(d) > 1, ValueError, "f: .* gradient in the sample, got torch.bool"),
        (lambda d: d.argmax(-1).sum(-1), ValueError, "f: .* gradient .* got torch.int64"),
        (
            lambda d: d @ torch.ones(7),
            ValueError,
            r"f: expected losses for samples .* RuntimeError",
        ),
        (lambda d: nothing, ValueError, "f: .* got NameError: name 'nothing'"),  # noqa: F821
        (mixing, ValueError, "f: expected the loss of a sample to be the same alone"),
        (random, ValueError, "f: expected the loss of a sample to be the same alone"),
        (crossed, ValueError, r"f: .* each of \(2,\) variables that depends on no other"),
        (overwriting, ValueError, "f: expected losses that can be differentiated, got RuntimeErr"),
        (nn.Parameter(torch.ones(8)), TypeError, "f: expected a function, got Parameter"),
    ],
)
def test_a_bad_loss_is_told_what_is_wrong(f, error, message):
    with pytest.raises(error, match=message):
        diagnostics.compare(f, THETA)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(torch.bfloat16, 1.0), (torch.float16, 1.0), (torch.float32, 1e-5), (torch.float64, 1e-12)],
)
def test_a_bad_loss_is_seen_in_any_precision_and_of_any_size(dtype, scale):
    with pytest.raises(ValueError, match=r"f: .* variables that depends on no other"):
        diagnostics.compare(lambda d: scale * crossed(d), THETA.to(dtype))
    with pytest.raises(ValueError, match=r"f: .* the same alone and in a batch"):
        diagnostics.compare(lambda d: scale * mixing(d), THETA.to(dtype))


@pytest.mark.parametrize("scale", [1.0, 1e-8])
def test_a_good_loss_of_any_size_is_taken(scale):
    """Also one that is what is left of larger numbers, and rounds otherwise in a batch."""

    def rounded(d):
        return (scale * joint(d) + 1) - 1 + 1.2e-7 * (len(d) > 1)

    for f in (lambda d: scale * joint(d), rounded):
        found = diagnostics.compare(f, THETA.float(), estimators="rloo", num_samples=2)
        assert found.exact.abs().max() > 0


@torch.inference_mode()
def test_nothing_is_compared_in_inference_mode():
    with pytest.raises(ValueError, match=r"f: .*; nothing is in torch\.inference_mode"):
        diagnostics.compare(joint, THETA, estimators="rloo")


def test_logits_that_were_made_in_inference_mode_are_taken():
    with torch.inference_mode():
        made = THETA.clone()
    found = diagnostics.compare(joint, made, estimators="rloo", num_samples=2)
    assert torch.equal(found.exact, diagnostics.compare(joint, THETA, num_samples=2).exact)


def test_a_loss_whose_gradient_does_not_come_from_the_sample():
    weight = nn.Parameter(torch.ones(()))
    with pytest.raises(
        ValueError, match="f: expected losses with a gradient in the sample, got no"
    ):
        diagnostics.compare(lambda d: joint(d.detach()) * weight, THETA)


def test_score_functions_need_no_gradient():
    found = diagnostics.compare(
        lambda d: d.argmax(-1).sum(-1), THETA, estimators=["reinforce", "rloo"], num_samples=20_000,
        generator=seeded(),
    )  # fmt: skip
    torch.testing.assert_close(found.exact, enumerated(lambda d: d.argmax(-1).sum(-1)))
    assert all(within(r.bias2, 0.0) for r in found.results)


@pytest.mark.parametrize("raises", [False, True])
def test_a_loss_that_is_not_defined_inside_the_simplex(raises):
    def corners_only(d):
        inside = d.detach().amax((-1, -2)) < 1
        if raises and inside.any():
            raise RuntimeError("not one-hot")
        return torch.where(inside, math.nan, joint(d))

    found = diagnostics.compare(
        corners_only, THETA, tau=0.5, estimators=["gumbel_softmax", "zgr"], num_samples=50
    )
    failed, fine = found.results
    assert "inside the simplex" in failed.failed
    assert not fine.failed
    assert "gumbel_softmax" not in found.recommendation
    assert "inside the simplex" in str(found)
    assert "inside the simplex" in comparison_page(found)
    assert [trace.name for trace in bias_against_variance(found).data if trace.name] == ["ZGR"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tau": -1.0}, ValueError, "tau: .* got -1.0"),
        ({"tau": []}, ValueError, "tau: expected at least one number, got none"),
        ({"tau": ["1"]}, TypeError, "tau: .* got str"),
        ({"tau": torch.tensor(1.0)}, TypeError, "tau: expected numbers, got a tensor"),
        ({"tau": np.array(1.0)}, TypeError, "tau: expected a number .* got ndarray"),
        ({"k": torch.tensor(3)}, TypeError, "k: expected a whole number, got Tensor"),
        ({"tau": [torch.tensor(1.0)]}, TypeError, "tau: expected numbers, got a tensor"),
        ({"k": 0}, ValueError, "k: expected at least 1, got 0"),
        ({"estimators": "nothing"}, ValueError, "estimators: .* got 'nothing'"),
        ({"estimators": []}, ValueError, "estimators: expected at least one name, got none"),
        ({"num_samples": 1}, ValueError, "num_samples: expected at least 2, got 1"),
        ({"reference_samples": 1}, ValueError, "reference_samples: expected at least 2, got 1"),
        ({"batch_sizes": []}, ValueError, "batch_sizes: expected at least one number, got none"),
        ({"batch_sizes": [0]}, ValueError, "batch_sizes: expected at least 1, got 0"),
        ({"generator": 3}, TypeError, "generator: .* got int"),
        (
            {"tau": 200, "k": INF, "estimators": "gumbel_rao"},
            ValueError,
            "estimators: .* but K = ∞ takes a temperature from 1e-20 to 100",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        diagnostics.compare(joint, THETA, **arguments)


# --- table, figure, page, command -----------------------------------------------------------


def test_the_table_is_text_and_a_page_that_needs_no_network():
    found = diagnostics.compare(joint, THETA, tau=[0.1, 1.0], num_samples=50, generator=seeded())
    text = str(found).splitlines()
    assert text[0].startswith("Exact gradient: enumeration of 9 values; ‖∇exact‖² = ")
    assert text[-1] == found.recommendation
    assert len(text) == len(found.results) + 3
    assert len({len(line) for line in text[2:-1]}) == 1  # columns
    page = comparison_page(found, "<b>")
    assert "<h1>&lt;b&gt;</h1>" in page
    assert "src=" not in page.replace("srcdoc", "")[: page.index("<table>")]
    for result in found.results:
        assert f"<code>{result.call}</code>" in page


def test_the_figure_marks_a_bias_that_is_not_clear():
    one, two = result("reinforce", 0.1, 2.0, error=0.2), result("zgr", 0.5, 1.0, error=0.01)
    exact = result("exact", 0.0, 0.0)
    figure = bias_against_variance(Comparison((one, two, exact), torch.zeros(1), "", 2, (1, 10)))
    open_, clear, *lines = figure.data
    assert (open_.y, open_.marker.symbol) == ((0.4,), ("hexagon-open",))
    assert (clear.y, clear.marker.symbol) == ((0.5,), ("x",))
    assert [(line.x, line.y) for line in lines] == [((1, 2), (1, 2)), ((1, 2), (0.1, 0.2))]
    assert (open_.name, clear.name) == ("REINFORCE", "ZGR")


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "losses_of_mine.py").write_text(
        "import torch\n"
        "weights = torch.tensor([1.0, 2.0, 3.0])\n"
        "def loss(d):\n    return (d @ weights).sum(-1).cos()\n"
        "def logits():\n    return torch.zeros(2, 3)\n"
        "theta = torch.ones(3)\n"
        "def row(d):\n    return (d @ weights).cos()\n"
        "def bad(d=None):\n"
        "    if d is None: return bad(1 / 0)\n"
        "    return d\n"
        "on_meta = theta.to('meta')\n"
        "def end(d):\n    raise SystemExit(0)\n"
    )
    (tmp_path / "broken_loss.py").write_text("1 / 0\n")
    (tmp_path / "script_of_mine.py").write_text("def loss(d):\n    return d\nraise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("losses_of_mine", "broken_loss", "script_of_mine"):
        sys.modules.pop(name, None)


def test_the_command_writes_table_and_page(module, capsys):
    size = ["--n", "3", "--variables", "2", "--samples", "50"]
    which = ["--estimators", "zgr,gumbel_rao", "--tau", "0.5,1", "--k", "5,inf"]
    assert main(["compare", "--f", "losses_of_mine:loss", *size, *which, "--out", "there"]) == 0
    printed = capsys.readouterr().out
    assert "enumeration of 9 values" in printed
    assert "written: there/compare.csv and .html" in printed
    with open(module / "there" / "compare.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["estimator"] for row in rows] == [
        "zgr()",
        "gumbel_rao(tau=0.5, k=5)",
        "gumbel_rao(tau=0.5, k=inf)",
        "gumbel_rao(tau=1.0, k=5)",
        "gumbel_rao(tau=1.0, k=inf)",
    ]
    assert float(rows[0]["variance_se"]) > 0
    assert "<table>" in (module / "there" / "compare.html").read_text("utf-8")


def test_the_command_takes_logits_of_ones_own(module, capsys):
    which = ["--estimators", "zgr", "--samples", "50"]
    given = ["--f", "losses_of_mine:loss", "--logits", "losses_of_mine:logits"]
    assert main(["compare", *given, *which]) == 0
    assert "enumeration of 9 values" in capsys.readouterr().out
    given = ["--f", "losses_of_mine:row", "--logits", "losses_of_mine:theta"]
    assert main(["compare", *given, *which]) == 0
    assert "enumeration of 3 values" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--f losses_of_mine", "expected MODULE:NAME, got 'losses_of_mine'"),
        ("--f no_such_module:f", "no_such_module cannot be imported: ModuleNotFoundError"),
        ("--f broken_loss:f", "broken_loss cannot be imported: ZeroDivisionError"),
        ("--f script_of_mine:loss", "script_of_mine cannot be imported: SystemExit: 0"),
        (
            "--f losses_of_mine:end",
            "f ends the program (SystemExit: 0) (losses_of_mine.py, line 15",
        ),
        ("--f losses_of_mine:nothing", "losses_of_mine has nothing named nothing"),
        ("--f losses_of_mine:weights", "f: expected a function, got Tensor"),
        ("--f losses_of_mine:bad", "f: expected losses of shape (8,)"),
        ("--f losses_of_mine:loss --n 4", "f: expected losses for samples of shape (8, 1, 4)"),
        ("--f losses_of_mine:loss --n 4", "(losses_of_mine.py, line 4)"),
        ("--f losses_of_mine:row --logits losses_of_mine:bad", "(losses_of_mine.py, line 11)"),
        ("--f losses_of_mine:loss --tau x", "--tau: expected numbers with commas between, got 'x'"),
        ("--f losses_of_mine:loss --tau -1 --n 3", "tau: expected a positive finite number"),
        ("--f losses_of_mine:loss --k 1.5", "--k: expected whole numbers or inf"),
        (
            "--f losses_of_mine:loss --n 0",
            "--n: expected a whole number, at least 1 and below 2^31",
        ),
        (
            f"--f losses_of_mine:loss --n {2**31}",
            "--n: expected a whole number, at least 1 and bel",
        ),
        ("--f losses_of_mine:loss --logits losses_of_mine:on_meta", "logits: no numbers can be dr"),
        ("--f losses_of_mine:loss --n x", "at least 1 and below 2^31, got 'x'"),
        ("--f losses_of_mine:loss --scale -1", "--scale: expected a number from 0, got '-1'"),
        ("--f losses_of_mine:loss --n 3 --estimators a", "estimators: expected some of"),
        ("--f losses_of_mine:loss --logits losses_of_mine:bad", "logits"),
        ("--f losses_of_mine:loss --seed 1e3", "--seed: expected a whole number from −2^63"),
        (f"--f losses_of_mine:loss --seed {10**30}", "--seed: expected a whole number from −2^63"),
        (f"--f losses_of_mine:loss --out {__file__}", "--out: expected a folder, but"),
        ("--f losses_of_mine:loss --n 1000000000 --variables 1000000000", "n, variables: no mem"),
    ],
)
def test_the_command_says_what_is_wrong(module, capsys, arguments, message):
    try:
        status = main(["compare", *arguments.split()])
    except SystemExit as stopped:  # of argparse
        status = stopped.code
    assert status in (1, 2)
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


# --- Losses at the edge ---------------------------------------------------------------------------


def test_a_small_gradient_beside_a_large_constant_is_found():
    """Of a class of probability e⁻³⁶: losses c and c + 1 have the gradient ∓ p (1 − p)."""
    theta = torch.tensor([[0.0, -36.0]], dtype=torch.float64)
    second = math.exp(-36.0)
    for constant in (0.0, 1.0, 1e6):
        found = diagnostics.compare(
            lambda d, c=constant: c + d[..., 1].sum(-1), theta, estimators="exact"
        )
        expected = torch.tensor([[-second, second]], dtype=torch.float64)
        torch.testing.assert_close(found.exact, expected, rtol=1e-9, atol=0.0)


def test_where_there_is_no_gradient_nothing_is_recommended():
    found = diagnostics.compare(lambda d: 0 * d.sum((-1, -2)) + 3, torch.zeros(2, 3), tau=0.5, k=5)
    assert found.squared_norm == 0
    assert found.recommendation == "The exact gradient is 0 here: there is nothing to estimate."


def test_a_loss_that_is_infinite_for_one_class_is_refused_wherever_it_hides():
    """A few draws may miss it; the enumeration does not."""

    def f(d):
        return torch.where(d[..., 0, 7] > 0.5, torch.inf, 0.0) + d.square().sum((-1, -2))

    for seed in range(5):
        with pytest.raises(ValueError, match="f: expected finite losses at"):
            diagnostics.compare(f, torch.zeros(2, 8), tau=0.5, k=5, generator=seeded(seed))
    # A class that never occurs may have one.
    logits = torch.zeros(2, 8)
    logits[0, 7] = -torch.inf
    found = diagnostics.compare(f, logits, tau=0.5, k=5, estimators=["gumbel_rao"], num_samples=50)
    assert not found.results[0].failed


def test_a_loss_may_overwrite_its_samples():
    weights = torch.arange(4.0)

    def overwrites(d):
        return d.mul_(2).matmul(weights).sum(-1)

    def keeps(d):
        return (2 * d).matmul(weights).sum(-1)

    one, other = (
        diagnostics.compare(
            f,
            torch.zeros(2, 4),
            tau=0.5,
            k=5,
            num_samples=100,
            generator=seeded(),
        )
        for f in (overwrites, keeps)
    )
    for a, b in zip(one.results, other.results, strict=True):
        assert (a.bias2, a.variance, a.cosine) == (b.bias2, b.variance, b.cosine)
