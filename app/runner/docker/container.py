"""A container of a Docker engine: create, attach, start."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer
from aiodocker.stream import Stream

from app.core.errors import ConfigurationError, EngineUnavailableError
from app.runner.cleanup import Leftovers
from app.runner.container import KILLED_STATUS, Container
from app.runner.docker import engine
from app.runner.docker.isolation import CPU_SHARES, WARMING_CPU_SHARES, DockerSpec
from app.runner.docker.lifetime import NOT_FOUND, created
from app.runner.outcome import Exit, out_of_memory

EXIT_TIMEOUT_S = 15.0
"""The limit from the end of a container's output to the end of its process."""


class AttachedContainer(Container):
    """A container whose standard streams are one hijacked connection.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
    """

    docker_container: DockerContainer

    @classmethod
    async def open(cls, docker: aiodocker.Docker, spec: DockerSpec, leftovers: Leftovers) -> Self:
        """Create, attach and start a container, or raise EngineUnavailableError, RunnerImageError or ConfigurationError and leave none."""
        opened = cls(spec)
        async with AsyncExitStack() as stack:
            opened.docker_container = await stack.enter_async_context(created(docker, spec, leftovers))
            connection = _Attached(opened.docker_container.attach(stdin=True, stdout=True, stderr=True))
            stack.push_async_callback(connection.close)
            # Attach before the start, or the first output is lost. The timeout is for opening the stream only.
            with engine.errors(spec.doing):
                async with asyncio.timeout(engine.CALL_TIMEOUT_S):
                    await connection.open()
            opened._attach(connection)
            stack.push_async_callback(opened.streams.close)
            await _start(opened.docker_container, spec)
            opened._stack = stack.pop_all()
        return opened

    def unavailable(self, reason: str) -> EngineUnavailableError:
        """The error for a failure of the engine."""
        return engine.unavailable(self.spec.doing, reason)

    async def exit(self) -> Exit:
        """Wait for the container's end. Raises ContainerOutOfMemoryError and EngineUnavailableError."""
        state = await self._state()
        status, oom_killed = int(state["ExitCode"]), bool(state["OOMKilled"])
        if (oom_killed and status) or status == KILLED_STATUS:
            raise out_of_memory(self.spec)
        return Exit(status, oom_killed, self.log.text())

    async def give_priority(self, *, working: bool) -> None:
        """Change the CPU share, if the engine allows it.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerUpdate
        """
        text = json.dumps({"CpuShares": CPU_SHARES if working else WARMING_CPU_SHARES})
        with suppress(aiodocker.DockerError, aiohttp.ClientError, OSError):
            await self.docker_container.docker._query_json(f"containers/{self.docker_container.id}/update", method="POST", data=text)  # noqa: SLF001

    async def rename(self, name: str) -> None:
        """Rename the container after its job, for operators, if the engine allows it."""
        with suppress(aiodocker.DockerError, aiohttp.ClientError, OSError):
            await self.docker_container.rename(name)

    async def _ended(self) -> None:
        # With unread input, the engine keeps the connection open after the end of the main process.
        try:
            await self.docker_container.wait()
        except (aiodocker.DockerError, aiohttp.ClientError, OSError):
            await asyncio.Event().wait()

    async def _state(self) -> dict[str, Any]:
        """Wait for the container's end, and return its state."""
        with engine.errors(self.spec.doing):
            try:
                async with asyncio.timeout(EXIT_TIMEOUT_S):
                    await self.docker_container.wait()
            except TimeoutError:
                raise self.unavailable("the connection to its container broke") from None
            state: dict[str, Any] = (await self.docker_container.show())["State"]
        return state


class _Attached:
    """A hijacked connection as `streams.Connection`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def open(self) -> None:
        await self._stream._init()  # noqa: SLF001 - like `async with`, but its close fails on a broken connection

    async def read(self) -> tuple[int, bytes] | None:
        message = await self._stream.read_out()
        return message and (message.stream, message.data)

    async def write(self, data: bytes) -> None:
        # aiodocker asserts that the connection exists.
        with suppress(AssertionError):
            await self._stream.write_in(data)

    async def close(self) -> None:
        """Close the connection at once, without sending what is left: the reader may be dead."""
        response = self._stream._resp  # noqa: SLF001 - closing alone waits until everything is sent
        connection = response.connection if response else None
        transport = connection.transport if connection else None
        with suppress(AssertionError, OSError, RuntimeError):
            await self._stream.close()
        if transport is not None:
            transport.abort()


async def _start(container: DockerContainer, spec: DockerSpec) -> None:
    with engine.errors(spec.doing):
        try:
            await container.start()
        except aiodocker.DockerError as error:
            if error.status == NOT_FOUND and "network" in error.message:
                reason = f"there is no Docker network {spec.network!r}"
                raise ConfigurationError(spec.doing, reason, "Set `DBT_DEPS_NETWORK` to a network of this engine.") from error
            raise
