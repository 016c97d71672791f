"""Which connections a repository is to have, and which of them a push or a wish concerns: decided from values alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.jobs import Connection

NO_BRANCH = r"^[-/.]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[./]$|^HEAD$|^$"
"""What no name of a branch has in it: https://git-scm.com/docs/git-check-ref-format."""


@dataclass(frozen=True, slots=True)
class Following:
    """What follows for the connections of a repository from the dbt projects that its followed branch holds."""

    create: tuple[str, ...] = ()
    """Project directories that need a connection."""
    move: tuple[tuple[str, str], ...] = ()
    """Connections (ids) whose project is now in another directory."""
    hide: tuple[str, ...] = ()
    """Connections (ids) whose project is gone."""


def follow(known: Sequence[Connection], found: Sequence[str], removed: Collection[str] = (), *, default: bool = True) -> Following:
    """Compare the connections that follow a branch with its project directories, the nearest to the root first.

    A connection that does not know its directory yet gets one. One directory gone and another one new is one project that moved.
    `removed` ones are not wanted. All of this is for the `default` branch: others are followed where somebody says so.
    """
    unplaced = [connection.id for connection in known if connection.project_dir is None]
    placed = [connection for connection in known if connection.project_dir is not None]
    gone = [connection.id for connection in placed if connection.project_dir not in found and not connection.by_hand and default]
    taken = {connection.project_dir for connection in placed}.union(removed)
    new = [directory for directory in found if directory not in taken]
    move = list(zip(unplaced, new, strict=False))
    new = new[len(move) :] if default else []
    if len(gone) == len(new) == 1:
        move.append((gone.pop(), new.pop()))
    return Following(tuple(new), tuple(move), tuple(gone))


def concerned(known: Sequence[Connection], branch: str) -> list[Connection]:
    """Return the connections of a repository that extract a push: all that follow its branch, and for each other project one.

    That is the one of the default branch, or the oldest: so no commit is extracted twice for one project and one branch.
    """
    found: list[Connection] = []
    directories = dict.fromkeys(connection.project_dir for connection in known)
    for directory in directories:
        same = [connection for connection in known if connection.project_dir == directory]
        following = [connection for connection in same if connection.followed_branch == branch]
        default = [connection for connection in same if connection.followed_branch == connection.repository.default_branch]
        if following or directory is not None or len(directories) == 1:
            found += following or (default or same)[:1]
    return found


def clash(known: Sequence[Connection], project_dir: str | None, branch: str | None) -> Connection | None:
    """Return the connection that stands where one of this directory and branch would stand, None when there is none.

    Where a directory is yet to be found, it may be that of any other one of the branch.
    """
    same = [connection for connection in known if connection.followed_branch == branch]
    return next((other for other in same if project_dir is None or other.project_dir in (None, project_dir)), None)


def is_branch(name: str) -> bool:
    """Tell whether git takes a name for a branch.

    >>> [is_branch(name) for name in ("feature/ünï", "a..b", "../main", "a b", "-x", "v1.lock")]
    [True, False, False, False, False, False]
    """
    return re.search(NO_BRANCH, name) is None
