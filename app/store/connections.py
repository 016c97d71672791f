"""Connections: the dbt projects that are followed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from app.core.models.connections import Connection
from app.store import rows
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("connections")


class Connections:
    """Connections by our id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def for_repository(self, repository_id: int) -> list[Connection]:
        """Lock a repository until the end of the transaction, and return its connections."""
        return (await self.for_repositories([repository_id]))[repository_id]

    async def for_repositories(self, repository_ids: Iterable[int], *, lock: bool = True) -> dict[int, list[Connection]]:
        """The same for several; `lock=False` if they are locked already."""
        found: dict[int, list[Connection]] = {one: [] for one in repository_ids}
        if lock:
            await self._db.execute(SQL["lock_repository"], list(found))
        for row in await self._db.rows(SQL["for_repository"], list(found)):
            found[row["repository_id"]].append(rows.connection(row))
        return found

    async def create(self, repository_id: int, project_dir: str | None, branch: str | None = None, *, manual: bool = False) -> Connection:
        """Create a connection, or restore a hidden one.

        `project_dir` None: the first extraction finds the project. `branch` None: follow the default branch.
        """
        created = str(await self._db.value(SQL["create"], repository_id, project_dir, branch, manual))
        return next(connection for connection in await self.for_repository(repository_id) if connection.id == created)

    async def change(self, connection_id: str, project_dir: str | None, branch: str | None, *, manual: bool) -> None:
        """Set the directory and branch. The lineage is kept if the directory does not change."""
        await self._db.execute(SQL["change"], UUID(connection_id), project_dir, branch, manual)

    async def hide(self, connection_id: str) -> None:
        """Hide a connection whose project no longer exists."""
        await self._db.execute(SQL["hide"], UUID(connection_id))

    async def hide_without_project(self, connection_id: str, extraction_id: str) -> None:
        """Hide a connection whose project was never found, unless it was created through the API.

        `extraction_id`: the one that did not find it. If it is of a side branch, one of the followed branch has the last word.
        """
        await self._db.execute(SQL["hide_without_project"], UUID(connection_id), UUID(extraction_id))

    async def remove(self, connection_id: str) -> None:
        """Hide a connection at a user's request."""
        await self._db.execute(SQL["remove"], UUID(connection_id))

    async def record_removal(self, connection_id: str) -> None:
        """Record that the connection's project on this branch gets no connection automatically."""
        await self._db.execute(SQL["record_removal"], UUID(connection_id))

    async def forget_removal(self, connection_id: str) -> None:
        """Allow automatic connections again for the connection's project on this branch."""
        await self._db.execute(SQL["forget_removal"], UUID(connection_id))

    async def removals(self, repository_id: int) -> list[tuple[str, str]]:
        """Return the removals of a repository as (branch, directory); branch `""` is the default one."""
        return [(row["branch"], row["project_dir"]) for row in await self._db.rows(SQL["removals"], repository_id)]

    async def branches(self, repository_id: int) -> dict[str, str | None]:
        """Return the branches that connections of a repository are set to, with the ETag of the head if known."""
        return {row["branch"]: row["etag"] for row in await self._db.rows(SQL["branches"], repository_id)}

    async def set_etag(self, repository_id: int, branch: str, etag: str | None) -> None:
        """Set the ETag of a branch's head for the connections set to it."""
        await self._db.execute(SQL["set_etag"], repository_id, branch, etag)

    async def move(self, connection_id: str, project_dir: str) -> None:
        """Record that the project was moved to another directory."""
        await self._db.execute(SQL["move"], UUID(connection_id), project_dir)

    async def move_head(self, connection_id: str, sha: str) -> None:
        """Record the newest commit of the followed branch."""
        await self.move_heads({connection_id: sha})

    async def move_heads(self, heads: Mapping[str, str]) -> None:
        """The same for several connections."""
        await self._db.execute(SQL["move_head"], [UUID(one) for one in heads], list(heads.values()))

    async def prepare_project(self, connection_id: str) -> None:
        """Call this first in a transaction with `set_project`: repositories are locked before connections, always."""
        await self._db.execute(SQL["lock_repository_of_new"], UUID(connection_id))

    async def set_project(self, connection_id: str, project_dir: str, project_name: str | None) -> None:
        """Record the project's directory, if none is set, and its name."""
        await self._db.execute(SQL["set_project"], UUID(connection_id), project_dir, project_name)

    async def get(self, connection_id: str) -> Connection | None:
        """Return a connection; None if it does not exist or is hidden."""
        return next(iter(await self.some([connection_id])), None)

    async def page(
        self,
        *,
        owner: str | None,
        repository: str | None,
        q: str | None,
        seen_by: Sequence[int] | None = None,
        after: tuple[str, str] | None,
        limit: int,
    ) -> list[Connection]:
        """Return connections sorted by repository name; `after` is the (name, id) of the last one of the previous page.

        `seen_by`: the ids of the private repositories to include; None: all.
        """
        name, last_id = (after[0], UUID(after[1])) if after else (None, None)
        found = await self._db.rows(SQL["page"], owner, repository, q, name, last_id, limit, seen_by)
        return [rows.connection(row) for row in found]

    async def some(self, connection_ids: Sequence[str]) -> list[Connection]:
        """Return these connections, in this order, without those that do not exist or are hidden."""
        found = {str(row["id"]): rows.connection(row) for row in await self._db.rows(SQL["some"], [UUID(one) for one in connection_ids])}
        return [found[one] for one in connection_ids if one in found]

    async def counts(self, connection_ids: Iterable[str]) -> dict[str, dict[str, int]]:
        """Return the number of nodes by resource type, where the extraction that counted them is still known."""
        found = await self._db.rows(SQL["counts"], [UUID(one) for one in connection_ids])
        return {str(row["id"]): json.loads(row["counts"]) for row in found if row["counts"]}
