"""The quadratic programme on the simplex (section 5.2 of the paper)."""

from __future__ import annotations

import torch
from torch import Tensor

from .._checks import check_count, check_logits
from ._arguments import check_finite


class QuadraticProgramme:
    """A quadratic function of p, written as the expectation of a loss of D ~ Discrete(p).

        min_p (p − c)ᵀ Q (p − c) = min_p E[(D − c)ᵀ A(p) (D − c)]

        A_ii(p) = (p_i − c_i)² Q_ii / (p_i − 2 p_i c_i + c_i²)
        A_ij(p) = (p_i − c_i)(p_j − c_j) Q_ij / (c_i c_j − p_i c_j − c_i p_j),    i ≠ j

    The denominators are E[(D_i − c_i)(D_j − c_j)]. Each of those for i ≠ j is zero on a line,
    p_i/c_i + p_j/c_j = 1; with the defaults these are the lines p_k = 2/3. There A and the loss are
    singular. The expectation is not: its infinite parts cancel.

    Args:
        q: Q, `[n, n]`, symmetric; exp(−2|i − j|) for n = 3 when left out.
        c: the point where the programme is 0, `[n]`; 1/n in each entry when left out.

    Raises:
        TypeError, ValueError: if a tensor has the wrong type or shape or an entry that is not
            finite, or Q is not symmetric.

    Example:
        >>> programme = QuadraticProgramme()
        >>> p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
        >>> losses = programme.loss(torch.eye(3, dtype=torch.float64), p)
        >>> bool(torch.isclose(p @ losses, programme.value(p)))
        True

    Source: Paulus, Maddison & Krause (2021), section 5.2.
    """

    def __init__(self, q: Tensor | None = None, c: Tensor | None = None) -> None:
        if q is None:
            index = torch.arange(3, dtype=torch.float64, device="cpu")
            q = torch.exp(-2.0 * (index[:, None] - index).abs())
        check_finite(q, "q")
        if q.dim() != 2 or q.shape[0] != q.shape[1] or not len(q) or not torch.equal(q, q.T):
            raise ValueError(f"q: expected a symmetric matrix [n, n], got {q.tolist()}")
        n = len(q)
        c = torch.full((n,), 1.0 / n, dtype=q.dtype, device=q.device) if c is None else c
        check_finite(c, "c")
        if c.shape != (n,):
            raise ValueError(f"c: expected shape {(n,)}, that of a row of q, got {tuple(c.shape)}")
        self.q, self.c = q, c

    def value(self, p: Tensor) -> Tensor:
        """(p − c)ᵀ Q (p − c).

        Args:
            p: probabilities, `[*batch, n]`.

        Returns:
            `[*batch]`.

        Raises:
            TypeError, ValueError: if `p` has the wrong type or shape.

        Example:
            >>> round(QuadraticProgramme().value(torch.tensor([1.0, 0.0, 0.0])).item(), 4)
            0.6285
        """
        self._check_classes(p, "p")
        d = p - self.c.to(p)
        return torch.einsum("...i,ij,...j->...", d, self.q.to(p), d)

    def matrix(self, p: Tensor) -> Tensor:
        """A(p), differentiable in p.

        Args:
            p: probabilities, `[*batch, n]`.

        Returns:
            `[*batch, n, n]`.

        Raises:
            TypeError, ValueError: if `p` has the wrong type or shape; when it lies on a singular
                line, as far as its precision can tell.

        Example:
            >>> QuadraticProgramme().matrix(
            ...     torch.tensor([0.2, 2 / 3, 2 / 15])
            ... )  # doctest: +ELLIPSIS
            Traceback (most recent call last):
            ...
            ValueError: p: A(p) is singular at [0.2..., 0.66..., 0.13...]; expected a point off ...
        """
        self._check_classes(p, "p")
        c, q = self.c.to(p), self.q.to(p)
        p_c = p[..., :, None] * c
        moments = c[:, None] * c - p_c - p_c.mT + torch.diag_embed(p)
        rounding = 4 * torch.finfo(p.dtype).eps * (c[:, None] * c).abs()
        singular = (moments.detach().abs() <= rounding).flatten(-2).any(-1)
        if singular.any():
            raise ValueError(
                f"p: A(p) is singular at {p.detach()[singular].view(-1, len(c))[0].tolist()}; "
                f"expected a point off the lines p_i/c_i + p_j/c_j = 1"
            )
        d = p - c
        return d[..., :, None] * d[..., None, :] * q / moments

    def loss(self, d: Tensor, p: Tensor) -> Tensor:
        """f(D) = (D − c)ᵀ A(p) (D − c), differentiable in both.

        With p from the logits the derivative is the whole one of eq. (2), with the term for the
        dependence of f on θ itself. With `p.detach()` A is held fixed and that term is dropped.

        Args:
            d: samples, `[*batch, n]`.
            p: probabilities, `[..., n]`, broadcast against `d`.

        Returns:
            `[*batch]`.

        Raises:
            TypeError, ValueError: as `matrix`; if `d` has another number of classes, or does not
                broadcast against `p`.

        Example:
            >>> QuadraticProgramme().loss(torch.eye(3), torch.tensor([0.5, 0.3, 0.2]))
            tensor([0.0501, 0.0280, 0.0605])
        """
        self._check_classes(d, "d")
        matrix = self.matrix(p)
        _check_broadcast(d, p, "p")
        dtype = torch.promote_types(d.dtype, p.dtype)
        matrix, centred = matrix.to(dtype), d.to(dtype) - self.c.to(d.device, dtype)
        return torch.einsum("...i,...ij,...j->...", centred, matrix, centred)

    def direct_gradient(self, d: Tensor, logits: Tensor) -> Tensor:
        """∂f(D, θ)/∂θ, the last term of (2): D stays, A(p) moves with p = softmax(θ).

        Args:
            d: samples, `[*batch, n]`.
            logits: θ, broadcast against `d`.

        Returns:
            `[*batch, n]`; added to an estimate with A held fixed, it makes that one of the whole
            derivative.

        Raises:
            TypeError, ValueError: as `loss`, for logits in place of p.

        Example:
            >>> programme, theta = QuadraticProgramme(), torch.tensor([1.0, 0.0, 0.0])
            >>> direct = theta.softmax(0) @ programme.direct_gradient(torch.eye(3), theta)
            >>> whole = programme.gradient(theta, fixed=True) + direct
            >>> torch.allclose(whole, programme.gradient(theta), atol=1e-6)
            True
        """
        self._check_classes(d, "d")
        self._check_classes(logits, "logits")
        _check_broadcast(d, logits, "logits")
        with torch.enable_grad():
            theta = logits.detach().expand_as(d).clone().requires_grad_()
            losses = self.loss(d.detach(), theta.softmax(-1))
            return torch.autograd.grad(losses.sum(), theta)[0]

    def gradient(self, logits: Tensor, *, fixed: bool = False) -> Tensor:
        """The exact gradient of the expectation in the logits, by enumeration of D.

            fixed:      p_a (f(e_a) − E[f(D)]),                A(p) held fixed
            otherwise:  p_a (h_a − ⟨p, h⟩),  h = 2 Q (p − c)   the derivative of (p − c)ᵀ Q (p − c)

        Args:
            logits: θ, `[*batch, n]`, p = softmax(θ).
            fixed: whether A is held fixed.

        Returns:
            `[*batch, n]`.

        Raises:
            TypeError, ValueError: if `logits` have the wrong type or shape; as `matrix` when
                `fixed`; the other gradient is defined everywhere.

        Example:
            >>> programme, theta = QuadraticProgramme(), torch.tensor([1.0, 0.0, 0.0])
            >>> programme.gradient(theta)
            tensor([ 0.1677, -0.0778, -0.0899])
            >>> programme.gradient(theta, fixed=True)
            tensor([-0.0040,  0.0004,  0.0036])
        """
        self._check_classes(logits, "logits")
        if not isinstance(fixed, bool):
            raise TypeError(f"fixed: expected True or False, got {fixed!r}")
        p = logits.detach().softmax(-1)
        if fixed:
            one_hot = torch.eye(p.shape[-1], dtype=p.dtype, device=p.device)
            h = self.loss(one_hot, p[..., None, :])
        else:
            h = 2.0 * (p - self.c.to(p)) @ self.q.to(p)
        return p * (h - (p * h).sum(-1, keepdim=True))

    def _check_classes(self, rows: Tensor, name: str) -> None:
        check_logits(rows, name)
        if rows.shape[-1] != len(self.c):
            raise ValueError(f"{name}: expected {len(self.c)} classes, got {rows.shape[-1]}")

    def singular_lines(self) -> Tensor:
        """The ends of the lines on which A is singular, for n = 3.

        Returns:
            `[3, 2, 3]`: for each k, the two points of the line of the other classes i and j where
            it meets the edges of the simplex: p_i = c_i and p_j = 0, or p_j = c_j and p_i = 0.

        Raises:
            ValueError: when n is not 3 or an entry of c is not between 0 and 1.

        Example:
            >>> QuadraticProgramme().singular_lines()[2]  # p_3 = 2/3
            tensor([[0.3333, 0.0000, 0.6667],
                    [0.0000, 0.3333, 0.6667]], dtype=torch.float64)
        """
        if len(self.c) != 3 or not ((self.c > 0) & (self.c < 1)).all():
            raise ValueError(f"c: expected three numbers between 0 and 1, got {self.c.tolist()}")
        ends = torch.zeros(3, 2, 3, dtype=self.c.dtype, device=self.c.device)
        for k in range(3):
            for end, i in enumerate(i for i in range(3) if i != k):
                ends[k, end, i], ends[k, end, k] = self.c[i], 1.0 - self.c[i]
        return ends


