"""What breaks in another connection that reads lost tables as sources: its readers, step by step, and the exposures below.

What strangers have written beyond the limits is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg
import msgspec

from app.lineage.column_document import FoundEdge
from app.lineage.formats.chunks import batches
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
    handed_on,
    sources_of,
)
from app.lineage.impact.losses import NO_TABLE, REBUILT, LostTable
from app.lineage.impact.mentions import mentioned
from app.lineage.impact.model import Break
from app.lineage.impact.tables import search_key
from app.lineage.impact.versions import folded
from app.store import rows
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("foreign_reads")
MAX_SOURCES, MAX_READERS = 50, 500
MAX_STEPS = 10
"""Nodes on the way to a reader that only hand columns on (`select *`)."""
MAX_CONTENT_BYTES, MAX_CODE_BYTES = 1 << 20, 256 << 10
"""Longer ones are not read: then tests of a source are not known, or only that a node depends on it."""
CONTENTS_AT_ONCE = 20
STEP_NODES = 2000
"""Nodes read at a time, in a few milliseconds of the event loop."""


class _Found(msgspec.Struct):
    edges: tuple[FoundEdge, ...] = ()
    open: bool = False


class _Definition(msgspec.Struct):
    raw_code: Any = None
    arguments: Any = None


_columns = msgspec.json.Decoder(tuple[SourceColumn, ...]).decode
_found = msgspec.json.Decoder(_Found).decode
_definition = msgspec.json.Decoder(_Definition).decode


class ForeignReads:
    """Reads the lineage of another connection, by a row of `connections` in `readers.sql`."""

    def __init__(self, db: Database, row: asyncpg.Record, own_adapter: str | None) -> None:
        """`own_adapter`: of the project whose tables are lost."""
        self.project = ForeignProject(str(row["id"]), rows.repository(row), row["project_dir"], row["adapter_type"])
        self._db, self._own_adapter = db, own_adapter
        self._id, self._key = row["id"], (row["lineage_id"], row["extracted_at"])
        self._left = MAX_READERS

    async def breaks(self, lost: Sequence[LostTable]) -> list[Break]:
        """What breaks."""
        keys = list({search_key(table.name) for table in lost})
        found = await self._db.rows(SQL["sources"], self._id, keys, MAX_SOURCES, MAX_CONTENT_BYTES)
        sources = {one["unique_id"]: _source(one, one["name"]) for one in found}
        matches = dict(sources_of(sources.values(), self.project.adapter_type, lost, self._own_adapter))
        breaks: dict[tuple[str, str | None], Break] = {}
        seen = set(matches)
        for _ in range(MAX_STEPS):
            if not matches or self._left <= 0:
                break
            readers = await self._readers(list(matches), _names(matches))
            for one in await asyncio.to_thread(breaks_of_readers, self.project, self._own_adapter, sources, matches, readers.values()):
                breaks.setdefault((one.unique_id, one.cause), one)
            sources, matches = await self._next(readers, matches, seen)
            seen |= matches.keys()
        return [*breaks.values(), *await self._exposures(list(breaks.values()))]

    async def _next(
        self, readers: Mapping[int, ForeignReader], matches: Mapping[str, LostTable], seen: set[str]
    ) -> tuple[dict[str, ForeignSource], dict[str, LostTable]]:
        """The nodes that hand lost columns on, as sources of those that read them."""
        ids = [id_ for id_, one in readers.items() if one.is_open and one.node.unique_id not in seen]
        sources, lost = dict[str, ForeignSource](), dict[str, LostTable]()
        for one in await self._db.rows(SQL["handing_on"], ids, MAX_CONTENT_BYTES) if ids else ():
            keeps = one["materialized"] not in REBUILT | {NO_TABLE}
            table = handed_on(matches, readers[one["id"]], keeps_columns=keeps)
            if table is not None:
                sources[one["unique_id"]], lost[one["unique_id"]] = _source(one, table.name), table
        return sources, lost

    async def _readers(self, sources: Sequence[str], lost: frozenset[str]) -> dict[int, ForeignReader]:
        """The nodes that depend on sources by the ids of their rows, and what is known of what they read."""
        found = await self._db.rows(SQL["readers"], *self._key, sources, list(READERS), self._left)
        self._left -= len(found)
        known = {one["unique_id"]: one for one in await self._db.rows(SQL["columns"], *self._key, [one["unique_id"] for one in found])}
        contents = await self._read("contents", [one["id"] for one in known.values()], MAX_CONTENT_BYTES, partial(_of_columns, lost=lost))
        readers: dict[int, ForeignReader] = {}
        for one in found:
            unique_id = one["unique_id"]
            node = ForeignNode(unique_id, one["resource_type"], one["name"], one["upstream"])
            status, content = (known[unique_id]["status"], contents[unique_id]) if unique_id in contents else (None, _Found())
            readers[one["id"]] = ForeignReader(node, status, content.edges, is_open=content.open)
        needed = {one.node.unique_id: id_ for id_, one in readers.items() if one.needs_words}
        codes = [known[unique_id]["id"] for unique_id in needed if unique_id in known]
        words = await self._read("codes", codes, MAX_CODE_BYTES, partial(_of_code, lost=lost))
        rest = [id_ for unique_id, id_ in needed.items() if unique_id not in words]
        words |= await self._read("definitions", rest, MAX_CODE_BYTES, partial(_of_definition, lost=lost))
        for unique_id, id_ in needed.items():
            readers[id_] = replace(readers[id_], words=words.get(unique_id))
        return readers

    async def _read(self, name: str, ids: Sequence[int], max_bytes: int, read: Callable[[bytes], Any]) -> dict[str, Any]:
        """Something of long texts, a few at a time, by unique_id."""
        found: dict[str, Any] = {}
        for some in batches(iter(ids), CONTENTS_AT_ONCE):
            texts = [tuple(row) for row in await self._db.rows(SQL[name], some, max_bytes)]
            found.update(zip((unique_id for unique_id, _ in texts), await asyncio.to_thread(_each, read, texts), strict=True))
        return {unique_id: one for unique_id, one in found.items() if one is not None}

    async def _exposures(self, breaks: Sequence[Break]) -> list[Break]:
        """The exposures below what breaks."""
        if not any(one.kind in OF_CODE for one in breaks):
            return []
        nodes: list[ForeignNode] = []
        for first in range(1, (await self._db.value(SQL["size"], *self._key) or 0) + 1, STEP_NODES):
            step = await self._db.rows(SQL["below"], *self._key, first, first + STEP_NODES - 1, list(ON_THE_WAY))
            nodes += (ForeignNode(one["unique_id"], one["resource_type"], one["name"], one["upstream"]) for one in step)
        return await asyncio.to_thread(exposures_below, self.project, breaks, nodes)


def _source(row: asyncpg.Record, table: str) -> ForeignSource:
    return ForeignSource(row["unique_id"], table, _columns(row["columns"] or "[]"))


def _names(matches: Mapping[str, LostTable]) -> frozenset[str]:
    """The folded names of all lost columns."""
    return frozenset(name for table in matches.values() for name in table.columns)


def _each(read: Callable[[bytes], Any], texts: Iterable[tuple[str, bytes]]) -> list[Any]:
    found = []
    for _, text in texts:
        try:
            found.append(read(text))
        except RecursionError:  # it is nested very deeply
            found.append(None)
    return found


def _of_columns(content: bytes, *, lost: frozenset[str]) -> _Found:
    found = _found(content)
    return _Found(tuple(edge for edge in found.edges if folded(edge.upstream_column) in lost), found.open)


def _of_code(code: bytes, *, lost: frozenset[str]) -> frozenset[str]:
    return frozenset(mentioned(code.decode()) & lost)


def _of_definition(definition: bytes, *, lost: frozenset[str]) -> frozenset[str]:
    found = _definition(definition)
    return frozenset(word for text in _texts([found.raw_code, found.arguments]) for word in mentioned(text) & lost)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)
