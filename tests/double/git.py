"""Bare repositories with git's plumbing commands: ``git fast-import`` writes commits, ``log`` and ``ls-tree`` read them.

https://git-scm.com/docs/git-fast-import
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

NO_COMMIT = "0" * 40

# GitHub serves any object, and partial clones; plain git serves branch tips only.
_CONFIG = """[core]
	bigFileThreshold = 16m
	repositoryformatversion = 0
	filemode = true
	bare = true
[uploadpack]
	allowAnySHA1InWant = true
	allowFilter = true
"""
_SHA = re.compile(r"[0-9a-f]{40}\n", re.ASCII)
_LOG_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B"


@dataclass(frozen=True)
class Executable:
    """A file with the executable bit (mode 100755)."""

    content: str | bytes


@dataclass(frozen=True)
class Symlink:
    """A symbolic link; the target may be outside of the tree."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A link to a commit of another repository (mode 160000)."""

    sha: str


Content: TypeAlias = str | bytes | Executable | Symlink | Submodule


@dataclass(frozen=True)
class Signature:
    """The author or committer of a commit, and the time."""

    name: str
    email: str
    at: datetime


@dataclass(frozen=True)
class Commit:
    """A commit, without its changes."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Signature
    committer: Signature
    message: str


@dataclass(frozen=True)
class TreeEntry:
    """One line of a tree; ``size_bytes`` is None for anything but a blob."""

    mode: str
    type: str
    sha: str
    size_bytes: int | None
    path: str


class GitError(Exception):
    """Git failed; the message is git's."""


def environment() -> dict[str, str]:
    """An environment in which git reads no configuration of this machine and never prompts."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


async def run(directory: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git and return its output. Raises GitError."""
    process = await asyncio.create_subprocess_exec(
        "git",
        "-C",
        str(directory),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
    )
    try:
        stdout, stderr = await process.communicate(stdin)
    except asyncio.CancelledError:  # the client has gone
        with suppress(ProcessLookupError):  # it has just ended by itself
            process.kill()
        await process.communicate()
        raise
    if process.returncode != 0:
        raise GitError(f"git {arguments[0]}: {stderr.decode(errors='replace').strip()}")
    return stdout


def create(directory: Path, default_branch: str) -> None:
    """Create an empty bare repository that serves objects as GitHub does: the files of `git init`, without its process."""
    for name in ("objects", "refs/heads"):
        (directory / name).mkdir(parents=True)
    (directory / "config").write_text(_CONFIG)
    (directory / "HEAD").write_text(f"ref: refs/heads/{default_branch}\n")


async def commit(
    directory: Path,
    branch: str,
    files: Mapping[str, Content | None],
    *,
    message: str,
    author: Signature,
    parent: str | None,
    merged: Sequence[str] = (),
    tree_of: str | None = None,
) -> str:
    """Commit ``files`` (None deletes one) on top of ``parent``, and move the branch; the commit's sha.

    ``merged`` are its other parents, of which it takes no files. ``tree_of`` names the commit whose tree is changed, where that is not the
    parent (an amended commit).
    """
    who = f"{author.name} <{author.email}> {int(author.at.timestamp())} +0000"
    stream = [f"commit refs/heads/{branch}\nmark :1\ncommitter {who}\n".encode(), _data(message.encode())]
    if parent is not None:
        stream.append(f"from {parent}\n".encode())
    stream += [f"merge {sha}\n".encode() for sha in merged]
    if tree_of is not None:
        stream.append(f'M 040000 {(await read_commit(directory, tree_of)).tree} ""\n'.encode())
    stream += [_change(path, content) for path, content in files.items()]
    stream.append(b"\nget-mark :1\n")
    output = await run(directory, "fast-import", "--quiet", "--force", "--done", stdin=b"".join([*stream, b"done\n"]))
    return output.decode().strip()


def _change(path: str, content: Content | None) -> bytes:
    """The fast-import command for one path."""
    quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    match content:
        case None:
            return f"D {quoted}\n".encode()
        case Submodule(sha):
            return f"M 160000 {sha} {quoted}\n".encode()
        case Executable(data):
            return f"M 100755 inline {quoted}\n".encode() + _data(_bytes(data))
        case Symlink(target):
            return f"M 120000 inline {quoted}\n".encode() + _data(target.encode())
        case _:
            return f"M 100644 inline {quoted}\n".encode() + _data(_bytes(content))


