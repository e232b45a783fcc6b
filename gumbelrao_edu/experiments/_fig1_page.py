"""Figure 1: the quadratic programme over the simplex, and ratios of variances over it."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from ..figures.page import embedded
from ..figures.ternary import arrange, ellipses, minimum, simplex_map, singular_lines
from ..problems import DERIVATIVES, QuadraticProgramme


def figure_1(table: pd.DataFrame, derivative: str = "fixed") -> go.Figure:
    """Return the four panels of Figure 1, exactly computed.

    Args:
        table: from `fig1.tables`, with three temperatures.
        derivative: "fixed" or "whole".

    Example:
        >>> from gumbelrao_edu.experiments.fig1 import Sampling, compare
        >>> tables = [compare(Sampling(rows=6, num_samples=9, k=9), tau=t) for t in (1.0, 0.5, 0.1)]
        >>> figure = figure_1(pd.concat(tables))
        >>> [note.text[:3] for note in figure.layout.annotations]
        ['(a)', '(b)', '(c)', '(d)']
    """
    programme = QuadraticProgramme()
    table = table[table.derivative == derivative]
    taus = list(dict.fromkeys(table.tau))
    titles = ["(a) contours"]
    titles += [f"({'bcd'[i]}) τ = {tau:g}" for i, tau in enumerate(taus)]
    figure = make_subplots(
        2, 2, specs=[[{"type": "ternary"}] * 2] * 2, subplot_titles=titles, vertical_spacing=0.16
    )
    for i in range(4):
        rows = table[table.tau == taus[max(0, i - 1)]]
        p = torch.tensor(rows[["p1", "p2", "p3"]].to_numpy())
        values = programme.value(p) if i == 0 else torch.tensor(rows.gap.to_numpy())
        place = {"x": 0.43 + 0.55 * (i % 2), "y": 0.99 - 0.58 * (i // 2)}
        heat = simplex_map(p, values, name=titles[i], title="", number=i + 1, bar=place)
        lines = [ellipses(programme), minimum(programme)] if i == 0 else []
        figure.add_traces(heat)
        for trace in [*lines, singular_lines(programme)]:
            figure.add_trace(trace, i // 2 + 1, i % 2 + 1)
    return arrange(figure, height=860)


def body(table: pd.DataFrame) -> str:
    """Return the body of a page with Figure 1 for both derivatives.

    Args:
        table: from `fig1.tables`.

    Example:
        >>> from gumbelrao_edu.experiments.fig1 import Sampling, compare
        >>> tables = [compare(Sampling(rows=6, num_samples=9, k=9), tau=t) for t in (1.0, 0.5, 0.1)]
        >>> body(pd.concat(tables)).count("<h2>")
        2
    """
    parts: list[str] = []
    for derivative, title in DERIVATIVES.items():
        rows = table[table.derivative == derivative]
        figure = embedded(figure_1(table, derivative), first=not parts)
        ranges = ", ".join(
            f"{low:.2f} to {high:.2f} at τ = {tau:g}"
            for tau, low, high in rows.groupby("tau", sort=False)
            .gap.agg(["min", "max"])
            .itertuples()
        )
        text = (
            f"Contours of the quadratic programme, and log10 of the variance of ST-GS over that of "
            f"GR with the K of the run, computed exactly: {ranges}. Dashed: where the loss is "
            f"singular. A few largest values share the last colour."
        )
        parts.append(f"<h2>{title}</h2>\n{figure}\n<p>{text}</p>")
    return "\n".join(parts)
