"""Package files kept between extractions, by key: one directory per installation, never shared between installations.

A file is written under a temporary name, then renamed. It begins with the SHA-256 of its content, which is checked before each use;
damaged files are removed and fetched again. Any number of processes may share the directory.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from app.core.errors import DiskFullError, UnavailableError, is_full
from app.core.eviction import Cached, evicted

MAGIC = b"freshet1"
HEADER = len(MAGIC) + 64 + 20
CHUNK = 1 << 20
MAX_AGE_S = 30 * 86400.0
STALE_TEMPORARY_S = 3600.0
TEMPORARY = "new-"


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file of the cache whose checksum was verified."""

    path: Path
    digest: str
    """SHA-256 of the content, in hex."""
    size_bytes: int
    created_at: int
    """Seconds since the epoch."""

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it at the start of its content. Raises UnavailableError if it was evicted meanwhile."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise UnavailableError("reading a cached package", str(error.strerror)) from error
        with file:
            file.seek(HEADER)
            yield file


class CachedArchive:
    """Implements `pipeline.ports.PackageTree`: a cached file, held open so that it stays readable after eviction."""

    def __init__(self, stored: CachedFile, file: BinaryIO) -> None:
        self.size_bytes = stored.size_bytes
        self._file = file

    async def stream(self) -> AsyncIterator[bytes]:
        """Stream the archive in chunks. Any number of streams may run, also concurrently."""
        position = HEADER
        while data := await asyncio.to_thread(os.pread, self._file.fileno(), CHUNK, position):
            position += len(data)
            yield data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CacheWriter:
    """A file that is being written to the cache."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        """Append data. Raises UnavailableError when that fails, DiskFullError when the disk is full."""
        self._digest.update(data)
        self.size_bytes += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise _full(error) from error

    def finish(self) -> None:
        """Write the header and flush."""
        self._file.seek(0)
        self._file.write(MAGIC + self._digest.hexdigest().encode() + f"{int(time.time()):020d}".encode())
        self._file.flush()


class PackageCache:
    """Files below `directory/INSTALLATION/`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def scratch(self) -> Path:
        """The directory for temporary files."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._directory

    def lock(self, installation_id: int, key: str) -> asyncio.Lock:
        """The lock of a key, so that concurrent requests fetch a file once."""
        return self._locks.setdefault(f"{installation_id}/{key}", asyncio.Lock())

    async def get(self, installation_id: int, key: str) -> CachedFile | None:
        """Look up a file; None when it is missing or damaged. Damaged files are removed."""
        return await asyncio.to_thread(_check, self._path(installation_id, key))

    async def put(self, installation_id: int, key: str, fill: Callable[[CacheWriter], Awaitable[None]]) -> CachedFile:
        """Store what `fill` writes. Raises UnavailableError when that fails, DiskFullError when the disk is full."""
        path = self._path(installation_id, key)
        temporary: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=TEMPORARY, delete=False) as file:
                temporary = Path(file.name)
                file.write(bytes(HEADER))
                writer = CacheWriter(file)  # type: ignore[arg-type] # a file of bytes
                await fill(writer)
                await asyncio.to_thread(writer.finish)
            temporary.rename(path)
        except OSError as error:
            raise _full(error) from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        stored = await asyncio.to_thread(_check, path)
        if stored is None:
            raise UnavailableError("caching a package", "the file that was written cannot be read")
        return stored

    async def open(self, stored: CachedFile) -> CachedArchive:
        """Open a file as an archive. Raises UnavailableError if it was evicted meanwhile."""
        try:
            return CachedArchive(stored, await asyncio.to_thread(stored.path.open, "rb"))
        except OSError as error:
            raise UnavailableError("reading cached packages", str(error.strerror)) from error

    async def tidy(self, max_bytes: int, max_age_s: float = MAX_AGE_S) -> None:
        """Remove files unused for `max_age_s`, then those that do not fit into `max_bytes`, fairly between installations."""
        await asyncio.to_thread(_tidy, self._directory, max_bytes, max_age_s)

    async def remove(self, installation_id: int) -> None:
        """Delete the files of an installation that was removed."""
        await asyncio.to_thread(shutil.rmtree, self._directory / str(installation_id), ignore_errors=True)

    def _path(self, installation_id: int, key: str) -> Path:
        # Hashed: keys contain untrusted names.
        return self._directory / str(installation_id) / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _full(error: OSError) -> UnavailableError:
    reason = f"the work directory cannot be written ({error.strerror})"
    kind = DiskFullError if is_full(error) else UnavailableError
    return kind("caching a package", reason, "Free space below DBT_WORK_DIR.")


def _check(path: Path) -> CachedFile | None:
    """Verify a file's checksum; remove the file if it is damaged."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER)
            digest, size = hashlib.sha256(), 0
            while data := file.read(CHUNK):
                digest.update(data)
                size += len(data)
    except OSError:
        return None
    expected, created = header[len(MAGIC) : -20], header[-20:]
    if header[: len(MAGIC)] != MAGIC or expected != digest.hexdigest().encode() or not created.isdigit():
        path.unlink(missing_ok=True)
        return None
    with suppress(OSError):
        os.utime(path)
    return CachedFile(path, digest.hexdigest(), size, int(created))


def _tidy(directory: Path, max_bytes: int, max_age_s: float) -> None:
    now, kept = time.time(), []
    for file in _files(directory):
        temporary = file.item.name.startswith(TEMPORARY)
        if now - file.used_at > (STALE_TEMPORARY_S if temporary else max_age_s):
            file.item.unlink(missing_ok=True)
        elif not temporary:
            kept.append(file)
    for path in evicted(kept, max_bytes):
        path.unlink(missing_ok=True)


def _files(directory: Path) -> Iterator[Cached[Path]]:
    for path in directory.glob("*/*"):
        with suppress(OSError):
            facts = path.stat()
            yield Cached(path, path.parent.name, facts.st_mtime, facts.st_size)
