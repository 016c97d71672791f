"""What the impact of a change is computed of: the nodes of two lineages that differ, read in steps that do not block the event loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from app.lineage.graph import Graph
from app.lineage.impact.versions import ImpactPair, ImpactVersion
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("impact_reads")
STEP_PAIRS, STEP_BYTES = 200, 16 << 20
STEP_DEFINITIONS = 1000
STEP_CODES = 100
MAX_DEFINITIONS_BYTES, MAX_CODES_BYTES = 64 << 20, 32 << 20
"""Of all definitions, and of all compiled code, that are kept at the same time."""

Key = tuple[int, datetime]


@dataclass(frozen=True, slots=True)
class DifferingNode:
    """The ids of the rows that are in only one of two lineages."""

    unique_id: str
    base: int | None
    head: int | None
    base_columns: int | None
    head_columns: int | None
    size_bytes: int
    """Of these rows, apart from what the API shows of nodes."""


class ImpactReads:
    """Reads from two lineages, by their ids and the times of their extraction."""

    def __init__(self, db: Database, base: Key, head: Key, graph: Graph) -> None:
        """`graph`: of the head."""
        self._db, self._base, self._head, self._graph = db, base, head, graph

    async def differing(self, *, with_columns: bool) -> list[DifferingNode]:
        """All nodes that differ, sorted by unique_id."""
        rows = await self._db.rows(SQL["differing"], *self._base, *self._head, with_columns)
        return [DifferingNode(**dict(row.items())) for row in rows]

    async def pairs(self, differing: Sequence[DifferingNode]) -> list[ImpactPair]:
        """Both versions of these nodes."""
        ids = [one for node in differing for one in (node.base, node.head) if one is not None]
        nodes = {row["id"]: row for row in await self._db.rows(SQL["nodes"], ids)}
        same = [node.unique_id for node in differing if node.base is None and node.head is None]
        rows = {row["unique_id"]: row for row in await self._at(same)}
        column_ids = [one for node in differing for one in (node.base_columns, node.head_columns) if one is not None]
        columns = {row["id"]: row for row in await self._db.rows(SQL["columns"], column_ids)}
        return [
            ImpactPair(
                _version(nodes.get(node.base, rows.get(node.unique_id)), columns.get(node.base_columns)),
                _version(nodes.get(node.head, rows.get(node.unique_id)), columns.get(node.head_columns)),
                same_columns=node.base_columns is None and node.head_columns is None,
            )
            for node in differing
        ]

    async def codes(self, differing: Sequence[DifferingNode], max_bytes: int) -> dict[str, tuple[str | None, str | None]]:
        """The compiled code of both versions, by unique_id at the head; None if there is none, it is longer, or there is too much of it."""
        found: dict[int | None, str] = {}
        for first in range(0, len(differing), STEP_CODES):
            if sum(map(len, found.values())) > MAX_CODES_BYTES:
                break
            nodes = differing[first : first + STEP_CODES]
            ids = [one for node in nodes for one in (node.base_columns, node.head_columns) if one is not None]
            found |= {row["id"]: row["compiled_code"].decode() for row in await self._db.rows(SQL["codes"], ids, max_bytes)}
        return {node.unique_id: (found.get(node.base_columns), found.get(node.head_columns)) for node in differing}

    async def definitions(self, positions: Sequence[int]) -> dict[str, bytes | None]:
        """The definitions of nodes of the head at these positions, as long as they fit into memory."""
        found: dict[str, bytes | None] = {}
        size = 0
        for first in range(0, len(positions), STEP_DEFINITIONS):
            if size > MAX_DEFINITIONS_BYTES:
                break
            for row in await self._rows_at(positions[first : first + STEP_DEFINITIONS]):
                found[row["unique_id"]] = row["definition"]
                size += len(row["definition"] or b"")
        return found

    async def _at(self, unique_ids: Sequence[str]) -> list[asyncpg.Record]:
        positions = (self._graph.position(unique_id) for unique_id in unique_ids)
        return await self._rows_at([position for position in positions if position is not None])

    async def _rows_at(self, positions: Sequence[int]) -> list[asyncpg.Record]:
        if not positions:
            return []
        return await self._db.rows(SQL["at_positions"], *self._head, [position + 1 for position in positions])


def steps(differing: Sequence[DifferingNode]) -> Iterator[Sequence[DifferingNode]]:
    """Nodes that are read at a time: not too many, and not too big together."""
    first, size = 0, 0
    for place, node in enumerate(differing):
        if place > first and (place - first == STEP_PAIRS or size + node.size_bytes > STEP_BYTES):
            yield differing[first:place]
            first, size = place, 0
        size += node.size_bytes
    if differing:
        yield differing[first:]


def _version(node: asyncpg.Record | None, columns: asyncpg.Record | None) -> ImpactVersion | None:
    if node is None:
        return None
    traced = (None, None, None) if columns is None else (columns["status"], columns["content"], columns["code_hash"])
    return ImpactVersion(node["unique_id"], node["content"], node["upstream"], node["definition"], node["sql_hash"], *traced)
