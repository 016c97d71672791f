"""The bodies of deliveries before their signature is checked: anyone can send them, so all of them together are limited.

The first bytes of each stay in memory, the rest goes to a temporary file, and the HMAC is computed as they come. Small bodies do not suffer
from large ones: only what goes to a file counts.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import gettempdir

from app.core.errors import UnavailableError
from app.core.spool import Spool

IN_MEMORY = 64 << 10
"""Bytes of one body; most deliveries are smaller."""
ON_DISK = 256 << 20
"""Bytes of all bodies together: ten deliveries of the largest size."""


class UnverifiedBody:
    """One body, written as it arrives."""

    def __init__(self, bodies: UnverifiedBodies, secret: bytes) -> None:
        self._bodies, self._hmac = bodies, hmac.new(secret, digestmod="sha256")
        self._start = bytearray()
        self._spool: Spool | None = None
        self._reserved = 0
        self.size = 0
        """Bytes so far."""

    async def write(self, chunk: bytes) -> None:
        """Append bytes. Raises UnavailableError if there is no more room for unverified bodies."""
        self._hmac.update(chunk)
        self.size += len(chunk)
        if self._spool is None and self.size <= IN_MEMORY:
            self._start += chunk
            return
        self._bodies.reserve(len(chunk))
        self._reserved += len(chunk)
        if self._spool is None:
            self._spool = Spool(self._bodies.work_dir, max_in_memory=1, chunk=IN_MEMORY)
        await self._spool.write(chunk)

    def hexdigest(self) -> str:
        """The HMAC-SHA256 of everything written."""
        return self._hmac.hexdigest()

    async def content(self) -> bytes:
        """All bytes, in memory: only after the signature was found to be right."""
        if self._spool is None:
            return bytes(self._start)
        await self._spool.flush()
        return b"".join([bytes(self._start), *[chunk async for chunk in self._spool.stream()]])

    def close(self) -> None:
        """Free memory, disk, and the share of the limit."""
        self._bodies.release(self._reserved)
        self._reserved = 0
        if self._spool is not None:
            self._spool.close()


class UnverifiedBodies:
    """All bodies of this process that are being received."""

    def __init__(self, work_dir: Path | None = None, *, on_disk: int = ON_DISK) -> None:
        self.work_dir = work_dir or Path(gettempdir())
        self._limit, self._used = on_disk, 0

    @asynccontextmanager
    async def open(self, secret: bytes) -> AsyncIterator[UnverifiedBody]:
        """Yield an empty body; its space is freed afterwards."""
        body = UnverifiedBody(self, secret)
        try:
            yield body
        finally:
            body.close()

    def reserve(self, size: int) -> None:
        """Count bytes. Raises UnavailableError if that is too many."""
        if self._used + size > self._limit:
            reason = "too much of other deliveries is being received that is not verified yet"
            raise UnavailableError("receiving a webhook delivery", reason)
        self._used += size

    def release(self, size: int) -> None:
        """Free counted bytes."""
        self._used -= size
