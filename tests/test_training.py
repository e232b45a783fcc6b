"""The training loop: whatever stops it, it goes on to exactly the same weights."""

from __future__ import annotations

import math
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import seeded
from small_training import IMAGES, assert_same, interrupted_at, negative_elbo, new
from torch import Tensor, nn

import gumbelrao_edu
from gumbelrao_edu.training import loop
from gumbelrao_edu.training.errors import (
    DamagedFileError,
    DamagedFileWarning,
    OtherSettingsError,
    TrainingDivergedError,
)
from gumbelrao_edu.training.loop import Training
from gumbelrao_edu.vae import DiscreteVAE

INF = float("inf")


def test_trains() -> None:
    training = new()
    start = negative_elbo(training.model, IMAGES.repeat(20, 1)).item()
    training.run(300, every=100)
    assert [row["step"] for row in training.history] == [100, 200, 300]
    assert training.history[-1]["loss"] < start - 0.2


def test_reports_the_mean_loss_since_the_last_report() -> None:
    losses, reported = [], []

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        losses.append(negative_elbo(model, images))
        return losses[-1]

    training = new(loss)
    training.run(25, every=10, callback=lambda t: reported.append(t.step))
    assert reported == [10, 20, 25]
    values = torch.stack(losses).detach().double()
    means = [values[a:b].mean().item() for a, b in ((0, 10), (10, 20), (20, 25))]
    assert [row["loss"] for row in training.history] == pytest.approx(means, rel=1e-12)
    training.run(25)
    assert len(losses) == 25  # nothing to do


def test_a_long_gradient_is_scaled_down() -> None:
    def one_step(clip: float | None) -> Tensor:
        training = new(learning_rate=0.1, momentum=0.0, weight_decay=0.0, clip=clip)
        before = torch.cat([p.detach().flatten().clone() for p in training.model.parameters()])
        training.run(1)
        return before - torch.cat([p.detach().flatten() for p in training.model.parameters()])

    whole, clipped, untouched = one_step(None), one_step(0.01), one_step(1e6)
    assert whole.norm() > 0.1 * 0.02
    torch.testing.assert_close(clipped, whole * (0.001 / whole.norm()), rtol=1e-3, atol=1e-7)
    assert torch.equal(untouched, whole)
    with pytest.raises(ValueError, match="clip: expected a positive number or None, got 0"):
        new(clip=0)


def test_the_order_of_the_minibatches() -> None:
    """Each pass is a permutation, less what does not fill a minibatch; the seed decides."""

    def order(seed: int) -> Tensor:
        seen = []

        class Indexed:
            def __len__(self) -> int:
                return 50

            def __getitem__(self, index: Tensor) -> Tensor:
                seen.append(index)
                return IMAGES[index]

        training = new(seed=seed)
        training.examples = Indexed()
        training.run(12)
        return torch.stack(seen)

    first = order(0)
    assert first.shape == (12, 8)
    passes = first.view(2, 48)
    assert all(len(one.unique()) == 48 for one in passes)
    assert not torch.equal(passes[0], passes[1])
    assert torch.equal(first, order(0))
    assert not torch.equal(first, order(1))


