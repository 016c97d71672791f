"""The projects of an installation by their names, and their public models: what other projects may refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import msgspec

from app.core.models.github import Repository
from app.core.models.other_projects import PublicModel
from app.lineage.formats.chunks import batches
from app.store import rows
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("other_projects")
MAX_CONNECTIONS = 1000
MAX_VERSIONED = 500
"""Models of one project whose latest version is looked up."""
MAX_DEFINITION_BYTES = 256 << 10
DEFINITIONS_AT_ONCE = 20

Version = str | int | float | None


class _Definition(msgspec.Struct):
    latest_version: Version = None


_definition = msgspec.json.Decoder(_Definition).decode


@dataclass(frozen=True, slots=True)
class FoundProject:
    """A connection whose lineage is of a project of this name."""

    name: str
    repository: Repository
    project_dir: str | None
    lineage_id: int
    extracted_at: datetime


class OtherProjects:
    """Projects by installation."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def named(self, names: Sequence[str], asking: Repository) -> list[FoundProject]:
        """Find connections of the repository's installation by the names of their projects, its own first; rights are not asked."""
        found = await self._db.rows(SQL["connections"], asking.installation_id, list(names), asking.id, MAX_CONNECTIONS)
        return [
            FoundProject(row["project_name"], rows.repository(row), row["project_dir"], row["lineage_id"], row["extracted_at"])
            for row in found
        ]

    async def public_models(self, of: FoundProject, limit: int) -> list[PublicModel]:
        """Read the public models of a project, by unique_id; none if its lineage was replaced since."""
        found = await self._db.rows(SQL["public_models"], of.lineage_id, of.extracted_at, limit)
        versions = {row["id"]: _version(row["version"]) for row in found if row["version"] is not None}
        latest = await self._latest([row for row in found if versions.get(row["id"]) is not None])
        return [PublicModel(of.name, row["name"], versions.get(row["id"]), latest.get(row["name"]), row["relation_name"]) for row in found]

    async def _latest(self, versioned: Sequence[asyncpg.Record]) -> dict[str, Version]:
        """The latest versions of models with versions, by their names: each version of a model knows it."""
        ids = list({row["name"]: row["id"] for row in versioned}.values())[:MAX_VERSIONED]
        latest: dict[str, Version] = {}
        for some in batches(iter(ids), DEFINITIONS_AT_ONCE):
            for row in await self._db.rows(SQL["definitions"], some, MAX_DEFINITION_BYTES):
                latest[row["name"]] = _latest(row["definition"])
        return latest


def _version(text: str) -> Version:
    try:
        version: Version = msgspec.json.decode(text, type=Version)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return version


def _latest(definition: bytes) -> Version:
    try:
        return _definition(definition).latest_version
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
