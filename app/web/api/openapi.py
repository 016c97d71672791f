"""`/openapi.json`, made from the operations and their models, and `/docs`, which renders it: https://spec.openapis.org/oas/v3.1.1.html."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.core.errors import FreshetError
from app.web.api.operation import Operation
from app.web.api.schemas.common import ProblemDocument
from app.web.http.problems import CONTENT_TYPE, HttpProblem
from app.web.pages import frame, visitor

Json = dict[str, Any]
_ModelInMode = tuple[type[BaseModel], JsonSchemaMode]
SCHEMAS = "#/components/schemas/"
DESCRIPTION = (
    "Freshet keeps the lineage of dbt projects on GitHub current. JSON is snake_case and UTF-8, times are RFC 3339 in UTC, ids are "
    "strings. Lists come in pages; the last one has `next_cursor: null`. Every error is a problem document (RFC 9457)."
)
TAGS = {
    "connections": "A connection is one dbt project of one repository, followed on one branch.",
    "lineage": "A lineage is the graph of one dbt project at one commit.",
    "results": "Results are what dbt's own runs said of nodes: tests, models and the freshness of sources.",
    "extractions": "An extraction refreshes one connection at one commit.",
    "notifications": "A notification sends email or webhooks when a lineage breaks, falls behind or recovers.",
    "service": "The service itself: GitHub's deliveries, health and metrics, for its operator.",
}
SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A service token may read and trigger everything. A GitHub token may read a connection if it may read the "
        "repository on GitHub, and trigger extractions if it may push there. What a token may not read is a 404.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Hub-Signature-256",
        "description": "GitHub's signature of the body, made with the webhook secret: "
        "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
    },
}
RATE_HEADERS = {
    "X-RateLimit-Limit": "Requests that this token may make per minute",
    "X-RateLimit-Remaining": "Requests left in the current minute",
    "X-RateLimit-Reset": "When the current minute ends, in seconds since 1970",
}
PATH_PARAMETERS: Mapping[str, Json] = {
    "unique_id": {"description": "dbt's id of the node, or its name", "schema": {"type": "string", "minLength": 1}}
}
"""The parameters of paths besides `{id}`."""
NAMES = {
    "ExtractedView": "ExtractedCommit",
    "HeadView": "BranchHead",
    "LastView": "LastNotification",
    "NoBody": "Empty",
    "NodeDocument": "NodeWhole",
    "ProblemView": "ExtractionError",
    "Side": "DiffSide",
    "StaleView": "Staleness",
}
"""Schemas whose classes have other names; all others lose `View` and `Document`."""
HEADERS = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}


class Document:
    """The OpenAPI document of a set of operations, made once."""

    def __init__(self, operations: Sequence[Operation], prefix: str = "") -> None:
        """`prefix`: the path of the public URL."""
        self.described = {**describe(operations), "servers": [{"url": prefix or "/"}]}
        self._body = orjson.dumps(self.described, option=orjson.OPT_INDENT_2)
        self._etag = hashlib.sha256(self._body).hexdigest()[:32]

    async def show(self, request: web.Request) -> web.Response:
        """`GET /openapi.json`."""
        headers = {**HEADERS, "ETag": f'"{self._etag}"'}
        if any(known.value in (self._etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._body, content_type="application/json", headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        """`GET /docs`: the same as one HTML page that loads nothing from elsewhere."""
        with suppress(FreshetError, HttpProblem):  # the page is for everybody, and its header for who is signed in
            await visitor.maybe(request)
        return frame.render(request, "docs.html", {"document": self.described, "type_of": _type_of, "ref_name": _ref_name})


def describe(operations: Sequence[Operation]) -> Json:
    """Make the OpenAPI document of operations."""
    schemas = _Schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Freshet", "version": version("freshet"), "description": DESCRIPTION, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items() if any(name == one.tag for one in operations)],
        "paths": paths,
        "components": {"schemas": schemas.components, "headers": _headers(), "securitySchemes": SECURITY},
    }


class _Schemas:
    """The JSON Schemas of all models; those of queries are split into parameters."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        requests = {model for one in operations for model in (one.body, one.query) if model is not None}
        responses = {model for one in operations if (model := one.response) is not None} | {ProblemDocument}
        models: list[_ModelInMode] = [(model, "validation") for model in sorted(requests, key=_name)]
        models += [(model, "serialization") for model in sorted(responses, key=_name)]
        refs, definitions = _schemas_of(tuple(models))
        self._refs = {key: _renamed(ref) for key, ref in refs.items()}
        self._queries = {_key(self._refs[model, "validation"]) for one in operations if (model := one.query) is not None}
        self._all: Json = {
            public_name(name): _renamed(schema) | {"title": public_name(name)} for name, schema in definitions.get("$defs", {}).items()
        }

    @property
    def components(self) -> Json:
        """All schemas except those of queries."""
        return {name: schema for name, schema in self._all.items() if name not in self._queries}

    def ref(self, model: type[BaseModel], mode: JsonSchemaMode) -> Json:
        """A `$ref` to a model's schema."""
        return dict(self._refs[model, mode])

    def parameters(self, model: type[BaseModel]) -> list[Json]:
        """The parameters of a query model."""
        schema = self._all[_key(self._refs[model, "validation"])]
        required = schema.get("required", ())
        return [_parameter(name, of, required=name in required) for name, of in schema.get("properties", {}).items()]


