"""The standard streams of a container over one hijacked connection, read and written at once.

https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import aiohttp
from aiodocker.stream import Message, Stream

STDOUT = 1
MAX_LOG_HEAD = 1 << 20
MAX_LOG_TAIL = 3 << 20

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


async def converse(stream: Stream, stdin: AsyncIterator[bytes], stdout: Feed, log: Log) -> None:
    """Write `stdin` while reading the rest, until the container closes its streams. Raises what `stdin` or `stdout` raise."""
    try:
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(_write(stream, stdin))
            await _read(stream, stdout, log)
            # It ended without reading all of its input: that it did will be seen from its result.
            feeding.cancel()
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None


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


async def _read(stream: Stream, stdout: Feed, log: Log) -> None:
    while message := await _next(stream):
        if message.stream == STDOUT:
            await stdout(message.data)
        else:
            log.add(message.data)


async def _next(stream: Stream) -> Message | None:
    try:
        return await stream.read_out()
    except (aiohttp.ClientError, OSError):
        # A broken connection is an end like any other: what came before tells whether it came too early.
        return None
