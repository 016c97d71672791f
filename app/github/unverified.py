"""The bodies of deliveries before their signature is checked: anyone can send them, so all of them together are limited.

Their first bytes, of all together, stay in memory; the others go to temporary files. The HMAC of large ones is computed in a thread. If
there is no more room, the oldest body that takes more than the average gives way: those who send and do not end cannot keep the room from
others.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from app.core.errors import UnavailableError
from app.core.spool import Spool

IN_MEMORY = 64 << 20
"""Bytes of all bodies together; more are written to files."""
LIMIT = 256 << 20
"""Bytes of all bodies together: ten deliveries of the largest size."""
SMALL = 64 << 10
"""Bytes that are hashed on the event loop: with more, asking a thread takes less of its time."""
CHUNK = 32 << 10
"""Bytes of one body that wait to be written to its file."""


class UnverifiedBody:
    """One body, written as it arrives."""

    def __init__(self, bodies: UnverifiedBodies, secret: bytes) -> None:
        self._bodies = bodies
        self._hmac = hmac.new(secret, digestmod="sha256")
        """Of everything, once a part of it is on disk."""
        self._start = bytearray()
        self._spool: Spool | None = None
        self.gave_way = False
        """It lost its room to others; `interrupt` was called."""
        self.interrupt: Callable[[], None] = lambda: None
        """Ends the waiting for more of it."""
        self.size = 0
        """Bytes so far."""

    @property
    def on_disk(self) -> bool:
        """Whether a part of it is in a file."""
        return self._spool is not None

    @property
    def in_memory(self) -> int:
        """Bytes that are not in a file."""
        return len(self._start)

    async def write(self, chunk: bytes) -> None:
        """Append bytes. Raises UnavailableError if there is no more room for unverified bodies."""
        fits_in_memory = self._bodies.make_room(self, len(chunk), in_memory=self._spool is None)
        self.size += len(chunk)
        if fits_in_memory:
            self._start += chunk
            return
        if self._spool is None:
            self._spool = Spool(self._bodies.work_dir, max_in_memory=1, chunk=CHUNK)
            await self._hash(self._start)
        self._hmac.update(chunk)
        await self._spool.write(chunk)

    async def hexdigest(self) -> str:
        """The HMAC-SHA256 of everything written. It gives way to nothing any more: it has arrived."""
        self.interrupt = lambda: None
        if self._spool is None:
            await self._hash(self._start)
        return self._hmac.hexdigest()

    async def _hash(self, data: bytearray) -> None:
        if len(data) > SMALL:
            await asyncio.get_running_loop().run_in_executor(self._bodies.hashing, self._hmac.update, data)
        else:
            self._hmac.update(data)

    async def content(self) -> bytes | bytearray:
        """All bytes, in memory: only after the signature was found to be right."""
        if self._spool is None:
            return self._start
        await self._spool.flush()
        return b"".join([self._start, *[chunk async for chunk in self._spool.stream()]])

    def close(self) -> None:
        """Free memory and disk."""
        self._start = bytearray()
        if self._spool is not None:
            self._spool.close()


class UnverifiedBodies:
    """All bodies of this process that are being received."""

    def __init__(self, work_dir: Path | None = None, *, limit: int = LIMIT, in_memory: int = IN_MEMORY) -> None:
        self.work_dir = work_dir or Path(gettempdir())
        self.hashing = ThreadPoolExecutor(1, "hmac")
        self._limit, self._in_memory_limit = limit, in_memory
        self.used = self._in_memory = 0
        """Bytes of all."""
        self._open: dict[UnverifiedBody, None] = {}
        """The oldest first."""

    @contextmanager
    def open(self, secret: bytes) -> Iterator[UnverifiedBody]:
        """Yield an empty body; its space is freed afterwards."""
        body = UnverifiedBody(self, secret)
        self._open[body] = None
        try:
            yield body
        finally:
            self.leave(body)
            body.close()

    def leave(self, body: UnverifiedBody) -> None:
        """Count it no more: it ended, or its signature is right, so that its sender is trusted not to send too many."""
        if body in self._open:
            del self._open[body]
            self.used -= body.size
            self._in_memory -= body.in_memory

    def make_room(self, body: UnverifiedBody, size: int, *, in_memory: bool) -> bool:
        """Count bytes that are about to be written, for which others give way; True if they may stay in memory.

        Raises UnavailableError if it is this body that has to give way.
        """
        while not body.gave_way and self.used + size > self._limit:
            oldest = next(one for one in self._open if one.size * len(self._open) >= self.used)
            self.leave(oldest)
            oldest.gave_way = True
            oldest.interrupt()
        if body.gave_way:
            reason = "too much of other deliveries is being received that is not verified yet"
            raise UnavailableError("receiving a webhook delivery", reason)
        self.used += size
        fits = in_memory and self._in_memory + size <= self._in_memory_limit
        self._in_memory += size if fits else 0
        return fits
