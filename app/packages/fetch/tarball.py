"""Reads untrusted package archives as streams, with limits on everything; nothing is written to disk under a name from the archive.

Only regular files with clean relative names that dbt reads are kept; links, devices and the rest are skipped. `tarfile` itself would
read a header of any length into memory, and its filters can be bypassed.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from app.packages.pins import UnusablePackageError
from app.project import read_files
from app.project.checkout import is_clean
from app.project.read_files import MAX_SEED_BYTES

ROOT = "src/"
BLOCK = tarfile.BLOCKSIZE
CHUNK = 256 << 10
MAX_HEADER = 64 << 10
MAX_DIGITS = 10
MAX_DIRECTORY_CHARACTERS = 64 << 20
"""In the names of all directories of an archive: 50,000 files could each be below a thousand of their own."""
"""Of an extended header with a long name: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html."""
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_REGULAR = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_EMPTY = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE})
_DAMAGED = (OSError, EOFError, zlib.error, tarfile.HeaderError, ValueError)

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class PackageLimits:
    """Limits of one package: `files` and `total_bytes` that dbt reads, `raw_bytes` and `entries` of the unpacked archive."""

    files: int = 50_000
    total_bytes: int = 256 * MIB
    raw_bytes: int = 1024 * MIB
    entries: int = 100_000


@dataclass(slots=True)
class PathSet:
    """Paths of an archive so far: no path may be a file and a directory, or occur twice."""

    files: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)
    characters: int = 0
    """Of the directories."""

    def add(self, path: str) -> bool:
        """Add a file; False if it conflicts with an earlier one."""
        parents = _parents(path) - self.directories
        if path in self.files or path in self.directories or not self.files.isdisjoint(parents):
            return False
        self.files.add(path)
        self.directories.update(parents)
        self.characters += sum(map(len, parents))
        if self.characters > MAX_DIRECTORY_CHARACTERS:
            message = "its directories are nested too deep, or have names that are too long"
            raise ValueError(message)
        return True


class Writable(Protocol):
    """The output of an archive."""

    def write(self, data: bytes, /) -> object:
        """Append data."""


class Readable(Protocol):
    """The input of an archive."""

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes, fewer only at the end."""


class TarReader:
    """Iterates over the regular files of an uncompressed archive."""

    def __init__(self, stream: Readable, limits: PackageLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._raw = 0
        self._left = self._padding = 0

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Yield name and size of each file; content that `chunks` did not read is skipped. Raises ValueError: not an archive."""
        path: str | None = None
        for _ in range(self._limits.entries):
            self._skip(self._left + self._padding)
            self._left = self._padding = 0
            block = self._read(BLOCK, or_nothing=True)
            if not block.strip(b"\0"):
                return
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            self._begin(info)
            if info.type in {_PAX, _GNU_NAME}:
                path = self._long_name(info.type) or path
                continue
            if info.type in _REGULAR:
                yield path or info.name, info.size
            if info.type not in {_PAX_GLOBAL, _GNU_LINK}:
                path = None
        message = f"it has more than {self._limits.entries:,} entries"
        raise ValueError(message)

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes of the current file."""
        while size:
            data = self._read(min(size, CHUNK))
            size -= len(data)
            self._left -= len(data)
            yield data

    def _begin(self, info: tarfile.TarInfo) -> None:
        if info.size < 0 or info.type == tarfile.GNUTYPE_SPARSE:
            message = "it contains an entry of an unsupported type"
            raise ValueError(message)
        # Links and directories have no content, whatever their size says.
        self._left = 0 if info.type in _EMPTY else info.size
        self._padding = -self._left % BLOCK

    def _long_name(self, kind: bytes) -> str | None:
        if self._left > MAX_HEADER:
            message = "it contains a name that is too long"
            raise ValueError(message)
        content = b"".join(self.chunks(self._left))
        if kind == _GNU_NAME:
            return content.rstrip(b"\0").decode("utf-8", "surrogateescape")
        records = _pax_records(content)
        if "size" in records or any(key.startswith("GNU.sparse") for key in records):
            message = "it contains a file of an unsupported type"
            raise ValueError(message)
        return records.get("path")

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._read(min(size, CHUNK)))

    def _read(self, size: int, *, or_nothing: bool = False) -> bytes:
        data = self._stream.read(size)
        self._raw += len(data)
        if self._raw > self._limits.raw_bytes:
            message = f"it is over {self._limits.raw_bytes // MIB} MiB unpacked"
            raise ValueError(message)
        if len(data) < size and not (or_nothing and not data):
            message = "it is truncated"
            raise ValueError(message)
        return data


def repack(packed: BinaryIO, out: Writable, limits: PackageLimits = PackageLimits()) -> None:
    """Write the files of a gzipped package that dbt reads as tar entries named `src/...`, without the archive's top directory.

    Raises UnusablePackageError when the archive is damaged or too big.
    """
    try:
        with gzip.GzipFile(fileobj=packed) as unpacked:
            _repack(TarReader(unpacked, limits), out, limits)
    except _DAMAGED as error:
        raise UnusablePackageError(f"cannot be unpacked: {error or type(error).__name__}") from error


def _repack(reader: TarReader, out: Writable, limits: PackageLimits) -> None:
    tops: set[str] = set()
    paths, total = PathSet(), 0
    for name, size in reader:
        top, _, path = name.removeprefix("./").partition("/")
        if not is_clean(f"{top}/{path}"):
            continue
        tops.add(top)
        if not is_read(path) or not paths.add(path):
            continue
        total += min(size, MAX_SEED_BYTES) if is_seed(path) else size
        if len(tops) > 1:
            message = "it has more than one top directory"
            raise ValueError(message)
        if len(paths.files) > limits.files or total > limits.total_bytes:
            message = f"it has more than {limits.files:,} files or {limits.total_bytes // MIB} MiB that dbt reads"
            raise ValueError(message)
        wanted = min(size, MAX_SEED_BYTES) if is_seed(path) else size
        write_entry(out, ROOT + path, wanted, reader.chunks(wanted))


def is_read(path: str) -> bool:
    """True for files of a package that dbt may read."""
    return read_files.is_read(path, read_files.PACKAGED)


def is_seed(path: str) -> bool:
    """True for files that dbt does not read beyond its limit for seeds."""
    return path.lower().endswith(".csv") and "/fixtures/" not in path


def write_entry(out: Writable, name: str, size: int, chunks: Iterator[bytes]) -> None:
    """Write one regular file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    out.write(info.tobuf(tarfile.PAX_FORMAT))
    for chunk in chunks:
        out.write(chunk)
    out.write(bytes(-size % BLOCK))


def write_link(out: Writable, name: str, target: str) -> None:
    """Write a symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    out.write(info.tobuf(tarfile.PAX_FORMAT))


def _parents(path: str) -> set[str]:
    parts = path.split("/")
    return {"/".join(parts[:end]) for end in range(1, len(parts))}


def _pax_records(content: bytes) -> dict[str, str]:
    r"""Parse the records of an extended header.

    >>> _pax_records(b"12 path=a/b\n")
    {'path': 'a/b'}
    """
    records: dict[str, str] = {}
    start = 0
    while start < len(content):
        space = content.find(b" ", start, start + MAX_DIGITS)
        end = start + int(content[start : max(space, start)])
        if not space < end <= len(content):
            message = "it has a header that cannot be read"
            raise ValueError(message)
        key, _, value = content[space + 1 : end - 1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        start = end
    return records
