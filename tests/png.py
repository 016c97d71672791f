"""Makes the pictures that a browser takes small: https://www.w3.org/TR/png-3/."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {2: 3, 6: 4}
"""Bytes of a pixel by color type: with and without transparency."""
MAX_COLORS = 256


def with_palette(picture: bytes) -> bytes:
    """The same picture with at most 256 colors, each at most a few steps off. `picture`: 8 bits a channel, not interlaced."""
    chunks = list(_chunks(picture))
    width, height, _, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    rows = list(_rows(zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT")), width, height, CHANNELS[kind]))
    pixels, step = {pixel for row in rows for pixel in row}, 1
    while len({_rounded(pixel, step) for pixel in pixels}) > MAX_COLORS:
        step += 1
    colors = sorted({_rounded(pixel, step) for pixel in pixels})
    numbers = {pixel: colors.index(_rounded(pixel, step)) for pixel in pixels}
    content = b"".join(b"\0" + bytes(map(numbers.__getitem__, row)) for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", b"".join(map(bytes, colors))), (b"IDAT", zlib.compress(content, 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in parts)


def _rounded(pixel: bytes, step: int) -> tuple[int, int, int]:
    """A color on a coarser scale; white stays white."""
    red, green, blue = (255 - (255 - channel) // step * step for channel in pixel[:3])
    return red, green, blue


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(picture):
        (size,) = struct.unpack(">I", picture[at : at + 4])
        yield picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
        at += 12 + size


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _rows(content: bytes, width: int, height: int, channels: int) -> Iterator[list[bytes]]:
    """The pixels of each row, with the filters undone."""
    before, size = bytes(width * channels), width * channels
    for number in range(height):
        start = number * (size + 1)
        before = bytes(_unfiltered(content[start], content[start + 1 : start + 1 + size], before, channels))
        yield [before[at : at + channels] for at in range(0, size, channels)]


def _unfiltered(kind: int, row: bytes, above: bytes, channels: int) -> bytearray:
    found = bytearray(row)
    for at in range(len(row)):
        left, corner = (found[at - channels], above[at - channels]) if at >= channels else (0, 0)
        predicted = (0, left, above[at], (left + above[at]) // 2, _paeth(left, above[at], corner))[kind]
        found[at] = (row[at] + predicted) & 255
    return found


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))
