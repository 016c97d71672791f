"""The door for webhook deliveries: nothing of a body is looked at before its signature has been checked.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import parse_qs

import aiohttp
import msgspec
from aiohttp import web

from app.errors import ConfigurationError, FreshetError, UnavailableError
from app.github_app import WINDOW_S

MAX_BYTES = 25 << 20
"""GitHub sends no payload over 25 MB: https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap."""
SPARE_S = 1.0
"""For the answer's way back, so much before GitHub gives up."""
DEADLINE_S = WINDOW_S - SPARE_S
CLOSE_S = 1.0
DOING = "receiving a webhook delivery"


class DeliveryError(FreshetError):
    """A delivery is not taken; `status` is the HTTP status of the answer."""

    title: ClassVar[str] = "The delivery was not accepted"

    def __init__(self, reason: str, *, status: HTTPStatus) -> None:
        super().__init__(DOING, reason)
        self.status = int(status)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery whose signature is right and whose body is a JSON object, not looked into any further."""

    id: str
    """GitHub's GUID: the same for a redelivery."""
    event: str
    body: bytes
    """The JSON text."""
    hook_id: str | None = None
    target_type: str | None = None
    """`integration` for a GitHub App."""
    target_id: str | None = None


def verify(secret: bytes, body: bytes, signature: str | None) -> None:
    """Check the `X-Hub-Signature-256` of a body. Raises DeliveryError (401). A SHA-1 signature counts as none."""
    if not secret:
        raise ConfigurationError("checking the signature of a delivery", "GITHUB_WEBHOOK_SECRET is empty")
    if signature is None or not signature.startswith("sha256="):
        raise DeliveryError("it has no X-Hub-Signature-256: is a secret set in the App's webhook?", status=HTTPStatus.UNAUTHORIZED)
    expected = "sha256=" + hmac.digest(secret, body, "sha256").hex()
    if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
        reason = "its signature does not fit: GITHUB_WEBHOOK_SECRET and the App's webhook secret differ"
        raise DeliveryError(reason, status=HTTPStatus.UNAUTHORIZED)


class WebhookEndpoint:
    """`POST /api/webhooks/github`. `receive` has made the delivery durable when it returns."""

    def __init__(
        self,
        secret: str | None,
        receive: Callable[[Delivery], Awaitable[None]],
        *,
        max_bytes: int = MAX_BYTES,
        body_timeout_s: float = DEADLINE_S,
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._timeout_s = body_timeout_s
        self.configure(secret)

    def configure(self, secret: str | None, *, window_s: float | None = None) -> None:
        """Take the secret of an App, None when there is none (yet), and for how long its GitHub waits. Raises ConfigurationError for ""."""
        if secret is not None and not secret.strip():
            reason = "GITHUB_WEBHOOK_SECRET is empty: anybody could send deliveries"
            raise ConfigurationError("reading the webhook secret", reason, "Set the secret of the App's webhook.")
        self._secret = None if secret is None else secret.encode()
        if window_s is not None:
            self._timeout_s = window_s - SPARE_S

    async def handle(self, request: web.Request) -> web.Response:
        """Answer 202 once the delivery is durable. Raises DeliveryError, or what `receive` says of the payload."""
        if self._secret is None:
            raise DeliveryError("no GitHub App is configured", status=HTTPStatus.SERVICE_UNAVAILABLE)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        body = await self._read(request, deadline)
        verify(self._secret, body, request.headers.get("X-Hub-Signature-256"))
        delivery = _delivery(request, body)
        try:
            async with asyncio.timeout_at(deadline):
                await self._receive(delivery)
        except (UnavailableError, TimeoutError) as error:
            reason = error.reason if isinstance(error, UnavailableError) else "storing it took too long"
            raise DeliveryError(reason, status=HTTPStatus.SERVICE_UNAVAILABLE) from error
        return web.json_response({"status": "accepted", "delivery_id": delivery.id}, status=HTTPStatus.ACCEPTED)

    async def _read(self, request: web.Request, deadline: float) -> bytes:
        """Read the body here, whatever `client_max_size` is: aiohttp itself has no time limit for bodies."""
        too_big = DeliveryError(f"it is over {self._max_bytes:,} bytes", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if (request.content_length or 0) > self._max_bytes:
            raise too_big
        body = bytearray()
        try:
            async with asyncio.timeout_at(deadline):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > self._max_bytes:
                        _close_soon(request)
                        raise too_big
        except TimeoutError as error:
            _close_soon(request)
            reason = f"its body did not arrive within {self._timeout_s:g} s"
            raise DeliveryError(reason, status=HTTPStatus.REQUEST_TIMEOUT) from error
        except (web.RequestPayloadError, aiohttp.ClientError, ConnectionError) as error:
            raise DeliveryError("its body ended early or is damaged", status=HTTPStatus.BAD_REQUEST) from error
        return bytes(body)


def _close_soon(request: web.Request) -> None:
    """Close the connection when the answer is out: aiohttp goes on to read the rest of a body for some time."""
    if request.transport is not None:
        asyncio.get_running_loop().call_later(CLOSE_S, request.transport.close)


def _delivery(request: web.Request, body: bytes) -> Delivery:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers."""
    headers = request.headers
    event, id_ = headers.get("X-GitHub-Event", ""), headers.get("X-GitHub-Delivery", "")
    if not event or not id_:
        raise DeliveryError("the headers X-GitHub-Event and X-GitHub-Delivery are required", status=HTTPStatus.BAD_REQUEST)
    return Delivery(
        id=id_,
        event=event,
        body=_json_object(request.content_type, body),
        hook_id=headers.get("X-GitHub-Hook-ID"),
        target_type=headers.get("X-GitHub-Hook-Installation-Target-Type"),
        target_id=headers.get("X-GitHub-Hook-Installation-Target-ID"),
    )


def _json_object(content_type: str, body: bytes) -> bytes:
    """Return the JSON text of a body, which must be one object. The values stay unread: that is for the event's own type."""
    try:
        if content_type == "application/x-www-form-urlencoded":
            [payload] = parse_qs(body.decode(), max_num_fields=8)["payload"]
            body = payload.encode()
        elif content_type != "application/json":
            raise DeliveryError(f"its content type is {content_type!r}, not application/json", status=HTTPStatus.BAD_REQUEST)
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, ValueError, KeyError, RecursionError) as error:
        raise DeliveryError("its body is not a JSON object", status=HTTPStatus.BAD_REQUEST) from error
    return body
