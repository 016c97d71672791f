"""Notifications: who receives a message when a lineage breaks, falls behind or recovers."""

from __future__ import annotations

import secrets

from aiohttp import web

from app.core.errors import RejectedAddressError
from app.core.models.notifications import Subscription
from app.web.api.call import Call
from app.web.api.operation import API, NoQuery, Operation
from app.web.api.schemas.common import MAX_DIGITS, Page
from app.web.api.schemas.notifications import NotificationChange, NotificationCreated, NotificationRequest, NotificationView, TestQueued
from app.web.http import requests
from app.web.http.problems import HttpProblem, not_found
from app.web.keys import NOTIFY

MAX_NOTIFICATIONS = 20
"""Per connection and per installation, so that a list is one page."""
ADDRESS_NOT_ALLOWED = "Address not allowed"
CREATE_PROBLEMS = {
    403: "The operator does not allow this address, or on GitHub the token may not push to the repository",
    409: "A notification for this address exists, there are too many, or no mail server is configured",
}


async def list_of_connection(call: Call[NoQuery, None]) -> Page[NotificationView]:
    """The notifications of a connection, oldest first."""
    return await _list(call, (await call.connection("push")).id)


async def list_of_installation(call: Call[NoQuery, None]) -> Page[NotificationView]:
    """The notifications of an installation, oldest first."""
    return await _list(call, await _installation(call))


async def create_for_connection(call: Call[NoQuery, NotificationRequest]) -> NotificationCreated:
    """Create a notification about one connection."""
    return await _create(call, (await call.connection("push")).id)


async def create_for_installation(call: Call[NoQuery, NotificationRequest]) -> NotificationCreated:
    """Create a notification about all connections of an installation."""
    return await _create(call, await _installation(call))


async def get_notification(call: Call[NoQuery, None]) -> NotificationView:
    """One notification."""
    return NotificationView.of(await _subscription(call))


async def change_notification(call: Call[NoQuery, NotificationChange]) -> NotificationView:
    """Change the settings that the body contains."""
    subscription, body = await _subscription(call), call.body
    if body.secret is not None and subscription.kind == "email":
        raise requests.invalid("secret", "only webhooks have a secret: emails are not signed")
    secret = body.secret.get_secret_value() if body.secret else None
    await call.store.subscriptions.update(subscription, events=body.events, paused=body.paused, secret=secret)
    return NotificationView.of(await _subscription(call))


async def delete_notification(call: Call[NoQuery, None]) -> web.Response:
    """Delete a notification."""
    await call.store.subscriptions.delete((await _subscription(call)).id)
    return web.Response(status=204)


async def test_notification(call: Call[NoQuery, None]) -> TestQueued:
    """Queue a test message."""
    delivery_id = await call.store.subscriptions.test((await _subscription(call)).id)
    if delivery_id is None:
        detail = "A test message was sent within the last minute: wait a minute and try again."
        raise HttpProblem(429, "Too many test messages", detail, headers={"Retry-After": "60"})
    return TestQueued(delivery_id=delivery_id)


async def _list(call: Call[NoQuery, None], of: str | int) -> Page[NotificationView]:
    found = await call.store.subscriptions.for_scope(of)
    return Page[NotificationView](items=[NotificationView.of(one) for one in found], next_cursor=None)


async def _create(call: Call[NoQuery, NotificationRequest], of: str | int) -> NotificationCreated:
    body = call.body
    _check_address(call)
    if len(await call.store.subscriptions.for_scope(of)) >= MAX_NOTIFICATIONS:
        detail = f"There are {MAX_NOTIFICATIONS} notifications, which is the maximum: delete one first."
        raise HttpProblem(409, "Too many notifications", detail)
    given = body.secret.get_secret_value() if body.secret else None
    secret = given or secrets.token_hex(16) if body.kind == "webhook" else None
    created = await call.store.subscriptions.create(of, body.kind, body.to, body.events, secret)
    subscription = await call.store.subscriptions.get(created) if created else None
    if subscription is None:
        detail = "A notification for this address exists: change that one, or delete it first."
        raise HttpProblem(409, "Notification already exists", detail)
    return NotificationCreated(**NotificationView.fields_of(subscription), secret=secret)


