"""Runners for tests, and a look at the containers that they have."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiodocker

from app.dbt.docker import DockerRunner
from tests.integration.runner_images import RUNNER_IMAGE

Make = Callable[..., DockerRunner]


@asynccontextmanager
async def runners(docker: aiodocker.Docker, directory: Path) -> AsyncIterator[Make]:
    """Give what makes runners of one instance, and see to it that no container of theirs is left."""
    instance = f"test-{secrets.token_hex(4)}"
    made: list[DockerRunner] = []

    def make(**changed: Any) -> DockerRunner:
        settings: dict[str, Any] = {
            "image": RUNNER_IMAGE,
            "more_images": (),
            "cpus": 2.0,
            "memory_bytes": 1 << 30,
            "timeout_s": 60.0,
            "pids": 256,
            "deps_network": "bridge",
            "package_hub_url": None,
            "instance": instance,
            "work_dir": directory / "work",
        }
        settings |= changed
        made.append(DockerRunner(settings.pop("docker", docker), **settings))
        return made[-1]

    yield make
    for runner in made:
        await runner.close()
    assert await containers(docker, f"io.freshet.host={instance}") == []


async def containers(docker: aiodocker.Docker, label: str) -> list[str]:
    """Return the ids of all containers with a label, `key=value`."""
    return [found.id for found in await docker.containers.list(all=True, filters={"label": [label]})]


async def running(docker: aiodocker.Docker, extraction_id: str) -> dict[str, Any]:
    """Return the details of the container of an extraction once it runs."""
    async with asyncio.timeout(20):
        while True:
            for name in await containers(docker, f"io.freshet.extraction={extraction_id}"):
                with suppress(aiodocker.DockerError):  # it was a warming one, or one that ended since it was listed
                    details = await docker.containers.container(name).show()
                    if details["State"]["Running"]:
                        return details
            await asyncio.sleep(0.05)
