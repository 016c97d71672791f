"""The bare repository in which we keep what was fetched of one GitHub repository, one shallow commit beside another.

Each commit is kept alive by a reference of its own (`refs/freshet/SHA`), so that fetching one never takes another from under its reader.
The mirror is a cache: whatever is wrong with it, it is thrown away and made again.

Of a big repository commits and directories come first, and of the files only those that are read, many in one fetch: see `partial`.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app import log
from app.errors import TreeTooBigError
from app.github.git import Git, GitError
from app.github.partial import ASKED_OUTRIGHT, FILTERED, is_partial, lines_of, promisor

REFS = "refs/freshet"
KEEP = 10
"""Commits kept beside those that are being read."""
MANY_PACKS = 30
"""Each fetch leaves one pack."""
MANY_PARTIAL_PACKS = 200
"""Of a partial mirror git never drops an object: it is made anew."""
FETCH_S = 300.0
MAX_FETCH_BYTES = 2 << 30
"""Of one commit, packed. GitHub takes no push that is bigger, but a host of packages may send what it likes."""
WHOLE_BYTES = 16 << 20
"""Of a commit, packed, that comes with all its files; nearly every repository of a dbt project is smaller."""
WATCH_S = 0.1
STREAMED: Mapping[str, str] = {"core.bigFileThreshold": "16m"}
"""Bigger blobs never stand in git's memory as a whole: https://git-scm.com/docs/git-config#Documentation/git-config.txt-corebigFileThreshold"""
TIDY_S = 600.0
MAX_AGE_S = 30 * 86_400.0
"""A mirror that was not used for so long goes; its repository may not even be installed any more."""

_log = log.get(__name__)


def ref_of(sha: str) -> str:
    """Return the reference that keeps a commit."""
    return f"{REFS}/{sha}"


