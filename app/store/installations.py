"""Installations of the App, and the repositories that they let it see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from app.jobs import Repository
from app.ports import InstallationState, RepositoryState
from app.records import Look
from app.store.pool import Database
from app.store.rows import repository
from app.store.sql import statements

SQL = statements("installations")
PURGED_AT_ONCE = 1000


class Installations:
    """Installations by GitHub's id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def install(self, installation_id: int, account: str, account_type: str, repository_selection: str) -> None:
        """Remember an installation, to be surveyed soon."""
        await self._db.execute(SQL["install"], installation_id, account, account_type, repository_selection)

    async def uninstall(self, installation_id: int) -> None:
        """Hide an installation and all that is below it."""
        await self._db.execute(SQL["uninstall"], installation_id)

    async def sync(self, listed: Sequence[InstallationState], began_at: datetime) -> list[int]:
        """Make the installations those that GitHub listed from `began_at` on; return the ids of those that are gone."""
        async with self._db.transaction() as tx:
            for one in listed:
                values = one.id, one.account, one.account_type, one.repository_selection, one.suspended
                await tx.execute(SQL["sync_installation"], *values)
            gone = await tx.rows(SQL["uninstall_others"], [one.id for one in listed], began_at)
        return [row["id"] for row in gone]

    async def claim_survey(self) -> tuple[int, bool] | None:
        """Take the next installation whose repositories are to be listed: its id, and whether it is suspended."""
        row = await self._db.row(SQL["claim_survey"])
        return None if row is None else (row["id"], row["suspended"])

    async def survey_done(self, installation_id: int, again_at: datetime | None) -> None:
        """Note when to survey an installation again (None: when it is listed the next time)."""
        await self._db.execute(SQL["survey_done"], installation_id, again_at)

    async def sync_repositories(self, installation_id: int, listed: Sequence[RepositoryState], began_at: datetime) -> list[int]:
        """Make an installation's repositories those that GitHub listed from `began_at` on; return the ids of those that are gone."""
        seen = [one.repository for one in listed]
        columns = [
            [one.id for one in seen],
            [one.full_name for one in seen],
            [one.private for one in seen],
            [one.default_branch for one in seen],
            [one.archived for one in listed],
            [one.pushed_at for one in listed],
        ]
        async with self._db.transaction() as tx:
            await tx.execute(SQL["sync_repositories"], installation_id, *columns)
            gone = await tx.rows(SQL["remove_other_repositories"], installation_id, columns[0], began_at)
        return [row["id"] for row in gone]

    async def resume_check_runs(self, installation_id: int) -> None:
        """Tell now what could not be told while the installation was suspended."""
        await self._db.execute(SQL["resume_check_runs"], installation_id)

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

    async def named(self, full_name: str) -> Repository | None:
        """Return the repository of this name, whatever its case, if an installation sees it."""
        row = await self._db.row(SQL["named"], full_name)
        return None if row is None else repository(row)

    async def privatize(self, repository_id: int) -> None:
        """Note that a repository is private."""
        await self._db.execute(SQL["privatize"], repository_id)

    async def look_soon(self, repository_id: int) -> None:
        """Ask GitHub about a repository soon, and take nothing for unchanged."""
        await self._db.execute(SQL["look_soon"], repository_id)

    async def claim_look(self) -> Look | None:
        """Take the next repository that GitHub is to be asked about."""
        row = await self._db.row(SQL["claim_look"])
        return None if row is None else Look(repository(row), row["look_attempts"], row["head_etag"], moved=row["head_moved"])

    async def look_failed(self, repository_id: int, again_at: datetime | None, *, asked_to_wait: bool = False) -> None:
        """Note when to look again (None: when something happens); a wait that GitHub asked for does not count as an attempt."""
        await self._db.execute(SQL["look_failed"], repository_id, again_at, asked_to_wait)

    async def looked(self, seen: Repository, etag: str | None) -> None:
        """Note how GitHub describes a repository, and the ETag of its head."""
        await self._db.execute(SQL["looked"], seen.id, seen.full_name, seen.private, seen.default_branch, etag)

    async def unchanged(self, repository_id: int) -> None:
        """Note that a repository was looked at, and is as it was."""
        await self._db.execute(SQL["unchanged"], repository_id)

    async def claim_chore(self, name: str, again: timedelta) -> bool:
        """Take a chore, if it is due; it is due again after `again`."""
        return await self._db.value(SQL["claim_chore"], name, again) is not None

    async def chores_due(self) -> None:
        """Let every chore be due: this process has just begun."""
        await self._db.execute(SQL["chores_due"])

    async def purge(self, grace: timedelta) -> tuple[list[int], list[int]]:
        """Delete what has been hidden for longer than `grace` and has no connection (any more), in small steps.

        Return the ids of the repositories and of the installations that are gone for good.
        """
        repositories: list[int] = []
        while found := await self._db.rows(SQL["purge_repositories"], grace, PURGED_AT_ONCE):
            repositories += [row["id"] for row in found]
        installations = await self._db.rows(SQL["purge_installations"], grace)
        return repositories, [row["id"] for row in installations]
