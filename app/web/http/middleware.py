"""Around every request: errors become problem documents, and each request is one log line (without the query, which may hold secrets)."""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from app.core import log, metrics
from app.core.errors import FreshetError, GoneError, NotConfiguredError, SuspendedError, UnavailableError, UnknownTokenError
from app.web.http.problems import HttpProblem, of_status, unknown_token
from app.web.keys import ERROR_PAGE

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'",
}
LOG_IDS = web.RequestKey("log_ids", dict[str, str])
"""What handlers note for the log line of a request."""
RETRY_AFTER_S = 5
STATUSES = {GoneError: 404, SuspendedError: 409, NotConfiguredError: 503}
"""HTTP statuses of errors that have none of their own."""

logger = log.get(__name__)


@web.middleware
async def access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log and measure each request."""
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
        ids = request.get(LOG_IDS, {})
        write("request", method=request.method, path=request.path, status=status, ms=round(1000 * took_s, 1), **ids)
        resource = request.match_info.route.resource
        if not stream:
            metrics.HTTP_SECONDS.labels(resource.canonical if resource else "none", f"{status // 100}xx").observe(took_s)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception into a problem document; tracebacks go to the log only."""
    try:
        _check_address(request)
        response = await handler(request)
    except HttpProblem as problem:
        response = _answer(request, problem)
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004 - a redirect
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        response = _answer(request, of_status(error.status, (error.text or "") if error.status == 413 else "", allow))  # noqa: PLR2004
    except FreshetError as error:
        response = _answer(request, problem_of(error))
    except Exception:
        logger.exception("request crashed", path=request.path)
        response = _answer(request, of_status(500, "This is a bug in Freshet. The operator finds the cause in the service's log."))
    if not response.prepared:
        if not request.content.is_eof():
            # What remains of the body would be taken for the next request, or be cut off in the middle of it.
            response.force_close()
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    return response


def _answer(request: web.Request, problem: HttpProblem) -> web.StreamResponse:
    """The problem as a page if a browser asks for one, otherwise as a document."""
    page = request.app[ERROR_PAGE](request, problem) if ERROR_PAGE in request.app else None
    return page or problem.response()


def _check_address(request: web.Request) -> None:
    """Raise HttpProblem 400 if the request target is not UTF-8: what cannot be encoded can neither be stored nor sent back."""
    try:
        request.raw_path.encode()
    except UnicodeEncodeError as error:
        raise of_status(400, "The path and the query must be UTF-8.") from error


def problem_of(error: FreshetError) -> HttpProblem:
    """The problem document of an error."""
    if isinstance(error, UnavailableError):
        headers = {"Retry-After": str(max(1, round(error.retry_after_s or RETRY_AFTER_S)))}
        logger.warning("request refused", reason=str(error))
        return HttpProblem(503, error.title, error.user_text, headers=headers)
    if isinstance(error, UnknownTokenError):
        return unknown_token()
    status = getattr(error, "status", None) or next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
    if status >= 500:  # noqa: PLR2004
        logger.warning("request failed", reason=str(error))
    later = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None  # noqa: PLR2004
    return HttpProblem(status, error.title, error.user_text, headers=later)
