"""One cell of Table 2 in full, on a GPU when there is one: how long it takes here, then the cell.

    python benchmarks/table2_cell.py GR-MC100                       # says how long; a minute
    python benchmarks/table2_cell.py GR-MC100 --run                 # 20 trainings, and the test

The runs are those of `reproduce table2 --profile paper`, which finds them in the same
`--out`. The tables there are then of this cell alone, until that command makes those of all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gumbelrao_edu import default_device
from gumbelrao_edu.experiments import reproduce, search, table2
from gumbelrao_edu.experiments.search import Search
from gumbelrao_edu.figures.rows import row_of_label, rows

_WARMING_UP, _STEPS = 50, 200


def expected_seconds(profile: Search) -> dict[str, float]:
    """Time 200 steps and the bound of 200 images, and return what the whole cell will take.

    Args:
        profile: of one cell; its runs are assumed to take turns.

    Returns:
        Seconds for "trainings", the bounds of all of them on the "validation" set, and the bound
        of the chosen one on the "test" set.
    """
    config = search.configurations(profile)[0]
    training = search.begin(config, *search.build(config))
    training.run(_WARMING_UP, every=_WARMING_UP)
    step = _seconds(training.run, _WARMING_UP + _STEPS, every=_STEPS) / _STEPS
    data = search.digits(profile.full)
    images = data.valid[: profile.images][: search.BOUND_CHUNK]  # as many as in the runs
    bound: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for samples in {profile.valid_samples, profile.test_samples}:
            file = Path(folder) / f"{samples}.safetensors"
            options: dict[str, Any] = {"about": config, "tick": lambda fraction: None}
            arguments = (training.model, images, samples, file)
            bound[samples] = _seconds(search.bounds, *arguments, **options) / len(images)
    return {
        "trainings": profile.draws * profile.steps * step,
        "validation": profile.draws
        * len(data.valid[: profile.images])
        * bound[profile.valid_samples],
        "test": len(data.test[: profile.images]) * bound[profile.test_samples],
    }


def _seconds(function: Any, *arguments: Any, **options: Any) -> float:
    start = time.perf_counter()
    function(*arguments, **options)  # ends with a number on the CPU, so the GPU has ended, too
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("row", choices=[row.label for row in rows()])
    parser.add_argument("--arity", type=int, choices=(2, 4, 8, 16), default=8)
    parser.add_argument("--batch-size", type=int, choices=(20, 200), default=20)
    parser.add_argument("--profile", choices=("smoke", "paper"), default="paper")
    parser.add_argument("--run", action="store_true", help="compute the cell")
    parser.add_argument("--jobs", type=int, default=1, help="trainings that share the GPU")
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error(f"--jobs: expected at least 1, got {options.jobs}")

    cell = (row_of_label(options.row), options.arity, options.batch_size)
    profile = replace(table2.EXPERIMENT.profiles[options.profile], cells=lambda: [cell])
    torch.set_num_threads(1)  # as in the runs
    parts = expected_seconds(profile)
    print(f"expected on {default_device()}, one run at a time: {sum(parts.values()) / 60:.1f} min")
    if default_device().type == "cuda" and options.jobs == 1:
        print(f"(its {profile.draws} trainings are computed in one program: a part of that)")
    print(", ".join(f"{name} {seconds / 60:.1f}" for name, seconds in parts.items()))
    if options.run:
        together = None if options.jobs == 1 else False
        tables = reproduce(
            table2.EXPERIMENT, profile, options.out, jobs=options.jobs, together=together
        )
        print(tables["table2"].to_string(index=False))


if __name__ == "__main__":
    main()
