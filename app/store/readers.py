"""Who reads the tables of a connection: sources of other connections of the same owner, and what depends on them there.

The limits hold for each comparison, however many connections there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from app.lineage.impact.elsewhere import BrokenProject, Elsewhere
from app.lineage.impact.losses import MAKERS, MadeTable, lost_tables, takes_away, with_fewer_columns
from app.lineage.impact.model import Change
from app.lineage.impact.tables import search_key
from app.store import rows
from app.store.foreign_reads import ForeignReads
from app.store.lineages import LineageHead
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("readers")
MAX_CONNECTIONS = 20


class Readers:
    """Readers by what was taken from them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def elsewhere(self, connection_id: str, base: LineageHead, head: LineageHead, changes: Sequence[Change]) -> Elsewhere:
        """Find what breaks in other connections because of the changes between two lineages of this one, whoever may see it.

        Private repositories are left out unless `base` is a commit of the followed branch: otherwise anybody who can open a pull request
        could ask which tables and columns they read.
        """
        if not takes_away(changes):
            return Elsewhere()
        lost = lost_tables(changes, *await self._tables(base, head, changes))
        owner = await self._db.row(SQL["owner"], UUID(connection_id), base.sha) if lost else None
        if owner is None:
            return Elsewhere()
        keys = list({search_key(table.name) for table in lost})
        own = rows.repository(owner)
        found = await self._db.rows(
            SQL["connections"], UUID(connection_id), own.installation_id, keys, own.id, MAX_CONNECTIONS, owner["followed"]
        )
        projects = []
        for row in found:
            reads = ForeignReads(self._db, row, head.adapter_type)
            projects.append(BrokenProject(reads.project.repository, tuple(await reads.breaks(lost))))
        return Elsewhere(tuple(one for one in projects if one.breaks), found[0]["total"] - len(found) if found else 0)

    async def _tables(
        self, base: LineageHead, head: LineageHead, changes: Iterable[Change]
    ) -> tuple[dict[str, MadeTable], dict[str, MadeTable]]:
        """See `lost_tables`."""
        sides = base.id, base.extracted_at, head.id, head.extracted_at
        found = await self._db.rows(SQL["tables"], *sides, list(MAKERS), with_fewer_columns(changes))
        gone = {row["unique_id"]: MadeTable(row["name"], row["materialized"]) for row in found if row["at_base"]}
        return gone, {row["unique_id"]: MadeTable(row["name"], row["materialized"]) for row in found if row["at_head"]}
