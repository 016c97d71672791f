"""Progress as server-sent events: every client sees each state once, and many cost the database no more than one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.core.errors import GitHubUnavailableError, UnknownTokenError
from app.core.models.extractions import Extraction, Problem, StageTime
from app.core.models.github import Repository
from app.store import Store, listen, pool
from app.store.extractions import Extractions
from app.web import keys, routes
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import live, middleware, sse
from app.web.pages import frame
from tests.integration.test_frame import ConfiguredApp
from tests.patience import HANGS_S

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


class People:
    """Finds the operator's token, and a reader whose right can be revoked (`core.models.callers`)."""

    everything = False
    key = "reader"

    def __init__(self) -> None:
        self.tokens = ServiceTokens(["token"])
        self.answer: bool | Exception = True

    async def find(self, token: str) -> Any:
        return self if token == "reader" else await ServiceCallers(self.tokens).find(token)

    async def may(self, _right: str, _repository: Repository) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def listed(self) -> None:
        return None


@dataclass
class World:
    url: str
    store: Store
    counted: Counted
    closing: asyncio.Event
    listener: listen.Listener
    connection_id: str
    session: aiohttp.ClientSession
    web_app: web.Application
    people: People
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
    async with listen.listening(dsn) as listener, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        web_app[keys.STORE], web_app[keys.LISTENER], web_app[keys.CLOSING] = store, listener, closing
        web_app[live.VIEWS] = live.LiveViews(closing, streams=2 * VIEWERS)
        people = People()
        web_app[keys.CALLERS] = people
        web_app[keys.SETUP] = ConfiguredApp()  # type: ignore[misc] # all that pages ask of it
        frame.set_up(web_app)
        routes.add(web_app, webhook)
        async with TestServer(web_app) as server:
            await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
            connection = await store.connections.create(7, "")
            world = World(str(server.make_url("")).rstrip("/"), store, counted, closing, listener, connection.id, session, web_app, people)
            world.extraction_id = await store.extractions.enqueue(connection.id, "main", SHA, "push")
            world.running = await store.extractions.claim("w", LEASE)
            yield world
            closing.set()
            listener.wake_all()


async def test_a_stream_sends_each_state_once_and_then_the_end(world: World) -> None:
    seen = []
    async with asyncio.timeout(HANGS_S), world.looking() as stream:
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


async def test_a_reconnecting_client_gets_no_event_twice(world: World) -> None:
    async with asyncio.timeout(HANGS_S):
        async with world.looking() as stream:
            first = await anext(stream)
        async with world.looking(**{"Last-Event-ID": first.id}) as stream:
            coming = asyncio.ensure_future(anext(stream))
            await asyncio.wait([coming], timeout=0.5)
            assert not coming.done(), "nothing has changed"
            await world.stage("cloning")
            assert (await coming).extraction["stage"] == "cloning"
        async with world.looking(**{"Last-Event-ID": "of-another-time"}) as stream:
            assert (await anext(stream)).extraction["stage"] == "cloning"
        await world.end()
        async with world.looking(**{"Last-Event-ID": first.id}) as stream:
            last = await anext(stream)
        assert last.name == "end"
        async with world.session.get(world.path, headers={**HEADERS, "Last-Event-ID": last.id}) as response:
            assert response.status == 204, "so the browser stops reconnecting"
        async with world.looking(f"{world.url}/extractions/{world.extraction_id}/events") as stream:
            page = await anext(stream)
        assert (page.name, "It broke" in page.data) == ("end", True)


async def test_many_streams_cause_one_read_per_change(world: World) -> None:
    async def look() -> list[str]:
        async with world.looking() as stream:
            return [event.extraction["stage"] or event.extraction["status"] async for event in stream]

    async with asyncio.timeout(HANGS_S):
        crowd = [asyncio.create_task(look()) for _ in range(VIEWERS)]
        while not (views := list(world.web_app[live.VIEWS]._views.values())) or views[0].viewers < VIEWERS:
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
    assert world.counted.read - before <= 4, "two changes, and perhaps a poll in between"
    assert {one[-1] for one in seen} == {"failed"}
    assert world.web_app[live.VIEWS]._views == {}, "without streams there are no views"