class Mirror:
    """One bare repository. Whoever changes it holds `lock`; reading needs none."""

    def __init__(self, git: Git, path: Path, max_fetch_bytes: int = MAX_FETCH_BYTES, whole_bytes: int | None = None) -> None:
        """Commits over `whole_bytes` are fetched without their files, see `fetch_blobs`; None: never."""
        self.lock = asyncio.Lock()
        self.path = path
        self.received_bytes = 0
        """Of all packs that were received since the process began, also of fetches that were stopped on the way."""
        self._git = git
        self._readers: Counter[str] = Counter()
        self._max_fetch_bytes = max_fetch_bytes
        self._whole_bytes = whole_bytes

    @property
    def partial(self) -> bool:
        """True when files of its commits may be missing."""
        return is_partial(self.path)

    @property
    def busy(self) -> bool:
        """True while a commit of it is fetched or read."""
        return self.lock.locked() or self._readers.total() > 0

    @contextmanager
    def reading(self, sha: str) -> Iterator[None]:
        """Keep `sha` from being pruned."""
        self._readers[sha] += 1
        try:
            yield
        finally:
            self._readers[sha] -= 1
            self._readers += Counter()

    def has(self, sha: str) -> bool:
        """Tell whether the commit was fetched, and note that it is used."""
        with suppress(OSError):
            os.utime(self.path / ref_of(sha))
            return True
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
        """Fetch exactly one commit, without its history: https://git-scm.com/docs/git-fetch. Raises GitError or TreeTooBigError.

        By a `ref` that leads to it, for servers that hand out nothing by its id: the caller has to look where it led. `git` is one
        that knows the way to `url`.
        """
        await self._make()
        self._unlock()
        for arguments, more, most_bytes in self._ways(url):
            refspec = f"+{ref or sha}:{ref_of(sha)}"
            fetching = (git or self._git).run(
                *(*self._fetch, "--depth=1", *arguments, "--", url, refspec),
                config={**STREAMED, **more, **config},
                secrets=secrets,
                timeout_s=timeout_s,
            )
            if await self._within_bounds(fetching, most_bytes):
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
        """Fetch files of the commit `sha` that a partial mirror does not hold, all at once. Raises GitError or TreeTooBigError."""
        await self._make()
        self._unlock()
        with lines_of(oids) as wanted:
            fetching = self._git.run(
                *(*self._fetch, *FILTERED, "--stdin", "--", url),
                stdin=wanted,
                config={**STREAMED, **promisor(url), **ASKED_OUTRIGHT, **config},
                secrets=secrets,
                timeout_s=timeout_s,
            )
            if not await self._within_bounds(fetching, self._max_fetch_bytes):
                raise self._too_big(url, sha)

    @property
    def _fetch(self) -> tuple[str, ...]:
        flags = ("--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--no-recurse-submodules", "--quiet")
        return ("--git-dir", str(self.path), "fetch", *flags)

    def _ways(self, url: str) -> Iterator[tuple[tuple[str, ...], Mapping[str, str], int]]:
        """Yield how to fetch a commit: git's arguments and configuration, and the bytes at which to go on with the next."""
        if not self.partial and self._whole_bytes != 0:
            yield (), {}, self._max_fetch_bytes if self._whole_bytes is None else self._whole_bytes
        if self._whole_bytes is not None:
            yield FILTERED, promisor(url), self._max_fetch_bytes

    def _too_big(self, url: str, sha: str) -> TreeTooBigError:
        doing = f"fetching {'/'.join(url.removesuffix('.git').split('/')[-2:])} at {sha[:7]}"
        reason = f"the commit is bigger than {self._max_fetch_bytes >> 20:,} MiB"
        return TreeTooBigError(doing, reason, "Take data files out of the repository.")

    async def _within_bounds(self, fetching: Coroutine[Any, Any, bytes], most_bytes: int) -> bool:
        """Run git; stop it and return False when more than `most_bytes` come: it has no such bound of its own."""
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
            # At once: where the disk is full, what came of the commit is a part of why.
            self._unlock()

    def _pack_bytes(self) -> int:
        return self._bytes_of("*")

    def _packs_bytes(self) -> int:
        """Return the bytes of the packs alone: as received, but for what git adds where GitHub referred to what is there."""
        return self._bytes_of("*.pack") + self._bytes_of("tmp_pack_*")

    def _bytes_of(self, names: str) -> int:
        return sum(_stat(file, lambda stat: stat.st_size) for file in self.path.glob(f"objects/pack/{names}"))

    async def remove(self) -> None:
        """Throw everything away."""
        # Renamed first: a half-removed mirror must not be taken for one.
        doomed = self.path.with_name(f"{self.path.name}.removed")
        await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.path.rename(doomed)
        await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)

    async def tidy(self) -> None:
        """Bring many small packs together, without what no reference keeps. Safe for readers."""
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

    async def _make(self) -> None:
        if (self.path / "HEAD").exists():
            return
        await self.remove()
        fresh = self.path.with_name(f"{self.path.name}.new")
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        await init_bare(self._git, fresh)
        fresh.rename(self.path)

    def _unlock(self) -> None:
        """Remove what a git that was killed left: with `lock` held, in a directory of this process, no other git writes here."""
        for pattern in ("*.lock", f"{REFS}/*.lock", "objects/pack/tmp_*", "objects/pack/.tmp-*"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    async def _prune(self) -> None:
        """Drop the references of commits that were not used for longest; their objects go with the next `tidy`."""
        kept = [path for path in (self.path / REFS).iterdir() if path.name not in self._readers]
        for path in _oldest_first(kept)[:-KEEP]:
            await self._run("update-ref", "-d", ref_of(path.name))

    async def _run(self, *arguments: str, timeout_s: float = 60.0) -> None:
        await self._git.run("--git-dir", str(self.path), *arguments, timeout_s=timeout_s)


async def tidy_all(mirrors: Iterable[Mirror], max_bytes: int, max_age_s: float = MAX_AGE_S) -> None:
    """Pack the mirrors that need it; remove those unused for `max_age_s`, and of the rest the oldest until it fits into `max_bytes`."""
    left, eldest = max_bytes, time.time_ns() - int(max_age_s * 1e9)
    for mirror in sorted(mirrors, key=lambda mirror: last_used(mirror.path), reverse=True):
        if not mirror.busy:
            async with mirror.lock:
                await mirror.tidy()
        left -= await asyncio.to_thread(size_of, mirror.path)
        if (left < 0 or last_used(mirror.path) < eldest) and not mirror.busy:
            async with mirror.lock:
                await mirror.remove()


async def init_bare(git: Git, path: Path) -> None:
    """Make an empty bare repository, without the sample hooks."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    await git.run("init", "--bare", "--quiet", "--template=", "--initial-branch=main", str(path))


def own_directory(parent: Path, name: str = "git") -> tuple[Path, int]:
    """Return `parent/git`, or `parent/git-1` … where another process has that one, and the descriptor that holds it."""
    for number in itertools.count():
        path = parent / (f"{name}-{number}" if number else name)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path / "owner.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return path, descriptor
    raise AssertionError  # pragma: no cover - the count has no end


def size_of(path: Path) -> int:
    """Return the bytes of the files below a directory."""
    return sum(_stat(file, lambda stat: stat.st_size) for file in path.rglob("*"))


def last_used(path: Path) -> int:
    """Return when a commit of the mirror was last fetched or read, in nanoseconds."""
    return max((_stat(file, lambda stat: stat.st_mtime_ns) for file in (path, *path.glob(f"{REFS}/*"))), default=0)


def _oldest_first(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: _stat(path, lambda stat: stat.st_mtime_ns))


def _stat(path: Path, fact: Callable[[os.stat_result], int]) -> int:
    try:
        return fact(path.lstat())
    except OSError:
        return 0
