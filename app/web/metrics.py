"""`/metrics`: the metrics of `core/metrics`, in Prometheus' text format or OpenMetrics.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from http import HTTPStatus
from typing import TypeVar, get_args

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import REGISTRY, exposition
from prometheus_client.openmetrics import exposition as openmetrics

from app.core import log, metrics
from app.core.errors import FreshetError
from app.core.models.connections import State
from app.store import Store
from app.store.stats import Backlog, ConnectionStates
from app.web.http.connections import LIMITS
from app.web.http.live import VIEWS
from app.web.http.middleware import LOG_IDS
from app.web.keys import STORE

T = TypeVar("T")

QUERY_TIMEOUT_S = 2.0
"""After this the database's values are NaN: an incomplete scrape is better than a late one."""
CACHE_S, STATES_S = 2.0, 30.0
"""How often the database is queried at most for the backlog and for the connections, however often `/metrics` is read."""
EVENTS = frozenset(
    {"ping", "push", "installation", "installation_repositories", "repository", "check_run", "check_suite"}
    | {"pull_request", "merge_group", "github_app_authorization"}
)
DELIVERY_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
"""What may be in the log of a delivery that is not verified."""
OUTCOMES = {
    HTTPStatus.ACCEPTED: "accepted",
    HTTPStatus.UNAUTHORIZED: "unsigned",
    HTTPStatus.REQUEST_TIMEOUT: "late",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_big",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


class MetricsHandler:
    """`GET /metrics`."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._queried_at = self._counted_at = float("-inf")

    async def show(self, request: web.Request) -> web.Response:
        """All metrics; without the database, its values are NaN."""
        store = request.app[STORE]
        await self._query(store)
        use = store.pool_use()
        metrics.DATABASE_USED.set(use.used)
        metrics.DATABASE_LIMIT.set(use.limit)
        metrics.TASKS.set(len(asyncio.all_tasks()))
        limits = request.app[LIMITS]
        metrics.CLIENTS.set(limits.open)
        metrics.CLIENTS_LIMIT.set(limits.limit)
        metrics.STREAMS.set(request.app[VIEWS].streams)
        body, content_type = _encoded(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def _query(self, store: Store) -> None:
        now = asyncio.get_running_loop().time
        async with self._lock:
            if now() - self._queried_at < CACHE_S:
                return
            backlog = await _answer(store.statistics.backlog())
            _set(backlog)
            if backlog is None:
                _set_states(None)
                self._counted_at = float("-inf")
            elif now() - self._counted_at >= STATES_S:
                _set_states(await _answer(store.statistics.connection_states()))
                self._counted_at = now()
            self._queried_at = now()


async def _answer(query: Awaitable[T]) -> T | None:
    """The database's answer; None if there is none in time."""
    try:
        async with asyncio.timeout(QUERY_TIMEOUT_S):
            return await query
    except (FreshetError, TimeoutError):
        return None


def counted(webhook: Handler) -> Handler:
    """Count deliveries. The event's name is not verified yet, so unexpected ones are counted as `other`."""

    async def count(request: web.Request) -> web.StreamResponse:
        event, status = request.headers.get("X-GitHub-Event", ""), HTTPStatus.INTERNAL_SERVER_ERROR.value
        delivery_id = request.headers.get("X-GitHub-Delivery", "")
        if DELIVERY_ID.fullmatch(delivery_id):
            request[LOG_IDS] = {log.DELIVERY: delivery_id, log.EVENT: event if event in EVENTS else "other"}
        try:
            response = await webhook(request)
            status = response.status
        except FreshetError as error:
            status = getattr(error, "status", status)
            raise
        else:
            return response
        finally:
            outcome = OUTCOMES.get(HTTPStatus(status), "failed" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused")
            metrics.DELIVERIES.labels(event if event in EVENTS else "other", outcome).inc()

    return count


def _set(backlog: Backlog | None) -> None:
    unknown = float("nan")
    metrics.DATABASE_UP.set(backlog is not None)
    metrics.QUEUE.labels("queued").set(backlog.queued if backlog else unknown)
    metrics.QUEUE.labels("running").set(backlog.running if backlog else unknown)
    metrics.QUEUE_AGE.set(backlog.queued_s if backlog else unknown)
    metrics.CHECK_RUNS_DUE.set(backlog.check_runs_due if backlog else unknown)
    metrics.CHECK_RUNS_UNSENT.set(backlog.check_runs_unsent if backlog else unknown)
    metrics.CHECK_RUNS_AGE.set(backlog.check_runs_due_s if backlog else unknown)


def _set_states(states: ConnectionStates | None) -> None:
    unknown = float("nan")
    for state in get_args(State):
        metrics.CONNECTIONS.labels(state).set(states.counts[state] if states else unknown)
    metrics.OLDEST_STALE.set(states.oldest_stale_s if states else unknown)


def _encoded(accept: str) -> tuple[bytes, str]:
    if "application/openmetrics-text" in accept:
        return openmetrics.generate_latest(REGISTRY), openmetrics.CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call] # it has no annotations
    return exposition.generate_latest(REGISTRY), exposition.CONTENT_TYPE_PLAIN_0_0_4
