"""Notifications: who is told when a lineage breaks, falls behind, or is well again."""

from __future__ import annotations

import secrets

from aiohttp import web

from app.errors import RejectedAddressError
from app.notices import Subscription
from app.web import requests
from app.web.call import Call
from app.web.keys import NOTIFY
from app.web.models.common import MAX_DIGITS, Page
from app.web.models.notifications import NotificationChange, NotificationCreated, NotificationRequest, NotificationView, TestQueued
from app.web.operations import API, NoQuery, Operation
from app.web.problems import Problem, not_found

MOST = 20
"""Of one connection, or of one installation: so their list is one page."""
ADDRESS_NOT_ALLOWED = "This address is not allowed"
CREATE_PROBLEMS = {
    403: "The operator does not allow this address, or GitHub does not let the token push to the repository",
    409: "There is one for this address already, there are too many, or there is no mail server",
}


async def list_of_connection(call: Call[NoQuery, None]) -> Page[NotificationView]:
    """List the notifications of a connection."""
    return await _list(call, (await call.connection("push")).id)


async def list_of_installation(call: Call[NoQuery, None]) -> Page[NotificationView]:
    """List the notifications of an installation."""
    return await _list(call, await _installation(call))


async def create_for_connection(call: Call[NoQuery, NotificationRequest]) -> NotificationCreated:
    """Have somebody told of a connection."""
    return await _create(call, (await call.connection("push")).id)


async def create_for_installation(call: Call[NoQuery, NotificationRequest]) -> NotificationCreated:
    """Have somebody told of all connections of an installation."""
    return await _create(call, await _installation(call))


async def get_notification(call: Call[NoQuery, None]) -> NotificationView:
    """Show one notification."""
    return NotificationView.of(await _subscription(call))


async def change_notification(call: Call[NoQuery, NotificationChange]) -> NotificationView:
    """Change what somebody is told of."""
    found, asked = await _subscription(call), call.body
    if asked.secret is not None and found.kind == "email":
        raise requests.invalid("secret", "is for webhooks: a mail is not signed")
    secret = asked.secret.get_secret_value() if asked.secret else None
    await call.store.subscriptions.update(found, events=asked.events, paused=asked.paused, secret=secret)
    return NotificationView.of(await _subscription(call))


async def delete_notification(call: Call[NoQuery, None]) -> web.Response:
    """Tell somebody no more."""
    await call.store.subscriptions.delete((await _subscription(call)).id)
    return web.Response(status=204)


async def test_notification(call: Call[NoQuery, None]) -> TestQueued:
    """Send a test message."""
    queued = await call.store.subscriptions.test((await _subscription(call)).id)
    if queued is None:
        raise Problem(429, "Too many tests", "There was one within the last minute.", headers={"Retry-After": "60"})
    return TestQueued(delivery_id=queued)


async def _list(call: Call[NoQuery, None], of: str | int) -> Page[NotificationView]:
    found = await call.store.subscriptions.of(of)
    return Page[NotificationView](items=[NotificationView.of(one) for one in found], next_cursor=None)


async def _create(call: Call[NoQuery, NotificationRequest], of: str | int) -> NotificationCreated:
    asked = call.body
    _allow(call)
    if len(await call.store.subscriptions.of(of)) >= MOST:
        raise Problem(409, "There are too many notifications", f"{MOST} are the most: delete one first.")
    given = asked.secret.get_secret_value() if asked.secret else None
    secret = given or secrets.token_hex(16) if asked.kind == "webhook" else None
    created = await call.store.subscriptions.create(of, asked.kind, asked.to, asked.events, secret)
    found = await call.store.subscriptions.get(created) if created else None
    if found is None:
        raise Problem(409, "There is one already", "This address is told already: change that notification, or delete it first.")
    return NotificationCreated(**NotificationView.fields_of(found), secret=secret)


