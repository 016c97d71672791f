"""Creates, changes and deletes connections, on request or to match the dbt projects of a commit.

GitHub is asked first; then all writes are one transaction that locks the repository. Webhook deliveries take the same lock, so the two
never create the same connection twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.core import log
from app.core.errors import FreshetError, GoneError, RejectedError
from app.core.models.connections import Connection
from app.core.models.github import Repository
from app.core.plurals import count
from app.pipeline import connection_rules
from app.pipeline.ports import GitHub
from app.reports import results
from app.store import Store

MAX_CONNECTIONS = 500
"""Per repository, because each push reads all of them."""
TRIGGER = "api"

logger = log.get(__name__)


class NoBranchError(FreshetError):
    """GitHub has no branch with the requested name."""

    title = "No such branch"
    status: ClassVar[int] = 400


class ConnectedError(FreshetError):
    """Another connection (`connection_id`) follows the project on this branch, or may turn out to."""

    title = "This connection already exists"
    status: ClassVar[int] = 409

    def __init__(self, doing: str, other: Connection) -> None:
        where = "its first project (not found yet)" if other.project_dir is None else f"the project in `{other.project_dir or '.'}`"
        reason = f"connection {other.id} follows {where} on the branch `{other.followed_branch}`"
        super().__init__(doing, reason, "Use that connection, or set another `project_dir` or `branch`.")
        self.connection_id = other.id


class TooManyConnectionsError(FreshetError):
    """A repository has `MAX_CONNECTIONS`."""

    title = "Too many connections"
    status: ClassVar[int] = 409


@dataclass(frozen=True, slots=True)
class ConnectionRequest:
    """The requested project and branch of a connection."""

    project_dir: str | None
    """None: the project that the first extraction finds."""
    branch: str | None
    """None: always the default branch."""


async def connect(store: Store, github: GitHub, repository: Repository, request: ConnectionRequest) -> Connection:
    """Create a connection, and queue the branch's head. A connection that was removed comes back with its history.

    Raises GoneError, NoBranchError, ConnectedError, TooManyConnectionsError, or what GitHub raises.
    """
    doing = f"connecting {repository.full_name}"
    repository = await github.describe(repository)
    branch = request.branch or repository.default_branch
    head = await _head(github, repository, request)
    async with store.transaction() as tx:
        if not await tx.installations.update_from_push(repository):
            raise GoneError(doing, "the repository was removed from the App in the meantime")
        others = await tx.connections.for_repository(repository.id)
        project_dir = await _requested_dir(tx, repository, request, branch)
        _refuse_duplicate(doing, others, project_dir, branch)
        if len(others) >= MAX_CONNECTIONS:
            raise TooManyConnectionsError(doing, f"it has {count(len(others), 'connection')}", "Delete some of them first.")
        created = await tx.connections.create(repository.id, project_dir, request.branch, manual=True)
        await tx.connections.forget_removal(created.id)
        await _queue(tx, created.id, branch, head)
    logger.info("connection created", connection_id=created.id, repository=repository.full_name)
    return await _load(store, created.id, doing)


async def change(store: Store, github: GitHub, connection: Connection, request: ConnectionRequest) -> Connection:
    """Change the branch or directory of a connection, and queue the branch's head. The old project gets no new connection automatically.

    With a new branch, the lineage stays until the new one is stored; with a new directory, it is removed at once. Raises like `connect`.
    """
    if request == ConnectionRequest(connection.project_dir, connection.branch):
        return connection
    doing = f"changing connection {connection.id}"
    repository = await github.describe(connection.repository)
    branch = request.branch or repository.default_branch
    head = await _head(github, repository, request)
    async with store.transaction() as tx:
        if not await tx.installations.update_from_push(repository):
            raise GoneError(doing, "the repository was removed from the App in the meantime")
        known = await tx.connections.for_repository(repository.id)
        if connection.id not in {one.id for one in known}:
            raise GoneError(doing, "it was deleted in the meantime")
        _refuse_duplicate(doing, [one for one in known if one.id != connection.id], request.project_dir, branch)
        await tx.connections.record_removal(connection.id)
        moved = request.project_dir != connection.project_dir
        await tx.connections.change(connection.id, request.project_dir, request.branch, manual=connection.manual or moved)
        await tx.connections.forget_removal(connection.id)
        if moved:
            await tx.extractions.stop_connection(connection.id)
        if moved or branch != connection.followed_branch:
            await _queue(tx, connection.id, branch, head)
    logger.info("connection changed", connection_id=connection.id, repository=repository.full_name)
    return await _load(store, connection.id, doing)


async def disconnect(store: Store, connection: Connection) -> None:
    """Hide a connection and stop its extractions. It does not come back automatically, and is deleted after the grace period."""
    async with store.transaction() as tx:
        await tx.connections.for_repository(connection.repository.id)
        await tx.connections.record_removal(connection.id)
        # First the connection, then its extractions: storing a lineage locks them in this order, so there is no deadlock.
        await tx.connections.remove(connection.id)
        await tx.extractions.stop_connection(connection.id)
    logger.info("connection removed", connection_id=connection.id, repository=connection.repository.full_name)


async def _head(github: GitHub, repository: Repository, request: ConnectionRequest) -> str | None:
    """The head of the requested branch; None if the repository is empty."""
    branch = request.branch or repository.default_branch
    doing, reason = "looking for the newest commit", f"{repository.full_name} has no branch `{request.branch}`"
    try:
        head = await github.branch_head(repository, branch) if branch else None
    except RejectedError as error:
        if request.branch is None:
            raise
        raise NoBranchError(doing, reason) from error
    if head is None and request.branch:
        raise NoBranchError(doing, reason)
    return head


async def _requested_dir(tx: Store, repository: Repository, request: ConnectionRequest, branch: str | None) -> str | None:
    """The requested directory. Without one, it is that of the only connection that was removed from the branch, if there is one."""
    if request.project_dir is not None:
        return request.project_dir
    names = {"" if branch == repository.default_branch else branch}
    removed = [directory for of_branch, directory in await tx.connections.removals(repository.id) if of_branch in names]
    return removed[0] if len(removed) == 1 else None


def _refuse_duplicate(doing: str, others: Sequence[Connection], project_dir: str | None, branch: str | None) -> None:
    if other := connection_rules.find_conflict(others, project_dir, branch):
        raise ConnectedError(doing, other)


async def _queue(tx: Store, connection_id: str, branch: str | None, head: str | None) -> None:
    """Queue the head of the connection's branch."""
    if branch and head:
        await tx.connections.move_head(connection_id, head)
        await tx.extractions.enqueue(connection_id, branch, head, TRIGGER)


