"""From GitHub's events to queued extractions: `_act` lists everything that the App reacts to.

push            branches
pull_request    pull requests
merge_group     merge queues
check_run       requests to run a check again
installation    installations and repositories
batches         deliveries that wait together, in one transaction
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import assert_never

from msgspec.structs import replace

from app.core import log
from app.core.models.github import Repository
from app.core.models.origins import Origin
from app.pipeline import events
from app.pipeline.webhooks import check_run, installation, merge_group, pull_request, push
from app.store import Store

LOCK_TIMEOUT_S = 0.5
"""How long a transaction for several deliveries waits for a row of others, before each of them waits for itself."""

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """The event of a delivery with a valid signature."""

    delivery_id: str
    name: str
    """The `X-GitHub-Event` header."""
    event: events.Event
    received_s: float = field(default_factory=time.monotonic)
    """By this process's monotonic clock."""
    traceparent: str | None = None

    @property
    def origin(self) -> Origin:
        """What is noted with the extractions that it leads to."""
        return Origin(self.delivery_id, self.received_s, self.traceparent)

    @property
    def repository(self) -> Repository | None:
        """The only repository that it is about; None if it is about others too, or about none."""
        match self.event:
            case events.Push() | events.PullRequestChanged() | events.MergeGroupChanged() | events.Rerequested():
                return self.event.repository
            case _:
                return None


def read(delivery_id: str, name: str, payload: bytes | bytearray) -> SignedEvent | None:
    """Read a delivery with a valid signature; None if it does not concern us. Raises UnreadableEventError."""
    event = events.parse(name, payload)
    return None if event is None else SignedEvent(delivery_id, name, event)


async def receive(store: Store, delivery_id: str, name: str, payload: bytes | bytearray) -> None:
    """Process one delivery with a valid signature, once per delivery id. All effects are durable when this returns.

    Raises UnreadableEventError or DatabaseUnavailableError.
    """
    event = read(delivery_id, name, payload)
    if event is not None:
        await process(store, event)


async def process(store: Store, event: SignedEvent) -> None:
    """Process one event, once per delivery id."""
    async with store.transaction() as tx:
        if event.repository is not None:
            await tx.installations.lock([event.repository.id], wait=True)
        new = await _process(tx, [event])
    _log_known([event], new)


async def process_together(store: Store, received: Sequence[SignedEvent]) -> list[SignedEvent]:
    """Process events of single repositories in one transaction, as if one came after the other; each delivery id once.

    Those whose repository is locked by another transaction are returned instead. If this raises, nothing has happened.
    """
    async with store.transaction(lock_timeout_s=LOCK_TIMEOUT_S) as tx:
        locked = await tx.installations.lock({one.repository.id for one in received if one.repository}, wait=False)
        mine = [one for one in received if one.repository and one.repository.id not in locked]
        new = await _process(tx, mine) if mine else set()
    _log_known(mine, new)
    return [one for one in received if one.repository is None or one.repository.id in locked]


async def _process(tx: Store, received: Sequence[SignedEvent]) -> set[str]:
    """Process those that are not known, and return their delivery ids."""
    first = {one.delivery_id: one for one in reversed(received)}
    new = await tx.deliveries.record_all({one.delivery_id: one.name for one in first.values()})
    acting = [one for one in received if one.delivery_id in new and one is first[one.delivery_id]]
    for pushes, group in groupby(acting, lambda one: isinstance(one.event, events.Push)):
        if pushes:
            await push.pushed(tx, [replace(one.event, origin=one.origin) for one in group if isinstance(one.event, events.Push)])
        else:
            for one in group:
                with log.bound(**{log.DELIVERY: one.delivery_id}):
                    await _act(tx.caused_by(one.origin), one.event)
    return new


def _log_known(received: Sequence[SignedEvent], new: set[str]) -> None:
    for one in received:
        if one.delivery_id not in new:
            logger.info("delivery was already processed", **{log.EVENT: one.name, log.DELIVERY: one.delivery_id})


async def _act(tx: Store, event: events.Event) -> None:  # noqa: C901, PLR0912 - one case per event
    match event:
        case events.Push():
            await push.pushed(tx, [event])
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
