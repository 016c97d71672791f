"""The caller of a request: from its bearer token or its session, within the rate limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from aiohttp import web

from app.core import token_digest
from app.core.errors import UnavailableError
from app.core.models.callers import Caller, Right
from app.core.models.github import Repository
from app.web.auth import rate_limits, visits
from app.web.http.problems import HttpProblem, unknown_token
from app.web.keys import CALLERS


class _Nobody:
    """The caller of operations that need no token."""

    key = "nobody"
    everything = False

    async def may(self, right: Right, repository: Repository) -> bool:  # noqa: ARG002 - it has no rights at all
        return False

    async def listed(self) -> Sequence[int]:
        return ()


NOBODY: Caller = _Nobody()


async def caller_of(request: web.Request, *, service: bool = False) -> Caller:
    """Authenticate a request. Raises HttpProblem: 401, 429, or 403 if `service` and it is not a service token."""
    visitor = None if "Authorization" in request.headers else await _visitor(request)
    if visitor is not None:
        return visitor if not service else _refuse_others()
    caller = await token_caller(request)
    if service and not caller.everything:
        _refuse_others()
    return caller


async def token_caller(request: web.Request) -> Caller:
    """Authenticate a request by its token alone: neither sessions nor open pages count. Raises HttpProblem: 401, 429."""
    limit, address = request.app[rate_limits.LIMITS], rate_limits.address_of(request)
    token = _bearer(request)
    if token is None:
        limit.count(request, address)
        raise HttpProblem(401, "Token required", "Send a token as `Authorization: Bearer TOKEN`.", headers={"WWW-Authenticate": "Bearer"})
    fingerprint = token_digest.fingerprint(token)
    unknown = not limit.has_counted(fingerprint)
    if unknown:
        # Before GitHub is asked: guessed tokens must not each cost a request, however many come at once, or GitHub limits valid ones too.
        limit.count(request, address)
    try:
        caller = await request.app[CALLERS].find(token)
    except UnavailableError:
        if not unknown:
            limit.count(request, fingerprint)
        raise
    if caller is None:
        if not unknown:
            limit.count(request, address)
        raise unknown_token()
    if unknown:
        limit.give_back(address)
    count(request, caller)
    return caller


def count(request: web.Request, caller: Caller) -> None:
    """Count something that the caller of a token asks for. Raises HttpProblem 429."""
    request.app[rate_limits.LIMITS].count(request, caller.key, times=rate_limits.SERVICE_TIMES if caller.everything else 1)


async def _visitor(request: web.Request) -> Caller | None:
    """Who uses a browser: somebody who signed in, or anybody where pages are open."""
    person = await visits.signed_in(request)
    if person is None and visits.reads_openly(request):
        return visits.EVERYBODY
    return person


def _refuse_others() -> NoReturn:
    raise HttpProblem(403, "Service token required", "This operation is for the operator: send a token from FRESHET_API_TOKENS.")


def _bearer(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
