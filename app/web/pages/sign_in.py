"""Signing in with GitHub, and out: `/sign-in`, GitHub's way back to `/sign-in/callback`, and `/sign-out`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from app.core import log
from app.core.app_manifest import SIGN_IN_CALLBACK_PATH
from app.core.errors import DeniedSignInError, GitHubUnavailableError
from app.web.auth import origins, rate_limits, visits
from app.web.auth.flows import FLOWS, LIFE_S, MAX_FLOWS, Flow, Flows, local_path
from app.web.auth.sessions import SESSIONS, SessionKeeper
from app.web.keys import PUBLIC_URL, SIGN_IN
from app.web.pages import frame, visitor
from app.web.pages.visitor import SIGN_IN_PATH

MOVED = "moved"
"""In the address after a redirect from another name of this service, so that there is only one."""
_CODE = re.compile(r"[A-Za-z0-9_-]{1,255}")

logger = log.get(__name__)


class Failure(NamedTuple):
    """Why a sign-in failed, and what to do."""

    status: int
    title: str
    detail: str


EXPIRED = Failure(
    400,
    "This sign-in is not valid any more",
    "It began in another browser or more than ten minutes ago, or it is complete already. Nobody was signed in: sign in again.",
)
UNKNOWN = Failure(400, "GitHub refused the sign-in", "GitHub did not say why in a way that Freshet understands. Sign in again.")
AWAY = Failure(503, "GitHub is unavailable", "GitHub did not answer while you were signed in. Try again in a minute.")
OPERATOR = "Tell the operator of this service: "
FAILURES: Mapping[str, Failure] = {
    "access_denied": Failure(
        403,
        "You did not authorize Freshet on GitHub",
        "Freshet shows you the repositories that GitHub shows you, so it has to know who you are. It gets no more rights than it needs.",
    ),
    "bad_verification_code": Failure(400, "GitHub's code has expired", "A code works once, within ten minutes. Sign in again."),
    "application_suspended": Failure(403, "The GitHub App is suspended", f"{OPERATOR}GitHub suspended the App."),
    "redirect_uri_mismatch": Failure(
        500, "The GitHub App does not know this address", f"{OPERATOR}add the callback URL `{{callback}}` on the App's page on GitHub."
    ),
    "incorrect_client_credentials": Failure(
        500, "GitHub does not accept the App's client", f"{OPERATOR}set `GITHUB_CLIENT_ID` and `GITHUB_CLIENT_SECRET` to the App's values."
    ),
}
"""By GitHub's word for it.

