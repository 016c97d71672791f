"""Statistics and freshness of a connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.heads import Head
from app.jobs import Connection
from app.web.call import Call
from app.web.keys import HEADS, OBJECTIVE_S
from app.web.models.stats import FreshnessView, StatsQuery, StatsView, freshness
from app.web.operations import API, NoQuery, Operation

DAYS = (7, 30)


async def get_stats(call: Call[StatsQuery, None]) -> StatsView:
    """Show what a connection holds and costs."""
    connection = await call.connection()
    return StatsView.of(connection, await call.store.statistics.of(connection.id, call.query.last), datetime.now(UTC))


async def get_freshness(call: Call[NoQuery, None]) -> FreshnessView:
    """Show how far a connection is behind GitHub, and how fast it usually follows."""
    connection = await call.connection()
    head, branch, objective_s = await _head(call, connection), connection.followed_branch, call.request.app[OBJECTIVE_S]
    answers = await call.store.statistics.answers(connection.id, branch or "", DAYS, timedelta(seconds=objective_s))
    return freshness(connection, head, answers, objective_s, datetime.now(UTC))


async def _head(call: Call[NoQuery, None], connection: Connection) -> Head | None:
    """Ask GitHub for the head. One that nobody told us of is looked at soon, as if its push had just come."""
    if connection.followed_branch is None:
        return None
    head = await call.request.app[HEADS].of(connection.repository, connection.followed_branch)
    if head.refused is None and head.sha not in (None, connection.head_sha):
        await call.store.installations.look_soon(connection.repository.id)
    return head


OPERATIONS = (
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/stats",
        handler=get_stats,
        summary="What the lineage holds, how extractions went, how long their stages took and what they cost",
        tag="connections",
        query=StatsQuery,
        answer=StatsView,
        right="read",
    ),
    Operation(
        method="GET",
        path=f"{API}/connections/{{id}}/freshness",
        handler=get_freshness,
        summary="The head on GitHub and the one that was extracted, the lag, and how often the objective was met",
        tag="connections",
        answer=FreshnessView,
        right="read",
    ),
)
