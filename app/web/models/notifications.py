"""Notifications as they are asked for and shown: who is told, of what, and how that went."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, StrictBool, ValidationInfo, field_validator

from app import notices
from app.notices import EVENTS, MAIL_ADDRESS, Event, Kind, Outcome, Subscription
from app.web.models.common import Body, Model, Text, Time, example

MIN_SECRET, MAX_SECRET = 16, 200
WEB_ADDRESS = "^https?://[!-~]+$"
VISIBLE = "^[!-~]*$"
LAST: dict[str, Any] = {"event": "failure", "outcome": "sent", "at": "2026-11-02T09:00:10Z", "detail": ""}
NOTIFICATION: dict[str, Any] = {
    "id": "c7a4c2a6-5b8e-4a53-9f0e-1d0b7a2f7c11",
    "connection_id": "0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11",
    "installation_id": None,
    "kind": "webhook",
    "to": "https://hooks.example.com/…cdef",
    "events": ["failure", "recovery", "stale"],
    "paused": False,
    "created_at": "2026-11-02T09:00:00Z",
    "last": LAST,
}


def _distinct(events: list[Event]) -> list[Event]:
    return [event for event in EVENTS if event in events]


Events = Annotated[
    list[Event],
    Field(
        min_length=1,
        description="`failure`: the newest commit could not be extracted; `stale`: it was not extracted for a while; "
        "`recovery`: the lineage is that of the newest commit again",
    ),
    AfterValidator(_distinct),
]
Secret = Annotated[
    SecretStr,
    Field(min_length=MIN_SECRET, max_length=MAX_SECRET, json_schema_extra={"pattern": VISIBLE}, description="What is signed with"),
]


class NotificationRequest(Body):
    """Body of `POST …/notifications`."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"kind": {"const": "email"}, "to": {"pattern": f"^{MAIL_ADDRESS}$"}, "secret": {"type": "null"}}},
                {"properties": {"kind": {"const": "webhook"}, "to": {"pattern": WEB_ADDRESS}}},
            ],
            "examples": [{"kind": "webhook", "to": "https://hooks.example.com/services/T0/B0/abcdef", "events": ["failure", "recovery"]}],
        },
    )

    kind: Annotated[Kind, Field(description="`email`, where the operator has set a mail server; `webhook`: a signed POST")]
    to: Annotated[Text, Field(description="The mail address, or the https address that is posted to")]
    events: Annotated[Events, Field(default_factory=lambda: list(EVENTS))]
    secret: Annotated[Secret | None, Field(description="Of a webhook; without it one is made, and told in the answer")] = None

    @field_validator("to")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("kind")
        if kind == "email" and not notices.is_mail_address(value):
            msg = "is not a mail address such as ann@example.com"
            raise ValueError(msg)
        if kind == "webhook" and not re.fullmatch(WEB_ADDRESS, value):
            msg = "is not an address such as https://hooks.example.com/abc"
            raise ValueError(msg)
        return value

    @field_validator("secret")
    @classmethod
    def _signs(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and info.data.get("kind") == "email":
            msg = "is for webhooks: a mail is not signed"
            raise ValueError(msg)
        return _printable(value)


class NotificationChange(Body):
    """Body of `PATCH …/notifications/{id}`; what is left out stays."""

    model_config = example(events=["failure"], paused=False)

    events: Events | None = None
    paused: Annotated[StrictBool | None, Field(description="Nothing is sent while it is true, nor afterwards of that time")] = None
    secret: Annotated[Secret | None, Field(description="Another secret for a webhook, from now on")] = None

    @field_validator("secret")
    @classmethod
    def _signs(cls, value: SecretStr | None) -> SecretStr | None:
        return _printable(value)


def _printable(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.fullmatch(VISIBLE, value.get_secret_value()):
        msg = "is made of printable ASCII characters without blanks"
        raise ValueError(msg)
    return value


class LastView(Model):
    """How the newest message fared. `detail` says why it was not sent."""

    event: str
    outcome: Annotated[
        Outcome,
        Field(description="`postponed`: tried again; `given_up`: that went on for a day; `refused`: for good"),
    ]
    at: Time
    detail: str


class NotificationView(Model):
    """Who is told of what."""

    model_config = example(**NOTIFICATION)

    id: str
    connection_id: str | None
    installation_id: Annotated[str | None, Field(description="Of an account on GitHub: then it holds for all of its connections")]
    kind: Kind
    to: Annotated[str, Field(description="Of a webhook only its host and its last characters: the rest may be a secret")]
    events: list[Event]
    paused: Annotated[bool, Field(description="By somebody, or because the webhook was answered with 410 Gone")]
    created_at: Time
    last: LastView | None

    @classmethod
    def fields_of(cls, of: Subscription) -> dict[str, Any]:
        """Return the values of the fields."""
        last = of.last and LastView(event=of.last.event, outcome=of.last.outcome, at=of.last.at, detail=of.last.detail)
        return {
            "id": of.id,
            "connection_id": of.connection_id,
            "installation_id": None if of.installation_id is None else str(of.installation_id),
            "kind": of.kind,
            "to": notices.shown(of.kind, of.to),
            "events": [event for event in EVENTS if event in of.events],
            "paused": of.paused,
            "created_at": of.created_at,
            "last": last,
        }

    @classmethod
    def of(cls, of: Subscription) -> Self:
        """Show a subscription."""
        return cls(**cls.fields_of(of))


class NotificationCreated(NotificationView):
    """A notification that was just made."""

    model_config = example(**{**NOTIFICATION, "last": None}, secret="1f0c3a5e7b9d2f4a6c8e0b1d3f5a7c9e")  # noqa: S106 - an example

    secret: Annotated[str | None, Field(description="What a webhook is signed with. It is not told again")]


class TestQueued(Model):
    """A test message that will be sent."""

    model_config = example(delivery_id="9d6f0c5e-1a2b-4c3d-8e4f-5a6b7c8d9e0f")

    delivery_id: Annotated[str, Field(description="The `X-Freshet-Delivery` of the message; how it fared stands in `last`")]
