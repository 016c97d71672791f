"""Reads a container's output to its end in the background, and hands the columns document to its receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from app.core import log
from app.core.errors import EngineUnavailableError, FreshetError
from app.pipeline.ports import ColumnsDocument, DbtJob
from app.runner import columns
from app.runner.container import Container
from app.runner.job_protocol import MalformedResultError
from app.runner.later_output import LaterOutput
from app.runner.parse_state import Kind

DRAIN_S = 60.0
"""The limit from the end of the manifest to the end of the state."""
ERRORS = (TimeoutError, MalformedResultError, ValueError, OSError, FreshetError)
"""Raised while reading the output."""

logger = log.get(__name__)


class LaterColumns:
    """Hands a columns document from the background to the job's caller (`ports.ColumnsDelivery`)."""

    def __init__(self, job: DbtJob, later: LaterOutput) -> None:
        self._job, self._later = job, later
        self._found: asyncio.Future[ColumnsDocument] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self.unwanted = False
        self._taken = False

    async def wait(self) -> ColumnsDocument:
        """See `ports.ColumnsDelivery`."""
        found = await asyncio.shield(self._found)
        self._taken = True
        return found

    async def refuse(self) -> None:
        """See `ports.ColumnsDelivery`."""
        await self._later.forget_columns()

    def close(self) -> None:
        """Stop the container, once the parse state is there."""
        self.unwanted = True
        if self._task is not None:
            self._task.cancel()
        if self._found.done() and not self._taken and not self._found.cancelled() and self._found.exception() is None:
            self._found.result().spool.close()

    def begin(self) -> None:
        """Let `close` stop the current task."""
        self._task = asyncio.current_task()

    def succeed(self, document: ColumnsDocument) -> None:
        """Hand a document on."""
        self._task = None
        if self.unwanted:
            document.spool.close()
        else:
            self._found.set_result(document)

    def fail(self, error: Exception) -> None:
        """Say why there is none."""
        self._task = None
        if not self._found.done():
            self._found.set_exception(error)
            # Mark it as retrieved: possibly nobody waits.
            self._found.exception()

    def stop(self) -> None:
        """Say that there will be none, if nothing else was said: the service is being stopped."""
        self.fail(EngineUnavailableError(columns.doing(self._job), "Freshet is being stopped", "It continues when Freshet runs again."))


class Drain:
    """What is left of one job. Create it with the end of the manifest: from then on, the connection's next job waits for its state."""

    def __init__(self, container: Container, job: DbtJob, later: LaterOutput, delivery: LaterColumns | None) -> None:
        self._container, self._job, self._later, self._delivery = container, job, later, delivery
        self._ends: Mapping[Kind, Callable[[], None]] = later.begin_writing()

    async def run(self, limit_s: float, released: Callable[[], None]) -> None:
        """Read everything within `limit_s`, call `released`, and delete the container."""
        try:
            async with asyncio.timeout(limit_s):
                await self._receive()
        except ERRORS as error:
            await self._failed(error)
        finally:
            released()
            for end in self._ends.values():
                end()
            if self._delivery is not None:
                self._delivery.stop()
            self._later.close()
            await self._container.close()

    async def _receive(self) -> None:
        await self._later.receive_state(self._container)
        if "state" in self._ends:
            self._ends["state"]()
        if self._delivery is not None and not self._delivery.unwanted:
            self._delivery.begin()
            document = await self._later.receive_columns(self._container)
            try:
                # First of all: the receiver may refuse it, and then it is forgotten.
                await self._later.keep_columns()
            finally:
                self._delivery.succeed(document)

    async def _failed(self, error: Exception) -> None:
        if self._delivery is None:
            logger.warning("the parse state was not stored", reason=str(error) or type(error).__name__)
            return
        failure = columns.failure(self._job, error, self._container.spec.limits)
        # The reason may contain what the container wrote: who waits for the columns redacts it.
        logger.info("no columns", reason=type(error).__name__)
        self._delivery.fail(failure)
        if not failure.temporary and self._later.had_columns:
            await self._later.forget_columns()


def limit_s(container: Container, elapsed_s: float) -> float:
    """How long a container may go on for columns after `elapsed_s` of its job."""
    whole_s = container.spec.limits.timeout_s
    return min(whole_s, max(DRAIN_S, whole_s - elapsed_s))
