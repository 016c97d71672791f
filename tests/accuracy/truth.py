"""Dependences as the construction knows them: plain sets of (leaf, kind), no sharing and no cleverness.

A leaf is a column of a base table. The rules are written down once more here, apart from the engine's own, so that both can be wrong
only in different ways: a value that is used with a kind takes the stronger of both; a condition stays what it is, or takes the
kind of the clause that it is used in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

IDENTITY, TRANSFORMATION, AGGREGATION = "IDENTITY", "TRANSFORMATION", "AGGREGATION"
JOIN, GROUP_BY, FILTER, SORT, WINDOW, CONDITIONAL = "JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL"
DIRECT = (IDENTITY, TRANSFORMATION, AGGREGATION)
"""By strength: a value that is summed and then taken as it is remains an aggregation."""

Leaf = tuple[str, str]
Value = frozenset[tuple[Leaf, str]]
NOTHING: Value = frozenset()


class Edge(NamedTuple):
    """`column` is None where all rows depend."""

    upstream: str
    upstream_column: str
    column: str | None
    subtype: str


def used(value: Value, kind: str) -> Value:
    """The dependences of who uses a value with `kind`."""
    if kind not in DIRECT:
        return frozenset((leaf, kind) for leaf, _ in value)
    return frozenset((leaf, max(own, kind, key=DIRECT.index) if own in DIRECT else own) for leaf, own in value)


def both(*values: Value) -> Value:
    """All dependences of several values."""
    return frozenset().union(*values)


def changed(*values: Value) -> Value:
    """The dependences of an expression over values."""
    return used(both(*values), TRANSFORMATION)


def edges(value: Value, column: str | None) -> Iterable[Edge]:
    """One edge for each leaf and kind; of the direct kinds the strongest only."""
    strongest: dict[Leaf, str] = {}
    for (table, name), kind in value:
        if kind in DIRECT:
            leaf = (table, name)
            strongest[leaf] = max(strongest.get(leaf, kind), kind, key=DIRECT.index)
        else:
            yield Edge(table, name, column, kind)
    for (table, name), kind in strongest.items():
        yield Edge(table, name, column, kind)
