"""ListOps: the grammar, the values, the drawn and the published sets, and trees."""

from __future__ import annotations

import hashlib
import itertools
import os
import statistics
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import stats
from seeded import seeded
from statistical import FALSE_FAILURE_RATE, MISS_RATE, assert_frequencies

from gumbelrao_edu._download import File
from gumbelrao_edu.listops import (
    VOCABULARY,
    DataError,
    Example,
    ListOps,
    Split,
    data,
    evaluate,
    format_line,
    generate,
    load_generated,
    load_listops,
    parse_line,
    read,
    read_examples,
    trees,
)
from gumbelrao_edu.training.loop import Training

if TYPE_CHECKING:
    from data_server import Server


pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

REAL_DATA = os.environ.get("GUMBELRAO_REAL_DATA")
needs_real_data = pytest.mark.skipif(
    not REAL_DATA, reason="GUMBELRAO_REAL_DATA names no folder with the real data"
)


def ids(text: str) -> tuple[int, ...]:
    return tuple(VOCABULARY.index(word) for word in text.split())


@pytest.fixture(scope="module")
def drawn() -> list[Example]:
    """As many as were published."""
    return generate(100_000, generator=seeded(7))


@pytest.fixture(scope="module")
def generated() -> ListOps:
    return load_generated()


@pytest.fixture(scope="module")
def published() -> list[Example]:
    """The published test set."""
    return read_examples(Path(str(REAL_DATA), "listops_test_d20s.tsv"))


# Downloads. What all sets have in common is in test_data.py. These come before the large sets, in
# which each collection of garbage takes long.


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_git_blob_id(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello world\n")
    # What `git hash-object` prints for this file.
    assert File("hello", "", "git:3b18e512dba79e4c8300dd08aeb37f8e728b8dad").is_right(path)
    path.write_bytes(b"hello world")
    assert not File("hello", "", "git:3b18e512dba79e4c8300dd08aeb37f8e728b8dad").is_right(path)


def test_published_once_then_read(server: Server, folder: Path) -> None:
    sets = load_listops(full=True)
    assert [len(split) for split in sets] == [80, 10, 6]
    check_distinct(sets)
    lines = [format_line(e) for split in (sets.train, sets.valid) for e in split.examples]
    assert sorted(lines) == sorted(server.files["train_d20s.tsv"].decode().splitlines())
    lines = [format_line(example) for example in sets.test.examples]
    assert lines == server.files["test_d20s.tsv"].decode().splitlines()
    again = load_listops()  # it is there now
    assert again.name == sets.name == "ListOps, published"
    assert [split.examples for split in again] == [split.examples for split in sets]
    assert server.requests == ["train_d20s.tsv", "test_d20s.tsv"]
    assert stored(folder) == ["listops_test_d20s.tsv", "listops_train_d20s.tsv"]
    assert sets.description == (
        "ListOps, published: 80 expressions to train on, 10 to validate, 6 to test, "
        f"of up to {max(len(e.tokens) for split in sets for e in split.examples)} tokens"
    )


def test_the_published_test_set_alone(server: Server, folder: Path) -> None:
    assert data.load_published_test() is None
    sets = load_listops(full=True)
    (folder / "listops_train_d20s.tsv").unlink()
    split = data.load_published_test()
    assert split is not None
    assert split.examples == sets.test.examples
    (folder / "listops_test_d20s.tsv").write_bytes(b"another")
    with pytest.warns(UserWarning, match="not the files expected: .* It is left out"):
        assert data.load_published_test() is None
    assert len(server.requests) == 2  # nothing is downloaded


@pytest.mark.parametrize("fault", ["broken", "truncated", "shortened", "missing"])
def test_a_bad_download_is_repeated(server: Server, folder: Path, fault: str) -> None:
    bad = getattr(server, fault)
    server.answer = lambda attempt, name: (bad if attempt == 1 else server.right)(attempt, name)
    data.fetch_listops(progress=False)
    assert server.requests == ["train_d20s.tsv"] * 2 + ["test_d20s.tsv"] * 2
    assert stored(folder) == ["listops_test_d20s.tsv", "listops_train_d20s.tsv"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("broken", "git blob id differs"),
        ("truncated", "broke off|git blob id differs"),
        ("shortened", "git blob id differs"),
        ("missing", "the server answered: 404"),
    ],
)
def test_a_download_that_stays_bad(server: Server, folder: Path, fault: str, message: str) -> None:
    server.answer = getattr(server, fault)
    with pytest.raises(DataError, match=message) as caught:
        data.fetch_listops(progress=False)
    assert "load_listops(full=False)" in str(caught.value)
    assert server.requests == ["train_d20s.tsv"] * 3
    assert stored(folder) == []  # nothing half written is left


