"""A branch was created, moved or deleted."""

from __future__ import annotations

from app.core.models.connections import Connection
from app.pipeline import connection_rules, events, queue_rules
from app.store import Store


async def pushed(tx: Store, push: events.Push) -> None:
    """Queue the pushed commit for the connections that extract it. Only the followed branch moves a connection's head.

    If the push does not start at the head that we know, it is late or another one is missing: the reconciler then asks GitHub for the head.
    """
    if not await tx.installations.update_from_push(push.repository):
        return
    if push.deleted:
        await tx.extractions.cancel_of_branch(push.repository.id, push.branch, push.before)
        await tx.manifests.close_branch(push.repository.id, push.branch, push.before)
        return
    connections = await tx.connections.for_repository(push.repository.id) or await _first_connection(tx, push)
    for connection in connection_rules.connections_for_push(connections, push.branch):
        latest = await tx.extractions.newest_of_branch(connection.id, push.branch)
        followed = connection.followed_branch == push.branch
        head = connection.head_sha if followed else (latest.sha if latest else None)
        if push.after == head and not queue_rules.is_behind(latest, push.after):
            continue
        newest = queue_rules.is_newest(head, push.before, push.after)
        if not newest and await tx.extractions.knows(connection.id, push.after):
            # It came late, and was extracted or superseded meanwhile.
            if followed:
                await tx.installations.look_soon(push.repository.id)
            continue
        if followed and newest:
            await tx.connections.move_head(connection.id, push.after)
        elif followed:
            await tx.installations.look_soon(push.repository.id)
        await tx.extractions.enqueue(
            connection.id, push.branch, push.after, "push", newest=newest, was_head=True, created_branch=push.created
        )


async def _first_connection(tx: Store, push: events.Push) -> list[Connection]:
    """The connection, without a directory, of a push to a repository that has none.

    The first push to a repository that somebody chose for the App gets an answer even if it has no dbt project. After that, and in all
    other repositories, a look at the default branch decides: no check run without a project. Nothing happens if somebody removed the
    repository's connections.
    """
    repository = push.repository
    if await tx.connections.removals(repository.id):
        return []
    if await tx.installations.may_report_missing_project(repository.id):
        return [await tx.connections.create(repository.id, None)]
    if push.branch == repository.default_branch:
        await tx.installations.look_after_push(repository.id)
    return []
