"""Every estimator on one loss: bias, variance, MSE, direction, time and evaluations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import estimators as registry
from .._checks import (
    check_count,
    check_function,
    check_generator,
    check_k,
    check_logits,
    check_number,
    check_real,
    check_several,
    check_temperature,
    without_gradient,
)
from ..estimators.exact import exact
from ..gumbel import sample_one_hot
from ..quadrature import MAX_CLASSES, MAX_TABLE_TAU, MIN_TABLE_TAU
from ..surrogate import gradients_of
from .moments import Measured, covariance_trace, measured
from .samples import Loss, enumerated_gradient

MAX_VALUES = 2**16  # values of the variables under one loss that are enumerated
MAX_NUMBERS = 2**22  # in the samples of one chunk
MAX_HELD = 2**28  # in what is held at once for the reference; 2 GiB in double precision
RLOO_SAMPLES = 16  # of one gradient of the reference, where it is sampled
TESTS = 1000  # of whether f is a sum over the variables
ROWS = 1024  # of a Gram matrix at a time


@dataclass(frozen=True)
class Result:
    """What was measured of one estimator with one setting; each number with its standard error.

    Attributes:
        estimator: the name in the registry.
        hyper: its hyper-parameters.
        bias2: ‖E∇ − ∇exact‖², without bias itself, so that it may come out below 0.
        variance: trace of the covariance matrix of one gradient.
        cosine: between one gradient and the exact one, on average.
        seconds: for one gradient, drawn with others in one batch.
        evaluations: of f for one gradient.
        failed: why there are no numbers (they are NaN then); empty otherwise.
    """

    estimator: str
    hyper: Mapping[str, Any]
    bias2: Measured
    variance: Measured
    cosine: Measured
    seconds: Measured
    evaluations: int
    failed: str = ""

    @property
    def call(self) -> str:
        """As one would write it: gumbel_rao(tau=0.5, k=10)."""
        return f"{self.estimator}({', '.join(f'{k}={v}' for k, v in self.hyper.items())})"

    def mse(self, m: float) -> Measured:
        """Of the mean of m gradients: ‖bias‖² + variance / m.

        Without bias itself, like `bias2`: where the MSE is small against its standard error, the
        estimate may come out below 0.

        Args:
            m: at least 1; math.inf leaves ‖bias‖².

        Returns:
            The MSE and its standard error.

        Raises:
            TypeError, ValueError: if `m` has the wrong type or range.

        Example:
            >>> nothing = Measured(0.0, 0.0)
            >>> result = Result("zgr", {}, nothing, Measured(6.0, 0.75), nothing, nothing, 1)
            >>> result.mse(3)
            Measured(value=2.0, standard_error=0.25)
        """
        m = m if m == math.inf else check_number(m, "m")
        if m < 1:
            raise ValueError(f"m: expected at least 1, got {m}")
        return Measured(
            self.bias2.value + self.variance.value / m,
            math.hypot(self.bias2.standard_error, self.variance.standard_error / m),
        )

    def cells(self, batch_sizes: Sequence[int]) -> list[str]:
        """What a table says of it beside its name; of one that failed, why.

        Args:
            batch_sizes: numbers m of gradients in a mean whose MSE is shown.

        Returns:
            bias², variance, each MSE, cosine, µs and evaluations of f.

        Raises:
            TypeError, ValueError: if one of `batch_sizes` has the wrong type or range.

        Example:
            >>> nothing = Measured(0.0, 0.0)
            >>> result = Result("zgr", {}, nothing, Measured(6.0, 0.75), nothing, nothing, 1)
            >>> result.cells([3])
            ['0 ± 0', '6 ± 0.8', '2 ± 0.2', '0 ± 0', '0 ± 0', '1']
        """
        if self.failed:
            return [self.failed]
        micro = Measured(1e6 * self.seconds.value, 1e6 * self.seconds.standard_error)
        numbers = [self.bias2, self.variance, *map(self.mse, batch_sizes), self.cosine, micro]
        return [*map(str, numbers), f"{self.evaluations:,}"]


@dataclass(frozen=True)
class Comparison:
    """What `compare` has measured; `str` of it is a table.

    Attributes:
        results: one for each estimator and setting.
        exact: the exact gradient, or what stands for it, in float64.
        reference: where `exact` comes from, in words.
        num_samples: gradients drawn for each result.
        batch_sizes: the numbers m of gradients in a mean that the table shows.
    """

    results: tuple[Result, ...]
    exact: Tensor = field(repr=False)
    reference: str
    num_samples: int
    batch_sizes: tuple[int, ...]

    @property
    def squared_norm(self) -> float:
        """‖∇exact‖²"""
        return self.exact.square().sum().item()

    @property
    def recommendation(self) -> str:
        """Which has the lowest MSE when each may evaluate f equally often; one line.

        No gradient at all has the MSE ‖∇exact‖². Where the lowest is not below half of it, this is
        said, and the direction decides: an estimate of nearly 0 is no use. No MSE is below 0, so a
        ‖bias‖² that was measured below 0 counts as 0.
        """
        if self.squared_norm == 0:
            return "The exact gradient is 0 here: there is nothing to estimate."
        parts: list[tuple[str, list[int]]] = []
        for evaluations in self.batch_sizes:
            choice = self._best(evaluations)
            if parts and parts[-1][0] == choice:
                parts[-1][1].append(evaluations)
            else:
                parts.append((choice, [evaluations]))
        said = [
            f"{counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "") + f": {choice}"
            for choice, counts in parts
        ]
        return "Lowest MSE by the number of evaluations of f: " + "; ".join(said) + "."

    def _best(self, evaluations: int) -> str:
        able = [r for r in self.results if not r.failed and r.evaluations <= evaluations]
        if not able:
            return "none"
        errors = {r.call: _no_less(r).mse(evaluations / r.evaluations) for r in able}
        best = min(errors, key=lambda call: errors[call].value)
        value, error = errors[best]
        if value >= self.squared_norm / 2:
            towards = max(able, key=lambda result: result.cosine.value)
            return (
                f"none below half of ‖∇exact‖², the highest cosine has {towards.call}, "
                f"{towards.cosine.value:.2g}"
            )
        near = [
            call
            for call, other in errors.items()
            if call != best and other.value - value < 2 * math.hypot(error, other.standard_error)
        ]
        if not near:
            return best
        shown = ", ".join(near) if len(near) <= 2 else f"{len(near)} others"
        return f"{best} (within the errors: {shown})"

    def table(self) -> list[dict[str, Any]]:
        """One dictionary for each result; `_se` is the standard error of the number before it.

        Returns:
            What `pandas.DataFrame` and `csv.DictWriter` take.

        Example:
            >>> found = compare(lambda d: d[..., 0], torch.zeros(2), estimators="exact")
            >>> found.table()[0]["estimator"]
            'exact()'
        """
        rows = []
        for result in self.results:
            row: dict[str, Any] = {"estimator": result.call}
            named = {
                "bias2": result.bias2,
                "variance": result.variance,
                **{f"mse_{m}": result.mse(m) for m in self.batch_sizes},
                "cosine": result.cosine,
                "seconds": result.seconds,
            }
            for name, (value, error) in named.items():
                row[name], row[f"{name}_se"] = value, error
            row["evaluations"] = result.evaluations
            row["failed"] = result.failed
            rows.append(row)
        return rows

    def __str__(self) -> str:
        sizes = [f"MSE, m = {m:,}" for m in self.batch_sizes]
        head = ["estimator", "bias²", "variance", *sizes, "cosine", "µs", "evaluations of f"]
        lines = [head]
        for r in self.results:
            lines.append([r.call, *r.cells(self.batch_sizes)])
        widths = [max(len(line[i]) for line in lines if len(line) > 2) for i in range(len(head))]
        widths[0] = max(len(line[0]) for line in lines)
        text = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=False))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.caption, *text, self.recommendation])

    @property
    def caption(self) -> str:
        """Where the exact gradient comes from, and its size."""
        return f"Exact gradient: {self.reference}; ‖∇exact‖² = {self.squared_norm:.3g}."


def _no_less(result: Result) -> Result:
    """With 0 for a ‖bias‖² that was measured below it."""
    value, error = result.bias2
    return replace(result, bias2=Measured(max(value, 0.0), error))


def compare(
    f: Loss,
    logits: Tensor,
    *,
    tau: float | Sequence[float] = (0.1, 0.5, 1.0),
    k: float | Sequence[float] = (10, math.inf),
    estimators: str | Sequence[str] = "all",
    num_samples: int = 2000,
    batch_sizes: Sequence[int] = (1, 10, 100, 1000),
    reference_samples: int = 20_000,
    generator: torch.Generator | None = None,
) -> Comparison:
    """Measure estimators side by side on a loss of yours.

        ‖E∇ − ∇exact‖²,   tr cov[∇],   MSE(m) = bias² + variance / m,   E cos(∇, ∇exact)

    The exact gradient is enumerated where the variables under one loss have at most 2^16 values,
    which fit the memory; where they have more and f is a sum over the variables (2,000 random tests
    say so), it is enumerated variable by variable; else it is the mean of many gradients of RLOO,
    and its error is part of those given. `Comparison.reference` says which.

    Args:
        f: maps samples `[batch, *variables, n]` to losses `[batch]`, or to a loss for each of
            the leading variables `[batch, *leading]` that does not depend on the others.
        logits: θ, `[*variables, n]`; −inf marks a class that never occurs.
        tau: temperatures for the estimators that have one.
        k: numbers of inner samples for those that have them; `math.inf` is exact.
        estimators: names in the registry, or "all".
        num_samples: gradients to draw for each; the errors fall with their root.
        batch_sizes: numbers m of gradients in a mean whose MSE is shown.
        reference_samples: gradients of RLOO, of 16 samples each, where the exact one is sampled.
        generator: source of randomness; the global one when None.

    Returns:
        A `Comparison`: print it, or take its `results`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range; if f fails, or
            its losses have the wrong shape, no gradient in the sample, or are not finite; in
            `torch.inference_mode`.

    Example:
        >>> f = lambda d: (d @ torch.tensor([1.0, 2.0, 3.0])).sum(-1) ** 2
        >>> found = compare(f, torch.zeros(2, 3), tau=0.5, estimators=["reinforce", "gumbel_rao"])
        >>> [result.call for result in found.results]
        ['reinforce()', 'gumbel_rao(tau=0.5, k=10)', 'gumbel_rao(tau=0.5, k=inf)']
        >>> found.reference
        'enumeration of 9 values'

    Source: definition.
    """
    check_function(f)
    check_logits(logits)
    check_generator(generator, logits.device)
    num_samples = check_count(num_samples, "num_samples", least=2)
    reference_samples = check_count(reference_samples, "reference_samples", least=2)
    if logits.numel() == 0:
        raise ValueError(f"logits: expected at least one variable, got {tuple(logits.shape)}")
    batch_sizes = check_several(batch_sizes, "batch_sizes", check_count)
    settings = _settings(estimators, _one_or_more(tau, "tau", _tau), _one_or_more(k, "k", check_k))
    theta = logits.detach().clone()  # one made in inference mode could have no gradient
    with torch.enable_grad():
        loss = _Counted(f, theta)
        needs_gradient = any(registry.get(name).samples for name, _ in settings)
        lead = _probe(loss, theta, needs_gradient, generator)
        gradient, error, reference = _reference(loss, theta, lead, reference_samples, generator)
        if not gradient.isfinite().all():
            raise ValueError(
                "f: expected finite losses at all one-hot samples that occur, got NaN or infinity"
            )
        joint = theta.shape[len(lead) : -1].numel()
        why = [_out_of_reach(name, hyper, theta, joint) for name, hyper in settings]
        if all(why):
            raise ValueError(f"estimators: expected one that can be measured here, but {why[0]}")
        results = [
            _failed(name, hyper, reason)
            if reason
            else _measure(loss, theta, name, hyper, gradient, error, num_samples, generator)
            for (name, hyper), reason in zip(settings, why, strict=True)
        ]
    sizes = tuple(sorted(set(batch_sizes)))
    return Comparison(tuple(results), gradient, reference, num_samples, sizes)


# --- What is compared -----------------------------------------------------------------------------


def _one_or_more(
    value: float | Sequence[float], name: str, check: Callable[[Any, str], float]
) -> list[float]:
    """A number or several, each of them once."""
    alone = isinstance(value, str) or not isinstance(value, Iterable)
    alone |= getattr(value, "ndim", 1) == 0  # an array without an axis
    return [*dict.fromkeys(check_several([value] if alone else value, name, check))]


def _tau(value: Any, name: str) -> float:
    if isinstance(value, Tensor):
        raise TypeError(f"{name}: expected numbers, got a tensor")
    return check_temperature(value, name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected names, got {value!r}")
    return value


def _settings(
    estimators: str | Sequence[str], taus: list[float], ks: list[float]
) -> list[tuple[str, dict[str, Any]]]:
    """Names and hyper-parameters."""
    if isinstance(estimators, str):
        estimators = registry.names() if estimators == "all" else [estimators]
    names = check_several(estimators, "estimators", _text, "name")
    settings: list[tuple[str, dict[str, Any]]] = []
    for name in dict.fromkeys(names):
        if name not in registry.names():
            known = ", ".join(registry.names())
            raise ValueError(f"estimators: expected some of {known}, or 'all', got {name!r}")
        example = registry.get(name).example
        for tau in taus if "tau" in example else [math.nan]:
            for k in ks if "k" in example else [math.nan]:
                changes = {"tau": tau, "k": k}
                settings.append((name, {key: changes.get(key, example[key]) for key in example}))
    return settings


def _too_many(theta: Tensor, joint: int) -> str:
    """Why the values of `joint` variables are not enumerated; nothing where they are."""
    n = theta.shape[-1]
    if joint * math.log(n) > math.log(MAX_VALUES):
        return f"{n}^{joint} values are too many to enumerate"
    if n**joint * theta.numel() > MAX_HELD:
        return f"{n}^{joint} values of {theta.numel()} numbers are too many to hold"
    return ""


def _out_of_reach(name: str, hyper: Mapping[str, Any], theta: Tensor, joint: int) -> str:
    """Why a setting can't be measured; nothing where it can."""
    n = theta.shape[-1]
    if name == "exact" and (why := _too_many(theta, joint)):
        return why
    if hyper.get("k") == math.inf and n > MAX_CLASSES:
        return f"K = ∞ takes at most {MAX_CLASSES} classes"
    if hyper.get("k") == math.inf and not MIN_TABLE_TAU <= hyper["tau"] <= MAX_TABLE_TAU:
        return f"K = ∞ takes a temperature from {MIN_TABLE_TAU:g} to {MAX_TABLE_TAU:g}"
    return ""


