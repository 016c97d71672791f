"""Requests of browsers: with the cookie of a session, or where pages are open to everybody on this host."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from app.core import token_digest
from app.core.errors import UnknownTokenError
from app.core.models.callers import Caller, Right
from app.core.models.github import Repository
from app.web.auth import origins, rate_limits
from app.web.auth.sessions import SESSION, SESSIONS, SessionCaller
from app.web.http.hosts import is_tunnelled
from app.web.keys import OPEN_PAGES, SIGN_IN


class _Everybody:
    """The caller where pages are open: may read."""

    key = "open"
    everything = False

    async def may(self, right: Right, repository: Repository) -> bool:  # noqa: ARG002 - all repositories
        return right == "read"

    async def listed(self) -> Sequence[int] | None:
        return None


EVERYBODY: Caller = _Everybody()


async def signed_in(request: web.Request) -> SessionCaller | None:
    """The person whose session the request belongs to; None without one. Raises HttpProblem: 403 for requests of other sites, 429."""
    keeper = request.app.get(SESSIONS)
    value = request.cookies.get(keeper.cookie) if keeper else None
    if keeper is None or not value:
        return None
    origins.check(request)
    limit, address = request.app[rate_limits.LIMITS], rate_limits.address_of(request)
    fingerprint = token_digest.fingerprint(value)
    known = limit.has_counted(fingerprint)
    if not known:
        limit.count(request, address)
    caller = await keeper.find(value)
    if caller is None:
        if known:
            limit.count(request, address)
        return None
    if not known:
        limit.give_back(address)
    limit.count(request, fingerprint)
    limit.count(request, caller.key)
    try:
        await caller.check()
    except UnknownTokenError:
        return None
    request[SESSION] = caller
    return caller


def is_open(request: web.Request) -> bool:
    """Whether this request may see all pages without sign-in.

    The service then listens on a loopback address, and knows no client of an App. A name in `Host` that is not this host's is one that
    somebody else makes lead here (https://en.wikipedia.org/wiki/DNS_rebinding), or that of a proxy.
    """
    return (
        request.app.get(OPEN_PAGES, False)
        and not (SIGN_IN in request.app and request.app[SIGN_IN].configured)
        and is_tunnelled(request.host, request.headers)
    )


def reads_openly(request: web.Request) -> bool:
    """Whether a script of an open page may read the API: a program without a token may not."""
    return request.method in origins.SAFE and origins.is_same_origin(request) and is_open(request)
