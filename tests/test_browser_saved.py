"""What JupyterLab saves of a figure, and what is seen of it later: with its kernel and without."""

import html
import json
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from accessibility import judge, load_axe
from conftest import ROOT
from lab import RUN_ALL, idle, problems, serving

from notebooks import KERNELSPEC

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CODE = """
import plotly.graph_objects as go
from gumbelrao_edu.figures import Panel, layout, show, slider, trace

def draw(figure, *, k, tau):
    trace(figure, "line").y = [k, tau, 3]
    return f'From {k} by <{tau}> to 3, the "line".'

Panel(
    go.Figure(go.Scatter(name="line", x=[1, 2, 3]), layout("a", "b")),
    draw,
    k=slider("K", [1, 2, 5], 1, tooltip="how many"),
    tau=slider("τ", [0.1, 0.5], 0.1, tooltip="how hot"),
)
"""
STILL = """show(go.Figure(go.Scatter(y=[3, 1]), layout("a", "b")), "It falls & stays.")"""
MOVED = 'From 2 by <0.5> to 3, the "line".'
# It would answer a move while a cell runs: comms have a thread of their own.
FREEZE = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
SAVE = "() => jupyterapp.commands.execute('docmanager:save')"
STATUS = ".gumbelrao-plot p[role=status]"
GONE = "The kernel that drew this was restarted or shut down. Run the cell again to go on."


@pytest.fixture
def page(chromium, lab, request):
    """A notebook of two figures, run, with its sliders moved."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNELSPEC})
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in (CODE, STILL)]
    name = re.sub(r"\W", "_", request.node.name) + ".ipynb"
    nbformat.write(notebook, lab.folder / name)
    page = chromium.new_page(viewport={"width": 1000, "height": 1200})
    page.file, page.address, page.problems = lab.folder / name, lab.page(name), problems(page)
    page.goto(page.address)
    idle(page)
    assert page.evaluate(RUN_ALL) is True
    for name in "K", "τ":
        page.get_by_role("slider", name=name).press("ArrowRight")
    page.get_by_text(MOVED).wait_for()
    yield page
    assert page.problems == []
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close()


def again(page):
    page.goto("about:blank")
    page.goto(page.address)
    idle(page)


def saved(page, wanted):
    """Save, and return the file once it has the pictures of both figures."""
    page.evaluate(SAVE)
    html = []
    for _ in range(100):
        page.wait_for_timeout(100)
        try:
            cells = json.loads(page.file.read_text("utf-8"))["cells"]
        except ValueError:  # it is being written
            continue
        outputs = [output for cell in cells for output in cell["outputs"]]
        html = ["".join(output["data"]["text/html"]) for output in outputs]
        if all("<img" in each for each in html) and wanted in "".join(html):
            return outputs
    raise AssertionError(f"no pictures within 10 s: {[each[:200] for each in html]}")


def test_a_saved_figure_is_a_picture_with_its_state(page):
    """Saved at once after a move: the picture follows with a second save."""
    panel, still = saved(page, "τ: <b>0.5</b>")
    for output, caption in (panel, MOVED), (still, "It falls & stays."):
        assert set(output["data"]) == {"text/html", "text/plain"}
        assert "".join(output["data"]["text/plain"]) == caption
        text = "".join(output["data"]["text/html"])
        picture = re.search(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]*)">', text)
        assert len(picture[1]) > 5_000
        assert html.unescape(picture[2]) == caption
    # Shut down, and opened again:
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    again(page)
    pictures = page.locator(".jp-OutputArea img")
    assert [each.get_attribute("alt") for each in pictures.all()] == [MOVED, "It falls & stays."]
    assert pictures.first.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [
        700,
        380,
    ]
    page.get_by_text("K: 2, τ: 0.5", exact=True).wait_for()
    page.locator("figcaption").get_by_text(MOVED, exact=True).wait_for()
    assert page.locator(".gumbelrao-slider").count() == 0
    # nbconvert finds the alternative text, too.
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", "--stdout", str(page.file)]
    done = subprocess.run(convert, capture_output=True, text=True, check=True)
    found = {html.unescape(alt) for _, alt in re.findall("""alt=(["'])(.*?)\\1""", done.stdout)}
    assert found == {MOVED, "It falls & stays."}
    assert "No description has been provided" not in done.stdout


def test_figures_live_as_long_as_their_kernel(page):
    saved(page, "τ: <b>0.5</b>")
    again(page)
    page.get_by_role("slider", name="K").press("ArrowRight")
    page.get_by_text("From 5 by <0.5> to 3").wait_for()
    assert page.locator(STATUS).count() == 2
    # Saving does not take them away, and saves pictures again.
    saved(page, "K: <b>5</b>")
    page.get_by_role("slider", name="K").press("ArrowLeft")
    page.locator(STATUS).get_by_text(MOVED).wait_for()


