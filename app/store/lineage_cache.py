"""Lineages for readers: loaded in steps that do not block the event loop, and cached in memory.

A cached lineage never becomes outdated: its id and the time of its extraction identify its nodes for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from operator import attrgetter
from sys import intern
from typing import TypeVar
from weakref import WeakSet

import asyncpg
from cachetools import LRUCache

from app.core.errors import UnavailableError
from app.lineage.diff import Diff, NodeVersion
from app.lineage.graph import Graph, GraphNode
from app.store.lineages import LineageHead
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("lineage_cache")
STEP_NODES = 2000
"""Rows converted at a time, in a few milliseconds of the event loop."""
STEP_PAIRS = STEP_NODES // 2
LOADS = 2
"""Lineages that are loaded from the database at the same time."""
KEPT_BYTES = 64 << 20
HELD_BYTES = 256 << 20
"""The limit for cached lineages and those that readers still hold. Beyond it, new readers wait."""
WAIT_S = 5.0
LOOK_S = 0.05

Key = tuple[int, datetime]
Result = TypeVar("Result")


class LineageCache:
    """Lineages by head. Concurrent requests for the same one share one load."""

    def __init__(self, db: Database, *, kept_bytes: int = KEPT_BYTES, held_bytes: int = HELD_BYTES) -> None:
        self._db = db
        self._held_bytes = held_bytes
        self._kept: LRUCache[Key, Graph] = LRUCache(kept_bytes, getsizeof=attrgetter("nbytes"))
        self._held: WeakSet[Graph] = WeakSet()
        self._loading: dict[Key, asyncio.Task[Graph | None]] = {}
        self._turn = asyncio.Semaphore(LOADS)
        self._thread = ThreadPoolExecutor(1, "graphs")

    async def get(self, head: LineageHead) -> Graph | None:
        """Return a lineage; None if it was replaced or removed since. Raises UnavailableError if memory is not available in time."""
        key = head.id, head.extracted_at
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._load(key))
            self._loading[key].add_done_callback(lambda task: self._loaded(key, task))
        return await asyncio.shield(self._loading[key])

    async def diff(self, base: LineageHead, head: LineageHead) -> Diff | None:
        """Compare two lineages; None if one of them was replaced or removed since."""
        found, keys = Diff(), ((base.id, base.extracted_at), (head.id, head.extracted_at))
        async with self._turn:
            ids = await self._db.row(SQL["differing_nodes"], *keys[0], *keys[1])
            pairs = list(zip(ids["base"], ids["head"], strict=True)) if ids else []
            for step in (pairs[first : first + STEP_PAIRS] for first in range(0, len(pairs), STEP_PAIRS)):
                rows = await self._db.rows(SQL["node_versions"], [one for pair in step for one in pair if one is not None])
                await self.compute(partial(_add, found, step, rows))
            await self.compute(found.sort)
        sizes = [await self._db.value(SQL["size"], *key) for key in keys]
        return None if None in sizes else found

    async def compute(self, work: Callable[[], Result]) -> Result:
        """Run CPU-bound work in a thread, one at a time: the interpreter could not run more in parallel."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _load(self, key: Key) -> Graph | None:
        async with self._turn:
            await self._room()
            rows = await self._rows(key)
            if rows is None:
                return None
            graph = await self.compute(lambda: Graph(*rows))
        self._held.add(graph)
        if graph.nbytes <= self._kept.maxsize:
            self._kept[key] = graph
        return graph

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

    async def _room(self) -> None:
        """Wait until readers have released enough memory."""
        try:
            async with asyncio.timeout(WAIT_S):
                while sum(graph.nbytes for graph in self._held) > self._held_bytes:  # noqa: ASYNC110 - no event tells that an object is gone
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise UnavailableError(
                "reading a lineage", "too many large lineages are being read at the same time", "Try again in a while."
            ) from error

    def _loaded(self, key: Key, task: asyncio.Task[Graph | None]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()  # mark it as retrieved: its readers may have gone


def _add(to: Diff, pairs: Sequence[tuple[int | None, int | None]], rows: Sequence[asyncpg.Record]) -> None:
    versions: dict[int | None, NodeVersion] = {row["id"]: _version(row) for row in rows}
    to.add((versions.get(base), versions.get(head)) for base, head in pairs)


def _version(row: asyncpg.Record) -> NodeVersion:
    return NodeVersion(row["unique_id"], row["content"], row["upstream"], row["sql_hash"], row["config_hash"])


def _node(row: asyncpg.Record) -> GraphNode:
    return GraphNode(row["unique_id"], intern(row["resource_type"]), row["name"], intern(row["package_name"]), row["content"])
