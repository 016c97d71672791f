"""The reconciler: what GitHub has is compared with what we have, and the difference is queued. Events only make it look sooner.

From the outside in: which installations there are, which repositories each has, what the heads of the branches are that are followed.
Each step is a row that is claimed, so a scan of thousands of repositories goes on after a restart where it stopped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app import jobs, log, metrics
from app.errors import FreshetError, GoneError, UnavailableError
from app.inference import discovery
from app.jobs import Connection, Repository, retry_delay
from app.ports import Bell, Caches, GitHub, Survey
from app.records import Look
from app.settings import Settings
from app.storage import Store

IDLE_S = 15.0
START_S = 1.0
"""The web server is to listen before GitHub is asked to deliver again."""
EVERY = timedelta(minutes=5)
"""How often GitHub is asked what we may have missed."""
EVERY_PURGE = timedelta(hours=1)
EVERY_HISTORY = timedelta(hours=6)
MAX_LOOKS = 10
"""After so many unanswered looks we wait for the next event, or the next survey."""

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """How long what is kept."""

    removed: timedelta
    """What was taken out of the App."""
    deliveries: timedelta
    """What GitHub could not deliver, and can again."""
    history: timedelta | None
    """Extractions that have ended; None: for ever."""


class Reconciler:
    """Keeps the store what GitHub is."""

    def __init__(self, store: Store, github: GitHub, survey: Survey, caches: Caches, kept: Kept) -> None:
        self._store = store
        self._github = github
        self._survey = survey
        self._caches = caches
        self._kept = kept
        self._started = False
        self._forgotten: str | None = None
        """The connection up to which we have come in deleting history, None when we are not on the way."""

    async def run_chores(self, bell: Bell) -> None:
        """Do what is done now and then, for ever, beginning with a look at what a downtime may have lost."""
        await bell.wait(START_S)
        await _forever(bell, self._chore)

    async def run_surveys(self, bell: Bell) -> None:
        """List the repositories of installations whenever that is due, for ever."""
        await _forever(bell, self._next_survey)

    async def run_looks(self, bell: Bell) -> None:
        """Look at repositories whenever that is due, for ever."""
        await _forever(bell, self._next_look)

    async def _chore(self) -> bool:
        if not self._started:
            await self._store.installations.chores_due()
            self._started = True
        if await self._store.installations.claim_chore("installations", EVERY):
            await self.list_installations()
        elif await self._store.installations.claim_chore("deliveries", EVERY):
            await self.redeliver()
        elif await self._store.installations.claim_chore("purge", EVERY_PURGE):
            await self.purge()
        elif self._kept.history and (self._forgotten or await self._store.installations.claim_chore("history", EVERY_HISTORY)):
            await self.forget(self._kept.history)
        else:
            return False
        return True

    async def forget(self, age: timedelta) -> None:
        """Delete the history of some connections, so that other chores have their turn before the next ones."""
        done = await self._store.history.forget(age, self._forgotten)
        self._forgotten = done.after
        if done.extractions or done.nodes:
            logger.info("old history deleted", extractions=done.extractions, nodes=done.nodes)

    async def list_installations(self) -> None:
        """Bring the installations up to date, and have each surveyed."""
        metrics.RECONCILED.labels("installations").inc()
        began_at = datetime.now(UTC)
        listed = await self._survey.installations()
        for gone in await self._store.installations.sync(listed, began_at):
            await self._store.extractions.cancel_queued(gone)
        for one in listed:
            if not one.suspended:
                await self._store.installations.resume_check_runs(one.id)

    async def redeliver(self) -> None:
        """Ask GitHub for what it could not deliver. A redelivery keeps its id, so what we do have has no second effect."""
        metrics.RECONCILED.labels("deliveries").inc()
        failed = await self._survey.failed_deliveries(datetime.now(UTC) - self._kept.deliveries)
        wanted = [delivery for delivery in failed if await self._store.deliveries.ask_again(delivery.guid)]
        for delivery in wanted:
            await self._survey.redeliver(delivery.id)
        if wanted:
            logger.info("asked for failed deliveries again", deliveries=len(wanted))

    async def purge(self) -> None:
        """Delete what was taken out of the App longer ago than the grace period, mirrors and packages included."""
        await self._store.deliveries.purge()
        await self._store.history.purge(self._kept.removed)
        repositories, installations = await self._store.installations.purge(self._kept.removed)
        for repository_id in repositories:
            await self._caches.remove(repository_id)
            logger.info("repository deleted for good", repository_id=repository_id)
        for installation_id in installations:
            await self._caches.remove_installation(installation_id)
            logger.info("installation deleted for good", installation_id=installation_id)

    async def _next_survey(self) -> bool:
        due = await self._store.installations.claim_survey()
        if due is None:
            return False
        installation_id, suspended = due
        metrics.RECONCILED.labels("repositories").inc()
        with log.bound(**{log.INSTALLATION: installation_id}):
            surveyed = await self.survey(installation_id)
        if surveyed and suspended:  # then it no longer is
            await self.list_installations()
        return True

    async def survey(self, installation_id: int) -> bool:
        """Bring the repositories of an installation up to date, and have those looked at that may be behind; True when GitHub answered."""
        began_at = datetime.now(UTC)
        try:
            listed = await self._survey.repositories(installation_id)
        except UnavailableError as error:
            again_at = began_at + max(timedelta(seconds=error.retry_after_s or 0), EVERY / 5)
            await self._store.installations.survey_done(installation_id, again_at)
            logger.warning("could not survey the installation", reason=str(error))
            return False
        except FreshetError as error:  # suspended or gone: the list of installations tells which
            await self._store.installations.survey_done(installation_id, None)
            logger.info("the installation cannot be surveyed", reason=str(error))
            await self.list_installations()
            return False
        gone = await self._store.installations.sync_repositories(installation_id, listed, began_at)
        if gone:
            await self._store.extractions.cancel_queued(installation_id, gone)
        await self._store.installations.survey_done(installation_id, None)
        logger.info("installation surveyed", repositories=len(listed), gone=len(gone))
        return True

    async def _next_look(self) -> bool:
        due = await self._store.installations.claim_look()
        if due is None:
            return False
        metrics.RECONCILED.labels("head").inc()
        with log.bound(repository=due.repository.full_name, installation_id=due.repository.installation_id):
            await self.look(due)
        return True

    async def look(self, due: Look) -> None:
        """Queue the heads of a repository's followed branches, if it holds a dbt project and we are behind."""
        repository = due.repository
        try:
            await self._look(due)
        except GoneError as error:  # taken out, deleted, or not visible for a moment: the list of the installation tells which
            await self._store.installations.look_failed(repository.id, None)
            await self._store.installations.survey_done(repository.installation_id, datetime.now(UTC))
            logger.info("the repository cannot be seen", reason=str(error))
        except FreshetError as error:
            asked = error.retry_after_s if isinstance(error, UnavailableError) else None
            again = error.retryable and (asked is not None or due.attempts < MAX_LOOKS)
            again_at = datetime.now(UTC) + retry_delay(due.attempts, asked) if again else None
            await self._store.installations.look_failed(repository.id, again_at, asked_to_wait=asked is not None)
            logger.warning("could not look at the repository", reason=str(error), again=again)

    async def _look(self, due: Look) -> None:
        """Ask whether heads are others first: while they are not, GitHub does not count the questions.

        The default branch comes last: only then the look is over, so what GitHub does not answer is asked again.
        """
        repository = due.repository if due.etag else await self._github.describe(due.repository)
        for branch, etag in (await self._store.connections.branches(repository.id)).items():
            if branch != repository.default_branch:
                await self._look_at_branch(repository, branch, etag)
        await self._look_at_default(repository, None if due.moved else due.etag)

    async def _look_at_branch(self, repository: Repository, branch: str, etag: str | None) -> None:
        """Queue the head of a branch that connections are set to."""
        head = await self._survey.branch_head(repository, branch, etag)
        if head is None:
            return
        async with self._store.transaction() as tx:
            connections = await tx.connections.of_repository(repository.id)
            if head.sha:
                await _catch_up(tx, [one for one in connections if one.branch == branch], branch, head.sha)
            await tx.connections.keep_etag(repository.id, branch, head.etag)

    async def _look_at_default(self, repository: Repository, etag: str | None) -> None:
        branch = repository.default_branch
        head = await self._survey.branch_head(repository, branch, etag) if branch else None
        if branch is None or head is None:
            await self._store.installations.unchanged(repository.id)
            return
        holds = False
        if head.sha and await self._is_new(repository, branch):
            holds = bool(discovery.projects(await self._survey.paths(repository, head.sha), {}, Settings()).projects)
        async with self._store.transaction() as tx:
            following = await _following(tx, repository, branch)
            if holds and not following and not await tx.connections.removed(repository.id):
                # Its first extraction finds out which projects there are.
                following = [await tx.connections.create(repository.id, None)]
            if head.sha:
                await _catch_up(tx, following, branch, head.sha)
            await tx.installations.looked(repository, head.etag)

    async def _is_new(self, repository: Repository, branch: str) -> bool:
        """Tell whether the projects of the default branch have no connection yet, though nobody took one away."""
        async with self._store.transaction() as tx:
            return not await _following(tx, repository, branch) and not await tx.connections.removed(repository.id)


async def _following(tx: Store, repository: Repository, branch: str) -> list[Connection]:
    """Return the connections that follow the default branch, which is `branch`."""
    return [one for one in await tx.connections.of_repository(repository.id) if one.branch in (None, branch)]


async def _catch_up(tx: Store, connections: Sequence[Connection], branch: str, sha: str) -> None:
    """Queue the head of a branch for each connection that is behind."""
    for connection in connections:
        await tx.connections.move_head(connection.id, sha)
        await tx.extractions.supersede(connection.id, branch, sha)
        if jobs.is_behind(await tx.extractions.newest(connection.id, branch), sha, connection.lineage_sha):
            await tx.extractions.enqueue(connection.id, branch, sha, "reconcile")


async def _forever(bell: Bell, step: Callable[[], Awaitable[bool]]) -> None:
    """Take steps while there are some, wait for the bell when there is none, and go on whatever is away."""
    while True:
        try:
            if not await step():
                await bell.wait(IDLE_S)
        except FreshetError as error:
            logger.warning("the reconciler had to stop for a while", reason=str(error), retryable=error.retryable)
            await bell.wait(IDLE_S)
