"""The table of contents: every address that answers."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from app.web import lineage, openapi, pages, setup
from app.web.api import connections, extractions, notifications, service
from app.web.operations import API, Operation, plain, route


def operations(webhook: Handler) -> tuple[Operation, ...]:
    """Return all that programs may ask; `webhook` takes GitHub's deliveries."""
    return (
        *service.operations(webhook),
        *connections.OPERATIONS,
        Operation(
            method="GET",
            path=f"{API}/connections/{{id}}/lineage",
            handler=plain(lineage.Lineage().show),
            summary="The lineage, whole or in part",
            tag="lineage",
            query=None,
            media={"application/json": "The lineage"},
            right="read",
        ),
        *extractions.OPERATIONS,
        *notifications.OPERATIONS,
    )


def add(web_app: web.Application, webhook: Handler) -> None:
    """Add all routes."""
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
