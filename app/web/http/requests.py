"""Parsing of requests: ids, query parameters, cursors and bodies. What is invalid is refused with the field's name."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Collection
from typing import TypeVar, get_origin
from uuid import UUID

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from app.web.api.schemas.common import MAX_DIGITS
from app.web.auth.sealing import Seal
from app.web.http.problems import HttpProblem, not_found

Model = TypeVar("Model", bound=BaseModel)
BODY_S = 10.0
MAX_ECHO = 100
"""Characters of an unknown name that an error repeats."""


def query(request: web.Request, model: type[Model]) -> Model:
    """Parse the query parameters. Raises HttpProblem 400 that names the parameter."""
    repeated = {name for name, field in model.model_fields.items() if get_origin(field.annotation) in (list, tuple)}
    values: dict[str, object] = {}
    for name in request.query:
        given = request.query.getall(name)
        if name not in repeated and len(given) > 1:
            raise invalid(name[:MAX_ECHO], "must not be repeated")
        values[name] = given if name in repeated else given[0]
    return validated(values, model, "query")


def validated(values: object, model: type[Model], whole: str) -> Model:
    """Make a model of values that came as a `whole`, such as "query". Raises HttpProblem 400 that names the parameter."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, whole, model) from error


def cursor(value: str | None, parts: int) -> list[str] | None:
    """The parts of a cursor made by `next_cursor`. Raises HttpProblem 400."""
    if value is None:
        return None
    try:
        found = orjson.loads(base64.urlsafe_b64decode(value.encode("ascii", "strict")))
    except (binascii.Error, ValueError) as error:
        raise invalid("cursor", "must be the `next_cursor` of a response") from error
    if not (isinstance(found, list) and len(found) == parts and all(isinstance(part, str) and "\0" not in part for part in found)):
        raise invalid("cursor", "must be the `next_cursor` of a response")
    return found


def sealed_cursor(value: str | None, seal: Seal, parts: int) -> list[str] | None:
    """The parts of a cursor made by `next_sealed_cursor`. Raises HttpProblem 400."""
    if value is None:
        return None
    try:
        opened = seal.open(base64.urlsafe_b64decode(value.encode("ascii", "strict")))
    except ValueError:
        opened = None
    return cursor(base64.urlsafe_b64encode(opened or b"").decode(), parts)


def number_cursor(value: str | None) -> int | None:
    """The number in a cursor. Raises HttpProblem 400."""
    parts = cursor(value, 1)
    if parts is None:
        return None
    if not (parts[0].isascii() and parts[0].isdigit() and len(parts[0]) <= MAX_DIGITS):
        raise invalid("cursor", "must be the `next_cursor` of a response")
    return int(parts[0])


def next_cursor(*parts: str) -> str:
    """Make an opaque cursor."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def next_sealed_cursor(seal: Seal, *parts: str) -> str:
    """Make a cursor that only the service can read: it names something that the caller may not see."""
    return base64.urlsafe_b64encode(seal.close(orjson.dumps(parts))).decode()


async def body(request: web.Request, model: type[Model]) -> Model:
    """Parse a JSON body; an empty one counts as `{}`. Raises HttpProblem: 400 that names the field, 408 or 413."""
    content = await raw_body(request)
    try:
        return model.model_validate_json(content or b"{}")
    except ValidationError as error:
        raise _refusal(error, "body", model) from error


async def raw_body(request: web.Request) -> bytes:
    """The body as it came. Raises HttpProblem: 408 or 413."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError as error:
        raise HttpProblem(408, "Request body too slow", f"`body`: must arrive within {BODY_S:g} s", field="body") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise HttpProblem(413, "Request body too big", f"`body`: {error.text}", field="body") from error


def invalid(field: str, what: str) -> HttpProblem:
    """400 for an unusable value; `what` continues the sentence "`limit`: must be a whole number"."""
    return HttpProblem(400, "Invalid request", f"`{field}`: {what}", field=field)


def uuid(value: str, field: str) -> str:
    """A UUID in canonical form. Raises HttpProblem 400 that names the field."""
    try:
        return str(UUID(value))
    except ValueError as error:
        raise invalid(field, "must be the `next_cursor` of a response") from error


def path_id(request: web.Request, what: str) -> str:
    """The UUID in the path. Raises HttpProblem 404 if it is not one; `what` names the thing in the error ("connection")."""
    try:
        return str(UUID(request.match_info["id"]))
    except ValueError as error:
        raise not_found(what) from error


def _refusal(error: ValidationError, whole: str, model: type[BaseModel]) -> HttpProblem:
    """The first error as a problem; `whole` is its field when it concerns no single field."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = first["loc"] if whole == "body" else first["loc"][:1]
    field = ".".join(str(part) for part in place)[:MAX_ECHO] or whole
    if first["type"] == "extra_forbidden":
        return invalid(field, f"unknown {'field' if whole == 'body' else 'parameter'}; {_known(model.model_fields)}")
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("must be a valid", "must be a")
    return invalid(field, f"{message[0].lower()}{message[1:]}")


def _known(names: Collection[str]) -> str:
    if not names:
        return "there are none here"
    return f"known {'is' if len(names) == 1 else 'are'} {', '.join(f'`{name}`' for name in names)}"
