"""One engine with its runners, for the tests that every engine has to pass."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker

from app.runner.backend import ContainerRunner
from app.runner.docker.backend import HOST_LABEL
from app.runner.docker.engine import connect
from tests.cluster.runners import MakePods, pod_runners, pods
from tests.integration.runner_fixtures import Make, containers, runners
from tests.integration.runner_images import RUNNER_IMAGE, build_in_place
from tests.patience import HANGS_S

CLUSTER = os.environ.get("TEST_CLUSTER", "")
"""A kubeconfig that `deploy/test-cluster.sh` wrote; empty: only Docker is tested."""
ENGINES = ("docker", "kubernetes") if CLUSTER else ("docker",)


class World(ABC):
    """An engine."""

    @abstractmethod
    def make(self, image: str = RUNNER_IMAGE, **changed: Any) -> ContainerRunner:
        """A runner of this test."""

    @abstractmethod
    async def containers(self) -> list[str]:
        """The containers of all runners of this test."""

    @abstractmethod
    async def leave(self, runner: ContainerRunner) -> None:
        """Create a container of the runner that nobody owns."""

    @abstractmethod
    def images(self) -> aiodocker.Docker:
        """The Docker engine that has the images."""

    async def build(self, tag: str, program: str) -> str:
        """Build an image like the runner image, with `program` in place of ours."""
        return await build_in_place(self.images(), tag, program)

    async def count(self, number: int) -> list[str]:
        """Wait until there are that many containers."""
        async with asyncio.timeout(HANGS_S):
            while len(found := await self.containers()) != number:
                await asyncio.sleep(0.1)
        return found


class DockerWorld(World):
    def __init__(self, docker: aiodocker.Docker, make: Make) -> None:
        self._docker, self._make = docker, make
        self._instance = str(make()._instance)

    def make(self, image: str = RUNNER_IMAGE, **changed: Any) -> ContainerRunner:
        return self._make(image=image, **changed)

    async def containers(self) -> list[str]:
        return await containers(self._docker, f"{HOST_LABEL}={self._instance}")

    async def leave(self, runner: ContainerRunner) -> None:
        from app.runner.docker import isolation  # noqa: PLC0415
        from tests.integration.runner_projects import job  # noqa: PLC0415

        spec = await runner._spec("parse", job(), "testing")
        assert isinstance(spec, isolation.DockerSpec)
        await self._docker.containers.create(isolation.config(spec), name=spec.name)

    def images(self) -> aiodocker.Docker:
        return self._docker


class KubernetesWorld(World):
    def __init__(self, make: MakePods, cluster: Any, instance: str, docker: aiodocker.Docker) -> None:
        self._make, self._cluster, self._instance, self._docker = make, cluster, instance, docker

    def make(self, image: str = RUNNER_IMAGE, **changed: Any) -> ContainerRunner:
        return self._make(image_names=[image], **changed)

    async def containers(self) -> list[str]:
        return [
            pod["metadata"]["name"] for pod in await pods(self._cluster, self._instance) if "role" not in str(pod["metadata"]["labels"])
        ]

    async def leave(self, runner: ContainerRunner) -> None:
        from app.runner.kubernetes import manifests  # noqa: PLC0415
        from tests.integration.runner_projects import job  # noqa: PLC0415

        spec = await runner._spec("parse", job(), "testing")
        assert isinstance(spec, manifests.PodSpec)
        await self._cluster.create_pod(manifests.pod(spec))

    def images(self) -> aiodocker.Docker:
        return self._docker


@asynccontextmanager
async def world(engine: str, directory: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if engine == "docker":
            docker = await stack.enter_async_context(connect())
            yield DockerWorld(docker, await stack.enter_async_context(runners(docker, directory)))
            return
        docker = await stack.enter_async_context(connect(f"unix://{Path(CLUSTER).resolve().parent}/run/docker.sock"))
        make, cluster, instance = await stack.enter_async_context(pod_runners(CLUSTER, directory))
        yield KubernetesWorld(make, cluster, instance, docker)
        async with asyncio.timeout(HANGS_S):
            while await pods(cluster, instance):
                await asyncio.sleep(0.2)
