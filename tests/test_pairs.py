"""Every notebook is made from one source; its .ipynb and its .py say the same."""

import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from notebook_files import FOLDER, LEARNERS, PAIRS, SOLVED, SOURCES, name_of, read

import notebooks
from notebooks import (
    SOLUTIONS,
    build_all_of,
    cells,
    complete,
    digest,
    find,
    for_learners,
    read_script,
    sync,
    tags,
    title,
    write_script,
)

each_pair = pytest.mark.parametrize("script", PAIRS, ids=name_of)
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)


def test_every_notebook_has_a_source_and_nothing_else_is_stored():
    assert [source.stem for source in SOURCES][:1] == ["00_start_here"]
    assert find(FOLDER, []) == LEARNERS
    stored = sorted(FOLDER.glob(f"{SOLUTIONS}/*.ipynb"))
    assert stored == [source.with_suffix(".ipynb") for source in SOLVED]


@each_pair
def test_pair_has_the_same_cells(script):
    assert cells(read(script)) == cells(read_script(script)), "run make notebooks"


@each_source
def test_learners_version_is_made_from_the_source(source):
    same = cells(read_script(FOLDER / source.name)) == cells(for_learners(read_script(source)))
    assert same, f"write into {SOLUTIONS}/{source.name} only, and run make notebooks"


@pytest.mark.parametrize("script", SOURCES + LEARNERS, ids=name_of)
def test_script_is_written_as_jupytext_writes_it(script, tmp_path):
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    write_script(read_script(script), tmp_path / script.name)
    assert (tmp_path / script.name).read_text("utf-8") == script.read_text("utf-8")


@each_pair
def test_header_names_no_version_of_jupytext(script):
    assert "jupytext_version:" not in script.read_text("utf-8")
    assert "text_representation" not in read(script).metadata.jupytext


@pytest.mark.parametrize("script", SOURCES + LEARNERS, ids=name_of)
def test_relative_links_lead_somewhere(script):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", script.read_text("utf-8"))
    assert [link for link in links if not (script.parent / link).exists()] == []


@each_source
def test_code_cells_are_short(source):
    sources = [cell.source for cell in read_script(source).cells if cell.cell_type == "code"]
    assert [s for s in sources if len([line for line in s.splitlines() if line.strip()]) > 15] == []


# --- What all notebooks have in common ------------------------------------------------------------


@each_source
def test_title_links_and_installation_come_first_and_are_up_to_date(source):
    notebook = read_script(source)
    before = cells(notebook)
    complete(notebook, source)
    assert cells(notebook) == before, "run make notebooks"
    assert title(notebook).number == str(int(source.stem[:2]))
    assert f"notebooks/{source.stem}.ipynb" in notebook.cells[1].source
    assert 'find_spec("gumbelrao_edu") is None' in notebook.cells[2].source
    assert re.search(r"^ +%pip install", notebook.cells[2].source, re.MULTILINE)


