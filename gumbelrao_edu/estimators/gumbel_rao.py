"""Gumbel-Rao (GR): the straight-through Gumbel-Softmax, averaged over the Gumbels given D."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, get_args

import torch
from torch import Tensor, library
from torch._C._functorch import is_legacy_batchedtensor
from torch._subclasses import FakeTensor
from torch.quasirandom import SobolEngine

from .._checks import Tau, check_generator, check_k, check_logits, check_tau
from .._generators import Generators
from ..gumbel import centred, exponential_of, perturb
from ..quadrature import MAX_CLASSES, check_tau_limit, exact_vjp
from ..surrogate import no_second_derivative
from . import _fused
from ._registry import register
from .zgr import zgr

Noise = Literal["iid", "antithetic", "sobol"]

# Elements of noise alive at a time: 1 MiB in float32, which stays in a core's cache, or 64 MiB.
_CHUNK, _CHUNK_OF_GPU = 2**18, 2**24
_RARE = 60.0  # −log of a probability whose reciprocal times E_j/E_i stays finite in float32


@register(
    label="GR",
    equation="(10)",
    kind="straight-through",
    mean="st_gumbel_softmax",
    example={"tau": 0.5, "k": 10},
)
def gumbel_rao(
    logits: Tensor,
    *,
    tau: Tau,
    k: int | float,
    noise: Noise = "iid",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample D; backpropagate through K Gumbel-Softmax samples drawn given D.

        ∇GRMCK = ∂f(D)/∂D · (1/K) Σ_k d softmax_τ(θ + G^k)/dθ,    θ + G^k ~ θ + G | D     (10)
        ∇GR    = ∂f(D)/∂D · E[d softmax_τ(θ + G)/dθ | D]                         K = ∞   (7)

    The mean is that of ST-GS, the variance at most as large (Propositions 1 and 2), and f is
    evaluated once. K = 1 is ST-GS. The derivative is taken at θ + G^k held fixed, not through the
    dependence of G^k on θ in equation (9): only so the mean is that of ST-GS.

    K = ∞ is computed by quadrature (`quadrature.conditional_vjp`) and costs about as much as 10 to
    30 draws (`benchmarks/README.md`).

    Args:
        logits: θ, `[*batch, n]`; −inf marks a class that never occurs.
        tau: temperature τ > 0, a number or a tensor that broadcasts to `batch`. It is not learned:
            a tensor that requires a gradient is refused. With K = ∞ it lies between 1e-20 and 100,
            or is the number 0: the limit, which is `zgr`.
        k: K, the number of draws given D, or, for up to 1024 classes, `math.inf`. Time grows with
            K, memory does not. K = ∞ wants a table for each different τ, which takes some
            milliseconds and is kept for the last 64. For logits in float32 or less the draws are
            multiples of 2⁻²⁴ (of 2⁻³² in the kernels for a GPU): at τ < 1 the gradient of classes
            less probable than about 2⁻²⁴/τ comes out too small. A softmax that is below 2e-19 of
            that of the drawn class counts as 0. K = ∞ has no such limits, float64 lower ones.
        noise: how the K draws belong together: "iid"; "antithetic", in pairs of opposites; or
            "sobol", a low-discrepancy set with a random shift for each variable. The mean stays
            (each draw has the same law), the variance given D falls, see `benchmarks/README.md`.
        generator: source of randomness; the global one when None.

    Returns:
        D, `[*batch, n]`, exactly one-hot, whose backward pass is (10). The noise is fixed at the
        call, so that a second backward pass through a retained graph gives the same gradient.
        `torch.compile`, `torch.export` and the transforms of `torch.func` work; what is compiled
        draws anew at each call, and rows of `vmap` share noise or not as its `randomness` says.
        Double backward (but for τ = 0) and forward mode are refused. Compiled code draws from the
        global generator (another one breaks the graph, and `fullgraph=True` refuses it) and is
        compiled again for each number `tau`, up to the compiler's limit of eight; a τ that changes
        should be a tensor, which the layer `GumbelRao` sees to. Numbers of NumPy break the graph,
        too: write `float(tau)`. Under activation checkpointing leave `generator` out: the state of
        a generator is not restored, so that the backward pass would be that of another sample than
        the loss.

    Raises:
        TypeError, ValueError: if an argument has the wrong type, shape or range. What the entries
            of tensors are is not looked at on a GPU (it would wait for all work in the queue), in
            `vmap` and in compiled code.

    Example:
        >>> logits = torch.zeros(3, requires_grad=True)
        >>> sample = gumbel_rao(logits, tau=0.5, k=100)
        >>> (sample * torch.tensor([1.0, 2.0, 3.0])).sum().backward()

    Source: Paulus, Maddison & Krause (2021), equation (10) and appendix A.
    """
    check_logits(logits)
    tau, k = check_gumbel_rao(tau, k, noise, logits.shape)
    check_generator(generator, logits.device)
    if not isinstance(tau, Tensor) and tau == 0:
        return zgr(logits, generator=generator)
    if _fused.usable(logits, k, noise) and _fused.eager() and not isinstance(logits, FakeTensor):
        seed = _seed(logits, k, noise, generator)
        return _apply(logits, _fused.sample(logits, seed), seed, tau, k, noise)
    one_hot, _ = perturb(centred(logits.detach()), generator)
    return averaged_given(logits, one_hot.to(logits.dtype), tau, k, noise, generator)


