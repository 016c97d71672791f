"""The frame of every page: Jinja, addresses, navigation, headers, and the pages that say what went wrong.

Pages extend `base.html`; they contain no inline code, and nothing of another origin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp_jinja2
import jinja2
from aiohttp import web
from markupsafe import Markup

from app.core.ages import ago
from app.core.plurals import count, plural
from app.lineage.resource_types import label
from app.reports.impact_lists import class_label
from app.reports.markdown import plain
from app.web.auth import visits
from app.web.auth.flows import local_path
from app.web.auth.sessions import SESSIONS
from app.web.http.addresses import path_of, prefers_html, url_for, without_prefix
from app.web.http.problems import HttpProblem
from app.web.keys import ERROR_PAGE, PREFIX, SETUP
from app.web.pages import assets
from app.web.pages.visitor import VISITOR, can_sign_in

__all__ = ["error_page", "fragment", "path_of", "prose", "render", "set_up", "url_for"]

NAVIGATION = (("/docs", "API"), ("/readyz", "Service status"))
"""Paths and names, in order."""
OPERATORS_ONLY = (("/operations", "Operations"),)
POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' blob:",
    "worker-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
"""https://www.w3.org/TR/CSP3/. Blobs are pictures that a script of ours has drawn."""
OPEN = "Everybody on this host can read these pages, because sign-in is not configured: set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET."
_WORDS = re.compile(r"(?<=[._])(?=[^._])")
PROGRAMS = ("/api", "/mcp")
"""Below these paths, browsers get problem documents as well."""


def set_up(web_app: web.Application, public_url: str = "") -> None:
    """Set up the pages of this application; the path of `public_url` becomes the prefix of all addresses."""
    web_app[PREFIX], web_app[ERROR_PAGE] = urlsplit(public_url).path.rstrip("/"), error_page
    environment = aiohttp_jinja2.setup(
        web_app, loader=jinja2.PackageLoader("app.web.pages"), autoescape=True, undefined=jinja2.Undefined, finalize=_without_tricks
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {
        "prose": prose,
        "breakable": breakable,
        "quoted": lambda text: quote(text.encode("utf-8", "replace")),
        "counted": count,
        "kind": label,
        "ago": ago,
        "label": lambda kind: plural(label(kind)),
        "class_label": class_label,
    }
    root = web_app[PREFIX]
    environment.globals |= {
        "url": lambda path: root + path,
        "asset": lambda name: root + assets.path(name),
        "root": root,
    }


def render(request: web.Request, template: str, context: Mapping[str, Any], *, status: int = 200, form_action: str = "") -> web.Response:
    """A page. Forms lead to our own addresses, from there to GitHub if somebody has to sign in first, and to those of `form_action`."""
    keeper, visitor = request.app.get(SESSIONS), request.get(VISITOR)
    known = {
        "visitor": visitor,
        "path": path_of(request),
        "can_sign_in": can_sign_in(request),
        "has_cookie": keeper is not None and keeper.cookie in request.cookies,
        "banner": OPEN if visits.is_open(request) else "",
        "navigation": (*NAVIGATION, *(OPERATORS_ONLY if visitor and visitor.is_operator else ())),
    }
    response = aiohttp_jinja2.render_template(template, request, {**known, **context}, status=status)
    sign_in = request.app[SETUP].server_url if known["can_sign_in"] and SETUP in request.app else ""
    policy = {**POLICY, "form-action": " ".join(dict.fromkeys(filter(None, (POLICY["form-action"], sign_in, form_action))))}
    response.headers["Content-Security-Policy"] = "; ".join(f"{name} {value}" for name, value in policy.items())
    response.headers["Cache-Control"] = "no-store"
    # Without their origin, forms that we send to ourselves would look like those of other sites.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def fragment(request: web.Request, template: str, context: Mapping[str, Any]) -> str:
    """A part of a page."""
    return aiohttp_jinja2.render_string(template, request, context)


def error_page(request: web.Request, problem: HttpProblem) -> web.Response | None:
    """The problem as a page, for browsers; None for programs, which get the document."""
    path = path_of(request)
    if not prefers_html(request) or f"{path}/".startswith(tuple(f"{one}/" for one in PROGRAMS)):
        return None
    context = {"title": problem.title, "detail": problem.detail, "status": problem.status, "came_from": _came_from(request)}
    response = render(request, "error.html", context, status=problem.status)
    response.headers.update(problem.headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers.popall("WWW-Authenticate", None)
    return response


def _came_from(request: web.Request) -> str:
    """The path of the page of ours that a request came from, such as that of a button; `/` if it did not."""
    try:
        referer = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return "/"
    if referer.netloc != request.host:
        return "/"
    return local_path(without_prefix(request, f"{referer.path}?{referer.query}" if referer.query else referer.path))


def prose(text: str) -> Markup:
    """A sentence as HTML: text between backticks becomes code, everything else is escaped.

    >>> str(prose("the profile `<shop>` & more"))
    'the profile <code>&lt;shop&gt;</code> &amp; more'
    """
    parts = plain(text).split("`")
    shown = (Markup("<code>{}</code>").format(part) if number % 2 else Markup("{}").format(part) for number, part in enumerate(parts))
    return Markup().join(shown)


def breakable(text: str) -> Markup:
    """A name as HTML that may continue on the next line after its words, rather than in them.

    >>> str(breakable("orders.net_eur<"))
    'orders.<wbr>net_<wbr>eur&lt;'
    """
    return Markup("<wbr>").join(_WORDS.split(plain(text)))


def _without_tricks(value: object) -> object:
    """Remove from every text on a page the characters that hide or reorder text."""
    return plain(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value
