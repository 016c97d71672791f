"""What `extract PATH_OR_GIT_URL` reads, without a GitHub App.

A path inside a git work tree: what is committed at HEAD (or at `#REF`), never what is only on disk. Any other directory: its files as
they are, without what its `.gitignore` leaves out. Anything else that git can fetch: the head of its default branch, or `#REF`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from app.deps.addresses import shown
from app.deps.remotes import parse
from app.errors import CommitGoneError, FreshetError, GoneError
from app.github.git import CONFIG, Git, GitError, clean_environ, safe_environ
from app.github.mirror import FETCH_S, init_bare
from app.github.revision import look_up
from app.github.source import error_of, trouble_of
from app.github.tree import CommitTree, list_entries
from app.jobs import Repository

PROTOCOLS = "https:http:ssh:git:file"
REPOSITORY_VARIABLES = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"}
)
"""Set when we are called from one of git's own hooks: they would lead into the user's repository."""
FETCHED = "refs/freshet/fetched"
_URL = re.compile(r"[a-z][a-z0-9+.-]*://.+|[\w.-]+@[\w.-]+:.+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LocalSource:
    """One commit, resolved; implements `app.ports.Sources` for that one."""

    repository: Repository
    """Its id is 0: it is none of GitHub's. The name is `owner/name` of a URL, or the directory's."""
    sha: str
    """The id of the commit; for a plain directory that of its tree."""
    directory: str | None
    """Where in the repository the path that was given points to, None for its root."""
    git: Git
    git_dir: str

    @asynccontextmanager
    async def open(self, repository: Repository, sha: str) -> AsyncIterator[CommitTree]:
        """Read the commit."""
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
    """Packages for the command line (`app.ports.PackageSources`), with the user's own git configuration and keys.

    The rules of `app.deps.addresses` hold for addresses as they are written, before the user's `insteadOf`; what is written for ssh is
    fetched by ssh. Where names and redirects lead is the user's matter, as with `dbt deps` on the same machine.
    """

    git: Git
    work_dir: Path | None
    server_url: str
    hosts: Collection[str]

    @asynccontextmanager
    async def open_package(self, url: str, revision: str | None, asking: Repository) -> AsyncIterator[CommitTree]:
        """Fetch a revision of a package; scratch goes with it. Raises GoneError, RejectedAddressError or UnavailableError."""
        del asking
        remote = parse(url, self.server_url, self.hosts, f"fetching the package {shown(url)}")
        doing = f"fetching the package {remote.label}{f' at {revision}' if revision else ''}"
        with tempfile.TemporaryDirectory(prefix="freshet-", dir=self.work_dir) as scratch:
            git, git_dir, place = self.git, Path(scratch) / "package.git", remote.ssh or remote.url
            try:
                await init_bare(git, git_dir)
                found = await look_up(git, place, revision, doing)
                sha = await _fetch(git, git_dir, place, found.ref or found.sha)
                entries = await list_entries(git, str(git_dir), sha)
            except GitError as error:
                raise _for_people(doing, error) from error
            tree = CommitTree(git, str(git_dir), sha, entries, f"{remote.label} at {sha[:7]}")
            try:
                yield tree
            finally:
                await tree.close()


def local_packages(environ: Mapping[str, str], work_dir: Path | None, server_url: str, hosts: Collection[str] = ()) -> LocalPackages:
    """Return packages as the user of `environ` can have them; `OWNER/NAME` is on `server_url`, scratch below `work_dir`."""
    return LocalPackages(_users_git(environ), work_dir, server_url, hosts)


@asynccontextmanager
async def local_source(place: str, environ: Mapping[str, str], work_dir: Path | None = None) -> AsyncIterator[LocalSource]:
    """Find the commit that `place` (a path or a git URL, both with an optional `#REF`) stands for; scratch below `work_dir` goes with it.

    `environ` is the user's own environment: a URL is fetched with their git configuration and keys.
    Raises GoneError or GitHubUnavailableError.
    """
    with tempfile.TemporaryDirectory(prefix="freshet-", dir=work_dir) as scratch:
        if _URL.fullmatch(place):
            url, _, ref = place.partition("#")
            yield await _from_url(url, ref or "HEAD", environ, Path(scratch))
            return
        path, ref = _path_and_ref(place)
        git = Git(clean_environ(environ, home=scratch, protocols="file"))
        found = await _from_work_tree(git, path, ref)
        yield found if found is not None else await _from_directory(git, path, Path(scratch))


def _path_and_ref(place: str) -> tuple[Path, str]:
    """Return the directory and the reference that a place names. Raises GoneError."""
    path, ref = Path(place), "HEAD"
    if not path.exists() and "#" in place:
        name, _, ref = place.rpartition("#")
        path = Path(name)
    if not path.is_dir():
        raise GoneError(f"opening {place}", "there is no such directory", "Give a directory or a git URL.")
    return path.resolve(), ref


def _users_git(environ: Mapping[str, str]) -> Git:
    """Return a git that follows the user's own configuration."""
    # Their own helpers may answer here, and redirects are theirs to trust.
    config = {key: value for key, value in CONFIG.items() if key not in {"core.askPass", "credential.helper", "http.followRedirects"}}
    theirs = {name: value for name, value in environ.items() if name not in REPOSITORY_VARIABLES}
    return Git({"GIT_SSH_COMMAND": "ssh -oBatchMode=yes", **theirs, **safe_environ(PROTOCOLS)}, config)


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
        raise _for_people(doing, error) from error
    return LocalSource(Repository(0, name, 0), sha, None, git, str(git_dir))


