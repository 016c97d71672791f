"""`ports.Runner` on a Docker engine: `dbt deps` with a network, `dbt parse` without one, each in a container of its own."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import aiodocker

from app import log
from app.dbt import container, engine, lifetime
from app.dbt.command import Command, MalformedResultError, Result, ResultReader, Sink, archive, job_json
from app.dbt.container import MAX_LOG_SHOWN, Exit
from app.dbt.images import Images, RunnerImage
from app.dbt.isolation import Limits, Spec
from app.dbt.packages import SpooledPackages
from app.errors import DbtError, EngineUnavailableError, OutputTooBigError, RunnerImageError
from app.ports import DbtJob, PackageTree, Parsed, TarStream, Usage

APP_LABEL, HOST_LABEL, BOOT_LABEL, EXTRACTION_LABEL = (f"io.freshet.{name}" for name in ("app", "host", "boot", "extraction"))
APP = "freshet"
MAX_MANIFEST = 512 << 20
MAX_PACKAGES = 256 << 20
CHECK_TIMEOUT_S = 10.0

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job that dbt did."""

    result: Result
    end: Exit
    image: RunnerImage


class DockerRunner:
    """Runs dbt in containers of one engine, from one runner image.

    `instance` names this service among others on the same engine, and stays the same when it starts again.
    """

    def __init__(  # noqa: PLR0913 - settings, each by its name
        self,
        docker: aiodocker.Docker,
        *,
        image: str,
        cpus: float,
        memory_bytes: int,
        timeout_s: float,
        pids: int,
        deps_network: str,
        package_hub_url: str | None,
        instance: str,
        work_dir: Path,
        max_manifest_bytes: int = MAX_MANIFEST,
    ) -> None:
        self._docker = docker
        self._images = Images(docker, image)
        self._limits = Limits(cpus, memory_bytes, timeout_s, pids)
        self._deps_network = deps_network
        # dbt puts paths after it as they are, hence the slash.
        self._deps_environment = {"DBT_PACKAGE_HUB_URL": package_hub_url.rstrip("/") + "/"} if package_hub_url else {}
        self._instance = instance
        self._work_dir = work_dir
        self._max_bytes = {"deps": MAX_PACKAGES, "parse": max_manifest_bytes}
        self._engine_cpus: float | None = None
        self.boot_id = secrets.token_hex(8)

    async def adapters(self) -> frozenset[str]:
        """Return the adapter types that the runner image holds."""
        return (await self._images.get()).adapters

    async def image_id(self) -> str:
        """Return what stands for the contents of the runner image."""
        return (await self._images.get()).id

    async def install_packages(self, job: DbtJob, tree: TarStream) -> PackageTree:
        """Run `dbt deps` with a network and return what it installed."""
        packages = SpooledPackages(self._work_dir)
        try:
            await self._run("deps", job, archive(job_json("deps", job), tree), packages.write)
            await packages.flush()
        except BaseException:
            packages.close()
            raise
        return packages

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        """Run `dbt parse` without a network and return the manifest's bytes, unread."""
        chunks: list[bytes] = []

        async def keep(data: bytes) -> None:
            chunks.append(data)

        done = await self._run("parse", job, archive(job_json("parse", job), tree, packages), keep)
        usage = Usage(done.end.seconds, done.result.cpu_seconds, done.result.peak_memory_bytes)
        return Parsed(b"".join(chunks), done.end.log, usage, done.image.name)

    async def sweep(self) -> int:
        """Remove containers that an earlier start of this service left behind; return how many."""
        labels = {APP_LABEL: APP, HOST_LABEL: self._instance}
        return await lifetime.sweep(self._docker, labels, BOOT_LABEL, self.boot_id)

    async def check(self) -> str:
        """Return a line that says which engine and which image will be used. Raises RunnerImageError or EngineUnavailableError."""
        with engine.errors(engine.DOING):
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                version = (await self._docker.version())["Version"]
        image = await self._images.get()
        adapters = ", ".join(sorted(image.adapters)) or "no adapter"
        return f"Docker {version}, {image.name}: dbt {image.dbt_version} with {adapters}"

    async def _run(self, command: Command, job: DbtJob, stdin: TarStream, sink: Sink) -> Outcome:
        doing = f"{'installing the packages of' if command == 'deps' else 'parsing'} {job.label}"
        reader = ResultReader(_bounded(sink, self._max_bytes[command], doing))
        image = await self._images.get()
        spec = await self._spec(command, job, image, doing)
        try:
            end = await container.run(self._docker, spec, stdin, reader.feed)
        except MalformedResultError as error:
            raise _not_ours(spec, image) from error
        except RunnerImageError:
            self._images.forget()
            raise
        result = _judge(reader, end, spec, image)
        logger.info(
            "dbt ended",
            command=command,
            seconds=round(end.seconds, 3),
            cpu_seconds=result.cpu_seconds,
            peak_memory_bytes=result.peak_memory_bytes,
            stages=result.stages,
            warnings=result.warnings,
        )
        return Outcome(result, end, image)

    async def _spec(self, command: Command, job: DbtJob, image: RunnerImage, doing: str) -> Spec:
        # Docker's rule for names: [a-zA-Z0-9][a-zA-Z0-9_.-]+
        extraction = re.sub(r"[^a-zA-Z0-9_.-]", "-", job.extraction_id)[:100]
        limits = self._limits
        return Spec(
            name=f"freshet-{extraction}-{command}-{secrets.token_hex(4)}",
            image=image.id,
            image_name=image.name,
            doing=doing,
            labels={APP_LABEL: APP, EXTRACTION_LABEL: job.extraction_id, BOOT_LABEL: self.boot_id, HOST_LABEL: self._instance},
            limits=Limits(min(limits.cpus, await self._cpus()), limits.memory_bytes, limits.timeout_s, limits.pids),
            network=self._deps_network if command == "deps" else "none",
            environment=self._deps_environment if command == "deps" else {},
        )

    async def _cpus(self) -> float:
        """Return how many CPUs the engine has: it refuses a container that may use more."""
        if self._engine_cpus is None:
            with engine.errors(engine.DOING):
                self._engine_cpus = float((await self._docker.system.info())["NCPU"])
        return self._engine_cpus


