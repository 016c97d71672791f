"""The worker: claims extractions, runs them, and stores how they ended. Nothing that it has claimed is lost when it stops or dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from app import lineage, log, report
from app.errors import FreshetError, UnavailableError
from app.jobs import MAX_ATTEMPTS, Extraction, Problem, Stage, StageTime, retry_delay
from app.ports import Bell, Runner, Sources, Store
from app.refresh import Commit, Refreshed, refresh

LEASE = timedelta(seconds=60)
HEARTBEAT_S = 15.0
IDLE_S = 10.0
STORE_TRIES_S = (0.2, 1.0, 5.0)

logger = log.get(__name__)


class ClaimLostError(Exception):
    """Somebody else has the extraction now, or nobody: what we know of it no longer counts."""


class Worker:
    """Runs at most `concurrency` extractions at once under one name."""

    def __init__(self, name: str, store: Store, sources: Sources, runner: Runner, *, concurrency: int) -> None:
        self._name = name
        self._store = store
        self._sources = sources
        self._runner = runner
        self._concurrency = concurrency
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self, bell: Bell) -> None:
        """Work for ever. When cancelled: take nothing new, stop what runs, hand it back."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._heartbeat(), name="heartbeat")
                while True:
                    extraction = await self._next()
                    if extraction is None:
                        await bell.wait(IDLE_S)
                        continue
                    task = tasks.create_task(self._work(extraction, bell), name=f"extraction {extraction.id}")
                    self._running[extraction.id] = task
                    task.add_done_callback(lambda _, key=extraction.id: self._running.pop(key, None))  # type: ignore[misc]
        finally:
            self._running.clear()

    async def _next(self) -> Extraction | None:
        if len(self._running) >= self._concurrency:
            return None
        try:
            return await self._store.extractions.claim(self._name, LEASE)
        except UnavailableError as error:
            logger.warning("cannot claim", reason=str(error))
            return None

    async def _heartbeat(self) -> None:
        """Keep our claims, stop what is no longer ours, and queue again what dead workers left."""
        while True:
            try:
                await self._store.extractions.requeue_expired()
                before = set(self._running)
                for lost in before - await self._store.extractions.renew(self._name, LEASE):
                    if task := self._running.get(lost):
                        task.cancel("claim lost")
            except UnavailableError as error:
                logger.warning("cannot renew the claims", reason=str(error))
            await asyncio.sleep(HEARTBEAT_S)

    async def _work(self, extraction: Extraction, bell: Bell) -> None:
        ids = {log.EXTRACTION: extraction.id, log.REPOSITORY: extraction.repository.full_name}
        with log.bound(**ids, **{log.INSTALLATION: extraction.repository.installation_id}):
            stages = Stages(lambda stage, times: self._enter(extraction, stage, times))
            try:
                await self._extract(extraction, stages)
            except asyncio.CancelledError:
                await asyncio.shield(self._hand_back(extraction))
                raise
            except ClaimLostError:
                logger.warning("claim lost")
            finally:
                bell.ring()

    async def _extract(self, extraction: Extraction, stages: Stages) -> None:
        """Run it and store how it ended. Only a lost claim and being cancelled come out of here."""
        logger.info("extraction begins", sha=extraction.sha, attempt=extraction.attempt)
        commit = Commit(extraction.id, extraction.repository, extraction.sha, extraction.project_dir)
        try:
            if extraction.attempt > MAX_ATTEMPTS:
                await self._fail(extraction, stages, _given_up())
                return
            refreshed = await refresh(commit, self._sources, self._runner, stages.enter)
            await self._keep(extraction, refreshed, stages)
            logger.info("extraction succeeded", nodes=len(refreshed.lineage.nodes))
        except ClaimLostError:
            raise
        except FreshetError as error:
            await self._stopped(extraction, stages, error)
        except Exception as error:  # a mistake of ours must end in a check run too, and the next extraction must work
            logger.exception("extraction crashed")
            await self._fail(extraction, stages, report.crash(error))

    async def _stopped(self, extraction: Extraction, stages: Stages, error: FreshetError) -> None:
        logger.info("extraction stopped", reason=str(error), retryable=error.retryable)
        if error.retryable and extraction.attempt < MAX_ATTEMPTS:
            asked = error.retry_after_s if isinstance(error, UnavailableError) else None
            delay = retry_delay(extraction.attempt, asked)
            await _insisting(lambda: self._store.extractions.retry(extraction.id, self._name, delay))
        else:
            await self._fail(extraction, stages, report.problem(error))

    async def _fail(self, extraction: Extraction, stages: Stages, problem: Problem) -> None:
        times = stages.ended()
        await _insisting(lambda: self._store.extractions.finish(extraction.id, self._name, "failed", times, problem=problem))

    async def _keep(self, extraction: Extraction, refreshed: Refreshed, stages: Stages) -> None:
        """Store the lineage, switch the connection, and end the extraction: one transaction."""
        found = refreshed.lineage
        async with self._store.transaction() as tx:
            before = await tx.lineages.current_fingerprints(extraction.connection_id)
            await tx.lineages.save(extraction, found)
            await tx.connections.found_project(extraction.connection_id, refreshed.layout.project_dir, found.project_name)
            result = report.result(
                refreshed.layout,
                found,
                refreshed.adapter_type,
                None if before is None else await asyncio.to_thread(lineage.difference, before, found),
                image=refreshed.parsed.image,
                usage=asdict(refreshed.parsed.usage),
            )
            if not await tx.extractions.finish(extraction.id, self._name, "succeeded", stages.ended(), result=result):
                raise ClaimLostError

    async def _enter(self, extraction: Extraction, stage: Stage, times: Sequence[StageTime]) -> None:
        if not await self._store.extractions.enter_stage(extraction.id, self._name, stage, times):
            raise ClaimLostError

    async def _hand_back(self, extraction: Extraction) -> None:
        try:
            await self._store.extractions.hand_back(extraction.id, self._name)
            logger.info("extraction handed back")
        except UnavailableError as error:
            logger.warning("extraction not handed back, its lease will run out", reason=str(error))


class Stages:
    """Keeps the times of the stages, and tells of each that begins."""

    def __init__(self, tell: Callable[[Stage, Sequence[StageTime]], Awaitable[None]]) -> None:
        self._tell = tell
        self._times: list[StageTime] = []

    async def enter(self, stage: Stage) -> None:
        """End the stage that runs and begin another."""
        self._times = [*self.ended(), StageTime(stage, datetime.now(UTC))]
        await self._tell(stage, self._times)

    def ended(self) -> list[StageTime]:
        """Return the times with the last stage ended now."""
        now = datetime.now(UTC)
        return [stage if stage.ended_at else replace(stage, ended_at=now) for stage in self._times]


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


def _given_up() -> Problem:
    message = f"It was begun {MAX_ATTEMPTS} times, and each time the service was stopped or died over it."
    return Problem("Given up", message, "Re-run it; the operator finds the cause in the log.", conclusion="neutral")
