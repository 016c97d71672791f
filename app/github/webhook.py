"""Receives webhook deliveries: nothing is read without a signature, nothing is parsed before it was found to be right.

The whole answer has one deadline, so that GitHub gets it whatever the database does.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import parse_qs

import aiohttp
import msgspec
import orjson
from aiohttp import web

from app.core.app_manifest import WINDOW_S
from app.core.errors import ConfigurationError, FreshetError, UnavailableError
from app.github.unverified import UnverifiedBodies, UnverifiedBody

MAX_BYTES = 25 << 20
"""GitHub sends no payload over 25 MB: https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap."""
SPARE_S = 1.0
"""Time for the response to reach GitHub before it gives up."""
DEADLINE_S = WINDOW_S - SPARE_S
RETRY_S = 0.25
"""Pause before the database is tried again; it doubles up to `MAX_RETRY_S`."""
MAX_RETRY_S = 1.0
LARGE_AT_ONCE = 4
"""Verified bodies that are read from a file at a time."""
DOING = "receiving a webhook delivery"
_SIGNATURE = re.compile("sha256=([0-9a-f]{64})")
_VISIBLE = re.compile("[!-~]{1,200}")


class DeliveryError(FreshetError):
    """A delivery is rejected with the HTTP status `status`."""

    title: ClassVar[str] = "The delivery was not accepted"

    def __init__(self, reason: str, *, status: HTTPStatus) -> None:
        super().__init__(DOING, reason)
        self.status = int(status)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery with a valid signature."""

    id: str
    """GitHub's GUID: the same for a redelivery."""
    event: str
    body: bytes | bytearray
    """The JSON text, not parsed yet."""
    hook_id: str | None = None
    target_type: str | None = None
    """`integration` for a GitHub App."""
    target_id: str | None = None


def signature_in(header: str | None) -> str:
    """The hexadecimal digits of an `X-Hub-Signature-256`. Raises DeliveryError (401). SHA-1 signatures are not accepted."""
    found = _SIGNATURE.fullmatch(header or "")
    if found is None:
        reason = "it has no valid X-Hub-Signature-256: set a secret in the App's webhook"
        raise DeliveryError(reason, status=HTTPStatus.UNAUTHORIZED)
    return found[1]


def compare(expected: str, given: str) -> None:
    """Compare hexadecimal HMACs in constant time. Raises DeliveryError (401)."""
    if not hmac.compare_digest(expected, given):
        reason = "its signature is wrong: GITHUB_WEBHOOK_SECRET and the App's webhook secret differ"
        raise DeliveryError(reason, status=HTTPStatus.UNAUTHORIZED)


def verify(secret: bytes, body: bytes, signature: str | None) -> None:
    """Check the `X-Hub-Signature-256` of a body. Raises DeliveryError (401)."""
    if not secret:
        raise ConfigurationError("checking the signature of a delivery", "GITHUB_WEBHOOK_SECRET is empty")
    given = signature_in(signature)
    compare(hmac.digest(secret, body, "sha256").hex(), given)


