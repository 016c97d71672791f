"""The web application: all routes, and the middlewares that every request passes.

From the outside in: record the request, let faults happen, turn errors into GitHub's JSON, count the rate limit, answer 304.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable
from email.utils import format_datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.double import apps, check_runs, histories, oauth, registration, repos, smart_http, users
from tests.double.auth import find_token
from tests.double.errors import ApiError
from tests.double.faults import Faults, apply
from tests.double.hookshot import Hookshot
from tests.double.rest import BODY, HOOKSHOT, STATE, state_of
from tests.double.schema import validate_request
from tests.double.state import RecordedRequest, State

FAULTS = web.AppKey("FAULTS", Faults)
API_PREFIX = web.AppKey("API_PREFIX", str)
MAX_BODY_BYTES = 25 * 1024 * 1024
RATE_WINDOW_S = 3600
_REPO_PREFIXES = ("/repos/{owner}/{name}", r"/repositories/{repository_id:\d+}")
_GIT = ("/info/refs", "/git-upload-pack", "/git-receive-pack")

# Order matters: the first match wins, and refs contain slashes.
_REPO_ROUTES: tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.Response]]], ...] = (
    ("GET", "", repos.get_repository),
    ("GET", "/installation", apps.get_repository_installation),
    ("GET", "/branches/{branch:.+}", repos.get_branch),
    ("GET", "/commits/{ref:.+}/check-runs", check_runs.list_for_ref),
    ("GET", "/commits/{ref:.+}", repos.get_commit),
    ("GET", "/commits", histories.list_commits),
    ("GET", "/compare/{basehead:.+}", histories.compare),
    ("GET", "/git/ref/{ref:.+}", repos.get_reference),
    ("GET", "/git/trees/{sha:.+}", repos.get_tree),
    ("POST", "/check-runs", check_runs.create),
    ("GET", r"/check-runs/{check_run_id:\d+}", check_runs.get),
    ("PATCH", r"/check-runs/{check_run_id:\d+}", check_runs.update),
    ("GET", r"/check-runs/{check_run_id:\d+}/annotations", check_runs.list_annotations),
)


def create_server(state: State, hookshot: Hookshot, faults: Faults, api_prefix: str) -> web.Application:
    """The application that serves REST below ``api_prefix`` and git at the root."""
    server = web.Application(middlewares=[record, inject_faults, explain, limit, revalidate], client_max_size=MAX_BODY_BYTES)
    server[STATE], server[HOOKSHOT], server[FAULTS], server[API_PREFIX] = state, hookshot, faults, api_prefix
    for route in (*apps.routes, *users.routes):
        if isinstance(route, web.RouteDef):
            server.router.add_route(route.method, api_prefix + route.path, route.handler)
    for prefix in _REPO_PREFIXES:
        for method, path, handler in _REPO_ROUTES:
            server.router.add_route(method, api_prefix + prefix + path, handler)
    server.router.add_post(api_prefix + "/app-manifests/{code}/conversions", registration.convert)
    server.router.add_post("/settings/apps/new", registration.register)
    server.router.add_get("/login/oauth/authorize", oauth.authorize)
    server.router.add_post("/login/oauth/access_token", oauth.access_token)
    server.router.add_post("/organizations/{organization}/settings/apps/new", registration.register)
    server.router.add_get("/{owner}/{name}/info/refs", smart_http.info_refs)
    server.router.add_post("/{owner}/{name}/git-upload-pack", smart_http.upload_pack)
    server.router.add_post("/{owner}/{name}/git-receive-pack", smart_http.receive_pack)
    return server


def _is_git(request: web.Request) -> bool:
    """True for requests of git: their bodies are streamed, and responses are not JSON."""
    return request.path.endswith(_GIT)


@web.middleware
async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Record the request and its response, and validate its body with GitHub's schema."""
    state, path = state_of(request), request.path.removeprefix(request.app[API_PREFIX])
    headers, query = dict(request.headers), dict(request.query)
    entry = RecordedRequest(state.now(), request.method, path, query, headers)
    state.requests.append(entry)
    if not _is_git(request):
        request[BODY] = entry.json = _parse(await request.read())
        state.violations += validate_request(request.method, path, entry.json)
    response = await handler(request)
    if request.transport is not None and not request.transport.is_closing():
        entry.status = response.status
    if isinstance(response, web.Response) and response.content_type == "application/json":
        entry.response_json = _parse(response.body if isinstance(response.body, bytes) else b"")
    return response


def _parse(body: bytes) -> object:
    """Parse a body as JSON; None if it is something else."""
    try:
        parsed: object = json.loads(body)
    except ValueError:
        return None
    return parsed


@web.middleware
async def inject_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Inject a fault if one is pending for this request."""
    fault = request.app[FAULTS].take(request.method, request.path.removeprefix(request.app[API_PREFIX]))
    return await handler(request) if fault is None else await apply(fault, request, handler)


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Respond to errors with GitHub's JSON."""
    try:
        if not _is_git(request) and "User-Agent" not in request.headers:
            raise ApiError(403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
        return await handler(request)
    except ApiError as error:
        return web.json_response(error.body(), status=error.status, headers=error.headers)
    except web.HTTPClientError:
        return web.json_response(ApiError(404, "Not Found").body(), status=404)


@web.middleware
async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count requests per installation, user or address: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api."""
    if _is_git(request):
        return await handler(request)
    state, (caller, scopes) = state_of(request), _caller(request)
    free = request.path.removeprefix(request.app[API_PREFIX]) == "/rate_limit"
    used = state.requests_used[caller] = state.requests_used.get(caller, 0) + (0 if free else 1)
    headers = {
        **({} if scopes is None else {"X-OAuth-Scopes": ", ".join(sorted(scopes))}),
        "Date": format_datetime(state.now(), usegmt=True),
        "X-RateLimit-Limit": str(state.rate_limit),
        "X-RateLimit-Remaining": str(max(0, state.rate_limit - used)),
        "X-RateLimit-Used": str(min(used, state.rate_limit)),
        "X-RateLimit-Reset": str((int(state.now().timestamp()) // RATE_WINDOW_S + 1) * RATE_WINDOW_S),
        "X-RateLimit-Resource": "core",
        "X-GitHub-Request-Id": uuid.uuid4().hex[:24].upper(),
        "X-GitHub-Media-Type": "github.v3; format=json",
    }
    try:
        if used > state.rate_limit and not free:
            raise ApiError(403, f"API rate limit exceeded for {caller}.")
        response = await handler(request)
    except ApiError as error:
        error.headers.update(headers)
        raise
    if response.status == web.HTTPNotModified.status_code:
        state.requests_used[caller] -= 1
    response.headers.update(headers)
    return response


def _caller(request: web.Request) -> tuple[str, frozenset[str] | None]:
    """Whose rate limit a request counts against, and the scopes of a classic token."""
    try:
        token = find_token(state_of(request), request.headers.get("Authorization"))
    except ApiError:
        return "App", None
    if token is None:
        return f"{request.remote}", None
    return (f"user {token.user}" if token.user else f"installation ID {token.installation_id}"), token.scopes


@web.middleware
async def revalidate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Respond with 304 if the client already has the current response."""
    response = await handler(request)
    if _is_git(request) or request.method != "GET" or response.status != web.HTTPOk.status_code:
        return response
    body = response.body if isinstance(response, web.Response) else None
    etag = f'W/"{hashlib.sha256(body if isinstance(body, bytes) else b"").hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60", "Vary": "Accept, Authorization"}
    if etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    response.headers.update(headers)
    return response
