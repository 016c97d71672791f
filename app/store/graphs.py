"""Lineages as they are read: fetched in steps that keep nobody waiting, and kept in memory while there is room.

What was stored once does not change: a lineage's id and the time of its extraction name the same nodes for ever.
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

from app.diff import Diff, Version
from app.errors import UnavailableError
from app.graph import Graph, ShownNode
from app.records import LineageHead
from app.store.pool import Database
from app.store.sql import statements

SQL = statements("graphs")
STEP_NODES = 2000
"""Rows that become objects at a time: a few milliseconds of the event loop."""
STEP_PAIRS = STEP_NODES // 2
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

    async def diff(self, base: LineageHead, head: LineageHead) -> Diff | None:
        """Return what is other at `head` than at `base`, None when one of them was replaced or removed meanwhile."""
        found, keys = Diff(), ((base.id, base.extracted_at), (head.id, head.extracted_at))
        async with self._turn:
            ids = await self._db.row(SQL["differing"], *keys[0], *keys[1])
            pairs = list(zip(ids["base"], ids["head"], strict=True)) if ids else []
            for step in (pairs[first : first + STEP_PAIRS] for first in range(0, len(pairs), STEP_PAIRS)):
                rows = await self._db.rows(SQL["versions"], [one for pair in step for one in pair if one is not None])
                await self.compute(partial(_add, found, step, rows))
            await self.compute(found.sort)
        sizes = [await self._db.value(SQL["size"], *key) for key in keys]
        return None if None in sizes else found

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


def _add(to: Diff, pairs: Sequence[tuple[int | None, int | None]], rows: Sequence[asyncpg.Record]) -> None:
    versions: dict[int | None, Version] = {row["id"]: _version(row) for row in rows}
    to.add((versions.get(base), versions.get(head)) for base, head in pairs)


def _version(row: asyncpg.Record) -> Version:
    return Version(row["unique_id"], row["content"], row["upstream"], row["sql_hash"], row["config_hash"])


def _node(row: asyncpg.Record) -> ShownNode:
    return ShownNode(row["unique_id"], intern(row["resource_type"]), row["name"], intern(row["package_name"]), row["content"])
