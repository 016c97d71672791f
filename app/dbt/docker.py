"""`ports.Runner` on a Docker engine: `dbt deps` with a network, `dbt parse` without one, each in a container of its own."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiodocker

from app import log, metrics
from app.dbt import engine, lifetime, probe, verdict
from app.dbt.command import Command, Sink
from app.dbt.container import Box
from app.dbt.demand import Kind
from app.dbt.errands import Done, Errand, Errands
from app.dbt.images import Images
from app.dbt.isolation import CPU_SHARES, NO_NETWORK, WARMING_CPU_SHARES, Limits, Policy, Spec
from app.dbt.pool import PATIENCE_S, Pool
from app.dbt.states import States
from app.errors import OutputTooBigError, RunnerImageError
from app.images import RunnerImage
from app.ports import DbtJob, PackageRequest, PackageTree, Parsed, TarStream
from app.spool import Spool
from app.usage import Usage

APP_LABEL, HOST_LABEL, BOOT_LABEL, EXTRACTION_LABEL, ROLE_LABEL = (
    f"io.freshet.{name}" for name in ("app", "host", "boot", "extraction", "role")
)
APP = "freshet"
MAX_MANIFEST = 256 << 20
"""The biggest known are about 200 MiB."""
MAX_PACKAGES = 256 << 20
CHECK_TIMEOUT_S = 10.0
PROBE_S = 300.0
"""An engine is asked again what it can do after this long: it may have been started anew with other settings."""

logger = log.get(__name__)


class DockerRunner:
    """Runs dbt in containers of one engine, from the runner images that it has.

    `image` is the default one, `more_images` are others by name: None stands for all that the engine has with our label.
    `warm` containers at most stand ready ahead of their jobs, from when `keep_warm` runs; `patience_s` as in `pool.PATIENCE_S`.
    `instance` names this service among others on the same engine, and stays the same when it starts again.
    """

    def __init__(  # noqa: PLR0913 - settings, each by its name
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
        policy: Policy | None = None,
        max_manifest_bytes: int = MAX_MANIFEST,
        warm: int = 0,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._docker = docker
        self._default_image = image
        self._images = Images(docker, image, more_images)
        self._limits = Limits(cpus, memory_bytes, timeout_s, pids)
        self._deps_network = deps_network
        # dbt puts paths after it as they are, hence the slash.
        self._deps_environment = {"DBT_PACKAGE_HUB_URL": package_hub_url.rstrip("/") + "/"} if package_hub_url else {}
        self._instance = instance
        self._work_dir = work_dir
        self._max_bytes = {"deps": MAX_PACKAGES, "parse": max_manifest_bytes}
        self._policy = policy or Policy()
        self._engine: probe.Engine | None = None
        self._probed_at_s = 0.0
        self.boot_id = secrets.token_hex(8)
        self.pool = Pool(warm, self._open_warm, self.images, patience_s=patience_s)
        self._errands = Errands(docker, self.pool, States(work_dir))

    async def images(self) -> Sequence[RunnerImage]:
        """Return the runner images there are, the default one first."""
        return await self._images.all()

    async def install(self, wanted: PackageRequest) -> PackageTree:
        """Run `dbt deps` with a network and return what it installed: the `ports.Installer` of operators who set `DBT_DEPS_NETWORK`."""
        job = replace(wanted.job, state=None)
        packages = Spool(self._work_dir)
        try:
            await self._run("deps", job, wanted.tree(), None, packages.write)
            await packages.flush()
        except BaseException:
            packages.close()
            raise
        return packages

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        """Run `dbt parse` without a network and return the manifest, unread."""
        manifest = Spool(self._work_dir)
        try:
            done = await self._run("parse", job, tree, packages, manifest.write)
            await manifest.flush()
        except BaseException:
            manifest.close()
            raise
        metrics.MANIFEST_BYTES.observe(manifest.size_bytes)
        return Parsed(manifest, done.end.log, _measured(done.usage), job.image.name, verdict.placeholders(done.result))

    async def sweep(self) -> int:
        """Remove containers that an earlier start of this service left behind; return how many."""
        labels = {APP_LABEL: APP, HOST_LABEL: self._instance}
        return await lifetime.sweep(self._docker, labels, BOOT_LABEL, self.boot_id)

    async def check(self) -> str:
        """Return a line that says which engine and which images will be used, and how well it keeps containers in.

        Raises RunnerImageError, EngineUnavailableError, or ConfigurationError where the engine lacks what the policy wants.
        """
        with engine.errors(engine.DOING):
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                version = (await self._docker.version())["Version"]
                self._engine = None
                found = await self._probed()
        held = [f"{image.name}: dbt {image.dbt_version} with {_listed(image)}" for image in await self.images()]
        return f"Docker {version}, {'; '.join(held)}; {found.line()}"

    async def keep_warm(self, used: Sequence[tuple[str, str]] = ()) -> None:
        """Keep containers ready, for ever; at first for what was `used` last (image and adapter), or for the default image."""
        self.pool.expect([Kind(*one) for one in used] or [Kind(self._default_image, None)])
        await self.pool.run()

    async def close(self) -> None:
        """Delete the containers that are left, and wait for that."""
        await self.pool.close()

    async def _run(self, command: Command, job: DbtJob, tree: TarStream, packages: PackageTree | None, sink: Sink) -> Done:
        doing = f"{'installing the packages of' if command == 'deps' else 'parsing'} {job.label}"
        spec = await self._spec(command, job, doing)
        errand = Errand(command, job, spec, tree, packages, _bounded(sink, self._max_bytes[command], doing))
        try:
            done = await self._errands.run(errand)
        except RunnerImageError:
            self._images.forget()
            raise
        if command == "parse":
            metrics.PARSES.labels(kind="partial" if done.result.partial else "full").inc()
        logger.info(
            "dbt ended",
            command=command,
            seconds=round(done.usage.seconds, 3),
            cpu_seconds=done.result.cpu_seconds,
            peak_memory_bytes=done.result.peak_memory_bytes,
            stages=done.result.stages,
            warnings=done.result.warnings,
            partial=done.result.partial,
        )
        return done

    async def _spec(self, command: Command, job: DbtJob, doing: str) -> Spec:
        # Docker's rule for names: [a-zA-Z0-9][a-zA-Z0-9_.-]+
        extraction = re.sub(r"[^a-zA-Z0-9_.-]", "-", job.extraction_id)[:100]
        name, labels = f"freshet-{extraction}-{command}", {EXTRACTION_LABEL: job.extraction_id}
        return await self._container(name, job.image, doing, labels, deps=command == "deps")

    async def _open_warm(self, image: RunnerImage) -> Box:
        doing = f"starting a container of {image.name} ahead of its job"
        spec = await self._container("freshet-warm", image, doing, {ROLE_LABEL: "warm"}, cpu_shares=WARMING_CPU_SHARES)
        return await Box.open(self._docker, spec)

    async def _container(
        self, name: str, image: RunnerImage, doing: str, labels: dict[str, str], *, deps: bool = False, cpu_shares: int = CPU_SHARES
    ) -> Spec:
        limits, host = self._limits, await self._probed()
        return Spec(
            name=f"{name}-{secrets.token_hex(4)}",
            image=image.id,
            image_name=image.name,
            doing=doing,
            labels={APP_LABEL: APP, BOOT_LABEL: self.boot_id, HOST_LABEL: self._instance, **labels},
            limits=Limits(min(limits.cpus, host.cpus), limits.memory_bytes, limits.timeout_s, limits.pids),
            network=self._deps_network if deps else NO_NETWORK,
            environment=self._deps_environment if deps else {},
            policy=self._policy,
            cpu_shares=cpu_shares,
        )

    async def _probed(self) -> probe.Engine:
        """Return what the engine can do. Raises ConfigurationError where that is not what the policy wants."""
        if self._engine is None or time.monotonic() - self._probed_at_s > PROBE_S:
            with engine.errors(engine.DOING):
                found = probe.judge(await self._docker.system.info(), self._policy)
            if found.missing:
                logger.warning("the engine does not isolate containers", missing=[lack.text for lack in found.missing])
            self._engine, self._probed_at_s = found, time.monotonic()
        probe.require(self._engine, self._policy)
        return self._engine


def _measured(usage: Usage) -> Usage:
    metrics.CONTAINER_CPU.inc(usage.cpu_seconds or 0.0)
    if usage.peak_memory_bytes is not None:
        metrics.CONTAINER_MEMORY.observe(usage.peak_memory_bytes)
    return usage


def _listed(image: RunnerImage) -> str:
    return ", ".join(sorted(image.adapters)) or "no adapter"


def _bounded(sink: Sink, max_bytes: int, doing: str) -> Sink:
    taken = 0

    async def take(data: bytes) -> None:
        nonlocal taken
        taken += len(data)
        if taken > max_bytes:
            raise OutputTooBigError(doing, f"what dbt wrote is bigger than {max_bytes >> 20} MiB", "It can be split into several projects.")
        await sink(data)

    return take
