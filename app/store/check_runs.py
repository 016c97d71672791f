"""The outbox of check runs: which of them GitHub does not show as they are."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from app.records import CheckRunDue
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("check_runs")


class CheckRuns:
    """Check runs by the extraction that they tell of."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim(self) -> CheckRunDue | None:
        """Take the next check run that is due."""
        row = await self._db.row(SQL["claim"])
        if row is None:
            return None
        return CheckRunDue(str(row["extraction_id"]), row["github_id"], row["revision"], row["in_doubt"], row["attempts"])

    async def release(self, extraction_id: str) -> None:
        """Let somebody else take it soon: we stop."""
        await self._db.execute(SQL["release"], UUID(extraction_id))

    async def doubt(self, extraction_id: str) -> None:
        """Note that something is under way that must not be done twice: without an answer it may have happened or not."""
        await self._db.execute(SQL["doubt"], UUID(extraction_id))

    async def created(self, extraction_id: str, github_id: int) -> None:
        """Note GitHub's id."""
        await self._db.execute(SQL["created"], UUID(extraction_id), github_id)

    async def sent(self, extraction_id: str, revision: int) -> None:
        """Note what GitHub now shows."""
        await self._db.execute(SQL["sent"], UUID(extraction_id), revision)

    async def postpone(self, extraction_id: str, delay: timedelta) -> None:
        """Try again later."""
        await self._db.execute(SQL["postpone"], UUID(extraction_id), delay)

    async def abandon(self, extraction_id: str, why: str) -> None:
        """Give up: GitHub will never hear of it."""
        await self._db.execute(SQL["abandon"], UUID(extraction_id), why)

    async def hold(self, installation_id: int, delay: timedelta) -> None:
        """Let everything that is due for an installation wait: GitHub asked for it."""
        await self._db.execute(SQL["hold"], installation_id, delay)

    async def next_due_s(self) -> float | None:
        """Return the seconds until one is due, None when none is."""
        seconds = await self._db.value(SQL["next_due"])
        return None if seconds is None else float(seconds)
