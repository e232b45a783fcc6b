"""Inputs as they are met in practice: other global defaults, odd files, images, batches."""

import bz2
import copy
import functools
import gzip
import lzma
import pickle
import warnings

import numpy as np
import pytest
import torch
from seeded import seeded

from gumbelrao_edu import (
    GumbelRaoCategorical,
    concrete_log_prob,
    conditional_gumbel,
    diagnostics,
    exact,
    gumbel_max,
    gumbel_rao,
    surrogate,
)
from gumbelrao_edu.estimators import RunningMean, sampler
from gumbelrao_edu.gumbel import rejection
from gumbelrao_edu.listops import (
    Batch,
    DataError,
    Example,
    Split,
    TreeLSTM,
    accuracy,
    evaluate,
    generate,
    greedy,
    losses,
    parse_line,
    read,
    read_examples,
    score,
)
from gumbelrao_edu.problems import QuadraticProgramme, monte_carlo
from gumbelrao_edu.quadrature import conditional_vjp
from gumbelrao_edu.vae import (
    DiscreteVAE,
    gradient_variance,
    importance_weighted_bound,
    load_digits,
    load_digits_5k,
)
from gumbelrao_edu.vae.data import SHA256


def vae(pixels=16):
    draw = functools.partial(gumbel_rao, tau=0.5, k=2, generator=seeded(1))
    mean = torch.full([pixels], 0.2, dtype=torch.float32, device="cpu")
    return DiscreteVAE(4, draw, pixel_mean=mean, hidden=(5,), latent_bits=8, generator=seeded(1))


def everything():
    digits, sentences = load_digits_5k(), Split(generate(20, generator=seeded(1)), "some")
    draw = functools.partial(gumbel_rao, tau=0.5, k=2, generator=seeded(1))
    tree, model = TreeLSTM(draw, dim=4, generator=seeded(1)), vae(784)
    return [
        digits.train[:9],
        sentences.everything.tokens,
        losses(tree, sentences[slice(0, 5)]).detach(),
        model.elbo(digits.train[:3]).detach(),
        importance_weighted_bound(model, digits.test[:2], num_samples=5, generator=seeded(1)),
        *(weights.detach() for weights in (*tree.parameters(), *model.parameters())),
    ]


@pytest.fixture
def defaults():
    device, dtype = torch.get_default_device(), torch.get_default_dtype()
    yield
    torch.set_default_device(device)
    torch.set_default_dtype(dtype)


@pytest.mark.parametrize("change", ["dtype", "device"])
def test_global_defaults_change_no_data_no_weight_and_no_draw(defaults, change):
    """ "meta" stands for a GPU: what comes to lie there by mistake cannot be read."""
    before, state = everything(), torch.get_rng_state()
    if change == "dtype":
        torch.set_default_dtype(torch.float64)
    else:
        torch.set_default_device("meta")
    for one, other in zip(everything(), before, strict=True):
        assert (one.dtype, one.device) == (other.dtype, other.device)
        assert torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())


LINE = "3\t( ( ( [MIN 3 ) 5 ) ] )"
ARENA = "Source\tTarget\n( ( ( [MIN 3 ) 5 ) ] )\t3\n"


@pytest.mark.parametrize(
    "content",
    [
        f"{LINE}\n{LINE}",
        f"{LINE}\r\n{LINE}\r\n",
        f"\ufeff{LINE}\n{LINE}\n",
        f"{LINE}\n{LINE}\n\n\n",
        f"{LINE}\r{LINE}\r",
        ARENA + LINE,
        ARENA.replace("\n", "\r\n") + LINE,
    ],
)
def test_text_files_as_they_come(tmp_path, content):
    for name, data in (("a.tsv", content.encode()), ("a.tsv.gz", gzip.compress(content.encode()))):
        (tmp_path / name).write_bytes(data)
        assert read_examples(tmp_path / name) == [Example((10, 3, 5, 14), 3)] * 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (LINE.encode("utf-16"), "this is UTF-16; save it as UTF-8"),
        (LINE.encode("utf-32"), "this is UTF-32; save it as UTF-8"),
        (LINE.encode("utf-16-le"), r"this is no text in UTF-8 \(it has zero bytes\)"),
        (LINE.encode() + b"\xe9", r"line 1: no text in UTF-8 \(unexpected end of data\)"),
        (gzip.compress(gzip.compress(LINE.encode(), mtime=0), mtime=0), "line 1: no text in UTF-8"),
        (bz2.compress(LINE.encode()), "this is compressed by bzip2; unpack it"),
        (lzma.compress(LINE.encode()), "this is compressed by xz; unpack it"),
        (b"", "the file is empty"),
        (b"\r\n\n", "the file is empty"),
        (LINE.replace("\t", ",").encode(), "line 1: .* got no tab"),
        (gzip.compress(LINE.encode(), mtime=0)[:-9], "the compression by gzip is damaged"),
        (f"{LINE}\n{'x' * 10**6}\t3".encode(), "line 2: expected a digit as the label"),
        (f"{'x' * 10**6}\t{LINE}".encode(), "line 1: expected a digit as the label"),
    ],
)
def test_the_cause_is_named_in_a_short_message(tmp_path, data, message):
    (tmp_path / "a.tsv").write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_examples(tmp_path / "a.tsv")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("of", ["elbo", "encode", "reconstruct", "bound", "log_likelihood"])
