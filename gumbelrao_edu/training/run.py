"""One run of a grid: its configuration, its name, its files, and the row of what came out."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
import numbers
import re
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch

from ..device import default_device
from . import claims
from .errors import DamagedFileError, OtherSettingsError, TrainingDivergedError
from .files import provenance, set_aside, write

if TYPE_CHECKING:
    import pandas as pd

_FLOATS = {"inf", "-inf", "nan"}  # strict JSON has no numbers for them
_STATUS = ("done", "diverged", "failed")
_OUTCOMES = ("status", "error", "seconds")
_PROVENANCE = ("date", "hardware", "system", "python", "torch", "gumbelrao_edu")
_TAKEN = {*_OUTCOMES, *_PROVENANCE}
_LONGEST = 64  # characters of a name, so that the path of a row fits everywhere


@dataclass
class Run:
    """One configuration, its name and its files; a training is given one.

    Attributes:
        config: plain values by name: numbers, texts, truth values, None, and lists and dictionaries
            of them.
        out: the folder of the grid.
        title: the readable part of the name: what varies from run to run.
        before: the run whose result this one starts from, if there is one.
        form: of the results, see `check_form`.

    Example:
        >>> run = Run({"tau": 0.5, "seed": 3}, Path("results"), "tau0.5_seed3")
        >>> run.name, run.row.name
        ('tau0.5_seed3-5df04192', 'tau0.5_seed3-5df04192.json')
    """

    config: dict[str, Any]
    out: Path
    title: str = "run"
    before: Run | None = None
    form: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _claims: dict[Path, str] | None = field(default=None, repr=False)
    _start: float = field(default=0.0, repr=False)
    _beside: int = field(default=1, repr=False)  # runs of one program, which share its seconds

    @cached_property
    def name(self) -> str:
        """Of the files: the title, and a hash of the configuration, whatever its keys' order."""
        title = re.sub(r"[^\w.=+-]", "", self.title, flags=re.ASCII)
        return f"{title[:_LONGEST]}-{_hash_of(self.config)}"

    @property
    def row(self) -> Path:
        """The file of what came out."""
        return self.out / "runs" / f"{self.name}.json"

    @property
    def weights(self) -> Path:
        """Where a training may leave its weights for later."""
        return self.out / "models" / f"{self.name}.safetensors"

    @property
    def folder(self) -> Path:
        """Of what is needed to go on after a stop; it is removed when the run has ended."""
        return claims.unfinished(self.out) / self.name

    @property
    def checkpoint(self) -> Path:
        """For `Training.run`."""
        return self.folder / "checkpoint.safetensors"

    @property
    def _progress(self) -> Path:
        return self.folder / "progress.json"

    def tick(self, fraction: float) -> None:
        """Say how much is done; to be called now and then.

        Args:
            fraction: from 0 to 1.

        Raises:
            ValueError: if the fraction is out of range.
            TakenOverError: if another command works in the folder now.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction: expected a number between 0 and 1, got {fraction}")
        if self._claims is not None:
            claims.check()
            self.note(fraction, self._seconds())

    def compute(self, function: Callable[[Run], dict[str, Any]]) -> dict[str, Any]:
        """Return the results of a function of the run, which may change the configuration it gets.

        Args:
            function: what it cannot go on from, a checkpoint of other settings, is set aside, and
                it begins anew.
        """

        def call() -> dict[str, Any]:
            return function(replace(self, config=copy.deepcopy(self.config)))

        try:
            return call()
        except OtherSettingsError as other:  # its name says whose checkpoint it should be
            set_aside(self.checkpoint, other.__cause__ or other)
            return call()

    def _seconds(self) -> float:
        return (time.monotonic() - self._start) / self._beside

    def note(self, fraction: float, seconds: float, *, stopped: bool = False) -> None:
        progress = {
            "fraction": fraction,
            "seconds": seconds,
            "command": (self._claims or {}).get(self.out),
            "stopped": stopped,
        }
        with contextlib.suppress(OSError):  # it only feeds the bar
            _overwrite(self._progress, json.dumps(progress))

    def progress(self) -> dict[str, Any]:
        """What was noted last: the fraction done, the seconds, which command, if it was stopped."""
        noted = {"fraction": 0.0, "seconds": 0.0, "command": None, "stopped": False}
        try:
            read = json.loads(self._progress.read_text(encoding="utf-8"))
            found = {name: float(read[name]) for name in ("fraction", "seconds")}
            if 0 <= found["fraction"] <= 1 and 0 <= found["seconds"] < math.inf:
                noted |= {**found, "command": read.get("command"), "stopped": read.get("stopped")}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # not there, just being written, or damaged: it only feeds the bar
        return noted

    def load(self) -> dict[str, Any] | None:
        """The row of a run that has ended, with the results that the table leaves out.

        Returns:
            What `run_all` describes, or None if there is no such file.

        Raises:
            DamagedFileError: if the file is damaged or of another configuration.
        """
        if not self.row.is_file():
            return None
        row = read_row(self.row)
        if _to_json(row["config"], "config") != _to_json(self.config, "config"):
            raise DamagedFileError(f"{self.row} is of another configuration")
        if row["status"] == "done":
            try:
                check_form(row["results"], self.form)
            except (ArithmeticError, TypeError) as error:
                raise DamagedFileError(f"{self.row} is damaged: {error}") from error
        return row

    def check(self, results: Any) -> None:
        """Raise an error unless these are results that a row can hold, complete and finite."""
        if not isinstance(results, dict):
            raise TypeError(f"results: expected a dictionary, got {type(results).__name__}")
        _to_json(results, "results")
        if taken := sorted(results.keys() & (_TAKEN | self.config.keys())):
            raise ValueError(f"results: {taken} are other columns of the table")
        check_form(results, self.form)
        torch.device(results.get("device", "cpu"))

    def end(
        self, status: str, error: str | None, results: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        """Write the row, unless another command has taken over or has done the run already."""
        claims.check()
        with contextlib.suppress(DamagedFileError):
            known = self.load()
            if status == "failed" and has_ended(known):
                return known
        device = torch.device(results.get("device", default_device()))
        row = {
            "config": _to_json(self.config, "config"),
            "status": status,
            "error": error,
            "results": _to_json(results, "results"),
            "seconds": round(seconds, 3),
            "provenance": provenance(device),
        }
        kept = {**row, "checksum": _checksum(row)}
        write(self.row, json.dumps(kept, indent=1, allow_nan=False) + "\n")
        if status != "failed":  # which goes on from its checkpoint
            shutil.rmtree(self.folder, ignore_errors=True)
        return {**row, "config": self.config, "results": results}


def text_of(config: Mapping[str, Any]) -> str:
    """Return a configuration as one text, the same for any order of its keys.

    Args:
        config: as a `Run` has it.

    Raises:
        TypeError, ValueError: if there is no JSON for it.

    Example:
        >>> text_of({"tau": 0.5, "seed": 3})
        '{"seed": 3, "tau": 0.5}'
    """
    return json.dumps(_to_json(config, "config"), sort_keys=True)


def _hash_of(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(text_of(config).encode()).hexdigest()[:8]


def read_rows(paths: Iterable[Path]) -> dict[Path, dict[str, Any]]:
    """Read the rows of runs that have ended, each run of a folder once.

    A file that has not the name of its run is one that somebody has copied. Of those of one run
    that with the shortest name is no copy, if the name ends as it should.

    Args:
        paths: of the files.

    Returns:
        What `read_row` returns, by the file.

    Raises:
        DamagedFileError: if one is not such a row.

    Warns:
        UserWarning: of each copy; it is left out.
    """
    rows = {path: read_row(path) for path in paths}
    runs: dict[tuple[Path, str], list[Path]] = {}
    for path, row in rows.items():
        runs.setdefault((path.parent, _hash_of(row["config"])), []).append(path)
    for (_, hashed), files in runs.items():
        named = [path for path in files if path.stem.endswith(f"-{hashed}")]
        own = min(named, key=lambda path: len(path.name), default=None)
        for path in files:
            if path != own:
                warnings.warn(f"{path} is left out: it has not the name of its run", stacklevel=3)
                del rows[path]
    return rows


def load_quietly(run: Run) -> dict[str, Any] | None:
    """Return the row of a run that has ended, or None: a damaged one is as good as none.

    Args:
        run: any.
    """
    try:
        return run.load()
    except DamagedFileError:
        return None


def load_or_set_aside(run: Run) -> dict[str, Any] | None:
    """Return the row of a run that has ended, or None; a damaged one is renamed, with a warning.

    Args:
        run: any.
    """
    try:
        return run.load()
    except DamagedFileError as damage:
        set_aside(run.row, damage)
        return None


def has_ended(row: dict[str, Any] | None) -> TypeGuard[dict[str, Any]]:
    """Return whether a row is there whose run did not fail; one that failed is tried again.

    Args:
        row: of `Run.load`.
    """
    return row is not None and row["status"] != "failed"


def read_row(path: Path) -> dict[str, Any]:
    """Read the row of a run that has ended, and check its form.

    Args:
        path: of the file.

    Returns:
        What `run_all` describes.

    Raises:
        DamagedFileError: if it is not such a row.
    """

    def constant(text: str) -> Any:
        raise ValueError(f"{text} is not JSON")

    try:
        row = json.loads(path.read_text(encoding="utf-8"), parse_constant=constant)
        what = _wrong(row)
        # Rows of older versions have none.
        if not what and row.pop("checksum", expected := _checksum(row)) != expected:
            what = "its content and its checksum do not belong together"
        parts = {name: _from_json(row[name]) for name in ("config", "results")} if not what else {}
    except (ValueError, RecursionError) as error:
        what = f"{type(error).__name__}: {str(error)[:200]}"
    if what:
        raise DamagedFileError(f"{path} is damaged: {what}")
    return {**row, **parts}


def _checksum(row: Mapping[str, Any]) -> str:
    """Of all that a row holds, but for a checksum: a changed digit is noticed when it is read."""
    held = {name: value for name, value in row.items() if name != "checksum"}
    text = json.dumps(held, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _wrong(row: Any) -> str:
    """What is wrong with the form of a row; empty if nothing is."""
    forms: dict[str, tuple[Any, ...]] = {
        "config": (dict,),
        "status": (str,),
        "error": (str, type(None)),
        "results": (dict,),
        "seconds": (int, float),
        "provenance": (dict,),
    }
    if not isinstance(row, dict):
        return f"expected a dictionary, got {type(row).__name__}"
    for name, kinds in forms.items():
        if name not in row:
            return f"there is no {name!r}"
        if not isinstance(row[name], kinds) or isinstance(row[name], bool):
            return f"{name}: got {type(row[name]).__name__}"
    if row["status"] not in _STATUS:
        return f"status: expected one of {', '.join(_STATUS)}, got {row['status']!r}"
    if not 0 <= row["seconds"] < math.inf:
        return f"seconds: got {row['seconds']}"
    if not all(isinstance(row["provenance"].get(name), str) for name in _PROVENANCE):
        return f"provenance: expected texts for {', '.join(_PROVENANCE)}"
    return ""


def check_form(value: Any, form: Any, name: str = "results") -> None:
    """Check that results are complete, and that their numbers are finite.

    Args:
        value: the results of a run that is done.
        form: `float` for a finite number, `int` or `str`; `(form, None)` for that or None; a list
            of one form; a dictionary of those that are needed, whose lists have one length.
        name: of the value, for the error.

    Raises:
        TypeError: if something is missing or of another form.
        TrainingDivergedError: if a number is not finite.

    Example:
        >>> check_form({"bound": -98.6, "steps": [1, 2], "more": "?"}, {"bound": float})
        >>> check_form({"bound": None}, {"bound": float})
        Traceback (most recent call last):
        TypeError: results['bound']: expected a number, got NoneType
    """
    if isinstance(form, tuple):
        if value is None:
            return
        form = form[0]
    if isinstance(form, dict):
        if not isinstance(value, Mapping):
            raise TypeError(f"{name}: expected a dictionary, got {type(value).__name__}")
        if missing := [key for key in form if key not in value]:
            raise TypeError(f"{name}: there is no {missing[0]!r}")
        for key, part in form.items():
            check_form(value[key], part, f"{name}[{key!r}]")
        if len({len(value[key]) for key, part in form.items() if isinstance(part, list)}) > 1:
            raise TypeError(f"{name}: expected lists of one length")
    elif isinstance(form, list):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{name}: expected a list, got {type(value).__name__}")
        for i, item in enumerate(value):
            check_form(item, form[0], f"{name}[{i}]")
    else:
        kinds = {float: numbers.Real, int: numbers.Integral}
        if isinstance(value, bool) or not isinstance(value, kinds.get(form, form)):
            what = {float: "a number", int: "a whole number", str: "a text"}[form]
            raise TypeError(f"{name}: expected {what}, got {type(value).__name__}")
        if form is float and not math.isfinite(value):
            raise TrainingDivergedError(f"{name} is {value}")


def runs_of(
    configs: Sequence[Mapping[str, Any]],
    out: Path,
    title: Callable[[dict[str, Any]], str] = lambda config: "run",
    form: Mapping[str, Any] | None = None,
) -> list[Run]:
    """Return a run for each configuration.

    Args:
        configs: no two of them equal.
        out: folder of the files.
        title: gives the readable part of a run's name, from its configuration.
        form: of the results, see `check_form`; None for any.

    Raises:
        TypeError, ValueError: if a configuration has the wrong type or two are equal.

    Example:
        >>> runs = runs_of([{"x": 1}, {"x": 2}], Path("results"), lambda config: f"x{config['x']}")
        >>> [run.name for run in runs]
        ['x1-613fe5aa', 'x2-24f57260']
    """
    runs = []
    for i, config in enumerate(configs):
        name = f"configs[{i}]"
        if not isinstance(config, Mapping):
            raise TypeError(f"{name}: expected a dictionary, got {type(config).__name__}")
        _to_json(config, name)
        if taken := sorted(_TAKEN & config.keys()):
            raise ValueError(f"{name}: {taken} are other columns of the table")
        own = copy.deepcopy(dict(config))
        runs.append(Run(own, out.resolve(), title(own), form=form or {}))
    for name, count in Counter(run.name for run in runs).items():
        if count > 1:
            raise ValueError(f"configs: expected different ones, but {name} occurs {count} times")
    return runs


def table_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table of the rows of runs: configuration, results, status, error, seconds, origin.

    Args:
        rows: from `run_all` or `read_row`. Results that are lists or dictionaries are left out.

    Example:
        >>> row = {"config": {"tau": 0.5}, "results": {"bound": -98.6}, "status": "done"}
        >>> row |= {"error": None, "seconds": 7.0, "provenance": {}}
        >>> table_of([row])[["tau", "bound", "seconds"]].values.tolist()
        [[0.5, -98.6, 7.0]]
    """
    import pandas as pd  # the command line lists the experiments without it

    records = []
    for row in rows:
        scalars = {
            name: value
            for name, value in row["results"].items()
            if not isinstance(value, (list, tuple, dict))
        }
        records.append((row["config"], scalars, row))
    columns = [
        *(name for config, _, _ in records for name in config),
        *(name for _, results, _ in records for name in results),
        *_OUTCOMES,
        *_PROVENANCE,
    ]
    return pd.DataFrame(
        [{**row, **row["provenance"], **results, **config} for config, results, row in records],
        columns=list(dict.fromkeys(columns)),
    )


def _overwrite(path: Path, text: str) -> None:
    """Write a file that others look at all the time; on Windows it could not be replaced then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():  # what it points to is not ours
        path.unlink()
    path.write_text(text, encoding="utf-8")


def _to_json(value: Any, name: str) -> Any:
    """A value as strict JSON has it; it has no inf and nan, so these are the texts "inf", "nan"."""
    if isinstance(value, np.generic):  # NumPy's numbers, which a training may well return
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        if value in _FLOATS:
            raise ValueError(f"{name}: the text {value!r} stands for a number; give the number")
        return value
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"{name}: expected keys that are texts, got {wrong[0]!r}")
        return {key: _to_json(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item, f"{name}[{i}]") for i, item in enumerate(value)]
    raise TypeError(
        f"{name}: expected a number, a text, a truth value, None, or a list or dictionary of them, "
        f"got {type(value).__name__}"
    )


def _from_json(value: Any) -> Any:
    if isinstance(value, str):
        return float(value) if value in _FLOATS else value
    if isinstance(value, dict):
        return {key: _from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value
