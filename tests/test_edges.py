"""Inputs as they are met in practice: other global defaults, odd files, images, batches."""

import functools
import gzip

import pytest
import torch

from gumbelrao_edu import diagnostics, exact, gumbel_rao, surrogate
from gumbelrao_edu.estimators import RunningMean, sampler
from gumbelrao_edu.listops import (
    DataError,
    Example,
    Split,
    TreeLSTM,
    generate,
    greedy,
    losses,
    read_examples,
)
from gumbelrao_edu.vae import DiscreteVAE, importance_weighted_bound, load_digits, load_digits_5k
from gumbelrao_edu.vae.data import SHA256


def seeded(seed=1):
    return torch.Generator("cpu").manual_seed(seed)


def vae(pixels=16):
    draw = functools.partial(gumbel_rao, tau=0.5, k=2, generator=seeded())
    mean = torch.full([pixels], 0.2, dtype=torch.float32, device="cpu")
    return DiscreteVAE(4, draw, pixel_mean=mean, hidden=(5,), latent_bits=8, generator=seeded())


def everything():
    digits, sentences = load_digits_5k(), Split(generate(20, generator=seeded()), "some")
    draw = functools.partial(gumbel_rao, tau=0.5, k=2, generator=seeded())
    tree, model = TreeLSTM(draw, dim=4, generator=seeded()), vae(784)
    return [
        digits.train[:9],
        sentences.everything.tokens,
        losses(tree, sentences[slice(0, 5)]).detach(),
        model.elbo(digits.train[:3]).detach(),
        importance_weighted_bound(model, digits.test[:2], num_samples=5, generator=seeded()),
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
    bound = importance_weighted_bound(vae(), x, num_samples=3, generator=seeded())
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
