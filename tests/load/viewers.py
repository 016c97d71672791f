"""Hundreds of people who follow extractions live, and people who open such streams and never read them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

import aiohttp

from tests.load import process
from tests.load.part import Outcome
from tests.load.world import CLIENTS, World, opened
from tests.patience import HANGS_S
from tests.service import TOKEN

VIEWERS = 500
UNREAD = 100
ASKED = 2_000
"""Requests that each of those sends who never read."""
PEOPLE = 20
"""Users of GitHub, who are a part of the viewers; the others use a token of the operator."""
OWN = 8
"""Connections that the tests themselves keep open."""
FILES = "1024:16384"
"""The soft limit of open files that most systems give a program, and a hard one."""
KIB_PER_VIEWER = 256
UNREAD_KIB = 1024
"""How much memory somebody who never reads may cost: less than what one of them asked for."""


class Viewer:
    """Somebody who follows an extraction until it ends."""

    def __init__(self, repository_id: int, url: str, token: str) -> None:
        self.repository_id, self._url = repository_id, url
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        self.seen = asyncio.Event()
        """The first state has arrived."""
        self.events = 0
        self._last = "", ""
        """The name and the data of the last event."""

    def last_state(self, extraction_id: str) -> str:
        """The last state of the extraction that was seen, `succeeded` if that was the end; otherwise what was seen instead."""
        name, data = self._last
        if name == "end" and data.startswith("{"):
            return str(json.loads(data)["status"]) if json.loads(data)["id"] == extraction_id else f"another extraction: {data}"
        return "succeeded" if name == "end" and ">succeeded</p>" in data else f"{name}: {data}"

    async def look(self, session: aiohttp.ClientSession) -> None:
        async with session.get(self._url, headers=self._headers) as response:
            assert (response.status, response.content_type) == (200, "text/event-stream"), await response.text()
            name, data = "", ""
            async for raw in response.content:
                field, _, value = raw.decode().rstrip("\r\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data += value
                elif not field and data:
                    self._last, self.events, name, data = (name, data), self.events + 1, "", ""
                    self.seen.set()


class Unread:
    """Sockets with requests for streams whose answers are never read."""

    def __init__(self, world: World) -> None:
        self._port = int(world.service.url.rpartition(":")[2])
        self._sockets: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for one in self._sockets:
            one.close()

    async def ask(self, path: str, times: int) -> None:
        """Ask again and again over one connection, as far as the service takes it."""
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)  # noqa: FBT003 - it takes no keyword
        self._sockets.append(one)
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self._port))
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nAccept: text/event-stream\r\n\r\n".encode()
        with suppress(BlockingIOError):
            one.send(request * times)


class Clients:
    """The most connections to the database that were seen."""

    def __init__(self) -> None:
        self.most = 0

    @asynccontextmanager
    async def watched(self, world: World) -> AsyncIterator[None]:
        """Look all the time."""
        watching = asyncio.create_task(self._watch(world))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self, world: World) -> None:
        while True:
            self.most = max(self.most, await world.value(CLIENTS))
            await asyncio.sleep(0.02)


async def run(
    viewers: int = VIEWERS, unread: int = UNREAD, *, repositories: int = 10, asked: int = ASKED, until_gone: bool = True
) -> Outcome:
    """Extract without viewers, and then beside viewers and people who never read; with `until_gone`, until those are disconnected."""
    outcome, alone, beside = Outcome(), Clients(), Clients()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with opened(repositories, BENCH_FILES=FILES) as world, aiohttp.ClientSession(connector=connector) as session:
        async with alone.watched(world):
            ended = await _queued(world)
            await _extracted(world)
        extractions, before = await _queued(world), await process.read(world.service, world.directory)
        crowd = await _crowd(world, extractions, viewers)
        async with beside.watched(world), Unread(world) as sockets:
            looking = [asyncio.create_task(one.look(session)) for one in crowd]
            await _until_open(world, viewers, looking)
            await asyncio.gather(*(one.seen.wait() for one in crowd))
            looked = await process.read(world.service, world.directory)
            paths = [f"/extractions/{id_}/events" for id_ in ended.values()]
            for number in range(unread):
                await sockets.ask(paths[number % len(paths)], asked)
            await _until_stuck(world, paths)
            await _extracted(world)
            async with asyncio.timeout(HANGS_S):
                await asyncio.gather(*looking)
            burdened = await process.read(world.service, world.directory)
            _unread(outcome, _answered(world, paths), unread, asked)
            if until_gone:
                await _until(world, "freshet_http_connections", lambda count: count <= OWN)
                outcome.row("of these, disconnected by the service", unread)
        _final_states(outcome, crowd, extractions)
        _database(outcome, alone, beside, int((await process.samples(world.service))["freshet_database_connections_limit"]))
        _memory(outcome, before.rss_kib, looked.rss_kib, viewers, "memory of a viewer, KiB", KIB_PER_VIEWER)
        _memory(outcome, looked.rss_kib, burdened.rss_kib, unread, "memory of somebody who never reads, KiB", UNREAD_KIB)
        left = (await process.read(world.service, world.directory)).tasks - before.tasks
        outcome.row("tasks that are left by all of them", left)
        outcome.check(not until_gone or left <= 2, f"{left} tasks are left")
        outcome.check('"level": "error"' not in world.service.log, "the log has an error")
    return outcome


async def _queued(world: World) -> dict[int, str]:
    """Push to every repository, with dbt held up; the ids of the extractions by repository."""
    world.gate.unlink()
    shas = await world.push_to_all()
    found = {}
    for repository_id, sha in shas.items():
        async with asyncio.timeout(HANGS_S):
            while not (id_ := await world.value("SELECT id::text FROM extractions WHERE sha = $1", sha)):
                await asyncio.sleep(0.05)
        found[repository_id] = str(id_)
    return found


async def _extracted(world: World) -> None:
    world.gate.touch()
    await world.settled()


async def _crowd(world: World, extractions: Mapping[int, str], count: int) -> Sequence[Viewer]:
    """Viewers of pages and of the API, people and programs."""
    connections, everywhere = await world.connections(), dict.fromkeys(world.repositories, "pull")
    people = [world.github.user_token(f"person{number}", everywhere) for number in range(PEOPLE)]  # type: ignore[arg-type]
    found = []
    for number in range(count):
        id_ = world.repositories[number % len(world.repositories)].id
        progress = f"/api/metadata/connections/{connections[id_]}/progress"
        path = progress if number % 3 else f"/extractions/{extractions[id_]}/events"
        token = people[number % PEOPLE] if number % 3 == 1 else TOKEN
        found.append(Viewer(id_, world.service.url + path, token))
    return found


async def _until_open(world: World, count: int, looking: Iterable[asyncio.Task[None]]) -> None:
    """Wait for a number of open streams. Raises the error of a viewer who was refused."""

    def reached(streams: float) -> bool:
        for one in looking:
            if one.done():
                one.result()
        return streams == count

    await _until(world, "freshet_http_streams", reached)


async def _until(world: World, metric: str, reached: Callable[[float], bool]) -> None:
    async with asyncio.timeout(HANGS_S):
        while not reached((await process.samples(world.service))[metric]):
            await asyncio.sleep(0.1)


def _answered(world: World, paths: Sequence[str]) -> int:
    log = world.service.log
    return sum(log.count(f'"{path}"') for path in paths)


async def _until_stuck(world: World, paths: Sequence[str]) -> None:
    """Wait until the service answers no more of what nobody reads."""
    before, now = -1, 0
    async with asyncio.timeout(HANGS_S):
        while now != before:
            await asyncio.sleep(1)
            before, now = now, _answered(world, paths)


def _unread(outcome: Outcome, answered: int, unread: int, asked: int) -> None:
    outcome.row(f"people who never read, with {asked:,} requests each", unread)
    outcome.row("their requests that the service answered before it stopped", f"{answered:,} of {unread * asked:,}")
    outcome.check(answered < unread * asked // 4, f"{answered:,} answers for people who never read")


def _final_states(outcome: Outcome, crowd: Sequence[Viewer], extractions: Mapping[int, str]) -> None:
    last = Counter(one.last_state(extractions[one.repository_id]) for one in crowd)
    outcome.row("viewers", len(crowd))
    outcome.row("viewers who saw the end of their extraction", last["succeeded"])
    outcome.row("events that they received", sum(one.events for one in crowd))
    outcome.check(set(last) == {"succeeded"}, f"what viewers saw last: {dict(last)}")


def _database(outcome: Outcome, alone: Clients, beside: Clients, limit: int) -> None:
    outcome.row("most connections to the database, without and with viewers", f"{alone.most} and {beside.most}")
    outcome.check(beside.most <= limit + 1, f"{beside.most} connections to the database: the pool has {limit}, and one listens")


def _memory(outcome: Outcome, before_kib: int, now_kib: int, count: int, name: str, most_kib: int) -> None:
    each = (now_kib - before_kib) / count
    outcome.row(f"{name} (of {count})", f"{each:.0f}")
    outcome.check(each < most_kib, f"{name}: {each:.0f}")
