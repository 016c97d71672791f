"""The service itself: GitHub's deliveries, the App's webhook, health and metrics."""

from __future__ import annotations

from aiohttp.typedefs import Handler

from app.core.app_health import credentials_error
from app.core.errors import GoneError, RejectedError
from app.web import health, metrics
from app.web.api import settings_schema
from app.web.api.call import Call
from app.web.api.operation import NOT_MODIFIED, NoQuery, Operation, plain
from app.web.api.schemas.service import WebhookView
from app.web.http.problems import HttpProblem
from app.web.keys import SETUP

TEXT = {"text/plain": {"schema": {"type": "string"}}}


async def set_webhook(call: Call[NoQuery, None]) -> WebhookView:
    """Set the webhook's address and secret on GitHub to those of this service."""
    try:
        hook, deliveries = await call.request.app[SETUP].set_webhook()
    except (GoneError, RejectedError) as error:
        cause = credentials_error(error)
        raise HttpProblem(502, error.title, f"While setting the App's webhook: {cause.reason.rstrip('.')}. {cause.next_step}") from error
    return WebhookView.of(hook, deliveries)


def _own() -> tuple[Operation, ...]:
    return (
        Operation(
            method="POST",
            path="/api/webhooks/github/setup",
            id="set_up_webhook",
            handler=set_webhook,
            summary="Set the address and secret of the App's webhook on GitHub",
            tag="service",
            response=WebhookView,
            problems={502: "GitHub refused the request"},
            guard="service",
        ),
        Operation(
            method="GET",
            path="/livez",
            id="get_liveness",
            handler=plain(health.livez),
            summary="Check liveness: the process answers",
            tag="service",
            query=None,
            media={"text/plain": "`ok`"},
            guard="none",
        ),
        Operation(
            method="GET",
            path="/readyz",
            id="get_readiness",
            handler=plain(health.Readiness().show),
            summary="Check readiness: one line for each dependency; 503 if one does not work",
            tag="service",
            query=None,
            media={"text/plain": "A line for each dependency: `ok: NAME: DETAIL`"},
            guard="none",
            extra={"responses": {"503": {"description": "At least one line is `not ok: NAME: REASON`", "content": TEXT}}},
        ),
        Operation(
            method="GET",
            path="/metrics",
            id="get_metrics",
            handler=plain(metrics.MetricsHandler().show),
            summary="Get metrics for Prometheus",
            tag="service",
            query=None,
            media={"text/plain": "Prometheus' text format", "application/openmetrics-text": "OpenMetrics, if `Accept` names it"},
            guard="none",
        ),
        Operation(
            method="GET",
            path="/freshet.schema.json",
            id="get_settings_schema",
            handler=plain(settings_schema.show),
            summary="Get the JSON Schema of `.github/freshet.yml`, for editors",
            tag="service",
            query=None,
            media={"application/schema+json": "A JSON Schema"},
            empty={304: NOT_MODIFIED},
            guard="none",
        ),
    )


def operations(webhook: Handler) -> tuple[Operation, ...]:
    """All operations; `webhook` handles GitHub's deliveries."""
    return (
        Operation(
            method="POST",
            path="/api/webhooks/github",
            id="receive_delivery",
            handler=plain(metrics.counted(webhook)),
            summary="Receive a delivery from GitHub: 202 once it is stored; a repeated delivery id has no further effect",
            tag="service",
            query=None,
            status=202,
            media={"application/json": '`{"status": "accepted", "delivery_id": "…"}`'},
            problems={
                400: "The body is not JSON, or a header is missing",
                401: "`X-Hub-Signature-256` is missing or wrong",
                408: "The body arrived too slowly",
                413: "The body is over 25 MiB",
            },
            guard="none",
            extra={
                "security": [{"signature": []}],
                "parameters": [
                    _header("X-GitHub-Event", "Name of the event"),
                    _header("X-GitHub-Delivery", "Id of the delivery; the same when it is sent again"),
                ],
                "requestBody": {
                    "description": "The event: https://docs.github.com/en/webhooks/webhook-events-and-payloads",
                    "required": True,
                    "content": {"application/json": {"schema": {"type": "object"}, "example": {"zen": "Keep it logically awesome."}}},
                },
            },
        ),
        *_own(),
    )


def _header(name: str, description: str) -> dict[str, object]:
    return {"name": name, "in": "header", "required": True, "description": description, "schema": {"type": "string", "minLength": 1}}
