"""The OpenAPI document; `tests/e2e/test_schemathesis.py` compares it with the running service."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any

import pytest
from aiohttp import web
from pydantic import BaseModel, Field, TypeAdapter

from app.web.api.openapi import curl, describe, public_name
from app.web.api.operation import Operation
from app.web.api.operations import operations
from app.web.api.schemas.common import Page, ProblemDocument, Query

CONTRACT = {
    "POST /api/webhooks/github",
    "POST /api/webhooks/github/setup",
    "GET /api/metadata/connections",
    "GET /api/metadata/connections/{id}",
    "POST /api/metadata/connections/{id}/extract",
    "GET /api/metadata/connections/{id}/progress",
    "GET /api/metadata/connections/{id}/extractions",
    "GET /api/metadata/connections/{id}/lineage",
    "GET /api/metadata/extractions/active",
    "GET /api/metadata/extractions/{id}",
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
}
"""Operations that other programs rely on: none may be removed."""


async def webhook(_: web.Request) -> web.Response:
    return web.Response()


OPERATIONS = operations(webhook)
DOCUMENT: dict[str, Any] = describe(OPERATIONS)


def models() -> list[type[BaseModel]]:
    """The models of whole requests and responses; for pages, the model of an item."""
    found = {model for one in OPERATIONS for model in (one.body, one.response) if model is not None} | {ProblemDocument}
    plain = {model for model in found if not issubclass(model, Page)}
    held = {model.model_fields["items"].annotation.__args__[0] for model in found if issubclass(model, Page)}  # type: ignore[union-attr]
    return sorted(plain | held, key=lambda model: model.__name__)


def references(of: object) -> set[str]:
    if isinstance(of, dict):
        found = {of["$ref"]} if "$ref" in of else set()
        return found.union(*map(references, of.values()))
    return set().union(*map(references, of)) if isinstance(of, list) else set()


def test_every_operation_of_the_contract_is_described() -> None:
    described = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described >= CONTRACT
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_reference_resolves_and_every_schema_is_used() -> None:
    there = {f"#/components/{kind}/{name}" for kind in ("schemas", "headers") for name in DOCUMENT["components"][kind]}
    assert set(references(DOCUMENT)) == there


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_every_operation_has_a_summary_and_its_errors(operation: Operation) -> None:
    told = DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert re.fullmatch(r"[A-Z`].*[^.]", told["summary"])
    assert told["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert operation.response or operation.media or operation.status == 204
    if operation.guard != "none":
        assert told["security"] == [{"token": []}]
        assert {"401", "429", "503"} <= told["responses"].keys()
    if "{id}" in operation.path and operation.guard != "none":
        assert "404" in told["responses"]
        assert operation.right or operation.guard == "service", "who may see it?"
    if operation.right == "push":
        assert "403" in told["responses"]


def test_operation_ids_are_unique_and_say_what_they_do() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []


def test_no_name_of_a_class_leaks_into_the_document() -> None:
    names = list(DOCUMENT["components"]["schemas"])
    assert [name for name in names if not re.fullmatch(r"([A-Z][a-z]+)+", name) or name.endswith(("View", "Document"))] == []
    assert {"Connection", "ConnectionPage", "Extraction", "Lineage", "Problem"} <= {*names}
    assert "app." not in str(DOCUMENT)


def test_every_operation_has_a_command_that_the_shell_can_read() -> None:
    for operation in OPERATIONS:
        words = shlex.split(curl(operation))
        assert words[:2] == ["curl", "-fsS"]
        assert words[-1].startswith("$FRESHET/")
        assert "{" not in words[-1]
        if "-d" in words:
            assert operation.body is not None
            operation.body.model_validate_json(words[words.index("-d") + 1])


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_model_has_a_valid_example(model: type[BaseModel]) -> None:
    [example] = DOCUMENT["components"]["schemas"][public_name(model.__name__)]["examples"]
    taken = TypeAdapter(model).validate_python(example, strict=False)
    assert taken.model_dump(mode="json", exclude_unset=True, by_alias=True).keys() == example.keys()


def test_every_field_and_parameter_has_a_description() -> None:
    fields = {
        f"{name}.{field}": schema
        for name, model in DOCUMENT["components"]["schemas"].items()
        for field, schema in model.get("properties", {}).items()
    }
    parameters = {
        f"{operation['operationId']}.{parameter['name']}": parameter
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        for parameter in operation["parameters"]
    }
    assert [name for name, described in {**fields, **parameters}.items() if not described.get("description")] == []


def test_parameters_have_the_types_of_their_fields() -> None:
    class Asked(Query):
        most: int = 3
        names: Annotated[list[str], Field(default_factory=list)]

    async def answer(_: object) -> web.Response:
        return web.Response()

    operation = Operation(
        id="ask", method="GET", path="/x", handler=answer, summary="X", tag="service", query=Asked, media={"text/plain": "x"}
    )
    [most, names] = describe([operation])["paths"]["/x"]["get"]["parameters"]
    assert (most["schema"], most["required"]) == ({"type": "integer", "default": 3}, False)
    assert names["schema"]["type"] == "array"
