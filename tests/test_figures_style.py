"""Every estimator has a look of its own, told apart by all eyes; looks are said in one place."""

import ast
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageColor

import gumbelrao_edu
from gumbelrao_edu import estimators
from gumbelrao_edu.experiments import table1, table3
from gumbelrao_edu.figures import curve, layout
from gumbelrao_edu.figures.rows import CLIPPED, COLORS, EXACT, GR, SHADES, Row, rows
from gumbelrao_edu.figures.style import INK, MORE_COLORS, PALETTE, PAPER, QUIET, SIGNS, TEMPLATE

PACKAGE = Path(gumbelrao_edu.__file__).parent


def test_every_estimator_and_every_row_has_a_look_of_its_own():
    registered = [Row(name) for name in estimators.names()]
    others = [row for row in registered if row.label not in {known.label for known in rows()}]
    everything = {
        row.label: (row.color, row.symbol, row.dash)
        for row in [*rows(), *others, EXACT, GR, *CLIPPED, *table1.ROWS, *table3.ROWS]
    }
    assert {row.estimator for row in [*rows(), *others]} == {*estimators.names()}
    assert len({*everything.values()}) == len(everything) >= 17
    # In a legend, where a line is 30 px long, a long dash is one short stroke.
    assert {dash for *_, dash in everything.values()} <= {"solid", "dot", "dash", "dashdot"}
    # Where a line is not seen, the symbols tell apart what has one colour.
    assert len({(color, symbol) for color, symbol, _ in everything.values()}) == len(everything)


# Dichromats see of a colour what these matrices leave of its linear RGB: Machado, Oliveira and
# Fernandes (2009), severity 1.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
       [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip
# In CIELAB a difference of 2.3 is just noticeable. This asks for five times as much. It says
# nothing of thin lines, of screens, or of colours that overlap: for those there are the symbols.
APART = 5 * 2.3


def lab(color, sight):
    seen = np.clip(np.array(SIGHTS[sight]) @ linear(rgb(color)), 0, 1)
    x = np.array(XYZ) @ seen / np.array([0.95047, 1.0, 1.08883])
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one, other, sight):
    return np.linalg.norm(lab(one, sight) - lab(other, sight))


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_of_estimators_are_told_apart(sight):
    colors = [*COLORS.values(), *SHADES.values(), *MORE_COLORS]
    near = [
        (one, other)
        for one, other in itertools.combinations(colors, 2)
        if distance(one, other, sight) < APART
    ]
    assert near == []


@pytest.mark.parametrize("color", sorted({*PALETTE.values(), *MORE_COLORS, QUIET}))
def test_thin_lines_are_seen_on_light_and_dark_pages(color):
    """WCAG wants a contrast of 3 for what carries meaning."""
    assert min(contrasts(color, PAPER)) >= 3


@pytest.mark.parametrize("color", [color for _, color in SIGNS])
def test_numbers_are_read_in_all_cells_of_a_matrix(color):
    """WCAG wants a contrast of 4.5 for texts."""
    assert min(contrasts(INK, color)) >= 4.5


def contrasts(one, other):
    """Of two colours, on a light page and on a dark one, where figures.css turns them round."""
    light = [rgb(one), rgb(other)]
    dark = [np.clip(np.array(HUE_ROTATE) @ (1 - color), 0, 1) for color in light]
    for pair in light, dark:
        low, high = sorted(map(luminance, pair))
        yield (high + 0.05) / (low + 0.05)


def rgb(color):
    return np.array(ImageColor.getrgb(color)) / 255


# The filter hue-rotate(180deg), as the W3C defines it.
HUE_ROTATE = [[-0.574, 1.430, 0.144], [0.426, 0.430, 0.144], [0.426, 1.430, -0.856]]


def luminance(rgb):
    return np.array([0.2126, 0.7152, 0.0722]) @ linear(rgb)


def linear(rgb):
    """What sRGB codes: the light of red, green and blue."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def test_the_simulation_sees_what_is_known():
    assert lab("#FFFFFF", "normal") == pytest.approx([100, 0, 0], abs=0.01)
    assert lab("#FF0000", "normal") == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    # Dark red and olive green: far apart, and one to those without a receptor for red.
    assert distance("#AA3300", "#665500", "normal") > 40
    assert distance("#AA3300", "#665500", "protanopia") < APART


# --- One place ------------------------------------------------------------------------------------

NAMED = re.compile("#[0-9A-Fa-f]{3,8}|black|white|red|green|blue|orange|gr[ae]y|purple")
COLOUR = {"bgcolor", "color", "colorscale", "dash", "fillcolor", "symbol"}
SIZE = {"opacity", "size", "thickness", "width"}


def looks_said(source):
    """Each constant of the source that is the value of a property of a look, with its name."""
    for node in ast.walk(ast.parse(source)):
        pairs = []
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
        elif isinstance(node, ast.Call):
            pairs = [(ast.Constant(k.arg), k.value) for k in node.keywords if k.arg]
        for key, value in pairs:
            name = key.value if isinstance(key, ast.Constant) else ""
            name = re.sub("^((font|line|marker)_)+", "", str(name))
            if not isinstance(value, ast.Constant):
                continue
            text = isinstance(value.value, str)
            if text and (name in COLOUR or NAMED.fullmatch(value.value)):
                yield name, value.value
            if name in SIZE and isinstance(value.value, int | float) and value.value > 1:
                yield name, value.value
            if name == "opacity" and isinstance(value.value, float):
                yield name, value.value


def drawing():
    folders = ("figures", "course", "experiments")
    files = [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    return [path for path in files if (path.parent.name, path.name) not in STYLE]


STYLE = {("figures", "style.py"), ("figures", "rows.py")}


def test_colours_sizes_and_dashes_are_said_in_one_place():
    assert len(drawing()) > 25
    found = {
        (path.name, name, value)
        for path in drawing()
        for name, value in looks_said(path.read_text("utf-8"))
        if value != "rgba(0, 0, 0, 0)"  # the map shines through
    }
    assert found == set()


def test_a_look_said_elsewhere_is_noticed():
    bad = "go.Scatter(line={'width': 3}, marker_size=4, opacity=0.5, marker={'color': 'red'})"
    assert sorted(looks_said(bad), key=str) == [
        ("color", "red"), ("opacity", 0.5), ("size", 4), ("width", 3)
    ]  # fmt: skip


def test_a_figure_takes_its_fonts_and_grid_from_the_template():
    import plotly.graph_objects as go

    figure = go.Figure(curve("GR", GR, [0], [0]), layout("x", "y"))
    assert figure.layout.template.layout.font.size == TEMPLATE["layout"]["font"]["size"]
    assert figure.layout.template.layout.xaxis.gridcolor == TEMPLATE["layout"]["xaxis"]["gridcolor"]
    assert (figure.data[0].line.color, figure.data[0].line.dash) == (GR.color, GR.dash)
