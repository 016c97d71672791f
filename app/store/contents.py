"""Rows that are stored once per content, in a table that has a `hash` and belongs to connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Protocol
from uuid import UUID

from app.lineage import copy_format
from app.lineage.nodes import HASH_BYTES
from app.store.pool import Database


class HashedRows(Protocol):
    """Rows with their hashes: a `StorableLineage` or `StorableColumns`."""

    @property
    def hashes(self) -> bytes:
        """`HASH_BYTES` for each row."""

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        """The rows at these positions, each prefixed with `before`, in chunks. Iterate in a thread."""


async def add_missing(db: Database, table: str, columns: Sequence[str], places: Sequence[int], connection: UUID, of: HashedRows) -> None:
    """Insert the rows at these positions. `columns` are those of the rows; the connection comes before them."""
    if places:
        before = copy_format.row_start(len(columns) + 1) + copy_format.fields(connection.bytes)
        rows = of.rows(await asyncio.to_thread(_unique, of.hashes, places), before)
        await db.copy(table, ("connection_id", *columns), _copied(rows))


def _unique(hashes: bytes, places: Sequence[int]) -> list[int]:
    """One place per hash. Nodes that differ only in a NUL character, which PostgreSQL cannot store, have the same hash."""
    return list({hashes[HASH_BYTES * place : HASH_BYTES * (place + 1)]: place for place in places}.values())


async def _copied(rows: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield copy_format.HEADER
    # Rows are read from a file, or encoded.
    while chunk := await asyncio.to_thread(next, rows, b""):
        yield chunk
    yield copy_format.TRAILER
