"""What a check run says of the columns of a lineage, gathered where the columns document is decoded."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TypeVar

import msgspec

MAX_LISTED = 10
"""Reasons, and hard-coded tables."""
MAX_EXAMPLES = 3
"""Of the unique_ids for each of them."""

Key = TypeVar("Key", str, tuple[str, str])


class NotExact(msgspec.Struct, frozen=True):
    """The models and snapshots that are not exact for the same reason. `unique_ids` are the first ones of `count`."""

    status: str
    reason: str
    count: int
    unique_ids: tuple[str, ...]


class HardCodedTable(msgspec.Struct, frozen=True):
    """A table that SQL names and dbt's graph does not have. `unique_ids` are the first ones of the `count` nodes that name it."""

    name: str
    count: int
    unique_ids: tuple[str, ...]


class ColumnsOverview(msgspec.Struct, frozen=True):
    """The most frequent ones of both. `reasons` and `tables` count all."""

    not_exact: tuple[NotExact, ...] = ()
    reasons: int = 0
    hard_coded: tuple[HardCodedTable, ...] = ()
    tables: int = 0


class OverviewBuilder:
    """Gathers an overview node by node."""

    def __init__(self) -> None:
        self._reasons: dict[tuple[str, str], list[str]] = {}
        self._tables: dict[str, list[str]] = {}

    def add(self, unique_id: str, status: str, content: bytes) -> None:
        """Add a node, with its `ColumnContent` as JSON."""
        known = _CONTENT.decode(content)
        if status != "exact":
            self._reasons.setdefault((status, known.reason or ""), []).append(unique_id)
        for name in set(known.hard_coded):
            self._tables.setdefault(name, []).append(unique_id)

    def finish(self) -> ColumnsOverview:
        """The overview."""
        return ColumnsOverview(
            tuple(NotExact(*why, len(nodes), _first(nodes)) for why, nodes in _most_frequent(self._reasons.items())),
            len(self._reasons),
            tuple(HardCodedTable(name, len(nodes), _first(nodes)) for name, nodes in _most_frequent(self._tables.items())),
            len(self._tables),
        )


class _Content(msgspec.Struct):
    reason: str | None = None
    hard_coded: tuple[str, ...] = ()


_CONTENT = msgspec.json.Decoder(_Content)


def _most_frequent(groups: Iterable[tuple[Key, list[str]]]) -> list[tuple[Key, list[str]]]:
    return heapq.nsmallest(MAX_LISTED, groups, key=lambda group: (-len(group[1]), group[0]))


def _first(unique_ids: list[str]) -> tuple[str, ...]:
    return tuple(heapq.nsmallest(MAX_EXAMPLES, unique_ids))
