"""Big answers, piece by piece: only as fast as the reader takes them, and a few readers before everything else gets its moment too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TypeVar

from aiohttp import web

from app.web.middleware import SECURITY_HEADERS

AT_ONCE = 4
"""Readers that get a piece in one turn of the event loop."""
WRITE_S = 30.0
"""Who takes nothing for so long is not waited for."""

Result = TypeVar("Result")


class Turns:
    """The turns that readers take."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def take(self, work: Callable[[], Result]) -> Result:
        """Do what takes a moment."""
        async with self._turns:
            done = work()
            await asyncio.sleep(0)
        return done

    async def send(self, request: web.Request, headers: Mapping[str, str], pieces: Iterator[bytes]) -> web.StreamResponse:
        """Answer at once when it is one piece, else piece by piece."""
        first = await self.take(lambda: list(islice(pieces, 2)))
        if len(first) == 1:
            return web.Response(body=first[0], headers=headers)
        response = web.StreamResponse(headers={**SECURITY_HEADERS, **headers})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        try:
            for piece in first:
                await _write(response, piece)
            while piece := await self.take(partial(next, pieces, b"")):
                await _write(response, piece)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        return response


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(WRITE_S):
        await response.write(piece)
