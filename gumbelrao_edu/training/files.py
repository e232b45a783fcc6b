"""Result files: written whole or not at all, with what is needed to make them again."""

from __future__ import annotations

import datetime
import os
import platform
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor


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


def storable(value: Any, name: str) -> Any:
    """A value as it can be saved and loaded again, without code in the file.

    Args:
        value: a number, a text, a truth value, None, a tensor, or a list, tuple or dictionary of
            them. NumPy's numbers become Python's: a file that holds them cannot be loaded safely.
        name: of the value, for the error.

    Raises:
        TypeError: if the value, or a part of it, is anything else.

    Example:
        >>> storable({"rmse": np.float64(0.5), "counts": (np.int64(1), 2)}, "history[0]")
        {'rmse': 0.5, 'counts': (1, 2)}
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return storable(value.item(), name)
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {
            storable(key, f"a key of {name}"): storable(item, f"{name}[{key!r}]")
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        parts = [storable(item, f"{name}[{i}]") for i, item in enumerate(value)]
        return tuple(parts) if isinstance(value, tuple) else parts
    for kind in (int, float, str):  # of a class of its own, which a file would have to name
        if isinstance(value, kind):
            return kind(value)
    advice = "; give its .tolist()" if isinstance(value, np.ndarray) else ""
    raise TypeError(
        f"{name}: expected a number, a text, a truth value, None, a tensor, or a list, tuple or "
        f"dictionary of them, got {type(value).__name__}{advice}"
    )


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
