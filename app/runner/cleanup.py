"""Deletes containers in any case, even if the caller fails or is cancelled. The same for every backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from app.core import log
from app.core.errors import EngineUnavailableError

REMOVE_S = 30.0
"""The limit for deleting a container. A job that failed waits for it."""
REMOVE_PAUSES_S = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Before each attempt."""

logger = log.get(__name__)


class Leftovers:
    """Names and ids of containers of this process that could not be deleted, because the engine was unavailable.

    `delete` raises EngineUnavailableError until a container, given by name or id, does not exist.
    """

    def __init__(self, delete: Callable[[str], Awaitable[None]]) -> None:
        self._delete = delete
        self._names: set[str] = set()

    async def remove(self, name: str) -> bool:
        """Kill and delete a container. False, after several attempts: it may still exist, is remembered, and is left to a sweep."""
        removed = await self._removed(name)
        (self._names.discard if removed else self._names.add)(name)
        return removed

    def names(self) -> list[str]:
        """The containers that are left."""
        return sorted(self._names)

    async def _removed(self, name: str) -> bool:
        reason = ""
        try:
            async with asyncio.timeout(REMOVE_S):
                for pause_s in REMOVE_PAUSES_S:
                    await asyncio.sleep(pause_s)
                    try:
                        await self._delete(name)
                    except EngineUnavailableError as error:
                        reason = error.reason
                    else:
                        return True
        except TimeoutError:
            reason = reason or f"the engine did not answer within {REMOVE_S:g} seconds"
        logger.warning("container not removed", container=name, reason=reason)
        return False


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish `work` even if cancelled in the meantime, and raise the cancellation then."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
