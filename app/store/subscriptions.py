"""Subscriptions: the rules that notify somebody about a connection, or about all connections of an installation."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import asyncpg

from app.core.models.notifications import Event, Kind, LastMessage, Subscription
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("subscriptions")


class Subscriptions:
    """Subscriptions by our id. The scope of each is one connection (our id, a string) or one installation (GitHub's id, a number)."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, of: str | int, kind: Kind, to: str, events: Collection[Event], secret: str | None) -> str | None:
        """Create a subscription and return its id; None if the address has one in this scope already, or the installation is gone."""
        connection_id, installation_id = _scope(of)
        async with self._db.transaction() as tx:
            created = await tx.value(SQL["create"], connection_id, installation_id, kind, to, sorted(events), secret)
            if created is not None:
                await tx.execute(SQL["watch"], connection_id, installation_id, None)
        return None if created is None else str(created)

    async def has_installation(self, installation_id: int) -> bool:
        """Whether the App has this installation."""
        return await self._db.value(SQL["installation_exists"], installation_id) is not None

    async def get(self, subscription_id: str) -> Subscription | None:
        """Return a subscription, even if its connection is hidden at the moment."""
        row = await self._db.row(SQL["by_id"], UUID(subscription_id))
        return None if row is None else subscription(row)

    async def for_scope(self, of: str | int) -> list[Subscription]:
        """Return the subscriptions with this scope, the oldest first."""
        return [subscription(row) for row in await self._db.rows(SQL["for_scope"], *_scope(of))]

    async def update(self, changed: Subscription, *, events: Collection[Event] | None, paused: bool | None, secret: str | None) -> None:
        """Change a subscription; None leaves a setting unchanged. Problems that began while it was paused are not reported."""
        key = UUID(changed.id)
        async with self._db.transaction() as tx:
            # Lock in the same order as evaluations do: watches, subscriptions, notices.
            await tx.execute(SQL["watch"], changed.connection_id and UUID(changed.connection_id), changed.installation_id, key)
            await tx.execute(SQL["update"], key, None if events is None else sorted(events), paused, secret)
            await tx.execute(SQL["drop_notices"], key)

    async def delete(self, subscription_id: str) -> None:
        """Delete a subscription with its unsent messages."""
        await self._db.execute(SQL["delete"], UUID(subscription_id))

    async def test(self, subscription_id: str) -> str | None:
        """Queue a test message and return its id; None if there was one within the last minute."""
        async with self._db.transaction() as tx:
            row = await tx.row(SQL["test"], UUID(subscription_id))
            if row is None:
                return None
            return str(await tx.value(SQL["send_test"], UUID(subscription_id), row["connection_id"]))


def subscription(row: asyncpg.Record) -> Subscription:
    """Convert the columns of a subscription."""
    last = LastMessage(row["last_event"], row["last_outcome"], row["last_at"], row["last_detail"]) if row["last_at"] else None
    return Subscription(
        id=str(row["id"]),
        kind=row["kind"],
        to=row["address"],
        events=frozenset(row["events"]),
        created_at=row["created_at"],
        connection_id=str(row["connection_id"]) if row["connection_id"] else None,
        installation_id=row["installation_id"],
        paused=row["paused"],
        last=last,
    )


def _scope(of: str | int) -> tuple[UUID | None, int | None]:
    return (None, of) if isinstance(of, int) else (UUID(of), None)
