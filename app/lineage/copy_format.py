"""The part of PostgreSQL's binary COPY format that nodes need. Rows are encoded once and passed on unchanged.

https://www.postgresql.org/docs/current/sql-copy.html; texts are in UTF-8, arrays as `array_send` writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
TRAILER = struct.pack("!h", -1)
CHUNK_BYTES = 1 << 18
"""Small enough that writing a chunk to a socket does not block the event loop noticeably."""

_LENGTH = struct.Struct("!i")
LENGTH_BYTES = _LENGTH.size
NULL = _LENGTH.pack(-1)
"""The value of a NULL column."""
_ARRAY = struct.Struct("!iii")
_DIMENSION = struct.Struct("!ii")
_TEXT_OID = 25


def row_start(columns: int) -> bytes:
    """The header of a row with this number of columns."""
    return struct.pack("!h", columns)


def fields(*values: bytes | None) -> bytes:
    """The columns of a row; None is NULL."""
    parts: list[bytes] = []
    for value in values:
        parts += (NULL,) if value is None else (_LENGTH.pack(len(value)), value)
    return b"".join(parts)


def length(prefix: bytes) -> int:
    """The length of a column's value in bytes, from the `LENGTH_BYTES` before it; -1 for NULL."""
    found: int = _LENGTH.unpack(prefix)[0]
    return found


def values(row: bytes) -> list[bytes | None]:
    """The columns of a row that `fields` wrote."""
    found: list[bytes | None] = []
    start = 0
    while start < len(row):
        size = length(row[start : start + LENGTH_BYTES])
        start += LENGTH_BYTES
        found.append(None if size < 0 else row[start : start + size])
        start += max(size, 0)
    return found


def text_array(values: Sequence[str]) -> bytes:
    """The value of a `text[]` column."""
    if not values:
        return _ARRAY.pack(0, 0, _TEXT_OID)
    return _ARRAY.pack(1, 0, _TEXT_OID) + _DIMENSION.pack(len(values), 1) + fields(*(value.encode() for value in values))


def chunks(rows: Iterable[bytes], before: bytes = b"") -> Iterator[bytes]:
    """Join rows, each prefixed with `before`, into chunks of about `CHUNK_BYTES`."""
    pending = bytearray()
    for row in rows:
        pending += before
        pending += row
        if len(pending) >= CHUNK_BYTES:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
