"""`ports.Runner` with a Docker engine: `dbt deps` with a network, `dbt parse` without one, each in its own container."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiodocker

from app.core import log, metrics
from app.core.errors import RunnerImageError
from app.core.models.extractions import Usage
from app.core.spool import Spool
from app.pipeline.ports import DbtJob, PackageRequest, PackageTree, Parsed, TarStream
from app.project.runner_images import RunnerImage
from app.runner import outcome
from app.runner.columns import NoColumns
from app.runner.docker import capabilities, engine, lifetime
from app.runner.docker.container import Container
from app.runner.docker.images import Images
from app.runner.docker.isolation import CPU_SHARES, NO_NETWORK, WARMING_CPU_SHARES, ContainerSpec, Policy
from app.runner.docker.jobs import ContainerJob, ContainerJobs, FinishedJob
from app.runner.docker.warm_pool import PATIENCE_S, WARMING_PATIENCE_S, WarmPool
from app.runner.job_protocol import Command, Sink
from app.runner.outcome import ContainerLimits
from app.runner.parse_state import ParseStates
from app.runner.warm_demand import WarmKind

APP_LABEL, HOST_LABEL, BOOT_LABEL, EXTRACTION_LABEL, ROLE_LABEL = (
    f"io.freshet.{name}" for name in ("app", "host", "boot", "extraction", "role")
)
APP = "freshet"
MAX_MANIFEST = 256 << 20
"""The largest known ones are about 200 MiB."""
MAX_PACKAGES = 256 << 20
DEPS_FRESH_S = 3600.0
"""For how long packages that `dbt deps` installed count as unchanged."""
CHECK_TIMEOUT_S = 10.0
PROBE_S = 300.0
"""How long the engine's capabilities are remembered: it may be restarted with other settings."""

logger = log.get(__name__)


