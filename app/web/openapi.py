"""`/openapi.json`, made of the operations and their models, and `/docs`, which shows it: https://spec.openapis.org/oas/v3.1.1.html."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import aiohttp_jinja2
import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.web.models.common import ProblemDocument
from app.web.operations import Operation
from app.web.problems import CONTENT_TYPE

SCHEMAS = "#/components/schemas/"
DESCRIPTION = (
    "Keeps the lineage of dbt projects on GitHub current. JSON is snake_case and UTF-8, times are RFC 3339 in UTC, ids are strings; "
    "a list has ended when `next_cursor` is null; every error is a problem document (RFC 9457)."
)
TAGS = {
    "connections": "The dbt projects that are followed: one project of one repository, on one branch.",
    "lineage": "The graph of one dbt project at one commit.",
    "extractions": "Refreshes of one connection at one commit.",
    "notifications": "Who is told of what.",
    "service": "The service itself, for its operator.",
}
SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A service token (sees and triggers everything), or a token of GitHub's: it may read a connection when GitHub lets "
        "it read the repository, and trigger it when GitHub lets it push there. What it may not read is a 404.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Hub-Signature-256",
        "description": "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
    },
}
RATE_HEADERS = {
    "X-RateLimit-Limit": "Requests a minute that are answered with this token",
    "X-RateLimit-Remaining": "How many of them are left",
    "X-RateLimit-Reset": "When the minute ends, in seconds since 1970",
}
HEADERS = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}
Json = dict[str, Any]


class Document:
    """The description of a set of operations, made once."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.described = describe(operations)
        self._body = orjson.dumps(self.described, option=orjson.OPT_INDENT_2)
        self._etag = hashlib.sha256(self._body).hexdigest()[:32]

    async def show(self, request: web.Request) -> web.Response:
        """`GET /openapi.json`."""
        headers = {**HEADERS, "ETag": f'"{self._etag}"'}
        if any(known.value in (self._etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._body, content_type="application/json", headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        """`GET /docs`: the same for people, whole on one page and with nothing from elsewhere."""
        return aiohttp_jinja2.render_template("docs.html", request, {"document": self.described, "shown": _shown, "named": _named})


def describe(operations: Sequence[Operation]) -> Json:
    """Return the OpenAPI document of operations."""
    schemas = _Schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Freshet", "version": version("freshet"), "description": DESCRIPTION, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": what} for name, what in TAGS.items() if any(name == one.tag for one in operations)],
        "paths": paths,
        "components": {"schemas": schemas.components, "headers": _headers(), "securitySchemes": SECURITY},
    }


class _Schemas:
    """The JSON Schemas of all models; those of queries are taken apart into parameters."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        asked = {model for one in operations for model in (one.body, one.query) if model is not None}
        answered = {model for one in operations if (model := one.answer) is not None} | {ProblemDocument}
        wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in sorted(asked, key=_name)]
        wanted += [(model, "serialization") for model in sorted(answered, key=_name)]
        self._refs, definitions = models_json_schema(wanted, ref_template=f"{SCHEMAS}{{model}}")
        self._queries = {_key(self._refs[model, "validation"]) for one in operations if (model := one.query) is not None}
        self._all: Json = definitions.get("$defs", {})

    @property
    def components(self) -> Json:
        """All but those of queries."""
        return {name: schema for name, schema in self._all.items() if name not in self._queries}

    def ref(self, model: type[BaseModel], mode: JsonSchemaMode) -> Json:
        """Return the reference to a model's schema."""
        return dict(self._refs[model, mode])

    def parameters(self, model: type[BaseModel]) -> list[Json]:
        """Return the parameters that a query model stands for."""
        schema = self._all[_key(self._refs[model, "validation"])]
        required = schema.get("required", ())
        return [_parameter(name, of, required=name in required) for name, of in schema.get("properties", {}).items()]