https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors
"""


async def start(request: web.Request) -> web.StreamResponse:
    """`GET /sign-in`: to GitHub, and with the path `next` in mind."""
    next_path = local_path(request.query.get("next", "/"))
    if await visitor.maybe(request) is not None:
        return _redirect(frame.url_for(request, next_path))
    if not visitor.can_sign_in(request):
        await visitor.of(request)
    _count(request)
    public = request.app[PUBLIC_URL]
    if request.host != urlsplit(public).netloc and MOVED not in request.query:
        # GitHub leads back to the public name, where cookies of another name do not exist.
        return _redirect(f"{public}{SIGN_IN_PATH}?{urlencode({'next': next_path, MOVED: '1'})}")
    flows, github = request.app[FLOWS], request.app[SIGN_IN]
    flow = flows.begin(next_path)
    response = _redirect(github.authorize_url(public + SIGN_IN_CALLBACK_PATH, flow.state, flow.challenge))
    stale = flows.names(request.cookies)
    for name in stale if len(stale) >= MAX_FLOWS else ():
        _delete(request, response, name)
    name, value = flows.cookie(flow, github.secret)
    _set(request, response, name, value, LIFE_S)
    return response


async def callback(request: web.Request) -> web.StreamResponse:
    """`GET /sign-in/callback`: GitHub sends the browser back, with a code for the tokens or with an error."""
    if not visitor.can_sign_in(request):
        await visitor.of(request)
    _count(request)
    flows, github = request.app[FLOWS], request.app[SIGN_IN]
    flow = flows.finish(request.query.get("state", ""), request.cookies, github.secret)
    if flow is None:
        # Such as after "back": the sign-in is complete.
        return _failed(request, EXPIRED) if await visitor.maybe(request) is None else _redirect(frame.url_for(request, "/"))
    response = await _finish(request, flow)
    _delete(request, response, flows.name(flow.state))
    return response


async def sign_out_page(request: web.Request) -> web.StreamResponse:
    """`GET /sign-out`: asks where."""
    if await visitor.maybe(request) is None:
        return _redirect(frame.url_for(request, "/"))
    return frame.render(request, "sign_out.html", {})


async def sign_out(request: web.Request) -> web.StreamResponse:
    """`POST /sign-out`: ends this session, or (`everywhere=yes`) all of this person."""
    origins.check(request)
    person = await visits.signed_in(request)
    if person is not None:
        form = await request.post()
        await person.sign_out(everywhere=form.get("everywhere") == "yes")
    response = _redirect(frame.url_for(request, "/"), status=303)
    if SESSIONS in request.app:
        _delete(request, response, request.app[SESSIONS].cookie)
    return response


async def _finish(request: web.Request, flow: Flow) -> web.Response:
    """Exchange the code and begin a session."""
    github, keeper, code = request.app[SIGN_IN], request.app[SESSIONS], request.query.get("code", "")
    try:
        if "error" in request.query or not _CODE.fullmatch(code):
            raise DeniedSignInError("signing in", request.query.get("error", ""))
        tokens = await github.exchange(code, flow.verifier, request.app[PUBLIC_URL] + SIGN_IN_CALLBACK_PATH)
        value = await keeper.begin(tokens)
    except DeniedSignInError as error:
        failure = FAILURES.get(error.reason, UNKNOWN)
        logger.info("sign-in failed", reason=error.reason if error.reason in FAILURES else "unknown")
        return _failed(request, failure, flow.next)
    except GitHubUnavailableError as error:
        logger.warning("sign-in failed", reason=str(error))
        return _failed(request, AWAY, flow.next)
    await _end_previous(request, keeper)
    response = _redirect(frame.url_for(request, flow.next))
    _set(request, response, keeper.cookie, value, keeper.lifetime.total_seconds())
    return response


async def _end_previous(request: web.Request, keeper: SessionKeeper) -> None:
    """A browser has one session: the one before ends with the sign-in."""
    previous = request.cookies.get(keeper.cookie)
    if previous:
        await keeper.forget(previous)


def _failed(request: web.Request, failure: Failure, next_path: str = "/") -> web.Response:
    detail = failure.detail.replace("{callback}", request.app[PUBLIC_URL] + SIGN_IN_CALLBACK_PATH)
    again = f"{SIGN_IN_PATH}?{urlencode({'next': next_path})}"
    context = {"title": failure.title, "detail": detail, "status": failure.status, "again": again}
    return frame.render(request, "sign_in_failed.html", context, status=failure.status)


def _count(request: web.Request) -> None:
    """Sign-ins cost requests to GitHub, so they are limited by address."""
    request.app[rate_limits.LIMITS].count(request, rate_limits.address_of(request))


def _redirect(target: str, *, status: int = 302) -> web.Response:
    return web.Response(status=status, headers={"Location": target, "Cache-Control": "no-store"})


def _set(request: web.Request, response: web.Response, name: str, value: str, life_s: float) -> None:
    secure = request.app[SESSIONS].secure
    response.set_cookie(name, value, max_age=int(life_s), path="/", secure=secure, httponly=True, samesite="Lax")


def _delete(request: web.Request, response: web.Response, name: str) -> None:
    response.del_cookie(name, path="/", secure=request.app[SESSIONS].secure, httponly=True, samesite="Lax")


def set_up(web_app: web.Application) -> None:
    """Prepare sign-ins; the public URL decides about their cookies."""
    web_app[FLOWS] = Flows(secure=web_app[PUBLIC_URL].startswith("https:"))
