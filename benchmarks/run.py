"""Speed and memory of the estimators, beside the plain implementation of the paper's appendix A.

    python benchmarks/run.py                   # every layer, about three minutes
    python benchmarks/run.py --quick           # one small layer
    python benchmarks/run.py --device cuda
    python benchmarks/run.py --tau 0.01        # 0.5 otherwise

Each estimator runs in turn within a round, so that a noisy machine disturbs all of them alike; a
time is the median over the rounds, of the forward and the backward pass of one layer. Memory is the
largest amount that tensors made in the call take at one time, measured in a run of its own.
The plain implementation follows the pseudo-code: all K Gumbel vectors at once, the Jacobian
of the softmax as an n × n matrix, then the average. `stacked` is plain without the matrix: autograd
through a softmax of shape [K, *batch, n].
"""

from __future__ import annotations

import argparse
import functools
import math
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from gumbelrao_edu import conditional_gumbel, default_device, gumbel_max, gumbel_rao
from gumbelrao_edu.surrogate import replace_gradient

LAYERS = {
    "240 binary": (20, 240, 2),
    "120 4-ary": (20, 120, 4),
    "80 8-ary": (20, 80, 8),
    "60 16-ary": (20, 60, 16),
    "32 1000-ary": (20, 32, 1000),
    "10 7-ary, batch 1": (1, 10, 7),  # as in one merge of a Tree-LSTM: the cost of a call
}
TOO_LARGE = 2e8  # elements: an n × n matrix for each row and k would not fit into memory


class AppendixA(torch.autograd.Function):
    """The pseudo-code of appendix A, line by line."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tau: float, k: int) -> Tensor:
        sample, _ = gumbel_max(logits)
        ctx.save_for_backward(sample, logits)
        ctx.tau, ctx.k = tau, k
        return sample

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        sample, logits = ctx.saved_tensors
        s = (conditional_gumbel(logits, sample, ctx.k) / ctx.tau).softmax(-1)
        jacobian = (torch.diag_embed(s) - s.unsqueeze(-1) * s.unsqueeze(-2)).mean(0) / ctx.tau
        return (grad.unsqueeze(-2) @ jacobian).squeeze(-2), None, None


def plain(logits: Tensor, tau: float, k: int) -> Tensor:
    sample: Tensor = AppendixA.apply(logits, tau, k)
    return sample


def stacked(logits: Tensor, tau: float, k: int) -> Tensor:
    sample, _ = gumbel_max(logits.detach())
    noise = conditional_gumbel(logits.detach(), sample, k) - logits.detach()
    return replace_gradient(sample, ((logits + noise) / tau).softmax(-1).mean(0))


def contestants(
    shape: tuple[int, ...], tau: float, ks: list[int]
) -> dict[str, Callable[[Tensor], Tensor]]:
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "F.gumbel_softmax": functools.partial(F.gumbel_softmax, tau=tau, hard=True),
        "gumbel_rao k=∞": functools.partial(gumbel_rao, tau=tau, k=math.inf),
    }
    numel = torch.Size(shape).numel()
    for k in ks:
        table[f"gumbel_rao k={k}"] = functools.partial(gumbel_rao, tau=tau, k=k)
        if numel * k <= TOO_LARGE:
            table[f"stacked k={k}"] = functools.partial(stacked, tau=tau, k=k)
        if numel * k * shape[-1] <= TOO_LARGE:
            table[f"appendix A k={k}"] = functools.partial(plain, tau=tau, k=k)
    return table


def once(estimator: Callable[[Tensor], Tensor], logits: Tensor, grad: Tensor) -> None:
    estimator(logits).backward(grad)
    logits.grad = None


def seconds(estimator: Callable[[Tensor], Tensor], logits: Tensor, grad: Tensor) -> float:
    if logits.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    once(estimator, logits, grad)
    if logits.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_bytes(estimator: Callable[[Tensor], Tensor], logits: Tensor, grad: Tensor) -> int:
    if logits.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        once(estimator, logits, grad)
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        once(estimator, logits, grad)
    alive = peak = 0
    for event in record.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak


def measure(
    device: torch.device, layers: list[str], tau: float, ks: list[int], rounds: int
) -> pd.DataFrame:
    rows = []
    for layer in layers:
        shape = LAYERS[layer]
        generator = torch.Generator(device).manual_seed(0)
        logits = torch.randn(shape, device=device, generator=generator, requires_grad=True)
        grad = torch.randn(shape, device=device, generator=generator)
        table = contestants(shape, tau, ks)
        times: dict[str, list[float]] = {name: [] for name in table}
        for estimator in table.values():
            once(estimator, logits, grad)  # warm up
        for _ in tqdm(range(rounds), desc=layer, leave=False):
            for name, estimator in table.items():
                times[name].append(seconds(estimator, logits, grad))
        reference = statistics.median(times["F.gumbel_softmax"])
        for name, estimator in table.items():
            median = statistics.median(times[name])
            rows.append(
                {
                    "layer": layer,
                    "estimator": name,
                    "ms": round(1e3 * median, 3),
                    "times F.gumbel_softmax": round(median / reference, 2),
                    "peak MiB": round(peak_bytes(estimator, logits, grad) / 2**20, 1),
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one small layer, three rounds")
    parser.add_argument("--device", type=torch.device, default=default_device())
    parser.add_argument("--tau", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="more only on an idle machine")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    layers = ["80 8-ary"] if arguments.quick else list(LAYERS)
    ks = [10, 100] if arguments.quick else [10, 100, 1000]
    rounds = 3 if arguments.quick else arguments.rounds
    print(
        f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} threads, "
        f"device {arguments.device}, batch 20 unless named, τ = {arguments.tau}, "
        f"median of {rounds} rounds"
    )
    found = measure(arguments.device, layers, arguments.tau, ks, rounds)
    print(found.to_string(index=False))


if __name__ == "__main__":
    main()
