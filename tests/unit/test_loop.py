"""The work loop: with due work, without work, after an error, and when cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from app.core.errors import DatabaseUnavailableError, UnavailableError
from app.pipeline import leases, loop


class Waits:
    """A wakeup that returns immediately and records the timeouts; the loop ends after `most` waits."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[float] = []

    async def wait(self, timeout_s: float) -> None:
        self.asked.append(timeout_s)
        if len(self.asked) == self.most:
            raise asyncio.CancelledError

    def wake(self) -> None: ...


def queue(*items: str) -> Callable[[], Awaitable[str | None]]:
    left = list(items)

    async def claim() -> str | None:
        return left.pop(0) if left else None

    return claim


async def test_all_due_work_is_done_before_waiting() -> None:
    waits, done = Waits(1), []

    async def work(item: str) -> None:
        done.append((item, len(waits.asked)))

    step = loop.leased(queue("a", "b"), work, None, lambda _: {})
    with pytest.raises(asyncio.CancelledError):
        await loop.forever("test", step, waits)
    assert done == [("a", 0), ("b", 0)]
    assert waits.asked == [leases.IDLE_S]


@pytest.mark.parametrize(("due_s", "waited_s"), [(3.0, 3.0), (-1.0, 0.5), (900.0, leases.IDLE_S), (None, leases.IDLE_S)])
async def test_it_waits_until_work_is_due(due_s: float | None, waited_s: float) -> None:
    waits = Waits(1)

    async def nothing() -> bool:
        return False

    async def next_due_s() -> float | None:
        return due_s

    with pytest.raises(asyncio.CancelledError):
        await loop.forever("test", nothing, waits, next_due_s=next_due_s, shortest_wait_s=0.5)
    assert waits.asked == [waited_s]


async def test_it_continues_after_an_error_and_logs_the_ids() -> None:
    waits, done = Waits(2), []

    async def work(item: str) -> None:
        if item == "bad":
            raise UnavailableError("working", "the database is unavailable")
        done.append(item)

    step = loop.leased(queue("bad", "good"), work, None, lambda item: {"item_id": item})
    with structlog.testing.capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await loop.forever("test", step, waits, away_s=7.0)
    assert done == ["good"]
    assert waits.asked == [7.0, leases.IDLE_S]
    assert [(line["work"], line["item_id"], line["reason"]) for line in lines] == [("test", "bad", "working: the database is unavailable")]


async def test_a_cancelled_step_hands_its_work_back() -> None:
    begun, released = asyncio.Event(), []

    async def work(_: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def release(item: str) -> None:
        await asyncio.sleep(0)
        released.append(item)

    task = asyncio.create_task(loop.forever("test", loop.leased(queue("a"), work, release, lambda _: {}), Waits(1)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert released == ["a"]


async def test_an_outage_of_the_database_is_left_to_the_store_to_log() -> None:
    waits = Waits(2)

    async def claim() -> str | None:
        raise DatabaseUnavailableError("asking the database", "connection refused")

    with structlog.testing.capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await loop.forever("test", loop.leased(claim, lambda _: asyncio.sleep(0), None, lambda _: {}), waits)
    assert lines == []


def test_leases_last_longer_than_their_work() -> None:
    assert leases.EXTRACTION_LEASE.total_seconds() > 3 * leases.HEARTBEAT_S
    assert leases.EXTRACTION_LEASE.total_seconds() > sum(leases.STORE_RETRIES_S)
    assert leases.MESSAGE_LEASE.total_seconds() > leases.SEND_S
