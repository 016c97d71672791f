"""The hand set of `hand.sql`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.accuracy.truth import Edge

FILE = Path(__file__).with_name("hand.sql")
KINDS = {
    "I": "IDENTITY",
    "T": "TRANSFORMATION",
    "A": "AGGREGATION",
    "J": "JOIN",
    "G": "GROUP_BY",
    "F": "FILTER",
    "S": "SORT",
    "W": "WINDOW",
    "C": "CONDITIONAL",
}


class Written(NamedTuple):
    """A query and the edges written beside it."""

    name: str
    sql: str
    columns: tuple[str, ...]
    edges: frozenset[Edge]


def hand_set() -> list[Written]:
    """All of them."""
    return [_read(block) for block in FILE.read_text().split("\n== ")[1:]]


def _read(block: str) -> Written:
    name, *lines = block.strip().splitlines()
    said = [line.partition(":")[::2] for line in lines[:-1]]
    edges = {edge for column, text in said for edge in _edges(column, text)}
    return Written(name, lines[-1], tuple(column for column, _ in said if column != "rows"), frozenset(edges))


def _edges(column: str, text: str) -> list[Edge]:
    pairs = [item.split() for item in text.split(",") if item.strip()]
    return [Edge(leaf.split(".")[0], leaf.split(".")[1], None if column == "rows" else column.lower(), KINDS[kind]) for leaf, kind in pairs]
