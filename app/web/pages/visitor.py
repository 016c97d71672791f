"""Who looks at a page, and what they may see: the same rights as in the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp import web

from app.core.models.callers import Caller, Right
from app.core.models.connections import Connection
from app.core.models.extractions import Extraction
from app.core.models.github import Repository
from app.web.api.call import Call
from app.web.api.operation import NoQuery
from app.web.auth import operators, visits
from app.web.auth.authentication import caller_of
from app.web.auth.flows import local_path
from app.web.auth.sessions import SessionCaller
from app.web.http import addresses
from app.web.http.problems import HttpProblem
from app.web.keys import SETUP, SIGN_IN

Q = TypeVar("Q")
SIGN_IN_PATH = "/sign-in"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who looks at a page."""

    caller: Caller
    name: str | None
    """The login on GitHub; None for programs, and where pages are open."""
    is_operator: bool = False
    """Whether to link to the page of operators, which decides itself."""


VISITOR = web.RequestKey("visitor", Visitor)


async def of(request: web.Request) -> Visitor:
    """Who looks. Raises a redirect to the sign-in if a browser is not signed in, HttpProblem for others and where nobody can sign in."""
    found = await maybe(request)
    if found is not None:
        return found
    if not can_sign_in(request):
        raise _closed(request)
    if request.method != "GET" or not addresses.prefers_html(request):
        raise HttpProblem(401, "Sign-in required", "Sign in with GitHub, or send a token as `Authorization: Bearer TOKEN`.")
    here = local_path(addresses.without_prefix(request, str(request.rel_url)))
    target = addresses.url_for(request, f"{SIGN_IN_PATH}?{urlencode({'next': here})}")
    raise web.HTTPFound(target, headers={"Cache-Control": "no-store"})


async def maybe(request: web.Request) -> Visitor | None:
    """Who looks; None if nobody is signed in. Raises HttpProblem for a token or session that cannot be used here."""
    if VISITOR not in request:
        found = await _find(request)
        if found is None:
            return None
        request[VISITOR] = found
    return request[VISITOR]


async def connection(request: web.Request, right: Right = "read") -> Connection:
    """The connection in the path. Raises HttpProblem 404 if there is none that the visitor may see, 403 without `right`."""
    return await (await call(request, NoQuery())).connection(right)


async def extraction(request: web.Request, right: Right = "read") -> Extraction:
    """The extraction in the path. Raises as `connection` does."""
    return await (await call(request, NoQuery())).extraction(right)


async def may_push(request: web.Request, repository: Repository) -> bool:
    """Whether the visitor may push to a repository, and so trigger, retry and cancel its extractions here."""
    return await (await of(request)).caller.may("push", repository)


async def call(request: web.Request, query: Q) -> Call[Q, None]:
    """A call of the API by the visitor."""
    return Call(request, (await of(request)).caller, query, None)


def can_sign_in(request: web.Request) -> bool:
    """Whether the service knows a client of its App, so that people can sign in."""
    return SIGN_IN in request.app and request.app[SIGN_IN].configured


async def _find(request: web.Request) -> Visitor | None:
    caller: Caller | None = await caller_of(request) if "Authorization" in request.headers else await visits.signed_in(request)
    if caller is None and visits.is_open(request):
        caller = visits.EVERYBODY
    if caller is None:
        return None
    name = caller.user.login if isinstance(caller, SessionCaller) else None
    return Visitor(caller, name, await operators.knows(request, caller))


def _closed(request: web.Request) -> HttpProblem:
    """Nothing is shown where nobody can prove who they are."""
    if SETUP in request.app and not request.app[SETUP].configured:
        step = "No GitHub App is configured yet: the operator opens the link to `/setup` from the service's log."
    else:
        step = "The operator sets `GITHUB_CLIENT_ID` and `GITHUB_CLIENT_SECRET`, from the GitHub App's page, and restarts the service."
    return HttpProblem(403, "Nobody can sign in yet", f"Pages are shown to people who sign in with GitHub. {step}")
