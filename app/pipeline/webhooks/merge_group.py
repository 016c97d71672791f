"""A merge queue wants its checks on a group of pull requests. Its branch is also pushed, which is all that Freshet needs.

https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/configuring-pull-request-merges/managing-a-merge-queue
"""

from __future__ import annotations

from app.pipeline import connection_rules, events
from app.store import Store


async def changed(tx: Store, event: events.MergeGroupChanged) -> None:
    """Queue the commit of a group, unless its push was first; cancel what is queued for a group that ended."""
    repository = event.repository
    if not await tx.installations.update_from_push(repository):
        return
    if not event.requested:
        await tx.extractions.cancel_of_branch(repository.id, event.branch, event.sha)
        return
    connections = await tx.connections.for_repository(repository.id)
    for connection in connection_rules.connections_for_push(connections, event.branch):
        if not await tx.extractions.knows(connection.id, event.sha):
            await tx.extractions.enqueue(connection.id, event.branch, event.sha, "merge_group", created_branch=True)
