"""An answer that many ask for, and that costs something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedAnswer(Generic[T]):
    """Asks once within `lifetime_s`; callers who come meanwhile wait for the same answer."""

    def __init__(self, ask: Callable[[], Awaitable[T]], lifetime_s: float) -> None:
        self._ask, self._lifetime_s = ask, lifetime_s
        self._lock = asyncio.Lock()
        self._answer: tuple[float, T] | None = None

    async def get(self) -> T:
        """The answer. Errors are not kept."""
        async with self._lock:
            now_s = asyncio.get_running_loop().time()
            if self._answer is None or now_s - self._answer[0] >= self._lifetime_s:
                self._answer = now_s, await self._ask()
            return self._answer[1]
