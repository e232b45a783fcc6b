"""The command line: `python -m gumbelrao_edu COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..vae.data import DATA_DIR_VARIABLE, DataError, data_dir, fetch_binarized_mnist


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
        description="Download the full data (binarized MNIST, 3.9 MB), or verify what is there. "
        f"{DATA_DIR_VARIABLE} chooses the folder.",
    )
    data.add_argument("--where", action="store_true", help="only print the folder")
    data.set_defaults(run=_data)

    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def _data(options: argparse.Namespace) -> None:
    if options.where:
        print(data_dir())
        return
    for path in fetch_binarized_mnist():
        print(f"right: {path}")
