"""Around every request: errors become problem documents, and one line goes to the log (without the query, which may hold secrets)."""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from app import log, metrics
from app.errors import FreshetError, GoneError, NotConfiguredError, SuspendedError, UnavailableError, UnknownTokenError
from app.web.problems import Problem, of_status, unknown_token

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'",
}
STATUSES = {GoneError: 404, SuspendedError: 409, NotConfiguredError: 503}
"""Of errors that know nothing of HTTP."""

logger = log.get(__name__)


@web.middleware
async def access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log method, path, status and milliseconds, and measure them."""
    began = time.perf_counter()
    status, stream = 500, False
    try:
        response = await handler(request)
        status, stream = response.status, response.content_type == "text/event-stream"
        return response
    finally:
        took_s = time.perf_counter() - began
        quiet = request.path in ("/livez", "/readyz", "/metrics")
        write = logger.debug if quiet else logger.info
        write("request", method=request.method, path=request.path, status=status, ms=round(1000 * took_s, 1))
        resource = request.match_info.route.resource
        if not stream:
            metrics.HTTP_SECONDS.labels(resource.canonical if resource else "none", f"{status // 100}xx").observe(took_s)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever is raised into a problem document: nobody outside sees a traceback."""
    try:
        response = await handler(request)
    except Problem as problem:
        response = problem.response()
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - a redirect
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        response = of_status(error.status, (error.text or "") if error.status == 413 else "", allow).response()  # noqa: PLR2004
    except FreshetError as error:
        response = problem_of(error).response()
    except Exception:
        logger.exception("request crashed", path=request.path)
        response = of_status(500, "The cause is in the service's log.").response()
    if not response.prepared:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    return response


def problem_of(error: FreshetError) -> Problem:
    """Return what an error of ours is to somebody outside."""
    if isinstance(error, UnavailableError):
        headers = {"Retry-After": str(max(1, round(error.retry_after_s or 5)))}
        logger.warning("request refused", reason=str(error))
        return Problem(503, error.title, error.user_text, headers=headers)
    if isinstance(error, UnknownTokenError):
        return unknown_token()
    status = getattr(error, "status", None) or next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
    if status >= 500:  # noqa: PLR2004
        logger.warning("request failed", reason=str(error))
    return Problem(status, error.title, error.user_text)
