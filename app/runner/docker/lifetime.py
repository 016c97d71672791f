"""Creates containers, and deletes them in any case, even if the caller fails or is cancelled.

`AutoRemove` is not used: `OOMKilled` and the exit status have to be read before the deletion.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiodocker
from aiodocker.containers import DockerContainer

from app.core.errors import RunnerImageError
from app.runner.cleanup import Leftovers, to_the_end
from app.runner.docker import engine, isolation
from app.runner.docker.isolation import DockerSpec

NOT_FOUND = 404


@asynccontextmanager
async def created(docker: aiodocker.Docker, spec: DockerSpec, leftovers: Leftovers) -> AsyncIterator[DockerContainer]:
    """Yield a container that is not started yet, and delete it afterwards. Raises EngineUnavailableError or RunnerImageError."""
    # A cancelled request may still create a container, even after a deletion did not find it. So always wait for the creation.
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
        await to_the_end(_dispose(creating, spec.name, leftovers))


async def _dispose(creating: asyncio.Task[DockerContainer], name: str, leftovers: Leftovers) -> None:
    await asyncio.wait([creating])
    # An engine that refused (4xx) created nothing; one that did not answer may have.
    error = None if creating.cancelled() else creating.exception()
    if isinstance(error, aiodocker.DockerError) and NOT_FOUND >= error.status >= 400:  # noqa: PLR2004
        return
    # By id if it is known: the container may have been renamed.
    await leftovers.remove(name if creating.cancelled() or error else creating.result().id)


async def delete(docker: aiodocker.Docker, name: str) -> None:
    """Kill and delete a container by name or id.

    Raises EngineUnavailableError, also while the engine is removing the container (409): repeat until it is not found.
    """
    with engine.errors(f"removing the container {name}"):
        try:
            await docker.containers.container(name).delete(force=True, v=True)
        except aiodocker.DockerError as error:
            if error.status != NOT_FOUND:
                raise


async def sweep(docker: aiodocker.Docker, labels: Mapping[str, str], boot_label: str, boot_id: str, leftovers: Leftovers) -> int:
    """Delete containers with all of `labels` of an earlier run of the service, and those of this run that are left; return how many.

    Raises EngineUnavailableError. Containers of other services have other labels, those of this run in use are not left.
    """
    with engine.errors("looking for leftover containers"):
        filters = {"label": [f"{key}={value}" for key, value in labels.items()]}
        found = await docker.containers.list(all=True, filters=filters)
    earlier = [container.id for container in found if container["Labels"].get(boot_label) != boot_id]
    return sum([await leftovers.remove(name) for name in (*earlier, *leftovers.names())])


def missing_image(doing: str, image: str) -> RunnerImageError:
    """The error for an image that the engine does not have."""
    return RunnerImageError(doing, f"the engine has no image {image!r}", "Build it with `make image` where Freshet is installed.")
