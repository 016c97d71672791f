"""Who looks at a page, and what they may see: the same rights as in the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from app.core.models.callers import Caller, Right
from app.core.models.connections import Connection
from app.core.models.extractions import Extraction
from app.core.models.github import Repository
from app.web.api.call import Call
from app.web.api.operation import NoQuery
from app.web.auth.authentication import caller_of
from app.web.http.problems import HttpProblem
from app.web.keys import OPEN_PAGES

Q = TypeVar("Q")


class _Everybody:
    """The caller where pages are open."""

    key = "open"
    everything = True

    async def may(self, right: Right, repository: Repository) -> bool:  # noqa: ARG002 - it has every right
        return True

    async def listed(self) -> Sequence[int] | None:
        return None


EVERYBODY: Caller = _Everybody()


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who looks at a page."""

    caller: Caller
    name: str | None
    """The login on GitHub; None for programs, and where pages are open."""


VISITOR = web.RequestKey("visitor", Visitor)


async def of(request: web.Request) -> Visitor:
    """Who looks. Raises HttpProblem."""
    if VISITOR not in request:
        request[VISITOR] = await _find(request)
    return request[VISITOR]


async def connection(request: web.Request) -> Connection:
    """The connection in the path. Raises HttpProblem 404 if there is none that the visitor may see."""
    return await (await call(request, NoQuery())).connection()


async def extraction(request: web.Request) -> Extraction:
    """The extraction in the path. Raises HttpProblem 404 if there is none that the visitor may see."""
    return await (await call(request, NoQuery())).extraction()


async def may_push(request: web.Request, repository: Repository) -> bool:
    """Whether the visitor may push to a repository, and so trigger, retry and cancel its extractions here."""
    return await (await of(request)).caller.may("push", repository)


async def call(request: web.Request, query: Q) -> Call[Q, None]:
    """A call of the API by the visitor."""
    return Call(request, (await of(request)).caller, query, None)


async def _find(request: web.Request) -> Visitor:
    if "Authorization" in request.headers:
        return Visitor(await caller_of(request), None)
    if request.app.get(OPEN_PAGES):
        return Visitor(EVERYBODY, None)
    raise HttpProblem(403, "Pages are closed", "Pages are only shown where the service listens on a loopback address.")
