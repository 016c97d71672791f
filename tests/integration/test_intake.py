"""A crowd of deliveries while extractions run: none is lost, and each has its effect once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from app.store.pool import Database
from tests.bench import intake
from tests.patience import HANGS_S

COUNT = 300
QUEUED = "SELECT count(*), count(DISTINCT branch) FROM extractions WHERE trigger = 'push' AND branch LIKE 'load-%'"


async def test_a_crowd_of_deliveries_is_queued_once_each_while_extractions_run(dsn: str, db: Database, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        world = await intake.begin_with(stack, 5, dsn, tmp_path)
        service = await stack.enter_async_context(world.service(2))
        _, latencies = await intake.crowd(world, service, COUNT)
        assert len(latencies) == COUNT + len(range(0, COUNT, intake.TWICE)), "each was answered with 202"
        [counted] = await db.rows(QUEUED)
        assert tuple(counted) == (COUNT, COUNT)
        async with asyncio.timeout(HANGS_S):
            while await db.value(f"{QUEUED.replace('count(*), count(DISTINCT branch)', 'count(*)')} AND status = 'succeeded'") < 10:
                await asyncio.sleep(0.1)
    assert await db.value("SELECT count(*) FROM extractions WHERE status = 'failed'") == 0