def check_gumbel_rao(
    tau: Any,
    k: Any,
    noise: Any,
    shape: torch.Size | None = None,
    *,
    allow_zero: bool = True,
) -> tuple[Tau, int | float]:
    """τ and K of `gumbel_rao`, checked, for logits of the given shape where that is known.

    `allow_zero`: with K = ∞ the number τ = 0 stands for the limit.
    """
    k = check_k(k)
    if not isinstance(noise, str) or noise not in get_args(Noise):
        raise ValueError(f"noise: expected one of {get_args(Noise)}, got {noise!r}")
    limit = allow_zero and k == math.inf and not isinstance(tau, Tensor)
    batch = torch.Size() if shape is None else shape[:-1]
    tau = check_tau(tau, batch, allow_zero=limit, learnable=False)
    if noise == "sobol" and shape is not None and shape[-1] > SobolEngine.MAXDIM:
        raise ValueError(
            f"noise: expected another one than sobol for more than {SobolEngine.MAXDIM} classes, "
            f"got {shape[-1]}"
        )
    if k == math.inf:
        check_tau_limit(tau)
        if shape is not None and shape[-1] > MAX_CLASSES:
            raise ValueError(
                f"k: expected a finite number for more than {MAX_CLASSES} classes, got inf "
                f"for {shape[-1]}"
            )
    return tau, k


def averaged_given(
    logits: Tensor,
    one_hot: Tensor,
    tau: Tau,
    k: int | float,
    noise: Noise,
    generator: torch.Generator | Generators | None,
) -> Tensor:
    """D, of the dtype of the logits, whose backward pass is (10), or (7), given D."""
    seed = _seed(logits, k, noise, generator)
    if not torch.compiler.is_compiling():
        return _apply(logits, one_hot, seed, tau, k, noise)
    if torch.compiler.is_dynamo_compiling() and _in_grad():
        torch._dynamo.graph_break(
            "gumbel_rao: torch.func.grad and its relatives don't work inside a compiled "
            "function, compile what they differentiate"
        )
    sample: Tensor = _given(logits, one_hot, seed, *_as_schema(tau, k, noise))
    return sample


def _seed(
    logits: Tensor, k: int | float, noise: Noise, generator: torch.Generator | Generators | None
) -> Tensor:
    """What the noise of the backward pass is made from, where that is done.

    A single number, or of several models one for each row, see `Generators.seeds`.
    """
    if isinstance(generator, Generators):
        return generator.seeds(lambda each: _seed(logits, k, noise, each))
    if generator is not None:
        return torch.randint(2**62, (), generator=generator, device=generator.device)
    fused = _fused.usable(logits, k, noise)
    return torch.randint(2**62, (), device=logits.device if fused else "cpu")


def _apply(*arguments: Any) -> Tensor:
    sample: Tensor = _GumbelRao.apply(*arguments)  # type: ignore[no-untyped-call]
    return sample


