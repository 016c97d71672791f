"""The database hangs up, or the connection is removed, just while columns are stored: all of them or none. Real worker and database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from app.pipeline import connections, outages
from app.pipeline.decoding.inline import Inline
from app.store import Store
from tests.integration.columns_world import A, columns_of, document, head_of, with_columns
from tests.integration.life_world import World, make_world
from tests.integration.test_columns_storing import begun, column_rows, pushed
from tests.patience import HANGS_S

CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'COPY%node_columns%' AND state = 'active'"
NEW = document({**A, "columns": [["id", "bigint"]]})


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> World:
    return await make_world(store, dsn, tmp_path)


@dataclass
class Midway:
    """Columns that do something else after their first rows were sent, each time that they are stored."""

    columns: Any
    meanwhile: Callable[[], Awaitable[None]]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def rows(self, places: Iterable[int], before: bytes) -> Iterator[bytes]:
        chunks = self.columns.rows(places, before)
        yield next(chunks)
        # The store reads rows in a thread.
        asyncio.run_coroutine_threadsafe(_awaited(self.meanwhile), self.loop).result(HANGS_S)
        yield from chunks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.columns, name)


async def _awaited(do: Callable[[], Awaitable[None]]) -> None:
    await do()


@pytest.fixture
def midway(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Have something happen while columns are stored."""
    decode = Inline.columns

    def do(meanwhile: Callable[[], Awaitable[None]]) -> None:
        async def columns(self: Inline, *arguments: Any) -> Any:
            return Midway(await decode(self, *arguments), meanwhile)

        monkeypatch.setattr(Inline, "columns", columns)

    return do


async def cut(session: asyncpg.Connection[Any]) -> None:
    """Break the connection over which columns are copied, as soon as PostgreSQL shows it."""
    async with asyncio.timeout(HANGS_S):
        while not await session.fetchval(CUT):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def another_session(world: World) -> AsyncIterator[asyncpg.Connection[Any]]:
    session = await asyncpg.connect(world.dsn)
    try:
        yield session
    finally:
        await session.close()


async def test_a_database_that_hangs_up_while_columns_are_stored_leaves_none_and_the_next_try_all(
    world: World, midway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "STORE_RETRIES_S", (0.0, 0.0, 0.0))
    container = with_columns(world, NEW)
    seen: list[tuple[int, str | None]] = []
    async with another_session(world) as session:

        async def hang_up() -> None:
            seen.append((await column_rows(world), (await head_of(world)).columns_state))
            if len(seen) < 3:
                await cut(session)

        midway(hang_up)
        async with world.working():
            ended = await world.ended(await world.queued())
    assert seen == [(0, "pending")] * 3
    assert (ended.status, ended.attempt, len(container.runs)) == ("succeeded", 1, 1), "dbt does not run again"
    assert ((await head_of(world)).columns_state, await column_rows(world), len(await columns_of(world))) == ("ready", 1, 1)


async def test_a_longer_outage_while_columns_are_stored_runs_the_extraction_again(
    world: World, midway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "STORE_RETRIES_S", (0.0,))
    container, begun = with_columns(world, NEW), list[tuple[int, str | None]]()
    async with another_session(world) as session:

        async def hang_up() -> None:
            begun.append((await column_rows(world), (await head_of(world)).columns_state))
            if len(begun) < 3:
                await cut(session)

        midway(hang_up)
        async with world.working():
            ended = await world.ended(await world.queued())
    assert (ended.status, ended.attempt, len(container.runs)) == ("succeeded", 1, 2), "an outage of ours is no attempt"
    assert begun == [(0, "pending")] * 3
    assert ((await head_of(world)).columns_state, await column_rows(world)) == ("ready", 1)


async def test_a_claim_that_is_lost_while_columns_are_stored_leaves_none(world: World, midway: Any) -> None:
    with_columns(world, NEW)
    extraction_id = await world.queued()

    async def lose() -> None:
        await world.store._db.execute("UPDATE extractions SET worker = 'another' WHERE id = $1::text::uuid", extraction_id)

    midway(lose)
    async with world.working() as working, asyncio.timeout(HANGS_S):
        await begun_and_over(world, working)
    assert (await column_rows(world), (await head_of(world)).columns_state) == (0, "pending")


async def begun_and_over(world: World, working: Any) -> None:
    """Wait until the worker has run something and runs nothing any more."""
    while not (await world.store._db.value("SELECT count(*) FROM lineages")) or working._running:
        await asyncio.sleep(0.01)


async def removed(world: World) -> None:
    connection = await world.store.connections.get(world.connection_id)
    assert connection is not None
    await connections.disconnect(world.store, connection)


async def test_columns_of_a_connection_that_is_removed_while_they_are_awaited_are_not_stored(world: World) -> None:
    container = with_columns(world, hold=True)
    extraction_id = await world.queued()
    async with world.working() as working, asyncio.timeout(HANGS_S):
        await begun(container)
        await removed(world)
        container.runs[0].may_end.set()
        while working._running:
            await asyncio.sleep(0.01)
    assert ((await world.get(extraction_id)).status, container.runs[0].closed) == ("cancelled", True)
    assert (await column_rows(world), (await head_of(world)).columns_state) == (0, "failed")
    await world.store.retention.purge(timedelta(0))
    assert await world.store._db.value("SELECT count(*) FROM lineages") == 0


async def test_a_connection_that_is_removed_while_its_columns_are_stored_is_removed_with_them(world: World, midway: Any) -> None:
    with_columns(world, NEW)
    removing: list[asyncio.Task[None]] = []

    async def remove() -> None:
        removing.append(asyncio.create_task(removed(world)))
        async with asyncio.timeout(HANGS_S):
            while not await world.store._db.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                await asyncio.sleep(0.01)

    midway(remove)
    async with world.working():
        ended = await world.ended(await world.queued())
        await asyncio.gather(*removing)
    assert (ended.status in ("succeeded", "cancelled"), (await head_of(world)).columns_state) == (True, "ready"), "it may not be compared"
    assert await world.store.connections.get(world.connection_id) is None
    await world.store.retention.purge(timedelta(0))
    assert (await column_rows(world), await world.store._db.value("SELECT count(*) FROM lineages")) == (0, 0)


async def test_a_connection_that_comes_back_has_the_columns_of_its_next_push(world: World) -> None:
    container = with_columns(world, hold=True)
    await world.queued()
    async with world.working() as working, asyncio.timeout(HANGS_S):
        await begun(container)
        await removed(world)
        while working._running:
            await asyncio.sleep(0.01)
        back = await world.store.connections.create(7, "")
        assert back.id == world.connection_id
        container.hold = False
        await world.ended(await pushed(world, {"README.md": "not read by dbt"}))
    assert ((await head_of(world)).columns_state, len(await columns_of(world))) == ("ready", 1)
