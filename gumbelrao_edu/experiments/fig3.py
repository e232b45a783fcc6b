"""Figure 3: variance of the draws and of the minibatch, over training, at all arities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..figures.style import DECADES
from . import fig2, search, trajectories
from .experiment import Experiment, Tables

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


def figure_3(table: pd.DataFrame) -> go.Figure:
    """Return Figure 3: variance of the draws and of the minibatch over training, for each arity.

    Args:
        table: from `trajectories.table`.

    Example:
        >>> import pandas as pd
        >>> row = {"arity": 8, "step": 100, "row": "ST-GS", "tau": 0.5, "monte_carlo": 9.0}
        >>> row |= {"monte_carlo_error": 1.0, "minibatch": 4.0, "minibatch_error": 1.0}
        >>> [trace.y for trace in figure_3(pd.DataFrame([row])).data]
        [(9.0,), (4.0,)]
    """
    from ._curves import add, plots

    arities = sorted({*table.arity})
    titles = [*map(search.arity_name, arities)]
    figure = plots(2, len(titles), titles, spacing=0.03, shared_yaxes="rows")
    for column, arity in enumerate(arities, 1):
        cells = table[table.arity == arity]
        for row, part in enumerate(("monte_carlo", "minibatch"), 1):
            add(figure, (row, column), cells, "step", part, f"{part}_error")
    figure.update_xaxes(DECADES, title_text="training step")
    figure.update_yaxes(DECADES)
    figure.update_yaxes(row=1, col=1, title_text="variance of the draws")
    figure.update_yaxes(row=2, col=1, title_text="variance of the minibatch")
    return figure


def page(tables: Tables) -> str:
    """Return the body of the page.

    Args:
        tables: with the numbers of the figure.
    """
    from ._curves import body

    said = (
        "First row: variance of the encoder's gradient given the minibatch, from the draws. Second "
        "row: variance from one minibatch to the next. Bars are two standard errors."
    )
    return body(figure_3(tables["fig3"]), said, tables["fig3"])


# The cpu profile: an hour of one core. Cut: what Figure 2 has cut there, and 8-ary, which it has,
# measured along the same training.
_ARITIES = {"smoke": (8, 16), "lecture": (8, 16), "cpu": (2, 4, 16), "paper": (2, 4, 8, 16)}

# Those of Figure 2 at one temperature and without the bias.
PROFILES = {
    name: replace(profile, arities=_ARITIES[name], taus=profile.taus[:1], bias_batches=0)
    for name, profile in fig2.PROFILES.items()
}

EXPERIMENT = Experiment(
    name="fig3",
    title="Figure 3",
    profiles=PROFILES,
    configurations=trajectories.configurations,
    run_title=trajectories.run_title,
    train=trajectories.train,
    results=trajectories.RESULTS,
    tables=lambda outcome: {"fig3": trajectories.table(outcome)},
    page=page,
    prepare=search.prepare,
)
