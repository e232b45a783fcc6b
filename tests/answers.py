"""What the tests of the exercises share: what a check has to say, and answers that are none."""

import importlib
import pkgutil
from types import SimpleNamespace

from gumbelrao_edu import course

# All checks of all notebooks, by their names.
CHECKED = [
    importlib.import_module(f"{course.__name__}.{name}.checks")
    for _, name, is_folder in pkgutil.iter_modules(course.__path__)
    if is_folder and importlib.util.find_spec(f"{course.__name__}.{name}.checks")
]
exercises = SimpleNamespace(
    **{
        name: check
        for module in CHECKED
        for name, check in vars(module).items()
        if name.startswith("check_")
    }
)


def right(verdict):
    assert verdict.text.startswith("Right: ")
    assert verdict.right
    assert bool(verdict)
    return True


def wrong(verdict, *parts):
    assert verdict.text.startswith("Not yet: ")
    assert not verdict.right
    for part in parts:
        assert part in verdict.text
    return True


def stub(*args):
    """The function of an exercise before anything was written."""


def raises(*args):
    raise ArithmeticError("on purpose")