class _GumbelRao(torch.autograd.Function):
    """D forward, (10) backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, one_hot: Tensor, *rest: Any) -> Tensor:
        return one_hot.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        logits, one_hot, seed, tau, k, noise = inputs
        # Saved by autograd, which notices when one of them is changed in place before its use.
        tensors = [logits, one_hot, seed, *([tau] if isinstance(tau, Tensor) else [])]
        ctx.save_for_backward(*tensors)
        ctx.settings = (k, noise) if isinstance(tau, Tensor) else (tau, k, noise)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        raise RuntimeError(
            "gumbel_rao: the estimate is a gradient, of reverse mode; "
            "forward-mode differentiation is not supported"
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        arguments = (*ctx.saved_tensors, *ctx.settings)
        if not torch.compiler.is_compiling() and is_legacy_batchedtensor(grads[0]):
            if torch.is_grad_enabled():  # the Jacobian below would count as a constant
                raise RuntimeError(no_second_derivative("gumbel_rao"))
            # No matrix product, which autocast would take in half precision.
            vjp = (grads[0].unsqueeze(-1) * _jacobian(*arguments)).sum(-2)
        elif _fused.eager() and not torch.is_grad_enabled():
            # No rule for transforms is asked for, and finding that out takes time.
            vjp = _computed(grads[0], *arguments)
        else:
            vjp = _VJP.apply(*grads, *arguments)  # type: ignore[no-untyped-call]
        return vjp, None, None, None, None, None


class _VJP(torch.autograd.Function):
    """The backward pass as a function of its own, so that vmap and double backward find rules."""

    @staticmethod
    def forward(grad: Tensor, logits: Tensor, one_hot: Tensor, *rest: Any) -> Tensor:
        # PyTorch inspects the signature at each call, which takes time for each name in it.
        return _computed(grad, logits, one_hot, *rest)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        raise RuntimeError(no_second_derivative("gumbel_rao"))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        return _rows(_VJP.apply, info.batch_size, in_dims, args)


def _computed(
    grad: Tensor,
    logits: Tensor,
    one_hot: Tensor,
    seed: Tensor,
    tau: Tau,
    k: int | float,
    noise: Any,
) -> Tensor:
    """gᵀ times the Jacobian of (10) or (7)."""
    if _traced(logits):  # the operator knows the shape, and is whole in the graph
        vjp: Tensor = _vjp(grad, logits, one_hot, seed, *_as_schema(tau, k, noise))
        return vjp
    if _fused.usable(logits, k, noise):
        if k == math.inf:
            return _fused.exact(grad, logits, one_hot, tau)
        return _fused.averaged(grad, logits, one_hot, seed, tau, int(k), noise)
    if k == math.inf:
        return exact_vjp(grad, logits, one_hot.argmax(-1), tau)
    if seed.dim():
        return _each(grad, logits, one_hot, seed, tau, k, noise)
    generator = torch.Generator(logits.device).manual_seed(int(seed))
    return averaged_vjp(grad, logits, one_hot, tau, int(k), generator, noise)


def _traced(tensor: Tensor) -> bool:
    """Whether a tensor has a shape only, or operations are recorded, as `make_fx` does it.

    The compiler records them where a broken graph begins again.
    """
    return (
        torch.compiler.is_dynamo_compiling()
        or tensor.is_meta
        or isinstance(tensor, FakeTensor)
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _each(
    grad: Tensor,
    logits: Tensor,
    one_hot: Tensor,
    seeds: Tensor,
    tau: Tau,
    k: int | float,
    noise: Any,
) -> Tensor:
    """`_computed` for the rows of several models, each with its own seed: one after the other."""
    starts = (seeds[:, 1] == 0).nonzero().flatten().tolist()
    vjp = torch.empty_like(logits)
    for first, last in itertools.pairwise([*starts, len(logits)]):
        own = slice(first, last)
        t = tau[own] if isinstance(tau, Tensor) and tau.dim() else tau
        vjp[own] = _computed(grad[own], logits[own], one_hot[own], seeds[first, 0], t, k, noise)
    return vjp


def _rows(
    function: Callable[..., Tensor],
    size: int,
    in_dims: tuple[int | None, ...],
    args: tuple[Any, ...],
) -> tuple[Tensor, int]:
    """The rule for vmap: its rows become one more axis of the batch.

    With randomness="different" each row has a seed of its own; the first of them then serves all,
    for each row of a batch has noise of its own. One seed for all rows says that their noise is
    the same.

    Args:
        function: of tensors `[*batch, n]`, a seed, τ, and numbers.
        size: the number of rows.
        in_dims: the axis of the rows in each argument.
        args: those of `function`.
    """
    fields = next(at for at, x in enumerate(args) if not torch.is_floating_point(x))
    seed, tau, *rest = args[fields:]
    tensors = [
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(args[:fields], in_dims, strict=False)
    ]
    batch = tensors[0].shape[:-1]
    if in_dims[fields + 1] is not None:
        tau = tau.movedim(in_dims[fields + 1], 0)
        tau = tau.reshape(size, *[1] * (len(batch) - tau.dim()), *tau.shape[1:])
    if in_dims[fields] is not None:
        return function(*tensors, seed[0], tau, *rest), 0
    if math.inf in rest:
        return function(*tensors, seed, tau, *rest), 0
    taus = tau.expand(batch) if isinstance(tau, Tensor) else [tau] * size
    each = [function(*row, seed, t, *rest) for *row, t in zip(*tensors, taus, strict=True)]
    return torch.stack(each), 0


# --- For the compiler -----------------------------------------------------------------------------

# The same two functions as operators, which torch.compile and torch.export leave whole. A call of
# one takes as long as one of the autograd.Functions (ratio 1.00 on a CPU), but the first imports
# the compiler, which takes a second and 40 MB: so code that is not compiled has the Functions.


@library.custom_op("gumbelrao_edu::given", mutates_args=())
def _given(
    logits: Tensor,
    one_hot: Tensor,
    seed: Tensor,
    taus: Tensor | None,
    tau: float,
    k: float,
    noise: str,
) -> Tensor:
    """`_GumbelRao`; τ is `taus`, or the number where that is None."""
    return one_hot.clone(memory_format=torch.contiguous_format)


@library.custom_op("gumbelrao_edu::vjp", mutates_args=())
def _vjp(
    grad: Tensor,
    logits: Tensor,
    one_hot: Tensor,
    seed: Tensor,
    taus: Tensor | None,
    tau: float,
    k: float,
    noise: str,
) -> Tensor:
    """`_VJP`."""
    t = tau if taus is None else taus
    return _computed(grad, logits, one_hot, seed, t, k, noise).contiguous()


@_vjp.register_fake
def _shaped(grad: Tensor, logits: Tensor, *rest: Any) -> Tensor:
    *_, k, noise = rest
    if k == math.inf and _fused.usable(logits, k, noise) and isinstance(logits.shape[-1], int):
        _fused.prepare_exact(logits)
    return logits.new_empty(logits.shape)


def _in_grad() -> bool:
    """Whether torch.func differentiates, for which PyTorch doesn't prepare such operators."""
    kinds = [level.key() for level in torch._C._functorch.get_interpreter_stack() or ()]
    return any(kind != torch._C._functorch.TransformType.Vmap for kind in kinds)


