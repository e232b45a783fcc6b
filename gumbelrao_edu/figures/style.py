"""How all figures look: colours, fonts, markers, lines, axes. A change here changes every figure.

What stands for an estimator has the look of its row, see `figures.rows`. Everything else that is
drawn has a `Look` below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# --- Colours --------------------------------------------------------------------------------------

# After Okabe and Ito's palette: told apart with every common form of colour blindness. Its light
# colours are darker here, so that thin lines are seen on white.
PALETTE = {
    "black": "#000000",
    "blue": "#0072B2",
    "vermilion": "#C85000",
    "green": "#009E73",
    "orange": "#D08000",
    "sky": "#3090F0",
    "purple": "#CC79A7",
    "magenta": "#D020B8",
}

# For estimators beyond those that have a colour above.
MORE_COLORS = (
    "#332288",
    "#882255",
    "#117733",
    "#683078",
    "#661100",
    "#8907E5",
    "#F81050",
    "#370343",
)
MORE_SYMBOLS = (
    "star-diamond",
    "hourglass",
    "bowtie",
    "star-triangle-up",
    "star-triangle-down",
    "star-square",
    "hexagon2",
    "octagon",
    "diamond-tall",
    "diamond-wide",
    "triangle-left",
)

PAPER = "white"  # explicit, so that a dark theme leaves black lines readable
INK = "#222222"  # of texts
AXIS, ZERO, GRID = "#444444", "#BBBBBB", "#E5E5E5"
QUIET = "#888888"  # of lines that only help to read
SCALE = "Cividis"  # of maps: the same to all eyes
# Of matrices: 0 is white, the ends are orange and sky, light enough for a text on them.
SIGNS = ((0.0, "#E3B366"), (0.5, PAPER), (1.0, "#83BCF6"))

# --- Sizes ----------------------------------------------------------------------------------------

FONT_SIZE, TITLE_SIZE = 13, 16
HAIR, THIN, LINE, BOLD = 1.0, 1.5, 2.5, 4.0  # widths of lines
DOT, POINT, MARK, RING, BOX = 6, 9, 12, 16, 24  # sizes of markers
PAD = 6  # between the text of a box and its edge
LETTER, ROW = 6.0, 17  # about the width of a letter and the height of a line of text
BAR = 12  # thickness of a scale of colours
FAINT, CLEAR, STRONG = 0.3, 0.6, 0.8  # opacities of what overlaps

# --- Looks ----------------------------------------------------------------------------------------


class Styled(Protocol):
    """A `Look`, or the row of an estimator."""

    @property
    def color(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def dash(self) -> str: ...


@dataclass(frozen=True)
class Look:
    """Colour, symbol of the markers and dash of the line. Forms help those who see no colours."""

    color: str
    symbol: str = "circle"
    dash: str = "solid"


CLASSES = (
    Look(PALETTE["blue"], "circle", "solid"),
    Look(PALETTE["vermilion"], "square", "dot"),
    Look(PALETTE["green"], "diamond", "dash"),
)
MEASURED = Look(PALETTE["black"], "circle")  # from draws, beside a curve from a formula
PRINTED = Look(PALETTE["orange"], "diamond-open")  # the paper's numbers
OURS = Look(PALETTE["blue"], "circle")  # beside the paper's
MEAN = Look(PALETTE["purple"], "x-thin", "dash")  # of estimators that share it
CENTRE = Look(PALETTE["black"], "x-thin")  # mean of points
TRUTH = Look(PALETTE["black"], "circle-open")  # what points are draws of
BIAS = Look(PALETTE["black"], "x")
VARIANCE = Look(PALETTE["sky"], dash="dash")
INNER = Look(PALETTE["orange"])  # the two terms of Proposition 3, and where they are equal
OUTER = Look(PALETTE["green"], dash="dash")
TURN = Look(PALETTE["vermilion"], "diamond", "dash")
BEST = Look(PALETTE["orange"], "star")
ANOTHER = Look(PALETTE["orange"])  # a derivative that is not the estimator's
GUIDE = Look(PALETTE["orange"], dash="dash")  # a line to compare with
RAY = Look(QUIET, dash="dot")
CONTOUR, CONTOUR_ON_MAP = Look(QUIET), Look(PAPER)
SINGULAR = Look(PALETTE["vermilion"], dash="dash")
MINIMUM = Look(PALETTE["orange"], "x-thin")
GOLD = Look(PALETTE["green"])  # trees: none has the colour of an estimator in the same notebook
PREDICTED = Look(PALETTE["purple"], "square", "dash")
MERGED = Look(PALETTE["purple"], "square")
WHOLE = Look(PALETTE["green"], "square")
POSSIBLE = Look(PALETTE["orange"], "diamond-open")
CHOSEN = Look(PALETTE["black"], dash="dot")
FORWARD = Look(PALETTE["black"])  # pictures of ideas: the forward pass, and what only helps to read
BACKWARD = Look(PALETTE["blue"], dash="dash")
HINT = Look(QUIET, dash="dot")
# Three temperatures, from cold to hot.
TEMPERATURES = (
    Look(PALETTE["blue"]),
    Look(PALETTE["green"], dash="dash"),
    Look(PALETTE["vermilion"], dash="dot"),
)
DENSITY = Look(PALETTE["black"])  # a curve from a formula, over draws
DRAWN = Look(PALETTE["sky"])
FOUND, MISSED = "circle", "circle-open"  # symbols of nodes that are in the other tree, too, or not


def hollow(look: Styled) -> Look:
    """Return the same look with open markers: of the paper's numbers, or of what is not certain.

    Example:
        >>> hollow(OURS).symbol
        'circle-open'
    """
    return Look(look.color, f"{look.symbol}-open", look.dash)


def line(look: Styled, width: float = LINE) -> dict[str, Any]:
    """Return the style of a line.

    Args:
        look: its colour and dash.
        width: in pixels.

    Example:
        >>> line(OUTER)
        {'color': '#009E73', 'dash': 'dash', 'width': 2.5}
    """
    return {"color": look.color, "dash": look.dash, "width": width}


def marker(look: Styled, size: float = POINT, **options: Any) -> dict[str, Any]:
    """Return the style of markers.

    Args:
        look: their colour and symbol.
        size: in pixels.
        **options: more properties of plotly's `marker`.

    Example:
        >>> marker(TURN)
        {'color': '#C85000', 'symbol': 'diamond', 'size': 9}
    """
    drawn = {"color": look.color, "symbol": look.symbol, "size": size}
    if look.symbol.endswith(("-thin", "-open")):  # made of lines
        drawn["line"] = {"color": look.color, "width": LINE}
    return {**drawn, **options}


def boxes(look: Styled) -> dict[str, Any]:
    """Return the style of markers that are large and empty, with room for a digit.

    Example:
        >>> boxes(WHOLE)["symbol"]
        'square'
    """
    edge = {"color": look.color, "width": LINE}
    return {"color": PAPER, "symbol": look.symbol, "size": BOX, "line": edge}


def arrow(width: float) -> dict[str, Any]:
    """Return the style of the markers of a line from one point to another: a head at its end.

    Args:
        width: of the line.

    Example:
        >>> arrow(2)["size"]
        [0, 9]
    """
    head = {"symbol": "arrow", "size": [0, 5 + 2 * width], "angleref": "previous"}
    return {**head, "opacity": 1, "line": {"width": 0}}


def frame(look: Styled) -> dict[str, Any]:
    """Return the style of an annotation that is a box around its text.

    Args:
        look: its colour.

    Example:
        >>> frame(FORWARD)["bordercolor"]
        '#000000'
    """
    return {"bordercolor": look.color, "borderwidth": THIN, "borderpad": PAD, "bgcolor": PAPER}


def error_bars(standard_errors: Sequence[float]) -> dict[str, Any]:
    """Return error bars that are two standard errors long, up and down.

    Example:
        >>> error_bars([0.5])["array"]
        [1.0]
    """
    return {"type": "data", "array": [2 * se for se in standard_errors], "thickness": THIN}


# --- Axes -----------------------------------------------------------------------------------------

_LINES = {"gridcolor": GRID, "linecolor": AXIS, "zerolinecolor": ZERO}
TEMPLATE = {
    "layout": {
        "colorway": list(PALETTE.values())[1:],
        "font": {"color": INK, "size": FONT_SIZE},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "xaxis": _LINES,
        "yaxis": _LINES,
        "ternary": {
            "bgcolor": PAPER,
            **{f"{axis}axis": {"gridcolor": GRID, "linecolor": AXIS} for axis in "abc"},
        },
        "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
    }
}

DECADES = {"type": "log", "dtick": 1, "exponentformat": "power"}  # an axis with powers of ten


def log_axis(ticks: Sequence[float], ends: Sequence[float] = ()) -> dict[str, Any]:
    """Return a logarithmic axis.

    Args:
        ticks: the numbers that are written.
        ends: of the axis, two numbers; left out, it fits the data.

    Example:
        >>> log_axis([1, 1000], [0.1, 1000])["ticktext"]
        ['1', '1,000']
    """
    axis = {"type": "log", "tickvals": list(ticks), "ticktext": [f"{t:,g}" for t in ticks]}
    return {**axis, "range": [math.log10(end) for end in ends]} if ends else axis


def layout(x: str, y: str, *, title: str = "", height: int = 380) -> dict[str, Any]:
    """Return the course's plotly layout; axes always have a label.

    Args:
        x: label of the horizontal axis.
        y: label of the vertical axis.
        title: a short title.
        height: in pixels; always set, since JupyterLab else may draw figures 16 pixels high.

    Returns:
        A dictionary for ``go.Figure(layout=...)``.

    Example:
        >>> layout("step", "loss")["xaxis"]["title"]["text"]
        'step'
    """
    return {
        "template": TEMPLATE,
        "title": {"text": title, "x": 0.01, "xanchor": "left"},
        "xaxis": {"title": {"text": x}},
        "yaxis": {"title": {"text": y}},
        "height": height,
    }


def label(value: float) -> str:
    """Return a number as it is written on a slider.

    Example:
        >>> label(0.5), label(10), label(float("inf"))
        ('0.5', '10', '∞')
    """
    return f"{value:g}".replace("inf", "∞")
