"""Many trainings in one program: models of one shape, whose gradients are computed together.

    losses, gradients                 of all in one pass: batched products in place of small ones
    everything else                   each training for itself, as `Training.run` does it

So each has its own minibatches, draws, optimizer, history and checkpoint, and ends as it would
alone, to rounding. On a GPU small models leave most of the card idle; a CPU gains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..estimators import samples_of
from .errors import TrainingDivergedError
from .loop import Callback, Training, interrupts_held, norm_of

if TYPE_CHECKING:
    from .runs import Run

Draw = Callable[[Tensor], Tensor]
# Minibatches as one, for `vmap` the axis of the models in each part of it, and which rows of each
# model's logits something is drawn for, `[models, rows]`; None for all.
Stack = tuple[Any, Any, Tensor | None]


@dataclass(frozen=True)
class Together:
    """How runs of a grid are computed in one program, see `run_all`.

    Attributes:
        alike: gives what runs have in common that can be computed together, from a configuration.
        train: trains such runs, and gives for each what is left to do to its results.
    """

    alike: Callable[[dict[str, Any]], dict[str, Any]]
    train: Callable[[Sequence[Run]], list[Callable[[Run], dict[str, Any]]]]


def stack_tensors(minibatches: Sequence[Tensor], model: Any) -> Stack:
    """Return minibatches of equal shapes as one, for `run_together`.

    Args:
        minibatches: one for each model.
        model: the first of them.

    Example:
        >>> whole, axis, rows = stack_tensors([torch.zeros(5, 2), torch.ones(5, 2)], None)
        >>> whole.shape, axis, rows
        (torch.Size([2, 5, 2]), 0, None)
    """
    return torch.stack([*minibatches]), 0, None


def run_together(
    trainings: Sequence[Training],
    until: int,
    *,
    every: int = 100,
    callbacks: Sequence[Callback],
    checkpoints: Sequence[Path],
    stack: Callable[[Sequence[Any], Any], Stack] = stack_tensors,
) -> list[TrainingDivergedError | None]:
    """Train several models until step `until`, each as `Training.run` does.

    Args:
        trainings: with the same loss and batch size, and with models of one class and one shape,
            whose attribute `estimator` draws the samples. They may have done different numbers of
            steps.
        until, every: as for `Training.run`.
        callbacks, checkpoints: one for each training.
        stack: makes one of their minibatches, see `stack_tensors`.

    Returns:
        For each training None, or the error with which it diverged; the others went on.

    Raises:
        ValueError: if the trainings cannot be computed together.
        KeyboardInterrupt: when interrupted; each has saved its checkpoint after a whole step.

    Example:
        >>> run_together([], 100, callbacks=[], checkpoints=[])
        []
    """
    for name in ("parameters", "batch_size"):
        if len({str(training.settings[name]) for training in trainings}) > 1:
            raise ValueError(f"trainings: expected the same {name}, got several")
    if len({(training.loss, type(training.model)) for training in trainings}) > 1:
        raise ValueError("trainings: expected one loss and one class of models, got several")
    for buffers in zip(*(training.model.buffers() for training in trainings), strict=True):
        if not all(torch.equal(buffers[0], other) for other in buffers):
            raise ValueError("trainings: expected models with equal buffers, got others")
    errors: dict[int, TrainingDivergedError] = {}
    for training, checkpoint in zip(trainings, checkpoints, strict=True):
        training.begin(until, every, checkpoint)
    with interrupts_held() as interrupted:
        while going := [
            i for i, each in enumerate(trainings) if each.step < until and i not in errors
        ]:
            for i, (loss, norm) in zip(
                going, _gradients([trainings[i] for i in going], stack), strict=True
            ):
                training = trainings[i]
                try:
                    with training.explosions():
                        if isinstance(loss, ValueError):
                            raise loss
                    training.check_loss(loss)
                    training.descend(loss, norm)
                    training.report(until, every, callbacks[i], checkpoints[i])
                except TrainingDivergedError as error:
                    errors[i] = error
            if interrupted.is_set():
                for i in going:
                    if i not in errors:
                        trainings[i].save(checkpoints[i])
                raise KeyboardInterrupt("stopped after a whole step of all; run again to go on")
    return [errors.get(i) for i in range(len(trainings))]


def _gradients(
    trainings: Sequence[Training], stack: Callable[[Sequence[Any], Any], Stack]
) -> list[tuple[float | ValueError, float]]:
    """Leave the gradients of the next minibatches at the parameters; return losses and norms.

    In place of a loss stands what an argument check said of the logits of that model.
    """
    models = [training.model for training in trainings]
    parameters = [dict(model.named_parameters()) for model in models]
    stacked = {
        f"model.{name}": torch.stack([each[name] for each in parameters]) for name in parameters[0]
    }
    minibatches, axes, rows = stack([training.minibatch() for training in trainings], models[0])
    whole = _WithLoss(models[0], trainings[0].loss)
    with _drawing_apart(models, rows) as refused:
        losses = torch.func.vmap(
            lambda weights, x: functional_call(whole, weights, (x,)), in_dims=(0, axes)
        )(stacked, minibatches)
    for training in trainings:
        training.optimizer.zero_grad()
    # A loss depends on the weights of its own model: the gradient of the sum is that of each.
    torch.autograd.backward(losses.sum())
    norms = torch.stack([norm_of(training.gradients) for training in trainings])
    values = torch.stack([losses.detach(), norms], 1).tolist()  # the only wait for a GPU in a step
    return [(refused.get(i, loss), norm) for i, (loss, norm) in enumerate(values)]


class _WithLoss(nn.Module):
    """The loss as a module, so that `functional_call` finds the weights of the model."""

    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, minibatch: Any) -> Tensor:
        return self.loss(self.model, minibatch)


@contextmanager
def _drawing_apart(models: Sequence[Any], rows: Tensor | None) -> Iterator[dict[int, ValueError]]:
    """In place of the first model's estimator, let that of each model draw for it.

    Estimators have hyper-parameters and generators of their own: under `vmap` they would draw other
    numbers than alone. So they would for rows that are not theirs, see `Stack`. Gives what they
    refused, by the number of the model.
    """
    draws: list[Draw] = [model.estimator for model in models]
    refused: dict[int, ValueError] = {}

    def draw_all(logits: Tensor) -> Tensor:
        if rows is None:
            return torch.stack(draw_each(logits))
        own = rows[:, : logits.shape[1]]
        samples = torch.zeros_like(logits)
        samples[own] = torch.cat(draw_each(torch.split(logits[own], own.sum(1).tolist())))
        return samples

    def draw_each(logits: Iterable[Tensor]) -> list[Tensor]:
        samples = []
        for i, (draw, part) in enumerate(zip(draws, logits, strict=True)):
            try:
                samples.append(draw(part) if len(part) else part)
            except ValueError as error:  # exploded weights must not disturb the other models
                refused[i] = error
                samples.append(torch.zeros_like(part))
        return samples

    def draw(logits: Tensor) -> Tensor:
        sample: Tensor = _Apart.apply(logits, draw_all)  # type: ignore[no-untyped-call]
        return sample

    draw.num_samples = samples_of(draws[0])  # type: ignore[attr-defined]
    own = models[0].__dict__  # where a function may stand even for a layer
    before = own.get("estimator")
    own["estimator"] = draw
    try:
        yield refused
    finally:
        del own["estimator"]
        if before is not None:
            own["estimator"] = before


class _Apart(torch.autograd.Function):
    """A function that `vmap` calls with the logits of all models, outside of `vmap`."""

    @staticmethod
    def forward(logits: Tensor, draw_all: Draw) -> Tensor:
        raise NotImplementedError("only under vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int, None], logits: Tensor, draw_all: Draw
    ) -> tuple[Tensor, int]:
        return draw_all(logits.movedim(in_dims[0], 0)), 0
