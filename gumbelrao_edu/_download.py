"""Data from the network: where it lies, that it is right, and what to do when it cannot be had."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO

DATA_DIR_VARIABLE = "GUMBELRAO_DATA_DIR"
INSTALL = "pip install 'gumbelrao_edu[course] @ git+https://github.com/gumbelrao-edu/gumbelrao_edu'"
_MOST = 2**26  # bytes; the largest published file has 24 MB
_PATIENCE = 30.0  # seconds for which a server may be slow
_SLOWEST = 1000.0  # bytes a second, on average, that it has to send after that
_COMMAND = "python -m gumbelrao_edu data"
_PART = ".gumbelrao_edu-download-"  # the folder of data may be the user's: theirs are never touched


class DataError(RuntimeError):
    """Data that cannot be had; the message says why and what to do."""


class _ServerError(OSError):
    """A server that sends without end, or next to nothing; another try would be no better."""


class _Limited:
    """What pooch writes a download to: it may not grow without end, nor take for ever."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._size, self._start = file, 0, time.monotonic()

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        seconds = time.monotonic() - self._start
        if self._size > _MOST:
            raise _ServerError(f"the server sends more than {_MOST / 1e6:.0f} MB")
        if seconds > _PATIENCE and self._size < _SLOWEST * seconds:
            raise _ServerError(f"the server sends less than {_SLOWEST:.0f} bytes a second")
        self._file.write(chunk)

    def flush(self) -> None:
        self._file.flush()


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
        name: what it is called in the data folder.
        url: where it is published.
        known: its SHA-256; or `git:` and its git blob id, the SHA-1 of `blob <size>`, a zero byte
            and the content.
    """

    name: str
    url: str
    known: str

    @property
    def path(self) -> Path:
        """Where it lies, or will lie."""
        return data_dir() / self.name

    @property
    def hash_name(self) -> str:
        """What `known` is, for a reader."""
        return "git blob id" if self.known.startswith("git:") else "SHA-256"

    def is_right(self, path: str | Path) -> bool:
        """Whether the content of `path` is the one published."""
        if Path(path).stat().st_size > _MOST:  # not read: it might not fit into memory
            return False
        content = Path(path).read_bytes()
        if self.known.startswith("git:"):
            header = b"blob %d\0" % len(content)
            return f"git:{hashlib.sha1(header + content).hexdigest()}" == self.known
        return hashlib.sha256(content).hexdigest() == self.known


def data_dir() -> Path:
    """The folder for downloaded data: `GUMBELRAO_DATA_DIR`, else the platform's cache folder.

    Example:
        >>> data_dir().is_absolute()
        True
    """
    pooch = _pooch()
    store = pooch.create(pooch.os_cache("gumbelrao_edu"), base_url="", env=DATA_DIR_VARIABLE)
    return Path(store.abspath)


def fetch(files: Sequence[File], *, otherwise: str, progress: bool = True) -> list[Path]:
    """Make sure that the files are in the data folder, and right.

    A file that is already right is not fetched again, so an interrupted download goes on with the
    next call. A wrong one is replaced once the right one has arrived.

    Args:
        files: what is wanted.
        otherwise: ends the message of an error: what needs no download.
        progress: show a progress bar for each file that is downloaded.

    Returns:
        The path of each file.

    Raises:
        DataError: when a file can neither be found nor downloaded and stored.
    """
    for file in files:
        try:
            if not (file.path.is_file() and file.is_right(file.path)):
                _download(file, progress)
        except (OSError, ValueError) as error:
            wrong = f"{file.path} is not the file expected and was left as it is. "
            raise DataError(
                f"{file.name}: {_reason(error, file.path.parent)}\n"
                f"{wrong if file.path.exists() else ''}"
                f"Try again ({_COMMAND}), or put the file into {file.path.parent} yourself:\n"
                f"{file.url}\n{otherwise}"
            ) from error
    return [file.path for file in files]


def are_there(files: Sequence[File], *, otherwise: str) -> bool:
    """Whether all files are in the data folder, and right; warns when one is wrong.

    Args:
        files: what is wanted.
        otherwise: what is used instead, for the warning, which names the line that called the
            caller of this function.
    """
    if importlib.util.find_spec("pooch") is None:
        return False
    try:
        if not all(file.path.is_file() for file in files):
            return False
        wrong = [str(file.path) for file in files if not file.is_right(file.path)]
    except OSError as error:
        warnings.warn(f"the data folder cannot be read: {error}. {otherwise}.", stacklevel=3)
        return False
    if wrong:
        warnings.warn(
            f"not the files expected: {', '.join(wrong)}. {otherwise}; {_COMMAND} replaces them.",
            stacklevel=3,
        )
    return not wrong


def _download(file: File, progress: bool) -> None:
    pooch = _pooch()

    def checked(url: str, path: str, store: object) -> None:
        # pooch knows no git blob ids. After a ValueError it tries again. The chunks are small, so
        # that a server that sends a byte now and then is noticed.
        with open(path, "wb") as content:
            download = pooch.HTTPDownloader(progressbar=progress, chunk_size=64)
            download(url, _Limited(content), store)
        if not file.is_right(path):
            raise ValueError(f"its {file.hash_name} differs")

    file.path.parent.mkdir(parents=True, exist_ok=True)
    for left in file.path.parent.glob(f"{_PART}*"):  # by a download that was killed
        with contextlib.suppress(FileNotFoundError):  # another process may remove it, too
            # The folder itself keeps the time of its start; a slow download still writes inside.
            newest = max(each.stat().st_mtime for each in (left, *left.rglob("*")))
            if time.time() - newest > 3600.0:
                shutil.rmtree(left, ignore_errors=True)
    # Fetched beside its place, so that a wrong file stays until the right one is there.
    with tempfile.TemporaryDirectory(dir=file.path.parent, prefix=_PART) as folder:
        store = pooch.create(
            folder,
            base_url="",
            registry={file.name: None},
            urls={file.name: file.url},
            retry_if_failed=2,
        )
        os.replace(store.fetch(file.name, downloader=checked), file.path)


def _pooch() -> ModuleType:
    try:
        import pooch
    except ImportError as error:
        raise DataError(f"downloads need the package pooch: {INSTALL}") from error
    return pooch  # type: ignore[no-any-return]


def _reason(error: Exception, folder: Path) -> str:
    import requests

    if isinstance(error, _ServerError):
        return f"{error}."
    if isinstance(error, requests.exceptions.HTTPError):
        return f"the server answered: {error}."
    if isinstance(error, requests.exceptions.RequestException):
        kind = type(error).__name__
        return f"the download failed: no connection, or it broke off ({kind})."
    if isinstance(error, ValueError):
        return f"what arrived is not the file expected ({error})."
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return (
        f"{folder} cannot hold it: {error}. "
        f"{'Make room there, or set' if full else 'Set'} {DATA_DIR_VARIABLE} to another folder."
    )
