"""`/operations`: the whole service at a glance, for its operators; and the lists that the figures are made of.

Operators see the names of repositories and branches, and why extractions failed. What a repository contains they see as GitHub lets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from aiohttp import web
from pydantic import Field

from app.core.ages import lasted
from app.store.operations import COUNTED, ENDED, ListedExtraction, ListFilter
from app.store.stats import COUNTED as QUEUE_COUNTED
from app.web.api.schemas.common import Query, Text, Whole
from app.web.auth import operators
from app.web.auth.sessions import IDLE
from app.web.http import requests
from app.web.http.problems import not_found
from app.web.keys import STORE
from app.web.pages import frame, service_figures, visitor

PATH = "/operations"
ROWS = 100
MAX_PAGE = ENDED // ROWS
DAYS = (1, 7)
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
STEP = 1024
STATUSES = ("queued", "running", "failed", "succeeded", "cancelled", "superseded")


class ExtractionListQuery(Query):
    """Which extractions a list has."""

    status: Literal["queued", "running", "failed", "succeeded", "cancelled", "superseded"] | None = None
    days: Annotated[Whole, Field(ge=1, le=7)] = 7
    cause: Text | None = None
    connection: Annotated[str | None, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] = None
    installation: Annotated[Whole | None, Field(ge=0, lt=1 << 62)] = None
    page: Annotated[Whole, Field(ge=1, le=MAX_PAGE)] = 1


class PageQuery(Query):
    """Which page of a list."""

    page: Annotated[Whole, Field(ge=1, le=COUNTED // ROWS)] = 1


class CheckRunListQuery(PageQuery):
    """Which check runs a list has."""

    state: Literal["due", "unsent"] = "due"


async def show(request: web.Request) -> web.Response:
    """`GET /operations`."""
    await _require(request)
    return frame.render(request, "operations.html", await _figures(request))


async def fragment(request: web.Request) -> web.Response:
    """`GET /operations/figures`: the part of the page that changes."""
    await _require(request)
    return frame.render(request, "_operations.html", await _figures(request))


async def extractions(request: web.Request) -> web.Response:
    """`GET /operations/extractions`: what a figure is made of."""
    await _require(request)
    query = requests.query(request, ExtractionListQuery)
    wanted = ListFilter(query.status, query.days, query.cause, query.connection, query.installation)
    found = await request.app[STORE].operations.extractions(wanted, limit=ROWS + 1, skip=(query.page - 1) * ROWS)
    context = {
        "query": query,
        "found": found[:ROWS],
        "more": len(found) > ROWS and query.page < MAX_PAGE,
        "to": lambda **changes: to(**{**query.model_dump(), **changes}),
        "statuses": STATUSES,
        "took": _took,
        "waited": _waited,
        "cpu": _cpu,
    }
    return frame.render(request, "operations_extractions.html", context)


async def deliveries(request: web.Request) -> web.Response:
    """`GET /operations/deliveries`: those that were missed."""
    await _require(request)
    found = await request.app[STORE].operations.missed_deliveries(ROWS)
    return frame.render(request, "operations_deliveries.html", {"found": found, "rows": ROWS})


async def check_runs(request: web.Request) -> web.Response:
    """`GET /operations/check-runs`: those that are to be sent, or that could not be."""
    await _require(request)
    query = requests.query(request, CheckRunListQuery)
    found = await request.app[STORE].operations.check_runs(query.state, limit=ROWS + 1, skip=(query.page - 1) * ROWS)
    return frame.render(request, "operations_check_runs.html", {**_pages(found, query.page), "state": query.state})


async def signed_in(request: web.Request) -> web.Response:
    """`GET /operations/sessions`: who is signed in."""
    await _require(request)
    page = requests.query(request, PageQuery).page
    found = await request.app[STORE].operations.people(IDLE, limit=ROWS + 1, skip=(page - 1) * ROWS)
    return frame.render(request, "operations_sessions.html", _pages(found, page))


def to(**parameters: Any) -> str:
    """The path of a list of extractions.

    >>> to(status="failed", days=1, cause=None, page=1)
    '/operations/extractions?status=failed&days=1'
    """
    plain = {"page": 1, "days": 7}
    chosen = {name: value for name, value in parameters.items() if value is not None and plain.get(name) != value}
    return f"{PATH}/extractions{'?' if chosen else ''}{urlencode(chosen)}"


def size(number: float) -> str:
    """A number of bytes for people.

    >>> size(900), size(3_500_000), size(0)
    ('900 B', '3.3 MiB', '0 B')
    """
    step = 0
    while number >= STEP and step + 1 < len(UNITS):
        number, step = number / STEP, step + 1
    return f"{number:.{1 if step else 0}f} {UNITS[step]}"


async def _require(request: web.Request) -> None:
    """Raise what leads to the sign-in if nobody is signed in, and HttpProblem 404 for everybody but operators."""
    if not await operators.admits(request, (await visitor.of(request)).caller):
        raise not_found("page")


async def _figures(request: web.Request) -> dict[str, Any]:
    found = await service_figures.figures(request)
    return {
        "figures": found,
        "spans": {(one.kind, one.days): one for one in found.ended.spans},
        "statuses": {one.name: one for one in found.ended.statuses},
        "days": DAYS,
        "to": to,
        "size": size,
        "lasted": lasted,
        "number": _number,
        "most": {"deliveries": COUNTED, "queue": QUEUE_COUNTED},
    }


def _pages(found: Sequence[object], page: int) -> dict[str, Any]:
    """What a list says; one more than its rows were asked for."""
    return {"found": found[:ROWS], "page": page, "more": len(found) > ROWS and page < COUNTED // ROWS, "number": _number}


def _number(value: int, most: int = 0) -> str:
    """A count that stops at `most`, if that is given."""
    return f"{value:,}{'+' if most and value >= most else ''}"


def _took(one: ListedExtraction) -> str:
    return "" if one.seconds is None else lasted(one.seconds)


def _waited(one: ListedExtraction) -> str:
    return "" if one.started_at is None else lasted(max((one.started_at - one.created_at).total_seconds(), 0))


def _cpu(one: ListedExtraction) -> str:
    return "" if one.cpu_seconds is None else f"{one.cpu_seconds:,.1f} s"
