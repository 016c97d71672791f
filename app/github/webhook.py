"""Receives webhook deliveries: nothing is read without a signature, nothing is parsed before it was found to be right.

The whole answer has one deadline, so that GitHub gets it whatever the database does.

https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import parse_qs

import aiohttp
import msgspec
from aiohttp import web

from app.core.app_manifest import WINDOW_S
from app.core.errors import ConfigurationError, FreshetError, UnavailableError
from app.github.unverified import IN_MEMORY, UnverifiedBodies, UnverifiedBody

MAX_BYTES = 25 << 20
"""GitHub sends no payload over 25 MB: https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap."""
SPARE_S = 1.0
"""Time for the response to reach GitHub before it gives up."""
DEADLINE_S = WINDOW_S - SPARE_S
RETRY_S = 0.25
"""Pause before the database is tried again; it doubles up to `MAX_RETRY_S`."""
MAX_RETRY_S = 1.0
LARGE_AT_ONCE = 4
"""Verified bodies that are held in memory at a time, if they were too large to stay there."""
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
    """A delivery with a valid signature and a JSON object as its body, not parsed further."""

    id: str
    """GitHub's GUID: the same for a redelivery."""
    event: str
    body: bytes
    """The JSON text."""
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


class WebhookEndpoint:
    """`POST /api/webhooks/github`. When `receive` returns, the delivery is stored durably."""

    def __init__(
        self,
        secret: str | None,
        receive: Callable[[Delivery], Awaitable[None]],
        *,
        max_bytes: int = MAX_BYTES,
        body_timeout_s: float = DEADLINE_S,
        bodies: UnverifiedBodies | None = None,
    ) -> None:
        """`receive` may be called again for the same delivery, and cancelled."""
        self._receive = receive
        self._max_bytes = max_bytes
        self._timeout_s = body_timeout_s
        self._bodies = bodies or UnverifiedBodies()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._running: set[asyncio.Task[str]] = set()
        self.configure(secret)

    def configure(self, secret: str | None) -> None:
        """Set the App's webhook secret; None while there is no App. Raises ConfigurationError for ""."""
        if secret is not None and not secret.strip():
            reason = "GITHUB_WEBHOOK_SECRET is empty: anyone could send deliveries"
            raise ConfigurationError("reading the webhook secret", reason, "Set the secret of the App's webhook.")
        self._secret = None if secret is None else secret.encode()

    async def handle(self, request: web.Request) -> web.Response:
        """Respond with 202 once the delivery is stored. Raises DeliveryError, and the errors of `receive` about the payload.

        A refusal leaves the rest of the body unread: the connection has to be closed after it.
        """
        if self._secret is None:
            raise DeliveryError("no GitHub App is configured", status=HTTPStatus.SERVICE_UNAVAILABLE)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        if (request.content_length or 0) > self._max_bytes:
            raise self._too_big()
        given = signature_in(request.headers.get("X-Hub-Signature-256"))
        async with self._bodies.open(self._secret) as body:
            await self._read(request, body, deadline)
            compare(body.hexdigest(), given)
            id_ = await self._in_time(self._accept(request, body, deadline), deadline)
        return web.json_response({"status": "accepted", "delivery_id": id_}, status=HTTPStatus.ACCEPTED)

    async def _read(self, request: web.Request, body: UnverifiedBody, deadline: float) -> None:
        """Read the body with limits of our own: aiohttp has no time limit, and `client_max_size` is for other requests."""
        try:
            async with asyncio.timeout_at(deadline):
                async for chunk in request.content.iter_any():
                    if body.size + len(chunk) > self._max_bytes:
                        raise self._too_big()
                    await body.write(chunk)
        except TimeoutError as error:
            reason = f"its body did not arrive within {self._timeout_s:g} s"
            raise DeliveryError(reason, status=HTTPStatus.REQUEST_TIMEOUT) from error
        except UnavailableError as error:
            raise DeliveryError(error.reason, status=HTTPStatus.SERVICE_UNAVAILABLE) from error
        except (web.RequestPayloadError, aiohttp.ClientError, ConnectionError) as error:
            raise DeliveryError("its body ended early or is damaged", status=HTTPStatus.BAD_REQUEST) from error

    def _too_big(self) -> DeliveryError:
        return DeliveryError(f"it is larger than {self._max_bytes:,} bytes", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    async def _accept(self, request: web.Request, body: UnverifiedBody, deadline: float) -> str:
        """Store a verified delivery, trying again while its time lasts; returns its id."""
        async with self._large if body.size > IN_MEMORY else nullcontext():
            delivery = _delivery(request, await body.content())
            pause_s, clock = RETRY_S, asyncio.get_running_loop().time
            while True:
                try:
                    await self._receive(delivery)
                except UnavailableError:
                    if clock() + pause_s >= deadline:
                        raise
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, MAX_RETRY_S)
                else:
                    return delivery.id

    async def _in_time(self, work: Coroutine[None, None, str], deadline: float) -> str:
        """The result of `work`, or DeliveryError (503) at the deadline, without waiting for the end of what was cancelled.

        Cancelling a query of a database that hangs takes as long as the query. What it still stores afterwards does no harm: the delivery
        is sent again with the same id.
        """
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait({task}, timeout=deadline - asyncio.get_running_loop().time())
        finally:
            task.cancel()
        if not task.done():
            raise DeliveryError("storing it took too long", status=HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            return task.result()
        except (UnavailableError, TimeoutError) as error:
            reason = error.reason if isinstance(error, UnavailableError) else "storing it took too long"
            raise DeliveryError(reason, status=HTTPStatus.SERVICE_UNAVAILABLE) from error

    def _ended(self, task: asyncio.Task[str]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else may retrieve it


def _delivery(request: web.Request, body: bytes) -> Delivery:
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
        body=_json_object(request.content_type, body),
        hook_id=headers.get("X-GitHub-Hook-ID"),
        target_type=headers.get("X-GitHub-Hook-Installation-Target-Type"),
        target_id=headers.get("X-GitHub-Hook-Installation-Target-ID"),
    )


def _json_object(content_type: str, body: bytes) -> bytes:
    """Check that a body is one JSON object. Its values are parsed later, by the event's own type."""
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
