"""Gumbel-Rao as a distribution, for torch.distributions and Pyro; relaxed samples' density."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import OneHotCategorical, register_kl

from ._checks import Tau, check_floating, check_generator, check_logits, check_tau, holds
from .estimators.gumbel_rao import Noise, check_gumbel_rao, gumbel_rao
from .gumbel import centred, computing_dtype, sample_one_hot


class GumbelRaoCategorical(OneHotCategorical):
    """A one-hot categorical whose `rsample` carries the Gumbel-Rao gradient.

        D ~ softmax(θ),    backward: equation (10), or (7) for K = ∞

    As `torch.distributions.OneHotCategoricalStraightThrough`, with another gradient. For Pyro it
    needs the mixin of all its distributions:
    ``class P(GumbelRaoCategorical, TorchDistributionMixin): pass``. A class of probability exactly
    0 is never drawn, whether `probs` has a 0 there or `logits` −∞; entropy and `kl_divergence` from
    this to another one have finite gradients there.

    Args:
        probs, logits: one of them, `[*batch, n]`.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch`. It is not learned:
            a tensor that requires a gradient is refused. With K = ∞ it lies between 1e-20 and 100,
            or is the number 0, see `gumbel_rao`.
        k: K, the number of draws given D, or, for up to 1024 classes, `math.inf`.
        noise: how the K draws belong together, see `gumbel_rao`.
        generator: source of randomness; the global one when None.
        validate_args: as in torch.distributions. The arguments above are always checked.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> import torch
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = GumbelRaoCategorical(logits=logits, tau=0.5).rsample([100])
        >>> (sample @ torch.tensor([1.0, 2.0, 3.0])).mean().backward()

    Source: Paulus, Maddison & Krause (2021).
    """

    has_rsample = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        *,
        tau: Tau = 0.5,
        k: int | float = math.inf,
        noise: Noise = "iid",
        generator: torch.Generator | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("probs, logits: expected one of them, got both or none")
        if logits is not None:
            check_logits(logits)
            # Beside a large common offset the parent's logarithm of the sum loses its digits.
            logits = logits - logits.detach().amax(-1, keepdim=True)
        else:
            # torch would make logits of them that are finite where a probability is 0.
            probs = check_probs(probs)
            never = probs == 0
            logits = probs.masked_fill(never, 1.0).log().masked_fill(never, -torch.inf)
        super().__init__(None, logits, validate_args)
        tau, k = check_gumbel_rao(tau, k, noise, self.batch_shape + self.event_shape)
        check_generator(generator, self._param.device)
        self.tau, self.k, self.noise, self.generator = tau, k, noise, generator

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(GumbelRaoCategorical, _instance)  # type: ignore[no-untyped-call]
        for name in ("tau", "k", "noise", "generator"):
            setattr(new, name, getattr(self, name))
        return super().expand(batch_shape, _instance=new)  # type: ignore[no-untyped-call]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples `[*sample_shape, *batch, n]` with the Gumbel-Rao gradient."""
        return gumbel_rao(
            self._theta(sample_shape),
            tau=self.tau,
            k=self.k,
            noise=self.noise,
            generator=self.generator,
        )

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples `[*sample_shape, *batch, n]` without a gradient."""
        return sample_one_hot(self._theta(sample_shape), self.generator)

    def _theta(self, sample_shape: Any) -> Tensor:
        theta: Tensor = self.logits
        return theta.expand(self._extended_shape(Size(sample_shape)))


@register_kl(GumbelRaoCategorical, OneHotCategorical)  # type: ignore[no-untyped-call,untyped-decorator]
def _kl(p: GumbelRaoCategorical, q: OneHotCategorical) -> Tensor:
    """KL(p ‖ q) = Σ_i p_i log(p_i / q_i); what p never draws has no part, nor in the gradient."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"q: expected {p.event_shape[0]} classes, as p has, got {q.event_shape[0]}"
        )
    never = p.probs == 0
    # Torch has a finite number for log 0, and 0 for the exponential of one that is too small.
    zero = (q.probs == 0) & (q.logits > math.log(torch.finfo(q.logits.dtype).tiny))
    log_q = q.logits.masked_fill(zero, -torch.inf)
    ratio = p.logits.masked_fill(never, 0.0) - log_q.masked_fill(never, 0.0)
    kl: Tensor = (p.probs * ratio).sum(-1)
    return kl


def check_probs(probs: Any) -> Tensor:
    """A floating tensor `[*batch, n]` of finite numbers from 0; each row has one above."""
    check_floating(probs, "probs")
    if probs.dim() == 0 or probs.shape[-1] == 0:
        raise ValueError(f"probs: expected shape [*batch, n] with n >= 1, got {tuple(probs.shape)}")

    def valid(p: Tensor) -> Tensor:
        total = p.to(computing_dtype(p.dtype)).sum(-1)
        return (p >= 0).all(-1) & total.isfinite() & (total > 0)

    if not holds(valid, probs):
        raise ValueError(
            "probs: expected numbers from 0, in each row one above 0, "
            "got NaN, infinity, a negative number or a row of zeros"
        )
    checked: Tensor = probs
    return checked


def concrete_log_prob(sample: Tensor, logits: Tensor, *, tau: Tau) -> Tensor:
    """The log density of a Gumbel-Softmax (concrete) sample, on the simplex.

        p(x) = (n − 1)! τ^(n−1) Π_i [ exp(θ_i) x_i^(−τ−1) / Σ_j exp(θ_j) x_j^(−τ) ]

    with respect to dx_1 … dx_{n−1}, the last entry being 1 less the others. A class that never
    occurs counts neither for n nor in the products; where x is not 0 there, the density is 0.

    Args:
        sample: x = softmax_τ(θ + G), `[*batch, n]`, each entry of a possible class above 0 (a
            sample at a low τ may have exact zeros: in its dtype the density is not known there).
        logits: θ, `[*batch, n]` or broadcast to it; −inf marks a class that never occurs.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch`.

    Returns:
        log p(x), `[*batch]`, differentiable in each argument.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> concrete_log_prob(torch.tensor([0.25, 0.75]), torch.zeros(2), tau=1.0)
        tensor(0.)

    Source: Maddison, Mnih & Teh (2017), The concrete distribution, equation (10).
    """
    check_logits(logits)
    check_floating(sample, "sample")
    try:
        shape = torch.broadcast_shapes(sample.shape, logits.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        shape = torch.Size()
    if not shape or sample.shape[-1:] != logits.shape[-1:]:
        raise ValueError(
            f"sample: expected shape [*batch, n] that goes with the shape {tuple(logits.shape)} "
            f"of the logits, got {tuple(sample.shape)}"
        )
    tau = check_tau(tau, shape[:-1])
    dtype = computing_dtype(torch.promote_types(sample.dtype, logits.dtype))
    theta, x = centred(logits.to(dtype)).expand(shape), sample.to(dtype).expand(shape)
    possible = theta > -torch.inf
    if not holds(lambda x, possible: (x > 0) | ~possible, x, possible):
        raise ValueError("sample: expected entries above 0 for the classes that can occur")
    rounding = max(1e-3, x.shape[-1] * torch.finfo(sample.dtype).eps)
    if not holds(lambda x: (x.sum(-1) - 1).abs() <= rounding, x):
        raise ValueError("sample: expected entries that sum to 1")
    t = torch.as_tensor(tau, dtype=dtype, device=x.device)
    n = possible.sum(-1).to(dtype)
    log_x = x.masked_fill(~possible, 1.0).log()
    theta = theta.masked_fill(~possible, 0.0)
    scores = theta - t.unsqueeze(-1) * log_x
    total = scores.masked_fill(~possible, -torch.inf).logsumexp(-1)
    each = (scores - log_x - total.unsqueeze(-1)).masked_fill(~possible, 0.0)
    log_p = n.lgamma() + (n - 1) * t.log() + each.sum(-1)
    outside = (~possible & (x != 0)).any(-1)
    return log_p.masked_fill(outside, -torch.inf).to(sample.dtype)
