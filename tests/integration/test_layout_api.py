"""Where nodes are drawn, over HTTP and with a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.lineage.graph import GraphFilter
from app.store import Store
from app.web.api.layout_cache import Drawn, LayoutCache
from app.web.api.schemas.layouts import NeighbourhoodDocument, OverviewDocument
from tests.integration.lineage_reader import SHAS, TOKEN, UPSTREAM, Reader, reading, save

ORDERS, STAGING, RAW, DAYS = "model.shop.orders", "model.shop.stg_orders", "source.shop.raw.orders", "model.utils.days"
ODD, BOARD = "model.shop.ünï 😀", "exposure.shop.days"


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


async def layout(reader: Reader, query: str = "", *, status: int = 200, etag: str = "", encoding: str = "gzip") -> dict[str, Any]:
    """The document, with the ETag as `etag`."""
    headers = {**TOKEN, "If-None-Match": etag, "Accept-Encoding": encoding}
    async with reader.client.get(f"{reader.path.replace('/lineage', '/layout')}?{query}", headers=headers) as response:
        assert response.status == status, await response.text()
        found: dict[str, Any] = await response.json(content_type=None) if status != 304 else {}
        if status == 200:
            model = NeighbourhoodDocument if "focus" in found else OverviewDocument
            model.model_validate_json(await response.read(), strict=True)
            assert found.keys() == model.model_fields.keys()
            assert response.headers["Vary"] == "Accept-Encoding"
            found["etag"], found["encoding"] = response.headers["ETag"], response.headers.get("Content-Encoding")
        return found


def names(found: dict[str, Any]) -> list[str]:
    nodes = found["nodes"]
    return [*nodes["unique_id"]] if isinstance(nodes, dict) else [node["unique_id"] for node in nodes]


async def test_the_overview_has_every_node_and_edge_from_left_to_right(reader: Reader) -> None:
    found = await layout(reader)
    nodes = found["nodes"]
    assert {*names(found)} == {*UPSTREAM} - {"test.shop.not_null"}
    assert len({*map(len, nodes.values())}) == 1
    x = dict(zip(nodes["unique_id"], nodes["x"], strict=True))
    pairs = [(names(found)[up], names(found)[down]) for up, down in zip(found["edges"][::2], found["edges"][1::2], strict=True)]
    assert {*pairs} == {(above, node) for node, parents in UPSTREAM.items() for above in parents if not node.startswith("test.")}
    assert all(x[upstream] < x[downstream] for upstream, downstream in pairs)
    assert [found["resource_types"][number] for number in nodes["resource_type"]] == [name.partition(".")[0] for name in names(found)]
    assert {found["groups"][number] for number in nodes["group"]} == {"", "utils"}
    assert sum(count for _, count, _ in found["layers"]) == len(names(found))
    assert all(nodes["x"][first] == left for first, _, left in found["layers"])
    assert (found["sha"], found["base"], found["stale"], found["edge_changes"]) == (SHAS[1], None, False, [])


async def test_filters_select_what_is_drawn(reader: Reader) -> None:
    assert {*names(await layout(reader, "resource_type=test&resource_type=source"))} == {"test.shop.not_null", RAW}
    assert names(await layout(reader, "package=utils")) == [DAYS]
    assert {*names(await layout(reader, "tag=nightly"))} == {ORDERS, ODD}
    empty = await layout(reader, "tag=none")
    assert (names(empty), empty["edges"], empty["layers"]) == ([], [], [])


async def test_graph_operators_around_a_focus_say_how_far(reader: Reader) -> None:
    for focus, shown in {
        "2%2Borders": {RAW, STAGING, DAYS, ORDERS},
        "1%2Borders%2B1": {STAGING, DAYS, ORDERS, ODD},
        "orders%2B": {ORDERS, ODD},
        "%2Bmodel.shop.orders": {RAW, STAGING, DAYS, ORDERS},
        "1+orders": {STAGING, DAYS, ORDERS},  # not escaped
    }.items():
        assert {*names(await layout(reader, f"focus={focus}"))} == shown
    for query in ("focus=%2Borders&upstream=1", "focus=@orders", "focus=%2B"):
        await layout(reader, query, status=400)
    await layout(reader, "focus=%2Bordres", status=404)


async def test_what_is_shown_comes_with_the_exposures_that_read_it(reader: Reader) -> None:
    assert {*names(await layout(reader, f"focus=stg_orders&upstream=0&downstream=0&show={DAYS}"))} == {STAGING, DAYS, BOARD}


async def test_a_focus_shows_its_neighbours_and_counts_the_others(reader: Reader) -> None:
    found = await layout(reader, "focus=stg_orders&upstream=0&downstream=1")
    assert (found["focus"], found["truncated"], names(found)) == (STAGING, False, [STAGING, ORDERS])
    more = {node["unique_id"]: (node["more_upstream"], node["more_downstream"]) for node in found["nodes"]}
    assert more == {STAGING: (1, 0), ORDERS: (1, 1)}
    assert [(edge["upstream"], edge["downstream"]) for edge in found["edges"]] == [(STAGING, ORDERS)]
    orders = found["nodes"][1]
    assert (orders["tags"], orders["tests"], orders["layer"], orders["order"]) == (["nightly"], 1, 1, 0)
    expanded = await layout(reader, f"focus=stg_orders&upstream=0&downstream=1&expand=%2Borders&expand=+{STAGING}&expand={ORDERS}%2B")
    assert {*names(expanded)} == {STAGING, ORDERS, DAYS, RAW, ODD}
    assert not any(node["more_upstream"] for node in expanded["nodes"])
    # A node that is not shown shows no others.
    assert names(await layout(reader, f"focus={BOARD}&upstream=0&expand=%2Borders")) == [BOARD]


async def test_a_focus_is_shown_whatever_the_filters_are(reader: Reader) -> None:
    assert {*names(await layout(reader, "focus=not_null&upstream=1"))} == {"test.shop.not_null", ORDERS}
    assert {*names(await layout(reader, "focus=orders&package=utils"))} == {ORDERS, DAYS}


async def test_differences_are_marked_and_removed_nodes_are_drawn(reader: Reader) -> None:
    head = {node: parents for node, parents in UPSTREAM.items() if node != STAGING} | {"model.shop.new": [RAW]}
    await save(reader.store, reader.connection_id, SHAS[2], head | {ORDERS: [DAYS, "model.shop.new"]})
    found = await layout(reader, f"base={SHAS[1]}")
    assert (found["sha"], found["base"]) == (SHAS[2], SHAS[1])
    change = dict(zip(names(found), found["nodes"]["change"], strict=True))
    assert change == {ORDERS: 3, DAYS: 0, RAW: 0, ODD: 0, BOARD: 0, STAGING: 2, "model.shop.new": 1}
    edges = zip(found["edges"][::2], found["edges"][1::2], found["edge_changes"], strict=True)
    marked = {(names(found)[up], names(found)[down]): number for up, down, number in edges if number}
    assert marked == {(RAW, STAGING): 2, (STAGING, ORDERS): 2, (RAW, "model.shop.new"): 1, ("model.shop.new", ORDERS): 1}
    focus = await layout(reader, f"base={SHAS[1]}&focus={STAGING}&upstream=1&downstream=1")
    assert {node["unique_id"]: node["change"] for node in focus["nodes"]} == {RAW: None, STAGING: "removed", ORDERS: "changed"}
    assert {edge["change"] for edge in focus["edges"]} == {"removed"}


async def test_two_commits_whose_edges_are_a_circle_together_are_drawn(reader: Reader) -> None:
    await save(reader.store, reader.connection_id, SHAS[2], {"model.shop.a": [], "model.shop.b": ["model.shop.a"]})
    await save(reader.store, reader.connection_id, SHAS[3], {"model.shop.a": ["model.shop.b"], "model.shop.b": []})
    found = await layout(reader, f"base={SHAS[2]}")
    assert sorted(found["edge_changes"]) == [1, 2]
    assert len((await layout(reader, f"base={SHAS[2]}&focus=a"))["edges"]) == 2


@pytest.mark.parametrize("query", ["", "focus=orders"])
async def test_a_layout_that_the_client_has_is_not_sent_again(reader: Reader, query: str) -> None:
    found = await layout(reader, query)
    assert await layout(reader, query) == found
    await layout(reader, query, etag=found["etag"], status=304)
    assert (await layout(reader, f"{query}&tag=nightly"))["etag"] != found["etag"]
    await save(reader.store, reader.connection_id, SHAS[2], {ORDERS: []})
    assert names(await layout(reader, query, etag=found["etag"])) == [ORDERS]


async def test_an_overview_is_compressed_for_those_who_accept_it(reader: Reader) -> None:
    packed, plain = await layout(reader), await layout(reader, encoding="identity")
    assert (packed.pop("encoding"), plain.pop("encoding")) == ("gzip", None)
    assert packed.pop("etag") != plain.pop("etag")
    assert packed == plain


async def test_a_neighbourhood_is_a_picture_too(reader: Reader) -> None:
    path = reader.path.replace("/lineage", "/layout")
    async with reader.client.get(path, params={"focus": "orders", "format": "svg"}, headers=TOKEN) as response:
        assert (response.status, response.content_type) == (200, "image/svg+xml")
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        text, etag = await response.text(), response.headers["ETag"]
    assert f"<title>{STAGING}</title>" in text
    assert (await layout(reader, "focus=orders"))["etag"] != etag
    await layout(reader, "focus=orders&format=svg", etag=etag, status=304)


async def test_concurrent_readers_share_one_computation(reader: Reader) -> None:
    head = await reader.store.lineages.head(reader.connection_id)
    assert head is not None
    cache = LayoutCache()
    drawn = Drawn(head, None, GraphFilter())
    found = await asyncio.gather(*(cache.overview(reader.store.lineage_cache, drawn) for _ in range(8)))
    assert len({id(one) for one in found}) == 1
    assert await cache.overview(reader.store.lineage_cache, drawn) is found[0]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("upstream=1", 400, "upstream"),
        ("downstream=1", 400, "downstream"),
        ("expand=%2Borders", 400, "expand"),
        ("focus=orders&upstream=21", 400, "upstream"),
        ("focus=orders&expand=orders", 400, "expand"),
        ("focus=orders&expand=2%2Borders", 400, "expand"),
        ("focus=orders&expand=%2B", 400, "expand"),
        ("focus=orders&expand=%40orders", 400, "expand"),
        ("focus=orders&expand=%2Bnone", 404, "expand"),
        ("focus=oders", 404, "focus"),
        ("format=svg", 400, "format"),
        ("focus=orders&format=png", 400, "format"),
        ("base=none", 404, "base"),
        ("sha=none", 404, "sha"),
        ("colour=red", 400, "colour"),
    ],
)
async def test_an_invalid_request_names_the_parameter(reader: Reader, query: str, status: int, field: str) -> None:
    found = await layout(reader, query, status=status)
    assert found["field"] == field
    if "oders" in query:
        assert ORDERS in found["candidates"]
