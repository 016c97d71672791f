"""Installed packages on their way from one container to the next: in memory while they are small, in an unnamed file otherwise."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

MAX_IN_MEMORY = 8 << 20
CHUNK = 1 << 20


class SpooledPackages:
    """A `ports.PackageTree`: written once, then streamed. What is in it is a container's and is not looked at."""

    def __init__(self, work_dir: Path) -> None:
        work_dir.mkdir(parents=True, exist_ok=True)
        # Closed by `close`, which the flow calls when the extraction is over.
        self._file = tempfile.SpooledTemporaryFile(max_size=MAX_IN_MEMORY, dir=str(work_dir), prefix="packages-")  # noqa: SIM115
        self._pending = bytearray()
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Add to the archive."""
        self._pending += data
        self.size_bytes += len(data)
        if len(self._pending) >= CHUNK:
            await self.flush()

    async def flush(self) -> None:
        """Write what is pending; to be called after the last `write`."""
        data, self._pending = self._pending, bytearray()
        # The disk may be slow: never on the event loop.
        await asyncio.to_thread(self._file.write, data)

    async def stream(self) -> AsyncIterator[bytes]:
        """Give the archive in chunks, from its beginning."""
        await asyncio.to_thread(self._file.seek, 0)
        while data := await asyncio.to_thread(self._file.read, CHUNK):
            yield data

    def close(self) -> None:
        """Give back the memory or the disk."""
        self._file.close()
