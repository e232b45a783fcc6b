"""JupyterLab and chromium as fixtures."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "build" / "site-node" / "node_modules"  # what `make site` installs


def missing(reason, needed="BROWSER"):
    """Skip the test, or fail where what it needs must be there."""
    if os.environ.get(f"GUMBELRAO_REQUIRE_{needed}") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium():
    import lab as tool  # conftest says where the tools are

    if tool.CHROMIUM is None:
        missing("chromium is not installed (Debian: apt-get install chromium)")
    try:
        import playwright  # noqa: F401
    except ImportError:
        missing("playwright is not installed (pip install -r tests/requirements.txt)")
    with tool.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def lab(chromium, tmp_path_factory):
    """JupyterLab on copies of the notebooks, with folders of its own."""
    from lab import serving

    from notebooks import find

    home = tmp_path_factory.mktemp("jupyter")
    course = home / "course"
    course.mkdir()
    for script in find(ROOT / "notebooks", []):
        shutil.copy(script.with_suffix(".ipynb"), course)
    shutil.copytree(ROOT / "notebooks/results", course / "results")
    with serving(home, course) as running:
        yield running
