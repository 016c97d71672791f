"""Commits from GitHub (`app.ports.Sources`): exactly the one that was pushed, with a token that only git's environment ever holds."""

from __future__ import annotations

import asyncio
import os
import re
import weakref
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from app import log, metrics
from app.errors import CommitGoneError, DiskFullError, FreshetError, GitHubUnavailableError, GoneError, UnavailableError
from app.github.git import Git, GitError, GitTimeoutError, clean_environ
from app.github.mirror import FETCH_S, WHOLE_BYTES, Mirror, own_directory, ref_of, tidy_all
from app.github.tree import CommitTree, list_entries
from app.inference.project import Entry
from app.jobs import Repository

MAX_CACHE_BYTES = 20 << 30
NEW_TOKEN_S = 1.0
"""GitHub may refuse a token for some seconds after it was made."""

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_FULL_NAME = re.compile(r"(?!\.{1,2}/)[A-Za-z0-9_.][A-Za-z0-9_.-]*/(?!\.{1,2}$)[A-Za-z0-9_.-]+")

_log = log.get(__name__)

Trouble = Literal["commit_gone", "refused", "moved", "gone", "away", "disk_full", "broken"]
_TROUBLES: tuple[tuple[Trouble, re.Pattern[str]], ...] = (
    ("disk_full", re.compile(r"No space left on device|Disk quota exceeded")),
    ("commit_gone", re.compile(r"not our ref|couldn't find remote ref|unadvertised object")),
    ("moved", re.compile(r"returned error: 30[1278]|redirect", re.IGNORECASE)),
    ("refused", re.compile(r"could not read (Username|Password)|Authentication failed|returned error: 401|terminal prompts disabled")),
    (
        "away",
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
            r"returned error: (403|404|410|451)|[Rr]epository .*not found|Repository unavailable|access blocked"
            r"|Permission denied \(publickey|does not appear to be a git repository"
        ),
    ),
)
"""In this order: git often says several of these at once, the telling one first. Whatever else it says, the mirror may be broken."""


