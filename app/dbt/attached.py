"""The standard streams of a container over one hijacked connection, read and written at once.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
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


async def converse(stream: Stream, stdin: AsyncIterator[bytes], stdout: Feed, log: Log, ended: Coroutine[Any, Any, object]) -> None:
    """Write `stdin` while reading the rest, until the container closes its streams. Raises what `stdin` or `stdout` raise.

    `ended` returns when the container has ended: the engine leaves the connection open when there is input that was not read.
    """
    reader = _Reader(stream, stdout, log)
    try:
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(_write(stream, stdin))
            ending = group.create_task(ended)
            reading = group.create_task(reader.run())
            await asyncio.wait([reading, ending], return_when=asyncio.FIRST_COMPLETED)
            # It may have ended without reading all of its input: its result will tell.
            feeding.cancel()
            ending.cancel()
            await _linger(reading, reader)
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None


async def _linger(reading: asyncio.Task[None], reader: _Reader) -> None:
    """Wait for what is still on its way, as long as something comes."""
    seen = -1
    while not reading.done() and reader.messages != seen:
        seen = reader.messages
        await asyncio.wait([reading], timeout=LINGER_S)
    reading.cancel()


async def _write(stream: Stream, stdin: AsyncIterator[bytes]) -> None:
    # The archive says itself where it ends: no half-close, which TLS does not have.
    source: Any = stdin
    async with aclosing(source):
        async for chunk in source:
            try:
                await stream.write_in(chunk)
            except (ConnectionError, RuntimeError, AssertionError):
                # The other side is gone; aiodocker asserts that it is not. The reader sees the end and the caller asks why.
                return


class _Reader:
    """Reads both outputs to their end; `messages` counts what has come."""

    def __init__(self, stream: Stream, stdout: Feed, log: Log) -> None:
        self.messages = 0
        self._stream, self._stdout, self._log = stream, stdout, log

    async def run(self) -> None:
        while message := await self._next():
            self.messages += 1
            if message.stream == STDOUT:
                await self._stdout(message.data)
            else:
                self._log.add(message.data)

    async def _next(self) -> Message | None:
        try:
            return await self._stream.read_out()
        except (aiohttp.ClientError, OSError):
            # A broken connection is an end like any other: what came before tells whether it came too early.
            return None
