"""What a container writes after its manifest, while the job's caller goes on: the parse state, and the columns document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.core import log, metrics
from app.core.models.extractions import Usage
from app.core.spool import Spool
from app.lineage.column_document import MAX_DOCUMENT
from app.pipeline.ports import ColumnsDocument, DbtJob
from app.runner import columns, outcome
from app.runner.container import Container
from app.runner.job_archive import Earlier
from app.runner.job_protocol import Sink, Sinks
from app.runner.parse_state import Kind, ParseStates, StateFile, StateWriter

logger = log.get(__name__)


class EarlierFiles:
    """What earlier containers left for a job. The owner closes it."""

    def __init__(self, state: StateFile | None, columns: StateFile | None) -> None:
        self.state, self.columns = state, columns

    @classmethod
    async def open(cls, states: ParseStates, job: DbtJob) -> EarlierFiles:
        """Find what there is for a job."""
        state = await states.open(job)
        try:
            return cls(state, await states.open(job, "columns") if job.columns else None)
        except BaseException:
            if state is not None:
                state.close()
            raise

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.state is not None or self.columns is not None

    @property
    def branches(self) -> frozenset[str]:
        """Who left them: see `Parsed.states_of`."""
        return frozenset(file.branch for file in (self.state, self.columns) if file is not None)

    def for_archive(self) -> Earlier:
        """The same as the archive takes it."""
        return Earlier(self.state, self.columns)

    def close(self) -> None:
        """Close the files."""
        for file in (self.state, self.columns):
            if file is not None:
                file.close()


class _Legacy:
    """What a container leaves for the next one. A failure to write it only makes that one slower."""

    def __init__(self, writer: StateWriter, kind: Kind) -> None:
        self.writer = writer
        self._kind, self._failed = kind, False

    async def write(self, data: bytes) -> None:
        if self._failed:
            return
        try:
            await self.writer.write(data)
        except (ValueError, OSError) as error:
            self._fail(error)

    async def save(self, states: ParseStates) -> None:
        if self._failed:
            return
        try:
            await states.save(self.writer)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._failed = True
        self.writer.close()
        logger.warning("not stored for the next job", what=self._kind, reason=str(error) or type(error).__name__)


class LaterOutput:
    """Receives the parse state and the columns document of one job. The owner closes it."""

    def __init__(self, states: ParseStates, job: DbtJob, earlier: EarlierFiles, work_dir: Path) -> None:
        self._states, self._job = states, job
        self._state = self._legacy(earlier.state, "state")
        self._columns = self._legacy(earlier.columns, "columns") if job.columns else None
        self._document = Spool(work_dir) if job.columns else None
        self.had_columns = earlier.columns is not None
        """Whether the job started with a document."""

    def _legacy(self, initial: StateFile | None, kind: Kind) -> _Legacy | None:
        writer = self._states.new_writer(self._job, initial, kind)
        return None if writer is None else _Legacy(writer, kind)

    @property
    def has_state(self) -> bool:
        """Whether the container writes a parse state."""
        return self._state is not None

    def sinks(self, result: Sink) -> Sinks:
        """Where everything goes; `result`: the manifest."""
        document = outcome.bounded(self._add, MAX_DOCUMENT, columns.doing(self._job), "their document")
        return Sinks(result, self._state.write if self._state else None, document if self._document else None)

    def begin_writing(self) -> dict[Kind, Callable[[], None]]:
        """Make the connection's next job wait for what this one leaves, until the returned functions are called."""
        legacies: dict[Kind, _Legacy | None] = {"state": self._state, "columns": self._columns}
        scope = self._job.state
        return {kind: self._states.begin_writing(scope, kind) for kind, legacy in legacies.items() if legacy and scope}

    async def receive_state(self, container: Container) -> None:
        """Receive and keep the parse state. Raises ColumnsError, and what reading the output raises."""
        await self._wait(container, container.answers.state_ended)
        if self._state is not None:
            await self._state.save(self._states)

    async def receive_columns(self, container: Container) -> ColumnsDocument:
        """Receive the columns document. Raises ColumnsError, and what reading the output raises."""
        since = time.monotonic()
        await self._wait(container, container.answers.ended)
        found = columns.check(self._job, container.answers.columns)
        assert self._document is not None  # noqa: S101 - else nobody asks
        await self._document.flush()
        usage = Usage(time.monotonic() - since, found.cpu_seconds, found.peak_memory_bytes)
        document = ColumnsDocument(self._document, _measured(outcome.plausible(usage, container.spec.limits)))
        # From now on it is its receiver's.
        self._document = None
        return document

    async def keep_columns(self) -> None:
        """Keep the received document for the next job."""
        if self._columns is not None:
            await self._columns.save(self._states)

    async def forget_columns(self) -> None:
        """Make the branch's next job start without a document: the kept one is refused, or an earlier one may be why this job failed."""
        if self._job.state is not None:
            with suppress(OSError):
                await self._states.forget(self._job.state, ("columns",))

    def close(self) -> None:
        """Discard what was not saved or handed on."""
        for legacy in (self._state, self._columns):
            if legacy is not None:
                legacy.writer.close()
        if self._document is not None:
            self._document.close()

    async def _add(self, data: bytes) -> None:
        if self._document is not None:
            await self._document.write(data)
        if self._columns is not None:
            await self._columns.write(data)

    async def _wait(self, container: Container, answer: asyncio.Event) -> None:
        if not await container.wait_for(answer):
            broken = container.answers.within_answer or not await container.has_ended()
            raise columns.ended_early(self._job, await container.exit(), broken=broken)


def _measured(usage: Usage) -> Usage:
    metrics.CONTAINER_CPU.inc(usage.cpu_seconds or 0.0)
    logger.info("columns ended", seconds=round(usage.seconds, 3), cpu_seconds=usage.cpu_seconds, peak_memory_bytes=usage.peak_memory_bytes)
    return usage
