"""Installs a project's packages as data, in our own process; none of their code runs. Implements `app.pipeline.ports.Installer`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import posixpath
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from app.core import log, metrics
from app.core.errors import PackagesError, UnavailableError
from app.core.models.annotations import Annotation
from app.core.plurals import count
from app.core.yaml_text import literal, mapping
from app.packages.fetch import tarball
from app.packages.fetch.archive import lay_out
from app.packages.fetch.cache import CachedArchive, CacheWriter, PackageCache
from app.packages.fetch.http import EgressClient
from app.packages.fetch.registry import Registry
from app.packages.fetch.resolver import Resolution, Resolver, RootProject
from app.packages.fetch.sources import PackageFetcher
from app.packages.package_lists import LOCK, PackageList, PackageListReader
from app.packages.private import PrivatePackages
from app.pipeline.ports import PackageRequest, PackageSources
from app.project.expressions import Values
from app.project.package_files import PROJECT_FILE

FORMAT = 2
"""Of cached resolutions: increase it when they are made differently."""
ACCESS_S = 3600.0
"""How long a git package is used without asking its host: access to it may have ended."""
OUTAGE_S = 4 * 3600.0
"""How long packages are used as they were resolved before, while one of their hosts does not answer."""
TIMEOUT_S = 600.0
MAX_CACHE_BYTES = 5 << 30
MAX_NAMED = 5
FOREVER = 1e12
NEXT_STEP = "Correct the entries that are listed here."

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Record:
    """An earlier resolution."""

    archive: str
    """The key of the archive, derived from its content."""
    resolved_at: float
    """When it began, in seconds since the epoch."""
    pinned_until: float
    """Until then another resolution would give the same; 0 if ranges, branches or URLs are involved."""


class Installer:
    """Installs packages from the hub, git repositories and public URLs, cached below `work_dir`.

    `client` must be open while this is used. Versions that are not pinned are resolved for each push. `hub_url` defaults to dbt's own hub;
    `server_url` is that of our GitHub server, of which `private` says who may use which repositories.
    """

    def __init__(  # noqa: PLR0913 - plain values, most with a default
        self,
        sources: PackageSources,
        client: EgressClient,
        *,
        work_dir: Path,
        hub_url: str | None = None,
        server_url: str = "https://github.com",
        private: PrivatePackages | None = None,
        outage_s: float = OUTAGE_S,
        timeout_s: float = TIMEOUT_S,
        limits: tarball.PackageLimits | None = None,
    ) -> None:
        self.point_at(server_url)
        self._registry = Registry(client, hub_url)
        self._hub_url = hub_url or ""
        self._limits = limits or tarball.PackageLimits()
        self._cache = PackageCache(work_dir.absolute() / "packages")
        self._fetcher = PackageFetcher(client, sources, self._cache, self._limits)
        self._private = private or PrivatePackages()
        self._outage_s = outage_s
        self._timeout_s = timeout_s

    def point_at(self, server_url: str) -> None:
        """Use another GitHub server from now on."""
        self._server_url = server_url

    async def install(self, request: PackageRequest) -> CachedArchive:
        """Resolve and fetch. Raises PackagesError, with an annotation per problem, or UnavailableError."""
        installation = request.repository.installation_id
        key = await asyncio.to_thread(self._key, request)
        async with self._cache.lock(installation, key):
            record = await self._resolved(request, key)
            archive = await self._cache.get(installation, record.archive)
            if archive is None:
                record = await self._install(request, key)
                archive = await self._cache.get(installation, record.archive)
        if archive is None:
            raise UnavailableError(f"installing the packages of {request.job.label}", "they were evicted from the cache")
        return await self._cache.open(archive)

    async def identify(self, request: PackageRequest) -> str:
        """Resolve, and fetch what is new. Raises like `install`."""
        key = await asyncio.to_thread(self._key, request)
        async with self._cache.lock(request.repository.installation_id, key):
            return (await self._resolved(request, key)).archive

    async def tidy(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        """Remove old files, and the least recently used ones over `max_bytes`. Call it periodically."""
        await self._cache.tidy(max_bytes)

    async def remove(self, installation_id: int) -> None:
        """Delete the cache of an installation that was removed."""
        await self._cache.remove(installation_id)

    async def _resolved(self, request: PackageRequest, key: str) -> _Record:
        """What the request leads to: as it was resolved before, if that must be the same now or is new enough."""
        record = await self._recorded(request.repository.installation_id, key)
        valid = record is not None and (record.resolved_at >= request.since or time.time() < record.pinned_until)
        metrics.CACHE_REQUESTS.labels("packages", "hit" if valid else "miss").inc()
        if record is not None and valid:
            return record
        try:
            return await self._install(request, key)
        except UnavailableError as error:
            if record is None or time.time() - record.resolved_at > self._outage_s:
                raise
            logger.warning("packages are used as they were resolved before", reason=str(error))
            return record

    async def _recorded(self, installation_id: int, key: str) -> _Record | None:
        stored = await self._cache.get(installation_id, key)
        if stored is None:
            return None
        with stored.open() as file:
            return _Record(**orjson.loads(file.read()))

    async def _install(self, request: PackageRequest, key: str) -> _Record:
        doing, resolved_at = f"installing the packages of {request.job.label}", time.time()
        try:
            async with asyncio.timeout(self._timeout_s):
                listed, resolution, locked = await self._resolve(request)
        except TimeoutError as error:
            reason = f"this took longer than {self._timeout_s:g} s"
            raise PackagesError(doing, reason, "Use fewer packages, or commit the installed packages.") from error
        annotations = [*listed.annotations, *resolution.annotations]
        if annotations:
            raise packages_error(doing, annotations)
        if resolution.temporary is not None:
            raise resolution.temporary
        pinned = all(package.pinned for package in resolution.packages)
        layout = lay_out(request.job.project_dir, request.install_dir, resolution.packages, listed.skipped, doing, self._limits.total_bytes)
        installation = request.repository.installation_id
        archive = await self._cache.get(installation, layout.key) or await self._cache.put(installation, layout.key, layout.write)
        from_git = any(package.requested.first.kind == "git" for package in resolution.packages)
        record = _Record(layout.key, resolved_at, 0.0 if not pinned else resolved_at + ACCESS_S if from_git else FOREVER)

        async def write_record(writer: CacheWriter) -> None:
            await asyncio.to_thread(writer.write, orjson.dumps(record))

        await self._cache.put(installation, key, write_record)
        logger.info("packages.installed", packages=len(resolution.packages), bytes=archive.size_bytes, pinned=pinned, locked=locked)
        return record

    async def _resolve(self, request: PackageRequest) -> tuple[PackageList, Resolution, bool]:
        """The project's list, its resolution, and True if a lock file was used."""
        job, texts = request.job, request.texts
        reader = PackageListReader(Values(job.environment, job.variables), request.rules, self._server_url)
        listed = await asyncio.to_thread(reader.read_project, texts, job.project_dir)
        lock_path = posixpath.join(job.project_dir, LOCK)
        locked = await asyncio.to_thread(reader.read_lock, texts.get(lock_path), listed, lock_path)
        project = RootProject(
            job.project_dir, _name(texts, posixpath.join(job.project_dir, PROJECT_FILE)), request.committed, request.unfetched
        )
        resolver = Resolver(self._registry, self._fetcher, reader, request.repository, job.image.dbt_version, request.since)
        resolution = await resolver.resolve(locked or listed, texts, project, nested=locked is None)
        return listed, resolution, locked is not None

    def _key(self, request: PackageRequest) -> str:
        """A hash of everything that a resolution depends on; of `dbt_project.yml` only the name."""
        job = request.job
        texts = {
            path: _name(request.texts, path) if posixpath.basename(path) == PROJECT_FILE else text.decode(errors="surrogateescape")
            for path, text in request.texts.items()
        }
        rules = [(rule.address, rule.use, rule.skip) for rule in request.rules]
        scope = self._private.scope(request.repository)
        facts = [FORMAT, scope, self._hub_url, self._server_url, job.project_dir, request.install_dir, job.image.dbt_version]
        values = [dict(job.environment), dict(job.variables), rules, texts, dict(request.committed)]
        return f"resolution {hashlib.sha256(json.dumps([*facts, *values], sort_keys=True, default=str).encode()).hexdigest()}"


def _name(texts: Mapping[str, bytes], path: str) -> str | None:
    return literal(mapping(texts.get(path)).get("name"))


def packages_error(doing: str, annotations: Sequence[Annotation]) -> PackagesError:
    """The error with these annotations; its reason has the first `MAX_NAMED` titles."""
    titles = "; ".join(annotation.title for annotation in annotations[:MAX_NAMED])
    more = "; …" if len(annotations) > MAX_NAMED else ""
    reason = f"{count(len(annotations), 'problem')}: {titles}{more}"
    return PackagesError(doing, reason, NEXT_STEP, annotations=tuple(annotations))
