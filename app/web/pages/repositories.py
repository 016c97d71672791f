"""The start page: for those who may see connections, all of them with their state at a glance."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any, Literal
from urllib.parse import urlencode

from aiohttp import web

from app.core.app_manifest import SETUP_PATH
from app.core.errors import FreshetError
from app.core.models.connections import Connection, State
from app.store.connections import Connections
from app.web.api.schemas.common import Query, Text, Whole
from app.web.auth.visits import EVERYBODY
from app.web.http import addresses, requests
from app.web.keys import SETUP
from app.web.pages import frame, visitor

ROWS = 50
PART = 250
"""Connections that are read at a time."""
MOST = 10_000
"""Connections that are sorted and counted. Whoever sees more looks for them by name."""
ASKED = 200
"""The same where GitHub does not list what somebody may read: it is asked about each repository."""
STATES: tuple[State, ...] = ("failed", "stale", "updating", "never", "current")
"""In the order in which somebody has to look at them."""
Sort = Literal["name", "state", "changed"]
Brief = tuple[str, str, State, datetime, str]
"""Repository, directory, state, when the lineage was extracted, and id. Plain tuples, which the garbage collector does not walk over."""
NEVER = datetime.min.replace(tzinfo=UTC)


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
    store, seen_by = call.store.connections, await call.caller.listed()
    listed = seen_by is not None or call.caller.everything or call.caller is EVERYBODY
    if listed:
        found = await _all(store, query, seen_by)
    else:
        # Before anything is counted, sorted or cut into pages: numbers and places of others would tell of them.
        asked = await store.page(owner=query.owner, repository=None, q=query.q, after=None, limit=ASKED)
        readable = await call.readable(one.repository for one in asked)
        found = _brief(one for one in asked if one.repository.id in readable)
    listing = await asyncio.to_thread(_listing, found[:MOST], query)
    shown = await store.some(listing["ids"])
    readable = await call.readable(one.repository for one in shown)
    shown = [one for one in shown if one.repository.id in readable]
    scores = await call.store.quality.scores(one.id for one in shown)
    return {
        **listing,
        "connections": shown,
        "states": {one.id: one.state() for one in shown},
        "counts": await store.counts(one.id for one in shown),
        "scores": scores,
        "cut": MOST if len(found) > MOST else 0,
        "asked": 0 if listed else ASKED,
        "all_states": STATES,
        "add_url": await _add_url(request),
    }


async def _all(store: Connections, query: RepositoriesQuery, seen_by: Sequence[int] | None) -> list[Brief]:
    """Up to one more than `MOST`, in parts: in between, the event loop serves others."""
    found: list[Brief] = []
    after: tuple[str, str] | None = None
    while len(found) <= MOST:
        limit = min(PART, MOST + 1 - len(found))
        part = await store.page(owner=query.owner, repository=None, q=query.q, seen_by=seen_by, after=after, limit=limit)
        found += _brief(part)
        if len(part) < limit:
            break
        after = part[-1].repository.full_name, part[-1].id
    return found


def _brief(found: Iterable[Connection]) -> list[Brief]:
    now = datetime.now(UTC)
    return [(one.repository.full_name, one.project_dir or "", one.state(now), one.extracted_at or NEVER, one.id) for one in found]


def _listing(found: Sequence[Brief], query: RepositoriesQuery) -> dict[str, Any]:
    """The ids of one page in order, and what is said of all. Takes a hundredth of a second for many: call it in a thread."""
    chosen = _sorted([one for one in found if query.state in (None, one[2])], query.sort)
    pages = max(1, ceil(len(chosen) / ROWS))
    page = min(max(query.page, 1), pages)
    return {
        "ids": [one[-1] for one in chosen[(page - 1) * ROWS : page * ROWS]],
        "totals": Counter(one[2] for one in found),
        "total": len(found),
        "owners": sorted({one[0].partition("/")[0] for one in found}),
        "page": page,
        "pages": pages,
    }


def _sorted(found: Sequence[Brief], sort: Sort) -> list[Brief]:
    by_name = sorted(found, key=lambda one: (one[0].lower(), one[1]))
    if sort == "state":
        return sorted(by_name, key=lambda one: STATES.index(one[2]))
    if sort == "changed":
        return sorted(by_name, key=lambda one: one[3], reverse=True)
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
