"""What strangers can write, on the page of a node."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from app.lineage.nodes import Lineage
from app.store import Store
from tests.integration.columns_world import storable
from tests.integration.lineage_reader import SHAS, Reader, reading, save_lineage
from tests.integration.node_page import page
from tests.unit.github_markdown import HOSTILE, UNSEEN
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

RAW, BOARD, TEST, UNIT = "source.shop.erp.orders", "exposure.shop.board", "test.shop.not_null.a1", "unit_test.shop.orders.totals"


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


@pytest.mark.parametrize("text", [*HOSTILE[:60:2], "javascript:alert(1)", "\"'><script>alert(1)</script>", "</pre></code>", "x" * 5_000])
async def test_hostile_texts_are_harmless_in_every_field(reader: Reader, text: str) -> None:
    await save_lineage(reader.store, reader.connection_id, SHAS[2], hostile(text), columns=storable(*hostile_lines(text)))
    await reader.store._db.execute("UPDATE extractions SET facts = jsonb_build_object('commit', $1::jsonb)::json", commit_of(text))
    await save_lineage(reader.store, reader.connection_id, SHAS[3], hostile(f"{text}."))
    for name in (ORDERS, RAW, BOARD, UNIT, TEST):
        shown = await page(reader, name)
        assert not UNSEEN.search(shown.text)
        assert {urlsplit(href).scheme for href in shown.hrefs} <= {"", "http", "https", "mailto"}
        assert all(
            href.startswith("/") and not href.startswith("//") for href in shown.hrefs if not urlsplit(href).scheme and href[:1] != "#"
        )


def hostile(text: str) -> Lineage:
    """The text wherever dbt's manifest lets strangers write."""
    clean = text.encode("utf-8", "replace").decode().replace("\0", "")
    many: dict[str, Any] = {
        "description": clean,
        "original_file_path": clean,
        "patch_path": f"shop://{clean}",
        "raw_code": f"select '{clean}' from {{{{ ref('{clean}') }}}} -- {clean}",  # noqa: S608 - not run
        "language": clean,
        "tags": [clean],
        "meta": {clean: clean, "owner": clean},
        "config": {clean: clean, "materialized": clean},
        "fqn": [clean],
        "schema": clean,
        "database": clean,
        "alias": clean,
        "group": clean,
        "access": clean,
        "relation_name": clean,
        "constraints": [{clean: clean}],
        "columns": {clean: {"name": clean, "description": clean, "data_type": clean, "meta": {clean: clean}, "tags": [clean]}},
        "url": clean,
        "label": clean,
        "type": clean,
        "owner": {"name": clean, "email": clean},
        "source_description": clean,
        "loader": clean,
        "given": [clean],
        "expect": clean,
        "version": clean,
    }
    test = resource(
        TEST, **many, column_name=clean, attached_node=clean, test_metadata={"name": clean, "namespace": clean, "kwargs": {clean: clean}}
    )
    return build(
        resource(ORDERS, **many) | {"name": clean},
        resource(CUSTOMERS, **many),
        test,
        parents={ORDERS: [RAW, CUSTOMERS], BOARD: [ORDERS], TEST: [ORDERS], UNIT: [ORDERS]},
        sources={RAW: resource(RAW, **many, source_name=clean)},
        exposures={BOARD: resource(BOARD, **many)},
        unit_tests={UNIT: resource(UNIT, **many)},
    )


def hostile_lines(text: str) -> tuple[dict[str, Any], ...]:
    clean = text.encode("utf-8", "replace").decode().replace("\0", "")[:400]
    line = {
        "status": "approximate",
        "reason": clean,
        "columns": [[clean, clean, clean]],
        "compiled_code": clean,
        "compiled_reason": clean,
        "rendered": "full",
        "hard_coded": [clean],
    }
    return (
        {**line, "unique_id": ORDERS, "edges": [[CUSTOMERS, clean, clean, "IDENTITY", True], [RAW, clean, None, "FILTER", False]]},
        {**line, "unique_id": CUSTOMERS, "edges": []},
        {**line, "unique_id": RAW, "edges": [], "compiled_code": None},
    )


def commit_of(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode().replace("\0", "")
    return json.dumps({"author": clean, "authored_at": None, "subject": clean})


@pytest.mark.parametrize("value", [{"a": [1]}, ["x"], 5, True, None, {"a": {"b": {}}}], ids=str)
async def test_other_types_than_dbt_writes_do_not_break_the_page(reader: Reader, value: Any) -> None:
    names = (
        "raw_code",
        "language",
        "patch_path",
        "contract",
        "constraints",
        "fqn",
        "schema",
        "alias",
        "access",
        "group",
        "label",
        "url",
        "type",
    )
    more = ("source_description", "loader", "freshness", "docs_blocks", "doc_blocks", "given", "expect", "version", "relation_name")
    fields = dict.fromkeys((*names, *more), value)
    saved = 0
    for name in (*names, *more):
        try:
            lineage = build(
                resource(ORDERS, **{name: value}),
                sources={RAW: resource(RAW, **{name: value})},
                exposures={BOARD: resource(BOARD, **{name: value})},
                parents={ORDERS: [RAW], BOARD: [ORDERS]},
            )
        except Exception:  # noqa: BLE001, S112 - a manifest that is refused has no page
            continue
        await save_lineage(reader.store, reader.connection_id, SHAS[2], lineage)
        saved += 1
        for one in (ORDERS, RAW, BOARD):
            await page(reader, one)
    assert saved > len(fields) // 3


async def test_deep_definitions_do_not_break_the_page(reader: Reader) -> None:
    deep: Any = 1
    for _ in range(240):
        deep = {"a": deep}
    await save_lineage(reader.store, reader.connection_id, SHAS[2], build(resource(ORDERS, config={"deep": deep})))
    await page(reader, ORDERS)
