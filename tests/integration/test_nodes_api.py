"""One node whole, over HTTP and with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest_asyncio

from app.store import Store
from app.web.api.schemas.nodes import NodeDocument
from tests.integration.lineage_reader import SHAS, TOKEN, Reader, reading, save, save_lineage
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

RAW, BOARD, UNIT, TEST = "source.shop.erp.orders", "exposure.shop.board", "unit_test.shop.orders.totals", "test.shop.accepted.a1"
ODD = "model.shop.ünï/odd"


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


async def node(reader: Reader, name: str, *, status: int = 200, **query: str) -> dict[str, Any]:
    path = reader.path.replace("/lineage", f"/nodes/{quote(name, safe='')}")
    async with reader.client.get(path, params=query, headers=TOKEN) as response:
        body: dict[str, Any] = await response.json(content_type=None)
        assert response.status == status, body
        if "materialized" in body:  # not what `save` stores
            NodeDocument.model_validate_json(await response.read(), strict=True)
        return body


async def save_shop(reader: Reader) -> None:
    orders = resource(
        ORDERS,
        fqn=["shop", "marts", "orders"],
        database="analytics",
        schema="prod_marts",
        alias="orders",
        config={"materialized": "table", "contract": {"enforced": True}},
        contract={"enforced": True},
        constraints=[{"type": "primary_key", "columns": ["id"]}],
        raw_code="select 1 as id",
        language="sql",
        patch_path="shop://models/marts.yml",
        doc_blocks=["doc.shop.orders"],
        meta={"owner": "ann"},
        columns={"id": {"name": "id", "description": "The key.", "meta": {"pii": False}, "tags": ["key"]}, "total": {"name": "total"}},
    )
    test = resource(
        TEST,
        column_name="id",
        attached_node=ORDERS,
        test_metadata={"name": "accepted_values", "namespace": None, "kwargs": {"values": [1, 2], "column_name": "id", "model": "{{ x }}"}},
        config={"severity": "WARN"},
    )
    lineage = build(
        orders,
        test,
        resource(CUSTOMERS, schema="freshetunknown_schema", database="freshetunknown_database"),
        resource(ODD),
        resource("model.shop.daily.v1") | {"name": "daily", "version": 1},
        resource("model.shop.daily.v2") | {"name": "daily", "version": 2},
        parents={ORDERS: [RAW, CUSTOMERS], BOARD: [ORDERS], TEST: [ORDERS], UNIT: [ORDERS]},
        sources={RAW: resource(RAW, source_name="erp", loader="airbyte", loaded_at_field="at", freshness={"warn_after": {"count": 1}})},
        exposures={BOARD: resource(BOARD, type="dashboard", url="https://bi.example/1", maturity="high", owner={"name": "Bo"})},
        unit_tests={UNIT: resource(UNIT, model="orders", given=[{"input": "ref('a')", "rows": []}], expect={"rows": [{"id": 1}]})},
    )
    await save_lineage(reader.store, reader.connection_id, SHAS[2], lineage)


async def test_a_node_has_everything_that_dbt_says_of_it(reader: Reader) -> None:
    await save_shop(reader)
    found = await node(reader, ORDERS)
    expected = {
        "unique_id": ORDERS,
        "sha": SHAS[2],
        "fqn": ["shop", "marts", "orders"],
        "database": "analytics",
        "schema": "prod_marts",
        "raw_code": "select 1 as id",
        "contract": {"enforced": True},
        "constraints": [{"type": "primary_key", "columns": ["id"]}],
        "patch_path": "shop://models/marts.yml",
        "docs_blocks": ["doc.shop.orders"],
        "owner": "ann",
        "compiled_code": None,
        "upstream": [CUSTOMERS, RAW],
        "downstream": [BOARD, TEST, UNIT],
        "notes": [],
    }
    assert {name: found[name] for name in expected} == expected
    assert found["compiled_code_reason"]
    key, total = found["columns"]
    assert (key["name"], key["description"], key["meta"], key["tags"], key["documented"]) == (
        "id",
        "The key.",
        {"pii": False},
        ["key"],
        True,
    )
    assert [test["unique_id"] for test in key["tests"]] == [TEST]
    assert (total["documented"], total["tests"]) == (False, [])


async def test_a_node_has_what_belongs_to_its_type(reader: Reader) -> None:
    await save_shop(reader)
    source = await node(reader, RAW)
    assert (source["source_name"], source["loader"], source["freshness"]) == ("erp", "airbyte", {"warn_after": {"count": 1}})
    test = await node(reader, TEST)
    assert (test["column"], test["arguments"], test["severity"]) == ("id", {"values": [1, 2]}, "WARN")
    board = await node(reader, "board")
    assert (board["type"], board["url"], board["maturity"], board["owner"]) == ("dashboard", "https://bi.example/1", "high", "Bo")
    unit = await node(reader, UNIT)
    assert (unit["given"], unit["expect"]) == ([{"input": "ref('a')", "rows": []}], {"rows": [{"id": 1}]})
    assert "given" not in source
    customers = await node(reader, "customers")
    assert (customers["database"], customers["schema"]) == (None, None), "unknown names are not shown"


async def test_a_node_is_found_by_name_and_candidates_are_listed(reader: Reader) -> None:
    await save_shop(reader)
    assert (await node(reader, "orders"))["unique_id"] == ORDERS, "a model, before the source of that name"
    assert (await node(reader, ODD))["unique_id"] == ODD
    assert (await node(reader, "daily.v2"))["version"] == 2
    for name, status, candidate in (("order", 404, ORDERS), ("daily", 400, "model.shop.daily.v1")):
        problem = await node(reader, name, status=status)
        assert (problem["field"], problem["candidates"][0]) == ("unique_id", candidate)
    assert (await node(reader, ORDERS, status=404, sha="nowhere"))["field"] == "sha"
    assert (await node(reader, "stg_orders", sha=SHAS[1]))["sha"] == SHAS[1]


async def test_a_node_of_an_earlier_release_says_what_is_missing(reader: Reader) -> None:
    await save(reader.store, reader.connection_id, SHAS[2], {"model.shop.a": []})
    found = await node(reader, "a")
    assert (found["raw_code"], found["fqn"]) == (None, None)
    assert "earlier release" in found["notes"][0]


async def test_a_change_of_a_definition_is_a_change_of_the_node(reader: Reader) -> None:
    changed = []
    for sha, formula in ((SHAS[2], "a"), (SHAS[3], "b")):
        metric = resource("metric.shop.revenue", type_params={"expr": formula})
        lineage = build(resource(ORDERS), metrics={"metric.shop.revenue": metric})
        await save_lineage(reader.store, reader.connection_id, sha, lineage)
        changed.append((await node(reader, "revenue"))["type_params"])
    assert changed == [{"expr": "a"}, {"expr": "b"}]
