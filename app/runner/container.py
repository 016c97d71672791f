"""One single-use container: hand over one job, wait for its result, and delete it in any case. Backends create it and attach to it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from app.core.errors import EngineUnavailableError, OutputTooBigError
from app.runner.job_protocol import AnswerReader, Sinks
from app.runner.outcome import ContainerLimits, Exit
from app.runner.streams import LINGER_S, BoundedLog, Connection, Streams

KILLED_STATUS = 137
"""128 and the number of SIGKILL: the kernel does that to what exceeds its memory limit."""
MAX_LOG_BYTES = 256 << 20
"""Only a small part of a log is kept, but reading it costs CPU time, also the engine's. More than this is treated as endless."""
LOG_END_S = 1.0
"""How long to wait for the end of the log after the result."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """The description of a container. `doing` is for errors: "parsing octo/shop at 1a2b3c4"."""

    name: str
    image: str
    """As the engine finds it."""
    image_name: str
    """As the operator wrote it."""
    doing: str
    labels: Mapping[str, str]
    limits: ContainerLimits


class Container(ABC):
    """A running container, attached to its streams. The owner closes it, once."""

    def __init__(self, spec: ContainerSpec) -> None:
        self.spec = spec
        self.answers = AnswerReader()
        self.log = BoundedLog()
        self.streams: Streams
        self._stack = AsyncExitStack()
        self._logged_bytes = 0
        self._end: asyncio.Task[None] | None = None

    @abstractmethod
    async def exit(self) -> Exit:
        """Wait for the container's end. Raises ContainerOutOfMemoryError, ContainerTimedOutError and EngineUnavailableError."""

    @abstractmethod
    async def _ended(self) -> None:
        """Wait for the end of the main process; forever if the engine does not answer: the streams notice the end of the connection."""

    @abstractmethod
    def unavailable(self, reason: str) -> EngineUnavailableError:
        """The error for a failure of the engine."""

    async def give_priority(self, *, working: bool) -> None:  # noqa: B027 - nothing, if it cannot
        """Prefer the container to others while it has a job, if the engine can."""

    async def rename(self, name: str) -> None:  # noqa: B027
        """Rename the container after its job, for operators, if the engine can."""

    async def close(self) -> None:
        """Disconnect, and delete the container."""
        if self._end is not None:
            self._end.cancel()
        await self._stack.aclose()

    @property
    def ended(self) -> bool:
        """Whether there will be no more output: the container has ended, or the connection has."""
        return self.streams.reading.done()

    async def warm(self, line: bytes) -> None:
        """Warm the container, and wait until it is ready. Raises EndedError, and MalformedResultError for invalid output."""
        self.answers.expect_ready()
        await self.streams.write(line)
        if not await self.wait_for(self.answers.ready):
            raise EndedError

    def set_doing(self, doing: str) -> None:
        """Set what the container does from now on, for errors."""
        self.spec = replace(self.spec, doing=doing)

    async def hand_over(self, line: bytes, sinks: Sinks) -> bool:
        """Hand over a job; False if the container ended before accepting it."""
        self.answers.expect_result(sinks)
        await self.streams.write(line)
        if not await self.wait_for(self.answers.taken):
            return False
        # Earlier output does not belong to the job.
        self.log, self._logged_bytes = BoundedLog(), 0
        return True

    async def run_job(self, stdin: AsyncIterator[bytes]) -> Exit:
        """Send the job's files, and wait for its result or for the container's end.

        Raises ContainerOutOfMemoryError, OutputTooBigError, EngineUnavailableError, and what `stdin` and the sinks raise.
        """
        sending = asyncio.create_task(self.streams.send(stdin), name="container input")
        try:
            delivered = await self.wait_for(self.answers.delivered, sending)
        finally:
            # The container may have ended without reading all of its input; the result says why.
            sending.cancel()
            await asyncio.wait([sending])
        return await self._exit_after_result() if delivered else await self.exit()

    async def wait_for(self, answer: asyncio.Event, sending: asyncio.Task[None] | None = None) -> bool:
        """Wait for an answer; False if the container ended without it. Raises what reading its output up to it, or `sending`, raises."""
        reading, waiting = self.streams.reading, asyncio.create_task(answer.wait())
        ends: set[asyncio.Task[Any]] = {reading, waiting, self._ending()}
        try:
            if sending is not None:
                await asyncio.wait({sending, *ends}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not answer.is_set():
                await self.streams.drain()
        finally:
            waiting.cancel()
        if reading.done() and not answer.is_set():
            reading.result()
        return answer.is_set()

    async def has_ended(self) -> bool:
        """Whether the container has ended too, after its output; False if it goes on, so that the connection broke."""
        done, _ = await asyncio.wait([self._ending()], timeout=LINGER_S)
        return bool(done)

    async def _exit_after_result(self) -> Exit:
        if self.answers.ended.is_set():
            await asyncio.wait([self.streams.reading], timeout=LOG_END_S)
            # What comes after a columns document does not take the manifest back.
            if self.ended and self.answers.columns is None:
                self.streams.reading.result()
        return Exit(0, oom_killed=False, log=self.log.text())

    def _ending(self) -> asyncio.Task[None]:
        """Wait for the end of the main process: with unread input, the engine keeps the connection open after it."""
        if self._end is None:
            self._end = asyncio.create_task(self._ended(), name="container end")
        return self._end

    def _attach(self, connection: Connection) -> None:
        """Read from a connection from now on; `close` disconnects."""
        self.streams = Streams(connection, self.answers.feed, self._log)

    def _log(self, data: bytes) -> None:
        self._logged_bytes += len(data)
        if self._logged_bytes > MAX_LOG_BYTES:
            reason = f"the project's log is bigger than {MAX_LOG_BYTES >> 20} MiB"
            raise OutputTooBigError(self.spec.doing, reason, "Look for a `log()` or `print()` in a loop.")
        self.log.add(data)


class EndedError(Exception):
    """A container ended before it was ready."""
