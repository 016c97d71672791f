"""The files of one package as a cached archive: tar entries named `src/...`, from the hub, git or a URL."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
import tempfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import stamina

from app.core.egress.addresses import shown
from app.core.errors import UnavailableError
from app.core.models.github import Repository
from app.packages.fetch import tarball
from app.packages.fetch.cache import CachedFile, CacheWriter, PackageCache
from app.packages.fetch.http import EgressClient
from app.packages.pins import HubVersion, UnusablePackageError
from app.pipeline.ports import PackageSources, SourceTree
from app.project.checkout import Checkout, check_out, links_of
from app.project.layout import MAX_CONFIG_BYTES
from app.project.read_files import MAX_SEED_BYTES, Member

FORMAT = 2
"""Of cached packages: increase it when they are made differently."""
ATTEMPTS = 3
MAX_DOWNLOAD = 128 << 20
CONFIG_FILES = ("dbt_project.yml", "packages.yml", "dependencies.yml")


class PackageFetcher:
    """Fetches packages into the cache of the installation of the requesting `repository`."""

    def __init__(self, client: EgressClient, sources: PackageSources, cache: PackageCache, limits: tarball.PackageLimits) -> None:
        self._client = client
        self._sources = sources
        self._cache = cache
        self._limits = limits

    async def hub(self, repository: Repository, package: str, version: HubVersion) -> CachedFile:
        """Fetch a version from the hub and check its SHA-1.

        Raises UnusablePackageError, RejectedAddressError, GoneError, TreeTooBigError or UnavailableError.
        """
        key = f"{FORMAT} hub {package} {version.version.text} {version.sha1}"
        return await self._tarball(repository, key, version.url, f"fetching {package} {version.version.text}", sha1=version.sha1)

    async def tarball(self, repository: Repository, url: str, since: float) -> CachedFile:
        """Fetch a tarball, unless it was fetched after `since`: its content may change. Raises as `hub` does."""
        return await self._tarball(repository, f"{FORMAT} tarball {url}", url, f"fetching the package {shown(url)}", since=since)

    async def git(self, repository: Repository, url: str, revision: str | None, subdirectory: str | None) -> CachedFile:
        """Fetch a revision of a git repository, or one of its directories. Its host is asked even if it is cached: access may have ended.

        Raises UnusablePackageError, and as `PackageSources.open_package` does.
        """
        async with self._sources.open_package(url, revision, repository) as tree:
            key = _git_key(url, tree.sha, subdirectory)
            async with self._cache.lock(repository.installation_id, key):
                if cached := await self._cache.get(repository.installation_id, key):
                    return cached

                links = links_of(tree.entries)
                targets = await tree.read([link.oid for link in links]) if links else {}
                checkout = await asyncio.to_thread(check_out, tree.entries, {link.path: targets[link.oid] for link in links})

                async def fill(writer: CacheWriter) -> None:
                    async for chunk in tree.members(_members(tree, checkout, subdirectory, self._limits)):
                        await asyncio.to_thread(writer.write, chunk)

                return await self._cache.put(repository.installation_id, key, fill)

    async def config_files(self, tree: CachedFile) -> Mapping[str, bytes]:
        """Read those of `CONFIG_FILES` that a package has."""
        return await asyncio.to_thread(_config_files, tree)

    async def _tarball(self, repository: Repository, key: str, url: str, doing: str, *, sha1: str = "", since: float = 0.0) -> CachedFile:
        async with self._cache.lock(repository.installation_id, key):
            cached = await self._cache.get(repository.installation_id, key)
            if cached is not None and cached.created_at >= int(since):
                return cached
            return await self._fetch(repository, key, url, doing, sha1)

    async def _fetch(self, repository: Repository, key: str, url: str, doing: str, sha1: str) -> CachedFile:
        with tempfile.TemporaryFile(dir=self._cache.scratch()) as packed:
            await self._download(url, packed, doing)
            actual = await asyncio.to_thread(_sha1, packed)
            if sha1 and actual != sha1:
                reason = f"does not match the hub's checksum: the SHA-1 of {shown(url)} is {actual}, not {sha1}"
                raise UnusablePackageError(reason, "Its tag may have been moved. Request another version, or tell its maintainers.")

            async def fill(writer: CacheWriter) -> None:
                await asyncio.to_thread(tarball.repack, packed, writer, self._limits)

            return await self._cache.put(repository.installation_id, key, fill)

    async def _download(self, url: str, file: BinaryIO, doing: str) -> None:
        async for attempt in stamina.retry_context(UnavailableError, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=2.0):
            with attempt:
                file.seek(0)
                file.truncate()
                await self._client.save(url, MAX_DOWNLOAD, file, doing=doing)


def _git_key(url: str, sha: str | None, subdirectory: str | None) -> str:
    return f"{FORMAT} git {url} {sha} {subdirectory or ''}"


def _members(tree: SourceTree, checkout: Checkout, subdirectory: str | None, limits: tarball.PackageLimits) -> Sequence[Member]:
    """The files of a package that dbt reads, named relative to its root. Raises UnusablePackageError."""
    root = subdirectory or ""
    linked = [link for link in checkout.links if posixpath.dirname(link) == root]
    entries = (entry for directory in (root, *linked) for entry in checkout.below(directory))
    named = {entry.path[len(root) + bool(root) :]: entry for entry in entries}
    members = [
        Member(path, entry.oid, min(entry.size, MAX_SEED_BYTES) if tarball.is_seed(path) else entry.size)
        for path, entry in sorted(named.items())
        if tarball.is_read(path)
    ]
    if len(members) > limits.files or sum(member.size for member in members) > limits.total_bytes:
        raise UnusablePackageError(f"has more than {limits.files:,} files or {limits.total_bytes // tarball.MIB} MiB that dbt reads")
    if "dbt_project.yml" not in {member.path for member in members}:
        where = f"`{posixpath.join(root, 'dbt_project.yml')}`"
        raise UnusablePackageError(f"is not a dbt package: it has no {where} at {tree.sha[:7]}", "Check its address and `subdirectory`.")
    return members


def _config_files(tree: CachedFile) -> dict[str, bytes]:
    texts: dict[str, bytes] = {}
    with tree.open() as file:
        reader = tarball.TarReader(file, tarball.PackageLimits())
        for name, size in reader:
            path = name.removeprefix(tarball.ROOT)
            if path in CONFIG_FILES and size <= MAX_CONFIG_BYTES:
                texts[path] = b"".join(reader.chunks(size))
    return texts


def _sha1(file: BinaryIO) -> str:
    """Hash the whole file and rewind it."""
    file.seek(0)
    digest = hashlib.sha1(usedforsecurity=False)
    while data := file.read(tarball.CHUNK):
        digest.update(data)
    file.seek(0)
    return digest.hexdigest()
