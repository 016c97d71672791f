"""The bare repository in which we keep what was fetched of one GitHub repository, one shallow commit beside another.

Each commit is kept alive by a reference of its own (`refs/freshet/SHA`), so that fetching one never takes another from under its reader.
The mirror is a cache: whatever is wrong with it, it is thrown away and made again.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from app.github.git import Git

REFS = "refs/freshet"
KEEP = 10
"""Commits kept beside those that are being read."""
MANY_PACKS = 30
"""Each fetch leaves one pack."""
FETCH_S = 300.0
TIDY_S = 600.0


def ref_of(sha: str) -> str:
    """Return the reference that keeps a commit."""
    return f"{REFS}/{sha}"


class Mirror:
    """One bare repository. Whoever changes it holds `lock`; reading needs none."""

    def __init__(self, git: Git, path: Path) -> None:
        self.lock = asyncio.Lock()
        self.path = path
        self._git = git
        self._readers: Counter[str] = Counter()

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

    async def fetch(
        self, url: str, sha: str, config: Mapping[str, str], *, secrets: tuple[str, ...] = (), timeout_s: float = FETCH_S
    ) -> None:
        """Fetch exactly one commit, without its history: https://git-scm.com/docs/git-fetch. Raises GitError."""
        await self._make()
        self._unlock()
        flags = ("--depth=1", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--no-recurse-submodules", "--quiet")
        refspec = f"+{sha}:{ref_of(sha)}"
        await self._run("fetch", *flags, "--", url, refspec, config=config, secrets=secrets, timeout_s=timeout_s)
        await self._prune()

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
        if len(list(self.path.glob("objects/pack/*.pack"))) > MANY_PACKS:
            await self._run("gc", "--quiet", "--prune=now", timeout_s=TIDY_S)

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

    async def _run(
        self, *arguments: str, config: Mapping[str, str] | None = None, secrets: tuple[str, ...] = (), timeout_s: float = 60.0
    ) -> None:
        await self._git.run("--git-dir", str(self.path), *arguments, config=config, secrets=secrets, timeout_s=timeout_s)


async def init_bare(git: Git, path: Path) -> None:
    """Make an empty bare repository, without the sample hooks."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    await git.run("init", "--bare", "--quiet", "--template=", "--initial-branch=main", str(path))


def own_directory(parent: Path) -> tuple[Path, int]:
    """Return `parent/git`, or `parent/git-1` … where another process has that one, and the descriptor that holds it."""
    for number in itertools.count():
        path = parent / (f"git-{number}" if number else "git")
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
