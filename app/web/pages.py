"""The plain pages. The address of an extraction's page is a secret of its own: a random UUID that only its check run shows."""

from __future__ import annotations

from importlib import resources
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web

from app import report
from app.jobs import ENDED, Extraction
from app.web import requests, sse
from app.web.problems import not_found

ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}


def set_up(web_app: web.Application) -> None:
    """Prepare the templates."""
    environment = aiohttp_jinja2.setup(web_app, loader=jinja2.PackageLoader("app.web"), autoescape=True, undefined=jinja2.Undefined)
    environment.trim_blocks = environment.lstrip_blocks = True


async def index(request: web.Request) -> web.Response:
    """Say what this is."""
    return aiohttp_jinja2.render_template("index.html", request, {})


async def extraction(request: web.Request) -> web.Response:
    """Show one extraction, live while it runs."""
    found = await requests.extraction(request)
    context = {**_context(found), "fragment": _fragment(request, found)}
    return aiohttp_jinja2.render_template("extraction.html", request, context)


async def events(request: web.Request) -> web.StreamResponse:
    """Send the changing part of the page whenever it changes."""
    found = await requests.extraction(request)
    return await sse.follow(request, found.id, lambda changed: _fragment(request, changed))


async def asset(request: web.Request) -> web.Response:
    """Our own CSS and JavaScript."""
    name = request.match_info["name"]
    if name not in ASSETS:
        raise not_found("file")
    body = resources.files("app.web").joinpath("assets", name).read_bytes()
    return web.Response(body=body, content_type=ASSETS[name], charset="utf-8", headers={"Cache-Control": "public, max-age=300"})


def _fragment(request: web.Request, found: Extraction) -> str:
    return aiohttp_jinja2.render_string("_extraction.html", request, _context(found))


def _context(found: Extraction) -> dict[str, Any]:
    return {
        "extraction": found,
        "headline": report.headline(found),
        "conclusion": report.conclusion_of(found),
        "stages": report.stage_rows(found),
        "live": found.status not in ENDED,
    }
