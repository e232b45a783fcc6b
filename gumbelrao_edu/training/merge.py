"""Results that another machine has computed, added to those here."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import claims
from .errors import DamagedFileError
from .files import copy, set_aside
from .run import is_copy, read_row


def merge(source: Path, target: Path) -> dict[str, int]:
    """Copy the rows of runs that are missing here, or have failed here.

    A row is a file, named by what was computed: two machines never have different runs under one
    name. `reproduce` finds the new ones there and makes the tables of them. Where both have ended a
    run with different results, that here stays. A command that works in a folder to which rows are
    added ends, as for any newer one; the same command goes on.

    Args:
        source: folder of all experiments, as the other machine has written it.
        target: the same here.

    Returns:
        How many rows were added, by the folder of the experiment. Failed runs are not.

    Raises:
        DamagedFileError: if a row there is damaged; nothing is copied then.
        TakenOverError: if a command begins to work in a folder meanwhile.

    Warns:
        UserWarning: when the results of a run differ, or a file there has not the name of its run;
            it is left out.
    """
    files = sorted(source.glob("*/**/runs/*.json"))
    rows = {path: read_row(path) for path in files}
    new: dict[str, list[Path]] = {path.relative_to(source).parts[0]: [] for path in files}
    for path, row in rows.items():
        here = target / path.relative_to(source)
        if is_copy(path, row):
            warnings.warn(f"{path} is left out: it has not the name of its run", stacklevel=2)
        elif row["status"] == "failed":
            continue
        elif (known := _ended(here)) is None:
            new[path.relative_to(source).parts[0]].append(path)
        elif _text(known) != _text(row):
            warnings.warn(
                f"{here} stays, though {path} has other results of this run", stacklevel=2
            )
    for name, paths in new.items():
        if not paths:
            continue  # what is computed in that folder goes on
        with claims.claim((target / name).resolve()):
            for path in paths:
                here = target / path.relative_to(source)
                _set_damaged_aside(here)
                copy(path, here)
    return {name: len(paths) for name, paths in new.items()}


def _ended(path: Path) -> dict[str, Any] | None:
    """The row of a run that did not fail, if there is one that can be read."""
    try:
        row = read_row(path) if path.exists() else None
    except DamagedFileError:
        return None
    return row if row is not None and row["status"] != "failed" else None


def _set_damaged_aside(path: Path) -> None:
    try:
        if path.exists():
            read_row(path)
    except DamagedFileError as damage:
        set_aside(path, damage)


def _text(row: Mapping[str, Any]) -> str:
    """The results, in any order of their names; as a text, for nan is not equal to itself."""
    return json.dumps(row["results"], sort_keys=True)
