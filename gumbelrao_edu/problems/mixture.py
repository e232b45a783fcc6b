"""A choice of vectors whose sum comes near to a target, and its training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .._checks import check_count, check_k, check_kind, check_seed
from ..diagnostics.draws import temperatures
from ..estimators.gumbel_rao import gumbel_rao
from ._arguments import check_positive


@dataclass(frozen=True)
class Mixture:
    """Choose one vector from each of several sets, so that their sum comes near to a target.

        f(D) = ‖Σ_v W_v D_v − t‖²

    There is a choice with f = 0. The expectation of f is known without sampling, as the choices are
    independent given their probabilities.

    Attributes:
        vectors: W, `[dim, choices, classes]`.
        target: t, `[dim]`.
    """

    vectors: Tensor
    target: Tensor

    @classmethod
    def draw(cls, choices: int = 20, classes: int = 8, *, seed: int = 0) -> Mixture:
        """Draw one: vectors of 2 · choices normal numbers each, and a target within reach.

        Args:
            choices: how many vectors are chosen.
            classes: how many there are to choose each from.
            seed: of the draws.

        Raises:
            TypeError, ValueError: if a number has the wrong type or range.

        Example:
            >>> Mixture.draw(3, 2).vectors.shape
            torch.Size([6, 3, 2])
        """
        choices, classes = check_count(choices, "choices"), check_count(classes, "classes")
        generator = torch.Generator("cpu").manual_seed(check_seed(seed))
        shape = (2 * choices, choices, classes)
        vectors = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        vectors /= math.sqrt(choices)
        index = torch.randint(classes, (choices,), generator=generator, device="cpu")
        best = F.one_hot(index, classes)
        return cls(vectors, (vectors * best).sum((1, 2)))

    def __call__(self, d: Tensor) -> Tensor:
        """Return f(D), `[*batch]`, for D of shape `[*batch, choices, classes]`.

        Example:
            >>> mixture = Mixture.draw(3, 2)
            >>> mixture(torch.zeros(5, 3, 2)).shape
            torch.Size([5])
        """
        return (torch.einsum("mvn,...vn->...m", self.vectors, d) - self.target).square().sum(-1)

    def mean(self, logits: Tensor) -> Tensor:
        """Return E f(D) for D ~ softmax(logits), `[*batch]`: f of the mean, plus the variance.

        Example:
            >>> mixture = Mixture.draw(3, 2)
            >>> sure = torch.tensor([[50.0, 0.0]] * 3)
            >>> torch.allclose(mixture.mean(sure), mixture(sure.softmax(-1)))
            True
        """
        p = logits.softmax(-1)
        squares = torch.einsum("mvn,...vn->...", self.vectors.square(), p)
        means = torch.einsum("mvn,...vn->...mv", self.vectors, p)
        return self(p) + squares - means.square().sum((-2, -1))


@torch.enable_grad()
def train(
    mixture: Mixture,
    k: float,
    taus: Sequence[float],
    *,
    steps: int = 200,
    runs: int = 8,
    learning_rate: float = 0.3,
    seed: int = 1,
) -> Tensor:
    """Return E f(D) along gradient descent from equal probabilities.

    Args:
        mixture: what is minimised.
        k: K of `gumbel_rao`; 1 is ST-GS.
        taus: temperatures, each with runs of its own.
        steps: of each run.
        runs: for each temperature; the mean over them is returned.
        learning_rate: of each step, > 0.
        seed: of the draws, the same for every K.

    Returns:
        `[steps + 1, taus]`, with the value before the first step.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range.

    Example:
        >>> train(Mixture.draw(3, 2), 10, [0.1, 1.0], steps=5, runs=2).shape
        torch.Size([6, 2])
    """
    check_kind(mixture, Mixture, "mixture")
    k, taus = check_k(k), temperatures(taus)
    steps, runs = check_count(steps, "steps"), check_count(runs, "runs")
    learning_rate = check_positive(learning_rate, "learning_rate")
    generator = torch.Generator(mixture.vectors.device).manual_seed(check_seed(seed))
    tau = mixture.vectors.new_tensor(taus)[:, None, None]
    shape = (len(taus), runs, *mixture.vectors.shape[1:])
    theta = mixture.vectors.new_zeros(shape).requires_grad_()
    values = [mixture.mean(theta.detach())]
    for _ in range(steps):
        loss = mixture(gumbel_rao(theta, tau=tau, k=k, generator=generator)).sum()
        (gradient,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= learning_rate * gradient
        values.append(mixture.mean(theta.detach()))
    return torch.stack(values).mean(-1)
