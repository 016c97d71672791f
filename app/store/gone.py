"""What is gone for good: whichever process deleted it, every host has to forget what it keeps of it."""

from __future__ import annotations

from collections.abc import Sequence

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("gone")


async def of(db: Database, repositories: Sequence[int], installations: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return those of the ids that the database does not know (any more). Raises DatabaseUnavailableError."""
    no_repository = await db.rows(SQL["repositories"], list(repositories))
    no_installation = await db.rows(SQL["installations"], list(installations))
    return [row["id"] for row in no_repository], [row["id"] for row in no_installation]
