"""Groups the output of a format lazily into chunks, so that one slow reader does not block the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

PIECE_BYTES = 64 << 10
VALUES_PER_CHUNK = 64

Item = TypeVar("Item")


def pieces(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Join texts into pieces of about `PIECE_BYTES`."""
    piece = bytearray()
    for text in texts:
        piece += text
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def parts(body: bytes) -> Iterator[bytes]:
    """Divide a text that is there already into pieces."""
    return (body[start : start + PIECE_BYTES] for start in range(0, len(body), PIECE_BYTES))


def separated(texts: Iterator[bytes], per_chunk: int = VALUES_PER_CHUNK) -> Iterator[bytes]:
    """Separate JSON values by commas, `per_chunk` values in each chunk."""
    for number, text in enumerate(map(b",".join, batches(texts, per_chunk))):
        yield b"," + text if number else text


def batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items; the last one may be shorter."""
    while batch := list(islice(items, size)):
        yield batch
