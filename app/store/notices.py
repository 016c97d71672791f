"""Notices: which connections are to be judged, what subscriptions know of them, and what is to be sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from app.notices import Head, Notice, Outcome, Told, Trouble, Verdict, Wanted
from app.store.pool import Database
from app.store.sql import statements
from app.store.subscriptions import SQL as SUBSCRIPTIONS
from app.store.subscriptions import subscription

SQL = statements("notices")


class Notices:
    """What is told to whom. Judging takes a transaction: what it claims is its own until that ends."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim_watch(self) -> str | None:
        """Take the next connection that is to be judged and return its id; it is the transaction's."""
        row = await self._db.row(SQL["claim_watch"])
        return None if row is None else str(row["connection_id"])

    async def head(self, connection_id: str) -> Head | None:
        """Return how the newest commit of a connection stands that was claimed; None when the connection cannot be seen at the moment."""
        row = await self._db.row(SQL["head"], UUID(connection_id))
        return None if row is None else _head(row)

    async def wanted(self, connection_id: str) -> list[Wanted]:
        """Return the subscriptions that hold for a connection, its own first."""
        return [_wanted(row) for row in await self._db.rows(SQL["wanted"], UUID(connection_id))]

    async def know(self, connection_id: str, subscription_id: str, told: Told | None) -> None:
        """Note what a subscription knows of a connection."""
        key = UUID(subscription_id), UUID(connection_id)
        if told is None:
            await self._db.execute(SQL["forget"], *key)
        else:
            await self._db.execute(SQL["know"], *key, told.event, told.reason, told.since)

    async def tell(self, connection_id: str, subscription: Wanted, verdict: Verdict, extraction_id: str | None) -> None:
        """Queue the message of a verdict, in place of what waits to be sent of this connection."""
        before: Trouble | None = None if subscription.told is None else subscription.told.event
        since = subscription.told.since if verdict.event == "recovery" and subscription.told else verdict.told and verdict.told.since
        key = UUID(subscription.subscription_id), UUID(connection_id)
        await self._db.execute(SQL["tell"], *key, verdict.event, extraction_id and UUID(extraction_id), since, before)

    async def watch_again(self, connection_id: str, at: datetime | None) -> None:
        """Have a connection judged again at a time, None: when something happens."""
        if at is None:
            await self._db.execute(SQL["watched"], UUID(connection_id))
        else:
            await self._db.execute(SQL["watch_again"], UUID(connection_id), at)

    async def claim(self) -> Notice | None:
        """Take the next message that is due."""
        row = await self._db.row(SQL["claim"])
        return None if row is None else _notice(row)

    async def release(self, notice_id: str) -> None:
        """Let somebody else take it: we stop."""
        await self._db.execute(SQL["release"], UUID(notice_id))

    async def postpone(self, notice: Notice, delay: timedelta, detail: str) -> None:
        """Try again later, unless something newer is to be told by then."""
        await self._db.execute(SQL["postpone"], *_keys(notice), notice.event, detail, delay)

    async def ended(self, notice: Notice, outcome: Outcome, detail: str = "", *, paused: bool = False) -> None:
        """Note how a message fared in the end; `paused`: whoever gets them wants no more."""
        await self._db.execute(SQL["ended"], *_keys(notice), notice.event, outcome, detail, paused)
        if paused:
            await self._db.execute(SUBSCRIPTIONS["drop_notices"], UUID(notice.subscription.id))

    async def drop(self, notice_id: str) -> None:
        """Forget a message: there is nothing left that it could tell of."""
        await self._db.execute(SQL["drop"], UUID(notice_id))

    async def next_watch_s(self) -> float | None:
        """Return the seconds until a connection is to be judged, None when none is."""
        return await self._seconds("next_watch")

    async def next_due_s(self) -> float | None:
        """Return the seconds until a message is due, None when none is."""
        return await self._seconds("next_due")

    async def _seconds(self, name: str) -> float | None:
        seconds = await self._db.value(SQL[name])
        return None if seconds is None else float(seconds)


def _keys(notice: Notice) -> tuple[UUID, UUID]:
    return UUID(notice.id), UUID(notice.subscription.id)


def _head(row: asyncpg.Record) -> Head:
    return Head(
        sha=row["sha"],
        lineage_sha=row["lineage_sha"],
        extracted_at=row["extracted_at"],
        extraction_id=str(row["extraction_id"]) if row["extraction_id"] else None,
        status=row["status"],
        conclusion=row["conclusion"],
        title=row["title"] or "",
        path=row["path"],
        finished_at=row["finished_at"],
        waiting_since=row["waiting_since"],
        behind_since=row["behind_since"],
    )


def _wanted(row: asyncpg.Record) -> Wanted:
    told = Told(row["told"], row["told_reason"], row["told_since"]) if row["told"] else None
    return Wanted(str(row["id"]), row["kind"], row["address"], frozenset(row["events"]), row["since"], told)


def _notice(row: asyncpg.Record) -> Notice:
    return Notice(
        id=str(row["notice_id"]),
        subscription=subscription(row),
        event=row["event"],
        created_at=row["told_at"],
        attempts=row["attempts"],
        secret=row["secret"],
        connection_id=str(row["of_connection"]) if row["of_connection"] else None,
        extraction_id=str(row["extraction_id"]) if row["extraction_id"] else None,
        since=row["since"],
        before=row["before"],
    )
