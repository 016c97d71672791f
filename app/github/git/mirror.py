"""A bare repository that caches fetched commits of one repository, each without history.

Every commit has its own reference (`refs/freshet/SHA`), so that fetching one never removes another that is being read.
The mirror is a cache: if anything is wrong with it, it is deleted and fetched again.

Of big repositories, commits and directories are fetched first, then only the files that are read, many at once: see `partial_clone`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import Coroutine, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app.core import log
from app.core.errors import TreeTooBigError
from app.core.eviction import Cached, evicted
from app.github.git.directories import fact_of, init_bare, oldest_first, size_of
from app.github.git.partial_clone import FILTERED, NO_NEGOTIATION, is_partial, lines_file, promisor
from app.github.git.process import Git, GitError

REFS = "refs/freshet"
KEEP = 10
"""Commits kept in addition to those that are being read."""
MANY_PACKS = 30
"""Each fetch leaves one pack."""
MANY_PARTIAL_PACKS = 200
"""git never removes objects of a partial mirror, so it is deleted and fetched again."""
FETCH_S = 300.0
MAX_FETCH_BYTES = 2 << 30
"""Of one commit, packed. GitHub accepts no bigger push, but a package's host may send anything."""
WHOLE_BYTES = 16 << 20
"""Packed size up to which a commit is fetched with all its files; nearly every dbt repository is smaller."""
WATCH_S = 0.1
STREAMED: Mapping[str, str] = {"core.bigFileThreshold": "16m"}
"""git does not load bigger blobs into memory: https://git-scm.com/docs/git-config#Documentation/git-config.txt-corebigFileThreshold"""
TIDY_S = 600.0
OWNER = "freshet-installation"
"""The file in a mirror with the id of the installation that read it last."""
MAX_AGE_S = 30 * 86_400.0
"""An unused mirror is deleted after this time."""

_log = log.get(__name__)


def ref_of(sha: str) -> str:
    """The reference of a commit."""
    return f"{REFS}/{sha}"


