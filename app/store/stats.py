"""What a connection holds and costs, and how fast it follows: counted over a bounded number of its newest extractions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson

from app.jobs import STAGES
from app.measures import Answers, Cost, Resources, Spread, Stats, Statuses
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("stats")
PUSHES = 10_000
"""Extractions of one branch that are looked at for how fast pushes were answered."""


class Statistics:
    """Statistics by connection."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, connection_id: str, newest: int) -> Stats:
        """Return what the connection's lineage holds, and how its `newest` extractions went and what they cost."""
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

    async def answers(self, connection_id: str, branch: str, days: Sequence[int], objective: timedelta) -> list[Answers]:
        """Return how fast the pushes to a branch were answered, over so many `days` each. `queries/stats.sql` says what counts."""
        rows = await self._db.rows(SQL["pushes"], UUID(connection_id), branch, PUSHES, list(days), objective)
        return [Answers(**dict(row.items())) for row in rows]


def _place(stage: str) -> int:
    """Return where a stage stands on the way."""
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
