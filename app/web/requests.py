"""What callers send: ids, parameters, cursors and bodies, each refused with the field's name when it is not usable."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import TypeVar, get_origin
from uuid import UUID

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from app.jobs import Extraction
from app.web.keys import STORE
from app.web.models.common import MAX_DIGITS
from app.web.problems import Problem, not_found

Model = TypeVar("Model", bound=BaseModel)
MAX_SHOWN = 100
"""So much of a name that somebody made up is said back, in characters."""


async def extraction(request: web.Request) -> Extraction:
    """Return the extraction that the path names. Raises Problem 404."""
    found = await request.app[STORE].extractions.get(path_id(request, "extraction"))
    if found is None:
        raise not_found("extraction")
    return found


def query(request: web.Request, model: type[Model]) -> Model:
    """Read the parameters of the address. Raises Problem 400 that names the parameter."""
    repeated = {name for name, field in model.model_fields.items() if get_origin(field.annotation) in (list, tuple)}
    values: dict[str, object] = {}
    for name in request.query:
        given = request.query.getall(name)
        if name not in repeated and len(given) > 1:
            raise invalid(name[:MAX_SHOWN], "is given more than once")
        values[name] = given if name in repeated else given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, "query", model) from error


def cursor(value: str | None, parts: int) -> list[str] | None:
    """Return the parts of a cursor that `next_cursor` made. Raises Problem 400."""
    if value is None:
        return None
    try:
        found = orjson.loads(base64.urlsafe_b64decode(value.encode("ascii", "strict")))
    except (binascii.Error, ValueError) as error:
        raise invalid("cursor", "is not one that an answer gave") from error
    if not (isinstance(found, list) and len(found) == parts and all(isinstance(part, str) and "\0" not in part for part in found)):
        raise invalid("cursor", "is not one that an answer gave")
    return found


def number_cursor(value: str | None) -> int | None:
    """Return the number that a cursor holds. Raises Problem 400."""
    parts = cursor(value, 1)
    if parts is None:
        return None
    if not (parts[0].isascii() and parts[0].isdigit() and len(parts[0]) <= MAX_DIGITS):
        raise invalid("cursor", "is not one that an answer gave")
    return int(parts[0])


def next_cursor(*parts: str) -> str:
    """Return an opaque cursor."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


async def body(request: web.Request, model: type[Model]) -> Model:
    """Read a JSON body; an empty one is an empty object. Raises Problem 400 that names the field, or 413."""
    try:
        content = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Problem(413, "The request is too big", f"`body`: {error.text}", field="body") from error
    try:
        return model.model_validate_json(content or b"{}")
    except ValidationError as error:
        raise _refusal(error, "body", model) from error


def invalid(field: str, what: str) -> Problem:
    """Return the answer to a value that cannot be used."""
    return Problem(400, "The request cannot be understood", f"`{field}`: {what}", field=field)


def uuid(value: str, field: str) -> str:
    """Return a UUID in its usual form. Raises Problem 400 that names the field."""
    try:
        return str(UUID(value))
    except ValueError as error:
        raise invalid(field, "is not one that an answer gave") from error


def path_id(request: web.Request, what: str) -> str:
    """Return the id in the path. Raises Problem 404: what is no id is no id of anything."""
    try:
        return str(UUID(request.match_info["id"]))
    except ValueError as error:
        raise not_found(what) from error


def _refusal(error: ValidationError, whole: str, model: type[BaseModel]) -> Problem:
    """Return the problem of the first thing that is wrong; `whole` names it when it is no field of it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    # A parameter that is not there may have any name, and any length.
    place = first["loc"][:1] if whole == "query" else first["loc"]
    field = ".".join(str(part) for part in place)[:MAX_SHOWN] or whole
    if first["type"] == "extra_forbidden":
        return invalid(field, f"is not a {'parameter' if whole == 'query' else 'field'} here; there {_listed(model.model_fields)}")
    words = first["msg"].removeprefix("Value error, ")
    return invalid(field, f"{words[0].lower()}{words[1:]}")


def _listed(names: Collection[str]) -> str:
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(f'`{name}`' for name in names) or 'none'}"
