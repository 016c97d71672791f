"""What people ask of connections: that there is one, that it is of another branch or directory, that it is gone.

GitHub is asked before the database is written to, and what follows is one transaction. All of it is done while the repository is
locked, as by those who hear of pushes, so that the two never make two of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app import following, log
from app.errors import FreshetError, GoneError, RejectedError
from app.jobs import Connection, Repository
from app.ports import GitHub
from app.storage import Store

MAX_CONNECTIONS = 500
"""Of one repository: each of its pushes reads them all."""
TRIGGER = "api"

logger = log.get(__name__)


class NoBranchError(FreshetError):
    """GitHub has no branch of the name that was given."""

    title = "There is no such branch"
    status: ClassVar[int] = 400


class ConnectedError(FreshetError):
    """The project, or what may become it, is followed on that branch already. `connection_id` says by which connection."""

    title = "There is such a connection already"
    status: ClassVar[int] = 409

    def __init__(self, doing: str, other: Connection) -> None:
        where = "does not know its directory yet" if other.project_dir is None else f"is of `{other.project_dir or '.'}`"
        reason = f"connection {other.id} follows the branch `{other.followed_branch}` and {where}"
        super().__init__(doing, reason, "Use that one, or name another `project_dir` or `branch`.")
        self.connection_id = other.id


class TooManyConnectionsError(FreshetError):
    """A repository has as many connections as it can have."""

    title = "There are too many connections"
    status: ClassVar[int] = 409


@dataclass(frozen=True, slots=True)
class Wish:
    """What a connection is to be of."""

    project_dir: str | None
    """None: the project that its extraction finds."""
    branch: str | None
    """None: the default branch, whichever that is."""


async def connect(store: Store, github: GitHub, repository: Repository, wish: Wish) -> Connection:
    """Follow a project of a repository on a branch, and queue the branch's head. One that was removed comes back with its history.

    Raises GoneError, NoBranchError, ConnectedError, TooManyConnectionsError, or what GitHub raises.
    """
    doing = f"connecting {repository.full_name}"
    repository = await github.describe(repository)
    branch = wish.branch or repository.default_branch
    head = await _head(github, repository, wish)
    async with store.transaction() as tx:
        if not await tx.installations.see(repository):
            raise GoneError(doing, "it was taken out of the App meanwhile")
        others = await tx.connections.of_repository(repository.id)
        project_dir = await _meant(tx, repository, wish, branch)
        _refuse_second(doing, others, project_dir, branch)
        if len(others) >= MAX_CONNECTIONS:
            raise TooManyConnectionsError(doing, f"it has {len(others)} connections", "Delete those that nobody needs.")
        made = await tx.connections.create(repository.id, project_dir, wish.branch, by_hand=True)
        await tx.connections.take_up(made.id)
        await _queue(tx, made.id, branch, head)
    logger.info("connection made", connection_id=made.id, repository=repository.full_name)
    return await _shown(store, made.id, doing)


async def change(store: Store, github: GitHub, connection: Connection, wish: Wish) -> Connection:
    """Let a connection be of another branch or directory, and queue the branch's head. What it was of gets no other one by itself.

    The lineage stays until the one of the new branch is there; that of another directory goes at once. Raises as `connect` does.
    """
    if wish == Wish(connection.project_dir, connection.branch):
        return connection
    doing = f"changing connection {connection.id}"
    repository = await github.describe(connection.repository)
    branch = wish.branch or repository.default_branch
    head = await _head(github, repository, wish)
    async with store.transaction() as tx:
        if not await tx.installations.see(repository):
            raise GoneError(doing, "its repository was taken out of the App meanwhile")
        known = await tx.connections.of_repository(repository.id)
        if connection.id not in {one.id for one in known}:
            raise GoneError(doing, "it was deleted meanwhile")
        _refuse_second(doing, [one for one in known if one.id != connection.id], wish.project_dir, branch)
        await tx.connections.pass_over(connection.id)
        moved = wish.project_dir != connection.project_dir
        await tx.connections.change(connection.id, wish.project_dir, wish.branch, by_hand=connection.by_hand or moved)
        await tx.connections.take_up(connection.id)
        if moved:
            await tx.extractions.stop_connection(connection.id)
        if moved or branch != connection.followed_branch:
            await _queue(tx, connection.id, branch, head)
    logger.info("connection changed", connection_id=connection.id, repository=repository.full_name)
    return await _shown(store, connection.id, doing)


async def disconnect(store: Store, connection: Connection) -> None:
    """Hide a connection and stop what it does. It does not come back by itself; deleted for good it is as all that was hidden."""
    async with store.transaction() as tx:
        await tx.connections.of_repository(connection.repository.id)
        await tx.connections.pass_over(connection.id)
        # The connection before its extractions, as whoever stores a lineage takes them: so neither waits for the other.
        await tx.connections.remove(connection.id)
        await tx.extractions.stop_connection(connection.id)
    logger.info("connection removed", connection_id=connection.id, repository=connection.repository.full_name)


async def _head(github: GitHub, repository: Repository, wish: Wish) -> str | None:
    """Return the head of the branch that is wished for; None while the repository is empty."""
    branch = wish.branch or repository.default_branch
    doing, reason = "looking for the newest commit", f"{repository.full_name} has no branch `{wish.branch}`"
    try:
        head = await github.branch_head(repository, branch) if branch else None
    except RejectedError as error:
        if wish.branch is None:
            raise
        raise NoBranchError(doing, reason) from error
    if head is None and wish.branch:
        raise NoBranchError(doing, reason)
    return head


async def _meant(tx: Store, repository: Repository, wish: Wish, branch: str | None) -> str | None:
    """Return the directory that is meant: without one it is what was removed from that branch, if that is one only."""
    if wish.project_dir is not None:
        return wish.project_dir
    names = {"" if branch == repository.default_branch else branch}
    removed = [directory for of_branch, directory in await tx.connections.removed(repository.id) if of_branch in names]
    return removed[0] if len(removed) == 1 else None


def _refuse_second(doing: str, others: Sequence[Connection], project_dir: str | None, branch: str | None) -> None:
    if other := following.clash(others, project_dir, branch):
        raise ConnectedError(doing, other)


async def _queue(tx: Store, connection_id: str, branch: str | None, head: str | None) -> None:
    """Queue the head of the branch that a connection follows now."""
    if branch and head:
        await tx.connections.move_head(connection_id, head)
        await tx.extractions.enqueue(connection_id, branch, head, TRIGGER)


async def _shown(store: Store, connection_id: str, doing: str) -> Connection:
    shown = await store.connections.get(connection_id)
    if shown is None:
        raise GoneError(doing, "it was deleted meanwhile")
    return shown
