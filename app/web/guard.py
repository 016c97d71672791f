"""Who calls: the bearer token of a request, and the caller that it stands for."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from app.jobs import Repository
from app.ports import Caller, Right
from app.web.keys import CALLERS
from app.web.problems import Problem


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
    """Return who calls. Raises Problem 401, or 403 where only a service token will do."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(401, "A token is needed", "Send it as `Authorization: Bearer TOKEN`.", headers={"WWW-Authenticate": "Bearer"})
    caller = await request.app[CALLERS].of(token.strip())
    if caller is None:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        what = "Send a token of GitHub's that is still good, or a service token: the operator sets them with FRESHET_API_TOKENS."
        raise Problem(401, "This token is not known", what, headers=challenge)
    if service and not caller.everything:
        raise Problem(403, "This needs a service token", "It is for the operator: send a token of FRESHET_API_TOKENS.")
    return caller
