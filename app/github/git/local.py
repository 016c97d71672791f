"""The sources of `extract PLACE`, which needs no GitHub App.

A directory: its files as they are now, except those that `.gitignore` excludes (`work_tree`). `DIRECTORY@SHA` or `DIRECTORY#BRANCH`: a
commit of the git work tree. A URL that git can fetch: the head of its default branch, `URL#REF` or `URL@SHA`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.core.egress.addresses import shown
from app.core.errors import CommitGoneError, FreshetError, GoneError
from app.core.models.github import Repository
from app.github.git.commit_tree import CommitTree, list_entries
from app.github.git.directories import init_bare
from app.github.git.mirror import FETCH_S
from app.github.git.process import CONFIG, Git, GitError, clean_environ, safe_environ
from app.github.git.revision import resolve_revision
from app.github.git.source import error_for, failure_kind
from app.github.git.work_tree import Snapshot, WorkTree, find_work_tree, take_snapshot
from app.packages.git_urls import parse_git_url

PROTOCOLS = "https:http:ssh:git:file"
REPOSITORY_VARIABLES = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"}
)
"""Set when Freshet is called from a git hook; they would redirect git into the user's repository."""
FETCHED = "refs/freshet/fetched"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://.+|[\w.-]+@[\w.-]+:.+", re.IGNORECASE)
_SHA = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Place:
    """What the command line names: a URL or a directory, and the commit there."""

    url: str | None
    path: Path
    ref: str | None
    """None: the files of a directory as they are, or the head of a URL's default branch."""


@dataclass(frozen=True, slots=True)
class LocalSource:
    """Implements `app.pipeline.ports.Sources` for one commit or directory."""

    repository: Repository
    """Its id is 0, since it is not on GitHub. The name is `owner/name` of a URL, or that of the directory."""
    sha: str
    """The id of the commit; of the tree for files that are not a commit."""
    directory: str | None
    """The given path relative to the repository's root, None for the root."""
    git: Git
    git_dir: str
    head_sha: str | None
    """The commit that the files are based on; None without git or before the first commit."""
    history_dir: str | None = None
    """The git directory of the user's repository; None without one, or if it was fetched without history."""
    uncommitted: tuple[str, ...] = ()
    """Files that differ from `head_sha`."""

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str, ref: str = "") -> AsyncIterator[CommitTree]:
        """Open the commit. Raises CommitGoneError."""
        del ref
        label = f"{repository.full_name} at {sha[:7]}"
        try:
            entries = await list_entries(self.git, self.git_dir, sha)
        except GitError as error:
            raise CommitGoneError(f"reading {label}", error.reason) from error
        tree = CommitTree(self.git, self.git_dir, sha, entries, label)
        try:
            yield tree
        finally:
            await tree.close()


@dataclass(frozen=True, slots=True)
class LocalPackages:
    """Packages for the command line (`pipeline.ports.PackageSources`), with the user's own git configuration and keys.

    The rules of `core.egress.addresses` apply to addresses as written, before the user's `insteadOf`. ssh addresses are fetched by ssh.
    DNS and redirects are not checked, as with `dbt deps` on the same machine.
    """

    git: Git
    work_dir: Path | None
    server_url: str
    hosts: Collection[str]

    @asynccontextmanager
    async def open_package(self, url: str, revision: str | None, requester: Repository) -> AsyncIterator[CommitTree]:
        """Fetch a revision of a package into a temporary directory. Raises GoneError, RejectedAddressError or UnavailableError."""
        del requester
        remote = parse_git_url(url, self.server_url, self.hosts, f"fetching the package {shown(url)}")
        doing = f"fetching the package {remote.label}{f' at {revision}' if revision else ''}"
        with tempfile.TemporaryDirectory(prefix="freshet-", dir=self.work_dir) as scratch:
            git, git_dir, url = self.git, Path(scratch) / "package.git", remote.ssh or remote.url
            try:
                await init_bare(git, git_dir)
                found = await resolve_revision(git, url, revision, doing)
                sha = await _fetch(git, git_dir, url, found.ref or found.sha)
                entries = await list_entries(git, str(git_dir), sha)
            except GitError as error:
                raise _error(doing, error) from error
            tree = CommitTree(git, str(git_dir), sha, entries, f"{remote.label} at {sha[:7]}")
            try:
                yield tree
            finally:
                await tree.close()


def local_packages(environ: Mapping[str, str], work_dir: Path | None, server_url: str, hosts: Collection[str] = ()) -> LocalPackages:
    """Packages with the git of the user of `environ`. `OWNER/NAME` is on `server_url`; temporary files are below `work_dir`."""
    return LocalPackages(_users_git(environ), work_dir, server_url, hosts)


@asynccontextmanager
async def local_source(place: Place, environ: Mapping[str, str], work_dir: Path | None = None) -> AsyncIterator[LocalSource]:
    """Find the commit or the files of a place. Temporary files are below `work_dir`.

    `environ` is the user's environment: a URL is fetched with their git configuration and keys.
    Raises GoneError or GitHubUnavailableError.
    """
    with tempfile.TemporaryDirectory(prefix="freshet-", dir=work_dir) as scratch:
        if place.url is not None:
            yield await _from_url(place.url, place.ref or "HEAD", environ, Path(scratch).resolve())
            return
        git = Git(clean_environ(environ, home=scratch, protocols="file"))
        found = await find_work_tree(git, place.path)
        if place.ref is None:
            yield await _from_files(git, place.path, found, Path(scratch).resolve())
        else:
            yield await _from_commit(git, place.path, found, place.ref)


