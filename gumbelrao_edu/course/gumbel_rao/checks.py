"""Checks for the exercises of notebook 03."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from ...estimators.gumbel_rao import conditional_softmax
from ..verdict import (
    Wrong,
    advised,
    call,
    check,
    expect,
    expect_of,
    number,
    numbers,
    random,
    try_out,
)


def _vjp(s: Tensor, g: Tensor, tau: float) -> Tensor:
    return s * (g - (g * s).sum(-1, keepdim=True)) / tau


@check("the derivative of a softmax, without writing its matrix down.")
def check_softmax_vjp(function: Any) -> None:
    """Check exercise 1 of notebook 03: gᵀ d softmax_τ(x)/dx from s = softmax_τ(x).

    Args:
        function: maps s `[k, n]`, g `[n]` and τ to (1/τ) s ⊙ (g − ⟨g, s⟩), `[k, n]`.

    Returns:
        A `Verdict`.

    Example:
        >>> check_softmax_vjp(lambda s, g, tau: s * (g - (g * s).sum(-1, keepdim=True)) / tau)
        Right: the derivative of a softmax, without writing its matrix down.
    """
    rows = torch.tensor([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]], dtype=torch.float64)
    g = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for tau in (1.0, 0.25):
        inner = (g * rows).sum(-1, keepdim=True)
        mistakes = {
            "the factor 1/τ is missing.": _vjp(rows, g, 1.0),
            "you multiply by τ. Divide by it.": _vjp(rows, g, 1 / tau),
            "⟨g, s⟩ has to be subtracted: the entries of a softmax compete.": rows * g / tau,
            "⟨g, s⟩ is added. Subtract it.": rows * (g + inner) / tau,
            "the factor s belongs before both terms: s ⊙ (g − ⟨g, s⟩).": (rows * g - inner) / tau,
            "only one of the two terms is divided by τ; both are: put brackets around them.": (
                rows * g - rows * inner / tau
            ),
            "only one of the two terms is divided by τ: both are; put brackets around them.": (
                rows * g / tau - rows * inner
            ),
            "both factors s and 1/τ belong before both terms: s ⊙ (g − ⟨g, s⟩) / τ.": rows * g
            - inner / tau,
            "the factor s in front is missing.": (g - inner) / tau,
            "this is g ⊙ s ⊙ (1 − s): only the diagonal of the Jacobian. The other entries are "
            "−s_a s_b.": g * rows * (1 - rows) / tau,
            "⟨g, s⟩ is a sum over the classes of each row, not over everything: "
            ".sum(-1, keepdim=True).": rows * (g - (g * rows).sum()) / tau,
            "⟨g, s⟩ is a sum over the classes; you sum over the rows.": rows
            * (g - (g * rows).sum(0))
            / tau,
            "⟨g, s⟩ is a sum; you have a mean.": rows * (g - inner / 3) / tau,
            "you divide by τ twice.": _vjp(rows, g, tau) / tau,
            "the factor s stands there twice.": rows * _vjp(rows, g, tau),
            "s is a softmax already: do not take another one.": _vjp(
                (rows / tau).softmax(-1), g, tau
            ),
            "⟨g, s⟩ is the sum of g times s; you have s times s.": rows
            * (g - rows.square().sum(-1, keepdim=True))
            / tau,
            "⟨g, s⟩ is the sum of g times s; you have the sum of g.": rows * (g - g.sum()) / tau,
            "⟨g, s⟩ weights g by s; you have the mean of g.": rows * (g - g.mean()) / tau,
            "g and s have changed places: s ⊙ (g − ⟨g, s⟩).": g * (rows - inner) / tau,
            "⟨g, s⟩ is one number for each row; you have s.": rows * (g - rows) / tau,
            "the sum over the first part leaves g_b, and not 1.": rows * (1 - inner) / tau,
            "g is missing.": rows * (1 - rows) / tau,
            "g is missing: the rows of the Jacobian sum to 0.": torch.zeros_like(rows),
            "only one of the two parts is here: s_b g_b is missing.": rows * inner / tau,
            "only one of the two parts is here: s_b g_b is missing; the other has a minus.": (
                -rows * inner / tau
            ),
            "⟨g, s⟩ is that of the first row for all. Each row has its own.": (
                rows * (g - inner[0]) / tau
            ),
            "this is the first row for all. Each row of s has its own product.": (
                _vjp(rows, g, tau)[:1].expand_as(rows)
            ),
            "this is the mean over the rows. Each row of s has its own product.": (
                _vjp(rows, g, tau).mean(0)
            ),
            "this is ⟨g, s⟩ alone. It is subtracted from g, and s multiplies the difference.": (
                inner.squeeze(-1)
            ),
            "you divide by the root of τ. Divide by τ.": _vjp(rows, g, math.sqrt(tau)),
        }
        given: dict[str, Any] = {"s": rows, "g": g, "tau": tau}
        try:
            got = call(function, **given)
        except Wrong as wrong:
            if "must match the size" not in str(wrong):
                raise
            raise Wrong(
                "the shapes do not fit. ⟨g, s⟩ is one number for each row, and has to keep its "
                f"axis: (g * s).sum(-1, keepdim=True).\n{wrong}"
            ) from wrong
        said = (
            f"⟨g, s⟩ is {numbers(inner.squeeze(-1))} for the rows. Entry b of a row is made of "
            f"s_b g_b and s_b ⟨g, s⟩, the one minus the other, over τ."
        )
        expect(got, _vjp(rows, g, tau), given, mistakes, said)


@check("forward a true choice, backward equation (10).")
def check_backward(function: Any) -> None:
    """Check exercise 3 of notebook 03: the custom backward pass of the paper's appendix A.

    Args:
        function: a `torch.autograd.Function`; its `apply(logits, one_hot, e, tau)` with logits
            and one_hot `[n]` and exponentials `[K, n]` returns D, with (10) as backward pass.

    Returns:
        A `Verdict`.

    Example:
        >>> check_backward(torch.nn.Identity)
        Not yet: expected your class, a torch.autograd.Function, got <class '...Identity'>.
    """
    if not (isinstance(function, type) and issubclass(function, torch.autograd.Function)):
        raise Wrong(f"expected your class, a torch.autograd.Function, got {function!r}.")

    for values, i, k, tau in (([0.5, 0.0, -0.5], 0, 4, 0.5), ([0.0, 1.0, 0.3, -1.0], 2, 3, 2.0)):
        logits = torch.tensor(values, dtype=torch.float64)
        one_hot = torch.zeros_like(logits)
        one_hot[i] = 1.0
        generator = torch.Generator().manual_seed(k)
        e = torch.rand(k, len(logits), dtype=torch.float64, generator=generator).log().neg()
        g = torch.arange(1.0, len(logits) + 1, dtype=torch.float64).square()
        given: dict[str, Any] = {"logits": logits, "one_hot": one_hot, "e": e, "tau": tau}

        try:
            forward, gradient = _passes(function, **given, g=g)
        except (Exception, SystemExit) as error:
            raise Wrong(f"your class raised {advised(error)}") from error
        expect_of("the forward pass has to return D itself", forward, one_hot, given, {})
        if gradient is None:
            raise Wrong(
                "the backward pass gives no gradient for the logits. Return it first, and None for "
                "each of the other three arguments."
            )
        given["g"] = g
        try:
            expect(gradient, *_backward(logits, i, e, tau, g, given))
        except Wrong:
            if random(lambda *same: _passes(function, *same)[1], gradient, given):
                raise Wrong(
                    "your backward pass draws: called twice, it gives two gradients. Use the "
                    "exponentials e that are given, and nothing random beside them."
                ) from None
            raise


def _passes(
    function: Any, logits: Tensor, one_hot: Tensor, e: Tensor, tau: float, g: Tensor
) -> tuple[Tensor, Tensor | None]:
    """What the learner's class returns forward, and backward for the gradient g of its result."""
    theta = logits.clone().requires_grad_()
    sample = function.apply(theta, one_hot.clone(), e.clone(), tau)
    forward = sample.detach().clone()
    (sample * g).sum().backward()
    return forward, theta.grad


