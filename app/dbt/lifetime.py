"""Containers come and go here: whatever happens to the one who asked for it, a container is gone afterwards.

Never `AutoRemove`: it has to be looked at (`OOMKilled`, exit status) before it goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiodocker
from aiodocker.containers import DockerContainer

from app import log
from app.dbt import engine, isolation
from app.dbt.isolation import Spec
from app.errors import EngineUnavailableError, RunnerImageError

REMOVE_TRIES = 5
NOT_FOUND = 404

logger = log.get(__name__)


@asynccontextmanager
async def created(docker: aiodocker.Docker, spec: Spec) -> AsyncIterator[DockerContainer]:
    """Give a container that is not started yet; delete it afterwards. Raises EngineUnavailableError or RunnerImageError."""
    # A request that is cancelled may still make a container, even after it was looked for in vain: creating is always waited for.
    creating = asyncio.create_task(docker.containers.create(isolation.config(spec), name=spec.name))
    try:
        with engine.errors(spec.doing):
            try:
                container = await asyncio.shield(creating)
            except aiodocker.DockerError as error:
                if error.status == NOT_FOUND:
                    raise missing_image(spec.doing, spec.image_name) from error
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
    # By its id where there is one: it may have another name by now.
    await remove(docker, name if creating.cancelled() or error else creating.result().id)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
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
