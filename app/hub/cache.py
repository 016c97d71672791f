"""What is kept of packages between extractions: files by key, one directory per installation, never shared between two of them.

A file is written under a temporary name, then renamed. It begins with the SHA-256 of its content, checked each time before it is used:
what is damaged is removed and fetched again. Any number of processes may share the directory.
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

from app.errors import DiskFullError, UnavailableError, is_full

MAGIC = b"freshet1"
HEADER = len(MAGIC) + 64 + 20
CHUNK = 1 << 20
MAX_AGE_S = 30 * 86400.0
STALE_TEMPORARY_S = 3600.0
TEMPORARY = "new-"


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of the cache, checked."""

    path: Path
    digest: str
    """SHA-256 of the content, in hex."""
    size_bytes: int
    created_at: int
    """Seconds since the epoch."""

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open it at the beginning of its content. Raises UnavailableError when it was evicted meanwhile."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise UnavailableError("reading a package that was kept", str(error.strerror)) from error
        with file:
            file.seek(HEADER)
            yield file


class Archive:
    """A `ports.PackageTree`: a file of the cache, held open, so that it stays readable when it is evicted."""

    def __init__(self, stored: Stored, file: BinaryIO) -> None:
        self.size_bytes = stored.size_bytes
        self._file = file

    async def stream(self) -> AsyncIterator[bytes]:
        """Give the archive in chunks, from its beginning; any number of times, also at once."""
        position = HEADER
        while data := await asyncio.to_thread(os.pread, self._file.fileno(), CHUNK, position):
            position += len(data)
            yield data

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


class Writer:
    """A file on its way into the cache."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> None:
        """Add to it. Raises UnavailableError when the disk does not take it."""
        self._digest.update(data)
        self.size_bytes += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise _full(error) from error

    def finish(self) -> None:
        """Write the header in front."""
        self._file.seek(0)
        self._file.write(MAGIC + self._digest.hexdigest().encode() + f"{int(time.time()):020d}".encode())
        self._file.flush()


class Cache:
    """Files below `directory/INSTALLATION/`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def scratch(self) -> Path:
        """Return a directory for files without a name."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._directory

    def lock(self, installation_id: int, key: str) -> asyncio.Lock:
        """Return the lock of a key: what is asked for twice at once is made once."""
        return self._locks.setdefault(f"{installation_id}/{key}", asyncio.Lock())

    async def get(self, installation_id: int, key: str) -> Stored | None:
        """Return a file that is there and undamaged."""
        return await asyncio.to_thread(_check, self._path(installation_id, key))

    async def put(self, installation_id: int, key: str, fill: Callable[[Writer], Awaitable[None]]) -> Stored:
        """Have `fill` write a file. Raises UnavailableError when the disk does not take it."""
        path = self._path(installation_id, key)
        temporary: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=TEMPORARY, delete=False) as file:
                temporary = Path(file.name)
                file.write(bytes(HEADER))
                writer = Writer(file)  # type: ignore[arg-type] # a file of bytes
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
            raise UnavailableError("keeping a package", "what was written cannot be read again")
        return stored

    async def open(self, stored: Stored) -> Archive:
        """Return a file as a tree of packages."""
        try:
            return Archive(stored, await asyncio.to_thread(stored.path.open, "rb"))
        except OSError as error:
            raise UnavailableError("reading packages that were kept", str(error.strerror)) from error

    async def tidy(self, max_bytes: int, max_age_s: float = MAX_AGE_S) -> None:
        """Remove what was not used for `max_age_s`, then what was not used for longest until the rest fits into `max_bytes`."""
        await asyncio.to_thread(_tidy, self._directory, max_bytes, max_age_s)

    async def remove(self, installation_id: int) -> None:
        """Throw away what is kept for an installation: it was removed."""
        await asyncio.to_thread(shutil.rmtree, self._directory / str(installation_id), ignore_errors=True)

    def _path(self, installation_id: int, key: str) -> Path:
        # Hashed: keys hold names that strangers chose.
        return self._directory / str(installation_id) / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _full(error: OSError) -> UnavailableError:
    reason = f"the work directory does not take it ({error.strerror})"
    kind = DiskFullError if is_full(error) else UnavailableError
    return kind("keeping a package", reason, "Free space below DBT_WORK_DIR.")


def _check(path: Path) -> Stored | None:
    """Read a file through; remove it when it is damaged."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER)
            digest, size = hashlib.sha256(), 0
            while data := file.read(CHUNK):
                digest.update(data)
                size += len(data)
    except OSError:
        return None
    told, created = header[len(MAGIC) : -20], header[-20:]
    if header[: len(MAGIC)] != MAGIC or told != digest.hexdigest().encode() or not created.isdigit():
        path.unlink(missing_ok=True)
        return None
    with suppress(OSError):
        os.utime(path)
    return Stored(path, digest.hexdigest(), size, int(created))


def _tidy(directory: Path, max_bytes: int, max_age_s: float) -> None:
    now, left = time.time(), max_bytes
    for path, used_at, size in sorted(_files(directory), key=lambda found: -found[1]):
        age = now - used_at
        if path.name.startswith(TEMPORARY):
            doomed = age > STALE_TEMPORARY_S
        else:
            left -= size
            doomed = left < 0 or age > max_age_s
        if doomed:
            path.unlink(missing_ok=True)


def _files(directory: Path) -> Iterator[tuple[Path, float, int]]:
    for path in directory.glob("*/*"):
        with suppress(OSError):
            facts = path.stat()
            yield path, facts.st_mtime, facts.st_size
