"""Trainings computed together end as each of them does alone."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from operations import Operations
from seeded import seeded
from small_training import IMAGES, negative_elbo
from torch import Tensor

from gumbelrao_edu import GumbelRao, estimators
from gumbelrao_edu._generators import Generators
from gumbelrao_edu.estimators import joined
from gumbelrao_edu.experiments import table1
from gumbelrao_edu.gumbel import sample_exponential
from gumbelrao_edu.listops import Batch, Split, TreeLSTM, generate, objective
from gumbelrao_edu.listops.data import filled
from gumbelrao_edu.training import loop
from gumbelrao_edu.training.errors import DamagedFileWarning, TrainingDivergedError
from gumbelrao_edu.training.loop import Training
from gumbelrao_edu.training.stacked import run_together, stack_tensors
from gumbelrao_edu.vae import DiscreteVAE

SETTINGS = (
    {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-3, "tau": 0.5},
    {"learning_rate": 0.01, "momentum": 0.0, "weight_decay": 0.0, "tau": 0.9, "clip": 0.1},
    {"learning_rate": 0.02, "momentum": 0.5, "weight_decay": 0.1, "tau": 0.2},
)
DRAWN = [name for name in estimators.names() if estimators.get(name).kind != "enumeration"]


SENTENCES = Split(generate(60, max_length=12, generator=seeded()), "sentences")


class Asking(Training):
    """A training that notes which examples it asked for."""

    def __init__(self, *arguments, **settings) -> None:
        super().__init__(*arguments, **settings)
        self.asked: list[list[int]] = []

    def next_indices(self) -> Tensor:
        index = super().next_indices()
        self.asked.append(index.tolist())
        return index


def new(seed, name="gumbel_rao", arity=4, latent_bits=4, hyper=None, **changed) -> Training:
    settings = {**SETTINGS[seed], **changed}
    tau = {"tau": settings.pop("tau"), **(hyper or {})}
    noise = seeded(seed)
    model = DiscreteVAE(
        arity,
        estimators.sampler(
            name, generator=noise, **(tau if "tau" in estimators.get(name).example else {})
        ),
        pixel_mean=IMAGES.float().mean(0),
        hidden=(6,),
        latent_bits=latent_bits,
        generator=seeded(seed),
    )
    return Asking(
        model, negative_elbo, IMAGES, batch_size=8, seed=seed, generators=[noise], **settings
    )


def parser(seed, name="gumbel_rao", device="cpu", wrap=lambda draw: draw, **changed) -> Training:
    """A training on sentences of several lengths, in float64."""
    settings = {**SETTINGS[seed], **changed}
    tau = {"tau": settings.pop("tau")}
    noise = torch.Generator(device).manual_seed(seed)
    draw = estimators.sampler(
        name, generator=noise, **(tau if "tau" in estimators.get(name).example else {})
    )
    model = TreeLSTM(wrap(draw), dim=6, generator=seeded(seed))
    with torch.no_grad():  # a query that prefers something
        model.query.normal_(generator=seeded(seed))
    return Asking(
        model.double().to(device),
        table1.loss,
        SENTENCES,
        batch_size=7,
        seed=seed,
        generators=[noise],
        **settings,
    )


def assert_nearer(one: Training, other: Training) -> None:
    """Minibatches exactly, and weights to rounding: any other draw would show in them."""
    assert one.asked == other.asked
    for (name, a), b in zip(one.model.named_parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=name)


def together(trainings, until, folder, every=10, callback=lambda training: None):
    files = [folder / f"{i}.safetensors" for i in range(len(trainings))]
    callbacks = [callback] * len(trainings)
    parsers = isinstance(trainings[0].model, TreeLSTM)
    return run_together(
        trainings,
        until,
        every=every,
        callbacks=callbacks,
        checkpoints=files,
        stack=objective.stack_batches if parsers else stack_tensors,
    )


def assert_near(one: Training, other: Training) -> None:
    """The same weights, losses and momentum to rounding, and the same minibatches exactly."""
    assert one.step == other.step
    assert one.asked == other.asked
    pairs = zip(one.model.named_parameters(), other.model.parameters(), strict=True)
    for (name, a), b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)
    for a, b in zip(one.model.buffers(), other.model.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert [entry["step"] for entry in one.history] == [entry["step"] for entry in other.history]
    losses = [[entry["loss"] for entry in each.history] for each in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("name", DRAWN)
def test_three_together_end_as_three_apart(name, tmp_path):
    # The longer gradients of score functions make more of a rounding than a training can show.
    slow = {} if estimators.get(name).samples else {"momentum": 0.0, "learning_rate": 1e-3}
    apart, stacked = ([new(seed, name, **slow) for seed in range(3)] for _ in range(2))
    for one, other in zip(apart, stacked, strict=True):
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(a, b)
    for training in apart:
        training.run(25, every=10)
    assert together(stacked, 25, tmp_path) == [None] * 3
    for one, other in zip(apart, stacked, strict=True):
        assert_near(one, other)
    # They differ from each other, so that none stands for another one.
    first, *others = [next(training.model.parameters()) for training in stacked]
    assert all((first - other).abs().max() > 0.01 for other in others)


def test_one_that_diverges_does_not_disturb_the_others(tmp_path):
    rates = ({}, {"learning_rate": 1e9, "weight_decay": 0.1, "clip": None}, {})
    apart, stacked = ([new(i, **rates[i]) for i in range(3)] for _ in range(2))
    with pytest.raises(TrainingDivergedError) as alone:
        apart[1].run(25, every=10)
    for i in (0, 2):
        apart[i].run(25, every=10)
    errors = together(stacked, 25, tmp_path)
    assert [error is None for error in errors] == [True, False, True]
    assert str(errors[1]).split(" at step ")[1] == str(alone.value).split(" at step ")[1]
    assert stacked[1].step == apart[1].step
    for i in (0, 2):
        assert_near(apart[i], stacked[i])


def test_logits_that_are_refused_are_those_of_one_model(tmp_path):
    apart, stacked = ([new(i) for i in range(3)] for _ in range(2))
    with torch.no_grad():
        next(stacked[1].model.parameters()).fill_(torch.nan)
    for i in (0, 2):
        apart[i].run(12, every=10)
    errors = together(stacked, 12, tmp_path)
    assert "the loss is nan at step 1" in str(errors[1])
    for i in (0, 2):
        assert errors[i] is None
        assert_near(apart[i], stacked[i])


def test_each_model_draws_from_its_generator_as_if_alone():
    """Noise and seeds; one without rows draws nothing."""
    counts, seeds = (3, 0, 2), (7, 8, 9)
    generators = [seeded(seed) for seed in seeds]
    both = Generators(generators, counts)
    noise = sample_exponential((5, 4), torch.float32, torch.device("cpu"), both)
    keys = both.seeds(lambda each: torch.randint(2**62, (), generator=each))
    alone = [seeded(seed) for seed in seeds]
    first, _, last = (
        sample_exponential((count, 4), torch.float32, torch.device("cpu"), each)
        for count, each in zip(counts, alone, strict=True)
    )
    assert torch.equal(noise, torch.cat([first, last]))
    one, other = (torch.randint(2**62, (), generator=alone[i]).item() for i in (0, 2))
    assert keys.tolist() == [[one, 0], [one, 1], [one, 2], [other, 0], [other, 1]]
    assert torch.equal(generators[1].get_state(), seeded(8).get_state())


@pytest.mark.parametrize("name", DRAWN)
def test_joined_samples_and_gradients_are_those_of_each(name):
    def draws():
        hypers = [
            {"tau": tau} if "tau" in estimators.get(name).example else {} for tau in (1.1, 1.7)
        ]
        return [
            estimators.sampler(name, generator=seeded(seed), **hyper)
            for seed, hyper in enumerate(hypers)
        ]

    logits = torch.randn(5, 4, generator=seeded(5), dtype=torch.float64)
    weights = torch.randn(4, generator=seeded(6), dtype=torch.float64)
    found = []
    for draw in (lambda x: joined(draws())(x, [2, 3]), lambda x: apart(draws(), x, (2, 3))):
        x = logits.clone().requires_grad_()
        sample = draw(x)
        if sample.requires_grad:
            ((sample @ weights) ** 2).sum().backward()
        found.append((sample.detach(), x.grad))
    assert torch.equal(found[0][0].argmax(-1), found[1][0].argmax(-1))
    torch.testing.assert_close(*found)


def apart(draws, x, counts):
    return torch.cat([draw(part) for draw, part in zip(draws, x.split(counts), strict=True)])


def test_what_cannot_be_joined():
    """Estimators that differ in more than τ, a limit, a τ for each variable, no generator."""
    new = lambda name="st_gumbel_softmax", **hyper: estimators.sampler(  # noqa: E731
        name, **{"generator": torch.Generator(), **hyper}
    )
    exact = {"name": "gumbel_rao", "k": math.inf}
    assert joined([new(tau=0.1), new(tau=0.2)]) is not None
    assert joined([new(**exact, tau=0), new(**exact, tau=0)]) is not None
    for pair in (
        [new(tau=0.1), new("gumbel_softmax", tau=0.1)],
        [new("gumbel_rao", k=1), new("gumbel_rao", k=2)],
        [new(**exact, tau=0), new(**exact, tau=0.5)],
        [new(tau=torch.tensor(0.1)), new(tau=torch.tensor(0.1))],
        [new(), new(generator=None)],
        [new(), torch.nn.Softmax(-1)],
    ):
        assert joined(pair) is None


def test_estimators_that_are_no_samplers_draw_one_by_one(tmp_path):
    wrap = lambda draw: lambda logits: draw(logits)  # noqa: E731
    apart, stacked = ([parser(seed, wrap=wrap) for seed in range(3)] for _ in range(2))
    assert joined([training.model.estimator for training in stacked]) is None
    for training in apart:
        training.run(10, every=10)
    together(stacked, 10, tmp_path)
    for one, other in zip(apart, stacked, strict=True):
        assert_nearer(one, other)


def operations(trainings, folder) -> float:
    """In a step; the first steps are not counted."""
    together(trainings, 3, folder / "a", every=100)
    with Operations() as asked:
        together(trainings, 13, folder / "b", every=100)
    return len(asked.names) / 10


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("gumbel_softmax", {}),
        ("st_gumbel_softmax", {}),
        ("zgr", {}),
        ("gumbel_rao", {"k": math.inf}),  # finite K needs the kernels of a GPU
    ],
)
def test_a_model_more_takes_hardly_more_operations(name, hyper, tmp_path):
    """Its minibatch and its noise; a loop over models would take those of a whole step."""
    few, many = (
        operations(
            [new(i % 3, name, hyper=hyper, clip=None) for i in range(count)],
            tmp_path / str(count),
        )
        for count in (3, 12)
    )
    assert (many - few) / 9 < few / 10


def test_checkpoints_come_with_pauses_and_the_end_not_with_reports(tmp_path, monkeypatch):
    """Of many models on a GPU a checkpoint with each report took as long as the steps."""
    saved = []
    monkeypatch.setattr(Training, "save", lambda self, path: saved.append(self.step))
    trainings = [new(seed) for seed in range(2)]
    together(trainings, 20, tmp_path, every=[3, 4, 15])
    assert [entry["step"] for entry in trainings[0].history] == [3, 4, 15, 20]
    assert saved == [20, 20]


def test_the_estimator_may_be_a_layer(tmp_path):
    apart, stacked = ([new(seed) for seed in range(3)] for _ in range(2))
    layers = []
    for training in (*apart, *stacked):
        draw = training.model.estimator
        layers.append(GumbelRao(tau=draw.hyper["tau"], k=3, generator=draw.generator))
        del training.model.estimator
        training.model.estimator = layers[-1]
    for training in apart:
        training.run(12, every=10)
    together(stacked, 12, tmp_path)
    for one, other in zip(apart, stacked, strict=True):
        assert_near(one, other)
    assert [training.model.estimator for training in stacked] == layers[3:]


def test_what_was_interrupted_goes_on_exactly(tmp_path):
    """After any whole step, and whatever step the others have done."""
    whole, first, second = ([new(seed) for seed in range(3)] for _ in range(3))
    together(whole, 30, tmp_path / "whole")

    def stops(training):
        if training.step == 20 and training is first[1]:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="a whole step of all"):
        together(first, 30, tmp_path / "parts", callback=stops)
    assert [training.step for training in first] == [20, 20, 20]
    second[2].run(25, every=10, checkpoint=tmp_path / "parts/2.safetensors")  # ahead of the others
    second[2] = new(2)
    assert together(second, 30, tmp_path / "parts") == [None] * 3
    for i in (0, 1):
        for a, b in zip(whole[i].model.parameters(), second[i].model.parameters(), strict=True):
            assert torch.equal(a, b)
        assert whole[i].history == second[i].history
    assert second[2].step == 30


def test_a_second_interrupt_in_a_step_ends_all(tmp_path):
    """What is left of the step is not the state of any step, and none of them goes on from it."""

    def twice(model, images):
        if stacked[0].step == 7:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return negative_elbo(model, images)

    def three():
        return [new(seed) for seed in range(3)]

    stacked, resumed, whole = three(), three(), three()
    for training in stacked:
        training.loss = twice
    with pytest.raises(KeyboardInterrupt):
        together(stacked, 20, tmp_path / "parts", every=5)
    for training in stacked:
        with pytest.raises(RuntimeError, match=r"middle of a step, after 7 whole"):
            training.run(20)
    together(resumed, 20, tmp_path / "parts", every=5)
    together(whole, 20, tmp_path / "whole", every=5)
    for one, other in zip(resumed, whole, strict=True):
        assert one.history == other.history
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(a, b)


def test_a_killed_stack_goes_on(tmp_path):
    """SIGKILL at any moment, and then to the weights of one that was not killed."""
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        import test_stacked
        test_stacked.loop._PAUSE = 0.01
        trainings = [test_stacked.new(seed) for seed in range(3)]
        test_stacked.together(trainings, 1_000_000, Path(sys.argv[1]), every=3)
        """
    )
    arguments = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, env={**os.environ}) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "2.safetensors").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.2)
        process.kill()
    killed = [new(seed) for seed in range(3)]
    for i, training in enumerate(killed):
        training.load(tmp_path / f"{i}.safetensors")
    until = max(training.step for training in killed) + 6
    killed = [new(seed) for seed in range(3)]
    together(killed, until, tmp_path, every=3)
    whole = [new(seed) for seed in range(3)]
    (tmp_path / "whole").mkdir()
    together(whole, until, tmp_path / "whole", every=3)
    for one, other in zip(whole, killed, strict=True):
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_checkpoints_are_saved_by_the_clock_and_at_the_end(tmp_path, monkeypatch):
    """Not at each report: of 150 parsers that would take longer than their steps."""
    saved = []
    monkeypatch.setattr(Training, "save", lambda training, path: saved.append(training.step))
    together([new(seed) for seed in range(3)], 12, tmp_path, every=2)
    assert saved == [12, 12, 12]
    monkeypatch.setattr(loop, "_PAUSE", 0.0)
    together([new(seed) for seed in range(3)], 4, tmp_path, every=4)
    assert saved[3:] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]


