"""Directories of bare repositories: made, owned by one process, measured."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Callable
from pathlib import Path

from app.github.git.process import Git


async def init_bare(git: Git, path: Path, object_format: str = "sha1") -> None:
    """Create an empty bare repository without sample hooks."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = ("--bare", "--quiet", "--template=", "--initial-branch=main", f"--object-format={object_format}")
    await git.run("init", *flags, str(path))


def own_directory(parent: Path, name: str = "git") -> tuple[Path, int]:
    """`parent/git`, or `parent/git-1` … if another process uses that one, and the descriptor of its lock."""
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
    """Bytes of all files below a directory."""
    return sum(fact_of(file, lambda one: one.st_size) for file in path.rglob("*"))


def oldest_first(paths: list[Path]) -> list[Path]:
    """By the time of their last change."""
    return sorted(paths, key=lambda path: fact_of(path, lambda one: one.st_mtime_ns))


def fact_of(path: Path, fact: Callable[[os.stat_result], int]) -> int:
    """A fact about a file; 0 if it is gone."""
    try:
        return fact(path.lstat())
    except OSError:
        return 0
