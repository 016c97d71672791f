"""From GitHub's events to queued extractions: `_act` lists everything that the App reacts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from app.core import log
from app.core.models.connections import Connection
from app.core.models.github import Repository
from app.pipeline import connection_rules, events, queue_rules
from app.store import Store

LOOKED_AT_ONCE = 10
"""Of repositories that are added together."""

logger = log.get(__name__)


async def receive(store: Store, delivery_id: str, name: str, payload: bytes) -> None:
    """Process one delivery with a valid signature, once per delivery id. All effects are durable when this returns.

    Raises UnreadableEventError or DatabaseUnavailableError.
    """
    event = events.parse(name, payload)
    if event is None:
        return
    async with store.transaction() as tx:
        if not await tx.deliveries.record(delivery_id, name):
            logger.info("delivery was already processed", event_name=name)
            return
        await _act(tx, event)
    logger.info("delivery processed", event_name=name)


async def _act(tx: Store, event: events.Event) -> None:
    match event:
        case events.Push():
            await _pushed(tx, event)
        case events.Installed():
            await _installed(tx, event)
        case events.Uninstalled():
            await tx.extractions.cancel_queued(event.installation_id)
            await tx.installations.uninstall(event.installation_id)
        case events.InstallationChanged():
            await _install(tx, event.installation)
        case events.RepositoriesChanged():
            await _repositories_changed(tx, event)
        case events.RepositoryChanged():
            await _repository_changed(tx, event)
        case events.Rerequested():
            await _rerequested(tx, event)
        case events.Ping():
            pass
        case _:
            assert_never(event)


async def _pushed(tx: Store, push: events.Push) -> None:
    """Queue the pushed commit for the connections that extract it. Only the followed branch moves a connection's head.

    If the push does not start at the head that we know, it is late or another one is missing: the reconciler then asks GitHub for the head.
    """
    if push.deleted or not await tx.installations.update_from_push(push.repository):
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


async def _installed(tx: Store, event: events.Installed) -> None:
    await _install(tx, event.installation)
    await _add(tx, event.repositories)


async def _add(tx: Store, repositories: Sequence[Repository]) -> None:
    """Add repositories to an installation. If there are many, its survey tells more about them in fewer requests than looks at once."""
    for repository in repositories:
        await tx.installations.add_repository(repository, look=len(repositories) <= LOOKED_AT_ONCE)


async def _install(tx: Store, installation: events.Installation) -> None:
    """Store an installation and schedule a survey. The survey's answer counts, so the order of events does not matter."""
    values = installation.id, installation.account_name, installation.account_type, installation.repository_selection
    await tx.installations.install(*values)


async def _repository_changed(tx: Store, event: events.RepositoryChanged) -> None:
    """Schedule a look at a repository. A deletion, and becoming private, take effect immediately."""
    repository = event.repository
    if repository.private:
        await tx.installations.mark_private(repository.id)
    if event.action == "deleted":
        await tx.extractions.cancel_queued(repository.installation_id, [repository.id])
        await tx.installations.remove_repositories(repository.installation_id, [repository.id])
    else:
        await tx.installations.look_soon(repository.id)


async def _rerequested(tx: Store, event: events.Rerequested) -> None:
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


async def _repositories_changed(tx: Store, event: events.RepositoriesChanged) -> None:
    await _install(tx, event.installation)
    await _add(tx, event.added)
    if event.removed:
        await tx.extractions.cancel_queued(event.installation.id, event.removed)
        await tx.installations.remove_repositories(event.installation.id, event.removed)
