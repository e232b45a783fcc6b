"""Many trainings in one program: models of one shape, whose steps are made together.

    weights, gradients, momenta       of all in one tensor each, of which a model holds its part;
                                      so are buffers named running_…, the others are one for all
    samples                           in one call, with the generator and τ of each model
    order of the data, reports        each training for itself, as `Training.run` does it

So each ends as it would alone, to rounding, and a step of many models takes hardly more operations
than a step of one. On a GPU small models leave most of the card idle; a CPU gains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..estimators import joined, samples_of
from .errors import OtherSettingsError, TrainingDivergedError
from .files import set_aside
from .loop import Callback, Pauses, Training, in_one_piece, interrupts_held, taken

if TYPE_CHECKING:
    from .run import Run

# Minibatches as one, for `vmap` the axis of the models in each part of it, and which rows of each
# model's logits something is drawn for, `[models, rows]` on the CPU; None for all.
Stacked = tuple[Any, Any, Tensor | None]
Stack = Callable[[Any, Tensor, Any], Stacked]


@dataclass(frozen=True)
class Together:
    """How runs of a grid are computed in one program, see `run_all`.

    Attributes:
        alike: gives what runs have in common that can be computed together, from a configuration.
        train: trains such runs, and gives for each what is left to do to its results.
    """

    alike: Callable[[dict[str, Any]], dict[str, Any]]
    train: Callable[[Sequence[Run]], list[Callable[[Run], dict[str, Any]]]]


def stack_tensors(examples: Tensor, index: Tensor, model: Any) -> Stacked:
    """Return minibatches of a tensor of examples as one, for `run_together`.

    Args:
        examples: of all trainings.
        index: which of them each model gets, `[models, B]`.
        model: the first one.

    Example:
        >>> whole, axis, rows = stack_tensors(torch.arange(9), torch.tensor([[0, 8], [5, 0]]), None)
        >>> whole.tolist(), axis, rows
        ([[0, 8], [5, 0]], 0, None)
    """
    return taken(examples, index), 0, None


def run_together(
    trainings: Sequence[Training],
    until: int,
    *,
    every: int | Collection[int] = 100,
    callbacks: Sequence[Callback],
    checkpoints: Sequence[Path],
    stack: Stack = stack_tensors,
) -> list[TrainingDivergedError | None]:
    """Train several models until step `until`, each as `Training.run` does.

    Args:
        trainings: with the same examples, loss and batch size, and with models of one class and one
            shape, whose attribute `estimator` draws the samples. They may differ in weights,
            `estimator` and the numbers of steps done.
        until, every: as for `Training.run`.
        callbacks: one for each training.
        checkpoints: one for each, saved to at the end, before an interrupt, and now and then; one
            of a run with other settings is set aside.
        stack: makes one of their minibatches, see `stack_tensors`.

    Returns:
        For each training None, or the error with which it diverged; the others went on. It is found
        with the next report of any of them; the weights are those before that step.

    Raises:
        ValueError: if the trainings cannot be computed together.
        KeyboardInterrupt: when interrupted; each has saved its checkpoint after a whole step.
        RuntimeError: when a second interrupt broke off an earlier call in the middle of a step.

    Example:
        >>> run_together([], 100, callbacks=[], checkpoints=[])
        []
    """
    _check(trainings)
    errors: dict[int, TrainingDivergedError] = {}
    for training, checkpoint in zip(trainings, checkpoints, strict=True):
        try:
            training.begin(until, every, checkpoint)
        except OtherSettingsError as other:
            set_aside(checkpoint, other.__cause__ or other)
    pauses = Pauses()
    with interrupts_held() as interrupted:
        while going := [
            i for i, each in enumerate(trainings) if each.step < until and i not in errors
        ]:
            with _as_one([trainings[i] for i in going], stack) as whole:
                while not any(i in errors or trainings[i].step == until for i in going):
                    with in_one_piece(trainings[i] for i in going):
                        whole.step()
                        reporting = [i for i in going if trainings[i].reports(until, every)]
                        due = pauses.over() or interrupted.is_set()
                        if looks := due or bool(reporting):
                            errors |= {going[at]: error for at, error in whole.look().items()}
                        for i in (i for i in reporting if i not in errors):
                            if error := _reported(trainings[i], until, every, callbacks[i]):
                                errors[i] = error
                    stop = looks and interrupted.is_set()
                    well = [i for i in going if i not in errors]
                    with pauses.saving() if due or stop else nullcontext():
                        for i in (i for i in well if due or stop or trainings[i].step == until):
                            trainings[i].save(checkpoints[i])
                    if stop:
                        raise KeyboardInterrupt(_STOPPED)
        if interrupted.is_set():  # while the last ones were saved
            raise KeyboardInterrupt(_STOPPED)
    return [errors.get(i) for i in range(len(trainings))]


def _reported(
    training: Training, until: int, every: int | Collection[int], callback: Callback
) -> TrainingDivergedError | None:
    try:
        training.report(until, every, callback)
    except TrainingDivergedError as error:
        return error
    return None


_STOPPED = "stopped after a whole step of all; run again to go on"


def _check(trainings: Sequence[Training]) -> None:
    """Raise what `run_together` says of trainings that do not fit together."""
    for name in ("parameters", "batch_size"):
        if len({str(training.settings[name]) for training in trainings}) > 1:
            raise ValueError(f"trainings: expected the same {name}, got several")
    if len({id(training.examples) for training in trainings}) > 1:
        raise ValueError("trainings: expected the same examples, got several")
    if len({(training.loss, type(training.model)) for training in trainings}) > 1:
        raise ValueError("trainings: expected one loss and one class of models, got several")
    for named in zip(*(training.model.named_buffers() for training in trainings), strict=True):
        (name, first), *others = named
        if not _runs(name) and not all(torch.equal(first, other) for _, other in others):
            raise ValueError("trainings: expected models with equal buffers, got others")
    if len({str(_plain(training.model)) for training in trainings}) > 1:
        raise ValueError(
            "trainings: expected models that differ in weights and `estimator` alone, got others"
        )


def _plain(model: nn.Module) -> list[Any]:
    """What else a model computes with: kinds of its parameters, modes, numbers and texts."""
    kinds = [(p.dtype, p.device, p.requires_grad) for p in model.parameters()]
    plain = [
        {key: x for key, x in vars(module).items() if isinstance(x, (bool, int, float, str))}
        for name, module in model.named_modules()
        if name.partition(".")[0] != "estimator"
    ]
    return [kinds, plain]


def _runs(name: str) -> bool:
    """Whether a step of the model changes this buffer of it, as torch names such buffers."""
    return name.rpartition(".")[2].startswith("running_")


@contextmanager
def _as_one(trainings: Sequence[Training], stack: Stack) -> Iterator[_Whole]:
    """Several trainings as one; afterwards each has its own weights again."""
    whole = _Whole(trainings, stack)
    try:
        yield whole
    finally:
        whole.part()


class _Whole:
    """Several trainings as one. Until `part`, models and optimizers hold views of its tensors."""

    def __init__(self, trainings: Sequence[Training], stack: Stack) -> None:
        self._trainings, self._stack = trainings, stack
        self._models: list[Any] = [training.model for training in trainings]
        self._loss = _WithLoss(self._models[0], trainings[0].loss)
        self._names = [f"model.{name}" for name, _ in self._models[0].named_parameters()]
        self._parameters = list(zip(*(model.parameters() for model in self._models), strict=True))
        self._weights = [torch.stack([*each]).detach() for each in self._parameters]
        self._momenta = [self._momentum_of(each) for each in self._parameters]
        for parameters, weights, momenta in self._tensors():
            for training, parameter, w, m in zip(
                trainings, parameters, weights, momenta, strict=True
            ):
                parameter.data = w
                if training.settings["momentum"] and parameter.requires_grad:
                    training.optimizer.state[parameter]["momentum_buffer"] = m
            weights.requires_grad_(parameters[0].requires_grad)
        self._running: dict[str, Tensor] = {}
        for name, _ in self._models[0].named_buffers():
            if _runs(name):
                own = [model.get_buffer(name) for model in self._models]
                self._running[f"model.{name}"] = whole = torch.stack(own)
                for buffer, part in zip(own, whole, strict=True):
                    buffer.data = part

        def setting(name: str) -> Tensor:
            values = [training.settings[name] for training in trainings]
            return self._weights[0].new_tensor([torch.inf if v is None else v for v in values])

        self._rate, self._momentum = setting("learning_rate"), setting("momentum")
        self._decay, self._clip = setting("weight_decay"), setting("clip")  # ∞ for no clip
        self._clipping = any(training.settings["clip"] is not None for training in trainings)
        self._bad = torch.zeros_like(self._rate, dtype=torch.bool)  # has diverged
        self._unread: list[Tensor] = []  # losses and norms of steps not looked at, [2, models]

    def _momentum_of(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Those that the optimizers have; 0 before the first step, which comes to the same."""
        momenta = []
        for training, parameter in zip(self._trainings, parameters, strict=True):
            state = training.optimizer.state.get(parameter, {})
            momenta.append(state.get("momentum_buffer", torch.zeros_like(parameter)))
        return torch.stack(momenta).detach()

    def _tensors(self) -> Iterator[tuple[Sequence[nn.Parameter], Tensor, Tensor]]:
        return zip(self._parameters, self._weights, self._momenta, strict=True)

    def part(self) -> None:
        """Give each model and optimizer tensors of its own."""
        for parameters in self._parameters:
            for training, parameter in zip(self._trainings, parameters, strict=True):
                parameter.data = parameter.data.clone()
                if state := training.optimizer.state.get(parameter):
                    state["momentum_buffer"] = state["momentum_buffer"].clone()
        for model in self._models:
            for name, buffer in model.named_buffers():
                if _runs(name):
                    buffer.data = buffer.data.clone()

    def step(self) -> None:
        """Make a step of each; nothing waits for a GPU to compute."""
        first = self._trainings[0]
        index = torch.stack([training.next_indices() for training in self._trainings])
        minibatches, axes, rows = self._stack(first.examples, index, first.model)
        stacked = {**dict(zip(self._names, self._weights, strict=True)), **self._running}
        with _drawing_as_one(self._models, rows) as refused:
            losses = torch.func.vmap(
                lambda own, x: functional_call(self._loss, own, (x,)), in_dims=(0, axes)
            )(stacked, minibatches)
        losses = losses.reshape(len(self._models))  # a loss may have the shape [1]
        for each in refused:
            losses = losses.masked_fill(each, torch.nan)
        for weights in self._weights:
            weights.grad = None
        # A loss depends on the weights of its own model: the gradient of the sum is that of each.
        torch.autograd.backward(losses.sum())
        self._descend(losses.detach())
        for training in self._trainings:
            training.step += 1

    @torch.no_grad()
    def _descend(self, losses: Tensor) -> None:
        """What `torch.optim.SGD` does, with the settings of each; who has diverged stays."""
        gradients = [weights.grad for weights in self._weights if weights.grad is not None]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
        self._unread.append(torch.stack([losses, norms]))
        self._bad |= ~(losses + norms).isfinite()
        rate, decay = (x.masked_fill(self._bad, 0.0) for x in (self._rate, self._decay))
        momentum = self._momentum.masked_fill(self._bad, 1.0)
        for _, weights, m in self._tensors():
            if (g := weights.grad) is None:
                continue
            column = (-1, *[1] * (g.dim() - 1))
            if self._clipping:
                g *= (self._clip / norms).clamp(max=1.0).view(column)
            g.masked_fill_(self._bad.view(column), 0.0).addcmul_(decay.view(column), weights)
            m.mul_(momentum.view(column)).add_(g)
            weights.addcmul_(rate.view(column), m, value=-1)

    def look(self) -> dict[int, TrainingDivergedError]:
        """Let each take in its losses; gives the errors of those that have diverged."""
        values, self._unread = self._unread, []
        errors = {}
        for i, seen in enumerate(torch.stack(values, -1).movedim(1, 0).mT.tolist()):
            try:
                self._trainings[i].take_in(seen)
            except TrainingDivergedError as error:
                errors[i] = error
        return errors


