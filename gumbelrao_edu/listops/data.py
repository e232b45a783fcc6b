"""ListOps: nested operations on lists of digits, published or drawn here by the same rules."""

from __future__ import annotations

import codecs
import gzip
import operator
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._checks import check_count, check_generator, check_kind, check_whole
from .._download import DataError, File, are_there, fetch
from .trees import Span, bracketed

VOCABULARY = (*"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]")
"""The tokens; a token's id is its place. The brackets `( )` of the files are the gold tree."""

_IDS = {word: token for token, word in enumerate(VOCABULARY)}
_MIN, _MAX, _MED, _SM, _END = range(10, 15)

# What the public generator draws: an operator with probability 1/4 and 2 to 5 arguments for it,
# but below 19 open operators a digit ("maximum depth 20", the root having depth 1).
_MOST_OPEN = 19

# How files begin that are not text in UTF-8, and what they are.
_OTHER_FILES = {
    codecs.BOM_UTF32_LE: "UTF-32; save it as UTF-8",  # before UTF-16, which begins in the same way
    codecs.BOM_UTF32_BE: "UTF-32; save it as UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16; save it as UTF-8",
    codecs.BOM_UTF16_BE: "UTF-16; save it as UTF-8",
    b"PK\x03\x04": "an archive of zip; unpack it",
    b"BZh": "compressed by bzip2; unpack it",
    b"\xfd7zXZ": "compressed by xz; unpack it",
}

FILLER = -100  # in place of a label: of such a sentence `F.cross_entropy` is 0

BASE_URL = (
    "https://raw.githubusercontent.com/nyu-mll/spinn/"
    "0e24a35c7be00e9f67814b0c846c3095cfe7632b/python/spinn/data/listops/"
)
HASHES = {
    "train_d20s.tsv": "git:fb442a5e082a26cc0094714f83681225c89ad29f",
    "test_d20s.tsv": "71335416e6896e8dd8dc69281c8ed9b37316382d05d3705d660461564e843840",
}
_OTHERWISE = "The generated set needs no download: load_listops(full=False)."


@dataclass(frozen=True, slots=True)
class Example:
    """An expression and its value.

    Attributes:
        tokens: ids, places in `VOCABULARY`.
        label: the value, 0 to 9; it is not held against the tokens.

    Raises:
        TypeError, ValueError: if a token or the label has the wrong type or range.

    Example:
        >>> example = parse_line("9\\t( ( ( [MAX 2 ) 9 ) ] )")
        >>> print(example, "=", example.label)
        [MAX 2 9 ] = 9
        >>> sorted(example.spans)
        [(0, 2), (0, 3), (0, 4)]
    """

    tokens: tuple[int, ...]
    label: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", whole_numbers(self.tokens, "tokens"))
        wrong = [token for token in self.tokens if not 0 <= token <= _END]
        if wrong:
            raise ValueError(f"tokens: expected 0 to {_END}, got {wrong[0]}")
        object.__setattr__(self, "label", check_whole(self.label, "label"))
        if not 0 <= self.label <= 9:
            raise ValueError(f"label: expected 0 to 9, got {self.label}")

    def __str__(self) -> str:
        return " ".join(VOCABULARY[token] for token in self.tokens)

    @property
    def spans(self) -> frozenset[Span]:
        """The gold tree: each operator takes its arguments one by one, then its `]`.

        Its nodes of two tokens or more, as `(start, end)`: see `trees`.
        """
        spans = set()
        opened: list[int] = []  # places of the operators that still take arguments
        for place, token in enumerate(self.tokens):
            if _MIN <= token < _END:
                opened.append(place)
                continue
            if token == _END:
                if not opened:
                    raise ValueError(f"tokens: ] closes no operation (token {place + 1})")
                spans.add((opened.pop(), place + 1))
            if opened:  # a digit, or an operation that is complete, is an argument
                spans.add((opened[-1], place + 1))
        if opened:
            raise ValueError(f"tokens: {_not_closed(len(opened))}")
        return frozenset(spans)


