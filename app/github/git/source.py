"""Fetches exactly the pushed commit from GitHub (`pipeline.ports.Sources`). Only git's environment contains the token."""

from __future__ import annotations

import asyncio
import os
import re
import time
import weakref
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from app.core import log, metrics
from app.core.errors import CommitGoneError, DiskFullError, FreshetError, GitHubUnavailableError, GoneError, UnavailableError
from app.core.models.github import Repository
from app.github.git.commit_tree import CommitTree, list_entries
from app.github.git.directories import own_directory
from app.github.git.mirror import FETCH_S, WHOLE_BYTES, Mirror, tidy_all
from app.github.git.process import Git, GitError, GitTimeoutError, clean_environ
from app.project.checkout import Entry

MAX_CACHE_BYTES = 20 << 30
NEW_TOKEN_PAUSES_S = (1.0, 2.0, 4.0, 8.0)
"""GitHub may reject a new token for some seconds: how long to wait before it is used again."""
NEW_TOKEN_RETRY_S = 15.0
"""When to try again after these."""

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_FULL_NAME = re.compile(r"(?!\.{1,2}/)[A-Za-z0-9_.][A-Za-z0-9_.-]*/(?!\.{1,2}$)[A-Za-z0-9_.-]+")

_log = log.get(__name__)

FailureKind = Literal["commit_gone", "unauthorized", "moved", "gone", "unreachable", "disk_full", "broken"]
_FAILURES: tuple[tuple[FailureKind, re.Pattern[str]], ...] = (
    ("disk_full", re.compile(r"No space left on device|Disk quota exceeded")),
    ("commit_gone", re.compile(r"not our ref|couldn't find remote ref|unadvertised object")),
    ("moved", re.compile(r"returned error: 30[1278]|redirect", re.IGNORECASE)),
    ("unauthorized", re.compile(r"could not read (Username|Password)|Authentication failed|returned error: 401|terminal prompts disabled")),
    (
        "unreachable",
        re.compile(
            r"returned error: (5\d\d|429|408)|Could not resolve|Failed to connect|Couldn't connect|Connection (refused|reset|timed out)"
            r"|timed out|too slow|hung up|early EOF|RPC failed|unexpected disconnect|Empty reply|Recv failure|Send failure|TLS|SSL|gnutls"
            r"|invalid server response|expected (flush|service)|protocol error|HTTP/2 stream|rate limit",
            re.IGNORECASE,
        ),
    ),
    (
        "gone",
        re.compile(
            r"returned error: (403|404|410|451)|[Rr]epository .{0,300}not found|Repository unavailable|access blocked"
            r"|Permission denied \(publickey|does not appear to be a git repository"
        ),
    ),
)
"""In this order: git often prints several of these, and the first match tells the cause. Anything else may be a broken mirror."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A commit, or some of its blobs."""

    repository: Repository
    sha: str
    ref: str = ""
    """What is fetched if the server does not send the commit by its id."""
    blobs: Sequence[str] = ()

    @property
    def label(self) -> str:
        return f"{self.repository.full_name} at {self.sha[:7]}"


