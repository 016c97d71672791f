"""A pull request was opened, changed or closed. Its event comes only with the optional permission `pull_requests: read`."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.models.connections import Connection
from app.core.models.github import Repository
from app.core.models.pull_requests import PullRequest
from app.pipeline import connection_rules, events
from app.store import Store

TRIGGER = "pull_request"


async def changed(tx: Store, event: events.PullRequestChanged) -> None:
    """Store what a pull request is now, and queue its head unless it has its answer, or compare it anew.

    The head of a fork gets its answer from here alone. Any other was pushed to this repository, perhaps before the App was installed.
    """
    repository, pull = event.repository, event.pull_request
    if not await tx.installations.update_from_push(repository):
        return
    connections = await tx.connections.for_repository(repository.id)
    before = await _base_branches(tx, connections, repository, pull)
    if not await tx.pull_requests.record(repository.id, pull):
        return
    if not pull.open:
        await _closed(tx, repository, pull)
    elif pull.of_fork:
        await _queue_fork(tx, connections, pull)
    else:
        await _queue_branch(tx, connections, pull)
    if await _base_branches(tx, connections, repository, pull) != before:
        await tx.bases.find_again(repository.id, pull.branch, pull.head_sha)


async def _base_branches(
    tx: Store, connections: Sequence[Connection], repository: Repository, pull: PullRequest
) -> dict[str | None, str | None]:
    """The branch with which the head of a pull request is compared, by the followed branch."""
    found = {}
    for followed in {connection.followed_branch for connection in connections}:
        base = await tx.pull_requests.base_branch_of(repository.id, pull.branch, pull.head_sha, followed)
        found[followed] = base.branch if base else followed
    return found


async def _closed(tx: Store, repository: Repository, pull: PullRequest) -> None:
    """Cancel what waits for the head, unless another pull request has the same one. What strangers pushed stops at once."""
    if await tx.pull_requests.has_open(repository.id, pull.branch):
        return
    if pull.of_fork:
        await tx.extractions.cancel_of_fork(repository.id, pull.branch)
    else:
        await tx.extractions.cancel_of_branch(repository.id, pull.branch, pull.head_sha)


async def _queue_fork(tx: Store, connections: Sequence[Connection], pull: PullRequest) -> None:
    """Queue the head for the connections that follow its base branch, or else for those of the default branch.

    A connection that does not know its project yet learns nothing from a stranger.
    """
    for connection in connection_rules.connections_for_push(connections, pull.base_branch):
        if connection.project_dir is not None and await tx.extractions.needs_extraction(connection.id, pull.head_sha):
            await tx.extractions.enqueue(connection.id, pull.branch, pull.head_sha, TRIGGER)


async def _queue_branch(tx: Store, connections: Sequence[Connection], pull: PullRequest) -> None:
    """Queue the head of a branch whose push did not reach the App. What is known of the branch may be newer than the event."""
    for connection in connection_rules.connections_for_push(connections, pull.branch):
        if connection.followed_branch != pull.branch and await tx.extractions.newest_of_branch(connection.id, pull.branch) is None:
            await tx.extractions.enqueue(connection.id, pull.branch, pull.head_sha, TRIGGER)