def _judge(reader: ResultReader, end: Exit, spec: Spec, image: RunnerImage) -> Result:
    """Return the result of a container that did its job, raise what stopped the others."""
    result = reader.result
    if end.status != 0:
        tail = end.log.strip()[-MAX_LOG_SHOWN:] or "(it wrote nothing)"
        output = f"dbt's container ended with exit status {end.status} before it gave a result. The end of its log:\n\n{tail}"
        raise DbtError(spec.doing, output, end.log)
    if result is None:
        raise _not_ours(spec, image)
    if not result.ok and (end.oom_killed or result.kind != "dbt"):
        raise container.out_of_memory(spec, end.log)
    if not result.ok:
        raise DbtError(spec.doing, result.error, end.log)
    if not reader.complete:
        reason = f"the result broke off after {reader.received_bytes:,} of {result.bytes:,} bytes"
        raise EngineUnavailableError(spec.doing, reason, engine.NEXT_STEP)
    return result


def _not_ours(spec: Spec, image: RunnerImage) -> RunnerImageError:
    reason = f"the container of the image {image.name!r} did not answer in the way of this version of Freshet's runner"
    return RunnerImageError(spec.doing, reason, "Build the image again with `make image`.")


def _bounded(sink: Sink, max_bytes: int, doing: str) -> Sink:
    taken = 0

    async def take(data: bytes) -> None:
        nonlocal taken
        taken += len(data)
        if taken > max_bytes:
            raise OutputTooBigError(doing, f"what dbt wrote is bigger than {max_bytes >> 20} MiB", "It can be split into several projects.")
        await sink(data)

    return take
