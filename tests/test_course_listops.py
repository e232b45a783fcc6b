"""The figures of notebook 06: trees are read off the drawing, numbers computed a second time."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from seeded import seeded

from gumbelrao_edu import gumbel_max
from gumbelrao_edu.course.listops import figures
from gumbelrao_edu.figures import trace
from gumbelrao_edu.listops import Seen, Split, TreeLSTM, generate, read, trees
from gumbelrao_edu.listops.model import merge

TEXT = "[MAX 2 9 [MIN 4 7 ] 0 ]"


def polylines(curve, up=1):
    """The polylines of a trace, each a list of places; None ends one."""
    lines = [[]]
    for x, y in zip(curve.x, curve.y, strict=True):
        if x is None:
            lines.append([])
        else:
            lines[-1].append((x, up * y))
    assert lines.pop() == []
    return lines


def spans_drawn(lines, length, *, floor=0.0):
    """The nodes of the tree that is drawn: each line joins left part, node and right part."""
    at = {(float(i), floor): (i, i + 1) for i in range(length)}
    nodes = set()
    for left, node, right in sorted(lines, key=lambda line: line[1][1]):
        assert left[0] < node[0] < right[0]
        assert node[1] > max(left[1], right[1])
        (start, middle), (same, end) = at[left], at[right]
        assert middle == same
        assert node not in at  # no two nodes cover each other
        at[node] = (start, end)
        nodes.add((start, end))
    return nodes


def dots(points, up=1):
    return [(x, up * y) for x, y in zip(points.x, points.y, strict=True)]


# --- Expressions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one expression, got 0"),
        ("[MAX 2 9", "1 operation is not closed"),
        ("[MAX 2 [MIN 9", "2 operations are not closed"),
        ("[MAX ]", "] closes no operation"),
        ("[SUM 1 2 ]", "'[SUM' is not one of the tokens"),
        ("[MAX 12 3 ]", "'12' is not one of the tokens"),
        ("1 2", "expected one expression, got 2"),
        ("[MAX" + " 1" * 49 + " ]", "expected at most 50 tokens, got 51"),
    ],
)
def test_what_is_no_expression_is_said_and_not_drawn(text, message):
    panel = figures.expressions(TEXT)
    panel.controls["expression"].value = text
    assert panel.caption.startswith("No tree: ")
    assert message in panel.caption
    assert all(len(each.x) == 0 for each in panel.figure.data)
    assert panel.errors == []
    panel.controls["expression"].value = TEXT
    assert panel.caption.startswith(f"{TEXT} = 9.")
    assert len(trace(panel.figure, "tree").x) == 4 * 8


def test_the_gold_tree_and_its_values_are_drawn():
    panel = figures.expressions(TEXT)
    examples = generate(40, max_length=30, generator=seeded())
    for example in examples:
        panel.controls["expression"].value = str(example)
        edges = trace(panel.figure, "tree")
        nodes = trace(panel.figure, "an operator with some of its arguments")
        values = trace(panel.figure, "a whole operation, with its value")
        length = len(example.tokens)
        lines = polylines(edges)
        assert spans_drawn(lines, length) == example.spans
        words = str(example).split()
        assert list(panel.figure.layout.xaxis.ticktext) == words
        # Each node has a dot; the squares are the operations, in the order of their brackets.
        assert sorted(dots(nodes) + dots(values)) == sorted(line[1] for line in lines)
        assert len(values.text) == words.count("]")
        if length > 1:
            assert values.text[-1] == f"<b>{example.label}</b>"
            assert values.y[-1] == max(line[1][1] for line in lines)
        counted = "1 token" if length == 1 else f"{length} tokens"
        assert panel.caption.startswith(f"{example} = {example.label}. It has {counted}")
        assert panel.caption.endswith(f"{trees.bracketed(example.spans, words)}.")
    assert panel.errors == []


def test_one_token_is_counted_as_one():
    assert figures.expressions("7").caption.startswith("7 = 7. It has 1 token and")


def test_values_inside_are_said():
    caption = figures.expressions("[SM 6 5 [MED 1 8 ] ]").caption
    assert "inside of it [MED 1 8 ] = 4, and" in caption


# --- Merges ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example():
    return read(TEXT)


@pytest.fixture(scope="module")
def parse(example):
    generator = seeded(4)
    model = TreeLSTM(
        lambda logits: gumbel_max(logits.detach(), generator=generator)[0],
        dim=8,
        generator=generator,
    )
    with torch.no_grad():
        model.query.mul_(300)  # else all merges are equally probable
    return model.parse(Split([example], "one").everything)


def test_each_step_is_drawn(example, parse):
    panel = figures.merging(example, parse)
    words, length = TEXT.split(), len(example.tokens)
    done, left = set(), [(i, i + 1) for i in range(length)]
    for step in range(length):
        panel.controls["step"].value = step
        names = ("merged", "nodes that are left", "possible merges (%)", "the one that is drawn")
        edges, tops, possible, drawn = (trace(panel.figure, name) for name in names)
        assert spans_drawn(polylines(edges), length) == done if done else not edges.x
        assert len(tops.x) == len(left) == length - step
        if step == length - 1:
            break
        weights = np.ones(1)
        if step < length - 2:
            theta = parse.logits[step][0].detach().double().numpy()
            weights = np.exp(theta - theta.max())
        shown = [float(text) for text in possible.text]
        assert shown == pytest.approx(100 * weights / weights.sum(), abs=0.051)
        assert len(possible.x) == len(left) - 1
        position = int(parse.choices[step].argmax()) if step < length - 2 else 0
        one = left[position][0], left[position + 1][1]
        left[position : position + 2] = [one]
        done.add(one)
        # What is drawn is the next node, at the place of one of the possible ones.
        assert spans_drawn(polylines(edges) + polylines(drawn), length) == done
        assert dots(possible)[position] == polylines(drawn)[0][1]
        counted = "1 merge" if step == 1 else f"{step} merges"
        assert panel.caption.startswith(f"{counted} done, {length - step} nodes left: ")
        assert panel.caption.endswith(f"Drawn: {' '.join(words[slice(*one)])}.")
    assert left == [(0, length)]
    assert len(possible.x) == len(drawn.x) == 0
    assert done == parse.spans([length])[0]
    found = len(done & example.spans)
    assert panel.caption.endswith(f"Nodes that are in the gold tree: {found} of 8.")
    assert panel.errors == []


# --- Trees over the training ----------------------------------------------------------------------


def test_predicted_trees_stand_below_the_gold_ones():
    examples = [read(TEXT), read("[MIN 3 5 [SM 1 1 ] ]")]

    def seen(make, value):
        return Seen([make(len(e.tokens)) for e in examples], [value, value + 1])

    right = Seen([e.spans for e in examples], [9, 2])
    frames = {
        1: {0: seen(trees.right_branching, 4), 7: seen(trees.left_branching, 5)},
        math.inf: {0: seen(trees.left_branching, 0), 7: right},
    }
    panel = figures.trees_over_training(examples, frames)
    for k, steps in frames.items():
        for step, now in steps.items():
            for i, example in enumerate(examples):
                panel.controls["k"].value, panel.controls["step"].value = k, step
                panel.controls["sentence"].value = i + 1
                edges, nodes, below, nodes_below, words = (
                    trace(panel.figure, name)
                    for name in (
                        "gold tree",
                        "gold nodes",
                        "predicted tree",
                        "predicted nodes",
                        "tokens",
                    )
                )
                length, both = len(example.tokens), example.spans & now.spans[i]
                floor = words_apart(words, example)
                for up, lines, ends, spans in (
                    (1, edges, nodes, example.spans),
                    (-1, below, nodes_below, now.spans[i]),
                ):
                    drawn = polylines(lines, up)
                    assert spans_drawn(drawn, length, floor=floor) == spans
                    assert sorted(dots(ends, up)) == sorted(line[1] for line in drawn)
                    assert list(ends.marker.symbol).count("circle") == len(both)
                assert f"{len(both)} of {length - 1} nodes are right" in panel.caption
                assert panel.caption.endswith(f"the predicted value is {now.labels[i]}.")
                assert f"step {step}, {example} = {example.label}" in panel.caption
    assert "K = ∞" in panel.caption
    assert panel.errors == []


def words_apart(words, example):
    """The tokens are written in a row at the height 0; both trees begin at a distance from it."""
    assert list(words.text) == str(example).split()
    assert list(words.x) == list(range(len(example.tokens)))
    assert set(words.y) == {0}
    return 0.6


# --- Gradients ------------------------------------------------------------------------------------


def test_length_and_direction_of_each_gradient():
    generator = seeded()
    exact = torch.randn(7, 4, generator=generator, dtype=torch.float64) + 1
    noise = torch.randn(2, 7, 4, generator=generator, dtype=torch.float64)
    estimates = {1: exact + 9 * noise[0], 10: exact + noise[1], math.inf: exact}
    figure, alt = figures.gradients(estimates)
    for k, rows in estimates.items():
        lengths = [math.hypot(*row) for row in rows.tolist()]
        cosines = []
        for i, row in enumerate(rows.numpy()):
            others = np.delete(exact.numpy(), i, 0).mean(0)
            cosines.append(row @ others / np.linalg.norm(row) / np.linalg.norm(others))
        cloud = trace(figure, f"K = {k}".replace("inf", "∞"))
        assert list(cloud.x) == pytest.approx(lengths)
        assert list(cloud.y) == pytest.approx(cosines)
        assert (
            f"the largest is {max(lengths):.2g}; the mean cosine is {np.mean(cosines):.2f}" in alt
        )
    # Side by side, on the same axes: one cloud lies over no other.
    assert len({each.xaxis for each in figure.data}) == 3
    assert len({axis.range for axis in figure.select_xaxes()}) == 1
    assert "Too short" not in alt
    tiny = {**estimates, 1: estimates[1] * torch.tensor([1.0] * 5 + [1e-9] * 2)[:, None]}
    assert figures.gradients(tiny)[1].endswith(" Too short for the axis: 2 of K = 1.")
    means = [shape.y0 for shape in figure.layout.shapes]
    assert means == pytest.approx([np.mean(each.y) for each in figure.data])


def test_the_terms_of_13():
    generator = seeded()
    exact, noise = torch.randn(2, 50, 4, generator=generator, dtype=torch.float64)
    table = figures.terms({10: exact + noise, math.inf: exact}).set_index("K")
    scaled = 10 * (noise**2).sum(1)
    assert table["K times the first term"]["10"] == pytest.approx(scaled.mean().item(), abs=1e-4)
    assert table["± of it"]["10"] == pytest.approx(scaled.std().item() / math.sqrt(50), abs=1e-4)
    own = exact.var(0, unbiased=False).sum().item()
    assert table["variance"]["∞"] == pytest.approx(own, abs=1e-4)
    assert math.isnan(table["K times the first term"]["∞"])


# --- The table ------------------------------------------------------------------------------------


def test_measured_accuracies_stand_beside_the_paper():
    cells = pd.DataFrame(
        {
            "row": ["ST-GS", "GR-∞", "ST-GS"],
            "tau": [1.0, 0.01, 0.01],
            "accuracy": [68.0, 67.0, 18.0],
            "standard_error": [0.4, math.nan, 1.0],
            "published_accuracy": [66.0, math.nan, 17.0],
            "published_error": [0.5, math.nan, 2.0],
            "paper": [65.8, math.nan, 38.8],
        }
    )
    figure, alt = figures.against_paper(cells)
    measured = "measured, with the standard error"
    for axis, names, values, errors, paper in (
        ("x", ("GR-∞", "ST-GS"), (67.0, 17.0), (0.0, 2.0), (("ST-GS",), (38.8,))),
        ("x2", ("ST-GS",), (66.0,), (0.5,), (("ST-GS",), (65.8,))),
    ):
        ours, printed = (trace(figure, name, xaxis=axis) for name in (measured, "in the paper"))
        assert (ours.x, ours.y, ours.error_y.array) == (names, values, errors)
        assert (printed.x, printed.y) == paper
    assert figure.layout.yaxis2.matches is None  # an axis of its own shows small differences
    assert alt == (
        "Accuracy, with an axis of its own for each τ. GR-∞ at τ = 0.01: 67.0 measured; ST-GS at "
        "τ = 0.01: 17.0 measured, 38.8 in the paper; ST-GS at τ = 1: 66.0 measured, 65.8 in the "
        "paper."
    )


def test_the_trees_have_no_line_through_their_tokens():
    example = read("[MIN 3 5 ]")
    at = {step: Seen([example.spans], [step]) for step in (0, 9)}
    panel = figures.trees_over_training([example, example], {1: at, 10: at})
    assert panel.figure.layout.yaxis.zeroline is False
    assert panel.figure.layout.yaxis.showgrid is False


def test_the_merge_that_is_drawn_is_the_one_of_the_formula():
    """The texts of the boxes, row by row, are those that `merge` makes of them."""
    panel = figures.one_merge()
    words = [each.text for each in panel.figure.layout.annotations]
    nodes, proposals = ["[MIN", "3", "5", "]"], ["[MIN 3", "3 5", "5 ]"]
    assert [text for text in words if "<br>" in text] == [
        f"{pair}<br>{chance} %, D<sub>{j}</sub> = {d}"
        for j, pair, chance, d in zip((1, 2, 3), proposals, (21, 55, 24), (0, 1, 0), strict=True)
    ]
    code = torch.tensor([[[float(i)] for i in range(4)]])
    made = merge(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[[10.0], [11], [12]]]), code)
    left = [(nodes + [""] * 6 + proposals)[int(i)] for i in made.flatten()]
    assert [text for text in words if text in left][-3:] == left == ["[MIN", "3 5", "]"]


# --- Accuracy over the epochs ---------------------------------------------------------------------


def test_accuracy_over_the_epochs_is_that_of_all_seeds():
    ways = {
        ("ST-GS", 0): [9.0, 50.0, 60.0, 64.0],
        ("ST-GS", 1): [11.0, 52.0, 60.0],  # diverged
        ("GR-∞", 0): [9.0, 55.0],
        ("GR-∞", 1): [11.0],
    }
    rows = [
        {"row": row, "seed": seed, "epoch": epoch, "valid_accuracy": accuracy}
        for (row, seed), accuracies in ways.items()
        for epoch, accuracy in enumerate(accuracies)
    ]
    figure, alt = figures.over_epochs(pd.DataFrame(rows))
    shown = trace(figure, "ST-GS")
    assert (shown.x, shown.y) == ((1, 2), (51.0, 60.0))
    assert shown.error_y.array == pytest.approx((2.0, 0.0))  # twice √2 / √2, and twice 0
    assert trace(figure, "GR-∞").x == ()
    assert "ST-GS: 51.0 to 60.0 at epoch 2. GR-∞: a seed ends before." in alt
