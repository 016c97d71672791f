"""The standard streams of a container over one hijacked connection: always reading, writing on demand.

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
"""How long after a container's end more output may still arrive."""

Feed = Callable[[bytes], Awaitable[None]]


class BoundedLog:
    """Standard error, limited: keeps the beginning and the end, and counts the bytes in between."""

    def __init__(self, head_bytes: int = MAX_LOG_HEAD, tail_bytes: int = MAX_LOG_TAIL) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._in_tail = 0
        self.dropped_bytes = 0

    def add(self, data: bytes) -> None:
        """Append data, without waiting."""
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
        """Return the log, with a remark where bytes are left out."""
        gap = f"\n[... {self.dropped_bytes:,} bytes left out ...]\n".encode() if self.dropped_bytes else b""
        return b"".join((self._head, gap, *self._tail)).decode(errors="replace")


class Streams:
    """Passes output to `stdout` and `log` as it arrives. The task `reading` ends with the output, or raises what these raise."""

    def __init__(self, stream: Stream, stdout: Feed, log: Callable[[bytes], None]) -> None:
        self._stream, self._stdout, self._log = stream, stdout, log
        self._messages = 0
        self.reading = asyncio.create_task(self._read(), name="container output")

    async def write(self, data: bytes) -> None:
        """Write to standard input. A lost connection is not an error here; `reading` ends with it."""
        # aiodocker asserts that the connection exists.
        with suppress(ConnectionError, RuntimeError, AssertionError):
            await self._stream.write_in(data)

    async def send(self, stdin: AsyncIterator[bytes]) -> None:
        """Write everything from `stdin`. Raises what it raises."""
        # The data contains its own end: a half-close is impossible with TLS.
        source: Any = stdin
        async with aclosing(source):
            async for chunk in source:
                await self.write(chunk)
                if self.reading.done():
                    return

    async def drain(self) -> None:
        """Wait for output that is still on its way, as long as some arrives."""
        seen = -1
        while not self.reading.done() and self._messages != seen:
            seen = self._messages
            await asyncio.wait([self.reading], timeout=LINGER_S)

    async def close(self) -> None:
        """Disconnect."""
        self.reading.cancel()
        await asyncio.wait([self.reading])
        if not self.reading.cancelled():
            # Mark it as retrieved: possibly nobody waited for it.
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
            # A broken connection counts as the end of the output. Callers notice if that is too early.
            return None


async def hang_up(stream: Stream) -> None:
    """Close a connection at once, without sending what is left: the reader may be dead."""
    connection = stream._resp.connection if stream._resp else None  # noqa: SLF001 - closing alone waits until everything is sent
    transport = connection.transport if connection else None
    with suppress(AssertionError, OSError, RuntimeError):
        await stream.close()
    if transport is not None:
        transport.abort()