class DockerRunner:
    """Runs dbt in containers of one engine, from its runner images.

    `image`: the default one. `more_images`: the names of others; None: all images with our label.
    `warm`: the limit of warm containers, which `keep_warm` starts. `patience_s`, `warming_patience_s`: see `warm_pool`.
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
        warm: int = 0,
        patience_s: float = PATIENCE_S,
        warming_patience_s: float = WARMING_PATIENCE_S,
    ) -> None:
        self._docker = docker
        self._default_image = image
        self._images = Images(docker, image, more_images)
        self._limits = ContainerLimits(cpus, memory_bytes, timeout_s, pids)
        self._deps_network = deps_network
        # dbt appends paths without a slash.
        self._deps_environment = {"DBT_PACKAGE_HUB_URL": package_hub_url.rstrip("/") + "/"} if package_hub_url else {}
        self._instance = instance
        self._work_dir = work_dir
        self._max_bytes = {"deps": MAX_PACKAGES, "parse": max_manifest_bytes}
        self._policy = policy or Policy()
        self._engine: capabilities.Engine | None = None
        self._probed_at_s = 0.0
        self.boot_id = secrets.token_hex(8)
        self._leftovers = lifetime.Leftovers()
        self.pool = WarmPool(warm, self._open_warm, self.images, patience_s=patience_s, warming_patience_s=warming_patience_s)
        self._jobs = ContainerJobs(docker, self.pool, states, self._leftovers, work_dir)

    async def images(self) -> Sequence[RunnerImage]:
        """Return the available runner images, the default one first."""
        return await self._images.all()

    async def identify(self, request: PackageRequest) -> str:
        """Only `dbt deps` knows what packages resolve to, and running it for every commit takes seconds: they count as new every hour."""
        del request
        return f"dbt deps {int(time.time() / DEPS_FRESH_S)}"

    async def install(self, request: PackageRequest) -> PackageTree:
        """Run `dbt deps` with a network, and return the packages: the `ports.Installer` if `DBT_DEPS_NETWORK` is set."""
        job = replace(request.job, state=None, columns=False)
        packages = Spool(self._work_dir)
        try:
            await self._run("deps", job, request.tree(), None, packages.write)
            await packages.flush()
        except BaseException:
            packages.close()
            raise
        return packages

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        """Run `dbt parse` without a network, and return the manifest, not yet decoded. The columns may follow."""
        without = NoColumns(job) if job.columns and not job.image.gives_columns else None
        manifest = Spool(self._work_dir)
        async with AsyncExitStack() as stack:
            stack.callback(manifest.close)
            done = await self._run("parse", job if without is None else replace(job, columns=False), tree, packages, manifest.write)
            if done.columns is not None:
                stack.callback(done.columns.close)
            await manifest.flush()
            stack.pop_all()
        metrics.MANIFEST_BYTES.observe(manifest.size_bytes)
        facts, usage = done.facts, _measured(done.facts.usage)
        more = facts.placeholders, done.states_of, facts.ignored, without or done.columns
        return Parsed(manifest, facts.log, usage, job.image.name, *more)

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
                found = await self._probed()
        contents = [f"{image.name}: dbt {image.dbt_version} with {_listed(image)}" for image in await self.images()]
        return f"Docker {version}, {'; '.join(contents)}; {found.line()}"

    async def keep_warm(self, used: Sequence[tuple[str, str]] = ()) -> None:
        """Keep warm containers, forever; at first for the images and adapters `used` recently, or for the default image."""
        self.pool.expect([WarmKind(*one) for one in used] or [WarmKind(self._default_image, None)])
        await self.pool.run()

    async def close(self) -> None:
        """Delete all remaining containers."""
        await self.pool.close()

    async def _run(self, command: Command, job: DbtJob, tree: TarStream, packages: PackageTree | None, sink: Sink) -> FinishedJob:
        doing = f"{'installing the packages of' if command == 'deps' else 'parsing'} {job.label}"
        spec = await self._spec(command, job, doing)
        container_job = ContainerJob(command, job, spec, tree, packages, outcome.bounded(sink, self._max_bytes[command], doing))
        try:
            done = await self._jobs.run(container_job)
        except RunnerImageError:
            self._images.forget()
            raise
        if command == "parse":
            metrics.PARSES.labels(kind="partial" if done.result.partial else "full").inc()
        logger.info(
            "dbt ended",
            command=command,
            seconds=round(done.facts.usage.seconds, 3),
            cpu_seconds=done.result.cpu_seconds,
            peak_memory_bytes=done.result.peak_memory_bytes,
            stages=done.result.stages,
            warnings=done.result.warnings,
            partial=done.result.partial,
        )
        return done

    async def _spec(self, command: Command, job: DbtJob, doing: str) -> ContainerSpec:
        # Docker allows names of the form [a-zA-Z0-9][a-zA-Z0-9_.-]+
        extraction = re.sub(r"[^a-zA-Z0-9_.-]", "-", job.extraction_id)[:100]
        name, labels = f"freshet-{extraction}-{command}", {EXTRACTION_LABEL: job.extraction_id}
        return await self._container(name, job.image, doing, labels, deps=command == "deps")

    async def _open_warm(self, image: RunnerImage) -> Container:
        doing = f"starting a warm container of {image.name}"
        spec = await self._container("freshet-warm", image, doing, {ROLE_LABEL: "warm"}, cpu_shares=WARMING_CPU_SHARES)
        return await Container.open(self._docker, spec, self._leftovers)

    async def _container(
        self, name: str, image: RunnerImage, doing: str, labels: dict[str, str], *, deps: bool = False, cpu_shares: int = CPU_SHARES
    ) -> ContainerSpec:
        limits, host = self._limits, await self._probed()
        return ContainerSpec(
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

    async def _probed(self) -> capabilities.Engine:
        """Return the engine's capabilities. Raises ConfigurationError if they do not meet the policy."""
        if self._engine is None or time.monotonic() - self._probed_at_s > PROBE_S:
            with engine.errors(engine.DOING):
                found = capabilities.judge(await self._docker.system.info(), self._policy)
            if found.missing:
                logger.warning("the engine does not isolate containers", missing=[one.text for one in found.missing])
            self._engine, self._probed_at_s = found, time.monotonic()
        capabilities.require(self._engine, self._policy)
        return self._engine


def _measured(usage: Usage) -> Usage:
    metrics.CONTAINER_CPU.inc(usage.cpu_seconds or 0.0)
    if usage.peak_memory_bytes is not None:
        metrics.CONTAINER_MEMORY.observe(usage.peak_memory_bytes)
    return usage


def _listed(image: RunnerImage) -> str:
    return ", ".join(sorted(image.adapters)) or "no adapter"
