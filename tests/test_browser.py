"""A learner's view: JupyterLab in chromium, all cells run, sliders moved by the keyboard."""

import re
import statistics
from html import unescape

import nbformat
import pytest
from conftest import ROOT
from lab import PROBE, RUN_ALL, idle, problems

from notebooks import find

NOTEBOOKS = [script.with_suffix(".ipynb") for script in find(ROOT / "notebooks", [])]
MOVES = 8
BUDGET_MS = 100  # for a move of a slider; reported here, measured by benchmarks/notebooks.py

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


# In the page: what each code cell has given.
OUTPUTS = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .map(cell => [cell.model.executionCount, cell.model.outputs.toJSON()])"""

FIGURES = """() => [...document.querySelectorAll('.js-plotly-plot')]
    .filter(plot => plot.querySelector('.main-svg') && plot.getBoundingClientRect().height > 100)"""

# The names of the sliders of the page, and what each shows.
POSITIONS = """() => [...document.querySelectorAll('.gumbelrao-slider')].map(slider =>
    [slider.querySelector('span').textContent, slider.querySelector('output').textContent])"""

# For the kernel: move every slider to its first position.
TO_THE_FIRST = """
from gumbelrao_edu import figures
for panel in figures.shown().values():
    for control in panel.controls.values():
        control.index = 0
"""
IN_THE_KERNEL = """code =>
    jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code}).done"""
AT_THE_FIRST = """() => [...document.querySelectorAll('.gumbelrao-slider')].every(slider => {
    const [input, output] = slider.querySelectorAll('input, output');
    return input.value === '0' && output.textContent === input.getAttribute('aria-valuetext');
})"""
ACTIVE_CELL = "() => jupyterapp.shell.currentWidget.content.activeCellIndex"


def nameless(snapshot):
    """The lines of an accessibility tree with a control that has no name."""
    controls = r"slider|combobox|button|checkbox|radio|textbox|spinbutton|listbox"
    return re.findall(rf'^ *- (?:{controls})(?! ").*$', snapshot, re.MULTILINE)


def test_a_control_without_a_name_is_noticed():
    snapshot = '- text: K\n- slider "K": "3"\n  - button "Zoom"\n- slider: "3"\n  - combobox'
    assert nameless(snapshot) == ['- slider: "3"', "  - combobox"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_in_the_browser(chromium, lab, path, record_property):
    stored = nbformat.read(path, as_version=4)
    outputs = [output for cell in stored.cells for output in cell.get("outputs", [])]
    html = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    pictures = html.count("<img")
    page = chromium.new_page(viewport={"width": 1200, "height": 1400})
    asked, wrong = [], problems(page)
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    # A workspace of its own: JupyterLab would open the notebook of the test before, too.
    page.goto(lab.page(path.name))

    # Before anything is run, the stored pictures stand where the widgets will be.
    page.wait_for_selector(".jp-RenderedHTML img[alt]", state="attached", timeout=120_000)
    assert page.get_by_text("Error displaying widget").count() == 0

    idle(page)
    page.set_default_timeout(300_000)
    assert page.evaluate(RUN_ALL) is True
    cells = page.evaluate(OUTPUTS)
    assert [count for count, _ in cells] == list(range(1, len(cells) + 1))
    assert [o for _, outputs in cells for o in outputs if o["output_type"] == "error"] == []

    page.set_default_timeout(60_000)
    # Every picture has given way to a live figure of a sensible size.
    page.wait_for_function(f"({FIGURES})().length === {pictures}")
    # And the sliders stand where they stand in the pictures: no cell below has moved one.
    positions = page.evaluate(POSITIONS)
    names = {name for name, _ in positions}
    told = re.findall(r"(?:<p>|, )([^<>,:]+): <b>(.*?)</b>", html)
    assert positions == [[name, unescape(at)] for name, at in told if name in names]
    sliders = page.locator(".gumbelrao-slider")
    for index in range(sliders.count()):
        slider = sliders.nth(index)
        slider.scroll_into_view_if_needed()
        panel = slider.locator("xpath=ancestor::*[.//*[contains(@class, 'js-plotly-plot')]][1]")
        name, shown = slider.locator("span").text_content(), slider.locator("output")
        handle = panel.get_by_role("slider", name=name, exact=True)
        handle.wait_for()  # what was far off the screen is drawn, and read, a moment later
        assert nameless(panel.aria_snapshot()) == []
        position, last = handle.evaluate("input => [input.valueAsNumber, Number(input.max)]")
        keys = ["ArrowRight", "ArrowLeft"] if position < last else ["ArrowLeft", "ArrowRight"]
        panel.evaluate(PROBE)
        handle.focus()
        for move in range(MOVES):
            page.keyboard.press(keys[move % 2])
            # The drawing and the caption have both followed before the next key is pressed.
            page.evaluate(f"probe.answers({move + 1})")
            assert handle.get_attribute("aria-valuetext") == shown.inner_text()
        drawn, seen = map(statistics.median, page.evaluate("[probe.drawn, probe.seen]"))
        record_property(
            "measured",
            f"{path.stem}, slider {name}: a move is drawn after {drawn:.0f} ms (wanted: "
            f"{BUDGET_MS}), seen after {seen:.0f} ms (medians of {MOVES})",
        )
        said = page.evaluate("probe.said")
        assert len(said) == MOVES
        assert len(set(said)) == 2

        cell = page.evaluate(ACTIVE_CELL)
        at, answers = [position], len(said)
        for key in ("Home", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "End"):
            page.keyboard.press(key)
            at.append(handle.evaluate("input => input.valueAsNumber"))
            answers += at[-1] != at[-2]
            page.wait_for_function("count => probe.said.length === count", arg=answers)
        assert (at[1], at[2], at[3], at[6]) == (0, 1, 0, last)
        assert at[4] > at[5]
        # Faster than the answers: moves do not queue up, and the last one counts. It goes where
        # none before it went, so that its answer cannot be taken for an earlier one; and not where
        # the slider stood, or there is none when the kernel is told of the last move alone.
        if last > 1:
            final = page.evaluate("probe.said.at(-1)")
            page.keyboard.press("Home")
            answers += 1
            page.wait_for_function("count => probe.said.length === count", arg=answers)
            fast = [*["ArrowUp", "ArrowDown"] * 10, "End"]
            for key in fast:
                page.keyboard.press(key)
            arrived = "([count, text]) => probe.said.length > count && probe.said.at(-1) === text"
            page.wait_for_function(arrived, arg=[answers, final])
            assert page.evaluate("probe.said.length") < answers + len(fast)
        assert page.evaluate(ACTIVE_CELL) == cell
        handle.fill(str(position))  # for the other slider of the same figure
        page.wait_for_function("text => probe.said.at(-1) === text", arg=said[-1])
    # Moved by the kernel, the sliders follow.
    page.evaluate(IN_THE_KERNEL, TO_THE_FIRST)
    page.wait_for_function(AT_THE_FIRST)
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close()
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:http://127.0.0.1:")
    assert [url for url in asked if not url.startswith(local)] == []
    assert wrong == []