def whole_numbers(values: Sequence[int], name: str) -> tuple[int, ...]:
    """Ids or places as Python's numbers."""
    try:
        return tuple(map(operator.index, values))
    except TypeError:
        raise TypeError(f"{name}: expected whole numbers, got {str(values)[:40]}") from None


def _not_closed(count: int) -> str:
    return f"{count} operation{' is' if count == 1 else 's are'} not closed by ]"


def evaluate(tokens: Sequence[int]) -> int:
    """The value of an expression, from its tokens alone.

    `[MED` is the median, truncated to an integer; `[SM` is the sum modulo 10.

    Args:
        tokens: ids, places in `VOCABULARY`.

    Returns:
        A digit.

    Raises:
        TypeError: when they are a text, or no whole numbers.
        ValueError: when the tokens are not one complete expression.

    Example:
        >>> evaluate([VOCABULARY.index(word) for word in "[SM 6 5 [MED 1 8 ] ]".split()])
        5

    Source: Nangia & Bowman (2018).
    """
    if isinstance(tokens, str):
        raise TypeError(f"tokens: expected ids, got the text {tokens[:20]!r}, which `read` takes")
    lists: list[list[int]] = [[]]  # the result; then of each open operation itself, its arguments
    for place, token in enumerate(whole_numbers(tokens, "tokens")):
        if 0 <= token < _MIN:
            lists[-1].append(token)
        elif _MIN <= token < _END:
            lists.append([token])
        elif token == _END and len(lists[-1]) > 1 and len(lists) > 1:
            name, *arguments = lists.pop()
            lists[-1].append(_apply(name, arguments))
        elif token == _END:
            raise ValueError(f"tokens: ] closes no operation with arguments (token {place + 1})")
        else:
            raise ValueError(f"tokens: expected 0 to {_END}, got {token} (token {place + 1})")
    if len(lists) > 1:
        raise ValueError(f"tokens: {_not_closed(len(lists) - 1)}")
    if len(lists[0]) != 1:
        raise ValueError(f"tokens: expected one expression, got {len(lists[0])}")
    return lists[0][0]


def read(text: str, *, longest: int = 50) -> Example:
    """Read an expression as a person writes it.

    Args:
        text: tokens of `VOCABULARY` with spaces between them; small letters will do, and a `]` may
            follow without a space.
        longest: how many tokens it may have; 50 is the paper's largest L.

    Returns:
        The expression with its value.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: says what is wrong, to the person who wrote it.

    Example:
        >>> read("[max 2 9 [min 4 7] 0]").label
        9
    """
    check_kind(text, str, "text")
    longest = check_count(longest, "longest")
    words = text.upper().replace("]", " ] ").split()
    for word in words:
        if word not in VOCABULARY:
            raise ValueError(f"{word!r} is not one of the tokens {' '.join(VOCABULARY)}")
    if len(words) > longest:
        raise ValueError(f"expected at most {longest} tokens, got {len(words)}")
    tokens = tuple(VOCABULARY.index(word) for word in words)
    return Example(tokens, evaluate(tokens))


def _apply(name: int, arguments: list[int]) -> int:
    if name == _MIN:
        return min(arguments)
    if name == _MAX:
        return max(arguments)
    if name == _SM:
        return sum(arguments) % 10
    ordered, middle = sorted(arguments), len(arguments) // 2
    return (ordered[middle] + ordered[-middle - 1]) // 2


def parse_line(line: str) -> Example:
    """Read a line of the published files: the label, a tab, the expression with its tree.

    The two columns may also be in the order of the Long Range Arena, the label last.

    Args:
        line: with or without its line end.

    Returns:
        The example. The label is the one in the line; `evaluate` gives the right one.

    Raises:
        TypeError: when it is no text.
        ValueError: when the line has another form.

    Example:
        >>> parse_line("3\\t( ( ( [MIN 3 ) 5 ) ] )").tokens
        (10, 3, 5, 14)
    """
    check_kind(line, str, "line")
    label, tab, text = line.removesuffix("\n").removesuffix("\r").partition("\t")
    if not tab:
        raise ValueError("expected a label, a tab and an expression, got no tab")
    if label.startswith("(") and text in VOCABULARY[:10]:
        label, text = text, label
    if label not in VOCABULARY[:10]:
        raise ValueError(f"expected a digit as the label, got {label[:20]!r}")
    words = [word for word in text.split(" ") if word not in ("(", ")")]
    try:
        example = Example(tuple([_IDS[word] for word in words]), int(label))
    except KeyError as error:
        raise ValueError(f"expected a token of VOCABULARY, got {str(error)[:40]}") from None
    if format_line(example) != f"{label}\t{text}":
        raise ValueError("the brackets ( ) are not those of the expression's tree")
    return example


