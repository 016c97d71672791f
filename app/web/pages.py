"""The plain pages. The address of an extraction's page is a secret of its own: a random UUID that only its check run shows."""

from __future__ import annotations

from importlib import resources
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web
from markupsafe import Markup

from app.jobs import ENDED, Connection, Extraction
from app.web import requests, sse
from app.web.keys import STORE
from app.web.problems import not_found
from app.wording import report, summary
from app.wording.markdown import plain

ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}


def set_up(web_app: web.Application) -> None:
    """Prepare the templates."""
    environment = aiohttp_jinja2.setup(
        web_app, loader=jinja2.PackageLoader("app.web"), autoescape=True, undefined=jinja2.Undefined, finalize=_seen
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters["prose"] = prose


def prose(text: str) -> Markup:
    """Return a sentence as HTML: what stands between backticks is code, nothing else means anything.

    >>> str(prose("the profile `<shop>` & more"))
    'the profile <code>&lt;shop&gt;</code> &amp; more'
    """
    parts = plain(text).split("`")
    shown = (Markup("<code>{}</code>").format(part) if number % 2 else Markup("{}").format(part) for number, part in enumerate(parts))
    return Markup().join(shown)


async def index(request: web.Request) -> web.Response:
    """Say what this is."""
    return aiohttp_jinja2.render_template("index.html", request, {})


async def extraction(request: web.Request) -> web.Response:
    """Show one extraction, live while it runs."""
    found = await requests.extraction(request)
    connection = await request.app[STORE].connections.get(found.connection_id)
    context = {**_context(found), "fragment": _fragment(request, found), "stale": stale_words(found, connection)}
    return aiohttp_jinja2.render_template("extraction.html", request, context)


async def events(request: web.Request) -> web.StreamResponse:
    """Send the changing part of the page whenever it changes."""
    found = await requests.extraction(request)
    return await sse.follow(request, found.id, "page", lambda changed: _fragment(request, changed))


async def asset(request: web.Request) -> web.Response:
    """Our own CSS and JavaScript."""
    name = request.match_info["name"]
    if name not in ASSETS:
        raise not_found("file")
    body = resources.files("app.web").joinpath("assets", name).read_bytes()
    return web.Response(body=body, content_type=ASSETS[name], charset="utf-8", headers={"Cache-Control": "public, max-age=300"})


def stale_words(found: Extraction, connection: Connection | None) -> str | None:
    """Return that the connection's lineage is not of the newest commit, and why; None when it is, or when this is another branch."""
    if connection is None or not connection.stale or connection.lineage_sha is None or found.branch != connection.followed_branch:
        return None
    head = (connection.head_sha or "")[:7]
    return f"The lineage is of `{connection.lineage_sha[:7]}`; the newest commit is `{head}`. {connection.stale_reason}."


def _seen(value: object) -> object:
    """Take from every text on a page what hides or reorders it."""
    return plain(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def _fragment(request: web.Request, found: Extraction) -> str:
    return aiohttp_jinja2.render_string("_extraction.html", request, _context(found))


def _context(found: Extraction) -> dict[str, Any]:
    return {
        "extraction": found,
        "headline": report.headline(found),
        "conclusion": report.conclusion_of(found),
        "stages": summary.stage_rows(found),
        "remarks": summary.remarks_of(found),
        "to_paste": summary.lines_to_paste(found.result.get("placeholders", ())),
        "live": found.status not in ENDED,
    }
