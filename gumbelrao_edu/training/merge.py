"""Results that another machine has computed, added to those here."""

from __future__ import annotations

import glob
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from . import claims
from .errors import DamagedFileError
from .files import copy, set_aside
from .run import has_ended, read_row, read_rows


def merge(source: Path, target: Path, names: Iterable[str]) -> dict[str, int]:
    """Copy the rows of runs that are missing here, or have failed here.

    A row is a file, named by what was computed: two machines never have different runs under one
    name. `reproduce` finds the new ones there and makes the tables of them. Where both have ended a
    run with different results, that here stays, and what was computed there with its weights is
    left out. A command that works in a folder to which rows are added ends, as for any newer one;
    the same command goes on.

    Args:
        source: folder of all experiments, as the other machine has written it.
        target: the same here.
        names: of the experiments, each with its folder; what else is there is left out.

    Returns:
        How many rows were added, by the folder of the experiment. Failed runs are not.

    Raises:
        DamagedFileError: if a row there is damaged; nothing is copied then.
        TakenOverError: if a command begins to work in a folder meanwhile.

    Warns:
        UserWarning: when the results of a run differ, or a file there has not the name of its run;
            it is left out.
    """
    files = sorted(path for name in names for path in (source / name).glob("**/runs/*.json"))
    try:
        rows = read_rows(files)
    except DamagedFileError as damage:
        raise DamagedFileError(
            f"{damage}; nothing was added: compute that run anew there, or move the file away"
        ) from damage
    added = {path.relative_to(source).parts[0]: 0 for path in files}
    ended = {path: row for path, row in rows.items() if has_ended(row)}
    for name in added:
        theirs = {p: row for p, row in ended.items() if p.relative_to(source).parts[0] == name}
        known = {path: _ended(target / path.relative_to(source)) for path in theirs}
        # Trainings here whose weights are not those there; their tests there are of other models.
        differing = [theirs[p]["config"] for p, row in known.items() if _differ(row, theirs[p])]
        theirs = {
            path: row
            for path, row in theirs.items()
            if known[path] is not None or not _goes_with(row["config"], differing)
        }
        # Where nothing is new, who computes in the folder goes on. He may also end a run meanwhile.
        if all(known[path] is not None for path in theirs):
            claimed: AbstractContextManager[object] = nullcontext()
        else:
            claimed = claims.claim((target / name).resolve())
        with claimed:
            for path, row in theirs.items():
                here = target / path.relative_to(source)
                ended_here = _ended(here, set_aside)
                if ended_here is None:
                    adopt(path, here)
                    added[name] += 1
                elif _differ(ended_here, row):
                    warnings.warn(
                        f"{here} stays, though {path} has other results of this run", stacklevel=2
                    )
    return added


def adopt(source: Path, target: Path) -> None:
    """Copy the row of a run from another folder, where here is none that has ended.

    Weights that lie here, and what was computed with them, are of another training, one that did
    not end or whose row was lost. They go first: else they would be taken for those of this one.

    Args:
        source: the row there.
        target: where it belongs here.
    """
    folder, config = target.parents[1], read_row(source)["config"]
    (folder / "models" / f"{target.stem}.safetensors").unlink(missing_ok=True)
    title = glob.escape(target.stem.rpartition("-")[0])
    for test in (folder / "test" / "runs").glob(f"{title}-*.json"):
        row = _ended(test)
        if row is not None and _goes_with(row["config"], [config]):
            test.unlink()
    copy(source, target)


def _differ(here: dict[str, Any] | None, there: Mapping[str, Any]) -> bool:
    """Whether a run has ended here with other results than there."""
    return here is not None and _text(here) != _text(there)


def _goes_with(config: Mapping[str, Any], trainings: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it is that of a test of one of these trainings, and says more than theirs."""
    return any(training.items() <= config.items() for training in trainings)


def _ended(
    path: Path, damaged: Callable[[Path, object], object] = lambda path, damage: None
) -> dict[str, Any] | None:
    """The row of a run that did not fail, if there is one; `damaged` is called if it is damaged."""
    try:
        row = read_row(path) if path.exists() else None
    except DamagedFileError as damage:
        damaged(path, damage)
        return None
    return row if has_ended(row) else None


def _text(row: Mapping[str, Any]) -> str:
    """The results, in any order of their names; as a text, for nan is not equal to itself."""
    return json.dumps(row["results"], sort_keys=True)
