"""The App's webhook, in responses."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from app.core.app_health import DeliverySummary, Hook
from app.web.api.schemas.common import Model, Time, example

HIDDEN = "********"
"""Shown in place of a secret."""


class HookView(Model):
    """The webhook's configuration on GitHub: https://docs.github.com/en/rest/apps/webhooks."""

    url: Annotated[str, Field(description="Address to which GitHub sends deliveries")]
    content_type: Annotated[str, Field(description="`json` or `form`")]
    insecure_ssl: Annotated[str, Field(description="`0`: GitHub verifies certificates; `1`: it does not")]
    secret: Annotated[str | None, Field(description="Masked; null: GitHub has no secret")]


class FailureView(Model):
    """A failed delivery."""

    guid: Annotated[str, Field(description="GitHub's id of the delivery (`X-GitHub-Delivery`)")]
    event: Annotated[str, Field(description="GitHub's name of the event")]
    status_code: Annotated[int, Field(description="HTTP status that GitHub received, or GitHub's own code when there was no response")]
    delivered_at: Annotated[Time, Field(description="When GitHub sent it")]


class DeliveriesView(Model):
    """The outcome of recent deliveries, as GitHub lists them."""

    total: Annotated[int, Field(description="Number of deliveries")]
    ok: Annotated[int, Field(description="Answered with a 2xx status")]
    failed: Annotated[int, Field(description="All others")]
    last_delivered_at: Annotated[Time | None, Field(description="When GitHub sent the newest one; null: there is none")]
    failures: Annotated[list[FailureView], Field(description="The newest failures, newest first, at most 10")]


class WebhookView(Model):
    """The App's webhook, and the outcome of recent deliveries."""

    model_config = example(
        webhook={"url": "https://freshet.example.com/api/webhooks/github", "content_type": "json", "insecure_ssl": "0", "secret": HIDDEN},
        deliveries={"total": 2, "ok": 2, "failed": 0, "last_delivered_at": "2026-11-02T09:00:00Z", "failures": []},
    )

    webhook: Annotated[HookView, Field(description="Its configuration on GitHub")]
    deliveries: Annotated[DeliveriesView, Field(description="The outcome of recent deliveries")]

    @classmethod
    def of(cls, hook: Hook, deliveries: DeliverySummary) -> Self:
        """From GitHub's answers."""
        webhook = HookView(
            url=hook.url, content_type=hook.content_type, insecure_ssl=hook.insecure_ssl, secret=HIDDEN if hook.has_secret else None
        )
        failures = [
            FailureView(guid=one.guid, event=one.event, status_code=one.status_code, delivered_at=one.delivered_at)
            for one in deliveries.failures
        ]
        summary = DeliveriesView(
            total=deliveries.total,
            ok=deliveries.ok,
            failed=deliveries.failed,
            last_delivered_at=deliveries.last_delivered_at,
            failures=failures,
        )
        return cls(webhook=webhook, deliveries=summary)
