"""Somebody requested a check again."""

from __future__ import annotations

from collections.abc import Sequence

from app.core import log
from app.core.models.connections import Connection
from app.core.models.extractions import Extraction
from app.core.models.pull_requests import is_of_fork
from app.pipeline import connection_rules, events
from app.store import Store

logger = log.get(__name__)


async def rerequested(tx: Store, event: events.Rerequested) -> None:
    """Extract a commit again: for the connection of one check run, or for all connections of the repository."""
    if not await tx.installations.update_from_push(event.repository):
        return
    earlier = await tx.extractions.get(event.external_id) if event.external_id else None
    connections = await tx.connections.for_repository(event.repository.id)
    if earlier and not connections and not await tx.connections.removals(event.repository.id):
        connections = [await tx.connections.create(event.repository.id, earlier.project_dir)]  # hidden, because it had no project
    for connection in _again(connections, event, earlier):
        branch = earlier.branch if earlier else await _branch(tx, connection, event)
        if branch is None:
            logger.info("nothing is known of the commit to extract again", repository=event.repository.full_name, sha=event.sha)
            continue
        is_head = event.sha == connection.head_sha and branch == connection.followed_branch
        await tx.extractions.enqueue(connection.id, branch, event.sha, "rerequested", forced=True, newest=is_head)


def unknown_action(event: events.UnknownActionRequested) -> None:
    """A click on a button that is not ours starts nothing."""
    logger.warning("unknown action requested", repository=event.repository.full_name, sha=event.sha, identifier=event.identifier)


def _again(connections: Sequence[Connection], event: events.Rerequested, earlier: Extraction | None) -> Sequence[Connection]:
    if earlier:
        return [one for one in connections if one.id == earlier.connection_id]
    return connections if event.branch is None else connection_rules.connections_for_push(connections, event.branch)


async def _branch(tx: Store, connection: Connection, event: events.Rerequested) -> str | None:
    """The branch of the commit. What was a head of a fork alone remains a stranger's, whatever its branch is called.

    GitHub says no branch if a commit was not pushed to this repository:
    https://docs.github.com/en/webhooks/webhook-events-and-payloads#check_suite
    """
    known = await tx.extractions.branch_with_head(connection.id, event.sha, event.branch or connection.followed_branch or "")
    return known if known is not None and is_of_fork(known) else event.branch or known