def test_a_checkpoint_of_other_settings_is_set_aside_and_the_others_go_on(tmp_path):
    whole, parts, other = ([new(seed) for seed in range(3)] for _ in range(3))
    together(whole, 8, tmp_path / "whole")
    for i in (0, 2):
        parts[i].run(5, checkpoint=tmp_path / f"{i}.safetensors")
    new(1, learning_rate=0.3).run(5, checkpoint=tmp_path / "1.safetensors")
    with pytest.warns(DamagedFileWarning, match=r"settings.*It is now 1\.safetensors\.damaged"):
        together(other, 8, tmp_path)
    assert [len(training.asked) for training in other] == [3, 8, 3]
    for one, training in zip(whole, other, strict=True):
        for a, b in zip(one.model.parameters(), training.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_loss_may_have_the_shape_of_one_number(tmp_path):
    flat, long = ([new(seed) for seed in range(3)] for _ in range(2))

    def one_number(model, images):
        return negative_elbo(model, images).reshape(1)

    for training in long:
        training.loss = one_number
    together(flat, 3, tmp_path)
    together(long, 3, tmp_path / "long")
    for one, other in zip(flat, long, strict=True):
        assert_near(one, other)


def test_afterwards_each_has_weights_and_momenta_of_its_own(tmp_path):
    apart, stacked = ([new(seed) for seed in range(3)] for _ in range(2))
    for training in apart:
        training.run(5, every=10)
    together(stacked, 5, tmp_path)
    for one, other in zip(apart, stacked, strict=True):
        pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
        for a, b in pairs:
            assert b.untyped_storage().nbytes() == b.nbytes
            states = one.optimizer.state[a], other.optimizer.state[b]
            momenta = [state.get("momentum_buffer") for state in states]
            if one.settings["momentum"] == 0:
                assert momenta == [None, None]
            else:
                torch.testing.assert_close(*momenta, rtol=1e-4, atol=1e-5)
                assert momenta[1].untyped_storage().nbytes() == b.nbytes


@pytest.mark.parametrize("settings", [{}, {"clip": 0.01}])
def test_what_is_frozen_stays(settings, tmp_path):
    apart, stacked = ([new(seed, **settings) for seed in range(2)] for _ in range(2))
    before = apart[0].model.decoder.state_dict()
    before = {name: tensor.clone() for name, tensor in before.items()}
    for training in (*apart, *stacked):
        training.model.decoder.requires_grad_(False)
    for training in apart:
        training.run(10)
    together(stacked, 10, tmp_path)
    for one, other in zip(apart, stacked, strict=True):
        assert_near(one, other)
    for name, tensor in stacked[0].model.decoder.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_each_has_a_running_mean_of_its_own(tmp_path):
    apart, stacked = ([new(seed, "reinforce") for seed in range(3)] for _ in range(2))
    for training in apart[1:]:
        training.run(7)
    stacked[1].run(7)  # one that goes on, and two that begin
    together([stacked[0], stacked[2]], 7, tmp_path)
    apart[0].run(7)
    means = [training.model.running_mean for training in stacked]
    for mean, training in zip(means, apart, strict=True):
        torch.testing.assert_close(mean, training.model.running_mean, rtol=1e-4, atol=1e-5)
        assert mean.untyped_storage().nbytes() == mean.nbytes
    assert len({mean[0].item() for mean in means}) == 3
    assert stacked[0].model.running_mean[1] == pytest.approx(1 - 0.99**7)


def test_what_does_not_fit_together_is_refused(tmp_path):
    different = new(1)
    different.examples = IMAGES.clone()
    with pytest.raises(ValueError, match="the same examples"):
        together([new(0), different], 5, tmp_path)
    with pytest.raises(ValueError, match="the same parameters"):
        together([new(0), new(1, latent_bits=8)], 5, tmp_path)
    with pytest.raises(ValueError, match="equal buffers"):  # the weights are of one shape
        together([new(0), new(1, arity=2)], 5, tmp_path)
    for change in (
        lambda model: setattr(model, "beta", 2.0),
        lambda model: model.eval(),
        lambda model: model.encoder.requires_grad_(False),
        lambda model: model.double(),
    ):
        different = new(1)
        change(different.model)
        with pytest.raises(ValueError, match="differ in weights and `estimator` alone"):
            together([new(0), different], 5, tmp_path)
    different = new(1)
    different.loss = lambda model, images: negative_elbo(model, images)
    with pytest.raises(ValueError, match="one loss and one class"):
        together([new(0), different], 5, tmp_path)


@pytest.mark.parametrize("name", DRAWN)
def test_three_parsers_together_end_as_three_apart(name, tmp_path):
    apart, stacked = ([parser(seed, name) for seed in range(3)] for _ in range(2))
    for one, other in zip(apart, stacked, strict=True):
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(a, b)
    for training in apart:
        training.run(10, every=10)
    assert together(stacked, 10, tmp_path) == [None] * 3
    for one, other in zip(apart, stacked, strict=True):
        assert_nearer(one, other)
        assert_near(one, other)
    asked = [training.asked for training in stacked]
    assert asked[0] != asked[1] != asked[2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_three_parsers_together_on_a_gpu(tmp_path):
    apart, stacked = ([parser(seed, device="cuda") for seed in range(3)] for _ in range(2))
    for training in apart:
        training.run(10, every=10)
    together(stacked, 10, tmp_path)
    for one, other in zip(apart, stacked, strict=True):
        assert_nearer(one, other)


@pytest.mark.parametrize("name", ["gumbel_rao", "rloo"])
def test_what_fills_up_a_batch_makes_no_difference(name, tmp_path, monkeypatch):
    few, many = ([parser(seed, name) for seed in range(3)] for _ in range(2))
    together(few, 10, tmp_path / "few")
    rows = []

    def more(batch, parts):
        """As if another batch had longer sentences, and many of each length."""
        longest = SENTENCES.everything.lengths.argsort(descending=True)
        another = SENTENCES[longest[: len(batch.lengths) // parts]]
        both = filled(Batch(*map(torch.cat, zip(batch, another, strict=True))), parts + 1)
        rows.append((len(filled(batch, parts).lengths), len(both.lengths)))
        return both._replace(tokens=both.tokens[:-1], labels=both.labels[:-1])

    monkeypatch.setattr(objective, "filled", more)
    together(many, 10, tmp_path / "many")
    assert all(7 < before < after for before, after in rows)
    for one, other in zip(few, many, strict=True):
        assert_nearer(one, other)


def test_a_parser_that_diverges_does_not_disturb_the_others(tmp_path):
    # So large that the second step overflows at once: weights that explode slowly make roundings
    # grow, and the two ways then diverge at other steps.
    rates = ({}, {"learning_rate": 1e100, "weight_decay": 0.1, "clip": None}, {})
    apart, stacked = ([parser(i, **rates[i]) for i in range(3)] for _ in range(2))
    with pytest.raises(TrainingDivergedError):
        apart[1].run(20, every=10)
    for i in (0, 2):
        apart[i].run(20, every=10)
    errors = together(stacked, 20, tmp_path)
    assert [error is None for error in errors] == [True, False, True]
    assert stacked[1].step == apart[1].step
    for i in (0, 2):
        assert_nearer(apart[i], stacked[i])