def _failed(name: str, hyper: dict[str, Any], why: str) -> Result:
    """The row of an estimator without numbers."""
    nothing = Measured(math.nan, math.nan)
    return Result(name, hyper, nothing, nothing, nothing, nothing, 0, why)


# --- The loss -------------------------------------------------------------------------------------


class _Counted:
    """f for samples with any leading axes, which counts how many samples it has seen."""

    def __init__(self, f: Loss, theta: Tensor) -> None:
        self.f, self.shape, self.evaluations = f, theta.shape, 0

    def __call__(self, samples: Tensor) -> Tensor:
        axes = samples.shape[: samples.dim() - len(self.shape)]
        flat = samples.reshape(-1, *self.shape)
        self.evaluations += len(flat)
        try:
            losses = self.f(flat.clone())  # f may overwrite what it is given
        except Exception as error:
            raise ValueError(
                f"f: expected losses for samples of shape {tuple(flat.shape)}, "
                f"got {type(error).__name__}: {error}"
            ) from error
        check_real(losses, "f", "losses")
        variables = self.shape[:-1]
        if losses.dim() == 0 or losses.shape != (len(flat), *variables[: losses.dim() - 1]):
            raise ValueError(
                f"f: expected losses of shape ({len(flat)},) for samples of shape "
                f"{tuple(flat.shape)}, or one for each of the leading variables, "
                f"got {tuple(losses.shape)}"
            )
        return losses.reshape(*axes, *losses.shape[1:])


