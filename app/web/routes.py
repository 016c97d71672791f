"""The table of contents: every path of the web server."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from app.web.api import openapi
from app.web.api.comparisons import COMPARISONS, Comparisons
from app.web.api.layout_cache import LAYOUTS, LayoutCache
from app.web.api.operation import route
from app.web.api.operations import operations
from app.web.auth import rate_limits
from app.web.keys import PREFIX
from app.web.mcp import endpoint as mcp
from app.web.pages import assets, connection, explorer, extraction, node, repositories, search, setup, sign_in
from app.web.pages import operations as operations_page


def add(web_app: web.Application, webhook: Handler) -> None:
    """Add all routes. Without rate limits unless `rate_limits.set_up` was called before."""
    if rate_limits.LIMITS not in web_app:
        rate_limits.set_up(web_app, rate_limits.RateLimiter(0))
    web_app[LAYOUTS] = LayoutCache()
    web_app[COMPARISONS] = Comparisons()
    all_operations = operations(webhook)
    prefix = web_app.get(PREFIX, "")
    document = openapi.Document(all_operations, prefix)
    routes = [
        *(route(operation) for operation in all_operations),
        web.get("/openapi.json", document.show),
        web.get("/docs", document.page),
        web.post(mcp.PATH, mcp.handle),
        web.get(mcp.METADATA, mcp.metadata),
        web.get("/", repositories.show),
        web.get("/sign-in", sign_in.start),
        web.get("/sign-in/callback", sign_in.callback),
        web.get("/sign-out", sign_in.sign_out_page),
        web.post("/sign-out", sign_in.sign_out),
        web.get("/search", search.show),
        web.get("/setup", setup.show),
        web.get("/setup/callback", setup.callback),
        web.get("/setup/steps", setup.steps),
        web.get("/connections/{id}", connection.show),
        web.post("/connections/{id}/extract", connection.extract),
        web.get("/connections/{id}/lineage", explorer.show),
        web.get(node.PATH, node.show),
        web.get("/extractions/{id}", extraction.extraction),
        web.get("/extractions/{id}/events", extraction.events),
        web.post("/extractions/{id}/cancel", extraction.cancel),
        web.post("/extractions/{id}/retry", extraction.retry),
        web.get("/operations", operations_page.show),
        web.get("/operations/figures", operations_page.fragment),
        web.get("/operations/extractions", operations_page.extractions),
        web.get("/operations/deliveries", operations_page.deliveries),
        web.get("/operations/check-runs", operations_page.check_runs),
        web.get("/operations/sessions", operations_page.signed_in),
        web.get(assets.PATH, assets.show),
    ]
    web_app.add_routes(routes)
    if prefix:
        # A proxy may pass on the prefix or remove it.
        web_app.add_routes([web.RouteDef(one.method, prefix + one.path, one.handler, one.kwargs) for one in routes])
        web_app.add_routes([web.get(prefix, repositories.show)])
