"""A pull request was opened, changed or closed. Its event comes only with the optional permission `pull_requests: read`."""

from __future__ import annotations

from app.core.models.github import Repository
from app.core.models.pull_requests import PullRequest
from app.pipeline import connection_rules, events
from app.store import Store

TRIGGER = "pull_request"


async def changed(tx: Store, event: events.PullRequestChanged) -> None:
    """Store what a pull request is now, and queue its head unless it has its answer.

    The head of a fork gets it from here alone. Any other was pushed to this repository, perhaps before the App was installed.
    """
    repository, pull = event.repository, event.pull_request
    if not await tx.installations.update_from_push(repository) or not await tx.pull_requests.record(repository.id, pull):
        return
    if not pull.open:
        await _closed(tx, repository, pull)
    elif pull.of_fork:
        await _queue_fork(tx, repository, pull)
    else:
        await _queue_branch(tx, repository, pull)


async def _closed(tx: Store, repository: Repository, pull: PullRequest) -> None:
    """Cancel what waits for the head, unless another pull request has the same one. What strangers pushed stops at once."""
    if await tx.pull_requests.has_open(repository.id, pull.branch):
        return
    if pull.of_fork:
        await tx.extractions.cancel_of_fork(repository.id, pull.branch)
    else:
        await tx.extractions.cancel_of_branch(repository.id, pull.branch, pull.head_sha)


async def _queue_fork(tx: Store, repository: Repository, pull: PullRequest) -> None:
    """Queue the head for the connections that follow its base branch, or else for those of the default branch.

    A connection that does not know its project yet learns nothing from a stranger.
    """
    connections = await tx.connections.for_repository(repository.id)
    for connection in connection_rules.connections_for_push(connections, pull.base_branch):
        if connection.project_dir is not None and await tx.extractions.needs_extraction(connection.id, pull.head_sha):
            await tx.extractions.enqueue(connection.id, pull.branch, pull.head_sha, TRIGGER)


async def _queue_branch(tx: Store, repository: Repository, pull: PullRequest) -> None:
    """Queue the head of a branch whose push did not reach the App. What is known of the branch may be newer than the event."""
    connections = await tx.connections.for_repository(repository.id)
    for connection in connection_rules.connections_for_push(connections, pull.branch):
        if connection.followed_branch != pull.branch and await tx.extractions.newest_of_branch(connection.id, pull.branch) is None:
            await tx.extractions.enqueue(connection.id, pull.branch, pull.head_sha, TRIGGER)
