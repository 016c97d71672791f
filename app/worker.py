"""The worker: claims extractions, runs them, and stores how they ended. Nothing that it has claimed is lost when it stops or dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from app import log, metrics
from app.errors import DiskFullError, FreshetError, NoProjectError, UnavailableError, is_full
from app.jobs import MAX_ATTEMPTS, Extraction, Problem, retry_delay
from app.ledger import ClaimLostError, Ledger
from app.ports import Bell, StateScope
from app.refresh import Carried, Commit, Refreshed, Tools, refresh
from app.storage import Store
from app.wording import report

LEASE = timedelta(seconds=20)
"""Work of a process that died waits no longer than this."""
HEARTBEAT_S = 5.0
IDLE_S = 10.0
STORE_TRIES_S = (0.2, 1.0, 5.0)

logger = log.get(__name__)


class Worker:
    """Runs at most `concurrency` extractions at once under one name."""

    def __init__(self, name: str, store: Store, tools: Tools, *, concurrency: int) -> None:
        self._name = name
        self._store = store
        self._tools = tools
        self._concurrency = concurrency
        self._running: dict[str, asyncio.Task[None]] = {}
        self._lost: set[str] = set()
        """What runs here though it is no longer ours."""
        metrics.CONCURRENCY.set(concurrency)

    async def run(self, bell: Bell, cancels: Bell) -> None:
        """Work for ever. When cancelled: take nothing new, stop what runs, hand it back.

        `bell` rings when something was queued, `cancels` when something that runs was cancelled, here or elsewhere.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._heartbeat(cancels), name="heartbeat")
                while True:
                    extraction = await self._next()
                    if extraction is None:
                        await bell.wait(IDLE_S)
                        continue
                    task = tasks.create_task(self._work(extraction), name=f"extraction {extraction.id}")
                    self._running[extraction.id] = task
                    task.add_done_callback(lambda _, key=extraction.id: self._ended(key, bell))  # type: ignore[misc]
        finally:
            self._running.clear()

    def _ended(self, extraction_id: str, bell: Bell) -> None:
        """Look for the next one; not before there is room for it, or it would wait for another ring."""
        self._running.pop(extraction_id, None)
        self._lost.discard(extraction_id)
        bell.ring()

    async def _next(self) -> Extraction | None:
        if len(self._running) >= self._concurrency:
            return None
        try:
            return await self._store.extractions.claim(self._name, LEASE)
        except UnavailableError as error:
            logger.warning("cannot claim", reason=str(error))
            return None

    async def _heartbeat(self, cancels: Bell) -> None:
        """Keep our claims, stop what is no longer ours (at once when it was cancelled), and queue again what dead workers left."""
        while True:
            try:
                # Ours first: after an absence of the database they may have expired, and still be ours.
                before = set(self._running)
                for lost in before - await self._store.extractions.renew(self._name, LEASE) - self._lost:
                    if task := self._running.get(lost):
                        self._lost.add(lost)
                        task.cancel("claim lost")
                await self._store.extractions.requeue_expired()
            except UnavailableError as error:
                logger.warning("cannot renew the claims", reason=str(error))
            await cancels.wait(HEARTBEAT_S)

    async def _work(self, extraction: Extraction) -> None:
        ids = {log.EXTRACTION: extraction.id, log.REPOSITORY: extraction.repository.full_name}
        with log.bound(**ids, **{log.INSTALLATION: extraction.repository.installation_id}), metrics.RUNNING.track_inprogress():
            ledger = Ledger(self._store, self._name, extraction)
            try:
                await self._extract(extraction, ledger)
            except asyncio.CancelledError:
                if extraction.id in self._lost:
                    await self._let_go(extraction, ledger)
                else:
                    ledger.count("handed_back")
                    await asyncio.shield(self._hand_back(extraction))
                raise
            except ClaimLostError:
                await self._let_go(extraction, ledger)
            except UnavailableError as error:
                logger.warning("cannot store how the extraction stands, its lease will run out", reason=str(error))

    async def _extract(self, extraction: Extraction, ledger: Ledger) -> None:
        """Run it and store how it ended. Only a lost claim and being cancelled come out of here."""
        logger.info("extraction begins", sha=extraction.sha, attempt=extraction.attempt)
        if extraction.attempt == 1:
            metrics.EXTRACTION_WAIT.observe(max((datetime.now(UTC) - extraction.created_at).total_seconds(), 0.0))
        branch = None if extraction.followed or extraction.forced else extraction.branch
        commit = Commit(extraction.id, extraction.repository, extraction.sha, branch, _state_scope(extraction))
        try:
            if extraction.attempt > MAX_ATTEMPTS:
                await self._fail(extraction, ledger, _given_up())
                return
            refreshed = await refresh(commit, self._tools, ledger)
            try:
                await self._keep(extraction, refreshed, ledger)
            finally:
                refreshed.close()
            ledger.count("succeeded", "success")
            metrics.CARRIED.inc(isinstance(refreshed, Carried))
            logger.info("extraction succeeded", carried=isinstance(refreshed, Carried))
        except ClaimLostError:
            raise
        except FreshetError as error:
            await self._stopped(extraction, ledger, error)
        except Exception as error:  # a mistake of ours must end in a check run too, and the next extraction must work
            logger.exception("extraction crashed")
            if is_full(error):
                await self._stopped(extraction, ledger, _full(commit, error))
            else:
                await self._fail(extraction, ledger, report.crash(error))

    async def _let_go(self, extraction: Extraction, ledger: Ledger) -> None:
        """Somebody cancelled it, or somebody else has it: nothing of what was done here counts."""
        try:
            current = await self._store.extractions.get(extraction.id)
        except UnavailableError:
            current = None
        cancelled = current is None or current.status == "cancelled"
        ledger.count("cancelled" if cancelled else "claim_lost")
        logger.info("extraction cancelled") if cancelled else logger.warning("claim lost")

    async def _stopped(self, extraction: Extraction, ledger: Ledger, error: FreshetError) -> None:
        logger.info("extraction stopped", reason=str(error), retryable=error.retryable)
        if error.retryable and extraction.attempt < MAX_ATTEMPTS:
            asked = error.retry_after_s if isinstance(error, UnavailableError) else None
            ledger.count("retried")
            await _insisting(lambda: self._retry(extraction, ledger, retry_delay(extraction.attempt, asked), report.problem(error)))
            return
        if isinstance(error, NoProjectError):
            await self._store.connections.hide_unfound(extraction.connection_id)
        problem = report.problem(error, chosen=extraction.repository_selection == "selected")
        if isinstance(error, NoProjectError) and await self._others_stay(extraction):
            problem = report.removed(problem)
        await self._fail(extraction, ledger, problem)

    async def _others_stay(self, extraction: Extraction) -> bool:
        """Tell whether the repository has other projects: then that this one is gone was somebody's wish.

        It is not where somebody said that it is here.
        """
        current = await self._store.extractions.get(extraction.id)
        connection = await self._store.connections.get(extraction.connection_id)
        return current is not None and current.siblings > 1 and not (connection and connection.by_hand)

    async def _retry(self, extraction: Extraction, ledger: Ledger, delay: timedelta, problem: Problem) -> None:
        async with self._store.transaction() as tx:
            number = await tx.extractions.retry(extraction.id, self._name, delay, problem=problem, facts=ledger.facts)
            await _keep_log(tx, extraction, number, ledger)

    async def _fail(self, extraction: Extraction, ledger: Ledger, problem: Problem) -> None:
        times = ledger.ended()
        ledger.count("failed", problem.conclusion)

        async def fail() -> None:
            async with self._store.transaction() as tx:
                number = await tx.extractions.finish(extraction.id, self._name, "failed", times, problem=problem, facts=ledger.facts)
                await _keep_log(tx, extraction, number, ledger)

        await _insisting(fail)

    async def _keep(self, extraction: Extraction, refreshed: Refreshed | Carried, ledger: Ledger) -> None:
        """Store the lineage, switch the connection, and end the extraction: one transaction."""
        async with self._store.transaction() as tx:
            result = await _save(tx, extraction, refreshed)
            await tx.connections.found_project(extraction.connection_id, refreshed.layout.project_dir, result["project_name"])
            times = ledger.ended()
            number = await tx.extractions.finish(extraction.id, self._name, "succeeded", times, result=result, facts=ledger.facts)
            if number is None:
                raise ClaimLostError
            await _keep_log(tx, extraction, number, ledger)

    async def _hand_back(self, extraction: Extraction) -> None:
        try:
            await self._store.extractions.hand_back(extraction.id, self._name)
            logger.info("extraction handed back")
        except UnavailableError as error:
            logger.warning("extraction not handed back, its lease will run out", reason=str(error))


