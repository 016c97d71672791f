"""Lineages: nodes stored once per content, and the set of them in each commit."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from app.core.errors import UnavailableError
from app.core.models.comparisons import Base
from app.core.models.extractions import ANYONE, Extraction
from app.core.models.quality import USUAL, QualitySettings
from app.lineage.nodes import HASH_BYTES, MAX_LISTED, NODE_COLUMNS, ChangeSummary, StorableLineage
from app.store import rows
from app.store.contents import add_missing
from app.store.pool import Database
from app.store.quality import quality_columns
from app.store.sql import statements

SQL = statements("lineages")
MAX_AMBIGUOUS = 10
_SHORT = re.compile(r"[0-9a-fA-F]{7,63}")


@dataclass(frozen=True, slots=True)
class KnownInput:
    """An earlier commit with the same input: its lineage, and the result of its extraction."""

    lineage_id: int
    sha: str
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SavedLineage:
    """The outcome of storing a lineage."""

    switched: bool
    """Whether it is the connection's lineage now."""
    change: ChangeSummary | None
    """The differences from the connection's previous lineage; None if there was none."""
    before: Base | None = None
    """The commit of that lineage, and its branch."""


@dataclass(frozen=True, slots=True)
class LineageHead:
    """A lineage without its nodes."""

    id: int
    sha: str
    branch: str
    project_name: str | None
    dbt_version: str
    adapter_type: str | None
    manifest_schema: str
    extracted_at: datetime
    columns_state: str | None = None
    """`pending`, `ready` or `failed`; None: nobody asked for columns. It changes after the lineage was stored."""
    columns_reason: str | None = None
    """Why they failed."""


@dataclass(frozen=True, slots=True)
class StoredNode:
    """A node as it is stored: see `lineage.nodes.Node`."""

    content: bytes
    definition: bytes | None


