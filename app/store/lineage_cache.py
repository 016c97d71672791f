"""Lineages for readers: loaded in steps that do not block the event loop, and cached in memory.

A cached lineage never becomes outdated: its id and the time of its extraction identify its nodes for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from sys import intern
from typing import TypeVar

import asyncpg

from app.core.models.quality import QualitySettings
from app.lineage.column_graph import ColumnGraph
from app.lineage.column_merge import column_graph
from app.lineage.diff import Diff, NodeVersion
from app.lineage.graph import Graph, GraphNode
from app.lineage.impact.compute import ImpactComputation
from app.lineage.impact.mentions import MAX_TEXT
from app.lineage.impact.model import Impact
from app.lineage.impact.versions import ImpactSide, SideName
from app.lineage.quality.counts import NodeQuality, QualityReader
from app.lineage.quality.differences import QualityChange, changes
from app.lineage.quality.findings import Findings, find
from app.store import impact_reads
from app.store.columns import Columns
from app.store.impact_reads import ImpactReads
from app.store.lineages import LineageHead
from app.store.pool import Database
from app.store.shared_loads import HELD_BYTES, KEPT_BYTES, SharedLoads
from app.store.sql import statements

SQL = statements("lineage_cache")
STEP_NODES = 2000
"""Rows converted at a time, in a few milliseconds of the event loop."""
STEP_PAIRS = STEP_NODES // 2
MAX_NAMED = 200
"""Nodes that are compared with those of each test; more are not looked for, but all are read."""

Key = tuple[int, datetime]
Result = TypeVar("Result")
Composed = TypeVar("Composed", bound=Graph)


class LineageCache:
    """Lineages and their columns by head."""

    def __init__(self, db: Database, *, kept_bytes: int = KEPT_BYTES, held_bytes: int = HELD_BYTES) -> None:
        self._db = db
        self._loads = SharedLoads(kept_bytes, held_bytes)
        self._columns = Columns(db)
        self._thread = ThreadPoolExecutor(1, "graphs")

    async def get(self, head: LineageHead) -> Graph | None:
        """Return a lineage; None if it was replaced or removed since. Raises UnavailableError if memory is not available in time."""
        key = head.id, head.extracted_at
        found: Graph | None = await self._loads.get(key, partial(self._load, key))
        return found

    async def composed(self, key: Hashable, compose: Callable[[], Composed]) -> Composed:
        """Return what is made of lineages, by everything that it depends on. Raises as `get` does."""

        async def load() -> Composed:
            return await self.compute(compose)

        found: Composed = await self._loads.get(("composed", key), load)
        return found

    async def columns(self, head: LineageHead) -> ColumnGraph | None:
        """Return the columns of a lineage whose `columns_state` is `ready`; None and errors as in `get`."""
        graph = await self.get(head)
        if graph is None:
            return None
        key = head.id, head.extracted_at
        found: ColumnGraph | None = await self._loads.get((*key, "columns"), partial(self._load_columns, key, graph))
        return found

    async def diff(self, base: LineageHead, head: LineageHead) -> Diff | None:
        """Compare two lineages; None if one of them was replaced or removed since."""
        found, keys = Diff(), ((base.id, base.extracted_at), (head.id, head.extracted_at))
        async with self._loads.turn:
            ids = await self._db.row(SQL["differing_nodes"], *keys[0], *keys[1])
            pairs = list(zip(ids["base"], ids["head"], strict=True)) if ids else []
            for step in (pairs[first : first + STEP_PAIRS] for first in range(0, len(pairs), STEP_PAIRS)):
                rows = await self._db.rows(SQL["node_versions"], [one for pair in step for one in pair if one is not None])
                await self.compute(partial(_add, found, step, rows))
            await self.compute(found.sort)
        sizes = [await self._db.value(SQL["size"], *key) for key in keys]
        return None if None in sizes else found

    async def impact(self, base: LineageHead, head: LineageHead) -> Impact | None:
        """What the changes from one lineage to another do; None and errors as in `get`.

        Columns count if both have them. A lineage that is `pending` has none yet, so read the heads again once they are there.
        """
        ready = base.columns_state == head.columns_state == "ready"
        before, after = await asyncio.gather(self._side(base, columns=ready), self._side(head, columns=ready))
        if before is None or after is None:
            return None
        keys = (base.id, base.extracted_at), (head.id, head.extracted_at)
        sides: tuple[tuple[SideName, LineageHead], ...] = (("base", base), ("head", head))
        without = tuple(name for name, one in sides if one.columns_state != "ready")
        async with self._loads.turn:
            found = await self._impact(ImpactReads(self._db, *keys, after.graph), ImpactComputation(before, after, without))
        sizes = [await self._db.value(SQL["size"], *key) for key in keys]
        return None if None in sizes else found

    async def quality(self, head: LineageHead) -> list[NodeQuality] | None:
        """What each node has of what it could have; None if the lineage was replaced or removed since."""
        async with self._loads.turn:
            return await self._quality(head)

    async def quality_changes(self, base: LineageHead, head: LineageHead, settings: QualitySettings) -> list[QualityChange] | None:
        """What is missing in one lineage that is not in another one; None if one of them was replaced or removed since.

        Only what may differ is read, unless that is much.
        """
        keys = (base.id, base.extracted_at), (head.id, head.extracted_at)
        async with self._loads.turn:
            names = [row["name"] for row in await self._db.rows(SQL["quality_differing"], *keys[0], *keys[1])]
            if len(names) > MAX_NAMED:
                sides = [await self._quality(one) for one in (base, head)]
            else:
                sides = [await self._quality_named(one, names) for one in (base, head)]
        before, after = sides
        if before is None or after is None:
            return None
        projects = base.project_name, head.project_name
        return await self.compute(partial(changes, before, after, projects, settings))

    async def findings(self, head: LineageHead, settings: QualitySettings) -> Findings | None:
        """What could be built better; None and errors as in `get`."""
        columns = await self.columns(head) if head.columns_state == "ready" else None
        graph = columns.graph if columns is not None else await self.get(head)
        if graph is None or (columns is None and head.columns_state == "ready"):
            return None
        return await self.compute(partial(find, graph, head.project_name, columns, settings))

    async def _quality(self, head: LineageHead) -> list[NodeQuality] | None:
        key, reader = (head.id, head.extracted_at), QualityReader()
        size = await self._db.value(SQL["size"], *key)
        for first in range(1, (size or 0) + 1, STEP_PAIRS):
            rows = await self._db.rows(SQL["quality_nodes"], *key, first, first + STEP_PAIRS - 1)
            await self.compute(partial(_read, reader, rows))
        found = await self.compute(reader.finish)
        return None if size is None or await self._db.value(SQL["size"], *key) is None else found

    async def _quality_named(self, head: LineageHead, names: Sequence[str]) -> list[NodeQuality] | None:
        """What these nodes have."""
        key, reader = (head.id, head.extracted_at), QualityReader()
        rows = await self._db.rows(SQL["quality_nodes_named"], *key, names)
        await self.compute(partial(_read, reader, rows))
        return None if await self._db.value(SQL["size"], *key) is None else await self.compute(reader.finish)

    async def _side(self, head: LineageHead, *, columns: bool) -> ImpactSide | None:
        """A lineage, with its columns if those are wanted; None if it was replaced or removed since."""
        found = await self.columns(head) if columns else None
        graph = found.graph if found is not None else await self.get(head)
        return None if graph is None or (columns and found is None) else ImpactSide(graph, found)

    async def _impact(self, reads: ImpactReads, computation: ImpactComputation) -> Impact:
        differing = await reads.differing(with_columns=computation.has_columns)
        for step in impact_reads.steps(differing):
            pairs = await reads.pairs(step)
            await self.compute(partial(computation.add, pairs))
        wanted = set(await self.compute(lambda: computation.codes))
        codes = await reads.codes([node for node in differing if node.unique_id in wanted], MAX_TEXT)
        definitions = await reads.definitions(await self.compute(lambda: computation.definitions))
        return await self.compute(partial(computation.finish, codes, definitions))

    async def compute(self, work: Callable[[], Result]) -> Result:
        """Run CPU-bound work in a thread, one at a time: the interpreter could not run more in parallel."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _load(self, key: Key) -> Graph | None:
        rows = await self._rows(key)
        return None if rows is None else await self.compute(lambda: Graph(*rows))

    async def _load_columns(self, key: Key, graph: Graph) -> ColumnGraph | None:
        found = await self._columns.of(key[0])
        if len(found) != await self._db.value(SQL["columns_size"], *key):
            return None
        return await self.compute(lambda: column_graph(graph, ((one.unique_id, one.status, one.content) for one in found)))

    async def _rows(self, key: Key) -> tuple[list[GraphNode], list[Sequence[str]]] | None:
        """The nodes, and the upstream ids of each."""
        size = await self._db.value(SQL["size"], *key)
        nodes: list[GraphNode] = []
        upstream: list[Sequence[str]] = []
        for first in range(1, (size or 0) + 1, STEP_NODES):
            found = await self._db.rows(SQL["nodes"], *key, first, first + STEP_NODES - 1)
            nodes += map(_node, found)
            upstream += (row["upstream"] for row in found)
        return (nodes, upstream) if len(nodes) == size else None


def _read(reader: QualityReader, rows: Sequence[asyncpg.Record]) -> None:
    for row in rows:
        reader.add(*row)


def _add(to: Diff, pairs: Sequence[tuple[int | None, int | None]], rows: Sequence[asyncpg.Record]) -> None:
    versions: dict[int | None, NodeVersion] = {row["id"]: _version(row) for row in rows}
    to.add((versions.get(base), versions.get(head)) for base, head in pairs)


def _version(row: asyncpg.Record) -> NodeVersion:
    return NodeVersion(row["unique_id"], row["content"], row["upstream"], row["sql_hash"], row["config_hash"])


def _node(row: asyncpg.Record) -> GraphNode:
    return GraphNode(row["unique_id"], intern(row["resource_type"]), row["name"], intern(row["package_name"]), row["content"])
