"""Caches answers for a limited time. Concurrent calls share one request, and everything can be invalidated at once."""

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
class QueryTime:
    """When a query was sent. An answer is as old as its query, and invalid if the cache was cleared since (`era`)."""

    at: float
    era: int


class AnswerCache(Generic[Key, Value]):
    """At most `size` answers by key. `lifetime_s` gives the seconds for which an answer is valid, counted from its query."""

    def __init__(self, size: int, lifetime_s: Callable[[Value], float], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime_s, self._clock, self._era = lifetime_s, clock, 0
        self._answers: TLRUCache[Key, tuple[Value, QueryTime]] = TLRUCache(size, ttu=self._expires_at, timer=clock)
        self._running: dict[Key, asyncio.Task[Value]] = {}
        self._tasks: set[asyncio.Task[Value]] = set()

    async def get(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        """The cached answer, or what `ask` returns. Errors of `ask` are raised for all waiting callers and not cached."""
        cached = self._answers.get(key)
        if cached is not None:
            return cached[0]
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._ask(key, ask))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._done(key, done))
        # A cancelled caller must not cancel the query for the others.
        return await asyncio.shield(task)

    def query_time(self) -> QueryTime:
        """The current time, for `put`."""
        return QueryTime(self._clock(), self._era)

    def put(self, key: Key, value: Value, sent: QueryTime) -> None:
        """Cache the answer to a query sent at `sent`, unless there is one to a later query."""
        cached = self._answers.get(key)
        if sent.era == self._era and (cached is None or cached[1].at <= sent.at):
            self._answers[key] = value, sent

    def forget(self) -> None:
        """Drop all answers, including those of queries that are running."""
        self._era += 1
        self._answers.clear()
        self._running.clear()

    async def close(self) -> None:
        """Cancel running queries."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, key: Key, ask: Callable[[], Awaitable[Value]]) -> Value:
        sent = self.query_time()
        value = await ask()
        self.put(key, value, sent)
        return value

    def _done(self, key: Key, task: asyncio.Task[Value]) -> None:
        self._tasks.discard(task)
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # if all callers were cancelled, nobody else retrieves it

    def _expires_at(self, _key: Key, answer: tuple[Value, QueryTime], _now: float) -> float:
        return answer[1].at + self._lifetime_s(answer[0])