def _allow(call: Call[NoQuery, NotificationRequest]) -> None:
    """Let the address be one that the operator allows. Raises Problem."""
    asked, rules = call.body, call.request.app[NOTIFY]
    if asked.kind == "email" and not rules.mail:
        detail = "There is no mail server: the operator sets FRESHET_SMTP_URL and FRESHET_MAIL_FROM."
        raise Problem(409, "No mail can be sent", detail, field="kind")
    if asked.kind == "email" and not (call.caller.everything or rules.may_mail(asked.to)):
        detail = f"Mail goes to {', '.join(sorted(rules.mail_domains))} only: the operator can add other domains to FRESHET_MAIL_DOMAINS."
        raise Problem(403, ADDRESS_NOT_ALLOWED, detail, field="to")
    if asked.kind == "webhook":
        try:
            rules.check_url(asked.to)
        except RejectedAddressError as error:
            raise Problem(403, ADDRESS_NOT_ALLOWED, error.user_text, field="to") from error


async def _installation(call: Call[NoQuery, None] | Call[NoQuery, NotificationRequest]) -> int:
    """Return the id of the installation that the path names, which is GitHub's own number. Raises Problem 404."""
    given = call.request.match_info["id"]
    id_ = int(given) if given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS else 0
    if not await call.store.subscriptions.has_installation(id_):
        raise not_found("installation")
    return id_


async def _subscription(call: Call[NoQuery, None] | Call[NoQuery, NotificationChange]) -> Subscription:
    """Return the subscription that the path names. Raises Problem 404 when the caller may not see it, 403 when that is all he may."""
    found = await call.store.subscriptions.get(requests.path_id(call.request, "notification"))
    if found is None:
        raise not_found("notification")
    if call.caller.everything:
        return found
    connection = await call.store.connections.get(found.connection_id) if found.connection_id else None
    if connection is None:  # an installation's is the operator's
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
        handler=list_of_connection,
        summary="Who is told of a connection, the oldest first",
        tag=TAG,
        answer=Page[NotificationView],
        right="push",
    ),
    Operation(
        method="POST",
        path=OF_CONNECTION,
        handler=create_for_connection,
        summary="Have somebody told of a connection, by mail or by a webhook",
        tag=TAG,
        body=NotificationRequest,
        answer=NotificationCreated,
        status=201,
        right="push",
        problems=CREATE_PROBLEMS,
    ),
    Operation(
        method="GET",
        path=OF_INSTALLATION,
        handler=list_of_installation,
        summary="Who is told of all connections of an installation, the oldest first",
        tag=TAG,
        answer=Page[NotificationView],
        guard="service",
        id_schema=INSTALLATION_ID,
    ),
    Operation(
        method="POST",
        path=OF_INSTALLATION,
        handler=create_for_installation,
        summary="Have somebody told of all connections of an installation, by mail or by a webhook",
        tag=TAG,
        body=NotificationRequest,
        answer=NotificationCreated,
        status=201,
        guard="service",
        id_schema=INSTALLATION_ID,
        problems=CREATE_PROBLEMS,
    ),
    Operation(
        method="GET",
        path=ONE,
        handler=get_notification,
        summary="One notification, and how its newest message fared",
        tag=TAG,
        answer=NotificationView,
        right="push",
    ),
    Operation(
        method="PATCH",
        path=ONE,
        handler=change_notification,
        summary="Tell of other events, pause, or sign with another secret",
        tag=TAG,
        body=NotificationChange,
        answer=NotificationView,
        right="push",
    ),
    Operation(
        method="DELETE",
        path=ONE,
        handler=delete_notification,
        summary="Tell this address no more",
        tag=TAG,
        status=204,
        right="push",
    ),
    Operation(
        method="POST",
        path=f"{ONE}/test",
        handler=test_notification,
        summary="Send a test message, once a minute at most",
        tag=TAG,
        answer=TestQueued,
        status=202,
        right="push",
    ),
)
