"""What extractions cost by month, and what models cost in dbt's own runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("costs")


@dataclass(frozen=True, slots=True)
class MonthCost:
    """The extractions of a connection whose containers reported processor time, in a month; `month` is its first day."""

    month: date
    extractions: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class OwnerCost:
    """The same of an account in one month."""

    owner: str
    extractions: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionCost:
    """The same of a connection in one month."""

    connection_id: str
    owner: str
    repository: str
    project_dir: str | None
    extractions: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class ModelCost:
    """A node in the runs of its history; None: nobody said so."""

    unique_id: str
    runs: int
    since: datetime
    seconds: float | None
    bytes: float | None
    slot_ms: float | None


class Costs:
    """Sums that are kept while results are stored."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of_connection(self, connection_id: str, limit: int) -> list[MonthCost]:
        """The newest months."""
        return [MonthCost(*row.values()) for row in await self._db.rows(SQL["of_connection"], UUID(connection_id), limit)]

    async def owners(self, month: date, owner: str | None, limit: int) -> list[OwnerCost]:
        """The accounts that cost most in a month."""
        return [OwnerCost(*row.values()) for row in await self._db.rows(SQL["owners"], month, owner, limit)]

    async def connections(self, month: date, owner: str | None, limit: int) -> list[ConnectionCost]:
        """The connections that cost most in a month."""
        rows = await self._db.rows(SQL["connections"], month, owner, limit)
        return [ConnectionCost(str(row["connection_id"]), *list(row.values())[1:]) for row in rows]

    async def models(self, connection_id: str, limit: int) -> list[ModelCost]:
        """The nodes that cost most."""
        return [
            ModelCost(
                row["unique_id"],
                row["runs"],
                datetime.fromtimestamp(row["since_ms"] / 1000, UTC),
                *(row[name] for name in ("seconds", "bytes", "slot_ms")),
            )
            for row in await self._db.rows(SQL["models"], UUID(connection_id), limit)
        ]
