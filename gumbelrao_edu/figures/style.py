"""How all figures look: colours, fonts, axes. A change here changes every figure."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's palette: told apart with every common form of colour blindness.
PALETTE = {
    "black": "#000000",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
}

# For estimators beyond those that have a colour above; no two alike to any common form of sight.
MORE_COLORS = (
    "#332288",
    "#882255",
    "#117733",
    "#999933",
    "#661100",
    "#44AA99",
    "#AA4499",
    "#777777",
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

_AXIS = {"gridcolor": "#E5E5E5", "linecolor": "#444444", "zerolinecolor": "#BBBBBB"}
TEMPLATE = {
    "layout": {
        "colorway": list(PALETTE.values())[1:],
        "font": {"color": "#222222", "size": 13},
        # Explicit, so that a dark theme leaves black lines readable.
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
    }
}


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
