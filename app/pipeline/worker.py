"""The worker: claims extractions, runs them and stores the results. If it stops or dies, another worker takes over its extractions."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.core import log, metrics, traces
from app.core.errors import DatabaseUnavailableError, DiskFullError, FreshetError, NoProjectError, UnavailableError, is_full
from app.core.models.extractions import Extraction, Problem
from app.core.retry import retry_delay
from app.core.wakeup import Wakeup
from app.pipeline import queue_rules
from app.pipeline.impacts import Impacts
from app.pipeline.leases import EXTRACTION_ATTEMPTS, EXTRACTION_LEASE, EXTRACTION_OUTAGES, HEARTBEAT_S, WORKER_IDLE_S
from app.pipeline.outages import UnsettledClaims, with_retries
from app.pipeline.ports import StateScope
from app.pipeline.progress import ClaimLostError, Progress
from app.pipeline.refresh import CarriedLineage, Commit, Tools, refresh
from app.pipeline.storing import end_incomplete, store_everything, store_log
from app.pipeline.verification import Verifier
from app.reports import results
from app.store import Store

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Run:
    """A running extraction."""

    installation_id: int
    spare: bool
    """Of a fork, or in the background."""
    task: asyncio.Task[None]


class Worker:
    """Runs up to `concurrency` extractions at once, and `per_installation` of one installation; `name` identifies the process.

    Each claim has a name of its own: if this process sleeps, loses a claim and claims the same extraction again, the first run of it has no
    effect any more.
    """

    def __init__(  # noqa: PLR0913 - three have a default
        self,
        name: str,
        store: Store,
        tools: Tools,
        impacts: Impacts,
        *,
        concurrency: int,
        per_installation: int | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self._name = name
        self._store = store
        self._tools = tools
        self._impacts = impacts
        self._concurrency = concurrency
        self._per_installation = per_installation or concurrency
        self._verifier = verifier or Verifier(store, tools)
        self._claims = itertools.count(1)
        self._running: dict[str, _Run] = {}
        """By the name of the claim."""
        self._lost: set[str] = set()
        """Claims that are no longer ours, of extractions that are still running."""
        self._cut_off: set[str] = set()
        """Claims that could not be renewed for a while, because the database was unavailable."""
        self._unsettled = UnsettledClaims(store)
        metrics.CONCURRENCY.set(concurrency)

    async def run(self, wakeup: Wakeup, cancels: Wakeup) -> None:
        """Work until cancelled; then stop the running extractions and hand them back.

        `wakeup` wakes it when an extraction was queued, `cancels` when a running one was cancelled, by any process.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._heartbeat(cancels), name="heartbeat")
                while True:
                    claim = f"{self._name}/{next(self._claims)}"
                    extraction = await self._next(claim)
                    if extraction is None:
                        if len(self._running) < max(self._concurrency - 1, 1):
                            self._verifier.begin(wakeup.wake)
                        await wakeup.wait(WORKER_IDLE_S)
                        continue
                    task = tasks.create_task(self._work(extraction, claim), name=f"extraction {extraction.id}")
                    self._running[claim] = _Run(extraction.repository.installation_id, extraction.background or extraction.of_fork, task)
                    if len(self._running) >= self._concurrency:
                        self._verifier.give_way()
                    task.add_done_callback(lambda _, claim=claim: self._ended(claim, wakeup))  # type: ignore[misc]
        finally:
            self._running.clear()
            await self._verifier.stop()

    def _ended(self, claim: str, wakeup: Wakeup) -> None:
        """Look for the next extraction, after this one no longer counts: otherwise it would wait for another wakeup."""
        self._running.pop(claim, None)
        self._lost.discard(claim)
        self._cut_off.discard(claim)
        wakeup.wake()

    async def _next(self, claim: str) -> Extraction | None:
        if len(self._running) >= self._concurrency:
            return None
        places = Counter(run.installation_id for run in self._running.values() if not run.spare)
        full = [installation_id for installation_id, taken in places.items() if taken >= self._per_installation]
        # Nobody waits for what strangers pushed, or for what runs in the background, so one place is left to what comes next.
        spare = sum(run.spare for run in self._running.values()) < max(self._concurrency - 1, 1)
        try:
            return await self._store.extractions.claim(claim, EXTRACTION_LEASE, full, spare=spare)
        except UnavailableError as error:
            logger.warning("cannot claim an extraction", reason=str(error))
            self._unsettled.add(claim, None)
            return None

    async def _heartbeat(self, cancels: Wakeup) -> None:
        """Renew our claims, stop extractions that are no longer ours (immediately if cancelled), and queue those of dead workers again."""
        while True:
            try:
                # Ours first: after an outage of the database, our claims may have expired and still be ours.
                before = set(self._running)
                for lost in before - await self._store.extractions.renew(before, EXTRACTION_LEASE) - self._lost:
                    if run := self._running.get(lost):
                        self._lost.add(lost)
                        run.task.cancel("claim lost")
                await self._unsettled.settle()
                await self._store.extractions.requeue_expired()
            except UnavailableError as error:
                logger.warning("cannot renew claims", reason=str(error))
                self._cut_off.update(self._running)
            await cancels.wait(HEARTBEAT_S)

    async def _work(self, extraction: Extraction, claim: str) -> None:
        repository = extraction.repository
        ids = {log.REPOSITORY: repository.full_name, log.INSTALLATION: repository.installation_id, log.DELIVERY: extraction.delivery_id}
        traced = traces.span("extraction", extraction.traceparent, extraction_id=extraction.id, **ids, attempt=extraction.attempt)
        with log.bound(**log.ids(**{log.EXTRACTION: extraction.id}, **ids)), metrics.RUNNING.track_inprogress(), traced:
            progress = Progress(self._store, claim, extraction)
            try:
                await self._extract(extraction, progress)
            except asyncio.CancelledError:
                if claim in self._lost:
                    await self._abandon(extraction, progress)
                else:
                    progress.count("handed_back")
                    await asyncio.shield(self._hand_back(extraction, claim))
                raise
            except ClaimLostError:
                await self._abandon(extraction, progress)
            except UnavailableError as error:
                logger.warning("cannot store the state of the extraction, it will be queued again", reason=str(error))
                self._unsettled.add(claim, extraction.id)

    async def _extract(self, extraction: Extraction, progress: Progress) -> None:
        """Run an extraction and store the result. Raises only ClaimLostError, CancelledError and UnavailableError of the database."""
        logger.info("extraction started", sha=extraction.sha, attempt=extraction.attempt)
        if extraction.attempt == 1 and not extraction.background:
            metrics.EXTRACTION_WAIT.observe(max((datetime.now(UTC) - extraction.created_at).total_seconds(), 0.0))
        commit = await self._commit(extraction)
        try:
            if extraction.attempt > EXTRACTION_ATTEMPTS:
                await self._fail(extraction, progress, _too_many_attempts())
                return
            async with self._impacts.beginning(extraction, progress) as finding:
                if not progress.is_settled:
                    await self._refresh(commit, extraction, progress)
                await self._impacts.end(extraction, progress, finding)
            progress.count("succeeded", "success")
            logger.info("extraction succeeded", carried=bool(progress.result.get("carried_from")))
        except ClaimLostError:
            raise
        except FreshetError as error:
            await self._handle_error(extraction, progress, error)
        except Exception as error:  # a bug of ours must end in a check run too, and must not stop the worker
            logger.exception("extraction crashed")
            if is_full(error):
                await self._handle_error(extraction, progress, _disk_full(commit, error))
            else:
                await self._fail(extraction, progress, results.internal_error(error))

    async def _commit(self, extraction: Extraction) -> Commit:
        """The commit to extract. One of a stranger has the rights of a public repository, and is fetched from its pull request."""
        branch, repository, ref = queue_rules.listed_branch(extraction), extraction.repository, ""
        if extraction.of_fork:
            repository = repository.as_public()
            base = await self._store.pull_requests.base_branch_of(repository.id, extraction.branch, extraction.sha, None)
            ref = f"refs/pull/{base.number}/head" if base else ""
        since = min(extraction.created_at.timestamp(), time.time())
        return Commit(extraction.id, repository, extraction.sha, branch, _state_scope(extraction), since, ref=ref)

    async def _refresh(self, commit: Commit, extraction: Extraction, progress: Progress) -> None:
        refreshed = await refresh(commit, self._tools.for_strangers() if extraction.of_fork else self._tools, progress)
        try:
            async with self._verifier.sampling(extraction, commit, refreshed):
                await store_everything(self._store, extraction, refreshed, progress, self._tools.decoders)
        finally:
            refreshed.close()
        metrics.CARRIED.inc(isinstance(refreshed, CarriedLineage))

    async def _abandon(self, extraction: Extraction, progress: Progress) -> None:
        """The extraction was cancelled, or another worker has it: discard what was done here."""
        try:
            current = await self._store.extractions.get(extraction.id)
        except UnavailableError:
            current = None
        cancelled = current is None or current.status == "cancelled"
        if not cancelled and progress.claim in self._cut_off:
            self._unsettled.add(progress.claim, extraction.id)
        progress.count("cancelled" if cancelled else "claim_lost")
        logger.info("extraction cancelled") if cancelled else logger.warning("claim lost")

    async def _handle_error(self, extraction: Extraction, progress: Progress, error: FreshetError) -> None:
        logger.info("extraction stopped", reason=str(error), retryable=error.retryable)
        if isinstance(error, DatabaseUnavailableError) and extraction.attempt_number < EXTRACTION_OUTAGES:
            raise error
        if error.retryable and extraction.attempt < EXTRACTION_ATTEMPTS:
            asked = error.retry_after_s if isinstance(error, UnavailableError) else None
            problem = results.problem(error, progress.annotations)
            await _stored(lambda: self._retry(extraction, progress, retry_delay(extraction.attempt, asked), problem))
            progress.count("retried")
            return
        if isinstance(error, NoProjectError) and not extraction.background:
            await self._fail_without_project(extraction, progress, error)
        else:
            await self._fail(extraction, progress, results.problem(error, progress.annotations))

    async def _fail_without_project(self, extraction: Extraction, progress: Progress, error: NoProjectError) -> None:
        """The commit has no project. If the repository has others, this one was removed on purpose, unless somebody said it is here.

        What a stranger removed is an error, and changes nothing here.
        """
        if extraction.of_fork:
            await self._fail(extraction, progress, results.problem(error, progress.annotations))
            return
        current = await self._store.extractions.get(extraction.id)
        connection = await self._store.connections.get(extraction.connection_id)
        manual = connection is not None and connection.manual
        expected = manual or (extraction.project_dir is not None and extraction.repository_selection == "selected")
        problem = results.problem(error, progress.annotations, expected=expected)
        if current is not None and current.siblings > 1 and not manual:
            problem = results.project_removed(problem)

        async def hide(tx: Store) -> None:
            await tx.installations.record_missing_project(extraction.repository.id)
            await tx.connections.hide_without_project(extraction.connection_id, extraction.id)

        await self._fail(extraction, progress, problem, hide)

    async def _retry(self, extraction: Extraction, progress: Progress, delay: timedelta, problem: Problem) -> None:
        async with self._store.transaction() as tx:
            number = await tx.extractions.retry(extraction.id, progress.claim, delay, problem=problem, facts=progress.facts)
            await store_log(tx, extraction, number, progress)

    async def _fail(
        self, extraction: Extraction, progress: Progress, problem: Problem, first: Callable[[Store], Awaitable[None]] | None = None
    ) -> None:
        """End the extraction as failed, unless its lineage is stored.

        `first` is done in the same transaction: repositories are locked before connections, and those before extractions, always.
        """
        if progress.result:
            await self._end_incomplete(extraction, progress, problem)
            return
        times = progress.ended()

        async def fail() -> None:
            async with self._store.transaction() as tx:
                if first is not None:
                    await first(tx)
                number = await tx.extractions.finish(extraction.id, progress.claim, "failed", times, problem=problem, facts=progress.facts)
                await store_log(tx, extraction, number, progress)

        await _stored(fail)
        progress.count("failed", problem.conclusion)

    async def _end_incomplete(self, extraction: Extraction, progress: Progress, problem: Problem) -> None:
        reason = " ".join(text for text in (f"{problem.title}.", problem.message, problem.next_step) if text)
        await _stored(lambda: end_incomplete(self._store, extraction, progress, reason))
        progress.count("succeeded", "success")

    async def _hand_back(self, extraction: Extraction, claim: str) -> None:
        try:
            await self._store.extractions.hand_back(extraction.id, claim)
            logger.info("extraction handed back")
        except UnavailableError as error:
            logger.warning("extraction not handed back, its lease will expire", reason=str(error))


