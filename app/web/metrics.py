"""`/metrics`: the metrics of `core/metrics`, in Prometheus' text format or OpenMetrics.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import REGISTRY, exposition
from prometheus_client.openmetrics import exposition as openmetrics

from app.core import metrics
from app.core.errors import FreshetError
from app.store import Store
from app.store.stats import Backlog
from app.web.keys import STORE

QUERY_TIMEOUT_S = 2.0
"""After this the database's values are NaN: an incomplete scrape is better than a late one."""
CACHE_S = 2.0
"""How often the database is queried at most, however often `/metrics` is read."""
EVENTS = frozenset({"ping", "push", "installation", "installation_repositories", "repository", "check_run", "check_suite"})
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
        self._queried_at = float("-inf")

    async def show(self, request: web.Request) -> web.Response:
        """All metrics; without the database, its values are NaN."""
        store = request.app[STORE]
        await self._query(store)
        use = store.pool_use()
        metrics.DATABASE_USED.set(use.used)
        metrics.DATABASE_LIMIT.set(use.limit)
        body, content_type = _encoded(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def _query(self, store: Store) -> None:
        now = asyncio.get_running_loop().time
        async with self._lock:
            if now() - self._queried_at < CACHE_S:
                return
            try:
                async with asyncio.timeout(QUERY_TIMEOUT_S):
                    _set(await store.statistics.backlog())
            except (FreshetError, TimeoutError):
                _set(None)
            self._queried_at = now()


def counted(webhook: Handler) -> Handler:
    """Count deliveries. The event's name is not verified yet, so unexpected ones are counted as `other`."""

    async def count(request: web.Request) -> web.StreamResponse:
        event, status = request.headers.get("X-GitHub-Event", ""), HTTPStatus.INTERNAL_SERVER_ERROR.value
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
    metrics.CHECK_RUNS_AGE.set(backlog.check_runs_due_s if backlog else unknown)


def _encoded(accept: str) -> tuple[bytes, str]:
    if "application/openmetrics-text" in accept:
        return openmetrics.generate_latest(REGISTRY), openmetrics.CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call] # it has no annotations
    return exposition.generate_latest(REGISTRY), exposition.CONTENT_TYPE_PLAIN_0_0_4
