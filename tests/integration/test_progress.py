"""Progress as server-sent events: whoever looks on sees each state once, and a crowd costs the database no more than one viewer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.jobs import Extraction, Problem, Repository, StageTime
from app.store import Store, pool, wake
from app.store.extractions import Extractions
from app.web import keys, middleware, pages, routes, watch
from app.web.tokens import ServiceCallers, ServiceTokens

LEASE = timedelta(minutes=1)
SHA = "a" * 40
HEADERS = {"Authorization": "Bearer token", "Accept": "text/event-stream"}
VIEWERS = 200


class Counted(Extractions):
    """Counts how often an extraction is read."""

    read = 0

    async def get(self, extraction_id: str) -> Extraction | None:
        self.read += 1
        return await super().get(extraction_id)


@dataclass
class Event:
    name: str = "message"
    id: str = ""
    data: str = ""
    retry: str = ""

    @property
    def extraction(self) -> Any:
        return json.loads(self.data)


@dataclass
class World:
    url: str
    store: Store
    counted: Counted
    closing: asyncio.Event
    waker: wake.Wake
    connection_id: str
    session: aiohttp.ClientSession
    web_app: web.Application
    extraction_id: str = ""
    running: Extraction | None = field(default=None)

    @property
    def path(self) -> str:
        return f"{self.url}/api/metadata/connections/{self.connection_id}/progress"

    @asynccontextmanager
    async def looking(self, path: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
        async with self.session.get(path or self.path, headers={**HEADERS, **headers}) as response:
            assert (response.status, response.content_type) == (200, "text/event-stream")
            yield events(response)

    async def stage(self, *names: Any) -> None:
        times = [StageTime(name, datetime.now(UTC)) for name in names]
        assert await self.store.extractions.enter_stage(self.extraction_id, "w", names[-1], times)

    async def end(self) -> None:
        await self.store.extractions.finish(self.extraction_id, "w", "failed", [], problem=Problem("It broke", "Because."))


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Read a stream as https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation says."""
    event = Event()
    async for raw in response.content:
        name, _, value = raw.decode().rstrip("\r\n").partition(": ")
        if name == "data":
            event.data += value + "\n"
        elif name in ("id", "retry"):
            setattr(event, name, value)
        elif name == "event":
            event.name = value
        elif not name and event.data:
            yield event
            event = Event()


@pytest_asyncio.fixture
async def world(dsn: str, db: pool.Database) -> AsyncIterator[World]:
    async def webhook(_: web.Request) -> web.Response:
        return web.Response()

    store = Store(db)
    store.extractions = counted = Counted(db)
    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems])
    closing = asyncio.Event()
    async with wake.listening(dsn) as waker, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        web_app[keys.STORE], web_app[keys.WAKE], web_app[keys.CLOSING] = store, waker, closing
        web_app[watch.VIEWS] = watch.Views(closing)
        web_app[keys.CALLERS] = ServiceCallers(ServiceTokens(["token"]))
        pages.set_up(web_app)
        routes.add(web_app, webhook)
        async with TestServer(web_app) as server:
            await store.installations.see(Repository(7, "octo/shop", 3, "main"))
            connection = await store.connections.create(7, "")
            world = World(str(server.make_url("")).rstrip("/"), store, counted, closing, waker, connection.id, session, web_app)
            world.extraction_id = await store.extractions.enqueue(connection.id, "main", SHA, "push")
            world.running = await store.extractions.claim("w", LEASE)
            yield world
            closing.set()
            waker.ring_all()


async def test_each_state_once_and_then_the_end(world: World) -> None:
    seen = []
    async with asyncio.timeout(20), world.looking() as stream:
        async for event in stream:
            seen.append(event)
            if len(seen) == 1:
                await world.stage("cloning")
            elif len(seen) == 2:
                await world.stage("cloning", "parsing")
            elif len(seen) == 3:
                await world.end()
    assert [(event.name, event.extraction["status"], event.extraction["stage"]) for event in seen] == [
        ("progress", "running", None),
        ("progress", "running", "cloning"),
        ("progress", "running", "parsing"),
        ("end", "failed", None),
    ]
    assert len({event.id for event in seen}) == 4
    assert [event.retry for event in seen] == ["2000", "", "", ""]
    assert seen[-1].extraction["error"]["title"] == "It broke"