def test_a_wrong_file(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generated = object()
    monkeypatch.setattr(data, "load_generated", lambda: generated)
    data.fetch_listops(progress=False)
    path = folder / "listops_train_d20s.tsv"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(
        UserWarning, match="not the files expected.*train.*generated set is used"
    ) as warned:
        assert load_listops() is generated
    assert [warning.filename for warning in warned] == [__file__]
    server.answer = server.missing
    with pytest.raises(DataError, match="is not the file expected and was left as it is"):
        load_listops(full=True)
    assert len(path.read_bytes()) == len(server.files["train_d20s.tsv"]) - 1
    server.answer = server.right
    load_listops(full=True)
    assert path.read_bytes() == server.files["train_d20s.tsv"]
    assert load_listops(full=False) is generated


# The grammar and the values.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("[MIN 3 8 2 5 ]", 2),
        ("[MAX 3 8 2 5 ]", 8),
        ("[SM 9 8 7 ]", 4),
        ("[MED 9 1 4 ]", 4),
        ("[MED 1 8 ]", 4),  # 4.5, truncated
        ("[MED 2 9 5 6 ]", 5),
        ("[MAX [MIN 4 9 ] [SM 5 5 [MED 1 2 3 ] ] 3 ]", 4),
    ],
)
def test_values(text: str, value: int) -> None:
    assert evaluate(ids(text)) == value


