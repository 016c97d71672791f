"""Keeps what nodes are found by in step with the current lineages, a moment behind them. Readers: `search`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from app.lineage.search.entries import SearchEntry, entry, traced_names
from app.store import rows
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("search_index")
MAX_NODES = 100_000
"""Nodes of one connection that are found; further ones, by unique_id, are not."""
MAX_CONTENT_BYTES = 256 << 10
"""Of the content of a node, or of its columns. Of longer ones, only the name is known."""
STEP_NODES, READ_NODES = 1000, 100
"""Nodes that one transaction replaces, and that are read at a time."""


@dataclass(frozen=True, slots=True)
class SearchUpdate:
    """A connection whose words are behind its lineage; `due_at` tells whether that changes meanwhile."""

    connection_id: str
    due_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class _Work:
    """What one step does."""

    gone: Sequence[int]
    nodes: Sequence[tuple[int, int | None]]
    """Ids, with those of their columns."""
    is_last: bool


class SearchIndex:
    """Words by connection."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim(self, lease: timedelta) -> SearchUpdate | None:
        """Claim the connection whose lineage changed last."""
        row = await self._db.row(SQL["claim"], lease)
        return None if row is None else SearchUpdate(str(row["connection_id"]), row["due_at"], row["attempts"])

    async def finish(self, update: SearchUpdate) -> None:
        """The words are those of the lineage, unless it changed since the claim."""
        if await self._db.value(SQL["finish"], UUID(update.connection_id), update.due_at) is None:
            await self._db.execute(SQL["release"], UUID(update.connection_id))

    async def release(self, update: SearchUpdate) -> None:
        """Hand a claim back: there is more to do."""
        await self._db.execute(SQL["release"], UUID(update.connection_id))

    async def postpone(self, update: SearchUpdate, delay: timedelta) -> None:
        """Hand a claim back after an error, for later unless the lineage changed since."""
        await self._db.execute(SQL["postpone"], UUID(update.connection_id), update.due_at, delay)

    async def seconds_until_due(self) -> float | None:
        """None: nothing is waiting."""
        found: float | None = await self._db.value(SQL["seconds_until_due"])
        return found

    async def update(self, connection_id: str) -> bool:
        """Take one step towards the words of the current lineage; True if there are more. Only what differs is read and written."""
        key = UUID(connection_id)
        work = await self._work(key)
        if work.gone or work.nodes:
            entries = await self._entries(work.nodes)
            async with self._db.transaction() as tx:
                if await tx.value(SQL["lock_connection"], key) is None:
                    return False
                columns = [found.columns_id for found in entries]
                hits, words = [found.entry.hit for found in entries], [" ".join(found.entry.words) for found in entries]
                await tx.execute(SQL["replace"], key, work.gone, [found.node_id for found in entries], columns, hits, words)
                if work.is_last:
                    await tx.execute(SQL["forget_words"], key)
        return not work.is_last

    async def _work(self, key: UUID) -> _Work:
        row = await self._db.row(SQL["differences"], key, MAX_NODES)
        if row is None:
            return _Work((), (), is_last=True)
        of_columns = await self._db.rows(SQL["nodes_with_columns"], key, MAX_NODES, row["columns"]) if row["columns"] else []
        nodes: dict[int, int | None] = dict.fromkeys((*row["come"], *row["stale"]))
        nodes.update((one["id"], one["columns_id"]) for one in of_columns)
        is_last = max(len(nodes), len(row["gone"])) <= STEP_NODES
        return _Work(row["gone"][:STEP_NODES], list(nodes.items())[:STEP_NODES], is_last)

    async def _entries(self, nodes: Sequence[tuple[int, int | None]]) -> list[_Indexed]:
        found: list[_Indexed] = []
        for start in range(0, len(nodes), READ_NODES):
            ids, columns = zip(*nodes[start : start + READ_NODES], strict=True)
            read = await self._db.rows(SQL["contents"], ids, columns, MAX_CONTENT_BYTES)
            found += await asyncio.to_thread(_indexed, read)
        return found


@dataclass(frozen=True, slots=True)
class _Indexed:
    node_id: int
    columns_id: int | None
    entry: SearchEntry


def _indexed(read: Sequence[asyncpg.Record]) -> list[_Indexed]:
    return [_of(row) for row in read]


def _of(row: asyncpg.Record) -> _Indexed:
    return _Indexed(row["id"], row["columns_id"], entry(rows.searched_node(row), row["id"], traced_names(row["columns"])))
