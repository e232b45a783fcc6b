"""Of two commands in one folder the newer one goes on, and the older one writes nothing any more.

A command's claim is a file `unfinished/command-NAME` in the folder. The newer command makes its own
and removes the others. Of two that are made at the same moment the one with the greater name holds.
Nothing is overwritten, so that no command can take away by accident what another one has just done.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .errors import TakenOverError

_held: ContextVar[dict[Path, str]] = ContextVar("claims")


def unfinished(folder: Path) -> Path:
    """Where claims are, and what runs need to go on."""
    return folder / "unfinished"


def held() -> dict[Path, str]:
    """The claims of this command, by folder, for the processes that work for it."""
    return dict(_held.get({}))


def check() -> None:
    """Raise `TakenOverError` if a newer command works in a folder that this one has claimed."""
    for folder, name in held().items():
        if max(_names(folder), default=None) != name:
            raise TakenOverError(f"another command works in {folder}; this one ends")


@contextmanager
def holding(claims: dict[Path, str]) -> Iterator[None]:
    """Work for the command that has these claims, see `held`."""
    token = _held.set(claims)
    try:
        yield
    finally:
        _held.reset(token)


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Claim a folder, and remove what killed commands have left half written.

    What an older command is just writing is removed as well, so that it cannot put it in place.
    Where this command holds the folder already, nothing happens.

    Args:
        folder: is made if it is missing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name, claim(Path(name)):
        ...     check()
        ...     for older in unfinished(Path(name)).iterdir():
        ...         older.unlink()  # as a newer command does
        ...     check()
        Traceback (most recent call last):
        gumbelrao_edu.training.errors.TakenOverError: another command works in ...
    """
    if folder in held():
        yield
        return
    place = unfinished(folder)
    older = _names(folder)
    claims = {**held(), folder: _new(folder)}
    for name in older:
        (place / name).unlink(missing_ok=True)
    # Looked for before the claims: what is found is of one of these, or of a command that ended.
    beside = (folder, folder / "runs", folder / "models", place, *place.glob("*"))
    parts = [part for each in beside for part in each.glob(".*.part")]
    if max(_names(folder), default=None) == claims[folder]:  # else they may be of who holds
        for part in parts:
            part.unlink(missing_ok=True)
    try:
        with holding(claims):
            yield
    finally:
        with contextlib.suppress(OSError):  # a folder with runs that go on stays
            (place / claims[folder]).unlink(missing_ok=True)
            place.rmdir()


def renew(folder: Path) -> None:
    """Claim a held folder under another name: what works under the older one stops."""
    check()
    claims = _held.get()
    older, claims[folder] = claims[folder], _new(folder)
    (unfinished(folder) / older).unlink(missing_ok=True)


def _new(folder: Path) -> str:
    path = unfinished(folder) / f"command-{uuid.uuid4().hex}"
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # an ending command has removed the folder
            path.touch(exist_ok=False)
            return path.name


def _names(folder: Path) -> list[str]:
    return [path.name for path in unfinished(folder).glob("command-*") if path.is_file()]
