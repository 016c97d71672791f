"""Fetches packages from git repositories (`pipeline.ports.PackageSources`); `packages.git_urls` parses their addresses.

Our GitHub server: with a token for that one repository if the same installation contains it, otherwise anonymously. Other hosts:
anonymously over https, see `pinned_host`; redirects are not followed. Mirrors are cached per installation, and never shared between
installations.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from app.core import log
from app.core.egress.addresses import shown
from app.core.egress.resolver import Lookup, lookup
from app.core.errors import DiskFullError, FreshetError, GitHubUnavailableError, GoneError, TreeTooBigError, UnavailableError
from app.core.models.github import Repository
from app.github.git.commit_tree import CommitTree, list_entries
from app.github.git.directories import own_directory
from app.github.git.mirror import FETCH_S, Mirror, ref_of, tidy_all
from app.github.git.pinned_host import pinned
from app.github.git.process import Git, GitError, clean_environ
from app.github.git.revision import ResolvedRevision, resolve_revision
from app.github.git.source import NEW_TOKEN_PAUSES_S, FailureKind, credentials, failure_kind, pause_for_token
from app.packages.git_urls import Remote, github_remote, parse_git_url
from app.packages.private import PrivatePackages
from app.project.checkout import Entry

MAX_CACHE_BYTES = 5 << 30
MAX_FETCH_BYTES = 1 << 30
"""The most that one fetch may receive."""
ELSEWHERE = "Set another address under `packages:` in `.github/freshet.yml`, or commit `dbt_packages/` to the repository."

_log = log.get(__name__)

Tokens = Callable[[Repository, str], Awaitable[SecretStr | None]]
"""From the requesting repository and `OWNER/NAME` to a token that can read it, None if it is not in the same installation."""
Names = Callable[[Repository, str], Awaitable[str]]
"""From the requesting repository and `OWNER/NAME` to the repository's current name."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A revision of a package, requested by the repository `requester`."""

    revision: str | None
    requester: Repository
    doing: str


@dataclass(frozen=True, slots=True)
class _Route:
    """An address, and the token for it."""

    remote: Remote
    token: SecretStr | None


