"""Results that another machine has computed, added to those here."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from . import claims
from .errors import DamagedFileError
from .files import copy, set_aside
from .run import read_row


def merge(source: Path, target: Path) -> dict[str, int]:
    """Copy the rows of runs that are missing here, or have failed here.

    A row is a file, named by what was computed: two machines never have different runs under one
    name. `reproduce` finds the new ones there and makes the tables of them. Where both have ended a
    run with different results, that here stays.

    Args:
        source: folder of all experiments, as the other machine has written it.
        target: the same here.

    Returns:
        How many rows were added, by the folder of the experiment. Failed runs are not.

    Raises:
        DamagedFileError: if a row there is damaged; nothing is copied then.
        TakenOverError: if a command begins to work in a folder meanwhile.

    Warns:
        UserWarning: when the results of a run differ.
    """
    files = sorted(source.glob("*/**/runs/*.json"))
    rows = {path: read_row(path) for path in files}
    ended = {path: row for path, row in rows.items() if row["status"] != "failed"}
    added = {path.relative_to(source).parts[0]: 0 for path in files}
    for name in added:
        with claims.claim((target / name).resolve()):
            for path, row in ended.items():
                if path.relative_to(source).parts[0] != name:
                    continue
                here = target / path.relative_to(source)
                known = _ended(here)
                if known is None:
                    copy(path, here)
                    added[name] += 1
                # As texts, for nan is not equal to itself.
                elif str(known["results"]) != str(row["results"]):
                    warnings.warn(
                        f"{here} stays, though {path} has other results of this run", stacklevel=2
                    )
    return added


def _ended(path: Path) -> dict[str, Any] | None:
    """The row of a run that did not fail, if there is one; a damaged one is set aside."""
    if not path.exists():
        return None
    try:
        row = read_row(path)
    except DamagedFileError as damage:
        set_aside(path, damage)
        return None
    return row if row["status"] != "failed" else None