def any_object(delivery: Delivery) -> Delivery:
    """Check that the body is one JSON object. Raises DeliveryError (400)."""
    try:
        msgspec.json.decode(delivery.body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DeliveryError("its body is not a JSON object", status=HTTPStatus.BAD_REQUEST) from error
    return delivery


class WebhookEndpoint:
    """`POST /api/webhooks/github`. When `receive` returns, the delivery is stored durably."""

    def __init__(
        self,
        secret: str | None,
        receive: Callable[[Any], Awaitable[None]],
        *,
        read: Callable[[Delivery], Any] = any_object,
        max_bytes: int = MAX_BYTES,
        body_timeout_s: float = DEADLINE_S,
        bodies: UnverifiedBodies | None = None,
    ) -> None:
        """`receive` may be called again for the same delivery, and is cancelled at the deadline, which has to end it at once.

        It gets what `read` returns: of the body, that is all that stays in memory meanwhile. `read` refuses what is no JSON object.
        """
        self._read_delivery, self._receive = read, receive
        self._max_bytes = max_bytes
        self._timeout_s = body_timeout_s
        self._bodies = bodies or UnverifiedBodies()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self.configure(secret)

    def configure(self, secret: str | None) -> None:
        """Set the App's webhook secret; None while there is no App. Raises ConfigurationError for ""."""
        if secret is not None and not secret.strip():
            reason = "GITHUB_WEBHOOK_SECRET is empty: anyone could send deliveries"
            raise ConfigurationError("reading the webhook secret", reason, "Set the secret of the App's webhook.")
        self._secret = None if secret is None else secret.encode()

    async def handle(self, request: web.Request) -> web.Response:
        """Respond with 202 once the delivery is stored. Raises DeliveryError, and the errors of `read` and `receive` about the payload.

        A refusal leaves the rest of the body unread: the connection has to be closed after it.
        """
        if self._secret is None:
            raise DeliveryError("no GitHub App is configured", status=HTTPStatus.SERVICE_UNAVAILABLE)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        if (request.content_length or 0) > self._max_bytes:
            raise self._too_big()
        given = signature_in(request.headers.get("X-Hub-Signature-256"))
        with self._bodies.open(self._secret) as body:
            await self._read(request, body, deadline)
            compare(await body.hexdigest(), given)
            self._bodies.leave(body)
            async with self._large if body.on_disk else nullcontext():
                id_, read = self._understand(request, await body.content())
        await self._store(read, deadline)
        accepted = orjson.dumps({"status": "accepted", "delivery_id": id_})
        return web.Response(body=accepted, status=HTTPStatus.ACCEPTED, content_type="application/json")

    async def _read(self, request: web.Request, body: UnverifiedBody, deadline: float) -> None:
        """Read the body with limits of our own: aiohttp has no time limit, and `client_max_size` is for other requests."""
        try:
            async with asyncio.timeout_at(deadline) as limit:
                body.interrupt = lambda: None if limit.expired() else limit.reschedule(0.0)
                async for chunk in request.content.iter_any():
                    if body.size + len(chunk) > self._max_bytes:
                        raise self._too_big()
                    await body.write(chunk)
        except TimeoutError as error:
            if body.gave_way:
                reason = "too much of other deliveries is being received that is not verified yet"
                raise DeliveryError(reason, status=HTTPStatus.SERVICE_UNAVAILABLE) from error
            reason = f"its body did not arrive within {self._timeout_s:g} s"
            raise DeliveryError(reason, status=HTTPStatus.REQUEST_TIMEOUT) from error
        except UnavailableError as error:
            raise DeliveryError(error.reason, status=HTTPStatus.SERVICE_UNAVAILABLE) from error
        except (web.RequestPayloadError, aiohttp.ClientError, ConnectionError) as error:
            raise DeliveryError("its body ended early or is damaged", status=HTTPStatus.BAD_REQUEST) from error

    def _too_big(self) -> DeliveryError:
        return DeliveryError(f"it is larger than {self._max_bytes:,} bytes", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _understand(self, request: web.Request, body: bytes | bytearray) -> tuple[str, Any]:
        """The id of a verified delivery, and what `read` makes of it."""
        delivery = _delivery(request, body)
        return delivery.id, self._read_delivery(delivery)

    async def _store(self, read: Any, deadline: float) -> None:
        """Store a verified delivery, trying again while its time lasts."""
        pause_s, clock = RETRY_S, asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    try:
                        await self._receive(read)
                    except UnavailableError:
                        if clock() + pause_s >= deadline:
                            raise
                        await asyncio.sleep(pause_s)
                        pause_s = min(2 * pause_s, MAX_RETRY_S)
                    else:
                        return
        except (UnavailableError, TimeoutError) as error:
            reason = error.reason if isinstance(error, UnavailableError) else "storing it took too long"
            raise DeliveryError(reason, status=HTTPStatus.SERVICE_UNAVAILABLE) from error


def _delivery(request: web.Request, body: bytes | bytearray) -> Delivery:
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers."""
    headers = request.headers
    event, id_ = headers.get("X-GitHub-Event", ""), headers.get("X-GitHub-Delivery", "")
    for name, value in (("X-GitHub-Event", event), ("X-GitHub-Delivery", id_)):
        if not _VISIBLE.fullmatch(value):
            reason = f"its header {name} is missing, too long, or contains other characters than visible ASCII"
            raise DeliveryError(reason, status=HTTPStatus.BAD_REQUEST)
    return Delivery(
        id=id_,
        event=event,
        body=_json_of(request.content_type, body),
        hook_id=headers.get("X-GitHub-Hook-ID"),
        target_type=headers.get("X-GitHub-Hook-Installation-Target-Type"),
        target_id=headers.get("X-GitHub-Hook-Installation-Target-ID"),
    )


def _json_of(content_type: str, body: bytes | bytearray) -> bytes | bytearray:
    """The JSON text of a body."""
    if content_type == "application/json":
        return body
    if content_type != "application/x-www-form-urlencoded":
        raise DeliveryError(f"its content type is {content_type!r}, not application/json", status=HTTPStatus.BAD_REQUEST)
    try:
        [payload] = parse_qs(body.decode(), max_num_fields=8)["payload"]
    except (ValueError, KeyError) as error:
        raise DeliveryError("its body has no payload", status=HTTPStatus.BAD_REQUEST) from error
    return payload.encode()
