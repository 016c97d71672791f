"""The files of single packages, as they are kept: tar entries named `src/...`, whichever way they came."""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import BinaryIO

import stamina

from app.deps.addresses import shown
from app.deps.pins import HubVersion, UnobtainableError
from app.errors import UnavailableError
from app.hub import tarball
from app.hub.cache import Cache, Stored, Writer
from app.hub.guard import Guard
from app.inference.project import FILE_MODES, MAX_CONFIG_BYTES, MAX_SEED_BYTES, Entry, Member, is_clean
from app.jobs import Repository
from app.ports import PackageSources, SourceTree

ATTEMPTS = 3
MAX_DOWNLOAD = 128 << 20
TARBALL_S = 600.0
"""What a URL of a tarball leads to may change: it is kept that long."""
STEERING = ("dbt_project.yml", "packages.yml", "dependencies.yml")


class Trees:
    """Fetches packages into the cache, each once."""

    def __init__(self, guard: Guard, sources: PackageSources, cache: Cache, bounds: tarball.Bounds) -> None:
        self._guard = guard
        self._sources = sources
        self._cache = cache
        self._bounds = bounds

    async def hub(self, asking: Repository, package: str, found: HubVersion) -> Stored:
        """Return a version of the hub, checked against the hub's SHA-1.

        Raises UnobtainableError, RejectedAddressError, GoneError, TreeTooBigError or UnavailableError.
        """
        key = f"hub {package} {found.version.text} {found.sha1}"
        return await self._tarball(asking, key, found.url, f"fetching {package} {found.version.text}", sha1=found.sha1)

    async def tarball(self, asking: Repository, url: str) -> Stored:
        """Return what a URL leads to, at most `TARBALL_S` old. Raises as `hub` does."""
        return await self._tarball(asking, f"tarball {url}", url, f"fetching the package {shown(url)}", max_age_s=TARBALL_S)

    async def git(self, asking: Repository, url: str, revision: str | None, subdirectory: str | None, *, fixed: bool) -> Stored:
        """Return a revision of a repository, or a directory of it; nothing is asked for one that is `fixed` and kept.

        Raises as `PackageSources.open_package` does, and UnobtainableError.
        """
        if fixed and (kept := await self._cache.get(asking.installation_id, _git_key(url, revision, subdirectory))):
            return kept
        async with self._sources.open_package(url, revision, asking) as tree:
            key = _git_key(url, tree.sha, subdirectory)
            async with self._cache.lock(asking.installation_id, key):
                if kept := await self._cache.get(asking.installation_id, key):
                    return kept

                async def fill(writer: Writer) -> None:
                    async for chunk in tree.members(_members(tree, subdirectory, self._bounds)):
                        await asyncio.to_thread(writer.write, chunk)

                return await self._cache.put(asking.installation_id, key, fill)

    async def texts(self, tree: Stored) -> Mapping[str, bytes]:
        """Return the files that steer a package: `STEERING`."""
        return await asyncio.to_thread(_texts, tree)

    async def _tarball(
        self, asking: Repository, key: str, url: str, doing: str, *, sha1: str = "", max_age_s: float | None = None
    ) -> Stored:
        async with self._cache.lock(asking.installation_id, key):
            kept = await self._cache.get(asking.installation_id, key)
            if kept is not None and (max_age_s is None or time.time() - kept.created_at < max_age_s):
                return kept
            return await self._fetch(asking, key, url, doing, sha1)

    async def _fetch(self, asking: Repository, key: str, url: str, doing: str, sha1: str) -> Stored:
        with tempfile.TemporaryFile(dir=self._cache.scratch()) as packed:
            await self._download(url, packed, doing)
            actual = await asyncio.to_thread(_sha1, packed)
            if sha1 and actual != sha1:
                reason = f"What {shown(url)} gave is not what the hub announced: its SHA-1 is {actual}, not {sha1}."
                raise UnobtainableError(reason, "Its tag may have been moved: ask for another version, or tell its owners.")

            async def fill(writer: Writer) -> None:
                await asyncio.to_thread(tarball.repack, packed, actual, writer, self._bounds)

            return await self._cache.put(asking.installation_id, key, fill)

    async def _download(self, url: str, file: BinaryIO, doing: str) -> None:
        async for attempt in stamina.retry_context(UnavailableError, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=2.0):
            with attempt:
                file.seek(0)
                file.truncate()
                await self._guard.save(url, MAX_DOWNLOAD, file, doing=doing)


def _git_key(url: str, sha: str | None, subdirectory: str | None) -> str:
    return f"git {url} {sha} {subdirectory or ''}"


def _members(tree: SourceTree, subdirectory: str | None, bounds: tarball.Bounds) -> Sequence[Member]:
    """Return what dbt reads of a package, named as seen from its own top. Raises UnobtainableError."""
    prefix = f"{subdirectory}/" if subdirectory else ""
    members = [
        Member(path, entry.oid, min(entry.size, MAX_SEED_BYTES) if tarball.is_seed(path) else entry.size)
        for path, entry in ((entry.path[len(prefix) :], entry) for entry in tree.entries if _is_wanted(entry, prefix))
    ]
    if len(members) > bounds.files or sum(member.size for member in members) > bounds.kept_bytes:
        reason = f"It has more than {bounds.files:,} files or {bounds.kept_bytes // tarball.MIB} MiB that dbt reads."
        raise UnobtainableError(reason)
    if "dbt_project.yml" not in {member.path for member in members}:
        where = f"`{posixpath.join(subdirectory or '', 'dbt_project.yml')}`"
        raise UnobtainableError(f"It has no {where} at {tree.sha[:7]}, so it is no dbt package.", "Check its address and `subdirectory`.")
    return members


def _is_wanted(entry: Entry, prefix: str) -> bool:
    return entry.mode in FILE_MODES and entry.path.startswith(prefix) and is_clean(entry.path) and tarball.is_read(entry.path)


def _texts(tree: Stored) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tree.opened() as file:
        reader = tarball.TarReader(file, tarball.Bounds())
        for name, size, _ in reader:
            path = name.removeprefix(tarball.ROOT)
            if path in STEERING and size <= MAX_CONFIG_BYTES:
                found[path] = b"".join(reader.chunks(size))
    return found


def _sha1(file: BinaryIO) -> str:
    """Return the digest of a whole file and go back to its beginning."""
    file.seek(0)
    digest = hashlib.sha1(usedforsecurity=False)
    while data := file.read(tarball.CHUNK):
        digest.update(data)
    file.seek(0)
    return digest.hexdigest()
