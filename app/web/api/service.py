"""The service itself: GitHub's deliveries, the App's webhook, and whether everything works."""

from __future__ import annotations

from aiohttp.typedefs import Handler

from app.checkup import refused
from app.errors import GoneError, RejectedError
from app.web import health, metrics, schema
from app.web.call import Call
from app.web.keys import SETUP
from app.web.models.service import WebhookView
from app.web.operations import NoQuery, Operation, plain
from app.web.problems import Problem


async def set_webhook(call: Call[NoQuery, None]) -> WebhookView:
    """Make GitHub's side of the webhook what ours is."""
    try:
        hook, deliveries = await call.request.app[SETUP].set_webhook()
    except (GoneError, RejectedError) as error:
        told = refused(error)
        raise Problem(502, error.title, f"While setting the App's webhook: {told.reason.rstrip('.')}. {told.next_step}") from error
    return WebhookView.of(hook, deliveries)


OPERATIONS = (
    Operation(
        method="POST",
        path="/api/webhooks/github/setup",
        handler=set_webhook,
        summary="Set the address and the secret of the App's webhook on GitHub",
        tag="service",
        answer=WebhookView,
        problems={502: "GitHub refuses"},
        guard="service",
    ),
    Operation(
        method="GET",
        path="/livez",
        handler=plain(health.livez),
        summary="The process answers",
        tag="service",
        query=None,
        media={"text/plain": "`ok`"},
        guard="none",
    ),
    Operation(
        method="GET",
        path="/readyz",
        handler=plain(health.readyz),
        summary="One line for each thing that the service depends on; 503 when one does not work",
        tag="service",
        query=None,
        media={"text/plain": "One line each"},
        guard="none",
        extra={"responses": {"503": {"description": "One does not work", "content": {"text/plain": {"schema": {"type": "string"}}}}}},
    ),
    Operation(
        method="GET",
        path="/metrics",
        handler=plain(metrics.Page().show),
        summary="Numbers for Prometheus",
        tag="service",
        query=None,
        media={"text/plain": "Prometheus' text format", "application/openmetrics-text": "OpenMetrics, where `Accept` asks for it"},
        guard="none",
    ),
    Operation(
        method="GET",
        path="/freshet.schema.json",
        handler=plain(schema.show),
        summary="The JSON Schema of `.github/freshet.yml`, for editors",
        tag="service",
        query=None,
        media={"application/schema+json": "A JSON Schema"},
        empty={304: "`If-None-Match` names what there is"},
        guard="none",
    ),
)


def operations(webhook: Handler) -> tuple[Operation, ...]:
    """Return the operations, the one that takes GitHub's deliveries among them: `webhook` does it."""
    return (
        Operation(
            method="POST",
            path="/api/webhooks/github",
            handler=plain(metrics.counted(webhook)),
            summary="Take a delivery of GitHub's: 202 once it is durable; one that comes twice has one effect",
            tag="service",
            query=None,
            status=202,
            media={"text/plain": "Nothing that matters"},
            problems={
                400: "Not JSON, or a header is missing",
                401: "`X-Hub-Signature-256` is missing or does not fit",
                408: "The body came too slowly",
                413: "More than 25 MiB",
            },
            guard="none",
            extra={
                "security": [{"signature": []}],
                "parameters": [_header("X-GitHub-Event", "The event's name"), _header("X-GitHub-Delivery", "The delivery's id")],
                "requestBody": {
                    "description": "The event, as https://docs.github.com/en/webhooks/webhook-events-and-payloads describes it",
                    "required": True,
                    "content": {"application/json": {"schema": {"type": "object"}, "example": {"zen": "Keep it logically awesome."}}},
                },
            },
        ),
        *OPERATIONS,
    )


def _header(name: str, what: str) -> dict[str, object]:
    return {"name": name, "in": "header", "required": True, "description": what, "schema": {"type": "string", "minLength": 1}}