class GitSources:
    """Fetches commits into one mirror per repository, below `work_dir/git`."""

    def __init__(  # noqa: PLR0913 - plain values; all but three have a default
        self,
        server_url: str,
        work_dir: Path,
        tokens: Callable[[Repository], Awaitable[SecretStr | None]],
        *,
        on_rejected_token: Callable[[SecretStr], object] = lambda _token: None,
        current_name: Callable[[Repository], Awaitable[str]] | None = None,
        environ: Mapping[str, str] | None = None,
        fetch_timeout_s: float = FETCH_S,
        whole_bytes: int = WHOLE_BYTES,
    ) -> None:
        """`tokens` authenticate reads, `on_rejected_token` is called with rejected ones, `current_name` looks up renamed repositories.

        `environ` is the host's environment, of which git receives only PATH, proxies and certificate authorities. Of a commit over
        `whole_bytes`, only the files that are read are fetched.
        """
        self.point_at(server_url)
        self._tokens = tokens
        self._on_rejected_token = on_rejected_token
        self._current_name = current_name
        self._timeout_s = fetch_timeout_s
        self._whole_bytes = whole_bytes
        self._dir, descriptor = own_directory(work_dir.absolute())
        self.close = weakref.finalize(self, os.close, descriptor)
        """Releases the directory."""
        home = self._dir / "home"
        home.mkdir(exist_ok=True)
        self._git = Git(clean_environ(environ or {}, home=str(home)))
        self._mirrors: dict[int, Mirror] = {}

    def point_at(self, server_url: str) -> None:
        """Use another GitHub server from now on."""
        self._server_url = server_url.rstrip("/")

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str, ref: str = "") -> AsyncIterator[CommitTree]:
        """Fetch exactly `sha`, unless it is cached, and open it. Raises GoneError, CommitGoneError or UnavailableError.

        `ref` is fetched if the server does not send the commit by its id.
        """
        wanted = _Wanted(repository, sha, ref)
        if not _SHA.fullmatch(sha):
            raise CommitGoneError(f"fetching {wanted.label}", f"{sha!r} is not a commit id")
        mirror = self._mirror(repository.id)
        metrics.CACHE_REQUESTS.labels("git", "hit" if mirror.path.exists() else "miss").inc()
        with mirror.protect(sha):
            async with mirror.lock:
                before = mirror.received_bytes
                entries = await self._entries(mirror, wanted)
                mirror.belongs_to(repository.installation_id)
                received = mirror.received_bytes - before

            async def fetch_blobs(oids: Sequence[str]) -> None:
                async with mirror.lock:
                    before = mirror.received_bytes
                    await self._ensure(mirror, replace(wanted, blobs=oids))
                    tree.fetched_bytes += mirror.received_bytes - before

            tree = CommitTree(self._git, str(mirror.path), sha, entries, wanted.label, fetch_blobs if mirror.partial else None)
            tree.fetched_bytes = received
            try:
                yield tree
            finally:
                await tree.close()
                if tree.damaged:
                    async with mirror.lock:
                        await mirror.remove()

    async def remove(self, repository_id: int) -> None:
        """Delete the mirror of a repository that was removed from the installation."""
        mirror = self._mirror(repository_id)
        async with mirror.lock:
            await mirror.remove()

    async def tidy(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        """Repack mirrors; remove old ones, and the least recently used over `max_bytes`. Call it periodically."""
        mirrors = [self._mirror(int(path.stem)) for path in self._dir.glob("*.git") if path.stem.isdecimal()]
        await tidy_all([(mirror.owner or mirror.path.stem, mirror) for mirror in mirrors], max_bytes)
        self._mirrors = {number: mirror for number, mirror in self._mirrors.items() if mirror.busy or mirror.path.exists()}

    def _mirror(self, repository_id: int) -> Mirror:
        return self._mirrors.setdefault(repository_id, Mirror(self._git, self._dir / f"{repository_id}.git", whole_bytes=self._whole_bytes))

    async def _entries(self, mirror: Mirror, wanted: _Wanted) -> list[Entry]:
        sha = wanted.sha
        if mirror.has(sha):
            try:
                return await list_entries(self._git, str(mirror.path), sha, sized=not mirror.partial)
            except GitError as error:
                _log.warning("git.mirror_removed", repository=wanted.repository.full_name, reason=error.reason)
                await mirror.remove()
        await self._ensure(mirror, wanted)
        try:
            return await list_entries(self._git, str(mirror.path), sha, sized=not mirror.partial)
        except GitError as error:
            await mirror.remove()
            raise UnavailableError(f"listing the files of {wanted.label}", error.reason) from error

    async def _ensure(self, mirror: Mirror, wanted: _Wanted) -> None:
        """Fetch the commit, or blobs of it. Each kind of failure that can be recovered from is retried once, within one time limit."""
        recovered: set[FailureKind] = set()
        pauses, doing = iter(NEW_TOKEN_PAUSES_S), f"fetching {wanted.label}"
        until_s = time.monotonic() + self._timeout_s
        while True:
            repository, left_s = wanted.repository, max(round(until_s - time.monotonic(), 1), 0.0)
            token = await self._tokens(repository)
            try:
                await self._fetch(mirror, wanted, token, by_ref="commit_gone" in recovered, timeout_s=left_s)
            except GitError as error:
                kind = failure_kind(error)
                if kind == "unauthorized" and token is not None:
                    self._on_rejected_token(token)
                    _log.info("git.fetch_again", repository=repository.full_name, sha=wanted.sha, trouble=kind, reason=error.reason)
                    await pause_for_token(pauses, doing, error)
                    continue
                if kind in recovered or not await self._recover(kind, mirror, wanted):
                    raise error_for(kind, doing, error) from error
                recovered.add(kind)
                _log.info("git.fetch_again", repository=repository.full_name, sha=wanted.sha, trouble=kind, reason=error.reason)
            else:
                return
            if kind in {"moved", "gone"} and self._current_name is not None:
                wanted = replace(wanted, repository=replace(repository, full_name=await self._current_name(repository)))

    async def _fetch(self, mirror: Mirror, wanted: _Wanted, token: SecretStr | None, *, by_ref: bool, timeout_s: float) -> None:
        repository, sha = wanted.repository, wanted.sha
        if not _FULL_NAME.fullmatch(repository.full_name):
            raise GoneError(f"fetching {repository.full_name!r}", "that is not a repository name")
        url = f"{self._server_url}/{repository.full_name}.git"
        config, secrets = credentials(self._server_url, token)
        if wanted.blobs:
            await mirror.fetch_blobs(url, wanted.blobs, config, sha=sha, secrets=secrets, timeout_s=timeout_s)
            return
        await mirror.fetch(url, sha, config, ref=wanted.ref if by_ref else "", secrets=secrets, timeout_s=timeout_s)
        if by_ref and not await mirror.holds(sha):
            raise CommitGoneError(f"fetching {wanted.label}", f"`{wanted.ref}` leads to another commit now")

    async def _recover(self, kind: FailureKind, mirror: Mirror, wanted: _Wanted) -> bool:
        """Prepare a retry after this kind of failure. Returns False when a retry cannot help."""
        if kind == "broken":
            await mirror.remove()
            return True
        if kind == "commit_gone":
            return bool(wanted.ref) and not wanted.blobs
        return kind in {"moved", "gone"} and self._current_name is not None


def credentials(server_url: str, token: SecretStr | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Configuration of git to send `token` to that server only, and the secrets to remove from output.

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
    """
    if token is None:
        return {}, ()
    value = token.get_secret_value()
    basic = b64encode(f"x-access-token:{value}".encode()).decode()
    return {f"http.{server_url}/.extraHeader": f"Authorization: Basic {basic}"}, (value, basic)


async def pause_for_token(pauses: Iterator[float], doing: str, error: GitError) -> None:
    """Wait before a refused token is used again, or its successor. Raises GitHubUnavailableError when there is no pause left."""
    pause_s = next(pauses, None)
    if pause_s is None:
        raise GitHubUnavailableError(doing, error.reason, retry_after_s=NEW_TOKEN_RETRY_S) from error
    await asyncio.sleep(pause_s)


def failure_kind(error: GitError) -> FailureKind:
    """Classify an error of git by its output."""
    if isinstance(error, GitTimeoutError):
        return "unreachable"
    # Without quoted texts and URLs: a repository's name may contain any of these words.
    words = re.sub(r"'[^']*'|https?://\S+", "", error.output)
    return next((kind for kind, pattern in _FAILURES if pattern.search(words)), "broken")


def error_for(kind: FailureKind, doing: str, error: GitError) -> FreshetError:
    """The error that ends the extraction."""
    if kind == "commit_gone":
        return CommitGoneError(doing, "GitHub no longer has this commit", "Later pushes are extracted automatically.")
    if kind in {"unauthorized", "moved", "gone"}:
        return GoneError(doing, error.reason)
    if kind == "disk_full":
        return DiskFullError(doing, "the disk of the work directory is full", "Free space below DBT_WORK_DIR.")
    return GitHubUnavailableError(doing, error.reason)
