"""Columns over HTTP: the real routes, and a real PostgreSQL with a lineage whose columns are scripted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from app.store import Store
from app.store.columns import MAX_CODE_BYTES
from app.web.api.schemas.columns import ColumnsDocumentOut
from app.web.api.schemas.nodes import NodeDocument
from tests.integration.columns_world import storable
from tests.integration.lineage_reader import SHAS, TOKEN, Reader, reading, save_lineage
from tests.unit.test_nodes import build, resource

RAW, STG, ORDERS, BOARD = "source.shop.raw.orders", "model.shop.stg_orders", "model.shop.orders", "exposure.shop.board"
REASON = "`tools.pivot` reads rows from the warehouse. Freshet has none."
LINES: tuple[Mapping[str, Any], ...] = (
    {"unique_id": RAW, "status": "exact", "columns": [["id", None], ["status", None]], "edges": [], "open": True, "rendered": None},
    {
        "unique_id": STG,
        "status": "exact",
        "columns": [["id", "integer"], ["Status", None]],
        "edges": [
            [RAW, "id", "id", "TRANSFORMATION", True],
            [RAW, "status", "Status", "IDENTITY", True],
            [RAW, "status", None, "FILTER", True],
        ],
        "compiled_code": "select cast(id as integer) as id from freshetunknown_database.raw.orders",
        "rendered": "full",
        "hard_coded": ["legacy.crm.accounts"],
    },
    {
        "unique_id": ORDERS,
        "status": "approximate",
        "reason": REASON,
        "columns": [["order_id", None], ["n", None]],
        "edges": [[STG, "id", "order_id", "IDENTITY", True], [STG, "id", "n", "AGGREGATION", False]],
        "compiled_code": "select id as order_id, count(*) as n from stg_orders",
        "rendered": "full",
    },
)


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        made.path = made.path.replace("/lineage", "/columns")
        await save_shop(made)
        yield made


async def save_shop(reader: Reader, sha: str = SHAS[2], lines: tuple[Mapping[str, Any], ...] = LINES) -> None:
    described = {"status": {"name": "status", "description": "Open or done."}, "loaded": {"name": "loaded", "data_type": "timestamp"}}
    lineage = build(
        resource(STG, **table("stg_orders")),
        resource(ORDERS, **table("orders"), columns={"ORDER_ID": {"name": "ORDER_ID", "description": "The key.", "meta": {"pii": False}}}),
        parents={STG: [RAW], ORDERS: [STG], BOARD: [ORDERS]},
        sources={RAW: resource(RAW, source_name="raw", **table("raw_orders"), columns=described)},
        exposures={BOARD: resource(BOARD, type="dashboard")},
    )
    await save_lineage(reader.store, reader.connection_id, sha, lineage, columns=storable(*lines))


def table(name: str) -> dict[str, Any]:
    return {"database": "db", "schema": "prod", "relation_name": f'"db"."prod"."{name}"', "config": {"materialized": "table"}}


async def text(reader: Reader, query: str, **headers: str) -> tuple[str, str]:
    """The media type and the body."""
    async with reader.client.get(f"{reader.path}?{query}", headers=TOKEN | headers) as response:
        assert response.status == 200
        return response.content_type, await response.text()


def columns(document: Mapping[str, Any]) -> dict[str, list[str]]:
    return {node["unique_id"]: [column["name"] for column in node["columns"]] for node in document["nodes"]}


def edges(document: Mapping[str, Any]) -> set[str]:
    return {f"{edge['upstream']['column']} {edge['subtype']} {edge['downstream']['column']}" for edge in document["edges"]}


async def test_the_whole_says_for_each_model_how_far_it_is_known(reader: Reader) -> None:
    found = await reader.get()
    ColumnsDocumentOut.model_validate_json(json.dumps(found), strict=True)
    assert (found["sha"], found["columns_state"], found["columns_reason"]) == (SHAS[2], "ready", None)
    nodes = {node["unique_id"]: node for node in found["nodes"]}
    assert columns(found) == {ORDERS: ["order_id", "n"], STG: ["id", "Status"], RAW: ["id", "status", "loaded"]}
    assert (nodes[ORDERS]["status"], nodes[ORDERS]["reason"], nodes[RAW]["open"]) == ("approximate", REASON, True)
    assert nodes[STG]["hard_coded"] == ["legacy.crm.accounts"]
    assert edges(found) == {
        "id TRANSFORMATION id",
        "status IDENTITY Status",
        "status FILTER None",
        "id IDENTITY order_id",
        "id AGGREGATION n",
    }
    assert [edge["certain"] for edge in found["edges"] if edge["subtype"] == "AGGREGATION"] == [False]
    status = nodes[STG]["columns"][1]
    assert (status["description"], status["documented"]) == ("Open or done.", False)
    assert status["inherited_from"] == {"unique_id": RAW, "column": "status"}
    assert [one["in_sql"] for one in nodes[RAW]["columns"]] == [True, True, None], "an open source may have the column that only YAML names"


async def test_a_column_is_followed_to_its_source_and_to_its_users(reader: Reader) -> None:
    up = await reader.get({"node": "orders", "column": "N", "direction": "upstream"})
    assert columns(up) == {ORDERS: ["n"], STG: ["id"], RAW: ["id", "status"]}
    assert edges(up) == {"id AGGREGATION n", "id TRANSFORMATION id", "status FILTER None"}
    near = await reader.get({"node": ORDERS, "column": "n", "direction": "upstream", "depth": "1"})
    assert columns(near) == {ORDERS: ["n"], STG: ["id"]}
    down = await reader.get({"node": RAW, "column": "id", "direction": "downstream"})
    assert edges(down) == {"id TRANSFORMATION id", "id IDENTITY order_id", "id AGGREGATION n"}
    assert await reader.get("node=%2Borders&column=n") == up
    assert columns(await reader.get({"node": "stg_orders", "depth": "0"})) == {STG: ["id", "Status"]}


@pytest.mark.parametrize(
    ("query", "status", "field", "candidates"),
    [
        ("node=ordres", 404, "node", [ORDERS]),
        ("node=orders&column=order", 404, "column", ["order_id"]),
        ("node=stg_orders&column=%22status%22", 404, "column", ["Status"]),
        ("column=id", 400, "column", None),
        ("direction=upstream", 400, "direction", None),
        ("node=%2Borders&depth=1", 400, "node", None),
        ("node=orders&namespace=duckdb:x", 400, "namespace", None),
        ("sha=0123456", 404, "sha", [SHAS[2]]),
        ("nodes=orders", 400, "nodes", None),
    ],
)
async def test_what_is_not_there_is_named_with_what_was_meant(
    reader: Reader, query: str, status: int, field: str, candidates: list[str] | None
) -> None:
    problem = await reader.get(query, status=status)
    assert problem["field"] == field
    if candidates is not None:
        assert problem["candidates"][: len(candidates)] == candidates


async def test_columns_that_differ_in_case_only_need_quotes(reader: Reader) -> None:
    both = {"unique_id": STG, "status": "exact", "columns": [["id", None], ["ID", None]], "edges": [], "rendered": "full"}
    await save_shop(reader, SHAS[3], (both,))
    assert columns(await reader.get({"node": "stg_orders", "column": "ID"}))[STG] == ["ID"]
    problem = await reader.get({"node": "stg_orders", "column": "Id"}, status=400)
    assert (problem["title"], problem["candidates"]) == ("Column is ambiguous", ["id", "ID"])


async def test_the_edges_as_csv_and_in_openlineage(reader: Reader) -> None:
    media_type, body = await text(reader, "node=orders&column=n&direction=upstream&depth=1&format=csv")
    assert media_type == "text/csv"
    assert [*csv.reader(io.StringIO(body))][1:] == [[STG, "id", ORDERS, "n", "DIRECT", "AGGREGATION", "false"]]
    for query, accept in (("format=openlineage", "*/*"), ("", "application/vnd.openlineage+json")):
        media_type, body = await text(reader, query, Accept=accept)
        assert media_type == "application/vnd.openlineage+json"
        facets = {one["name"]: one["facets"] for event in json.loads(body) for one in event.get("outputs", [])}
        inputs = facets["db.prod.orders"]["columnLineage"]["fields"]["order_id"]["inputFields"]
        assert [(one["name"], one["field"]) for one in inputs] == [("db.prod.stg_orders", "id")]
    lineage = reader.path.replace("/columns", "/lineage")
    async with reader.client.get(f"{lineage}?format=openlineage&focus=orders&depth=1", headers=TOKEN) as response:
        assert "columnLineage" in await response.text(), "the lineage's events have it too"


async def test_openlineage_has_the_sql_that_dbt_would_run_and_no_other(reader: Reader) -> None:
    long = f"select id from stg_orders -- {'x' * MAX_CODE_BYTES}"  # noqa: S608 - never run
    codes = {
        "whole": (STG, {"compiled_code": "select id from raw.orders"}),
        "long": (STG, {"compiled_code": long}),
        "with a placeholder": (STG, {"compiled_code": "select id from freshetunknown_database.raw.orders"}),
        "as parsed": (STG, {"rendered": "without_execute"}),
        "invented": (STG, {"status": "approximate", "reason": REASON}),
    }
    base = {"status": "exact", "columns": [["id", None]], "edges": [], "rendered": "full", "compiled_code": "select 1 as id"}
    for name, (unique_id, own) in codes.items():
        await save_shop(reader, SHAS[3], ({"unique_id": unique_id, **base, **own},))
        lineage = reader.path.replace("/columns", "/lineage")
        for path in (reader.path, lineage):
            async with reader.client.get(f"{path}?format=openlineage", headers=TOKEN) as response:
                jobs = {event["job"]["name"]: event["job"]["facets"] for event in await response.json(content_type=None) if "job" in event}
            sql = jobs["db.prod.shop.stg_orders"].get("sql", {})
            assert sql.get("query") == (own["compiled_code"] if name == "whole" else None), (name, path)
            assert "sql" not in jobs.get("db.prod.shop.orders", {})


async def test_while_columns_are_pending_or_failed_the_answer_says_so(reader: Reader) -> None:
    async with reader.client.get(reader.path, headers=TOKEN) as response:
        before = response.headers["ETag"]
    async with reader.client.get(reader.path, headers=TOKEN | {"If-None-Match": before}) as response:
        assert response.status == 304
    await set_state(reader, "pending", None)
    found = await reader.get({"node": "orders"})
    assert (found["columns_state"], found["nodes"], found["edges"]) == ("pending", [], [])
    await set_state(reader, "failed", "The container needed more than 600 MiB. Set `DBT_MEMORY`.")
    async with reader.client.get(reader.path, headers=TOKEN | {"If-None-Match": before}) as response:
        assert response.status == 200, "another answer has another ETag"
        failed = await response.json()
    assert (failed["columns_state"], failed["columns_reason"]) == ("failed", "The container needed more than 600 MiB. Set `DBT_MEMORY`.")
    assert (await reader.get({"node": "nonsense"}, status=404))["field"] == "node"
    lineage = await (await reader.client.get(reader.path.replace("/columns", "/lineage"), headers=TOKEN)).json()
    assert lineage["columns_state"] == "failed"
    orders = await node(reader, "orders")
    assert (orders["compiled_code"], orders["compiled_code_reason"]) == (None, failed["columns_reason"])
    assert [column["name"] for column in orders["columns"]] == ["ORDER_ID"], "those of YAML files are there"


async def node(reader: Reader, name: str) -> dict[str, Any]:
    path = reader.path.replace("/columns", f"/nodes/{quote(name, safe='')}")
    async with reader.client.get(path, headers=TOKEN) as response:
        assert response.status == 200
        NodeDocument.model_validate_json(await response.read(), strict=True)
        found: dict[str, Any] = await response.json()
        return found


async def test_a_node_has_its_columns_and_its_compiled_code(reader: Reader) -> None:
    orders = await node(reader, "orders")
    assert orders["compiled_code"] == "select id as order_id, count(*) as n from stg_orders"
    assert (orders["columns_status"], orders["columns_reason"]) == ("approximate", REASON)
    key = orders["columns"][0]
    assert (key["name"], key["description"], key["documented"], key["meta"]) == ("order_id", "The key.", True, {"pii": False})
    assert key["upstream"] == [{"unique_id": STG, "column": "id", "type": "DIRECT", "subtype": "IDENTITY", "certain": True}]
    assert orders["compiled_code_reason"] is None
    staged = await node(reader, "stg_orders")
    assert staged["compiled_code"] == "select cast(id as integer) as id from raw.orders"
    assert "are left out of the SQL" in staged["compiled_code_reason"]
    assert staged["hard_coded"] == ["legacy.crm.accounts"]
    assert [one["column"] for one in staged["rows"]] == ["status"]
    assert [(one["unique_id"], one["column"]) for one in staged["columns"][0]["downstream"]] == [(ORDERS, "order_id"), (ORDERS, "n")]
    source = await node(reader, RAW)
    assert (source["compiled_code"], bool(source["compiled_code_reason"])) == (None, True)
    assert [(one["unique_id"], one["column"]) for one in source["columns"][1]["downstream"]] == [(STG, "Status"), (STG, None)]
    board = await node(reader, "board")
    assert (board["columns"], board["columns_status"], board["compiled_code"]) == ([], None, None)


async def set_state(reader: Reader, state: str, reason: str | None) -> None:
    sql = "UPDATE lineages SET columns_state = $1, columns_reason = $2, column_ids = '{}'"
    await reader.store._db.execute(sql, state, reason)
