"""Values that are slow to load, for many readers: loaded once at a time for each key, and cached by their size in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from operator import attrgetter
from typing import Any, Protocol
from weakref import WeakSet

from cachetools import LRUCache

from app.core.errors import UnavailableError

LOADS = 2
"""Values that are loaded at the same time."""
KEPT_BYTES = 160 << 20
"""Two lineages of 10,000 nodes and a million edges between columns, which are compared again and again."""
HELD_BYTES = 256 << 20
"""The limit for cached values and those that readers still hold. Beyond it, new readers wait."""
WAIT_S = 5.0
LOOK_S = 0.05


class Sized(Protocol):
    """A value."""

    @property
    def nbytes(self) -> int:
        """Approximate memory."""


class SharedLoads:
    """Values by key. Concurrent readers of the same one share one load."""

    def __init__(self, kept_bytes: int = KEPT_BYTES, held_bytes: int = HELD_BYTES) -> None:
        self.turn = asyncio.Semaphore(LOADS)
        """For other work that loads much from the database."""
        self._held_bytes = held_bytes
        self._kept: LRUCache[Hashable, Any] = LRUCache(kept_bytes, getsizeof=attrgetter("nbytes"))
        self._held: WeakSet[Any] = WeakSet()
        self._loading: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, load: Callable[[], Awaitable[Sized | None]]) -> Any:
        """Return the value of a key, loaded unless it is cached; None never is. Raises UnavailableError while there is no memory for it."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._load(key, load))
            self._loading[key].add_done_callback(lambda task: self._loaded(key, task))
        return await asyncio.shield(self._loading[key])

    async def _load(self, key: Hashable, load: Callable[[], Awaitable[Sized | None]]) -> Sized | None:
        async with self.turn:
            await self._room()
            value = await load()
        if value is not None:
            self._held.add(value)
            if value.nbytes <= self._kept.maxsize:
                self._kept[key] = value
        return value

    async def _room(self) -> None:
        """Wait until readers have released enough memory."""
        try:
            async with asyncio.timeout(WAIT_S):
                while sum(value.nbytes for value in self._held) > self._held_bytes:  # noqa: ASYNC110 - no event tells that an object is gone
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise UnavailableError(
                "reading a lineage", "too many large lineages are being read at the same time", "Try again in a while."
            ) from error

    def _loaded(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()  # mark it as retrieved: its readers may have gone
