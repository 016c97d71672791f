"""Large bytes between two steps: a small amount in memory, more in an unnamed file."""

from __future__ import annotations

import asyncio
import os
import tempfile
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.errors import DiskFullError, UnavailableError, is_full

MAX_IN_MEMORY = 8 << 20
"""Bytes."""
CHUNK = 1 << 20
"""Bytes."""


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn an OSError into DiskFullError or UnavailableError."""
    try:
        yield
    except OSError as error:
        kind = DiskFullError if is_full(error) else UnavailableError
        reason = f"DBT_WORK_DIR could not be written ({error.strerror})"
        raise kind("writing a temporary file", reason, "The operator has to free some space there.") from error


class Spool:
    """Written once, then read any number of times. Deleted when closed or garbage-collected."""

    def __init__(self, work_dir: Path, *, max_in_memory: int = MAX_IN_MEMORY, chunk: int = CHUNK) -> None:
        """Beyond `max_in_memory` (at least 1) the bytes go to the file, `chunk` bytes at a time."""
        work_dir.mkdir(parents=True, exist_ok=True)
        self._chunk = chunk
        self._file = tempfile.SpooledTemporaryFile(max_size=max_in_memory, dir=str(work_dir), prefix="spool-")  # noqa: SIM115
        # Not `__del__`: in a reference cycle, the file could be collected first.
        self.close = weakref.finalize(self, self._file.close)
        """Frees the memory or the disk."""
        self._pending = bytearray()
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Append bytes. Raises like `flush`."""
        self.size_bytes += len(data)
        if len(data) >= self._chunk and not self._pending:
            await self._write(data)
            return
        self._pending += data
        if len(self._pending) >= self._chunk:
            await self.flush()

    async def flush(self) -> None:
        """Write pending bytes; call it after the last `write`. Raises DiskFullError or UnavailableError."""
        data, self._pending = self._pending, bytearray()
        await self._write(data)

    async def _write(self, data: bytes | bytearray) -> None:
        # The disk may be slow: never on the event loop.
        with disk_errors():
            await asyncio.to_thread(self._file.write, data)

    async def stream(self) -> AsyncIterator[bytes]:
        """All bytes, in chunks."""
        await asyncio.to_thread(self._file.seek, 0)
        while data := await asyncio.to_thread(self._file.read, CHUNK):
            yield data

    async def fileno(self) -> int:
        """A file descriptor for another process; moves the bytes to disk. It is closed with the spool."""
        with disk_errors():
            return await asyncio.to_thread(self._on_disk)

    def content(self) -> bytes:
        """All bytes in memory; only for callers that know the size is small."""
        self._file.seek(0)
        return self._file.read()

    def _on_disk(self) -> int:
        descriptor = self._file.fileno()
        self._file.flush()
        return descriptor

    async def finished(self) -> FinishedSpool:
        """What was written, for a reader that outlives this. Raises DiskFullError or UnavailableError."""
        descriptor = await self.fileno()
        with disk_errors():
            return FinishedSpool(os.dup(descriptor), self.size_bytes)


class FinishedSpool:
    """The bytes of a spool, read-only. Deleted when both are closed or garbage-collected."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._file = os.fdopen(descriptor, "rb")
        self.close = weakref.finalize(self, self._file.close)
        """Frees the disk."""
        self.size_bytes = size_bytes

    def fileno(self) -> int:
        """A file descriptor for another process."""
        return self._file.fileno()

    def content(self) -> bytes:
        """All bytes in memory; only for callers that know the size is small."""
        return os.pread(self.fileno(), self.size_bytes, 0)
