"""Runs one job in one container, warm if possible, until its manifest is there. What it writes later is left to `drains`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiodocker

from app.core import metrics
from app.core.errors import EngineUnavailableError, FreshetError, JobError, UnavailableError
from app.core.models.extractions import ContainerFacts
from app.pipeline.ports import DbtJob, PackageTree, TarStream
from app.runner import outcome
from app.runner.docker import drains, engine
from app.runner.docker.container import Container
from app.runner.docker.drains import DRAIN_S, Drain, LaterColumns
from app.runner.docker.isolation import CPU_SHARES, ContainerSpec
from app.runner.docker.later_output import EarlierFiles, LaterOutput
from app.runner.docker.lifetime import Leftovers
from app.runner.docker.warm_pool import WarmContainer, WarmPool
from app.runner.job_archive import archive
from app.runner.job_protocol import Command, MalformedResultError, Result, Sink, Sinks, job_line
from app.runner.outcome import Exit
from app.runner.parse_state import ParseStates
from app.runner.warm_demand import WarmKind

CONTAINER_S = 240.0
"""The limit for getting a container, whatever that takes: waiting for a warm one, and creating one on a busy engine."""
LOG_S = 1.0
"""How often the log of a running job is shown."""
MAX_DRAINS = 8
"""The limit of containers that only write their state, since they use memory. Beyond it, the state is not written."""


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


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A job that succeeded."""

    result: Result
    facts: ContainerFacts
    states_of: frozenset[str]
    """See `Parsed.states_of`."""
    columns: LaterColumns | None
    """If the job asks for columns."""


