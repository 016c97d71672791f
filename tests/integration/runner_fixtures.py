"""Runners for tests, and access to their containers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiodocker

from app.runner.docker.backend import DockerRunner
from app.runner.parse_state import ParseStates
from tests.integration.runner_images import RUNNER_IMAGE
from tests.patience import HANGS_S

Make = Callable[..., DockerRunner]


@asynccontextmanager
async def runners(docker: aiodocker.Docker, directory: Path) -> AsyncIterator[Make]:
    """Yield a factory of runners with one instance name, and check at the end that they left no container."""
    instance = f"test-{secrets.token_hex(4)}"
    made: list[DockerRunner] = []

    def make(**changed: Any) -> DockerRunner:
        settings: dict[str, Any] = {
            "image": RUNNER_IMAGE,
            "more_images": (),
            "cpus": 2.0,
            "memory_bytes": 1 << 30,
            "timeout_s": HANGS_S,
            "pids": 256,
            "deps_network": "bridge",
            "package_hub_url": None,
            "instance": instance,
            "work_dir": directory / "work",
        }
        settings |= changed
        settings.setdefault("states", ParseStates(settings["work_dir"]))
        made.append(DockerRunner(settings.pop("docker", docker), **settings))
        return made[-1]

    yield make
    for runner in made:
        await runner.close()
    assert await containers(docker, f"io.freshet.host={instance}") == []


async def containers(docker: aiodocker.Docker, label: str) -> list[str]:
    """The ids of all containers with a label, `key=value`."""
    return [found.id for found in await docker.containers.list(all=True, filters={"label": [label]})]


async def running(docker: aiodocker.Docker, extraction_id: str) -> dict[str, Any]:
    """Wait for the container of an extraction, and return its details."""
    async with asyncio.timeout(HANGS_S):
        while True:
            for name in await containers(docker, f"io.freshet.extraction={extraction_id}"):
                with suppress(aiodocker.DockerError):  # it was a warming one, or one that ended since it was listed
                    details = await docker.containers.container(name).show()
                    if details["State"]["Running"]:
                        return details
            await asyncio.sleep(0.05)
