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
    parse_line,
    read_examples,
)

__all__ = [
    "VOCABULARY",
    "Batch",
    "DataError",
    "Example",
    "ListOps",
    "Split",
    "evaluate",
    "format_line",
    "generate",
    "load_generated",
    "load_listops",
    "load_published",
    "parse_line",
    "read_examples",
    "trees",
]