@pytest.mark.parametrize("end", ["restart", "shutdown"])
def test_sliders_without_their_kernel_stop_and_say_why(page, end):
    kernel = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    page.evaluate(f"code => {{ {kernel}.requestExecute({{code}}) }}", FREEZE)
    page.wait_for_timeout(1000)  # until a move is not answered any more
    page.get_by_role("slider", name="τ").press("ArrowLeft")
    page.evaluate(f"() => {kernel}.{end}()")
    page.get_by_text(GONE).wait_for()
    for name, text in ("K", "2"), ("τ", "0.5"):  # as the figure and its caption have it
        slider = page.get_by_role("slider", name=name)
        assert slider.is_disabled()
        assert slider.get_attribute("aria-valuetext") == text
    page.locator(STATUS).get_by_text(MOVED).wait_for()


def in_theme(page, theme):
    change = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"
    page.evaluate(change, f"JupyterLab {theme}")
    page.wait_for_function(f"document.body.dataset.jpThemeName === 'JupyterLab {theme}'")


# In the page: whether JupyterLab, which does so bit by bit, has shown all cells.
SHOWN = """() => document.querySelectorAll('.jp-Notebook-cell .jp-Cell-inputWrapper').length
              === jupyterapp.shell.currentWidget.content.widgets.length"""
TEXTS = [".jp-OutputArea-output", ".jp-RenderedMarkdown"]
# In the page: what is left of formulas, and of quotes, in the text that readers see. What is folded
# counts, too.
LEFT_OVER = """() => [...document.querySelectorAll('.jp-RenderedMarkdown')].flatMap(cell => {
    const copy = cell.cloneNode(true);
    for (const each of copy.querySelectorAll('mjx-container, code, pre')) each.remove();
    const wrong = cell.querySelectorAll('mjx-merror, [data-mjx-error]').length ? [cell.id] : [];
    return [...wrong, ...copy.textContent.split('\\n').filter(s => /[$\\\\]|^\\s*>/.test(s))];
})"""
TEXTS_DRAWN = """() => document.querySelectorAll('.jp-RenderedMarkdown').length
    === jupyterapp.shell.currentWidget.content.widgets
        .filter(cell => cell.model.type === 'markdown').length"""
# What is not the course's: pandas leaves corners of a table empty, JupyterLab makes cells scroll.
NOT_OURS = """() => axe.configure({rules: [
    {id: 'empty-table-header', selector: 'th:not(.dataframe *)'},
    {id: 'scrollable-region-focusable', enabled: false},
]})"""


@pytest.mark.timeout(900)
def test_a_stored_notebook_is_drawn_accessible_and_saved_as_it_was(chromium, tmp_path):
    """Opened with the settings of `make lab`, with all formulas drawn; saved, the same for git."""
    course = tmp_path / "course"
    shutil.copytree(ROOT / "notebooks", course, ignore=shutil.ignore_patterns("results"))
    shutil.copy(ROOT / "jupytext.toml", course)
    before = {path: path.read_bytes() for path in course.glob("0*")}
    assert len(before) >= 18  # pairs
    with serving(tmp_path / "jupyter", course, ROOT / "tools/jupyter") as running:
        for path in sorted(course.glob("*.ipynb")):
            # A figure out of sight is not looked at: the page is as long as the notebook.
            page = chromium.new_page(viewport={"width": 1000, "height": 30_000})
            page.goto(running.page(path.name))
            idle(page)
            page.wait_for_function(SHOWN)
            page.wait_for_function(TEXTS_DRAWN)
            try:
                page.wait_for_function(f"({LEFT_OVER})().length === 0")
            finally:
                assert page.evaluate(LEFT_OVER) == []
            load_axe(page)
            page.evaluate(NOT_OURS)
            assert judge(page, TEXTS)[0] == []
            in_theme(page, "Dark")  # colours alone differ
            assert judge(page, TEXTS, runOnly=["color-contrast"])[0] == []
            in_theme(page, "Light")
            was = path.stat().st_mtime_ns
            page.evaluate("() => jupyterapp.shell.currentWidget.context.save()")
            assert path.stat().st_mtime_ns > was
            page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
            page.close()
    assert [path.name for path, was in before.items() if path.read_bytes() != was] == []


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_no_violation_in_what_the_course_shows(page, theme):
    """Live panels, and the pictures that stand for them in a saved notebook."""
    saved(page, "τ: <b>0.5</b>")
    for place, rule in (".gumbelrao-panel", "label"), (".jp-OutputArea-output figure", "image-alt"):
        in_theme(page, theme)
        assert page.locator(place).count() == 2
        load_axe(page)
        violations, kept = judge(page, [place])
        assert violations == []
        assert rule in kept  # it has looked
        page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
        again(page)


def test_a_formula_that_is_not_drawn_is_noticed(chromium):
    page = chromium.new_page()
    page.set_content(
        "<div class='jp-RenderedMarkdown'><p>good <code>$x</code></p><p>5 $</p><p>&gt; b</p></div>"
        "<div class='jp-RenderedMarkdown'><details><p>\\frac</p></details></div>"
    )
    assert page.evaluate(LEFT_OVER) == ["good 5 $> b", "\\frac"]
    page.close()