def test_images_are_from_0_to_1_at_every_door(of):
    model = vae()
    code = torch.zeros(2, 4, 4)
    doors = {
        "bound": lambda x: importance_weighted_bound(model, x, num_samples=2),
        "log_likelihood": lambda x: model.log_likelihood(x, code),
    }
    door = doors.get(of) or getattr(model, of)
    for grey in (torch.full((2, 16), 255, dtype=torch.uint8), torch.full((2, 16), torch.nan)):
        with pytest.raises(ValueError, match="x: expected pixels from 0 to 1"):
            door(grey)
    with pytest.raises(ValueError, match=r"x: expected images \[\*, 16\], got shape \(2, 15\)"):
        door(torch.zeros(2, 15))
    door(torch.zeros(2, 16, dtype=torch.bool))


@pytest.mark.parametrize("shape", [(16,), (3, 16), (2, 3, 16)])
def test_a_bound_for_each_image_whatever_the_batch(shape):
    x = torch.zeros(shape)
    bound = importance_weighted_bound(vae(), x, num_samples=3, generator=seeded(1))
    assert bound.shape == vae().elbo(x).shape == shape[:-1]


def test_draws_of_a_single_number_are_summarised():
    summary = diagnostics.summarise(torch.tensor([1.0, 2.0, 3.0]), torch.tensor(1.5))
    assert (float(summary.mean), summary.variance, float(summary.bias)) == (2.0, 1.0, 0.5)


def test_what_holds_nothing_leaves_a_running_mean_as_it_is():
    baseline = RunningMean(0.5)
    for values in ([1.0], [], [torch.nan], [3.0, torch.inf, -torch.inf]):
        baseline.update(torch.tensor(values))
    assert baseline.value == pytest.approx((0.25 * 1 + 0.5 * 3) / 0.75)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Example((14, 3), 0).spans, r"tokens: \] closes no operation \(token 1\)"),
        (lambda: Example((10, 3), 0).spans, "tokens: 1 operation is not closed"),
        (lambda: Example((99,), 0), "tokens: expected 0 to 14, got 99"),
        (
            lambda: TreeLSTM(greedy, dim=4)(Split([Example((7,), 7)], "one")[slice(0, 0)]),
            "batch: expected sentences of at least 1 token",
        ),
        (lambda: greedy(torch.tensor([0.0, torch.nan])), "logits: expected numbers below"),
        (lambda: exact(lambda d: d.sum((-1, -2)), torch.zeros(0, 3)), "logits: expected at least"),
        (
            lambda: diagnostics.exact_terms(lambda d: d[..., 0].detach(), torch.zeros(3), 0.5),
            "f: expected losses that are differentiable",
        ),
        (
            lambda: diagnostics.gradient_samples(
                lambda d: d[..., 0].detach(), torch.zeros(3), "zgr", 3
            ),
            "f: expected losses that are differentiable",
        ),
        (
            lambda: surrogate.parallel(
                lambda d: torch.zeros(()), torch.eye(3)[0], torch.full((3,), 1 / 3)
            ),
            "f: expected losses that are differentiable",
        ),
        (
            lambda: gumbel_rao(torch.zeros(30_000), tau=0.5, k=2, noise="sobol"),
            "noise: expected another one than sobol for more than",
        ),
        (lambda: sampler("rloo", num_samples=1), "num_samples: expected at least 2, got 1"),
        (lambda: sampler("gumbel_rao", k=0), "k: expected at least 1, got 0"),
    ],
)
def test_messages_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


THREE, CODES = torch.zeros(3), torch.zeros(2, 4, 4)


def sentence(**other):
    parts = {"tokens": [7], "lengths": [1], "labels": [7]}
    return Batch(**{**{name: torch.tensor(part) for name, part in parts.items()}, **other})


def sum_of_first(samples):
    return samples[0].sum()


