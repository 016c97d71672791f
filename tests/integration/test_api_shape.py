"""Invalid requests: every operation answers with a problem document that names the field."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.core.models.github import Repository
from app.store import Store, pool
from app.web import keys, routes
from app.web.api.operation import Operation
from app.web.api.operations import operations
from app.web.auth.service_tokens import ServiceCallers, ServiceTokens
from app.web.http import middleware
from app.web.pages import frame
from tests.postgres import database

TOKEN = {"Authorization": "Bearer token"}


async def webhook(_: web.Request) -> web.Response:
    return web.Response()


OPERATIONS = operations(webhook)
GUARDED = [one for one in OPERATIONS if one.guard != "none"]
Client = TestClient[web.Request, web.Application]


def each(*operations: Operation) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", operations, ids=lambda one: f"{one.method} {one.path}")


@pytest_asyncio.fixture(scope="module")
async def client(postgres: str) -> AsyncIterator[Client]:
    async with database(postgres) as dsn, pool.connect(dsn, size=4) as db, TestClient(TestServer(web_application(Store(db)))) as client:
        yield client


def web_application(store: Store) -> web.Application:
    web_app = web.Application(middlewares=[middleware.access_log, middleware.problems], client_max_size=64 << 10)
    web_app[keys.STORE] = store
    web_app[keys.CALLERS] = ServiceCallers(ServiceTokens(["token"]))
    frame.set_up(web_app)
    routes.add(web_app, webhook)
    return web_app


async def refused(client: Client, method: str, path: str, status: int, **asked: Any) -> Mapping[str, Any]:
    """Send a request; returns the problem document after asserting its shape."""
    asked.setdefault("headers", TOKEN)
    async with client.request(method, path, **asked) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/problem+json"
        problem: dict[str, Any] = await response.json(content_type=None)
    assert {name: type(problem.get(name)) for name in ("type", "title", "status", "detail")} == {
        "type": str,
        "title": str,
        "status": int,
        "detail": str,
    }
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


def path_of(operation: Operation, id_: str) -> str:
    return operation.path.replace("{id}", id_).replace("{unique_id}", "orders")


@each(*GUARDED)
async def test_without_a_token_it_is_a_401(client: Client, operation: Operation) -> None:
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic dG9rZW4="}, {"Authorization": "Bearer other"}):
        problem = await refused(client, operation.method, path_of(operation, str(uuid4())), 401, headers=headers)
        assert "token" in problem["title"].lower()


@each(*(one for one in GUARDED if "{id}" in one.path))
async def test_an_unknown_id_is_a_404(client: Client, operation: Operation) -> None:
    query, body = wanted(operation)
    for id_ in (str(uuid4()), "1", "%00", "ü" * 50, "..%2F..%2Fetc"):
        await refused(client, operation.method, path_of(operation, id_), 404, params=query, json=body)


def wanted(operation: Operation) -> tuple[dict[str, str], Any]:
    """The required query and body of an operation."""
    required = [name for name, field in operation.query.model_fields.items() if field.is_required()] if operation.query else []
    example = operation.body.model_config.get("json_schema_extra") if operation.body else None
    return dict.fromkeys(required, "0" * 40), example["examples"][0] if isinstance(example, dict) else None  # type: ignore[index]


@each(*(one for one in GUARDED if one.query))
async def test_an_unknown_parameter_is_named(client: Client, operation: Operation) -> None:
    query, body = wanted(operation)
    asked = {**query, "nonsense": "1"}
    problem = await refused(client, operation.method, path_of(operation, str(uuid4())), 400, params=asked, json=body)
    assert problem["field"] == "nonsense"


@each(*(one for one in GUARDED if one.query and one.query.model_fields))
async def test_every_parameter_refuses_invalid_values(client: Client, operation: Operation) -> None:
    query, body = wanted(operation)
    for name in operation.query.model_fields if operation.query else ():
        for value in ("", "a\0b", "x" * 5000):
            asked = {**query, name: value}
            problem = await refused(client, operation.method, path_of(operation, str(uuid4())), 400, params=asked, json=body)
            assert problem["field"].partition(".")[0] == name, value
        if name == "limit":
            for value in ("0", "-1", "9999999", "1.5", "+1", "1_0", "٣", "9" * 100):
                problem = await refused(client, operation.method, path_of(operation, str(uuid4())), 400, params={**query, name: value})
                assert problem["field"] == name
        if name == "cursor":
            for value in ("!", "AAAA", "W10=", "WzFd", "WyJhIiwiYiIsImMiXQ==", "x" * 999, "ünï"):
                await cursor_refused(client, operation, value)


async def cursor_refused(client: Client, operation: Operation, value: str) -> None:
    """Send an invalid cursor; lists of a connection need an existing one."""
    store = client.server.app[keys.STORE]  # type: ignore[attr-defined]
    await store.installations.update_from_push(Repository(7, "octo/shop", 3, "main"))
    [connection] = await store.connections.for_repository(7) or [await store.connections.create(7, "")]
    asked = {**wanted(operation)[0], "cursor": value}
    problem = await refused(client, operation.method, path_of(operation, connection.id), 400, params=asked)
    assert problem["field"] == "cursor"


@each(*(one for one in GUARDED if one.body))
async def test_an_invalid_body_is_refused(client: Client, operation: Operation) -> None:
    path = path_of(operation, str(uuid4()))
    for content in (b"not json", b"[]", b'"text"', b"{", b"\xff", b"null", b'{"a":' * 5000, b"1e999"):
        problem = await refused(client, operation.method, path, 400, data=content)
        assert problem["field"] == "body", content
    problem = await refused(client, operation.method, path, 400, data=b'{"nonsense": 1}')
    assert problem["field"], "it names a field"
    problem = await refused(client, operation.method, path, 413, data=b" " * (1 << 20))
    assert problem["field"] == "body"


async def test_unknown_paths_are_problem_documents_too(client: Client) -> None:
    for path in ("/api", "/api/metadata", "/api/metadata/nothing", "/%00", "/api/metadata/connections/"):
        await refused(client, "GET", path, 404)
    for operation in OPERATIONS:
        async with client.request("TRACE", path_of(operation, str(uuid4())), headers=TOKEN) as response:
            assert (response.status, response.content_type) == (405, "application/problem+json")
            assert operation.method in response.headers["Allow"]


async def test_docs_show_every_operation_and_load_nothing_else(client: Client) -> None:
    async with client.get("/docs") as response:
        page = await response.text()
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for operation in OPERATIONS:
        assert f"{operation.method} {operation.path}" in page
    assert not re.findall(r"""(?:src|href|action)=["'](?!/|#)""", page), "nothing comes from elsewhere"
    async with client.get("/openapi.json") as response:
        etag = response.headers["ETag"]
        assert (await response.json())["openapi"] == "3.1.0"
    async with client.get("/openapi.json", headers={"If-None-Match": etag}) as response:
        assert response.status == 304
