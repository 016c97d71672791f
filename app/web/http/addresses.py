"""Addresses of ours below the path of the public URL, which proxies remove or pass on, and who asks for them."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from app.web.http.negotiation import preferred
from app.web.http.problems import CONTENT_TYPE
from app.web.keys import PREFIX

OFFERED = (CONTENT_TYPE, "application/json", "text/html")


def url_for(request: web.Request, path: str) -> str:
    """The address of a path of ours, with the prefix under which a proxy shows the service."""
    return request.app.get(PREFIX, "") + path


def without_prefix(request: web.Request, address: str) -> str:
    """A path (with its query) without the prefix."""
    prefix, path = request.app.get(PREFIX, ""), address.partition("?")[0]
    return address.removeprefix(prefix) or "/" if prefix and f"{path}/".startswith(f"{prefix}/") else address


def path_of(request: web.Request) -> str:
    """The path of a request without the prefix."""
    return without_prefix(request, request.path)


def drop_empty(request: web.Request, path: str) -> None:
    """Raise a redirect to `path` with the parameters that say something: forms send what is empty, too."""
    kept = [(name, value) for name, value in request.query.items() if value]
    if len(kept) < len(request.query):
        raise web.HTTPSeeOther(url_for(request, f"{path}?{urlencode(kept)}"))


def prefers_html(request: web.Request) -> bool:
    """Whether a browser asks for a page; programs get problem documents."""
    return preferred(request.headers.get("Accept", "*/*"), OFFERED) == "text/html"
