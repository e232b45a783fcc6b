"""How much antithetic and quasi-Monte Carlo noise lower the variance of Gumbel-Rao given D.

    python benchmarks/noise.py          # prints the table of benchmarks/README.md, two minutes

Each entry is E var[∇GRMCK | D] with the noise named, divided by that with independent noise at the
same K: the mean over random problems (logits of standard deviation 1.5, gradients of 1), n classes.
The part of the variance that is due to D itself, var[∇GR], is not in it: no noise can lower it.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from gumbelrao_edu.estimators.gumbel_rao import Noise, averaged_vjp

PROBLEMS, REPEATS = 40, 250
NOISES: tuple[Noise, ...] = ("antithetic", "sobol")


def conditional_variance(
    g: Tensor, theta: Tensor, one_hot: Tensor, tau: float, k: int, noise: Noise, seed: int
) -> float:
    """Σ_a var[v_a | D], averaged over the problems, from repeated draws."""
    rows = [x.expand(REPEATS, *x.shape) for x in (g, theta, one_hot)]
    v = averaged_vjp(*rows, tau, k, torch.Generator().manual_seed(seed), noise)
    return float(v.var(0).sum(-1).mean())


def main() -> None:
    torch.set_num_threads(1)
    table = []
    for n in (2, 4, 16, 64):
        generator = torch.Generator().manual_seed(n)
        theta = 1.5 * torch.randn(PROBLEMS, n, generator=generator)
        g = torch.randn(PROBLEMS, n, generator=generator)
        index = torch.multinomial(theta.softmax(-1), 1, generator=generator)
        one_hot = torch.zeros_like(theta).scatter(-1, index, 1.0)
        for tau in (0.1, 0.5, 1.0):
            row: dict[str, object] = {"n": n, "τ": tau}
            for k in (2, 10, 100):
                iid = conditional_variance(g, theta, one_hot, tau, k, "iid", 0)
                for noise in NOISES:
                    value = conditional_variance(g, theta, one_hot, tau, k, noise, 1)
                    row[f"{noise} K={k}"] = round(value / iid, 2)
            table.append(row)
    print(pd.DataFrame(table).to_string(index=False))


if __name__ == "__main__":
    main()
