"""Limits on connections, with real sockets: who waits gives way, and who asks gets an answer."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import pytest
from aiohttp import web

from app.web.http import connections, middleware
from app.web.http.connections import ConnectionLimits, LimitedSite
from tests.patience import HANGS_S

LIMIT = 8


@dataclass
class World:
    port: int
    limits: ConnectionLimits
    release: asyncio.Event = field(default_factory=asyncio.Event)
    opened: AsyncExitStack = field(default_factory=AsyncExitStack)
    written: int = 0
    """Bytes of long answers."""

    async def open(self, sent: bytes = b"") -> asyncio.StreamReader:
        """Open a connection that stays open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened.callback(writer.close)
        writer.write(sent)
        return reader

    async def get(self, path: str = "/") -> bytes:
        """The status of a request on a connection of its own."""
        reader = await self.open(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return (await asyncio.wait_for(reader.read(), HANGS_S)).partition(b"\r\n")[0]

    async def settle(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANGS_S):
            while not reached():
                await asyncio.sleep(0.01)


Serve = Callable[..., Awaitable[World]]


@asynccontextmanager
async def serving(limit: int = LIMIT, **settings: Any) -> AsyncIterator[World]:
    world = World(0, ConnectionLimits(limit, **settings))

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="ok")

    async def wait(_: web.Request) -> web.Response:
        await world.release.wait()
        return web.Response(text="ok")

    async def long(_: web.Request) -> web.Response:
        world.written += 10_000
        return web.Response(text="x" * 10_000)

    web_app = web.Application(middlewares=[world.limits.middleware, middleware.problems])
    web_app.add_routes([web.route("*", "/", answer), web.get("/wait", wait), web.get("/long", long)])
    runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=0.1, lingering_time=0.5)
    await runner.setup()
    await LimitedSite(runner, "127.0.0.1", 0, world.limits).start()
    world.port = runner.addresses[0][1]
    try:
        async with world.opened:
            yield world
    finally:
        world.release.set()
        await runner.cleanup()


OK = b"HTTP/1.1 200 OK"


async def test_silent_connections_keep_nobody_out() -> None:
    async with serving() as world:
        silent = [await world.open() for _ in range(5 * LIMIT)]
        assert [await world.get() for _ in range(3)] == [OK] * 3
        assert await asyncio.wait_for(silent[0].read(), HANGS_S) == b"", "the oldest gave way"
        assert len(world.limits._by_transport) <= LIMIT


async def test_idle_connections_keep_nobody_out() -> None:
    async with serving() as world:
        for _ in range(3 * LIMIT):
            reader = await world.open(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await asyncio.wait_for(reader.readline(), HANGS_S)).startswith(OK)
        assert await world.get() == OK


async def test_bodies_that_never_arrive_keep_nobody_out() -> None:
    async with serving() as world:
        for _ in range(3 * LIMIT):
            await world.open(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        await world.settle(lambda: len(world.limits._busy) >= LIMIT - 1)
        assert await world.get() == OK


async def test_little_is_kept_for_who_never_reads() -> None:
    """Of small answers to many requests, too, which the kernel would take by the megabyte."""
    async with serving() as world:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", world.port))
            client.setblocking(False)  # noqa: FBT003 - it takes no keyword
            client.send(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            await world.settle(lambda: any(one._stalled for one in world.limits._by_transport.values()))
            assert world.written < 512 << 10


async def test_few_requests_are_taken_from_who_never_reads() -> None:
    """However large their headers are: nobody has to be known for them."""
    large = b"GET /long HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 7900) for number in range(7)) + b"\r\n"
    async with serving() as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1)
        world.opened.callback(writer.transport.abort)
        del reader
        writer.write(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n" * 20 + large * 100)
        await world.settle(lambda: bool(world.limits._by_transport))
        [connection] = world.limits._by_transport.values()
        await world.settle(lambda: connection._stalled is not None and not connection.transport.is_reading())  # type: ignore[union-attr]
        assert len(connection._inner._messages) <= 2  # type: ignore[attr-defined]


async def test_who_is_being_answered_is_not_cut_off() -> None:
    async with serving() as world:
        answers = [asyncio.create_task(world.get("/wait")) for _ in range(LIMIT)]
        await world.settle(lambda: len(world.limits._busy) == LIMIT)
        refused = await world.open()
        assert await asyncio.wait_for(refused.read(), HANGS_S) == b""
        world.release.set()
        assert await asyncio.gather(*answers) == [OK] * LIMIT
        assert await world.get() == OK


async def test_the_network_with_most_connections_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    names = chain(["ours"], repeat("theirs"))
    monkeypatch.setattr(connections, "network_of", lambda _: next(names))
    async with serving() as world:
        ours = await world.open()
        await world.settle(lambda: len(world.limits._by_transport) == 1)
        for _ in range(20):
            await world.open()
        await world.settle(lambda: len(world.limits._waiting.get("theirs", ())) == LIMIT - 1)
        assert not ours.at_eof()
        assert len(world.limits._waiting["ours"]) == 1


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n\r"])
async def test_a_header_has_a_deadline(sent: bytes) -> None:
    async with serving(header_s=0.2) as world:
        reader = await world.open(sent)
        assert await asyncio.wait_for(reader.read(), HANGS_S) == b""


async def test_the_header_of_a_second_request_has_a_deadline_too() -> None:
    async with serving(header_s=0.2) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        world.opened.callback(writer.close)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), HANGS_S)).startswith(OK)
        await asyncio.sleep(0.5)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / ")
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), HANGS_S)).endswith(b"ok"), "idle connections stay open"
        await asyncio.wait_for(reader.readuntil(b"ok"), HANGS_S)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1\r\n")
        assert (await asyncio.wait_for(reader.read(), HANGS_S)) == b""


async def test_a_header_without_end_is_cut_off() -> None:
    async with serving() as world:
        sent = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 8000) for number in range(100))
        reader = await world.open(sent)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            assert b"200" not in await asyncio.wait_for(reader.readexactly(1 << 20), HANGS_S)


async def test_large_bodies_arrive_whole() -> None:
    async with serving() as world:
        body = b"x" * (500 << 10)
        for _ in range(2):
            reader = await world.open(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert (await asyncio.wait_for(reader.read(), HANGS_S)).startswith(OK)


def test_the_limit_is_below_that_of_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in ((1024, 512), (256, 128), (1 << 20, 4096), (resource.RLIM_INFINITY, 4096), (1, 1)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert connections.maximum() == expected