async def _load(store: Store, connection_id: str, doing: str) -> Connection:
    connection = await store.connections.get(connection_id)
    if connection is None:
        raise GoneError(doing, "it was deleted in the meantime")
    return connection


async def sync_with_projects(tx: Store, repository: Repository, branch: str, sha: str, projects: Sequence[str]) -> None:
    """Make the repository's connections match the dbt projects at the head of its default branch.

    On any other followed branch, only connections without a directory get one.
    """
    known = [connection for connection in await tx.connections.for_repository(repository.id) if connection.followed_branch == branch]
    if not known or any(connection.head_sha != sha for connection in known):
        return  # not a followed branch, or not its head any more: the extraction of the head does this
    default = known[0].repository.default_branch == branch
    removed = [where for of, where in await tx.connections.removals(repository.id) if of == ("" if default else branch)]
    changes = connection_rules.plan_changes(known, projects, removed, default=default)
    for connection_id, project_dir in changes.move:
        await tx.connections.move(connection_id, project_dir)
    directories = {connection.id: connection.project_dir for connection in known}
    for connection_id in changes.hide:
        await tx.extractions.fail_queued(connection_id, results.project_is_gone(directories[connection_id]))
        await tx.connections.hide(connection_id)
    for project_dir in changes.create:
        connection = await tx.connections.create(repository.id, project_dir)
        await tx.connections.move_head(connection.id, sha)
        await tx.extractions.enqueue(connection.id, branch, sha, "discovery")
    if changes != connection_rules.ConnectionChanges():
        logger.info("dbt projects changed", created=changes.create, moved=changes.move, hidden=changes.hide)