def _data(content: bytes) -> bytes:
    """Content in fast-import's counted form."""
    return b"data %d\n%b\n" % (len(content), content)


def _bytes(content: str | bytes) -> bytes:
    """Text as UTF-8."""
    return content.encode() if isinstance(content, str) else content


def read_directory(directory: Path) -> dict[str, Content]:
    """The files below a directory by their relative path, without ``.git``."""
    files: dict[str, Content] = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if ".git" in relative.parts or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            files[relative.as_posix()] = Symlink(str(path.readlink()))
        elif os.access(path, os.X_OK):
            files[relative.as_posix()] = Executable(path.read_bytes())
        else:
            files[relative.as_posix()] = path.read_bytes()
    return files


async def resolve(directory: Path, name: str, kind: str = "commit") -> str | None:
    """The sha of the commit (or tree) of a branch, tag or sha, None if there is none."""
    if name.startswith("refs/heads/") and ".." not in name and kind == "commit":
        with suppress(OSError):  # then git knows
            text = (directory / name).read_text()
            if _SHA.fullmatch(text):
                return text.strip()
    try:
        output = await run(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{{kind}}}")
    except GitError:
        return None
    return output.decode().strip()


async def is_empty(directory: Path) -> bool:
    """True without any branch or tag."""
    return not await run(directory, "for-each-ref", "--count=1")


async def read_commit(directory: Path, sha: str) -> Commit:
    """Read one commit. Raises GitError if there is none."""
    return (await log(directory, sha, limit=1))[0]


async def log(directory: Path, *revisions: str, limit: int, skip: int = 0) -> list[Commit]:
    """At most ``limit`` commits of a range, newest first, without the first ``skip``."""
    output = await run(directory, "log", "-z", f"--max-count={limit}", f"--skip={skip}", f"--format={_LOG_FORMAT}", *revisions, "--")
    fields = output.decode().split("\0")
    width = _LOG_FORMAT.count("%x00") + 1
    return [_commit(fields[start : start + width]) for start in range(0, len(fields) - width + 1, width)]


def _commit(fields: list[str]) -> Commit:
    """A commit from the fields of ``_LOG_FORMAT``."""
    sha, tree, parents, author, author_email, authored_at, committer, committer_email, committed_at, message = fields
    return Commit(
        sha,
        tree,
        tuple(parents.split()),
        Signature(author, author_email, datetime.fromtimestamp(int(authored_at), UTC)),
        Signature(committer, committer_email, datetime.fromtimestamp(int(committed_at), UTC)),
        message.rstrip("\n"),
    )


async def changes(directory: Path, sha: str) -> dict[str, list[str]]:
    """The paths ``added``, ``removed`` and ``modified`` compared with the first parent."""
    output = await run(directory, "diff-tree", "--root", "-r", "-z", "--no-renames", "--name-status", "--no-commit-id", sha)
    fields = output.decode().split("\0")
    words = {"A": "added", "D": "removed"}
    found: dict[str, list[str]] = {"added": [], "removed": [], "modified": []}
    for status, path in zip(fields[0:-1:2], fields[1::2], strict=True):
        found[words.get(status, "modified")].append(path)
    return found


async def tree(directory: Path, sha: str, *, recursive: bool) -> list[TreeEntry]:
    """The entries of a tree, subtrees included, in git's order."""
    flags = ("-r", "-t") if recursive else ()
    output = await run(directory, "ls-tree", "-z", "-l", *flags, sha)
    return [_tree_entry(line) for line in output.decode().split("\0") if line]


def _tree_entry(line: str) -> TreeEntry:
    """An entry from one line of ``ls-tree -l``."""
    description, _, path = line.partition("\t")
    mode, kind, sha, size = description.split()
    return TreeEntry(mode, kind, sha, None if size == "-" else int(size), path)


async def merge_base(directory: Path, base: str, head: str) -> str | None:
    """The best common ancestor of two commits, None if their histories have nothing in common."""
    try:
        return (await run(directory, "merge-base", base, head)).decode().strip()
    except GitError:
        return None


async def count(directory: Path, *revisions: str) -> int:
    """The number of commits of a range."""
    return int(await run(directory, "rev-list", "--count", *revisions, "--"))


async def is_ancestor(directory: Path, ancestor: str, descendant: str) -> bool:
    """True if a branch can be fast-forwarded from one commit to the other."""
    try:
        await run(directory, "merge-base", "--is-ancestor", ancestor, descendant)
    except GitError:
        return False
    return True
