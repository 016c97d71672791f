"""What dbt logged: the last log of each extraction, compressed."""

from __future__ import annotations

import asyncio
import zlib
from uuid import UUID

from app.jobs import Log
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("logs")
LEVEL = 3
"""Of zlib: a log of 1 MiB takes 10 ms, and a tenth of the room."""


class Logs:
    """Logs by the extraction that they are of."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def keep(self, extraction_id: str, number: int, text: str) -> None:
        """Keep the log of a try, in place of what an earlier one logged. It has been redacted."""
        content = text.encode()
        packed = await asyncio.to_thread(zlib.compress, content, LEVEL)
        await self._db.execute(SQL["keep"], UUID(extraction_id), number, len(content), packed)

    async def of(self, extraction_id: str) -> Log | None:
        """Return the log of the last try that came to run dbt, None when there is none."""
        row = await self._db.row(SQL["of_extraction"], UUID(extraction_id))
        if row is None:
            return None
        return Log(row["try"], await asyncio.to_thread(zlib.decompress, row["content"], bufsize=row["size_bytes"] + 1))