def _check_address(call: Call[NoQuery, NotificationRequest]) -> None:
    """Raise HttpProblem unless the operator allows the address."""
    body, rules = call.body, call.request.app[NOTIFY]
    if body.kind == "email" and not rules.mail:
        detail = "No mail server is configured: the operator has to set FRESHET_SMTP_URL and FRESHET_MAIL_FROM."
        raise HttpProblem(409, "Email not available", detail, field="kind")
    if body.kind == "email" and not (call.caller.everything or rules.may_mail(body.to)):
        domains = ", ".join(sorted(rules.mail_domains))
        detail = f"Email can only be sent to {domains}: the operator can add other domains to FRESHET_MAIL_DOMAINS."
        raise HttpProblem(403, ADDRESS_NOT_ALLOWED, detail, field="to")
    if body.kind == "webhook":
        try:
            rules.check_url(body.to)
        except RejectedAddressError as error:
            raise HttpProblem(403, ADDRESS_NOT_ALLOWED, error.user_text, field="to") from error


async def _installation(call: Call[NoQuery, None] | Call[NoQuery, NotificationRequest]) -> int:
    """GitHub's id of the installation in the path. Raises HttpProblem 404."""
    given = call.request.match_info["id"]
    id_ = int(given) if given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS else 0
    if not await call.store.subscriptions.has_installation(id_):
        raise not_found("installation")
    return id_


async def _subscription(call: Call[NoQuery, None] | Call[NoQuery, NotificationChange]) -> Subscription:
    """The subscription in the path. Raises HttpProblem: 404 if the caller may not see it, 403 without push permission."""
    found = await call.store.subscriptions.get(requests.path_id(call.request, "notification"))
    if found is None:
        raise not_found("notification")
    if call.caller.everything:
        return found
    connection = await call.store.connections.get(found.connection_id) if found.connection_id else None
    if connection is None:  # those of an installation are for service tokens
        raise not_found("notification")
    await call.require("push", connection.repository, "notification")
    return found


OF_CONNECTION = f"{API}/connections/{{id}}/notifications"
OF_INSTALLATION = f"{API}/installations/{{id}}/notifications"
ONE = f"{API}/notifications/{{id}}"
INSTALLATION_ID = {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}
TAG = "notifications"
OPERATIONS = (
    Operation(
        method="GET",
        path=OF_CONNECTION,
        id="list_connection_notifications",
        handler=list_of_connection,
        summary="List the notifications of a connection, oldest first",
        tag=TAG,
        response=Page[NotificationView],
        right="push",
    ),
    Operation(
        method="POST",
        path=OF_CONNECTION,
        id="create_connection_notification",
        handler=create_for_connection,
        summary="Create a notification about a connection, by email or webhook",
        tag=TAG,
        body=NotificationRequest,
        response=NotificationCreated,
        status=201,
        right="push",
        problems=CREATE_PROBLEMS,
    ),
    Operation(
        method="GET",
        path=OF_INSTALLATION,
        id="list_installation_notifications",
        handler=list_of_installation,
        summary="List the notifications of an installation, oldest first",
        tag=TAG,
        response=Page[NotificationView],
        guard="service",
        id_schema=INSTALLATION_ID,
    ),
    Operation(
        method="POST",
        path=OF_INSTALLATION,
        id="create_installation_notification",
        handler=create_for_installation,
        summary="Create a notification about all connections of an installation, by email or webhook",
        tag=TAG,
        body=NotificationRequest,
        response=NotificationCreated,
        status=201,
        guard="service",
        id_schema=INSTALLATION_ID,
        problems=CREATE_PROBLEMS,
    ),
    Operation(
        method="GET",
        path=ONE,
        id="get_notification",
        handler=get_notification,
        summary="Get one notification, and the outcome of its newest message",
        tag=TAG,
        response=NotificationView,
        right="push",
    ),
    Operation(
        method="PATCH",
        path=ONE,
        id="update_notification",
        handler=change_notification,
        summary="Change a notification: its events, its secret, or pause it",
        tag=TAG,
        body=NotificationChange,
        response=NotificationView,
        right="push",
    ),
    Operation(
        method="DELETE",
        path=ONE,
        id="delete_notification",
        handler=delete_notification,
        summary="Delete a notification",
        tag=TAG,
        status=204,
        right="push",
    ),
    Operation(
        method="POST",
        path=f"{ONE}/test",
        id="test_notification",
        handler=test_notification,
        summary="Send a test message, at most once a minute",
        tag=TAG,
        response=TestQueued,
        status=202,
        right="push",
    ),
)
