"""The reconciler: compares GitHub with the database and queues the difference. Webhook events only make it look sooner.

It lists the installations, then the repositories of each (a survey), then the heads of the followed branches (a look). Each step claims a
row, so a scan of thousands of repositories continues after a restart where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.core import log, metrics
from app.core.errors import DatabaseUnavailableError, FreshetError, GitHubUnavailableError, GoneError, UnavailableError
from app.core.models.connections import Connection
from app.core.models.github import Repository
from app.core.retry import retry_delay
from app.core.wakeup import Wakeup
from app.pipeline import forgotten_checks, leases, loop, queue_rules
from app.pipeline.ports import Caches, GitHub, Inventory
from app.project import discovery
from app.project.repository_settings import RepositorySettings
from app.store import Store
from app.store.installations import DueRepository

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long data is kept."""

    removed: timedelta
    """What was removed from the App: the grace period."""
    deliveries: timedelta
    """How long GitHub can redeliver."""
    history: timedelta | None
    """Ended extractions; None: forever."""


class Reconciler:
    """Keeps the database in line with GitHub."""

    def __init__(
        self,
        store: Store,
        github: GitHub,
        inventory: Inventory,
        caches: Caches,
        retention: RetentionPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._github = github
        self._inventory = inventory
        self._caches = caches
        self._retention = retention
        installations = store.installations
        self._next_survey = loop.leased(
            lambda: installations.claim_survey(leases.SURVEY_LEASE), self._survey_due, None, lambda due: {log.INSTALLATION: due[0]}
        )
        self._next_look = loop.leased(lambda: installations.claim_look(leases.LOOK_LEASE), self.look, None, _ids)
        self._missed = True
        """Deliveries may have been lost: at the start, and when they could not be stored since."""
        self._wakeup: Wakeup | None = None
        self._clock = clock
        self._awake_s = self._repair_at_s = clock()
        self._history_cursor: str | None = None
        """The last connection whose history was deleted; None if no deletion is under way."""

    async def run_chores(self, wakeup: Wakeup) -> None:
        """Do periodic tasks until cancelled, first those that repair what a downtime may have lost."""
        await wakeup.wait(leases.START_S)
        self._wakeup, self._awake_s = wakeup, self._clock()
        await loop.forever("chores", self._chore, wakeup, away_s=leases.CHORES_AWAY_S)

    def missed_delivery(self) -> None:
        """A delivery could not be stored: ask GitHub for it as soon as the database is available."""
        self._missed = True
        if self._wakeup is not None:
            self._wakeup.wake()

    async def run_surveys(self, wakeup: Wakeup) -> None:
        """Survey installations that are due, until cancelled."""
        await loop.forever("surveys", self._next_survey, wakeup)

    async def run_looks(self, wakeup: Wakeup) -> None:
        """Look at repositories that are due, until cancelled."""
        await loop.forever("looks", self._next_look, wakeup)

    async def _chore(self) -> bool:
        """Do the next periodic task. After an outage of the database, or a time in which this process slept, all are due at once."""
        try:
            if self._clock() - self._awake_s > leases.ASLEEP_S:
                self._missed = True
            if self._missed and self._clock() >= self._repair_at_s:
                await self._store.installations.make_chores_due()
                self._missed, self._repair_at_s = False, self._clock() + leases.REPAIR_AGAIN_S
                return await self._next_chore(leases.DELIVERIES_AGAIN)
            return await self._next_chore()
        except DatabaseUnavailableError:
            self._missed = True
            raise
        finally:
            self._awake_s = self._clock()

    async def _next_chore(self, deliveries_again: timedelta = leases.COMPARE_EVERY) -> bool:
        age = self._retention.history
        return (
            await self._do("deliveries", deliveries_again, self.redeliver)
            or await self._do("installations", leases.COMPARE_EVERY, self.list_installations)
            or await self._do("purge", leases.PURGE_EVERY, self.purge)
            or (age is not None and await self._delete_history(age))
        )

    async def _do(self, name: str, again: timedelta, work: Callable[[], Awaitable[None]]) -> bool:
        """Do a chore if it is due and no other process does it. If GitHub is unavailable, it is due again soon."""
        store = self._store.installations
        claim = await store.claim_chore(name, again, leases.CHORE_LEASE)
        if claim is None:
            return False
        renewing = asyncio.create_task(self._renew(name, claim), name=f"lease of {name}")
        try:
            await work()
        except GitHubUnavailableError as error:
            await store.retry_chore(name, timedelta(seconds=error.retry_after_s or leases.CHORE_RETRY_S))
            raise
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with contextlib.suppress(UnavailableError):  # its lease ends
                await asyncio.shield(store.finish_chore(name, claim))
        return True

    async def _renew(self, name: str, claim: int) -> None:
        while True:
            await asyncio.sleep(leases.CHORE_RENEWAL_S)
            with contextlib.suppress(UnavailableError):
                await self._store.installations.renew_chore(name, claim, leases.CHORE_LEASE)

    async def _delete_history(self, age: timedelta) -> bool:
        """Delete the next batch of history: of a deletion that is under way, or of one that is due."""
        if self._history_cursor:
            await self.delete_history(age)
            return True
        return await self._do("history", leases.HISTORY_EVERY, lambda: self.delete_history(age))

    async def delete_history(self, age: timedelta) -> None:
        """Delete the history of a batch of connections; other chores get their turn before the next batch."""
        done = await self._store.retention.delete_history(age, self._history_cursor)
        self._history_cursor = done.after
        if done.extractions or done.nodes:
            logger.info("old history deleted", extractions=done.extractions, nodes=done.nodes)

    async def list_installations(self) -> None:
        """Update the installations, and schedule a survey of each."""
        metrics.RECONCILED.labels("installations").inc()
        began_at = await self._store.installations.now()
        listed = await self._inventory.installations()
        for gone in await self._store.installations.sync(listed, began_at):
            await self._store.extractions.cancel_queued(gone)
        for one in listed:
            if not one.suspended:
                await self._store.installations.resume_check_runs(one.id)

    async def redeliver(self) -> None:
        """Request redeliveries of failed deliveries. They keep their ids, so nothing is processed twice."""
        metrics.RECONCILED.labels("deliveries").inc()
        failed = await self._inventory.failed_deliveries(datetime.now(UTC) - self._retention.deliveries)
        claimed = [delivery for delivery in failed if await self._store.deliveries.claim_redelivery(delivery.guid)]
        for delivery in claimed:
            await self._inventory.redeliver(delivery.id)
        if claimed:
            logger.info("redelivery of failed deliveries requested", deliveries=len(claimed))

    async def purge(self) -> None:
        """Delete what was removed from the App and whose grace period is over, including mirrors and packages."""
        await self._store.deliveries.purge()
        if self._retention.history:
            await self._store.pull_requests.purge(self._retention.history)
            await self._store.node_results.purge(self._retention.history)
        await self._store.retention.purge(self._retention.removed)
        repositories, installations = await self._store.installations.purge(self._retention.removed)
        for repository_id in repositories:
            await self._caches.remove(repository_id)
            logger.info("repository deleted permanently", repository_id=repository_id)
        for installation_id in installations:
            await self._caches.remove_installation(installation_id)
            logger.info("installation deleted permanently", installation_id=installation_id)

    async def _survey_due(self, due: tuple[int, bool]) -> None:
        installation_id, suspended = due
        metrics.RECONCILED.labels("repositories").inc()
        if await self.survey(installation_id) and suspended:  # GitHub answered, so it has been resumed
            await self.list_installations()

    async def survey(self, installation_id: int) -> bool:
        """Update the repositories of an installation, and schedule a look at those that may be behind. False if GitHub did not answer."""
        began_at = await self._store.installations.now()
        try:
            listed = await self._inventory.repositories(installation_id)
        except UnavailableError as error:
            again_at = began_at + max(timedelta(seconds=error.retry_after_s or 0), leases.SURVEY_AGAIN)
            await self._store.installations.finish_survey(installation_id, again_at)
            logger.warning("cannot survey the installation", reason=str(error))
            return False
        except FreshetError as error:  # suspended or deleted: the list of installations shows which
            await self._store.installations.finish_survey(installation_id, None)
            logger.info("installation is suspended or deleted", reason=str(error))
            await self.list_installations()
            return False
        gone = await self._store.installations.sync_repositories(installation_id, listed, began_at, leases.LOOK_AGAIN)
        if gone:
            await self._store.extractions.cancel_queued(installation_id, gone)
        await self._store.installations.finish_survey(installation_id, None)
        logger.info("installation surveyed", repositories=len(listed), gone=len(gone))
        return True

    async def look(self, due: DueRepository) -> None:
        """Queue the heads of a repository's followed branches, if it has a dbt project and we are behind."""
        repository = due.repository
        metrics.RECONCILED.labels("head").inc()
        try:
            await self._look(due)
        except _PushedMeanwhileError:
            await self._store.installations.postpone_look(due, await self._store.installations.now())
        except GoneError as error:  # removed, deleted, or briefly invisible: the survey of the installation shows which
            await self._store.installations.postpone_look(due, None)
            await self._store.installations.finish_survey(repository.installation_id, await self._store.installations.now())
            logger.info("cannot access the repository", reason=str(error))
        except FreshetError as error:
            asked = error.retry_after_s if isinstance(error, UnavailableError) else None
            again = error.retryable and (asked is not None or due.attempts < leases.LOOK_ATTEMPTS)
            again_at = await self._store.installations.now() + retry_delay(due.attempts, asked) if again else None
            await self._store.installations.postpone_look(due, again_at, asked_to_wait=asked is not None)
            logger.warning("cannot look at the repository", reason=str(error), again=again)

    async def _look(self, due: DueRepository) -> None:
        """Ask for each head with its ETag: GitHub does not count the request if nothing changed.

        The default branch comes last and ends the look, so after an error everything is asked again.
        """
        repository = due.repository if due.etag or due.listed else await self._github.describe(due.repository)
        for branch, etag in (await self._store.connections.branches(repository.id)).items():
            if branch != repository.default_branch:
                await self._look_at_branch(repository, branch, etag)
        await self._look_at_default(due, repository)

    async def _look_at_branch(self, repository: Repository, branch: str, etag: str | None) -> None:
        """Queue the head of a branch that connections are set to follow."""
        before = await _following(self._store, repository, branch)
        head = await self._inventory.branch_head(repository, branch, etag)
        if head is None:
            return
        forgotten = await forgotten_checks.below(self._store, self._github, repository, before, head.sha) if head.sha else []
        async with self._store.transaction() as tx:
            following = await _unless_pushed(tx, repository, branch, before)
            if head.sha:
                await _catch_up(tx, following, branch, head.sha, forgotten)
            await tx.connections.set_etag(repository.id, branch, head.etag)

    async def _look_at_default(self, due: DueRepository, repository: Repository) -> None:
        branch = repository.default_branch
        before = await _following(self._store, repository, branch)
        head = await self._inventory.branch_head(repository, branch, due.etag) if branch else None
        if branch is None or head is None:
            await self._store.installations.record_unchanged(due)
            return
        forgotten = await forgotten_checks.below(self._store, self._github, repository, before, head.sha) if head.sha else []
        has_project = False
        if head.sha and not before and not await self._store.connections.removals(repository.id):
            paths = await self._inventory.paths(repository, head.sha)
            has_project = bool(discovery.find_projects(paths, {}, RepositorySettings()).projects)
        async with self._store.transaction() as tx:
            following = await _unless_pushed(tx, repository, branch, before)
            if has_project and not following and not await tx.connections.removals(repository.id):
                # Its first extraction finds the projects.
                following = [await tx.connections.create(repository.id, None)]
            if head.sha:
                await _catch_up(tx, following, branch, head.sha, forgotten)
            await tx.installations.record_look(due, repository, head.etag)


class _PushedMeanwhileError(Exception):
    """A push was received while GitHub was asked, so its answer may be older than what we know."""


def _ids(due: DueRepository) -> dict[str, object]:
    return {log.REPOSITORY: due.repository.full_name, log.INSTALLATION: due.repository.installation_id}


async def _following(store: Store, repository: Repository, branch: str | None) -> list[Connection]:
    """The connections that follow a branch. In a transaction, the repository is locked until its end."""
    names = (None, branch) if branch == repository.default_branch else (branch,)
    return [one for one in await store.connections.for_repository(repository.id) if one.branch in names]


async def _unless_pushed(tx: Store, repository: Repository, branch: str, before: Sequence[Connection]) -> list[Connection]:
    """The connections that follow a branch, unless their heads have moved. Raises _PushedMeanwhileError."""
    following = await _following(tx, repository, branch)
    if {one.id: one.head_sha for one in following} != {one.id: one.head_sha for one in before}:
        raise _PushedMeanwhileError
    return following


async def _catch_up(tx: Store, connections: Sequence[Connection], branch: str, sha: str, forgotten: Sequence[str] = ()) -> None:
    """Queue the head of a branch for each connection that is behind. It supersedes `forgotten` commits, whose check runs end thereby."""
    for connection in connections:
        for commit in forgotten:
            await tx.extractions.enqueue(connection.id, branch, commit, "reconcile")
        await tx.connections.move_head(connection.id, sha)
        await tx.extractions.supersede(connection.id, branch, sha)
        if queue_rules.is_behind(await tx.extractions.newest_of_branch(connection.id, branch), sha, connection.lineage_sha):
            await tx.extractions.enqueue(connection.id, branch, sha, "reconcile")
