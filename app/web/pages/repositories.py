"""The start page: for those who may see connections, all of them with their state at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any, Literal
from urllib.parse import urlencode

from aiohttp import web

from app.core.app_manifest import SETUP_PATH
from app.core.errors import FreshetError
from app.core.models.connections import Connection, State
from app.web.api.schemas.common import Query, Text, Whole
from app.web.auth.visits import EVERYBODY
from app.web.http import addresses, requests
from app.web.keys import SETUP
from app.web.pages import frame, visitor

ROWS = 50
MOST = 10_000
"""Connections that are sorted and counted. Whoever sees more looks for them by name."""
ASKED = 200
"""The same where GitHub does not list what somebody may read: it is asked about each repository."""
STATES: tuple[State, ...] = ("failed", "stale", "updating", "never", "current")
"""In the order in which somebody has to look at them."""
Sort = Literal["name", "state", "changed"]


class RepositoriesQuery(Query):
    """What the list shows."""

    q: Text | None = None
    owner: Text | None = None
    state: State | None = None
    sort: Sort = "name"
    page: Whole = 1


async def show(request: web.Request) -> web.Response:
    """`GET /`."""
    if SETUP in request.app and not request.app[SETUP].configured:
        raise web.HTTPFound(frame.url_for(request, SETUP_PATH), headers={"Cache-Control": "no-store"})
    if await visitor.maybe(request) is None:
        return frame.render(request, "index.html", {})
    addresses.drop_empty(request, "/")
    query = requests.query(request, RepositoriesQuery)
    return frame.render(request, "repositories.html", {"query": query, "to": _to(query), **await _rows(request, query)})


async def _rows(request: web.Request, query: RepositoriesQuery) -> dict[str, Any]:
    call = await visitor.call(request, query)
    now = datetime.now(UTC)
    seen_by = await call.caller.listed()
    found = await call.store.connections.page(owner=query.owner, repository=None, q=query.q, seen_by=seen_by, after=None, limit=MOST + 1)
    cut, found = len(found) > MOST, found[:MOST]
    listed = seen_by is not None or call.caller.everything or call.caller is EVERYBODY
    if not listed:
        # Before anything is counted, sorted or cut into pages: numbers and places of others would tell of them.
        found = found[:ASKED]
        readable = await call.readable(one.repository for one in found)
        found = [one for one in found if one.repository.id in readable]
    states = {one.id: one.state(now) for one in found}
    chosen = _sorted([one for one in found if query.state in (None, states[one.id])], states, query.sort)
    pages = max(1, ceil(len(chosen) / ROWS))
    page = min(max(query.page, 1), pages)
    shown = chosen[(page - 1) * ROWS : page * ROWS]
    readable = await call.readable(one.repository for one in shown)
    shown = [one for one in shown if one.repository.id in readable]
    return {
        "connections": shown,
        "states": states,
        "counts": await call.store.connections.counts(one.id for one in shown),
        "totals": Counter(states.values()),
        "total": len(found),
        "owners": sorted({one.repository.full_name.partition("/")[0] for one in found}),
        "page": page,
        "pages": pages,
        "cut": MOST if cut and listed else 0,
        "asked": 0 if listed else ASKED,
        "all_states": STATES,
        "add_url": await _add_url(request),
    }


def _sorted(found: Sequence[Connection], states: dict[str, State], sort: Sort) -> list[Connection]:
    by_name = sorted(found, key=lambda one: (one.repository.full_name.lower(), one.project_dir or ""))
    if sort == "state":
        return sorted(by_name, key=lambda one: STATES.index(states[one.id]))
    if sort == "changed":
        return sorted(by_name, key=lambda one: one.extracted_at or datetime.min.replace(tzinfo=UTC), reverse=True)
    return by_name


def _to(query: RepositoriesQuery) -> Any:
    def to(**changes: object) -> str:
        values = {**query.model_dump(exclude_defaults=True), "page": None, **changes}
        return f"?{urlencode({name: value for name, value in values.items() if value is not None})}"

    return to


async def _add_url(request: web.Request) -> str | None:
    """Where an App is installed on more repositories; None if GitHub does not say."""
    setup = request.app.get(SETUP)
    if setup is None or not setup.configured:
        return None
    try:
        page = (await setup.checkup()).html_url
    except FreshetError:
        return None
    return f"{page}/installations/new" if page else None
