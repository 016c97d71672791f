"""The table of contents: every address that answers."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from app.web import api, health, lineage, metrics, pages, schema, setup
from app.web.keys import TOKENS
from app.web.tokens import require

API = "/api/metadata"


def add(web_app: web.Application, webhook: Handler) -> None:
    """Add all routes; `webhook` takes GitHub's deliveries."""
    web_app.add_routes(
        [
            web.post("/api/webhooks/github", metrics.counted(webhook)),
            web.post("/api/webhooks/github/setup", _guarded(setup.set_webhook)),
            web.get(f"{API}/connections", _guarded(api.list_connections)),
            web.get(f"{API}/connections/{{id}}", _guarded(api.get_connection)),
            web.post(f"{API}/connections/{{id}}/extract", _guarded(api.extract)),
            web.get(f"{API}/connections/{{id}}/lineage", _guarded(lineage.Lineage().show)),
            web.get(f"{API}/connections/{{id}}/progress", _guarded(api.get_progress)),
            web.get(f"{API}/connections/{{id}}/extractions", _guarded(api.list_extractions)),
            web.get(f"{API}/extractions/active", _guarded(api.list_active)),
            web.get(f"{API}/extractions/{{id}}", _guarded(api.get_extraction)),
            web.get("/livez", health.livez),
            web.get("/readyz", health.readyz),
            web.get("/metrics", metrics.Page().show),
            web.get("/", pages.index),
            web.get("/freshet.schema.json", schema.show),
            web.get("/setup", setup.show),
            web.get("/setup/callback", setup.callback),
            web.get("/extractions/{id}", pages.extraction),
            web.get("/extractions/{id}/events", pages.events),
            web.get("/assets/{name}", pages.asset),
        ]
    )


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        require(request, request.app[TOKENS])
        return await handler(request)

    return guarded
