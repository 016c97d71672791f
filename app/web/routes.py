"""The table of contents: every address that answers."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from app.web import limits, openapi, pages, setup
from app.web.api import badge, connections, diff, extractions, lineage, notifications, service, stats
from app.web.operations import Operation, route


def operations(webhook: Handler) -> tuple[Operation, ...]:
    """Return all that programs may ask; `webhook` takes GitHub's deliveries."""
    return (
        *service.operations(webhook),
        *connections.OPERATIONS,
        *lineage.operations(),
        *diff.operations(),
        *extractions.OPERATIONS,
        *notifications.OPERATIONS,
        *stats.OPERATIONS,
        *badge.OPERATIONS,
    )


def add(web_app: web.Application, webhook: Handler) -> None:
    """Add all routes; without limits, unless they are set up."""
    if limits.LIMITS not in web_app:
        limits.set_up(web_app, limits.Limits(0))
    offered = operations(webhook)
    document = openapi.Document(offered)
    web_app.add_routes(
        [
            *(route(operation) for operation in offered),
            web.get("/openapi.json", document.show),
            web.get("/docs", document.page),
            web.get("/", pages.index),
            web.get("/setup", setup.show),
            web.get("/setup/callback", setup.callback),
            web.get("/extractions/{id}", pages.extraction),
            web.get("/extractions/{id}/events", pages.events),
            web.get("/assets/{name}", pages.asset),
        ]
    )
