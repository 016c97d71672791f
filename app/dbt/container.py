"""One single-use container: created, fed, read, judged, and deleted whatever happens.

Never `AutoRemove`: wait, inspect (`OOMKilled`, exit status), then delete.
https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiodocker
from aiodocker.containers import DockerContainer

from app import log
from app.dbt import attached, engine
from app.errors import ConfigurationError, ContainerOutOfMemoryError, ContainerTimedOutError, EngineUnavailableError, RunnerImageError

USER = "10001:10001"
TMP_BYTES = 256 << 20
DYING_S = 15.0
"""From the end of a container's output to the end of its process."""
REMOVE_TRIES = 5
NOT_FOUND, CONFLICT = 404, 409
KILLED = 137
MAX_LOG_SHOWN = 4000
"""Characters of a log's end that go with an error."""

Stopped = TypeVar("Stopped", ContainerTimedOutError, ContainerOutOfMemoryError)

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one container may take."""

    cpus: float
    memory_bytes: int
    timeout_s: float
    pids: int


@dataclass(frozen=True, slots=True)
class Spec:
    """One container to be. `doing` is for errors: "parsing octo/shop at 1a2b3c4"."""

    name: str
    image: str
    doing: str
    labels: Mapping[str, str]
    limits: Limits
    network: str = "none"
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended that was not stopped by a limit."""

    status: int
    oom_killed: bool
    """Some process of it was: with status 0 not the first one."""
    seconds: float
    log: str


async def run(docker: aiodocker.Docker, spec: Spec, stdin: AsyncIterator[bytes], stdout: attached.Feed) -> Exit:
    """Run a container to its end; it is gone when this returns, raises or is cancelled.

    Raises ContainerTimedOutError, ContainerOutOfMemoryError, EngineUnavailableError, RunnerImageError, ConfigurationError,
    and whatever `stdin` and `stdout` raise.
    """
    output = attached.Log()
    since = time.monotonic()
    async with _created(docker, spec) as container:
        try:
            async with asyncio.timeout(spec.limits.timeout_s) as limit:
                await _attend(container, spec, stdin, stdout, output)
        except TimeoutError:
            if not limit.expired():
                raise
            raise _told(timed_out(spec), output) from None
        state = await _end(container, spec)
        seconds = time.monotonic() - since
    status, oom_killed = int(state["ExitCode"]), bool(state["OOMKilled"])
    if (oom_killed and status) or status == KILLED:
        raise _told(out_of_memory(spec), output)
    return Exit(status, oom_killed, seconds, output.text())


def timed_out(spec: Spec) -> ContainerTimedOutError:
    """Return the error of a container whose time was over."""
    return ContainerTimedOutError(
        spec.doing,
        f"dbt was stopped after {spec.limits.timeout_s:g} seconds",
        "If the project needs longer, raise `DBT_TIMEOUT` (seconds) where Freshet runs.",
    )


def _told(error: Stopped, output: attached.Log) -> Stopped:
    """Give the error what dbt had logged last: `log`, which `report.problem` shows."""
    vars(error)["log"] = output.text().strip()[-MAX_LOG_SHOWN:]
    return error


def out_of_memory(spec: Spec) -> ContainerOutOfMemoryError:
    """Return the error of a container that its memory limit stopped."""
    return ContainerOutOfMemoryError(
        spec.doing,
        f"dbt needed more than the {spec.limits.memory_bytes / (1 << 20):,.0f} MiB of memory that one container gets",
        "If the project is that big, raise `DBT_MEMORY` where Freshet runs.",
    )


async def _attend(container: DockerContainer, spec: Spec, stdin: AsyncIterator[bytes], stdout: attached.Feed, output: attached.Log) -> None:
    stream = container.attach(stdin=True, stdout=True, stderr=True)
    try:
        # Before the start, or the first output is lost. The stream has no limit of its own, opening it has.
        with engine.errors(spec.doing):
            async with asyncio.timeout(engine.CALL_TIMEOUT_S):
                await stream._init()  # noqa: SLF001 - what `async with` does, without its close that fails on a broken connection
        await _start(container, spec)
        await attached.converse(stream, stdin, stdout, output)
    finally:
        await _close(stream)


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


