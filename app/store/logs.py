"""dbt's logs, compressed: the last one of each extraction."""

from __future__ import annotations

import asyncio
import zlib
from uuid import UUID

from app.core.models.extractions import AttemptLog
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("logs")
LEVEL = 3
"""zlib's level: a log of 1 MiB takes 10 ms, and shrinks to a tenth."""


class Logs:
    """Logs by the id of their extraction."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def save(self, extraction_id: str, number: int, text: str) -> None:
        """Store the redacted log of an attempt, in place of an earlier one."""
        content = text.encode()
        packed = await asyncio.to_thread(zlib.compress, content, LEVEL)
        await self._db.execute(SQL["save"], UUID(extraction_id), number, len(content), packed)

    async def get(self, extraction_id: str) -> AttemptLog | None:
        """Return the log of the last attempt that ran dbt."""
        row = await self._db.row(SQL["get"], UUID(extraction_id))
        if row is None:
            return None
        return AttemptLog(row["try"], await asyncio.to_thread(zlib.decompress, row["content"], bufsize=row["size_bytes"] + 1))
