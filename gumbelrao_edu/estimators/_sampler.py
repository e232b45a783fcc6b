"""What a model draws its choices with, for any estimator of the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from .._checks import check_generator
from .._generators import Generators
from ..gumbel import computing_dtype, sample_one_hot
from ._registry import get

Joined = Callable[[Tensor, Sequence[int]], Tensor]


@dataclass(frozen=True)
class Sampler:
    """An estimator as models take it: a function from logits to samples, see `sampler`.

    Attributes:
        name: in the registry.
        hyper: hyper-parameters.
        generator: source of randomness; the global one when None.
        num_samples: S, how many samples under one loss the estimator wants when it is a
            score-function estimator; 0 when the sample carries the gradient.
    """

    name: str
    hyper: Mapping[str, Any]
    generator: torch.Generator | None
    num_samples: int

    def __call__(self, logits: Tensor) -> Tensor:
        """D or a relaxed sample, `[*batch, n]`, for logits `[*batch, n]`."""
        if self.num_samples:
            return sample_one_hot(logits, self.generator)
        sample: Tensor = get(self.name).function(logits, generator=self.generator, **self.hyper)
        return sample


def sampler(name: str, *, generator: torch.Generator | None = None, **hyper: Any) -> Sampler:
    """Return a function from logits to a sample, for a model that names no estimator.

    A plain callable from logits to samples will do as well, such as
    ``functools.partial(gumbel_rao, tau=0.5, k=10)``: its sample carries the gradient.

    Args:
        name: in the registry. For an estimator that maps logits to a sample it is that function;
            with a score-function estimator D is drawn without a gradient, and the model makes its
            loss of `num_samples` draws by `score_loss`.
        generator: source of randomness; the global one when None. Leave it out under activation
            checkpointing, which restores the state of the global one alone.
        **hyper: in place of those of the record's example.

    Returns:
        A `Sampler`.

    Raises:
        TypeError, ValueError: if a hyper-parameter is unknown or has the wrong type or range; when
            there is no such estimator, or it draws nothing (`exact`: the outcomes of a model are
            far too many to sum over).

    Example:
        >>> draw = sampler("gumbel_rao", tau=0.1, k=10)
        >>> draw(torch.zeros(5, 3)).sum(-1)
        tensor([1., 1., 1., 1., 1.])
        >>> draw.num_samples, sampler("rloo").num_samples
        (0, 4)
    """
    record = get(name)
    if record.kind == "enumeration":
        raise ValueError(f"name: expected an estimator that draws samples, got {name!r}")
    check_generator(generator)
    if "baseline" in hyper:
        raise ValueError(
            "baseline: expected none, for the model has its own (the mean of past losses; for rloo "
            "that of the other samples)"
        )
    hyper = {**record.example, **hyper}
    # What the first draw would refuse is refused here, for the batch that the temperatures have.
    shapes = [value.shape for value in hyper.values() if isinstance(value, Tensor)]
    try:
        batch = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise ValueError(
            f"hyper: expected tensors that broadcast against each other, got {shapes}"
        ) from None
    logits = torch.zeros(*batch, 2, dtype=torch.float32, device="cpu")
    record.loss(lambda d: d.sum(-1), logits, generator=torch.Generator("cpu"), **hyper)
    num_samples = 0 if record.samples else hyper.get("num_samples", 1)
    return Sampler(name, hyper, generator, num_samples)


def samples_of(estimator: Callable[[Tensor], Tensor]) -> int:
    """S of a score-function estimator; 0 for any other callable: its sample has the gradient.

    Example:
        >>> samples_of(sampler("reinforce")), samples_of(torch.nn.Softmax(-1))
        (1, 0)
    """
    return getattr(estimator, "num_samples", 0)


def joined(draws: Sequence[Callable[[Tensor], Tensor]]) -> Joined | None:
    """What draws for several models in one call, each with its own generator and τ, as if alone.

    Args:
        draws: the estimators of the models.

    Returns:
        A function of logits `[rows, n]`, one model's after the other's, and of how many rows each
        model has; it gives their samples. None if the estimators are no samplers, or differ in more
        than τ.
    """
    samplers = [draw for draw in draws if isinstance(draw, Sampler)]
    generators = [each.generator for each in samplers if each.generator is not None]
    tensors = any(isinstance(value, Tensor) for each in samplers for value in each.hyper.values())
    if len(generators) < len(draws) or tensors:
        return None
    alike = [(each.name, {**each.hyper, "tau": 1.0}) for each in samplers]
    taus = [each.hyper.get("tau", 1.0) for each in samplers]
    same = len(set(taus)) == 1
    if any(each != alike[0] for each in alike) or (not same and 0 in taus):  # 0 stands for a limit
        return None

    def draw(logits: Tensor, counts: Sequence[int]) -> Tensor:
        hyper, generator = samplers[0].hyper, cast(Any, Generators(generators, counts))
        if not same:
            of_model = torch.tensor(taus, dtype=computing_dtype(logits.dtype), device="cpu")
            of_row = of_model.repeat_interleave(torch.tensor(counts, device="cpu"))
            hyper = {**hyper, "tau": of_row.to(logits.device, non_blocking=True)}
        return replace(samplers[0], hyper=hyper, generator=generator)(logits)

    return draw
