"""Large JSON bodies: read within limits, and decompressed in a thread. The body of other requests is much smaller."""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
from aiohttp import web

from app.web.http.problems import HttpProblem

T = TypeVar("T")
MAX_BYTES = 32 << 20
"""Of one body, before and after decompression."""
HELD_BYTES = 96 << 20
"""Of all bodies of this process that are being received or read."""
PER_CALLER = 2
"""Bodies that one token can send at a time."""
READ_S = 30.0
AGAIN_S = "5"
PIECE_BYTES = 64 << 10
UNPACKED_BYTES = 1 << 20
GZIP = 31
"""zlib's `wbits` for the format of gzip."""
MAGIC = b"\x1f\x8b"
"""A gzip body begins with it, and no JSON does."""


class Uploads:
    """All such bodies of one kind. They are understood one after the other: what that takes in memory is limited for each."""

    def __init__(self, held_bytes: int = HELD_BYTES) -> None:
        self._limit, self._held = held_bytes, 0
        self._callers: Counter[str] = Counter()
        self._turn = asyncio.Semaphore(1)

    async def read(self, request: web.Request, key: str, understand: Callable[[bytes | bytearray], T]) -> T:
        """What `understand`, which is called in a thread, makes of the body. Raises HttpProblem, and what `understand` raises.

        `key` identifies the caller. The rest of a body that is refused stays unread.
        """
        _check_headers(request)
        async with self._body(key) as body:
            await self._receive(request, body)
            async with self._turn:
                return await asyncio.to_thread(lambda: understand(unpacked(body)))

    @asynccontextmanager
    async def _body(self, key: str) -> AsyncIterator[bytearray]:
        if self._callers[key] >= PER_CALLER:
            detail = f"This token is sending {PER_CALLER} bodies already: try again when one of them has ended."
            raise HttpProblem(429, "Too many bodies at once", detail, headers={"Retry-After": AGAIN_S})
        self._callers[key] += 1
        body = bytearray()
        try:
            yield body
        finally:
            self._held -= len(body)
            self._callers[key] -= 1
            if not self._callers[key]:
                del self._callers[key]

    async def _receive(self, request: web.Request, body: bytearray) -> None:
        try:
            async with asyncio.timeout(READ_S):
                async for chunk in request.content.iter_any():
                    if len(body) + len(chunk) > MAX_BYTES:
                        raise too_big()
                    if self._held + len(chunk) > self._limit:
                        detail = "The service is receiving too many large bodies: try again in a moment."
                        raise HttpProblem(503, "Too many bodies at once", detail, headers={"Retry-After": AGAIN_S})
                    body += chunk
                    self._held += len(chunk)
        except TimeoutError as error:
            raise HttpProblem(408, "Request body too slow", f"`body`: must arrive within {READ_S:g} s", field="body") from error
        except (web.RequestPayloadError, aiohttp.ClientError, ConnectionError) as error:
            raise HttpProblem(400, "Invalid request", "`body`: ended early or is damaged", field="body") from error


def unpacked(body: bytearray) -> bytearray:
    """The body, decompressed if it is gzip. Raises HttpProblem: 413, or 400 if it is damaged."""
    if not body.startswith(MAGIC):
        return body
    unpacker, found, view = zlib.decompressobj(GZIP), bytearray(), memoryview(body)
    for start in range(0, len(body), PIECE_BYTES):
        # In small pieces: what is left of one is copied each time.
        rest: bytes | memoryview = view[start : start + PIECE_BYTES]
        while rest and not unpacker.eof:
            try:
                found += unpacker.decompress(rest, UNPACKED_BYTES)
            except zlib.error as error:
                raise _damaged() from error
            if len(found) > MAX_BYTES:
                raise too_big()
            rest = unpacker.unconsumed_tail
        if unpacker.eof and (unpacker.unused_data or start + PIECE_BYTES < len(body)):
            raise _damaged()
    if not unpacker.eof:
        raise _damaged()
    return found


def too_big() -> HttpProblem:
    """413 that says how large a body can be."""
    return HttpProblem(
        413, "Request body too big", f"`body`: is larger than {MAX_BYTES:,} bytes (before or after decompression)", field="body"
    )


def _damaged() -> HttpProblem:
    return HttpProblem(400, "Invalid request", "`body`: is not one complete gzip file", field="body")


def _check_headers(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise HttpProblem(415, "Media type not supported", "`Content-Type`: must be `application/json`", field="Content-Type")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        detail = "`Content-Encoding`: must be `gzip`, or absent"
        raise HttpProblem(415, "Encoding not supported", detail, headers={"Accept-Encoding": "gzip"}, field="Content-Encoding")
    if (request.content_length or 0) > MAX_BYTES:
        raise too_big()
