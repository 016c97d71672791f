"""What the addresses of the API are made of: the routes and `/openapi.json` are two views of the same operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler as PlainHandler
from pydantic import BaseModel

from app.callers import Right
from app.web import requests
from app.web.call import Call
from app.web.guard import NOBODY, caller_of
from app.web.models.common import Query

API = "/api/metadata"
Handler = Callable[[Call[Any, Any]], Awaitable[BaseModel | web.StreamResponse]]
Guard = Literal["token", "service", "none"]
"""Who may call: anybody whose token is known, service tokens only, or everybody."""


class NoQuery(Query):
    """There are no parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One address: what it takes, what it answers, and who may ask."""

    method: str
    path: str
    """With `{id}` where the id of the thing stands."""
    handler: Handler
    """What it returns is sent as JSON with `status`, unless it is a response already."""
    summary: str
    tag: str
    query: type[Query] | None = NoQuery
    """None: the handler reads what there is."""
    body: type[BaseModel] | None = None
    """Of the JSON body; an empty body is an empty object."""
    answer: type[BaseModel] | None = None
    """Of the JSON of a success."""
    status: int = 200
    media: Mapping[str, str] = field(default_factory=dict)
    """Other media types of a success, and what they hold."""
    empty: Mapping[int, str] = field(default_factory=dict)
    """Statuses of answers without a body, such as 304."""
    problems: Mapping[int, str] = field(default_factory=dict)
    """Besides those that follow from everything else here."""
    guard: Guard = "token"
    right: Right | None = None
    """What the caller has to have on GitHub in the repository that the path leads to; the handler asks for it with `Call.connection`."""
    id_schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string", "format": "uuid"})
    """Of the id in the path: ours are UUIDs."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Of the operation in OpenAPI, what nothing else here tells."""


def route(operation: Operation) -> web.RouteDef:
    """Return the route: who calls and what is asked for is checked before the handler has it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        caller = NOBODY if operation.guard == "none" else await caller_of(request, service=operation.guard == "service")
        query = requests.query(request, operation.query) if operation.query else None
        body = await requests.body(request, operation.body) if operation.body else None
        answered = await operation.handler(Call(request, caller, query, body))
        return json_response(answered, operation.status) if isinstance(answered, BaseModel) else answered

    return web.route(operation.method, operation.path, answer, **({"allow_head": True} if operation.method == "GET" else {}))


def plain(handler: PlainHandler) -> Handler:
    """Return the handler of an operation that reads its request by itself."""

    async def handle(call: Call[Any, Any]) -> web.StreamResponse:
        return await handler(call.request)

    return handle


def json_response(answered: BaseModel, status: int = 200) -> web.Response:
    """Return a model as JSON."""
    return web.Response(body=answered.model_dump_json(by_alias=True).encode(), status=status, content_type="application/json")