@pytest.mark.parametrize("stop", [1, 6, 23, 40])
def test_resumes_bit_for_bit(tmp_path: Path, stop: int) -> None:
    whole, first, second = new(), new(), new()
    whole.run(60, every=10)
    first.run(stop, every=10)
    first.save(tmp_path / "state.pt")
    second.load(tmp_path / "state.pt")
    assert_same(first, second)
    second = new()
    second.load(tmp_path / "state.pt")
    if stop % 10:
        second.history.pop()  # the report at the stop, which the whole run does not have
        whole.history = [row for row in whole.history if row["step"] != (stop // 10 + 1) * 10]
        second.run(60, every=10)
        second.history = [row for row in second.history if row["step"] != (stop // 10 + 1) * 10]
    second.run(60, every=10)
    assert_same(whole, second)


@pytest.mark.skipif(os.name != "posix", reason="sends signals of POSIX")
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)])
def test_a_momentum_is_resumed_in_the_order_of_its_weight_in_memory(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    """As of `memory_format=torch.channels_last`, the second, or of a transposed weight."""
    images = torch.rand(30, 3, 6, 6, generator=seeded())

    def conv() -> Training:
        model = nn.Conv2d(3, 4, 3)
        weight = torch.randn(4, 3, 3, 3, generator=seeded(1))
        back = [order.index(axis) for axis in range(4)]
        model.weight = nn.Parameter(weight.permute(order).contiguous().permute(back))
        nn.init.zeros_(model.bias)
        loss = lambda model, x: (model(x) - 1).square().mean()  # noqa: E731
        return Training(model, loss, images, batch_size=3, learning_rate=0.01, momentum=0.9)

    whole, first, second = conv(), conv(), conv()
    whole.run(20)
    first.run(10, checkpoint=tmp_path / "state")
    second.run(20, checkpoint=tmp_path / "state")
    assert second.model.weight.stride() == whole.model.weight.stride()
    assert torch.equal(second.model.weight, whole.model.weight)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """SIGKILL at any moment of a run that saves all the time."""
    script = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[2])
        import test_training
        test_training.new().run(100_000, every=3, checkpoint=sys.argv[1])
        """
    )
    path = tmp_path / "state.pt"
    arguments = [sys.executable, "-c", script, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments) as process:
        deadline = time.monotonic() + 60
        while not path.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    killed = new()
    killed.load(path)
    step = killed.step + 9
    assert step < 100_000
    killed.run(step, every=3)
    whole = new()
    whole.run(step, every=3)
    assert_same(whole, killed)


def test_an_interrupt_waits_for_the_end_of_the_step(tmp_path: Path) -> None:
    whole, stopped = new(), new(interrupted_at(13))
    whole.run(40, every=10)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 13; run again"):
        stopped.run(40, every=10, checkpoint=tmp_path / "state.pt")
    assert signal.getsignal(signal.SIGINT) == handler
    assert stopped.step == 13
    restarted = new()
    restarted.run(40, every=10, checkpoint=tmp_path / "state.pt")  # another process
    assert_same(whole, restarted)
    whole, stopped = new(), new(interrupted_at(13))
    whole.run(40, every=10)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(40, every=10)
    stopped.run(40, every=10)  # the same cell once more
    assert_same(whole, stopped)


def test_a_second_interrupt_comes_at_once() -> None:
    training = new(interrupted_at(13, times=2))
    with pytest.raises(KeyboardInterrupt):
        training.run(40)
    assert training.step == 12


def test_an_interrupt_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        training = new(interrupted_at(3))
        training.run(6)
    finally:
        signal.signal(signal.SIGINT, before)
    assert training.step == 6


def test_between_far_reports_a_checkpoint_is_saved_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a worker process that is killed loses half a minute, not half an hour."""
    monkeypatch.setattr(loop, "_PAUSE", 0.0)
    path, whole, resumed = tmp_path / "state", new(), new()

    def fails(model: nn.Module, images: Tensor) -> Tensor:
        if stopped.step == 13:
            raise OSError("killed")
        return negative_elbo(model, images)

    stopped = new(fails)
    with pytest.raises(OSError, match="killed"):
        stopped.run(40, every=40, checkpoint=path)
    resumed.load(path)
    assert 0 < resumed.step <= 13
    whole.run(40, every=40)
    resumed.run(40, every=40, checkpoint=path)
    assert_same(whole, resumed)


def test_the_pause_between_checkpoints_grows_with_what_they_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    pauses = loop.Pauses()
    for cost, due in ((1.0, 30.0), (10.0, 200.0)):
        with pauses.saving():
            now[0] += cost
        now[0] += due - 0.1
        assert not pauses.over()
        now[0] += 0.2
        assert pauses.over()


def test_an_interrupt_in_the_step_that_diverges_arrives(tmp_path: Path) -> None:
    """Else the training would be a row, and the grid would go on with the next one."""
    interrupted = interrupted_at(13)

    def loss(model: DiscreteVAE, images: Tensor) -> Tensor:
        value = interrupted(model, images)
        return value if training.step < 12 else value * math.nan

    training = new(loss)
    with pytest.raises(KeyboardInterrupt, match="stopped: the loss"):
        training.run(40, checkpoint=tmp_path / "state")
    with pytest.raises(TrainingDivergedError):  # without a stop
        training.run(40)


def test_an_interrupt_in_the_callback_of_the_last_step_arrives(tmp_path: Path) -> None:
    training = new()
    with pytest.raises(KeyboardInterrupt):
        training.run(
            6, callback=lambda _: signal.raise_signal(signal.SIGINT), checkpoint=tmp_path / "state"
        )
    assert training.step == 6
    again = new()
    again.load(tmp_path / "state")
    assert again.step == 6


def test_a_training_that_has_begun_does_not_go_back_to_a_checkpoint(tmp_path: Path) -> None:
    whole, older, begun = new(), new(), new()
    older.run(3, checkpoint=tmp_path / "state")
    begun.run(5)
    begun.run(10, checkpoint=tmp_path / "state")
    whole.run(5)
    whole.run(10)
    assert_same(whole, begun)


@pytest.mark.parametrize(("norm", "exploded"), [(0.99e6, False), (1.01e6, True), (INF, True)])
def test_weights_have_exploded_from_a_million_on(norm: float, exploded: bool) -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, norm)
    assert loop.exploded(layer) == exploded


