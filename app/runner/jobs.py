"""Runs one job in one container, warm if possible, until its manifest is there. What it writes later is left to `drains`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from app.core import log
from app.core.errors import JobError, UnavailableError
from app.core.models.extractions import ContainerFacts
from app.pipeline.ports import DbtJob
from app.runner import drains, outcome
from app.runner.acceptance import Acceptance, ContainerJob, Opener
from app.runner.container import Container
from app.runner.drains import DRAIN_S, Drain, LaterColumns
from app.runner.job_archive import archive
from app.runner.job_protocol import MalformedResultError, Result
from app.runner.later_output import EarlierFiles, LaterOutput
from app.runner.outcome import Exit
from app.runner.parse_state import ParseStates
from app.runner.warm_demand import WarmKind
from app.runner.warm_pool import WarmPool

LOG_S = 1.0
"""How often the log of a running job is shown."""
MAX_DRAINS = 8
"""The limit of containers that only write their state, since they use memory. Beyond it, the state is not written."""

logger = log.get(__name__)


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

    def __init__(self, opener: Opener, pool: WarmPool, states: ParseStates, work_dir: Path) -> None:
        self._opener, self._pool, self._states, self._work_dir = opener, pool, states, work_dir
        self._draining = 0

    async def run(self, container_job: ContainerJob) -> FinishedJob:
        """Run a job. If this raises or is cancelled, the container is deleted then, else soon. Raises like `ports.Runner.parse`."""
        job = container_job.job
        earlier = await EarlierFiles.open(self._states, job)
        later = LaterOutput(self._states, job, earlier, self._work_dir)
        kind = None if job.unhurried else WarmKind(job.image.name, job.adapter_type)
        self._pool.begin(kind)
        try:
            return await self._run(container_job, earlier, later, kind)
        except BaseException:
            later.close()
            self._pool.end(kind)
            raise
        finally:
            earlier.close()

    async def _run(self, container_job: ContainerJob, earlier: EarlierFiles, later: LaterOutput, kind: WarmKind | None) -> FinishedJob:
        since = time.monotonic()
        sinks = later.sinks(container_job.sink)
        container = await Acceptance(self._opener, self._pool, container_job, sinks).container()
        logger.info("container has the job", container=container.spec.name)
        began = time.monotonic()
        try:
            stdin = archive(container_job.tree, container_job.packages, earlier.for_archive())
            async with _showing_log(container, container_job.job):
                end = await _run_job(container, stdin)
            result = outcome.judge(container.answers, end, container.spec, container.unavailable)
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

    def _release(self, container: Container, job: DbtJob, later: LaterOutput, kind: WarmKind | None, limit_s: float) -> LaterColumns | None:
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


async def _run_job(container: Container, stdin: AsyncIterator[bytes]) -> Exit:
    try:
        async with asyncio.timeout(container.spec.limits.timeout_s) as limit:
            return await (container.run_job(stdin) if container.answers.taken.is_set() else container.exit())
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
