"""`/metrics`: what `app.metrics` holds, in Prometheus' text format or in OpenMetrics, as the reader asks.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import REGISTRY, exposition
from prometheus_client.openmetrics import exposition as openmetrics

from app import metrics
from app.errors import FreshetError
from app.records import Backlog
from app.storage import Store
from app.web.keys import STORE

STORE_S = 2.0
"""So long the database may take: a scrape is answered without it rather than late."""
FRESH_S = 2.0
"""So long an answer of the database is good: nobody can have it work by asking often."""
EVENTS = frozenset({"ping", "push", "installation", "installation_repositories", "repository", "check_run", "check_suite"})
OUTCOMES = {
    HTTPStatus.ACCEPTED: "accepted",
    HTTPStatus.UNAUTHORIZED: "unsigned",
    HTTPStatus.REQUEST_TIMEOUT: "late",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_big",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
}


class Page:
    """`GET /metrics`."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._asked_at = float("-inf")

    async def show(self, request: web.Request) -> web.Response:
        """Answer whether or not the database does: what is read from it is then NaN."""
        store = request.app[STORE]
        await self._ask(store)
        use = store.pool_use()
        metrics.DATABASE_USED.set(use.used)
        metrics.DATABASE_LIMIT.set(use.limit)
        body, content_type = _encoded(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    async def _ask(self, store: Store) -> None:
        now = asyncio.get_running_loop().time
        async with self._lock:
            if now() - self._asked_at < FRESH_S:
                return
            try:
                async with asyncio.timeout(STORE_S):
                    _note(await store.backlog())
            except (FreshetError, TimeoutError):
                _note(None)
            self._asked_at = now()


def counted(webhook: Handler) -> Handler:
    """Count deliveries. The event is what the sender says, before anything is checked: names that GitHub does not send us are `other`."""

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


def _note(backlog: Backlog | None) -> None:
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