# What torch.compiler.assume_constant_result does; but that imports the compiler, for a second.
_in_grad._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _as_schema(tau: Tau, k: int | float, noise: Noise) -> tuple[Tensor | None, float, float, str]:
    return (tau, 0.0, float(k), noise) if isinstance(tau, Tensor) else (None, tau, float(k), noise)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.settings = inputs[4:]


def _given_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return _vjp(grad, *ctx.saved_tensors, *ctx.settings), None, None, None, None, None, None


def _vjp_backward(ctx: Any, grad: Tensor) -> None:
    raise RuntimeError(no_second_derivative("gumbel_rao"))


_given.register_fake(lambda logits, *rest: logits.new_empty(logits.shape))
_given.register_autograd(_given_backward, setup_context=_save)
_vjp.register_autograd(_vjp_backward)
_given.register_vmap(lambda info, dims, *args: _rows(_given, info.batch_size, dims, args))
_vjp.register_vmap(lambda info, dims, *args: _rows(_vjp, info.batch_size, dims, args))


def _jacobian(logits: Tensor, *rest: Any) -> Tensor:
    """The averaged Jacobian of (10), `[*batch, n, n]`, for vmap inside of `torch.autograd`.

    `torch.autograd.functional.jacobian(vectorize=True)` and `is_grads_batched=True` hand over a
    batch of gradients to which few functions can be applied, and forbid random numbers, but only in
    their own thread. The seed makes each column's noise the same.
    """

    @torch.no_grad()
    def columns() -> Tensor:
        basis = torch.eye(logits.shape[-1], dtype=logits.dtype, device=logits.device)
        return torch.stack([_computed(g.expand_as(logits), logits, *rest) for g in basis], -2)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(columns).result()