def _probe(
    loss: _Counted, theta: Tensor, needs_gradient: bool, generator: torch.Generator | None
) -> torch.Size:
    """Look at f before anything is computed; returns which variables have a loss of their own."""
    one, two = _uniform(theta, 2, 8, generator)
    if torch.is_inference_mode_enabled():
        raise ValueError(f"f: expected losses that are differentiable{without_gradient()}")
    leaf = one.requires_grad_(needs_gradient)
    losses = loss(leaf)
    if not losses.isfinite().all():
        raise ValueError("f: expected finite losses at one-hot samples, got NaN or infinity")
    if needs_gradient:
        if not (losses.is_floating_point() and losses.requires_grad):
            raise ValueError(
                f"f: expected losses with a gradient in the sample, got {losses.dtype} without one "
                f"(the estimators reinforce and rloo do without)"
            )
        (grad,) = gradients_of(losses, [leaf])
        if grad is None:
            raise ValueError("f: expected losses with a gradient in the sample, got none in it")
        if not grad.isfinite().all():
            raise ValueError(
                "f: expected a finite gradient at one-hot samples, got NaN or infinity"
            )
    one, losses = one.detach(), losses.detach().double()
    alone = torch.cat([loss(row).detach().double() for row in one.unsqueeze(1)])
    eps = torch.finfo(theta.dtype).eps
    # Beside their own rounding that of larger numbers, of which the losses may be what is left.
    tolerance = min(1e4 * eps, 0.05) * losses.abs().max().item() + 4 * eps
    if (alone - losses).abs().max() > tolerance:
        raise ValueError(
            "f: expected the loss of a sample to be the same alone and in a batch, got others "
            "(is f random, or does it mix the samples?)"
        )
    lead = losses.shape[1:]
    if lead:  # a loss of its own may depend on nothing else
        keep = _coins(losses.shape, theta.device, generator)
        spread = keep.reshape(*keep.shape, *[1] * (one.dim() - keep.dim()))
        mixed = loss(torch.where(spread, one, two)).detach().double()
        want = torch.where(keep, losses, loss(two).detach().double())
        if (mixed - want).abs().max() > tolerance:
            raise ValueError(
                f"f: expected a loss for each of {tuple(lead)} variables that depends on no other, "
                f"got one that does; return their sum, of shape (batch,)"
            )
    return lead


