"""Time of a training step of the discrete VAE with each estimator, and where it goes.

    python benchmarks/vae.py                 # about a minute

8-ary, B = 20, hidden layers of 512 and 256, one thread, SGD with momentum and weight decay and all
of `Training`'s checks.
"""

from __future__ import annotations

import torch
from _steps import report

from gumbelrao_edu import estimators
from gumbelrao_edu.experiments import search
from gumbelrao_edu.figures.rows import ST_GS, Row, rows
from gumbelrao_edu.training.loop import Training
from gumbelrao_edu.vae import DiscreteVAE, load_digits_5k


def training(row: Row, images: torch.Tensor) -> Training:
    draws = torch.Generator().manual_seed(0)
    model = DiscreteVAE(
        8,
        estimators.sampler(row.estimator, generator=draws, **row.hyper),
        pixel_mean=images.float().mean(0),
        generator=torch.Generator().manual_seed(0),
    )
    return Training(
        model,
        search.loss,
        images,
        batch_size=20,
        learning_rate=0.001,
        momentum=0.9,
        weight_decay=1e-6,
        generators=[draws],
    )


def main() -> None:
    images = load_digits_5k().train
    order = (ST_GS, *(row for row in rows() if row != ST_GS))
    runs = {row.label: training(row, images) for row in order}
    report(runs, "ST-GS", description=__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
