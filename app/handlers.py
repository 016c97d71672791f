"""From GitHub's events to queued extractions: reading `_act` is reading what the App reacts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from app import events, following, jobs, log
from app.errors import GoneError
from app.jobs import Connection, Extraction, Repository
from app.ports import GitHub
from app.storage import Store

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
        await _act(tx, event)
    logger.info("delivery taken", event_name=name)


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


async def extract_now(store: Store, github: GitHub, connection: Connection, sha: str | None, trigger: str) -> Extraction:
    """Queue an extraction of `sha`, or of the followed branch's head as GitHub has it now.

    While one for the same commit is queued or running, that one is returned. Raises GoneError when there is no such branch.
    """
    repository = connection.repository
    branch = connection.followed_branch or (await github.describe(repository)).default_branch
    head = None if sha or not branch else await github.branch_head(repository, branch)
    if not branch or not (sha or head):
        reason = "it has no commit yet" if not branch else f"it has no branch `{branch}`"
        raise GoneError(f"looking for the newest commit of {repository.full_name}", reason)
    async with store.transaction() as tx:
        await tx.connections.of_repository(repository.id)
        if head:
            await tx.connections.move_head(connection.id, head)
        is_head = head is not None or sha == connection.head_sha
        extraction_id = await tx.extractions.enqueue(connection.id, branch, sha or head or "", trigger, forced=True, newest=is_head)
        queued = await tx.extractions.get(extraction_id)
    if queued is None:
        raise GoneError(f"queueing an extraction of {repository.full_name}", "the repository was removed meanwhile")
    return queued


async def extract_again(store: Store, extraction: Extraction, trigger: str) -> Extraction:
    """Queue another extraction of the same commit of the same branch, or return the one that is queued or runs.

    Raises GoneError when the project is no longer followed.
    """
    async with store.transaction() as tx:
        known = await tx.connections.of_repository(extraction.repository.id)
        connection = next((one for one in known if one.id == extraction.connection_id), None)
        if connection is None:
            raise GoneError(
                f"extracting {extraction.repository.full_name} at {extraction.sha[:7]} again", "its dbt project is no longer followed"
            )
        is_head = extraction.sha == connection.head_sha and extraction.branch == connection.followed_branch
        queued = await tx.extractions.enqueue(connection.id, extraction.branch, extraction.sha, trigger, forced=True, newest=is_head)
        found = await tx.extractions.get(queued)
    if found is None:
        raise GoneError(f"extracting {extraction.repository.full_name} again", "the repository was removed meanwhile")
    return found


async def _pushed(tx: Store, push: events.Push) -> None:
    """Queue the pushed commit for the connections that it concerns; only the followed branch moves a connection's head.

    A push that does not begin where we are came late, or another one did not come: then GitHub is asked which commit is the head.
    A repository without a connection gets one that does not know yet where its project is: the extraction finds out. Not so one
    whose connections somebody removed.
    """
    if push.deleted or not await tx.installations.see(push.repository):
        return
    connections = await tx.connections.of_repository(push.repository.id)
    if not connections and not await tx.connections.removed(push.repository.id):
        connections = [await tx.connections.create(push.repository.id, None)]
    for connection in following.concerned(connections, push.branch):
        known = await tx.extractions.newest(connection.id, push.branch)
        followed = connection.followed_branch == push.branch
        head = connection.head_sha if followed else (known.sha if known else None)
        if push.after == head and not jobs.is_behind(known, push.after):
            continue
        newest = jobs.is_newest(head, push.before, push.after)
        if followed and newest:
            await tx.connections.move_head(connection.id, push.after)
        elif followed:
            await tx.installations.look_soon(push.repository.id)
        await tx.extractions.enqueue(connection.id, push.branch, push.after, "push", newest=newest)


async def follow(tx: Store, repository: Repository, branch: str, sha: str, projects: Sequence[str]) -> None:
    """Make a repository's connections those of the dbt projects that the head of its default branch holds.

    On another branch that is followed, those that do not know their project yet find it.
    """
    known = [connection for connection in await tx.connections.of_repository(repository.id) if connection.followed_branch == branch]
    if not known or any(connection.head_sha != sha for connection in known):
        return  # another branch, or a newer head is known: its own extraction will see what it holds
    default = known[0].repository.default_branch == branch
    removed = [where for of, where in await tx.connections.removed(repository.id) if of == ("" if default else branch)]
    wanted = following.follow(known, projects, removed, default=default)
    for connection_id, project_dir in wanted.move:
        await tx.connections.move(connection_id, project_dir)
    for connection_id in wanted.hide:
        await tx.extractions.cancel_connection(connection_id)
        await tx.connections.hide(connection_id)
    for project_dir in wanted.create:
        connection = await tx.connections.create(repository.id, project_dir)
        await tx.connections.move_head(connection.id, sha)
        await tx.extractions.enqueue(connection.id, branch, sha, "discovery")
    if wanted != following.Following():
        logger.info("dbt projects changed", created=wanted.create, moved=wanted.move, hidden=wanted.hide)


async def _installed(tx: Store, event: events.Installed) -> None:
    await _install(tx, event.installation)
    for repository in event.repositories:
        await tx.installations.add_repository(repository)


async def _install(tx: Store, installation: events.Installation) -> None:
    """Remember an installation and have it surveyed: what GitHub says then is what counts, so the order of events does not matter."""
    account = installation.account
    await tx.installations.install(installation.id, account.login, account.type, installation.repository_selection)


async def _repository_changed(tx: Store, event: events.RepositoryChanged) -> None:
    """Have a repository looked at; one that was deleted is hidden at once, and one that is private is private at once."""
    repository = event.repository
    if repository.private:
        await tx.installations.privatize(repository.id)
    if event.action == "deleted":
        await tx.extractions.cancel_queued(repository.installation_id, [repository.id])
        await tx.installations.remove_repositories(repository.installation_id, [repository.id])
    else:
        await tx.installations.look_soon(repository.id)


async def _rerequested(tx: Store, event: events.Rerequested) -> None:
    """Extract a commit again: the project of one check run, or every project of the repository."""
    if not await tx.installations.see(event.repository):
        return
    asked = await tx.extractions.get(event.external_id) if event.external_id else None
    connections = await tx.connections.of_repository(event.repository.id)
    again = [one for one in connections if one.id == asked.connection_id] if asked else following.concerned(connections, event.branch or "")
    for connection in again:
        branch = event.branch or (asked.branch if asked else connection.followed_branch)
        if branch:
            is_head = event.sha == connection.head_sha and branch == connection.followed_branch
            await tx.extractions.enqueue(connection.id, branch, event.sha, "rerequested", forced=True, newest=is_head)


async def _repositories_changed(tx: Store, event: events.RepositoriesChanged) -> None:
    await _install(tx, event.installation)
    for repository in event.added:
        await tx.installations.add_repository(repository)
    if event.removed:
        await tx.extractions.cancel_queued(event.installation.id, event.removed)
        await tx.installations.remove_repositories(event.installation.id, event.removed)
