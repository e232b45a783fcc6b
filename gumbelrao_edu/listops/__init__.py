"""Unsupervised parsing on ListOps (section 5.3)."""

from .._download import DataError
from . import trees
from .data import (
    VOCABULARY,
    Batch,
    Example,
    ListOps,
    Split,
    evaluate,
    format_line,
    generate,
    load_generated,
    load_listops,
    load_published,
    load_published_test,
    parse_line,
    read,
    read_examples,
)
from .model import Parse, TreeLSTM, greedy, spans_of
from .objective import losses
from .scores import Scores, Seen, accuracy, score

__all__ = [
    "VOCABULARY",
    "Batch",
    "DataError",
    "Example",
    "ListOps",
    "Parse",
    "Scores",
    "Seen",
    "Split",
    "TreeLSTM",
    "accuracy",
    "evaluate",
    "format_line",
    "generate",
    "greedy",
    "load_generated",
    "load_listops",
    "load_published",
    "load_published_test",
    "losses",
    "parse_line",
    "read",
    "read_examples",
    "score",
    "spans_of",
    "trees",
]
