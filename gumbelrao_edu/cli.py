"""The command line: `python -m gumbelrao_edu COMMAND`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._download import DATA_DIR_VARIABLE, DataError, data_dir
from .listops.data import fetch_listops
from .training.errors import BackendError, TakenOverError
from .vae.data import fetch_binarized_mnist

if TYPE_CHECKING:
    import pandas as pd


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows the program's name; those of the process by default.

    Returns:
        The exit status: 0, or 1 after a message on the standard error.

    Example:
        >>> main(["data", "--where"])  # doctest: +SKIP
        /home/ada/.cache/gumbelrao_edu
        0
    """
    parser = argparse.ArgumentParser(prog="python -m gumbelrao_edu", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    data = commands.add_parser(
        "data",
        help="download and verify the full data",
        description="Download the full data (binarized MNIST, 3.9 MB, and ListOps, 28 MB), or "
        f"verify what is there. {DATA_DIR_VARIABLE} chooses the folder.",
    )
    data.add_argument("--where", action="store_true", help="only print the folder")
    data.set_defaults(run=_data)

    reproduce = commands.add_parser(
        "reproduce",
        help="compute a figure or a table of the paper anew",
        description="Compute a figure or a table of the paper anew and write it with its numbers. "
        "What was stopped goes on, and what is there already is not computed again.",
    )
    reproduce.add_argument("experiment", choices=sorted(EXPERIMENTS))
    reproduce.add_argument(
        "--profile",
        choices=("smoke", "lecture", "cpu", "paper"),
        default="lecture",
        help="how much is computed: seconds, a minute, minutes, hours (default: lecture)",
    )
    reproduce.add_argument(
        "--out", type=Path, default=Path("results"), help="folder of the files (default: results)"
    )
    reproduce.add_argument(
        "--jobs", type=_count, default=1, help="trainings at a time, one thread each (not for fig1)"
    )
    reproduce.add_argument(
        "--backend",
        choices=("joblib", "dask", "ray"),
        default="joblib",
        help="this machine (joblib), or a cluster that runs already (not for fig1)",
    )
    reproduce.set_defaults(run=lambda options: EXPERIMENTS[options.experiment](options))

    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ArithmeticError, DataError, BackendError, TakenOverError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def _data(options: argparse.Namespace) -> None:
    if options.where:
        print(data_dir())
        return
    for fetch in (fetch_binarized_mnist, fetch_listops):
        for path in fetch():
            print(f"right: {path}")


def _fig1(options: argparse.Namespace) -> None:
    # Imported here, since the other commands do without pandas and plotly.
    from .experiments import fig1
    from .experiments._fig1_page import figure_1_page
    from .training.files import write

    table = fig1.run(fig1.PROFILES[options.profile], options.out)
    write(options.out / "fig1.html", figure_1_page(table))
    print(f"written: {options.out / 'fig1'}.csv, .json and .html")


def _grid(
    options: argparse.Namespace, page: Callable[[pd.DataFrame, Path], str] | None = None
) -> None:
    """Run what trains many models; a figure's page is made from its numbers and their folder."""
    from .training.files import write

    name = options.experiment
    module = importlib.import_module(f".experiments.{name}", __package__)
    out = options.out / name
    settings = module.PROFILES[options.profile]
    table = module.run(settings, out, jobs=options.jobs, backend=options.backend)
    if page is not None:
        write(out / f"{name}.html", page(table, out))
    print(f"written: {out / name}.csv and .html, {out / 'runs.csv'}")


def _fig2(options: argparse.Namespace) -> None:
    import pandas as pd

    from .experiments._fig23_page import figure_2_page

    def page(table: pd.DataFrame, out: Path) -> str:
        reached = out / "thresholds.csv"
        return figure_2_page(table, pd.read_csv(reached) if reached.exists() else None)

    _grid(options, page)


def _fig3(options: argparse.Namespace) -> None:
    from .experiments._fig23_page import figure_3_page

    _grid(options, lambda table, _: figure_3_page(table))


def _fig4(options: argparse.Namespace) -> None:
    from .experiments._fig4_page import figure_4_page

    _grid(options, lambda table, _: figure_4_page(table))


# What `reproduce` knows, by the names of the paper.
EXPERIMENTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "fig1": _fig1,
    "fig2": _fig2,
    "fig3": _fig3,
    "fig4": _fig4,
    "table1": _grid,
    "table2": _grid,
    "table3": _grid,
}
