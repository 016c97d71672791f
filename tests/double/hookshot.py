"""The sender of webhooks: signs and sends deliveries, records every attempt, and can repeat it.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
import uuid
from collections.abc import Coroutine, Iterable
from dataclasses import replace

import aiohttp

from tests.double.events import Event
from tests.double.state import Delivery, Json, State, timestamp

TIMEOUT_S = 10.0


def sign(secret: str, body: bytes, algorithm: str) -> str:
    """A signature header: ``sha256=…`` or ``sha1=…``."""
    return f"{algorithm}={hmac.new(secret.encode(), body, algorithm).hexdigest()}"


class Hookshot:
    """Delivers events to the App's webhook. Nothing is sent without a URL or a subscription to the event."""

    def __init__(self, state: State, session: aiohttp.ClientSession) -> None:
        self._state = state
        self._session = session
        self._background: set[asyncio.Task[object]] = set()

    async def deliver(self, *events: Event) -> None:
        """Deliver events one after the other; returns after the last response or timeout."""
        for event in events:
            if self._state.app.webhook_url and event.reaches(self._state.app):
                await self._attempt(self._new_delivery(event, self._state.app.webhook_url))

    def deliver_later(self, events: Iterable[Event]) -> None:
        """Deliver events in the background, as GitHub does for those that a request causes."""
        self._start(self.deliver(*events))

    def redeliver_later(self, delivery: Delivery) -> None:
        """Send a delivery again in the background."""
        self._start(self.redeliver(delivery))

    def _start(self, work: Coroutine[None, None, object]) -> None:
        """Run work in the background, tracked for :meth:`settle` and :meth:`close`."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def settle(self) -> None:
        """Wait for background deliveries."""
        while self._background:
            await asyncio.gather(*self._background)

    async def close(self) -> None:
        """Cancel background deliveries."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def redeliver(self, delivery: Delivery) -> Delivery:
        """Send a delivery again with the same X-GitHub-Delivery, to the webhook's current URL."""
        again = replace(
            delivery,
            id=next(self._state.ids),
            url=self._state.app.webhook_url or delivery.url,
            delivered_at=self._state.now(),
            redelivery=True,
            status="pending",
            status_code=0,
            response_headers={},
            response_body="",
        )
        await self._attempt(again)
        return again

    def _new_delivery(self, event: Event, url: str) -> Delivery:
        """A delivery that has not been attempted."""
        return Delivery(
            id=next(self._state.ids),
            guid=str(uuid.uuid4()),
            event=event.name,
            action=event.payload.get("action"),
            payload=event.payload,
            url=url,
            delivered_at=self._state.now(),
            installation_id=event.installation_id,
            repository_id=event.repository_id,
        )

    async def _attempt(self, delivery: Delivery) -> None:
        """Post a delivery once and record the outcome."""
        self._state.deliveries.append(delivery)
        body = json.dumps(delivery.payload, separators=(",", ":")).encode()
        delivery.request_headers = self._headers(delivery, body)
        delivery.sent_s = time.monotonic()
        try:
            await self._post(delivery, body)
        except TimeoutError:
            delivery.status, delivery.status_code = "timed out", 504
        except (aiohttp.ClientError, OSError):
            delivery.status, delivery.status_code = "failed to connect to host", 502
        delivery.duration_s = round(time.monotonic() - delivery.sent_s, 3)

    async def _post(self, delivery: Delivery, body: bytes) -> None:
        """Post a body; GitHub does not follow redirects."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with self._session.post(
            delivery.url, data=body, headers=delivery.request_headers, timeout=timeout, allow_redirects=False
        ) as response:
            delivery.response_body = await response.text(errors="replace")
            delivery.response_headers = dict(response.headers)
            delivery.status_code = response.status
            delivery.status = "OK" if response.ok else f"Invalid HTTP Response: {response.status}"

    def _headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        """The headers of a delivery; signed if there is a secret."""
        app = self._state.app
        headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/0d0ub1e",
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(app.hook_id),
            "X-GitHub-Hook-Installation-Target-ID": str(app.id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
        }
        if app.webhook_secret:
            headers["X-Hub-Signature"] = sign(app.webhook_secret, body, "sha1")
            headers["X-Hub-Signature-256"] = sign(app.webhook_secret, body, "sha256")
        return headers


def delivery_item(delivery: Delivery) -> Json:
    """A delivery attempt as in GitHub's list: https://docs.github.com/en/rest/apps/webhooks."""
    return {
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": timestamp(delivery.delivered_at),
        "redelivery": delivery.redelivery,
        "duration": delivery.duration_s,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation_id,
        "repository_id": delivery.repository_id,
        "throttled_at": None,
    }


def delivery_detail(delivery: Delivery) -> Json:
    """A delivery attempt with its request and response."""
    return {
        **delivery_item(delivery),
        "url": delivery.url,
        "request": {"headers": delivery.request_headers, "payload": delivery.payload},
        "response": {"headers": delivery.response_headers, "payload": delivery.response_body},
    }
