"""One single-use container: created, fed, read, judged, and deleted whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeVar

import aiodocker
import aiohttp
from aiodocker.containers import DockerContainer

from app import log
from app.dbt import attached, engine
from app.dbt.isolation import Spec
from app.dbt.lifetime import NOT_FOUND, created
from app.errors import ConfigurationError, ContainerOutOfMemoryError, ContainerTimedOutError, EngineUnavailableError, OutputTooBigError

DYING_S = 15.0
"""From the end of a container's output to the end of its process."""
KILLED = 137
MAX_LOG_SHOWN = 4000
"""Characters of a log's end that go with an error."""
MAX_LOG_BYTES = 256 << 20
"""Of the log little is kept, but reading it is work, for the engine too: who writes more than this has no end in mind."""

Stopped = TypeVar("Stopped", ContainerTimedOutError, ContainerOutOfMemoryError)

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended that was not stopped by a limit."""

    status: int
    oom_killed: bool
    """Some process of it was: with status 0 not the first one."""
    seconds: float
    log: str


class _BoundedLog(attached.Log):
    """Raises OutputTooBigError over `MAX_LOG_BYTES`."""

    def __init__(self, doing: str) -> None:
        super().__init__()
        self._doing = doing
        self._taken = 0

    def add(self, data: bytes) -> None:
        self._taken += len(data)
        if self._taken > MAX_LOG_BYTES:
            reason = f"what the project logs is bigger than {MAX_LOG_BYTES >> 20} MiB"
            raise OutputTooBigError(self._doing, reason, "Look for a `log()` or `print()` in a loop.")
        super().add(data)


async def run(docker: aiodocker.Docker, spec: Spec, stdin: AsyncIterator[bytes], stdout: attached.Feed) -> Exit:
    """Run a container to its end; it is gone when this returns, raises or is cancelled.

    Raises ContainerTimedOutError, ContainerOutOfMemoryError, OutputTooBigError, EngineUnavailableError, RunnerImageError,
    ConfigurationError, and whatever `stdin` and `stdout` raise.
    """
    output = _BoundedLog(spec.doing)
    since = time.monotonic()
    async with created(docker, spec) as container:
        try:
            async with asyncio.timeout(spec.limits.timeout_s) as limit:
                await _attend(container, spec, stdin, stdout, output)
        except TimeoutError:
            if not limit.expired():
                raise
            raise timed_out(spec, output.text()) from None
        state = await _end(container, spec)
        seconds = time.monotonic() - since
    status, oom_killed = int(state["ExitCode"]), bool(state["OOMKilled"])
    if (oom_killed and status) or status == KILLED:
        raise out_of_memory(spec, output.text())
    return Exit(status, oom_killed, seconds, output.text())


def timed_out(spec: Spec, log_text: str) -> ContainerTimedOutError:
    """Return the error of a container whose time was over."""
    error = ContainerTimedOutError(
        spec.doing,
        f"dbt was stopped after {spec.limits.timeout_s:g} seconds",
        "If the project needs longer, raise `DBT_TIMEOUT` (seconds) where Freshet runs.",
    )
    return _told(error, log_text)


def _told(error: Stopped, log_text: str) -> Stopped:
    """Give the error what dbt had logged last: `log`, which `report.problem` shows."""
    error.log = log_text.strip()[-MAX_LOG_SHOWN:]
    return error


def out_of_memory(spec: Spec, log_text: str) -> ContainerOutOfMemoryError:
    """Return the error of a container that its memory limit stopped."""
    error = ContainerOutOfMemoryError(
        spec.doing,
        f"dbt needed more than the {spec.limits.memory_bytes / (1 << 20):,.0f} MiB of memory, files included, that one container gets",
        "If the project is that big, raise `DBT_MEMORY` where Freshet runs.",
    )
    return _told(error, log_text)


async def _attend(container: DockerContainer, spec: Spec, stdin: AsyncIterator[bytes], stdout: attached.Feed, output: attached.Log) -> None:
    stream = container.attach(stdin=True, stdout=True, stderr=True)
    try:
        # Before the start, or the first output is lost. The stream has no limit of its own, opening it has.
        with engine.errors(spec.doing):
            async with asyncio.timeout(engine.CALL_TIMEOUT_S):
                await stream._init()  # noqa: SLF001 - what `async with` does, without its close that fails on a broken connection
        await _start(container, spec)
        await attached.converse(stream, stdin, stdout, output, _ended(container))
    finally:
        await _close(stream)


async def _ended(container: DockerContainer) -> None:
    # Broken, it says nothing about the container: the streams do.
    try:
        await container.wait()
    except (aiodocker.DockerError, aiohttp.ClientError, OSError):
        await asyncio.Event().wait()


async def _close(stream: aiodocker.stream.Stream) -> None:
    try:
        await stream.close()
    except (AssertionError, OSError, RuntimeError):
        logger.debug("a connection was already closed")


async def _start(container: DockerContainer, spec: Spec) -> None:
    with engine.errors(spec.doing):
        try:
            await container.start()
        except aiodocker.DockerError as error:
            if error.status == NOT_FOUND and "network" in error.message:
                reason = f"there is no Docker network {spec.network!r}"
                raise ConfigurationError(spec.doing, reason, "Set `DBT_DEPS_NETWORK` to a network of this engine.") from error
            raise


async def _end(container: DockerContainer, spec: Spec) -> dict[str, Any]:
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