class _WithLoss(nn.Module):
    """The loss as a module, so that `functional_call` finds the weights of the model."""

    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, minibatch: Any) -> Tensor:
        return self.loss(self.model, minibatch)


@contextmanager
def _drawing_as_one(models: Sequence[Any], rows: Tensor | None) -> Iterator[list[Tensor]]:
    """In place of the first model's estimator, let one function draw for all models.

    Estimators have hyper-parameters and generators of their own: under `vmap` they would draw other
    numbers than alone. So they would for rows that are not theirs, see `Stacked`. Gives for each
    call the models whose logits no estimator takes, such as those of exploded weights.
    """
    draws = [model.estimator for model in models]
    draw_joined, refused = joined(draws), []

    def draw_all(logits: Tensor) -> Tensor:
        """Samples for `[models, *batch, n]`."""
        each, n = logits.shape[1:-1].numel(), logits.shape[-1]
        flat, counts, own = logits.reshape(-1, n), [each] * len(models), None
        if rows is not None:
            mine = rows[:, :each]
            counts, own = mine.sum(1).tolist(), mine.flatten().nonzero().squeeze(1)
            if len(own) == 0:  # nothing but what fills up
                return torch.zeros_like(logits)
            own = own.to(logits.device, non_blocking=True)
            flat = flat[own]
        strange = ~flat.detach().amax(-1).isfinite()
        flat = flat.masked_fill(strange.unsqueeze(-1), 0.0)
        everywhere = strange.new_zeros(len(models) * each)
        everywhere = strange if own is None else everywhere.index_copy(0, own, strange)
        refused.append(everywhere.view(len(models), -1).any(1))
        if draw_joined is not None:
            samples = draw_joined(flat, counts)
        else:
            parts = zip(draws, torch.split(flat, counts), strict=True)
            shape = logits.shape[1:] if own is None else (-1, n)
            samples = torch.cat(
                [draw(part.reshape(shape)).reshape(-1, n) for draw, part in parts if len(part)]
            )
        if own is not None:
            samples = torch.zeros_like(logits).view(-1, n).index_copy(0, own, samples)
        return samples.view(logits.shape)

    def draw(logits: Tensor) -> Tensor:
        sample: Tensor = _AsOne.apply(logits, draw_all)  # type: ignore[no-untyped-call]
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


class _AsOne(torch.autograd.Function):
    """A function that `vmap` calls with the logits of all models, outside of `vmap`."""

    @staticmethod
    def forward(logits: Tensor, draw_all: Callable[[Tensor], Tensor]) -> Tensor:
        raise NotImplementedError("only under vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int, None],
        logits: Tensor,
        draw_all: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, int]:
        return draw_all(logits.movedim(in_dims[0], 0)), 0
