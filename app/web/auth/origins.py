"""Where a browser's request comes from: cookies count only for requests of our own pages.

https://www.w3.org/TR/fetch-metadata/ and https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from app.web.http.problems import HttpProblem
from app.web.keys import PUBLIC_URL

SAFE = ("GET", "HEAD")


def check(request: web.Request) -> None:
    """Raise HttpProblem 403 if a request with our cookie was not caused by one of our pages, or by a person who follows a link."""
    if not (_is_own(request) if request.method not in SAFE else _may_read(request)):
        detail = "This request was caused by a page of another site, so your session does not count for it. Go to Freshet and try again."
        raise HttpProblem(403, "Request of another site", detail)


def is_same_origin(request: web.Request) -> bool:
    """Whether a browser says that one of our own pages caused the request; programs do not."""
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


def _is_own(request: web.Request) -> bool:
    """Browsers send `Sec-Fetch-Site` over https and on loopback addresses; `Origin` always, with anything that may change something."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site == "same-origin"
    return origin is not None and origin == own_origin(request)


def _may_read(request: web.Request) -> bool:
    """Other pages may lead here, but not load, embed or time what a person can read."""
    site = request.headers.get("Sec-Fetch-Site")
    return site in (None, "same-origin", "none") or (
        request.headers.get("Sec-Fetch-Mode") == "navigate" and request.headers.get("Sec-Fetch-Dest") == "document"
    )


def own_origin(request: web.Request) -> str:
    """The origin of our pages, as browsers write it."""
    parts = urlsplit(request.app.get(PUBLIC_URL, ""))
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port not in (None, default) else ''}"
