"""The standard streams of a container over one hijacked connection: read all the time, written when there is something to say.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

import aiohttp
from aiodocker.stream import Message, Stream

STDOUT = 1
MAX_LOG_HEAD = 1 << 20
MAX_LOG_TAIL = 3 << 20
LINGER_S = 3.0
"""From the end of a container to when nothing of its output is expected any more."""

Feed = Callable[[bytes], Awaitable[None]]


class Log:
    """Standard error, bounded: its beginning and its end are kept, of the middle only how much it was."""

    def __init__(self, head_bytes: int = MAX_LOG_HEAD, tail_bytes: int = MAX_LOG_TAIL) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._in_tail = 0
        self.dropped_bytes = 0

    def add(self, data: bytes) -> None:
        """Take more of it; never waits."""
        room = self._head_bytes - len(self._head)
        self._head += data[:room]
        if rest := data[room:]:
            self._tail.append(rest)
            self._in_tail += len(rest)
        while self._tail and self._in_tail - len(self._tail[0]) >= self._tail_bytes:
            dropped = len(self._tail.popleft())
            self._in_tail -= dropped
            self.dropped_bytes += dropped

    def text(self) -> str:
        """Return what was kept."""
        gap = f"\n[... {self.dropped_bytes:,} bytes left out ...]\n".encode() if self.dropped_bytes else b""
        return b"".join((self._head, gap, *self._tail)).decode(errors="replace")


class Streams:
    """What a container says goes to `stdout` and `log` as it comes; `reading` is done when it says no more, or raises what they raise."""

    def __init__(self, stream: Stream, stdout: Feed, log: Callable[[bytes], None]) -> None:
        self._stream, self._stdout, self._log = stream, stdout, log
        self._messages = 0
        self.reading = asyncio.create_task(self._read(), name="container output")

    async def write(self, data: bytes) -> None:
        """Write to standard input. That nobody reads it any more is not noticed here: `reading` ends."""
        # aiodocker asserts that the other side is there.
        with suppress(ConnectionError, RuntimeError, AssertionError):
            await self._stream.write_in(data)

    async def send(self, stdin: AsyncIterator[bytes]) -> None:
        """Write all of `stdin`, and close it. Raises what it raises."""
        # What is sent says itself where it ends: no half-close, which TLS does not have.
        source: Any = stdin
        async with aclosing(source):
            async for chunk in source:
                await self.write(chunk)
                if self.reading.done():
                    return

    async def linger(self) -> None:
        """Wait for what is still on its way, as long as something comes."""
        seen = -1
        while not self.reading.done() and self._messages != seen:
            seen = self._messages
            await asyncio.wait([self.reading], timeout=LINGER_S)

    async def close(self) -> None:
        """Hang up."""
        self.reading.cancel()
        await asyncio.wait([self.reading])
        if not self.reading.cancelled():
            # Whoever waited for it has it; nobody may have.
            self.reading.exception()
        await hang_up(self._stream)

    async def _read(self) -> None:
        while message := await self._next():
            self._messages += 1
            if message.stream == STDOUT:
                await self._stdout(message.data)
            else:
                self._log(message.data)

    async def _next(self) -> Message | None:
        try:
            return await self._stream.read_out()
        except (aiohttp.ClientError, OSError):
            # A broken connection is an end like any other: what came before tells whether it came too early.
            return None


async def hang_up(stream: Stream) -> None:
    """Close a connection, broken or not, at once: what it has not sent by now is of use to nobody, and its reader may be dead."""
    connection = stream._resp.connection if stream._resp else None  # noqa: SLF001 - closing alone waits until all is sent
    transport = connection.transport if connection else None
    with suppress(AssertionError, OSError, RuntimeError):
        await stream.close()
    if transport is not None:
        transport.abort()
