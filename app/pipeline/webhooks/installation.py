"""Installations and repositories came, changed or went."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.models.github import Repository
from app.pipeline import events
from app.store import Store

LOOKED_AT_ONCE = 10
"""Of repositories that are added together."""


async def installed(tx: Store, event: events.Installed) -> None:
    """Store an installation with its repositories."""
    await install(tx, event.installation)
    await _add(tx, event.repositories)


async def uninstalled(tx: Store, event: events.Uninstalled) -> None:
    """Hide an installation, and cancel what is queued for it."""
    await tx.extractions.cancel_queued(event.installation_id)
    await tx.installations.uninstall(event.installation_id)


async def install(tx: Store, installation: events.Installation) -> None:
    """Store an installation and schedule a survey. The survey's answer counts, so the order of events does not matter."""
    values = installation.id, installation.account_name, installation.account_type, installation.repository_selection
    await tx.installations.install(*values)


async def repositories_changed(tx: Store, event: events.RepositoriesChanged) -> None:
    """Add and remove repositories."""
    await install(tx, event.installation)
    await _add(tx, event.added)
    if event.removed:
        await tx.extractions.cancel_queued(event.installation.id, event.removed)
        await tx.installations.remove_repositories(event.installation.id, event.removed)


async def repository_changed(tx: Store, event: events.RepositoryChanged) -> None:
    """Schedule a look at a repository. A deletion, and becoming private, take effect immediately."""
    repository = event.repository
    if repository.private:
        await tx.installations.mark_private(repository.id)
    if event.action == "deleted":
        await tx.extractions.cancel_queued(repository.installation_id, [repository.id])
        await tx.installations.remove_repositories(repository.installation_id, [repository.id])
    else:
        await tx.installations.look_soon(repository.id)


async def _add(tx: Store, repositories: Sequence[Repository]) -> None:
    """Add repositories to an installation. If there are many, its survey tells more about them in fewer requests than looks at once."""
    for repository in repositories:
        await tx.installations.add_repository(repository, look=len(repositories) <= LOOKED_AT_ONCE)
