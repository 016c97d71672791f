"""Installations of the App, their repositories, and the periodic tasks that concern them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.core.models.github import InstallationState, Repository, RepositoryState
from app.store.pool import Database
from app.store.rows import repository
from app.store.sql import statements

SQL = statements("installations")
PURGED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class DueRepository:
    """A repository that is due for a look, for the `attempts`-th time. `etag`: of its head, if known and if no push moved it since."""

    repository: Repository
    attempts: int
    claim: datetime
    """Identifies the claim: what becomes due after it is not affected by its end."""
    etag: str | None = None
    listed: bool = False
    """GitHub has just said its name, default branch and visibility."""


class Installations:
    """Installations by GitHub's id."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def now(self) -> datetime:
        """The database's time, to which all others here are compared: this host's clock may be wrong."""
        found: datetime = await self._db.value("SELECT now()")
        return found

    async def install(self, installation_id: int, account: str, account_type: str, repository_selection: str) -> None:
        """Record an installation, due for a survey."""
        await self._db.execute(SQL["install"], installation_id, account, account_type, repository_selection)

    async def uninstall(self, installation_id: int) -> None:
        """Hide an installation with everything in it."""
        await self._db.execute(SQL["uninstall"], installation_id)

    async def sync(self, listed: Sequence[InstallationState], began_at: datetime) -> list[int]:
        """Replace the installations by those that GitHub listed, starting at `began_at`; return the ids of removed ones."""
        async with self._db.transaction() as tx:
            resumed = await tx.rows(SQL["resumed"], [one.id for one in listed if not one.suspended])
            await Installations(tx).look_soon(*(row["id"] for row in resumed))
            for one in listed:
                values = one.id, one.account, one.account_type, one.repository_selection, one.suspended
                await tx.execute(SQL["sync_installation"], *values)
            gone = await tx.rows(SQL["uninstall_others"], [one.id for one in listed], began_at)
        return [row["id"] for row in gone]

    async def claim_survey(self, lease: timedelta) -> tuple[int, bool] | None:
        """Claim the next installation whose repositories are due to be listed: its id, and whether it is suspended."""
        row = await self._db.row(SQL["claim_survey"], lease)
        return None if row is None else (row["id"], row["suspended"])

    async def finish_survey(self, installation_id: int, again_at: datetime | None) -> None:
        """Set the time of the next survey (None: when the installation is listed again)."""
        await self._db.execute(SQL["finish_survey"], installation_id, again_at)

    async def sync_repositories(
        self, installation_id: int, listed: Sequence[RepositoryState], began_at: datetime, look_again: timedelta
    ) -> list[int]:
        """Replace an installation's repositories by those that GitHub listed, starting at `began_at`; return the ids of removed ones.

        Those with a connection are due for a look if the last one is older than `look_again`.
        """
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
            await tx.execute(SQL["sync_repositories"], installation_id, *columns, look_again)
            gone = await tx.rows(SQL["remove_other_repositories"], installation_id, columns[0], began_at)
        return [row["id"] for row in gone]

    async def resume_check_runs(self, installation_id: int) -> None:
        """Send the check runs that could not be sent while the installation was suspended."""
        await self._db.execute(SQL["resume_check_runs"], installation_id)

    async def add_repository(self, added: Repository, *, look: bool = True) -> None:
        """Add a repository, due for a look now (`look`) or after the next survey of its installation."""
        values = added.id, added.installation_id, added.full_name, added.private, added.default_branch, look
        await self._db.execute(SQL["add_repository"], *values)

    async def remove_repositories(self, installation_id: int, repository_ids: Sequence[int]) -> None:
        """Hide repositories that were removed from an installation."""
        await self._db.execute(SQL["remove_repositories"], installation_id, list(repository_ids))

    async def update_from_push(self, pushed: Repository) -> bool:
        """Update a repository with what a push says about it; False if it is not (or no longer) in an installation."""
        return bool(await self.update_from_pushes([pushed]))

    async def update_from_pushes(self, pushed: Iterable[Repository]) -> set[int]:
        """The same for many, of which the last word on a repository counts; return the ids of those that are in an installation."""
        newest = {one.id: one for one in pushed}
        found = await self._update_from_pushes(newest.values())
        if missing := [one for id_, one in newest.items() if id_ not in found]:
            accounts = [one.full_name.split("/")[0] for one in missing]
            await self._db.execute(SQL["add_installation"], [one.installation_id for one in missing], accounts)
            found |= await self._update_from_pushes(missing)
        return found

    async def _update_from_pushes(self, pushed: Collection[Repository]) -> set[int]:
        columns = (
            [one.id for one in pushed],
            [one.installation_id for one in pushed],
            [one.full_name for one in pushed],
            [one.private for one in pushed],
            [one.default_branch for one in pushed],
        )
        return {row["id"] for row in await self._db.rows(SQL["update_from_push"], *columns)}

    async def lock(self, repository_ids: Iterable[int], *, wait: bool) -> set[int]:
        """Lock repositories until the end of the transaction. Without `wait`, the ids of those that others have locked are returned."""
        return {row["id"] for row in await self._db.rows(SQL["lock" if wait else "lock_free"], list(repository_ids)) if not wait}

    async def repository_by_name(self, full_name: str) -> Repository | None:
        """Find a repository of an installation by its name, ignoring case."""
        row = await self._db.row(SQL["repository_by_name"], full_name)
        return None if row is None else repository(row)

    async def mark_private(self, repository_id: int) -> None:
        """Record that a repository is private."""
        await self._db.execute(SQL["mark_private"], repository_id)

    async def look_soon(self, *repository_ids: int) -> None:
        """Make a look due, and ignore in it what we know."""
        await self._db.execute(SQL["look_soon"], repository_ids)

    async def look_after_push(self, repository_id: int) -> None:
        """Make a look due at a repository that may have a dbt project now."""
        await self._db.execute(SQL["look_after_push"], repository_id)

    async def may_report_missing_project(self, repository_id: int) -> bool:
        """True if somebody chose the repository for the App, and no push was answered yet that it has no dbt project."""
        return bool(await self._db.value(SQL["may_report_missing_project"], repository_id))

    async def record_missing_project(self, repository_id: int) -> None:
        """Record that a push was answered that the repository has no dbt project."""
        await self._db.execute(SQL["record_missing_project"], repository_id)

    async def claim_look(self, lease: timedelta) -> DueRepository | None:
        """Claim the next repository that is due for a look."""
        row = await self._db.row(SQL["claim_look"], lease)
        if row is None:
            return None
        return DueRepository(repository(row), row["look_attempts"], row["look_at"], row["head_etag"], listed=row["listed"])

    async def postpone_look(self, due: DueRepository, again_at: datetime | None, *, asked_to_wait: bool = False) -> None:
        """Set the time of the next look (None: after the next event). A wait that GitHub asked for does not count as an attempt."""
        await self._db.execute(SQL["postpone_look"], due.repository.id, again_at, asked_to_wait, due.claim)

    async def record_look(self, due: DueRepository, seen: Repository, etag: str | None) -> None:
        """Record GitHub's data about a repository, and the ETag of its head."""
        await self._db.execute(SQL["record_look"], seen.id, seen.full_name, seen.private, seen.default_branch, etag, due.claim)

    async def record_unchanged(self, due: DueRepository) -> None:
        """Record a look that found nothing new."""
        await self._db.execute(SQL["record_unchanged"], due.repository.id, due.claim)

    async def claim_chore(self, name: str, again: timedelta, lease: timedelta) -> int | None:
        """Claim a chore if it is due and nobody does it; it is due again after `again`. Returns the number of the claim."""
        found: int | None = await self._db.value(SQL["claim_chore"], name, again, lease)
        return found

    async def renew_chore(self, name: str, claim: int, lease: timedelta) -> None:
        """Renew the lease of a claim, unless another process has the chore."""
        await self._db.execute(SQL["renew_chore"], name, claim, lease)

    async def finish_chore(self, name: str, claim: int) -> None:
        """End a claim, unless another process has the chore."""
        await self._db.execute(SQL["finish_chore"], name, claim)

    async def retry_chore(self, name: str, after: timedelta) -> None:
        """Make a chore that failed due after this time."""
        await self._db.execute(SQL["retry_chore"], name, after)

    async def make_chores_due(self) -> None:
        """Make every chore due: at the start of a process, and after an outage."""
        await self._db.execute(SQL["make_chores_due"])

    async def purge(self, grace: timedelta) -> tuple[list[int], list[int]]:
        """Delete repositories and installations that were hidden for longer than `grace` and have no connections left, in small steps.

        Return the ids of the deleted repositories and of the deleted installations.
        """
        repositories: list[int] = []
        while found := await self._db.rows(SQL["purge_repositories"], grace, PURGED_AT_ONCE):
            repositories += [row["id"] for row in found]
        installations = await self._db.rows(SQL["purge_installations"], grace)
        return repositories, [row["id"] for row in installations]
