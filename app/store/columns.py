"""The columns of a lineage's nodes, each stored once per content. They come after the lineage: see `LineageHead.columns_state`.

A lineage that waits for them is `pending` until `save`, `fail` or the end of its extraction, whatever ends it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.core.models.extractions import Extraction
from app.lineage.column_document import NODE_COLUMNS_COLUMNS, StorableColumns
from app.lineage.nodes import HASH_BYTES
from app.store.contents import add_missing
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("columns")
STEP_NODES = 1000
"""Rows read at a time, in a few milliseconds of the event loop."""

MAX_CODE_BYTES = 128 << 10
"""Of the compiled code of one node, where that of many is read."""


@dataclass(frozen=True, slots=True)
class StoredColumns:
    """The columns of one node."""

    unique_id: str
    status: str
    """`exact`, `approximate` or `unknown`."""
    content: bytes
    """A JSON object with the keys of `column_document.ColumnContent`."""


class Columns:
    """Columns by lineage."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def save(self, extraction: Extraction, columns: StorableColumns, input_hash: bytes) -> bool:
        """Store the columns of the extraction's lineage, with rows for new contents only. Call it in a transaction.

        From now on, other commits find the lineage by its input. False: another extraction has replaced it, or it was deleted.
        """
        key, hashes = UUID(extraction.connection_id), columns.hashes
        await self._db.execute(SQL["lock_connection"], key)
        missing = await self._db.value(SQL["missing"], key, hashes, HASH_BYTES)
        await add_missing(self._db, "node_columns", NODE_COLUMNS_COLUMNS, missing, key, columns)
        await self._db.execute(SQL["lock_extraction"], UUID(extraction.id))
        return await self._db.execute(SQL["save"], UUID(extraction.id), key, hashes, HASH_BYTES, input_hash) == 1

    async def fail(self, extraction: Extraction, reason: str, input_hash: bytes | None) -> None:
        """Say why the extraction's lineage has no columns. Call it in a transaction.

        `input_hash`: of the lineage, if other commits with the same input would get none either; None: they should try again.
        """
        await self._db.execute(SQL["lock_extraction"], UUID(extraction.id))
        await self._db.execute(SQL["fail"], UUID(extraction.id), reason, input_hash)

    async def of(self, lineage_id: int) -> list[StoredColumns]:
        """Return the columns of all nodes, sorted by unique_id; none unless `columns_state` is `ready`."""
        found: list[StoredColumns] = []
        first = 1
        while rows := await self._db.rows(SQL["of_lineage"], lineage_id, first, first + STEP_NODES - 1):
            found += map(_stored, rows)
            first += STEP_NODES
        return found

    async def one(self, lineage_id: int, unique_id: str) -> tuple[StoredColumns, bytes | None] | None:
        """Return the columns of one node and its compiled code (in UTF-8; None if there is none); None if they are not stored."""
        row = await self._db.row(SQL["one"], lineage_id, unique_id)
        return None if row is None else (_stored(row), row["compiled_code"])

    async def compiled(self, lineage_id: int, unique_ids: Collection[str]) -> dict[str, str]:
        """Return the compiled code of nodes, where it is surely what dbt would run and has at most `MAX_CODE_BYTES`."""
        rows = await self._db.rows(SQL["compiled"], lineage_id, unique_ids, MAX_CODE_BYTES)
        return {row["unique_id"]: row["compiled_code"].decode() for row in rows}


def _stored(row: asyncpg.Record) -> StoredColumns:
    return StoredColumns(row["unique_id"], row["status"], row["content"])
