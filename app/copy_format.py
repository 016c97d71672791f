"""PostgreSQL's binary COPY format, as far as nodes need it: made where the nodes are, handed on as it is.

https://www.postgresql.org/docs/current/sql-copy.html; texts are in UTF-8, arrays as `array_send` writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
TRAILER = struct.pack("!h", -1)
CHUNK = 1 << 18
"""Bytes that are handed on at once: few enough that writing them to a socket does not hold up the event loop."""

_LENGTH = struct.Struct("!i")
NULL = _LENGTH.pack(-1)
"""A column without a value."""
_ARRAY = struct.Struct("!iii")
_DIMENSION = struct.Struct("!ii")
_TEXT_OID = 25


def start(columns: int) -> bytes:
    """Return how a row of so many columns begins."""
    return struct.pack("!h", columns)


def fields(*values: bytes | None) -> bytes:
    """Return columns of a row; None is NULL."""
    parts: list[bytes] = []
    for value in values:
        parts += (NULL,) if value is None else (_LENGTH.pack(len(value)), value)
    return b"".join(parts)


def texts(values: Sequence[str]) -> bytes:
    """Return the value of a column of type `text[]`."""
    if not values:
        return _ARRAY.pack(0, 0, _TEXT_OID)
    return _ARRAY.pack(1, 0, _TEXT_OID) + _DIMENSION.pack(len(values), 1) + fields(*(value.encode() for value in values))


def chunks(rows: Iterable[bytes], before: bytes = b"") -> Iterator[bytes]:
    """Join rows, each with `before` before it, to pieces of about `CHUNK` bytes."""
    pending = bytearray()
    for row in rows:
        pending += before
        pending += row
        if len(pending) >= CHUNK:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)