@asynccontextmanager
async def _created(docker: aiodocker.Docker, spec: Spec) -> AsyncIterator[DockerContainer]:
    # A request that is cancelled may still make a container, even after it was looked for in vain: creating is always waited for.
    creating = asyncio.create_task(docker.containers.create(config(spec), name=spec.name))
    try:
        with engine.errors(spec.doing):
            try:
                container = await asyncio.shield(creating)
            except aiodocker.DockerError as error:
                if error.status == NOT_FOUND:
                    raise missing_image(spec.doing, spec.image) from error
                raise
        yield container
    finally:
        await _to_the_end(_dispose(docker, creating, spec.name))


async def _dispose(docker: aiodocker.Docker, creating: asyncio.Task[DockerContainer], name: str) -> None:
    await asyncio.wait([creating])
    # An engine that refused (4xx) made nothing; one that did not answer may have.
    error = None if creating.cancelled() else creating.exception()
    if isinstance(error, aiodocker.DockerError) and NOT_FOUND >= error.status >= 400:  # noqa: PLR2004
        return
    await remove(docker, name)


async def _to_the_end(work: Any) -> None:
    """Finish `work` even when cancelled meanwhile, then be cancelled."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def remove(docker: aiodocker.Docker, name: str) -> bool:
    """Kill and delete a container by name or id. Returns False, after some tries, when it may still be there: `sweep` comes later."""
    reason = ""
    for attempt in range(REMOVE_TRIES):
        await asyncio.sleep(attempt * 0.5)
        try:
            with engine.errors(f"removing the container {name}"):
                try:
                    await docker.containers.container(name).delete(force=True, v=True)
                except aiodocker.DockerError as error:
                    if error.status == NOT_FOUND:
                        return True
                    # 409: it is being removed. Once more, until it is not found.
                    raise
        except EngineUnavailableError as error:
            reason = error.reason
        else:
            return True
    logger.warning("container not removed", container=name, reason=reason)
    return False


async def sweep(docker: aiodocker.Docker, labels: Mapping[str, str], boot_label: str, boot_id: str) -> int:
    """Remove containers with all of `labels` that another start of the service left; return how many."""
    with engine.errors("looking for containers that an earlier run left"):
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]}
        found = await docker.containers.list(all=True, filters=filters)
    left = [container.id for container in found if container["Labels"].get(boot_label) != boot_id]
    return sum([await remove(docker, name) for name in left])


def missing_image(doing: str, image: str) -> RunnerImageError:
    """Return the error of an image that the engine does not have."""
    return RunnerImageError(doing, f"the engine has no image {image!r}", "Build it with `make image` where Freshet is installed.")


def config(spec: Spec) -> dict[str, Any]:
    """Return the body of the request that creates the container: all of the isolation stands here."""
    limits = spec.limits
    return {
        "Image": spec.image,
        "User": USER,
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": {
            "NetworkMode": spec.network,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "IpcMode": "private",
            "LogConfig": {"Type": "none"},
            "Memory": limits.memory_bytes,
            # Equal: no swap.
            "MemorySwap": limits.memory_bytes,
            "NanoCpus": int(limits.cpus * 1e9),
            "PidsLimit": limits.pids,
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nofile", "Soft": 4096, "Hard": 4096}],
            # On top of the engine's defaults for a tmpfs, noexec among them. Its files count as memory of the container.
            "Tmpfs": {"/work": _tmpfs(limits.memory_bytes * 3 // 4), "/tmp": _tmpfs(min(TMP_BYTES, limits.memory_bytes // 4))},  # noqa: S108
        },
    }


def _tmpfs(size_bytes: int) -> str:
    uid, gid = USER.split(":")
    return f"rw,nosuid,nodev,noexec,size={size_bytes},uid={uid},gid={gid},mode=0700"
