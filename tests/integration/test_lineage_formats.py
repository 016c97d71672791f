"""A lineage over HTTP in every format, as the OpenAPI description says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import pytest_asyncio

from app.store import Store
from app.web.api.lineage import FORMATS
from app.web.api.schemas.lineages import LineageDocument
from tests.integration.lineage_reader import SHAS, TOKEN, UPSTREAM, Reader, reading, save, save_lineage
from tests.unit.test_column_tests import generic
from tests.unit.test_nodes import CUSTOMERS, ORDERS, build, resource

RAW = "source.shop.raw.orders"


@pytest_asyncio.fixture
async def reader(store: Store, tmp_path: Path) -> AsyncIterator[Reader]:
    async with reading(store, tmp_path) as made:
        yield made


async def read(reader: Reader, query: str = "", accept: str | None = None, etag: str = "") -> tuple[int, Mapping[str, str], bytes]:
    headers = {**TOKEN, **({"Accept": accept} if accept is not None else {}), **({"If-None-Match": etag} if etag else {})}
    async with reader.client.get(f"{reader.path}?{query}", headers=headers) as response:
        return response.status, response.headers, await response.read()


async def save_shop(reader: Reader) -> None:
    """Store the lineage of a manifest."""
    columns = {"id": {"name": "id", "data_type": "int", "description": "The key."}}
    shop = build(
        resource(ORDERS, columns=columns, relation_name='"db"."main"."orders"', description="Orders.", config={"materialized": "table"}),
        resource(CUSTOMERS, relation_name='"db"."main"."customers"', tags="nightly"),
        generic("not_null", ORDERS, "id"),
        parents={ORDERS: [RAW, CUSTOMERS]},
        sources={RAW: resource(RAW, relation_name='"raw"."orders"')},
    )
    await save_lineage(reader.store, reader.connection_id, SHAS[2], shop)


async def test_streamed_json_matches_the_openapi_description(reader: Reader) -> None:
    await save_shop(reader)
    status, headers, body = await read(reader)
    assert (status, headers["Content-Type"], headers["Vary"]) == (200, "application/json", "Accept")
    document = LineageDocument.model_validate_json(body, strict=True)
    assert set(json.loads(body)) == set(LineageDocument.model_fields), "nothing more is shown than is described"
    assert document.model_dump(mode="json", exclude_unset=True)["nodes"] == json.loads(body)["nodes"], (
        "only external nodes say that they are"
    )
    [column] = next(node.columns for node in document.nodes if node.unique_id == ORDERS)
    assert (column.name, column.data_type, column.description) == ("id", "int", "The key.")
    assert [(test.unique_id, test.name) for test in column.tests] == [("test.shop.not_null_id", "not_null")]


EDGES = {(up, down) for down, above in UPSTREAM.items() for up in above}


async def test_edges_as_csv(reader: Reader) -> None:
    status, headers, body = await read(reader, "format=csv")
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8; header=present")
    header, *rows = csv.reader(io.StringIO(body.decode(), newline=""))
    assert (header, {tuple(row) for row in rows}) == (["upstream", "downstream"], EDGES)


async def test_graphml_of_a_selection(reader: Reader) -> None:
    status, headers, body = await read(reader, "format=graphml&focus=model.shop.orders&direction=upstream&depth=1")
    assert (status, headers["Content-Type"]) == (200, "application/graphml+xml")
    root = ET.fromstring(body)  # noqa: S314 - ours
    assert [len(root.findall(f".//{{*}}{tag}")) for tag in ("node", "edge")] == [3, 2]


async def test_dot_and_mermaid(reader: Reader) -> None:
    _, headers, body = await read(reader, "format=dot")
    assert headers["Content-Type"] == "text/vnd.graphviz; charset=utf-8"
    assert '  "model.shop.orders" -> "model.shop.ünï 😀" [class="model model"];\n' in body.decode()
    _, headers, body = await read(reader, "format=mermaid")
    assert headers["Content-Type"] == "text/vnd.mermaid; charset=utf-8"
    assert body.startswith(b"flowchart LR\n")
    assert body.count(b" --> ") == len(EDGES)


async def test_openlineage_names_its_producer_and_namespaces(reader: Reader) -> None:
    await save_shop(reader)
    _, headers, body = await read(reader, "format=openlineage")
    assert headers["Content-Type"] == "application/vnd.openlineage+json"
    found = {event["job"]["name"]: event for event in json.loads(body) if "job" in event}
    assert found.keys() == {"db.main.shop.orders", "db.main.shop.customers"}
    assert [event["dataset"]["name"] for event in json.loads(body) if "dataset" in event] == ["raw.orders"]
    event = found["db.main.shop.orders"]
    assert event["producer"] == "pkg:generic/freshet"
    assert event["job"]["namespace"] == "dbt"
    assert [one["name"] for one in event["inputs"]] == ["db.main.customers", "raw.orders"]
    assert not {"run", "eventType"} & event.keys()
    _, _, part = await read(reader, f"format=openlineage&focus={ORDERS}&depth=0")
    [alone] = json.loads(part)
    assert (alone["job"]["name"], alone["inputs"]) == ("db.main.shop.orders", [])
    _, _, known = await read(
        reader, "format=openlineage&namespace=duckdb://shop.db&job_namespace=nightly&job_names=build&dataset_names=dbt"
    )
    events = [one for one in json.loads(known) if "job" in one]
    assert {one["job"]["namespace"] for one in events} == {"nightly"}
    assert {one["job"]["name"] for one in events} == {"db.main.shop.orders.build.run", "db.main.shop.customers.build.run"}
    assert {one["namespace"] for told in events for one in told["outputs"]} == {"duckdb://shop.db"}


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        (None, "", "json"),
        ("*/*", "", "json"),
        ("text/csv", "", "csv"),
        ("text/csv;q=0.5, application/graphml+xml", "", "graphml"),
        ("text/*;q=0.9, application/json;q=0.8", "", "dot"),
        ("text/csv", "format=mermaid", "mermaid"),
        ("image/png", "format=json", "json"),
    ],
)
async def test_the_parameter_wins_over_accept(reader: Reader, accept: str | None, query: str, expected: str) -> None:
    status, headers, _ = await read(reader, query, accept)
    assert (status, headers["Vary"]) == (200, "Accept")
    assert headers["Content-Type"].partition(";")[0] == next(one.media_type for name, one in FORMATS.items() if name == expected)


async def test_an_unknown_format_is_not_acceptable(reader: Reader) -> None:
    status, headers, body = await read(reader, accept="image/png, application/json;q=0")
    problem = json.loads(body)
    assert (status, headers["Content-Type"], headers["Vary"]) == (406, "application/problem+json", "Accept")
    assert (problem["field"], problem["candidates"]) == ("Accept", [one.media_type for one in FORMATS.values()])


async def test_each_format_has_its_own_etag(reader: Reader) -> None:
    etags = {}
    for name in FORMATS:
        status, headers, body = await read(reader, f"format={name}")
        assert (status, bool(body)) == (200, True)
        etags[name] = headers["ETag"]
        status, headers, body = await read(reader, f"format={name}", etag=etags[name])
        assert (status, headers["ETag"], headers["Vary"], body) == (304, etags[name], "Accept", b"")
    assert len(set(etags.values())) == len(FORMATS)
    status, _, _ = await read(reader, "", "text/csv", etags["csv"])
    assert status == 304


@pytest.mark.parametrize("name", FORMATS)
async def test_big_responses_are_streamed_in_every_format(reader: Reader, name: str) -> None:
    chain = {f"model.shop.m{number:04}": [f"model.shop.m{number - 1:04}"] if number else [] for number in range(4000)}
    await save(reader.store, reader.connection_id, SHAS[3], chain)
    status, headers, body = await read(reader, f"format={name}")
    assert (status, "Content-Length" in headers, b"m3999" in body) == (200, False, True)
    async with reader.client.head(f"{reader.path}?format={name}", headers=TOKEN) as response:
        assert (response.status, response.headers["ETag"], await response.read()) == (200, headers["ETag"], b"")
