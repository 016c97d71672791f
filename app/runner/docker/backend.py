"""The runner with a Docker engine."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import aiodocker

from app.core import log
from app.core.errors import EngineUnavailableError
from app.pipeline.ports import DbtJob
from app.project.runner_images import RunnerImage
from app.runner.backend import MAX_MANIFEST, ContainerRunner, described
from app.runner.cleanup import Leftovers
from app.runner.container import Container, ContainerSpec
from app.runner.docker import capabilities, engine, lifetime
from app.runner.docker.container import AttachedContainer
from app.runner.docker.images import Images
from app.runner.docker.isolation import CPU_SHARES, NO_NETWORK, WARMING_CPU_SHARES, DockerSpec, Policy
from app.runner.job_protocol import Command
from app.runner.outcome import ContainerLimits
from app.runner.parse_state import ParseStates
from app.runner.warm_pool import PATIENCE_S

APP_LABEL, HOST_LABEL, BOOT_LABEL, EXTRACTION_LABEL, ROLE_LABEL = (
    f"io.freshet.{name}" for name in ("app", "host", "boot", "extraction", "role")
)
APP = "freshet"
CHECK_TIMEOUT_S = 10.0
PROBE_S = 300.0
"""How long the engine's capabilities are remembered: it may be restarted with other settings."""

logger = log.get(__name__)


class DockerRunner(ContainerRunner):
    """Runs dbt in containers of one engine, from its runner images.

    `image`: the default one. `more_images`: the names of others; None: all images with our label.
    `warm`: the limit of warm containers, which `keep_warm` starts; None: by memory. `patience_s`, `warming_patience_s`: see `warm_pool`.
    `instance`: identifies this service among others on the same engine, also after a restart.
    """

    def __init__(  # noqa: PLR0913 - one named argument per setting
        self,
        docker: aiodocker.Docker,
        *,
        image: str,
        more_images: Sequence[str] | None,
        cpus: float,
        memory_bytes: int,
        timeout_s: float,
        pids: int,
        deps_network: str,
        package_hub_url: str | None,
        instance: str,
        work_dir: Path,
        states: ParseStates,
        policy: Policy | None = None,
        max_manifest_bytes: int = MAX_MANIFEST,
        warm: int | None = 0,
        patience_s: float = PATIENCE_S,
        warming_patience_s: float | None = None,
    ) -> None:
        super().__init__(
            image,
            states,
            work_dir,
            max_manifest_bytes=max_manifest_bytes,
            warm=warm,
            patience_s=patience_s,
            warming_patience_s=warming_patience_s,
        )
        self._docker = docker
        self._images = Images(docker, image, more_images)
        self._limits = ContainerLimits(cpus, memory_bytes, timeout_s, pids)
        self._deps_network = deps_network
        # dbt appends paths without a slash.
        self._deps_environment = {"DBT_PACKAGE_HUB_URL": package_hub_url.rstrip("/") + "/"} if package_hub_url else {}
        self._instance = instance
        self._policy = policy or Policy()
        self._engine: capabilities.Engine | None = None
        self._probed_at_s = 0.0
        self.boot_id = secrets.token_hex(8)
        self._leftovers = Leftovers(lambda name: lifetime.delete(docker, name))

    async def images(self) -> Sequence[RunnerImage]:
        """Return the available runner images, the default one first."""
        return await self._images.all()

    async def sweep(self) -> int:
        """Delete containers that an earlier run of this service left behind, or that could not be deleted; return how many."""
        labels = {APP_LABEL: APP, HOST_LABEL: self._instance}
        return await lifetime.sweep(self._docker, labels, BOOT_LABEL, self.boot_id, self._leftovers)

    async def check(self) -> str:
        """Return a line about the engine, its images and its isolation.

        Raises RunnerImageError, EngineUnavailableError, or ConfigurationError if the engine does not meet the policy.
        """
        with engine.errors(engine.DOING):
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                version = (await self._docker.version())["Version"]
                self._engine = None
                found = await self._host()
        return f"Docker {version}, {described(await self.images())}; {found.line()}"

    async def _spec(self, command: Command, job: DbtJob, doing: str) -> DockerSpec:
        # Docker allows names of the form [a-zA-Z0-9][a-zA-Z0-9_.-]+
        extraction = re.sub(r"[^a-zA-Z0-9_.-]", "-", job.extraction_id)[:100]
        name, labels = f"freshet-{extraction}-{command}", {EXTRACTION_LABEL: job.extraction_id}
        shares = WARMING_CPU_SHARES if job.unhurried else CPU_SHARES
        return await self._container(name, job.image, doing, labels, deps=command == "deps", cpu_shares=shares)

    def _forget_images(self) -> None:
        self._images.forget()

    async def open(self, spec: ContainerSpec) -> Container:
        """See `acceptance.Opener`."""
        assert isinstance(spec, DockerSpec)  # noqa: S101 - made by `_spec`
        return await AttachedContainer.open(self._docker, spec, self._leftovers)

    def unavailable(self, doing: str, reason: str) -> EngineUnavailableError:
        """See `acceptance.Opener`."""
        return engine.unavailable(doing, reason)

    async def _open_warm(self, image: RunnerImage) -> Container:
        doing = f"starting a warm container of {image.name}"
        spec = await self._container("freshet-warm", image, doing, {ROLE_LABEL: "warm"}, cpu_shares=WARMING_CPU_SHARES)
        return await self.open(spec)

    async def _container(
        self, name: str, image: RunnerImage, doing: str, labels: dict[str, str], *, deps: bool = False, cpu_shares: int = CPU_SHARES
    ) -> DockerSpec:
        limits, host = self._limits, await self._host()
        return DockerSpec(
            name=f"{name}-{secrets.token_hex(4)}",
            image=image.id,
            image_name=image.name,
            doing=doing,
            labels={APP_LABEL: APP, BOOT_LABEL: self.boot_id, HOST_LABEL: self._instance, **labels},
            limits=ContainerLimits(min(limits.cpus, host.cpus), limits.memory_bytes, limits.timeout_s, limits.pids),
            network=self._deps_network if deps else NO_NETWORK,
            environment=self._deps_environment if deps else {},
            policy=self._policy,
            cpu_shares=cpu_shares,
        )

    async def _host(self) -> capabilities.Engine:
        """Return the engine's capabilities. Raises ConfigurationError if they do not meet the policy."""
        if self._engine is None or time.monotonic() - self._probed_at_s > PROBE_S:
            with engine.errors(engine.DOING):
                found = capabilities.judge(await self._docker.system.info(), self._policy)
            if found.missing:
                logger.warning("the engine does not isolate containers", missing=[one.text for one in found.missing])
            self._engine, self._probed_at_s = found, time.monotonic()
        capabilities.require(self._engine, self._policy)
        return self._engine