def _backward(
    logits: Tensor, i: int, e: Tensor, tau: float, g: Tensor, given: dict[str, Any]
) -> tuple[Tensor, dict[str, Any], dict[str, Tensor], str]:
    theta = logits.clone().requires_grad_()
    first = e[:, [i]] / theta.exp().sum()
    chosen = torch.arange(len(logits)) == i
    through = -torch.where(chosen, first, e / theta.exp() + first).log()  # (9)
    noise = e.T.unsqueeze(-1).clone()  # [n, K, 1]; the library overwrites it
    s = conditional_softmax(logits.unsqueeze(-1), torch.tensor([[i]]), tau, noise).squeeze(-1).T
    each = _vjp(s, g, tau)
    loss = ((through / tau).softmax(-1) * g).sum(-1).mean()
    (total,) = torch.autograd.grad(loss, theta)
    free = ((logits - e.log()) / tau).softmax(-1)
    p = logits.softmax(-1)
    ratio = 1 + e / (e[:, [i]] * p)

    def with_weights(r: Tensor) -> Tensor:
        return _vjp(r / r.sum(-1, keepdim=True), g, tau).mean(0)

    def of(base: Tensor, power: float = -1 / tau) -> Tensor:
        """From another base or power of r, with everything else right."""
        r = base**power
        r[:, i] = 1.0
        return with_weights(r)

    upside_down = ratio ** (1 / tau)
    upside_down[:, i] = 1.0
    mistakes = {
        "r_i = 1 is missing: the weight of the winner is not given by the formula of the others.": (
            with_weights(ratio ** (-1 / tau))
        ),
        "the exponent of r is −1/τ; a minus is missing.": with_weights(upside_down),
        "all is 0. Either g is not used, or the Jacobian is taken at D; it is taken at s.": (
            each.new_zeros(each.shape[-1])
        ),
        "the K products are added. Take their mean, which has the shape of the logits.": each.sum(
            0
        ),
        "the factor 1/τ is missing.": each.mean(0) * tau,
        "you use the first of the K draws only.": each[0],
        "you use the last of the K draws only.": each[-1],
        "p is the softmax of the logits. exp θ alone lacks the division by its sum.": of(
            1 + e / (e[:, [i]] * logits.exp())
        ),
        "p is missing: it is the softmax of the logits. You have the logits.": of(
            1 + e / (e[:, [i]] * logits)
        ),
        "every class j has its own p_j. You have p_i for all.": of(1 + e / (e[:, [i]] * p[i])),
        "the exponent of r is −1/τ. You have −τ.": of(ratio, -tau),
        "E_i is missing: E_j is divided by E_i p_j.": of(1 + e / p),
        "E_i is column i of e, one number for each draw: e[:, [i]]. You take row i.": of(
            1 + e / (e[min(i, len(e) - 1)] * p)
        ),
        "E_i and E_j changed places.": of(1 + e[:, [i]] / (e * p)),
        "1 + is missing in r.": of(ratio - 1),
        "you average s over the K draws and then differentiate. Differentiate at each of them, "
        "then average.": _vjp(s.mean(0), g, tau),
        "the derivative runs through equation (9), that is through G^k as well. θ + G^k has to "
        "be held fixed.": total,
        "the Jacobian is taken at θ, without noise: that is straight-through.": _vjp(
            (logits / tau).softmax(-1), g, tau
        ),
        "the noise is not the one given D: use equation (9) in place of θ − log E.": _vjp(
            free, g, tau
        ).mean(0),
        "you add the logits to (9), which holds θ + G already.": _vjp(
            ((through.detach() + logits) / tau).softmax(-1), g, tau
        ).mean(0),
        "the gradient of D is passed on as it is. Multiply it with the Jacobian.": g,
        "the softmax lacks the temperature.": _vjp(through.detach().softmax(-1), g, tau).mean(0),
    }
    r = torch.where(chosen, 1.0, ratio ** (-1 / tau))
    row, zero = ratio ** (-1 / tau), r.clone()
    row[min(i, len(e) - 1)], zero[:, i] = 1.0, 0.0
    chosen_d = chosen.double()
    mistakes |= {
        "r has to be divided by its sum: s = r / Σ r.": _vjp(r, g, tau).mean(0),
        "this takes a softmax of r. Divide r by its sum.": _vjp(r.softmax(-1), g, tau).mean(0),
        "each row of r is divided by its own sum: r.sum(-1, keepdim=True).": (
            _vjp(r / r.sum(0), g, tau).mean(0)
        ),
        "r[i] = 1 sets a row. The column of the winner is r[:, i].": with_weights(row),
        "r_i is 1, and not 0.": with_weights(zero),
        "** -1/tau is read as (… ** -1) / tau. Put brackets: ** (-1/tau).": with_weights(
            torch.where(chosen, 1.0, 1 / ratio / tau)
        ),
        "p is a probability: the softmax of the logits, and not its logarithm.": of(
            1 + e / (e[:, [i]] * p.log())
        ),
        "you multiply by p_j. Divide.": of(1 + e / e[:, [i]] * p),
        "p_j is missing.": of(1 + e / e[:, [i]]),
        "⟨g, s⟩ is missing: s ⊙ (g − ⟨g, s⟩) / τ.": (s * g / tau).mean(0),
        "the factor s in front is missing: s ⊙ (g − ⟨g, s⟩) / τ.": (
            (g - (g * s).sum(-1, keepdim=True)).mean(0) / tau
        ),
        "this is the mean of s. Multiply g with the Jacobian at each s.": s.mean(0),
        "this is s times g. Multiply g with the Jacobian at each s.": s.mean(0) * g,
        "only the diagonal of the Jacobian is here.": (g * s * (1 - s)).mean(0) / tau,
        "g is what comes in, and not D.": _vjp(s, chosen_d, tau).mean(0),
        "the sum over the K draws is divided by n, the number of classes. Divide by K.": (
            each.sum(0) / len(logits)
        ),
        "you multiply by τ. Divide by it.": each.mean(0) * tau**2,
        "you divide by τ twice: `row_times_jacobian` does it.": each.mean(0) / tau,
    }
    said = (
        f"for the first draw r is {numbers(r[0])}, s is {numbers(s[0])}, and the product of g and "
        f"the Jacobian {numbers(each[0])}. The answer is the mean of K such products."
    )
    return each.mean(0), given, mistakes, said