async def _save(tx: Store, extraction: Extraction, refreshed: Refreshed | Carried) -> dict[str, Any]:
    """Store the lineage and return what is kept of the success."""
    if isinstance(refreshed, Carried):
        carried = await tx.lineages.carry(extraction, refreshed.known.lineage_id)
        return report.carried(refreshed.known.result, refreshed.known.sha, carried.change)
    saved = await tx.lineages.save(extraction, refreshed.lineage, refreshed.input_hash)
    return refreshed.told(saved.change)


async def _keep_log(tx: Store, extraction: Extraction, number: int | None, ledger: Ledger) -> None:
    """Store the log of a try that still counts."""
    if number is not None and ledger.log is not None:
        await tx.logs.keep(extraction.id, number, ledger.log)


async def _insisting(write: Callable[[], Awaitable[object]]) -> None:
    """Write how it ended, over a short absence of the database; over a long one the lease runs out and it is done again."""
    for pause_s in STORE_TRIES_S:
        try:
            await write()
        except UnavailableError as error:
            logger.warning("cannot store how the extraction ended", reason=str(error))
            await asyncio.sleep(pause_s)
        else:
            return


def _state_scope(extraction: Extraction) -> StateScope:
    repository = extraction.repository
    return StateScope(
        repository.installation_id,
        repository.id,
        extraction.connection_id,
        extraction.branch,
        followed=extraction.followed,
        fresh=extraction.forced,
    )


def _full(commit: Commit, error: Exception) -> DiskFullError:
    return DiskFullError(f"extracting {commit.label}", f"a disk of the host takes no more ({error})", "Free space below DBT_WORK_DIR.")


def _given_up() -> Problem:
    message = f"It was begun {MAX_ATTEMPTS} times, and each time the service was stopped or died over it."
    return Problem("Given up", message, "Re-run it; the operator finds the cause in the log.", conclusion="neutral")
