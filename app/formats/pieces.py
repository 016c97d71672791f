"""What a format writes, in pieces that are made when they are wanted: no reader keeps another one waiting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

PIECE_BYTES = 64 << 10
TEXTS_AT_ONCE = 64

Item = TypeVar("Item")


def pieces(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield texts in pieces of about `PIECE_BYTES`."""
    piece = bytearray()
    for text in texts:
        piece += text
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def separated(texts: Iterator[bytes], at_once: int = TEXTS_AT_ONCE) -> Iterator[bytes]:
    """Yield JSON values with commas between them, so many at once."""
    for number, text in enumerate(map(b",".join, batches(texts, at_once))):
        yield b"," + text if number else text


def batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of so many items."""
    while batch := list(islice(items, size)):
        yield batch
