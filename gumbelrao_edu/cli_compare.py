"""The command `compare`: every estimator on a loss of yours."""

from __future__ import annotations

import argparse
import csv
import importlib
import io
import math
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ._checks import check_seed
from .cli_numbers import one_number, several_numbers
from .diagnostics import compare


class NotComparedError(Exception):
    """A comparison cannot be made; says why."""


def add_parser(commands: Any, add_out: Callable[[argparse.ArgumentParser], object]) -> None:
    """Add the command to a parser's commands; `add_out` adds the argument `--out` to its own."""
    parser = commands.add_parser(
        "compare",
        help="measure every estimator on a loss of yours",
        description="Measure bias, variance, mean squared error, direction, time and evaluations "
        "of every estimator on a loss of yours; print the table, and write it with a page.",
    )
    parser.add_argument(
        "--f",
        type=_named,
        required=True,
        metavar="MODULE:FUNCTION",
        help="maps one-hot samples [batch, variables, n] to losses [batch]",
    )
    parser.add_argument(
        "--logits",
        type=_named,
        metavar="MODULE:NAME",
        help="a tensor [variables, n], or a function that returns one; in place of --n, "
        "--variables and --scale",
    )
    count = one_number(int, "a whole number, at least 1 and below 2^31", lambda n: 1 <= n < 2**31)
    parser.add_argument("--n", type=count, default=8, help="classes (default: 8)")
    parser.add_argument("--variables", type=count, default=1, help="variables (default: 1)")
    parser.add_argument(
        "--scale",
        type=one_number(float, "a number from 0", lambda scale: 0 <= scale < math.inf),
        default=1.0,
        help="standard deviation of the logits, which are normal (default: 1)",
    )
    parser.add_argument(
        "--tau",
        type=several_numbers(float, "numbers"),
        default=[0.1, 0.5, 1.0],
        help="temperatures (default: 0.1,0.5,1)",
    )
    parser.add_argument(
        "--k",
        type=several_numbers(_k, "whole numbers or inf"),
        default=[10, math.inf],
        help="inner samples (default: 10,inf)",
    )
    parser.add_argument(
        "--estimators",
        type=_words,
        default="all",
        help="names with commas between, or all (the default)",
    )
    parser.add_argument(
        "--samples",
        type=one_number(int, "a whole number, at least 2", lambda n: n >= 2),
        default=2000,
        help="gradients to draw for each, at least 2 (default: 2000)",
    )
    seed = one_number(lambda text: check_seed(int(text)), "a whole number from −2^63 to 2^64 − 1")
    parser.add_argument("--seed", type=seed, default=0, help="of all draws (default: 0)")
    add_out(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compare, print, and write compare.csv and compare.html."""
    # Imported here, since the other commands do without plotly.
    from .figures.comparison import comparison_page
    from .training.files import write

    options.out.mkdir(parents=True, exist_ok=True)  # what is in the way is found before the work
    generator = torch.Generator("cpu").manual_seed(options.seed)
    try:
        logits = options.logits
        if logits is None:
            shape = (options.variables, options.n)
            try:
                logits = options.scale * torch.randn(shape, generator=generator)
            except RuntimeError as error:  # as torch has it
                raise ValueError(f"n, variables: no memory for so many numbers {shape}") from error
        elif not isinstance(logits, Tensor) and callable(logits):
            try:
                logits = logits()
            except Exception as error:
                raise ValueError(f"logits: got {type(error).__name__}: {error}") from error
        if isinstance(logits, Tensor) and logits.device != generator.device:
            try:
                generator = torch.Generator(logits.device).manual_seed(options.seed)
            except RuntimeError as error:  # as of the device "meta"
                raise ValueError(f"logits: no numbers can be drawn on {logits.device}") from error
        found = compare(
            options.f,
            logits,
            tau=options.tau,
            k=options.k,
            estimators=options.estimators,
            num_samples=options.samples,
            generator=generator,
        )
    except (TypeError, ValueError) as error:
        raise NotComparedError(f"compare: {error}{_where(error.__cause__)}") from error
    except SystemExit as error:  # of the user's code; it would end the command without a word
        what = f"f ends the program (SystemExit: {error.code})"
        raise NotComparedError(f"compare: {what}{_where(error)}") from error
    print(found)
    table = io.StringIO()
    rows = found.table()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(options.out / "compare.csv", table.getvalue())
    write(options.out / "compare.html", comparison_page(found))
    print(f"written: {options.out / 'compare'}.csv and .html")


# --- Arguments ------------------------------------------------------------------------------------


def _named(text: str) -> Any:
    """What MODULE:NAME names; the current folder is looked in, too."""
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise argparse.ArgumentTypeError(f"expected MODULE:NAME, got {text!r}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise argparse.ArgumentTypeError(
            f"{module} cannot be imported: {type(error).__name__}: {error}"
        ) from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise argparse.ArgumentTypeError(f"{module} has nothing named {name}")
        found = getattr(found, part)
    return found


def _where(error: BaseException | None) -> str:
    """The last line of the user's own code that an error came through."""
    libraries = [Path(file).parent for file in (__file__, torch.__file__)]
    frames = traceback.extract_tb(error.__traceback__) if error else []
    files = [(Path(frame.filename), frame.lineno) for frame in frames]
    own = [at for at in files if not any(at[0].is_relative_to(folder) for folder in libraries)]
    return f" ({own[-1][0].name}, line {own[-1][1]})" if own else ""


def _k(text: str) -> float:
    return math.inf if text.strip().lower() in ("inf", "∞") else int(text)


def _words(text: str) -> str | list[str]:
    return text if text == "all" else [part.strip() for part in text.split(",")]
