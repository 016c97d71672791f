"""LISTEN on one connection per process, shared by all who wait. NOTIFY only wakes them; the work itself is in tables."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from app.core import log
from app.store.pool import AWAY

CHANNELS = (
    "freshet_queue",
    "freshet_checks",
    "freshet_looks",
    "freshet_surveys",
    "freshet_extractions",
    "freshet_cancels",
    "freshet_access",
    "freshet_notices",
    "freshet_impacts",
    "freshet_search",
)
RECONNECT_S = 2.0

logger = log.get(__name__)


class Wakeup:
    """Wakes at notifications on a channel, or at those with one payload."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wake the task that waits; without one, the next call to `wait` returns at once."""
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next wakeup since the last call, or after `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()


class Listener:
    """Hands out wakeups, and wakes them."""

    def __init__(self) -> None:
        self._wakeups: set[tuple[str, str | None, Wakeup]] = set()

    @contextmanager
    def wakeup(self, channel: str, payload: str | None = None) -> Iterator[Wakeup]:
        """Yield a wakeup for a channel of `CHANNELS`, or for one payload of it."""
        entry = (channel, payload, Wakeup())
        self._wakeups.add(entry)
        try:
            yield entry[2]
        finally:
            self._wakeups.discard(entry)

    def wake(self, channel: str, payload: str) -> None:
        """Wake the wakeups of a notification."""
        for wanted_channel, wanted_payload, wakeup in list(self._wakeups):
            if wanted_channel == channel and wanted_payload in (None, payload):
                wakeup.wake()

    def wake_all(self) -> None:
        """Wake every wakeup: a notification may have been missed."""
        for _, _, wakeup in list(self._wakeups):
            wakeup.wake()


@asynccontextmanager
async def listening(dsn: str) -> AsyncIterator[Listener]:
    """Yield a Listener that reconnects whenever its connection is lost."""
    listener = Listener()
    task = asyncio.create_task(_listen(dsn, listener), name="listen")
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _listen(dsn: str, listener: Listener) -> None:
    outage = log.Outage(logger, "the database connection for notifications")
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except (asyncpg.PostgresError, *AWAY) as error:
            outage.goes_on(str(error) or type(error).__name__)
        else:
            outage.is_over()
            await _listen_on(connection, listener)
        await asyncio.sleep(RECONNECT_S)


async def _listen_on(connection: asyncpg.Connection, listener: Listener) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    try:
        for channel in CHANNELS:
            await connection.add_listener(channel, lambda _c, _pid, channel, payload: listener.wake(channel, payload))
        listener.wake_all()
        await lost.wait()
    except (asyncpg.PostgresError, *AWAY) as error:
        logger.warning("lost the listening connection", reason=str(error))
    finally:
        connection.terminate()
