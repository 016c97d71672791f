"""The standard streams of a container over one connection: always reading, writing on demand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Protocol

import aiohttp

STDOUT = 1
MAX_LOG_HEAD = 1 << 20
MAX_LOG_TAIL = 3 << 20
LINGER_S = 3.0
"""How long after a container's end more output may still arrive."""

Feed = Callable[[bytes], Awaitable[None]]


class Connection(Protocol):
    """A connection to the standard streams of a container."""

    async def read(self) -> tuple[int, bytes] | None:
        """More output and its stream, 1 or 2; None at the end. Raises ClientError and OSError."""

    async def write(self, data: bytes) -> None:
        """Write to standard input. Raises ClientError, ConnectionError and RuntimeError."""

    async def close(self) -> None:
        """Disconnect at once."""


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

    def __init__(self, connection: Connection, stdout: Feed, log: Callable[[bytes], None]) -> None:
        self._connection, self._stdout, self._log = connection, stdout, log
        self._messages = 0
        self.reading = asyncio.create_task(self._read(), name="container output")

    async def write(self, data: bytes) -> None:
        """Write to standard input. A lost connection is not an error here; `reading` ends with it."""
        with suppress(aiohttp.ClientError, ConnectionError, RuntimeError):
            await self._connection.write(data)

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
        await self._connection.close()

    async def _read(self) -> None:
        while message := await self._next():
            self._messages += 1
            stream, data = message
            if stream == STDOUT:
                await self._stdout(data)
            else:
                self._log(data)

    async def _next(self) -> tuple[int, bytes] | None:
        try:
            return await self._connection.read()
        except (aiohttp.ClientError, OSError):
            # A broken connection counts as the end of the output. Callers notice if that is too early.
            return None