def test_every_list_of_two_and_three() -> None:
    for digits in itertools.chain(*(itertools.product(range(10), repeat=n) for n in (2, 3))):
        words = " ".join(map(str, digits))
        assert evaluate(ids(f"[MED {words} ]")) == int(statistics.median(digits))
        assert evaluate(ids(f"[SM {words} ]")) == int(str(sum(digits))[-1])
        assert evaluate(ids(f"[MIN {words} ]")) == sorted(digits)[0]
        assert evaluate(ids(f"[MAX {words} ]")) == sorted(digits)[-1]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ((), "expected one expression, got 0"),
        (ids("1 2"), "expected one expression, got 2"),
        (ids("]"), "closes no operation"),
        (ids("1 ]"), "closes no operation"),
        (ids("[MIN 1 2 ] ]"), "closes no operation"),
        (ids("[MIN ]"), r"closes no operation with arguments \(token 2\)"),
        (ids("[MIN 1 [MAX 2"), "2 operations are not closed"),
        ((3, 15), r"expected 0 to 14, got 15 \(token 2\)"),
        ((-1,), "expected 0 to 14, got -1"),
    ],
)
def test_what_has_no_value(tokens: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(tokens)


def tree_of(text: str) -> object:
    """The tree that the brackets ( ) of a line show, as nested pairs."""
    stack: list[list[object]] = [[]]
    for word in text.split():
        if word == "(":
            stack.append([])
        elif word == ")":
            left, right = stack.pop()
            stack[-1].append((left, right))
        else:
            stack[-1].append(word)
    ((tree,),) = stack
    return tree


def value_of(tree: object) -> object:
    """The value of such a tree; of an open operation, its operator and its arguments so far."""
    if isinstance(tree, str):
        return int(tree) if tree.isdigit() else [tree]
    left, right = (value_of(part) for part in tree)
    if right != ["]"]:
        return [*left, right]
    operator, *arguments = left
    operations = {"[MIN": min, "[MAX": max, "[MED": statistics.median, "[SM": sum}
    return int(operations[operator](arguments)) % 10


def check_against_brackets(examples: list[Example]) -> None:
    """Value and tree agree with what the brackets of the line give, evaluated from there."""
    for example in examples:
        label, text = format_line(example).split("\t")
        tree = tree_of(text)
        assert value_of(tree) == example.label == int(label) == evaluate(example.tokens)
        assert trees.nested(example.spans, [VOCABULARY[t] for t in example.tokens]) == tree
        assert text.replace("( ", "").replace(" )", "") == str(example)


def test_generated_examples_agree_with_their_brackets(drawn: list[Example]) -> None:
    check_against_brackets(drawn[:2000])


@pytest.mark.parametrize("tokens", [(3, 3), (10, 14), (10, 3)])
def test_what_is_no_whole_expression_has_no_line(tokens: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^tokens: "):
        format_line(Example(tokens, 3))


def test_lines_go_through_unchanged(drawn: list[Example]) -> None:
    for example in drawn[:2000]:
        line = format_line(example)
        assert parse_line(line) == parse_line(f"{line}\n") == example


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "got no tab"),
        ("3 ( ( ( [MIN 3 ) 5 ) ] )", "got no tab"),
        ("\t7", "digit as the label, got ''"),
        ("12\t7", "digit as the label, got '12'"),
        ("]\t7", "digit as the label, got ']'"),
        ("³\t7", "digit as the label"),
        ("7\t", "token of VOCABULARY, got ''"),
        ("7\t7 ", "token of VOCABULARY, got ''"),
        ("3\t( ( ( [AVG 3 ) 5 ) ] )", r"token of VOCABULARY, got '\[AVG'"),
        ("3\t( ( ( [MIN 3 ) 5 )", "not closed"),  # as of a file cut short
        ("3\t( ( [MIN 3 ) 5 ) ] )", "brackets"),
        ("3\t( [MIN ( 3 ( 5 ] ) ) )", "brackets"),
        ("3\t[MIN 3 5 ]", "brackets"),
        ("7\t7\t7", "token of VOCABULARY"),
    ],
)
def test_a_malformed_line(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        parse_line(line)
    path = tmp_path / "some.tsv"
    path.write_text(f"7\t7\n{line}\n4\t4\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"some\.tsv, line 2: .*{message}"):
        read_examples(path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "some.tsv"
    path.write_bytes(b"7\t7\n\xff\xfe\x00\n")
    with pytest.raises(DataError, match="line 2"):
        read_examples(path)


def test_what_is_no_path_is_named() -> None:
    with pytest.raises(TypeError, match="path: expected the name of a file, got int"):
        read_examples(3)  # type: ignore[arg-type]


# What is drawn.


def test_the_same_seed_draws_the_same() -> None:
    def draw(seed: int) -> list[Example]:
        return generate(50, generator=seeded(seed))

    assert draw(1) == draw(1) != draw(2)


def test_all_short_expressions_are_found_once() -> None:
    lists = itertools.product(["[MIN", "[MAX", "[MED", "[SM"], range(10), range(10))
    texts = {*"0123456789", *(f"{operator} {a} {b} ]" for operator, a, b in lists)}
    examples = generate(410, max_length=4, generator=seeded())
    assert len(examples) == 410
    assert {str(example) for example in examples} == texts
    for num, length in ((11, 1), (11, 3), (411, 4), (4411, 5)):
        with pytest.raises(ValueError, match=rf"num: there are {num - 1} expressions .* {num}$"):
            generate(num, max_length=length)


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"num": 0}, ValueError, "num"),
        ({"num": 1.5}, TypeError, "num"),
        ({"num": 1, "max_length": 0}, ValueError, "max_length"),
        ({"num": 1, "generator": 3}, TypeError, "generator"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name):
        generate(**arguments)


def nodes(examples: list[Example]) -> Counter[tuple[int, str]]:
    """How many nodes are what, by the number of operations they are inside of.

    An operation is called by its operator and the number of its arguments.
    """
    counts: Counter[tuple[int, str]] = Counter()
    for example in examples:
        open_: list[list[object]] = []  # operator and number of arguments
        for token in example.tokens:
            word = VOCABULARY[token]
            if word.startswith("["):
                open_.append([word, 0])
                continue
            kind = word
            if word == "]":
                operator, arguments = open_.pop()
                kind = f"{operator} {arguments}"
            counts[len(open_), kind] += 1
            if open_:
                open_[-1][1] += 1
    return counts


# A digit with probability 3/4; else 4 operators with 2 to 5 arguments.
KINDS = {str(digit): 3 / 40 for digit in range(10)} | {
    f"{operator} {n}": 1 / 64 for operator in ("[MIN", "[MAX", "[MED", "[SM") for n in range(2, 6)
}


def check_nodes(examples: list[Example]) -> None:
    """Inside of 2 to 18 operations each node is drawn by `KINDS`; inside of 19, a digit.

    Higher up the distribution is another one, since no short expression may occur twice.
    """
    counts = nodes(examples)
    inner = [sum(counts[depth, kind] for depth in range(2, 19)) for kind in KINDS]
    assert_frequencies(torch.tensor(inner), torch.tensor(list(KINDS.values())))
    deepest = {kind: counts[19, kind] for kind in KINDS}
    assert sum(deepest.values()) > 1000
    assert all(kind.isdigit() for kind, count in deepest.items() if count)
    assert max(depth for depth, _ in counts) == 19


def test_nodes_of_what_is_drawn(drawn: list[Example]) -> None:
    check_nodes(drawn[:30_000])


@needs_real_data
def test_nodes_of_the_published_set(published: list[Example]) -> None:
    check_nodes(published)


def nesting(example: Example) -> int:
    deepest = depth = 0
    for token in example.tokens:
        depth += (VOCABULARY[token][0] == "[") - (VOCABULARY[token] == "]")
        deepest = max(deepest, depth)
    return deepest


def same_distribution(first: list[int], second: list[int], bins: list[float]) -> bool:
    """Pearson's test that two sets were drawn alike; would notice a total variation of 7 %.

    That it would is checked first. In neither set an example occurs twice, which makes the counts
    vary less than the test assumes.
    """
    table = np.stack([np.histogram(values, bins)[0] for values in (first, second)])
    assert table.sum() == len(first) + len(second)
    assert table.sum(0).min() > 20
    freedom = len(bins) - 2
    limit = stats.chi2.isf(FALSE_FAILURE_RATE, freedom)
    # The noncentrality is at least 4 times the squared total variation times this number.
    effective = len(first) * len(second) / (len(first) + len(second))
    assert stats.ncx2.sf(limit, freedom, 4 * 0.07**2 * effective) > 1 - MISS_RATE
    return bool(stats.chi2_contingency(table).statistic < limit)


LENGTHS = [1, 5, 6, 7, 8, 9, 10, 11, 13, 16, 20, 26, 35, 51, 90, np.inf]
UP_TO_50 = LENGTHS[:-2]
NESTINGS = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, np.inf]


