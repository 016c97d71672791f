"""A directory as it is now, as a git tree: also what is not committed. Nothing is written into the user's repository.

The tree is made in a bare repository of ours that borrows the user's objects. Of the user's repository, only `HEAD`, objects and the index
are used: its hooks, filters and attributes never run or apply, so that each file is stored as dbt on this machine would read it.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.core.yaml_text import is_below
from app.github.git.directories import init_bare
from app.github.git.mirror import FETCH_S
from app.github.git.process import Git, GitError

VERBATIM = "* -text -filter -ident -working-tree-encoding\n"
"""https://git-scm.com/docs/gitattributes: files are stored byte for byte."""
SUBMODULE_MODE = "160000"
MAX_NESTED = 20
"""Repositories inside of repositories inside of …"""
MAX_UNCOMMITTED = 10_000
"""Names of changed files that are listed."""


@dataclass(frozen=True, slots=True)
class WorkTree:
    """A git work tree that contains a directory."""

    top: Path
    git_dir: str
    objects: str
    index: Path
    prefix: str | None
    """The directory relative to `top`, None for `top` itself."""
    head_sha: str | None
    """None before the first commit."""
    object_format: str
    """The hash of its ids: `sha1` or `sha256`."""

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.top.name or "directory"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a directory in the repository `git_dir`."""

    git_dir: str
    sha: str
    """`head_sha` if nothing differs from it and it has no checked-out submodules, otherwise the id of a tree."""
    head_sha: str | None
    uncommitted: tuple[str, ...]


async def find_work_tree(git: Git, path: Path) -> WorkTree | None:
    """The work tree that contains `path`; None if there is none, or if `path` is in a directory that git ignores."""
    paths = ("--absolute-git-dir", "--show-toplevel", "--git-path", "objects", "--git-path", "index", "--show-prefix")
    try:
        found = await git.run("-C", str(path), "rev-parse", "--path-format=absolute", *paths, "--show-object-format")
        git_dir, top, objects, index, prefix, object_format = found.decode().split("\n")[:6]
        if prefix and await _is_ignored(git, path):
            return None
    except (GitError, ValueError):
        return None
    head: str | None = None
    with suppress(GitError):
        head = (await git.run("--git-dir", git_dir, "rev-parse", "--verify", "HEAD^{commit}")).decode().strip()
    return WorkTree(Path(top), git_dir, objects, Path(index), prefix.rstrip("/") or None, head, object_format)


async def take_snapshot(git: Git, path: Path, work_tree: WorkTree | None, scratch: Path) -> Snapshot:
    """Store the files of the whole work tree, or of `path` if it is in none, in a repository below `scratch`. Raises GitError."""
    git_dir = scratch / "snapshot.git"
    object_format = work_tree.object_format if work_tree else "sha1"
    tree = await _store(git, path if work_tree is None else work_tree.top, work_tree, git_dir, object_format)
    head = work_tree.head_sha if work_tree else None
    if head is None:
        return Snapshot(str(git_dir), tree, None, ())
    flags = ("--no-renames", "-r", "-z", "--name-only")
    changed = await git.run("--git-dir", str(git_dir), "diff-tree", *flags, head, tree)
    names = [name.decode(errors="replace") for name in changed.split(b"\0")[:MAX_UNCOMMITTED] if name]
    if not names or work_tree is None:
        return Snapshot(str(git_dir), head, head, ())
    committed = await _unchanged_submodules(git, work_tree, git_dir, tree)
    uncommitted = tuple(name for name in names if not any(name == one or is_below(name, one) for one in committed))
    return Snapshot(str(git_dir), tree, head, uncommitted)


async def _unchanged_submodules(git: Git, work_tree: WorkTree, git_dir: Path, tree: str) -> list[str]:
    """The submodules whose files are those of the commit that `HEAD` names for them."""
    listed = (await git.run("--git-dir", str(git_dir), "ls-tree", "-r", "-z", str(work_tree.head_sha))).split(b"\0")
    links = [line.partition(b"\t") for line in listed if line.startswith(SUBMODULE_MODE.encode())]
    found = []
    for fields, _, path in links:
        name, commit = path.decode(errors="surrogateescape"), fields.split()[2].decode()
        with suppress(GitError, OSError):
            stored = await git.run("--git-dir", str(git_dir), "rev-parse", "--verify", f"{tree}:{name}")
            expected = await git.run("-C", str(work_tree.top / name), "rev-parse", "--verify", f"{commit}^{{tree}}")
            if stored == expected:
                found.append(name)
    return found


async def _is_ignored(git: Git, path: Path) -> bool:
    try:
        await git.run("-C", str(path), "check-ignore", "--quiet", ".")
    except GitError:
        return False
    return True


async def _store(git: Git, top: Path, work_tree: WorkTree | None, git_dir: Path, object_format: str, depth: int = 0) -> str:
    """Store the files below `top`, those of repositories inside too; the id of their tree."""
    await init_bare(git, git_dir, object_format)
    (git_dir / "info").mkdir(exist_ok=True)
    (git_dir / "info" / "attributes").write_text(VERBATIM)
    where = ("-C", str(top), "--git-dir", str(git_dir), "--work-tree", str(top))
    if work_tree is not None and work_tree.object_format == object_format:
        _borrow(git_dir, work_tree.objects)
        await _start_from_index(git, where, work_tree, git_dir)
    await git.run(*where, "add", "--all", "--ignore-errors", ".", timeout_s=FETCH_S)
    if depth < MAX_NESTED:
        await _add_nested(git, top, git_dir, object_format, depth)
    return (await git.run(*where, "write-tree")).decode().strip()


def _borrow(git_dir: Path, objects: str) -> None:
    with (git_dir / "objects" / "info" / "alternates").open("a") as alternates:
        alternates.write(f"{objects}\n")


async def _start_from_index(git: Git, where: tuple[str, ...], work_tree: WorkTree, git_dir: Path) -> None:
    """Begin with what git knows of the files, so that only changed ones are read."""
    with suppress(OSError, GitError):
        # With its time: git compares it with the times of the files.
        shutil.copy2(work_tree.index, git_dir / "index")
        await git.run(*where, "ls-files", "--error-unmatch", ":/")
        return
    (git_dir / "index").unlink(missing_ok=True)
    if work_tree.head_sha is not None:
        await git.run(*where, "read-tree", work_tree.head_sha)


async def _add_nested(git: Git, top: Path, git_dir: Path, object_format: str, depth: int) -> None:
    """Replace submodules and other repositories inside, which git stores as links, by their files."""
    where = ("-C", str(top), "--git-dir", str(git_dir), "--work-tree", str(top))
    listed = (await git.run(*where, "ls-files", "--stage", "-z")).split(b"\0")
    nested = [line.partition(b"\t")[2].decode() for line in listed if line.startswith(SUBMODULE_MODE.encode())]
    for number, name in enumerate(nested):
        if not any((top / name).iterdir() if (top / name).is_dir() else ()):
            continue
        inner = await find_work_tree(git, top / name)
        inner_dir = git_dir.with_name(f"{git_dir.stem}-{number}.git")
        tree = await _store(git, top / name, inner if inner and inner.prefix is None else None, inner_dir, object_format, depth + 1)
        _borrow(git_dir, str(inner_dir / "objects"))
        await git.run(*where, "update-index", "--force-remove", "--", name)
        await git.run(*where, "read-tree", f"--prefix={name}/", tree)
