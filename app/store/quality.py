"""The quality of commits: counted when their lineages are stored, and looked at when their extractions end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import orjson

from app.core.models.quality import DIMENSIONS, USUAL, QualitySettings
from app.lineage.quality.counts import Count, Counts, GroupedBy, score
from app.lineage.quality.findings import Findings
from app.lineage.quality.tallies import GroupTally, QualityTally
from app.store.pool import Database
from app.store.sql import statements

if TYPE_CHECKING:
    from app.store.lineages import LineageHead

SQL = statements("quality")
Groups = dict[GroupedBy, list[GroupTally]]
Stored = TypeVar("Stored")


@dataclass(frozen=True, slots=True)
class CommitQuality:
    """What the nodes of a commit have of what they could have."""

    sha: str
    extracted_at: datetime
    counts: Counts


@dataclass(frozen=True, slots=True)
class StoredQuality:
    """What is stored of a lineage's quality. What is None was not counted, or not looked at."""

    counts: Counts | None
    groups: Groups | None
    findings: Findings | None
    settings: QualitySettings


class Quality:
    """Quality by lineage."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def trend(self, connection_id: str, branch: str, limit: int) -> list[CommitQuality]:
        """Return what commits of a branch have of what they could have, newest first, as far as they were counted."""
        rows = await self._db.rows(SQL["trend"], UUID(connection_id), branch, limit)
        return [CommitQuality(row["sha"], row["extracted_at"], _counts(row["quality"])) for row in rows]

    async def scores(self, connection_ids: Iterable[str]) -> dict[str, float | None]:
        """Return the scores of the lineages of some connections, by their ids."""
        found = await self._db.rows(SQL["of_connections"], [UUID(one) for one in connection_ids])
        return {str(row["id"]): score(_counts(row["quality"]), _settings(row["quality_settings"])) for row in found}

    async def get(self, head: LineageHead) -> StoredQuality | None:
        """Return what is stored; None if the lineage was replaced or removed since."""
        row = await self._db.row(SQL["of_lineage"], head.id, head.extracted_at)
        return None if row is None else _stored(row)

    async def save_findings(self, head: LineageHead, findings: Findings) -> None:
        """Store what was found in a lineage, unless it was replaced or removed since."""
        await self._db.execute(SQL["save_findings"], head.id, head.extracted_at, msgspec.json.encode(findings).decode())


def quality_columns(tally: QualityTally, settings: QualitySettings) -> tuple[str, str, str | None]:
    """The columns `quality`, `quality_groups` and `quality_settings` of a lineage."""
    set_by_project = None if settings == USUAL else msgspec.json.encode(settings).decode()
    return msgspec.json.encode(tally.counts).decode(), msgspec.json.encode(tally.groups).decode(), set_by_project


def _stored(row: asyncpg.Record) -> StoredQuality:
    counts, groups, findings = row["quality"], row["quality_groups"], row["quality_findings"]
    return StoredQuality(
        None if counts is None else _counts(counts),
        None if groups is None else _readable(groups, Groups),
        None if findings is None else _readable(findings, Findings),
        _settings(row["quality_settings"]),
    )


def _counts(stored: str) -> Counts:
    """Dimensions of other releases are left out."""
    found = orjson.loads(stored)
    return {name: Count(*found[name]) for name in DIMENSIONS if name in found}


def _settings(stored: str | None) -> QualitySettings:
    return USUAL if stored is None else _readable(stored, QualitySettings) or USUAL


def _readable(stored: str, kind: type[Stored]) -> Stored | None:
    """None: another release stored it in another way."""
    try:
        return msgspec.json.decode(stored, type=kind)
    except msgspec.ValidationError:
        return None