class GitSources:
    """Fetches commits into one mirror per repository below `work_dir/git`."""

    def __init__(  # noqa: PLR0913 - plain values; all but three have a default
        self,
        server_url: str,
        work_dir: Path,
        tokens: Callable[[Repository], Awaitable[SecretStr | None]],
        *,
        refused: Callable[[SecretStr], None] = lambda _token: None,
        names: Callable[[Repository], Awaitable[str]] | None = None,
        environ: Mapping[str, str] | None = None,
        fetch_timeout_s: float = FETCH_S,
        whole_bytes: int = WHOLE_BYTES,
    ) -> None:
        """Use `tokens` to read, tell `refused` of a token that git was refused with, ask `names` where a renamed repository is now.

        `environ` is the host's environment, of which only PATH, proxies and certificate authorities are passed on. Of a commit over
        `whole_bytes` only the files that are read are fetched.
        """
        self.point_at(server_url)
        self._tokens = tokens
        self._refused = refused
        self._names = names
        self._timeout_s = fetch_timeout_s
        self._whole_bytes = whole_bytes
        self._dir, descriptor = own_directory(work_dir.absolute())
        self.close = weakref.finalize(self, os.close, descriptor)
        """Lets go of the directory."""
        home = self._dir / "home"
        home.mkdir(exist_ok=True)
        self._git = Git(clean_environ(environ or {}, home=str(home)))
        self._mirrors: dict[int, Mirror] = {}

    def point_at(self, server_url: str) -> None:
        """Fetch from another GitHub from now on."""
        self._server_url = server_url.rstrip("/")

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str) -> AsyncIterator[CommitTree]:
        """Fetch exactly `sha` unless it is there already, and read it. Raises GoneError, CommitGoneError or UnavailableError."""
        label = f"{repository.full_name} at {sha[:7]}"
        if not _SHA.fullmatch(sha):
            raise CommitGoneError(f"fetching {label}", f"{sha!r} is not the id of a commit")
        mirror = self._mirror(repository.id)
        metrics.CACHE_REQUESTS.labels("git", "hit" if mirror.path.exists() else "miss").inc()
        with mirror.reading(sha):
            async with mirror.lock:
                before = mirror.received_bytes
                entries = await self._entries(mirror, repository, sha)
                received = mirror.received_bytes - before

            async def bring(oids: Sequence[str]) -> None:
                async with mirror.lock:
                    before = mirror.received_bytes
                    await self._ensure(mirror, repository, sha, oids)
                    tree.fetched_bytes += mirror.received_bytes - before

            tree = CommitTree(self._git, str(mirror.path), sha, entries, label, bring if mirror.partial else None)
            tree.fetched_bytes = received
            try:
                yield tree
            finally:
                await tree.close()
                if tree.damaged:
                    async with mirror.lock:
                        await mirror.remove()

    async def remove(self, repository_id: int) -> None:
        """Throw away what is kept of a repository: it was taken out of the installation."""
        mirror = self._mirror(repository_id)
        async with mirror.lock:
            await mirror.remove()

    async def tidy(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        """Pack the mirrors that need it, and remove those that are old, or too many for `max_bytes`. For now and then."""
        paths = [path for path in self._dir.glob("*.git") if path.stem.isdecimal()]
        await tidy_all([self._mirror(int(path.stem)) for path in paths], max_bytes)

    def _mirror(self, repository_id: int) -> Mirror:
        return self._mirrors.setdefault(repository_id, Mirror(self._git, self._dir / f"{repository_id}.git", whole_bytes=self._whole_bytes))

    async def _entries(self, mirror: Mirror, repository: Repository, sha: str) -> list[Entry]:
        if mirror.has(sha):
            try:
                return await list_entries(self._git, str(mirror.path), ref_of(sha), sized=not mirror.partial)
            except GitError as error:
                _log.warning("git.mirror_removed", repository=repository.full_name, reason=error.reason)
                await mirror.remove()
        await self._ensure(mirror, repository, sha)
        try:
            return await list_entries(self._git, str(mirror.path), ref_of(sha), sized=not mirror.partial)
        except GitError as error:
            await mirror.remove()
            raise UnavailableError(f"listing the files of {repository.full_name} at {sha[:7]}", error.reason) from error

    async def _ensure(self, mirror: Mirror, repository: Repository, sha: str, blobs: Sequence[str] = ()) -> None:
        """Fetch the commit, or blobs of it; what passes by itself or by asking again is tried once more, each trouble in its own way."""
        tried: set[Trouble] = set()
        while True:
            token = await self._tokens(repository)
            try:
                await self._fetch(mirror, repository, sha, blobs, token)
            except GitError as error:
                trouble = trouble_of(error)
                if trouble in tried or not await self._mend(trouble, mirror, token):
                    raise error_of(trouble, f"fetching {repository.full_name} at {sha[:7]}", error) from error
                tried.add(trouble)
                _log.info("git.fetch_again", repository=repository.full_name, sha=sha, trouble=trouble, reason=error.reason)
            else:
                return
            if trouble in {"moved", "gone"} and self._names is not None:
                repository = replace(repository, full_name=await self._names(repository))

    async def _fetch(self, mirror: Mirror, repository: Repository, sha: str, blobs: Sequence[str], token: SecretStr | None) -> None:
        if not _FULL_NAME.fullmatch(repository.full_name):
            raise GoneError(f"fetching {repository.full_name!r}", "that is not the name of a repository")
        url = f"{self._server_url}/{repository.full_name}.git"
        config, secrets = credentials(self._server_url, token)
        if blobs:
            await mirror.fetch_blobs(url, blobs, config, sha=sha, secrets=secrets, timeout_s=self._timeout_s)
        else:
            await mirror.fetch(url, sha, config, secrets=secrets, timeout_s=self._timeout_s)

    async def _mend(self, trouble: Trouble, mirror: Mirror, token: SecretStr | None) -> bool:
        """Do what may help against `trouble`. Returns False when nothing does."""
        if trouble == "broken":
            await mirror.remove()
        elif trouble == "refused" and token is not None:
            self._refused(token)
            await asyncio.sleep(NEW_TOKEN_S)
        else:
            return trouble in {"moved", "gone"} and self._names is not None
        return True


def credentials(server_url: str, token: SecretStr | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return git's configuration to send `token` to that server only, and the texts that must not show up anywhere.

    https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
    """
    if token is None:
        return {}, ()
    value = token.get_secret_value()
    basic = b64encode(f"x-access-token:{value}".encode()).decode()
    return {f"http.{server_url}/.extraHeader": f"Authorization: Basic {basic}"}, (value, basic)


def trouble_of(error: GitError) -> Trouble:
    """Return what git's words mean."""
    if isinstance(error, GitTimeoutError):
        return "away"
    # Without what git quotes: a repository can be named after any of our words.
    words = re.sub(r"'[^']*'|https?://\S+", "", error.output)
    return next((trouble for trouble, pattern in _TROUBLES if pattern.search(words)), "broken")


def error_of(trouble: Trouble, doing: str, error: GitError) -> FreshetError:
    """Return the error that ends the extraction."""
    if trouble == "commit_gone":
        return CommitGoneError(doing, "GitHub does not have this commit any more", "A later push, if any, is extracted by itself.")
    if trouble in {"refused", "moved", "gone"}:
        return GoneError(doing, error.reason)
    if trouble == "disk_full":
        return DiskFullError(doing, "the disk of the work directory is full", "Free space below DBT_WORK_DIR.")
    return GitHubUnavailableError(doing, error.reason)
