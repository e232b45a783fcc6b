"""The figures of notebook 06: trees of expressions, step by step and over a training; gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import ipywidgets
import pandas as pd
import plotly.graph_objects as go
import torch.nn.functional as F
from plotly.subplots import make_subplots
from torch import Tensor

from ...experiments import table1
from ...figures.diagrams import Arrow, Box, diagram
from ...figures.panel import Panel, slider
from ...figures.rows import ST_GS, Row, row_of_label
from ...figures.style import (
    CENTRE,
    CHOSEN,
    CLEAR,
    DECADES,
    DOT,
    FONT_SIZE,
    FORWARD,
    FOUND,
    GOLD,
    HINT,
    MARK,
    MERGED,
    MISSED,
    OURS,
    POSSIBLE,
    PREDICTED,
    PRINTED,
    THIN,
    WHOLE,
    boxes,
    error_bars,
    label,
    layout,
    line,
)
from ...figures.traces import curve, points, trace
from ...listops import VOCABULARY, Example, Parse, Seen, evaluate, read, spans_of, trees
from ...listops.trees import Span

# What a page without a kernel offers.
EXAMPLES = (
    "[MAX 2 9 [MIN 4 7 ] 0 ]",
    "[MED 1 5 8 2 6 ]",
    "[SM 7 [SM 9 [SM 8 6 ] ] ]",
    "[MIN [MAX 3 1 ] [MAX [MED 6 2 9 ] 4 ] ]",
    "[MAX 2 9",
)

_EDGES = "tree"
_SOME = "an operator with some of its arguments"
_WHOLE = "a whole operation, with its value"
_POSSIBLE = "possible merges (%)"
_Line = list[float | None]


class _Places(NamedTuple):
    """Where the nodes of a tree, or of a part of one, are drawn."""

    at: dict[Span, tuple[float, float]]  # of tokens and nodes: the place, and the height
    parts: dict[Span, tuple[Span, Span]]  # of nodes

    def lines(self, nodes: Iterable[Span], up: int = 1) -> tuple[_Line, _Line]:
        """x and y of the lines from each of these nodes to its two parts."""
        x: _Line = []
        y: _Line = []
        for node in nodes:
            left, right = self.parts[node]
            for span in (left, node, right):
                x.append(self.at[span][0])
                y.append(up * self.at[span][1])
            x.append(None)
            y.append(None)
        return x, y

    def dots(self, spans: Iterable[Span], up: int = 1) -> tuple[list[float], list[float]]:
        """x and y of tokens or nodes."""
        places = [self.at[span] for span in spans]
        return [x for x, _ in places], [up * y for _, y in places]


def _places(spans: Iterable[Span], length: int) -> _Places:
    """Put each node over the middle of its two parts, one higher than the higher of them."""
    at = {(i, i + 1): (float(i), 0.0) for i in range(length)}
    parts = {}
    starting = {start: (start, end) for start, end in at}  # the largest that is there so far
    ending = {end: (start, end) for start, end in at}
    for start, end in sorted(spans, key=lambda span: span[1] - span[0]):
        left, right = parts[start, end] = starting[start], ending[end]
        (x, y), (other_x, other_y) = at[left], at[right]
        at[start, end] = (x + other_x) / 2, max(y, other_y) + 1
        starting[start] = ending[end] = start, end
    return _Places(at, parts)


def _words(example: Example) -> list[str]:
    return [VOCABULARY[token] for token in example.tokens]


def _bracketed(spans: frozenset[Span], example: Example) -> str:
    return trees.bracketed(spans, _words(example))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _operations(example: Example) -> dict[Span, int]:
    """The values of the operations, by the nodes that are whole ones, in the order of their end."""
    opened, values = [], {}
    for place, word in enumerate(_words(example)):
        if word.startswith("["):
            opened.append(place)
        elif word == "]":
            span = opened.pop(), place + 1
            values[span] = evaluate(example.tokens[slice(*span)])
    return values


def _tokens_below(figure: go.Figure, example: Example) -> None:
    axis = figure.layout.xaxis
    axis.tickvals, axis.ticktext = list(range(len(example.tokens))), _words(example)
    axis.range = [-0.6, len(example.tokens) - 0.4]


def _tree_axes(height: int, y: str = "height of the node") -> dict[str, object]:
    axes = layout("the expression", y, height=height)
    # Tokens that are turned, for want of room, keep clear of the axis's name.
    axes["xaxis"] |= {"showgrid": False, "zeroline": False, "automargin": True}
    axes["yaxis"] |= {"rangemode": "tozero", "dtick": 2}
    return {**axes, "showlegend": True}


def expressions(text: str = "[MAX 2 9 [MIN 4 7 ] 0 ]") -> Panel:
    """Return a text box and the gold tree of the expression in it, with the values of its parts.

    Args:
        text: the expression at the start.

    Returns:
        A panel with the control ``expression``.

    Example:
        >>> panel = expressions("[MIN 3 5 ]")
        >>> panel.caption
        '[MIN 3 5 ] = 3. It has 4 tokens and the gold tree ( ( ( [MIN 3 ) 5 ) ] ).'
        >>> panel.controls["expression"].value = "[MIN 3 5"
        >>> panel.caption
        'No tree: 1 operation is not closed by ].'
    """

    def draw(figure: go.Figure, *, expression: str) -> str:
        edges, nodes, values = (trace(figure, name) for name in (_EDGES, _SOME, _WHOLE))
        try:
            example = read(expression)
        except ValueError as error:
            for each in (edges, nodes, values):
                each.x = each.y = []
            return f"No tree: {str(error).removeprefix('tokens: ')}."
        places, operations = _places(example.spans, len(example.tokens)), _operations(example)
        edges.x, edges.y = places.lines(places.parts)
        nodes.x, nodes.y = places.dots(places.parts.keys() - operations.keys())
        values.x, values.y = places.dots(operations)
        values.text = [f"<b>{value}</b>" for value in operations.values()]
        _tokens_below(figure, example)
        inside = [
            f"{' '.join(_words(example)[slice(*span)])} = {value}"
            for span, value in operations.items()
            if span != (0, len(example.tokens))
        ]
        return (
            f"{example} = {example.label}. It has {_counted(len(example.tokens), 'token')}"
            + (f", inside of it {', '.join(inside)}," if inside else "")
            + f" and the gold tree {_bracketed(example.spans, example)}."
        )

    figure = go.Figure(
        [
            curve(_EDGES, GOLD, showlegend=False),
            points(_SOME, GOLD),
            points(_WHOLE, WHOLE, mode="markers+text", marker=boxes(WHOLE)),
        ],
        _tree_axes(360),
    )
    box = ipywidgets.Text(
        text,
        description="expression",
        continuous_update=False,
        layout={"width": "560px", "max_width": "100%"},
    )
    box.examples = (text, *(each for each in EXAMPLES if each != text))
    return Panel(figure, draw, expression=box)


def merging(example: Example, parse: Parse) -> Panel:
    """Return the steps in which a tree is drawn, with the probabilities of the merges at each.

    Args:
        example: the sentence.
        parse: of a batch that consists of this sentence alone.

    Returns:
        A panel with the control ``step``: how many merges are done.

    Example:
        >>> from gumbelrao_edu.listops import Split, TreeLSTM, greedy
        >>> example = read("[MIN 3 5 ]")
        >>> parse = TreeLSTM(greedy, dim=4).parse(Split([example], "one").everything)
        >>> panel = merging(example, parse)
        >>> panel.controls["step"].value = 3
        >>> panel.caption.startswith("All is merged")
        True
    """
    words, length = _words(example), len(example.tokens)
    (merges,) = parse.merges([length])
    probabilities = [theta[0].softmax(-1).tolist() for theta in parse.logits] + [[1.0]]
    lefts = [[(i, i + 1) for i in range(length)]]  # at each step the nodes that are left
    for position in merges:
        nodes = lefts[-1]
        one = nodes[position][0], nodes[position + 1][1]
        lefts.append([*nodes[:position], one, *nodes[position + 2 :]])

    def name(span: Span) -> str:
        return " ".join(words[slice(*span)])

    def draw(figure: go.Figure, *, step: int) -> str:
        names = ("merged", "nodes that are left", _POSSIBLE, "the one that is drawn")
        edges, tops, possible, drawn = (trace(figure, name) for name in names)
        done, left = spans_of(merges[:step], length), lefts[step]
        pairs = [(a[0], b[1]) for a, b in pairwise(left)]
        places = _places(done, length)
        edges.x, edges.y = places.lines(done)
        tops.x, tops.y = places.dots(left)
        for pair, (a, b) in zip(pairs, pairwise(left), strict=True):
            # Proposals overlap, so that they are no tree together: each is placed by itself.
            (x, y), (other_x, other_y) = places.at[a], places.at[b]
            places.at[pair] = (x + other_x) / 2, max(y, other_y) + 1
            places.parts[pair] = a, b
        possible.x, possible.y = places.dots(pairs)
        winner = pairs[merges[step] : merges[step] + 1] if pairs else []
        drawn.x, drawn.y = places.lines(winner)
        if not pairs:
            possible.text = []
            found = len(done & example.spans)
            return (
                f"All is merged after {_counted(step, 'step')}: {_bracketed(done, example)}. "
                f"Nodes that are in the gold tree: {found} of {length - 1}."
            )
        percent = [f"{100 * p:.1f}" for p in probabilities[step]]
        possible.text = percent
        return (
            f"{_counted(step, 'merge')} done, {len(left)} nodes left: "
            f"{', '.join(map(name, left))}. The next merge makes one of "
            f"{', '.join(map(name, pairs))}, with the probabilities "
            f"{' %, '.join(percent)} %. Drawn: {name(winner[0])}."
        )

    figure = go.Figure(
        [
            curve("merged", MERGED),
            points("nodes that are left", MERGED, size=MARK),
            points(_POSSIBLE, POSSIBLE, size=MARK, mode="markers+text").update(
                textposition="top center"
            ),
            curve("the one that is drawn", CHOSEN),
        ],
        _tree_axes(420),
    )
    top = max(y for _, y in _places(spans_of(merges, length), length).at.values())
    figure.update_layout(yaxis={"range": [-0.3, top + 1.2]})
    _tokens_below(figure, example)
    steps = slider("step", range(length), 0, tooltip="merges that are done")
    return Panel(figure, draw, step=steps)


def trees_over_training(
    examples: Sequence[Example], seen: Mapping[float, Mapping[int, Seen]]
) -> Panel:
    """Return predicted trees below the gold ones, with sliders for K, training step and sentence.

    Args:
        examples: the sentences.
        seen: for each K of the estimator, for each step of its training, the same steps for all.

    Returns:
        A panel with the controls ``k``, ``step`` and ``sentence``; it starts at the largest K
        and the last step.

    Example:
        >>> example = read("[MIN 3 5 ]")
        >>> at = {0: Seen([trees.right_branching(4)], [5]), 9: Seen([example.spans], [3])}
        >>> panel = trees_over_training([example, example], {1: at, 10: at})
        >>> panel.controls["step"].value = 0
        >>> panel.caption
        'K = 10, step 0, [MIN 3 5 ] = 3: 1 of 3 nodes are right, the predicted value is 5.'
    """

    def draw(figure: go.Figure, *, k: float, step: int, sentence: int) -> str:
        example, now = examples[sentence - 1], seen[k][step]
        gold, predicted = example.spans, now.spans[sentence - 1]
        words = trace(figure, "tokens")
        for up, spans, name in ((1, gold, "gold"), (-1, predicted, "predicted")):
            edges, dots = trace(figure, f"{name} tree"), trace(figure, f"{name} nodes")
            places = _places(spans, len(example.tokens))
            # The tokens are written between the trees.
            places.at.update({token: (x, 0.6) for token, (x, y) in places.at.items() if y == 0})
            edges.x, edges.y = places.lines(places.parts, up)
            dots.x, dots.y = places.dots(places.parts, up)
            dots.marker.symbol = [
                FOUND if span in gold & predicted else MISSED for span in places.parts
            ]
        words.x, words.y = list(range(len(example.tokens))), [0] * len(example.tokens)
        words.text = _words(example)
        figure.layout.xaxis.range = [-0.6, len(example.tokens) - 0.4]
        return (
            f"K = {label(k)}, step {step:,}, {example} = {example.label}: "
            f"{len(gold & predicted)} of {len(gold)} nodes are right, "
            f"the predicted value is {now.labels[sentence - 1]}."
        )

    traces: list[go.Scatter] = []
    for name, look in (("gold", GOLD), ("predicted", PREDICTED)):
        nodes = points(f"{name} nodes", look, showlegend=False)
        traces += [curve(f"{name} tree", look), nodes]
    text = {"size": FONT_SIZE}
    traces.append(go.Scatter(name="tokens", mode="text", textfont=text, showlegend=False))
    reach = max(len(example.tokens) for example in examples) - 0.5
    axes = _tree_axes(480, "predicted (below) and gold (above)")
    figure = go.Figure(traces, axes)
    figure.update_layout(
        xaxis={"showticklabels": False},
        # Without the line at 0, where the tokens are written.
        yaxis={
            "range": [-reach, reach],
            "showticklabels": False,
            "showgrid": False,
            "zeroline": False,
        },
    )
    ks = list(seen)
    steps = list(seen[ks[0]])
    return Panel(
        figure,
        draw,
        k=slider("K", ks, ks[-1], tooltip="inner samples of the estimator; 1 is ST-GS"),
        step=slider("step", steps, steps[-1], tooltip="of the training"),
        sentence=slider("sentence", range(1, len(examples) + 1), 1, tooltip="which one is drawn"),
    )


def gradients(estimates: Mapping[float, Tensor]) -> tuple[go.Figure, str]:
    """Return length and direction of gradient estimates, a plot for each K, and the text to it.

    The direction is the cosine of the angle with the mean of the other estimates at K = ∞.

    Args:
        estimates: `[samples, dim]` for each K, `math.inf` among them; the same row belongs to the
            same trees.

    Returns:
        What `show` takes.

    Example:
        >>> import torch
        >>> figure, alt = gradients({1: torch.eye(2), math.inf: torch.eye(2) + 1})
        >>> alt
        'K = 1: half of the lengths are above 1, the largest is 1; the mean cosine is 0.45. \
K = ∞: half of the lengths are above 2.2, the largest is 2.2; the mean cosine is 0.80.'
    """
    exact = estimates[math.inf]
    others = exact.sum(0) - exact
    lengths = {k: rows.norm(dim=1) for k, rows in estimates.items()}
    cosines = {k: F.cosine_similarity(rows, others) for k, rows in estimates.items()}
    figure = make_subplots(
        1,
        len(estimates),
        subplot_titles=[f"K = {label(k)}{', ST-GS' * (k == 1)}" for k in estimates],
        shared_yaxes=True,
        horizontal_spacing=0.06,
    )
    figure.update_layout(layout("", "", height=360))
    # A softmax that is flat gives lengths next to zero, for which the axis would have no end.
    longest = math.log10(max(rows.max().item() for rows in lengths.values()))
    for column, k in enumerate(estimates, 1):
        look = ST_GS if k == 1 else Row("gumbel_rao", {"k": k})
        cloud = points(f"K = {label(k)}", look, lengths[k].tolist(), cosines[k].tolist())
        cloud.update(marker={"size": DOT, "opacity": CLEAR})
        figure.add_trace(cloud, row=1, col=column)
        mean = cosines[k].mean().item()
        figure.add_hline(mean, line=line(CENTRE, THIN), row=1, col=column)
    figure.update_xaxes(DECADES, dtick=2, range=[longest - 5, longest + 0.2], title="length")
    figure.update_yaxes(range=[-1.05, 1.05])
    figure.update_layout(yaxis={"title": {"text": "cosine with the mean"}}, showlegend=False)
    said = [
        f"K = {label(k)}: half of the lengths are above {lengths[k].median():.2g}, the largest is "
        f"{lengths[k].max():.2g}; the mean cosine is {cosines[k].mean():.2f}."
        for k in estimates
    ]
    shorter = {k: int((rows < 10 ** (longest - 5)).sum()) for k, rows in lengths.items()}
    if any(shorter.values()):
        counts = ", ".join(f"{n} of K = {label(k)}" for k, n in shorter.items() if n)
        said.append(f"Too short for the axis: {counts}.")
    return figure, " ".join(said)


def terms(estimates: Mapping[float, Tensor]) -> pd.DataFrame:
    """Return the variance of gradient estimates, and K times the first term of (13).

    Args:
        estimates: `[samples, dim]` for each K, `math.inf` among them; the same row belongs to the
            same trees, so that the first term is the mean squared distance from that at K = ∞.

    Returns:
        A row for each K, with standard errors.

    Example:
        >>> import torch
        >>> terms({10: torch.eye(3), math.inf: torch.eye(3)})["K times the first term"].tolist()
        [0.0, nan]
    """
    found = []
    for k, rows in estimates.items():
        squares = (rows - rows.mean(0)).square().sum(1)
        first = k * (rows - estimates[math.inf]).square().sum(1)  # NaN at K = ∞, where it is 0
        error, first_error = (x.std().item() / math.sqrt(len(rows)) for x in (squares, first))
        found.append((label(k), squares.mean().item(), error, first.mean().item(), first_error))
    columns = ["K", "variance", "±", "K times the first term", "± of it"]
    return pd.DataFrame(found, columns=columns).round(4)


def against_paper(cells: pd.DataFrame) -> tuple[go.Figure, str]:
    """Return measured accuracies beside those that the paper prints, and the text to it.

    Args:
        cells: as `table1.summarise` returns them; each τ has a plot of its own.

    Returns:
        What `show` takes.

    Example:
        >>> cell = {"row": "ST-GS", "tau": 1.0, "accuracy": 68.0, "standard_error": 0.5}
        >>> cell |= {"published_accuracy": 65.0, "published_error": 0.4, "paper": 65.8}
        >>> figure, alt = against_paper(pd.DataFrame([cell]))
        >>> alt.endswith("ST-GS at τ = 1: 65.0 measured, 65.8 in the paper.")
        True
    """
    taus = sorted({*cells.tau})
    figure = make_subplots(
        1, len(taus), subplot_titles=[f"τ = {label(tau)}" for tau in taus], horizontal_spacing=0.12
    )
    figure.update_layout({**layout("", "", height=400), "showlegend": True})
    texts = []
    for column, tau in enumerate(taus, 1):
        mine = cells[cells.tau == tau]
        ours = [table1.comparable(cell) for cell in mine.itertuples()]
        values = [value for value, _ in ours]
        errors = [0.0 if math.isnan(error) else error / 2 for _, error in ours]  # as the name says
        printed = mine[mine.paper.notna()]
        for each in (
            points("measured, with the standard error", OURS, mine.row.tolist(), values, errors),
            points(
                "in the paper", PRINTED, printed.row.tolist(), printed.paper.tolist(), size=MARK
            ),
        ):
            figure.add_trace(each.update(showlegend=column == 1), row=1, col=column)
        texts += [
            f"{cell.row} at τ = {label(tau)}: {value:.1f} measured"
            + ("" if math.isnan(cell.paper) else f", {cell.paper:.1f} in the paper")
            for cell, value in zip(mine.itertuples(), values, strict=True)
        ]
    figure.update_xaxes(title="estimator")
    figure.update_yaxes(title="accuracy (%)")
    figure.update_layout(legend={"y": 1.1}, margin={"t": 90})
    return figure, f"Accuracy, with an axis of its own for each τ. {'; '.join(texts)}."


def over_epochs(epochs: pd.DataFrame) -> tuple[go.Figure, str]:
    """Return the mean accuracy of each estimator over the epochs, and the text to it.

    Args:
        epochs: of trainings that differ in estimator and seed, as `table1.by_epoch` returns them. A
            curve ends where the first of its seeds does, and begins after the first epoch; if a
            seed ends before that, there is none.

    Returns:
        What `show` takes.

    Example:
        >>> rows = {"row": "ST-GS", "seed": [0, 1, 0], "epoch": [1, 1, 2]}
        >>> figure, alt = over_epochs(pd.DataFrame({**rows, "valid_accuracy": [50.0, 52, 60]}))
        >>> alt
        'Accuracy from epoch 1 to the last that all seeds reach. ST-GS: 51.0 to 51.0 at epoch 1.'
    """
    figure = go.Figure(layout=layout("epoch", "validation accuracy (%)"))
    texts = []
    for name, runs in epochs.groupby("row", sort=False):
        later = runs[runs.epoch >= 1].groupby("epoch")
        over = later.valid_accuracy.agg(["mean", "sem", "count"])
        over = over[over["count"] == runs.seed.nunique()]
        x, y, bars = over.index.tolist(), over["mean"].tolist(), error_bars(over["sem"].tolist())
        look = row_of_label(str(name))
        figure.add_trace(curve(str(name), look, x, y, mode="lines+markers", error_y=bars))
        way = f"{y[0]:.1f} to {y[-1]:.1f} at epoch {x[-1]:g}" if y else "a seed ends before"
        texts.append(f"{name}: {way}.")
    said = "Accuracy from epoch 1 to the last that all seeds reach."
    return figure, " ".join([said, *texts])


def one_merge() -> Panel:
    """Return the picture of one step: four nodes, three proposals, three nodes.

    Returns:
        A panel without controls.

    Example:
        >>> one_merge().caption.startswith("Four nodes in the first row")
        True
    """
    words = ["[MIN", "3", "5", "]"]
    boxes = {f"node {j}": Box(word, 2 * j, 2) for j, word in enumerate(words)}
    arrows = []
    # The logits of a softmax that gives these chances.
    for j, (chance, d) in enumerate([("21 %", 0), ("55 %", 1), ("24 %", 0)]):
        look = GOLD if d else HINT
        text = f"{words[j]} {words[j + 1]}<br>{chance}, D<sub>{j + 1}</sub> = {d}"
        boxes[f"proposal {j}"] = Box(text, 2 * j + 1, 1, look)
        arrows += [Arrow(f"node {i}", f"proposal {j}", look=look) for i in (j, j + 1)]
    for j, text in enumerate(["[MIN", "3 5", "]"]):
        boxes[f"next {j}"] = Box(text, 3 * j, 0, GOLD if j == 1 else FORWARD)
    arrows += [
        Arrow("node 0", "next 0", "stays"),
        Arrow("proposal 1", "next 1", "drawn", GOLD),
        Arrow("node 3", "next 2", "moves up"),
    ]
    return Panel(
        diagram(boxes, arrows, height=330),
        alt="Four nodes in the first row, [MIN, 3, 5 and ]. Each two neighbours make a proposal, "
        "in the second row; its chance comes from its logit. The second is drawn, D = (0, 1, 0). "
        "In the third row it has taken the place of its two parts; the node to its left stays, the "
        "one to its right moves up: three nodes are left.",
    )
