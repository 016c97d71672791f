"""Answers that are believed for a while: asked for once however many wait, and as old as their questions."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from app.github.remembered import Remembered


class World:
    """Somebody who answers when he is let, and counts the questions."""

    def __init__(self, size: int = 10) -> None:
        self.now, self.asked, self.answer = 0.0, 0, "yes"
        self.let = asyncio.Event()
        self.error: Exception | None = None
        self.remembered = Remembered[str, str](size, lambda answer: 60.0 if answer == "yes" else 10.0, clock=lambda: self.now)

    async def ask(self) -> str:
        self.asked += 1
        answer = self.answer
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return answer

    async def get(self, key: str = "key") -> str:
        return await self.remembered.get(key, self.ask)


async def test_all_who_wait_share_one_question_and_its_failure() -> None:
    world = World()
    waiting = [asyncio.create_task(world.get()) for _ in range(100)]
    await asyncio.sleep(0)
    world.error = OSError("away")
    world.let.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {OSError}
    world.error = None
    assert (await world.get(), world.asked) == ("yes", 2)


async def test_who_goes_away_takes_nobody_elses_answer_along() -> None:
    world = World()
    first, second = asyncio.create_task(world.get()), asyncio.create_task(world.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    world.let.set()
    assert (await second, world.asked) == ("yes", 1)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_answer_to_an_earlier_question_does_not_undo_one_to_a_later() -> None:
    world = World()
    earlier = world.remembered.moment()
    world.now = 1.0
    world.remembered.put("key", "no", world.remembered.moment())
    world.remembered.put("key", "yes", earlier)
    assert (await world.get(), world.asked) == ("no", 0)


async def test_what_was_asked_before_all_was_forgotten_is_nothing_after_it() -> None:
    world = World()
    world.let.set()
    before = world.remembered.moment()
    await world.get()
    world.remembered.forget()
    world.remembered.put("key", "yes", before)
    world.answer = "no"
    assert (await world.get(), world.asked) == ("no", 2)


async def test_there_is_an_end_to_what_is_remembered() -> None:
    world = World(size=3)
    world.let.set()
    for number in range(100):
        await world.get(str(number))
    await world.get("99")
    assert world.asked == 100
    await world.get("0")
    assert world.asked == 101


async def test_nothing_is_on_its_way_after_the_end() -> None:
    world = World()
    waiting = asyncio.create_task(world.get())
    await asyncio.sleep(0)
    await world.remembered.close()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert waiting.cancelled()
