"""The pages of the reference: one for each public module, with every public name in it."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "gumbelrao_edu"
# Shown under the name that a reader imports, in this order; the others follow.
FIRST = (PACKAGE, f"{PACKAGE}.estimators", f"{PACKAGE}.diagnostics")

# The groups of the list, and the parts of the package in each; the first one has all others.
GROUPS: dict[str, set[str]] = {
    "The library": set(),
    "The paper's tasks and experiments": {"problems", "listops", "vae", "training", "experiments"},
    "The course's figures and checks": {"course", "figures"},
}


@functools.cache
def modules() -> tuple[str, ...]:
    """Return the names of the public modules."""
    package = importlib.import_module(PACKAGE)
    found = [name for _, name, _ in pkgutil.walk_packages(package.__path__, PACKAGE + ".")]
    public = [name for name in found if not any(p.startswith("_") for p in name.split("."))]
    return (*FIRST, *(name for name in public if name not in FIRST))


def names(module: ModuleType) -> list[str]:
    """Return the public functions and classes that have their place in a module."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or (callable(value) and _is_function(value)))
        and _home(name, value) == module.__name__
    ]


def _home(name: str, value: Any) -> str:
    """The module that defines a value, or, if that is private, the first that passes it on."""
    origin: str = getattr(value, "__module__", None) or ""
    if not _is_private(origin):
        return origin
    return next((each for each in modules() if name in _passed_on(each)), origin)


def _is_private(module: str) -> bool:
    return module.startswith(f"{PACKAGE}.") and any(p.startswith("_") for p in module.split("."))


def _passed_on(module: str) -> Sequence[str]:
    return getattr(importlib.import_module(module), "__all__", ())


def _is_function(value: Callable[..., object]) -> bool:
    return inspect.isfunction(inspect.unwrap(value))  # one with a cache, too


def public() -> list[str]:
    """Return every public function and class of the package, under its full name."""
    found = [(name, importlib.import_module(name)) for name in modules()]
    return [f"{name}.{each}" for name, module in found for each in names(module)]


def write(folder: Path) -> None:
    """Write a page for each module with names, and one that lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for name in modules():
        module = importlib.import_module(name)
        documented = names(module)
        exported = [each for each in getattr(module, "__all__", ()) if each not in documented]
        if not documented and not exported:
            continue
        lines = [f"# {_short(name)}", "", "```{eval-rst}", f".. automodule:: {name}", "```", ""]
        if exported:
            lines += [
                "Names for import: " + ", ".join(map(_link, _origins(module, exported))) + "."
            ]
        for each in documented:
            value = getattr(module, each)
            kind = "class" if inspect.isclass(value) else "function"
            lines += ["", f"## {each}", "", "```{eval-rst}", f".. auto{kind}:: {name}.{each}"]
            if kind == "class":
                lines += ["   :members:", "   :show-inheritance:"]
            lines += ["```"]
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n", "utf-8")
        listed.append(name)
    (folder / "index.md").write_text("\n".join(_index(listed)) + "\n", "utf-8")


def _short(name: str) -> str:
    """A module's name as a title; the package goes without saying."""
    return name.removeprefix(f"{PACKAGE}.")


def _index(listed: list[str]) -> list[str]:
    """The page that lists the modules, each with what it says of itself, in groups."""
    groups: dict[str, list[str]] = {title: [] for title in GROUPS}
    for name in listed:
        part = _short(name).partition(".")[0]
        title = next((each for each, parts in GROUPS.items() if part in parts), next(iter(GROUPS)))
        about = (importlib.import_module(name).__doc__ or "").partition("\n\n")[0]
        about = " ".join(about.split())
        groups[title].append(f"- [{_short(name)}]({name}.md): {about}")
    lines = [
        "# Reference",
        "",
        "Every public name, as its docstring has it. `import gumbelrao_edu` brings the",
        "estimators, the sampling functions, the layer with its schedule and the distribution; the",
        "rest stands in the modules below. All of their names begin with",
        "`gumbelrao_edu.`, which is left out here.",
    ]
    for title, entries in groups.items():
        lines += ["", f"## {title}", "", *entries]
    return [*lines, "", "```{toctree}", ":hidden:", "", *listed, "```"]


def _origins(module: ModuleType, exported: list[str]) -> list[tuple[str, str]]:
    """Name and place of what a module passes on."""
    found = []
    for each in exported:
        home = _home(each, getattr(module, each))
        found.append((each, f"{home}.{each}" if home.startswith(PACKAGE) else ""))
    return found


def _link(name: tuple[str, str]) -> str:
    text, target = name
    known = target and not _is_private(target)
    return f"{{py:obj}}`{text} <{target}>`" if known else f"`{text}`"
