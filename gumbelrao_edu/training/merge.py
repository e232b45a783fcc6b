"""Results that another machine has computed, added to those here."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import claims
from .errors import DamagedFileError
from .files import replacing, set_aside
from .runs import read_row


def merge(source: Path, target: Path) -> dict[str, int]:
    """Copy the rows of runs that are missing here, or have failed here.

    A row is a file, named by what was computed: two machines never have different runs under one
    name. `reproduce` finds the new ones there and makes the tables of them.

    Args:
        source: folder of all experiments, as the other machine has written it.
        target: the same here.

    Returns:
        How many rows were added, by the folder of the experiment. Failed runs are not.

    Raises:
        DamagedFileError: if a row there is damaged; nothing is copied then.
        TakenOverError: if a command begins to work in a folder meanwhile.
    """
    files = sorted(source.glob("*/**/runs/*.json"))
    ended = [path for path in files if read_row(path)["status"] != "failed"]
    added = {path.relative_to(source).parts[0]: 0 for path in files}
    for name in added:
        with claims.claim((target / name).resolve()):
            for path in ended:
                here = target / path.relative_to(source)
                if path.relative_to(source).parts[0] == name and not _ended(here):
                    with path.open("rb") as row, replacing(here, "wb") as copy:
                        shutil.copyfileobj(row, copy)
                    added[name] += 1
    return added


def _ended(path: Path) -> bool:
    """Whether there is a row of a run that did not fail; a damaged one is set aside."""
    if not path.exists():
        return False
    try:
        return bool(read_row(path)["status"] != "failed")
    except DamagedFileError as damage:
        set_aside(path, damage)
        return False
