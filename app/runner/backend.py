"""`ports.Runner` on top of single-use containers: `dbt deps` with a network, `dbt parse` without one. Backends start the containers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from app.core import log, metrics, traces
from app.core.errors import EngineUnavailableError, RunnerImageError
from app.core.models.extractions import Usage
from app.core.spool import Spool
from app.pipeline.ports import DbtJob, PackageRequest, PackageTree, Parsed, TarStream
from app.project.runner_images import RunnerImage
from app.runner import outcome
from app.runner.acceptance import ContainerJob
from app.runner.columns import NoColumns
from app.runner.container import Container, ContainerSpec
from app.runner.job_protocol import Command, Sink
from app.runner.jobs import ContainerJobs, FinishedJob
from app.runner.parse_state import ParseStates
from app.runner.warm_demand import WarmKind
from app.runner.warm_pool import PATIENCE_S, Host, WarmPool

MAX_MANIFEST = 256 << 20
"""The largest known ones are about 200 MiB."""
MAX_PACKAGES = 256 << 20
DEPS_FRESH_S = 3600.0
"""For how long packages that `dbt deps` installed count as unchanged."""

logger = log.get(__name__)


class ContainerRunner(ABC):
    """Runs dbt in containers of one engine, from its runner images.

    `image`: the name of the default one. `warm`: the limit of warm containers, which `keep_warm` starts; None: by memory.
    `patience_s`, `warming_patience_s`: see `warm_pool`.
    """

    def __init__(  # noqa: PLR0913 - one named argument per setting
        self,
        image: str,
        states: ParseStates,
        work_dir: Path,
        *,
        max_manifest_bytes: int = MAX_MANIFEST,
        warm: int | None = 0,
        patience_s: float = PATIENCE_S,
        warming_patience_s: float | None = None,
    ) -> None:
        self._default_image = image
        self._work_dir = work_dir
        self._max_bytes = {"deps": MAX_PACKAGES, "parse": max_manifest_bytes}
        self.pool = WarmPool(warm, self._open_warm, self.images, self._host, patience_s=patience_s, warming_patience_s=warming_patience_s)
        self._jobs = ContainerJobs(self, self.pool, states, work_dir)

    @abstractmethod
    async def images(self) -> Sequence[RunnerImage]:
        """See `ports.Runner`."""

    @abstractmethod
    async def sweep(self) -> int:
        """See `ports.Runner`."""

    @abstractmethod
    async def check(self) -> str:
        """See `ports.Runner`."""

    @abstractmethod
    def open(self, spec: ContainerSpec) -> Awaitable[Container]:
        """See `acceptance.Opener`."""

    @abstractmethod
    def unavailable(self, doing: str, reason: str) -> EngineUnavailableError:
        """See `acceptance.Opener`."""

    @abstractmethod
    async def _spec(self, command: Command, job: DbtJob, doing: str) -> ContainerSpec:
        """Describe the container of a job."""

    @abstractmethod
    async def _open_warm(self, image: RunnerImage) -> Container:
        """Start a container without a job."""

    @abstractmethod
    async def _host(self) -> Host:
        """Describe what runs the containers."""

    @abstractmethod
    def _forget_images(self) -> None:
        """Look for images again the next time, because one turned out to be missing."""

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

    async def keep_warm(self, used: Sequence[tuple[str, str, float]] = ()) -> None:
        """Keep warm containers, forever; at first for the jobs `used`, or for the default image."""
        self.pool.expect(
            [(WarmKind(image, adapter), ago_s) for image, adapter, ago_s in used] or [(WarmKind(self._default_image, None), 0.0)]
        )
        await self.pool.run()

    async def close(self) -> None:
        """Delete all remaining containers."""
        await self.pool.close()

    async def _run(self, command: Command, job: DbtJob, tree: TarStream, packages: PackageTree | None, sink: Sink) -> FinishedJob:
        doing = f"{'installing the packages of' if command == 'deps' else 'parsing'} {job.label}"
        spec = await self._spec(command, job, doing)
        container_job = ContainerJob(command, job, spec, tree, packages, outcome.bounded(sink, self._max_bytes[command], doing))
        try:
            with traces.span(f"dbt {command}", image=job.image.name, adapter=job.adapter_type):
                done = await self._jobs.run(container_job)
        except RunnerImageError:
            self._forget_images()
            raise
        if command == "parse" and not job.unhurried:
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


def _measured(usage: Usage) -> Usage:
    metrics.CONTAINER_CPU.inc(usage.cpu_seconds or 0.0)
    if usage.peak_memory_bytes is not None:
        metrics.CONTAINER_MEMORY.observe(usage.peak_memory_bytes)
    return usage


def described(images: Sequence[RunnerImage]) -> str:
    """One line about images, for operators."""
    return "; ".join(f"{image.name}: dbt {image.dbt_version} with {', '.join(sorted(image.adapters)) or 'no adapter'}" for image in images)
