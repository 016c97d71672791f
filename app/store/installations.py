"""Installations of the App, and the repositories that they let it see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.jobs import Repository
from app.ports import Look
from app.store.pool import Database
from app.store.rows import repository
from app.store.sql import statements

SQL = statements("installations")


class Installations:
    """Installations by GitHub's id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def install(self, installation_id: int, account: str, account_type: str) -> None:
        """Remember an installation."""
        await self._db.execute(SQL["install"], installation_id, account, account_type)

    async def uninstall(self, installation_id: int) -> None:
        """Hide an installation and all that is below it."""
        await self._db.execute(SQL["uninstall"], installation_id)

    async def add_repository(self, added: Repository) -> None:
        """Add a repository, to be looked at soon."""
        values = added.id, added.installation_id, added.full_name, added.private, added.default_branch
        await self._db.execute(SQL["add_repository"], *values)

    async def remove_repositories(self, installation_id: int, repository_ids: Sequence[int]) -> None:
        """Hide repositories that were taken out of an installation."""
        await self._db.execute(SQL["remove_repositories"], installation_id, list(repository_ids))

    async def see(self, pushed: Repository) -> bool:
        """Bring what a push says of its repository up to date; False when the repository is not ours (any more)."""
        await self._db.execute(SQL["see_installation"], pushed.installation_id, pushed.full_name.split("/")[0])
        values = pushed.id, pushed.installation_id, pushed.full_name, pushed.private, pushed.default_branch
        return await self._db.value(SQL["see_repository"], *values) is not None

    async def claim_look(self) -> Look | None:
        """Take the next repository that GitHub is to be asked about."""
        row = await self._db.row(SQL["claim_look"])
        return None if row is None else Look(repository(row), row["look_attempts"])

    async def look_done(self, repository_id: int, default_branch: str | None, again_at: datetime | None) -> None:
        """Note what was seen, and when to look again (None: when something happens)."""
        await self._db.execute(SQL["look_done"], repository_id, default_branch, again_at)
