"""Somebody requested a check again."""

from __future__ import annotations

from app.core import log
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
    again = (
        [one for one in connections if one.id == earlier.connection_id]
        if earlier
        else connection_rules.connections_for_push(connections, event.branch or "")
    )
    for connection in again:
        branch = earlier.branch if earlier else event.branch or connection.followed_branch
        if branch:
            is_head = event.sha == connection.head_sha and branch == connection.followed_branch
            await tx.extractions.enqueue(connection.id, branch, event.sha, "rerequested", forced=True, newest=is_head)


def unknown_action(event: events.UnknownActionRequested) -> None:
    """A click on a button that is not ours starts nothing."""
    logger.warning("unknown action requested", repository=event.repository.full_name, sha=event.sha, identifier=event.identifier)
