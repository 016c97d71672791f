"""What all models share: how values are written, how they are refused, and the shapes of lists and errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

MAX_TEXT = 1000
MAX_LIMIT = 200
DEFAULT_LIMIT = 50
MAX_DIGITS = 18
"""Of a number in a query: beyond it no number is one of ours."""

Item = TypeVar("Item")


def _without_nul(text: str) -> str:
    if "\0" in text:
        msg = "holds a NUL character"
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
"""A number of a query, which `Query` reads by its digits."""
Sha = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{40}([0-9a-fA-F]{24})?$", to_lower=True)]
"""A full commit id."""
Time = Annotated[datetime, AfterValidator(_utc)]


class Model(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True)


class Body(BaseModel):
    """What is sent as JSON. A field with a slip in its name must not be passed over."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoBody(Body):
    """There are no fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [{}]})


class Query(BaseModel):
    """The parameters of an address. One with a slip in its name must not answer everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object, info: ValidationInfo) -> object:
        """Take a number as people write it, in digits and nothing else (Python would take `1_0` and `+1`, too)."""
        if not isinstance(value, str) or not _is_whole(cls.model_fields[info.field_name or ""].annotation):
            return value
        if not (value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS):
            msg = "is a whole number"
            raise ValueError(msg)
        return int(value)


class Paged(Query):
    """The parameters of every list."""

    limit: Annotated[Whole, Field(ge=1, le=MAX_LIMIT, description="So many items at most; a page may be shorter")] = DEFAULT_LIMIT
    cursor: Annotated[Text | None, Field(description="`next_cursor` of the page before")] = None


class Page(Model, Generic[Item]):
    """A page of a list. The list has ended when `next_cursor` is null, and not when a page is short."""

    items: list[Item]
    next_cursor: str | None


class ProblemDocument(Model):
    """What went wrong: https://www.rfc-editor.org/rfc/rfc9457."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "The request cannot be understood",
                    "status": 400,
                    "detail": "`limit`: is a whole number",
                    "field": "limit",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str
    field: Annotated[str | None, Field(description="The parameter, or the field of the body, that is to blame")] = None
    candidates: Annotated[list[str] | None, Field(description="What may have been meant instead")] = None


def example(**values: Any) -> ConfigDict:
    """Return the configuration of a model that is shown with this example in `/openapi.json` and on `/docs`."""
    return ConfigDict(json_schema_extra={"examples": [values]})