def _uniform(
    theta: Tensor, sets: int, count: int, generator: torch.Generator | None
) -> tuple[Tensor, ...]:
    """One-hot samples `[count, *variables, n]`, uniform over the classes that can occur."""
    even = torch.where(theta > -torch.inf, 0.0, -torch.inf).to(theta.dtype)
    return sample_one_hot(even.expand(sets, count, *theta.shape), generator).unbind(0)


def _coins(shape: torch.Size, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """True or false with equal probability, in the same way whatever the default dtype."""
    return torch.rand(shape, dtype=torch.float32, device=device, generator=generator) < 0.5


# --- The exact gradient ---------------------------------------------------------------------------


def _reference(
    loss: _Counted,
    theta: Tensor,
    lead: torch.Size,
    reference_samples: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor | None, str]:
    """The exact gradient; draws of it where it is sampled, else None; and where it comes from."""
    n, joint = theta.shape[-1], theta.shape[len(lead) : -1].numel()
    likely = F.one_hot(theta.argmax(-1), n).to(theta.dtype)
    base = loss(likely.unsqueeze(0))[0].detach().double()

    def beside(samples: Tensor) -> Tensor:
        """f less what it is at the most probable value, which changes no gradient but rounds less.

        Differences that are rounding of that are none: a constant has no gradient.
        """
        difference = loss(samples.to(theta.dtype)).double() - base
        return difference.masked_fill(difference.abs() <= 1e-13 * base.abs(), 0.0)

    if not (why := _too_many(theta, joint)):
        leaf = theta.double().requires_grad_()
        total = exact(beside, leaf).sum()
        (gradient,) = torch.autograd.grad(total, leaf)
        each = f" for each of {lead.numel()} losses" if lead else ""
        return gradient, None, f"enumeration of {n**joint:,} values{each}"
    if max(n, 2 * TESTS) * theta.numel() <= MAX_HELD and _is_sum(loss, theta, generator):
        tests = f"{2 * TESTS:,} random tests"
        found = f"enumeration variable by variable (f is a sum over them in {tests})"
        return _by_variable(beside, theta), None, found
    if reference_samples * theta.numel() > MAX_HELD:
        raise ValueError(
            f"logits, reference_samples: expected at most {MAX_HELD:,} numbers in the gradients "
            f"of the reference, got {reference_samples:,} of {theta.numel():,}"
        )
    sampled = {"num_samples": RLOO_SAMPLES}
    draws = _draws(beside, theta, "rloo", sampled, reference_samples, generator)
    stacked = torch.cat([chunk for chunk, _ in draws])
    found = (
        f"the mean of {reference_samples:,} gradients of RLOO with {RLOO_SAMPLES} samples each, "
        f"for {why}; its error is part of those given"
    )
    return stacked.mean(0).reshape(theta.shape), stacked, found


def _is_sum(loss: _Counted, theta: Tensor, generator: torch.Generator | None) -> bool:
    """Whether f(D) + f(D') stays the same when variables are exchanged between D and D'.

    Of any D that occur, and of those that occur often: what the variables do together may show in
    one of the two only.
    """
    one, two = _uniform(theta, 2, TESTS, generator)
    if not _same_when_exchanged(loss, one, two, generator):
        return False
    one, two = sample_one_hot(theta.expand(2, TESTS, *theta.shape), generator).unbind(0)
    return _same_when_exchanged(loss, one, two, generator)


def _same_when_exchanged(
    loss: _Counted, one: Tensor, two: Tensor, generator: torch.Generator | None
) -> bool:
    """To rounding, which has to be small beside what f varies by: else nothing is known."""
    swap = _coins(one.shape[:-1], one.device, generator)
    mixed = (torch.where(swap.unsqueeze(-1), a, b) for a, b in ((one, two), (two, one)))
    with torch.no_grad():
        before = loss(one).double() + loss(two).double()
        after = loss(next(mixed)).double() + loss(next(mixed)).double()
    rounding = 1e2 * torch.finfo(one.dtype).eps * (before.abs().max().item() + 1.0)
    spread = (before.max() - before.min()).item()
    difference = (before - after).abs().max().item()
    return difference <= min(rounding, 1e-3 * spread)


def _by_variable(loss: Loss, theta: Tensor) -> Tensor:
    """p_a (f_a − E f) for each variable, the others held fixed where they cannot matter."""
    n = theta.shape[-1]
    flat = theta.double().reshape(-1, n)
    base = F.one_hot(flat.argmax(-1), n).to(theta.dtype)
    values = torch.zeros_like(flat)
    for j in range(len(flat)):
        changed = base.expand(n, *base.shape).clone()
        changed[:, j] = torch.eye(n, dtype=theta.dtype, device=theta.device)
        with torch.no_grad():
            losses = loss(changed.reshape(n, *theta.shape))
        values[j] = losses.reshape(n, -1).sum(-1)
    return enumerated_gradient(flat.softmax(-1), values).reshape(theta.shape)


# --- The measurement ------------------------------------------------------------------------------


def _draws(
    loss: Loss,
    theta: Tensor,
    name: str,
    hyper: Mapping[str, Any],
    count: int,
    generator: torch.Generator | None,
) -> list[tuple[Tensor, float]]:
    """Chunks of gradients `[m, d]` in float64, and the seconds for one gradient in each."""
    record = registry.get(name)
    copies = hyper.get("num_samples", 1)
    if name == "exact":
        count = 3  # all the same; the fewest from which the error of a variance is known
    # At least four chunks, so that the time has a standard error.
    size = max(1, min(MAX_NUMBERS // max(1, copies * theta.numel()), -(-count // 4)))
    chunks = []
    for done in range(0, count, size):
        m = min(size, count - done)
        start = time.perf_counter()
        leaf = theta.expand(m, *theta.shape).clone().requires_grad_()
        losses = record.loss(loss, leaf, generator=generator, **hyper)
        drawn = torch.autograd.grad(losses.sum(), leaf)[0].cpu()  # waits for what was queued
        seconds = (time.perf_counter() - start) / m
        if not losses.isfinite().all():
            drawn = torch.full_like(drawn, math.nan)
        chunks.append((drawn.double().flatten(1), seconds))
    return chunks


def _measure(
    loss: _Counted,
    theta: Tensor,
    name: str,
    hyper: dict[str, Any],
    exact_gradient: Tensor,
    reference: Tensor | None,
    count: int,
    generator: torch.Generator | None,
) -> Result:
    """One row of the table."""
    before = loss.evaluations
    try:
        chunks = _draws(loss, theta, name, hyper, count, generator)
    except (TypeError, ValueError, RuntimeError) as error:
        if registry.get(name).kind != "relaxed":
            raise
        return _failed(name, hyper, f"{error} (at points inside the simplex)")
    drawn = sum(len(chunk) for chunk, _ in chunks)
    evaluations = round((loss.evaluations - before) / drawn)
    x, target = torch.cat([chunk for chunk, _ in chunks]), exact_gradient.cpu().flatten()
    seconds = (
        measured([s for _, s in chunks[1:]])
        if len(chunks) > 2
        else Measured(sum(s for _, s in chunks) / len(chunks), math.nan)
    )
    if not x.square().sum().isfinite():
        failed = "its losses or its gradient are not finite"
        if registry.get(name).kind == "relaxed":
            failed += " (at points inside the simplex)"
        row = _failed(name, hyper, failed)
        return replace(row, seconds=seconds, evaluations=evaluations)
    cosines = F.cosine_similarity(x, target.expand_as(x), dim=-1, eps=1e-300)
    return Result(
        name,
        hyper,
        bias2=_squared_bias(x, target, reference),
        variance=Measured(*(number.item() for number in covariance_trace(x))),
        cosine=measured(cosines),
        seconds=seconds,
        evaluations=evaluations,
    )


def _squared_bias(x: Tensor, target: Tensor, reference: Tensor | None) -> Measured:
    """‖x̄ − r‖² less what the errors of x̄ and r add to it, with its standard error.

    With the covariance V of x̄ − r and b its mean, the variance is 4 bᵀVb + 2 tr V². What is
    measured in place of b adds tr V² to bᵀVb. With V = YᵀY no d × d matrix is needed:

        tr V = ‖Y‖²,   bᵀVb = ‖Yb‖²,   tr V² = ‖YᵀY‖² = ‖YYᵀ‖²
    """
    b = x.mean(0) - target
    parts = [x] if reference is None else [x, reference.cpu()]
    y = torch.cat([(d - d.mean(0)) / math.sqrt(len(d) * (len(d) - 1)) for d in parts])
    side = y if len(y) < y.shape[1] else y.T
    squares = sum((rows @ side.T).square().sum().item() for rows in torch.split(side, ROWS))
    value = b.square().sum().item() - y.square().sum().item()
    along, least = (y @ b).square().sum().item(), 2 * squares
    return Measured(value, math.sqrt(max(4 * along - least, least)))
