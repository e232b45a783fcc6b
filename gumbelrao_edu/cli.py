"""The command line: `python -m gumbelrao_edu COMMAND`."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO, cast

from . import __version__, cli_compare
from ._download import DATA_DIR_VARIABLE, INSTALL, DataError, data_dir
from .cli_numbers import one_number
from .experiments import EXPERIMENTS, PROFILES, RunsFailedError, reproduce
from .listops.data import fetch_listops
from .training import BACKENDS, MAX_JOBS
from .training.errors import BackendError, DamagedFileError, LimitReachedError, TakenOverError
from .training.limit import time_limit
from .vae.data import fetch_binarized_mnist


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows the program's name; those of the process by default.

    Returns:
        The exit status: 0, or 1 after a message on the standard error; 130 after an interrupt, 124
        when a limit of time was reached.

    Example:
        >>> main(["data", "--where"])  # doctest: +SKIP
        /home/ada/.cache/gumbelrao_edu
        0
    """
    for number in range(3):  # what is opened later must not be taken for a closed output
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    with (
        contextlib.redirect_stdout(cast(TextIO, _Listener(sys.stdout))),
        contextlib.redirect_stderr(cast(TextIO, _Listener(sys.stderr))),
    ):
        return _main(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gumbelrao_edu",
        description="Compare estimators of a gradient on a loss of yours, and compute the "
        "experiments of the Gumbel-Rao paper.",
    )
    parser.add_argument("--version", action="version", version=f"gumbelrao_edu {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    data = commands.add_parser(
        "data",
        help="download and verify the full data",
        description="Download the full data (binarized MNIST, 3.9 MB, and ListOps, 28 MB), or "
        f"verify what is there. {DATA_DIR_VARIABLE} chooses the folder.",
    )
    data.add_argument("--where", action="store_true", help="only print the folder")
    data.set_defaults(run=_data)

    compute = commands.add_parser(
        "reproduce",
        help="compute a figure or a table of the paper anew",
        description="Compute a figure or a table of the paper anew and write it with its numbers. "
        "What was stopped goes on, and what is there already is not computed again.",
    )
    compute.add_argument(
        "experiment",
        choices=sorted(EXPERIMENTS),
        help="a figure or a table of the paper, or what is not in it: annealing (a falling "
        "temperature), clipping (Table 1 with clipped gradients), seeds (Table 2 with other "
        "seeds), successors (later estimators)",
    )
    compute.add_argument(
        "--profile",
        choices=PROFILES,
        default="lecture",
        help="how much is computed: seconds (smoke), a minute (lecture), minutes to hours (cpu; "
        "seeds more than a day), the paper's protocol (paper), or nearly that in one program on a "
        "GPU (gpu); default: lecture",
    )
    _add_out(compute)
    compute.add_argument(
        "--jobs",
        type=one_number(int, f"a whole number from 1 to {MAX_JOBS}", lambda n: 1 <= n <= MAX_JOBS),
        default=1,
        help="runs at a time, one thread each; at most one for each core, two on a single one "
        "(default: 1)",
    )
    compute.add_argument(
        "--backend",
        choices=BACKENDS,
        default="joblib",
        help="this machine (joblib), or a cluster that runs already",
    )
    compute.add_argument(
        "--limit",
        type=one_number(
            float,
            f"a number of seconds above 0, below {threading.TIMEOUT_MAX:g}",
            lambda s: 0 < s < threading.TIMEOUT_MAX,
        ),
        metavar="SECONDS",
        help="stop after so long and say what is left, with exit status 124; the same command goes "
        "on",
    )
    compute.set_defaults(run=_reproduce, parser=compute)

    merge = commands.add_parser(
        "merge",
        help="add the runs of another folder of results",
        description="Copy from the results of another machine the runs that are missing here. Then "
        "`reproduce` with the profile of these runs makes the tables.",
    )
    merge.add_argument("folder", type=_results_to_merge, help="the results of the other machine")
    _add_out(merge)
    merge.set_defaults(run=_merge)

    judge = commands.add_parser(
        "verdicts",
        help="say of each claim of the paper whether the results bear it",
        description="Write README.md and verdicts.csv beside the results of `reproduce`: for each "
        "claim of the paper what was measured, the rule that decides, and the verdict.",
    )
    _add_out(judge, _results_to_judge)
    judge.set_defaults(run=_verdicts)

    cli_compare.add_parser(commands, _add_out)
    return parser


