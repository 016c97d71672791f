"""Finds a container that accepts a job: a warm one or, if that does not answer soon, the cold one that is started then, whichever is first.

Slow is not dead: on a busy host, a warm container may still answer while the cold one starts. Only the deadline gives up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from app.core import metrics
from app.core.errors import EngineUnavailableError, FreshetError
from app.pipeline.ports import DbtJob, PackageTree, TarStream
from app.runner import outcome
from app.runner.cleanup import to_the_end
from app.runner.container import Container, ContainerSpec
from app.runner.job_protocol import Command, MalformedResultError, Sink, Sinks, job_line
from app.runner.warm_container import WarmContainer
from app.runner.warm_pool import WarmPool

DEADLINE_S = 240.0
"""The limit until a container has accepted the job, whatever that takes: waiting for a warm one, and a cold one on a busy engine."""


class Opener(Protocol):
    """A backend, as far as jobs know it."""

    def open(self, spec: ContainerSpec) -> Awaitable[Container]:
        """Start a container, or raise EngineUnavailableError, RunnerImageError or ConfigurationError and leave none."""

    def unavailable(self, doing: str, reason: str) -> EngineUnavailableError:
        """The error for a failure of the engine."""


@dataclass(frozen=True, slots=True)
class ContainerJob:
    """A job with its files, and where its output goes."""

    command: Command
    job: DbtJob
    spec: ContainerSpec
    """Of a cold container, if there is no warm one."""
    tree: TarStream
    packages: PackageTree | None
    sink: Sink


class Acceptance:
    """Looks for the container of one job. The job's files are not read meanwhile."""

    def __init__(self, opener: Opener, pool: WarmPool, container_job: ContainerJob, sinks: Sinks) -> None:
        self._opener, self._pool = opener, pool
        self._job, self._sinks = container_job, sinks
        self._too_late = False
        """Another container has accepted the job."""

    async def container(self) -> Container:
        """Return the container, or a cold one that ended before it accepted anything.

        Raises EngineUnavailableError without one by the deadline, ContainerTimedOutError and RunnerImageError like a job.
        """
        try:
            async with asyncio.timeout(DEADLINE_S) as limit:
                return await self._first()
        except TimeoutError:
            if not limit.expired():
                raise
            reason = f"no container accepted the job within {DEADLINE_S:g} seconds"
            raise self._opener.unavailable(self._job.spec.doing, reason) from None

    async def _first(self) -> Container:
        chosen: Container | None = None
        cold: asyncio.Task[Container] | None = None
        job, hurried = self._job.job, self._job.command == "parse" and not self._job.job.unhurried
        one = self._pool.reserve(job.image, job.adapter_type) if hurried else None
        warm = asyncio.create_task(self._warm(one), name="warm container")
        try:
            await asyncio.wait([warm], timeout=self._pool.patience_s(one) if one is not None else None)
            chosen = warm.result() if warm.done() else None
            if chosen is None:
                cold = asyncio.create_task(self._cold(), name="cold container")
                chosen = await _first_of(warm, cold)
                if cold.done() and not _failed(cold) and cold.result() is chosen:
                    metrics.CONTAINER_STARTS.labels(kind="cold").inc()
            return chosen
        finally:
            self._too_late = chosen is not None
            for task in (warm, cold):
                if task is not None and (not task.done() or (not _failed(task) and task.result() not in {None, chosen})):
                    task.cancel()
                    self._pool.spawn(to_the_end(_abandon(task)))

    async def _warm(self, one: WarmContainer | None) -> Container | None:
        """The warm container once it has accepted the job; None if it fails."""
        if one is None or not await self._pool.prepared(one) or not await self._hand_over(one):
            return None
        self._pool.worked(self._job.job.image)
        self._pool.spawn(one.container.rename(self._job.spec.name))
        metrics.CONTAINER_STARTS.labels(kind="warming" if one.waited else "warm").inc()
        return one.container

    async def _hand_over(self, one: WarmContainer) -> bool:
        """Hand the job to a warm container; False if it fails."""
        container = one.container
        container.set_doing(self._job.spec.doing)
        if not one.quick:
            self._pool.spawn(container.give_priority(working=True))
        reason = "died"
        try:
            if await container.hand_over(job_line(self._job.command, self._job.job), self._sinks):
                return True
        except (MalformedResultError, FreshetError):
            reason = "babbled"
        except asyncio.CancelledError:
            if self._too_late:
                self._pool.discard(one, "hung")
            else:
                await container.close()
            raise
        except BaseException:
            await container.close()
            raise
        self._pool.discard(one, reason)
        return False

    async def _cold(self) -> Container:
        container = await self._opener.open(self._job.spec)
        try:
            async with asyncio.timeout(container.spec.limits.timeout_s) as limit:
                await container.hand_over(job_line(self._job.command, self._job.job), self._sinks)
        except BaseException as error:
            await container.close()
            if isinstance(error, MalformedResultError):
                raise outcome.wrong_protocol(container.spec) from error
            if isinstance(error, TimeoutError) and limit.expired():
                raise outcome.timed_out(container.spec) from None
            raise
        return container


async def _first_of(warm: asyncio.Task[Container | None], cold: asyncio.Task[Container]) -> Container:
    """Return the container that is there first. Raises what the cold one raises, if the warm one ends without a container."""
    if not warm.done():
        await asyncio.wait([warm, cold], return_when=asyncio.FIRST_COMPLETED)
    if not warm.done() and _failed(cold):
        await asyncio.wait([warm])
    if warm.done() and not _failed(warm) and (found := warm.result()) is not None:
        return found
    return await cold


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _abandon(task: asyncio.Task[Any]) -> None:
    """Wait for the end of a task that was cancelled, and close what it has found all the same."""
    await asyncio.wait([task])
    if not _failed(task) and (found := task.result()) is not None:
        await found.close()
