"""The kernels for a GPU, run by Triton's interpreter on a CPU: `make test-kernels`.

The noise is compared with Philox written in Python, K = ∞ with the quadrature in float64, finite K
with the quadrature in mean and second moment. Each statistical comparison fails with probability
1e-6 though all is right.
"""

import math
import os
import subprocess
import sys
from fractions import Fraction

import pytest
import torch
from seeded import seeded
from statistical import assert_frequencies, assert_mean
from torch._subclasses import FakeTensorMode

from gumbelrao_edu import estimators, gumbel_rao
from gumbelrao_edu.estimators import _fused
from gumbelrao_edu.quadrature import conditional_vjp, second_moment

if _fused.triton is None or not _fused.INTERPRETED:
    pytest.skip("needs Triton and TRITON_INTERPRET=1", allow_module_level=True)

tl = _fused.tl

pytestmark = [
    # NumPy, which the interpreter computes with, warns where a GPU gives inf or NaN in silence.
    pytest.mark.filterwarnings("ignore::RuntimeWarning:triton"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
]

INF = math.inf
THETA = torch.tensor([0.5, -0.3, 1.2])
G = torch.tensor([1.0, 2.0, -1.0])
ROWS = 100_000


def one_hot(index, n, dtype=torch.float32):
    return torch.nn.functional.one_hot(index, n).to(dtype)


# --- Noise ----------------------------------------------------------------------------------------


def philox(seed, *counter):
    """Philox4x32 with ten rounds (Salmon et al., 2011), in Python's whole numbers."""
    a, b, c, d = counter
    low, high = seed % 2**32, seed >> 32
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (
            (second >> 32) ^ b ^ low,
            second % 2**32,
            (first >> 32) ^ d ^ high,
            first % 2**32,
        )
        low, high = (low + 0x9E3779B9) % 2**32, (high + 0xBB67AE85) % 2**32
    return a, b, c, d


def test_philox_is_the_published_one():
    """The first known answer of Random123, whose counter and key are 0."""
    assert philox(0, 0, 0, 0, 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)


def exponentials(high, low):
    """E from 64 bits, and its opposite."""
    u = (high * 2**32 + low + 0.5) / 2**64
    return -math.log1p(-u), -math.log(u)


@_fused.jit
def _store(high, low, e, opposite, F: tl.constexpr, N: tl.constexpr, TERMS: tl.constexpr):
    at = tl.arange(0, N)
    high, low = tl.load(high + at).to(tl.uint32), tl.load(low + at).to(tl.uint32)
    first, second = _fused._exponentials(high, low, F, TERMS)
    tl.store(e + at, first)
    tl.store(opposite + at, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exponentials_to_the_ends_of_both_tails(dtype):
    top = 2**32 - 1
    words = [
        (0, 0),
        (0, top),
        (1, 5),
        (top // 2, top),
        (top // 2 + 1, 0),
        (top, 0),
        (top, top),
        (3, 3),
    ]
    high, low = torch.tensor(words).T.contiguous()
    e, opposite = torch.empty(2, len(words), dtype=dtype)
    wide = dtype == torch.float64
    F, terms = (tl.float64, 10) if wide else (tl.float32, 5)
    _store[(1,)](high, low, e, opposite, F=F, N=len(words), TERMS=terms)
    for number, (h, w) in enumerate(words):
        u = Fraction(2 * (h * 2**32 + w) + 1, 2**65)
        other = 1 - u
        want = [-math.log1p(-u) if u < other else -math.log(other)]
        want.append(-math.log(u) if u < other else -math.log1p(-other))
        got = torch.stack([e[number], opposite[number]]).double()
        want = torch.tensor(want, dtype=torch.float64)
        torch.testing.assert_close(got, want, rtol=1e-14 if wide else 1e-6, atol=0.0)


def test_the_sample_is_the_largest_of_gumbels_from_philox():
    seed, theta = 0x123456789ABCDEF, torch.randn(50, 5, generator=seeded())
    got = _fused.sample(theta, torch.tensor(seed))
    for row, (logits, d) in enumerate(zip(theta.tolist(), got, strict=True)):
        words = [philox(seed, row, col, 0, 0) for col in range(5)]
        perturbed = [
            x - math.log(exponentials(*w[:2])[0]) for x, w in zip(logits, words, strict=True)
        ]
        assert d.tolist() == [float(x == max(perturbed)) for x in perturbed]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("noise", ["iid", "antithetic"])
@pytest.mark.parametrize("k", [1, 5])
def test_finite_k_is_the_formula_with_noise_from_philox(k, noise, dtype):
    """Equation (10) written out: r_j = (1 + E_j/(E_i p_j))^(−1/τ)."""
    seed, tau = 0x3F00FF00123, 0.3
    theta = torch.randn(4, 3, generator=seeded(1), dtype=dtype)
    g = torch.randn(4, 3, generator=seeded(2), dtype=dtype)
    index = torch.tensor([0, 1, 2, 1])
    got = _fused.averaged(g, theta, one_hot(index, 3), torch.tensor(seed), tau, k, noise)
    step = 2 if noise == "antithetic" else 1
    words = 2 if dtype == torch.float64 else 4
    for row in range(4):
        draws = []
        for group in range(0, k, step * words):
            bits = [philox(seed, row, col, group, 1) for col in range(3)]
            for word in range(words):
                if words == 2:
                    each = [exponentials(*b[2 * word : 2 * word + 2]) for b in bits]
                else:
                    each = [exponentials(b[word], 2**31) for b in bits]
                draws += [*zip(*each, strict=True)][:step]
        e = torch.tensor(draws[:k], dtype=torch.float64)
        i, p = index[row], theta[row].double().softmax(-1)
        r = (1 + e / (e[:, i, None] * p)) ** (-1 / tau)
        r[:, i] = 1
        s = r / r.sum(-1, keepdim=True)
        want = (s * (g[row] - s @ g[row].double()[:, None])).mean(0) / tau
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(got[row].double(), want, rtol=0, atol=tolerance)


# --- Laws -----------------------------------------------------------------------------------------


def test_frequencies():
    d = _fused.sample(THETA.expand(ROWS, 3), torch.tensor(5))
    assert_frequencies(d.sum(0), THETA.double().softmax(-1))


@pytest.mark.parametrize(("noise", "k"), [("iid", 1), ("iid", 7), ("antithetic", 7)])
def test_mean_and_second_moment_of_finite_k(noise, k):
    for i in range(3):
        d = one_hot(torch.full((20_000,), i), 3)
        rows = (G.expand(20_000, 3), THETA.expand(20_000, 3))
        v = _fused.averaged(*rows, d, torch.tensor(100 + i), 0.5, k, noise)
        given = (G.double(), THETA.double(), torch.tensor(i), 0.5)
        mean, square = conditional_vjp(*given), second_moment(*given)
        assert_mean(v, mean, notice=0.05)
        if noise == "iid" or k == 1:
            assert_mean(v**2, mean**2 + (square - mean**2) / k, notice=0.05)
        else:
            assert (v.double().var(0) < (square - mean**2) / k).all()


# --- K = ∞ ----------------------------------------------------------------------------------------


def worst(dtype, n, taus, scale, rows=4):
    """The largest relative error of a row, against the quadrature in float64."""
    generator = seeded(n)
    taus = torch.tensor(taus).repeat_interleave(rows)
    shape = (len(taus), n)
    theta = (scale * torch.randn(shape, generator=generator)).to(dtype)
    g = torch.randn(shape, generator=generator).to(dtype)
    # Improbable classes are drawn, too.
    index = torch.randint(n, (len(taus),), generator=generator)
    got = _fused.exact(g, theta, one_hot(index, n, dtype), taus.to(dtype)).double()
    want = conditional_vjp(g.double(), theta.double(), index, taus.to(dtype).double())
    assert got.dtype == torch.float64
    return ((got - want).norm(dim=-1) / want.norm(dim=-1)).max().item()


@pytest.mark.parametrize("n", [2, 16, 1024])
def test_exact_in_float32(n):
    assert worst(torch.float32, n, [0.05, 0.5, 1.0, 1.7, 10.0], 2.0, rows=2) < 1e-4


def test_exact_in_float64():
    assert worst(torch.float64, 5, [0.1, 0.5, 1.7], 0.5, rows=2) < 1e-8


def test_exact_for_logits_far_apart():
    assert worst(torch.float32, 4, [0.3, 0.8, 2.0], 12.0, rows=8) < 1e-4


@pytest.mark.parametrize(
    ("k", "dtype"), [(3, torch.float16), (3, torch.bfloat16), (INF, torch.bfloat16)]
)
def test_edges(k, dtype):
    """−inf, ±1e4, improbable classes and a class alone; in half precision as in float32."""
    theta = torch.tensor(
        [[0.0, 1.0, -INF], [1e4, 0.0, -1e4], [-INF, 3.0, -INF], [1e4, 1e4, 0.0]], dtype=dtype
    )
    g = torch.tensor([1.0, 2.0, -3.0], dtype=dtype).expand(4, 3)
    d = _fused.sample(theta, torch.tensor(7))
    assert d.dtype == dtype
    assert (d.sum(-1) == 1).all()
    assert (d[theta == -INF] == 0).all()
    backward = _fused.exact if k == INF else _fused.averaged
    rest = (0.5,) if k == INF else (torch.tensor(8), 0.5, k, "iid")
    v = backward(g, theta, d, *rest)
    assert v.dtype == dtype
    assert v.isfinite().all()
    assert (v[theta == -INF] == 0).all()
    assert (v[1:3] == 0).all()
    assert (v[0, :2] != 0).all()
    wide = backward(g.float(), theta.float(), d.float(), *rest)
    torch.testing.assert_close(v, wide.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_class_whose_probability_is_rounded_to_0(dtype):
    """Against K = ∞, over 4,000 draws given the likely class: |z| > 6 has a probability of 2e-9."""
    rows = 4000
    for logit, tau in ((-50.0, 10.0), (-90.0, 10.0), (-120.0, 100.0)):
        theta = torch.tensor([0.0, logit], dtype=dtype).expand(rows, 2)
        d = torch.tensor([1.0, 0.0], dtype=dtype).expand(rows, 2)
        g = torch.tensor([1.0, 3.0], dtype=dtype).expand(rows, 2)
        v = _fused.averaged(g, theta, d, torch.tensor(8), tau, 4, "iid")[:, 1].double()
        exact = conditional_vjp(g[:1], theta[:1], torch.tensor([0]), tau)[0, 1].double()
        error = v.std() / rows**0.5
        assert 6 * error < 0.2 * exact  # an exact 0 would be noticed
        assert (v.mean() - exact).abs() < 6 * error + 1e-5 * exact


def test_a_class_for_itself_and_nothing():
    for shape in ((5, 1), (0, 3), (2, 0, 3)):
        theta = torch.zeros(shape)
        d = _fused.sample(theta, torch.tensor(0))
        assert d.shape == shape
        assert (d.sum(-1) == 1).all()
        for v in (
            _fused.averaged(theta, theta, d, torch.tensor(0), 0.5, 3, "iid"),
            _fused.exact(theta, theta, d, 0.5),
        ):
            assert v.shape == shape
            assert (v == 0).all()


# --- The estimator on top -------------------------------------------------------------------------


def gradient(theta, tau=0.5, k=3, seed=9, g=G):
    leaf = theta.clone().requires_grad_()
    d = gumbel_rao(leaf, tau=tau, k=k, generator=seeded(seed))
    (d * g).sum().backward(retain_graph=True)
    first, leaf.grad = leaf.grad, None
    (d * g).sum().backward()
    assert torch.equal(first, leaf.grad)  # the same noise again
    return d.detach(), first


def test_seeds_and_layouts():
    theta = torch.randn(6, 4, 3, generator=seeded())
    d, v = gradient(theta)
    again, same = gradient(theta)
    assert torch.equal(d, again)
    assert torch.equal(v, same)
    assert not torch.equal(v, gradient(theta, seed=10)[1])
    scattered = theta.transpose(0, 2).contiguous().transpose(0, 2)
    assert not scattered.is_contiguous()
    assert torch.equal(gradient(scattered)[1], v)
    rows = torch.tensor([0.1, 0.5, 1.0, 2.0])
    by_row = gradient(theta, tau=rows)[1]
    assert torch.equal(by_row[:, 1], v[:, 1])
    assert not torch.equal(by_row[:, 2], v[:, 2])


@pytest.mark.parametrize(("k", "noise"), [(5, "iid"), (3, "antithetic"), (INF, "iid")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_several_models_are_those_of_each(k, noise, dtype):
    """As models are trained together: with the seeds and temperatures of each, bit for bit."""
    theta = torch.randn(7, 3, generator=seeded(), dtype=dtype)
    counts, taus = [3, 0, 4], [0.2, 0.5, 1.5]

    def draws():
        each = {"k": k, "noise": noise}
        return [
            estimators.sampler("gumbel_rao", generator=seeded(i), tau=t, **each)
            for i, t in enumerate(taus)
        ]

    together, apart = (theta.clone().requires_grad_() for _ in range(2))
    both = estimators.joined(draws())(together, counts)
    parts = zip(draws(), apart.split(counts), strict=True)
    alone = torch.cat([draw(part) for draw, part in parts if len(part)])
    assert torch.equal(both, alone)
    for sample in (both, alone):
        (sample * G.to(dtype)).sum().backward()
    torch.testing.assert_close(together.grad, apart.grad, rtol=1e-6, atol=0)
    assert together.grad.abs().min() > 0


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_vmap(randomness):
    def loss(x):
        return (gumbel_rao(x, tau=0.5, k=3) * G).sum()

    torch.manual_seed(11)
    rows = THETA.expand(2, 500, 3)
    grads = torch.func.vmap(torch.func.grad(loss), randomness=randomness)(rows)
    assert torch.equal(grads[0], grads[1]) == (randomness == "same")
    assert len(grads[0].unique(dim=0)) > 400


def test_compiled():
    f = torch.compile(lambda x: gumbel_rao(x, tau=0.5, k=3), backend="aot_eager", fullgraph=True)
    torch.manual_seed(12)
    grads = []
    for _ in range(2):
        leaf = THETA.expand(1000, 3).clone().requires_grad_()
        (f(leaf) * G).sum().backward()
        grads.append(leaf.grad)
    assert not torch.equal(*grads)
    assert len(grads[0].unique(dim=0)) > 900


@pytest.mark.parametrize("name", ["reinmax_rao", "reinmax_cv"])
def test_estimators_that_build_on_it(name):
    record = estimators.get(name)
    leaf = THETA.expand(100, 3).clone().requires_grad_()
    torch.manual_seed(13)
    (record.function(leaf, **record.example) * G).sum().backward()
    assert leaf.grad.isfinite().all()
    assert leaf.grad.abs().sum() > 1


def test_where_the_kernels_serve():
    few, many = torch.zeros(2, 3), torch.zeros(1, 5000)
    assert _fused.usable(few, 3, "iid")
    assert not _fused.usable(few, 3, "sobol")
    assert not _fused.usable(many, 3, "iid")
    assert not _fused.usable(torch.zeros(1, 2000), INF, "iid")
    assert gumbel_rao(many, tau=0.5, k=3).sum() == 1


@pytest.fixture
def built():
    """What is known of the machine is forgotten before and after."""
    _fused._built.cache_clear()
    yield
    _fused._built.cache_clear()


def test_without_a_compiler_operations_take_the_place_of_the_kernels(monkeypatch, built):
    def fails(*arguments, **options):
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(_fused, "_launch", fails)
    leaf = THETA.expand(20_000, 3).clone().requires_grad_()
    with pytest.warns(RuntimeWarning, match=r"cannot build .* \(RuntimeError: Failed to find C"):
        sample = gumbel_rao(leaf, tau=0.5, k=3, generator=seeded())
    (sample * G).sum().backward()  # once is enough said: a second warning would be an error
    want = estimators.get("exact").function(lambda d: d @ G, THETA.clone().requires_grad_())
    assert (sample.detach().mean(0) @ G).item() == pytest.approx(want.item(), abs=0.05)
    assert leaf.grad.isfinite().all()
    assert leaf.grad.abs().sum() > 1


def test_no_memory_is_no_missing_compiler(monkeypatch, built):
    def fails(*arguments, **options):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(_fused, "_launch", fails)
    with pytest.raises(torch.OutOfMemoryError):
        gumbel_rao(THETA, tau=0.5, k=3)
    monkeypatch.undo()
    assert gumbel_rao(THETA, tau=0.5, k=3).sum() == 1


@pytest.mark.parametrize("k", [3, INF])
def test_where_nothing_is_computed_no_kernel_is_launched(k):
    with FakeTensorMode():
        leaf = torch.zeros(5, 3, requires_grad=True)
        gumbel_rao(leaf, tau=0.5, k=k).sum().backward()
        assert leaf.grad.shape == (5, 3)


def test_what_is_kept_is_made_before_a_compiled_function_runs():
    """A captured graph would claim memory that is taken while it is captured."""
    _fused._constants.cache_clear()
    with FakeTensorMode():
        leaf = torch.zeros(5, 3, requires_grad=True)
        gumbel_rao(leaf, tau=0.5, k=INF).sum().backward()
    assert _fused._constants.cache_info().currsize == 1
    leaf = THETA.expand(5, 3).clone().requires_grad_()
    (gumbel_rao(leaf, tau=0.5, k=INF) * G).sum().backward()
    assert _fused._constants.cache_info()[:3] == (1, 1, 32)
    assert leaf.grad.isfinite().all()


COMPILE = """
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gumbelrao_edu.estimators import _fused

tile = {"F": tl.float32, "R": 32, "N": 8, "TERMS": 5}
sizes = dict.fromkeys(["rows", "n", "k", "each_tau", "count_nodes"], "i32")
numbers = dict.fromkeys(["z_step", "z_left", "z_outside"], "fp32")
for kernel, more in (
    (_fused._sample, {"MANY": False}),
    (_fused._sample, {"MANY": True}),
    (_fused._averaged, {"MANY": False, "WORDS": 4, "PAIRS": True}),
    (_fused._averaged, {"MANY": True, "WORDS": 4, "PAIRS": True}),
    (_fused._exact, {"L": 8}),
):
    constants = {**tile, **more}
    kinds = {**dict.fromkeys(constants, "constexpr"), **sizes, **numbers, "seeds": "*i64"}
    signature = {name: kinds.get(name, "*fp32") for name in kernel.arg_names}
    at = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=at)
    done = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert len(done.asm["cubin"]) > 1000
    print(kernel.__name__)
"""


def test_the_kernels_can_be_compiled_for_a_card(tmp_path):
    """Down to machine code for compute capability 9.0, for which no card is needed."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    kernels = ["_sample", "_sample", "_averaged", "_averaged", "_exact"]
    assert run.stdout.split() == kernels, run.stderr
