"""The projects of an owner, and what leads from one of them to another.

`listed`: the private repositories to include, besides public ones; None: all. Nothing that is returned depends on others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.core.models.github import Repository
from app.lineage.impact.tables import search_key
from app.lineage.organisation.join_rules import Made, node_key
from app.lineage.organisation.projects import JoinFacts, ProjectKey
from app.store import rows
from app.store.lineages import LineageHead
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("organisations")
MAX_ROWS = 2_000
"""Nodes of other projects that one step finds."""
_HEAD = (
    "sha",
    "branch",
    "project_name",
    "dbt_version",
    "adapter_type",
    "manifest_schema",
    "extracted_at",
    "columns_state",
    "columns_reason",
)


@dataclass(frozen=True, slots=True)
class ProjectHead:
    """A project of an owner: the connection that counts for it, and its lineage without nodes."""

    connection_id: str
    repository: Repository
    project_dir: str | None
    head: LineageHead
    size: int = 0
    """The number of nodes, if it was asked for."""
    other_branches: tuple[str, ...] = ()
    """Those that other connections of the project follow, if they were asked for."""

    @property
    def key(self) -> ProjectKey:
        """What joins depend on."""
        head = self.head
        return ProjectKey(self.connection_id, self.repository.full_name, self.project_dir or "", head.project_name, head.adapter_type)


@dataclass(frozen=True, slots=True)
class FarNode:
    """A node of another project."""

    project: ProjectHead
    unique_id: str
    name: str
    resource_type: str
    is_own: bool
    """Whether it is not one of a package."""
    facts: JoinFacts

    @property
    def id(self) -> str:
        """The id in the graph of several projects."""
        return self.project.key.id_of(self.unique_id)

    @property
    def made(self) -> Made | None:
        """The table that it makes, or is."""
        name = self.facts.relation_name
        return None if name is None else Made(self.id, name, self.project.head.adapter_type)


@dataclass(frozen=True, slots=True)
class FarNodes:
    """Nodes of other projects. `cut`: there are more."""

    found: Sequence[FarNode] = ()
    cut: bool = False


class Organisations:
    """Projects by owner. An installation is one owner's."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of_owner(self, owner: str, listed: Sequence[int] | None, most: int) -> tuple[list[ProjectHead], int]:
        """Return the first projects of an owner by name, at most `most`, with their sizes; and the number of all."""
        return await self._page(f"{owner}/", f"{owner}0", listed, most)

    async def installation(self, owner: str, listed: Sequence[int] | None) -> int | None:
        """Return the id of an owner's installation; None if they have no project."""
        found: int | None = await self._db.value(SQL["installation"], listed, f"{owner}/", f"{owner}0")
        return found

    async def of_repository(self, full_name: str, listed: Sequence[int] | None, most: int) -> list[ProjectHead]:
        """Return projects of a repository, at most `most`."""
        return (await self._page(full_name, f"{full_name} ", listed, most))[0]

    async def some(self, connection_ids: Iterable[str], listed: Sequence[int] | None) -> list[ProjectHead]:
        """Return the projects for which one of some connections counts."""
        return [_project(row) for row in await self._db.rows(SQL["some"], listed, [UUID(one) for one in connection_ids])]

    async def makers(self, installation_id: int, tables: Collection[str], listed: Sequence[int] | None) -> FarNodes:
        """Return nodes that may make tables; whether two names are one table is for the caller to compare."""
        return await self._nodes("made", installation_id, {search_key(table) for table in tables}, listed)

    async def readers(self, installation_id: int, tables: Collection[str], listed: Sequence[int] | None) -> FarNodes:
        """Return sources that may be tables."""
        return await self._nodes("read", installation_id, {search_key(table) for table in tables}, listed)

    async def same(self, installation_id: int, unique_ids: Collection[str], listed: Sequence[int] | None) -> FarNodes:
        """Return the nodes with these unique_ids that projects have of their own, or in a package."""
        found = await self._nodes("nodes", installation_id, {node_key(one) for one in unique_ids}, listed)
        wanted = frozenset(unique_ids)
        return FarNodes([one for one in found.found if one.unique_id in wanted], found.cut)

    async def _page(self, low: str, high: str, listed: Sequence[int] | None, most: int) -> tuple[list[ProjectHead], int]:
        found = await self._db.rows(SQL["page"], listed, low, high, most)
        heads = [_project(row, row["size"], tuple(sorted(filter(None, row["other_branches"])))) for row in found]
        return heads, found[0]["total"] if found else 0

    async def _nodes(self, statement: str, installation_id: int, keys: Collection[bytes], listed: Sequence[int] | None) -> FarNodes:
        if not keys:
            return FarNodes()
        found = await self._db.rows(SQL[statement], listed, installation_id, list(keys), MAX_ROWS + 1)
        return FarNodes([_node(row) for row in found[:MAX_ROWS]], len(found) > MAX_ROWS)


def _project(row: asyncpg.Record, size: int = 0, other_branches: tuple[str, ...] = ()) -> ProjectHead:
    head = LineageHead(row["lineage_id"], **{name: row[name] for name in _HEAD})
    return ProjectHead(str(row["id"]), rows.repository(row), row["project_dir"], head, size, other_branches)


def _node(row: asyncpg.Record) -> FarNode:
    facts = JoinFacts(row["relation_name"], row["materialized"], row["access"], row["original_file_path"] or "")
    own = row["package_name"] == row["project_name"]
    return FarNode(_project(row), row["unique_id"], row["name"], row["resource_type"], own, facts)
