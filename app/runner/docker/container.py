"""One single-use container: create, attach, hand over one job, wait for its result, and delete it in any case."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any, Self

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer

from app.core.errors import ConfigurationError, EngineUnavailableError, OutputTooBigError
from app.runner.docker import engine
from app.runner.docker.isolation import ContainerSpec
from app.runner.docker.lifetime import NOT_FOUND, Leftovers, created
from app.runner.docker.streams import LINGER_S, BoundedLog, Streams, hang_up
from app.runner.job_protocol import AnswerReader, Sinks
from app.runner.outcome import Exit, out_of_memory

EXIT_TIMEOUT_S = 15.0
"""The limit from the end of a container's output to the end of its process."""
KILLED_STATUS = 137
MAX_LOG_BYTES = 256 << 20
"""Only a small part of a log is kept, but reading it costs CPU time, also the engine's. More than this is treated as endless."""
LOG_END_S = 1.0
"""How long to wait for the end of the log after the result."""


class Container:
    """A running container, attached to its streams. The owner closes it, once."""

    def __init__(self, spec: ContainerSpec) -> None:
        self.spec = spec
        self.answers = AnswerReader()
        self.log = BoundedLog()
        self.streams: Streams
        self.docker_container: DockerContainer
        self._stack = AsyncExitStack()
        self._logged_bytes = 0
        self._end: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, docker: aiodocker.Docker, spec: ContainerSpec, leftovers: Leftovers) -> Self:
        """Create, attach and start a container, or raise EngineUnavailableError, RunnerImageError or ConfigurationError and leave none."""
        opened = cls(spec)
        async with AsyncExitStack() as stack:
            opened.docker_container = await stack.enter_async_context(created(docker, spec, leftovers))
            stream = opened.docker_container.attach(stdin=True, stdout=True, stderr=True)
            stack.push_async_callback(hang_up, stream)
            # Attach before the start, or the first output is lost. The timeout is for opening the stream only.
            with engine.errors(spec.doing):
                async with asyncio.timeout(engine.CALL_TIMEOUT_S):
                    await stream._init()  # noqa: SLF001 - like `async with`, but its close fails on a broken connection
            opened.streams = Streams(stream, opened.answers.feed, opened._log)
            stack.push_async_callback(opened.streams.close)
            await _start(opened.docker_container, spec)
            opened._stack = stack.pop_all()
        return opened

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

    async def exit(self) -> Exit:
        """Wait for the container's end. Raises ContainerOutOfMemoryError and EngineUnavailableError."""
        state = await _state(self.docker_container, self.spec)
        status, oom_killed = int(state["ExitCode"]), bool(state["OOMKilled"])
        if (oom_killed and status) or status == KILLED_STATUS:
            raise out_of_memory(self.spec)
        return Exit(status, oom_killed, self.log.text())

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

    async def set_cpu_shares(self, shares: int) -> None:
        """Change the CPU share, if the engine allows it.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerUpdate
        """
        text = json.dumps({"CpuShares": shares})
        with suppress(aiodocker.DockerError, aiohttp.ClientError, OSError):
            await self.docker_container.docker._query_json(f"containers/{self.docker_container.id}/update", method="POST", data=text)  # noqa: SLF001

    async def rename(self, name: str) -> None:
        """Rename the container after its job, for operators, if the engine allows it."""
        with suppress(aiodocker.DockerError, aiohttp.ClientError, OSError):
            await self.docker_container.rename(name)

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
            self._end = asyncio.create_task(_ended(self.docker_container), name="container end")
        return self._end

    def _log(self, data: bytes) -> None:
        self._logged_bytes += len(data)
        if self._logged_bytes > MAX_LOG_BYTES:
            reason = f"the project's log is bigger than {MAX_LOG_BYTES >> 20} MiB"
            raise OutputTooBigError(self.spec.doing, reason, "Look for a `log()` or `print()` in a loop.")
        self.log.add(data)


class EndedError(Exception):
    """A container ended before it was ready."""


async def _ended(container: DockerContainer) -> None:
    # A broken connection says nothing about the container; the streams notice its end.
    try:
        await container.wait()
    except (aiodocker.DockerError, aiohttp.ClientError, OSError):
        await asyncio.Event().wait()


async def _start(container: DockerContainer, spec: ContainerSpec) -> None:
    with engine.errors(spec.doing):
        try:
            await container.start()
        except aiodocker.DockerError as error:
            if error.status == NOT_FOUND and "network" in error.message:
                reason = f"there is no Docker network {spec.network!r}"
                raise ConfigurationError(spec.doing, reason, "Set `DBT_DEPS_NETWORK` to a network of this engine.") from error
            raise


async def _state(container: DockerContainer, spec: ContainerSpec) -> dict[str, Any]:
    """Wait for the container's end, and return its state."""
    with engine.errors(spec.doing):
        try:
            async with asyncio.timeout(EXIT_TIMEOUT_S):
                await container.wait()
        except TimeoutError:
            reason = "the connection to its container broke"
            raise EngineUnavailableError(spec.doing, reason, engine.NEXT_STEP) from None
        state: dict[str, Any] = (await container.show())["State"]
    return state