def _operation(of: Operation, schemas: _Schemas) -> Json:
    path = [{"name": name, "in": "path", "required": True, "schema": of.id_schema} for name in _ids(of.path)]
    query = schemas.parameters(of.query) if of.query is not None else []
    described: Json = {
        "operationId": f"{of.method.lower()}_{re.sub(r'[^a-z]+', '_', of.path.lower()).strip('_')}",
        "summary": of.summary,
        "tags": [of.tag],
        "security": [] if of.guard == "none" else [{"token": []}],
        "parameters": [*path, *query, *of.extra.get("parameters", ())],
        "responses": {**_successes(of, schemas), **_problems(of, schemas), **of.extra.get("responses", {})},
    }
    if of.guard != "none":
        headers = {name: {"$ref": f"#/components/headers/{name}"} for name in RATE_HEADERS}
        described["responses"] = {status: {**response, "headers": headers} for status, response in described["responses"].items()}
    if of.body is not None:
        required = any(field.is_required() for field in of.body.model_fields.values())
        described["requestBody"] = {"required": required, "content": {"application/json": {"schema": schemas.ref(of.body, "validation")}}}
    return {**described, **{key: value for key, value in of.extra.items() if key not in ("parameters", "responses")}}


def _successes(of: Operation, schemas: _Schemas) -> Json:
    content: Json = {
        name: {"schema": {"description": what} | ({} if "json" in name else {"type": "string"})} for name, what in of.media.items()
    }
    if of.answer is not None:
        content = {"application/json": {"schema": schemas.ref(of.answer, "serialization")}, **content}
    first: Json = {"description": HTTPStatus(of.status).phrase, **({"content": content} if content else {})}
    return {str(of.status): first, **{str(status): {"description": what} for status, what in of.empty.items()}}


def _problems(of: Operation, schemas: _Schemas) -> Json:
    """Return what can go wrong: what is said so, and what follows from the rest."""
    found: dict[int, str] = {}
    if (of.query is not None and (of.query.model_fields or of.guard != "none")) or of.body is not None:
        found[400] = "A parameter or a field is unknown or cannot be used; `field` names it"
    if of.guard != "none":
        found |= {401: "No token, or nobody knows it", 429: "Too many requests with this token: wait as `Retry-After` says"}
    if of.guard == "service":
        found[403] = "This needs a service token"
    if of.right == "push":
        found[403] = "GitHub lets the token read the repository, but not push to it"
    if _ids(of.path):
        found[404] = "There is none, or this token may not see it"
    if of.body is not None:
        found[413] = "The body is too big"
    found |= {503: "Something that the service needs is away: try again as `Retry-After` says", **of.problems}
    content = {CONTENT_TYPE: {"schema": schemas.ref(ProblemDocument, "serialization")}}
    return {str(status): {"description": found[status], "content": content} for status in sorted(found)}


def _headers() -> Json:
    """Return the headers of answers to callers who are counted; without a limit there are none."""
    return {name: {"description": what, "schema": {"type": "integer", "minimum": 0}} for name, what in RATE_HEADERS.items()}


def _parameter(name: str, schema: Mapping[str, Any], *, required: bool) -> Json:
    """Return a query parameter. One that is not there is just that: null is for models only."""
    told = {key: value for key, value in schema.items() if key not in ("title", "description", "default", "anyOf")}
    for one in schema.get("anyOf", ()):
        if one != {"type": "null"}:
            told |= one
    if schema.get("default") is not None:
        told["default"] = schema["default"]
    return {
        "name": name,
        "in": "query",
        "required": required,
        **({"description": schema["description"]} if "description" in schema else {}),
        "schema": told,
    }


def _ids(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _key(ref: Mapping[str, Any]) -> str:
    return str(ref["$ref"]).removeprefix(SCHEMAS)


def _name(model: type[BaseModel]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _named(schema: Mapping[str, Any]) -> str:
    """Return the name of what a schema refers to, empty when it does not."""
    return _key(schema) if "$ref" in schema else ""


def _shown(schema: Mapping[str, Any]) -> str:
    """Return a schema in a few words: `string`, `integer from 1 to 200`, `list of Node`, `one of a, b`."""
    if name := _named(schema):
        return name
    if kinds := schema.get("anyOf"):
        return " or ".join(_shown(kind) for kind in kinds)
    if values := schema.get("enum"):
        return f"one of {', '.join(map(str, values))}"
    kind = str(schema.get("format") or schema.get("const") or schema.get("type") or "anything")
    if kind == "array":
        return f"list of {_shown(schema.get('items', {}))}"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([kind, *bounds])
