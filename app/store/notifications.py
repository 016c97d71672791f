"""Notifications: the connections to evaluate, the problems that subscriptions have reported, and the messages to send."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from app.core.models.notifications import Decision, HeadState, Notice, Outcome, ProblemKind, Recipient, ReportedProblem
from app.store.pool import Database
from app.store.sql import statements
from app.store.subscriptions import SQL as SUBSCRIPTIONS
from app.store.subscriptions import subscription

SQL = statements("notifications")


class Notifications:
    """Watches, reported problems and messages. An evaluation needs a transaction, which holds its claim."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim_watch(self) -> str | None:
        """Claim the next connection that is due for evaluation until the end of the transaction, and return its id."""
        row = await self._db.row(SQL["claim_watch"])
        return None if row is None else str(row["connection_id"])

    async def head_state(self, connection_id: str) -> HeadState | None:
        """Return the state of a claimed connection's newest commit; None if the connection is hidden or its installation suspended."""
        row = await self._db.row(SQL["head_state"], UUID(connection_id))
        return None if row is None else _head(row)

    async def recipients(self, connection_id: str) -> list[Recipient]:
        """Return the active subscriptions that apply to a connection, its own first."""
        return [_recipient(row) for row in await self._db.rows(SQL["recipients"], UUID(connection_id))]

    async def set_reported(self, connection_id: str, subscription_id: str, reported: ReportedProblem | None) -> None:
        """Record the problem that a subscription has reported about a connection; None: it has none to report."""
        key = UUID(subscription_id), UUID(connection_id)
        if reported is None:
            await self._db.execute(SQL["clear_reported"], *key)
        else:
            await self._db.execute(SQL["set_reported"], *key, reported.event, reported.reason, reported.since)

    async def queue_notice(self, connection_id: str, subscription: Recipient, decision: Decision, extraction_id: str | None) -> None:
        """Queue the message of a decision, in place of unsent ones about this connection."""
        before: ProblemKind | None = None if subscription.reported is None else subscription.reported.event
        reported = subscription.reported if decision.event == "recovery" else decision.reported
        since = None if reported is None else reported.since
        key = UUID(subscription.subscription_id), UUID(connection_id)
        await self._db.execute(SQL["queue_notice"], *key, decision.event, extraction_id and UUID(extraction_id), since, before)

    async def reschedule_watch(self, connection_id: str, at: datetime | None) -> None:
        """Set the time of a connection's next evaluation (None: after the next event)."""
        if at is None:
            await self._db.execute(SQL["end_watch"], UUID(connection_id))
        else:
            await self._db.execute(SQL["reschedule_watch"], UUID(connection_id), at)

    async def claim(self, lease: timedelta) -> Notice | None:
        """Claim the next message that is due."""
        row = await self._db.row(SQL["claim"], lease)
        return None if row is None else _notice(row)

    async def release(self, notice_id: str) -> None:
        """Give up the claim, so that another process can send it."""
        await self._db.execute(SQL["release"], UUID(notice_id))

    async def postpone(self, notice: Notice, delay: timedelta, detail: str) -> None:
        """Retry after `delay`, unless there is a newer message."""
        await self._db.execute(SQL["postpone"], *_keys(notice), notice.event, detail, delay)

    async def finish(self, notice: Notice, outcome: Outcome, detail: str = "", *, paused: bool = False) -> None:
        """Record the outcome of a message and delete it; `paused`: also pause the subscription, because the recipient refuses messages."""
        await self._db.execute(SQL["finish"], *_keys(notice), notice.event, outcome, detail, paused)
        if paused:
            await self._db.execute(SUBSCRIPTIONS["drop_notices"], UUID(notice.subscription.id))

    async def drop(self, notice_id: str) -> None:
        """Delete a message whose subject no longer exists."""
        await self._db.execute(SQL["drop"], UUID(notice_id))

    async def seconds_until_watch(self) -> float | None:
        """Until an evaluation is due; None: no connection is waiting."""
        return await self._seconds("seconds_until_watch")

    async def seconds_until_due(self) -> float | None:
        """Until a message is due; None: none is waiting."""
        return await self._seconds("seconds_until_due")

    async def _seconds(self, name: str) -> float | None:
        seconds = await self._db.value(SQL[name])
        return None if seconds is None else float(seconds)


def _keys(notice: Notice) -> tuple[UUID, UUID]:
    return UUID(notice.id), UUID(notice.subscription.id)


def _head(row: asyncpg.Record) -> HeadState:
    return HeadState(
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


def _recipient(row: asyncpg.Record) -> Recipient:
    reported = ReportedProblem(row["told"], row["told_reason"], row["told_since"]) if row["told"] else None
    return Recipient(str(row["id"]), row["kind"], row["address"], frozenset(row["events"]), row["since"], reported)


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
