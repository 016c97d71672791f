"""One job in one container: a warm one if there is one, from when it is taken until what it leaves for the next job is written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiodocker

from app import log, metrics
from app.dbt import verdict
from app.dbt.command import Command, MalformedResultError, Result, Sink, archive, job_line
from app.dbt.container import Box, Exit, timed_out
from app.dbt.demand import Kind
from app.dbt.isolation import Spec
from app.dbt.pool import Pool, Warm
from app.dbt.states import Saving, StateFile, States
from app.errors import EngineUnavailableError, FreshetError, UnavailableError
from app.ports import DbtJob, PackageTree, TarStream
from app.usage import Usage

DRAIN_S = 60.0
"""From a manifest to the end of the state."""
MAX_DRAINS = 8
"""Containers that only write their state. Beyond, it is not written: they hold memory."""

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Errand:
    """A job, and what comes with it."""

    command: Command
    job: DbtJob
    spec: Spec
    """Of the container, should it have to be a cold one."""
    tree: TarStream
    packages: PackageTree | None
    sink: Sink


@dataclass(frozen=True, slots=True)
class Done:
    """A job that dbt did."""

    result: Result
    end: Exit
    usage: Usage


class Errands:
    """Runs errands, any number at once."""

    def __init__(self, docker: aiodocker.Docker, pool: Pool, states: States) -> None:
        self._docker, self._pool, self._states = docker, pool, states
        self._draining = 0

    async def run(self, errand: Errand) -> Done:
        """Return its result; the container is gone when this raises or is cancelled, else soon. Raises as `ports.Runner.parse` does."""
        begun_with = await self._states.open(errand.job)
        saving = self._states.saving(errand.job, begun_with)
        kind = Kind(errand.job.image.name, errand.job.adapter_type)
        self._pool.begin(kind)
        try:
            return await self._run(errand, begun_with, saving)
        except BaseException:
            if saving is not None:
                saving.close()
            raise
        finally:
            self._pool.end(kind)
            if begun_with is not None:
                begun_with.close()

    async def _run(self, errand: Errand, begun_with: StateFile | None, saving: Saving | None) -> Done:
        since = time.monotonic()
        state_sink = saving.write if saving else None
        box = await self._warm(errand, state_sink) or await self._cold(errand)
        try:
            stdin = archive(errand.tree, errand.packages, begun_with)
            end = await _converse(box, errand, state_sink, stdin)
            result = verdict.judge(box.answers, end, box.spec)
        except BaseException as error:
            await box.close()
            if isinstance(error, FreshetError):
                error.log, error.usage = error.log or box.log.text(), _usage(box, since)
            if begun_with is not None and errand.job.state is not None and _may_be_the_state(error, box):
                await self._states.forget(errand.job.state)
                reason = "dbt did not come to an end with what its last parse had left, which is forgotten now"
                again = UnavailableError(box.spec.doing, reason, "It is tried again by itself, without.")
                again.log, again.usage = box.log.text(), _usage(box, since)
                raise again from error
            raise
        self._let_go(box, errand.job, saving)
        return Done(result, end, _usage(box, since))

    async def _warm(self, errand: Errand, state_sink: Sink | None) -> Box | None:
        """Return a warm container that has taken the job, None when there is none."""
        if errand.command != "parse":
            return None
        while one := self._pool.take(errand.job.image, errand.job.adapter_type):
            was_ready = one.ready
            if await self._hand(one, errand, state_sink):
                self._pool.worked(errand.job.image)
                self._pool.spawn(one.box.rename(errand.spec.name))
                metrics.CONTAINER_STARTS.labels(kind="warm" if was_ready else "warming").inc()
                return one.box
        return None

    async def _cold(self, errand: Errand) -> Box:
        metrics.CONTAINER_STARTS.labels(kind="cold").inc()
        return await Box.open(self._docker, errand.spec)

    async def _hand(self, one: Warm, errand: Errand, state_sink: Sink | None) -> bool:
        """Hand a job to a warm container; False when that is no good. Of the job's files nothing is read before it has it."""
        box = one.box
        box.call(errand.spec.doing)
        if not one.quick:
            self._pool.spawn(box.hurry())
        reason = "died"
        try:
            async with asyncio.timeout(self._pool.patience_s(one)):
                if await box.give(job_line(errand.command, errand.job), errand.sink, state_sink):
                    return True
        except TimeoutError:
            reason = "hung"
        except (MalformedResultError, FreshetError):
            reason = "babbled"
        except BaseException:
            await box.close()
            raise
        self._pool.discard(one, reason)
        return False

    def _let_go(self, box: Box, job: DbtJob, saving: Saving | None) -> None:
        if saving is None or job.state is None or self._draining >= MAX_DRAINS:
            self._pool.spawn(_close(box, saving))
            return
        self._draining += 1
        # From now on, not only when that has begun.
        written = self._states.begin_writing(job.state)

        async def drain() -> None:
            try:
                await self._drain(box, saving)
            finally:
                written()
                self._draining -= 1
                await _close(box, saving)

        self._pool.spawn(drain())

    async def _drain(self, box: Box, saving: Saving) -> None:
        """Take the state while the extraction goes on."""
        try:
            async with asyncio.timeout(DRAIN_S):
                if await box.until(box.answers.ended):
                    await self._states.keep(saving)
        except (TimeoutError, MalformedResultError, ValueError, OSError, FreshetError) as error:
            logger.warning("the state of a parse was not kept", reason=str(error) or type(error).__name__)


async def _converse(box: Box, errand: Errand, state_sink: Sink | None, stdin: AsyncIterator[bytes]) -> Exit:
    try:
        async with asyncio.timeout(box.spec.limits.timeout_s) as limit:
            if box.answers.taken.is_set() or await box.give(job_line(errand.command, errand.job), errand.sink, state_sink):
                return await box.converse(stdin)
            return await box.exit()
    except TimeoutError:
        if not limit.expired():
            raise
        raise timed_out(box.spec, box.log.text()) from None
    except MalformedResultError as error:
        raise verdict.not_ours(box.spec) from error


def _usage(box: Box, since: float) -> Usage:
    return verdict.usage(box.answers.result, time.monotonic() - since, box.spec.limits)


def _may_be_the_state(error: BaseException, box: Box) -> bool:
    """Tell whether a job may have failed for what it began with. When dbt says no itself, the runner has tried it without."""
    said_no = box.answers.result is not None and box.answers.result.kind == "dbt"
    return isinstance(error, FreshetError) and not isinstance(error, EngineUnavailableError) and not said_no


async def _close(box: Box, saving: Saving | None) -> None:
    if saving is not None:
        saving.close()
    await box.close()