class Mirror:
    """One bare repository. Callers hold `lock` to change it; reading needs no lock."""

    def __init__(self, git: Git, path: Path, max_fetch_bytes: int = MAX_FETCH_BYTES, whole_bytes: int | None = None) -> None:
        """Commits over `whole_bytes` are fetched without their files (see `fetch_blobs`); None disables that."""
        self.lock = asyncio.Lock()
        self.path = path
        self.received_bytes = 0
        """Of all packs since the process started, including cancelled fetches."""
        self._git = git
        self._readers: Counter[str] = Counter()
        self._max_fetch_bytes = max_fetch_bytes
        self._whole_bytes = whole_bytes

    @property
    def partial(self) -> bool:
        """True if files of the commits may be missing."""
        return is_partial(self.path)

    @property
    def owner(self) -> str:
        """Who read it last (see `belongs_to`), also before the process started; empty if that is not known."""
        with suppress(OSError):
            return (self.path / OWNER).read_text()
        return ""

    def belongs_to(self, installation_id: int) -> None:
        """Record who reads it, once it exists."""
        if self.owner != str(installation_id):
            with suppress(OSError):
                (self.path / OWNER).write_text(str(installation_id))

    @property
    def busy(self) -> bool:
        """True while a commit is fetched or read."""
        return self.lock.locked() or self._readers.total() > 0

    @contextmanager
    def protect(self, sha: str) -> Iterator[None]:
        """Do not prune `sha` in this context."""
        self._readers[sha] += 1
        try:
            yield
        finally:
            self._readers[sha] -= 1
            self._readers += Counter()

    def has(self, sha: str) -> bool:
        """True if the commit is present; marks it as used."""
        with suppress(OSError):
            os.utime(self.path / ref_of(sha))
            return True
        return False

    async def holds(self, sha: str) -> bool:
        """True if a fetched reference led to `sha`. Otherwise what it led to is dropped."""
        found = await self._git.run("--git-dir", str(self.path), "rev-parse", ref_of(sha))
        if found.decode().strip() == sha:
            return True
        await self._run("update-ref", "-d", ref_of(sha))
        return False

    async def fetch(  # noqa: PLR0913 - all but three have a default
        self,
        url: str,
        sha: str,
        config: Mapping[str, str],
        *,
        git: Git | None = None,
        ref: str = "",
        secrets: tuple[str, ...] = (),
        timeout_s: float = FETCH_S,
    ) -> None:
        """Fetch exactly one commit, without history: https://git-scm.com/docs/git-fetch. Raises GitError or TreeTooBigError.

        `ref` is fetched instead, for servers that send nothing by id; the caller must check that it was `sha`. `git` is one that may
        connect to `url`.
        """
        await self._create()
        self._remove_leftovers()
        for arguments, more, most_bytes in self._ways(url):
            refspec = f"+{ref or sha}:{ref_of(sha)}"
            fetching = (git or self._git).run(
                *(*self._fetch, "--depth=1", *arguments, "--", url, refspec),
                config={**STREAMED, **more, **config},
                secrets=secrets,
                timeout_s=timeout_s,
            )
            if await self._within_limit(fetching, most_bytes):
                break
            await self._run("update-ref", "-d", ref_of(sha))
        else:
            raise self._too_big(url, sha)
        await self._prune()

    async def fetch_blobs(
        self,
        url: str,
        oids: Sequence[str],
        config: Mapping[str, str],
        *,
        sha: str,
        secrets: tuple[str, ...] = (),
        timeout_s: float = FETCH_S,
    ) -> None:
        """Fetch missing files of the commit `sha`, all at once. Raises GitError or TreeTooBigError."""
        await self._create()
        self._remove_leftovers()
        with lines_file(oids) as lines:
            fetching = self._git.run(
                *(*self._fetch, *FILTERED, "--stdin", "--", url),
                stdin=lines,
                config={**STREAMED, **promisor(url), **NO_NEGOTIATION, **config},
                secrets=secrets,
                timeout_s=timeout_s,
            )
            if not await self._within_limit(fetching, self._max_fetch_bytes):
                raise self._too_big(url, sha)

    @property
    def _fetch(self) -> tuple[str, ...]:
        flags = ("--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--no-recurse-submodules", "--quiet")
        return ("--git-dir", str(self.path), "fetch", *flags)

    def _ways(self, url: str) -> Iterator[tuple[tuple[str, ...], Mapping[str, str], int]]:
        """Yield ways to fetch a commit: git's arguments and configuration, and the bytes at which the next way is tried."""
        if not self.partial and self._whole_bytes != 0:
            yield (), {}, self._max_fetch_bytes if self._whole_bytes is None else self._whole_bytes
        if self._whole_bytes is not None:
            yield FILTERED, promisor(url), self._max_fetch_bytes

    def _too_big(self, url: str, sha: str) -> TreeTooBigError:
        doing = f"fetching {'/'.join(url.removesuffix('.git').split('/')[-2:])} at {sha[:7]}"
        reason = f"the commit is larger than {self._max_fetch_bytes >> 20:,} MiB"
        return TreeTooBigError(doing, reason, "Remove data files from the repository.")

    async def _within_limit(self, fetching: Coroutine[Any, Any, bytes], most_bytes: int) -> bool:
        """Run git; stop it and return False when it receives more than `most_bytes`: git has no such limit."""
        before, packs = self._pack_bytes(), self._packs_bytes()
        task = asyncio.ensure_future(fetching)
        try:
            while not task.done() and self._pack_bytes() - before <= most_bytes:
                await asyncio.wait([task], timeout=WATCH_S)
            if not task.done():
                return False
            await task
            return self._pack_bytes() - before <= self._max_fetch_bytes
        finally:
            task.cancel()
            await asyncio.wait([task])
            self.received_bytes += max(self._packs_bytes() - packs, 0)
            # At once: if the disk is full, the incomplete pack takes space.
            self._remove_leftovers()

    def _pack_bytes(self) -> int:
        return self._bytes_of("*")

    def _packs_bytes(self) -> int:
        """Bytes of the packs alone: as received, plus objects that git adds for deltas against existing ones."""
        return self._bytes_of("*.pack") + self._bytes_of("tmp_pack_*")

    def _bytes_of(self, names: str) -> int:
        return sum(fact_of(file, lambda stat: stat.st_size) for file in self.path.glob(f"objects/pack/{names}"))

    async def remove(self) -> None:
        """Delete the mirror."""
        # Renamed first: a partly removed mirror must not be used.
        removed = self.path.with_name(f"{self.path.name}.removed")
        await asyncio.to_thread(shutil.rmtree, removed, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.path.rename(removed)
        await asyncio.to_thread(shutil.rmtree, removed, ignore_errors=True)

    async def tidy(self) -> None:
        """Repack many small packs, without unreferenced objects. Safe for readers."""
        packs = len(list(self.path.glob("objects/pack/*.pack")))
        if self.partial:
            if packs > MANY_PARTIAL_PACKS:
                await self.remove()
            return
        if packs <= MANY_PACKS:
            return
        try:
            await self._run("gc", "--quiet", "--prune=now", timeout_s=TIDY_S)
        except GitError as error:
            _log.warning("git.mirror_removed", mirror=self.path.name, reason=error.reason)
            await self.remove()

    async def _create(self) -> None:
        if (self.path / "HEAD").exists():
            return
        await self.remove()
        fresh = self.path.with_name(f"{self.path.name}.new")
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        await init_bare(self._git, fresh)
        fresh.rename(self.path)

    def _remove_leftovers(self) -> None:
        """Remove files of a killed git. Safe: `lock` is held and the directory belongs to this process, so no other git writes here."""
        for pattern in ("*.lock", f"{REFS}/*.lock", "objects/pack/tmp_*", "objects/pack/.tmp-*"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    async def _prune(self) -> None:
        """Delete the references of the least recently used commits; `tidy` removes their objects."""
        unread = [path for path in (self.path / REFS).iterdir() if path.name not in self._readers]
        for path in oldest_first(unread)[:-KEEP]:
            await self._run("update-ref", "-d", ref_of(path.name))

    async def _run(self, *arguments: str, timeout_s: float = 60.0) -> None:
        await self._git.run("--git-dir", str(self.path), *arguments, timeout_s=timeout_s)


async def tidy_all(mirrors: Iterable[tuple[Hashable, Mirror]], max_bytes: int, max_age_s: float = MAX_AGE_S) -> None:
    """Repack mirrors, with their owners; remove those unused for `max_age_s` and, fairly between owners, those beyond `max_bytes`."""
    cached, oldest = [], time.time_ns() - int(max_age_s * 1e9)
    for owner, mirror in mirrors:
        if not mirror.busy:
            async with mirror.lock:
                await mirror.tidy()
        cached.append(Cached(mirror, owner, last_used(mirror.path), await asyncio.to_thread(size_of, mirror.path)))
    for mirror in {*evicted(cached, max_bytes), *(one.item for one in cached if one.used_at < oldest)}:
        if not mirror.busy:
            async with mirror.lock:
                await mirror.remove()


def last_used(path: Path) -> int:
    """When a commit was last fetched or read, in nanoseconds since the epoch."""
    return max((fact_of(file, lambda one: one.st_mtime_ns) for file in (path, *path.glob(f"{REFS}/*"))), default=0)
