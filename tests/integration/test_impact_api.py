"""The impact of a change from stored lineages, over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.core.models.comparisons import Base
from app.lineage.impact.model import Impact
from app.store import Store, impact_reads, pool, rows
from app.web.api.schemas.impacts import ImpactDocument
from tests.integration.columns_world import storable
from tests.integration.lineage_reader import SHAS, TOKEN, Reader, reading, save_lineage
from tests.unit.impact.sides import broken, changed, is_silent, reached
from tests.unit.test_column_tests import generic
from tests.unit.test_nodes import build, resource

BASE, HEAD = SHAS[3], SHAS[4]
RAW, STG, ORDERS, BOARD = "source.shop.raw.orders", "model.shop.stg_orders", "model.shop.orders", "exposure.shop.board"


def line(unique_id: str, columns: Mapping[str, list[list[Any]]], code: str, **more: Any) -> dict[str, Any]:
    """A line of the columns document: columns with the edges into them, as (upstream, column)."""
    edges = [[up, column, name, "IDENTITY", True] for name, sources in columns.items() for up, column in sources]
    values = [[name, None, f"1{sources}"] for name, sources in columns.items()]
    return {
        "unique_id": unique_id,
        "status": "exact",
        "columns": values,
        "edges": edges,
        "compiled_code": code,
        "rendered": "full",
        "sql": f"1{code}",
        "rows": "1",
        **more,
    }


async def save_shop(reader: Reader, sha: str, *lines: Mapping[str, Any], stg: str = "select 1", with_columns: bool = True) -> None:
    """A staging model, a mart on it, a test on its column and a dashboard."""
    lineage = build(
        resource(STG, raw_code=stg, config={"materialized": "view"}),
        resource(ORDERS, raw_code="select 2", config={"materialized": "table"}),
        generic("not_null", ORDERS, "amount"),
        parents={STG: [RAW], ORDERS: [STG], BOARD: [ORDERS], "test.shop.not_null_amount": [ORDERS]},
        sources={RAW: resource(RAW, source_name="raw")},
        exposures={BOARD: resource(BOARD, type="dashboard", owner={"name": "Ann"})},
    )
    await save_lineage(reader.store, reader.connection_id, sha, lineage, storable(*lines) if with_columns else None)


STAGED = line(STG, {"id": [[RAW, "id"]], "amount": [[RAW, "amount"]]}, "select id, amount from raw")
MART = line(ORDERS, {"id": [[STG, "id"]], "amount": [[STG, "amount"]]}, "select id, amount from stg")
SHORTER = line(STG, {"id": [[RAW, "id"]]}, "select id from raw")
BROKEN = line(ORDERS, {"id": [[STG, "id"]], "amount": []}, "select id, amount from stg", missing=["amount"])


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


async def asked(reader: Reader, query: str, *, status: int = 200, etag: str = "") -> tuple[dict[str, Any], str]:
    path = f"{reader.path.replace('/lineage', '/impact')}?{query}"
    async with reader.client.get(path, headers={**TOKEN, "If-None-Match": etag}) as response:
        assert response.status == status, await response.text()
        found = await response.json(content_type=None) if status != 304 else {}
        if status == 200:
            ImpactDocument.model_validate_json(await response.read(), strict=True)
            assert list(found) == list(ImpactDocument.model_fields)
        return found, response.headers.get("ETag", "")


async def impact(reader: Reader) -> Impact:
    heads = [await reader.store.lineages.head(reader.connection_id, sha) for sha in (BASE, HEAD)]
    assert heads[0] is not None
    assert heads[1] is not None
    found = await reader.store.lineage_cache.impact(heads[0], heads[1])
    assert found is not None
    return found


async def test_a_column_that_is_removed_breaks_its_reader_and_reaches_the_dashboard(reader: Reader) -> None:
    await save_shop(reader, BASE, STAGED, MART)
    await save_shop(reader, HEAD, SHORTER, BROKEN, stg="select 1 -- shorter")
    found = await impact(reader)
    assert changed(found) == {"stg_orders: removed amount"}
    assert broken(found) == {"orders: column_removed stg_orders.amount", "board: exposure stg_orders.amount?"}
    assert reached(found) == {"orders": "rows 1", "board": "rows 2"}
    assert found.counts["owners"] == {"Ann": 1}


async def test_columns_that_are_not_ready_leave_the_model_graph(reader: Reader) -> None:
    await save_shop(reader, BASE, STAGED, MART)
    await save_shop(reader, HEAD, stg="select 1, 2", with_columns=False)
    found = await impact(reader)
    assert found.without_columns == ("head",)
    assert changed(found) == {"stg_orders: logic?"}
    assert reached(found) == {"orders": "model 1", "board": "model 2"}


async def test_many_nodes_are_read_in_steps(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    await save_shop(reader, BASE, STAGED, MART)
    await save_shop(reader, HEAD, SHORTER, BROKEN, stg="select 1 -- shorter")
    whole = await impact(reader)
    for name, number in (("STEP_PAIRS", 1), ("STEP_BYTES", 1), ("STEP_DEFINITIONS", 1), ("STEP_CODES", 1)):
        monkeypatch.setattr(impact_reads, name, number)
    assert await impact(reader) == whole


async def test_equal_lineages_say_nothing(reader: Reader) -> None:
    for sha in (BASE, HEAD):
        await save_shop(reader, sha, STAGED, MART)
    assert is_silent(await impact(reader))


async def test_a_lineage_that_was_replaced_has_no_impact(reader: Reader) -> None:
    for sha in (BASE, HEAD):
        await save_shop(reader, sha, STAGED, MART)
    heads = [await reader.store.lineages.head(reader.connection_id, sha) for sha in (BASE, HEAD)]
    await save_shop(reader, BASE, SHORTER, BROKEN, stg="select 3")
    assert heads[0] is not None
    assert heads[1] is not None
    assert await reader.store.lineage_cache.impact(heads[0], heads[1]) is None


async def test_the_api_says_all_of_it(reader: Reader) -> None:
    await save_shop(reader, BASE, STAGED, MART)
    await save_shop(reader, HEAD, SHORTER, BROKEN, stg="select 1 -- shorter")
    found, etag = await asked(reader, f"base={BASE}&head={HEAD}")
    assert list(found)[:6] == ["base", "head", "changes", "reached", "breaks", "counts"]
    assert [(found[side]["sha"], found[side]["columns_state"]) for side in ("base", "head")] == [(BASE, "ready"), (HEAD, "ready")]
    assert found["changes"] == [
        {
            "unique_id": STG,
            "class": "removed",
            "certain": True,
            "columns": ["amount"],
            "new_columns": [],
            "inherited": False,
            "reason": "`amount` is no longer a column of `stg_orders`.",
            "more_columns": 0,
        }
    ]
    assert [one["unique_id"] for one in found["reached"]] == [BOARD, ORDERS]
    breaks = [(one["unique_id"], one["cause"], one["column"], one["certain"]) for one in found["breaks"]]
    assert breaks == [(ORDERS, STG, "amount", True), (BOARD, STG, "amount", False)]
    assert found["counts"]["reached"] == {"model": 1, "test": 1, "exposure": 1}
    assert (found["left_out"], found["without_columns"]) == ({"changes": 0, "reached": 0, "breaks": 0, "definitions": 0}, [])
    await asked(reader, f"base={BASE}&head={HEAD}", status=304, etag=etag)
    back, _ = await asked(reader, f"base={HEAD}&head={BASE}", etag=etag)
    assert [one["class"] for one in back["changes"]] == ["added"]


async def test_without_a_base_a_commit_is_compared_as_its_check_run_was(reader: Reader, db: pool.Database) -> None:
    await save_shop(reader, BASE, STAGED, MART)
    await save_shop(reader, HEAD, SHORTER, BROKEN, stg="select 1 -- shorter")
    for query in ("", f"head={HEAD}"):
        problem, _ = await asked(reader, query, status=400)
        assert problem["field"] == "base"
    await db.execute("UPDATE extractions SET base = $2 WHERE sha = $1", HEAD, rows.to_json(Base("merge_base", BASE, "main")))
    found, _ = await asked(reader, f"head={HEAD}")
    assert found["base"]["sha"] == BASE


async def test_commits_that_are_not_stored_are_named(reader: Reader) -> None:
    for query, field in ((f"base={SHAS[8]}&head={SHAS[1]}", "base"), (f"base={SHAS[1]}&head={SHAS[8]}", "head")):
        problem, _ = await asked(reader, query, status=404)
        assert problem["field"] == field
