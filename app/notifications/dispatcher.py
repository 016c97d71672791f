"""Evaluates connections when something happened, or nothing did for too long, and sends the messages.

The state of a connection, and what was reported about it, are read and written in one transaction, so a change is reported once, however
many processes run. A message may be sent twice if a process dies while sending it; both have the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.core import log, metrics
from app.core.errors import FreshetError, RejectedAddressError, UnavailableError, UndeliverableError
from app.core.models.notifications import HeadState, Kind, Notice, Outcome
from app.core.retry import retry_delay
from app.core.wakeup import Wakeup
from app.notifications import messages, rules
from app.notifications.messages import MessageLinks, NoticeContext
from app.notifications.ports import Channel
from app.pipeline import leases, loop
from app.store import Store

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Sends notifications about connections. Any number of tasks and processes can run it at the same time."""

    store: Store
    channels: Mapping[Kind, Channel]
    stale_after: timedelta
    """How long a commit may wait before the lineage is stale."""
    links: Callable[[], MessageLinks]

    async def run_evaluation(self, wakeup: Wakeup) -> None:
        """Evaluate connections that are due, until cancelled."""
        next_due_s = self.store.notifications.seconds_until_watch
        await loop.forever(
            "evaluation", self.evaluate_next, wakeup, next_due_s=next_due_s, shortest_wait_s=leases.SHORTEST_NOTIFICATION_WAIT_S
        )

    async def evaluate_next(self) -> bool:
        """Evaluate the next connection that is due; False if there is none."""
        async with self.store.transaction() as tx:
            connection_id = await tx.notifications.claim_watch()
            if connection_id is None:
                return False
            head = await tx.notifications.head_state(connection_id)
            again_at = await self._evaluate(tx, connection_id, head) if head else None
            await tx.notifications.reschedule_watch(connection_id, again_at)
        return True

    async def _evaluate(self, tx: Store, connection_id: str, head: HeadState) -> datetime | None:
        """Queue the messages of each subscription. Returns when to evaluate again even if nothing happens."""
        again: list[datetime] = []
        recipients = await tx.notifications.recipients(connection_id)
        chosen = rules.one_per_address(recipients)
        for recipient in recipients:
            if recipient not in chosen and recipient.reported:  # nothing would update it from now on
                await tx.notifications.set_reported(connection_id, recipient.subscription_id, None)
        for recipient in chosen:
            decision = rules.decide(head, recipient, datetime.now(UTC), self.stale_after)
            if decision.reported != recipient.reported:
                await tx.notifications.set_reported(connection_id, recipient.subscription_id, decision.reported)
            if decision.event:
                await tx.notifications.queue_notice(connection_id, recipient, decision, head.extraction_id)
            if decision.again_at:
                again.append(decision.again_at)
        return min(again, default=None)

    async def run_sending(self, wakeup: Wakeup) -> None:
        """Send messages that are due, until cancelled."""
        store = self.store.notifications
        step = loop.leased(
            lambda: store.claim(leases.MESSAGE_LEASE),
            self.send,
            lambda due: store.release(due.id),
            lambda due: {"notice_id": due.id, "notification_id": due.subscription.id},
        )
        shortest_wait_s = leases.SHORTEST_NOTIFICATION_WAIT_S
        await loop.forever("sending", step, wakeup, next_due_s=store.seconds_until_due, shortest_wait_s=shortest_wait_s)

    async def send(self, due: Notice) -> None:
        """Send one message, or schedule the next attempt. Log lines contain no address and no secret."""
        context = await self._context(due)
        if context is None:
            await self.store.notifications.drop(due.id)
            return
        try:
            async with asyncio.timeout(leases.SEND_S):
                await self._channel(due.subscription.kind).send(messages.message(context), due.subscription.to, due.secret)
        except (UndeliverableError, RejectedAddressError) as error:
            await self._end(due, "refused", _detail(error), gone=getattr(error, "gone", False))
        except FreshetError as error:
            await self._retry(due, _detail(error), error.retry_after_s if isinstance(error, UnavailableError) else None)
        except TimeoutError:
            await self._retry(due, f"it took longer than {leases.SEND_S:g} s")
        except Exception:  # a bug of ours must not stop other messages
            logger.exception("sending a message crashed")
            await self._retry(due, "Freshet had an internal error; the operator finds the cause in the log")
        else:
            await self._end(due, "sent")

    async def _context(self, due: Notice) -> NoticeContext | None:
        """The connection and extraction of a notice; None if its connection is hidden or deleted."""
        connection = await self.store.connections.get(due.connection_id) if due.connection_id else None
        if due.connection_id and connection is None:
            return None
        extraction = await self.store.extractions.get(due.extraction_id) if due.extraction_id else None
        return NoticeContext(due, connection, extraction, self.links())

    def _channel(self, kind: Kind) -> Channel:
        if kind not in self.channels:
            raise UnavailableError("sending an email", "no mail server is configured", "The operator has to set FRESHET_SMTP_URL.")
        return self.channels[kind]

    async def _end(self, due: Notice, outcome: Outcome, reason: str = "", *, gone: bool = False) -> None:
        logger.info("message ended", kind=due.subscription.kind, told=due.event, outcome=outcome, reason=reason)
        metrics.NOTICES.labels(due.subscription.kind, outcome).inc()
        await self.store.notifications.finish(due, outcome, reason, paused=gone)

    async def _retry(self, due: Notice, reason: str, asked_s: float | None = None) -> None:
        if due.attempts + 1 >= leases.MESSAGE_ATTEMPTS:
            await self._end(due, "given_up", reason)
            return
        delay = min(retry_delay(due.attempts, asked_s), leases.LONGEST_DELAY)
        logger.info("message not sent, it will be retried", kind=due.subscription.kind, reason=reason, delay_s=delay.total_seconds())
        metrics.NOTICES.labels(due.subscription.kind, "postponed").inc()
        await self.store.notifications.postpone(due, delay, reason)


def _detail(error: FreshetError) -> str:
    return f"{error.reason.rstrip('.')}. {error.next_step}".strip()
