"""The App's webhook as it is shown."""

from __future__ import annotations

from typing import Self

from app.checkup import Deliveries, Hook
from app.web.models.common import Model, Time, example

HIDDEN = "********"
"""What is shown of a secret."""


class HookView(Model):
    """The webhook as GitHub has it."""

    url: str
    content_type: str
    insecure_ssl: str
    secret: str | None


class FailureView(Model):
    """A delivery that was not taken."""

    guid: str
    event: str
    status_code: int
    delivered_at: Time


class DeliveriesView(Model):
    """How recent deliveries went."""

    total: int
    ok: int
    failed: int
    last_delivered_at: Time | None
    failures: list[FailureView]


class WebhookView(Model):
    """The App's webhook, and how recent deliveries went."""

    model_config = example(
        webhook={"url": "https://freshet.example.com/api/webhooks/github", "content_type": "json", "insecure_ssl": "0", "secret": HIDDEN},
        deliveries={"total": 2, "ok": 2, "failed": 0, "last_delivered_at": "2026-11-02T09:00:00Z", "failures": []},
    )

    webhook: HookView
    deliveries: DeliveriesView

    @classmethod
    def of(cls, hook: Hook, deliveries: Deliveries) -> Self:
        """Show a webhook."""
        shown = HookView(
            url=hook.url, content_type=hook.content_type, insecure_ssl=hook.insecure_ssl, secret=HIDDEN if hook.has_secret else None
        )
        failures = [
            FailureView(guid=one.guid, event=one.event, status_code=one.status_code, delivered_at=one.delivered_at)
            for one in deliveries.failures
        ]
        told = DeliveriesView(
            total=deliveries.total,
            ok=deliveries.ok,
            failed=deliveries.failed,
            last_delivered_at=deliveries.last_delivered_at,
            failures=failures,
        )
        return cls(webhook=shown, deliveries=told)
