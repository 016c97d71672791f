"""One single-use container: created, attached, given one job, judged, and deleted whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer

from app.dbt import engine
from app.dbt.attached import Feed, Log, Streams, hang_up
from app.dbt.command import Answers
from app.dbt.isolation import CPU_SHARES, Spec
from app.dbt.lifetime import NOT_FOUND, created
from app.errors import ConfigurationError, ContainerOutOfMemoryError, ContainerTimedOutError, EngineUnavailableError, OutputTooBigError

DYING_S = 15.0
"""From the end of a container's output to the end of its process."""
KILLED = 137
MAX_LOG_SHOWN = 4000
"""Characters of a log's end that go with an error."""
MAX_LOG_BYTES = 256 << 20
"""Of the log little is kept, but reading it is work, for the engine too: who writes more than this has no end in mind."""
LAST_WORDS_S = 1.0
"""From a result to the end of the log, of a container that has nothing else to do."""

Stopped = TypeVar("Stopped", ContainerTimedOutError, ContainerOutOfMemoryError)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended that was not stopped by a limit. One that delivered a result has `status` 0."""

    status: int
    oom_killed: bool
    """Some process of it was: with status 0 not the first one."""
    log: str


class Box:
    """A container that runs, attached to its streams. Whoever has one closes it, once."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.answers = Answers()
        self.log = Log()
        self.streams: Streams
        self.container: DockerContainer
        self._stack = AsyncExitStack()
        self._logged_bytes = 0
        self._end: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, docker: aiodocker.Docker, spec: Spec) -> Self:
        """Create, attach and start one. Raises EngineUnavailableError, RunnerImageError or ConfigurationError; then there is none."""
        box = cls(spec)
        async with AsyncExitStack() as stack:
            box.container = await stack.enter_async_context(created(docker, spec))
            stream = box.container.attach(stdin=True, stdout=True, stderr=True)
            stack.push_async_callback(hang_up, stream)
            # Before the start, or the first output is lost. The stream has no limit of its own, opening it has.
            with engine.errors(spec.doing):
                async with asyncio.timeout(engine.CALL_TIMEOUT_S):
                    await stream._init()  # noqa: SLF001 - what `async with` does, without its close that fails on a broken connection
            box.streams = Streams(stream, box.answers.feed, box._log)
            stack.push_async_callback(box.streams.close)
            await _start(box.container, spec)
            box._stack = stack.pop_all()
        return box

    async def close(self) -> None:
        """Hang up and delete it."""
        if self._end is not None:
            self._end.cancel()
        await self._stack.aclose()

    @property
    def ended(self) -> bool:
        """True when it says no more: it has ended, or is cut off."""
        return self.streams.reading.done()

    async def warm(self, line: bytes) -> None:
        """Have it get ready for jobs, and wait for that. Raises EndedError, or what its output is found to be."""
        self.answers.expect_ready()
        await self.streams.write(line)
        if not await self.until(self.answers.ready):
            raise EndedError

    def call(self, doing: str) -> None:
        """Say what it does from now on: errors tell it."""
        self.spec = replace(self.spec, doing=doing)

    async def give(self, line: bytes, sink: Feed, state_sink: Feed | None) -> bool:
        """Hand over a job, with what takes the result and the state; return False when it ended before it took it."""
        self.answers.expect_result(sink, state_sink)
        await self.streams.write(line)
        if not await self.until(self.answers.taken):
            return False
        # What was said before is not the job's.
        self.log, self._logged_bytes = Log(), 0
        return True

    async def converse(self, stdin: AsyncIterator[bytes]) -> Exit:
        """Send the job's files and wait for its result, or for the container's end where there is none.

        Raises ContainerOutOfMemoryError, OutputTooBigError, EngineUnavailableError, and whatever `stdin` and the sinks raise.
        """
        sending = asyncio.create_task(self.streams.send(stdin), name="container input")
        try:
            delivered = await self.until(self.answers.delivered, sending)
        finally:
            # It may have ended without reading all of its input: its result will tell.
            sending.cancel()
            await asyncio.wait([sending])
        return await self._delivered() if delivered else await self.exit()

    async def exit(self) -> Exit:
        """Wait for its end, and judge it. Raises ContainerOutOfMemoryError and EngineUnavailableError."""
        state = await _state(self.container, self.spec)
        status, oom_killed = int(state["ExitCode"]), bool(state["OOMKilled"])
        if (oom_killed and status) or status == KILLED:
            raise out_of_memory(self.spec, self.log.text())
        return Exit(status, oom_killed, self.log.text())

    async def until(self, answer: asyncio.Event, sending: asyncio.Task[None] | None = None) -> bool:
        """Wait for an answer; return False when the container has ended without it. Raises what its output, or `sending`, raises."""
        reading, waiting = self.streams.reading, asyncio.create_task(answer.wait())
        ends: set[asyncio.Task[Any]] = {reading, waiting, self._ending()}
        try:
            if sending is not None:
                await asyncio.wait({sending, *ends}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not answer.is_set():
                await self.streams.linger()
        finally:
            waiting.cancel()
        if reading.done():
            reading.result()
        return answer.is_set()

    async def hurry(self) -> None:
        """Give it as much of the processors as any container with a job; refused, all goes on without.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerUpdate
        """
        text = json.dumps({"CpuShares": CPU_SHARES})
        with suppress(aiodocker.DockerError, aiohttp.ClientError, OSError):
            await self.container.docker._query_json(f"containers/{self.container.id}/update", method="POST", data=text)  # noqa: SLF001

    async def rename(self, name: str) -> None:
        """Give it the name of its job, for whoever looks at the engine; refused, all goes on without."""
        with suppress(aiodocker.DockerError, aiohttp.ClientError, OSError):
            await self.container.rename(name)

    async def _delivered(self) -> Exit:
        if self.answers.ended.is_set():
            await asyncio.wait([self.streams.reading], timeout=LAST_WORDS_S)
            if self.ended:
                self.streams.reading.result()
        return Exit(0, oom_killed=False, log=self.log.text())

    def _ending(self) -> asyncio.Task[None]:
        """Wait for the end of its first process: the engine leaves the connection open when there is input that was not read."""
        if self._end is None:
            self._end = asyncio.create_task(_ended(self.container), name="container end")
        return self._end

    def _log(self, data: bytes) -> None:
        self._logged_bytes += len(data)
        if self._logged_bytes > MAX_LOG_BYTES:
            reason = f"what the project logs is bigger than {MAX_LOG_BYTES >> 20} MiB"
            raise OutputTooBigError(self.spec.doing, reason, "Look for a `log()` or `print()` in a loop.")
        self.log.add(data)


class EndedError(Exception):
    """A container ended before it was ready."""


def timed_out(spec: Spec, log_text: str) -> ContainerTimedOutError:
    """Return the error of a container whose time was over."""
    error = ContainerTimedOutError(
        spec.doing,
        f"dbt was stopped after {spec.limits.timeout_s:g} seconds",
        "If the project needs longer, raise `DBT_TIMEOUT` (seconds) where Freshet runs.",
    )
    return _told(error, log_text)


def _told(error: Stopped, log_text: str) -> Stopped:
    """Give the error what dbt had logged: `report.problem` shows its end."""
    error.log = log_text
    return error


def out_of_memory(spec: Spec, log_text: str) -> ContainerOutOfMemoryError:
    """Return the error of a container that its memory limit stopped."""
    error = ContainerOutOfMemoryError(
        spec.doing,
        f"dbt needed more than the {spec.limits.memory_bytes / (1 << 20):,.0f} MiB of memory, files included, that one container gets",
        "If the project is that big, raise `DBT_MEMORY` where Freshet runs.",
    )
    return _told(error, log_text)


async def _ended(container: DockerContainer) -> None:
    # Broken, it says nothing about the container: the streams do.
    try:
        await container.wait()
    except (aiodocker.DockerError, aiohttp.ClientError, OSError):
        await asyncio.Event().wait()


async def _start(container: DockerContainer, spec: Spec) -> None:
    with engine.errors(spec.doing):
        try:
            await container.start()
        except aiodocker.DockerError as error:
            if error.status == NOT_FOUND and "network" in error.message:
                reason = f"there is no Docker network {spec.network!r}"
                raise ConfigurationError(spec.doing, reason, "Set `DBT_DEPS_NETWORK` to a network of this engine.") from error
            raise


async def _state(container: DockerContainer, spec: Spec) -> dict[str, Any]:
    """Return the container's state once it has ended."""
    with engine.errors(spec.doing):
        try:
            async with asyncio.timeout(DYING_S):
                await container.wait()
        except TimeoutError:
            reason = "the connection to its container broke"
            raise EngineUnavailableError(spec.doing, reason, engine.NEXT_STEP) from None
        state: dict[str, Any] = (await container.show())["State"]
    return state