@cache
def _schemas_of(models: tuple[_ModelInMode, ...]) -> tuple[Mapping[Any, Json], Json]:
    """Pydantic's schemas of models, and its references to them: a tenth of a second of work. Not to be changed."""
    return models_json_schema(models, ref_template=f"{SCHEMAS}{{model}}")


def _operation(of: Operation, schemas: _Schemas) -> Json:
    path = [
        {"name": name, "in": "path", "required": True}
        | ({"description": _id_description(of.path), "schema": of.id_schema} if name == "id" else PATH_PARAMETERS[name])
        for name in _ids(of.path)
    ]
    query = schemas.parameters(of.query) if of.query is not None else []
    described: Json = {
        "operationId": of.id,
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
    described["x-codeSamples"] = [{"lang": "Shell", "label": "curl", "source": curl(of)}]
    return {**described, **{key: value for key, value in of.extra.items() if key not in ("parameters", "responses")}}


def _successes(of: Operation, schemas: _Schemas) -> Json:
    content: Json = {
        name: {"schema": {"description": text} | ({} if "json" in name else {"type": "string"})} for name, text in of.media.items()
    }
    if of.response is not None:
        content = {"application/json": {"schema": schemas.ref(of.response, "serialization")}, **content}
    first: Json = {"description": HTTPStatus(of.status).phrase, **({"content": content} if content else {})}
    return {str(of.status): first, **{str(status): {"description": text} for status, text in of.empty.items()}}


def _problems(of: Operation, schemas: _Schemas) -> Json:
    """Error responses: those that the operation names, and those that follow from its other fields."""
    found: dict[int, str] = {}
    if (of.query is not None and (of.query.model_fields or of.guard != "none")) or of.body is not None:
        found[400] = "A parameter or body field is unknown or invalid; `field` names it"
    if of.guard != "none":
        found |= {401: "The token is missing or unknown", 429: "Too many requests with this token: try again after `Retry-After`"}
    if of.guard == "service":
        found[403] = "A service token is required"
    if of.right == "push":
        found[403] = "On GitHub, the token may read the repository, but not push to it"
    if _ids(of.path):
        found[404] = "It does not exist, or the token may not see it"
    if of.body is not None:
        found[413] = "The body is too big"
    found |= {503: "The database, GitHub or Docker is unavailable: try again after `Retry-After`", **of.problems}
    content = {CONTENT_TYPE: {"schema": schemas.ref(ProblemDocument, "serialization")}}
    return {str(status): {"description": found[status], "content": content} for status in sorted(found)}


def _headers() -> Json:
    """Headers of responses to rate-limited callers; absent when the operator set no limit."""
    return {name: {"description": text, "schema": {"type": "integer", "minimum": 0}} for name, text in RATE_HEADERS.items()}


def curl(of: Operation) -> str:
    """The operation as a command. `$FRESHET` is the service's address, `$TOKEN` a token."""
    parts = ["curl -fsS"]
    if of.method != "GET":
        parts.append(f"-X {of.method}")
    if of.guard != "none":
        parts.append('-H "Authorization: Bearer $TOKEN"')
    if of.body is not None and (example := _example(of.body)):
        parts.append(f"-H 'Content-Type: application/json' -d '{orjson.dumps(example).decode()}'")
    path = re.sub(r"\{(\w+)\}", lambda found: f"${_noun(of.path).upper() if found[1] == 'id' else found[1].upper()}", of.path)
    required = [name for name, field in of.query.model_fields.items() if field.is_required()] if of.query is not None else []
    query = "&".join(f"{name}=${name.upper()}" for name in required if name != "resource_type")
    return " ".join([*parts, f'"$FRESHET{path}{f"?{query}" if query else ""}"'])


def public_name(name: str) -> str:
    """The name of a schema in the document, from that of its class.

    >>> public_name("ConnectionView"), public_name("Page_ConnectionView_"), public_name("LineageDocument")
    ('Connection', 'ConnectionPage', 'Lineage')
    """
    if name.startswith("Page_"):
        return f"{public_name(name.removeprefix('Page_').rstrip('_'))}Page"
    return NAMES.get(name) or name.removesuffix("View").removesuffix("Document")


def _renamed(schema: Any) -> Any:
    """A schema with the public names of those that it refers to."""
    if isinstance(schema, dict):
        named = {key: _renamed(value) for key, value in schema.items()}
        return {**named, "$ref": f"{SCHEMAS}{public_name(_key(schema))}"} if "$ref" in schema else named
    return [_renamed(item) for item in schema] if isinstance(schema, list) else schema


def _example(model: type[BaseModel]) -> Json:
    extra = model.model_config.get("json_schema_extra")
    examples: Any = extra.get("examples", [{}]) if isinstance(extra, dict) else [{}]
    return dict(examples[0])


def _parameter(name: str, schema: Mapping[str, Any], *, required: bool) -> Json:
    """Make a query parameter. A parameter is absent rather than null, so null is dropped from its schema."""
    shown = {key: value for key, value in schema.items() if key not in ("title", "description", "default", "anyOf")}
    for one in schema.get("anyOf", ()):
        if one != {"type": "null"}:
            shown |= one
    if schema.get("default") is not None:
        shown["default"] = schema["default"]
    return {
        "name": name,
        "in": "query",
        "required": required,
        **({"description": schema["description"]} if "description" in schema else {}),
        "schema": shown,
    }


def _ids(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _key(ref: Mapping[str, Any]) -> str:
    return str(ref["$ref"]).removeprefix(SCHEMAS)


def _name(model: type[BaseModel]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _noun(path: str) -> str:
    """What `{id}` identifies: "connection"."""
    return path.split("/{", maxsplit=1)[0].rsplit("/", 1)[1].removesuffix("s")


def _id_description(path: str) -> str:
    noun = _noun(path)
    return "GitHub's id of the installation" if noun == "installation" else f"UUID of the {noun}"


def _ref_name(schema: Mapping[str, Any]) -> str:
    """Name of the schema that this one refers to; empty if it does not."""
    return _key(schema) if "$ref" in schema else ""


def _type_of(schema: Mapping[str, Any]) -> str:
    """A schema in a few words: `string`, `integer from 1 to 200`, `list of Node`, `one of a, b`."""
    if name := _ref_name(schema):
        return name
    if kinds := schema.get("anyOf"):
        return " or ".join(_type_of(kind) for kind in kinds)
    if values := schema.get("enum"):
        return f"one of {', '.join(map(str, values))}"
    kind = str(schema.get("format") or schema.get("const") or schema.get("type") or "anything")
    if kind == "array":
        return f"list of {_type_of(schema.get('items', {}))}"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return " ".join([kind, *bounds])
