"""Packages from git repositories (`app.ports.PackageSources`), as `app.deps.remotes` reads their addresses.

On our GitHub: with a token for that one repository when it is of the same installation, anonymously when it is public. On other hosts:
anonymously, over https, see `pinned`; no redirect is followed. What was fetched is kept per installation: no repository's copy serves
another one.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from app import log
from app.deps.addresses import shown
from app.deps.remotes import Remote, on_server, parse
from app.errors import DiskFullError, FreshetError, GitHubUnavailableError, GoneError, TreeTooBigError, UnavailableError
from app.github.git import Git, GitError, clean_environ
from app.github.mirror import FETCH_S, Mirror, own_directory, ref_of, size_of, tidy_all
from app.github.pinned import pinned
from app.github.revision import Found, look_up
from app.github.source import NEW_TOKEN_S, Trouble, credentials, trouble_of
from app.github.tree import CommitTree, list_entries
from app.inference.project import Entry
from app.jobs import Repository
from app.resolve import Lookup, lookup

MAX_CACHE_BYTES = 5 << 30
MAX_FETCH_BYTES = 1 << 30
"""Most that one fetch may bring."""
WATCH_S = 1.0
ELSEWHERE = "Name another address for it under `packages` in `.github/freshet.yml`, or commit `dbt_packages/` to the repository."

_log = log.get(__name__)

Tokens = Callable[[Repository, str], Awaitable[SecretStr | None]]
"""From who asks and `OWNER/NAME` to a token that reads that repository, None when it is not of the same installation."""
Names = Callable[[Repository, str], Awaitable[str]]
"""From who asks and `OWNER/NAME` to what the repository is called now."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for, and for whom."""

    revision: str | None
    asking: Repository
    doing: str


@dataclass(frozen=True, slots=True)
class _Way:
    """Where it is to be had, and how."""

    remote: Remote
    token: SecretStr | None