async def test_who_comes_again_is_not_told_twice(world: World) -> None:
    async with asyncio.timeout(20):
        async with world.looking() as stream:
            first = await anext(stream)
        async with world.looking(**{"Last-Event-ID": first.id}) as stream:
            coming = asyncio.ensure_future(anext(stream))
            await asyncio.wait([coming], timeout=0.5)
            assert not coming.done(), "it is as he knows it"
            await world.stage("cloning")
            assert (await coming).extraction["stage"] == "cloning"
        async with world.looking(**{"Last-Event-ID": "of-another-time"}) as stream:
            assert (await anext(stream)).extraction["stage"] == "cloning"
        await world.end()
        async with world.looking(**{"Last-Event-ID": first.id}) as stream:
            last = await anext(stream)
        assert last.name == "end"
        async with world.session.get(world.path, headers={**HEADERS, "Last-Event-ID": last.id}) as response:
            assert response.status == 204, "the browser stays away"
        async with world.looking(f"{world.url}/extractions/{world.extraction_id}/events") as stream:
            page = await anext(stream)
        assert (page.name, "It broke" in page.data) == ("end", True)


async def test_a_crowd_reads_each_change_once_over_one_listening_connection(world: World) -> None:
    async def look() -> list[str]:
        async with world.looking() as stream:
            return [event.extraction["stage"] or event.extraction["status"] async for event in stream]

    async with asyncio.timeout(60):
        crowd = [asyncio.create_task(look()) for _ in range(VIEWERS)]
        while not (views := list(world.web_app[watch.VIEWS]._views.values())) or views[0].viewers < VIEWERS:
            await asyncio.sleep(0.05)
        before = world.counted.read
        await world.stage("cloning")
        await asyncio.sleep(0.3)
        listening = await world.store._db.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen%'"
        )
        await world.end()
        seen = await asyncio.gather(*crowd)
    assert len(listening) == 1
    assert world.counted.read - before <= 4, "two changes, and perhaps a look in between"
    assert {one[-1] for one in seen} == {"failed"}
    assert world.web_app[watch.VIEWS]._views == {}, "nobody looks, nothing is followed"


async def test_a_viewer_who_goes_away_is_forgotten(world: World) -> None:
    async with asyncio.timeout(30):
        async with world.looking() as stream:
            await anext(stream)
        await world.stage("cloning")
        while world.web_app[watch.VIEWS]._views:
            await asyncio.sleep(0.05)
            await world.stage("parsing")
            await world.stage("cloning")


async def test_streams_close_when_the_server_stops(world: World) -> None:
    async with asyncio.timeout(5), world.looking() as stream:
        await anext(stream)
        world.closing.set()
        world.waker.ring_all()
        assert [event async for event in stream] == []
        async with world.session.get(world.path, headers=HEADERS) as response:
            assert (response.status, response.content_type) == (503, "application/problem+json")


async def test_as_json_it_is_one_state(world: World) -> None:
    async with world.session.get(world.path, headers={"Authorization": "Bearer token"}) as response:
        assert (await response.json())["status"] == "running"
    async with world.session.head(world.path, headers=HEADERS) as response:
        assert response.status == 200


async def test_the_page_shows_the_tries_when_there_was_more_than_one(world: World) -> None:
    path = f"{world.url}/extractions/{world.extraction_id}/events"
    async with asyncio.timeout(20), world.looking(path) as stream:
        assert "Tries" not in (await anext(stream)).data
    why = Problem("GitHub is away", "While fetching <b>octo/shop</b>: it answered with 502.")
    await world.store.extractions.retry(world.extraction_id, "w", timedelta(0), problem=why)
    await world.store.extractions.claim("w", LEASE)
    async with asyncio.timeout(20), world.looking(path) as stream:
        page = (await anext(stream)).data
    assert "retried" in page
    assert "under way" in page
    assert "&lt;b&gt;octo/shop&lt;/b&gt;: it answered with 502." in page
