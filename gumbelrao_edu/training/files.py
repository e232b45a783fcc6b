"""Files that are written whole or not at all, that are checked when read, and hold no code."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from .._checks import is_dense, layout_of
from . import claims
from .errors import DamagedFileError, DamagedFileWarning, OtherSettingsError

_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)


@contextmanager
def replacing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file to write it in one step: a reader finds the old content or the new, never half.

    Args:
        path: its folder is made if it is missing. A link is replaced, not followed.
        mode: "w" for text (UTF-8) or "wb" for bytes.

    Raises:
        TakenOverError: if this process works for a command that has been overtaken; see `claims`.

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
    claims.check()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with temporary.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        claims.check()
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, FileNotFoundError):
            claims.check()  # a newer command removes what an older one is just writing
        if isinstance(error, OSError) and error.errno and error.filename is None:  # of `write`
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write(path: Path, text: str) -> None:
    """Write a whole text in one step, see `replacing`.

    Args:
        path: its folder is made if it is missing.
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


def copy(source: Path, target: Path) -> None:
    """Copy a file, which is never half there.

    Args:
        source: the file.
        target: where to; its folder is made.
    """
    with source.open("rb") as file, replacing(target, "wb") as other:
        shutil.copyfileobj(file, other)


def set_aside(path: Path, why: object) -> None:
    """Rename a damaged file, so that what it held is computed again, and say so in a warning.

    Args:
        path: gets the further ending ".damaged"; an older file of that name is replaced.
        why: what is wrong with it, a sentence.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     path = Path(folder, "a.json")
        ...     write(path, "{")
        ...     set_aside(path, "it ends too early")
        ...     [path.name for path in Path(folder).iterdir()]
        ['a.json.damaged']
    """
    claims.check()
    aside = path.with_name(path.name + ".damaged")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside)
    text = f"{why}. It is now {aside.name}."
    notes = _notes.get()
    if notes is None:
        warnings.warn(text, DamagedFileWarning, stacklevel=2)
    else:
        notes.append(text)


@contextmanager
def noting_damages() -> Iterator[list[str]]:
    """Note what `set_aside` would warn of; after an exception it is warned of after all.

    A worker process gives the notes to the command that the reader started: what the worker itself
    wrote would have the form of Python's warnings, or stay on another machine.
    """
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        yield notes
    except BaseException:
        for text in notes:
            warnings.warn(text, DamagedFileWarning, stacklevel=2)
        raise
    finally:
        _notes.reset(token)


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
    if isinstance(value, np.longdouble):  # whose item() is none of Python's numbers
        return float(value)
    if isinstance(value, np.generic) and not isinstance(value, np.clongdouble):
        return storable(value.item(), name)
    if isinstance(value, Tensor):
        if not is_dense(value):
            raise TypeError(f"{name}: expected a dense tensor, got {layout_of(value)}")
        if value.is_meta or value.is_quantized or value.dtype == torch.complex128:
            what = "one without numbers" if value.is_meta else f"one of {value.dtype}"
            raise TypeError(f"{name}: expected a tensor that a file can hold, got {what}")
        return value.detach()
    if isinstance(value, Mapping):
        keys = [storable(key, f"a key of {name}") for key in value]
        if wrong := [key for key in keys if isinstance(key, (Tensor, tuple))]:
            raise TypeError(
                f"{name}: expected keys that are texts or numbers, got {type(wrong[0]).__name__}"
            )
        items = value.items()
        parts = [storable(item, f"{name}[{key!r}]") for key, item in items]
        return dict(zip(keys, parts, strict=True))
    if type(value) in (list, tuple):
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


