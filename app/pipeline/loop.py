"""The work loop of all background work: do what is due, wait for more, and survive errors of other services.

A step does one piece of work, and returns False if none is due. `leased` builds a step from work that is claimed under a lease. All
durations are in `leases`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, TypeVar

from app.core import log
from app.core.errors import DatabaseUnavailableError, FreshetError, UnavailableError
from app.core.wakeup import Wakeup
from app.pipeline.leases import IDLE_S, SHORTEST_WAIT_S

Step = Callable[[], Awaitable[bool]]
Item = TypeVar("Item")

logger = log.get(__name__)


async def forever(
    name: str,
    step: Step,
    wakeup: Wakeup,
    *,
    next_due_s: Callable[[], Awaitable[float | None]] | None = None,
    shortest_wait_s: float = SHORTEST_WAIT_S,
    away_s: float = IDLE_S,
) -> NoReturn:
    """Take steps while work is due, otherwise wait for a wakeup. Any number of loops can run at the same time.

    `next_due_s` returns the seconds until work is due, or None. Without it or with None, the longest wait is `IDLE_S`.
    After an error, such as an unavailable database, the loop waits for `away_s`.
    """
    while True:
        try:
            if not await step():
                seconds = await next_due_s() if next_due_s else None
                await wakeup.wait(IDLE_S if seconds is None else min(max(seconds, shortest_wait_s), IDLE_S))
        except (FreshetError, _StoppedError) as error:
            cause, ids = (error.cause, error.ids) if isinstance(error, _StoppedError) else (error, {})
            if not isinstance(cause, DatabaseUnavailableError):  # the store logs it, once for all loops
                logger.warning("background work has to wait", work=name, reason=str(cause), retryable=cause.retryable, **ids)
            await wakeup.wait(away_s)


def leased(
    claim: Callable[[], Awaitable[Item | None]],
    work: Callable[[Item], Awaitable[None]],
    release: Callable[[Item], Awaitable[None]] | None,
    ids: Callable[[Item], Mapping[str, object]],
) -> Step:
    """A step that claims an item and works on it. Log lines contain `ids`. If it is cancelled in the middle, it hands the item back."""

    async def step() -> bool:
        item = await claim()
        if item is None:
            return False
        with log.bound(**ids(item)):
            try:
                await work(item)
            except asyncio.CancelledError:
                if release is not None:
                    await asyncio.shield(_hand_back(release(item)))
                raise
            except FreshetError as error:
                raise _StoppedError(error, ids(item)) from error
        return True

    return step


class _StoppedError(Exception):
    """An error in the middle of work, with the ids of the item."""

    def __init__(self, cause: FreshetError, ids: Mapping[str, object]) -> None:
        super().__init__(str(cause))
        self.cause, self.ids = cause, ids


async def _hand_back(releasing: Awaitable[None]) -> None:
    try:
        await releasing
    except UnavailableError as error:
        logger.warning("work not handed back, its lease will run out", reason=str(error))
