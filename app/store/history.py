"""The end of history: what is too old, and what has been hidden for too long, is deleted a little at a time.

Every step is a transaction of its own that holds one connection, so it can be cut short anywhere, and whatever is used at the moment is
passed over until the next time. https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.records import Forgotten
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("history")
CONNECTIONS_AT_ONCE = 100
ROWS_AT_ONCE = 1000
"""Rows of one table that one transaction deletes."""
LINEAGES_AT_ONCE = 500
"""Lineages whose nodes are read by one statement."""
KEPT = 20
"""Extractions that each connection keeps, however old."""
FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Unreferenced:
    """Nodes of a connection by id, seen after `removed` of its lineages went, by whoever came before the transaction `since`."""

    ids: list[int]
    removed: int
    since: str


class History:
    """What is kept of extractions, lineages and nodes."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def forget(self, age: timedelta, after: str | None) -> Forgotten:
        """Delete what ended longer ago than `age` of the next connections, which are those behind `after`; None begins."""
        found = await self._db.rows(SQL["next_connections"], UUID(after) if after else FIRST, CONNECTIONS_AT_ONCE, age, KEPT)
        extractions = nodes = 0
        for row in found:
            if row["old"]:
                extractions += await self._forget(row["id"], age)
            if (row["old"] or row["removed"]) and await self._db.value(SQL["worth_sweeping"], row["id"]):
                nodes += await self.sweep(row["id"])
        last = str(found[-1]["id"]) if len(found) == CONNECTIONS_AT_ONCE else None
        return Forgotten(last, extractions, nodes)

    async def _forget(self, connection_id: UUID, age: timedelta) -> int:
        deleted, more = 0, True
        while more:
            count = 0
            async with self._db.transaction() as tx:
                if await tx.value(SQL["lock_connection"], connection_id):
                    count = await tx.value(SQL["forget"], connection_id, age, KEPT, ROWS_AT_ONCE)
            deleted, more = deleted + count, count == ROWS_AT_ONCE
        return deleted

    async def sweep(self, connection_id: UUID) -> int:
        """Delete the nodes of a connection that no lineage refers to; return how many."""
        return await self.delete(connection_id, await self.unreferenced(connection_id))

    async def unreferenced(self, connection_id: UUID) -> Unreferenced:
        """Return the nodes of a connection that no lineage refers to now. Nothing is locked: it may take seconds."""
        row = await self._db.row(SQL["nodes_of"], connection_id)
        if row is None:
            return Unreferenced([], 0, "0")
        left = set(row["ids"])
        after: str | None = ""
        while left and after is not None:
            step = await self._db.row(SQL["used_by"], connection_id, after, LINEAGES_AT_ONCE)
            after = step["last"] if step else None
            left.difference_update(step["ids"] if step else ())
        return Unreferenced(sorted(left), row["removed"], row["since"])

    async def delete(self, connection_id: UUID, found: Unreferenced) -> int:
        """Delete those of them that no lineage refers to that was stored since; return how many."""
        deleted = 0
        for start in range(0, len(found.ids) + 1, ROWS_AT_ONCE):
            async with self._db.transaction() as tx:
                if not await tx.value(SQL["lock_connection"], connection_id):
                    return deleted
                deleted += await tx.execute(SQL["sweep"], connection_id, found.ids[start : start + ROWS_AT_ONCE], found.since)
                if start + ROWS_AT_ONCE > len(found.ids):
                    await tx.execute(SQL["swept"], connection_id, found.removed)
        return deleted

    async def purge(self, grace: timedelta) -> None:
        """Delete the connections that have been hidden for longer than `grace`, with all that belongs to them."""
        after: UUID | None = FIRST
        while after:
            found = await self._db.rows(SQL["gone_connections"], grace, after, CONNECTIONS_AT_ONCE)
            for row in found:
                while await self._purge(row["id"], grace):
                    pass
            after = found[-1]["id"] if found else None

    async def _purge(self, connection_id: UUID, grace: timedelta) -> bool:
        """Take one step; True when there is another one. Lineages go first: no reader ever finds one whose nodes are gone."""
        async with self._db.transaction() as tx:
            if not await tx.value(SQL["lock_gone"], connection_id, grace):
                return False
            for step in ("purge_lineages", "purge_extractions", "purge_nodes"):
                if await tx.execute(SQL[step], connection_id, ROWS_AT_ONCE) == ROWS_AT_ONCE:
                    return True
            await tx.execute(SQL["purge_connection"], connection_id)
        return False
