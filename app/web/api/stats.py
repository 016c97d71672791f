"""Statistics and freshness of a connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from app.core.models.connections import Connection
from app.pipeline.branch_heads import ObservedHead
from app.web.api.call import Call
from app.web.api.operation import API, NoQuery, Operation
from app.web.api.schemas.stats import FreshnessView, StatsQuery, StatsView, freshness
from app.web.keys import HEADS, OBJECTIVE_S

DAYS = (7, 30)


async def get_stats(call: Call[StatsQuery, None]) -> StatsView:
    """Statistics of a connection."""
    connection = await call.connection()
    return StatsView.of(connection, await call.store.statistics.for_connection(connection.id, call.query.last), datetime.now(UTC))


async def get_freshness(call: Call[NoQuery, None]) -> FreshnessView:
    """How far a connection is behind GitHub, and how often it met the objective."""
    return await freshness_of(call, await call.connection())


async def freshness_of(call: Call[Any, Any], connection: Connection) -> FreshnessView:
    """The same of a connection that the caller may read."""
    head, branch, objective_s = await _head(call, connection), connection.followed_branch, call.request.app[OBJECTIVE_S]
    answers = await call.store.statistics.freshness(connection.id, branch or "", DAYS, timedelta(seconds=objective_s))
    return freshness(connection, head, answers, objective_s, datetime.now(UTC))


async def _head(call: Call[Any, Any], connection: Connection) -> ObservedHead | None:
    """Ask GitHub for the head. If no push reported it, the repository is checked soon, as if its push had just arrived."""
    if connection.followed_branch is None:
        return None
    head = await call.request.app[HEADS].get(connection.repository, connection.followed_branch)
    if head.error is None and head.sha not in (None, connection.head_sha):
        await call.store.installations.look_soon(connection.repository.id)
    return head


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/stats",
        id="get_stats",
        handler=get_stats,
        summary="Get statistics: size of the lineage; outcomes, durations, CPU time and memory of extractions",
        tag="connections",
        query=StatsQuery,
        response=StatsView,
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/freshness",
        id="get_freshness",
        handler=get_freshness,
        summary="Get freshness: the head on GitHub, the extracted commit, the lag, and how often the objective was met",
        tag="connections",
        response=FreshnessView,
        right="read",
    ),
)