def test_runs_in_another_thread() -> None:
    whole, threaded = new(), new()
    whole.run(10)
    thread = threading.Thread(target=threaded.run, args=(10,))
    thread.start()
    thread.join()
    assert_same(whole, threaded)


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path: Path) -> None:
    count = 0

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return negative_elbo(model, images) * (float("nan") if count == 24 else 1)

    training = new(loss)
    with pytest.raises(TrainingDivergedError, match=r"loss is nan at step 24.*rate \(it is 0.05\)"):
        training.run(40, every=10, checkpoint=tmp_path / "state.pt")
    assert training.step == 23
    assert all(weight.isfinite().all() for weight in training.model.parameters())
    last = new()
    last.load(tmp_path / "state.pt")
    assert last.step == 20


def test_a_gradient_that_is_not_finite_stops_before_the_step() -> None:
    count = 0

    def loss(model: DiscreteVAE, images: Tensor) -> Tensor:
        nonlocal count
        count += 1
        zero = model.decoder[0].bias.sum() * 0
        return negative_elbo(model, images) + (zero.abs().sqrt() if count == 5 else 0)

    training = new(loss)
    with pytest.raises(TrainingDivergedError, match="gradient is nan at step 5"):
        training.run(10)
    assert all(weight.isfinite().all() for weight in training.model.parameters())


def test_weights_that_overflow() -> None:
    with pytest.raises(TrainingDivergedError):
        new(learning_rate=1e30).run(50)


def looking_later(loss=negative_elbo, **settings) -> Training:
    """As on a GPU: losses are looked at with each report."""
    training = new(loss, **settings)
    training._looks_later = True
    return training


