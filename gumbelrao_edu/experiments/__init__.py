"""The paper's experiments, each a record; `reproduce` computes and writes any of them."""

from . import clipping, fig1, fig2, fig3, fig4, seeds, successors, table1, table2, table3
from .experiment import PROFILES, Experiment, Outcome, RunsFailedError, reproduce

# By the names of the paper, and three more.
EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (fig1, fig2, fig3, fig4, table1, table2, table3, seeds, clipping, successors)
}

__all__ = ["EXPERIMENTS", "PROFILES", "Experiment", "Outcome", "RunsFailedError", "reproduce"]