class ContainerJobs:
    """Runs any number of jobs at the same time."""

    def __init__(self, docker: aiodocker.Docker, pool: WarmPool, states: ParseStates, leftovers: Leftovers, work_dir: Path) -> None:
        self._docker, self._pool, self._states, self._leftovers, self._work_dir = docker, pool, states, leftovers, work_dir
        self._draining = 0

    async def run(self, container_job: ContainerJob) -> FinishedJob:
        """Run a job. If this raises or is cancelled, the container is deleted then, else soon. Raises like `ports.Runner.parse`."""
        job = container_job.job
        earlier = await EarlierFiles.open(self._states, job)
        later = LaterOutput(self._states, job, earlier, self._work_dir)
        kind = WarmKind(job.image.name, job.adapter_type)
        self._pool.begin(kind)
        try:
            return await self._run(container_job, earlier, later, kind)
        except BaseException:
            later.close()
            self._pool.end(kind)
            raise
        finally:
            earlier.close()

    async def _run(self, container_job: ContainerJob, earlier: EarlierFiles, later: LaterOutput, kind: WarmKind) -> FinishedJob:
        since = time.monotonic()
        sinks = later.sinks(container_job.sink)
        container = await self._container(container_job, sinks)
        began = time.monotonic()
        try:
            stdin = archive(container_job.tree, container_job.packages, earlier.for_archive())
            async with _showing_log(container, container_job.job):
                end = await _run_job(container, container_job, sinks, stdin)
            result = outcome.judge(container.answers, end, container.spec, engine.NEXT_STEP)
        except BaseException as error:
            await container.close()
            facts = _facts(container, since)
            if isinstance(error, JobError):
                error.carry(facts)
            if earlier and container_job.job.state is not None and outcome.state_is_suspect(error, container.answers.result):
                await self._states.forget(container_job.job.state)
                reason = "dbt failed with the state of its last parse, which is discarded now"
                raise UnavailableError(container.spec.doing, reason, "Freshet retries automatically, without it.", facts=facts) from error
            raise
        limit = drains.limit_s(container, time.monotonic() - began)
        columns = self._release(container, container_job.job, later, kind, limit)
        return FinishedJob(result, replace(_facts(container, since), log=end.log), earlier.branches, columns)

    async def _container(self, container_job: ContainerJob, sinks: Sinks) -> Container:
        """A warm container that has the job, or a cold one. Raises EngineUnavailableError if neither is available in time."""
        try:
            async with asyncio.timeout(CONTAINER_S) as limit:
                return await self._warm(container_job, sinks) or await self._cold(container_job)
        except TimeoutError:
            if not limit.expired():
                raise
            reason = f"the Docker engine provided no container within {CONTAINER_S:g} seconds"
            raise EngineUnavailableError(container_job.spec.doing, reason, engine.NEXT_STEP) from None

    async def _warm(self, container_job: ContainerJob, sinks: Sinks) -> Container | None:
        """Hand the job to a warm container, and return that; None if there is none, or if it fails: then the job gets a cold one."""
        if container_job.command != "parse":
            return None
        one = await self._pool.take(container_job.job.image, container_job.job.adapter_type)
        if one is None or not await self._hand_over(one, container_job, sinks):
            return None
        self._pool.worked(container_job.job.image)
        self._pool.spawn(one.container.rename(container_job.spec.name))
        metrics.CONTAINER_STARTS.labels(kind="warming" if one.waited else "warm").inc()
        return one.container

    async def _cold(self, container_job: ContainerJob) -> Container:
        metrics.CONTAINER_STARTS.labels(kind="cold").inc()
        return await Container.open(self._docker, container_job.spec, self._leftovers)

    async def _hand_over(self, one: WarmContainer, container_job: ContainerJob, sinks: Sinks) -> bool:
        """Hand a job to a warm container; False if it fails. The job's files are not read before."""
        container = one.container
        container.set_doing(container_job.spec.doing)
        if not one.quick:
            self._pool.spawn(container.set_cpu_shares(CPU_SHARES))
        reason = "died"
        try:
            async with asyncio.timeout(self._pool.patience_s):
                if await container.hand_over(job_line(container_job.command, container_job.job), sinks):
                    return True
        except TimeoutError:
            reason = "hung"
        except (MalformedResultError, FreshetError):
            reason = "babbled"
        except BaseException:
            await container.close()
            raise
        self._pool.discard(one, reason)
        return False

    def _release(self, container: Container, job: DbtJob, later: LaterOutput, kind: WarmKind, limit_s: float) -> LaterColumns | None:
        """Receive what is left in the background. A container whose columns are waited for counts as one that runs a job."""
        if job.columns:
            delivery = LaterColumns(job, later)
            self._pool.spawn(Drain(container, job, later, delivery).run(limit_s, lambda: self._pool.end(kind)))
            return delivery
        self._pool.end(kind)
        if not later.has_state or self._draining >= MAX_DRAINS:
            self._pool.spawn(_close(container, later))
            return None
        self._draining += 1
        self._pool.spawn(Drain(container, job, later, None).run(DRAIN_S, self._drained))
        return None

    def _drained(self) -> None:
        self._draining -= 1


async def _run_job(container: Container, container_job: ContainerJob, sinks: Sinks, stdin: AsyncIterator[bytes]) -> Exit:
    try:
        async with asyncio.timeout(container.spec.limits.timeout_s) as limit:
            if container.answers.taken.is_set() or await container.hand_over(job_line(container_job.command, container_job.job), sinks):
                return await container.run_job(stdin)
            return await container.exit()
    except TimeoutError:
        if not limit.expired():
            raise
        raise outcome.timed_out(container.spec) from None
    except MalformedResultError as error:
        raise outcome.wrong_protocol(container.spec) from error


@asynccontextmanager
async def _showing_log(container: Container, job: DbtJob) -> AsyncIterator[None]:
    """Show the log while it grows."""
    showing = asyncio.create_task(_show_log(container, job)) if job.show_log else None
    try:
        yield
    finally:
        if showing is not None:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)


async def _show_log(container: Container, job: DbtJob) -> None:
    shown = ""
    while job.show_log is not None:
        await asyncio.sleep(LOG_S)
        text = container.log.text()
        if text != shown:
            shown = text
            await job.show_log(text)


def _facts(container: Container, since: float) -> ContainerFacts:
    return outcome.facts(container.answers.result, container.log.text(), time.monotonic() - since, container.spec.limits)


async def _close(container: Container, later: LaterOutput) -> None:
    later.close()
    await container.close()
