"""A plugin for `pytest --nbval`: what nbval itself does not do for this course.

    PYTHONPATH=tests python -m pytest -p nbval_rules --nbval --nbval-current-env notebooks/03*.ipynb

- A plotly figure is stored as a picture. As with nbval's images, its caption is compared.
- After its last cell each notebook gets one more, which moves every slider to all its positions.
"""

import nbformat
from nbval.plugin import IPyNbCell

PLOTLY = "application/vnd.plotly.v1+json"

# Runs in the kernel, after the notebook.
DRIVE = '''
def _drive():
    """Move every slider; an exception, or a figure that does not change, is a failure."""
    import json
    import sys

    if "gumbelrao_edu.widgets" not in sys.modules:
        return
    import ipywidgets
    from gumbelrao_edu.widgets._base import SHOWN

    kinds = tuple(kind for name, kind in vars(ipywidgets).items() if name.endswith("Slider"))

    def inside(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from inside(child)

    def positions(slider):
        if hasattr(slider, "options"):
            trait, values = "index", range(len(slider.options))
        else:
            middle = type(slider.min)((slider.min + slider.max) / 2)
            trait, values = "value", [slider.min, middle, slider.max]
        kind = type(slider).__name__
        if "Log" in kind:
            values = [slider.base**value for value in values]
        if "Range" in kind:
            values = [(value, value) for value in values]
        return trait, values

    def traces(panel):
        return json.dumps(json.loads(panel.figure.to_json())["data"])

    # Before and since version 8 ipywidgets keeps its list of widgets in different places.
    widgets = getattr(ipywidgets.widgets.widget, "_instances", None) or ipywidgets.Widget.widgets
    stray = {w.description for w in widgets.values() if isinstance(w, kinds)}
    for panel in SHOWN.values():
        figure = json.loads(panel.figure.to_json())["layout"]
        assert figure["height"], "a figure without layout.height"
        assert panel.caption, "a panel without a caption"
        for slider in [w for w in inside(panel) if isinstance(w, kinds)]:
            name = slider.description
            stray.discard(name)
            tooltip = getattr(slider, "tooltip", None) or slider.description_tooltip
            assert name and tooltip, f"slider {name!r} lacks a name or a tooltip"
            trait, values = positions(slider)
            start, seen = getattr(slider, trait), set()
            for value in values:
                setattr(slider, trait, value)
                seen.add(traces(panel))
            setattr(slider, trait, start)
            assert len(seen) > 1, f"slider {name!r} does not change the figure"
        assert not panel.errors, panel.errors[0]
    assert not stray, f"sliders outside of a displayed Panel: {stray}"


_drive()
'''


def pytest_collection_modifyitems(items):
    notebooks = {item.parent: item for item in items if isinstance(item, IPyNbCell)}
    for notebook, last in notebooks.items():
        notebook.skip_compare += (PLOTLY,)
        drive = IPyNbCell.from_parent(
            notebook,
            name="sliders",
            cell_num=last.cell_num + 1,
            cell=nbformat.v4.new_code_cell(DRIVE),
            options={"skip": False, "check": False, "check_exception": False},
        )
        items.insert(items.index(last) + 1, drive)
