"""Variances of ST-GS and Gumbel-Rao at many points of the simplex: exact, and from draws."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import estimators
from .._checks import check_count, check_generator, check_kind
from ..diagnostics import Terms, covariance_trace, exact_terms, variance
from ..quadrature import conditional_vjp
from ._arguments import check_probabilities
from .quadratic import QuadraticProgramme

# Without and with the last term of (2).
DERIVATIVES = {"fixed": "A held fixed", "whole": "whole derivative"}

_ROWS = 2**14  # draws made at a time


def exact_fields(programme: QuadraticProgramme, p: Tensor, tau: float) -> dict[str, Terms]:
    """Both terms of Proposition 3 at each point of the simplex, without sampling.

        inner = Σ_i p_i tr var[∇STGS | D = i],    outer = Σ_i p_i ‖∇GR(i) − E ∇GR‖²       (7, 13)

    The direct term ∂f(D, θ)/∂θ of the whole derivative is fixed by D: it changes var[∇GR] and
    leaves E[var[∇STGS | D]] as it is.

    Args:
        programme: the quadratic programme.
        p: points, `[points, n]`, off the singular lines; for up to 1024 classes.
        tau: τ between 1e-20 and 100.

    Returns:
        Terms `[points]` for each of `DERIVATIVES`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range, or A is singular
            at a point.

    Example:
        >>> from gumbelrao_edu.problems import simplex_grid
        >>> terms = exact_fields(QuadraticProgramme(), simplex_grid(3), tau=0.5)
        >>> gap(terms["fixed"], k=1000).min() > 0.2
        tensor(True)

    Source: Proposition 3.
    """
    check_kind(programme, QuadraticProgramme, "programme")
    check_probabilities(p, "points")
    logits, n = p.log(), p.shape[-1]
    fixed = exact_terms(lambda d: programme.loss(d, p), logits, tau)
    one_hot = torch.eye(n, dtype=p.dtype, device=p.device)[:, None].expand(n, *p.shape)
    classes = one_hot.argmax(-1)
    upstream = 2.0 * torch.einsum(
        "...i,...ij->...j", one_hot - programme.c.to(p), programme.matrix(p)
    )
    gr = conditional_vjp(upstream, logits.expand_as(one_hot), classes, tau)
    gr = gr + programme.direct_gradient(one_hot, logits)
    weights = p.T[..., None]
    mean = (weights * gr).sum(0)
    outer = (weights * (gr - mean).square()).sum((0, -1))
    whole = Terms(fixed.inner, outer, mean, programme.gradient(logits))
    return {"fixed": fixed, "whole": whole}


def gap(terms: Terms, k: float) -> Tensor:
    """log10 var[∇STGS] − log10 var[∇GRMCK], what Figures 1b to 1d show.

    Args:
        terms: from `exact_fields`.
        k: K, or `math.inf`.

    Returns:
        Of the shape of `terms.inner`.

    Raises:
        TypeError, ValueError: if `k` has the wrong type or range.

    Example:
        >>> import math
        >>> gap(Terms(torch.tensor(9.0), torch.tensor(1.0), torch.zeros(3)), k=math.inf)
        tensor(1.)

    Source: Proposition 3; Figures 1b to 1d.
    """
    return variance(terms, 1).log10() - variance(terms, k).log10()


@torch.enable_grad()
def monte_carlo(
    programme: QuadraticProgramme,
    p: Tensor,
    tau: float,
    *,
    k: int,
    num_samples: int,
    generator: torch.Generator | None = None,
) -> dict[str, dict[str, Tensor]]:
    """Variances of ST-GS and GR-MCK from draws, as the paper has them, with standard errors.

    Args:
        programme, p, tau: as for `exact_fields`.
        k: K of GR.
        num_samples: independent draws of each estimator at each point, at least 2.
        generator: source of randomness; the global one when None.

    Returns:
        For each of `DERIVATIVES` the columns `st_gs_mc`, `st_gs_se`, `gr_mc`, `gr_se`, `[points]`.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range, or A is singular
            at a point.

    Example:
        >>> from gumbelrao_edu.problems import simplex_grid
        >>> seeded = torch.Generator().manual_seed(0)
        >>> columns = monte_carlo(
        ...     QuadraticProgramme(), simplex_grid(3), 0.5, k=10, num_samples=50, generator=seeded
        ... )
        >>> sorted(columns["fixed"])
        ['gr_mc', 'gr_se', 'st_gs_mc', 'st_gs_se']

    Source: section 5.2.
    """
    check_kind(programme, QuadraticProgramme, "programme")
    check_probabilities(p, "points")
    num_samples = check_count(num_samples, "num_samples", least=2)
    check_generator(generator)
    device = p.device if generator is None else generator.device
    parts: dict[str, dict[str, list[Tensor]]] = {name: {} for name in DERIVATIVES}
    hypers: dict[str, tuple[str, dict[str, Any]]] = {
        "st_gs": ("st_gumbel_softmax", {"tau": tau}),
        "gr": ("gumbel_rao", {"tau": tau, "k": k}),
    }
    for points in torch.split(p, max(1, _ROWS // num_samples)):
        for label, (name, hyper) in hypers.items():
            # Single precision is ample here and twice as fast.
            theta = points.log().float().expand(num_samples, *points.shape)
            theta = theta.to(device).clone().requires_grad_()
            d = estimators.get(name).function(theta, generator=generator, **hyper)
            losses = programme.loss(d, theta.detach().softmax(-1))
            fixed = torch.autograd.grad(losses.sum(), theta)[0]
            whole = fixed + programme.direct_gradient(d, theta)
            for derivative, gradients in (("fixed", fixed), ("whole", whole)):
                for suffix, value in zip(
                    ("mc", "se"), covariance_trace(gradients.cpu()), strict=True
                ):
                    parts[derivative].setdefault(f"{label}_{suffix}", []).append(value)
    return {
        derivative: {column: torch.cat(values) for column, values in columns.items()}
        for derivative, columns in parts.items()
    }
