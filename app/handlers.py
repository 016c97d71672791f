"""From GitHub's events to queued extractions: reading `receive` is reading what the App reacts to."""

from __future__ import annotations

from typing import assert_never

from app import events, log
from app.errors import GoneError
from app.jobs import Connection, Extraction
from app.ports import GitHub, Store

logger = log.get(__name__)


async def receive(store: Store, delivery_id: str, name: str, payload: bytes) -> None:
    """Take one signed delivery: all that follows from it is durable when this returns, once per delivery id.

    Raises UnreadableEventError or DatabaseUnavailableError.
    """
    event = events.parse(name, payload)
    if event is None:
        return
    async with store.transaction() as tx:
        if not await tx.deliveries.record(delivery_id, name):
            logger.info("delivery is known already", event_name=name)
            return
        match event:
            case events.Push():
                await _pushed(tx, event)
            case events.Installed():
                await _installed(tx, event)
            case events.Uninstalled():
                await tx.extractions.cancel_queued(event.installation_id)
                await tx.installations.uninstall(event.installation_id)
            case events.RepositoriesChanged():
                await _repositories_changed(tx, event)
            case events.Ping():
                pass
            case _:
                assert_never(event)
    logger.info("delivery taken", event_name=name)


async def extract_now(store: Store, github: GitHub, connection: Connection, sha: str | None, trigger: str) -> Extraction:
    """Queue an extraction of `sha`, or of the followed branch's head as GitHub has it now.

    While one for the same commit is queued or running, that one is returned. Raises GoneError when there is no such branch.
    """
    repository = connection.repository
    branch = connection.followed_branch or (await github.head(repository)).repository.default_branch
    head = None if sha or not branch else await github.branch_head(repository, branch)
    if not branch or not (sha or head):
        reason = "it has no commit yet" if not branch else f"it has no branch `{branch}`"
        raise GoneError(f"looking for the newest commit of {repository.full_name}", reason)
    async with store.transaction() as tx:
        await tx.connections.of_repository(repository.id)
        if head:
            await tx.connections.move_head(connection.id, head)
        extraction_id = await tx.extractions.enqueue(connection.id, branch, sha or head or "", trigger)
        queued = await tx.extractions.get(extraction_id)
    if queued is None:
        raise GoneError(f"queueing an extraction of {repository.full_name}", "the repository was removed meanwhile")
    return queued


async def _pushed(tx: Store, push: events.Push) -> None:
    """Queue the pushed commit for each connection of the repository; only the followed branch moves a connection's head."""
    if push.deleted or not await tx.installations.see(push.repository):
        return
    connections = await tx.connections.of_repository(push.repository.id)
    if not connections:
        connections = [await tx.connections.create(push.repository.id, None)]
    for connection in connections:
        if connection.followed_branch == push.branch:
            await tx.connections.move_head(connection.id, push.after)
        await tx.extractions.enqueue(connection.id, push.branch, push.after, "push")


async def _installed(tx: Store, event: events.Installed) -> None:
    account = event.installation.account
    await tx.installations.install(event.installation.id, account.login, account.type)
    for repository in event.repositories:
        await tx.installations.add_repository(repository)


async def _repositories_changed(tx: Store, event: events.RepositoriesChanged) -> None:
    account = event.installation.account
    await tx.installations.install(event.installation.id, account.login, account.type)
    for repository in event.added:
        await tx.installations.add_repository(repository)
    if event.removed:
        await tx.extractions.cancel_queued(event.installation.id, event.removed)
        await tx.installations.remove_repositories(event.installation.id, event.removed)
