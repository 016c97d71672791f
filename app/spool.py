"""Bytes on their way from one place to another: in memory while they are few, in an unnamed file otherwise."""

from __future__ import annotations

import asyncio
import tempfile
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import DiskFullError, UnavailableError, is_full

MAX_IN_MEMORY = 8 << 20
CHUNK = 1 << 20


@contextmanager
def room() -> Iterator[None]:
    """Say of a disk that is full that it is, as an UnavailableError."""
    try:
        yield
    except OSError as error:
        kind = DiskFullError if is_full(error) else UnavailableError
        raise kind("keeping what dbt wrote", f"DBT_WORK_DIR takes no more ({error.strerror})", "Make room there.") from error


class Spool:
    """Written once, then read any number of times; gone when it is closed, or when nobody holds it any more."""

    def __init__(self, work_dir: Path) -> None:
        work_dir.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.SpooledTemporaryFile(max_size=MAX_IN_MEMORY, dir=str(work_dir), prefix="spool-")  # noqa: SIM115
        # Not `__del__`: of a cycle, the file could be collected first.
        self.close = weakref.finalize(self, self._file.close)
        """Gives back the memory or the disk."""
        self._pending = bytearray()
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Add bytes. Raises as `flush` does."""
        self._pending += data
        self.size_bytes += len(data)
        if len(self._pending) >= CHUNK:
            await self.flush()

    async def flush(self) -> None:
        """Write what is pending; to be called after the last `write`. Raises UnavailableError when the disk is full."""
        data, self._pending = self._pending, bytearray()
        # The disk may be slow: never on the event loop.
        with room():
            await asyncio.to_thread(self._file.write, data)

    async def stream(self) -> AsyncIterator[bytes]:
        """Give the bytes in chunks, from the first one."""
        await asyncio.to_thread(self._file.seek, 0)
        while data := await asyncio.to_thread(self._file.read, CHUNK):
            yield data

    async def fileno(self) -> int:
        """Return a descriptor of the file, which there is from now on: for another process. It is closed with the spool."""
        with room():
            return await asyncio.to_thread(self._on_disk)

    def content(self) -> bytes:
        """Return all of it, for whom the size is no matter."""
        self._file.seek(0)
        return self._file.read()

    def _on_disk(self) -> int:
        descriptor = self._file.fileno()
        self._file.flush()
        return descriptor
