"""What all schemas share: how values are parsed and refused, and the shapes of pages and errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

MAX_TEXT = 1000
MAX_LIMIT = 200
DEFAULT_LIMIT = 50
MAX_DIGITS = 18
"""Of a number in a query: larger ones do not fit into the database's bigint."""

Item = TypeVar("Item")


def _without_nul(text: str) -> str:
    if "\0" in text:
        msg = "must not contain a NUL character"
        raise ValueError(msg)
    return text


def _is_whole(annotation: object) -> bool:
    return annotation is int or any(map(_is_whole, get_args(annotation)))


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_TEXT),
    AfterValidator(_without_nul),
    Field(json_schema_extra={"pattern": "^[^\\u0000]*$"}),
]
Whole = int
"""A whole number in a query; `Query` accepts digits only."""
Sha = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{40}([0-9a-fA-F]{24})?$", to_lower=True)]
"""A full commit id: 40 or 64 hexadecimal digits."""
Commit = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT), AfterValidator(_without_nul)]
"""A commit by name: a full id, at least 7 digits of one, or a branch."""
Time = Annotated[datetime, AfterValidator(_utc)]


class Model(BaseModel):
    """A response."""

    model_config = ConfigDict(frozen=True)


class Body(BaseModel):
    """A JSON request body. Unknown fields are refused, so that a typo is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoBody(Body):
    """An empty object, or no body at all."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [{}]})


class Query(BaseModel):
    """The query parameters. Unknown ones are refused, so that a typo in a filter never returns everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _parse_whole(cls, value: object, info: ValidationInfo) -> object:
        """Accept ASCII digits only; Python's `int` would accept `1_0` and `+1` too."""
        if not isinstance(value, str) or not _is_whole(cls.model_fields[info.field_name or ""].annotation):
            return value
        if not (value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS):
            msg = "must be a whole number"
            raise ValueError(msg)
        return int(value)


class Paged(Query):
    """The query parameters of every list."""

    limit: Annotated[Whole, Field(ge=1, le=MAX_LIMIT, description="Maximum number of items; a page can be shorter")] = DEFAULT_LIMIT
    cursor: Annotated[Text | None, Field(description="`next_cursor` of the previous page; the first page without it")] = None


class Page(Model, Generic[Item]):
    """One page of a list. The list ends when `next_cursor` is null; a short page is not the end."""

    items: Annotated[list[Item], Field(description="At most `limit` items; can be empty on any page")]
    next_cursor: Annotated[str | None, Field(description="Send it as `cursor` to get the next page; null: this is the last page")]


class ProblemDocument(Model):
    """An error: https://www.rfc-editor.org/rfc/rfc9457."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Invalid request",
                    "status": 400,
                    "detail": "`limit`: must be a whole number",
                    "field": "limit",
                }
            ]
        },
    )

    type: Annotated[str, Field(description="Always `about:blank`: `status` says what kind of error it is")]
    title: Annotated[str, Field(description="What kind of error it is, in a few words")]
    status: Annotated[int, Field(description="The HTTP status")]
    detail: Annotated[str, Field(description="What happened, and what to do about it, in sentences")]
    field: Annotated[str | None, Field(description="The query parameter, header or body field that is to blame")] = None
    candidates: Annotated[list[str] | None, Field(description="Values that may have been meant")] = None


def example(**values: Any) -> ConfigDict:
    """Return the `model_config` of a model with this example, shown in `/openapi.json` and on `/docs`."""
    return ConfigDict(json_schema_extra={"examples": [values]})
