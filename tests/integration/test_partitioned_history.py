"""`deploy/postgres/partition_history.sql`: history in a table for each month, under the service's own statements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from app.core.models.github import Repository
from app.store import Store, pool
from tests.bench.growth import fill
from tests.integration.queue_model import World, everything, world
from tests.integration.test_queue_rules import QueueRules

SCRIPTS = Path(__file__).parents[2] / "deploy/postgres"
PARTITION, UNDO = (SCRIPTS / f"{name}_history.sql" for name in ("partition", "unpartition"))
BUSIEST = "6ac6eb56-1edf-ca7e-2d3c-0a9c247ee62a"
"""`md5('connection1')`."""
AGE = timedelta(days=90)
FOREIGN_KEYS = """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
  WHERE confrelid = 'extractions'::regclass AND contype = 'f' ORDER BY 1, 2"""
MONTHS = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'extractions'::regclass ORDER BY 1"


@pytest_asyncio.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Of a database with 40 connections and 4,000 extractions over 120 days."""
    await fill(dsn, 40, 4_000)
    found = await asyncpg.connect(dsn)
    yield found
    await found.close()


async def partition(connection: asyncpg.Connection[Any]) -> None:
    async with connection.transaction():
        await connection.execute(PARTITION.read_text())
    await connection.execute("CALL move_history('2 days', 500)")


async def reads(store: Store) -> list[object]:
    """What the service says of history."""
    page = await store.extractions.for_connection(BUSIEST, limit=100)
    return [
        page,
        await store.extractions.for_connection(BUSIEST, before=2_000, limit=100),
        await store.extractions.search(BUSIEST, statuses=["failed"], before=3_000, limit=20),
        await store.extractions.get(page[-1].id),
        await store.extractions.newest_of_branch(BUSIEST, "main"),
        await store.extractions.knows(BUSIEST, page[-1].sha),
        await store.extractions.active(after=None, limit=2_000),
        await store.extractions.trust(page[0].id),
    ]


async def test_history_is_moved_to_months_and_reads_as_before(connection: asyncpg.Connection[Any], store: Store, db: pool.Database) -> None:
    before, tables = await reads(store), await everything(db)
    await partition(connection)
    assert len(await connection.fetch(MONTHS)) in range(4, 7)
    assert await connection.fetchval("SELECT count(*) FROM ONLY extractions WHERE finished_at < now() - interval '2 days'") == 0
    assert await connection.fetchval("SELECT count(*) FROM ONLY extractions") < 1_200
    assert await reads(store) == before
    assert await everything(db) == tables


async def test_statements_about_the_queue_leave_the_months_alone(connection: asyncpg.Connection[Any]) -> None:
    await partition(connection)
    plan = await connection.fetch("EXPLAIN SELECT connection_id FROM extractions WHERE status = 'running'")
    assert "extractions_2" not in str(plan)


async def test_retention_deletes_from_months_with_what_belongs_to_the_extractions(
    connection: asyncpg.Connection[Any], store: Store, db: pool.Database
) -> None:
    await partition(connection)
    kept = {row.id for row in await store.extractions.for_connection(BUSIEST, limit=20)}
    after: str | None = None
    deleted = 0
    while True:
        step = await store.retention.delete_history(AGE, after)
        deleted += step.extractions
        if (after := step.after) is None:
            break
    assert deleted > 500
    assert await db.value("SELECT count(*) FROM extractions") == 4_000 + 1_000 - deleted
    for table in ("check_runs", "logs"):
        orphans = f"SELECT count(*) FROM {table} k WHERE NOT EXISTS (SELECT FROM extractions e WHERE e.id = k.extraction_id)"  # noqa: S608
        assert await db.value(orphans) == 0
    assert kept <= {row.id for row in await store.extractions.for_connection(BUSIEST, limit=100)}


async def test_a_deleted_connection_takes_its_months_with_it(connection: asyncpg.Connection[Any], db: pool.Database) -> None:
    await partition(connection)
    await connection.execute("DELETE FROM connections WHERE id = $1", UUID(BUSIEST))
    assert await db.value("SELECT count(*) FROM extractions WHERE connection_id = $1", UUID(BUSIEST)) == 0
    assert (
        await db.value("SELECT count(*) FROM check_runs k WHERE NOT EXISTS (SELECT FROM extractions e WHERE e.id = k.extraction_id)") == 0
    )


async def test_it_can_be_repeated_and_gives_months_the_indexes_of_an_upgrade(connection: asyncpg.Connection[Any]) -> None:
    await partition(connection)
    indexes = "SELECT count(*) FROM pg_indexes WHERE tablename ~ '^extractions_2'"
    before = await connection.fetchval(indexes)
    await partition(connection)
    assert await connection.fetchval(indexes) == before
    await connection.execute("CREATE INDEX extractions_new ON extractions (trigger, number)")
    await partition(connection)
    assert await connection.fetchval(indexes) == before + len(await connection.fetch(MONTHS))


async def test_a_table_that_the_script_does_not_know_stops_it_and_changes_nothing(connection: asyncpg.Connection[Any]) -> None:
    await connection.execute("CREATE TABLE later (extraction_id uuid REFERENCES extractions ON DELETE CASCADE)")
    before = await connection.fetch(FOREIGN_KEYS)
    with pytest.raises(asyncpg.RaiseError, match="does not know the table later"):
        await partition(connection)
    assert await connection.fetch(FOREIGN_KEYS) == before


async def test_it_can_be_undone(connection: asyncpg.Connection[Any], db: pool.Database) -> None:
    keys, tables = await connection.fetch(FOREIGN_KEYS), await everything(db)
    await partition(connection)
    async with connection.transaction():
        await connection.execute(UNDO.read_text())
    assert (await connection.fetch(FOREIGN_KEYS), await everything(db)) == (keys, tables)
    assert await connection.fetch(MONTHS) == []
    store = Store(db)
    await store.installations.update_from_push(Repository(900_000, "o/new", 3, "main"))
    assert await store.extractions.enqueue((await store.connections.create(900_000, "")).id, "main", "f" * 40, "push")


class PartitionedQueueRules(QueueRules):
    """The same rules, while everything that has ended is moved to its month at any moment."""

    world: ClassVar[World]

    async def _install(self) -> None:
        await self.db.execute("TRUNCATE check_runs, logs, impact_waits, lineages CASCADE")  # no foreign key leads to them now
        await super()._install()

    @rule()
    def move_history(self) -> None:
        self.run(self.world.db.execute("SELECT move_extractions('0 s', 1000)"))


def test_the_rules_of_the_queue_hold_while_history_is_moved(dsn: str) -> None:
    checks = settings(
        max_examples=8, stateful_step_count=30, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    with world(dsn) as shared:
        shared.runner.run(shared.db.execute(PARTITION.read_text()))
        machine = type("PartitionedQueueRules", (PartitionedQueueRules,), {"world": shared})
        run_state_machine_as_test(machine, settings=checks)