async def merge_base(source: LocalSource, ref: str) -> str:
    """The commit where the branches of `source` and `ref` parted; `ref` itself where the history does not tell."""
    if source.head_sha is None or source.history_dir is None:
        return ref
    try:
        found = await source.git.run("--git-dir", source.history_dir, "merge-base", "--end-of-options", source.head_sha, ref)
    except GitError:
        return ref
    return found.decode().strip() or ref


def parse_place(text: str) -> Place:
    """Read a place of the command line. Raises GoneError.

    >>> parse_place("https://github.com/octo/shop#next")
    Place(url='https://github.com/octo/shop', path=PosixPath('.'), ref='next')
    """
    if _URL.fullmatch(text):
        url, ref = _split_ref(text, only_sha=True)
        return Place(url, Path(), ref)
    name, ref = (text, None) if Path(text).exists() else _split_ref(text, only_sha=False)
    if not Path(name).is_dir():
        raise GoneError(f"opening {text}", "there is no such directory", "Give a directory, DIRECTORY@SHA, DIRECTORY#BRANCH or a git URL.")
    return Place(None, Path(name).resolve(), ref)


def _split_ref(text: str, *, only_sha: bool) -> tuple[str, str | None]:
    """Split `#REF` or `@SHA` from the end; a URL may have another `@`."""
    name, sign, ref = text.rpartition("#")
    if sign and name:
        return name, ref or None
    name, sign, ref = text.rpartition("@")
    return (name, ref) if sign and name and ref and (not only_sha or _SHA.fullmatch(ref)) else (text, None)


def _users_git(environ: Mapping[str, str]) -> Git:
    """A git with the user's own configuration."""
    # The user's credential helpers and redirects are trusted here.
    config = {key: value for key, value in CONFIG.items() if key not in {"core.askPass", "credential.helper", "http.followRedirects"}}
    users = {name: value for name, value in environ.items() if name not in REPOSITORY_VARIABLES}
    return Git({"GIT_SSH_COMMAND": "ssh -oBatchMode=yes", **users, **safe_environ(PROTOCOLS)}, config)


async def _from_url(url: str, ref: str, environ: Mapping[str, str], scratch: Path) -> LocalSource:
    git = _users_git(environ)
    git_dir, name = scratch / "fetched.git", _name_of(url)
    doing = f"fetching {ref} of {name}"
    if ref.startswith("-"):
        raise GoneError(doing, "that cannot be a branch, a tag or a commit")
    try:
        await init_bare(git, git_dir)
        sha = await _fetch(git, git_dir, url, ref)
    except GitError as error:
        raise _error(doing, error) from error
    return LocalSource(Repository(0, name, 0), sha, None, git, str(git_dir), sha)


async def _fetch(git: Git, git_dir: Path, url: str, revision: str) -> str:
    """Fetch a reference or a sha; the id of its commit. Raises GitError."""
    flags = ("--depth=1", "--no-tags", "--no-write-fetch-head", "--quiet")
    refspec = f"+{revision}:{FETCHED}"
    await git.run("--git-dir", str(git_dir), "fetch", *flags, "--", url, refspec, timeout_s=FETCH_S)
    sha = await git.run("--git-dir", str(git_dir), "rev-parse", "--verify", f"{FETCHED}^{{commit}}")
    return sha.decode().strip()


async def _from_commit(git: Git, path: Path, work_tree: WorkTree | None, ref: str) -> LocalSource:
    """A commit of the repository that contains `path`, read in place."""
    doing = f"looking up {ref} in {path}"
    if work_tree is None:
        raise GoneError(doing, "the directory is not in a git work tree", "Leave out the commit to extract the files as they are.")
    git_dir = work_tree.git_dir
    try:
        sha = (await git.run("--git-dir", git_dir, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")).decode().strip()
    except GitError as error:
        raise GoneError(doing, error.reason, "Give a branch, a tag or a commit that the repository has.") from error
    return LocalSource(Repository(0, work_tree.name, 0), sha, work_tree.prefix, git, git_dir, sha, git_dir)


async def _from_files(git: Git, path: Path, work_tree: WorkTree | None, scratch: Path) -> LocalSource:
    """The files below the work tree's root or, without git, below `path`."""
    try:
        found: Snapshot = await take_snapshot(git, path, work_tree, scratch)
    except GitError as error:
        raise GoneError(f"reading {path}", error.reason) from error
    name = work_tree.name if work_tree else path.name or "directory"
    prefix, history = (work_tree.prefix, work_tree.git_dir) if work_tree else (None, None)
    return LocalSource(Repository(0, name, 0), found.sha, prefix, git, found.git_dir, found.head_sha, history, found.uncommitted)


def _name_of(url: str) -> str:
    """Derive `owner/name` from a git URL.

    >>> _name_of("git@github.com:octo/shop.git"), _name_of("https://user@example.com/a/octo/shop/"), _name_of("file:///srv/shop.git")
    ('octo/shop', 'octo/shop', 'srv/shop')
    """
    path = re.sub(r"^[a-z0-9+.-]+://[^/]*|^[^/:]*:", "", url, flags=re.IGNORECASE)
    parts = [part for part in path.removesuffix("/").removesuffix(".git").split("/") if part]
    return "/".join(parts[-2:]) or "repository"


def _error(doing: str, error: GitError) -> FreshetError:
    kind = failure_kind(error)
    return GoneError(doing, error.reason) if kind in {"broken", "commit_gone"} else error_for(kind, doing, error)
