"""One record for each row of the tables, which is a curve of the figures: name and style."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .. import estimators
from .style import MORE_COLORS, MORE_SYMBOLS, PALETTE

if TYPE_CHECKING:
    import pandas as pd

# One colour for an estimator in the whole course. Those that are not named here get the next of
# MORE_COLORS.
COLORS = {
    "exact": PALETTE["black"],
    "gumbel_rao": PALETTE["blue"],
    "st_gumbel_softmax": PALETTE["vermilion"],
    "gumbel_softmax": PALETTE["orange"],
    "straight_through": PALETTE["green"],
    "reinforce": PALETTE["purple"],
    "rloo": PALETTE["magenta"],
    "zgr": PALETTE["sky"],
}

# Of one that is drawn beside others of the same estimator, by its K.
SHADES: dict[tuple[str, float | None], str] = {("gumbel_rao", 10): "#7C70FF"}

# Forms tell apart what has the same colour, and help those who do not see colours: the symbol of
# the markers and the dash of the line, by label.
_FORMS = {
    "exact": ("hexagram", "solid"),
    "GS": ("star", "solid"),
    "REINFORCE": ("hexagon", "solid"),
    "RLOO": ("pentagon", "solid"),
    "ST": ("cross", "solid"),
    "ST-GS": ("circle", "solid"),
    "GR": ("triangle-right", "solid"),
    "GR-MC10": ("triangle-down", "solid"),
    "GR-MC100": ("triangle-up", "dot"),
    "GR-MC1000": ("square", "dash"),
    "GR-∞": ("diamond", "dashdot"),
    "ZGR": ("x", "solid"),
    "ST-GS, clipped at 1": ("circle-x", "dash"),
    "GR-MC10, clipped at 1": ("triangle-left", "dash"),
    "GR-∞, clipped at 1": ("diamond-x", "dash"),
}


@dataclass(frozen=True)
class Row:
    """An estimator with its hyper-parameters, as tables print it and figures draw it.

    Attributes:
        estimator: the name in the registry.
        hyper: its hyper-parameters other than τ: K of `gumbel_rao`, S of `rloo`. Those of the
            registry's example hold for what is left out.
        clip: largest norm of the gradients of a training; None leaves them as they are.

    Example:
        >>> row = Row("gumbel_rao", {"k": 10})
        >>> row.label, row.color, row.symbol, row.dash
        ('GR-MC10', '#7C70FF', 'triangle-down', 'solid')
    """

    estimator: str
    hyper: Mapping[str, Any] = field(default_factory=dict, hash=False)
    clip: float | None = None

    @property
    def label(self) -> str:
        """As tables print it; for `gumbel_rao` with its K, as the paper has it."""
        label = estimators.get(self.estimator).label
        if (k := self.hyper.get("k")) is not None:
            label += "-∞" if math.isinf(k) else f"-MC{k:g}"
        return label if self.clip is None else f"{label}, clipped at {self.clip:g}"

    @property
    def file_label(self) -> str:
        """The label in the names of files."""
        return self.label.replace("∞", "inf").replace(", clipped at ", "-clip")

    @property
    def color(self) -> str:
        if shade := SHADES.get((self.estimator, self.hyper.get("k"))):
            return shade
        return COLORS.get(self.estimator) or MORE_COLORS[self._number % len(MORE_COLORS)]

    @property
    def symbol(self) -> str:
        return self._form[0]

    @property
    def dash(self) -> str:
        return self._form[1]

    @property
    def _form(self) -> tuple[str, str]:
        more = MORE_SYMBOLS[(self._number + self._number // len(MORE_COLORS)) % len(MORE_SYMBOLS)]
        return _FORMS.get(self.label, (more, "solid"))

    @property
    def _number(self) -> int:
        """Which one it is of the estimators without a colour of their own; 0 for the others."""
        unnamed = [name for name in estimators.names() if name not in COLORS]
        return unnamed.index(self.estimator) if self.estimator in unnamed else 0

    @property
    def has_tau(self) -> bool:
        return "tau" in estimators.get(self.estimator).example

    def hyper_at(self, tau: float | None) -> dict[str, Any]:
        """Return the hyper-parameters with this temperature; None for an estimator without one."""
        return {**self.hyper, **({} if tau is None else {"tau": tau})}

    def config(self) -> dict[str, Any]:
        """What the configuration of a run says of it; `row_of` reads it."""
        return {"estimator": self.estimator, "k": None, "num_samples": 0, **self.hyper}


def row_of(config: Mapping[str, Any]) -> Row:
    """Return the row that a run belongs to.

    Args:
        config: of the run, or a row of a table of runs, in which a missing number is NaN.

    Example:
        >>> row_of({"estimator": "gumbel_rao", "k": math.inf, "tau": 0.5}) == GR_INF
        True
    """
    known = {*estimators.get(config["estimator"]).example, "k", "num_samples"} - {"tau"}
    hyper = {
        name: config[name]
        for name in known & config.keys()
        if config[name] and not (isinstance(config[name], float) and math.isnan(config[name]))
    }
    clip = config.get("clip")
    return Row(config["estimator"], hyper, None if clip is None or math.isnan(clip) else clip)


def labels_of(runs: pd.DataFrame) -> list[str]:
    """Return what tables print for the row of each run.

    Args:
        runs: a table of runs, see `row_of`.
    """
    return [row_of(run).label for run in runs.to_dict("records")]


GS = Row("gumbel_softmax")
REINFORCE = Row("reinforce")
RLOO = Row("rloo", {"num_samples": 4})
ST = Row("straight_through")
ST_GS = Row("st_gumbel_softmax")
GR_10, GR_100, GR_1000 = (Row("gumbel_rao", {"k": k}) for k in (10, 100, 1000))
GR_INF = Row("gumbel_rao", {"k": math.inf})
GR = Row("gumbel_rao")  # where K is that of a slider
EXACT = Row("exact")
ZGR = Row("zgr")
CLIPPED = ST_GS_CLIPPED, GR_10_CLIPPED, GR_INF_CLIPPED = tuple(
    replace(row, clip=1.0) for row in (ST_GS, GR_10, GR_INF)
)

# In the order of the paper's tables.
_ORDER = (GS, REINFORCE, RLOO, ST, ST_GS, GR_10, GR_100, GR_1000, GR_INF, ZGR)


def rows() -> list[Row]:
    """Return a row for every estimator that a model can be trained with, in the order of tables.

    `gumbel_rao` has one for each K of the paper, and one for K = ∞. An estimator that is registered
    and not named in this module comes last.

    Example:
        >>> [row.label for row in rows()][:5]
        ['GS', 'REINFORCE', 'RLOO', 'ST', 'ST-GS']
    """
    named = {row.estimator for row in _ORDER}
    others = [name for name in estimators.names() if name not in named]
    drawn = [name for name in others if estimators.get(name).kind != "enumeration"]
    return [*_ORDER, *map(Row, drawn)]


def row_of_label(label: str) -> Row:
    """Return the row that tables print under a label.

    Args:
        label: see `Row.label`.

    Raises:
        ValueError: if no row has it.

    Example:
        >>> row_of_label("GR-∞") == GR_INF
        True
    """
    for row in (*rows(), *CLIPPED):
        if row.label == label:
            return row
    raise ValueError(f"label: expected that of a row, got {label!r}")


def label_rank(label: str) -> int:
    """Return where the row of a label stands in tables.

    Args:
        label: see `Row.label`; one that is not known comes last.

    Example:
        >>> sorted(["ZGR", "GS", "ST-GS"], key=label_rank)
        ['GS', 'ST-GS', 'ZGR']
    """
    labels = [row.label for row in (*rows(), *CLIPPED)]
    return labels.index(label) if label in labels else len(labels)
