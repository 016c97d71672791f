"""Lineages: content-addressed nodes, and the set of them that each commit has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from app import copy_format
from app.errors import UnavailableError
from app.jobs import Extraction
from app.lineage import HASH_BYTES, LISTED, NODE_COLUMNS, Difference, StorableLineage
from app.records import KnownInput, LineageHead, Saved
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("lineages")
COLUMNS = ("connection_id", *NODE_COLUMNS)


class Lineages:
    """Lineages by connection and commit."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of_input(self, connection_id: str, input_hash: bytes) -> KnownInput | None:
        """Return the newest commit of a connection that had the same input."""
        row = await self._db.row(SQL["of_input"], UUID(connection_id), input_hash)
        return None if row is None else KnownInput(row["id"], row["sha"], orjson.loads(row["result"]))

    async def lately_used(self) -> list[tuple[str, str]]:
        """Return what the newest lineages were made with, each once: runner image (by name) and adapter."""
        rows = await self._db.rows(SQL["lately_used"])
        return list(dict.fromkeys((row["image"], row["adapter_type"]) for row in rows))

    async def carry(self, extraction: Extraction, lineage_id: int) -> Saved:
        """Let a lineage be that of the extraction's commit too. To be called in a transaction."""
        key = UUID(extraction.connection_id)
        before = await self._locked(key)
        same = before == lineage_id
        change = Difference() if same else await self._change(key, before, await self._db.value(SQL["hashes"], lineage_id) or b"")
        carried = await self._db.value(SQL["carry"], lineage_id, UUID(extraction.id), extraction.sha, extraction.branch)
        if carried is None:
            raise UnavailableError("carrying a lineage forward", "it was deleted meanwhile, as it was old", "It is tried again by itself.")
        return Saved(await self._switched(extraction, carried), change)

    async def save(self, extraction: Extraction, lineage: StorableLineage, input_hash: bytes) -> Saved:
        """Store the lineage of an extraction's commit. To be called in a transaction. Rows are written for new nodes only."""
        key, hashes = UUID(extraction.connection_id), lineage.hashes
        before = await self._locked(key)
        await self._add_nodes(key, lineage, hashes)
        # Before the lineage is stored: it may take the place of the very one that it is compared with.
        change = await self._change(key, before, hashes)
        names = lineage.project_name, lineage.dbt_version, lineage.adapter_type, lineage.manifest_schema
        commit = UUID(extraction.id), extraction.sha, extraction.branch
        lineage_id = await self._db.value(SQL["save"], key, *commit, *names, input_hash, hashes, HASH_BYTES)
        return Saved(await self._switched(extraction, lineage_id), change)

    async def head(self, connection_id: str, sha: str | None = None) -> LineageHead | None:
        """Return what stands above the nodes: of the connection's lineage, or of one commit that was extracted."""
        if sha is None:
            row = await self._db.row(SQL["current"], UUID(connection_id))
        else:
            row = await self._db.row(SQL["at_sha"], UUID(connection_id), sha)
        return None if row is None else _head(row)

    async def _locked(self, key: UUID) -> int | None:
        """Return the connection's lineage, which stays until the end of the transaction: what is compared is what is replaced."""
        found: int | None = await self._db.value(SQL["lock_connection"], key)
        return found

    async def _switched(self, extraction: Extraction, lineage_id: int) -> bool:
        return await self._db.execute(SQL["switch"], UUID(extraction.id), lineage_id) == 1

    async def _add_nodes(self, key: UUID, lineage: StorableLineage, hashes: bytes) -> None:
        if places := await self._db.value(SQL["missing_nodes"], key, hashes, HASH_BYTES):
            row = copy_format.start(len(COLUMNS)) + copy_format.fields(key.bytes)
            rows = lineage.rows(await asyncio.to_thread(_unique, hashes, places), row)
            await self._db.copy("nodes", COLUMNS, _copied(rows))

    async def _change(self, key: UUID, before: int | None, hashes: bytes) -> Difference | None:
        if before is None:
            return None
        found: dict[str, list[asyncpg.Record]] = {}
        for row in await self._db.rows(SQL["difference"], key, before, hashes, HASH_BYTES, LISTED):
            found.setdefault(row["kind"], []).append(row)
        named: dict[str, tuple[Any, ...]] = {
            kind: tuple((row["upstream"], row["unique_id"]) if kind.startswith("edges") else row["unique_id"] for row in rows)
            for kind, rows in found.items()
        }
        more = {kind: rows[0]["total"] - len(rows) for kind, rows in found.items()}
        return Difference(more=more, **named)


def _unique(hashes: bytes, places: Sequence[int]) -> list[int]:
    """Leave one place for each hash: nodes that only the character which cannot be stored told apart have the same one."""
    return list({hashes[HASH_BYTES * place : HASH_BYTES * (place + 1)]: place for place in places}.values())


async def _copied(rows: Iterator[bytes]) -> AsyncIterator[bytes]:
    yield copy_format.HEADER
    # Rows are read from a file, or made.
    while chunk := await asyncio.to_thread(next, rows, b""):
        yield chunk
    yield copy_format.TRAILER


def _head(row: asyncpg.Record) -> LineageHead:
    return LineageHead(**dict(row.items()))