@needs_real_data
def test_what_is_drawn_is_like_the_published_set(
    drawn: list[Example], published: list[Example]
) -> None:
    lengths, nestings = (
        [[measure(example) for example in examples] for examples in (drawn, published)]
        for measure in (lambda example: len(example.tokens), nesting)
    )
    assert same_distribution(*lengths, LENGTHS)
    assert same_distribution(*nestings, NESTINGS)
    assert [drawn_.count(1) for drawn_ in lengths] == [10, 1]


@needs_real_data
def test_a_smaller_set_has_too_many_short_ones(published: list[Example]) -> None:
    small = generate(10_000, generator=seeded(7))
    lengths = [[len(example.tokens) for example in s] for s in (small, published)]
    assert not same_distribution(*lengths, LENGTHS)


@needs_real_data
def test_a_sixth_of_the_published_test_set_is_among_what_is_drawn(
    generated: ListOps, published: list[Example]
) -> None:
    """As notebook 06 says of L ≤ 10: it is left out there, and is short expressions mostly."""
    sets = generated.up_to(10)
    known = {example.tokens for split in (sets.train, sets.valid) for example in split.examples}
    lengths: dict[bool, list[int]] = {True: [], False: []}
    for example in published:
        if len(example.tokens) <= 10:
            lengths[example.tokens in known].append(len(example.tokens))
    assert len(lengths[True]) / sum(map(len, lengths.values())) == pytest.approx(1 / 6, abs=0.005)
    assert statistics.median(lengths[True]) < 6 < statistics.median(lengths[False])


# The sets.


def check_distinct(sets: ListOps) -> None:
    everything = [example.tokens for split in sets for example in split.examples]
    assert len(set(everything)) == len(everything)


def test_the_generated_set_is_always_the_same(generated: ListOps) -> None:
    assert [len(split) for split in generated] == [64_000, 8_000, 8_000]
    check_distinct(generated)
    lines = "".join(f"{format_line(example)}\n" for example in generated.test.examples)
    assert hashlib.sha256(lines.encode()).hexdigest() == GENERATED_TEST_SHA256
    train = generated.train.everything
    assert hashlib.sha256(train.tokens.numpy().tobytes()).hexdigest() == GENERATED_TRAIN_SHA256
    assert int(train.lengths.max()) == 50


