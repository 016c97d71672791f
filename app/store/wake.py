"""LISTEN on one connection per process, whatever the number of those who wait: NOTIFY only wakes, it never carries the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from app import log

CHANNELS = (
    "freshet_queue",
    "freshet_checks",
    "freshet_looks",
    "freshet_surveys",
    "freshet_extractions",
    "freshet_cancels",
    "freshet_access",
    "freshet_notices",
)
RECONNECT_S = 2.0

logger = log.get(__name__)


class Bell:
    """Rings on a channel, or on one payload of it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake who waits; a ring that nobody waits for is kept for the next call."""
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring since the last call, or after `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()


class Wake:
    """Hands out bells and rings them."""

    def __init__(self) -> None:
        self._bells: set[tuple[str, str | None, Bell]] = set()

    @contextmanager
    def bell(self, channel: str, payload: str | None = None) -> Iterator[Bell]:
        """Yield a bell for a channel of `CHANNELS`, or for one payload of it."""
        entry = (channel, payload, Bell())
        self._bells.add(entry)
        try:
            yield entry[2]
        finally:
            self._bells.discard(entry)

    def ring(self, channel: str, payload: str) -> None:
        """Ring the bells of a notification."""
        for wanted_channel, wanted_payload, bell in list(self._bells):
            if wanted_channel == channel and wanted_payload in (None, payload):
                bell.ring()

    def ring_all(self) -> None:
        """Ring every bell: something may have been missed."""
        for _, _, bell in list(self._bells):
            bell.ring()


@asynccontextmanager
async def listening(dsn: str) -> AsyncIterator[Wake]:
    """Yield a Wake that listens until it is left, over any number of lost connections."""
    wake = Wake()
    task = asyncio.create_task(_listen(dsn, wake), name="listen")
    try:
        yield wake
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _listen(dsn: str, wake: Wake) -> None:
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.warning("not listening to the database", reason=str(error))
        else:
            await _listen_on(connection, wake)
        await asyncio.sleep(RECONNECT_S)


async def _listen_on(connection: asyncpg.Connection, wake: Wake) -> None:
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    try:
        for channel in CHANNELS:
            await connection.add_listener(channel, lambda _c, _pid, channel, payload: wake.ring(channel, payload))
        wake.ring_all()
        await lost.wait()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        logger.warning("lost the listening connection", reason=str(error))
    finally:
        connection.terminate()
