"""Answers that are believed for a while: asked for once however many wait for one, and forgotten at a word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import TLRUCache

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Moment:
    """When a question was put: an answer is as old as its question, and is nothing any more once everything was forgotten after that."""

    at: float
    era: int


class Remembered(Generic[Key, Value]):
    """Answers by key, `size` at most; `lasts_s` tells for how many seconds from the question one is believed."""

    def __init__(self, size: int, lasts_s: Callable[[Value], float], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lasts_s, self._clock, self._era = lasts_s, clock, 0
        self._kept: TLRUCache[Key, tuple[Value, Moment]] = TLRUCache(size, ttu=self._ends_at, timer=clock)
        self._asking: dict[Key, asyncio.Task[Value]] = {}
        self._tasks: set[asyncio.Task[Value]] = set()

    async def get(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        """Return what is remembered, else what `ask` returns (or raises: that is for all who wait now, and not remembered)."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept[0]
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(key, ask))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._done(key, done))
        # Who goes away takes nobody else's answer along.
        return await asyncio.shield(task)

    def moment(self) -> Moment:
        """Return this moment, for `put`."""
        return Moment(self._clock(), self._era)

    def put(self, key: Key, value: Value, moment: Moment) -> None:
        """Remember an answer to what was asked at that moment, unless there is one to a later question."""
        kept = self._kept.get(key)
        if moment.era == self._era and (kept is None or kept[1].at <= moment.at):
            self._kept[key] = value, moment

    def forget(self) -> None:
        """Believe nothing any more, nor what is still on its way to those who wait for it."""
        self._era += 1
        self._kept.clear()
        self._asking.clear()

    async def close(self) -> None:
        """End the questions that are on their way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        moment = self.moment()
        value = await ask()
        self.put(key, value, moment)
        return value

    def _done(self, key: Key, task: asyncio.Task[Value]) -> None:
        self._tasks.discard(task)
        if self._asking.get(key) is task:
            del self._asking[key]
        if not task.cancelled():
            task.exception()  # all who waited may have gone: then nobody else looks at it

    def _ends_at(self, _key: Key, kept: tuple[Value, Moment], _now: float) -> float:
        return kept[1].at + self._lasts_s(kept[0])
