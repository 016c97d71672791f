"""The notifier: judges connections when something happened to them, or nothing did for too long, and sends what is to be told.

What a connection is judged by, and what each subscription was told, is read and written in one transaction: a change of state is told
once, however many processes look. Sending may happen twice when a process dies over it; then the message has the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app import log, metrics, notices
from app.errors import FreshetError, RejectedAddressError, UnavailableError, UndeliverableError
from app.jobs import retry_delay
from app.notices import Head, Kind, Notice, Outcome
from app.ports import Bell, Channel
from app.storage import Store
from app.wording import notice as wording
from app.wording.notice import Links, Told

IDLE_S = 15.0
SHORTEST_WAIT_S = 0.2
MAX_ATTEMPTS = 13
"""Tries of one message, over about a day."""
LONGEST_DELAY = timedelta(hours=4)
SEND_S = 90.0
"""Whatever a way of sending does, it has come to an end by then; a lease lasts longer."""

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells subscriptions of connections. Any number may run beside each other, in any number of processes."""

    store: Store
    channels: Mapping[Kind, Channel]
    """What there is to send by."""
    patience: timedelta
    """How long a commit may wait before the lineage is stale."""
    links: Callable[[], Links]

    async def run_judging(self, bell: Bell) -> None:
        """Judge what is due, for ever."""
        while True:
            try:
                if not await self.judge_next():
                    await _wait(bell, await self.store.notices.next_watch_s())
            except UnavailableError as error:
                logger.warning("cannot judge what is to be told", reason=str(error))
                await bell.wait(IDLE_S)

    async def judge_next(self) -> bool:
        """Judge the next connection that is due; False when none is."""
        async with self.store.transaction() as tx:
            connection_id = await tx.notices.claim_watch()
            if connection_id is None:
                return False
            head = await tx.notices.head(connection_id)
            again_at = await self._judge(tx, connection_id, head) if head else None
            await tx.notices.watch_again(connection_id, again_at)
        return True

    async def _judge(self, tx: Store, connection_id: str, head: Head) -> datetime | None:
        """Queue what each subscription is to be told; return when to look again without being asked."""
        again: list[datetime] = []
        found = await tx.notices.wanted(connection_id)
        chosen = notices.once_each(found)
        for passed_over in found:
            if passed_over not in chosen and passed_over.told:  # nobody keeps up what it knows
                await tx.notices.know(connection_id, passed_over.subscription_id, None)
        for wanted in chosen:
            verdict = notices.judge(head, wanted, datetime.now(UTC), self.patience)
            if verdict.told != wanted.told:
                await tx.notices.know(connection_id, wanted.subscription_id, verdict.told)
            if verdict.event:
                await tx.notices.tell(connection_id, wanted, verdict, head.extraction_id)
            if verdict.again_at:
                again.append(verdict.again_at)
        return min(again, default=None)

    async def run_sending(self, bell: Bell) -> None:
        """Send what is due, for ever."""
        while True:
            try:
                due = await self.store.notices.claim()
                if due is None:
                    await _wait(bell, await self.store.notices.next_due_s())
                    continue
                with log.bound(notice_id=due.id, notification_id=due.subscription.id):
                    try:
                        await self.send(due)
                    except asyncio.CancelledError:
                        await asyncio.shield(self._release(due))
                        raise
            except UnavailableError as error:
                logger.warning("cannot read what is to be told", reason=str(error))
                await bell.wait(IDLE_S)

    async def send(self, due: Notice) -> None:
        """Send one message, or note when to try again. No log line holds an address or a secret."""
        told = await self._told(due)
        if told is None:
            await self.store.notices.drop(due.id)
            return
        try:
            async with asyncio.timeout(SEND_S):
                await self._channel(due.subscription.kind).send(wording.message(told), due.subscription.to, due.secret)
        except (UndeliverableError, RejectedAddressError) as error:
            await self._end(due, "refused", _words(error), gone=getattr(error, "gone", False))
        except FreshetError as error:
            await self._later(due, _words(error), error.retry_after_s if isinstance(error, UnavailableError) else None)
        except TimeoutError:
            await self._later(due, f"it took longer than {SEND_S:g} s")
        except Exception:  # a mistake of ours must not stop other messages
            logger.exception("sending a message crashed")
            await self._later(due, "Freshet itself stumbled; the operator finds the cause in the log")
        else:
            await self._end(due, "sent")

    async def _told(self, due: Notice) -> Told | None:
        """Return what a notice tells of, None when that cannot be seen any more."""
        connection = await self.store.connections.get(due.connection_id) if due.connection_id else None
        if due.connection_id and connection is None:
            return None
        extraction = await self.store.extractions.get(due.extraction_id) if due.extraction_id else None
        return Told(due, connection, extraction, self.links())

    def _channel(self, kind: Kind) -> Channel:
        if kind not in self.channels:
            raise UnavailableError("sending a mail", "there is no mail server", "The operator sets FRESHET_SMTP_URL.")
        return self.channels[kind]

    async def _end(self, due: Notice, outcome: Outcome, reason: str = "", *, gone: bool = False) -> None:
        logger.info("message ended", kind=due.subscription.kind, told=due.event, outcome=outcome, reason=reason)
        metrics.NOTICES.labels(due.subscription.kind, outcome).inc()
        await self.store.notices.ended(due, outcome, reason, paused=gone)

    async def _later(self, due: Notice, reason: str, asked_s: float | None = None) -> None:
        if due.attempts + 1 >= MAX_ATTEMPTS:
            await self._end(due, "given_up", reason)
            return
        delay = min(retry_delay(due.attempts, asked_s), LONGEST_DELAY)
        logger.info("message not sent, it is tried again", kind=due.subscription.kind, reason=reason, delay_s=delay.total_seconds())
        metrics.NOTICES.labels(due.subscription.kind, "postponed").inc()
        await self.store.notices.postpone(due, delay, reason)

    async def _release(self, due: Notice) -> None:
        try:
            await self.store.notices.release(due.id)
        except UnavailableError as error:
            logger.warning("message not handed back, its lease will run out", reason=str(error))


async def _wait(bell: Bell, seconds: float | None) -> None:
    await bell.wait(IDLE_S if seconds is None else min(max(seconds, SHORTEST_WAIT_S), IDLE_S))


def _words(error: FreshetError) -> str:
    return f"{error.reason.rstrip('.')}. {error.next_step}".strip()
