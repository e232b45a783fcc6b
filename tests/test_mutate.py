"""The mutations of `tools/mutate.py` are of code that is there."""

import importlib.util

import pytest
from conftest import ROOT

SPEC = importlib.util.spec_from_file_location("mutate", ROOT / "tools/mutate.py")
mutate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutate)


def test_kernels_need_an_environment_of_their_own(monkeypatch):
    monkeypatch.setattr(mutate, "_KERNELS", ROOT / "no/such/python")
    monkeypatch.setattr(mutate, "survives", lambda *mutation: pytest.fail("one was tried"))
    monkeypatch.setattr("sys.argv", ["mutate.py", "_fused"])
    with pytest.raises(SystemExit, match="which `make test-kernels` makes"):
        mutate.main()


@pytest.mark.parametrize("mutation", mutate.MUTATIONS, ids=lambda mutation: mutation[3])
def test_what_is_changed_is_there(mutation):
    file, old, new, _ = mutation
    text = (ROOT / "gumbelrao_edu" / file).read_text("utf-8")
    assert text.count(old) >= 1
    assert text.replace(old, new, 1) != text