def test_the_map_says_what_each_notebook_says_of_itself():
    """A second time, without the functions that write the map."""
    text = (FOLDER / "00_start_here.py").read_text("utf-8")
    rows = re.findall(r"^# \| (\d+) \| (.+) \| (.+) \| (\d+) \|$", text, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(len(LEARNERS))), "run make notebooks"
    for (number, name, about, minutes), script in zip(rows, LEARNERS, strict=True):
        said = script.read_text("utf-8")
        assert name in (f"[{name[1:].partition(']')[0]}]({script.stem}.ipynb)", "**Start here**")
        assert f"# # {number} · {name.strip('[*').partition(']')[0].rstrip('*')}\n" in said
        assert f"\n# *{about}*\n" in said
        assert re.search(rf"Time:\*\*\s(# )?{minutes} minutes", said)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A folder with two small notebooks, the second with an exercise; nothing is executed."""
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    folder = tmp_path / SOLUTIONS
    folder.mkdir()
    for number, name in enumerate(["one", "two"]):
        made = [
            (
                "markdown",
                f"# {number} · {name}\n\n*about {name}*\n\n**Time:** {number + 3} minutes.",
                [],
            ),
            ("markdown", "", ["links"]),
            ("code", "", ["install"]),
            ("markdown", "", ["map"]) if number == 0 else ("code", "answer = None", ["exercise"]),
            *([("code", "answer = 42", ["solution"])] if number else []),
            ("markdown", "Back to [the first](../00_one.ipynb).", []),
        ]
        new = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
        made = [new[kind](text, metadata={"tags": tag}) for kind, text, tag in made]
        write_script(nbformat.v4.new_notebook(cells=made), folder / f"{number:02}_{name}.py")
    executed = []

    def execute(notebook, where):
        executed.append((where.name, [cell.source for cell in notebook.cells]))
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.execution_count = len(executed)
                data = {"text/plain": "first line\nsecond line", "text/html": "<p></p>"}
                cell.outputs = [nbformat.v4.new_output("display_data", data=data)]
        known = {"code": digest(notebooks.code(notebook)), "imports": []}
        known["results"] = notebooks.digest_results(notebooks.results_of(notebook))
        notebook.metadata.gumbelrao_edu = {**known, "modules": notebooks.digest_modules([])}

    monkeypatch.setattr(notebooks, "execute", execute)
    course = tmp_path
    for source in find(folder, []):
        build_all_of(source, force=False)
    assert [where for where, _ in executed] == [course.name, SOLUTIONS, course.name]
    executed.clear()
    return course, executed


def build(course):
    for source in find(course / SOLUTIONS, []):
        build_all_of(source, force=False)


def edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_what_is_made_from_a_source(course):
    folder, _ = course
    made = sorted(str(path.relative_to(folder)) for path in folder.rglob("0*.*"))
    stored = ["00_one.ipynb", "00_one.py", "01_two.ipynb", "01_two.py"]
    assert made == [
        *stored,
        *(f"{SOLUTIONS}/{n}" for n in ("00_one.py", "01_two.ipynb", "01_two.py")),
    ]
    table = "| 0 | **one** | about one | 3 |\n| 1 | [two](01_two.ipynb) | about two | 4 |"
    assert table in read(folder / "00_one").cells[3].source
    assert "answer = 42" in (folder / SOLUTIONS / "01_two.py").read_text("utf-8")
    assert "answer = 42" not in (folder / "01_two.py").read_text("utf-8")
    assert "(00_one.ipynb)" in (folder / "01_two.py").read_text("utf-8")
    for script in find(folder, []):
        assert cells(read(script)) == cells(read_script(script))


def test_the_second_time_nothing_is_executed_or_written(course):
    folder, executed = course
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("0*.*")}
    build(folder)
    assert executed == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("0*.*")} == before


def test_new_text_is_stored_without_executing_and_reaches_the_map(course):
    folder, executed = course
    edit(folder / SOLUTIONS / "01_two.py", "about two", "about 2")
    build(folder)
    assert executed == []
    assert "| about 2 | 4 |" in read(folder / "00_one").cells[3].source
    assert "*about 2*" in read(folder / "01_two").cells[0].source
    assert "*about 2*" in read(folder / SOLUTIONS / "01_two").cells[0].source
    assert read(folder / "01_two").cells[2].execution_count == 3  # the output is kept


def test_a_changed_solution_is_executed_and_the_learners_version_is_not(course):
    folder, executed = course
    edit(folder / SOLUTIONS / "01_two.py", "answer = 42", "answer = 43")
    build(folder)
    assert [where for where, _ in executed] == [SOLUTIONS]


def test_changed_code_is_executed_in_both(course):
    folder, executed = course
    edit(folder / SOLUTIONS / "01_two.py", "answer = None", "answer = ...")
    build(folder)
    assert [where for where, _ in executed] == [SOLUTIONS, folder.name]


def test_outputs_that_were_edited_are_made_anew(course):
    folder, executed = course
    edit(folder / "01_two.ipynb", "second line", "another line")
    build(folder)
    assert [where for where, _ in executed] == [folder.name]
    assert "another line" not in (folder / "01_two.ipynb").read_text("utf-8")


def test_no_script_is_older_than_its_notebook(course):
    folder, _ = course
    edit(folder / SOLUTIONS / "01_two.py", "answer = None", "answer = ...")
    scripts = [*folder.rglob("0*.py")]
    for script in scripts:
        os.utime(script, (0, 0))
    build(folder)
    for script in scripts:
        if (made := script.with_suffix(".ipynb")).exists():
            assert script.stat().st_mtime_ns >= made.stat().st_mtime_ns


def test_an_edit_of_a_generated_cell_is_written_over(course):
    folder, _ = course
    source = folder / SOLUTIONS / "00_one.py"
    edit(source, "about two", "about three")
    edit(source, "mybinder.org", "example.org")
    edit(source, 'find_spec("gumbelrao_edu") is None', "True")
    build(folder)
    assert "about two" in source.read_text("utf-8")
    assert "mybinder.org" in source.read_text("utf-8")
    assert 'find_spec("gumbelrao_edu") is None' in source.read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [("# *about two*", "# about two"), ("**Time:** 4", "**Time:** four"), ('"links"', '"link"')],
)
def test_a_notebook_without_the_common_cells_is_refused(course, old, new):
    folder, _ = course
    edit(folder / SOLUTIONS / "01_two.py", old, new)
    with pytest.raises(ValueError, match="cell"):
        build(folder)


@pytest.mark.parametrize("name", ["00_one", "01_two"])
@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_an_edit_of_the_learners_version_is_refused_and_kept(course, name, suffix):
    folder, _ = course
    edited = folder / f"{name}{suffix}"
    edit(edited, "Back to", "Forward to")
    before = edited.read_bytes()
    with pytest.raises(ValueError, match=f"{edited.name} was edited, but is made from solutions/"):
        build(folder)
    assert edited.read_bytes() == before


@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_an_edit_of_the_learners_version_that_git_holds_is_named_and_written_over(
    course, suffix, capsys
):
    """As after a merge of sources and scripts that were built apart."""
    folder, _ = course
    edited = folder / f"01_two{suffix}"
    edit(edited, "Back to", "Forward to")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=b"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "edited"]):
        subprocess.run([*git, *command], check=True)
    build(folder)
    assert f"{edited.name}: not what its source gives" in capsys.readouterr().out
    edit(edited, "Back to", "Sideways to")
    with pytest.raises(ValueError, match="was edited"):
        build(folder)


def test_an_edit_during_the_build_is_kept(course, monkeypatch):
    folder, _ = course
    source, execute = folder / SOLUTIONS / "01_two.py", notebooks.execute

    def and_edit(notebook, where):
        edit(source, "42", "4242") if where.name == SOLUTIONS else None
        execute(notebook, where)

    monkeypatch.setattr(notebooks, "execute", and_edit)
    edit(source, "answer = None", "answer = ...")
    build(folder)
    assert "answer = 4242" in source.read_text("utf-8")
    build(folder)
    assert "answer = 4242" in read(source).cells[4].source


def test_a_script_without_a_source_is_named(course, capsys, monkeypatch):
    folder, _ = course
    shutil.copy(folder / "00_one.py", folder / "02_three.py")
    monkeypatch.setattr("sys.argv", ["notebooks.py", "--folder", str(folder)])
    assert notebooks.main() == 1
    assert "02_three.py has no source" in capsys.readouterr().err


def test_one_failure_leaves_the_others(course, capsys, monkeypatch):
    folder, executed = course
    edit(folder / SOLUTIONS / "00_one.py", "# *about one*", "# about one")
    edit(folder / SOLUTIONS / "01_two.py", "answer = None", "answer = ...")
    monkeypatch.setattr("sys.argv", ["notebooks.py", "--folder", str(folder)])
    assert notebooks.main() == 1
    assert "00_one: left as it was.\nthe first cell has to begin with" in capsys.readouterr().err
    assert len(executed) == 2


def test_two_at_a_time(course):
    """In processes of their own; one that fails does not hide that the other was built."""
    folder, _ = course
    command = [sys.executable, notebooks.__file__, "--folder", str(folder), "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall("nothing changed", done.stdout)) == 3
    edit(folder / SOLUTIONS / "01_two.py", "**Time:** 4", "**Time:** four")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "01_two: left as it was." in done.stderr
    assert "the first cell has to begin with" in done.stderr


# --- An edit in JupyterLab, of the source that has an .ipynb -----------------------------------


def edit_notebook(script, change):
    notebook = read(script)
    change(notebook)
    nbformat.write(notebook, script.with_suffix(".ipynb"))


@pytest.fixture
def pair(course):
    return course[0] / SOLUTIONS / "01_two.py"


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb.cells[0].update(source=nb.cells[0].source + "!"),
        lambda nb: nb.cells.reverse(),
        lambda nb: nb.cells.pop(),
        lambda nb: nb.cells[1].metadata.update(tags=["other"]),
        lambda nb: nb.cells.__setitem__(0, nbformat.v4.new_code_cell(nb.cells[0].source)),
    ],
    ids=["source", "order", "number", "tags", "type"],
)
def test_a_difference_between_the_two_is_seen(pair, change):
    edit_notebook(pair, change)
    assert cells(read(pair)) != cells(read_script(pair))


def test_an_edited_notebook_changes_the_script(pair):
    edit_notebook(pair, lambda nb: nb.cells[-1].update(source="A new end"))
    notebook = sync(pair)
    assert notebook.cells[-1].source == "A new end"
    assert cells(read_script(pair)) == cells(notebook)


def test_an_edited_script_changes_the_notebook(pair):
    pair.write_text(pair.read_text("utf-8") + "\n# %%\n1 + 1\n", "utf-8")
    assert sync(pair).cells[-1].source == "1 + 1"


def test_edits_of_both_are_refused_and_kept(pair):
    edit_notebook(pair, lambda nb: nb.cells[-1].update(source="A new end"))
    pair.write_text(pair.read_text("utf-8") + "\n# %%\n1 + 1\n", "utf-8")
    before = pair.read_bytes(), pair.with_suffix(".ipynb").read_bytes()
    with pytest.raises(ValueError, match="both edited"):
        sync(pair)
    assert (pair.read_bytes(), pair.with_suffix(".ipynb").read_bytes()) == before


def test_a_missing_script_is_written_from_the_notebook(pair):
    text = pair.read_text("utf-8")
    pair.unlink()
    sync(pair)
    assert pair.read_text("utf-8") == text


def test_a_notebook_that_jupyterlab_saved_beside_a_source_without_solutions_is_taken_over(course):
    folder, _ = course
    source = folder / SOLUTIONS / "00_one.py"
    notebook = read_script(source)
    notebook.cells[-1].source = "A new end"
    write_script(notebook, source)  # JupyterLab saves both
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    build(folder)
    assert not source.with_suffix(".ipynb").exists()
    assert read(folder / "00_one").cells[-1].source == "A new end"


def test_tags_are_read_where_there_are_none():
    assert tags(nbformat.v4.new_markdown_cell("text")) == []


def test_without_a_browser_a_sentence_comes_and_not_an_endless_wait(monkeypatch):
    chromium = pytest.importorskip("choreographer.browsers.chromium")
    monkeypatch.setattr(chromium.Chromium, "find_browser", lambda **options: None)
    notebooks.renderer.cache_clear()
    with pytest.raises(RuntimeError, match="sudo apt install chromium"):
        notebooks.picture({"layout": {"height": 300}})


def test_without_a_browser_a_notebook_with_pictures_is_not_even_executed(monkeypatch):
    chromium = pytest.importorskip("choreographer.browsers.chromium")
    monkeypatch.setattr(chromium.Chromium, "find_browser", lambda **options: None)
    monkeypatch.setattr(notebooks, "execute", lambda *arguments: pytest.fail("was executed"))
    stored = LEARNERS[0].with_suffix(".ipynb")
    with pytest.raises(RuntimeError, match="sudo apt install chromium"):
        notebooks.build(stored, read(LEARNERS[0]), force=True)


def test_a_notebook_is_stale_when_results_that_it_reads_have_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    folder = tmp_path / "notebooks/results"
    folder.mkdir(parents=True)
    for name in ("read.csv", "other.csv"):
        (folder / name).write_text("1")
    cells = [nbformat.v4.new_code_cell('pd.read_csv(stored("read.csv"))')]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert notebooks.results_of(notebook) == ["read.csv"]
    notebook.metadata.gumbelrao_edu = {
        "code": digest(notebooks.code(notebook)),
        "imports": [],
        "modules": notebooks.digest_modules([]),
        "results": notebooks.digest_results(["read.csv"]),
        "outputs": digest(notebooks.outputs(notebook)),
    }
    assert notebooks.is_current(notebook, notebook)
    (folder / "other.csv").write_text("2")
    assert notebooks.is_current(notebook, notebook)
    (folder / "read.csv").write_text("2")
    assert not notebooks.is_current(notebook, notebook)