async def _fetch(git: Git, git_dir: Path, url: str, wanted: str) -> str:
    """Fetch the commit of a reference, or a sha, and return its id. Raises GitError."""
    flags = ("--depth=1", "--no-tags", "--no-write-fetch-head", "--quiet")
    refspec = f"+{wanted}:{FETCHED}"
    await git.run("--git-dir", str(git_dir), "fetch", *flags, "--", url, refspec, timeout_s=FETCH_S)
    sha = await git.run("--git-dir", str(git_dir), "rev-parse", "--verify", f"{FETCHED}^{{commit}}")
    return sha.decode().strip()


async def _from_work_tree(git: Git, path: Path, ref: str) -> LocalSource | None:
    """Read the repository that `path` lies in where it is. Returns None when `path` is not in the commit."""
    try:
        found = await git.run("-C", str(path), "rev-parse", "--absolute-git-dir", "--show-toplevel", "--show-prefix")
        git_dir, top, prefix = found.decode().split("\n")[:3]
        prefix = prefix.rstrip("/")
    except GitError:
        return None
    try:
        sha = (await git.run("--git-dir", git_dir, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")).decode().strip()
        await git.run("--git-dir", git_dir, "cat-file", "-e", f"{sha}:{prefix}")
    except GitError as error:
        if ref != "HEAD":
            raise GoneError(f"looking up {ref} in {path}", error.reason) from error
        return None
    return LocalSource(Repository(0, Path(top).name, 0), sha, prefix or None, git, git_dir)


async def _from_directory(git: Git, path: Path, scratch: Path) -> LocalSource:
    """Take the files as they are into a repository of our own. Symbolic links stay links: nothing outside is read."""
    git_dir = scratch / "directory.git"
    try:
        await init_bare(git, git_dir)
        where = ("--git-dir", str(git_dir), "--work-tree", str(path))
        await git.run("-C", str(path), *where, "add", "--all", "--ignore-errors", ".", timeout_s=FETCH_S)
        sha = await git.run(*where, "write-tree")
    except GitError as error:
        raise GoneError(f"reading {path}", error.reason) from error
    return LocalSource(Repository(0, path.name or "directory", 0), sha.decode().strip(), None, git, str(git_dir))


def _name_of(url: str) -> str:
    """Return `owner/name` of a git URL.

    >>> _name_of("git@github.com:octo/shop.git"), _name_of("https://user@example.com/a/octo/shop/"), _name_of("file:///srv/shop.git")
    ('octo/shop', 'octo/shop', 'srv/shop')
    """
    path = re.sub(r"^[a-z0-9+.-]+://[^/]*|^[^/:]*:", "", url, flags=re.IGNORECASE)
    parts = [part for part in path.removesuffix("/").removesuffix(".git").split("/") if part]
    return "/".join(parts[-2:]) or "repository"


def _for_people(doing: str, error: GitError) -> FreshetError:
    trouble = trouble_of(error)
    return GoneError(doing, error.reason) if trouble in {"broken", "commit_gone"} else error_of(trouble, doing, error)
