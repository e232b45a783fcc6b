"""One training loop for all experiments: it can be stopped at any moment and goes on exactly."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._checks import check_count, check_function, check_number, check_seed, check_several
from .errors import DamagedFileError, OtherSettingsError, TrainingDivergedError
from .files import load_state, save_state, set_aside, storable, what_differs

Callback = Callable[["Training"], object]

_EXPLODED = 1e6  # norm of the weights; NaN and infinity are not below it either
_PAUSE = 30.0  # seconds between checkpoints, where no report comes first


class Examples(Protocol):
    """A tensor of examples, or whatever else has a length and takes a tensor of indices."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor, /) -> Any: ...


class Training:
    """Train a model by stochastic gradient descent with momentum.

    The order of the minibatches has its own generator: the same `seed` gives two estimators the
    same data. Each pass over the data is a new permutation; what does not fill a minibatch at the
    end of a pass is left out.

    Args:
        model: its parameters are trained.
        loss: gives the loss, a scalar, of the model on a minibatch.
        examples: a tensor `[N, ...]`, or an object with a length that takes a tensor of indices.
        batch_size: B.
        learning_rate, momentum, weight_decay: as in `torch.optim.SGD`.
        clip: largest norm of the gradient of all parameters together; a longer one is scaled
            down to it. None leaves gradients as they are.
        seed: of the order of the minibatches.
        generators: those that the loss draws from. They are saved and restored with the rest; the
            global generator is not.
        about: what else the result depends on, such as τ, by name; see `storable`. A checkpoint
            is resumed only if its `about` is the same.

    Attributes:
        step: number of steps done.
        history: one dictionary for each report: "step", and "loss", the mean since the last one.
            A callback may add entries to the newest one. With a checkpoint these have to be
            numbers, texts, None, tensors, or lists, tuples and dictionaries of them; NumPy's
            numbers become Python's.

    Raises:
        TypeError, ValueError: for a batch size that does not fit, a clip that is not positive, or
            what SGD refuses.

    Example:
        >>> model = torch.nn.Linear(1, 1)
        >>> square = lambda model, x: ((model(x) - 2 * x) ** 2).mean()
        >>> x = torch.linspace(-1, 1, 100).unsqueeze(-1)
        >>> training = Training(model, square, x, batch_size=10, learning_rate=0.1)
        >>> training.run(until=200)
        >>> training.step, round(model.weight.item(), 2)
        (200, 2.0)
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Any, Any], Tensor],
        examples: Examples,
        *,
        batch_size: int,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        clip: float | None = None,
        seed: int = 0,
        generators: Sequence[torch.Generator] = (),
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: expected a module, got {type(model).__name__}")
        if isinstance(examples, (list, tuple)) or not hasattr(examples, "__len__"):
            raise TypeError(
                f"examples: expected a tensor, or what has a length and takes a tensor of "
                f"indices, got {type(examples).__name__}"
            )
        batch_size = check_count(batch_size, "batch_size")
        if batch_size > len(examples):
            raise ValueError(
                f"batch_size: expected at most the {len(examples)} examples, got {batch_size}"
            )
        clip = None if clip is None else check_number(clip, "clip")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip: expected a positive number or None, got {clip}")
        check_function(loss, "loss")
        if not isinstance(generators, Sequence):
            raise TypeError(
                f"generators: expected a sequence of torch.Generators, got "
                f"{type(generators).__name__}"
            )
        for generator in generators:
            if not isinstance(generator, torch.Generator):
                raise TypeError(
                    f"generators: expected torch.Generators, got {type(generator).__name__}"
                )
        self.model, self.loss, self.examples = model, loss, examples
        self.settings = {
            "examples": len(examples),
            "batch_size": batch_size,
            "learning_rate": check_number(learning_rate, "learning_rate"),
            "momentum": check_number(momentum, "momentum"),
            "weight_decay": check_number(weight_decay, "weight_decay"),
            "clip": clip,
            "seed": check_seed(seed),
            "generators": len(generators),
            "parameters": ", ".join(
                f"{name} {[*parameter.shape]}" for name, parameter in model.named_parameters()
            ),
            "about": storable(about or {}, "about"),
        }
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            self.settings["learning_rate"],
            momentum=self.settings["momentum"],
            weight_decay=self.settings["weight_decay"],
            # Weights are read and written once a step, not once an operation.
            fused=all(p.device.type in ("cpu", "cuda") for p in model.parameters()),
        )
        self.batch_size: int = self.settings["batch_size"]
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self._generators = [torch.Generator("cpu").manual_seed(self.settings["seed"]), *generators]
        # Of this pass, the examples still to come.
        self._unseen = torch.empty(0, dtype=torch.int64, device="cpu")
        self._losses: list[float] = []  # since the last report
        # On a GPU a look at a number waits for all that was asked for before it: there the losses
        # are looked at when something is reported or saved, not at each step.
        self._looks_later = {p.device.type for p in model.parameters()} == {"cuda"}
        self._unread: list[Tensor] = []  # [loss, norm of the gradient] of steps not looked at
        self._bad: Tensor  # 1 if one of them was not finite
        self._torn = False  # in the middle of a step

    def run(
        self,
        until: int,
        *,
        every: int | Collection[int] = 100,
        callback: Callback | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        """Train until step `until`; nothing happens when that was reached before.

        An interrupt (the stop button, Ctrl-C) waits for the end of the step, saves the checkpoint
        and is then raised: `run` again goes on from there, to the same weights.

        Args:
            until: number of the last step.
            every: steps from one report to the next, or the numbers of the steps to report; the
                last step reports too.
            callback: called with this object after each report.
            checkpoint: a file that is resumed from if it exists and this object has done no step,
                and saved to after each report, or sooner where reports are more than half a minute
                apart.

        Raises:
            TrainingDivergedError: when the loss or its gradient is not finite (on a GPU it is said
                with the next report). The weights are those before that step, the checkpoint the
                last one saved. Also when the weights have exploded, so that the callback cannot
                use them.
            KeyboardInterrupt: when interrupted.
            TypeError, ValueError: if an argument has the wrong type or range; when the loss is no
                single real number with a gradient in the parameters, or the callback has noted
                what the checkpoint cannot hold.
            OtherSettingsError: when the checkpoint is of a run with other settings.
            RuntimeError: when a second interrupt or an error broke off an earlier call in the
                middle of a step.

        Warns:
            DamagedFileWarning: when the checkpoint is damaged. It is set aside, and the training
                begins anew.
        """
        self.begin(until, every, checkpoint)
        pauses = Pauses()
        with interrupts_held() as interrupted:
            while self.step < until:
                with in_one_piece([self]):
                    self._step()
                    self.report(until, every, callback)
                stop = interrupted.is_set()
                due = stop or self.reports(until, every) or pauses.over()
                if checkpoint is not None and due:
                    with pauses.saving():
                        self.save(checkpoint)
                if stop or (self.step == until and interrupted.is_set()):
                    raise KeyboardInterrupt(f"stopped after step {self.step}; run again to go on")

    def begin(
        self,
        until: int,
        every: int | Collection[int],
        checkpoint: str | os.PathLike[str] | None,
    ) -> None:
        """Go on from the checkpoint, if there is one; arguments as for `run`."""
        check_count(until, "until")
        if isinstance(every, Collection):
            check_several(every, "every", check_count)
        else:
            check_count(every, "every")
        if self._torn:
            raise RuntimeError(
                f"an interrupt or an error came in the middle of a step, after {self.step} whole "
                f"ones, and the state is lost: make a new Training, which goes on from its "
                f"checkpoint"
            )
        if checkpoint is not None and Path(checkpoint).is_dir():  # of "", too
            raise ValueError(f"checkpoint: expected a file, got the folder {str(checkpoint)!r}")
        if checkpoint is not None and self.step == 0 and os.path.exists(checkpoint):
            try:
                self.load(checkpoint)
            except DamagedFileError as damage:
                set_aside(Path(checkpoint), damage)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole state to a file, which is never half written.

        Raises:
            TypeError: when the state holds what `load` would refuse; the file stays as it was.
        """
        self._look()
        self._check_history()
        state = {
            "step": self.step,
            "history": self.history,
            "losses": self._losses,
            "unseen": self._unseen,
            "generators": [generator.get_state() for generator in self._generators],
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        save_state(Path(path), state, about=self.settings)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take up the state that `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            DamagedFileError: when the file was cut off or changed, or is not a checkpoint.
            OtherSettingsError: when it is of a run with other settings.
        """
        try:
            state = load_state(Path(path), about=self.settings)
            check_weights(self.model, state["model"], path)
            for generator, saved in zip(self._generators, state["generators"], strict=True):
                if saved.shape != generator.get_state().shape:
                    raise OtherSettingsError(f"{path} is of a training on another kind of device")
        except ValueError as error:
            raise type(error)(f"checkpoint: {error}; remove it to start anew") from error
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            if (momentum := kept.get("momentum_buffer")) is not None:
                # In the order of the weight in memory, in which the optimizer takes both.
                kept["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
        for generator, saved in zip(self._generators, state["generators"], strict=True):
            generator.set_state(saved)
        self._unseen, self._losses = state["unseen"], state["losses"]
        self.history, self.step = state["history"], state["step"]

    def _step(self) -> None:
        minibatch = taken(self.examples, self.next_indices())
        with self.explosions():
            loss = self.loss(self.model, minibatch)
        _check_scalar(loss)
        if not self._looks_later:
            self._check_loss(loss.item())
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        if not self.gradients:
            raise ValueError("loss: expected a function of the parameters, got one of others")
        if self._looks_later:
            self._descend_unseen(loss.detach(), norm_of(self.gradients))
        else:
            self._descend(loss.item(), norm_of(self.gradients).item())

    def next_indices(self) -> Tensor:
        """Draw which examples are in the next minibatch, `[B]`."""
        if len(self._unseen) < self.batch_size:
            self._unseen = torch.randperm(
                len(self.examples), generator=self._generators[0], device="cpu"
            )
        index, self._unseen = self._unseen[: self.batch_size], self._unseen[self.batch_size :]
        return index

    def _check_loss(self, value: float) -> None:
        """Raise `TrainingDivergedError` if the loss of the next step is not finite."""
        if not math.isfinite(value):
            raise self._diverged(f"the loss is {value}")

    @property
    def gradients(self) -> list[Tensor]:
        """Those that the parameters have."""
        return [p.grad for p in self.model.parameters() if p.grad is not None]

    def _descend(self, value: float, norm: float) -> None:
        """Make a step with the gradients that the parameters have.

        Args:
            value: of the loss.
            norm: of the gradients, see `norm_of`.

        Raises:
            TrainingDivergedError: if the norm is not finite.
        """
        if not math.isfinite(norm):
            raise self._diverged(f"the norm of the gradient is {norm}")
        if (clip := self.settings["clip"]) is not None and norm > clip:
            torch._foreach_mul_(self.gradients, clip / norm)
        self.optimizer.step()
        self._losses.append(value)
        self.step += 1

    def _descend_unseen(self, loss: Tensor, norm: Tensor) -> None:
        """`_descend`, with numbers that are left on the device.

        From the first step on whose loss or gradient is not finite, the weights stay as they are,
        until `_look` finds out.
        """
        values = torch.stack([loss.reshape(()), norm])  # of the wider dtype
        bad = 1.0 - values.isfinite().all().to(torch.float32)
        if self._unread:
            bad = torch.maximum(bad, self._bad)
        self._bad = bad
        # This is how torch.amp tells an optimizer with fused=True to do nothing.
        self.optimizer.found_inf = bad  # type: ignore[attr-defined]
        if (clip := self.settings["clip"]) is not None:
            torch._foreach_mul_(self.gradients, (clip / norm).clamp(max=1.0))
        self.optimizer.step()
        self._unread.append(values)
        self.step += 1

    def _look(self) -> None:
        """Take in the losses that were left on the device, see `take_in`."""
        values, self._unread = self._unread, []
        if values:
            self.take_in(torch.stack(values).tolist())

    def take_in(self, seen: Sequence[Sequence[float]]) -> None:
        """Note the losses of the last steps, which nobody has looked at yet.

        Args:
            seen: loss and norm of the gradient at each of them.

        Raises:
            TrainingDivergedError: if one of them is not finite. The number of the step is then that
                before it; so are the weights, for those who made the step have seen to that.
        """
        for left, (loss, norm) in zip(range(len(seen), 0, -1), seen, strict=True):
            if not math.isfinite(loss + norm):
                self.step -= left
                if self.step == 0:  # momenta of steps that were not made are no numbers to go on
                    self.optimizer.state.clear()
                self._check_loss(loss)
                raise self._diverged(f"the norm of the gradient is {norm}")
            self._losses.append(loss)

    @contextmanager
    def explosions(self) -> Iterator[None]:
        """Turn what an argument check says of exploded weights into `TrainingDivergedError`."""
        try:
            yield
        except ValueError as error:  # an argument check met what exploded weights have made
            if not exploded(self.model):
                raise
            raise self._diverged("the weights have exploded") from error

    def _diverged(self, what: str) -> TrainingDivergedError:
        return TrainingDivergedError(
            f"{what} at step {self.step + 1}: training has diverged. "
            f"Try a smaller learning rate (it is {self.settings['learning_rate']:g})."
        )

    def _check_history(self) -> None:
        for i, entry in enumerate(self.history):
            entry.update(storable(entry, f"history[{i}]"))

    def reports(self, until: int, every: int | Collection[int]) -> bool:
        """Whether this step is one to report; arguments as for `run`."""
        if isinstance(every, Collection):
            return self.step == until or self.step in every
        return self.step == until or self.step % every == 0

    def report(
        self,
        until: int,
        every: int | Collection[int],
        callback: Callback | None,
    ) -> None:
        """Report if this step is one to do so; arguments as for `run`."""
        if not self.reports(until, every):
            return
        self._look()
        mean = math.fsum(self._losses) / len(self._losses)
        self.history.append({"step": self.step, "loss": mean})
        self._losses = []
        if callback is not None:
            with self.explosions():
                callback(self)


class Pauses:
    """When the next checkpoint is due: half a minute after the last one, or later.

    Saving takes a twentieth of the time at most.

    Example:
        >>> pauses = Pauses()
        >>> pauses.over()
        False
    """

    def __init__(self) -> None:
        self._last, self._cost = time.monotonic(), 0.0

    def over(self) -> bool:
        """Whether it is due."""
        return time.monotonic() - self._last > max(_PAUSE, 20.0 * self._cost)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Note that checkpoints are saved here."""
        begun = time.monotonic()
        yield
        self._last = time.monotonic()
        self._cost = self._last - begun


def taken(examples: Any, index: Tensor) -> Any:
    """Return these examples; of a tensor on a GPU without waiting for it.

    Args:
        examples: see `Training`.
        index: on the CPU.

    Example:
        >>> taken(torch.arange(5), torch.tensor([4, 0]))
        tensor([4, 0])
    """
    if isinstance(examples, Tensor):
        index = index.to(examples.device, non_blocking=True)
    return examples[index]


def _check_scalar(loss: Any) -> None:
    """What a training can descend on."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss: expected a function that returns a tensor, got {loss!r}")
    if loss.numel() != 1 or not loss.is_floating_point():
        raise ValueError(
            f"loss: expected a single real number of a minibatch, got {loss.dtype} of shape "
            f"{tuple(loss.shape)}"
        )
    if not loss.requires_grad:
        raise ValueError("loss: expected a function of the parameters, got one without a gradient")


def check_weights(model: nn.Module, state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Raise `OtherSettingsError` if a model cannot take these weights; it is not changed.

    Another version of a class may have buffers that files of the older one lack.

    Args:
        model: any.
        state: what its `load_state_dict` is to be given.
        path: of the file that the state is from, for the error.

    Example:
        >>> check_weights(nn.Linear(2, 1), nn.Linear(2, 1, bias=False).state_dict(), "old")
        Traceback (most recent call last):
        gumbelrao_edu.training.errors.OtherSettingsError: old is of a model with other weights: ...
    """
    for described in (_shape, _type):
        known, wanted = (
            {name: described(value) for name, value in part.items()}
            for part in (state, model.state_dict())
        )
        if other := what_differs(known, wanted):
            raise OtherSettingsError(f"{path} is of a model with other weights: {other}")


def _shape(value: Any) -> str:
    return f"of shape {tuple(getattr(value, 'shape', ()))}"


def _type(value: Any) -> str:
    return str(getattr(value, "dtype", type(value)))


def exploded(model: nn.Module) -> bool:
    """Whether the weights of a model are so large, or NaN, that its training has diverged.

    Args:
        model: any.

    Example:
        >>> exploded(nn.Linear(2, 2))
        False
    """
    return not norm_of(model.parameters()).item() < _EXPLODED


def norm_of(tensors: Iterable[Tensor]) -> Tensor:
    """Return the norm of several tensors together, a scalar.

    Example:
        >>> norm_of([torch.tensor([3.0, 0.0]), torch.tensor(4.0)])
        tensor(5.)
    """
    norm: Tensor = torch.stack([tensor.detach().norm() for tensor in tensors]).norm()
    return norm


@contextmanager
def in_one_piece(trainings: Iterable[Training]) -> Iterator[None]:
    """A step: trainings that an interrupt or an error breaks off in it do not go on, see `begin`.

    The minibatch and some draws of that step are used up. After an error in a report the step is
    whole; before a step that diverges the weights are those that the error speaks of.

    Args:
        trainings: that make it.
    """
    before = [(training, training.step) for training in trainings]
    try:
        yield
    except TrainingDivergedError:
        raise
    except BaseException as error:
        for training, step in before:
            if isinstance(error, KeyboardInterrupt) or training.step == step:
                training._torn = True
        raise


@contextmanager
def interrupts_held() -> Iterator[threading.Event]:
    """Note a first interrupt in the event given; a second one comes at once.

    Half an optimizer step would leave weights from which no training can go on exactly. Signals
    reach the main thread only; elsewhere there is nothing to hold back. Nor is there where
    interrupts are ignored, as by a shell for what a script starts in the background.
    """
    interrupted = threading.Event()
    aside = threading.current_thread() is not threading.main_thread()
    if aside or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield interrupted
        return

    def note(number: int, frame: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    except Exception as error:
        if interrupted.is_set():  # a training that ends by itself must not swallow it
            raise KeyboardInterrupt(f"stopped: {error}") from error
        raise
    finally:
        signal.signal(signal.SIGINT, previous)