def format_line(example: Example) -> str:
    """What `parse_line` reads, without a line end.

    Args:
        example: an expression and its value.

    Returns:
        The label, a tab and the expression with the brackets of its tree.

    Raises:
        TypeError: when it is no `Example`.
        ValueError: when the tokens are not one complete expression.

    Example:
        >>> format_line(Example((10, 3, 5, 14), 3))
        '3\\t( ( ( [MIN 3 ) 5 ) ] )'
    """
    check_kind(example, Example, "example")
    evaluate(example.tokens)
    words = [VOCABULARY[token] for token in example.tokens]
    return f"{example.label}\t{bracketed(example.spans, words)}"


def read_examples(path: str | os.PathLike[str]) -> list[Example]:
    """Read a file of such lines.

    Line ends of any kind, a byte-order mark, empty lines at the end, a first line
    `Source, Target` and compression by gzip make no difference.

    Args:
        path: of the file.

    Returns:
        The examples, in their order.

    Raises:
        TypeError: when `path` is not the name of a file.
        DataError: when a line has another form; with the file and the number of the line. When the
            file is not text in UTF-8, or its compression is damaged.
        OSError: when the file cannot be read.

    Example:
        >>> read_examples("listops_test_d20s.tsv")  # doctest: +SKIP
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: expected the name of a file, got {type(path).__name__}")
    content = Path(path).read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: the compression by gzip is damaged ({error})") from error
    for start, what in _OTHER_FILES.items():
        if content.startswith(start):
            raise DataError(f"{path}: this is {what}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {number}: no text in UTF-8 ({error.reason})") from error
    if "\0" in text:
        raise DataError(f"{path}: this is no text in UTF-8 (it has zero bytes)")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    if lines == [""]:
        raise DataError(f"{path}: the file is empty")
    examples = []
    for number, line in enumerate(lines, start=1):
        if number == 1 and line.lower().split() == ["source", "target"]:
            continue
        try:
            examples.append(parse_line(line))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from error
    return examples


def generate(
    num: int, *, max_length: int | None = None, generator: torch.Generator | None = None
) -> list[Example]:
    """Draw distinct examples by the rules of the published set.

    A node is an operator with probability 1/4 and else a digit; the four operators, the ten digits
    and two to five arguments are equally likely; no more than 19 operations are nested. As in the
    published set no expression occurs twice: one that was there before is drawn anew. So short
    expressions, of which there are few, have the published share only in a set as large as the
    published one. Of 100,000 examples 10 are single digits and 35 % have up to 10 tokens.

    Args:
        num: how many.
        max_length: the largest number of tokens; a longer expression is drawn anew.
        generator: source of randomness.

    Returns:
        `num` examples in random order.

    Raises:
        TypeError, ValueError: if an argument has the wrong type or range; when there are fewer
            expressions of that length.

    Example:
        >>> for example in generate(3, generator=torch.Generator().manual_seed(3)):
        ...     print(example, "=", example.label)
        0 = 0
        [MED 8 7 7 0 ] = 7
        [MIN 5 1 ] = 1

    Source: Nangia & Bowman (2018).
    """
    num = check_count(num, "num")
    check_generator(generator, torch.device("cpu"))
    if max_length is not None:
        max_length = check_count(max_length, "max_length")
        # Up to 12 tokens there are more than anybody draws.
        if num > (most := sum(map(_expressions, range(1, min(max_length, 12) + 1)))):
            raise ValueError(
                f"num: there are {most} expressions of up to {max_length} tokens, got {num}"
            )
    found: dict[tuple[int, ...], None] = {}  # an ordered set
    nodes = _nodes(generator)
    while len(found) < num:
        if (tokens := _expression(nodes, max_length)) is not None:
            found[tokens] = None
    # Shuffled: short expressions come early, since later they are there already.
    drawn = list(found)
    order = torch.randperm(num, generator=generator, device="cpu").tolist()
    return [Example(drawn[i], evaluate(drawn[i])) for i in order]


def _nodes(generator: torch.Generator | None) -> Iterator[int]:
    """Without end, numbers 0 to 639, of which each decides what a node is."""
    while True:
        yield from torch.randint(640, (4096,), generator=generator, device="cpu").tolist()


def _expression(nodes: Iterator[int], max_length: int | None) -> tuple[int, ...] | None:
    """Draw an expression; None if it is too long.

    A quarter of the numbers means an operation, ten of them each operator with each number of
    arguments. A last decimal place is as often each digit, among the others and among all.
    """
    tokens: list[int] = []
    missing: list[int] = []  # for each open operator, how many arguments are still to come
    for node in nodes:
        if node < 160 and len(missing) < _MOST_OPEN:
            tokens.append(_MIN + node % 4)
            missing.append(2 + node // 4 % 4)
            continue
        tokens.append(node % 10)
        while missing:
            missing[-1] -= 1
            if missing[-1]:
                break
            missing.pop()
            tokens.append(_END)
        if max_length is not None and len(tokens) > max_length:
            return None
        if not missing:
            break
    return tuple(tokens)


def _expressions(length: int) -> int:
    """How many expressions have so many tokens (nesting is not limited)."""
    return 10 if length == 1 else 4 * sum(_lists(count, length - 2) for count in range(2, 6))


@lru_cache(maxsize=128)
def _lists(count: int, length: int) -> int:
    """How many lists of so many expressions have so many tokens."""
    if count == 0 or length <= 0:
        return int(count == length == 0)
    return sum(_expressions(n) * _lists(count - 1, length - n) for n in range(1, length + 1))


class Batch(NamedTuple):
    """Sentences, one after the other.

    Attributes:
        tokens: int64 `[sum of lengths]`, places in `VOCABULARY`.
        lengths: int64 `[B]`, the number of tokens of each sentence.
        labels: int64 `[B]`, 0 to 9; or `FILLER` for a sentence that has no loss.
    """

    tokens: Tensor
    lengths: Tensor
    labels: Tensor


def check_batch(batch: Any) -> None:
    """Whole numbers of one axis each, and as many labels as lengths."""
    if not isinstance(batch, Batch):
        raise TypeError(f"batch: expected a Batch, such as split[:10], got {type(batch).__name__}")
    for name, tensor in batch._asdict().items():
        if not isinstance(tensor, Tensor) or tensor.dtype != torch.int64:
            got = str(tensor.dtype) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"batch: expected {name} in a tensor of int64, got {got}")
        if tensor.dim() != 1:
            raise ValueError(f"batch: expected {name} of one axis, got shape {tuple(tensor.shape)}")
    if len(batch.labels) != len(batch.lengths):
        raise ValueError(
            f"batch: expected as many labels as lengths, {len(batch.lengths)}, got "
            f"{len(batch.labels)}"
        )


def filled(batch: Batch, parts: int) -> Batch:
    """Cut a batch in parts, filled up with sentences without a label until all have equal lengths.

    So one program serves all of them: its shapes depend on the lengths alone.

    Args:
        batch: sentences of one part after the other's.
        parts: how many there are, of equally many sentences.

    Returns:
        `tokens` and `labels` have an axis more, `[parts, …]`; `lengths`, which all share, are in
        falling order. Sentences of one length keep their order, and come before the fillers.

    Example:
        >>> tokens, labels = torch.tensor([7, 5, 10, 3, 5, 14, 2]), torch.tensor([7, 5, 3, 2])
        >>> both = filled(Batch(tokens, torch.tensor([1, 1, 4, 1]), labels), 2)
        >>> both.lengths.tolist(), both.labels.tolist()
        ([4, 1, 1], [[-100, 7, 5], [3, 2, -100]])
    """
    lengths, labels = (x.view(parts, -1) for x in (batch.lengths, batch.labels))
    device = lengths.device
    kinds = torch.arange(int(lengths.max()), 0, -1, device=device)
    counts = (lengths.unsqueeze(-1) == kinds).sum(1).amax(0)
    common = kinds.repeat_interleave(counts)
    # A sentence stands behind the longer ones, and those of its length that were before it.
    before = (lengths.unsqueeze(-1) == lengths.unsqueeze(1)).tril(-1).sum(-1)
    place = (counts.cumsum(0) - counts)[len(kinds) - lengths] + before
    filled_labels = labels.new_full((parts, len(common)), FILLER).scatter(1, place, labels)
    # The same for each token: where its sentence starts, and how many of it were before.
    tokens, flat = batch.tokens, batch.lengths
    size, starts = int(common.sum()), common.cumsum(0) - common
    rows = torch.arange(parts, device=device).unsqueeze(-1)
    new = (rows * size + starts[place]).flatten()
    old = flat.cumsum(0) - flat
    at = (new - old).repeat_interleave(flat) + torch.arange(len(tokens), device=device)
    filled_tokens = tokens.new_zeros(parts * size).scatter(0, at, tokens)
    return Batch(filled_tokens.view(-1, size), common, filled_labels)


class Split:
    """Examples to train on, to validate or to test; indexed, it gives batches.

    Args:
        examples: in their order.
        name: what they are, for a reader.

    Attributes:
        examples: tuple of `Example`.
        name: as given.
        everything: all examples as one `Batch`.

    Example:
        >>> split = Split([Example((7,), 7), Example((10, 3, 5, 14), 3)], "two examples")
        >>> split[torch.tensor([1, 0])].tokens
        tensor([10,  3,  5, 14,  7])
        >>> len(split.up_to(3))
        1
    """

    def __init__(self, examples: Sequence[Example], name: str) -> None:
        check_kind(examples, Sequence, "examples")
        for example in examples:
            check_kind(example, Example, "examples")
        self.examples, self.name = tuple(examples), name
        tokens = list(chain.from_iterable(example.tokens for example in self.examples))
        lengths = [len(example.tokens) for example in self.examples]
        labels = [example.label for example in self.examples]
        self.everything = Batch(
            *(torch.tensor(x, dtype=torch.int64, device="cpu") for x in (tokens, lengths, labels))
        )
        self._starts = self.everything.lengths.cumsum(0) - self.everything.lengths

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Tensor | slice) -> Batch:
        """The batch of the examples with these indices, in this order."""
        if not isinstance(index, (Tensor, slice)):
            raise TypeError(f"index: expected a tensor or a slice, got {type(index).__name__}")
        lengths = self.everything.lengths[index]
        # Where a token lies in `everything` less where it lies in the batch.
        shift = self._starts[index] - (lengths.cumsum(0) - lengths)
        places = torch.repeat_interleave(shift, lengths)
        places += torch.arange(len(places), device=places.device)
        return Batch(self.everything.tokens[places], lengths, self.everything.labels[index])

    def up_to(self, length: int) -> Split:
        """Those of at most `length` tokens: the paper's L ≤ 10, 25 or 50.

        Raises:
            TypeError, ValueError: if `length` has the wrong type or range, or there is none.
        """
        length = check_count(length, "length")
        examples = [example for example in self.examples if len(example.tokens) <= length]
        if not examples:
            raise ValueError(f"length: no example of {self.name} has at most {length} tokens")
        return Split(examples, f"{self.name}, L ≤ {length}")


@dataclass(frozen=True)
class ListOps:
    """Examples to train on, to validate and to test; unpacks into the three.

    Attributes:
        train, valid, test: each a `Split`.
        name: which set this is.
    """

    train: Split
    valid: Split
    test: Split
    name: str

    def __iter__(self) -> Iterator[Split]:
        return iter((self.train, self.valid, self.test))

    def up_to(self, length: int) -> ListOps:
        """The examples of at most `length` tokens of each split."""
        train, valid, test = (split.up_to(length) for split in self)
        return ListOps(train, valid, test, f"{self.name}, L ≤ {length}")

    @property
    def description(self) -> str:
        """The name and the sizes, for a reader."""
        train, valid, test = (f"{len(split):,}" for split in self)
        longest = max(int(split.everything.lengths.max()) for split in self)
        return (
            f"{self.name}: {train} expressions to train on, {valid} to validate, {test} to test, "
            f"of up to {longest} tokens"
        )


def load_published(*, progress: bool = True) -> ListOps:
    """Load the published set, downloading what is not there yet (28 MB).

    The published training file has 90,000 examples. A ninth of them, drawn with a fixed seed, is
    kept to validate.

    Args:
        progress: show a progress bar for each file that is downloaded.

    Returns:
        80,000 training, 10,000 validation and 10,000 test examples.

    Raises:
        DataError: when a file can neither be found nor downloaded and stored.

    Example:
        >>> train, valid, test = load_published()  # doctest: +SKIP

    Source: Nangia & Bowman (2018).
    """
    train, test = (read_examples(path) for path in fetch_listops(progress=progress))
    order = torch.randperm(
        len(train), generator=torch.Generator("cpu").manual_seed(2018), device="cpu"
    ).tolist()
    shuffled = [train[i] for i in order]
    return _listops(shuffled, len(train) // 9, test, "ListOps, published")


def fetch_listops(*, progress: bool = True) -> list[Path]:
    """Make sure that the two published files are there, and right.

    Args:
        progress: show a progress bar for each file that is downloaded.

    Returns:
        The paths of the training and the test set.

    Raises:
        DataError: when a file can neither be found nor downloaded and stored.

    Example:
        >>> train, test = fetch_listops()  # doctest: +SKIP
    """
    return fetch(_files(), otherwise=_OTHERWISE, progress=progress)


def load_published_test() -> Split | None:
    """Load the published test set if it is already there; nothing is downloaded.

    Returns:
        Its 10,000 examples; None where it is not there, or, with a `UserWarning`, where what is
        there is not that file or cannot be read.

    Example:
        >>> test = load_published_test()  # doctest: +SKIP
    """
    test = _files()[-1]
    if not are_there([test], otherwise="It is left out"):
        return None
    return Split(read_examples(test.path), "published test set")


def load_generated() -> ListOps:
    """Draw 80,000 examples of at most 50 tokens, always the same; nothing is downloaded.

    Of the 100,000 published examples about as many have at most 50 tokens, so the expressions of
    each length have the published share. No expression occurs twice, in one split or in two.

    Returns:
        64,000 training, 8,000 validation and 8,000 test examples.

    Example:
        >>> print(load_generated().test.examples[0])
        [MIN 3 0 3 ]

    Source: Nangia & Bowman (2018) for the rules.
    """
    examples = generate(80_000, max_length=50, generator=torch.Generator().manual_seed(2018))
    return _listops(examples[8_000:], 8_000, examples[:8_000], "ListOps, generated")


def load_listops(full: bool | None = None) -> ListOps:
    """Load the published set or the generated one; `.description` says which.

    Args:
        full: True downloads the published set unless it is there; False takes the generated one;
            None takes the published set if it is already there, else the generated one.

    Returns:
        The examples.

    Raises:
        DataError: when the set asked for cannot be had.

    Example:
        >>> load_listops(full=False).name  # doctest: +SKIP
        'ListOps, generated'
    """
    there = full is None and are_there(_files(), otherwise="The generated set is used")
    return load_published() if full or there else load_generated()


def _listops(
    train: Sequence[Example], num_valid: int, test: Sequence[Example], name: str
) -> ListOps:
    return ListOps(
        Split(train[num_valid:], "training set"),
        Split(train[:num_valid], "validation set"),
        Split(test, "test set"),
        name,
    )


def _files() -> list[File]:
    return [File(f"listops_{name}", BASE_URL + name, known) for name, known in HASHES.items()]
