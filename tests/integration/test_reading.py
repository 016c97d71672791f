"""Reading a lineage over HTTP, whole and in part, from a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.store import Store, pool
from app.store.graphs import Graphs
from tests.integration.lineage_reader import SHAS, TOKEN, UPSTREAM, Reader, reading, save


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


async def test_the_whole_lineage(reader: Reader) -> None:
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
    "package=nothing&tag=%FF": set(),
}


async def test_filters_hold_together(reader: Reader) -> None:
    for query, expected in PARTS.items():
        document = await reader.get(query)
        shown = {node["unique_id"] for node in document["nodes"]}
        assert shown == expected, query
        edges = {(edge["upstream"], edge["downstream"]) for edge in document["edges"]}
        assert edges == {(up, down) for down in shown for up in UPSTREAM[down] if up in shown}, query


REFUSED: list[tuple[str, int, str | None]] = [
    ("focus=orders", 400, "focus"),
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
    ("sha=main", 400, "sha"),
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
CANDIDATES = {"focus=orders": ["model.shop.orders", "source.shop.raw.orders"], "focus=stg_order": ["model.shop.stg_orders"]}


async def test_what_cannot_be_answered_is_refused_with_the_parameter_named(reader: Reader) -> None:
    for query, status, field in REFUSED:
        problem = await reader.get(query, status=status)
        assert (problem["status"], problem.get("field")) == (status, field), query
        expected = CANDIDATES.get(query, [])
        assert problem.get("candidates", [])[: len(expected)] == expected, query


async def test_an_etag_stands_for_one_part_of_one_extraction(reader: Reader) -> None:
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


async def test_a_past_commit_is_read_as_it_was(reader: Reader) -> None:
    await save(reader.store, reader.connection_id, SHAS[2], {"model.shop.orders": []})
    assert await reader.shown("") == {"model.shop.orders"}
    assert await reader.shown(f"sha={SHAS[1].upper()}") == set(UPSTREAM)


async def test_two_hundred_readers_at_once_all_get_the_same(reader: Reader) -> None:
    chain = {f"model.shop.m{number:04}": [f"model.shop.m{number - 1:04}"] if number else [] for number in range(3000)}
    await save(reader.store, reader.connection_id, SHAS[3], chain, "so many words")

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


async def test_a_reader_who_leaves_in_the_middle_is_no_error(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    await save(reader.store, reader.connection_id, SHAS[3], {f"model.shop.m{number}": [] for number in range(200)}, "long " * 20_000)
    response = await reader.client.get(reader.path, headers=TOKEN)
    await response.content.readexactly(1000)
    response.close()
    assert len(await reader.shown("focus=m7")) == 1
    assert "crashed" not in capsys.readouterr().err


async def test_what_was_extracted_anew_is_not_read_in_its_old_place(reader: Reader, store: Store) -> None:
    old = await store.lineages.head(reader.connection_id)
    await save(store, reader.connection_id, SHAS[1], {"model.shop.orders": []})
    assert old is not None
    assert await store.graphs.of(old) is None


async def test_memory_for_what_readers_hold_is_bounded(reader: Reader, db: pool.Database) -> None:
    graphs = Graphs(db, kept_bytes=0, held_bytes=0)
    first = await reader.store.lineages.head(reader.connection_id)
    await save(reader.store, reader.connection_id, SHAS[2], {"model.shop.orders": []})
    second = await reader.store.lineages.head(reader.connection_id)
    assert first is not None
    assert second is not None
    held = await graphs.of(first)
    assert held is not None
    waiting = asyncio.create_task(graphs.of(second))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    del held
    assert await waiting is not None