class Lineages:
    """Lineages by connection and commit."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find_by_input(self, connection_id: str, input_hash: bytes, trusted: Iterable[str]) -> KnownInput | None:
        """Find the newest commit of a connection with the same input, and a lineage with one of these trusts."""
        row = await self._db.row(SQL["find_by_input"], UUID(connection_id), input_hash, list(trusted))
        if row is None:
            return None
        result = orjson.loads(row["result"])
        return KnownInput(row["id"], row["sha"], result) if rows.is_result(result) else None

    async def forget_input(self, connection_id: str, input_hash: bytes) -> None:
        """Let no commit have a lineage of this input, known until now, carried forward."""
        await self._db.execute(SQL["forget_input"], UUID(connection_id), input_hash)

    async def recently_used_images(self) -> list[tuple[str, str, float]]:
        """Return the runner images (by name) and adapters of the newest lineages, and their age in seconds, newest first."""
        return [(row["image"], row["adapter_type"], row["age_s"]) for row in await self._db.rows(SQL["recently_used_images"])]

    async def carry_forward(self, extraction: Extraction, lineage_id: int) -> SavedLineage:
        """Copy a lineage to the extraction's commit. Call it in a transaction."""
        key = UUID(extraction.connection_id)
        before, head = await self._locked(key)
        if (kept := await self._kept(extraction, key, before)) is not None:
            return kept
        same = before == lineage_id
        change = ChangeSummary() if same else await self._change(key, before, await self._db.value(SQL["hashes"], lineage_id) or b"")
        await self._db.execute(SQL["lock_extraction"], UUID(extraction.id))
        carried = await self._db.value(SQL["carry_forward"], lineage_id, UUID(extraction.id), extraction.sha, extraction.branch)
        if carried is None:
            raise UnavailableError(
                "carrying a lineage forward", "it has just been deleted because of its age", "Freshet retries automatically."
            )
        return SavedLineage(await self._switched(extraction, carried), change, head)

    async def save(
        self,
        extraction: Extraction,
        lineage: StorableLineage,
        input_hash: bytes,
        trust: str = ANYONE,
        *,
        columns_follow: bool = False,
        quality_settings: QualitySettings = USUAL,
    ) -> SavedLineage:
        """Store the lineage of an extraction's commit, with rows for new nodes only. Call it in a transaction.

        `trust`: the branch (see `BranchTrust`) whose parse state had a part in it. `columns_follow`: see `Columns`; until they are settled,
        other commits do not find it by its input.
        """
        key, hashes = UUID(extraction.connection_id), lineage.hashes
        before, head = await self._locked(key)
        if (kept := await self._kept(extraction, key, before)) is not None:
            return kept
        missing = await self._db.value(SQL["missing_nodes"], key, hashes, HASH_BYTES)
        await add_missing(self._db, "nodes", NODE_COLUMNS, missing, key, lineage)
        # First compare, then store: this may replace the lineage that it is compared with.
        change = await self._change(key, before, hashes)
        names = lineage.project_name, lineage.dbt_version, lineage.adapter_type, lineage.manifest_schema
        commit = UUID(extraction.id), extraction.sha, extraction.branch
        settled = (None, "pending") if columns_follow else (input_hash, None)
        await self._db.execute(SQL["lock_extraction"], commit[0])
        quality = quality_columns(lineage.quality, quality_settings)
        lineage_id = await self._db.value(SQL["save"], key, *commit, *names, *settled, hashes, HASH_BYTES, trust, *quality)
        return SavedLineage(await self._switched(extraction, lineage_id), change, head)

    async def head(self, connection_id: str, sha: str | None = None) -> LineageHead | None:
        """Return the connection's lineage, or that of one commit, without its nodes."""
        if sha is None:
            row = await self._db.row(SQL["current"], UUID(connection_id))
        else:
            row = await self._db.row(SQL["at_sha"], UUID(connection_id), sha)
        return None if row is None else _head(row)

    async def find(self, connection_id: str, commit: str) -> list[LineageHead]:
        """Return the lineages that a commit's name means, without their nodes: a full id, a branch, or the beginning of an id.

        More than one (at most `MAX_AMBIGUOUS`): the beginning is ambiguous.
        """
        key = UUID(connection_id)
        rows = await self._db.rows(SQL["at_sha"], key, commit.lower()) or await self._db.rows(SQL["of_branch"], key, commit)
        if not rows and _SHORT.fullmatch(commit):
            start = commit.lower()
            rows = await self._db.rows(SQL["beginning_with"], key, start, f"{start}g", MAX_AMBIGUOUS)
        return [_head(row) for row in rows]

    async def node(self, head: LineageHead, unique_id: str) -> StoredNode | None:
        """Return one node of a lineage; None if the lineage was replaced or removed since."""
        row = await self._db.row(SQL["node"], head.id, head.extracted_at, unique_id)
        return None if row is None else StoredNode(row["content"], row["definition"])

    async def definitions(self, head: LineageHead, unique_ids: Collection[str], most_bytes: int) -> dict[str, bytes]:
        """Return the definitions of nodes of a lineage by unique_id, without those that are longer than `most_bytes`."""
        rows = await self._db.rows(SQL["definitions"], head.id, head.extracted_at, list(unique_ids), most_bytes)
        return {row["unique_id"]: row["definition"] for row in rows}

    async def recent_commits(self, connection_id: str, limit: int) -> list[str]:
        """Return the ids of the commits that were extracted last, newest first."""
        return [row["sha"] for row in await self._db.rows(SQL["recent_commits"], UUID(connection_id), limit)]

    async def _locked(self, key: UUID) -> tuple[int | None, Base | None]:
        """Lock the connection's lineage until the end of the transaction, and return its id and its commit."""
        found: int | None = await self._db.value(SQL["lock_connection"], key)
        row = None if found is None else await self._db.row(SQL["commit"], found)
        return found, None if row is None else Base("previous_head", row["sha"], row["branch"])

    async def _kept(self, extraction: Extraction, key: UUID, before: int | None) -> SavedLineage | None:
        """The outcome if a stranger's commit was pushed to the repository meanwhile: its lineage is not the stranger's any more."""
        found = await self._db.value(SQL["of_repository"], key, extraction.sha) if extraction.of_fork else None
        if found is None:
            return None
        return SavedLineage(switched=False, change=await self._change(key, before, await self._db.value(SQL["hashes"], found) or b""))

    async def _switched(self, extraction: Extraction, lineage_id: int) -> bool:
        return await self._db.execute(SQL["switch"], UUID(extraction.id), lineage_id) == 1

    async def _change(self, key: UUID, before: int | None, hashes: bytes) -> ChangeSummary | None:
        if before is None:
            return None
        found: dict[str, list[asyncpg.Record]] = {}
        for row in await self._db.rows(SQL["difference"], key, before, hashes, HASH_BYTES, MAX_LISTED):
            found.setdefault(row["kind"], []).append(row)
        named: dict[str, tuple[Any, ...]] = {
            kind: tuple((row["upstream"], row["unique_id"]) if kind.startswith("edges") else row["unique_id"] for row in rows)
            for kind, rows in found.items()
        }
        more = {kind: rows[0]["total"] - len(rows) for kind, rows in found.items()}
        return ChangeSummary(more=more, **named)


def _head(row: asyncpg.Record) -> LineageHead:
    return LineageHead(**dict(row.items()))
