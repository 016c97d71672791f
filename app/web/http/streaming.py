"""Large responses, chunk by chunk: no faster than the client reads, and without keeping the event loop from other requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TypeVar

from aiohttp import web

from app.core.errors import UnavailableError
from app.web.http.middleware import SECURITY_HEADERS

AT_ONCE = 4
"""Responses that make a chunk in one turn of the event loop."""
WRITE_S = 30.0
"""A client that reads nothing for this long is disconnected."""

Result = TypeVar("Result")


class FairWriter:
    """Makes and sends the chunks of many responses in turn."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def take(self, work: Callable[[], Result]) -> Result:
        """Do a few milliseconds of work on the event loop when it is this response's turn."""
        async with self._slots:
            result = work()
            await asyncio.sleep(0)
        return result

    async def send(self, request: web.Request, headers: Mapping[str, str], chunks: Iterator[bytes]) -> web.StreamResponse:
        """Send one chunk as a plain response, several as a stream."""
        first = await self.take(lambda: list(islice(chunks, 2)))
        if len(first) == 1:
            return web.Response(body=first[0], headers=headers)
        response = web.StreamResponse(headers={**SECURITY_HEADERS, **headers})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            for chunk in first:
                await _write(response, chunk)
            while chunk := await self.take(partial(next, chunks, b"")):
                await _write(response, chunk)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        return response


async def send_pieces(request: web.Request, headers: Mapping[str, str], pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send pieces as they come. If they cannot be completed, the connection is closed, so that the client does not take a part for all."""
    response = web.StreamResponse(headers={**SECURITY_HEADERS, **headers})
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        async for piece in pieces:
            await _write(response, piece)
    except (TimeoutError, ConnectionError, UnavailableError):
        if request.transport is not None:
            request.transport.abort()
    return response


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    async with asyncio.timeout(WRITE_S):
        await response.write(chunk)
