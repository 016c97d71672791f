"""Connections: the dbt projects that are followed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from app.jobs import Connection
from app.store import rows
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("connections")


class Connections:
    """Connections by our id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of_repository(self, repository_id: int) -> list[Connection]:
        """Return the connections of a repository, which is locked until the end of the transaction."""
        await self._db.execute(SQL["lock_repository"], repository_id)
        return [rows.connection(row) for row in await self._db.rows(SQL["of_repository"], repository_id)]

    async def create(self, repository_id: int, project_dir: str | None, branch: str | None = None, *, by_hand: bool = False) -> Connection:
        """Make a connection, or bring one back; `project_dir` None leaves it to the first extraction to find the project.

        `branch` None follows the default branch.
        """
        created = str(await self._db.value(SQL["create"], repository_id, project_dir, branch, by_hand))
        return next(connection for connection in await self.of_repository(repository_id) if connection.id == created)

    async def change(self, connection_id: str, project_dir: str | None, branch: str | None, *, by_hand: bool) -> None:
        """Let a connection be of another directory, or of another branch. The lineage stays where the directory does."""
        await self._db.execute(SQL["change"], UUID(connection_id), project_dir, branch, by_hand)

    async def hide(self, connection_id: str) -> None:
        """Hide a connection whose project is gone."""
        await self._db.execute(SQL["hide"], UUID(connection_id))

    async def hide_unfound(self, connection_id: str) -> None:
        """Hide a connection that never knew a project, unless somebody made it."""
        await self._db.execute(SQL["hide_unfound"], UUID(connection_id))

    async def remove(self, connection_id: str) -> None:
        """Hide a connection that somebody does not want any more."""
        await self._db.execute(SQL["remove"], UUID(connection_id))

    async def pass_over(self, connection_id: str) -> None:
        """Note that the project of a connection, on its branch, gets no connection by itself."""
        await self._db.execute(SQL["pass_over"], UUID(connection_id))

    async def take_up(self, connection_id: str) -> None:
        """Forget that the project of a connection, on its branch, was passed over."""
        await self._db.execute(SQL["take_up"], UUID(connection_id))

    async def removed(self, repository_id: int) -> list[tuple[str, str]]:
        """Return what of a repository is passed over: pairs of branch (empty: the default one) and directory."""
        return [(row["branch"], row["project_dir"]) for row in await self._db.rows(SQL["removed"], repository_id)]

    async def branches(self, repository_id: int) -> dict[str, str | None]:
        """Return the branches of a repository that connections are set to, each with the ETag of its head if that is known."""
        return {row["branch"]: row["etag"] for row in await self._db.rows(SQL["branches"], repository_id)}

    async def keep_etag(self, repository_id: int, branch: str, etag: str | None) -> None:
        """Note the ETag of the head of a branch that connections are set to."""
        await self._db.execute(SQL["keep_etag"], repository_id, branch, etag)

    async def move(self, connection_id: str, project_dir: str) -> None:
        """Note that a connection's project is in another directory."""
        await self._db.execute(SQL["move"], UUID(connection_id), project_dir)

    async def move_head(self, connection_id: str, sha: str) -> None:
        """Note the newest commit of the followed branch."""
        await self._db.execute(SQL["move_head"], UUID(connection_id), sha)

    async def found_project(self, connection_id: str, project_dir: str, project_name: str | None) -> None:
        """Note where the project is and what it calls itself."""
        await self._db.execute(SQL["found_project"], UUID(connection_id), project_dir, project_name)

    async def get(self, connection_id: str) -> Connection | None:
        """Return a connection that can be seen."""
        row = await self._db.row(SQL["by_id"], UUID(connection_id))
        return None if row is None else rows.connection(row)

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
        """Return connections by repository name; `after` is the (name, id) of the last one of the page before.

        `seen_by`: only of these repositories (ids), and of public ones; None: of all.
        """
        name, last_id = (after[0], UUID(after[1])) if after else (None, None)
        found = await self._db.rows(SQL["page"], owner, repository, q, name, last_id, limit, seen_by)
        return [rows.connection(row) for row in found]
