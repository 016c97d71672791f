"""What operators see of the whole service: figures over all connections, and the extractions that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg
import orjson

from app.store.pool import Database
from app.store.sql import statements

SQL = statements("operations")
ENDED = 20_000
"""The number of ended extractions that figures are computed from."""
TOP = 10
"""The length of lists of the most frequent causes, and of who costs most."""
COUNTED = 10_000
"""Counts of deliveries and sessions stop here."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many extractions ended in one way in the last day and week; `conclusion` is that of a failure."""

    name: str
    day: int
    week: int
    conclusion: str | None = None


@dataclass(frozen=True, slots=True)
class SpanFigures:
    """How long extractions were `waiting` or `running` within some days, in seconds."""

    kind: str
    days: int
    times: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Spender:
    """A connection or an installation, the processor time that dbt needed for it within a week, and all extractions that ended."""

    id: str
    name: str
    cpu_seconds: float
    extractions: int


@dataclass(frozen=True, slots=True)
class EndedFigures:
    """Figures of the extractions that ended in the last week, or since `since` if there were more than `ENDED`."""

    since: datetime | None
    statuses: Sequence[Tally]
    failures: Sequence[Tally]
    """The most frequent causes."""
    spans: Sequence[SpanFigures]
    connections: Sequence[Spender]
    installations: Sequence[Spender]


@dataclass(frozen=True, slots=True)
class DeliveryFigures:
    """Deliveries of the last three days. A missed one failed, and was requested again; repaired ones have arrived since."""

    received: int
    missed: int
    repaired: int


@dataclass(frozen=True, slots=True)
class MissedDelivery:
    """A delivery that failed; `event` and `received_at` are None until it arrives."""

    id: str
    times: int
    asked_at: datetime
    event: str | None
    received_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """How many sessions there are, and of how many people."""

    sessions: int
    people: int


@dataclass(frozen=True, slots=True)
class SignedInPerson:
    """A person with sessions; `login` is that of the newest sign-in."""

    user_id: int
    login: str
    sessions: int
    since: datetime
    used_at: datetime


@dataclass(frozen=True, slots=True)
class UnsentCheckRun:
    """A check run that GitHub does not show as it is, and what its extraction is about."""

    extraction_id: str
    connection_id: str
    repository: str
    project_dir: str | None
    branch: str
    sha: str
    status: str
    due_at: datetime
    attempts: int
    is_created: bool
    is_being_sent: bool
    reason: str | None
    """Why it is not tried any more."""


@dataclass(frozen=True, slots=True)
class TableFigures:
    """A table of the database with its indexes; the number of rows is PostgreSQL's estimate, None before the first one."""

    name: str
    size_bytes: int
    rows: int | None


@dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """The database itself; `migration` is the newest one, `tables` are the largest."""

    size_bytes: int
    version: str
    migration: str
    migrations: int
    tables: Sequence[TableFigures] = ()


@dataclass(frozen=True, slots=True)
class FirstRun:
    """How far a new service is: the App installed, a project found, extractions waiting or running, one failed, a lineage stored."""

    installed: bool
    found: bool
    working: bool
    failed: bool
    extracted: bool


