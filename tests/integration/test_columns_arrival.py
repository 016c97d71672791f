"""Columns that arrive after their lineage, as readers with an ETag see it: nobody keeps an answer without them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from app.core.models.extractions import Extraction
from app.lineage.nodes import Lineage
from app.store import Store
from tests.integration.columns_world import storable
from tests.integration.lineage_reader import SHAS, TOKEN, Reader, reading
from tests.unit.test_nodes import build, resource

ORDERS = "model.shop.orders"
LINE = {"unique_id": ORDERS, "status": "exact", "columns": [["id", "integer"]], "edges": [], "compiled_code": "select 1 as id"}
ADDRESSES = ("/lineage", "/lineage?format=openlineage", "/columns", "/columns?node=orders", "/nodes/orders")


def lineage() -> Lineage:
    return build(resource(ORDERS, database="db", schema="prod", relation_name='"db"."prod"."orders"'), parents={ORDERS: []})


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        made.path = made.path.removesuffix("/lineage")
        yield made


async def stored(reader: Reader) -> Extraction:
    """A running extraction whose lineage is stored, and whose columns follow."""
    await reader.store.extractions.enqueue(reader.connection_id, "main", SHAS[2], "push", forced=True)
    extraction = await reader.store.extractions.claim("w", timedelta(minutes=1))
    assert extraction is not None
    async with reader.store.transaction() as tx:
        await tx.lineages.save(extraction, lineage(), b"input", columns_follow=True)
    return extraction


async def ask(reader: Reader, address: str, etag: str = "") -> tuple[int, str, str]:
    """Status, ETag and body."""
    async with reader.client.get(reader.path + address, headers=TOKEN | {"If-None-Match": etag}) as response:
        return response.status, response.headers["ETag"], await response.text()


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("ready", [True, False], ids=["ready", "failed"])
async def test_the_etag_changes_when_columns_arrive_or_fail(reader: Reader, address: str, ready: bool) -> None:  # noqa: FBT001 - a parameter
    extraction = await stored(reader)
    _, before, without = await ask(reader, address)
    assert await ask(reader, address, before) == (304, before, "")
    async with reader.store.transaction() as tx:
        if ready:
            assert await tx.columns.save(extraction, storable(LINE), b"input")
        else:
            await tx.columns.fail(extraction, "The container needed more than 600 MiB.", b"input")
    status, after, now = await ask(reader, address, before)
    assert (status, after != before) == (200, True)
    if ready or "openlineage" not in address:
        assert now != without
    assert await ask(reader, address, after) == (304, after, "")
