"""A server that answers like the cluster did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import WSMsgType, web

from tests.cluster.recorder import PROTOCOL
from tests.cluster.recording import Exchange, Names, described, load
from tests.cluster.serving import kubeconfig, served


class Replay:
    """Each request is answered with what followed the same one; repeated ones with the last such answer."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._left = exchanges
        self._last: dict[str, Exchange] = {}
        self._names = Names()
        self.bodies: list[bytes] = []
        """Of the pods that were created."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        known = len(self._names.real)
        self._names.learn(request.method, request.path, body)
        if len(self._names.real) > known:
            self.bodies.append(body)
        exchange = self._next(self._names.plain(described(request.method, request.path, request.query)))
        if exchange.status == 101:
            return await self._program(request, exchange)
        if request.query.get("watch"):
            return await self._watch(request, exchange)
        return web.Response(status=exchange.status, text=self._text(exchange.body), content_type="application/json")

    async def _watch(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        response = web.StreamResponse(status=exchange.status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for line in exchange.lines:
            await response.write(self._text(line).encode() + b"\n")
        # The next change never comes.
        await asyncio.Event().wait()
        return response

    async def _program(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        websocket = web.WebSocketResponse(protocols=[PROTOCOL])
        await websocket.prepare(request)
        for direction, frame in exchange.frames:
            if direction == "out":
                await websocket.send_bytes(frame.encode("latin-1"))
                continue
            missing = frame
            while missing > 0:
                message = await websocket.receive()
                if message.type != WSMsgType.BINARY:
                    return websocket
                missing -= len(message.data)
        if not exchange.closed:
            while not websocket.closed:
                await websocket.receive()
        await websocket.close()
        return websocket

    def _next(self, request: str) -> Exchange:
        for number, exchange in enumerate(self._left):
            if exchange.request == request:
                self._last[request] = self._left.pop(number)
                break
        assert request in self._last, f"nobody has asked the cluster for this: {request}"
        return self._last[request]

    def _text(self, value: object) -> str:
        return self._names.actual(json.dumps(value))


@asynccontextmanager
async def replayed(name: str, directory: Path) -> AsyncIterator[tuple[Replay, str]]:
    """Yield a double of the cluster, and the kubeconfig that leads to it."""
    replay = Replay(load(name))
    async with served(replay.answer) as url:
        yield replay, kubeconfig(directory, url)