async def test_a_view_is_closed_with_its_last_stream(world: World) -> None:
    async with asyncio.timeout(HANGS_S):
        async with world.looking() as stream:
            await anext(stream)
        await world.stage("cloning")
        while world.web_app[live.VIEWS]._views:
            await asyncio.sleep(0.05)
            await world.stage("parsing")
            await world.stage("cloning")


async def test_streams_close_when_the_server_stops(world: World) -> None:
    async with asyncio.timeout(HANGS_S), world.looking() as stream:
        await anext(stream)
        world.closing.set()
        world.listener.wake_all()
        assert [event async for event in stream] == []
        async with world.session.get(world.path, headers=HEADERS) as response:
            assert (response.status, response.content_type) == (503, "application/problem+json")


AWAY = GitHubUnavailableError("asking GitHub", "it does not answer")
READER = {"Authorization": "Bearer reader"}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(sse, "ASK_AGAIN_S", 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", [False, UnknownTokenError("asking GitHub", "it does not know the token")])
@pytest.mark.parametrize("busy", [True, False])
async def test_a_stream_ends_when_its_reader_loses_the_right(world: World, *, answer: bool | Exception, busy: bool) -> None:
    async with asyncio.timeout(HANGS_S), world.looking(**READER) as stream:
        await anext(stream)
        world.people.answer = answer
        if busy:
            await world.stage("cloning")
        assert [event async for event in stream] == [], "no more, and no end: the extraction goes on"


@pytest.mark.usefixtures("impatient")
async def test_a_stream_of_a_removed_service_token_ends(world: World) -> None:
    async with asyncio.timeout(HANGS_S), world.looking() as stream:
        await anext(stream)
        world.people.tokens._digests.clear()
        assert [event async for event in stream] == []


@pytest.mark.usefixtures("impatient")
async def test_a_stream_survives_a_short_outage_of_github(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(HANGS_S), world.looking(**READER) as stream:
        await anext(stream)
        world.people.answer = AWAY
        await asyncio.sleep(0.3)
        await world.stage("cloning")
        assert (await anext(stream)).extraction["stage"] == "cloning"
        monkeypatch.setattr(sse, "TRUSTED_S", 0.0)
        assert [event async for event in stream] == [], "without GitHub the answer is not yes for ever"


async def test_open_streams_are_limited_for_each_caller_and_in_sum(world: World) -> None:
    async with asyncio.timeout(HANGS_S), AsyncExitStack() as stack:
        for _ in range(2 * VIEWERS // 10):
            await stack.enter_async_context(world.looking(**READER))
        async with world.session.get(world.path, headers={**HEADERS, **READER}) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "10")
            assert response.content_type == "application/problem+json"
        page = f"{world.url}/extractions/{world.extraction_id}/events"
        async with world.session.get(page, headers={**HEADERS, **READER}) as response:
            assert response.status == 429, "pages and API count together"
        for _ in range(VIEWERS):
            await stack.enter_async_context(world.looking(page))
        for _ in range(2 * VIEWERS * 4 // 10):
            await stack.enter_async_context(world.looking())
        async with world.session.get(world.path, headers=HEADERS) as response:
            assert response.status == 429, "all streams are taken"
    async with asyncio.timeout(HANGS_S):
        while world.web_app[live.VIEWS]._streams:
            await asyncio.sleep(0.05)
            await world.stage("parsing")
            await world.stage("cloning")


async def test_as_json_progress_is_one_state(world: World) -> None:
    async with world.session.get(world.path, headers={"Authorization": "Bearer token"}) as response:
        assert (await response.json())["status"] == "running"
    async with world.session.head(world.path, headers=HEADERS) as response:
        assert response.status == 200


async def test_the_page_shows_attempts_if_there_are_several(world: World) -> None:
    path = f"{world.url}/extractions/{world.extraction_id}/events"
    async with asyncio.timeout(HANGS_S), world.looking(path) as stream:
        assert "Attempts" not in (await anext(stream)).data
    why = Problem("GitHub is unavailable", "While fetching <b>octo/shop</b>: it answered with 502.")
    await world.store.extractions.retry(world.extraction_id, "w", timedelta(0), problem=why)
    await world.store.extractions.claim("w", LEASE)
    async with asyncio.timeout(HANGS_S), world.looking(path) as stream:
        page = (await anext(stream)).data
    assert "retried" in page
    assert "<td>running</td>" in page
    assert "&lt;b&gt;octo/shop&lt;/b&gt;: it answered with 502." in page
