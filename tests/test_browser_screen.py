"""JupyterLab on small screens, and in panes that change their size."""

import re

import nbformat
import pytest
from lab import RUN_ALL, idle

from notebooks import KERNELSPEC

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CODE = """
import plotly.graph_objects as go
from gumbelrao_edu.figures import Panel, layout, slider, trace

def draw(figure, *, k, tau):
    trace(figure, "first").y = [k, tau, 3]
    return f"From {k} by {tau} to 3. " + "A caption of a usual length has about two lines. " * 2

lines = [go.Scatter(name=name, x=[1, 2, 3], y=[1, 2, 4]) for name in ("first", "second", "third")]
Panel(
    go.Figure(lines, layout("a", "b", height=380)),
    draw,
    k=slider("K", [1, 2, 5], 1, tooltip="how many"),
    tau=slider("τ", [0.1, 0.5], 0.1, tooltip="how hot"),
)
"""


@pytest.fixture
def page(chromium, lab, request):
    """A panel with two sliders, run, and cells below it."""
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNELSPEC})
    notebook.cells = [nbformat.v4.new_code_cell(CODE)]
    notebook.cells += [nbformat.v4.new_markdown_cell("Text.\n\n" * 20) for _ in range(3)]
    name = re.sub(r"\W", "_", request.node.name) + ".ipynb"
    nbformat.write(notebook, lab.folder / name)
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(lab.page(name))
    idle(page)
    assert page.evaluate(RUN_ALL) is True
    page.wait_for_selector(".gumbelrao-plot .main-svg")
    yield page
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close()


def settles(page, condition):
    """Wait until this holds of the panel; JupyterLab does not lay out what is out of view."""
    page.wait_for_function(
        f"""() => {{
            const box = (name) => document.querySelector(name).getBoundingClientRect();
            document.querySelector('.gumbelrao-panel').scrollIntoView();
            const [panel, outer] = ['.gumbelrao-panel', '.jp-WindowedPanel-outer'].map(box);
            const [drawn, frame] = ['.gumbelrao-plot .main-svg', '.gumbelrao-frame'].map(box);
            const [legend, area] = ['.main-svg .legend', '.main-svg .nsewdrag'].map(box);
            return {condition};
        }}""",
        polling=100,
        timeout=60_000,
    )


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (683, 512)], ids=["all", "150%"])
def test_sliders_figure_and_caption_are_seen_together(page, width, height):
    """On a projector of 1024 times 768, as it is and at 150 percent."""
    page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size({"width": width, "height": height})
    settles(page, "panel.height <= outer.height && drawn.height >= 230")
    page.set_viewport_size({"width": 1280, "height": 900})
    settles(page, "drawn.height >= 380")


def test_a_legend_stays_beside_the_curves_when_panes_change(page):
    beside = "legend.bottom <= area.top + 1 && Math.abs(drawn.width - frame.width) < 2"
    for width in (700, 1280, 800, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        settles(page, beside)
    before = page.locator(".gumbelrao-frame").bounding_box()["width"]
    page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
    settles(page, f"{beside} && frame.width > {before}")


def test_a_figure_has_no_tool_bar_and_few_stops(page):
    assert page.locator(".gumbelrao-plot .modebar-btn").count() == 0
    assert page.locator(".gumbelrao-panel a").count() == 0  # none leads to a cloud
    stops = page.locator(".gumbelrao-panel :is(input, button, select, a[href], [tabindex='0'])")
    assert stops.count() == 3  # two sliders, and the button that fills the screen


def test_the_screen_is_filled_with_the_sliders_too(page):
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.querySelectorAll('input').length === 2")
    page.wait_for_function("""() => {
        const panel = document.fullscreenElement;
        return panel.scrollHeight <= panel.clientHeight + 1;
    }""")
    page.get_by_role("slider", name="K").press("ArrowRight")
    page.get_by_text("From 2 by 0.1 to 3.").wait_for()
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement === null")
