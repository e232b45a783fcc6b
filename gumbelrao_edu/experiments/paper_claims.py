"""The claims of the paper, each with the statistic and the rule that decide on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..figures.rows import (
    GR_10,
    GR_10_CLIPPED,
    GR_100,
    GR_INF,
    GR_INF_CLIPPED,
    GS,
    REINFORCE,
    ST,
    ST_GS,
    ST_GS_CLIPPED,
)
from . import search, table1, table2, table3
from .measured import (
    LEAST,
    Figure,
    Stored,
    gain_on_digits,
    gain_on_trees,
    lower_best_temperature,
    lower_mse,
    lower_temperature,
    overall_gain,
    rising_gap,
    saving,
    share_of_ten,
    shrinking_gain,
    smaller_batches,
    smallest_gap,
    steps_ratio,
    variance_ratio,
)

HOLDS, FAILS, UNDECIDED, UNMEASURED = "holds", "does not hold", "undecided", "not measured here"


@dataclass(frozen=True)
class Rule:
    """A claim holds if the figure, two standard errors up and down, is between these bounds.

    It does not hold if all of that is outside. In all other cases it is undecided, and so it is
    with an error over fewer than `LEAST`, and at the edge of what was tried. Two is for an error
    that is known; where it was measured itself it is what Student's t has instead, 4.5 for three
    seeds.

    Example:
        >>> rule = Rule(0.0)
        >>> rule.verdict(Figure(1.0, 0.4, 5, "")), rule.verdict(Figure(1.0, 0.6, 5, ""))
        ('holds', 'undecided')
        >>> rule.verdict(Figure(-1.0, 0.4, 5, "")), rule.verdict(Figure(1.0, 0.4, 2, ""))
        ('does not hold', 'undecided')
        >>> rule.verdict(Figure(1.0, 0.3, 3, "", freedom=2)), rule.verdict(None), str(rule)
        ('undecided', 'not measured here', 'above 0')
    """

    low: float
    high: float = math.inf

    def verdict(self, figure: Figure | None) -> str:
        """Return the verdict on a claim, from what was measured."""
        if figure is None:
            return UNMEASURED
        if figure.count < LEAST or math.isnan(figure.error) or figure.at_edge:
            return UNDECIDED
        reach = _reach(figure.freedom) * figure.error
        least, most = figure.value - reach, figure.value + reach
        if self.low < least and most < self.high:
            return HOLDS
        return FAILS if most <= self.low or least >= self.high else UNDECIDED

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}"
        if math.isinf(self.low):
            return f"below {self.high:g}"
        return f"between {self.low:g} and {self.high:g}"


def _reach(freedom: float) -> float:
    """How many standard errors are as much as two of a normal distribution.

    Example:
        >>> [round(_reach(freedom), 2) for freedom in (2, 4, math.inf)]
        [4.53, 2.87, 2.0]
    """
    from scipy import stats

    return 2.0 if math.isinf(freedom) else float(stats.t.isf(stats.norm.sf(2), freedom))


@dataclass(frozen=True)
class Claim:
    """What the paper says, and how it is decided whether that holds.

    Attributes:
        place: where it stands.
        sentence: the claim.
        statistic: what is measured, with its unit.
        rule: decides.
        paper: the same statistic from the numbers that the paper prints; NaN where it prints none.
        measure: makes the figure; None where the results for it are not there.
        decides: what would decide it, if it is not decided.
    """

    place: str
    sentence: str
    statistic: str
    rule: Rule
    measure: Callable[[Stored], Figure | None]
    decides: str
    paper: float = math.nan


_LOW, _MIDDLE, _HIGH = table1.PAPER_TAUS
_LEAST = min(table1.PROFILES["paper"].learning_rates)


def _paper1(row: str, tau: float, length: int = 10) -> float:
    return table1.PAPER[row, length][table1.PAPER_TAUS.index(tau)]


def _gain1(tau: float, length: int = 10) -> float:
    return _paper1("GR-MC10", tau, length) - _paper1("ST-GS", tau, length)


def _best1(*rows: str) -> float:
    return max(max(table1.PAPER[row, 10]) for row in rows)


def _paper2(row: str, base: str, arity: int, batch_size: int) -> float:
    return table2.PRINTED[base, arity, batch_size] - table2.PRINTED[row, arity, batch_size]


def _paper3(arity: int, batch_size: int) -> float:
    keys = [(row, arity, batch_size, "test") for row in ("ST-GS", "GR-MC1000")]
    return table3.PRINTED[keys[0]] - table3.PRINTED[keys[1]]


_TAUS = table2.PAPER_TAUS
_MORE_SEEDS = "more seeds of each of these cells"
_PAPER = "the profile `paper` of"
_MANY_SEEDS = (
    f"more seeds than the five of {_PAPER} `clipping`; five are enough only for a much larger gain"
)
# A search has one training of each draw; then `seeds` trains the best ones again.
_SEARCH = (
    "the profile `gpu` of `table2`, and then that of `seeds`, with more seeds than its three if "
    "the number stays as near to the bound"
)
_SEARCH_OF_FIG4 = _SEARCH.replace("table2", "fig4")

CLAIMS = (
    *(
        Claim(
            "Table 1",
            f"At τ = {tau:g} GR-MC10 reaches a higher accuracy than ST-GS "
            f"({_paper1('GR-MC10', tau)} against {_paper1('ST-GS', tau)} %).",
            "GR-MC10 minus ST-GS, points of accuracy on what is unseen of the published test set",
            Rule(0.0),
            gain_on_trees(GR_10, ST_GS, tau),
            _MORE_SEEDS,
            _gain1(tau),
        )
        for tau in (_LOW, _MIDDLE)
    ),
    *(
        Claim(
            "Table 1",
            f"At τ = {tau:g} GR-MC10 is ahead with the learning rates of the paper, {_LEAST:g} or "
            "larger.",
            f"GR-MC10 minus ST-GS, points, with no learning rate below {_LEAST:g}",
            Rule(0.0),
            gain_on_trees(GR_10, ST_GS, tau, least_rate=_LEAST),
            _MORE_SEEDS,
            _gain1(tau),
        )
        for tau in (_LOW, _MIDDLE)
    ),
    *(
        Claim(
            "Table 1",
            f"The gain shrinks as τ grows: from {low:g} to {high:g}.",
            f"gain of GR-MC10 over ST-GS at τ = {low:g} minus that at τ = {high:g}, points",
            Rule(0.0),
            shrinking_gain(low, high),
            _MORE_SEEDS,
            _gain1(low) - _gain1(high),
        )
        for low, high in ((_LOW, _HIGH), (_LOW, _MIDDLE), (_MIDDLE, _HIGH))
    ),
    Claim(
        "Table 1",
        "Over all temperatures the best GR is about a point ahead of the best ST-GS.",
        "best cell of GR minus best cell of ST-GS, chosen on the validation set, points",
        Rule(0.0, 2 * round(_best1("GR-MC10", "GR-MC100", "GR-MC1000") - _best1("ST-GS"), 1)),
        overall_gain,
        f"{_MORE_SEEDS}; smaller learning rates, since the smallest tried was the best",
        _best1("GR-MC10", "GR-MC100", "GR-MC1000") - _best1("ST-GS"),
    ),
    Claim(
        "Table 1",
        "At a low temperature more samples improve the accuracy.",
        f"GR-∞ minus GR-MC10 at τ = {_LOW:g}, points (in the paper GR-MC1000)",
        Rule(0.0),
        gain_on_trees(GR_INF, GR_10, _LOW),
        _MORE_SEEDS,
        _paper1("GR-MC1000", _LOW) - _paper1("GR-MC10", _LOW),
    ),
    Claim(
        "Table 1",
        "K = 10 gives most of the gain.",
        f"gain of GR-MC10 over that of GR-∞ at τ = {_LOW:g} (in the paper GR-MC1000)",
        Rule(0.5),
        share_of_ten,
        _MORE_SEEDS,
        _gain1(_LOW) / (_paper1("GR-MC1000", _LOW) - _paper1("ST-GS", _LOW)),
    ),
    *(
        Claim(
            "Table 1",
            f"The same is seen with longer expressions, L ≤ {length}.",
            f"GR-MC10 minus ST-GS at τ = {_LOW:g} and L ≤ {length}, points",
            Rule(0.0),
            gain_on_trees(GR_10, ST_GS, _LOW, length=length),
            f"{_PAPER} `table1`",
            _gain1(_LOW, length),
        )
        for length in (25, 50)
    ),
    Claim(
        "Table 1",
        f"Not in the paper: GR-MC10 is ahead at τ = {_LOW:g} also of ST-GS that is validated twice "
        "an epoch and not once, and so keeps what it learned before it diverged.",
        "GR-MC10 minus ST-GS, the latter from `clipping` and not clipped, points",
        Rule(0.0),
        gain_on_trees(GR_10, ST_GS, _LOW, base_name="clipping"),
        f"{_PAPER} `clipping`",
    ),
    *(
        Claim(
            "Table 1",
            f"Not in the paper: {row.label} is ahead at τ = {_LOW:g} also where the gradients of "
            "both are clipped, so that the gain is more than stability.",
            f"{row.label} minus ST-GS, both clipped at {clipped.clip:g}, points",
            Rule(0.0),
            gain_on_trees(clipped, ST_GS_CLIPPED, _LOW, "clipping"),
            _MANY_SEEDS,
        )
        for row, clipped in ((GR_10, GR_10_CLIPPED), (GR_INF, GR_INF_CLIPPED))
    ),
    Claim(
        "Figure 1",
        "GR lowers the variance over the whole simplex.",
        "log10 of the variance of ST-GS over that of GR-MC1000, the least of all points",
        Rule(0.0),
        smallest_gap,
        "",
    ),
    Claim(
        "Figure 1",
        "It lowers it most at low temperatures.",
        "mean of that over the simplex: what the next lower τ adds, at the least",
        Rule(0.0),
        rising_gap,
        "",
    ),
    Claim(
        "Figure 2",
        "(2a) GR has the lower variance over the whole training.",
        "variance of ST-GS over that of GR-MC10 given the minibatch, the least of all steps",
        Rule(1.0),
        variance_ratio,
        "several trainings, of every estimator",
    ),
    Claim(
        "Figure 2",
        "(2b) GR has the lower mean squared error.",
        "MSE of ST-GS over that of GR-MC100 at the same τ ≤ 1, one gradient, the least of all τ",
        Rule(1.0),
        lower_mse,
        "more minibatches",
    ),
    *(
        Claim(
            "Figure 2",
            f"(2b) It has its lowest error at a lower temperature than ST-GS: {what}.",
            "MSE of GR-MC100 at its best τ below that of ST-GS, over its MSE at that of ST-GS",
            Rule(-math.inf, 1.0),
            lower_temperature(averaged),
            would,
        )
        for averaged, what, would in (
            (
                1,
                "one gradient",
                "larger temperatures; at those it says little of the reconstruction, so that the "
                "mean of more gradients is the better question",
            ),
            (100, "the mean of 100 gradients", "more minibatches"),
        )
    ),
    Claim(
        "Figure 2",
        "(2c) GR reaches thresholds of the objective in fewer steps.",
        "log of the steps of ST-GS over those of GR-∞, mean of the thresholds that both reach",
        Rule(0.0),
        steps_ratio,
        "more draws, and reports more often than every 1,000 steps",
    ),
    Claim(
        "Figure 3",
        "At 8-ary the variance that GR saves compares favourably with that of the minibatch.",
        "variance that GR-MC10 saves over that of the minibatch, the least of all steps",
        Rule(1.0),
        saving("fig2", 8),
        "several trainings",
    ),
    Claim(
        "Figure 3",
        "So it does at every arity.",
        "the same at 2, 4 and 16 classes",
        Rule(1.0),
        saving("fig3", 2, 4, 16),
        f"{_PAPER} `fig3`",
    ),
    Claim(
        "Table 2",
        "At 8-ary and B = 20 GR is ahead of ST-GS.",
        "ST-GS minus GR-∞, each at its best draw, nats on the validation set "
        "(in the paper GR-MC1000, on the test set)",
        Rule(0.0),
        gain_on_digits(GR_INF, ST_GS),
        _MORE_SEEDS,
        _paper2("GR-MC1000", "ST-GS", 8, 20),
    ),
    *(
        Claim(
            "Table 2",
            f"So it is at {search.arity_name(arity)}.",
            "the same",
            Rule(0.0),
            gain_on_digits(GR_INF, ST_GS, arity=arity),
            _SEARCH,
            _paper2("GR-MC1000", "ST-GS", arity, 20),
        )
        for arity in (2, 4, 16)
    ),
    Claim(
        "Table 2",
        "At B = 200 little is left of the gain.",
        "the same at 8-ary and B = 200; little is less than a nat either way",
        Rule(-1.0, 1.0),
        gain_on_digits(GR_INF, ST_GS, batch_size=200),
        _SEARCH,
        _paper2("GR-MC1000", "ST-GS", 8, 200),
    ),
    *(
        Claim(
            "Table 2",
            "The relaxation GS is ahead of all straight-through estimators at small arities: at "
            f"{search.arity_name(arity)}.",
            "best straight-through row minus GS at B = 20, nats",
            Rule(0.0),
            gain_on_digits(GS, ST_GS, GR_10, GR_100, GR_INF, arity=arity),
            _SEARCH,
            min(table2.PRINTED[row, arity, 20] for row in table2.STRAIGHT_THROUGH)
            - table2.PRINTED["GS", arity, 20],
        )
        for arity in (2, 4, 8)
    ),
    Claim(
        "Table 2",
        "At 16-ary GR is as good as GS or better.",
        "GS minus GR-∞ at 16-ary and B = 20, nats; as good is less than half a nat behind",
        Rule(-0.5),
        gain_on_digits(GR_INF, GS, arity=16),
        _SEARCH,
        _paper2("GR-MC1000", "GS", 16, 20),
    ),
    *(
        Claim(
            "Table 2",
            f"{row.label} is far behind, by more than 5 nats.",
            f"{row.label} minus ST-GS at 8-ary and B = 20, nats",
            Rule(5.0),
            gain_on_digits(ST_GS, row),
            _SEARCH,
            _paper2("ST-GS", row.label, 8, 20),
        )
        for row in (ST, REINFORCE)
    ),
    Claim(
        "Table 2",
        "From K = 100 on more samples hardly improve the bound.",
        "GR-MC100 minus GR-∞ at 8-ary and B = 20, nats (in the paper GR-MC1000); hardly is less "
        "than half a nat either way",
        Rule(-0.5, 0.5),
        gain_on_digits(GR_INF, GR_100),
        _MORE_SEEDS,
        _paper2("GR-MC1000", "GR-MC100", 8, 20),
    ),
    Claim(
        "Table 2",
        "The best models with GR have a lower temperature than those with ST-GS "
        f"({_TAUS['GR-MC1000']:g} against {_TAUS['ST-GS']:g} on average).",
        "τ of the best draw of ST-GS minus that of GR-∞, mean of cells with five draws or more",
        Rule(0.0),
        lower_best_temperature,
        "searches with draws of their own, so that there is an error",
        _TAUS["ST-GS"] - _TAUS["GR-MC1000"],
    ),
    Claim(
        "Figure 4",
        "More samples improve the bound.",
        "GR-MC10 minus GR-∞ at 8-ary and B = 20, nats (in the paper GR-MC1000)",
        Rule(0.0),
        gain_on_digits(GR_INF, GR_10),
        _SEARCH_OF_FIG4,
        _paper2("GR-MC1000", "GR-MC10", 8, 20),
    ),
    Claim(
        "Table 3",
        "The gain is larger at smaller batches.",
        "ST-GS minus GR-∞ at B = 5, less the same at B = 200, 8-ary, nats (in the paper GR-MC1000)",
        Rule(0.0),
        smaller_batches,
        _SEARCH_OF_FIG4,
        _paper3(8, 5) - _paper3(8, 200),
    ),
)