GENERATED_TEST_SHA256 = "419ec33194df358550d6856c441fd6f8d2422b42812efa08a2e4854a6e7ee836"
GENERATED_TRAIN_SHA256 = "5ea9caaf09915b13cd6115f07091782e9194c03e4abb6a3a536ba81c3aacc5df"


def test_the_splits_are_alike(generated: ListOps) -> None:
    lengths = [[len(example.tokens) for example in split.examples] for split in generated]
    for other in lengths[1:]:
        assert same_distribution(lengths[0], other, UP_TO_50)


@needs_real_data
def test_the_generated_set_is_like_the_published_one(
    generated: ListOps, published: list[Example]
) -> None:
    lengths = [
        [len(e.tokens) for e in examples if len(e.tokens) <= 50]
        for examples in (generated.train.examples, published)
    ]
    assert same_distribution(*lengths, UP_TO_50)


@needs_real_data
def test_the_published_test_set(published: list[Example]) -> None:
    """Every label is the value, every line comes back as it was."""
    path = Path(str(REAL_DATA), "listops_test_d20s.tsv")
    assert data._files()[1].is_right(path)
    assert len(published) == len({example.tokens for example in published}) == 10_000
    assert [example.label for example in published] == [evaluate(e.tokens) for e in published]
    lines = "".join(f"{format_line(example)}\n" for example in published)
    assert lines.encode() == path.read_bytes()
    check_against_brackets([example for example in published if len(example.tokens) <= 50])
    split = Split(published, "published")
    assert [len(split.up_to(length)) for length in (10, 25, 50)] == [3531, 6477, 7966]


def test_batches(generated: ListOps) -> None:
    split = generated.valid
    index = torch.tensor([5, 7999, 0, 5])
    wanted = [split.examples[i] for i in index]
    batch = split[index]
    assert batch.tokens.tolist() == [token for example in wanted for token in example.tokens]
    assert batch.lengths.tolist() == [len(example.tokens) for example in wanted]
    assert batch.labels.tolist() == [example.label for example in wanted]
    assert {tensor.dtype for tensor in batch} == {torch.int64}
    for one, other in zip(split[2:4], split[torch.tensor([2, 3])], strict=True):
        assert torch.equal(one, other)
    assert [len(tensor) for tensor in split[:0]] == [0, 0, 0]
    for one, other in zip(split[:], split.everything, strict=True):
        assert torch.equal(one, other)
    with pytest.raises(TypeError, match="index: expected a tensor or a slice, got int"):
        split[3]


def test_batches_are_filled_up_to_common_lengths(generated: ListOps) -> None:
    split = generated.valid.up_to(20)
    batches = [split[torch.arange(5 * i, 5 * i + 5)] for i in range(4)]
    whole = data.filled(split[:20], 4)
    lengths = whole.lengths.tolist()
    assert lengths == sorted(lengths, reverse=True)
    most = Counter[int]()
    for batch in batches:
        most |= Counter(batch.lengths.tolist())
    assert Counter(lengths) == most
    for batch, tokens, labels in zip(batches, whole.tokens, whole.labels, strict=True):
        ordered = sorted(
            zip(batch.tokens.split(batch.lengths.tolist()), batch.labels.tolist(), strict=True),
            key=lambda sentence: -len(sentence[0]),
        )
        parts = zip(tokens.split(lengths), labels.tolist(), strict=True)
        real = [(part.tolist(), label) for part, label in parts if label != data.FILLER]
        assert real == [(sentence.tolist(), label) for sentence, label in ordered]


def test_up_to(generated: ListOps) -> None:
    short = generated.up_to(10)
    for split, all_ in zip(short, generated, strict=True):
        assert split.examples == tuple(e for e in all_.examples if len(e.tokens) <= 10)
        assert len(split) == len(split.examples)
        assert int(split.everything.lengths.max()) == 10
    assert short.description.startswith("ListOps, generated, L ≤ 10: ")
    with pytest.raises(ValueError, match="length: no example of two has at most 2 tokens"):
        Split([Example(ids("[MIN 1 2 ]"), 1)], "two").up_to(2)


