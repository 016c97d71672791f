"""Deliveries that wait at the same time are stored together: one transaction, so the disk is waited for once.

Nobody waits for company. A delivery that comes while nothing is being stored is stored at once; those that come meanwhile are the next
transaction. What fails together is tried one by one, so that nobody suffers from another's delivery.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from contextvars import Context

from app.core import log
from app.core.errors import DatabaseBusyError, DatabaseUnavailableError
from app.pipeline import webhooks
from app.pipeline.webhooks import SignedEvent
from app.store import Store

TOGETHER = 100
"""Deliveries in one transaction. An event of a single repository has at most a few kilobytes, whatever its payload had."""
ALONE = 4
"""Transactions at a time for deliveries that are stored one by one."""
CLOSING_S = 5.0

logger = log.get(__name__)


class _Waiting:
    """A delivery whose sender waits for the answer."""

    def __init__(self, event: SignedEvent) -> None:
        self.event = event
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.batch: _Batch | None = None
        self.alone: asyncio.Task[None] | None = None

    @property
    def lane(self) -> int | str:
        """What has to be stored in its order."""
        return self.event.repository.id if self.event.repository else self.event.delivery_id

    def answered(self, error: Exception | None = None) -> None:
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(None)
        else:
            self.answer.set_exception(error)

    def gave_up(self) -> None:
        """Nobody waits any more: what runs for this delivery alone ends."""
        if self.batch is not None:
            self.batch.left()
        if self.alone is not None:
            self.alone.cancel()


class _Batch:
    """Deliveries that are being stored together."""

    def __init__(self, waiting: Sequence[_Waiting]) -> None:
        self.waiting = waiting
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is stored, or when nobody waits for it any more: a database that hangs must not stop those that come later."""
        self._here = len(waiting)
        for one in waiting:
            one.batch = self

    def left(self) -> None:
        self._here -= 1
        if not self._here:
            self.end()

    def end(self) -> None:
        for one in self.waiting:
            one.batch = None
        if not self.over.done():
            self.over.set_result(None)


class DeliveryBatches:
    """Stores deliveries of one process, each exactly once."""

    def __init__(self, store: Store, *, together: int = TOGETHER) -> None:
        self._store, self._together = store, together
        self._waiting: deque[_Waiting] = deque()
        self._alone = asyncio.Semaphore(ALONE)
        self._lanes: dict[int | str, asyncio.Task[None]] = {}
        """The last of the deliveries of a repository that are stored one by one."""
        self._worker: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def store(self, event: SignedEvent) -> None:
        """Store a delivery; its effects are durable when this returns. Raises DatabaseUnavailableError.

        If this is cancelled, the others are stored nevertheless.
        """
        one = _Waiting(event)
        if event.repository is None:
            self._store_alone(one)
        else:
            self._waiting.append(one)
            if self._worker is None:
                self._worker = self._start(self._work())
        try:
            await one.answer
        except asyncio.CancelledError:
            one.gave_up()
            raise

    async def close(self) -> None:
        """Wait for what is being stored, but not for a database that hangs."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))
        for task in self._tasks:
            task.cancel()

    async def _work(self) -> None:
        try:
            while waiting := self._next():
                batch = _Batch(waiting)
                task = self._start(self._store_batch(batch))
                await batch.over
                task.cancel()
        finally:
            self._worker = None

    def _next(self) -> list[_Waiting]:
        """The next deliveries, in their order. Those of a repository of which others are stored one by one line up behind them."""
        found: list[_Waiting] = []
        while self._waiting and len(found) < self._together:
            one = self._waiting.popleft()
            if one.answer.done():
                continue
            if one.lane in self._lanes:
                self._store_alone(one)
            else:
                found.append(one)
        return found

    async def _store_batch(self, batch: _Batch) -> None:
        """Store deliveries together, and answer them. A database that does not answer at all is not asked once for each."""
        try:
            left = await webhooks.process_together(self._store, [one.event for one in batch.waiting])
        except Exception as error:  # noqa: BLE001 - whose fault it is shows when each is stored for itself
            if isinstance(error, DatabaseUnavailableError) and not isinstance(error, DatabaseBusyError):
                for one in batch.waiting:
                    one.answered(error)
            else:
                logger.warning("deliveries are stored one by one", reason=str(error), count=len(batch.waiting))
                self._store_each(batch.waiting)
        else:
            later = {id(event) for event in left}
            self._store_each([one for one in batch.waiting if id(one.event) in later])
            for one in batch.waiting:
                if id(one.event) not in later:
                    one.answered()
        finally:
            batch.end()

    def _store_each(self, waiting: Sequence[_Waiting]) -> None:
        for one in waiting:
            if not one.answer.done():
                self._store_alone(one)

    def _store_alone(self, one: _Waiting) -> None:
        """Store a delivery in its own transaction, after earlier ones of its repository."""
        task = one.alone = self._lanes[one.lane] = self._start(self._process(one, self._lanes.get(one.lane)))

        def ended(_: object) -> None:
            if self._lanes.get(one.lane) is task:
                del self._lanes[one.lane]

        task.add_done_callback(ended)

    async def _process(self, one: _Waiting, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait({earlier})
        try:
            async with self._alone:
                await webhooks.process(self._store, one.event)
        except Exception as error:  # noqa: BLE001 - the sender's handler knows what to do with it
            one.answered(error)
        else:
            one.answered()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A task that belongs to no request, so that its log lines bear no request's delivery id."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
