"""A proxy in front of a cluster that records what passes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from tests.cluster.recording import Exchange, Names, described, without_noise
from tests.cluster.serving import kubeconfig, served

PROTOCOL = "v4.channel.k8s.io"


class Recorder:
    """Serves one client at a time."""

    def __init__(self, server: str, token: str, trusted: ssl.SSLContext) -> None:
        self._server, self._headers, self._trusted = server, {"Authorization": f"Bearer {token}"}, trusted
        self.exchanges: list[Exchange] = []
        self.names = Names()
        self._session: aiohttp.ClientSession

    async def answer(self, request: web.Request) -> web.StreamResponse:
        async with aiohttp.ClientSession(headers=self._headers, connector=aiohttp.TCPConnector(ssl=self._trusted)) as session:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._program(request, session)
            return await self._request(request, session)

    async def _request(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        body = await request.read()
        self.names.learn(request.method, request.path, body)
        exchange = self._begun(request)
        headers = {"Content-Type": request.content_type, "Accept": "application/json"}
        async with session.request(request.method, self._server + request.path_qs, data=body, headers=headers) as found:
            exchange.status = found.status
            response = web.StreamResponse(status=found.status, headers={"Content-Type": "application/json"})
            await response.prepare(request)
            if request.query.get("watch"):
                with suppress(ConnectionError):
                    async for line in found.content:
                        if self._deleted(request):
                            break
                        exchange.lines.append(without_noise(json.loads(line)))
                        await response.write(line)
            else:
                text = await found.read()
                exchange.body = without_noise(json.loads(text))
                await response.write(text)
        return response

    async def _program(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        exchange = self._begun(request)
        client = web.WebSocketResponse(protocols=[PROTOCOL])
        try:
            cluster = await session.ws_connect(self._server + request.path_qs, protocols=[PROTOCOL])
        except aiohttp.WSServerHandshakeError as error:
            exchange.status = error.status
            return web.Response(status=error.status)
        exchange.status = 101
        await client.prepare(request)
        passing = asyncio.create_task(self._passed_in(client, cluster, exchange))
        async for message in cluster:
            exchange.frames.append(("out", bytes(message.data).decode("latin-1")))
            await client.send_bytes(message.data)
        exchange.closed = not client.closed
        passing.cancel()
        await client.close()
        return client

    async def _passed_in(self, client: web.WebSocketResponse, cluster: aiohttp.ClientWebSocketResponse, exchange: Exchange) -> None:
        async for message in client:
            if exchange.frames and exchange.frames[-1][0] == "in":
                exchange.frames[-1] = ("in", exchange.frames[-1][1] + len(message.data))
            else:
                exchange.frames.append(("in", len(message.data)))
            await cluster.send_bytes(message.data)
        await cluster.close()

    def _deleted(self, request: web.Request) -> bool:
        """Whether the runner has deleted the pod that it watched, and so does not watch it any more."""
        name = request.query["fieldSelector"].partition("=")[2]
        return any(one.request.startswith("DELETE") and one.request.endswith(f"/{name}") for one in self.exchanges)

    def _begun(self, request: web.Request) -> Exchange:
        self.exchanges.append(Exchange(described(request.method, request.path, request.query), 0))
        return self.exchanges[-1]


@asynccontextmanager
async def recording(real: Path, directory: Path) -> AsyncIterator[tuple[Recorder, str]]:
    """Yield a recorder in front of the cluster of a kubeconfig, and the kubeconfig that leads to the recorder."""
    found = yaml.safe_load(real.read_text())
    cluster = found["clusters"][0]["cluster"]
    trusted = ssl.create_default_context(cafile=cluster["certificate-authority"])
    recorder = Recorder(cluster["server"], found["users"][0]["user"]["token"], trusted)
    async with served(recorder.answer) as url:
        yield recorder, kubeconfig(directory, url)
