"""Figure 3: variance of the draws and of the minibatch, over training, at all arities."""

from __future__ import annotations

from dataclasses import replace

from . import fig2
from .trajectories import run

__all__ = ["PROFILES", "run"]

# Those of Figure 2 at one temperature and without the bias.
PROFILES = {
    name: replace(
        settings,
        arities=(8, 16) if name in ("smoke", "lecture") else (2, 4, 8, 16),
        taus=settings.taus[:1],
        bias_batches=0,
    )
    for name, settings in fig2.PROFILES.items()
}
