"""What the stored results say of each claim of the paper: holds, does not hold, or undecided.

python -m gumbelrao_edu verdicts --out notebooks/results

reads what `reproduce` left there and writes `README.md` and `verdicts.csv` beside it. A claim is a
record of `paper_claims`: the sentence, the statistic, and the rule that decides. A notebook shows
its claims so:

    from gumbelrao_edu.experiments import verdicts

    table = verdicts.read("results/verdicts.csv")     # or its address
    HTML(verdicts.shown(table, "Table 1"))            # IPython.display; in notebook 06
    HTML(verdicts.shown(table, "Figure 2", "Figure 3", "Figure 4", "Table 2", "Table 3"))  # 07
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..training.files import write
from .measured import LEAST, Stored
from .paper_claims import CLAIMS, FAILS, HOLDS, UNDECIDED, UNMEASURED

if TYPE_CHECKING:
    import pandas as pd


TITLE = "# Results, and what they say of the paper's claims"  # of README.md


def verdicts(folder: Path) -> pd.DataFrame:
    """Return the table of all claims.

    Args:
        folder: of the results, as `reproduce` writes them.

    Raises:
        DamagedFileError: when a file of the results is damaged.

    Returns:
        `place`, `claim`, `statistic`, `rule`, `cells`, what was `measured` (with its standard
        error), the same from the numbers that the `paper` prints, the `verdict`, and what
        `would_decide` it where it is open.
    """
    import pandas as pd

    by_protocol, rows = Stored(folder).by_protocol(), []
    for claim in CLAIMS:
        figures = [claim.measure(stored) for stored in by_protocol]
        # Of the longest protocol that has seeds enough; of the longest one, if none has.
        there = [figure for figure in figures if figure is not None]
        figure = max(there, key=lambda each: each.count >= LEAST, default=None)
        verdict = claim.rule.verdict(figure)
        rows.append(
            {
                "place": claim.place,
                "claim": claim.sentence,
                "statistic": claim.statistic,
                "rule": str(claim.rule),
                "cells": "" if figure is None else figure.cells,
                "measured": "" if figure is None else _number(figure.value, figure.error),
                "paper": "" if math.isnan(claim.paper) else f"{claim.paper:.3g}",
                "verdict": verdict,
                "would_decide": claim.decides if verdict in (UNDECIDED, UNMEASURED) else "",
            }
        )
    return pd.DataFrame(rows)


def _number(value: float, error: float) -> str:
    """A number with its standard error, to the digits that mean something.

    Example:
        >>> _number(44.751, 3.08), _number(0.8912, 0.0183), _number(-0.3, math.nan)
        ('44.8 ± 3.1', '0.891 ± 0.018', '-0.30')
    """
    size = error if error > 0 else abs(value)
    digits = min(4, max(0, 1 - math.floor(math.log10(size)))) if size > 0 else 0
    text = f"{value:.{digits}f}"
    return f"{text} ± {error:.{digits}f}" if error > 0 else text


def read(path: str) -> pd.DataFrame:
    """Read what `write_verdicts` wrote.

    Args:
        path: of `verdicts.csv`, or its address.
    """
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False)


def shown(table: pd.DataFrame, *places: str) -> str:
    """Return the claims of some places as an HTML table that wraps on narrow screens.

    Args:
        table: from `verdicts` or `read`.
        places: such as "Table 1"; all if there are none.
    """
    cells = table[table.place.isin(places)] if places else table
    style = 'style="text-align: left; vertical-align: top; white-space: normal"'
    head = "".join(f"<th {style}>{name}</th>" for name in _HEAD)
    lines = [f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in cells.to_dict("records"):
        parts = "".join(f"<td {style}>{part}</td>" for part in _parts(row, _marked))
        lines.append(f"<tr>{parts}</tr>")
    return "<table>\n" + "\n".join([*lines, "</tbody>"]) + "\n</table>"


def _marked(text: str) -> str:
    """Return plain text as HTML; what stands between backticks becomes code."""
    return re.sub("`(.*?)`", r"<code>\1</code>", html.escape(text))


_HEAD = ("claim", "measured here", "verdict")


def _parts(row: dict[str, str], escape: Callable[[str], str]) -> list[str]:
    """The three cells of a claim, with line breaks."""
    text = {name: escape(value) for name, value in row.items()}
    measured = [f"{text['statistic']}; holds if {text['rule']}"]
    if text["measured"]:
        measured = [f"<b>{text['measured']}</b>", *measured, text["cells"]]
    if text["paper"]:
        measured.append(f"paper: {text['paper']}")
    verdict = [f"<b>{text['verdict']}</b>"]
    if text["would_decide"]:
        verdict.append(f"would decide it: {text['would_decide']}")
    return [f"{text['place']}: {text['claim']}", "<br>".join(measured), "<br>".join(verdict)]


def readme(table: pd.DataFrame) -> str:
    """Return the text of `README.md`.

    Args:
        table: from `verdicts`.
    """
    counts = table.verdict.value_counts()
    said = ", ".join(f"{name}: {counts[name]}" for name in _ORDER if name in counts)
    lines = [
        TITLE,
        "",
        "Each folder holds an experiment: a file for each run in `runs`, and the tables made from",
        "them. This page is made from them, too:",
        "",
        "    python -m gumbelrao_edu verdicts --out notebooks/results",
        "",
        f"{len(table)} claims ({said}). The statistics and the rules stand in",
        "`gumbelrao_edu/experiments/paper_claims.py`.",
        "",
        _NOTES.format(least=LEAST),
        f"| {' | '.join(_HEAD)} |",
        "| --- | --- | --- |",
    ]
    plain = [_parts(row, lambda text: text.replace("|", "\\|")) for row in table.to_dict("records")]
    return "\n".join([*lines, *(f"| {' | '.join(parts)} |" for parts in plain)]) + "\n"


_ORDER = (HOLDS, FAILS, UNDECIDED, UNMEASURED)

_NOTES = """\
- **Verdicts.** What stands after ± is one standard error. A claim *holds* if the number
  lies inside the bounds of its rule, at least two standard errors away from them; it *does
  not hold* if it lies as far outside; otherwise it is *undecided*, and so it is with fewer
  than {least} seeds or draws. Two is for an error that is well known; an error from few
  seeds is not, and Student's t then asks for more (4.5 with three seeds; for a difference
  of two means the degrees of freedom are Welch's). More seeds and draws were trained mostly
  where a claim was undecided; to look again after each of them finds two standard errors a
  little too often.
