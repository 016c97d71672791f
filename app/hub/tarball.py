"""Archives of packages, read as streams: headers by hand, everything bounded, nothing ever laid out on disk under a name of theirs.

Taken are regular files with clean relative names that dbt reads; links, devices and all else are left out. `tarfile` itself would read
a header of any length into memory, and its filters can be got around.
"""

from __future__ import annotations

import gzip
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from app.deps.pins import UnobtainableError
from app.inference.project import MAX_SEED_BYTES, READ_BY_DBT, is_clean

ROOT = "src/"
BLOCK = tarfile.BLOCKSIZE
CHUNK = 256 << 10
MAX_HEADER = 64 << 10
"""Of an extended header, which holds a long name: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html."""
MTIME_BASE = 1_000_000_000
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_REGULAR = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_EMPTY = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE})
_BROKEN = (OSError, EOFError, zlib.error, tarfile.HeaderError, ValueError)

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one package: files and bytes that are kept, and bytes and entries of the archive, unpacked."""

    files: int = 50_000
    kept_bytes: int = 256 * MIB
    raw_bytes: int = 1024 * MIB
    entries: int = 100_000


@dataclass(slots=True)
class Names:
    """Names that were taken already: a file where another needs a directory could not be laid out."""

    files: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)

    def take(self, path: str) -> bool:
        """Tell whether a name is free, and take it."""
        parents = _parents(path)
        if path in self.files or path in self.directories or not self.files.isdisjoint(parents):
            return False
        self.files.add(path)
        self.directories.update(parents)
        return True


class Writable(Protocol):
    """What an archive is written to."""

    def write(self, data: bytes, /) -> object:
        """Take more of it."""


class Readable(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, fewer only at the end."""


class TarReader:
    """The regular files of an uncompressed archive, one after the other."""

    def __init__(self, stream: Readable, bounds: Bounds) -> None:
        self._stream = stream
        self._bounds = bounds
        self._raw = 0
        self._left = self._padding = 0

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        """Yield name, size and time of each file; what `chunks` did not take of it is skipped. Raises ValueError for what is no archive."""
        path: str | None = None
        for _ in range(self._bounds.entries):
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
                yield path or info.name, info.size, int(info.mtime)
            if info.type not in {_PAX_GLOBAL, _GNU_LINK}:
                path = None
        message = f"it has more than {self._bounds.entries:,} entries"
        raise ValueError(message)

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes of the file that was yielded last."""
        while size:
            data = self._read(min(size, CHUNK))
            size -= len(data)
            self._left -= len(data)
            yield data

    def _begin(self, info: tarfile.TarInfo) -> None:
        if info.size < 0 or info.type == tarfile.GNUTYPE_SPARSE:
            message = "it holds an entry of a kind that packages do not have"
            raise ValueError(message)
        # Links and directories have no content, whatever their size says.
        self._left = 0 if info.type in _EMPTY else info.size
        self._padding = -self._left % BLOCK

    def _long_name(self, kind: bytes) -> str | None:
        if self._left > MAX_HEADER:
            message = "it has a name that is too long"
            raise ValueError(message)
        content = b"".join(self.chunks(self._left))
        if kind == _GNU_NAME:
            return content.rstrip(b"\0").decode("utf-8", "surrogateescape")
        records = _pax_records(content)
        if "size" in records or any(key.startswith("GNU.sparse") for key in records):
            message = "it holds a file of a kind that packages do not have"
            raise ValueError(message)
        return records.get("path")

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._read(min(size, CHUNK)))

    def _read(self, size: int, *, or_nothing: bool = False) -> bytes:
        data = self._stream.read(size)
        self._raw += len(data)
        if self._raw > self._bounds.raw_bytes:
            message = f"it is over {self._bounds.raw_bytes // MIB} MiB unpacked"
            raise ValueError(message)
        if len(data) < size and not (or_nothing and not data):
            message = "it breaks off"
            raise ValueError(message)
        return data


def repack(packed: BinaryIO, sha1: str, out: Writable, bounds: Bounds = Bounds()) -> None:
    """Write the files of a gzipped package that dbt reads as tar entries named `src/...`, without the directory at its top.

    Raises UnobtainableError: it is broken, or too big.
    """
    try:
        with gzip.GzipFile(fileobj=packed) as unpacked:
            _repack(TarReader(unpacked, bounds), mtime(sha1), out, bounds)
    except _BROKEN as error:
        reason = f"What was fetched is not a package that can be read ({error or type(error).__name__})."
        raise UnobtainableError(reason) from error


def _repack(reader: TarReader, modified: int, out: Writable, bounds: Bounds) -> None:
    tops: set[str] = set()
    names, kept = Names(), 0
    for name, size, _ in reader:
        top, _, path = name.removeprefix("./").partition("/")
        if not is_clean(f"{top}/{path}"):
            continue
        tops.add(top)
        if not is_read(path) or not names.take(path):
            continue
        kept += min(size, MAX_SEED_BYTES) if is_seed(path) else size
        if len(tops) > 1:
            message = "it has more than one directory at its top"
            raise ValueError(message)
        if len(names.files) > bounds.files or kept > bounds.kept_bytes:
            message = f"it has more than {bounds.files:,} files or {bounds.kept_bytes // MIB} MiB that dbt reads"
            raise ValueError(message)
        if is_seed(path) and size > MAX_SEED_BYTES:
            content = cut(b"".join(reader.chunks(MAX_SEED_BYTES)))
            write_entry(out, ROOT + path, len(content), modified, iter([content]))
        else:
            write_entry(out, ROOT + path, size, modified, reader.chunks(size))


def is_read(path: str) -> bool:
    """Tell whether dbt may read a file of a package."""
    return path.lower().endswith(READ_BY_DBT) or posixpath.basename(path) == ".dbtignore"


def is_seed(path: str) -> bool:
    """Tell whether dbt parses only the header of a file."""
    return path.lower().endswith(".csv")


def cut(content: bytes) -> bytes:
    """Return the beginning of a longer file up to its last line end."""
    end = content.rfind(b"\n") + 1
    return content[:end] if end else content


def mtime(digest: str) -> int:
    """Return a time that changes when the package does: dbt's partial parsing trusts the times of YAML files."""
    return MTIME_BASE + int(digest[:7], 16)


def write_entry(out: Writable, name: str, size: int, modified: int, chunks: Iterator[bytes]) -> None:
    """Write one regular file."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, modified, 0o644
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
    r"""Return the records of an extended header.

    >>> _pax_records(b"12 path=a/b\n")
    {'path': 'a/b'}
    """
    found: dict[str, str] = {}
    while content:
        length, _, rest = content.partition(b" ")
        end = int(length[:10]) - len(length) - 1
        if not 0 < end <= len(rest):
            message = "it has a header that cannot be read"
            raise ValueError(message)
        key, _, value = rest[: end - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        content = rest[end:]
    return found
