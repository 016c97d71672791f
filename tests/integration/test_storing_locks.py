"""Storing a lineage while another transaction changes the repository's connections: one order of locks, so dbt runs once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio

from app.core.errors import NoProjectError
from app.core.models.extractions import Extraction
from app.pipeline.ports import DbtJob, Parsed
from app.store import Store
from tests.integration.life_world import REPOSITORY, World, committed, make_world
from tests.patience import HANGS_S

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@dataclass
class Dbt:
    """A dbt that ends when it is told to."""

    world: World
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    runs: int = 0
    trouble: Exception | None = None
    """Raised instead."""

    async def __call__(self, _: DbtJob) -> Parsed:
        self.runs += 1
        self.begun.set()
        await self.may_end.wait()
        if self.trouble:
            raise self.trouble
        return await self.world.parsed()


@pytest_asyncio.fixture
async def world(store: Store, dsn: str, tmp_path: Path) -> World:
    """A world whose project is in `shop`; the connection does not know it yet, and the extraction's commit is not its head any more."""
    made = await make_world(store, dsn, tmp_path)
    shop = made.git.path / "shop"
    shop.mkdir()
    (made.git.path / "dbt_project.yml").rename(shop / "dbt_project.yml")
    (made.git.path / "models").rename(shop / "models")
    made.sha = committed(made.git.path)
    await store._db.execute("UPDATE connections SET project_dir = NULL, head_sha = repeat('a', 40)")
    return made


@asynccontextmanager
async def parsing(world: World) -> AsyncIterator[tuple[Dbt, str]]:
    """An extraction that runs dbt."""
    dbt = Dbt(world)
    world.runner.dbt = dbt
    async with world.working():
        extraction_id = await world.queued()
        async with asyncio.timeout(HANGS_S):
            await dbt.begun.wait()
        yield dbt, extraction_id


async def until_waiting(world: World) -> None:
    """Wait until a transaction waits for another one."""
    async with asyncio.timeout(HANGS_S):
        while not await world.store._db.value(WAITING):
            await asyncio.sleep(0.01)


def ran_once(ended: Extraction, dbt: Dbt) -> bool:
    return (ended.status, ended.attempt, dbt.runs) == ("succeeded", 1, 1)


async def test_a_connection_that_is_hidden_for_another_of_its_project_does_not_deadlock(world: World) -> None:
    async with parsing(world) as (dbt, extraction_id):
        async with world.store.transaction() as tx:
            await tx.connections.for_repository(REPOSITORY.id)
            await tx.connections.create(REPOSITORY.id, "shop")
            dbt.may_end.set()
            await until_waiting(world)
            await tx.connections.hide(world.connection_id)
        ended = await world.ended(extraction_id)
    assert ran_once(ended, dbt)


async def test_a_project_that_another_connection_takes_meanwhile_stays_with_it(world: World) -> None:
    async with parsing(world) as (dbt, extraction_id):
        async with world.store.transaction() as tx:
            await tx.connections.for_repository(REPOSITORY.id)
            await tx.connections.create(REPOSITORY.id, "shop")
            dbt.may_end.set()
            await until_waiting(world)
        ended = await world.ended(extraction_id)
    assert ran_once(ended, dbt)
    assert await world.store._db.value("SELECT count(*) FROM connections WHERE project_dir = 'shop'") == 1


async def test_a_connection_without_a_project_is_hidden_after_its_repository_is_locked(world: World) -> None:
    async with parsing(world) as (dbt, extraction_id):
        dbt.trouble = NoProjectError("looking", "there is none")
        async with world.store.transaction() as tx:
            await tx.connections.for_repository(REPOSITORY.id)
            dbt.may_end.set()
            await until_waiting(world)
            await tx._db.execute("SELECT FROM connections WHERE id = $1::text::uuid FOR UPDATE NOWAIT", world.connection_id)
        ended = await world.ended(extraction_id)
    assert ended.status == "failed"


async def test_a_lineage_of_a_known_project_is_stored_while_its_repository_is_locked(world: World) -> None:
    async with parsing(world) as (dbt, extraction_id):
        await world.store._db.execute("UPDATE connections SET project_dir = 'shop'")
        async with world.store.transaction() as tx:
            await tx.connections.for_repository(REPOSITORY.id)
            dbt.may_end.set()
            ended = await world.ended(extraction_id)
            assert ran_once(ended, dbt)