def _check_broadcast(d: Tensor, other: Tensor, name: str) -> None:
    try:
        torch.broadcast_shapes(d.shape, other.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise ValueError(
            f"d: expected a shape that broadcasts against that of {name}, {tuple(other.shape)}, "
            f"got {tuple(d.shape)}"
        ) from None


def simplex_grid(rows: int) -> Tensor:
    """Points inside the simplex of three classes: the middles of the upright cells of a mesh.

        ((3i + 1), (3j + 1), (3k + 1)) / (3 rows),    i + j + k = rows − 1

    When `rows` is a multiple of 3, no p_k is 1/3 or 2/3, where the quadratic programme has a loss
    without variance or a singular one.

    Args:
        rows: number of rows of points.

    Returns:
        `[rows (rows + 1) / 2, 3]`, float64.

    Raises:
        TypeError, ValueError: when `rows` is not a whole number of at least 1.

    Example:
        >>> simplex_grid(2)
        tensor([[0.1667, 0.1667, 0.6667],
                [0.1667, 0.6667, 0.1667],
                [0.6667, 0.1667, 0.1667]], dtype=torch.float64)
    """
    rows = check_count(rows, "rows")
    cells = [(i, j) for i in range(rows) for j in range(rows - i)]
    i, j = torch.tensor(cells, dtype=torch.float64, device="cpu").T
    return (3.0 * torch.stack([i, j, rows - 1 - i - j], -1) + 1.0) / (3.0 * rows)