async def _stored(write: Callable[[], Awaitable[object]]) -> None:
    """Store how an extraction ended. Raises DatabaseUnavailableError in a longer outage."""
    if not await with_retries(write):
        raise DatabaseUnavailableError("storing the end of an extraction", "PostgreSQL does not answer", "Freshet retries automatically.")


def _state_scope(extraction: Extraction) -> StateScope | None:
    """None if the commit never was the head of the branch, for which it runs because somebody requested it."""
    repository, trust = extraction.repository, extraction.trust
    if not trust.was_head:
        return None
    fresh = extraction.forced or trust.shared
    place = repository.installation_id, repository.id, extraction.connection_id
    return StateScope(*place, trust.own, trust.followed, fresh=fresh, leaves=trust.leaves)


def _disk_full(commit: Commit, error: Exception) -> DiskFullError:
    return DiskFullError(
        f"extracting {commit.label}", f"a disk of the host is full ({error})", "The operator has to free some space in DBT_WORK_DIR."
    )


def _too_many_attempts() -> Problem:
    message = f"Attempted {EXTRACTION_ATTEMPTS} times; each time the service stopped or crashed."
    return Problem(
        f"No result after {EXTRACTION_ATTEMPTS} attempts",
        message,
        "Re-run it. The operator can find the cause in the log.",
        conclusion="neutral",
    )