def nested():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are a prototype
        return torch.nested.nested_tensor([torch.zeros(3), torch.zeros(2)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: diagnostics.summarise(np.ones((3, 2))),
            "gradients: expected a tensor of numbers, got ndarr",
        ),
        (
            lambda: diagnostics.summarise(torch.ones(3), 1.0),
            "exact: expected a tensor of numbers, got",
        ),
        (
            lambda: diagnostics.covariance_trace([1.0]),
            "draws: expected a tensor of numbers, got list",
        ),
        (
            lambda: diagnostics.nested_terms(lambda: [1.0, 2.0], 2),
            "draw: expected a tensor of numbers, got",
        ),
        (lambda: diagnostics.Draws(lambda d: 3.0, THREE), "f: expected a tensor of losses, got"),
        (lambda: diagnostics.exact_terms(lambda d: 3.0, THREE, 0.5), "f: expected a tensor of"),
        (
            lambda: diagnostics.Draws(lambda d: d.sum(-1) * 1j, THREE),
            "f: expected real losses, got torch.complex64",
        ),
        (
            lambda: diagnostics.Measurements(lambda d: d[..., 0], THREE, 0.5, [1]),
            "taus: expected several temperatures, got 0.5",
        ),
        (lambda: diagnostics.compare(len, THREE, batch_sizes=10), "batch_sizes: expected several"),
        (lambda: diagnostics.compare(len, THREE, estimators=5), "estimators: expected several"),
        (lambda: RunningMean("0.9"), "decay: expected a number, got str"),
        (lambda: RunningMean(0.9, mean=1.0), "unexpected keyword argument 'mean'"),
        (
            lambda: RunningMean().update([1.0]),
            "losses: expected a tensor of numbers, got list",
        ),
        (lambda: sampler("gumbel_rao", generator=5), "generator: expected a torch.Generator or"),
        (
            lambda: surrogate.parallel(len, torch.tensor([0, 1]), torch.ones(2)),
            "one_hot: expected a floating-point tensor",
        ),
        (
            lambda: conditional_gumbel(THREE, torch.eye(3)[0].to_sparse(), 2),
            "one_hot: expected a dense tensor",
        ),
        (lambda: rejection(THREE, 1.0, 2), "index: expected a whole number, got float"),
        (lambda: GumbelRaoCategorical(probs=torch.eye(3).to_sparse()), "probs: expected a dense"),
        (
            lambda: DiscreteVAE(2, greedy, pixel_mean=[0.5]),
            "pixel_mean: expected a tensor of numbers, got list",
        ),
        (
            lambda: DiscreteVAE(2, greedy, pixel_mean=torch.ones(1), hidden=5),
            "hidden: expected a sequence of widths, got 5",
        ),
        (lambda: vae().elbo(torch.zeros(2, 16), estimator=gumbel_max), "sample: expected a tensor"),
        (
            lambda: gradient_variance(vae(), [torch.zeros(2, 16)], greedy, num_samples=4),
            "batches: expected a tensor of pixels, got list",
        ),
        (lambda: importance_weighted_bound(vae(), [0], num_samples=2), "x: expected a tensor of"),
        (lambda: TreeLSTM(greedy, dim=4)(Example((7,), 7)), "batch: expected a Batch, such as"),
        (lambda: evaluate("[MAX 1 2 ]"), "tokens: expected ids, got the text"),
        (lambda: vae().kl("x"), "logits: expected a tensor, got str"),
        (
            lambda: importance_weighted_bound("x", torch.zeros(2, 16), num_samples=2),
            "model: expected a DiscreteVAE, got str",
        ),
        (
            lambda: gradient_variance(greedy, torch.zeros(1, 2, 16), greedy, num_samples=4),
            "model: expected a DiscreteVAE, got function",
        ),
        (lambda: losses(vae(), sentence()), "model: expected a TreeLSTM, got DiscreteVAE"),
        (lambda: score(vae(), Split([], "")), "model: expected a TreeLSTM, got DiscreteVAE"),
        (
            lambda: accuracy(TreeLSTM(greedy, dim=4), sentence()),
            "split: expected a Split, got Batch",
        ),
        (lambda: Split(["7"], "one"), "examples: expected an Example, got str"),
        (lambda: Split(5, "none"), "examples: expected a Sequence, got int"),
        (lambda: read(5), "text: expected a str, got int"),
        (lambda: read("7", longest="9"), "longest: expected a whole number, got str"),
        (lambda: parse_line(None), "line: expected a str, got NoneType"),
        (
            lambda: RunningMean().update(torch.eye(3).to_sparse()),
            "losses: expected a dense tensor of numbers, got torch.sparse_coo",
        ),
        (
            lambda: diagnostics.measured(torch.eye(3).to_sparse()),
            "draws: expected a dense tensor of numbers, got torch.sparse_coo",
        ),
        (
            lambda: concrete_log_prob(torch.eye(3).to_sparse(), torch.zeros(3), tau=1.0),
            "sample: expected a dense tensor, got torch.sparse_coo",
        ),
        (
            lambda: conditional_vjp(
                torch.eye(3).to_sparse(), torch.zeros(3, 3), torch.ones(3), 1.0
            ),
            "grad: expected a dense tensor, got torch.sparse_coo",
        ),
        (
            lambda: monte_carlo(
                QuadraticProgramme(), torch.eye(3), 0.5, k=1, num_samples=2, generator="x"
            ),
            "generator: expected a torch.Generator or None, got str",
        ),
        (
            lambda: TreeLSTM(greedy, dim=4)(sentence(), estimator=3),
            "estimator: expected a function, got int",
        ),
        *(
            (
                lambda wrong=wrong: TreeLSTM(greedy, dim=4)(sentence(**wrong)),
                f"batch: expected {next(iter(wrong))} in a tensor of int64, got",
            )
            for wrong in (
                {"tokens": torch.tensor([7.0])},
                {"tokens": [7]},
                {"lengths": torch.tensor([1.0])},
                {"lengths": [1]},
                {"labels": torch.tensor([True])},
            )
        ),
        (lambda: gumbel_rao(nested(), tau=0.5, k=3), "logits: expected a dense .* a nested one"),
        (
            lambda: surrogate.sequential(sum_of_first, len, THREE, [THREE], lambda x, j: None),
            "relax: expected a tensor, got NoneType",
        ),
        (
            lambda: surrogate.sequential(sum_of_first, len, THREE, [THREE] * 2, lambda x, j: x),
            "h: expected a tensor, got int",
        ),
        (
            lambda: surrogate.replace_gradient(torch.tensor(True), torch.tensor(True)),
            "value: expected a floating-point tensor .* got torch.bool",
        ),
    ],
)
def test_a_wrong_type_is_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: diagnostics.Measurements(lambda d: d[..., 0], THREE, [], [1]),
            "taus: expected at least one temperature, got none",
        ),
        (
            lambda: diagnostics.distance_from_zgr(lambda d: d.sum(-1), THREE, [0.5]),
            "f: expected a loss whose limit is not 0",
        ),
        (
            lambda: diagnostics.Draws(lambda d: d[..., 0], THREE).estimates(-1.0),
            "tau: expected a positive finite number, got -1.0",
        ),
        (
            lambda: diagnostics.compare(lambda d: d.sum((-1, -2)), torch.zeros(0, 3)),
            "logits: expected at least one variable",
        ),
        (
            lambda: sampler("gumbel_rao", tau=torch.tensor([0.5, -1.0])),
            "tau: expected positive finite numbers",
        ),
        (
            lambda: sampler("reinforce", baseline=RunningMean()),
            "baseline: expected none, for the model has its own",
        ),
        (
            lambda: surrogate.sequential(
                lambda d: d[0].sum(), len, THREE, [torch.ones(2, 3)], lambda x, j: x
            ),
            r"relax: expected the shape \(2, 3\) of one_hots\[0\], got \(3,\)",
        ),
        (lambda: vae().decode(CODES[:, :3]), r"sample: expected codes \[\*, 4, 4\]"),
        (
            lambda: vae().log_likelihood(torch.zeros(3, 16), CODES),
            r"x, sample: expected as many images as codes, got the shapes \(3, 16\) and \(2, ",
        ),
        (
            lambda: TreeLSTM(greedy, dim=4)(sentence(lengths=torch.tensor([[1]]))),
            r"batch: expected lengths of one axis, got shape \(1, 1\)",
        ),
        (
            lambda: losses(TreeLSTM(greedy, dim=4), sentence(labels=torch.tensor([1, 2]))),
            "batch: expected as many labels as lengths, 1, got 2",
        ),
        (
            lambda: DiscreteVAE(2, greedy, pixel_mean=torch.ones(1), hidden=(0,)),
            "hidden: expected at least 1, got 0",
        ),
        (
            lambda: TreeLSTM(greedy, dim=4)(
                Batch(torch.tensor([1, 2]), torch.tensor([3]), torch.tensor([1]))
            ),
            "batch: expected 3 tokens, the sum of the lengths",
        ),
        (
            lambda: TreeLSTM(greedy, dim=4)(
                Batch(torch.tensor([15]), torch.tensor([1]), torch.tensor([1]))
            ),
            "batch: expected tokens from 0 to 14, got others",
        ),
        (
            lambda: TreeLSTM(lambda x: x.argmax(-1), dim=4)(
                Batch(torch.tensor([11, 3, 7, 14]), torch.tensor([4]), torch.tensor([7]))
            ),
            r"estimator: expected samples of the shape \(1, 3\) of the logits, got \(1,\)",
        ),
        (lambda: QuadraticProgramme().gradient(torch.zeros(4)), "logits: expected 3 classes, got"),
        (lambda: QuadraticProgramme().value(torch.ones(4) / 4), "p: expected 3 classes, got 4"),
    ],
)
def test_a_wrong_value_or_shape_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_loss_without_an_axis_of_draws_is_refused():
    """A mean over the draws would divide each gradient by their number, without a word."""
    for name in ("gumbel_rao", "reinforce"):
        with pytest.raises(ValueError, match=r"f: expected losses \[4, \*batch\], got \(\)"):
            diagnostics.gradient_samples(lambda d: d[..., 0].mean(), THREE, name, 4)


