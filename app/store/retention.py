"""Deletes old history, and what has been hidden for longer than the grace period, in small steps.

Each step is a transaction of its own on one connection, so it can be interrupted at any point. Rows that are locked are skipped until the
next time: https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("retention")
CONNECTIONS_AT_ONCE = 100
ROWS_AT_ONCE = 1000
"""Rows that one transaction deletes from one table."""
LINEAGES_AT_ONCE = 500
"""Lineages that one statement reads."""
KEPT = 20
"""The number of extractions that each connection keeps, regardless of age."""
FIRST = UUID(int=0)
Table = Literal["node_columns", "nodes"]
TABLES: tuple[Table, ...] = ("node_columns", "nodes")
"""What lineages refer to; nodes last, because deleted lineages are counted with them."""


PURGES = (
    *("purge_search_words", "purge_search_nodes", "purge_lineages", "purge_manifests", "purge_extractions"),
    *("purge_nodes", "purge_node_columns", "purge_node_results"),
)
"""What is deleted with a connection, in this order."""


@dataclass(frozen=True, slots=True)
class DeletedHistory:
    """The result of one step. The next one continues after the connection `after` (None: there are no more)."""

    after: str | None
    extractions: int
    nodes: int
    """Including their columns, which have rows of their own."""


@dataclass(frozen=True, slots=True)
class UnreferencedNodes:
    """The ids of nodes, or of their columns, to which no lineage refers. `removed`: lineages deleted since the last sweep.

    Lineages written by the transaction `since` or later ones were not considered.
    """

    table: Table
    ids: list[int]
    removed: int
    since: str


class Retention:
    """Deletes extractions, lineages, nodes with their columns, and connections."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def delete_history(self, age: timedelta, after: str | None) -> DeletedHistory:
        """Delete extractions that ended more than `age` ago, of the next connections after `after` (None: from the start)."""
        found = await self._db.rows(SQL["next_connections"], UUID(after) if after else FIRST, CONNECTIONS_AT_ONCE, age, KEPT)
        extractions = nodes = 0
        for row in found:
            if row["old"]:
                extractions += await self._forget(row["id"], age)
            if (row["old"] or row["removed"]) and await self._db.value(SQL["is_worth_sweeping"], row["id"]):
                nodes += await self.delete_unreferenced(row["id"])
        last = str(found[-1]["id"]) if len(found) == CONNECTIONS_AT_ONCE else None
        return DeletedHistory(last, extractions, nodes)

    async def _forget(self, connection_id: UUID, age: timedelta) -> int:
        deleted, more = 0, True
        while more:
            count = 0
            async with self._db.transaction() as tx:
                if await tx.value(SQL["lock_connection"], connection_id):
                    count = await tx.value(SQL["delete_history"], connection_id, age, KEPT, ROWS_AT_ONCE)
            deleted, more = deleted + count, count == ROWS_AT_ONCE
        await self._db.execute(SQL["delete_unused_manifests"], connection_id)
        return deleted

    async def delete_unreferenced(self, connection_id: UUID) -> int:
        """Delete the nodes and columns of a connection to which no lineage refers, and return how many."""
        return sum([await self.delete_nodes(connection_id, await self.find_unreferenced(connection_id, table)) for table in TABLES])

    async def find_unreferenced(self, connection_id: UUID, table: Table = "nodes") -> UnreferencedNodes:
        """Find the rows of a connection to which no lineage refers. This can take seconds, so nothing is locked."""
        row = await self._db.row(SQL[f"all_{table}"], connection_id)
        if row is None:
            return UnreferencedNodes(table, [], 0, "0")
        left = set(row["ids"])
        after: str | None = ""
        while left and after is not None:
            step = await self._db.row(SQL[f"referenced_{table}"], connection_id, after, LINEAGES_AT_ONCE)
            after = step["last"] if step else None
            left.difference_update(step["ids"] if step else ())
        return UnreferencedNodes(table, sorted(left), row["removed"], row["since"])

    async def delete_nodes(self, connection_id: UUID, found: UnreferencedNodes) -> int:
        """Delete rows found by `find_unreferenced`, unless a lineage stored since refers to them; return how many."""
        deleted = 0
        for start in range(0, len(found.ids) + 1, ROWS_AT_ONCE):
            async with self._db.transaction() as tx:
                if not await tx.value(SQL["lock_connection"], connection_id):
                    return deleted
                ids = found.ids[start : start + ROWS_AT_ONCE]
                deleted += await tx.execute(SQL[f"delete_{found.table}"], connection_id, ids, found.since)
                if start + ROWS_AT_ONCE > len(found.ids):
                    await tx.execute(SQL["count_swept_lineages"], connection_id, found.removed)
        return deleted

    async def missing(self, repositories: Sequence[int], installations: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return those ids that are not in the database any more, so that every host can delete their files."""
        no_repository = await self._db.rows(SQL["missing_repositories"], list(repositories))
        no_installation = await self._db.rows(SQL["missing_installations"], list(installations))
        return [row["id"] for row in no_repository], [row["id"] for row in no_installation]

    async def purge(self, grace: timedelta) -> None:
        """Delete connections that have been hidden for longer than `grace`, with everything that belongs to them."""
        after: UUID | None = FIRST
        while after:
            found = await self._db.rows(SQL["expired_connections"], grace, after, CONNECTIONS_AT_ONCE)
            for row in found:
                while await self._purge(row["id"], grace):
                    pass
            after = found[-1]["id"] if found else None

    async def _purge(self, connection_id: UUID, grace: timedelta) -> bool:
        """Take one step; True if there is another one. Lineages are deleted before nodes, so no reader finds one without its nodes."""
        async with self._db.transaction() as tx:
            if not await tx.value(SQL["lock_expired"], connection_id, grace):
                return False
            for step in PURGES:
                if await tx.execute(SQL[step], connection_id, ROWS_AT_ONCE) == ROWS_AT_ONCE:
                    return True
            await tx.execute(SQL["purge_connection"], connection_id)
        return False
