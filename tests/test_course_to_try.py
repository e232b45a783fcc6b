"""What notebooks 06 and 07 say to try can be done: one change, and the notebook runs to its end.

Nearly all steps of the trainings are left out. So hardly anything is as the text says: that is
printed, and stops nobody.
"""

import re

import pytest
from notebook_files import FOLDER

from gumbelrao_edu.course import STRICT, claim
from gumbelrao_edu.training.loop import Training
from notebooks import environment, read_script, tags

# Fewer draws, for numbers that no one looks at here.
QUICKER = {
    "06": [("range(100)", "range(4)"), ("examples[:1000]", "examples[:50]")],
    "07": [
        ("num_samples=10)", "num_samples=4)"),
        ('"reference_samples": 500', '"reference_samples": 20'),
    ],
}

TASKS = {
    ("06", 1): [("\"learning_rate\": 0.5", "\"learning_rate\": 0.1")],
    ("06", 2): [("(st_gumbel_softmax, tau=0.01)", "(st_gumbel_softmax, tau=1.0)"),
                ("(gumbel_rao, tau=0.01, k=k) for", "(gumbel_rao, tau=1.0, k=k) for"),
                ("(gumbel_rao, tau=0.01, k=k, generator", "(gumbel_rao, tau=1.0, k=k, generator")],
    ("06", 3): [("prepare(partial(gumbel_softmax, tau=1.0))",
                 "prepare(partial(gumbel_softmax, tau=1.0), clip=1.0)")],
    ("07", 1): [("\"learning_rate\": 0.002", "\"learning_rate\": 0.001")],
    ("07", 2): [("(st_gumbel_softmax, tau=0.1)", "(st_gumbel_softmax, tau=0.5)"),
                ("(gumbel_rao, tau=0.1, k=k) for", "(gumbel_rao, tau=0.5, k=k) for")],
    ("07", 3): [("until=1500", "until=5000")],
}  # fmt: skip


def cells(number):
    (path,) = FOLDER.glob(f"{number}_*.py")
    return read_script(path).cells


def changed(source, changes):
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r}: found {source.count(old)} times"
        source = source.replace(old, new)
    return source


def one_step_in_a_hundred(self, step=Training._step):
    if self.step % 100:
        self.step += 1
        self._losses.append(1.0)
    else:
        step(self)


@pytest.mark.notebooks
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "task"), TASKS)
def test_what_to_try_can_be_done(number, task, monkeypatch):
    code = [c for c in cells(number) if c.cell_type == "code" and "install" not in tags(c)]
    source = changed("\n".join(c.source for c in code), TASKS[number, task])
    for slow, quick in QUICKER[number]:
        assert slow in source
        source = source.replace(slow, quick)
    monkeypatch.setattr(Training, "_step", one_step_in_a_hundred)
    monkeypatch.chdir(FOLDER)
    monkeypatch.delenv(STRICT, raising=False)
    names = {"__name__": "notebook"}
    exec(compile(source, f"notebook {number}", "exec"), names)
    steps = {training.step for training in names["trainings"].values()}
    assert steps == {{"06": 600, "07": 5000 if task == 3 else 1500}[number]}


def test_where_notebooks_are_built_a_claim_has_to_hold(monkeypatch, capsys):
    monkeypatch.delenv(STRICT, raising=False)
    claim("3 is even", False)
    assert capsys.readouterr().out == "Not as in the text: 3 is even.\n"
    assert STRICT in environment("")
    monkeypatch.setenv(STRICT, environment("")[STRICT])
    claim("2 is even", True)
    assert capsys.readouterr().out == ""
    with pytest.raises(AssertionError, match="not as in the text: 3 is even"):
        claim("3 is even", False)


@pytest.mark.parametrize("number", QUICKER)
def test_every_task_is_tried(number):
    (text,) = [c.source for c in cells(number) if c.source.startswith("## To try")]
    numbers = re.findall(r"^(\d)\. \*\*", text, re.MULTILINE)
    assert [(number, int(task)) for task in numbers] == [key for key in TASKS if key[0] == number]