def test_draws_whatever_the_dtype_of_the_losses_and_what_never_occurs():
    """The loss of a class that never occurs may be infinite; 0 · ∞ is not a number."""
    weights = torch.tensor([1.0, 2.0, -1.0])
    logits = torch.tensor([0.0, 1.0, -torch.inf])
    p = logits.double().softmax(0)
    want = p * (weights - (p[:2] * weights[:2]).sum())
    for f in (
        lambda d: (d @ weights).double(),
        lambda d: d @ weights + torch.where(d[..., 2] > 0.5, torch.inf, 0.0),
        lambda d: d @ weights / (1 - d[..., 2]),
    ):
        draws = diagnostics.Draws(f, logits, num_samples=5, k_max=2, generator=seeded(1))
        assert torch.allclose(draws.exact, want)
        assert draws.estimates(0.5).isfinite().all()
        assert draws.limits(0.5).isfinite().all()
        assert diagnostics.distance_from_zgr(lambda d, f=f: f(d) ** 2, logits, [0.1]) > 0


def test_an_example_keeps_plain_numbers():
    example = Example(np.array([7]), np.int64(7))
    assert (example.tokens, example.label) == ((7,), 7)
    assert hash(example) == hash(Example([7], 7))


def test_tensors_of_two_dtypes_are_a_programme_in_the_wider_one():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    want = QuadraticProgramme().loss(torch.eye(3).double(), p)
    for dtype in (torch.float32, torch.bfloat16):
        found = QuadraticProgramme().loss(torch.eye(3, dtype=dtype), p)
        torch.testing.assert_close(found, want, rtol=0, atol=1e-15)
    with pytest.raises(TypeError, match="fixed: expected True or False, got 'no'"):
        QuadraticProgramme().gradient(torch.zeros(3), fixed="no")


