"""Who calls: the bearer token of a request, and the caller that it stands for; and that nobody calls too often."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from app import tokens
from app.callers import Caller, Right
from app.errors import UnavailableError
from app.jobs import Repository
from app.web import limits
from app.web.keys import CALLERS
from app.web.problems import Problem, unknown_token


class _Nobody:
    """Whoever asks for what is open to everybody."""

    key = "nobody"
    everything = False

    async def may(self, right: Right, repository: Repository) -> bool:  # noqa: ARG002 - whatever it is: no
        return False

    async def listed(self) -> Sequence[int]:
        return ()


NOBODY: Caller = _Nobody()


async def caller_of(request: web.Request, *, service: bool = False) -> Caller:
    """Return who calls. Raises Problem 401 or 429, or 403 where only a service token will do."""
    limit, address = request.app[limits.LIMITS], limits.address_of(request)
    token = _bearer(request)
    if token is None:
        limit.take(request, address)
        raise Problem(401, "A token is needed", "Send it as `Authorization: Bearer TOKEN`.", headers={"WWW-Authenticate": "Bearer"})
    known = tokens.fingerprint(token)
    if not limit.knows(known):
        # Whoever guesses is not to have us ask GitHub each time: it would refuse good tokens too.
        limit.require(request, address)
    try:
        caller = await request.app[CALLERS].of(token)
    except UnavailableError:
        limit.take(request, known if limit.knows(known) else address)
        raise
    if caller is None:
        limit.take(request, address)
        raise unknown_token()
    limit.take(request, caller.key, times=limits.SERVICE_TIMES if caller.everything else 1)
    if service and not caller.everything:
        raise Problem(403, "This needs a service token", "It is for the operator: send a token of FRESHET_API_TOKENS.")
    return caller


def _bearer(request: web.Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
