"""Notifications, in requests and responses: who receives them, about what, and how the newest message went."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, StrictBool, ValidationInfo, field_validator

from app.core.models.notifications import EVENTS, Event, Kind, Outcome, Subscription
from app.notifications import rules
from app.notifications.rules import MAIL_ADDRESS
from app.web.api.schemas.common import Body, Model, Text, Time, example

MIN_SECRET, MAX_SECRET = 16, 200
WEB_ADDRESS = "^https?://[!-~]+$"
VISIBLE = "^[!-~]*$"
MEANINGS = (
    "`failure`: the newest commit could not be extracted; `stale`: it has not been extracted within the configured time "
    "(`FRESHET_STALE_MINUTES`); `recovery`: the lineage is that of the newest commit again"
)
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
    Field(min_length=1),
    AfterValidator(_distinct),
]
Secret = Annotated[
    SecretStr,
    Field(min_length=MIN_SECRET, max_length=MAX_SECRET, json_schema_extra={"pattern": VISIBLE}, description="Key of the signatures"),
]


class NotificationRequest(Body):
    """Who is to receive messages, and about what."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"kind": {"const": "email"}, "to": {"pattern": f"^{MAIL_ADDRESS}$"}, "secret": {"type": "null"}}},
                {"properties": {"kind": {"const": "webhook"}, "to": {"pattern": WEB_ADDRESS}}},
            ],
            "examples": [{"kind": "webhook", "to": "https://hooks.example.com/services/T0/B0/abcdef", "events": ["failure", "recovery"]}],
        },
    )

    kind: Annotated[Kind, Field(description="`email`, if the operator has set a mail server; `webhook`: a signed POST request")]
    to: Annotated[Text, Field(description="Email address, or URL of the webhook")]
    events: Annotated[Events, Field(default_factory=lambda: list(EVENTS), description=f"{MEANINGS}. All by default")]
    secret: Annotated[
        Secret | None, Field(description="Secret that signs the webhook's requests. By default Freshet makes one and returns it")
    ] = None

    @field_validator("to")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("kind")
        if kind == "email" and not rules.is_mail_address(value):
            msg = "must be an email address such as ann@example.com"
            raise ValueError(msg)
        if kind == "webhook" and not re.fullmatch(WEB_ADDRESS, value):
            msg = "must be a URL such as https://hooks.example.com/abc"
            raise ValueError(msg)
        return value

    @field_validator("secret")
    @classmethod
    def _signs(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and info.data.get("kind") == "email":
            msg = "only webhooks have a secret: emails are not signed"
            raise ValueError(msg)
        return _printable(value)


class NotificationChange(Body):
    """The settings to change. Fields that are left out or null stay as they are."""

    model_config = example(events=["failure"], paused=False)

    events: Annotated[Events | None, Field(description=f"The events to report from now on. {MEANINGS}")] = None
    paused: Annotated[
        StrictBool | None, Field(description="True: send nothing. What happens meanwhile is not reported afterwards either")
    ] = None
    secret: Annotated[Secret | None, Field(description="Secret that signs the webhook's requests from now on")] = None

    @field_validator("secret")
    @classmethod
    def _signs(cls, value: SecretStr | None) -> SecretStr | None:
        return _printable(value)


def _printable(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.fullmatch(VISIBLE, value.get_secret_value()):
        msg = "must consist of printable ASCII characters without spaces"
        raise ValueError(msg)
    return value


class LastView(Model):
    """The newest message of a notification, and how it went."""

    event: Annotated[str, Field(description="The event that it reported, or `test`")]
    outcome: Annotated[
        Outcome,
        Field(
            description="`sent`; `postponed`: not accepted yet, Freshet tries again; `given_up`: not accepted for a day; `refused`: "
            "rejected for good"
        ),
    ]
    at: Annotated[Time, Field(description="When it was last tried")]
    detail: Annotated[str, Field(description="Why it was not sent; empty when it was")]


class NotificationView(Model):
    """A rule that sends messages about a connection, or about all connections of an installation."""

    model_config = example(**NOTIFICATION)

    id: Annotated[str, Field(description="UUID of the notification")]
    connection_id: Annotated[str | None, Field(description="UUID of its connection; null: it belongs to an installation")]
    installation_id: Annotated[
        str | None, Field(description="GitHub's id of the installation whose connections it covers; null: it belongs to one connection")
    ]
    kind: Annotated[Kind, Field(description="`email` or `webhook`")]
    to: Annotated[
        str, Field(description="Email address, or the host and last characters of the webhook's URL, because the rest may be a secret")
    ]
    events: Annotated[list[Event], Field(description=f"The events that it reports. {MEANINGS}")]
    paused: Annotated[bool, Field(description="True: nothing is sent, because somebody paused it or the webhook answered 410 Gone")]
    created_at: Annotated[Time, Field(description="When it was created")]
    last: Annotated[LastView | None, Field(description="The newest message; null while there was none")]

    @classmethod
    def fields_of(cls, of: Subscription) -> dict[str, Any]:
        """Field values; subclasses add their own."""
        last = of.last and LastView(event=of.last.event, outcome=of.last.outcome, at=of.last.at, detail=of.last.detail)
        return {
            "id": of.id,
            "connection_id": of.connection_id,
            "installation_id": None if of.installation_id is None else str(of.installation_id),
            "kind": of.kind,
            "to": rules.masked_address(of.kind, of.to),
            "events": [event for event in EVENTS if event in of.events],
            "paused": of.paused,
            "created_at": of.created_at,
            "last": last,
        }

    @classmethod
    def of(cls, of: Subscription) -> Self:
        """From the stored subscription."""
        return cls(**cls.fields_of(of))


class NotificationCreated(NotificationView):
    """A new notification, with its secret."""

    model_config = example(**{**NOTIFICATION, "last": None}, secret="1f0c3a5e7b9d2f4a6c8e0b1d3f5a7c9e")  # noqa: S106 - an example

    secret: Annotated[str | None, Field(description="Secret that signs the webhook's requests, shown only this once; null for email")]


class TestQueued(Model):
    """A test message that is about to be sent."""

    model_config = example(delivery_id="9d6f0c5e-1a2b-4c3d-8e4f-5a6b7c8d9e0f")

    delivery_id: Annotated[str, Field(description="The message's `X-Freshet-Delivery` header; the notification's `last` shows how it went")]