- **Draws.** A draw is one setting of all hyper-parameters of a search. The best one has the
  best mean over its seeds, of those with {least} seeds or more, if there are such; where only
  one was tried, there is no best one, and the claim is undecided. Only draws are looked at
  that both sides of a comparison tried. One in which a training diverged was tried, and is
  not the best. The training by which a draw was chosen is one of its seeds, so that each
  mean is a little too good. The error of a gain in nats is that of the seeds, given these
  draws. How much depends on one draw is said behind it: "without that draw" is the gain when
  the best draw of the estimator that should be ahead is left out, for both. At 8-ary and
  B = 20 twenty draws were tried of GS, ST-GS, GR-MC10 and GR-∞, as many as in the paper, and
  two of other rows. In the other cells four were tried: the two that were the best of the
  first six here, and the two that were the best of the twenty; at B = 5 one more.
- **What is compared.** Only trainings of the same length, and bounds with the same M, the
  number of samples; one claim is an exception, and names two experiments. Where there are
  several such protocols, the longest one with as many seeds judges. Figures 2a, 2b and 3
  are of one training each, and what another one would change is not in their errors.
- **What differs from the paper.** The models of Table 1 were trained on sentences drawn
  anew; those of the published test set that had been among them are left out. Their
  learning rate 0.05 is below those of the paper; it was added when the smallest tried, 0.1,
  had been the best. At τ = 0.1 only it and 0.1 were tried. With clipped gradients the
  largest rate that was tried, 0.1, is the best. The layers of the autoencoders, which the
  paper does not give, are those of this project.
- **When the rules were written.** Those for Table 1, for Figure 2, and for 8-ary at B =
  20 in Table 2 and Figures 3 and 4 after the first of these trainings, the others before
  theirs (those for τ = 0.1 in Table 1 when none of its trainings had ended; of the two on
  the paper's learning rates that for τ = 0.01 when all of its trainings were known, and
  that for τ = 0.1 when one seed of them was). Changed later: in Figure 2b errors are
  compared at the same τ (the best of both was the largest measured) and, since larger
  ones are measured as well, up to the largest of the paper's searches; a best τ that is
  the largest measured decides nothing; in Figure 2c steps are compared by their
  logarithms; in Tables 2 and 3 and Figure 4 only draws that both sides tried are compared,
  and the best draw may have fewer seeds than another one, if it has {least}; the share of
  K = 10 in Table 1 is one of mean gains, and no mean of shares.
"""


def write_verdicts(folder: Path) -> pd.DataFrame:
    """Write `README.md` and `verdicts.csv` beside the results.

    Args:
        folder: of all experiments.

    Returns:
        The table.
    """
    table = verdicts(folder)
    write(folder / "verdicts.csv", table.to_csv(index=False, lineterminator="\n"))
    write(folder / "README.md", readme(table))
    return table