@pytest.mark.parametrize("clip", [None, 0.5])
def test_looking_at_the_losses_later_changes_nothing(tmp_path: Path, clip: float | None) -> None:
    now, later = new(clip=clip), looking_later(clip=clip)
    now.run(25, every=10)
    later.run(25, every=10)
    for a, b in zip(now.model.parameters(), later.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert [entry["step"] for entry in later.history] == [10, 20, 25]
    for one, other in zip(now.history, later.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    later.run(28, every=10)
    later.save(tmp_path / "state.pt")
    resumed = looking_later(clip=clip)
    resumed.load(tmp_path / "state.pt")
    assert_same(resumed, later)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_looked_at_later_a_loss_may_be_narrow_and_have_the_shape_1(dtype: torch.dtype) -> None:
    """And the norm of its gradient be more than float16 holds."""

    def loss(model: nn.Linear, x: Tensor) -> Tensor:
        return (1e5 * model(x).mean()).to(dtype).mul(1e-3).reshape(1)

    training = Training(
        nn.Linear(1, 1), loss, torch.full((4, 1), 1e4), batch_size=2, learning_rate=1e-12
    )
    with torch.no_grad():
        training.model.weight.fill_(1e-9)
        training.model.bias.fill_(0.0)
    training._looks_later = True
    training.run(2, every=1)
    assert [entry["step"] for entry in training.history] == [1, 2]


def test_after_a_bad_first_step_nothing_is_left_of_it() -> None:
    """A momentum that no step has filled would be whatever lies in memory."""
    calls = 0

    def loss(model: DiscreteVAE, images: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return negative_elbo(model, images) * (float("nan") if calls == 1 else 1.0)

    bad = looking_later(loss)
    with pytest.raises(TrainingDivergedError, match="at step 1:"):
        bad.run(1)
    assert not bad.optimizer.state
    assert bad.step == 0
    bad.run(3)
    assert all(p.isfinite().all() for p in bad.model.parameters())


def test_reports_may_come_at_any_steps(tmp_path: Path) -> None:
    whole, parts = new(), new()
    whole.run(20, every=[2, 3, 11])
    assert [entry["step"] for entry in whole.history] == [2, 3, 11, 20]
    parts.run(11, every=(2, 3), checkpoint=tmp_path / "state.pt")
    resumed = new()
    resumed.run(20, every=[2, 3, 11], checkpoint=tmp_path / "state.pt")
    assert_same(resumed, whole)
    for wrong, error in (([], ValueError), ([0], ValueError), (1.5, TypeError), ("3", TypeError)):
        with pytest.raises(error, match="every: expected"):
            new().run(20, every=wrong)


@pytest.mark.parametrize("what", ["loss", "norm of the gradient"])
def test_found_later_the_weights_are_still_those_before_the_bad_step(what: str) -> None:
    calls = 0

    def loss(model: DiscreteVAE, images: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        value = negative_elbo(model, images)
        if calls != 24:
            return value
        zero = model.decoder[0].bias.sum() * 0
        return value * float("nan") if what == "loss" else value + zero.abs().sqrt()

    good, bad = new(), looking_later(loss)
    good.run(23, every=10)
    with pytest.raises(TrainingDivergedError, match=f"the {what} is (nan|inf) at step 24"):
        bad.run(60, every=10)
    assert calls == 30
    assert bad.step == 23
    for a, b in zip(good.model.parameters(), bad.model.parameters(), strict=True):
        assert torch.equal(a, b)
    momentum = [[s["momentum_buffer"] for s in t.optimizer.state.values()] for t in (good, bad)]
    for a, b in zip(*momentum, strict=True):
        assert torch.equal(a, b)


def test_other_errors_are_not_called_divergence() -> None:
    def loss(model: nn.Module, images: Tensor) -> Tensor:
        raise ValueError("a mistake in the loss")

    with pytest.raises(ValueError, match="a mistake in the loss"):
        new(loss).run(1)


def test_a_checkpoint_is_never_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = new()
    training.run(5)
    training.save(tmp_path / "state.pt")
    before = (tmp_path / "state.pt").read_bytes()

    def full(file: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    training.run(6)
    with pytest.raises(OSError, match="No space left"):
        training.save(tmp_path / "state.pt")
    assert (tmp_path / "state.pt").read_bytes() == before
    assert os.listdir(tmp_path) == ["state.pt"]


def flipped(content: bytes) -> bytes:
    """One bit of the last tensor is another one."""
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"nonsense",
        lambda content: content[:2000],
        lambda content: content[:-1],
        lambda content: content + b"x",
        flipped,
        lambda content: content.replace(b"losses", b"lasses"),
        lambda content: pickle.dumps({"settings": 1}),
    ],
)
def test_a_damaged_checkpoint_is_set_aside(tmp_path: Path, damage) -> None:
    path = tmp_path / "state.safetensors"
    training, whole = new(), new()
    training.run(3)
    training.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=r"is damaged or of another kind .*start anew"):
        new().load(path)
    anew = new()
    with pytest.warns(DamagedFileWarning, match=rf"{path.name} is damaged .* It is now .*damaged"):
        anew.run(10, every=5, checkpoint=path)
    whole.run(10, every=5)
    assert_same(anew, whole)
    assert path.exists()
    assert path.with_name("state.safetensors.damaged").exists()


class Trap:
    """Pickled, it is a file that makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("dump", [pickle.dump, torch.save])
def test_no_load_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dump) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, trap = tmp_path / "state.safetensors", tmp_path / "trap"
    with path.open("wb") as file:
        dump(Trap(trap), file)
    with pytest.warns(DamagedFileWarning):
        new().run(5, checkpoint=path)
    assert not trap.exists()
    package = Path(gumbelrao_edu.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    assert not [text for text in texts if re.search(r"torch\.load\(|pickle\.load|np\.load\(", text)]


def test_a_checkpoint_of_another_run(tmp_path: Path) -> None:
    new().save(tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"other settings: learning_rate 0.05, not 0.1; remove"):
        new(learning_rate=0.1).run(10, checkpoint=tmp_path / "state.pt")


def test_a_checkpoint_of_an_older_class_without_a_buffer(tmp_path: Path) -> None:
    """It is refused before a weight is changed; without such a buffer old files stay good."""
    path = tmp_path / "state.safetensors"
    old = new()
    old.run(3, every=3, checkpoint=path)
    training = new()
    assert training.settings == old.settings
    training.model.register_buffer("running_mean", torch.zeros(2))
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    with pytest.raises(
        OtherSettingsError, match=r"running_mean missing, not of shape \(2,\); remove it to start"
    ):
        training.run(10, checkpoint=path)
    after = training.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    new().load(path)


def test_a_checkpoint_of_another_precision(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    new().run(3, every=3, checkpoint=path)
    training = new()
    training.model.double()
    with pytest.raises(OtherSettingsError, match=r"torch\.float32, not torch\.float64"):
        training.run(10, checkpoint=path)


def test_settings_that_are_tensors_or_no_number_are_compared(tmp_path: Path) -> None:
    """By their numbers: a tensor has no single truth, and NaN is not equal to itself."""
    path = tmp_path / "state.safetensors"
    about = {"taus": torch.tensor([0.1, 0.5]), "limit": math.nan, "of": [{"rate": (1, 2.0)}, None]}
    new(about=about).run(3, checkpoint=path)
    again = new(about={**about, "taus": about["taus"].clone()})
    again.run(5, checkpoint=path)
    assert again.step == 5
    for other in (
        {"taus": torch.tensor([0.1, 0.6])},
        {"taus": torch.tensor([0.1, 0.5], dtype=torch.float64)},
        {"taus": 0.1},
        {"limit": 1.0},
        {"of": [{"rate": (1, 3.0)}, None]},
        {"of": [{"rate": (1, 2.0)}]},
    ):
        with pytest.raises(OtherSettingsError, match=f"{next(iter(other))}.*, not .*remove it"):
            new(about={**about, **other}).run(5, checkpoint=path)
    nearly = torch.tensor([0.100001, 0.5])  # printed as the other is
    with pytest.raises(OtherSettingsError, match="about has other numbers; remove it"):
        new(about={**about, "taus": nearly}).run(5, checkpoint=path)


def test_a_checkpoint_of_another_kind_of_device(tmp_path: Path) -> None:
    """A generator of a GPU has a state of 16 bytes."""
    training = new()
    training.run(3)

    class OfAGpu:
        def get_state(self) -> Tensor:
            return torch.zeros(16, dtype=torch.uint8)

    training._generators[1] = OfAGpu()  # type: ignore[call-overload]
    training.save(tmp_path / "state")
    other = new()
    before = [p.clone() for p in other.model.parameters()]
    with pytest.raises(OtherSettingsError, match="another kind of device; remove it"):
        other.load(tmp_path / "state")
    assert other.step == 0
    for a, b in zip(before, other.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_second_interrupt_in_a_step_ends_the_training(tmp_path: Path) -> None:
    """What is left of the step is not the state of any step, and nothing goes on from it."""

    def twice(model: DiscreteVAE, images: Tensor) -> Tensor:
        if training.step == 7:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return negative_elbo(model, images)

    training = new(twice)
    ends_in_its_eighth_step(training, tmp_path / "state.safetensors", KeyboardInterrupt)


def test_an_error_in_a_step_ends_the_training(tmp_path: Path) -> None:
    """Its minibatch is used up, though the second time it would not fail."""

    def fails_once(model: DiscreteVAE, images: Tensor) -> Tensor:
        if training.step == 7 and not failed:
            failed.append(True)
            raise OSError("no room")
        return negative_elbo(model, images)

    failed: list[bool] = []
    training = new(fails_once)
    ends_in_its_eighth_step(training, tmp_path / "state.safetensors", OSError)


def ends_in_its_eighth_step(training: Training, path: Path, error: type[BaseException]) -> None:
    """It does not go on, and a new one does from its checkpoint."""
    with pytest.raises(error):
        training.run(20, every=5, checkpoint=path)
    with pytest.raises(RuntimeError, match=r"middle of a step, after 7 whole.*make a new Training"):
        training.run(20, every=5, checkpoint=path)
    resumed, whole = new(), new()
    resumed.run(20, every=5, checkpoint=path)
    whole.run(20, every=5)
    assert_same(resumed, whole)


def test_after_an_error_in_a_report_a_training_goes_on() -> None:
    """The step is whole."""
    reported, whole = new(), new()

    def report(training: Training) -> None:
        if training.step == 10:
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        reported.run(20, every=5, callback=report)
    reported.run(20, every=5)
    whole.run(20, every=5)
    assert_same(reported, whole)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"batch_size": 51}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"batch_size": 2.0}, TypeError),
    ],
)
def test_bad_batch_sizes(settings: dict, error: type[Exception]) -> None:
    with pytest.raises(error, match="batch_size: expected"):
        new(**settings)


def square(model, x):
    return model(x).square().mean()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"model": None}, TypeError, "model: expected a module, got NoneType"),
        ({"loss": 3}, TypeError, "loss: expected a function, got int"),
        ({"examples": [1, 2, 3]}, TypeError, "examples: expected a tensor, or what has a length"),
        ({"examples": iter([1])}, TypeError, "examples: expected a tensor, or what has a length"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate: expected a number, got str"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate: expected a finite number"),
        ({"momentum": None}, TypeError, "momentum: expected a number, got NoneType"),
        ({"weight_decay": "0"}, TypeError, "weight_decay: expected a number, got str"),
        ({"clip": "1"}, TypeError, "clip: expected a number, got str"),
        ({"seed": 1.5}, TypeError, "seed: expected a whole number, got float"),
        ({"seed": 2**70}, ValueError, r"seed: expected a number from −2\^63 to"),
        ({"generators": torch.Generator()}, TypeError, "generators: expected a sequence of"),
        ({"generators": [0]}, TypeError, "generators: expected torch.Generators, got int"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_begins(settings, error, message) -> None:
    given = {"model": nn.Linear(1, 1), "loss": square, "examples": torch.ones(9, 1)}
    with pytest.raises(error, match=message):
        Training(**{**given, "batch_size": 3, "learning_rate": 0.1, **settings})


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (lambda model, x: 3.0, TypeError, "loss: expected a function that returns a tensor, got 3"),
        (lambda model, x: model(x), ValueError, r"got torch.float32 of shape \(3, 1\)"),
        (lambda model, x: model(x).sum() > 0, ValueError, "a single real number .* torch.bool"),
        (lambda model, x: model(x).sum().detach(), ValueError, "got one without a gradient"),
        (lambda model, x: torch.zeros(1, requires_grad=True).sum(), ValueError, "one of others"),
    ],
)
def test_a_loss_that_says_nothing_of_the_parameters(loss, error, message) -> None:
    training = Training(nn.Linear(1, 1), loss, torch.ones(9, 1), batch_size=3, learning_rate=0.1)
    with pytest.raises(error, match=message):
        training.run(1)


@pytest.mark.parametrize("name", ["folder", ""])
def test_a_folder_is_no_checkpoint_and_stays(tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    with pytest.raises(ValueError, match=f"checkpoint: expected a file, got the folder '{name}'"):
        new().run(5, checkpoint=name)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "mine"]


def test_a_callback_may_note_numpy_numbers(tmp_path) -> None:
    def note(training: Training) -> None:
        root = np.sqrt(training.history[-1]["loss"])  # a NumPy number
        extras = {"many": [np.longdouble(root), np.int64(3), np.bool_(True)], "name": np.str_("a")}
        training.history[-1] |= {"root": root, **extras, "pair": (1, root), "at": torch.ones(2)}

    whole, broken = new(), new()
    whole.run(30, every=10, callback=note, checkpoint=tmp_path / "whole")
    broken.run(20, every=10, callback=note, checkpoint=tmp_path / "c.pt")
    resumed = new()
    resumed.run(30, every=10, callback=note, checkpoint=tmp_path / "c.pt")
    for row, other in zip(resumed.history, whole.history, strict=True):
        assert torch.equal(row.pop("at"), other.pop("at"))
    assert resumed.history == whole.history
    assert {type(value) for value in whole.history[0]["many"]} == {float, int, bool}
    assert type(whole.history[0]["root"]) is float
    assert_same(resumed, whole)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.ones(3),
            r"history\[\d\]\['noted'\]: expected a number.* got ndarray; give its .tolist",
        ),
        ([1.0, {2.0}], r"history\[\d\]\['noted'\]\[1\]: .* got set"),
        (Path("a"), r"got PosixPath|got WindowsPath"),
        (lambda: 0, "got function"),
        (torch.Size([1]), "got Size"),
        (np.clongdouble(1), "got clongdouble"),
        (torch.ones(1, dtype=torch.complex128), "a file can hold, got one of torch.complex128"),
        (torch.ones(1, device="meta"), "a file can hold, got one without numbers"),
        (torch.eye(2).to_sparse(), "expected a dense tensor, got torch.sparse_coo"),
        (
            torch.nested.nested_tensor([torch.ones(1)], layout=torch.jagged),
            "expected a dense tensor, got a nested one",
        ),
    ],
)
def test_what_cannot_be_loaded_again_is_refused_when_it_is_noted(value, message, tmp_path) -> None:
    path = tmp_path / "c.pt"
    new().run(5, every=5, checkpoint=path)
    before, training = path.read_bytes(), new()

    def note(training: Training) -> None:
        training.history[-1]["noted"] = value

    with pytest.raises(TypeError, match=message):
        training.run(10, every=5, callback=note, checkpoint=path)
    assert path.read_bytes() == before
    free = new()  # what is not saved may be anything
    free.run(10, every=10, callback=note)
    with pytest.raises(TypeError, match=message):
        free.save(path)
    assert free.history[0]["noted"] is value


def test_numpy_settings_are_saved_and_loaded(tmp_path) -> None:
    settings = {"learning_rate": np.float64(0.05), "seed": np.int64(3), "clip": np.float32(1.0)}
    new(**settings).run(10, every=5, checkpoint=tmp_path / "c.pt")
    resumed, whole = new(**settings), new(learning_rate=0.05, seed=3, clip=1.0)
    resumed.run(20, every=5, checkpoint=tmp_path / "c.pt")
    whole.run(20, every=5)
    assert_same(resumed, whole)


def test_a_model_whose_state_needs_code_is_refused_before_a_file_is_written(tmp_path) -> None:
    class Odd(nn.Linear):
        def get_extra_state(self) -> object:
            return Path("a")

        def set_extra_state(self, state: object) -> None:
            pass

    square = lambda model, x: model(x).square().mean()  # noqa: E731
    training = Training(Odd(1, 1), square, torch.ones(9, 1), batch_size=3, learning_rate=0.1)
    with pytest.raises(
        TypeError, match=r"state\['model'\]\['_extra_state'\]: expected .* got PosixPath"
    ):
        training.run(5, every=5, checkpoint=tmp_path / "c.pt")
    assert not any(tmp_path.iterdir())
