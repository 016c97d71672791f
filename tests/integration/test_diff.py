"""Comparing two commits, over HTTP and with a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.lineage.nodes import Lineage
from app.store import Store, lineage_cache, pool
from app.web.api.schemas.diffs import DiffDocument
from tests.integration.lineage_reader import SHAS, TOKEN, Reader, reading, save, save_lineage
from tests.unit.test_column_tests import generic
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

BASE, HEAD = SHAS[3], SHAS[4]
SEED = "seed.shop.rates"
COUNTS = {"nodes_added": 0, "nodes_removed": 0, "nodes_changed": 0, "edges_added": 0, "edges_removed": 0}


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


async def diff(reader: Reader, base: str = BASE, head: str = HEAD, *, status: int = 200, etag: str = "") -> tuple[dict[str, Any], str]:
    path = reader.path.replace("/lineage", "/diff")
    headers = {**TOKEN, "If-None-Match": etag}
    async with reader.client.get(path, params={"base": base, "head": head}, headers=headers) as response:
        assert response.status == status, await response.text()
        found = await response.json(content_type=None) if status != 304 else {}
        if status == 200:
            DiffDocument.model_validate_json(await response.read(), strict=True)
            assert found.keys() == DiffDocument.model_fields.keys()
        return found, response.headers.get("ETag", "")


async def saved(reader: Reader, base: Lineage, head: Lineage) -> None:
    await save_lineage(reader.store, reader.connection_id, BASE, base)
    await save_lineage(reader.store, reader.connection_id, HEAD, head)


async def test_nodes_and_edges_added_removed_and_changed(reader: Reader) -> None:
    orders = {"raw_code": "select 1", "columns": {"id": {"name": "id"}}, "original_file_path": "models/orders.sql"}
    base = build(resource(ORDERS, **orders), resource(CUSTOMERS), resource("model.shop.same"), parents={ORDERS: [CUSTOMERS]})
    head = build(
        resource(ORDERS, **orders | {"raw_code": "select 2"}),
        resource(SEED),
        resource("model.shop.same"),
        generic("not_null", ORDERS, "id"),
        parents={ORDERS: [SEED], "test.shop.not_null_id": [ORDERS]},
    )
    await saved(reader, base, head)
    found, _ = await diff(reader)
    place = {"resource_type": "model", "package_name": "shop"}
    assert found["counts"] == {"nodes_added": 2, "nodes_removed": 1, "nodes_changed": 1, "edges_added": 2, "edges_removed": 1}
    assert [node["unique_id"] for node in found["nodes_added"]] == [SEED, "test.shop.not_null_id"]
    assert found["nodes_removed"] == [{"unique_id": CUSTOMERS, "name": "customers", "original_file_path": "", **place}]
    assert found["nodes_changed"] == [
        {
            "unique_id": ORDERS,
            "name": "orders",
            "original_file_path": "models/orders.sql",
            **place,
            "changes": ["sql", "columns", "edges"],
            "columns": {"added": [], "removed": [], "changed": ["id"]},
        }
    ]
    assert found["edges_added"] == [
        {"upstream": ORDERS, "downstream": "test.shop.not_null_id"},
        {"upstream": SEED, "downstream": ORDERS},
    ]
    assert found["edges_removed"] == [{"upstream": CUSTOMERS, "downstream": ORDERS}]
    assert [(found[side]["sha"], found[side]["branch"]) for side in ("base", "head")] == [(BASE, "main"), (HEAD, "main")]
    back, _ = await diff(reader, HEAD, BASE)
    assert (back["nodes_added"], back["edges_removed"]) == (found["nodes_removed"], found["edges_added"])


async def test_commits_with_the_same_lineage_have_no_differences(reader: Reader) -> None:
    await saved(reader, build(resource(ORDERS)), build(resource(ORDERS)))
    for base, head in ((BASE, BASE), (BASE, HEAD), (BASE.upper(), HEAD)):
        found, _ = await diff(reader, base, head)
        assert found["counts"] == COUNTS
        assert [found[name] for name in COUNTS] == [[]] * 5


async def test_a_commit_without_a_lineage_is_named(reader: Reader) -> None:
    for base, head, field in ((SHAS[8], SHAS[1], "base"), (SHAS[1], SHAS[8], "head"), (SHAS[8], SHAS[8], "base")):
        problem, _ = await diff(reader, base, head, status=404)
        assert (problem["field"], SHAS[8] in problem["detail"]) == (field, True)


@pytest.mark.parametrize("query", ["", "base=" + "a" * 40, f"base={BASE}&base={BASE}&head={HEAD}"])
async def test_both_commits_are_needed_once(reader: Reader, query: str) -> None:
    async with reader.client.get(f"{reader.path.replace('/lineage', '/diff')}?{query}", headers=TOKEN) as response:
        problem = await response.json(content_type=None)
    assert (response.status, problem["field"]) == (400, "head" if query.startswith("base=a") else "base")


async def test_a_commit_can_be_named_by_its_branch(reader: Reader) -> None:
    await saved(reader, build(resource(ORDERS)), build(resource(CUSTOMERS)))
    whole, _ = await diff(reader)
    assert (await diff(reader, BASE, "main"))[0] == whole


async def test_an_etag_identifies_two_extractions(reader: Reader) -> None:
    await saved(reader, build(resource(ORDERS)), build(resource(CUSTOMERS)))
    _, etag = await diff(reader)
    await diff(reader, status=304, etag=etag)
    await diff(reader, HEAD, BASE, etag=etag)
    await save_lineage(reader.store, reader.connection_id, HEAD, build(resource(ORDERS)))
    found, after = await diff(reader, etag=etag)
    assert (found["counts"], after != etag) == (COUNTS, True)


async def test_nodes_stored_without_hashes_are_reported_as_other(reader: Reader, db: pool.Database) -> None:
    await save_lineage(reader.store, reader.connection_id, BASE, build(resource(ORDERS, raw_code="select 1", description="Old.")))
    await db.execute(
        "UPDATE nodes SET sql_hash = NULL, config_hash = NULL, hash = '\\x00' WHERE unique_id = $1 AND sql_hash IS NOT NULL", ORDERS
    )
    await save_lineage(reader.store, reader.connection_id, HEAD, build(resource(ORDERS, raw_code="select 2", description="New.")))
    found, _ = await diff(reader)
    assert [node["changes"] for node in found["nodes_changed"]] == [["description", "other"]]


async def test_differences_of_many_nodes_are_read_in_batches(reader: Reader) -> None:
    names = [f"model.shop.m{number:05}" for number in range(lineage_cache.STEP_NODES + 100)]
    await save(reader.store, reader.connection_id, BASE, {name: [] for name in names})
    await save(reader.store, reader.connection_id, HEAD, {name: names[:1] if name != names[0] else [] for name in names}, "new words")
    found, _ = await diff(reader)
    assert [node["unique_id"] for node in found["nodes_changed"]] == names
    assert found["counts"] == COUNTS | {"nodes_changed": len(names), "edges_added": len(names) - 1}
    answers = await asyncio.gather(*(diff(reader) for _ in range(20)))
    assert all(answer == (found, answers[0][1]) for answer in answers)


async def test_a_commit_that_is_extracted_again_meanwhile_is_not_compared(reader: Reader, store: Store) -> None:
    await saved(reader, build(resource(ORDERS)), build(resource(CUSTOMERS)))
    old, head = [await store.lineages.head(reader.connection_id, sha) for sha in (BASE, HEAD)]
    assert old is not None
    assert head is not None
    await save_lineage(store, reader.connection_id, BASE, build(resource(SEED)))
    assert await store.lineage_cache.diff(old, head) is None
    assert await store.lineage_cache.diff(head, old) is None