def averaged_vjp(
    grad: Tensor,
    logits: Tensor,
    one_hot: Tensor,
    tau: Tau,
    k: int,
    generator: torch.Generator,
    noise: Noise = "iid",
) -> Tensor:
    """gᵀ times the averaged Jacobian of (10), in chunks of K so that memory stays bounded.

    (1/(Kτ)) Σ_k s_k ⊙ (g − ⟨g, s_k⟩),    s_k = softmax_τ(θ + G^k)
    """
    # The classes come first in memory: sums over them then run over long, contiguous vectors.
    theta = _classes_first(centred(logits))
    g = _classes_first(grad.to(theta.dtype))
    index = one_hot.argmax(-1).reshape(1, -1)
    if isinstance(tau, Tensor):
        tau = _classes_first(tau.unsqueeze(-1).to(theta).expand(*logits.shape[:-1], 1))
    g = g - g.gather(0, index)  # the Jacobian's rows sum to 0; nothing cancels when s is near D
    total = torch.zeros_like(theta)
    for e in exponentials(theta, k, noise, generator):
        s = conditional_softmax(theta, index, tau, e)
        inner = (g.unsqueeze(1) * s).sum(0)
        total += g * s.sum(1) - s.mul_(inner).sum(1)
    return (total / (k * tau)).T.reshape(logits.shape).to(logits.dtype)


def exponentials(
    theta: Tensor, k: int, noise: Noise, generator: torch.Generator
) -> Iterator[Tensor]:
    """The exponentials of equation (9) for K draws, in chunks `[n, chunk, rows]` that fit a cache.

    Each draw is Exp(1) whatever `noise`; the draws of one variable depend on each other.
    """
    n, rows = theta.shape

    def uniform(draws: int) -> Tensor:
        return torch.rand(
            n, draws, rows, dtype=theta.dtype, device=theta.device, generator=generator
        )

    most = _CHUNK if theta.device.type == "cpu" else _CHUNK_OF_GPU
    chunk = 2 * max(1, most // 2 // max(1, theta.numel()))
    shift = uniform(1) if noise == "sobol" else None
    sobol = SobolEngine(n) if noise == "sobol" else None  # type: ignore[no-untyped-call]
    for done in range(0, k, chunk):
        draws = min(chunk, k - done)
        if sobol is not None and shift is not None:
            points = sobol.draw(draws, dtype=theta.dtype).T.unsqueeze(-1).to(theta.device)
            u = (points + shift).remainder_(1)
        elif noise == "antithetic":
            half = uniform((draws + 1) // 2)
            # Opposite on the grid of the generator, so that 1 itself is never reached.
            opposite = (1 - torch.finfo(theta.dtype).eps / 2) - half
            u = torch.cat([half, opposite], 1)[:, :draws]
        else:
            u = uniform(draws)
        yield exponential_of(u, grid=torch.finfo(theta.dtype).eps / 2)


def conditional_softmax(theta: Tensor, index: Tensor, tau: Tau, noise: Tensor) -> Tensor:
    """softmax_τ(θ + G) given D_i = 1, from exponentials; the noise is overwritten.

        r_i = 1,    r_j = (1 + E_j / (E_i p_j))^(−1/τ),    s = r / Σ_j r_j

    which is equation (9) put into the softmax, where log Z and p_i cancel.

    Args:
        theta: θ `[n, rows]`.
        index: i, `[1, rows]`.
        tau: a number or `[1, rows]`.
        noise: E `[n, k, rows]`.

    Returns:
        s, `[n, k, rows]`. Nothing overflows to NaN: the sum is at least r_i = 1.
    """
    inverse_p = theta.softmax(0).clamp(min=math.exp(-_RARE)).reciprocal()
    # Of a smaller p_j the rest, as a logarithm: log(1 + x/p) = log(1 + x e^60) − (log p + 60).
    # It is +inf for a class that never occurs, and r_j is 0 then.
    rest = (-theta.log_softmax(0) - _RARE).clamp(min=0)
    at_i = index.unsqueeze(1).expand(1, *noise.shape[1:])
    ratio = noise.div_(noise.gather(0, at_i)).mul_(inverse_p.unsqueeze(1))
    logs = ratio.log1p_().add_(rest.unsqueeze(1))
    r = _exp(logs.div_(-tau.unsqueeze(0) if isinstance(tau, Tensor) else -tau))
    r.scatter_(0, at_i, 1.0)
    return r.div_(r.sum(0, keepdim=True))


def _exp(x: Tensor) -> Tensor:
    """e^x in place, 0 where its square would be below the normal numbers.

    A CPU takes a hundred times as long for an exponential that underflows, and forty times as long
    for a product; at τ = 0.01 most classes are of that kind. Beside r_i = 1 they are nothing.
    """
    least = math.sqrt(torch.finfo(x.dtype).tiny)
    return torch.threshold_(x.clamp_(min=math.log(least)).exp_(), 2 * least, 0.0)


def _classes_first(tensor: Tensor) -> Tensor:
    """`[*batch, n]` as `[n, rows]`."""
    return tensor.reshape(-1, tensor.shape[-1]).T.contiguous()
