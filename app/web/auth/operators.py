"""Who may see the service as a whole: its operators, service tokens, and everybody where pages are open."""

from __future__ import annotations

from aiohttp import web

from app.core.models.callers import Caller
from app.web.auth import visits
from app.web.auth.sessions import SessionCaller
from app.web.keys import OPERATORS


async def admits(request: web.Request, caller: Caller) -> bool:
    """Whether a caller is an operator. Programs with a person's token are not: see `FRESHET_OPERATORS`. Raises as `Caller.may` does."""
    if admits_by_name(request, caller):
        return True
    return isinstance(caller, SessionCaller) and OPERATORS in request.app and await caller.is_operator(request.app[OPERATORS])


async def knows(request: web.Request, caller: Caller) -> bool:
    """The same as `admits`, as far as it is known or soon answered: for a link, not for a decision."""
    if admits_by_name(request, caller):
        return True
    return isinstance(caller, SessionCaller) and OPERATORS in request.app and await caller.seems_operator(request.app[OPERATORS])


def admits_by_name(request: web.Request, caller: Caller) -> bool:
    """The same without asking GitHub about teams."""
    if isinstance(caller, SessionCaller):
        return OPERATORS in request.app and request.app[OPERATORS].names(caller.user)
    return caller.everything or caller is visits.EVERYBODY
