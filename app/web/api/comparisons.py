"""Comparisons of two lineages, computed once for all who ask, and kept: those who read one in pages ask for it again and again.

A kept one never becomes outdated: the ids of two lineages and the times of their extractions identify all that it is made of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from aiohttp import web

from app.lineage.diff import Diff
from app.lineage.impact.model import Impact
from app.store.lineage_cache import LineageCache
from app.store.lineages import LineageHead
from app.store.shared_loads import SharedLoads

KEPT_BYTES = 32 << 20
ROW_BYTES = 500
"""Approximate memory of a node or an edge in a comparison."""


Found = TypeVar("Found")


class Comparison(Generic[Found]):
    """What was found."""

    __slots__ = ("__weakref__", "found", "nbytes")

    def __init__(self, found: Found, rows: int) -> None:
        self.found = found
        self.nbytes = ROW_BYTES * (1 + rows)


class Comparisons:
    """By what is compared."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._loads = SharedLoads(kept_bytes)

    async def diff(self, graphs: LineageCache, base: LineageHead, head: LineageHead) -> Diff | None:
        """As `LineageCache.diff`."""

        async def load() -> Comparison[Diff] | None:
            found = await graphs.diff(base, head)
            return None if found is None else Comparison(found, sum(found.counts().values()))

        return await self._get(("diff", *_key(base), *_key(head)), load)

    async def impact(self, graphs: LineageCache, base: LineageHead, head: LineageHead) -> Impact | None:
        """As `LineageCache.impact`."""

        async def load() -> Comparison[Impact] | None:
            found = await graphs.impact(base, head)
            return None if found is None else Comparison(found, len(found.changes) + len(found.reached) + len(found.breaks))

        return await self._get(("impact", *_key(base), *_key(head)), load)

    async def _get(self, key: tuple[object, ...], load: Callable[[], Awaitable[Comparison[Found] | None]]) -> Found | None:
        kept: Comparison[Found] | None = await self._loads.get(key, load)
        return None if kept is None else kept.found


def _key(head: LineageHead) -> tuple[object, ...]:
    """Columns come later than the lineage."""
    return head.id, head.extracted_at, head.columns_state


COMPARISONS = web.AppKey("comparisons", Comparisons)
