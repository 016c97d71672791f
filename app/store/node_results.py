"""What dbt's own runs said of nodes: the last result of each, and a short history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from app.lineage.run_results import VERDICTS, ArtifactKind, NodeResult, Verdict, verdict
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("node_results")
HISTORY = 20
"""Results that are kept of each node."""
ARTIFACTS = 200
"""Artifacts of a connection that are remembered. If an older one is sent again, its results are in the histories, or too old for them."""
ROWS_AT_ONCE = 5_000
"""Results that one statement writes."""
TODAY = timedelta(days=1)
MAX_STALE = 1000
PURGED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class ArtifactHead:
    """Which artifact it is."""

    kind: ArtifactKind
    invocation_id: str
    generated_at: datetime


class PastResult(NamedTuple):
    """One result in a history."""

    at: datetime
    status: str
    seconds: float | None
    failures: int | None
    bytes: int | None
    slot_ms: int | None


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The last result of a node. `history`: the newest first, the last result among them."""

    unique_id: str
    at: datetime
    status: str
    message: str | None
    loaded_at: datetime | None
    history: Sequence[PastResult]


class NodeResults:
    """Results by connection and node."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def save(self, connection_id: str, artifact: ArtifactHead, results: Sequence[NodeResult]) -> int | None:
        """Store the results of an artifact, each of another node; how many are the last of their nodes now. None: it was taken before."""
        key, last = UUID(connection_id), 0
        async with self._db.transaction() as tx:
            noted = await tx.value(SQL["note_artifact"], key, artifact.kind, artifact.invocation_id, artifact.generated_at)
            if noted is None:
                return None
            ordered = sorted(results, key=lambda one: one.unique_id)  # the same order for all: two artifacts cannot exclude each other
            for start in range(0, len(ordered), ROWS_AT_ONCE):
                columns = _columns(artifact.generated_at, ordered[start : start + ROWS_AT_ONCE])
                rows = await tx.rows(SQL["save"], key, artifact.generated_at, *columns, HISTORY)
                last += sum(row["is_last"] for row in rows)
            await tx.execute(SQL["forget_artifacts"], key, ARTIFACTS)
        return last

    async def of_nodes(self, connection_id: str, unique_ids: Collection[str]) -> Mapping[str, StoredResult]:
        """The results of some nodes."""
        rows = await self._db.rows(SQL["of_nodes"], UUID(connection_id), [*unique_ids])
        return {row["unique_id"]: _stored(row) for row in rows}

    async def page(self, connection_id: str, after: str, verdicts: Collection[Verdict], limit: int) -> list[StoredResult]:
        """The next results by unique_id, of those with one of the verdicts, or of all."""
        statuses = [status for status, meaning in VERDICTS.items() if meaning in verdicts]
        others = [*VERDICTS] if not verdicts or verdict("") in verdicts else None
        values = UUID(connection_id), after, statuses if verdicts else [*VERDICTS], others, limit
        return [_stored(row) for row in await self._db.rows(SQL["page"], *values)]

    async def failed(self, connection_id: str, limit: int) -> list[tuple[str, str]]:
        """The unique_ids and statuses of nodes whose last result failed or warned."""
        return [(row["unique_id"], row["status"]) for row in await self._db.rows(SQL["failed"], UUID(connection_id), limit)]

    async def stale_sources(self, connection_id: str) -> dict[str, datetime]:
        """The sources whose freshness failed within the last day, by unique_id, and when."""
        rows = await self._db.rows(SQL["stale_sources"], UUID(connection_id), TODAY, MAX_STALE)
        return {row["unique_id"]: row["at"] for row in rows}

    async def revision(self, connection_id: str) -> int | None:
        """A number that changes with every artifact that is taken; None: there is none."""
        found: int | None = await self._db.value(SQL["revision"], UUID(connection_id))
        return found

    async def purge(self, age: timedelta) -> None:
        """Delete results and artifacts that are older than `age`, in small steps."""
        for step in ("purge", "purge_artifacts"):
            while await self._db.execute(SQL[step], age, PURGED_AT_ONCE) == PURGED_AT_ONCE:
                pass


def _columns(at: datetime, results: Sequence[NodeResult]) -> tuple[list[Any], ...]:
    milliseconds = round(at.timestamp() * 1000)
    entries = [[milliseconds, one.status, one.seconds, one.failures, one.bytes, one.slot_ms] for one in results]
    return (
        [one.unique_id for one in results],
        [one.status for one in results],
        [one.message for one in results],
        [one.loaded_at for one in results],
        [orjson.dumps(entry).decode() for entry in entries],
    )


def _stored(row: asyncpg.Record) -> StoredResult:
    history = [PastResult(datetime.fromtimestamp(entry[0] / 1000, UTC), *entry[1:]) for entry in orjson.loads(row["history"])]
    return StoredResult(row["unique_id"], row["at"], row["status"], row["message"], row["loaded_at"], history)