def save_state(path: Path, state: Mapping[str, Any], *, about: Mapping[str, Any]) -> None:
    """Write tensors and numbers to a file that holds no code and carries a checksum.

    The format is safetensors; what is not a tensor stands in its header, as JSON.

    Args:
        path: of the file, which is never half written.
        state: by name, what `storable` takes.
        about: what it is the state of, such as a configuration; `load_state` compares it.

    Raises:
        TypeError: if the state holds anything else; the file stays as it was.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "state.safetensors")
        ...     save_state(path, {"weights": torch.ones(2), "step": 3}, about={"seed": 0})
        ...     load_state(path, about={"seed": 0})
        {'weights': tensor([1., 1.]), 'step': 3}
    """
    from safetensors.torch import save  # only what writes needs it

    tensors: dict[str, Tensor] = {}
    text = json.dumps([_pack(storable(part, "state"), tensors) for part in (about, state)])
    with replacing(path, "wb") as file:
        file.write(save(tensors, {"state": text, "sha256": checksum(text, tensors)}))


def load_state(path: Path, *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Args:
        path: of the file.
        about: what it has to be the state of.

    Raises:
        FileNotFoundError: if there is no file.
        PermissionError: if it may not be read.
        DamagedFileError: if the file was cut off or changed, or is of another kind.
        OtherSettingsError: if it is the state of something else; the message names what differs.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = header["state"]
        if header["sha256"] != checksum(text, tensors):
            raise DamagedFileError("its checksum is wrong")
        known, state = (_unpack(part, tensors) for part in json.loads(text))
    except (FileNotFoundError, PermissionError):
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedFileError(
            f"{path} is damaged or of another kind ({type(error).__name__}: {error})"
        ) from error
    wanted = storable(about, "about")
    if not _same(known, wanted):
        same = [name for name in known.keys() & wanted.keys() if _same(known[name], wanted[name])]
        texts = [
            {name: repr(value) for name, value in part.items() if name not in same}
            for part in (known, wanted)
        ]
        hidden = [name for name in texts[0] if texts[0][name] == texts[1].get(name)]
        others = [f"{name} has other numbers" for name in hidden]  # tensors are shown in part
        other = "; ".join(filter(None, [what_differs(*texts), *others]))
        raise OtherSettingsError(f"{path} was saved with other settings: {other}")
    return dict(state)


def _same(one: Any, other: Any) -> bool:
    """Whether two values from `storable` are equal; NaN is equal to NaN."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        if type(one) is not type(other) or one.dtype != other.dtype or one.shape != other.shape:
            return False
        a, b = one.detach().cpu(), other.detach().cpu()
        return bool(((a == b) | (a.isnan() & b.isnan())).all())
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and type(one) is type(other):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other or (one != one and other != other))


def what_differs(known: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Return in words which values of two mappings differ.

    Args:
        known: what is there, as a reader is to see it.
        wanted: what is expected.

    Example:
        >>> what_differs({"steps": "100", "tau": "0.5"}, {"steps": "200", "tau": "0.5", "k": "10"})
        'k missing, not 10; steps 100, not 200'
    """
    return "; ".join(
        f"{name} {known.get(name, 'missing')}, not {wanted.get(name, 'missing')}"
        for name in sorted({*known, *wanted}, key=str)
        if known.get(name) != wanted.get(name)
    )


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON in which each container and each tensor is a list that begins with its kind."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone().contiguous()  # two names may share memory
        return ["tensor", name]
    if isinstance(value, dict):
        return ["dict", *([key, _pack(item, tensors)] for key, item in value.items())]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(_pack(item, tensors) for item in value)]
    return value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, list):
        return value
    kind, *items = value
    if kind == "tensor":
        return tensors[items[0]]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in items}
    parts = [_unpack(item, tensors) for item in items]
    return tuple(parts) if kind == "tuple" else parts


def checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a checksum of a text and of tensors on the CPU, with their names, types and shapes.

    Args:
        text: any.
        tensors: by name.

    Example:
        >>> checksum("", {"weight": torch.zeros(2)})[:8]
        '59b654d8'
    """
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {[*tensor.shape]}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


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
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "gumbelrao_edu": __version__,
        "hardware": hardware,
        "python": platform.python_version(),
        "system": platform.system(),
        "torch": torch.__version__,
    }
