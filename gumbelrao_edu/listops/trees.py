"""Binary trees over a sentence, as sets of spans.

A node that covers the tokens `start` to `end - 1` is the span `(start, end)`. A tree is the set of
the spans of its inner nodes: those with two tokens or more, the whole sentence included. Over
`length` tokens these are always `length - 1`; a sentence of one token has none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import Any

from .._checks import check_count

Span = tuple[int, int]


def nested(spans: Set[Span], leaves: Sequence[Any]) -> Any:
    """The tree as nested pairs.

    Args:
        spans: the inner nodes.
        leaves: what stands for each token.

    Returns:
        A leaf, or a pair of what this function returns for the left and the right part.

    Raises:
        ValueError: when the spans are not those of a binary tree over the leaves.

    Example:
        >>> nested({(0, 3), (1, 3)}, ["a", "b", "c"])
        ('a', ('b', 'c'))
    """
    starts = defaultdict(list)
    for start, end in sorted(spans, reverse=True):  # of two that end together, the inner one first
        starts[end].append(start)
    stack: list[tuple[int, Any]] = []  # of finished nodes: where it starts, and what it is
    for end, leaf in enumerate(leaves, start=1):
        stack.append((end - 1, leaf))
        for start in starts.pop(end, ()):
            if len(stack) < 2 or stack[-2][0] != start:
                raise _not_a_tree(spans, leaves)
            _, right = stack.pop()
            _, left = stack.pop()
            stack.append((start, (left, right)))
    if starts or len(stack) != 1:
        raise _not_a_tree(spans, leaves)
    return stack[0][1]


def check_tree(spans: Set[Span], length: int) -> None:
    """Check that the spans are those of a binary tree over `length` tokens.

    Args:
        spans: the inner nodes.
        length: number of tokens.

    Raises:
        TypeError, ValueError: when they are not, or the length has the wrong type or range.

    Example:
        >>> check_tree({(0, 3), (1, 3)}, 3)
        >>> check_tree({(0, 3)}, 3)
        Traceback (most recent call last):
        ValueError: spans: expected those of a binary tree over 3 tokens, got [(0, 3)]
    """
    length = check_count(length, "length")
    if not isinstance(spans, Set):
        raise TypeError(f"spans: expected a set of pairs, got {type(spans).__name__}")
    if unpaired := [s for s in spans if not isinstance(s, tuple) or len(s) != 2]:
        raise TypeError(f"spans: expected pairs of start and end, got {unpaired[0]!r}")
    nested(spans, range(length))


def bracketed(spans: Set[Span], words: Sequence[str]) -> str:
    """The sentence with a pair of brackets around each inner node, as in the files of ListOps.

    Args:
        spans: the inner nodes.
        words: the tokens.

    Returns:
        The words and brackets, with spaces between them.

    Example:
        >>> bracketed({(0, 3), (1, 3)}, ["a", "b", "c"])
        '( a ( b c ) )'
    """
    opened = Counter(start for start, _ in spans)
    closed = Counter(end for _, end in spans)
    return " ".join(
        "( " * opened[place] + word + " )" * closed[place + 1] for place, word in enumerate(words)
    )


def left_branching(length: int) -> frozenset[Span]:
    """The tree in which each token joins all those before it: `( ( a b ) c )`.

    Args:
        length: number of tokens.

    Returns:
        Its spans.

    Raises:
        TypeError, ValueError: if `length` has the wrong type or range.

    Example:
        >>> sorted(left_branching(3))
        [(0, 2), (0, 3)]
    """
    length = check_count(length, "length")
    return frozenset((0, end) for end in range(2, length + 1))


def right_branching(length: int) -> frozenset[Span]:
    """The tree in which each token joins all those after it: `( a ( b c ) )`.

    Args:
        length: number of tokens.

    Returns:
        Its spans.

    Raises:
        TypeError, ValueError: if `length` has the wrong type or range.

    Example:
        >>> sorted(right_branching(3))
        [(0, 3), (1, 3)]
    """
    length = check_count(length, "length")
    return frozenset((start, length) for start in range(length - 1))


def f1(predicted: Set[Span], gold: Set[Span]) -> float:
    """Unlabelled F1 of one sentence, 2 |P ∩ G| / (|P| + |G|).

    Both trees are binary, so precision, recall and F1 are the same number: the share of the gold
    nodes that were found. The whole sentence counts, although it is in every tree. A sentence of
    one token has nothing to find and scores 1.

    Args:
        predicted: P.
        gold: G.

    Returns:
        Between 0 and 1.

    Example:
        >>> f1(left_branching(4), right_branching(4))
        0.3333333333333333

    Source: the convention of Williams, Drozdov & Bowman (2018) and Nangia & Bowman (2018), whose
    F1 of a test set is the mean over its sentences: see `mean_f1`.
    """
    if not predicted and not gold:
        return 1.0
    return 2 * len(predicted & gold) / (len(predicted) + len(gold))


def mean_f1(predicted: Iterable[Set[Span]], gold: Iterable[Set[Span]]) -> float:
    """The mean of `f1` over the sentences, each with the same weight.

    Args:
        predicted: a tree for each sentence.
        gold: as many.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: when there are no trees, or not as many of both.

    Example:
        >>> trees = [left_branching(2), left_branching(4)]
        >>> mean_f1([right_branching(2), right_branching(4)], trees)
        0.6666666666666666

    Source: Williams, Drozdov & Bowman (2018).
    """
    predicted, gold = list(predicted), list(gold)
    if not predicted or len(predicted) != len(gold):
        raise ValueError(
            f"predicted, gold: expected as many trees of both, at least one, got {len(predicted)} "
            f"and {len(gold)}"
        )
    scores = [f1(*pair) for pair in zip(predicted, gold, strict=True)]
    return sum(scores) / len(scores)


def average_depth(spans: Set[Span], length: int) -> float:
    """The mean over the tokens of the number of nodes above the token.

    Args:
        spans: the inner nodes.
        length: the number of tokens.

    Returns:
        0 for one token; else between log₂ of the length and about half of the length.

    Raises:
        TypeError, ValueError: when the spans are not those of a binary tree over so many tokens.

    Example:
        >>> average_depth({(0, 4), (0, 2), (2, 4)}, 4), average_depth(left_branching(4), 4)
        (2.0, 2.25)

    Source: the convention of Williams, Drozdov & Bowman (2018); Nangia & Bowman (2018) report the
    mean of this number over the sentences.
    """
    check_tree(spans, length)
    return depth_of_tree(spans, length)


def depth_of_tree(spans: Set[Span], length: int) -> float:
    """Return `average_depth` of spans that are known to be those of a tree.

    Each node is above as many tokens as it covers. To look whether the spans are a tree takes
    longer than that sum.

    Args:
        spans: the inner nodes.
        length: the number of tokens.

    Example:
        >>> depth_of_tree({(0, 4), (0, 2), (2, 4)}, 4)
        2.0
    """
    return sum(end - start for start, end in spans) / length


def _not_a_tree(spans: Set[Span], leaves: Sequence[Any]) -> ValueError:
    return ValueError(
        f"spans: expected those of a binary tree over {len(leaves)} tokens, got {sorted(spans)}"
    )
