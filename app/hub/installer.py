"""The packages of a project, brought by our own process as data (`app.ports.Installer`): nothing of them runs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import posixpath
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from app import log, metrics
from app.deps.expressions import Values
from app.deps.packages import LOCK, Asked, Reader
from app.errors import PackagesError
from app.hub import tarball
from app.hub.cache import Archive, Cache, Stored, Writer
from app.hub.guard import Guard
from app.hub.layout import lay_out
from app.hub.registry import Registry
from app.hub.resolver import Project, Resolution, Resolver
from app.hub.trees import Trees
from app.inference.project import PROJECT_FILE
from app.ports import PackageRequest, PackageSources
from app.remarks import Remark
from app.texts import literal, mapping

FORMAT = 1
"""Of what is kept: another number when it is made in another way."""
KEEP_S = 3600.0
TIMEOUT_S = 600.0
MAX_CACHE_BYTES = 5 << 30
MAX_NAMED = 5
NEXT_STEP = "Each is marked where it is asked for, with what to do."

logger = log.get(__name__)


class Installer:
    """Brings packages from the hub, from git repositories and from anywhere on the public network, and keeps them below `work_dir`.

    `guard` is open as long as this is used. What is not pinned is looked up again after `keep_s` seconds. `hub_url` None is dbt's own hub;
    `server_url` is that of our GitHub.
    """

    def __init__(  # noqa: PLR0913 - plain values, most with a default
        self,
        sources: PackageSources,
        guard: Guard,
        *,
        work_dir: Path,
        hub_url: str | None = None,
        server_url: str = "https://github.com",
        keep_s: float = KEEP_S,
        timeout_s: float = TIMEOUT_S,
        bounds: tarball.Bounds | None = None,
    ) -> None:
        self.point_at(server_url)
        self._registry = Registry(guard, hub_url)
        self._hub_url = hub_url or ""
        self._bounds = bounds or tarball.Bounds()
        self._cache = Cache(work_dir.absolute() / "packages")
        self._trees = Trees(guard, sources, self._cache, self._bounds)
        self._keep_s = keep_s
        self._timeout_s = timeout_s

    def point_at(self, server_url: str) -> None:
        """Have another GitHub for ours from now on."""
        self._server_url = server_url

    async def install(self, wanted: PackageRequest) -> Archive:
        """Return the installed packages. Raises PackagesError, with a remark for each that cannot be had, or UnavailableError."""
        installation = wanted.repository.installation_id
        key = await asyncio.to_thread(self._key, wanted)
        async with self._cache.lock(installation, key):
            kept = await self._kept(installation, key)
            metrics.CACHE_REQUESTS.labels("packages", "hit" if kept else "miss").inc()
            if kept is None:
                kept = await self._bring(wanted, key)
            return await self._cache.open(kept)

    async def tidy(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        """Remove what was not used for long, and what is over `max_bytes`. For now and then."""
        await self._cache.tidy(max_bytes)

    async def remove(self, installation_id: int) -> None:
        """Throw away what is kept for an installation: it was removed."""
        await self._cache.remove(installation_id)

    async def _kept(self, installation_id: int, key: str) -> Stored | None:
        """Return the archive that an earlier resolution of the same led to."""
        record = await self._cache.get(installation_id, key)
        if record is None:
            return None
        with record.opened() as file:
            facts = orjson.loads(file.read())
        if not facts["pinned"] and not 0 <= time.time() - record.created_at < self._keep_s:
            return None
        return await self._cache.get(installation_id, facts["archive"])

    async def _bring(self, wanted: PackageRequest, key: str) -> Stored:
        doing = f"installing the packages of {wanted.job.label}"
        try:
            async with asyncio.timeout(self._timeout_s):
                asked, resolution, locked = await self._resolve(wanted)
        except TimeoutError as error:
            reason = f"bringing them took longer than {self._timeout_s:g} s"
            raise PackagesError(doing, reason, "Ask for fewer, or commit the installed packages.") from error
        remarks = [*asked.remarks, *resolution.remarks]
        if remarks:
            raise refusal(doing, remarks)
        if resolution.away is not None:
            raise resolution.away
        pinned = all(target.pinned for target in resolution.targets)
        layout = lay_out(wanted.job.project_dir, wanted.install_dir, resolution.targets, asked.skipped, doing, self._bounds.kept_bytes)
        installation = wanted.repository.installation_id
        archive = await self._cache.get(installation, layout.key) or await self._cache.put(installation, layout.key, layout.write)
        record = orjson.dumps({"pinned": pinned, "archive": layout.key})

        async def note(writer: Writer) -> None:
            await asyncio.to_thread(writer.write, record)

        await self._cache.put(installation, key, note)
        logger.info("packages.installed", packages=len(resolution.targets), bytes=archive.size_bytes, pinned=pinned, locked=locked)
        return archive

    async def _resolve(self, wanted: PackageRequest) -> tuple[Asked, Resolution, bool]:
        """Read what is asked for and resolve it; the last is True when a lock file says what to install."""
        job, texts = wanted.job, wanted.texts
        reader = Reader(Values(job.environment, job.variables), wanted.rules, self._server_url)
        asked = await asyncio.to_thread(reader.project, texts, job.project_dir)
        lock_path = posixpath.join(job.project_dir, LOCK)
        locked = await asyncio.to_thread(reader.lock, texts.get(lock_path), asked, lock_path)
        project = Project(job.project_dir, _name(texts, posixpath.join(job.project_dir, PROJECT_FILE)))
        resolver = Resolver(self._registry, self._trees, reader, wanted.repository, job.image.dbt_version)
        resolution = await resolver.resolve(locked or asked, texts, project, nested=locked is None)
        return asked, resolution, locked is not None

    def _key(self, wanted: PackageRequest) -> str:
        """Return a key for all that a resolution follows from. Of `dbt_project.yml` that is the name."""
        job = wanted.job
        texts = {
            path: _name(wanted.texts, path) if posixpath.basename(path) == PROJECT_FILE else text.decode(errors="surrogateescape")
            for path, text in wanted.texts.items()
        }
        rules = [(rule.address, rule.use, rule.skip) for rule in wanted.rules]
        facts = [FORMAT, self._hub_url, self._server_url, job.project_dir, wanted.install_dir, job.image.dbt_version]
        values = [dict(job.environment), dict(job.variables), rules, texts]
        return f"resolution {hashlib.sha256(json.dumps([*facts, *values], sort_keys=True, default=str).encode()).hexdigest()}"


def _name(texts: Mapping[str, bytes], path: str) -> str | None:
    return literal(mapping(texts.get(path)).get("name"))


def refusal(doing: str, remarks: Sequence[Remark]) -> PackagesError:
    """Return the error for packages that cannot be had."""
    count = "one of its packages" if len(remarks) == 1 else f"{len(remarks)} of its packages"
    what = "; ".join(remark.title for remark in remarks[:MAX_NAMED])
    error = PackagesError(doing, f"{count} cannot be used ({what}{', …' if len(remarks) > MAX_NAMED else ''})", NEXT_STEP)
    error.remarks = tuple(remarks)
    return error
