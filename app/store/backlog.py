"""How much waits: for an operator to see whether the hosts keep up."""

from __future__ import annotations

from app.records import Backlog
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("backlog")
COUNTED = 10_000


async def read(db: Database) -> Backlog:
    """Return what waits in all processes that share the database. Raises DatabaseUnavailableError."""
    row = await db.row(SQL["backlog"], COUNTED)
    assert row is not None  # noqa: S101 - a SELECT without FROM gives a row
    queued_s, check_runs_due_s = (max(row[name] or 0.0, 0.0) for name in ("queued_s", "check_runs_due_s"))
    return Backlog(row["queued"], row["running"], queued_s, row["check_runs_due"], check_runs_due_s)
