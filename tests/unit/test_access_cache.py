"""Answers with a limited lifetime, counted from their query; concurrent calls share one query."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from app.github.access.cache import AnswerCache


class World:
    """Answers queries once `release` is set, and counts them."""

    def __init__(self, size: int = 10) -> None:
        self.now, self.queries, self.answer = 0.0, 0, "yes"
        self.release = asyncio.Event()
        self.error: Exception | None = None
        self.cache = AnswerCache[str, str](size, lambda answer: 60.0 if answer == "yes" else 10.0, clock=lambda: self.now)

    async def ask(self) -> str:
        self.queries += 1
        answer = self.answer
        await self.release.wait()
        if self.error is not None:
            raise self.error
        return answer

    async def get(self, key: str = "key") -> str:
        return await self.cache.get(key, self.ask)


async def test_concurrent_calls_share_one_query_and_its_error() -> None:
    world = World()
    waiting = [asyncio.create_task(world.get()) for _ in range(100)]
    await asyncio.sleep(0)
    world.error = OSError("away")
    world.release.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {OSError}
    world.error = None
    assert (await world.get(), world.queries) == ("yes", 2)


async def test_a_cancelled_call_does_not_cancel_the_query_for_others() -> None:
    world = World()
    first, second = asyncio.create_task(world.get()), asyncio.create_task(world.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    world.release.set()
    assert (await second, world.queries) == ("yes", 1)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_answer_to_an_earlier_query_does_not_replace_a_later_one() -> None:
    world = World()
    earlier = world.cache.query_time()
    world.now = 1.0
    world.cache.put("key", "no", world.cache.query_time())
    world.cache.put("key", "yes", earlier)
    assert (await world.get(), world.queries) == ("no", 0)


async def test_answers_to_queries_from_before_a_forget_are_dropped() -> None:
    world = World()
    world.release.set()
    before = world.cache.query_time()
    await world.get()
    world.cache.forget()
    world.cache.put("key", "yes", before)
    world.answer = "no"
    assert (await world.get(), world.queries) == ("no", 2)


async def test_the_cache_is_limited_in_size() -> None:
    world = World(size=3)
    world.release.set()
    for number in range(100):
        await world.get(str(number))
    await world.get("99")
    assert world.queries == 100
    await world.get("0")
    assert world.queries == 101


async def test_close_cancels_running_queries() -> None:
    world = World()
    waiting = asyncio.create_task(world.get())
    await asyncio.sleep(0)
    await world.cache.close()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert waiting.cancelled()
