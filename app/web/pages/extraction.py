"""The pages of extractions. They need no sign-in: the address is a random UUID that only the check run contains."""

from __future__ import annotations

from importlib import resources
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web
from markupsafe import Markup

from app.core.models.connections import Connection
from app.core.models.extractions import ENDED, Extraction
from app.core.plurals import count, plural
from app.lineage.resource_types import label
from app.reports import check_run, column_lineage, impact_base, placeholders, summary
from app.reports.impact_lists import class_label, reached_counts
from app.reports.markdown import plain
from app.web.auth.rate_limits import address_of
from app.web.http import requests, sse
from app.web.http.problems import not_found
from app.web.keys import STORE

ADDRESS_SHARE = 0.5
"""How much of all open streams one address can have: behind a proxy, all people have the same."""
ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}


def set_up(web_app: web.Application) -> None:
    """Set up Jinja for this application."""
    environment = aiohttp_jinja2.setup(
        web_app, loader=jinja2.PackageLoader("app.web.pages"), autoescape=True, undefined=jinja2.Undefined, finalize=_without_tricks
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {"prose": prose, "counted": count, "label": lambda kind: plural(label(kind)), "class_label": class_label}


def prose(text: str) -> Markup:
    """A sentence as HTML: text between backticks becomes code, everything else is escaped.

    >>> str(prose("the profile `<shop>` & more"))
    'the profile <code>&lt;shop&gt;</code> &amp; more'
    """
    parts = plain(text).split("`")
    shown = (Markup("<code>{}</code>").format(part) if number % 2 else Markup("{}").format(part) for number, part in enumerate(parts))
    return Markup().join(shown)


async def index(request: web.Request) -> web.Response:
    """The start page: what this service is, and where to go."""
    return aiohttp_jinja2.render_template("index.html", request, {})


async def extraction(request: web.Request) -> web.Response:
    """The page of one extraction, live while it runs."""
    found = await requests.extraction(request)
    connection = await request.app[STORE].connections.get(found.connection_id)
    context = {**_context(found), "fragment": _fragment(request, found), "stale": stale_warning(found, connection)}
    return aiohttp_jinja2.render_template("extraction.html", request, context)


async def events(request: web.Request) -> web.StreamResponse:
    """Server-sent events with the changing part of the page."""
    found = await requests.extraction(request)
    audience = sse.Audience(address_of(request), ADDRESS_SHARE)
    return await sse.stream(request, found.id, "page", lambda changed: _fragment(request, changed), audience)


async def asset(request: web.Request) -> web.Response:
    """The stylesheet and the script."""
    name = request.match_info["name"]
    if name not in ASSETS:
        raise not_found("file")
    body = resources.files("app.web.pages").joinpath("assets", name).read_bytes()
    return web.Response(body=body, content_type=ASSETS[name], charset="utf-8", headers={"Cache-Control": "public, max-age=300"})


def stale_warning(found: Extraction, connection: Connection | None) -> str | None:
    """Why the connection's lineage is stale, in sentences; None if it is not, or if this extraction is of another branch."""
    if connection is None or not connection.stale or connection.lineage_sha is None or found.branch != connection.followed_branch:
        return None
    head = (connection.head_sha or "")[:7]
    return f"The lineage is that of commit `{connection.lineage_sha[:7]}`; the newest commit is `{head}`. {connection.stale_reason}."


def _without_tricks(value: object) -> object:
    """Remove from every text on a page the characters that hide or reorder text."""
    return plain(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def _fragment(request: web.Request, found: Extraction) -> str:
    return aiohttp_jinja2.render_string("_extraction.html", request, _context(found))


def _context(found: Extraction) -> dict[str, Any]:
    impact = found.result.get("impact") or {}
    return {
        "extraction": found,
        "headline": check_run.headline(found),
        "conclusion": check_run.conclusion_of(found),
        "stages": summary.stage_rows(found),
        "remarks": summary.remarks(found),
        "columns_line": column_lineage.line(found.result),
        "impact": impact,
        "compared": impact_base.sentence(impact, None) if impact else "",
        "compares": "totals" in impact,
        "caveat": impact_base.caveat(impact) if "totals" in impact else "",
        "reached": reached_counts(impact) if "totals" in impact else "",
        "to_paste": placeholders.settings_snippet(found.result.get("placeholders", ())),
        "live": found.status not in ENDED,
    }