class GitPackages:
    """Fetches packages below `work_dir/git-packages`, with a directory for each installation."""

    def __init__(  # noqa: PLR0913 - plain values; all but three have a default
        self,
        server_url: str,
        work_dir: Path,
        tokens: Tokens,
        *,
        hosts: Collection[str] = (),
        private: PrivatePackages | None = None,
        on_rejected_token: Callable[[SecretStr], object] = lambda _token: None,
        current_name: Names | None = None,
        environ: Mapping[str, str] | None = None,
        ask: Lookup = lookup,
        fetch_timeout_s: float = FETCH_S,
        max_bytes: int = MAX_FETCH_BYTES,
    ) -> None:
        """Connect to our GitHub server, to public hosts, and to the operator's `hosts` (see `addresses.configured`).

        `private` says who may use which private repositories of their installation.
        `on_rejected_token` is called with rejected tokens, `current_name` looks up renamed repositories, `ask` resolves host names.
        `environ` is the host's environment, of which git receives only PATH, proxies and certificate authorities.
        """
        self.point_at(server_url)
        self._tokens = tokens
        self._hosts = hosts
        self._private = private or PrivatePackages()
        self._on_rejected_token = on_rejected_token
        self._current_name = current_name
        self._environ = environ or {}
        self._ask = ask
        self._timeout_s = fetch_timeout_s
        self._max_bytes = max_bytes
        self._dir, descriptor = own_directory(work_dir.absolute(), "git-packages")
        self.close = weakref.finalize(self, os.close, descriptor)
        """Releases the directory."""
        self._home = self._dir / "home"
        self._home.mkdir(exist_ok=True)
        self._git = Git(clean_environ(self._environ, home=str(self._home)))
        self._mirrors: dict[Path, Mirror] = {}

    def point_at(self, server_url: str) -> None:
        """Use another GitHub server from now on."""
        self.server_url = server_url.rstrip("/")

    @asynccontextmanager
    async def open_package(self, url: str, revision: str | None, requester: Repository) -> AsyncIterator[CommitTree]:
        """Fetch a revision of a package, unless it is cached, and open it.

        Raises GoneError, RejectedAddressError, TreeTooBigError or UnavailableError, and the errors of `tokens`.
        """
        doing = f"fetching the package {shown(url)}"
        remote = parse_git_url(url, self.server_url, self._hosts, doing)
        doing = f"fetching the package {remote.label}{f' at {revision}' if revision else ''}"
        mirror = self._mirror(requester.installation_id, remote)
        with ExitStack() as stack:
            async with mirror.lock:
                sha = await self._fetch(mirror, remote, _Request(revision, requester, doing))
                stack.enter_context(mirror.protect(sha))
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
        """Delete the mirrors of an installation that was removed."""
        directory = self._dir / str(installation_id)
        for path in directory.glob("*.git"):
            mirror = self._mirror_at(path)
            async with mirror.lock:
                await mirror.remove()
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def tidy(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        """Repack mirrors; remove the least recently used until the rest fits into `max_bytes`. Call it periodically."""
        await tidy_all([(path.parent.name, self._mirror_at(path)) for path in self._dir.glob("*/*.git")], max_bytes)
        self._mirrors = {path: mirror for path, mirror in self._mirrors.items() if mirror.busy or path.exists()}

    def _mirror(self, installation_id: int, remote: Remote) -> Mirror:
        name = hashlib.sha256(remote.url.encode()).hexdigest()[:32]
        return self._mirror_at(self._dir / str(installation_id) / f"{name}.git")

    def _mirror_at(self, path: Path) -> Mirror:
        return self._mirrors.setdefault(path, Mirror(self._git, path, self._max_bytes))

    async def _fetch(self, mirror: Mirror, remote: Remote, request: _Request) -> str:
        """Fetch the commit into the mirror; its id. Each kind of failure that can be recovered from is retried once."""
        route = await self._route_to(remote, request)
        recovered: set[FailureKind] = set()
        pauses = iter(NEW_TOKEN_PAUSES_S)
        while True:
            try:
                return await self._try(mirror, route, request)
            except GitError as error:
                kind = failure_kind(error)
                if kind == "unauthorized" and route.token is not None:
                    self._on_rejected_token(route.token)
                    await pause_for_token(pauses, request.doing, error)
                    route = await self._route_to(route.remote, request)
                    continue
                other = await self._other_route(kind, route, request, mirror, again=kind in recovered)
                if other is None:
                    may = self._may(route.remote, request)
                    raise _error_for(kind, route.remote, request, error, may=may) from error
                recovered.add(kind)
                _log.info("git.package_again", package=route.remote.label, trouble=kind, reason=error.reason)
                route = other

    async def _route_to(self, remote: Remote, request: _Request) -> _Route:
        mine = remote.full_name if self._may(remote, request) else None
        return _Route(remote, await self._tokens(request.requester, mine) if mine else None)

    def _may(self, remote: Remote, request: _Request) -> bool:
        """Whether the requester may have it although it is private."""
        return remote.full_name is None or self._private.allows(request.requester, remote.full_name)

    async def _other_route(self, kind: FailureKind, route: _Route, request: _Request, mirror: Mirror, *, again: bool) -> _Route | None:
        """Another route to try, None if there is none."""
        if kind == "gone" and route.token is not None:
            return _Route(route.remote, None)
        if again:
            return None
        if kind == "broken":
            await mirror.remove()
            return route
        moved = await self._moved(route.remote, request.requester) if kind == "moved" else None
        return None if moved is None else await self._route_to(moved, request)

    async def _moved(self, remote: Remote, requester: Repository) -> Remote | None:
        """The address that a server redirects to, as far as it can be known."""
        if remote.full_name is None:
            return None if remote.url.endswith(".git") else remote.with_suffix()
        if self._current_name is None:
            return None
        try:
            return github_remote(await self._current_name(requester, remote.full_name), self.server_url)
        except GoneError:
            return None

    async def _try(self, mirror: Mirror, route: _Route, request: _Request) -> str:
        git, config = await pinned(route.remote.address, self._environ, self._home, request.doing, self._ask)
        secret_config, secrets = credentials(self.server_url, route.token)
        config = {**config, **secret_config}
        found = await resolve_revision(git, route.remote.url, request.revision, request.doing, config=config, secrets=secrets)
        if not mirror.has(found.sha):

            async def fetch(ref: str = "") -> None:
                await mirror.fetch(route.remote.url, found.sha, config, git=git, ref=ref, secrets=secrets, timeout_s=self._timeout_s)

            try:
                await _fetch_by_sha_or_ref(fetch, found)
            except TreeTooBigError as error:
                await mirror.remove()
                raise TreeTooBigError(request.doing, f"the repository is larger than {self._max_bytes >> 20:,} MiB") from error
        await self._verify(mirror, found, request.doing)
        return found.sha

    async def _verify(self, mirror: Mirror, found: ResolvedRevision, doing: str) -> None:
        """Check that a reference still led to the commit when it was fetched."""
        names = (ref_of(found.sha), f"{ref_of(found.sha)}^{{commit}}")
        ids = await self._git.run("--git-dir", str(mirror.path), "rev-parse", *names)
        if found.sha not in ids.decode().split():
            await mirror.remove()
            raise UnavailableError(doing, f"{found.ref or found.sha} changed while it was fetched")

    async def _entries(self, mirror: Mirror, sha: str, doing: str) -> list[Entry]:
        try:
            return await list_entries(self._git, str(mirror.path), ref_of(sha))
        except GitError as error:
            await mirror.remove()
            raise UnavailableError(doing, error.reason) from error


async def _fetch_by_sha_or_ref(fetch: Callable[[str], Awaitable[None]], found: ResolvedRevision) -> None:
    """Fetch a commit by its id, or by a reference if the server does not send it by id."""
    try:
        await fetch("")
    except GitError as error:
        if not found.ref or failure_kind(error) != "commit_gone":
            raise
        await fetch(found.ref)


def _error_for(kind: FailureKind, remote: Remote, request: _Request, error: GitError, *, may: bool) -> FreshetError:
    """The error that explains why a package could not be fetched."""
    ours = remote.full_name is not None
    if kind == "disk_full":
        return DiskFullError(request.doing, "the disk of the work directory is full", "Free space below DBT_WORK_DIR.")
    if kind == "unreachable" or (kind == "broken" and ours):
        return (GitHubUnavailableError if ours else UnavailableError)(request.doing, error.reason)
    if kind == "commit_gone":
        reason = f"{remote.label} does not provide the commit {request.revision}"
        return GoneError(request.doing, reason, "Check its `revision`: a branch, a tag or a complete sha.")
    if kind == "moved":
        return GoneError(request.doing, f"{remote.label} has moved", "Set its new address.")
    if kind == "broken":
        return GoneError(request.doing, error.reason)
    return _unreadable(remote, request) if may else _not_given(remote, request)


def _not_given(remote: Remote, request: _Request) -> GoneError:
    """The same whether the repository exists or not."""
    receives = "this repository receives" if request.requester.private else "pull requests from forks and public repositories receive"
    reason = f"{remote.label} is not public, and {receives} no private packages"
    return GoneError(request.doing, reason, "Commit `dbt_packages/`, or ask the operator about FRESHET_PRIVATE_PACKAGES.")


def _unreadable(remote: Remote, request: _Request) -> GoneError:
    if remote.full_name is None:
        reason = f"{remote.label} does not exist, or cannot be read without signing in"
        return GoneError(request.doing, reason, f"Freshet has credentials only for its own GitHub server. {ELSEWHERE}")
    reason = f"{remote.label} is not public and not part of this installation"
    if remote.full_name.partition("/")[0].lower() == request.requester.full_name.partition("/")[0].lower():
        return GoneError(request.doing, reason, f"Give the GitHub App access to {remote.label}, or check the name.")
    return GoneError(request.doing, reason, ELSEWHERE)