@check("K divides one part of the variance and leaves the other.")
def check_variance(function: Any) -> None:
    """Check exercise 2 of notebook 03: the variance at K from those at K = 1 and K = ∞.

    Args:
        function: maps K, var[∇STGS] and var[∇GR] to var[∇GRMCK].

    Returns:
        A `Verdict`.

    Example:
        >>> check_variance(lambda k, var_st_gs, var_gr: var_gr + (var_st_gs - var_gr) / k)
        Right: K divides one part of the variance and leaves the other.
    """
    for k, st_gs, gr in ((5, 9.0, 2.0), (10, 5.0, 1.0), (1, 9.0, 2.0)):
        mistakes = {
            "everything is divided by K. The part var[∇GR] stays, whatever K.": st_gs / k,
            "the part of the noise is var[∇STGS] − var[∇GR]: what it has more than GR.": gr
            + st_gs / k,
            "the part that K divides is var[∇STGS] − var[∇GR], and var[∇GR] stays.": st_gs
            + (gr - st_gs) / k,
            "K + 1 in place of K: ST-GS is K = 1, not K = 0.": gr + (st_gs - gr) / (k + 1),
            "K − 1 in place of K: that is for the spread within a sample, not for a mean.": (
                gr + (st_gs - gr) / (k - 1) if k > 1 else float("inf")
            ),
            "this is var[∇GR] with K = ∞. Add what K draws leave of the rest.": gr,
            "the part that K divides falls like 1/K, not 1/√K.": gr + (st_gs - gr) / k**0.5,
            "this is the variance of ST-GS. K has an effect.": st_gs,
            "this is the standard deviation. The variance is wanted.": (gr + (st_gs - gr) / k)
            ** 0.5,
            "var[∇GR] is missing: it stays, whatever K.": (st_gs - gr) / k,
            "K divides the noise. You multiply by it.": gr + (st_gs - gr) * k,
            "the parts changed places: K divides the noise, var[∇STGS] − var[∇GR], and var[∇GR] "
            "stays.": (st_gs - gr) + gr / k,
            "both are added. The noise is a difference, and only it is divided by K.": (st_gs + gr)
            / k,
            "this takes away from var[∇STGS] a part of var[∇GR]. Begin with var[∇GR], and add what "
            "K leaves of the noise.": st_gs - gr / k,
            "K divides once, not twice: 1/K, not 1/K².": gr + (st_gs - gr) / k**2,
            "what K leaves of the noise has to be added, not subtracted.": gr - (st_gs - gr) / k,
            "2 K in place of K.": gr + (st_gs - gr) / (2 * k),
            "// throws away what is behind the point: divide by /.": gr + (st_gs - gr) // k,
            "brackets are missing: K divides the whole difference var[∇STGS] − var[∇GR].": (
                gr + st_gs - gr / k
            ),
            "K divides the noise, the rest of var[∇STGS]; you divide var[∇GR].": st_gs + gr / k,
            "variances are added and subtracted as they are: no squares.": (
                gr**2 + (st_gs**2 - gr**2) / k
            ),
            "the noise is the difference var[∇STGS] − var[∇GR]. You have their quotient.": (
                gr + st_gs / gr / k
            ),
            "this is the noise, b. K divides it, and var[∇GR] is added.": st_gs - gr,
            "the two variances are added. var[∇GR] is a part of var[∇STGS] already.": st_gs + gr,
            "var[∇GR] has to be added, not subtracted.": (st_gs - gr) / k - gr,
            "the noise is var[∇STGS] − var[∇GR]. You divide var[∇GR] by K once more.": (
                gr * (1 + 1 / k)
            ),
        }
        given: dict[str, Any] = {"k": k, "var_st_gs": st_gs, "var_gr": gr}
        otherwise = functools.partial(_ends, function, st_gs, gr)
        try_out(function, torch.tensor(gr + (st_gs - gr) / k), given, mistakes, otherwise)


def _ends(function: Any, st_gs: float, gr: float, got: Tensor) -> str:
    """What the learner's function gives where the answer is known without a formula."""
    one, many = (number(call(function, k=k, var_st_gs=st_gs, var_gr=gr)) for k in (1, 10**6))
    if math.isclose(one, st_gs) and math.isclose(many, gr, rel_tol=1e-3):
        return (
            "at K = 1 and K → ∞ it is right, between them it is not. K divides the noise, "
            "var[∇STGS] − var[∇GR]; var[∇GR] is added."
        )
    return (
        f"K = 1 is ST-GS, and K → ∞ is GR: the formula should give {st_gs:g} and about {gr:g}. "
        f"Yours gives {one:.4g} and {many:.4g}."
    )
