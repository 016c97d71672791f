"""`ports.Runner` on a Docker engine: `dbt deps` with a network, `dbt parse` without one, each in a container of its own."""

from __future__ import annotations

import asyncio
import io
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiodocker

from app import log
from app.dbt import container, engine, lifetime, probe
from app.dbt.command import Command, MalformedResultError, Result, ResultReader, Sink, archive, job_json
from app.dbt.container import MAX_LOG_SHOWN, Exit
from app.dbt.images import Images
from app.dbt.isolation import NO_NETWORK, Limits, Policy, Spec
from app.dbt.packages import SpooledPackages
from app.errors import DbtError, EngineUnavailableError, OutputTooBigError, RunnerImageError
from app.images import RunnerImage
from app.ports import DbtJob, PackageRequest, PackageTree, Parsed, TarStream, Usage
from app.remarks import Placeholder

APP_LABEL, HOST_LABEL, BOOT_LABEL, EXTRACTION_LABEL = (f"io.freshet.{name}" for name in ("app", "host", "boot", "extraction"))
APP = "freshet"
MAX_MANIFEST = 256 << 20
"""It is kept in memory. The biggest known are about 200 MiB."""
MAX_PACKAGES = 256 << 20
CHECK_TIMEOUT_S = 10.0
PROBE_S = 300.0
"""An engine is asked again what it can do after this long: it may have been started anew with other settings."""

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job that dbt did."""

    result: Result
    end: Exit


class DockerRunner:
    """Runs dbt in containers of one engine, from the runner images that it has.

    `image` is the default one, `more_images` are others by name: None stands for all that the engine has with our label.
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
    ) -> None:
        self._docker = docker
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

    async def images(self) -> Sequence[RunnerImage]:
        """Return the runner images there are, the default one first."""
        return await self._images.all()

    async def install(self, wanted: PackageRequest) -> PackageTree:
        """Run `dbt deps` with a network and return what it installed: the `ports.Installer` of operators who set `DBT_DEPS_NETWORK`."""
        job = wanted.job
        packages = SpooledPackages(self._work_dir)
        try:
            await self._run("deps", job, archive(job_json("deps", job), wanted.tree()), packages.write)
            await packages.flush()
        except BaseException:
            packages.close()
            raise
        return packages

    async def parse(self, job: DbtJob, tree: TarStream, packages: PackageTree | None) -> Parsed:
        """Run `dbt parse` without a network and return the manifest's bytes, unread."""
        manifest = io.BytesIO()

        async def keep(data: bytes) -> None:
            manifest.write(data)

        done = await self._run("parse", job, archive(job_json("parse", job), tree, packages), keep)
        # Not copied, as the chunks of a list would be: it can be as big as it may.
        return Parsed(manifest.getvalue(), done.end.log, self._usage(done), job.image.name, _placeholders(done.result))

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

    async def _run(self, command: Command, job: DbtJob, stdin: TarStream, sink: Sink) -> Outcome:
        doing = f"{'installing the packages of' if command == 'deps' else 'parsing'} {job.label}"
        reader = ResultReader(_bounded(sink, self._max_bytes[command], doing))
        spec = await self._spec(command, job, doing)
        try:
            end = await container.run(self._docker, spec, stdin, reader.feed)
        except MalformedResultError as error:
            raise _not_ours(spec) from error
        except RunnerImageError:
            self._images.forget()
            raise
        result = _judge(reader, end, spec)
        logger.info(
            "dbt ended",
            command=command,
            seconds=round(end.seconds, 3),
            cpu_seconds=result.cpu_seconds,
            peak_memory_bytes=result.peak_memory_bytes,
            stages=result.stages,
            warnings=result.warnings,
        )
        return Outcome(result, end)

    async def _spec(self, command: Command, job: DbtJob, doing: str) -> Spec:
        # Docker's rule for names: [a-zA-Z0-9][a-zA-Z0-9_.-]+
        extraction = re.sub(r"[^a-zA-Z0-9_.-]", "-", job.extraction_id)[:100]
        limits, host = self._limits, await self._probed()
        return Spec(
            name=f"freshet-{extraction}-{command}-{secrets.token_hex(4)}",
            image=job.image.id,
            image_name=job.image.name,
            doing=doing,
            labels={APP_LABEL: APP, EXTRACTION_LABEL: job.extraction_id, BOOT_LABEL: self.boot_id, HOST_LABEL: self._instance},
            limits=Limits(min(limits.cpus, host.cpus), limits.memory_bytes, limits.timeout_s, limits.pids),
            network=self._deps_network if command == "deps" else NO_NETWORK,
            environment=self._deps_environment if command == "deps" else {},
            policy=self._policy,
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

    def _usage(self, done: Outcome) -> Usage:
        """Return what the container says that it took, as far as that can be: it is a stranger's word."""
        limits, result = self._limits, done.result
        cpu_seconds, peak_bytes = result.cpu_seconds, result.peak_memory_bytes
        return Usage(
            done.end.seconds,
            cpu_seconds if cpu_seconds is not None and 0 <= cpu_seconds <= limits.cpus * limits.timeout_s else None,
            peak_bytes if peak_bytes is not None and 0 <= peak_bytes <= 2 * limits.memory_bytes else None,
        )


def _listed(image: RunnerImage) -> str:
    return ", ".join(sorted(image.adapters)) or "no adapter"


def _placeholders(result: Result) -> tuple[Placeholder, ...]:
    return tuple(Placeholder(found.kind, found.name, found.value, found.path, found.line) for found in result.placeholders)


def _judge(reader: ResultReader, end: Exit, spec: Spec) -> Result:
    """Return the result of a container that did its job, raise what stopped the others."""
    result = reader.result
    if end.status != 0:
        tail = end.log.strip()[-MAX_LOG_SHOWN:] or "(it wrote nothing)"
        output = f"dbt's container ended with exit status {end.status} before it gave a result. The end of its log:\n\n{tail}"
        raise DbtError(spec.doing, output, end.log)
    if result is None:
        raise _not_ours(spec)
    if not result.ok and (end.oom_killed or result.kind != "dbt"):
        raise container.out_of_memory(spec, end.log)
    if not result.ok:
        refusal = DbtError(spec.doing, result.error, end.log)
        refusal.placeholders = _placeholders(result)
        raise refusal
    if not reader.complete:
        reason = f"the result broke off after {reader.received_bytes:,} of {result.bytes:,} bytes"
        raise EngineUnavailableError(spec.doing, reason, engine.NEXT_STEP)
    return result


def _not_ours(spec: Spec) -> RunnerImageError:
    reason = f"the container of the image {spec.image_name!r} did not answer in the way of this version of Freshet's runner"
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