def _main(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    if (
        options.run is _reproduce
        and options.profile not in EXPERIMENTS[options.experiment].profiles
    ):
        known = ", ".join(EXPERIMENTS[options.experiment].profiles)
        options.parser.error(
            f"--profile: {options.experiment} has {known}, got {options.profile!r}"
        )
    kept = options.run in (_data, _reproduce, _merge)  # what these have done
    goes_on = " The same command goes on from here." if kept else ""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            options.run(options)
    except (
        ArithmeticError,
        BackendError,
        DamagedFileError,
        DataError,
        RunsFailedError,
        TakenOverError,
        cli_compare.NotComparedError,
    ) as error:
        return _fail(str(error))
    except OSError as error:
        name = error.filename2 or error.filename  # of two the second is what was to be made
        where = f": {name}" if name else ""
        in_the_way = isinstance(error, (FileExistsError, IsADirectoryError, NotADirectoryError))
        return _fail(f"{error.strerror or error}{where}.{'' if in_the_way else goes_on}")
    except ModuleNotFoundError as error:
        return _fail(f"this needs {error.name}: {INSTALL}")
    except LimitReachedError as limit:
        _fail(str(limit))
        return 124  # as timeout(1) has it
    except KeyboardInterrupt as interrupt:
        # What has something to say when it is stopped says itself how to go on.
        _fail(_sentence(str(interrupt)) if str(interrupt) else f"Stopped.{goes_on}")
        return 130
    return 0


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


class _Listener(io.TextIOBase):
    """What a computation prints to, and which it outlives.

    A letter that cannot be written is written as its number. Once nobody reads any more (`| head`),
    or there is no room, what is printed is lost.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        self._try("write", text)
        self.flush()
        return len(text)

    def flush(self) -> None:
        self._try("flush")

    def _try(self, name: str, *arguments: str) -> None:
        if self._stream is None:  # was closed by the caller
            return
        try:
            getattr(self._stream, name)(*arguments)
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):  # Python writes the rest at its end
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
            self._stream = None

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("nobody listens")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"


def _show_warning(message: Warning | str, *where: object, **more: object) -> None:
    """A sentence, without the place in the code."""
    print(message, file=sys.stderr)


def _folder(text: str) -> Path:
    path = Path(text)
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a folder, got no name (. is the one you are in)")
    try:
        path.resolve()
        files = [each for each in (path, *path.parents) if each.exists() and not each.is_dir()]
    except (OSError, RuntimeError) as error:  # it is too long, or a link to itself
        why = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"expected a folder: {why}") from None
    if files:
        raise argparse.ArgumentTypeError(f"expected a folder, but {files[0]} is a file")
    return path


def _add_out(parser: argparse.ArgumentParser, folder: Callable[[str], Path] = _folder) -> None:
    parser.add_argument(
        "--out",
        type=folder,
        default="results",  # a text, so that it is looked at as if it had been given
        help="folder of the files (default: results)",
    )


def _results(text: str) -> Path:
    if not (path := _folder(text)).exists():
        raise argparse.ArgumentTypeError(f"expected a folder with results, but {text} is not there")
    if (path / "runs").is_dir():
        raise argparse.ArgumentTypeError(
            f"expected the folder of all experiments, but {text} is that of one"
        )
    return path


def _results_to_merge(text: str) -> Path:
    path = _results(text)
    if not any((path / name).is_dir() for name in EXPERIMENTS):
        raise _no_results(text)
    return path


def _no_results(text: str) -> argparse.ArgumentTypeError:
    names = ", ".join(EXPERIMENTS)
    return argparse.ArgumentTypeError(
        f"expected a folder with results, but in {text} are none of {names}"
    )


def _results_to_judge(text: str) -> Path:
    """What is written beside the results must not replace a README of another folder."""
    from .experiments.verdicts import TITLE

    path = _results(text)
    if not any(
        (path / name / "runs").is_dir() or (path / name / f"{name}.csv").is_file()
        for name in EXPERIMENTS
    ):
        raise _no_results(text)
    readme = path / "README.md"
    if readme.is_file():
        with readme.open(encoding="utf-8", errors="replace") as file:
            if file.readline().strip() != TITLE:
                raise argparse.ArgumentTypeError(
                    f"expected a folder in which README.md is of this command, but {readme} is "
                    f"another; move it away"
                )
    return path


def _data(options: argparse.Namespace) -> None:
    if options.where:
        print(data_dir())
        return
    for fetch in (fetch_binarized_mnist, fetch_listops):
        for path in fetch():
            print(f"verified: {path}")


def _reproduce(options: argparse.Namespace) -> None:
    with time_limit(options.limit):
        reproduce(
            EXPERIMENTS[options.experiment],
            options.profile,
            options.out,
            jobs=options.jobs,
            backend=options.backend,
        )


def _merge(options: argparse.Namespace) -> None:
    from .training.merge import merge

    added = merge(options.folder, options.out, EXPERIMENTS)
    for name, count in added.items():
        print(f"{name}: {count} runs added")
    if not added:
        print(f"there are no runs in {options.folder}")


def _verdicts(options: argparse.Namespace) -> None:
    from .experiments.verdicts import write_verdicts

    counts = write_verdicts(options.out).verdict.value_counts()
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    print(f"written to {options.out}: README.md, verdicts.csv")
