"""Result files: written whole or not at all, with what is needed to make them again."""

from __future__ import annotations

import datetime
import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file to write it in one step: a reader finds the old content or the new, never half.

    Args:
        path: its folder is made when it is missing.
        mode: "w" for text (UTF-8) or "wb" for bytes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a", "b.txt")
        ...     with replacing(path) as file:
        ...         path.exists(), file.write("text")
        ...     path.read_text()
        (False, 4)
        'text'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with temporary.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write(path: Path, text: str) -> None:
    """Write a whole text in one step, see `replacing`.

    Args:
        path: its folder is made when it is missing.
        text: the whole text.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a", "b.txt")
        ...     write(path, "text")
        ...     path.read_text()
        'text'
    """
    with replacing(path) as file:
        file.write(text)


def provenance(device: torch.device) -> dict[str, str]:
    """Versions, hardware and date of a run.

    Args:
        device: what it ran on.

    Example:
        >>> sorted(provenance(torch.device("cpu")))
        ['date', 'gumbelrao_edu', 'hardware', 'python', 'system', 'torch']
    """
    from .. import __version__  # not yet defined while the package is being imported

    hardware = f"{platform.machine()}, {torch.get_num_threads()} thread(s)"
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "gumbelrao_edu": __version__,
        "hardware": hardware,
        "python": platform.python_version(),
        "system": platform.system(),
        "torch": torch.__version__,
    }
