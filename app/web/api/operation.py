"""What an operation of the API is: one method of one path, and how it becomes a route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler as PlainHandler
from pydantic import BaseModel

from app.core.models.callers import Right
from app.web.api.call import Call
from app.web.api.schemas.common import Query
from app.web.auth.authentication import NOBODY, caller_of
from app.web.http import requests

API = "/api/metadata"
NOT_MODIFIED = "Not modified: `If-None-Match` contains the current `ETag`"
"""Description of a 304."""
Handler = Callable[[Call[Any, Any]], Awaitable[BaseModel | web.StreamResponse]]
Guard = Literal["token", "service", "none"]
"""Who may call: anyone with a valid token, service tokens only, or anyone."""


class NoQuery(Query):
    """No parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path: request, responses, and who may call."""

    id: str
    """Its name in generated clients: verb and noun."""
    method: str
    path: str
    """With the parameter `{id}`, and others that `id_schema` describes as well."""
    handler: Handler
    """A model that it returns is sent as JSON with `status`."""
    summary: str
    tag: str
    query: type[Query] | None = NoQuery
    """None: the handler reads the query itself, unchecked."""
    body: type[BaseModel] | None = None
    """The JSON body; an empty body counts as `{}`."""
    response: type[BaseModel] | None = None
    """The JSON of a successful response."""
    status: int = 200
    media: Mapping[str, str] = field(default_factory=dict)
    """Other media types of a successful response, with descriptions."""
    empty: Mapping[int, str] = field(default_factory=dict)
    """Other statuses without a body, such as 304, with descriptions."""
    problems: Mapping[int, str] = field(default_factory=dict)
    """Statuses of errors, with descriptions; the common ones follow from the other fields."""
    guard: Guard = "token"
    right: Right | None = None
    """What the caller needs in the repository that the path leads to. Described only: the handler checks it with `Call.connection`."""
    id_schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string", "format": "uuid"})
    """JSON Schema of `{id}`."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the operation's OpenAPI object."""


def route(operation: Operation) -> web.RouteDef:
    """Make the route; authentication and validation happen before the handler is called."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = NOBODY if operation.guard == "none" else await caller_of(request, service=operation.guard == "service")
        query = requests.query(request, operation.query) if operation.query else None
        body = await requests.body(request, operation.body) if operation.body else None
        result = await operation.handler(Call(request, caller, query, body))
        return json_response(result, operation.status) if isinstance(result, BaseModel) else result

    # dbt's ids may have any character in them.
    path = operation.path.replace("{unique_id}", "{unique_id:(?s:.+)}")
    return web.route(operation.method, path, handle, **({"allow_head": True} if operation.method == "GET" else {}))


def plain(handler: PlainHandler) -> Handler:
    """Adapt an aiohttp handler."""

    async def handle(call: Call[Any, Any]) -> web.StreamResponse:
        return await handler(call.request)

    return handle


def json_response(model: BaseModel, status: int = 200) -> web.Response:
    """Serialize a model."""
    return web.Response(body=model.model_dump_json(by_alias=True).encode(), status=status, content_type="application/json")
