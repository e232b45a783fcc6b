"""A plugin for `pytest --nbval`: what nbval itself does not do for this course.

    PYTHONPATH=tests python -m pytest -p nbval_rules --nbval --nbval-current-env notebooks/03*.ipynb

- Figures are stored as pictures. Their captions are compared, and where their controls stand.
- After its last cell each notebook gets one more, which moves every slider to all its positions.
"""

import re

import nbformat
from nbval.plugin import IPyNbCell

# Runs in the kernel, after the notebook.
DRIVE = '''
def _drive():
    """Move every slider; an exception, or a figure that does not change, is a failure."""
    import json
    import sys

    if "gumbelrao_edu.figures" not in sys.modules:
        return
    import ipywidgets
    from gumbelrao_edu import figures
    from gumbelrao_edu.figures.controls import Slider

    others = [kind for name, kind in vars(ipywidgets).items() if name.endswith("Slider")]

    def traces(panel):
        return json.dumps(json.loads(panel.figure.to_json())["data"])

    # Before and since version 8 ipywidgets keeps its list of widgets in different places.
    widgets = getattr(ipywidgets.widgets.widget, "_instances", None) or ipywidgets.Widget.widgets
    stray = {w for w in widgets.values() if isinstance(w, (Slider, *others))}
    for panel in figures.shown().values():
        figure = json.loads(panel.figure.to_json())["layout"]
        assert figure["height"], "a figure without layout.height"
        assert panel.caption, "a panel without a caption"
        stray -= set(panel.controls.values())
        for slider in panel.controls.values():
            if not isinstance(slider, Slider):
                continue
            name = slider.description
            assert name and slider.tooltip, f"slider {name!r} lacks a name or a tooltip"
            start, seen = slider.index, set()
            for index in range(len(slider.options)):
                slider.index = index
                seen.add(traces(panel))
            slider.index = start
            assert len(seen) > 1, f"slider {name!r} does not change the figure"
        assert not panel.errors, panel.errors[0]
    names = [w.description for w in stray]
    assert not stray, f"sliders outside of a displayed Panel, or not made by `slider`: {names}"


_drive()
'''


def pytest_collection_modifyitems(items):
    cells = [item for item in items if isinstance(item, IPyNbCell)]
    for output in (output for item in cells for output in item.cell.outputs):
        if "text/html" in output.get("data", {}):
            text = output["data"]["text/html"]
            output["data"]["text/html"] = re.sub('<img src="data:[^>]*>', "", text)
    notebooks = {item.parent: item for item in cells}
    for notebook, last in notebooks.items():
        drive = IPyNbCell.from_parent(
            notebook,
            name="sliders",
            cell_num=last.cell_num + 1,
            cell=nbformat.v4.new_code_cell(DRIVE),
            options={"skip": False, "check": False, "check_exception": False},
        )
        items.insert(items.index(last) + 1, drive)
