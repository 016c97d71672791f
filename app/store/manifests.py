"""dbt's own manifests, compressed, each stored once per content; commits point to them.

Kept are those of the newest commit of the followed branch and of each other branch, and older ones as long as there is room.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.core.models.extractions import Extraction
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("manifests")
MAX_STORED_BYTES = 32 << 20
"""Of one manifest, compressed: some 300 MB as dbt writes it."""
OLDER_BYTES = 64 << 20
"""Of a connection: up to this sum, also those of older commits are kept."""
BRANCHES_BYTES = 256 << 20
"""Of a connection: up to this sum, those of the newest commits of all branches are kept."""
PIECE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class PackedManifest:
    """A manifest as it is stored."""

    hash: bytes
    """Of the manifest before compression."""
    size_bytes: int
    """Before compression."""
    content: bytes | None
    """gzip; None: it would be longer than `MAX_STORED_BYTES`."""


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest without its content."""

    id: int
    hash: bytes
    size_bytes: int
    stored_bytes: int
    kept: bool
    """False: it was too big."""


class Manifests:
    """Manifests by lineage."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def save(self, extraction: Extraction, manifest: PackedManifest) -> None:
        """Store the manifest of the extraction's commit, if its lineage is stored."""
        values = manifest.hash, manifest.size_bytes, manifest.content
        await self._db.execute(SQL["save"], UUID(extraction.connection_id), extraction.sha, *values)

    async def carry(self, extraction: Extraction, lineage_id: int) -> None:
        """Give the extraction's commit the manifest of the lineage that it carries, if that has one."""
        await self._db.execute(SQL["carry"], UUID(extraction.connection_id), extraction.sha, lineage_id)

    async def of_lineage(self, lineage_id: int) -> StoredManifest | None:
        """Return the manifest of a lineage; None if it is not kept."""
        row = await self._db.row(SQL["of_lineage"], lineage_id)
        return None if row is None else StoredManifest(**dict(row.items()))

    async def piece(self, manifest: StoredManifest, start: int) -> bytes | None:
        """Return the next `PIECE_BYTES` of the content from an offset; None if it was deleted since."""
        found: bytes | None = await self._db.value(SQL["piece"], manifest.id, start + 1, PIECE_BYTES)
        return found

    async def commits(self, connection_id: str, limit: int) -> list[str]:
        """Return the newest commits whose manifests are kept."""
        return [row["sha"] for row in await self._db.rows(SQL["commits"], UUID(connection_id), limit)]

    async def delete_old(self, connection_id: str) -> None:
        """Delete what is not kept any more. Not in the transaction of `save`: two of these can exclude each other."""
        await self._db.execute(SQL["delete_old"], UUID(connection_id), OLDER_BYTES, BRANCHES_BYTES)

    async def close_branch(self, repository_id: int, branch: str, sha: str) -> None:
        """Keep those of a branch, which was deleted when it was at this commit, no longer than those of older commits."""
        await self._db.execute(SQL["close_branch"], repository_id, branch, sha)
