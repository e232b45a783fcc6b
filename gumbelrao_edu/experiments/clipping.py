"""Table 1 with clipped gradients: is what GR gains at a low temperature more than stability?"""

from __future__ import annotations

from dataclasses import replace

from ..figures.rows import (
    CLIPPED,
    GR_10,
    GR_10_CLIPPED,
    GR_INF,
    GR_INF_CLIPPED,
    ST_GS,
    ST_GS_CLIPPED,
)
from . import table1
from .experiment import Config
from .table1 import Grid


def configurations(grid: Grid) -> list[Config]:
    """Return what `table1.train` needs, seed by seed, so that a stopped grid has whole seeds.

    Args:
        grid: the profile.
    """
    configs = table1.configurations(grid)
    return sorted(
        configs, key=lambda config: (grid.seeds.index(config["seed"]), not config["clip"])
    )


_PAPER = Grid(
    tuple(range(5)),
    (0.05, 0.1, 0.2, 0.4),
    table1.PAPER_TAUS,
    (*CLIPPED, ST_GS, GR_10, GR_INF),
    published=True,
    validations=10,
)

# ST-GS without clipping is there beside the clipped rows, validated as often: in Table 1's profile
# of this name it is validated once an epoch, and diverges in its second or third.
EXPERIMENT = replace(
    table1.EXPERIMENT,
    name="clipping",
    title="Table 1 with clipped gradients",
    profiles={
        "smoke": Grid((0,), (0.5,), (0.01,), CLIPPED, epochs=1, train=100, dim=8),
        "lecture": Grid((0,), (0.1,), (0.01,), CLIPPED, epochs=1, train=12_000, dim=64),
        # Cut: all learning rates but two, and all temperatures but one.
        "cpu": Grid(
            (0, 1, 2),
            (0.05, 0.1),
            (0.01,),
            (ST_GS_CLIPPED, GR_10_CLIPPED, GR_INF_CLIPPED, ST_GS),
            validations=2,
        ),
        "paper": _PAPER,
        "gpu": _PAPER,
    },
    configurations=configurations,
    tables=lambda outcome: {
        "clipping": table1.summarise(outcome.runs),
        "epochs": table1.by_epoch(outcome),
    },
    page=lambda tables: table1.paper_form(tables["clipping"]).to_html(),
    text=lambda tables: table1.paper_form(tables["clipping"]).to_string(),
    shares=("table1",),
)
