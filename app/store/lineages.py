"""Lineages: content-addressed nodes, and the set of them that each commit has."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import orjson

from app.jobs import Extraction
from app.lineage import Fingerprints, Lineage, Node
from app.storage import KnownInput, LineageHead, StoredNode
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("lineages")
COLUMNS = ("connection_id", "hash", "unique_id", "resource_type", "name", "package_name", "upstream", "content")


class Lineages:
    """Lineages by connection and commit."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def current_fingerprints(self, connection_id: str) -> Fingerprints | None:
        """Return the connection's lineage as unique_id → (hash, upstream), None while it has none.

        The connection stays locked until the end of the transaction, so that what is compared is what is replaced.
        """
        lineage_id = await self._db.value(SQL["lock_connection"], UUID(connection_id))
        if lineage_id is None:
            return None
        return await self.fingerprints(lineage_id)

    async def fingerprints(self, lineage_id: int) -> Fingerprints:
        """Return a lineage as far as it takes to compare it."""
        found = await self._db.rows(SQL["fingerprints"], lineage_id)
        return {row["unique_id"]: (row["hash"], frozenset(row["upstream"])) for row in found}

    async def of_input(self, connection_id: str, input_hash: bytes) -> KnownInput | None:
        """Return the newest commit of a connection that had the same input."""
        row = await self._db.row(SQL["of_input"], UUID(connection_id), input_hash)
        return None if row is None else KnownInput(row["id"], row["sha"], orjson.loads(row["result"]))

    async def carry(self, extraction: Extraction, lineage_id: int) -> bool:
        """Let a lineage be that of the extraction's commit too; True when the connection was switched to it."""
        carried = await self._db.value(SQL["carry"], lineage_id, UUID(extraction.id), extraction.sha, extraction.branch)
        return await self._db.execute(SQL["switch"], UUID(extraction.id), carried) == 1

    async def save(self, extraction: Extraction, lineage: Lineage, input_hash: bytes) -> bool:
        """Store the lineage of an extraction's commit; True when the connection was switched to it.

        To be called in a transaction that has the connection locked. Rows are written for new nodes only.
        """
        key = UUID(extraction.connection_id)
        hashes = [node.hash for node in lineage.nodes]
        ids = await self._node_ids(key, hashes)
        missing = {node_hash: node for node_hash, node in zip(hashes, lineage.nodes, strict=True) if node_hash not in ids}
        if missing:
            await self._db.copy("nodes", COLUMNS, (_record(key, node_hash, node) for node_hash, node in missing.items()))
            ids |= await self._node_ids(key, list(missing))
        lineage_id = await self._db.value(
            SQL["save"],
            key,
            UUID(extraction.id),
            extraction.sha,
            extraction.branch,
            lineage.project_name,
            lineage.dbt_version,
            lineage.adapter_type,
            lineage.manifest_schema,
            [ids[node_hash] for node_hash in hashes],
            input_hash,
        )
        return await self._db.execute(SQL["switch"], UUID(extraction.id), lineage_id) == 1

    async def head(self, connection_id: str, sha: str | None = None) -> LineageHead | None:
        """Return what stands above the nodes: of the connection's lineage, or of one commit that was extracted."""
        if sha is None:
            row = await self._db.row(SQL["current"], UUID(connection_id))
        else:
            row = await self._db.row(SQL["at_sha"], UUID(connection_id), sha)
        return None if row is None else _head(row)

    async def nodes(self, lineage_id: int) -> list[StoredNode]:
        """Return the nodes of a lineage by unique_id."""
        found = await self._db.rows(SQL["nodes"], lineage_id)
        return [StoredNode(row["unique_id"], row["content"], tuple(row["upstream"])) for row in found]

    async def _node_ids(self, key: UUID, hashes: list[bytes]) -> dict[bytes, int]:
        return {row["hash"]: row["id"] for row in await self._db.rows(SQL["known_nodes"], key, hashes)}


def _record(key: UUID, node_hash: bytes, node: Node) -> tuple[object, ...]:
    names = node.unique_id, node.resource_type, node.name, node.package_name
    return key, node_hash, *names, list(node.upstream), node.content.decode()


def _head(row: asyncpg.Record) -> LineageHead:
    return LineageHead(**dict(row.items()))
