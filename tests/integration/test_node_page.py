"""The page of a node, over HTTP and with a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio

from app.core.models.github import Repository
from app.lineage.nodes import Lineage
from app.lineage.resource_types import RESOURCE_TYPES
from app.store import Store
from app.web.pages import node, node_columns
from tests.integration.columns_world import storable
from tests.integration.lineage_reader import SHAS, TOKEN, Reader, reading, save, save_lineage
from tests.integration.node_page import page
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

RAW, STG, BOARD = "source.shop.erp.orders", "model.shop.stg_orders", "exposure.shop.board"
TEST, UNIT = "test.shop.not_null.a1", "unit_test.shop.orders.totals"


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


def shop(**more: Any) -> Lineage:
    orders = resource(
        ORDERS,
        original_file_path="models/orders.sql",
        description="One row *per* order, see https://wiki.example/o.",
        config={"materialized": "table", "contract": {"enforced": True}},
        contract={"enforced": True},
        constraints=[{"type": "primary_key", "columns": ["id"]}],
        raw_code="select * from {{ ref('stg_orders') }} join {{ ref('customers') }} -- {{ ref('nothing') }}",
        language="sql",
        patch_path="shop://models/marts.yml",
        access="public",
        group="finance",
        meta={"owner": "ann", "sla": "08:00"},
        tags=["nightly"],
        columns={
            "id": {"name": "id", "description": "The key.", "data_type": "integer", "meta": {"pii": True}},
            "status": {"name": "status"},
        },
    )
    parents = {ORDERS: [STG, CUSTOMERS], STG: [RAW], BOARD: [ORDERS], TEST: [ORDERS], UNIT: [ORDERS]}
    described = {"status": {"name": "status", "description": "Open or **done**."}}
    values: dict[str, Any] = {
        "parents": parents,
        "sources": {RAW: resource(RAW, source_name="erp", columns=described, freshness={"warn_after": {"count": 1}}, loader="airbyte")},
        "exposures": {BOARD: resource(BOARD, type="dashboard", url="https://bi.example/1", owner={"name": "Bo"}, label="The board")},
        "unit_tests": {UNIT: resource(UNIT, model="orders", given=[{"input": "ref('a')", "rows": []}], expect={"rows": [{"id": 1}]})},
    }
    test = resource(TEST, column_name="id", attached_node=ORDERS, test_metadata={"name": "not_null", "kwargs": {}})
    return build(orders, resource(CUSTOMERS), resource(STG), test, **{**values, **more})


LINES = (
    {"unique_id": RAW, "status": "exact", "columns": [["status", None, None]], "edges": [], "rendered": None},
    {
        "unique_id": STG,
        "status": "exact",
        "columns": [["status", None, "1a"]],
        "edges": [[RAW, "status", "status", "IDENTITY", True]],
        "compiled_code": "select status from raw.orders",
        "rendered": "full",
    },
    {
        "unique_id": ORDERS,
        "status": "approximate",
        "reason": "`tools.pivot` reads rows.",
        "columns": [["id", None, "1b"], ["status", None, "1c"]],
        "edges": [[STG, "status", "status", "IDENTITY", True], [STG, "status", None, "FILTER", True]],
        "compiled_code": "select status from stg_orders",
        "rendered": "full",
        "hard_coded": ["legacy.crm"],
    },
)


async def test_a_model_shows_what_is_known_of_it(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[2], shop(), columns=storable(*LINES))
    shown = await page(reader, ORDERS)
    for part in (
        *("orders model · table", "One row per order, see https://wiki.example/o .", "owner ann", "group finance", "access public"),
        *("contract enforced", "tags nightly", "described in models/marts.yml", "Their lineage is approximate: tools.pivot reads rows."),
        *("id integer", "The key.", "legacy.crm", "Exposures reached", "The board", "dashboard, owner Bo", "primary_key", "sla"),
        *("Open or done . Inherited from", "stg_orders.status as it is", "filtered by", "flowchart LR"),
    ):
        assert part in shown.text, part
    base = f"/connections/{reader.connection_id}"
    assert shown.links["ref('stg_orders')"] == f"{base}/nodes/{STG}"
    assert shown.links["ref('customers')"] == f"{base}/nodes/{CUSTOMERS}"
    assert "ref('nothing')" not in shown.links
    assert shown.links["orders.status"] == f"{base}/nodes/{RAW}#column-status"
    assert shown.links["Lineage"] == f"{base}/lineage?node={ORDERS}"
    assert shown.links["id"] == f"{base}/lineage?node={ORDERS}&column=id"
    assert shown.links["Code on GitHub"] == f"https://github.example.com/octo/shop/blob/{SHAS[2]}/models/orders.sql"
    assert shown.links["models/marts.yml"] == f"https://github.example.com/octo/shop/blob/{SHAS[2]}/models/marts.yml"
    assert shown.links["JSON"] == f"/api/metadata{base}/nodes/{ORDERS}"
    assert shown.links["open"] == "https://bi.example/1"
    assert f"[orders](https://freshet.example.com{base}/nodes/{ORDERS}?sha={SHAS[2]})" in shown.text
    assert {"column-id", "column-status"} <= {*shown.ids}
    assert len(shown.ids) == len({*shown.ids})


async def test_every_link_leads_to_a_page(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[2], shop(), columns=storable(*LINES))
    shown = await page(reader, ORDERS, "?sha=main")
    ours = {href for href in shown.hrefs if href.startswith(("/connections/", "/extractions/", "/api/", "/assets/"))}
    assert len(ours) > 10
    for href in ours - {f"/connections/{reader.connection_id}"}:
        async with reader.client.get(href, headers=TOKEN) as response:
            assert response.status == 200, href
    nodes = {href for href in ours if "/nodes/" in href or "/lineage?" in href}
    assert all(f"sha={SHAS[2]}" in href for href in nodes), "at the same commit"


async def test_the_history_says_who_changed_what(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[2], shop())
    changed = build(resource(ORDERS, description="New.", columns={"id": {"name": "id"}}), resource(STG))
    await save_lineage(reader.store, reader.connection_id, SHAS[3], changed)
    await reader.store._db.execute(
        "UPDATE extractions SET facts = $1 WHERE sha = $2",
        '{"commit": {"author": "Ann <b>", "authored_at": "2026-11-02T09:00:00Z", "subject": "Say less"}}',
        SHAS[3],
    )
    shown = await page(reader, ORDERS)
    for part in ("Say less", "Ann <b>, 2026-11-02 09:00 UTC", "columns", "description", "dependencies", "changed in 0000000 by Ann <b>"):
        assert part in shown.text, part
    assert shown.links[SHAS[3][:7]].startswith("https://github.example.com/octo/shop/commit/")
    earlier = await page(reader, ORDERS, f"?sha={SHAS[2]}")
    assert "Say less" not in earlier.text
    assert "This is not the newest lineage" in earlier.text


async def test_each_type_has_its_page(reader: Reader) -> None:
    def make(name: str, section: str) -> dict[str, Any]:
        return resource(f"{name}.shop.one", raw_code="select 1", description=f"A {section}.", config={"enabled": True})

    sections: dict[str, dict[str, Any]] = {}
    for row in RESOURCE_TYPES:
        sections.setdefault(row.section, {})[f"{row.name}.shop.one"] = make(row.name, row.section)
    lineage = build(*sections.pop("nodes").values(), **sections)
    await save_lineage(reader.store, reader.connection_id, SHAS[2], lineage)
    for row in RESOURCE_TYPES:
        shown = await page(reader, f"{row.name}.shop.one")
        assert f"one {row.label}" in shown.text
        assert f"A {row.section}." in shown.text


async def test_what_a_type_has_is_shown(reader: Reader) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[2], shop())
    for name, parts in {
        RAW: ("source name erp", "loader airbyte", "freshness", "warn_after"),
        BOARD: ("label The board", "address https://bi.example/1", "type dashboard", "contact Bo"),
        UNIT: ("given", "ref('a')", "expect", "model orders"),
        TEST: ("kind of test not_null", f"tests {ORDERS}", "column id"),
    }.items():
        shown = await page(reader, name)
        for part in parts:
            assert part in shown.text, (name, part)


async def test_what_says_nothing_is_not_shown(reader: Reader) -> None:
    nothing = {"warn_after": {"count": None, "period": None}, "error_after": {}, "filter": None}
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"a": deep}
    found = build(sources={RAW: resource(RAW, source_name="erp", freshness=nothing, external=deep)})
    await save_lineage(reader.store, reader.connection_id, SHAS[2], found)
    shown = await page(reader, RAW)
    assert "warn_after" not in shown.text
    assert "external" in shown.text, "nobody looks into what is nested so deep"


async def test_versions_packages_and_odd_names(reader: Reader) -> None:
    odd = "model.shop.ünï/odd name"
    calls = ("'daily', v=1", "'utils', 'daily'", "'daily'", "'shop', 'daily', version=2")
    lineage = build(
        resource("model.shop.daily.v1") | {"name": "daily", "version": 1},
        resource("model.shop.daily.v2") | {"name": "daily", "version": 2},
        resource("model.utils.daily"),
        resource(odd, original_file_path="../shared/a.sql"),
        resource("model.utils.days", original_file_path="models/days.sql"),
        resource(ORDERS, raw_code="".join(f"{{{{ ref({one}) }}}}" for one in calls)),
        parents={ORDERS: ["model.shop.daily.v1", "model.shop.daily.v2", "model.utils.daily", odd]},
    )
    await save_lineage(reader.store, reader.connection_id, SHAS[2], lineage)
    shown = await page(reader, ORDERS)
    targets = {text: unquote(href).rpartition("/")[2] for text, href in shown.links.items() if text.startswith("ref(")}
    assert targets == {
        "ref('daily', v=1)": "model.shop.daily.v1",
        "ref('utils', 'daily')": "model.utils.daily",
        "ref('shop', 'daily', version=2)": "model.shop.daily.v2",
    }, "and none for what may be either version"
    assert "daily.v2 model" in shown.text
    assert "daily model of utils" in shown.text
    async with reader.client.get(shown.links["ünï/odd name"], headers=TOKEN) as response:
        assert response.status == 200
    assert "Code on GitHub" not in (await page(reader, odd)).links, "outside of the repository"
    assert "Code on GitHub" not in (await page(reader, "model.utils.days")).links, "of another package"


async def test_who_may_not_see_it_finds_nothing(reader: Reader) -> None:
    for headers, status in (({}, 403), ({"Authorization": "Bearer wrong"}, 401)):
        path = f"/connections/{reader.connection_id}/nodes/model.shop.orders"
        async with reader.client.get(path, headers={**headers, "Accept": "text/html"}) as response:
            assert response.status == status
            assert "stg_orders" not in await response.text()
    missing = await page(reader, "model.shop.order", status=404)
    assert missing.links["model.shop.orders"] == f"/connections/{reader.connection_id}/nodes/model.shop.orders"
    assert "similar" not in (await page(reader, "<script>", status=404)).text
    await page(reader, "model.shop.orders", "?sha=nowhere", status=404)
    await page(reader, "model.shop.orders", "?other=1", status=400)


async def test_big_nodes_are_cut(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "MAX_LISTED", 3)
    monkeypatch.setattr(node, "MAX_DRAWN", 5)
    monkeypatch.setattr(node_columns, "MAX_COLUMNS", 2)
    monkeypatch.setattr(node, "MAX_COLUMNS", 2)
    monkeypatch.setattr(node_columns, "MAX_DESCRIPTIONS", 5)
    children = [f"model.shop.m{number}" for number in range(9)]
    columns = {f"c{number}": {"name": f"c{number}", "description": "*a*"} for number in range(7)}
    lineage = build(resource(ORDERS, columns=columns), *map(resource, children), parents={one: [ORDERS] for one in children})
    await save_lineage(reader.store, reader.connection_id, SHAS[2], lineage)
    shown = await page(reader, ORDERS)
    assert "6 more" in shown.text
    assert "And 5 more columns" in shown.text
    assert "flowchart" not in shown.text
    assert re.search(r"\*a\*", shown.text), "the second description is not read as Markdown"


async def test_a_node_of_an_earlier_release_has_a_page(reader: Reader) -> None:
    old = '{"unique_id": "model.shop.orders", "resource_type": "model", "name": "orders", "columns": [{"name": "id"}]}'
    await reader.store._db.execute("UPDATE nodes SET content = $1::text::json WHERE unique_id = 'model.shop.orders'", old)
    shown = await page(reader, "model.shop.orders")
    assert "An earlier release of Freshet stored this node" in shown.text


async def test_projects_that_read_a_table_or_make_it_are_linked(reader: Reader) -> None:
    source = "source.bi.raw.orders"
    await reader.store.installations.update_from_push(Repository(8, "octo/bi", 3, "main"))
    bi = await reader.store.connections.create(8, "")
    await save(reader.store, bi.id, SHAS[2], {source: []})
    made = await page(reader, ORDERS)
    assert "Read by 1 project" in made.text
    assert f"/connections/{bi.id}/nodes/{source}" in made.hrefs
    assert "perhaps: the names are the same, but databases of duckdb are files" in made.text
    other = Reader(reader.client, reader.store, bi.id)
    read = await page(other, source)
    assert "Made by orders model in octo/shop" in read.text
    assert f"/connections/{reader.connection_id}/nodes/{ORDERS}" in read.hrefs