class GitPackages:
    """Fetches packages below `work_dir/git-packages`, a directory for each installation."""

    def __init__(  # noqa: PLR0913 - plain values; all but three have a default
        self,
        server_url: str,
        work_dir: Path,
        tokens: Tokens,
        *,
        hosts: Collection[str] = (),
        refused: Callable[[SecretStr], None] = lambda _token: None,
        names: Names | None = None,
        environ: Mapping[str, str] | None = None,
        ask: Lookup = lookup,
        fetch_timeout_s: float = FETCH_S,
        max_bytes: int = MAX_FETCH_BYTES,
    ) -> None:
        """Go to our GitHub, to public hosts, and to the operator's `hosts` (see `addresses.configured`).

        `refused` is told of a token that git was refused with, `names` says where a renamed repository is now, `ask` looks up names
        of hosts. `environ` is the host's environment, of which only PATH, proxies and certificate authorities are passed on.
        """
        self.point_at(server_url)
        self._tokens = tokens
        self._hosts = hosts
        self._refused = refused
        self._names = names
        self._environ = environ or {}
        self._ask = ask
        self._timeout_s = fetch_timeout_s
        self._max_bytes = max_bytes
        self._dir, descriptor = own_directory(work_dir.absolute(), "git-packages")
        self.close = weakref.finalize(self, os.close, descriptor)
        """Lets go of the directory."""
        self._home = self._dir / "home"
        self._home.mkdir(exist_ok=True)
        self._git = Git(clean_environ(self._environ, home=str(self._home)))
        self._mirrors: dict[Path, Mirror] = {}

    def point_at(self, server_url: str) -> None:
        """Have another GitHub for ours from now on."""
        self._server_url = server_url.rstrip("/")

    @asynccontextmanager
    async def open_package(self, url: str, revision: str | None, asking: Repository) -> AsyncIterator[CommitTree]:
        """Fetch a revision of a package, unless it is there already, and read it.

        Raises GoneError, RejectedAddressError, TreeTooBigError, or UnavailableError; and as a token for it does.
        """
        doing = f"fetching the package {shown(url)}"
        remote = parse(url, self._server_url, self._hosts, doing)
        doing = f"fetching the package {remote.label}{f' at {revision}' if revision else ''}"
        mirror = self._mirror(asking.installation_id, remote)
        with ExitStack() as held:
            async with mirror.lock:
                sha = await self._bring(mirror, remote, _Wanted(revision, asking, doing))
                held.enter_context(mirror.reading(sha))
                entries = await self._entries(mirror, sha, doing)
            tree = CommitTree(self._git, str(mirror.path), sha, entries, f"{remote.label} at {sha[:7]}")
            try:
                yield tree
            finally:
                await tree.close()
                if tree.damaged:
                    async with mirror.lock:
                        await mirror.remove()

    async def remove_installation(self, installation_id: int) -> None:
        """Throw away what is kept for an installation: it was removed."""
        place = self._dir / str(installation_id)
        for path in place.glob("*.git"):
            mirror = self._known(path)
            async with mirror.lock:
                await mirror.remove()
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def tidy(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        """Pack the mirrors that need it, and remove those unused for longest until the rest fits into `max_bytes`. For now and then."""
        await tidy_all([self._known(path) for path in self._dir.glob("*/*.git")], max_bytes)
        self._mirrors = {path: mirror for path, mirror in self._mirrors.items() if mirror.busy or path.exists()}

    def _mirror(self, installation_id: int, remote: Remote) -> Mirror:
        name = hashlib.sha256(remote.url.encode()).hexdigest()[:32]
        return self._known(self._dir / str(installation_id) / f"{name}.git")

    def _known(self, path: Path) -> Mirror:
        return self._mirrors.setdefault(path, Mirror(self._git, path))

    async def _bring(self, mirror: Mirror, remote: Remote, wanted: _Wanted) -> str:
        """Have the commit in the mirror and return its id; what may help against a trouble is tried once."""
        way = await self._way_to(remote, wanted)
        tried: set[Trouble] = set()
        while True:
            try:
                return await self._try(mirror, way, wanted)
            except GitError as error:
                trouble = trouble_of(error)
                other = await self._other_way(trouble, way, wanted, mirror, again=trouble in tried)
                if other is None:
                    raise _error_of(trouble, way.remote, wanted, error) from error
                tried.add(trouble)
                _log.info("git.package_again", package=way.remote.label, trouble=trouble, reason=error.reason)
                way = other

    async def _way_to(self, remote: Remote, wanted: _Wanted) -> _Way:
        token = None if remote.full_name is None else await self._tokens(wanted.asking, remote.full_name)
        return _Way(remote, token)

    async def _other_way(self, trouble: Trouble, way: _Way, wanted: _Wanted, mirror: Mirror, *, again: bool) -> _Way | None:
        """Return what else may lead there. None when nothing does."""
        if trouble in {"refused", "gone"} and way.token is not None:
            if trouble == "gone" or again:
                return _Way(way.remote, None)
            self._refused(way.token)
            await asyncio.sleep(NEW_TOKEN_S)
            return await self._way_to(way.remote, wanted)
        if again:
            return None
        if trouble == "broken":
            await mirror.remove()
            return way
        moved = await self._moved(way.remote, wanted.asking) if trouble == "moved" else None
        return None if moved is None else await self._way_to(moved, wanted)

    async def _moved(self, remote: Remote, asking: Repository) -> Remote | None:
        """Return where a repository is that its server redirects from."""
        if remote.full_name is None:
            return None if remote.url.endswith(".git") else remote.with_suffix()
        if self._names is None:
            return None
        try:
            return on_server(await self._names(asking, remote.full_name), self._server_url)
        except GoneError:
            return None

    async def _try(self, mirror: Mirror, way: _Way, wanted: _Wanted) -> str:
        git, config = await pinned(way.remote.address, self._environ, self._home, wanted.doing, self._ask)
        secret_config, secrets = credentials(self._server_url, way.token)
        config = {**config, **secret_config}
        found = await look_up(git, way.remote.url, wanted.revision, wanted.doing, config=config, secrets=secrets)
        if not mirror.has(found.sha):

            async def fetch(ref: str = "") -> None:
                fetching = mirror.fetch(way.remote.url, found.sha, config, git=git, ref=ref, secrets=secrets, timeout_s=self._timeout_s)
                await self._within_bounds(fetching, mirror, wanted.doing)

            await _fetch_by_sha_or_ref(fetch, found)
        await self._verify(mirror, found, wanted.doing)
        return found.sha

    async def _verify(self, mirror: Mirror, found: Found, doing: str) -> None:
        """Make sure that what was fetched by a reference is what the reference was said to be."""
        names = (ref_of(found.sha), f"{ref_of(found.sha)}^{{commit}}")
        there = await self._git.run("--git-dir", str(mirror.path), "rev-parse", *names)
        if found.sha not in there.decode().split():
            await mirror.remove()
            raise UnavailableError(doing, f"{found.ref or found.sha} moved meanwhile")

    async def _within_bounds(self, fetching: Coroutine[None, None, None], mirror: Mirror, doing: str) -> None:
        """Run a fetch, and stop it when it brings too much: git itself has no bound for that."""
        before = await asyncio.to_thread(_size_of, mirror.path)
        task = asyncio.create_task(fetching)
        try:
            while not (await asyncio.wait({task}, timeout=WATCH_S))[0]:
                if await asyncio.to_thread(_size_of, mirror.path) - before > self._max_bytes:
                    raise TreeTooBigError(doing, f"the repository is over {self._max_bytes >> 20} MiB")
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
                await mirror.remove()

    async def _entries(self, mirror: Mirror, sha: str, doing: str) -> list[Entry]:
        try:
            return await list_entries(self._git, str(mirror.path), ref_of(sha))
        except GitError as error:
            await mirror.remove()
            raise UnavailableError(doing, error.reason) from error


async def _fetch_by_sha_or_ref(fetch: Callable[[str], Awaitable[None]], found: Found) -> None:
    """Fetch a commit by its id; by a reference from a server that hands out nothing else."""
    try:
        await fetch("")
    except GitError as error:
        if not found.ref or trouble_of(error) != "commit_gone":
            raise
        await fetch(found.ref)


def _size_of(path: Path) -> int:
    with suppress(OSError):
        return size_of(path)
    return 0


def _error_of(trouble: Trouble, remote: Remote, wanted: _Wanted, error: GitError) -> FreshetError:
    """Return the error that says why a package is not to be had."""
    ours = remote.full_name is not None
    if trouble == "disk_full":
        return DiskFullError(wanted.doing, "the disk of the work directory is full", "Free space below DBT_WORK_DIR.")
    if trouble == "away" or (trouble == "broken" and ours):
        return (GitHubUnavailableError if ours else UnavailableError)(wanted.doing, error.reason)
    if trouble == "commit_gone":
        reason = f"{remote.label} does not hand out the commit {wanted.revision}"
        return GoneError(wanted.doing, reason, "Check `revision` where the package is asked for: a branch, a tag or a whole sha.")
    if trouble == "moved":
        return GoneError(wanted.doing, f"{remote.label} is somewhere else now", "Write its new address.")
    if trouble == "broken":
        return GoneError(wanted.doing, error.reason)
    return _unreadable(remote, wanted)


def _unreadable(remote: Remote, wanted: _Wanted) -> GoneError:
    if remote.full_name is None:
        reason = f"{remote.label} is not there, or cannot be read without signing in"
        return GoneError(wanted.doing, reason, f"Freshet has no credentials for other hosts than its GitHub. {ELSEWHERE}")
    reason = f"{remote.label} is not public and not part of this installation"
    if remote.full_name.partition("/")[0].lower() == wanted.asking.full_name.partition("/")[0].lower():
        return GoneError(wanted.doing, reason, f"Add {remote.label} to the repositories that the GitHub App may see, or check its name.")
    return GoneError(wanted.doing, reason, ELSEWHERE)
