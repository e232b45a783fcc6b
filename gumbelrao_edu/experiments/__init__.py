"""The paper's experiments, each a record; `reproduce` computes and writes any of them."""

from . import annealing, clipping, fig1, fig2, fig3, fig4, seeds, successors, table1, table2, table3
from .experiment import PROFILES, Experiment, Outcome, RunsFailedError, reproduce

_PAPER = (fig1, fig2, fig3, fig4, table1, table2, table3)
_MORE = (seeds, clipping, annealing, successors)

# By the names of the paper, and more.
EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT for module in (*_PAPER, *_MORE)
}

__all__ = ["EXPERIMENTS", "PROFILES", "Experiment", "Outcome", "RunsFailedError", "reproduce"]
