"""The page of a connection: its state, its lineage, and the history of its extractions with a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from app.core.ages import lasted
from app.core.models.extractions import Extraction
from app.pipeline import triggers
from app.reports import check_run
from app.web.api.schemas.common import Commit, Query, Text
from app.web.http import addresses, requests
from app.web.keys import GITHUB, SETUP, STORE
from app.web.pages import connection_quality, frame, visitor

ROWS = 30
MONTHS, MODELS = 6, 10
"""Whose costs are shown."""
CHARTED, CHART_LEAST = 60, 20
"""Extractions in the chart, and for how many there is always room."""
CHART_HEIGHT, BAR, LEAST = 100, 10, 2
"""In units of the picture."""


class HistoryQuery(Query):
    """Which part of the history."""

    branch: Text | None = None
    sha: Commit | None = None
    cursor: Text | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """An extraction in the chart: its duration as a height, its result as a class."""

    extraction: Extraction
    x: int
    height: float
    label: str


async def show(request: web.Request) -> web.Response:
    """`GET /connections/{id}`."""
    connection = await visitor.connection(request)
    addresses.drop_empty(request, f"/connections/{connection.id}")
    query, store = requests.query(request, HistoryQuery), request.app[STORE]
    found = await store.extractions.search(
        connection.id, statuses=None, branch=query.branch, sha=query.sha, before=requests.number_cursor(query.cursor), limit=ROWS
    )
    charted = await store.extractions.search(connection.id, statuses=None, branch=None, sha=None, before=None, limit=CHARTED)
    head = await store.lineages.head(connection.id)
    context = {
        "connection": connection,
        "state": connection.state(),
        "head": head,
        "counts": (await store.connections.counts([connection.id])).get(connection.id, {}),
        "quality": await connection_quality.section(store, connection, head),
        "months": await store.costs.of_connection(connection.id, MONTHS),
        "models": await store.costs.models(connection.id, MODELS),
        "lasted": lasted,
        "query": query,
        "extractions": found.extractions,
        "headline": check_run.headline,
        "took": _took,
        "older": None if found.last is None else _older(query, requests.next_cursor(str(found.last))),
        "bars": _bars(charted.extractions),
        "bar": BAR,
        "chart_height": CHART_HEIGHT,
        "github": f"{request.app[SETUP].server_url}/{connection.repository.full_name}",
        "may_push": await visitor.may_push(request, connection.repository),
    }
    return frame.render(request, "connection.html", context)


async def extract(request: web.Request) -> web.StreamResponse:
    """`POST /connections/{id}/extract`: extract the newest commit of the followed branch, and show that extraction."""
    connection = await visitor.connection(request, "push")
    queued = await triggers.extract_now(request.app[STORE], request.app[GITHUB], connection, None, "api")
    raise web.HTTPSeeOther(frame.url_for(request, f"/extractions/{queued.id}"))


def _older(query: HistoryQuery, cursor: str) -> str:
    """The query string of the next part of the same history."""
    return f"?{urlencode({**query.model_dump(exclude_none=True), 'cursor': cursor})}"


def _took(extraction: Extraction) -> str:
    seconds = _seconds(extraction)
    return "" if seconds is None else lasted(seconds)


def _seconds(extraction: Extraction) -> float | None:
    if extraction.started_at is None or extraction.finished_at is None:
        return None
    return (extraction.finished_at - extraction.started_at).total_seconds()


def _bars(newest_first: Sequence[Extraction]) -> dict[str, Any]:
    """Bars from the oldest to the newest, and the duration of the tallest."""
    ended = [(one, seconds) for one in reversed(newest_first) if (seconds := _seconds(one)) is not None]
    longest = max((seconds for _, seconds in ended), default=0.0)
    bars = [
        Bar(
            one,
            x=place * BAR,
            height=max(LEAST, CHART_HEIGHT * seconds / longest) if longest else LEAST,
            label=f"{one.sha[:7]} on {one.branch}: {one.status} in {lasted(seconds)}",
        )
        for place, (one, seconds) in enumerate(ended)
    ]
    return {"items": bars, "width": max(len(bars), CHART_LEAST) * BAR, "longest": lasted(longest)}