def test_codes_of_whole_numbers_are_codes():
    code = torch.nn.functional.one_hot(torch.tensor([[0, 3, 1, 2]]), 4)
    assert torch.equal(vae().decode(code), vae().decode(code.float()))


def test_variance_is_measured_where_gradients_are_switched_off():
    def measured():
        st = sampler("st_gumbel_softmax", generator=seeded(1))
        return gradient_variance(vae(), torch.zeros(1, 2, 16), st, num_samples=4)

    with torch.no_grad():
        value = measured()
    assert value == measured()
    assert value.value > 0


def test_measurements_are_copied_and_pickled():
    def value(measurements):
        return measurements(0.5, 1, 5).mse

    made = diagnostics.Measurements(first_squared, THREE, [0.5], [1], num_samples=50)
    assert value(pickle.loads(pickle.dumps(made))) == value(copy.deepcopy(made)) == value(made) > 0


def first_squared(d):
    return d[..., 0] ** 2


def test_a_sampler_refuses_an_unknown_hyper_parameter():
    with pytest.raises(TypeError, match="unexpected keyword argument 'taus'"):
        sampler("gumbel_rao", taus=0.5)


def test_a_data_folder_that_cannot_be_read_is_told_and_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GUMBELRAO_DATA_DIR", str(tmp_path / ("x" * 300)))
    with pytest.warns(UserWarning, match="the data folder cannot be read"):
        digits = load_digits()
    assert digits.name.startswith("5,000 digits")


def test_a_file_of_200_gb_is_refused_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setenv("GUMBELRAO_DATA_DIR", str(tmp_path))
    for name in SHA256:
        with open(tmp_path / name, "wb") as file:
            file.truncate(200 * 10**9)  # sparse
    with pytest.warns(UserWarning, match="not the files expected"):
        assert load_digits().name.startswith("5,000 digits")
