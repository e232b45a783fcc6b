"""Gumbel-Rao as a distribution, for torch.distributions and Pyro."""

from __future__ import annotations

import math
from typing import Any

from torch import Size, Tensor
from torch.distributions import OneHotCategorical

from ._checks import Tau, check_k, check_tau
from .estimators.gumbel_rao import gumbel_rao


class GumbelRaoCategorical(OneHotCategorical):
    """A one-hot categorical whose `rsample` carries the Gumbel-Rao gradient.

        D ~ softmax(θ),    backward: equation (10), or (7) for K = ∞

    As `torch.distributions.OneHotCategoricalStraightThrough`, with another gradient.

    Args:
        probs, logits: one of them, `[*batch, n]`.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch`.
        k: K, the number of draws given D, or `math.inf`.
        validate_args: as in torch.distributions.

    Raises:
        TypeError, ValueError: for arguments of another kind, shape or range.

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
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args)
        check_k(k)
        check_tau(tau, self.batch_shape)
        self.tau, self.k = tau, k

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(GumbelRaoCategorical, _instance)  # type: ignore[no-untyped-call]
        new.tau, new.k = self.tau, self.k
        return super().expand(batch_shape, _instance=new)  # type: ignore[no-untyped-call]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples `[*sample_shape, *batch, n]` with the Gumbel-Rao gradient."""
        return gumbel_rao(
            self.logits.expand(self._extended_shape(Size(sample_shape))),
            tau=self.tau,
            k=self.k,
        )
