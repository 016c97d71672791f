"""A connection's contents, costs and freshness, from a limited number of its newest extractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args
from uuid import UUID

import asyncpg
import orjson

from app.core.models.connections import UPDATING_FOR, State
from app.core.models.extractions import STAGES
from app.core.models.stats import Cost, FreshnessWindow, Resources, Spread, Stats, Statuses
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("stats")
PUSHES = 10_000
"""The number of extractions of a branch from which its freshness is computed."""
COUNTED = 10_000
"""Counts of the backlog stop here, so that a long queue does not make them slow."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The waiting work of all processes that share the database. Counts stop at 10,000."""

    queued: int
    running: int
    queued_s: float
    """Seconds since the oldest extraction became due."""
    check_runs_due: int
    check_runs_due_s: float
    """Seconds since the oldest check run became due."""
    check_runs_unsent: int
    """Those that GitHub will not have, after the last attempt."""


@dataclass(frozen=True, slots=True)
class ConnectionStates:
    """How many connections are in each state, of up to 10,000, and for how many seconds the oldest stale one has been behind."""

    counts: Mapping[State, int]
    oldest_stale_s: float


class Statistics:
    """Statistics by connection."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def for_connection(self, connection_id: str, newest: int) -> Stats:
        """Return statistics of a connection's lineage and of its `newest` extractions."""
        key = UUID(connection_id)
        resources = await self._db.row(SQL["resources"], key)
        statuses = await self._db.rows(SQL["statuses"], key, newest)
        stages = {row["stage"]: _spread(row) for row in await self._db.rows(SQL["stages"], key, newest)}
        costs = await self._db.row(SQL["costs"], key, newest)
        assert costs is not None  # noqa: S101 - an aggregate gives a row
        return Stats(
            resources=None if resources is None else _resources(resources),
            extractions=_statuses(statuses),
            stages={stage: stages[stage] for stage in sorted(stages, key=_place)},
            cpu_seconds=_cost(costs, "cpu", "cpu_sum"),
            peak_memory_bytes=_cost(costs, "peak", "peak_max"),
        )

    async def freshness(self, connection_id: str, branch: str, days: Sequence[int], objective: timedelta) -> list[FreshnessWindow]:
        """Return how many pushes to a branch met the objective, for each number of `days`. `queries/stats.sql` defines what counts."""
        rows = await self._db.rows(SQL["freshness"], UUID(connection_id), branch, PUSHES, list(days), objective)
        return [FreshnessWindow(**dict(row.items())) for row in rows]

    async def backlog(self) -> Backlog:
        """Count the waiting work of all processes. Raises DatabaseUnavailableError."""
        row = await self._db.row(SQL["backlog"], COUNTED)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives a row
        queued_s, check_runs_due_s = (max(row[name] or 0.0, 0.0) for name in ("queued_s", "check_runs_due_s"))
        return Backlog(row["queued"], row["running"], queued_s, row["check_runs_due"], check_runs_due_s, row["check_runs_unsent"])

    async def connection_states(self) -> ConnectionStates:
        """The states of all connections. Raises DatabaseUnavailableError."""
        rows = {row["state"]: row for row in await self._db.rows(SQL["connection_states"], COUNTED, UPDATING_FOR)}
        oldest_s = rows["stale"]["behind_s"] if "stale" in rows else None
        return ConnectionStates({state: rows[state]["connections"] if state in rows else 0 for state in get_args(State)}, oldest_s or 0.0)


def _place(stage: str) -> int:
    """The position of a stage in an extraction."""
    order: tuple[str, ...] = STAGES
    return order.index(stage) if stage in order else len(order)


def _resources(row: asyncpg.Record) -> Resources:
    counts = orjson.loads(row["counts"]) if row["counts"] else {}
    return Resources(row["sha"], row["extracted_at"], counts, row["nodes"] or 0, row["edges"] or 0)


def _statuses(rows: Sequence[asyncpg.Record]) -> Statuses:
    return Statuses({row["status"]: row["extractions"] for row in rows}, min((row["since"] for row in rows), default=None))


def _spread(row: asyncpg.Record) -> Spread:
    return Spread(row["times"], row["last"], row["p50"], row["p95"])


def _cost(row: asyncpg.Record, name: str, whole: str) -> Cost:
    spread = Spread(row[f"{name}_times"], *(row[f"{name}_{part}"] for part in ("last", "p50", "p95")))
    return Cost(spread, row[whole])
