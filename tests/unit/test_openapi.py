"""The description of the API, from the operations alone; `tests/e2e/test_schemathesis.py` compares it with what the service does."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pytest
from aiohttp import web
from pydantic import BaseModel, Field, TypeAdapter

from app.web import routes
from app.web.models.common import Page, ProblemDocument, Query
from app.web.openapi import describe
from app.web.operations import Operation

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
"""What other programs rely on: none of these may go."""


async def webhook(_: web.Request) -> web.Response:
    return web.Response()


OPERATIONS = routes.operations(webhook)
DOCUMENT: dict[str, Any] = describe(OPERATIONS)


def models() -> list[type[BaseModel]]:
    """Return what is sent and answered as a whole, pages by what they hold."""
    found = {model for one in OPERATIONS for model in (one.body, one.answer) if model is not None} | {ProblemDocument}
    plain = {model for model in found if not issubclass(model, Page)}
    held = {model.model_fields["items"].annotation.__args__[0] for model in found if issubclass(model, Page)}  # type: ignore[union-attr]
    return sorted(plain | held, key=lambda model: model.__name__)


def references(of: object) -> set[str]:
    if isinstance(of, dict):
        found = {of["$ref"]} if "$ref" in of else set()
        return found.union(*map(references, of.values()))
    return set().union(*map(references, of)) if isinstance(of, list) else set()


def test_all_that_the_contract_names_is_described() -> None:
    described = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described >= CONTRACT
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_reference_leads_somewhere_and_every_model_is_used() -> None:
    there = {f"#/components/{kind}/{name}" for kind in ("schemas", "headers") for name in DOCUMENT["components"][kind]}
    assert set(references(DOCUMENT)) == there


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_every_operation_says_what_it_does_and_what_can_go_wrong(operation: Operation) -> None:
    told = DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert re.fullmatch(r"[A-Z`].*[^.]", told["summary"])
    assert told["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert operation.answer or operation.media or operation.status == 204
    if operation.guard != "none":
        assert told["security"] == [{"token": []}]
        assert {"401", "429", "503"} <= told["responses"].keys()
    if "{id}" in operation.path and operation.guard != "none":
        assert "404" in told["responses"]
        assert operation.right or operation.guard == "service", "who may see it?"
    if operation.right == "push":
        assert "403" in told["responses"]


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_model_has_an_example_that_it_takes(model: type[BaseModel]) -> None:
    [example] = DOCUMENT["components"]["schemas"][model.__name__]["examples"]
    taken = TypeAdapter(model).validate_python(example, strict=False)
    assert taken.model_dump(mode="json", exclude_unset=True).keys() == example.keys()


def test_parameters_are_said_to_be_what_they_are() -> None:
    class Asked(Query):
        most: int = 3
        names: Annotated[list[str], Field(default_factory=list)]

    async def answer(_: object) -> web.Response:
        return web.Response()

    operation = Operation(method="GET", path="/x", handler=answer, summary="X", tag="service", query=Asked, media={"text/plain": "x"})
    [most, names] = describe([operation])["paths"]["/x"]["get"]["parameters"]
    assert (most["schema"], most["required"]) == ({"type": "integer", "default": 3}, False)
    assert names["schema"]["type"] == "array"