@dataclass(frozen=True, slots=True)
class ListedExtraction:
    """An extraction in a list for operators: nothing that its repository contains."""

    id: str
    connection_id: str
    repository: str
    project_dir: str | None
    branch: str
    sha: str
    status: str
    stage: str | None
    trigger: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cause: str | None
    cpu_seconds: float | None

    @property
    def seconds(self) -> float | None:
        """How long it ran; None if it did not end, or never ran."""
        return None if self.started_at is None or self.finished_at is None else (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which extractions a list has: `queued`, `running` or another status; None: all that ended. `days` counts for ended ones."""

    status: str | None = None
    days: int = 7
    cause: str | None = None
    connection_id: str | None = None
    installation_id: int | None = None


class Operations:
    """Reads over all connections, each of bounded cost."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ended(self) -> EndedFigures:
        """Figures of what ended in the last week."""
        row = await self._db.row(SQL["ended"], ENDED, TOP)
        assert row is not None  # noqa: S101 - a SELECT without FROM gives a row
        parts = {name: orjson.loads(row[name] or "[]") for name in ("statuses", "failures", "spans", "connections", "installations")}
        connections = {str(one["id"]): _project(one) for one in await self._names("connection_names", parts["connections"])}
        installations = {str(one["id"]): one["account"] for one in await self._names("installation_names", parts["installations"])}
        return EndedFigures(
            since=row["since"] if row["counted"] == ENDED else None,
            statuses=[Tally(one["status"], one["day"], one["week"]) for one in parts["statuses"]],
            failures=[Tally(one["cause"], one["day"], one["week"], one["conclusion"]) for one in parts["failures"]],
            spans=[SpanFigures(**one) for one in parts["spans"]],
            connections=_spenders(parts["connections"], connections),
            installations=_spenders(parts["installations"], installations),
        )

    async def deliveries(self) -> DeliveryFigures:
        """Counts of deliveries, up to `COUNTED`."""
        row = await self._db.row(SQL["deliveries"], COUNTED)
        assert row is not None  # noqa: S101 - an aggregate gives a row
        return DeliveryFigures(**dict(row.items()))

    async def missed_deliveries(self, limit: int) -> list[MissedDelivery]:
        """The newest missed deliveries."""
        rows = await self._db.rows(SQL["missed_deliveries"], limit)
        return [MissedDelivery(row["delivery_id"], row["times"], row["asked_at"], row["event"], row["received_at"]) for row in rows]

    async def sessions(self, idle: timedelta) -> SessionFigures:
        """Count the sessions that were used within `idle`, up to `COUNTED`."""
        row = await self._db.row(SQL["sessions"], COUNTED, idle)
        assert row is not None  # noqa: S101 - an aggregate gives a row
        return SessionFigures(row["sessions"], row["people"])

    async def people(self, idle: timedelta, *, limit: int, skip: int = 0) -> list[SignedInPerson]:
        """The people whose sessions `sessions` counts, those who were here last first."""
        rows = await self._db.rows(SQL["people"], COUNTED, idle, limit, skip)
        return [SignedInPerson(**dict(row.items())) for row in rows]

    async def check_runs(self, which: Literal["due", "unsent"], *, limit: int, skip: int = 0) -> list[UnsentCheckRun]:
        """Check runs that are due to be sent, the oldest first, or those that are not tried any more, the newest first."""
        rows = await self._db.rows(SQL[f"check_runs_{which}"], limit, skip)
        ids = ("extraction_id", "connection_id")
        return [UnsentCheckRun(**{**dict(row.items()), **{name: str(row[name]) for name in ids}}) for row in rows]

    async def database(self) -> DatabaseFigures:
        """The database's size, version and largest tables."""
        row = await self._db.row(SQL["database"])
        assert row is not None  # noqa: S101 - a SELECT without FROM gives a row
        tables = [TableFigures(**dict(one.items())) for one in await self._db.rows(SQL["tables"], TOP)]
        return DatabaseFigures(**dict(row.items()), tables=tables)

    async def first_run(self) -> FirstRun:
        """How far the service is."""
        row = await self._db.row(SQL["first_run"])
        assert row is not None  # noqa: S101 - a SELECT without FROM gives a row
        return FirstRun(**dict(row.items()))

    async def extractions(self, wanted: ListFilter, *, limit: int, skip: int = 0) -> list[ListedExtraction]:
        """Active extractions, the oldest first, or ended ones, the newest first."""
        connection = UUID(wanted.connection_id) if wanted.connection_id else None
        of = connection, wanted.installation_id
        if wanted.status in ("queued", "running"):
            found = await self._db.rows(SQL["active"], wanted.status, *of, limit, skip)
        else:
            found = await self._db.rows(SQL["ended_list"], ENDED, wanted.days, wanted.status, wanted.cause, *of, limit, skip)
        return [_listed(row) for row in found]

    async def _names(self, statement: str, spenders: Sequence[dict[str, Any]]) -> list[asyncpg.Record]:
        return await self._db.rows(SQL[statement], [one["id"] for one in spenders])


def _project(row: asyncpg.Record) -> str:
    return f"{row['full_name']}, {row['project_dir']}" if row["project_dir"] else str(row["full_name"])


def _spenders(found: Sequence[dict[str, Any]], names: dict[str, str]) -> list[Spender]:
    return [
        Spender(str(one["id"]), names.get(str(one["id"]), ""), float(str(one["cpu_seconds"])), int(str(one["extractions"])))
        for one in found
    ]


def _listed(row: asyncpg.Record) -> ListedExtraction:
    values: dict[str, Any] = dict(row.items())
    values["id"], values["connection_id"], values["repository"] = str(row["id"]), str(row["connection_id"]), values.pop("full_name")
    return ListedExtraction(**values)