def test_it_can_be_trained_on(generated: ListOps) -> None:
    """A model of the sentence's length alone learns the sentence's length."""
    split = generated.valid.up_to(10)

    def loss(model: torch.nn.Linear, batch: data.Batch) -> torch.Tensor:
        return ((model.weight - batch.lengths) ** 2).mean()

    model = torch.nn.Linear(1, 1, bias=False)
    training = Training(model, loss, split, batch_size=10, learning_rate=0.05)
    training.run(until=100)
    mean = split.everything.lengths.double().mean()
    # About 7.6, and the weight's standard deviation around it is 0.13.
    assert abs(model.weight.item() - mean) < 0.7


# Trees.


def all_trees(start: int, end: int) -> list[frozenset[trees.Span]]:
    if end - start == 1:
        return [frozenset()]
    return [
        left | right | {(start, end)}
        for middle in range(start + 1, end)
        for left in all_trees(start, middle)
        for right in all_trees(middle, end)
    ]


def pairs(tree: object) -> list[object]:
    """All inner nodes of nested pairs, and their depth below the root."""
    return [tree, *pairs(tree[0]), *pairs(tree[1])] if isinstance(tree, tuple) else []


def leaves(tree: object, depth: int = 0) -> list[tuple[object, int]]:
    if not isinstance(tree, tuple):
        return [(tree, depth)]
    return leaves(tree[0], depth + 1) + leaves(tree[1], depth + 1)


@pytest.mark.parametrize("length", range(1, 7))
def test_every_small_tree(length: int) -> None:
    every = all_trees(0, length)
    assert len(every) == len(set(every)) == [1, 1, 2, 5, 14, 42][length - 1]
    for spans in every:
        tree = trees.nested(spans, range(length))
        below = leaves(tree)
        assert [leaf for leaf, _ in below] == list(range(length))
        nodes = {(leaves(p)[0][0], leaves(p)[-1][0] + 1) for p in pairs(tree)}
        assert nodes == spans
        assert trees.average_depth(spans, length) == pytest.approx(
            statistics.mean(depth for _, depth in below), rel=1e-12
        )
        text = trees.bracketed(spans, [str(i) for i in range(length)])
        assert tree_of(text) == trees.nested(spans, [str(i) for i in range(length)])
        for gold in every:
            share = sum(span in gold for span in spans) / len(gold) if gold else 1.0
            assert trees.f1(spans, gold) == pytest.approx(share, rel=1e-12)
            assert (trees.f1(spans, gold) == 1.0) == (spans == gold)
    assert trees.left_branching(length) in every
    assert trees.right_branching(length) in every


@pytest.mark.parametrize("length", range(1, 5))
def test_nothing_else_is_a_tree(length: int) -> None:
    every = set(all_trees(0, length))
    spans = list(itertools.combinations(range(-1, length + 2), 2))
    for size in range(length + 1):
        for some in map(frozenset, itertools.combinations(spans, size)):
            if some in every:
                trees.check_tree(some, length)
            else:
                with pytest.raises(ValueError, match=f"binary tree over {length} tokens"):
                    trees.check_tree(some, length)


def test_known_trees() -> None:
    words = list("abcd")
    assert trees.bracketed(trees.left_branching(4), words) == "( ( ( a b ) c ) d )"
    assert trees.bracketed(trees.right_branching(4), words) == "( a ( b ( c d ) ) )"
    assert trees.nested(frozenset(), ["a"]) == "a"
    assert trees.average_depth(frozenset(), 1) == 0
    assert trees.average_depth(trees.left_branching(4), 4) == (3 + 3 + 2 + 1) / 4
    assert trees.f1(trees.left_branching(4), trees.right_branching(4)) == pytest.approx(1 / 3)
    gold = [trees.left_branching(n) for n in (1, 2, 4)]
    other = [trees.right_branching(n) for n in (1, 2, 4)]
    assert trees.mean_f1(other, gold) == pytest.approx((1 + 1 + 1 / 3) / 3)
    with pytest.raises(ValueError, match=r"predicted, gold: .* got 3 and 2"):
        trees.mean_f1(other, gold[:2])


def test_a_long_sentence_needs_no_deep_recursion() -> None:
    spans = trees.left_branching(5000)
    trees.check_tree(spans, 5000)
    assert trees.bracketed(spans, ["a"] * 5000).count("(") == 4999


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9),
        ("[max 2 9 [min 4 7] 0]", 9),
        ("  7 ", 7),
        ("[SM 6 5 [MED 1 8]]", 5),
    ],
)
def test_what_can_be_written(text, label):
    example = read(text)
    assert example.label == evaluate(example.tokens) == label
