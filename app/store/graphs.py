"""Lineages as they are read: fetched in steps that keep nobody waiting, and kept in memory while there is room.

What was stored once does not change: a lineage's id and the time of its extraction name the same nodes for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from operator import attrgetter
from sys import intern
from typing import TypeVar
from weakref import WeakSet

import asyncpg
from cachetools import LRUCache

from app.errors import UnavailableError
from app.graph import Graph, ShownNode
from app.storage import LineageHead
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("graphs")
STEP_NODES = 2000
"""Rows that become objects at a time: a few milliseconds of the event loop."""
LOADS = 2
"""Lineages that are read from the database at once."""
KEPT_BYTES = 64 << 20
HELD_BYTES = 256 << 20
"""Kept ones, and those that a slow reader still holds: beyond this, who comes waits."""
WAIT_S = 5.0
LOOK_S = 0.05

Key = tuple[int, datetime]
Result = TypeVar("Result")


class Graphs:
    """Lineages by head; one that is being read is read once for all who ask."""

    def __init__(self, db: Database, *, kept_bytes: int = KEPT_BYTES, held_bytes: int = HELD_BYTES) -> None:
        self._db = db
        self._held_bytes = held_bytes
        self._kept: LRUCache[Key, Graph] = LRUCache(kept_bytes, getsizeof=attrgetter("nbytes"))
        self._held: WeakSet[Graph] = WeakSet()
        self._loading: dict[Key, asyncio.Task[Graph | None]] = {}
        self._turn = asyncio.Semaphore(LOADS)
        self._thread = ThreadPoolExecutor(1, "graphs")

    async def of(self, head: LineageHead) -> Graph | None:
        """Return a lineage, None when it was replaced or removed since. Raises UnavailableError while there is no room for it."""
        key = head.id, head.extracted_at
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._load(key))
            self._loading[key].add_done_callback(lambda task: self._loaded(key, task))
        return await asyncio.shield(self._loading[key])

    async def compute(self, work: Callable[[], Result]) -> Result:
        """Do what takes long off the event loop, one after the other: together they would only take turns with it."""
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

    async def _rows(self, key: Key) -> tuple[list[ShownNode], list[Sequence[str]]] | None:
        """Return the nodes, and of each what it depends on."""
        size = await self._db.value(SQL["size"], *key)
        nodes: list[ShownNode] = []
        upstream: list[Sequence[str]] = []
        for first in range(1, (size or 0) + 1, STEP_NODES):
            found = await self._db.rows(SQL["nodes"], *key, first, first + STEP_NODES - 1)
            nodes += map(_node, found)
            upstream += (row["upstream"] for row in found)
        return (nodes, upstream) if len(nodes) == size else None

    async def _room(self) -> None:
        """Wait until those who read have let go of enough."""
        try:
            async with asyncio.timeout(WAIT_S):
                while sum(graph.nbytes for graph in self._held) > self._held_bytes:  # noqa: ASYNC110 - no event tells that an object is gone
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise UnavailableError("reading a lineage", "too many big ones are being read at once", "Try again in a while.") from error

    def _loaded(self, key: Key, task: asyncio.Task[Graph | None]) -> None:
        del self._loading[key]
        if not task.cancelled():
            task.exception()  # whoever waits has it; nobody may wait any more


def _node(row: asyncpg.Record) -> ShownNode:
    return ShownNode(row["unique_id"], intern(row["resource_type"]), row["name"], intern(row["package_name"]), row["content"])
