"""Which connections a repository needs, which of them extract a push, and which conflict with a request. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.core.models.connections import Connection

INVALID_BRANCH = r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[./]$|^HEAD$|^$"
"""Matches what a branch name must not contain: https://git-scm.com/docs/git-check-ref-format."""


@dataclass(frozen=True, slots=True)
class ConnectionChanges:
    """The changes that make a repository's connections match the dbt projects on the followed branch."""

    create: tuple[str, ...] = ()
    """Project directories that need a connection."""
    move: tuple[tuple[str, str], ...] = ()
    """Ids of connections with the new directory of their project."""
    hide: tuple[str, ...] = ()
    """Ids of connections whose project no longer exists."""


def plan_changes(
    existing: Sequence[Connection], directories: Sequence[str], removed: Collection[str] = (), *, default: bool = True
) -> ConnectionChanges:
    """Compare the connections that follow a branch with its project directories, the nearest to the root first.

    A connection without a directory gets one. If one directory disappeared and one is new, the project moved. Nothing is created for
    `removed` directories. Connections are only created and hidden on the `default` branch; on others, somebody has to create them.
    """
    unplaced = [connection.id for connection in existing if connection.project_dir is None]
    placed = [connection for connection in existing if connection.project_dir is not None]
    gone = [connection.id for connection in placed if connection.project_dir not in directories and not connection.manual and default]
    taken = {connection.project_dir for connection in placed}.union(removed)
    new = [directory for directory in directories if directory not in taken]
    move = list(zip(unplaced, new, strict=False))
    new = new[len(move) :] if default else []
    if len(gone) == len(new) == 1:
        move.append((gone.pop(), new.pop()))
    return ConnectionChanges(tuple(new), tuple(move), tuple(gone))


def connections_for_push(existing: Sequence[Connection], branch: str) -> list[Connection]:
    """The connections that extract a push: all that follow its branch, and one for each other project.

    For the other projects, it is the connection of the default branch, or else the oldest, so a commit is extracted once per project.
    """
    extracting: list[Connection] = []
    directories = dict.fromkeys(connection.project_dir for connection in existing)
    for directory in directories:
        same = [connection for connection in existing if connection.project_dir == directory]
        following = [connection for connection in same if connection.followed_branch == branch]
        default = [connection for connection in same if connection.followed_branch == connection.repository.default_branch]
        if following or directory is not None or len(directories) == 1:
            extracting += following or (default or same)[:1]
    return extracting


def find_conflict(existing: Sequence[Connection], project_dir: str | None, branch: str | None) -> Connection | None:
    """The existing connection of this directory and branch, if there is one.

    A directory that is not known yet (None) conflicts with every connection of the branch, because it may turn out to be the same.
    """
    same = [connection for connection in existing if connection.followed_branch == branch]
    return next((other for other in same if project_dir is None or other.project_dir in (None, project_dir)), None)


def is_branch(name: str) -> bool:
    """True if git accepts a name for a branch.

    >>> [is_branch(name) for name in ("feature/ünï", "a..b", "../main", "a b", "-x", "v1.lock")]
    [True, False, False, False, False, False]
    """
    return re.search(INVALID_BRANCH, name) is None
