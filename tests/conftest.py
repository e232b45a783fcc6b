"""What the tests of the course share: where things are, and the tools as modules."""

import signal
import sys
from pathlib import Path

import pytest
from data_server import folder, server  # noqa: F401  (fixtures)
from lab_server import chromium, lab  # noqa: F401  (fixtures)
from site_server import address, open_page  # noqa: F401  (fixtures)
from small_search import few  # noqa: F401  (fixture)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Workers of pytest-xdist ignore interrupts; then no training is stopped by one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_terminal_summary(terminalreporter):
    """Print what tests have measured, also when they pass."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [value for r in reports for name, value in r.user_properties if name == "measured"]
    if lines:
        terminalreporter.section("measured")
        terminalreporter.write("\n".join(lines) + "\n")
