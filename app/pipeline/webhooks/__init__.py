"""From GitHub's events to queued extractions: `_act` lists everything that the App reacts to.

push            branches
pull_request    pull requests
merge_group     merge queues
check_run       requests to run a check again
installation    installations and repositories
"""

from __future__ import annotations

from typing import assert_never

from app.core import log
from app.pipeline import events
from app.pipeline.webhooks import check_run, installation, merge_group, pull_request, push
from app.store import Store

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


async def _act(tx: Store, event: events.Event) -> None:  # noqa: C901, PLR0912 - one case per event
    match event:
        case events.Push():
            await push.pushed(tx, event)
        case events.PullRequestChanged():
            await pull_request.changed(tx, event)
        case events.MergeGroupChanged():
            await merge_group.changed(tx, event)
        case events.Rerequested():
            await check_run.rerequested(tx, event)
        case events.UnknownActionRequested():
            check_run.unknown_action(event)
        case events.Installed():
            await installation.installed(tx, event)
        case events.Uninstalled():
            await installation.uninstalled(tx, event)
        case events.InstallationChanged():
            await installation.install(tx, event.installation)
        case events.RepositoriesChanged():
            await installation.repositories_changed(tx, event)
        case events.RepositoryChanged():
            await installation.repository_changed(tx, event)
        case events.AuthorizationRevoked():
            await tx.sessions.end_user(event.user_id)
        case events.Ping():
            pass
        case _:
            assert_never(event)
