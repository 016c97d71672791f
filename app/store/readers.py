"""Who reads the tables of a connection: sources of other connections of the same owner, and what depends on them there.

The limits hold for each comparison, however many connections there are; what strangers have written beyond them is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from app.lineage.column_document import FoundEdge
from app.lineage.formats.chunks import batches
from app.lineage.impact.elsewhere import BrokenProject, Elsewhere
from app.lineage.impact.foreign import (
    OF_CODE,
    ON_THE_WAY,
    READERS,
    ForeignNode,
    ForeignProject,
    ForeignReader,
    ForeignSource,
    SourceColumn,
    breaks_of_readers,
    exposures_below,
    sources_of,
)
from app.lineage.impact.losses import MAKERS, LostTable, MadeTable, lost_tables, takes_away, with_fewer_columns
from app.lineage.impact.mentions import mentioned
from app.lineage.impact.model import Break, Change
from app.lineage.impact.tables import search_key
from app.lineage.impact.versions import folded
from app.store import rows
from app.store.lineages import LineageHead
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("readers")
MAX_CONNECTIONS = 20
MAX_SOURCES, MAX_READERS = 50, 500
"""Of one connection."""
MAX_COLUMNS_BYTES, MAX_DEFINITION_BYTES = 1 << 20, 256 << 10
"""Longer ones are not read: of a source, nothing is known of its tests; of a node, only that it depends on the source."""
CONTENTS_AT_ONCE = 20
STEP_NODES = 2000
"""Nodes read at a time, in a few milliseconds of the event loop."""


class _Edges(msgspec.Struct):
    edges: tuple[FoundEdge, ...] = ()


class _Definition(msgspec.Struct):
    raw_code: Any = None
    arguments: Any = None


_columns = msgspec.json.Decoder(tuple[SourceColumn, ...])
_edges = msgspec.json.Decoder(_Edges)
_definition = msgspec.json.Decoder(_Definition)


class Readers:
    """Readers by what was taken from them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def elsewhere(self, connection_id: str, base: LineageHead, head: LineageHead, changes: Sequence[Change]) -> Elsewhere:
        """Return what the changes between two lineages of a connection break in other connections, whoever may see them.

        Private repositories are left out unless `base` is a commit of the followed branch: otherwise anybody who can open a pull request
        could ask which tables and columns they read.
        """
        if not takes_away(changes):
            return Elsewhere()
        lost = lost_tables(changes, *await self._tables(base, head, changes))
        owner = await self._db.row(SQL["owner"], UUID(connection_id), base.sha) if lost else None
        if owner is None:
            return Elsewhere()
        keys = list({search_key(table.name) for table in lost})
        own = rows.repository(owner)
        found = await self._db.rows(
            SQL["connections"], UUID(connection_id), own.installation_id, keys, own.id, MAX_CONNECTIONS, owner["followed"]
        )
        projects = [BrokenProject(rows.repository(row), tuple(await self._breaks(row, lost, head.adapter_type))) for row in found]
        return Elsewhere(tuple(one for one in projects if one.breaks), found[0]["total"] - len(found) if found else 0)

    async def _tables(
        self, base: LineageHead, head: LineageHead, changes: Iterable[Change]
    ) -> tuple[dict[str, MadeTable], dict[str, MadeTable]]:
        """See `lost_tables`."""
        sides = base.id, base.extracted_at, head.id, head.extracted_at
        found = await self._db.rows(SQL["tables"], *sides, list(MAKERS), with_fewer_columns(changes))
        gone = {row["unique_id"]: MadeTable(row["name"], row["materialized"]) for row in found if row["at_base"]}
        return gone, {row["unique_id"]: MadeTable(row["name"], row["materialized"]) for row in found if row["at_head"]}

    async def _breaks(self, row: asyncpg.Record, lost: Sequence[LostTable], own_adapter: str | None) -> list[Break]:
        """What breaks in one connection."""
        project = ForeignProject(str(row["id"]), rows.repository(row), row["project_dir"], row["adapter_type"])
        keys = list({search_key(table.name) for table in lost})
        found = await self._db.rows(SQL["sources"], row["id"], keys, MAX_SOURCES, MAX_COLUMNS_BYTES)
        sources = {one["unique_id"]: ForeignSource(one["unique_id"], one["name"], _columns.decode(one["columns"] or "[]")) for one in found}
        matches = sources_of(sources.values(), project.adapter_type, lost, own_adapter)
        if not matches:
            return []
        readers = await self._readers(row, list(matches), _names(matches))
        breaks = await asyncio.to_thread(breaks_of_readers, project, own_adapter, sources, matches, readers)
        return [*breaks, *await self._exposures(row, project, breaks)]

    async def _readers(self, row: asyncpg.Record, sources: Sequence[str], lost: frozenset[str]) -> list[ForeignReader]:
        """The nodes that depend on sources, and what is known of what they read."""
        key = row["lineage_id"], row["extracted_at"]
        found = await self._db.rows(SQL["readers"], *key, sources, list(READERS), MAX_READERS)
        known = {one["unique_id"]: one for one in await self._db.rows(SQL["columns"], *key, [one["unique_id"] for one in found])}
        edges = await self._read(
            "column_contents", [one["id"] for one in known.values()], MAX_COLUMNS_BYTES, partial(_lost_edges, lost=lost)
        )
        readers = {}
        for one in found:
            unique_id = one["unique_id"]
            node = ForeignNode(unique_id, one["resource_type"], one["name"], one["upstream"])
            status = known[unique_id]["status"] if unique_id in edges else None
            readers[one["id"]] = ForeignReader(node, status, edges.get(unique_id, ()))
        needed = [id_ for id_, reader in readers.items() if reader.needs_words]
        words = await self._read("definitions", needed, MAX_DEFINITION_BYTES, partial(_lost_words, lost=lost))
        return [
            ForeignReader(one.node, one.status, one.edges, words.get(one.node.unique_id)) if one.needs_words else one
            for one in readers.values()
        ]

    async def _read(self, name: str, ids: Sequence[int], max_bytes: int, read: Callable[[bytes], Any]) -> dict[str, Any]:
        """Something of long texts, a few at a time, by unique_id."""
        found: dict[str, Any] = {}
        for some in batches(iter(ids), CONTENTS_AT_ONCE):
            texts = [tuple(row) for row in await self._db.rows(SQL[name], some, max_bytes)]
            found.update(zip((unique_id for unique_id, _ in texts), await asyncio.to_thread(_each, read, texts), strict=True))
        return {unique_id: one for unique_id, one in found.items() if one is not None}

    async def _exposures(self, row: asyncpg.Record, project: ForeignProject, breaks: Sequence[Break]) -> list[Break]:
        """The exposures below what breaks."""
        if not any(one.kind in OF_CODE for one in breaks):
            return []
        key = row["lineage_id"], row["extracted_at"]
        nodes: list[ForeignNode] = []
        for first in range(1, (await self._db.value(SQL["size"], *key) or 0) + 1, STEP_NODES):
            step = await self._db.rows(SQL["below"], *key, first, first + STEP_NODES - 1, list(ON_THE_WAY))
            nodes += (ForeignNode(one["unique_id"], one["resource_type"], one["name"], one["upstream"]) for one in step)
        return await asyncio.to_thread(exposures_below, project, breaks, nodes)


def _each(read: Callable[[bytes], Any], texts: Iterable[tuple[str, bytes]]) -> list[Any]:
    found = []
    for _, text in texts:
        try:
            found.append(read(text))
        except RecursionError:  # it is nested very deeply
            found.append(None)
    return found


def _names(matches: Mapping[str, LostTable]) -> frozenset[str]:
    """The folded names of all lost columns."""
    return frozenset(name for table in matches.values() for name in table.columns)


def _lost_edges(content: bytes, *, lost: frozenset[str]) -> tuple[FoundEdge, ...]:
    return tuple(edge for edge in _edges.decode(content).edges if folded(edge.upstream_column) in lost)


def _lost_words(definition: bytes, *, lost: frozenset[str]) -> frozenset[str]:
    found = _definition.decode(definition)
    return frozenset(word for text in _texts([found.raw_code, found.arguments]) for word in mentioned(text) & lost)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
