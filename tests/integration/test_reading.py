"""Reading lineages over HTTP, whole and in part, from a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.store import Store, pool
from app.store.lineage_cache import LineageCache
from tests.integration.lineage_reader import SHAS, TOKEN, UPSTREAM, Reader, reading, save


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


async def test_a_lineage_is_returned_whole(reader: Reader) -> None:
    document = await reader.get()
    assert {node["unique_id"] for node in document["nodes"]} == set(UPSTREAM)
    assert {(edge["upstream"], edge["downstream"]) for edge in document["edges"]} == {
        (up, down) for down, above in UPSTREAM.items() for up in above
    }
    assert (document["sha"], document["project_name"], document["stale"]) == (SHAS[1], "shop", False)


PARTS: dict[str, set[str]] = {
    "focus=model.shop.stg_orders&depth=1": {"source.shop.raw.orders", "model.shop.stg_orders", "model.shop.orders"},
    "focus=stg_orders&direction=upstream": {"source.shop.raw.orders", "model.shop.stg_orders"},
    "focus=model.utils.days&direction=downstream&depth=1": {"model.utils.days", "model.shop.orders", "exposure.shop.days"},
    "focus=not_null&depth=0": {"test.shop.not_null"},
    "focus=not_null&resource_type=source&resource_type=exposure": {"source.shop.raw.orders"},
    "package=utils": {"model.utils.days"},
    "tag=nightly&resource_type=model": {"model.shop.orders", "model.shop.ünï 😀"},
    "tag=%C3%BCn%C3%AF": {"model.shop.ünï 😀"},
    "focus=%C3%BCn%C3%AF%20%F0%9F%98%80&depth=0": {"model.shop.ünï 😀"},
    "focus=orders&depth=0": {"model.shop.orders"},
    "focus=%2Bstg_orders": {"source.shop.raw.orders", "model.shop.stg_orders"},
    "focus=+stg_orders": {"source.shop.raw.orders", "model.shop.stg_orders"},
    "focus=1%2Borders%2B1&resource_type=model": {"model.shop.stg_orders", "model.utils.days", "model.shop.orders", "model.shop.ünï 😀"},
    "sha=main&package=utils": {"model.utils.days"},
    "package=nothing&tag=%FF": set(),
}


async def test_filters_can_be_combined(reader: Reader) -> None:
    for query, expected in PARTS.items():
        document = await reader.get(query)
        shown = {node["unique_id"] for node in document["nodes"]}
        assert shown == expected, query
        edges = {(edge["upstream"], edge["downstream"]) for edge in document["edges"]}
        assert edges == {(up, down) for down in shown for up in UPSTREAM[down] if up in shown}, query


REFUSED: list[tuple[str, int, str | None]] = [
    ("focus=stg_order", 404, "focus"),
    ("focus=" + "%F0%9F%98%80" * 500, 404, "focus"),
    ("focus=a%00b", 400, "focus"),
    ("focus=orders&focus=days", 400, "focus"),
    ("focus=stg_orders&depth=-1", 400, "depth"),
    ("focus=stg_orders&depth=%D9%A3", 400, "depth"),
    ("focus=stg_orders&depth=" + "9" * 5000, 400, "depth"),
    ("focus=stg_orders&direction=sideways", 400, "direction"),
    ("depth=2", 400, "depth"),
    ("direction=upstream", 400, "direction"),
    ("resource_type=macro", 400, "resource_type"),
    ("package=a&package=b", 400, "package"),
    ("sha=nowhere", 404, "sha"),
    ("sha=0000000", 400, "sha"),
    ("focus=%2Borders&depth=1", 400, "focus"),
    ("focus=%2B", 400, "focus"),
    ("sha=" + "0" * 39 + "9", 404, "sha"),
    ("focus=", 400, "focus"),
    ("resource_type=model&resource_type=", 400, "resource_type"),
    ("format=yaml", 400, "format"),
    ("format=csv&format=dot", 400, "format"),
    ("namespace=snowflake", 400, "namespace"),
    ("format=openlineage&namespace=//%22", 400, "namespace"),
    ("resource_typ=model", 400, "resource_typ"),
    ("%00=%00", 400, "\0"),
]
CANDIDATES = {
    "sha=nowhere": [SHAS[2], SHAS[1]],
    "sha=0000000": [SHAS[1], SHAS[2]],
    "focus=stg_order": ["model.shop.stg_orders"],
}


async def test_a_name_is_a_model_before_it_is_an_exposure_or_a_source_and_ambiguous_between_packages(reader: Reader) -> None:
    assert await reader.shown("focus=days&depth=0") == {"model.utils.days"}
    twins: dict[str, list[str]] = {"model.shop.twin": [], "model.utils.twin": [], "model.shop.v.v1": [], "model.shop.v.v2": []}
    await save(reader.store, reader.connection_id, SHAS[2], twins)
    problem = await reader.get("focus=twin", status=400)
    assert (problem["title"], problem["candidates"]) == ("Node is ambiguous", ["model.shop.twin", "model.utils.twin"])


async def test_filters_that_match_nothing_are_named(reader: Reader) -> None:
    assert (await reader.get("tag=weekly"))["notes"] == ["`tag`: no node of this lineage matches"]
    assert (await reader.get("tag=nightly&package=utils"))["notes"] == ["no node of this lineage matches all filters"]
    assert (await reader.get("tag=nightly"))["notes"] == []


async def test_an_invalid_parameter_is_named_in_the_error(reader: Reader) -> None:
    await save(reader.store, reader.connection_id, SHAS[2], UPSTREAM)
    for query, status, field in REFUSED:
        problem = await reader.get(query, status=status)
        assert (problem["status"], problem.get("field")) == (status, field), query
        expected = CANDIDATES.get(query, [])
        assert problem.get("candidates", [])[: len(expected)] == expected, query


async def test_an_etag_identifies_one_part_of_one_extraction(reader: Reader) -> None:
    async def ask(etag: str, **params: str) -> tuple[int, str, bytes]:
        async with reader.client.get(reader.path, params=params, headers={**TOKEN, "If-None-Match": etag}) as response:
            return response.status, response.headers["ETag"], await response.read()

    _, whole, _ = await ask('"nothing"')
    assert await ask(f'W/{whole}, "other"') == (304, whole, b"")
    status, part, _ = await ask(whole, package="shop")
    assert (status, part != whole) == (200, True)
    await save(reader.store, reader.connection_id, SHAS[1], UPSTREAM, "new words")
    status, after, body = await ask(whole)
    assert (status, after != whole) == (200, True)
    assert {node["description"] for node in json.loads(body)["nodes"]} == {"new words"}


async def test_the_lineage_of_a_past_commit_can_be_read(reader: Reader) -> None:
    await save(reader.store, reader.connection_id, SHAS[2], {"model.shop.orders": []})
    assert await reader.shown("") == {"model.shop.orders"}
    assert await reader.shown(f"sha={SHAS[1].upper()}") == set(UPSTREAM)
    await save(reader.store, reader.connection_id, "abc1234" + "0" * 33, {"model.shop.short": []})
    assert await reader.shown("sha=ABC1234") == {"model.shop.short"}
    await save(reader.store, reader.connection_id, SHAS[3], {"model.shop.orders": []})
    assert await reader.shown("sha=main") == {"model.shop.orders"}, "a branch is its newest extracted commit"
    assert await reader.shown(f"sha={SHAS[1]}") == set(UPSTREAM)


async def test_two_hundred_concurrent_readers_get_the_same_lineage(reader: Reader) -> None:
    chain = {f"model.shop.m{number:04}": [f"model.shop.m{number - 1:04}"] if number else [] for number in range(3000)}
    await save(reader.store, reader.connection_id, SHAS[3], chain, "other words")

    async def read(query: str) -> bytes:
        async with reader.client.get(f"{reader.path}?{query}", headers=TOKEN) as response:
            assert response.status == 200
            return await response.read()

    queries = ["", "focus=m1000", "focus=m1000&depth=3", "resource_type=model"]
    bodies = await asyncio.gather(*(read(queries[number % 4]) for number in range(200)))
    assert [len(set(bodies[first::4])) for first in range(4)] == [1, 1, 1, 1]
    assert [len(json.loads(body)["edges"]) for body in bodies[:4]] == [2999, 2999, 6, 2999]
    assert bodies[0] == bodies[1] == bodies[3]
    async with reader.client.head(reader.path, headers=TOKEN) as response:
        assert (response.status, await response.read()) == (200, b"")
    assert len(await reader.shown("focus=m0000&depth=4")) == 5


async def test_a_client_that_disconnects_is_not_an_error(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    await save(reader.store, reader.connection_id, SHAS[3], {f"model.shop.m{number}": [] for number in range(200)}, "long " * 20_000)
    response = await reader.client.get(reader.path, headers=TOKEN)
    await response.content.readexactly(1000)
    response.close()
    assert len(await reader.shown("focus=m7")) == 1
    assert "crashed" not in capsys.readouterr().err


async def test_a_lineage_that_was_replaced_is_not_returned(reader: Reader, store: Store) -> None:
    old = await store.lineages.head(reader.connection_id)
    await save(store, reader.connection_id, SHAS[1], {"model.shop.orders": []})
    assert old is not None
    assert await store.lineage_cache.get(old) is None


async def test_the_memory_for_lineages_in_use_is_limited(reader: Reader, db: pool.Database) -> None:
    cache = LineageCache(db, kept_bytes=0, held_bytes=0)
    first = await reader.store.lineages.head(reader.connection_id)
    await save(reader.store, reader.connection_id, SHAS[2], {"model.shop.orders": []})
    second = await reader.store.lineages.head(reader.connection_id)
    assert first is not None
    assert second is not None
    held = await cache.get(first)
    assert held is not None
    waiting = asyncio.create_task(cache.get(second))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    del held
    assert await waiting is not None
