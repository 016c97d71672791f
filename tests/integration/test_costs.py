"""What extractions and models cost, by month, connection and owner, over HTTP and with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio

from app.lineage.run_results import NodeResult
from app.store import Store
from app.store.node_results import HISTORY, ArtifactHead
from tests.integration.access_world import CONNECTIONS, SERVICE, World, running
from tests.integration.test_operations_store import SHAS, connection, ended

COSTS = "/api/metadata/costs"
NOW = f"{datetime.now(UTC):%Y-%m}"


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with running(store) as found:
        yield found


async def ask(world: World, path: str, token: str = SERVICE) -> Any:
    status, body, _ = await world.ask(token, path)
    return body if status == 200 else (status, body.get("field"))


async def test_extractions_are_counted_by_month_connection_and_owner(world: World) -> None:
    store = world.store
    shop, far = await connection(store, 70, 30, "transform"), await connection(store, 80, 40)
    for number, seconds in enumerate((2.0, 3.0, None)):
        await ended(store, shop, SHAS[number], cpu_seconds=seconds)
    await ended(store, far, SHAS[5], cpu_seconds=1.0)
    await store._db.execute("UPDATE extraction_costs SET month = '2026-01-01' WHERE connection_id = $1::text::uuid", shop.id)
    await ended(store, shop, SHAS[4], cpu_seconds=7.0)
    found = await ask(world, f"{CONNECTIONS}/{shop.id}/costs")
    assert found["months"] == [
        {"month": NOW, "extractions": 1, "cpu_seconds": 7.0},
        {"month": "2026-01", "extractions": 2, "cpu_seconds": 5.0},
    ]
    this = await ask(world, COSTS)
    assert (this["month"], [(one["owner"], one["cpu_seconds"]) for one in this["owners"]]) == (NOW, [("octo30", 7.0), ("octo40", 1.0)])
    [first, _] = this["connections"]
    assert (first["connection_id"], first["repository"], first["project_dir"]) == (shop.id, "octo30/shop70", "transform")
    january = await ask(world, f"{COSTS}?month=2026-01&owner=OCTO30")
    assert [(one["repository"], one["extractions"], one["cpu_seconds"]) for one in january["connections"]] == [("octo30/shop70", 2, 5.0)]
    assert (await ask(world, f"{COSTS}?owner=nobody"))["owners"] == []
    assert await ask(world, f"{COSTS}?month=2026-13") == (400, "month")
    await store.extractions.enqueue(shop.id, "main", SHAS[9], "push")
    assert len((await ask(world, f"{CONNECTIONS}/{shop.id}/costs"))["months"]) == 2, "what has not ended costs nothing yet"


async def test_costs_of_all_are_for_operators_and_those_of_one_for_its_readers(world: World) -> None:
    hosted = await world.create("octo/shop")
    path = f"{CONNECTIONS}/{world.connections['octo/shop']}/costs"
    reader, stranger = world.github.classic_token("mona", {hosted: "pull"}), world.github.classic_token("mona", {})
    assert await ask(world, path, reader) == {"connection_id": world.connections["octo/shop"], "months": [], "models": []}
    assert await ask(world, path, stranger) == (404, None)
    assert await ask(world, COSTS, reader) == (403, None)


async def test_models_are_summed_over_the_runs_of_their_history(world: World) -> None:
    shop = await connection(world.store)
    first = datetime(2026, 11, 1, tzinfo=UTC)
    for run in range(HISTORY + 2):
        results = [
            NodeResult("model.shop.big", "success", 2.0, None, None, None, 1 << 60, 10),
            NodeResult("model.shop.slow", "success", 9.0, None, None, None, None, None),
            NodeResult("test.shop.a", "pass", 99.0, 0, None, None, None, None),
        ]
        await world.store.node_results.save(shop.id, ArtifactHead("run_results", f"r{run}", first + timedelta(days=run)), results)
    [big, slow] = (await ask(world, f"{CONNECTIONS}/{shop.id}/costs"))["models"]
    assert (big["unique_id"], big["runs"], big["since"]) == ("model.shop.big", HISTORY, "2026-11-03T00:00:00Z")
    assert (big["seconds"], big["bytes"], big["slot_ms"]) == (2.0 * HISTORY, float(HISTORY * (1 << 60)), 10.0 * HISTORY)
    assert (slow["seconds"], slow["bytes"]) == (9.0 * HISTORY, None)
